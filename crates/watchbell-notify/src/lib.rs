//! Telling people: a group of alerts becomes a page with its run book, waits on disk in the outbox, and is sent
//! through each channel of its receiver until the channel takes it or refuses it for good.
//!
//! Knows neither store nor alarms and works when both are broken; what it needs of the disk is a few rows of durable
//! state, and while even those cannot be written it goes on sending from memory.
//!
//! Invariants:
//! - `no_lost_page`: a page is on disk before its first try and leaves the outbox only when a channel accepted it, or
//!   when it was given up, which is a trouble that reaches people through other channels.
//! - `no_page_without_runbook`: every page links to a run book that opens, or to a generated page in its place.
//! - A page is rendered once. Every try sends the same bytes; only credentials are added, which are never stored.
//! - A channel that hangs delays no other, and within a channel pages of one group keep their order.

mod backoff;
mod channels;
mod config;
mod cut;
mod mail;
mod notify;
mod outbox;
mod page;
mod queue;
mod route_labels;
mod runbook;
mod sender;
mod smtp;
mod template_data;
mod views;
mod waiting;

pub use channels::email::{EmailConfig, ThreadByDate, Threading};
pub use channels::exec::ExecConfig;
pub use channels::incidentio::IncidentioConfig;
pub use channels::jira::{JiraApi, JiraConfig, JiraField};
pub use channels::ntfy::NtfyConfig;
pub use channels::ntfy_switch::NtfySwitchConfig;
pub use channels::opsgenie::{OpsgenieConfig, OpsgenieResponder};
pub use channels::pagerduty::{PagerdutyConfig, PagerdutyImage, PagerdutyLink};
pub use channels::ping::{PingConfig, PingMethod};
pub use channels::pushover::PushoverConfig;
pub use channels::slack::SlackConfig;
pub use channels::sns::SnsConfig;
pub use channels::victorops::VictoropsConfig;
pub use channels::webhook::{ContentType, WebhookConfig};
pub use config::{
    ACKNOWLEDGE_ACTION, Buttons, ChannelDefaults, HttpConfig, NotifyConfig, Priorities, ReceiverConfig, Sign, Site,
};
pub use notify::Notify;
pub use outbox::{DeliveryRecord, EntryState, OutboxEntry, Outcome};
pub use page::{Page, PageAlert, PageStatus};
pub use runbook::{Library, Part, Require, RunbooksConfig};
pub use template_data::Templates;
pub use views::{ChannelStatus, DeliverySearch, Preview, TestResult};

/// Pages the outbox holds before it says it is full. It never turns a page away: past this it keeps accepting, sets
/// the trouble `outbox-full` and counts.
pub const OUTBOX_PAGES_MAX: usize = 10_000;
/// Tries kept in the delivery log.
pub const DELIVERIES_MAX: u64 = 10_000;
/// The longest wait a channel's `Retry-After` can ask for.
pub const RETRY_AFTER_MAX: std::time::Duration = std::time::Duration::from_secs(3600);
