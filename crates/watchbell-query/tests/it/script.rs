//! Prometheus' language for scripts that test PromQL: `load`, `clear`, `eval`.
//!
//! As there, what is asked for an instant is asked again with `@` on every selector at other times, and as the middle
//! step of a range. Native histograms and start times in `load` are left out: no sample is put in their place.

use regex::Regex;
use watchbell_model::{Labels, MatchOp, Series, Span, Timestamp, stale_nan};
use watchbell_query::promql::{Anchor, Expr, Node, metric_selector, parse};
use watchbell_query::{Engine, EvalError, Note, NoteLevel, Value};

use crate::source::Memory;

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
    let mut memory = Memory::default();
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

fn load(memory: &mut Memory, line: &str, series: &[&str]) -> Result<(), String> {
    let step = millis(line.split_whitespace().nth(1).ok_or("load without a step")?)?;
    for definition in series.iter().filter(|definition| !is_start_times(definition)) {
        let (labels, values) = series_description(definition)?;
        for (at, value) in values.into_iter().enumerate() {
            if let Item::Value(value) = value {
                memory.put(&labels, at as i64 * step, value);
            }
        }
    }
    Ok(())
}

fn is_start_times(definition: &str) -> bool {
    definition.split_whitespace().next().is_some_and(|first| first.ends_with("@st"))
}

/// One place of a sequence of values.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Item {
    Value(f64),
    Omitted,
    /// A native histogram.
    Histogram,
}

fn series_description(text: &str) -> Result<(Labels, Vec<Item>), String> {
    let brace = text.find('{');
    let space = text.find(char::is_whitespace).unwrap_or(text.len());
    let end = match brace {
        Some(brace) if brace < space => closing_brace(text, brace).ok_or("a series without `}`")? + 1,
        _ => space,
    };
    let labels = metric(&text[..end])?;
    Ok((labels, sequence(text[end..].trim())?))
}

fn closing_brace(text: &str, from: usize) -> Option<usize> {
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in text[from..].char_indices() {
        match (quote, c) {
            _ if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(open), _) if open == c => quote = None,
            (None, '"' | '\'') => quote = Some(c),
            (None, '}') => return Some(from + at),
            _ => {}
        }
    }
    None
}

/// A metric by its name and labels, which may be none.
fn metric(text: &str) -> Result<Labels, String> {
    let named = metric_selector(text).or_else(|_| metric_selector(&format!("no_name{text}")));
    let matchers = named.map_err(|error| format!("`{text}`: {error}"))?;
    if matchers.iter().any(|matcher| matcher.op != MatchOp::Equal) {
        return Err(format!("`{text}` is not a metric"));
    }
    let pairs = matchers.into_iter().filter(|matcher| matcher.value != "no_name");
    Ok(pairs.map(|matcher| (matcher.name, matcher.value)).collect())
}

fn sequence(text: &str) -> Result<Vec<Item>, String> {
    let number = r"(?:inf|nan|[0-9]+\.?[0-9]*(?:e[+-]?[0-9]+)?|\.[0-9]+(?:e[+-]?[0-9]+)?)";
    let shape = format!(r"(?i)^([+-]?{number})(?:([+-]{number}))?(?:x([0-9]+))?$");
    let shape = Regex::new(&shape).expect("the pattern is fixed");
    let mut items = Vec::new();
    for word in words(text) {
        let repeated = |word: &str| word.rsplit_once('x').and_then(|(_, times)| times.parse::<usize>().ok());
        if word.starts_with("{{") {
            let times = if word.ends_with("}}") { 0 } else { repeated(word).ok_or("a bad repetition")? };
            items.extend(std::iter::repeat_n(Item::Histogram, times + 1));
        } else if word.starts_with('_') {
            items.extend(std::iter::repeat_n(Item::Omitted, repeated(word).unwrap_or(1)));
        } else if word.starts_with("stale") {
            items.extend(std::iter::repeat_n(Item::Value(stale_nan()), repeated(word).map_or(1, |times| times + 1)));
        } else {
            let parts = shape.captures(word).ok_or_else(|| format!("`{word}` is no value"))?;
            let read = |part: usize| parts.get(part).map(|part| part.as_str().parse::<f64>());
            let first = read(1).ok_or("no value")?.map_err(|error| error.to_string())?;
            let by = read(2).transpose().map_err(|error| error.to_string())?.unwrap_or(0.0);
            let times = parts.get(3).map_or(Ok(0), |times| times.as_str().parse::<usize>());
            let mut value = first;
            for _ in 0..=times.map_err(|error| error.to_string())? {
                items.push(Item::Value(value));
                value += by;
            }
        }
    }
    Ok(items)
}

/// Words apart by space; a native histogram in double braces is one word.
fn words(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let (mut start, mut depth) = (None, 0_usize);
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if c.is_whitespace() && depth == 0 {
            words.extend(start.take().map(|start| &text[start..at]));
        } else {
            start.get_or_insert(at);
        }
    }
    words.extend(start.map(|start| &text[start..]));
    words
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

    fn check(&self, memory: &Memory) -> Result<(), String> {
        let expr = parse(&self.text).map_err(|error| format!("{}: {error}", self.text))?;
        let engine = Engine::default();
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

    fn check_instant(&self, engine: &Engine, memory: &Memory, text: &str, at: i64) -> Result<(), String> {
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
                let found: Vec<(Labels, f64)> = found.iter().map(|(l, sample)| (l.clone(), sample.value)).collect();
                self.check_vector(&found, self.ordered)?;
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
        let middle = |series: &Series| series.samples.iter().find(|sample| sample.timestamp.0 == at).map(|s| s.value);
        let found: Vec<(Labels, f64)> =
            range.iter().filter_map(|series| Some((series.labels.clone(), middle(series)?))).collect();
        match &answer.value {
            Value::Scalar(..) => self.check_scalar(found.first().ok_or("is nothing as a range")?.1),
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

    fn check_vector(&self, found: &[(Labels, f64)], ordered: bool) -> Result<(), String> {
        if self.scalar.is_some() {
            return Err("is a vector".to_owned());
        }
        for (at, (labels, value)) in found.iter().enumerate() {
            let place = self.series.iter().position(|(wanted, _)| wanted == labels);
            let place = place.ok_or_else(|| format!("has {labels} {value}"))?;
            if ordered && place != at {
                return Err(format!("has {labels} at place {at}, not {place}"));
            }
            match self.series[place].1.first() {
                Some(Item::Value(wanted)) if same(*wanted, *value) => {}
                wanted => return Err(format!("has {labels} {value}, not {wanted:?}")),
            }
        }
        match self.series.iter().find(|(wanted, _)| !found.iter().any(|(labels, _)| labels == wanted)) {
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
            let times = wanted.iter().enumerate().filter(|(_, item)| **item != Item::Omitted);
            let wanted: Vec<(i64, Item)> = times.map(|(at, item)| (start + at as i64 * step, *item)).collect();
            let equal = wanted.len() == series.samples.len()
                && wanted.iter().zip(&series.samples).all(|((at, item), sample)| {
                    *at == sample.timestamp.0 && matches!(item, Item::Value(value) if same(*value, sample.value))
                });
            if !equal {
                return Err(format!("has {labels} {:?}, not {wanted:?}", series.samples));
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
