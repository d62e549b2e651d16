//! The functions and methods templates may call: Go's own, Prometheus' and Alertmanager's.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use watchbell_model::{Histogram, ResetHint};

use crate::printf::{self, Output, TooLong};
use crate::render::{Run, too_long};
use crate::{DEPTH_MAX, Dialect, OUTPUT_MAX, Value, number, prometheus, time_format};

/// The longest regular expression, in bytes.
const PATTERN_MAX: usize = 4096;

const NAMES: &[&str] = &[
    "and",
    "or",
    "not",
    "eq",
    "ne",
    "lt",
    "le",
    "gt",
    "ge",
    "len",
    "index",
    "slice",
    "print",
    "printf",
    "println",
    "html",
    "js",
    "urlquery",
    "query",
    "first",
    "label",
    "value",
    "sortByLabel",
    "strvalue",
    "humanize",
    "humanize1024",
    "humanizeDuration",
    "humanizePercentage",
    "humanizeTimestamp",
    "toTime",
    "toDuration",
    "now",
    "title",
    "toUpper",
    "toLower",
    "match",
    "reReplaceAll",
    "stripPort",
    "stripDomain",
    "graphLink",
    "tableLink",
    "parseDuration",
    "urlQueryEscape",
    "urlUnescape",
    "args",
    "tmpl",
    "safeHtml",
    "safeUrl",
    "externalURL",
    "pathPrefix",
    "join",
    "trimSpace",
    "stringSlice",
    "date",
    "tz",
    "since",
    "toJson",
    "base64encode",
    "base64decode",
    "list",
    "append",
    "dict",
    "routeLabels",
];

pub(crate) fn is_known(name: &str) -> bool {
    NAMES.contains(&name)
}

