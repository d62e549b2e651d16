//! A message's whole way: submitted by SMTP, found by IMAP, measured, deleted.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use watchbell_model::{Path, Problems, Span};

use super::attempt::{Attempt, Failure};
use super::dialogue::Dialogue;
use super::imap::{self, ImapConfig};
use super::kinds::{Kind, Probing};
use super::smtp::{self, SmtpConfig};

/// What the subject of each message begins with, so that those that came too late are found and deleted, too.
const SUBJECT: &str = "watchbell round trip";
/// How often it is looked whether the message has come.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// How many messages are deleted at once.
const DELETED_MAX: usize = 50;
/// More often nobody wants to get mail.
const INTERVAL_MIN: Span = Span::seconds(30);

/// A message that is submitted and must arrive: proves the queue, the filters and the delivery, too. The time it takes
/// is the monitor's; give it a `timeout` that mail may take, such as `1m`, and a mailbox of its own.
#[derive(Debug, Clone, PartialEq, Hash, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MailRoundtripConfig {
    /// The sender's address.
    pub from: String,
    /// The address of the mailbox that `imap` opens.
    pub to: String,
    /// Where it is submitted.
    pub smtp: SmtpConfig,
    /// Where it must arrive; it needs a `login`.
    pub imap: ImapConfig,
    /// The mailbox in which it must arrive.
    #[serde(default = "MailRoundtripConfig::default_mailbox")]
    pub mailbox: String,
}

impl MailRoundtripConfig {
    fn default_mailbox() -> String {
        "INBOX".into()
    }

    async fn submit(&self, dialogue: &mut Dialogue<'_, '_>, token: &str, date: &str) -> Result<String, Failure> {
        self.smtp.talk(dialogue).await?;
        smtp::command(dialogue, &format!("MAIL FROM:<{}>", self.from), 250, "MAIL FROM").await?;
        dialogue.send(&format!("RCPT TO:<{}>", self.to)).await?;
        let reply = dialogue.smtp_reply("the answer to RCPT TO").await?;
        if matches!(reply.code, 450 | 451) {
            return Err(Failure(format!(
                "the server puts the message off (greylisting?): `{}`",
                dialogue.shown(&reply.text())
            )));
        }
        smtp::expect(reply, 250, "250 to RCPT TO")?;
        smtp::command(dialogue, "DATA", 354, "DATA").await?;
        let host = self.from.rsplit('@').next().unwrap_or_default();
        let message = format!(
            "Date: {date}\r\nFrom: <{}>\r\nTo: <{}>\r\nSubject: {SUBJECT} {token}\r\nMessage-ID: <{token}@{host}>\r\n\
             Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n\
             watchbell sent this to find it again. It deletes it.\r\n.\r\n",
            self.from, self.to
        );
        dialogue.send_all(&message, "the message").await?;
        let reply = dialogue.smtp_reply("the answer to the message").await?;
        smtp::expect(reply, 250, "250 to the message").map(|reply| dialogue.shown(&reply.text()))
    }

    /// Looks until the message is there; deletes it, and what came too late before.
    async fn find(&self, dialogue: &mut Dialogue<'_, '_>, token: &str) -> Result<(), Failure> {
        self.imap.talk(dialogue).await?;
        let mailbox = self.mailbox.replace('\\', "\\\\").replace('"', "\\\"");
        let mut round = 0;
        let uids = loop {
            round += 1;
            // To open it anew shows what has come on every server.
            imap::command(dialogue, &format!("m{round}"), &format!("SELECT \"{mailbox}\""), "SELECT").await?;
            let search = |words: &str| format!("UID SEARCH UNDELETED SUBJECT \"{SUBJECT}{words}\"");
            let found = imap::command(dialogue, &format!("s{round}"), &search(&format!(" {token}")), "SEARCH").await?;
            if !uids(&found).is_empty() {
                let all = imap::command(dialogue, &format!("t{round}"), &search(""), "SEARCH").await?;
                break uids(&all);
            }
            dialogue.pause("the message to arrive", LOOK_AGAIN).await?;
        };
        let list: Vec<String> = uids.iter().take(DELETED_MAX).map(u64::to_string).collect();
        let store = format!("UID STORE {} +FLAGS.SILENT (\\Deleted)", list.join(","));
        imap::command(dialogue, "u", &store, "STORE").await?;
        imap::command(dialogue, "v", "EXPUNGE", "EXPUNGE").await?;
        Ok(())
    }
}

