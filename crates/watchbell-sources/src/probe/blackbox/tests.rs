//! Modules that are taken and refused, and probes of simulated servers.

use std::collections::BTreeMap;
use std::path::Path as FilePath;

use expect_test::{Expect, expect};
use serde_json::{Value, json};
use watchbell_model::{Path, Problems};
use watchbell_runtime::sim::{self, World};

use super::super::tests::server::{Certificates, Script};
use super::record::METRICS;
use super::*;

const HOST: &str = "mail.example";

/// What is said of a module.
fn check(module: Value, expected: Expect) {
    let mut problems = Problems::new();
    let module: ModuleConfig = serde_json::from_value(module).expect("the types are right");
    ModuleConfig::check_all(&BTreeMap::from([("m".to_owned(), module)]), &Path::root(), &mut problems);
    let lines: Vec<String> =
        problems.0.iter().map(|it| format!("{:?} {}: {}", it.level, it.path, it.message)).collect();
    expected.assert_eq(&lines.join("\n"));
}

/// Probes a server that follows the script on port 25 of the host; gives the verdict, and those metrics that no clock
/// changes.
fn probe(module: Value, question: Question, script: &str) -> (bool, String, String) {
    let module: ModuleConfig = serde_json::from_value(module).expect("a module");
    sim::run(1, |world| async move {
        serve(&world, script);
        let runtime = world.runtime();
        let blackbox = Blackbox::new(runtime.clone());
        blackbox.apply(
            &BTreeMap::from([("m".to_owned(), (module, String::new()))]),
            &EgressConfig::default(),
            &runtime,
        );
        let found = blackbox.ask(&Question { module: "m".into(), ..question }).await.expect("it is probed");
        let steady = |line: &&str| !line.starts_with('#') && !line.contains("_seconds") && !line.contains("_hash");
        let metrics: Vec<&str> = found.metrics.lines().filter(steady).collect();
        (found.success, metrics.join("\n"), found.log)
    })
}

fn serve(world: &World, script: &str) {
    let certificates = Certificates::new();
    world.disk.put(FilePath::new("/ca.pem"), certificates.authority_pem().as_bytes());
    let script = Script::new(script, certificates, world.clock.clone());
    script.serve(&world.net, HOST, 25);
    script.serve(&world.net, HOST, 80);
}

fn at(target: &str) -> Question {
    Question { target: target.to_owned(), ..Question::default() }
}

#[test]
fn good_modules_are_taken() {
    for module in [
        json!({"prober": "http"}),
        json!({"prober": "http", "timeout": "5s", "http": {"method": "POST", "body_size_limit": "1MB",
            "basic_auth": {"username": "u", "password": "p"}, "headers": {"Origin": "example.com"},
            "fail_if_header_not_matches": [{"header": "Via", "regexp": "(\\*|example\\.com)"}]}}),
        json!({"prober": "http", "http": {"compression": "gzip", "headers": {"Accept-Encoding": "br;q=1.0, gzip;q=0.9"},
            "no_follow_redirects": true, "valid_http_versions": ["HTTP/1.1", "HTTP/2.0"]}}),
        json!({"prober": "tcp", "tcp": {"tls": true, "query_response": [
            {"expect": "^\\+OK"}, {"send": "EHLO prober\r"}, {"starttls": true}]}}),
        json!({"prober": "icmp", "icmp": {"ttl": 255, "payload_size": 1000, "dont_fragment": true}}),
        json!({"prober": "dns"}),
        json!({"prober": "dns", "dns": {"query_name": "example.com", "query_type": "SOA", "query_class": "CH"}}),
        json!({"prober": "grpc", "grpc": {"service": "a", "metadata": {"key": ["1", "2"]}}}),
        json!({"prober": "unix", "unix": {"query_response": [{"send": "PING", "expect": "PONG"}]}}),
        json!({"prober": "websocket", "websocket": {"headers": {"A": {"values": ["b"]}}}}),
    ] {
        check(module, expect![""]);
    }
}

