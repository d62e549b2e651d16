//! The configuration as it may be shown: YAML again, with `<secret>` in place of every secret.
//!
//! A secret is what the schema calls a password, what a `${secret:name}` stood in, and a password in an address.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use serde_json::Value;

use super::yaml::{self, Kind, Node};

/// What stands in place of a secret, as in Prometheus.
const HIDDEN: &str = "<secret>";

/// A configuration as text; one that says nothing is empty.
pub(super) fn text(root: &Node, schema: &Value) -> String {
    let mut shown = Shown { definitions: schema.get("$defs"), out: String::new() };
    shown.block(root, Some(schema), 0);
    shown.out
}

/// Which fields of the heartbeats of a shown configuration hold a secret, by the heartbeat's name.
pub fn secret_fields(shown: &str) -> BTreeMap<String, BTreeSet<String>> {
    let root = yaml::parse(shown, 0).ok();
    let Some(Kind::List(heartbeats)) = root.as_ref().and_then(|root| root.get("heartbeats")).map(|it| &it.kind) else {
        return BTreeMap::new();
    };
    let one = |heartbeat: &Node| {
        let Kind::Map(fields) = &heartbeat.kind else { return None };
        let Kind::Scalar { text: name, .. } = &heartbeat.get("name")?.kind else { return None };
        let hiding = fields.iter().filter(|(_, value)| hides(value)).map(|(key, _)| key.name.clone());
        Some((name.clone(), hiding.collect()))
    };
    heartbeats.iter().filter_map(one).collect()
}

fn hides(node: &Node) -> bool {
    match &node.kind {
        Kind::Scalar { text, .. } => text.contains(HIDDEN),
        Kind::List(items) => items.iter().any(hides),
        Kind::Map(pairs) => pairs.iter().any(|(_, value)| hides(value)),
    }
}

struct Shown<'a> {
    definitions: Option<&'a Value>,
    out: String,
}

impl<'a> Shown<'a> {
    /// The items of a mapping or a list, each on lines of its own.
    fn block(&mut self, node: &Node, schema: Option<&'a Value>, indent: usize) {
        let spaces = "  ".repeat(indent);
        match &node.kind {
            Kind::Map(pairs) => {
                for (key, value) in pairs {
                    write!(self.out, "{spaces}{}:", scalar(&key.name, true)).expect("a string takes anything");
                    self.value(value, self.field(schema, &key.name), indent + 1, is_list(value) as usize);
                }
            }
            Kind::List(items) => {
                for item in items {
                    let begun = self.out.len();
                    self.block_or_line(item, self.item(schema), indent);
                    // The first line of an item is where its dash stands.
                    let at = begun + spaces.len();
                    self.out.replace_range(at..at + 2, "- ");
                }
            }
            Kind::Scalar { .. } => {}
        }
    }

    /// An item of a list, moved in by the room of its dash.
    fn block_or_line(&mut self, item: &Node, schema: Option<&'a Value>, indent: usize) {
        if is_block(item) {
            self.block(item, schema, indent + 1);
        } else {
            let text = self.line(item, schema);
            writeln!(self.out, "{}{text}", "  ".repeat(indent + 1)).expect("a string takes anything");
        }
    }

    /// What stands behind the name of a field.
    fn value(&mut self, node: &Node, schema: Option<&'a Value>, indent: usize, less: usize) {
        if is_block(node) {
            self.out.push('\n');
            self.block(node, schema, indent - less);
        } else {
            let text = self.line(node, schema);
            writeln!(self.out, "{}{text}", if text.is_empty() { "" } else { " " }).expect("a string takes anything");
        }
    }

    fn line(&self, node: &Node, schema: Option<&'a Value>) -> String {
        match &node.kind {
            Kind::List(_) => "[]".to_owned(),
            Kind::Map(_) => "{}".to_owned(),
            Kind::Scalar { text, .. } if text.is_empty() => if node.is_null() { "" } else { "\"\"" }.to_owned(),
            Kind::Scalar { .. } if node.secret || self.is_password(schema) => HIDDEN.to_owned(),
            Kind::Scalar { text, plain } => scalar(&without_password(text), *plain),
        }
    }

    fn is_password(&self, schema: Option<&'a Value>) -> bool {
        self.followed(schema).is_some_and(|schema| schema.get("format").and_then(Value::as_str) == Some("password"))
    }

