//! Speaks to a mail server as a mail client does that submits mail: as `smtp`, at port 587.

use schemars::JsonSchema;
use serde::Deserialize;
use watchbell_model::{Path, Problems};

use super::attempt::Attempt;
use super::kinds::{Kind, Probing};
use super::smtp::SmtpConfig;
use super::tls::MailTls;

const PORT: u16 = 587;

/// A mail server's port for mail clients: as `smtp`, but at port 587, and never in clear text.
#[derive(Debug, Clone, PartialEq, Hash, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct SubmissionConfig(pub SmtpConfig);

impl SubmissionConfig {
    fn smtp(&self) -> SmtpConfig {
        let own = if self.0.tls == MailTls::Implicit { self.0.port() } else { PORT };
        SmtpConfig { port: Some(self.0.port.unwrap_or(own)), ..self.0.clone() }
    }
}

impl Kind for SubmissionConfig {
    fn target(&self) -> String {
        self.smtp().target()
    }

    fn check(&self, path: &Path, problems: &mut Problems) {
        self.smtp().check(path, problems);
        if self.0.tls == MailTls::None {
            problems
                .error(&path.field("tls"), "mail clients would send their passwords in clear text")
                .hint("leave it out for STARTTLS, or probe a port without TLS by `smtp`");
        }
    }

    fn anchor(&mut self, base: &std::path::Path) {
        self.0.anchor(base);
    }

    fn probe<'a>(&'a self, attempt: &'a mut Attempt<'_>) -> Probing<'a> {
        Box::pin(async move {
            let smtp = self.smtp();
            smtp.probe(attempt).await
        })
    }
}
