//! What a route says of its groups: labels whose values are templates, which may ask for one another.
//!
//! A label that cannot be written, as one that asks for itself, is left out, and so are those that ask for it.

use std::cell::RefCell;
use std::collections::BTreeMap;

use watchbell_model::{GroupNotification, Labels};
use watchbell_template::{Context, Value};

use crate::config::NotifyConfig;
use crate::page::Page;
use crate::template_data;

/// The labels of a group's route, and why some of them could not be written.
pub(crate) fn write(group: &GroupNotification, config: &NotifyConfig) -> (Labels, Vec<String>) {
    if group.route_labels.is_empty() {
        return (Labels::empty(), Vec::new());
    }
    let page = Page::write(group, &config.site, &config.runbooks);
    let data = template_data::data(&page, group, &config.site, "unknown");
    let writing = Writing { group, config, data, known: RefCell::default(), busy: RefCell::default() };
    let mut errors = Vec::new();
    let mut one = |name: &str| match writing.label(name) {
        Ok(value) => Some((name.to_owned(), value)),
        Err(error) => {
            errors.push(format!("label `{name}` of the route: {error}"));
            None
        }
    };
    let labels: Vec<(String, String)> = group.route_labels.iter().filter_map(|(name, _)| one(name)).collect();
    (Labels::from_pairs(labels), errors)
}

/// Labels while they are written.
struct Writing<'a> {
    group: &'a GroupNotification,
    config: &'a NotifyConfig,
    data: Value,
    /// Each is written once.
    known: RefCell<BTreeMap<String, Result<String, String>>>,
    /// Those that ask for one another at the moment.
    busy: RefCell<Vec<String>>,
}

impl Writing<'_> {
    fn label(&self, name: &str) -> Result<String, String> {
        let Some(text) = self.group.route_labels.get(name) else { return Ok(String::new()) };
        if let Some(known) = self.known.borrow().get(name) {
            return known.clone();
        }
        if self.busy.borrow().iter().any(|it| it == name) {
            return Err(format!("it asks for itself: {} -> {name}", self.busy.borrow().join(" -> ")));
        }
        self.busy.borrow_mut().push(name.to_owned());
        let ask = |other: &str| self.label(other);
        let context = Context::alertmanager(self.group.at, self.config.site.url.as_str(), &ask);
        let template = self.config.templates.parse(text);
        let written = template.and_then(|it| it.render(&self.data, &context)).map_err(|error| error.to_string());
        self.busy.borrow_mut().pop();
        self.known.borrow_mut().insert(name.to_owned(), written.clone());
        written
    }
}
