//! The checksum over a snapshot. It is against disks and accidents: whoever may write the file may
//! write any.

use std::io::{self, Read, Write};

use ring::digest::{Context, Digest, SHA256, SHA256_OUTPUT_LEN};

use super::BUFFER;

/// Octets of the checksum, at the end.
pub(super) const CHECKSUM: usize = SHA256_OUTPUT_LEN;

/// Writes on, and sums up what it writes.
pub(super) struct Summing<W> {
    out: W,
    sum: Context,
    octets: u64,
}

impl<W: Write> Summing<W> {
    pub(super) fn new(out: W) -> Self {
        Self { out, sum: Context::new(&SHA256), octets: 0 }
    }

    /// Writes the checksum, and returns how many octets there are in all.
    pub(super) fn finish(mut self) -> io::Result<u64> {
        self.out.write_all(self.sum.finish().as_ref())?;
        self.out.flush()?;
        Ok(self.octets + CHECKSUM as u64)
    }
}

impl<W: Write> Write for Summing<W> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        let length = self.out.write(octets)?;
        self.sum.update(&octets[..length]);
        self.octets += length as u64;
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Whether the next so many octets are followed by their checksum.
pub(super) fn fits(file: &mut impl Read, summed: u64) -> io::Result<bool> {
    let sum = sum_of(&mut file.take(summed))?;
    let mut said = Vec::with_capacity(CHECKSUM);
    file.take(CHECKSUM as u64).read_to_end(&mut said)?;
    Ok(sum.as_ref() == said)
}

fn sum_of(file: &mut impl Read) -> io::Result<Digest> {
    let (mut sum, mut buffer) = (Context::new(&SHA256), vec![0; BUFFER]);
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(sum.finish()),
            Ok(length) => sum.update(&buffer[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
