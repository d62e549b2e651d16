//! What a client wants of a check: read as strictly as Healthchecks reads it, and refused in its words.

use serde_json::{Map, Value};
use watchbell_model::{Schedule, Span, Zone};
use watchbell_sources::heartbeat::{Definition, Known, ScheduleKind, slug_of};

use super::show::channel_id;

const SECONDS_MIN: u64 = 60;
const SECONDS_MAX: u64 = 31_536_000;
const NAME_CHARS_MAX: usize = 100;
const KEYWORDS_CHARS_MAX: usize = 200;

/// Names of zones that were changed, and those that stand for a place; shown as Healthchecks shows them.
const RENAMED: [(&str, &str); 8] = [
    ("CET", "Europe/Brussels"),
    ("EET", "Europe/Athens"),
    ("EST", "America/Panama"),
    ("Europe/Kiev", "Europe/Kyiv"),
    ("MET", "Europe/Brussels"),
    ("UCT", "Etc/UTC"),
    ("US/Eastern", "America/New_York"),
    ("WET", "Europe/Lisbon"),
];

/// What was sent; what is `None` was not.
#[derive(Debug, Default)]
pub(super) struct Spec {
    channels: Option<String>,
    desc: Option<String>,
    failure_kw: Option<String>,
    filter_subject: Option<bool>,
    filter_body: Option<bool>,
    filter_http_body: Option<bool>,
    filter_default_fail: Option<bool>,
    grace: Option<Span>,
    manual_resume: Option<bool>,
    methods: Option<String>,
    name: Option<String>,
    schedule: Option<String>,
    slug: Option<String>,
    start_kw: Option<String>,
    subject: Option<String>,
    subject_fail: Option<String>,
    success_kw: Option<String>,
    tags: Option<String>,
    timeout: Option<Span>,
    tz: Option<Zone>,
    unique: Vec<String>,
}

/// The fields of a body, each read once.
struct Fields<'b>(&'b Map<String, Value>);

impl Fields<'_> {
    fn text(&self, name: &str, chars_max: usize) -> Result<Option<String>, String> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::String(text)) if text.chars().count() > chars_max => Err(format!("{name} is too long")),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(format!("{name} is not a string")),
        }
    }

    fn flag(&self, name: &str) -> Result<Option<bool>, String> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(_) => Err(format!("{name} is not a boolean")),
        }
    }

    fn seconds(&self, name: &str) -> Result<Option<Span>, String> {
        match self.0.get(name) {
            None => Ok(None),
            // As Python counts: `true` is one.
            Some(Value::Bool(_)) => Err(format!("{name} is too small")),
            Some(Value::Number(number)) if number.is_i64() || number.is_u64() => match number.as_u64() {
                Some(seconds @ SECONDS_MIN..=SECONDS_MAX) => Ok(Some(Span::seconds(seconds))),
                Some(seconds) if seconds > SECONDS_MAX => Err(format!("{name} is too large")),
                _ => Err(format!("{name} is too small")),
            },
            Some(_) => Err(format!("{name} is not a number")),
        }
    }

    fn unique(&self) -> Result<Vec<String>, String> {
        const FIELDS: [&str; 5] = ["name", "slug", "tags", "timeout", "grace"];
        match self.0.get("unique") {
            None => Ok(Vec::new()),
            Some(Value::Array(items)) => items
                .iter()
                .map(|item| {
                    let known = item.as_str().filter(|name| FIELDS.contains(name)).map(str::to_owned);
                    known.ok_or_else(|| "an item in 'unique' has unexpected value".to_owned())
                })
                .collect(),
            Some(_) => Err("unique is not an array".to_owned()),
        }
    }
}

/// Reads a body; fails with the first thing that is wrong, in the order of the fields' names.
pub(super) fn read(body: &Map<String, Value>) -> Result<Spec, String> {
    parse(&Fields(body)).map_err(|words| format!("json validation error: {words}"))
}

fn parse(fields: &Fields<'_>) -> Result<Spec, String> {
    const ANY: usize = usize::MAX;
    Ok(Spec {
        channels: fields.text("channels", ANY)?,
        desc: fields.text("desc", ANY)?,
        failure_kw: fields.text("failure_kw", KEYWORDS_CHARS_MAX)?,
        filter_subject: fields.flag("filter_subject")?,
        filter_body: fields.flag("filter_body")?,
        filter_http_body: fields.flag("filter_http_body")?,
        filter_default_fail: fields.flag("filter_default_fail")?,
        grace: fields.seconds("grace")?,
        manual_resume: fields.flag("manual_resume")?,
        methods: match fields.0.get("methods") {
            None => None,
            Some(Value::String(methods)) if methods.is_empty() || methods == "POST" => Some(methods.clone()),
            Some(_) => return Err("methods has unexpected value".to_owned()),
        },
        name: fields.text("name", NAME_CHARS_MAX)?,
        schedule: match fields.text("schedule", NAME_CHARS_MAX)? {
            Some(text) if Schedule::expression(&text, Zone::utc()).is_err() => {
                return Err("schedule is not a valid cron or OnCalendar expression".to_owned());
            }
            schedule => schedule,
        },
        slug: match fields.text("slug", NAME_CHARS_MAX)? {
            Some(slug) if !slug.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_')) => {
                return Err("slug does not match pattern".to_owned());
            }
            slug => slug,
        },
        start_kw: fields.text("start_kw", KEYWORDS_CHARS_MAX)?,
        subject: fields.text("subject", KEYWORDS_CHARS_MAX)?,
        subject_fail: fields.text("subject_fail", KEYWORDS_CHARS_MAX)?,
        success_kw: fields.text("success_kw", KEYWORDS_CHARS_MAX)?,
        tags: fields.text("tags", ANY)?,
        timeout: fields.seconds("timeout")?,
        tz: match fields.text("tz", ANY)? {
            Some(name) => {
                let renamed = RENAMED.iter().find(|(old, _)| *old == name).map_or(name.as_str(), |(_, new)| new);
                Some(renamed.parse().map_err(|_| "tz is not a valid timezone".to_owned())?)
            }
            None => None,
        },
        unique: fields.unique()?,
    })
}

