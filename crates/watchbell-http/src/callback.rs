//! Buttons of providers: what somebody does in Slack, PagerDuty, Telegram or Opsgenie acknowledges here.
//!
//! Each request is proven by the provider's own signature or secret before anything in it is read. Who was first stays:
//! a button that is pressed twice, or a message that comes again, changes nothing. Pushover's answer to an emergency
//! push comes by a signed link, see [`crate::action`].

mod events;

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, State};
use axum::response::{IntoResponse, Response};
use axum::{Form, Json};
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use watchbell_alerts::Acknowledgement;
use watchbell_model::{HttpClientConfig, Secret, StateError, Timestamp, Url};
use watchbell_notify::ACKNOWLEDGE_ACTION;
use watchbell_runtime::client::HttpClient;
use watchbell_runtime::http::{self as client, Request};

use crate::App;

/// How far the time of a request may be from ours.
const SKEW_MAX: Duration = Duration::from_secs(300);
/// How long changing a message may take: Slack waits three seconds for an answer.
const CHANGE_MAX: Duration = Duration::from_secs(2);
/// The longest name of a person that is kept, in characters.
const NAME_MAX: usize = 100;

type Refused = (StatusCode, &'static str);

/// Answers why a request is not taken.
fn refuse(app: &App, (status, reason): Refused) -> Response {
    if status == StatusCode::UNAUTHORIZED {
        app.refused("wrong_credentials");
    }
    (status, Json(json!({ "status": "error", "error": reason }))).into_response()
}

fn bad(reason: &'static str) -> Refused {
    (StatusCode::BAD_REQUEST, reason)
}

fn wrong(reason: &'static str) -> Refused {
    (StatusCode::UNAUTHORIZED, reason)
}

fn not_kept(error: &StateError) -> Response {
    tracing::error!(%error, "an acknowledgement was not kept");
    let reason = "it could not be kept; try again";
    (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "status": "error", "error": reason }))).into_response()
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// The HMAC-SHA256 of texts in a row, in hexadecimal digits.
fn hmac(secret: &Secret, parts: &[&[u8]]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()).expect("a key may have any length");
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn same(a: &str, b: &str) -> bool {
    // Digests are compared, so that not even a secret's length shows in the time it takes.
    bool::from(Sha256::digest(a.as_bytes()).ct_eq(&Sha256::digest(b.as_bytes())))
}

/// Notes that somebody sees to what fires in a group and nobody sees to yet; answers how many alerts that are.
pub(crate) async fn acknowledge(
    app: &App,
    provider: &str,
    group: &str,
    name: String,
    at: Timestamp,
) -> Result<usize, StateError> {
    let comment = format!("from {provider}");
    let by = Acknowledgement { by: name.clone(), at: app.runtime.clock.now(), comment };
    let count = app.alerts.acknowledge_unseen(group, by, at + SKEW_MAX).await?;
    if count > 0 {
        tracing::info!(count, "acknowledged from {provider} by {name}");
    }
    Ok(count)
}

/// Takes back what was acknowledged from a provider.
async fn withdraw(app: &App, provider: &str, group: &str) -> Result<(), StateError> {
    let labels = app.alerts.firing_in(group);
    let from = format!("from {provider}");
    let seen = app.alerts.alerts().into_iter().filter(|it| {
        labels.contains(&it.alert.labels) && it.acknowledged.as_ref().is_some_and(|by| by.comment.starts_with(&from))
    });
    let seen: Vec<u64> = seen.map(|it| it.alert.fingerprint()).collect();
    if seen.is_empty() {
        return Ok(());
    }
    let count = app.alerts.acknowledge(seen, None).await?;
    tracing::info!(count, "an acknowledgement was taken back from {provider}");
    Ok(())
}

/// A person's name as it came, without what could break a line.
fn named(name: &str, otherwise: &str) -> String {
    let name: String = name.trim().chars().filter(|c| !c.is_control()).take(NAME_MAX).collect();
    if name.is_empty() { otherwise.to_owned() } else { name }
}

