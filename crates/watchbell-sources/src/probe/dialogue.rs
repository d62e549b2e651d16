//! One engine for every protocol in which a server and its client talk in lines.
//!
//! Reads lines however they are split over packets, whether they end in CRLF or LF; SMTP replies of many lines; IMAP
//! responses with literals. Sends CRLF, always. Changes to TLS in the middle. Keeps the last lines of the talk for the
//! message of a probe that fails.
//!
//! Invariants: each step ends by the probe's deadline; nothing a server sends is kept beyond [`LINE_BYTES_MAX`],
//! [`REPLY_BYTES_MAX`] and [`REPLY_LINES_MAX`]; what came before a TLS handshake never counts as said under TLS;
//! a hidden word never gets into a message.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use watchbell_runtime::Stream;

use super::attempt::{Attempt, Failure, Trust};

/// The longest line a server may send.
pub(crate) const LINE_BYTES_MAX: usize = 8 << 10;
/// The longest reply to one command, literals included.
pub(crate) const REPLY_BYTES_MAX: usize = 64 << 10;
/// The most lines of a reply to one command.
pub(crate) const REPLY_LINES_MAX: usize = 128;

/// How much of the talk a message repeats.
const TRANSCRIPT_LINES_MAX: usize = 4;
/// How much of a line a message repeats, in characters.
const SHOWN_CHARS_MAX: usize = 160;
/// How long a server may take to say goodbye; the probe's result is known by then.
const FAREWELL_MAX: Duration = Duration::from_millis(300);

/// A talk with a server under way.
pub(crate) struct Dialogue<'a, 'r> {
    attempt: &'a mut Attempt<'r>,
    stream: Stream,
    lines: Lines,
    transcript: VecDeque<String>,
    hidden: Vec<String>,
    reply_bytes: usize,
    reply_lines: usize,
}

/// A whole SMTP reply.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SmtpReply {
    pub(crate) code: u16,
    /// What stands after the code, line by line.
    pub(crate) lines: Vec<String>,
}

/// One response of an IMAP server, with its literals put in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ImapResponse {
    /// `* …`
    Untagged(String),
    /// `+ …`: go on.
    Continue,
    /// The end of the command with this tag: `OK`, `NO` or `BAD`, and the words after it.
    Tagged { tag: String, status: String, text: String },
}

impl<'a, 'r> Dialogue<'a, 'r> {
    pub(crate) fn new(attempt: &'a mut Attempt<'r>, stream: Stream) -> Dialogue<'a, 'r> {
        attempt.talks();
        Dialogue {
            attempt,
            stream,
            lines: Lines::default(),
            transcript: VecDeque::new(),
            hidden: Vec::new(),
            reply_bytes: 0,
            reply_lines: 0,
        }
    }

    /// From now on this word is never shown, not even if the server repeats it.
    pub(crate) fn hide(&mut self, word: &str) {
        if !word.is_empty() {
            self.hidden.push(word.to_owned());
        }
    }

    /// Sends a line.
    pub(crate) async fn send(&mut self, line: &str) -> Result<(), Failure> {
        self.send_all(&format!("{line}\r\n"), line).await
    }

    /// Waits for a while, with a sentence for when the time is up meanwhile.
    pub(crate) async fn pause(&mut self, waiting_for: &str, time: Duration) -> Result<(), Failure> {
        let clock = self.attempt.runtime.clock.clone();
        self.attempt.within(waiting_for, clock.sleep(time)).await
    }

    /// Reads a line, without its end.
    pub(crate) async fn line(&mut self, waiting_for: &str) -> Result<String, Failure> {
        let line = self.raw_line(waiting_for).await?;
        self.note('<', &line);
        Ok(line)
    }

