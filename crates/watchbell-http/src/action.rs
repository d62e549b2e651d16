//! What a page's links do without signing in: acknowledge its alerts, silence them for a while, or say whether the page
//! was worth it.
//!
//! `GET` shows what would be done and changes nothing, so that a chat program that looks at a link to show a preview does
//! nothing; the button's `POST` does it, and so does the button of a push. A link says which group, who was told, and how
//! long it works, and is signed.

use axum::Form;
use axum::extract::rejection::FormRejection;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, Uri, header};
use serde::Deserialize;
use watchbell_alerts::{Acknowledgement, Episode, Judgement, Silence, Verdict};
use watchbell_model::{Labels, Matcher, Span, Timestamp};

use crate::html::{door, escape, page};
use crate::{App, callback};

/// How long a silence by a link may be, and what is offered.
const SILENCES: [(&str, Span); 3] =
    [("1 hour", Span::hours(1)), ("8 hours", Span::hours(8)), ("1 day", Span::hours(24))];
/// Past so many alerts a silence names what they have in common, in place of each.
const SETS_MAX: usize = 50;
/// Alerts named on the page.
const NAMED_MAX: usize = 10;
/// The longest note beside a verdict, in characters.
const NOTE_MAX: usize = 500;
/// Verdicts in words, in the order of their buttons.
const VERDICTS: [(Judgement, &str); 5] = [
    (Judgement::False, "False: nothing was wrong"),
    (Judgement::True, "True: it was worth it"),
    (Judgement::Early, "Too early"),
    (Judgement::Late, "Too late"),
    (Judgement::Unactionable, "Nothing to be done"),
];

/// What a link says.
#[derive(Deserialize)]
pub(crate) struct Link {
    group: String,
    #[serde(default)]
    by: String,
    /// Until when it works, in seconds since 1970.
    until: i64,
    /// The alerts of the group that it is about began in these seconds; only of verdicts.
    #[serde(default)]
    since: i64,
    #[serde(default)]
    at: i64,
}

/// What the buttons for a verdict say.
#[derive(Default, Deserialize)]
pub(crate) struct Said {
    #[serde(default)]
    verdict: Option<Judgement>,
    #[serde(default)]
    note: String,
}

/// What the button for silences says.
#[derive(Default, Deserialize)]
pub(crate) struct Length {
    /// Such as `1h`.
    #[serde(default, rename = "for")]
    length: String,
}

/// `GET /do/acknowledge`.
pub(crate) async fn ask_acknowledge(State(app): State<App>, Query(link): Query<Link>, uri: Uri) -> Response {
    ask(
        &app,
        &link,
        &uri,
        "Acknowledge",
        &[("Acknowledge", "")],
        "Nobody further is told while you see to it, and it is not repeated. You are told when it changes or ends.",
    )
}

/// `GET /do/silence`.
pub(crate) async fn ask_silence(State(app): State<App>, Query(link): Query<Link>, uri: Uri) -> Response {
    let buttons: Vec<(&str, String)> = SILENCES.iter().map(|(name, span)| (*name, span.to_string())).collect();
    let buttons: Vec<(&str, &str)> = buttons.iter().map(|(name, value)| (*name, value.as_str())).collect();
    ask(
        &app,
        &link,
        &uri,
        "Silence",
        &buttons,
        "Nobody is told of these alerts meanwhile; measuring goes on. What else breaks is told all the same.",
    )
}

fn ask(app: &App, link: &Link, uri: &Uri, what: &str, buttons: &[(&str, &str)], words: &str) -> Response {
    let firing = match firing(app, link) {
        Ok(firing) => firing,
        Err(refused) => return *refused,
    };
    let names = listed(firing.iter().map(name));
    let address = uri.path_and_query().map_or("", |it| it.as_str());
    let button = |(at, (label, value)): (usize, &(&str, &str))| {
        let class = if at == 0 { "button primary" } else { "button" };
        format!("<button type=\"submit\" name=\"for\" value=\"{value}\" class=\"{class}\">{label}</button> ")
    };
    let buttons: String = buttons.iter().enumerate().map(button).collect();
    let body =
        format!("<ul>{names}</ul><p>{words}</p><form method=\"post\" action=\"{}\">{buttons}</form>", escape(address));
    page(StatusCode::OK, &format!("{what} · watchbell"), &door(what, &body))
}

/// The first of them as a list's items, and how many more there are.
fn listed(names: impl ExactSizeIterator<Item = String>) -> String {
    let more = names.len().saturating_sub(NAMED_MAX);
    let names: String = names.take(NAMED_MAX).map(|name| format!("<li>{}</li>", escape(&name))).collect();
    if more > 0 { format!("{names}<li>and {more} more</li>") } else { names }
}

