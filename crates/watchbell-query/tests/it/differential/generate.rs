//! Expressions at random that are of the right types.

use watchbell_query::promql::{Function, ValueType, functions};

use super::data::{BEGIN, RECORDED, SCRAPES, STEP};
use super::random::Random;

/// Metrics of plain numbers.
const NUMBERS: &[&str] = &[
    "requests_total",
    "errors_total",
    "restarting_total",
    "queue_length",
    "temperature",
    "jittery",
    "wild",
    "extreme",
    "sparse",
    "flapping",
    "constant",
    "flag",
    "born",
    "latency_seconds_sum",
    "latency_seconds_count",
    "target_info",
];
/// Metrics with native histograms in them.
const HISTOGRAMS: &[&str] = &["native_seconds", "native_gauge", "custom_seconds", "mixed_seconds"];
const LABELS: &[&str] = &["instance", "job", "code", "zone", "le", "mode", "version", "missing", "__name__"];
const MATCHERS: &[&str] = &[
    "job=\"api\"",
    "job!=\"api\"",
    "job=~\"a.*|web\"",
    "instance=~\"h[12]:1\"",
    "instance!~\"h1.*\"",
    "code=\"200\"",
    "code=~\"4..|5..\"",
    "zone=~\"c.+\"",
    "missing=\"\"",
    "missing!=\"\"",
    "job=~\".+\"",
    "instance=\"h1:1\"",
];
const NUMBERS_WRITTEN: &[&str] =
    &["0", "1", "2", "3", "-1", "0.5", "0.9", "1e3", "1.5", "10", "-0.25", "1e-3", "0x10", "Inf", "-Inf", "NaN", "100"];
const RANGES: &[&str] =
    &["15s", "16s", "30s", "45s", "1m", "90s", "2m", "5m", "7m", "12m", "20m", "250ms", "1h", "61s500ms"];

/// Functions that only versions after the peer's have.
const TOO_NEW: &[&str] = &[
    "histogram_quantiles",
    "start_timestamp",
    "start",
    "end",
    "step",
    "range",
    "min_of",
    "max_of",
    "first_over_time",
    "ts_of_first_over_time",
];

pub(super) struct Generator<'a> {
    pub(super) random: &'a mut Random,
}

