//! Reading back: raw samples by remote read or by VictoriaMetrics' export, labels by Prometheus' API.
//!
//! The other store is always asked to fail rather than to give a part, and to answer from its data rather than from a
//! cache. What it answers in part all the same (`isPartial`, warnings) is refused. Every failure is an error: an alarm
//! that could not be judged is not resolved.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use watchbell_model::{Found, Labels, Lookup, MatchOp, Matcher, QueryError, Sample, Series, Timestamp, Url, stale_nan};
use watchbell_runtime::http::Request;
use watchbell_runtime::{Runtime, metrics::Counter};
use watchbell_wire::remote_read::{ReadQuery, ReadRequest, ResponseType, decode_samples};
use watchbell_wire::snappy;

use super::client::{Client, excerpt};
use super::config::{ReadKind, RemoteConfig, RemoteReadConfig};
use crate::metrics::SELECT_SAMPLES_MAX;

/// How long an answer may be: more than the most samples one query may load.
const ANSWER_MAX: usize = 256 << 20;
/// A time that is asked for lies between the beginning of 1970 and this: other stores know no other ones.
const TIME_MAX: i64 = 253_402_300_799_000;

pub(crate) struct Reader {
    runtime: Runtime,
    client: Client,
    kind: ReadKind,
    url: Url,
    /// Beside which `series` and `labels` lie.
    api: String,
    name: String,
    /// Without these nothing is asked there.
    required: BTreeMap<String, String>,
    /// What series have there and not here.
    external: Labels,
    requests: Counter,
    failures: Counter,
}

impl Reader {
    /// `None` where nothing can be read back. The configuration was checked.
    pub(crate) fn new(runtime: &Runtime, config: &RemoteConfig) -> Option<Reader> {
        let read = config.read.as_ref()?;
        let counter = |name, help| runtime.metrics.counter(name, help, &[]);
        Some(Reader {
            runtime: runtime.clone(),
            client: Client::for_read(config, read),
            kind: read.kind()?,
            url: read.url.clone(),
            api: api(read),
            name: config.write.name.clone().unwrap_or_else(|| "the remote store".to_owned()),
            required: read.required_matchers.clone(),
            external: if read.filter_external_labels { config.external_labels.clone() } else { Labels::empty() },
            requests: counter("watchbell_remote_reads_total", "Questions asked of the remote store."),
            failures: counter(
                "watchbell_remote_read_failures_total",
                "Questions that the remote store did not answer, or not in full.",
            ),
        })
    }

    /// Samples from `start` to `end`, both included, sorted by labels.
    pub(crate) async fn select(
        &self,
        matchers: &[Matcher],
        start: Timestamp,
        end: Timestamp,
    ) -> Result<Vec<Series>, QueryError> {
        let (start, end) = (clamp(start), clamp(end));
        if start > end || !self.is_asked(matchers) {
            return Ok(Vec::new());
        }
        let added = self.added(std::slice::from_ref(&matchers));
        let asked = with_equal(matchers, &added);
        let mut series = match self.kind {
            ReadKind::RemoteRead => self.remote_read(&asked, start, end).await?,
            ReadKind::Export => self.export(&asked, start, end).await?,
        };
        for series in &mut series {
            series.labels = without(&series.labels, &added);
            series.samples.retain(|sample| sample.timestamp >= start && sample.timestamp <= end);
            series.histograms.retain(|sample| sample.timestamp >= start && sample.timestamp <= end);
        }
        // What another store calls a match is not always ours: a label it does not keep, or an odd expression.
        series.retain(|it| !it.is_empty() && matchers.iter().all(|matcher| matcher.matches_labels(&it.labels)));
        if series.iter().map(Series::size).sum::<usize>() > SELECT_SAMPLES_MAX {
            return Err(QueryError::TooMany { limit: SELECT_SAMPLES_MAX });
        }
        Ok(merge(series))
    }

    /// Whether a question has all that the configuration requires of one.
    fn is_asked(&self, matchers: &[Matcher]) -> bool {
        let is_there = |name: &str, value: &str| {
            matchers.iter().any(|it| it.op == MatchOp::Equal && it.name == name && it.value == value)
        };
        self.required.iter().all(|(name, value)| is_there(name, value))
    }

