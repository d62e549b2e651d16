//! Which addresses may be connected to: a guard against being led into one's own network (SSRF).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

/// Private addresses are refused but for those that are allowed; all others are not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Egress {
    /// What is allowed all the same.
    pub allow: Vec<Range>,
}

/// A range of addresses: `10.0.0.0/8`; one address alone is one, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Range {
    address: IpAddr,
    bits: u8,
}

impl Egress {
    /// Whether an address may be connected to.
    pub fn allows(&self, address: IpAddr) -> bool {
        // `::ffff:10.0.0.1` is 10.0.0.1.
        let address = address.to_canonical();
        !is_private(address) || self.allow.iter().any(|range| range.contains(address))
    }
}

/// Whether an address is none of the public internet.
pub fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let [a, b, ..] = address.octets();
            address.is_private()
                || address.is_loopback()
                || address.is_link_local()
                || address.is_multicast()
                || address == Ipv4Addr::BROADCAST
                || a == 0
                // Shared by the customers of a provider (RFC 6598).
                || (a == 100 && (64..128).contains(&b))
        }
        IpAddr::V6(address) => {
            address.is_loopback()
                || address.is_unspecified()
                || address.is_multicast()
                || address.is_unique_local()
                || address.is_unicast_link_local()
        }
    }
}

impl Range {
    fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(have), IpAddr::V4(other)) => same_head(&have.octets(), &other.octets(), self.bits),
            (IpAddr::V6(have), IpAddr::V6(other)) => same_head(&have.octets(), &other.octets(), self.bits),
            _ => false,
        }
    }
}

fn same_head(a: &[u8], b: &[u8], bits: u8) -> bool {
    let whole = usize::from(bits / 8);
    let rest = bits % 8;
    let mask = if rest == 0 { 0 } else { 0xff_u8 << (8 - rest) };
    a[..whole] == b[..whole] && (rest == 0 || a[whole] & mask == b[whole] & mask)
}

impl FromStr for Range {
    type Err = String;

    fn from_str(text: &str) -> Result<Range, String> {
        let refuse = || format!("`{text}` is not a range of addresses; write it as `10.0.0.0/8` or `192.0.2.1`");
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| refuse())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(most), str::parse).map_err(|_| refuse())?;
        if bits <= most { Ok(Range { address, bits }) } else { Err(refuse()) }
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_addresses_are_refused_but_for_those_that_are_allowed() {
        let egress = Egress {
            allow: vec!["10.1.0.0/16".parse().unwrap(), "fd00::1".parse().unwrap(), "172.20.0.0/14".parse().unwrap()],
        };
        let allows = |text: &str| egress.allows(text.parse().unwrap());
        for yes in [
            "192.0.2.1",
            "8.8.8.8",
            "2001:db8::1",
            "10.1.2.3",
            "fd00::1",
            "::ffff:10.1.2.3",
            "172.23.0.1",
            "100.128.0.1",
        ] {
            assert!(allows(yes), "{yes}");
        }
        for no in [
            "127.0.0.1",
            "10.2.0.1",
            "192.168.0.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "::1",
            "fe80::1",
            "fd00::2",
            "::ffff:127.0.0.1",
            "172.16.0.1",
            "172.24.0.1",
            "224.0.0.1",
            "255.255.255.255",
        ] {
            assert!(!allows(no), "{no}");
        }
    }

    #[test]
    fn ranges() {
        for good in ["10.0.0.0/8", "::/0", "192.0.2.1/32"] {
            assert_eq!(good.parse::<Range>().unwrap().to_string(), good);
        }
        for bad in ["10.0.0.0/33", "10.0.0/8", "example.org", "::1/129", "10.0.0.0/", ""] {
            assert!(bad.parse::<Range>().is_err(), "{bad}");
        }
    }
}