impl Generator<'_> {
    /// An expression of a type that a query may have: mostly a vector.
    pub(super) fn query(&mut self, range: bool) -> String {
        match self.random.below(20) {
            0 => self.scalar(2),
            1 if !range => self.matrix(2),
            _ => self.vector(3),
        }
    }

    fn of(&mut self, kind: ValueType, depth: u32) -> String {
        match kind {
            ValueType::Scalar => self.scalar(depth),
            ValueType::Vector => self.vector(depth),
            ValueType::Matrix => self.matrix(depth),
            ValueType::String => "\"x\"".to_owned(),
        }
    }

    fn scalar(&mut self, depth: u32) -> String {
        if depth == 0 {
            return self.random.pick(NUMBERS_WRITTEN).to_owned();
        }
        match self.random.below(8) {
            0 => "time()".to_owned(),
            1 => format!("scalar({})", self.vector(depth - 1)),
            2 => format!("({} {} {})", self.scalar(depth - 1), self.arithmetic(), self.scalar(depth - 1)),
            3 => {
                let op = self.comparison();
                format!("({} {op} bool {})", self.scalar(depth - 1), self.scalar(depth - 1))
            }
            4 => "pi()".to_owned(),
            5 => format!("-{}", self.scalar(0)),
            _ => self.scalar(0),
        }
    }

    fn vector(&mut self, depth: u32) -> String {
        if depth == 0 {
            return self.selector();
        }
        match self.random.below(12) {
            0 => self.selector(),
            1..=4 => self.call(depth),
            5..=7 => self.aggregation(depth),
            8 | 9 => self.binary(depth),
            10 => match self.random.below(3) {
                0 => format!("-{}", self.selector()),
                1 => format!("({})", self.vector(depth - 1)),
                _ => self.quantile_of_classic(),
            },
            _ => self.call_over_range(depth),
        }
    }

    fn name(&mut self) -> String {
        match self.random.below(10) {
            0 | 1 => self.random.pick(HISTOGRAMS).to_owned(),
            2 => "latency_seconds_bucket".to_owned(),
            3 => self.random.pick(RECORDED).to_owned(),
            _ => self.random.pick(NUMBERS).to_owned(),
        }
    }

    fn series(&mut self) -> String {
        match self.random.below(14) {
            0 => "{__name__=~\"requests_total|errors_total\"}".to_owned(),
            1 => "{\"my.metric\", \"a.label\"=\"x y\"}".to_owned(),
            2 => "{__name__=~\"(queue_length|flag|native_seconds)\", job=\"api\"}".to_owned(),
            _ => {
                let mut matchers = Vec::new();
                for _ in 0..self.random.below(3) {
                    matchers.push(self.random.pick(MATCHERS));
                }
                let name = self.name();
                if matchers.is_empty() { name } else { format!("{name}{{{}}}", matchers.join(",")) }
            }
        }
    }

    fn moved(&mut self) -> String {
        let at = match self.random.below(14) {
            0 => " @ start()".to_owned(),
            1 => " @ end()".to_owned(),
            2 => {
                let at = BEGIN + self.random.below((SCRAPES * STEP) as u64) as i64;
                format!(" @ {}.{:03}", at / 1000, at % 1000)
            }
            _ => String::new(),
        };
        let offset = match self.random.below(8) {
            0 => format!(" offset {}", self.random.pick(RANGES)),
            1 => format!(" offset -{}", self.random.pick(RANGES)),
            _ => String::new(),
        };
        if self.random.once_in(2) { format!("{at}{offset}") } else { format!("{offset}{at}") }
    }

    fn selector(&mut self) -> String {
        format!("{}{}", self.series(), self.moved())
    }

    fn length(&mut self) -> String {
        match self.random.below(12) {
            0 => "1m + 30s".to_owned(),
            1 => "2 * 2m".to_owned(),
            2 => "90".to_owned(),
            _ => self.random.pick(RANGES).to_owned(),
        }
    }

    fn matrix(&mut self, depth: u32) -> String {
        if depth > 0 && self.random.once_in(4) {
            let step = self.random.pick(&["", "15s", "1m", "40s", "7s"]);
            let inner = self.vector(depth - 1);
            let range = self.random.pick(&["1m", "3m", "10m", "95s"]);
            return format!("({inner})[{range}:{step}]{}", self.moved());
        }
        format!("{}[{}]{}", self.series(), self.length(), self.moved())
    }

    fn call_over_range(&mut self, depth: u32) -> String {
        let over: Vec<&'static Function> = functions()
            .iter()
            .filter(|it| it.arguments.contains(&ValueType::Matrix) && !TOO_NEW.contains(&it.name))
            .collect();
        let function = over[self.random.below(over.len() as u64) as usize];
        // The ones people use come up more often.
        let name =
            if self.random.once_in(3) { self.random.pick(&["rate", "increase", "delta"]) } else { function.name };
        let function = Function::of(name).expect("it is one of them");
        self.arguments(function, depth)
    }

    fn call(&mut self, depth: u32) -> String {
        if self.random.once_in(2) {
            return self.call_over_range(depth);
        }
        let all: Vec<&'static Function> =
            functions().iter().filter(|it| it.returns == ValueType::Vector && !TOO_NEW.contains(&it.name)).collect();
        let function = all[self.random.below(all.len() as u64) as usize];
        self.arguments(function, depth)
    }

    fn arguments(&mut self, function: &'static Function, depth: u32) -> String {
        let inner = depth - 1;
        let name = function.name;
        match name {
            "label_replace" => {
                let target = self.random.pick(&["zone", "job", "made", "__name__"]);
                let text = self.random.pick(&["$1", "x-${1}", "", "fixed", "$0$2"]);
                let source = self.random.pick(LABELS);
                let pattern = self.random.pick(&["(.*)", "(.).*", "h(.):(.)", "", "a.*", "(?i:API)"]);
                return format!(
                    "label_replace({}, \"{target}\", \"{text}\", \"{source}\", \"{pattern}\")",
                    self.vector(inner)
                );
            }
            "label_join" => {
                let target = self.random.pick(&["zone", "made", "job"]);
                let (a, b) = (self.random.pick(LABELS), self.random.pick(LABELS));
                return format!("label_join({}, \"{target}\", \"-\", \"{a}\", \"{b}\")", self.vector(inner));
            }
            "sort_by_label" | "sort_by_label_desc" => {
                let label = self.random.pick(LABELS);
                return format!("{name}({}, \"{label}\", \"instance\")", self.vector(inner));
            }
            "info" => {
                let more = self.random.pick(&[
                    "",
                    ", {version=~\".+\"}",
                    ", {__name__=\"build_info\"}",
                    ", {version=\"1.2\"}",
                ]);
                return format!("info({}{more})", self.vector(inner));
            }
            "histogram_quantile" => {
                let quantile = self.scalar(0);
                return format!("histogram_quantile({quantile}, {})", self.histogram(inner));
            }
            "histogram_fraction" => {
                let (low, high) = (self.scalar(0), self.scalar(0));
                return format!("histogram_fraction({low}, {high}, {})", self.histogram(inner));
            }
            _ if name.starts_with("histogram_") => return format!("{name}({})", self.histogram(inner)),
            "double_exponential_smoothing" => {
                let (a, b) = (self.random.pick(&["0.1", "0.5", "0.9"]), self.random.pick(&["0.1", "0.7"]));
                return format!("{name}({}, {a}, {b})", self.matrix(inner));
            }
            _ => {}
        }
        let most = function.arguments_max.min(3);
        let many = function.arguments_min
            + self.random.below((most.max(function.arguments_min) - function.arguments_min + 1) as u64) as usize;
        let arguments: Vec<String> = (0..many).map(|at| self.of(function.argument(at), inner)).collect();
        format!("{name}({})", arguments.join(", "))
    }

    /// Mostly something with histograms in it.
    fn histogram(&mut self, depth: u32) -> String {
        match self.random.below(6) {
            0 => self.vector(depth),
            1 => self.random.pick(HISTOGRAMS).to_owned(),
            2 => format!("rate({}[{}])", self.random.pick(HISTOGRAMS), self.random.pick(RANGES)),
            3 => format!("sum(rate({}[{}]))", self.random.pick(HISTOGRAMS), self.random.pick(RANGES)),
            4 => "latency_seconds_bucket".to_owned(),
            _ => format!("sum by (le) (rate(latency_seconds_bucket[{}]))", self.random.pick(RANGES)),
        }
    }

    fn quantile_of_classic(&mut self) -> String {
        let (q, range) = (self.random.pick(&["0.5", "0.9", "0.99"]), self.random.pick(RANGES));
        format!("histogram_quantile({q}, sum by (job, le) (rate(latency_seconds_bucket[{range}])))")
    }

    fn label_list(&mut self, most: u64) -> String {
        let many = self.random.below(most + 1);
        let labels: Vec<&str> = (0..many).map(|_| self.random.pick(LABELS)).collect();
        labels.join(", ")
    }

    fn aggregation(&mut self, depth: u32) -> String {
        let op = self.random.pick(&[
            "sum",
            "sum",
            "avg",
            "count",
            "min",
            "max",
            "group",
            "stddev",
            "stdvar",
            "topk",
            "bottomk",
            "quantile",
            "count_values",
            "limitk",
            "limit_ratio",
        ]);
        let grouping = match self.random.below(3) {
            0 => String::new(),
            1 => format!(" by ({})", self.label_list(3)),
            _ => format!(" without ({})", self.label_list(3)),
        };
        let parameter = match op {
            "topk" | "bottomk" | "limitk" => format!("{}, ", self.random.pick(&["0", "1", "2", "3", "1.9", "100"])),
            "quantile" => format!("{}, ", self.scalar(1)),
            "limit_ratio" => format!("{}, ", self.random.pick(&["0.5", "-0.5", "0", "1", "0.1", "-1"])),
            "count_values" => "\"value\", ".to_owned(),
            _ => String::new(),
        };
        format!("{op}{grouping} ({parameter}{})", self.vector(depth - 1))
    }

    fn arithmetic(&mut self) -> &'static str {
        self.random.pick(&["+", "-", "*", "/", "%", "^", "atan2"])
    }

    fn comparison(&mut self) -> &'static str {
        self.random.pick(&["==", "!=", "<", "<=", ">", ">="])
    }

    fn binary(&mut self, depth: u32) -> String {
        let (left, right) = (self.vector(depth - 1), self.vector(depth - 1));
        let matching = match self.random.below(6) {
            0 => format!(" on ({})", self.label_list(2)),
            1 => format!(" ignoring ({})", self.label_list(2)),
            2 => " ignoring (code, zone, le, mode)".to_owned(),
            3 => " on (instance, job)".to_owned(),
            _ => String::new(),
        };
        match self.random.below(10) {
            0..=2 => {
                let op = self.random.pick(&["and", "or", "unless"]);
                format!("({left} {op}{matching} {right})")
            }
            3 | 4 => {
                let (op, scalar) = (self.arithmetic(), self.scalar(depth - 1));
                if self.random.once_in(2) {
                    format!("({left} {op} {scalar})")
                } else {
                    format!("({scalar} {op} {left})")
                }
            }
            5 => {
                let bool = if self.random.once_in(2) { " bool" } else { "" };
                let (op, scalar) = (self.comparison(), self.scalar(depth - 1));
                if self.random.once_in(2) {
                    format!("({left} {op}{bool} {scalar})")
                } else {
                    format!("({scalar} {op}{bool} {left})")
                }
            }
            6 if !matching.is_empty() => {
                let side = self.random.pick(&["group_left", "group_right"]);
                let include = self.random.pick(&["", " (version)", " (code, missing)"]);
                let op = if self.random.once_in(3) { self.comparison() } else { self.arithmetic() };
                format!("({left} {op}{matching} {side}{include} {right})")
            }
            7 => {
                let bool = if self.random.once_in(2) { " bool" } else { "" };
                format!("({left} {}{bool}{matching} {right})", self.comparison())
            }
            8 => {
                // One and the same on both sides meets for certain.
                format!("({left} {} {left})", self.arithmetic())
            }
            _ => format!("({left} {}{matching} {right})", self.arithmetic()),
        }
    }
}
