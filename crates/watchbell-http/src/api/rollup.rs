//! `GET rollup`: series summed up over windows, from the coarse copies that are kept for it: a year in little time.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use watchbell_model::{Labels, Rollup, Span};

use super::view;
use crate::App;
use crate::prometheus::{Parameters, Refused, invalid, run};

/// How many windows one answer has at most, all series together.
const WINDOWS_MAX: usize = 500_000;

/// Minimum, maximum, mean, last value and increase of each window.
pub(crate) async fn get(State(app): State<App>, parameters: Parameters) -> Result<Response, Refused> {
    let now = app.runtime.clock.now();
    let day = Span::days(1).duration();
    let (start, end) = (parameters.time("start", now - day)?, parameters.time("end", now)?);
    let width = parameters.span("width")?.unwrap_or(Span::hours(1));
    let millis = i64::try_from(width.duration().as_millis()).unwrap_or(i64::MAX);
    if millis == 0 || end < start {
        return Err(invalid("width", "a window has a length, and `start` is before `end`".into()));
    }
    let selectors = parameters.selectors()?;
    let [matchers] = &selectors[..] else {
        return Err(invalid("match[]", "one selector belongs here, such as `up{job=\"mail\"}`".into()));
    };
    let matchers = matchers.clone();
    let found = run(app, move |app| app.query.rollup(&matchers, start, end, width)).await?;
    let windows: usize = found.iter().map(|(_, windows)| windows.len()).sum();
    if windows > WINDOWS_MAX {
        let words = format!("the answer would have {windows} windows, more than {WINDOWS_MAX}: ask for wider ones");
        return Err(Refused::BadData(words));
    }
    let step = width.duration().as_secs_f64();
    Ok(Json(found.iter().map(|(labels, windows)| of_series(labels, windows, step)).collect::<Vec<_>>()).into_response())
}

fn of_series(labels: &Labels, windows: &[Rollup], step: f64) -> view::RollupSeries {
    let column =
        |value: fn(&Rollup) -> f64| windows.iter().map(|it| Some(value(it)).filter(|it| it.is_finite())).collect();
    view::RollupSeries {
        labels: labels.clone(),
        step,
        starts: windows.iter().map(|it| it.start.as_seconds()).collect(),
        min: column(|it| it.min),
        max: column(|it| it.max),
        mean: column(|it| it.sum / it.count as f64),
        last: column(|it| it.last.value),
        increase: column(|it| it.increase),
        count: windows.iter().map(|it| it.count).collect(),
    }
}
