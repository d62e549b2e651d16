//! Tokens of the clouds: as whom Azure Monitor and Google's Cloud Monitoring are asked.
//!
//! Both are OAuth 2.0 with ways of their own to show who asks. The addresses are the clouds' own, unless the variables
//! say otherwise by which their own clients are told.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use watchbell_model::{AzureAd, AzureApplication, GRANT_JWT_BEARER, GoogleIam, HttpClientConfig, OAuth2, Secret, Url};

use super::token::{self, Fetched, TIMEOUT};
use super::{HttpClient, escape};
use crate::Runtime;
use crate::http::{self, Request};

/// Where a machine at Azure is told of itself.
const AZURE_MACHINE: &str = "http://169.254.169.254";
/// Where the token of a Kubernetes service account lies, unless something says otherwise.
const AZURE_TOKEN_FILE: &str = "/var/run/secrets/azure/tokens/azure-identity-token";
const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Where a machine at Google is told of itself.
const GOOGLE_MACHINE: &str = "metadata.google.internal";
const GOOGLE_TOKENS: &str = "https://oauth2.googleapis.com/token";
/// What a writer of metrics may.
const GOOGLE_SCOPE: &str = "https://www.googleapis.com/auth/monitoring.write";
/// What `gcloud` writes, below the home folder.
const GOOGLE_FILE: &str = ".config/gcloud/application_default_credentials.json";

/// A token for Azure Monitor.
pub(super) async fn azure(runtime: &Runtime, config: &AzureAd) -> Result<Fetched, String> {
    if let Some(it) = &config.managed_identity {
        return azure_machine(runtime, config, it.client_id.as_deref()).await;
    }
    if let Some(it) = &config.workload_identity {
        let file = it.token_file_path.clone();
        return azure_workload(runtime, config, &it.client_id, &it.tenant_id, file).await;
    }
    if let Some(it) = &config.oauth {
        return azure_application(runtime, config, it).await;
    }
    // Whatever the surroundings say.
    let own = config.sdk.as_ref().and_then(|sdk| sdk.tenant_id.clone());
    let client = variable(runtime, "AZURE_CLIENT_ID");
    match (client, own.or_else(|| variable(runtime, "AZURE_TENANT_ID"))) {
        (Some(client_id), Some(tenant_id)) => {
            if let Some(secret) = variable(runtime, "AZURE_CLIENT_SECRET") {
                let it = AzureApplication { client_id, client_secret: Secret::new(secret), tenant_id };
                return azure_application(runtime, config, &it).await;
            }
            if variable(runtime, "AZURE_FEDERATED_TOKEN_FILE").is_some() {
                return azure_workload(runtime, config, &client_id, &tenant_id, None).await;
            }
            azure_machine(runtime, config, Some(&client_id)).await
        }
        (client, _) => azure_machine(runtime, config, client.as_deref()).await,
    }
}

async fn azure_application(runtime: &Runtime, config: &AzureAd, it: &AzureApplication) -> Result<Fetched, String> {
    let who = [("client_id", it.client_id.as_str()), ("client_secret", it.client_secret.expose())];
    azure_tokens(runtime, config, &it.tenant_id, &who).await
}

async fn azure_workload(
    runtime: &Runtime,
    config: &AzureAd,
    client: &str,
    tenant: &str,
    file: Option<PathBuf>,
) -> Result<Fetched, String> {
    let file = file.or_else(|| variable(runtime, "AZURE_FEDERATED_TOKEN_FILE").map(PathBuf::from));
    let assertion = super::text(&runtime.disk, &file.unwrap_or_else(|| PathBuf::from(AZURE_TOKEN_FILE)))?;
    let who = [("client_id", client), ("client_assertion_type", ASSERTION), ("client_assertion", &assertion)];
    azure_tokens(runtime, config, tenant, &who).await
}

async fn azure_tokens(
    runtime: &Runtime,
    config: &AzureAd,
    tenant: &str,
    who: &[(&str, &str)],
) -> Result<Fetched, String> {
    let authority = variable(runtime, "AZURE_AUTHORITY_HOST").unwrap_or_else(|| config.cloud.authority().to_owned());
    let address = format!("{}/{}/oauth2/v2.0/token", authority.trim_end_matches('/'), escape(tenant));
    let form = [("grant_type", "client_credentials"), ("scope", config.scope())];
    posted(runtime, &address, &[&form[..], who].concat()).await
}

/// A token of the identity that Azure has given this machine, or this application of its App Service.
async fn azure_machine(runtime: &Runtime, config: &AzureAd, client: Option<&str>) -> Result<Fetched, String> {
    let resource = config.scope().strip_suffix("/.default").unwrap_or(config.scope());
    let service = variable(runtime, "IDENTITY_ENDPOINT").zip(variable(runtime, "IDENTITY_HEADER"));
    let (base, version) = match &service {
        Some((endpoint, _)) => (endpoint.clone(), "2019-08-01"),
        None => {
            let host = variable(runtime, "AZURE_POD_IDENTITY_AUTHORITY_HOST").unwrap_or_else(|| AZURE_MACHINE.into());
            (format!("{}/metadata/identity/oauth2/token", host.trim_end_matches('/')), "2018-02-01")
        }
    };
    let mut address = format!("{base}?api-version={version}&resource={}", escape(resource));
    if let Some(client) = client {
        address += &format!("&client_id={}", escape(client));
    }
    let (name, value) = match &service {
        Some((_, secret)) => ("x-identity-header", secret.as_str()),
        None => ("metadata", "true"),
    };
    of_machine(runtime, &address, name, value).await
}

