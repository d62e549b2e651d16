//! One engine for every protocol in which a server and its client exchange messages of known lengths.
//!
//! Invariants: each step ends by the probe's deadline, and its message says what was waited for; nothing longer than
//! [`MESSAGE_BYTES_MAX`] is read.

use std::io::ErrorKind;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use watchbell_runtime::Stream;

use super::attempt::{Attempt, Failure, Trust};

/// The longest message that is read.
pub(crate) const MESSAGE_BYTES_MAX: usize = 256 << 10;

/// A talk with a server under way.
pub(crate) struct Wire<'a, 'r> {
    pub(crate) attempt: &'a mut Attempt<'r>,
    stream: Stream,
}

impl<'a, 'r> Wire<'a, 'r> {
    pub(crate) fn new(attempt: &'a mut Attempt<'r>, stream: Stream) -> Wire<'a, 'r> {
        attempt.talks();
        Wire { attempt, stream }
    }

    /// Sends a message; `what` completes the sentence "the connection broke while sending …".
    pub(crate) async fn send(&mut self, bytes: &[u8], what: &str) -> Result<(), Failure> {
        let stream = &mut self.stream;
        let sent = self.attempt.within("the server to take what is sent", async {
            stream.write_all(bytes).await?;
            stream.flush().await
        });
        let sent = sent.await?;
        sent.map_err(|error| Failure(format!("the connection broke while sending {what}: {error}")))
    }

    /// Reads so many bytes.
    pub(crate) async fn take(&mut self, count: usize, waiting_for: &str) -> Result<Vec<u8>, Failure> {
        if count > MESSAGE_BYTES_MAX {
            return Err(Failure(format!("expected {waiting_for}, but the server announces {count} bytes")));
        }
        let mut bytes = vec![0; count];
        match self.attempt.within(waiting_for, self.stream.read_exact(&mut bytes)).await? {
            Ok(_) => Ok(bytes),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                Err(Failure(format!("the server closed the connection instead of sending {waiting_for}")))
            }
            Err(error) => Err(Failure(format!("the connection broke while waiting for {waiting_for}: {error}"))),
        }
    }

    /// Reads one byte.
    pub(crate) async fn byte(&mut self, waiting_for: &str) -> Result<u8, Failure> {
        Ok(self.take(1, waiting_for).await?[0])
    }

    /// Changes to TLS.
    pub(crate) async fn secure(&mut self, trust: Trust<'_>) -> Result<(), Failure> {
        let stream = std::mem::replace(&mut self.stream, Box::new(tokio::io::empty()));
        self.stream = self.attempt.secure(stream, trust).await?;
        Ok(())
    }
}

/// What a server says, read from the front. Past the end there is nothing but zeros and empty texts: whoever reads a
/// message looks at what it got, and never fails on what is missing.
pub(crate) struct Message<'a>(pub(crate) &'a [u8]);

impl<'a> Message<'a> {
    /// So many bytes, or fewer at the end.
    pub(crate) fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    /// A big-endian number.
    pub(crate) fn be(&mut self, bytes: usize) -> u64 {
        self.take(bytes).iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    /// A little-endian number.
    pub(crate) fn le(&mut self, bytes: usize) -> u64 {
        self.take(bytes).iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    /// A text that ends in a zero, or with the message.
    pub(crate) fn text(&mut self) -> String {
        let end = self.0.iter().position(|byte| *byte == 0).unwrap_or(self.0.len());
        let text = String::from_utf8_lossy(&self.0[..end]).into_owned();
        self.take(end + 1);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read_from_the_front_and_never_past_the_end() {
        let mut message = Message(b"\x01\x02\x03name\x00\x04rest");
        assert_eq!((message.byte(), message.be(2)), (1, 0x0203));
        assert_eq!(message.text(), "name");
        assert_eq!(message.byte(), 4);
        assert_eq!(message.text(), "rest");
        assert_eq!((message.byte(), message.le(4), message.text().as_str()), (0, 0, ""));
        assert_eq!(Message(b"\x01\x02\x03").le(3), 0x03_0201);
    }
}
