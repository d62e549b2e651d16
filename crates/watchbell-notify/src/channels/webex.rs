//! Webex: a bot that writes to a room.
//!
//! Later pages of a group answer the first message; the last one also edits it, which Webex allows only ten times.

use std::path::PathBuf;

use serde_json::{Value, json};
use watchbell_model::{Path, Problems, Secret, Url};
use watchbell_runtime::Disk;
use watchbell_runtime::client::escape;
use watchbell_runtime::http::Response;

use super::{
    Attempt, Channel, Draft, Follow, Outgoing, Rendered, VerdictKind, accepted_with, alone_if_refused, check_templates,
    filled, http_channel, links, markdown_escaped, markdown_link, read, said, sign,
};
use crate::config::ChannelDefaults;
use crate::cut::{Unit, cut, cut_as, one_line};
use crate::template_data::Templates;

/// The longest message.
const TEXT_MAX: usize = 7439;
const TITLE_MAX: usize = 1000;
const LINKS_MAX: usize = 3000;
const UNIT: Unit = Unit::Bytes;

http_channel! {
    /// A Webex room. The bot's token stands in `http_config.authorization`.
    pub struct WebexConfig {
        /// The API; unless given, as `global.webex_api_url` says, or `https://webexapis.com/v1/messages`.
        #[serde(default)]
        pub api_url: Option<Url>,
        /// Message in Go's template language over Alertmanager's data, with Markdown; unless given: severity, what is wrong,
        /// since when, where, what else.
        #[serde(default)]
        pub message: Option<String>,
        /// The room's id, a template.
        #[serde(default)]
        pub room_id: String,
    }
}

impl Channel for WebexConfig {
    fn kind(&self) -> &'static str {
        "webex"
    }

    fn complete(&mut self, defaults: &ChannelDefaults) {
        self.api_url = self.api_url.take().or_else(|| defaults.webex_api_url.clone());
    }

    fn files_mut(&mut self) -> Vec<&mut PathBuf> {
        Vec::new()
    }

    fn check(&self, templates: &Templates, path: &Path, problems: &mut Problems) {
        if self.room_id.trim().is_empty() {
            problems.error(path, "the field `room_id` is missing").hint("the API's `/v1/rooms` lists a bot's rooms");
        }
        if self.http_config.as_ref().is_none_or(|http| http.authorization.is_none()) {
            problems
                .error(path, "the bot's token is missing")
                .hint("give it as `http_config: {authorization: {credentials: \"${secret:name}\"}}`");
        }
        check_templates(
            [("message", &self.message), ("room_id", &Some(self.room_id.clone()))],
            templates,
            path,
            problems,
        );
    }

    fn render(&self, draft: &Draft<'_>) -> Rendered {
        let page = draft.page;
        let mut errors = Vec::new();
        let links = links(page, LINKS_MAX, UNIT, " · ", markdown_link);
        let room = TEXT_MAX - UNIT.size(&links) - 2;
        let text = match said(&self.message, draft, &mut errors) {
            Some(text) => cut(&text, room, UNIT),
            None => {
                let title = cut_as(&one_line(&page.title), TITLE_MAX, UNIT, markdown_escaped);
                let title = format!("{} **{title}**", sign(page));
                // One line break is a blank to Markdown.
                let lines = |text: &str| markdown_escaped(text).replace('\n', "\n\n");
                let text = cut_as(&page.text, room.saturating_sub(title.len() + 2), UNIT, lines);
                format!("{title}\n\n{text}")
            }
        };
        let room_id = filled(Some(&self.room_id), draft, &mut errors).unwrap_or_else(|| self.room_id.clone());
        Rendered::json(&json!({"roomId": room_id, "markdown": format!("{text}\n\n{links}")}), errors)
    }

    fn send(&self, rendered: &Rendered, attempt: &Attempt<'_>) -> Result<Vec<Outgoing>, String> {
        let own = || "https://webexapis.com/v1/messages".parse().expect("it is an address");
        let url: Url = self.api_url.clone().unwrap_or_else(own);
        let Some(first) = attempt.thread else { return Ok(vec![rendered.post(url)]) };
        let mut body = rendered.read()?;
        let mut outgoing = Vec::new();
        if attempt.resolved {
            let message: Url = url.join(&escape(first)).parse().map_err(|_| "`api_url` is not a web address")?;
            let mut edit = rendered.request(message, rendered.body.clone());
            edit.method = "PUT".into();
            outgoing.push(Outgoing::Http(Box::new(edit)));
        }
        body["parentId"] = first.into();
        outgoing.push(rendered.post_body(url, body.to_string()));
        Ok(outgoing)
    }

    fn judge(&self, body: &str) -> VerdictKind {
        accepted_with("id", body)
    }

    fn thread(&self, answer: &Response) -> Option<String> {
        let answer: Value = read(answer);
        // An answer is no place to answer to.
        Some(answer["parentId"].as_str().or(answer["id"].as_str())?.to_owned())
    }

    fn follow(&self, _rendered: &Rendered, attempt: &Attempt<'_>, answer: &Response) -> Option<Follow> {
        alone_if_refused(self, attempt, answer)
    }

    fn secrets(&self, _disk: &Disk) -> Vec<Secret> {
        Vec::new()
    }
}
