//! A program of this machine, started for each page.
//!
//! It gets the page as JSON on standard input, and what is short as environment variables. There is no shell: what an
//! alert says is never a command.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use watchbell_model::{Path, Problems, Secret, Span};
use watchbell_runtime::Disk;
use watchbell_runtime::process::Command;

use super::webhook::body;
use super::{Attempt, Channel, Draft, HasOptions, Options, Outgoing, Rendered, check_template, filled};
use crate::config::HttpConfig;
use crate::cut::{Unit, cut};
use crate::template_data::Templates;

/// How much of what it says is read, in bytes.
const OUTPUT_MAX: usize = 16 << 10;
/// The longest environment variable and argument, in bytes: Linux takes 128 KiB.
const VARIABLE_MAX: usize = 16 << 10;
/// Bound on one run, unless said otherwise.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A program of this machine.
///
/// Standard input is Alertmanager's webhook body with the page's `title`, `message`, `severity` and `runbook_url`. The
/// variables are `WATCHBELL_STATUS`, `WATCHBELL_TITLE`, `WATCHBELL_TEXT`, `WATCHBELL_SEVERITY`, `WATCHBELL_RUNBOOK_URL`,
/// `WATCHBELL_ALARM_URL`, `WATCHBELL_GROUP` (the same for every page of a group), `WATCHBELL_RECEIVER` and `WATCHBELL_KEY`
/// (the same for every try of a page). Exit code 0 says that the page is delivered; 75 (`EX_TEMPFAIL`), a signal or no
/// end in time have it tried again; any other refuses it. What the program says is shown in the delivery log.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExecConfig {
    /// The program's file.
    pub program: PathBuf,
    /// Its arguments; each is a template, and one argument whatever it holds.
    #[serde(default)]
    pub arguments: Vec<String>,
    /// Whether to tell that it is over.
    #[serde(default = "crate::config::default_true")]
    pub send_resolved: bool,
    /// Bound on one run, after which the program is killed; `30s` unless given.
    #[serde(default)]
    pub timeout: Span,
}

impl HasOptions for ExecConfig {
    fn options(&self) -> Options<'_> {
        let timeout = if self.timeout.is_zero() { TIMEOUT } else { self.timeout.duration() };
        Options { send_resolved: self.send_resolved, timeout, http: None }
    }

    fn http_mut(&mut self) -> Option<&mut Option<HttpConfig>> {
        None
    }
}

impl Channel for ExecConfig {
    fn kind(&self) -> &'static str {
        "exec"
    }

    fn files_mut(&mut self) -> Vec<&mut PathBuf> {
        // A name without a folder is looked for in `PATH`.
        let is_name = self.program.components().count() < 2;
        if is_name { Vec::new() } else { vec![&mut self.program] }
    }

    fn check(&self, templates: &Templates, path: &Path, problems: &mut Problems) {
        if self.program.as_os_str().is_empty() {
            problems.error(&path.field("program"), "it is empty").hint("such as `/usr/local/bin/page`");
        }
        for (at, argument) in self.arguments.iter().enumerate() {
            check_template(Some(argument), templates, &path.field("arguments").index(at), problems);
        }
    }

    fn render(&self, draft: &Draft<'_>) -> Rendered {
        let page = draft.page;
        let mut errors = Vec::new();
        let plain = |text: &str| cut(&text.replace('\0', ""), VARIABLE_MAX, Unit::Bytes);
        let arguments = self.arguments.iter();
        let arguments = arguments.map(|it| plain(&filled(Some(it), draft, &mut errors).unwrap_or_default()));
        let arguments: Vec<String> = arguments.collect();
        let variables = json!({
            "WATCHBELL_STATUS": if page.is_resolved() { "resolved" } else { "firing" },
            "WATCHBELL_TITLE": plain(&page.title),
            "WATCHBELL_TEXT": plain(&page.text),
            "WATCHBELL_SEVERITY": page.severity.as_str(),
            "WATCHBELL_RUNBOOK_URL": plain(&page.runbook_url),
            "WATCHBELL_ALARM_URL": plain(&page.alarm_url),
            "WATCHBELL_GROUP": page.sequence_id,
            "WATCHBELL_RECEIVER": plain(&draft.group.receiver),
        });
        let body = json!({"arguments": arguments, "variables": variables, "input": body(draft, 0)});
        Rendered { headers: Vec::new(), body: body.to_string(), template_errors: errors }
    }

    fn send(&self, rendered: &Rendered, attempt: &Attempt<'_>) -> Result<Vec<Outgoing>, String> {
        let body = rendered.read()?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut variables: Vec<(String, String)> =
            body["variables"].as_object().into_iter().flatten().map(|(name, it)| (name.clone(), text(it))).collect();
        variables.push(("WATCHBELL_KEY".into(), attempt.key.to_owned()));
        Ok(vec![Outgoing::Exec(Box::new(Command {
            program: self.program.clone(),
            arguments: body["arguments"].as_array().into_iter().flatten().map(text).collect(),
            variables,
            input: body["input"].to_string().into_bytes(),
            timeout: self.options().timeout,
            output_max: OUTPUT_MAX,
        }))])
    }

    fn is_for_people(&self) -> bool {
        false
    }

    /// A program need not be fit to run twice at once.
    fn at_once(&self) -> usize {
        1
    }

    fn secrets(&self, _disk: &Disk) -> Vec<Secret> {
        Vec::new()
    }
}
