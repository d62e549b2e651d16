//! `consul_sd_configs`: the services of a Consul catalog, with their health.
//!
//! Asked at each interval, without Consul's blocking queries: a change is noticed within `refresh_interval`.

use futures_util::StreamExt;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use watchbell_model::{Labels, Path, Problems, Secret, Span, Url, with_http_client};
use watchbell_runtime::http::Request;

use super::ask::{ASKED_MAX, Ask, PARTS_MAX, query};
use super::target::{Target, items, pairs, text, word};
use super::{Kept, TargetGroup};

with_http_client! {
    /// The services of a Consul catalog.
    #[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    pub struct ConsulSd {
        /// Where Consul listens.
        #[serde(default = "ConsulSd::default_server")]
        pub server: String,
        /// What comes before the paths of its API, where a gateway stands before it.
        #[serde(default)]
        pub path_prefix: String,
        /// An ACL token.
        #[serde(default)]
        pub token: Option<Secret>,
        /// Its datacenter; that of the agent that is asked if it is not given.
        #[serde(default)]
        pub datacenter: String,
        /// A namespace of Consul Enterprise.
        #[serde(default)]
        pub namespace: String,
        /// An admin partition of Consul Enterprise.
        #[serde(default)]
        pub partition: String,
        /// What stands between the tags in `__meta_consul_tags`.
        #[serde(default = "ConsulSd::default_tag_separator")]
        pub tag_separator: String,
        /// `http` or `https`.
        #[serde(default = "ConsulSd::default_scheme")]
        pub scheme: String,
        /// The older way to write `basic_auth`.
        #[serde(default)]
        pub username: String,
        /// The older way to write `basic_auth`.
        #[serde(default)]
        pub password: Option<Secret>,
        /// Whether an answer may be a little old, which costs Consul far less.
        #[serde(default = "watchbell_model::yes")]
        pub allow_stale: bool,
        /// How often the catalog is asked.
        #[serde(default = "ConsulSd::default_refresh_interval")]
        pub refresh_interval: Span,
        /// Which services; all of them if none is named.
        #[serde(default)]
        pub services: Vec<String>,
        /// Only services and instances with all of these tags.
        #[serde(default)]
        pub tags: Vec<String>,
        /// Only nodes with this metadata.
        #[serde(default)]
        pub node_meta: BTreeMap<String, String>,
        /// An expression for the catalog API.
        #[serde(default)]
        pub filter: String,
        /// An expression for the health API.
        #[serde(default)]
        pub health_filter: String,
    }
}

impl ConsulSd {
    fn default_server() -> String {
        "localhost:8500".into()
    }
    fn default_tag_separator() -> String {
        ",".into()
    }
    fn default_scheme() -> String {
        "http".into()
    }
    fn default_refresh_interval() -> Span {
        Span::seconds(30)
    }

    /// What is wrong with it.
    pub fn check(&self, path: &Path, problems: &mut Problems) {
        if let Err(error) = self.base() {
            problems.error(&path.field("server"), error).hint("such as `localhost:8500`");
        }
        if (!self.username.is_empty() || self.password.is_some()) && self.basic_auth.is_some() {
            problems.error(path, "there are both `username` and `basic_auth`").hint("use `basic_auth` alone");
        }
        if self.token.is_some() && (self.authorization.is_some() || self.oauth2.is_some()) {
            problems.error(path, "there are both `token` and other credentials").hint("use one of them alone");
        }
        super::check_refresh(self.refresh_interval, path, problems);
        self.http_client().check(path, problems);
    }

    /// The HTTP options, with the older fields in their place.
    pub(super) fn client(&self) -> watchbell_model::HttpClientConfig {
        let mut client = self.http_client();
        if client.basic_auth.is_none() && (!self.username.is_empty() || self.password.is_some()) {
            client.basic_auth = Some(watchbell_model::BasicAuth {
                username: self.username.clone(),
                username_file: None,
                password: self.password.clone(),
                password_file: None,
            });
        }
        client
    }

    fn base(&self) -> Result<String, String> {
        let server = self.server.trim();
        let address = if server.contains("://") { server.to_owned() } else { format!("{}://{server}", self.scheme) };
        let url: Url = address.parse().map_err(|error: watchbell_model::UrlError| error.to_string())?;
        let prefix = self.path_prefix.trim_matches('/');
        let base = url.as_str().trim_end_matches('/').to_owned();
        Ok(if prefix.is_empty() { base } else { format!("{base}/{prefix}") })
    }

