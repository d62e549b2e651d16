//! `watchbell signin`: a new one-time link, for who has the data folder.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Result, bail};
use watchbell_http::Auth;
use watchbell_runtime::Runtime;
use watchbell_store::SqliteState;

use super::Files;

pub(super) async fn run(runtime: &Runtime, files: &Files, data: Option<PathBuf>) -> Result<ExitCode> {
    let paths = files.paths(runtime);
    // A configuration that is refused keeps nobody out: that is when people look.
    let config = match crate::config::load(runtime, &paths).await.good {
        Some(good) => good.config,
        None => crate::config::reach_of(runtime, &paths),
    };
    let folder = data.unwrap_or_else(|| config.storage.path.clone());
    let Some(state) = SqliteState::attach(runtime, &folder)? else {
        bail!("{} is not the data folder of a watchbell; name it with --data", folder.display());
    };
    let state = Arc::new(state);
    let auth = Auth::open(Arc::clone(&state) as Arc<_>, runtime.clock.clone(), runtime.rng.clone()).await?;
    let path = auth.issue_link().await?;
    println!("{}", config.site_url().join(&path));
    eprintln!("It signs in once, within {} minutes.", watchbell_http::LINK_VALID.as_secs() / 60);
    state.close();
    Ok(ExitCode::SUCCESS)
}
