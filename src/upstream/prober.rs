//! Servers that are silent are asked nothing but whether they are back: by one prober for the whole
//! process, whatever the number of workers and questions.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::health::SILENCE;
use super::{Exchange, Server, Transport, Way};
use crate::clock::Clock;
use crate::dns::{Question, RecordType};

/// How often servers are looked at while one may be silent, and how long a suspect has to answer the
/// probe that decides.
const TICK: Duration = Duration::from_millis(250);
/// The pause between two probes of one server, so that it is used within a second of its return.
const PAUSE: Duration = Duration::from_millis(500);
/// How long the reply to a probe may take. Less than four pauses: so there is always room for another
/// connection, where those before hang while they are opened.
const REPLY: Duration = Duration::from_millis(1800);

/// Looks at the servers for ever. `servers` gives those in use now; `back` is told when one that was
/// silent has answered.
pub async fn probe(exchange: Rc<dyn Exchange>, clock: Clock, servers: impl Fn() -> Vec<Arc<Server>>, back: impl Fn()) {
    // The name servers of the root: known to every server, and asked of no further one.
    let Some(question) = Question::new(&[0], RecordType::NS, false, false) else { return };
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut probed: HashMap<*const super::Health, Instant> = HashMap::new();
    // Those of whom was not said that they are silent.
    let mut quiet: HashSet<*const super::Health> = HashSet::new();
    let mut probes = JoinSet::new();
    loop {
        // When it was due: measured from when it came, a pause would now and then be a tick longer.
        let tick = ticks.tick().await;
        while probes.try_join_next().is_some() {}
        let now = clock.now();
        let servers = servers();
        for server in &servers {
            let suspect = server.health.is_suspect(now);
            let key = Arc::as_ptr(&server.health);
            let last = probed.get(&key).map(|last| tick.saturating_duration_since(*last));
            if suspect && last.is_some_and(|last| last >= TICK && last < PAUSE + TICK) {
                server.health.set_aside();
            }
            let silent = server.health.is_silent();
            if server.series.note_silent(silent) {
                let upstream = server.series.upstream();
                // Of a server that is not trusted the log says that, and when it is.
                let is_said = matches!(&server.transport, Transport::Tls(tls) if tls.is_complained_of());
                if silent && is_said {
                    quiet.insert(key);
                } else if silent {
                    tracing::warn!(upstream, %server, "set aside: nothing came from it for a second");
                } else {
                    if !quiet.remove(&key) {
                        tracing::info!(upstream, %server, "answers again");
                    }
                    back();
                }
            }
            if suspect && last.is_none_or(|last| last >= PAUSE) {
                probed.insert(key, tick);
                server.series.probed();
                let (server, exchange, question) = (Arc::clone(server), Rc::clone(&exchange), question.clone());
                probes.spawn_local(async move {
                    let asking = exchange.exchange(&server, &question, Way::Usual);
                    if let Ok(Ok(reply)) = timeout(REPLY, asking).await {
                        server.health.heard(reply.arrived);
                    }
                });
            }
        }
        // Until one can be: a node whose servers answer, or are not asked, is not woken for this.
        let trusted = servers.iter().map(|server| server.health.trusted_for(now)).min().unwrap_or(SILENCE);
        let pause = TICK.saturating_mul(u32::try_from(trusted.as_micros().div_ceil(TICK.as_micros())).unwrap_or(1));
        // Who comes too late for that looks at once.
        if pause > TICK && tick.elapsed() < TICK {
            ticks.reset_at(tick + pause);
        }
        let is_used = |key: &_| servers.iter().any(|server| Arc::as_ptr(&server.health) == *key);
        probed.retain(|key, _| is_used(key));
        quiet.retain(is_used);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tokio::task::{LocalSet, spawn_local};
    use tokio::time::sleep;

    use super::*;
    use crate::metrics::ServerSeries;
    use crate::upstream::{Exchanged, UdpHabits};

    /// A network in which nobody answers.
    struct Silence;

    impl Exchange for Silence {
        fn exchange<'a>(&'a self, _: &'a Arc<Server>, _: &'a Question, _: Way) -> Exchanged<'a> {
            Box::pin(std::future::pending())
        }
    }

    /// When a server without answers is set aside, asked from `from` on, and the looks at it until then.
    async fn set_aside_after(from: Duration) -> (Duration, usize) {
        let clock = Clock::start();
        let server = Arc::new(Server {
            address: "192.0.2.1:53".parse().unwrap(),
            transport: Transport::Udp,
            trusted: false,
            health: Arc::default(),
            series: Arc::new(ServerSeries::new(String::new(), String::new())),
            habits: UdpHabits::default(),
            in_flight: 1,
        });
        let looks = Rc::new(Cell::new(0));
        let (seen, servers) = (Rc::clone(&looks), vec![Arc::clone(&server)]);
        let servers = move || {
            seen.set(seen.get() + 1);
            servers.clone()
        };
        let prober = spawn_local(probe(Rc::new(Silence), clock, servers, || ()));
        let start = clock.now();
        sleep(from).await;
        (0..3).for_each(|_| server.health.sent(clock.now()));
        while !server.health.is_silent() {
            sleep(Duration::from_millis(1)).await;
        }
        prober.abort();
        (clock.now().since(start) - from, looks.get())
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_is_not_asked_is_looked_at_once_a_second_and_silence_is_seen_as_soon_as_it_can_be() {
        LocalSet::new()
            .run_until(async {
                for millis in [30_000, 30_010, 30_240, 30_500, 30_990] {
                    let (after, looks) = set_aside_after(Duration::from_millis(millis)).await;
                    // A second of silence, up to a tick until that is seen, and one for the probe.
                    assert!((1250..=1510).contains(&after.as_millis()), "asked at {millis} ms: {after:?}");
                    assert!(looks <= 40, "{looks} looks");
                }
            })
            .await;
    }
}
