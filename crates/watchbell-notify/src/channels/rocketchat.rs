//! Rocket.Chat: a user's token posts to a channel.
//!
//! A later page of a group edits the line of the first message and is added to its thread.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use watchbell_model::{Path, Problems, Secret, Url};
use watchbell_runtime::Disk;
use watchbell_runtime::client::held;
use watchbell_runtime::http::Response;

use super::picture::Shows;
use super::{
    Attempt, Channel, Draft, Follow, Outgoing, Rendered, VerdictKind, alone_if_refused, check_secret, check_template,
    check_templates, color, complete_secret, filled, http_channel, links, markdown_escaped, markdown_link, put, read,
    said, secret_of, sign, worded,
};
use crate::config::ChannelDefaults;
use crate::cut::{Unit, cut, cut_as, one_line};
use crate::template_data::Templates;

/// Limits in characters; a message is at most 5000 unless the server says otherwise.
const TITLE_MAX: usize = 1024;
const LINE_MAX: usize = 250;
const TEXT_MAX: usize = 3000;
const LINKS_MAX: usize = 1900;
const UNIT: Unit = Unit::Characters;

http_channel! {
    /// A Rocket.Chat channel. Templates are in Go's template language over Alertmanager's data.
    pub struct RocketchatConfig {
        /// The server; unless given, as `global.rocketchat_api_url` says, or `https://open.rocket.chat`.
        #[serde(default)]
        pub api_url: Option<Url>,
        /// The id of the user who posts; unless given, as `global.rocketchat_token_id` says.
        #[serde(default)]
        pub token_id: Option<Secret>,
        /// A file that holds it.
        #[serde(default)]
        pub token_id_file: Option<PathBuf>,
        /// That user's personal access token; take it from a secret: `${secret:name}`. Unless given, as
        /// `global.rocketchat_token` says.
        #[serde(default)]
        pub token: Option<Secret>,
        /// A file that holds it.
        #[serde(default)]
        pub token_file: Option<PathBuf>,
        /// Where to: `#channel`, `@user` or a room's id, a template.
        #[serde(default)]
        pub channel: Option<String>,
        /// The colour of the bar, a template; unless given, it shows the severity.
        #[serde(default)]
        pub color: Option<String>,
        /// Title, a template; unless given: severity, what is wrong, how many more.
        #[serde(default)]
        pub title: Option<String>,
        /// What the title leads to, a template; unless given, the run book.
        #[serde(default)]
        pub title_link: Option<String>,
        /// Text, a template with Markdown; unless given: what, since when, where, what else.
        #[serde(default)]
        pub text: Option<String>,
        /// Fields below the text.
        #[serde(default)]
        pub fields: Vec<RocketchatField>,
        /// Whether fields stand side by side, unless one says.
        #[serde(default)]
        pub short_fields: bool,
        /// Another picture of the sender, such as `:bell:`, a template.
        #[serde(default)]
        pub emoji: Option<String>,
        /// The same, as the address of a picture.
        #[serde(default)]
        pub icon_url: Option<String>,
        /// A picture below the text, a template.
        #[serde(default)]
        pub image_url: Option<String>,
        /// Whether a picture of the graph is shown by a signed link of `site.url`, which the server must reach; not unless
        /// it is said. `image_url` goes before it.
        #[serde(default)]
        pub picture: Option<bool>,
        /// A small picture beside the text, a template.
        #[serde(default)]
        pub thumb_url: Option<String>,
        /// Whether addresses in the text are shown with what they lead to.
        #[serde(default)]
        pub link_names: bool,
        /// Buttons, beside the links to run book and alarm, which are always there.
        #[serde(default)]
        pub actions: Vec<RocketchatAction>,
    }
}

/// A field below the text.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RocketchatField {
    /// What it is, a template.
    #[serde(default)]
    pub title: String,
    /// Its value, a template.
    #[serde(default)]
    pub value: String,
    /// Whether it may stand beside another; unless given, as `short_fields` says.
    #[serde(default)]
    pub short: Option<bool>,
}