impl Spec {
    /// The check that is meant, if what is to be `unique` is given and one has the same.
    pub(super) fn existing<'k>(&self, all: &'k [Known]) -> Option<&'k Known> {
        if self.unique.is_empty() {
            return None;
        }
        let same = |definition: &Definition| {
            self.unique.iter().all(|field| match field.as_str() {
                "name" => self.name.as_ref() == Some(&definition.name),
                "slug" => self.slug.as_ref() == Some(&definition.slug),
                "tags" => self.tags.as_ref() == Some(&definition.tags),
                "timeout" => self.timeout == Some(definition.timeout),
                _ => self.grace == Some(definition.grace),
            })
        };
        all.iter().find(|known| same(&known.definition))
    }

    /// What is wanted now, of what was wanted before.
    ///
    /// # Errors
    /// If a channel is none of the receivers.
    pub(super) fn apply(&self, before: &Definition, version: u8, receivers: &[String]) -> Result<Definition, String> {
        let mut new = before.clone();
        if let Some(channels) = &self.channels {
            new.channels = named(channels, receivers)?;
        }
        if let Some(name) = &self.name {
            new.name.clone_from(name);
            if version < 3 {
                new.slug = slug_of(name);
            }
        }
        let is_expression = self.schedule.as_ref().filter(|text| !text.is_empty());
        if let Some(text) = is_expression {
            new.schedule.clone_from(text);
            new.kind = match Schedule::expression(text, Zone::utc()) {
                Ok(Schedule::Cron(..)) => ScheduleKind::Cron,
                _ => ScheduleKind::OnCalendar,
            };
        } else if let Some(timeout) = self.timeout {
            (new.kind, new.timeout) = (ScheduleKind::Simple, timeout);
        }
        // The names of the first versions for words in a mail's subject.
        for (old, keywords) in
            [(&self.subject, &mut new.success_keywords), (&self.subject_fail, &mut new.failure_keywords)]
        {
            if let Some(old) = old {
                keywords.clone_from(old);
            }
        }
        if self.subject.is_some() || self.subject_fail.is_some() {
            new.filter_subject = !new.success_keywords.is_empty() || !new.failure_keywords.is_empty();
        }
        let texts = [
            (&self.slug, &mut new.slug),
            (&self.tags, &mut new.tags),
            (&self.desc, &mut new.description),
            (&self.start_kw, &mut new.start_keywords),
            (&self.success_kw, &mut new.success_keywords),
            (&self.failure_kw, &mut new.failure_keywords),
        ];
        for (wanted, field) in texts {
            if let Some(wanted) = wanted {
                field.clone_from(wanted);
            }
        }
        let flags = [
            (self.manual_resume, &mut new.manual_resume),
            (self.methods.as_ref().map(|methods| methods == "POST"), &mut new.post_only),
            (self.filter_subject, &mut new.filter_subject),
            (self.filter_body, &mut new.filter_body),
            (self.filter_http_body, &mut new.filter_http_body),
            (self.filter_default_fail, &mut new.filter_default_fail),
        ];
        for (wanted, field) in flags {
            *field = wanted.unwrap_or(*field);
        }
        new.zone = self.tz.clone().unwrap_or(new.zone);
        new.grace = self.grace.unwrap_or(new.grace);
        Ok(new)
    }
}

/// Receivers by name or id, with commas between; `*` is all of them.
fn named(channels: &str, receivers: &[String]) -> Result<Vec<String>, String> {
    match channels {
        "*" => return Ok(receivers.to_vec()),
        "" => return Ok(Vec::new()),
        _ => {}
    }
    let mut names = Vec::new();
    for wanted in channels.split(',') {
        if wanted.is_empty() {
            return Err("empty channel identifier".to_owned());
        }
        let mut found = receivers.iter().filter(|name| *name == wanted || channel_id(name) == wanted);
        let name = found.next().ok_or_else(|| format!("invalid channel identifier: {wanted}"))?;
        if found.next().is_some() {
            return Err(format!("non-unique channel identifier: {wanted}"));
        }
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    Ok(names)
}
