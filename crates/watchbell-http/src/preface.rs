//! Which HTTP a connection speaks: clients of HTTP/2 without TLS (gRPC's, above all) begin with a preface that no
//! request of HTTP/1 looks like.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// RFC 9113, section 3.4.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A stream whose first bytes were read already.
pub(crate) struct Begun<S> {
    read: [u8; PREFACE.len()],
    /// What of it was not handed on yet.
    from: usize,
    to: usize,
    stream: S,
}

impl<S: AsyncRead + Unpin> Begun<S> {
    /// Reads until it is known; says whether it is HTTP/2.
    pub(crate) async fn new(stream: S) -> io::Result<(Begun<S>, bool)> {
        let mut begun = Begun { read: [0; PREFACE.len()], from: 0, to: 0, stream };
        while begun.to < PREFACE.len() && begun.read[..begun.to] == PREFACE[..begun.to] {
            let count = begun.stream.read(&mut begun.read[begun.to..]).await?;
            if count == 0 {
                break;
            }
            begun.to += count;
        }
        let is_http2 = begun.read == *PREFACE;
        Ok((begun, is_http2))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Begun<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.from < self.to {
            let count = buf.remaining().min(self.to - self.from);
            buf.put_slice(&self.read[self.from..self.from + count]);
            self.from += count;
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Begun<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_read_is_read_again() {
        let whole = [&PREFACE[..], b"and more"].concat();
        for (sent, http2) in [
            (&whole[..], true),
            (b"PRI * HTTP/2.0\r\n\r\nSX\r\n\r\n", false),
            (b"POST / HTTP/1.1\r\n\r\n", false),
            (b"PRI", false),
            (b"", false),
        ] {
            let (begun, is_http2) = Begun::new(sent).await.unwrap();
            let mut read = Vec::new();
            Box::pin(begun).read_to_end(&mut read).await.unwrap();
            assert_eq!((&read[..], is_http2), (sent, http2));
        }
    }
}
