//! Pictures for pages: finds what is behind an alert, asks the store for it, and has it drawn.
//!
//! A picture is a favour to the reader. It is bounded in time, samples and turns; whatever goes wrong, there is none, and
//! after one that took too long none is tried for a while, so that a sick store holds up no page.

mod narrow;
mod standing;
mod unit;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;

use watchbell_model::{BoxFuture, Draw, HeartbeatStatus, Labels, Picture, Query, Series, Span, Subject, Timestamp};
use watchbell_picture::{Graph, Line};
use watchbell_query::promql::{self, Expr};
use watchbell_query::{Engine, EngineOptions};
use watchbell_runtime::Runtime;

use crate::alarms::Alarms;
use crate::rule;
use crate::status::Behind;

/// How long a picture may take, its turn included.
pub const PICTURE_TIME_MAX: Duration = Duration::from_secs(2);
/// How long none is tried after one that took too long.
pub const PICTURE_PAUSE: Duration = Duration::from_secs(60);
/// Samples that are read for a picture: 8 MB.
const SAMPLES_MAX: usize = 500_000;
/// How much a picture shows: at least, at most, and in between twice as long as the alert fires and four times as long as
/// the rule waits.
const LENGTH_MIN: Duration = Duration::from_secs(3 * 3600);
const LENGTH_MAX: Duration = Duration::from_secs(86_400);
/// Points of a line, and how close together they are at most.
const POINTS: u32 = 240;
const STEP_MIN: Duration = Duration::from_secs(15);
/// Pictures that are remembered for the other channels of a page.
const RECENT_MAX: usize = 8;

/// Draws what alerts are about.
pub struct Pictures {
    runtime: Runtime,
    query: Arc<dyn Query>,
    /// Alarms hand alerts on to those who hold this.
    alarms: Weak<Alarms>,
    zone: Mutex<jiff::tz::TimeZone>,
    turn: tokio::sync::Mutex<()>,
    recent: Mutex<Recent>,
}

#[derive(Default)]
struct Recent {
    /// Oldest first.
    drawn: VecDeque<(Subject, Picture)>,
    /// None is tried before this, on the steady clock.
    not_before: Duration,
}

/// What is drawn of an alarm.
struct Sight {
    expr: Expr,
    threshold: Option<f64>,
    /// How long its rule waits.
    hold: Duration,
    /// Labels of an alert that its series do not have.
    foreign: Option<Vec<String>>,
}

/// How a picture ended.
enum Outcome {
    Drawn(Picture),
    Nothing,
    Failed(String),
}

impl Pictures {
    /// Of these alarms, from this store.
    pub fn new(runtime: Runtime, query: Arc<dyn Query>, alarms: &Arc<Alarms>) -> Arc<Pictures> {
        Arc::new(Pictures {
            runtime,
            query,
            alarms: Arc::downgrade(alarms),
            zone: Mutex::new(jiff::tz::TimeZone::UTC),
            turn: tokio::sync::Mutex::default(),
            recent: Mutex::default(),
        })
    }

    /// A zone by its name: `Europe/Berlin`, `UTC`, or `Local` for that of this machine.
    pub fn zone_of(name: &str) -> Option<jiff::tz::TimeZone> {
        match name {
            "UTC" => Some(jiff::tz::TimeZone::UTC),
            "Local" => Some(jiff::tz::TimeZone::system()),
            name => jiff::tz::TimeZone::get(name).ok(),
        }
    }

    /// Has times written in this zone from now on.
    pub fn set_zone(&self, zone: jiff::tz::TimeZone) {
        *self.zone.lock().expect("no panic while held") = zone;
        self.recent().drawn.clear();
    }

    fn recent(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().expect("no panic while held")
    }

    fn behind(&self, subject: &Subject) -> Option<Behind> {
        self.alarms.upgrade()?.behind(subject.alarm()?)
    }

