//! All that questions come in at: opened at the start, and changed by reloads without a word to those
//! sockets that stay.
//!
//! A change is prepared first, which may fail and leaves everything as it is, and carried out then,
//! which cannot.

use std::collections::HashSet;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::Arc;

use rustls::ServerConfig;
use tokio::sync::{mpsc, watch};

use super::StartError;
use crate::admin::control::{Offer, Succession};
use crate::config::Config;
use crate::listener::{self, BindError, Duty, Identity, Inherited, Limits, Listener, Need, Post};

/// A listen address, and what is spoken there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Place {
    address: SocketAddr,
    is_tls: bool,
}

/// A place with all of its sockets.
struct Open {
    place: Place,
    /// Those of each worker.
    posts: Vec<Vec<Arc<Post>>>,
    _offers: Vec<Offer>,
    /// Ends when no post of it is needed any more.
    closed: mpsc::Receiver<Infallible>,
}

/// How clients over TLS are served.
#[derive(Clone)]
struct OverTls {
    identity: Arc<Identity>,
    config: Arc<ServerConfig>,
}

/// See the module's head.
pub(super) struct Listening {
    open: Vec<Open>,
    /// What the configuration says, whether it could be had or not.
    wanted: HashSet<Place>,
    workers: Vec<watch::Sender<Duty>>,
    over_tls: Option<OverTls>,
}

/// A change that nothing stands against.
pub(super) struct Change {
    opened: Vec<Open>,
    wanted: HashSet<Place>,
    over_tls: Option<OverTls>,
}

/// An address that is not listened on any more, and may have questions without an answer.
pub(super) struct Departing {
    pub(super) address: SocketAddr,
    closed: mpsc::Receiver<Infallible>,
}

impl Listening {
    /// On nothing yet.
    pub(super) fn new(workers: usize, limits: Limits) -> Self {
        let nothing = || watch::Sender::new(Duty { posts: Vec::new(), limits });
        let workers = (0..workers).map(|_| nothing()).collect();
        Self { open: Vec::new(), wanted: HashSet::new(), workers, over_tls: None }
    }

    /// What this worker has to do, now and later.
    pub(super) fn duty(&self, worker: usize) -> watch::Receiver<Duty> {
        self.workers[worker].subscribe()
    }

    /// Opens what this configuration has beyond what is open, with the sockets of an instance before as
    /// far as they go, and beside those that are about to be closed. An address that cannot be had is no
    /// hindrance to the heir of an instance, nor where it could not be had before.
    ///
    /// # Errors
    /// [`StartError`] when an address cannot be had; then nothing has changed.
    pub(super) fn prepare(
        &self,
        config: &Config,
        mut inherited: Inherited,
        is_heir: bool,
        succession: &Succession,
    ) -> Result<(Change, Inherited), StartError> {
        let over_tls = match (&self.over_tls, &config.server.tls) {
            (Some(over_tls), _) => Some(over_tls.clone()),
            (None, Some(tls)) => {
                let identity = Identity::new(Arc::clone(&tls.identity));
                let config = identity.server_config().map_err(io::Error::other)?;
                Some(OverTls { identity, config })
            }
            (None, None) => None,
        };
        let places = places(config);
        let mut change =
            Change { opened: Vec::new(), wanted: places.iter().map(|(place, _)| *place).collect(), over_tls };
        for (place, key) in places {
            if self.open.iter().any(|open| open.place == place) {
                continue;
            }
            match self.open(place, key, &mut inherited, change.over_tls.as_ref()) {
                Ok(sockets) => change.opened.push(Open::new(place, sockets, succession)?),
                Err(Failure::Bind(error)) if is_heir || self.wanted.contains(&place) => {
                    tracing::error!("{error}; the other addresses are served");
                }
                Err(Failure::Bind(error)) => return Err(StartError::Bind(error)),
                Err(Failure::System(error)) => return Err(error.into()),
            }
        }
        Ok((change, inherited))
    }

