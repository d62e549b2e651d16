//! `prober: dns`: asks the name server that is the target.

use watchbell_wire::dns::{self, Message, Query, Record as Line};

use super::super::attempt::Failure;
use super::super::config::host_and_port;
use super::super::wire::Wire;
use super::config::{DnsModule, RecordRules};
use super::{Probe, host_and_port_of};

const PHASES: &str = "probe_dns_duration_seconds";
const SOA: u16 = 6;

pub(super) async fn probe(it: &mut Probe<'_, '_>) -> Result<(), Failure> {
    let module = it.module.config.dns.clone().unwrap_or_default();
    for phase in ["resolve", "connect", "request"] {
        it.record.phase(PHASES, phase, 0.0);
    }
    it.record.zero(&[
        "probe_dns_answer_rrs",
        "probe_dns_authority_rrs",
        "probe_dns_additional_rrs",
        "probe_dns_query_succeeded",
    ]);
    let transport = if module.transport_protocol.is_empty() { "udp" } else { &module.transport_protocol };
    if !matches!(transport, "udp" | "tcp") {
        return Err(Failure(format!("Configuration error: Expected transport protocol udp or tcp, not `{transport}`")));
    }
    if module.dns_over_tls && transport != "tcp" {
        return Err(Failure::new("Configuration error: Expected transport protocol tcp for DoT"));
    }
    let target = it.question.target.clone();
    let own_port = if module.dns_over_tls { 853 } else { 53 };
    let (host, port) = host_and_port_of(&target).unwrap_or((&target, own_port));
    let address = it.choose(&module.preferred_ip_protocol, module.ip_protocol_fallback, host).await?;
    let seconds = it.lookup_seconds();
    it.record.phase(PHASES, "resolve", seconds);
    let place = host_and_port(&address.to_string(), port);
    it.record.debug(
        "Making DNS query",
        &[
            ("target", &place),
            ("dial_protocol", transport),
            ("query", &module.query_name),
            ("type", &module.query_type),
        ],
    );
    let message = ask(it, &module, &address.to_string(), port, transport, host).await?;
    it.record.debug("Got response", &[("rcode", &dns::code_name(message.code))]);
    it.record.set("probe_dns_answer_rrs", message.answers.len() as f64);
    it.record.set("probe_dns_authority_rrs", message.authority.len() as f64);
    it.record.set("probe_dns_additional_rrs", message.additional.len() as f64);
    it.record.set("probe_dns_query_succeeded", 1.0);
    if module.kind() == Some(SOA) {
        let soa = message.answers.iter().rfind(|line| line.kind == SOA);
        let serial = soa.and_then(|line| line.data.split(' ').nth(2)?.parse().ok());
        it.record.set("probe_dns_serial", serial.unwrap_or_default());
    }
    judge_code(&module, message.code)?;
    for (section, lines, rules) in [
        ("Answer", &message.answers, &module.validate_answer_rrs),
        ("Authority", &message.authority, &module.validate_authority_rrs),
        ("Additional", &message.additional, &module.validate_additional_rrs),
    ] {
        judge(it, section, lines, rules)?;
    }
    Ok(())
}

