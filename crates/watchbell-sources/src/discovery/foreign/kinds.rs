//! The fields of each kind, as Prometheus' documentation and its own reading of them have it.

use std::collections::BTreeMap;

use serde_json::Value;
use watchbell_model::{Path, Problems};

use super::kubernetes;

/// What a field holds.
#[derive(Clone, Copy)]
pub(super) enum Field {
    Text,
    Number,
    Bool,
    Span,
    Texts,
    Url,
    Any,
    One(&'static [&'static str]),
}
use Field::{Any, Bool, Number, One, Span, Text, Texts, Url};

type Rules = fn(&BTreeMap<&str, &Value>, &Path, &mut Problems);

/// A kind of discovery.
pub(super) struct Kind {
    /// Without `_sd_configs`.
    pub(super) name: &'static str,
    pub(super) fields: &'static [(&'static str, Field)],
    /// Fields without which it is refused.
    pub(super) required: &'static [&'static str],
    /// Fields of which at most one is given.
    pub(super) exclusive: &'static [&'static [&'static str]],
    /// Fields of which at least one is given.
    pub(super) one_of: &'static [&'static [&'static str]],
    /// Whether it has the HTTP options, or only `tls_config` of them.
    pub(super) http: bool,
    pub(super) tls: bool,
    pub(super) rules: Rules,
}

const PLAIN: Kind = Kind {
    name: "",
    fields: &[],
    required: &[],
    exclusive: &[],
    one_of: &[],
    http: true,
    tls: false,
    rules: |_, _, _| {},
};

/// Every kind, by name.
pub(super) const KINDS: &[Kind] = &[
    Kind {
        name: "azure",
        fields: &[
            ("environment", Text),
            ("port", Number),
            ("subscription_id", Text),
            ("tenant_id", Text),
            ("client_id", Text),
            ("client_secret", Text),
            ("refresh_interval", Span),
            ("authentication_method", One(&["OAuth", "ManagedIdentity", "SDK", "WorkloadIdentity"])),
            ("resource_group", Text),
        ],
        required: &["subscription_id"],
        rules: |own, path, problems| {
            let method = own.get("authentication_method").and_then(|it| it.as_str()).unwrap_or("OAuth");
            for name in ["tenant_id", "client_id", "client_secret"] {
                if method == "OAuth" && own.get(name).is_none_or(|value| super::is_empty(value)) {
                    let message = format!("the field `{name}` is missing, which OAuth asks for");
                    problems.error(path, message).hint("or another `authentication_method`");
                }
            }
        },
        ..PLAIN
    },
    Kind { name: "elasticache", fields: AWS_CLUSTERS, ..PLAIN },
    Kind { name: "eureka", fields: &[("server", Url), ("refresh_interval", Span)], required: &["server"], ..PLAIN },
    Kind {
        name: "gce",
        fields: &[
            ("project", Text),
            ("zone", Text),
            ("filter", Text),
            ("refresh_interval", Span),
            ("port", Number),
            ("tag_separator", Text),
        ],
        required: &["project", "zone"],
        http: false,
        ..PLAIN
    },
    Kind {
        name: "ionos",
        fields: &[("datacenter_id", Text), ("refresh_interval", Span), ("port", Number)],
        required: &["datacenter_id"],
        ..PLAIN
    },
    Kind {
        name: "kubernetes",
        fields: &[
            ("api_server", Url),
            ("role", One(kubernetes::ROLES)),
            ("kubeconfig_file", Text),
            ("namespaces", Any),
            ("selectors", Any),
            ("attach_metadata", Any),
        ],
        required: &["role"],
        rules: kubernetes::check,
        ..PLAIN
    },
    Kind {
        name: "kuma",
        fields: &[("server", Url), ("client_id", Text), ("refresh_interval", Span), ("fetch_timeout", Span)],
        required: &["server"],
        ..PLAIN
    },
    Kind {
        name: "linode",
        fields: &[("refresh_interval", Span), ("port", Number), ("tag_separator", Text), ("region", Text)],
        ..PLAIN
    },
    Kind {
        name: "marathon",
        fields: &[("servers", Texts), ("refresh_interval", Span), ("auth_token", Text), ("auth_token_file", Text)],
        required: &["servers"],
        exclusive: &[
            &["auth_token", "auth_token_file"],
            &["auth_token", "basic_auth"],
            &["auth_token_file", "basic_auth"],
            &["auth_token", "bearer_token"],
            &["auth_token", "bearer_token_file"],
            &["auth_token_file", "bearer_token"],
            &["auth_token_file", "bearer_token_file"],
            &["auth_token", "authorization"],
            &["auth_token_file", "authorization"],
        ],
        ..PLAIN
    },
    Kind { name: "msk", fields: AWS_CLUSTERS, ..PLAIN },
    Kind {
        name: "nerve",
        fields: &[("servers", Texts), ("paths", Texts), ("timeout", Span)],
        required: &["servers", "paths"],
        http: false,
        rules: rooted_paths,
        ..PLAIN
    },
    Kind {
        name: "oci",
        fields: &[
            ("auth", One(&["api_key", "instance_principal"])),
            ("tenancy", Text),
            ("user", Text),
            ("fingerprint", Text),
            ("key_file", Text),
            ("key_passphrase", Text),
            ("key_passphrase_file", Text),
            ("region", Text),
            ("compartments", Texts),
            ("port", Number),
            ("refresh_interval", Span),
        ],
        required: &["region"],
        exclusive: &[&["key_passphrase", "key_passphrase_file"]],
        rules: |own, path, problems| {
            let by_key = own.get("auth").and_then(|it| it.as_str()).unwrap_or("api_key") == "api_key";
            for name in ["tenancy", "user", "fingerprint", "key_file"] {
                let given = own.get(name).is_some_and(|value| !super::is_empty(value));
                if by_key != given {
                    let message = if by_key { "is missing" } else { "has no place beside `instance_principal`" };
                    problems.error(path, format!("the field `{name}` {message}")).hint("Prometheus refuses it too");
                }
            }
        },
        ..PLAIN
    },
    Kind {
        name: "openstack",
        fields: &[
            ("identity_endpoint", Text),
            ("username", Text),
            ("userid", Text),
            ("password", Text),
            ("project_name", Text),
            ("project_id", Text),
            ("domain_name", Text),
            ("domain_id", Text),
            ("application_credential_name", Text),
            ("application_credential_id", Text),
            ("application_credential_secret", Text),
            ("role", One(&["hypervisor", "instance", "loadbalancer"])),
            ("region", Text),
            ("refresh_interval", Span),
            ("port", Number),
            ("all_tenants", Bool),
            ("availability", One(&["public", "internal", "admin"])),
        ],
        required: &["role", "region"],
        http: false,
        tls: true,
        ..PLAIN
    },
    Kind {
        name: "outscale",
        fields: &[
            ("endpoint", Text),
            ("region", Text),
            ("access_key", Text),
            ("secret_key", Text),
            ("secret_key_file", Text),
            ("refresh_interval", Span),
            ("port", Number),
        ],
        required: &["region", "access_key"],
        exclusive: &[&["secret_key", "secret_key_file"]],
        one_of: &[&["secret_key", "secret_key_file"]],
        ..PLAIN
    },
    Kind {
        name: "ovhcloud",
        fields: &[
            ("endpoint", Text),
            ("application_key", Text),
            ("application_secret", Text),
            ("consumer_key", Text),
            ("refresh_interval", Span),
            ("service", One(&["dedicated_server", "vps"])),
        ],
        required: &["application_key", "application_secret", "consumer_key", "service"],
        http: false,
        ..PLAIN
    },
    Kind {
        name: "puppetdb",
        fields: &[
            ("refresh_interval", Span),
            ("url", Url),
            ("query", Text),
            ("include_parameters", Bool),
            ("port", Number),
        ],
        required: &["url", "query"],
        ..PLAIN
    },
    Kind { name: "rds", fields: AWS_CLUSTERS, ..PLAIN },
    Kind {
        name: "scaleway",
        fields: &[
            ("project_id", Text),
            ("api_url", Text),
            ("zone", Text),
            ("access_key", Text),
            ("secret_key", Text),
            ("secret_key_file", Text),
            ("name_filter", Text),
            ("tags_filter", Texts),
            ("refresh_interval", Span),
            ("port", Number),
            ("role", One(&["instance", "baremetal"])),
        ],
        required: &["role", "project_id", "access_key"],
        exclusive: &[&["secret_key", "secret_key_file"]],
        one_of: &[&["secret_key", "secret_key_file"]],
        ..PLAIN
    },
    Kind {
        name: "serverset",
        fields: &[("servers", Texts), ("paths", Texts), ("timeout", Span)],
        required: &["servers", "paths"],
        http: false,
        rules: rooted_paths,
        ..PLAIN
    },
    Kind {
        name: "stackit",
        fields: &[
            ("project", Text),
            ("refresh_interval", Span),
            ("port", Number),
            ("region", Text),
            ("endpoint", Url),
            ("service_account_key", Text),
            ("private_key", Text),
            ("service_account_key_path", Text),
            ("private_key_path", Text),
            ("credentials_file_path", Text),
        ],
        ..PLAIN
    },
    Kind {
        name: "triton",
        fields: &[
            ("account", Text),
            ("role", One(&["container", "cn"])),
            ("dns_suffix", Text),
            ("endpoint", Text),
            ("groups", Texts),
            ("port", Number),
            ("refresh_interval", Span),
            ("version", Number),
        ],
        required: &["account", "dns_suffix", "endpoint"],
        http: false,
        tls: true,
        ..PLAIN
    },
    Kind {
        name: "uyuni",
        fields: &[
            ("server", Text),
            ("username", Text),
            ("password", Text),
            ("entitlement", Text),
            ("separator", Text),
            ("refresh_interval", Span),
        ],
        required: &["server", "username", "password"],
        ..PLAIN
    },
];

const AWS_CLUSTERS: &[(&str, Field)] = &[
    ("region", Text),
    ("endpoint", Text),
    ("access_key", Text),
    ("secret_key", Text),
    ("profile", Text),
    ("role_arn", Text),
    ("external_id", Text),
    ("clusters", Texts),
    ("filters", Any),
    ("port", Number),
    ("refresh_interval", Span),
    ("request_concurrency", Number),
];

fn rooted_paths(own: &BTreeMap<&str, &Value>, path: &Path, problems: &mut Problems) {
    for item in own.get("paths").and_then(|it| it.as_array()).into_iter().flatten().filter_map(Value::as_str) {
        if !item.starts_with('/') {
            problems
                .error(&path.field("paths"), format!("`{item}` does not begin with a slash"))
                .hint(format!("`/{item}`"));
        }
    }
}