    fn open(
        &self,
        place: Place,
        key: &'static str,
        inherited: &mut Inherited,
        over_tls: Option<&OverTls>,
    ) -> Result<Vec<Vec<Listener>>, Failure> {
        // Where the same address is served in another way, its connections go on to be taken in.
        let other = self.open.iter().find(|open| open.place.address == place.address);
        let streams = other.into_iter().flat_map(|open| open.posts.iter().flatten()).map(|post| post.listener());
        let streams = streams.filter(|listener| !matches!(listener, Listener::Udp(_)));
        let streams: Vec<_> =
            streams.map(|listener| listener.as_fd().try_clone_to_owned()).collect::<Result<_, _>>()?;
        let mut own;
        let inherited = if self.open.is_empty() {
            inherited
        } else {
            let open = self.open.iter().map(|open| open.place.address);
            own = Inherited::of(streams).beside(open.chain(inherited.own()).collect());
            &mut own
        };
        let mut workers: Vec<Vec<Listener>> = self.workers.iter().map(|_| Vec::new()).collect();
        match over_tls.filter(|_| place.is_tls) {
            Some(tls) => listener::open_tls(place.address, &tls.config, inherited, &mut workers)?,
            None => listener::open(place.address, inherited, &mut workers, key)?,
        }
        Ok(workers)
    }

    /// Has the workers listen as prepared, and by the limits of this configuration. Returns what was
    /// closed.
    pub(super) fn carry_out(&mut self, change: Change, config: &Config) -> Vec<Departing> {
        let Change { opened, wanted, over_tls } = change;
        for open in &opened {
            tracing::debug!(address = %open.place.address, tls = open.place.is_tls, "listening");
        }
        if let Some((over_tls, tls)) = over_tls.as_ref().zip(config.server.tls.as_ref()) {
            over_tls.identity.become_another(Arc::clone(&tls.identity));
        }
        self.open.extend(opened);
        let gone = self.open.extract_if(.., |open| !wanted.contains(&open.place));
        let departing = gone.map(Open::depart).collect();
        (self.wanted, self.over_tls) = (wanted, over_tls);
        for (worker, duty) in self.workers.iter().enumerate() {
            let posts = self.open.iter().flat_map(|open| &open.posts[worker]).cloned().collect();
            duty.send_replace(Duty { posts, limits: limits(config) });
        }
        departing
    }
}

/// What a configuration lets clients hold.
pub(super) fn limits(config: &Config) -> Limits {
    let server = &config.server;
    Limits { tcp_idle: server.tcp_idle, tcp_read: server.tcp_read, drain: server.drain }
}

/// All that a configuration has, and the keys that say so.
fn places(config: &Config) -> Vec<(Place, &'static str)> {
    let plain = |key| move |address: SocketAddr| (Place { address, is_tls: false }, key);
    let said = config.server.listen.iter().copied().map(plain("[server] listen"));
    let intercepted = config.intercept_listen().into_iter().map(plain("[interface] intercept"));
    let over_tls = config.server.tls.iter().flat_map(|tls| &tls.listen);
    let over_tls = over_tls.map(|&address| (Place { address, is_tls: true }, "[server.tls] listen"));
    said.chain(intercepted).chain(over_tls).collect()
}

impl Open {
    fn new(place: Place, sockets: Vec<Vec<Listener>>, succession: &Succession) -> io::Result<Self> {
        let (need, closed) = Need::new();
        let offers = sockets.iter().flatten().map(|socket| succession.offer(socket)).collect::<io::Result<_>>()?;
        let post = |socket| Arc::new(Post::new(socket, need.clone()));
        let posts = sockets.into_iter().map(|sockets| sockets.into_iter().map(post).collect()).collect();
        Ok(Self { place, posts, _offers: offers, closed })
    }

    fn depart(self) -> Departing {
        self.posts.iter().flatten().for_each(|post| post.silence());
        Departing { address: self.place.address, closed: self.closed }
    }
}

impl Departing {
    /// Returns when all that has come in there is answered.
    pub(super) async fn gone(mut self) -> SocketAddr {
        self.closed.recv().await;
        self.address
    }
}

enum Failure {
    Bind(BindError),
    System(io::Error),
}

