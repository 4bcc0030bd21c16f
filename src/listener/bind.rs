//! Opens the listening sockets.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use nix::sys::socket::{setsockopt, sockopt};
use rustls::ServerConfig;
use socket2::{Domain, Protocol, Socket, Type};

use super::inherited::Inherited;

/// Bytes that a UDP socket may hold in either direction: some 15,000 questions while a worker is
/// held up. The kernel's own limit applies where it may not be passed.
const UDP_BUFFER: usize = 4 << 20;
/// TCP connections that wait to be accepted.
pub(super) const BACKLOG: i32 = 1024;
/// How an error calls a listener over TLS.
const TLS: &str = "TLS";

/// A listening socket of one worker.
#[derive(Debug)]
pub enum Listener {
    Udp(UdpSocket),
    Tcp(TcpListener),
    Tls(TcpListener, Arc<ServerConfig>),
}

impl Listener {
    /// The same kernel socket under a new descriptor.
    ///
    /// # Errors
    /// When the process has no descriptors left.
    pub fn duplicate(&self) -> io::Result<Self> {
        Ok(match self {
            Self::Udp(udp) => Self::Udp(udp.try_clone()?),
            Self::Tcp(tcp) => Self::Tcp(tcp.try_clone()?),
            Self::Tls(tcp, config) => Self::Tls(tcp.try_clone()?, Arc::clone(config)),
        })
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Udp(udp) => udp.as_fd(),
            Self::Tcp(tcp) | Self::Tls(tcp, _) => tcp.as_fd(),
        }
    }
}

/// A listen address that could not be had.
#[derive(Debug)]
pub struct BindError {
    address: SocketAddr,
    protocol: &'static str,
    /// Where the configuration names the address.
    key: &'static str,
    error: io::Error,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, protocol, key, error } = self;
        write!(f, "cannot listen on {address} ({protocol}): {error}")?;
        match error.kind() {
            io::ErrorKind::AddrInUse => {
                write!(f, "; stop what serves there (`ss -lnp 'sport = :{}'` shows it) ", address.port())?;
                write!(f, "or change {key}")
            }
            io::ErrorKind::PermissionDenied => {
                write!(f, "; ports below 1024 need CAP_NET_BIND_SERVICE, or choose another in {key}")
            }
            _ => Ok(()),
        }
    }
}

impl std::error::Error for BindError {}

/// Listens over UDP and TCP, and gives each worker its sockets. `key` says where the configuration
/// names the address.
///
/// # Errors
/// [`BindError`] when the address is taken by another process or may not be used.
pub fn open(
    address: SocketAddr,
    inherited: &mut Inherited,
    workers: &mut [Vec<Listener>],
    key: &'static str,
) -> Result<(), BindError> {
    let failed = |protocol| move |error| BindError { address, protocol, key, error };
    let is_ours = inherited.is_beside(address);
    let over_udp = fill(inherited.take_udp(address), workers.len(), is_ours, |shared| udp(address, shared));
    deal(over_udp.map_err(failed("UDP"))?, Listener::Udp, workers);
    let over_tcp = fill(inherited.take_tcp(address), workers.len(), is_ours, |shared| tcp(address, shared));
    deal(over_tcp.map_err(failed("TCP"))?, Listener::Tcp, workers);
    Ok(())
}

/// Listens for connections over TLS, as [`open`] does.
///
/// # Errors
/// As [`open`].
pub fn open_tls(
    address: SocketAddr,
    config: &Arc<ServerConfig>,
    inherited: &mut Inherited,
    workers: &mut [Vec<Listener>],
) -> Result<(), BindError> {
    let failed = |error| BindError { address, protocol: TLS, key: "[server.tls] listen", error };
    let is_ours = inherited.is_beside(address);
    let over_tcp = fill(inherited.take_tcp(address), workers.len(), is_ours, |shared| tcp(address, shared));
    deal(over_tcp.map_err(failed)?, |socket| Listener::Tls(socket, Arc::clone(config)), workers);
    Ok(())
}

/// All that were inherited, since a queue goes with its last descriptor, and a socket more for each
/// worker that would be without. `is_ours`: this process listens there already.
fn fill<S>(
    inherited: Vec<S>,
    workers: usize,
    is_ours: bool,
    open: impl Fn(bool) -> io::Result<S>,
) -> io::Result<Vec<S>> {
    let mut sockets = inherited;
    let has_some = !sockets.is_empty();
    if !has_some && !is_ours {
        // SO_REUSEPORT would let a second instance of the same user share the address unseen.
        drop(open(false)?);
    }
    while sockets.len() < workers {
        match open(true) {
            Ok(socket) => sockets.push(socket),
            // Another user has opened those that there are: then some workers go without.
            Err(_) if has_some => break,
            Err(error) => return Err(error),
        }
    }
    Ok(sockets)
}

