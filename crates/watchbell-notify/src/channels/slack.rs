//! Slack: an app that posts by token, or an incoming webhook, and what speaks the webhook's language.
//!
//! An app keeps one message per problem in the channel: a later page of the group edits it and is added to its thread,
//! where it can be read in order. A webhook cannot edit, and posts each page.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use watchbell_model::{Path, Picture, Problems, Secret, Url};
use watchbell_runtime::Disk;
use watchbell_runtime::client::held;
use watchbell_runtime::http::{Request, Response};

use super::picture::{self, Shows, unsaid};
use super::{
    Attempt, Channel, Draft, Follow, Outgoing, Pace, Rendered, Talk, VerdictKind, address_of, alone_if_refused,
    check_address, check_secret, check_template, check_templates, color, complete_secret, filled, has_credentials,
    http_channel, links, put, read, said, secret_of, worded,
};
use crate::config::{self, ChannelDefaults};
use crate::cut::{Unit, cut, cut_as, one_line};
use crate::template_data::Templates;

/// Limits in characters: of an attachment's title, of a text that is shown without folding, and of what a template may
/// say, which leaves room within the 40,000 of a message.
const TITLE_MAX: usize = 1024;
const TEXT_MAX: usize = 3000;
const TEMPLATE_MAX: usize = 20_000;
/// The line above the attachment, which is what a phone's notification shows.
const LINE_MAX: usize = 250;
const LINKS_MAX: usize = 4000;
const UNIT: Unit = Unit::Characters;
/// The method that posts; the one that edits stands beside it.
const POST: &str = "/chat.postMessage";

http_channel! {
    /// A Slack app, or an incoming webhook. Templates are in Go's template language over Alertmanager's data.
    pub struct SlackConfig {
        /// The webhook's address; whoever has it can post, so take it from a secret: `${secret:name}`. Unless given, as
        /// `global.slack_api_url` says.
        #[serde(default)]
        pub api_url: Option<Secret>,
        /// A file that holds it.
        #[serde(default)]
        pub api_url_file: Option<PathBuf>,
        /// The token of an app (`xoxb-…`) with the scope `chat:write`, in place of a webhook; take it from a secret. Unless
        /// given, as `global.slack_app_token` says.
        #[serde(default)]
        pub app_token: Option<Secret>,
        /// A file that holds it.
        #[serde(default)]
        pub app_token_file: Option<PathBuf>,
        /// What an app posts to; unless given, as `global.slack_app_url` says, or Slack itself. Messages are edited where
        /// this ends in `/chat.postMessage`.
        #[serde(default)]
        pub app_url: Option<Url>,
        /// Where to: `#channel`, a channel's id or `@user`, a template. A webhook has a channel of its own, and not every
        /// server allows another.
        #[serde(default)]
        pub channel: Option<String>,
        /// Another name of the sender, where the server allows that; a template.
        #[serde(default)]
        pub username: Option<String>,
        /// The colour of the bar, a template: `good`, `warning`, `danger` or `#e01e5a`; unless given, it shows the severity.
        #[serde(default)]
        pub color: Option<String>,
        /// Title, a template; unless given: severity, what is wrong, how many more.
        #[serde(default)]
        pub title: Option<String>,
        /// What the title leads to, a template; unless given, the run book.
        #[serde(default)]
        pub title_link: Option<String>,
        /// Text above the attachment, a template.
        #[serde(default)]
        pub pretext: Option<String>,
        /// Text, a template with Slack's own markup; unless given: what, since when, where, what else.
        #[serde(default)]
        pub text: Option<String>,
        /// The message's own text above the attachment, which a phone shows; a template. Unless given, the title.
        #[serde(default)]
        pub message_text: Option<String>,
        /// Fields below the text.
        #[serde(default)]
        pub fields: Vec<SlackField>,
        /// Whether fields stand side by side, unless one says.
        #[serde(default)]
        pub short_fields: bool,
        /// Small text at the end, a template.
        #[serde(default)]
        pub footer: Option<String>,
        /// What is shown where attachments are not, a template; unless given, the title.
        #[serde(default)]
        pub fallback: Option<String>,
        /// Names the attachment to whoever answers its actions, a template.
        #[serde(default)]
        pub callback_id: Option<String>,
        /// Another picture of the sender, such as `:bell:`, where the server allows that; a template.
        #[serde(default)]
        pub icon_emoji: Option<String>,
        /// The same, as the address of a picture.
        #[serde(default)]
        pub icon_url: Option<String>,
        /// A picture below the text, a template.
        #[serde(default)]
        pub image_url: Option<String>,
        /// Whether a picture of the graph is shown; not unless it is said. An app brings it into the thread, for which its
        /// token needs the scope `files:write`; a webhook links to it by a signed address of `site.url`, which Slack must
        /// reach. There `image_url` goes before it.
        #[serde(default)]
        pub picture: Option<bool>,
        /// A small picture beside the text, a template.
        #[serde(default)]
        pub thumb_url: Option<String>,
        /// Whether names in the text become links.
        #[serde(default)]
        pub link_names: bool,
        /// Which parts have markup; unless given, `pretext` and `text`.
        #[serde(default)]
        pub mrkdwn_in: Vec<String>,
        /// Buttons, beside the links to run book and alarm, which are always there.
        #[serde(default)]
        pub actions: Vec<SlackAction>,
        /// Whether a later page of a group edits the first message and is added to its thread; so for an app, unless it is
        /// said otherwise. A webhook cannot.
        #[serde(default)]
        pub update_message: Option<bool>,
    }
}

