//! Servers that are known by the name of their host: where they are is asked of bootstrap servers, and
//! asked again when that runs out. What was good last stays while nothing better comes.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::edns::{self, Tries};
use super::{Exchange, Health, Server, Transport, UdpHabits, Way};
use crate::clock::Clock;
use crate::dns::kept::addresses;
use crate::dns::{Name, Question, RecordType};
use crate::metrics::ServerSeries;

/// How long addresses are used, whatever their TTL.
const LEAST_TTL: Duration = Duration::from_secs(5);
const MOST_TTL: Duration = Duration::from_secs(3600);
/// The pauses after failures, doubling from one to the other.
const LEAST_PAUSE: Duration = Duration::from_secs(1);
const MOST_PAUSE: Duration = Duration::from_secs(30);
/// How long one bootstrap server has for its answer, until the next is asked.
const PATIENCE: Duration = Duration::from_secs(1);
/// The most addresses that are used.
const MOST_ADDRESSES: usize = 16;

/// A host, as certain servers know it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Host {
    pub name: Name,
    /// Asked in this order; never empty.
    pub bootstrap: Vec<SocketAddr>,
}

/// What is known of a host.
#[derive(Default)]
struct Known {
    /// In order, none twice.
    addresses: Vec<IpAddr>,
    /// Those of either family, as they were last answered.
    families: [Vec<IpAddr>; 2],
    /// How many more there are.
    unused: usize,
    failing: bool,
}

/// Asks for a host's addresses for ever. `last` are those that it had when others were asked, if it
/// had any; `found` is told whenever they have changed, and `unused` how many there are too many.
pub async fn resolve(
    exchange: &dyn Exchange,
    clock: Clock,
    host: &Host,
    last: Vec<IpAddr>,
    found: impl Fn(Vec<IpAddr>),
    unused: impl Fn(u64),
) {
    let server = |&address: &SocketAddr| {
        let series = ServerSeries::new("bootstrap".to_owned(), String::new());
        let (health, series) = (Arc::new(Health::default()), Arc::new(series));
        let habits = UdpHabits::suiting(address.ip());
        // One question for each family.
        Arc::new(Server { address, transport: Transport::Udp, trusted: false, health, series, habits, in_flight: 2 })
    };
    let servers: Vec<Arc<Server>> = host.bootstrap.iter().map(server).collect();
    let mut known = Known { addresses: last, ..Known::default() };
    let mut pause = LEAST_PAUSE;
    loop {
        let ask = |rtype| ask(exchange, clock, &servers, host, rtype);
        let (v4, v6) = tokio::join!(ask(RecordType::A), ask(RecordType::AAAA));
        if known.take_in(host, [&v4, &v6]) {
            found(known.addresses.clone());
        }
        if known.unused > 0 {
            unused(known.unused as u64);
        }
        let ttls = [&v4, &v6].into_iter().flatten().filter(|(addresses, _)| !addresses.is_empty()).map(|(_, ttl)| *ttl);
        let is_whole = v4.is_some() && v6.is_some();
        if let Some(ttl) = ttls.min().filter(|_| is_whole) {
            pause = LEAST_PAUSE;
            sleep(Duration::from_secs(ttl.into()).clamp(LEAST_TTL, MOST_TTL)).await;
        } else {
            sleep(pause).await;
            pause = (pause * 2).min(MOST_PAUSE);
        }
    }
}

impl Known {
    /// Takes what either family was answered with, `None` for a failure. `true`: the addresses are
    /// others now.
    fn take_in(&mut self, host: &Host, answered: [&Option<(Vec<IpAddr>, u32)>; 2]) -> bool {
        let mut families = self.families.clone();
        for (family, answer) in families.iter_mut().zip(answered) {
            if let Some((addresses, _)) = answer {
                family.clone_from(addresses);
            }
        }
        let mut all: Vec<IpAddr> = families.iter().flatten().copied().filter(is_usable).collect();
        all.sort_unstable();
        all.dedup();
        self.unused = all.len().saturating_sub(MOST_ADDRESSES);
        all.truncate(MOST_ADDRESSES);
        let failing = all.is_empty() || answered.iter().all(|answer| answer.is_none());
        if failing != self.failing {
            self.failing = failing;
            match (failing, self.addresses.is_empty()) {
                (true, true) => tracing::warn!(host = %host.name, "upstream is not asked: its address is not known"),
                (true, false) => tracing::warn!(
                    host = %host.name,
                    "the addresses of an upstream cannot be had: it is asked at the last ones"
                ),
                (false, _) => tracing::info!(host = %host.name, "the addresses of an upstream can be had"),
            }
        }
        if all.is_empty() {
            return false;
        }
        self.families = families;
        if all == self.addresses {
            return false;
        }
        self.addresses = all;
        let shown: Vec<String> = self.addresses.iter().map(ToString::to_string).collect();
        tracing::info!(host = %host.name, addresses = shown.join(" "), "an upstream is there");
        true
    }
}

fn is_usable(address: &IpAddr) -> bool {
    !address.is_unspecified() && !address.is_multicast()
}

/// What the first server that answers says, and for how many seconds it holds.
async fn ask(
    exchange: &dyn Exchange,
    clock: Clock,
    servers: &[Arc<Server>],
    host: &Host,
    rtype: RecordType,
) -> Option<(Vec<IpAddr>, u32)> {
    let question = Question::new(host.name.wire(), rtype, false, false)?;
    for server in servers {
        let tries = Tries::default();
        let asking = edns::ask(exchange, server, &question, Way::Usual, &tries, || clock.now());
        if let Ok(Ok(reply)) = timeout(PATIENCE, asking).await
            && let Ok(answer) = addresses(&question, &reply.octets)
        {
            return Some(answer);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_addresses_the_first_are_used_and_the_others_counted() {
        let name = Name::from_text("dns.b.example.", &Name::root()).unwrap();
        let host = Host { name, bootstrap: Vec::new() };
        let mut known = Known::default();
        let v4 = (1..=20).map(|last| IpAddr::from([192, 0, 2, last])).collect();
        assert!(known.take_in(&host, [&Some((v4, 60)), &None]));
        assert_eq!((known.addresses.len(), known.unused), (MOST_ADDRESSES, 4));
        assert!(known.take_in(&host, [&Some((vec![[192, 0, 2, 1].into()], 60)), &None]));
        assert_eq!(known.unused, 0);
    }
}
