//! Prometheus' language for scripts that test PromQL: `load`, `clear`, `eval`.
//!
//! As there, what is asked for an instant is asked again with `@` on every selector at other times, and as the middle
//! step of a range.

use std::sync::Arc;

use regex::Regex;
use watchbell_model::{Buckets, Histogram, Labels, Sample, Series, Span, Timestamp};
use watchbell_query::promql::{Anchor, Expr, Item, Node, parse, series_description};
use watchbell_query::{Element, Engine, EngineOptions, EvalError, Note, NoteLevel, Value};

use watchbell_query::MemorySeries;

/// What became of one `eval`.
pub(crate) struct Outcome {
    pub(crate) line: usize,
    pub(crate) text: String,
    pub(crate) result: Result<(), String>,
}

/// Runs a script; a line that cannot be read is a failed outcome.
pub(crate) fn run(script: &str) -> Vec<Outcome> {
    let trimmed = script.lines().map(|line| if line.trim().starts_with('#') { "" } else { line.trim() });
    let lines: Vec<&str> = trimmed.collect();
    let mut memory = MemorySeries::default();
    let mut outcomes = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let block_end = (at + 1..lines.len()).find(|end| lines[*end].is_empty()).unwrap_or(lines.len());
        let (line, rest) = (lines[at], &lines[at + 1..block_end]);
        let mut outcome = |result| outcomes.push(Outcome { line: at + 1, text: line.to_owned(), result });
        at = match line.split_whitespace().next() {
            None => at + 1,
            Some("clear") => {
                memory.clear();
                at + 1
            }
            Some("load" | "load_with_nhcb") => {
                if let Err(problem) = load(&mut memory, line, rest) {
                    outcome(Err(problem));
                }
                block_end
            }
            Some(command) if command.starts_with("eval") => match Eval::read(line, rest) {
                Ok((eval, taken)) => {
                    outcome(eval.check(&memory));
                    at + 1 + taken
                }
                Err(problem) => {
                    outcome(Err(problem));
                    block_end
                }
            },
            Some(_) => {
                outcome(Err("this is no command".to_owned()));
                at + 1
            }
        };
    }
    outcomes
}

fn load(memory: &mut MemorySeries, line: &str, series: &[&str]) -> Result<(), String> {
    let step = millis(line.split_whitespace().nth(1).ok_or("load without a step")?)?;
    for definition in series {
        if let Some((labels, offsets)) = start_times(definition)? {
            for (at, offset) in offsets.into_iter().enumerate() {
                let at = at as i64 * step;
                memory.put_start(&labels, at, offset.map_or(0, |offset| at + offset));
            }
            continue;
        }
        let (labels, values) = series_description(definition)?;
        for (at, value) in values.into_iter().enumerate() {
            match value {
                Item::Value(value) => memory.put(&labels, at as i64 * step, value),
                Item::Histogram { histogram, .. } => memory.put_histogram(&labels, at as i64 * step, histogram),
                Item::Omitted => {}
            }
        }
    }
    if line.starts_with("load_with_nhcb") {
        memory.add_custom_buckets();
    }
    Ok(())
}

/// For each sample of a series how far from it counting began, in milliseconds.
type StartTimes = (Labels, Vec<Option<i64>>);

/// A line of start times, `metric@st -1m _ -30s-1mx2`: how far from each sample, in milliseconds.
fn start_times(definition: &str) -> Result<Option<StartTimes>, String> {
    let Some((series, offsets)) = definition.split_once("@st").filter(|(_, rest)| rest.starts_with([' ', '\t'])) else {
        return Ok(None);
    };
    let (labels, _) = series_description(&format!("{series} _"))?;
    let shape = Regex::new(r"^([+-]?[0-9a-z]+?)(?:([+-][0-9a-z]+?))?(?:x([0-9]+))?$").expect("fixed");
    let mut all = Vec::new();
    for word in offsets.split_whitespace() {
        if word == "_" {
            all.push(None);
            continue;
        }
        let parts = shape.captures(word).ok_or_else(|| format!("`{word}` is no start time"))?;
        let read = |part: usize| parts.get(part).map_or(Ok(0), |text| offset(text.as_str()));
        let (first, by) = (read(1)?, read(2)?);
        let times = parts.get(3).map_or(Ok(0), |times| times.as_str().parse::<i64>());
        let times = times.map_err(|error| error.to_string())?;
        all.extend((0..=times).map(|time| Some(first + by * time)));
    }
    Ok(Some((labels, all)))
}

