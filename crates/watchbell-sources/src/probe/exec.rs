//! Runs a program as Nagios does its plugins: its exit code is the verdict, its first line the message, and what stands
//! behind `|` are its numbers.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use watchbell_model::{Path, Problems, Secret};
use watchbell_runtime::process::Command;

use super::attempt::{Attempt, Failure};
use super::dialogue::shown;
use super::kinds::{Kind, Probing};

/// How much of what a program says is read.
const OUTPUT_BYTES_MAX: usize = 64 << 10;
/// How many numbers of a program are kept.
const NUMBERS_MAX: usize = 100;

/// A program that checks something: a Nagios plugin, or a script with its exit codes (0 good, 1 warning, 2 critical, 3
/// unknown). It is run without a shell, as the user that watchbell runs as.
#[derive(Debug, Clone, PartialEq, Hash, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExecConfig {
    /// The program and its arguments, such as `[/usr/lib/nagios/plugins/check_disk, -w, 10%]`.
    pub command: Vec<String>,
    /// Environment variables, besides those of watchbell.
    #[serde(default)]
    pub environment: BTreeMap<String, Secret>,
    /// Whether a warning (exit code 1) counts as down.
    #[serde(default = "watchbell_model::yes")]
    pub warning_is_down: bool,
}

impl Kind for ExecConfig {
    fn target(&self) -> String {
        self.command.first().cloned().unwrap_or_default()
    }

    fn check(&self, path: &Path, problems: &mut Problems) {
        if self.command.first().is_none_or(|program| program.trim().is_empty()) {
            problems
                .error(&path.field("command"), "it names no program")
                .hint("a list of the program and its arguments, such as `[/usr/lib/nagios/plugins/check_load]`");
        } else if self.command.len() == 1 && self.command[0].contains(' ') {
            problems
                .warning(&path.field("command"), "the program's name contains white space")
                .hint("no shell is there to part it: write a list, the program first");
        }
        for name in self.environment.keys() {
            if name.is_empty() || name.contains(['=', '\0']) {
                problems
                    .error(&path.field("environment"), format!("{name:?} is not the name of a variable"))
                    .hint("such as `LANG`");
            }
        }
    }

    fn anchor(&mut self, base: &std::path::Path) {
        // A path relative to the configuration; a bare name is looked for in `PATH`.
        if let Some(program) = self.command.first_mut().filter(|it| it.contains('/')) {
            *program = base.join(&*program).display().to_string();
        }
    }

    fn is_here(&self) -> bool {
        true
    }

    fn described(&self) -> &'static [(&'static str, &'static str)] {
        &[
            ("probe_exec_exit_code", "The program's exit code."),
            ("probe_exec_perfdata", "A number that the program told behind `|`."),
        ]
    }

    fn probe<'a>(&'a self, attempt: &'a mut Attempt<'_>) -> Probing<'a> {
        Box::pin(async move {
            let Some((program, arguments)) = self.command.split_first() else {
                return Err(Failure::new("there is no program to run"));
            };
            let variables = self.environment.iter().map(|(name, value)| (name.clone(), value.expose().to_owned()));
            let command = Command {
                program: PathBuf::from(program),
                arguments: arguments.to_vec(),
                variables: variables.collect(),
                input: Vec::new(),
                timeout: attempt.remaining(),
                output_max: OUTPUT_BYTES_MAX,
            };
            let runtime = attempt.runtime;
            let ended = runtime.processes.run(&runtime.clock, command).await.map_err(Failure)?;
            attempt.stop_the_watch();
            let said = String::from_utf8_lossy(&ended.output).into_owned();
            let (words, numbers) = read(&said);
            for number in numbers.into_iter().take(NUMBERS_MAX) {
                attempt.sample(
                    "probe_exec_perfdata",
                    &[("label", &number.label), ("unit", &number.unit)],
                    number.value,
                );
            }
            let words = if words.is_empty() { "it says nothing".to_owned() } else { shown(words) };
            let Some(code) = ended.code else {
                return Err(Failure(format!("a signal ended `{program}`: {words}")));
            };
            attempt.sample("probe_exec_exit_code", &[], f64::from(code));
            match code {
                0 => Ok(words),
                1 if !self.warning_is_down => Ok(format!("warning: {words}")),
                1 => Err(Failure(format!("warning: {words}"))),
                2 => Err(Failure(words)),
                3 => Err(Failure(format!("unknown: {words}"))),
                126 | 127 => Err(Failure(format!("the program could not be run (exit code {code}): {words}"))),
                other => Err(Failure(format!("exit code {other}: {words}"))),
            }
        })
    }
}

