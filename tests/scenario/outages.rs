//! Upstreams that fail in turn, are slow, or lose packets, under load: what clients notice of it.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use hickory_proto::op::ResponseCode;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::Instant;

use crate::world::{Act, World, millis, packet, pass, play, seconds};

const TWO: &str =
    "[[upstream]]\nname = 'two'\nservers = ['10.0.0.1', '10.0.0.2']\n[[zone]]\nname = '.'\nforward = ['two']\n";
const ONE: &str = "[[zone]]\nname = '.'\nforward = ['10.0.0.1']\n";

fn is_first(server: SocketAddr) -> bool {
    server.ip().to_string() == "10.0.0.1"
}

/// What a server in trouble makes of a question.
type Trouble = Box<dyn Fn(&str) -> Act>;

/// What clients saw: how long each answer took, and how many were none.
struct Seen {
    took: Vec<Duration>,
    failed: usize,
}

impl Seen {
    fn percentile(&self, percent: usize) -> Duration {
        self.took[(self.took.len() - 1) * percent / 100]
    }

    fn max(&self) -> Duration {
        self.took.last().copied().unwrap_or_default()
    }
}

/// Asks for new names at an even rate, each on its own, and waits for all answers.
async fn load(world: Rc<World>, per_second: u64, lasting: Duration) -> Seen {
    let seen = Rc::new(RefCell::new(Seen { took: Vec::new(), failed: 0 }));
    let pause = Duration::from_micros(1_000_000 / per_second);
    let count = u64::try_from(lasting.as_micros() / pause.as_micros()).unwrap();
    let began = Instant::now();
    let mut asking = tokio::task::JoinSet::new();
    for number in 0..count {
        tokio::time::sleep_until(began + pause * u32::try_from(number).unwrap()).await;
        let (world, seen) = (Rc::clone(&world), Rc::clone(&seen));
        asking.spawn_local(async move {
            let asked = Instant::now();
            let answer = world.ask_worker(0, &packet(&format!("n{number}.example. A"))).await.expect("a reply");
            let mut seen = seen.borrow_mut();
            seen.took.push(asked.elapsed());
            seen.failed += usize::from(answer.rcode() != ResponseCode::NoError);
        });
    }
    while asking.join_next().await.is_some() {}
    let mut seen = Rc::into_inner(seen).expect("all have ended").into_inner();
    seen.took.sort_unstable();
    assert_eq!(seen.took.len() as u64, count);
    seen
}

fn answer(question: &str) -> Act {
    let name = question.split(' ').next().unwrap();
    Act::data(&format!("{name} 30 A 192.0.2.1"))
}

/// Two upstreams, of which the first is in trouble for the seconds 2 to 7, the second for 10 to 15:
/// 500 new names a second for 20 seconds.
fn in_turn(trouble: impl Fn(&str) -> Act + 'static) -> Seen {
    play(|| async {
        let world = Rc::new(World::new(TWO));
        let began = Instant::now();
        world.script(move |server, question| {
            let at = began.elapsed();
            let (from, to) = if is_first(server) { (2, 7) } else { (10, 15) };
            if at >= seconds(from) && at < seconds(to) { trouble(question) } else { answer(question) }
        });
        load(world, 500, seconds(20)).await
    })
}

#[test]
fn two_upstreams_in_trouble_in_turn_are_no_trouble_for_clients() {
    let loss = RefCell::new(StdRng::seed_from_u64(1));
    let troubles: [(&str, Trouble); 7] = [
        ("silent", Box::new(|_| Act::Silence)),
        ("refusing", Box::new(|_| Act::Unreachable)),
        ("SERVFAIL", Box::new(|_| Act::rcode(ResponseCode::ServFail))),
        ("REFUSED", Box::new(|_| Act::rcode(ResponseCode::Refused))),
        ("garbage", Box::new(|_| Act::Garbage)),
        ("30 % loss", Box::new(move |q| if loss.borrow_mut().random_bool(0.3) { Act::Silence } else { answer(q) })),
        ("300 ms late", Box::new(|question| answer(question).late(millis(300)))),
    ];
    for (name, trouble) in troubles {
        let seen = in_turn(trouble);
        let (p99, max) = (seen.percentile(99), seen.max());
        println!("{name}: {} failed, p50 {:?}, p99 {p99:?}, max {max:?}", seen.failed, seen.percentile(50));
        assert_eq!(seen.failed, 0, "{name}");
        assert!(p99 <= millis(50) && max <= millis(500), "{name}: p99 {p99:?}, max {max:?}");
    }
}

