//! What a machine or a container at AWS is told of itself: its credentials and its region.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use watchbell_model::{Secret, Timestamp, Url};

use super::Credentials;
use crate::Runtime;
use crate::http::{self, Request};

const MACHINE: &str = "http://169.254.169.254";
const CONTAINER: &str = "http://169.254.170.2";
/// How long the answer may take: elsewhere than at AWS, nobody answers at all.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The container's credentials; `None` where it has none.
pub(super) async fn container(runtime: &Runtime) -> Result<Option<Credentials>, String> {
    let variable = |name: &str| runtime.environment.get(name).filter(|value| !value.is_empty());
    let address = match variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") {
        Some(path) => format!("{CONTAINER}{path}"),
        None => match variable("AWS_CONTAINER_CREDENTIALS_FULL_URI") {
            Some(address) => address,
            None => return Ok(None),
        },
    };
    let url: Url = address.parse().map_err(|error: watchbell_model::UrlError| error.to_string())?;
    let mut request = Request::get(url);
    let token = match variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") {
        Some(file) => {
            let token = runtime.disk.read_text(Path::new(&file));
            Some(token.map_err(|error| format!("{file} cannot be read: {error}"))?.trim().to_owned())
        }
        None => variable("AWS_CONTAINER_AUTHORIZATION_TOKEN"),
    };
    if let Some(token) = token {
        request = request.header("authorization", token);
    }
    let answer = fetch(runtime, request).await?;
    credentials(&answer, "the container").map(Some)
}

/// The machine's credentials.
pub(super) async fn machine(runtime: &Runtime) -> Result<Credentials, String> {
    const ROLES: &str = "/latest/meta-data/iam/security-credentials/";
    let token = token(runtime).await?;
    let roles = read(runtime, &token, ROLES).await?;
    let role = roles.lines().next().map(str::trim).filter(|role| !role.is_empty());
    let role = role.ok_or("this machine has no role")?;
    credentials(read(runtime, &token, &format!("{ROLES}{role}")).await?.as_bytes(), "this machine")
}

/// The machine's region.
pub(super) async fn region(runtime: &Runtime) -> Result<String, String> {
    let token = token(runtime).await?;
    Ok(read(runtime, &token, "/latest/meta-data/placement/region").await?.trim().to_owned())
}

fn machine_url(runtime: &Runtime, path: &str) -> Result<Url, String> {
    if runtime.environment.get("AWS_EC2_METADATA_DISABLED").is_some_and(|it| it.eq_ignore_ascii_case("true")) {
        return Err("the machine's metadata are switched off by AWS_EC2_METADATA_DISABLED".into());
    }
    let base = runtime.environment.get("AWS_EC2_METADATA_SERVICE_ENDPOINT").filter(|it| !it.is_empty());
    let base = base.unwrap_or_else(|| MACHINE.into());
    format!("{}{path}", base.trim_end_matches('/'))
        .parse()
        .map_err(|error: watchbell_model::UrlError| error.to_string())
}

/// The second version of the metadata service asks for a token first.
async fn token(runtime: &Runtime) -> Result<String, String> {
    let mut request =
        Request::get(machine_url(runtime, "/latest/api/token")?).header("x-aws-ec2-metadata-token-ttl-seconds", "300");
    request.method = "PUT".into();
    fetch(runtime, request).await.map(|token| String::from_utf8_lossy(&token).trim().to_owned())
}

async fn read(runtime: &Runtime, token: &str, path: &str) -> Result<String, String> {
    let request = Request::get(machine_url(runtime, path)?).header("x-aws-ec2-metadata-token", token);
    fetch(runtime, request).await.map(|body| String::from_utf8_lossy(&body).into_owned())
}

async fn fetch(runtime: &Runtime, mut request: Request) -> Result<Vec<u8>, String> {
    request.timeout = TIMEOUT;
    request.body_max = 64 << 10;
    let url = request.url.clone();
    let response = Box::pin(http::send(runtime, request)).await.map_err(|error| format!("{url}: {error}"))?;
    if response.status == 200 {
        Ok(response.body)
    } else {
        Err(format!("{url} answers with status {}", response.status))
    }
}

/// The text at a JSON pointer, empty if there is none.
fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn credentials(answer: &[u8], whose: &str) -> Result<Credentials, String> {
    let answer: Value =
        serde_json::from_slice(answer).map_err(|_| format!("the credentials of {whose} are not JSON"))?;
    let (access_key, secret_key) = (text(&answer, "/AccessKeyId"), text(&answer, "/SecretAccessKey"));
    if access_key.is_empty() || secret_key.is_empty() {
        return Err(format!("{whose} has no credentials: {}", text(&answer, "/Message")));
    }
    Ok(Credentials {
        access_key: access_key.to_owned(),
        secret_key: Secret::new(secret_key),
        session: Some(Secret::new(text(&answer, "/Token"))).filter(|token| !token.is_empty()),
        until: Timestamp::parse_rfc3339(text(&answer, "/Expiration")),
    })
}
