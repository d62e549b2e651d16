//! Signatures of messages that SNS sends over HTTP (Amazon SNS developer guide, "Verifying the signatures of messages").

use ring::signature::{
    RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, RSA_PKCS1_2048_8192_SHA256, RsaParameters, UnparsedPublicKey,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use watchbell_model::Timestamp;

/// Whether a certificate's key made the signature of these bytes, by the algorithm of SNS' `SignatureVersion`, and whether
/// the certificate is in force. The error says what is wrong.
pub fn verify_sns(
    certificate_pem: &[u8],
    version: &str,
    signed: &[u8],
    signature: &[u8],
    now: Timestamp,
) -> Result<(), String> {
    let algorithm: &'static RsaParameters = match version {
        "1" => &RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
        "2" => &RSA_PKCS1_2048_8192_SHA256,
        other => return Err(format!("`{other}` is no version of a signature; there are 1 and 2")),
    };
    let der = CertificateDer::from_pem_slice(certificate_pem).map_err(|error| format!("no certificate: {error}"))?;
    let (_, certificate) =
        x509_parser::parse_x509_certificate(&der).map_err(|error| format!("no certificate: {error}"))?;
    let valid = certificate.validity();
    let seconds = now.as_millis() / 1000;
    if seconds < valid.not_before.timestamp() || seconds > valid.not_after.timestamp() {
        return Err("the certificate of its signature is not in force".to_owned());
    }
    let key = UnparsedPublicKey::new(algorithm, &certificate.public_key().subject_public_key.data);
    key.verify(signed, signature).map_err(|_| "its signature is wrong".to_owned())
}
