//! What is asked without a connection: name servers, time servers, echo requests.

use expect_test::expect;
use watchbell_runtime::sim::{self, World};

use super::{HOST, config, run_once, told};

const NTP: &str = r#"{"ntp": {"host": "mail.example"}}"#;
const ICMP: &str = r#"{"icmp": {"host": "mail.example"}}"#;

fn probe(monitor: &str, set: impl FnOnce(&World)) -> String {
    sim::run(1, |world| async move {
        set(&world);
        told(&run_once(&config(monitor), &world.runtime()).await)
    })
}

/// A server of a stratum whose clock is so many seconds after the simulated world's begin.
fn time_server(flags: u8, stratum: u8, reference: &'static [u8; 4], seconds: u64) -> impl Fn(&World) {
    move |world| {
        world.net.serve_datagrams(HOST, 123, move |question| {
            let mut answer = vec![flags, stratum, 6, 0xec];
            answer.extend([0; 4]);
            answer.extend([0, 0, 0x80, 0]);
            answer.extend(reference);
            answer.extend([0; 8]);
            answer.extend(&question[40..48]);
            // 2026-01-05T00:00:00Z, half of a round trip later.
            let at = (1_767_571_200_u64 + 2_208_988_800 + seconds) << 32;
            answer.extend(at.to_be_bytes());
            answer.extend(at.to_be_bytes());
            Some(answer)
        });
    }
}

