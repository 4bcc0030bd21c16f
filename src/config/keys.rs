//! Every key of the configuration file: the one source for what is known, for defaults and
//! ranges, and for docs/configuration.md.

use std::sync::OnceLock;
use std::time::Duration;

use toml::de::DeValue;

/// Where a key stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    Server,
    ServerTls,
    Interface,
    Admin,
    Cache,
    Log,
    Upstream,
    Zone,
    ServeStale,
    Match,
}

/// What a key takes. Ranges are inclusive.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Count {
        min: u64,
        max: u64,
    },
    Duration {
        min: Duration,
        max: Duration,
    },
    /// A duration of whole seconds.
    Ttl {
        max: u32,
    },
    Size {
        min: u64,
        max: u64,
    },
    Flag,
    /// One of these, in this spelling.
    Word {
        words: &'static [&'static str],
    },
    /// Several of these, whatever their case.
    Words(&'static [&'static str]),
    /// A string, described.
    Text(&'static str),
    /// A list of strings, described.
    Texts(&'static str),
}

/// What holds when the file does not say.
#[derive(Clone, Copy, Debug)]
pub(super) enum Preset {
    /// The key must be there.
    Required,
    /// As if this TOML value stood there.
    Toml(&'static str),
    /// Worked out elsewhere, described.
    Described(#[cfg_attr(not(test), expect(dead_code, reason = "the documentation is written from it"))] &'static str),
}

#[derive(Debug)]
pub(super) struct Key {
    pub(super) section: Section,
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) preset: Preset,
    /// Its default, once that has been read.
    default: OnceLock<Option<DeValue<'static>>>,
    /// What it is for, in the words of the documentation.
    #[cfg_attr(not(test), expect(dead_code, reason = "the documentation is written from it"))]
    pub(super) reason: &'static str,
}

/// The longest TTL (RFC 2181, section 8), in seconds.
pub(super) const MAX_TTL: u32 = 0x7fff_ffff;

/// Questions out to a server at once when the file has no `[[upstream]]` for it.
pub(super) const DEFAULT_SERVER_IN_FLIGHT: usize = 4096;

/// Workers at most when the file does not say: more only help a node that does nothing else.
pub(super) const DEFAULT_WORKERS: usize = 4;

impl Section {
    pub(super) const ALL: &[Self] = &[
        Self::Server,
        Self::ServerTls,
        Self::Interface,
        Self::Admin,
        Self::Cache,
        Self::Log,
        Self::Upstream,
        Self::Zone,
        Self::ServeStale,
        Self::Match,
    ];

    /// As keys are named with it: `zone.match`.
    pub(super) const fn path(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::ServerTls => "server.tls",
            Self::Interface => "interface",
            Self::Admin => "admin",
            Self::Cache => "cache",
            Self::Log => "log",
            Self::Upstream => "upstream",
            Self::Zone => "zone",
            Self::ServeStale => "zone.serve-stale",
            Self::Match => "zone.match",
        }
    }

    /// Whether there may be many, in double brackets.
    pub(super) const fn is_repeated(self) -> bool {
        matches!(self, Self::Upstream | Self::Zone | Self::Match)
    }

    /// As the file spells it: `[server]`, `[[zone]]`.
    pub(super) fn header(self) -> String {
        let path = self.path();
        if self.is_repeated() { format!("[[{path}]]") } else { format!("[{path}]") }
    }

    pub(super) fn keys(self) -> impl Iterator<Item = &'static Key> {
        KEYS.iter().copied().filter(move |key| key.section == self)
    }
}

impl Key {
    /// `zone.ttl`.
    pub(super) fn path(&self) -> String {
        format!("{}.{}", self.section.path(), self.name)
    }

    /// The value that holds when the file does not say, if there is one. Read once: ten thousand
    /// zones ask for it.
    pub(super) fn default(&self) -> Option<&DeValue<'static>> {
        let Toml(text) = self.preset else { return None };
        self.default.get_or_init(|| Some(DeValue::parse(text).ok()?.into_inner())).as_ref()
    }
}

