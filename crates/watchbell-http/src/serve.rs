//! Connections: accepted up to a limit, served, and let finish when watchbell stops.

use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::sync::Semaphore;
use watchbell_runtime::{CancellationToken, Listener, Runtime};

use crate::as_if_from;
use crate::preface::Begun;

/// How many connections one listener serves at a time; further ones wait to be accepted.
pub const CONNECTIONS_MAX: usize = 1024;
/// How long a client may take to send the head of a request.
pub const HEADER_TIME_MAX: Duration = Duration::from_secs(5);
/// How large the head of a request may be, in bytes.
pub const HEADER_BYTES_MAX: usize = 32 << 10;
/// How long requests that are under way may take when watchbell stops.
pub const STOP_TIME_MAX: Duration = Duration::from_secs(10);
/// How many requests one connection of HTTP/2 may have under way.
const STREAMS_MAX: u32 = 64;
/// How often a quiet connection of HTTP/2 is asked whether somebody is there.
const KEEP_ALIVE: Duration = Duration::from_secs(60);
/// After the system refused to accept (no file descriptors left, say), the next try comes this much later.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves a router on a listener until `stop`, then lets requests under way end.
pub async fn serve(runtime: Runtime, listener: Listener, router: axum::Router, stop: CancellationToken) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let open = runtime.metrics.gauge("watchbell_http_connections", "Connections that are open.", &[]);
    loop {
        let slot = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            slot = Arc::clone(&room).acquire_owned() => slot.expect("the semaphore is never closed"),
        };
        let (stream, address) = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection was not accepted");
                    runtime.clock.sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
        };
        open.set((CONNECTIONS_MAX - room.available_permits()) as f64);
        let service = as_if_from(router.clone(), address, listener.local_addr());
        let (stop, world) = (stop.clone(), runtime.clone());
        let (gauge, room) = (open.clone(), Arc::clone(&room));
        runtime.supervisor.detached(async move {
            let begun = tokio::select! {
                biased;
                begun = world.clock.timeout(HEADER_TIME_MAX, Begun::new(stream)) => begun,
                () = stop.cancelled() => return drop(slot),
            };
            if let Ok(Ok((stream, is_http2))) = begun {
                let service = TowerToHyperService::new(service);
                let ended = if is_http2 {
                    let executor = Streams(world.clone());
                    let connection = http2::Builder::new(executor)
                        .timer(TokioTimer::new())
                        .max_concurrent_streams(STREAMS_MAX)
                        .max_header_list_size(HEADER_BYTES_MAX as u32)
                        .keep_alive_interval(KEEP_ALIVE)
                        .serve_connection(TokioIo::new(stream), service);
                    let mut connection = std::pin::pin!(connection);
                    tokio::select! {
                        biased;
                        ended = connection.as_mut() => ended,
                        () = stop.cancelled() => {
                            connection.as_mut().graceful_shutdown();
                            connection.await
                        }
                    }
                } else {
                    let connection = http1::Builder::new()
                        .timer(TokioTimer::new())
                        .header_read_timeout(HEADER_TIME_MAX)
                        .max_buf_size(HEADER_BYTES_MAX)
                        .serve_connection(TokioIo::new(stream), service);
                    let mut connection = std::pin::pin!(connection);
                    tokio::select! {
                        biased;
                        ended = connection.as_mut() => ended,
                        () = stop.cancelled() => {
                            connection.as_mut().graceful_shutdown();
                            connection.await
                        }
                    }
                };
                if let Err(error) = ended {
                    tracing::debug!(%error, %address, "a connection ended badly");
                }
            }
            drop(slot);
            gauge.set((CONNECTIONS_MAX - room.available_permits()) as f64);
        });
    }
    drop(listener);
    let all = u32::try_from(CONNECTIONS_MAX).expect("the limit is small");
    if runtime.clock.timeout(STOP_TIME_MAX, room.acquire_many(all)).await.is_err() {
        tracing::warn!("requests were still under way when watchbell stopped");
    }
}

/// Runs the streams of a connection of HTTP/2.
#[derive(Clone)]
struct Streams(Runtime);

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Streams {
    fn execute(&self, stream: F) {
        self.0.supervisor.detached(stream);
    }
}
