//! The router called in process, over real stages in a simulated world.

#[path = "../../examples/stage/mod.rs"]
mod stage;

mod acceptance;
mod access;
mod action;
mod callback;
mod combined;
mod healthchecks;
mod machine;
mod otlp;
mod own;
mod picture;
mod prometheus;
mod push;
mod search;
mod serve;
mod status;
mod upkeep;

use std::net::SocketAddr;

use axum::Router;
use axum::body::Body;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use stage::Stage;
use tower::ServiceExt;
use watchbell_runtime::sim::{self, World};

/// How long a scenario waits for the stages to settle: longer than any group waits.
const SETTLE: std::time::Duration = std::time::Duration::from_secs(5);

/// Runs a scenario over the made-up site.
fn play<F: Future>(scenario: impl FnOnce(Site) -> F) -> F::Output {
    play_in(|site, _| scenario(site))
}

/// The same, with the world it is in.
fn play_in<F: Future>(scenario: impl FnOnce(Site, World) -> F) -> F::Output {
    sim::run(1, |world| async move {
        let stage = Stage::open(world.runtime(), &["http://receiver.example/hook"]).await;
        stage.runtime.supervisor.reconcile("notify", stage.notify.tasks());
        let router = watchbell_http::router(stage.handles());
        scenario(Site { stage, router }, world).await
    })
}

struct Site {
    stage: Stage,
    router: Router,
}

/// What came back.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
    bytes: Vec<u8>,
}

/// A request on its way: by default from this machine to a loopback listener.
#[derive(Clone)]
struct Ask {
    method: &'static str,
    path: String,
    listener: &'static str,
    peer: &'static str,
    host: &'static str,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

fn ask(method: &'static str, path: impl Into<String>) -> Ask {
    Ask {
        method,
        path: path.into(),
        listener: "127.0.0.1:9800",
        peer: "127.0.0.1:50000",
        host: "localhost:9800",
        headers: Vec::new(),
        body: Vec::new(),
    }
}

impl Ask {
    fn header(mut self, name: &'static str, value: impl Into<String>) -> Ask {
        self.headers.push((name, value.into()));
        self
    }

    fn body(mut self, body: impl Into<Vec<u8>>) -> Ask {
        self.body = body.into();
        self
    }

    /// From elsewhere to an address that everybody can reach.
    fn public(mut self) -> Ask {
        (self.listener, self.peer, self.host) = ("192.0.2.1:9800", "203.0.113.7:50000", "192.0.2.1:9800");
        self
    }

    fn host(mut self, host: &'static str) -> Ask {
        self.host = host;
        self
    }

    /// As a browser that is signed in asks for something of our own pages.
    fn session(self, cookie: &str) -> Ask {
        self.header("cookie", cookie).header("sec-fetch-site", "same-origin")
    }
}

impl Site {
    async fn send(&self, ask: Ask) -> Answer {
        let mut request = Request::builder().method(ask.method).uri(&ask.path).header("host", ask.host);
        for (name, value) in &ask.headers {
            request = request.header(*name, value);
        }
        let request = request.body(Body::from(ask.body)).unwrap();
        let listener: SocketAddr = ask.listener.parse().unwrap();
        let router = watchbell_http::as_if_from(self.router.clone(), ask.peer.parse().unwrap(), listener);
        let response = router.oneshot(request).await.unwrap();
        let (mut parts, body) = response.into_parts();
        let stream = parts.headers.get("content-type").is_some_and(|kind| kind == "text/event-stream");
        let bytes = if stream {
            Vec::new()
        } else {
            let whole = body.collect().await.unwrap();
            // Trailers, which only gRPC has, are headers that come late.
            parts.headers.extend(whole.trailers().cloned().unwrap_or_default());
            whole.to_bytes().to_vec()
        };
        let body = String::from_utf8_lossy(&bytes).into_owned();
        Answer { status: parts.status, headers: parts.headers, body, bytes }
    }

    /// Signs in by a link; the cookie.
    async fn sign_in(&self) -> String {
        let link = self.stage.auth.issue_link().await.unwrap();
        let token = link.strip_prefix("/signin?token=").unwrap();
        let entered = self
            .send(
                ask("POST", "/signin")
                    .header("content-type", "application/x-www-form-urlencoded")
                    .body(format!("token={token}")),
            )
            .await;
        assert_eq!(entered.status, 303, "{}", entered.body);
        entered.headers["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned()
    }
}
