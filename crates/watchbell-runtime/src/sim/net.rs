//! Other hosts, as a scenario wants them.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::mpsc;
use watchbell_model::BoxFuture;

use crate::{Clock, Stream};

type DatagramHandler = Arc<dyn Fn(&[u8]) -> Option<Vec<u8>> + Send + Sync>;
type Handler = Arc<dyn Fn(Stream) -> BoxFuture<'static, ()> + Send + Sync>;

/// A network of named hosts. Names resolve to made-up addresses of 10.0.0.0/8; `127.0.0.1` is watchbell's own machine.
pub struct SimNet {
    clock: Clock,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    names: BTreeMap<String, IpAddr>,
    more: BTreeMap<String, Vec<IpAddr>>,
    services: BTreeMap<SocketAddr, Service>,
    unresolvable: std::collections::BTreeSet<String>,
    black_holes: std::collections::BTreeSet<IpAddr>,
    datagrams: BTreeMap<SocketAddr, DatagramHandler>,
    sockets: BTreeMap<PathBuf, Handler>,
    port_next: u16,
    roots_pem: Option<Vec<u8>>,
    echoes_forbidden: bool,
}

enum Service {
    Handler(Handler),
    Listener(mpsc::UnboundedSender<(Stream, SocketAddr)>),
}

/// Datagrams to one address, and what it answers.
pub(crate) struct SimDatagrams {
    clock: Clock,
    handler: Option<DatagramHandler>,
    sender: mpsc::UnboundedSender<Vec<u8>>,
    queue: tokio::sync::Mutex<mpsc::UnboundedReceiver<Vec<u8>>>,
}

impl SimDatagrams {
    pub(crate) fn send(&self, bytes: &[u8]) {
        if let Some(answer) = self.handler.as_ref().and_then(|handler| handler(bytes)) {
            let _ = self.sender.send(answer);
        }
    }

    pub(crate) async fn receive(&self) -> Vec<u8> {
        self.clock.sleep(ROUND_TRIP).await;
        match self.queue.lock().await.recv().await {
            Some(bytes) => bytes,
            None => std::future::pending().await,
        }
    }
}

/// Time for a packet there and back.
const ROUND_TRIP: Duration = Duration::from_millis(1);
/// How long a resolver that is away keeps one waiting.
const RESOLVER_PATIENCE: Duration = Duration::from_secs(5);

impl SimNet {
    /// No host but `127.0.0.1`, also called `localhost`.
    pub fn new(clock: Clock) -> SimNet {
        let inner = Inner { port_next: 40_000, ..Inner::default() };
        let net = SimNet { clock, inner: Mutex::new(inner) };
        net.lock().names.insert("localhost".into(), Ipv4Addr::LOCALHOST.into());
        net
    }

