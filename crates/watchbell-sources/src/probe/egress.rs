//! `egress:` in the configuration: where monitors may connect to.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use watchbell_model::{Path, Problems};
use watchbell_runtime::{Egress, Range, Runtime};

/// Where monitors may connect to. The address itself counts, at each connection and after each redirect, whatever name
/// has led to it. By default everywhere.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EgressConfig {
    /// Whether private addresses are refused: of this host, of networks at home and of providers, of metadata services.
    #[serde(default)]
    pub deny_private: bool,
    /// Private addresses that are allowed all the same, such as `[10.0.0.0/8, 127.0.0.1]`.
    #[serde(default)]
    pub allow: Vec<String>,
}

impl EgressConfig {
    /// Finds every problem that the types cannot tell.
    pub fn check(&self, path: &Path, problems: &mut Problems) {
        for (at, range) in self.allow.iter().enumerate() {
            if let Err(reason) = range.parse::<Range>() {
                problems
                    .error(&path.field("allow").index(at), reason)
                    .hint("a name cannot stand here, since anybody may point it anywhere");
            }
        }
        if !self.deny_private && !self.allow.is_empty() {
            problems
                .warning(&path.field("allow"), "everything is allowed anyway")
                .hint("add `deny_private: true`, or leave this out");
        }
    }

    /// The world as monitors see it.
    pub fn guard(&self, runtime: &Runtime) -> Runtime {
        if !self.deny_private {
            return runtime.clone();
        }
        let allow = self.allow.iter().filter_map(|range| range.parse().ok()).collect();
        Runtime { net: runtime.net.guarded(Egress { allow }), ..runtime.clone() }
    }
}
