//! `lightsail_sd_configs`: the instances of Lightsail.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use watchbell_model::{Labels, Path, Problems};

use super::super::TargetGroup;
use super::super::ask::Ask;
use super::super::target::{Target, items, text};
use super::{Account, Aws, LIGHTSAIL, Memory, with_aws};

with_aws! {
    /// The instances of Lightsail, by their private addresses.
    #[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    pub struct LightsailSd {
    }
}

impl LightsailSd {
    /// What is wrong with it.
    pub fn check(&self, path: &Path, problems: &mut Problems) {
        self.check_account(path, problems);
    }

    pub(in super::super) async fn targets(&self, ask: &Ask<'_>, memory: &Memory) -> Result<Vec<TargetGroup>, String> {
        instances(&self.account(), self.port, ask, memory).await
    }
}

pub(super) async fn instances(
    account: &Account,
    port: u16,
    ask: &Ask<'_>,
    memory: &Memory,
) -> Result<Vec<TargetGroup>, String> {
    let aws = Aws::open(account, LIGHTSAIL, ask, memory).await?;
    let (mut targets, mut question) = (Vec::new(), json!({}));
    for _ in 0..super::PARTS_MAX {
        let answer = aws.call(LIGHTSAIL, "GetInstances", question.clone()).await?;
        targets.extend(items(&answer, "/instances").iter().filter_map(|it| describe(it, &aws.region, port)));
        match text(&answer, "/nextPageToken") {
            "" => break,
            next => question["pageToken"] = next.into(),
        }
    }
    Ok(vec![TargetGroup { source: aws.region.clone(), labels: Labels::empty(), targets }])
}

fn describe(instance: &Value, region: &str, port: u16) -> Option<Labels> {
    let private = Some(text(instance, "/privateIpAddress")).filter(|it| !it.is_empty())?;
    let mut target = Target::new();
    target.at(private, port).set("__meta_lightsail_region", region);
    for (label, field) in [
        ("private_ip", "/privateIpAddress"),
        ("public_ip", "/publicIpAddress"),
        ("availability_zone", "/location/availabilityZone"),
        ("blueprint_id", "/blueprintId"),
        ("bundle_id", "/bundleId"),
        ("instance_name", "/name"),
        ("instance_state", "/state/name"),
        ("instance_support_code", "/supportCode"),
    ] {
        target.set(format!("__meta_lightsail_{label}"), text(instance, field));
    }
    let ipv6: Vec<&str> = items(instance, "/ipv6Addresses").iter().filter_map(Value::as_str).collect();
    let tags = items(instance, "/tags").iter().filter(|tag| tag.get("value").is_some());
    target
        .list("__meta_lightsail_ipv6_addresses", &ipv6)
        .each("__meta_lightsail_tag_", tags.map(|tag| (text(tag, "/key"), text(tag, "/value"))));
    Some(target.labels())
}