#[test]
fn bad_modules_are_refused_with_the_reason() {
    check(json!({"prober": "htp"}), expect!["Error m.prober: prober 'htp' is not valid"]);
    let http = |http: Value| json!({"prober": "http", "http": http});
    check(
        http(json!({"bearer_token": "a", "bearer_token_file": "b", "basic_auth": {"username": "u", "password": "p"}})),
        expect![[r#"
            Error m.http: there are other credentials beside `bearer_token`
            Error m.http: there are both `basic_auth` and `authorization`
            Error m.http.authorization: there are both `credentials` and `credentials_file`"#]],
    );
    check(http(json!({"body": "a", "body_file": "b"})), expect!["Error m.http: there are both `body` and `body_file`"]);
    check(
        http(json!({"fail_if_body_matches_regexp": [":["]})),
        expect![
            "Error m.http.fail_if_body_matches_regexp[0]: Could not compile regular expression `:[`: unclosed character class"
        ],
    );
    check(
        http(json!({"fail_if_header_matches": [{"header": "A"}, {"regexp": "b"}]})),
        expect![[r#"
            Error m.http.fail_if_header_matches[0]: regexp must be set for HTTP header matchers
            Error m.http.fail_if_header_matches[1]: header name must be set for HTTP header matchers"#]],
    );
    check(
        http(json!({"compression": "gzip", "headers": {"accEpt-enCoding": "deflate"}})),
        expect!["Error m.http.headers.accEpt-enCoding: `deflate` does not accept what `compression: gzip` expects"],
    );
    check(
        http(json!({"valid_http_versions": ["HTTP/3.0"]})),
        expect![
            "Error m.http.valid_http_versions: HTTP/3 cannot be used as a valid HTTP version when enable_http3 is false"
        ],
    );
    let dns = |dns: Value| json!({"prober": "dns", "dns": dns});
    check(dns(json!({})), expect!["Error m.dns: query name must be set for DNS module"]);
    check(
        dns(json!({"query_name": "a", "query_class": "X", "query_type": "mx"})),
        expect![[r#"
            Error m.dns.query_class: query class 'X' is not valid
            Error m.dns.query_type: query type 'mx' is not valid"#]],
    );
    check(json!({"prober": "icmp", "icmp": {"ttl": 256}}), expect!["Error m.icmp.ttl: \"ttl\" cannot exceed 255"]);
    check(
        json!({"prober": "tcp", "tcp": {"query_response": [{"expect": "a", "expect_bytes": "b"}]}}),
        expect!["Error m.tcp.query_response[0]: expect and expect_bytes are mutually exclusive"],
    );
}

#[test]
fn what_watchbell_cannot_probe_gets_no_verdict() {
    let module = json!({"prober": "http", "http": {"enable_http3": true, "enable_http2": false}});
    check(module.clone(), expect!["Warning m: watchbell cannot probe so: HTTP/3 is not spoken"]);
    let old = json!({"prober": "tcp", "tcp": {"tls": true, "tls_config": {"max_version": "TLS11"}}});
    check(old, expect!["Warning m: watchbell cannot probe so: TLS before 1.2 is not spoken"]);
    let config: ModuleConfig = serde_json::from_value(module).unwrap();
    sim::run(1, |world| async move {
        let runtime = world.runtime();
        let blackbox = Blackbox::new(runtime.clone());
        blackbox.apply(
            &BTreeMap::from([("m".to_owned(), (config, String::new()))]),
            &EgressConfig::default(),
            &runtime,
        );
        let ask = |module: &str, target: &str| {
            let (blackbox, question) = (blackbox.clone(), Question { module: module.to_owned(), ..at(target) });
            async move { blackbox.ask(&question).await.map(|found| found.success).map_err(|it| it.to_string()) }
        };
        let refused = ask("m", "https://mail.example").await.unwrap_err();
        assert_eq!(
            refused,
            "module \"m\" cannot be probed by watchbell: HTTP/3 is not spoken; ask a blackbox_exporter"
        );
        assert_eq!(ask("", "x").await.unwrap_err(), "Unknown module \"http_2xx\"");
        assert_eq!(ask("m", "").await.unwrap_err(), "Target parameter is missing");
    });
}

#[test]
fn a_probe_ends_before_the_asker_gives_up() {
    let module = |timeout: Option<&str>| -> ModuleConfig {
        serde_json::from_value(json!({"prober": "tcp", "timeout": timeout})).unwrap()
    };
    for (own, asked, expected) in [
        (None, 0.0, 119.5),
        (Some("5s"), 0.0, 5.0),
        (Some("5s"), 10.0, 5.0),
        (Some("5s"), 3.0, 2.5),
        (Some("5s"), 0.25, 5.0),
        (None, 10.0, 9.5),
        (None, -1.0, 119.5),
    ] {
        assert_eq!(time_for(&module(own), asked).as_secs_f64(), expected, "{own:?} {asked}");
    }
}

#[test]
fn every_metric_is_described_once() {
    let mut names: Vec<&str> = METRICS.iter().map(|(name, _)| *name).collect();
    assert!(METRICS.iter().all(|(_, help)| !help.is_empty()));
    names.dedup();
    assert!(names.is_sorted() && names.len() == METRICS.len());
}

#[test]
fn a_talk_with_starttls() {
    let steps = json!([
        {"expect": "^220 ([^ ]+)", "labels": [{"name": "host", "value": "${1}"}], "send": "EHLO ${1}\r"},
        {"expect": "^250[ -]STARTTLS", "send": "STARTTLS\r"},
        {"expect": "^220"},
        {"starttls": true},
        {"send": "EHLO again\r", "expect": "^$|^.*"},
    ]);
    let module = json!({"prober": "tcp", "tcp": {"query_response": steps, "tls_config": {"ca_file": "/ca.pem"}}});
    let script = "< 220 mail.example ESMTP\n> EHLO mail.example\n<raw 250-mail\\r\\n250-STARTTLS\\r\\n\n< 250 SIZE\n> STARTTLS\n\
                  < 220 go\ntls good\n< 250 hello\n> EHLO again";
    let (success, metrics, log) = probe(module, at("mail.example:25"), script);
    assert!(success, "{log}");
    let metrics: Vec<&str> = metrics.lines().filter(|line| !line.contains("last_chain_info")).collect();
    expect![[r#"
        probe_expect_info{host="mail.example"} 1
        probe_failed_due_to_bytes 0
        probe_failed_due_to_regex 0
        probe_ip_protocol 4
        probe_ssl_earliest_cert_expiry 1.7753472e+09
        probe_success 1
        probe_tls_version_info{version="TLS 1.3"} 1"#]]
    .assert_eq(&metrics.join("\n"));
    assert!(!log.contains("EHLO again"), "what is sent may be a secret");
}

#[test]
fn a_talk_that_goes_wrong() {
    let expecting = |step: Value| json!({"prober": "tcp", "timeout": "3s", "tcp": {"query_response": [step]}});
    let run = |step: Value, script: &str| {
        let (success, metrics, log) = probe(expecting(step), at("mail.example:25"), script);
        let failed = metrics.lines().filter(|line| line.contains("failed_due") && line.ends_with(" 1"));
        let failed: Vec<&str> = failed.collect();
        let reason = log.lines().last().unwrap_or_default().split("err=").nth(1).unwrap_or("none").to_owned();
        format!("{success} {failed:?} {}", reason.split(" duration").next().unwrap_or_default())
    };
    expect![[r#"false ["probe_failed_due_to_regex 1"] "Regexp did not match: no line matched `^220`""#]]
        .assert_eq(&run(json!({"expect": "^220"}), "< 421 busy\nclose"));
    expect![[r#"false [] "gave up after 3s waiting for a line that matches `^220`""#]]
        .assert_eq(&run(json!({"expect": "^220"}), "< 421 busy\nhang"));
    expect![[r#"false ["probe_failed_due_to_bytes 1"] "Bytes did not match: expected [120, 121], got [120, 122]""#]]
        .assert_eq(&run(json!({"expect_bytes": "xy"}), "<raw xz\nhang"));
    expect![[r#"true [] none"#]].assert_eq(&run(json!({"expect_bytes": "xy"}), "drip\n<raw xyz\nhang"));
}

#[test]
fn a_web_page() {
    let page = "request\n< HTTP/1.1 200 OK\n< Content-Length: 5\n< X-A: one\n< Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\n< \n<raw hello";
    let (success, metrics, log) = probe(json!({"prober": "http"}), at("mail.example"), page);
    assert!(success, "{log}");
    expect![[r#"
        probe_failed_due_to_regex 0
        probe_http_content_length 5
        probe_http_redirects 0
        probe_http_ssl 0
        probe_http_status_code 200
        probe_http_uncompressed_body_length 5
        probe_http_version 1.1
        probe_ip_protocol 4
        probe_success 1"#]]
    .assert_eq(&metrics);
    let verdict = |http: Value, script: &str| {
        let (success, metrics, _) =
            probe(json!({"prober": "http", "timeout": "3s", "http": http}), at("mail.example"), script);
        let regex = metrics.contains("probe_failed_due_to_regex 1");
        format!("{success}{}", if regex { " by a regular expression" } else { "" })
    };
    for (http, expected) in [
        (json!({"fail_if_body_matches_regexp": ["hel+o"]}), "false by a regular expression"),
        (json!({"fail_if_body_not_matches_regexp": ["hel+o", "x"]}), "false by a regular expression"),
        (json!({"fail_if_body_not_matches_regexp": ["hel+o"]}), "true"),
        (json!({"fail_if_header_matches": [{"header": "x-a", "regexp": "^o"}]}), "false by a regular expression"),
        (json!({"fail_if_header_matches": [{"header": "x-b", "regexp": "^o"}]}), "false by a regular expression"),
        (json!({"fail_if_header_matches": [{"header": "x-b", "regexp": "^o", "allow_missing": true}]}), "true"),
        (json!({"fail_if_not_ssl": true}), "false"),
        (json!({"fail_if_ssl": true}), "true"),
        (json!({"valid_status_codes": [204]}), "false"),
        (json!({"valid_http_versions": ["HTTP/2.0"]}), "false"),
        (json!({"body_size_limit": "4B"}), "false"),
        (json!({"body_size_limit": "5B"}), "true"),
        (json!({"compression": "gzip"}), "false"),
        (json!({"preferred_ip_protocol": "ip6", "ip_protocol_fallback": false}), "false"),
    ] {
        assert_eq!(verdict(http.clone(), page), expected, "{http}");
    }
    // `hello` as Brotli packs it.
    let packed =
        "request\n< HTTP/1.1 200 OK\n< Content-Encoding: br\n< Content-Length: 9\n< \n<bytes \\x0b\\x02\\x80hello\\x03";
    for (http, expected) in [
        (json!({"compression": "br", "fail_if_body_not_matches_regexp": ["^hello$"]}), "true"),
        (json!({"compression": "BR", "headers": {"Accept-Encoding": "br"}, "body_size_limit": "5B"}), "true"),
        (json!({"compression": "br", "body_size_limit": "4B"}), "false"),
        (json!({"compression": "br", "fail_if_body_matches_regexp": ["hel+o"]}), "false by a regular expression"),
        (json!({"compression": "gzip"}), "false"),
    ] {
        assert_eq!(verdict(http.clone(), packed), expected, "{http}");
    }
    assert_eq!(verdict(json!({"compression": "br"}), page), "false");
    let away = "request\n< HTTP/1.1 302 Found\n< Location: /there\n< Set-Cookie: a=b; Path=/\n< Content-Length: 0\n< ";
    let (success, metrics, _) = probe(
        json!({"prober": "http", "http": {"follow_redirects": false, "valid_status_codes": [302]}}),
        at("mail.example"),
        away,
    );
    assert!(success && metrics.contains("probe_http_redirects 1\n"), "{metrics}");
    let (success, metrics, _) = probe(json!({"prober": "http"}), at("mail.example"), away);
    assert!(!success && metrics.contains("probe_http_redirects 11\n"), "{metrics}");
    // The status is told even where the body breaks off.
    let broken = "request\n< HTTP/1.1 200 OK\n< Content-Length: 9\n< \n<raw hello\nclose";
    let (success, metrics, _) = probe(json!({"prober": "http"}), at("mail.example"), broken);
    assert!(!success && metrics.contains("probe_http_status_code 200\n"), "{metrics}");
}

#[test]
fn a_guarded_network_is_not_probed() {
    let config: ModuleConfig = serde_json::from_value(json!({"prober": "tcp"})).unwrap();
    sim::run(1, |world| async move {
        serve(&world, "< 220 hello");
        let runtime = world.runtime();
        let blackbox = Blackbox::new(runtime.clone());
        let egress = EgressConfig { deny_private: true, allow: Vec::new() };
        blackbox.apply(&BTreeMap::from([("m".to_owned(), (config, String::new()))]), &egress, &runtime);
        let found = blackbox.ask(&Question { module: "m".into(), ..at("mail.example:25") }).await.unwrap();
        assert!(!found.success && found.log.contains("may not be connected to"), "{}", found.log);
    });
}
