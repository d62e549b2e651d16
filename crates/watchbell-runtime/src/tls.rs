//! TLS as a client, with a verifier that records before it judges: a probe of an expired certificate still sees it.

mod chain;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme, SupportedProtocolVersion};
use watchbell_model::{Certificate, Secret, Timestamp, TlsConfig, TlsVersion};

use crate::{Disk, Runtime, Stream};

pub use chain::Leaf;

/// How to connect.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct TlsOptions {
    /// Trusted roots as PEM, in place of the machine's.
    pub roots_pem: Option<Vec<u8>>,
    /// The name that the server must have, in place of its host's (for the HTTP client only).
    pub server_name: Option<String>,
    /// What we show the server: a certificate with its chain, and its key, as PEM.
    pub client_pem: Option<(Vec<u8>, Secret)>,
    /// The oldest version that is spoken.
    pub min_version: Option<TlsVersion>,
    /// The newest version that is spoken.
    pub max_version: Option<TlsVersion>,
    /// What is offered to be spoken over it, such as `h2` (ALPN); the HTTP client sets it itself.
    pub alpn: Vec<Vec<u8>>,
}

impl TlsOptions {
    /// As a configuration has it, with what its files hold now. The error names the file.
    pub fn of(config: &TlsConfig, disk: &Disk) -> Result<TlsOptions, String> {
        let read = |path: &Path| disk.read(path).map_err(|error| format!("{} cannot be read: {error}", path.display()));
        let held = |text: &Option<String>, file: &Option<PathBuf>| match (text, file) {
            (Some(text), _) => Ok(Some(text.clone().into_bytes())),
            (None, Some(file)) => read(file).map(Some),
            (None, None) => Ok(None),
        };
        let key = config.key.as_ref().map(|key| key.expose().to_owned());
        let client_pem = match (held(&config.cert, &config.cert_file)?, held(&key, &config.key_file)?) {
            (Some(certificate), Some(key)) => Some((certificate, Secret::new(String::from_utf8_lossy(&key)))),
            _ => None,
        };
        Ok(TlsOptions {
            roots_pem: held(&config.ca, &config.ca_file)?,
            server_name: config.server_name.clone().filter(|name| !name.is_empty()),
            client_pem,
            min_version: config.min_version,
            max_version: config.max_version,
            alpn: Vec::new(),
        })
    }

    fn versions(&self) -> Vec<&'static SupportedProtocolVersion> {
        [(TlsVersion::Tls13, &TLS13), (TlsVersion::Tls12, &TLS12)]
            .into_iter()
            .filter(|(version, _)| self.min_version.is_none_or(|min| min <= *version))
            .filter(|(version, _)| self.max_version.is_none_or(|max| max >= *version))
            .map(|(_, supported)| supported)
            .collect()
    }
}

/// What a handshake showed.
#[derive(Clone, Debug)]
pub struct TlsReport {
    /// Such as `TLSv1.3`.
    pub version: String,
    /// Such as `TLS13_AES_256_GCM_SHA384`.
    pub cipher: String,
    /// The chain as sent, leaf first, DER.
    pub chain: Vec<Vec<u8>>,
    /// The certificate of the chain that ends first.
    pub certificate: Option<Certificate>,
    /// Whether the chain leads to a trusted root, is in date and names the server; else why not, in words.
    pub verified: Result<(), String>,
    /// When the chain ends that leads to a trusted root, that root included; of several, the one that lasts longest.
    /// `None` if it is not trusted.
    pub chain_ends: Option<Timestamp>,
    /// What of [`TlsOptions::alpn`] the server chose.
    pub alpn: Option<Vec<u8>>,
}

impl TlsReport {
    /// The server's own certificate.
    pub fn leaf(&self) -> Option<Leaf> {
        Leaf::of(self.chain.first()?)
    }
}

/// Why there was no handshake.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The server name cannot stand in a certificate.
    #[error("`{0}` is not a server name")]
    Name(String),
    /// The roots that were given are not certificates.
    #[error("the trusted roots cannot be read: {0}")]
    Roots(String),
    /// What we show the server is not a certificate with its key.
    #[error("the client's certificate cannot be used: {0}")]
    Client(String),
    /// What we show clients is not a certificate with its key.
    #[error("the server's certificate cannot be used: {0}")]
    Server(String),
    /// The two sides did not agree, or the connection broke.
    #[error("the TLS handshake failed: {0}")]
    Handshake(String),
}

