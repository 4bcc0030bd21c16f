//! The way to a file: every directory that is gone through, links followed.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::path::{Component, Path, PathBuf};

/// Links that are followed at most, as by the kernel (path_resolution(7)).
const MOST_LINKS: usize = 40;

/// Goes the way to `path` as the kernel does, and tells `step` of each directory and of the name that
/// is looked up in it next, as far as there is something. `step` comes before the look: who begins to
/// watch the directory then misses nothing that happens to the name. Returns the file itself, without
/// a link on its way, if it is there.
pub(super) fn follow(path: &Path, mut step: impl FnMut(&Path, &OsStr)) -> Option<PathBuf> {
    let mut at = PathBuf::from("/");
    let mut rest: VecDeque<OsString> = names(&std::path::absolute(path).ok()?).collect();
    let mut links = 0;
    while let Some(name) = rest.pop_front() {
        if name == ".." {
            at.pop();
            continue;
        }
        step(&at, &name);
        let next = at.join(&name);
        if !std::fs::symlink_metadata(&next).ok()?.is_symlink() {
            at = next;
            continue;
        }
        links += 1;
        if links > MOST_LINKS {
            return None;
        }
        let target = std::fs::read_link(&next).ok()?;
        if target.is_absolute() {
            at = PathBuf::from("/");
        }
        for name in names(&target).rev() {
            rest.push_front(name);
        }
    }
    Some(at)
}

fn names(path: &Path) -> impl DoubleEndedIterator<Item = OsString> {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use std::fs::{create_dir_all, write};
    use std::os::unix::fs::symlink;

    use super::*;

    /// The names looked up below `top`, each with its directory, and where that led.
    fn way(top: &Path, path: &str) -> (Vec<String>, Option<String>) {
        let short = |path: &Path| path.strip_prefix(top).map(|path| path.display().to_string()).ok();
        let mut steps = Vec::new();
        let end = follow(&top.join(path), |at, name| steps.extend(short(&at.join(name))));
        // The way to the top itself is that of the machine.
        (steps.into_iter().filter(|step| !step.is_empty()).collect(), end.and_then(|end| short(&end)))
    }

    #[test]
    fn every_link_is_followed_and_every_name_on_the_way_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let top = &directory.path().canonicalize().unwrap();
        for path in ["etc", "run/systemd/resolve", "config/..2026", "loop"] {
            create_dir_all(top.join(path)).unwrap();
        }
        write(top.join("run/systemd/resolve/resolv.conf"), "").unwrap();
        write(top.join("config/..2026/zerohop.toml"), "").unwrap();
        for (target, link) in [
            ("../run/systemd/resolve/resolv.conf", "etc/resolv.conf"),
            ("..2026", "config/..data"),
            ("..data/zerohop.toml", "config/zerohop.toml"),
            ("two", "loop/one"),
            ("one", "loop/two"),
            ("absent/hosts", "etc/hosts"),
        ] {
            symlink(target, top.join(link)).unwrap();
        }
        symlink(top.join("etc/resolv.conf"), top.join("absolute")).unwrap();
        let resolve = ["run", "run/systemd", "run/systemd/resolve", "run/systemd/resolve/resolv.conf"];
        let told = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let end = |path: &str| Some(path.to_owned());
        let (steps, file) = way(top, "etc/resolv.conf");
        assert_eq!(steps, told(&[&["etc", "etc/resolv.conf"], &resolve[..]].concat()));
        assert_eq!(file, end(resolve[3]));
        let (steps, file) = way(top, "absolute");
        assert_eq!(steps, told(&[&["absolute", "etc", "etc/resolv.conf"], &resolve[..]].concat()));
        assert_eq!(file, end(resolve[3]));
        let (steps, file) = way(top, "config/zerohop.toml");
        let swap = ["config", "config/zerohop.toml", "config/..data", "config/..2026", "config/..2026/zerohop.toml"];
        assert_eq!((steps, file), (told(&swap), end(swap[4])));
        let (steps, file) = way(top, "etc/../etc/./hosts");
        assert_eq!((steps, file), (told(&["etc", "etc", "etc/hosts", "etc/absent"]), None));
        let (steps, file) = way(top, "none/zerohop.toml");
        assert_eq!((steps, file), (told(&["none"]), None), "it may come");
        let (steps, file) = way(top, "loop/one");
        assert_eq!((steps.len(), file), (MOST_LINKS + 2, None));
    }
}