/// Calls a function. `and` and `or` are the renderer's own, since they need not evaluate all they are given.
pub(crate) fn call(run: &mut Run<'_>, name: &str, args: Vec<Value>) -> Result<Value, String> {
    run.burn(1 + args.iter().map(weight).sum::<usize>())?;
    let value = match name {
        "not" => Value::Bool(!one(name, &args)?.is_true()),
        "eq" => {
            let (first, rest) =
                args.split_first().filter(|(_, rest)| !rest.is_empty()).ok_or("`eq` takes two values or more")?;
            let mut any = false;
            for value in rest {
                any |= equal(first, value)?;
            }
            Value::Bool(any)
        }
        "ne" => {
            let [a, b] = exactly(name, &args)?;
            Value::Bool(!equal(a, b)?)
        }
        "lt" | "le" | "gt" | "ge" => {
            let [a, b] = exactly(name, &args)?;
            let order = order(a, b)?;
            Value::Bool(match name {
                "lt" => order == Some(Ordering::Less),
                "le" => matches!(order, Some(Ordering::Less | Ordering::Equal)),
                "gt" => order == Some(Ordering::Greater),
                _ => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
            })
        }
        "len" => match one(name, &args)? {
            Value::Str(text) => Value::Int(text.len() as i64),
            Value::List(list) => Value::Int(list.len() as i64),
            Value::Map(map) => Value::Int(map.len() as i64),
            other => return Err(format!("a {} has no length", other.kind())),
        },
        "index" => {
            let (first, keys) = args.split_first().ok_or("`index` takes a list or a map")?;
            keys.iter().try_fold(first.clone(), |value, key| index(&value, key))?
        }
        "slice" => slice(&args)?,
        "print" => printf::print(&args).map_err(long)?.into(),
        "println" => printf::println(&args).map_err(long)?.into(),
        "printf" => {
            let (format, rest) = args.split_first().ok_or("`printf` takes a format")?;
            printf::printf(text(name, format)?, rest).map_err(long)?.into()
        }
        "html" => bounded(replaced(&joined(&args)?, |c| match c {
            '"' => Some("&#34;"),
            '\'' => Some("&#39;"),
            '&' => Some("&amp;"),
            '<' => Some("&lt;"),
            '>' => Some("&gt;"),
            '\0' => Some("\u{FFFD}"),
            _ => None,
        }))?,
        "js" => bounded(replaced(&joined(&args)?, |c| match c {
            '\\' => Some("\\\\"),
            '\'' => Some("\\'"),
            '"' => Some("\\\""),
            '<' => Some("\\u003C"),
            '>' => Some("\\u003E"),
            '&' => Some("\\u0026"),
            '=' => Some("\\u003D"),
            '\n' => Some("\\n"),
            '\r' => Some("\\r"),
            '\t' => Some("\\t"),
            _ => None,
        }))?,
        "urlquery" | "urlQueryEscape" => bounded(query_escape(&joined(&args)?))?,
        "urlUnescape" => bounded(query_unescape(text(name, one(name, &args)?)?)?)?,
        "toUpper" => bounded(text(name, one(name, &args)?)?.to_uppercase())?,
        "toLower" => bounded(text(name, one(name, &args)?)?.to_lowercase())?,
        "title" => bounded(title(text(name, one(name, &args)?)?))?,
        "trimSpace" => text(name, one(name, &args)?)?.trim().into(),
        "safeHtml" | "safeUrl" => text(name, one(name, &args)?)?.into(),
        "join" => {
            let [separator, list] = exactly(name, &args)?;
            let mut out = Output::default();
            for (at, item) in items(name, list)?.iter().enumerate() {
                out.push(if at > 0 { text(name, separator)? } else { "" }).map_err(long)?;
                out.value(item).map_err(long)?;
            }
            out.text.into()
        }
        "match" => {
            let [pattern, subject] = exactly(name, &args)?;
            Value::Bool(regex(run, text(name, pattern)?)?.is_match(text(name, subject)?))
        }
        "reReplaceAll" => {
            let [pattern, with, subject] = exactly(name, &args)?;
            re_replace(run, text(name, pattern)?, text(name, with)?, text(name, subject)?)?
        }
        "stringSlice" | "list" => made(run, Value::list(args))?,
        "append" => {
            let (list, more) = args.split_first().ok_or("`append` takes a list")?;
            let grown = items(name, list)?.iter().chain(more).cloned();
            made(run, Value::list(grown))?
        }
        "dict" => {
            let pairs = args.chunks(2).map(|pair| match pair {
                [key, value] => Ok((text(name, key)?.to_owned(), value.clone())),
                _ => Err("`dict` takes pairs of a key and a value".to_owned()),
            });
            made(run, pairs.collect::<Result<BTreeMap<_, _>, String>>()?.into())?
        }
        "args" => {
            let pairs = args.into_iter().enumerate().map(|(at, value)| (format!("arg{at}"), value));
            made(run, pairs.collect::<BTreeMap<_, _>>().into())?
        }
        "tmpl" => {
            let [template, data] = exactly(name, &args)?;
            run.template_text(text(name, template)?, data.clone())?.into()
        }
        "toJson" => {
            let mut out = Output::default();
            json(&mut out, one(name, &args)?).map_err(long)?;
            out.text.into()
        }
        "base64encode" => bounded(base64_encode(text(name, one(name, &args)?)?.as_bytes()))?,
        "base64decode" => {
            let bytes = base64_decode(text(name, one(name, &args)?)?).ok_or("this is not base64")?;
            String::from_utf8_lossy(&bytes).into_owned().into()
        }
        "routeLabels" => {
            let label = text(name, one(name, &args)?)?;
            bounded(run.context.route_label.map_or_else(|| Ok(String::new()), |ask| ask(label))?)?
        }
        "now" => match run.context.dialect {
            Dialect::Prometheus => Value::Float(run.context.now.as_seconds()),
            Dialect::Alertmanager => run.context.now.into(),
        },
        "date" => {
            let [layout, at] = exactly(name, &args)?;
            bounded(time_format::layout(time(name, at)?, text(name, layout)?))?
        }
        "tz" => {
            let [zone, at] = exactly(name, &args)?;
            let zone = text(name, zone)?;
            match time(name, at)?.in_tz(zone) {
                Ok(at) => Value::Time(Arc::new(at)),
                Err(_) => return Err(format!("`{zone}` is not a time zone")),
            }
        }
        "since" => {
            let nanos = run.context.now.as_millis().saturating_mul(1_000_000);
            let then = time(name, one(name, &args)?)?.timestamp().as_nanosecond();
            Value::Duration(i64::try_from(i128::from(nanos) - then).unwrap_or(i64::MAX))
        }
        _ => prometheus::call(run, name, &args)?,
    };
    Ok(value)
}

