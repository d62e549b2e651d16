//! What certificates say: when they end, and whose they are.

use std::collections::BTreeMap;
use std::fmt::Write;

use ring::digest;
use rustls::pki_types::CertificateDer;
use watchbell_model::{Certificate, Timestamp};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::x509::X509Name;

/// When authorities' certificates end, by their names.
#[derive(Debug, Default)]
pub(super) struct Ends(BTreeMap<Vec<u8>, Timestamp>);

impl Ends {
    pub(super) fn of(roots: &[CertificateDer<'_>]) -> Ends {
        let mut ends = BTreeMap::new();
        for (_, root) in roots.iter().filter_map(|root| x509_parser::parse_x509_certificate(root).ok()) {
            let end = end_of(&root);
            let known = ends.entry(root.subject().as_raw().to_vec()).or_insert(end);
            *known = (*known).max(end);
        }
        Ends(ends)
    }
}

/// When a chain ends that is known to lead to one of the roots; of several, the one that lasts longest.
pub(super) fn ends(chain: &[Vec<u8>], roots: &Ends) -> Option<Timestamp> {
    let chain: Vec<X509Certificate<'_>> =
        chain.iter().filter_map(|der| Some(x509_parser::parse_x509_certificate(der).ok()?.1)).collect();
    let (leaf, others) = chain.split_first()?;
    // One that was given as it stands is its own chain.
    longest(leaf, others, roots).or_else(|| Some(end_of(leaf)))
}

fn longest(certificate: &X509Certificate<'_>, others: &[X509Certificate<'_>], roots: &Ends) -> Option<Timestamp> {
    let issuer = certificate.issuer().as_raw();
    let by_root = roots.0.get(issuer).copied();
    let by_others = others.iter().enumerate().filter(|(_, other)| other.subject().as_raw() == issuer);
    let by_others = by_others.filter_map(|(at, other)| {
        // None stands twice in a chain, so that it comes to an end.
        let rest: Vec<_> = others.iter().enumerate().filter(|(it, _)| *it != at).map(|(_, it)| it.clone()).collect();
        longest(other, &rest, roots)
    });
    by_others.chain(by_root).max().map(|end| end.min(end_of(certificate)))
}

fn end_of(certificate: &X509Certificate<'_>) -> Timestamp {
    Timestamp(certificate.validity().not_after.timestamp().saturating_mul(1000))
}

/// The certificate of a chain (DER, leaf first) whose validity ends first.
pub(super) fn earliest_to_end(chain: &[Vec<u8>]) -> Option<Certificate> {
    let fingerprint = fingerprint(chain.first()?);
    chain
        .iter()
        .filter_map(|der| x509_parser::parse_x509_certificate(der).ok())
        .map(|(_, certificate)| Certificate {
            not_after: end_of(&certificate),
            subject: certificate.subject().to_string(),
            issuer: certificate.issuer().to_string(),
            fingerprint: fingerprint.clone(),
        })
        .min_by_key(|certificate| certificate.not_after)
}

fn fingerprint(der: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, der).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        write!(out, "{byte:02x}").expect("a string takes anything");
        out
    })
}

/// A server's own certificate, as Go's programs write it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// SHA-256, in hex.
    pub fingerprint: String,
    /// Whose it is, the most particular part first: `CN=mail.example.org,O=Example`.
    pub subject: String,
    /// Who vouches for it.
    pub issuer: String,
    /// The names it is for, by commas.
    pub names: String,
    /// Its number, in hex.
    pub serial: String,
}

impl Leaf {
    pub(super) fn of(der: &[u8]) -> Option<Leaf> {
        let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
        let names = certificate.subject_alternative_name().ok().flatten();
        let names = names.iter().flat_map(|it| &it.value.general_names).filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(*name),
            _ => None,
        });
        let serial = certificate.raw_serial();
        let leading = serial.iter().take_while(|byte| **byte == 0).count();
        Some(Leaf {
            fingerprint: fingerprint(der),
            subject: name(certificate.subject()),
            issuer: name(certificate.issuer()),
            names: names.collect::<Vec<_>>().join(","),
            serial: hex(&serial[leading..]),
        })
    }
}