fn deal<S>(sockets: Vec<S>, kind: impl Fn(S) -> Listener, workers: &mut [Vec<Listener>]) {
    let count = workers.len();
    for (index, socket) in sockets.into_iter().enumerate() {
        workers[index % count].push(kind(socket));
    }
}

/// Whether whoever reaches this address is on this host or link, and needs no leave to ask.
pub(super) fn is_welcoming(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unicast_link_local(),
    }
}

fn udp(address: SocketAddr, shared: bool) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    prepare(&socket, address, shared)?;
    equip(&socket, address.ip())?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// Gives a datagram socket for this address what a listener needs.
pub(super) fn equip(socket: &Socket, address: IpAddr) -> io::Result<()> {
    // More than net.core.rmem_max needs CAP_NET_ADMIN; without it, as much as is allowed, unless somebody who
    // may has given more already.
    if setsockopt(socket, sockopt::RcvBufForce, &UDP_BUFFER).is_err() && socket.recv_buffer_size()? < UDP_BUFFER {
        socket.set_recv_buffer_size(UDP_BUFFER)?;
    }
    if setsockopt(socket, sockopt::SndBufForce, &UDP_BUFFER).is_err() && socket.send_buffer_size()? < UDP_BUFFER {
        socket.set_send_buffer_size(UDP_BUFFER)?;
    }
    // On a wildcard address the kernel has to say which address was asked, so that the reply can
    // leave from it.
    match address {
        IpAddr::V4(v4) if v4.is_unspecified() => setsockopt(socket, sockopt::Ipv4PacketInfo, &true)?,
        IpAddr::V6(v6) if v6.is_unspecified() => setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &true)?,
        _ => {}
    }
    Ok(())
}

fn tcp(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    prepare(&socket, address, shared)?;
    // Connections of a predecessor in TIME_WAIT must not keep us from listening.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn prepare(socket: &Socket, address: SocketAddr, shared: bool) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    socket.set_reuse_port(shared)?;
    // The address may come to the node only after us.
    match address {
        SocketAddr::V4(_) => socket.set_freebind_v4(true),
        SocketAddr::V6(_) => {
            // 0.0.0.0 and [::] are two listeners.
            socket.set_only_v6(true)?;
            socket.set_freebind_v6(true)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(address: SocketAddr, workers: usize) -> Result<Vec<Vec<Listener>>, BindError> {
        let mut opened: Vec<_> = (0..workers).map(|_| Vec::new()).collect();
        super::open(address, &mut Inherited::default(), &mut opened, "[server] listen").map(|()| opened)
    }

    fn open_tls(address: SocketAddr, config: &Arc<ServerConfig>) -> Result<Vec<Vec<Listener>>, BindError> {
        let mut opened = vec![Vec::new(), Vec::new()];
        super::open_tls(address, config, &mut Inherited::default(), &mut opened).map(|()| opened)
    }

    #[test]
    fn each_worker_has_its_own_sockets_and_a_second_instance_has_none() {
        let first = open("127.0.0.1:0".parse().unwrap(), 1).unwrap();
        let Listener::Udp(udp) = &first[0][0] else { panic!("no UDP socket") };
        let address = udp.local_addr().unwrap();
        let error = open(address, 2).unwrap_err().to_string();
        let port = address.port();
        assert_eq!(
            error,
            format!(
                "cannot listen on {address} (UDP): Address already in use (os error 98); stop what serves there \
                 (`ss -lnp 'sport = :{port}'` shows it) or change [server] listen"
            )
        );
        drop(first);
        assert_eq!(open(address, 2).unwrap().len(), 2);
    }

    #[test]
    fn an_address_for_tls_is_taken_once_and_its_own_key_is_named() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let resolver = rustls::server::ResolvesServerCertUsingSni::new();
        let builder = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        let config = Arc::new(builder.with_cert_resolver(Arc::new(resolver)));
        let error = open_tls(address, &config).unwrap_err().to_string();
        assert!(error.starts_with(&format!("cannot listen on {address} (TLS): Address already in use")), "{error}");
        assert!(error.ends_with("or change [server.tls] listen"), "{error}");
        drop(taken);
        let ours = open_tls(address, &config).unwrap();
        assert_eq!(ours.len(), 2);
        assert!(open_tls(address, &config).is_err(), "a second instance");
    }

    #[test]
    fn an_address_that_is_not_on_the_node_yet_can_be_bound() {
        assert!(open("169.254.20.10:35353".parse().unwrap(), 1).is_ok());
    }

    #[test]
    fn loopback_and_link_local_listeners_welcome_everybody() {
        for address in ["127.0.0.1", "169.254.20.10", "::1", "fe80::1"] {
            assert!(is_welcoming(address.parse().unwrap()), "{address}");
        }
        for address in ["0.0.0.0", "10.0.0.1", "fd00::a", "192.0.2.1", "::"] {
            assert!(!is_welcoming(address.parse().unwrap()), "{address}");
        }
    }
}
