//! A `blackbox.yml` and a `prometheus.yml` with blackbox jobs, unchanged, and our answers beside those of the real
//! blackbox_exporter for the same targets.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use watchbell_runtime::Clock;
use watchbell_sim::Authority;

use crate::kit::{Folder, Process, own_address, request, wait_until};
use crate::peers::{Dovecot, IMAP, must_have};
use crate::senders::{Prometheus, Release};
use crate::servers;

/// The newer exporter, if it was unpacked below target/peers, else the installed one.
fn binary() -> PathBuf {
    let name = "prometheus-blackbox-exporter";
    let newer = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../target/peers/{name}/usr/bin/{name}"));
    if newer.exists() {
        return newer;
    }
    must_have("/usr/bin/prometheus-blackbox-exporter", name);
    Path::new("/usr/bin").join(name)
}

/// The real one, ended by its process id.
struct Exporter {
    child: Child,
    address: SocketAddr,
}

impl Exporter {
    fn start(folder: &Folder, config: &Path) -> Exporter {
        let address = SocketAddr::new(own_address().into(), 9115);
        let log = std::fs::File::create(folder.path().join("exporter.log")).expect("a log");
        let child = Command::new(binary())
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the exporter starts");
        wait_until("the exporter listens", || TcpStream::connect(address).is_ok());
        Exporter { child, address }
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What does not depend on a clock, by series; and the names of the rest.
#[derive(Debug, PartialEq)]
struct Told {
    steady: BTreeMap<String, f64>,
    timed: BTreeSet<String>,
}

/// Names that the older exporters do not have.
const NEWER: [&str; 5] = [
    "probe_timeout_seconds",
    "probe_tls_cipher_info",
    "probe_failed_due_to_bytes",
    "probe_failed_due_to_cel",
    "probe_expect_info",
];

fn told(text: &str) -> Told {
    let mut told = Told { steady: BTreeMap::new(), timed: BTreeSet::new() };
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (series, value) = line.rsplit_once(' ').expect("a sample");
        let name = series.split('{').next().unwrap_or_default();
        // Older ones tell of these before there is anything to tell.
        let is_early = ["probe_failed_due_to_regex 0", "probe_ssl_earliest_cert_expiry 0"].contains(&line);
        if NEWER.contains(&name) || is_early {
            continue;
        }
        // The number of the certificate is told by newer ones only.
        let series = match series.split_once("serialnumber=\"") {
            Some((before, rest)) => format!("{before}{}", rest.split_once("\",").expect("it is not the last").1),
            None => series.to_owned(),
        };
        if name.ends_with("_seconds") && !name.contains("timestamp") {
            told.timed.insert(series);
        } else {
            told.steady.insert(series, value.parse().expect("a number"));
        }
    }
    told
}

/// Asks in HTTP/1.0, so that the answer comes in one piece.
fn ask(address: SocketAddr, module: &str, target: &str, more: &str) -> (u16, String) {
    let target: String = target.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket");
    let path = format!("/probe?module={module}&target={target}{more}");
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").expect("it hears");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    (status, body.to_owned())
}

const MODULES: &str = r#"
modules:
  http_2xx: {prober: http, timeout: 5s, http: {preferred_ip_protocol: ip4}}
  http_trusted: {prober: http, timeout: 5s, http: {tls_config: {ca_file: CA, server_name: server.watchbell.test}}}
  http_trusted_one: {prober: http, http: {enable_http2: false, tls_config: {ca_file: CA, server_name: server.watchbell.test}}}
  http_untrusting: {prober: http, http: {fail_if_ssl: true, tls_config: {insecure_skip_verify: true}}}
  http_two: {prober: http, http: {valid_http_versions: [HTTP/2.0], tls_config: {insecure_skip_verify: true}}}
  http_secure: {prober: http, http: {fail_if_not_ssl: true, tls_config: {insecure_skip_verify: true}}}
  http_stays: {prober: http, http: {follow_redirects: false, valid_status_codes: [302]}}
  http_body: {prober: http, http: {fail_if_body_not_matches_regexp: ['all is \w+']}}
  http_no_body: {prober: http, http: {fail_if_body_matches_regexp: ['all is \w+']}}
  http_header: {prober: http, http: {fail_if_header_matches: [{header: Via, regexp: o, allow_missing: true}]}}
  http_missing: {prober: http, http: {fail_if_header_not_matches: [{header: X-None, regexp: o}]}}
  http_gzip: {prober: http, http: {compression: gzip, headers: {Accept-Encoding: gzip}}}
  http_short: {prober: http, http: {body_size_limit: 100B}}
  http_post: {prober: http, http: {method: POST, body: '{}', valid_status_codes: [405]}}
  http_six: {prober: http, http: {preferred_ip_protocol: ip6, ip_protocol_fallback: false}}
  tcp_connect: {prober: tcp, timeout: 2s}
  tcp_tls: {prober: tcp, tcp: {tls: true, tls_config: {ca_file: CA, server_name: server.watchbell.test}}}
  tcp_tls_name: {prober: tcp, tcp: {tls: true, tls_config: {ca_file: CA}}}
  imap_starttls:
    prober: tcp
    timeout: 5s
    tcp:
      query_response:
      - expect: "OK.*STARTTLS"
      - send: ". STARTTLS"
      - expect: "OK"
      - starttls: true
      - send: ". capability"
      - expect: "CAPABILITY IMAP4rev1"
      tls_config: {ca_file: CA, server_name: server.watchbell.test}
  smtp_banner: {prober: tcp, timeout: 2s, tcp: {query_response: [{expect: '^220 '}]}}
  dns_mx:
    prober: dns
    dns:
      query_name: watchbell.test
      query_type: MX
      validate_answer_rrs:
        fail_if_not_matches_regexp: ["^watchbell\\.test\\.\t0\tIN\tMX\t10 mail\\.watchbell\\.test\\.$"]
  dns_txt: {prober: dns, dns: {transport_protocol: tcp, query_name: watchbell.test, query_type: TXT, validate_answer_rrs: {fail_if_none_matches_regexp: ['"v=spf1 mx -all"$']}}}
  dns_bad: {prober: dns, dns: {query_name: watchbell.test, query_type: MX, validate_answer_rrs: {fail_if_matches_regexp: ['mail']}}}
  dns_none: {prober: dns, dns: {query_name: none.watchbell.test, query_type: A}}
  dns_none_is_right: {prober: dns, dns: {query_name: none.watchbell.test, query_type: A, valid_rcodes: [NXDOMAIN]}}
  icmp: {prober: icmp, timeout: 2s, icmp: {payload_size: 100, ttl: 17}}
  grpc: {prober: grpc, grpc: {service: any}}
  grpc_tls: {prober: grpc, grpc: {tls: true, tls_config: {ca_file: CA, server_name: server.watchbell.test}}}
"#;

#[test]
fn the_same_answers_as_the_real_exporter() {
    let authority = Authority::new();
    let (certificate, key) =
        authority.issue(&["server.watchbell.test"], Clock::os().now() + Duration::from_secs(90 * 86_400));
    let folder = Folder::new("blackbox");
    let ca = folder.write("ca.pem", &authority.pem());
    let config = folder.write(
        "blackbox.yml",
        &MODULES.replace("CA,", &format!("{},", ca.display())).replace("CA}", &format!("{}}}", ca.display())),
    );
    let (nginx, names) = (servers::nginx(&certificate, &key), servers::dnsmasq());
    let dovecot = Dovecot::start(own_address(), &certificate, &key);
    let exporter = Exporter::start(&folder, &config);
    let ours = Process::start(&folder, &["--config", "blackbox.yml", "--data", "data", "--listen", "127.0.0.1:0"], &[]);
    let web =
        |port: u16, path: &str| format!("http{}://{}:{port}{path}", if port == 8443 { "s" } else { "" }, nginx.at);
    let at = |at: std::net::Ipv4Addr, port: u16| format!("{at}:{port}");
    let cases = [
        ("http_2xx", web(8080, "/page"), true),
        ("http_2xx", format!("{}:8080/page", nginx.at), true),
        ("http_2xx", web(8080, "/gone"), false),
        ("http_2xx", web(8080, "/away"), true),
        ("http_2xx", web(8080, "/round"), false),
        ("http_2xx", web(8443, "/page"), false),
        ("http_2xx", web(8083, "/page"), false),
        ("http_2xx", "http://no-such-host.invalid/".into(), false),
        ("http_trusted", web(8443, "/page"), true),
        ("http_trusted", web(8443, "/plain"), true),
        ("http_trusted_one", web(8443, "/away"), true),
        ("http_untrusting", web(8443, "/page"), false),
        ("http_untrusting", web(8080, "/page"), true),
        ("http_two", web(8443, "/page"), true),
        ("http_two", web(8080, "/page"), false),
        ("http_secure", web(8443, "/plain"), false),
        ("http_secure", web(8443, "/page"), true),
        ("http_stays", web(8080, "/away"), true),
        ("http_stays", web(8080, "/page"), false),
        ("http_body", web(8080, "/page"), true),
        ("http_body", web(8080, "/old"), false),
        ("http_no_body", web(8080, "/page"), false),
        ("http_header", web(8080, "/old"), false),
        ("http_header", web(8080, "/page"), true),
        ("http_missing", web(8080, "/page"), false),
        ("http_gzip", web(8080, "/page"), true),
        ("http_gzip", web(8443, "/page"), false),
        ("http_short", web(8080, "/old"), true),
        ("http_short", web(8080, "/page"), false),
        ("http_post", web(8080, "/page"), true),
        ("http_six", web(8080, "/page"), false),
        ("tcp_connect", at(nginx.at, 8080), true),
        ("tcp_connect", at(nginx.at, 8083), false),
        ("tcp_connect", "no-port".into(), false),
        ("tcp_tls", at(nginx.at, 8443), true),
        ("tcp_tls_name", at(nginx.at, 8443), false),
        ("tcp_tls", at(nginx.at, 8080), false),
        ("imap_starttls", at(dovecot.at, IMAP), true),
        ("smtp_banner", at(dovecot.at, IMAP), false),
        ("dns_mx", at(names.at, 5353), true),
        ("dns_txt", at(names.at, 5353), true),
        ("dns_bad", at(names.at, 5353), false),
        ("dns_none", at(names.at, 5353), false),
        ("dns_none_is_right", at(names.at, 5353), true),
        ("icmp", "127.0.0.1".into(), true),
        ("grpc", at(nginx.at, 8081), true),
        ("grpc", at(nginx.at, 8082), false),
        ("grpc", at(nginx.at, 8083), false),
        ("grpc_tls", at(nginx.at, 8444), true),
    ];
    let mut wrong = Vec::new();
    for (module, target, success) in cases {
        let (real, own) = (ask(exporter.address, module, &target, ""), ask(ours.address, module, &target, ""));
        let case = format!("{module} {target}");
        if real.0 != 200 || own.0 != 200 {
            wrong.push(format!("{case}: {real:?} {own:?}"));
            continue;
        }
        let (real_told, own_told) = (told(&real.1), told(&own.1));
        if own_told.steady["probe_success"] != f64::from(u8::from(success)) {
            let (_, why) = ask(ours.address, module, &target, "&debug=true");
            wrong.push(format!("{case}: expected {success}\n{why}"));
        }
        if real_told != own_told {
            let lines = |told: &Told| -> BTreeSet<String> {
                let steady = told.steady.iter().map(|(series, value)| format!("{series} {value}"));
                steady.chain(told.timed.iter().cloned()).collect()
            };
            let (real, own) = (lines(&real_told), lines(&own_told));
            wrong.push(format!(
                "{case}:\n  real alone: {:?}\n  ours alone: {:?}",
                real.difference(&own).collect::<Vec<_>>(),
                own.difference(&real).collect::<Vec<_>>()
            ));
        }
        let types = |text: &str, told: &Told| -> BTreeSet<String> {
            let series = told.steady.keys().chain(&told.timed);
            let names: BTreeSet<&str> = series.filter_map(|series| series.split('{').next()).collect();
            let is_told = |line: &&str| line.split(' ').nth(2).is_some_and(|name| names.contains(name));
            text.lines().filter(|line| line.starts_with("# TYPE")).filter(is_told).map(str::to_owned).collect()
        };
        let types = (types(&real.1, &real_told), types(&own.1, &own_told));
        if types.0 != types.1 {
            wrong.push(format!("{case}: {types:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for (query, status) in [
        ("module=none&target=x", 400),
        ("module=http_2xx", 400),
        ("target=127.0.0.1:9", 200),
        ("module=http_2xx&target=x%20y", 200),
    ] {
        let path = format!("/probe?{query}");
        let (real, own) = (request(exporter.address, "GET", &path, &[], "").unwrap(), ours.get(&path));
        assert_eq!((real.0, own.0), (status, status), "{query}: {} {}", real.1, own.1);
        if status != 200 {
            assert_eq!(real.1, own.1, "{query}");
        }
    }
    let late = [("X-Prometheus-Scrape-Timeout-Seconds", "soon")];
    let (real, own) = (
        request(exporter.address, "GET", "/probe?module=http_2xx&target=x", &late, "").unwrap(),
        request(ours.address, "GET", "/probe?module=http_2xx&target=x", &late, "").unwrap(),
    );
    assert_eq!((real.0, own.0), (500, 500), "{} {}", real.1, own.1);
    let (_, page) = ours.get(&format!("/probe?module=tcp_connect&target={}:8080&debug=true", nginx.at));
    for part in [
        "Logs for the probe:\n",
        "\n\n\nMetrics that would have been returned:\n# HELP probe_",
        "\n\n\nModule configuration:\nprober: tcp\n",
    ] {
        assert!(page.contains(part), "{part:?} is not in\n{page}");
    }
    assert!(ours.get("/config").1.contains("  tcp_connect:\n    prober: tcp\n"));
    // Another site's page may not have this machine probe.
    let foreign = [("Sec-Fetch-Site", "cross-site")];
    let path = format!("/probe?module=tcp_connect&target={}:8080", nginx.at);
    assert_eq!(request(ours.address, "GET", &path, &foreign, "").unwrap().0, 403);
}

#[test]
fn modules_are_taken_and_refused_as_the_real_exporter_does() {
    let folder = Folder::new("modules");
    for (module, good) in [
        ("{prober: http}", true),
        ("{prober: http, timeout: 5s, http: }", true),
        ("{prober: http, http: {method: POST, basic_auth: {username: u, password: p}, body_size_limit: 1MB}}", true),
        ("{prober: tcp, timeout: 5s}", true),
        (
            "{prober: tcp, tcp: {tls: true, query_response: [{expect: '^+OK'}], tls_config: {insecure_skip_verify: false}}}",
            true,
        ),
        (
            "{prober: tcp, tcp: {query_response: [{send: 'NICK prober'}, {expect: 'PING :([^ ]+)', send: 'PONG ${1}'}]}}",
            true,
        ),
        ("{prober: icmp, icmp: {preferred_ip_protocol: ip4}}", true),
        ("{prober: dns, dns: {query_name: example.com, validate_answer_rrs: {fail_if_matches_regexp: [test]}}}", true),
        (
            "{prober: http, http: {headers: {Origin: a}, fail_if_header_not_matches: [{header: B, regexp: '(\\*|a)', allow_missing: false}]}}",
            true,
        ),
        ("{prober: http, http: {compression: gzip, headers: {Accept-Encoding: 'br, gzip'}}}", true),
        ("{prober: grpc, grpc: {service: example}}", true),
        ("{prober: dns, dns: {query_name: a, invalid_extra_field: value}}", false),
        (
            "{prober: http, http: {bearer_token: foo, bearer_token_file: foo, basic_auth: {username: u, password: p}}}",
            false,
        ),
        ("{prober: dns, dns: {query_name: a, query_class: X, query_type: A}}", false),
        ("{prober: dns, dns: {query_name: a, query_class: CH, query_type: X}}", false),
        ("{prober: dns, dns: {preferred_ip_protocol: ip6}}", false),
        ("{prober: http, http: {fail_if_body_matches_regexp: [':[']}}", false),
        ("{prober: http, http: {fail_if_header_not_matches: [{header: A, regexp: ':['}]}}", false),
        ("{prober: http, http: {fail_if_header_not_matches: [{header: A}]}}", false),
        ("{prober: http, http: {compression: gzip, headers: {accEpt-enCoding: deflate}}}", false),
        ("{prober: http, http: {compression: gzip, headers: {Accept-Encoding: '*;q=0.0'}}}", false),
        ("{prober: tcp, tcp: {query_response: [{expect: ':['}]}}", false),
        ("{prober: tcp, timeout: soon}", false),
        // What this version refuses only when it is asked to probe.
        ("{prober: invalid, http: {method: POST}}", false),
        ("{timeout: 5s}", false),
    ] {
        let file = folder.write("blackbox.yml", &format!("modules:\n  m: {module}\n")).display().to_string();
        let run = |program: &Path, arguments: &[&str]| {
            let output = Command::new(program).args(arguments).output().expect("it starts");
            (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
        };
        let (real, said) = run(&binary(), &["--config.check", &format!("--config.file={file}")]);
        let late = module.starts_with("{prober: invalid") || !module.contains("prober");
        assert_eq!(real, good || late, "the real one: {module}\n{said}");
        let (own, said) = run(Path::new(env!("CARGO_BIN_EXE_watchbell")), &["check", "--config", &file]);
        assert_eq!(own, good, "{module}\n{said}");
        assert!(good || said.contains("modules.m") || said.contains("m."), "{module}\n{said}");
    }
}

#[test]
fn a_prometheus_with_blackbox_jobs_asks_here_without_a_change() {
    let folder = Folder::new("blackbox-jobs");
    let names = servers::dnsmasq();
    let config = "modules:\n  tcp_connect: {prober: tcp, timeout: 2s}\n";
    folder.write("blackbox.yml", config);
    folder.write("watchbell.yml", "host: {enabled: false}\nmodule_files: [blackbox.yml]\n");
    let ours =
        Process::start(&folder, &["--config", "watchbell.yml", "--data", "data", "--listen", "127.0.0.1:0"], &[]);
    let jobs = format!(
        "global: {{scrape_interval: 1s}}\nscrape_configs:\n- job_name: blackbox\n  metrics_path: /probe\n  \
         params: {{module: [tcp_connect]}}\n  static_configs: [{{targets: ['{}:5353', '{}:9']}}]\n  relabel_configs:\n  \
         - {{source_labels: [__address__], target_label: __param_target}}\n  \
         - {{source_labels: [__param_target], target_label: instance}}\n  \
         - {{target_label: __address__, replacement: '{}'}}\n",
        names.at, names.at, ours.address
    );
    let prometheus =
        Prometheus::start(&Release::newest(), &folder, SocketAddr::new(own_address().into(), 9090), &jobs, &[]);
    for (port, success) in [(5353, "1"), (9, "0")] {
        let series = format!("probe_success{{instance=\"{}:{port}\"}}", names.at);
        let query: String = series.bytes().map(|byte| format!("%{byte:02x}")).collect();
        wait_until(&format!("{series} is {success}"), || {
            let path = format!("/api/v1/query?query={query}");
            let (_, answer) = request(prometheus.address, "GET", &path, &[], "").unwrap_or_default();
            answer.contains(&format!(",\"{success}\"]"))
        });
    }
    prometheus.stop();
}
