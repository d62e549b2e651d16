//! `watchbell query`: asks a running watchbell, or any Prometheus, by its API: as a table and small charts for a
//! person, as JSON for a program.

use std::fmt::Write;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use serde_json::Value;
use watchbell_model::{Span, Timestamp, Url};
use watchbell_query::Explained;
use watchbell_query::promql::TextSpan;
use watchbell_runtime::Runtime;
use watchbell_runtime::http::{self, Request};

use super::{Files, Output};

const EXAMPLES: &str = "Examples:
  watchbell query instant 'up == 0'
  watchbell query instant 'rate(http_requests_total[5m])' --time 1h
  watchbell query range 'node_load1' --start 6h --step 1m
  watchbell query range 'sum by (job) (rate(http_requests_total[5m]))' --explain
  watchbell query series 'up' '{job=\"mail\"}'
  watchbell query labels                       the names of all labels
  watchbell query labels job --match 'up'      the values of one
  watchbell query instant up --url http://prometheus:9090 --output json

Times are how long ago (`90m`, `7d`), seconds since 1970, or `2026-01-05T08:00:00Z`.
Exit code: 0 well; 1 the query was refused or nobody answers; 2 the command line is wrong.";

/// How long an answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(300);
/// How large it may be.
const ANSWER_BYTES_MAX: usize = 1 << 30;
/// How many steps a range has if none is given, and how wide its chart is at most.
const STEPS: u64 = 60;

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct QueryArguments {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    files: Files,
    /// Whom to ask; by default the first listener of the configuration. An API token is read from the environment
    /// variable WATCHBELL_TOKEN.
    #[arg(long, global = true)]
    url: Option<String>,
    /// How answers are printed.
    #[arg(long, value_enum, default_value_t = Output::Text, global = true)]
    output: Output,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// What an expression is worth at a moment.
    Instant {
        /// The expression.
        expr: String,
        /// The moment; now if it is not given.
        #[arg(long)]
        time: Option<String>,
        /// Also what each part of the expression took: series, samples read, time.
        #[arg(long)]
        explain: bool,
    },
    /// What an expression was worth over a range of time.
    Range {
        /// The expression.
        expr: String,
        /// Where the range begins.
        #[arg(long, default_value = "1h")]
        start: String,
        /// Where it ends; now if it is not given.
        #[arg(long)]
        end: Option<String>,
        /// From one point to the next, such as `1m`; a sixtieth of the range if it is not given.
        #[arg(long)]
        step: Option<Span>,
        /// Also what each part of the expression took: series, samples read, time.
        #[arg(long)]
        explain: bool,
    },
    /// Which series there are.
    Series {
        /// Selectors, such as `up` or `{job="mail"}`.
        #[arg(required = true)]
        selectors: Vec<String>,
        /// Only with samples since then.
        #[arg(long)]
        start: Option<String>,
        /// Only with samples until then.
        #[arg(long)]
        end: Option<String>,
    },
    /// The names of labels, or the values of one.
    Labels {
        /// The label's name.
        name: Option<String>,
        /// Only of series that pass a selector; may be given several times.
        #[arg(long = "match")]
        selectors: Vec<String>,
        /// Only with samples since then.
        #[arg(long)]
        start: Option<String>,
        /// Only with samples until then.
        #[arg(long)]
        end: Option<String>,
    },
}