fn offset(text: &str) -> Result<i64, String> {
    let plain = text.trim_start_matches(['+', '-']);
    let millis = if plain == "0" { 0 } else { millis(plain)? };
    Ok(if text.starts_with('-') { -millis } else { millis })
}

/// One `eval` and what is expected of it.
struct Eval {
    text: String,
    /// For an instant, start and end are the same and the step is zero.
    start: i64,
    end: i64,
    step: i64,
    fails: Option<Expect>,
    ordered: bool,
    warnings: Vec<Expect>,
    infos: Vec<Expect>,
    no_warnings: bool,
    no_infos: bool,
    /// Times of the range vector that an instant gives.
    range_vector: Option<(i64, i64)>,
    string: Option<String>,
    scalar: Option<f64>,
    series: Vec<(Labels, Vec<Item>)>,
}

#[derive(Clone)]
enum Expect {
    Any,
    Exactly(String),
    Like(Regex),
}

impl Expect {
    fn passes(&self, text: &str) -> bool {
        match self {
            Expect::Any => true,
            Expect::Exactly(wanted) => text == wanted,
            Expect::Like(regex) => regex.is_match(text),
        }
    }
}

impl Eval {
    /// Reads the command and its lines; also says how many of those belong to it.
    fn read(line: &str, lines: &[&str]) -> Result<(Eval, usize), String> {
        let instant = Regex::new(r"^eval(?:_(fail|warn|ordered|info))?\s+instant\s+(?:at\s+(.+?))?\s+(.+)$");
        let range = Regex::new(r"^eval(?:_(fail|warn|info))?\s+range\s+from\s+(.+)\s+to\s+(.+)\s+step\s+(.+?)\s+(.+)$");
        let (instant, range) = (instant.expect("fixed"), range.expect("fixed"));
        let mut eval = Eval {
            text: String::new(),
            start: 0,
            end: 0,
            step: 0,
            fails: None,
            ordered: false,
            warnings: Vec::new(),
            infos: Vec::new(),
            no_warnings: false,
            no_infos: false,
            range_vector: None,
            string: None,
            scalar: None,
            series: Vec::new(),
        };
        let parts = if let Some(parts) = instant.captures(line) {
            eval.start = millis(&parts[2])?;
            eval.end = eval.start;
            eval.text = parts[3].to_owned();
            parts
        } else if let Some(parts) = range.captures(line) {
            (eval.start, eval.end, eval.step) = (millis(&parts[2])?, millis(&parts[3])?, millis(&parts[4])?);
            eval.text = parts[5].to_owned();
            parts
        } else {
            return Err("an eval that cannot be read".to_owned());
        };
        match parts.get(1).map(|word| word.as_str()) {
            Some("fail") => eval.fails = Some(Expect::Any),
            Some("warn") => eval.warnings.push(Expect::Any),
            Some("info") => eval.infos.push(Expect::Any),
            Some("ordered") => eval.ordered = true,
            _ => {}
        }
        for (at, line) in lines.iter().enumerate() {
            if line.is_empty() {
                return Ok((eval, at));
            }
            if eval.expectation(line)? {
                return Ok((eval, at + 1));
            }
        }
        Ok((eval, lines.len()))
    }

