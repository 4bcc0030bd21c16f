//! The whole store as octets that outlive the process, and back.
//!
//! Numbers are in network order, durations in nanoseconds:
//!
//! | octets | what |
//! |---|---|
//! | 8 | `zerohop` and a zero |
//! | 2 | [`VERSION`] |
//! | 8 | when it was written, in milliseconds since 1970 |
//! | 4 and as many as these say | an entry (`entry.rs`), and so each of them |
//! | 4 | zero: there are no more |
//! | 32 | SHA-256 of all before |
//!
//! It is written as the store is walked, and read through a buffer: no second copy of the cache is
//! made, but of a small one for a moment (`early.rs`). Nothing is taken from octets whose checksum does
//! not fit, and each entry is checked as if there were none.

mod checked;
mod early;
mod entries;
mod entry;

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, ErrorKind, Read, Seek, Write};
use std::sync::Arc;
use std::time::Duration;

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};

use super::{Cached, Key, Keyed, Store};
use crate::dns::Moment;
use checked::Summing;
pub use early::Early;
use entries::{Entries, open};
use entry::Elapsed;

/// The form of what this version writes, and all that it reads: a cache is not worth conversions.
pub const VERSION: u16 = 1;
const MAGIC: [u8; 8] = *b"zerohop\0";
/// Octets in front of the entries.
const HEAD: usize = MAGIC.len() + 2 + 8;
/// What is written to, or read from, the file at once.
const BUFFER: usize = 64 * 1024;
/// Entries that are handed to the cache thread together, and waited for: an eighth of the workers'
/// room in its queue.
const MOST_AT_ONCE: usize = 2048;
/// A date so little before that of the writing is a clock that was put right, and of a restart.
const PUT_RIGHT: Duration = Duration::from_secs(1);

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    pub entries: u64,
    pub octets: u64,
}

/// What was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// Those that go on, be it as stale ones.
    pub entries: u64,
    /// Those whose time is over, their stale tail included.
    pub over: u64,
    /// Those that no version of zerohop would have written.
    pub unfit: u64,
    /// How long ago it was written; `None` if the clock went back since.
    pub age: Option<Duration>,
}

/// Why nothing was read.
#[derive(Debug)]
pub enum Refused {
    Unreadable(io::Error),
    /// It begins as no snapshot does.
    Foreign,
    /// Written by another version, in this form.
    Version(u16),
    /// Cut short, or changed since it was written.
    Damaged,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(error) => write!(f, "it cannot be read: {error}"),
            Self::Foreign => f.write_str("it is no snapshot of a cache of zerohop's"),
            Self::Version(version) => {
                write!(f, "it has form {version}, and this version of zerohop reads form {VERSION}")
            }
            Self::Damaged => f.write_str("it is damaged: its checksum does not fit"),
        }
    }
}

impl std::error::Error for Refused {}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        // The length was known before.
        if error.kind() == ErrorKind::UnexpectedEof { Self::Damaged } else { Self::Unreadable(error) }
    }
}

/// Writes the store as it is at the moment `now`, which is the date `date` since 1970. It goes on
/// being read and written meanwhile.
///
/// # Errors
/// As writing to the file.
pub fn write(store: &Store, now: Moment, date: Duration, file: impl Write) -> io::Result<Written> {
    // What was handed over before is in it.
    store.settle();
    write_entries(store.entries(), now, date, file)
}

