//! What is scraped: `/targets`, `/targets/metadata`, `/targets/relabel_steps`, `/scrape_pools`.

use std::collections::{BTreeMap, BTreeSet};

use axum::extract::State;
use axum::response::Response;
use serde_json::{Value as Json, json};
use watchbell_model::{Labels, Lookup, Matcher, Metadata, QueryError, RelabelStep, Url};
use watchbell_query::promql;
use watchbell_sources::scrape::{DroppedTarget, TargetHealth, TargetStatus};

use super::facts::{count, described};
use super::rules::moment;
use super::{Answered, Parameters, Refused, invalid, ok, run};
use crate::App;

/// How the own machine is called.
const LOCAL: [&str; 3] = ["127.0.0.1", "localhost", "::1"];

/// `/api/v1/targets`.
pub(crate) async fn targets(State(app): State<App>, parameters: Parameters) -> Response {
    let state = parameters.get("state").unwrap_or("").to_ascii_lowercase();
    let shows = |which: &str| ["", "any", which].contains(&state.as_str());
    let pool = parameters.get("scrapePool");
    let wanted = |job: &str| pool.is_none_or(|pool| pool == job);
    let site = app.config.site().url;
    let own_port = own_port(&app);
    let active: Vec<Json> = match shows("active") {
        true => app
            .targets
            .list()
            .into_iter()
            .filter(|target| wanted(&target.pool))
            .map(|target| one(target, site.as_ref(), own_port))
            .collect(),
        false => Vec::new(),
    };
    let mut data = json!({ "activeTargets": active, "droppedTargets": [], "droppedTargetCounts": Json::Null });
    if shows("dropped") {
        let dropped = app.targets.dropped().into_iter().filter(|target| wanted(&target.pool));
        let one = |target: DroppedTarget| json!({ "discoveredLabels": target.discovered, "scrapePool": target.pool });
        data["droppedTargets"] = dropped.map(one).collect();
        data["droppedTargetCounts"] = json!(app.targets.dropped_counts());
    }
    ok(data)
}

/// `/api/v1/targets/relabel_steps`: what each rule of a job makes of a target's labels.
pub(crate) async fn relabel_steps(State(app): State<App>, parameters: Parameters) -> Answered {
    let missing = |name: &str| Refused::BadData(format!("no {name} parameter provided"));
    let pool = parameters.get("scrapePool").ok_or_else(|| missing("scrapePool"))?;
    let labels = parameters.get("labels").ok_or_else(|| missing("labels"))?;
    let labels: BTreeMap<String, String> =
        serde_json::from_str(labels).map_err(|error| Refused::BadData(format!("error parsing labels: {error}")))?;
    let steps = app
        .targets
        .relabel_steps(pool, &Labels::from_pairs(labels))
        .ok_or_else(|| Refused::BadData(format!("error retrieving scrape config: scrape pool {pool:?} not found")))?;
    let one = |step: &RelabelStep| json!({ "rule": step.rule, "output": step.labels, "keep": step.keep });
    Ok(ok(json!({ "steps": steps.iter().map(one).collect::<Vec<_>>() })))
}

fn one(target: TargetStatus, site: Option<&Url>, own_port: Option<u16>) -> Json {
    json!({
        "discoveredLabels": target.discovered,
        "labels": target.labels,
        "scrapePool": target.pool,
        "globalUrl": global(&target.url, site, own_port),
        "scrapeUrl": target.url,
        "lastError": target.error.unwrap_or_default(),
        "lastScrape": moment(target.last_scrape),
        "lastScrapeDuration": target.last_duration.map_or(0.0, |took| took.duration().as_secs_f64()),
        "health": match target.health {
            TargetHealth::Unknown => "unknown",
            TargetHealth::Up => "up",
            TargetHealth::Down => "down",
        },
        "scrapeInterval": target.interval,
        "scrapeTimeout": target.timeout,
    })
}

/// The port of the first listener.
fn own_port(app: &App) -> Option<u16> {
    app.config.flags().get("web.listen-address")?.rsplit(':').next()?.parse().ok()
}

