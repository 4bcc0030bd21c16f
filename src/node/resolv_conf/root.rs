//! The file system of a node: `/`, or where an image is mounted.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

/// As many links behind one another as the kernel follows.
const LINKS: usize = 40;

/// See the module's head. Paths are those of the node, and begin with `/`.
#[derive(Clone, Debug)]
pub struct Root(PathBuf);

impl Root {
    pub fn new(root: PathBuf) -> Self {
        Self(root)
    }

    /// Where a path of the node is for us.
    pub fn at(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.0.join(path.strip_prefix("/").unwrap_or(path))
    }

    pub(super) fn exists(&self, path: &str) -> bool {
        self.at(path).symlink_metadata().is_ok()
    }

    /// What the file holds that a path leads to, whatever links it is behind.
    pub(super) fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        fs::read(self.at(self.follow(path)))
    }

    /// The path of the node that a path leads to. The kernel would take an absolute link out of the
    /// image.
    pub(super) fn follow(&self, path: &str) -> PathBuf {
        let mut path = PathBuf::from(path);
        for _ in 0..LINKS {
            let Ok(target) = fs::read_link(self.at(&path)) else { break };
            path = leads_to(&path, &target);
        }
        path
    }
}

/// What a link at `path` names, without `..`.
pub(super) fn leads_to(path: &Path, target: &Path) -> PathBuf {
    let mut led = PathBuf::new();
    for part in path.parent().unwrap_or(Path::new("/")).join(target).components() {
        match part {
            Component::ParentDir => _ = led.pop(),
            Component::CurDir => {}
            Component::Prefix(_) | Component::RootDir | Component::Normal(_) => led.push(part),
        }
    }
    led
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_stay_inside() {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::new(directory.path().to_owned());
        fs::create_dir_all(root.at("/run/a")).unwrap();
        fs::create_dir_all(root.at("/etc")).unwrap();
        fs::write(root.at("/run/a/file"), "inside").unwrap();
        symlink("file", root.at("/run/a/relative")).unwrap();
        symlink("/run/a/relative", root.at("/run/absolute")).unwrap();
        symlink("../../run/./absolute", root.at("/etc/link")).unwrap();
        symlink("loop", root.at("/etc/loop")).unwrap();
        assert_eq!(root.follow("/etc/link"), Path::new("/run/a/file"));
        assert_eq!(root.read("/etc/link").unwrap(), b"inside");
        assert!(root.read("/etc/loop").is_err() && root.read("/etc/absent").is_err());
        assert!(root.exists("/etc/loop") && !root.exists("/etc/absent"));
    }
}