pub(super) async fn run(runtime: &Runtime, arguments: QueryArguments) -> Result<ExitCode> {
    let QueryArguments { command, files, url, output } = arguments;
    let url = match url {
        Some(url) => url,
        None => {
            let config = crate::config::reach_of(runtime, &files.paths(runtime));
            let address = config.addresses().first().copied();
            format!("http://{}", address.context("the configuration names no listener; say whom to ask with --url")?)
        }
    };
    let now = runtime.clock.now();
    let (path, mut parameters, step) = question(&command, now)?;
    let explain = matches!(command, Command::Instant { explain: true, .. } | Command::Range { explain: true, .. });
    if explain {
        parameters.push(("explain", "true".into()));
    }
    let answer = ask(runtime, &url, &path, &parameters).await?;
    if output == Output::Json {
        println!("{}", answer["data"]);
    } else {
        print!("{}", shown(&answer["data"], step));
        match &answer["data"]["explain"] {
            Value::Null if explain => eprintln!("{url} does not explain: it is no watchbell"),
            Value::Null => {}
            part => print!("\n{}", explained(part).lines()),
        }
    }
    for (kind, word) in [("warnings", "warning"), ("infos", "info")] {
        for text in answer[kind].as_array().into_iter().flatten().filter_map(Value::as_str) {
            eprintln!("{word}: {text}");
        }
    }
    Ok(ExitCode::SUCCESS)
}

