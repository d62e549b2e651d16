//! `prober: grpc`.

use std::sync::Mutex;

use watchbell_runtime::http::{self, Progress};
use watchbell_runtime::tls::TlsOptions;

use super::super::attempt::Failure;
use super::super::grpc::{Health, SERVING, address, question};
use super::{Probe, host_and_port_of};

const PHASES: &str = "probe_grpc_duration_seconds";

pub(super) async fn probe(it: &mut Probe<'_, '_>) -> Result<(), Failure> {
    let grpc = &it.module.config.grpc;
    it.record.phase(PHASES, "resolve", 0.0);
    it.record.zero(&["probe_grpc_ssl", "probe_grpc_status_code"]);
    let target = &it.question.target;
    let target = target.strip_prefix("http://").or(target.strip_prefix("https://")).unwrap_or(target);
    let target = target.split('/').next().unwrap_or_default();
    let own_port = if grpc.tls { 443 } else { 80 };
    let (host, port) = host_and_port_of(target).unwrap_or((target, own_port));
    let chosen = it.choose(&grpc.preferred_ip_protocol, grpc.ip_protocol_fallback, host).await?;
    let seconds = it.lookup_seconds();
    it.record.phase(PHASES, "resolve", seconds);
    let runtime = it.attempt.runtime;
    let begun = runtime.clock.monotonic();
    let mut request = question(address(host, port, grpc.tls)?, &grpc.service);
    for (name, values) in &grpc.metadata {
        request.headers.extend(values.iter().map(|value| (name.clone(), value.expose().to_owned())));
    }
    request.first.address = Some(chosen);
    request.tls = TlsOptions::of(&grpc.tls_config, &runtime.disk).map_err(Failure)?;
    request.verify = !grpc.tls_config.insecure_skip_verify;
    request.timeout = it.attempt.remaining();
    it.record.debug("Dialing GRPC", &[("tls", if grpc.tls { "true" } else { "false" })]);
    let progress = Mutex::new(Progress::default());
    let answer = http::send_watched(runtime, request, &progress).await;
    it.record.phase(PHASES, "check", (runtime.clock.monotonic() - begun).as_secs_f64());
    let health = Health::of(&answer);
    for status in SERVING {
        let said = if health.serving == Some(status) { 1.0 } else { 0.0 };
        it.record.set_with("probe_grpc_healthcheck_response", &[("serving_status", status)], said);
    }
    // As blackbox_exporter, which tells of TLS only where the service answered.
    if let Ok(response) = &answer
        && let Some(report) = response.tls.as_ref().filter(|_| health.code == 0)
    {
        it.record.set("probe_grpc_ssl", 1.0);
        it.record.saw_tls(report, false, false);
    }
    it.record.set("probe_grpc_status_code", f64::from(health.code));
    match health.serving {
        Some("SERVING") => Ok(()),
        Some(other) => Err(Failure(format!("the service says {other}"))),
        None => Err(Failure(format!("can't connect grpc server: {}", health.message))),
    }
}
