//! A status page as HTML: plain, without script, readable without colours and by ear.

use std::fmt::Write;

use jiff::tz::TimeZone;
use watchbell_alerts::{Impact, Stage};
use watchbell_model::Timestamp;

use super::board::{Board, BoardDay, BoardGroup, BoardIncident, BoardItem, BoardMaintenance, Health, zoned};
use super::config::{StatusPageConfig, Theme};
use super::days::{DayState, in_words, percent};
use crate::assets;
use crate::html::{encode, escape, glyph};

/// Bars are drawn this wide and this high; the page stretches them.
const BAR: usize = 10;
const HEIGHT: usize = 34;
/// How often a browser looks again by itself, in seconds.
const LOOK_AGAIN_S: u32 = 60;

/// The whole document.
pub(super) fn html(board: &Board, page: &StatusPageConfig) -> String {
    let zone = page.zone();
    let (scheme, dark) = match page.theme {
        Theme::Auto => ("light dark", Some(" media=\"(prefers-color-scheme: dark)\"")),
        Theme::Light => ("light", None),
        Theme::Dark => ("dark", Some("")),
    };
    let dark = dark.map_or_else(String::new, |media| {
        format!("<link rel=\"stylesheet\" href=\"{}\"{media}>\n", assets::address("status-dark.css"))
    });
    let style = assets::address("status.css");
    let (title, path) = (escape(&board.title), format!("/status/{}", encode(&board.name)));
    let icon = if board.state == Health::Down { "icon-alarm" } else { "icon" };
    let robots = if page.public { "" } else { "<meta name=\"robots\" content=\"noindex\">\n" };
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>{}: {title}</title>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"{scheme}\">\n{robots}\
         <meta http-equiv=\"refresh\" content=\"{LOOK_AGAIN_S}\">\n\
         <link rel=\"icon\" href=\"/assets/{icon}.svg\" type=\"image/svg+xml\">\n\
         <link rel=\"stylesheet\" href=\"{style}\">\n{dark}\
         <link rel=\"alternate\" type=\"application/atom+xml\" title=\"{title}\" href=\"{path}/feed.atom\">\n\
         <link rel=\"alternate\" type=\"application/rss+xml\" title=\"{title}\" href=\"{path}/feed.rss\">\n\
         <body>\n<main>\n<header><h1>{title}</h1>{}</header>\n",
        escape(&board.summary),
        paragraphs(&board.description),
    );
    writeln!(
        out,
        "<p class=\"banner {}\" role=\"status\">{}<b>{}</b><span>as of {}</span></p>",
        board.state.word(),
        mark(board.state, 28),
        escape(&board.summary),
        time(board.now, &zone),
    )
    .expect("a string takes it");
    let (open, over): (Vec<&BoardIncident>, Vec<&BoardIncident>) =
        board.incidents.iter().partition(|it| it.resolved_at.is_none());
    section(&mut out, "Incidents", "h2", open.iter().map(|it| incident(it, &zone)));
    section(&mut out, "Maintenance", "h2", board.maintenance.iter().map(|it| maintenance(it, &zone)));
    for (at, group) in board.groups.iter().enumerate() {
        self::group(&mut out, at, group, &zone);
    }
    if !board.history_known {
        out.push_str("<p class=\"note\">What was before cannot be read just now.</p>\n");
    }
    section(&mut out, "Past incidents", "h2", over.iter().map(|it| incident(it, &zone)));
    footer(&mut out, board, page, &path);
    out.push_str("</main>\n</body>\n</html>\n");
    out
}

/// A heading and what stands under it, if anything does.
fn section(out: &mut String, name: &str, heading: &str, parts: impl Iterator<Item = String>) {
    let parts: String = parts.collect();
    if !parts.is_empty() {
        writeln!(out, "<section><{heading}>{name}</{heading}>\n{parts}</section>").expect("a string takes it");
    }
}

/// The mark of a state, by colour and by shape.
fn mark(state: Health, size: u32) -> String {
    let (mark, label) = match state {
        Health::Up => ("ok", "up"),
        Health::Maintenance => ("paused", "in maintenance"),
        Health::Unknown => ("none", "unknown"),
        Health::Degraded => ("warn", "degraded"),
        Health::Down => ("alarm", "down"),
    };
    glyph(mark, label, size)
}

fn group(out: &mut String, at: usize, group: &BoardGroup, zone: &TimeZone) {
    let heading = if group.name.is_empty() {
        String::new()
    } else {
        format!("<h2 id=\"group-{at}\">{}</h2>\n", escape(&group.name))
    };
    let label = if group.name.is_empty() { String::new() } else { format!(" aria-labelledby=\"group-{at}\"") };
    writeln!(out, "<section{label}>{heading}<ul class=\"items\">").expect("a string takes it");
    group.items.iter().for_each(|it| item(out, it, zone));
    out.push_str("</ul></section>\n");
}