#[test]
fn time_servers() {
    let told = [
        probe(NTP, time_server(0x24, 2, b"abcd", 0)),
        probe(NTP, time_server(0x24, 2, b"abcd", 5)),
        probe(NTP, time_server(0xe4, 2, b"abcd", 0)),
        probe(NTP, time_server(0x24, 16, b"INIT", 0)),
        probe(NTP, time_server(0x24, 0, b"RATE", 0)),
        probe(NTP, time_server(0xe4, 0, &[0; 4], 0)),
        probe(r#"{"ntp": {"host": "mail.example", "stratum_max": 1}}"#, time_server(0x24, 2, b"abcd", 0)),
        probe(NTP, |world| {
            world.net.address(HOST);
        }),
        probe(NTP, |world| world.net.serve_datagrams(HOST, 123, |_| Some(vec![0x24; 48]))),
    ];
    expect![[r#"
        up: stratum 2, the server's clock is 0.001 s behind this machine's
        down: the server's clock is 4.999 s ahead of this machine's, more than `1s`; either may be wrong
        down: the server's own clock is not synchronized
        down: the server's own clock is not synchronized
        down: the server is asked too often (`RATE`): lengthen `interval`
        down: the server's own clock is not synchronized
        down: expected a stratum of at most 1, but it is 2
        down: gave up after 10s waiting for the time
          after 10s
        down: gave up after 10s waiting for the time
          after 10s"#]]
    .assert_eq(&told.join("\n"));
}

#[test]
fn echo_requests() {
    let echo = |request: &[u8]| {
        let mut answer = request.to_vec();
        answer[0] = 0;
        Some(answer)
    };
    let told = [
        probe(ICMP, move |world| world.net.serve_echoes(HOST, echo)),
        probe(ICMP, |world| {
            world.net.address(HOST);
        }),
        probe(ICMP, move |world| {
            world.net.serve_echoes(HOST, echo);
            world.net.set_echoes_forbidden(true);
        }),
        probe(ICMP, |world| {
            world.net.serve_echoes(HOST, |request| Some([&[3, 1, 0, 0, 0, 0, 0, 0], request].concat()));
        }),
        probe(ICMP, |_| {}),
    ];
    expect![[r#"
        up: 10.0.0.1 answers
        down: gave up after 10s waiting for an answer of 10.0.0.1 to an echo request
          after 10s
        down: the kernel of this machine lets watchbell send no echo requests: set `net.ipv4.ping_group_range` to a range with its group (`sysctl -w net.ipv4.ping_group_range='0 2147483647'`), or give it CAP_NET_RAW
        down: the host 10.0.0.1 cannot be reached (ICMP code 1)
        down: the name `mail.example` does not resolve: name or service not known"#]].assert_eq(&told.join("\n"));
}

/// The first answer gets lost; the question is sent again.
#[test]
fn a_lost_datagram_is_no_failure() {
    let told = probe(ICMP, |world| {
        let asked = std::sync::atomic::AtomicU32::new(0);
        world.net.serve_echoes(HOST, move |request| {
            let first = asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0;
            let mut answer = request.to_vec();
            answer[0] = 0;
            (!first).then_some(answer)
        });
    });
    expect![[r#"
        up: 10.0.0.1 answers
          after 2s2ms"#]]
    .assert_eq(&told);
}

/// A server that answers with a code, flags, and these records of the type that is asked for.
fn name_server(code: u8, flags: u8, records: &'static [&'static [u8]]) -> impl Fn(&[u8]) -> Option<Vec<u8>> + Clone {
    move |question: &[u8]| {
        let end = 12 + question[12..].iter().position(|byte| *byte == 0).unwrap() + 5;
        let mut answer = question[..2].to_vec();
        answer.extend([0x81 | flags & 0x06, 0x80 | flags & 0x20 | code, 0, 1, 0, records.len() as u8, 0, 0, 0, 0]);
        answer.extend(&question[12..end]);
        for data in records {
            answer.extend([0xc0, 0x0c]);
            answer.extend(&question[end - 4..end]);
            answer.extend([0, 0, 0, 60, 0, data.len() as u8]);
            answer.extend(*data);
        }
        Some(answer)
    }
}

const A: &[&[u8]] = &[&[192, 0, 2, 1], &[192, 0, 2, 2]];

fn dns(fields: &str, code: u8, flags: u8, records: &'static [&'static [u8]]) -> String {
    let monitor = format!(r#"{{"dns": {{"name": "example.org", "server": "mail.example"{fields}}}}}"#);
    probe(&monitor, |world| world.net.serve_datagrams(HOST, 53, name_server(code, flags, records)))
}

#[test]
fn name_servers() {
    let told = [
        dns("", 0, 0, A),
        dns(r#", "equals": ["192.0.2.2", "192.0.2.1"]"#, 0, 0, A),
        dns(r#", "equals": ["192.0.2.1"]"#, 0, 0, A),
        dns(r#", "equals": ["192.0.2.1", "192.0.2.2", "192.0.2.3"]"#, 0, 0, A),
        dns(r#", "contains": ["192.0.2.2"]"#, 0, 0, A),
        dns(r#", "contains": ["192.0.2.9"]"#, 0, 0, A),
        dns(r#", "none": true"#, 0, 0, A),
        dns(r#", "none": true"#, 0, 0, &[]),
        dns("", 0, 0, &[]),
        dns("", 3, 0, &[]),
        dns("", 2, 0, &[]),
        dns(r#", "rcode": "NXDOMAIN""#, 3, 0, &[]),
        dns(r#", "rcode": "NXDOMAIN""#, 0, 0, A),
        dns(r#", "authenticated": true"#, 0, 0x20, A),
        dns(r#", "authenticated": true"#, 0, 0, A),
        dns(r#", "recursion": false"#, 0, 4, A),
        dns(r#", "recursion": false"#, 0, 0, A),
        dns(r#", "type": "MX", "equals": ["10 MX.example.org"]"#, 0, 0, &[b"\x00\x0a\x02mx\xc0\x0c"]),
        dns(r#", "type": "TXT", "contains": ["v=spf1 -all"]"#, 0, 0, &[b"\x06v=spf1\x05 -all"]),
        probe(r#"{"dns": {"name": "example.org", "server": "mail.example"}}"#, |world| {
            world.net.address(HOST);
        }),
    ];
    expect![[r#"
        up: 192.0.2.1, 192.0.2.2
        up: 192.0.2.1, 192.0.2.2
        down: `192.0.2.2` is among A of example.org and should not be
        down: expected `192.0.2.3` among A of example.org, but there is 192.0.2.1, 192.0.2.2
        up: 192.0.2.1, 192.0.2.2
        down: expected `192.0.2.9` among A of example.org, but there is 192.0.2.1, 192.0.2.2
        down: expected no A of example.org, but there is 192.0.2.1, 192.0.2.2
        up: nothing
        down: there is no A of example.org
        down: expected NOERROR for A of example.org, but the server answered NXDOMAIN (there is no such name)
        down: expected NOERROR for A of example.org, but the server answered SERVFAIL (the server cannot find out, or signatures are wrong)
        up: NXDOMAIN
        down: expected NXDOMAIN for A of example.org, but the server answered NOERROR (the name exists)
        up: 192.0.2.1, 192.0.2.2
        down: the server does not say that it has validated A of example.org (DNSSEC): it is not signed, or the server does not validate
        up: 192.0.2.1, 192.0.2.2
        down: the server is not responsible for A of example.org: its answer is not authoritative
        up: 10 mx.example.org.
        up: v=spf1 -all
        down: gave up after 10s waiting for an answer of the name server mail.example:53
          after 10s"#]].assert_eq(&told.join("\n"));
}

#[test]
fn name_servers_over_tcp_and_tls() {
    let answer = "some\n<bytes \\x00\\x2d\\x00\\x00\\x81\\x80\\x00\\x01\\x00\\x01\\x00\\x00\\x00\\x00\\x07example\\x03org\\x00\\x00\\x01\\x00\\x01\\xc0\\x0c\\x00\\x01\\x00\\x01\\x00\\x00\\x00\\x3c\\x00\\x04\\xc0\\x00\\x02\\x01";
    let tcp = r#"{"dns": {"name": "example.org", "server": "mail.example", "transport": "tcp"}}"#;
    let told = sim::run(1, |world| async move {
        let config = config(tcp);
        world.net.serve(HOST, 53, |mut stream| async move {
            use tokio::io::{AsyncReadExt, AsyncWriteExt};
            let length = stream.read_u16().await.unwrap();
            let mut question = vec![0; usize::from(length)];
            stream.read_exact(&mut question).await.unwrap();
            let answer = name_server(0, 0, A)(&question).unwrap();
            stream.write_u16(answer.len() as u16).await.unwrap();
            stream.write_all(&answer).await.unwrap();
        });
        let direct = told(&run_once(&config, &world.runtime()).await);
        // What does not fit into a datagram is asked for over TCP.
        world.net.serve_datagrams(HOST, 53, name_server(0, 2, &[]));
        let udp = super::config(r#"{"dns": {"name": "example.org", "server": "mail.example"}}"#);
        format!("{direct}\n{}", told(&run_once(&udp, &world.runtime()).await))
    });
    expect![[r#"
        up: 192.0.2.1, 192.0.2.2
        up: 192.0.2.1, 192.0.2.2"#]]
    .assert_eq(&told);
    let secure = r#"{"dns": {"name": "example.org", "server": "mail.example", "transport": "tls"}}"#;
    super::check(
        secure,
        &format!("tls good\n{answer}"),
        expect![[r#"
        down: mail.example:853 answers another question
          CN=mail.example until 2026-04-05T00:00:00.000Z"#]],
    );
    super::check(
        secure,
        "tls other-name",
        expect![[r#"
        down: the certificate is not for `mail.example`
          CN=other.example until 2026-04-05T00:00:00.000Z"#]],
    );
}
