//! As whom AWS is asked, under Prometheus' and Alertmanager's names.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::{Path, Problems, Secret};

/// As whom AWS is asked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SigV4Config {
    /// The region; the environment's, the profile's or this machine's own unless given.
    pub region: String,
    /// An access key; credentials of the environment, of a profile, of the container or of this machine unless given.
    pub access_key: String,
    /// The secret of the access key.
    pub secret_key: Option<Secret>,
    /// A profile of `~/.aws/config` and `~/.aws/credentials`.
    pub profile: String,
    /// A role that is taken on with those credentials.
    pub role_arn: String,
    /// What the role asks for besides.
    pub external_id: String,
    /// Asks the endpoint of the region for FIPS in Prometheus; without effect here, where `AWS_ENDPOINT_URL_STS` says so.
    pub use_fips_sts_endpoint: bool,
}

impl SigV4Config {
    /// What is wrong with it.
    pub fn check(&self, path: &Path, problems: &mut Problems) {
        if self.access_key.is_empty() == self.secret_key.as_ref().is_some_and(|key| !key.is_empty()) {
            problems
                .error(path, "there is only one of `access_key` and `secret_key`")
                .hint("give both, or neither for the surroundings' credentials");
        }
    }
}