/// A field below the text.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SlackField {
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

/// A button. Its texts are templates.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SlackAction {
    /// `button`.
    #[serde(default, rename = "type")]
    pub kind: String,
    /// What stands on it.
    #[serde(default)]
    pub text: String,
    /// What it opens; the fields that follow `style` count only without it.
    #[serde(default)]
    pub url: String,
    /// `default`, `primary` or `danger`.
    #[serde(default)]
    pub style: String,
    /// Its name to whoever answers it.
    #[serde(default)]
    pub name: String,
    /// What is sent to whoever answers it.
    #[serde(default)]
    pub value: String,
    /// A question before it is done.
    #[serde(default)]
    pub confirm: Option<SlackConfirm>,
}

/// A question before a button is done. Its texts are templates.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SlackConfirm {
    /// The question.
    #[serde(default)]
    pub text: String,
    /// Its title.
    #[serde(default)]
    pub title: String,
    /// The word for yes.
    #[serde(default)]
    pub ok_text: String,
    /// The word for no.
    #[serde(default)]
    pub dismiss_text: String,
}

/// Whether an address is the one apps post to.
pub(crate) fn is_app_url(url: &str) -> bool {
    url.ends_with(POST)
}

impl SlackConfig {
    fn has_token(&self) -> bool {
        self.app_token.is_some() || self.app_token_file.is_some()
    }

    /// Whether it posts as an app: by a token of its own, or one in `http_config`, as before there was `app_token`.
    fn is_app(&self) -> bool {
        self.has_token() || self.api_url.as_ref().is_some_and(|url| is_app_url(url.expose()))
    }

    fn updates(&self) -> bool {
        self.is_app() && self.update_message != Some(false)
    }

    fn post_url(&self, disk: &Disk) -> Result<Url, String> {
        match &self.app_url {
            Some(url) if self.has_token() => Ok(url.clone()),
            None if self.has_token() => Ok("https://slack.com/api/chat.postMessage".parse().expect("it is an address")),
            _ => address_of(disk, "api_url", &self.api_url, &self.api_url_file),
        }
    }

    fn fields(&self, draft: &Draft<'_>, errors: &mut Vec<String>) -> Vec<Value> {
        let field = |field: &SlackField| {
            json!({
                "title": filled(Some(&field.title), draft, errors).unwrap_or_default(),
                "value": filled(Some(&field.value), draft, errors).unwrap_or_default(),
                "short": field.short.unwrap_or(self.short_fields),
            })
        };
        self.fields.iter().map(field).collect()
    }

    fn actions(&self, draft: &Draft<'_>, errors: &mut Vec<String>) -> Vec<Value> {
        let mut text = |template: &str| said(&Some(template.to_owned()), draft, errors);
        let action = |action: &SlackAction| {
            let mut button = json!({});
            put(
                &mut button,
                [
                    ("type", text(&action.kind)),
                    ("text", text(&action.text)),
                    ("url", text(&action.url)),
                    ("style", text(&action.style)),
                ],
            );
            if action.url.is_empty() {
                put(&mut button, [("name", text(&action.name)), ("value", text(&action.value))]);
                if let Some(confirm) = &action.confirm {
                    button["confirm"] = json!({});
                    put(
                        &mut button["confirm"],
                        [
                            ("text", text(&confirm.text)),
                            ("title", text(&confirm.title)),
                            ("ok_text", text(&confirm.ok_text)),
                            ("dismiss_text", text(&confirm.dismiss_text)),
                        ],
                    );
                }
            }
            button
        };
        self.actions.iter().map(action).collect()
    }

