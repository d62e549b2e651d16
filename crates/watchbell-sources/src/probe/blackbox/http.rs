//! `prober: http`.

use std::io::Read;
use std::sync::Mutex;

use flate2::read::{DeflateDecoder, MultiGzDecoder};
use watchbell_model::Url;
use watchbell_runtime::http::{self, Progress, Request, Response, Versions};
use watchbell_runtime::tls::TlsReport;

use super::super::attempt::Failure;
use super::super::brotli;
use super::config::{HeaderMatch, HttpModule};
use super::pattern::Pattern;
use super::{Module, Probe};

/// How much of a body can be looked into, and how much of a compressed one is read.
const BODY_BYTES_MAX: usize = 16 << 20;
/// How much a compressed body may become.
const DECOMPRESSED_BYTES_MAX: u64 = 256 << 20;

const PHASES: &str = "probe_http_duration_seconds";

pub(super) async fn probe(it: &mut Probe<'_, '_>) -> Result<(), Failure> {
    let module = it.module;
    let http = &module.config.http;
    it.record.zero(&[
        "probe_http_content_length",
        "probe_http_uncompressed_body_length",
        "probe_http_redirects",
        "probe_http_ssl",
        "probe_http_status_code",
        "probe_http_version",
        "probe_failed_due_to_regex",
    ]);
    let target = &it.question.target;
    let lower = target.to_ascii_lowercase();
    let target = match lower.find("://") {
        Some(at) if lower.starts_with("http") => format!("{}{}", &lower[..at], &target[at..]),
        _ => format!("http://{target}"),
    };
    let url: Url = target.parse().map_err(|error: watchbell_model::UrlError| Failure(error.to_string()))?;
    let mut request = Request::get(url.clone());
    let proxied = http.proxy_url.is_some() || http.proxy_from_environment;
    if !(http.skip_resolve_phase_with_proxy && proxied) {
        let chosen = it.choose(&http.preferred_ip_protocol, http.ip_protocol_fallback, url.host()).await;
        let seconds = it.lookup_seconds();
        it.record.phase(PHASES, "resolve", seconds);
        request.first.address = Some(chosen?);
    }
    for phase in ["connect", "tls", "processing", "transfer"] {
        it.record.phase(PHASES, phase, 0.0);
    }
    let request = complete(it, request).await?;
    it.record.debug("Making HTTP request", &[("url", url.as_str())]);
    let progress = Mutex::new(Progress::default());
    let sent = http::send_watched(it.attempt.runtime, request, &progress).await;
    let Progress { phases, answer, .. } = progress.into_inner().expect("no panic while held");
    let looked_up = it.lookup_seconds();
    for (phase, time) in phases {
        let before = if phase == "resolve" { looked_up } else { 0.0 };
        it.record.phase(PHASES, phase, before + time.as_secs_f64());
    }
    let (answer, broken) = match sent {
        Ok(response) => (Some(response), None),
        Err(error) => (answer, Some(Failure(error.to_string()))),
    };
    let Some(response) = answer else {
        return Err(broken.unwrap_or_else(|| Failure::new("there is no answer")));
    };
    module.client.took(&response).await;
    saw(it, &response);
    let judged = judge(it, module, &response, broken);
    if http.fail_if_ssl && response.tls.is_some() {
        return judged.and(Err(Failure::new("Final request was over SSL")));
    }
    if http.fail_if_not_ssl && response.tls.is_none() {
        return judged.and(Err(Failure::new("Final request was not over SSL")));
    }
    judged
}