/// A number of a program.
#[derive(Debug, PartialEq)]
struct Number {
    label: String,
    unit: String,
    value: f64,
}

/// The first line without its numbers, and the numbers of all lines.
fn read(said: &str) -> (&str, Vec<Number>) {
    let mut lines = said.lines();
    let first = lines.next().unwrap_or_default();
    let (words, data) = first.split_once('|').unwrap_or((first, ""));
    let mut numbers = perfdata(data);
    // Of the further lines all that follows the next bar are numbers.
    let rest: Vec<&str> = lines.collect();
    if let Some((_, more)) = rest.join("\n").split_once('|') {
        numbers.extend(perfdata(&more.replace('\n', " ")));
    }
    (words.trim(), numbers)
}

/// `'label'=value[unit];warn;crit;min;max`, parted by white space; what is not so is left out.
fn perfdata(text: &str) -> Vec<Number> {
    let mut numbers = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (label, after) = match rest.strip_prefix('\'') {
            Some(quoted) => {
                // Two quotes are one that belongs to the label.
                let marked = quoted.replace("\'\'", "\u{1}\u{1}");
                let Some(end) = marked.find('\'') else { break };
                (quoted[..end].replace("\'\'", "\'"), quoted[end + 1..].strip_prefix('='))
            }
            None => {
                let Some((label, after)) = rest.split_once('=') else { break };
                (label.trim().to_owned(), Some(after))
            }
        };
        let Some(after) = after else { break };
        let end = after.find(char::is_whitespace).unwrap_or(after.len());
        let value = after[..end].split(';').next().unwrap_or_default();
        let unit = value.find(|c: char| !(c.is_ascii_digit() || "+-.eE".contains(c))).unwrap_or(value.len());
        if let Ok(number) = value[..unit].parse::<f64>() {
            numbers.push(Number { label, unit: value[unit..].to_owned(), value: number });
        }
        rest = after[end..].trim_start();
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(said: &str) -> String {
        let (words, numbers) = read(said);
        let numbers: Vec<String> = numbers.iter().map(|it| format!("{}={}{}", it.label, it.value, it.unit)).collect();
        format!("{words} / {}", numbers.join(" "))
    }

    #[test]
    fn what_plugins_say() {
        assert_eq!(
            told("LOAD OK - load: 0.5|load1=0.500;15.0;30.0;0; load5=1"),
            "LOAD OK - load: 0.5 / load1=0.5 load5=1"
        );
        assert_eq!(told("DISK OK | /=2643MB;5948;5958;0;5968"), "DISK OK / /=2643MB");
        assert_eq!(told("OK | 'a label'=1% 'it\'\'s'=-2.5e3s"), "OK / a label=1% it\'s=-2500s");
        assert_eq!(told("OK | a=1\nmore words\nand more | b=2\nc=3"), "OK / a=1 b=2 c=3");
        assert_eq!(told("OK"), "OK / ");
        assert_eq!(told("OK | rubbish"), "OK / ");
        assert_eq!(told("OK | a=U b=1"), "OK / b=1");
        assert_eq!(told("OK | \'open=1"), "OK / ");
        assert_eq!(told(""), " / ");
    }
}
