//! Whether watchbell lives, is ready and is well; its own numbers; reading the configuration again.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use serde_json::{Value, json};
use watchbell_model::{Lookup, Matcher, Severity};
use watchbell_runtime::thread;

use crate::{App, Shared};

/// `GET /livez`: it answers, so it lives. Never looks at anything else, so that a full disk restarts nothing.
pub(crate) async fn livez() -> &'static str {
    "ok\n"
}

/// One thing that must work.
struct Check {
    name: &'static str,
    problem: Option<String>,
}

/// What must work: pages must be kept and sent, and series read.
async fn checks(app: &App) -> Vec<Check> {
    let state = app.state.get("http.key", "links").err().map(|error| error.to_string());
    let now = app.runtime.clock.now();
    let shared = Arc::clone(app);
    let store = thread::blocking(move || {
        let matchers = [vec![Matcher::equal("__name__", "up")]];
        shared.query.series(&Lookup { matchers: &matchers, start: now, end: now, limit: 1 })
    });
    let store = store.await;
    // The keeper moves pages between memory and disk and never ends by itself.
    let sending = app.runtime.supervisor.tasks().iter().any(|task| task.name.ends_with("/keeper"));
    vec![
        Check { name: "state", problem: state },
        Check { name: "store", problem: store.err().map(|error| error.to_string()) },
        Check { name: "outbox", problem: (!sending).then(|| "nothing sends pages".to_owned()) },
    ]
}

/// `GET /readyz`: each check on a line, without its reason, since anybody may ask.
pub(crate) async fn readyz(State(app): State<App>) -> Response {
    let checks = checks(&app).await;
    let mut text = String::new();
    for check in &checks {
        let (mark, word) = if check.problem.is_none() { ('+', "ok") } else { ('-', "failed") };
        text.push_str(&format!("[{mark}]{} {word}\n", check.name));
    }
    let ready = checks.iter().all(|check| check.problem.is_none());
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, text).into_response()
}

/// `GET /health`: checks and troubles with their reasons, as the draft `application/health+json` has them.
pub(crate) async fn health(State(app): State<App>) -> Response {
    let checks = checks(&app).await;
    let failed = checks.iter().any(|check| check.problem.is_some());
    let troubles = app.runtime.troubles.list();
    let status = if failed {
        "fail"
    } else if troubles.is_empty() {
        "pass"
    } else {
        "warn"
    };
    let mut all = serde_json::Map::new();
    for check in checks {
        let mut value = json!({ "status": if check.problem.is_some() { "fail" } else { "pass" } });
        if let Some(problem) = check.problem {
            value["output"] = problem.into();
        }
        all.insert(check.name.to_owned(), json!([value]));
    }
    for trouble in troubles {
        let word = if trouble.severity == Severity::Critical { "fail" } else { "warn" };
        let value = json!([{ "status": word, "time": trouble.since, "output": trouble.summary }]);
        all.insert(format!("trouble:{}", trouble.key), value);
    }
    all.insert("outbox:queued".into(), queued(&app));
    let body = json!({ "status": status, "version": app.config.version(), "serviceId": "watchbell", "checks": all });
    let code = if failed { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    (code, [(header::CONTENT_TYPE, "application/health+json")], body.to_string()).into_response()
}

fn queued(app: &Shared) -> Value {
    json!([{ "status": "pass", "observedValue": app.notify.outbox().len(), "observedUnit": "pages" }])
}

/// `GET /metrics`.
pub(crate) async fn metrics(State(app): State<App>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], app.runtime.metrics.render()).into_response()
}

/// `POST /-/reload`.
pub(crate) async fn reload(State(app): State<App>) -> Response {
    // Whoever asked may hang up; a configuration that is half in force would be the outcome.
    let (done, answer) = tokio::sync::oneshot::channel();
    let config = std::sync::Arc::clone(&app.config);
    app.runtime.supervisor.detached(async move {
        // Nobody may be there any more to hear it.
        let _ = done.send(config.reload().await);
    });
    match answer.await.unwrap_or_else(|_| Err(vec!["reading it broke off; see the log".to_owned()])) {
        Ok(()) => Json(json!({ "status": "success" })).into_response(),
        Err(problems) => {
            let error = format!("the configuration was refused, the old one stays in use:\n{}", problems.join("\n"));
            let body = Json(json!({ "status": "error", "errorType": "bad_config", "error": error }));
            (StatusCode::INTERNAL_SERVER_ERROR, body).into_response()
        }
    }
}