    /// Reads an SMTP reply to its last line.
    pub(crate) async fn smtp_reply(&mut self, waiting_for: &str) -> Result<SmtpReply, Failure> {
        let mut reply: Option<SmtpReply> = None;
        loop {
            let line = self.line(waiting_for).await?;
            let Some((code, more, text)) = smtp_line(&line) else {
                return Err(Failure(format!("expected {waiting_for}, but the server sent `{}`", self.shown(&line))));
            };
            let whole = reply.get_or_insert(SmtpReply { code, lines: Vec::new() });
            if whole.code != code {
                return Err(Failure(format!("{waiting_for} has two codes, {} and {code}", whole.code)));
            }
            whole.lines.push(text.to_owned());
            if !more {
                return Ok(reply.expect("a line was put in"));
            }
        }
    }

    /// Reads an IMAP response with its literals.
    pub(crate) async fn imap_response(&mut self, waiting_for: &str) -> Result<ImapResponse, Failure> {
        let mut line = self.raw_line(waiting_for).await?;
        while let Some(length) = literal_length(&line) {
            let literal = self.literal(length, waiting_for).await?;
            line.push_str(&literal);
            line.push_str(&self.raw_line(waiting_for).await?);
        }
        self.note('<', &line);
        let broken = |dialogue: &Self| {
            Failure(format!("expected {waiting_for}, but the server sent `{}`", dialogue.shown(&line)))
        };
        if line == "+" || line.starts_with("+ ") {
            return Ok(ImapResponse::Continue);
        }
        if let Some(text) = line.strip_prefix("* ") {
            return Ok(ImapResponse::Untagged(text.to_owned()));
        }
        let mut words = line.splitn(3, ' ');
        let (tag, status, text) =
            (words.next().unwrap_or(""), words.next().unwrap_or("").to_ascii_uppercase(), words.next().unwrap_or(""));
        if !matches!(status.as_str(), "OK" | "NO" | "BAD") {
            return Err(broken(self));
        }
        Ok(ImapResponse::Tagged { tag: tag.to_owned(), status, text: text.to_owned() })
    }

    /// Changes to TLS. What the server has sent beyond its consent is refused: somebody on the way could have put it
    /// there (CVE-2011-0411 the other way round).
    pub(crate) async fn secure(&mut self, trust: Trust<'_>) -> Result<(), Failure> {
        if !self.lines.is_empty() {
            return Err(Failure::new("the server sent more before the TLS handshake than was asked for"));
        }
        let stream = std::mem::replace(&mut self.stream, Box::new(tokio::io::empty()));
        self.stream = self.attempt.secure(stream, trust).await?;
        Ok(())
    }

    /// Sends what is no line, such as a whole message; `shown` stands for it in messages.
    pub(crate) async fn send_all(&mut self, wire: &str, shown: &str) -> Result<(), Failure> {
        self.note('>', shown);
        let stream = &mut self.stream;
        let sent = self.attempt.within("the server to take a line", async {
            stream.write_all(wire.as_bytes()).await?;
            stream.flush().await
        });
        let sent = sent.await?;
        (self.reply_bytes, self.reply_lines) = (0, 0);
        sent.map_err(|error| Failure(format!("the connection broke while sending `{}`: {error}", self.shown(shown))))
    }

    /// As [`Dialogue::finish`], for protocols in which nobody says goodbye.
    pub(crate) fn hang_up(self, result: Result<String, Failure>) -> Result<String, Failure> {
        self.attempt.stop_the_watch();
        let transcript: Vec<String> = self.transcript.iter().cloned().collect();
        match result {
            Ok(words) => Ok(self.redacted(&words)),
            Err(Failure(words)) => Err(Failure(with_talk(self.redacted(&words), &transcript))),
        }
    }

    /// Ends the talk: the probe's time stops here, the server is told goodbye, and the message gets the last lines of
    /// the talk if the probe failed.
    pub(crate) async fn finish(mut self, goodbye: &str, result: Result<String, Failure>) -> Result<String, Failure> {
        self.attempt.stop_the_watch();
        let transcript: Vec<String> = self.transcript.iter().cloned().collect();
        let patience = FAREWELL_MAX.min(self.attempt.remaining());
        let clock = self.attempt.runtime.clock.clone();
        let farewell = async {
            if self.send(goodbye).await.is_ok() {
                let _ = self.line("goodbye").await;
            }
        };
        // Whether a server says goodbye changes nothing of what was found.
        let _ = clock.timeout(patience, farewell).await;
        match result {
            Ok(words) => Ok(self.redacted(&words)),
            Err(Failure(words)) => Err(Failure(with_talk(self.redacted(&words), &transcript))),
        }
    }