/// Takes a TLS connection over a stream, as the server with this certificate and key (PEM). A client that does not end its
/// handshake is the caller's to bound.
pub async fn accept(stream: Stream, certificate: &[u8], key: &Secret) -> Result<Stream, TlsError> {
    let refuse = |error: rustls::pki_types::pem::Error| TlsError::Server(error.to_string());
    let chain: Vec<_> = CertificateDer::pem_slice_iter(certificate).collect::<Result<_, _>>().map_err(refuse)?;
    let key = PrivateKeyDer::from_pem_slice(key.expose().as_bytes()).map_err(refuse)?;
    let config = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(|error| TlsError::Handshake(error.to_string()))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| TlsError::Server(error.to_string()))?;
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let stream = acceptor.accept(stream).await.map_err(|error| TlsError::Handshake(handshake_words(&error)))?;
    Ok(Box::new(stream))
}

/// Makes a TLS connection over a stream. A certificate that is not trusted does not stop it: look at
/// [`TlsReport::verified`].
pub async fn connect(
    runtime: &Runtime,
    stream: Stream,
    server_name: &str,
    options: &TlsOptions,
) -> Result<(Stream, TlsReport), TlsError> {
    let name = ServerName::try_from(server_name.trim_start_matches('[').trim_end_matches(']').to_owned())
        .map_err(|_| TlsError::Name(server_name.to_owned()))?;
    let recorder = Arc::new(Recorder {
        now: runtime.clock.now(),
        trusted: trusted(options, runtime.net.roots_pem())?,
        provider: provider(),
        seen: Mutex::new(None),
    });
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&options.versions())
        .map_err(|error| TlsError::Handshake(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&recorder) as Arc<dyn ServerCertVerifier>);
    let mut config = match &options.client_pem {
        None => config.with_no_client_auth(),
        Some((certificate, key)) => {
            let refuse = |error: rustls::pki_types::pem::Error| TlsError::Client(error.to_string());
            let chain: Vec<_> =
                CertificateDer::pem_slice_iter(certificate).collect::<Result<_, _>>().map_err(refuse)?;
            let key = PrivateKeyDer::from_pem_slice(key.expose().as_bytes()).map_err(refuse)?;
            config.with_client_auth_cert(chain, key).map_err(|error| TlsError::Client(error.to_string()))?
        }
    };
    config.alpn_protocols.clone_from(&options.alpn);
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let stream = connector.connect(name, stream).await.map_err(|error| TlsError::Handshake(handshake_words(&error)))?;
    let (_, session) = stream.get_ref();
    let version = session.protocol_version().map_or_else(String::new, |version| {
        version.as_str().map_or_else(|| format!("{version:?}"), |name| name.replace('_', "."))
    });
    let cipher = session
        .negotiated_cipher_suite()
        .and_then(|suite| suite.suite().as_str().map(str::to_owned))
        .unwrap_or_default();
    let seen = recorder.seen.lock().expect("no panic while held").take();
    let (chain, verified) = seen.unwrap_or_else(|| (Vec::new(), Err("the server showed no certificate".to_owned())));
    let alpn = session.alpn_protocol().map(<[u8]>::to_vec);
    let certificate = chain::earliest_to_end(&chain);
    let chain_ends = verified.is_ok().then(|| chain::ends(&chain, &recorder.trusted.ends)).flatten();
    Ok((Box::new(stream), TlsReport { version, cipher, chain, certificate, verified, chain_ends, alpn }))
}

fn handshake_words(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::UnexpectedEof => "the server closed the connection".into(),
        std::io::ErrorKind::ConnectionReset => "the server reset the connection".into(),
        _ => {
            let text = error.to_string();
            if text.contains("InvalidContentType") || text.contains("corrupt message") {
                "the server does not speak TLS here".into()
            } else {
                text
            }
        }
    }
}

fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| Arc::new(ring::default_provider())))
}

/// What is trusted.
#[derive(Debug)]
struct Trusted {
    roots: RootCertStore,
    /// Certificates that were given one by one, and not by the machine: a server may also show such a one itself.
    given: Vec<CertificateDer<'static>>,
    ends: chain::Ends,
}