    /// The external labels that nobody asks about.
    fn added(&self, sets: &[impl AsRef<[Matcher]>]) -> Labels {
        self.external.filtered(|name| !sets.iter().any(|set| set.as_ref().iter().any(|matcher| matcher.name == name)))
    }

    async fn remote_read(
        &self,
        matchers: &[Matcher],
        start: Timestamp,
        end: Timestamp,
    ) -> Result<Vec<Series>, QueryError> {
        let query = ReadQuery { start, end, matchers: matchers.to_vec() };
        let question = ReadRequest { queries: vec![query], accepted: vec![ResponseType::Samples] };
        let request = self
            .client
            .post(self.url.clone(), snappy::compress(&question.encode()))
            .header("content-type", "application/x-protobuf")
            .header("content-encoding", "snappy")
            .header("x-prometheus-remote-read-version", "0.1.0");
        let body = self.ask(request).await?;
        let body = snappy::decompress(&body, ANSWER_MAX).map_err(|error| self.failed(error.to_string()))?;
        let results = decode_samples(&body, SELECT_SAMPLES_MAX).map_err(|error| self.failed(error.to_string()))?;
        match <[Vec<Series>; 1]>::try_from(results) {
            Ok([series]) => Ok(series),
            Err(results) => Err(self.failed(format!("it gives {} results for one question", results.len()))),
        }
    }

