//! `ec2_sd_configs`: the instances of EC2.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use watchbell_model::{Labels, Path, Problems};
use watchbell_wire::xml::Element;

use super::super::TargetGroup;
use super::super::ask::Ask;
use super::super::docker::Filter;
use super::super::target::Target;
use super::{Account, Aws, EC2, Memory, with_aws};

with_aws! {
    /// The instances of EC2, by their private addresses.
    #[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    pub struct Ec2Sd {
        /// Which instances are asked for, by the names of EC2's API, such as `tag:Name`.
        #[serde(default)]
        pub filters: Vec<Filter>,
    }
}

impl Ec2Sd {
    /// What is wrong with it.
    pub fn check(&self, path: &Path, problems: &mut Problems) {
        check_filters(&self.filters, path, problems);
        self.check_account(path, problems);
    }

    pub(in super::super) async fn targets(&self, ask: &Ask<'_>, memory: &Memory) -> Result<Vec<TargetGroup>, String> {
        instances(&self.account(), &self.filters, self.port, ask, memory).await
    }
}

pub(super) fn check_filters(filters: &[Filter], path: &Path, problems: &mut Problems) {
    for (at, filter) in filters.iter().enumerate() {
        if filter.values.is_empty() {
            let path = path.field("filters").index(at);
            problems
                .error(&path, format!("the filter `{}` has no values", filter.name))
                .hint("such as `values: [web]`");
        }
    }
}

pub(super) async fn instances(
    account: &Account,
    filters: &[Filter],
    port: u16,
    ask: &Ask<'_>,
    memory: &Memory,
) -> Result<Vec<TargetGroup>, String> {
    let aws = Aws::open(account, EC2, ask, memory).await?;
    let mut fields = Vec::new();
    for (at, filter) in filters.iter().enumerate() {
        fields.push((format!("Filter.{}.Name", at + 1), filter.name.clone()));
        let values = filter.values.iter().enumerate();
        fields.extend(values.map(|(n, value)| (format!("Filter.{}.Value.{}", at + 1, n + 1), value.clone())));
    }
    let zones = zones(&aws).await;
    let reservations = aws.form_pages("DescribeInstances", &fields, "reservationSet").await?;
    let mut targets = Vec::new();
    for reservation in &reservations {
        for instance in reservation.items("instancesSet") {
            targets.extend(describe(instance, reservation.text_at("ownerId"), &aws.region, &zones, port));
        }
    }
    Ok(vec![TargetGroup { source: aws.region.clone(), labels: Labels::empty(), targets }])
}

/// Identities of the zones by their names; without the right to ask for them, none.
async fn zones(aws: &Aws<'_>) -> BTreeMap<String, String> {
    if let Some(known) = aws.memory.zones.lock().expect("no panic while held").clone() {
        return known;
    }
    let answer = match aws.form(EC2, "DescribeAvailabilityZones", &[]).await {
        Ok(answer) => answer,
        Err(error) => {
            tracing::debug!("identities of zones are not known: {error}");
            return BTreeMap::new();
        }
    };
    let zone = |item: &Element| (item.text_at("zoneName").to_owned(), item.text_at("zoneId").to_owned());
    let zones: BTreeMap<String, String> = answer.items("availabilityZoneInfo").iter().map(zone).collect();
    *aws.memory.zones.lock().expect("no panic while held") = Some(zones.clone());
    zones
}

fn describe(
    instance: &Element,
    owner: &str,
    region: &str,
    zones: &BTreeMap<String, String>,
    port: u16,
) -> Option<Labels> {
    let interfaces: Vec<&Element> =
        instance.items("networkInterfaceSet").iter().filter(|it| !it.text_at("subnetId").is_empty()).collect();
    let in_vpc = !instance.text_at("vpcId").is_empty();
    let (primary, all) = if in_vpc { ipv6(&interfaces) } else { Default::default() };
    let default = primary.iter().chain(&all).find(|address| !address.is_empty()).copied().unwrap_or_default();
    let private = instance.text_at("privateIpAddress");
    let address = if private.is_empty() { default } else { private };
    if address.is_empty() {
        return None;
    }
    let mut target = Target::new();
    target.at(address, port).set("__meta_ec2_region", region).set("__meta_ec2_owner_id", owner);
    for (label, field) in [
        ("instance_id", "instanceId"),
        ("private_ip", "privateIpAddress"),
        ("private_dns_name", "privateDnsName"),
        ("platform", "platform"),
        ("ami", "imageId"),
        ("availability_zone", "placement/availabilityZone"),
        ("instance_state", "instanceState/name"),
        ("instance_type", "instanceType"),
        ("instance_lifecycle", "instanceLifecycle"),
        ("architecture", "architecture"),
        ("vpc_id", "vpcId"),
    ] {
        target.set(format!("__meta_ec2_{label}"), instance.text_at(field));
    }
    let zone = zones.get(instance.text_at("placement/availabilityZone"));
    target.set("__meta_ec2_availability_zone_id", zone.map_or("", String::as_str));
    target.set("__meta_ec2_default_ipv6_address", default);
    if !instance.text_at("ipAddress").is_empty() {
        target.set("__meta_ec2_public_ip", instance.text_at("ipAddress"));
        target.set("__meta_ec2_public_dns_name", instance.text_at("dnsName"));
    }
    target.list("__meta_ec2_primary_ipv6_addresses", &primary).list("__meta_ec2_ipv6_addresses", &all);
    if in_vpc {
        let mut subnets: Vec<&str> = Vec::new();
        for subnet in interfaces.iter().map(|it| it.text_at("subnetId")) {
            if !subnets.contains(&subnet) {
                subnets.push(subnet);
            }
        }
        target.set("__meta_ec2_primary_subnet_id", instance.text_at("subnetId"));
        target.set("__meta_ec2_subnet_id", format!(",{},", subnets.join(",")));
    }
    target.each("__meta_ec2_tag_", tags(instance));
    Some(target.labels())
}

pub(super) fn tags(of: &Element) -> impl Iterator<Item = (&str, &str)> {
    of.items("tagSet").iter().map(|tag| (tag.text_at("key"), tag.text_at("value")))
}

/// IPv6 addresses: the primary ones, each at the place of its interface with nothing between, and all of them.
fn ipv6<'a>(interfaces: &[&'a Element]) -> (Vec<&'a str>, Vec<&'a str>) {
    /// An instance has far fewer interfaces.
    const INTERFACES_MAX: usize = 64;
    let (mut primary, mut all) = (Vec::new(), Vec::new());
    for interface in interfaces {
        for address in interface.items("ipv6AddressesSet") {
            let text = address.text_at("ipv6Address");
            all.push(text);
            if address.text_at("isPrimaryIpv6") == "true" {
                let at: usize = interface.text_at("attachment/deviceIndex").parse().unwrap_or_default();
                let at = at.min(INTERFACES_MAX);
                if primary.len() <= at {
                    primary.resize(at + 1, "");
                }
                primary[at] = text;
            }
        }
    }
    (primary, all)
}
