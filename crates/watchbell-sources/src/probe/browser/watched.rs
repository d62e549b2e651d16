//! What became of a page, put together from what the browser tells. Pure.
//!
//! Invariant: however much a page does, no more is kept than the bounds say.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::dialogue::shown;

/// Console errors whose words are kept; all are counted.
const ERRORS_MAX: usize = 3;
/// Requests under way that are remembered.
const UNDER_WAY_MAX: usize = 1000;

/// What became of a page.
#[derive(Debug, Default)]
pub(super) struct Watched {
    /// The page's own frame; those inside of it do not count.
    frame: String,
    /// The document that is there, by the browser's name for it.
    pub(super) document: String,
    /// Whether it and all it needs is loaded.
    pub(super) loaded: bool,
    /// The request for the latest document, and the answer to it.
    request: String,
    pub(super) status: Option<u16>,
    /// Where that request went last, and whether it is not answered yet.
    pub(super) asked: String,
    pub(super) asks: bool,
    /// Addresses of requests under way, by their number.
    under_way: BTreeMap<String, String>,
    /// The first console errors, and how many there were.
    pub(super) errors: Vec<String>,
    pub(super) error_count: usize,
    /// What the page asked in a dialog last.
    pub(super) dialog: Option<String>,
    /// Whether the page has crashed.
    pub(super) crashed: bool,
}

impl Watched {
    /// Of the page with this frame.
    pub(super) fn of(frame: &str) -> Watched {
        Watched { frame: frame.to_owned(), ..Watched::default() }
    }

    /// One of the addresses that are still waited for.
    pub(super) fn waits_for(&self) -> Option<&str> {
        self.under_way.values().next().map(String::as_str)
    }

    /// Takes in an event; `true` if a dialog is to be answered.
    pub(super) fn take_in(&mut self, event: &str, it: &Value) -> bool {
        let text = |field: &str| it[field].as_str().unwrap_or_default();
        match event {
            "Network.requestWillBeSent" => {
                let (id, url) = (text("requestId"), it["request"]["url"].as_str().unwrap_or_default());
                if text("type") == "Document" && text("frameId") == self.frame {
                    (self.request, self.status) = (id.to_owned(), None);
                    (self.asked, self.asks) = (shown(url), true);
                }
                if self.under_way.len() < UNDER_WAY_MAX {
                    self.under_way.insert(id.to_owned(), shown(url));
                }
            }
            "Network.responseReceived" if text("requestId") == self.request => {
                self.status = it["response"]["status"].as_u64().and_then(|status| u16::try_from(status).ok());
                self.asks = false;
            }
            "Network.loadingFinished" | "Network.loadingFailed" => {
                self.under_way.remove(text("requestId"));
                if text("requestId") == self.request {
                    self.asks = false;
                }
            }
            "Page.frameNavigated" if it["frame"]["id"].as_str() == Some(self.frame.as_str()) => {
                self.document = it["frame"]["loaderId"].as_str().unwrap_or_default().to_owned();
                self.loaded = false;
            }
            "Page.lifecycleEvent"
                if text("name") == "load" && text("frameId") == self.frame && text("loaderId") == self.document =>
            {
                self.loaded = true;
            }
            "Runtime.exceptionThrown" => {
                let details = &it["exceptionDetails"];
                let words = details["exception"]["description"].as_str().or(details["text"].as_str());
                // What follows the first line is the stack.
                let words = words.and_then(|words| words.lines().next()).unwrap_or_default();
                let line = details["lineNumber"].as_u64().map(|line| line + 1);
                self.error(words, details["url"].as_str(), line);
            }
            "Runtime.consoleAPICalled" if matches!(text("type"), "error" | "assert") => {
                let words = |it: &Value| match &it["value"] {
                    Value::Null => it["description"].as_str().and_then(|words| words.lines().next()).map(str::to_owned),
                    Value::String(words) => Some(words.clone()),
                    other => Some(other.to_string()),
                };
                let words: Vec<String> = it["args"].as_array().into_iter().flatten().filter_map(words).collect();
                let at = &it["stackTrace"]["callFrames"][0];
                self.error(&words.join(" "), at["url"].as_str(), at["lineNumber"].as_u64().map(|line| line + 1));
            }
            "Log.entryAdded" if it["entry"]["level"].as_str() == Some("error") => {
                let (words, url) = (it["entry"]["text"].as_str().unwrap_or_default(), it["entry"]["url"].as_str());
                // Browsers ask for that on their own.
                if !url.is_some_and(|url| url.ends_with("/favicon.ico")) {
                    self.error(words, url, None);
                }
            }
            "Page.javascriptDialogOpening" => {
                self.dialog = Some(shown(text("message")));
                return true;
            }
            "Inspector.targetCrashed" => self.crashed = true,
            _ => {}
        }
        false
    }

