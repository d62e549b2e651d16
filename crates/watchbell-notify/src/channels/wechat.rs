//! WeChat Work (WeCom): an application's message to people, departments or tags.
//!
//! The secret buys a token for an hour or two, which the message then carries; both stand in addresses, as the API wants.
//! Pages are rare, so that each fetches its own (the server gives the same one while it holds).

use std::path::PathBuf;

use serde_json::{Value, json};
use watchbell_model::{Path, Problems, Secret, Url};
use watchbell_runtime::Disk;
use watchbell_runtime::client::{escape, held};
use watchbell_runtime::http::{Request, Response};

use super::{
    Attempt, Channel, Draft, Follow, Outgoing, Rendered, VerdictKind, check_secret, check_templates, complete_secret,
    http_channel, links, read, said, secret_of, sign,
};
use crate::config::ChannelDefaults;
use crate::cut::{Unit, cut, one_line};
use crate::template_data::Templates;

/// The longest message; what is longer is cut by the server, links and all.
const TEXT_MAX: usize = 2048;
const TITLE_MAX: usize = 500;
const LINKS_MAX: usize = 1000;
const UNIT: Unit = Unit::Bytes;
const TOKEN: &str = "gettoken";

http_channel! {
    /// A WeChat Work application. Templates are in Go's template language over Alertmanager's data.
    pub struct WechatConfig {
        /// The application's secret; take it from a secret: `${secret:name}`. Unless given, as `global.wechat_api_secret`
        /// says.
        #[serde(default)]
        pub api_secret: Option<Secret>,
        /// A file that holds it.
        #[serde(default)]
        pub api_secret_file: Option<PathBuf>,
        /// The company's id; unless given, as `global.wechat_api_corp_id` says.
        #[serde(default)]
        pub corp_id: Option<String>,
        /// Message, a template; unless given: severity, what is wrong, since when, where, what else.
        #[serde(default)]
        pub message: Option<String>,
        /// The API; unless given, as `global.wechat_api_url` says, or `https://qyapi.weixin.qq.com/cgi-bin/`.
        #[serde(default)]
        pub api_url: Option<Url>,
        /// People, joined by `|`, a template. Where neither these nor the next two are given, all who see the application.
        #[serde(default)]
        pub to_user: Option<String>,
        /// Departments, joined by `|`, a template.
        #[serde(default)]
        pub to_party: Option<String>,
        /// Tags, joined by `|`, a template.
        #[serde(default)]
        pub to_tag: Option<String>,
        /// The application's number, a template.
        #[serde(default)]
        pub agent_id: Option<String>,
        /// `text`, which is usual, or `markdown`.
        #[serde(default)]
        pub message_type: String,
    }
}

impl WechatConfig {
    fn method(&self, name: &str, query: &str) -> Result<Url, String> {
        let api = self.api_url.as_ref().map_or("https://qyapi.weixin.qq.com/cgi-bin", Url::as_str);
        let url = format!("{}/{name}?{query}", api.trim_end_matches('/')).parse();
        url.map_err(|_| "`api_url` is not a web address".to_owned())
    }
}

