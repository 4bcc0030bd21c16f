//! What the configuration means, once it has been read and found without fault.
//!
//! `file` holds what the TOML says, `validate` turns it into the [`Config`] below and collects
//! every fault on the way. The other rooms read these plain structs and nothing else.

mod address;
mod control;
mod expression;
mod fault;
mod file;
mod files;
mod keys;
mod load;
mod quantity;
mod special;
mod table;
mod template;
#[cfg(test)]
pub(crate) mod tests;
mod text;
mod validate;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::client::WebPkiServerVerifier;
use rustls::pki_types::ServerName;
use rustls::sign::CertifiedKey;

use crate::dns::{Name, Rcode, Record, RecordType, TtlRules};

pub use address::reaches;
pub use control::Control;
pub use expression::Expression;
pub use fault::{Fault, Faults, Severity};
pub use files::Files;
pub use load::{Loaded, Source, USUAL_FILE, VARIABLE, load, parse};
pub use text::Place;

/// Everything the program was told to be.
#[derive(Debug)]
pub struct Config {
    pub server: Server,
    /// `None`: the node's devices are left alone.
    pub interface: Option<Interface>,
    pub admin: Admin,
    pub cache: Cache,
    pub log: Log,
    /// The upstream groups: first the named ones in file order, then one for each bare server
    /// that a zone's `forward` names.
    pub upstreams: Vec<Upstream>,
    /// One for each zone name, in file order; no name stands twice. Behind them the special ones.
    pub zones: Vec<Zone>,
}

impl Config {
    /// Where the questions of those come in whose addresses are intercepted. What a listener for all
    /// addresses takes in needs none of its own.
    pub fn intercept_listen(&self) -> Vec<SocketAddr> {
        let intercept = self.interface.iter().flat_map(|interface| &interface.intercept);
        let sockets = intercept.map(|&ip| SocketAddr::new(ip, address::DNS_PORT));
        sockets.filter(|socket| !self.server.listen.iter().any(|own| address::takes_in(*own, *socket))).collect()
    }

    /// All addresses where questions come in, however they do.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.server.addresses().into_iter().chain(self.intercept_listen()).collect()
    }

    /// The zones that the file names.
    pub fn configured_zones(&self) -> impl Iterator<Item = &Zone> {
        self.zones.iter().filter(|zone| !zone.special)
    }

    /// Lets go of what zones own, once there are tables of it: it may be most of the configuration.
    pub fn forget_owned(&mut self) {
        for zone in &mut self.zones {
            zone.records = Vec::new();
            zone.patterns = Vec::new();
        }
    }
}

/// `[server]`: where questions come in.
#[derive(Debug)]
pub struct Server {
    /// UDP and TCP on each; never empty, no address twice.
    pub listen: Vec<SocketAddr>,
    /// One thread each; 1 to 64.
    pub workers: usize,
    /// Who may ask, beyond loopback and link-local listeners, which answer every client.
    pub allow: Vec<Prefix>,
    /// The most TCP connections at once, over all workers.
    pub tcp_connections: usize,
    /// How long a TCP connection may stay open with nothing asked.
    pub tcp_idle: Duration,
    /// How long one TCP message may take from its first octet to its last.
    pub tcp_read: Duration,
    /// How long answers may be late at a shutdown.
    pub drain: Duration,
    /// How long to answer on once told to stop.
    pub lameduck: Duration,
    pub tls: Option<ServerTls>,
}

impl Server {
    /// The addresses that the file has listeners for, with and without TLS.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listen.iter().chain(self.tls.iter().flat_map(|tls| &tls.listen)).copied().collect()
    }
}

/// `[server.tls]`: where they come in over TLS.
#[derive(Debug)]
pub struct ServerTls {
    /// Never empty, no address twice, none of [`Server::listen`].
    pub listen: Vec<SocketAddr>,
    /// Who we say we are.
    pub identity: Arc<CertifiedKey>,
    /// When the first of its certificates expires, in seconds since 1970; `None` when that cannot be
    /// read.
    pub expires: Option<u64>,
}

/// A range of addresses in CIDR notation. The bits of `address` below `length` are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    pub address: IpAddr,
    /// Leading bits that count: 0 to 32, or to 128.
    pub length: u8,
}

/// `[interface]`: the device that has our addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    pub name: String,
    /// No address twice, and none of `intercept`; one of the two lists is not empty.
    pub addresses: Vec<IpAddr>,
    /// Addresses of another DNS service whose questions we take.
    pub intercept: Vec<IpAddr>,
    /// Whether a stop takes away what we have added.
    pub remove_on_exit: bool,
}

/// `[admin]`: where operators look.
#[derive(Debug)]
pub struct Admin {
    /// `None`: no admin listener.
    pub listen: Option<SocketAddr>,
    /// More addresses for a scraper.
    pub metrics_listen: Vec<SocketAddr>,
    pub control: Control,
}

/// `[cache]`.
#[derive(Debug)]
pub struct Cache {
    /// A hard ceiling in bytes for all that is kept, the workers' fronts included.
    pub max_bytes: u64,
    /// What part of it denials may take, in percent.
    pub negative_share: u8,
    /// Whether hot answers are asked for anew before they run out.
    pub prefetch: bool,
    /// Where the cache outlives the process.
    pub persist: Option<PathBuf>,
}

/// `[log]`.
#[derive(Debug)]
pub struct Log {
    pub format: LogFormat,
    pub level: LogLevel,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    Text,
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
}

