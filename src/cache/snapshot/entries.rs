//! A snapshot from its front to its end, entry by entry.

use std::io::{BufRead, Read, Seek, SeekFrom};
use std::time::Duration;

use super::checked::{CHECKSUM, fits};
use super::{HEAD, MAGIC, Refused, VERSION, entry};

/// When it was written, and how many octets its entries have, with which the file goes on.
///
/// # Errors
/// [`Refused`] when it is no snapshot of this form whose checksum fits.
pub(super) fn open(file: &mut (impl Read + Seek)) -> Result<(Duration, u64), Refused> {
    let length = file.seek(SeekFrom::End(0))?;
    file.rewind()?;
    let written = head(file)?;
    file.rewind()?;
    let summed = length.checked_sub(CHECKSUM as u64).ok_or(Refused::Damaged)?;
    if !fits(file, summed)? {
        return Err(Refused::Damaged);
    }
    file.seek(SeekFrom::Start(HEAD as u64))?;
    Ok((written, summed.saturating_sub(HEAD as u64)))
}

/// When it was written, if it is what we can read.
fn head(file: &mut impl Read) -> Result<Duration, Refused> {
    let mut head = Vec::with_capacity(HEAD);
    file.take(HEAD as u64).read_to_end(&mut head)?;
    let (magic, rest) = head.split_first_chunk().ok_or(Refused::Foreign)?;
    if *magic != MAGIC {
        return Err(Refused::Foreign);
    }
    let (version, written) = rest.split_first_chunk().ok_or(Refused::Damaged)?;
    match u16::from_be_bytes(*version) {
        VERSION => {}
        other => return Err(Refused::Version(other)),
    }
    let written = written.first_chunk().ok_or(Refused::Damaged)?;
    Ok(Duration::from_millis(u64::from_be_bytes(*written)))
}

/// The entries, as they were packed.
pub(super) struct Entries<R> {
    reader: R,
    packed: Vec<u8>,
}

impl<R: BufRead> Entries<R> {
    pub(super) fn of(reader: R) -> Self {
        Self { reader, packed: Vec::new() }
    }

    /// The next one; `None` behind the last.
    ///
    /// # Errors
    /// When there is none and no end, or more behind the end.
    pub(super) fn next(&mut self) -> Result<Option<&[u8]>, Refused> {
        let mut length = [0; 4];
        self.reader.read_exact(&mut length)?;
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if length == 0 {
            return if self.reader.fill_buf()?.is_empty() { Ok(None) } else { Err(Refused::Damaged) };
        }
        if length > entry::LONGEST {
            return Err(Refused::Damaged);
        }
        self.packed.resize(length, 0);
        self.reader.read_exact(&mut self.packed)?;
        Ok(Some(&self.packed))
    }
}
