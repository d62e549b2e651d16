//! Discoveries against a simulated world.

mod files;

use watchbell_runtime::Runtime;

use super::{Discovery, TargetGroup};

/// What a discovery gives, one target a line, under its group's source and labels.
fn text(groups: &[TargetGroup]) -> String {
    let labels = |labels: &watchbell_model::Labels| {
        labels.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
    };
    let group = |group: &TargetGroup| {
        let targets: String = group.targets.iter().map(|target| format!("  {}\n", labels(target))).collect();
        format!("{} | {}\n{targets}", group.source, labels(&group.labels))
    };
    groups.iter().map(group).collect()
}

async fn told(discovery: &Discovery, runtime: &Runtime) -> String {
    match discovery.targets(runtime).await {
        Ok(groups) => text(&groups),
        Err(error) => format!("error: {error}\n"),
    }
}
