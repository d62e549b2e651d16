//! What is told on a status page, as a feed in Atom and in RSS: each update of an incident, and what is down now.

use std::fmt::Write;

use jiff::tz::TimeZone;
use watchbell_model::Timestamp;

use super::board::{Board, Health, zoned};
use super::page::stage;
use crate::html::{encode, escape};

/// How many entries it has at most, the latest.
const ENTRIES_MAX: usize = 50;

struct Entry {
    id: String,
    title: String,
    at: Timestamp,
    text: String,
}

/// The latest first.
fn entries(board: &Board) -> Vec<Entry> {
    let mut entries = Vec::new();
    for incident in &board.incidents {
        for (nth, update) in incident.updates.iter().rev().enumerate() {
            entries.push(Entry {
                id: format!("urn:uuid:{}:{nth}", incident.id),
                title: format!("{}: {}", stage(update.stage), incident.title),
                at: update.at,
                text: update.text.clone(),
            });
        }
    }
    for item in board.groups.iter().flat_map(|group| &group.items).filter(|item| item.state == Health::Down) {
        let since = item.since.unwrap_or(board.now);
        entries.push(Entry {
            id: format!("urn:watchbell:{}:{}:{}", board.name, encode(&item.id), since.as_millis()),
            title: format!("{} is down", item.name),
            at: since,
            text: format!("{} is down since {since}.", item.name),
        });
    }
    entries.sort_by(|a, b| b.at.cmp(&a.at).then_with(|| a.id.cmp(&b.id)));
    entries.truncate(ENTRIES_MAX);
    entries
}

/// As Atom; `address` is the page's own.
pub(super) fn atom(board: &Board, address: &str) -> String {
    let entries = entries(board);
    let (title, link) = (escape(&board.title), escape(address));
    let updated = entries.first().map_or(Timestamp(0), |entry| entry.at);
    let mut out = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<feed xmlns=\"http://www.w3.org/2005/Atom\">\n\
         <id>urn:watchbell:{}</id>\n<title>{title}</title>\n<author><name>{title}</name></author>\n\
         <link href=\"{link}\"/>\n<link rel=\"self\" href=\"{link}/feed.atom\"/>\n<updated>{updated}</updated>\n",
        escape(&board.name),
    );
    for Entry { id, title, at, text } in entries {
        writeln!(
            out,
            "<entry><id>{}</id><title>{}</title><updated>{at}</updated><link href=\"{link}\"/>\
             <content type=\"text\">{}</content></entry>",
            escape(&id),
            escape(&title),
            escape(&text),
        )
        .expect("a string takes it");
    }
    out.push_str("</feed>\n");
    out
}

/// As RSS 2.0; `address` is the page's own.
pub(super) fn rss(board: &Board, address: &str) -> String {
    let link = escape(address);
    let mut out = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n\
         <rss version=\"2.0\" xmlns:atom=\"http://www.w3.org/2005/Atom\">\n<channel>\n<title>{}</title>\n\
         <link>{link}</link>\n<description>{}</description>\n\
         <atom:link rel=\"self\" type=\"application/rss+xml\" href=\"{link}/feed.rss\"/>\n",
        escape(&board.title),
        escape(&board.summary),
    );
    let entries = entries(board);
    if let Some(latest) = entries.first() {
        writeln!(out, "<lastBuildDate>{}</lastBuildDate>", mail_date(latest.at)).expect("a string takes it");
    }
    for Entry { id, title, at, text } in entries {
        writeln!(
            out,
            "<item><title>{}</title><link>{link}</link><guid isPermaLink=\"false\">{}</guid><pubDate>{}</pubDate>\
             <description>{}</description></item>",
            escape(&title),
            escape(&id),
            mail_date(at),
            escape(&text),
        )
        .expect("a string takes it");
    }
    out.push_str("</channel>\n</rss>\n");
    out
}

/// A moment as mails and RSS write it: `Mon, 5 Jan 2026 00:00:00 +0000`.
fn mail_date(at: Timestamp) -> String {
    zoned(at, &TimeZone::UTC).strftime("%a, %-d %b %Y %H:%M:%S %z").to_string()
}
