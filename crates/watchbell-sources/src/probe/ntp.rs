//! Asks a time server for the time, and compares it with this machine's.

use schemars::JsonSchema;
use serde::Deserialize;
use watchbell_model::{Path, Problems, Span};

use super::attempt::{Attempt, Failure};
use super::config::{check_host, check_port, host_and_port};
use super::kinds::{Kind, Probing};
use super::wire::Message;

/// From 1900, where NTP begins, to 1970.
const NTP_TO_UNIX_SECONDS: f64 = 2_208_988_800.0;
/// How long a cycle of NTP's 32 bits of seconds is; the second one begins in 2036.
const ERA_SECONDS: f64 = 4_294_967_296.0;

/// A time server (NTP): it answers, has a source of time itself, and agrees with this machine's clock.
#[derive(Debug, Clone, PartialEq, Hash, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NtpConfig {
    /// The host's name or address.
    pub host: String,
    /// The port.
    #[serde(default = "NtpConfig::default_port")]
    pub port: u16,
    /// How far its time may be from this machine's, either way.
    #[serde(default = "NtpConfig::default_offset_max")]
    pub offset_max: Span,
    /// How many servers may stand between it and a clock, itself counted: 1 is a server with a clock of its own.
    #[serde(default = "NtpConfig::default_stratum_max")]
    pub stratum_max: u8,
}

/// What a server answers.
#[derive(Debug, PartialEq)]
struct Time {
    leap: u8,
    stratum: u8,
    reference: [u8; 4],
    root_dispersion: f64,
    /// In seconds of Unix time.
    received: f64,
    /// As `received`.
    sent: f64,
}

impl NtpConfig {
    fn default_port() -> u16 {
        123
    }

    fn default_offset_max() -> Span {
        Span::seconds(1)
    }

    fn default_stratum_max() -> u8 {
        15
    }

    fn judge(&self, time: &Time, offset: f64) -> Result<String, Failure> {
        if time.stratum == 0 {
            let code: String =
                time.reference.iter().map(|byte| char::from(*byte)).filter(|c| c.is_ascii_graphic()).collect();
            return Err(Failure(match code.as_str() {
                "" | "INIT" | "STEP" => "the server's own clock is not synchronized".into(),
                "RATE" => "the server is asked too often (`RATE`): lengthen `interval`".into(),
                "DENY" | "RSTR" => format!("the server turns this client away (`{code}`)"),
                _ => format!("the server has no time to give (`{code}`)"),
            }));
        }
        if time.leap == 3 || time.stratum >= 16 {
            return Err(Failure::new("the server's own clock is not synchronized"));
        }
        if time.stratum > self.stratum_max {
            return Err(Failure(format!(
                "expected a stratum of at most {}, but it is {}",
                self.stratum_max, time.stratum
            )));
        }
        let words = if offset >= 0.0 { "ahead of" } else { "behind" };
        let words = format!("the server's clock is {:.3} s {words} this machine's", offset.abs());
        if offset.abs() > self.offset_max.duration().as_secs_f64() {
            return Err(Failure(format!("{words}, more than `{}`; either may be wrong", self.offset_max)));
        }
        Ok(format!("stratum {}, {words}", time.stratum))
    }
}

impl Kind for NtpConfig {
    fn target(&self) -> String {
        host_and_port(&self.host, self.port)
    }

    fn check(&self, path: &Path, problems: &mut Problems) {
        check_host(&self.host, &path.field("host"), problems);
        check_port(self.port, &path.field("port"), problems);
        if self.offset_max.is_zero() {
            problems.error(&path.field("offset_max"), "no two clocks agree to that").hint("such as `500ms`");
        }
        if !(1..=15).contains(&self.stratum_max) {
            problems
                .error(&path.field("stratum_max"), format!("{} is not a stratum", self.stratum_max))
                .hint("from 1, a server with a clock of its own, to 15");
        }
    }

    fn described(&self) -> &'static [(&'static str, &'static str)] {
        &[
            ("probe_ntp_offset_seconds", "How far the server's clock is ahead of this machine's."),
            ("probe_ntp_stratum", "How many servers stand between it and a clock, itself counted."),
            ("probe_ntp_round_trip_seconds", "How long the question and the answer were under way."),
            ("probe_ntp_root_dispersion_seconds", "How far off the server says that it may be."),
        ]
    }

    fn probe<'a>(&'a self, attempt: &'a mut Attempt<'_>) -> Probing<'a> {
        Box::pin(async move {
            let socket = attempt.datagrams(&self.host, self.port).await?;
            let runtime = attempt.runtime;
            // The time that is sent is made up: it only has to come back, and tells nobody our clock.
            let cookie = runtime.rng.next_u64();
            let mut question = vec![0x23];
            question.resize(40, 0);
            question.extend(cookie.to_be_bytes());
            let asked_at = runtime.clock.now();
            let begun = runtime.clock.monotonic();
            let time = attempt.ask(&socket, &question, "the time", |bytes| answer(bytes, cookie)).await?;
            let took = (runtime.clock.monotonic() - begun).as_secs_f64();
            let (asked, got) = (asked_at.as_seconds(), asked_at.as_seconds() + took);
            let offset = ((time.received - asked) + (time.sent - got)) / 2.0;
            let under_way = (took - (time.sent - time.received)).max(0.0);
            attempt.sample("probe_ntp_offset_seconds", &[], offset);
            attempt.sample("probe_ntp_stratum", &[], f64::from(time.stratum));
            attempt.sample("probe_ntp_round_trip_seconds", &[], under_way);
            attempt.sample("probe_ntp_root_dispersion_seconds", &[], time.root_dispersion);
            self.judge(&time, offset)
        })
    }
}

/// The answer to the question with this cookie; anything else is for somebody else.
fn answer(bytes: &[u8], cookie: u64) -> Option<Time> {
    if bytes.len() < 48 {
        return None;
    }
    let mut message = Message(bytes);
    let flags = message.byte();
    // Mode 4 is a server's answer.
    if flags & 7 != 4 {
        return None;
    }
    let stratum = message.byte();
    message.take(2 + 4);
    let root_dispersion = message.be(4) as f64 / 65536.0;
    let reference = message.take(4).try_into().ok()?;
    message.take(8);
    let origin = message.be(8);
    let (received, sent) = (seconds(message.be(8)), seconds(message.be(8)));
    (origin == cookie).then_some(Time { leap: flags >> 6, stratum, reference, root_dispersion, received, sent })
}

fn seconds(ntp: u64) -> f64 {
    let seconds = (ntp >> 32) as f64;
    // What would be before 1968 is after 2036.
    let era = if ntp >> 63 == 0 { ERA_SECONDS } else { 0.0 };
    seconds + era - NTP_TO_UNIX_SECONDS + (ntp & 0xffff_ffff) as f64 / ERA_SECONDS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_and_after_2036() {
        // 2026-01-05T00:00:00Z.
        assert_eq!(seconds((1_767_571_200 + 2_208_988_800) << 32), 1_767_571_200.0);
        assert_eq!(seconds(1 << 31), 2_085_978_496.5);
    }
}