#[test]
fn one_upstream_that_loses_every_fifth_packet_answers_nearly_everything() {
    let seen = play(|| async {
        let world = Rc::new(World::new(ONE));
        let loss = RefCell::new(StdRng::seed_from_u64(2));
        world.script(move |_, question| match loss.borrow_mut().random_bool(0.2) {
            true => Act::Lost(format!("{} 30 A 192.0.2.1", question.trim_end_matches(" A"))),
            false => answer(question),
        });
        load(world, 1000, seconds(30)).await
    });
    println!("20 % loss: {} of 30,000 failed, p99 {:?}, max {:?}", seen.failed, seen.percentile(99), seen.max());
    assert!(seen.failed <= 3, "{}", seen.failed);
    assert!(seen.max() <= millis(1500), "{:?}", seen.max());
}

#[test]
fn a_dead_upstream_is_asked_only_whether_it_is_back_and_is_used_within_a_second_of_it() {
    play(|| async {
        let world = Rc::new(World::new(ONE));
        assert!(load(Rc::clone(&world), 100, seconds(4)).await.failed > 0);
        world.asked();
        world.streamed();
        world.probes();
        let began = Instant::now();
        let dead = load(Rc::clone(&world), 100, seconds(10)).await;
        assert_eq!((dead.failed, dead.max()), (1000, Duration::ZERO), "nobody waits for it any more");
        assert_eq!((world.asked_count(), world.streamed()), (0, 0), "only probes");
        let probes = world.probes();
        assert!((18..=21).contains(&probes), "{probes} in {:?}", began.elapsed());
        let series = "zerohop_upstream_up{upstream=\"10.0.0.1\",server=\"10.0.0.1:53\"}";
        assert_eq!(world.metric(series), 0);
        world.script(|_, question| answer(question));
        pass(millis(1000)).await;
        assert_eq!(world.ask("n0.example. A").await.rcode(), ResponseCode::NoError, "its failure is forgotten, too");
        assert_eq!(world.metric(series), 1);
    });
}

#[test]
fn on_a_busy_machine_a_dead_upstream_is_still_probed_every_half_second() {
    play(|| async {
        let world = Rc::new(World::new(ONE));
        load(Rc::clone(&world), 100, seconds(4)).await;
        let busy = tokio::task::spawn_local(async {
            let mut random = StdRng::seed_from_u64(3);
            loop {
                pass(millis(1)).await;
                // Whatever was due in between comes late.
                tokio::time::advance(millis(random.random_range(1..5))).await;
            }
        });
        world.probes();
        pass(seconds(10)).await;
        let probes = world.probes();
        busy.abort();
        assert!((19..=21).contains(&probes), "{probes} in 10 seconds");
    });
}

#[test]
fn hedges_are_for_the_few() {
    play(|| async {
        let world = Rc::new(World::new(TWO));
        // Both answer most questions at once, and every second one late.
        let turn = RefCell::new(0);
        world.script(move |_, question| {
            *turn.borrow_mut() += 1;
            if *turn.borrow() % 2 == 0 { answer(question).late(millis(400)) } else { answer(question) }
        });
        let seen = load(Rc::clone(&world), 500, seconds(10)).await;
        assert_eq!(seen.failed, 0);
        let asked = world.asked_count() + world.streamed();
        assert!(asked <= 5000 + 500 + 100, "{asked} sent for 5000 questions");
        let postponed = ["10.0.0.1", "10.0.0.2"].map(|server| {
            world.metric(&format!("zerohop_upstream_hedges_postponed_total{{upstream=\"two\",server=\"{server}:53\"}}"))
        });
        assert!(postponed.iter().sum::<u64>() > 1000, "{postponed:?}");
    });
}
