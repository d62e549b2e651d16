//! Turns the pieces of a template into a tree, refusing what Go refuses: unknown functions, undeclared variables,
//! blocks that do not close.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::lex::{Piece, Spot, Token, lex};
use crate::{DEPTH_MAX, Place, TemplateError, Value, functions};

/// A named body and the text it was written in.
#[derive(Debug)]
pub(crate) struct Definition {
    pub(crate) text: Arc<str>,
    pub(crate) body: Vec<Node>,
}

#[derive(Debug)]
pub(crate) enum Node {
    Literal(String),
    Action(Pipeline),
    If { condition: Pipeline, then: Vec<Node>, otherwise: Vec<Node> },
    With { condition: Pipeline, then: Vec<Node>, otherwise: Vec<Node> },
    Range { over: Pipeline, body: Vec<Node>, otherwise: Vec<Node> },
    Call { name: String, data: Option<Pipeline>, place: Place },
    Break,
    Continue,
}

#[derive(Debug)]
pub(crate) struct Pipeline {
    pub(crate) place: Place,
    /// Variables that take the value; two only in `range`.
    pub(crate) variables: Vec<String>,
    /// Whether they are declared here (`:=`) or set (`=`).
    pub(crate) declares: bool,
    /// Whether they take the items of a `range`, not the value itself.
    pub(crate) ranges: bool,
    pub(crate) commands: Vec<Vec<Operand>>,
}

#[derive(Debug)]
pub(crate) struct Operand {
    pub(crate) place: Place,
    pub(crate) base: Base,
    /// The fields and methods asked of it, one after the other.
    pub(crate) fields: Vec<String>,
}

#[derive(Debug)]
pub(crate) enum Base {
    Dot,
    Constant(Value),
    Variable(String),
    Function(String),
    Nested(Pipeline),
}

/// Parses one text and adds it and its definitions to `into`.
pub(crate) fn parse(
    name: &str,
    text: &str,
    variables: &[&str],
    into: &mut BTreeMap<String, Arc<Definition>>,
) -> Result<(), TemplateError> {
    let pieces = lex(name, text)?;
    let mut parser = Parser {
        name,
        label: name.into(),
        pieces: pieces.into_iter(),
        variables: std::iter::once("$").chain(variables.iter().copied()).map(str::to_owned).collect(),
        definitions: into,
        depth: 0,
        loops: 0,
    };
    let (body, end) = parser.body()?;
    if let Some((word, _, place)) = end {
        return Err(parser.error(place, format!("unexpected `{word}`")));
    }
    let definition = Arc::new(Definition { text: parser.label.clone(), body });
    into.insert(name.to_owned(), definition);
    Ok(())
}

struct Parser<'a> {
    name: &'a str,
    label: Arc<str>,
    pieces: std::vec::IntoIter<Piece>,
    variables: Vec<String>,
    definitions: &'a mut BTreeMap<String, Arc<Definition>>,
    depth: usize,
    loops: usize,
}

/// The word that ended a body (`end`, `else`), what follows it, and its place.
type End = Option<(String, Tokens, Place)>;

struct Tokens {
    list: std::iter::Peekable<std::vec::IntoIter<Spot>>,
    last: Place,
}

impl Tokens {
    fn next(&mut self) -> Option<Spot> {
        let spot = self.list.next()?;
        self.last = spot.place;
        Some(spot)
    }
    fn peek(&mut self) -> Option<&Token> {
        self.list.peek().map(|spot| &spot.token)
    }
}

