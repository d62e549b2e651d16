//! The network: names, connections, listeners; the machine's or a simulated one.

mod datagrams;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::Clock;
use crate::addresses::Addresses;
use crate::egress::Egress;
use crate::sim::SimNet;

pub use datagrams::{Datagrams, EchoOptions};

/// Bytes both ways.
pub trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// A connection's bytes, whatever carries them.
pub type Stream = Box<dyn Io>;

/// The network.
#[derive(Clone)]
pub struct Net {
    clock: Clock,
    kind: Kind,
    /// What names last resolved to, if that stands in for a resolver that does not answer.
    known: Option<Addresses>,
    egress: Option<Arc<Egress>>,
    /// From which of our addresses.
    source: Option<IpAddr>,
}

#[derive(Clone)]
enum Kind {
    Os,
    Sim(Arc<SimNet>),
}

/// A connection that was made, and how long each part of making it took.
pub struct Connection {
    /// Its bytes.
    pub stream: Stream,
    /// The address that answered.
    pub peer: SocketAddr,
    /// Time spent on the name.
    pub resolve: Duration,
    /// Time spent on the connection.
    pub connect: Duration,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// The name has no address, or no resolver answered.
    #[error("the name `{host}` does not resolve: {reason}")]
    Resolve {
        /// The name.
        host: String,
        /// What the resolver said.
        reason: String,
    },
    /// No address of it took the connection.
    #[error("{address} refuses the connection: {reason}")]
    Connect {
        /// The address that was tried last.
        address: SocketAddr,
        /// What the system said.
        reason: String,
    },
    /// The address is one that may not be connected to.
    #[error("{address} may not be connected to: it is a private address that `egress` does not allow")]
    Forbidden {
        /// Which.
        address: IpAddr,
    },
    /// A socket of this machine took no connection.
    #[error("the socket {path} cannot be connected to: {reason}")]
    Socket {
        /// Where it is.
        path: String,
        /// What the system said.
        reason: String,
    },
}

impl NetError {
    pub(crate) fn socket(path: &Path, error: &io::Error) -> NetError {
        NetError::Socket { path: path.display().to_string(), reason: io_words(error) }
    }
}

/// How long one address is tried before the next one is tried beside it, if there is a next one (RFC 8305 has 250 ms).
const ADDRESS_PATIENCE: Duration = Duration::from_millis(300);
/// How long a resolver may take where there are addresses to fall back on.
const RESOLVER_PATIENCE: Duration = Duration::from_secs(2);
/// How many addresses of a name are tried.
const ADDRESSES_MAX: usize = 8;

impl Net {
    /// The machine's.
    pub fn os(clock: Clock) -> Net {
        Net { clock, kind: Kind::Os, known: None, egress: None, source: None }
    }

    /// A simulated one.
    pub fn sim(clock: Clock, net: Arc<SimNet>) -> Net {
        Net { clock, kind: Kind::Sim(net), known: None, egress: None, source: None }
    }

    /// The same network, in which a name that does not resolve, or not within two seconds, has the addresses it had
    /// last. For what must arrive; what judges others must see what is.
    pub fn remembering(&self, known: Addresses) -> Net {
        Net { known: Some(known), ..self.clone() }
    }

    /// The same network, of which only these addresses can be reached. What counts is the address itself at the moment
    /// of each connection, whatever name or redirect has led to it.
    pub fn guarded(&self, egress: Egress) -> Net {
        Net { egress: Some(Arc::new(egress)), ..self.clone() }
    }

    /// The same network, from this address of ours.
    pub fn from_source(&self, source: IpAddr) -> Net {
        Net { source: Some(source), ..self.clone() }
    }

    fn allows(&self, address: IpAddr) -> bool {
        self.egress.as_ref().is_none_or(|egress| egress.allows(address))
    }

    /// The roots that a simulated machine trusts, as PEM; `None` for the real one's own.
    pub(crate) fn roots_pem(&self) -> Option<Vec<u8>> {
        match &self.kind {
            Kind::Os => None,
            Kind::Sim(net) => net.roots_pem(),
        }
    }