impl Kind for MailRoundtripConfig {
    fn target(&self) -> String {
        self.to.clone()
    }

    fn check(&self, path: &Path, problems: &mut Problems) {
        for (field, address) in [("from", &self.from), ("to", &self.to)] {
            let parts = address.split('@').collect::<Vec<_>>();
            let is_address = parts.len() == 2 && parts.iter().all(|part| !part.is_empty());
            if !is_address || address.contains(|c: char| c.is_whitespace() || c.is_control() || "<>".contains(c)) {
                problems
                    .error(&path.field(field), format!("`{address}` is not an address of mail"))
                    .hint("such as `probe@example.org`");
            }
        }
        self.smtp.check(&path.field("smtp"), problems);
        self.imap.check(&path.field("imap"), problems);
        if self.imap.login.is_none() {
            problems.error(&path.field("imap"), "nobody signs in").hint("a mailbox opens with a `login` only");
        }
        if self.mailbox.is_empty() || self.mailbox.chars().any(char::is_control) {
            problems.error(&path.field("mailbox"), "it is not a mailbox").hint("usually `INBOX`");
        }
    }

    fn anchor(&mut self, base: &std::path::Path) {
        self.smtp.anchor(base);
        self.imap.anchor(base);
    }

    fn interval_min(&self) -> Span {
        INTERVAL_MIN
    }

    fn described(&self) -> &'static [(&'static str, &'static str)] {
        &[("probe_mail_roundtrip_seconds", "How long the submission and the delivery of a message took.")]
    }

    fn probe<'a>(&'a self, attempt: &'a mut Attempt<'_>) -> Probing<'a> {
        Box::pin(async move {
            let clock = attempt.runtime.clock.clone();
            let token = attempt.runtime.rng.uuid();
            let date = mail_date(clock.now());
            let begun = clock.monotonic();
            let stream = attempt.connect(&self.smtp.host, self.smtp.port()).await?;
            let mut dialogue = Dialogue::new(attempt, stream);
            let result = self.submit(&mut dialogue, &token, &date).await;
            let named = |part: &str, Failure(words): Failure| Failure(format!("{part}: {words}"));
            dialogue.finish("QUIT", result).await.map_err(|it| named("submission", it))?;
            attempt.go_on();
            let submitted = clock.monotonic();
            attempt.sample("probe_mail_roundtrip_seconds", &[("phase", "submit")], (submitted - begun).as_secs_f64());
            let stream =
                attempt.connect(&self.imap.host, self.imap.port()).await.map_err(|it| named("delivery", it))?;
            let mut dialogue = Dialogue::new(attempt, stream);
            let result = self.find(&mut dialogue, &token).await;
            let took = clock.monotonic() - submitted;
            let words = format!("the message arrived {:.1} s after its submission", took.as_secs_f64());
            let result = dialogue.finish("z LOGOUT", result.map(|()| words)).await;
            if result.is_ok() {
                attempt.sample("probe_mail_roundtrip_seconds", &[("phase", "delivery")], took.as_secs_f64());
            }
            result.map_err(|it| named("delivery", it))
        })
    }
}

/// The numbers in `* SEARCH 1 2 3`.
fn uids(untagged: &[String]) -> Vec<u64> {
    let lists = untagged.iter().filter_map(|line| {
        let (word, numbers) = line.split_once(' ').unwrap_or((line, ""));
        word.eq_ignore_ascii_case("SEARCH").then_some(numbers)
    });
    lists.flat_map(|numbers| numbers.split_whitespace().filter_map(|it| it.parse().ok())).collect()
}

/// As RFC 5322 writes it: `Mon, 05 Jan 2026 00:00:00 +0000`.
fn mail_date(at: watchbell_model::Timestamp) -> String {
    let at = jiff::Timestamp::from_millisecond(at.as_millis()).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    at.to_zoned(jiff::tz::TimeZone::UTC).strftime("%a, %d %b %Y %H:%M:%S %z").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_mail() {
        let at = watchbell_model::Timestamp::parse_rfc3339("2026-01-05T01:02:03Z").unwrap();
        assert_eq!(mail_date(at), "Mon, 05 Jan 2026 01:02:03 +0000");
    }

    #[test]
    fn numbers_of_a_search() {
        let lines = ["SEARCH 4 7".to_owned(), "3 EXISTS".to_owned(), "SEARCH".to_owned()];
        assert_eq!(uids(&lines), [4, 7]);
    }
}