    /// What to draw; `None` where nothing is known of it.
    fn sight(&self, subject: &Subject) -> Option<Sight> {
        if let Some(Behind { graph, threshold, hold, mut labels }) = self.behind(subject) {
            labels.extend(["alertname", "severity", "source"].map(str::to_owned));
            return Some(Sight { expr: promql::parse(&graph).ok()?, threshold, hold, foreign: Some(labels) });
        }
        let (text, threshold) = rule::status::drawn_of(&promql::parse(&expression(&subject.generator_url)?).ok()?);
        let expr = promql::parse(&text).ok()?;
        Some(Sight { expr, threshold, hold: Duration::ZERO, foreign: None })
    }

    /// What a picture of a heartbeat is made of.
    fn heartbeat(&self, subject: &Subject) -> Option<(Arc<Alarms>, HeartbeatStatus)> {
        let (alarms, id) = (self.alarms.upgrade()?, subject.alarm()?.strip_prefix("heartbeat/")?);
        let status = alarms.heartbeat(id)?;
        Some((alarms, status))
    }

    async fn draw_now(&self, subject: &Subject) -> Option<Picture> {
        let heartbeat = self.heartbeat(subject);
        let sight = if heartbeat.is_some() { None } else { Some(self.sight(subject)?) };
        let clock = &self.runtime.clock;
        {
            let recent = self.recent();
            if let Some((_, picture)) = recent.drawn.iter().find(|(drawn, _)| drawn == subject) {
                return Some(Arc::clone(picture));
            }
            if clock.monotonic() < recent.not_before {
                self.count("paused");
                return None;
            }
        }
        let stop = Arc::new(AtomicBool::new(false));
        let zone = self.zone.lock().expect("no panic while held").clone();
        let work = async {
            let _turn = self.turn.lock().await;
            let (query, subject, stop) = (Arc::clone(&self.query), subject.clone(), Arc::clone(&stop));
            let draw = move || match (heartbeat, sight) {
                (Some((alarms, status)), _) => match alarms.flips(&status.id) {
                    Ok(flips) => Outcome::Drawn(Arc::new(standing::strip(&subject, &status, &flips, zone).png())),
                    Err(error) => Outcome::Failed(error.to_string()),
                },
                (None, Some(sight)) => picture(&*query, &subject, sight, zone, stop),
                (None, None) => Outcome::Nothing,
            };
            self.runtime.disk.blocking(draw).await
        };
        let outcome = clock.timeout(PICTURE_TIME_MAX, work).await;
        stop.store(true, Ordering::Relaxed);
        match outcome {
            Ok(Outcome::Drawn(picture)) => {
                self.count("drawn");
                let mut recent = self.recent();
                recent.drawn.push_back((subject.clone(), Arc::clone(&picture)));
                if recent.drawn.len() > RECENT_MAX {
                    recent.drawn.pop_front();
                }
                Some(picture)
            }
            Ok(Outcome::Nothing) => {
                self.count("no_data");
                None
            }
            Ok(Outcome::Failed(reason)) => {
                self.count("failed");
                tracing::info!(title = subject.title, reason, "there is no picture of what a page is about");
                None
            }
            Err(_) => {
                self.count("late");
                self.recent().not_before = clock.monotonic() + PICTURE_PAUSE;
                tracing::warn!(title = subject.title, "a picture took too long; pages go without for a while");
                None
            }
        }
    }

    fn count(&self, outcome: &'static str) {
        let help = "Pictures of graphs that pages were to carry, by how they ended.";
        self.runtime.metrics.counter("watchbell_pictures_total", help, &[("outcome", outcome)]).inc();
    }
}

impl Draw for Pictures {
    fn has_graph(&self, subject: &Subject) -> bool {
        self.heartbeat(subject).is_some() || self.behind(subject).is_some() || self.sight(subject).is_some()
    }

