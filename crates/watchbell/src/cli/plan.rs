//! `watchbell plan` and `watchbell apply`: the heartbeats of the configuration beside those of a running watchbell.
//!
//! What stands in the configuration is made, changed and taken away by a reload; what was made by a ping or by the API is
//! drift: said, and never taken away unasked. What is paused stays paused.

use std::fmt::Write;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use watchbell_model::HeartbeatState;
use watchbell_runtime::Runtime;
use watchbell_sources::heartbeat::{Definition, HeartbeatConfig};

use super::Output;
use super::alerts::Whom;
use super::reach::Api;
use crate::addresses::{Done, Outcome, Writer};

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

impl Difference {
    fn of(wanted: &[HeartbeatConfig], running: &[Running]) -> Difference {
        let mut found = Difference::default();
        for config in wanted {
            match running.iter().find(|it| it.configured && it.name == config.name) {
                None => found.new.push(config.name.clone()),
                Some(it) => {
                    let fields = changes(config, it);
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
fn changes(config: &HeartbeatConfig, it: &Running) -> Map<String, Value> {
    let mut fields = Map::new();
    let fields_of = |definition: &Definition| match serde_json::to_value(definition) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    };
    let (is, becomes) = (fields_of(&it.definition), fields_of(&config.definition()));
    for (field, becomes) in becomes {
        let is = is.get(&field).cloned().unwrap_or_default();
        if is != becomes {
            fields.insert(field, json!({ "is": is, "becomes": becomes }));
        }
    }
    if let Some(uuid) = config.uuid.as_deref().filter(|uuid| !uuid.eq_ignore_ascii_case(&it.uuid)) {
        fields.insert("uuid".into(), json!({ "is": it.uuid, "becomes": uuid }));
    }
    fields
}

async fn running(api: &Api) -> Result<Vec<Running>> {
    let body = api.ask("GET", "/api/watchbell/v1/heartbeats", Vec::new()).await.map_err(anyhow::Error::msg)?;
    serde_json::from_slice(&body).context("its answer is not ours; is it an older watchbell?")
}

/// The configuration, or the code to exit with.
async fn wanted(runtime: &Runtime, whom: &Whom) -> Result<crate::config::Config, ExitCode> {
    super::good(runtime, &whom.files).await.map(|good| good.config)
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
    let config = match wanted(runtime, &arguments.whom).await {
        Ok(config) => config,
        Err(code) => return Ok(code),
    };
    let api = arguments.whom.api(runtime).await?;
    let there = running(&api).await;
    let writer = Writer::new(runtime, &config.ping_addresses, true);
    let done = match &there {
        Ok(there) => places(&api, &writer, &config.heartbeats, there).await,
        Err(_) => Vec::new(),
    };
    api.close().await;
    let difference = Difference::of(&config.heartbeats, &there?);
    show(&difference, &done, true, arguments.output)?;
    let to_do = !difference.is_empty() || done.iter().any(|it| matches!(it.outcome, Ok(Outcome::Written)));
    Ok(match done.iter().any(|it| it.outcome.is_err()) {
        true => ExitCode::FAILURE,
        false if to_do => ExitCode::from(TO_DO),
        false => ExitCode::SUCCESS,
    })
}

pub(super) async fn apply(runtime: &Runtime, arguments: ApplyArguments) -> Result<ExitCode> {
    let config = match wanted(runtime, &arguments.whom).await {
        Ok(config) => config,
        Err(code) => return Ok(code),
    };
    let api = arguments.whom.api(runtime).await?;
    let done = reconcile(runtime, &api, &config, arguments.delete_extras).await;
    api.close().await;
    let (difference, done) = done?;
    show(&difference, &done, false, arguments.output)?;
    Ok(if done.iter().any(|it| it.outcome.is_err()) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Makes it so; gives what differed before, and what became of the places.
async fn reconcile(
    runtime: &Runtime,
    api: &Api,
    config: &crate::config::Config,
    delete_extras: bool,
) -> Result<(Difference, Vec<Done>)> {
    let difference = Difference::of(&config.heartbeats, &running(api).await?);
    // Also where no field of a heartbeat differs: what is told of it, such as its run book, may.
    api.ask("POST", "/-/reload", Vec::new()).await.map_err(anyhow::Error::msg)?;
    let there = running(api).await?;
    let left = Difference::of(&config.heartbeats, &there);
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
    let writer = Writer::new(runtime, &config.ping_addresses, false);
    Ok((difference, places(api, &writer, &config.heartbeats, &there).await))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn configs(json: Value) -> Vec<HeartbeatConfig> {
        serde_json::from_value(json).unwrap()
    }

    fn there(config: &HeartbeatConfig, configured: bool, state: HeartbeatState) -> Running {
        Running {
            name: config.name.clone(),
            uuid: config.uuid.clone().unwrap_or_else(|| "made-up".into()),
            configured,
            state,
            definition: config.definition(),
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
            {"name": "other", "cron": "0 4 * * *", "grace": "30m", "tags": ["a"], "uuid": "u9"},
            {"name": "import"},
            {"name": "db", "uuid": "u3"},
        ]));
        let difference = Difference::of(&wanted, &running);
        expect![[r#"
            + import: new
            + db: new
            ~ other: grace "1h" becomes "30m", schedule "0 3 * * *" becomes "0 4 * * *", uuid "u1" becomes "u9"
            - old: no longer in the configuration
            ! u2 `by hand`: made by a ping or the API, stands in no configuration
            = same: is paused, and stays so
        "#]]
        .assert_eq(&difference.text());
        let nothing = Difference::of(&old, &running[..3]);
        assert!(nothing.is_empty() && nothing.extras.is_empty());
    }
}