/// One `[[upstream]]`: servers that know the same.
#[derive(Debug)]
pub struct Upstream {
    /// The configured name, or the server as the zone spelled it. Labels its metrics.
    pub name: String,
    /// Never empty.
    pub servers: Vec<UpstreamServer>,
    /// Who is asked for the addresses of hosts; never empty where there are any.
    pub bootstrap: Vec<SocketAddr>,
    pub policy: Policy,
    /// Whether its AD bit is believed; `None`: where the path to the server is safe (loopback, TLS).
    pub trust_ad: Option<bool>,
    /// Whom its servers over TLS are to be vouched for by, and who we are; `Some` if there are any.
    pub tls: Option<Credentials>,
    /// Where questions over UDP leave from; `None`: as suits the address of the server.
    pub source_port: Option<SourcePort>,
    /// Whether names go out over UDP in random case.
    pub case_randomization: bool,
    /// The most questions out to one server at once.
    pub in_flight: usize,
}

/// The UDP ports that questions leave from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourcePort {
    /// A few, for a while.
    Shared,
    /// A new one each time.
    PerQuery,
}

/// Whose word is taken for who a server over TLS is, and who we say we are.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// Without a protocol that it would speak.
    pub client: Arc<ClientConfig>,
    /// The one that `client` has, to be asked for its reasons.
    pub verifier: Arc<WebPkiServerVerifier>,
    /// Differs whenever the certificates do.
    pub fingerprint: u64,
}

/// Where an upstream's servers come from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum UpstreamServer {
    /// One server.
    Address { transport: Transport, address: SocketAddr },
    /// The servers at the addresses of a host, for which the upstream's `bootstrap` is asked.
    Host { transport: Transport, host: Name, port: u16 },
    /// The `nameserver` lines of a file in resolv.conf(5) format.
    ResolvConf(PathBuf),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// UDP first, TCP when the reply was truncated.
    Udp,
    /// TCP only.
    Tcp,
    /// TLS, to whoever proves to be this: a name, or the server's address.
    Tls { name: ServerName<'static>, over: Over },
}

/// What TLS stands over, or under.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Over {
    /// DNS over TLS (RFC 7858).
    Tcp,
    /// DNS over HTTPS (RFC 8484), by POST to this path, which begins with a slash.
    Https { path: String },
    /// DNS over QUIC (RFC 9250).
    Quic,
}

/// The order in which an upstream's servers are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// The one whose answers take least; the others now and then.
    Fastest,
    /// As configured.
    Sequential,
    /// Each question starts one further.
    RoundRobin,
    Random,
}

/// One zone: a suffix, and how the names below it are answered.
#[derive(Debug)]
pub struct Zone {
    pub name: Name,
    /// Owned names: from `records`, hosts files and the zone file. All are within `name`.
    pub records: Vec<Record>,
    /// Regex wildcards, in file order.
    pub patterns: Vec<Pattern>,
    /// `None`: we own the whole zone. `Some`: we own only the names above.
    pub forward: Option<Forward>,
    /// The TTL of records and patterns that say none, in seconds.
    pub ttl: u32,
    /// Whether A and AAAA records also answer the reverse question.
    pub ptr: bool,
    /// What an owned name answers for a type it does not have, in a zone with `forward`.
    pub other_types: OtherTypes,
    /// What a name of an owned zone answers that is not there: NXDOMAIN, or NOERROR for NODATA.
    pub absent: Rcode,
    /// Nobody configured it: it keeps names on the node that must not leave it (RFC 6761).
    pub special: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtherTypes {
    /// NODATA.
    Nodata,
    /// The zone's upstream is asked.
    Forward,
}

/// Where a zone's other names are asked, and how long answers are kept.
#[derive(Clone, Debug)]
pub struct Forward {
    /// Indices into [`Config::upstreams`], in the order they are asked; never empty.
    pub groups: Vec<usize>,
    /// The most questions that wait for upstreams at once.
    pub in_flight: usize,
    pub next_on: NextOn,
    pub ttl: TtlRules,
    /// Names within the zone that are not of it, with all below them.
    pub except: Vec<Name>,
    /// Whether an NXDOMAIN answers for all below its name (RFC 8020).
    pub nxdomain_cut: bool,
    /// Names with more labels below the zone do not exist.
    pub max_labels: Option<usize>,
    pub stale: ServeStale,
}

/// What becomes of answers that have run out while no upstream answers (RFC 8767).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServeStale {
    /// How long an answer is kept beyond its TTL; zero is off.
    pub max_age: Duration,
    /// How long a client waits for upstreams before it gets the stale answer.
    pub after: Duration,
    /// The TTL of stale records, in seconds; never zero (RFC 8767, section 4).
    pub ttl: u32,
}

/// What makes the next group be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NextOn {
    pub nxdomain: bool,
    pub nodata: bool,
    pub servfail: bool,
    pub refused: bool,
    pub timeout: bool,
}

/// One `[[zone.match]]`.
#[derive(Clone, Debug)]
pub struct Pattern {
    /// Searched, unanchored, in the lower-cased name without its final dot. ASCII classes.
    pub regex: Expression,
    pub reaction: Reaction,
    /// Seconds.
    pub ttl: u32,
}

/// What a matching pattern answers.
#[derive(Clone, Debug)]
pub enum Reaction {
    /// Records, one for each template; never empty.
    Answer(Vec<Template>),
    /// A bare response code.
    Rcode(Rcode),
}

/// One record whose RDATA text is filled in from the pattern's groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    pub rtype: RecordType,
    pub pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    Text(String),
    /// A group of the pattern, by number; checked to exist.
    Group(usize),
}
