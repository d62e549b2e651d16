//! A running watchbell, asked by its API; and the state of one, which whoever has the data folder may use.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use watchbell_http::Auth;
use watchbell_model::Url;
use watchbell_runtime::Runtime;
use watchbell_runtime::http::{self, Request};
use watchbell_store::SqliteState;

use super::Files;
use crate::config::Config;

/// How long one request may take: a check of everything takes its time.
const REQUEST_MAX: Duration = Duration::from_secs(3600);
/// How much one answer may have: an export is long.
const ANSWER_BYTES_MAX: usize = 1 << 30;

/// The configuration and the data folder that it, or the command line, names. A configuration that is refused keeps nobody
/// out: that is when people look.
pub(super) async fn folder(runtime: &Runtime, files: &Files, data: Option<PathBuf>) -> (Config, PathBuf) {
    let paths = files.paths(runtime);
    let config = match crate::config::load(runtime, &paths).await.good {
        Some(good) => good.config,
        None => crate::config::reach_of(runtime, &paths),
    };
    let folder = data.unwrap_or_else(|| config.storage.path.clone());
    (config, folder)
}

/// Who may do what, as the state of a watchbell has it, which may be running.
pub(super) struct Door {
    pub(super) auth: Auth,
    state: Arc<SqliteState>,
}

impl Door {
    pub(super) async fn open(runtime: &Runtime, folder: &Path) -> Result<Door> {
        let Some(state) = SqliteState::attach(runtime, folder)? else {
            bail!("{} is not the data folder of a watchbell; name it with --data", folder.display());
        };
        let state = Arc::new(state);
        let auth = Auth::open(Arc::clone(&state) as Arc<_>, runtime.clock.clone(), runtime.rng.clone()).await?;
        Ok(Door { auth, state })
    }

    pub(super) fn close(self) {
        self.state.close();
    }
}

/// The one thing that is called so; `none` and `several` begin the refusal of what is not one.
pub(super) fn only<'a, T>(found: &[&'a T], (none, several): (&str, &str), which: &str, command: &str) -> Result<&'a T> {
    let many = match found {
        [one] => return Ok(one),
        [] => none,
        _ => several,
    };
    bail!("{many} called `{which}`; `watchbell {command} list` shows what there is")
}

/// A running watchbell.
pub(super) struct Api {
    pub(super) runtime: Runtime,
    url: Url,
    token: Option<String>,
    /// The token was made for this command; it is taken back at its end.
    made: Option<(Door, String)>,
}

impl Api {
    /// At an address, with the token of the environment.
    pub(super) fn at(runtime: &Runtime, url: &str) -> Result<Api> {
        let url = url.parse().with_context(|| format!("`{url}` is no address"))?;
        let token = runtime.environment.get("WATCHBELL_TOKEN");
        Ok(Api { runtime: runtime.clone(), url, token, made: None })
    }

    /// The one of a data folder, with a token made for the command: whoever has the folder may.
    pub(super) async fn here(runtime: &Runtime, config: &Config, folder: &Path, command: &str) -> Result<Api> {
        let address = config.addresses().first().copied();
        let address = address.context("the configuration names no listener; say whom to ask with --url")?;
        let url = format!("http://{address}").parse()?;
        let door = Door::open(runtime, folder).await?;
        let name = format!("watchbell {command} {}", runtime.rng.uuid());
        let token = door.auth.issue_token(&name).await?;
        Ok(Api { runtime: runtime.clone(), url, token: Some(token), made: Some((door, name)) })
    }

    /// The address of a path there.
    pub(super) fn link(&self, path: &str) -> String {
        self.url.join(path)
    }

    /// Takes the token back.
    pub(super) async fn close(self) {
        let Some((door, name)) = self.made else { return };
        if let Err(error) = door.auth.revoke_token(&name).await {
            eprintln!("watchbell: the token `{name}` could not be taken back: {error}");
        }
        door.close();
    }

    /// Asks, and gives the body of a good answer, else what was said.
    pub(super) async fn ask(&self, method: &str, path: &str, body: Vec<u8>) -> Result<Vec<u8>, String> {
        self.send(method, path, body, None).await
    }

    /// The same with a body of JSON.
    pub(super) async fn tell(&self, method: &str, path: &str, body: &Value) -> Result<Vec<u8>, String> {
        self.send(method, path, body.to_string().into_bytes(), Some("application/json")).await
    }

    async fn send(&self, method: &str, path: &str, body: Vec<u8>, kind: Option<&str>) -> Result<Vec<u8>, String> {
        let url: Url = self.url.join(path).parse().map_err(|error| format!("{path}: {error}"))?;
        let mut request = Request::get(url).header("accept", "application/json");
        if let Some(token) = &self.token {
            // Healthchecks' API has a header of its own.
            request = match path.starts_with("/api/v3/") {
                true => request.header("x-api-key", token),
                false => request.header("authorization", format!("Bearer {token}")),
            };
        }
        if let Some(kind) = kind {
            request = request.header("content-type", kind);
        }
        (request.method, request.body) = (method.to_owned(), body);
        (request.timeout, request.body_max) = (REQUEST_MAX, ANSWER_BYTES_MAX);
        let answer = http::send(&self.runtime, request).await;
        let answer = answer.map_err(|error| format!("{} cannot be asked: {error}", self.url))?;
        if answer.truncated {
            return Err("the answer is longer than this command takes; ask for less at once".into());
        }
        if (200..300).contains(&answer.status) {
            return Ok(answer.body);
        }
        let said: Option<Value> = serde_json::from_slice(&answer.body).ok();
        let said = said.as_ref().and_then(|said| said["error"].as_str()).unwrap_or("it does not say why");
        Err(format!("{} answers {}: {said}", self.url, answer.status))
    }
}