/// As [`write()`], of these entries.
///
/// # Errors
/// As writing to the file.
pub fn write_entries(
    entries: impl Iterator<Item = (Arc<Key>, Cached)>,
    now: Moment,
    date: Duration,
    file: impl Write,
) -> io::Result<Written> {
    let mut out = BufWriter::with_capacity(BUFFER, Summing::new(file));
    out.write_all(&MAGIC)?;
    out.write_all(&VERSION.to_be_bytes())?;
    out.write_all(&u64::try_from(date.as_millis()).unwrap_or(u64::MAX).to_be_bytes())?;
    let (mut written, mut packed) = (0, Vec::new());
    for (key, cached) in entries {
        packed.clear();
        if entry::pack(&*key as &dyn Keyed, &cached, now, &mut packed) {
            let length = u32::try_from(packed.len()).map_err(io::Error::other)?;
            out.write_all(&length.to_be_bytes())?;
            out.write_all(&packed)?;
            written += 1;
        }
    }
    out.write_all(&[0; 4])?;
    let octets = out.into_inner().map_err(io::IntoInnerError::into_error)?.finish()?;
    Ok(Written { entries: written, octets })
}

/// Fills the store from a snapshot at the moment `now`, which is the date `date` since 1970. What has
/// come into the store by itself stays. Time that has passed since the snapshot was written counts; if
/// the clock went back nobody knows how much, and what is in it counts as having just run out: it
/// is asked for anew, and given only while nobody answers. `found` is called when answers are found, which is
/// before the store has them unless it is too large for that; and dropped when none will be.
///
/// Blocks, and leaves the cache thread and the workers room.
///
/// # Errors
/// [`Refused`] when it is no snapshot of this form whose checksum fits, and the store is as before; and
/// when reading fails behind that, where what has come stays.
pub fn load(
    store: &Store,
    now: Moment,
    date: Duration,
    mut file: impl Read + Seek,
    found: impl FnOnce(),
) -> Result<Loaded, Refused> {
    let early = Early::read(&mut file, now, date)?.map(Arc::new);
    store.look_into(early.clone());
    found();
    let mut batch = Vec::new();
    let take = |key, cached| {
        batch.push((key, cached));
        if batch.len() == MOST_AT_ONCE {
            store.restore(batch.drain(..));
        }
    };
    let loaded = match early {
        Some(early) => early.take_all(take),
        None => read(file, now, date, take),
    };
    store.restore(batch.into_iter());
    store.look_into(None);
    loaded
}

/// As [`load`], into whatever takes the entries.
///
/// # Errors
/// As [`load`].
pub fn read(
    mut file: impl Read + Seek,
    now: Moment,
    date: Duration,
    take: impl FnMut(Key, Cached),
) -> Result<Loaded, Refused> {
    let (written, length) = open(&mut file)?;
    take_all(BufReader::with_capacity(BUFFER, file.take(length)), elapsed(written, date), now, take)
}

fn take_all(
    entries: impl BufRead,
    elapsed: Elapsed,
    now: Moment,
    mut take: impl FnMut(Key, Cached),
) -> Result<Loaded, Refused> {
    let age = if let Elapsed::Known(age) = elapsed { Some(age) } else { None };
    let (mut entries, mut loaded) = (Entries::of(entries), Loaded { age, ..Loaded::default() });
    while let Some(packed) = entries.next()? {
        match entry::unpack(packed, elapsed, now) {
            Ok(Some((key, cached))) => {
                loaded.entries += 1;
                take(key, cached);
            }
            Ok(None) => loaded.over += 1,
            Err(_) => loaded.unfit += 1,
        }
    }
    Ok(loaded)
}

fn elapsed(written: Duration, date: Duration) -> Elapsed {
    match date.checked_sub(written) {
        Some(elapsed) => Elapsed::Known(elapsed),
        None if written - date <= PUT_RIGHT => Elapsed::Known(Duration::ZERO),
        None => Elapsed::Unknown,
    }
}

/// As [`write()`], into memory that is a file: for another process, which cannot change it either.
///
/// # Errors
/// As memfd_create(2), and when there is no memory for it.
pub fn to_memory(store: &Store, now: Moment, date: Duration) -> io::Result<(File, Written)> {
    let mut file = File::from(memfd_create(c"zerohop-cache", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?);
    let written = write(store, now, date, &file)?;
    let seals = SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_SEAL;
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals))?;
    file.rewind()?;
    Ok((file, written))
}

#[cfg(test)]
mod tests;
