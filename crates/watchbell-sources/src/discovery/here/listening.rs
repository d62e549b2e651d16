//! Which TCP ports of this host take connections, and at which address they are reached from this host.
//!
//! Pure: reads the text of the kernel's `/proc/net/tcp` and `/proc/net/tcp6`.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The kernel's number for the state LISTEN.
const LISTEN: &str = "0A";

/// Each port that something listens on, with the addresses to try, best first.
pub(super) fn reachable(tables: &[String]) -> BTreeMap<u16, Vec<IpAddr>> {
    let mut ports: BTreeMap<u16, Vec<IpAddr>> = BTreeMap::new();
    for (address, port) in tables.iter().flat_map(|table| table.lines()).filter_map(listening) {
        ports.entry(port).or_default().extend(from_here(address));
    }
    for addresses in ports.values_mut() {
        addresses.sort_by_key(|address| (rank(address), *address));
        addresses.dedup();
    }
    ports
}

/// The local address and port of a line, if it is a socket that listens.
fn listening(line: &str) -> Option<(IpAddr, u16)> {
    let mut words = line.split_whitespace();
    let _slot = words.next()?.strip_suffix(':')?;
    let (address, port) = words.next()?.split_once(':')?;
    let _remote = words.next()?;
    if words.next()? != LISTEN {
        return None;
    }
    let port = u16::from_str_radix(port, 16).ok()?;
    // The kernel prints each 32-bit word of the address as a number of this machine, so its bytes come out in order.
    let mut bytes = Vec::new();
    for at in (0..address.len()).step_by(8) {
        let word = address.get(at..at + 8)?;
        bytes.extend(u32::from_str_radix(word, 16).ok()?.to_ne_bytes());
    }
    let address = match bytes.len() {
        4 => IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?),
        16 => IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?).to_canonical(),
        _ => return None,
    };
    Some((address, port))
}

/// Where a socket bound to this address is reached from this host. A socket bound to all IPv6 addresses mostly takes
/// IPv4 too.
fn from_here(bound: IpAddr) -> Vec<IpAddr> {
    let (v4, v6) = (IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST));
    match bound {
        IpAddr::V4(address) if address.is_unspecified() => vec![v4],
        IpAddr::V6(address) if address.is_unspecified() => vec![v4, v6],
        address => vec![address],
    }
}

fn rank(address: &IpAddr) -> u8 {
    match address {
        IpAddr::V4(Ipv4Addr::LOCALHOST) => 0,
        IpAddr::V6(Ipv6Addr::LOCALHOST) => 1,
        other if other.is_loopback() => 2,
        _ => 3,
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn sockets_that_listen() {
        let v4 = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:0019 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   1: 0100007F:1538 00000000:0000 0A 00000000:00000000 00:00000000 00000000   105        0 2 1 0 100 0 0 10 0
   2: 3500007F:0035 00000000:0000 0A 00000000:00000000 00:00000000 00000000   101        0 3 1 0 100 0 0 10 0
   3: 0500000A:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4 1 0 100 0 0 10 0
   4: 0100007F:C350 0100007F:1538 01 00000000:00000000 00:00000000 00000000     0        0 5 1 0 100 0 0 10 0
nonsense
   5: zz:zz 0 0A
";
        let v6 = "\
  sl  local_address                         remote_address                        st
   0: 00000000000000000000000000000000:0019 00000000000000000000000000000000:0000 0A 0 0 0
   1: 00000000000000000000000000000000:03E1 00000000000000000000000000000000:0000 0A 0 0 0
   2: 00000000000000000000000001000000:18EB 00000000000000000000000000000000:0000 0A 0 0 0
   3: 0000000000000000FFFF00000100007F:0050 00000000000000000000000000000000:0000 0A 0 0 0
";
        let found = reachable(&[v4.into(), v6.into()]);
        let text: String = found.iter().map(|(port, addresses)| format!("{port} {addresses:?}\n")).collect();
        expect![[r#"
            25 [127.0.0.1, ::1]
            53 [127.0.0.53]
            80 [127.0.0.1]
            993 [127.0.0.1, ::1]
            5432 [127.0.0.1]
            6379 [::1]
            8080 [10.0.0.5]
        "#]]
        .assert_eq(&text);
    }
}
