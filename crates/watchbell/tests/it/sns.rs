//! Messages of Amazon SNS, which carry no secret, only signatures. `testdata/sns` holds messages and the certificate of
//! their signatures, made with Python's `cryptography`.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use watchbell_model::Url;
use watchbell_runtime::http::{self, Request};
use watchbell_runtime::sim::{self, World};
use watchbell_sim::Authority;

use crate::world::{Sim, far};

const HOST: &str = "sns.eu-central-1.amazonaws.com";
const CONFIG: &str = "
host: {enabled: false}
sink:
  sns:
    topics: ['arn:aws:sns:eu-central-1:123456789012:alarms']
    http_config: {tls_config: {ca_file: ca.pem}}
";

/// SNS: hands out the certificate, takes confirmations; says what it was asked.
fn sns(world: &World, authority: &Authority) -> Arc<Mutex<Vec<String>>> {
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let (tls, seen) = (authority.server(&[HOST], far(world)), Arc::clone(&asked));
    world.net.serve(HOST, 443, move |stream| {
        let (tls, seen) = (tls.clone(), Arc::clone(&seen));
        async move {
            let Some(mut stream) = watchbell_sim::tls(&tls, stream).await else { return };
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                match stream.read_u8().await {
                    Ok(byte) => head.push(byte),
                    Err(_) => return,
                }
            }
            let line = String::from_utf8_lossy(&head).lines().next().unwrap_or_default().to_owned();
            let body = match line.contains(".pem") {
                true => include_str!("../../../../testdata/sns/certificate.pem"),
                false => "<ConfirmSubscriptionResponse/>",
            };
            seen.lock().unwrap().push(line);
            let answer =
                format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    asked
}

struct Scene {
    world: World,
    messages: serde_json::Value,
    sim: Sim,
    address: std::net::SocketAddr,
}

impl Scene {
    async fn new(world: World, authority: &Authority) -> Scene {
        let files = [("watchbell.yml", CONFIG), ("ca.pem", &authority.pem())];
        let mut sim = Sim::new(world.clone(), &files);
        let app = sim.start().await;
        let address = app.listen(&["127.0.0.1:9800".parse().unwrap()]).await.unwrap()[0];
        world.clock.sleep(Duration::from_secs(12)).await;
        let messages = serde_json::from_str(include_str!("../../../../testdata/sns/messages.json")).unwrap();
        Scene { world, messages, sim, address }
    }

    /// What is answered to a message.
    async fn post(&self, name: &str) -> String {
        let url: Url = format!("http://{}/sink", self.address).parse().unwrap();
        let mut request = Request::post(url, self.messages[name].to_string());
        request = request.header("content-type", "text/plain; charset=UTF-8");
        request = request.header("x-amz-sns-message-type", self.messages[name]["Type"].as_str().unwrap());
        let answer = http::send(&self.world.runtime(), request).await.unwrap();
        format!("{} {}", answer.status, String::from_utf8_lossy(&answer.body))
    }

    fn firing(&self) -> Vec<String> {
        let alerts = self.sim.app().alerts.alerts();
        alerts.iter().map(|it| it.alert.labels.get("source").unwrap_or_default().to_owned()).collect()
    }
}

#[test]
fn a_topic_is_subscribed_and_its_messages_are_taken_once() {
    sim::run(1, |world| async move {
        let authority = Authority::new();
        let asked = sns(&world, &authority);
        let mut scene = Scene::new(world, &authority).await;
        let confirmed = scene.post("confirm").await;
        assert_eq!(confirmed, r#"200 {"alerts":0,"status":"success","warnings":["the subscription is confirmed"]}"#);
        let asked = || asked.lock().unwrap().clone();
        assert!(
            asked()[1].contains("Action=ConfirmSubscription") && asked()[1].contains("Token=t0k3n"),
            "{:?}",
            asked()
        );
        assert_eq!(scene.post("alarm").await, r#"200 {"alerts":1,"status":"success","warnings":[]}"#);
        assert_eq!(scene.firing(), ["cloudwatch/disk"]);
        let again = r#"200 {"alerts":0,"status":"success","warnings":["it was here before"]}"#;
        assert_eq!(scene.post("alarm").await, again);
        assert_eq!(scene.post("ok").await, r#"200 {"alerts":1,"status":"success","warnings":[]}"#);
        assert_eq!(scene.firing(), Vec::<String>::new());
        // Or it would come back by a message that was sent once more.
        assert_eq!(scene.post("alarm").await, again);
        assert_eq!(scene.post("text").await, r#"200 {"alerts":1,"status":"success","warnings":[]}"#);
        assert_eq!(scene.firing(), ["sns/alarms"]);
        assert_eq!(asked().len(), 2, "the certificate is fetched once");
        scene.sim.stop().await;
    });
}

#[test]
fn what_is_not_of_sns_is_refused_and_nothing_is_fetched_for_it() {
    sim::run(1, |world| async move {
        let authority = Authority::new();
        let asked = sns(&world, &authority);
        let mut scene = Scene::new(world, &authority).await;
        for name in ["other_topic", "old", "other_host"] {
            assert!(scene.post(name).await.starts_with("403 "), "{name}");
        }
        assert_eq!(asked.lock().unwrap().len(), 0);
        for name in ["changed", "subject_added", "other_version", "confirm_elsewhere"] {
            let answer = scene.post(name).await;
            assert!(answer.starts_with("403 "), "{name}: {answer}");
        }
        let asked = asked.lock().unwrap().clone();
        assert!(asked.len() == 4 && asked.iter().all(|line| line.contains(".pem")), "{asked:?}");
        assert_eq!(scene.firing(), Vec::<String>::new());
        scene.sim.stop().await;
    });
}

#[test]
fn while_its_certificate_cannot_be_fetched_sns_is_asked_to_try_again() {
    sim::run(1, |world| async move {
        let authority = Authority::new();
        let mut scene = Scene::new(world.clone(), &authority).await;
        assert!(scene.post("alarm").await.starts_with("503 "));
        sns(&world, &authority);
        assert!(scene.post("alarm").await.starts_with("200 "));
        assert_eq!(scene.firing(), ["cloudwatch/disk"]);
        scene.sim.stop().await;
    });
}
