//! What Prometheus refuses of `kubernetes_sd_configs`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use watchbell_model::{Path, Problems};

pub(super) const ROLES: &[&str] = &["node", "pod", "service", "endpoints", "endpointslice", "ingress"];

/// What a role selects among.
fn selectable(role: &str) -> &'static [&'static str] {
    match role {
        "pod" => &["pod", "node"],
        "service" => &["service"],
        "endpoints" => &["pod", "service", "endpoints"],
        "endpointslice" => &["pod", "service", "endpointslice"],
        "node" => &["node"],
        "ingress" => &["ingress"],
        _ => &[],
    }
}

pub(super) fn check(own: &BTreeMap<&str, &Value>, path: &Path, problems: &mut Problems) {
    let mut refuse = |field: &str, message: String| {
        problems.error(&path.field(field), message).hint("Prometheus refuses it too");
    };
    let server = own.contains_key("api_server");
    let file = own.contains_key("kubeconfig_file");
    let options = super::HTTP_FIELDS.iter().any(|field| own.contains_key(field));
    if file && server {
        refuse("kubeconfig_file", "there are both `kubeconfig_file` and `api_server`".into());
    }
    if file && options {
        refuse("kubeconfig_file", "HTTP options have no place beside `kubeconfig_file`".into());
    }
    if options && !server && !file {
        refuse("api_server", "HTTP options go with an `api_server` only".into());
    }
    if let Some(namespaces) = own.get("namespaces") {
        match namespaces.as_object() {
            None => refuse("namespaces", "a mapping was expected here".into()),
            Some(fields) => {
                if let Some(odd) = fields.keys().find(|field| !["own_namespace", "names"].contains(&field.as_str())) {
                    refuse("namespaces", format!("there is no field `{odd}` here, only `own_namespace` and `names`"));
                }
                if (server || file) && fields.get("own_namespace") == Some(&Value::Bool(true)) {
                    refuse("namespaces", "`own_namespace` goes with a watchbell that runs in the cluster only".into());
                }
            }
        }
    }
    if let Some(attached) = own.get("attach_metadata") {
        let known = ["node", "namespace", "deployment", "job", "cronjob"];
        let fits = attached.as_object().is_some_and(|fields| {
            fields.iter().all(|(name, value)| known.contains(&name.as_str()) && value.is_boolean())
        });
        if !fits {
            refuse("attach_metadata", format!("only `{}` go here, each `true` or `false`", known.join("`, `")));
        }
    }
    let role = own.get("role").and_then(|it| it.as_str()).unwrap_or_default();
    let mut seen = BTreeSet::new();
    for selector in own.get("selectors").and_then(|it| it.as_array()).into_iter().flatten() {
        let field = |name: &str| selector.get(name).and_then(Value::as_str).unwrap_or_default();
        let of = field("role");
        if !seen.insert(of) {
            refuse("selectors", format!("there are two selectors of the role `{of}`"));
        }
        if ROLES.contains(&role) && !selectable(role).contains(&of) {
            refuse(
                "selectors",
                format!("the role `{role}` selects no `{of}`, only `{}`", selectable(role).join("`, `")),
            );
        }
        let fields = field("field").split(',').filter(|part| !part.trim().is_empty());
        if let Some(odd) = fields.into_iter().find(|part| !part.contains('=')) {
            refuse("selectors", format!("`{odd}` is not a selector of fields"));
        }
    }
}