    fn field(&self, schema: Option<&'a Value>, name: &str) -> Option<&'a Value> {
        let schema = self.followed(schema)?;
        let field = schema.get("properties").and_then(|properties| properties.get(name));
        field.or_else(|| schema.get("additionalProperties"))
    }

    fn item(&self, schema: Option<&'a Value>) -> Option<&'a Value> {
        self.followed(schema)?.get("items")
    }

    /// The schema itself, behind references and choices of it or nothing.
    fn followed(&self, schema: Option<&'a Value>) -> Option<&'a Value> {
        let schema = schema?;
        if let Some(name) = schema.get("$ref").and_then(Value::as_str) {
            return self.followed(self.definitions?.get(name.rsplit('/').next()?));
        }
        let choices = schema.get("anyOf").or_else(|| schema.get("oneOf")).and_then(Value::as_array);
        match choices.and_then(|all| all.iter().find(|one| one.get("type") != Some(&Value::from("null")))) {
            Some(choice) => self.followed(Some(choice)),
            None => Some(schema),
        }
    }
}

fn is_list(node: &Node) -> bool {
    matches!(node.kind, Kind::List(_))
}

/// Whether it takes lines of its own.
fn is_block(node: &Node) -> bool {
    match &node.kind {
        Kind::Map(pairs) => !pairs.is_empty(),
        Kind::List(items) => !items.is_empty(),
        Kind::Scalar { .. } => false,
    }
}

/// A text that reads back as the same.
fn scalar(text: &str, plain: bool) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || "_-./+%<>$(){}|=~^*\\; ,'@".contains(c);
    let begins =
        text.starts_with(|c: char| c.is_ascii_alphanumeric() || "_/.<".contains(c) || (c == '-' && text.len() > 1));
    let word = |text: &str| {
        let lower = text.to_ascii_lowercase();
        ["", "~", "null", "true", "false", "yes", "no", "on", "off"].contains(&lower.as_str())
            || text.parse::<f64>().is_ok()
    };
    let colon = text.contains(": ") || text.ends_with(':');
    let bare = begins
        && !colon
        && !text.ends_with(' ')
        && !text.starts_with("- ")
        && text.chars().all(|c| safe(c) || c == ':');
    match bare && (plain || !word(text)) {
        true => text.to_owned(),
        // JSON's strings are YAML's.
        false => Value::from(text).to_string(),
    }
}

/// An address without the password in it.
fn without_password(text: &str) -> String {
    let hidden = || {
        let (scheme, rest) = text.split_once("://")?;
        let authority = rest.split(['/', '?', '#']).next()?;
        let (user, host) = authority.rsplit_once('@')?;
        let (user, _) = user.split_once(':')?;
        Some(format!("{scheme}://{user}:{HIDDEN}@{host}{}", &rest[authority.len()..]))
    };
    hidden().unwrap_or_else(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::super::yaml;
    use super::*;

    #[test]
    fn it_reads_back_without_its_secrets() {
        let written = r#"
site: {name: "Mail: one", url: https://me:pass@example.org/x}
empty: []
nothing:
flag: "true"
number: 15
receivers:
  - name: on-call
    pushover_configs:
      - token: abc
        user_key: "plain"
        list: [1, two, "3"]
  - plain text
  - [a, b]
rules: 'up == 0 and job=~"a.*"'
lines: "one\ntwo"
"#;
        let schema = json!({
            "properties": { "receivers": { "items": { "$ref": "#/$defs/Receiver" } } },
            "$defs": {
                "Receiver": { "properties": { "pushover_configs": { "items": {
                    "properties": { "token": { "anyOf": [{ "type": "null" }, { "format": "password" }] } },
                } } } },
            },
        });
        let mut root = yaml::parse(written, 0).unwrap();
        if let Kind::Map(pairs) = &mut root.kind {
            let number = pairs.iter_mut().find(|(key, _)| key.name == "number").unwrap();
            number.1.secret = true;
        }
        let shown = text(&root, &schema);
        expect![[r#"
            site:
              name: "Mail: one"
              url: https://me:<secret>@example.org/x
            empty: []
            nothing:
            flag: "true"
            number: <secret>
            receivers:
            - name: on-call
              pushover_configs:
              - token: <secret>
                user_key: plain
                list:
                - 1
                - two
                - "3"
            - plain text
            - - a
              - b
            rules: "up == 0 and job=~\"a.*\""
            lines: "one\ntwo"
        "#]]
        .assert_eq(&shown);
        assert_eq!(text(&yaml::parse(&shown, 0).unwrap(), &schema), shown, "reads back as it is");
    }
}