    /// Takes a line in; answers whether it is the last one.
    fn expectation(&mut self, line: &str) -> Result<bool, String> {
        if let Some(message) = line.strip_prefix("expected_fail_message") {
            self.fails = Some(Expect::Exactly(message.trim().to_owned()));
            return Ok(true);
        }
        if let Some(pattern) = line.strip_prefix("expected_fail_regexp") {
            self.fails = Some(Expect::Like(Regex::new(pattern.trim()).map_err(|error| error.to_string())?));
            return Ok(true);
        }
        if let Some(times) = line.strip_prefix("expect range vector") {
            let words: Vec<&str> = times.split_whitespace().collect();
            let [_, start, _, _, _, step] = words[..] else { return Err("a bad range vector".to_owned()) };
            self.range_vector = Some((millis(start)?, millis(step)?));
            return Ok(false);
        }
        if let Some(text) = line.strip_prefix("expect string") {
            match parse(text.trim()).map(|expr| expr.node) {
                Ok(Node::Text(text)) => self.string = Some(text),
                _ => return Err("a bad string".to_owned()),
            }
            return Ok(false);
        }
        if let Some(rest) = line.strip_prefix("expect ") {
            let (kind, rest) = rest.trim().split_once(char::is_whitespace).unwrap_or((rest.trim(), ""));
            let rest = rest.trim();
            let expect = if let Some(message) = rest.strip_prefix("msg:") {
                Expect::Exactly(message.trim().to_owned())
            } else if let Some(pattern) = rest.strip_prefix("regex:") {
                Expect::Like(Regex::new(pattern.trim()).map_err(|error| error.to_string())?)
            } else {
                Expect::Any
            };
            match kind {
                "fail" => self.fails = Some(expect),
                "warn" => self.warnings.push(expect),
                "info" => self.infos.push(expect),
                "no_warn" => self.no_warnings = true,
                "no_info" => self.no_infos = true,
                "ordered" => self.ordered = true,
                _ => return Err(format!("`expect {kind}` is not known")),
            }
            return Ok(false);
        }
        if let Some(value) = plain_number(line) {
            self.scalar = Some(value);
            return Ok(true);
        }
        self.series.push(series_description(line)?);
        Ok(false)
    }

    fn check(&self, memory: &MemorySeries) -> Result<(), String> {
        let expr = parse(&self.text).map_err(|error| format!("{}: {error}", self.text))?;
        // As there, whose scripts say what comes of it.
        let options = EngineOptions { delayed_name_removal: true, ..EngineOptions::default() };
        let engine = Engine::new(options);
        if self.step > 0 {
            let (start, end) = (Timestamp(self.start), Timestamp(self.end));
            let answer = engine.range_answer(memory, &expr, start, end, Span::millis(self.step as u64));
            let Some(answer) = self.failure(answer)? else { return Ok(()) };
            self.check_notes(&self.text, &answer.notes)?;
            return self.check_matrix(&answer.value, self.start, self.step);
        }
        self.check_instant(&engine, memory, &self.text, self.start)?;
        for (text, at) in self.anchored(&expr) {
            self.check_instant(&engine, memory, &text, at).map_err(|problem| format!("`{text}` at {at}: {problem}"))?;
        }
        Ok(())
    }

    /// The answer, or nothing if it failed as it should.
    fn failure<T>(&self, answer: Result<T, EvalError>) -> Result<Option<T>, String> {
        match (answer, &self.fails) {
            (Ok(answer), None) => Ok(Some(answer)),
            (Ok(_), Some(_)) => Err("should fail".to_owned()),
            (Err(error), Some(expect)) if expect.passes(&error.to_string()) => Ok(None),
            (Err(error), _) => Err(format!("fails: {error}")),
        }
    }

    fn check_instant(&self, engine: &Engine, memory: &MemorySeries, text: &str, at: i64) -> Result<(), String> {
        let expr = parse(text).map_err(|error| error.to_string())?;
        let answer = engine.instant_answer(memory, &expr, Timestamp(at));
        let Some(answer) = self.failure(answer)? else { return Ok(()) };
        self.check_notes(text, &answer.notes)?;
        match &answer.value {
            Value::String(_, found) => {
                return match &self.string {
                    Some(wanted) if wanted == found => Ok(()),
                    _ => Err(format!("is the string `{found}`")),
                };
            }
            Value::Matrix(series) => {
                let (start, step) = self.range_vector.ok_or("is a range vector")?;
                return self.check_matrix(series, start, step);
            }
            Value::Scalar(_, found) => self.check_scalar(*found)?,
            Value::Vector(found) => {
                self.check_vector(found, self.ordered)?;
            }
        }
        if ["start()", "end()", "range()", "step()"].iter().any(|word| text.contains(word)) {
            return Ok(());
        }
        let minute = 60_000;
        let (start, end) = (Timestamp(at - minute), Timestamp(at + minute));
        let range = engine.range(memory, &expr, start, end, Span::minutes(1));
        let range = range.map_err(|error| format!("fails as a range: {error}"))?;
        if self.ordered {
            return Ok(());
        }
        let middle = |series: &Series| {
            let sample = series.samples.iter().find(|sample| sample.timestamp.0 == at).copied();
            let histogram = series.histograms.iter().find(|sample| sample.timestamp.0 == at);
            let histogram = histogram.map(|sample| Arc::clone(&sample.histogram));
            let nothing = Sample { timestamp: Timestamp(at), value: 0.0 };
            let sample = sample.or_else(|| histogram.is_some().then_some(nothing))?;
            Some(Element { labels: series.labels.clone(), sample, histogram })
        };
        let found: Vec<Element> = range.iter().filter_map(middle).collect();
        match &answer.value {
            Value::Scalar(..) => self.check_scalar(found.first().ok_or("is nothing as a range")?.sample.value),
            _ => self.check_vector(&found, false).map_err(|problem| format!("as a range {problem}")),
        }
    }

