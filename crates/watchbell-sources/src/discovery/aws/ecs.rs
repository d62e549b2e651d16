//! ECS: the tasks of clusters, on Fargate and on instances, as `aws_sd_configs` with the role `ecs` finds them.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::StreamExt;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use watchbell_model::{Labels, Path, Problems};
use watchbell_wire::xml::Element;

use super::super::TargetGroup;
use super::super::ask::{ASKED_MAX, Ask};
use super::super::target::{Target, items, text};
use super::{Account, Aws, ECS, Memory, ec2, with_aws};

/// How many things AWS describes in one call.
const DESCRIBED_MAX: usize = 100;
/// How many services.
const SERVICES_DESCRIBED_MAX: usize = 10;

with_aws! {
    /// The tasks of ECS, by their own addresses or those of their instances.
    #[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    pub struct EcsSd {
        /// Names or ARNs of clusters; all of the region's if none is given.
        #[serde(default)]
        pub clusters: Vec<String>,
        /// How many questions are asked at a time, eight at most.
        #[serde(default = "EcsSd::default_request_concurrency")]
        pub request_concurrency: usize,
    }
}

impl EcsSd {
    fn default_request_concurrency() -> usize {
        20
    }

    /// What is wrong with it.
    pub fn check(&self, path: &Path, problems: &mut Problems) {
        self.check_account(path, problems);
    }

    pub(in super::super) async fn targets(&self, ask: &Ask<'_>, memory: &Memory) -> Result<Vec<TargetGroup>, String> {
        tasks(&self.account(), &self.clusters, self.port, ask, memory).await
    }
}

pub(super) async fn tasks(
    account: &Account,
    clusters: &[String],
    port: u16,
    ask: &Ask<'_>,
    memory: &Memory,
) -> Result<Vec<TargetGroup>, String> {
    let aws = Aws::open(account, ECS, ask, memory).await?;
    let names = match clusters {
        [] => strings(aws.pages(ECS, "ListClusters", "nextToken", "clusterArns", json!({ "maxResults": 100 })).await?),
        given => given.to_vec(),
    };
    let mut clusters = Vec::new();
    for names in names.chunks(DESCRIBED_MAX) {
        let answer = aws.call(ECS, "DescribeClusters", json!({ "clusters": names, "include": ["TAGS"] })).await?;
        clusters.extend(items(&answer, "/clusters").iter().cloned());
    }
    let found = futures_util::stream::iter(clusters)
        .map(async |cluster| Cluster::look(&aws, cluster).await.map(|it| it.targets(&aws.region, port)))
        .buffered(ASKED_MAX);
    // One cluster that fails fails the round: a list without its tasks would end their series.
    let found: Vec<Result<Vec<Labels>, String>> = found.collect().await;
    let targets = found.into_iter().collect::<Result<Vec<_>, _>>()?.concat();
    Ok(vec![TargetGroup { source: aws.region.clone(), labels: Labels::empty(), targets }])
}

/// A cluster with all that its tasks' labels are made of.
struct Cluster {
    cluster: Value,
    tasks: Vec<Value>,
    /// By name.
    services: BTreeMap<String, Value>,
    /// Identities of instances by the ARN of the container instance.
    instance_ids: BTreeMap<String, String>,
    instances: BTreeMap<String, Element>,
    /// Public addresses by the network interface.
    public_ips: BTreeMap<String, String>,
}