/// A field of a value, or a method of its type.
pub(crate) fn field(run: &mut Run<'_>, value: &Value, name: &str, args: Vec<Value>) -> Result<Value, String> {
    if let Value::Record(fields) | Value::Map(fields) = value
        && let Some(value) = fields.get(name)
    {
        return if args.is_empty() {
            Ok(value.clone())
        } else {
            Err(format!("`{name}` is a field and takes no arguments"))
        };
    }
    run.burn(weight(value) + args.iter().map(weight).sum::<usize>())?;
    match (value, name) {
        (Value::Map(map), "SortedPairs") => Ok(Value::list(
            map.iter()
                .map(|(name, value)| Value::record([("Name", Value::from(name.as_str())), ("Value", value.clone())])),
        )),
        (Value::Map(map), "Names") => Ok(Value::list(map.keys().map(|name| name.as_str().into()))),
        (Value::Map(map), "Values") => Ok(Value::list(map.values().cloned())),
        (Value::Map(map), "Remove") => {
            let gone = items(name, one(name, &args)?)?;
            let kept = map.iter().filter(|(key, _)| !gone.contains(&Value::from(key.as_str())));
            Ok(kept.map(|(key, value)| (key.clone(), value.clone())).collect::<BTreeMap<_, _>>().into())
        }
        (Value::Map(_), _) if args.is_empty() => Ok("".into()),
        (Value::List(list), "Names" | "Values") => {
            let part = &name[..name.len() - 1];
            let of = |value: &Value| match value {
                Value::Record(fields) => fields.get(part).cloned(),
                _ => None,
            };
            Ok(Value::list(list.iter().filter_map(of)))
        }
        (Value::List(list), "Firing" | "Resolved") => {
            let status = Value::from(if name == "Firing" { "firing" } else { "resolved" });
            let has = |value: &&Value| matches!(value, Value::Record(it) if it.get("Status") == Some(&status));
            Ok(Value::list(list.iter().filter(has).cloned()))
        }
        (Value::Time(at), _) => time_method(at, name, &args),
        (Value::Duration(nanos), _) => duration_method(*nanos, name),
        (Value::Histogram(histogram, text), _) if args.is_empty() => histogram_field(histogram, text, name),
        (Value::Null, _) => Err(format!("there is nothing to take `.{name}` of")),
        _ => Err(format!("a {} has no field `{name}`", value.kind())),
    }
}

fn time_method(at: &jiff::Zoned, name: &str, args: &[Value]) -> Result<Value, String> {
    Ok(match name {
        "Format" => bounded(time_format::layout(at, text(name, one(name, args)?)?))?,
        "String" => time_format::go_string(at).into(),
        "Unix" => Value::Int(at.timestamp().as_second()),
        "UnixMilli" => Value::Int(at.timestamp().as_millisecond()),
        "UTC" | "Local" => Value::Time(Arc::new(at.with_time_zone(jiff::tz::TimeZone::UTC))),
        "Year" => Value::Int(at.year().into()),
        "Month" => time_format::layout(at, "January").into(),
        "Weekday" => time_format::layout(at, "Monday").into(),
        "Day" => Value::Int(at.day().into()),
        "Hour" => Value::Int(at.hour().into()),
        "Minute" => Value::Int(at.minute().into()),
        "Second" => Value::Int(at.second().into()),
        "YearDay" => Value::Int(at.day_of_year().into()),
        "IsZero" => Value::Bool(at.year() <= 1),
        "Before" => Value::Bool(at < time(name, one(name, args)?)?),
        "After" => Value::Bool(at > time(name, one(name, args)?)?),
        "Equal" => Value::Bool(at == time(name, one(name, args)?)?),
        "Sub" => {
            let nanos = at.timestamp().as_nanosecond() - time(name, one(name, args)?)?.timestamp().as_nanosecond();
            Value::Duration(i64::try_from(nanos).unwrap_or(if nanos < 0 { i64::MIN } else { i64::MAX }))
        }
        "Add" => match one(name, args)? {
            Value::Duration(nanos) => {
                let sum = at.checked_add(jiff::SignedDuration::from_nanos(*nanos));
                Value::Time(Arc::new(sum.map_err(|_| "the time is out of range".to_owned())?))
            }
            other => return Err(format!("`Add` takes a duration, not a {}", other.kind())),
        },
        _ => return Err(format!("a time has no method `{name}`")),
    })
}

