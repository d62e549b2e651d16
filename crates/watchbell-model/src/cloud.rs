//! As whom the clouds' own stores are asked: Azure Monitor and Google's Cloud Monitoring, under Prometheus' names.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::{Path, Problems, Secret};

/// As whom Azure Monitor is asked: one of `managed_identity`, `workload_identity`, `oauth` and `sdk`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AzureAd {
    /// Which of Azure's clouds it is.
    pub cloud: AzureCloud,
    /// The identity that Azure has given this machine.
    pub managed_identity: Option<ManagedIdentity>,
    /// The identity of a Kubernetes service account.
    pub workload_identity: Option<WorkloadIdentity>,
    /// An application with its secret.
    pub oauth: Option<AzureApplication>,
    /// Whatever the surroundings say: an application of `AZURE_CLIENT_ID`, `AZURE_TENANT_ID` and `AZURE_CLIENT_SECRET`, the
    /// identity of the service account, the one of this machine.
    pub sdk: Option<AzureSdk>,
    /// What is asked for, in place of the cloud's monitoring, such as `https://monitor.azure.com//.default`.
    pub scope: Option<String>,
}

/// One of Azure's clouds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
pub enum AzureCloud {
    /// The public one.
    #[default]
    AzurePublic,
    /// China's.
    AzureChina,
    /// That of the government of the United States.
    AzureGovernment,
}

/// The identity that Azure has given this machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ManagedIdentity {
    /// Which, if it has several.
    pub client_id: Option<String>,
}

/// The identity of a Kubernetes service account.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkloadIdentity {
    /// The application or managed identity.
    pub client_id: String,
    /// Its tenant.
    pub tenant_id: String,
    /// The file with the service account's token, read anew for each token. By default what `AZURE_FEDERATED_TOKEN_FILE`
    /// names, or `/var/run/secrets/azure/tokens/azure-identity-token`.
    #[serde(default)]
    pub token_file_path: Option<PathBuf>,
}

/// An application with its secret.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AzureApplication {
    /// The application.
    pub client_id: String,
    /// Its secret.
    pub client_secret: Secret,
    /// Its tenant.
    pub tenant_id: String,
}

/// What the surroundings say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AzureSdk {
    /// The tenant, in place of `AZURE_TENANT_ID`.
    pub tenant_id: Option<String>,
}

/// As whom Google's Cloud Monitoring is asked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GoogleIam {
    /// The key of a service account that may write metrics, as JSON. Without it whatever the surroundings say: the file of
    /// `GOOGLE_APPLICATION_CREDENTIALS`, what `gcloud` has written, this machine's service account.
    pub credentials_file: Option<PathBuf>,
}

impl AzureCloud {
    /// Where its tokens come from.
    pub fn authority(self) -> &'static str {
        match self {
            AzureCloud::AzurePublic => "https://login.microsoftonline.com",
            AzureCloud::AzureChina => "https://login.chinacloudapi.cn",
            AzureCloud::AzureGovernment => "https://login.microsoftonline.us",
        }
    }

    /// What its monitoring is called there.
    pub fn scope(self) -> &'static str {
        match self {
            AzureCloud::AzurePublic => "https://monitor.azure.com//.default",
            AzureCloud::AzureChina => "https://monitor.azure.cn//.default",
            AzureCloud::AzureGovernment => "https://monitor.azure.us//.default",
        }
    }
}

