//! The shape of an expression. Every node knows the bytes it was read from.
//!
//! A new kind of expression is one variant of [`Node`]; the compiler then asks for its type, its text and its value.

use watchbell_model::{Labels, Matcher, Timestamp};

use super::functions::{Function, ValueType};

/// Bytes `start..end` of the text an expression was read from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TextSpan {
    /// First byte.
    pub start: usize,
    /// Byte after the last.
    pub end: usize,
}

impl TextSpan {
    /// From the start of one to the end of the other.
    pub fn to(self, end: TextSpan) -> TextSpan {
        TextSpan { start: self.start, end: end.end }
    }
}

/// An expression and where it stands.
#[derive(Clone, Debug)]
pub struct Expr {
    /// What it is.
    pub node: Node,
    /// Where it was read.
    pub span: TextSpan,
}

/// What an expression is.
#[derive(Clone, Debug)]
pub enum Node {
    /// A number, or a duration in its place (`5m` is 300).
    Number {
        /// The value, of durations in seconds.
        value: f64,
        /// Whether it was written as a duration, and is printed as one.
        duration: bool,
    },
    /// A string.
    Text(String),
    /// The newest sample of each series.
    Selector(Selector),
    /// The samples of each series in a range of time.
    Range {
        /// Which series; its anchor and offset belong to the range.
        selector: Selector,
        /// How long the range is.
        range: Length,
    },
    /// An expression evaluated at steps of its own over a range of time.
    Subquery(Subquery),
    /// A function of arguments.
    Call {
        /// Which.
        function: &'static Function,
        /// Its arguments.
        arguments: Vec<Expr>,
    },
    /// A vector made smaller over groups of labels.
    Aggregate(Aggregation),
    /// Two operands and an operator.
    Binary {
        /// Which operator.
        op: BinaryOp,
        /// Whether a comparison answers 0 or 1 rather than filter.
        return_bool: bool,
        /// How elements of two vectors find each other; meaningless when an operand is a scalar.
        matching: Matching,
        /// Left operand.
        left: Box<Expr>,
        /// Right operand.
        right: Box<Expr>,
    },
    /// A sign before an operand.
    Unary {
        /// Whether it is a minus; a plus changes nothing.
        minus: bool,
        /// The operand.
        operand: Box<Expr>,
    },
    /// An expression in parentheses.
    Paren(Box<Expr>),
}

/// Which series, and of when.
#[derive(Clone, Debug)]
pub struct Selector {
    /// The metric's name, when it stands before the braces.
    pub name: Option<String>,
    /// The conditions in the braces.
    pub matchers: Vec<Matcher>,
    /// The moment asked for in place of that of the evaluation: `@`.
    pub at: Option<Anchor>,
    /// How far back to look: `offset`.
    pub offset: Option<Length>,
    /// Whether samples beyond the range are looked at: `anchored`, `smoothed`.
    pub reach: Option<Reach>,
}

impl Selector {
    /// The conditions, the one on the name among them.
    pub fn all_matchers(&self) -> Vec<Matcher> {
        let name = self.name.iter().map(|name| Matcher::equal(Labels::NAME, name.as_str()));
        self.matchers.iter().cloned().chain(name).collect()
    }
}

/// How far beyond a range samples are looked at, so that nothing between two ranges is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// `anchored`: the last sample before the range stands for its start.
    Anchored,
    /// `smoothed`: values at both ends lie on the line between the samples around them.
    Smoothed,
}

impl Reach {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Reach::Anchored => "anchored",
            Reach::Smoothed => "smoothed",
        }
    }
}

/// The operand of `@`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// A fixed moment.
    Time(Timestamp),
    /// `start()`: of the whole query's range.
    Start,
    /// `end()`: of the whole query's range.
    End,
}

/// `inner[range:step] @ at offset offset`.
#[derive(Clone, Debug)]
pub struct Subquery {
    /// What is evaluated at each step.
    pub inner: Box<Expr>,
    /// How long the range is.
    pub range: Length,
    /// From one evaluation to the next; the engine's default when it is not written.
    pub step: Option<Length>,
    /// The end of the range, in place of the moment of the evaluation.
    pub at: Option<Anchor>,
    /// How far back the range ends.
    pub offset: Option<Length>,
}