/// The request with all that the module says of it.
async fn complete(it: &mut Probe<'_, '_>, mut request: Request) -> Result<Request, Failure> {
    let http = &it.module.config.http;
    let runtime = it.attempt.runtime;
    request.method = if http.method.is_empty() { "GET".into() } else { http.method.clone() };
    let mut host = None;
    for (name, value) in &http.headers {
        if name.eq_ignore_ascii_case("host") {
            host = Some(value.expose().to_owned());
        } else {
            request.headers.push((name.clone(), value.expose().to_owned()));
        }
    }
    if !it.question.hostname.is_empty() {
        host = Some(it.question.hostname.clone());
    }
    request.body = match (&http.body, &http.body_file) {
        (Some(body), _) => body.expose().as_bytes().to_vec(),
        (None, Some(file)) => {
            let read = runtime.disk.read(file);
            read.map_err(|error| Failure(format!("{} cannot be read: {error}", file.display())))?
        }
        (None, None) => Vec::new(),
    };
    request.timeout = it.attempt.remaining();
    let own_authorization = request.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("authorization"));
    let before = request.headers.len();
    let mut request = it.module.client.prepare(runtime, request).await.map_err(Failure)?;
    if own_authorization {
        // The header goes before other credentials.
        let added = request.headers.split_off(before);
        request.headers.extend(added.into_iter().filter(|(name, _)| name != "authorization"));
    }
    let named = http.tls_config.server_name.clone().filter(|name| !name.is_empty()).or(host.clone());
    // After a redirect elsewhere the name is that of the new host.
    request.tls.server_name = None;
    request.first.server_name = named;
    request.first.host = host;
    request.timeout = it.attempt.remaining();
    request.versions = if http.enable_http2 { Versions::Both } else { Versions::One };
    request.downgrades = true;
    request.cookies = true;
    let looks_inside = !http.fail_if_body_matches_regexp.is_empty() || !http.fail_if_body_not_matches_regexp.is_empty();
    let limit = usize::try_from(http.body_size_limit.0).unwrap_or(usize::MAX);
    if http.compression.is_empty() && limit > 0 {
        request.body_max = limit.min(BODY_BYTES_MAX);
    } else {
        request.body_max = if looks_inside || !http.compression.is_empty() { BODY_BYTES_MAX } else { 0 };
        request.drain = true;
    }
    Ok(request)
}

/// Tells of the answer what is not judged.
fn saw(it: &mut Probe<'_, '_>, response: &Response) {
    let record = &mut *it.record;
    record.debug("Received HTTP response", &[("status_code", &response.status.to_string())]);
    record.set("probe_http_status_code", f64::from(response.status));
    record.set("probe_http_content_length", response.content_length.map_or(-1.0, |length| length as f64));
    record.set("probe_http_redirects", f64::from(response.redirects + u32::from(leads_on(response))));
    let version = response.version.strip_prefix("HTTP/").and_then(|number| number.parse().ok());
    record.set("probe_http_version", version.unwrap_or_default());
    let modified = response.header("last-modified").and_then(http::http_date);
    if let Some(modified) = modified {
        record.set("probe_http_last_modified_timestamp_seconds", modified.as_seconds());
    }
    if let Some(report) = &response.tls {
        record.set("probe_http_ssl", 1.0);
        // Where nothing is verified, no chain is known.
        let verified = !it.module.config.http.tls_config.insecure_skip_verify;
        let chain_ends = report.chain_ends.filter(|_| verified);
        record.saw_tls(&TlsReport { chain_ends, ..report.clone() }, true, true);
    }
}

/// Whether it is a redirect that was not followed.
fn leads_on(response: &Response) -> bool {
    matches!(response.status, 301 | 302 | 303 | 307 | 308) && response.header("location").is_some()
}

/// Judges the answer as blackbox_exporter does: what fails first keeps what comes after it from being looked at.
fn judge(it: &mut Probe<'_, '_>, module: &Module, response: &Response, broken: Option<Failure>) -> Result<(), Failure> {
    let http = &module.config.http;
    let mut judged = judge_status(http, response.status);
    if judged.is_ok() && !(http.fail_if_header_matches.is_empty() && http.fail_if_header_not_matches.is_empty()) {
        judged = judge_headers(http, response);
        it.record.set("probe_failed_due_to_regex", if judged.is_ok() { 0.0 } else { 1.0 });
    }
    if !leads_on(response) {
        let body = body(http, response);
        let limit = if http.body_size_limit.0 > 0 { http.body_size_limit.0 } else { u64::MAX };
        let length = body.as_ref().map_or(response.body_length.min(limit), |body| body.length);
        it.record.set("probe_http_uncompressed_body_length", length as f64);
        let patterns = [&http.fail_if_body_matches_regexp, &http.fail_if_body_not_matches_regexp];
        judged = match (judged, broken, body) {
            (Err(failure), ..) | (Ok(()), Some(failure), _) | (Ok(()), None, Err(failure)) => Err(failure),
            (Ok(()), None, Ok(body)) if patterns.iter().any(|all| !all.is_empty()) => {
                let judged = judge_body(http, &body);
                it.record.set("probe_failed_due_to_regex", if judged.is_ok() { 0.0 } else { 1.0 });
                judged
            }
            (Ok(()), None, Ok(_)) => Ok(()),
        };
    }
    let versions = &http.valid_http_versions;
    if !versions.is_empty() && !versions.contains(&response.version) {
        let failure = Failure(format!("Invalid HTTP version number {}", response.version));
        return judged.and(Err(failure));
    }
    judged
}

