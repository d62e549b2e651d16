//! `/api/v1/read`: remote read, as one message of samples or as a stream of chunks.

use std::ops::ControlFlow;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request, State};
use axum::response::{IntoResponse, Response};
use http::header;
use tokio::sync::mpsc;
use watchbell_model::{Labels, MatchOp, Matcher, QueryError, Series};
use watchbell_runtime::thread;
use watchbell_wire::remote_read::{
    ReadQuery, ReadRequest, ResponseType, STREAMED_CONTENT_TYPE, encode_chunks, encode_samples,
};
use watchbell_wire::snappy;

use super::{Refused, gate, run};
use crate::App;
use crate::guard::REQUEST_TIME_MAX;

/// How large a question may be when it is decompressed.
const QUESTION_BYTES_MAX: usize = 8 << 20;
/// How many queries one question may have.
const QUERIES_IN_ONE_MAX: usize = 1000;
/// How many frames wait for a reader that is slower than the store.
const FRAMES_MAX: usize = 16;

/// `/api/v1/read`.
pub(crate) async fn read(State(app): State<App>, request: Request) -> Response {
    match answer(app, request).await {
        Ok(response) => response,
        Err(refused) => refused.into_text(),
    }
}

async fn answer(app: App, request: Request) -> Result<Response, Refused> {
    let body = app.runtime.clock.timeout(REQUEST_TIME_MAX, Bytes::from_request(request, &app)).await;
    let body = body.map_err(|_| Refused::BadData("the question took too long to arrive".into()))?;
    let body = body.map_err(|error| Refused::BadData(error.body_text()))?;
    let body = snappy::decompress(&body, QUESTION_BYTES_MAX).map_err(|error| Refused::BadData(error.to_string()))?;
    let ReadRequest { mut queries, accepted } =
        ReadRequest::decode(&body).map_err(|error| Refused::BadData(error.to_string()))?;
    if queries.len() > QUERIES_IN_ONE_MAX {
        let words = format!("{} queries at once, {QUERIES_IN_ONE_MAX} are allowed", queries.len());
        return Err(Refused::BadData(words));
    }
    let external = app.config.external_labels();
    queries.iter_mut().for_each(|query| inside(query, &external));
    match accepted.first() {
        Some(ResponseType::StreamedXorChunks) => streamed(app, queries, external).await,
        Some(ResponseType::Samples) | None => whole(app, queries, external).await,
    }
}

/// External labels are on no series in the store: who asks for them asks for those without.
fn inside(query: &mut ReadQuery, external: &Labels) {
    for matcher in &mut query.matchers {
        if matcher.op == MatchOp::Equal && external.get(&matcher.name).unwrap_or("") == matcher.value {
            *matcher = Matcher::equal(matcher.name.clone(), "");
        }
    }
}

/// A series as others know it. Its own labels win.
fn outside(mut series: Series, external: &Labels) -> Series {
    if !external.is_empty() {
        series.labels = series.labels.with_missing(external);
    }
    series
}

async fn whole(app: App, queries: Vec<ReadQuery>, external: Labels) -> Result<Response, Refused> {
    let most = app.config.query().max_samples;
    let body = run(app, move |app| {
        let (mut results, mut samples) = (Vec::new(), 0usize);
        for query in &queries {
            let mut found = Vec::new();
            app.query.each(&query.matchers, query.start, query.end, &mut |series| {
                samples += series.size();
                found.push(outside(series, &external));
                if samples > most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })?;
            results.push(found);
        }
        if samples > most {
            return Err(Refused::BadData(format!("exceeded sample limit ({most})")));
        }
        Ok(snappy::compress(&encode_samples(&results)))
    });
    let kind = [(header::CONTENT_TYPE, "application/x-protobuf"), (header::CONTENT_ENCODING, "snappy")];
    Ok((kind, body.await?).into_response())
}

async fn streamed(app: App, queries: Vec<ReadQuery>, external: Labels) -> Result<Response, Refused> {
    let turn = gate::turn(&app).await?;
    let (to, frames) = mpsc::channel::<Bytes>(FRAMES_MAX);
    let query = Arc::clone(&app.query);
    let work = thread::blocking(move || {
        let _turn = turn;
        for (at, asked) in queries.iter().enumerate() {
            let mut gone = false;
            query.each(&asked.matchers, asked.start, asked.end, &mut |series| {
                let frames = encode_chunks(at, &outside(series, &external));
                gone = frames.into_iter().any(|frame| to.blocking_send(Bytes::from(frame)).is_err());
                if gone { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })?;
            if gone {
                break;
            }
        }
        Ok::<_, QueryError>(())
    });
    let body = gate::carried(work, frames, "a stream of a remote read is cut off");
    Ok(([(header::CONTENT_TYPE, STREAMED_CONTENT_TYPE)], Body::from_stream(body)).into_response())
}

#[cfg(test)]
mod tests {
    use watchbell_model::Timestamp;

    use super::*;

    #[test]
    fn external_labels_are_asked_for_and_given_but_not_kept() {
        let external = Labels::from_pairs([("site", "one"), ("job", "outer")]);
        let matchers = ["site=one", "site=two", "job=mail"].map(|text| {
            let (name, value) = text.split_once('=').unwrap();
            Matcher::equal(name, value)
        });
        let mut query = ReadQuery { start: Timestamp(0), end: Timestamp(1), matchers: matchers.to_vec() };
        inside(&mut query, &external);
        let values: Vec<&str> = query.matchers.iter().map(|matcher| matcher.value.as_str()).collect();
        assert_eq!(values, ["", "two", "mail"]);
        let series = outside(Series::new(Labels::metric("up", &[("job", "mail")]), Vec::new()), &external);
        assert_eq!(series.labels, Labels::metric("up", &[("job", "mail"), ("site", "one")]));
    }
}
