//! `places:` in the configuration: whose agents report here.

use schemars::JsonSchema;
use serde::Deserialize;
use watchbell_model::{HOME, Path, Problems, Severity, Span, near_hint};

use crate::probe::{MonitorConfig, OwnNetworkConfig};

/// The shortest `silent_after`: an agent reports every two seconds, and a line may be slow.
const SILENT_AFTER_MIN: Span = Span::seconds(10);
/// The longest name.
const NAME_BYTES_MAX: usize = 63;

/// A network from which an agent probes (`watchbell agent`). `home` is watchbell itself and does not stand here.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlaceConfig {
    /// Its name in `places` of monitors, in the label `place` and in its token: `fra`.
    pub name: String,
    /// After how long without a word of its agent the alert `PlaceSilent` is raised. What it saw is no vote then.
    #[serde(default = "PlaceConfig::default_silent_after")]
    pub silent_after: Span,
    /// How bad it is when its agent is silent.
    #[serde(default)]
    pub severity: Severity,
    /// What tells whether its own network works; by default the same as for `home`.
    #[serde(default)]
    pub own_network: Option<OwnNetworkConfig>,
}

impl PlaceConfig {
    fn default_silent_after() -> Span {
        Span::minutes(1)
    }

    /// Finds every problem of the list `places:`, and places of monitors that are not in it.
    pub fn check_all(places: &[PlaceConfig], monitors: &[MonitorConfig], top: &Path, problems: &mut Problems) {
        for (at, place) in places.iter().enumerate() {
            let path = top.field("places").index(at);
            place.check(&path, problems);
            if places[..at].iter().any(|other| other.name == place.name) {
                problems
                    .error(&path.field("name"), format!("there is already a place called `{}`", place.name))
                    .hint("give each place a name of its own");
            }
        }
        for (at, monitor) in monitors.iter().enumerate() {
            for (which, name) in monitor.places.iter().enumerate() {
                if name != HOME && places.iter().all(|place| place.name != *name) {
                    let path = top.field("monitors").index(at).field("places").index(which);
                    let names = [HOME].into_iter().chain(places.iter().map(|place| place.name.as_str()));
                    let hint = near_hint(name, "places", names);
                    problems.error(&path, format!("there is no place named `{name}`")).hint(hint);
                }
            }
        }
    }

    fn check(&self, path: &Path, problems: &mut Problems) {
        let name = path.field("name");
        let is_fit = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if self.name == HOME {
            problems.error(&name, "`home` is watchbell itself").hint("it needs no agent: take it out");
        } else if self.name.is_empty() || self.name.len() > NAME_BYTES_MAX || !self.name.chars().all(is_fit) {
            problems
                .error(&name, format!("{:?} is not the name of a place", self.name))
                .hint(format!("letters, digits, `-`, `_` and `.`, at most {NAME_BYTES_MAX}, such as `fra`"));
        }
        if self.silent_after < SILENT_AFTER_MIN {
            problems
                .error(&path.field("silent_after"), format!("`{}` is too short", self.silent_after))
                .hint(format!("the shortest is `{SILENT_AFTER_MIN}`; the default is `1m`"));
        }
        if let Some(own_network) = &self.own_network {
            own_network.check(&path.field("own_network"), problems);
        }
    }
}
