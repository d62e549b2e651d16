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
    expect![[r#"
        Docker | 
          __address__=[fd00::2]:80 __meta_docker_container_id=c1 __meta_docker_container_image=web:1 __meta_docker_container_image_id=sha256:1 __meta_docker_container_label_com_x_team=ops __meta_docker_container_name=/web __meta_docker_container_network_mode=front __meta_docker_network_id=net2 __meta_docker_network_ingress=false __meta_docker_network_internal=true __meta_docker_network_ip=fd00::2 __meta_docker_network_name=back __meta_docker_network_scope=swarm __meta_docker_port_private=80 __meta_docker_port_public=8080 __meta_docker_port_public_ip=0.0.0.0
          __address__=[fd00::2]:9100 __meta_docker_container_id=c1 __meta_docker_container_image=web:1 __meta_docker_container_image_id=sha256:1 __meta_docker_container_label_com_x_team=ops __meta_docker_container_name=/web __meta_docker_container_network_mode=front __meta_docker_network_id=net2 __meta_docker_network_ingress=false __meta_docker_network_internal=true __meta_docker_network_ip=fd00::2 __meta_docker_network_name=back __meta_docker_network_scope=swarm __meta_docker_port_private=9100
          __address__=[fd00::2]:80 __meta_docker_container_id=c2 __meta_docker_container_name=/sidecar __meta_docker_container_network_mode=container:c1 __meta_docker_network_id=net2 __meta_docker_network_ingress=false __meta_docker_network_internal=true __meta_docker_network_ip=fd00::2 __meta_docker_network_name=back __meta_docker_network_scope=swarm
          __address__=localhost __meta_docker_container_id=c3 __meta_docker_container_name=/host __meta_docker_container_network_mode=host
        GET /containers/json?filters=%7B%22label%22%3A%7B%22a%3Db%22%3Atrue%2C%22c%22%3Atrue%7D%2C%22status%22%3A%7B%22running%22%3Atrue%7D%7D
        GET /networks
        Docker | 
          __address__=[fd00::2]:80 __meta_docker_container_id=c1 __meta_docker_container_image=web:1 __meta_docker_container_image_id=sha256:1 __meta_docker_container_label_com_x_team=ops __meta_docker_container_name=/web __meta_docker_container_network_mode=front __meta_docker_network_id=net2 __meta_docker_network_ingress=false __meta_docker_network_internal=true __meta_docker_network_ip=fd00::2 __meta_docker_network_name=back __meta_docker_network_scope=swarm __meta_docker_port_private=80 __meta_docker_port_public=8080 __meta_docker_port_public_ip=0.0.0.0
          __address__=[fd00::2]:9100 __meta_docker_container_id=c1 __meta_docker_container_image=web:1 __meta_docker_container_image_id=sha256:1 __meta_docker_container_label_com_x_team=ops __meta_docker_container_name=/web __meta_docker_container_network_mode=front __meta_docker_network_id=net2 __meta_docker_network_ingress=false __meta_docker_network_internal=true __meta_docker_network_ip=fd00::2 __meta_docker_network_name=back __meta_docker_network_scope=swarm __meta_docker_port_private=9100
          __address__=172.18.0.2:80 __meta_docker_container_id=c1 __meta_docker_container_image=web:1 __meta_docker_container_image_id=sha256:1 __meta_docker_container_label_com_x_team=ops __meta_docker_container_name=/web __meta_docker_container_network_mode=front __meta_docker_network_id=net1 __meta_docker_network_ingress=false __meta_docker_network_internal=false __meta_docker_network_ip=172.18.0.2 __meta_docker_network_label_a_b=c __meta_docker_network_name=front __meta_docker_network_scope=local __meta_docker_port_private=80 __meta_docker_port_public=8080 __meta_docker_port_public_ip=0.0.0.0
          __address__=172.18.0.2:9100 __meta_docker_container_id=c1 __meta_docker_container_image=web:1 __meta_docker_container_image_id=sha256:1 __meta_docker_container_label_com_x_team=ops __meta_docker_container_name=/web __meta_docker_container_network_mode=front __meta_docker_network_id=net1 __meta_docker_network_ingress=false __meta_docker_network_internal=false __meta_docker_network_ip=172.18.0.2 __meta_docker_network_label_a_b=c __meta_docker_network_name=front __meta_docker_network_scope=local __meta_docker_port_private=9100
          __address__=[fd00::2]:9 __meta_docker_container_id=c2 __meta_docker_container_name=/sidecar __meta_docker_container_network_mode=container:c1 __meta_docker_network_id=net2 __meta_docker_network_ingress=false __meta_docker_network_internal=true __meta_docker_network_ip=fd00::2 __meta_docker_network_name=back __meta_docker_network_scope=swarm
          __address__=172.18.0.2:9 __meta_docker_container_id=c2 __meta_docker_container_name=/sidecar __meta_docker_container_network_mode=container:c1 __meta_docker_network_id=net1 __meta_docker_network_ingress=false __meta_docker_network_internal=false __meta_docker_network_ip=172.18.0.2 __meta_docker_network_label_a_b=c __meta_docker_network_name=front __meta_docker_network_scope=local
          __address__=10.0.0.9 __meta_docker_container_id=c3 __meta_docker_container_name=/host __meta_docker_container_network_mode=host
        error: http://docker/networks answers with status 500: {"message": "out of order"}
        error: http://docker/containers/json: the socket /run/none.sock cannot be connected to: entity not found
    "#]].assert_eq(&seen);
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
    expect![[r#"
        DockerSwarm | 
          __address__=10.0.0.3:8080 __meta_dockerswarm_network_id=net1 __meta_dockerswarm_network_ingress=false __meta_dockerswarm_network_internal=false __meta_dockerswarm_network_label_a_b=c __meta_dockerswarm_network_name=front __meta_dockerswarm_network_scope=local __meta_dockerswarm_service_endpoint_port_name=http __meta_dockerswarm_service_endpoint_port_publish_mode=ingress __meta_dockerswarm_service_id=s1 __meta_dockerswarm_service_label_team=ops __meta_dockerswarm_service_mode=replicated __meta_dockerswarm_service_name=web __meta_dockerswarm_service_task_container_hostname=h __meta_dockerswarm_service_task_container_image=web:1 __meta_dockerswarm_service_updating_status=completed
          __address__=10.0.1.4:80 __meta_dockerswarm_network_id=net2 __meta_dockerswarm_network_ingress=false __meta_dockerswarm_network_internal=true __meta_dockerswarm_network_name=back __meta_dockerswarm_network_scope=swarm __meta_dockerswarm_service_id=s2 __meta_dockerswarm_service_mode=global __meta_dockerswarm_service_name=agent
        DockerSwarm | 
          __address__=192.0.2.1:80 __meta_dockerswarm_node_address=192.0.2.1 __meta_dockerswarm_node_availability=active __meta_dockerswarm_node_engine_version=27.0 __meta_dockerswarm_node_hostname=host1 __meta_dockerswarm_node_id=n1 __meta_dockerswarm_node_label_rack=7 __meta_dockerswarm_node_manager_address=192.0.2.1:2377 __meta_dockerswarm_node_manager_leader=true __meta_dockerswarm_node_manager_reachability=reachable __meta_dockerswarm_node_platform_architecture=x86_64 __meta_dockerswarm_node_platform_os=linux __meta_dockerswarm_node_role=manager __meta_dockerswarm_node_status=ready
        DockerSwarm | 
          __address__=192.0.2.1:9323 __meta_dockerswarm_container_label_x=y __meta_dockerswarm_node_address=192.0.2.1 __meta_dockerswarm_node_availability=active __meta_dockerswarm_node_hostname=host1 __meta_dockerswarm_node_id=n1 __meta_dockerswarm_node_label_rack=7 __meta_dockerswarm_node_platform_architecture=x86_64 __meta_dockerswarm_node_platform_os=linux __meta_dockerswarm_node_role=manager __meta_dockerswarm_node_status=ready __meta_dockerswarm_service_id=s1 __meta_dockerswarm_service_label_team=ops __meta_dockerswarm_service_mode=replicated __meta_dockerswarm_service_name=web __meta_dockerswarm_task_container_id=c1 __meta_dockerswarm_task_desired_state=running __meta_dockerswarm_task_id=t1 __meta_dockerswarm_task_port_publish_mode=host __meta_dockerswarm_task_slot=1 __meta_dockerswarm_task_state=running
          __address__=10.0.0.7:8080 __meta_dockerswarm_container_label_x=y __meta_dockerswarm_network_id=net1 __meta_dockerswarm_network_ingress=false __meta_dockerswarm_network_internal=false __meta_dockerswarm_network_label_a_b=c __meta_dockerswarm_network_name=front __meta_dockerswarm_network_scope=local __meta_dockerswarm_node_address=192.0.2.1 __meta_dockerswarm_node_availability=active __meta_dockerswarm_node_hostname=host1 __meta_dockerswarm_node_id=n1 __meta_dockerswarm_node_label_rack=7 __meta_dockerswarm_node_platform_architecture=x86_64 __meta_dockerswarm_node_platform_os=linux __meta_dockerswarm_node_role=manager __meta_dockerswarm_node_status=ready __meta_dockerswarm_service_id=s1 __meta_dockerswarm_service_label_team=ops __meta_dockerswarm_service_mode=replicated __meta_dockerswarm_service_name=web __meta_dockerswarm_task_container_id=c1 __meta_dockerswarm_task_desired_state=running __meta_dockerswarm_task_id=t1 __meta_dockerswarm_task_port_publish_mode=ingress __meta_dockerswarm_task_slot=1 __meta_dockerswarm_task_state=running
          __address__=10.0.1.9:80 __meta_dockerswarm_network_id=net2 __meta_dockerswarm_network_ingress=false __meta_dockerswarm_network_internal=true __meta_dockerswarm_network_name=back __meta_dockerswarm_network_scope=swarm __meta_dockerswarm_node_address=192.0.2.1 __meta_dockerswarm_node_availability=active __meta_dockerswarm_node_hostname=host1 __meta_dockerswarm_node_id=n1 __meta_dockerswarm_node_label_rack=7 __meta_dockerswarm_node_platform_architecture=x86_64 __meta_dockerswarm_node_platform_os=linux __meta_dockerswarm_node_role=manager __meta_dockerswarm_node_status=ready __meta_dockerswarm_service_id=s2 __meta_dockerswarm_service_mode=global __meta_dockerswarm_service_name=agent __meta_dockerswarm_task_desired_state=running __meta_dockerswarm_task_id=t2 __meta_dockerswarm_task_slot=0 __meta_dockerswarm_task_state=running
    "#]].assert_eq(&seen);
}

#[test]
fn configurations_of_containers() {
    let docker =
        |host: &str| wrong(|path, problems| configured::<DockerSd>(json!({ "host": host })).check(path, problems));
    let told = [docker("unix://run"), docker("docker"), docker("http://docker:2375"), docker("unix:///a")].join("--\n");
    expect![[r#"
        Error host: `unix://run` does not name a socket
        --
        Error host: `docker` is not where a Docker daemon listens
        --
        --
    "#]]
    .assert_eq(&told);
}