macro_rules! keys {
    ($($constant:ident: $section:ident $name:literal, $kind:expr, $default:expr, $reason:literal;)*) => {
        $(pub(super) static $constant: Key = Key {
            section: Section::$section, name: $name, kind: $kind, preset: $default, default: OnceLock::new(),
            reason: $reason,
        };)*

        /// All of them, section by section.
        pub(super) static KEYS: &[&Key] = &[$(&$constant),*];
    };
}

use Kind::{Count, Flag, Size, Text, Texts, Ttl, Word, Words};
use Preset::{Described, Required, Toml};

const fn seconds(min: u64, max: u64) -> Kind {
    Kind::Duration { min: Duration::from_secs(min), max: Duration::from_secs(max) }
}

keys! {
LISTEN: Server "listen", Texts("IP addresses, with a port unless it is 53"), Required,
    "Where questions come in, over UDP and TCP on each.";
WORKERS: Server "workers", Count { min: 1, max: 64 }, Described("one per core, at most 4"),
    "Threads that answer, each with sockets of its own.";
ALLOW: Server "allow", Texts("prefixes"),
    Toml(r#"["127.0.0.0/8", "::1/128", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "fc00::/7", "fe80::/10"]"#),
    "Who may ask: private, shared and link-local ranges unless said. A loopback or link-local listener answers every client.";
TCP_CONNECTIONS: Server "tcp-connections", Count { min: 1, max: 65_536 }, Toml("1024"),
    "The most TCP connections at once, over all workers, those of `server.tls` included.";
TCP_IDLE: Server "tcp-idle", seconds(1, 3600), Toml(r#""10s""#),
    "How long a TCP connection may stay open with nothing asked.";
TCP_READ: Server "tcp-read", Kind::Duration { min: Duration::from_millis(100), max: Duration::from_secs(60) }, Toml(r#""5s""#),
    "How long one TCP message may take from its first octet to its last, so that a slow client holds nothing up; and how long a TLS handshake may take.";
PRIVATE_REVERSE: Server "private-reverse", Word { words: &["forward", "local"] }, Toml(r#""forward""#),
    "Whether the reverse names of private addresses (RFC 6303, RFC 7793) that no zone but `.` covers are asked upstream or answered here.";
DRAIN: Server "drain", seconds(0, 60), Toml(r#""5s""#),
    "How long answers may be late at a shutdown.";
LAMEDUCK: Server "lameduck", seconds(0, 60), Toml(r#""0s""#),
    "How long zerohop answers on after it was told to stop, while /ready already says 503: for whoever sends clients here only while it is ready. A second signal ends it. Not where another process takes over at once: with a standby (docs/restarts.md) or systemd's store of descriptors (docs/systemd.md). Nodes with one address for good need none.";

TLS_LISTEN: ServerTls "listen", Texts("IP addresses, with a port unless it is 853"), Required,
    "Where questions come in over TLS.";
TLS_CERTIFICATE: ServerTls "certificate", Text("a path"), Required,
    "A PEM file of our certificate, and behind it those that vouch for it. Relative to this file's directory.";
TLS_KEY: ServerTls "key", Text("a path"), Required,
    "A PEM file of the private key to `certificate`.";

INTERFACE_NAME: Interface "name", Text("the name of a device"), Toml(r#""zerohop0""#),
    "The device that has the addresses: a `dummy` of our own, made when it is missing, or `lo`.";
INTERFACE_ADDRESSES: Interface "addresses", Texts("IP addresses, with or without `/32` or `/128`"), Described("the link-local IPv4 and unique local IPv6 addresses of `server.listen`"),
    "What is put on the device, and put back when it goes.";
INTERCEPT: Interface "intercept", Texts("IP addresses"), Toml("[]"),
    "Addresses of another DNS service, such as the ClusterIP of kube-dns, whose questions are taken on this node: the device has them as well, zerohop answers there on port 53, and rules of nftables have connection tracking, and so kube-proxy, pass them by. Where that cannot work, the log says why, and the questions go where they went.";
REMOVE_ON_EXIT: Interface "remove-on-exit", Flag, Toml("false"),
    "Whether a stop takes away what zerohop has added. Otherwise the device stays for the next start, and no question meets a missing address in between.";

ADMIN_LISTEN: Admin "listen", Text("an IP address with a port, or `off`"), Toml(r#""127.0.0.1:9153""#),
    "Where operators look: /metrics, /health, /ready.";
METRICS_LISTEN: Admin "metrics-listen", Texts("IP addresses with a port"), Toml("[]"),
    "More addresses for a scraper: /metrics and /health and /ready only.";
CONTROL: Admin "control", Text("a path, or `off`"), Described("`$RUNTIME_DIRECTORY/control.sock` below systemd, else `/run/zerohop/control.sock` for root, `$XDG_RUNTIME_DIR/zerohop.sock` for others, and none without that"),
    "The socket that `zerohop health`, `reload` and `run --join` talk to, for root and the user that serves. While it is held, no other instance starts with it, but to join. Relative to this file's directory.";

MAX_BYTES: Cache "max-bytes", Size { min: 1 << 20, max: 1 << 40 }, Toml(r#""64MiB""#),
    "A hard ceiling for all that is kept: one cache for all zones.";
NEGATIVE_SHARE: Cache "negative-share", Count { min: 1, max: 90 }, Toml("20"),
    "What part of it NXDOMAIN and NODATA may take, in percent. The rest is for data alone, so that a flood of names that do not exist pushes out none that do.";
PREFETCH: Cache "prefetch", Flag, Toml("true"),
    "Whether answers that were found three times are asked for anew in the last tenth of their life, so that nobody waits for them. Not those that live for less than 5 s: there a tenth is too short for that.";
PERSIST: Cache "persist", Text("an absolute path"), Described("none: the cache ends with the process"),
    "A file that the cache is written to every 5 minutes and at a stop, and read from at a start, in the background. It is ours alone: a regular file of the user that serves with mode 0600, and its directory is made when it is missing. [restarts.md](restarts.md) has the particulars.";

LOG_FORMAT: Log "format", Word { words: &["auto", "text", "json"] }, Toml(r#""auto""#),
    "`auto` is text on a terminal and JSON elsewhere.";
LOG_LEVEL: Log "level", Word { words: &["error", "warn", "info", "debug"] }, Toml(r#""info""#),
    "The least severe lines that are written.";

UPSTREAM_NAME: Upstream "name", Text("a word"), Required,
    "What zones call it in `forward`, and its label in metrics.";
SERVERS: Upstream "servers", Texts("servers"), Required,
    "Servers that know the same: `IP`, `IP:port`, `[v6]:port`, with `udp://` (TCP when truncated) or `tcp://` in front; `tls://IP[:853]#name` for DNS over TLS, `https://IP[:443][/dns-query]#name` for DNS over HTTPS, `quic://IP[:853]#name` for DNS over QUIC, where the certificate must be for `name`, or without it for the address. In place of an address a host name may stand, as `tls://dns.example`: `bootstrap` knows its addresses, and without `#name` the certificate must be for it. Or `resolv-conf:/path` for the nameservers of a file; if that names nobody but zerohop, for those of `/etc/zerohop/resolv.conf.upstream` (docs/resolv-conf.md).";
BOOTSTRAP: Upstream "bootstrap", Texts("IP addresses, with or without port"), Described("none: `servers` has no host names"),
    "Servers that are asked, over UDP, for the addresses of the host names in `servers`: nobody else is, least of all zerohop itself.";
POLICY: Upstream "policy", Word { words: &["fastest", "sequential", "round-robin", "random"] }, Toml(r#""fastest""#),
    "The order in which servers are asked: the one that answers fastest first, as written, each question starting one further, or by chance.";
TRUST_AD: Upstream "trust-ad", Flag, Described("servers on loopback and over TLS are believed"),
    "Whether the AD bit (RFC 4035) of its replies is believed.";
CA: Upstream "ca", Text("a path"), Described("what the system trusts, or `SSL_CERT_FILE`"),
    "A PEM file of the certificates that vouch for the servers over TLS, and no others do. Relative to this file's directory.";
CERTIFICATE: Upstream "certificate", Text("a path"), Described("none"),
    "A PEM file of the certificate that we show to servers over TLS, and those that vouch for it. Stands together with `key`.";
CLIENT_KEY: Upstream "key", Text("a path"), Described("none"),
    "A PEM file of the private key to `certificate`.";
SOURCE_PORT: Upstream "source-port", Word { words: &["shared", "per-query"] }, Described("`shared` for servers at loopback, private, shared and link-local addresses, `per-query` for all others"),
    "The UDP ports that questions leave from: eight for each worker, for a minute and many questions each, or a new one for each question. That costs more, and is more for a forger to guess (RFC 5452).";
CASE_RANDOMIZATION: Upstream "case-randomization", Flag, Toml("false"),
    "Whether names are sent over UDP with their letters in random case, which a forger has to guess as well. A reply in another case is asked for again over TCP: a server that does not keep the case costs time, not the answer.";
SERVER_IN_FLIGHT: Upstream "in-flight", Count { min: 1, max: 65_536 }, Toml("4096"),
    "The most questions that are out to one of its servers at once, over all workers. Beyond that the next server is asked, and when all are full, clients get a stale answer or REFUSED. The default is as many as one worker has waiting at most; less protects a server that cannot take so many.";

ZONE_NAME: Zone "name", Text("a domain name"), Described("`names`"),
    "The suffix it answers for; a question belongs to the longest. `.` is everything else. One of `name` and `names` must stand.";
ZONE_NAMES: Zone "names", Texts("domain names"), Described("`name`"),
    "Several suffixes that are treated alike.";
ZONE_TTL: Zone "ttl", Ttl { max: MAX_TTL }, Toml("30"),
    "The TTL of records and patterns that say none.";
RECORDS: Zone "records", Texts("records in presentation format"), Toml("[]"),
    "Names answered here: `owner [ttl] TYPE data`, relative to the zone, any record type; `*` as first label is a wildcard (RFC 4592).";
HOSTS: Zone "hosts", Texts("paths"), Toml("[]"),
    "Files in hosts(5) format; of their names those within the zone count. Relative to this file's directory.";
ZONE_FILE: Zone "zone-file", Text("a path"), Described("none"),
    "A file of records (RFC 1035, section 5). Relative to this file's directory.";
PTR: Zone "ptr", Flag, Toml("false"),
    "Whether A and AAAA records also answer the reverse question, if some zone covers it.";
OTHER_TYPES: Zone "other-types", Word { words: &["nodata", "forward"] }, Toml(r#""nodata""#),
    "What an owned name answers for a type it does not have, in a zone with `forward`.";
FORWARD: Zone "forward", Texts("names of upstreams, or servers"), Described("none: every name of the zone is answered here"),
    "Whom to ask for the names that are not owned, group by group.";
ZONE_IN_FLIGHT: Zone "in-flight", Count { min: 1, max: 65_536 }, Toml("2048"),
    "The most different questions of each of its names that wait for upstreams at once, over all workers. Beyond that clients get a stale answer or REFUSED. The default is half of what one worker has room for, so that a zone whose upstreams are dead never takes all the room of the others.";
NEXT_ON: Zone "next-on", Words(&["NXDOMAIN", "NODATA", "SERVFAIL", "REFUSED", "TIMEOUT"]), Toml(r#"["SERVFAIL", "REFUSED", "TIMEOUT"]"#),
    "What makes the next group of `forward` be asked.";
MIN_TTL: Zone "min-ttl", Ttl { max: MAX_TTL }, Toml("0"),
    "Upstream answers with a lower TTL are kept this long; one of TTL 0 is never kept.";
MAX_TTL_KEY: Zone "max-ttl", Ttl { max: MAX_TTL }, Toml(r#""1d""#),
    "Upstream answers are kept no longer than this.";
NEGATIVE_MAX_TTL: Zone "negative-max-ttl", Ttl { max: MAX_TTL }, Toml(r#""1h""#),
    "NXDOMAIN and NODATA are kept no longer than this; a few seconds where names come and go.";
EXCEPT: Zone "except", Texts("domain names"), Toml("[]"),
    "Names within the zone which, with all below them, are not of it: they belong to the next enclosing zone, or are REFUSED without one. For a zone with `forward`.";
NXDOMAIN_CUT: Zone "nxdomain-cut", Flag, Toml("false"),
    "Whether an NXDOMAIN that an upstream gave for a name also answers its other types and all names below it, for as long as it is kept (RFC 8020).";
MAX_LABELS: Zone "max-labels", Count { min: 1, max: 127 }, Described("no limit"),
    "Names with more labels than this below the zone, and not owned, are NXDOMAIN here and nobody is asked. Leading labels that begin with `_` do not count. For `cluster.local` 4 is right: `hostname.service.namespace.svc` is the longest name that Kubernetes makes, but for SRV names as `_port._proto.service.namespace.svc`. See [search-paths.md](search-paths.md).";

STALE_MAX_AGE: ServeStale "max-age", seconds(0, 7 * 86_400), Toml(r#""1d""#),
    "How long an answer is kept beyond its TTL, for when no upstream answers; 0 is off.";
STALE_AFTER: ServeStale "after", Kind::Duration { min: Duration::ZERO, max: Duration::from_secs(4) }, Toml(r#""1800ms""#),
    "How long a client waits for upstreams before it gets the stale answer. Asking goes on.";
STALE_TTL: ServeStale "ttl", seconds(1, 3600), Toml(r#""30s""#),
    "The TTL that stale records are given with, in whole seconds.";

PATTERN: Match "pattern", Text("a regular expression"), Required,
    "Searched in the name, which is in lower case and without its final dot. Anchor it with `^` and `$`. In file order, after `records`.";
ANSWER: Match "answer", Texts("templates"), Described("`rcode`"),
    "Records to answer with: a type and its data, where `${group}` or `$1` stands for what a group of the pattern matched and `$$` for a dollar sign. One of `answer` and `rcode` must stand.";
RCODE: Match "rcode", Word { words: &["NXDOMAIN", "NODATA", "NOERROR", "REFUSED", "SERVFAIL", "NOTIMP"] }, Described("`answer`"),
    "A response code to answer with; NODATA and NOERROR are the same.";
MATCH_TTL: Match "ttl", Ttl { max: MAX_TTL }, Described("the zone's `ttl`"),
    "The TTL of the answer.";
}

/// Keys that are planned and not in this version: better said than called unknown.
pub(super) const LATER: &[(Section, &[&str])] = &[
    (Section::Server, &[]),
    (Section::ServerTls, &[]),
    (Section::Interface, &[]),
    (Section::Admin, &["families"]),
    (Section::Cache, &[]),
    (Section::Log, &["queries", "dnstap", "sample-rate"]),
    (Section::Upstream, &[]),
    (Section::Zone, &[]),
    (Section::ServeStale, &[]),
    (Section::Match, &[]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_stands_twice_and_none_is_both_here_and_planned() {
        for (at, key) in KEYS.iter().enumerate() {
            assert!(KEYS[..at].iter().all(|other| other.path() != key.path()), "{}", key.path());
            let later = LATER.iter().find(|(section, _)| *section == key.section).unwrap();
            assert!(!later.1.contains(&key.name), "{}", key.path());
        }
    }
}
