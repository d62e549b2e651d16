//! Matrix: a user who writes to a room, by the client-server API.
//!
//! A later page of a group edits the first message, so that the room shows how things stand, and is added to its thread,
//! since an edit rings nobody. The server drops what comes twice under one transaction id, so a page sent again after a
//! lost answer is still there once.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Value, json};
use watchbell_model::{Path, Picture, Problems, Secret, Url};
use watchbell_runtime::Disk;
use watchbell_runtime::client::{escape, held};
use watchbell_runtime::http::{Request, Response};

use super::picture::{self, Shows, unsaid};
use super::{
    Attempt, Channel, Draft, Follow, Outgoing, Rendered, Talk, VerdictKind, accepted_with, alone_if_refused,
    check_secret, check_templates, has_credentials, html_escaped, http_channel, links, read, said, secret_of, sign,
    worded,
};
use crate::cut::{Unit, cut, cut_as, one_line};
use crate::template_data::Templates;

/// An event is at most 65,536 bytes, and an edit holds the words four times, plain and in HTML.
const TEXT_MAX: usize = 5000;
const HTML_MAX: usize = 9000;
const TITLE_MAX: usize = 500;
const LINKS_MAX: usize = 3000;
const UNIT: Unit = Unit::Bytes;

http_channel! {
    /// A Matrix room. Encryption is not spoken: the room must do without.
    pub struct MatrixConfig {
        /// The server that the user is at, such as `https://matrix.example.org`.
        pub homeserver_url: Url,
        /// The user's access token; take it from a secret: `${secret:name}`.
        #[serde(default)]
        pub access_token: Option<Secret>,
        /// A file that holds it.
        #[serde(default)]
        pub access_token_file: Option<PathBuf>,
        /// The room's id, which begins with `!`; the user must be in it.
        pub room_id: String,
        /// Title in Go's template language over Alertmanager's data; unless given: severity, what is wrong, how many more.
        #[serde(default)]
        pub title: Option<String>,
        /// Text in the same language, plain; unless given: what, since when, where, what else.
        #[serde(default)]
        pub message: Option<String>,
        /// Whether a picture of the graph answers what fires, drawn by watchbell; so unless it is said otherwise.
        #[serde(default)]
        pub picture: Option<bool>,
    }
}

impl MatrixConfig {
    fn put(&self, rendered: &Rendered, content: &Value, transaction: &str, disk: &Disk) -> Result<Outgoing, String> {
        let (room, transaction) = (escape(&self.room_id), escape(transaction));
        let path = format!("_matrix/client/v3/rooms/{room}/send/m.room.message/{transaction}");
        let url: Url = self.homeserver_url.join(&path).parse().map_err(|_| "`homeserver_url` is not a web address")?;
        let token = held(disk, &self.access_token, &self.access_token_file)?;
        let mut request = rendered.request(url, content.to_string());
        request.method = "PUT".into();
        Ok(Outgoing::Http(Box::new(request.header("Authorization", format!("Bearer {token}")))))
    }
}

