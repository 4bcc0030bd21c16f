//! The files that a configuration is made of, and what was in them.

use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::io;
use std::path::{Path, PathBuf};

use foldhash::quality::FixedState;

/// Files by their paths, each with a mark of what was found in it when it was first read; `None` when
/// it could not be, and for what is no file: a pipe has but one reading.
#[derive(Clone, Debug, Default)]
pub struct Files(BTreeMap<PathBuf, Option<u64>>);

impl Files {
    /// Reads a file and notes what is in it, or that it cannot be read.
    ///
    /// # Errors
    /// As [`std::fs::read`].
    pub fn read(&mut self, path: &Path) -> io::Result<Vec<u8>> {
        let read = std::fs::read(path);
        // Of a file that is read twice the first counts: with the second, a change in between would
        // never be noticed.
        self.0.entry(path.to_owned()).or_insert_with(|| mark(&read).filter(|_| is_file(path)));
        read
    }

    /// As [`Self::read`], of text.
    ///
    /// # Errors
    /// As [`std::fs::read_to_string`].
    pub(super) fn read_text(&mut self, path: &Path) -> io::Result<String> {
        let no_text = |_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8");
        String::from_utf8(self.read(path)?).map_err(no_text)
    }

    /// Takes in what others have read.
    pub fn extend(&mut self, others: &Self) {
        for (path, mark) in &others.0 {
            self.0.entry(path.clone()).or_insert(*mark);
        }
    }

    /// Where each of them is, as it was named: relative paths are of the working directory.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.0.keys().map(PathBuf::as_path)
    }

    /// Those in which there is something else by now. Reads all of them.
    pub fn changed(&self) -> Vec<&Path> {
        let now = |path: &Path| if is_file(path) { mark(&std::fs::read(path)) } else { None };
        let has_changed = |(path, was): &(&PathBuf, &Option<u64>)| now(path) != **was;
        self.0.iter().filter(has_changed).map(|(path, _)| path.as_path()).collect()
    }
}

fn is_file(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| metadata.is_file())
}

fn mark(read: &io::Result<Vec<u8>>) -> Option<u64> {
    read.as_ref().ok().map(|octets| FixedState::with_seed(0).hash_one(octets))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_is_the_content_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        std::fs::write(&path, "one").unwrap();
        let mut files = Files::default();
        assert_eq!(files.read(&path).unwrap(), b"one");
        let absent = directory.path().join("absent");
        assert!(files.read(&absent).is_err());
        assert_eq!(files.paths().collect::<Vec<_>>(), [&path, &absent]);
        // The same again: another file, another time.
        std::fs::remove_file(&path).unwrap();
        assert_eq!(files.changed(), [&path]);
        std::fs::write(&path, "one").unwrap();
        assert!(files.changed().is_empty());
        std::fs::write(&path, "two").unwrap();
        std::fs::write(&absent, "").unwrap();
        assert_eq!(files.changed(), [&path, &absent]);
        // Read anew among other things, it is still the first that counts.
        files.read(&path).unwrap();
        let mut others = Files::default();
        others.extend(&files);
        assert_eq!(others.changed(), [&path, &absent]);
    }

    #[test]
    fn a_pipe_is_read_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pipe");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let mut files = Files::default();
        std::thread::scope(|scope| {
            scope.spawn(|| std::fs::write(&path, "one").unwrap());
            assert_eq!(files.read(&path).unwrap(), b"one");
        });
        // Reading it again would wait for another writer.
        assert!(files.changed().is_empty());
    }
}
