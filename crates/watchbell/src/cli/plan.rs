//! `watchbell plan` and `watchbell apply`: the heartbeats of the configuration beside those of a running watchbell.
//!
//! All that the configuration says of a heartbeat is compared. No secret is printed: of a field that holds one, here or
//! there, only that it changes.
//!
//! What stands in the configuration is made, changed and taken away by a reload; what was made by a ping or by the API is
//! drift: said, and never taken away unasked. What is paused stays paused.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use watchbell_model::HeartbeatState;
use watchbell_runtime::Runtime;
use watchbell_sources::heartbeat::{Alerting, Definition, HeartbeatConfig};

use super::Output;
use super::alerts::Whom;
use super::reach::Api;
use crate::addresses::{Done, Outcome, Writer};
use crate::config::{Good, secret_fields};

/// What stands in place of a secret.
const HIDDEN: &str = "<secret>";

/// The exit code of a plan with something to do.
const TO_DO: u8 = 3;

const PLAN_EXAMPLES: &str = "Examples:
  watchbell plan                     what `watchbell apply` would do: heartbeats that are new, changed or gone in the
                                     configuration, those made elsewhere, and where addresses would be written
  watchbell plan --output json

Exit code: 0 nothing to do; 1 nobody answers, or a place cannot be looked at; 2 the configuration is wrong; 3 something to do.
What was made by a ping or by the API is drift: it is said, and is nothing to do.";

const APPLY_EXAMPLES: &str = "Examples:
  watchbell apply                    have the configuration read again, and write addresses where `address_to` says
  watchbell apply --delete-extras    also delete heartbeats that a ping or the API made

Exit code: 0 done, or nothing to do; 1 something could not be done; 2 the configuration is wrong.";

#[derive(Debug, Args)]
#[command(after_help = PLAN_EXAMPLES)]
pub(super) struct PlanArguments {
    #[command(flatten)]
    whom: Whom,
    /// How it is printed.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Debug, Args)]
#[command(after_help = APPLY_EXAMPLES)]
pub(super) struct ApplyArguments {
    /// Delete heartbeats that do not stand in the configuration, with their pings.
    #[arg(long)]
    delete_extras: bool,
    #[command(flatten)]
    whom: Whom,
    /// How it is printed.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// A heartbeat of a running watchbell, as its API says it.
#[derive(Clone, Debug, Deserialize)]
struct Running {
    name: String,
    uuid: String,
    configured: bool,
    state: HeartbeatState,
    definition: Definition,
    /// Not said by an older watchbell.
    #[serde(default)]
    alerting: Option<Alerting>,
    ping_url: Option<String>,
}

/// What differs between the configuration and a running watchbell.
#[derive(Debug, Default, PartialEq, Serialize)]
struct Difference {
    /// Names that are not there yet.
    new: Vec<String>,
    changed: Vec<Changed>,
    /// Names that do not stand in the configuration any more.
    gone: Vec<String>,
    /// What was made by a ping or by the API.
    extras: Vec<Extra>,
    /// Names of those that are paused, and stay so.
    paused: Vec<String>,
}

#[derive(Debug, PartialEq, Serialize)]
struct Changed {
    name: String,
    /// By field: what it is now and what it becomes.
    fields: Map<String, Value>,
}

#[derive(Debug, PartialEq, Serialize)]
struct Extra {
    uuid: String,
    name: String,
}

/// Fields that hold secrets, by the heartbeat's name, in the configuration and in the one in force.
struct Secrets([BTreeMap<String, BTreeSet<String>>; 2]);

impl Secrets {
    /// Whether the value of a field, by its name in the plan, must not be seen.
    fn hide(&self, heartbeat: &str, field: &str) -> bool {
        let sources: &[&str] = match field {
            // Who knows it can ping.
            "uuid" => return true,
            "kind" | "timeout" | "schedule" => &["period", "cron", "oncalendar"],
            "zone" => &["timezone"],
            "start_keywords" | "success_keywords" | "failure_keywords" => &["keywords"],
            same => &[same],
        };
        let all = self.0.iter().filter_map(|fields| fields.get(heartbeat));
        all.flatten().any(|field| sources.contains(&field.as_str()))
    }
}

impl Difference {
    fn of(wanted: &[HeartbeatConfig], running: &[Running], secrets: &Secrets) -> Difference {
        let mut found = Difference::default();
        for config in wanted {
            match running.iter().find(|it| it.configured && it.name == config.name) {
                None => found.new.push(config.name.clone()),
                Some(it) => {
                    let fields = changes(config, it, secrets);
                    if !fields.is_empty() {
                        found.changed.push(Changed { name: config.name.clone(), fields });
                    }
                }
            }
        }
        for it in running {
            let is_wanted = wanted.iter().any(|config| config.name == it.name);
            let is_taken_over = wanted
                .iter()
                .any(|config| config.uuid.as_deref().is_some_and(|uuid| uuid.eq_ignore_ascii_case(&it.uuid)));
            match it.configured {
                true if !is_wanted => found.gone.push(it.name.clone()),
                false if !is_taken_over => {
                    found.extras.push(Extra { uuid: it.uuid.clone(), name: it.name.clone() });
                }
                _ => {}
            }
            if it.state == HeartbeatState::Paused {
                found.paused.push(it.name.clone());
            }
        }
        found
    }