fn judge_status(http: &HttpModule, status: u16) -> Result<(), Failure> {
    if http.valid_status_codes.is_empty() {
        return match status {
            200..=299 => Ok(()),
            _ => Err(Failure(format!("Invalid HTTP response status code {status}, wanted 2xx"))),
        };
    }
    match http.valid_status_codes.contains(&status) {
        true => Ok(()),
        false => Err(Failure(format!(
            "Invalid HTTP response status code {status}, wanted one of {:?}",
            http.valid_status_codes
        ))),
    }
}

fn judge_headers(http: &HttpModule, response: &Response) -> Result<(), Failure> {
    let values = |rule: &HeaderMatch| -> Vec<&str> {
        let all = response.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case(&rule.header));
        all.map(|(_, value)| value.as_str()).collect()
    };
    for (rules, wanted) in [(&http.fail_if_header_matches, false), (&http.fail_if_header_not_matches, true)] {
        for rule in rules {
            let values = values(rule);
            if values.is_empty() {
                if !rule.allow_missing {
                    return Err(Failure(format!("Missing required header {}", rule.header)));
                }
                continue;
            }
            if values.iter().any(|value| rule.regexp.is_match(value.as_bytes())) != wanted {
                let how = if wanted { "did not match" } else { "matched" };
                return Err(Failure(format!(
                    "Header {} {how} regular expression `{}`",
                    rule.header,
                    rule.regexp.as_str()
                )));
            }
        }
    }
    Ok(())
}

/// A body, uncompressed.
struct Text {
    bytes: Vec<u8>,
    /// Of all of it, looked into or not.
    length: u64,
    truncated: bool,
}

fn body(http: &HttpModule, response: &Response) -> Result<Text, Failure> {
    let limit = http.body_size_limit.0;
    let plain = || Text { bytes: response.body.clone(), length: response.body_length, truncated: response.truncated };
    let text = match http.compression.to_ascii_lowercase().as_str() {
        "" | "identity" => plain(),
        _ if response.truncated => return Err(too_long()),
        "gzip" => unpacked(MultiGzDecoder::new(response.body.as_slice()), limit)?,
        "deflate" => unpacked(DeflateDecoder::new(response.body.as_slice()), limit)?,
        "br" => unpacked(brotli::unpack(&response.body).map_err(unreadable)?, limit)?,
        other => return Err(Failure(format!("unsupported compression algorithm `{other}`"))),
    };
    if limit > 0 && text.length > limit {
        return Err(Failure(format!("http: request body too large: the body is longer than {limit} bytes")));
    }
    Ok(text)
}

fn unpacked(from: impl Read, limit: u64) -> Result<Text, Failure> {
    let bound = if limit > 0 { limit.min(DECOMPRESSED_BYTES_MAX) } else { DECOMPRESSED_BYTES_MAX };
    let mut from = from.take(bound + 1);
    let mut text = Text { bytes: Vec::new(), length: 0, truncated: false };
    let mut chunk = [0; 16 << 10];
    loop {
        match from.read(&mut chunk) {
            Ok(0) => break,
            Ok(count) => {
                let room = BODY_BYTES_MAX - text.bytes.len();
                text.bytes.extend_from_slice(&chunk[..count.min(room)]);
                text.length += count as u64;
                text.truncated |= count > room;
            }
            Err(error) => return Err(unreadable(error)),
        }
    }
    if text.length > DECOMPRESSED_BYTES_MAX {
        return Err(Failure(format!("the body becomes longer than {DECOMPRESSED_BYTES_MAX} bytes")));
    }
    Ok(text)
}

fn unreadable(error: std::io::Error) -> Failure {
    Failure(format!("Failed to read HTTP response body: {error}"))
}

fn too_long() -> Failure {
    Failure(format!("the body is longer than {BODY_BYTES_MAX} bytes, which is all that is looked into"))
}

fn judge_body(http: &HttpModule, body: &Text) -> Result<(), Failure> {
    if body.truncated {
        return Err(too_long());
    }
    let matched = |pattern: &&Pattern| pattern.is_match(&body.bytes);
    if let Some(pattern) = http.fail_if_body_matches_regexp.iter().find(matched) {
        return Err(Failure(format!("Body matched regular expression `{}`", pattern.as_str())));
    }
    if let Some(pattern) = http.fail_if_body_not_matches_regexp.iter().find(|pattern| !matched(pattern)) {
        return Err(Failure(format!("Body did not match regular expression `{}`", pattern.as_str())));
    }
    Ok(())
}
