//! What is asked without a connection: time servers, echo requests.

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
        down: expected a stratum of at most 1, but it is 2
        down: gave up after 10s waiting for the time
          after 10s
        down: gave up after 10s waiting for the time
          after 10s"#]].assert_eq(&told.join("\n"));
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
          after 2s2ms"#]].assert_eq(&told);
}
