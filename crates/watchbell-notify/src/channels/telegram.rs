//! Telegram: a bot that writes to a chat.
//!
//! Later pages of a group answer the first one, so that each rings and all hang together.

use std::path::PathBuf;

use serde_json::{Value, json};
use watchbell_model::{Path, Picture, Problems, Secret, Url};
use watchbell_runtime::Disk;
use watchbell_runtime::client::{escape, held};
use watchbell_runtime::http::Response;

use super::picture::{self, Shows};
use super::{
    Attempt, Channel, Draft, Follow, Outgoing, Rendered, Talk, VerdictKind, alone_if_refused, check_secret,
    check_template, complete_secret, html_escaped, http_channel, links, read, said, secret_of, sign,
};
use crate::config::ChannelDefaults;
use crate::cut::{Unit, cut, cut_as, one_line};
use crate::template_data::Templates;

/// The longest message, in the unit the server counts in.
const TEXT_MAX: usize = 4096;
const TITLE_MAX: usize = 300;
/// Room for the addresses below the text.
const LINKS_MAX: usize = 2048;
const UNIT: Unit = Unit::Utf16;

http_channel! {
    /// A Telegram chat.
    pub struct TelegramConfig {
        /// The bot's token, from @BotFather; take it from a secret: `${secret:name}`. Unless given, as
        /// `global.telegram_bot_token` says.
        #[serde(default)]
        pub bot_token: Option<Secret>,
        /// A file that holds it.
        #[serde(default)]
        pub bot_token_file: Option<PathBuf>,
        /// The chat's number; that of a group is below zero.
        #[serde(default)]
        pub chat_id: Option<i64>,
        /// A file that holds it.
        #[serde(default)]
        pub chat_id_file: Option<PathBuf>,
        /// The number of a topic in a group that has them.
        #[serde(default)]
        pub message_thread_id: Option<i64>,
        /// Message in Go's template language over Alertmanager's data, marked up as `parse_mode` says: in HTML, values that
        /// may hold `<` or `&` want `{{ .Value | html }}`, and what Telegram cannot read goes out as plain text. Unless given:
        /// severity, what is wrong, since when, where, what else.
        #[serde(default)]
        pub message: Option<String>,
        /// Whether messages make no sound.
        #[serde(default)]
        pub disable_notifications: bool,
        /// How `message` is marked up: `HTML`, which is usual, `MarkdownV2`, `Markdown`, or nothing for plain text.
        #[serde(default = "TelegramConfig::default_parse_mode")]
        pub parse_mode: String,
        /// Whether a picture of the graph answers what fires, drawn by watchbell and without a sound; so unless it is said
        /// otherwise.
        #[serde(default)]
        pub picture: Option<bool>,
        /// The server of the Bot API; unless given, as `global.telegram_api_url` says, or Telegram's own.
        #[serde(default)]
        pub api_url: Option<Url>,
    }
}

impl TelegramConfig {
    fn default_parse_mode() -> String {
        "HTML".into()
    }

    fn chat(&self, disk: &Disk) -> Result<i64, String> {
        match (self.chat_id, &self.chat_id_file) {
            (Some(id), _) => Ok(id),
            (None, file) => {
                let text = held(disk, &None, file)?;
                text.parse().map_err(|_| format!("`{}` in `chat_id_file` is not a chat's number", one_line(&text)))
            }
        }
    }

    fn request(&self, rendered: &Rendered, body: &Value, disk: &Disk) -> Result<Outgoing, String> {
        Ok(rendered.post_body(self.address("sendMessage", disk)?, body.to_string()))
    }

    fn address(&self, method: &str, disk: &Disk) -> Result<Url, String> {
        let token = held(disk, &self.bot_token, &self.bot_token_file)?;
        let api = self.api_url.as_ref().map_or("https://api.telegram.org", Url::as_str).trim_end_matches('/');
        // A colon may stand in a path as it is, and that is how the server documents it.
        let token = escape(&token).replace("%3A", ":");
        let url = format!("{api}/bot{token}/{method}");
        url.parse().map_err(|_| "`api_url` with the token is not a web address".to_owned())
    }
}

