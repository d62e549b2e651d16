//! Asks a server that speaks gRPC whether it is healthy, by the health service that such servers have
//! (`grpc.health.v1.Health`).

use std::collections::BTreeMap;
use std::sync::Mutex;

use schemars::JsonSchema;
use serde::Deserialize;
use watchbell_model::{Path, Problems, Secret, Url};
use watchbell_runtime::http::{self, HttpError, Progress, Request, Response, Versions};
use watchbell_runtime::tls::TlsOptions;

use super::attempt::{Attempt, Failure};
use super::config::{check_host, check_port, host_and_port};
use super::dialogue::shown;
use super::http::check_headers;
use super::kinds::{Kind, Probing};
use super::tls::with_trust;
use super::wire::Message;

const PATH: &str = "/grpc.health.v1.Health/Check";
/// How long an answer may be; one takes two bytes.
const ANSWER_BYTES_MAX: usize = 4096;
/// What a service may say of itself, by its number.
pub(crate) const SERVING: [&str; 4] = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];
/// Codes of failures, by their numbers.
const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

with_trust! {
    /// A server that speaks gRPC and says of itself that it serves.
    #[derive(Debug, Clone, PartialEq, Hash, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    pub struct GrpcConfig {
        /// The host's name or address.
        pub host: String,
        /// The port.
        pub port: u16,
        /// Whether it speaks TLS.
        #[serde(default)]
        pub tls: bool,
        /// The service that is asked for, such as `shop.Orders`; by default the whole server.
        #[serde(default)]
        pub service: String,
        /// Metadata to send, such as `authorization`. Their values are never shown.
        #[serde(default)]
        pub metadata: BTreeMap<String, Secret>,
    }
}

/// What a server says of a service.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Health {
    /// 0 if it answers, else why not.
    pub(crate) code: u8,
    /// An entry of [`SERVING`], if it answers.
    pub(crate) serving: Option<&'static str>,
    /// What it says of a failure.
    pub(crate) message: String,
}

/// The question whether a service is healthy; whoever sends it adds trust and bounds.
pub(crate) fn question(url: Url, service: &str) -> Request {
    let mut message = Vec::new();
    if !service.is_empty() {
        // Field 1, a text.
        message.push(0x0a);
        let mut length = service.len();
        while length >= 0x80 {
            message.push(length as u8 | 0x80);
            length >>= 7;
        }
        message.push(length as u8);
        message.extend(service.as_bytes());
    }
    let mut body = vec![0];
    body.extend((message.len() as u32).to_be_bytes());
    body.extend(message);
    let mut request = Request::post(url, body).header("content-type", "application/grpc").header("te", "trailers");
    request.versions = Versions::Two;
    request.body_max = ANSWER_BYTES_MAX;
    request
}

/// The address of the health service of a server.
pub(crate) fn address(host: &str, port: u16, tls: bool) -> Result<Url, Failure> {
    let scheme = if tls { "https" } else { "http" };
    let url = format!("{scheme}://{}{PATH}", host_and_port(host, port));
    url.parse().map_err(|error: watchbell_model::UrlError| Failure(error.to_string()))
}

impl Health {
    /// What an answer says, or that there is none.
    pub(crate) fn of(answer: &Result<Response, HttpError>) -> Health {
        let response = match answer {
            Ok(response) => response,
            Err(error) => {
                let code = if matches!(error, HttpError::Timeout { .. }) { 4 } else { 14 };
                return Health { code, serving: None, message: error.to_string() };
            }
        };
        let told = |name: &str| {
            let trailer = response.trailers.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str());
            trailer.or_else(|| response.header(name))
        };
        let code = told("grpc-status").and_then(|code| code.parse().ok());
        let message = told("grpc-message").unwrap_or_default().to_owned();
        match (code, serving(&response.body)) {
            (Some(0), Some(serving)) => Health { code: 0, serving: Some(serving), message },
            (Some(0), None) => Health { code: 13, serving: None, message: "the answer is broken".into() },
            (Some(code), _) => Health { code, serving: None, message },
            (None, _) => {
                let message = format!("the server answers with status {} and not in gRPC", response.status);
                Health { code: code_of_status(response.status), serving: None, message }
            }
        }
    }

    fn words(&self) -> String {
        let name = CODES.get(usize::from(self.code)).copied().unwrap_or("a code that is not known");
        let message = if self.message.is_empty() { String::new() } else { format!(": {}", shown(&self.message)) };
        format!("{name}{message}")
    }
}

/// What a status of HTTP means where gRPC says nothing, as its documentation has it.
fn code_of_status(status: u16) -> u8 {
    match status {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502 | 503 | 504 => 14,
        _ => 2,
    }
}

