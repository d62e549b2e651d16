//! Targets at AWS, from answers of the shape that AWS documents.

use std::path::Path;

use expect_test::expect;
use serde_json::{Value, json};
use watchbell_runtime::sim::{self, World};

use super::{Server, configured, told, wrong};
use crate::discovery::{AwsSd, CloudMapSd, Discovery, Ec2Sd, LightsailSd};

const XML: &str = "text/xml";

/// A host that answers as AWS, wherever it is asked for.
fn amazon(world: &World) -> Server {
    let server = Server::default();
    let serving = server.clone();
    world.net.serve("aws", 80, move |stream| serving.clone().serve(stream));
    server
}

fn xml(server: &Server, call: &str, body: &str) {
    let answer = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?><{call}Response>{body}</{call}Response>");
    server.say(&format!("POST / | Action={call}"), (200, XML, answer));
}

fn config(more: Value) -> Value {
    let mut config = json!({ "region": "eu-west-1", "access_key": "AK", "secret_key": "SK", "endpoint": "http://aws" });
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    config
}

const INSTANCES: &str = "<reservationSet><item><ownerId>123</ownerId><instancesSet>\
    <item><instanceId>i-1</instanceId><imageId>ami-1</imageId><instanceState><code>16</code><name>running</name></instanceState>\
    <privateDnsName>ip-10-0-0-1.internal</privateDnsName><dnsName>ec2-192.amazonaws.com</dnsName>\
    <instanceType>t3.micro</instanceType><placement><availabilityZone>eu-west-1a</availabilityZone></placement>\
    <privateIpAddress>10.0.0.1</privateIpAddress><ipAddress>192.0.2.1</ipAddress><vpcId>vpc-1</vpcId>\
    <subnetId>subnet-1</subnetId><architecture>x86_64</architecture><networkInterfaceSet>\
    <item><subnetId>subnet-1</subnetId><attachment><deviceIndex>0</deviceIndex></attachment></item>\
    <item><subnetId>subnet-2</subnetId><attachment><deviceIndex>1</deviceIndex></attachment><ipv6AddressesSet>\
    <item><ipv6Address>2001:db8::1</ipv6Address><isPrimaryIpv6>false</isPrimaryIpv6></item>\
    <item><ipv6Address>2001:db8::2</ipv6Address><isPrimaryIpv6>true</isPrimaryIpv6></item></ipv6AddressesSet></item>\
    </networkInterfaceSet><tagSet><item><key>Name</key><value>a &amp; b</value></item>\
    <item><key>aws:x/y</key><value>z</value></item></tagSet></item>\
    <item><instanceId>i-2</instanceId><imageId>ami-1</imageId><platform>windows</platform>\
    <instanceLifecycle>spot</instanceLifecycle><placement><availabilityZone>eu-west-1b</availabilityZone></placement>\
    <vpcId>vpc-1</vpcId><subnetId>subnet-2</subnetId><networkInterfaceSet><item><subnetId>subnet-2</subnetId>\
    <ipv6AddressesSet><item><ipv6Address>2001:db8::3</ipv6Address></item></ipv6AddressesSet></item></networkInterfaceSet></item>\
    <item><instanceId>i-3</instanceId><instanceState><name>terminated</name></instanceState></item>\
    </instancesSet></item></reservationSet>";