    /// Whether the configuration asks for anything that is not so.
    fn is_empty(&self) -> bool {
        self.new.is_empty() && self.changed.is_empty() && self.gone.is_empty()
    }

    fn text(&self) -> String {
        let mut out = String::new();
        for name in &self.new {
            let _ = writeln!(out, "+ {name}: new");
        }
        for Changed { name, fields } in &self.changed {
            let one =
                |(field, value): (&String, &Value)| format!("{field} {} becomes {}", value["is"], value["becomes"]);
            let fields: Vec<String> = fields.iter().map(one).collect();
            let _ = writeln!(out, "~ {name}: {}", fields.join(", "));
        }
        for name in &self.gone {
            let _ = writeln!(out, "- {name}: no longer in the configuration");
        }
        for Extra { uuid, name } in &self.extras {
            let name = if name == uuid { String::new() } else { format!(" `{name}`") };
            let _ = writeln!(out, "! {uuid}{name}: made by a ping or the API, stands in no configuration");
        }
        for name in &self.paused {
            let _ = writeln!(out, "= {name}: is paused, and stays so");
        }
        out
    }
}

/// Fields that are not as the configuration wants them.
fn changes(config: &HeartbeatConfig, it: &Running, secrets: &Secrets) -> Map<String, Value> {
    let mut fields = Map::new();
    let mut change = |field: &str, is: Value, becomes: Value| {
        let shown = if secrets.hide(&config.name, field) {
            json!({ "is": HIDDEN, "becomes": HIDDEN })
        } else {
            json!({ "is": is, "becomes": becomes })
        };
        if is != becomes {
            fields.insert(field.to_owned(), shown);
        }
    };
    let mut compare = |is: Map<String, Value>, becomes: Map<String, Value>| {
        for (field, becomes) in becomes {
            change(&field, is.get(&field).cloned().unwrap_or_default(), becomes);
        }
    };
    compare(fields_of(&it.definition), fields_of(&config.definition()));
    if let Some(is) = &it.alerting {
        compare(fields_of(is), fields_of(&config.alerting()));
    }
    if let Some(uuid) = &config.uuid {
        change("uuid", json!(it.uuid.to_ascii_lowercase()), json!(uuid.to_ascii_lowercase()));
    }
    fields
}

fn fields_of(all: &impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(all) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    }
}

async fn running(api: &Api) -> Result<Vec<Running>> {
    let body = api.ask("GET", "/api/watchbell/v1/heartbeats", Vec::new()).await.map_err(anyhow::Error::msg)?;
    serde_json::from_slice(&body).context("its answer is not ours; is it an older watchbell?")
}

/// Where secrets are: in the configuration, and in the one in force.
async fn secrets(api: &Api, good: &Good) -> Result<Secrets> {
    let body = api.ask("GET", "/api/v1/status/config", Vec::new()).await.map_err(anyhow::Error::msg)?;
    let in_force: Value = serde_json::from_slice(&body).context("its answer is not ours; is it an older watchbell?")?;
    let in_force = in_force["data"]["yaml"].as_str().unwrap_or_default();
    Ok(Secrets([secret_fields(&good.shown), secret_fields(in_force)]))
}

/// A running watchbell beside the configuration.
async fn compare(api: &Api, good: &Good) -> Result<(Difference, Vec<Running>)> {
    let there = running(api).await?;
    let secrets = secrets(api, good).await?;
    Ok((Difference::of(&good.config.heartbeats, &there, &secrets), there))
}

/// Every place of every heartbeat that is there.
async fn places(api: &Api, writer: &Writer<'_>, wanted: &[HeartbeatConfig], running: &[Running]) -> Vec<Done> {
    let mut done = Vec::new();
    for config in wanted {
        let there = running.iter().find(|it| it.configured && it.name == config.name);
        if let Some(url) = there.and_then(|it| it.ping_url.as_deref()) {
            let url = if url.starts_with('/') { api.link(url) } else { url.to_owned() };
            done.extend(writer.write(config, &url).await);
        }
    }
    done
}

fn words_of(done: &Done, is_plan: bool) -> Option<String> {
    let Done { heartbeat, place, outcome } = done;
    match outcome {
        Ok(Outcome::Unchanged) => None,
        Ok(Outcome::Written) if is_plan => Some(format!("> {heartbeat}: its address goes to the {place}")),
        Ok(Outcome::Written) => Some(format!("> {heartbeat}: its address is in the {place}")),
        Ok(Outcome::Paused) => Some(format!("= {heartbeat}: the {place} says `paused`, and stays so")),
        Err(error) => Some(format!("x {heartbeat}: the {place}: {error:#}")),
    }
}

fn show(difference: &Difference, done: &[Done], is_plan: bool, output: Output) -> Result<()> {
    match output {
        Output::Json => {
            let one = |it: &Done| match &it.outcome {
                Ok(outcome) => json!({ "heartbeat": it.heartbeat, "place": it.place, "outcome": outcome }),
                Err(error) => json!({ "heartbeat": it.heartbeat, "place": it.place, "error": format!("{error:#}") }),
            };
            let mut all = serde_json::to_value(difference)?;
            all["addresses"] = done.iter().map(one).collect();
            println!("{}", serde_json::to_string_pretty(&all)?);
        }
        Output::Text => {
            let words: Vec<String> = done.iter().filter_map(|it| words_of(it, is_plan)).collect();
            print!("{}", difference.text());
            words.iter().for_each(|it| println!("{it}"));
            let is_written = |it: &Done| matches!(it.outcome, Ok(Outcome::Written));
            if difference.is_empty() && !done.iter().any(is_written) {
                println!("nothing {}", if is_plan { "to do" } else { "was to do" });
            }
        }
    }
    Ok(())
}

pub(super) async fn plan(runtime: &Runtime, arguments: PlanArguments) -> Result<ExitCode> {
    let good = match super::good(runtime, &arguments.whom.files).await {
        Ok(good) => good,
        Err(code) => return Ok(code),
    };
    let api = arguments.whom.api(runtime).await?;
    let compared = compare(&api, &good).await;
    let writer = Writer::new(runtime, &good.config.ping_addresses, true);
    let done = match &compared {
        Ok((_, there)) => places(&api, &writer, &good.config.heartbeats, there).await,
        Err(_) => Vec::new(),
    };
    api.close().await;
    let (difference, _) = compared?;
    show(&difference, &done, true, arguments.output)?;
    let to_do = !difference.is_empty() || done.iter().any(|it| matches!(it.outcome, Ok(Outcome::Written)));
    Ok(match done.iter().any(|it| it.outcome.is_err()) {
        true => ExitCode::FAILURE,
        false if to_do => ExitCode::from(TO_DO),
        false => ExitCode::SUCCESS,
    })
}

pub(super) async fn apply(runtime: &Runtime, arguments: ApplyArguments) -> Result<ExitCode> {
    let good = match super::good(runtime, &arguments.whom.files).await {
        Ok(good) => good,
        Err(code) => return Ok(code),
    };
    let api = arguments.whom.api(runtime).await?;
    let done = reconcile(runtime, &api, &good, arguments.delete_extras).await;
    api.close().await;
    let (difference, done) = done?;
    show(&difference, &done, false, arguments.output)?;
    Ok(if done.iter().any(|it| it.outcome.is_err()) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Makes it so; gives what differed before, and what became of the places.
async fn reconcile(runtime: &Runtime, api: &Api, good: &Good, delete_extras: bool) -> Result<(Difference, Vec<Done>)> {
    let (difference, _) = compare(api, good).await?;
    // Also for what is compared nowhere, such as what a secret holds.
    api.ask("POST", "/-/reload", Vec::new()).await.map_err(anyhow::Error::msg)?;
    let (left, there) = compare(api, good).await?;
    anyhow::ensure!(
        left.is_empty(),
        "it has read its configuration, which is another one than this:\n{}",
        left.text().trim_end()
    );
    if delete_extras {
        for extra in &difference.extras {
            let path = format!("/api/v3/checks/{}", extra.uuid);
            api.ask("DELETE", &path, Vec::new()).await.map_err(anyhow::Error::msg)?;
        }
    }
    let writer = Writer::new(runtime, &good.config.ping_addresses, false);
    Ok((difference, places(api, &writer, &good.config.heartbeats, &there).await))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn configs(json: Value) -> Vec<HeartbeatConfig> {
        serde_json::from_value(json).unwrap()
    }

    /// As the configuration in force says.
    fn secrets(shown: &str) -> Secrets {
        Secrets([BTreeMap::new(), secret_fields(shown)])
    }

    fn there(config: &HeartbeatConfig, configured: bool, state: HeartbeatState) -> Running {
        Running {
            name: config.name.clone(),
            uuid: config.uuid.clone().unwrap_or_else(|| "made-up".into()),
            configured,
            state,
            definition: config.definition(),
            alerting: configured.then(|| config.alerting()),
            ping_url: None,
        }
    }

    #[test]
    fn what_differs_is_said_and_what_was_made_elsewhere_stays() {
        let old = configs(json!([
            {"name": "same", "period": "1h"},
            {"name": "other", "cron": "0 3 * * *", "grace": "1h", "tags": ["a"], "uuid": "u1"},
            {"name": "old"},
        ]));
        let made = configs(json!([{"name": "by hand", "uuid": "u2"}, {"name": "taken over", "uuid": "U3"}]));
        let mut running: Vec<Running> = old.iter().map(|it| there(it, true, HeartbeatState::Up)).collect();
        running[0].state = HeartbeatState::Paused;
        running.extend(made.iter().map(|it| there(it, false, HeartbeatState::New)));
        let wanted = configs(json!([
            {"name": "same", "period": "1h"},
            {"name": "other", "cron": "0 4 * * *", "grace": "30m", "tags": ["a"], "uuid": "u9", "severity": "warning",
             "runbook": "disk-full", "labels": {"team": "db"}, "depends_on": ["router"]},
            {"name": "import"},
            {"name": "db", "uuid": "u3"},
        ]));
        let difference = Difference::of(&wanted, &running, &secrets(""));
        expect![[r#"
            + import: new
            + db: new
            ~ other: depends_on [] becomes ["router"], grace "1h" becomes "30m", labels {} becomes {"team":"db"}, runbook null becomes "disk-full", schedule "0 3 * * *" becomes "0 4 * * *", severity "critical" becomes "warning", uuid "<secret>" becomes "<secret>"
            - old: no longer in the configuration
            ! u2 `by hand`: made by a ping or the API, stands in no configuration
            = same: is paused, and stays so
        "#]]
        .assert_eq(&difference.text());
        let nothing = Difference::of(&old, &running[..3], &secrets(""));
        assert!(nothing.is_empty() && nothing.extras.is_empty());
    }

    #[test]
    fn what_holds_a_secret_only_changes() {
        let shown = "heartbeats:\n  - name: job\n    runbook: <secret>\n    \
                     labels:\n      a: b\n      key: <secret>\n    keywords:\n      success: [<secret>]\n  - name: other\n";
        let is = configs(json!([{"name": "job", "uuid": "u1", "grace": "1h", "labels": {"key": "hush"},
            "runbook": "https://wiki.example.org/hush", "keywords": {"success": ["hush"]}}]));
        let running = [there(&is[0], true, HeartbeatState::Up)];
        let wanted = configs(json!([{"name": "job", "uuid": "u2", "grace": "2h", "runbook": "job"}]));
        let difference = Difference::of(&wanted, &running, &secrets(shown));
        expect![[r#"
            ~ job: filter_body true becomes false, filter_http_body true becomes false, filter_subject true becomes false, grace "1h" becomes "2h", labels "<secret>" becomes "<secret>", runbook "<secret>" becomes "<secret>", success_keywords "<secret>" becomes "<secret>", uuid "<secret>" becomes "<secret>"
        "#]]
        .assert_eq(&difference.text());
        // A secret of the new one is as secret.
        let difference = Difference::of(&is, &[there(&wanted[0], true, HeartbeatState::Up)], &secrets(shown));
        assert!(!difference.text().contains("hush"), "{}", difference.text());
    }
}
