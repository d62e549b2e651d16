//! Tokens to an expression: recursive descent with precedence climbing.
//!
//! From loose to tight: `or`; `and unless`; comparisons; `+ -`; `* / % atan2`; a sign; `^`, which alone groups from
//! the right; then what follows an operand: `[range]`, `@`, `offset`.

mod length;

use watchbell_model::{MatchOp, Matcher, Timestamp};

use super::ast::{
    Aggregation, Aggregator, Anchor, BinaryOp, Cardinality, Expr, Grouping, Length, LengthNode, Matching, Node, Reach,
    Selector, Subquery, TextSpan,
};
use super::error::ParseError;
use super::functions::{Function, functions};
use super::lex::{Token, tokens};
use super::raw::is_utf8;
use super::{NESTING_MAX, OPERATORS_MAX, TEXT_BYTES_MAX};

/// Reads an expression; types are not looked at.
pub(super) fn expression(text: &str) -> Result<Expr, ParseError> {
    let whole = TextSpan { start: 0, end: text.len() };
    if text.len() > TEXT_BYTES_MAX {
        return Err(ParseError::at(text, whole, format!("an expression may have at most {TEXT_BYTES_MAX} bytes")));
    }
    let mut parser = Parser { text, tokens: tokens(text)?, at: 0, depth: 0, operators: 0 };
    if parser.peek() == &Token::End {
        return Err(ParseError::at(text, whole, "there is no expression").hint("write one, such as `up == 0`"));
    }
    let expr = parser.binary(0)?;
    match parser.peek() {
        Token::End => Ok(expr),
        _ => Err(parser.unexpected("an operator or the end of the expression belongs here")),
    }
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<(Token, TextSpan)>,
    at: usize,
    depth: usize,
    operators: usize,
}

