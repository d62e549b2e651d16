//! A group of alerts as templates see it: Alertmanager's data, and our page beside it.

use std::collections::BTreeMap;

use watchbell_model::{GroupNotification, Labels, Path, Problems, Timestamp};
use watchbell_template::{Context, Template, TemplateError, Value};

use crate::channels::Draft;
use crate::config::Site;
use crate::mail;
use crate::page::Page;

/// What Alertmanager's own default templates are called, so that a template that calls them goes on working; each is
/// our page's title or text.
const DEFAULTS: &str = r#"
{{- define "__subject" }}{{ .Title }}{{ end }}
{{- define "__alertmanager" }}watchbell{{ end }}
{{- define "__alertmanagerURL" }}{{ .ExternalURL }}{{ end }}
{{- define "__description" }}{{ end }}
{{- define "__text_alert_list" }}{{ .Text }}{{ end }}
{{- define "__text_alert_list_markdown" }}{{ .Text }}{{ end }}
{{- define "slack.default.title" }}{{ .Title }}{{ end }}
{{- define "slack.default.username" }}watchbell{{ end }}
{{- define "slack.default.fallback" }}{{ .Title }}{{ end }}
{{- define "slack.default.callbackid" }}{{ end }}
{{- define "slack.default.pretext" }}{{ end }}
{{- define "slack.default.titlelink" }}{{ .RunbookURL }}{{ end }}
{{- define "slack.default.iconemoji" }}{{ end }}
{{- define "slack.default.iconurl" }}{{ end }}
{{- define "slack.default.text" }}{{ .Text }}{{ end }}
{{- define "slack.default.footer" }}{{ end }}
{{- define "slack.default.color" }}{{ if eq .Status "firing" }}danger{{ else }}good{{ end }}{{ end }}
{{- define "telegram.default.message" }}<b>{{ .Title | html }}</b>
{{ .Text | html }}{{ end }}
{{- define "discord.default.content" }}{{ end }}
{{- define "discord.default.title" }}{{ .Title }}{{ end }}
{{- define "discord.default.message" }}{{ .Text }}{{ end }}
{{- define "msteams.default.summary" }}{{ .Title }}{{ end }}
{{- define "msteams.default.title" }}{{ .Title }}{{ end }}
{{- define "msteams.default.text" }}{{ .Text }}{{ end }}
{{- define "msteamsv2.default.title" }}{{ .Title }}{{ end }}
{{- define "msteamsv2.default.text" }}{{ .Text }}{{ end }}
{{- define "mattermost.default.color" }}{{ if eq .Status "firing" }}danger{{ else }}good{{ end }}{{ end }}
{{- define "mattermost.default.username" }}watchbell{{ end }}
{{- define "mattermost.default.title" }}{{ .Title }}{{ end }}
{{- define "mattermost.default.titlelink" }}{{ .RunbookURL }}{{ end }}
{{- define "mattermost.default.fallback" }}{{ .Title }}{{ end }}
{{- define "mattermost.default.text" }}{{ .Text }}{{ end }}
{{- define "rocketchat.default.title" }}{{ .Title }}{{ end }}
{{- define "rocketchat.default.alias" }}watchbell{{ end }}
{{- define "rocketchat.default.titlelink" }}{{ .RunbookURL }}{{ end }}
{{- define "rocketchat.default.emoji" }}{{ end }}
{{- define "rocketchat.default.iconurl" }}{{ end }}
{{- define "rocketchat.default.text" }}{{ .Text }}{{ end }}
{{- define "webex.default.message" }}**{{ .Title }}**

{{ .Text }}{{ end }}
{{- define "wechat.default.message" }}{{ .Title }}
{{ .Text }}{{ end }}
{{- define "wechat.default.to_user" }}{{ end }}
{{- define "wechat.default.to_party" }}{{ end }}
{{- define "wechat.default.to_tag" }}{{ end }}
{{- define "wechat.default.agent_id" }}{{ end }}
{{- define "email.default.subject" }}{{ .Title }}{{ end }}
{{- define "email.default.html" }}{{ .PageHTML }}{{ end }}
{{- define "__text_alert_list" }}{{ .Text }}{{ end }}
{{- define "pagerduty.default.description" }}{{ .Title }}{{ end }}
{{- define "pagerduty.default.instances" }}{{ .Text }}{{ end }}
{{- define "pagerduty.default.client" }}watchbell{{ end }}
{{- define "pagerduty.default.clientURL" }}{{ .AlarmURL }}{{ end }}
{{- define "opsgenie.default.message" }}{{ .Title }}{{ end }}
{{- define "opsgenie.default.description" }}{{ .Text }}{{ end }}
{{- define "opsgenie.default.source" }}{{ .AlarmURL }}{{ end }}
{{- define "victorops.default.state_message" }}{{ .Text }}{{ end }}
{{- define "victorops.default.entity_display_name" }}{{ .Title }}{{ end }}
{{- define "victorops.default.monitoring_tool" }}watchbell{{ end }}
{{- define "jira.default.summary" }}{{ .Title }}{{ end }}
{{- define "jira.default.description" }}{{ .Text }}{{ end }}
{{- define "jira.default.priority" }}{{ if eq .Severity "critical" }}High{{ else if eq .Severity "warning" }}Medium{{ else }}Low{{ end }}{{ end }}
{{- define "sns.default.subject" }}{{ .Title }}{{ end }}
{{- define "sns.default.message" }}{{ .Text }}{{ end }}
{{- define "pushover.default.title" }}{{ .Title }}{{ end }}
{{- define "pushover.default.message" }}{{ .Text }}{{ end }}
{{- define "pushover.default.url" }}{{ .RunbookURL }}{{ end }}
{{- define "ntfy.default.title" }}{{ .Title }}{{ end }}
{{- define "ntfy.default.message" }}{{ .Text }}{{ end -}}
"#;

