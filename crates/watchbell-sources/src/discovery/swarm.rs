//! `dockerswarm_sd_configs`: the services, tasks or nodes of a Docker Swarm.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use watchbell_model::{Labels, Path, Problems, Span, with_http_client};

use super::TargetGroup;
use super::ask::Ask;
use super::docker::{Daemon, Filter, check_host};
use super::target::{Target, items, pairs, text, word};

const META: &str = "__meta_dockerswarm_";

with_http_client! {
    /// The services, tasks or nodes of a Docker Swarm.
    #[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    pub struct DockerSwarmSd {
        /// Where a manager's daemon listens: `unix:///var/run/docker.sock`, `tcp://host:2375`, or a web address.
        pub host: String,
        /// What is a target.
        pub role: SwarmRole,
        /// The port of targets that publish none.
        #[serde(default = "super::docker::port")]
        pub port: u16,
        /// Which ones are asked for, by the names of Docker's API, such as `label`.
        #[serde(default)]
        pub filters: Vec<Filter>,
        /// How often the daemon is asked.
        #[serde(default = "super::docker::refresh_interval")]
        pub refresh_interval: Span,
    }
}

/// What is a target in a Docker Swarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SwarmRole {
    /// Each port of each virtual address of a service.
    Services,
    /// Each published port and each address of a task.
    Tasks,
    /// Each node.
    Nodes,
}

impl DockerSwarmSd {
    /// What is wrong with it.
    pub fn check(&self, path: &Path, problems: &mut Problems) {
        check_host(&self.host, path, problems);
        super::check_refresh(self.refresh_interval, path, problems);
        self.http_client().check(path, problems);
    }

    pub(super) async fn targets(&self, ask: &Ask<'_>) -> Result<Vec<TargetGroup>, String> {
        let daemon = Daemon::of(&self.host)?;
        let targets = match self.role {
            SwarmRole::Services => {
                let services = daemon.list(ask, "/services", &self.filters).await?;
                let networks = daemon.networks(ask, META).await?;
                items(&services, "").iter().flat_map(|it| self.service(it, &networks)).collect()
            }
            SwarmRole::Nodes => {
                let nodes = daemon.list(ask, "/nodes", &self.filters).await?;
                items(&nodes, "").iter().map(|it| self.node(it)).collect()
            }
            SwarmRole::Tasks => {
                let tasks = daemon.list(ask, "/tasks", &self.filters).await?;
                let services = daemon.list(ask, "/services", &[]).await?;
                let nodes = daemon.list(ask, "/nodes", &[]).await?;
                let around = Around {
                    services: items(&services, "").iter().map(|it| (text(it, "/ID"), it)).collect(),
                    nodes: items(&nodes, "").iter().map(|it| (text(it, "/ID"), it)).collect(),
                    networks: daemon.networks(ask, META).await?,
                };
                items(&tasks, "").iter().flat_map(|it| self.task(it, &around)).collect()
            }
        };
        Ok(vec![TargetGroup { source: "DockerSwarm".into(), labels: Labels::empty(), targets }])
    }

    fn service(&self, service: &Value, networks: &BTreeMap<String, Target>) -> Vec<Labels> {
        let mut common = describe_service(service);
        common
            .set(format!("{META}service_updating_status"), text(service, "/UpdateStatus/State"))
            .set(
                format!("{META}service_task_container_hostname"),
                text(service, "/Spec/TaskTemplate/ContainerSpec/Hostname"),
            )
            .set(
                format!("{META}service_task_container_image"),
                text(service, "/Spec/TaskTemplate/ContainerSpec/Image"),
            );
        let mut targets = Vec::new();
        for address in items(service, "/Endpoint/VirtualIPs") {
            let ip = without_mask(text(address, "/Addr"));
            let mut base = common.clone();
            if let Some(network) = networks.get(text(address, "/NetworkID")) {
                base.also(network);
            }
            let before = targets.len();
            for port in tcp(items(service, "/Endpoint/Ports")) {
                let mut target = base.clone();
                target
                    .set(format!("{META}service_endpoint_port_name"), text(port, "/Name"))
                    .set(format!("{META}service_endpoint_port_publish_mode"), text(port, "/PublishMode"))
                    .at(ip, published(port));
                targets.push(target.labels());
            }
            if targets.len() == before {
                targets.push(base.at(ip, self.port).labels());
            }
        }
        targets
    }

