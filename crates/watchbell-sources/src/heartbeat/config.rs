//! What a heartbeat is told to expect.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use watchbell_model::{Cron, Labels, OnCalendar, Path, Problems, RunbookRef, Schedule, Severity, Span, Zone};

use super::definition::{Alerting, Definition, ScheduleKind, slug_of};
use super::request::is_uuid;

/// Shortest and longest period and grace, as in Healthchecks.
const SPAN_MIN: Span = Span::seconds(60);
const SPAN_MAX: Span = Span::days(365);
/// Longest name and slug, as in Healthchecks.
const NAME_CHARS_MAX: usize = 100;
/// Labels that watchbell sets itself.
const OWN_LABELS: [&str; 3] = ["alertname", "severity", "source"];

/// A scheduled job that must report: its silence past `period + grace`, or its report of a failure, raises an alert.
///
/// The job fetches `/ping/<uuid>` or `/ping/<ping key>/<slug>` when it is done; with `/start` behind it when it
/// begins, `/fail` or `/<exit status>` when it went wrong, `/log` to say something that changes nothing.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HeartbeatConfig {
    /// What people call the job; unique among the heartbeats.
    pub name: String,
    /// The name in the address: lower-case letters, digits, `-` and `_`. Made from the name if it is not given.
    #[serde(default)]
    pub slug: Option<String>,
    /// The heartbeat's own address. If it is not given, one is made up once and kept.
    #[serde(default)]
    pub uuid: Option<String>,
    /// How often the job reports, from `60s` to `365d`; a day if nothing else is said. Either this, `cron` or `oncalendar`.
    #[serde(default)]
    pub period: Option<Span>,
    /// When the job runs, as its crontab says: minute, hour, day of month, month, day of week.
    #[serde(default)]
    pub cron: Option<Cron>,
    /// When the job runs, as the `OnCalendar=` of its systemd timer says. Several lines are several times.
    #[serde(default)]
    pub oncalendar: Option<OnCalendar>,
    /// Whose clock `cron` and `oncalendar` mean, such as `Europe/Riga`.
    #[serde(default)]
    pub timezone: Zone,
    /// Time allowed on top of the period before anybody is paged, and for a run that has started to end; from `60s` to
    /// `365d`.
    #[serde(default = "HeartbeatConfig::default_grace")]
    pub grace: Span,
    /// Once it is paused, it stays paused until somebody resumes it; otherwise its next ping does.
    #[serde(default)]
    pub manual_resume: bool,
    /// Only pings by `POST` count, so that a link that is opened somewhere is no sign of life.
    #[serde(default)]
    pub post_only: bool,
    /// Words in what comes with a ping that say how the job went; what the address says does not count then.
    #[serde(default)]
    pub keywords: Option<KeywordsConfig>,
    /// Words to find it by, for badges and clients.
    #[serde(default)]
    pub tags: Vec<String>,
    /// How bad it is when the job is silent or fails.
    #[serde(default)]
    pub severity: Severity,
    /// Opened from every page about this job: the name of a file in the run book folder or an address.
    #[serde(default)]
    pub runbook: Option<RunbookRef>,
    /// Labels of its alerts, for routing.
    #[serde(default)]
    pub labels: Labels,
    /// Names of monitors without which the job cannot report: while one of those is down, nobody is told that the job is
    /// silent. Its page waits for as long as it takes to notice that.
    #[serde(default)]
    pub depends_on: Vec<String>,
    /// What the job does, for whoever is paged.
    #[serde(default)]
    pub description: Option<String>,
    /// Where `watchbell apply` writes its address, for the job.
    #[serde(default)]
    pub address_to: Option<AddressTo>,
}

/// Where a heartbeat's address is written. What is there is left alone if it is the same, or the word `paused`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AddressTo {
    /// A file that holds the address and nothing else.
    pub file: Option<PathBuf>,
    /// A file of environment variables, such as systemd's `EnvironmentFile=`; its other lines stay.
    pub env_file: Option<PathBuf>,
    /// The variable there; `PING_` and the heartbeat's name unless given.
    pub variable: Option<String>,
    /// A parameter of AWS' Systems Manager, kept as a `SecureString`, such as `/jobs/ping_backup`.
    pub ssm_parameter: Option<String>,
}