    fn error(&mut self, words: &str, url: Option<&str>, line: Option<u64>) {
        self.error_count += 1;
        if self.errors.len() < ERRORS_MAX {
            let place = url.filter(|url| !url.is_empty()).map(|url| {
                let line = line.map(|line| format!(":{line}")).unwrap_or_default();
                format!(" ({}{line})", shown(url))
            });
            self.errors.push(format!("`{}`{}", shown(words), place.unwrap_or_default()));
        }
    }

    /// What the console says, in words; nothing if it says nothing.
    pub(super) fn console(&self) -> Option<String> {
        let words = self.errors.join(", ");
        match self.error_count {
            0 => None,
            1 => Some(format!("the console has an error: {words}")),
            many if many > self.errors.len() => Some(format!("the console has {many} errors, the first: {words}")),
            many => Some(format!("the console has {many} errors: {words}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn request(id: &str, frame: &str, kind: &str, url: &str) -> Value {
        json!({"requestId": id, "frameId": frame, "type": kind, "request": {"url": url}})
    }

    #[test]
    fn the_document_counts_and_not_what_stands_in_it() {
        let mut page = Watched::of("F");
        let document = |frame: &str, id: &str| json!({"frame": {"id": frame, "loaderId": id}});
        let load = |frame: &str, id: &str| json!({"frameId": frame, "loaderId": id, "name": "load"});
        page.take_in("Network.requestWillBeSent", &request("1", "F", "Document", "http://a.example/"));
        assert_eq!((page.asks, page.asked.as_str()), (true, "http://a.example/"));
        page.take_in("Network.responseReceived", &json!({"requestId": "1", "response": {"status": 200}}));
        page.take_in("Network.requestWillBeSent", &request("2", "G", "Document", "http://a.example/inner"));
        page.take_in("Network.responseReceived", &json!({"requestId": "2", "response": {"status": 500}}));
        page.take_in("Page.frameNavigated", &document("F", "L1"));
        page.take_in("Page.frameNavigated", &document("G", "L2"));
        page.take_in("Page.lifecycleEvent", &load("G", "L2"));
        assert_eq!((page.status, page.loaded, page.asks), (Some(200), false, false));
        page.take_in("Network.loadingFinished", &json!({"requestId": "1"}));
        assert_eq!(page.waits_for(), Some("http://a.example/inner"));
        page.take_in("Network.loadingFailed", &json!({"requestId": "2"}));
        page.take_in("Page.lifecycleEvent", &load("F", "L1"));
        assert_eq!((page.loaded, page.waits_for()), (true, None));
        page.take_in("Network.requestWillBeSent", &request("3", "F", "Document", "http://a.example/next"));
        page.take_in("Page.frameNavigated", &document("F", "L3"));
        page.take_in("Page.lifecycleEvent", &load("F", "L1"));
        assert_eq!((page.status, page.loaded), (None, false));
    }

    #[test]
    fn errors_are_counted_and_the_first_are_told() {
        let mut page = Watched::of("F");
        assert_eq!(page.console(), None);
        let thrown = json!({"exceptionDetails": {"text": "Uncaught", "lineNumber": 6, "url": "http://a.example/app.js",
            "exception": {"description": "TypeError: x is not a function\n    at app.js:7"}}});
        page.take_in("Runtime.exceptionThrown", &thrown);
        let one = "the console has an error: `TypeError: x is not a function` (http://a.example/app.js:7)";
        assert_eq!(page.console().as_deref(), Some(one));
        let said = json!({"type": "error", "args": [{"value": "oops"}, {"value": 3}, {"description": "Object"}]});
        page.take_in("Runtime.consoleAPICalled", &said);
        page.take_in("Runtime.consoleAPICalled", &json!({"type": "log", "args": [{"value": "fine"}]}));
        let entry = |level: &str, url: &str| json!({"entry": {"level": level, "text": "status of 404", "url": url}});
        page.take_in("Log.entryAdded", &entry("error", "http://a.example/favicon.ico"));
        page.take_in("Log.entryAdded", &entry("warning", "http://a.example/x"));
        assert_eq!((page.error_count, page.errors[1].as_str()), (2, "`oops 3 Object`"));
        for _ in 0..5 {
            page.take_in("Log.entryAdded", &entry("error", "http://a.example/x"));
        }
        assert!(page.console().unwrap().starts_with("the console has 7 errors, the first: `TypeError"));
        assert_eq!(page.errors.len(), 3);
    }

    #[test]
    fn no_page_fills_the_memory() {
        let mut page = Watched::of("F");
        for number in 0..2 * UNDER_WAY_MAX {
            page.take_in("Network.requestWillBeSent", &request(&number.to_string(), "F", "Fetch", "http://a.example/"));
        }
        assert_eq!(page.under_way.len(), UNDER_WAY_MAX);
    }
}