/// A button.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RocketchatAction {
    /// `button`, which is all there is.
    #[serde(default, rename = "type")]
    pub kind: Option<String>,
    /// What stands on it, a template.
    #[serde(default)]
    pub text: Option<String>,
    /// What it opens, a template.
    #[serde(default)]
    pub url: Option<String>,
    /// A picture in place of the words.
    #[serde(default, alias = "imageurl")]
    pub image_url: Option<String>,
    /// Whether it opens within the client.
    #[serde(default, alias = "iswebview")]
    pub is_webview: bool,
    /// How high that is: `full`, `tall` or `compact`.
    #[serde(default, alias = "webviewheightratio")]
    pub webview_height_ratio: Option<String>,
    /// What it says in the channel, a template.
    #[serde(default)]
    pub msg: Option<String>,
    /// Whether it says that in the channel.
    #[serde(default, alias = "msginchatwindow")]
    pub msg_in_chat_window: bool,
    /// `sendMessage` or `respondWithMessage`.
    #[serde(default, alias = "msgprocessingtype")]
    pub msg_processing_type: Option<String>,
}

impl RocketchatConfig {
    fn parts(&self, draft: &Draft<'_>, errors: &mut Vec<String>) -> (Vec<Value>, Vec<Value>) {
        let fields = self.fields.iter().map(|field| {
            json!({
                "title": filled(Some(&field.title), draft, errors).unwrap_or_default(),
                "value": filled(Some(&field.value), draft, errors).unwrap_or_default(),
                "short": field.short.unwrap_or(self.short_fields),
            })
        });
        let fields = fields.collect();
        let actions = self.actions.iter().map(|action| {
            let mut button = json!({
                "type": "button",
                "is_webview": action.is_webview,
                "msg_in_chat_window": action.msg_in_chat_window,
            });
            put(
                &mut button,
                [
                    ("text", said(&action.text, draft, errors)),
                    ("url", said(&action.url, draft, errors)),
                    ("msg", said(&action.msg, draft, errors)),
                    ("image_url", action.image_url.clone()),
                    ("webview_height_ratio", action.webview_height_ratio.clone()),
                    ("msg_processing_type", action.msg_processing_type.clone()),
                ],
            );
            button
        });
        (fields, actions.collect())
    }
}