fn duration_method(nanos: i64, name: &str) -> Result<Value, String> {
    Ok(match name {
        "Hours" => Value::Float(nanos as f64 / 3.6e12),
        "Minutes" => Value::Float(nanos as f64 / 6e10),
        "Seconds" => Value::Float(nanos as f64 / 1e9),
        "Milliseconds" => Value::Int(nanos / 1_000_000),
        "Nanoseconds" => Value::Int(nanos),
        "String" => time_format::duration(nanos).into(),
        _ => return Err(format!("a duration has no method `{name}`")),
    })
}

/// Under the names of Prometheus' `FloatHistogram`.
fn histogram_field(histogram: &Histogram, text: &Arc<str>, name: &str) -> Result<Value, String> {
    let list = |numbers: &[f64]| Value::list(numbers.iter().map(|number| Value::Float(*number)));
    Ok(match name {
        "Count" => Value::Float(histogram.count),
        "Sum" => Value::Float(histogram.sum),
        "Schema" => Value::Int(histogram.schema.into()),
        "ZeroCount" => Value::Float(histogram.zero_count),
        "ZeroThreshold" => Value::Float(histogram.zero_threshold),
        "PositiveBuckets" => list(&histogram.positive.counts),
        "NegativeBuckets" => list(&histogram.negative.counts),
        "CustomValues" => list(&histogram.custom_values),
        "CounterResetHint" => Value::Int(match histogram.reset {
            ResetHint::Unknown => 0,
            ResetHint::Reset => 1,
            ResetHint::NotReset => 2,
            ResetHint::Gauge => 3,
        }),
        "UsesCustomBuckets" => Value::Bool(histogram.has_custom_buckets()),
        "String" => Value::Str(Arc::clone(text)),
        _ => return Err(format!("a histogram has no field `{name}`, but `Count`, `Sum` and others")),
    })
}

/// How many steps reading a value costs.
fn weight(value: &Value) -> usize {
    match value {
        Value::Str(text) => text.len() / 256,
        Value::List(list) => list.len() / 16,
        Value::Map(map) | Value::Record(map) => map.len() / 16,
        Value::Histogram(histogram, _) => histogram.size(),
        _ => 0,
    }
}

/// A list or map made by a template: no deeper than [`DEPTH_MAX`].
fn made(run: &mut Run<'_>, value: Value) -> Result<Value, String> {
    fn depth(run: &mut Run<'_>, value: &Value, left: usize) -> Result<(), String> {
        run.burn(1)?;
        let left = left.checked_sub(1).ok_or_else(|| format!("lists nest deeper than {DEPTH_MAX}"))?;
        match value {
            Value::List(list) => list.iter().try_for_each(|it| depth(run, it, left)),
            Value::Map(map) | Value::Record(map) => map.values().try_for_each(|it| depth(run, it, left)),
            _ => Ok(()),
        }
    }
    depth(run, &value, DEPTH_MAX)?;
    Ok(value)
}

pub(crate) fn one<'v>(name: &str, args: &'v [Value]) -> Result<&'v Value, String> {
    exactly(name, args).map(|[it]| it)
}

pub(crate) fn exactly<'v, const N: usize>(name: &str, args: &'v [Value]) -> Result<&'v [Value; N], String> {
    args.try_into().map_err(|_| format!("`{name}` takes {N} arguments, not {}", args.len()))
}

pub(crate) fn text<'v>(name: &str, value: &'v Value) -> Result<&'v str, String> {
    match value {
        Value::Str(text) => Ok(text),
        other => Err(format!("`{name}` takes text, not a {}", other.kind())),
    }
}

pub(crate) fn items<'v>(name: &str, value: &'v Value) -> Result<&'v [Value], String> {
    match value {
        Value::List(list) => Ok(list),
        Value::Null => Ok(&[]),
        other => Err(format!("`{name}` takes a list, not a {}", other.kind())),
    }
}