impl Channel for TelegramConfig {
    fn kind(&self) -> &'static str {
        "telegram"
    }

    fn complete(&mut self, defaults: &ChannelDefaults) {
        complete_secret(
            (&mut self.bot_token, &mut self.bot_token_file),
            (&defaults.telegram_bot_token, &defaults.telegram_bot_token_file),
        );
        self.api_url = self.api_url.take().or_else(|| defaults.telegram_api_url.clone());
    }

    fn files_mut(&mut self) -> Vec<&mut PathBuf> {
        [&mut self.bot_token_file, &mut self.chat_id_file].into_iter().flatten().collect()
    }

    fn check(&self, templates: &Templates, path: &Path, problems: &mut Problems) {
        let hint = "@BotFather gives one; it can stand in `global.telegram_bot_token` too";
        check_secret("bot_token", &self.bot_token, &self.bot_token_file, Some(hint), path, problems);
        match (self.chat_id, &self.chat_id_file) {
            (None | Some(0), None) => {
                problems
                    .error(path, "the field `chat_id` is missing")
                    .hint("`getUpdates` of the Bot API shows it once somebody wrote to the bot");
            }
            (Some(_), Some(_)) => {
                problems
                    .error(path, "there are both `chat_id` and `chat_id_file`")
                    .hint("at most one of them is needed");
            }
            _ => {}
        }
        if !matches!(self.parse_mode.as_str(), "" | "HTML" | "Markdown" | "MarkdownV2") {
            problems
                .error(&path.field("parse_mode"), format!("`{}` is not a way to mark up", self.parse_mode))
                .hint("it is `HTML`, `MarkdownV2`, `Markdown` or empty");
        }
        check_template(self.message.as_deref(), templates, &path.field("message"), problems);
    }

    fn render(&self, draft: &Draft<'_>) -> Rendered {
        let page = draft.page;
        let mut errors = Vec::new();
        // An address in plain sight: Telegram drops links to hosts it does not believe in, such as `bell.lan`.
        let links = links(page, LINKS_MAX, UNIT, "\n", |label, url| format!("{label}: {url}"));
        let (text, mode) = match said(&self.message, draft, &mut errors) {
            Some(text) => marked(&text, &links, &self.parse_mode),
            None => {
                let title = cut(&one_line(&page.title), TITLE_MAX, UNIT);
                let title = format!("{} <b>{}</b>", sign(page), html_escaped(&title));
                let links = html_escaped(&links);
                let room = TEXT_MAX.saturating_sub(UNIT.size(&title) + UNIT.size(&links) + 3);
                let text = cut_as(&page.text, room, UNIT, html_escaped);
                (format!("{title}\n{text}\n\n{links}"), "HTML")
            }
        };
        let mut body = json!({
            "text": text,
            "link_preview_options": {"is_disabled": true},
            "disable_notification": self.disable_notifications,
        });
        if !mode.is_empty() {
            body["parse_mode"] = mode.into();
        }
        if let Some(topic) = self.message_thread_id.filter(|topic| *topic != 0) {
            body["message_thread_id"] = topic.into();
        }
        Rendered::json(&body, errors)
    }

    fn send(&self, rendered: &Rendered, attempt: &Attempt<'_>) -> Result<Vec<Outgoing>, String> {
        let mut body = rendered.read()?;
        body["chat_id"] = self.chat(attempt.disk)?.into();
        if let Some(first) = attempt.thread.and_then(|thread| thread.parse::<i64>().ok()) {
            body["reply_parameters"] = json!({"message_id": first, "allow_sending_without_reply": true});
        }
        Ok(vec![self.request(rendered, &body, attempt.disk)?])
    }

    fn judge(&self, body: &str) -> VerdictKind {
        let answer: Value = serde_json::from_str(body).unwrap_or_default();
        match answer["ok"].as_bool() {
            Some(true) => VerdictKind::Accepted,
            Some(false) => VerdictKind::Refused,
            // Something else answers in Telegram's place.
            None => VerdictKind::Retry(None),
        }
    }

    fn thread(&self, answer: &Response) -> Option<String> {
        read(answer)["result"]["message_id"].as_i64().map(|id| id.to_string())
    }

    /// A group that became a supergroup says its new number; markup that is wrong goes out as plain text; what was meant
    /// for a topic that is gone goes to the group. None of it costs the page.
    fn follow(&self, rendered: &Rendered, attempt: &Attempt<'_>, answer: &Response) -> Option<Follow> {
        if answer.status != 400 {
            return None;
        }
        let said = read(answer);
        let why = said["description"].as_str().unwrap_or_default();
        let moved = said["parameters"]["migrate_to_chat_id"].as_i64();
        let mut body = rendered.read().ok()?;
        body["chat_id"] = moved.or_else(|| self.chat(attempt.disk).ok())?.into();
        let text = body["text"].as_str().unwrap_or_default().to_owned();
        let fields = body.as_object_mut()?;
        if why.contains("can't parse entities") {
            let mode = fields.remove("parse_mode")?;
            let text = if mode == "HTML" { plain(&text) } else { text };
            fields.insert("text".into(), text.into());
        } else if why.contains("message thread not found") {
            fields.remove("message_thread_id")?;
        } else if moved.is_none() {
            return alone_if_refused(self, attempt, answer);
        }
        Some(Follow::Instead(vec![self.request(rendered, &body, attempt.disk).ok()?]))
    }

    /// Twenty messages a minute to a group.
    fn pace(&self) -> Option<super::Pace> {
        Some(super::Pace { burst: 20, every: std::time::Duration::from_secs(3) })
    }

    fn picture(&self) -> Shows {
        Shows::given(self.picture, true, Shows::Beside)
    }

    /// An answer to the page, since a caption holds a quarter of its words.
    fn beside(&self, attempt: &Attempt<'_>, answer: &Response, picture: &Picture) -> Option<Box<dyn Talk>> {
        let message = read(answer)["result"]["message_id"].as_i64()?;
        let url = self.address("sendPhoto", attempt.disk).ok()?;
        let reply = json!({"message_id": message, "allow_sending_without_reply": true});
        let mut fields = vec![
            ("chat_id", self.chat(attempt.disk).ok()?.to_string(), None),
            ("reply_parameters", reply.to_string(), Some("application/json")),
            ("disable_notification", "true".to_owned(), None),
        ];
        if let Some(topic) = self.message_thread_id.filter(|topic| *topic != 0) {
            fields.push(("message_thread_id", topic.to_string(), None));
        }
        Some(Box::new(picture::Once(Some(picture::form(url, attempt.key, &fields, "photo", picture)))))
    }

    fn secrets(&self, disk: &Disk) -> Vec<Secret> {
        vec![secret_of(disk, &self.bot_token, &self.bot_token_file)]
    }
}

