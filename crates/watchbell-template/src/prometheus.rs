//! Prometheus' own template functions, and the expansion of a rule's labels and annotations.

use std::collections::BTreeMap;

use watchbell_model::{Labels, Timestamp};

use crate::functions::{bounded, exactly, items, one, query_escape, text};
use crate::render::Run;
use crate::{Context, Dialect, Template, TemplateError, Value, Vector, number};

/// What every rule template may use without declaring it.
const VARIABLES: [&str; 4] = ["$labels", "$externalLabels", "$externalURL", "$value"];

/// Whether a rule's label or annotation is a template at all, and a sound one.
///
/// # Errors
/// The first thing that is wrong, with its place in `text`.
pub fn check(text: &str) -> Result<(), TemplateError> {
    Template::parse_with(&[("rule", text)], &VARIABLES).map(|_| ())
}

/// Writes a label or annotation of an alerting rule: `$labels`, `$value`, `$externalLabels`, `$externalURL` and the
/// fields `.Labels`, `.Value`, `.ExternalLabels`, `.ExternalURL` are those of the series that fires; its value is a number or
/// a histogram.
///
/// `query` answers the `query` function with an instant vector as of `now`.
///
/// # Errors
/// What is wrong with the template, or went wrong while it was written. Prometheus then uses
/// `<error expanding template: …>` as the value and lets the alert fire.
pub fn expand(
    text: &str,
    labels: &Labels,
    value: Value,
    external_labels: &Labels,
    external_url: &str,
    query: &dyn Fn(&str) -> Result<Vector, String>,
    now: Timestamp,
) -> Result<String, TemplateError> {
    if !text.contains("{{") {
        return Ok(text.to_owned());
    }
    let template = Template::parse_with(&[("rule", text)], &VARIABLES)?;
    let values = [Value::from(labels), external_labels.into(), external_url.into(), value];
    let fields = ["Labels", "ExternalLabels", "ExternalURL", "Value"];
    let data = Value::record(fields.into_iter().zip(values.iter().cloned()));
    let variables: Vec<(&str, Value)> = VARIABLES.into_iter().zip(values).collect();
    let context = Context { dialect: Dialect::Prometheus, now, external_url, query: Some(query), route_label: None };
    crate::render::render(&template, &data, &variables, &context)
}

pub(crate) fn call(run: &mut Run<'_>, name: &str, args: &[Value]) -> Result<Value, String> {
    Ok(match name {
        "query" => {
            run.burn(100)?;
            let ask = run.context.query.ok_or("there is nothing to query here")?;
            let vector = ask(text(name, one(name, args)?)?)?;
            run.burn(vector.len())?;
            Value::list(
                vector
                    .iter()
                    .map(|(labels, value)| Value::record([("Labels", Value::from(labels)), ("Value", value.clone())])),
            )
        }
        "first" => match items(name, one(name, args)?)? {
            [first, ..] => first.clone(),
            [] => return Err("`first` was called on an empty vector".to_owned()),
        },
        "label" => {
            let [label, sample] = exactly(name, args)?;
            label_of(sample, text(name, label)?)?.into()
        }
        "value" => match one(name, args)? {
            Value::Record(fields) => fields.get("Value").cloned().unwrap_or_default(),
            other => return Err(format!("`value` takes a sample, not a {}", other.kind())),
        },
        "strvalue" => label_of(one(name, args)?, "__value__")?.into(),
        "sortByLabel" => {
            let [label, list] = exactly(name, args)?;
            let label = text(name, label)?;
            let mut sorted = items(name, list)?.to_vec();
            run.burn(sorted.len() * 4)?;
            sorted.sort_by_key(|sample| label_of(sample, label).unwrap_or_default());
            sorted.into()
        }
        "humanize" => humanize(number_of(name, one(name, args)?)?).into(),
        "humanize1024" => humanize1024(number_of(name, one(name, args)?)?).into(),
        "humanizeDuration" => humanize_duration(number_of(name, one(name, args)?)?).into(),
        "humanizePercentage" => format!("{}%", four(number_of(name, one(name, args)?)? * 100.0)).into(),
        "humanizeTimestamp" => match time_of(number_of(name, one(name, args)?)?) {
            Ok(Value::Time(at)) => crate::time_format::go_string(&at).into(),
            Ok(other) => other,
            Err(number) => four(number).into(),
        },
        "toTime" => time_of(number_of(name, one(name, args)?)?)
            .map_err(|number| format!("{} is not a time", number::general(number, None)))?,
        "toDuration" => Value::Duration((number_of(name, one(name, args)?)? * 1e9) as i64),
        "parseDuration" => {
            let span = text(name, one(name, args)?)?;
            let (sign, size) = span.strip_prefix('-').map_or((1.0, span), |size| (-1.0, size));
            let parsed: watchbell_model::Span = size.parse().map_err(|error| format!("{error}"))?;
            Value::Float(sign * parsed.duration().as_secs_f64())
        }
        "stripPort" => {
            let whole = text(name, one(name, args)?)?;
            split_host_port(whole).map_or(whole, |(host, _)| host).into()
        }
        "stripDomain" => strip_domain(text(name, one(name, args)?)?).into(),
        "graphLink" => bounded(format!("/graph?g0.expr={}&g0.tab=0", query_escape(text(name, one(name, args)?)?)))?,
        "tableLink" => bounded(format!("/graph?g0.expr={}&g0.tab=1", query_escape(text(name, one(name, args)?)?)))?,
        "externalURL" => run.context.external_url.into(),
        "pathPrefix" => {
            let after = run.context.external_url.split_once("://").map_or("", |(_, rest)| rest);
            after.find('/').map_or("", |at| after[at..].trim_end_matches('/')).into()
        }
        _ => return Err(format!("there is no function `{name}`")),
    })
}