fn time<'v>(name: &str, value: &'v Value) -> Result<&'v jiff::Zoned, String> {
    match value {
        Value::Time(at) => Ok(at),
        other => Err(format!("`{name}` takes a time, not a {}", other.kind())),
    }
}

/// Text no longer than a rendering may be.
pub(crate) fn bounded(text: String) -> Result<Value, String> {
    if text.len() > OUTPUT_MAX { Err(too_long()) } else { Ok(text.into()) }
}

pub(crate) fn long(_: TooLong) -> String {
    too_long()
}

/// One argument as it is, several as `print` writes them.
fn joined(args: &[Value]) -> Result<String, String> {
    printf::print(args).map_err(long)
}

fn equal(a: &Value, b: &Value) -> Result<bool, String> {
    match (a, b) {
        (Value::Null, _) | (_, Value::Null) => Ok(a == b),
        (Value::Time(a), Value::Time(b)) => Ok(a == b),
        (Value::Bool(a), Value::Bool(b)) => Ok(a == b),
        _ => Ok(order(a, b)? == Some(Ordering::Equal)),
    }
}

fn order(a: &Value, b: &Value) -> Result<Option<Ordering>, String> {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) | (Value::Duration(a), Value::Duration(b)) => Ok(Some(a.cmp(b))),
        (Value::Float(a), Value::Float(b)) => Ok(a.partial_cmp(b)),
        (Value::Int(a), Value::Float(b)) => Ok((*a as f64).partial_cmp(b)),
        (Value::Float(a), Value::Int(b)) => Ok(a.partial_cmp(&(*b as f64))),
        (Value::Str(a), Value::Str(b)) => Ok(Some(a.cmp(b))),
        _ => Err(format!("a {} and a {} cannot be compared", a.kind(), b.kind())),
    }
}

fn index(value: &Value, key: &Value) -> Result<Value, String> {
    match (value, key) {
        (Value::List(list), Value::Int(at)) => {
            let item = usize::try_from(*at).ok().and_then(|at| list.get(at));
            item.cloned().ok_or_else(|| format!("index {at} is out of range: the list has {}", list.len()))
        }
        (Value::Map(map), Value::Str(key)) => Ok(map.get(&**key).cloned().unwrap_or_else(|| "".into())),
        (Value::Str(text), Value::Int(at)) => {
            let byte = usize::try_from(*at).ok().and_then(|at| text.as_bytes().get(at));
            byte.map(|byte| Value::Int((*byte).into())).ok_or_else(|| format!("index {at} is out of range"))
        }
        _ => Err(format!("a {} cannot be indexed by a {}", value.kind(), key.kind())),
    }
}

fn slice(args: &[Value]) -> Result<Value, String> {
    let bound = |at: usize, default: usize| match args.get(at) {
        None => Ok(default),
        Some(Value::Int(it)) => usize::try_from(*it).map_err(|_| format!("index {it} is out of range")),
        Some(other) => Err(format!("`slice` takes numbers, not a {}", other.kind())),
    };
    let range = |len: usize| {
        let (from, to) = (bound(1, 0)?, bound(2, len)?);
        if from <= to && to <= len {
            Ok(from..to)
        } else {
            Err(format!("{from} to {to} is out of range: the length is {len}"))
        }
    };
    match args.first() {
        Some(Value::Str(text)) => {
            let range = range(text.len())?;
            Ok(text.get(range).ok_or("this cuts a character in two")?.into())
        }
        Some(Value::List(list)) => Ok(Value::list(list[range(list.len())?].iter().cloned())),
        _ => Err("`slice` takes text or a list".to_owned()),
    }
}

fn regex(run: &mut Run<'_>, pattern: &str) -> Result<regex::Regex, String> {
    run.burn(50)?;
    if pattern.len() > PATTERN_MAX {
        return Err(format!("the regular expression is longer than {PATTERN_MAX} bytes"));
    }
    let built = regex::RegexBuilder::new(pattern).size_limit(1 << 20).dfa_size_limit(4 << 20).build();
    built.map_err(|_| format!("`{pattern}` is not a regular expression"))
}

