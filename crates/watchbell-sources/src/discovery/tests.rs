//! Discoveries against a simulated world.

mod amazon;
mod clouds;
mod configurations;
mod containers;
mod files;
mod services;

use std::sync::{Arc, Mutex};

use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use watchbell_model::{Path, Problems};
use watchbell_runtime::{Runtime, Stream};

use super::{Discovery, TargetGroup};

/// What a discovery gives, one target a line, under its group's source and labels.
fn text(groups: &[TargetGroup]) -> String {
    let labels = |labels: &watchbell_model::Labels| {
        labels.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
    };
    let group = |group: &TargetGroup| {
        let targets: String = group.targets.iter().map(|target| format!("  {}\n", labels(target))).collect();
        format!("{} | {}\n{targets}", group.source, labels(&group.labels))
    };
    groups.iter().map(group).collect()
}

async fn told(discovery: &Discovery, runtime: &Runtime) -> String {
    match discovery.targets(runtime).await {
        Ok(groups) => text(&groups),
        Err(error) => format!("error: {error}\n"),
    }
}

fn configured<T: DeserializeOwned>(json: Value) -> T {
    serde_json::from_value(json).expect("it is a configuration")
}

/// All that is wrong, a line each.
fn wrong(check: impl FnOnce(&Path, &mut Problems)) -> String {
    let mut problems = Problems::new();
    check(&Path::root(), &mut problems);
    problems.0.iter().map(|it| format!("{:?} {}: {}\n", it.level, it.path, it.message)).collect()
}

/// What a server was asked.
#[derive(Clone, Debug, Default)]
struct Asked {
    /// Method and path.
    line: String,
    head: String,
    body: String,
}

impl Asked {
    fn header(&self, name: &str) -> &str {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|(have, _)| have.eq_ignore_ascii_case(name)).map_or("", |(_, value)| value)
    }
}

/// What a server answers: a status, a content type, a body.
type Answer = (u16, &'static str, String);

const JSON: &str = "application/json";

/// Answers one request over a connection.
async fn answer(mut stream: Stream, answers: impl Fn(&Asked) -> Answer) {
    let (mut bytes, mut chunk) = (Vec::new(), [0; 4096]);
    let (head, mut body) = loop {
        let Ok(count @ 1..) = stream.read(&mut chunk).await else { return };
        bytes.extend_from_slice(&chunk[..count]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            break (head.to_owned(), body.to_owned());
        }
    };
    let line = head.lines().next().unwrap_or_default();
    let line = line.rsplit_once(' ').map_or(line, |(line, _)| line).to_owned();
    let mut asked = Asked { line, head, body: String::new() };
    let length: usize = asked.header("content-length").parse().unwrap_or_default();
    while body.len() < length {
        let Ok(count @ 1..) = stream.read(&mut chunk).await else { return };
        body.push_str(&String::from_utf8_lossy(&chunk[..count]));
    }
    asked.body = body;
    let (status, kind, body) = answers(&asked);
    let head = format!("HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n", body.len());
    let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
}

/// A server's answers, which a test changes as it goes, and what it was asked.
#[derive(Clone, Default)]
struct Server {
    answers: Arc<Mutex<Vec<(String, Answer)>>>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    /// From now on requests whose line begins so are answered so.
    fn say(&self, line: &str, answer: Answer) {
        self.answers.lock().unwrap().insert(0, (line.to_owned(), answer));
    }

    fn json(&self, line: &str, body: Value) {
        self.say(line, (200, JSON, body.to_string()));
    }

    async fn serve(self, stream: Stream) {
        answer(stream, |asked| {
            self.asked.lock().unwrap().push(asked.clone());
            let answers = self.answers.lock().unwrap();
            let call = [&asked.line, " ", asked.header("x-amz-target"), asked.body.as_str()].concat();
            let found = answers.iter().find(|(line, _)| {
                let (line, word) = line.split_once(" | ").unwrap_or((line, ""));
                asked.line.starts_with(line) && call.contains(word)
            });
            found.map_or((404, "text/plain", "no such thing".into()), |(_, answer)| answer.clone())
        })
        .await;
    }

    /// The request lines so far, which are then forgotten.
    fn lines(&self) -> String {
        std::mem::take(&mut *self.asked.lock().unwrap()).iter().map(|asked| format!("{}\n", asked.line)).collect()
    }
}
