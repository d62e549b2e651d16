//! `watchbell signin`: a new one-time link, for who has the data folder.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use watchbell_runtime::Runtime;

use super::Files;
use super::reach::{self, Door};

pub(super) async fn run(runtime: &Runtime, files: &Files, data: Option<PathBuf>) -> Result<ExitCode> {
    let (config, folder) = reach::folder(runtime, files, data).await;
    let door = Door::open(runtime, &folder).await?;
    let path = door.auth.issue_link().await?;
    println!("{}", config.site_url().join(&path));
    eprintln!("It signs in once, within {} minutes.", watchbell_http::LINK_VALID.as_secs() / 60);
    door.close();
    Ok(ExitCode::SUCCESS)
}
