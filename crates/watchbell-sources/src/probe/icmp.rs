//! Sends an echo request (`ping`) and waits for its answer.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::Deserialize;
use watchbell_model::{Path, Problems};

use super::attempt::{Attempt, Failure};
use super::config::check_host;
use super::kinds::{Kind, Probing};
use super::wire::Message;

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
            let socket = attempt.runtime.net.echoes(to).await.map_err(|error| forbidden(&error))?;
            attempt.spent("setup", clock.monotonic() - begun);
            let token = attempt.runtime.rng.next_u64();
            let begun = clock.monotonic();
            let waiting_for = format!("an answer of {to} to an echo request");
            attempt.ask(&socket, &request(to, token), &waiting_for, |bytes| answer(bytes, to, token)).await??;
            attempt.spent("rtt", clock.monotonic() - begun);
            for (phase, time) in attempt.seen.phases.clone() {
                attempt.sample("probe_icmp_duration_seconds", &[("phase", phase)], time.as_secs_f64());
            }
            Ok(format!("{to} answers"))
        })
    }
}

fn forbidden(error: &std::io::Error) -> Failure {
    match error.kind() {
        std::io::ErrorKind::PermissionDenied => Failure::new(
            "the kernel of this machine lets watchbell send no echo requests: set `net.ipv4.ping_group_range` to a range \
             with its group (`sysctl -w net.ipv4.ping_group_range='0 2147483647'`), or give it CAP_NET_RAW",
        ),
        _ => Failure(format!("no echo requests can be sent: {error}")),
    }
}

/// An echo request. Its identifier is the kernel's where the socket needs no rights; the token tells the answer.
fn request(to: IpAddr, token: u64) -> Vec<u8> {
    let kind = if to.is_ipv4() { 8 } else { 128 };
    let mut bytes = vec![kind, 0, 0, 0, (token >> 8) as u8, token as u8, 0, 1];
    bytes.extend(token.to_be_bytes());
    bytes.extend(b"watchbell watches this host, ping.");
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

/// Whether this answers our request; a raw socket hears what is for others, too.
fn answer(bytes: &[u8], to: IpAddr, token: u64) -> Option<Result<(), Failure>> {
    let mut message = Message(bytes);
    let kind = message.byte();
    let code = message.byte();
    let ours = token.to_be_bytes();
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
        let bytes = request("192.0.2.1".parse().unwrap(), 0x0102_0304_0506_0708);
        assert_eq!(checksum(&bytes), 0);
        assert_eq!(checksum(&[0x45, 0, 1]), !0x4600);
    }

    #[test]
    fn only_our_own_answer_counts() {
        let to: IpAddr = "192.0.2.1".parse().unwrap();
        let mut bytes = request(to, 7);
        assert_eq!(answer(&bytes, to, 7), None, "a request is no answer");
        bytes[0] = 0;
        assert_eq!(answer(&bytes, to, 7), Some(Ok(())));
        assert_eq!(answer(&bytes, to, 8), None);
        assert_eq!(answer(b"", to, 7), None);
    }
}