async fn ask(
    it: &mut Probe<'_, '_>,
    module: &DnsModule,
    address: &str,
    port: u16,
    transport: &str,
    host: &str,
) -> Result<Message, Failure> {
    let clock = it.attempt.runtime.clock.clone();
    let id = it.attempt.runtime.rng.next_u64() as u16;
    let class = if module.query_class.is_empty() { "IN" } else { &module.query_class };
    let question = dns::query(&Query {
        recursion: module.recursion_desired,
        validate: false,
        class: dns::class_of(class).unwrap_or(1),
        edns: false,
        ..Query::new(id, &module.query_name, module.kind().unwrap_or_default())
    })
    .map_err(Failure)?;
    let begun = clock.monotonic();
    let waiting_for = "an answer of the name server";
    if transport == "udp" {
        let socket = it.attempt.datagrams(address, port).await?;
        let connected = clock.monotonic();
        it.record.phase(PHASES, "connect", (connected - begun).as_secs_f64());
        let read = |bytes: &[u8]| Message::read(bytes).ok().filter(|it| it.id == id);
        let asked = it.attempt.ask(&socket, &question, waiting_for, read).await;
        it.record.phase(PHASES, "request", (clock.monotonic() - connected).as_secs_f64());
        return asked;
    }
    let mut stream = it.attempt.connect(address, port).await?;
    if module.dns_over_tls {
        stream = it.secure(stream, &module.tls_config, host).await?.0;
    }
    let connected = clock.monotonic();
    it.record.phase(PHASES, "connect", (connected - begun).as_secs_f64());
    let mut wire = Wire::new(it.attempt, stream);
    let length = (question.len() as u16).to_be_bytes();
    let asked = async {
        wire.send(&[&length[..], &question].concat(), "the question").await?;
        let length = wire.take(2, waiting_for).await?;
        wire.take(usize::from(u16::from_be_bytes([length[0], length[1]])), waiting_for).await
    };
    let asked = asked.await;
    it.record.phase(PHASES, "request", (clock.monotonic() - connected).as_secs_f64());
    let message = Message::read(&asked?).map_err(|why| Failure(format!("the answer is broken: {why}")))?;
    if message.id == id { Ok(message) } else { Err(Failure::new("the server answers another question")) }
}

fn judge_code(module: &DnsModule, code: u8) -> Result<(), Failure> {
    let known = |name: &String| dns::code_of(name).ok_or_else(|| Failure(format!("Invalid rcode `{name}`")));
    let valid: Vec<u8> = module.valid_rcodes.iter().map(known).collect::<Result<_, _>>()?;
    let good = if valid.is_empty() { code == 0 } else { valid.contains(&code) };
    match good {
        true => Ok(()),
        false => Err(Failure(format!("Rcode {} is not one of the valid rcodes", dns::code_name(code)))),
    }
}

/// Judges a section of the answer.
fn judge(it: &mut Probe<'_, '_>, section: &str, lines: &[Line], rules: &RecordRules) -> Result<(), Failure> {
    let refuse = |reason: String| Err(Failure(format!("{section} RRs validation failed: {reason}")));
    if lines.is_empty() && !rules.fail_if_not_matches_regexp.is_empty() {
        return refuse("fail_if_not_matches_regexp specified but no RRs returned".into());
    }
    if lines.is_empty() && !rules.fail_if_none_matches_regexp.is_empty() {
        return refuse("fail_if_none_matches_regexp specified but no RRs returned".into());
    }
    let (mut all, mut any) = (true, false);
    for line in lines.iter().map(Line::line) {
        it.record.debug("Validating RR", &[("rr", &line)]);
        let bytes = line.as_bytes();
        if let Some(pattern) = rules.fail_if_matches_regexp.iter().find(|it| it.is_match(bytes)) {
            return refuse(format!("at least one RR matched `{}`: {line}", pattern.as_str()));
        }
        all &= rules.fail_if_all_match_regexp.iter().all(|it| it.is_match(bytes));
        if let Some(pattern) = rules.fail_if_not_matches_regexp.iter().find(|it| !it.is_match(bytes)) {
            return refuse(format!("at least one RR did not match `{}`: {line}", pattern.as_str()));
        }
        any |= rules.fail_if_none_matches_regexp.iter().any(|it| it.is_match(bytes));
    }
    // As in blackbox_exporter, where this rule fails unless all match, whatever its name says.
    if !rules.fail_if_all_match_regexp.is_empty() && !all {
        return refuse("not all RRs matched".into());
    }
    if !rules.fail_if_none_matches_regexp.is_empty() && !any {
        return refuse("none of the RRs matched any regexp".into());
    }
    Ok(())
}
