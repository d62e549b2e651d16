//! Run books: the list, and the pages that every page to a person links to.
//!
//! Invariant `no_page_without_runbook`: an address under `/runbooks/` that was put into a page opens. A run book that
//! nobody wrote is made up from what is known of the alarm or the alert, and says that it was.

use std::fmt::Write;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Deserialize;
use watchbell_model::{AlarmState, AlarmStatus, Alert, Labels, RunbookRef, Span, Timestamp};

use super::{alarms, view};
use crate::html::{BELL, encode, escape, glyph, page};
use crate::{App, Shared};

/// `GET runbooks`.
pub(crate) async fn list(State(app): State<App>) -> Response {
    let library = app.notify.runbooks();
    let all = alarms::all(&app);
    let one = |(name, title): (String, String)| {
        let reference = RunbookRef::Named(name.clone());
        let mut missing = library.check(&reference);
        missing.extend(library.check_optional(&reference));
        let mine = |alarm: &&view::Alarm| alarm.runbook.as_ref().is_some_and(|link| link.name == name);
        view::Runbook {
            href: format!("/runbooks/{}", encode(&name)),
            alarms: all.iter().filter(mine).cloned().collect(),
            missing,
            title,
            name,
        }
    };
    Json(library.list().into_iter().map(one).collect::<Vec<_>>()).into_response()
}

/// What a generated run book is about.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct About {
    #[serde(default)]
    fingerprint: String,
    #[serde(default)]
    alarm: String,
}

/// `GET /runbooks/{name}`.
pub(crate) async fn show(State(app): State<App>, Path(name): Path<String>, Query(about): Query<About>) -> Response {
    let library = app.notify.runbooks();
    let now = app.runtime.clock.now();
    if let Some(html) = library.render_html(&name) {
        let title = library.title(&name).unwrap_or(&name).to_owned();
        let reference = RunbookRef::Named(name);
        let statuses = app.alarms.statuses();
        let mine: Vec<&AlarmStatus> = statuses.iter().filter(|it| it.runbook.as_ref() == Some(&reference)).collect();
        let body = sheet(&app, &live(&mine, now), &html);
        return page(StatusCode::OK, &format!("{title} · run book"), &body);
    }
    if name == "stub" || name.starts_with("stub/") {
        return generated(&app, name.strip_prefix("stub/").unwrap_or(""), &about, now);
    }
    let text = format!(
        "<h1>There is no run book <code>{0}</code></h1><p>Write one, then reload:</p>\
         <pre><code>watchbell runbook new {0}</code></pre>",
        escape(&name)
    );
    page(StatusCode::NOT_FOUND, "No such run book", &sheet(&app, "", &text))
}

/// A sheet of paper with the site's name on top. Both parts are HTML.
fn sheet(app: &Shared, above: &str, prose: &str) -> String {
    let name = escape(&super::site_name(app));
    format!(
        "<main class=\"sheet\"><p class=\"sheet-head\"><a href=\"/\">{BELL} {name}</a></p>{above}\
         <article class=\"prose\">{prose}</article></main>"
    )
}

/// The alarms that a run book is for, as they stand now.
fn live(mine: &[&AlarmStatus], now: Timestamp) -> String {
    if mine.is_empty() {
        return String::new();
    }
    let mut html = String::from("<div class=\"live\">");
    let (quiet, loud): (Vec<&AlarmStatus>, Vec<&AlarmStatus>) =
        mine.iter().partition(|status| status.state == AlarmState::Ok);
    for status in loud {
        let (mark, words) = mark(status);
        let class = if mark == "ok" || mark == "none" { "" } else { mark };
        write!(
            html,
            "<a class=\"{class}\" href=\"{}\">{}<b>{}</b><span>{words} for {}{}</span></a>",
            alarms::href(&status.id),
            glyph(mark, words, 20),
            escape(&status.name),
            Span(now.since(status.since)).in_words(),
            if status.state == AlarmState::Alarm { format!(": {}", escape(&status.reason)) } else { String::new() },
        )
        .expect("a string takes it");
    }
    if !quiet.is_empty() {
        let name = |status: &&AlarmStatus| {
            format!("<a href=\"{}\">{}</a>", alarms::href(&status.id), escape(&status.id.replacen('/', " ", 1)))
        };
        let names: Vec<String> = quiet.iter().map(name).collect();
        write!(html, "<p>{} OK: {}</p>", glyph("ok", "OK", 16), names.join(", ")).expect("a string takes it");
    }
    html + "</div>"
}

