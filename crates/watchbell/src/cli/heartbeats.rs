//! `watchbell heartbeats`: how they stand and where their jobs report, also as a file for those jobs.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde::Deserialize;
use serde_json::Value;
use watchbell_runtime::Runtime;
use watchbell_sources::heartbeat::variable_of;

use super::Output;
use super::alerts::Whom;

const EXAMPLES: &str = "Examples:
  watchbell heartbeats                       how each stands, and its address
  watchbell heartbeats --env /etc/jobs.env   PING_NIGHTLY_BACKUP=https://…/ping/…, one a line, for EnvironmentFile=
  watchbell heartbeats --env - 'Nightly backup'
  watchbell heartbeats 'Nightly backup' --snippet cron
                                             what goes behind the command in a crontab; also watchbell, systemd,
                                             systemd-units, shell, python, lambda

The addresses let whoever has them report in a job's place: the file is for the jobs' eyes only.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct HeartbeatsArguments {
    /// Names of heartbeats; all of them if none is given.
    names: Vec<String>,
    /// Write the addresses into this file as environment variables, whole or not at all; `-` prints them.
    #[arg(long, value_name = "FILE")]
    env: Option<PathBuf>,
    /// Print what a job of this kind is to say.
    #[arg(long, value_name = "KIND", conflicts_with = "env", value_parser = kind)]
    snippet: Option<String>,
    #[command(flatten)]
    whom: Whom,
    /// How they are printed.
    #[arg(long, value_enum, default_value_t = Output::Text, conflicts_with_all = ["env", "snippet"])]
    output: Output,
}

pub(super) async fn run(runtime: &Runtime, arguments: HeartbeatsArguments) -> Result<ExitCode> {
    let api = arguments.whom.api(runtime).await?;
    let asked = api.ask("GET", "/api/watchbell/v1/heartbeats", Vec::new()).await;
    // Without `site.url` addresses are paths there.
    let link = |path: &str| api.link(path);
    let all = asked.map_err(anyhow::Error::msg).and_then(|body| read(&body, link));
    api.close().await;
    let all = all?;
    for name in &arguments.names {
        if all.iter().all(|it| it["name"] != **name) {
            bail!("there is no heartbeat `{name}`; `watchbell heartbeats` shows them");
        }
    }
    let wanted = |it: &Value| arguments.names.is_empty() || arguments.names.iter().any(|name| it["name"] == **name);
    let chosen: Vec<Value> = all.into_iter().filter(wanted).collect();
    if let Some(file) = &arguments.env {
        let text = environment(&chosen)?;
        if file.as_os_str() == "-" {
            print!("{text}");
        } else {
            runtime
                .disk
                .write_atomic(file, text.as_bytes())
                .with_context(|| format!("{} cannot be written", file.display()))?;
            println!("{} addresses are in {}", chosen.len(), file.display());
        }
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(kind) = &arguments.snippet {
        for it in &chosen {
            let (name, url) = (it["name"].as_str().unwrap_or_default(), it["ping_url"].as_str().unwrap_or_default());
            if chosen.len() > 1 {
                println!("# {name}");
            }
            println!("{}", snippet(kind, url).trim_end());
        }
        return Ok(ExitCode::SUCCESS);
    }
    match arguments.output {
        Output::Json => println!("{}", serde_json::to_string_pretty(&chosen)?),
        Output::Text => {
            let text = |it: &Value, field: &str| it[field].as_str().unwrap_or("-").to_owned();
            let width = chosen.iter().map(|it| text(it, "name").chars().count()).max().unwrap_or_default();
            for it in &chosen {
                let (name, state, last) = (text(it, "name"), text(it, "state"), text(it, "last_ping"));
                println!("{name:width$}  {state:6}  last {last:24}  {}", text(it, "ping_url"));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What jobs of several kinds say, with `{url}` in place of the address; the UI shows the same.
#[derive(Deserialize)]
struct Snippet {
    kind: String,
    text: String,
}

fn snippets() -> Vec<Snippet> {
    serde_json::from_str(include_str!("../../../../web/src/snippets.json")).expect("it is a list of them")
}

/// One of the kinds that there are.
fn kind(text: &str) -> Result<String, String> {
    let kinds: Vec<String> = snippets().into_iter().map(|it| it.kind).collect();
    let is_one = kinds.iter().any(|kind| kind == text);
    if is_one { Ok(text.to_owned()) } else { Err(format!("there are {}", kinds.join(", "))) }
}

fn snippet(kind: &str, url: &str) -> String {
    let found = snippets().into_iter().find(|it| it.kind == kind);
    found.map_or_else(String::new, |it| it.text.replace("{url}", url))
}

fn read(body: &[u8], link: impl Fn(&str) -> String) -> Result<Vec<Value>> {
    let all: Value = serde_json::from_slice(body).context("its answer is not ours")?;
    let mut all: Vec<Value> = all.as_array().cloned().context("its answer is not ours")?;
    for url in all.iter_mut().filter_map(|it| it.get_mut("ping_url")) {
        if let Some(whole) = url.as_str().filter(|url| url.starts_with('/')).map(&link) {
            *url = whole.into();
        }
    }
    Ok(all)
}

/// One variable a line, named after the heartbeat. Two of one name would hide one another.
fn environment(heartbeats: &[Value]) -> Result<String> {
    let mut lines = std::collections::BTreeMap::new();
    for it in heartbeats {
        let name = it["name"].as_str().unwrap_or_default();
        let variable = variable_of(name);
        let url = it["ping_url"].as_str().with_context(|| format!("`{name}` has no address"))?;
        if let Some((other, _)) = lines.insert(variable.clone(), (name, url)) {
            bail!("`{other}` and `{name}` would both be {variable}; name the heartbeats that are wanted");
        }
    }
    Ok(lines.into_iter().map(|(variable, (_, url))| format!("{variable}={url}\n")).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_snippet_has_the_address() {
        for it in snippets() {
            assert!(it.text.contains("{url}") && !snippet(&it.kind, "http://x").contains("{url}"), "{}", it.kind);
        }
    }

    #[test]
    fn each_heartbeat_is_a_variable_of_its_own() {
        let of = |names: &[&str]| {
            let all: Vec<Value> =
                names.iter().map(|name| json!({ "name": name, "ping_url": "https://h/ping/u" })).collect();
            environment(&all).map_err(|error| error.to_string())
        };
        let two = "PING_A=https://h/ping/u\nPING_NIGHTLY_BACKUP__DB_1_=https://h/ping/u\n";
        assert_eq!(of(&["Nightly backup (db-1)", "a"]).as_deref(), Ok(two));
        let words = "`a b` and `A-B` would both be PING_A_B; name the heartbeats that are wanted";
        assert_eq!(of(&["a b", "A-B"]).unwrap_err(), words);
    }
}