    /// A line as a message may repeat it.
    pub(crate) fn shown(&self, line: &str) -> String {
        shown(&self.redacted(line))
    }

    fn redacted(&self, text: &str) -> String {
        self.hidden.iter().fold(text.to_owned(), |text, word| text.replace(word, "<secret>"))
    }

    fn note(&mut self, direction: char, line: &str) {
        if self.transcript.len() == TRANSCRIPT_LINES_MAX {
            self.transcript.pop_front();
        }
        self.transcript.push_back(format!("{direction} {}", self.shown(line)));
    }

    async fn raw_line(&mut self, waiting_for: &str) -> Result<String, Failure> {
        self.reply_lines += 1;
        if self.reply_lines > REPLY_LINES_MAX {
            return Err(Failure(format!("the server sent more than {REPLY_LINES_MAX} lines as {waiting_for}")));
        }
        loop {
            match self.lines.pop() {
                Err(LineTooLong) => {
                    return Err(Failure(format!(
                        "the server sent a line longer than {LINE_BYTES_MAX} bytes as {waiting_for}"
                    )));
                }
                Ok(Some(line)) => {
                    self.count(line.len(), waiting_for)?;
                    return Ok(String::from_utf8_lossy(&line).into_owned());
                }
                Ok(None) => self.read_more(waiting_for).await?,
            }
        }
    }

    /// Reads so many bytes as text.
    pub(crate) async fn literal(&mut self, length: usize, waiting_for: &str) -> Result<String, Failure> {
        self.count(length, waiting_for)?;
        loop {
            if let Some(bytes) = self.lines.take(length) {
                return Ok(String::from_utf8_lossy(&bytes).into_owned());
            }
            self.read_more(waiting_for).await?;
        }
    }

    fn count(&mut self, bytes: usize, waiting_for: &str) -> Result<(), Failure> {
        self.reply_bytes = self.reply_bytes.saturating_add(bytes);
        if self.reply_bytes > REPLY_BYTES_MAX {
            return Err(Failure(format!("the server sent more than {REPLY_BYTES_MAX} bytes as {waiting_for}")));
        }
        Ok(())
    }

    async fn read_more(&mut self, waiting_for: &str) -> Result<(), Failure> {
        let mut chunk = [0; 4096];
        match self.attempt.within(waiting_for, self.stream.read(&mut chunk)).await? {
            Ok(count) if count > 0 => {
                self.lines.push(&chunk[..count]);
                Ok(())
            }
            // TLS that ends without saying so is reported as an error.
            Err(error) if error.kind() != ErrorKind::UnexpectedEof => {
                Err(Failure(format!("the connection broke while waiting for {waiting_for}: {error}")))
            }
            _ if self.lines.is_empty() => {
                Err(Failure(format!("the server closed the connection instead of sending {waiting_for}")))
            }
            _ => Err(Failure(format!("the server closed the connection in the middle of {waiting_for}"))),
        }
    }
}

impl SmtpReply {
    /// The reply on one line.
    pub(crate) fn text(&self) -> String {
        format!("{} {}", self.code, self.lines.join(" / ")).trim_end().to_owned()
    }
}

/// Adds the last lines of the talk to what went wrong, but for those that are told already.
fn with_talk(words: String, transcript: &[String]) -> String {
    let is_news = |line: &&String| line.strip_prefix("< ").is_none_or(|text| !words.contains(text));
    let talk: Vec<&str> = transcript.iter().filter(is_news).map(String::as_str).collect();
    if talk.is_empty() { words } else { format!("{words} [{}]", talk.join(" | ")) }
}

