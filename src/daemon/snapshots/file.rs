//! The file of the cache. It is ours alone: what others could have written is not read, and what a
//! crash leaves is a whole snapshot, the old one or the new.

use std::ffi::OsString;
use std::fmt;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::unistd::geteuid;

/// Read and written by its owner, and by nobody else.
const MODE: u32 = 0o600;

/// Why what is there is not read.
#[derive(Debug)]
pub(super) enum Unusable {
    Unopened(io::Error),
    Link,
    Irregular,
    Foreign { owner: u32, ours: u32 },
    Open { mode: u32 },
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unopened(error) => write!(f, "it cannot be opened: {error}"),
            Self::Link => f.write_str("it is a symbolic link; name what it leads to in `persist` of [cache]"),
            Self::Irregular => f.write_str("it is no regular file; name another in `persist` of [cache]"),
            Self::Foreign { owner, ours } => {
                write!(f, "it belongs to user {owner}, and we are user {ours}; remove it, or have its owner changed")
            }
            Self::Open { mode } => {
                write!(f, "its mode is {mode:04o}, and others may have changed it; remove it, or make it {MODE:04o}")
            }
        }
    }
}

/// Opens the file if there is one. Does not wait, whatever it is.
pub(super) fn open(path: &Path) -> Result<Option<File>, Unusable> {
    let ours = geteuid().as_raw();
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let file = match OpenOptions::new().read(true).custom_flags(flags.bits()).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) if error.raw_os_error() == Some(Errno::ELOOP as i32) => return Err(Unusable::Link),
        Err(error) => {
            // Without leave to read it, it can be seen whose it is.
            let owner = std::fs::symlink_metadata(path).map(|is| is.uid());
            return Err(match owner {
                Ok(owner) if owner != ours => Unusable::Foreign { owner, ours },
                _ => Unusable::Unopened(error),
            });
        }
    };
    let is = file.metadata().map_err(Unusable::Unopened)?;
    if !is.is_file() {
        return Err(Unusable::Irregular);
    }
    if is.uid() != ours {
        return Err(Unusable::Foreign { owner: is.uid(), ours });
    }
    match is.mode() & 0o7777 {
        MODE => Ok(Some(file)),
        mode => Err(Unusable::Open { mode }),
    }
}

/// Puts a new file in the place of whatever file or link is there, once it is whole and on the disk.
pub(super) fn replace<T>(path: &Path, write: impl FnOnce(&File) -> io::Result<T>) -> io::Result<T> {
    if let Some(directory) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    }
    let new = beside(path);
    // A crash may have left one.
    remove(&new)?;
    let file = OpenOptions::new().write(true).create_new(true).mode(MODE).open(&new)?;
    let written = write(&file).and_then(|written| {
        file.sync_all()?;
        std::fs::rename(&new, path)?;
        Ok(written)
    });
    if written.is_err() {
        // What fills the disk is not to stay there.
        let _ = remove(&new);
    }
    written
}

/// In the same directory, so that it can take the other's place at once.
fn beside(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".new");
    name.into()
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::io::{Read, Write};
    use std::os::unix::fs::{PermissionsExt, symlink};

    use nix::sys::stat::Mode;
    use nix::unistd::{Uid, chown, mkfifo};

    use super::*;

    fn put(path: &Path, text: &str) {
        replace(path, |mut file| file.write_all(text.as_bytes())).unwrap();
    }

    fn text(path: &Path) -> String {
        let mut text = String::new();
        open(path).unwrap().unwrap().read_to_string(&mut text).unwrap();
        text
    }

    fn names(directory: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(directory).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_file_is_made_with_its_directory_and_replaced_whole_or_not_at_all() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lib").join("zerohop").join("cache");
        assert!(open(&path).unwrap().is_none());
        put(&path, "first");
        assert_eq!(text(&path), "first");
        // What a crash has left is no hindrance.
        std::fs::write(beside(&path), "half").unwrap();
        put(&path, "second");
        assert_eq!((text(&path), names(path.parent().unwrap())), ("second".to_owned(), vec!["cache".to_owned()]));
        let full = || io::Error::from_raw_os_error(Errno::ENOSPC as i32);
        let failed = replace(&path, |mut file| file.write_all(b"th").and_then(|()| Err::<(), _>(full())));
        assert_eq!(failed.unwrap_err().kind(), ErrorKind::StorageFull);
        assert_eq!((text(&path), names(path.parent().unwrap())), ("second".to_owned(), vec!["cache".to_owned()]));
        let mode = |path: &Path| std::fs::metadata(path).unwrap().mode() & 0o7777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    }

    #[test]
    fn what_others_could_have_written_is_not_read_and_gives_way() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cache");
        let why = |path: &Path| open(path).unwrap_err().to_string();
        put(&path, "good");
        std::fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        insta::assert_snapshot!(why(&path), @"its mode is 0640, and others may have changed it; remove it, or make it 0600");
        put(&path, "good");
        let link = directory.path().join("link");
        symlink(&path, &link).unwrap();
        insta::assert_snapshot!(why(&link), @"it is a symbolic link; name what it leads to in `persist` of [cache]");
        put(&link, "new");
        assert_eq!((text(&link), text(&path)), ("new".to_owned(), "good".to_owned()));
        let fifo = directory.path().join("fifo");
        mkfifo(&fifo, Mode::from_bits_retain(MODE)).unwrap();
        for irregular in [&fifo, directory.path(), Path::new("/dev/null")] {
            insta::allow_duplicates! {
                insta::assert_snapshot!(why(irregular), @"it is no regular file; name another in `persist` of [cache]");
            }
        }
        let inside = path.join("cache");
        insta::assert_snapshot!(why(&inside), @"it cannot be opened: Not a directory (os error 20)");
        insta::assert_snapshot!(
            Unusable::Foreign { owner: 1000, ours: 0 },
            @"it belongs to user 1000, and we are user 0; remove it, or have its owner changed"
        );
        if geteuid().is_root() {
            chown(&path, Some(Uid::from_raw(1)), None).unwrap();
            assert!(matches!(open(&path), Err(Unusable::Foreign { owner: 1, ours: 0 })));
        }
    }
}
