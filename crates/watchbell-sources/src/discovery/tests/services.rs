//! Targets that web servers, name servers and Consul tell.

use std::path::Path;
use std::time::Duration;

use expect_test::expect;
use serde_json::json;
use watchbell_runtime::sim;

use super::{JSON, Server, configured, told, wrong};
use crate::discovery::{ConsulSd, Discovery, DnsSd, HttpSd};

#[test]
fn a_web_server_lists_targets() {
    let seen = sim::run(1, |world| async move {
        let server = Server::default();
        let serving = server.clone();
        world.net.serve("sd", 80, move |stream| serving.clone().serve(stream));
        let runtime = world.runtime();
        let config = json!({ "url": "http://sd/targets", "refresh_interval": "90s", "bearer_token": "t" });
        let discovery = Discovery::from(configured::<HttpSd>(config));
        let mut seen = String::new();
        for (status, kind, body) in [
            (
                200,
                "application/json; charset=utf-8",
                r#"[{"targets": ["a:1"], "labels": {"env": "x"}}, {"targets": []}]"#,
            ),
            (200, "application/json", "[]"),
            (200, "text/html", "[]"),
            (200, "application/json; charset=latin1", "[]"),
            (500, JSON, "out of order"),
            (204, JSON, ""),
            (200, JSON, "[null]"),
            (200, JSON, "{"),
        ] {
            server.say("GET /targets", (status, kind, body.into()));
            seen += &told(&discovery, &runtime).await;
        }
        let asked = server.asked.lock().unwrap()[0].clone();
        for header in ["accept", "x-prometheus-refresh-interval-seconds", "authorization"] {
            seen += &format!("{header}: {}\n", asked.header(header));
        }
        world.net.refuse("sd", 80);
        seen + &told(&discovery, &runtime).await
    });
    expect![[r#"
        http://sd/targets:0 | __meta_url=http://sd/targets env=x
          __address__=a:1
        http://sd/targets:1 | __meta_url=http://sd/targets
        error: http://sd/targets answers with the content type `text/html`, not `application/json`
        error: http://sd/targets answers with the content type `application/json; charset=latin1`, not `application/json`
        error: http://sd/targets answers with status 500: out of order
        error: http://sd/targets answers with status 204
        error: the answer of http://sd/targets is not a list of targets: group 1 is empty
        error: the answer of http://sd/targets is not a list of targets: invalid type: map, expected a sequence at line 1 column 0
        accept: application/json
        x-prometheus-refresh-interval-seconds: 90
        authorization: Bearer t
        error: http://sd/targets: 10.0.0.1:80 refuses the connection: connection refused
    "#]].assert_eq(&seen);
}

/// A name server that knows a zone; anything else does not exist.
fn names(question: &[u8]) -> Option<Vec<u8>> {
    let name_end = 12 + question[12..].iter().position(|byte| *byte == 0)?;
    let name = String::from_utf8_lossy(&question[13..name_end]).replace(|c: char| c.is_control(), ".");
    let kind = u16::from_be_bytes([question[name_end + 1], question[name_end + 2]]);
    let record = |kind: u8, data: &[u8]| [&[0xc0, 12, 0, kind, 0, 1, 0, 0, 0, 60, 0, data.len() as u8], data].concat();
    let records = match (name.as_str(), kind) {
        ("web.example.org", 1) => {
            vec![record(5, b"\x01x\xc0\x0c"), record(1, &[10, 0, 0, 1]), record(1, &[10, 0, 0, 2])]
        }
        ("web.example.org", 28) => vec![record(28, &[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1])],
        ("_m._tcp.example.org", 33) => vec![record(33, b"\x00\x01\x00\x01\x1f\x90\x02h1\x07example\x03org\x00")],
        ("example.org", 15) => vec![record(15, b"\x00\x0a\x02mx\xc0\x0c")],
        ("example.org", 2) => vec![record(2, b"\x02ns\xc0\x0c")],
        ("broken.example.org", _) => return None,
        _ => Vec::new(),
    };
    let code = if records.is_empty() { 3 } else { 0 };
    let head = [&question[..2], &[0x81, 0x80 | code, 0, 1, 0, records.len() as u8, 0, 0, 0, 0]].concat();
    Some([head, question[12..name_end + 5].to_vec(), records.concat()].concat())
}

fn dns(names: &[&str], kind: &str) -> Discovery {
    Discovery::from(configured::<DnsSd>(json!({ "names": names, "type": kind, "port": 9100 })))
}

#[test]
fn names_lead_to_targets() {
    let seen = sim::run(1, |world| async move {
        world
            .disk
            .put(Path::new("/etc/resolv.conf"), b"nameserver 10.9.9.9\nnameserver 10.9.9.8\nsearch example.org\n");
        world.net.serve_datagrams("10.9.9.8", 53, names);
        let runtime = world.runtime();
        let mut seen = String::new();
        // The first server is silent.
        for (name, kind) in [
            ("web", "A"),
            ("web.example.org", "AAAA"),
            ("_m._tcp", "srv"),
            ("example.org.", "MX"),
            ("example.org.", "NS"),
            ("gone", "A"),
        ] {
            seen += &told(&dns(&[name], kind), &runtime).await;
        }
        seen
    });
    expect![[r#"
        web | 
          __address__=10.0.0.1:9100 __meta_dns_name=web
          __address__=10.0.0.2:9100 __meta_dns_name=web
        web.example.org | 
          __address__=[2001:db8::1]:9100 __meta_dns_name=web.example.org
        _m._tcp | 
          __address__=h1.example.org:8080 __meta_dns_name=_m._tcp __meta_dns_srv_record_port=8080 __meta_dns_srv_record_target=h1.example.org.
        example.org. | 
          __address__=mx.example.org:9100 __meta_dns_mx_record_target=mx.example.org. __meta_dns_name=example.org.
        example.org. | 
          __address__=ns.example.org:9100 __meta_dns_name=example.org. __meta_dns_ns_record_target=ns.example.org.
        gone | 
    "#]].assert_eq(&seen);
}

#[test]
fn a_name_that_fails_keeps_its_targets() {
    let seen = sim::run(1, |world| async move {
        world.disk.put(Path::new("/etc/resolv.conf"), b"nameserver 10.9.9.9\n");
        world.net.serve_datagrams("10.9.9.9", 53, names);
        let runtime = world.runtime();
        let discovery = dns(&["web.example.org", "broken.example.org"], "A");
        let mut seen = told(&discovery, &runtime).await;
        world.net.serve_datagrams("10.9.9.9", 53, |_| None);
        seen += &told(&discovery, &runtime).await;
        seen += &told(&dns(&["web.example.org"], "A"), &runtime).await;
        world.net.serve_datagrams("10.9.9.9", 53, names);
        // An answer that does not fit is fetched over TCP.
        world.net.serve_datagrams("10.9.9.9", 53, |question| {
            let mut cut = names(question)?;
            cut[2] |= 2;
            cut.truncate(40);
            Some(cut)
        });
        world.net.serve("10.9.9.9", 53, |mut stream| async move {
            use tokio::io::{AsyncReadExt, AsyncWriteExt};
            let length = stream.read_u16().await.expect("a length");
            let mut question = vec![0; usize::from(length)];
            stream.read_exact(&mut question).await.expect("a question");
            let answer = names(&question).expect("an answer");
            stream.write_u16(answer.len() as u16).await.expect("it is read");
            stream.write_all(&answer).await.expect("it is read");
        });
        seen + &told(&dns(&["web.example.org"], "A"), &runtime).await
    });
    expect![[r#"
        web.example.org | 
          __address__=10.0.0.1:9100 __meta_dns_name=web.example.org
          __address__=10.0.0.2:9100 __meta_dns_name=web.example.org
        web.example.org | 
          __address__=10.0.0.1:9100 __meta_dns_name=web.example.org
          __address__=10.0.0.2:9100 __meta_dns_name=web.example.org
        error: the name `web.example.org` cannot be resolved: 10.9.9.9: no answer
        web.example.org | 
          __address__=10.0.0.1:9100 __meta_dns_name=web.example.org
          __address__=10.0.0.2:9100 __meta_dns_name=web.example.org
    "#]]
    .assert_eq(&seen);
}

#[test]
fn configurations_of_names_and_services() {
    let names = |config| wrong(|path, problems| configured::<DnsSd>(config).check(path, problems));
    let consul = |config| wrong(|path, problems| configured::<ConsulSd>(config).check(path, problems));
    let told = [
        names(json!({ "names": [], "type": "TXT" })),
        names(json!({ "names": ["a"], "type": "a" })),
        names(json!({ "names": ["_a._tcp"] })),
        consul(json!({ "server": " " })),
        consul(json!({ "username": "u", "basic_auth": { "username": "u", "password": "p" } })),
        consul(json!({ "token": "t", "authorization": { "credentials": "c" } })),
        consul(json!({})),
    ];
    expect![[r#"
        Error names: there is no name
        Error type: `TXT` is not a type of record that leads to hosts
        --
        Error port: records of type a say no port
        --
        --
        Error server: `http://` is not a web address: it has no host
        --
        Error : there are both `username` and `basic_auth`
        --
        Error : there are both `token` and other credentials
        --
    "#]]
    .assert_eq(&told.join("--\n"));
}

#[test]
fn consul_tells_its_services() {
    let seen = sim::run(1, |world| async move {
        let server = Server::default();
        let serving = server.clone();
        world.net.serve("consul", 8500, move |stream| serving.clone().serve(stream));
        server.json("GET /v1/agent/self", json!({ "Config": { "Datacenter": "dc1" } }));
        server.json("GET /v1/catalog/services", json!({ "consul": [], "web": ["http", "v2"], "db": [] }));
        server.json(
            "GET /v1/health/service/web",
            json!([{
                "Node": {
                    "Node": "n1", "Address": "10.0.0.1", "Meta": { "rack-no": "7" },
                    "TaggedAddresses": { "lan": "10.0.0.1", "wan": "192.0.2.1" }
                },
                "Service": {
                    "ID": "web-1", "Service": "web", "Tags": ["http", "v2"], "Address": "10.1.0.1", "Port": 8080,
                    "Meta": { "version": "2" }, "Namespace": "default"
                },
                "Checks": [{ "CheckID": "serfHealth", "Status": "passing" }, { "CheckID": "web", "Status": "warning" }]
            }, {
                "Node": { "Node": "n2", "Address": "2001:db8::2" },
                "Service": { "ID": "web-2", "Service": "web", "Tags": [], "Address": "", "Port": 8081 },
                "Checks": [{ "CheckID": "_service_maintenance:web-2", "Status": "critical" }]
            }]),
        );
        server.json("GET /v1/health/service/db", json!([]));
        server.json("GET /v1/health/service/consul", json!([]));
        let runtime = world.runtime();
        let all = Discovery::from(configured::<ConsulSd>(json!({ "server": "consul:8500", "token": "t" })));
        let mut seen = told(&all, &runtime).await;
        seen += &server.lines();
        let config = json!({
            "server": "consul:8500", "datacenter": "dc2", "services": ["web", "db"], "tags": ["v2"],
            "node_meta": { "rack": "7" }, "filter": "ServiceName != x", "health_filter": "y", "allow_stale": false,
            "namespace": "ns", "tag_separator": ";", "path_prefix": "/"
        });
        let some = Discovery::from(configured::<ConsulSd>(config));
        seen += &told(&some, &runtime).await;
        seen += &server.lines();
        // One service fails and keeps its targets; then the catalog does, and nothing is known.
        server.say("GET /v1/health/service/web", (500, JSON, "no leader".into()));
        seen += &told(&all, &runtime).await;
        server.say("GET /v1/catalog/services", (403, JSON, "permission denied".into()));
        seen += &told(&all, &runtime).await;
        world.net.set_black_hole("consul", true);
        let begun = world.clock.monotonic();
        seen += &told(&all, &runtime).await;
        assert_eq!(world.clock.monotonic() - begun, Duration::from_secs(30));
        seen
    });
    expect![[r#"
        consul | __meta_consul_dc=dc1 __meta_consul_service=consul
        db | __meta_consul_dc=dc1 __meta_consul_service=db
        web | __meta_consul_dc=dc1 __meta_consul_service=web
          __address__=10.1.0.1:8080 __meta_consul_address=10.0.0.1 __meta_consul_health=warning __meta_consul_metadata_rack_no=7 __meta_consul_namespace=default __meta_consul_node=n1 __meta_consul_service_address=10.1.0.1 __meta_consul_service_id=web-1 __meta_consul_service_metadata_version=2 __meta_consul_service_port=8080 __meta_consul_tagged_address_lan=10.0.0.1 __meta_consul_tagged_address_wan=192.0.2.1 __meta_consul_tags=,http,v2,
          __address__=[2001:db8::2]:8081 __meta_consul_address=2001:db8::2 __meta_consul_health=maintenance __meta_consul_node=n2 __meta_consul_service_id=web-2 __meta_consul_service_port=8081 __meta_consul_tags=,,
        GET /v1/agent/self?stale=true
        GET /v1/catalog/services?stale=true
        GET /v1/health/service/consul?stale=true
        GET /v1/health/service/db?stale=true
        GET /v1/health/service/web?stale=true
        web | __meta_consul_dc=dc2 __meta_consul_service=web
          __address__=10.1.0.1:8080 __meta_consul_address=10.0.0.1 __meta_consul_health=warning __meta_consul_metadata_rack_no=7 __meta_consul_namespace=default __meta_consul_node=n1 __meta_consul_service_address=10.1.0.1 __meta_consul_service_id=web-1 __meta_consul_service_metadata_version=2 __meta_consul_service_port=8080 __meta_consul_tagged_address_lan=10.0.0.1 __meta_consul_tagged_address_wan=192.0.2.1 __meta_consul_tags=;http;v2;
          __address__=[2001:db8::2]:8081 __meta_consul_address=2001:db8::2 __meta_consul_health=maintenance __meta_consul_node=n2 __meta_consul_service_id=web-2 __meta_consul_service_port=8081 __meta_consul_tags=;;
        GET /v1/catalog/services?dc=dc2&ns=ns&filter=ServiceName%20%21%3D%20x&node-meta=rack%3A7
        GET /v1/health/service/web?dc=dc2&ns=ns&filter=y&node-meta=rack%3A7&tag=v2
        consul | __meta_consul_dc=dc1 __meta_consul_service=consul
        db | __meta_consul_dc=dc1 __meta_consul_service=db
        web | __meta_consul_dc=dc1 __meta_consul_service=web
          __address__=10.1.0.1:8080 __meta_consul_address=10.0.0.1 __meta_consul_health=warning __meta_consul_metadata_rack_no=7 __meta_consul_namespace=default __meta_consul_node=n1 __meta_consul_service_address=10.1.0.1 __meta_consul_service_id=web-1 __meta_consul_service_metadata_version=2 __meta_consul_service_port=8080 __meta_consul_tagged_address_lan=10.0.0.1 __meta_consul_tagged_address_wan=192.0.2.1 __meta_consul_tags=,http,v2,
          __address__=[2001:db8::2]:8081 __meta_consul_address=2001:db8::2 __meta_consul_health=maintenance __meta_consul_node=n2 __meta_consul_service_id=web-2 __meta_consul_service_port=8081 __meta_consul_tags=,,
        error: http://consul:8500/v1/catalog/services answers with status 403: permission denied
        error: http://consul:8500/v1/agent/self: no answer within 30 s (while resolving the name or connecting)
    "#]].assert_eq(&seen);
}