    async fn export(&self, matchers: &[Matcher], start: Timestamp, end: Timestamp) -> Result<Vec<Series>, QueryError> {
        let mut parameters = form(&[("match[]", &selector(matchers)), ("reduce_mem_usage", "1")]);
        parameters.push_str(&times(start, end));
        let body = self.ask(self.form(self.url.clone(), parameters)?).await?;
        let mut series = Vec::new();
        let mut loaded = 0;
        for line in body.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()) {
            let line: Exported = serde_json::from_slice(line).map_err(|error| self.failed(error.to_string()))?;
            if line.values.len() != line.timestamps.len() {
                return Err(self.failed("a series has more values than times, or fewer".into()));
            }
            loaded += line.values.len();
            if loaded > SELECT_SAMPLES_MAX {
                return Err(QueryError::TooMany { limit: SELECT_SAMPLES_MAX });
            }
            let mut samples = Vec::with_capacity(line.values.len());
            for (value, time) in line.values.into_iter().zip(line.timestamps) {
                let value = value.read().ok_or_else(|| self.failed("a value is not a number".into()))?;
                samples.push(Sample { timestamp: Timestamp(time), value });
            }
            series.push(Series::new(Labels::from_pairs(line.metric), samples));
        }
        Ok(series)
    }

    pub(crate) async fn series(&self, lookup: &Lookup<'_>) -> Result<Found<Labels>, QueryError> {
        let every = [Vec::new()];
        let sets = if lookup.matchers.is_empty() { &every } else { lookup.matchers };
        let found: Vec<BTreeMap<String, String>> = self.look_up("series", sets, lookup).await?.items;
        let added = self.added(sets);
        let found = found
            .into_iter()
            .map(|pairs| without(&Labels::from_pairs(pairs), &added))
            .filter(|labels| sets.iter().any(|matchers| matchers.iter().all(|matcher| matcher.matches_labels(labels))));
        Ok(Found::new(found, lookup.limit))
    }

    pub(crate) async fn label_names(&self, lookup: &Lookup<'_>) -> Result<Found<String>, QueryError> {
        let found = self.look_up("labels", lookup.matchers, lookup).await?;
        let (cut, added) = (found.cut, self.added(lookup.matchers));
        let known = found.items.into_iter().filter(|name: &String| added.get(name).is_none());
        let found = Found::new(known, lookup.limit);
        Ok(Found { cut: found.cut || cut, ..found })
    }

    pub(crate) async fn label_values(&self, name: &str, lookup: &Lookup<'_>) -> Result<Found<String>, QueryError> {
        if self.added(lookup.matchers).get(name).is_some() {
            return Ok(Found::new([], lookup.limit));
        }
        let found = self.look_up(&format!("label/{}/values", escaped(name)), lookup.matchers, lookup).await?;
        let cut = found.cut;
        let found = Found::new(found.items, lookup.limit);
        Ok(Found { cut: found.cut || cut, ..found })
    }

    async fn look_up<T: DeserializeOwned + Ord>(
        &self,
        path: &str,
        sets: &[Vec<Matcher>],
        lookup: &Lookup<'_>,
    ) -> Result<Found<T>, QueryError> {
        let sets: Vec<&[Matcher]> = sets.iter().map(Vec::as_slice).filter(|set| self.is_asked(set)).collect();
        if sets.is_empty() && !(self.required.is_empty() && lookup.matchers.is_empty()) {
            return Ok(Found { items: Vec::new(), cut: false });
        }
        let mut parameters = times(clamp(lookup.start), clamp(lookup.end));
        let added = self.added(&sets);
        for matchers in &sets {
            parameters.push_str(&form(&[("match[]", &selector(&with_equal(matchers, &added)))]));
        }
        if sets.is_empty() && !added.is_empty() {
            parameters.push_str(&form(&[("match[]", &selector(&with_equal(&[], &added)))]));
        }
        if lookup.limit > 0 {
            // One more, so that it is seen whether there are more.
            parameters.push_str(&form(&[("limit", &(lookup.limit + 1).to_string())]));
        }
        let url = |text: String| text.parse::<Url>().map_err(|error| self.failed(error.to_string()));
        let request = if path.starts_with("label/") {
            // Only this one cannot be a `POST`.
            let mut request = self.form(url(format!("{}{path}?{parameters}", self.api))?, String::new())?;
            request.method = "GET".into();
            request
        } else {
            self.form(url(format!("{}{path}", self.api))?, parameters)?
        };
        let body = self.ask(request).await?;
        let answer: Answer<T> = serde_json::from_slice(&body).map_err(|error| self.failed(error.to_string()))?;
        if answer.status != "success" {
            return Err(self.failed(answer.error.unwrap_or(answer.status)));
        }
        let warnings = answer.warnings.unwrap_or_default();
        let (cut, other): (Vec<_>, Vec<_>) = warnings.into_iter().partition(|it| it.contains("truncated due to limit"));
        if answer.is_partial || !other.is_empty() {
            return Err(self.failed(format!("it gives a part only: {}", other.join("; "))));
        }
        Ok(Found { items: answer.data.unwrap_or_default(), cut: !cut.is_empty() })
    }

    /// A request with parameters, those among them that ask for all or nothing.
    fn form(&self, url: Url, parameters: String) -> Result<Request, QueryError> {
        // VictoriaMetrics' words, then Thanos'; others pass them over.
        let whole = form(&[("deny_partial_response", "1"), ("nocache", "1"), ("partial_response", "false")]);
        let (url, body) = if url.as_str().contains('?') {
            let url = format!("{url}{whole}").parse::<Url>().map_err(|error| self.failed(error.to_string()))?;
            (url, parameters)
        } else {
            (url, parameters + &whole)
        };
        let request = self.client.post(url, body.into_bytes());
        Ok(request.header("content-type", "application/x-www-form-urlencoded"))
    }

    async fn ask(&self, request: Request) -> Result<Vec<u8>, QueryError> {
        self.requests.inc();
        let request = Request { body_max: ANSWER_MAX, ..request };
        let answer = self.client.send(&self.runtime, request).await.map_err(|words| self.failed(words))?;
        if !(200..300).contains(&answer.status) {
            return Err(self.failed(format!("it answers {}: {}", answer.status, excerpt(&answer.body))));
        }
        if answer.truncated {
            self.failures.inc();
            return Err(QueryError::TooMany { limit: SELECT_SAMPLES_MAX });
        }
        Ok(answer.body)
    }

    fn failed(&self, words: String) -> QueryError {
        self.failures.inc();
        QueryError::Unavailable(format!("{} cannot be read: {words}", self.name))
    }
}

