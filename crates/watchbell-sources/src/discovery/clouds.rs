//! Servers rented elsewhere: `hetzner_sd_configs`, `digitalocean_sd_configs`, `vultr_sd_configs`. Each is a list in JSON,
//! page by page, asked for with the bearer token (or name and password) of the HTTP options.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use watchbell_model::{Labels, Path, Problems, Span, with_http_client};

use super::TargetGroup;
use super::ask::{Ask, PARTS_MAX, query};
use super::docker::{port, refresh_interval};
use super::target::{Target, items, pairs, text, word};

const HETZNER_CLOUD: &str = "https://api.hetzner.cloud/v1";
const HETZNER_ROBOT: &str = "https://robot-ws.your-server.de";
const DIGITALOCEAN: &str = "https://api.digitalocean.com/v2";
const VULTR: &str = "https://api.vultr.com/v2";

with_http_client! {
    /// Servers at Hetzner.
    #[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    pub struct HetznerSd {
        /// `hcloud` for Hetzner Cloud (a bearer token), `robot` for dedicated servers (a name and a password).
        pub role: HetznerRole,
        /// The port of the targets.
        #[serde(default = "port")]
        pub port: u16,
        /// Which servers of the cloud are asked for, by their labels.
        #[serde(default)]
        pub label_selector: String,
        /// How often the API is asked.
        #[serde(default = "refresh_interval")]
        pub refresh_interval: Span,
    }
}

/// What is a target at Hetzner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum HetznerRole {
    /// Servers of the cloud.
    Hcloud,
    /// Dedicated servers.
    Robot,
}

with_http_client! {
    /// Servers at DigitalOcean.
    #[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    pub struct DigitalOceanSd {
        /// What is a target.
        #[serde(default)]
        pub role: DigitalOceanRole,
        /// The port of the targets.
        #[serde(default = "port")]
        pub port: u16,
        /// How often the API is asked.
        #[serde(default = "refresh_interval")]
        pub refresh_interval: Span,
    }
}

/// What is a target at DigitalOcean.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DigitalOceanRole {
    /// Droplets.
    #[default]
    Droplets,
    /// Managed databases; not looked for yet.
    Databases,
}

with_http_client! {
    /// Servers at Vultr.
    #[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    pub struct VultrSd {
        /// The port of the targets.
        #[serde(default = "port")]
        pub port: u16,
        /// How often the API is asked.
        #[serde(default = "refresh_interval")]
        pub refresh_interval: Span,
    }
}

fn one(source: &str, targets: Vec<Labels>) -> Vec<TargetGroup> {
    vec![TargetGroup { source: source.into(), labels: Labels::empty(), targets }]
}

impl HetznerSd {
    /// What is wrong with it.
    pub fn check(&self, path: &Path, problems: &mut Problems) {
        super::check_refresh(self.refresh_interval, path, problems);
        self.http_client().check(path, problems);
    }

    pub(super) async fn targets(&self, ask: &Ask<'_>) -> Result<Vec<TargetGroup>, String> {
        let targets = match self.role {
            HetznerRole::Robot => {
                let servers = ask.get(&format!("{HETZNER_ROBOT}/server")).await?;
                items(&servers, "").iter().map(|it| self.dedicated(it)).collect()
            }
            HetznerRole::Hcloud => {
                let servers = self.pages(ask, "servers", &self.label_selector).await?;
                let networks = self.pages(ask, "networks", "").await?;
                servers.iter().map(|it| self.rented(it, &networks)).collect()
            }
        };
        Ok(one("hetzner", targets))
    }

    async fn pages(&self, ask: &Ask<'_>, what: &str, selector: &str) -> Result<Vec<Value>, String> {
        let (mut found, mut page) = (Vec::new(), "1".to_owned());
        for _ in 0..PARTS_MAX {
            let query = query(&[("page", &page), ("per_page", "50"), ("label_selector", selector)]);
            let answer = ask.get(&format!("{HETZNER_CLOUD}/{what}{query}")).await?;
            found.extend(items(&answer, &format!("/{what}")).iter().cloned());
            page = word(&answer, "/meta/pagination/next_page");
            if page.is_empty() {
                return Ok(found);
            }
        }
        Err(format!("there are more than {PARTS_MAX} pages of {what}"))
    }

