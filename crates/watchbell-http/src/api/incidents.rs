//! Incidents and the status pages that show them.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use watchbell_alerts::{Incident, IncidentChange, IncidentError, IncidentUpdate};
use watchbell_model::{AlarmId, Timestamp, near_hint};

use super::alerts::{WORDS_MAX, name_of};
use super::{refusal, view};
use crate::access::Caller;
use crate::status::{self, StatusItemConfig, StatusPageConfig};
use crate::{App, Shared};

/// `GET incidents`.
pub(crate) async fn list(State(app): State<App>) -> Response {
    Json(app.alerts.incidents().into_iter().map(view_of).collect::<Vec<_>>()).into_response()
}

fn view_of(it: Incident) -> view::Incident {
    view::Incident {
        stage: it.stage(),
        opened_at: it.opened_at(),
        resolved_at: it.resolved_at(),
        id: it.id,
        title: it.title,
        pages: it.pages,
        affects: it.affects,
        impact: it.impact,
        updates: it.updates,
    }
}

/// `POST incidents`.
pub(crate) async fn open(
    State(app): State<App>,
    axum::Extension(caller): axum::Extension<Caller>,
    asked: Result<Json<view::NewIncident>, JsonRejection>,
) -> Response {
    let asked = match asked {
        Ok(Json(asked)) => asked,
        Err(error) => return refusal(error.status(), error.body_text()),
    };
    let pages = app.config.status_pages();
    if let Some(unknown) = asked.pages.iter().find(|name| !pages.iter().any(|page| page.name == **name)) {
        let hint = near_hint(unknown, "status pages", pages.iter().map(|page| page.name.as_str()));
        return refusal(StatusCode::BAD_REQUEST, format!("pages: there is no status page `{unknown}` ({hint})"));
    }
    let shows = |page: &&Arc<StatusPageConfig>| asked.pages.is_empty() || asked.pages.contains(&page.name);
    let affects = alarms_of(pages.iter().filter(shows), &asked.affects);
    let (affects, by) = match (affects, author(asked.by, &caller)) {
        (Ok(affects), Ok(by)) => (affects, by),
        (Err(words), _) | (_, Err(words)) => return refusal(StatusCode::BAD_REQUEST, words),
    };
    let updates = vec![IncidentUpdate { at: Timestamp::default(), stage: asked.stage, text: asked.text, by }];
    let (title, impact, pages, id) = (asked.title, asked.impact, asked.pages, String::new());
    change(&app, IncidentChange::Open(Incident { id, title, pages, affects, impact, updates })).await
}

/// `POST incidents/{id}`.
pub(crate) async fn update(
    State(app): State<App>,
    Path(id): Path<String>,
    axum::Extension(caller): axum::Extension<Caller>,
    asked: Result<Json<view::NewIncidentUpdate>, JsonRejection>,
) -> Response {
    let asked = match asked {
        Ok(Json(asked)) => asked,
        Err(error) => return refusal(error.status(), error.body_text()),
    };
    let pages = app.config.status_pages();
    let affects = asked.affects.map(|names: Vec<String>| alarms_of(pages.iter(), &names)).transpose();
    let (affects, by) = match (affects, author(asked.by, &caller)) {
        (Ok(affects), Ok(by)) => (affects, by),
        (Err(words), _) | (_, Err(words)) => return refusal(StatusCode::BAD_REQUEST, words),
    };
    let (stage, text, title, impact) = (asked.stage, asked.text, asked.title, asked.impact);
    change(&app, IncidentChange::Update { id, stage, text, by, title, impact, affects }).await
}

/// `DELETE incidents/{id}`.
pub(crate) async fn remove(State(app): State<App>, Path(id): Path<String>) -> Response {
    match app.alerts.change_incident(IncidentChange::Remove(id)).await {
        Ok(_) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => refuse(&error),
    }
}

async fn change(app: &Shared, change: IncidentChange) -> Response {
    match app.alerts.change_incident(change).await {
        Ok(incident) => {
            tracing::info!(id = incident.id, stage = incident.stage().as_str(), "an incident was told of");
            Json(view_of(incident)).into_response()
        }
        Err(error) => refuse(&error),
    }
}

fn refuse(error: &IncidentError) -> Response {
    let status = match error {
        IncidentError::Unknown(_) => StatusCode::NOT_FOUND,
        IncidentError::Invalid(_) => StatusCode::BAD_REQUEST,
        IncidentError::Full => StatusCode::TOO_MANY_REQUESTS,
        IncidentError::State(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    refusal(status, error)
}

fn author(by: String, caller: &Caller) -> Result<String, String> {
    if by.len() > WORDS_MAX {
        return Err(format!("`by` may have {WORDS_MAX} bytes"));
    }
    Ok(if by.is_empty() { name_of(caller) } else { by })
}

/// The alarms that are meant by names of monitors, heartbeats and alarms, or by what these pages call them.
fn alarms_of<'a>(
    pages: impl Iterator<Item = &'a Arc<StatusPageConfig>>,
    names: &[String],
) -> Result<Vec<AlarmId>, String> {
    let items: Vec<&StatusItemConfig> = pages.flat_map(|page| &page.groups).flat_map(|group| &group.items).collect();
    let mut alarms = Vec::new();
    for name in names {
        let is = |item: &&&StatusItemConfig| {
            let own = [&item.monitor, &item.heartbeat, &item.name];
            own.into_iter().any(|it| it.as_ref() == Some(name)) || item.alarm() == *name
        };
        let before = alarms.len();
        alarms.extend(items.iter().filter(is).map(|item| item.alarm()));
        if alarms.len() == before {
            let hint = near_hint(name, "things they show", items.iter().map(|item| item.shown_name()));
            return Err(format!("affects: these status pages show nothing that is called `{name}` ({hint})"));
        }
    }
    alarms.sort();
    alarms.dedup();
    Ok(alarms)
}

/// `GET status-pages`.
pub(crate) async fn pages(State(app): State<App>) -> Response {
    let mut pages = Vec::new();
    for page in app.config.status_pages().iter() {
        pages.push(page_of(&app, page).await);
    }
    Json(pages).into_response()
}

async fn page_of(app: &App, page: &Arc<StatusPageConfig>) -> view::StatusPage {
    let board = status::board_of(app, page).await;
    let configs = page.groups.iter().flat_map(|group| &group.items);
    let shown = board.groups.into_iter().flat_map(|group| group.items);
    let items = configs.zip(shown).map(|(config, item)| {
        let alarm = config.alarm();
        let figure = |figure: &status::Figure| view::StatusPageFigure {
            window: figure.window.clone(),
            up: figure.up,
            expression: status::expression(&alarm, figure),
            at: figure.to,
        };
        let uptime = item.uptime.iter().map(figure).collect();
        view::StatusPageItem { alarm, name: item.name, id: item.id, state: item.state, uptime }
    });
    view::StatusPage {
        href: status::address(app, page),
        access: match (page.public, page.token.is_empty()) {
            (true, _) => view::StatusPageAccess::Public,
            (false, false) => view::StatusPageAccess::Token,
            (false, true) => view::StatusPageAccess::Private,
        },
        items: items.collect(),
        name: board.name,
        title: board.title,
        state: board.state,
        summary: board.summary,
    }
}