impl AddressTo {
    fn check(&self, path: &Path, problems: &mut Problems) {
        if self.file.is_none() && self.env_file.is_none() && self.ssm_parameter.is_none() {
            problems.error(path, "the address is written nowhere").hint("give `file`, `env_file` or `ssm_parameter`");
        }
        if let Some(variable) = &self.variable {
            let path = path.field("variable");
            let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
            if variable.is_empty() || !variable.bytes().all(plain) || variable.starts_with(|c: char| c.is_ascii_digit())
            {
                problems
                    .error(&path, format!("`{variable}` is not the name of a variable"))
                    .hint("letters, digits and `_`, such as `PING_BACKUP`");
            } else if self.env_file.is_none() {
                problems.error(&path, "there is no `env_file` for it").hint("give one, or leave this out");
            }
        }
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-' | b'/');
        if let Some(name) = &self.ssm_parameter
            && (name.is_empty() || !name.bytes().all(plain) || (name.contains('/') && !name.starts_with('/')))
        {
            problems
                .error(&path.field("ssm_parameter"), format!("`{name}` is not the name of a parameter"))
                .hint("letters, digits, `.`, `-` and `_`, as a path with `/` in front: `/jobs/ping_backup`");
        }
    }
}

/// The variable that holds a heartbeat's address unless another one is given.
pub fn variable_of(name: &str) -> String {
    let letters = name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' });
    format!("PING_{}", letters.collect::<String>())
}

/// Words in what comes with a ping that say how the job went.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeywordsConfig {
    /// Any of these: it went wrong.
    #[serde(default)]
    pub failure: Vec<String>,
    /// Otherwise any of these: it is done.
    #[serde(default)]
    pub success: Vec<String>,
    /// Otherwise any of these: it begins.
    #[serde(default)]
    pub start: Vec<String>,
    /// What has none of them is a failure; otherwise it does not count.
    #[serde(default)]
    pub otherwise_failure: bool,
    /// Where they are looked for; everywhere unless given.
    #[serde(default = "KeywordsConfig::everywhere")]
    pub look_in: Vec<Place>,
}

/// Where words are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// In what comes with a ping over HTTP.
    Http,
    /// In the subject of a mail.
    Subject,
    /// In the text of a mail.
    Mail,
}

impl KeywordsConfig {
    fn everywhere() -> Vec<Place> {
        vec![Place::Http, Place::Subject, Place::Mail]
    }
}

impl HeartbeatConfig {
    fn default_grace() -> Span {
        Span::hours(1)
    }

    /// Makes files it names relative to the folder of the configuration.
    pub fn anchor(&mut self, base: &std::path::Path) {
        let Some(to) = &mut self.address_to else { return };
        for file in [&mut to.file, &mut to.env_file].into_iter().flatten() {
            *file = base.join(&*file);
        }
    }

    /// The variable in its `env_file`.
    pub fn variable(&self) -> String {
        let given = self.address_to.as_ref().and_then(|to| to.variable.clone());
        given.unwrap_or_else(|| variable_of(&self.name))
    }

    /// The places that its address is written to, each in a word that is the same for the same place.
    fn places(&self) -> Vec<String> {
        let Some(to) = &self.address_to else { return Vec::new() };
        let file = to.file.as_ref().map(|file| format!("the file {}", file.display()));
        let variable =
            to.env_file.as_ref().map(|file| format!("the variable {} of {}", self.variable(), file.display()));
        let parameter = to.ssm_parameter.as_ref().map(|name| format!("the parameter {name}"));
        [file, variable, parameter].into_iter().flatten().collect()
    }

    /// The name in the address, given or made from the name.
    pub fn slug(&self) -> String {
        self.slug.clone().unwrap_or_else(|| slug_of(&self.name))
    }

