//! A message that waits on an ntfy server and is put off again and again; when that ends, the server delivers it.
//!
//! Each page schedules it anew under one sequence id, which takes the place of the one that waits (ntfy 2.16 and later).
//! An older server would deliver each of them: before the first one it is asked to delete what waits, which only a server
//! that can do so answers. Like a ping it says nothing of what fires.
//!
//! What is remembered is when the message is due. If that is over when the next page comes, it was delivered: the server
//! then also tells that watchbell is back.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use watchbell_model::{Path, Problems, Secret, Span, Timestamp, Url, group_id};
use watchbell_runtime::Disk;
use watchbell_runtime::client::held;
use watchbell_runtime::http::{Request, Response};

use super::{
    Attempt, Channel, Draft, HasOptions, Options, Outgoing, Pace, Rendered, Talk, VerdictKind, accepted_with,
    check_secret, ntfy, read, secret_of,
};
use crate::config::{self, HttpConfig};
use crate::page::moment;
use crate::template_data::Templates;

/// What ntfy holds a message back for at least and, unless it is told otherwise, at most.
const DELAY_MIN: Span = Span::seconds(10);
const DELAY_MAX: Span = Span::hours(72);
/// How long putting it off is tried unless it is said.
const RETRY_FOR: Span = Span::minutes(10);
/// How loud the word is that watchbell is back.
const BACK_PRIORITY: u8 = 3;

/// A message on an ntfy server that says that watchbell is silent. Each page puts it off; it arrives when they end.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NtfySwitchConfig {
    /// The server, 2.16 or later; somebody else's, or at least on another machine.
    #[serde(default = "ntfy::NtfyConfig::default_url")]
    pub url: Url,
    /// The topic: letters, digits, `-` and `_`, at most 64. On a public server whoever knows it can read it.
    pub topic: String,
    /// An access token (`tk_…`); take it from a secret: `${secret:name}`. A user's name and password stand in
    /// `http_config`.
    #[serde(default)]
    pub token: Option<Secret>,
    /// A file that holds it.
    #[serde(default)]
    pub token_file: Option<PathBuf>,
    /// After how long without a page the message arrives: from 10s to 3d.
    #[serde(default = "NtfySwitchConfig::default_delay")]
    pub delay: Span,
    /// Its priority (1 to 5); 5 rings through a phone's silence if its owner allows it.
    #[serde(default = "NtfySwitchConfig::default_priority")]
    pub priority: u8,
    /// How long putting it off is tried each time; `10m` unless given. After that it is given up, which is a trouble.
    #[serde(default)]
    pub retry_for: Option<Span>,
    /// Bound on one try; `10s` unless given.
    #[serde(default)]
    pub timeout: Span,
    /// How the address is spoken to; unless given, as `global.http_config` says.
    #[serde(default)]
    pub http_config: Option<HttpConfig>,
}

impl NtfySwitchConfig {
    fn default_delay() -> Span {
        Span::minutes(30)
    }

    fn default_priority() -> u8 {
        5
    }

    /// Finds what is wrong with it where it is no channel of a receiver, which sees to the rest.
    pub fn check_alone(&self, path: &Path, problems: &mut Problems) {
        self.check_fields(path, problems);
        config::check_timeout(self.timeout, path, problems);
        if let Some(http) = &self.http_config {
            http.http_client().check(&path.field("http_config"), problems);
        }
    }

    /// Whether ntfy.sh, which takes 250 messages a day from strangers, would take one so often beside the pages.
    pub fn is_too_often(&self, every: Span) -> bool {
        let is_stranger = self.token.is_none() && self.token_file.is_none();
        self.url.host() == "ntfy.sh" && is_stranger && every < Span::minutes(8)
    }

    fn check_fields(&self, path: &Path, problems: &mut Problems) {
        ntfy::check_topic(&self.topic, path, problems);
        check_secret("token", &self.token, &self.token_file, None, path, problems);
        if self.delay < DELAY_MIN || self.delay > DELAY_MAX {
            problems
                .error(&path.field("delay"), format!("a message cannot wait for {}", self.delay))
                .hint(format!("from {DELAY_MIN} to 3d"));
        }
        if !(1..=5).contains(&self.priority) {
            problems.error(&path.field("priority"), format!("{} is not a priority", self.priority)).hint("from 1 to 5");
        }
    }

    /// A request with the token, if there is one.
    fn request(&self, method: &str, path: &str, body: String, disk: &Disk) -> Result<Request, String> {
        let url = if path.is_empty() { self.url.clone() } else { ntfy::joined(&self.url, path)? };
        let mut request = Request::post(url, body);
        request.method = method.to_owned();
        let token = held(disk, &self.token, &self.token_file)?;
        Ok(if token.is_empty() { request } else { request.header("Authorization", format!("Bearer {token}")) })
    }
}

impl HasOptions for NtfySwitchConfig {
    fn options(&self) -> Options<'_> {
        Options { send_resolved: false, timeout: config::timeout(self.timeout), http: self.http_config.as_ref() }
    }

    fn http_mut(&mut self) -> Option<&mut Option<HttpConfig>> {
        Some(&mut self.http_config)
    }
}

