//! What containers are called, from where Docker and podman keep it.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use serde_json::Value;

use super::super::files::Files;

/// The longest description of containers that is read.
const BYTES_MAX: u64 = 16 << 20;
/// How many labels of a container are known.
const LABELS_MAX: usize = 64;

/// A container's name, image and labels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) name: String,
    pub(super) image: String,
    pub(super) labels: BTreeMap<String, String>,
}

/// What is known of these containers; of one that nobody describes, nothing but that.
pub(super) fn of(files: &Files, ids: &[&str]) -> HashMap<String, Known> {
    let mut podman: Option<Value> = None;
    let mut one = |id: &str| {
        docker(files, id)
            .or_else(|| podman_one(podman.get_or_insert_with(|| podman_all(files)), id))
            // An LXC container is known by its name alone.
            .or_else(|| (id.len() != 64).then(|| Known { name: id.to_owned(), ..Known::default() }))
            .unwrap_or_default()
    };
    ids.iter().map(|id| ((*id).to_owned(), one(id))).collect()
}

fn read(files: &Files, path: PathBuf) -> Option<Value> {
    let fits = files.disk.meta(&path).is_ok_and(|meta| meta.len <= BYTES_MAX);
    fits.then(|| serde_json::from_slice(&files.disk.read(&path).ok()?).ok()).flatten()
}

fn word(value: &Value, pointer: &str) -> String {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn docker(files: &Files, id: &str) -> Option<Known> {
    let config = read(files, files.root_path(&format!("/var/lib/docker/containers/{id}/config.v2.json")))?;
    let labels = config.pointer("/Config/Labels").and_then(Value::as_object);
    let label = |(name, value): (&String, &Value)| Some((name.clone(), value.as_str()?.to_owned()));
    Some(Known {
        name: word(&config, "/Name").trim_start_matches('/').to_owned(),
        image: word(&config, "/Config/Image"),
        labels: labels.into_iter().flatten().filter_map(label).take(LABELS_MAX).collect(),
    })
}

fn podman_all(files: &Files) -> Value {
    let path = "/var/lib/containers/storage/overlay-containers/containers.json";
    read(files, files.root_path(path)).unwrap_or_default()
}

fn podman_one(all: &Value, id: &str) -> Option<Known> {
    let container = all.as_array()?.iter().find(|it| it["id"].as_str() == Some(id))?;
    // A document within the document.
    let metadata: Value = serde_json::from_str(container["metadata"].as_str().unwrap_or_default()).unwrap_or_default();
    Some(Known { name: word(container, "/names/0"), image: word(&metadata, "/image-name"), labels: BTreeMap::new() })
}
