//! Servers that know the same, and the order in which they are asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use rand::RngExt;

use super::{Allowance, Server};
use crate::config::Policy;
use crate::dns::{Moment, Name};

/// `fastest` asks another than the fastest first for one question in so many, …
const EXPLORE: usize = 32;
/// … and no more often than this, so that it learns when another has become faster.
const EXPLORE_PAUSE: Duration = Duration::from_secs(1);

/// One upstream group.
#[derive(Debug)]
pub struct Group {
    pub name: String,
    pub servers: Vec<Arc<Server>>,
    /// Of questions that are sent again because an answer is late.
    pub hedges: Allowance,
    policy: Policy,
    turn: AtomicUsize,
    /// When another than the fastest was last asked first, in seconds.
    explored: AtomicU64,
}

impl Group {
    pub fn new(name: String, servers: Vec<Arc<Server>>, policy: Policy) -> Self {
        let (turn, explored) = (AtomicUsize::new(0), AtomicU64::new(0));
        Self { name, servers, hedges: Allowance::default(), policy, turn, explored }
    }

    /// Whether any server may be asked in this zone.
    pub fn has_usable(&self, zone: &Name) -> bool {
        self.usable(zone).next().is_some()
    }

    /// Those that are not set aside, for being silent or for leading back to us in this zone.
    fn usable(&self, zone: &Name) -> impl Iterator<Item = &Arc<Server>> {
        self.servers.iter().filter(|server| !server.health.is_silent() && !server.health.returning.has(zone))
    }

    /// The servers to ask in this zone, the first in front; none when all are set aside, or there are
    /// none.
    pub fn order(&self, zone: &Name, now: Moment) -> Vec<Arc<Server>> {
        let mut order: Vec<Arc<Server>> = self.usable(zone).cloned().collect();
        if order.len() > 1 {
            match self.policy {
                Policy::Fastest => {
                    // Stable: among equals, and before anything is known, the configured order.
                    order.sort_by_key(|server| server.health.round_trip());
                    if self.explores(now) {
                        let other = 1 + self.turn.load(Relaxed) / EXPLORE % (order.len() - 1);
                        order[..=other].rotate_right(1);
                    }
                }
                Policy::Sequential => {}
                Policy::RoundRobin => {
                    let first = self.turn.fetch_add(1, Relaxed) % order.len();
                    order.rotate_left(first);
                }
                Policy::Random => {
                    let first = rand::rng().random_range(0..order.len());
                    order.rotate_left(first);
                }
            }
        }
        order
    }

    fn explores(&self, now: Moment) -> bool {
        let is_turn = self.turn.fetch_add(1, Relaxed) % EXPLORE == EXPLORE - 1;
        let last = self.explored.load(Relaxed);
        let now = now.since(Moment::ORIGIN).as_secs();
        is_turn
            && now >= last + EXPLORE_PAUSE.as_secs()
            && self.explored.compare_exchange(last, now, Relaxed, Relaxed).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::ServerSeries;
    use crate::upstream::{Transport, UdpHabits};

    fn group(policy: Policy) -> Group {
        let server = |port: u16| {
            let series = Arc::new(ServerSeries::new("g".to_owned(), port.to_string()));
            Arc::new(Server {
                address: ([127, 0, 0, 1], port).into(),
                transport: Transport::Udp,
                trusted: true,
                health: Arc::default(),
                series,
                habits: UdpHabits::default(),
                in_flight: 1,
            })
        };
        Group::new("g".to_owned(), (1..=3).map(server).collect(), policy)
    }

    fn at(seconds: u64) -> Moment {
        Moment::after_origin(Duration::from_secs(seconds))
    }

    fn ports(group: &Group, now: Moment) -> Vec<u16> {
        group.order(&Name::root(), now).iter().map(|server| server.address.port()).collect()
    }

    #[test]
    fn every_policy_names_every_server_once() {
        let sequential = group(Policy::Sequential);
        assert_eq!([ports(&sequential, at(0)), ports(&sequential, at(0))], [[1, 2, 3], [1, 2, 3]]);
        let round_robin = group(Policy::RoundRobin);
        assert_eq!([ports(&round_robin, at(0)), ports(&round_robin, at(0))], [[1, 2, 3], [2, 3, 1]]);
        let random = group(Policy::Random);
        let mut firsts: Vec<u16> = (0..200).map(|_| ports(&random, at(0))[0]).collect();
        firsts.sort_unstable();
        firsts.dedup();
        assert_eq!(firsts, [1, 2, 3]);
    }

    #[test]
    fn the_fastest_is_first_and_the_others_are_tried_now_and_then() {
        let group = group(Policy::Fastest);
        assert_eq!(ports(&group, at(0)), [1, 2, 3]);
        for (server, millis) in group.servers.iter().zip([30, 10, 20]) {
            server.health.answered(Duration::from_millis(millis));
        }
        assert_eq!(ports(&group, at(0)), [2, 3, 1]);
        let others: Vec<Vec<u16>> =
            (0..320_000).map(|n| ports(&group, at(1 + n / 100))).filter(|p| p[0] != 2).collect();
        assert!((2000..=3200).contains(&others.len()), "{} times in 3200 seconds", others.len());
        assert!(others.contains(&vec![3, 2, 1]) && others.contains(&vec![1, 2, 3]));
    }

    #[test]
    fn servers_that_lead_back_are_left_out_of_their_zone() {
        let (group, zone) = (group(Policy::Sequential), Name::from_text("a.", &Name::root()).unwrap());
        group.servers[0].health.returning.note(&Name::root(), true);
        assert_eq!(ports(&group, at(1)), [2, 3]);
        assert_eq!(group.order(&zone, at(1)).len(), 3);
        group.servers[1..].iter().for_each(|server| server.health.set_aside());
        assert!(!group.has_usable(&Name::root()) && group.has_usable(&zone));
    }

    #[test]
    fn silent_servers_are_left_out() {
        let group = group(Policy::RoundRobin);
        assert_eq!(ports(&group, at(1)), [1, 2, 3]);
        group.servers[1].health.set_aside();
        assert_eq!(ports(&group, at(2)), [3, 1]);
        group.servers[1].health.heard(at(3));
        assert_eq!(ports(&group, at(3)).len(), 3);
    }
}