/// A length of time: written out, or computed when the query's range and step are known.
#[derive(Clone, Debug)]
pub struct Length {
    /// How it is made.
    pub node: LengthNode,
    /// Where it stands.
    pub span: TextSpan,
}

/// How a [`Length`] is made.
#[derive(Clone, Debug)]
pub enum LengthNode {
    /// Seconds, printed as a duration or as a plain number.
    Seconds {
        /// The value in seconds.
        value: f64,
        /// Whether it was written as a duration.
        duration: bool,
    },
    /// `step()`: of the whole query; 0 for an instant query.
    Step,
    /// `range()`: from the start of the whole query to its end.
    Range,
    /// A minus before it.
    Minus(Box<Length>),
    /// Parentheses around it.
    Paren(Box<Length>),
    /// `min_of(a, b)`.
    Least(Box<Length>, Box<Length>),
    /// `max_of(a, b)`.
    Most(Box<Length>, Box<Length>),
    /// Arithmetic.
    Arithmetic(BinaryOp, Box<Length>, Box<Length>),
}

/// `op by (labels) (parameter, inner)`.
#[derive(Clone, Debug)]
pub struct Aggregation {
    /// Which operator.
    pub op: Aggregator,
    /// Which elements fall together.
    pub grouping: Grouping,
    /// The number of `topk`, the quantile of `quantile`, the label of `count_values`.
    pub parameter: Option<Box<Expr>>,
    /// What is aggregated.
    pub inner: Box<Expr>,
}

/// Which elements of a vector fall into one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grouping {
    /// Those with the same values of these labels; of none: all.
    By(Vec<String>),
    /// Those with the same values of all other labels.
    Without(Vec<String>),
}

/// How elements of two vectors find each other.
#[derive(Clone, Debug, PartialEq)]
pub struct Matching {
    /// Whether `labels` are those compared (`on`) rather than those left out (`ignoring`).
    pub on: bool,
    /// The labels of `on` or `ignoring`.
    pub labels: Vec<String>,
    /// Whether `on` or `ignoring` was written, maybe with no label in it.
    pub written: bool,
    /// How many elements of each side may meet.
    pub cardinality: Cardinality,
    /// Labels of `group_left` or `group_right`, taken over from the side that has one element.
    pub include: Vec<String>,
    /// `fill_left`: the value of an element missing on the left.
    ///
    /// With `group_right`, that of one missing on the right, as in Prometheus: the sides are swapped before filling.
    pub fill_left: Option<f64>,
    /// `fill_right`: the value of an element missing on the right, or with `group_right` on the left.
    pub fill_right: Option<f64>,
}

/// How many elements of each side may meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cardinality {
    /// One and one.
    OneToOne,
    /// `group_left`: many on the left.
    ManyToOne,
    /// `group_right`: many on the right.
    OneToMany,
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$variant_doc])* $variant,)* }

        impl $name {
            /// As it is written.
            pub fn as_str(self) -> &'static str {
                match self { $($name::$variant => $text,)* }
            }

            pub(super) fn from_word(word: &str) -> Option<$name> {
                match word { $($text => Some($name::$variant),)* _ => None }
            }
        }
    };
}

words! {
    /// A binary operator.
    BinaryOp {
        /// Sum.
        Add = "+",
        /// Difference.
        Sub = "-",
        /// Product.
        Mul = "*",
        /// Quotient.
        Div = "/",
        /// Remainder with the sign of the dividend.
        Mod = "%",
        /// Power.
        Pow = "^",
        /// Angle of a point.
        Atan2 = "atan2",
        /// Equal.
        Equal = "==",
        /// Not equal.
        NotEqual = "!=",
        /// Less.
        Less = "<",
        /// Less or equal.
        AtMost = "<=",
        /// Greater.
        Greater = ">",
        /// Greater or equal.
        AtLeast = ">=",
        /// A histogram without its observations above a value.
        TrimUpper = "</",
        /// A histogram without its observations below a value.
        TrimLower = ">/",
        /// What is left with a match on the right.
        And = "and",
        /// What is left, and what is right without a match on the left.
        Or = "or",
        /// What is left without a match on the right.
        Unless = "unless",
    }
}

