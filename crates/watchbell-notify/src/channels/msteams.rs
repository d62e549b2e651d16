//! Microsoft Teams through a connector of the old kind: a message card.
//!
//! Microsoft is switching these off; a workflow takes their place (`msteamsv2_configs`).

use std::path::PathBuf;

use serde_json::{Value, json};
use watchbell_model::{Path, Problems, Secret};
use watchbell_runtime::Disk;

use super::msteamsv2::{card_links, card_text};
use super::picture::{self, Shows};
use super::{
    Attempt, Channel, Draft, Outgoing, Rendered, VerdictKind, address_of, check_address, check_templates, color,
    http_channel, markdown_escaped, said, secret_of, worded,
};
use crate::config;
use crate::cut::{Unit, cut, cut_as, one_line};
use crate::template_data::Templates;

/// A message is at most 28 KB, written as JSON.
const TITLE_MAX: usize = 1000;
const UNIT: Unit = Unit::Bytes;

http_channel! {
    /// A Microsoft Teams connector of the old kind.
    pub struct MsteamsConfig {
        /// The connector's address; whoever has it can post, so take it from a secret: `${secret:name}`.
        #[serde(default)]
        pub webhook_url: Option<Secret>,
        /// A file that holds it.
        #[serde(default)]
        pub webhook_url_file: Option<PathBuf>,
        /// Title in Go's template language over Alertmanager's data; unless given: severity, what is wrong, how many more.
        #[serde(default)]
        pub title: Option<String>,
        /// What a notification shows, in the same language; unless given, the title.
        #[serde(default)]
        pub summary: Option<String>,
        /// Text in the same language, with Markdown; unless given: what, since when, where, what else.
        #[serde(default)]
        pub text: Option<String>,
        /// Whether the card shows a picture of the graph, drawn by watchbell, by a signed link; `site.url` must be an
        /// address that Microsoft reaches.
        #[serde(default)]
        pub picture: Option<bool>,
    }
}

impl Channel for MsteamsConfig {
    fn kind(&self) -> &'static str {
        "msteams"
    }

    fn files_mut(&mut self) -> Vec<&mut PathBuf> {
        self.webhook_url_file.iter_mut().collect()
    }

    fn check(&self, templates: &Templates, path: &Path, problems: &mut Problems) {
        let hint = "Microsoft switches connectors off: make a workflow and use `msteamsv2_configs`";
        check_address("webhook_url", &self.webhook_url, &self.webhook_url_file, hint, path, problems);
        check_templates(
            [("title", &self.title), ("summary", &self.summary), ("text", &self.text)],
            templates,
            path,
            problems,
        );
    }

    fn render(&self, draft: &Draft<'_>) -> Rendered {
        let page = draft.page;
        let mut errors = Vec::new();
        let title = one_line(&worded(self.title.as_deref(), &page.title, draft, &mut errors));
        let summary = one_line(&worded(self.summary.as_deref(), &title, draft, &mut errors));
        let open =
            |(label, url)| json!({"@type": "OpenUri", "name": label, "targets": [{"os": "default", "uri": url}]});
        let actions: Vec<Value> = card_links(page).map(open).collect();
        let mut body = json!({
            "@context": "https://schema.org/extensions",
            "@type": "MessageCard",
            "title": cut_as(&title, TITLE_MAX, UNIT, markdown_escaped),
            "summary": cut(&summary, TITLE_MAX, UNIT),
            "text": card_text(said(&self.text, draft, &mut errors), page),
            "themeColor": format!("{:06x}", color(page)),
            "potentialAction": actions,
        });
        if let Some(url) = &page.picture_url {
            body["sections"] = json!([{"images": [{"image": url, "title": picture::ALT}]}]);
        }
        Rendered::json(&body, errors)
    }

    fn send(&self, rendered: &Rendered, attempt: &Attempt<'_>) -> Result<Vec<Outgoing>, String> {
        let url = address_of(attempt.disk, "webhook_url", &self.webhook_url, &self.webhook_url_file)?;
        Ok(vec![rendered.post(url)])
    }

    /// The connector answers `1`, and where Teams behind it did not take the page, says so with status 200 in words that
    /// hold the real status.
    fn judge(&self, body: &str) -> VerdictKind {
        let Some((_, status)) = body.split_once("HTTP error ") else { return VerdictKind::Accepted };
        let status: String = status.chars().take_while(char::is_ascii_digit).collect();
        match status.parse().unwrap_or(0_u16) {
            // 412 is what it says of too many requests at times.
            0 | 408 | 412 | 429 | 500.. => VerdictKind::Retry(None),
            _ => VerdictKind::Refused,
        }
    }

    /// Four requests a second.
    fn pace(&self) -> Option<super::Pace> {
        Some(super::Pace { burst: 4, every: std::time::Duration::from_millis(250) })
    }

    fn picture(&self) -> Shows {
        Shows::given(self.picture, false, Shows::Linked)
    }

    fn secrets(&self, disk: &Disk) -> Vec<Secret> {
        config::url_secrets(&secret_of(disk, &self.webhook_url, &self.webhook_url_file))
    }
}
