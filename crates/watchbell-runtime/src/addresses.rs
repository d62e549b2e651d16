//! Addresses that names had, for those who must get through while no resolver answers.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard};

/// So many names are remembered; of more, those asked for first.
const NAMES_MAX: usize = 1000;

/// What names last resolved to. Cheap to clone; see [`Net::remembering`](crate::Net::remembering).
#[derive(Clone, Default)]
pub struct Addresses(Arc<Mutex<BTreeMap<String, Known>>>);

struct Known {
    addresses: Vec<IpAddr>,
    /// Whether whoever keeps them has these.
    kept: bool,
}

impl Addresses {
    /// Takes what was kept of an earlier process.
    pub fn restore(&self, host: &str, addresses: Vec<IpAddr>) {
        if !addresses.is_empty() {
            self.lock().insert(host.to_owned(), Known { addresses, kept: true });
        }
    }

    /// What is not kept yet, by name.
    pub fn unkept(&self) -> Vec<(String, Vec<IpAddr>)> {
        let known = self.lock();
        let unkept = known.iter().filter(|(_, known)| !known.kept);
        unkept.map(|(host, known)| (host.clone(), known.addresses.clone())).collect()
    }

    /// These are kept now.
    pub fn kept(&self, kept: &[(String, Vec<IpAddr>)]) {
        let mut known = self.lock();
        for (host, addresses) in kept {
            if let Some(it) = known.get_mut(host).filter(|it| it.addresses == *addresses) {
                it.kept = true;
            }
        }
    }

    pub(crate) fn of(&self, host: &str) -> Option<Vec<IpAddr>> {
        self.lock().get(host).map(|known| known.addresses.clone())
    }

    pub(crate) fn learn(&self, host: &str, addresses: &[IpAddr]) {
        let mut known = self.lock();
        // Resolvers turn the order round and round.
        let sorted = |addresses: &[IpAddr]| {
            let mut sorted = addresses.to_vec();
            sorted.sort_unstable();
            sorted
        };
        let same = known.get(host).is_some_and(|it| sorted(&it.addresses) == sorted(addresses));
        if !same && (known.len() < NAMES_MAX || known.contains_key(host)) {
            known.insert(host.to_owned(), Known { addresses: addresses.to_vec(), kept: false });
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Known>> {
        self.0.lock().expect("no panic while held")
    }
}
