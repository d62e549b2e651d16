//! Secrets: named once, used as `${secret:name}` in any text, never printed.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use watchbell_model::{Path, Problem, Problems};
use watchbell_runtime::{Runtime, process};

use super::yaml::{Kind, Node};

/// Where a secret comes from; exactly one field.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SecretConfig {
    /// An environment variable.
    pub env: Option<String>,
    /// A file; one newline at its end is not part of the secret.
    pub file: Option<String>,
    /// A systemd credential (`LoadCredential=`): a file in `$CREDENTIALS_DIRECTORY`.
    pub credential: Option<String>,
    /// A program and its arguments, run without a shell for at most five seconds; its output is the secret.
    pub command: Option<Vec<String>>,
}

/// How long the command of a secret may take.
const COMMAND_MAX: Duration = Duration::from_secs(5);

impl SecretConfig {
    /// The secret, or why it cannot be had.
    async fn fetch(&self, runtime: &Runtime, base: &std::path::Path) -> Result<String, String> {
        let read = |path: &std::path::Path| {
            runtime.disk.read_text(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))
        };
        let text = match (&self.env, &self.file, &self.credential, &self.command) {
            (Some(name), None, None, None) => {
                runtime.environment.get(name).ok_or_else(|| format!("the environment variable {name} is not set"))?
            }
            (None, Some(file), None, None) => read(&base.join(file))?,
            (None, None, Some(name), None) => {
                let folder = runtime.environment.get("CREDENTIALS_DIRECTORY").ok_or(
                    "there is no $CREDENTIALS_DIRECTORY; systemd sets it for units with LoadCredential=".to_owned(),
                )?;
                read(&std::path::Path::new(&folder).join(name))?
            }
            (None, None, None, Some(argv)) => {
                let output = process::output(argv, COMMAND_MAX).await?;
                String::from_utf8(output).map_err(|_| "the command's output is not UTF-8".to_owned())?
            }
            _ => return Err("exactly one of `env`, `file`, `credential` and `command` must be given".into()),
        };
        let text = text.strip_suffix('\n').map_or(text.as_str(), |text| text.strip_suffix('\r').unwrap_or(text));
        if text.is_empty() { Err("it is empty".into()) } else { Ok(text.to_owned()) }
    }
}

/// Fetches every secret; one that cannot be had is a problem only where it is used.
pub(super) async fn fetch(
    secrets: &BTreeMap<String, SecretConfig>,
    runtime: &Runtime,
    base: &std::path::Path,
) -> BTreeMap<String, Result<String, String>> {
    let mut values = BTreeMap::new();
    for (name, source) in secrets {
        values.insert(name.clone(), source.fetch(runtime, base).await);
    }
    values
}

/// Puts the names of secrets back in place of what they hold. One that a shorter secret is part of goes first.
pub(super) fn conceal(values: &BTreeMap<String, Result<String, String>>, problem: &mut Problem) {
    let mut known: Vec<(&str, &str)> =
        values.iter().filter_map(|(name, value)| Some((value.as_deref().ok()?, name.as_str()))).collect();
    known.sort_by_key(|(value, _)| std::cmp::Reverse(value.len()));
    for (value, name) in known {
        for text in [Some(&mut problem.message), problem.hint.as_mut()].into_iter().flatten() {
            *text = text.replace(value, &format!("${{secret:{name}}}"));
        }
    }
}

/// Puts secrets in place of `${secret:name}` in every text of the tree.
pub(super) fn substitute(
    node: &mut Node,
    values: &BTreeMap<String, Result<String, String>>,
    path: &Path,
    problems: &mut Problems,
) {
    match &mut node.kind {
        Kind::Scalar { text, plain } => {
            if let Some(start) = text.find("${secret:")
                && let Some(length) = text[start..].find('}')
            {
                let name = text[start + 9..start + length].to_owned();
                let value = match values.get(&name) {
                    Some(Ok(value)) => value.clone(),
                    Some(Err(reason)) => {
                        problems.error(path, format!("the secret `{name}` cannot be had: {reason}"));
                        String::new()
                    }
                    None => {
                        let names = values.keys().map(String::as_str);
                        let problem = problems.error(path, format!("there is no secret `{name}`"));
                        problem.hint(super::decode::suggestion(&name, names));
                        String::new()
                    }
                };
                // What a secret holds is never read as a reference again.
                let (before, after) = (text[..start].to_owned(), text[start + length + 1..].to_owned());
                let mut rest =
                    Node { place: node.place, kind: Kind::Scalar { text: after, plain: false }, secret: true };
                substitute(&mut rest, values, path, problems);
                if let Kind::Scalar { text: after, .. } = rest.kind {
                    *text = format!("{before}{value}{after}");
                }
                *plain = false;
                node.secret = true;
            }
        }
        Kind::List(items) => {
            for (at, item) in items.iter_mut().enumerate() {
                substitute(item, values, &path.index(at), problems);
            }
        }
        Kind::Map(pairs) => {
            for (key, value) in pairs {
                substitute(value, values, &path.field(&key.name), problems);
            }
        }
    }
}
