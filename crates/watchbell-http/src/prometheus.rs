//! Prometheus' HTTP API over our series, rules and targets: its parameters, envelope, error types and words.
//!
//! What it leaves out is not routed and answers 404, as an older Prometheus would; `docs/prometheus-api.md` names it.
//! Source: Prometheus' `web/api/v1/api.go`, `web/federate.go` and `storage/remote/read_handler.go`.

mod ask;
mod envelope;
mod facts;
mod federate;
mod gate;
mod live;
mod lookup;
mod openapi;
mod own;
mod query;
mod read;
mod rules;
mod score;
mod search;
mod status;
mod targets;
mod tree;
mod web;
mod write;

use axum::response::Response;
use watchbell_model::Timestamp;

pub(crate) use ask::{Parameters, invalid};
pub(crate) use envelope::{Refused, ok};
pub(crate) use facts::{metadata, query_exemplars};
pub(crate) use federate::federate;
pub(crate) use gate::{Gate, carried, run, turn};
pub(crate) use live::{FOLLOWERS_MAX, follow_notifications, notifications};
pub(crate) use lookup::{label_values, labels, series};
pub(crate) use openapi::openapi;
pub(crate) use own::self_metrics;
pub(crate) use query::{format_query, parse_query, query, query_range};
pub(crate) use read::read;
pub(crate) use rules::{alerts, rules};
pub(crate) use search::{
    label_names as search_label_names, label_values as search_label_values, metric_names as search_metric_names,
};
pub(crate) use status::{alertmanagers, buildinfo, features, flags, in_force, runtimeinfo, walreplay};
pub(crate) use targets::{relabel_steps, scrape_pools, target_metadata, targets};
pub(crate) use web::{dress, is_page_not_found, may_read, page_not_found};

pub use gate::QUERIES_WAITING_MAX;

/// Before and after everything that is kept, with room for sums.
pub(crate) const BEGINNING: Timestamp = Timestamp(-END.0);
pub(crate) const END: Timestamp = Timestamp(1 << 52);

pub(crate) type Answered = Result<Response, Refused>;
