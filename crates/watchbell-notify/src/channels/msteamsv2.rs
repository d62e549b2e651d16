//! Microsoft Teams through a workflow that posts what its webhook receives: an adaptive card.

use std::path::PathBuf;

use serde_json::{Value, json};
use watchbell_model::{Path, Problems, Secret, Severity};
use watchbell_runtime::Disk;

use super::picture::{self, Shows};
use super::{
    Attempt, Channel, Draft, Outgoing, Rendered, address_of, check_address, check_templates, http_channel,
    markdown_escaped, said, secret_of, worded,
};
use crate::config;
use crate::cut::{Unit, cut, cut_as, one_line};
use crate::page::Page;
use crate::template_data::Templates;

/// A message is at most 28 KB, written as JSON; these leave room for quotes and links.
const TEXT_MAX: usize = 10_000;
const TITLE_MAX: usize = 1000;
/// A link that is longer is left out; the other one leads to the same.
const URL_MAX: usize = 2000;
const UNIT: Unit = Unit::Bytes;

http_channel! {
    /// A Microsoft Teams workflow ("Post to a channel when a webhook request is received").
    pub struct Msteamsv2Config {
        /// The workflow's address; whoever has it can post, so take it from a secret: `${secret:name}`.
        #[serde(default)]
        pub webhook_url: Option<Secret>,
        /// A file that holds it.
        #[serde(default)]
        pub webhook_url_file: Option<PathBuf>,
        /// Title in Go's template language over Alertmanager's data; unless given: severity, what is wrong, how many more.
        #[serde(default)]
        pub title: Option<String>,
        /// Text in the same language, with Markdown; unless given: what, since when, where, what else.
        #[serde(default)]
        pub text: Option<String>,
        /// Whether the card shows a picture of the graph, drawn by watchbell, by a signed link; `site.url` must be an
        /// address that Microsoft reaches.
        #[serde(default)]
        pub picture: Option<bool>,
    }
}

impl Channel for Msteamsv2Config {
    fn kind(&self) -> &'static str {
        "msteamsv2"
    }

    fn files_mut(&mut self) -> Vec<&mut PathBuf> {
        self.webhook_url_file.iter_mut().collect()
    }

    fn check(&self, templates: &Templates, path: &Path, problems: &mut Problems) {
        let hint = "make a workflow in Teams that posts to a channel when a webhook request is received; it shows one";
        check_address("webhook_url", &self.webhook_url, &self.webhook_url_file, hint, path, problems);
        check_templates([("title", &self.title), ("text", &self.text)], templates, path, problems);
    }

    fn render(&self, draft: &Draft<'_>) -> Rendered {
        let page = draft.page;
        let mut errors = Vec::new();
        let title = one_line(&worded(self.title.as_deref(), &page.title, draft, &mut errors));
        let text = card_text(said(&self.text, draft, &mut errors), page);
        let style = match (page.is_resolved(), page.severity) {
            (true, _) => "good",
            (_, Severity::Critical) => "attention",
            (_, Severity::Warning) => "warning",
            (_, Severity::Info) => "accent",
        };
        let actions: Vec<Value> = card_links(page)
            .map(|(label, url)| json!({"type": "Action.OpenUrl", "title": label, "url": url}))
            .collect();
        let mut body = json!({
            "type": "message",
            "attachments": [{
                "contentType": "application/vnd.microsoft.card.adaptive",
                "contentUrl": null,
                "content": {
                    "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                    "type": "AdaptiveCard",
                    "version": "1.4",
                    "msteams": {"width": "full"},
                    "body": [
                        {
                            "type": "TextBlock",
                            "text": cut_as(&title, TITLE_MAX, UNIT, markdown_escaped),
                            "weight": "Bolder",
                            "size": "Medium",
                            "wrap": true,
                            "style": "heading",
                            "color": style,
                        },
                        {"type": "TextBlock", "text": text, "wrap": true},
                    ],
                    "actions": actions,
                },
            }],
        });
        if let (Some(url), Some(Value::Array(blocks))) =
            (&page.picture_url, body.pointer_mut("/attachments/0/content/body"))
        {
            blocks.push(json!({"type": "Image", "url": url, "altText": picture::ALT, "size": "stretch"}));
        }
        Rendered::json(&body, errors)
    }

    fn send(&self, rendered: &Rendered, attempt: &Attempt<'_>) -> Result<Vec<Outgoing>, String> {
        let url = address_of(attempt.disk, "webhook_url", &self.webhook_url, &self.webhook_url_file)?;
        Ok(vec![rendered.post(url)])
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

/// A template's text, or the page's with its lines kept apart, which takes two line breaks in Teams.
pub(super) fn card_text(template: Option<String>, page: &Page) -> String {
    let lines = |text: &str| markdown_escaped(text).replace('\n', "\n\n");
    template.map_or_else(|| cut_as(&page.text, TEXT_MAX, UNIT, lines), |text| cut(&text, TEXT_MAX, UNIT))
}

/// How many links a card shows.
const CARD_LINKS_MAX: usize = 4;

/// The links of a card that are short enough, as many as a card takes.
pub(super) fn card_links(page: &Page) -> impl Iterator<Item = (&'static str, &str)> {
    let links = [("Run book", page.runbook_url.as_str()), ("Alarm", &page.alarm_url)];
    links.into_iter().chain(page.actions()).filter(|(_, url)| url.len() <= URL_MAX).take(CARD_LINKS_MAX)
}
