//! The world's twins: what the simulator promises, and the HTTP and TLS clients against real handshakes in memory.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use watchbell_model::Severity;
use watchbell_runtime::http::{HttpError, Request, send};
use watchbell_runtime::sim;
use watchbell_runtime::tls::{self, TlsOptions};
use watchbell_runtime::{Stream, Task};

#[test]
fn simulated_time_passes_while_everything_waits() {
    let slept = sim::run(1, |world| async move {
        let before = world.clock.now();
        world.clock.sleep(Duration::from_secs(86_400)).await;
        world.clock.now().since(before)
    });
    assert_eq!(slept, Duration::from_secs(86_400));
}

#[test]
fn a_clock_set_forward_is_noticed_by_those_who_wait_for_a_moment() {
    sim::run(1, |world| async move {
        let until = world.clock.now() + Duration::from_secs(3600);
        let clock = world.clock.clone();
        let begun = world.clock.monotonic();
        world.runtime().supervisor.detached(async move {
            clock.sleep(Duration::from_secs(5)).await;
            clock.jump(3_600_000);
        });
        world.clock.sleep_until(until).await;
        assert!(world.clock.monotonic() - begun <= Duration::from_secs(10));
    });
}

#[test]
fn a_task_that_panics_is_restarted_and_is_a_trouble() {
    sim::run(1, |world| async move {
        let runtime = world.runtime();
        let (clock, runs) = (runtime.clock.clone(), Arc::new(std::sync::atomic::AtomicU32::new(0)));
        let counted = Arc::clone(&runs);
        runtime.supervisor.spawn(
            "group",
            Task::new("once-bad", 0, move |stop| {
                let (clock, first) = (clock.clone(), counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0);
                async move {
                    clock.sleep(Duration::from_secs(1)).await;
                    assert!(!first, "boom");
                    stop.cancelled().await;
                }
            }),
        );
        world.clock.sleep(Duration::from_secs(3)).await;
        let troubles = runtime.troubles.list();
        assert_eq!(troubles.len(), 1);
        assert_eq!(troubles[0].severity, Severity::Critical);
        assert!(troubles[0].summary.contains("boom"), "{}", troubles[0].summary);
        world.clock.sleep(Duration::from_secs(90)).await;
        assert!(runtime.troubles.list().is_empty());
        runtime.supervisor.stop().await;
        assert_eq!(runs.load(std::sync::atomic::Ordering::SeqCst), 2);
    });
}

#[test]
fn reconcile_keeps_what_did_not_change() {
    sim::run(1, |world| async move {
        let runtime = world.runtime();
        let starts = Arc::new(std::sync::Mutex::new(Vec::new()));
        let task = |name: &'static str, key| {
            let starts = Arc::clone(&starts);
            Task::new(name, key, move |stop| {
                starts.lock().unwrap().push(format!("{name}{key}"));
                async move { stop.cancelled().await }
            })
        };
        runtime.supervisor.reconcile("g", vec![task("a", 1), task("b", 1)]);
        world.clock.sleep(Duration::from_secs(1)).await;
        runtime.supervisor.reconcile("g", vec![task("a", 1), task("b", 2)]);
        world.clock.sleep(Duration::from_secs(1)).await;
        assert_eq!(*starts.lock().unwrap(), ["a1", "b1", "b2"]);
        runtime.supervisor.reconcile("g", vec![]);
        assert!(runtime.supervisor.tasks().is_empty());
    });
}

#[test]
fn a_broken_task_that_is_taken_away_is_no_trouble_any_more() {
    sim::run(1, |world| async move {
        let runtime = world.runtime();
        runtime.supervisor.reconcile("g", vec![Task::new("bad", 0, |_| async { panic!("boom") })]);
        world.clock.sleep(Duration::from_secs(120)).await;
        assert_eq!(runtime.troubles.list().len(), 1);
        runtime.supervisor.reconcile("g", vec![]);
        world.clock.sleep(Duration::from_secs(60)).await;
        assert_eq!(runtime.troubles.list(), []);
    });
}