#[test]
fn ec2_tells_its_instances() {
    let seen = sim::run(1, |world| async move {
        let server = amazon(&world);
        let zones = "<availabilityZoneInfo><item><zoneName>eu-west-1a</zoneName><zoneId>euw1-az2</zoneId></item>\
            </availabilityZoneInfo>";
        xml(&server, "DescribeAvailabilityZones", zones);
        xml(&server, "DescribeInstances", &format!("{INSTANCES}<nextToken>more</nextToken>"));
        let last = "<DescribeInstancesResponse><reservationSet/></DescribeInstancesResponse>";
        server.say("POST / | NextToken=more", (200, XML, last.into()));
        let runtime = world.runtime();
        let config = config(json!({ "port": 9100, "filters": [{ "name": "tag:Name", "values": ["a", "b"] }] }));
        let discovery = Discovery::from(configured::<Ec2Sd>(config));
        let mut seen = told(&discovery, &runtime).await;
        for asked in server.asked.lock().unwrap().drain(..) {
            seen += &format!("{}\n", asked.body);
            if asked.body.contains("NextToken") {
                seen += &format!("{}\n", asked.header("authorization"));
            }
        }
        // The zones are known by now.
        told(&discovery, &runtime).await;
        assert!(!server.asked.lock().unwrap().iter().any(|asked| asked.body.contains("Zones")));
        let refusal = "<Response><Errors><Error><Code>UnauthorizedOperation</Code></Error></Errors></Response>";
        server.say("POST /", (403, XML, refusal.into()));
        seen += &told(&discovery, &runtime).await;
        server.say("POST /", (200, XML, "<a><b>".into()));
        seen + &told(&discovery, &runtime).await
    });
    expect![[r#"
        eu-west-1 | 
          __address__=10.0.0.1:9100 __meta_ec2_ami=ami-1 __meta_ec2_architecture=x86_64 __meta_ec2_availability_zone=eu-west-1a __meta_ec2_availability_zone_id=euw1-az2 __meta_ec2_default_ipv6_address=2001:db8::2 __meta_ec2_instance_id=i-1 __meta_ec2_instance_state=running __meta_ec2_instance_type=t3.micro __meta_ec2_ipv6_addresses=,2001:db8::1,2001:db8::2, __meta_ec2_owner_id=123 __meta_ec2_primary_ipv6_addresses=,,2001:db8::2, __meta_ec2_primary_subnet_id=subnet-1 __meta_ec2_private_dns_name=ip-10-0-0-1.internal __meta_ec2_private_ip=10.0.0.1 __meta_ec2_public_dns_name=ec2-192.amazonaws.com __meta_ec2_public_ip=192.0.2.1 __meta_ec2_region=eu-west-1 __meta_ec2_subnet_id=,subnet-1,subnet-2, __meta_ec2_tag_Name=a & b __meta_ec2_tag_aws_x_y=z __meta_ec2_vpc_id=vpc-1
          __address__=[2001:db8::3]:9100 __meta_ec2_ami=ami-1 __meta_ec2_availability_zone=eu-west-1b __meta_ec2_default_ipv6_address=2001:db8::3 __meta_ec2_instance_id=i-2 __meta_ec2_instance_lifecycle=spot __meta_ec2_ipv6_addresses=,2001:db8::3, __meta_ec2_owner_id=123 __meta_ec2_platform=windows __meta_ec2_primary_subnet_id=subnet-2 __meta_ec2_region=eu-west-1 __meta_ec2_subnet_id=,subnet-2, __meta_ec2_vpc_id=vpc-1
        Action=DescribeAvailabilityZones&Version=2016-11-15
        Action=DescribeInstances&Version=2016-11-15&Filter.1.Name=tag%3AName&Filter.1.Value.1=a&Filter.1.Value.2=b
        Action=DescribeInstances&Version=2016-11-15&Filter.1.Name=tag%3AName&Filter.1.Value.1=a&Filter.1.Value.2=b&NextToken=more
        AWS4-HMAC-SHA256 Credential=AK/20260105/eu-west-1/ec2/aws4_request, SignedHeaders=content-type;host;x-amz-date, Signature=5d3227adb1181d0eaf11771a38cca894fe689e6874d96fad85f32f452bdb6a00
        error: DescribeInstances failed: http://aws answers with status 403: <Response><Errors><Error><Code>UnauthorizedOperation</Code></Error></Errors></Response>
        error: the answer to DescribeInstances is not XML: `b` does not end
    "#]].assert_eq(&seen);
}

#[test]
fn ecs_tells_its_tasks() {
    let seen = sim::run(1, |world| async move {
        let server = amazon(&world);
        let call = |name: &str, answer: Value| server.json(&format!("POST / | .{name}"), answer);
        let arn = |what: &str| format!("arn:aws:ecs:eu-west-1:123:{what}");
        call("ListClusters", json!({ "clusterArns": [arn("cluster/main")] }));
        call(
            "DescribeClusters",
            json!({ "clusters": [{
                "clusterArn": arn("cluster/main"), "clusterName": "main", "tags": [{ "key": "env", "value": "prod" }]
            }] }),
        );
        call("ListTasks", json!({ "taskArns": ["t1", "t2", "t3"] }));
        call("ListServices", json!({ "serviceArns": ["s1"] }));
        call(
            "DescribeServices",
            json!({ "services": [{
                "serviceArn": arn("service/main/web"), "serviceName": "web", "status": "ACTIVE",
                "tags": [{ "key": "team", "value": "ops" }]
            }] }),
        );
        call(
            "DescribeTasks",
            json!({ "tasks": [{
                "taskArn": arn("task/main/1"), "taskDefinitionArn": arn("task-definition/web:7"), "group": "service:web",
                "launchType": "FARGATE", "availabilityZone": "eu-west-1a", "desiredStatus": "RUNNING",
                "lastStatus": "RUNNING", "healthStatus": "HEALTHY", "platformFamily": "Linux", "platformVersion": "1.4.0",
                "attachments": [{ "type": "ElasticNetworkInterface", "details": [
                    { "name": "subnetId", "value": "subnet-1" }, { "name": "networkInterfaceId", "value": "eni-1" },
                    { "name": "privateIPv4Address", "value": "10.0.0.9" }
                ] }],
                "tags": [{ "key": "a-b", "value": "c" }]
            }, {
                "taskArn": arn("task/main/2"), "group": "family:batch", "launchType": "EC2",
                "containerInstanceArn": "ci-1", "attachments": []
            }, { "taskArn": arn("task/main/3"), "launchType": "FARGATE" }] }),
        );
        call(
            "DescribeContainerInstances",
            json!({ "containerInstances": [{ "containerInstanceArn": "ci-1", "ec2InstanceId": "i-1" }] }),
        );
        xml(&server, "DescribeInstances", INSTANCES);
        xml(
            &server,
            "DescribeNetworkInterfaces",
            "<networkInterfaceSet><item><networkInterfaceId>eni-1</networkInterfaceId>\
             <association><publicIp>192.0.2.9</publicIp></association></item></networkInterfaceSet>",
        );
        let mut world = world.clone();
        world.environment.insert("AWS_ENDPOINT_URL_EC2".into(), "http://aws".into());
        let runtime = world.runtime();
        let discovery = Discovery::from(configured::<AwsSd>(config(json!({ "role": "ecs", "port": 9100 }))));
        let mut seen = told(&discovery, &runtime).await;
        // One call that fails fails the round, so that no task seems to have ended.
        server.say("POST / | .DescribeTasks", (400, super::JSON, r#"{"__type": "ThrottlingException"}"#.into()));
        seen += &told(&discovery, &runtime).await;
        seen
    });
    expect![[r#"
        eu-west-1 | 
          __address__=10.0.0.9:9100 __meta_ecs_availability_zone=eu-west-1a __meta_ecs_cluster=main __meta_ecs_cluster_arn=arn:aws:ecs:eu-west-1:123:cluster/main __meta_ecs_desired_status=RUNNING __meta_ecs_health_status=HEALTHY __meta_ecs_ip_address=10.0.0.9 __meta_ecs_last_status=RUNNING __meta_ecs_launch_type=FARGATE __meta_ecs_network_mode=awsvpc __meta_ecs_platform_family=Linux __meta_ecs_platform_version=1.4.0 __meta_ecs_public_ip=192.0.2.9 __meta_ecs_region=eu-west-1 __meta_ecs_service=web __meta_ecs_service_arn=arn:aws:ecs:eu-west-1:123:service/main/web __meta_ecs_service_status=ACTIVE __meta_ecs_subnet_id=subnet-1 __meta_ecs_tag_cluster_env=prod __meta_ecs_tag_service_team=ops __meta_ecs_tag_task_a_b=c __meta_ecs_task_arn=arn:aws:ecs:eu-west-1:123:task/main/1 __meta_ecs_task_definition=arn:aws:ecs:eu-west-1:123:task-definition/web:7 __meta_ecs_task_group=service:web
          __address__=10.0.0.1:9100 __meta_ecs_cluster=main __meta_ecs_cluster_arn=arn:aws:ecs:eu-west-1:123:cluster/main __meta_ecs_container_instance_arn=ci-1 __meta_ecs_ec2_instance_id=i-1 __meta_ecs_ec2_instance_private_ip=10.0.0.1 __meta_ecs_ec2_instance_public_ip=192.0.2.1 __meta_ecs_ec2_instance_type=t3.micro __meta_ecs_ip_address=10.0.0.1 __meta_ecs_launch_type=EC2 __meta_ecs_network_mode=bridge __meta_ecs_public_ip=192.0.2.1 __meta_ecs_region=eu-west-1 __meta_ecs_subnet_id=subnet-1 __meta_ecs_tag_cluster_env=prod __meta_ecs_tag_ec2_Name=a & b __meta_ecs_tag_ec2_aws_x_y=z __meta_ecs_task_arn=arn:aws:ecs:eu-west-1:123:task/main/2 __meta_ecs_task_group=family:batch
        error: DescribeTasks failed: http://aws answers with status 400: {"__type": "ThrottlingException"}
    "#]].assert_eq(&seen);
}

#[test]
fn cloud_map_tells_its_instances() {
    let seen = sim::run(1, |world| async move {
        let server = amazon(&world);
        let call = |name: &str, answer: Value| server.json(&format!("POST / | .{name}"), answer);
        let space =
            |id: &str, name: &str| json!({ "Id": id, "Arn": format!("arn:{id}"), "Name": name, "Type": "DNS_PRIVATE" });
        call("ListNamespaces", json!({ "Namespaces": [space("ns-1", "prod.local"), space("ns-2", "test.local")] }));
        call(
            "ListServices",
            json!({ "Services": [
                { "Id": "srv-1", "Arn": "arn:srv-1", "Name": "web", "HealthCheckCustomConfig": { "FailureThreshold": 1 } },
                { "Id": "srv-2", "Arn": "arn:srv-2", "Name": "db" }
            ] }),
        );
        let instances = json!([
            { "Id": "i-1", "Attributes": { "AWS_INSTANCE_IPV4": "10.0.0.1", "AWS_INSTANCE_PORT": "8080", "stage": "blue" } },
            { "Id": "i-2", "Attributes": { "AWS_INSTANCE_CNAME": "x.example.org" } },
            { "Id": "i-3", "Attributes": { "AWS_ALIAS_DNS_NAME": "lb" } }
        ]);
        call("ListInstances", json!({ "Instances": instances }));
        server.json("POST / | \"ServiceId\":\"srv-2\"", json!({ "Instances": [] }));
        call("GetInstancesHealthStatus", json!({ "Status": { "i-1": "HEALTHY", "i-2": "UNHEALTHY" } }));
        let runtime = world.runtime();
        let discovery = Discovery::from(configured::<CloudMapSd>(config(json!({ "namespaces": ["prod.local"] }))));
        let mut seen = told(&discovery, &runtime).await;
        server.say("POST / | .ListInstances", (500, super::JSON, "{}".into()));
        seen += &told(&discovery, &runtime).await;
        let other = Discovery::from(configured::<CloudMapSd>(config(json!({ "services": ["gone"] }))));
        seen + &told(&other, &runtime).await
    });
    expect![[r#"
        srv-1 | __meta_cloud_map_namespace=prod.local __meta_cloud_map_namespace_arn=arn:ns-1 __meta_cloud_map_namespace_id=ns-1 __meta_cloud_map_namespace_type=DNS_PRIVATE __meta_cloud_map_region=eu-west-1 __meta_cloud_map_service=web __meta_cloud_map_service_arn=arn:srv-1 __meta_cloud_map_service_id=srv-1
          __address__=10.0.0.1:8080 __meta_cloud_map_attribute_AWS_INSTANCE_IPV4=10.0.0.1 __meta_cloud_map_attribute_AWS_INSTANCE_PORT=8080 __meta_cloud_map_attribute_stage=blue __meta_cloud_map_health_status=HEALTHY __meta_cloud_map_instance_id=i-1
          __address__=x.example.org:80 __meta_cloud_map_attribute_AWS_INSTANCE_CNAME=x.example.org __meta_cloud_map_health_status=UNHEALTHY __meta_cloud_map_instance_id=i-2
        srv-2 | __meta_cloud_map_namespace=prod.local __meta_cloud_map_namespace_arn=arn:ns-1 __meta_cloud_map_namespace_id=ns-1 __meta_cloud_map_namespace_type=DNS_PRIVATE __meta_cloud_map_region=eu-west-1 __meta_cloud_map_service=db __meta_cloud_map_service_arn=arn:srv-2 __meta_cloud_map_service_id=srv-2
        srv-1 | __meta_cloud_map_namespace=prod.local __meta_cloud_map_namespace_arn=arn:ns-1 __meta_cloud_map_namespace_id=ns-1 __meta_cloud_map_namespace_type=DNS_PRIVATE __meta_cloud_map_region=eu-west-1 __meta_cloud_map_service=web __meta_cloud_map_service_arn=arn:srv-1 __meta_cloud_map_service_id=srv-1
          __address__=10.0.0.1:8080 __meta_cloud_map_attribute_AWS_INSTANCE_IPV4=10.0.0.1 __meta_cloud_map_attribute_AWS_INSTANCE_PORT=8080 __meta_cloud_map_attribute_stage=blue __meta_cloud_map_health_status=HEALTHY __meta_cloud_map_instance_id=i-1
          __address__=x.example.org:80 __meta_cloud_map_attribute_AWS_INSTANCE_CNAME=x.example.org __meta_cloud_map_health_status=UNHEALTHY __meta_cloud_map_instance_id=i-2
        srv-2 | __meta_cloud_map_namespace=prod.local __meta_cloud_map_namespace_arn=arn:ns-1 __meta_cloud_map_namespace_id=ns-1 __meta_cloud_map_namespace_type=DNS_PRIVATE __meta_cloud_map_region=eu-west-1 __meta_cloud_map_service=db __meta_cloud_map_service_arn=arn:srv-2 __meta_cloud_map_service_id=srv-2
    "#]].assert_eq(&seen);
}

#[test]
fn lightsail_tells_its_instances() {
    let seen = sim::run(1, |world| async move {
        let server = amazon(&world);
        server.json(
            "POST / | .GetInstances",
            json!({ "instances": [{
                "name": "a", "supportCode": "s", "location": { "availabilityZone": "eu-west-1a" }, "blueprintId": "debian",
                "bundleId": "nano", "privateIpAddress": "10.0.0.1", "publicIpAddress": "192.0.2.1",
                "ipv6Addresses": ["2001:db8::1", "2001:db8::2"], "state": { "name": "running" },
                "tags": [{ "key": "env", "value": "prod" }, { "key": "only" }]
            }, { "name": "stopped" }] }),
        );
        told(&Discovery::from(configured::<LightsailSd>(config(json!({})))), &world.runtime()).await
    });
    expect![[r#"
        eu-west-1 | 
          __address__=10.0.0.1:80 __meta_lightsail_availability_zone=eu-west-1a __meta_lightsail_blueprint_id=debian __meta_lightsail_bundle_id=nano __meta_lightsail_instance_name=a __meta_lightsail_instance_state=running __meta_lightsail_instance_support_code=s __meta_lightsail_ipv6_addresses=,2001:db8::1,2001:db8::2, __meta_lightsail_private_ip=10.0.0.1 __meta_lightsail_public_ip=192.0.2.1 __meta_lightsail_region=eu-west-1 __meta_lightsail_tag_env=prod
    "#]].assert_eq(&seen);
}

/// Who asks, as the request says.
async fn who(world: &World, server: &Server, config: Value) -> String {
    let discovery = Discovery::from(configured::<LightsailSd>(config));
    let told = told(&discovery, &world.runtime()).await;
    let asked = std::mem::take(&mut *server.asked.lock().unwrap());
    let last = asked.iter().rev().find(|asked| !asked.header("x-amz-target").is_empty());
    match last {
        Some(asked) => {
            let value = asked.header("authorization");
            let credential = value.split("Credential=").nth(1).and_then(|it| it.split(',').next()).unwrap_or_default();
            format!("{credential} token={}\n", asked.header("x-amz-security-token"))
        }
        None => told,
    }
}

#[test]
fn credentials_are_looked_for_where_aws_looks() {
    let seen = sim::run(1, |mut world| async move {
        let server = amazon(&world);
        server.json("POST / | .GetInstances", json!({ "instances": [] }));
        let endpoint = json!({ "endpoint": "http://aws" });
        let mut seen = format!("nothing: {}", who(&world, &server, endpoint.clone()).await);
        // The machine.
        let machine = Server::default();
        let serving = machine.clone();
        world.net.serve("169.254.169.254", 80, move |stream| serving.clone().serve(stream));
        machine.say("PUT /latest/api/token", (200, "text/plain", "tok".into()));
        machine.say("GET /latest/meta-data/placement/region", (200, "text/plain", "us-east-2".into()));
        machine.say("GET /latest/meta-data/iam/security-credentials/", (200, "text/plain", "web\n".into()));
        let keys = |name: &str| {
            json!({ "Code": "Success", "AccessKeyId": name, "SecretAccessKey": "S", "Token": format!("{name}-session"),
                "Expiration": "2026-01-05T06:00:00Z" })
        };
        machine.json("GET /latest/meta-data/iam/security-credentials/web", keys("MACHINE"));
        seen += &who(&world, &server, endpoint.clone()).await;
        // The container.
        let container = Server::default();
        let serving = container.clone();
        world.net.serve("169.254.170.2", 80, move |stream| serving.clone().serve(stream));
        container.json("GET /v2/credentials/x", keys("CONTAINER"));
        world.environment.insert("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI".into(), "/v2/credentials/x".into());
        seen += &who(&world, &server, endpoint.clone()).await;
        // Profiles.
        world.environment.insert("HOME".into(), "/srv/ops".into());
        let credentials = b"[default]\naws_access_key_id = PROFILE\naws_secret_access_key = S\n";
        world.disk.put(Path::new("/srv/ops/.aws/credentials"), credentials);
        let more = "[default]\nregion = eu-north-1\n[profile role]\nrole_arn = arn:aws:iam::1:role/r\nsource_profile = default\n";
        world.disk.put(Path::new("/srv/ops/.aws/config"), more.as_bytes());
        seen += &who(&world, &server, endpoint.clone()).await;
        world.environment.insert("AWS_ENDPOINT_URL_STS".into(), "http://aws".into());
        let assumed = |name: &str, call: &str| {
            let fields = format!(
                "<AccessKeyId>{name}</AccessKeyId><SecretAccessKey>S</SecretAccessKey><SessionToken>{name}-session\
                 </SessionToken><Expiration>2026-01-05T01:00:00Z</Expiration>"
            );
            xml(&server, call, &format!("<{call}Result><Credentials>{fields}</Credentials></{call}Result>"));
        };
        assumed("ASSUMED", "AssumeRole");
        seen += &who(&world, &server, json!({ "endpoint": "http://aws", "profile": "role" })).await;
        seen += &who(&world, &server, json!({ "endpoint": "http://aws", "profile": "gone" })).await;
        // A token of the cluster, then the environment, then the configuration.
        world.disk.put(Path::new("/token"), b"jwt\n");
        world.environment.insert("AWS_WEB_IDENTITY_TOKEN_FILE".into(), "/token".into());
        world.environment.insert("AWS_ROLE_ARN".into(), "arn:aws:iam::1:role/pod".into());
        assumed("POD", "AssumeRoleWithWebIdentity");
        seen += &who(&world, &server, endpoint.clone()).await;
        world.environment.insert("AWS_ACCESS_KEY_ID".into(), "ENVIRONMENT".into());
        world.environment.insert("AWS_SECRET_ACCESS_KEY".into(), "S".into());
        world.environment.insert("AWS_REGION".into(), "eu-west-3".into());
        seen += &who(&world, &server, endpoint).await;
        seen += &who(&world, &server, config(json!({}))).await;
        let role = json!({ "role_arn": "arn:aws:iam::1:role/r", "external_id": "e" });
        seen += &who(&world, &server, config(role.clone())).await;
        // Taken on once, as long as it holds.
        let discovery = Discovery::from(configured::<LightsailSd>(config(role)));
        let runtime = world.runtime();
        for _ in 0..3 {
            told(&discovery, &runtime).await;
        }
        let asked = std::mem::take(&mut *server.asked.lock().unwrap());
        assert_eq!(asked.iter().filter(|asked| asked.body.contains("AssumeRole")).count(), 1);
        assert!(asked[0].body.contains("ExternalId=e"), "{}", asked[0].body);
        runtime.clock.sleep(std::time::Duration::from_secs(3400)).await;
        told(&discovery, &runtime).await;
        assert!(server.asked.lock().unwrap().iter().any(|asked| asked.body.contains("AssumeRole")));
        seen
    });
    expect![[r#"
        nothing: error: no region is given, and this machine says none: http://169.254.169.254/latest/api/token: 169.254.169.254:80 refuses the connection: connection refused
        MACHINE/20260105/us-east-2/lightsail/aws4_request token=MACHINE-session
        CONTAINER/20260105/us-east-2/lightsail/aws4_request token=CONTAINER-session
        PROFILE/20260105/eu-north-1/lightsail/aws4_request token=
        ASSUMED/20260105/us-east-2/lightsail/aws4_request token=ASSUMED-session
        error: there is no profile `gone`
        POD/20260105/eu-north-1/lightsail/aws4_request token=POD-session
        ENVIRONMENT/20260105/eu-west-3/lightsail/aws4_request token=
        AK/20260105/eu-west-1/lightsail/aws4_request token=
        ASSUMED/20260105/eu-west-1/lightsail/aws4_request token=ASSUMED-session
    "#]].assert_eq(&seen);
}

#[test]
fn configurations_at_aws() {
    let told = [
        wrong(|path, problems| {
            let config = json!({ "filters": [{ "name": "tag:a" }], "endpoint": "ec2", "refresh_interval": "0s" });
            configured::<Ec2Sd>(config).check(path, problems);
        }),
        wrong(|path, problems| configured::<AwsSd>(json!({ "role": "msk" })).check(path, problems)),
    ];
    expect![[r#"
        Error filters[0]: the filter `tag:a` has no values
        Error endpoint: `ec2` is not a web address: it must start with `https://` or `http://`
        Error refresh_interval: the interval is zero
        --
        Warning role: this role is not looked for yet: it finds no targets
    "#]]
    .assert_eq(&told.join("--\n"));
}