impl AzureAd {
    /// What is wrong with it.
    pub fn check(&self, path: &Path, problems: &mut Problems) {
        let given = [
            self.managed_identity.is_some(),
            self.workload_identity.is_some(),
            self.oauth.is_some(),
            self.sdk.is_some(),
        ];
        if given.iter().filter(|it| **it).count() != 1 {
            problems
                .error(path, "it is not clear as whom Azure is asked")
                .hint("give one of `managed_identity`, `workload_identity`, `oauth` and `sdk`");
        }
        let mut id = |field: &str, name: &str, text: &str, is_good: fn(&str) -> bool| {
            if !is_good(text) {
                problems
                    .error(&path.field(field).field(name), format!("`{text}` is not an id"))
                    .hint("such as `00000000-0000-0000-0000-000000000000`");
            }
        };
        if let Some(client) = self.managed_identity.as_ref().and_then(|it| it.client_id.as_deref()) {
            id("managed_identity", "client_id", client, is_uuid);
        }
        if let Some(it) = &self.workload_identity {
            id("workload_identity", "client_id", &it.client_id, is_uuid);
            id("workload_identity", "tenant_id", &it.tenant_id, is_uuid);
        }
        if let Some(it) = &self.oauth {
            id("oauth", "client_id", &it.client_id, is_uuid);
            id("oauth", "tenant_id", &it.tenant_id, is_tenant);
        }
        if let Some(tenant) = self.sdk.as_ref().and_then(|it| it.tenant_id.as_deref()) {
            id("sdk", "tenant_id", tenant, is_tenant);
        }
        if self.oauth.as_ref().is_some_and(|it| it.client_secret.is_empty()) {
            problems
                .error(&path.field("oauth").field("client_secret"), "there is no secret")
                .hint("such as `${secret:azure}`");
        }
        let plain = |c: char| c.is_alphanumeric() || c.is_whitespace() || ":/._-".contains(c);
        if let Some(scope) = self.scope.as_ref().filter(|it| it.is_empty() || !it.chars().all(plain)) {
            problems
                .error(&path.field("scope"), format!("`{scope}` is not a scope"))
                .hint("such as `https://monitor.azure.com//.default`");
        }
    }

    /// What is asked for.
    pub fn scope(&self) -> &str {
        self.scope.as_deref().unwrap_or_else(|| self.cloud.scope())
    }

    /// Makes files it names relative to a folder.
    pub fn anchor(&mut self, base: &std::path::Path) {
        if let Some(file) = self.workload_identity.as_mut().and_then(|it| it.token_file_path.as_mut()) {
            *file = base.join(&*file);
        }
    }
}

impl GoogleIam {
    /// Makes files it names relative to a folder.
    pub fn anchor(&mut self, base: &std::path::Path) {
        if let Some(file) = &mut self.credentials_file {
            *file = base.join(&*file);
        }
    }
}

fn is_uuid(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
        && text.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
}

/// An id, or a domain.
fn is_tenant(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_wrong_is_told_with_what_would_be_right() {
        let id = "00000000-0000-0000-0000-000000000001";
        let mut said = String::new();
        for config in [
            json!({}),
            json!({"managed_identity": {}, "sdk": {}}),
            json!({"managed_identity": {"client_id": "me"}}),
            json!({"workload_identity": {"client_id": id, "tenant_id": "example.org"}}),
            json!({"oauth": {"client_id": id, "client_secret": "", "tenant_id": "a/b"}, "scope": "a b?"}),
            json!({"oauth": {"client_id": id, "client_secret": "s", "tenant_id": "example.org"}, "cloud": "AzureChina"}),
            json!({"managed_identity": {}}),
        ] {
            let azure: AzureAd = serde_json::from_value(config).unwrap();
            let mut problems = Problems::new();
            azure.check(&Path::root().field("azuread"), &mut problems);
            let one = |it: &crate::Problem| {
                format!("{}: {} ({})\n", it.path, it.message, it.hint.clone().unwrap_or_default())
            };
            said += &problems.0.iter().map(one).collect::<String>();
            said += "--\n";
        }
        expect![[r#"
            azuread: it is not clear as whom Azure is asked (give one of `managed_identity`, `workload_identity`, `oauth` and `sdk`)
            --
            azuread: it is not clear as whom Azure is asked (give one of `managed_identity`, `workload_identity`, `oauth` and `sdk`)
            --
            azuread.managed_identity.client_id: `me` is not an id (such as `00000000-0000-0000-0000-000000000000`)
            --
            azuread.workload_identity.tenant_id: `example.org` is not an id (such as `00000000-0000-0000-0000-000000000000`)
            --
            azuread.oauth.tenant_id: `a/b` is not an id (such as `00000000-0000-0000-0000-000000000000`)
            azuread.oauth.client_secret: there is no secret (such as `${secret:azure}`)
            azuread.scope: `a b?` is not a scope (such as `https://monitor.azure.com//.default`)
            --
            --
            --
        "#]].assert_eq(&said);
        for wrong in [json!({"cloud": "AzureGermany"}), json!({"certificate": {"client_id": id}})] {
            assert!(serde_json::from_value::<AzureAd>(wrong).is_err());
        }
    }
}