    fn check_parts(&self, templates: &Templates, path: &Path, problems: &mut Problems) {
        for (at, field) in self.fields.iter().enumerate() {
            let path = path.field("fields").index(at);
            for (name, text) in [("title", &field.title), ("value", &field.value)] {
                if text.is_empty() {
                    problems
                        .error(&path, format!("the field `{name}` is missing"))
                        .hint("a field has a title and a value");
                }
                check_template(Some(text), templates, &path.field(name), problems);
            }
        }
        for (at, action) in self.actions.iter().enumerate() {
            let path = path.field("actions").index(at);
            for (name, text) in [("type", &action.kind), ("text", &action.text)] {
                if text.is_empty() {
                    problems
                        .error(&path, format!("the field `{name}` is missing"))
                        .hint("a button needs `type: button`, a `text` and a `url`");
                }
                check_template(Some(text), templates, &path.field(name), problems);
            }
            if action.url.is_empty() && action.name.is_empty() {
                problems
                    .error(&path, "the button does nothing")
                    .hint("give it a `url`, or a `name` for an app that answers");
            }
            for (name, text) in [("url", &action.url), ("name", &action.name), ("value", &action.value)] {
                check_template(Some(text), templates, &path.field(name), problems);
            }
            if action.confirm.as_ref().is_some_and(|confirm| confirm.text.is_empty()) {
                problems.error(&path.field("confirm"), "the field `text` is missing").hint("say what is asked");
            }
        }
    }
}