/// A token for Google's Cloud Monitoring.
pub(super) async fn google(runtime: &Runtime, config: &GoogleIam) -> Result<Fetched, String> {
    if let Some(file) = &config.credentials_file {
        return google_file(runtime, file).await;
    }
    if let Some(file) = variable(runtime, "GOOGLE_APPLICATION_CREDENTIALS") {
        return google_file(runtime, Path::new(&file)).await;
    }
    if let Some(home) = variable(runtime, "HOME") {
        let file = Path::new(&home).join(GOOGLE_FILE);
        if runtime.disk.exists(&file) {
            return google_file(runtime, &file).await;
        }
    }
    let host = variable(runtime, "GCE_METADATA_HOST").unwrap_or_else(|| GOOGLE_MACHINE.into());
    let path = "computeMetadata/v1/instance/service-accounts/default/token";
    let address = format!("http://{host}/{path}?scopes={}", escape(GOOGLE_SCOPE));
    of_machine(runtime, &address, "metadata-flavor", "Google").await
}

/// A token of whom a file names: a service account with its key, or a person that has signed in.
async fn google_file(runtime: &Runtime, file: &Path) -> Result<Fetched, String> {
    let wrong = |words: &str| format!("{} {words}", file.display());
    let text = super::text(&runtime.disk, file)?;
    let Ok(fields) = serde_json::from_str::<Map<String, Value>>(&text) else {
        return Err(wrong("is not the JSON of credentials"));
    };
    let field = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default();
    let needed = |name: &str| match field(name) {
        "" => Err(wrong(&format!("has no `{name}`"))),
        value => Ok(value),
    };
    let address = match field("token_uri") {
        "" => GOOGLE_TOKENS,
        address => address,
    };
    match field("type") {
        "service_account" => {
            let signed = json!({
                "client_id": needed("client_email")?,
                "client_certificate_key": needed("private_key")?,
                "client_certificate_key_id": field("private_key_id"),
                "grant_type": GRANT_JWT_BEARER,
                "token_url": address,
                "scopes": [GOOGLE_SCOPE],
                // It asks for itself, not in the name of somebody else.
                "claims": { "sub": null },
                "proxy_from_environment": true,
            });
            let oauth2: OAuth2 = serde_json::from_value(signed).map_err(|error| wrong(&error.to_string()))?;
            token::fetch(runtime, &oauth2).await
        }
        "authorized_user" => {
            let form = [
                ("grant_type", "refresh_token"),
                ("client_id", needed("client_id")?),
                ("client_secret", needed("client_secret")?),
                ("refresh_token", needed("refresh_token")?),
            ];
            posted(runtime, address, &form).await
        }
        other => Err(wrong(&format!("is of the type `{other}`; `service_account` is needed"))),
    }
}

/// What a server of tokens gives for a form.
async fn posted(runtime: &Runtime, address: &str, form: &[(&str, &str)]) -> Result<Fetched, String> {
    let refuse = |reason: String| format!("no token from {address}: {reason}");
    let url: Url = address.parse().map_err(|error: watchbell_model::UrlError| refuse(error.to_string()))?;
    let body: Vec<String> = form.iter().map(|(name, value)| format!("{}={}", escape(name), escape(value))).collect();
    let request = Request::post(url, body.join("&")).header("content-type", "application/x-www-form-urlencoded");
    // As the clouds' own clients, which know of no other proxy.
    let client = HttpClient::new(HttpClientConfig { proxy_from_environment: true, ..HttpClientConfig::default() });
    answered(runtime, client.plain(runtime, request)?).await.map_err(refuse)
}

/// What this machine is given by its cloud; never through a proxy.
async fn of_machine(runtime: &Runtime, address: &str, name: &str, value: &str) -> Result<Fetched, String> {
    let place = address.split('?').next().unwrap_or_default();
    let refuse = |reason: String| format!("no token from {place}: {reason}");
    let url: Url = address.parse().map_err(|error: watchbell_model::UrlError| refuse(error.to_string()))?;
    answered(runtime, Request::get(url).header(name, value)).await.map_err(refuse)
}

async fn answered(runtime: &Runtime, mut request: Request) -> Result<Fetched, String> {
    request.timeout = TIMEOUT;
    let response = Box::pin(http::send(runtime, request)).await.map_err(|error| error.to_string())?;
    if !(200..300).contains(&response.status) {
        return Err(format!("it answered with status {}", response.status));
    }
    token::read(&response.body, runtime.clock.now())
}

fn variable(runtime: &Runtime, name: &str) -> Option<String> {
    runtime.environment.get(name).filter(|value| !value.is_empty())
}
