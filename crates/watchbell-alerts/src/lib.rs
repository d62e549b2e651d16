//! Who should know, when: alerts are merged, grouped, routed, held back where a silence, an inhibition or a time
//! interval says so, and handed on when somebody must be told.
//!
//! Takes alerts from our own alarms and from foreign senders alike and knows neither; hands groups of alerts on and
//! does not know how people are told. The deciding code (`route`, `group`, `inhibit`, `silence`, `interval`, `book`)
//! is pure and takes `now`; only [`Alerts`] waits and commits.
//!
//! Semantics are Alertmanager's, but for what would lose a page: alerts, timers and what was told are on disk, so a
//! restart neither forgets an alert nor tells of it twice; and an alert that ended while it was muted is told of again
//! when it comes back.

mod alerts;
mod book;
mod config;
mod dependency;
mod downtime;
mod duty;
mod episode;
mod group;
mod incident;
mod inhibit;
mod interval;
mod matcher;
mod route;
mod rows;
mod silence;
mod view;

pub use alerts::Alerts;
pub use book::{ALERTS_MAX, ALERTS_OWN_MAX, GROUPS_MAX, RESTART_GRACE};
pub use config::{Config, InhibitRule, RouteConfig};
pub use dependency::Dependency;
pub use downtime::{DOWNTIME_RETENTION, DOWNTIMES_MAX, DowntimeConfig, DowntimeError, MadeDowntime};
pub use duty::{EscalationConfig, OverrideConfig, RotationConfig, ScheduleConfig, StepConfig};
pub use episode::{EPISODE_RETENTION, EPISODES_MAX, Episode, EpisodeKey, Judgement, VERDICT_RETENTION, Verdict};
pub use incident::{
    INCIDENT_RETENTION, INCIDENT_TEXT_MAX, INCIDENT_TITLE_MAX, INCIDENT_UPDATES_MAX, INCIDENTS_MAX, Impact, Incident,
    IncidentChange, IncidentError, IncidentUpdate, Stage,
};
pub use interval::{RangeText, TimeInterval, TimeIntervalSpec, TimeRange};
pub use matcher::{MATCHER_TEXT_MAX, MatcherMode, MatcherTextError};
pub use silence::{SILENCE_RETENTION, SILENCES_MAX, Silence, SilenceError, SilenceState};
pub use view::{Acknowledgement, AlertState, AlertView, DowntimeView, GroupView, PlannedDowntime};
