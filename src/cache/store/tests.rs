use std::sync::mpsc::channel;

use super::*;
use crate::dns::stored_answer::{AnswerBuilder, Owner, Section};
use crate::dns::{Rcode, RecordType};

fn key(text: &str) -> Key {
    Key::from(text.as_bytes())
}

/// Tells when it is dropped.
struct Told(Sender<()>);

impl Drop for Told {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

fn put(store: &Store, key: &[u8], lifetime: u64) {
    put_answer(store, key, lifetime, denial());
}

fn put_answer(store: &Store, key: &[u8], lifetime: u64, answer: StoredAnswer) {
    let (sender, receiver) = channel();
    store.put(key.into(), cached(answer, lifetime), Box::new(Told(sender)));
    receiver.recv_timeout(Duration::from_secs(10)).unwrap();
}

/// Puts many, and waits for the last.
fn put_all(store: &Store, entries: impl IntoIterator<Item = (String, StoredAnswer)>) {
    let (sender, receiver) = channel();
    for (key, answer) in entries {
        store.put(key.as_bytes().into(), cached(answer, 1000), Box::new(Told(sender.clone())));
    }
    drop(sender);
    while receiver.recv_timeout(Duration::from_secs(10)).is_ok() {}
}

fn cached(answer: StoredAnswer, lifetime: u64) -> Cached {
    Cached::new(Arc::new(answer), Moment::default(), Duration::from_secs(lifetime), Duration::ZERO)
}

fn denial() -> StoredAnswer {
    StoredAnswer::bare(Rcode::NXDOMAIN, None)
}

#[test]
fn an_entry_can_be_found_once_its_writer_is_told_and_holds_until_its_deadline() {
    let (store, _) = Store::start(1 << 20, 20).unwrap();
    put(&store, b"k", 10);
    let at = |seconds| Moment::default() + Duration::from_secs(seconds);
    let cached = store.get(&key("k")).unwrap();
    assert!(cached.holds(at(9)) && !cached.holds(at(10)));
    assert!(store.get(&key("other")).is_none());
    let (sender, receiver) = channel();
    store.remove(key("k"), Box::new(Told(sender)));
    receiver.recv_timeout(Duration::from_secs(10)).unwrap();
    assert!(store.get(&key("k")).is_none());
}

/// The shortest and the longest time in seconds that answers stay which hold for 20 seconds.
fn stays(tail: u64) -> (f64, f64) {
    let lifetimes = Lifetimes::default();
    let answer = Arc::new(StoredAnswer::bare(Rcode::NXDOMAIN, None));
    let cached = Cached::new(answer, Moment::default(), Duration::from_secs(20), Duration::from_secs(tail));
    let stays = (0..1000u32).map(|n| lifetimes.of(&n.to_be_bytes()[..].into(), &cached).unwrap().as_secs_f64());
    stays.fold((f64::MAX, 0.0), |(first, last), stay| (stay.min(first), stay.max(last)))
}

#[test]
fn an_entry_stays_at_least_as_long_as_it_is_to_and_an_eighth_of_its_tail_longer_at_most() {
    let (first, last) = stays(8000);
    assert!((8020.0..8030.0).contains(&first), "{first}");
    assert!((9010.0..=9020.0).contains(&last), "{last}");
}

#[test]
fn what_has_no_tail_is_thrown_out_within_a_minute() {
    let (first, last) = stays(0);
    assert!((20.0..21.0).contains(&first), "{first}");
    assert!((79.0..=80.0).contains(&last), "{last}");
}

#[test]
fn the_queue_is_bounded_and_what_does_not_fit_is_let_go_and_counted() {
    /// Holds the thread that drops it.
    struct Hold(std::sync::mpsc::Receiver<()>);
    impl Drop for Hold {
        fn drop(&mut self) {
            let _ = self.0.recv();
        }
    }
    let (store, _) = Store::start(1 << 20, 20).unwrap();
    let (release, held) = channel();
    store.remove(key("k"), Box::new(Hold(held)));
    (1..QUEUE).for_each(|_| store.remove(key("k"), Box::new(())));
    let queue = &store.counts().queue;
    assert_eq!((queue.taken(), queue.overflows()), (QUEUE as u64, 0));
    let (sender, receiver) = channel();
    store.remove(key("k"), Box::new(Told(sender)));
    assert!(receiver.try_recv().is_ok());
    assert_eq!(queue.overflows(), 1);
    drop(release);
}

fn address() -> StoredAnswer {
    let mut builder = AnswerBuilder::new(Rcode::NOERROR);
    builder.push(Section::Answer, Owner::Question, RecordType::A, 300, &[10, 0, 0, 1]).unwrap();
    builder.finish(Some(Moment::default()))
}

#[test]
fn bytes_are_bounded() {
    let (store, _) = Store::start(100_000, 20).unwrap();
    put_all(&store, (0..2000).map(|number| (format!("denial {number}"), denial())));
    put_all(&store, (0..2000).map(|number| (format!("data {number}"), address())));
    let (entries, bytes) = store.size();
    assert!(bytes <= 100_000 && entries < 180, "{entries} entries, {bytes} bytes");
}

#[test]
fn a_flood_of_denials_pushes_out_no_data_and_keeps_to_its_share() {
    let (store, _) = Store::start(100_000, 20).unwrap();
    put_all(&store, (0..100).map(|number| (format!("data {number}"), address())));
    put_all(&store, (0..5000).map(|number| (format!("denial {number}"), denial())));
    let kept = (0..100).filter(|number| store.get(&key(&format!("data {number}"))).is_some());
    assert_eq!(kept.count(), 100);
    let denials = store.parts.denials.weighted_size();
    assert!((15_000..=20_000).contains(&denials), "{denials} bytes");
}

#[test]
fn an_answer_replaces_a_denial_and_the_other_way_round() {
    let (store, _) = Store::start(1 << 20, 20).unwrap();
    let is_denial = || store.get(&key("k")).unwrap().answer.is_denial();
    for _ in 0..2 {
        put(&store, b"k", 10);
        assert!(is_denial());
        put_answer(&store, b"k", 10, address());
        assert!(!is_denial());
    }
}

#[test]
fn the_thread_ends_with_the_store() {
    let (store, thread) = Store::start(1 << 20, 20).unwrap();
    drop(store);
    thread.join().unwrap();
}

#[test]
fn a_name_that_is_asked_for_again_and_again_gets_into_a_store_that_is_full_of_others() {
    let (store, _) = Store::start(200_000, 20).unwrap();
    let old: Vec<Key> = (0..1000).map(|number| key(&format!("k{number}"))).collect();
    put_all(&store, (0..1000).map(|number| (format!("k{number}"), address())));
    for _ in 0..4 {
        old.iter().for_each(|key| drop(store.get(key)));
        store.parts.tidy();
    }
    let asked = (0..50).take_while(|_| {
        let known = store.get(&key("new")).is_some();
        put_answer(&store, b"new", 1000, address());
        store.parts.tidy();
        !known
    });
    let asked = asked.count();
    assert!(asked < 20, "{asked}");
}

#[test]
fn what_has_left_for_whatever_reason_is_known_to_be_gone() {
    let (store, _) = Store::start(200_000, 20).unwrap();
    let possible = |number: usize| store.parts.presence.may_have(&key(&format!("k{number}")));
    // Put, replaced, changed sides, removed.
    for number in 0..20 {
        let key = format!("k{number}");
        for answer in [address(), address(), denial(), denial(), address()] {
            put_answer(&store, key.as_bytes(), 1000, answer);
            assert!(store.get(&Key::from(key.as_bytes())).is_some());
        }
        store.remove(Key::from(key.as_bytes()), Box::new(()));
    }
    store.settle();
    assert_eq!((0..20).filter(|&number| possible(number)).count(), 0);
    // Thrown out, or never let in.
    put_all(&store, (0..5000).map(|number| (format!("k{number}"), address())));
    store.parts.tidy();
    let (entries, _) = store.size();
    let left = (0..5000).filter(|number| store.parts.data.contains_key(&key(&format!("k{number}")))).count();
    assert_eq!(left as u64, entries);
    let passed = (0..5000).filter(|&number| possible(number)).count();
    assert!(left < 300 && (left..left + 1000).contains(&passed), "{left} there, {passed} passed of 5000");
    assert!((0..5000).all(|n| possible(n) || store.get(&key(&format!("k{n}"))).is_none()));
}