impl From<BindError> for Failure {
    fn from(error: BindError) -> Self {
        Self::Bind(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::net::UdpSocket;
    use std::os::fd::OwnedFd;
    use std::path::Path;
    use std::time::Duration;

    use arc_swap::ArcSwap;

    use super::super::build::{self, Parts};
    use super::super::nameservers::Nameservers;
    use super::*;
    use crate::cache::{Failures, Store};
    use crate::clock::Clock;
    use crate::config::parse;
    use crate::forward::Shared;
    use crate::listener::{Connections, RollCall, Start, Unanswered, Worker};
    use crate::metrics::Registry;

    fn config(listen: &str) -> Config {
        let text = format!("[server]\nlisten = [{listen}]\nworkers = 1\n[[zone]]\nname = 'a.example'\n");
        parse(Path::new("test.toml"), &text).unwrap().config
    }

    /// A worker with nothing to do yet.
    fn worker(
        listening: &Listening,
        config: &Config,
        registry: &Registry,
        stop: &watch::Sender<bool>,
        unanswered: Arc<Unanswered>,
    ) -> Worker {
        let nameservers = Nameservers::read(config, &[]);
        let tables = build::tables(Parts { config, nameservers: &nameservers, registry, previous: None }).unwrap();
        let (store, _) = Store::start(1 << 20, 20).unwrap();
        let shared = Shared { store, failures: Failures::default(), in_flight: Arc::default(), loops: Arc::default() };
        let start = Start {
            index: 0,
            tables: Arc::new(ArcSwap::from_pointee(tables)),
            shared: Arc::new(shared),
            series: Arc::clone(&registry.workers()[0]),
            clock: Clock::start(),
            front_bytes: 1 << 16,
            connections: Arc::new(Connections::new(1)),
            duty: listening.duty(0),
            roll_call: RollCall::default(),
            stop: stop.subscribe(),
            unanswered,
        };
        Worker::start(start).unwrap()
    }

    /// A client's socket, and a question of it: ID 7, a.example. A.
    fn client() -> (UdpSocket, Vec<u8>) {
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        (client, [&[0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1][..], b"a\x07example\0\0\x01\0\x01"].concat())
    }

    #[test]
    fn a_worker_that_fails_is_started_again_on_what_there_is_by_then() {
        let free = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let config = config(&format!("'{free}'"));
        let (registry, succession) = (Registry::new(1), Succession::new(None).unwrap());
        let mut listening = Listening::new(1, limits(&config));
        let stop = watch::Sender::new(false);
        // A worker that is given a file for a socket fails, however often it is started.
        let file = OwnedFd::from(File::open("/dev/null").unwrap());
        let broken = Arc::new(Post::new(Listener::Udp(file.into()), Need::new().0));
        listening.workers[0].send_replace(Duty { posts: vec![broken], limits: limits(&config) });
        let worker = worker(&listening, &config, &registry, &stop, Arc::default());
        let failures = || {
            let text = registry.render();
            let line =
                text.lines().find_map(|line| line.strip_prefix("zerohop_worker_restarts_total")?.split(' ').nth(1));
            line.unwrap().parse::<u64>().unwrap()
        };
        while failures() < 2 {
            std::thread::yield_now();
        }
        let (change, _) = listening.prepare(&config, Inherited::default(), false, &succession).unwrap();
        assert_eq!(listening.carry_out(change, &config).len(), 0);
        let (client, question) = client();
        client.send_to(&question, free).unwrap();
        let mut reply = [0; 512];
        assert!(client.recv(&mut reply).unwrap() > question.len());
        assert_eq!(reply[..2], [0, 7]);
        stop.send_replace(true);
        worker.join();
    }

    #[test]
    fn at_a_stop_an_address_that_departs_is_answered_where_the_others_are_left() {
        let free = |_| UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let [stays, departs] = [(); 2].map(free);
        let config = config(&format!("'{stays}', '{departs}'"));
        let (registry, succession) = (Registry::new(1), Succession::new(None).unwrap());
        let mut listening = Listening::new(1, limits(&config));
        let (change, _) = listening.prepare(&config, Inherited::default(), false, &succession).unwrap();
        listening.carry_out(change, &config);
        let (client, question) = client();
        for address in [stays, departs] {
            client.send_to(&question, address).unwrap();
        }
        let is_at = |open: &&Open, address| open.place.address == address;
        let post = |address| listening.open.iter().find(|open| is_at(open, address)).unwrap().posts[0][0].clone();
        post(departs).silence();
        // Both come at once: the worker is told of the stop before it hears that an address is gone.
        let (stop, unanswered) = (watch::Sender::new(true), Arc::new(Unanswered::default()));
        unanswered.keep();
        worker(&listening, &config, &registry, &stop, Arc::clone(&unanswered)).join();
        let mut octets = [0; 512];
        assert_eq!(client.recv_from(&mut octets).unwrap().1, departs);
        client.set_nonblocking(true).unwrap();
        client.recv(&mut octets).unwrap_err();
        let Listener::Udp(left) = post(stays).listener().duplicate().unwrap() else { panic!("UDP comes first") };
        assert_eq!(left.recv(&mut octets).unwrap(), question.len());
        assert_eq!(unanswered.take_all(), []);
    }
}
