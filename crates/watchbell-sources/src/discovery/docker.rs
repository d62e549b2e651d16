//! `docker_sd_configs`: the containers of a Docker daemon.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use watchbell_model::{Labels, Path, Problems, Span, Url, with_http_client};
use watchbell_runtime::http::Request;

use super::TargetGroup;
use super::ask::{Ask, query};
use super::target::{Target, items, join, pairs, text, word};

const CONTAINER: &str = "__meta_docker_container_";

/// What is asked for: only what has one of these values.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    /// Of what.
    pub name: String,
    /// Which values.
    #[serde(default)]
    pub values: Vec<String>,
}

with_http_client! {
    /// The containers of a Docker daemon, a target for each network and port.
    #[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    pub struct DockerSd {
        /// Where the daemon listens: `unix:///var/run/docker.sock`, `tcp://host:2375`, or a web address.
        pub host: String,
        /// The port of containers that publish none.
        #[serde(default = "port")]
        pub port: u16,
        /// Which containers are asked for, by the names of Docker's API, such as `label`.
        #[serde(default)]
        pub filters: Vec<Filter>,
        /// The address of containers in the host's own network.
        #[serde(default = "DockerSd::default_host_networking_host")]
        pub host_networking_host: String,
        /// How often the daemon is asked.
        #[serde(default = "refresh_interval")]
        pub refresh_interval: Span,
        /// Whether of a container's networks only the first by name is used.
        #[serde(default = "watchbell_model::yes")]
        pub match_first_network: bool,
    }
}

pub(super) fn port() -> u16 {
    80
}

pub(super) fn refresh_interval() -> Span {
    Span::minutes(1)
}

impl DockerSd {
    fn default_host_networking_host() -> String {
        "localhost".into()
    }

    /// What is wrong with it.
    pub fn check(&self, path: &Path, problems: &mut Problems) {
        check_host(&self.host, path, problems);
        super::check_refresh(self.refresh_interval, path, problems);
        self.http_client().check(path, problems);
    }

    pub(super) async fn targets(&self, ask: &Ask<'_>) -> Result<Vec<TargetGroup>, String> {
        let daemon = Daemon::of(&self.host)?;
        let containers = daemon.list(ask, "/containers/json", &self.filters).await?;
        let networks = daemon.networks(ask, "__meta_docker_").await?;
        let targets = self.describe(&containers, &networks);
        Ok(vec![TargetGroup { source: "Docker".into(), labels: Labels::empty(), targets }])
    }

    fn describe(&self, containers: &Value, networks: &BTreeMap<String, Target>) -> Vec<Labels> {
        let containers = items(containers, "");
        let by_id: BTreeMap<&str, &Value> = containers.iter().map(|it| (text(it, "/Id"), it)).collect();
        let mut targets = Vec::new();
        for container in containers {
            let Some(name) = items(container, "/Names").first().and_then(Value::as_str) else { continue };
            let mode = text(container, "/HostConfig/NetworkMode");
            let mut common = Target::new();
            common
                .set(format!("{CONTAINER}id"), text(container, "/Id"))
                .set(format!("{CONTAINER}name"), name)
                .set(format!("{CONTAINER}network_mode"), mode)
                .set(format!("{CONTAINER}image"), text(container, "/Image"))
                .set(format!("{CONTAINER}image_id"), text(container, "/ImageID"))
                .each(&format!("{CONTAINER}label_"), pairs(container, "/Labels"));
            let mut attached = networks_of(container, &by_id);
            if self.match_first_network && attached.len() > 1 {
                attached.truncate(1);
            }
            for network in attached {
                let ip = match text(network, "/IPAddress") {
                    "" => text(network, "/GlobalIPv6Address"),
                    ip => ip,
                };
                let mut base = Target::new();
                base.set("__meta_docker_network_ip", ip).also(&common);
                if let Some(known) = networks.get(text(network, "/NetworkID")) {
                    base.also(known);
                }
                let ports = items(container, "/Ports").iter().filter(|port| text(port, "/Type") == "tcp");
                let before = targets.len();
                for port in ports {
                    let private = word(port, "/PrivatePort");
                    let mut target = base.clone();
                    target.set("__meta_docker_port_private", &private).at(ip, &private);
                    let public = word(port, "/PublicPort");
                    if !matches!(public.as_str(), "" | "0") {
                        target.set("__meta_docker_port_public", public);
                        target.set("__meta_docker_port_public_ip", text(port, "/IP"));
                    }
                    targets.push(target.labels());
                }
                if targets.len() == before {
                    // A container in the host's network shows no ports, and has no address of its own.
                    let address = match mode {
                        "host" => self.host_networking_host.clone(),
                        _ => join(ip, self.port),
                    };
                    targets.push(base.set(super::groups::ADDRESS, address).labels());
                }
            }
        }
        targets
    }
}

