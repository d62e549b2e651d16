//! `prober: websocket`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use regex::bytes::Captures;
use watchbell_model::Url;
use watchbell_runtime::client::held;

use super::super::attempt::Failure;
use super::super::websocket::{Opening, hear, say, say_goodbye};
use super::super::wire::Wire;
use super::Probe;
use super::config::QueryResponse;

const PHASES: &str = "probe_websocket_duration_seconds";

pub(super) async fn probe(it: &mut Probe<'_, '_>) -> Result<(), Failure> {
    let websocket = &it.module.config.websocket;
    it.record.zero(&[
        "probe_websocket_connection_upgraded",
        "probe_websocket_status_code",
        "probe_websocket_failed_due_to_regex",
    ]);
    let target = &it.question.target;
    let (scheme, rest) = target.split_once("://").unwrap_or(("", target));
    let scheme = match scheme {
        "ws" => "http",
        "wss" => "https",
        _ => return Err(Failure(format!("malformed ws or wss URL: `{target}`"))),
    };
    let url: Url =
        format!("{scheme}://{rest}").parse().map_err(|error: watchbell_model::UrlError| Failure(error.to_string()))?;
    let chosen = it.choose(&websocket.preferred_ip_protocol, websocket.ip_protocol_fallback, url.host()).await?;
    let seconds = it.lookup_seconds();
    it.record.phase(PHASES, "resolve", seconds);
    let headers = headers(it)?;
    let clock = it.attempt.runtime.clock.clone();
    let begun = clock.monotonic();
    let mut stream = it.attempt.connect(&chosen.to_string(), url.port()).await?;
    let connected = clock.monotonic();
    it.record.phase(PHASES, "connect", (connected - begun).as_secs_f64());
    if url.is_https() {
        stream = it.secure(stream, &websocket.http_config.tls_config, url.host()).await?.0;
    }
    let mut wire = Wire::new(it.attempt, stream);
    let opened = Opening { url: &url, host: url.authority(), headers, protocol: None }.open(&mut wire).await;
    it.record.phase(PHASES, "processing", (clock.monotonic() - connected).as_secs_f64());
    let (status, opened) = opened?;
    it.record.set("probe_websocket_status_code", f64::from(status));
    opened?;
    it.record.set("probe_websocket_connection_upgraded", 1.0);
    if websocket.query_response.is_empty() {
        say_goodbye(&mut wire).await;
        return Ok(());
    }
    let begun = clock.monotonic();
    let mut talked = Ok(());
    for step in &websocket.query_response {
        talked = talk(&mut wire, step).await;
        if talked.is_err() {
            break;
        }
    }
    say_goodbye(&mut wire).await;
    it.record.phase(PHASES, "transfer", (clock.monotonic() - begun).as_secs_f64());
    it.record.set("probe_websocket_failed_due_to_regex", if talked.is_ok() { 0.0 } else { 1.0 });
    talked
}

async fn talk(wire: &mut Wire<'_, '_>, step: &QueryResponse) -> Result<(), Failure> {
    let mut send = step.send.expose().to_owned();
    if let Some(expect) = &step.expect {
        let message = hear(wire, &format!("a message that matches `{}`", expect.as_str())).await?;
        let regex = expect.regex().map_err(Failure::new)?;
        let Some(captures) = regex.captures(&message) else {
            return Err(Failure(format!("Regexp did not match: `{}`", expect.as_str())));
        };
        send = expanded(&captures, &send);
    }
    if send.is_empty() { Ok(()) } else { say(wire, &send).await }
}

fn expanded(captures: &Captures<'_>, text: &str) -> String {
    let mut out = Vec::new();
    captures.expand(text.as_bytes(), &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// Credentials and further headers.
fn headers(it: &Probe<'_, '_>) -> Result<Vec<(String, String)>, Failure> {
    let (websocket, disk) = (&it.module.config.websocket, &it.attempt.runtime.disk);
    let client = websocket.http_config.http_client();
    let mut headers = Vec::new();
    if let Some(basic) = &client.basic_auth {
        let user = match &basic.username_file {
            Some(_) => held(disk, &None, &basic.username_file).map_err(Failure)?,
            None => basic.username.clone(),
        };
        let password = held(disk, &basic.password, &basic.password_file).map_err(Failure)?;
        headers.push(("Authorization".to_owned(), format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))));
    }
    if let Some(other) = &client.authorization {
        let credentials = held(disk, &other.credentials, &other.credentials_file).map_err(Failure)?;
        if !credentials.is_empty() {
            headers.push(("Authorization".to_owned(), format!("{} {credentials}", other.kind)));
        }
    }
    for (name, header) in &websocket.headers {
        let mut values = header.values.clone();
        values.extend(header.secrets.iter().map(|secret| secret.expose().to_owned()));
        for file in &header.files {
            values.push(held(disk, &None, &Some(file.clone())).map_err(Failure)?);
        }
        headers.extend(values.into_iter().map(|value| (name.clone(), value)));
    }
    match headers.iter().find(|(_, value)| value.contains(['\r', '\n'])) {
        Some((name, _)) => Err(Failure(format!("the header `{name}` has a line break"))),
        None => Ok(headers),
    }
}
