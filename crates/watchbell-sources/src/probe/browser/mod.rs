//! Uses a site as a person does: a browser of this machine goes through steps.
//!
//! Each probe starts a browser of its own with a fresh profile, speaks to it over a pipe, and kills it when it is done or
//! when its time is over. The browser's only way out is a [`Proxy`] of ours, so it reaches what a monitor may reach, and
//! nothing else.
//!
//! Not here: other tabs than the first, frames within a page, files to upload.

mod config;
mod keys;
mod program;
mod protocol;
mod proxy;
mod visit;
mod watched;

use std::time::Duration;

use watchbell_model::{Path, Picture, Problems, Timestamp};
use watchbell_runtime::process::Talking;

use self::protocol::{Fault, Talk};
use self::proxy::Proxy;
use self::visit::{Stop, Visit};
use super::attempt::{Attempt, Failure};
use super::dialogue::shown;
use super::http::status_words;
use super::kinds::{Kind, Probing};

pub use config::{BROWSER_STEPS_MAX, BrowserConfig, ExpectConfig, FillConfig, StepConfig};
pub(crate) use program::Browsers;
pub use program::BrowsersConfig;

/// How long a probe may take by default: a browser is no quick visitor.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);
/// What of a probe's time is kept for a picture of what went wrong: at most so long, and at most a fifth.
const PICTURE_TIME_MAX: Duration = Duration::from_secs(2);
/// How long the page may take to say its name.
const NAME_TIME_MAX: Duration = Duration::from_millis(500);
/// The largest picture that is kept.
const PICTURE_BYTES_MAX: usize = 2 << 20;
/// Values that are shorter are in every text.
const HIDDEN_CHARS_MIN: usize = 4;

/// What a page looked like when a step failed.
#[derive(Clone)]
pub struct Screenshot {
    /// PNG.
    pub picture: Picture,
    /// When it was taken.
    pub at: Timestamp,
}

impl Kind for BrowserConfig {
    fn target(&self) -> String {
        self.steps.iter().find_map(|step| step.open.as_ref()).map(|url| url.as_str().to_owned()).unwrap_or_default()
    }

    fn check(&self, path: &Path, problems: &mut Problems) {
        self.check_all(path, problems);
    }

    fn timeout_default(&self) -> Duration {
        TIMEOUT_DEFAULT
    }

    fn described(&self) -> &'static [(&'static str, &'static str)] {
        &[
            ("probe_browser_queue_seconds", "How long the probe waited for its turn."),
            ("probe_browser_start_seconds", "How long the browser took to start."),
            ("probe_browser_step_duration_seconds", "How long a step took."),
            ("probe_browser_status_code", "Status of the answer with the last page."),
            ("probe_browser_console_errors", "Errors in the browser's console."),
        ]
    }

    fn probe<'a>(&'a self, attempt: &'a mut Attempt<'_>) -> Probing<'a> {
        Box::pin(async move {
            let clock = attempt.runtime.clock.clone();
            let (browsers, line) = attempt.live.browsers();
            let begun = clock.monotonic();
            let _turn = program::turn(line).await;
            attempt.sample("probe_browser_queue_seconds", &[], (clock.monotonic() - begun).as_secs_f64());
            attempt.begin_again();
            let proxy = Proxy::open(&attempt.runtime.net).await;
            let proxy = proxy.map_err(|error| Failure(format!("there is no port for the browser's proxy: {error}")))?;
            let talker = browsers.talker(attempt.runtime, proxy.address()).map_err(Failure)?;
            let mut talking = attempt.runtime.processes.talk(&talker).map_err(Failure)?;
            let outcome = tokio::select! {
                biased;
                outcome = self.visit(attempt, &mut talking, &proxy) => outcome,
                never = proxy.serve() => match never {},
            };
            attempt.stop_the_watch();
            talking.end().await;
            outcome
        })
    }
}

