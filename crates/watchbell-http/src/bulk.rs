//! Much history at once: export and import, as a stream in both directions.
//!
//! `/api/v1/export`, `/api/v1/import` and `/api/v1/import/prometheus` are VictoriaMetrics' addresses, which vmctl and
//! scripts know. A body of any length passes through; what is held of it is a few pieces. A connection that is idle for
//! [`BULK_IDLE_MAX`] is given up.

use std::io::{self, Read};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Query as UrlQuery, Request, State};
use axum::response::IntoResponse;
use futures_util::StreamExt;
use http::{HeaderMap, StatusCode, header};
use serde_json::json;
use tokio::sync::mpsc;
use watchbell_model::{Batch, Imported, Labels, Matcher, Metadata, Query, QueryError, Series, Timestamp, UpkeepError};
use watchbell_runtime::thread;
use watchbell_wire::bulk::{BulkError, BulkFormat, Reader, Writer};

use crate::App;
use crate::prometheus::{self, Answered, BEGINNING, END, Parameters, Refused};

/// How long a body may bring nothing before the import is given up.
pub const BULK_IDLE_MAX: Duration = Duration::from_secs(60);
/// How many imports run at a time; further ones are refused.
pub const IMPORTS_MAX: usize = 2;
/// How many pieces of a body wait to be taken or sent.
const PIECES_MAX: usize = 4;
/// How long a piece of an export is, at least.
const PIECE: usize = 64 << 10;

/// `/api/v1/export`: every sample of the series that pass `match[]`, from `start` to `end`; `format` is `jsonl` (the
/// default), `openmetrics` or `prometheus`.
pub(crate) async fn export(State(app): State<App>, parameters: Parameters) -> Answered {
    let matchers = parameters.selectors()?;
    let (start, end) = (parameters.time("start", BEGINNING)?, parameters.time("end", END)?);
    let format = match parameters.get("format") {
        None | Some("jsonl" | "json") => BulkFormat::Lines,
        Some("openmetrics") => BulkFormat::OpenMetrics,
        Some("prometheus" | "text") => BulkFormat::Text,
        Some(other) => {
            return Err(Refused::BadData(format!("`format` is {other:?}, not `jsonl`, `openmetrics` or `prometheus`")));
        }
    };
    if matchers.is_empty() {
        return Err(Refused::BadData("no match[] parameter provided".into()));
    }
    let turn = prometheus::turn(&app).await?;
    let (to, pieces) = mpsc::channel::<Bytes>(PIECES_MAX);
    let query = Arc::clone(&app.query);
    let work = thread::blocking(move || {
        let _turn = turn;
        write_all(&*query, &matchers, start, end, format, &to)
    });
    let body = prometheus::carried(work, pieces, "an export is cut off");
    Ok(([(header::CONTENT_TYPE, format.content_type())], Body::from_stream(body)).into_response())
}

