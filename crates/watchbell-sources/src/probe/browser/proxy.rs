//! The only way out that a browser has: a SOCKS5 proxy (RFC 1928) on this host that connects as every monitor does.
//!
//! It resolves names itself and connects to the address it found, so `egress` judges the very address that is connected
//! to: neither a redirect, nor a script, nor a name that points elsewhere the next moment leads past it. Looking at the
//! addresses of requests in the browser would judge names that the browser then resolves anew.
//!
//! Invariant: no connection outlives the probe, whose future drives all of them.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Mutex;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use watchbell_runtime::{Listener, Net, NetError, Stream};

/// Connections at a time; further ones wait.
const CONNECTIONS_MAX: usize = 256;
/// Hosts of which it is remembered why there was no connection.
const REFUSED_MAX: usize = 20;

const VERSION: u8 = 5;
const CONNECT: u8 = 1;
const REFUSED_BY_RULES: u8 = 2;
const NO_ROUTE: u8 = 4;
const REFUSED: u8 = 5;
const UNKNOWN_COMMAND: u8 = 7;
const UNKNOWN_ADDRESS: u8 = 8;

/// The proxy of one browser.
pub(super) struct Proxy {
    listener: Listener,
    net: Net,
    /// By host, why the last connection to it failed, and whether it was forbidden.
    refused: Mutex<BTreeMap<String, (String, bool)>>,
}

impl Proxy {
    pub(super) async fn open(net: &Net) -> io::Result<Proxy> {
        let listener = net.listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
        Ok(Proxy { listener, net: net.clone(), refused: Mutex::default() })
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.listener.local_addr()
    }

    /// Why there was no connection to a host, if there was none.
    pub(super) fn why(&self, host: &str) -> Option<String> {
        self.refused.lock().expect("no panic while held").get(host).map(|(words, _)| words.clone())
    }

    /// Why hosts were forbidden, each once.
    pub(super) fn forbidden(&self) -> Vec<String> {
        let refused = self.refused.lock().expect("no panic while held");
        refused.values().filter(|(_, forbidden)| *forbidden).map(|(words, _)| words.clone()).collect()
    }

    /// Serves for as long as it is asked to go on.
    pub(super) async fn serve(&self) -> Infallible {
        let mut connections = FuturesUnordered::new();
        loop {
            tokio::select! {
                biased;
                Some(()) = connections.next() => {}
                taken = self.listener.accept(), if connections.len() < CONNECTIONS_MAX => match taken {
                    // Why it broke is for the browser to tell.
                    Ok((stream, _)) => connections.push(async { drop(self.pass(stream).await) }),
                    Err(error) => {
                        tracing::warn!(%error, "the proxy of a browser takes no connections any more");
                        return std::future::pending().await;
                    }
                },
            }
        }
    }

    async fn pass(&self, mut near: Stream) -> io::Result<()> {
        let mut head = [0; 2];
        near.read_exact(&mut head).await?;
        let mut methods = vec![0; usize::from(head[1])];
        near.read_exact(&mut methods).await?;
        if head[0] != VERSION || !methods.contains(&0) {
            return near.write_all(&[VERSION, 0xff]).await;
        }
        near.write_all(&[VERSION, 0]).await?;
        let mut request = [0; 4];
        near.read_exact(&mut request).await?;
        let [_, command, _, kind] = request;
        let host = match kind {
            1 => {
                let mut octets = [0; 4];
                near.read_exact(&mut octets).await?;
                IpAddr::from(octets).to_string()
            }
            3 => {
                let mut name = vec![0; usize::from(near.read_u8().await?)];
                near.read_exact(&mut name).await?;
                String::from_utf8_lossy(&name).into_owned()
            }
            4 => {
                let mut octets = [0; 16];
                near.read_exact(&mut octets).await?;
                Ipv6Addr::from(octets).to_string()
            }
            _ => return answer(&mut near, UNKNOWN_ADDRESS).await,
        };
        let port = near.read_u16().await?;
        if command != CONNECT {
            return answer(&mut near, UNKNOWN_COMMAND).await;
        }
        let mut far = match self.net.connect(&host, port).await {
            Ok(connection) => connection.stream,
            Err(error) => {
                let code = match &error {
                    NetError::Forbidden { .. } => REFUSED_BY_RULES,
                    NetError::Resolve { .. } => NO_ROUTE,
                    _ => REFUSED,
                };
                self.remember(host, &error);
                return answer(&mut near, code).await;
            }
        };
        self.refused.lock().expect("no panic while held").remove(&host);
        answer(&mut near, 0).await?;
        tokio::io::copy_bidirectional(&mut near, &mut far).await.map(drop)
    }

