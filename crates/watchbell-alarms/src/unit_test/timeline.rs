//! Our own form of a test: series in, everything that begins and ends out, as lines of text.

use std::collections::BTreeMap;

use watchbell_model::{Labels, MatchOp, Matcher, Span, Timestamp};
use watchbell_query::promql;

use super::ROUNDS_MAX;
use super::compare::{Failure, Row};
use super::file::Timeline;
use super::play::{Player, Setting, after};

/// What becomes of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Turn {
    Resolved,
    Pending,
    Firing,
}

impl Turn {
    const WORDS: [(&str, Turn); 3] =
        [("pending", Turn::Pending), ("firing", Turn::Firing), ("resolved", Turn::Resolved)];

    fn word(self) -> &'static str {
        Turn::WORDS.iter().find(|(_, turn)| *turn == self).map_or("", |(word, _)| word)
    }
}

/// A line of what is expected.
pub(super) struct Expected {
    at: Span,
    turn: Turn,
    alert: Vec<Matcher>,
    summary: Option<String>,
    text: String,
}

/// Something that happened.
struct Event {
    at: Span,
    turn: Turn,
    labels: Labels,
    summary: String,
}

impl Event {
    fn text(&self, width: usize) -> String {
        let name = self.labels.get("alertname").unwrap_or_default();
        let rest: Vec<String> = self
            .labels
            .iter()
            .filter(|(label, _)| *label != "alertname")
            .map(|(label, value)| format!("{label}={value:?}"))
            .collect();
        let labels = if rest.is_empty() { String::new() } else { format!("{{{}}}", rest.join(", ")) };
        let summary = if self.summary.is_empty() { String::new() } else { format!(": {}", self.summary) };
        format!("{:<width$} {:<8} {name}{labels}{summary}", self.at.to_string(), self.turn.word())
    }
}

/// Reads what is expected: `TIME firing|resolved|pending NAME{LABELS}[: SUMMARY]`, a line each; `#` begins a remark.
pub(super) fn read(text: &str) -> Result<Vec<Expected>, String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| one(line).map_err(|words| format!("`{line}`: {words}"))).collect()
}

fn one(line: &str) -> Result<Expected, String> {
    let (at, rest) = line.split_once(char::is_whitespace).ok_or("a time, what happens and an alert are expected")?;
    let at = at.parse::<Span>().map_err(|error| error.to_string())?;
    let rest = rest.trim_start();
    let (turn, rest) = rest.split_once(char::is_whitespace).ok_or("no alert is named")?;
    let turn = Turn::WORDS.iter().find(|(word, _)| *word == turn);
    let (_, turn) = turn.ok_or("an alert is `pending`, `firing` or `resolved`")?;
    let rest = rest.trim_start();
    let end = end_of_alert(rest);
    let (alert, rest) = rest.split_at(end);
    let summary = match rest.trim() {
        "" => None,
        rest => Some(rest.strip_prefix(':').ok_or("a summary stands after `: `")?.trim().to_owned()),
    };
    let mut alert = promql::metric_selector(alert).map_err(|error| error.to_string())?;
    for matcher in &mut alert {
        if matcher.name == Labels::NAME && matcher.op == MatchOp::Equal {
            *matcher = Matcher::equal("alertname", matcher.value.clone());
        }
    }
    Ok(Expected { at, turn: *turn, alert, summary, text: line.to_owned() })
}

/// Where a name with labels ends: at the brace that closes, or before a colon with a space.
fn end_of_alert(text: &str) -> usize {
    let (mut quote, mut escaped, mut depth) = (None, false, 0_u32);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            _ if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(open), _) => quote = (open != c).then_some(open),
            (None, '"' | '\'') => quote = Some(c),
            (None, '{') => depth += 1,
            (None, '}') if depth <= 1 => return at + 1,
            (None, '}') => depth -= 1,
            (None, ':') if depth == 0 && (text[at + 1..].starts_with(char::is_whitespace) || at + 1 == text.len()) => {
                return at;
            }
            (None, c) if depth == 0 && c.is_whitespace() => return at,
            _ => {}
        }
    }
    text.len()
}

