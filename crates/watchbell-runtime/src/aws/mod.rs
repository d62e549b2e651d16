//! Requests to AWS: as whom they are made, and their signatures.

mod credentials;
mod metadata;
mod profile;
mod sign;
mod sns;

use std::sync::Mutex;
use std::time::Duration;

use watchbell_model::{BoxFuture, HttpClientConfig, Secret, SigV4Config, Timestamp, Url};

use crate::Runtime;
use crate::client::HttpClient;
use crate::http::{Request, Response};
use crate::process::Environment;

pub use credentials::{current, region};
pub use sign::signed;
pub use sns::verify_sns;

/// As whom and where AWS is asked, as the configuration says.
#[derive(Clone, Debug, Default)]
pub struct Account {
    /// The region; empty for the surroundings' own.
    pub region: String,
    /// Where the API is, if it is not AWS' own.
    pub endpoint: String,
    /// An access key; empty for the credentials of the surroundings.
    pub access_key: String,
    /// The secret of the access key.
    pub secret_key: Option<Secret>,
    /// A profile of `~/.aws/config` and `~/.aws/credentials`.
    pub profile: String,
    /// A role that is taken on with those credentials.
    pub role_arn: String,
    /// What the role asks for besides.
    pub external_id: String,
}

impl Account {
    /// As a configuration of `sigv4` says.
    pub fn of(config: &SigV4Config, endpoint: String) -> Account {
        Account {
            region: config.region.clone(),
            endpoint,
            access_key: config.access_key.clone(),
            secret_key: config.secret_key.clone(),
            profile: config.profile.clone(),
            role_arn: config.role_arn.clone(),
            external_id: config.external_id.clone(),
        }
    }
}

/// Who asks.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The access key.
    pub access_key: String,
    /// Its secret.
    pub secret_key: Secret,
    /// The token of a session, if it is one.
    pub session: Option<Secret>,
    /// When they end, by the wall clock.
    pub until: Option<Timestamp>,
}

/// Credentials that still hold, kept between two questions.
#[derive(Default)]
pub struct Memory(Mutex<Option<Credentials>>);

impl Memory {
    /// Has them looked for anew, for they were refused.
    pub fn forget(&self) {
        *self.0.lock().expect("no panic while held") = None;
    }
}

/// Credentials are renewed this long before they end.
const RENEW_BEFORE: Duration = Duration::from_secs(300);

/// An API at AWS.
#[derive(Clone, Copy, Debug)]
pub struct Service {
    /// As requests are signed for it.
    pub name: &'static str,
    /// The first part of its host.
    pub host: &'static str,
    /// The end of its variable with an endpoint.
    pub variable: &'static str,
    /// What comes before the name of a call, or the version of a form.
    pub prefix: &'static str,
}

const STS: Service = Service { name: "sts", host: "sts", variable: "STS", prefix: "2011-06-15" };

/// As which service Amazon's Prometheus takes requests.
const PROMETHEUS: &str = "aps";
/// How long the answer to a question for credentials may be, in bytes.
const CREDENTIALS_MAX: usize = 64 << 10;

/// Signs requests to Amazon's Prometheus.
pub(crate) struct Signer {
    account: Account,
    memory: Memory,
    /// Asks for roles.
    client: HttpClient,
}

impl Signer {
    pub(crate) fn new(config: &SigV4Config) -> Signer {
        let client = HttpClient::new(HttpClientConfig::default());
        Signer { account: Account::of(config, String::new()), memory: Memory::default(), client }
    }

    /// The request with its signature, which is the last thing done to it. Boxed, since a client that signs asks by a
    /// client.
    pub(crate) fn sign<'a>(&'a self, runtime: &'a Runtime, request: Request) -> BoxFuture<'a, Result<Request, String>> {
        Box::pin(async move {
            let ask = Ask { runtime, client: &self.client, timeout: request.timeout, body_max: CREDENTIALS_MAX };
            let region = region(&self.account, &ask).await?;
            let credentials = current(&self.account, &region, &ask, &self.memory).await?;
            Ok(signed(request, &credentials, &region, PROMETHEUS, runtime.clock.now()))
        })
    }

    /// Has the credentials looked for anew, for they were refused.
    pub(crate) fn forget(&self) {
        self.memory.forget();
    }
}

/// How AWS is asked.
#[derive(Clone, Copy)]
pub struct Ask<'a> {
    /// The world.
    pub runtime: &'a Runtime,
    /// How addresses are spoken to.
    pub client: &'a HttpClient,
    /// Bound on each question.
    pub timeout: Duration,
    /// How long an answer may be, in bytes.
    pub body_max: usize,
}

impl Ask<'_> {
    /// The answer, which is one of success.
    pub async fn send(&self, request: Request) -> Result<Response, String> {
        self.client.ask(self.runtime, request, self.timeout, self.body_max).await
    }
}

/// Where an API is.
pub fn url(service: Service, endpoint: &str, region: &str, environment: &Environment) -> Result<Url, String> {
    let given = Some(endpoint.to_owned()).filter(|it| !it.is_empty());
    let given = given.or_else(|| environment.get(&format!("AWS_ENDPOINT_URL_{}", service.variable)));
    let given = given.or_else(|| environment.get("AWS_ENDPOINT_URL")).filter(|it| !it.is_empty());
    let end = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    let address = given.unwrap_or_else(|| format!("https://{}.{region}.{end}", service.host));
    address.parse().map_err(|error: watchbell_model::UrlError| error.to_string())
}

/// A call in JSON.
pub fn json(url: Url, service: Service, call: &str, body: &serde_json::Value) -> Request {
    Request::post(url, body.to_string())
        .header("content-type", "application/x-amz-json-1.1")
        .header("x-amz-target", format!("{}.{call}", service.prefix))
}

/// A call as a form.
pub fn form(url: Url, service: Service, call: &str, fields: &[(String, String)]) -> Request {
    let escape = crate::client::escape;
    let mut body = format!("Action={call}&Version={}", service.prefix);
    for (name, value) in fields {
        body.push_str(&format!("&{}={}", escape(name), escape(value)));
    }
    Request::post(url, body).header("content-type", "application/x-www-form-urlencoded; charset=utf-8")
}
