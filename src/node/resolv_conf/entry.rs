//! What stands in a directory under a name, with all that is needed to make it again.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

/// What everybody may read: the daemon runs as a user of its own.
const READABLE: u32 = 0o644;
const SEARCHABLE: u32 = 0o755;
const BITS_OF_MODE: u32 = 0o7777;

/// See the module's head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    Link(PathBuf),
    File {
        content: Vec<u8>,
        mode: u32,
        /// User and group; `None`: ours.
        owner: Option<(u32, u32)>,
    },
}

impl Entry {
    /// A file for everybody to read.
    pub(super) fn text(content: impl Into<Vec<u8>>) -> Self {
        Self::File { content: content.into(), mode: READABLE, owner: None }
    }

    /// What is there, if something is.
    pub(super) fn read(path: &Path) -> io::Result<Option<Self>> {
        let metadata = match path.symlink_metadata() {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        if metadata.is_symlink() {
            return fs::read_link(path).map(|target| Some(Self::Link(target)));
        }
        if !metadata.is_file() {
            return Err(io::Error::new(ErrorKind::InvalidInput, "it is neither a file nor a symbolic link"));
        }
        let owner = Some((metadata.uid(), metadata.gid()));
        Ok(Some(Self::File { content: fs::read(path)?, mode: metadata.mode() & BITS_OF_MODE, owner }))
    }

    /// The text of a file; nothing of a link.
    pub(super) fn content(&self) -> &[u8] {
        match self {
            Self::Link(_) => &[],
            Self::File { content, .. } => content,
        }
    }

    /// Puts it under a name, in place of what is there: whoever opens that finds the one or the
    /// other, at any moment and after a loss of power.
    pub(super) fn put(&self, path: &Path) -> io::Result<()> {
        let (directory, name) = path.parent().zip(path.file_name()).ok_or(ErrorKind::InvalidInput)?;
        if !directory.exists() {
            fs::create_dir_all(directory)?;
            fs::set_permissions(directory, Permissions::from_mode(SEARCHABLE))?;
        }
        // A name that no manager takes for a file of its own, and no other run has.
        let mut temporary = OsString::from(".");
        temporary.push(name);
        temporary.push(format!(".{}", std::process::id()));
        let temporary = directory.join(temporary);
        remove_if_there(&temporary)?;
        let moved = self.create(&temporary).and_then(|()| fs::rename(&temporary, path));
        if moved.is_err() {
            // What counts is why it could not be put there.
            let _ = remove_if_there(&temporary);
        }
        moved.and_then(|()| sync(directory))
    }

    fn create(&self, path: &Path) -> io::Result<()> {
        match self {
            Self::Link(target) => symlink(target, path),
            Self::File { content, mode, owner } => {
                let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
                file.write_all(content)?;
                if let Some((user, group)) = owner {
                    let made = file.metadata()?;
                    if (made.uid(), made.gid()) != (*user, *group) {
                        chown(path, Some(*user), Some(*group))?;
                    }
                }
                file.set_permissions(Permissions::from_mode(*mode))?;
                file.sync_all()
            }
        }
    }
}

/// Removes a file or a link for good, if it is there.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    remove_if_there(path)?;
    path.parent().filter(|directory| directory.exists()).map_or(Ok(()), sync)
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Has the disk know what was renamed.
fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_can_be_put_elsewhere_and_is_the_same() {
        let directory = tempfile::tempdir().unwrap();
        let (from, to) = (directory.path().join("from"), directory.path().join("new/to"));
        assert_eq!(Entry::read(&from).unwrap(), None);
        symlink("../somewhere", &from).unwrap();
        let link = Entry::read(&from).unwrap().unwrap();
        link.put(&to).unwrap();
        assert_eq!(fs::read_link(&to).unwrap(), Path::new("../somewhere"));
        fs::remove_file(&from).unwrap();
        fs::write(&from, b"\xff\n").unwrap();
        fs::set_permissions(&from, Permissions::from_mode(0o4640)).unwrap();
        let file = Entry::read(&from).unwrap().unwrap();
        file.put(&to).unwrap();
        assert_eq!(Entry::read(&to).unwrap().unwrap(), file);
        assert_eq!(fs::read_dir(directory.path().join("new")).unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn what_cannot_be_put_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let taken = directory.path().join("taken");
        fs::create_dir(&taken).unwrap();
        assert!(Entry::text("x").put(&taken).is_err());
        assert!(Entry::read(&taken).is_err());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        remove(&directory.path().join("absent/file")).unwrap();
    }
}