    /// From now on `handler` answers each connection to the host and port; the host exists and resolves.
    pub fn serve<F: Future<Output = ()> + Send + 'static>(
        &self,
        host: &str,
        port: u16,
        handler: impl Fn(Stream) -> F + Send + Sync + 'static,
    ) {
        let ip = self.address(host);
        let handler: Handler = Arc::new(move |stream| Box::pin(handler(stream)));
        self.lock().services.insert(SocketAddr::new(ip, port), Service::Handler(handler));
    }

    /// From now on `handler` answers each datagram to the host and port, or does not.
    pub fn serve_datagrams(
        &self,
        host: &str,
        port: u16,
        handler: impl Fn(&[u8]) -> Option<Vec<u8>> + Send + Sync + 'static,
    ) {
        let address = SocketAddr::new(self.address(host), port);
        self.lock().datagrams.insert(address, Arc::new(handler));
    }

    /// From now on `handler` answers each echo request to the host, or does not.
    pub fn serve_echoes(&self, host: &str, handler: impl Fn(&[u8]) -> Option<Vec<u8>> + Send + Sync + 'static) {
        self.serve_datagrams(host, crate::net::ECHO_PORT, handler);
    }

    /// The kernel lets nobody send echo requests (`true`).
    pub fn set_echoes_forbidden(&self, forbidden: bool) {
        self.lock().echoes_forbidden = forbidden;
    }

    pub(crate) fn echoes_forbidden(&self) -> bool {
        self.lock().echoes_forbidden
    }

    /// From now on `handler` answers each connection to a socket of watchbell's own machine.
    pub fn serve_unix<F: Future<Output = ()> + Send + 'static>(
        &self,
        path: &str,
        handler: impl Fn(Stream) -> F + Send + Sync + 'static,
    ) {
        let handler: Handler = Arc::new(move |stream| Box::pin(handler(stream)));
        self.lock().sockets.insert(path.into(), handler);
    }

    /// The host refuses connections to the port from now on.
    pub fn refuse(&self, host: &str, port: u16) {
        let address = SocketAddr::new(self.address(host), port);
        self.lock().services.remove(&address);
    }

    /// The host swallows packets (`true`) or answers again (`false`).
    pub fn set_black_hole(&self, host: &str, black_hole: bool) {
        let ip = self.address(host);
        let mut inner = self.lock();
        if black_hole {
            inner.black_holes.insert(ip)
        } else {
            inner.black_holes.remove(&ip)
        };
    }

    /// The host's name does not resolve (`true`) or does again (`false`).
    pub fn set_unresolvable(&self, host: &str, unresolvable: bool) {
        let mut inner = self.lock();
        if unresolvable {
            inner.unresolvable.insert(host.to_owned())
        } else {
            inner.unresolvable.remove(host)
        };
    }

    /// The address of a host, made up when it is first named.
    pub fn address(&self, host: &str) -> IpAddr {
        if let Ok(ip) = host.parse() {
            return ip;
        }
        let mut inner = self.lock();
        let next = inner.names.len() as u32;
        *inner.names.entry(host.to_owned()).or_insert_with(|| Ipv4Addr::from(0x0a00_0000 + next).into())
    }

    /// The host's name resolves to this address too, which comes before those it has.
    pub fn add_address(&self, host: &str, ip: IpAddr) {
        self.lock().more.entry(host.to_owned()).or_default().insert(0, ip);
    }

    /// The machine trusts this authority from now on, and no other.
    pub fn trust(&self, roots_pem: &str) {
        self.lock().roots_pem = Some(roots_pem.as_bytes().to_vec());
    }

    pub(crate) fn roots_pem(&self) -> Option<Vec<u8>> {
        self.lock().roots_pem.clone()
    }

    pub(crate) async fn resolve(&self, host: &str) -> Result<Vec<IpAddr>, String> {
        let (known, broken) = {
            let inner = self.lock();
            let more = inner.more.get(host).into_iter().flatten();
            let known: Vec<IpAddr> = more.chain(inner.names.get(host)).copied().collect();
            (known, inner.unresolvable.contains(host))
        };
        if broken {
            self.clock.sleep(RESOLVER_PATIENCE).await;
            return Err("temporary failure in name resolution".into());
        }
        self.clock.sleep(ROUND_TRIP).await;
        if known.is_empty() { Err("name or service not known".into()) } else { Ok(known) }
    }

    pub(crate) async fn dial(&self, address: SocketAddr) -> io::Result<Stream> {
        if self.lock().black_holes.contains(&address.ip()) {
            return std::future::pending().await;
        }
        self.clock.sleep(ROUND_TRIP).await;
        let (near, far) = tokio::io::duplex(64 << 10);
        let mut inner = self.lock();
        inner.port_next = inner.port_next.checked_add(1).unwrap_or(40_000);
        let from = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), inner.port_next);
        match inner.services.get(&address) {
            Some(Service::Handler(handler)) => {
                #[expect(clippy::disallowed_methods, reason = "other hosts' work is nobody's task")]
                drop(tokio::spawn(handler(Box::new(far))));
            }
            Some(Service::Listener(queue)) if queue.send((Box::new(far), from)).is_ok() => {}
            _ => return Err(io::ErrorKind::ConnectionRefused.into()),
        }
        Ok(Box::new(near))
    }

    pub(crate) async fn dial_unix(&self, path: &Path) -> io::Result<Stream> {
        self.clock.sleep(ROUND_TRIP).await;
        let Some(handler) = self.lock().sockets.get(path).cloned() else { return Err(io::ErrorKind::NotFound.into()) };
        let (near, far) = tokio::io::duplex(64 << 10);
        #[expect(clippy::disallowed_methods, reason = "other processes' work is nobody's task")]
        drop(tokio::spawn(handler(Box::new(far))));
        Ok(Box::new(near))
    }

    pub(crate) fn datagrams(&self, to: SocketAddr) -> SimDatagrams {
        let inner = self.lock();
        let handler = inner.datagrams.get(&to).filter(|_| !inner.black_holes.contains(&to.ip())).cloned();
        let (sender, queue) = mpsc::unbounded_channel();
        SimDatagrams { clock: self.clock.clone(), handler, sender, queue: tokio::sync::Mutex::new(queue) }
    }

    pub(crate) fn listen(
        &self,
        address: SocketAddr,
    ) -> io::Result<(SocketAddr, mpsc::UnboundedReceiver<(Stream, SocketAddr)>)> {
        let mut inner = self.lock();
        let mut address = address;
        if address.port() == 0 {
            inner.port_next += 1;
            address.set_port(inner.port_next);
        }
        if let Some(Service::Listener(old)) = inner.services.get(&address)
            && !old.is_closed()
        {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        let (sender, receiver) = mpsc::unbounded_channel();
        inner.services.insert(address, Service::Listener(sender));
        Ok((address, receiver))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().expect("no panic while held")
    }
}