/// Matchers, and that these labels are there.
fn with_equal(matchers: &[Matcher], added: &Labels) -> Vec<Matcher> {
    matchers.iter().cloned().chain(added.iter().map(|(name, value)| Matcher::equal(name, value))).collect()
}

/// Labels but for these.
fn without(labels: &Labels, added: &Labels) -> Labels {
    if added.is_empty() { labels.clone() } else { labels.filtered(|name| added.get(name) != labels.get(name)) }
}

/// One line of an export.
#[derive(Deserialize)]
struct Exported {
    metric: BTreeMap<String, String>,
    values: Vec<Value>,
    timestamps: Vec<i64>,
}

/// A number, as an export writes it: JSON has no words for some.
struct Value(serde_json::Value);

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Value, D::Error> {
        serde_json::Value::deserialize(from).map(Value)
    }
}

impl Value {
    fn read(self) -> Option<f64> {
        match self.0 {
            // It keeps no NaN but the marker that a series ended, and has no word for it.
            serde_json::Value::Null => Some(stale_nan()),
            serde_json::Value::Number(number) => number.as_f64(),
            serde_json::Value::String(text) => text.parse().ok(),
            _ => None,
        }
    }
}

/// An answer of Prometheus' API.
#[derive(Deserialize)]
struct Answer<T> {
    status: String,
    #[serde(default = "Option::default")]
    data: Option<Vec<T>>,
    #[serde(default, rename = "isPartial")]
    is_partial: bool,
    #[serde(default)]
    warnings: Option<Vec<String>>,
    #[serde(default)]
    error: Option<String>,
}

fn api(read: &RemoteReadConfig) -> String {
    let url = read.url.as_str().split(['?', '#']).next().unwrap_or_default();
    url[..url.rfind('/').map_or(url.len(), |at| at + 1)].to_owned()
}

fn clamp(time: Timestamp) -> Timestamp {
    Timestamp(time.0.clamp(0, TIME_MAX))
}

fn times(start: Timestamp, end: Timestamp) -> String {
    let seconds = |time: Timestamp| format!("{}.{:03}", time.0 / 1000, time.0 % 1000);
    form(&[("start", &seconds(start)), ("end", &seconds(end))])
}

/// Each parameter with `&` in front.
fn form(parameters: &[(&str, &str)]) -> String {
    let pair = |(name, value): &(&str, &str)| format!("&{}={}", percent(name), percent(value));
    parameters.iter().map(pair).collect()
}

fn percent(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
        out
    })
}

/// Matchers as a series selector of PromQL.
fn selector(matchers: &[Matcher]) -> String {
    let mut parts: Vec<String> = matchers
        .iter()
        .map(|it| {
            let name = if is_plain(&it.name) { it.name.clone() } else { quoted(&it.name) };
            format!("{name}{}{}", it.op.as_str(), quoted(&it.value))
        })
        .collect();
    // A selector that lets everything pass is refused.
    if matchers.iter().all(|matcher| matcher.matches("")) {
        parts.push(format!("{}{}\".+\"", Labels::NAME, MatchOp::Regex.as_str()));
    }
    format!("{{{}}}", parts.join(","))
}

/// Whether every store takes it as the name of a label.
fn is_plain(name: &str) -> bool {
    let letter = |byte: u8| byte == b'_' || byte.is_ascii_alphabetic();
    name.bytes().next().is_some_and(letter) && name.bytes().all(|byte| letter(byte) || byte.is_ascii_digit())
}

fn quoted(text: &str) -> String {
    let mut out = String::from('"');
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            letter if letter.is_ascii_control() => out.push_str(&format!("\\x{:02x}", u32::from(letter))),
            letter => out.push(letter),
        }
    }
    out.push('"');
    out
}

/// A label's name in a path, as Prometheus escapes one that is not plain.
fn escaped(name: &str) -> String {
    if is_plain(name) {
        return name.to_owned();
    }
    let letter = |letter: char| match letter {
        '_' => "__".to_owned(),
        letter if letter.is_ascii_alphanumeric() => letter.to_string(),
        letter => format!("_{:X}_", u32::from(letter)),
    };
    format!("U__{}", name.chars().map(letter).collect::<String>())
}

