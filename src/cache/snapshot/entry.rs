//! One entry of a snapshot.
//!
//! | octets | what |
//! |---|---|
//! | 8 | the identity of the zone's forwarding |
//! | 8, 8, 8 | how long ago it was made, how long it holds in all, how long it stays beyond that |
//! | 8 | how long ago its answer came, from when on its TTLs count down |
//! | 4 | how often it was found |
//! | 2 and as many as these say | the key of its question |
//! | the rest | the answer, as [`StoredAnswer::pack`] writes it |

use std::time::Duration;

use super::super::store::Life;
use super::super::{Cached, Key, Keyed, Lookup};
use crate::dns::message::Malformed;
use crate::dns::{Moment, Question, Rcode, StoredAnswer};

/// More than any entry has: a message of 65,535 octets, and 1 KiB for its key and the numbers.
pub(super) const LONGEST: usize = 65_535 + 1024;
/// The longest time to live, and so the longest life and tail (RFC 2181, section 8).
const MAX_LIFE: Duration = Duration::from_secs(0x7fff_ffff);

/// How long ago the snapshot was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Elapsed {
    Known(Duration),
    /// The clock went back since.
    Unknown,
}

impl Elapsed {
    /// By how much an entry has grown older; if nobody knows, so that it has just run out.
    fn of(self, life: &Life) -> Duration {
        match self {
            Self::Known(elapsed) => elapsed,
            Self::Unknown => life.lifetime.saturating_sub(life.age),
        }
    }
}

/// Appends an entry to `out`. `false` for one that is over, or whose answer is not to be
/// written.
pub(super) fn pack(key: &dyn Keyed, cached: &Cached, now: Moment, out: &mut Vec<u8>) -> bool {
    let Some(stored_at) = cached.answer.stored_at() else { return false };
    let Ok(length) = u16::try_from(key.question().len()) else { return false };
    let life = cached.life(now);
    if life.age >= life.lifetime.saturating_add(life.tail) {
        return false;
    }
    out.extend_from_slice(&key.identity().to_be_bytes());
    for duration in [life.age, life.lifetime, life.tail, now.since(stored_at)] {
        out.extend_from_slice(&u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX).to_be_bytes());
    }
    out.extend_from_slice(&life.finds.to_be_bytes());
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(key.question());
    cached.answer.pack(out)
}

/// An entry that was written so long ago; `None` if it is over.
///
/// # Errors
/// [`Malformed`] for what [`pack`] has not made of an answer of an upstream.
pub(super) fn unpack(mut packed: &[u8], elapsed: Elapsed, now: Moment) -> Result<Option<(Key, Cached)>, Malformed> {
    let packed = &mut packed;
    let identity = u64::from_be_bytes(next(packed)?);
    let mut duration = || Ok(Duration::from_nanos(u64::from_be_bytes(next(packed)?)));
    let (age, lifetime, tail, answer_age) = (duration()?, duration()?, duration()?, duration()?);
    let finds = u32::from_be_bytes(next(packed)?);
    let length = usize::from(u16::from_be_bytes(next(packed)?));
    let (question, answer) = packed.split_at_checked(length).ok_or(Malformed)?;
    let question = Question::of_key(question).ok_or(Malformed)?;
    if lifetime > MAX_LIFE || tail > MAX_LIFE {
        return Err(Malformed);
    }
    let life = Life { age, lifetime, tail, finds };
    let older = elapsed.of(&life);
    let Some(stored_at) = now.before(answer_age.saturating_add(older)) else { return Ok(None) };
    let answer = StoredAnswer::unpack(answer, &question, stored_at)?;
    // A failure is never kept here.
    if answer.rcode() != Rcode::NOERROR && answer.rcode() != Rcode::NXDOMAIN {
        return Err(Malformed);
    }
    let life = Life { age: age.saturating_add(older), ..life };
    let cached = Cached::with_life(answer, life, now);
    Ok(cached.map(|cached| (Lookup::new(identity, &question).to_key(), cached)))
}

/// The hash of the key that an entry is found by.
pub(super) fn hashed(mut packed: &[u8]) -> Option<u64> {
    let packed = &mut packed;
    let identity = u64::from_be_bytes(next(packed).ok()?);
    // What says how old it is, and how often it was found.
    *packed = packed.get(4 * size_of::<u64>() + size_of::<u32>()..)?;
    let length = usize::from(u16::from_be_bytes(next(packed).ok()?));
    Some(Lookup::of(identity, packed.get(..length)?).hashed())
}

fn next<const LENGTH: usize>(packed: &mut &[u8]) -> Result<[u8; LENGTH], Malformed> {
    let (octets, rest) = packed.split_first_chunk().ok_or(Malformed)?;
    *packed = rest;
    Ok(*octets)
}
