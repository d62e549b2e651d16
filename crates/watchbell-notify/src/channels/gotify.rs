//! Gotify: an application on a server of one's own.

use std::path::PathBuf;

use serde_json::json;
use watchbell_model::{Path, Problems, Secret, Url};
use watchbell_runtime::Disk;
use watchbell_runtime::client::held;

use super::{
    Attempt, Channel, Draft, Outgoing, Rendered, VerdictKind, accepted_with, check_secret, check_templates,
    has_credentials, http_channel, links, loudness, said, secret_of, sign, worded,
};
use crate::config::Priorities;
use crate::cut::{Unit, cut, one_line};
use crate::template_data::Templates;

/// The server has no limits of its own; these keep a phone's notification readable.
const TEXT_MAX: usize = 4096;
const TITLE_MAX: usize = 250;
const LINKS_MAX: usize = 4000;
const UNIT: Unit = Unit::Characters;

http_channel! {
    /// An application on a Gotify server.
    pub struct GotifyConfig {
        /// The server.
        pub url: Url,
        /// The application's token; take it from a secret: `${secret:name}`.
        #[serde(default)]
        pub token: Option<Secret>,
        /// A file that holds it.
        #[serde(default)]
        pub token_file: Option<PathBuf>,
        /// Priority (0 to 10) by severity; from 8 on a phone rings and shows the page on top, from 4 it rings, from 1 it
        /// shows an icon. A resolved page is at most as loud as a warning.
        #[serde(default = "GotifyConfig::default_priorities")]
        pub priorities: Priorities,
        /// Title in Go's template language over Alertmanager's data; unless given: severity, what is wrong, how many more.
        #[serde(default)]
        pub title: Option<String>,
        /// Text in the same language; unless given: what, since when, where, what else.
        #[serde(default)]
        pub message: Option<String>,
        /// Whether `message` is Markdown.
        #[serde(default)]
        pub markdown: bool,
    }
}

impl GotifyConfig {
    fn default_priorities() -> Priorities {
        Priorities { critical: 8, warning: 5, info: 2 }
    }
}

impl Channel for GotifyConfig {
    fn kind(&self) -> &'static str {
        "gotify"
    }

    fn files_mut(&mut self) -> Vec<&mut PathBuf> {
        self.token_file.iter_mut().collect()
    }

    fn check(&self, templates: &Templates, path: &Path, problems: &mut Problems) {
        let hint = "make an application on the server; it shows the token";
        check_secret("token", &self.token, &self.token_file, Some(hint), path, problems);
        if has_credentials(self.http_config.as_ref()) {
            problems
                .error(path, "there are other credentials in `http_config` beside `token`")
                .hint("keep one of them");
        }
        self.priorities.check(0..=10, &path.field("priorities"), problems);
        check_templates([("title", &self.title), ("message", &self.message)], templates, path, problems);
    }

    fn render(&self, draft: &Draft<'_>) -> Rendered {
        let page = draft.page;
        let mut errors = Vec::new();
        let title = one_line(&worded(self.title.as_deref(), &page.title, draft, &mut errors));
        let (text, markdown) = match said(&self.message, draft, &mut errors) {
            Some(text) => (text, self.markdown),
            None => (page.text.clone(), false),
        };
        let break_ = if markdown { "\n\n" } else { "\n" };
        let links = links(page, LINKS_MAX, UNIT, break_, |label, url| format!("{label}: {url}"));
        let body = json!({
            "title": cut(&format!("{} {title}", sign(page)), TITLE_MAX, UNIT),
            "message": format!("{}{break_}{links}", cut(&text, TEXT_MAX, UNIT)),
            "priority": self.priorities.of(loudness(page)),
            "extras": {
                "client::display": {"contentType": if markdown { "text/markdown" } else { "text/plain" }},
                "client::notification": {"click": {"url": page.runbook_url}},
            },
        });
        Rendered::json(&body, errors)
    }

    fn send(&self, rendered: &Rendered, attempt: &Attempt<'_>) -> Result<Vec<Outgoing>, String> {
        let url: Url = self.url.join("message").parse().map_err(|_| "`url` is not a web address")?;
        let token = held(attempt.disk, &self.token, &self.token_file)?;
        let request = rendered.request(url, rendered.body.clone());
        Ok(vec![Outgoing::Http(Box::new(request.header("X-Gotify-Key", token)))])
    }

    fn judge(&self, body: &str) -> VerdictKind {
        accepted_with("id", body)
    }

    fn secrets(&self, disk: &Disk) -> Vec<Secret> {
        vec![secret_of(disk, &self.token, &self.token_file)]
    }
}