    fn rented(&self, server: &Value, networks: &[Value]) -> Labels {
        let ip = text(server, "/public_net/ipv4/ip");
        let cloud = "__meta_hetzner_hcloud_";
        let place = ["/location", "/datacenter/location"]
            .into_iter()
            .find(|it| server.pointer(it).is_some_and(Value::is_object));
        let place = place.unwrap_or("/location");
        let memory = server.pointer("/server_type/memory").and_then(Value::as_f64).unwrap_or_default() as u64;
        let mut target = Target::new();
        target
            .at(ip, self.port)
            .set("__meta_hetzner_role", "hcloud")
            .set("__meta_hetzner_server_id", word(server, "/id"))
            .set("__meta_hetzner_server_name", text(server, "/name"))
            .set("__meta_hetzner_server_status", text(server, "/status"))
            .set("__meta_hetzner_public_ipv4", ip)
            .set("__meta_hetzner_public_ipv6_network", text(server, "/public_net/ipv6/ip"));
        for prefix in ["location", "datacenter_location"] {
            target.set(format!("{cloud}{prefix}"), text(server, &format!("{place}/name")));
            target.set(format!("{cloud}{prefix}_network_zone"), text(server, &format!("{place}/network_zone")));
        }
        for (label, field) in [
            ("server_type", "/server_type/name"),
            ("cpu_cores", "/server_type/cores"),
            ("cpu_type", "/server_type/cpu_type"),
            ("disk_size_gb", "/server_type/disk"),
            ("image_name", "/image/name"),
            ("image_description", "/image/description"),
            ("image_os_version", "/image/os_version"),
            ("image_os_flavor", "/image/os_flavor"),
        ] {
            target.set(format!("{cloud}{label}"), word(server, field));
        }
        target.set(format!("{cloud}memory_size_gb"), memory.to_string());
        for own in items(server, "/private_net") {
            let network = networks.iter().find(|it| it.get("id") == own.get("network"));
            let pair = network.map(|network| (text(network, "/name"), text(own, "/ip")));
            target.each(&format!("{cloud}private_ipv4_"), pair);
        }
        target.each(&format!("{cloud}labelpresent_"), pairs(server, "/labels").map(|(name, _)| (name, "true")));
        target.each(&format!("{cloud}label_"), pairs(server, "/labels"));
        target.labels()
    }

    fn dedicated(&self, item: &Value) -> Labels {
        let field = |name: &str| word(item, &format!("/server/{name}"));
        let datacenter = field("dc").to_lowercase();
        let mut target = Target::new();
        target
            .at(&field("server_ip"), self.port)
            .set("__meta_hetzner_role", "robot")
            .set("__meta_hetzner_server_id", field("server_number"))
            .set("__meta_hetzner_server_name", field("server_name"))
            .set("__meta_hetzner_server_status", field("status"))
            .set("__meta_hetzner_public_ipv4", field("server_ip"))
            .set("__meta_hetzner_datacenter", &datacenter)
            .set("__meta_hetzner_robot_datacenter", datacenter)
            .set("__meta_hetzner_robot_product", field("product"))
            .set("__meta_hetzner_robot_cancelled", field("cancelled"));
        let network = items(item, "/server/subnet").iter().find(|it| text(it, "/ip").contains(':'));
        if let Some(network) = network {
            let mask = word(network, "/mask");
            target.set("__meta_hetzner_public_ipv6_network", format!("{}/{mask}", text(network, "/ip")));
        }
        target.labels()
    }
}

impl DigitalOceanSd {
    /// What is wrong with it.
    pub fn check(&self, path: &Path, problems: &mut Problems) {
        if self.role == DigitalOceanRole::Databases {
            let message = "this role is not looked for yet: it finds no targets";
            problems.warning(&path.field("role"), message).hint(super::foreign::INSTEAD);
        }
        super::check_refresh(self.refresh_interval, path, problems);
        self.http_client().check(path, problems);
    }