impl BinaryOp {
    /// Whether it compares.
    pub fn is_comparison(self) -> bool {
        use BinaryOp::{AtLeast, AtMost, Equal, Greater, Less, NotEqual};
        matches!(self, Equal | NotEqual | Less | AtMost | Greater | AtLeast)
    }

    /// Whether it works on sets of elements rather than on their values.
    pub fn is_set(self) -> bool {
        matches!(self, BinaryOp::And | BinaryOp::Or | BinaryOp::Unless)
    }

    /// Whether it trims histograms.
    pub fn is_trim(self) -> bool {
        matches!(self, BinaryOp::TrimUpper | BinaryOp::TrimLower)
    }

    /// How tightly it binds; larger is tighter.
    pub(super) fn precedence(self) -> u8 {
        match self {
            BinaryOp::Or => 1,
            BinaryOp::And | BinaryOp::Unless => 2,
            _ if self.is_comparison() || self.is_trim() => 3,
            BinaryOp::Add | BinaryOp::Sub => 4,
            BinaryOp::Pow => 6,
            _ => 5,
        }
    }
}

words! {
    /// An aggregation operator.
    Aggregator {
        /// Sum of values.
        Sum = "sum",
        /// Mean of values.
        Avg = "avg",
        /// Number of elements.
        Count = "count",
        /// Smallest value.
        Min = "min",
        /// Largest value.
        Max = "max",
        /// 1 for each group.
        Group = "group",
        /// Standard deviation of the population.
        Stddev = "stddev",
        /// Variance of the population.
        Stdvar = "stdvar",
        /// The elements with the largest values.
        Topk = "topk",
        /// The elements with the smallest values.
        Bottomk = "bottomk",
        /// A quantile of the values.
        Quantile = "quantile",
        /// How often each value occurs.
        CountValues = "count_values",
        /// The first elements.
        Limitk = "limitk",
        /// A share of the elements, the same ones each time.
        LimitRatio = "limit_ratio",
    }
}

impl Aggregator {
    /// Whether a parameter stands before the vector, and of which type.
    pub fn parameter(self) -> Option<ValueType> {
        use Aggregator::{Bottomk, CountValues, LimitRatio, Limitk, Quantile, Topk};
        match self {
            Topk | Bottomk | Quantile | Limitk | LimitRatio => Some(ValueType::Scalar),
            CountValues => Some(ValueType::String),
            _ => None,
        }
    }
}

impl Expr {
    /// What evaluating it gives.
    pub fn value_type(&self) -> ValueType {
        match &self.node {
            Node::Number { .. } => ValueType::Scalar,
            Node::Text(_) => ValueType::String,
            Node::Selector(_) | Node::Aggregate(_) => ValueType::Vector,
            Node::Range { .. } | Node::Subquery(_) => ValueType::Matrix,
            Node::Call { function, .. } => function.returns,
            Node::Binary { left, right, .. } => match (left.value_type(), right.value_type()) {
                (ValueType::Scalar, ValueType::Scalar) => ValueType::Scalar,
                _ => ValueType::Vector,
            },
            Node::Unary { operand, .. } => operand.value_type(),
            Node::Paren(inner) => inner.value_type(),
        }
    }

    /// The same without parentheses around it.
    pub fn unwrapped(&self) -> &Expr {
        match &self.node {
            Node::Paren(inner) => inner.unwrapped(),
            _ => self,
        }
    }

    /// Shows this expression and then each one in it, in the order they are written.
    pub fn visit<'a>(&'a self, see: &mut impl FnMut(&'a Expr)) {
        see(self);
        self.children().into_iter().for_each(|child| child.visit(see));
    }

    /// The expressions right within this one, in the order they are written.
    pub fn children(&self) -> Vec<&Expr> {
        match &self.node {
            Node::Number { .. } | Node::Text(_) | Node::Selector(_) | Node::Range { .. } => Vec::new(),
            Node::Subquery(subquery) => vec![&*subquery.inner],
            Node::Call { arguments, .. } => arguments.iter().collect(),
            Node::Aggregate(aggregation) => {
                aggregation.parameter.iter().chain([&aggregation.inner]).map(|e| &**e).collect()
            }
            Node::Binary { left, right, .. } => vec![&**left, &**right],
            Node::Unary { operand: inner, .. } | Node::Paren(inner) => vec![&**inner],
        }
    }
}
