//! Goes through the steps, and says what was seen in place of what should be there.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use watchbell_model::Url;
use watchbell_runtime::Clock;

use super::super::dialogue::shown;
use super::super::http::status_words;
use super::config::{BrowserConfig, FillConfig, Step};
use super::keys;
use super::protocol::{Fault, Talk};
use super::proxy::Proxy;
use super::watched::Watched;

/// What asks the page; see there.
const PAGE: &str = include_str!("page.js");
/// Time between two looks at a page that is not yet as it should be.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// How long it may take until it shows that a click or a key leads to another page.
const LEADS_AWAY: Duration = Duration::from_millis(100);
/// Longer than any probe.
const WITHOUT_END: Duration = Duration::from_secs(86_400);

/// Why a step did not work.
pub(super) enum Stop {
    /// The page is not as it should be.
    Failed(String),
    /// The browser does not do what it is told.
    Fault(Fault),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Stop {
        Stop::Fault(fault)
    }
}

/// A step that was done, or begun.
pub(super) struct Took {
    pub(super) kind: &'static str,
    pub(super) time: Duration,
}

/// A visit of a site under way.
pub(super) struct Visit<'a> {
    pub(super) talk: Talk<'a>,
    config: &'a BrowserConfig,
    proxy: &'a Proxy,
    clock: Clock,
    /// How long the steps took, up to the one that failed.
    pub(super) took: Vec<Took>,
    /// The step under way, and since when.
    step: Option<(Step<'a>, Duration)>,
    /// Why it does not go on.
    hindrance: Option<String>,
}

