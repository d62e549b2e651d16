//! Templates: the Go `text/template` that Prometheus' rules and Alertmanager's receivers are written in.
//!
//! Pure and total: no IO, no clock (`now` comes in the [`Context`]), and fuel-limited, so that a template a stranger
//! wrote ends after [`STEPS_MAX`] steps and [`OUTPUT_MAX`] bytes, whatever it says. Leaves out what needs Go itself:
//! methods and functions of foreign types, `call`, complex numbers, and the HTML escaping of `html/template`.
//!
//! Where Go refuses to compare an integer with a float (`gt $value 5`), this one compares their values: a page is no
//! place to teach types.

mod functions;
mod lex;
mod number;
mod parse;
mod printf;
pub mod prometheus;
mod render;
mod time_format;
mod value;

pub use render::{Context, Dialect, QueryCallback, RouteLabelCallback, Vector};
pub use value::Value;

/// Steps (nodes visited, functions called, each 256 bytes a function reads) a rendering may take.
pub const STEPS_MAX: u64 = 100_000;
/// Bytes a rendering may write, and the most any string made on the way may hold.
pub const OUTPUT_MAX: usize = 64 << 10;
/// How deep blocks, parentheses, template calls and made-up lists may nest.
pub const DEPTH_MAX: usize = 64;
/// How long a template may be, in bytes.
pub const TEXT_MAX: usize = 1 << 20;

/// What is wrong with a template, or went wrong while it was rendered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("template `{name}`, line {line}, column {column}: {message}")]
pub struct TemplateError {
    /// Which template.
    pub name: String,
    /// What is wrong.
    pub message: String,
    /// From 1.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
}

/// A place in a template's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    line: u32,
    column: u32,
}

/// A parsed template with the definitions it may call.
#[derive(Clone, Debug)]
pub struct Template {
    name: String,
    definitions: std::collections::BTreeMap<String, std::sync::Arc<parse::Definition>>,
}

impl Template {
    /// Parses one text; `{{define}}` blocks in it can be called from it.
    ///
    /// # Errors
    /// The first thing that is wrong, with its place.
    pub fn parse(name: &str, text: &str) -> Result<Template, TemplateError> {
        Template::parse_many(&[(name, text)])
    }

    /// Parses several texts: the first is what is rendered, the others lend their `{{define}}` blocks, later ones
    /// replacing earlier ones of the same name.
    ///
    /// # Errors
    /// The first thing that is wrong, with the name of its text and its place there.
    pub fn parse_many(texts: &[(&str, &str)]) -> Result<Template, TemplateError> {
        Template::parse_with(texts, &[])
    }

    /// As [`Template::parse_many`], with variables that the first text may use without declaring them.
    pub(crate) fn parse_with(texts: &[(&str, &str)], variables: &[&str]) -> Result<Template, TemplateError> {
        let name = texts.first().map_or("", |(name, _)| name);
        let mut definitions = std::collections::BTreeMap::new();
        for (at, (name, text)) in texts.iter().enumerate() {
            parse::parse(name, text, if at == 0 { variables } else { &[] }, &mut definitions)?;
        }
        Ok(Template { name: name.to_owned(), definitions })
    }

    /// Writes the template over `data`.
    ///
    /// # Errors
    /// Whatever Go would refuse at this point, or a limit that was reached. What was written so far is dropped.
    pub fn render(&self, data: &Value, context: &Context<'_>) -> Result<String, TemplateError> {
        render::render(self, data, &[], context)
    }
}