/// A line as a message may repeat it: short, and without characters that would change a terminal or a page.
pub(crate) fn shown(line: &str) -> String {
    let mut short: String =
        line.chars().take(SHOWN_CHARS_MAX).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if line.chars().nth(SHOWN_CHARS_MAX).is_some() {
        short.push('…');
    }
    short
}

/// The code of a line of an SMTP reply, whether more lines follow, and the words after it.
fn smtp_line(line: &str) -> Option<(u16, bool, &str)> {
    let digits = line.get(..3).filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))?;
    let code = digits.parse().ok().filter(|code| (200..600).contains(code))?;
    match line.as_bytes().get(3) {
        None => Some((code, false, "")),
        Some(b' ') => Some((code, false, &line[4..])),
        Some(b'-') => Some((code, true, &line[4..])),
        Some(_) => None,
    }
}

/// The length of the literal that follows a line: `… {123}`.
fn literal_length(line: &str) -> Option<usize> {
    let (_, length) = line.strip_suffix('}')?.rsplit_once('{')?;
    if length.is_empty() || !length.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    // A number too long to be read is too long to be taken, too.
    Some(length.parse().unwrap_or(usize::MAX))
}

/// Bytes that came, and the lines in them.
#[derive(Default)]
struct Lines {
    bytes: Vec<u8>,
    /// Up to here there is no line feed.
    searched: usize,
}

struct LineTooLong;

impl Lines {
    fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The next line without CRLF or LF, if all of it came.
    fn pop(&mut self) -> Result<Option<Vec<u8>>, LineTooLong> {
        let end = self.bytes[self.searched..].iter().position(|byte| *byte == b'\n').map(|at| self.searched + at);
        if end.unwrap_or(self.bytes.len()) > LINE_BYTES_MAX {
            return Err(LineTooLong);
        }
        let Some(end) = end else {
            self.searched = self.bytes.len();
            return Ok(None);
        };
        let mut line: Vec<u8> = self.bytes.drain(..=end).collect();
        self.searched = 0;
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Ok(Some(line))
    }

    /// So many bytes, if they all came.
    fn take(&mut self, count: usize) -> Option<Vec<u8>> {
        if self.bytes.len() < count {
            return None;
        }
        self.searched = 0;
        Some(self.bytes.drain(..count).collect())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_of_smtp_replies() {
        assert_eq!(smtp_line("250-STARTTLS"), Some((250, true, "STARTTLS")));
        assert_eq!(smtp_line("250 STARTTLS"), Some((250, false, "STARTTLS")));
        assert_eq!(smtp_line("250"), Some((250, false, "")));
        for bad in ["", "25", "2500", "999 x", "25x y", "100 x", "HTTP/1.1 400 Bad Request", "250\u{e9}"] {
            assert_eq!(smtp_line(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn lengths_of_literals() {
        assert_eq!(literal_length("* OK {12}"), Some(12));
        assert_eq!(literal_length("* OK {99999999999999999999999}"), Some(usize::MAX));
        for none in ["* OK", "* OK {}", "* OK {1x}", "{12", "12}"] {
            assert_eq!(literal_length(none), None, "{none}");
        }
    }

    proptest! {
        /// However the bytes are split over packets, the lines are the same.
        #[test]
        fn packets_do_not_matter(lines in proptest::collection::vec("[ -~]{0,40}", 0..8), cuts in proptest::collection::vec(1_usize..7, 1..20), crlf: bool) {
            let wire: String = lines.iter().map(|line| format!("{line}{}", if crlf { "\r\n" } else { "\n" })).collect();
            let mut rest = wire.as_bytes();
            let mut buffer = Lines::default();
            let mut got = Vec::new();
            for cut in cuts.iter().cycle() {
                let (now, later) = rest.split_at((*cut).min(rest.len()));
                buffer.push(now);
                while let Ok(Some(line)) = buffer.pop() {
                    got.push(String::from_utf8(line).unwrap());
                }
                rest = later;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(got, lines);
            prop_assert!(buffer.is_empty());
        }
    }
}