/// `GET /do/verdict`.
pub(crate) async fn ask_verdict(State(app): State<App>, Query(link): Query<Link>, uri: Uri) -> Response {
    let episodes = match episodes(&app, &link) {
        Ok(episodes) => episodes,
        Err(refused) => return *refused,
    };
    let said = |it: &Episode| it.verdict.as_ref().map(|said| format!(" ({}, by {})", said.verdict.as_str(), said.by));
    let name = |it: &Episode| format!("{}{}", name(&it.labels), said(it).unwrap_or_default());
    let names = listed(episodes.iter().map(name));
    let button = |(verdict, words): &(Judgement, &str)| {
        let class = if *verdict == Judgement::False { "button primary" } else { "button" };
        let word = verdict.as_str();
        format!("<button type=\"submit\" name=\"verdict\" value=\"{word}\" class=\"{class}\">{words}</button> ")
    };
    let body = format!(
        "<ul>{names}</ul><p>Alarms that page for nothing are found by what is said of them.</p>\
         <form method=\"post\" action=\"{}\"><p><input name=\"note\" maxlength=\"{NOTE_MAX}\" aria-label=\"Note\" \
         placeholder=\"A few words, if you like\"></p>{}</form>",
        escape(uri.path_and_query().map_or("", |it| it.as_str())),
        VERDICTS.iter().map(button).collect::<String>()
    );
    let heading = "Was this page worth it?";
    page(StatusCode::OK, &format!("{heading} · watchbell"), &door(heading, &body))
}

/// `POST /do/verdict`; without a form it is `false`, as the button of a push says.
pub(crate) async fn judge(
    State(app): State<App>,
    Query(link): Query<Link>,
    form: Result<Form<Said>, FormRejection>,
) -> Response {
    let episodes = match episodes(&app, &link) {
        Ok(episodes) => episodes,
        Err(refused) => return *refused,
    };
    let Form(said) = form.unwrap_or_default();
    let verdict = Verdict {
        verdict: said.verdict.unwrap_or(Judgement::False),
        by: who(&link),
        at: app.runtime.clock.now(),
        note: said.note.trim().chars().take(NOTE_MAX).collect(),
    };
    let word = verdict.verdict.as_str();
    match app.alerts.judge(episodes.iter().map(Episode::key).collect(), Some(verdict)).await {
        Ok(count) => {
            tracing::info!(by = who(&link), count, verdict = word, "a verdict was given by a page's link");
            done(&format!("Marked {word}"), "Thank you. The same link changes it.")
        }
        Err(error) => failed(&error),
    }
}

/// The alerts of the page, over or not, or why nothing can be said of them.
fn episodes(app: &App, link: &Link) -> Result<Vec<Episode>, Box<Response>> {
    too_old(app, link)?;
    let (since, at) = (Timestamp(link.since.saturating_mul(1000)), Timestamp(link.at.saturating_mul(1000)));
    let of = |it: &Episode| it.groups.contains(&link.group) && since <= it.starts_at && it.starts_at <= at;
    let episodes = app.alerts.episodes(of);
    if episodes.is_empty() {
        return Err(Box::new(done("It is forgotten", "The alerts of this page are no longer kept.")));
    }
    Ok(episodes)
}

/// `POST /do/acknowledge`.
pub(crate) async fn acknowledge(State(app): State<App>, Query(link): Query<Link>) -> Response {
    if let Err(refused) = firing(&app, &link) {
        return *refused;
    }
    let by = Acknowledgement { by: who(&link), at: app.runtime.clock.now(), comment: String::new() };
    match app.alerts.acknowledge_group(&link.group, Some(by)).await {
        Ok(count) => {
            tracing::info!(by = who(&link), count, "alerts acknowledged by a page's link");
            done("Acknowledged", "Nobody further is told while you see to it.")
        }
        Err(error) => failed(&error),
    }
}

/// What Pushover says of an emergency push when somebody answers it.
#[derive(Deserialize)]
pub(crate) struct Receipt {
    acknowledged: u8,
    #[serde(default)]
    acknowledged_by_device: String,
}

