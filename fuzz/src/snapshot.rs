//! A snapshot of the cache, between its head and its checksum.

use std::io::Cursor;
use std::sync::Arc;
use std::time::Duration;

use ring::digest::{SHA256, digest};
use zerohop::cache::snapshot::{Loaded, Refused, VERSION, read, write_entries};
use zerohop::cache::{Cached, Key, Keyed};
use zerohop::dns::query::write_upstream_query;
use zerohop::dns::response::{Terms, write_answer};
use zerohop::dns::{Moment, Query, Question};

use crate::wire::Wire;

const NOW: Moment = Moment::START;
const DATE: Duration = Duration::from_secs(1_800_000_000);

type Entries = Vec<(Arc<Key>, Cached)>;

/// As it stands it is refused. With a head and a checksum that fit, each entry that is taken can be
/// written to clients, and is the same in the next snapshot; nothing is taken that is over.
pub fn check(data: &[u8]) {
    assert!(load(data, Duration::ZERO).is_err());
    let Some((passed, body)) = data.split_first_chunk() else { return };
    let passed = Duration::from_secs(u32::from_be_bytes(*passed).into());
    let Ok((_, entries)) = load(&whole(body), passed) else { return };
    for (key, cached) in &entries {
        give(key, cached);
    }
    let again = written(&entries);
    let (loaded, entries) = load(&again, Duration::ZERO).expect("our own");
    assert_eq!((loaded.over, loaded.unfit), (0, 0));
    assert_eq!(written(&entries), again);
}

/// The entries behind the head that their checksum fits.
fn whole(body: &[u8]) -> Vec<u8> {
    let date = u64::try_from(DATE.as_millis()).expect("a date");
    let mut octets = [b"zerohop\0", &VERSION.to_be_bytes()[..], &date.to_be_bytes(), body].concat();
    octets.extend_from_slice(digest(&SHA256, &octets).as_ref());
    octets
}

fn load(octets: &[u8], passed: Duration) -> Result<(Loaded, Entries), Refused> {
    let mut entries = Vec::new();
    let loaded = read(Cursor::new(octets), NOW, DATE + passed, |key, cached| entries.push((Arc::new(key), cached)))?;
    assert_eq!(loaded.entries, entries.len() as u64);
    Ok((loaded, entries))
}

fn written(entries: &Entries) -> Vec<u8> {
    let mut octets = Vec::new();
    let written = write_entries(entries.iter().cloned(), NOW, DATE, &mut octets).expect("memory");
    assert_eq!((written.entries, written.octets), (entries.len() as u64, octets.len() as u64));
    octets
}

/// The answer in whole, as a client gets it that asks this question.
fn give(key: &Key, cached: &Cached) {
    let question = Question::of_key(key.question()).expect("a question");
    let asked = write_upstream_query(&question, 9, 1232);
    // Not for types that nobody may ask for.
    let Ok(query) = Query::parse(&asked) else { return };
    let mut reply = vec![0; 65_535];
    let length = write_answer(&query, &cached.answer, NOW, 0, Terms::up_to(65_535), &mut reply);
    let read = Wire::read(&reply[..length]);
    assert!(!read.is_truncated());
    assert_eq!(read.rcode(), cached.answer.rcode().code());
}