impl Channel for MatrixConfig {
    fn kind(&self) -> &'static str {
        "matrix"
    }

    fn files_mut(&mut self) -> Vec<&mut PathBuf> {
        self.access_token_file.iter_mut().collect()
    }

    fn check(&self, templates: &Templates, path: &Path, problems: &mut Problems) {
        let hint = "log in as the user who is to write, and take the token of that session";
        check_secret("access_token", &self.access_token, &self.access_token_file, Some(hint), path, problems);
        if !self.room_id.starts_with('!') {
            problems
                .error(&path.field("room_id"), format!("`{}` is not a room's id", self.room_id))
                .hint("it begins with `!`; a room's settings show it under `Advanced`");
        }
        if has_credentials(self.http_config.as_ref()) {
            problems
                .error(path, "there are other credentials in `http_config` beside `access_token`")
                .hint("keep one of them");
        }
        check_templates([("title", &self.title), ("message", &self.message)], templates, path, problems);
    }

    fn render(&self, draft: &Draft<'_>) -> Rendered {
        let page = draft.page;
        let mut errors = Vec::new();
        let title = one_line(&worded(self.title.as_deref(), &page.title, draft, &mut errors));
        let title = format!("{} {}", sign(page), cut(&title, TITLE_MAX, UNIT));
        let text = said(&self.message, draft, &mut errors).unwrap_or_else(|| page.text.clone());
        let text = cut(&text, TEXT_MAX, UNIT);
        let lines = links(page, LINKS_MAX, UNIT, "\n", |label, url| format!("{label}: {url}"));
        let anchors =
            links(page, LINKS_MAX, UNIT, " · ", |label, url| format!("<a href=\"{}\">{label}</a>", html_escaped(url)));
        let html = cut_as(&text, HTML_MAX, UNIT, |text| html_escaped(text).replace('\n', "<br>"));
        let content = json!({
            "msgtype": "m.text",
            "body": format!("{title}\n{text}\n{lines}"),
            "format": "org.matrix.custom.html",
            "formatted_body": format!("<strong>{}</strong><br>{html}<br>{anchors}", html_escaped(&title)),
        });
        Rendered::json(&content, errors)
    }

    fn send(&self, rendered: &Rendered, attempt: &Attempt<'_>) -> Result<Vec<Outgoing>, String> {
        let mut page = rendered.read()?;
        let Some(first) = attempt.thread else {
            return Ok(vec![self.put(rendered, &page, attempt.key, attempt.disk)?]);
        };
        let mut edit = page.clone();
        for name in ["body", "formatted_body"] {
            // What clients show that know no edits.
            edit[name] = format!("* {}", page[name].as_str().unwrap_or_default()).into();
        }
        edit["m.new_content"] = page.clone();
        edit["m.relates_to"] = json!({"rel_type": "m.replace", "event_id": first});
        page["m.relates_to"] = json!({
            "rel_type": "m.thread",
            "event_id": first,
            "is_falling_back": true,
            "m.in_reply_to": {"event_id": first},
        });
        // A transaction id stands for one event: the edit and the answer have ids of their own, and so has the page
        // when it is sent alone after one of them was refused.
        Ok(vec![
            self.put(rendered, &edit, &format!("{}-edit", attempt.key), attempt.disk)?,
            self.put(rendered, &page, &format!("{}-thread", attempt.key), attempt.disk)?,
        ])
    }

    fn judge(&self, body: &str) -> VerdictKind {
        accepted_with("event_id", body)
    }

    fn thread(&self, answer: &Response) -> Option<String> {
        Some(read(answer)["event_id"].as_str()?.to_owned())
    }

    fn follow(&self, _rendered: &Rendered, attempt: &Attempt<'_>, answer: &Response) -> Option<Follow> {
        alone_if_refused(self, attempt, answer)
    }

    /// What servers allow a user unless they are told otherwise.
    fn pace(&self) -> Option<super::Pace> {
        Some(super::Pace { burst: 10, every: std::time::Duration::from_secs(5) })
    }

    fn picture(&self) -> Shows {
        Shows::given(self.picture, true, Shows::Beside)
    }

    /// Into the thread of the group's first message.
    fn beside(&self, attempt: &Attempt<'_>, answer: &Response, picture: &Picture) -> Option<Box<dyn Talk>> {
        let answered = read(answer)["event_id"].as_str().map(str::to_owned);
        let first = attempt.thread.map(str::to_owned).or(answered)?;
        let token = held(attempt.disk, &self.access_token, &self.access_token_file).ok()?;
        let (room, transaction) = (escape(&self.room_id), escape(&format!("{}-picture", attempt.key)));
        let path = format!("_matrix/client/v3/rooms/{room}/send/m.room.message/{transaction}");
        Some(Box::new(Upload {
            upload: self
                .homeserver_url
                .join(&format!("_matrix/media/v3/upload?filename={}", picture::FILE))
                .parse()
                .ok()?,
            send: self.homeserver_url.join(&path).parse().ok()?,
            bearer: format!("Bearer {token}"),
            picture: Arc::clone(picture),
            first,
            step: 0,
        }))
    }

    fn secrets(&self, disk: &Disk) -> Vec<Secret> {
        vec![secret_of(disk, &self.access_token, &self.access_token_file)]
    }
}

/// A picture is handed in first, and then told of in the room.
struct Upload {
    upload: Url,
    send: Url,
    bearer: String,
    picture: Picture,
    /// The event whose thread it goes to.
    first: String,
    step: u8,
}

impl Talk for Upload {
    fn next(&mut self, answer: Option<&Response>) -> Result<Option<Request>, (VerdictKind, String)> {
        self.step += 1;
        let request = match (self.step, answer) {
            (1, _) => Request::post(self.upload.clone(), self.picture.as_slice()).header("Content-Type", picture::PNG),
            (2, Some(answer)) => {
                let answer = read(answer);
                let address = answer["content_uri"].as_str().ok_or_else(|| unsaid("where the picture is"))?;
                let mut content = json!({
                    "msgtype": "m.image",
                    "body": picture::FILE,
                    "url": address,
                    "info": {"mimetype": picture::PNG, "size": self.picture.len()},
                    "m.relates_to": {
                        "rel_type": "m.thread",
                        "event_id": self.first,
                        "is_falling_back": true,
                        "m.in_reply_to": {"event_id": self.first},
                    },
                });
                if let Some((width, height)) = picture::size(&self.picture) {
                    content["info"]["w"] = width.into();
                    content["info"]["h"] = height.into();
                }
                let mut request = Request::post(self.send.clone(), content.to_string());
                request.method = "PUT".into();
                request.header("Content-Type", "application/json")
            }
            _ => return Ok(None),
        };
        Ok(Some(request.header("Authorization", self.bearer.clone())))
    }
}
