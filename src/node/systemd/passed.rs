//! What the service manager has passed at the start (sd_listen_fds(3)): sockets of a socket unit, and
//! what was put into the store of descriptors by the process before.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

use super::store::MOST_OCTETS;
use crate::listener::hand_over::adopt;

/// Descriptors with their names, in the order they came.
#[derive(Debug, Default)]
pub struct Passed {
    descriptors: Vec<(String, OwnedFd)>,
}

impl Passed {
    /// Takes what this process was started with. To be called once, early.
    pub fn find() -> Self {
        let number = |name| std::env::var(name).ok().and_then(|value| value.parse::<usize>().ok());
        let is_ours = number("LISTEN_PID") == usize::try_from(std::process::id()).ok();
        let Some(count) = number("LISTEN_FDS").filter(|_| is_ours) else { return Self::default() };
        Self::of(adopt(count.min(usize::from(u16::MAX))), &std::env::var("LISTEN_FDNAMES").unwrap_or_default())
    }

    pub(super) fn of(descriptors: Vec<Option<OwnedFd>>, names: &str) -> Self {
        let names = names.split(':').map(str::to_owned).chain(std::iter::repeat_with(String::new));
        let descriptors = descriptors.into_iter().zip(names);
        Self { descriptors: descriptors.filter_map(|(descriptor, name)| Some((name, descriptor?))).collect() }
    }

    pub fn is_empty(&self) -> bool {
        self.descriptors.is_empty()
    }

    /// Names and descriptors.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &OwnedFd)> {
        self.descriptors.iter().map(|(name, descriptor)| (name.as_str(), descriptor))
    }

    /// What is in the memory of this name.
    pub fn memory(&self, name: &str) -> Option<io::Result<Vec<u8>>> {
        let (_, descriptor) = self.descriptors.iter().find(|(have, _)| have == name)?;
        Some(descriptor.try_clone().and_then(|descriptor| read(&File::from(descriptor))))
    }

    /// The memory of this name itself, which is no part of the others any more.
    pub fn take(&mut self, name: &str) -> Option<File> {
        let place = self.descriptors.iter().position(|(have, _)| have == name)?;
        Some(self.descriptors.remove(place).1.into())
    }

    /// All of them; what is no listener is closed by whoever looks for those.
    pub fn into_descriptors(self) -> Vec<OwnedFd> {
        self.descriptors.into_iter().map(|(_, descriptor)| descriptor).collect()
    }
}

fn read(memory: &File) -> io::Result<Vec<u8>> {
    let length = usize::try_from(memory.metadata()?.len()).unwrap_or(usize::MAX);
    if length > MOST_OCTETS {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let mut octets = vec![0; length];
    // Where the writer has left off is not where it begins.
    memory.read_exact_at(&mut octets, 0)?;
    Ok(octets)
}

#[cfg(test)]
mod tests {
    use super::super::store::memory;
    use super::*;

    #[test]
    fn names_belong_to_descriptors_by_their_place() {
        let some = |text: &[u8]| memory("x", text).map(OwnedFd::from).ok();
        let mut passed = Passed::of(vec![some(b"1"), None, some(b"3"), some(b"4")], "a:b:c");
        assert_eq!(passed.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["a", "c", ""]);
        assert_eq!(passed.memory("c").unwrap().unwrap(), b"3");
        assert!(passed.memory("b").is_none());
        assert!(passed.take("a").is_some() && passed.take("a").is_none());
        assert_eq!(passed.into_descriptors().len(), 2);
    }

    #[test]
    fn what_is_too_large_or_no_memory_is_not_read() {
        let large = memory("x", b"").unwrap();
        large.set_len(MOST_OCTETS as u64 + 1).unwrap();
        let (end, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        let passed = Passed::of(vec![Some(large.into()), Some(end.into())], "a:b");
        assert_eq!(passed.memory("a").unwrap().unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        // A socket has no length, and nothing to be read at a place.
        assert!(passed.memory("b").unwrap().is_ok_and(|octets| octets.is_empty()));
    }
}