fn item(out: &mut String, item: &BoardItem, zone: &TimeZone) {
    let state = item.state.word();
    let mut words = match (item.state, item.since) {
        (Health::Down, Some(since)) => format!("<span><b>down</b> since {}</span>", time(since, zone)),
        (state, _) => format!("<span><b>{}</b></span>", state.word()),
    };
    if let Some(seconds) = item.latency {
        write!(words, "<span>{}</span>", latency(seconds)).expect("a string takes it");
    }
    if let Some(at) = item.certificate_ends_at {
        let day = zoned(at, zone).strftime("%-d %b %Y").to_string();
        write!(words, "<span>certificate until {day}</span>").expect("a string takes it");
    }
    writeln!(
        out,
        "<li class=\"item {state}\"><div class=\"head\">{}<h3>{}</h3><p>{words}</p></div>",
        mark(item.state, 18),
        escape(&item.name),
    )
    .expect("a string takes it");
    out.push_str(&paragraphs(&item.description));
    if let Some(reason) = &item.reason {
        write!(out, "<p class=\"reason\">{}</p>", escape(reason)).expect("a string takes it");
    }
    if !item.days.is_empty() {
        bars(out, item);
        details(out, item);
    }
    out.push_str("</li>\n");
}

fn bars(out: &mut String, item: &BoardItem) {
    let count = item.days.len();
    let trouble = item.days.iter().filter(|day| day.down_minutes > 0).count();
    let figure = item.uptime.last().and_then(|figure| Some((percent(figure.up?), figure.window.as_str())));
    let said = match trouble {
        0 => "no day with an outage that is known of".to_owned(),
        1 => "1 day with an outage".to_owned(),
        many => format!("{many} days with outages"),
    };
    write!(
        out,
        "<svg class=\"bars\" viewBox=\"0 0 {} {HEIGHT}\" preserveAspectRatio=\"none\" role=\"img\" \
         aria-label=\"The last {count} days: {said}\">",
        count * BAR,
    )
    .expect("a string takes it");
    for (at, day) in item.days.iter().enumerate() {
        let (class, top) = match day.state {
            DayState::Up => ("u", 8),
            DayState::Partly => ("p", 4),
            DayState::Down => ("d", 0),
            DayState::Maintenance => ("m", 18),
            DayState::Unknown => ("n", HEIGHT - 4),
        };
        write!(
            out,
            "<g class=\"{class}\"><title>{}: {}</title><rect x=\"{}\" y=\"{top}\" width=\"{}\" height=\"{}\"/></g>",
            day.date,
            day_words(day),
            at * BAR + 1,
            BAR - 3,
            HEIGHT - top,
        )
        .expect("a string takes it");
    }
    let days = if count == 1 { "today".to_owned() } else { format!("{count} days ago") };
    let shown = figure.map_or_else(|| "not known yet".to_owned(), |(up, window)| format!("{up} up in {window}"));
    write!(out, "</svg>\n<p class=\"scale\"><span>{days}</span><b>{shown}</b><span>today</span></p>")
        .expect("a string");
}

/// A day in words.
fn day_words(day: &BoardDay) -> String {
    let mut words = match (day.up, day.down_minutes) {
        (None, _) => "not known".to_owned(),
        (Some(_), 0) => "up".to_owned(),
        (Some(up), down) => format!("down for {} ({} up)", in_words(down), percent(up)),
    };
    if day.maintenance_minutes > 0 {
        let maintenance = format!("maintenance for {}", in_words(day.maintenance_minutes));
        words = if day.up.is_none() { maintenance } else { format!("{words}, {maintenance}") };
    }
    words
}

/// What the bars say, for those who cannot point at one.
fn details(out: &mut String, item: &BoardItem) {
    out.push_str("<details><summary>Figures and days with trouble</summary><dl>");
    for figure in &item.uptime {
        let up = figure.up.map_or_else(|| "not known".to_owned(), percent);
        write!(out, "<div><dt>{}</dt><dd>{up}</dd></div>", figure.window).expect("a string takes it");
    }
    out.push_str("</dl>");
    let trouble: String = item
        .days
        .iter()
        .rev()
        .filter(|day| day.down_minutes > 0 || day.maintenance_minutes > 0)
        .map(|day| format!("<li><time>{}</time> {}</li>", day.date, day_words(day)))
        .collect();
    if trouble.is_empty() {
        out.push_str("<p>No day with trouble is known.</p>");
    } else {
        write!(out, "<ul>{trouble}</ul>").expect("a string takes it");
    }
    out.push_str("</details>");
}