/// Series sorted by labels, each once, its samples in order and one per time.
pub(crate) fn merge(mut series: Vec<Series>) -> Vec<Series> {
    // Stable: of two samples for one time the one that came first counts.
    series.sort_by(|a, b| a.labels.cmp(&b.labels));
    let mut merged: Vec<Series> = Vec::with_capacity(series.len());
    for mut next in series {
        match merged.last_mut().filter(|last| last.labels == next.labels) {
            Some(last) => {
                last.samples.append(&mut next.samples);
                last.histograms.append(&mut next.histograms);
                last.starts.append(&mut next.starts);
            }
            None => merged.push(next),
        }
    }
    for series in &mut merged {
        if !series.samples.is_sorted_by(|a, b| a.timestamp < b.timestamp) {
            series.samples.sort_by_key(|sample| sample.timestamp);
            series.samples.dedup_by_key(|sample| sample.timestamp);
        }
        if !series.histograms.is_sorted_by(|a, b| a.timestamp < b.timestamp) {
            series.histograms.sort_by_key(|sample| sample.timestamp);
            series.histograms.dedup_by_key(|sample| sample.timestamp);
        }
        series.starts.sort_by_key(|start| start.from);
        series.starts.dedup();
    }
    merged
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use expect_test::{Expect, expect};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use watchbell_runtime::sim::{self, World};
    use watchbell_wire::remote_read::encode_samples;

    use super::*;

    fn reader(world: &World, end: &str) -> Reader {
        let config: RemoteConfig = serde_json::from_value(serde_json::json!({
            "write": { "url": "http://vm/write", "name": "vm" },
            "read": { "url": format!("http://vm/select/7/api/v1/{end}") },
            "tenant": "me",
        }))
        .unwrap();
        Reader::new(&world.runtime(), &config).unwrap()
    }

    /// Answers every question like this; gives what was asked: method, address, headers of ours, form.
    fn serve(world: &World, status: u16, answer: &[u8]) -> Arc<Mutex<Vec<String>>> {
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let (log, answer) = (Arc::clone(&asked), answer.to_vec());
        world.net.serve("vm", 80, move |mut stream| {
            let (log, answer) = (Arc::clone(&log), answer.clone());
            async move {
                let mut bytes = Vec::new();
                let (head, form) = loop {
                    if stream.read_buf(&mut bytes).await.unwrap() == 0 {
                        return;
                    }
                    let Some(end) = bytes.windows(4).position(|it| it == b"\r\n\r\n") else { continue };
                    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
                    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
                    if bytes.len() >= end + 4 + length.unwrap_or(0) {
                        break (head, String::from_utf8_lossy(&bytes[end + 4..]).into_owned());
                    }
                };
                let line = head.lines().next().unwrap_or_default().trim_end_matches(" HTTP/1.1").to_owned();
                let tenant = if head.to_lowercase().contains("x-scope-orgid: me") { " as me" } else { "" };
                log.lock().unwrap().push(format!("{line}{tenant} {}", form.replace('&', " ")).trim_end().to_owned());
                let head = format!("HTTP/1.1 {status} it\r\ncontent-length: {}\r\n\r\n", answer.len());
                stream.write_all(head.as_bytes()).await.unwrap();
                stream.write_all(&answer).await.unwrap();
            }
        });
        asked
    }

    fn matchers() -> Vec<Matcher> {
        let host = Matcher::new("host", MatchOp::NotRegex, "a\"b\\\\.*").unwrap();
        vec![Matcher::equal(Labels::NAME, "up"), host]
    }

    fn show(found: Result<Vec<Series>, QueryError>) -> String {
        let sample = |it: &Sample| format!("{}={:x}", it.timestamp.0, it.value.to_bits());
        let one =
            |it: &Series| format!("{} {}", it.labels, it.samples.iter().map(sample).collect::<Vec<_>>().join(" "));
        found.map_or_else(|error| error.to_string(), |found| found.iter().map(one).collect::<Vec<_>>().join("\n"))
    }

    /// What an export of this is taken for, and what was asked.
    fn check(status: u16, answer: &'static str, expected: Expect) {
        sim::run(1, |world| async move {
            let asked = serve(&world, status, answer.as_bytes());
            let found = reader(&world, "export").select(&matchers(), Timestamp(-5), Timestamp(3000)).await;
            let asked = asked.lock().unwrap().join("\n");
            expect![[r#"
                POST /select/7/api/v1/export as me match%5B%5D=%7B__name__%3D%22up%22%2Chost%21~%22a%5C%22b%5C%5C%5C%5C.%2A%22%7D reduce_mem_usage=1 start=0.000 end=3.000 deny_partial_response=1 nocache=1 partial_response=false"#]]
            .assert_eq(&asked.replace(" &", " ").replace("as me  ", "as me "));
            expected.assert_eq(&show(found));
        });
    }

    #[test]
    fn an_export_is_put_together_by_series_and_time() {
        check(
            200,
            r#"{"metric":{"__name__":"up","host":"b"},"values":[2,0.1,"Infinity",9],"timestamps":[2000,1000,3000,3001]}
{"metric":{"__name__":"up","host":"a"},"values":[null],"timestamps":[1]}

{"metric":{"__name__":"up","host":"b"},"values":[5,7],"timestamps":[1500,2000]}
{"metric":{"__name__":"other"},"values":[5],"timestamps":[1500]}
"#,
            expect![[r#"
                up{host="a"} 1=7ff0000000000002
                up{host="b"} 1000=3fb999999999999a 1500=4014000000000000 2000=4000000000000000 3000=7ff0000000000000"#]],
        );
    }

    #[test]
    fn what_is_no_whole_answer_is_an_error_and_never_no_data() {
        check(
            503,
            "cannot fetch from 1 of 3 nodes\nand more",
            expect!["the store cannot be read: vm cannot be read: it answers 503: cannot fetch from 1 of 3 nodes"],
        );
        check(
            200,
            "<html>sign in</html>",
            expect!["the store cannot be read: vm cannot be read: expected value at line 1 column 1"],
        );
        check(
            200,
            r#"{"metric":{"__name__":"up"},"values":[1,2],"timestamps":[1]}"#,
            expect!["the store cannot be read: vm cannot be read: a series has more values than times, or fewer"],
        );
        check(
            200,
            r#"{"metric":{"__name__":"up"},"values":["x"],"timestamps":[1]}"#,
            expect!["the store cannot be read: vm cannot be read: a value is not a number"],
        );
        check(
            200,
            r#"{"metric":{"__name__":"up"},"values":[1],"#,
            expect!["the store cannot be read: vm cannot be read: EOF while parsing a value at line 1 column 41"],
        );
        check(200, "", expect![[""]]);
    }

    #[test]
    fn remote_read_is_asked_for_one_question_and_must_give_one_answer() {
        sim::run(1, |world| async move {
            let series = Series::new(
                Labels::metric("up", &[("host", "b")]),
                vec![Sample { timestamp: Timestamp(1), value: stale_nan() }],
            );
            for (results, expected) in [
                (vec![vec![series.clone()]], expect![[r#"up{host="b"} 1=7ff0000000000002"#]]),
                (vec![vec![]], expect![[""]]),
                (vec![], expect!["the store cannot be read: vm cannot be read: it gives 0 results for one question"]),
            ] {
                serve(&world, 200, &snappy::compress(&encode_samples(&results)));
                let found = reader(&world, "read").select(&matchers(), Timestamp(0), Timestamp(10)).await;
                expected.assert_eq(&show(found));
            }
            world.net.refuse("vm", 80);
            let found = reader(&world, "read").select(&matchers(), Timestamp(0), Timestamp(10)).await;
            expect![
                "the store cannot be read: vm cannot be read: 10.0.0.1:80 refuses the connection: connection refused"
            ]
            .assert_eq(&show(found));
        });
    }

    #[test]
    fn labels_are_looked_up_whole_or_not_at_all() {
        sim::run(1, |world| async move {
            let ask = async |answer: &str, limit| {
                let asked = serve(&world, 200, answer.as_bytes());
                let lookup = Lookup { start: Timestamp(0), end: Timestamp(1000), limit, ..Lookup::ALL };
                let found = reader(&world, "read").label_values("a.b", &lookup).await;
                let found =
                    found.map_or_else(|error| error.to_string(), |found| format!("{:?} {}", found.items, found.cut));
                format!("{}\n{found}", asked.lock().unwrap().join("\n"))
            };
            let whole = r#"{"status":"success","isPartial":false,"data":["b","a","c"]}"#;
            expect![[r#"
                GET /select/7/api/v1/label/U__a_2E_b/values?&start=0.000&end=1.000&limit=3&deny_partial_response=1&nocache=1&partial_response=false as me
                ["a", "b"] true"#]].assert_eq(&ask(whole, 2).await);
            let cut = r#"{"status":"success","data":["a"],"warnings":["results truncated due to limit"]}"#;
            expect![[r#"
                GET /select/7/api/v1/label/U__a_2E_b/values?&start=0.000&end=1.000&deny_partial_response=1&nocache=1&partial_response=false as me
                ["a"] true"#]].assert_eq(&ask(cut, 0).await);
            for partial in [
                r#"{"status":"success","isPartial":true,"data":["a"]}"#,
                r#"{"status":"success","data":["a"],"warnings":["a store is away"]}"#,
                r#"{"status":"error","error":"no"}"#,
            ] {
                let said = ask(partial, 0).await;
                assert!(said.contains("the store cannot be read: vm cannot be read: "), "{said}");
            }
            let asked =
                serve(&world, 200, br#"{"status":"success","data":[{"__name__":"up","host":"b"},{"__name__":"x"}]}"#);
            let sets = [matchers()];
            let found = reader(&world, "read").series(&Lookup { matchers: &sets, ..Lookup::ALL }).await.unwrap();
            assert_eq!(format!("{:?}", found.items), r#"[up{host="b"}]"#);
            assert!(asked.lock().unwrap()[0].starts_with("POST /select/7/api/v1/series as me "));
        });
    }

    #[test]
    fn a_selector_is_one_that_every_store_takes() {
        assert_eq!(selector(&[]), r#"{__name__=~".+"}"#);
        let odd = Matcher::new("a.b", MatchOp::Regex, ".*\n\u{1}é").unwrap();
        assert_eq!(selector(&[odd]), r#"{"a.b"=~".*\n\x01é"}"#);
        let all = Matcher::new("a", MatchOp::Regex, ".*").unwrap();
        assert_eq!(selector(&[all]), r#"{a=~".*",__name__=~".+"}"#);
        assert_eq!((escaped("a_b"), escaped("a.b_é")), ("a_b".to_owned(), "U__a_2E_b___E9_".to_owned()));
    }

    #[test]
    fn only_questions_with_what_is_required_are_asked() {
        sim::run(1, |world| async move {
            let asked = serve(&world, 200, br#"{"status":"success","data":["x"]}"#);
            let mut reader = reader(&world, "export");
            reader.required = BTreeMap::from([("host".to_owned(), "a".to_owned())]);
            let (here, there) = (vec![Matcher::equal("host", "b")], vec![Matcher::equal("host", "a")]);
            for matchers in [&[][..], &here, &matchers()] {
                assert_eq!(reader.select(matchers, Timestamp(0), Timestamp(10)).await.unwrap(), []);
            }
            for sets in [&[][..], std::slice::from_ref(&here)] {
                let lookup = Lookup { matchers: sets, ..Lookup::ALL };
                assert_eq!(reader.label_names(&lookup).await.unwrap().items, Vec::<String>::new());
            }
            assert_eq!(asked.lock().unwrap().len(), 0);
            let sets = [here, there];
            let found = reader.label_names(&Lookup { matchers: &sets, ..Lookup::ALL }).await.unwrap();
            assert_eq!(found.items, ["x"]);
            let asked = asked.lock().unwrap().join(" ");
            assert!(asked.contains("host%3D%22a%22") && !asked.contains("host%3D%22b%22"), "{asked}");
        });
    }
}
