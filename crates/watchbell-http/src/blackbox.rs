//! `/probe` and `/config` of blackbox_exporter, for a Prometheus with blackbox jobs.

use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, header};
use watchbell_sources::probe::blackbox::{Question, Refused};
use watchbell_wire::prometheus::TEXT_CONTENT_TYPE;

use crate::App;

const TIMEOUT_HEADER: &str = "x-prometheus-scrape-timeout-seconds";

/// `/probe`: metrics of one probe; with `debug=true` how it went, in words.
pub(crate) async fn probe(
    State(app): State<App>,
    headers: HeaderMap,
    Query(parameters): Query<Vec<(String, String)>>,
) -> Response {
    let get = |name: &str| parameters.iter().find(|(have, _)| have == name).map_or("", |(_, value)| value.as_str());
    let timeout = headers.get(TIMEOUT_HEADER).map(|text| text.to_str().unwrap_or_default()).unwrap_or("0");
    let Ok(timeout_seconds) = timeout.parse() else {
        let words = format!("Failed to parse timeout from Prometheus header: {timeout:?} is not a number of seconds\n");
        return (StatusCode::INTERNAL_SERVER_ERROR, words).into_response();
    };
    let question = Question {
        module: get("module").to_owned(),
        // Some encode it twice, and blackbox_exporter takes it.
        target: decoded(get("target")),
        hostname: get("hostname").to_owned(),
        timeout_seconds,
    };
    let found = app.blackbox.ask(&question).await;
    let outcome = match &found {
        Ok(found) if found.success => "success",
        Ok(_) => "failure",
        Err(_) => "refused",
    };
    let help = "Probes that were asked for at /probe.";
    app.runtime.metrics.counter("watchbell_blackbox_probes_total", help, &[("outcome", outcome)]).inc();
    let found = match found {
        Ok(found) => found,
        Err(refused) => return (status(&refused), format!("{refused}\n")).into_response(),
    };
    if get("debug") == "true" {
        return format!(
            "Logs for the probe:\n{}\n\n\nMetrics that would have been returned:\n{}\n\n\nModule configuration:\n{}",
            found.log, found.metrics, found.module
        )
        .into_response();
    }
    ([(header::CONTENT_TYPE, TEXT_CONTENT_TYPE)], found.metrics).into_response()
}

fn status(refused: &Refused) -> StatusCode {
    match refused {
        Refused::Module(_) | Refused::Target | Refused::Hostname(_) => StatusCode::BAD_REQUEST,
        Refused::Unspoken { .. } => StatusCode::NOT_IMPLEMENTED,
        Refused::Busy => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// `/config`: the modules in force, without their secrets.
pub(crate) async fn config(State(app): State<App>) -> String {
    app.blackbox.shown()
}

/// As a query's part is read: `+` is a space, and `%41` is `A`. What is none stays as it is, all of it.
fn decoded(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [bytes.next(), bytes.next()].map(|it| it.and_then(|it| char::from(it).to_digit(16)));
                let [Some(high), Some(low)] = digits else { return text.to_owned() };
                (high * 16 + low) as u8
            }
            other => other,
        });
    }
    String::from_utf8(out).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::decoded;

    #[test]
    fn targets_are_decoded_once_more() {
        for (text, expected) in [
            ("https://example.org/a", "https://example.org/a"),
            ("https%3A%2F%2Fexample.org", "https://example.org"),
            ("a+b", "a b"),
            ("100%", "100%"),
            ("%zz+", "%zz+"),
            ("%ff", "%ff"),
        ] {
            assert_eq!(decoded(text), expected);
        }
    }
}