fn incident(incident: &BoardIncident, zone: &TimeZone) -> String {
    let over = incident.resolved_at.is_some();
    let class = match (over, incident.impact) {
        (true, _) => "over",
        (_, Impact::Outage) => "outage",
        (_, Impact::Degraded) => "degraded",
        (_, Impact::Notice) => "notice",
    };
    let mut out = format!(
        "<article class=\"incident {class}\" id=\"{}\"><h3>{}</h3><p class=\"about\">{}{}</p>\n<ol>",
        escape(&incident.id),
        escape(&incident.title),
        incident.impact.as_str(),
        affected(&incident.affects),
    );
    for update in &incident.updates {
        write!(
            out,
            "<li><p class=\"stage\"><b>{}</b> {}</p>{}</li>",
            stage(update.stage),
            time(update.at, zone),
            paragraphs(&update.text),
        )
        .expect("a string takes it");
    }
    out.push_str("</ol></article>\n");
    out
}

fn affected(names: &[String]) -> String {
    if names.is_empty() { String::new() } else { format!(": {}", escape(&names.join(", "))) }
}

pub(super) fn stage(stage: Stage) -> &'static str {
    match stage {
        Stage::Investigating => "Investigating",
        Stage::Identified => "Identified",
        Stage::Monitoring => "Monitoring",
        Stage::Resolved => "Resolved",
    }
}

fn maintenance(it: &BoardMaintenance, zone: &TimeZone) -> String {
    let until = it.until.map(|at| format!("until {}", time(at, zone)));
    let when = match (it.from, until) {
        (None, None) => "Under way".to_owned(),
        (None, Some(until)) => format!("Under way {until}"),
        (Some(from), until) => format!("From {} {}", time(from, zone), until.unwrap_or_default()),
    };
    format!(
        "<article class=\"incident maintenance\"><h3>{}</h3><p class=\"about\">{when}</p></article>\n",
        escape(&it.affects.join(", "))
    )
}

fn footer(out: &mut String, board: &Board, page: &StatusPageConfig, path: &str) {
    let zone = escape(&board.time_zone);
    write!(
        out,
        "<footer>\n<ul class=\"legend\" aria-label=\"What the bars mean\">{}</ul>\n{}\
         <p>Days and times are those of {zone}. Time in maintenance does not count. \
         <a href=\"{path}/feed.atom\">Feed</a></p>\n</footer>\n",
        [
            ("u", 8, "up"),
            ("p", 4, "down for a while"),
            ("d", 0, "down for long"),
            ("m", 18, "maintenance"),
            ("n", 30, "not known")
        ]
        .map(|(class, top, words)| format!(
            "<li><svg class=\"bars\" viewBox=\"0 0 {BAR} {HEIGHT}\" aria-hidden=\"true\"><g class=\"{class}\">\
                 <rect x=\"1\" y=\"{top}\" width=\"{}\" height=\"{}\"/></g></svg>{words}</li>",
            BAR - 3,
            HEIGHT - top,
        ))
        .concat(),
        paragraphs(&page.footer),
    )
    .expect("a string takes it");
}

/// A person's words: an empty line parts paragraphs, other line ends stay.
fn paragraphs(text: &str) -> String {
    let text = text.replace("\r\n", "\n");
    let parts = text.split("\n\n").map(str::trim).filter(|part| !part.is_empty());
    parts.map(|part| format!("<p>{}</p>", escape(part).replace('\n', "<br>"))).collect()
}

/// A moment as people read it.
fn time(at: Timestamp, zone: &TimeZone) -> String {
    let shown = zoned(at, zone).strftime("%-d %b %Y, %H:%M %Z").to_string();
    format!("<time datetime=\"{at}\">{shown}</time>")
}

/// How long a probe took.
pub(super) fn latency(seconds: f64) -> String {
    if seconds < 1.0 { format!("{:.0} ms", seconds * 1e3) } else { format!("{seconds:.1} s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_people_stay_words() {
        assert_eq!(paragraphs("a <b>\nc\r\n\r\n\n d "), "<p>a &lt;b&gt;<br>c</p><p>d</p>");
        assert_eq!(paragraphs(" \n"), "");
    }

    #[test]
    fn a_day_is_told_in_words() {
        let day = |up, down_minutes, maintenance_minutes| {
            let (date, state, known_minutes) = (String::new(), DayState::Up, 0);
            day_words(&BoardDay { date, state, up, down_minutes, maintenance_minutes, known_minutes })
        };
        assert_eq!(day(None, 0, 0), "not known");
        assert_eq!(day(None, 0, 90), "maintenance for 1 hour 30 minutes");
        assert_eq!(day(Some(1.0), 0, 0), "up");
        assert_eq!(day(Some(0.99), 14, 1), "down for 14 minutes (99.00 % up), maintenance for 1 minute");
        assert_eq!([latency(0.0456), latency(2.345)], ["46 ms", "2.3 s"]);
    }
}
