//! `aws_sd_configs`: any of the discoveries at AWS, by its role.

use schemars::JsonSchema;
use serde::Deserialize;
use watchbell_model::{Path, Problems};

use super::super::TargetGroup;
use super::super::ask::Ask;
use super::super::docker::Filter;
use super::{Memory, ec2, ecs, lightsail, with_aws};

with_aws! {
    /// Targets at AWS, of the kind that the role names.
    #[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    pub struct AwsSd {
        /// What is looked for.
        pub role: AwsRole,
        /// For `ec2`: which instances are asked for, by the names of EC2's API, such as `tag:Name`.
        #[serde(default)]
        pub filters: Vec<Filter>,
        /// For `ecs`: names or ARNs of clusters; all of the region's if none is given.
        #[serde(default)]
        pub clusters: Vec<String>,
    }
}

/// What is looked for at AWS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AwsRole {
    /// Instances of EC2.
    Ec2,
    /// Tasks of ECS.
    Ecs,
    /// Instances of Lightsail.
    Lightsail,
    /// Nodes of ElastiCache; not looked for yet.
    Elasticache,
    /// Brokers of MSK; not looked for yet.
    Msk,
    /// Databases of RDS; not looked for yet.
    Rds,
}

impl AwsSd {
    /// What is wrong with it.
    pub fn check(&self, path: &Path, problems: &mut Problems) {
        if matches!(self.role, AwsRole::Elasticache | AwsRole::Msk | AwsRole::Rds) {
            let message = "this role is not looked for yet: it finds no targets";
            problems.warning(&path.field("role"), message).hint(super::super::foreign::INSTEAD);
        }
        self.check_account(path, problems);
    }

    pub(in super::super) async fn targets(&self, ask: &Ask<'_>, memory: &Memory) -> Result<Vec<TargetGroup>, String> {
        let account = self.account();
        match self.role {
            AwsRole::Ec2 => ec2::instances(&account, &self.filters, self.port, ask, memory).await,
            AwsRole::Ecs => ecs::tasks(&account, &self.clusters, self.port, ask, memory).await,
            AwsRole::Lightsail => lightsail::instances(&account, self.port, ask, memory).await,
            AwsRole::Elasticache | AwsRole::Msk | AwsRole::Rds => Ok(Vec::new()),
        }
    }
}
