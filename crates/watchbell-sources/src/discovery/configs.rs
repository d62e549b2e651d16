//! The fields of a job that name discoveries, and what is done with all of them alike.

use watchbell_model::{Path, Problems};

use super::{Discovery, Foreign};
use crate::scrape::ScrapeConfig;

/// A struct of a configuration with the fields of every discovery and of the HTTP client among its own.
macro_rules! with_discoveries {
    (
        $(#[$meta:meta])*
        pub struct $name:ident {
            $($(#[$field_meta:meta])* pub $field:ident: $kind:ty,)*
        }
    ) => {
        watchbell_model::with_http_client! {
            $(#[$meta])*
            pub struct $name {
                $($(#[$field_meta])* pub $field: $kind,)*
                /// Files that list targets.
                #[serde(default)]
                pub file_sd_configs: Vec<$crate::discovery::FileSd>,
                /// Web servers that list targets.
                #[serde(default)]
                pub http_sd_configs: Vec<$crate::discovery::HttpSd>,
                /// Names that lead to targets.
                #[serde(default)]
                pub dns_sd_configs: Vec<$crate::discovery::DnsSd>,
                /// Docker daemons whose containers are targets.
                #[serde(default)]
                pub docker_sd_configs: Vec<$crate::discovery::DockerSd>,
                /// Docker Swarms whose services, tasks or nodes are targets.
                #[serde(default)]
                pub dockerswarm_sd_configs: Vec<$crate::discovery::DockerSwarmSd>,
                /// Targets at AWS, by role.
                #[serde(default)]
                pub aws_sd_configs: Vec<$crate::discovery::AwsSd>,
                /// Instances of EC2.
                #[serde(default)]
                pub ec2_sd_configs: Vec<$crate::discovery::Ec2Sd>,
                /// Tasks of ECS, as `aws_sd_configs` with the role `ecs`.
                #[serde(default)]
                pub ecs_sd_configs: Vec<$crate::discovery::EcsSd>,
                /// Instances of Lightsail.
                #[serde(default)]
                pub lightsail_sd_configs: Vec<$crate::discovery::LightsailSd>,
                /// Instances registered in AWS Cloud Map; Prometheus has no such discovery.
                #[serde(default)]
                pub cloud_map_sd_configs: Vec<$crate::discovery::CloudMapSd>,
                /// Services of Consul catalogs.
                #[serde(default)]
                pub consul_sd_configs: Vec<$crate::discovery::ConsulSd>,
                /// Read as Prometheus reads it, but finds no targets here.
                #[serde(default)]
                pub azure_sd_configs: Vec<$crate::discovery::Foreign>,
                /// Servers at DigitalOcean.
                #[serde(default)]
                pub digitalocean_sd_configs: Vec<$crate::discovery::DigitalOceanSd>,
                /// Read as Prometheus reads it, but finds no targets here.
                #[serde(default)]
                pub elasticache_sd_configs: Vec<$crate::discovery::Foreign>,
                /// Read as Prometheus reads it, but finds no targets here.
                #[serde(default)]
                pub eureka_sd_configs: Vec<$crate::discovery::Foreign>,
                /// Read as Prometheus reads it, but finds no targets here.
                #[serde(default)]
                pub gce_sd_configs: Vec<$crate::discovery::Foreign>,
                /// Servers at Hetzner.
                #[serde(default)]
                pub hetzner_sd_configs: Vec<$crate::discovery::HetznerSd>,
                /// Read as Prometheus reads it, but finds no targets here.
                #[serde(default)]
                pub ionos_sd_configs: Vec<$crate::discovery::Foreign>,
                /// Read as Prometheus reads it, but finds no targets here.
                #[serde(default)]
                pub kubernetes_sd_configs: Vec<$crate::discovery::Foreign>,
                /// Read as Prometheus reads it, but finds no targets here.
                #[serde(default)]
                pub kuma_sd_configs: Vec<$crate::discovery::Foreign>,
                /// Read as Prometheus reads it, but finds no targets here.
                #[serde(default)]
                pub linode_sd_configs: Vec<$crate::discovery::Foreign>,
                /// Read as Prometheus reads it, but finds no targets here.
                #[serde(default)]
                pub marathon_sd_configs: Vec<$crate::discovery::Foreign>,
                /// Read as Prometheus reads it, but finds no targets here.
                #[serde(default)]
                pub msk_sd_configs: Vec<$crate::discovery::Foreign>,
                /// Read as Prometheus reads it, but finds no targets here.
                #[serde(default)]
                pub nerve_sd_configs: Vec<$crate::discovery::Foreign>,
                /// Services that Nomad keeps.
                #[serde(default)]
                pub nomad_sd_configs: Vec<$crate::discovery::NomadSd>,
                /// Read as Prometheus reads it, but finds no targets here.
                #[serde(default)]
                pub oci_sd_configs: Vec<$crate::discovery::Foreign>,
                /// Read as Prometheus reads it, but finds no targets here.
                #[serde(default)]
                pub openstack_sd_configs: Vec<$crate::discovery::Foreign>,
                /// Read as Prometheus reads it, but finds no targets here.
                #[serde(default)]
                pub outscale_sd_configs: Vec<$crate::discovery::Foreign>,
                /// Read as Prometheus reads it, but finds no targets here.
                #[serde(default)]
                pub ovhcloud_sd_configs: Vec<$crate::discovery::Foreign>,
                /// Read as Prometheus reads it, but finds no targets here.
                #[serde(default)]
                pub puppetdb_sd_configs: Vec<$crate::discovery::Foreign>,
                /// Read as Prometheus reads it, but finds no targets here.
                #[serde(default)]
                pub rds_sd_configs: Vec<$crate::discovery::Foreign>,
                /// Read as Prometheus reads it, but finds no targets here.
                #[serde(default)]
                pub scaleway_sd_configs: Vec<$crate::discovery::Foreign>,
                /// Read as Prometheus reads it, but finds no targets here.
                #[serde(default)]
                pub serverset_sd_configs: Vec<$crate::discovery::Foreign>,
                /// Read as Prometheus reads it, but finds no targets here.
                #[serde(default)]
                pub stackit_sd_configs: Vec<$crate::discovery::Foreign>,
                /// Read as Prometheus reads it, but finds no targets here.
                #[serde(default)]
                pub triton_sd_configs: Vec<$crate::discovery::Foreign>,
                /// Read as Prometheus reads it, but finds no targets here.
                #[serde(default)]
                pub uyuni_sd_configs: Vec<$crate::discovery::Foreign>,
                /// Servers at Vultr.
                #[serde(default)]
                pub vultr_sd_configs: Vec<$crate::discovery::VultrSd>,
            }
        }
    };
}
pub(crate) use with_discoveries;

/// Every discovery of a job.
pub fn of(job: &ScrapeConfig) -> Vec<Discovery> {
    let mut all: Vec<Discovery> = Vec::new();
    all.extend(job.file_sd_configs.iter().cloned().map(Discovery::from));
    all.extend(job.http_sd_configs.iter().cloned().map(Discovery::from));
    all.extend(job.dns_sd_configs.iter().cloned().map(Discovery::from));
    all.extend(job.docker_sd_configs.iter().cloned().map(Discovery::from));
    all.extend(job.dockerswarm_sd_configs.iter().cloned().map(Discovery::from));
    all.extend(job.aws_sd_configs.iter().cloned().map(Discovery::from));
    all.extend(job.ec2_sd_configs.iter().cloned().map(Discovery::from));
    all.extend(job.ecs_sd_configs.iter().cloned().map(Discovery::from));
    all.extend(job.lightsail_sd_configs.iter().cloned().map(Discovery::from));
    all.extend(job.cloud_map_sd_configs.iter().cloned().map(Discovery::from));
    all.extend(job.consul_sd_configs.iter().cloned().map(Discovery::from));
    all.extend(job.hetzner_sd_configs.iter().cloned().map(Discovery::from));
    all.extend(job.digitalocean_sd_configs.iter().cloned().map(Discovery::from));
    all.extend(job.vultr_sd_configs.iter().cloned().map(Discovery::from));
    all.extend(job.nomad_sd_configs.iter().cloned().map(Discovery::from));
    all
}

/// Makes files that a job's discoveries name relative to the folder of the configuration.
pub fn anchor(job: &mut ScrapeConfig, base: &std::path::Path) {
    job.file_sd_configs.iter_mut().for_each(|it| it.anchor(base));
    job.http_sd_configs.iter_mut().for_each(|it| it.anchor_http_client(base));
    job.docker_sd_configs.iter_mut().for_each(|it| it.anchor_http_client(base));
    job.dockerswarm_sd_configs.iter_mut().for_each(|it| it.anchor_http_client(base));
    job.aws_sd_configs.iter_mut().for_each(|it| it.anchor_http_client(base));
    job.ec2_sd_configs.iter_mut().for_each(|it| it.anchor_http_client(base));
    job.ecs_sd_configs.iter_mut().for_each(|it| it.anchor_http_client(base));
    job.lightsail_sd_configs.iter_mut().for_each(|it| it.anchor_http_client(base));
    job.cloud_map_sd_configs.iter_mut().for_each(|it| it.anchor_http_client(base));
    job.consul_sd_configs.iter_mut().for_each(|it| it.anchor_http_client(base));
    job.hetzner_sd_configs.iter_mut().for_each(|it| it.anchor_http_client(base));
    job.digitalocean_sd_configs.iter_mut().for_each(|it| it.anchor_http_client(base));
    job.vultr_sd_configs.iter_mut().for_each(|it| it.anchor_http_client(base));
    job.nomad_sd_configs.iter_mut().for_each(|it| it.anchor_http_client(base));
}

/// What is wrong with a job's discoveries.
pub fn check(job: &ScrapeConfig, path: &Path, problems: &mut Problems) {
    let at = |kind: &str, at: usize| path.field(format!("{kind}_sd_configs")).index(at);
    job.file_sd_configs.iter().enumerate().for_each(|(n, it)| it.check(&at("file", n), problems));
    job.http_sd_configs.iter().enumerate().for_each(|(n, it)| it.check(&at("http", n), problems));
    job.dns_sd_configs.iter().enumerate().for_each(|(n, it)| it.check(&at("dns", n), problems));
    job.docker_sd_configs.iter().enumerate().for_each(|(n, it)| it.check(&at("docker", n), problems));
    job.dockerswarm_sd_configs.iter().enumerate().for_each(|(n, it)| it.check(&at("dockerswarm", n), problems));
    job.aws_sd_configs.iter().enumerate().for_each(|(n, it)| it.check(&at("aws", n), problems));
    job.ec2_sd_configs.iter().enumerate().for_each(|(n, it)| it.check(&at("ec2", n), problems));
    job.ecs_sd_configs.iter().enumerate().for_each(|(n, it)| it.check(&at("ecs", n), problems));
    job.lightsail_sd_configs.iter().enumerate().for_each(|(n, it)| it.check(&at("lightsail", n), problems));
    job.cloud_map_sd_configs.iter().enumerate().for_each(|(n, it)| it.check(&at("cloud_map", n), problems));
    job.consul_sd_configs.iter().enumerate().for_each(|(n, it)| it.check(&at("consul", n), problems));
    job.hetzner_sd_configs.iter().enumerate().for_each(|(n, it)| it.check(&at("hetzner", n), problems));
    job.digitalocean_sd_configs.iter().enumerate().for_each(|(n, it)| it.check(&at("digitalocean", n), problems));
    job.vultr_sd_configs.iter().enumerate().for_each(|(n, it)| it.check(&at("vultr", n), problems));
    job.nomad_sd_configs.iter().enumerate().for_each(|(n, it)| it.check(&at("nomad", n), problems));
    for (kind, configs) in foreign(job) {
        configs.iter().enumerate().for_each(|(n, it)| it.check(kind, &at(kind, n), problems));
    }
}

/// How many discoveries of a job find nothing here.
pub fn unsupported(job: &ScrapeConfig) -> usize {
    foreign(job).iter().map(|(_, configs)| configs.len()).sum()
}

fn foreign(job: &ScrapeConfig) -> [(&'static str, &[Foreign]); 22] {
    [
        ("azure", &job.azure_sd_configs),
        ("elasticache", &job.elasticache_sd_configs),
        ("eureka", &job.eureka_sd_configs),
        ("gce", &job.gce_sd_configs),
        ("ionos", &job.ionos_sd_configs),
        ("kubernetes", &job.kubernetes_sd_configs),
        ("kuma", &job.kuma_sd_configs),
        ("linode", &job.linode_sd_configs),
        ("marathon", &job.marathon_sd_configs),
        ("msk", &job.msk_sd_configs),
        ("nerve", &job.nerve_sd_configs),
        ("oci", &job.oci_sd_configs),
        ("openstack", &job.openstack_sd_configs),
        ("outscale", &job.outscale_sd_configs),
        ("ovhcloud", &job.ovhcloud_sd_configs),
        ("puppetdb", &job.puppetdb_sd_configs),
        ("rds", &job.rds_sd_configs),
        ("scaleway", &job.scaleway_sd_configs),
        ("serverset", &job.serverset_sd_configs),
        ("stackit", &job.stackit_sd_configs),
        ("triton", &job.triton_sd_configs),
        ("uyuni", &job.uyuni_sd_configs),
    ]
}