impl BrowserConfig {
    async fn visit(&self, attempt: &mut Attempt<'_>, talking: &mut Talking, proxy: &Proxy) -> Result<String, Failure> {
        let clock = attempt.runtime.clock.clone();
        let begun = clock.monotonic();
        let mut talk = Talk::new(&mut talking.stream, clock.clone());
        let began = attempt.within("the browser to start", talk.begin(self.verify)).await;
        let started = clock.monotonic() - begun;
        attempt.spent("start", started);
        attempt.sample("probe_browser_start_seconds", &[], started.as_secs_f64());
        match began {
            Ok(Ok(())) => {}
            Ok(Err(fault)) => return Err(no_start(&fault, &talking.said())),
            Err(Failure(words)) => return Err(no_start(&Fault::Gone(words), &talking.said())),
        }
        let mut visit = Visit::new(talk, self, proxy, clock.clone());
        let kept = PICTURE_TIME_MAX.min(attempt.monitor.probe_timeout().duration() / 5);
        let went = clock.timeout(attempt.remaining().saturating_sub(kept), visit.go()).await;
        let place = visit.place();
        let failed = match went {
            Ok(Ok(())) => None,
            Ok(Err(Stop::Failed(words))) => Some(words),
            Ok(Err(Stop::Fault(fault))) => Some(fault.to_string()),
            Err(_) => Some(format!("gave up after {}: {}", attempt.monitor.probe_timeout(), visit.hindrance())),
        };
        visit.over();
        attempt.stop_the_watch();
        for (at, took) in visit.took.iter().enumerate() {
            let number = (at + 1).to_string();
            attempt.spent(format!("{number} {}", took.kind), took.time);
            let labels = [("step", number.as_str()), ("kind", took.kind)];
            attempt.sample("probe_browser_step_duration_seconds", &labels, took.time.as_secs_f64());
        }
        let name_time = NAME_TIME_MAX.min(attempt.remaining());
        let page = clock.timeout(name_time, visit.page()).await.ok().flatten();
        let watched = &visit.talk.watched;
        if let Some(status) = watched.status {
            attempt.sample("probe_browser_status_code", &[], f64::from(status));
        }
        attempt.sample("probe_browser_console_errors", &[], watched.error_count as f64);
        let errors = watched.console();
        let worked = match visit.took.len() {
            1 => "the step worked".to_owned(),
            many => format!("all {many} steps worked"),
        };
        let strict = self.console_error_is_down && errors.is_some();
        let is_up = failed.is_none() && !strict;
        let mut words = vec![match (failed, place) {
            (Some(words), Some(place)) => format!("{place}: {words}"),
            (failed, _) => failed.unwrap_or(worked),
        }];
        if let Some((title, url)) = page {
            let status = watched.status.map(|status| format!(", {}", status_words(status))).unwrap_or_default();
            words.push(format!("the page is `{title}` ({url}){status}"));
        }
        words.extend(errors);
        words.extend(watched.dialog.as_ref().map(|text| format!("it asked `{text}`, and the answer was yes")));
        let mut forbidden = proxy.forbidden();
        forbidden.retain(|why| !words[0].contains(why.as_str()));
        words.extend(forbidden);
        let words = self.hide(words.join("; "));
        if is_up {
            return Ok(words);
        }
        if let Ok(Some(png)) = clock.timeout(attempt.remaining(), visit.picture()).await
            && png.len() <= PICTURE_BYTES_MAX
        {
            let shot = Screenshot { picture: png.into(), at: clock.now() };
            attempt.live.keep_screenshot(&attempt.monitor.name, shot);
        }
        Err(Failure(words))
    }

    /// Takes out what was typed, as it stands and as addresses write it.
    fn hide(&self, words: String) -> String {
        let values = self.steps.iter().filter_map(|step| step.fill.as_ref()).map(|fill| fill.value.expose());
        let long = values.filter(|value| value.chars().count() >= HIDDEN_CHARS_MIN);
        long.fold(words, |words, value| {
            let spaced = encoded(value).replace("%20", "+");
            words.replace(value, "<typed>").replace(&encoded(value), "<typed>").replace(&spaced, "<typed>")
        })
    }
}

/// As forms put it into an address.
fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'*' => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

/// Why there is no browser to speak to: what it said in the end says more than that it is gone.
fn no_start(fault: &Fault, said: &str) -> Failure {
    let hint = if said.contains("No usable sandbox") || said.contains("without --no-sandbox") {
        "; set `sandbox: false` in `browsers`, or let the kernel give it one (user namespaces)"
    } else {
        ""
    };
    // Its chat about buses that it cannot reach is no reason, and what follows a reason is about the crash.
    let reason = said.lines().find(|line| line.contains(":FATAL:"));
    let last = reason.or(said.lines().rev().find(|line| !line.trim().is_empty() && !line.contains("dbus/")));
    let last = last.map(|line| format!(", and said `{}`", shown(line))).unwrap_or_default();
    Failure(format!("the browser did not start: {fault}{last}{hint}"))
}
