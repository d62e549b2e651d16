//! Modules of probes: those of `modules` and those of the files that `module_files` names, such as a `blackbox.yml`.

use std::collections::BTreeMap;
use std::path::Path;

use schemars::JsonSchema;
use serde::Deserialize;
use watchbell_model::{Path as Place, Problems};
use watchbell_runtime::Runtime;
use watchbell_sources::probe::blackbox::ModuleConfig;

use super::files::Files;
use super::yaml::{Kind, Node};
use super::{Config, decode, report, shown};

/// Modules by their names, each with itself as text, without its secrets.
pub type Modules = BTreeMap<String, (ModuleConfig, String)>;

/// A file that `module_files` names.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ModuleFile {
    /// Modules, as in the main file.
    #[serde(default)]
    modules: BTreeMap<String, ModuleConfig>,
}

/// All modules, those of other files read and checked.
pub(super) fn all(config: &Config, root: &Node, files: &mut Files, runtime: &Runtime, base: &Path) -> Modules {
    let mut modules = with_texts(config.modules.clone(), root);
    for pattern in &config.module_files {
        for path in files.named(runtime, "module_files", "module", pattern, base) {
            read(&path, &mut modules, files, runtime);
        }
    }
    modules
}

fn read(path: &Path, modules: &mut Modules, files: &mut Files, runtime: &Runtime) {
    let first = files.names.len();
    let Some(node) = files.read(runtime, path) else { return };
    let schema = schemars::schema_for!(ModuleFile).to_value();
    let mut problems = Problems::new();
    let json = decode::decode(&node, &schema, &Place::root(), &mut problems);
    if !problems.has_errors() {
        match serde_json::from_value::<ModuleFile>(json) {
            Ok(mut file) => {
                let top = Place::root().field("modules");
                for name in file.modules.keys().filter(|name| modules.contains_key(*name)) {
                    problems
                        .error(&top.field(name), format!("there is already a module `{name}` in another file"))
                        .hint("give one of the two another name");
                }
                ModuleConfig::check_all(&file.modules, &top, &mut problems);
                let folder = path.parent().unwrap_or(Path::new(""));
                file.modules.values_mut().for_each(|module| module.anchor(folder));
                modules.extend(with_texts(file.modules, &node));
            }
            Err(error) => {
                problems.error(&Place::root(), error.to_string());
            }
        }
    }
    let mut names = files.names.clone();
    names.truncate(first + 1);
    files.findings.extend(report::locate(problems, &node, &names));
}

fn with_texts(modules: BTreeMap<String, ModuleConfig>, root: &Node) -> Modules {
    let schema = schemars::schema_for!(ModuleConfig).to_value();
    let text = |name: &str| match root.get("modules").map(|node| &node.kind) {
        Some(Kind::Map(pairs)) => {
            let node = pairs.iter().find(|(key, _)| key.name == name);
            node.map(|(_, node)| shown::text(node, &schema)).unwrap_or_default()
        }
        _ => String::new(),
    };
    modules.into_iter().map(|(name, module)| (name.clone(), (module, text(&name)))).collect()
}