impl Cluster {
    async fn look(aws: &Aws<'_>, cluster: Value) -> Result<Cluster, String> {
        let arn = &text(&cluster, "/clusterArn").to_owned();
        let mut found = Cluster {
            cluster,
            tasks: Vec::new(),
            services: BTreeMap::new(),
            instance_ids: BTreeMap::new(),
            instances: BTreeMap::new(),
            public_ips: BTreeMap::new(),
        };
        let mut question = json!({ "cluster": arn, "maxResults": 100 });
        let services = aws.pages(ECS, "ListServices", "nextToken", "serviceArns", question.clone()).await?;
        // What AWS takes for granted, and others who speak its API may not.
        question["desiredStatus"] = "RUNNING".into();
        let tasks = strings(aws.pages(ECS, "ListTasks", "nextToken", "taskArns", question).await?);
        if tasks.is_empty() {
            return Ok(found);
        }
        found.tasks = described(aws, "DescribeTasks", arn, "tasks", &tasks, DESCRIBED_MAX).await?;
        let services = strings(services);
        let services = described(aws, "DescribeServices", arn, "services", &services, SERVICES_DESCRIBED_MAX).await?;
        found.services = services.into_iter().map(|it| (text(&it, "/serviceName").to_owned(), it)).collect();
        let hosts: BTreeSet<&str> =
            found.tasks.iter().map(|task| text(task, "/containerInstanceArn")).filter(|it| !it.is_empty()).collect();
        let hosts: Vec<String> = hosts.into_iter().map(str::to_owned).collect();
        let hosts =
            described(aws, "DescribeContainerInstances", arn, "containerInstances", &hosts, DESCRIBED_MAX).await?;
        let pair = |it: &Value| (text(it, "/containerInstanceArn").to_owned(), text(it, "/ec2InstanceId").to_owned());
        found.instance_ids = hosts.iter().map(pair).filter(|(_, id)| !id.is_empty()).collect();
        found.instances = instances(aws, &found.instance_ids).await?;
        let interfaces = found.tasks.iter().filter_map(Interface::of).map(|it| it.id.to_owned());
        found.public_ips = public_ips(aws, &interfaces.filter(|id| !id.is_empty()).collect::<Vec<_>>()).await?;
        Ok(found)
    }

    fn targets(&self, region: &str, port: u16) -> Vec<Labels> {
        self.tasks.iter().filter_map(|task| self.target(task, region, port)).collect()
    }

    fn target(&self, task: &Value, region: &str, port: u16) -> Option<Labels> {
        let host = text(task, "/containerInstanceArn");
        let instance_id = self.instance_ids.get(host).map_or("", String::as_str);
        let instance = self.instances.get(instance_id);
        let of_instance = |field: &str| instance.map_or("", |it| it.text_at(field));
        let (mode, ip, subnet, public) = match Interface::of(task) {
            Some(own) => ("awsvpc", own.ip, own.subnet, self.public_ips.get(own.id).map_or("", String::as_str)),
            None => (
                if host.is_empty() { "" } else { "bridge" },
                of_instance("privateIpAddress"),
                of_instance("subnetId"),
                of_instance("ipAddress"),
            ),
        };
        if ip.is_empty() {
            return None;
        }
        let mut target = Target::new();
        target.at(ip, port);
        for (label, value) in [
            ("cluster", text(&self.cluster, "/clusterName")),
            ("cluster_arn", text(&self.cluster, "/clusterArn")),
            ("region", region),
            ("network_mode", mode),
            ("ip_address", ip),
            ("subnet_id", subnet),
            ("public_ip", public),
            ("task_group", text(task, "/group")),
            ("task_arn", text(task, "/taskArn")),
            ("task_definition", text(task, "/taskDefinitionArn")),
            ("availability_zone", text(task, "/availabilityZone")),
            ("launch_type", text(task, "/launchType")),
            ("desired_status", text(task, "/desiredStatus")),
            ("last_status", text(task, "/lastStatus")),
            ("health_status", text(task, "/healthStatus")),
            ("platform_family", text(task, "/platformFamily")),
            ("platform_version", text(task, "/platformVersion")),
            ("container_instance_arn", host),
            ("ec2_instance_id", instance_id),
            ("ec2_instance_type", of_instance("instanceType")),
            ("ec2_instance_private_ip", of_instance("privateIpAddress")),
            ("ec2_instance_public_ip", of_instance("ipAddress")),
        ] {
            target.set(format!("__meta_ecs_{label}"), value);
        }
        target.each("__meta_ecs_tag_cluster_", tags(&self.cluster));
        let service = text(task, "/group").strip_prefix("service:").and_then(|name| self.services.get(name));
        if let Some(service) = service {
            target
                .set("__meta_ecs_service", text(service, "/serviceName"))
                .set("__meta_ecs_service_arn", text(service, "/serviceArn"))
                .set("__meta_ecs_service_status", text(service, "/status"))
                .each("__meta_ecs_tag_service_", tags(service));
        }
        target.each("__meta_ecs_tag_task_", tags(task));
        if let Some(instance) = instance {
            target.each("__meta_ecs_tag_ec2_", ec2::tags(instance));
        }
        Some(target.labels())
    }
}