/// Templates that channels' own may call: those of files, and ours under the names of Alertmanager's.
#[derive(Clone, Debug, Default)]
pub struct Templates {
    files: Vec<(String, String)>,
}

impl Templates {
    /// Of files by name, in order; a later definition of a name replaces an earlier one.
    ///
    /// # Errors
    /// The first file that is wrong, with the place.
    pub fn new(files: Vec<(String, String)>) -> Result<Templates, TemplateError> {
        for (name, text) in &files {
            Template::parse(name, text)?;
        }
        Ok(Templates { files })
    }

    /// Refuses a template that cannot be read.
    pub fn check(&self, text: &str, path: &Path, problems: &mut Problems) {
        if let Err(error) = self.parse(text) {
            let message =
                format!("the template is wrong: {} (line {}, column {})", error.message, error.line, error.column);
            problems.error(path, message).hint("leave it out for words that say what, since when and how many more");
        }
    }

    /// Reads a template of the configuration.
    pub(crate) fn parse(&self, text: &str) -> Result<Template, TemplateError> {
        let files = self.files.iter().map(|(name, text)| (name.as_str(), text.as_str()));
        let texts: Vec<(&str, &str)> = [("template", text), ("defaults", DEFAULTS)].into_iter().chain(files).collect();
        Template::parse_many(&texts)
    }
}

/// Writes a template of the configuration over a group.
pub(crate) fn render(text: &str, draft: &Draft<'_>) -> Result<String, TemplateError> {
    write(text, &data(draft.page, draft.group, draft.site, draft.group.reason.words()), draft.group, draft)
}

/// Writes a template whose result is HTML: what alerts say gets its special characters escaped first.
pub(crate) fn render_html(text: &str, draft: &Draft<'_>) -> Result<String, TemplateError> {
    let escaped = |labels: &Labels| Labels::from_pairs(labels.iter().map(|(name, value)| (name, mail::escaped(value))));
    let mut group = draft.group.clone();
    group.group_labels = escaped(&group.group_labels);
    group.route_labels = escaped(&group.route_labels);
    for alert in &mut group.alerts {
        alert.labels = escaped(&alert.labels);
        alert.annotations = escaped(&alert.annotations);
        alert.generator_url = mail::escaped(&alert.generator_url);
    }
    let mut page = draft.page.clone();
    for text in [&mut page.title, &mut page.text, &mut page.runbook_url, &mut page.alarm_url] {
        *text = mail::escaped(text);
    }
    let mut data = data(&page, &group, draft.site, group.reason.words());
    if let Value::Record(fields) = &mut data {
        let html = mail::html(draft.page, &draft.site.name);
        std::sync::Arc::make_mut(fields).insert("PageHTML".into(), html.as_str().into());
    }
    write(text, &data, &group, draft)
}

/// Writes a template over data of a group whose labels of the route are written.
fn write(text: &str, data: &Value, group: &GroupNotification, draft: &Draft<'_>) -> Result<String, TemplateError> {
    let route_label = |name: &str| Ok(group.route_labels.get(name).unwrap_or_default().to_owned());
    let context = Context::alertmanager(group.at, draft.site.url.as_str(), &route_label);
    draft.templates.parse(text)?.render(data, &context)
}

/// What templates see; `reason` says why the group is told of now.
pub(crate) fn data(page: &Page, group: &GroupNotification, site: &Site, reason: &str) -> Value {
    let status = |resolved: bool| Value::from(if resolved { "resolved" } else { "firing" });
    let alerts = group.alerts.iter().map(|alert| {
        Value::record([
            ("Status", status(alert.is_resolved_at(group.at))),
            ("Labels", Value::from(&alert.labels)),
            ("Annotations", Value::from(&alert.annotations)),
            ("StartsAt", alert.starts_at.into()),
            ("EndsAt", alert.ends_at.unwrap_or(YEAR_ONE).into()),
            ("GeneratorURL", alert.generator_url.as_str().into()),
            ("Fingerprint", format!("{:016x}", alert.fingerprint()).into()),
        ])
    });
    Value::record([
        ("Receiver", Value::from(group.receiver.as_str())),
        ("Status", status(page.is_resolved())),
        ("Alerts", Value::list(alerts)),
        ("GroupLabels", (&group.group_labels).into()),
        ("CommonLabels", (&common(group.alerts.iter().map(|alert| &alert.labels))).into()),
        ("CommonAnnotations", (&common(group.alerts.iter().map(|alert| &alert.annotations))).into()),
        ("RouteLabels", (&group.route_labels).into()),
        ("NotificationReason", reason.into()),
        ("ExternalURL", site.url.as_str().trim_end_matches('/').into()),
        ("GroupKey", group.group_key.as_str().into()),
        ("Title", page.title.as_str().into()),
        ("Text", page.text.as_str().into()),
        ("Severity", page.severity.as_str().into()),
        ("RunbookURL", page.runbook_url.as_str().into()),
        ("AlarmURL", page.alarm_url.as_str().into()),
        // In HTML the page's own; elsewhere its text.
        ("PageHTML", page.text.as_str().into()),
    ])
}

/// Go's zero time, which Alertmanager writes for "not over".
const YEAR_ONE: Timestamp = Timestamp(-62_135_596_800_000);

/// Pairs that all sets share.
fn common<'a>(mut sets: impl Iterator<Item = &'a Labels>) -> Labels {
    let Some(first) = sets.next() else { return Labels::empty() };
    let mut shared: BTreeMap<&str, &str> = first.iter().collect();
    for set in sets {
        shared.retain(|name, value| set.get(name) == Some(value));
    }
    Labels::from_pairs(shared)
}