/// `POST /do/receipt`: the callback of an emergency push. Who saw to it before stays.
pub(crate) async fn receipt(
    State(app): State<App>,
    Query(link): Query<Link>,
    form: Result<Form<Receipt>, FormRejection>,
) -> Response {
    let Ok(Form(receipt)) = form else {
        let body = "<p>It lacks <code>acknowledged</code>.</p>";
        return page(StatusCode::BAD_REQUEST, "watchbell", &door("This is no receipt of Pushover", body));
    };
    if let Err(refused) = too_old(&app, &link) {
        return *refused;
    }
    if receipt.acknowledged != 1 {
        return done("Noted", "Nobody has answered it.");
    }
    let device: String = receipt.acknowledged_by_device.chars().filter(|c| !c.is_control()).take(100).collect();
    let by = if device.is_empty() { who(&link) } else { format!("{} ({device})", who(&link)) };
    match callback::acknowledge(&app, "Pushover", &link.group, by, app.runtime.clock.now()).await {
        Ok(_) => done("Acknowledged", "Nobody further is told while you see to it."),
        Err(error) => failed(&error),
    }
}

/// `POST /do/silence`.
pub(crate) async fn silence(
    State(app): State<App>,
    Query(link): Query<Link>,
    form: Result<Form<Length>, FormRejection>,
) -> Response {
    let firing = match firing(&app, &link) {
        Ok(firing) => firing,
        Err(refused) => return *refused,
    };
    let asked = form.map(|Form(form)| form.length).unwrap_or_default();
    let span = SILENCES.iter().map(|(_, span)| *span).find(|span| span.to_string() == asked).unwrap_or(SILENCES[0].1);
    let now = app.runtime.clock.now();
    let silence = Silence {
        id: String::new(),
        matchers: sets(&firing),
        starts_at: now,
        ends_at: now + span.duration(),
        created_by: who(&link),
        comment: "by a page's link".to_owned(),
        annotations: Labels::empty(),
        updated_at: now,
    };
    match app.alerts.set_silence(silence).await {
        Ok(id) => {
            tracing::info!(by = who(&link), id, "alerts silenced by a page's link");
            done("Silenced", &format!("For {}. The page of the alerts ends it sooner.", span.in_words()))
        }
        Err(error) => failed(&error),
    }
}

fn too_old(app: &App, link: &Link) -> Result<(), Box<Response>> {
    if app.runtime.clock.now() >= Timestamp(link.until.saturating_mul(1000)) {
        let body = "<p>It worked for a week. Sign in, or open the link of a newer page.</p>";
        return Err(Box::new(page(StatusCode::GONE, "watchbell", &door("This link is too old", body))));
    }
    Ok(())
}

/// The alerts it is about, or why nothing can be done.
fn firing(app: &App, link: &Link) -> Result<Vec<Labels>, Box<Response>> {
    too_old(app, link)?;
    let firing = app.alerts.firing_in(&link.group);
    if firing.is_empty() {
        let words = "Nothing of this page fires any more; there is nothing to do.";
        return Err(Box::new(done("It is over", words)));
    }
    Ok(firing)
}

/// Matchers of exactly these alerts; of very many, of what they have in common.
fn sets(firing: &[Labels]) -> Vec<Vec<Matcher>> {
    let exactly = |labels: &Labels| labels.iter().map(|(name, value)| Matcher::equal(name, value)).collect();
    if firing.len() <= SETS_MAX {
        return firing.iter().map(exactly).collect();
    }
    let Some((first, others)) = firing.split_first() else { return Vec::new() };
    let shared = first.iter().filter(|(name, value)| others.iter().all(|it| it.get(name) == Some(*value)));
    vec![shared.map(|(name, value)| Matcher::equal(name, value)).collect()]
}

fn name(labels: &Labels) -> String {
    let place = ["source", "instance", "job"].into_iter().find_map(|label| labels.get(label));
    let name = labels.get("alertname").unwrap_or("an alert");
    place.map_or_else(|| name.to_owned(), |place| format!("{name} ({place})"))
}

fn who(link: &Link) -> String {
    let by: String = link.by.chars().filter(|c| !c.is_control()).take(100).collect();
    if by.is_empty() { "a page's link".to_owned() } else { by }
}

fn done(heading: &str, words: &str) -> Response {
    let mut response = page(StatusCode::OK, "watchbell", &door(heading, &format!("<p>{}</p>", escape(words))));
    // The web page of a push service presses the button from its own address.
    response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    response
}

fn failed(error: &(dyn std::error::Error + 'static)) -> Response {
    tracing::error!(error, "what a page's link asked for was not kept");
    let body = "<p>It could not be kept. Try again; the log says why.</p>".to_owned();
    page(StatusCode::SERVICE_UNAVAILABLE, "watchbell", &door("That did not work", &body)).into_response()
}