    /// When the job reports.
    pub fn schedule(&self) -> Schedule {
        match (&self.cron, &self.oncalendar) {
            (Some(cron), _) => Schedule::Cron(cron.clone(), self.timezone.clone()),
            (None, Some(calendar)) => Schedule::OnCalendar(calendar.clone(), self.timezone.clone()),
            (None, None) => Schedule::Period(self.period.unwrap_or(Span::days(1))),
        }
    }

    /// As Healthchecks' API shows it.
    pub fn definition(&self) -> Definition {
        let default = Definition::default();
        let (kind, timeout, schedule) = match self.schedule() {
            Schedule::Period(period) => (ScheduleKind::Simple, period, default.schedule),
            Schedule::Cron(cron, _) => (ScheduleKind::Cron, default.timeout, cron.to_string()),
            Schedule::OnCalendar(calendar, _) => (ScheduleKind::OnCalendar, default.timeout, calendar.to_string()),
        };
        let is_read = |place| self.keywords.as_ref().is_some_and(|keywords| keywords.look_in.contains(&place));
        let keywords = self.keywords.clone().unwrap_or_default();
        Definition {
            name: self.name.clone(),
            slug: self.slug(),
            tags: self.tags.join(" "),
            description: self.description.clone().unwrap_or_default(),
            kind,
            timeout,
            schedule,
            zone: self.timezone.clone(),
            grace: self.grace,
            manual_resume: self.manual_resume,
            post_only: self.post_only,
            start_keywords: keywords.start.join(","),
            success_keywords: keywords.success.join(","),
            failure_keywords: keywords.failure.join(","),
            filter_subject: is_read(Place::Subject),
            filter_body: is_read(Place::Mail),
            filter_http_body: is_read(Place::Http),
            filter_default_fail: keywords.otherwise_failure,
            ..default
        }
    }

    /// What it says of alerts.
    pub fn alerting(&self) -> Alerting {
        Alerting {
            severity: self.severity,
            runbook: self.runbook.clone(),
            labels: self.labels.clone(),
            depends_on: self.depends_on.clone(),
        }
    }

    /// What is wrong with all of them, also with one another.
    pub fn check_all(configs: &[HeartbeatConfig], path: &Path, problems: &mut Problems) {
        let mut names: BTreeMap<&str, usize> = BTreeMap::new();
        let mut slugs: BTreeMap<String, usize> = BTreeMap::new();
        let mut uuids: BTreeMap<String, usize> = BTreeMap::new();
        let mut places: BTreeMap<String, usize> = BTreeMap::new();
        for (at, config) in configs.iter().enumerate() {
            let path = path.index(at);
            config.check(&path, problems);
            if let Some(first) = names.insert(&config.name, at) {
                let message = format!("there are two heartbeats named `{}`", config.name);
                problems.error(&path.field("name"), message).hint(format!("the other one is heartbeats[{first}]"));
                continue;
            }
            if let Some(first) = slugs.insert(config.slug(), at) {
                let message = format!("the slug `{}` is used twice, so pings to it are answered 409", config.slug());
                problems
                    .warning(&path, message)
                    .hint(format!("give this one or heartbeats[{first}] a `slug` of its own"));
            }
            for place in config.places() {
                if let Some(first) = places.insert(place.clone(), at) {
                    problems
                        .error(&path.field("address_to"), format!("{place} is for heartbeats[{first}] already"))
                        .hint("give each a place of its own");
                }
            }
            if let Some(uuid) = &config.uuid
                && let Some(first) = uuids.insert(uuid.to_ascii_lowercase(), at)
            {
                let message = format!("heartbeats[{first}] has the same address");
                problems.error(&path.field("uuid"), message).hint("leave it out to have one made up");
            }
        }
    }