/// A template's words with the links below, and how they are marked up. What is too long loses its markup with its end,
/// since a cut may fall into a mark.
fn marked<'a>(text: &str, links: &str, mode: &'a str) -> (String, &'a str) {
    let special = match mode {
        "MarkdownV2" => "_*[]()~`>#+-=|{}.!\\",
        "Markdown" => "_*`[",
        _ => "",
    };
    let escaped: String = match mode {
        "HTML" => html_escaped(links),
        _ => links.chars().flat_map(|c| special.contains(c).then_some('\\').into_iter().chain([c])).collect(),
    };
    let whole = format!("{}\n\n{escaped}", text.trim_end());
    if UNIT.size(&whole) <= TEXT_MAX {
        return (whole, mode);
    }
    let text = if mode == "HTML" { plain(text) } else { text.to_owned() };
    let room = TEXT_MAX.saturating_sub(UNIT.size(links) + 2);
    (format!("{}\n\n{links}", cut(&text, room, UNIT)), "")
}

/// The words of a text in HTML.
fn plain(html: &str) -> String {
    let mut out = String::new();
    let mut rest = html;
    while let Some((before, tag)) = rest.split_once('<') {
        out.push_str(before);
        // Only what looks like a tag is one: the words may well hold a bare `<`, which is why this is called.
        let looks = tag.starts_with(|c: char| c == '/' || c.is_ascii_alphabetic());
        rest = match tag.split_once('>') {
            Some((inner, after)) if looks && !inner.contains('<') => after,
            _ => {
                out.push('<');
                tag
            }
        };
    }
    out.push_str(rest);
    out.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&#39;", "'").replace("&amp;", "&")
}