/// A container's networks by name; one that shares the network of another container has those of that one.
fn networks_of<'a>(container: &'a Value, by_id: &BTreeMap<&str, &'a Value>) -> Vec<&'a Value> {
    /// How long a chain of shared networks may be; also stops a circle.
    const SHARED_MAX: usize = 8;
    let mut container = container;
    for _ in 0..SHARED_MAX {
        let networks = container.pointer("/NetworkSettings/Networks").and_then(Value::as_object);
        if let Some(networks) = networks.filter(|networks| !networks.is_empty()) {
            let mut named: Vec<(&String, &Value)> = networks.iter().filter(|(_, it)| it.is_object()).collect();
            named.sort_by_key(|(name, _)| *name);
            return named.into_iter().map(|(_, network)| network).collect();
        }
        let other = text(container, "/HostConfig/NetworkMode").strip_prefix("container:");
        match other.and_then(|id| by_id.get(id)) {
            Some(other) => container = other,
            None => break,
        }
    }
    Vec::new()
}

pub(super) fn check_host(host: &str, path: &Path, problems: &mut Problems) {
    if let Err(error) = Daemon::of(host) {
        let hint = "such as `unix:///var/run/docker.sock` or `tcp://host:2375`";
        problems.error(&path.field("host"), error).hint(hint);
    }
}

/// Where a daemon is asked.
pub(super) struct Daemon {
    base: String,
    socket: Option<PathBuf>,
}

impl Daemon {
    pub(super) fn of(host: &str) -> Result<Daemon, String> {
        if let Some(socket) = host.strip_prefix("unix://") {
            if !socket.starts_with('/') {
                return Err(format!("`{host}` does not name a socket"));
            }
            return Ok(Daemon { base: "http://docker".into(), socket: Some(socket.into()) });
        }
        let web = match host.strip_prefix("tcp://") {
            Some(rest) => format!("http://{rest}"),
            None => host.to_owned(),
        };
        let url: Url = web.parse().map_err(|_| format!("`{host}` is not where a Docker daemon listens"))?;
        Ok(Daemon { base: url.as_str().trim_end_matches('/').to_owned(), socket: None })
    }

    /// A list of its API.
    pub(super) async fn list(&self, ask: &Ask<'_>, path: &str, filters: &[Filter]) -> Result<Value, String> {
        let mut wanted: BTreeMap<&str, BTreeMap<&str, bool>> = BTreeMap::new();
        for filter in filters {
            wanted.entry(&filter.name).or_default().extend(filter.values.iter().map(|value| (value.as_str(), true)));
        }
        let wanted = match wanted.is_empty() {
            true => String::new(),
            false => serde_json::to_string(&wanted).map_err(|error| error.to_string())?,
        };
        let url = format!("{}{path}{}", self.base, query(&[("filters", &wanted)]));
        let url: Url = url.parse().map_err(|error: watchbell_model::UrlError| error.to_string())?;
        let mut request = Request::get(url);
        request.socket.clone_from(&self.socket);
        ask.json(request).await
    }

    /// What is known of each network, by its identity.
    pub(super) async fn networks(&self, ask: &Ask<'_>, prefix: &str) -> Result<BTreeMap<String, Target>, String> {
        let networks = self.list(ask, "/networks", &[]).await?;
        let describe = |network: &Value| {
            let mut target = Target::new();
            for (label, field) in [
                ("id", "/Id"),
                ("name", "/Name"),
                ("scope", "/Scope"),
                ("internal", "/Internal"),
                ("ingress", "/Ingress"),
            ] {
                let value = word(network, field);
                let value =
                    if value.is_empty() && matches!(label, "internal" | "ingress") { "false".into() } else { value };
                target.set(format!("{prefix}network_{label}"), value);
            }
            target.each(&format!("{prefix}network_label_"), pairs(network, "/Labels"));
            (text(network, "/Id").to_owned(), target)
        };
        Ok(items(&networks, "").iter().map(describe).collect())
    }
}
