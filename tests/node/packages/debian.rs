//! A small Debian in a directory, to be thrown away.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, PoisonError};

use nix::mount::{MsFlags, mount};
use tempfile::TempDir;

use super::super::process::{Process, find, say_skipped};
use super::{done, said};

/// What packages write into, and the system beside them does, too.
const OTHERS: &[&str] =
    &["/var/lib/dpkg", "/var/lib/rpm", "/usr/lib/sysimage", "/var/log", "/var/cache", "/proc", "/sys"];

/// Where /proc and /sys are of the network that the test is in.
pub(super) struct Debian {
    directory: TempDir,
}

impl Debian {
    /// A copy of what [`made`] has found, for a test in namespaces of its own.
    pub(super) fn like(made: &Path) -> Self {
        let directory = tempfile::tempdir().unwrap();
        done(Command::new("cp").arg("--archive").arg(made.join(".")).arg(directory.path()));
        for (kind, at) in [("proc", "proc"), ("sysfs", "sys")] {
            mount(Some(kind), &directory.path().join(at), Some(kind), MsFlags::empty(), None::<&str>).unwrap();
        }
        Self { directory }
    }

    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.directory.path().join(path.trim_start_matches('/'))
    }

    pub(super) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    pub(super) fn write(&self, path: &str, text: &str) {
        fs::create_dir_all(self.path(path).parent().unwrap()).unwrap();
        fs::write(self.path(path), text).unwrap();
    }

    /// Runs a command in there.
    pub(super) fn runs(&self, command: &str) -> Output {
        self.command(command).output().unwrap()
    }

    /// Runs a command in there that must not fail, and returns what it says.
    pub(super) fn says(&self, command: &str) -> String {
        let output = self.runs(command);
        assert!(output.status.success(), "{command}: {}", said(&output));
        said(&output)
    }

    /// Starts a command in there that goes on.
    pub(super) fn starts(&self, command: &str) -> Process {
        Process::start(&mut self.command(command), &self.directory.path().join("tmp/log"))
    }

    fn command(&self, command: &str) -> Command {
        let mut chroot = Command::new("chroot");
        chroot.arg(self.directory.path()).args(command.split(' ')).env_clear();
        chroot.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("DEBIAN_FRONTEND", "noninteractive");
        chroot
    }

    /// Every file, directory and link that packages have put there.
    pub(super) fn files(&self) -> BTreeSet<String> {
        let all = done(Command::new("find").arg(self.directory.path()).args(["-xdev", "-printf", "/%P\n"]));
        let is_ours = |path: &&str| !OTHERS.iter().any(|other| path.starts_with(other)) && !path.starts_with("/tmp");
        all.lines().filter(is_ours).map(str::to_owned).collect()
    }
}

/// Where one is that nobody writes to; kept with what cargo builds. Made from the network, so not within
/// a namespace. `None`, and said, when it cannot be had.
pub(crate) fn made() -> Option<PathBuf> {
    static MAKING: Mutex<()> = Mutex::new(());
    let _alone = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
    let debootstrap = find("debootstrap", "debootstrap")?;
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let Some(suite) = release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME=")) else {
        say_skipped("Debian, whose release it is tested with");
        return None;
    };
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("debian-{suite}"));
    if !home.exists() {
        let making = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let root = making.path().join("root");
        let mut command = Command::new(debootstrap);
        command.args(["--variant=minbase", "--include=systemd,iproute2", suite]).arg(&root);
        let output = command.output().unwrap();
        if !output.status.success() {
            let log = fs::read_to_string(root.join("debootstrap/debootstrap.log")).unwrap_or_default();
            say_skipped(&format!("debootstrap to make a Debian: {}{log}", said(&output)));
            return None;
        }
        fs::rename(root, &home).unwrap();
    }
    Some(home)
}
