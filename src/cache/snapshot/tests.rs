use std::io::{Cursor, SeekFrom};
use std::sync::Mutex;

use proptest::collection::vec;
use proptest::prelude::*;

use super::checked::CHECKSUM;
use super::*;
use crate::cache::Lookup;
use crate::dns::stored_answer::{AnswerBuilder, Owner, Section};
use crate::dns::{Question, Rcode, RecordType, StoredAnswer};

const NOW: Moment = Moment::START;
/// When the snapshots of these tests are written.
const DATE: Duration = Duration::from_secs(1_800_000_000);
const IDENTITY: u64 = 7;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn question(number: u32) -> Question {
    let label = format!("n{number}");
    let name = [&[u8::try_from(label.len()).unwrap()], label.as_bytes(), b"\x07example\0"].concat();
    Question::new(&name, RecordType::A, false, false).unwrap()
}

fn lookup(question: &Question) -> Lookup<'_> {
    Lookup::new(IDENTITY, question)
}

/// An address with a TTL of 300, or NXDOMAIN, that came at this moment.
fn answer(question: &Question, is_denial: bool, at: Moment) -> StoredAnswer {
    let rcode = if is_denial { Rcode::NXDOMAIN } else { Rcode::NOERROR };
    let mut builder = AnswerBuilder::for_question(rcode, question.name());
    if !is_denial {
        builder.push(Section::Answer, Owner::Question, RecordType::A, 300, &[10, 0, 0, 1]).unwrap();
    }
    builder.finish(Some(at))
}

fn entry(number: u32, made: Moment, lifetime: u64, tail: u64) -> (Arc<Key>, Cached) {
    let question = question(number);
    let answer = Arc::new(answer(&question, number % 3 == 2, made));
    (Arc::new(lookup(&question).to_key()), Cached::new(answer, made, seconds(lifetime), seconds(tail)))
}

/// A snapshot of so many entries that were made 100 s before it, hold for 300 s, and stay for 1000.
fn snapshot(entries: u32) -> Vec<u8> {
    let mut octets = Vec::new();
    let made = NOW.before(seconds(100)).unwrap();
    let entries = (0..entries).map(|number| entry(number, made, 300, 1000));
    let written = write_entries(entries, NOW, DATE, &mut octets).unwrap();
    assert_eq!(written.octets, octets.len() as u64);
    octets
}

/// What is read of it so long after it was written, in another process.
fn read_after(octets: &[u8], passed: Duration) -> Result<(Loaded, Vec<(Key, Cached)>), Refused> {
    let mut entries = Vec::new();
    let loaded = read(Cursor::new(octets), NOW, DATE + passed, |key, cached| entries.push((key, cached)))?;
    assert_eq!(loaded.entries, entries.len() as u64);
    Ok((loaded, entries))
}

/// The octets with the checksum that fits them.
fn summed(octets: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut summing = Summing::new(&mut out);
    summing.write_all(octets).unwrap();
    summing.finish().unwrap();
    out
}

#[test]
fn what_was_written_is_read_again_and_older() {
    let octets = snapshot(10);
    let (loaded, entries) = read_after(&octets, seconds(50)).unwrap();
    assert_eq!(loaded, Loaded { entries: 10, over: 0, unfit: 0, age: Some(seconds(50)) });
    let at = |later| NOW + seconds(later);
    for (number, (key, cached)) in (0..).zip(&entries) {
        assert_eq!(*key, lookup(&question(number)).to_key());
        assert_eq!(NOW.since(cached.answer.stored_at().unwrap()), seconds(150), "TTLs have counted down");
        assert_eq!(cached.answer.is_denial(), number % 3 == 2);
        assert!(cached.holds(at(149)) && !cached.holds(at(150)));
        assert!(!cached.is_due(at(119)) && cached.is_due(at(120)), "the last tenth is that of the whole life");
        assert_eq!(cached.life(NOW).tail, seconds(1000));
    }
    // Of the next process nothing is forgotten or added.
    let mut again = Vec::new();
    let entries = entries.into_iter().map(|(key, cached)| (Arc::new(key), cached));
    write_entries(entries, NOW, DATE + seconds(50), &mut again).unwrap();
    let (_, later) = read_after(&again, seconds(60)).unwrap();
    assert!(later.iter().all(|(_, cached)| cached.life(NOW).age == seconds(160)));
}

