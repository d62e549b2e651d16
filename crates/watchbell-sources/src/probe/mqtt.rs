//! Speaks to an MQTT broker (3.1.1) as its clients do: connects, and subscribes if asked to.

use regex::Regex;
use schemars::JsonSchema;
use serde::Deserialize;
use watchbell_model::{Path, Problems, Secret};

use super::attempt::{Attempt, Failure};
use super::config::{check_host, check_port, host_and_port};
use super::dialogue::shown;
use super::http::{check_regex, regex_words};
use super::kinds::{Kind, Probing};
use super::tls::with_trust;
use super::wire::{Message, Wire};

with_trust! {
    /// An MQTT broker: it lets a client in, and has a message for it if one is waited for.
    #[derive(Debug, Clone, PartialEq, Hash, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    pub struct MqttConfig {
        /// The host's name or address.
        pub host: String,
        /// The port: by default 1883, with `tls` 8883.
        #[serde(default)]
        pub port: Option<u16>,
        /// Whether the port speaks TLS.
        #[serde(default)]
        pub tls: bool,
        /// The user.
        #[serde(default)]
        pub username: Option<String>,
        /// The password.
        #[serde(default)]
        pub password: Option<Secret>,
        /// Waits for a message on this topic; one that is retained comes at once.
        #[serde(default)]
        pub topic: Option<String>,
        /// A regular expression that must match somewhere in the message.
        #[serde(default)]
        pub expect: Option<String>,
    }
}

impl MqttConfig {
    fn port(&self) -> u16 {
        self.port.unwrap_or(if self.tls { 8883 } else { 1883 })
    }

    async fn talk(&self, wire: &mut Wire<'_, '_>) -> Result<String, Failure> {
        if self.tls {
            wire.secure(self.trust(&self.host)).await?;
        }
        let id = format!("watchbell-{:08x}", wire.attempt.runtime.rng.next_u64() as u32);
        let mut flags = 2;
        let mut rest = text(&id);
        if let Some(username) = &self.username {
            flags |= 0x80;
            rest.extend(text(username));
        }
        if let Some(password) = &self.password {
            flags |= 0x40;
            rest.extend(text(password.expose()));
        }
        let keep_alive = 60_u16.to_be_bytes();
        let body = [&text("MQTT")[..], &[4, flags], &keep_alive, &rest].concat();
        wire.send(&packet(0x10, &body), "CONNECT").await?;
        let waiting_for = "the answer to CONNECT";
        let is_ours = wire.byte(waiting_for).await? >> 4 == 2;
        // What is none of MQTT has no length to wait for.
        let body = if is_ours { rest_of(wire, waiting_for).await? } else { Vec::new() };
        if body.len() < 2 {
            return Err(Failure::new("what listens there does not answer as an MQTT broker does"));
        }
        let refusal = match body[1] {
            0 => None,
            1 => Some("it does not speak version 3.1.1".to_owned()),
            2 => Some(format!("it does not like the client's name `{id}`")),
            3 => Some("it is not available".to_owned()),
            4 => Some("the user or the password is wrong".to_owned()),
            5 => Some("the client may not connect: a user, a password or a certificate is missing or wrong".to_owned()),
            other => Some(format!("code {other}")),
        };
        if let Some(why) = refusal {
            return Err(Failure(format!("the broker refused the connection: {why}")));
        }
        let words = match &self.topic {
            None => "the broker takes clients".to_owned(),
            Some(topic) => self.wait_for_message(wire, topic).await?,
        };
        let _ = wire.send(&packet(0xe0, b""), "DISCONNECT").await;
        Ok(words)
    }