fn re_replace(run: &mut Run<'_>, pattern: &str, with: &str, subject: &str) -> Result<Value, String> {
    let regex = regex(run, pattern)?;
    let mut out = Output::default();
    let mut from = 0;
    for captures in regex.captures_iter(subject) {
        let all = captures.get(0).map_or(0..0, |it| it.range());
        out.push(&subject[from..all.start]).map_err(long)?;
        let mut expanded = String::new();
        captures.expand(with, &mut expanded);
        out.push(&expanded).map_err(long)?;
        from = all.end;
    }
    out.push(&subject[from..]).map_err(long)?;
    Ok(out.text.into())
}

fn replaced(text: &str, with: impl Fn(char) -> Option<&'static str>) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match with(c) {
            Some(replacement) => out.push_str(replacement),
            None => out.push(c),
        }
    }
    out
}

/// Go's `strings.Title`: the first letter of each word in upper case.
fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut inside = false;
    for c in text.chars() {
        if inside {
            out.push(c)
        } else {
            out.extend(c.to_uppercase())
        }
        inside = c.is_alphanumeric() || matches!(c, '_' | '\'');
    }
    out
}

/// As Go's `url.QueryEscape`.
pub(crate) fn query_escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' ' => out.push('+'),
            b'-' | b'_' | b'.' | b'~' => out.push(byte.into()),
            _ if byte.is_ascii_alphanumeric() => out.push(byte.into()),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

fn query_unescape(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
                let pair = digit(rest.next()).zip(digit(rest.next()));
                let (high, low) = pair.ok_or("this is not URL-escaped")?;
                (high * 16 + low) as u8
            }
            other => other,
        });
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn json(out: &mut Output, value: &Value) -> Result<(), TooLong> {
    match value {
        Value::Null => out.push("null"),
        Value::Bool(_) | Value::Int(_) | Value::Duration(_) => match value {
            Value::Duration(nanos) => out.push(&nanos.to_string()),
            other => out.value(other),
        },
        Value::Float(it) if it.is_finite() => out.push(&number::general(*it, None)),
        Value::Float(_) => out.push("null"),
        Value::Str(text) | Value::Histogram(_, text) => json_text(out, text),
        Value::Time(at) => json_text(out, &time_format::layout(at, "2006-01-02T15:04:05.999999999Z07:00")),
        Value::List(list) => {
            out.push("[")?;
            for (at, item) in list.iter().enumerate() {
                out.push(if at > 0 { "," } else { "" })?;
                json(out, item)?;
            }
            out.push("]")
        }
        Value::Map(map) | Value::Record(map) => {
            out.push("{")?;
            for (at, (name, item)) in map.iter().enumerate() {
                out.push(if at > 0 { "," } else { "" })?;
                json_text(out, name)?;
                out.push(":")?;
                json(out, item)?;
            }
            out.push("}")
        }
    }
}

fn json_text(out: &mut Output, text: &str) -> Result<(), TooLong> {
    out.push("\"")?;
    for c in text.chars() {
        match c {
            '"' => out.push("\\\"")?,
            '\\' => out.push("\\\\")?,
            '\n' => out.push("\\n")?,
            '\r' => out.push("\\r")?,
            '\t' => out.push("\\t")?,
            // As Go's encoder, so that the text is safe within a page too.
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => out.push(&format!("\\u{:04x}", c as u32))?,
            c if (c as u32) < 0x20 => out.push(&format!("\\u{:04x}", c as u32))?,
            c => out.push(c.encode_utf8(&mut [0; 4]))?,
        }
    }
    out.push("\"")
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn base64_encode(bytes: &[u8]) -> String {
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for at in 0..4 {
            let six = (bits >> (18 - 6 * at)) & 63;
            out.push(if at <= chunk.len() { BASE64[six as usize].into() } else { '=' });
        }
    }
    out
}

fn base64_decode(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let (mut bits, mut count) = (0u32, 0);
    for byte in text.trim_end_matches('=').bytes().filter(|byte| !matches!(byte, b'\r' | b'\n')) {
        bits = bits << 6 | BASE64.iter().position(|it| *it == byte)? as u32;
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    Some(out)
}