impl Channel for SlackConfig {
    fn kind(&self) -> &'static str {
        "slack"
    }

    fn complete(&mut self, defaults: &ChannelDefaults) {
        let has_url = self.api_url.is_some() || self.api_url_file.is_some();
        if !has_url && !has_credentials(self.http_config.as_ref()) {
            complete_secret(
                (&mut self.app_token, &mut self.app_token_file),
                (&defaults.slack_app_token, &defaults.slack_app_token_file),
            );
        }
        if !self.has_token() {
            complete_secret(
                (&mut self.api_url, &mut self.api_url_file),
                (&defaults.slack_api_url, &defaults.slack_api_url_file),
            );
        }
        self.app_url = self.app_url.take().or_else(|| defaults.slack_app_url.clone());
    }

    fn files_mut(&mut self) -> Vec<&mut PathBuf> {
        [&mut self.api_url_file, &mut self.app_token_file].into_iter().flatten().collect()
    }

    fn check(&self, templates: &Templates, path: &Path, problems: &mut Problems) {
        if self.has_token() {
            check_secret("app_token", &self.app_token, &self.app_token_file, None, path, problems);
            if self.api_url.is_some() || self.api_url_file.is_some() {
                problems
                    .error(path, "there are both `app_token` and `api_url`")
                    .hint("keep the token for an app, the address for an incoming webhook");
            }
            if has_credentials(self.http_config.as_ref()) {
                problems
                    .error(path, "there are other credentials in `http_config` beside `app_token`")
                    .hint("keep one of them");
            }
        } else {
            let hint =
                "give the address of an incoming webhook, or an app's token as `app_token`; both can stand in `global`";
            check_address("api_url", &self.api_url, &self.api_url_file, hint, path, problems);
        }
        if self.has_token() && self.channel.as_ref().is_none_or(String::is_empty) {
            problems.error(path, "the field `channel` is missing").hint("an app posts to a channel, such as `#alerts`");
        }
        if self.update_message == Some(true) && !self.is_app() {
            problems
                .error(&path.field("update_message"), "a webhook cannot edit messages")
                .hint("use an app: give `app_token` and `channel` in place of `api_url`");
        }
        check_templates(
            [
                ("channel", &self.channel),
                ("username", &self.username),
                ("color", &self.color),
                ("title", &self.title),
                ("title_link", &self.title_link),
                ("pretext", &self.pretext),
                ("text", &self.text),
                ("message_text", &self.message_text),
                ("footer", &self.footer),
                ("fallback", &self.fallback),
                ("callback_id", &self.callback_id),
                ("icon_emoji", &self.icon_emoji),
                ("icon_url", &self.icon_url),
                ("image_url", &self.image_url),
                ("thumb_url", &self.thumb_url),
            ],
            templates,
            path,
            problems,
        );
        self.check_parts(templates, path, problems);
    }

    fn render(&self, draft: &Draft<'_>) -> Rendered {
        let page = draft.page;
        let mut errors = Vec::new();
        let title = one_line(&worded(self.title.as_deref(), &page.title, draft, &mut errors));
        // The page's own words are plain text; a template's may hold markup.
        let text = match said(&self.text, draft, &mut errors) {
            Some(text) => cut(&text, TEMPLATE_MAX, UNIT),
            None => escaped(&cut(&page.text, TEXT_MAX, UNIT)),
        };
        // The links are added after the cut, so that they are always there.
        let links = links(page, LINKS_MAX, UNIT, " · ", |label, url| format!("<{}|{label}>", link(url)));
        let mrkdwn_in = match self.mrkdwn_in.as_slice() {
            [] => json!(["pretext", "text"]),
            given => json!(given),
        };
        let mut attachment = json!({
            "color": worded(self.color.as_deref(), &format!("#{:06x}", color(page)), draft, &mut errors),
            "fallback": cut(&worded(self.fallback.as_deref(), &title, draft, &mut errors), TITLE_MAX, UNIT),
            "title": cut(&title, TITLE_MAX, UNIT),
            "title_link": worded(self.title_link.as_deref(), &page.runbook_url, draft, &mut errors),
            "text": format!("{text}\n{links}"),
            "mrkdwn_in": mrkdwn_in,
            "ts": page.at.as_millis() / 1000,
        });
        put(
            &mut attachment,
            [
                ("pretext", said(&self.pretext, draft, &mut errors)),
                ("footer", said(&self.footer, draft, &mut errors)),
                ("callback_id", said(&self.callback_id, draft, &mut errors)),
                ("image_url", said(&self.image_url, draft, &mut errors).or_else(|| page.picture_url.clone())),
                ("thumb_url", said(&self.thumb_url, draft, &mut errors)),
            ],
        );
        for (name, list) in [("fields", self.fields(draft, &mut errors)), ("actions", self.actions(draft, &mut errors))]
        {
            if !list.is_empty() {
                attachment[name] = list.into();
            }
        }
        let line = said(&self.message_text, draft, &mut errors).map(|text| cut(&text, TEXT_MAX, UNIT));
        let line = line.unwrap_or_else(|| cut_as(&title, LINE_MAX, UNIT, escaped));
        let mut body = json!({"text": line, "attachments": [attachment]});
        put(
            &mut body,
            [
                ("channel", said(&self.channel, draft, &mut errors)),
                ("username", said(&self.username, draft, &mut errors)),
                ("icon_emoji", said(&self.icon_emoji, draft, &mut errors)),
                ("icon_url", said(&self.icon_url, draft, &mut errors)),
            ],
        );
        if self.link_names {
            body["link_names"] = true.into();
        }
        Rendered::json(&body, errors)
    }

    fn send(&self, rendered: &Rendered, attempt: &Attempt<'_>) -> Result<Vec<Outgoing>, String> {
        let url = self.post_url(attempt.disk)?;
        let mut rendered = rendered.clone();
        if self.has_token() {
            let token = held(attempt.disk, &self.app_token, &self.app_token_file)?;
            rendered.headers.push(("Authorization".into(), format!("Bearer {token}")));
        }
        let thread = attempt.thread.filter(|_| self.updates()).and_then(|thread| thread.split_once(' '));
        let Some((channel, first)) = thread else { return Ok(vec![rendered.post(url)]) };
        let mut body = rendered.read()?;
        body["channel"] = channel.into();
        let mut edit = body.clone();
        edit["ts"] = first.into();
        body["thread_ts"] = first.into();
        let beside = url.as_str().strip_suffix(POST).and_then(|api| format!("{api}/chat.update").parse().ok());
        let edit = beside.map(|beside| rendered.post_body(beside, edit.to_string()));
        Ok(edit.into_iter().chain([rendered.post_body(url, body.to_string())]).collect())
    }

    /// The Web API and some look-alikes answer 200 with `{"ok": false, "error": …}`; the webhook answers `ok`.
    fn judge(&self, body: &str) -> VerdictKind {
        let answer: Value = serde_json::from_str(body).unwrap_or_default();
        match (answer["ok"].as_bool(), answer["error"].as_str().unwrap_or_default()) {
            (Some(true), _) => VerdictKind::Accepted,
            // Something else answers in Slack's place.
            (None, _) if self.is_app() => VerdictKind::Retry(None),
            (None, _) => VerdictKind::Accepted,
            (
                _,
                "ratelimited"
                | "rate_limited"
                | "internal_error"
                | "fatal_error"
                | "service_unavailable"
                | "request_timeout"
                | "team_added_to_org",
            ) => VerdictKind::Retry(None),
            _ => VerdictKind::Refused,
        }
    }

    /// One message a second to a channel, with short bursts.
    fn pace(&self) -> Option<Pace> {
        Some(Pace { burst: 5, every: Duration::from_secs(1) })
    }

    fn thread(&self, answer: &Response) -> Option<String> {
        let answer = read(answer);
        let (channel, first) = (answer["channel"].as_str()?, answer["ts"].as_str()?);
        self.updates().then(|| format!("{channel} {first}"))
    }

    fn follow(&self, _rendered: &Rendered, attempt: &Attempt<'_>, answer: &Response) -> Option<Follow> {
        alone_if_refused(self, attempt, answer)
    }

    fn picture(&self) -> Shows {
        Shows::given(self.picture, false, if self.has_token() { Shows::Beside } else { Shows::Linked })
    }

    fn beside(&self, attempt: &Attempt<'_>, answer: &Response, picture: &Picture) -> Option<Box<dyn Talk>> {
        let said = read(answer);
        let (channel, message) = (said["channel"].as_str()?, said["ts"].as_str()?);
        // An answer within a thread belongs to that thread's first message.
        let first = attempt.thread.and_then(|thread| Some(thread.split_once(' ')?.1)).unwrap_or(message);
        let api = self.post_url(attempt.disk).ok()?;
        let token = held(attempt.disk, &self.app_token, &self.app_token_file).ok()?;
        Some(Box::new(Upload {
            api: api.as_str().strip_suffix(POST)?.to_owned(),
            bearer: format!("Bearer {token}"),
            picture: Arc::clone(picture),
            channel: channel.to_owned(),
            first: first.to_owned(),
            file: String::new(),
            step: 0,
        }))
    }

    fn secrets(&self, disk: &Disk) -> Vec<Secret> {
        let mut secrets = config::url_secrets(&secret_of(disk, &self.api_url, &self.api_url_file));
        secrets.push(secret_of(disk, &self.app_token, &self.app_token_file));
        // An app's address is no secret.
        secrets.retain(|secret| !secret.expose().ends_with("chat.postMessage"));
        secrets
    }
}