impl Channel for WechatConfig {
    fn kind(&self) -> &'static str {
        "wechat"
    }

    fn complete(&mut self, defaults: &ChannelDefaults) {
        complete_secret(
            (&mut self.api_secret, &mut self.api_secret_file),
            (&defaults.wechat_api_secret, &defaults.wechat_api_secret_file),
        );
        self.corp_id = self.corp_id.take().or_else(|| defaults.wechat_api_corp_id.clone());
        self.api_url = self.api_url.take().or_else(|| defaults.wechat_api_url.clone());
    }

    fn files_mut(&mut self) -> Vec<&mut PathBuf> {
        self.api_secret_file.iter_mut().collect()
    }

    fn check(&self, templates: &Templates, path: &Path, problems: &mut Problems) {
        let hint = "the application's page shows it; it can stand in `global.wechat_api_secret` too";
        check_secret("api_secret", &self.api_secret, &self.api_secret_file, Some(hint), path, problems);
        if self.corp_id.as_ref().is_none_or(String::is_empty) {
            problems
                .error(path, "the field `corp_id` is missing")
                .hint("it is the company's id; it can stand in `global.wechat_api_corp_id` too");
        }
        if !matches!(self.message_type.as_str(), "" | "text" | "markdown") {
            problems
                .error(&path.field("message_type"), format!("`{}` is not a type of message", self.message_type))
                .hint("it is `text` or `markdown`");
        }
        check_templates(
            [
                ("message", &self.message),
                ("to_user", &self.to_user),
                ("to_party", &self.to_party),
                ("to_tag", &self.to_tag),
                ("agent_id", &self.agent_id),
            ],
            templates,
            path,
            problems,
        );
    }

    fn render(&self, draft: &Draft<'_>) -> Rendered {
        let page = draft.page;
        let mut errors = Vec::new();
        let links = links(page, LINKS_MAX, UNIT, "\n", |label, url| format!("{label}: {url}"));
        let room = TEXT_MAX - UNIT.size(&links) - 1;
        let text = match said(&self.message, draft, &mut errors) {
            Some(text) => cut(&text, room, UNIT),
            None => {
                let title = format!("{} {}", sign(page), cut(&one_line(&page.title), TITLE_MAX, UNIT));
                let text = cut(&page.text, room.saturating_sub(title.len() + 1), UNIT);
                format!("{title}\n{text}")
            }
        };
        let kind = if self.message_type.is_empty() { "text" } else { &self.message_type };
        let mut to = [("touser", &self.to_user), ("toparty", &self.to_party), ("totag", &self.to_tag)]
            .map(|(name, template)| (name, said(template, draft, &mut errors)));
        if to.iter().all(|(_, given)| given.is_none()) {
            to[0].1 = Some("@all".into());
        }
        let mut body = json!({"msgtype": kind, "safe": "0", (kind): {"content": format!("{text}\n{links}")}});
        super::put(&mut body, to);
        super::put(&mut body, [("agentid", said(&self.agent_id, draft, &mut errors))]);
        Rendered::json(&body, errors)
    }

    fn send(&self, _rendered: &Rendered, attempt: &Attempt<'_>) -> Result<Vec<Outgoing>, String> {
        let secret = held(attempt.disk, &self.api_secret, &self.api_secret_file)?;
        let company = self.corp_id.as_deref().unwrap_or_default();
        let query = format!("corpid={}&corpsecret={}", escape(company), escape(&secret));
        Ok(vec![Outgoing::Http(Box::new(Request::get(self.method(TOKEN, &query)?)))])
    }

    /// The token's answer leads to the message.
    fn follow(&self, rendered: &Rendered, _attempt: &Attempt<'_>, answer: &Response) -> Option<Follow> {
        let said = read(answer);
        let token = said["access_token"].as_str().filter(|token| !token.is_empty())?;
        if answer.status != 200 || !answer.url.path_and_query().contains(&format!("/{TOKEN}?")) {
            return None;
        }
        let url = self.method("message/send", &format!("access_token={}", escape(token))).ok()?;
        Some(Follow::Instead(vec![rendered.post(url)]))
    }

    /// All errors come with status 200.
    fn judge(&self, body: &str) -> VerdictKind {
        let answer: Value = serde_json::from_str(body).unwrap_or_default();
        match answer["errcode"].as_i64() {
            Some(0) => VerdictKind::Accepted,
            // Busy; the token is over or not known any more; too often; too many at once.
            Some(-1 | 40014 | 42001 | 45009 | 45033) => VerdictKind::Retry(None),
            Some(_) => VerdictKind::Refused,
            // Something else answers in its place.
            None => VerdictKind::Retry(None),
        }
    }

    /// Thirty messages a minute.
    fn pace(&self) -> Option<super::Pace> {
        Some(super::Pace { burst: 20, every: std::time::Duration::from_secs(2) })
    }

    fn secrets(&self, disk: &Disk) -> Vec<Secret> {
        vec![secret_of(disk, &self.api_secret, &self.api_secret_file)]
    }
}
