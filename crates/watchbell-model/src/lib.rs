//! The nouns every part of watchbell shares, and the ports between its stages.
//!
//! No IO, no runtime, no clock: whatever depends on the moment takes `now` as an argument.
//! A word here has the meaning of `ARCHITECTURE.md`: a *source* brings data, an *alarm* judges it,
//! an *alert* is the fact an alarm raises, a *page* is the alert written for a person.

mod alarm;
mod alert;
mod append;
mod civil;
mod client;
mod cloud;
mod cron;
mod heartbeat;
mod histogram;
mod http_client;
mod labels;
mod lookup;
mod memory;
mod near;
mod observation;
mod oncalendar;
mod picture;
mod place;
mod ports;
mod problem;
mod relabel;
mod sample;
mod schedule;
mod secret;
mod sigv4;
mod time;
mod upkeep;
mod url;

pub use alarm::{AlarmId, AlarmKind, AlarmState, AlarmStatus, Contributor, Severity, Transition};
pub use alert::{Alert, GroupNotification, NotificationReason, group_id};
pub use append::{
    Append, AppendError, Appended, Batch, BatchHistogram, BatchSample, Exemplar, Metadata, MetricType, SeriesKey,
    SeriesRef,
};
pub use client::{Authorization, BasicAuth, ByteSize, TlsConfig, TlsVersion, check_credentials};
pub use cloud::{AzureAd, AzureApplication, AzureCloud, AzureSdk, GoogleIam, ManagedIdentity, WorkloadIdentity};
pub use cron::{Cron, CronError};
pub use heartbeat::{Flip, HeartbeatState, HeartbeatStatus, HeartbeatTerms};
pub use histogram::{BucketSpan, Buckets, Histogram, HistogramError, ResetHint};
pub use http_client::{
    GRANT_JWT_BEARER, HttpClientConfig, HttpHeader, OAuth2, ProxyAddress, anchor as anchor_http_client,
    is_reserved_header, proxy, yes,
};
pub use labels::{Labels, MatchOp, Matcher, MatcherError, Pairs};
pub use lookup::{Found, Lookup, Rollup};
pub use memory::MemoryState;
pub use near::{near_hint, nearest};
pub use observation::{Certificate, Observation, Ping, PingKind, ProbeResult, ScrapeResult};
pub use oncalendar::{OnCalendar, OnCalendarError};
pub use picture::{Picture, Subject};
pub use place::{HOME, Quorum, QuorumError, Verdict, Vote};
pub use ports::{BoxFuture, Change, Deliver, Draw, Observe, Query, QueryError, Raise, State, StateError};
pub use problem::{Level, Path, Problem, Problems, Segment};
pub use relabel::{LabelSet, Relabel, RelabelAction, RelabelConfig, RelabelStep};
pub use sample::{HistogramSample, Point, STALE_NAN_BITS, Sample, Series, Start, is_stale, stale_nan};
pub use schedule::{Schedule, Zone};
pub use secret::Secret;
pub use sigv4::SigV4Config;
pub use time::{Span, SpanError, Timestamp};
pub use upkeep::{
    Checkup, Cleaned, Counted, Deleted, Figures, Import, Imported, Part, Snapshot, StoredBlock, Upkeep, UpkeepError,
};
pub use url::{RunbookRef, Url, UrlError};
