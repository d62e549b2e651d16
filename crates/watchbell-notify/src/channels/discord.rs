//! Discord: a channel's webhook.
//!
//! A later page of a group edits the first message, so that it shows how things stand, and since an edit rings nobody,
//! a line below says what changed.

use std::path::PathBuf;

use serde_json::{Value, json};
use watchbell_model::{Path, Picture, Problems, Secret, Url};
use watchbell_runtime::Disk;
use watchbell_runtime::http::{Request, Response};

use super::picture::{self, Shows};
use super::{
    Attempt, Channel, Draft, Follow, Outgoing, Rendered, VerdictKind, accepted_with, address_of, alone_if_refused,
    check_address, check_templates, color, http_channel, links, markdown_escaped, markdown_link, put, read, said,
    secret_of, worded,
};
use crate::config;
use crate::cut::{Unit, cut, cut_as, one_line};
use crate::template_data::Templates;

/// Limits of the API, in characters; all of an embed together is 6000.
const CONTENT_MAX: usize = 2000;
const TITLE_MAX: usize = 256;
const TEXT_MAX: usize = 4096;
const URL_MAX: usize = 2048;
const UNIT: Unit = Unit::Characters;

http_channel! {
    /// A Discord webhook. Templates are in Go's template language over Alertmanager's data.
    pub struct DiscordConfig {
        /// The webhook's address; whoever has it can post, so take it from a secret: `${secret:name}`.
        #[serde(default)]
        pub webhook_url: Option<Secret>,
        /// A file that holds it.
        #[serde(default)]
        pub webhook_url_file: Option<PathBuf>,
        /// Title, a template; unless given: severity, what is wrong, how many more.
        #[serde(default)]
        pub title: Option<String>,
        /// Text, a template with Discord's markup; unless given: what, since when, where, what else.
        #[serde(default)]
        pub message: Option<String>,
        /// Text above, a template, in which `@here` and other names ring.
        #[serde(default)]
        pub content: Option<String>,
        /// Another name of the sender.
        #[serde(default)]
        pub username: Option<String>,
        /// Another picture of the sender.
        #[serde(default)]
        pub avatar_url: Option<String>,
        /// Whether a picture of the graph goes along, drawn by watchbell; so unless it is said otherwise. A page that is
        /// refused with it goes out without.
        #[serde(default)]
        pub picture: Option<bool>,
    }
}

impl Channel for DiscordConfig {
    fn kind(&self) -> &'static str {
        "discord"
    }

    fn files_mut(&mut self) -> Vec<&mut PathBuf> {
        self.webhook_url_file.iter_mut().collect()
    }

    fn check(&self, templates: &Templates, path: &Path, problems: &mut Problems) {
        let hint = "a channel's settings have it under `Integrations`";
        check_address("webhook_url", &self.webhook_url, &self.webhook_url_file, hint, path, problems);
        check_templates(
            [("title", &self.title), ("message", &self.message), ("content", &self.content)],
            templates,
            path,
            problems,
        );
    }

    fn render(&self, draft: &Draft<'_>) -> Rendered {
        let page = draft.page;
        let mut errors = Vec::new();
        let title = one_line(&worded(self.title.as_deref(), &page.title, draft, &mut errors));
        let links = links(page, TEXT_MAX / 2, UNIT, " · ", markdown_link);
        let room = TEXT_MAX - UNIT.size(&links) - 1;
        let text = match said(&self.message, draft, &mut errors) {
            Some(text) => cut(&text, room, UNIT),
            None => cut_as(&page.text, room, UNIT, markdown_escaped),
        };
        let mut embed = json!({
            "title": cut(&title, TITLE_MAX, UNIT),
            "description": format!("{text}\n{links}"),
            "color": color(page),
            "timestamp": page.at.to_string(),
        });
        if page.runbook_url.len() <= URL_MAX {
            embed["url"] = page.runbook_url.as_str().into();
        }
        let mut body = json!({"embeds": [embed]});
        let content = said(&self.content, draft, &mut errors).map(|text| cut(&text, CONTENT_MAX, UNIT));
        put(
            &mut body,
            [("content", content), ("username", self.username.clone()), ("avatar_url", self.avatar_url.clone())],
        );
        Rendered::json(&body, errors)
    }

    fn send(&self, rendered: &Rendered, attempt: &Attempt<'_>) -> Result<Vec<Outgoing>, String> {
        let url = address_of(attempt.disk, "webhook_url", &self.webhook_url, &self.webhook_url_file)?;
        let (base, query) = url.as_str().split_once('?').unwrap_or((url.as_str(), ""));
        let address = |path: &str, more: &str| {
            let query: Vec<&str> = [query, more].into_iter().filter(|it| !it.is_empty()).collect();
            let mark = if query.is_empty() { "" } else { "?" };
            let text = format!("{}{path}{mark}{}", base.trim_end_matches('/'), query.join("&"));
            text.parse::<watchbell_model::Url>().map_err(|_| "`webhook_url` is not a web address".to_owned())
        };
        // The answer names the message only to whom waits for it.
        let post = address("", "wait=true")?;
        let message = |url| match attempt.picture {
            Some(picture) => with_picture(rendered, url, attempt.key, picture),
            None => Ok(rendered.request(url, rendered.body.clone())),
        };
        let Some(first) = attempt.thread else { return Ok(vec![Outgoing::Http(Box::new(message(post)?))]) };
        let page = rendered.read()?;
        let mut edit = message(address(&format!("/messages/{first}"), "")?)?;
        edit.method = "PATCH".into();
        let title = page["embeds"][0]["title"].as_str().unwrap_or_default();
        let mut line = page.clone();
        line["content"] = cut_as(title, CONTENT_MAX, UNIT, markdown_escaped).into();
        // What an alert says rings nobody by name; what `content` says did so with the first message.
        line["allowed_mentions"] = json!({"parse": []});
        line.as_object_mut().map(|line| line.remove("embeds"));
        Ok(vec![Outgoing::Http(Box::new(edit)), rendered.post_body(post, line.to_string())])
    }

    fn judge(&self, body: &str) -> VerdictKind {
        accepted_with("id", body)
    }

    fn thread(&self, answer: &Response) -> Option<String> {
        let answer: Value = read(answer);
        let id = answer["id"].as_str().filter(|id| id.bytes().all(|it| it.is_ascii_digit()))?;
        Some(id.to_owned())
    }

    fn follow(&self, _rendered: &Rendered, attempt: &Attempt<'_>, answer: &Response) -> Option<Follow> {
        alone_if_refused(self, attempt, answer)
    }

    /// Thirty messages a minute through a webhook, five at once.
    fn pace(&self) -> Option<super::Pace> {
        Some(super::Pace { burst: 5, every: std::time::Duration::from_secs(2) })
    }

    fn picture(&self) -> Shows {
        Shows::given(self.picture, true, Shows::Within)
    }

    fn secrets(&self, disk: &Disk) -> Vec<Secret> {
        config::url_secrets(&secret_of(disk, &self.webhook_url, &self.webhook_url_file))
    }
}

/// The message with a picture in its embed, in place of one that it had.
fn with_picture(rendered: &Rendered, url: Url, key: &str, picture: &Picture) -> Result<Request, String> {
    let mut page = rendered.read()?;
    page["embeds"][0]["image"] = json!({"url": format!("attachment://{}", picture::FILE)});
    page["attachments"] = json!([{"id": 0, "filename": picture::FILE}]);
    let fields = [("payload_json", page.to_string(), Some("application/json"))];
    Ok(picture::form(url, key, &fields, "files[0]", picture))
}