fn write_all(
    query: &dyn Query,
    matchers: &[Vec<Matcher>],
    start: Timestamp,
    end: Timestamp,
    format: BulkFormat,
    to: &mpsc::Sender<Bytes>,
) -> Result<(), QueryError> {
    let (mut writer, mut text) = (Writer::new(format), String::new());
    let mut gone = false;
    for (at, set) in matchers.iter().enumerate() {
        let fits = |set: &Vec<Matcher>, labels: &Labels| set.iter().all(|matcher| matcher.matches_labels(labels));
        query.each(set, start, end, &mut |series| {
            // Each series once, although several sets may let it pass.
            if matchers[..at].iter().any(|earlier| fits(earlier, &series.labels)) {
                return ControlFlow::Continue(());
            }
            writer.write(&series, &mut text);
            if text.len() >= PIECE {
                gone = to.blocking_send(Bytes::from(std::mem::take(&mut text))).is_err();
            }
            if gone { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        if gone {
            return Ok(());
        }
    }
    writer.end(&mut text);
    // Whoever is gone needs no end.
    let _ = to.blocking_send(Bytes::from(text));
    Ok(())
}

/// `/api/v1/import`: JSON lines.
pub(crate) async fn import_lines(State(app): State<App>, request: Request) -> Answered {
    import(app, request, BulkFormat::Lines).await
}

/// `/api/v1/import/prometheus`: text, or OpenMetrics if the `Content-Type` says so.
pub(crate) async fn import_text(State(app): State<App>, request: Request) -> Answered {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("");
    let open = kind.trim_start().starts_with("application/openmetrics-text");
    import(app, request, if open { BulkFormat::OpenMetrics } else { BulkFormat::Text }).await
}

/// Why an import ended early.
enum Ended {
    Text(BulkError),
    Store(UpkeepError),
    Body(io::Error),
}

impl From<BulkError> for Ended {
    fn from(error: BulkError) -> Ended {
        Ended::Text(error)
    }
}

impl From<UpkeepError> for Ended {
    fn from(error: UpkeepError) -> Ended {
        Ended::Store(error)
    }
}

/// What an import came to, and what it said of metrics.
struct Outcome {
    imported: Imported,
    lines: u64,
    metadata: Vec<(String, Metadata)>,
    ended: Option<Ended>,
}

async fn import(app: App, request: Request, format: BulkFormat) -> Answered {
    let Ok(_slot) = app.imports.try_acquire() else {
        let words = format!("{IMPORTS_MAX} imports are under way already; try again when one is done");
        let body = json!({ "status": "error", "errorType": "unavailable", "error": words });
        return Ok((StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "10")], axum::Json(body)).into_response());
    };
    // Only of the address: the body is not for forms, whatever its type says.
    let query = UrlQuery::<Vec<(String, String)>>::try_from_uri(request.uri());
    let UrlQuery(parameters) = query.map_err(|error| Refused::BadData(error.body_text()))?;
    let extra = extra_labels(&parameters)?;
    let now = match parameters.iter().find(|(name, _)| name == "timestamp") {
        None => app.runtime.clock.now(),
        Some((_, text)) => Timestamp(text.parse().map_err(|_| {
            Refused::BadData(format!("invalid parameter \"timestamp\": {text:?} is not a number of milliseconds"))
        })?),
    };
    let (parts, body) = request.into_parts();
    let gzip = is_gzip(&parts.headers)?;
    let asks_for_counts = parts.headers.get(header::ACCEPT).is_some_and(|accept| accept == "application/json");

    let (to, pieces) = mpsc::channel(PIECES_MAX);
    let upkeep = Arc::clone(&app.upkeep);
    let work = thread::blocking(move || {
        let body = Pieces { from: pieces, left: Bytes::new(), ended: false };
        let mut body: Box<dyn Read> =
            if gzip { Box::new(flate2::read::MultiGzDecoder::new(body)) } else { Box::new(body) };
        let mut import = upkeep.import()?;
        let mut reader = Reader::new(format, now);
        let mut take = |mut series: Series| {
            if !extra.is_empty() {
                series.labels = extra.iter().fold(series.labels, |labels, (name, value)| labels.with(name, value));
            }
            import.add(series).map_err(Ended::Store)
        };
        let done = read_all(&mut body, &mut reader, &mut take);
        // What came before a bad line is taken; a body that broke off comes again, and adds the rest then.
        let ended = done.err();
        let imported = match ended {
            Some(Ended::Store(_) | Ended::Body(_)) => import.so_far(),
            _ => import.finish()?,
        };
        let metadata = reader.metadata().iter().map(|(name, it)| (name.clone(), it.clone())).collect();
        Ok::<_, UpkeepError>(Outcome { imported, lines: reader.lines(), metadata, ended })
    });
    let (outcome, ()) = tokio::join!(biased; work, pass_on(&app, body, to));
    let Outcome { imported, lines, metadata, ended } = outcome.map_err(Refused::from)?;
    if !metadata.is_empty() {
        let batch = Batch { metadata, ..Batch::new("import") };
        if let Err(error) = app.append.append(batch).await {
            tracing::warn!(%error, "what imported metrics are was not kept");
        }
    }
    if imported.refused() > 0 {
        let example = imported.example.as_deref().unwrap_or_default();
        tracing::warn!(refused = imported.refused(), example, "samples of an import were refused");
    }
    match ended {
        Some(Ended::Store(error)) => Err(error.into()),
        Some(Ended::Body(error)) => Err(Refused::BadData(format!("the body broke off: {error}"))),
        Some(Ended::Text(error)) => {
            let before = if imported.added > 0 {
                format!("; {} samples before it were added", imported.added)
            } else {
                String::new()
            };
            Err(Refused::BadData(format!("{error}{before}")))
        }
        None if asks_for_counts => Ok(crate::prometheus::ok(json!({ "lines": lines, "imported": imported }))),
        None => Ok(StatusCode::NO_CONTENT.into_response()),
    }
}

/// `extra_label=name=value`, as VictoriaMetrics has it.
fn extra_labels(parameters: &[(String, String)]) -> Result<Vec<(String, String)>, Refused> {
    let extra = parameters.iter().filter(|(name, _)| name == "extra_label").map(|(_, text)| {
        let pair = text.split_once('=').filter(|(name, _)| !name.is_empty());
        let pair = pair.map(|(name, value)| (name.to_owned(), value.to_owned()));
        pair.ok_or_else(|| Refused::BadData(format!("invalid parameter \"extra_label\": {text:?} is not `name=value`")))
    });
    extra.collect()
}

fn is_gzip(headers: &HeaderMap) -> Result<bool, Refused> {
    match headers.get(header::CONTENT_ENCODING).map(|encoding| encoding.as_bytes()) {
        None | Some(b"" | b"identity") => Ok(false),
        Some(b"gzip" | b"x-gzip") => Ok(true),
        Some(other) => {
            let other = String::from_utf8_lossy(other);
            Err(Refused::BadData(format!("the body's encoding `{other}` is not read; send it plain or as gzip")))
        }
    }
}

fn read_all(
    body: &mut dyn Read,
    reader: &mut Reader,
    take: &mut dyn FnMut(Series) -> Result<(), Ended>,
) -> Result<(), Ended> {
    let mut buffer = vec![0; PIECE];
    loop {
        match body.read(&mut buffer).map_err(Ended::Body)? {
            0 => return reader.finish(take),
            len => reader.feed(&buffer[..len], take)?,
        }
    }
}

/// A piece of a body, or why there is none; nothing for its good end.
type Piece = Result<Option<Bytes>, io::Error>;

/// Hands a body on as it comes.
async fn pass_on(app: &App, body: Body, to: mpsc::Sender<Piece>) {
    let mut body = body.into_data_stream();
    loop {
        let piece = app.runtime.clock.timeout(BULK_IDLE_MAX, body.next()).await;
        let piece = piece.unwrap_or_else(|_| Some(Err(axum::Error::new("nothing came for a minute"))));
        let (piece, over) = match piece {
            None => (Ok(None), true),
            Some(Ok(bytes)) => (Ok(Some(bytes)), false),
            Some(Err(error)) => (Err(io::Error::other(error)), true),
        };
        if to.send(piece).await.is_err() || over {
            return;
        }
    }
}

/// A body as something to read from.
struct Pieces {
    from: mpsc::Receiver<Piece>,
    left: Bytes,
    ended: bool,
}

impl Read for Pieces {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.left.is_empty() && !self.ended {
            match self.from.blocking_recv() {
                Some(Ok(Some(bytes))) => self.left = bytes,
                Some(Ok(None)) => self.ended = true,
                Some(Err(error)) => return Err(error),
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
        let len = self.left.len().min(out.len());
        out[..len].copy_from_slice(&self.left.split_to(len));
        Ok(len)
    }
}