/// An alarm's mark and state in words.
fn mark(status: &AlarmStatus) -> (&'static str, &'static str) {
    match status.state {
        AlarmState::Ok => ("ok", "OK"),
        AlarmState::InsufficientData => ("none", "not enough data"),
        AlarmState::Alarm if status.severity == "critical" => ("alarm", "in alarm"),
        AlarmState::Alarm => ("warn", "in alarm"),
    }
}

fn generated(app: &Shared, id: &str, about: &About, now: Timestamp) -> Response {
    let alerts = app.alerts.alerts();
    let alert = alerts.iter().find(|it| it.fingerprint == about.fingerprint).map(|it| &it.alert);
    let source = alert.and_then(|alert| alert.labels.get("source")).unwrap_or("");
    let id = [id, &about.alarm, source].into_iter().find(|id| !id.is_empty()).unwrap_or("");
    let status = app.alarms.status(id);
    let title = match (alert, &status) {
        (Some(alert), _) => alert.annotations.get("summary").unwrap_or(alert.name()).to_owned(),
        (None, Some(status)) => status.name.clone(),
        (None, None) => "An alert that is over".to_owned(),
    };
    let name = status.as_ref().map_or_else(|| alert.map_or("alert", Alert::name), |status| &status.name);
    let mut html = format!("<h1>{}</h1>", escape(&title));
    html.push_str(
        "<div class=\"notice\"><div><p><b>Nobody has written a run book for this.</b> This page was made from \
                   what watchbell knows. When you know what to do, write it down for the next person:</p>",
    );
    let file: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
    write!(html, "<pre>watchbell runbook new {}</pre></div></div>", escape(file.trim_matches('-'))).expect("a string");
    if let Some(description) = alert.and_then(|alert| alert.annotations.get("description")) {
        write!(html, "<p>{}</p>", escape(description)).expect("a string takes it");
    }
    if let Some(status) = &status {
        write!(
            html,
            "<h2>What is judged</h2><pre><code>{}</code></pre><p>{}</p>",
            escape(&status.condition),
            escape(&status.reason)
        )
        .expect("a string takes it");
        let history = app.alarms.history(Some(&status.id), 10);
        if !history.is_empty() {
            html.push_str("<h2>What happened before</h2><ul>");
            for change in history {
                write!(html, "<li>{} {}: {}</li>", change.at, change.to, escape(&change.reason)).expect("a string");
            }
            html.push_str("</ul>");
        }
    }
    if let Some(alert) = alert {
        write!(html, "<h2>The alert</h2><p>Firing since {}.</p>", alert.starts_at).expect("a string takes it");
        html.push_str(&table(&alert.labels));
        html.push_str(&table(&alert.annotations));
    }
    if alert.is_none() && status.is_none() {
        html.push_str("<p>It does not fire any more, and nothing more is known of it.</p>");
    }
    let above = status.as_ref().map(|status| live(&[status], now)).unwrap_or_default();
    page(StatusCode::OK, &format!("{title} · run book"), &sheet(app, &above, &html))
}

fn table(labels: &Labels) -> String {
    if labels.is_empty() {
        return String::new();
    }
    let row = |(name, value): (&str, &str)| format!("<tr><th>{}</th><td>{}</td></tr>", escape(name), escape(value));
    format!("<table>{}</table>", labels.iter().map(row).collect::<String>())
}

/// The page of an alarm: its state, reason and links at once, from the server; the script adds the graph.
pub(crate) async fn alarm_page(State(app): State<App>, Path(id): Path<String>) -> Response {
    let Some(found) = alarms::page(&app, &id) else {
        let body = crate::html::door(
            "There is no such alarm",
            "<p>It may have been taken out of the configuration.</p><p><a href=\"/alarms\">All alarms</a></p>",
        );
        return page(StatusCode::NOT_FOUND, "No such alarm", &body);
    };
    let Some(status) = app.alarms.status(&id) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let now = app.runtime.clock.now();
    let (mark, words) = mark(&status);
    let runbook = found.alarm.runbook.as_ref().map_or_else(String::new, |link| {
        format!("<a class=\"button primary\" href=\"{}\">Open run book</a>", escape(&link.href))
    });
    let first = format!(
        "<main><header class=\"alarm-head {mark}\">{}<div><p class=\"crumb\"><a href=\"/alarms\">Alarms</a></p>\
         <h1>{}</h1><p class=\"state\"><b>{words}</b> for <b>{}</b>, since {}</p><p class=\"reason\">{}</p></div>\
         <div class=\"do\">{runbook}</div></header></main>",
        glyph(mark, words, 40),
        escape(&status.name),
        Span(now.since(status.since)).in_words(),
        status.since,
        escape(&status.reason),
    );
    crate::html::app(&format!("{} · {}", status.name, super::site_name(&app)), &first, None)
}
