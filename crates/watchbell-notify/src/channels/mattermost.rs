//! Mattermost: an incoming webhook.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use watchbell_model::{Path, Problems, Secret};
use watchbell_runtime::Disk;

use super::picture::Shows;
use super::{
    Attempt, Channel, Draft, Outgoing, Rendered, address_of, check_address, check_template, check_templates, color,
    complete_secret, filled, http_channel, links, markdown_escaped, markdown_link, put, said, secret_of, worded,
};
use crate::config::{self, ChannelDefaults};
use crate::cut::{Unit, cut, cut_as, one_line};
use crate::template_data::Templates;

/// Limits in characters: of a post, which attachments share, and of what is shown without folding.
const POST_MAX: usize = 16_383;
const TEXT_MAX: usize = 7000;
const TITLE_MAX: usize = 1024;
const LINKS_MAX: usize = 4000;
const UNIT: Unit = Unit::Characters;

http_channel! {
    /// A Mattermost incoming webhook. Templates are in Go's template language over Alertmanager's data.
    pub struct MattermostConfig {
        /// The webhook's address; whoever has it can post, so take it from a secret: `${secret:name}`. Unless given, as
        /// `global.mattermost_webhook_url` says.
        #[serde(default)]
        pub webhook_url: Option<Secret>,
        /// A file that holds it.
        #[serde(default)]
        pub webhook_url_file: Option<PathBuf>,
        /// Another channel than the webhook's own, a template.
        #[serde(default)]
        pub channel: Option<String>,
        /// Another name of the sender, a template.
        #[serde(default)]
        pub username: Option<String>,
        /// Text, a template with Markdown; unless given: what, since when, where, what else. It stands above `attachments`
        /// where there are some.
        #[serde(default)]
        pub text: Option<String>,
        /// What is shown where attachments are not, a template; unless given, the title.
        #[serde(default)]
        pub fallback: Option<String>,
        /// The colour of the bar, a template; unless given, it shows the severity.
        #[serde(default)]
        pub color: Option<String>,
        /// Text above the attachment, a template.
        #[serde(default)]
        pub pretext: Option<String>,
        /// Name at the top of the attachment, a template.
        #[serde(default)]
        pub author_name: Option<String>,
        /// What that name leads to, a template.
        #[serde(default)]
        pub author_link: Option<String>,
        /// A picture beside that name, a template.
        #[serde(default)]
        pub author_icon: Option<String>,
        /// Title, a template; unless given: severity, what is wrong, how many more.
        #[serde(default)]
        pub title: Option<String>,
        /// What the title leads to, a template; unless given, the run book.
        #[serde(default)]
        pub title_link: Option<String>,
        /// Fields below the text.
        #[serde(default)]
        pub fields: Vec<MattermostField>,
        /// A small picture beside the text, a template.
        #[serde(default)]
        pub thumb_url: Option<String>,
        /// Small text at the end, a template.
        #[serde(default)]
        pub footer: Option<String>,
        /// A picture beside that, a template.
        #[serde(default)]
        pub footer_icon: Option<String>,
        /// A picture below the text, a template.
        #[serde(default)]
        pub image_url: Option<String>,
        /// Whether a picture of the graph is shown by a signed link of `site.url`, which the server must reach; not unless
        /// it is said. `image_url` goes before it.
        #[serde(default)]
        pub picture: Option<bool>,
        /// Another picture of the sender, a template.
        #[serde(default)]
        pub icon_url: Option<String>,
        /// The same, such as `:bell:`, a template.
        #[serde(default)]
        pub icon_emoji: Option<String>,
        /// Attachments in place of the one that the fields above make.
        #[serde(default)]
        pub attachments: Vec<MattermostAttachment>,
        /// The post's type, which begins with `custom_`; a template.
        #[serde(default, rename = "type")]
        pub kind: Option<String>,
        /// What stands at the side of the post.
        #[serde(default)]
        pub props: Option<MattermostProps>,
        /// How urgent the post is, where the server knows that.
        #[serde(default)]
        pub priority: Option<MattermostPriority>,
    }
}

/// A field below the text.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MattermostField {
    /// What it is, a template.
    #[serde(default)]
    pub title: String,
    /// Its value, a template.
    #[serde(default)]
    pub value: String,
    /// Whether it may stand beside another.
    #[serde(default)]
    pub short: Option<bool>,
}

