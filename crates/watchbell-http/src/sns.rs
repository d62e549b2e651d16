//! Messages of Amazon SNS, which carry no secret: each is proven by its signature.
//!
//! Nothing is fetched for a topic that is not configured, nor from a host that is not SNS' own.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use serde::Deserialize;
use watchbell_model::{Timestamp, Url};
use watchbell_notify::HttpConfig;
use watchbell_runtime::aws::verify_sns;
use watchbell_runtime::client::HttpClient;
use watchbell_runtime::http::Request;

use crate::App;

/// How old a message may be: SNS gives up long before.
const AGE_MAX: Duration = Duration::from_secs(3600);
/// By how much its clock may be ahead of ours.
const AHEAD_MAX: Duration = Duration::from_secs(300);
/// How many messages are remembered, so that one that comes again is known.
const KNOWN_MAX: usize = 1000;
const CERTIFICATES_MAX: usize = 8;
const CERTIFICATE_BYTES_MAX: usize = 64 << 10;
const FETCH_MAX: Duration = Duration::from_secs(10);

/// What is remembered of topics.
#[derive(Default)]
pub(crate) struct Topics {
    /// By their addresses.
    certificates: Mutex<BTreeMap<String, Vec<u8>>>,
    /// Ids of messages that were taken, the oldest first.
    known: Mutex<VecDeque<String>>,
}

/// A message as SNS posts it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Message {
    #[serde(rename = "Type")]
    kind: String,
    message_id: String,
    topic_arn: String,
    subject: Option<String>,
    message: String,
    timestamp: String,
    signature_version: String,
    signature: String,
    #[serde(rename = "SigningCertURL")]
    certificate: String,
    token: Option<String>,
    #[serde(rename = "SubscribeURL")]
    subscribe: Option<String>,
}

/// What is to be done with a message that is SNS' own.
pub(crate) enum Proven {
    /// It tells something.
    Tells,
    /// It was about a subscription, or it was there before; the words say so.
    Done(&'static str),
}

type Refused = (StatusCode, String);

fn refused(reason: impl Into<String>) -> Refused {
    (StatusCode::FORBIDDEN, reason.into())
}

impl Message {
    /// A body that is a message of SNS.
    pub(crate) fn read(body: &[u8]) -> Option<Message> {
        serde_json::from_slice(body).ok()
    }

    /// What its signature is of.
    fn signed(&self) -> String {
        let mut fields = vec![("Message", self.message.as_str()), ("MessageId", &self.message_id)];
        if self.kind == "Notification" {
            fields.extend(self.subject.as_deref().map(|subject| ("Subject", subject)));
            fields.push(("Timestamp", &self.timestamp));
        } else {
            fields.extend(self.subscribe.as_deref().map(|url| ("SubscribeURL", url)));
            fields.push(("Timestamp", &self.timestamp));
            fields.extend(self.token.as_deref().map(|token| ("Token", token)));
        }
        fields.extend([("TopicArn", self.topic_arn.as_str()), ("Type", &self.kind)]);
        fields.iter().map(|(name, value)| format!("{name}\n{value}\n")).collect()
    }

    /// Proves it; confirms a subscription it asks to be confirmed.
    pub(crate) async fn prove(&self, app: &App) -> Result<Proven, Refused> {
        let config = app.config.sink().sns;
        if !config.topics.contains(&self.topic_arn) {
            return Err(refused(format!("the topic {} is not among `sink.sns.topics`", self.topic_arn)));
        }
        let now = app.runtime.clock.now();
        let at = Timestamp::parse_rfc3339(&self.timestamp).ok_or_else(|| refused("its time cannot be read"))?;
        if now.since(at) > AGE_MAX || at.since(now) > AHEAD_MAX {
            return Err(refused("its time is not about now"));
        }
        let signature = STANDARD.decode(&self.signature).map_err(|_| refused("its signature cannot be read"))?;
        let client = HttpClient::new(config.http_config.as_ref().map(HttpConfig::http_client).unwrap_or_default());
        let certificate = self.certificate(app, &client).await?;
        verify_sns(&certificate, &self.signature_version, self.signed().as_bytes(), &signature, now)
            .map_err(refused)?;
        self.keep(app, certificate);
        if app.topics.known.lock().unwrap_or_else(PoisonError::into_inner).contains(&self.message_id) {
            return Ok(Proven::Done("it was here before"));
        }
        match (self.kind.as_str(), &self.subscribe) {
            ("Notification", _) => Ok(Proven::Tells),
            ("SubscriptionConfirmation", Some(url)) => {
                let url = of_sns(url)?;
                client
                    .ask(&app.runtime, Request::get(url), FETCH_MAX, CERTIFICATE_BYTES_MAX)
                    .await
                    .map_err(unreachable)?;
                tracing::info!(topic = self.topic_arn, "a subscription of SNS is confirmed");
                self.taken(app);
                Ok(Proven::Done("the subscription is confirmed"))
            }
            _ => {
                tracing::warn!(topic = self.topic_arn, kind = self.kind, "SNS says something about a subscription");
                Ok(Proven::Done("it is no notification"))
            }
        }
    }

