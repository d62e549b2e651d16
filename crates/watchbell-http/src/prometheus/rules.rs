//! Rules and their alerts: `/rules`, `/alerts`.

use axum::extract::State;
use axum::response::Response;
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};
use watchbell_alarms::rule::{Activity, AlertInstance, GroupStatus, Health, RuleStatus, RuleType};
use watchbell_model::{Matcher, Timestamp};
use watchbell_query::promql;

use super::ask::whole;
use super::write::exponent;
use super::{Answered, Parameters, Refused, invalid, ok};
use crate::App;

/// Which rules are wanted.
struct Wanted<'a> {
    kind: Option<RuleType>,
    names: Vec<&'a str>,
    groups: Vec<&'a str>,
    files: Vec<&'a str>,
    sets: Vec<Vec<Matcher>>,
    alerts: bool,
}

impl Wanted<'_> {
    fn has_group(&self, group: &GroupStatus) -> bool {
        among(&self.groups, &group.name) && among(&self.files, &group.file)
    }

    fn has(&self, rule: &RuleStatus) -> bool {
        self.kind.is_none_or(|kind| kind == rule.kind)
            && among(&self.names, &rule.name)
            && (self.sets.is_empty()
                || self.sets.iter().any(|set| set.iter().all(|matcher| matcher.matches_labels(&rule.labels))))
    }
}

fn among(wanted: &[&str], have: &str) -> bool {
    wanted.is_empty() || wanted.contains(&have)
}

/// `/api/v1/rules`.
pub(crate) async fn rules(State(app): State<App>, parameters: Parameters) -> Answered {
    let lower = |name: &str| parameters.get(name).map(str::to_ascii_lowercase);
    let kind = match lower("type").as_deref() {
        None => None,
        Some("alert") => Some(RuleType::Alerting),
        Some("record") => Some(RuleType::Recording),
        Some(other) => return Err(invalid("type", format!("not supported value {other:?}"))),
    };
    let alerts = match lower("exclude_alerts").as_deref() {
        None | Some("0" | "f" | "false") => true,
        Some("1" | "t" | "true") => false,
        Some(other) => {
            let reason =
                format!("error converting exclude_alerts: strconv.ParseBool: parsing {other:?}: invalid syntax");
            return Err(invalid("exclude_alerts", reason));
        }
    };
    let wanted = Wanted {
        kind,
        names: parameters.all("rule_name[]").collect(),
        groups: parameters.all("rule_group[]").collect(),
        files: parameters.all("file[]").collect(),
        sets: parameters.sets().map_err(Refused::BadData)?,
        alerts,
    };
    let (most, token) = page(&parameters)?;
    let mut groups = app.alarms.groups();
    groups.sort_by(|a, b| (&a.file, &a.name).cmp(&(&b.file, &b.name)));

    let (mut shown, mut next) = (Vec::new(), None);
    let mut begun = token.is_none();
    for group in &groups {
        begun = begun || token.is_some_and(|token| token == token_of(group));
        if !begun || !wanted.has_group(group) {
            continue;
        }
        let rules: Vec<Json> =
            group.rules.iter().filter(|it| wanted.has(it)).map(|it| rule(it, wanted.alerts)).collect();
        if rules.is_empty() {
            continue;
        }
        if shown.len() >= most {
            next = Some(token_of(group));
            break;
        }
        shown.push(group_json(group, rules));
    }
    if let Some(token) = token.filter(|_| !begun) {
        let reason = format!("invalid group_next_token '{token}'. were rule groups changed?");
        return Err(invalid("group_next_token", reason));
    }
    let mut data = json!({ "groups": shown });
    if let Some(next) = next {
        data["groupNextToken"] = next.into();
    }
    Ok(ok(data))
}

/// How many groups an answer may have, and where it begins.
fn page(parameters: &Parameters) -> Result<(usize, Option<&str>), Refused> {
    let token = parameters.get("group_next_token");
    let Some(text) = parameters.get("group_limit") else {
        return match token {
            None => Ok((usize::MAX, None)),
            Some(_) => {
                let reason = "group_limit needs to be present in order to paginate over the groups";
                Err(invalid("group_next_token", reason.into()))
            }
        };
    };
    let limit = whole(text).map_err(|error| {
        let error = error.replace("strconv.Atoi", "strconv.ParseInt");
        invalid("group_limit", format!("group_limit needs to be a valid number: {error}"))
    })?;
    match usize::try_from(limit) {
        Ok(limit) if limit > 0 => Ok((limit, token)),
        _ => Err(invalid("group_limit", "group_limit needs to be greater than 0".into())),
    }
}

fn token_of(group: &GroupStatus) -> String {
    let digest = Sha256::digest(format!("{};{}", group.file, group.name));
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn group_json(group: &GroupStatus, rules: Vec<Json>) -> Json {
    json!({
        "name": group.name,
        "file": group.file,
        "interval": group.interval.duration().as_secs_f64(),
        "limit": group.limit,
        "lastEvaluation": moment(group.last_evaluation),
        "evaluationTime": group.evaluation_seconds,
        "rules": rules,
    })
}

fn rule(rule: &RuleStatus, with_alerts: bool) -> Json {
    // As Prometheus prints it, whatever way it was written.
    let query = promql::parse(&rule.query).map_or_else(|_| rule.query.clone(), |expr| expr.to_string());
    let mut document = json!({
        "name": rule.name,
        "query": query,
        "labels": rule.labels,
        "health": match rule.health { Health::Unknown => "unknown", Health::Ok => "ok", Health::Err => "err" },
        "evaluationTime": rule.evaluation_seconds,
        "lastEvaluation": moment(rule.last_evaluation),
        "type": match rule.kind { RuleType::Alerting => "alerting", RuleType::Recording => "recording" },
    });
    if let Some(error) = &rule.last_error {
        document["lastError"] = json!(error);
    }
    if rule.kind == RuleType::Alerting {
        document["state"] = activity(rule.state).into();
        document["duration"] = rule.hold.duration().as_secs_f64().into();
        document["keepFiringFor"] = rule.keep_firing_for.duration().as_secs_f64().into();
        document["annotations"] = json!(rule.annotations);
        document["alerts"] = if with_alerts { rule.alerts.iter().map(alert).collect() } else { Json::Null };
    }
    document
}

fn activity(state: Activity) -> &'static str {
    match state {
        Activity::Inactive => "inactive",
        Activity::Pending => "pending",
        Activity::Firing => "firing",
    }
}

fn alert(alert: &AlertInstance) -> Json {
    let mut document = json!({
        "labels": alert.labels,
        "annotations": alert.annotations,
        "state": activity(alert.state),
        "activeAt": alert.active_at,
        "value": alert.value.map_or_else(String::new, exponent),
    });
    if let Some(since) = alert.keep_firing_since {
        document["keepFiringSince"] = json!(since);
    }
    document
}

/// Go's zero time where nothing happened yet.
pub(super) fn moment(at: Option<Timestamp>) -> String {
    at.map_or_else(|| "0001-01-01T00:00:00Z".to_owned(), |at| at.to_string())
}

/// `/api/v1/alerts`.
pub(crate) async fn alerts(State(app): State<App>) -> Response {
    let groups = app.alarms.groups();
    let all: Vec<Json> =
        groups.iter().flat_map(|group| &group.rules).flat_map(|rule| &rule.alerts).map(alert).collect();
    ok(json!({ "alerts": all }))
}
