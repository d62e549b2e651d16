//! Targets that are discovered: in real files, at a real web server, and at an AWS that moto plays, filled by AWS' own
//! client. They appear with their labels, are scraped, and vanish.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::kit::{Folder, Process, Served, own_address, request, serve, wait_until};
use crate::peers::must_have;

/// Makes an instance, a task and a registered instance; and takes them away again.
const SCRIPT: &str = r#"
import sys, boto3
url, step, host, port = sys.argv[1:]
def aws(name):
    return boto3.client(name, region_name="eu-west-1", endpoint_url=url, aws_access_key_id="AK", aws_secret_access_key="SK")
ec2, ecs, cloud_map = aws("ec2"), aws("ecs"), aws("servicediscovery")
if step == "make":
    image = ec2.describe_images()["Images"][0]["ImageId"]
    subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    group = ec2.describe_security_groups()["SecurityGroups"][0]["GroupId"]
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "web 1"}]}]
    ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1, InstanceType="t3.micro", SubnetId=subnet, TagSpecifications=tags)
    ecs.create_cluster(clusterName="main", tags=[{"key": "env", "value": "prod"}])
    ecs.register_task_definition(family="web", networkMode="awsvpc", requiresCompatibilities=["FARGATE"], cpu="256",
        memory="512", containerDefinitions=[{"name": "web", "image": "web", "memory": 128}])
    network = {"awsvpcConfiguration": {"subnets": [subnet], "securityGroups": [group], "assignPublicIp": "ENABLED"}}
    ecs.run_task(cluster="main", taskDefinition="web", launchType="FARGATE", networkConfiguration=network,
        tags=[{"key": "team", "value": "ops"}])
    cloud_map.create_http_namespace(Name="prod")
    namespace = cloud_map.list_namespaces()["Namespaces"][0]["Id"]
    service = cloud_map.create_service(Name="shop", NamespaceId=namespace)["Service"]["Id"]
    attributes = {"AWS_INSTANCE_IPV4": host, "AWS_INSTANCE_PORT": port, "stage": "blue"}
    cloud_map.register_instance(ServiceId=service, InstanceId="shop-1", Attributes=attributes)
else:
    for reservation in ec2.describe_instances()["Reservations"]:
        ec2.terminate_instances(InstanceIds=[it["InstanceId"] for it in reservation["Instances"]])
    for task in ecs.list_tasks(cluster="main")["taskArns"]:
        ecs.stop_task(cluster="main", task=task)
    ecs.delete_cluster(cluster="main")
    service = cloud_map.list_services()["Services"][0]["Id"]
    cloud_map.deregister_instance(ServiceId=service, InstanceId="shop-1")
"#;

/// An AWS of our own, on loopback; ended by its process id.
pub struct Moto {
    child: Child,
    pub address: SocketAddr,
    python: PathBuf,
}