    async fn wait_for_message(&self, wire: &mut Wire<'_, '_>, topic: &str) -> Result<String, Failure> {
        wire.send(&packet(0x82, &[&[0, 1][..], &text(topic), &[0]].concat()), "SUBSCRIBE").await?;
        loop {
            let (kind, body) = receive(wire, &format!("a message on `{topic}`")).await?;
            let mut body = Message(&body);
            match kind >> 4 {
                9 if body.0.get(2) == Some(&0x80) => {
                    return Err(Failure(format!("the broker refused the subscription to `{topic}`")));
                }
                3 => {
                    let length = body.be(2) as usize;
                    body.take(length);
                    let message = String::from_utf8_lossy(body.0);
                    let Some(pattern) = &self.expect else { return Ok(format!("`{}` on `{topic}`", shown(&message))) };
                    let regex = Regex::new(pattern).map_err(|error| Failure(regex_words(&error)))?;
                    if !regex.is_match(&message) {
                        return Err(Failure(format!(
                            "expected a message that matches `{pattern}` on `{topic}`, but it is `{}`",
                            shown(&message)
                        )));
                    }
                    return Ok(format!("`{}` on `{topic}`", shown(&message)));
                }
                _ => {}
            }
        }
    }
}

impl Kind for MqttConfig {
    fn target(&self) -> String {
        host_and_port(&self.host, self.port())
    }

    fn check(&self, path: &Path, problems: &mut Problems) {
        check_host(&self.host, &path.field("host"), problems);
        check_port(self.port(), &path.field("port"), problems);
        self.check_trust(path, problems);
        if self.password.is_some() && self.username.is_none() {
            problems.error(path, "there is a `password` without a `username`").hint("give both, or neither");
        }
        if self.topic.as_deref().is_some_and(|topic| topic.is_empty() || topic.len() > usize::from(u16::MAX)) {
            problems.error(&path.field("topic"), "it is not a topic").hint("such as `sensors/kitchen/state`");
        }
        if let Some(pattern) = &self.expect {
            check_regex(pattern, &path.field("expect"), problems);
            if self.topic.is_none() {
                problems.error(&path.field("expect"), "no message is waited for").hint("name its `topic`");
            }
        }
    }

    fn anchor(&mut self, base: &std::path::Path) {
        self.anchor_trust(base);
    }

    fn probe<'a>(&'a self, attempt: &'a mut Attempt<'_>) -> Probing<'a> {
        Box::pin(async move {
            let stream = attempt.connect(&self.host, self.port()).await?;
            self.talk(&mut Wire::new(attempt, stream)).await
        })
    }
}

/// A text with its length; what is longer than MQTT can say is cut.
fn text(text: &str) -> Vec<u8> {
    let bytes = &text.as_bytes()[..text.len().min(usize::from(u16::MAX))];
    [&(bytes.len() as u16).to_be_bytes(), bytes].concat()
}

fn packet(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![kind];
    let mut left = body.len();
    loop {
        let (low, high) = ((left % 128) as u8, left / 128);
        packet.push(if high > 0 { low | 0x80 } else { low });
        left = high;
        if left == 0 {
            break;
        }
    }
    packet.extend(body);
    packet
}

async fn receive(wire: &mut Wire<'_, '_>, waiting_for: &str) -> Result<(u8, Vec<u8>), Failure> {
    let kind = wire.byte(waiting_for).await?;
    Ok((kind, rest_of(wire, waiting_for).await?))
}

/// What follows the first byte of a packet.
async fn rest_of(wire: &mut Wire<'_, '_>, waiting_for: &str) -> Result<Vec<u8>, Failure> {
    let mut length = 0;
    for at in 0..4 {
        let byte = wire.byte(waiting_for).await?;
        length |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            break;
        }
    }
    wire.take(length, waiting_for).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_packets() {
        assert_eq!(packet(0xe0, b""), [0xe0, 0]);
        assert_eq!(packet(1, &[7; 127])[..2], [1, 127]);
        assert_eq!(packet(1, &[7; 128])[..3], [1, 0x80, 1]);
        assert_eq!(packet(1, &[7; 16_384])[..4], [1, 0x80, 0x80, 1]);
    }
}
