//! What is answered to a client that brings mail (RFC 5321). Pure: takes lines, says what to do.
//!
//! Mail is taken for heartbeats alone and goes nowhere else: whom no heartbeat has is refused at `RCPT`.

use crate::heartbeat::PingTarget;

/// To how many heartbeats one mail may be.
const RECIPIENTS_MAX: usize = 20;
/// How many commands may be wrong before the client is sent away.
const ERRORS_MAX: u32 = 10;
/// How many mails one connection may bring.
const MAILS_MAX: u32 = 100;
/// The longest address, in bytes (RFC 5321, 4.5.3.1.3).
const ADDRESS_MAX: usize = 256;

/// What a session is told of the outside.
pub(super) trait Door {
    /// Whether there is such a heartbeat.
    fn knows(&self, target: &PingTarget) -> bool;
    /// Whether this client may bring one more mail now.
    fn admits(&self) -> bool;
}

/// How a server presents itself.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    pub(super) hostname: String,
    /// Whose mail is taken; everybody's if it is empty.
    pub(super) domains: Vec<String>,
    pub(super) size_max: u64,
    pub(super) starttls: bool,
}

/// What to do after a command.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    Say(String),
    /// Say it and end.
    Last(String),
    /// Agree, and go on in secret.
    Starttls,
    /// Ask for the mail.
    Data,
}

/// A mail that is on its way in.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Envelope {
    pub(super) from: String,
    pub(super) to: Vec<PingTarget>,
}

/// A client's session.
#[derive(Debug, Default)]
pub(super) struct Session {
    greeted: bool,
    secret: bool,
    envelope: Option<Envelope>,
    errors: u32,
    mails: u32,
}

impl Session {
    /// Answers a command line without its end.
    pub(super) fn command(&mut self, line: &[u8], terms: &Terms, door: &dyn Door) -> Step {
        let step = self.answer(&String::from_utf8_lossy(line), terms, door);
        match step {
            Step::Say(words) if words.starts_with('5') => {
                self.errors += 1;
                if self.errors < ERRORS_MAX { Step::Say(words) } else { Step::Last("421 4.7.0 too many errors".into()) }
            }
            other => other,
        }
    }

    fn answer(&mut self, line: &str, terms: &Terms, door: &dyn Door) -> Step {
        let say = |words: &str| Step::Say(words.to_owned());
        let (verb, rest) = line.trim_end().split_once(' ').unwrap_or((line.trim_end(), ""));
        match verb.to_ascii_uppercase().as_str() {
            "HELO" => {
                (self.greeted, self.envelope) = (true, None);
                Step::Say(format!("250 {}", terms.hostname))
            }
            "EHLO" => {
                (self.greeted, self.envelope) = (true, None);
                let offered = if terms.starttls && !self.secret { "250-STARTTLS\r\n" } else { "" };
                Step::Say(format!(
                    "250-{}\r\n250-SIZE {}\r\n250-8BITMIME\r\n250-PIPELINING\r\n{offered}250 ENHANCEDSTATUSCODES",
                    terms.hostname, terms.size_max
                ))
            }
            "STARTTLS" if terms.starttls && !self.secret => Step::Starttls,
            "MAIL" if !self.greeted => say("503 5.5.1 say EHLO first"),
            "MAIL" if self.envelope.is_some() => say("503 5.5.1 one mail at a time"),
            "MAIL" => self.mail(rest, terms, door),
            "RCPT" => self.recipient(rest, terms, door),
            "DATA" => match &self.envelope {
                Some(envelope) if !envelope.to.is_empty() => Step::Data,
                _ => say("503 5.5.1 nobody is to have it"),
            },
            "RSET" => {
                self.envelope = None;
                say("250 2.0.0 OK")
            }
            "NOOP" => say("250 2.0.0 OK"),
            "VRFY" => say("252 2.1.5 send it and see"),
            "QUIT" => Step::Last(format!("221 2.0.0 {} ends", terms.hostname)),
            "BDAT" | "AUTH" | "EXPN" | "HELP" | "ETRN" | "STARTTLS" => say("502 5.5.1 that is not done here"),
            _ => say("500 5.5.2 no such command"),
        }
    }

    fn mail(&mut self, rest: &str, terms: &Terms, door: &dyn Door) -> Step {
        let Some((from, options)) = path(rest, "FROM:") else {
            return Step::Say("501 5.5.4 as `MAIL FROM:<address>`".into());
        };
        let sizes = options.split_whitespace().filter_map(|it| it.split_once('='));
        let size =
            sizes.filter(|(name, _)| name.eq_ignore_ascii_case("SIZE")).find_map(|(_, size)| size.parse::<u64>().ok());
        if size.is_some_and(|size| size > terms.size_max) {
            return Step::Say(format!("552 5.3.4 a mail has {} bytes at most", terms.size_max));
        }
        if self.mails >= MAILS_MAX || !door.admits() {
            return Step::Last("421 4.7.0 too many mails, come again later".into());
        }
        self.mails += 1;
        self.envelope = Some(Envelope { from: from.to_owned(), to: Vec::new() });
        Step::Say("250 2.1.0 OK".into())
    }

    fn recipient(&mut self, rest: &str, terms: &Terms, door: &dyn Door) -> Step {
        let Some(envelope) = &mut self.envelope else { return Step::Say("503 5.5.1 say MAIL first".into()) };
        let Some((to, _)) = path(rest, "TO:") else { return Step::Say("501 5.5.4 as `RCPT TO:<address>`".into()) };
        if envelope.to.len() >= RECIPIENTS_MAX {
            return Step::Say(format!("452 4.5.3 a mail goes to {RECIPIENTS_MAX} heartbeats at most"));
        }
        let (local, domain) = to.rsplit_once('@').unwrap_or((to, ""));
        let is_ours = terms.domains.is_empty() || terms.domains.iter().any(|it| it.eq_ignore_ascii_case(domain));
        match PingTarget::of_mailbox(local).filter(|target| is_ours && door.knows(target)) {
            Some(target) => {
                if !envelope.to.contains(&target) {
                    envelope.to.push(target);
                }
                Step::Say("250 2.1.5 OK".into())
            }
            None => Step::Say("550 5.1.1 there is no such heartbeat here, and mail goes nowhere else".into()),
        }
    }

    /// The mail that was asked for with [`Step::Data`]; the session goes on with the next one.
    pub(super) fn take(&mut self) -> Envelope {
        self.envelope.take().unwrap_or_default()
    }

    /// From here on everything is secret, and what was said before counts no more.
    pub(super) fn secured(&mut self) {
        *self = Session { secret: true, errors: self.errors, mails: self.mails, ..Session::default() };
    }
}

/// The address behind `FROM:` or `TO:`, without its `<>` and its route, and the options behind it.
fn path<'a>(rest: &'a str, word: &str) -> Option<(&'a str, &'a str)> {
    let begin = rest.get(..word.len()).filter(|begin| begin.eq_ignore_ascii_case(word))?;
    let rest = rest[begin.len()..].trim_start().strip_prefix('<')?;
    let (address, options) = rest.split_once('>')?;
    let address = address.strip_prefix('@').and_then(|route| route.split_once(':')).map_or(address, |(_, it)| it);
    (address.len() <= ADDRESS_MAX).then_some((address, options))
}