impl Channel for RocketchatConfig {
    fn kind(&self) -> &'static str {
        "rocketchat"
    }

    fn complete(&mut self, defaults: &ChannelDefaults) {
        complete_secret(
            (&mut self.token, &mut self.token_file),
            (&defaults.rocketchat_token, &defaults.rocketchat_token_file),
        );
        complete_secret(
            (&mut self.token_id, &mut self.token_id_file),
            (&defaults.rocketchat_token_id, &defaults.rocketchat_token_id_file),
        );
        self.api_url = self.api_url.take().or_else(|| defaults.rocketchat_api_url.clone());
    }

    fn files_mut(&mut self) -> Vec<&mut PathBuf> {
        [&mut self.token_file, &mut self.token_id_file].into_iter().flatten().collect()
    }

    fn check(&self, templates: &Templates, path: &Path, problems: &mut Problems) {
        let hint = "a user's account page gives a personal access token with its user id; both can stand in `global`";
        check_secret("token", &self.token, &self.token_file, Some(hint), path, problems);
        check_secret("token_id", &self.token_id, &self.token_id_file, Some(hint), path, problems);
        check_templates(
            [
                ("channel", &self.channel),
                ("color", &self.color),
                ("title", &self.title),
                ("title_link", &self.title_link),
                ("text", &self.text),
                ("emoji", &self.emoji),
                ("icon_url", &self.icon_url),
                ("image_url", &self.image_url),
                ("thumb_url", &self.thumb_url),
            ],
            templates,
            path,
            problems,
        );
        for (at, field) in self.fields.iter().enumerate() {
            let path = path.field("fields").index(at);
            check_template(Some(&field.title), templates, &path.field("title"), problems);
            check_template(Some(&field.value), templates, &path.field("value"), problems);
        }
        for (at, action) in self.actions.iter().enumerate() {
            let path = path.field("actions").index(at);
            check_templates(
                [("text", &action.text), ("url", &action.url), ("msg", &action.msg)],
                templates,
                &path,
                problems,
            );
        }
    }

    fn render(&self, draft: &Draft<'_>) -> Rendered {
        let page = draft.page;
        let mut errors = Vec::new();
        let title = one_line(&worded(self.title.as_deref(), &page.title, draft, &mut errors));
        let text = match said(&self.text, draft, &mut errors) {
            Some(text) => cut(&text, TEXT_MAX, UNIT),
            None => cut_as(&page.text, TEXT_MAX, UNIT, markdown_escaped),
        };
        let links = links(page, LINKS_MAX, UNIT, " · ", markdown_link);
        let mut attachment = json!({
            "title": cut(&title, TITLE_MAX, UNIT),
            "title_link": worded(self.title_link.as_deref(), &page.runbook_url, draft, &mut errors),
            "text": format!("{text}\n{links}"),
            "color": worded(self.color.as_deref(), &format!("#{:06x}", color(page)), draft, &mut errors),
        });
        put(
            &mut attachment,
            [
                ("image_url", said(&self.image_url, draft, &mut errors).or_else(|| page.picture_url.clone())),
                ("thumb_url", said(&self.thumb_url, draft, &mut errors)),
            ],
        );
        let (fields, actions) = self.parts(draft, &mut errors);
        for (name, list) in [("fields", fields), ("actions", actions)] {
            if !list.is_empty() {
                attachment[name] = list.into();
            }
        }
        let line = cut_as(&title, LINE_MAX, UNIT, markdown_escaped);
        let mut body = json!({"text": format!("{} {line}", sign(page)), "attachments": [attachment]});
        put(
            &mut body,
            [
                ("channel", said(&self.channel, draft, &mut errors)),
                ("emoji", said(&self.emoji, draft, &mut errors)),
                ("avatar", said(&self.icon_url, draft, &mut errors)),
            ],
        );
        if self.link_names {
            body["parseUrls"] = true.into();
        }
        Rendered::json(&body, errors)
    }

    fn send(&self, rendered: &Rendered, attempt: &Attempt<'_>) -> Result<Vec<Outgoing>, String> {
        let mut rendered = rendered.clone();
        for (header, given, file) in
            [("X-Auth-Token", &self.token, &self.token_file), ("X-User-Id", &self.token_id, &self.token_id_file)]
        {
            rendered.headers.push((header.into(), held(attempt.disk, given, file)?));
        }
        let server = self.api_url.as_ref().map_or("https://open.rocket.chat", Url::as_str).trim_end_matches('/');
        let method = |name: &str| {
            let url = format!("{server}/api/v1/{name}").parse::<Url>();
            url.map_err(|_| "`api_url` is not a web address".to_owned())
        };
        let post = method("chat.postMessage")?;
        let Some((room, first)) = attempt.thread.and_then(|thread| thread.split_once(' ')) else {
            return Ok(vec![rendered.post(post)]);
        };
        let mut body = rendered.read()?;
        let edit = json!({"roomId": room, "msgId": first, "text": body["text"]});
        body["tmid"] = first.into();
        body["roomId"] = room.into();
        body.as_object_mut().map(|body| body.remove("channel"));
        let edit = rendered.post_body(method("chat.update")?, edit.to_string());
        Ok(vec![edit, rendered.post_body(post, body.to_string())])
    }

    fn judge(&self, body: &str) -> VerdictKind {
        let answer: Value = serde_json::from_str(body).unwrap_or_default();
        match (answer["success"].as_bool(), answer["error"].as_str().unwrap_or_default()) {
            (Some(true), _) => VerdictKind::Accepted,
            (Some(false), error) if error.contains("too-many-requests") => VerdictKind::Retry(None),
            (Some(false), _) => VerdictKind::Refused,
            // Something else answers in its place.
            (None, _) => VerdictKind::Retry(None),
        }
    }

    fn thread(&self, answer: &Response) -> Option<String> {
        let answer = read(answer);
        let (room, id) = (answer["message"]["rid"].as_str()?, answer["message"]["_id"].as_str()?);
        Some(format!("{room} {id}"))
    }

    fn follow(&self, _rendered: &Rendered, attempt: &Attempt<'_>, answer: &Response) -> Option<Follow> {
        alone_if_refused(self, attempt, answer)
    }

    fn picture(&self) -> Shows {
        Shows::given(self.picture, false, Shows::Linked)
    }

    fn secrets(&self, disk: &Disk) -> Vec<Secret> {
        vec![secret_of(disk, &self.token, &self.token_file), secret_of(disk, &self.token_id, &self.token_id_file)]
    }
}
