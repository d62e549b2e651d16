//! Tokens of OAuth 2.0: asked for with the client's secret, or with a statement that its key has signed (RFC 7523).

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RsaEncoding, RsaKeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use serde::Deserialize;
use serde_json::{Value, json};
use watchbell_model::{GRANT_JWT_BEARER, OAuth2, Timestamp};

use super::{HttpClient, encoded, escape, held};
use crate::Runtime;
use crate::http::{self, Request};

/// How long a token's server may take.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);
/// For how long a signed statement holds, as in Prometheus.
const STATEMENT_LASTS: Duration = Duration::from_secs(600);

/// The value of the header `authorization`, and how long it holds, if the server says so.
pub(super) type Fetched = (String, Option<Duration>);

/// What a token's server answers.
#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    access_token: String,
    #[serde(default)]
    token_type: String,
    /// Some servers write it as text.
    #[serde(default)]
    expires_in: Value,
    /// Azure's App Service says when instead, in seconds since 1970.
    #[serde(default)]
    expires_on: Value,
}

/// What an answer of success says.
pub(super) fn read(body: &[u8], now: Timestamp) -> Result<Fetched, String> {
    let answer: Answer = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    if answer.access_token.is_empty() {
        return Err("the answer has no `access_token`".into());
    }
    let kind = match answer.token_type.to_ascii_lowercase().as_str() {
        "" | "bearer" => "Bearer".to_owned(),
        _ => answer.token_type,
    };
    let number = |value: &Value| value.as_f64().or_else(|| value.as_str()?.parse().ok());
    let seconds = number(&answer.expires_in).or_else(|| Some(number(&answer.expires_on)? - now.as_seconds()));
    let lasts = seconds.filter(|seconds| *seconds > 0.0).and_then(|it| Duration::try_from_secs_f64(it).ok());
    Ok((format!("{kind} {}", answer.access_token), lasts))
}

/// A token for a client of OAuth 2.0.
pub(super) async fn fetch(runtime: &Runtime, oauth2: &OAuth2) -> Result<Fetched, String> {
    let refuse = |reason: String| format!("no token from {}: {reason}", oauth2.token_url);
    let mut form: BTreeMap<&str, String> = BTreeMap::new();
    form.insert("grant_type", "client_credentials".into());
    if !oauth2.scopes.is_empty() {
        form.insert("scope", oauth2.scopes.join(" "));
    }
    let mut secret = String::new();
    if oauth2.is_signed() {
        form.insert("grant_type", GRANT_JWT_BEARER.into());
        form.insert("assertion", statement(runtime, oauth2).map_err(refuse)?);
    } else {
        secret = held(&runtime.disk, &oauth2.client_secret, &oauth2.client_secret_file)?;
    }
    form.extend(oauth2.endpoint_params.iter().map(|(name, value)| (name.as_str(), value.clone())));
    let client = HttpClient::new(oauth2.client());
    let mut failed = String::new();
    // The client's name and secret go in a header, and where that is refused in the body, as in Go. What it signed says
    // who it is.
    let ways: &[Way] = if oauth2.is_signed() { &[Way::Signed] } else { &[Way::Header, Way::Body] };
    for way in ways {
        let mut form = form.clone();
        if *way == Way::Body {
            form.insert("client_id", oauth2.client_id.clone());
            form.insert("client_secret", secret.clone());
        }
        let body: Vec<String> =
            form.iter().map(|(name, value)| format!("{}={}", escape(name), escape(value))).collect();
        let mut request = Request::post(oauth2.token_url.clone(), body.join("&"))
            .header("content-type", "application/x-www-form-urlencoded");
        request.timeout = TIMEOUT;
        if *way == Way::Header {
            request = request.header("authorization", encoded(&escape(&oauth2.client_id), &escape(&secret)));
        }
        let request = client.plain(runtime, request)?;
        let response = http::send(runtime, request).await.map_err(|error| refuse(error.to_string()))?;
        if !(200..300).contains(&response.status) {
            failed = refuse(format!("it answered with status {}", response.status));
            continue;
        }
        return read(&response.body, runtime.clock.now()).map_err(refuse);
    }
    Err(failed)
}

/// How it is shown who asks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Header,
    Body,
    Signed,
}

/// Who asks, for whom, until when: a JSON web token that the client's key has signed.
fn statement(runtime: &Runtime, oauth2: &OAuth2) -> Result<String, String> {
    let pem = held(&runtime.disk, &oauth2.client_certificate_key, &oauth2.client_certificate_key_file)?;
    let key = rsa_key(&pem).map_err(|reason| format!("the key `client_certificate_key` cannot sign: {reason}"))?;
    let (name, algorithm): (&str, &dyn RsaEncoding) = match oauth2.signature_algorithm.as_deref() {
        Some("RS384") => ("RS384", &RSA_PKCS1_SHA384),
        Some("RS512") => ("RS512", &RSA_PKCS1_SHA512),
        _ => ("RS256", &RSA_PKCS1_SHA256),
    };
    let mut header = json!({"alg": name, "typ": "JWT"});
    if let Some(id) = given(&oauth2.client_certificate_key_id) {
        header["kid"] = id.into();
    }
    let now = runtime.clock.now();
    let mut claims = json!({
        "iss": given(&oauth2.iss).unwrap_or(&oauth2.client_id),
        "sub": oauth2.client_id,
        "jti": runtime.rng.uuid(),
        "aud": given(&oauth2.audience).unwrap_or(oauth2.token_url.as_str()),
        "iat": now.as_millis() / 1000,
        "exp": (now + STATEMENT_LASTS).as_millis() / 1000,
    });
    if !oauth2.scopes.is_empty() {
        claims["scope"] = oauth2.scopes.join(" ").into();
    }
    for (name, value) in &oauth2.claims {
        claims[name] = value.clone();
    }
    if let Some(claims) = claims.as_object_mut() {
        claims.retain(|_, value| !value.is_null());
    }
    let part = |it: &Value| URL_SAFE_NO_PAD.encode(it.to_string());
    let text = format!("{}.{}", part(&header), part(&claims));
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(algorithm, &SystemRandom::new(), text.as_bytes(), &mut signature)
        .map_err(|_| "the key is too small to sign with".to_owned())?;
    Ok(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

/// Text that says something.
fn given(text: &Option<String>) -> Option<&str> {
    text.as_deref().filter(|text| !text.is_empty())
}

fn rsa_key(pem: &str) -> Result<RsaKeyPair, String> {
    match PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| "it is no private key as PEM".to_owned())? {
        PrivateKeyDer::Pkcs8(der) => RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()),
        PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()),
        _ => return Err("it is not an RSA key".into()),
    }
    .map_err(|error| format!("{error}; an RSA key of 2048 to 8192 bits without a passphrase is needed"))
}
