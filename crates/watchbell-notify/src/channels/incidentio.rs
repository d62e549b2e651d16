//! incident.io: an alert source of kind Alertmanager.

use std::path::PathBuf;

use serde_json::Value;
use watchbell_model::{Path, Problems, Secret};
use watchbell_runtime::Disk;
use watchbell_runtime::client::held;

use super::webhook::{body, check_url};
use super::{Attempt, Channel, Draft, Outgoing, Rendered, address_of, check_secret, http_channel, secret_of};
use crate::config;
use crate::template_data::Templates;

/// The longest body, in bytes.
const BODY_MAX: usize = 512 << 10;

http_channel! {
    /// An alert source of incident.io.
    pub struct IncidentioConfig {
        /// The source's address, as incident.io shows it.
        #[serde(default)]
        pub url: Option<Secret>,
        /// A file that holds it.
        #[serde(default)]
        pub url_file: Option<PathBuf>,
        /// The source's token; take it from a secret: `${secret:name}`. Or give it as `http_config.authorization`.
        #[serde(default)]
        pub alert_source_token: Option<Secret>,
        /// A file that holds it.
        #[serde(default)]
        pub alert_source_token_file: Option<PathBuf>,
        /// The most alerts one body holds; the rest is counted in `truncatedAlerts`. 0 is all.
        #[serde(default)]
        pub max_alerts: usize,
    }
}

impl Channel for IncidentioConfig {
    fn kind(&self) -> &'static str {
        "incidentio"
    }

    fn files_mut(&mut self) -> Vec<&mut PathBuf> {
        self.url_file.iter_mut().chain(self.alert_source_token_file.iter_mut()).collect()
    }

    fn check(&self, _templates: &Templates, path: &Path, problems: &mut Problems) {
        check_url(&self.url, &self.url_file, path, problems);
        let other = self.http_config.as_ref().is_some_and(|it| it.authorization.is_some());
        let (token, file) = (&self.alert_source_token, &self.alert_source_token_file);
        let needed = (!other).then_some("incident.io shows it with the alert source");
        check_secret("alert_source_token", token, file, needed, path, problems);
        if other && (token.is_some() || file.is_some()) {
            problems
                .error(path, "there are both `alert_source_token` and `http_config.authorization`")
                .hint("keep one of them");
        }
    }

    fn render(&self, draft: &Draft<'_>) -> Rendered {
        let mut written = body(draft, self.max_alerts);
        if Value::Object(written.clone()).to_string().len() > BODY_MAX {
            // The first alert is the worst; the page's words tell of the others.
            written = body(draft, 1);
        }
        written.insert("version".into(), "1".into());
        let mut rendered = Rendered::json(&written.into(), Vec::new());
        rendered.headers.push(("Idempotency-Key".into(), draft.key.to_owned()));
        rendered
    }

    fn send(&self, rendered: &Rendered, attempt: &Attempt<'_>) -> Result<Vec<Outgoing>, String> {
        let url = address_of(attempt.disk, "url", &self.url, &self.url_file)?;
        let mut outgoing = rendered.post(url);
        let token = held(attempt.disk, &self.alert_source_token, &self.alert_source_token_file)?;
        if let (false, Outgoing::Http(request)) = (token.is_empty(), &mut outgoing) {
            request.headers.push(("Authorization".into(), format!("Bearer {token}")));
        }
        Ok(vec![outgoing])
    }

    fn is_for_people(&self) -> bool {
        false
    }

    fn secrets(&self, disk: &Disk) -> Vec<Secret> {
        let mut secrets = config::url_secrets(&secret_of(disk, &self.url, &self.url_file));
        secrets.push(secret_of(disk, &self.alert_source_token, &self.alert_source_token_file));
        secrets
    }
}
