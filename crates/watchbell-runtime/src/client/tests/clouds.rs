//! What the clouds' servers of tokens hear.

use serde_json::json;

use super::*;

const ID: &str = "00000000-0000-0000-0000-000000000001";
const TENANT: &str = "00000000-0000-0000-0000-000000000002";

fn token(_: &str) -> String {
    given(r#"{"access_token": "t", "token_type": "Bearer", "expires_in": "3600", "expires_on": "1767574800"}"#)
}

fn given(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

/// What the servers hear of a request with these credentials, in these surroundings.
fn heard(config: serde_json::Value, variables: &'static [(&str, &str)]) -> String {
    let (said, told) = (Heard::default(), Heard::default());
    let heard = Arc::clone(&told);
    sim::run(1, |mut world| async move {
        for (host, port) in
            [("login", 80), ("169.254.169.254", 80), ("machine", 8080), ("metadata.google.internal", 80)]
        {
            serve(&world, host, port, &said, token);
        }
        serve(&world, "store", 80, &said, ok);
        for (name, value) in variables {
            world.environment.insert((*name).into(), (*value).into());
        }
        world.disk.put(Path::new("/token"), b"of-the-pod\n");
        let key = String::from_utf8_lossy(KEY_PEM);
        let account = json!({
            "type": "service_account", "client_email": "bell@project.iam.gserviceaccount.com", "private_key": key,
            "private_key_id": "key-1", "token_uri": "http://login/token",
        });
        world.disk.put(Path::new("/account.json"), account.to_string().as_bytes());
        let person = json!({
            "type": "authorized_user", "client_id": "gcloud", "client_secret": "s", "refresh_token": "again",
            "token_uri": "http://login/token",
        });
        world.disk.put(
            Path::new("/users/me/.config/gcloud/application_default_credentials.json"),
            person.to_string().as_bytes(),
        );
        world.disk.put(Path::new("/other.json"), br#"{"type": "external_account"}"#);
        world.disk.put(Path::new("/half.json"), br#"{"type": "service_account", "client_email": "x"}"#);
        let runtime = world.runtime();
        let client = client(config);
        // The second has the token already.
        for _ in 0..2 {
            let answer = get(&client, &runtime, "http://store/write").await;
            if answer != "200" {
                said.lock().unwrap().push(answer);
            }
        }
        told.lock().unwrap().append(&mut said.lock().unwrap());
    });
    let all = heard.lock().unwrap();
    all.iter().map(|line| format!("{line}\n")).collect()
}

const LOGIN: (&str, &str) = ("AZURE_AUTHORITY_HOST", "http://login/");

#[test]
fn azure_gives_a_token_for_a_secret_or_an_identity() {
    let application = json!({"client_id": ID, "client_secret": "s&s", "tenant_id": TENANT});
    let workload = json!({"client_id": ID, "tenant_id": TENANT, "token_file_path": "/token"});
    let found = json!({"client_id": ID, "tenant_id": TENANT});
    let mut said = String::new();
    for (config, variables) in [
        (json!({"oauth": application}), &[LOGIN][..]),
        (json!({"oauth": application, "cloud": "AzureGovernment", "scope": "https://x/.default"}), &[LOGIN]),
        (json!({"workload_identity": workload}), &[LOGIN]),
        (json!({"workload_identity": found}), &[LOGIN, ("AZURE_FEDERATED_TOKEN_FILE", "/token")]),
        (json!({"workload_identity": found}), &[LOGIN]),
        (json!({"managed_identity": {}}), &[]),
        (
            json!({"managed_identity": {"client_id": ID}, "cloud": "AzureChina"}),
            &[("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://machine:8080")],
        ),
        (
            json!({"managed_identity": {}}),
            &[("IDENTITY_ENDPOINT", "http://machine:8080/msi"), ("IDENTITY_HEADER", "h")],
        ),
    ] {
        said += &heard(json!({ "azuread": config }), variables);
        said += "--\n";
    }
    expect![[r#"
        login: POST /00000000-0000-0000-0000-000000000002/oauth2/v2.0/token HTTP/1.1 | host: login grant_type=client_credentials&scope=https%3A%2F%2Fmonitor.azure.com%2F%2F.default&client_id=00000000-0000-0000-0000-000000000001&client_secret=s%26s
        store: GET /write HTTP/1.1 | host: store | authorization: Bearer t
        store: GET /write HTTP/1.1 | host: store | authorization: Bearer t
        --
        login: POST /00000000-0000-0000-0000-000000000002/oauth2/v2.0/token HTTP/1.1 | host: login grant_type=client_credentials&scope=https%3A%2F%2Fx%2F.default&client_id=00000000-0000-0000-0000-000000000001&client_secret=s%26s
        store: GET /write HTTP/1.1 | host: store | authorization: Bearer t
        store: GET /write HTTP/1.1 | host: store | authorization: Bearer t
        --
        login: POST /00000000-0000-0000-0000-000000000002/oauth2/v2.0/token HTTP/1.1 | host: login grant_type=client_credentials&scope=https%3A%2F%2Fmonitor.azure.com%2F%2F.default&client_id=00000000-0000-0000-0000-000000000001&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&client_assertion=of-the-pod
        store: GET /write HTTP/1.1 | host: store | authorization: Bearer t
        store: GET /write HTTP/1.1 | host: store | authorization: Bearer t
        --
        login: POST /00000000-0000-0000-0000-000000000002/oauth2/v2.0/token HTTP/1.1 | host: login grant_type=client_credentials&scope=https%3A%2F%2Fmonitor.azure.com%2F%2F.default&client_id=00000000-0000-0000-0000-000000000001&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&client_assertion=of-the-pod
        store: GET /write HTTP/1.1 | host: store | authorization: Bearer t
        store: GET /write HTTP/1.1 | host: store | authorization: Bearer t
        --
        /var/run/secrets/azure/tokens/azure-identity-token cannot be read: entity not found
        /var/run/secrets/azure/tokens/azure-identity-token cannot be read: entity not found
        --
        169.254.169.254: GET /metadata/identity/oauth2/token?api-version=2018-02-01&resource=https%3A%2F%2Fmonitor.azure.com%2F HTTP/1.1 | host: 169.254.169.254 | metadata: true
        store: GET /write HTTP/1.1 | host: store | authorization: Bearer t
        store: GET /write HTTP/1.1 | host: store | authorization: Bearer t
        --
        machine: GET /metadata/identity/oauth2/token?api-version=2018-02-01&resource=https%3A%2F%2Fmonitor.azure.cn%2F&client_id=00000000-0000-0000-0000-000000000001 HTTP/1.1 | host: machine:8080 | metadata: true
        store: GET /write HTTP/1.1 | host: store | authorization: Bearer t
        store: GET /write HTTP/1.1 | host: store | authorization: Bearer t
        --
        machine: GET /msi?api-version=2019-08-01&resource=https%3A%2F%2Fmonitor.azure.com%2F HTTP/1.1 | host: machine:8080 | x-identity-header: h
        store: GET /write HTTP/1.1 | host: store | authorization: Bearer t
        store: GET /write HTTP/1.1 | host: store | authorization: Bearer t
        --
    "#]].assert_eq(&said);
}

#[test]
fn azure_is_asked_as_the_surroundings_say() {
    let mut said = String::new();
    for variables in [
        &[LOGIN, ("AZURE_CLIENT_ID", ID), ("AZURE_TENANT_ID", TENANT), ("AZURE_CLIENT_SECRET", "s")][..],
        &[LOGIN, ("AZURE_CLIENT_ID", ID), ("AZURE_TENANT_ID", TENANT), ("AZURE_FEDERATED_TOKEN_FILE", "/token")],
        &[("AZURE_CLIENT_ID", ID)],
        &[],
    ] {
        said += &heard(json!({ "azuread": {"sdk": {}} }), variables);
        said += "--\n";
    }
    expect![[r#"
        login: POST /00000000-0000-0000-0000-000000000002/oauth2/v2.0/token HTTP/1.1 | host: login grant_type=client_credentials&scope=https%3A%2F%2Fmonitor.azure.com%2F%2F.default&client_id=00000000-0000-0000-0000-000000000001&client_secret=s
        store: GET /write HTTP/1.1 | host: store | authorization: Bearer t
        store: GET /write HTTP/1.1 | host: store | authorization: Bearer t
        --
        login: POST /00000000-0000-0000-0000-000000000002/oauth2/v2.0/token HTTP/1.1 | host: login grant_type=client_credentials&scope=https%3A%2F%2Fmonitor.azure.com%2F%2F.default&client_id=00000000-0000-0000-0000-000000000001&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&client_assertion=of-the-pod
        store: GET /write HTTP/1.1 | host: store | authorization: Bearer t
        store: GET /write HTTP/1.1 | host: store | authorization: Bearer t
        --
        169.254.169.254: GET /metadata/identity/oauth2/token?api-version=2018-02-01&resource=https%3A%2F%2Fmonitor.azure.com%2F&client_id=00000000-0000-0000-0000-000000000001 HTTP/1.1 | host: 169.254.169.254 | metadata: true
        store: GET /write HTTP/1.1 | host: store | authorization: Bearer t
        store: GET /write HTTP/1.1 | host: store | authorization: Bearer t
        --
        169.254.169.254: GET /metadata/identity/oauth2/token?api-version=2018-02-01&resource=https%3A%2F%2Fmonitor.azure.com%2F HTTP/1.1 | host: 169.254.169.254 | metadata: true
        store: GET /write HTTP/1.1 | host: store | authorization: Bearer t
        store: GET /write HTTP/1.1 | host: store | authorization: Bearer t
        --
    "#]].assert_eq(&said);
}

/// A statement with what it says, without its signature, which another test looks at.
fn read_statements(said: &str) -> String {
    let one = |line: &str| match line.split_once("assertion=") {
        Some((before, statement)) => {
            let (statement, after) = statement.split_once('&').unwrap_or((statement, ""));
            let part = |part: &str| String::from_utf8(URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
            let parts: Vec<&str> = statement.split('.').collect();
            format!("{before}assertion=\n    {}\n    {}\n    &{after}\n", part(parts[0]), part(parts[1]))
        }
        None => format!("{line}\n"),
    };
    said.lines().map(one).collect()
}

#[test]
fn google_gives_a_token_for_a_key_a_person_or_a_machine() {
    let mut said = String::new();
    for (config, variables) in [
        (json!({"credentials_file": "/account.json"}), &[][..]),
        (json!({}), &[("GOOGLE_APPLICATION_CREDENTIALS", "/account.json")]),
        (json!({}), &[("HOME", "/users/me")]),
        (json!({}), &[("HOME", "/users/other")]),
        (json!({}), &[("GCE_METADATA_HOST", "machine:8080")]),
        (json!({"credentials_file": "/other.json"}), &[]),
        (json!({"credentials_file": "/half.json"}), &[]),
        (json!({"credentials_file": "/token"}), &[]),
        (json!({"credentials_file": "/none"}), &[]),
    ] {
        said += &heard(json!({ "google_iam": config }), variables);
        said += "--\n";
    }
    expect![[r#"
        login: POST /token HTTP/1.1 | host: login assertion=
            {"alg":"RS256","kid":"key-1","typ":"JWT"}
            {"aud":"http://login/token","exp":1767571800,"iat":1767571200,"iss":"bell@project.iam.gserviceaccount.com","jti":"c15c0289-ec2d-4a91-a7ec-8e65a18debbe","scope":"https://www.googleapis.com/auth/monitoring.write"}
            &grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&scope=https%3A%2F%2Fwww.googleapis.com%2Fauth%2Fmonitoring.write
        store: GET /write HTTP/1.1 | host: store | authorization: Bearer t
        store: GET /write HTTP/1.1 | host: store | authorization: Bearer t
        --
        login: POST /token HTTP/1.1 | host: login assertion=
            {"alg":"RS256","kid":"key-1","typ":"JWT"}
            {"aud":"http://login/token","exp":1767571800,"iat":1767571200,"iss":"bell@project.iam.gserviceaccount.com","jti":"c15c0289-ec2d-4a91-a7ec-8e65a18debbe","scope":"https://www.googleapis.com/auth/monitoring.write"}
            &grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&scope=https%3A%2F%2Fwww.googleapis.com%2Fauth%2Fmonitoring.write
        store: GET /write HTTP/1.1 | host: store | authorization: Bearer t
        store: GET /write HTTP/1.1 | host: store | authorization: Bearer t
        --
        login: POST /token HTTP/1.1 | host: login grant_type=refresh_token&client_id=gcloud&client_secret=s&refresh_token=again
        store: GET /write HTTP/1.1 | host: store | authorization: Bearer t
        store: GET /write HTTP/1.1 | host: store | authorization: Bearer t
        --
        metadata.google.internal: GET /computeMetadata/v1/instance/service-accounts/default/token?scopes=https%3A%2F%2Fwww.googleapis.com%2Fauth%2Fmonitoring.write HTTP/1.1 | host: metadata.google.internal | metadata-flavor: Google
        store: GET /write HTTP/1.1 | host: store | authorization: Bearer t
        store: GET /write HTTP/1.1 | host: store | authorization: Bearer t
        --
        machine: GET /computeMetadata/v1/instance/service-accounts/default/token?scopes=https%3A%2F%2Fwww.googleapis.com%2Fauth%2Fmonitoring.write HTTP/1.1 | host: machine:8080 | metadata-flavor: Google
        store: GET /write HTTP/1.1 | host: store | authorization: Bearer t
        store: GET /write HTTP/1.1 | host: store | authorization: Bearer t
        --
        /other.json is of the type `external_account`; `service_account` is needed
        /other.json is of the type `external_account`; `service_account` is needed
        --
        /half.json has no `private_key`
        /half.json has no `private_key`
        --
        /token is not the JSON of credentials
        /token is not the JSON of credentials
        --
        /none cannot be read: entity not found
        /none cannot be read: entity not found
        --
    "#]].assert_eq(&read_statements(&said));
}

#[test]
fn a_refusal_of_a_cloud_is_told_and_a_token_that_is_refused_is_asked_for_again() {
    sim::run(1, |mut world| async move {
        let heard = Heard::default();
        serve(&world, "login", 80, &heard, |_| "HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n".to_owned());
        serve(&world, "machine", 80, &heard, |_| given(r#"{"access_token": "t", "expires_on": 1767571260}"#));
        serve(&world, "store", 80, &heard, |head| match head.contains("Bearer t") {
            true => "HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n".to_owned(),
            false => ok(head),
        });
        world.environment.insert("AZURE_AUTHORITY_HOST".into(), "http://login".into());
        world.environment.insert("AZURE_POD_IDENTITY_AUTHORITY_HOST".into(), "http://machine".into());
        let runtime = world.runtime();
        let secret = client(json!({"azuread": {"oauth": {"client_id": ID, "client_secret": "s", "tenant_id": "x"}}}));
        let machine = client(json!({"azuread": {"managed_identity": {}}}));
        let said = get(&secret, &runtime, "http://store/").await;
        assert_eq!(said, "no token from http://login/x/oauth2/v2.0/token: it answered with status 401");
        assert_eq!(get(&machine, &runtime, "http://store/").await, "401");
        assert!(machine.token.lock().await.is_none());
        get(&machine, &runtime, "http://store/").await;
        *machine.token.lock().await = Some(Token { value: Secret::new("Bearer other"), until: None });
        assert_eq!(get(&machine, &runtime, "http://store/").await, "200");
        let asked = heard.lock().unwrap().iter().filter(|line| line.starts_with("machine")).count();
        assert_eq!(asked, 2);
    });
}
