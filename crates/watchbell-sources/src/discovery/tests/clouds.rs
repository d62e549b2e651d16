//! Servers rented elsewhere, and Nomad: from answers of the shape that their makers document.

use std::sync::Arc;

use expect_test::expect;
use rustls::pki_types::PrivateKeyDer;
use serde_json::json;
use watchbell_runtime::sim::{self, World};

use super::{Server, configured, told};
use crate::discovery::{DigitalOceanSd, Discovery, HetznerSd, NomadSd, VultrSd};

/// A web server of this name, with a certificate that the machine trusts.
fn secret(world: &World, host: &str) -> Server {
    let made = rcgen::generate_simple_self_signed([host.to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring speaks TLS")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .expect("they fit");
    world.net.trust(&made.cert.pem());
    let (server, acceptor) = (Server::default(), tokio_rustls::TlsAcceptor::from(Arc::new(config)));
    let serving = server.clone();
    world.net.serve(host, 443, move |stream| {
        let (serving, acceptor) = (serving.clone(), acceptor.clone());
        async move {
            if let Ok(stream) = acceptor.accept(stream).await {
                serving.serve(Box::new(stream)).await;
            }
        }
    });
    server
}

#[test]
fn hetzner_tells_its_servers() {
    let seen = sim::run(1, |world| async move {
        let server = secret(&world, "api.hetzner.cloud");
        server.json("GET /v1/networks", json!({ "networks": [{ "id": 7, "name": "my-net" }], "meta": {} }));
        server.json("GET /v1/servers", json!({ "servers": [], "meta": { "pagination": { "next_page": null } } }));
        server.json(
            "GET /v1/servers?page=1",
            json!({
                "servers": [{
                    "id": 42, "name": "mail", "status": "running",
                    "public_net": { "ipv4": { "ip": "192.0.2.1" }, "ipv6": { "ip": "2001:db8::/64" } },
                    "private_net": [{ "network": 7, "ip": "10.0.0.2" }],
                    "server_type": { "name": "cx22", "cores": 2, "memory": 4.0, "disk": 40, "cpu_type": "shared" },
                    "datacenter": { "location": { "name": "fsn1", "network_zone": "eu-central" } },
                    "image": { "name": "debian-12", "description": "Debian 12", "os_flavor": "debian", "os_version": "12" },
                    "labels": { "env/x": "prod", "flag": "" }
                }],
                "meta": { "pagination": { "next_page": 2 } }
            }),
        );
        let config = json!({ "role": "hcloud", "authorization": { "credentials": "t" }, "label_selector": "env" });
        let runtime = world.runtime();
        let mut seen = told(&Discovery::from(configured::<HetznerSd>(config)), &runtime).await;
        seen += &server.lines();
        let robot = secret(&world, "robot-ws.your-server.de");
        robot.json(
            "GET /server",
            json!([{ "server": {
                "server_ip": "192.0.2.9", "server_number": 321, "server_name": "db", "product": "AX41", "dc": "FSN1-DC8",
                "status": "ready", "cancelled": false,
                "subnet": [{ "ip": "192.0.2.8", "mask": "29" }, { "ip": "2001:db8:9::", "mask": "64" }]
            } }]),
        );
        let config = json!({ "role": "robot", "basic_auth": { "username": "u", "password": "p" } });
        seen + &told(&Discovery::from(configured::<HetznerSd>(config)), &runtime).await
    });
    expect![[r#"
        hetzner | 
          __address__=192.0.2.1:80 __meta_hetzner_hcloud_cpu_cores=2 __meta_hetzner_hcloud_cpu_type=shared __meta_hetzner_hcloud_datacenter_location=fsn1 __meta_hetzner_hcloud_datacenter_location_network_zone=eu-central __meta_hetzner_hcloud_disk_size_gb=40 __meta_hetzner_hcloud_image_description=Debian 12 __meta_hetzner_hcloud_image_name=debian-12 __meta_hetzner_hcloud_image_os_flavor=debian __meta_hetzner_hcloud_image_os_version=12 __meta_hetzner_hcloud_label_env_x=prod __meta_hetzner_hcloud_labelpresent_env_x=true __meta_hetzner_hcloud_labelpresent_flag=true __meta_hetzner_hcloud_location=fsn1 __meta_hetzner_hcloud_location_network_zone=eu-central __meta_hetzner_hcloud_memory_size_gb=4 __meta_hetzner_hcloud_private_ipv4_my_net=10.0.0.2 __meta_hetzner_hcloud_server_type=cx22 __meta_hetzner_public_ipv4=192.0.2.1 __meta_hetzner_public_ipv6_network=2001:db8::/64 __meta_hetzner_role=hcloud __meta_hetzner_server_id=42 __meta_hetzner_server_name=mail __meta_hetzner_server_status=running
        GET /v1/servers?page=1&per_page=50&label_selector=env
        GET /v1/servers?page=2&per_page=50&label_selector=env
        GET /v1/networks?page=1&per_page=50
        hetzner | 
          __address__=192.0.2.9:80 __meta_hetzner_datacenter=fsn1-dc8 __meta_hetzner_public_ipv4=192.0.2.9 __meta_hetzner_public_ipv6_network=2001:db8:9::/64 __meta_hetzner_robot_cancelled=false __meta_hetzner_robot_datacenter=fsn1-dc8 __meta_hetzner_robot_product=AX41 __meta_hetzner_role=robot __meta_hetzner_server_id=321 __meta_hetzner_server_name=db __meta_hetzner_server_status=ready
    "#]].assert_eq(&seen);
}

#[test]
fn digitalocean_and_vultr_tell_their_servers() {
    let seen = sim::run(1, |world| async move {
        let server = secret(&world, "api.digitalocean.com");
        server.json("GET /v2/droplets?page=2", json!({ "droplets": [{ "id": 2, "networks": { "v4": [] } }] }));
        server.json(
            "GET /v2/droplets?page=1",
            json!({
                "droplets": [{
                    "id": 1, "name": "web", "status": "active", "size_slug": "s-1", "vpc_uuid": "v", "region": { "slug": "fra1" },
                    "image": { "slug": "debian-12", "name": "Debian" }, "features": ["ipv6", "backups"], "tags": ["a"],
                    "networks": {
                        "v4": [{ "type": "private", "ip_address": "10.0.0.1" }, { "type": "public", "ip_address": "192.0.2.1" }],
                        "v6": [{ "type": "public", "ip_address": "2001:db8::1" }]
                    }
                }],
                "links": { "pages": { "next": "https://api.digitalocean.com/v2/droplets?page=2" } }
            }),
        );
        let runtime = world.runtime();
        let mut seen = told(&Discovery::from(configured::<DigitalOceanSd>(json!({}))), &runtime).await;
        let server = secret(&world, "api.vultr.com");
        server.json(
            "GET /v2/instances",
            json!({
                "instances": [{
                    "id": "v-1", "label": "web", "os": "Debian 12", "os_id": 2136, "region": "fra", "plan": "vc2", "main_ip": "192.0.2.3",
                    "v6_main_ip": "2001:db8::3", "internal_ip": "10.0.0.3", "hostname": "web", "server_status": "ok",
                    "vcpu_count": 1, "ram": 1024, "allowed_bandwidth": 1000, "disk": 25, "features": ["ipv6"], "tags": ["a", "b"]
                }],
                "meta": { "links": { "next": "" } }
            }),
        );
        seen += &told(&Discovery::from(configured::<VultrSd>(json!({}))), &runtime).await;
        seen
    });
    expect![[r#"
        DigitalOcean | 
          __address__=192.0.2.1:80 __meta_digitalocean_droplet_id=1 __meta_digitalocean_droplet_name=web __meta_digitalocean_features=,ipv6,backups, __meta_digitalocean_image=debian-12 __meta_digitalocean_image_name=Debian __meta_digitalocean_private_ipv4=10.0.0.1 __meta_digitalocean_public_ipv4=192.0.2.1 __meta_digitalocean_public_ipv6=2001:db8::1 __meta_digitalocean_region=fra1 __meta_digitalocean_size=s-1 __meta_digitalocean_status=active __meta_digitalocean_tags=,a, __meta_digitalocean_vpc=v
        Vultr | 
          __address__=192.0.2.3:80 __meta_vultr_instance_allowed_bandwidth_gb=1000 __meta_vultr_instance_disk_gb=25 __meta_vultr_instance_features=,ipv6, __meta_vultr_instance_hostname=web __meta_vultr_instance_id=v-1 __meta_vultr_instance_internal_ip=10.0.0.3 __meta_vultr_instance_label=web __meta_vultr_instance_main_ip=192.0.2.3 __meta_vultr_instance_main_ipv6=2001:db8::3 __meta_vultr_instance_os=Debian 12 __meta_vultr_instance_os_id=2136 __meta_vultr_instance_plan=vc2 __meta_vultr_instance_ram_mb=1024 __meta_vultr_instance_region=fra __meta_vultr_instance_server_status=ok __meta_vultr_instance_tags=,a,b, __meta_vultr_instance_vcpu_count=1
    "#]].assert_eq(&seen);
}

#[test]
fn nomad_tells_its_services() {
    let seen = sim::run(1, |world| async move {
        let server = Server::default();
        let serving = server.clone();
        world.net.serve("nomad", 4646, move |stream| serving.clone().serve(stream));
        server.json(
            "GET /v1/services",
            json!([{ "Namespace": "default", "Services": [{ "ServiceName": "web", "Tags": ["a"] }] }]),
        );
        server.json(
            "GET /v1/service/web",
            json!([{
                "ID": "s-1", "ServiceName": "web", "Namespace": "default", "NodeID": "n", "Datacenter": "dc1",
                "Address": "10.0.0.1", "Port": 8080, "Tags": ["a", "b"]
            }]),
        );
        let runtime = world.runtime();
        let discovery = Discovery::from(configured::<NomadSd>(json!({ "server": "http://nomad:4646" })));
        let mut seen = told(&discovery, &runtime).await;
        seen += &server.lines();
        server.say("GET /v1/service/web", (500, super::JSON, "no leader".into()));
        seen + &told(&discovery, &runtime).await
    });
    expect![[r#"
        Nomad | 
          __address__=10.0.0.1:8080 __meta_nomad_address=10.0.0.1 __meta_nomad_dc=dc1 __meta_nomad_namespace=default __meta_nomad_node_id=n __meta_nomad_service=web __meta_nomad_service_address=10.0.0.1 __meta_nomad_service_id=s-1 __meta_nomad_service_port=8080 __meta_nomad_tags=,a,b,
        GET /v1/services?namespace=default&region=global&stale=true
        GET /v1/service/web?namespace=default&region=global&stale=true
        error: http://nomad:4646/v1/service/web answers with status 500: no leader
    "#]].assert_eq(&seen);
}