    pub(super) async fn targets(&self, ask: &Ask<'_>) -> Result<Vec<TargetGroup>, String> {
        if self.role == DigitalOceanRole::Databases {
            return Ok(Vec::new());
        }
        let mut targets = Vec::new();
        for page in 1..=PARTS_MAX {
            let query = query(&[("page", &page.to_string()), ("per_page", "200")]);
            let answer = ask.get(&format!("{DIGITALOCEAN}/droplets{query}")).await?;
            targets.extend(items(&answer, "/droplets").iter().filter_map(|it| self.describe(it)));
            if text(&answer, "/links/pages/next").is_empty() {
                return Ok(one("DigitalOcean", targets));
            }
        }
        Err(format!("there are more than {PARTS_MAX} pages of droplets"))
    }

    fn describe(&self, droplet: &Value) -> Option<Labels> {
        let v4 = items(droplet, "/networks/v4");
        if v4.is_empty() {
            return None;
        }
        let address = |of: &[Value], kind: &str| {
            let found = of.iter().find(|it| text(it, "/type") == kind);
            found.map_or(String::new(), |it| text(it, "/ip_address").to_owned())
        };
        let public = address(v4, "public");
        let mut target = Target::new();
        target
            .at(&public, self.port)
            .set("__meta_digitalocean_private_ipv4", address(v4, "private"))
            .set("__meta_digitalocean_public_ipv4", public)
            .set("__meta_digitalocean_public_ipv6", address(items(droplet, "/networks/v6"), "public"));
        for (label, field) in [
            ("droplet_id", "/id"),
            ("droplet_name", "/name"),
            ("image", "/image/slug"),
            ("image_name", "/image/name"),
            ("region", "/region/slug"),
            ("size", "/size_slug"),
            ("status", "/status"),
            ("vpc", "/vpc_uuid"),
        ] {
            target.set(format!("__meta_digitalocean_{label}"), word(droplet, field));
        }
        target.list("__meta_digitalocean_features", &words(droplet, "/features"));
        target.list("__meta_digitalocean_tags", &words(droplet, "/tags"));
        Some(target.labels())
    }
}

impl VultrSd {
    /// What is wrong with it.
    pub fn check(&self, path: &Path, problems: &mut Problems) {
        super::check_refresh(self.refresh_interval, path, problems);
        self.http_client().check(path, problems);
    }

    pub(super) async fn targets(&self, ask: &Ask<'_>) -> Result<Vec<TargetGroup>, String> {
        let (mut targets, mut cursor) = (Vec::new(), String::new());
        for _ in 0..PARTS_MAX {
            let answer =
                ask.get(&format!("{VULTR}/instances{}", query(&[("per_page", "100"), ("cursor", &cursor)]))).await?;
            targets.extend(items(&answer, "/instances").iter().map(|it| self.describe(it)));
            cursor = text(&answer, "/meta/links/next").to_owned();
            if cursor.is_empty() {
                return Ok(one("Vultr", targets));
            }
        }
        Err(format!("there are more than {PARTS_MAX} pages of instances"))
    }

    fn describe(&self, instance: &Value) -> Labels {
        let mut target = Target::new();
        target.at(text(instance, "/main_ip"), self.port);
        for (label, field) in [
            ("id", "/id"),
            ("label", "/label"),
            ("os", "/os"),
            ("os_id", "/os_id"),
            ("region", "/region"),
            ("plan", "/plan"),
            ("main_ip", "/main_ip"),
            ("main_ipv6", "/v6_main_ip"),
            ("internal_ip", "/internal_ip"),
            ("hostname", "/hostname"),
            ("server_status", "/server_status"),
            ("vcpu_count", "/vcpu_count"),
            ("ram_mb", "/ram"),
            ("allowed_bandwidth_gb", "/allowed_bandwidth"),
            ("disk_gb", "/disk"),
        ] {
            target.set(format!("__meta_vultr_instance_{label}"), word(instance, field));
        }
        target.list("__meta_vultr_instance_features", &words(instance, "/features"));
        target.list("__meta_vultr_instance_tags", &words(instance, "/tags"));
        target.labels()
    }
}

fn words<'a>(value: &'a Value, pointer: &str) -> Vec<&'a str> {
    items(value, pointer).iter().filter_map(Value::as_str).collect()
}
