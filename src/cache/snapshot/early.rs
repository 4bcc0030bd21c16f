//! A snapshot in which answers are found before they are in the store: with 10,500 of them that takes 2 ms, and
//! filling the store 25, and questions have waited for a restart long enough.

use std::collections::HashMap;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::time::Duration;

use foldhash::fast::RandomState;

use super::super::{Cached, Key, Keyed};
use super::entries::{Entries, open};
use super::entry::{self, Elapsed};
use super::{Loaded, Refused, elapsed, take_all};
use crate::dns::Moment;

/// What is indexed, in octets: some 40,000 answers of one address. It takes as much memory, and half as much
/// again, until the store is filled.
pub(super) const MOST: u64 = 4 << 20;

/// See the module's head.
pub struct Early {
    octets: Vec<u8>,
    /// Where entries are, by the hashes of their keys.
    places: HashMap<u64, Range<usize>, RandomState>,
    elapsed: Elapsed,
    now: Moment,
}

impl Early {
    /// The entries of a snapshot at the moment `now`, which is the date `date` since 1970. `None` if it is too
    /// large.
    ///
    /// # Errors
    /// As [`super::load`].
    pub(super) fn read(file: &mut (impl Read + Seek), now: Moment, date: Duration) -> Result<Option<Self>, Refused> {
        if file.seek(SeekFrom::End(0))? > MOST {
            return Ok(None);
        }
        let (written, length) = open(file)?;
        let mut octets = Vec::new();
        file.take(length).read_to_end(&mut octets)?;
        let (mut places, mut end) = (HashMap::default(), 0);
        let mut entries = Entries::of(&octets[..]);
        while let Some(packed) = entries.next()? {
            let begin = end + size_of::<u32>();
            end = begin + packed.len();
            if let Some(hashed) = entry::hashed(packed) {
                places.insert(hashed, begin..end);
            }
        }
        Ok(Some(Self { octets, places, elapsed: elapsed(written, date), now }))
    }

    /// The answer under `key`.
    pub fn get(&self, key: &dyn Keyed) -> Option<Cached> {
        let packed = self.octets.get(self.places.get(&key.hashed())?.clone())?;
        let (found, cached) = entry::unpack(packed, self.elapsed, self.now).ok()??;
        (&found as &dyn Keyed == key).then_some(cached)
    }

    /// Hands over all of them.
    ///
    /// # Errors
    /// As [`super::read`].
    pub(super) fn take_all(&self, take: impl FnMut(Key, Cached)) -> Result<Loaded, Refused> {
        take_all(&self.octets[..], self.elapsed, self.now, take)
    }
}