#[test]
fn what_is_over_is_left_out_and_what_has_run_out_is_stale() {
    let octets = snapshot(3);
    let stale = |passed| {
        let (loaded, entries) = read_after(&octets, passed).unwrap();
        assert!(entries.iter().all(|(_, cached)| !cached.holds(NOW)));
        (loaded.entries, loaded.over)
    };
    assert_eq!(stale(seconds(200)), (3, 0));
    assert_eq!(stale(seconds(1199)), (3, 0));
    assert_eq!(stale(seconds(1200)), (0, 3));
    assert_eq!(stale(seconds(50 * 365 * 86_400)), (0, 3));
    // More than the clock can say.
    assert_eq!(stale(seconds(500 * 365 * 86_400)), (0, 3));
}

#[test]
fn a_clock_that_went_back_leaves_only_stale_answers() {
    let octets = snapshot(3);
    let before = |by: Duration| {
        let mut entries = Vec::new();
        let loaded = read(Cursor::new(&octets), NOW, DATE - by, |_, cached| entries.push(cached)).unwrap();
        assert_eq!(entries.len(), 3);
        (loaded.age, entries.iter().all(|cached| cached.holds(NOW)), entries[0].life(NOW))
    };
    let (age, holds, life) = before(Duration::from_millis(900));
    assert_eq!((age, holds, life.age), (Some(Duration::ZERO), true, seconds(100)));
    for by in [seconds(2), DATE] {
        let (age, holds, life) = before(by);
        // Just run out, whenever that was.
        assert_eq!((age, holds, life.age, life.tail), (None, false, seconds(300), seconds(1000)));
    }
}

#[test]
fn each_octet_counts_and_each_cut_is_seen() {
    let octets = snapshot(3);
    for at in 0..octets.len() {
        for bit in 0..8 {
            let mut flipped = octets.clone();
            flipped[at] ^= 1 << bit;
            assert!(read_after(&flipped, Duration::ZERO).is_err(), "bit {bit} of octet {at}");
        }
        assert!(read_after(&octets[..at], Duration::ZERO).is_err(), "cut to {at} octets");
    }
    assert!(read_after(&[&octets[..], &[0]].concat(), Duration::ZERO).is_err());
}

#[test]
fn it_says_why_it_is_refused() {
    let octets = snapshot(1);
    let mut version = octets.clone();
    version[9] = 2;
    let mut damaged = octets.clone();
    damaged[40] ^= 1;
    let why = |octets: &[u8]| read_after(octets, Duration::ZERO).unwrap_err().to_string();
    insta::assert_snapshot!(why(b""), @"it is no snapshot of a cache of zerohop's");
    insta::assert_snapshot!(why(b"[server]\nlisten = [\"127.0.0.1\"]\n"), @"it is no snapshot of a cache of zerohop's");
    insta::assert_snapshot!(why(&version), @"it has form 2, and this version of zerohop reads form 1");
    insta::assert_snapshot!(why(&octets[..9]), @"it is damaged: its checksum does not fit");
    insta::assert_snapshot!(why(&damaged), @"it is damaged: its checksum does not fit");
    let unreadable = Refused::from(io::Error::from_raw_os_error(5));
    insta::assert_snapshot!(unreadable, @"it cannot be read: Input/output error (os error 5)");
}

