//! Writes down every minute what works, what does not and what is in maintenance, for status pages and dashboards.

use std::sync::Arc;
use std::time::Duration;

use watchbell_alarms::Alarms;
use watchbell_alerts::Alerts;
use watchbell_http::{status_metadata, status_minute};
use watchbell_model::{Batch, Timestamp};
use watchbell_runtime::Task;
use watchbell_sources::Context;

const MINUTE_MS: i64 = 60_000;

/// Writes at the beginning of each minute. What is missed, since nothing ran, stays unknown.
pub(crate) fn task(context: &Context, alarms: &Arc<Alarms>, alerts: &Arc<Alerts>) -> Task {
    let (context, alarms, alerts) = (context.clone(), Arc::clone(alarms), Arc::clone(alerts));
    Task::new("standing", 0, move |stop| {
        let (context, alarms, alerts) = (context.clone(), Arc::clone(&alarms), Arc::clone(&alerts));
        async move {
            let clock = &context.runtime.clock;
            let (mut described, mut last) = (false, None);
            loop {
                let past = clock.now().as_millis().rem_euclid(MINUTE_MS);
                let wait = Duration::from_millis((MINUTE_MS - past).unsigned_abs());
                tokio::select! {
                    biased;
                    () = stop.cancelled() => return,
                    () = clock.sleep(wait) => {}
                }
                // The clock may be a little ahead of or behind the one that was slept by.
                let minute = (clock.now().as_millis() + MINUTE_MS / 2).div_euclid(MINUTE_MS) * MINUTE_MS;
                let points = status_minute(&alarms, &alerts, Timestamp(minute));
                if last.replace(minute) == Some(minute) || points.is_empty() {
                    continue;
                }
                let mut batch: Batch = points.into();
                if !described {
                    batch.metadata = status_metadata();
                }
                match context.append.append(batch).await {
                    Ok(_) => described = true,
                    Err(error) => tracing::debug!(%error, "what works is not written down"),
                }
            }
        }
    })
}
