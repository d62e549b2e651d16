//! Fault points: places at which a test can end the process, as `kill -9` would.
//!
//! Only builds with debug assertions have them; a release build compiles [`point`] to nothing.
//! `WATCHBELL_FAULT=notify.before_send@2` ends the process when that point is passed for the second time.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

struct Armed {
    name: String,
    pass: u64,
    passed: AtomicU64,
}

static ARMED: OnceLock<Option<Armed>> = OnceLock::new();

/// A step between two others, by name: `<crate>.<step>`.
pub fn point(name: &'static str) {
    if !cfg!(debug_assertions) {
        return;
    }
    let armed = ARMED.get_or_init(|| {
        let text = std::env::var("WATCHBELL_FAULT").ok()?;
        let (name, pass) = text.split_once('@').unwrap_or((&text, "1"));
        Some(Armed { name: name.to_owned(), pass: pass.parse().unwrap_or(1), passed: AtomicU64::new(0) })
    });
    if let Some(armed) = armed
        && armed.name == name
        && armed.passed.fetch_add(1, Ordering::SeqCst) + 1 == armed.pass
    {
        // As sudden as SIGKILL: no destructor, no flush, no exit handler.
        std::process::abort();
    }
}