/// An attachment. Its texts are templates.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MattermostAttachment {
    /// What is shown where attachments are not.
    pub fallback: Option<String>,
    /// The colour of the bar.
    pub color: Option<String>,
    /// Text above it.
    pub pretext: Option<String>,
    /// Text.
    pub text: Option<String>,
    /// Name at its top.
    pub author_name: Option<String>,
    /// What that name leads to.
    pub author_link: Option<String>,
    /// A picture beside that name.
    pub author_icon: Option<String>,
    /// Title.
    pub title: Option<String>,
    /// What the title leads to.
    pub title_link: Option<String>,
    /// Fields below the text.
    pub fields: Vec<MattermostField>,
    /// A small picture beside the text.
    pub thumb_url: Option<String>,
    /// Small text at the end.
    pub footer: Option<String>,
    /// A picture beside that.
    pub footer_icon: Option<String>,
    /// A picture below the text.
    pub image_url: Option<String>,
}

/// What stands at the side of a post.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MattermostProps {
    /// Text with Markdown, a template.
    #[serde(default)]
    pub card: Option<String>,
}

/// How urgent a post is.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MattermostPriority {
    /// `urgent`, `important` or `standard`, a template. What is over is standard at most.
    #[serde(default)]
    pub priority: Option<String>,
    /// Whether readers are asked to say that they read it; not where it is standard.
    #[serde(default)]
    pub requested_ack: bool,
    /// Whether it rings until then; only where it is urgent.
    #[serde(default)]
    pub persistent_notifications: bool,
}

impl MattermostConfig {
    /// The attachment that the channel's own fields make.
    fn own(&self) -> MattermostAttachment {
        MattermostAttachment {
            fallback: self.fallback.clone(),
            color: self.color.clone(),
            pretext: self.pretext.clone(),
            text: None,
            author_name: self.author_name.clone(),
            author_link: self.author_link.clone(),
            author_icon: self.author_icon.clone(),
            title: self.title.clone(),
            title_link: self.title_link.clone(),
            fields: self.fields.clone(),
            thumb_url: self.thumb_url.clone(),
            footer: self.footer.clone(),
            footer_icon: self.footer_icon.clone(),
            image_url: self.image_url.clone(),
        }
    }

    fn priority(&self, draft: &Draft<'_>, errors: &mut Vec<String>) -> Option<Value> {
        let given = self.priority.as_ref()?;
        let word = said(&given.priority, draft, errors)?.trim().to_ascii_lowercase();
        let word = match word.as_str() {
            "urgent" | "important" if !draft.page.is_resolved() => word,
            _ => "standard".to_owned(),
        };
        Some(json!({
            "requested_ack": given.requested_ack && word != "standard",
            "persistent_notifications": given.persistent_notifications && word == "urgent",
            "priority": word,
        }))
    }
}

impl MattermostAttachment {
    fn write(&self, draft: &Draft<'_>, errors: &mut Vec<String>) -> Value {
        let mut out = json!({});
        let title = said(&self.title, draft, errors).map(|text| cut(&one_line(&text), TITLE_MAX, UNIT));
        put(
            &mut out,
            [
                ("fallback", said(&self.fallback, draft, errors)),
                ("color", said(&self.color, draft, errors)),
                ("pretext", said(&self.pretext, draft, errors)),
                ("text", said(&self.text, draft, errors).map(|text| cut(&text, TEXT_MAX, UNIT))),
                ("author_name", said(&self.author_name, draft, errors)),
                ("author_link", said(&self.author_link, draft, errors)),
                ("author_icon", said(&self.author_icon, draft, errors)),
                ("title", title),
                ("title_link", said(&self.title_link, draft, errors)),
                ("thumb_url", said(&self.thumb_url, draft, errors)),
                ("footer", said(&self.footer, draft, errors)),
                ("footer_icon", said(&self.footer_icon, draft, errors)),
                ("image_url", said(&self.image_url, draft, errors)),
            ],
        );
        let field = |field: &MattermostField| {
            json!({
                "title": filled(Some(&field.title), draft, errors).unwrap_or_default(),
                "value": filled(Some(&field.value), draft, errors).unwrap_or_default(),
                "short": field.short.unwrap_or(false),
            })
        };
        let fields: Vec<Value> = self.fields.iter().map(field).collect();
        if !fields.is_empty() {
            out["fields"] = fields.into();
        }
        out
    }

    fn check(&self, templates: &Templates, path: &Path, problems: &mut Problems) {
        check_templates(
            [
                ("fallback", &self.fallback),
                ("color", &self.color),
                ("pretext", &self.pretext),
                ("text", &self.text),
                ("author_name", &self.author_name),
                ("author_link", &self.author_link),
                ("author_icon", &self.author_icon),
                ("title", &self.title),
                ("title_link", &self.title_link),
                ("thumb_url", &self.thumb_url),
                ("footer", &self.footer),
                ("footer_icon", &self.footer_icon),
                ("image_url", &self.image_url),
            ],
            templates,
            path,
            problems,
        );
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
    }
}

