//! Signing in by SCRAM-SHA-256 (RFC 5802, 7677), without channel binding. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::{digest, hmac, pbkdf2};

/// The most rounds of hashing that a server may ask for.
const ITERATIONS_MAX: u32 = 1_000_000;

/// A login under way.
pub(crate) struct Scram {
    password: String,
    nonce: String,
    first_bare: String,
    server_signature: Vec<u8>,
}

impl Scram {
    /// Begins with a nonce that nobody can guess, of printable characters.
    pub(crate) fn new(user: &str, password: &str, nonce: String) -> Scram {
        let user = user.replace('=', "=3D").replace(',', "=2C");
        let first_bare = format!("n={user},r={nonce}");
        Scram { password: password.to_owned(), nonce, first_bare, server_signature: Vec::new() }
    }

    /// What is said first.
    pub(crate) fn first(&self) -> String {
        format!("n,,{}", self.first_bare)
    }

    /// What is said to the server's first message. The error says what is wrong with that.
    pub(crate) fn second(&mut self, server_first: &str) -> Result<String, String> {
        let field = |name: &str| server_first.split(',').find_map(|it| it.strip_prefix(name)?.strip_prefix('='));
        let nonce = field("r").filter(|nonce| nonce.starts_with(&self.nonce) && nonce.len() > self.nonce.len());
        let nonce = nonce.ok_or("its nonce does not begin with ours")?;
        let salt = field("s").and_then(|salt| STANDARD.decode(salt).ok()).ok_or("there is no salt")?;
        let rounds: u32 = field("i").and_then(|rounds| rounds.parse().ok()).ok_or("there is no number of rounds")?;
        let rounds = std::num::NonZeroU32::new(rounds).filter(|it| it.get() <= ITERATIONS_MAX);
        let rounds = rounds.ok_or("its number of rounds is out of bounds")?;
        let mut salted = [0; digest::SHA256_OUTPUT_LEN];
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, &salt, self.password.as_bytes(), &mut salted);
        let key = |name: &str| sign(&salted, name.as_bytes());
        let client_key = key("Client Key");
        let stored = digest::digest(&digest::SHA256, &client_key);
        let last_bare = format!("c=biws,r={nonce}");
        let whole = format!("{},{server_first},{last_bare}", self.first_bare);
        let signature = sign(stored.as_ref(), whole.as_bytes());
        self.server_signature = sign(&key("Server Key"), whole.as_bytes());
        let proof: Vec<u8> = client_key.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
        Ok(format!("{last_bare},p={}", STANDARD.encode(proof)))
    }

    /// Whether the server knows the password, too.
    pub(crate) fn is_proven(&self, server_last: &str) -> bool {
        let signature = server_last.strip_prefix("v=").and_then(|text| STANDARD.decode(text).ok());
        signature.is_some_and(|it| !self.server_signature.is_empty() && it == self.server_signature)
    }
}

fn sign(key: &[u8], text: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text).as_ref().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7677.
    #[test]
    fn the_example_of_the_standard() {
        let mut scram = Scram::new("user", "pencil", "rOprNGfwEbeRWgbNEkqO".into());
        assert_eq!(scram.first(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let second =
            scram.second("r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096");
        assert_eq!(
            second.unwrap(),
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
             p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        assert!(scram.is_proven("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="));
        assert!(!scram.is_proven("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G5="));
    }

    #[test]
    fn a_server_that_is_none_is_refused() {
        let mut scram = Scram::new("user", "pencil", "abc".into());
        for bad in [
            "r=abd1,s=W22Z,i=4096",
            "r=abc,s=W22Z,i=4096",
            "r=abc1,i=4096",
            "r=abc1,s=W22Z,i=0",
            "r=abc1,s=W22Z,i=9999999",
            "",
        ] {
            assert!(scram.second(bad).is_err(), "{bad}");
        }
        assert!(!scram.is_proven("v="));
    }
}
