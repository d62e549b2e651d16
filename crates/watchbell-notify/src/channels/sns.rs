//! Amazon SNS: topics, phones and apps.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use watchbell_model::{Path, Problems, Secret, SigV4Config, Url};
use watchbell_runtime::{Disk, aws};

use super::{
    Attempt, AwsCall, Channel, Draft, Outgoing, Rendered, VerdictKind, check_template, filled, http_channel, worded,
};
use crate::cut::{Unit, cut, one_line};
use crate::template_data::Templates;

/// Limits of the API: a message in bytes, a text message and a subject in characters.
const MESSAGE_MAX: usize = 256 << 10;
const SMS_MAX: usize = 1600;
const SUBJECT_MAX: usize = 99;
/// Room for attributes, which count with the message, in bytes.
const ATTRIBUTES_ROOM: usize = 8 << 10;
/// Attributes of one message.
const ATTRIBUTES_MAX: usize = 10;
const SNS: aws::Service = aws::Service { name: "sns", host: "sns", variable: "SNS", prefix: "2010-03-31" };

http_channel! {
    /// A topic, a phone or an app behind Amazon SNS: one of `topic_arn`, `phone_number` and `target_arn`.
    pub struct SnsConfig {
        /// Where the API is, if it is not AWS' own for the region; a template.
        #[serde(default)]
        pub api_url: Option<String>,
        /// As whom it is asked; the surroundings' credentials unless given.
        #[serde(default)]
        pub sigv4: SigV4Config,
        /// The topic; a template. Of one that ends in `.fifo` the pages of a group keep their order.
        #[serde(default)]
        pub topic_arn: Option<String>,
        /// The phone that gets a text message, such as `+15005550010`; a template.
        #[serde(default)]
        pub phone_number: Option<String>,
        /// The app or device; a template.
        #[serde(default)]
        pub target_arn: Option<String>,
        /// The subject of mails, a template; unless given: severity, what is wrong, how many more.
        #[serde(default)]
        pub subject: Option<String>,
        /// The message, a template; unless given: what, since when, where, what else; to phones the title and the run book.
        #[serde(default)]
        pub message: Option<String>,
        /// Attributes of the message; names and values are templates.
        #[serde(default)]
        pub attributes: BTreeMap<String, String>,
        /// Chooses between two HTTP clients in Alertmanager; without effect here, where there is one.
        #[serde(default)]
        pub use_aws_http_client: bool,
    }
}

impl SnsConfig {
    fn is_sms(&self) -> bool {
        self.phone_number.is_some()
    }

    fn targets(&self) -> [(&'static str, &'static str, &Option<String>); 3] {
        [
            ("topic_arn", "TopicArn", &self.topic_arn),
            ("phone_number", "PhoneNumber", &self.phone_number),
            ("target_arn", "TargetArn", &self.target_arn),
        ]
    }
}

