//! Lists of target groups as files and web servers give them, in JSON and YAML. Pure.
//!
//! Strict, as Prometheus is: a field that is not known refuses the whole, so that a typing error loses no target unseen.

use std::collections::BTreeMap;

use serde::Deserialize;
use watchbell_model::Labels;

use super::TargetGroup;
use super::yaml::{self, Yaml};

/// The label that holds where a target is.
pub(super) const ADDRESS: &str = "__address__";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    targets: Option<Vec<String>>,
    labels: Option<BTreeMap<String, String>>,
}

/// Groups of a JSON text; `source` is what they come from, `meta` a label of all of them.
pub(super) fn from_json(body: &[u8], source: &str, meta: (&str, &str)) -> Result<Vec<TargetGroup>, String> {
    let groups: Option<Vec<Option<Group>>> = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    finish(groups.unwrap_or_default(), source, meta)
}

/// Groups of a YAML text.
pub(super) fn from_yaml(text: &str, source: &str, meta: (&str, &str)) -> Result<Vec<TargetGroup>, String> {
    let groups = match yaml::parse(text)? {
        Yaml::Null => Vec::new(),
        Yaml::List(items) => items.into_iter().map(group).collect::<Result<_, _>>()?,
        _ => return Err("a list of groups was expected, each with `targets` and perhaps `labels`".into()),
    };
    finish(groups, source, meta)
}

fn group(item: Yaml) -> Result<Option<Group>, String> {
    let pairs = match item {
        Yaml::Null => return Ok(None),
        Yaml::Map(pairs) => pairs,
        _ => return Err("a group is a mapping with `targets` and perhaps `labels`".into()),
    };
    let mut group = Group { targets: None, labels: None };
    for (name, value) in pairs {
        match (name.as_str(), value) {
            ("targets" | "labels", Yaml::Null) => {}
            ("targets", Yaml::List(items)) => {
                let text = |item| match item {
                    Yaml::Text(text) => Ok(text),
                    _ => Err("each of `targets` is a text such as `host:port`".to_owned()),
                };
                group.targets = Some(items.into_iter().map(text).collect::<Result<_, _>>()?);
            }
            ("labels", Yaml::Map(pairs)) => {
                let text = |(name, value)| match value {
                    Yaml::Text(text) => Ok((name, text)),
                    Yaml::Null => Ok((name, String::new())),
                    _ => Err(format!("the label `{name}` is not a text")),
                };
                group.labels = Some(pairs.into_iter().map(text).collect::<Result<_, _>>()?);
            }
            ("targets", _) => return Err("`targets` is not a list".into()),
            ("labels", _) => return Err("`labels` is not a mapping".into()),
            (other, _) => return Err(format!("a group has no field `{other}`, only `targets` and `labels`")),
        }
    }
    Ok(Some(group))
}

fn finish(groups: Vec<Option<Group>>, source: &str, meta: (&str, &str)) -> Result<Vec<TargetGroup>, String> {
    let finish = |(at, group): (usize, Option<Group>)| {
        let group = group.ok_or_else(|| format!("group {} is empty", at + 1))?;
        let labels = group.labels.unwrap_or_default();
        if labels.contains_key("") {
            return Err(format!("group {} has a label without a name", at + 1));
        }
        Ok(TargetGroup {
            source: format!("{source}:{at}"),
            labels: Labels::from_pairs(
                labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).chain([meta]),
            ),
            targets: group.targets.unwrap_or_default().iter().map(|it| Labels::from_pairs([(ADDRESS, it)])).collect(),
        })
    };
    groups.into_iter().enumerate().map(finish).collect()
}