#[test]
fn an_entry_that_cannot_be_is_left_out_whatever_the_checksum_says() {
    let good = snapshot(2);
    let first = HEAD + 4;
    let key_at = 4 * 8 + 8 + 4 + 2;
    let cases = [
        ("a life of centuries", 16, 0x7f),
        ("a tail of centuries", 24, 0x7f),
        ("upper case in the question", key_at + 1, b'N'),
        ("a key that ends elsewhere", key_at - 1, 12),
        ("SERVFAIL", key_at + 17 + 1, 2),
    ];
    for (what, at, octet) in cases {
        let mut octets = good[..good.len() - CHECKSUM].to_vec();
        assert_ne!(octets[first + at], octet, "{what}");
        octets[first + at] = octet;
        let (loaded, _) = read_after(&summed(&octets), Duration::ZERO).unwrap();
        assert_eq!((loaded.entries, loaded.unfit), (1, 1), "{what}");
    }
    // Lengths that lead nowhere.
    for length in [1, u32::MAX, 200] {
        let mut octets = good[..good.len() - CHECKSUM].to_vec();
        octets[HEAD..first].copy_from_slice(&u32::to_be_bytes(length));
        let read = read_after(&summed(&octets), Duration::ZERO);
        assert!(read.is_err() || read.is_ok_and(|(loaded, _)| loaded.entries < 2), "{length}");
    }
    let without_end = &good[..good.len() - CHECKSUM - 4];
    assert!(read_after(&summed(without_end), Duration::ZERO).is_err());
    let with_more = [&good[..good.len() - CHECKSUM], b"more"].concat();
    assert!(read_after(&summed(&with_more), Duration::ZERO).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_the_octets_are_nothing_panics_and_what_is_taken_can_be_written(
        lengths in vec(0usize..120, 0..6),
        octets in vec(any::<u8>(), 700),
        changed in vec((0usize..200, any::<u8>()), 0..4),
        passed in any::<u32>(),
    ) {
        prop_assert!(read_after(&octets, Duration::ZERO).is_err());
        let mut body = snapshot(2);
        body.truncate(body.len() - CHECKSUM - 4);
        for (at, octet) in changed {
            let at = HEAD + at % (body.len() - HEAD);
            body[at] = octet;
        }
        let mut rest = &octets[..];
        for length in lengths {
            let (entry, behind) = rest.split_at(length);
            body.extend_from_slice(&u32::try_from(length).unwrap().to_be_bytes());
            body.extend_from_slice(entry);
            rest = behind;
        }
        body.extend_from_slice(&[0; 4]);
        if let Ok((loaded, entries)) = read_after(&summed(&body), seconds(passed.into())) {
            let mut again = Vec::new();
            let entries = entries.into_iter().map(|(key, cached)| (Arc::new(key), cached));
            write_entries(entries, NOW, DATE, &mut again).unwrap();
            let (reread, _) = read_after(&again, Duration::ZERO).unwrap();
            prop_assert_eq!((reread.entries, reread.over, reread.unfit), (loaded.entries, 0, 0));
        }
    }
}

fn store(entries: impl Iterator<Item = (Arc<Key>, Cached)>) -> Arc<Store> {
    let (store, _) = Store::start(16 << 20, 20).unwrap();
    entries.for_each(|(key, cached)| store.put((*key).clone(), cached, Box::new(())));
    store.settle();
    store
}

#[test]
fn a_store_is_filled_from_another_and_what_it_has_is_newer() {
    let made = NOW.before(seconds(10)).unwrap();
    let old = store((0..5000).map(|number| entry(number, made, 300, 1000)));
    let (file, written) = to_memory(&old, NOW, DATE).unwrap();
    assert_eq!((written.entries, written.octets), (5000, file.metadata().unwrap().len()));
    // 11 has become a denial meanwhile, and 13 is stale.
    let denied = Arc::new(answer(&question(11), true, NOW));
    let denied = (Arc::new(lookup(&question(11)).to_key()), Cached::new(denied, NOW, seconds(60), seconds(0)));
    let new = store([denied, entry(13, NOW.before(seconds(400)).unwrap(), 300, 1000)].into_iter());
    let loaded = load(&new, NOW, DATE + seconds(1), &file, || ()).unwrap();
    assert_eq!(loaded.entries, 5000);
    for number in 0..5000 {
        let cached = new.get(&lookup(&question(number))).unwrap();
        let expected = match number {
            11 => seconds(0),
            13 => seconds(400),
            _ => seconds(11),
        };
        assert_eq!(NOW.since(cached.answer.stored_at().unwrap()), expected, "{number}");
    }
    // Of the loading nobody was kept from the queue.
    assert_eq!((new.counts().queue.taken(), new.counts().queue.overflows()), (0, 0));
}

#[test]
fn a_smaller_store_takes_what_it_has_room_for() {
    let made = NOW.before(seconds(10)).unwrap();
    let old = store((0..5000).map(|number| entry(number, made, 300, 1000)));
    let (file, _) = to_memory(&old, NOW, DATE).unwrap();
    let (new, _) = Store::start(1 << 20, 20).unwrap();
    load(&new, NOW, DATE, &file, || ()).unwrap();
    new.settle();
    let (entries, bytes) = new.size();
    assert!(bytes <= 1 << 20 && entries > 1000, "{entries} entries, {bytes} bytes");
}

#[test]
fn memory_that_was_handed_out_cannot_be_changed() {
    let (file, _) = to_memory(&store(std::iter::empty()), NOW, DATE).unwrap();
    assert_eq!((&file).write(&[0]).unwrap_err().raw_os_error(), Some(nix::errno::Errno::EPERM as i32));
    assert!(file.set_len(0).is_err());
}

#[test]
fn neither_side_is_held_in_memory_a_second_time() {
    /// Notes the longest piece that was asked for or given at once.
    struct Pieces<'l>(Cursor<Vec<u8>>, &'l Mutex<usize>);
    impl Pieces<'_> {
        fn note(&self, length: usize) {
            let mut longest = self.1.lock().unwrap();
            *longest = longest.max(length);
        }
    }
    impl Write for Pieces<'_> {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            self.note(octets.len());
            self.0.write(octets)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    impl Read for Pieces<'_> {
        fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
            self.note(room.len());
            self.0.read(room)
        }
    }
    impl Seek for Pieces<'_> {
        fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
            self.0.seek(to)
        }
    }
    let longest = Mutex::new(0);
    let mut pieces = Pieces(Cursor::default(), &longest);
    let entries = (0..5000).map(|number| entry(number, NOW, 300, 1000));
    let written = write_entries(entries, NOW, DATE, &mut pieces).unwrap();
    assert!(written.octets > 5 * BUFFER as u64);
    assert_eq!(read(pieces, NOW, DATE, |_, _| ()).unwrap().entries, 5000);
    assert!(*longest.lock().unwrap() <= BUFFER);
}

