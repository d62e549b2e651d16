//! Random numbers: seeded from the machine, or from a simulation's seed.

use std::sync::{Arc, Mutex};

/// A stream of random numbers shared by all parts. Seeds and identifiers come from here.
#[derive(Clone)]
pub struct Rng {
    kind: Kind,
}

#[derive(Clone)]
enum Kind {
    Os,
    /// SplitMix64: enough for schedules and identifiers of a simulated world.
    Sim(Arc<Mutex<u64>>),
}

impl Rng {
    /// The machine's own random numbers; good for secrets.
    pub fn os() -> Rng {
        Rng { kind: Kind::Os }
    }

    /// The same numbers for the same seed.
    pub fn seeded(seed: u64) -> Rng {
        Rng { kind: Kind::Sim(Arc::new(Mutex::new(seed))) }
    }

    /// 64 random bits.
    pub fn next_u64(&self) -> u64 {
        match &self.kind {
            Kind::Os => {
                let mut bytes = [0; 8];
                self.fill(&mut bytes);
                u64::from_le_bytes(bytes)
            }
            Kind::Sim(state) => {
                let mut state = state.lock().expect("no panic while held");
                *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                let mut z = *state;
                z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                z ^ (z >> 31)
            }
        }
    }

    /// A number from 0 to below `n` (0 for `n` = 0).
    pub fn below(&self, n: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(n)) >> 64) as u64
    }

    /// A number from 0 to below 1.
    pub fn unit(&self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Fills a buffer.
    pub fn fill(&self, buffer: &mut [u8]) {
        match &self.kind {
            #[expect(clippy::disallowed_methods, reason = "this is the door the others point at")]
            Kind::Os => getrandom::fill(buffer).expect("the machine has random numbers"),
            Kind::Sim(_) => {
                for chunk in buffer.chunks_mut(8) {
                    chunk.copy_from_slice(&self.next_u64().to_le_bytes()[..chunk.len()]);
                }
            }
        }
    }

    /// A random UUID (version 4), in lower-case hex with dashes.
    pub fn uuid(&self) -> String {
        let mut b = [0u8; 16];
        self.fill(&mut b);
        b[6] = b[6] & 0x0f | 0x40;
        b[8] = b[8] & 0x3f | 0x80;
        let hex: String = b.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    }

    /// 256 random bits as 43 characters that need no escaping in an address.
    pub fn token(&self) -> String {
        use base64::Engine;
        let mut bytes = [0u8; 32];
        self.fill(&mut bytes);
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
    }
}