    fn draw<'a>(&'a self, subject: &'a Subject) -> BoxFuture<'a, Option<Picture>> {
        Box::pin(self.draw_now(subject))
    }
}

/// Asks for the series and draws them.
fn picture(
    query: &dyn Query,
    subject: &Subject,
    sight: Sight,
    zone: jiff::tz::TimeZone,
    stop: Arc<AtomicBool>,
) -> Outcome {
    let Sight { mut expr, threshold, hold, foreign } = sight;
    let length = length(subject, hold);
    let step = Duration::from_secs((length / POINTS).as_secs().max(STEP_MIN.as_secs()));
    let (start, end) = (subject.at - length, subject.at);
    let unit = unit::of(&expr);
    if let Some(foreign) = foreign {
        narrow::narrow(&mut expr, &shared(&subject.alerts, &foreign));
    }
    let engine = Engine::new(EngineOptions { samples_max: SAMPLES_MAX, ..EngineOptions::default() }).stopped_by(stop);
    let series = match engine.range(query, &expr, start, end, Span(step)) {
        Ok(series) => series,
        Err(error) => return Outcome::Failed(error.to_string()),
    };
    let series = chosen(series, &subject.alerts);
    if series.iter().all(|series| series.samples.is_empty()) {
        return Outcome::Nothing;
    }
    let graph = Graph {
        title: subject.title.clone(),
        unit: unit::seen(unit, &series, threshold),
        start,
        end,
        step: Span(step),
        lines: lines(series),
        threshold,
        since: Some(subject.since),
        until: subject.until,
        zone,
    };
    Outcome::Drawn(Arc::new(graph.png()))
}

fn length(subject: &Subject, hold: Duration) -> Duration {
    let fires = subject.at.since(subject.since);
    (fires * 2).max(hold * 4).clamp(LENGTH_MIN, LENGTH_MAX)
}

/// Labels that all alerts have in common, and of which the series may have some.
fn shared(alerts: &[Labels], foreign: &[String]) -> Vec<(String, String)> {
    let Some((first, others)) = alerts.split_first() else { return Vec::new() };
    let common = first.iter().filter(|(name, value)| others.iter().all(|it| it.get(name) == Some(*value)));
    let own = common.filter(|(name, _)| !foreign.iter().any(|it| it == name));
    own.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// The series of the alerts, in their order; where none is found, all.
fn chosen(mut series: Vec<Series>, alerts: &[Labels]) -> Vec<Series> {
    let place = |series: &Series| {
        let is_of = |alert: &Labels| {
            series.labels.iter().all(|(name, value)| name == Labels::NAME || alert.get(name) == Some(value))
        };
        alerts.iter().position(is_of)
    };
    if series.iter().any(|series| place(series).is_some()) {
        series.retain(|series| place(series).is_some());
        series.sort_by_key(place);
    }
    series
}

/// As lines, named by what tells them apart.
fn lines(series: Vec<Series>) -> Vec<Line> {
    let all: Vec<Labels> = series.iter().map(|series| series.labels.clone()).collect();
    let differs = |name: &str| all.iter().any(|labels| labels.get(name) != all[0].get(name));
    let name = |labels: &Labels| {
        let pairs = labels.iter().filter(|(name, _)| differs(name));
        pairs.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(", ")
    };
    let point = |sample: &watchbell_model::Sample| -> (Timestamp, f64) { (sample.timestamp, sample.value) };
    let line =
        |series: &Series| Line { name: name(&series.labels), points: series.samples.iter().map(point).collect() };
    series.iter().map(line).collect()
}

/// The expression in a Prometheus' address of a graph: the field `g0.expr`.
fn expression(url: &str) -> Option<String> {
    let query = url.split_once('?')?.1.split('#').next()?;
    let value = query.split('&').find_map(|field| field.strip_prefix("g0.expr="))?;
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok().filter(|text| !text.trim().is_empty())
}

#[cfg(test)]
mod tests;
