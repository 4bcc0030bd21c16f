//! Containers by podman, with a storage of their own, in the network that a test is in.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use nix::sys::resource::{Resource, getrlimit};
use tempfile::TempDir;

use super::super::process::{find, say_skipped};
use super::{done, said};

/// All of its pods end with it.
pub(super) struct Podman {
    program: PathBuf,
    runtime: &'static str,
    directory: TempDir,
}

impl Podman {
    /// With this archive of an image in its storage; `None`, and said, where it is missing or must not
    /// start containers.
    pub(super) fn with_image(archive: &Path) -> Option<Self> {
        let program = find("podman", "podman")?;
        // What a pod is held by while it has no container.
        find("catatonit", "catatonit")?;
        // Some kernels have control groups of both versions, and crun wants one.
        let runtime = if find("runc", "runc").is_some() { "runc" } else { "crun" };
        let podman = Self { program, runtime, directory: tempfile::tempdir().unwrap() };
        // The limits that podman sets unless told may be above what the test itself may have.
        let limit = |of| getrlimit(of).unwrap().1.min(4096);
        let (files, processes) = (limit(Resource::RLIMIT_NOFILE), limit(Resource::RLIMIT_NPROC));
        let settings = format!(
            "[containers]\ndefault_ulimits = [\"nofile={files}:{files}\", \"nproc={processes}:{processes}\"]\n\
             [engine]\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\n"
        );
        std::fs::write(podman.directory.path().join("containers.conf"), settings).unwrap();
        done(podman.command().args(["load", "--quiet", "--input"]).arg(archive));
        let image = format!("zerohop:{}", env!("CARGO_PKG_VERSION"));
        let started = podman.runs(&["run", "--rm", "--network", "host", &image, "--version"]);
        if !started.status.success() {
            say_skipped(&format!("leave to start containers with {runtime}: {}", said(&started)));
            return None;
        }
        assert_eq!(said(&started), format!("zerohop {}\n", env!("CARGO_PKG_VERSION")));
        Some(podman)
    }

    fn command(&self) -> Command {
        let here = self.directory.path();
        let mut command = Command::new(&self.program);
        // With vfs nothing is asked of the file system below.
        command.args(["--runtime", self.runtime, "--storage-driver", "vfs", "--root"]).arg(here.join("root"));
        command.arg("--runroot").arg(here.join("run")).arg("--tmpdir").arg(here.join("tmp"));
        command.env("CONTAINERS_CONF", here.join("containers.conf")).current_dir(here);
        command
    }

    pub(super) fn runs(&self, arguments: &[&str]) -> Output {
        self.command().args(arguments).output().unwrap()
    }

    /// Runs a command of podman that must not fail, and returns what it says.
    pub(super) fn says(&self, arguments: &[&str]) -> String {
        done(self.command().args(arguments))
    }

    /// What a container has written to its log.
    pub(super) fn log(&self, container: &str) -> String {
        self.says(&["logs", container])
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        self.runs(&["pod", "rm", "--force", "--all", "--time", "0"]);
    }
}