/// The network interface of a task that has one of its own.
struct Interface<'a> {
    id: &'a str,
    ip: &'a str,
    subnet: &'a str,
}

impl Interface<'_> {
    fn of(task: &Value) -> Option<Interface<'_>> {
        let own = items(task, "/attachments").iter().find(|it| text(it, "/type") == "ElasticNetworkInterface")?;
        let detail = |name: &str| {
            let found = items(own, "/details").iter().find(|detail| text(detail, "/name") == name);
            found.map_or("", |detail| text(detail, "/value"))
        };
        let (id, ip, subnet) = (detail("networkInterfaceId"), detail("privateIPv4Address"), detail("subnetId"));
        Some(Interface { id, ip, subnet })
    }
}

async fn described(
    aws: &Aws<'_>,
    call: &str,
    cluster: &str,
    list: &str,
    arns: &[String],
    at_once: usize,
) -> Result<Vec<Value>, String> {
    let mut found = Vec::new();
    for arns in arns.chunks(at_once) {
        let mut question = json!({ "cluster": cluster, list: arns });
        if list != "containerInstances" {
            question["include"] = json!(["TAGS"]);
        }
        let mut answer = aws.call(ECS, call, question).await?;
        if let Some(Value::Array(items)) = answer.get_mut(list).map(Value::take) {
            found.extend(items);
        }
    }
    Ok(found)
}

async fn instances(aws: &Aws<'_>, ids: &BTreeMap<String, String>) -> Result<BTreeMap<String, Element>, String> {
    let ids: BTreeSet<&String> = ids.values().collect();
    let ids: Vec<String> = ids.into_iter().cloned().collect();
    let mut found = BTreeMap::new();
    for ids in ids.chunks(DESCRIBED_MAX) {
        for reservation in aws.form_pages("DescribeInstances", &numbered("InstanceId", ids), "reservationSet").await? {
            let instances = reservation.items("instancesSet").iter();
            let known = instances.filter(|it| !it.text_at("privateIpAddress").is_empty());
            found.extend(known.map(|it| (it.text_at("instanceId").to_owned(), it.clone())));
        }
    }
    Ok(found)
}

async fn public_ips(aws: &Aws<'_>, ids: &[String]) -> Result<BTreeMap<String, String>, String> {
    let mut found = BTreeMap::new();
    for ids in ids.chunks(DESCRIBED_MAX) {
        let fields = numbered("NetworkInterfaceId", ids);
        for interface in aws.form_pages("DescribeNetworkInterfaces", &fields, "networkInterfaceSet").await? {
            let public = interface.text_at("association/publicIp").to_owned();
            found.insert(interface.text_at("networkInterfaceId").to_owned(), public);
        }
    }
    Ok(found)
}

fn numbered(name: &str, values: &[String]) -> Vec<(String, String)> {
    values.iter().enumerate().map(|(at, value)| (format!("{name}.{}", at + 1), value.clone())).collect()
}

fn strings(values: Vec<Value>) -> Vec<String> {
    values.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn tags(of: &Value) -> impl Iterator<Item = (&str, &str)> {
    items(of, "/tags").iter().map(|tag| (text(tag, "/key"), text(tag, "/value")))
}
