//! Chromium's DevTools protocol over a pipe: JSON messages that end in a zero byte.
//!
//! Invariants: whatever waits here may be given up at any moment and nothing is lost or cut in half; no message is longer
//! than [`MESSAGE_BYTES_MAX`].

use std::time::Duration;

use bytes::BytesMut;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use watchbell_runtime::{Clock, Stream};

use super::watched::Watched;

/// The longest message that is taken; pictures are the longest.
const MESSAGE_BYTES_MAX: usize = 16 << 20;

/// Why a command has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    /// The browser is gone, or says what nobody understands.
    #[error("{0}")]
    Gone(String),
    /// It says no.
    #[error("the browser refuses `{command}`: {reason}")]
    Refused { command: String, reason: String },
}

/// A talk with a browser, about one page of it.
pub(super) struct Talk<'a> {
    stream: &'a mut Stream,
    clock: Clock,
    heard: BytesMut,
    to_say: BytesMut,
    last: u64,
    session: Option<String>,
    /// What it told of the page.
    pub(super) watched: Watched,
}

impl Talk<'_> {
    pub(super) fn new(stream: &mut Stream, clock: Clock) -> Talk<'_> {
        let (heard, to_say) = (BytesMut::new(), BytesMut::new());
        Talk { stream, clock, heard, to_say, last: 0, session: None, watched: Watched::default() }
    }

    /// Opens an empty page, and has all that becomes of it told.
    pub(super) async fn begin(&mut self, verify: bool) -> Result<(), Fault> {
        let made = self.call("Target.createTarget", json!({"url": "about:blank"})).await?;
        let target = made["targetId"].as_str().unwrap_or_default().to_owned();
        let attached = self.call("Target.attachToTarget", json!({"targetId": target, "flatten": true})).await?;
        self.call("Browser.setDownloadBehavior", json!({"behavior": "deny"})).await?;
        self.session = Some(attached["sessionId"].as_str().unwrap_or_default().to_owned());
        self.watched = Watched::of(&target);
        for part in ["Page", "Runtime", "Network", "Log", "Inspector"] {
            self.call(&format!("{part}.enable"), json!({})).await?;
        }
        self.call("Page.setLifecycleEventsEnabled", json!({"enabled": true})).await?;
        if !verify {
            self.call("Security.setIgnoreCertificateErrors", json!({"ignore": true})).await?;
        }
        Ok(())
    }

    /// Gives a command and waits for its answer; takes in meanwhile what else is told.
    pub(super) async fn call(&mut self, command: &str, parameters: Value) -> Result<Value, Fault> {
        let id = self.give(command, parameters);
        loop {
            let mut message = self.next().await?;
            if message["id"].as_u64() != Some(id) {
                self.take_in(&message);
                continue;
            }
            return match message.get("error") {
                Some(error) => Err(Fault::Refused {
                    command: command.to_owned(),
                    reason: error["message"].as_str().unwrap_or_default().to_owned(),
                }),
                None => Ok(message["result"].take()),
            };
        }
    }

    /// Takes in what is told until something of it, or for so long.
    pub(super) async fn listen(&mut self, time: Duration, until: impl Fn(&Watched) -> bool) -> Result<(), Fault> {
        let clock = self.clock.clone();
        let end = clock.monotonic() + time;
        while !until(&self.watched) {
            match clock.timeout(end.saturating_sub(clock.monotonic()), self.next()).await {
                Ok(message) => {
                    let message = message?;
                    self.take_in(&message);
                }
                Err(_) => break,
            }
        }
        Ok(())
    }

    fn take_in(&mut self, message: &Value) {
        let Some(event) = message["method"].as_str() else { return };
        if self.watched.take_in(event, &message["params"]) {
            // A page that waits for an answer does nothing else; nobody reads what becomes of this.
            self.give("Page.handleJavaScriptDialog", json!({"accept": true}));
        }
    }

    /// Puts a command among those to be sent; gives its number.
    fn give(&mut self, command: &str, parameters: Value) -> u64 {
        self.last += 1;
        let mut message = json!({"id": self.last, "method": command, "params": parameters});
        if let Some(session) = &self.session {
            message["sessionId"] = session.as_str().into();
        }
        self.to_say.extend_from_slice(message.to_string().as_bytes());
        self.to_say.extend_from_slice(&[0]);
        self.last
    }

    /// The next message, after all that is to be sent was sent.
    async fn next(&mut self) -> Result<Value, Fault> {
        let broken = |error: std::io::Error| Fault::Gone(format!("the browser is gone: {error}"));
        // How much was looked at in vain.
        let mut looked = 0;
        loop {
            while !self.to_say.is_empty() {
                if self.stream.write_buf(&mut self.to_say).await.map_err(broken)? == 0 {
                    return Err(Fault::Gone("the browser is gone".into()));
                }
            }
            if let Some(end) = self.heard[looked..].iter().position(|byte| *byte == 0) {
                let message = self.heard.split_to(looked + end + 1);
                let message = &message[..looked + end];
                return serde_json::from_slice(message)
                    .map_err(|error| Fault::Gone(format!("the browser does not speak as browsers do: {error}")));
            }
            looked = self.heard.len();
            if looked > MESSAGE_BYTES_MAX {
                return Err(Fault::Gone(format!("the browser says more than {MESSAGE_BYTES_MAX} bytes at once")));
            }
            self.heard.reserve(64 << 10);
            if self.stream.read_buf(&mut self.heard).await.map_err(broken)? == 0 {
                return Err(Fault::Gone("the browser ended".into()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use watchbell_runtime::sim;

    use super::*;

    /// What comes of a talk with a browser that says these bytes, in pieces, and what it heard.
    fn talk<T: Send + 'static>(
        says: &'static [u8],
        piece: usize,
        run: impl AsyncFnOnce(&mut Talk<'_>) -> T + 'static,
    ) -> (T, String) {
        sim::run(1, |world| async move {
            let (near, mut far) = tokio::io::duplex(64);
            let browser = async {
                for bytes in says.chunks(piece) {
                    far.write_all(bytes).await.unwrap();
                }
                let mut heard = String::new();
                let _ = far.read_to_string(&mut heard).await;
                heard.replace('\0', "\n")
            };
            let ours = async {
                let mut stream: Stream = Box::new(near);
                let said = run(&mut Talk::new(&mut stream, world.clock.clone())).await;
                drop(stream);
                said
            };
            tokio::join!(biased; ours, browser)
        })
    }

    #[test]
    fn answers_are_told_from_events_wherever_messages_are_cut() {
        let says =
            b"{\"method\":\"Inspector.targetCrashed\",\"params\":{}}\0{\"id\":9}\0{\"id\":1,\"result\":{\"a\":2}}\0";
        for piece in [1, 7, 64] {
            let ((result, crashed), heard) = talk(says, piece, async |talk| {
                let result = talk.call("A.b", json!({"c": 1})).await;
                (result, talk.watched.crashed)
            });
            assert_eq!((result, crashed), (Ok(json!({"a": 2})), true));
            assert_eq!(heard, "{\"id\":1,\"method\":\"A.b\",\"params\":{\"c\":1}}\n");
        }
    }

    #[test]
    fn a_refusal_and_nonsense_are_told_in_words() {
        let said = |says| talk(says, 64, async |talk| talk.call("A.b", json!({})).await.unwrap_err().to_string()).0;
        assert_eq!(said(b"{\"id\":1,\"error\":{\"message\":\"no\"}}\0"), "the browser refuses `A.b`: no");
        assert!(said(b"oh\0").starts_with("the browser does not speak as browsers do: "));
    }

    #[test]
    fn who_gave_up_listening_goes_on_where_it_was() {
        let says = b"{\"method\":\"Inspector.targetCrashed\",\"params\":{}}\0{\"id\":1,\"result\":{}}\0";
        let (result, _) = talk(says, 3, async |talk| {
            for _ in 0..5 {
                talk.listen(Duration::ZERO, |_| false).await?;
            }
            talk.call("A.b", json!({})).await
        });
        assert_eq!(result, Ok(json!({})));
    }

    #[test]
    fn dialogs_are_accepted() {
        let says = b"{\"method\":\"Page.javascriptDialogOpening\",\"params\":{\"message\":\"Really?\"}}\0{\"id\":1,\"result\":{}}\0";
        let (_, heard) = talk(says, 64, async |talk| talk.call("A.b", json!({})).await);
        assert!(heard.contains("{\"id\":2,\"method\":\"Page.handleJavaScriptDialog\",\"params\":{\"accept\":true}}"));
    }
}
