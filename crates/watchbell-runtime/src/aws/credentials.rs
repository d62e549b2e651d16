//! As whom AWS is asked: the configuration's key, the environment, a token of the cluster, a profile, the container, the
//! machine, in this order, as AWS' own clients look; and a role that is taken on with what was found.

use std::path::Path;

use watchbell_model::{Secret, Timestamp};

use super::profile::{self, Profiles};
use super::{Account, Ask, Credentials, Memory, RENEW_BEFORE, STS, form, metadata, sign, url};
use crate::Runtime;
use crate::http::Request;

/// How many profiles may lean on one another.
const PROFILES_MAX: usize = 5;
/// The name of our sessions in AWS' audit log.
const SESSION: &str = "watchbell";

/// The region: the configuration's, the environment's, the profile's, the machine's.
pub async fn region(account: &Account, ask: &Ask<'_>) -> Result<String, String> {
    let runtime = ask.runtime;
    let variable = |name: &str| runtime.environment.get(name).filter(|value| !value.is_empty());
    if !account.region.is_empty() {
        return Ok(account.region.clone());
    }
    if let Some(region) = variable("AWS_REGION").or_else(|| variable("AWS_DEFAULT_REGION")) {
        return Ok(region);
    }
    let profile = name_of_profile(account, runtime);
    if let Some(region) = profiles(runtime).get(&profile).and_then(|profile| profile.get("region")) {
        return Ok(region.clone());
    }
    metadata::region(runtime).await.map_err(|error| format!("no region is given, and this machine says none: {error}"))
}

/// Credentials that still hold: those of the last round, or new ones.
pub async fn current(account: &Account, region: &str, ask: &Ask<'_>, memory: &Memory) -> Result<Credentials, String> {
    let now = ask.runtime.clock.now();
    let held = memory.0.lock().expect("no panic while held").clone();
    if let Some(held) = held.filter(|held| held.until.is_some_and(|until| now + RENEW_BEFORE < until)) {
        return Ok(held);
    }
    let mut found = own(account, region, ask).await?;
    if !account.role_arn.is_empty() {
        found = assume(&found, &account.role_arn, &account.external_id, region, ask).await?;
    }
    *memory.0.lock().expect("no panic while held") = Some(found.clone());
    Ok(found)
}

async fn own(account: &Account, region: &str, ask: &Ask<'_>) -> Result<Credentials, String> {
    let runtime = ask.runtime;
    if let (false, Some(secret)) = (account.access_key.is_empty(), &account.secret_key) {
        return Ok(keys(&account.access_key, secret.expose(), ""));
    }
    let variable = |name: &str| runtime.environment.get(name).unwrap_or_default();
    if account.profile.is_empty() {
        let (access, secret) = (variable("AWS_ACCESS_KEY_ID"), variable("AWS_SECRET_ACCESS_KEY"));
        if !access.is_empty() && !secret.is_empty() {
            return Ok(keys(&access, &secret, &variable("AWS_SESSION_TOKEN")));
        }
        let (file, role) = (variable("AWS_WEB_IDENTITY_TOKEN_FILE"), variable("AWS_ROLE_ARN"));
        if !file.is_empty() && !role.is_empty() {
            return assume_with_token(&file, &role, region, ask).await;
        }
    }
    let profiles = profiles(runtime);
    let name = name_of_profile(account, runtime);
    if profiles.contains_key(&name) || !account.profile.is_empty() {
        if let Some(found) = of_profile(&profiles, &name, region, ask).await? {
            return Ok(found);
        }
        if !account.profile.is_empty() {
            return Err(format!("the profile `{name}` has no credentials"));
        }
    }
    if let Some(found) = metadata::container(runtime).await? {
        return Ok(found);
    }
    let machine = metadata::machine(runtime).await;
    machine.map_err(|error| {
        format!("there are no credentials in the configuration, the environment, a profile or the container: {error}")
    })
}

