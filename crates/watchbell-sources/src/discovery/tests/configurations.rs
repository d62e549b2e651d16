//! Configurations of discoveries that find nothing here, and what a job makes of them.

use expect_test::expect;
use serde_json::json;

use super::{configured, wrong};
use crate::discovery::Foreign;
use crate::scrape::ScrapeConfig;

#[test]
fn foreign_kinds_are_read_as_prometheus_reads_them() {
    let check = |kind: &str, config| wrong(|path, problems| configured::<Foreign>(config).check(kind, path, problems));
    let told = [
        check("kubernetes", json!({ "role": "pod", "attach_metadata": { "node": true } })),
        check("kubernetes", json!({ "role": "vacation", "selectors": [{ "role": "pod" }] })),
        check("kubernetes", json!({ "role": "pod", "bearer_token": 1234 })),
        check("kubernetes", json!({ "role": "pod", "api_server": "https://a", "tls_config": { "ca_flie": "a" } })),
        check("scaleway", json!({ "role": "instance", "project_id": 7, "access_key": "a" })),
        check("gce", json!({ "project": "p", "zone": "z", "port": "x", "proxy_url": "http://a" })),
        check("triton", json!({ "account": "a", "dns_suffix": "b", "endpoint": "c", "tls_config": {} })),
        check("nerve", json!({ "servers": ["a"], "paths": ["b"] })),
        check(
            "linode",
            json!({ "refresh_interval": "0s", "bearer_token": "a", "authorization": { "credentials": "b" } }),
        ),
        check("marathon", json!({ "servers": ["https://a"], "auth_token": "a", "basic_auth": { "username": "u" } })),
    ];
    expect![[r#"
        Warning : targets of `kubernetes_sd_configs` are not discovered: it finds none
        --
        Error role: one of `node`, `pod`, `service`, `endpoints`, `endpointslice`, `ingress` was expected here
        --
        Error api_server: HTTP options go with an `api_server` only
        --
        Error : unknown field `ca_flie`, expected one of `ca`, `ca_file`, `cert`, `cert_file`, `key`, `key_file`, `server_name`, `insecure_skip_verify`, `min_version`, `max_version`
        --
        Error : one of `secret_key` and `secret_key_file` is missing
        --
        Error port: a whole number was expected here
        Error proxy_url: `gce_sd_configs` have no field `proxy_url`
        --
        Warning : targets of `triton_sd_configs` are not discovered: it finds none
        --
        Error paths: `b` does not begin with a slash
        --
        Error refresh_interval: a duration such as `1m` was expected here
        Error : there are both a bearer token and `authorization`
        --
        Error : there are both `auth_token` and `basic_auth`
        Warning basic_auth: there is no password
    "#]].assert_eq(&told.join("--\n"));
}

#[test]
fn a_job_names_its_discoveries() {
    let mut job: ScrapeConfig = configured(json!({
        "job_name": "all",
        "file_sd_configs": [{ "files": ["t/*.yml"] }],
        "http_sd_configs": [{ "url": "http://a", "tls_config": { "ca_file": "ca.pem" } }],
        "dns_sd_configs": [{ "names": ["a"] }],
        "docker_sd_configs": [{ "host": "unix:///a" }],
        "dockerswarm_sd_configs": [{ "host": "unix:///a", "role": "tasks" }],
        "aws_sd_configs": [{ "role": "ecs" }, { "role": "rds" }],
        "ec2_sd_configs": [{}],
        "ecs_sd_configs": [{}],
        "lightsail_sd_configs": [{}],
        "cloud_map_sd_configs": [{}],
        "consul_sd_configs": [{}],
        "kubernetes_sd_configs": [{ "role": "node" }, { "role": "x" }],
        "vultr_sd_configs": [{}],
        "nomad_sd_configs": [{}],
        "hetzner_sd_configs": [{ "role": "robot" }],
        "digitalocean_sd_configs": [{ "role": "databases" }],
    }));
    job.anchor(std::path::Path::new("/etc/watchbell"));
    assert_eq!(job.file_sd_configs[0].files, ["/etc/watchbell/t/*.yml"]);
    assert_eq!(
        job.http_sd_configs[0].tls_config.ca_file.as_deref(),
        Some(std::path::Path::new("/etc/watchbell/ca.pem"))
    );
    let names: Vec<String> =
        job.discoveries().iter().map(|it| format!("{} {}", it.name(), it.refresh_interval())).collect();
    let problems = wrong(|path, problems| crate::discovery::check(&job, path, problems));
    expect![[r#"
        file 3s, http 1m, dns 30s, docker 1m, dockerswarm 1m, aws 1m, aws 1m, ec2 1m, ecs 1m, lightsail 1m, cloud_map 1m, consul 30s, hetzner 1m, digitalocean 1m, vultr 1m, nomad 1m
        Warning aws_sd_configs[1].role: this role is not looked for yet: it finds no targets
        Warning digitalocean_sd_configs[0].role: this role is not looked for yet: it finds no targets
        Warning kubernetes_sd_configs[0]: targets of `kubernetes_sd_configs` are not discovered: it finds none
        Error kubernetes_sd_configs[1].role: one of `node`, `pod`, `service`, `endpoints`, `endpointslice`, `ingress` was expected here
    "#]].assert_eq(&format!("{}\n{problems}", names.join(", ")));
    let keys: std::collections::BTreeSet<u64> = job.discoveries().iter().map(|it| it.key()).collect();
    assert_eq!(keys.len(), job.discoveries().len());
}
