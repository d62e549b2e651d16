//! Requests to the other store: headers, tenant, credentials, trust.

use std::collections::BTreeMap;
use std::time::Duration;

use watchbell_model::{HttpClientConfig, Url};
use watchbell_runtime::http::{Request, Response};
use watchbell_runtime::{HttpClient, Runtime};

use super::config::{RemoteConfig, RemoteReadConfig};
use super::target::Target;

/// What goes with every request to one address.
pub(crate) struct Client {
    headers: Vec<(String, String)>,
    http: HttpClient,
    timeout: Duration,
}

impl Client {
    pub(crate) fn for_write(target: &Target) -> Client {
        let write = &target.config;
        Client::new(target.tenant.clone(), &write.headers, write.client(), write.remote_timeout.duration())
    }

    pub(crate) fn for_read(config: &RemoteConfig, read: &RemoteReadConfig) -> Client {
        let tenant = config.tenant.clone().map(|tenant| (config.tenant_header.clone(), tenant));
        Client::new(tenant, &read.headers, read.client(), read.remote_timeout.duration())
    }

    fn new(
        tenant: Option<(String, String)>,
        headers: &BTreeMap<String, String>,
        http: HttpClientConfig,
        timeout: Duration,
    ) -> Client {
        let mut headers: Vec<_> = headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        headers.extend(tenant);
        Client { headers, http: HttpClient::new(http), timeout }
    }

    /// A `POST` without its credentials, which [`Client::send`] adds.
    pub(crate) fn post(&self, url: Url, body: Vec<u8>) -> Request {
        let mut request = Request::post(url, body);
        request.headers = self.headers.clone();
        request.timeout = self.timeout;
        request
    }

    /// The answer, whatever its status. The error says why there is none, or which file cannot be read.
    pub(crate) async fn send(&self, runtime: &Runtime, request: Request) -> Result<Response, String> {
        self.http.send(runtime, request).await
    }
}

/// What an answer says, for people: its first line, cut.
pub(crate) fn excerpt(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let line = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default().trim();
    line.chars().filter(|it| !it.is_control()).take(300).collect()
}
