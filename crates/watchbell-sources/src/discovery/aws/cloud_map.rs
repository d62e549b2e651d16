//! `cloud_map_sd_configs`: the instances that are registered in AWS Cloud Map, by ECS' service discovery or by hand.
//!
//! Prometheus knows no Cloud Map; labels and fields are named as its other discoveries at AWS name theirs.

use std::collections::BTreeMap;

use futures_util::StreamExt;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use watchbell_model::{Labels, Path, Problems};

use super::super::ask::{ASKED_MAX, Ask, PARTS_MAX};
use super::super::target::{Target, pairs, text};
use super::super::{Kept, TargetGroup};
use super::{Aws, CLOUD_MAP, Memory, with_aws};

with_aws! {
    /// The instances registered in AWS Cloud Map.
    #[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    pub struct CloudMapSd {
        /// Names or identities of namespaces; all of the region's if none is given.
        #[serde(default)]
        pub namespaces: Vec<String>,
        /// Names or identities of services; all of the namespaces' if none is given.
        #[serde(default)]
        pub services: Vec<String>,
    }
}

impl CloudMapSd {
    /// What is wrong with it.
    pub fn check(&self, path: &Path, problems: &mut Problems) {
        self.check_account(path, problems);
    }

    pub(in super::super) async fn targets(
        &self,
        ask: &Ask<'_>,
        memory: &Memory,
        kept: &Kept,
    ) -> Result<Vec<TargetGroup>, String> {
        let aws = Aws::open(&self.account(), CLOUD_MAP, ask, memory).await?;
        let mut wanted = Vec::new();
        let all = json!({ "MaxResults": 100 });
        for namespace in aws.pages(CLOUD_MAP, "ListNamespaces", "NextToken", "Namespaces", all).await? {
            if !named(&self.namespaces, &namespace) {
                continue;
            }
            let filter = json!([{ "Name": "NAMESPACE_ID", "Values": [text(&namespace, "/Id")], "Condition": "EQ" }]);
            let question = json!({ "MaxResults": 100, "Filters": filter });
            let services = aws.pages(CLOUD_MAP, "ListServices", "NextToken", "Services", question).await?;
            let services = services.into_iter().filter(|service| named(&self.services, service));
            wanted.extend(services.map(|service| (namespace.clone(), service)));
        }
        if wanted.len() > PARTS_MAX {
            return Err(format!("there are {} services, but {PARTS_MAX} are the most that are asked", wanted.len()));
        }
        let parts = futures_util::stream::iter(wanted)
            .map(async |(namespace, service)| {
                let source = text(&service, "/Id").to_owned();
                let group = self.service(&aws, &namespace, &service).await;
                (source, group.map(|group| vec![group]))
            })
            .buffered(ASKED_MAX);
        kept.renew("cloud_map", parts.collect().await)
    }

    async fn service(&self, aws: &Aws<'_>, namespace: &Value, service: &Value) -> Result<TargetGroup, String> {
        let id = text(service, "/Id");
        let question = json!({ "ServiceId": id, "MaxResults": 100 });
        let instances = aws.pages(CLOUD_MAP, "ListInstances", "NextToken", "Instances", question.clone()).await?;
        // Only services with a health check have this; the right to ask for it is one of its own.
        let mut health: BTreeMap<String, String> = BTreeMap::new();
        if service.get("HealthCheckConfig").is_some() || service.get("HealthCheckCustomConfig").is_some() {
            match health_of(aws, question).await {
                Ok(known) => health = known,
                Err(error) => tracing::debug!("the health of {id} is not known: {error}"),
            }
        }
        let mut group = Target::new();
        for (label, value) in [
            ("namespace", text(namespace, "/Name")),
            ("namespace_id", text(namespace, "/Id")),
            ("namespace_arn", text(namespace, "/Arn")),
            ("namespace_type", text(namespace, "/Type")),
            ("service", text(service, "/Name")),
            ("service_id", id),
            ("service_arn", text(service, "/Arn")),
            ("region", &aws.region),
        ] {
            group.set(format!("__meta_cloud_map_{label}"), value);
        }
        let targets = instances.iter().filter_map(|instance| {
            let status = health.get(text(instance, "/Id")).map_or("", String::as_str);
            self.describe(instance, status)
        });
        Ok(TargetGroup { source: id.to_owned(), labels: group.labels(), targets: targets.collect() })
    }

    /// An instance; one without any address is none.
    fn describe(&self, instance: &Value, health: &str) -> Option<Labels> {
        let attribute = |name: &str| text(instance, &format!("/Attributes/{name}"));
        let addresses = ["AWS_INSTANCE_IPV4", "AWS_INSTANCE_IPV6", "AWS_INSTANCE_CNAME"];
        let host = addresses.map(attribute).into_iter().find(|address| !address.is_empty())?;
        let mut target = Target::new();
        match attribute("AWS_INSTANCE_PORT") {
            "" => target.at(host, self.port),
            port => target.at(host, port),
        };
        target
            .set("__meta_cloud_map_instance_id", text(instance, "/Id"))
            .set("__meta_cloud_map_health_status", health)
            .each("__meta_cloud_map_attribute_", pairs(instance, "/Attributes"));
        Some(target.labels())
    }
}

/// The health of a service's instances by their identity, page by page.
async fn health_of(aws: &Aws<'_>, question: Value) -> Result<BTreeMap<String, String>, String> {
    let (mut question, mut health) = (question, BTreeMap::new());
    for _ in 0..PARTS_MAX {
        let answer = aws.call(CLOUD_MAP, "GetInstancesHealthStatus", question.clone()).await?;
        health.extend(pairs(&answer, "/Status").map(|(id, is)| (id.to_owned(), is.to_owned())));
        match text(&answer, "/NextToken") {
            "" => break,
            next => question["NextToken"] = next.into(),
        }
    }
    Ok(health)
}

fn named(wanted: &[String], of: &Value) -> bool {
    wanted.is_empty() || wanted.iter().any(|name| name == text(of, "/Name") || name == text(of, "/Id"))
}