impl Moto {
    pub fn start() -> Moto {
        let bin = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/moto/bin");
        must_have(&bin.join("moto_server").display().to_string(), "python3-venv, then `cargo xtask test`,");
        let address = SocketAddr::from((own_address(), 5000));
        let child = Command::new(bin.join("moto_server"))
            .args(["-H", &address.ip().to_string(), "-p", &address.port().to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("moto starts");
        let moto = Moto { child, address, python: bin.join("python") };
        wait_until("moto listens", || {
            request(address, "GET", "/moto-api/data.json", &[], "").is_ok_and(|(status, _)| status == 200)
        });
        moto
    }

    fn run(&self, step: &str, target: SocketAddr) {
        self.python(SCRIPT, &[step, &target.ip().to_string(), &target.port().to_string()]);
    }

    /// What a script prints that speaks to it with AWS' own client; its first argument is where it is.
    pub fn python(&self, script: &str, arguments: &[&str]) -> String {
        let url = format!("http://{}", self.address);
        let run = Command::new(&self.python).args(["-c", script, &url]).args(arguments).output().expect("python runs");
        assert!(run.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&run.stderr));
        String::from_utf8_lossy(&run.stdout).trim().to_owned()
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A target that also lists targets.
fn target(list: Arc<Mutex<String>>) -> Served {
    serve(SocketAddr::from((own_address(), 9100)), move |mut stream| {
        let list = Arc::clone(&list);
        async move {
            let mut head = [0; 4096];
            let count = stream.read(&mut head).await.unwrap_or_default();
            let wants_list = String::from_utf8_lossy(&head[..count]).starts_with("GET /targets");
            let (kind, body) = match wants_list {
                true => ("application/json", list.lock().expect("no panic while held").clone()),
                false => ("text/plain; version=0.0.4", "answers 42\n".to_owned()),
            };
            let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n", body.len());
            let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
        }
    })
}

fn configuration(folder: &Folder, at: SocketAddr, target: SocketAddr, aws: SocketAddr) {
    let account = format!(
        "region: eu-west-1\n        endpoint: http://{aws}\n        access_key: AK\n        secret_key: SK\n        \
         refresh_interval: 1s"
    );
    let label = |from: &str, to: &str| format!("      - source_labels: [{from}]\n        target_label: {to}\n");
    let here = format!("      - target_label: __address__\n        replacement: '{target}'\n");
    let text = [
        format!(
            "listeners:\n  - address: '{at}'\nhost:\n  enabled: false\nglobal:\n  scrape_interval: 1s\nscrape_configs:\n"
        ),
        "  - job_name: files\n    file_sd_configs:\n      - files: [targets/*.yml]\n".into(),
        format!(
            "  - job_name: web\n    http_sd_configs:\n      - url: http://{target}/targets\n        refresh_interval: 1s\n"
        ),
        format!("  - job_name: cloud_map\n    cloud_map_sd_configs:\n      - namespaces: [prod]\n        {account}\n"),
        "    relabel_configs:\n".into(),
        label("__meta_cloud_map_service", "service"),
        label("__meta_cloud_map_attribute_stage", "stage"),
        format!(
            "  - job_name: ec2\n    ec2_sd_configs:\n      - filters: [{{name: instance-state-name, values: [running]}}]\n        {account}\n"
        ),
        "    relabel_configs:\n".into(),
        label("__meta_ec2_tag_Name", "name"),
        label("__meta_ec2_availability_zone_id", "zone"),
        here.clone(),
        format!("  - job_name: ecs\n    aws_sd_configs:\n      - role: ecs\n        {account}\n    relabel_configs:\n"),
        label("__meta_ecs_cluster", "cluster"),
        label("__meta_ecs_network_mode", "mode"),
        label("__meta_ecs_tag_task_team", "team"),
        label("__meta_ecs_tag_cluster_env", "env"),
        here,
    ];
    folder.write("watchbell.yml", &text.concat());
}

/// The labels of all that is up, a line each, sorted.
fn up(watchbell: &Process) -> String {
    let (_, body) = watchbell.get("/api/v1/query?query=up%20%3D%3D%201");
    let answer: Value = serde_json::from_str(body.trim()).unwrap_or_default();
    let mut lines: Vec<String> =
        answer["data"]["result"].as_array().into_iter().flatten().map(|it| it["metric"].to_string()).collect();
    lines.sort();
    lines.join("\n")
}

#[test]
fn discovered_targets_appear_are_scraped_and_vanish() {
    let folder = Folder::new("discovered");
    let list = Arc::new(Mutex::new("[]".to_owned()));
    let target = target(Arc::clone(&list));
    let aws = Moto::start();
    aws.run("make", target.address);
    let at = SocketAddr::from((own_address(), 9800));
    configuration(&folder, at, target.address, aws.address);
    let files = format!("- targets: ['{}']\n  labels: {{env: test}}\n", target.address);
    folder.write("targets/a.yml", &files);
    *list.lock().unwrap() = format!(r#"[{{"targets": ["{}"], "labels": {{"from": "web"}}}}]"#, target.address);
    let endpoint = format!("http://{}", aws.address);
    let watchbell =
        Process::start(&folder, &["--config", "watchbell.yml", "--data", "data"], &[("AWS_ENDPOINT_URL", &endpoint)]);
    let wanted = [
        vec![r#""job":"files""#, r#""env":"test""#],
        vec![r#""job":"web""#, r#""from":"web""#],
        vec![r#""job":"cloud_map""#, r#""service":"shop""#, r#""stage":"blue""#],
        vec![r#""job":"ec2""#, r#""name":"web 1""#, r#""zone":"euw1-az"#],
        vec![r#""job":"ecs""#, r#""cluster":"main""#, r#""mode":"awsvpc""#, r#""team":"ops""#, r#""env":"prod""#],
    ];
    let mut seen = String::new();
    let all = |seen: &str| wanted.iter().all(|words| seen.lines().any(|line| words.iter().all(|it| line.contains(it))));
    wait_until("every discovery's target is up", || {
        let now = up(&watchbell);
        if now != seen {
            seen = now;
            eprintln!("--\n{seen}");
        }
        all(&seen)
    });
    // What is broken keeps its targets, and says so; what is empty has none.
    folder.write("targets/a.yml", "- targets: [");
    *list.lock().unwrap() = "broken".into();
    aws.run("take", target.address);
    let gone = |seen: &str, job: &str| !seen.contains(&format!(r#""job":"{job}""#));
    wait_until("what AWS lost is gone", || {
        let seen = up(&watchbell);
        ["cloud_map", "ec2", "ecs"].iter().all(|job| gone(&seen, job))
    });
    let still = up(&watchbell);
    assert!(!gone(&still, "files") && !gone(&still, "web"), "{still}");
    folder.write("targets/a.yml", "[]");
    *list.lock().unwrap() = "[]".into();
    wait_until("nothing is left", || up(&watchbell).is_empty());
}
