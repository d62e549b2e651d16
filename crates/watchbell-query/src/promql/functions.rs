//! The functions of the language: names, arguments, results.

use std::fmt;

/// What an expression is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueType {
    /// One number.
    Scalar,
    /// One sample of each series.
    Vector,
    /// Many samples of each series.
    Matrix,
    /// A text.
    String,
}

/// As the documentation of PromQL calls it.
impl fmt::Display for ValueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ValueType::Scalar => "scalar",
            ValueType::Vector => "instant vector",
            ValueType::Matrix => "range vector",
            ValueType::String => "string",
        })
    }
}

/// The signature of a function.
#[derive(Debug, PartialEq, Eq)]
pub struct Function {
    /// As it is written.
    pub name: &'static str,
    /// Types of the arguments in order; the last one holds for all that follow.
    pub arguments: &'static [ValueType],
    /// How many arguments it takes at least.
    pub arguments_min: usize,
    /// How many arguments it takes at most.
    pub arguments_max: usize,
    /// What it gives.
    pub returns: ValueType,
}

impl Function {
    /// The function of a name.
    pub fn of(name: &str) -> Option<&'static Function> {
        FUNCTIONS.binary_search_by(|function| function.name.cmp(name)).ok().map(|at| &FUNCTIONS[at])
    }

    /// The type of the argument at a place.
    pub fn argument(&self, at: usize) -> ValueType {
        self.arguments[at.min(self.arguments.len() - 1)]
    }
}

/// All functions, by name.
pub fn functions() -> &'static [Function] {
    FUNCTIONS
}

/// More arguments than anybody writes: where a function takes as many as one likes.
const MANY: usize = 1000;

const S: ValueType = ValueType::Scalar;
const V: ValueType = ValueType::Vector;
const M: ValueType = ValueType::Matrix;
const T: ValueType = ValueType::String;

const fn fixed(name: &'static str, arguments: &'static [ValueType], returns: ValueType) -> Function {
    Function { name, arguments, arguments_min: arguments.len(), arguments_max: arguments.len(), returns }
}

const fn between(name: &'static str, arguments: &'static [ValueType], min: usize, max: usize) -> Function {
    Function { name, arguments, arguments_min: min, arguments_max: max, returns: V }
}

/// Sorted by name, for the search in it.
static FUNCTIONS: &[Function] = &[
    fixed("abs", &[V], V),
    fixed("absent", &[V], V),
    fixed("absent_over_time", &[M], V),
    fixed("acos", &[V], V),
    fixed("acosh", &[V], V),
    fixed("asin", &[V], V),
    fixed("asinh", &[V], V),
    fixed("atan", &[V], V),
    fixed("atanh", &[V], V),
    fixed("avg_over_time", &[M], V),
    fixed("ceil", &[V], V),
    fixed("changes", &[M], V),
    fixed("clamp", &[V, S, S], V),
    fixed("clamp_max", &[V, S], V),
    fixed("clamp_min", &[V, S], V),
    fixed("cos", &[V], V),
    fixed("cosh", &[V], V),
    fixed("count_over_time", &[M], V),
    between("day_of_month", &[V], 0, 1),
    between("day_of_week", &[V], 0, 1),
    between("day_of_year", &[V], 0, 1),
    between("days_in_month", &[V], 0, 1),
    fixed("deg", &[V], V),
    fixed("delta", &[M], V),
    fixed("deriv", &[M], V),
    fixed("double_exponential_smoothing", &[M, S, S], V),
    fixed("end", &[], S),
    fixed("exp", &[V], V),
    fixed("first_over_time", &[M], V),
    fixed("floor", &[V], V),
    fixed("histogram_avg", &[V], V),
    fixed("histogram_count", &[V], V),
    fixed("histogram_fraction", &[S, S, V], V),
    fixed("histogram_quantile", &[S, V], V),
    between("histogram_quantiles", &[V, T, S], 3, 12),
    fixed("histogram_stddev", &[V], V),
    fixed("histogram_stdvar", &[V], V),
    fixed("histogram_sum", &[V], V),
    between("hour", &[V], 0, 1),
    fixed("idelta", &[M], V),
    fixed("increase", &[M], V),
    between("info", &[V], 1, 2),
    fixed("irate", &[M], V),
    between("label_join", &[V, T, T, T], 3, MANY),
    fixed("label_replace", &[V, T, T, T, T], V),
    fixed("last_over_time", &[M], V),
    fixed("ln", &[V], V),
    fixed("log10", &[V], V),
    fixed("log2", &[V], V),
    fixed("mad_over_time", &[M], V),
    fixed("max_of", &[S, S], S),
    fixed("max_over_time", &[M], V),
    fixed("min_of", &[S, S], S),
    fixed("min_over_time", &[M], V),
    between("minute", &[V], 0, 1),
    between("month", &[V], 0, 1),
    fixed("pi", &[], S),
    fixed("predict_linear", &[M, S], V),
    fixed("present_over_time", &[M], V),
    fixed("quantile_over_time", &[S, M], V),
    fixed("rad", &[V], V),
    fixed("range", &[], S),
    fixed("rate", &[M], V),
    fixed("resets", &[M], V),
    between("round", &[V, S], 1, 2),
    fixed("scalar", &[V], S),
    fixed("sgn", &[V], V),
    fixed("sin", &[V], V),
    fixed("sinh", &[V], V),
    fixed("sort", &[V], V),
    between("sort_by_label", &[V, T], 1, MANY),
    between("sort_by_label_desc", &[V, T], 1, MANY),
    fixed("sort_desc", &[V], V),
    fixed("sqrt", &[V], V),
    fixed("start", &[], S),
    fixed("start_timestamp", &[V], V),
    fixed("stddev_over_time", &[M], V),
    fixed("stdvar_over_time", &[M], V),
    fixed("step", &[], S),
    fixed("sum_over_time", &[M], V),
    fixed("tan", &[V], V),
    fixed("tanh", &[V], V),
    fixed("time", &[], S),
    fixed("timestamp", &[V], V),
    fixed("ts_of_first_over_time", &[M], V),
    fixed("ts_of_last_over_time", &[M], V),
    fixed("ts_of_max_over_time", &[M], V),
    fixed("ts_of_min_over_time", &[M], V),
    fixed("vector", &[S], V),
    between("year", &[V], 0, 1),
];
