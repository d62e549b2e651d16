//! The one address of a name that is probed.

use std::net::IpAddr;

use super::super::attempt::Failure;
use super::Probe;
use super::config::prefers_six;

impl Probe<'_, '_> {
    /// Chooses an address of a host by the protocol that is preferred, and tells which and how long it took.
    pub(super) async fn choose(&mut self, protocol: &str, fallback: bool, host: &str) -> Result<IpAddr, Failure> {
        let six = prefers_six(protocol);
        let wanted = if six { "ip6" } else { "ip4" };
        self.record.zero(&["probe_ip_protocol", "probe_dns_lookup_time_seconds", "probe_ip_addr_hash"]);
        self.record.debug("Resolving target address", &[("target", host), ("ip_protocol", wanted)]);
        let clock = self.attempt.runtime.clock.clone();
        let begun = clock.monotonic();
        let found =
            self.attempt.within(&format!("the address of {host}"), self.attempt.runtime.net.resolve(host)).await;
        self.record.set("probe_dns_lookup_time_seconds", (clock.monotonic() - begun).as_secs_f64());
        let found = found.and_then(|found| found.map_err(|error| Failure(error.to_string())));
        let found = match found {
            Ok(found) => found,
            Err(Failure(reason)) => {
                self.record.error("Resolution with IP protocol failed", &[("target", host), ("err", &reason)]);
                return Err(Failure(reason));
            }
        };
        let preferred = found.iter().find(|address| address.to_canonical().is_ipv6() == six);
        let Some(address) = preferred.or(found.last().filter(|_| fallback)) else {
            return Err(Failure(format!("`{host}` has no address of {wanted}, and no other may be taken")));
        };
        let address = address.to_canonical();
        self.record.debug("Resolved target address", &[("target", host), ("ip", &address.to_string())]);
        self.record.set("probe_ip_protocol", if address.is_ipv4() { 4.0 } else { 6.0 });
        self.record.set("probe_ip_addr_hash", hash(address));
        Ok(address)
    }

    /// How long the choice took.
    pub(super) fn lookup_seconds(&self) -> f64 {
        self.record.get("probe_dns_lookup_time_seconds").unwrap_or_default()
    }
}

/// FNV-1a of an address, by which a change of it shows.
fn hash(address: IpAddr) -> f64 {
    let bytes = match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let hash = bytes.iter().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
    f64::from(hash)
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_address_has_its_hash() {
        // As blackbox_exporter tells it of 127.0.0.1.
        assert_eq!(super::hash("127.0.0.1".parse().unwrap()), 3_668_918_509.0);
    }
}
