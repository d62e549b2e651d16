//! Targets that Docker tells.

use expect_test::expect;
use serde_json::json;
use watchbell_runtime::sim;

use super::{JSON, Server, configured, told, wrong};
use crate::discovery::{Discovery, DockerSd, DockerSwarmSd};

fn networks() -> serde_json::Value {
    json!([
        { "Id": "net1", "Name": "front", "Scope": "local", "Internal": false, "Ingress": false, "Labels": { "a.b": "c" } },
        { "Id": "net2", "Name": "back", "Scope": "swarm", "Internal": true, "Ingress": false, "Labels": {} }
    ])
}

#[test]
fn docker_tells_its_containers() {
    let seen = sim::run(1, |world| async move {
        let server = Server::default();
        let serving = server.clone();
        world.net.serve_unix("/run/docker.sock", move |stream| serving.clone().serve(stream));
        server.json("GET /networks", networks());
        server.json(
            "GET /containers/json",
            json!([{
                "Id": "c1", "Names": ["/web"], "Image": "web:1", "ImageID": "sha256:1", "Labels": { "com.x/team": "ops" },
                "HostConfig": { "NetworkMode": "front" },
                "NetworkSettings": { "Networks": {
                    "front": { "NetworkID": "net1", "IPAddress": "172.18.0.2", "GlobalIPv6Address": "" },
                    "back": { "NetworkID": "net2", "IPAddress": "", "GlobalIPv6Address": "fd00::2" }
                } },
                "Ports": [
                    { "IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp" },
                    { "PrivatePort": 9100, "Type": "tcp" },
                    { "PrivatePort": 53, "Type": "udp" }
                ]
            }, {
                "Id": "c2", "Names": ["/sidecar"], "HostConfig": { "NetworkMode": "container:c1" },
                "NetworkSettings": { "Networks": {} }, "Ports": []
            }, {
                "Id": "c3", "Names": ["/host"], "HostConfig": { "NetworkMode": "host" },
                "NetworkSettings": { "Networks": { "host": { "NetworkID": "net3", "IPAddress": "" } } }, "Ports": []
            }, {
                "Id": "c4", "Names": ["/circle"], "HostConfig": { "NetworkMode": "container:c4" },
                "NetworkSettings": { "Networks": {} }, "Ports": []
            }, { "Id": "c5", "Names": [] }]),
        );
        let runtime = world.runtime();
        let config = json!({
            "host": "unix:///run/docker.sock",
            "filters": [{ "name": "label", "values": ["a=b", "c"] }, { "name": "status", "values": ["running"] }]
        });
        let mut seen = told(&Discovery::from(configured::<DockerSd>(config)), &runtime).await;
        seen += &server.lines();
        let config = json!({ "host": "unix:///run/docker.sock", "match_first_network": false, "port": 9,
            "host_networking_host": "10.0.0.9" });
        let all = Discovery::from(configured::<DockerSd>(config));
        seen += &told(&all, &runtime).await;
        server.say("GET /networks", (500, JSON, r#"{"message": "out of order"}"#.into()));
        seen += &told(&all, &runtime).await;
        let nowhere = json!({ "host": "unix:///run/none.sock" });
        seen + &told(&Discovery::from(configured::<DockerSd>(nowhere)), &runtime).await
    });
    expect![[""]].assert_eq(&seen);
}

#[test]
fn a_swarm_tells_its_services_tasks_and_nodes() {
    let seen = sim::run(1, |world| async move {
        let server = Server::default();
        let serving = server.clone();
        world.net.serve("swarm", 2375, move |stream| serving.clone().serve(stream));
        server.json("GET /networks", networks());
        server.json(
            "GET /services",
            json!([{
                "ID": "s1",
                "Spec": {
                    "Name": "web", "Labels": { "team": "ops" }, "Mode": { "Replicated": { "Replicas": 2 } },
                    "TaskTemplate": { "ContainerSpec": { "Image": "web:1", "Hostname": "h" } }
                },
                "Endpoint": {
                    "Ports": [{ "Name": "http", "Protocol": "tcp", "PublishedPort": 8080, "PublishMode": "ingress" }],
                    "VirtualIPs": [{ "NetworkID": "net1", "Addr": "10.0.0.3/24" }]
                },
                "UpdateStatus": { "State": "completed" }
            }, {
                "ID": "s2", "Spec": { "Name": "agent", "Mode": { "Global": {} } },
                "Endpoint": { "VirtualIPs": [{ "NetworkID": "net2", "Addr": "10.0.1.4/24" }] }
            }]),
        );
        server.json(
            "GET /nodes",
            json!([{
                "ID": "n1", "Spec": { "Role": "manager", "Availability": "active", "Labels": { "rack": "7" } },
                "Description": {
                    "Hostname": "host1", "Platform": { "Architecture": "x86_64", "OS": "linux" },
                    "Engine": { "EngineVersion": "27.0" }
                },
                "Status": { "State": "ready", "Addr": "192.0.2.1" },
                "ManagerStatus": { "Leader": true, "Reachability": "reachable", "Addr": "192.0.2.1:2377" }
            }]),
        );
        server.json(
            "GET /tasks",
            json!([{
                "ID": "t1", "ServiceID": "s1", "NodeID": "n1", "Slot": 1, "DesiredState": "running",
                "Spec": { "ContainerSpec": { "Labels": { "x": "y" } } },
                "Status": {
                    "State": "running", "ContainerStatus": { "ContainerID": "c1" },
                    "PortStatus": { "Ports": [{ "Protocol": "tcp", "PublishedPort": 9323, "PublishMode": "host" }] }
                },
                "NetworksAttachments": [{ "Network": { "ID": "net1" }, "Addresses": ["10.0.0.7/24"] }]
            }, {
                "ID": "t2", "ServiceID": "s2", "NodeID": "n1", "DesiredState": "running", "Status": { "State": "running" },
                "NetworksAttachments": [{ "Network": { "ID": "net2" }, "Addresses": ["10.0.1.9/24"] }]
            }]),
        );
        let runtime = world.runtime();
        let mut seen = String::new();
        for role in ["services", "nodes", "tasks"] {
            let config = json!({ "host": "tcp://swarm:2375", "role": role });
            seen += &told(&Discovery::from(configured::<DockerSwarmSd>(config)), &runtime).await;
        }
        seen
    });
    expect![[""]].assert_eq(&seen);
}

#[test]
fn configurations_of_containers() {
    let docker =
        |host: &str| wrong(|path, problems| configured::<DockerSd>(json!({ "host": host })).check(path, problems));
    let told = [docker("unix://run"), docker("docker"), docker("http://docker:2375"), docker("unix:///a")].join("--\n");
    expect![[""]].assert_eq(&told);
}