    /// What is wrong with it.
    pub fn check(&self, path: &Path, problems: &mut Problems) {
        self.check_names(path, problems);
        let given = [self.period.is_some(), self.cron.is_some(), self.oncalendar.is_some()];
        if given.iter().filter(|given| **given).count() > 1 {
            let field = if self.cron.is_some() { "cron" } else { "oncalendar" };
            problems
                .error(&path.field(field), "there is more than one schedule")
                .hint("keep one of `period`, `cron` and `oncalendar`");
        }
        if self.cron.is_none() && self.oncalendar.is_none() && self.timezone != Zone::utc() {
            problems
                .warning(&path.field("timezone"), "it means nothing to a job that reports once a period")
                .hint("give `cron` or `oncalendar`, or leave it out");
        }
        self.check_words(path, problems);
        if let Some(to) = &self.address_to {
            to.check(&path.field("address_to"), problems);
        }
        for (field, span) in [("period", self.period.unwrap_or(SPAN_MIN)), ("grace", self.grace)] {
            if span < SPAN_MIN || span > SPAN_MAX {
                let message = format!("the {field} {span} is not between {SPAN_MIN} and {SPAN_MAX}");
                let near = if span < SPAN_MIN { SPAN_MIN } else { SPAN_MAX };
                problems.error(&path.field(field), message).hint(format!("the nearest that can be is `{near}`"));
            }
        }
        for name in OWN_LABELS {
            if self.labels.get(name).is_some() {
                let hint = if name == "severity" { "use the field `severity`" } else { "choose another name" };
                problems.error(&path.field("labels").field(name), format!("`{name}` is set by watchbell")).hint(hint);
            }
        }
    }

    fn check_words(&self, path: &Path, problems: &mut Problems) {
        for (at, tag) in self.tags.iter().enumerate() {
            if tag.is_empty() || tag.contains(char::is_whitespace) {
                let message = format!("`{tag}` is no tag: it is empty or has a space");
                problems.error(&path.field("tags").index(at), message).hint("one word, such as `prod`");
            }
        }
        let Some(keywords) = &self.keywords else { return };
        let path = path.field("keywords");
        let all = [("failure", &keywords.failure), ("success", &keywords.success), ("start", &keywords.start)];
        for (field, words) in all {
            for (at, word) in words.iter().enumerate() {
                if word.trim().is_empty() || word.contains(',') {
                    let message = format!("`{word}` cannot be looked for: it is empty or has a comma");
                    problems.error(&path.field(field).index(at), message).hint("a word as the job writes it");
                }
            }
        }
        if keywords.look_in.is_empty() {
            problems
                .error(&path.field("look_in"), "they are looked for nowhere")
                .hint("some of `http`, `subject` and `mail`, or leave it out");
        }
        if all.iter().all(|(_, words)| words.is_empty()) {
            problems
                .error(&path, "there are no words, so that no ping counts as a success")
                .hint("such as `success: [done]`");
        }
    }

    fn check_names(&self, path: &Path, problems: &mut Problems) {
        let name = path.field("name");
        if self.name.trim().is_empty() || self.name.chars().count() > NAME_CHARS_MAX {
            problems.error(&name, "the name is empty or too long").hint(format!("1 to {NAME_CHARS_MAX} characters"));
        }
        if self.name.contains(['/', '\n']) {
            problems
                .error(&name, "the name must not contain `/` or a line break")
                .hint("the alarm is called `heartbeat/<name>`");
        }
        match &self.slug {
            Some(slug) if !is_slug(slug) || slug.len() > NAME_CHARS_MAX => {
                problems
                    .error(&path.field("slug"), format!("`{slug}` cannot stand in an address"))
                    .hint(format!("lower-case letters, digits, `-` and `_`, such as `{}`", slug_of(slug)));
            }
            None if slug_of(&self.name).is_empty() => {
                problems
                    .error(&name, format!("no slug can be made from `{}`", self.name))
                    .hint("give a `slug` of lower-case letters, digits, `-` and `_`");
            }
            _ => {}
        }
        if let Some(uuid) = &self.uuid
            && !is_uuid(&uuid.to_ascii_lowercase())
        {
            problems
                .error(&path.field("uuid"), format!("`{uuid}` is not a UUID"))
                .hint("such as `5f1c1d3e-8f4e-4b2a-9d6f-0a1b2c3d4e5f`; leave it out to have one made up");
        }
    }
}

fn is_slug(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
    !text.is_empty() && text.bytes().all(plain)
}