/// A target's address as others reach it: where it names this machine, the name that `site.url` gives it.
fn global(url: &str, site: Option<&Url>, own_port: Option<u16>) -> String {
    let (Some(site), Ok(target)) = (site, url.parse::<Url>()) else { return url.to_owned() };
    if !LOCAL.contains(&target.host()) {
        return url.to_owned();
    }
    let path = target.path_and_query();
    if own_port == Some(target.port()) {
        return format!("{}{path}", site.origin());
    }
    let scheme = if target.is_https() { "https" } else { "http" };
    let host = if site.host().contains(':') { format!("[{}]", site.host()) } else { site.host().to_owned() };
    format!("{scheme}://{host}:{}{path}", target.port())
}

/// `/api/v1/scrape_pools`.
pub(crate) async fn scrape_pools(State(app): State<App>) -> Response {
    let mut pools = app.targets.pool_names();
    pools.sort();
    ok(json!({ "scrapePools": pools }))
}

/// `/api/v1/targets/metadata`: what the metrics are that targets have now.
pub(crate) async fn target_metadata(State(app): State<App>, parameters: Parameters) -> Answered {
    let limit = count(&parameters, "limit")?.unwrap_or(usize::MAX);
    let matchers = match parameters.get("match_target") {
        None => Vec::new(),
        Some(text) => promql::metric_selector(text).map_err(|error| {
            invalid("match_target", format!("{}:{}: parse error: {}", error.line, error.column, error.message))
        })?,
    };
    let metric = parameters.get("metric").map(str::to_owned);
    let now = app.runtime.clock.now();
    let lookback = app.config.query().lookback_delta.duration();
    let found = run(app, move |app| {
        let targets = app.targets.list().into_iter().map(|target| target.labels);
        let targets = targets.filter(|labels| matchers.iter().all(|matcher| matcher.matches_labels(labels)));
        let known: BTreeMap<String, Vec<Metadata>> = app.query.metadata(metric.as_deref())?.into_iter().collect();
        let mut found = Vec::new();
        for labels in targets {
            if found.len() >= limit {
                break;
            }
            let same = labels.iter().map(|(name, value)| Matcher::equal(name, value)).collect::<Vec<_>>();
            let lookup = Lookup { matchers: &[same], start: now - lookback, end: now, limit: 0 };
            let names = app.query.label_values(Labels::NAME, &lookup)?.items;
            let families: BTreeSet<&str> = names.iter().filter_map(|name| family(name, &known)).collect();
            for family in families {
                found.extend(known[family].iter().map(|it| {
                    let mut document = described(it);
                    document["target"] = json!(labels);
                    if metric.is_none() {
                        document["metric"] = family.into();
                    }
                    document
                }));
            }
        }
        Ok::<_, QueryError>(found)
    });
    Ok(ok(found.await?.into()))
}

/// The family that a series' name belongs to, among those that are known.
fn family<'a>(name: &str, known: &'a BTreeMap<String, Vec<Metadata>>) -> Option<&'a str> {
    const SUFFIXES: [&str; 6] = ["", "_total", "_bucket", "_count", "_sum", "_info"];
    let bare = SUFFIXES.iter().filter_map(|suffix| name.strip_suffix(suffix));
    bare.filter_map(|bare| known.get_key_value(bare)).map(|(family, _)| family.as_str()).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_on_this_machine_are_reached_by_its_name() {
        let site: Url = "https://watch.example.org/".parse().unwrap();
        let shown = |url| global(url, Some(&site), Some(9800));
        assert_eq!(shown("http://127.0.0.1:9100/metrics?a=b"), "http://watch.example.org:9100/metrics?a=b");
        assert_eq!(shown("http://localhost:9800/metrics"), "https://watch.example.org/metrics");
        assert_eq!(shown("http://10.0.0.1:9100/metrics"), "http://10.0.0.1:9100/metrics");
        assert_eq!(global("http://localhost:1/m", None, None), "http://localhost:1/m");
    }
}