    async fn ask(&self, ask: &Ask<'_>, path: &str, filter: &str, tags: &[String]) -> Result<Value, String> {
        let meta: Vec<String> = self.node_meta.iter().map(|(name, value)| format!("{name}:{value}")).collect();
        let mut pairs = vec![("dc", self.datacenter.as_str()), ("ns", &self.namespace), ("partition", &self.partition)];
        pairs.push(("filter", filter));
        pairs.extend(meta.iter().map(|it| ("node-meta", it.as_str())));
        pairs.extend(tags.iter().map(|tag| ("tag", tag.as_str())));
        if self.allow_stale {
            pairs.push(("stale", "true"));
        }
        let url = format!("{}{path}{}", self.base()?, query(&pairs));
        let url: Url = url.parse().map_err(|error: watchbell_model::UrlError| error.to_string())?;
        let mut request = Request::get(url);
        if let Some(token) = &self.token {
            request = request.header("x-consul-token", token.expose());
            request.secret_headers.push("x-consul-token".into());
        }
        ask.json(request).await
    }

    pub(super) async fn targets(&self, ask: &Ask<'_>, kept: &Kept) -> Result<Vec<TargetGroup>, String> {
        let datacenter = match self.datacenter.as_str() {
            "" => {
                let agent = self.ask(ask, "/v1/agent/self", "", &[]).await?;
                text(&agent, "/Config/Datacenter").to_owned()
            }
            given => given.to_owned(),
        };
        let names = if self.services.is_empty() || !self.tags.is_empty() || !self.filter.is_empty() {
            let catalog = self.ask(ask, "/v1/catalog/services", &self.filter, &[]).await?;
            let catalog = catalog.as_object().ok_or("the list of services is not a mapping")?.clone();
            catalog.into_iter().filter(|(name, tags)| self.wants(name, tags)).map(|(name, _)| name).collect()
        } else {
            self.services.clone()
        };
        if names.len() > PARTS_MAX {
            return Err(format!(
                "the catalog has {} services, but {PARTS_MAX} are the most that are asked",
                names.len()
            ));
        }
        let datacenter = &datacenter;
        let parts = futures_util::stream::iter(names)
            .map(async |name| {
                let path = format!("/v1/health/service/{}", watchbell_runtime::client::escape(&name));
                let answer = self.ask(ask, &path, &self.health_filter, &self.tags).await;
                let group = answer.map(|answer| vec![self.describe(&name, datacenter, &answer)]);
                (name, group)
            })
            .buffered(ASKED_MAX);
        kept.renew("consul", parts.collect().await)
    }

    fn wants(&self, name: &str, tags: &Value) -> bool {
        let has = |tag: &String| items(tags, "").iter().any(|have| have == tag.as_str());
        (self.services.is_empty() || self.services.iter().any(|it| it == name)) && self.tags.iter().all(has)
    }

    fn describe(&self, name: &str, datacenter: &str, answer: &Value) -> TargetGroup {
        let labels = [("__meta_consul_service", name), ("__meta_consul_dc", datacenter)];
        let targets = items(answer, "").iter().map(|entry| self.instance(entry)).collect();
        TargetGroup { source: name.to_owned(), labels: Labels::from_pairs(labels), targets }
    }

    fn instance(&self, entry: &Value) -> Labels {
        let tags: Vec<&str> = items(entry, "/Service/Tags").iter().filter_map(Value::as_str).collect();
        let (apart, port) = (&self.tag_separator, word(entry, "/Service/Port"));
        let host = match text(entry, "/Service/Address") {
            "" => text(entry, "/Node/Address"),
            own => own,
        };
        let mut target = Target::new();
        target
            .at(host, &port)
            .set("__meta_consul_address", text(entry, "/Node/Address"))
            .set("__meta_consul_node", text(entry, "/Node/Node"))
            .set("__meta_consul_namespace", text(entry, "/Service/Namespace"))
            .set("__meta_consul_partition", text(entry, "/Service/Partition"))
            .set("__meta_consul_tags", format!("{apart}{}{apart}", tags.join(apart)))
            .set("__meta_consul_service_address", text(entry, "/Service/Address"))
            .set("__meta_consul_service_port", port)
            .set("__meta_consul_service_id", text(entry, "/Service/ID"))
            .set("__meta_consul_health", health(entry))
            .each("__meta_consul_metadata_", pairs(entry, "/Node/Meta"))
            .each("__meta_consul_service_metadata_", pairs(entry, "/Service/Meta"))
            .each("__meta_consul_tagged_address_", pairs(entry, "/Node/TaggedAddresses"));
        target.labels()
    }
}

/// The worst of the checks of an instance and its node.
fn health(entry: &Value) -> &'static str {
    let mut worst = "passing";
    for check in items(entry, "/Checks") {
        let id = text(check, "/CheckID");
        if id == "_node_maintenance" || id.starts_with("_service_maintenance:") {
            return "maintenance";
        }
        match text(check, "/Status") {
            "critical" => worst = "critical",
            "warning" if worst == "passing" => worst = "warning",
            "passing" | "warning" => {}
            // A state that Consul does not have.
            _ => return "",
        }
    }
    worst
}
