//! Who is asking: sign-in links, sessions, API tokens and signed links.
//!
//! There are no passwords yet: a person on the machine asks for a link (`watchbell signin`), opens it, and has a
//! session; a program has a token. Only digests are kept, so that a copy of the state lets nobody in.
//!
//! Invariants: a secret handed out here is 256 random bits and is never stored or logged; a link lets in once; a
//! session ends when it is idle, when it is old, or when somebody ends it, whichever comes first.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use watchbell_model::{Change, State, StateError, Timestamp};
use watchbell_runtime::{Clock, Rng};

/// How long a sign-in link lets in.
pub const LINK_VALID: Duration = Duration::from_secs(15 * 60);
/// How long the link that the very first start prints lets in: somebody must have the time to read the log.
pub const FIRST_LINK_VALID: Duration = Duration::from_secs(24 * 3600);
/// A session ends this long after its last use. The only way back in is on the machine, so this is days, not hours.
pub const SESSION_IDLE_MAX: Duration = Duration::from_secs(7 * 86_400);
/// A session ends this long after it began, however much it is used.
pub const SESSION_AGE_MAX: Duration = Duration::from_secs(30 * 86_400);
/// How many sessions there may be; the one that was used least recently makes room.
pub const SESSIONS_MAX: usize = 256;
/// How many sign-in links may wait to be used; the oldest makes room.
pub const LINKS_MAX: usize = 64;
/// How many API tokens there may be.
pub const TOKENS_MAX: usize = 256;

/// The last use of a session is written down only this often.
const SEEN_STEP: Duration = Duration::from_secs(10 * 60);
/// Secret scanners find a token by this.
const TOKEN_PREFIX: &str = "wb_";
/// A signature is cut to this many bytes, so that a link fits a page.
const SIGNATURE_BYTES: usize = 16;

const LINKS: &str = "http.link";
const SESSIONS: &str = "http.session";
const TOKENS: &str = "http.token";
const KEYS: &str = "http.key";

/// Why somebody could not be let in or a secret could not be made.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// What is kept of sessions and tokens cannot be read or written.
    #[error("what is kept of sessions cannot be used")]
    State(#[from] StateError),
    /// No more tokens fit.
    #[error("there are {TOKENS_MAX} tokens already; revoke one that nobody uses")]
    TooManyTokens,
    /// There is a token of that name.
    #[error("there is a token called `{0}` already")]
    NameTaken(String),
}

/// A session, for the list of sessions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Names the session; not the secret.
    #[serde(skip)]
    pub id: String,
    /// When it began.
    pub began_at: Timestamp,
    /// When it was used last, to within ten minutes.
    pub seen_at: Timestamp,
    /// The browser that began it, as it called itself.
    pub agent: String,
    /// The address it began from.
    pub address: String,
}

/// An API token, for the list of tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// What people call it.
    pub name: String,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// The place whose agent has it; it opens nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Link {
    issued_at: Timestamp,
    ends_at: Timestamp,
}

/// Sessions, tokens and links. Cheap to clone.
#[derive(Clone)]
pub struct Auth {
    state: Arc<dyn State>,
    clock: Clock,
    rng: Rng,
    signer: Hmac<Sha256>,
    /// Consuming a link reads and then writes; two at once must not both see it unused.
    consuming: Arc<tokio::sync::Mutex<()>>,
}

impl Auth {
    /// Reads the key of signed links, or makes one at the first start.
    pub async fn open(state: Arc<dyn State>, clock: Clock, rng: Rng) -> Result<Auth, StateError> {
        let key = match state.get(KEYS, "links")? {
            Some(key) => key,
            None => {
                let mut key = vec![0; 32];
                rng.fill(&mut key);
                let put = Change::Put { table: KEYS, key: "links".into(), value: key.clone() };
                state.commit(vec![put]).await?;
                key
            }
        };
        let signer = Hmac::new_from_slice(&key).expect("HMAC takes a key of any length");
        Ok(Auth { state, clock, rng, signer, consuming: Arc::default() })
    }