    fn check_scalar(&self, found: f64) -> Result<(), String> {
        match self.scalar {
            Some(wanted) if same(wanted, found) => Ok(()),
            Some(wanted) => Err(format!("is {found}, not {wanted}")),
            None => Err(format!("is the scalar {found}")),
        }
    }

    fn check_vector(&self, found: &[Element], ordered: bool) -> Result<(), String> {
        if self.scalar.is_some() {
            return Err("is a vector".to_owned());
        }
        for (at, element) in found.iter().enumerate() {
            let labels = &element.labels;
            let place = self.series.iter().position(|(wanted, _)| wanted == labels);
            let place = place.ok_or_else(|| format!("has {element:?}"))?;
            if ordered && place != at {
                return Err(format!("has {labels} at place {at}, not {place}"));
            }
            match (self.series[place].1.first(), &element.histogram) {
                (Some(Item::Value(wanted)), None) if same(*wanted, element.sample.value) => {}
                (Some(Item::Histogram { histogram, hint }), Some(found)) if alike(histogram, found, *hint) => {}
                (wanted, _) => return Err(format!("has {element:?}, not {wanted:?}")),
            }
        }
        match self.series.iter().find(|(wanted, _)| !found.iter().any(|element| element.labels == *wanted)) {
            Some((missing, _)) => Err(format!("lacks {missing}")),
            None => Ok(()),
        }
    }

    fn check_matrix(&self, found: &[Series], start: i64, step: i64) -> Result<(), String> {
        if found.windows(2).any(|pair| pair[0].labels >= pair[1].labels) {
            return Err("is not sorted".to_owned());
        }
        for series in found {
            let labels = &series.labels;
            let wanted = self.series.iter().find(|(wanted, _)| wanted == labels);
            let (_, wanted) = wanted.ok_or_else(|| format!("has {labels} {:?}", series.samples))?;
            let at = |place: usize| start + place as i64 * step;
            let is_there = |place: usize, item: &Item| {
                let sample = series.samples.iter().find(|sample| sample.timestamp.0 == at(place));
                let histogram = series.histograms.iter().find(|sample| sample.timestamp.0 == at(place));
                match item {
                    Item::Omitted => sample.is_none() && histogram.is_none(),
                    Item::Value(value) => histogram.is_none() && sample.is_some_and(|found| same(*value, found.value)),
                    Item::Histogram { histogram: wanted, hint } => {
                        sample.is_none() && histogram.is_some_and(|found| alike(wanted, &found.histogram, *hint))
                    }
                }
            };
            let many = wanted.iter().filter(|item| **item != Item::Omitted).count();
            let equal = wanted.iter().enumerate().all(|(place, item)| is_there(place, item))
                && many == series.samples.len() + series.histograms.len();
            if !equal {
                return Err(format!("has {labels} {:?} {:?}, not {wanted:?}", series.samples, series.histograms));
            }
        }
        match self.series.iter().find(|(wanted, _)| !found.iter().any(|series| series.labels == *wanted)) {
            Some((missing, _)) => Err(format!("lacks {missing}")),
            None => Ok(()),
        }
    }

    fn check_notes(&self, text: &str, notes: &[Note]) -> Result<(), String> {
        let of = |level: NoteLevel| -> Vec<String> {
            notes.iter().filter(|note| note.level == level).map(|note| note.with_place(text)).collect()
        };
        let (warnings, infos) = (of(NoteLevel::Warning), of(NoteLevel::Info));
        for (wanted, none, found) in
            [(&self.warnings, self.no_warnings, &warnings), (&self.infos, self.no_infos, &infos)]
        {
            if none && !found.is_empty() {
                return Err(format!("notes {found:?}"));
            }
            let missing = wanted.iter().any(|expect| !found.iter().any(|note| expect.passes(note)));
            let more = found.iter().any(|note| !wanted.iter().any(|expect| expect.passes(note)));
            if missing || (!wanted.is_empty() && more) {
                return Err(format!("notes {found:?}"));
            }
        }
        Ok(())
    }

