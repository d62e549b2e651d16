//! A service that tells of itself, at least once per interval: `/api/push/<token>?status=up&msg=OK&ping=12`, as with
//! Uptime Kuma.

use schemars::JsonSchema;
use serde::Deserialize;
use watchbell_model::{Path, Problems, Secret, Span};

use super::attempt::{Attempt, Failure};
use super::kinds::{Kind, Probing};

/// The shortest token.
const TOKEN_BYTES_MIN: usize = 8;

/// A service that reports to watchbell: `GET /api/push/<token>?status=up&msg=OK&ping=12`. It is down when it says so, or
/// when it said nothing for longer than `interval` and `grace`.
#[derive(Debug, Clone, PartialEq, Hash, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PushConfig {
    /// The last part of the address. Whoever knows it can report; best as `${secret:name}`.
    pub token: Secret,
    /// Time allowed on top of `interval`.
    #[serde(default = "PushConfig::default_grace")]
    pub grace: Span,
}

impl PushConfig {
    fn default_grace() -> Span {
        Span::seconds(10)
    }
}

impl Kind for PushConfig {
    fn target(&self) -> String {
        "push".into()
    }

    fn check(&self, path: &Path, problems: &mut Problems) {
        let path = path.field("token");
        let token = self.token.expose();
        if token.len() < TOKEN_BYTES_MIN {
            problems
                .error(&path, format!("it is shorter than {TOKEN_BYTES_MIN} letters and can be guessed"))
                .hint("make one up, as with `openssl rand -hex 16`");
        } else if !token.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.~".contains(&b)) {
            problems.error(&path, "it does not fit into an address").hint("letters, digits, `-` and `_`");
        }
    }

    fn is_here(&self) -> bool {
        true
    }

    fn probe<'a>(&'a self, attempt: &'a mut Attempt<'_>) -> Probing<'a> {
        Box::pin(async move {
            let patience = Span(attempt.monitor.interval.duration() + self.grace.duration());
            let now = attempt.runtime.clock.monotonic();
            let (push, since) = attempt.live.pushed(&attempt.monitor.name);
            let silent = |at| now.saturating_sub(at) > patience.duration();
            match push {
                Some(push) if !silent(push.at) => {
                    if let Some(took) = push.took {
                        attempt.sample("probe_push_duration_seconds", &[], took.as_secs_f64());
                    }
                    if push.up {
                        Ok(push.message)
                    } else {
                        Err(Failure(format!("it says that it is down: {}", push.message)))
                    }
                }
                Some(push) => {
                    let quiet = Span::seconds(now.saturating_sub(push.at).as_secs());
                    Err(Failure(format!(
                        "it said nothing for {quiet}; `{}` is expected each {}",
                        "/api/push", attempt.monitor.interval
                    )))
                }
                None if since.is_some_and(|since| !silent(since)) => {
                    attempt.says_nothing();
                    Ok("nothing was pushed yet".into())
                }
                None => Err(Failure(format!(
                    "nothing was pushed yet; a push is expected each {}",
                    attempt.monitor.interval
                ))),
            }
        })
    }

    fn described(&self) -> &'static [(&'static str, &'static str)] {
        &[("probe_push_duration_seconds", "How long the service says that it took to answer (`ping`).")]
    }
}