    /// The addresses of a name, in the resolver's order. An address in text gives itself.
    pub async fn resolve(&self, host: &str) -> Result<Vec<IpAddr>, NetError> {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = host.parse() {
            return Ok(vec![address]);
        }
        let Some(known) = &self.known else { return self.ask_resolver(host).await };
        let remembered = known.of(host);
        let found = match remembered {
            None => self.ask_resolver(host).await,
            Some(_) => self.clock.timeout(RESOLVER_PATIENCE, self.ask_resolver(host)).await.unwrap_or_else(|_| {
                let reason = format!("no answer within {} s", RESOLVER_PATIENCE.as_secs());
                Err(NetError::Resolve { host: host.to_owned(), reason })
            }),
        };
        match (found, remembered) {
            (Ok(found), _) => {
                known.learn(host, &found);
                Ok(found)
            }
            (Err(error), Some(addresses)) => {
                tracing::warn!("{error}; its last known addresses are used");
                Ok(addresses)
            }
            (Err(error), None) => Err(error),
        }
    }

    async fn ask_resolver(&self, host: &str) -> Result<Vec<IpAddr>, NetError> {
        let refuse = |reason: String| NetError::Resolve { host: host.to_owned(), reason };
        match &self.kind {
            Kind::Os => {
                let found = tokio::net::lookup_host((host, 0)).await.map_err(|error| {
                    let text = error.to_string();
                    refuse(text.rsplit(": ").next().unwrap_or(&text).to_owned())
                })?;
                let mut addresses: Vec<IpAddr> = found.map(|address| address.ip()).collect();
                addresses.dedup();
                addresses.truncate(ADDRESSES_MAX);
                if addresses.is_empty() { Err(refuse("it has no address".into())) } else { Ok(addresses) }
            }
            Kind::Sim(net) => net.resolve(host).await.map_err(refuse),
        }
    }

    /// Connects to a host: resolves it, then tries its addresses, each soon after the one before. Bound it with [`Clock::timeout`].
    pub async fn connect(&self, host: &str, port: u16) -> Result<Connection, NetError> {
        let begun = self.clock.monotonic();
        let mut addresses = self.resolve(host).await?;
        let first = addresses[0];
        addresses.retain(|address| self.allows(*address));
        if addresses.is_empty() {
            return Err(NetError::Forbidden { address: first });
        }
        let resolved = self.clock.monotonic();
        let dial = |ip: &IpAddr| {
            let address = SocketAddr::new(*ip, port);
            async move { (address, self.dial(address).await) }
        };
        let mut untried = addresses.iter();
        let mut under_way: FuturesUnordered<_> = untried.next().map(dial).into_iter().collect();
        let mut refused = None;
        loop {
            let patience = if untried.len() > 0 { ADDRESS_PATIENCE } else { Duration::MAX / 4 };
            // One that hangs is not given up: it may be slow, and the only one that answers at all.
            match self.clock.timeout(patience, under_way.next()).await {
                Ok(Some((peer, Ok(stream)))) => {
                    let (resolve, connect) = (resolved - begun, self.clock.monotonic() - resolved);
                    return Ok(Connection { stream, peer, resolve, connect });
                }
                Ok(Some((address, Err(error)))) => {
                    refused = Some(NetError::Connect { address, reason: io_words(&error) });
                }
                Ok(None) | Err(_) => {}
            }
            match untried.next() {
                Some(ip) => under_way.push(dial(ip)),
                None if under_way.is_empty() => return Err(refused.expect("resolve gives at least one address")),
                None => {}
            }
        }
    }

    async fn dial(&self, address: SocketAddr) -> io::Result<Stream> {
        match &self.kind {
            Kind::Os => {
                #[expect(clippy::disallowed_methods, reason = "this is the door the others point at")]
                let stream = match self.source {
                    None => tokio::net::TcpStream::connect(address).await?,
                    Some(source) => {
                        let socket = match address {
                            SocketAddr::V4(_) => tokio::net::TcpSocket::new_v4()?,
                            SocketAddr::V6(_) => tokio::net::TcpSocket::new_v6()?,
                        };
                        socket.bind((source, 0).into())?;
                        socket.connect(address).await?
                    }
                };
                stream.set_nodelay(true)?;
                Ok(Box::new(stream))
            }
            Kind::Sim(net) => net.dial(address).await,
        }
    }