impl Channel for NtfySwitchConfig {
    fn kind(&self) -> &'static str {
        "ntfy-switch"
    }

    fn files_mut(&mut self) -> Vec<&mut PathBuf> {
        self.token_file.iter_mut().collect()
    }

    fn check(&self, _: &Templates, path: &Path, problems: &mut Problems) {
        self.check_fields(path, problems);
    }

    fn render(&self, draft: &Draft<'_>) -> Rendered {
        let (site, at) = (draft.site, draft.page.at);
        // Of two watchbells that were given one topic, neither must put off the message of the other.
        let sequence = group_id(&format!("{} {} {}", site.url, site.name, draft.group.group_key));
        let silent = format!(
            "Nothing has been heard of watchbell at {} since {}. It may be dead or cut off, and then nobody is told of \
             anything else: look after it.",
            site.url,
            moment(at)
        );
        let body = json!({
            "topic": self.topic,
            "title": format!("watchbell is silent: {}", site.name),
            "message": silent,
            "priority": self.priority,
            "tags": ["skull"],
            "delay": format!("{}s", self.delay.duration().as_secs()),
        });
        let headers = vec![
            ("Content-Type".into(), "application/json".into()),
            ("X-Sequence-ID".into(), sequence),
            ("Idempotency-Key".into(), draft.key.to_owned()),
        ];
        Rendered { headers, body: body.to_string(), template_errors: Vec::new() }
    }

    fn send(&self, rendered: &Rendered, attempt: &Attempt<'_>) -> Result<Vec<Outgoing>, String> {
        let publish = |body: String| {
            let mut request = self.request("POST", "", body, attempt.disk)?;
            request.headers.extend_from_slice(&rendered.headers);
            Ok::<_, String>(Box::new(request))
        };
        let schedule = publish(rendered.body.clone())?;
        let Some(due) = attempt.thread else {
            let sequence = rendered.headers.iter().find(|(name, _)| name == "X-Sequence-ID");
            let path = format!("{}/{}", self.topic, sequence.map_or("", |(_, value)| value));
            let cancel = self.request("DELETE", &path, String::new(), attempt.disk)?;
            return Ok(vec![Outgoing::Talk(Box::new(First(vec![*schedule, cancel])))]);
        };
        let arrived = due.parse::<i64>().is_ok_and(|due| Timestamp(due * 1000) < attempt.now);
        let mut list = Vec::new();
        if arrived {
            let mut back = rendered.read()?;
            let title = back["title"].as_str().unwrap_or_default().replace("is silent", "is back");
            back["title"] = title.into();
            back["message"] = "It is heard of again.".into();
            back["priority"] = BACK_PRIORITY.into();
            back["tags"] = json!(["white_check_mark"]);
            back.as_object_mut().map(|fields| fields.remove("delay"));
            list.push(Outgoing::Aside(publish(back.to_string())?));
        }
        list.push(Outgoing::Http(schedule));
        Ok(list)
    }

    fn judge(&self, body: &str) -> VerdictKind {
        accepted_with("id", body)
    }

    /// When the message is due, in seconds since 1970.
    fn thread(&self, answer: &Response) -> Option<String> {
        let answer = read(answer);
        (answer["event"] == "message" && answer["sequence_id"].is_string()).then(|| answer["time"].to_string())
    }

    fn relearns(&self) -> bool {
        true
    }

    fn retry_for(&self) -> Option<Duration> {
        Some(self.retry_for.unwrap_or(RETRY_FOR).duration())
    }

    fn is_for_people(&self) -> bool {
        false
    }

    /// Messages that overtake each other say nothing more.
    fn at_once(&self) -> usize {
        1
    }

    fn pace(&self) -> Option<Pace> {
        Some(ntfy::PACE)
    }

    fn secrets(&self, disk: &Disk) -> Vec<Secret> {
        vec![secret_of(disk, &self.token, &self.token_file)]
    }
}

/// The first message: what is left to be asked, the last first.
struct First(Vec<Request>);

impl Talk for First {
    fn next(&mut self, answer: Option<&Response>) -> Result<Option<Request>, (VerdictKind, String)> {
        if answer.is_some_and(|answer| matches!(answer.status, 404 | 405)) {
            let reason = "the server cannot take back a message that waits; it must be ntfy 2.16 or later";
            return Err((VerdictKind::Refused, reason.to_owned()));
        }
        Ok(self.0.pop())
    }

    fn forgives(&self, status: u16) -> bool {
        // It is told in words what is wrong.
        !self.0.is_empty() && matches!(status, 404 | 405)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn config(json: Value) -> NtfySwitchConfig {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn ntfy_sh_takes_no_message_a_minute_from_strangers() {
        let free = config(json!({"topic": "t"}));
        assert!(free.is_too_often(Span::minutes(1)) && !free.is_too_often(Span::minutes(10)));
        assert!(!config(json!({"topic": "t", "token": "tk_1"})).is_too_often(Span::minutes(1)));
        assert!(!config(json!({"topic": "t", "url": "https://push.example.org"})).is_too_often(Span::minutes(1)));
    }
}
