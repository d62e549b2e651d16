//! Connections as clients on the network have them.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use watchbell_runtime::{CancellationToken, Runtime, Stream, sim};

use crate::stage::Stage;

/// Serves the made-up site on port 9800; gives what a client may use and the token that stops it.
async fn open(world: &sim::World) -> (Runtime, CancellationToken, tokio::sync::oneshot::Receiver<()>) {
    let runtime = world.runtime();
    let stage = Stage::open(runtime.clone(), &[]).await;
    let listener = runtime.net.listen("127.0.0.1:9800".parse().unwrap()).await.unwrap();
    let stop = CancellationToken::new();
    let serving =
        watchbell_http::serve(runtime.clone(), listener, watchbell_http::router(stage.handles()), stop.clone());
    let (ended, end) = tokio::sync::oneshot::channel();
    runtime.supervisor.detached(async move {
        serving.await;
        drop(stage);
        let _ = ended.send(());
    });
    (runtime, stop, end)
}

async fn connect(runtime: &Runtime) -> Stream {
    runtime.net.connect("127.0.0.1", 9800).await.unwrap().stream
}

async fn rest(stream: &mut Stream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

const LIVEZ: &[u8] = b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n";

#[test]
fn a_request_is_answered_over_a_connection() {
    sim::run(1, |world| async move {
        let (runtime, _stop, _end) = open(&world).await;
        let mut stream = connect(&runtime).await;
        stream.write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await.unwrap();
        let answer = rest(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nok\n"), "{answer}");
        assert!(answer.contains("content-security-policy: default-src 'none'"), "{answer}");
    });
}

#[test]
fn who_never_ends_a_request_is_cut_off() {
    sim::run(1, |world| async move {
        let (runtime, _stop, _end) = open(&world).await;
        let mut stream = connect(&runtime).await;
        stream.write_all(b"GET /livez HTTP/1.1\r\nhost: local").await.unwrap();
        let begun = runtime.clock.monotonic();
        let answer = rest(&mut stream).await;
        assert!(!answer.contains("200 OK"), "{answer}");
        // Simulated time, so it is exact but for the timer's own step.
        let took = runtime.clock.monotonic() - begun;
        assert!(took <= watchbell_http::HEADER_TIME_MAX + Duration::from_millis(10), "{took:?}");
    });
}

#[test]
fn a_stop_ends_idle_connections_and_takes_no_new_ones() {
    sim::run(1, |world| async move {
        let (runtime, stop, end) = open(&world).await;
        let mut stream = connect(&runtime).await;
        stream.write_all(LIVEZ).await.unwrap();
        let mut first = [0; 15];
        stream.read_exact(&mut first).await.unwrap();
        assert_eq!(&first, b"HTTP/1.1 200 OK");
        stop.cancel();
        assert!(rest(&mut stream).await.ends_with("ok\n"));
        end.await.unwrap();
        let again = runtime.net.connect("127.0.0.1", 9800).await;
        let refused = match again {
            Err(_) => true,
            Ok(mut connection) => rest(&mut connection.stream).await.is_empty(),
        };
        assert!(refused);
    });
}
