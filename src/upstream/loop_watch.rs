//! Servers that are in use are asked, now and then, a question of our own. When it comes back to us
//! it is not answered: whoever has nothing to say then cannot answer without us, and is set aside for
//! that zone until it can. A server that asks us among others, or of which somebody further on has a
//! way out, still answers, and goes on being asked.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::loops::{LastUse, Loops, Out};
use super::{Exchange, Health, Server, Way};
use crate::clock::Clock;
use crate::dns::message::Header;
use crate::dns::{Moment, Name, Rcode};

/// How often is looked whom to ask. A server gets one question at each look at most, however many
/// zones it serves.
const TICK: Duration = Duration::from_secs(1);
/// The pause between two questions in one zone to one server that is in use, …
const PAUSE: Duration = Duration::from_secs(30);
/// … and to one that is set aside, so that whoever mends a loop need not wait for long.
const PAUSE_ASIDE: Duration = Duration::from_secs(5);
/// How long a reply is waited for: a forwarder that gives up on us and asks another may take half of
/// the budget of a question.
const WINDOW: Duration = Duration::from_secs(3);

/// One zone's way to one server.
pub struct Route<'t> {
    pub zone: &'t Name,
    /// When the zone last asked anybody.
    pub used: &'t LastUse,
    pub server: &'t Arc<Server>,
}

/// When which zone's question went to which server.
type Asked = HashMap<*const Health, HashMap<Name, Moment>>;

/// Watches for ever. `routes` shows those in use now, each to whoever looks.
pub async fn watch_loops(
    exchange: Rc<dyn Exchange>,
    clock: Clock,
    loops: Arc<Loops>,
    routes: impl Fn(&mut dyn FnMut(Route<'_>)),
) {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut asked = Asked::new();
    let mut checks: JoinSet<Option<(Arc<Server>, Name)>> = JoinSet::new();
    loop {
        ticks.tick().await;
        while let Some(ended) = checks.try_join_next() {
            // Whoever is used again is asked again at once: the question may have been lost.
            if let Ok(Some((server, zone))) = ended
                && let Some(zones) = asked.get_mut(&Arc::as_ptr(&server.health))
            {
                zones.remove(&zone);
            }
        }
        let now = clock.now();
        let live = keep_what_is_live(&routes);
        asked.retain(|health, _| live.contains(health));
        let mut served = HashSet::new();
        for (zone, server) in due(&routes, &asked, now) {
            let health = Arc::as_ptr(&server.health);
            if !served.insert(health) {
                continue;
            }
            let Some(out) = loops.ask(&zone) else { continue };
            asked.entry(health).or_default().insert(zone.clone(), now);
            server.series.loop_checked();
            checks.spawn_local(check(Rc::clone(&exchange), zone, server, out));
        }
    }
}

/// Has servers forget zones that are not asked there any more, and gauges say what is so; returns the
/// servers there are.
fn keep_what_is_live(routes: impl Fn(&mut dyn FnMut(Route<'_>))) -> HashSet<*const Health> {
    let mut aside: HashMap<*const Health, (Arc<Server>, Vec<Name>)> = HashMap::new();
    routes(&mut |Route { zone, server, .. }| {
        if server.health.returning.any() {
            let health = Arc::as_ptr(&server.health);
            aside.entry(health).or_insert_with(|| (Arc::clone(server), Vec::new())).1.push(zone.clone());
        }
    });
    for (server, zones) in aside.values() {
        server.health.returning.keep_only(zones);
    }
    let mut live = HashSet::new();
    routes(&mut |Route { server, .. }| {
        server.series.note_loop(server.health.returning.any());
        live.insert(Arc::as_ptr(&server.health));
    });
    live
}

/// Whom to ask now, and for which zone: first those who were not asked for longest.
fn due(routes: impl Fn(&mut dyn FnMut(Route<'_>)), asked: &Asked, now: Moment) -> Vec<(Name, Arc<Server>)> {
    let mut due = Vec::new();
    routes(&mut |Route { zone, used, server }| {
        let last = || asked.get(&Arc::as_ptr(&server.health)).and_then(|zones| zones.get(zone)).copied();
        let aside = server.health.returning.has(zone);
        // What is not used sends nobody anything.
        let since = |used: &LastUse| used.at().filter(|at| now.since(*at) < PAUSE * 2);
        let used = since(used).zip(since(&server.health.used)).map(|(zone, server)| zone.min(server));
        let is_due = match (last(), used) {
            (None, used) => aside || used.is_some(),
            (Some(last), _) if aside => now.since(last) >= PAUSE_ASIDE,
            (Some(last), used) => now.since(last) >= PAUSE && used.is_some_and(|used| used > last),
        };
        if is_due {
            due.push((last(), zone.clone(), Arc::clone(server)));
        }
    });
    due.sort_by_key(|(last, ..)| *last);
    due.into_iter().map(|(_, zone, server)| (zone, server)).collect()
}

/// Asks one question, and sees what comes of it. Returns the server and the zone that it is used for
/// again.
async fn check(
    exchange: Rc<dyn Exchange>,
    zone: Name,
    server: Arc<Server>,
    mut out: Out,
) -> Option<(Arc<Server>, Name)> {
    let question = out.question.clone();
    let uncounted = Arc::new(server.uncounted());
    let asking = exchange.exchange(&uncounted, &question, Way::Usual);
    let answered = match timeout(WINDOW, asking).await {
        Ok(Ok(reply)) => {
            server.health.heard(reply.arrived);
            Header::read(&reply.octets).is_ok_and(|header| !is_failure(Rcode::new(header.rcode_bits().into())))
        }
        Ok(Err(_)) | Err(_) => false,
    };
    let comes_back = !answered && out.back.try_recv().is_ok();
    if !server.health.returning.note(&zone, comes_back) {
        return None;
    }
    server.series.note_loop(server.health.returning.any());
    let upstream = server.series.upstream();
    if comes_back {
        tracing::warn!(
            upstream, %server, %zone,
            "a forwarding loop: what this server is asked comes back to us, and without us it has no answer; it is \
             set aside for this zone until it has. Have it forward elsewhere, or name another server in `forward`"
        );
        return None;
    }
    tracing::info!(upstream, %server, %zone, "the forwarding loop has ended: this server is asked again");
    Some((server, zone))
}

/// What forwarders say when whom they asked has not answered. A denial is an answer: nobody has such
/// a name.
fn is_failure(rcode: Rcode) -> bool {
    matches!(rcode, Rcode::SERVFAIL | Rcode::REFUSED)
}
