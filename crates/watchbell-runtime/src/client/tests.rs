//! What servers, proxies and token servers hear.

mod clouds;

use std::path::Path;
use std::sync::{Arc, Mutex};

use crate::{Stream, sim};
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use expect_test::expect;
use rcgen::{CertificateParams, CertifiedIssuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use watchbell_model::HttpClientConfig;

use super::*;

/// A key for tests alone.
const KEY_PEM: &[u8] = include_bytes!("../../../../testdata/oauth2/key.pem");

type Heard = Arc<Mutex<Vec<String>>>;

async fn head(stream: &mut Stream) -> String {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => request.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(request).unwrap()
}

/// Answers by what `answer` makes of the head of a request; says what it heard, without what is always there.
fn serve(world: &sim::World, host: &'static str, port: u16, heard: &Heard, answer: fn(&str) -> String) {
    let heard = Arc::clone(heard);
    world.net.serve(host, port, move |mut stream: Stream| {
        let heard = Arc::clone(&heard);
        async move {
            let head = head(&mut stream).await;
            let length =
                head.to_lowercase().split("content-length: ").nth(1).and_then(|it| it.lines().next()?.parse().ok());
            let mut body = vec![0; length.unwrap_or(0)];
            let _ = stream.read_exact(&mut body).await;
            let always = ["user-agent", "connection", "content-length", "content-type"];
            let lines = head
                .lines()
                .filter(|line| !line.is_empty() && !always.iter().any(|name| line.to_lowercase().starts_with(name)));
            let lines: Vec<&str> = lines.collect();
            let said = format!("{host}: {} {}", lines.join(" | "), String::from_utf8_lossy(&body));
            heard.lock().unwrap().push(said.trim_end().to_owned());
            let _ = stream.write_all(answer(&head).as_bytes()).await;
        }
    });
}

fn ok(_: &str) -> String {
    "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_owned()
}

fn client(json: serde_json::Value) -> HttpClient {
    #[derive(serde::Deserialize)]
    struct Config {
        basic_auth: Option<watchbell_model::BasicAuth>,
        authorization: Option<watchbell_model::Authorization>,
        oauth2: Option<OAuth2>,
        tls_config: Option<watchbell_model::TlsConfig>,
        proxy_url: Option<Secret>,
        no_proxy: Option<String>,
        proxy_from_environment: Option<bool>,
        proxy_connect_header: Option<BTreeMap<String, Vec<Secret>>>,
        http_headers: Option<BTreeMap<String, HttpHeader>>,
        azuread: Option<AzureAd>,
        google_iam: Option<GoogleIam>,
    }
    let it: Config = serde_json::from_value(json).unwrap();
    HttpClient::new(HttpClientConfig {
        basic_auth: it.basic_auth,
        authorization: it.authorization,
        oauth2: it.oauth2,
        tls_config: it.tls_config.unwrap_or_default(),
        proxy_url: it.proxy_url,
        no_proxy: it.no_proxy,
        proxy_from_environment: it.proxy_from_environment.unwrap_or_default(),
        proxy_connect_header: it.proxy_connect_header.unwrap_or_default(),
        http_headers: it.http_headers.unwrap_or_default(),
        azuread: it.azuread,
        google_iam: it.google_iam,
        ..HttpClientConfig::default()
    })
}

async fn get(client: &HttpClient, runtime: &Runtime, url: &str) -> String {
    match client.send(runtime, Request::get(url.parse().unwrap())).await {
        Ok(response) => response.status.to_string(),
        Err(error) => error,
    }
}

#[test]
fn credentials_and_headers() {
    sim::run(1, |world| async move {
        let heard = Heard::default();
        serve(&world, "a", 80, &heard, |head| match head.starts_with("GET /away") {
            true => "HTTP/1.1 302 Found\r\nlocation: http://b/\r\ncontent-length: 0\r\n\r\n".to_owned(),
            false => ok(head),
        });
        serve(&world, "b", 80, &heard, ok);
        world.disk.put(Path::new("/user"), b"reader\n");
        world.disk.put(Path::new("/tenant"), b"seven\n");
        let runtime = world.runtime();
        let basic = client(serde_json::json!({
            "basic_auth": {"username_file": "/user", "password": "p"},
            "http_headers": {"X-Plain": {"values": ["1", "2"]}, "X-Tenant": {"files": ["/tenant"]}, "X-Key": {"secrets": ["k"]}}
        }));
        let kind = client(serde_json::json!({"authorization": {"type": "Token", "credentials": "t"}}));
        let gone = client(serde_json::json!({"authorization": {"credentials_file": "/gone"}}));
        let mut said = String::new();
        for (client, url) in
            [(&basic, "http://a/"), (&basic, "http://a/away"), (&kind, "http://a/"), (&gone, "http://a/")]
        {
            said += &(get(client, &runtime, url).await + "\n");
        }
        said += &heard.lock().unwrap().join("\n");
        expect![[r#"
            200
            200
            200
            /gone cannot be read: entity not found
            a: GET / HTTP/1.1 | host: a | x-key: k | x-plain: 1 | x-plain: 2 | x-tenant: seven | authorization: Basic cmVhZGVyOnA=
            a: GET /away HTTP/1.1 | host: a | x-key: k | x-plain: 1 | x-plain: 2 | x-tenant: seven | authorization: Basic cmVhZGVyOnA=
            b: GET / HTTP/1.1 | host: b | x-plain: 1 | x-plain: 2
            a: GET / HTTP/1.1 | host: a | authorization: Token t"#]].assert_eq(&said);
    });
}

#[test]
fn a_token_is_fetched_once_and_again_when_it_ends_or_is_refused() {
    sim::run(1, |world| async move {
        let heard = Heard::default();
        serve(&world, "a", 80, &heard, |head| match head.contains("Bearer two") || head.contains("Bearer one") {
            true => ok(head),
            false => "HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n".to_owned(),
        });
        serve(&world, "login", 80, &heard, |head| {
            // Only one of the two ways to say who asks is known here.
            if head.contains("authorization") {
                return "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n".to_owned();
            }
            let body = r#"{"access_token": "one", "token_type": "bearer", "expires_in": "60"}"#;
            format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
        });
        let runtime = world.runtime();
        let client = client(serde_json::json!({"oauth2": {
            "client_id": "me", "client_secret": "s&s", "token_url": "http://login/token", "scopes": ["r", "w"],
            "endpoint_params": {"audience": "x"}
        }}));
        let mut said = Vec::new();
        for wait in [0, 30, 21] {
            runtime.clock.sleep(Duration::from_secs(wait)).await;
            said.push(get(&client, &runtime, "http://a/").await);
        }
        *client.token.lock().await = Some(Token { value: Secret::new("Bearer old"), until: None });
        for _ in 0..2 {
            said.push(get(&client, &runtime, "http://a/").await);
        }
        said.extend(heard.lock().unwrap().iter().cloned());
        expect![[r#"
            200
            200
            200
            401
            200
            login: POST /token HTTP/1.1 | host: login | authorization: Basic bWU6cyUyNnM= audience=x&grant_type=client_credentials&scope=r%20w
            login: POST /token HTTP/1.1 | host: login audience=x&client_id=me&client_secret=s%26s&grant_type=client_credentials&scope=r%20w
            a: GET / HTTP/1.1 | host: a | authorization: Bearer one
            a: GET / HTTP/1.1 | host: a | authorization: Bearer one
            login: POST /token HTTP/1.1 | host: login | authorization: Basic bWU6cyUyNnM= audience=x&grant_type=client_credentials&scope=r%20w
            login: POST /token HTTP/1.1 | host: login audience=x&client_id=me&client_secret=s%26s&grant_type=client_credentials&scope=r%20w
            a: GET / HTTP/1.1 | host: a | authorization: Bearer one
            a: GET / HTTP/1.1 | host: a | authorization: Bearer old
            login: POST /token HTTP/1.1 | host: login | authorization: Basic bWU6cyUyNnM= audience=x&grant_type=client_credentials&scope=r%20w
            login: POST /token HTTP/1.1 | host: login audience=x&client_id=me&client_secret=s%26s&grant_type=client_credentials&scope=r%20w
            a: GET / HTTP/1.1 | host: a | authorization: Bearer one"#]].assert_eq(&said.join("\n"));
        world.net.set_black_hole("login", true);
        *client.token.lock().await = None;
        expect!["no token from http://login/token: no answer within 10 s (while resolving the name or connecting)"]
            .assert_eq(&get(&client, &runtime, "http://a/").await);
    });
}

#[test]
fn proxies() {
    sim::run(1, |mut world| async move {
        let heard = Heard::default();
        serve(&world, "proxy", 3128, &heard, |head| match head.starts_with("CONNECT refused") {
            true => "HTTP/1.1 403 Forbidden\r\n\r\n".to_owned(),
            false => ok(head),
        });
        serve(&world, "direct", 80, &heard, ok);
        world.environment.insert("http_proxy".into(), "proxy:3128".into());
        world.environment.insert("NO_PROXY".into(), "direct".into());
        let runtime = world.runtime();
        let given = client(serde_json::json!({
            "proxy_url": "http://u:p%40@proxy:3128", "no_proxy": "direct", "proxy_connect_header": {"X-Why": ["scrape"]}
        }));
        let environment = client(serde_json::json!({"proxy_from_environment": true}));
        let mut said = String::new();
        for (client, url) in [
            (&given, "http://far/metrics?x=1"),
            (&given, "http://direct/"),
            (&given, "https://refused/"),
            (&environment, "http://far:81/"),
            (&environment, "http://direct/"),
        ] {
            said += &(get(client, &runtime, url).await + "\n");
        }
        said += &heard.lock().unwrap().join("\n");
        expect![[r#"
            200
            200
            the proxy http://proxy:3128 answered "HTTP/1.1 403 Forbidden" to the question for a tunnel
            200
            200
            proxy: GET http://far/metrics?x=1 HTTP/1.1 | host: far | proxy-authorization: Basic dTpwQA==
            direct: GET / HTTP/1.1 | host: direct
            proxy: CONNECT refused:443 HTTP/1.1 | Host: refused:443 | Proxy-Authorization: Basic dTpwQA== | X-Why: scrape
            proxy: GET http://far:81/ HTTP/1.1 | host: far:81
            direct: GET / HTTP/1.1 | host: direct"#]].assert_eq(&said);
    });
}

/// A proxy that speaks SOCKS 5 to `u` with the password `p`, and says where it was to go.
async fn socks(mut stream: Stream, net: crate::Net, heard: Heard) -> std::io::Result<()> {
    let mut methods = vec![0; 2];
    stream.read_exact(&mut methods).await?;
    let mut offered = vec![0; usize::from(methods[1])];
    stream.read_exact(&mut offered).await?;
    if !offered.contains(&2) {
        return stream.write_all(&[5, 0xff]).await;
    }
    stream.write_all(&[5, 2]).await?;
    let mut user = [0; 5];
    stream.read_exact(&mut user).await?;
    let known = user == [1, 1, b'u', 1, b'p'];
    stream.write_all(&[1, u8::from(!known)]).await?;
    if !known {
        return Ok(());
    }
    let mut head = [0; 5];
    stream.read_exact(&mut head).await?;
    assert_eq!(head[..4], [5, 1, 0, 3], "names are left to the proxy");
    let mut rest = vec![0; usize::from(head[4]) + 2];
    stream.read_exact(&mut rest).await?;
    let (host, port) = rest.split_at(rest.len() - 2);
    let (host, port) = (String::from_utf8_lossy(host).into_owned(), u16::from_be_bytes([port[0], port[1]]));
    heard.lock().unwrap().push(format!("socks: {host}:{port}"));
    match net.connect(&host, port).await {
        Ok(mut there) => {
            stream.write_all(&[5, 0, 0, 1, 10, 0, 0, 1, 0, 80]).await?;
            tokio::io::copy_bidirectional(&mut stream, &mut there.stream).await.map(|_| ())
        }
        Err(_) => stream.write_all(&[5, 5, 0, 3, 1, b'x', 0, 80]).await,
    }
}

#[test]
fn a_proxy_that_speaks_socks() {
    sim::run(1, |world| async move {
        let heard = Heard::default();
        serve(&world, "far", 80, &heard, ok);
        world.net.address("closed");
        let (net, told) = (world.runtime().net, Arc::clone(&heard));
        world.net.serve("proxy", 1080, move |stream| {
            let (net, told) = (net.clone(), Arc::clone(&told));
            async move { drop(socks(stream, net, told).await) }
        });
        let runtime = world.runtime();
        let through = |url: &str| client(serde_json::json!({ "proxy_url": url }));
        let mut said = String::new();
        for (proxy, url) in [
            ("socks5://u:p@proxy", "http://far/metrics"),
            ("socks5h://u:p@proxy:1080", "http://closed:81/"),
            ("socks5://u:wrong@proxy", "http://far/"),
            ("socks5://proxy", "http://far/"),
            ("socks5://u:p@far:80", "http://far/"),
        ] {
            said += &(get(&through(proxy), &runtime, url).await + "\n");
        }
        said += &heard.lock().unwrap().join("\n");
        expect![[r#"
            200
            the proxy socks5://proxy:1080 did not reach closed:81: connection refused
            the proxy socks5://proxy:1080 refused the user or the password
            the proxy socks5://proxy:1080 wants a user and a password
            no answer within 10 s (while resolving the name or connecting)
            socks: far:80
            far: GET /metrics HTTP/1.1 | host: far
            socks: closed:81"#]]
        .assert_eq(&said);
    });
}

/// A certificate for a name by an authority, and its key, as PEM and DER.
fn signed(
    name: &str,
    by: &CertifiedIssuer<'static, KeyPair>,
) -> (String, String, CertificateDer<'static>, PrivateKeyDer<'static>) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2025, 12, 1);
    let made = params.signed_by(&key, by).unwrap();
    let der = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    (made.pem(), key.serialize_pem(), made.der().clone(), der)
}

#[test]
fn a_certificate_of_our_own_through_a_tunnel() {
    sim::run(1, |world| async move {
        let mut params = CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let (_, _, certificate, key) = signed("inner.example", &authority);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = rustls::RootCertStore::empty();
        roots.add(authority.der().clone()).unwrap();
        let verifier =
            rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                .build()
                .unwrap();
        let server = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS12])
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![certificate], key)
            .unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(server));
        // The proxy itself plays the server behind the tunnel.
        world.net.serve("proxy", 3128, move |mut stream: Stream| {
            let acceptor = acceptor.clone();
            async move {
                assert!(head(&mut stream).await.starts_with("CONNECT far.example:443 HTTP/1.1\r\n"));
                stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
                let Ok(secret) = acceptor.accept(stream).await else { return };
                let mut secret: Stream = Box::new(secret);
                let said = head(&mut secret).await;
                assert!(said.starts_with("GET /metrics HTTP/1.1\r\nhost: far.example\r\n"), "{said}");
                let _ = secret.write_all(ok("").as_bytes()).await;
                let _ = secret.shutdown().await;
            }
        });
        let runtime = world.runtime();
        let (certificate, key, ..) = signed("us.example", &authority);
        world.disk.put(Path::new("/key.pem"), key.as_bytes());
        let tls = |more: serde_json::Value| {
            let mut tls = serde_json::json!({
                "ca": authority.pem(), "cert": certificate, "key_file": "/key.pem", "server_name": "inner.example"
            });
            tls.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            client(serde_json::json!({"proxy_url": "http://proxy:3128", "tls_config": tls}))
        };
        let url = "https://far.example/metrics";
        let mut said = Vec::new();
        for more in [
            serde_json::json!({}),
            serde_json::json!({"server_name": "other.example"}),
            serde_json::json!({"server_name": "other.example", "insecure_skip_verify": true}),
            serde_json::json!({"min_version": "TLS13"}),
            serde_json::json!({"cert": "nonsense"}),
        ] {
            said.push(get(&tls(more), &runtime, url).await);
        }
        let without = client(serde_json::json!({
            "proxy_url": "http://proxy:3128", "tls_config": {"ca": authority.pem(), "server_name": "inner.example"}
        }));
        said.push(get(&without, &runtime, url).await);
        expect![[r#"
            200
            the certificate is not for `other.example`
            200
            the TLS handshake failed: received fatal alert: ProtocolVersion
            the client's certificate cannot be used: peer sent no certificates
            the TLS handshake failed: received fatal alert: CertificateRequired"#]]
        .assert_eq(&said.join("\n"));
    });
}

#[test]
fn a_kept_connection_is_used_again_until_it_breaks() {
    sim::run(1, |world| async move {
        let connections = Arc::new(Mutex::new(0));
        let count = Arc::clone(&connections);
        // Each connection answers twice and is closed in the third request.
        world.net.serve("server.example", 80, move |mut stream: Stream| {
            let count = Arc::clone(&count);
            async move {
                *count.lock().unwrap() += 1;
                for _ in 0..2 {
                    let head = head(&mut stream).await;
                    assert!(head.contains("connection: keep-alive"), "{head}");
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
                }
                head(&mut stream).await;
            }
        });
        let runtime = world.runtime();
        let request = Request::get("http://server.example/".parse().unwrap());
        let mut kept = http::Kept::default();
        let mut told = Vec::new();
        for _ in 0..5 {
            let answer = kept.send(&runtime, &request).await;
            told.push(answer.map_or_else(|error| error.to_string(), |it| String::from_utf8(it.body).unwrap()));
        }
        let broke = "the answer is not HTTP or broke off: the server closed the connection";
        assert_eq!(told, ["ok", "ok", broke, "ok", "ok"]);
        assert_eq!(*connections.lock().unwrap(), 2);
        // One that hangs is left alone in time, and the next request has a new one.
        world.net.serve("server.example", 80, |stream: Stream| async move {
            let _open = stream;
            std::future::pending::<()>().await
        });
        let mut kept = http::Kept::default();
        let error = kept.send(&runtime, &request).await.unwrap_err().to_string();
        assert_eq!(error, "no answer within 10 s (while waiting for the answer)");
    });
}

/// What a token server hears of a client that signs, with the signature checked.
fn heard_statement(config: serde_json::Value) -> String {
    let mut said = String::new();
    let out = &mut said;
    sim::run(1, |world| async move {
        let heard = Heard::default();
        serve(&world, "login", 80, &heard, |_| {
            let body = r#"{"access_token": "one", "token_type": "bearer"}"#;
            format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
        });
        serve(&world, "a", 80, &heard, ok);
        world.disk.put(Path::new("/key.pem"), KEY_PEM);
        *out = get(&client(serde_json::json!({ "oauth2": config })), &world.runtime(), "http://a/").await;
        for line in heard.lock().unwrap().iter() {
            let Some((before, rest)) = line.split_once("assertion=") else {
                out.push_str(&format!("\n{line}"));
                continue;
            };
            let (token, after) = rest.split_once('&').unwrap();
            let (signed, signature) = token.rsplit_once('.').unwrap();
            let (header, claims) = signed.split_once('.').unwrap();
            let part = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
            let text = |it: &str| String::from_utf8(part(it)).unwrap();
            let key = PrivateKeyDer::from_pem_slice(KEY_PEM).unwrap();
            let key = ring::signature::RsaKeyPair::from_pkcs8(key.secret_der()).unwrap();
            let algorithm = if text(header).contains("RS512") {
                &ring::signature::RSA_PKCS1_2048_8192_SHA512
            } else {
                &ring::signature::RSA_PKCS1_2048_8192_SHA256
            };
            let public = ring::signature::UnparsedPublicKey::new(algorithm, key.public().as_ref());
            public.verify(signed.as_bytes(), &part(signature)).expect("the signature is the key's");
            out.push_str(&format!("\n{before}assertion=…&{after}\n{}\n{}", text(header), text(claims)));
        }
    });
    said
}

#[test]
fn a_statement_is_signed_in_place_of_a_secret() {
    let grant = watchbell_model::GRANT_JWT_BEARER;
    let plain = heard_statement(serde_json::json!({
        "client_id": "me", "token_url": "http://login/token", "grant_type": grant,
        "client_certificate_key": String::from_utf8(KEY_PEM.to_vec()).unwrap(),
    }));
    expect![[r#"
        200
        login: POST /token HTTP/1.1 | host: login assertion=…&grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer
        {"alg":"RS256","typ":"JWT"}
        {"aud":"http://login/token","exp":1767571800,"iat":1767571200,"iss":"me","jti":"c15c0289-ec2d-4a91-a7ec-8e65a18debbe","sub":"me"}
        a: GET / HTTP/1.1 | host: a | authorization: Bearer one"#]].assert_eq(&plain);
    let full = heard_statement(serde_json::json!({
        "client_id": "me", "token_url": "http://login/token", "grant_type": grant,
        "client_certificate_key_file": "/key.pem", "client_certificate_key_id": "k1", "signature_algorithm": "RS512",
        "iss": "us", "audience": "them", "claims": {"team": ["ops"], "sub": "other"}, "scopes": ["r", "w"],
        "endpoint_params": {"resource": "x"}
    }));
    expect![[r#"
        200
        login: POST /token HTTP/1.1 | host: login assertion=…&grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&resource=x&scope=r%20w
        {"alg":"RS512","kid":"k1","typ":"JWT"}
        {"aud":"them","exp":1767571800,"iat":1767571200,"iss":"us","jti":"c15c0289-ec2d-4a91-a7ec-8e65a18debbe","scope":"r w","sub":"other","team":["ops"]}
        a: GET / HTTP/1.1 | host: a | authorization: Bearer one"#]].assert_eq(&full);
    let bad = |key: &str| {
        heard_statement(serde_json::json!({
            "client_id": "me", "token_url": "http://login/token", "grant_type": grant, "client_certificate_key": key,
        }))
    };
    expect![
        "no token from http://login/token: the key `client_certificate_key` cannot sign: it is no private key as PEM"
    ]
    .assert_eq(&bad("s3cret"));
    expect!["no token from http://login/token: the key `client_certificate_key` cannot sign: WrongAlgorithm; an RSA key of 2048 to 8192 bits without a passphrase is needed"].assert_eq(&bad(&KeyPair::generate().unwrap().serialize_pem()));
}

#[test]
fn requests_are_signed_for_amazons_prometheus() {
    sim::run(1, |mut world| async move {
        let heard = Heard::default();
        serve(&world, "aps", 80, &heard, |head| match head.contains("AKID/20260105/eu-west-1/aps/aws4_request") {
            true => "HTTP/1.1 302 Found\r\nlocation: http://b/\r\ncontent-length: 0\r\n\r\n".to_owned(),
            false => "HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n".to_owned(),
        });
        world.environment.insert("AWS_REGION".into(), "eu-west-1".into());
        world.environment.insert("AWS_ACCESS_KEY_ID".into(), "AKID".into());
        world.environment.insert("AWS_SECRET_ACCESS_KEY".into(), "s".into());
        let runtime = world.runtime();
        let signed = |config: serde_json::Value| {
            HttpClient::new(HttpClientConfig {
                sigv4: Some(serde_json::from_value(config).unwrap()),
                ..HttpClientConfig::default()
            })
        };
        let ours = get(&signed(serde_json::json!({})), &runtime, "http://aps/workspaces/w/api/v1/remote_write").await;
        let other = signed(serde_json::json!({"access_key": "other", "secret_key": "s", "region": "r"}));
        let other = get(&other, &runtime, "http://aps/").await;
        let heard = heard.lock().unwrap().join("\n");
        expect![[r#"
            302 403
            aps: GET /workspaces/w/api/v1/remote_write HTTP/1.1 | host: aps | x-amz-date: 20260105T000000Z | authorization: AWS4-HMAC-SHA256 Credential=AKID/20260105/eu-west-1/aps/aws4_request, SignedHeaders=host;x-amz-date, Signature=4813df48b89e459273689a01ea9afc06e9113cf1f00dbd2444aac0a2201bd437
            aps: GET / HTTP/1.1 | host: aps | x-amz-date: 20260105T000000Z | authorization: AWS4-HMAC-SHA256 Credential=other/20260105/r/aps/aws4_request, SignedHeaders=host;x-amz-date, Signature=6de8d4c8bc5e1d98dca67a73e6b8e9fba30e98d3cb542f08c093e5e413d4023b"#]].assert_eq(&format!("{ours} {other}\n{heard}"));
    });
}