    /// Connects to a socket of this machine.
    pub async fn connect_unix(&self, path: &Path) -> io::Result<Stream> {
        match &self.kind {
            Kind::Os => {
                #[expect(clippy::disallowed_methods, reason = "this is the door the others point at")]
                let stream = tokio::net::UnixStream::connect(path).await?;
                Ok(Box::new(stream))
            }
            Kind::Sim(net) => net.dial_unix(path).await,
        }
    }

    /// Sends and receives datagrams, to and from one address only.
    pub async fn datagrams(&self, to: SocketAddr) -> io::Result<Datagrams> {
        if !self.allows(to.ip()) {
            return Err(io::Error::other(NetError::Forbidden { address: to.ip() }));
        }
        match &self.kind {
            Kind::Os => {
                let any: IpAddr = match to {
                    SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
                    SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
                };
                #[expect(clippy::disallowed_methods, reason = "this is the door the others point at")]
                let socket = tokio::net::UdpSocket::bind((self.source.unwrap_or(any), 0)).await?;
                socket.connect(to).await?;
                Ok(Datagrams::os(socket))
            }
            Kind::Sim(net) => Ok(Datagrams::sim(net.datagrams(to))),
        }
    }

    /// Sends echo requests to an address (ICMP, or ICMPv6) and receives what comes back; each message begins with its
    /// type. The kernel has the last word on who may do that: without the right, the error is `PermissionDenied`.
    pub async fn echoes(&self, to: IpAddr, options: &EchoOptions) -> io::Result<Datagrams> {
        if !self.allows(to) {
            return Err(io::Error::other(NetError::Forbidden { address: to }));
        }
        match &self.kind {
            Kind::Os => datagrams::os_echoes(to, self.source, options),
            Kind::Sim(net) => {
                if net.echoes_forbidden() {
                    return Err(io::ErrorKind::PermissionDenied.into());
                }
                Ok(Datagrams::sim(net.datagrams(SocketAddr::new(to, ECHO_PORT))))
            }
        }
    }

    /// Listens on an address; port 0 takes any that is free.
    pub async fn listen(&self, address: SocketAddr) -> io::Result<Listener> {
        match &self.kind {
            Kind::Os => {
                #[expect(clippy::disallowed_methods, reason = "this is the door the others point at")]
                let listener = tokio::net::TcpListener::bind(address).await?;
                Ok(Listener { address: listener.local_addr()?, kind: ListenerKind::Os(listener) })
            }
            Kind::Sim(net) => {
                let (address, queue) = net.listen(address)?;
                Ok(Listener { address, kind: ListenerKind::Sim(tokio::sync::Mutex::new(queue)) })
            }
        }
    }
}

/// Where the simulated twin keeps who answers echo requests: no service has this port.
pub(crate) const ECHO_PORT: u16 = 0;

/// What the system said, without its number.
fn io_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".into(),
        io::ErrorKind::TimedOut => "no answer".into(),
        io::ErrorKind::HostUnreachable => "no route to the host".into(),
        io::ErrorKind::NetworkUnreachable => "the network is unreachable".into(),
        io::ErrorKind::ConnectionReset => "connection reset".into(),
        _ => error.to_string().split(" (os error").next().unwrap_or_default().to_lowercase(),
    }
}

/// Takes connections in.
pub struct Listener {
    address: SocketAddr,
    kind: ListenerKind,
}

enum ListenerKind {
    Os(tokio::net::TcpListener),
    Sim(tokio::sync::Mutex<tokio::sync::mpsc::UnboundedReceiver<(Stream, SocketAddr)>>),
}

impl Listener {
    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// The next connection and where it comes from.
    pub async fn accept(&self) -> io::Result<(Stream, SocketAddr)> {
        match &self.kind {
            ListenerKind::Os(listener) => {
                let (stream, peer) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok((Box::new(stream), peer))
            }
            ListenerKind::Sim(queue) => {
                queue.lock().await.recv().await.ok_or_else(|| io::ErrorKind::NotConnected.into())
            }
        }
    }
}