fn label_of(sample: &Value, label: &str) -> Result<String, String> {
    let labels = match sample {
        Value::Record(fields) => fields.get("Labels"),
        _ => None,
    };
    let empty = BTreeMap::new();
    let labels = match labels {
        Some(Value::Map(labels)) => labels.as_ref(),
        Some(_) => &empty,
        None => return Err(format!("a {} is not a sample", sample.kind())),
    };
    match labels.get(label) {
        Some(Value::Str(text)) => Ok(text.to_string()),
        _ => Ok(String::new()),
    }
}

fn number_of(name: &str, value: &Value) -> Result<f64, String> {
    match value {
        Value::Float(it) => Ok(*it),
        Value::Int(it) => Ok(*it as f64),
        Value::Duration(nanos) => Ok(*nanos as f64 / 1e9),
        Value::Str(text) => parse_float(text).ok_or_else(|| format!("`{text}` is not a number")),
        other => Err(format!("`{name}` takes a number, not a {}", other.kind())),
    }
}

/// Numbers as Go's `ParseFloat` reads them; Rust's parser knows the same words, signs and forms but hexadecimals.
fn parse_float(text: &str) -> Option<f64> {
    text.parse().ok()
}

/// A moment from seconds since the epoch; the number itself where it is none.
fn time_of(seconds: f64) -> Result<Value, f64> {
    // Jiff's range, with a day to spare for zones.
    if seconds.is_nan() || seconds.abs() > 2.5e11 {
        return Err(seconds);
    }
    Ok(Timestamp::from_seconds(seconds).into())
}

/// `%.4g`
fn four(number: f64) -> String {
    number::general(number, Some(4))
}

fn humanize(number: f64) -> String {
    if number == 0.0 || !number.is_finite() {
        return four(number);
    }
    if number.abs() >= 1.0 {
        return scaled(number, 1000.0, &["k", "M", "G", "T", "P", "E", "Z", "Y"]);
    }
    small(number)
}

fn humanize1024(number: f64) -> String {
    if number.abs() <= 1.0 || !number.is_finite() {
        return four(number);
    }
    scaled(number, 1024.0, &["ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"])
}

fn scaled(mut number: f64, by: f64, prefixes: &[&str]) -> String {
    let mut prefix = "";
    for next in prefixes {
        if number.abs() < by {
            break;
        }
        prefix = next;
        number /= by;
    }
    format!("{}{prefix}", four(number))
}

fn small(mut number: f64) -> String {
    let mut prefix = "";
    for next in ["m", "u", "n", "p", "f", "a", "z", "y"] {
        if number.abs() >= 1.0 {
            break;
        }
        prefix = next;
        number *= 1000.0;
    }
    format!("{}{prefix}", four(number))
}

fn humanize_duration(number: f64) -> String {
    if !number.is_finite() {
        return four(number);
    }
    if number == 0.0 {
        return format!("{}s", four(number));
    }
    if number.abs() < 1.0 {
        return format!("{}s", small(number));
    }
    let sign = if number < 0.0 { "-" } else { "" };
    let whole = number.abs() as i64;
    let (days, hours, minutes, seconds) = (whole / 86_400, whole / 3600 % 24, whole / 60 % 60, whole % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{sign}{}s", four(number.abs())),
        (0, 0, _) => format!("{sign}{minutes}m {seconds}s"),
        (0, ..) => format!("{sign}{hours}h {minutes}m {seconds}s"),
        _ => format!("{sign}{days}d {hours}h {minutes}m {seconds}s"),
    }
}

/// As Go's `net.SplitHostPort`: `host:port`, `[ipv6]:port`; anything else is none.
fn split_host_port(text: &str) -> Option<(&str, &str)> {
    let (host, port) = text.rsplit_once(':')?;
    if let Some(inner) = host.strip_prefix('[') {
        return inner.strip_suffix(']').filter(|inner| !inner.contains(['[', ']'])).map(|inner| (inner, port));
    }
    (!host.contains([':', '[', ']']) && !port.contains(['[', ']'])).then_some((host, port))
}

fn strip_domain(text: &str) -> String {
    let (host, port) = split_host_port(text).unwrap_or((text, ""));
    if host.parse::<std::net::IpAddr>().is_ok() {
        return text.to_owned();
    }
    let short = host.split('.').next().unwrap_or(host);
    if port.is_empty() { short.to_owned() } else { format!("{short}:{port}") }
}