#[test]
fn what_could_not_be_written_whole_takes_no_room() {
    sim::run(1, |world| async move {
        let disk = world.runtime().disk;
        world.disk.set_room(Some(100));
        assert!(disk.write_atomic(Path::new("/data/x"), &[0; 200]).is_err());
        assert!(world.disk.files().is_empty(), "{:?}", world.disk.files());
    });
}

#[test]
fn power_loss_forgets_what_was_not_synced() {
    sim::run(7, |world| async move {
        let disk = world.runtime().disk;
        let path = Path::new("/data/wal");
        let mut file = disk.open_append(path).unwrap();
        file.write_all(b"kept").unwrap();
        file.sync().unwrap();
        disk.sync_dir(Path::new("/data")).unwrap();
        file.write_all(b" and perhaps more").unwrap();
        world.disk.lose_power();
        let after = disk.read(path).unwrap();
        assert!(after.starts_with(b"kept") && b"kept and perhaps more".starts_with(&after[..]));
        disk.write_atomic(Path::new("/data/x"), b"whole").unwrap();
        world.disk.lose_power();
        assert_eq!(disk.read(Path::new("/data/x")).unwrap(), b"whole");
    });
}

#[test]
fn an_address_that_swallows_packets_keeps_nobody_from_the_next_one() {
    sim::run(1, |world| async move {
        world.net.serve("web", 80, |stream| answer(stream, "HTTP/1.1 204 No Content\r\n\r\n"));
        for at in 1..=5 {
            let ip = format!("2001:db8::{at}");
            world.net.add_address("web", ip.parse().unwrap());
            world.net.set_black_hole(&ip, true);
        }
        let mut request = Request::get("http://web/".parse().unwrap());
        request.timeout = Duration::from_secs(3);
        assert_eq!(send(&world.runtime(), request).await.unwrap().status, 204);
        let runtime = world.runtime();
        let refused = runtime.clock.timeout(Duration::from_secs(3), runtime.net.connect("web", 81)).await;
        assert!(refused.is_err(), "five may still answer");
    });
}

async fn answer(mut stream: Stream, text: &str) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else { return };
        head.push(byte);
    }
    let _ = stream.write_all(text.as_bytes()).await;
    let _ = stream.shutdown().await;
}

#[test]
fn http_follows_redirects_and_bounds_the_body() {
    sim::run(1, |world| async move {
        let moved = "HTTP/1.1 302 Found\r\nLocation: http://b.example/x\r\nContent-Length: 0\r\n\r\n";
        world.net.serve("a.example", 80, move |stream| answer(stream, moved));
        let body = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789";
        world.net.serve("b.example", 80, move |stream| answer(stream, body));
        let runtime = world.runtime();
        let mut request = Request::get("http://a.example/".parse().unwrap());
        assert_eq!(send(&runtime, request.clone()).await.unwrap().status, 302);
        request.redirects_max = 3;
        request.body_max = 4;
        let response = send(&runtime, request).await.unwrap();
        assert_eq!((response.status, &response.body[..], response.truncated), (200, &b"0123"[..], true));
        assert_eq!(response.url.as_str(), "http://b.example/x");
    });
}