    /// The same expression with `@` on every selector, and other times to ask it at.
    fn anchored(&self, expr: &Expr) -> Vec<(String, i64)> {
        let mut moves = false;
        expr.visit(&mut |expr| {
            if let Node::Call { function, .. } = &expr.node {
                let date = matches!(
                    function.name,
                    "day_of_month"
                        | "day_of_week"
                        | "day_of_year"
                        | "days_in_month"
                        | "hour"
                        | "minute"
                        | "month"
                        | "year"
                );
                let depends = matches!(
                    function.name,
                    "end" | "predict_linear" | "range" | "start" | "step" | "time" | "timestamp"
                );
                moves |= depends || date;
            }
        });
        if moves {
            return Vec::new();
        }
        let mut expr = expr.clone();
        anchor(&mut expr, Timestamp(self.start));
        let text = expr.to_string();
        let at = self.start;
        let times = if at == 0 { vec![-1000, 0, 1000] } else { vec![-10 * at, 0, at / 5, at, 10 * at] };
        times.into_iter().map(|at| (text.clone(), at)).collect()
    }
}

/// Puts `@` where there is none; not within subqueries that have one.
fn anchor(expr: &mut Expr, at: Timestamp) {
    match &mut expr.node {
        Node::Number { .. } | Node::Text(_) => {}
        Node::Selector(selector) | Node::Range { selector, .. } => {
            selector.at.get_or_insert(Anchor::Time(at));
        }
        // What is within is evaluated at the subquery's own steps.
        Node::Subquery(subquery) => {
            subquery.at.get_or_insert(Anchor::Time(at));
        }
        Node::Call { arguments, .. } => arguments.iter_mut().for_each(|argument| anchor(argument, at)),
        Node::Aggregate(aggregation) => {
            aggregation.parameter.iter_mut().for_each(|parameter| anchor(parameter, at));
            anchor(&mut aggregation.inner, at);
        }
        Node::Binary { left, right, .. } => {
            anchor(left, at);
            anchor(right, at);
        }
        Node::Unary { operand: inner, .. } | Node::Paren(inner) => anchor(inner, at),
    }
}

fn same(wanted: f64, found: f64) -> bool {
    if wanted.is_nan() || found.is_nan() {
        return wanted.is_nan() && found.is_nan();
    }
    if wanted == found {
        return true;
    }
    let (sum, difference) = (wanted.abs() + found.abs(), (wanted - found).abs());
    if wanted == 0.0 || found == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < 1e-6 * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < 1e-6
}

/// Whether two histograms hold about the same; what they say of resets counts if the script speaks of it.
fn alike(wanted: &Histogram, found: &Histogram, hint: bool) -> bool {
    let side = |buckets: &Buckets| {
        let (mut next, mut all) = (0, Vec::new());
        let mut counts = buckets.counts.iter();
        for span in &buckets.spans {
            next += span.offset;
            for _ in 0..span.length {
                all.extend(counts.next().filter(|count| **count != 0.0).map(|count| (next, *count)));
                next += 1;
            }
        }
        all
    };
    let alike = |a: &Buckets, b: &Buckets| {
        let (a, b) = (side(a), side(b));
        a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| a.0 == b.0 && same(a.1, b.1))
    };
    wanted.schema == found.schema
        && same(wanted.count, found.count)
        && same(wanted.sum, found.sum)
        && wanted.zero_threshold == found.zero_threshold
        && same(wanted.zero_count, found.zero_count)
        && wanted.custom_values == found.custom_values
        && alike(&wanted.positive, &found.positive)
        && alike(&wanted.negative, &found.negative)
        && (!hint || wanted.reset == found.reset)
}

fn plain_number(line: &str) -> Option<f64> {
    match parse(line).ok()?.node {
        Node::Number { value, .. } => Some(value),
        _ => None,
    }
}

fn millis(text: &str) -> Result<i64, String> {
    let (sign, text) = match text.trim().strip_prefix('-') {
        Some(text) => (-1, text),
        None => (1, text.trim()),
    };
    let span: Span = text.parse().map_err(|error: watchbell_model::SpanError| error.to_string())?;
    Ok(sign * span.duration().as_millis() as i64)
}