/// The entry of [`SERVING`] in an answer's body.
fn serving(body: &[u8]) -> Option<&'static str> {
    let mut message = Message(body);
    let compressed = message.byte() != 0;
    let length = message.be(4);
    if body.len() < 5 || compressed || length != message.0.len() as u64 {
        return None;
    }
    match message.0 {
        // 0 is not written.
        [] => Some(SERVING[0]),
        // Field 1, a number.
        [0x08, number] => SERVING.get(usize::from(*number)).copied(),
        _ => None,
    }
}

impl Kind for GrpcConfig {
    fn target(&self) -> String {
        let place = host_and_port(&self.host, self.port);
        if self.service.is_empty() { place } else { format!("{place}/{}", self.service) }
    }

    fn check(&self, path: &Path, problems: &mut Problems) {
        check_host(&self.host, &path.field("host"), problems);
        check_port(self.port, &path.field("port"), problems);
        check_headers(&self.metadata, &path.field("metadata"), problems);
        self.check_trust(path, problems);
    }

    fn anchor(&mut self, base: &std::path::Path) {
        self.anchor_trust(base);
    }

    fn described(&self) -> &'static [(&'static str, &'static str)] {
        &[
            ("probe_grpc_duration_seconds", "How long each phase took."),
            ("probe_grpc_healthcheck_response", "What the service says of itself: 1 at what it says."),
            ("probe_grpc_ssl", "Whether it spoke TLS."),
            ("probe_grpc_status_code", "The code of gRPC; 0 for an answer."),
        ]
    }

    fn probe<'a>(&'a self, attempt: &'a mut Attempt<'_>) -> Probing<'a> {
        Box::pin(async move {
            let mut request = question(address(&self.host, self.port, self.tls)?, &self.service);
            let metadata = self.metadata.iter().map(|(name, value)| (name.clone(), value.expose().to_owned()));
            request.headers.extend(metadata);
            request.timeout = attempt.remaining();
            request.tls = TlsOptions { server_name: self.server_name.clone(), ..attempt.tls_options(self.trust(""))? };
            request.verify = self.verify;
            let progress = Mutex::new(Progress::default());
            let answer = http::send_watched(attempt.runtime, request, &progress).await;
            attempt.stop_the_watch();
            attempt.saw_answer(&answer, progress);
            let health = Health::of(&answer);
            attempt.sample("probe_grpc_status_code", &[], f64::from(health.code));
            attempt.sample("probe_grpc_ssl", &[], if attempt.seen.tls.is_some() { 1.0 } else { 0.0 });
            for status in SERVING {
                let said = health.serving == Some(status);
                let labels = [("serving_status", status)];
                attempt.sample("probe_grpc_healthcheck_response", &labels, if said { 1.0 } else { 0.0 });
            }
            for (phase, time) in attempt.seen.phases.clone() {
                attempt.sample("probe_grpc_duration_seconds", &[("phase", &phase)], time.as_secs_f64());
            }
            let what = if self.service.is_empty() { "the server" } else { &self.service };
            match (answer, health.serving) {
                (Err(error), _) => Err(Failure(error.to_string())),
                (_, Some("SERVING")) => Ok("SERVING".into()),
                (_, Some(other)) => Err(Failure(format!("expected that {what} is SERVING, but it says {other}"))),
                _ if health.code == 5 => {
                    Err(Failure(format!("the server has no service `{}`: {}", self.service, health.words())))
                }
                _ if health.code == 12 => Err(Failure(format!("the server has no health service: {}", health.words()))),
                _ => {
                    Err(Failure(format!("expected that {what} is SERVING, but the server answers {}", health.words())))
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_written() {
        let url = address("grpc.example", 50_051, false).unwrap();
        assert_eq!(url.as_str(), "http://grpc.example:50051/grpc.health.v1.Health/Check");
        assert_eq!(question(url.clone(), "").body, [0, 0, 0, 0, 0]);
        assert_eq!(question(url.clone(), "a.B").body, b"\x00\x00\x00\x00\x05\x0a\x03a.B");
        let long = question(url, &"x".repeat(200)).body;
        assert_eq!(long[..8], [0, 0, 0, 0, 203, 0x0a, 0xc8, 0x01]);
    }

    #[test]
    fn an_answer_is_read() {
        for (body, expected) in [
            (&b"\x00\x00\x00\x00\x02\x08\x01"[..], Some("SERVING")),
            (b"\x00\x00\x00\x00\x02\x08\x02", Some("NOT_SERVING")),
            (b"\x00\x00\x00\x00\x00", Some("UNKNOWN")),
            (b"\x00\x00\x00\x00\x02\x08\x09", None),
            (b"\x01\x00\x00\x00\x02\x08\x01", None),
            (b"\x00\x00\x00\x00\x03\x08\x01", None),
            (b"", None),
        ] {
            assert_eq!(serving(body), expected, "{body:?}");
        }
    }
}
