//! Badges of status pages: `/status/<page>/badge/<item>/uptime-30d.svg`, and of the whole page `/status/<page>/badge/status.svg`.

use axum::extract::{Path, State};
use axum::response::Response;

use super::board::{Board, BoardItem, Health};
use super::days::percent;
use super::page::latency;
use super::{Visitor, dress, nothing, page_named, shown};
use crate::App;
use crate::badge::{Badge, Tone};

const DAY_MS: i64 = 86_400_000;
/// A certificate that ends within so many days is to be looked at, or is bad.
const CERTIFICATE_DAYS: (i64, i64) = (21, 7);

/// `/status/{name}/badge/{file}`: of the whole page.
pub(crate) async fn of_page(
    State(app): State<App>,
    Path((name, file)): Path<(String, String)>,
    visitor: Visitor,
) -> Response {
    answer(&app, &visitor, &name, |board| {
        let (kind, format) = file.rsplit_once('.')?;
        if kind == "status" { whole(board).answer(format) } else { None }
    })
    .await
}

/// `/api/status-page/{name}/badge`, where Uptime Kuma has it.
pub(crate) async fn of_kuma_page(State(app): State<App>, Path(name): Path<String>, visitor: Visitor) -> Response {
    answer(&app, &visitor, &name.to_ascii_lowercase(), |board| whole(board).answer("svg")).await
}

fn whole(board: &Board) -> Badge {
    Badge { label: board.title.clone(), message: board.state.word().to_owned(), tone: tone(board.state) }
}

/// `/status/{name}/badge/{item}/{file}`.
pub(crate) async fn of_item(
    State(app): State<App>,
    Path((name, item, file)): Path<(String, String, String)>,
    visitor: Visitor,
) -> Response {
    answer(&app, &visitor, &name, |board| {
        let (kind, format) = file.rsplit_once('.')?;
        badge(found(board, &item)?, kind, board)?.answer(format)
    })
    .await
}

/// Uptime Kuma's addresses, with an item of a public page in place of its number: `/api/badge/<item>/uptime/720`.
pub(crate) async fn of_kuma(
    State(app): State<App>,
    Path((item, rest)): Path<(String, String)>,
    visitor: Visitor,
) -> Response {
    let kind = match rest.trim_end_matches('/').split_once('/').unwrap_or((&rest, "")) {
        ("status", _) => "status".to_owned(),
        ("ping" | "avg-response" | "response", _) => "latency".to_owned(),
        ("cert-exp", _) => "certificate".to_owned(),
        ("uptime", window) => format!("uptime-{}", window_of(window)),
        _ => return nothing(false),
    };
    for page in app.config.status_pages().iter().filter(|page| page.public) {
        let board = &shown(&app, page).await.board;
        if found(board, &item).is_some() {
            return answer(&app, &visitor, &page.name, |board| {
                badge(found(board, &item)?, &kind, board)?.answer("svg")
            })
            .await;
        }
    }
    nothing(false)
}

/// Kuma counts in hours, a day unless it says.
fn window_of(window: &str) -> &str {
    match window {
        "" | "24" | "24h" | "1d" => "24h",
        "168" | "168h" => "7d",
        "720" | "720h" => "30d",
        "2160" | "2160h" => "90d",
        other => other,
    }
}

async fn answer(app: &App, visitor: &Visitor, name: &str, make: impl FnOnce(&Board) -> Option<Response>) -> Response {
    let Some(page) = page_named(app, name) else { return nothing(false) };
    if let Some(refused) = visitor.instead(app, &page, false) {
        return refused;
    }
    let Some(mut response) = make(&shown(app, &page).await.board) else { return nothing(false) };
    dress(&mut response, page.public);
    response
}

fn found<'a>(board: &'a Board, item: &str) -> Option<&'a BoardItem> {
    board.groups.iter().flat_map(|group| &group.items).find(|it| it.id == item)
}

fn tone(state: Health) -> Tone {
    match state {
        Health::Up => Tone::Good,
        Health::Maintenance | Health::Unknown => Tone::Plain,
        Health::Degraded => Tone::Fair,
        Health::Down => Tone::Bad,
    }
}

/// One of an item's badges; `None` if there is no such, or the page does not say that of it.
fn badge(item: &BoardItem, kind: &str, board: &Board) -> Option<Badge> {
    let unknown = || ("unknown".to_owned(), Tone::Plain);
    let (what, (message, tone)) = match kind.split_once('-').unwrap_or((kind, "")) {
        ("status", "") => ("", (item.state.word().to_owned(), tone(item.state))),
        ("uptime", window) => {
            let figure = item.uptime.iter().find(|it| it.window == window)?;
            let tone = |up: f64| match up {
                up if up >= 0.999 => Tone::Good,
                up if up >= 0.99 => Tone::Fair,
                _ => Tone::Bad,
            };
            (window, figure.up.map_or_else(unknown, |up| (percent(up), tone(up))))
        }
        ("latency", "") => ("latency", (latency(item.latency?), Tone::Plain)),
        ("certificate", "") => {
            let days = (item.certificate_ends_at?.as_millis() - board.now.as_millis()).div_euclid(DAY_MS);
            let (fair, bad) = CERTIFICATE_DAYS;
            let tone = if days <= bad {
                Tone::Bad
            } else if days <= fair {
                Tone::Fair
            } else {
                Tone::Good
            };
            ("certificate", (format!("{days} days"), tone))
        }
        _ => return None,
    };
    let label = if what.is_empty() { item.name.clone() } else { format!("{} {what}", item.name) };
    Some(Badge { label, message, tone })
}
