//! `watchbell runbook`: stubs to fill in, and what there is.

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Subcommand;
use watchbell_runtime::Runtime;

use super::Files;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Write a run book with every required part, to fill in.
    New {
        /// Its name: the file is NAME.md in the run book folder.
        name: String,
        /// Its title; by default made from the name.
        #[arg(long)]
        title: Option<String>,
    },
    /// List run books and what they lack.
    List,
}

pub(super) async fn run(runtime: &Runtime, command: &Command, files: &Files) -> Result<ExitCode> {
    // The configuration may be refused just because this run book is missing, so its folder is read by itself.
    let config = crate::config::runbooks_of(runtime, &files.paths(runtime));
    let (library, _) = crate::config::library(runtime, &config);
    match command {
        Command::New { name, title } => {
            let watchbell_model::RunbookRef::Named(name) = name.parse()? else {
                bail!("an external page is not written by watchbell; give a name such as `imap-down`");
            };
            let folder = std::path::Path::new(&config.dir);
            let path = folder.join(format!("{name}.md"));
            if runtime.disk.exists(&path) {
                bail!("{} is already there", path.display());
            }
            let title = title.clone().unwrap_or_else(|| title_of(&name));
            runtime.disk.create_dir_all(folder).with_context(|| config.dir.clone())?;
            runtime
                .disk
                .write_atomic(&path, library.stub(&name, &title).as_bytes())
                .with_context(|| format!("{} cannot be written", path.display()))?;
            println!("{} is written; fill in its parts and name it with `runbook: {name}`", path.display());
        }
        Command::List => {
            for (name, title) in library.list() {
                let missing = library.check(&watchbell_model::RunbookRef::Named(name.clone()));
                let lacks =
                    if missing.is_empty() { String::new() } else { format!("  (lacks: {})", missing.join(", ")) };
                println!("{name:24} {title}{lacks}");
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// `imap-down` as a title: `Imap down`.
fn title_of(name: &str) -> String {
    let words = name.replace(['-', '_', '.'], " ");
    let mut letters = words.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}