    fn secret(&self) -> String {
        let mut bytes = [0; 32];
        self.rng.fill(&mut bytes);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// A path that lets in once within 15 minutes: `/signin?token=…`. Whoever can write the state may ask for one.
    pub async fn issue_link(&self) -> Result<String, AuthError> {
        self.issue_link_for(LINK_VALID).await
    }

    /// The link that the first start prints; `None` once anybody has ever been let in.
    pub async fn issue_first_link(&self) -> Result<Option<String>, AuthError> {
        if self.state.get(KEYS, "first-sign-in")?.is_some() {
            return Ok(None);
        }
        self.issue_link_for(FIRST_LINK_VALID).await.map(Some)
    }

    async fn issue_link_for(&self, valid: Duration) -> Result<String, AuthError> {
        let now = self.clock.now();
        let secret = self.secret();
        let mut links = self.documents::<Link>(LINKS, LINKS_MAX + 1)?;
        let mut changes = vec![Change::put(LINKS, digest(&secret), &Link { issued_at: now, ends_at: now + valid })];
        links.sort_by_key(|(_, link)| link.issued_at);
        let excess = (links.len() + 1).saturating_sub(LINKS_MAX);
        for (at, (key, link)) in links.into_iter().enumerate() {
            if at < excess || link.ends_at <= now {
                changes.push(Change::delete(LINKS, key));
            }
        }
        self.state.commit(changes).await?;
        Ok(format!("/signin?token={secret}"))
    }

    /// Whether a link would let in, without using it up.
    pub fn link_is_good(&self, secret: &str) -> Result<bool, StateError> {
        let now = self.clock.now();
        Ok(self.document::<Link>(LINKS, &digest(secret))?.is_some_and(|link| now < link.ends_at))
    }

    /// Uses a link up and begins a session; `None` if the link does not let in. Answers the session's secret.
    pub async fn consume_link(&self, secret: &str, agent: &str, address: &str) -> Result<Option<String>, AuthError> {
        let _one_at_a_time = self.consuming.lock().await;
        if !self.link_is_good(secret)? {
            return Ok(None);
        }
        let now = self.clock.now();
        let session = self.secret();
        let text = |text: &str| text.chars().filter(|c| !c.is_control()).take(200).collect::<String>();
        let document =
            Session { id: String::new(), began_at: now, seen_at: now, agent: text(agent), address: text(address) };
        let mut changes = vec![
            Change::delete(LINKS, digest(secret)),
            Change::put(SESSIONS, digest(&session), &document),
            Change::put(KEYS, "first-sign-in", &now),
        ];
        let mut others = self.documents::<Session>(SESSIONS, SESSIONS_MAX + 1)?;
        others.sort_by_key(|(_, session)| session.seen_at);
        let excess = (others.len() + 1).saturating_sub(SESSIONS_MAX);
        for (at, (key, session)) in others.into_iter().enumerate() {
            if at < excess || session.is_over(now) {
                changes.push(Change::delete(SESSIONS, key));
            }
        }
        self.state.commit(changes).await?;
        Ok(Some(session))
    }

    /// The session a secret belongs to, if it is not over; notes that it was used.
    pub async fn session(&self, secret: &str) -> Result<Option<Session>, StateError> {
        let id = digest(secret);
        let now = self.clock.now();
        let Some(mut session) = self.document::<Session>(SESSIONS, &id)? else { return Ok(None) };
        if session.is_over(now) {
            return Ok(None);
        }
        if now.since(session.seen_at) >= SEEN_STEP {
            session.seen_at = now;
            // A session must go on while the state cannot be written: that is when people look.
            if let Err(error) = self.state.commit(vec![Change::put(SESSIONS, id.clone(), &session)]).await {
                tracing::warn!(%error, "the use of a session was not written down");
            }
        }
        session.id = id;
        Ok(Some(session))
    }

    /// Whether a session is not over, by its id; looking is no use.
    pub fn session_lives(&self, id: &str) -> Result<bool, StateError> {
        let now = self.clock.now();
        Ok(self.document::<Session>(SESSIONS, id)?.is_some_and(|session| !session.is_over(now)))
    }

    /// Sessions that are not over, the one used last first.
    pub fn sessions(&self) -> Result<Vec<Session>, StateError> {
        let now = self.clock.now();
        let mut sessions: Vec<Session> = self
            .documents::<Session>(SESSIONS, SESSIONS_MAX * 2)?
            .into_iter()
            .filter(|(_, session)| !session.is_over(now))
            .map(|(id, session)| Session { id, ..session })
            .collect();
        sessions.sort_by(|a, b| b.seen_at.cmp(&a.seen_at).then_with(|| a.id.cmp(&b.id)));
        Ok(sessions)
    }

    /// Ends a session by its id.
    pub async fn end_session(&self, id: &str) -> Result<(), StateError> {
        self.state.commit(vec![Change::delete(SESSIONS, id)]).await
    }

    /// A token for a program, `wb_…`; it is shown this once.
    pub async fn issue_token(&self, name: &str) -> Result<String, AuthError> {
        self.issue(name, None).await
    }

    /// The same for the agent of a place: it reports, and opens nothing else.
    pub async fn issue_place_token(&self, name: &str, place: &str) -> Result<String, AuthError> {
        self.issue(name, Some(place.to_owned())).await
    }

    async fn issue(&self, name: &str, place: Option<String>) -> Result<String, AuthError> {
        let tokens = self.tokens()?;
        if tokens.len() >= TOKENS_MAX {
            return Err(AuthError::TooManyTokens);
        }
        if tokens.iter().any(|token| token.name == name) {
            return Err(AuthError::NameTaken(name.to_owned()));
        }
        let secret = format!("{TOKEN_PREFIX}{}", self.secret());
        let token = Token { name: name.to_owned(), issued_at: self.clock.now(), place };
        self.state.commit(vec![Change::put(TOKENS, digest(&secret), &token)]).await?;
        Ok(secret)
    }

    /// The token a secret is.
    pub fn token(&self, secret: &str) -> Result<Option<Token>, StateError> {
        if !secret.starts_with(TOKEN_PREFIX) {
            return Ok(None);
        }
        self.document(TOKENS, &digest(secret))
    }

    /// All tokens by name.
    pub fn tokens(&self) -> Result<Vec<Token>, StateError> {
        let mut tokens: Vec<Token> =
            self.documents(TOKENS, TOKENS_MAX + 1)?.into_iter().map(|(_, token)| token).collect();
        tokens.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(tokens)
    }

    /// Takes a token back; answers whether there was one of that name.
    pub async fn revoke_token(&self, name: &str) -> Result<bool, StateError> {
        let all = self.documents::<Token>(TOKENS, TOKENS_MAX + 1)?;
        let gone: Vec<Change> = all
            .into_iter()
            .filter(|(_, token)| token.name == name)
            .map(|(key, _)| Change::delete(TOKENS, key))
            .collect();
        let found = !gone.is_empty();
        self.state.commit(gone).await?;
        Ok(found)
    }

    /// A path that opens without signing in: `/runbooks/imap-down?sig=…`; it may have a query. For links in pages.
    pub fn sign(&self, path: &str) -> String {
        let joint = if path.contains('?') { '&' } else { '?' };
        format!("{path}{joint}sig={}", self.signature(path))
    }

    /// Whether a path and query were made by [`Auth::sign`].
    pub fn is_signed(&self, path: &str) -> bool {
        let Some(at) = path.rfind("sig=").filter(|at| *at > 0) else { return false };
        let (signed, signature) = (&path[..at - 1], &path[at + 4..]);
        path[at - 1..].starts_with(['?', '&'])
            && bool::from(subtle::ConstantTimeEq::ct_eq(self.signature(signed).as_bytes(), signature.as_bytes()))
    }

    fn signature(&self, path: &str) -> String {
        let mut signer = self.signer.clone();
        signer.update(path.as_bytes());
        URL_SAFE_NO_PAD.encode(&signer.finalize().into_bytes()[..SIGNATURE_BYTES])
    }

    fn document<T: serde::de::DeserializeOwned>(&self, table: &str, key: &str) -> Result<Option<T>, StateError> {
        Ok(self.state.get(table, key)?.and_then(|value| serde_json::from_slice(&value).ok()))
    }

    fn documents<T: serde::de::DeserializeOwned>(
        &self,
        table: &str,
        limit: usize,
    ) -> Result<Vec<(String, T)>, StateError> {
        let all = self.state.scan(table, "", limit)?;
        Ok(all.into_iter().filter_map(|(key, value)| Some((key, serde_json::from_slice(&value).ok()?))).collect())
    }
}

impl Session {
    fn is_over(&self, now: Timestamp) -> bool {
        now >= self.seen_at + SESSION_IDLE_MAX || now >= self.began_at + SESSION_AGE_MAX
    }
}

/// What is kept of a secret. A plain digest is enough for 256 random bits: there is nothing to guess.
fn digest(secret: &str) -> String {
    Sha256::digest(secret.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use watchbell_model::MemoryState;
    use watchbell_runtime::sim;

    use super::*;

    fn secret_of(link: &str) -> &str {
        link.strip_prefix("/signin?token=").unwrap()
    }

    #[test]
    fn a_link_lets_in_once() {
        sim::run(1, |world| async move {
            let state = Arc::new(MemoryState::new());
            let auth = Auth::open(state.clone(), world.clock.clone(), world.rng.clone()).await.unwrap();
            let link = auth.issue_link().await.unwrap();
            let secret = secret_of(&link);
            assert_eq!(secret.len(), 43);
            assert!(auth.link_is_good(secret).unwrap() && auth.link_is_good(secret).unwrap());
            let session = auth.consume_link(secret, "browser", "127.0.0.1").await.unwrap().unwrap();
            assert!(auth.consume_link(secret, "browser", "127.0.0.1").await.unwrap().is_none());
            assert!(auth.session(&session).await.unwrap().is_some());
            assert!(auth.session("guessed").await.unwrap().is_none());
            // Nothing that lets in is on disk.
            for table in [LINKS, SESSIONS, KEYS] {
                for (key, value) in state.scan(table, "", 100).unwrap() {
                    let text = format!("{key} {}", String::from_utf8_lossy(&value));
                    assert!(!text.contains(&session) && !text.contains(secret));
                }
            }
        });
    }

    #[test]
    fn links_and_sessions_end() {
        sim::run(1, |world| async move {
            let clock = world.clock.clone();
            let auth = Auth::open(Arc::new(MemoryState::new()), clock.clone(), world.rng.clone()).await.unwrap();
            let link = auth.issue_link().await.unwrap();
            let first = auth.issue_first_link().await.unwrap().unwrap();
            clock.sleep(LINK_VALID).await;
            assert!(!auth.link_is_good(secret_of(&link)).unwrap());
            let session = auth.consume_link(secret_of(&first), "", "").await.unwrap().unwrap();
            assert_eq!(auth.issue_first_link().await.unwrap(), None);
            // Used every six days it lives on, until it is too old.
            for _ in 0..4 {
                clock.sleep(Duration::from_secs(6 * 86_400)).await;
                assert!(auth.session(&session).await.unwrap().is_some());
            }
            clock.sleep(Duration::from_secs(6 * 86_400)).await;
            assert!(auth.session(&session).await.unwrap().is_none());
            let link = auth.issue_link().await.unwrap();
            let idle = auth.consume_link(secret_of(&link), "", "").await.unwrap().unwrap();
            clock.sleep(SESSION_IDLE_MAX).await;
            assert!(auth.session(&idle).await.unwrap().is_none());
            assert_eq!(auth.sessions().unwrap(), []);
        });
    }

    #[test]
    fn sessions_are_bounded_and_can_be_ended() {
        sim::run(1, |world| async move {
            let auth = Auth::open(Arc::new(MemoryState::new()), world.clock.clone(), world.rng.clone()).await.unwrap();
            let mut last = String::new();
            for _ in 0..SESSIONS_MAX + 3 {
                let link = auth.issue_link().await.unwrap();
                last = auth.consume_link(secret_of(&link), "", "").await.unwrap().unwrap();
                world.clock.sleep(Duration::from_secs(1)).await;
            }
            assert_eq!(auth.sessions().unwrap().len(), SESSIONS_MAX);
            let session = auth.session(&last).await.unwrap().unwrap();
            auth.end_session(&session.id).await.unwrap();
            assert!(auth.session(&last).await.unwrap().is_none());
        });
    }

    #[test]
    fn tokens_are_named_and_can_be_taken_back() {
        sim::run(1, |world| async move {
            let auth = Auth::open(Arc::new(MemoryState::new()), world.clock.clone(), world.rng.clone()).await.unwrap();
            let token = auth.issue_token("grafana").await.unwrap();
            assert!(token.starts_with("wb_"));
            assert_eq!(auth.token(&token).unwrap().unwrap().name, "grafana");
            assert!(auth.token("wb_wrong").unwrap().is_none());
            assert!(matches!(auth.issue_token("grafana").await, Err(AuthError::NameTaken(_))));
            assert!(auth.revoke_token("grafana").await.unwrap() && !auth.revoke_token("grafana").await.unwrap());
            assert!(auth.token(&token).unwrap().is_none());
        });
    }

    #[test]
    fn a_signature_opens_one_path_across_restarts() {
        sim::run(1, |world| async move {
            let state = Arc::new(MemoryState::new());
            let open = || Auth::open(state.clone(), world.clock.clone(), world.rng.clone());
            let signed = open().await.unwrap().sign("/runbooks/imap-down");
            let with_query = open().await.unwrap().sign("/runbooks/stub?fingerprint=1");
            let again = open().await.unwrap();
            assert!(again.is_signed(&signed) && again.is_signed(&with_query));
            let other = signed.replace("imap-down", "other");
            for bad in [&other, "/runbooks/imap-down", "/runbooks/imap-down?sig=", &with_query.replace("=1&", "=2&")] {
                assert!(!again.is_signed(bad), "{bad}");
            }
        });
    }
}