impl Parser<'_> {
    fn peek(&self) -> &Token {
        &self.tokens[self.at].0
    }

    fn peek_second(&self) -> &Token {
        &self.tokens[(self.at + 1).min(self.tokens.len() - 1)].0
    }

    fn span(&self) -> TextSpan {
        self.tokens[self.at].1
    }

    /// The span from a start to the last token taken.
    fn since(&self, start: usize) -> TextSpan {
        TextSpan { start, end: self.tokens[self.at.saturating_sub(1)].1.end }
    }

    fn advance(&mut self) -> Token {
        let token = self.tokens[self.at].0.clone();
        self.at = (self.at + 1).min(self.tokens.len() - 1);
        token
    }

    fn is_symbol(&self, symbol: &str) -> bool {
        matches!(self.peek(), Token::Symbol(have) if *have == symbol)
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(self.peek(), Token::Word(have) if have.eq_ignore_ascii_case(word))
    }

    fn take_symbol(&mut self, symbol: &str) -> bool {
        let found = self.is_symbol(symbol);
        if found {
            self.advance();
        }
        found
    }

    fn take_word(&mut self, word: &str) -> bool {
        let found = self.is_word(word);
        if found {
            self.advance();
        }
        found
    }

    fn expect(&mut self, symbol: &'static str, why: &str) -> Result<(), ParseError> {
        if self.take_symbol(symbol) { Ok(()) } else { Err(self.unexpected(&format!("`{symbol}` belongs here {why}"))) }
    }

    fn refuse(&self, span: TextSpan, message: impl Into<String>) -> ParseError {
        ParseError::at(self.text, span, message)
    }

    fn unexpected(&self, hint: &str) -> ParseError {
        let message = match self.peek() {
            Token::End => "the expression ends too early".to_owned(),
            _ => format!("unexpected `{}`", &self.text[self.span().start..self.span().end]),
        };
        self.refuse(self.span(), message).hint(hint)
    }

    fn deeper(&mut self) -> Result<(), ParseError> {
        self.depth += 1;
        if self.depth > NESTING_MAX {
            return Err(self.refuse(self.span(), format!("expressions may be nested at most {NESTING_MAX} deep")));
        }
        Ok(())
    }

    /// A chain of operators is as deep a tree as nested parentheses are.
    fn count_operator(&mut self) -> Result<(), ParseError> {
        self.operators += 1;
        match self.operators > OPERATORS_MAX {
            true => Err(self.refuse(self.span(), format!("an expression may have at most {OPERATORS_MAX} operators"))),
            false => Ok(()),
        }
    }

    /// An expression of operators that bind at least as tightly as `precedence_min`.
    fn binary(&mut self, precedence_min: u8) -> Result<Expr, ParseError> {
        self.deeper()?;
        let mut left = self.unary()?;
        while let Some(op) = self.operator()?.filter(|op| op.precedence() >= precedence_min) {
            let precedence = op.precedence();
            self.count_operator()?;
            self.advance();
            let (return_bool, matching) = self.modifiers()?;
            // The power groups from the right: what follows may bind as tightly.
            let right = self.binary(if op == BinaryOp::Pow { precedence } else { precedence + 1 })?;
            let span = left.span.to(right.span);
            let (left_side, right) = (Box::new(left), Box::new(right));
            left = Expr { node: Node::Binary { op, return_bool, matching, left: left_side, right }, span };
        }
        self.depth -= 1;
        Ok(left)
    }

    fn operator(&self) -> Result<Option<BinaryOp>, ParseError> {
        match self.peek() {
            Token::Symbol("=") => {
                Err(self.refuse(self.span(), "`=` does not compare").hint("write `==` to compare values"))
            }
            Token::Symbol(symbol) => Ok(BinaryOp::from_word(symbol)),
            Token::Word(word) => Ok(BinaryOp::from_word(&word.to_ascii_lowercase())),
            _ => Ok(None),
        }
    }

    fn modifiers(&mut self) -> Result<(bool, Matching), ParseError> {
        let return_bool = self.take_word("bool");
        let mut matching = Matching {
            on: false,
            labels: Vec::new(),
            written: false,
            cardinality: Cardinality::OneToOne,
            include: Vec::new(),
            fill_left: None,
            fill_right: None,
        };
        if self.is_word("on") || self.is_word("ignoring") {
            matching.on = self.is_word("on");
            matching.written = true;
            self.advance();
            matching.labels = self.labels()?;
        }
        if self.is_word("group_left") || self.is_word("group_right") {
            if !matching.written {
                return Err(self.unexpected("write `on (…)` or `ignoring (…)` before it"));
            }
            let left = self.is_word("group_left");
            self.advance();
            matching.cardinality = if left { Cardinality::ManyToOne } else { Cardinality::OneToMany };
            if self.is_symbol("(") {
                matching.include = self.labels()?;
            }
        }
        // `fill` may also be a metric.
        while let (Token::Word(word), Token::Symbol("(")) = (self.peek(), self.peek_second()) {
            let (left, right) = match word.to_ascii_lowercase().as_str() {
                "fill" => (true, true),
                "fill_left" => (true, false),
                "fill_right" => (false, true),
                _ => break,
            };
            if (left && matching.fill_left.is_some()) || (right && matching.fill_right.is_some()) {
                return Err(self.unexpected("a side is filled once"));
            }
            self.advance();
            let value = Some(self.fill_value()?);
            matching.fill_left = if left { value } else { matching.fill_left };
            matching.fill_right = if right { value } else { matching.fill_right };
        }
        Ok((return_bool, matching))
    }

    fn fill_value(&mut self) -> Result<f64, ParseError> {
        self.expect("(", "before the value")?;
        let minus = self.is_symbol("-");
        if minus || self.is_symbol("+") {
            self.advance();
        }
        let value = match self.peek() {
            Token::Number(value) | Token::Duration(value) => *value,
            Token::Word(word) if word.eq_ignore_ascii_case("inf") => f64::INFINITY,
            Token::Word(word) if word.eq_ignore_ascii_case("nan") => f64::NAN,
            _ => return Err(self.unexpected("a number belongs here")),
        };
        self.advance();
        self.expect(")", "after the value")?;
        Ok(if minus { -value } else { value })
    }

    fn labels(&mut self) -> Result<Vec<String>, ParseError> {
        self.expect("(", "before the labels")?;
        let mut labels = Vec::new();
        while !self.take_symbol(")") {
            match self.peek() {
                Token::Word(word) if !word.contains(':') => labels.push(word.clone()),
                Token::Text(text) if !text.is_empty() && is_utf8(text) => labels.push(text.clone()),
                _ => return Err(self.unexpected("a label's name or `)` belongs here")),
            }
            self.advance();
            if !self.take_symbol(",") && !self.is_symbol(")") {
                return Err(self.unexpected("`,` or `)` belongs here"));
            }
        }
        Ok(labels)
    }

    fn unary(&mut self) -> Result<Expr, ParseError> {
        if !(self.is_symbol("-") || self.is_symbol("+")) {
            return self.postfix();
        }
        let start = self.span().start;
        let minus = self.is_symbol("-");
        self.advance();
        let operand = self.binary(BinaryOp::Pow.precedence())?;
        let span = TextSpan { start, end: operand.span.end };
        let node = match operand.node {
            Node::Number { value, duration } => Node::Number { value: if minus { -value } else { value }, duration },
            _ => Node::Unary { minus, operand: Box::new(operand) },
        };
        Ok(Expr { node, span })
    }

    /// An operand and what follows it: ranges, `@`, `offset`.
    fn postfix(&mut self) -> Result<Expr, ParseError> {
        let mut expr = self.primary()?;
        loop {
            let start = expr.span.start;
            let word = self.span();
            expr = if self.is_symbol("[") {
                self.count_operator()?;
                self.range(expr)?
            } else if self.take_symbol("@") {
                self.anchor(expr)?
            } else if self.take_word("offset") {
                self.offset(expr, word)?
            } else if self.take_word("anchored") {
                self.reach(expr, word, Reach::Anchored)?
            } else if self.take_word("smoothed") {
                self.reach(expr, word, Reach::Smoothed)?
            } else {
                return Ok(expr);
            };
            expr.span = self.since(start);
        }
    }

    fn range(&mut self, operand: Expr) -> Result<Expr, ParseError> {
        let bracket = self.span();
        self.advance();
        let range = self.length()?;
        self.check_positive(&range)?;
        let span = operand.span;
        if self.take_symbol(":") {
            let step = if self.is_symbol("]") { None } else { Some(self.length()?) };
            if let Some(step) = &step {
                self.check_positive(step)?;
            }
            self.expect("]", "after the subquery's step")?;
            let subquery = Subquery { inner: Box::new(operand), range, step, at: None, offset: None };
            return Ok(Expr { node: Node::Subquery(subquery), span });
        }
        self.expect("]", "after the range")?;
        match operand.node {
            Node::Selector(selector) if selector.offset.is_some() => {
                Err(self.refuse(bracket, "`offset` stands before the range").hint("write it after: `up[5m] offset 1h`"))
            }
            Node::Selector(selector) if selector.at.is_some() => {
                Err(self.refuse(bracket, "`@` stands before the range").hint("write it after: `up[5m] @ end()`"))
            }
            Node::Selector(selector) => Ok(Expr { node: Node::Range { selector, range }, span }),
            _ => Err(self
                .refuse(bracket, "only a series selector has a range")
                .hint("for the range of an expression write a subquery with a colon, such as `[5m:]`")),
        }
    }

    fn check_positive(&self, length: &Length) -> Result<(), ParseError> {
        match length.node {
            LengthNode::Seconds { value, .. } if value <= 0.0 => {
                Err(self.refuse(length.span, "this duration must be greater than 0"))
            }
            _ => Ok(()),
        }
    }

    fn anchor(&mut self, mut operand: Expr) -> Result<Expr, ParseError> {
        let start = self.span().start;
        let anchor = match self.peek() {
            Token::Word(word) if word.eq_ignore_ascii_case("start") => Some(Anchor::Start),
            Token::Word(word) if word.eq_ignore_ascii_case("end") => Some(Anchor::End),
            _ => None,
        };
        let anchor = if let Some(anchor) = anchor {
            self.advance();
            self.expect("(", "after `start` or `end`")?;
            self.expect(")", "after `(`")?;
            anchor
        } else {
            let negative = self.is_symbol("-");
            if negative || self.is_symbol("+") {
                self.advance();
            }
            let (Token::Number(seconds) | Token::Duration(seconds)) = *self.peek() else {
                return Err(self.unexpected("seconds since 1970, `start()` or `end()` belong after `@`"));
            };
            self.advance();
            let seconds = if negative { -seconds } else { seconds };
            if !seconds.is_finite() || seconds.abs() >= i64::MAX as f64 {
                return Err(self.refuse(self.since(start), "this time is out of bounds"));
            }
            Anchor::Time(Timestamp::from_seconds(seconds))
        };
        let at = match &mut operand.node {
            Node::Selector(selector) | Node::Range { selector, .. } => &mut selector.at,
            Node::Subquery(subquery) => &mut subquery.at,
            _ => {
                return Err(self
                    .refuse(operand.span, "`@` follows something that does not select series")
                    .hint("write it right after a selector, a range or a subquery"));
            }
        };
        if at.replace(anchor).is_some() {
            return Err(self.refuse(self.since(start), "`@` is written twice"));
        }
        Ok(operand)
    }

    fn offset(&mut self, mut operand: Expr, word: TextSpan) -> Result<Expr, ParseError> {
        let length = self.offset_length()?;
        let offset = match &mut operand.node {
            Node::Selector(selector) | Node::Range { selector, .. } => &mut selector.offset,
            Node::Subquery(subquery) => &mut subquery.offset,
            _ => {
                return Err(self
                    .refuse(operand.span, "`offset` follows something that does not select series")
                    .hint("write it right after a selector, a range or a subquery"));
            }
        };
        if offset.replace(length).is_some() {
            return Err(self.refuse(word, "`offset` is written twice"));
        }
        Ok(operand)
    }

    fn reach(&mut self, mut operand: Expr, word: TextSpan, reach: Reach) -> Result<Expr, ParseError> {
        let (Node::Selector(selector) | Node::Range { selector, .. }) = &mut operand.node else {
            let message = format!("`{}` follows something that is no selector", reach.as_str());
            return Err(self.refuse(word, message).hint("write it right after a selector or its range"));
        };
        match selector.reach.replace(reach) {
            Some(_) => Err(self.refuse(word, "only one of `anchored` and `smoothed` may stand here, once")),
            None => Ok(operand),
        }
    }

    fn primary(&mut self) -> Result<Expr, ParseError> {
        let start = self.span().start;
        let node = match self.peek() {
            Token::Number(value) => Node::Number { value: *value, duration: false },
            Token::Duration(value) => Node::Number { value: *value, duration: true },
            Token::Text(text) => Node::Text(text.clone()),
            Token::Symbol("(") => {
                self.advance();
                let inner = self.binary(0)?;
                self.expect(")", "to close the parenthesis")?;
                return Ok(Expr { node: Node::Paren(Box::new(inner)), span: self.since(start) });
            }
            Token::Symbol("{") => {
                let selector = self.selector(None)?;
                return Ok(Expr { node: Node::Selector(selector), span: self.since(start) });
            }
            Token::Word(word) => {
                let word = word.clone();
                let node = self.word(&word)?;
                return Ok(Expr { node, span: self.since(start) });
            }
            _ => return Err(self.unexpected("a metric, a number, a function or `(` belongs here")),
        };
        self.advance();
        Ok(Expr { node, span: self.since(start) })
    }

    /// An operand that begins with a word: a number, an aggregation, a call or a metric.
    fn word(&mut self, word: &str) -> Result<Node, ParseError> {
        let lower = word.to_ascii_lowercase();
        let span = self.span();
        let opens = matches!(self.peek_second(), Token::Symbol("("));
        if matches!(lower.as_str(), "inf" | "nan") && !matches!(self.peek_second(), Token::Symbol("{")) {
            self.advance();
            let value = if lower == "inf" { f64::INFINITY } else { f64::NAN };
            return Ok(Node::Number { value, duration: false });
        }
        if matches!(lower.as_str(), "bool" | "on" | "ignoring" | "group_left" | "group_right" | "atan2") {
            return Err(self.unexpected("a metric, a number, a function or `(` belongs here"));
        }
        if let Some(op) = Aggregator::from_word(&lower) {
            let grouped = matches!(self.peek_second(), Token::Word(next)
                if next.eq_ignore_ascii_case("by") || next.eq_ignore_ascii_case("without"));
            if opens || grouped {
                self.advance();
                return self.aggregation(op, span);
            }
        }
        self.advance();
        if !opens {
            return Ok(Node::Selector(self.selector(Some(word.to_owned()))?));
        }
        let keyword = matches!(lower.as_str(), "start" | "end" | "step" | "range" | "min_of" | "max_of");
        let name = if keyword { lower.as_str() } else { word };
        let Some(function) = Function::of(name) else {
            let error = self.refuse(span, format!("there is no function `{word}`"));
            return Err(match alike(&lower) {
                Some(name) => error.hint(format!("did you mean `{name}`?")),
                None => error,
            });
        };
        let arguments = self.arguments()?;
        Ok(Node::Call { function, arguments })
    }

    fn arguments(&mut self) -> Result<Vec<Expr>, ParseError> {
        self.expect("(", "before the arguments")?;
        let mut arguments = Vec::new();
        if self.take_symbol(")") {
            return Ok(arguments);
        }
        loop {
            arguments.push(self.binary(0)?);
            if self.take_symbol(")") {
                return Ok(arguments);
            }
            if !self.take_symbol(",") {
                return Err(self.unexpected("`,` or `)` belongs here"));
            }
        }
    }

    fn aggregation(&mut self, op: Aggregator, span: TextSpan) -> Result<Node, ParseError> {
        let mut grouping = self.grouping()?;
        let mut arguments = self.arguments()?;
        if grouping.is_none() {
            grouping = self.grouping()?;
        }
        let grouping = grouping.unwrap_or(Grouping::By(Vec::new()));
        let wanted = 1 + usize::from(op.parameter().is_some());
        if arguments.len() != wanted {
            let hint = match op.parameter() {
                Some(kind) => format!("write `{}(parameter, vector)`, the parameter being a {kind}", op.as_str()),
                None => format!("write `{}(vector)`", op.as_str()),
            };
            let name = op.as_str();
            let message = format!("`{name}` takes {wanted} argument(s) but was given {}", arguments.len());
            return Err(self.refuse(span, message).hint(hint));
        }
        let inner = Box::new(arguments.pop().expect("at least one argument is wanted"));
        let parameter = arguments.pop().map(Box::new);
        Ok(Node::Aggregate(Aggregation { op, grouping, parameter, inner }))
    }

    fn grouping(&mut self) -> Result<Option<Grouping>, ParseError> {
        if self.take_word("by") {
            Ok(Some(Grouping::By(self.labels()?)))
        } else if self.take_word("without") {
            Ok(Some(Grouping::Without(self.labels()?)))
        } else {
            Ok(None)
        }
    }

    /// The braces after a metric's name, or alone.
    fn selector(&mut self, name: Option<String>) -> Result<Selector, ParseError> {
        let mut selector = Selector { name, matchers: Vec::new(), at: None, offset: None, reach: None };
        if !self.take_symbol("{") {
            return Ok(selector);
        }
        while !self.take_symbol("}") {
            selector.matchers.push(self.matcher()?);
            if !self.take_symbol(",") && !self.is_symbol("}") {
                return Err(self.unexpected("`,` or `}` belongs here"));
            }
        }
        Ok(selector)
    }

    fn matcher(&mut self) -> Result<Matcher, ParseError> {
        let (name, quoted) = match self.peek() {
            Token::Word(word) if !word.contains(':') => (word.clone(), false),
            Token::Text(text) => (text.clone(), true),
            _ => return Err(self.unexpected("a label's name or `}` belongs here")),
        };
        self.advance();
        let op = match self.peek() {
            Token::Symbol("=") => MatchOp::Equal,
            Token::Symbol("!=") => MatchOp::NotEqual,
            Token::Symbol("=~") => MatchOp::Regex,
            Token::Symbol("!~") => MatchOp::NotRegex,
            // A string alone in braces is the metric's name: `{"my.metric"}`.
            Token::Symbol("," | "}") if quoted => return Ok(Matcher::equal(watchbell_model::Labels::NAME, name)),
            _ => return Err(self.unexpected("`=`, `!=`, `=~` or `!~` belongs after a label's name")),
        };
        self.advance();
        let Token::Text(value) = self.peek() else {
            return Err(self.unexpected("a label is compared with a string in quotes"));
        };
        let value = value.clone();
        let span = self.span();
        self.advance();
        if matches!(op, MatchOp::Regex | MatchOp::NotRegex) && !is_utf8(&value) {
            return Err(self.refuse(span, "a regular expression must be UTF-8"));
        }
        Matcher::new(name, op, value).map_err(|error| {
            self.refuse(span, error.to_string()).hint("it is an RE2 expression for the whole value of the label")
        })
    }
}

/// A known name that differs in at most two letters.
fn alike(word: &str) -> Option<&'static str> {
    let distance = |name: &str| {
        let name: Vec<char> = name.chars().collect();
        let mut row: Vec<usize> = (0..=name.len()).collect();
        for (i, a) in word.chars().enumerate() {
            let mut before = std::mem::replace(&mut row[0], i + 1);
            for (j, b) in name.iter().enumerate() {
                let changed = before + usize::from(a != *b);
                before = row[j + 1];
                row[j + 1] = changed.min(before + 1).min(row[j] + 1);
            }
        }
        row[name.len()]
    };
    let rank = |name: &'static str| (distance(name), !name.starts_with(word), name);
    let (near, _, name) = functions().iter().map(|function| rank(function.name)).min()?;
    (near <= 2).then_some(name)
}
