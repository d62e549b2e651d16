//! Sends an echo request (`ping`) and waits for its answer.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::Deserialize;
use watchbell_model::{Path, Problems};
use watchbell_runtime::net::EchoOptions;

use super::attempt::{Attempt, Failure};
use super::config::check_host;
use super::kinds::{Kind, Probing};
use super::wire::Message;

const TEXT: &[u8] = b"watchbell watches this host, ping.";

/// A host that answers echo requests (`ping`).
///
/// The kernel lets watchbell send them if `net.ipv4.ping_group_range` has its group, or with `CAP_NET_RAW`.
#[derive(Debug, Clone, PartialEq, Hash, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IcmpConfig {
    /// The host's name or address.
    pub host: String,
}

impl Kind for IcmpConfig {
    fn target(&self) -> String {
        self.host.clone()
    }

    fn check(&self, path: &Path, problems: &mut Problems) {
        check_host(&self.host, &path.field("host"), problems);
    }

    fn described(&self) -> &'static [(&'static str, &'static str)] {
        &[("probe_icmp_duration_seconds", "How long each phase took.")]
    }

    fn probe<'a>(&'a self, attempt: &'a mut Attempt<'_>) -> Probing<'a> {
        Box::pin(async move {
            let to = attempt.resolve(&self.host).await?;
            let clock = attempt.runtime.clock.clone();
            let begun = clock.monotonic();
            let socket = attempt.runtime.net.echoes(to, &EchoOptions::default()).await;
            let socket = socket.map_err(|error| forbidden(&error))?;
            attempt.spent("setup", clock.monotonic() - begun);
            let token = attempt.runtime.rng.next_u64();
            let begun = clock.monotonic();
            let waiting_for = format!("an answer of {to} to an echo request");
            let sent = request(to, &payload(token, TEXT.len() + 8));
            attempt.ask(&socket, &sent, &waiting_for, |bytes| answer(bytes, to, &sent)).await??;
            attempt.spent("rtt", clock.monotonic() - begun);
            for (phase, time) in attempt.seen.phases.clone() {
                attempt.sample("probe_icmp_duration_seconds", &[("phase", &phase)], time.as_secs_f64());
            }
            Ok(format!("{to} answers"))
        })
    }
}

pub(crate) fn forbidden(error: &std::io::Error) -> Failure {
    match error.kind() {
        std::io::ErrorKind::PermissionDenied => Failure::new(
            "the kernel of this machine lets watchbell send no echo requests: set `net.ipv4.ping_group_range` to a range \
             with its group (`sysctl -w net.ipv4.ping_group_range='0 2147483647'`), or give it CAP_NET_RAW",
        ),
        _ => Failure(format!("no echo requests can be sent: {error}")),
    }
}

/// What is sent so that its answer is told from others: the token, a text, and zeros, so many bytes of it.
pub(crate) fn payload(token: u64, length: usize) -> Vec<u8> {
    let mut bytes = token.to_be_bytes().to_vec();
    bytes.extend(TEXT);
    bytes.resize(length, 0);
    bytes
}

/// An echo request. Its identifier is the kernel's where the socket needs no rights; what comes behind tells the answer.
pub(crate) fn request(to: IpAddr, payload: &[u8]) -> Vec<u8> {
    let kind = if to.is_ipv4() { 8 } else { 128 };
    let [high, low] = checksum(payload).to_be_bytes();
    let mut bytes = vec![kind, 0, 0, 0, high, low, low, high];
    bytes.extend(payload);
    if to.is_ipv4() {
        // For ICMPv6 the kernel fills it in.
        let sum = checksum(&bytes).to_be_bytes();
        bytes[2..4].copy_from_slice(&sum);
    }
    bytes
}

/// The sum of RFC 1071.
fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = 0;
    for pair in bytes.chunks(2) {
        sum += u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// Whether this answers the request that was sent; a raw socket hears what is for others, too.
pub(crate) fn answer(bytes: &[u8], to: IpAddr, sent: &[u8]) -> Option<Result<(), Failure>> {
    let mut message = Message(bytes);
    let kind = message.byte();
    let code = message.byte();
    // From the sequence number on nobody changes anything; what goes wrong comes with no more than a part of it.
    let ours = &sent[6..sent.len().min(16)];
    if !bytes.windows(ours.len()).any(|it| it == ours) {
        return None;
    }
    match (kind, to.is_ipv4()) {
        (0, true) | (129, false) => Some(Ok(())),
        (3, true) | (1, false) => Some(Err(Failure(format!("the host {to} cannot be reached (ICMP code {code})")))),
        (11, true) | (3, false) => Some(Err(Failure(format!("the way to {to} goes in a circle or is too long")))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_sums_up_to_nothing() {
        let bytes = request("192.0.2.1".parse().unwrap(), &payload(0x0102_0304_0506_0708, 20));
        assert_eq!((checksum(&bytes), bytes.len()), (0, 28));
        assert_eq!(checksum(&[0x45, 0, 1]), !0x4600);
    }

    #[test]
    fn only_our_own_answer_counts() {
        let to: IpAddr = "192.0.2.1".parse().unwrap();
        let (sent, other) = (request(to, &payload(7, 42)), request(to, &payload(8, 42)));
        assert_eq!(answer(&sent, to, &sent), None, "a request is no answer");
        let mut bytes = sent.clone();
        bytes[0] = 0;
        assert_eq!(answer(&bytes, to, &sent), Some(Ok(())));
        assert_eq!(answer(&bytes, to, &other), None);
        assert_eq!(answer(b"", to, &sent), None);
    }
}