/// The three characters Slack's markup keeps for itself.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// An address within `<…|…>`.
fn link(url: &str) -> String {
    escaped(url).replace('|', "%7C")
}

/// A picture is announced, handed in, and then put into the thread.
struct Upload {
    /// The prefix of the API's methods.
    api: String,
    bearer: String,
    picture: Picture,
    channel: String,
    /// The message whose thread it goes to.
    first: String,
    /// What the file is called there.
    file: String,
    step: u8,
}

impl Upload {
    fn call(&self, method: &str, kind: &str, body: String) -> Result<Request, (VerdictKind, String)> {
        let url = format!("{}/{method}", self.api).parse().map_err(|_| unsaid("an address"))?;
        Ok(Request::post(url, body).header("Content-Type", kind).header("Authorization", self.bearer.clone()))
    }
}

impl Talk for Upload {
    fn next(&mut self, answer: Option<&Response>) -> Result<Option<Request>, (VerdictKind, String)> {
        self.step += 1;
        let said = answer.map(read).unwrap_or_default();
        let ok = || match said["error"].as_str() {
            Some(error) => Err((VerdictKind::Refused, error.to_owned())),
            None => Ok(()),
        };
        match self.step {
            1 => {
                let form = format!("filename={}&length={}", picture::FILE, self.picture.len());
                self.call("files.getUploadURLExternal", "application/x-www-form-urlencoded", form).map(Some)
            }
            2 => {
                ok()?;
                let url = said["upload_url"].as_str().and_then(|url| url.parse().ok());
                self.file = said["file_id"].as_str().unwrap_or_default().to_owned();
                let url = url.ok_or_else(|| unsaid("where the picture goes"))?;
                // That address is the secret; the token stays here.
                Ok(Some(Request::post(url, self.picture.as_slice()).header("Content-Type", picture::PNG)))
            }
            3 => {
                let body = json!({
                    "files": [{"id": self.file, "title": picture::FILE}],
                    "channel_id": self.channel,
                    "thread_ts": self.first,
                });
                self.call("files.completeUploadExternal", "application/json", body.to_string()).map(Some)
            }
            _ => ok().map(|()| None),
        }
    }
}