#[test]
fn http_errors_say_what_happened() {
    sim::run(1, |world| async move {
        world.net.serve("hang.example", 80, |stream| async move {
            let _held = stream;
            std::future::pending::<()>().await;
        });
        world.net.serve("close.example", 80, |stream| async move { drop(stream) });
        world.net.refuse("refuse.example", 80);
        world.net.serve("hole.example", 80, |_| async {});
        world.net.set_black_hole("hole.example", true);
        let runtime = world.runtime();
        let mut told = Vec::new();
        for host in ["hang.example", "close.example", "refuse.example", "hole.example", "nowhere.example"] {
            let error = send(&runtime, Request::get(format!("http://{host}/").parse().unwrap())).await.unwrap_err();
            told.push(format!("{host}: {error}; before send: {}", error.is_before_send()));
        }
        expect_test::expect![[r#"
            hang.example: no answer within 10 s (while waiting for the answer); before send: false
            close.example: the answer is not HTTP or broke off: the server closed the connection; before send: false
            refuse.example: 10.0.0.3:80 refuses the connection: connection refused; before send: true
            hole.example: no answer within 10 s (while resolving the name or connecting); before send: true
            nowhere.example: the name `nowhere.example` does not resolve: name or service not known; before send: true"#]]
        .assert_eq(&told.join("\n"));
    });
}

fn server(names: &[&str]) -> (String, Arc<rustls::ServerConfig>) {
    let made =
        rcgen::generate_simple_self_signed(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    (made.cert.pem(), Arc::new(config))
}

#[test]
fn a_certificate_is_seen_even_when_it_is_not_trusted() {
    sim::run(1, |world| async move {
        let (pem, config) = server(&["mail.example"]);
        world.net.serve("mail.example", 993, move |stream| {
            let acceptor = tokio_rustls::TlsAcceptor::from(Arc::clone(&config));
            async move {
                let _ = acceptor.accept(stream).await;
            }
        });
        let runtime = world.runtime();
        let mut told = Vec::new();
        for (name, options) in [
            ("mail.example", TlsOptions { roots_pem: Some(pem.clone().into_bytes()), ..TlsOptions::default() }),
            ("other.example", TlsOptions { roots_pem: Some(pem.into_bytes()), ..TlsOptions::default() }),
            ("mail.example", TlsOptions::default()),
        ] {
            let connection = runtime.net.connect("mail.example", 993).await.unwrap();
            let (_, report) = tls::connect(&runtime, connection.stream, name, &options).await.unwrap();
            assert!(report.certificate.is_some() && report.chain.len() == 1);
            told.push(format!("{name} {}: {:?}", report.version, report.verified));
        }
        expect_test::expect![[r#"
            mail.example TLSv1.3: Ok(())
            other.example TLSv1.3: Err("the certificate is not for `other.example`")
            mail.example TLSv1.3: Err("the certificate's issuer is not trusted (self-signed, or an intermediate certificate is missing)")"#]]
        .assert_eq(&told.join("\n"));
        let bad = send(&runtime, Request::get("https://mail.example:993/".parse().unwrap())).await.unwrap_err();
        assert!(matches!(bad, HttpError::Certificate(_)), "{bad}");
    });
}

/// What `openssl req -x509` makes: self-signed, and an authority's.
fn server_of_its_own(not_after: (i32, u8, u8)) -> (String, Arc<rustls::ServerConfig>) {
    let mut params = rcgen::CertificateParams::new(["mail.example".to_owned()]).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.not_after = rcgen::date_time_ymd(not_after.0, not_after.1, not_after.2);
    let key = rcgen::KeyPair::generate().unwrap();
    let made = params.self_signed(&key).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.der().clone()], key.serialize_der().try_into().unwrap())
        .unwrap();
    (made.pem(), Arc::new(config))
}

#[test]
fn a_certificate_given_as_a_root_is_trusted_as_it_stands() {
    let (good, expired) = (server_of_its_own((2026, 3, 1)), server_of_its_own((2026, 1, 1)));
    let told = sim::run(1, |world| async move {
        let runtime = world.runtime();
        let mut told = Vec::new();
        for (name, given, shown) in [
            ("mail.example", &good.0, &good.1),
            ("other.example", &good.0, &good.1),
            ("mail.example", &expired.0, &expired.1),
            ("mail.example", &expired.0, &good.1),
        ] {
            let config = Arc::clone(shown);
            world.net.serve("mail.example", 993, move |stream| {
                let acceptor = tokio_rustls::TlsAcceptor::from(Arc::clone(&config));
                async move {
                    let _ = acceptor.accept(stream).await;
                }
            });
            let options = TlsOptions { roots_pem: Some(given.clone().into_bytes()), ..TlsOptions::default() };
            let connection = runtime.net.connect("mail.example", 993).await.unwrap();
            let (_, report) = tls::connect(&runtime, connection.stream, name, &options).await.unwrap();
            told.push(format!("{:?}", report.verified));
        }
        told.join("\n")
    });
    expect_test::expect![[r#"
        Ok(())
        Err("the certificate is not for `other.example`")
        Err("the certificate has expired")
        Err("the certificate is not trusted (self-signed, as an authority of its own)")"#]]
    .assert_eq(&told);
}
