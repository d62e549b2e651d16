//! Datagrams, echo requests among them.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;
use std::sync::Mutex;

use rustix::net::sockopt::{Ipv4PathMtuDiscovery, set_ip_mtu_discover, set_ip_ttl, set_ipv6_unicast_hops};
use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, socket_with};
use tokio::io::Interest;
use tokio::net::UdpSocket;

use crate::sim::SimDatagrams;

/// The longest datagram that is received whole.
const DATAGRAM_BYTES_MAX: usize = 64 << 10;

/// Datagrams to and from one address.
pub struct Datagrams {
    kind: Kind,
    hops: Mutex<Option<u8>>,
}

enum Kind {
    Os(UdpSocket),
    /// For echo requests; with `true` what comes begins with an IPv4 header, which is taken off.
    Echo(UdpSocket, bool),
    Sim(SimDatagrams),
}

/// How echo requests are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EchoOptions {
    /// How many routers they may pass.
    pub hops: Option<u8>,
    /// Whether no router may split them; for IPv4.
    pub whole: bool,
}

impl Datagrams {
    pub(super) fn os(socket: UdpSocket) -> Datagrams {
        Datagrams { kind: Kind::Os(socket), hops: Mutex::new(None) }
    }

    pub(super) fn sim(socket: SimDatagrams) -> Datagrams {
        Datagrams { kind: Kind::Sim(socket), hops: Mutex::new(None) }
    }

    /// Sends one; it may be lost.
    pub async fn send(&self, bytes: &[u8]) -> io::Result<()> {
        match &self.kind {
            Kind::Os(socket) | Kind::Echo(socket, _) => socket.send(bytes).await.map(|_| ()),
            Kind::Sim(socket) => {
                socket.send(bytes);
                Ok(())
            }
        }
    }

    /// The next one. Bound it with [`Clock::timeout`](crate::Clock::timeout).
    pub async fn receive(&self) -> io::Result<Vec<u8>> {
        match &self.kind {
            Kind::Os(socket) => {
                let mut bytes = vec![0; DATAGRAM_BYTES_MAX];
                let length = socket.recv(&mut bytes).await?;
                bytes.truncate(length);
                Ok(bytes)
            }
            Kind::Echo(socket, with_header) => {
                let mut bytes = vec![0; DATAGRAM_BYTES_MAX];
                let receive = || receive_with_hops(socket, &mut bytes);
                let (length, hops) = socket.async_io(Interest::READABLE, receive).await?;
                *self.hops.lock().expect("no panic while held") = hops;
                bytes.truncate(length);
                if *with_header {
                    let header = usize::from(bytes.first().map_or(0, |first| first & 0xf)) * 4;
                    bytes.drain(..header.min(length));
                }
                Ok(bytes)
            }
            Kind::Sim(socket) => Ok(socket.receive().await),
        }
    }

    /// How many routers more the answer could have passed that came last, where the kernel tells: its hop limit, or TTL.
    pub fn hops(&self) -> Option<u8> {
        *self.hops.lock().expect("no panic while held")
    }
}

/// A socket for echo requests that needs no rights where `net.ipv4.ping_group_range` has our group, else a raw one,
/// which needs `CAP_NET_RAW`.
pub(super) fn os_echoes(to: IpAddr, source: Option<IpAddr>, options: &EchoOptions) -> io::Result<Datagrams> {
    let (family, protocol) = match to {
        IpAddr::V4(_) => (AddressFamily::INET, ipproto::ICMP),
        IpAddr::V6(_) => (AddressFamily::INET6, ipproto::ICMPV6),
    };
    let open = |kind| socket_with(family, kind, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, Some(protocol));
    let (socket, raw) = match open(SocketType::DGRAM) {
        Ok(socket) => (socket, false),
        Err(_) => (open(SocketType::RAW)?, true),
    };
    match options.hops {
        Some(hops) if to.is_ipv4() => set_ip_ttl(&socket, u32::from(hops))?,
        Some(hops) => set_ipv6_unicast_hops(&socket, Some(hops))?,
        None => {}
    }
    if options.whole && to.is_ipv4() {
        set_ip_mtu_discover(&socket, Ipv4PathMtuDiscovery::DO)?;
    }
    if let Some(source) = source {
        rustix::net::bind(&socket, &SocketAddr::new(source, 0))?;
    }
    let socket = std::net::UdpSocket::from(socket);
    socket.connect((to, 0))?;
    tell_hops(&socket, to.is_ipv4());
    let socket = UdpSocket::from_std(socket)?;
    // Only raw sockets for IPv4 show the header of the packet.
    Ok(Datagrams { kind: Kind::Echo(socket, raw && to.is_ipv4()), hops: Mutex::new(None) })
}

/// Asks the kernel to tell the hop limit of what comes; where it does not, nothing else changes.
#[expect(unsafe_code, reason = "the option is a number, which outlives the call")]
fn tell_hops(socket: &std::net::UdpSocket, four: bool) {
    let (level, name) = match four {
        true => (libc::IPPROTO_IP, libc::IP_RECVTTL),
        false => (libc::IPPROTO_IPV6, libc::IPV6_RECVHOPLIMIT),
    };
    let on: libc::c_int = 1;
    let length = size_of::<libc::c_int>() as libc::socklen_t;
    unsafe {
        libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const on).cast(), length);
    }
}

/// Receives a datagram, with the hop limit it came with.
#[expect(unsafe_code, reason = "every pointer is to what outlives the block; the kernel writes within the lengths")]
fn receive_with_hops(socket: &UdpSocket, bytes: &mut [u8]) -> io::Result<(usize, Option<u8>)> {
    let mut part = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    // Numbers of 64 bits, so that headers are aligned.
    let mut control = [0_u64; 16];
    unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(&control) as _;
        let length = libc::recvmsg(socket.as_raw_fd(), &raw mut message, libc::MSG_DONTWAIT);
        let Ok(length) = usize::try_from(length) else { return Err(io::Error::last_os_error()) };
        let mut hops = None;
        let mut header = libc::CMSG_FIRSTHDR(&raw const message);
        while let Some(it) = header.as_ref() {
            if matches!(
                (it.cmsg_level, it.cmsg_type),
                (libc::IPPROTO_IP, libc::IP_TTL) | (libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT)
            ) {
                let number: libc::c_int = std::ptr::read_unaligned(libc::CMSG_DATA(header).cast::<libc::c_int>());
                hops = u8::try_from(number).ok();
            }
            header = libc::CMSG_NXTHDR(&raw const message, header);
        }
        Ok((length, hops))
    }
}
