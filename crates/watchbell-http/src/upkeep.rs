//! What a person does with the store of series by hand, under Prometheus' admin addresses and our own.
//!
//! Nothing here decides: the port does it, off the threads that serve. Each asks to sign in, or for a token, even on
//! this machine: a deletion cannot be undone.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use http::StatusCode;
use serde_json::{Value, json};
use watchbell_model::{Counted, Matcher, StoredBlock, Timestamp, Upkeep, UpkeepError};
use watchbell_runtime::thread;

use crate::App;
use crate::prometheus::{Answered, BEGINNING, END, Parameters, Refused, ok};

/// How long the lists of figures are if nothing is said, as in Prometheus.
const TOP: usize = 10;
/// How long they may be.
const TOP_MAX: usize = 10_000;

impl From<UpkeepError> for Refused {
    fn from(error: UpkeepError) -> Refused {
        match error {
            UpkeepError::Refused(words) => Refused::BadData(words),
            UpkeepError::Failed(_) => Refused::Internal(error.to_string()),
        }
    }
}

/// Does it off the threads that serve requests.
async fn by_hand<T: Send + 'static>(
    app: &App,
    what: impl FnOnce(&dyn Upkeep) -> Result<T, UpkeepError> + Send + 'static,
) -> Result<T, Refused> {
    let upkeep = Arc::clone(&app.upkeep);
    thread::blocking(move || what(&*upkeep)).await.map_err(Refused::from)
}

/// Series and times of a deletion.
fn which(parameters: &Parameters) -> Result<(Vec<Vec<Matcher>>, Timestamp, Timestamp), Refused> {
    let matchers = parameters.selectors()?;
    if matchers.is_empty() {
        return Err(Refused::BadData("no match[] parameter provided".into()));
    }
    Ok((matchers, parameters.time("start", BEGINNING)?, parameters.time("end", END)?))
}

/// `/api/v1/admin/tsdb/delete_series`.
pub(crate) async fn delete_series(State(app): State<App>, parameters: Parameters) -> Answered {
    let (matchers, start, end) = which(&parameters)?;
    by_hand(&app, move |store| store.delete(&matchers, start, end, false)).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `/api/watchbell/v1/store/delete`: as [`delete_series`], says what goes, and with `dry_run=true` only that.
pub(crate) async fn delete(State(app): State<App>, parameters: Parameters) -> Answered {
    let (matchers, start, end) = which(&parameters)?;
    let dry_run = parameters.get("dry_run") == Some("true");
    let deleted = by_hand(&app, move |store| store.delete(&matchers, start, end, dry_run)).await?;
    Ok(Json(deleted).into_response())
}

/// `/api/v1/admin/tsdb/clean_tombstones`.
pub(crate) async fn clean_tombstones(State(app): State<App>) -> Answered {
    by_hand(&app, |store| store.clean()).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `/api/watchbell/v1/store/clean`: as [`clean_tombstones`], says what it came to.
pub(crate) async fn clean(State(app): State<App>) -> Answered {
    Ok(Json(by_hand(&app, |store| store.clean()).await?).into_response())
}

/// `/api/v1/admin/tsdb/snapshot`; `name` gives it another name than the time. What is in memory is always in it, so
/// `skip_head` changes nothing.
pub(crate) async fn snapshot(State(app): State<App>, parameters: Parameters) -> Answered {
    let name = match parameters.get("name") {
        Some(name) => name.to_owned(),
        None => {
            let now: String = app.runtime.clock.now().to_string().chars().filter(|c| !matches!(c, '-' | ':')).collect();
            let second = now.split(['.', 'Z']).next().unwrap_or_default();
            format!("{second}Z-{:016x}", app.runtime.rng.next_u64())
        }
    };
    let made = by_hand(&app, move |store| store.snapshot(&name)).await?;
    Ok(ok(json!({ "name": made.name, "path": made.path, "bytes": made.bytes })))
}

/// `/api/watchbell/v1/store`: figures of all that is kept.
pub(crate) async fn figures(State(app): State<App>, parameters: Parameters) -> Answered {
    let top = parameters.limit()?.min(TOP_MAX);
    Ok(Json(by_hand(&app, move |store| store.figures(top, true)).await?).into_response())
}

/// `/api/watchbell/v1/store/check`; `deep=true` reads every sample.
pub(crate) async fn check(State(app): State<App>, parameters: Parameters) -> Answered {
    let deep = parameters.get("deep") == Some("true");
    Ok(Json(by_hand(&app, move |store| store.check(deep)).await?).into_response())
}

/// `/api/v1/status/tsdb/blocks`: the files of samples, the oldest first, as Prometheus describes its own.
pub(crate) async fn blocks(State(app): State<App>) -> Answered {
    let figures = by_hand(&app, |store| store.figures(0, false)).await?;
    let one = |it: &StoredBlock| {
        let (first, last) = it.range;
        json!({
            "ulid": it.name,
            "minTime": first.0,
            // There it is the first moment behind it.
            "maxTime": last.0 + 1,
            "stats": { "numSamples": it.samples, "numSeries": it.series },
            "compaction": { "level": if it.merged { 2 } else { 1 }, "sources": [it.name] },
            "version": it.version,
        })
    };
    Ok(ok(json!({ "blocks": figures.blocks.iter().map(one).collect::<Vec<_>>() })))
}

/// `/api/v1/status/tsdb`: of active series, as Prometheus has it.
pub(crate) async fn status(State(app): State<App>, parameters: Parameters) -> Answered {
    let top = match parameters.get("limit").map(str::parse::<i64>) {
        None => TOP,
        Some(Ok(limit)) if limit > TOP_MAX as i64 => {
            return Err(Refused::BadData(format!("limit must not exceed {TOP_MAX}")));
        }
        Some(Ok(limit)) if limit > 0 => limit as usize,
        Some(_) => return Err(Refused::BadData("limit must be a positive number".into())),
    };
    let figures = by_hand(&app, move |store| store.figures(top, false)).await?;
    let memory = figures.parts.iter().find(|part| part.name == "memory");
    // As Prometheus says that there is nothing.
    let (first, last) = memory.and_then(|part| part.range).unwrap_or((Timestamp(i64::MAX), Timestamp(i64::MIN)));
    let counted =
        |all: &Counted| -> Value { all.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect() };
    Ok(ok(json!({
        "headStats": {
            "numSeries": figures.active,
            "numLabelPairs": figures.pairs,
            "chunkCount": memory.map_or(0, |part| part.pieces),
            "minTime": first.as_millis(),
            "maxTime": last.as_millis(),
        },
        "seriesCountByMetricName": counted(&figures.metrics),
        "labelValueCountByLabelName": counted(&figures.labels),
        "memoryInBytesByLabelName": counted(&figures.label_bytes),
        "seriesCountByLabelValuePair": counted(&figures.label_pairs),
    })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused_is_told_apart_from_what_fails() {
        let status = |error: UpkeepError| Refused::from(error).into_response().status();
        assert_eq!(status(UpkeepError::Refused("no".into())), StatusCode::BAD_REQUEST);
        assert_eq!(status(UpkeepError::Failed("no".into())), StatusCode::INTERNAL_SERVER_ERROR);
    }
}