#[derive(Deserialize)]
struct SlackForm {
    payload: String,
}

/// What Slack posts when somebody uses a message of ours.
#[derive(Deserialize)]
struct Interaction {
    #[serde(default)]
    user: SlackUser,
    #[serde(default)]
    actions: Vec<SlackAction>,
    #[serde(default)]
    message: Value,
    #[serde(default)]
    response_url: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct SlackUser {
    id: String,
    username: String,
    name: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct SlackAction {
    action_id: String,
    value: String,
}

/// `POST /callback/slack`.
pub(crate) async fn slack(State(app): State<App>, headers: HeaderMap, body: Bytes) -> Response {
    let config = app.config.callbacks().slack;
    let signature = match prove_slack(&app, &config.signing_secret, &headers, &body) {
        Ok(signature) => signature,
        Err(refused) => return refuse(&app, refused),
    };
    let kind = (header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    let form = http::Request::post("/").header(kind.0, kind.1).body(Body::from(body)).expect("it is a request");
    let payload = Form::<SlackForm>::from_request(form, &()).await.ok();
    let Some(asked) = payload.and_then(|Form(form)| serde_json::from_str::<Interaction>(&form.payload).ok()) else {
        return refuse(&app, bad("the form has no `payload` that is an interaction"));
    };
    let pressed = asked.actions.iter().find(|action| action.action_id == ACKNOWLEDGE_ACTION);
    // A button of somebody's own.
    let Some(pressed) = pressed else { return StatusCode::OK.into_response() };
    match events::knows(&*app.state, &signature) {
        Ok(false) => {}
        Ok(true) => return StatusCode::OK.into_response(),
        Err(error) => return not_kept(&error),
    }
    let user = [&asked.user.name, &asked.user.username].into_iter().find(|it| !it.is_empty());
    let name = named(user.unwrap_or(&asked.user.id), "somebody");
    let now = app.runtime.clock.now();
    let count = match acknowledge(&app, "Slack", &pressed.value, name.clone(), now).await {
        Ok(count) => count,
        Err(error) => return not_kept(&error),
    };
    if let Err(error) = events::note(&*app.state, &signature, now).await {
        return not_kept(&error);
    }
    let seen = app.alerts.alerts().into_iter().filter_map(|it| it.acknowledged).map(|it| it.by);
    let words = match (count, app.alerts.firing_in(&pressed.value).is_empty()) {
        (0, true) => "It is over.".to_owned(),
        (0, false) => format!("{} sees to it.", seen.last().unwrap_or(name)),
        _ => format!("{name} sees to it."),
    };
    change_message(&app, &config.answers_url, &asked, &words).await;
    StatusCode::OK.into_response()
}

/// Whether Slack signed a request just now; answers the signature.
fn prove_slack(app: &App, secret: &Secret, headers: &HeaderMap, body: &[u8]) -> Result<String, Refused> {
    if secret.is_empty() {
        return Err((StatusCode::NOT_FOUND, "there is no `callbacks.slack.signing_secret` in the configuration"));
    }
    let (Some(at), Some(given)) = (text(headers, "x-slack-request-timestamp"), text(headers, "x-slack-signature"))
    else {
        return Err(wrong("it is not signed: `X-Slack-Signature` and `X-Slack-Request-Timestamp` are missing"));
    };
    let wanted = format!("v0={}", hmac(secret, &[b"v0:", at.as_bytes(), b":", body]));
    if !same(&wanted, given) {
        return Err(wrong("the signature is wrong"));
    }
    let at = at.parse::<i64>().map_err(|_| bad("`X-Slack-Request-Timestamp` is no number"))?;
    let (now, at) = (app.runtime.clock.now(), Timestamp(at.saturating_mul(1000)));
    if now.since(at).max(at.since(now)) > SKEW_MAX {
        return Err(wrong("it was signed more than five minutes ago"));
    }
    Ok(given.to_owned())
}

/// Puts words in the place of the button. That it fails costs nothing but the words.
async fn change_message(app: &App, answers: &Url, asked: &Interaction, words: &str) {
    let Ok(url) = asked.response_url.parse::<Url>() else { return };
    if (url.host(), url.is_https()) != (answers.host(), answers.is_https()) {
        tracing::warn!(host = url.host(), "Slack's answer leads elsewhere and is not asked");
        return;
    }
    let is_ours = |attachment: &Value| {
        let elements = attachment["blocks"].as_array().into_iter().flatten().flat_map(|it| it["elements"].as_array());
        elements.flatten().any(|it| it["action_id"] == ACKNOWLEDGE_ACTION)
    };
    let escaped = words.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let said = json!({
        "color": "#2eb67d",
        "fallback": words,
        "blocks": [{"type": "context", "elements": [{"type": "mrkdwn", "text": format!(":eyes: {escaped}")}]}],
    });
    let mut attachments = asked.message["attachments"].as_array().cloned().unwrap_or_default();
    for attachment in attachments.iter_mut().filter(|it| is_ours(it)) {
        *attachment = said.clone();
    }
    let text = asked.message["text"].as_str().unwrap_or_default();
    let body = json!({ "replace_original": true, "text": text, "attachments": attachments }).to_string();
    let mut request = Request::post(url, body);
    request.headers.push(("Content-Type".into(), "application/json".into()));
    request.timeout = CHANGE_MAX;
    request.redirects_max = 0;
    let sent = async {
        let request = HttpClient::new(HttpClientConfig::default()).prepare(&app.runtime, request).await?;
        let answer = client::send(&app.runtime, request).await.map_err(|error| error.to_string())?;
        if (200..300).contains(&answer.status) { Ok(()) } else { Err(format!("status {}", answer.status)) }
    };
    if let Err(reason) = sent.await {
        tracing::warn!(reason, "Slack did not change the message");
    }
}

/// What PagerDuty posts.
#[derive(Deserialize)]
struct PagerdutyBody {
    event: PagerdutyEvent,
}

#[derive(Deserialize)]
struct PagerdutyEvent {
    id: String,
    event_type: String,
    occurred_at: Timestamp,
    #[serde(default)]
    agent: Option<PagerdutyAgent>,
    #[serde(default)]
    data: PagerdutyIncident,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PagerdutyAgent {
    summary: String,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PagerdutyIncident {
    incident_key: Option<String>,
}

/// `POST /callback/pagerduty`.
pub(crate) async fn pagerduty(State(app): State<App>, headers: HeaderMap, body: Bytes) -> Response {
    let secret = app.config.callbacks().pagerduty.secret;
    if secret.is_empty() {
        return refuse(&app, (StatusCode::NOT_FOUND, "there is no `callbacks.pagerduty.secret` in the configuration"));
    }
    let Some(given) = text(&headers, "x-pagerduty-signature") else {
        return refuse(&app, wrong("it is not signed: `X-PagerDuty-Signature` is missing"));
    };
    let wanted = format!("v1={}", hmac(&secret, &[&body]));
    if !given.split(',').any(|one| same(&wanted, one.trim())) {
        return refuse(&app, wrong("the signature is wrong"));
    }
    let Ok(PagerdutyBody { event }) = serde_json::from_slice(&body) else {
        return refuse(&app, bad("it is no event of a webhook of version 3"));
    };
    let Some(group) = event.data.incident_key else { return StatusCode::OK.into_response() };
    match events::knows(&*app.state, &event.id) {
        Ok(false) => {}
        Ok(true) => return StatusCode::OK.into_response(),
        Err(error) => return not_kept(&error),
    }
    let agent = event.agent.unwrap_or_default();
    let name = named(&agent.summary, "PagerDuty");
    let done = match event.event_type.as_str() {
        "incident.acknowledged" => acknowledge(&app, "PagerDuty", &group, name, event.occurred_at).await.map(|_| ()),
        // Our own event resolves what is over. A person who resolves what still fires knows of it.
        "incident.resolved" if agent.kind == "user_reference" => {
            acknowledge(&app, "PagerDuty, where it was resolved", &group, name, event.occurred_at).await.map(|_| ())
        }
        "incident.unacknowledged" | "incident.reopened" => withdraw(&app, "PagerDuty", &group).await,
        _ => Ok(()),
    };
    let noted = match done {
        Ok(()) => events::note(&*app.state, &event.id, app.runtime.clock.now()).await,
        Err(error) => Err(error),
    };
    match noted {
        Ok(()) => StatusCode::OK.into_response(),
        Err(error) => not_kept(&error),
    }
}

/// What Telegram posts when somebody presses a button.
#[derive(Deserialize)]
struct Update {
    #[serde(default)]
    callback_query: Option<Pressed>,
}

#[derive(Deserialize)]
struct Pressed {
    id: String,
    #[serde(default)]
    from: TelegramUser,
    #[serde(default)]
    data: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct TelegramUser {
    first_name: String,
    last_name: String,
    username: String,
}

/// `POST /callback/telegram`. What the person is told is the answer itself.
pub(crate) async fn telegram(State(app): State<App>, headers: HeaderMap, body: Bytes) -> Response {
    let secret = app.config.callbacks().telegram.secret;
    if let Err(refused) = prove_secret(&secret, text(&headers, "x-telegram-bot-api-secret-token")) {
        return refuse(&app, refused);
    }
    let Ok(update) = serde_json::from_slice::<Update>(&body) else {
        return refuse(&app, bad("it is no update of a bot"));
    };
    let Some((pressed, group)) = update.callback_query.as_ref().and_then(|it| {
        let group = it.data.strip_prefix(ACKNOWLEDGE_ACTION)?.strip_prefix(' ')?;
        Some((it, group))
    }) else {
        return StatusCode::OK.into_response();
    };
    let whole = format!("{} {}", pressed.from.first_name, pressed.from.last_name);
    let name = named(if whole.trim().is_empty() { &pressed.from.username } else { &whole }, "somebody");
    let words = match acknowledge(&app, "Telegram", group, name, app.runtime.clock.now()).await {
        Ok(0) if app.alerts.firing_in(group).is_empty() => "It is over.",
        Ok(0) => "Somebody sees to it already.",
        Ok(_) => "You see to it.",
        Err(error) => return not_kept(&error),
    };
    Json(json!({ "method": "answerCallbackQuery", "callback_query_id": pressed.id, "text": words })).into_response()
}

/// What Opsgenie posts.
#[derive(Deserialize)]
struct OpsgenieBody {
    action: String,
    alert: OpsgenieAlert,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct OpsgenieAlert {
    alias: String,
    username: String,
}

/// `POST /callback/opsgenie`.
pub(crate) async fn opsgenie(State(app): State<App>, headers: HeaderMap, body: Bytes) -> Response {
    let secret = app.config.callbacks().opsgenie.secret;
    if let Err(refused) = prove_secret(&secret, text(&headers, "x-alert-secret")) {
        return refuse(&app, refused);
    }
    let Ok(OpsgenieBody { action, alert }) = serde_json::from_slice(&body) else {
        return refuse(&app, bad("it is no action of a webhook"));
    };
    let now = app.runtime.clock.now();
    let done = match action.as_str() {
        "Acknowledge" => {
            let name = named(&alert.username, "Opsgenie");
            acknowledge(&app, "Opsgenie", &alert.alias, name, now).await.map(|_| ())
        }
        "UnAcknowledge" => withdraw(&app, "Opsgenie", &alert.alias).await,
        _ => Ok(()),
    };
    match done {
        Ok(()) => StatusCode::OK.into_response(),
        Err(error) => not_kept(&error),
    }
}

/// Whether a header carries the secret.
fn prove_secret(secret: &Secret, given: Option<&str>) -> Result<(), Refused> {
    if secret.is_empty() {
        return Err((StatusCode::NOT_FOUND, "there is no secret for it under `callbacks` in the configuration"));
    }
    match given {
        None => Err(wrong("the header with the secret is missing")),
        Some(given) if same(secret.expose(), given) => Ok(()),
        Some(_) => Err(wrong("the secret is wrong")),
    }
}
