//! Certificates of any age, signed by an authority of the test's own.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use watchbell_model::Timestamp;
use watchbell_runtime::Stream;

/// A certificate authority.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A moment in rcgen's own type.
macro_rules! moment {
    ($at:expr) => {
        rcgen::date_time_ymd(1970, 1, 1) + std::time::Duration::from_millis($at.0.max(0) as u64)
    };
}

impl Authority {
    /// One that is valid from 2020 to 2040.
    pub fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "watchbell test authority");
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2040, 1, 1);
        let key = KeyPair::generate().expect("the machine has random numbers");
        Authority { issuer: CertifiedIssuer::self_signed(params, key).expect("it is a valid authority") }
    }

    /// Its own certificate, for those who are to trust it.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A certificate for these names or addresses that ends at `not_after`, and its key, both as PEM.
    pub fn issue(&self, names: &[&str], not_after: Timestamp) -> (String, String) {
        let (certificate, key) = self.make(names, not_after);
        (certificate.pem(), key.serialize_pem())
    }

    /// The same as a server's TLS.
    pub fn server(&self, names: &[&str], not_after: Timestamp) -> Arc<rustls::ServerConfig> {
        let (certificate, key) = self.make(names, not_after);
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("it is a key");
        let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring speaks TLS 1.2 and 1.3")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .expect("the key fits");
        Arc::new(config)
    }

    fn make(&self, names: &[&str], not_after: Timestamp) -> (rcgen::Certificate, KeyPair) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names.clone()).expect("they are names");
        params.distinguished_name.push(DnType::CommonName, names.first().map_or("", String::as_str));
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = moment!(not_after);
        let key = KeyPair::generate().expect("the machine has random numbers");
        (params.signed_by(&key, &self.issuer).expect("the authority signs"), key)
    }
}

impl Default for Authority {
    fn default() -> Authority {
        Authority::new()
    }
}

/// Answers the client's handshake; `None` if there was none.
pub async fn tls(config: &Arc<rustls::ServerConfig>, stream: Stream) -> Option<Stream> {
    let accepted = tokio_rustls::TlsAcceptor::from(Arc::clone(config)).accept(stream).await.ok()?;
    Some(Box::new(accepted))
}
