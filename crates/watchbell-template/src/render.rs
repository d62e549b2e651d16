//! Walks a template's tree and writes, counting every step.

use std::sync::Arc;

use watchbell_model::{Labels, Timestamp};

use crate::parse::{Base, Node, Operand, Pipeline};
use crate::printf::{Output, TooLong};
use crate::{DEPTH_MAX, OUTPUT_MAX, Place, STEPS_MAX, Template, TemplateError, Value, functions};

/// Label sets with their values: what `query` answers.
pub type Vector = Vec<(Labels, Value)>;

/// Answers the `query` function: an instant query, or why it failed.
pub type QueryCallback<'a> = &'a dyn Fn(&str) -> Result<Vector, String>;

/// Answers the `routeLabels` function: what the route says under this name, or why that cannot be written.
pub type RouteLabelCallback<'a> = &'a dyn Fn(&str) -> Result<String, String>;

/// Whose functions a template means where the two differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Rules: `now` is a number of seconds.
    Prometheus,
    /// Receivers: `now` is a time.
    Alertmanager,
}

/// What a template may ask of the world.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// Whose functions are meant.
    pub dialect: Dialect,
    /// The moment of the rendering.
    pub now: Timestamp,
    /// What `externalURL` answers.
    pub external_url: &'a str,
    /// What `query` asks; `None` refuses it.
    pub query: Option<QueryCallback<'a>>,
    /// What `routeLabels` asks; `None` has it answer nothing.
    pub route_label: Option<RouteLabelCallback<'a>>,
}

impl<'a> Context<'a> {
    /// For a receiver's texts: Alertmanager's functions, no queries.
    pub fn alertmanager(now: Timestamp, external_url: &'a str, route_label: RouteLabelCallback<'a>) -> Context<'a> {
        Context { dialect: Dialect::Alertmanager, now, external_url, query: None, route_label: Some(route_label) }
    }
}

pub(crate) fn render(
    template: &Template,
    data: &Value,
    variables: &[(&str, Value)],
    context: &Context<'_>,
) -> Result<String, TemplateError> {
    let mut run = Run {
        template,
        context,
        out: Output::default(),
        fuel: STEPS_MAX,
        variables: vec![("$".to_owned(), data.clone())],
        depth: 0,
        text: Arc::from(template.name.as_str()),
    };
    run.variables.extend(variables.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    if let Some(definition) = template.definitions.get(&template.name) {
        run.nodes(&definition.body, data)?;
    }
    Ok(run.out.text)
}

/// What follows a node.
enum Flow {
    Next,
    Break,
    Continue,
}

/// One rendering under way.
pub(crate) struct Run<'a> {
    template: &'a Template,
    pub(crate) context: &'a Context<'a>,
    out: Output,
    fuel: u64,
    variables: Vec<(String, Value)>,
    depth: usize,
    /// The text the nodes at hand were written in, for messages.
    text: Arc<str>,
}

