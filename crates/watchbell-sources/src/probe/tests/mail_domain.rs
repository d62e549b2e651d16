//! What DNS says of a domain's mail, with one thing broken at a time.

use std::collections::BTreeMap;

use expect_test::expect;
use watchbell_runtime::sim;
use watchbell_wire::dns::kind_of;

use super::super::{Live, probe};
use super::{HOST, config};

/// A right zone.
const ZONE: &[(&str, &str, &str)] = &[
    ("example.org", "MX", "mx.example.org"),
    ("mx.example.org", "A", "192.0.2.25"),
    ("25.2.0.192.in-addr.arpa", "PTR", "mx.example.org"),
    ("example.org", "TXT", "v=spf1 mx include:other.example -all"),
    ("other.example", "TXT", "v=spf1 ip4:192.0.2.0/24 -all"),
    ("_dmarc.example.org", "TXT", "v=DMARC1; p=reject"),
    ("s1._domainkey.example.org", "TXT", "v=DKIM1; k=rsa; p=MIGf"),
    ("_smtp._tls.example.org", "TXT", "v=TLSRPTv1; rua=mailto:tls@example.org"),
];

fn name(text: &str) -> Vec<u8> {
    let parts = text.split('.').flat_map(|part| [&[part.len() as u8], part.as_bytes()].concat());
    parts.chain([0]).collect()
}

fn data(kind: &str, text: &str) -> Vec<u8> {
    match kind {
        "A" => text.parse::<std::net::Ipv4Addr>().unwrap().octets().to_vec(),
        "MX" => [vec![0, 10], name(text)].concat(),
        "PTR" => name(text),
        "TXT" => [&[text.len() as u8], text.as_bytes()].concat(),
        other => panic!("no such type: {other}"),
    }
}

/// Answers from a zone; a name that is not in it does not exist.
fn serve_zone(zone: Vec<(String, String, String)>) -> impl Fn(&[u8]) -> Option<Vec<u8>> {
    let mut records: BTreeMap<(Vec<u8>, u16), Vec<Vec<u8>>> = BTreeMap::new();
    for (owner, kind, text) in &zone {
        records.entry((name(owner), kind_of(kind).unwrap())).or_default().push(data(kind, text));
    }
    move |question| {
        let end = 12 + question[12..].iter().position(|byte| *byte == 0).unwrap() + 1;
        let (owner, kind) =
            (question[12..end].to_ascii_lowercase(), u16::from_be_bytes([question[end], question[end + 1]]));
        let found = records.get(&(owner.clone(), kind)).cloned().unwrap_or_default();
        let exists = records.keys().any(|(have, _)| *have == owner);
        let mut answer = question[..2].to_vec();
        answer.extend([0x81, if exists { 0x80 } else { 0x83 }, 0, 1, 0, found.len() as u8, 0, 0, 0, 0]);
        answer.extend(&question[12..end + 4]);
        for data in found {
            answer.extend([0xc0, 0x0c]);
            answer.extend(&question[end..end + 4]);
            answer.extend([0, 0, 0, 60, 0, data.len() as u8]);
            answer.extend(data);
        }
        Some(answer)
    }
}

/// The zone without what has this name and type, and with these records in its place.
fn broken(owner: &str, kind: &str, instead: &[&str]) -> String {
    let zone = ZONE.iter().filter(|(have, of, _)| !(*have == owner && *of == kind)).copied();
    let instead = instead.iter().map(|text| (owner, kind, *text));
    probed(zone.chain(instead).map(|(a, b, c)| (a.into(), b.into(), c.into())).collect()).0
}