    fn remember(&self, host: String, error: &NetError) {
        let mut refused = self.refused.lock().expect("no panic while held");
        if refused.len() < REFUSED_MAX || refused.contains_key(&host) {
            refused.insert(host, (error.to_string(), matches!(error, NetError::Forbidden { .. })));
        }
    }
}

/// Says how it went; of the address that follows nobody makes use.
async fn answer(near: &mut Stream, code: u8) -> io::Result<()> {
    near.write_all(&[VERSION, code, 0, 1, 0, 0, 0, 0, 0, 0]).await?;
    near.flush().await
}

#[cfg(test)]
mod tests {
    use watchbell_runtime::sim;
    use watchbell_runtime::{Egress, Range};

    use super::*;

    /// What a browser hears that asks for `request`, and then says `hello` to an echo.
    fn ask(greeting: &'static [u8], request: &'static [u8]) -> (Vec<u8>, Option<String>) {
        sim::run(1, |world| async move {
            world.net.serve("echo.example", 80, |mut stream| async move {
                let mut heard = [0; 5];
                let _ = stream.read_exact(&mut heard).await;
                let _ = stream.write_all(&heard).await;
            });
            let net = world.runtime().net;
            // Simulated hosts have private addresses.
            let allow: Vec<Range> = vec!["10.0.0.0/8".parse().unwrap()];
            let proxy = Proxy::open(&net.guarded(Egress { allow })).await.unwrap();
            let browser = async {
                let mut near = net.connect("127.0.0.1", proxy.address().port()).await.unwrap().stream;
                near.write_all(greeting).await.unwrap();
                near.write_all(request).await.unwrap();
                near.write_all(b"hello").await.unwrap();
                let mut heard = Vec::new();
                let _ = near.read_to_end(&mut heard).await;
                heard
            };
            tokio::select! {
                biased;
                heard = browser => (heard, proxy.forbidden().pop().or(proxy.why("nowhere.example"))),
                never = proxy.serve() => match never {},
            }
        })
    }

    #[test]
    fn connections_are_made_as_monitors_make_them() {
        let good = b"\x05\x00\x05\x00\x00\x01\0\0\0\0\0\0hello";
        assert_eq!(ask(b"\x05\x01\x00", b"\x05\x01\x00\x03\x0cecho.example\x00\x50"), (good.to_vec(), None));
        let (heard, why) = ask(b"\x05\x02\x02\x00", b"\x05\x01\x00\x03\x0fnowhere.example\x00\x50");
        assert_eq!((heard[3], why.unwrap().contains("does not resolve")), (NO_ROUTE, true));
        for private in [&b"\x05\x01\x00\x01\xa9\xfe\xa9\xfe\x00\x50"[..], b"\x05\x01\x00\x03\x09127.0.0.1\x00\x50"] {
            let (heard, why) = ask(b"\x05\x01\x00", private);
            assert_eq!((heard[3], why.unwrap().contains("`egress` does not allow")), (REFUSED_BY_RULES, true));
        }
    }

    #[test]
    fn what_is_not_asked_as_browsers_ask_is_refused() {
        assert_eq!(ask(b"\x04\x01\x00", b"").0, b"\x05\xff");
        assert_eq!(ask(b"\x05\x01\x02", b"").0, b"\x05\xff");
        // To listen, and an address of no known kind.
        assert_eq!(ask(b"\x05\x01\x00", b"\x05\x02\x00\x01\x7f\0\0\x01\x00\x50").0[3], UNKNOWN_COMMAND);
        assert_eq!(ask(b"\x05\x01\x00", b"\x05\x01\x00\x09").0[3], UNKNOWN_ADDRESS);
    }
}