impl Run<'_> {
    fn error(&self, place: Place, message: impl Into<String>) -> TemplateError {
        TemplateError { name: self.text.to_string(), message: message.into(), line: place.line, column: place.column }
    }

    /// Takes steps off what is left.
    pub(crate) fn burn(&mut self, steps: usize) -> Result<(), String> {
        match self.fuel.checked_sub(steps as u64) {
            Some(left) => self.fuel = left,
            None => return Err(format!("it takes more than {STEPS_MAX} steps")),
        }
        Ok(())
    }

    fn step(&mut self, place: Place) -> Result<(), TemplateError> {
        self.burn(1).map_err(|message| self.error(place, message))
    }

    fn nodes(&mut self, nodes: &[Node], dot: &Value) -> Result<Flow, TemplateError> {
        for node in nodes {
            match self.node(node, dot)? {
                Flow::Next => {}
                flow => return Ok(flow),
            }
        }
        Ok(Flow::Next)
    }

    /// The nodes of a block, whose variables end with it.
    fn block(&mut self, nodes: &[Node], dot: &Value) -> Result<Flow, TemplateError> {
        let scope = self.variables.len();
        let flow = self.nodes(nodes, dot);
        self.variables.truncate(scope);
        flow
    }

    fn node(&mut self, node: &Node, dot: &Value) -> Result<Flow, TemplateError> {
        match node {
            Node::Literal(text) => {
                let start = Place { line: 1, column: 1 };
                self.step(start)?;
                self.out.push(text).map_err(|_: TooLong| self.error(start, too_long()))?;
            }
            Node::Action(pipeline) => {
                let value = self.pipeline(pipeline, dot)?;
                if pipeline.variables.is_empty() {
                    let written = match value {
                        Value::Null => self.out.push("<no value>"),
                        value => self.out.value(&value),
                    };
                    written.map_err(|_: TooLong| self.error(pipeline.place, too_long()))?;
                }
            }
            Node::If { condition, then, otherwise } | Node::With { condition, then, otherwise } => {
                let scope = self.variables.len();
                let value = self.pipeline(condition, dot)?;
                let with = matches!(node, Node::With { .. });
                let flow = match value.is_true() {
                    true => self.block(then, if with { &value } else { dot }),
                    false => self.block(otherwise, dot),
                }?;
                self.variables.truncate(scope);
                return Ok(flow);
            }
            Node::Range { over, body, otherwise } => return self.range(over, body, otherwise, dot),
            Node::Call { name, data, place } => {
                self.step(*place)?;
                let data = match data {
                    Some(pipeline) => self.pipeline(pipeline, dot)?,
                    None => Value::Null,
                };
                self.call_template(name, data).map_err(|error| match error {
                    CallError::Inside(error) => error,
                    CallError::Here(message) => self.error(*place, message),
                })?;
            }
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::Next)
    }

    fn call_template(&mut self, name: &str, data: Value) -> Result<(), CallError> {
        let Some(definition) = self.template.definitions.get(name).cloned() else {
            return Err(CallError::Here(format!("there is no template `{name}`")));
        };
        if self.depth >= DEPTH_MAX {
            return Err(CallError::Here(format!("templates call each other deeper than {DEPTH_MAX}")));
        }
        self.depth += 1;
        let outer = std::mem::replace(&mut self.variables, vec![("$".to_owned(), data.clone())]);
        let text = std::mem::replace(&mut self.text, definition.text.clone());
        let result = self.nodes(&definition.body, &data);
        self.text = text;
        self.variables = outer;
        self.depth -= 1;
        result.map(|_| ()).map_err(CallError::Inside)
    }

    /// `tmpl`: a template's output as a value.
    pub(crate) fn template_text(&mut self, name: &str, data: Value) -> Result<String, String> {
        let outer = std::mem::take(&mut self.out);
        let result = self.call_template(name, data);
        let inner = std::mem::replace(&mut self.out, outer);
        match result {
            Ok(()) => Ok(inner.text),
            Err(CallError::Here(message)) => Err(message),
            Err(CallError::Inside(error)) => Err(error.to_string()),
        }
    }

    fn range(
        &mut self,
        over: &Pipeline,
        body: &[Node],
        otherwise: &[Node],
        dot: &Value,
    ) -> Result<Flow, TemplateError> {
        let scope = self.variables.len();
        let value = self.pipeline(over, dot)?;
        let items: Box<dyn Iterator<Item = (Value, Value)>> = match &value {
            Value::List(list) => Box::new(list.iter().enumerate().map(|(at, it)| (Value::Int(at as i64), it.clone()))),
            Value::Map(map) => Box::new(map.iter().map(|(name, it)| (name.as_str().into(), it.clone()))),
            Value::Int(count) => Box::new((0..*count).map(|at| (Value::Int(at), Value::Int(at)))),
            Value::Null => Box::new(std::iter::empty()),
            other => return Err(self.error(over.place, format!("cannot range over a {}", other.kind()))),
        };
        let mut empty = true;
        for (key, item) in items {
            empty = false;
            self.step(over.place)?;
            match over.variables.as_slice() {
                [element] => self.assign(element, item.clone(), over.declares),
                [index, element] => {
                    self.assign(index, key, over.declares);
                    self.assign(element, item.clone(), over.declares);
                }
                _ => {}
            }
            let flow = self.block(body, &item)?;
            if over.declares {
                self.variables.truncate(scope);
            }
            if matches!(flow, Flow::Break) {
                break;
            }
        }
        self.variables.truncate(scope);
        if empty { self.block(otherwise, dot) } else { Ok(Flow::Next) }
    }

    fn assign(&mut self, name: &str, value: Value, declares: bool) {
        let known = self.variables.iter_mut().rev().find(|(have, _)| have == name);
        match known {
            Some((_, old)) if !declares => *old = value,
            _ => self.variables.push((name.to_owned(), value)),
        }
    }

    fn pipeline(&mut self, pipeline: &Pipeline, dot: &Value) -> Result<Value, TemplateError> {
        let mut value = None;
        for command in &pipeline.commands {
            value = Some(self.command(command, value, dot)?);
        }
        let value = value.unwrap_or_default();
        // `range` assigns item by item.
        if let [name] = pipeline.variables.as_slice()
            && !pipeline.ranges
        {
            self.assign(name, value.clone(), pipeline.declares);
        }
        Ok(value)
    }

    fn command(&mut self, command: &[Operand], piped: Option<Value>, dot: &Value) -> Result<Value, TemplateError> {
        let (first, rest) = command.split_first().expect("the parser refuses an empty command");
        self.step(first.place)?;
        if let Base::Function(name) = &first.base
            && first.fields.is_empty()
        {
            if let "and" | "or" = name.as_str() {
                return self.short_circuit(name == "and", first.place, rest, piped, dot);
            }
            let args = self.arguments(rest, piped, dot)?;
            return functions::call(self, name, args).map_err(|message| self.error(first.place, message));
        }
        let base = self.base(first, dot)?;
        let Some((last, fields)) = first.fields.split_last() else {
            return Ok(base);
        };
        let mut value = base;
        for field in fields {
            value = self.field(first.place, &value, field, Vec::new())?;
        }
        let args = self.arguments(rest, piped, dot)?;
        self.field(first.place, &value, last, args)
    }

    fn arguments(
        &mut self,
        operands: &[Operand],
        piped: Option<Value>,
        dot: &Value,
    ) -> Result<Vec<Value>, TemplateError> {
        let mut args = Vec::with_capacity(operands.len() + 1);
        for operand in operands {
            args.push(self.operand(operand, dot)?);
        }
        args.extend(piped);
        Ok(args)
    }

    fn short_circuit(
        &mut self,
        and: bool,
        place: Place,
        operands: &[Operand],
        piped: Option<Value>,
        dot: &Value,
    ) -> Result<Value, TemplateError> {
        let mut value = None;
        for operand in operands {
            let it = self.operand(operand, dot)?;
            if it.is_true() != and {
                return Ok(it);
            }
            value = Some(it);
        }
        piped.or(value).ok_or_else(|| self.error(place, "`and` and `or` take at least one value"))
    }

    fn operand(&mut self, operand: &Operand, dot: &Value) -> Result<Value, TemplateError> {
        self.step(operand.place)?;
        let mut value = self.base(operand, dot)?;
        for field in &operand.fields {
            value = self.field(operand.place, &value, field, Vec::new())?;
        }
        Ok(value)
    }

    fn base(&mut self, operand: &Operand, dot: &Value) -> Result<Value, TemplateError> {
        match &operand.base {
            Base::Dot => Ok(dot.clone()),
            Base::Constant(value) => Ok(value.clone()),
            Base::Variable(name) => {
                let value = self.variables.iter().rev().find(|(have, _)| have == name);
                Ok(value.map(|(_, value)| value.clone()).unwrap_or_default())
            }
            Base::Function(name) => {
                let result = functions::call(self, name, Vec::new());
                result.map_err(|message| self.error(operand.place, message))
            }
            Base::Nested(pipeline) => {
                let scope = self.variables.len();
                let value = self.pipeline(pipeline, dot)?;
                self.variables.truncate(scope);
                Ok(value)
            }
        }
    }

    fn field(&mut self, place: Place, value: &Value, name: &str, args: Vec<Value>) -> Result<Value, TemplateError> {
        self.step(place)?;
        functions::field(self, value, name, args).map_err(|message| self.error(place, message))
    }
}

enum CallError {
    /// It failed within the template that was called.
    Inside(TemplateError),
    /// It could not be called.
    Here(String),
}

pub(crate) fn too_long() -> String {
    format!("it writes more than {OUTPUT_MAX} bytes")
}
