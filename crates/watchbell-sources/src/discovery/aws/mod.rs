//! Discoveries at AWS: signed requests of the few calls they need, on our own HTTP client.
//!
//! Two dialects: EC2 and STS take forms and answer XML, the others speak JSON. An endpoint is the one of the
//! configuration, of `AWS_ENDPOINT_URL_<SERVICE>`, of `AWS_ENDPOINT_URL`, or AWS' own for the region.

mod cloud_map;
mod ec2;
mod ecs;
mod lightsail;
mod roles;

use std::collections::BTreeMap;
use std::sync::Mutex;

use serde_json::Value;
use watchbell_model::Url;
use watchbell_runtime::aws::{self, Account, Credentials, Service};
use watchbell_wire::xml::{self, Element};

use super::ask::{ANSWER_BYTES_MAX, Ask, PARTS_MAX};

pub use cloud_map::CloudMapSd;
pub use ec2::Ec2Sd;
pub use ecs::EcsSd;
pub use lightsail::LightsailSd;
pub use roles::{AwsRole, AwsSd};

/// A struct of a configuration with the fields of every discovery at AWS among its own, and `account()`.
macro_rules! with_aws {
    (
        $(#[$meta:meta])*
        pub struct $name:ident {
            $($(#[$field_meta:meta])* pub $field:ident: $kind:ty,)*
        }
    ) => {
        watchbell_model::with_http_client! {
            $(#[$meta])*
            pub struct $name {
                $($(#[$field_meta])* pub $field: $kind,)*
                /// The region; the environment's, the profile's or this machine's own if it is not given.
                #[serde(default)]
                pub region: String,
                /// Where its API is, if it is not AWS' own.
                #[serde(default)]
                pub endpoint: String,
                /// An access key; credentials of the environment, of a profile, of the container or of this machine if
                /// it is not given.
                #[serde(default)]
                pub access_key: String,
                /// The secret of the access key.
                #[serde(default)]
                pub secret_key: Option<watchbell_model::Secret>,
                /// A profile of `~/.aws/config` and `~/.aws/credentials`.
                #[serde(default)]
                pub profile: String,
                /// A role that is taken on with those credentials.
                #[serde(default)]
                pub role_arn: String,
                /// What the role asks for besides.
                #[serde(default)]
                pub external_id: String,
                /// The port of the targets, where nothing else says it.
                #[serde(default = "super::port")]
                pub port: u16,
                /// How often the API is asked.
                #[serde(default = "super::refresh_interval")]
                pub refresh_interval: watchbell_model::Span,
            }
        }

        impl $name {
            /// As whom and where it asks.
            pub(in crate::discovery) fn account(&self) -> watchbell_runtime::aws::Account {
                watchbell_runtime::aws::Account {
                    region: self.region.clone(),
                    endpoint: self.endpoint.clone(),
                    access_key: self.access_key.clone(),
                    secret_key: self.secret_key.clone(),
                    profile: self.profile.clone(),
                    role_arn: self.role_arn.clone(),
                    external_id: self.external_id.clone(),
                }
            }

            fn check_account(&self, path: &watchbell_model::Path, problems: &mut watchbell_model::Problems) {
                $crate::discovery::aws::check_endpoint(&self.endpoint, path, problems);
                $crate::discovery::check_refresh(self.refresh_interval, path, problems);
                self.http_client().check(path, problems);
            }
        }
    };
}
use with_aws;

fn port() -> u16 {
    80
}

fn refresh_interval() -> watchbell_model::Span {
    watchbell_model::Span::minutes(1)
}

fn check_endpoint(endpoint: &str, path: &watchbell_model::Path, problems: &mut watchbell_model::Problems) {
    if !endpoint.is_empty()
        && let Err(error) = endpoint.parse::<Url>()
    {
        problems
            .error(&path.field("endpoint"), error.to_string())
            .hint("such as `https://ec2.eu-west-1.amazonaws.com`");
    }
}

/// What a discovery at AWS keeps between two rounds.
#[derive(Default)]
pub(super) struct Memory {
    credentials: aws::Memory,
    /// Identities of availability zones by their names; AWS seldom adds one.
    zones: Mutex<Option<BTreeMap<String, String>>>,
}

const EC2: Service = Service { name: "ec2", host: "ec2", variable: "EC2", prefix: "2016-11-15" };
const ECS: Service =
    Service { name: "ecs", host: "ecs", variable: "ECS", prefix: "AmazonEC2ContainerServiceV20141113" };
const CLOUD_MAP: Service = Service {
    name: "servicediscovery",
    host: "servicediscovery",
    variable: "SERVICEDISCOVERY",
    prefix: "Route53AutoNaming_v20170314",
};
const LIGHTSAIL: Service =
    Service { name: "lightsail", host: "lightsail", variable: "LIGHTSAIL", prefix: "Lightsail_20161128" };

/// One round of questions.
struct Aws<'a> {
    ask: &'a Ask<'a>,
    memory: &'a Memory,
    region: String,
    credentials: Credentials,
    /// The configuration's endpoint, and whose it is.
    endpoint: (Service, String),
}

impl<'a> Aws<'a> {
    /// Finds out where and as whom to ask.
    async fn open(
        account: &Account,
        service: Service,
        ask: &'a Ask<'a>,
        memory: &'a Memory,
    ) -> Result<Aws<'a>, String> {
        let region = aws::region(account, &asked(ask)).await?;
        let credentials = Box::pin(aws::current(account, &region, &asked(ask), &memory.credentials)).await?;
        Ok(Aws { ask, memory, region, credentials, endpoint: (service, account.endpoint.clone()) })
    }

    fn url(&self, service: Service) -> Result<Url, String> {
        let own = if service.name == self.endpoint.0.name { self.endpoint.1.as_str() } else { "" };
        aws::url(service, own, &self.region, &self.ask.runtime.environment)
    }

    /// A call in JSON.
    async fn call(&self, service: Service, call: &str, body: Value) -> Result<Value, String> {
        let request = aws::json(self.url(service)?, service, call, &body);
        let request = aws::signed(request, &self.credentials, &self.region, service.name, self.ask.runtime.clock.now());
        self.ask.json(request).await.map_err(|error| self.failed(call, error))
    }

    /// All pages of a call in JSON, whose items lie at `list`.
    async fn pages(
        &self,
        service: Service,
        call: &str,
        token: &str,
        list: &str,
        body: Value,
    ) -> Result<Vec<Value>, String> {
        let (mut body, mut found) = (body, Vec::new());
        for _ in 0..PARTS_MAX {
            let mut answer = self.call(service, call, body.clone()).await?;
            if let Some(Value::Array(items)) = answer.get_mut(list).map(Value::take) {
                found.extend(items);
            }
            match answer.get(token).and_then(Value::as_str).filter(|token| !token.is_empty()) {
                Some(next) => body[token] = next.into(),
                None => return Ok(found),
            }
        }
        Err(format!("{call} gives more than {PARTS_MAX} pages"))
    }

    /// A call as a form.
    async fn form(&self, service: Service, call: &str, fields: &[(String, String)]) -> Result<Element, String> {
        let request = aws::form(self.url(service)?, service, call, fields);
        let request = aws::signed(request, &self.credentials, &self.region, service.name, self.ask.runtime.clock.now());
        let response = self.ask.send(request).await.map_err(|error| self.failed(call, error))?;
        document(&response.body, call)
    }

    /// All pages of a call as a form, whose items lie at `list`.
    async fn form_pages(&self, call: &str, fields: &[(String, String)], list: &str) -> Result<Vec<Element>, String> {
        let (mut found, mut fields) = (Vec::new(), fields.to_vec());
        for _ in 0..PARTS_MAX {
            let answer = self.form(EC2, call, &fields).await?;
            found.extend(answer.items(list).iter().cloned());
            match answer.text_at("nextToken") {
                "" => return Ok(found),
                next => {
                    fields.retain(|(name, _)| name != "NextToken");
                    fields.push(("NextToken".into(), next.to_owned()));
                }
            }
        }
        Err(format!("{call} gives more than {PARTS_MAX} pages"))
    }

    /// Credentials that were refused are looked for anew in the next round.
    fn failed(&self, call: &str, error: String) -> String {
        self.memory.credentials.forget();
        format!("{call} failed: {error}")
    }
}

fn asked<'a>(ask: &'a Ask<'_>) -> aws::Ask<'a> {
    aws::Ask { runtime: ask.runtime, client: ask.client, timeout: ask.timeout, body_max: ANSWER_BYTES_MAX }
}

fn document(body: &[u8], call: &str) -> Result<Element, String> {
    let text = std::str::from_utf8(body).map_err(|_| format!("the answer to {call} is not UTF-8"))?;
    xml::parse(text).map_err(|error| format!("the answer to {call} is not XML: {error}"))
}