type Parameters = Vec<(&'static str, String)>;

/// The path, the parameters, and the step of a range.
fn question(command: &Command, now: Timestamp) -> Result<(String, Parameters, Option<Span>)> {
    let seconds = |at: Timestamp| at.as_seconds().to_string();
    let time = |text: &str| moment(text, now).with_context(|| format!("`{text}` is no time; see --help"));
    let mut parameters = Vec::new();
    let within = |parameters: &mut Parameters, start: &Option<String>, end: &Option<String>| -> Result<()> {
        for (name, text) in [("start", start), ("end", end)] {
            if let Some(text) = text {
                parameters.push((name, seconds(time(text)?)));
            }
        }
        Ok(())
    };
    Ok(match command {
        Command::Instant { expr, time: at, .. } => {
            let at = at.as_deref().map_or(Ok(now), time)?;
            ("/api/v1/query".into(), vec![("query", expr.clone()), ("time", seconds(at))], None)
        }
        Command::Range { expr, start, end, step, .. } => {
            let (start, end) = (time(start)?, end.as_deref().map_or(Ok(now), time)?);
            if end < start {
                bail!("the range ends before it begins");
            }
            let even = (end.since(start).as_secs() / STEPS).max(1);
            let step = step.unwrap_or(Span::seconds(even));
            parameters.push(("query", expr.clone()));
            parameters.extend([("start", seconds(start)), ("end", seconds(end))]);
            parameters.push(("step", step.duration().as_secs_f64().to_string()));
            ("/api/v1/query_range".into(), parameters, Some(step))
        }
        Command::Series { selectors, start, end } => {
            parameters.extend(selectors.iter().map(|selector| ("match[]", selector.clone())));
            within(&mut parameters, start, end)?;
            ("/api/v1/series".into(), parameters, None)
        }
        Command::Labels { name, selectors, start, end } => {
            parameters.extend(selectors.iter().map(|selector| ("match[]", selector.clone())));
            within(&mut parameters, start, end)?;
            let path = name.as_ref().map(|name| format!("/api/v1/label/{}/values", escaped(name)));
            (path.unwrap_or_else(|| "/api/v1/labels".into()), parameters, None)
        }
    })
}

/// How long ago, seconds since 1970, or RFC 3339.
fn moment(text: &str, now: Timestamp) -> Option<Timestamp> {
    let seconds = text.parse::<f64>().ok().filter(|seconds| seconds.abs() < 1e12).map(Timestamp::from_seconds);
    let ago = || text.parse::<Span>().ok().map(|ago| now - ago.duration());
    seconds.or_else(|| Timestamp::parse_rfc3339(text)).or_else(ago)
}

/// Percent-encoded.
fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

async fn ask(runtime: &Runtime, url: &str, path: &str, parameters: &Parameters) -> Result<Value> {
    let form: Vec<String> =
        parameters.iter().map(|(name, value)| format!("{}={}", escaped(name), escaped(value))).collect();
    let address = format!("{}{path}?{}", url.trim_end_matches('/'), form.join("&"));
    let mut request = Request::get(address.parse::<Url>().with_context(|| format!("`{url}` is no address"))?);
    if let Some(token) = runtime.environment.get("WATCHBELL_TOKEN") {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    (request.timeout, request.body_max) = (ANSWER_MAX, ANSWER_BYTES_MAX);
    let answer = http::send(runtime, request).await.with_context(|| format!("{url} cannot be asked"))?;
    if answer.truncated {
        bail!("the answer is longer than this command takes; ask for less at once");
    }
    let said: Value = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
    if !(200..300).contains(&answer.status) {
        bail!("{}", said["error"].as_str().map_or_else(|| format!("{url} answers {}", answer.status), str::to_owned));
    }
    Ok(said)
}

/// An answer for a person.
fn shown(data: &Value, step: Option<Span>) -> String {
    let mut out = String::new();
    let result = &data["result"];
    match data["resultType"].as_str() {
        Some("scalar" | "string") => writeln!(out, "{}", result[1].as_str().unwrap_or_default()),
        Some("vector") => write!(out, "{}", vector(items(result))),
        Some("matrix") => write!(out, "{}", matrix(items(result), step)),
        _ => items(data)
            .iter()
            .try_for_each(|item| writeln!(out, "{}", item.as_str().map_or_else(|| series(item), str::to_owned))),
    }
    .expect("a string takes anything");
    if out.is_empty() {
        out.push_str("nothing\n");
    }
    out
}

/// A part of an expression, as the API says it.
fn explained(part: &Value) -> Explained {
    let number = |name: &str| part[name].as_u64().and_then(|number| usize::try_from(number).ok()).unwrap_or_default();
    Explained {
        text: part["expr"].as_str().unwrap_or_default().to_owned(),
        span: TextSpan { start: number("start"), end: number("end") },
        steps: number("steps"),
        series: number("series"),
        samples: number("samplesRead"),
        took: Duration::try_from_secs_f64(part["seconds"].as_f64().unwrap_or_default()).unwrap_or_default(),
        parts: items(&part["parts"]).iter().map(explained).collect(),
    }
}

fn items(list: &Value) -> &[Value] {
    list.as_array().map_or(&[], Vec::as_slice)
}

/// `up{job="mail"}`.
fn series(metric: &Value) -> String {
    let empty = serde_json::Map::new();
    let labels = metric.as_object().unwrap_or(&empty);
    let name = labels.get("__name__").and_then(Value::as_str).unwrap_or("");
    let pairs: Vec<String> =
        labels.iter().filter(|(name, _)| *name != "__name__").map(|(name, value)| format!("{name}={value}")).collect();
    if pairs.is_empty() && !name.is_empty() { name.to_owned() } else { format!("{name}{{{}}}", pairs.join(", ")) }
}

/// A number, or what a histogram sums up to.
fn value(point: &Value) -> String {
    match &point[1] {
        Value::Object(histogram) => {
            let of = |name: &str| histogram.get(name).and_then(Value::as_str).unwrap_or("?");
            format!("{} observations, sum {}", of("count"), of("sum"))
        }
        text => text.as_str().unwrap_or_default().to_owned(),
    }
}

fn vector(elements: &[Value]) -> String {
    let rows: Vec<(String, String)> = elements
        .iter()
        .map(|element| {
            let point = element.get("value").or_else(|| element.get("histogram")).unwrap_or(&Value::Null);
            (series(&element["metric"]), value(point))
        })
        .collect();
    let width = rows.iter().map(|(series, _)| series.chars().count()).max().unwrap_or(0);
    rows.iter().map(|(series, value)| format!("{series:<width$}  {value}\n")).collect()
}

/// Each series with a chart of its values where there is a step, its samples where there is none.
fn matrix(all: &[Value], step: Option<Span>) -> String {
    let mut out = String::new();
    for one in all {
        let both = ["values", "histograms"].into_iter().flat_map(|kind| items(&one[kind]));
        let points: Vec<&Value> = both.collect();
        writeln!(out, "{}", series(&one["metric"])).expect("a string takes anything");
        let numbers: Vec<(f64, f64)> =
            points.iter().filter_map(|point| Some((point[0].as_f64()?, point[1].as_str()?.parse().ok()?))).collect();
        match step {
            Some(step) if numbers.len() == points.len() && !numbers.is_empty() => {
                let finite = || numbers.iter().map(|(_, value)| *value).filter(|value| value.is_finite());
                let (low, high) = (finite().fold(f64::INFINITY, f64::min), finite().fold(f64::NEG_INFINITY, f64::max));
                let last = points.last().map(|point| value(point)).unwrap_or_default();
                let chart = chart(&numbers, step, (low, high));
                writeln!(out, "  {chart}\n  least {low}, greatest {high}, last {last}")
            }
            _ => points.iter().try_for_each(|point| {
                let at = Timestamp::from_seconds(point[0].as_f64().unwrap_or_default());
                writeln!(out, "  {at}  {}", value(point))
            }),
        }
        .expect("a string takes anything");
    }
    out
}

/// A line of bars, from the first point to the last; gaps where points are missing.
fn chart(numbers: &[(f64, f64)], step: Span, (low, high): (f64, f64)) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let (first, last) = (numbers[0].0, numbers[numbers.len() - 1].0);
    let steps = ((last - first) / step.duration().as_secs_f64().max(1e-3)).round() as usize + 1;
    let width = steps.min(STEPS as usize);
    let mut bars = vec![' '; width];
    for (at, value) in numbers.iter().filter(|(_, value)| value.is_finite()) {
        let share = if high > low { (value - low) / (high - low) } else { 0.0 };
        let place = if last > first { (at - first) / (last - first) * (width - 1) as f64 } else { 0.0 };
        bars[(place.round() as usize).min(width - 1)] = BARS[((share * 7.0).round() as usize).min(7)];
    }
    bars.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::*;

    #[test]
    fn answers_are_tables_and_charts() {
        let vector = json!({ "resultType": "vector", "result": [
            { "metric": { "__name__": "up", "job": "mail" }, "value": [1, "1"] },
            { "metric": {}, "value": [1, "0.25"] },
            { "metric": { "__name__": "size" }, "histogram": [1, { "count": "6", "sum": "5" }] },
        ] });
        expect![[r#"
            up{job="mail"}  1
            {}              0.25
            size            6 observations, sum 5
        "#]]
        .assert_eq(&shown(&vector, None));
        let points: Vec<Value> =
            (0..10).filter(|at| *at != 4).map(|at| json!([at * 60, (at * at).to_string()])).collect();
        let matrix = json!({ "resultType": "matrix", "result": [
            { "metric": { "__name__": "load" }, "values": points },
            { "metric": { "job": "flat" }, "values": [[0, "2"], [60, "2"]] },
        ] });
        expect![[r#"
            load
              ▁▁▁▂ ▃▄▅▇█
              least 0, greatest 81, last 81
            {job="flat"}
              ▁▁
              least 2, greatest 2, last 2
        "#]]
        .assert_eq(&shown(&matrix, Some(Span::minutes(1))));
        assert_eq!(shown(&json!(["a", "b"]), None), "a\nb\n");
        assert_eq!(shown(&json!([{ "__name__": "up", "a": "b" }]), None), "up{a=\"b\"}\n");
        assert_eq!(shown(&json!([]), None), "nothing\n");
    }

    #[test]
    fn times_are_ago_or_moments() {
        let now = Timestamp(1_767_571_200_000);
        assert_eq!(moment("90m", now), Some(Timestamp(now.0 - 5_400_000)));
        assert_eq!(moment("1767571200", now), Some(now));
        assert_eq!(moment("2026-01-05T00:00:00Z", now), Some(now));
        assert_eq!(moment("soon", now), None);
    }
}