    /// It need not be taken again.
    pub(crate) fn taken(&self, app: &App) {
        let mut known = app.topics.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.push_back(self.message_id.clone());
        if known.len() > KNOWN_MAX {
            known.pop_front();
        }
    }

    async fn certificate(&self, app: &App, client: &HttpClient) -> Result<Vec<u8>, Refused> {
        let known =
            app.topics.certificates.lock().unwrap_or_else(PoisonError::into_inner).get(&self.certificate).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let url = of_sns(&self.certificate)?;
        if !url.path_and_query().ends_with(".pem") {
            return Err(refused("the certificate of its signature is not where SNS keeps them"));
        }
        let answer = client.ask(&app.runtime, Request::get(url), FETCH_MAX, CERTIFICATE_BYTES_MAX).await;
        Ok(answer.map_err(unreachable)?.body)
    }

    /// Keeps a certificate that proved a message: what proved none may be somebody's error page.
    fn keep(&self, app: &App, certificate: Vec<u8>) {
        let mut certificates = app.topics.certificates.lock().unwrap_or_else(PoisonError::into_inner);
        if certificates.len() >= CERTIFICATES_MAX && !certificates.contains_key(&self.certificate) {
            certificates.clear();
        }
        certificates.insert(self.certificate.clone(), certificate);
    }
}

/// SNS tries again.
fn unreachable(error: String) -> Refused {
    tracing::warn!(error, "what SNS names could not be fetched");
    (StatusCode::SERVICE_UNAVAILABLE, "what SNS names could not be fetched; try again".to_owned())
}

/// An address that is SNS' own: `https://sns.<region>.amazonaws.com/…`, in China with `.cn`.
fn of_sns(address: &str) -> Result<Url, Refused> {
    let elsewhere = || refused(format!("`{}` is not an address of SNS", address.split('?').next().unwrap_or_default()));
    let url: Url = address.parse().map_err(|_| elsewhere())?;
    let host = url.host();
    let host = host.strip_suffix(".amazonaws.com").or_else(|| host.strip_suffix(".amazonaws.com.cn"));
    let region = host.and_then(|host| host.strip_prefix("sns.")).unwrap_or_default();
    let plain = !region.is_empty() && region.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    // Without a name and password, which would be part of the authority as it was written.
    let whole = address.strip_prefix("https://").is_some_and(|rest| rest.starts_with(&format!("{}/", url.host())));
    if plain && whole && url.port() == 443 { Ok(url) } else { Err(elsewhere()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_sns_are_fetched() {
        for good in [
            "https://sns.eu-central-1.amazonaws.com/SimpleNotificationService-1.pem",
            "https://sns.cn-north-1.amazonaws.com.cn/x.pem",
        ] {
            assert!(of_sns(good).is_ok(), "{good}");
        }
        for bad in [
            "http://sns.eu-central-1.amazonaws.com/x.pem",
            "https://sns.eu-central-1.amazonaws.com:8443/x.pem",
            "https://sns.eu-central-1.amazonaws.com.evil.example/x.pem",
            "https://sns.cn-north-1.amazonaws.com.cn.cn/x.pem",
            "https://evil.example/sns.eu-central-1.amazonaws.com/x.pem",
            "https://user@sns.eu-central-1.amazonaws.com/x.pem",
            "https://evil.example#sns.eu-central-1.amazonaws.com/",
            "https://sns.a.b.amazonaws.com/x.pem",
            "https://sns..amazonaws.com/x.pem",
            "https://s3.eu-central-1.amazonaws.com/x.pem",
            "https://127.0.0.1/x.pem",
            "x",
        ] {
            assert!(of_sns(bad).is_err(), "{bad}");
        }
    }
}
