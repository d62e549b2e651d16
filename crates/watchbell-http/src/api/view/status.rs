//! Status pages and incidents, as the own API says them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use watchbell_alerts::{Impact, IncidentUpdate, Stage};
use watchbell_model::Timestamp;

use crate::status::Health;

/// A status page, for those who look after it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct StatusPage {
    /// The last part of its address.
    pub name: String,
    /// What stands on top of it.
    pub title: String,
    /// Where people find it.
    pub href: String,
    /// Who may see it.
    pub access: StatusPageAccess,
    /// The worst of what it shows.
    pub state: Health,
    /// The same in words.
    pub summary: String,
    /// What it shows, in its order.
    pub items: Vec<StatusPageItem>,
}

/// Who may see a status page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum StatusPageAccess {
    /// Everybody.
    Public,
    /// Who has its token.
    Token,
    /// Who is signed in.
    Private,
}

/// What a status page shows.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct StatusPageItem {
    /// The alarm that knows whether it works, such as `monitor/imap`.
    pub alarm: String,
    /// What the page calls it.
    pub name: String,
    /// Its name in addresses of badges.
    pub id: String,
    /// How it is.
    pub state: Health,
    /// The shares of the time in which it worked.
    pub uptime: Vec<StatusPageFigure>,
}

/// A figure of a status page, and how to come to it again.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct StatusPageFigure {
    /// `24h`, `7d`, `30d` or `90d`.
    pub window: String,
    /// 0 to 1; nothing if nothing is known.
    pub up: Option<f64>,
    /// The PromQL expression that comes to it, evaluated at `at`.
    pub expression: String,
    /// When the figure ends.
    pub at: Timestamp,
}

/// Something that those are told of who use what is watched.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Incident {
    /// Names it for ever.
    pub id: String,
    /// What it is about, in a few words.
    pub title: String,
    /// The status pages that show it; all of them if there is none.
    pub pages: Vec<String>,
    /// The alarms of what it is about, such as `monitor/imap`.
    pub affects: Vec<String>,
    /// How much of it people feel.
    pub impact: Impact,
    /// How far people are with it.
    pub stage: Stage,
    /// When it was told of first.
    pub opened_at: Timestamp,
    /// When it was over, if it is.
    pub resolved_at: Option<Timestamp>,
    /// What was said, oldest first.
    pub updates: Vec<IncidentUpdate>,
}

/// What is asked for to open an incident.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewIncident {
    /// What it is about, in a few words.
    pub title: String,
    /// What those should know who use it; an empty line parts paragraphs.
    pub text: String,
    /// How far people are with it.
    #[serde(default)]
    pub stage: Stage,
    /// How much of it people feel.
    #[serde(default)]
    pub impact: Impact,
    /// Names of the status pages that show it; all of them if none is named.
    #[serde(default)]
    pub pages: Vec<String>,
    /// What it is about: as the page calls it, or the name of the monitor or heartbeat.
    #[serde(default)]
    pub affects: Vec<String>,
    /// Who says it; unless given, who asks. No status page shows it.
    #[serde(default)]
    pub by: String,
}

/// One more update of an incident. What is given is so from now on.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewIncidentUpdate {
    /// What those should know who use it.
    pub text: String,
    /// How far people are; as before, unless given. `resolved` ends it.
    #[serde(default)]
    pub stage: Option<Stage>,
    /// What it is about, in a few words.
    #[serde(default)]
    pub title: Option<String>,
    /// How much of it people feel.
    #[serde(default)]
    pub impact: Option<Impact>,
    /// What it is about, all of it.
    #[serde(default)]
    pub affects: Option<Vec<String>>,
    /// Who says it; unless given, who asks.
    #[serde(default)]
    pub by: String,
}
