//! `watchbell token`: tokens by which programs use the API, for who has the data folder.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use watchbell_model::near_hint;
use watchbell_runtime::Runtime;

use super::Files;
use super::reach::{self, Door};

const EXAMPLES: &str = "Examples:
  watchbell token new grafana       make one and print it, this once
  watchbell token new fra --place fra   one for the agent of a place; it opens nothing else
  watchbell token list              names, and since when
  watchbell token revoke grafana    take it back; it stops working at once

A program sends it as `Authorization: Bearer wb_…`, or as the password of basic authentication; commands of watchbell
take it from the environment variable WATCHBELL_TOKEN. The watchbell of the data folder may be running or not.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct TokenArguments {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    files: Files,
    /// The data folder.
    #[arg(long, global = true)]
    data: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make one and print it; it is shown this once.
    New {
        /// What it is for, such as `grafana`.
        name: String,
        /// The place whose agent reports with it (`places` in the configuration).
        #[arg(long)]
        place: Option<String>,
    },
    /// Names of all, and since when.
    List,
    /// Take one back.
    Revoke {
        /// Its name.
        name: String,
    },
}

pub(super) async fn run(runtime: &Runtime, arguments: TokenArguments) -> Result<ExitCode> {
    let TokenArguments { command, files, data } = arguments;
    let (config, folder) = reach::folder(runtime, &files, data).await;
    let door = Door::open(runtime, &folder).await?;
    match command {
        Command::New { name, place: None } => println!("{}", door.auth.issue_token(&name).await?),
        Command::New { name, place: Some(place) } => {
            if config.places.iter().all(|it| it.name != place) {
                let names = config.places.iter().map(|it| it.name.as_str());
                eprintln!(
                    "watchbell: there is no place `{place}` in the configuration yet; {}",
                    near_hint(&place, "places", names)
                );
            }
            println!("{}", door.auth.issue_place_token(&name, &place).await?);
        }
        Command::List => {
            for token in door.auth.tokens()? {
                let place = token.place.map(|place| format!("  place {place}")).unwrap_or_default();
                println!("{}  since {}{place}", token.name, token.issued_at);
            }
        }
        Command::Revoke { name } => {
            if !door.auth.revoke_token(&name).await? {
                bail!("there is no token `{name}`; `watchbell token list` shows them");
            }
        }
    }
    door.close();
    Ok(ExitCode::SUCCESS)
}