/// Parts of a name that Go knows, in the order in which it writes them, the other way round.
const PARTS: [(&str, &str); 9] = [
    ("2.5.4.6", "C"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.9", "STREET"),
    ("2.5.4.17", "POSTALCODE"),
    ("2.5.4.3", "CN"),
    ("2.5.4.5", "SERIALNUMBER"),
];

fn name(name: &X509Name<'_>) -> String {
    let all = || name.iter_attributes().map(|it| (it.attr_type().to_id_string(), it));
    let mut parts: Vec<String> = all()
        .filter(|(id, _)| PARTS.iter().all(|(known, _)| known != id))
        .map(|(id, it)| format!("{id}=#{}", hex(&with_header(it.attr_value().header.tag().0, it.as_slice()))))
        .collect();
    for (known, short) in PARTS {
        let values: Vec<String> = all()
            .filter(|(id, _)| id == known)
            .map(|(_, it)| format!("{short}={}", escaped(it.as_str().unwrap_or_default())))
            .collect();
        // Of these there is one at most.
        let values =
            if matches!(short, "CN" | "SERIALNUMBER") { &values[values.len().saturating_sub(1)..] } else { &values };
        if !values.is_empty() {
            parts.push(values.join("+"));
        }
    }
    parts.reverse();
    parts.join(",")
}

/// A value in DER again.
fn with_header(tag: u32, value: &[u8]) -> Vec<u8> {
    let mut out = vec![tag as u8];
    match value.len() {
        short @ 0..128 => out.push(short as u8),
        long => out.extend([0x82, (long >> 8) as u8, long as u8]),
    }
    out.extend(value);
    out
}

/// As RFC 2253 has it.
fn escaped(value: &str) -> String {
    let last = value.chars().count().saturating_sub(1);
    value.chars().enumerate().fold(String::new(), |mut out, (at, c)| {
        let special = matches!(c, ',' | '+' | '"' | '\\' | '<' | '>' | ';');
        if special || (at == 0 && matches!(c, ' ' | '#')) || (at == last && c == ' ') {
            out.push('\\');
        }
        out.push(c);
        out
    })
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SerialNumber, date_time_ymd};

    use super::*;

    #[test]
    fn a_leaf_is_told_as_go_tells_it() {
        let mut params = CertificateParams::new(["a.example".to_owned(), "b.example".to_owned()]).unwrap();
        let name = &mut params.distinguished_name;
        *name = rcgen::DistinguishedName::new();
        name.push(DnType::CommonName, "a, example ");
        name.push(DnType::OrganizationName, "Example+Sons");
        name.push(DnType::CountryName, "DE");
        params.serial_number = Some(SerialNumber::from_slice(&[0, 0x0a, 0xff]));
        let made = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let leaf = Leaf::of(made.der()).unwrap();
        assert_eq!(leaf.subject, "CN=a\\, example\\ ,O=Example\\+Sons,C=DE");
        assert_eq!(leaf.issuer, leaf.subject);
        assert_eq!((leaf.names.as_str(), leaf.serial.as_str()), ("a.example,b.example", "0aff"));
        assert_eq!(leaf.fingerprint, fingerprint(made.der()));
    }

    #[test]
    fn a_chain_ends_with_the_first_of_its_certificates() {
        let authority = |name: &str, year| {
            let mut params = CertificateParams::default();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.distinguished_name = rcgen::DistinguishedName::new();
            params.distinguished_name.push(DnType::CommonName, name);
            params.not_after = date_time_ymd(year, 1, 1);
            params
        };
        let (root_key, middle_key, leaf_key) =
            (KeyPair::generate().unwrap(), KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let root = authority("root", 2030).self_signed(&root_key).unwrap();
        let root_issuer = Issuer::new(authority("root", 2030), &root_key);
        let middle = authority("middle", 2027).signed_by(&middle_key, &root_issuer).unwrap();
        let middle_issuer = Issuer::new(authority("middle", 2027), &middle_key);
        let leaf = authority("leaf", 2028).signed_by(&leaf_key, &middle_issuer).unwrap();
        let chain = [leaf.der().to_vec(), middle.der().to_vec(), middle.der().to_vec()];
        let roots = Ends::of(&[root.der().clone()]);
        let year = |at: Option<Timestamp>| at.unwrap().to_string()[..4].to_owned();
        assert_eq!(year(ends(&chain, &roots)), "2027");
        assert_eq!(year(ends(&chain[..1], &Ends::of(&[middle.der().clone()]))), "2027");
        assert_eq!(year(ends(&chain[..1], &Ends::of(&[leaf.der().clone()]))), "2028");
        assert_eq!(earliest_to_end(&chain).unwrap().subject, "CN=middle");
    }
}
