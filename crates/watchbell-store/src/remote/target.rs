//! The places samples go on to: what each is called, and which folder keeps its queue.
//!
//! The first queue lies in the folder itself and the others under `also/`. Whose is whose is written down, so that a
//! list in another order, or one that is longer or shorter, moves no queue to another place.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use watchbell_runtime::Disk;

use super::config::{RemoteConfig, RemoteWriteConfig};

/// Names the place whose queue lies in the folder itself.
const OWNER: &str = "owner";
const ALSO: &str = "also";

/// One of the places samples go on to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) config: RemoteWriteConfig,
    /// What it is called in troubles and metrics.
    pub(crate) name: String,
    /// Of the tenant: the header and its value.
    pub(crate) tenant: Option<(String, String)>,
    /// The same as long as it is the same place.
    id: String,
    /// What troubles of it end in.
    suffix: String,
}

impl Target {
    /// All of them, the one that is read back from first.
    pub(crate) fn all(config: &RemoteConfig) -> Vec<Target> {
        let alone = config.also.is_empty();
        let mut targets = Vec::<Target>::new();
        for write in std::iter::once(&config.write).chain(&config.also) {
            let name = match &write.name {
                Some(name) => name.clone(),
                None if alone => "the remote store".to_owned(),
                None => write.url.authority(),
            };
            let said = write.name.as_deref().unwrap_or(write.url.as_str());
            let (name, id) = (free(name, &targets, |it| &it.name), free(said.to_owned(), &targets, |it| &it.id));
            let first = targets.is_empty();
            let suffix = if first { String::new() } else { format!("/{name}") };
            let tenant = config.tenant.clone().filter(|_| first).map(|tenant| (config.tenant_header.clone(), tenant));
            targets.push(Target { config: write.clone(), name, tenant, id, suffix });
        }
        targets
    }

    /// The name of a trouble with it.
    pub(crate) fn trouble(&self, key: &str) -> String {
        format!("{key}{}", self.suffix)
    }

    /// What its task is called.
    pub(crate) fn task(&self) -> String {
        format!("remote{}", self.suffix)
    }

    /// Its folder among those under `also/`.
    fn folder(&self) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
        let start: String = self.id.chars().map(plain).take(60).collect();
        format!("{start}-{:08x}", crc32c::crc32c(self.id.as_bytes()))
    }
}

/// A word that none of them has yet: with a number behind it if need be.
fn free(word: String, targets: &[Target], of: impl Fn(&Target) -> &String) -> String {
    let taken = |word: &String| targets.iter().any(|it| of(it) == word);
    let numbered = (2..).map(|number| format!("{word} {number}"));
    let found = std::iter::once(word.clone()).chain(numbered).find(|word| !taken(word));
    found.unwrap_or(word)
}

/// The folder of each, in order. The queue of a place that is no longer named goes, unless a new one takes it over: one
/// whose address was changed.
pub(crate) fn folders(disk: &Disk, dir: &Path, targets: &[Target]) -> io::Result<Vec<PathBuf>> {
    let also = dir.join(ALSO);
    disk.create_dir_all(&also)?;
    let there: BTreeSet<String> = disk.list(&also)?.into_iter().collect();
    let written = disk.read_text(&dir.join(OWNER)).ok().map(|text| text.trim_end_matches('\n').to_owned());
    let named = targets.iter().position(|target| Some(&target.id) == written.as_ref());
    let owner = named.or_else(|| targets.iter().position(|target| !there.contains(&target.folder())));
    match owner {
        Some(at) if named.is_none() => {
            disk.write_atomic(&dir.join(OWNER), format!("{}\n", targets[at].id).as_bytes())?
        }
        Some(_) => {}
        None => {
            tracing::info!(remote = written, "samples go there no longer; what waited for it is removed");
            let _ = disk.remove_dir_all(&dir.join("queue"));
            let _ = disk.remove(&dir.join("sent"));
            let _ = disk.remove(&dir.join(OWNER));
        }
    }
    let folders = (0..).zip(targets).map(|(at, target)| match owner == Some(at) {
        true => dir.to_owned(),
        false => also.join(target.folder()),
    });
    let folders: Vec<PathBuf> = folders.collect();
    for name in there.iter().filter(|name| !folders.contains(&also.join(name))) {
        tracing::info!(folder = name, "samples go there no longer; what waited for it is removed");
        disk.remove_dir_all(&also.join(name))?;
    }
    Ok(folders)
}

#[cfg(test)]
mod tests {
    use watchbell_runtime::sim;

    use super::*;

    fn targets(writes: &[(&str, Option<&str>)]) -> Vec<Target> {
        let write = |(url, name): &(&str, Option<&str>)| serde_json::json!({"url": url, "name": name});
        let writes: Vec<_> = writes.iter().map(write).collect();
        let config = serde_json::json!({"write": writes[0], "also": writes[1..], "tenant": "ops"});
        Target::all(&serde_json::from_value(config).unwrap())
    }

    #[test]
    fn each_has_a_name_of_its_own() {
        let named = |writes: &[(&str, Option<&str>)]| -> Vec<String> {
            targets(writes).iter().map(|it| format!("{} {} {}", it.name, it.id, it.trouble("remote/lag"))).collect()
        };
        assert_eq!(named(&[("http://a/x", None)]), ["the remote store http://a/x remote/lag"]);
        assert_eq!(
            named(&[("http://a/x", Some("vm")), ("http://a/x", None), ("http://a/x", None), ("http://b:1/y", None)]),
            [
                "vm vm remote/lag",
                "a http://a/x remote/lag/a",
                "a 2 http://a/x 2 remote/lag/a 2",
                "b:1 http://b:1/y remote/lag/b:1",
            ]
        );
        let tenants: Vec<bool> =
            targets(&[("http://a", None), ("http://b", None)]).iter().map(|it| it.tenant.is_some()).collect();
        assert_eq!(tenants, [true, false]);
    }

    #[test]
    fn a_queue_stays_with_its_place() {
        sim::run(1, |world| async move {
            let (disk, dir) = (world.runtime().disk, Path::new("/data/remote"));
            disk.create_dir_all(dir).unwrap();
            let look = |writes: &[(&str, Option<&str>)]| -> Vec<String> {
                let folders = folders(&disk, dir, &targets(writes)).unwrap();
                folders.iter().for_each(|folder| disk.write_atomic(&folder.join("queue/1"), b"x").unwrap());
                folders.iter().map(|it| it.strip_prefix(dir).unwrap().display().to_string()).collect()
            };
            let (a, b, c) = (("http://a", Some("a")), ("http://b", None), ("http://c", Some("c")));
            assert_eq!(look(&[a]), [""]);
            let b_folder = look(&[a, b])[1].clone();
            assert!(b_folder.starts_with("also/http___b-"), "{b_folder}");
            assert_eq!(look(&[b, a]), [b_folder.clone(), String::new()]);
            // Another address for the same name.
            assert_eq!(look(&[("http://a2", Some("a")), b]), [String::new(), b_folder.clone()]);
            // What was first is gone: the new one gets its queue, and the one that stays keeps its own.
            assert_eq!(look(&[b, c]), [b_folder.clone(), String::new()]);
            assert_eq!(look(&[b]), std::slice::from_ref(&b_folder));
            assert!(!disk.exists(&dir.join("queue/1")), "nobody is left to whom it goes");
            assert_eq!(look(&[b, a]), [b_folder.clone(), String::new()]);
            assert_eq!(look(&[a]), [""]);
            assert!(!disk.exists(&dir.join(&b_folder).join("queue/1")));
        });
    }
}