impl Channel for SnsConfig {
    fn kind(&self) -> &'static str {
        "sns"
    }

    fn check(&self, templates: &Templates, path: &Path, problems: &mut Problems) {
        let given = self.targets().iter().filter(|(_, _, it)| it.as_deref().is_some_and(|it| !it.is_empty())).count();
        if given != 1 {
            let message = if given == 0 { "it goes nowhere" } else { "it goes to more than one place" };
            problems.error(path, message).hint("give one of `topic_arn`, `phone_number` and `target_arn`");
        }
        for (name, template) in self.targets().map(|(name, _, it)| (name, it)).into_iter().chain([
            ("api_url", &self.api_url),
            ("subject", &self.subject),
            ("message", &self.message),
        ]) {
            check_template(template.as_deref(), templates, &path.field(name), problems);
        }
        for (name, template) in &self.attributes {
            for text in [name, template] {
                check_template(Some(text), templates, &path.field("attributes").field(name), problems);
            }
        }
        if let Some(url) = self.api_url.as_deref().filter(|url| !url.is_empty() && !url.contains("{{"))
            && url.parse::<Url>().is_err()
        {
            problems
                .error(&path.field("api_url"), format!("`{url}` is not a web address"))
                .hint("such as `https://sns.eu-west-1.amazonaws.com`");
        }
        self.sigv4.check(&path.field("sigv4"), problems);
    }

    fn render(&self, draft: &Draft<'_>) -> Rendered {
        let page = draft.page;
        let mut errors = Vec::new();
        let usual = if self.is_sms() { &page.title } else { &page.text };
        let message = worded(self.message.as_deref(), usual, draft, &mut errors);
        let links = match self.is_sms() {
            _ if message.contains(&page.runbook_url) => String::new(),
            true => format!("\n{}", page.runbook_url),
            false => format!("\n\nRun book: {}\nAlarm: {}", page.runbook_url, page.alarm_url),
        };
        let (max, unit) = match self.is_sms() {
            true => (SMS_MAX, Unit::Characters),
            false => (MESSAGE_MAX - ATTRIBUTES_ROOM, Unit::Bytes),
        };
        let size = if self.is_sms() { links.chars().count() } else { links.len() };
        let short = cut(&message, max.saturating_sub(size), unit);
        let mut fields = vec![("Message".to_owned(), format!("{short}{links}"))];
        for (_, name, template) in self.targets() {
            let text = filled(template.as_deref(), draft, &mut errors).filter(|it| !it.trim().is_empty());
            fields.extend(text.map(|text| (name.to_owned(), one_line(&text))));
        }
        let is_fifo = fields.iter().any(|(name, value)| name == "TopicArn" && value.ends_with(".fifo"));
        if is_fifo {
            fields.push(("MessageGroupId".into(), page.sequence_id.clone()));
        }
        if !self.is_sms() {
            let subject = worded(self.subject.as_deref(), &page.title, draft, &mut errors);
            // SNS takes ASCII only here, and no `<` or `>` at its start; mail shows the rest of the page whole.
            let ascii: String = one_line(&subject).chars().map(|c| if c.is_ascii() { c } else { '?' }).collect();
            let subject: String = ascii.chars().take(SUBJECT_MAX).collect();
            fields.push(("Subject".into(), subject));
        }
        let mut attributes: Vec<(String, String)> = Vec::new();
        for (name, value) in &self.attributes {
            let mut text = |template: &str| filled(Some(template), draft, &mut errors).unwrap_or_default();
            attributes.push((text(name), text(value)));
        }
        if short.len() < message.len() {
            attributes.push(("truncated".into(), "true".into()));
        }
        attributes.retain(|(name, value)| !name.is_empty() && !value.is_empty());
        for (at, (name, value)) in attributes.into_iter().take(ATTRIBUTES_MAX).enumerate() {
            let entry = format!("MessageAttributes.entry.{}", at + 1);
            fields.push((format!("{entry}.Name"), name));
            fields.push((format!("{entry}.Value.DataType"), "String".into()));
            fields.push((format!("{entry}.Value.StringValue"), value));
        }
        let endpoint = filled(self.api_url.as_deref(), draft, &mut errors).unwrap_or_default();
        let fields: Vec<Value> = fields.into_iter().map(|(name, value)| json!([name, value])).collect();
        let body = json!({"endpoint": endpoint.trim(), "fields": fields});
        Rendered { headers: Vec::new(), body: body.to_string(), template_errors: errors }
    }

    fn send(&self, rendered: &Rendered, attempt: &Attempt<'_>) -> Result<Vec<Outgoing>, String> {
        let body = rendered.read()?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let fields = body["fields"].as_array().into_iter().flatten();
        let mut fields: Vec<(String, String)> = fields.map(|pair| (text(&pair[0]), text(&pair[1]))).collect();
        if fields.iter().any(|(name, _)| name == "MessageGroupId") {
            fields.push(("MessageDeduplicationId".into(), attempt.key.to_owned()));
        }
        Ok(vec![Outgoing::Aws(Box::new(AwsCall {
            service: SNS,
            account: aws::Account::of(&self.sigv4, text(&body["endpoint"])),
            call: "Publish",
            fields,
        }))])
    }

    /// Too many, and credentials that have just ended, come with status 400 and 403.
    fn judge_status(&self, _status: u16, body: &str) -> Option<VerdictKind> {
        let again = [
            "Throttl",
            "ExpiredToken",
            "RequestExpired",
            "KMSThrottling",
            "SignatureDoesNotMatch</Code><Message>Signature expired",
        ];
        again.iter().any(|word| body.contains(word)).then_some(VerdictKind::Retry(None))
    }

    fn secrets(&self, _disk: &Disk) -> Vec<Secret> {
        self.sigv4.secret_key.iter().cloned().collect()
    }
}