#[test]
fn answers_are_found_before_the_store_has_them() {
    let (store, _) = Store::start(1 << 20, 20).unwrap();
    let found = |number: u32, identity: u64| store.get(&Lookup::new(identity, &question(number)));
    let (made, mut octets) = (NOW.before(seconds(100)).unwrap(), Vec::new());
    // The last is over by the time that it is read.
    let entries = (0..4).map(|number| entry(number, made, if number == 3 { 110 } else { 300 }, 0));
    write_entries(entries, NOW, DATE, &mut octets).unwrap();
    let mut seen = Vec::new();
    let loaded = load(&store, NOW, DATE + seconds(50), Cursor::new(&octets), || {
        assert_eq!(store.size().0, 0, "the store has none of them yet");
        seen.extend((0..4).filter_map(|number| found(number, IDENTITY)));
        assert!(found(0, IDENTITY + 1).is_none(), "nor is there one of other rules");
    });
    assert_eq!(loaded.unwrap(), Loaded { entries: 3, over: 1, unfit: 0, age: Some(seconds(50)) });
    assert_eq!(seen.len(), 3);
    for (number, early) in (0..).zip(&seen) {
        let late = found(number, IDENTITY).unwrap();
        assert_eq!((early.life(NOW), early.answer.is_denial()), (late.life(NOW), late.answer.is_denial()));
    }
    assert!(found(3, IDENTITY).is_none());
    // What is not a snapshot is not looked into, and nobody waits for it.
    assert!(load(&store, NOW, DATE, Cursor::new(&octets[1..]), || panic!("nothing is found")).is_err());
}

#[test]
fn what_is_too_large_to_be_found_before_is_found_behind() {
    let (store, _) = Store::start(1 << 26, 20).unwrap();
    let octets = snapshot(60_000);
    assert!(octets.len() as u64 > early::MOST);
    let before = || assert!(store.get(&lookup(&question(7))).is_none());
    load(&store, NOW, DATE, Cursor::new(&octets), before).unwrap();
    assert!(store.get(&lookup(&question(7))).is_some());
}