    fn node(&self, node: &Value) -> Labels {
        let mut target = describe_node(node);
        target.set(format!("{META}node_engine_version"), text(node, "/Description/Engine/EngineVersion"));
        if node.get("ManagerStatus").is_some_and(Value::is_object) {
            let leads = node.pointer("/ManagerStatus/Leader") == Some(&Value::Bool(true));
            target
                .set(format!("{META}node_manager_leader"), leads.to_string())
                .set(format!("{META}node_manager_reachability"), text(node, "/ManagerStatus/Reachability"))
                .set(format!("{META}node_manager_address"), text(node, "/ManagerStatus/Addr"));
        }
        target.at(text(node, "/Status/Addr"), self.port).labels()
    }

    fn task(&self, task: &Value, around: &Around<'_>) -> Vec<Labels> {
        let slot = word(task, "/Slot");
        let mut common = Target::new();
        common
            .set(format!("{META}task_id"), text(task, "/ID"))
            .set(format!("{META}task_desired_state"), text(task, "/DesiredState"))
            .set(format!("{META}task_state"), text(task, "/Status/State"))
            .set(format!("{META}task_slot"), if slot.is_empty() { "0".into() } else { slot })
            .set(format!("{META}task_container_id"), text(task, "/Status/ContainerStatus/ContainerID"))
            .each(&format!("{META}container_label_"), pairs(task, "/Spec/ContainerSpec/Labels"));
        let service = around.services.get(text(task, "/ServiceID"));
        if let Some(service) = service {
            common.also(&describe_service(service));
        }
        if let Some(node) = around.nodes.get(text(task, "/NodeID")) {
            common.also(&describe_node(node));
        }
        let mode = format!("{META}task_port_publish_mode");
        let host = common.get(&format!("{META}node_address")).to_owned();
        let mut targets = Vec::new();
        for port in tcp(items(task, "/Status/PortStatus/Ports")) {
            let mut target = common.clone();
            targets.push(target.set(&mode, text(port, "/PublishMode")).at(&host, published(port)).labels());
        }
        for network in items(task, "/NetworksAttachments") {
            let mut base = common.clone();
            if let Some(known) = around.networks.get(text(network, "/Network/ID")) {
                base.also(known);
            }
            for address in items(network, "/Addresses").iter().filter_map(Value::as_str) {
                let ip = without_mask(address);
                let before = targets.len();
                for port in tcp(service.map_or(&[], |it| items(it, "/Endpoint/Ports"))) {
                    let mut target = base.clone();
                    targets.push(target.set(&mode, text(port, "/PublishMode")).at(ip, published(port)).labels());
                }
                if targets.len() == before {
                    targets.push(base.clone().at(ip, self.port).labels());
                }
            }
        }
        targets
    }
}

/// What a task's labels are made of besides itself.
struct Around<'a> {
    services: BTreeMap<&'a str, &'a Value>,
    nodes: BTreeMap<&'a str, &'a Value>,
    networks: BTreeMap<String, Target>,
}

fn describe_service(service: &Value) -> Target {
    let has = |mode: &str| service.pointer(&format!("/Spec/Mode/{mode}")).is_some_and(Value::is_object);
    let mode = if has("Global") {
        "global"
    } else if has("Replicated") {
        "replicated"
    } else {
        ""
    };
    let mut target = Target::new();
    target
        .set(format!("{META}service_id"), text(service, "/ID"))
        .set(format!("{META}service_name"), text(service, "/Spec/Name"))
        .set(format!("{META}service_mode"), mode)
        .each(&format!("{META}service_label_"), pairs(service, "/Spec/Labels"));
    target
}

fn describe_node(node: &Value) -> Target {
    let mut target = Target::new();
    for (label, field) in [
        ("id", "/ID"),
        ("role", "/Spec/Role"),
        ("availability", "/Spec/Availability"),
        ("hostname", "/Description/Hostname"),
        ("platform_architecture", "/Description/Platform/Architecture"),
        ("platform_os", "/Description/Platform/OS"),
        ("status", "/Status/State"),
        ("address", "/Status/Addr"),
    ] {
        target.set(format!("{META}node_{label}"), text(node, field));
    }
    target.each(&format!("{META}node_label_"), pairs(node, "/Spec/Labels"));
    target
}

fn tcp(ports: &[Value]) -> impl Iterator<Item = &Value> {
    ports.iter().filter(|port| text(port, "/Protocol") == "tcp")
}

fn published(port: &Value) -> String {
    let published = word(port, "/PublishedPort");
    if published.is_empty() { "0".into() } else { published }
}

/// The address of `10.0.0.2/24`.
fn without_mask(address: &str) -> &str {
    address.split('/').next().unwrap_or_default()
}