impl Parser<'_> {
    fn error(&self, place: Place, message: impl Into<String>) -> TemplateError {
        TemplateError { name: self.name.to_owned(), message: message.into(), line: place.line, column: place.column }
    }

    fn deeper(&mut self, place: Place) -> Result<(), TemplateError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.error(place, format!("nested deeper than {DEPTH_MAX}")));
        }
        Ok(())
    }

    fn body(&mut self) -> Result<(Vec<Node>, End), TemplateError> {
        let mut nodes = Vec::new();
        while let Some(piece) = self.pieces.next() {
            let (tokens, place) = match piece {
                Piece::Literal(text) => {
                    nodes.push(Node::Literal(text));
                    continue;
                }
                Piece::Action(tokens, place) => (tokens, place),
            };
            let mut tokens = Tokens { list: tokens.into_iter().peekable(), last: place };
            let keyword = match tokens.peek() {
                None => return Err(self.error(place, "the action is empty")),
                Some(Token::Word(word)) => word.clone(),
                Some(_) => String::new(),
            };
            match keyword.as_str() {
                "end" | "else" => {
                    tokens.next();
                    return Ok((nodes, Some((keyword, tokens, place))));
                }
                "if" | "with" | "range" => {
                    tokens.next();
                    nodes.push(self.block(&keyword, tokens, place)?);
                }
                "break" | "continue" => {
                    tokens.next();
                    self.nothing_left(tokens)?;
                    if self.loops == 0 {
                        return Err(self.error(place, format!("`{keyword}` outside of `range`")));
                    }
                    nodes.push(if keyword == "break" { Node::Break } else { Node::Continue });
                }
                "define" => {
                    tokens.next();
                    let name = self.quoted_name(&mut tokens, "define")?;
                    self.nothing_left(tokens)?;
                    self.definition(name, place)?;
                }
                "block" => {
                    tokens.next();
                    let name = self.quoted_name(&mut tokens, "block")?;
                    let data = self.pipeline(&mut tokens, false)?;
                    self.nothing_left(tokens)?;
                    self.definition(name.clone(), place)?;
                    nodes.push(Node::Call { name, data: Some(data), place });
                }
                "template" => {
                    tokens.next();
                    let name = self.quoted_name(&mut tokens, "template")?;
                    let data = match tokens.peek() {
                        Some(_) => Some(self.pipeline(&mut tokens, false)?),
                        None => None,
                    };
                    self.nothing_left(tokens)?;
                    nodes.push(Node::Call { name, data, place });
                }
                _ => {
                    let pipeline = self.pipeline(&mut tokens, false)?;
                    self.nothing_left(tokens)?;
                    nodes.push(Node::Action(pipeline));
                }
            }
        }
        Ok((nodes, None))
    }

    fn nothing_left(&self, mut tokens: Tokens) -> Result<(), TemplateError> {
        match tokens.next() {
            None => Ok(()),
            Some(spot) => Err(self.error(spot.place, "nothing more was expected in this action")),
        }
    }

    fn quoted_name(&self, tokens: &mut Tokens, keyword: &str) -> Result<String, TemplateError> {
        match tokens.next() {
            Some(Spot { token: Token::Text(name), .. }) => Ok(name),
            _ => Err(self.error(tokens.last, format!("`{keyword}` takes a name in quotes"))),
        }
    }

    fn definition(&mut self, name: String, place: Place) -> Result<(), TemplateError> {
        self.deeper(place)?;
        let outer = std::mem::replace(&mut self.variables, vec!["$".to_owned()]);
        let loops = std::mem::take(&mut self.loops);
        let (body, end) = self.body()?;
        self.loops = loops;
        self.variables = outer;
        self.depth -= 1;
        self.expect_end(end, place)?;
        self.definitions.insert(name, Arc::new(Definition { text: self.label.clone(), body }));
        Ok(())
    }

    fn expect_end(&self, end: End, place: Place) -> Result<(), TemplateError> {
        match end {
            Some((word, tokens, _)) if word == "end" => self.nothing_left(tokens),
            Some((word, _, place)) => Err(self.error(place, format!("unexpected `{word}`"))),
            None => Err(self.error(place, "the block is not closed with `{{end}}`")),
        }
    }

    fn block(&mut self, keyword: &str, mut tokens: Tokens, place: Place) -> Result<Node, TemplateError> {
        self.deeper(place)?;
        let scope = self.variables.len();
        let condition = self.pipeline(&mut tokens, keyword == "range")?;
        self.nothing_left(tokens)?;
        let looping = usize::from(keyword == "range");
        self.loops += looping;
        let (then, mut end) = self.body()?;
        self.loops -= looping;
        let mut otherwise = Vec::new();
        if let Some((word, mut tokens, at)) = end.take() {
            end = match tokens.peek() {
                _ if word == "end" => Some((word, tokens, at)),
                // `{{else if}}` is an `if` within the `else`, and shares its `{{end}}`.
                Some(Token::Word(next)) if next == keyword && keyword != "range" => {
                    tokens.next();
                    otherwise.push(self.block(keyword, tokens, at)?);
                    None
                }
                _ => {
                    self.nothing_left(tokens)?;
                    let (nodes, inner) = self.body()?;
                    otherwise = nodes;
                    self.expect_end(inner, place)?;
                    None
                }
            };
            if let Some(end) = end {
                self.expect_end(Some(end), place)?;
            }
        } else {
            self.expect_end(None, place)?;
        }
        self.variables.truncate(scope);
        self.depth -= 1;
        Ok(match keyword {
            "if" => Node::If { condition, then, otherwise },
            "with" => Node::With { condition, then, otherwise },
            _ => Node::Range { over: condition, body: then, otherwise },
        })
    }

    fn pipeline(&mut self, tokens: &mut Tokens, ranging: bool) -> Result<Pipeline, TemplateError> {
        let place = tokens.list.peek().map_or(tokens.last, |spot| spot.place);
        let mut pipeline =
            Pipeline { place, variables: Vec::new(), declares: false, ranges: ranging, commands: Vec::new() };
        self.assignment(tokens, ranging, &mut pipeline)?;
        loop {
            let mut command = Vec::new();
            while let Some(operand) = self.operand(tokens)? {
                command.push(operand);
            }
            let Some(first) = command.first() else {
                return Err(self.error(tokens.last, "a value was expected here"));
            };
            let callable = matches!(first.base, Base::Function(_)) || !first.fields.is_empty();
            if command.len() > 1 && !callable {
                return Err(self.error(first.place, "this is not a function and takes no arguments"));
            }
            if !pipeline.commands.is_empty() && !callable {
                return Err(self.error(first.place, "only a function can follow `|`"));
            }
            pipeline.commands.push(command);
            if tokens.peek() != Some(&Token::Pipe) {
                break;
            }
            tokens.next();
        }
        if pipeline.declares {
            self.variables.extend(pipeline.variables.iter().cloned());
        }
        Ok(pipeline)
    }

    /// Reads `$x :=`, `$x =` or, in `range`, `$index, $element :=`.
    fn assignment(&mut self, tokens: &mut Tokens, ranging: bool, to: &mut Pipeline) -> Result<(), TemplateError> {
        let ahead: Vec<Spot> = tokens.list.clone().take(4).collect();
        let kinds: Vec<&Token> = ahead.iter().map(|spot| &spot.token).collect();
        let (names, declares) = match kinds.as_slice() {
            [Token::Variable(a), Token::Declare, ..] => (vec![a], true),
            [Token::Variable(a), Token::Assign, ..] => (vec![a], false),
            [Token::Variable(a), Token::Comma, Token::Variable(b), Token::Declare] if ranging => (vec![a, b], true),
            [Token::Variable(a), Token::Comma, Token::Variable(b), Token::Assign] if ranging => (vec![a, b], false),
            _ => return Ok(()),
        };
        for name in &names {
            if !declares && !self.variables.contains(name) {
                return Err(self.error(to.place, format!("the variable `{name}` is not declared")));
            }
        }
        to.variables = names.into_iter().cloned().collect();
        to.declares = declares;
        for _ in 0..to.variables.len() * 2 {
            tokens.next();
        }
        Ok(())
    }

    fn operand(&mut self, tokens: &mut Tokens) -> Result<Option<Operand>, TemplateError> {
        if matches!(tokens.peek(), None | Some(Token::Pipe | Token::Close)) {
            return Ok(None);
        }
        let Some(spot) = tokens.next() else { return Ok(None) };
        let place = spot.place;
        let mut fields = Vec::new();
        let base = match spot.token {
            Token::Dot => Base::Dot,
            Token::Field(name) => {
                fields.push(name);
                Base::Dot
            }
            Token::Text(text) => Base::Constant(text.into()),
            Token::Int(number) => Base::Constant(number.into()),
            Token::Float(number) => Base::Constant(number.into()),
            Token::Variable(name) => {
                if !self.variables.contains(&name) {
                    return Err(self.error(place, format!("the variable `{name}` is not declared")));
                }
                Base::Variable(name)
            }
            Token::Word(word) => match word.as_str() {
                "true" => Base::Constant(true.into()),
                "false" => Base::Constant(false.into()),
                "nil" => Base::Constant(Value::Null),
                _ if functions::is_known(&word) => Base::Function(word),
                _ => return Err(self.error(place, format!("there is no function `{word}`"))),
            },
            Token::Open => {
                self.deeper(place)?;
                let scope = self.variables.len();
                let inner = self.pipeline(tokens, false)?;
                self.variables.truncate(scope);
                self.depth -= 1;
                match tokens.next() {
                    Some(Spot { token: Token::Close, .. }) => Base::Nested(inner),
                    _ => return Err(self.error(place, "the parenthesis is not closed")),
                }
            }
            Token::Pipe | Token::Declare | Token::Assign | Token::Comma | Token::Close => {
                return Err(self.error(place, "a value was expected here"));
            }
        };
        while let Some(Spot { token: Token::Field(_), spaced: false, .. }) = tokens.list.peek() {
            if let Some(Spot { token: Token::Field(name), .. }) = tokens.next() {
                fields.push(name);
            }
        }
        Ok(Some(Operand { place, base, fields }))
    }
}
