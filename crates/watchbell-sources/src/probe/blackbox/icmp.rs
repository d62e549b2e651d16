//! `prober: icmp`.

use watchbell_runtime::net::EchoOptions;

use super::super::attempt::Failure;
use super::super::icmp::{answer, forbidden, payload, request};
use super::Probe;

const PHASES: &str = "probe_icmp_duration_seconds";
/// What a request carries where the module does not say, in bytes.
const PAYLOAD_BYTES: usize = 28;

pub(super) async fn probe(it: &mut Probe<'_, '_>) -> Result<(), Failure> {
    let icmp = &it.module.config.icmp;
    for phase in ["resolve", "setup", "rtt"] {
        it.record.phase(PHASES, phase, 0.0);
    }
    let target = &it.question.target;
    let to = it.choose(&icmp.preferred_ip_protocol, icmp.ip_protocol_fallback, target).await?;
    let seconds = it.lookup_seconds();
    it.record.phase(PHASES, "resolve", seconds);
    let runtime = it.attempt.runtime;
    let begun = runtime.clock.monotonic();
    let hops = u8::try_from(icmp.ttl).ok().filter(|hops| *hops > 0);
    let options = EchoOptions { hops, whole: icmp.dont_fragment };
    let socket = runtime.net.echoes(to, &options).await.map_err(|error| forbidden(&error))?;
    it.record.phase(PHASES, "setup", (runtime.clock.monotonic() - begun).as_secs_f64());
    let length = if icmp.payload_size == 0 { PAYLOAD_BYTES } else { usize::from(icmp.payload_size) };
    let sent = request(to, &payload(runtime.rng.next_u64(), length));
    it.record.debug("Writing out packet", &[("bytes", &sent.len().to_string())]);
    let begun = runtime.clock.monotonic();
    let waiting_for = format!("an answer of {to} to an echo request");
    it.attempt.ask(&socket, &sent, &waiting_for, |bytes| answer(bytes, to, &sent)).await??;
    it.record.phase(PHASES, "rtt", (runtime.clock.monotonic() - begun).as_secs_f64());
    if let Some(hops) = socket.hops() {
        it.record.set("probe_icmp_reply_hop_limit", f64::from(hops));
    }
    it.record.debug("Found matching reply packet", &[]);
    Ok(())
}