/// The profile's own keys, or those of a role that it takes on with another profile's.
async fn of_profile(
    profiles: &Profiles,
    name: &str,
    region: &str,
    ask: &Ask<'_>,
) -> Result<Option<Credentials>, String> {
    let mut name = name.to_owned();
    let mut roles: Vec<(String, String)> = Vec::new();
    for _ in 0..PROFILES_MAX {
        let profile = profiles.get(&name).ok_or_else(|| format!("there is no profile `{name}`"))?;
        let field = |name: &str| profile.get(name).map_or("", String::as_str);
        let source = field("source_profile");
        if !field("role_arn").is_empty() && !source.is_empty() && source != name {
            roles.push((field("role_arn").to_owned(), field("external_id").to_owned()));
            name = source.to_owned();
            continue;
        }
        let mut found = match (field("aws_access_key_id"), field("aws_secret_access_key")) {
            ("", _) | (_, "") => match field("credential_source") {
                "Ec2InstanceMetadata" => metadata::machine(ask.runtime).await?,
                "EcsContainer" => metadata::container(ask.runtime).await?.ok_or("the container has no credentials")?,
                _ if roles.is_empty() => return Ok(None),
                _ => return Err(format!("the profile `{name}` has no credentials")),
            },
            (access, secret) => keys(access, secret, field("aws_session_token")),
        };
        if !field("role_arn").is_empty() {
            roles.push((field("role_arn").to_owned(), field("external_id").to_owned()));
        }
        for (role, external) in roles.iter().rev() {
            found = assume(&found, role, external, region, ask).await?;
        }
        return Ok(Some(found));
    }
    Err(format!("more than {PROFILES_MAX} profiles lean on one another"))
}

fn name_of_profile(account: &Account, runtime: &Runtime) -> String {
    match account.profile.as_str() {
        "" => runtime.environment.get("AWS_PROFILE").filter(|it| !it.is_empty()).unwrap_or_else(|| "default".into()),
        given => given.to_owned(),
    }
}

fn profiles(runtime: &Runtime) -> Profiles {
    let mut profiles = Profiles::new();
    let home = runtime.environment.get("HOME").unwrap_or_default();
    for (variable, file) in [("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials"), ("AWS_CONFIG_FILE", ".aws/config")] {
        let path = runtime.environment.get(variable).unwrap_or_else(|| format!("{home}/{file}"));
        if let Ok(text) = runtime.disk.read_text(Path::new(&path)) {
            profile::read(&text, &mut profiles);
        }
    }
    profiles
}

fn keys(access_key: &str, secret_key: &str, session: &str) -> Credentials {
    let session = Some(Secret::new(session)).filter(|it| !it.is_empty());
    Credentials { access_key: access_key.to_owned(), secret_key: Secret::new(secret_key), session, until: None }
}

async fn assume(
    own: &Credentials,
    role: &str,
    external: &str,
    region: &str,
    ask: &Ask<'_>,
) -> Result<Credentials, String> {
    let mut fields = vec![("RoleArn".to_owned(), role.to_owned()), ("RoleSessionName".into(), SESSION.into())];
    if !external.is_empty() {
        fields.push(("ExternalId".into(), external.to_owned()));
    }
    let request = form(url(STS, "", region, &ask.runtime.environment)?, STS, "AssumeRole", &fields);
    let request = sign::signed(request, own, region, STS.name, ask.runtime.clock.now());
    taken_on(request, role, ask).await
}

/// With a token that the cluster puts into a file (IAM roles for service accounts); such a request has no signature.
async fn assume_with_token(file: &str, role: &str, region: &str, ask: &Ask<'_>) -> Result<Credentials, String> {
    let token = ask.runtime.disk.read_text(Path::new(file));
    let token = token.map_err(|error| format!("{file} cannot be read: {error}"))?;
    let session = ask.runtime.environment.get("AWS_ROLE_SESSION_NAME").unwrap_or_else(|| SESSION.into());
    let fields = [
        ("RoleArn".to_owned(), role.to_owned()),
        ("RoleSessionName".into(), session),
        ("WebIdentityToken".into(), token.trim().to_owned()),
    ];
    let request = form(url(STS, "", region, &ask.runtime.environment)?, STS, "AssumeRoleWithWebIdentity", &fields);
    taken_on(request, role, ask).await
}

async fn taken_on(request: Request, role: &str, ask: &Ask<'_>) -> Result<Credentials, String> {
    let refuse = |error: String| format!("the role {role} cannot be taken on: {error}");
    let body = ask.send(request).await.map_err(refuse)?.body;
    let answer = String::from_utf8_lossy(&body).into_owned();
    let field = |name: &str| element(&answer, name);
    if field("AccessKeyId").is_empty() {
        return Err(refuse("the answer has no credentials".into()));
    }
    let until = Timestamp::parse_rfc3339(field("Expiration"));
    Ok(Credentials { until, ..keys(field("AccessKeyId"), field("SecretAccessKey"), field("SessionToken")) })
}

/// The text of the first element of a name, of answers whose elements have plain words.
fn element<'a>(xml: &'a str, name: &str) -> &'a str {
    let begun = xml.split_once(&format!("<{name}>")).map(|(_, rest)| rest);
    begun.and_then(|rest| rest.split_once(&format!("</{name}>"))).map_or("", |(text, _)| text.trim())
}
