//! `nomad_sd_configs`: the services that Nomad itself keeps.

use futures_util::StreamExt;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use watchbell_model::{Labels, Path, Problems, Span, Url, with_http_client};

use super::TargetGroup;
use super::ask::{ASKED_MAX, Ask, PARTS_MAX, query};
use super::docker::refresh_interval;
use super::target::{Target, items, text, word};

with_http_client! {
    /// The services that Nomad itself keeps.
    #[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    pub struct NomadSd {
        /// Where Nomad listens.
        #[serde(default = "NomadSd::default_server")]
        pub server: Url,
        /// Its namespace.
        #[serde(default = "NomadSd::default_namespace")]
        pub namespace: String,
        /// Its region.
        #[serde(default = "NomadSd::default_region")]
        pub region: String,
        /// Whether an answer may be a little old.
        #[serde(default = "watchbell_model::yes")]
        pub allow_stale: bool,
        /// What stands between the tags in `__meta_nomad_tags`.
        #[serde(default = "NomadSd::default_tag_separator")]
        pub tag_separator: String,
        /// How often Nomad is asked.
        #[serde(default = "refresh_interval")]
        pub refresh_interval: Span,
    }
}

impl NomadSd {
    fn default_server() -> Url {
        "http://localhost:4646".parse().expect("it is an address")
    }
    fn default_namespace() -> String {
        "default".into()
    }
    fn default_region() -> String {
        "global".into()
    }
    fn default_tag_separator() -> String {
        ",".into()
    }

    /// What is wrong with it.
    pub fn check(&self, path: &Path, problems: &mut Problems) {
        super::check_refresh(self.refresh_interval, path, problems);
        self.http_client().check(path, problems);
    }

    async fn ask(&self, ask: &Ask<'_>, path: &str) -> Result<Value, String> {
        let stale = if self.allow_stale { "true" } else { "" };
        let query = query(&[("namespace", &self.namespace), ("region", &self.region), ("stale", stale)]);
        ask.get(&format!("{}{query}", self.server.join(path))).await
    }

    pub(super) async fn targets(&self, ask: &Ask<'_>) -> Result<Vec<TargetGroup>, String> {
        let spaces = self.ask(ask, "/v1/services").await?;
        let services = items(&spaces, "").iter().flat_map(|space| items(space, "/Services"));
        let names: Vec<String> = services.map(|service| text(service, "/ServiceName").to_owned()).collect();
        if names.len() > PARTS_MAX {
            return Err(format!("there are {} services, but {PARTS_MAX} are the most that are asked", names.len()));
        }
        let answers = futures_util::stream::iter(names)
            .map(async |name| self.ask(ask, &format!("/v1/service/{}", watchbell_runtime::client::escape(&name))).await)
            .buffered(ASKED_MAX);
        let answers: Vec<Result<Value, String>> = answers.collect().await;
        let mut targets = Vec::new();
        for answer in answers {
            targets.extend(items(&answer?, "").iter().map(|instance| self.describe(instance)));
        }
        Ok(vec![TargetGroup { source: "Nomad".into(), labels: Labels::empty(), targets }])
    }

    fn describe(&self, instance: &Value) -> Labels {
        let (address, port) = (text(instance, "/Address"), word(instance, "/Port"));
        let tags: Vec<&str> = items(instance, "/Tags").iter().filter_map(Value::as_str).collect();
        let mut target = Target::new();
        target
            .at(address, &port)
            .set("__meta_nomad_address", address)
            .set("__meta_nomad_dc", text(instance, "/Datacenter"))
            .set("__meta_nomad_node_id", text(instance, "/NodeID"))
            .set("__meta_nomad_namespace", text(instance, "/Namespace"))
            .set("__meta_nomad_service", text(instance, "/ServiceName"))
            .set("__meta_nomad_service_address", address)
            .set("__meta_nomad_service_id", text(instance, "/ID"))
            .set("__meta_nomad_service_port", port);
        if !tags.is_empty() {
            let apart = &self.tag_separator;
            target.set("__meta_nomad_tags", format!("{apart}{}{apart}", tags.join(apart)));
        }
        target.labels()
    }
}