fn trusted(options: &TlsOptions, world: Option<Vec<u8>>) -> Result<Arc<Trusted>, TlsError> {
    static MACHINE: OnceLock<Arc<Trusted>> = OnceLock::new();
    let Some(pem) = options.roots_pem.as_ref().or(world.as_ref()) else {
        return Ok(Arc::clone(MACHINE.get_or_init(|| {
            let mut roots = RootCertStore::empty();
            let certificates = rustls_native_certs::load_native_certs().certs;
            let ends = chain::Ends::of(&certificates);
            roots.add_parsable_certificates(certificates);
            Arc::new(Trusted { roots, given: Vec::new(), ends })
        })));
    };
    let mut trusted = Trusted { roots: RootCertStore::empty(), given: Vec::new(), ends: chain::Ends::default() };
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| TlsError::Roots(error.to_string()))?;
        trusted.roots.add(certificate.clone()).map_err(|error| TlsError::Roots(error.to_string()))?;
        trusted.given.push(certificate);
    }
    if trusted.given.is_empty() {
        return Err(TlsError::Roots("there is no certificate in them".into()));
    }
    trusted.ends = chain::Ends::of(&trusted.given);
    Ok(Arc::new(trusted))
}

/// A chain as sent, and what was thought of it.
type Seen = (Vec<Vec<u8>>, Result<(), String>);

#[derive(Debug)]
struct Recorder {
    now: Timestamp,
    trusted: Arc<Trusted>,
    provider: Arc<CryptoProvider>,
    seen: Mutex<Option<Seen>>,
}

impl Recorder {
    fn judge(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
    ) -> Result<(), rustls::Error> {
        let parsed = ParsedCertificate::try_from(leaf)?;
        // By the handed-down clock, so that the simulator can let a certificate expire.
        let now = UnixTime::since_unix_epoch(std::time::Duration::from_millis(self.now.0.max(0) as u64));
        let chained = verify_server_cert_signed_by_trust_anchor(
            &parsed,
            &self.trusted.roots,
            intermediates,
            now,
            self.provider.signature_verification_algorithms.all,
        );
        match chained {
            // What `openssl req -x509` makes is an authority's certificate, which no chain may begin with; given as a
            // root, it is trusted as it stands.
            Err(_) if self.trusted.given.iter().any(|given| given == leaf) => in_date(leaf, self.now)?,
            chained => chained?,
        }
        verify_server_name(&parsed, name)
    }
}

impl ServerCertVerifier for Recorder {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verdict = self.judge(leaf, intermediates, name).map_err(|error| match self.trusted.roots.is_empty() {
            true => "this machine trusts no certificate at all: the package `ca-certificates` is missing".into(),
            false => certificate_words(&error, name),
        });
        let chain = std::iter::once(leaf).chain(intermediates).map(|one| one.to_vec()).collect();
        *self.seen.lock().expect("no panic while held") = Some((chain, verdict));
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn in_date(certificate: &CertificateDer<'_>, now: Timestamp) -> Result<(), rustls::Error> {
    let Ok((_, parsed)) = x509_parser::parse_x509_certificate(certificate) else {
        return Err(rustls::CertificateError::BadEncoding.into());
    };
    let (validity, seconds) = (parsed.validity(), now.0.div_euclid(1000));
    if seconds < validity.not_before.timestamp() {
        return Err(rustls::CertificateError::NotValidYet.into());
    }
    if seconds > validity.not_after.timestamp() {
        return Err(rustls::CertificateError::Expired.into());
    }
    Ok(())
}

fn certificate_words(error: &rustls::Error, name: &ServerName<'_>) -> String {
    use rustls::CertificateError as E;
    match error {
        rustls::Error::InvalidCertificate(E::Expired | E::ExpiredContext { .. }) => {
            "the certificate has expired".into()
        }
        rustls::Error::InvalidCertificate(E::NotValidYet | E::NotValidYetContext { .. }) => {
            "the certificate is not valid yet".into()
        }
        rustls::Error::InvalidCertificate(E::NotValidForName | E::NotValidForNameContext { .. }) => {
            format!("the certificate is not for `{}`", name.to_str())
        }
        rustls::Error::InvalidCertificate(E::UnknownIssuer) => {
            "the certificate's issuer is not trusted (self-signed, or an intermediate certificate is missing)".into()
        }
        rustls::Error::InvalidCertificate(E::Other(error)) if error.to_string().contains("CaUsedAsEndEntity") => {
            "the certificate is not trusted (self-signed, as an authority of its own)".into()
        }
        other => format!("the certificate is not valid: {other}"),
    }
}