/// Plays a timeline, and compares.
pub(super) fn run(timeline: &Timeline, setting: &Setting) -> Vec<Failure> {
    let fail = |about: &str, words: String| vec![Failure::error(about, None, words)];
    let expected = match read(&timeline.expect) {
        Ok(expected) => expected,
        Err(words) => return fail("expect", words),
    };
    let lines = timeline.series.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let start = Timestamp(0);
    let mut player = match Player::new(setting, start, timeline.interval, lines.map(|line| (line, ""))) {
        Ok(player) => player,
        Err(words) => return fail("series", words),
    };
    player.external(timeline.external_labels.iter().collect(), "");
    let last = expected.iter().map(|it| it.at).max().unwrap_or_default();
    let until = timeline.until.unwrap_or_else(|| player.length()).max(last);
    let step = setting.interval.duration();
    let rounds = until.duration().as_millis() / step.as_millis().max(1);
    if rounds > u128::from(ROUNDS_MAX) {
        return fail("until", format!("that is more than {ROUNDS_MAX} evaluations away"));
    }
    let mut events = Vec::new();
    let mut before: BTreeMap<Labels, (Turn, String)> = BTreeMap::new();
    for round in 0..=u32::try_from(rounds).unwrap_or(u32::MAX) {
        let passed = Span(step.saturating_mul(round));
        let Some(at) = after(start, passed) else { break };
        let errors = player.round(at);
        if !errors.is_empty() {
            let error = |(rule, words)| Failure::error(&format!("rule {rule}"), Some(passed), words);
            return errors.into_iter().map(error).collect();
        }
        let mut now = BTreeMap::new();
        for instance in player.instances().flat_map(|(_, instances)| instances.values()) {
            let turn = if instance.is_firing() { Turn::Firing } else { Turn::Pending };
            let summary = instance.annotations.get("summary").unwrap_or_default().to_owned();
            now.insert(instance.labels.clone(), (turn, summary));
        }
        let event = |turn, labels: &Labels, summary: &str| Event {
            at: passed,
            turn,
            labels: labels.clone(),
            summary: summary.to_owned(),
        };
        for (labels, (turn, summary)) in before.iter().filter(|(labels, _)| !now.contains_key(*labels)) {
            if *turn == Turn::Firing {
                events.push(event(Turn::Resolved, labels, summary));
            }
        }
        for (labels, (turn, summary)) in &now {
            if before.get(labels).is_none_or(|(was, _)| was != turn) {
                events.push(event(*turn, labels, summary));
            }
        }
        before = now;
    }
    if expected.iter().all(|it| it.turn != Turn::Pending) {
        events.retain(|event| event.turn != Turn::Pending);
    }
    compare(&expected, events).into_iter().collect()
}

fn compare(expected: &[Expected], mut events: Vec<Event>) -> Option<Failure> {
    let width = events
        .iter()
        .map(|it| it.at)
        .chain(expected.iter().map(|it| it.at))
        .map(|at| at.to_string().len())
        .max()
        .unwrap_or(0);
    let same = |wanted: &Expected, event: &Event| {
        (wanted.at, wanted.turn) == (event.at, event.turn)
            && wanted.alert.iter().all(|matcher| matcher.matches_labels(&event.labels))
            && wanted.summary.as_ref().is_none_or(|summary| *summary == event.summary)
    };
    // The same alert at another time, or at the same time with other labels, stands beside what was wanted.
    let near = |wanted: &Expected, event: &Event| {
        let alert = wanted.alert.iter().all(|matcher| matcher.matches_labels(&event.labels));
        wanted.turn == event.turn && (alert || wanted.at == event.at)
    };
    let mut pairs: Vec<(&Expected, Option<Event>, bool)> = Vec::new();
    for wanted in expected {
        let found = events.iter().position(|event| same(wanted, event)).map(|at| events.remove(at));
        let is = found.is_some();
        pairs.push((wanted, found, is));
    }
    for (wanted, found, _) in pairs.iter_mut().filter(|(_, found, _)| found.is_none()) {
        *found = events.iter().position(|event| near(wanted, event)).map(|at| events.remove(at));
    }
    if events.is_empty() && pairs.iter().all(|(_, _, same)| *same) {
        return None;
    }
    let words = |wanted: &Expected| {
        let mut words = wanted.text.splitn(3, char::is_whitespace).map(str::trim).filter(|word| !word.is_empty());
        let (at, rest) = (words.next().unwrap_or_default(), words.collect::<Vec<_>>().join(" "));
        let (turn, alert) = rest.split_once(char::is_whitespace).unwrap_or((&rest, ""));
        format!("{at:<width$} {turn:<8} {}", alert.trim_start())
    };
    let mut rows: Vec<(Span, Row)> = Vec::new();
    for (wanted, found, same) in pairs {
        let got = found.map(|event| event.text(width));
        rows.push((wanted.at, Row { expected: Some(words(wanted)), got, same }));
    }
    let more = |event: &Event| (event.at, Row { expected: None, got: Some(event.text(width)), same: false });
    rows.extend(events.iter().map(more));
    rows.sort_by_key(|(at, _)| *at);
    let rows = rows.into_iter().map(|(_, row)| row).collect();
    Some(Failure { about: "timeline".to_owned(), at: None, error: None, rows })
}