impl<'a> Visit<'a> {
    pub(super) fn new(talk: Talk<'a>, config: &'a BrowserConfig, proxy: &'a Proxy, clock: Clock) -> Visit<'a> {
        Visit { talk, config, proxy, clock, took: Vec::new(), step: None, hindrance: None }
    }

    /// Goes through all steps.
    pub(super) async fn go(&mut self) -> Result<(), Stop> {
        let config = self.config;
        for step in config.steps.iter().filter_map(|step| step.given().first().copied()) {
            self.step = Some((step, self.clock.monotonic()));
            self.hindrance = None;
            self.take(step).await?;
            self.over();
        }
        Ok(())
    }

    /// The step is over, well or not.
    pub(super) fn over(&mut self) {
        if let Some((step, begun)) = self.step.take() {
            self.took.push(Took { kind: step.kind(), time: self.clock.monotonic() - begun });
        }
    }

    /// What is being done, in words; nothing before the first step.
    pub(super) fn place(&self) -> Option<String> {
        let (step, _) = self.step?;
        Some(format!("step {}, {} `{}`", self.took.len() + 1, step.kind(), shown(step.subject())))
    }

    /// What keeps the step under way from its end.
    pub(super) fn hindrance(&self) -> String {
        let watched = &self.talk.watched;
        match (watched.asks, watched.loaded, watched.waits_for(), &self.hindrance) {
            (true, ..) => format!("{} is not answered", watched.asked),
            (_, false, Some(url), _) => format!("the page is not loaded, {url} is missing"),
            (.., Some(words)) => words.clone(),
            _ => "the page does not answer (a script may run without end)".to_owned(),
        }
    }

    async fn take(&mut self, step: Step<'_>) -> Result<(), Stop> {
        match step {
            Step::Open(url) => self.open(url).await,
            Step::Click(selector) => self.click(selector).await,
            Step::Fill(fill) => self.fill(fill).await,
            Step::Press(key) => self.press(key).await,
            Step::Wait(selector) => self.until("visible", selector, "", |_| None).await.map(drop),
            Step::Expect(expect) => {
                let judge = |seen: &Value| {
                    let text = seen["text"].as_str().unwrap_or_default();
                    let lacks = !text.contains(&expect.text);
                    lacks.then(|| format!("expected `{}`, but it says `{}`", shown(&expect.text), shown(text)))
                };
                self.until("text", &expect.selector, "", judge).await.map(drop)
            }
            Step::ExpectText(text) => {
                let judge = |seen: &Value| {
                    let lacks = seen["contains"] != true;
                    lacks.then(|| format!("the page says `{}`", one_line(seen["text"].as_str().unwrap_or_default())))
                };
                self.until("contains", text, "", judge).await.map(drop)
            }
            Step::ExpectTitle(text) => self.about("title", text).await,
            Step::ExpectUrl(text) => self.about("url", text).await,
            Step::Script(expression) => self.script(expression).await,
        }
    }

    async fn open(&mut self, url: &Url) -> Result<(), Stop> {
        let before = self.talk.watched.document.clone();
        let done = self.talk.call("Page.navigate", json!({"url": url.as_str()})).await?;
        if let Some(error) = done["errorText"].as_str() {
            return Err(Stop::Failed(self.error_words(error)));
        }
        // Without a new document it was a place on the same page.
        if done["loaderId"].is_string() {
            let is_there = |page: &Watched| page.crashed || (page.loaded && page.document != before);
            self.talk.listen(WITHOUT_END, is_there).await?;
        }
        self.not_crashed()?;
        match self.talk.watched.status {
            Some(status @ 400..) => Err(Stop::Failed(format!("the server answered {}", status_words(status)))),
            _ => Ok(()),
        }
    }

    async fn click(&mut self, selector: &str) -> Result<(), Stop> {
        let place = self.until("place", selector, "", |_| None).await?;
        for (kind, button, count) in
            [("mouseMoved", "none", 0), ("mousePressed", "left", 1), ("mouseReleased", "left", 1)]
        {
            let event = json!({"type": kind, "x": place["x"], "y": place["y"], "button": button, "clickCount": count});
            self.talk.call("Input.dispatchMouseEvent", event).await?;
        }
        self.settle().await
    }

    async fn fill(&mut self, fill: &FillConfig) -> Result<(), Stop> {
        let value = fill.value.expose();
        let seen = self.until("fill", &fill.selector, value, |_| None).await?;
        if seen["done"] == true {
            return Ok(());
        }
        if value.is_empty() {
            return self.strike("Delete").await;
        }
        self.talk.call("Input.insertText", json!({"text": value})).await?;
        Ok(())
    }

    async fn press(&mut self, key: &str) -> Result<(), Stop> {
        self.strike(key).await?;
        self.settle().await
    }

    async fn strike(&mut self, name: &str) -> Result<(), Stop> {
        let mut down = keys::key(name).ok_or_else(|| Stop::Failed("there is no such key".into()))?;
        let mut up = down.clone();
        // What types nothing is a key that goes down, and no more.
        down["type"] = if down["text"] == "" { "rawKeyDown" } else { "keyDown" }.into();
        up["type"] = "keyUp".into();
        up["text"] = "".into();
        self.talk.call("Input.dispatchKeyEvent", down).await?;
        self.talk.call("Input.dispatchKeyEvent", up).await?;
        Ok(())
    }

    /// Waits for the page that a click or a key leads to, if it leads to one.
    async fn settle(&mut self) -> Result<(), Stop> {
        self.talk.listen(LEADS_AWAY, |page| page.crashed || page.asks).await?;
        self.talk.listen(WITHOUT_END, |page| page.crashed || (!page.asks && page.loaded)).await?;
        self.not_crashed()
    }

    async fn about(&mut self, what: &'static str, text: &str) -> Result<(), Stop> {
        let judge = |seen: &Value| {
            let have = seen[what].as_str().unwrap_or_default();
            let name = if what == "url" { "address" } else { what };
            (!have.contains(text)).then(|| format!("the {name} is `{}`", shown(have)))
        };
        self.until("about", "", "", judge).await.map(drop)
    }

    async fn script(&mut self, expression: &str) -> Result<(), Stop> {
        let asked = json!({"expression": expression, "awaitPromise": true, "userGesture": true});
        let end = self.patience_ends();
        loop {
            let words = match self.talk.call("Runtime.evaluate", asked.clone()).await {
                Ok(seen) => match falsehood(&seen) {
                    None => return Ok(()),
                    Some(words) => words,
                },
                Err(Fault::Refused { .. }) => AWAY.to_owned(),
                Err(fault) => return Err(fault.into()),
            };
            self.wait_on(words, end).await?;
        }
    }

    fn patience_ends(&self) -> Duration {
        self.clock.monotonic() + self.config.patience.duration()
    }

    /// Asks the page again and again until the answer is good, in which case `judge` has nothing to say.
    async fn until(
        &mut self,
        question: &str,
        a: &str,
        b: &str,
        judge: impl Fn(&Value) -> Option<String>,
    ) -> Result<Value, Stop> {
        let end = self.patience_ends();
        loop {
            let seen = self.ask(question, a, b).await?;
            let words = match state_words(&seen) {
                None => match judge(&seen) {
                    None => return Ok(seen),
                    Some(words) => words,
                },
                Some(words) if seen["state"] == "bad" => return Err(Stop::Failed(words)),
                Some(words) => words,
            };
            self.wait_on(words, end).await?;
        }
    }

    /// Waits a little, since what was seen is not good; fails where that was long enough.
    async fn wait_on(&mut self, words: String, end: Duration) -> Result<(), Stop> {
        if self.clock.monotonic() >= end {
            return Err(Stop::Failed(words));
        }
        self.hindrance = Some(words);
        self.talk.listen(LOOK_AGAIN, |page| page.crashed).await?;
        self.not_crashed()
    }

    async fn ask(&mut self, question: &str, a: &str, b: &str) -> Result<Value, Fault> {
        let expression = format!("({PAGE})({}, {}, {})", json!(question), json!(a), json!(b));
        match self.talk.call("Runtime.evaluate", json!({"expression": expression, "returnByValue": true})).await {
            Ok(mut seen) if seen["exceptionDetails"].is_null() => Ok(seen["result"]["value"].take()),
            // A page that replaces what is built in, or is going away.
            Ok(_) | Err(Fault::Refused { .. }) => Ok(json!({"state": "away"})),
            Err(fault) => Err(fault),
        }
    }

    fn not_crashed(&self) -> Result<(), Stop> {
        let words = "the page crashed: it took too much memory, or found a bug of the browser";
        if self.talk.watched.crashed { Err(Stop::Failed(words.into())) } else { Ok(()) }
    }

    /// Why a page could not be had: what the proxy knows of it, or what the browser says.
    fn error_words(&self, error: &str) -> String {
        let host = self.talk.watched.asked.parse::<Url>().map(|url| url.host().to_lowercase()).unwrap_or_default();
        self.proxy.why(&host).unwrap_or_else(|| net_words(error))
    }

    /// Title and address of the page, if it says them.
    pub(super) async fn page(&mut self) -> Option<(String, String)> {
        let seen = self.ask("about", "", "").await.ok()?;
        let (title, url) = (seen["title"].as_str()?, seen["url"].as_str()?);
        url.starts_with("http").then(|| (shown(title), shown(url)))
    }

    /// A picture of the page, as PNG.
    pub(super) async fn picture(&mut self) -> Option<Vec<u8>> {
        let taken = self.talk.call("Page.captureScreenshot", json!({"format": "png"})).await.ok()?;
        STANDARD.decode(taken["data"].as_str()?).ok()
    }
}

const AWAY: &str = "the page is being replaced by another one";

/// What is wrong with an element; nothing if all is well.
fn state_words(seen: &Value) -> Option<String> {
    let by = shown(seen["by"].as_str().unwrap_or_default());
    let words = match seen["state"].as_str().unwrap_or_default() {
        "ok" => return None,
        "bad" => "it is not a selector of CSS".into(),
        "missing" => "there is no such element".into(),
        "hidden" => "the element is there, but not visible".into(),
        "disabled" => "the element is disabled".into(),
        "outside" => "the element lies outside of the window".into(),
        "covered" => format!("`{by}` lies over the element"),
        "readonly" => "the field may not be changed".into(),
        "choice" => "the list has no such choice".into(),
        "field" => format!("`{by}` is no field to type into"),
        _ => AWAY.into(),
    };
    Some(words)
}

/// Why the outcome of an expression is not true; nothing if it is.
fn falsehood(seen: &Value) -> Option<String> {
    if let Some(details) = seen.get("exceptionDetails") {
        let words = details["exception"]["description"].as_str().or(details["text"].as_str()).unwrap_or_default();
        return Some(format!("it throws `{}`", shown(words.lines().next().unwrap_or_default())));
    }
    let result = &seen["result"];
    let is_false = match &result["value"] {
        Value::Null => result["subtype"] == "null" || result["type"] == "undefined",
        Value::Bool(value) => !value,
        Value::Number(value) => value.as_f64() == Some(0.0),
        Value::String(value) => value.is_empty(),
        Value::Array(_) | Value::Object(_) => false,
    };
    let odd = matches!(result["unserializableValue"].as_str(), Some("NaN" | "-0" | "0n"));
    let words = match (&result["value"], result["unserializableValue"].as_str()) {
        (_, Some(odd)) => odd.to_owned(),
        (Value::Null, None) => if result["type"] == "undefined" { "undefined" } else { "null" }.to_owned(),
        (value, None) => value.to_string(),
    };
    (is_false || odd).then(|| format!("it is `{words}`"))
}

/// Chromium's names of the errors that people meet, in words.
fn net_words(error: &str) -> String {
    let words = match error.strip_prefix("net::ERR_").unwrap_or(error) {
        "CERT_DATE_INVALID" => "the certificate has expired, or is not valid yet",
        "CERT_COMMON_NAME_INVALID" => "the certificate is not for this name",
        "CERT_AUTHORITY_INVALID" => "the certificate's issuer is not trusted",
        "CERT_REVOKED" => "the certificate was revoked",
        "SSL_PROTOCOL_ERROR" | "SSL_VERSION_OR_CIPHER_MISMATCH" => "the TLS handshake failed",
        "CONNECTION_RESET" | "CONNECTION_CLOSED" => "the connection broke",
        "EMPTY_RESPONSE" => "the server closed the connection and answered nothing",
        "TOO_MANY_REDIRECTS" => "it leads on and on without end",
        "ABORTED" => "it is nothing that can be shown: a download, or an answer without content",
        "UNSAFE_PORT" => "browsers open no pages at this port",
        "INVALID_RESPONSE" | "INVALID_HTTP_RESPONSE" => "the answer is not HTTP",
        other => return format!("the browser could not open it: {other}"),
    };
    format!("{words} ({error})")
}

/// A text of many lines on one.
fn one_line(text: &str) -> String {
    shown(&text.split_whitespace().collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_true_in_javascript() {
        let words = |result: Value| falsehood(&json!({"result": result})).unwrap_or_else(|| "true".into());
        for yes in [
            json!({"type": "boolean", "value": true}),
            json!({"type": "number", "value": -1}),
            json!({"type": "string", "value": "0"}),
            json!({"type": "object", "className": "HTMLDivElement"}),
            json!({"type": "function"}),
            json!({"type": "number", "unserializableValue": "Infinity"}),
        ] {
            assert_eq!(words(yes.clone()), "true", "{yes}");
        }
        assert_eq!(words(json!({"type": "boolean", "value": false})), "it is `false`");
        assert_eq!(words(json!({"type": "undefined"})), "it is `undefined`");
        assert_eq!(words(json!({"type": "object", "subtype": "null", "value": null})), "it is `null`");
        assert_eq!(words(json!({"type": "number", "unserializableValue": "NaN"})), "it is `NaN`");
        assert_eq!(words(json!({"type": "string", "value": ""})), "it is `\"\"`");
        let thrown =
            json!({"exceptionDetails": {"text": "Uncaught", "exception": {"description": "Error: no\n at x"}}});
        assert_eq!(falsehood(&thrown).unwrap(), "it throws `Error: no`");
    }
}