fn probed(zone: Vec<(String, String, String)>) -> (String, String) {
    let monitor = r#"{"mail_domain": {"domain": "example.org", "server": "mail.example", "dkim_selectors": ["s1"],
        "dnsbl": ["bl.example"], "aspects": ["mx", "spf", "dkim", "dmarc", "tls_rpt", "ptr", "dnsbl"]}}"#;
    sim::run(1, |world| async move {
        world.net.serve_datagrams(HOST, 53, serve_zone(zone));
        let (result, points, _) = probe(&config(monitor), &world.runtime(), &Live::default()).await;
        let aspects = points.iter().filter(|it| it.labels.get("aspect").is_some());
        let aspects = aspects.map(|it| format!("{} {}", it.labels.get("aspect").unwrap(), it.value));
        (
            format!("{}: {}", if result.success { "up" } else { "down" }, result.message),
            aspects.collect::<Vec<_>>().join(", "),
        )
    })
}

#[test]
fn a_domain_in_order() {
    let (told, aspects) = probed(ZONE.iter().map(|(a, b, c)| ((*a).into(), (*b).into(), (*c).into())).collect());
    expect!["up: mx, spf, dkim, dmarc, tls_rpt, ptr, dnsbl are right"].assert_eq(&told);
    expect!["mx 1, spf 1, dkim 1, dmarc 1, tls_rpt 1, ptr 1, dnsbl 1"].assert_eq(&aspects);
}

#[test]
fn each_break_is_named() {
    let many: Vec<String> = (0..11).map(|at| format!("a:h{at}.example")).collect();
    let many = format!("v=spf1 {} -all", many.join(" "));
    let told = [
        broken("example.org", "MX", &[]),
        broken("mx.example.org", "A", &[]),
        broken("25.2.0.192.in-addr.arpa", "PTR", &[]),
        broken("25.2.0.192.in-addr.arpa", "PTR", &["other.example"]),
        broken("example.org", "TXT", &["v=spf1 mx -all", "v=spf1 -all"]),
        broken("example.org", "TXT", &["v=spf1 +all"]),
        broken("example.org", "TXT", &["v=spf1 mx"]),
        broken("example.org", "TXT", &[&many]),
        broken("other.example", "TXT", &[]),
        broken("_dmarc.example.org", "TXT", &[]),
        broken("_dmarc.example.org", "TXT", &["v=DMARC1; p=maybe"]),
        broken("s1._domainkey.example.org", "TXT", &["v=DKIM1; p="]),
        broken("s1._domainkey.example.org", "TXT", &["v=DKIM1; p=%%%"]),
        broken("s1._domainkey.example.org", "TXT", &[]),
        broken("_smtp._tls.example.org", "TXT", &["v=TLSRPTv1; rua=nobody"]),
        broken("25.2.0.192.bl.example", "A", &["127.0.0.2"]),
        broken("25.2.0.192.bl.example", "A", &["127.255.255.254"]),
    ];
    expect![[r#"
        down: mx: example.org has no MX record; ptr: there are no addresses to look at; dnsbl: there are no addresses to look at
        down: mx: the mail server mx.example.org has no address; ptr: there are no addresses to look at; dnsbl: there are no addresses to look at
        down: ptr: 192.0.2.25 has no name (PTR), and many receivers refuse its mail
        down: ptr: 192.0.2.25 is called other.example., which does not have that address
        down: spf: there are 2 `v=spf1` records at example.org, and receivers take none of them
        down: spf: it ends in `+all`: everybody may send mail of this domain
        down: spf: it has no end: add `-all` or `~all`
        down: spf: it takes more than 10 look-ups, after which receivers give up: have fewer `include`s
        down: spf: `include:other.example`: there is no `v=spf1` record at other.example
        down: dmarc: there is no `v=DMARC1` record at _dmarc.example.org
        down: dmarc: `p=maybe` is not a policy
        down: dkim: the key at s1._domainkey.example.org is revoked (`p=` is empty)
        down: dkim: the key at s1._domainkey.example.org is broken: it is not base64
        down: dkim: there is no key at s1._domainkey.example.org
        down: tls_rpt: it does not say where to report (`rua=mailto:…`)
        down: dnsbl: 192.0.2.25 is on the block list bl.example: 127.0.0.2
        down: dnsbl: bl.example answers nothing to this name server (127.255.255.254): ask it through one of your own"#]].assert_eq(&told.join("\n"));
}