impl Channel for MattermostConfig {
    fn kind(&self) -> &'static str {
        "mattermost"
    }

    fn complete(&mut self, defaults: &ChannelDefaults) {
        complete_secret(
            (&mut self.webhook_url, &mut self.webhook_url_file),
            (&defaults.mattermost_webhook_url, &defaults.mattermost_webhook_url_file),
        );
    }

    fn files_mut(&mut self) -> Vec<&mut PathBuf> {
        self.webhook_url_file.iter_mut().collect()
    }

    fn check(&self, templates: &Templates, path: &Path, problems: &mut Problems) {
        let hint = "the server shows it under `Integrations`; it can stand in `global.mattermost_webhook_url` too";
        check_address("webhook_url", &self.webhook_url, &self.webhook_url_file, hint, path, problems);
        self.own().check(templates, path, problems);
        for (at, attachment) in self.attachments.iter().enumerate() {
            attachment.check(templates, &path.field("attachments").index(at), problems);
        }
        let card = self.props.as_ref().and_then(|props| props.card.clone());
        let priority = self.priority.as_ref().and_then(|priority| priority.priority.clone());
        check_templates(
            [
                ("text", &self.text),
                ("channel", &self.channel),
                ("username", &self.username),
                ("icon_url", &self.icon_url),
                ("icon_emoji", &self.icon_emoji),
                ("type", &self.kind),
                ("props", &card),
                ("priority", &priority),
            ],
            templates,
            path,
            problems,
        );
    }

    fn render(&self, draft: &Draft<'_>) -> Rendered {
        let page = draft.page;
        let mut errors = Vec::new();
        let title = cut(&one_line(&worded(self.title.as_deref(), &page.title, draft, &mut errors)), TITLE_MAX, UNIT);
        let links = links(page, LINKS_MAX, UNIT, " · ", markdown_link);
        let mut body = if self.attachments.is_empty() {
            let text = match said(&self.text, draft, &mut errors) {
                Some(text) => cut(&text, TEXT_MAX, UNIT),
                None => cut_as(&page.text, TEXT_MAX, UNIT, markdown_escaped),
            };
            let mut own = self.own().write(draft, &mut errors);
            // The links are added after the cut, so that they are always there.
            own["text"] = format!("{text}\n{links}").into();
            let defaults = [
                ("fallback", title.clone()),
                ("color", format!("#{:06x}", color(page))),
                ("title", title),
                ("title_link", page.runbook_url.clone()),
            ];
            let picture = page.picture_url.clone().map(|url| ("image_url", url));
            for (name, value) in defaults.into_iter().chain(picture) {
                if own[name].is_null() {
                    own[name] = value.into();
                }
            }
            json!({"attachments": [own]})
        } else {
            let text = said(&self.text, draft, &mut errors).unwrap_or_else(|| markdown_escaped(&title));
            let text = cut(&text, POST_MAX - LINKS_MAX - 1, UNIT);
            let list: Vec<Value> = self.attachments.iter().map(|it| it.write(draft, &mut errors)).collect();
            json!({"text": format!("{text}\n{links}"), "attachments": list})
        };
        put(
            &mut body,
            [
                ("channel", said(&self.channel, draft, &mut errors)),
                ("username", said(&self.username, draft, &mut errors)),
                ("icon_url", said(&self.icon_url, draft, &mut errors)),
                ("icon_emoji", said(&self.icon_emoji, draft, &mut errors)),
                ("type", said(&self.kind, draft, &mut errors)),
            ],
        );
        if let Some(card) = self.props.as_ref().and_then(|props| said(&props.card, draft, &mut errors)) {
            body["props"] = json!({"card": card});
        }
        if let Some(priority) = self.priority(draft, &mut errors) {
            body["priority"] = priority;
        }
        Rendered::json(&body, errors)
    }

    fn send(&self, rendered: &Rendered, attempt: &Attempt<'_>) -> Result<Vec<Outgoing>, String> {
        let url = address_of(attempt.disk, "webhook_url", &self.webhook_url, &self.webhook_url_file)?;
        Ok(vec![rendered.post(url)])
    }

    fn picture(&self) -> Shows {
        Shows::given(self.picture, false, Shows::Linked)
    }

    fn secrets(&self, disk: &Disk) -> Vec<Secret> {
        config::url_secrets(&secret_of(disk, &self.webhook_url, &self.webhook_url_file))
    }
}
