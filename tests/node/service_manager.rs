//! systemd, as far as a service sees it: it listens to notifications, keeps descriptors, and passes them at
//! a start.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::linux::fs::MetadataExt;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tempfile::TempDir;
use zerohop::listener::hand_over::{receive, send};

use super::process::{Process, find};
use super::wait::until;

const LAUNCHER: &str = include_str!("pass_descriptors.py");

/// Keeps descriptors until it is dropped.
pub(crate) struct ServiceManager {
    directory: TempDir,
    python: PathBuf,
    state: Arc<Mutex<State>>,
    is_over: Arc<AtomicBool>,
    listening: Option<JoinHandle<()>>,
    /// What services are told of the store; nothing before systemd 254.
    fdstore: Option<String>,
}

#[derive(Default)]
struct State {
    /// All that it was told, as it was said.
    told: Vec<String>,
    store: Vec<(String, OwnedFd)>,
    most: usize,
    /// What came along with barriers that it does not close, if it is to.
    barriers: Option<Vec<OwnedFd>>,
}

impl ServiceManager {
    /// `None`, and said, when there is no launcher.
    pub(crate) fn start() -> Option<Self> {
        Self::with_store(512, true)
    }

    /// As `FileDescriptorStoreMax=` says; as from systemd 254 on, services are told.
    pub(crate) fn with_store(most: usize, is_told: bool) -> Option<Self> {
        let python = find("python3", "python3")?;
        let directory = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(directory.path().join("notify")).unwrap();
        let state = Arc::new(Mutex::new(State { most, ..State::default() }));
        let is_over = Arc::new(AtomicBool::new(false));
        let (shared, over) = (Arc::clone(&state), Arc::clone(&is_over));
        let listening = thread::spawn(move || {
            while !over.load(Relaxed) {
                let mut ready = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
                poll(&mut ready, PollTimeout::from(50u8)).unwrap();
                let mut room = [0; 4096];
                while let Ok((length, descriptors)) = receive(socket.as_fd(), &mut room) {
                    shared.lock().unwrap().hear(std::str::from_utf8(&room[..length]).unwrap(), descriptors);
                }
            }
        });
        let fdstore = is_told.then(|| most.to_string());
        Some(Self { directory, python, state, is_over, listening: Some(listening), fdstore })
    }

    /// Starts a program with what is kept for it and more in its environment, and waits for nothing.
    pub(crate) fn launch(&self, more: &[(&str, &str)], program: &[&str], log: &Path) -> Process {
        let state = self.state.lock().unwrap();
        let passed: Vec<(&str, BorrowedFd<'_>)> =
            state.store.iter().map(|(name, descriptor)| (name.as_str(), descriptor.as_fd())).collect();
        let mut command = Command::new(&self.python);
        command.env_clear().env("NOTIFY_SOCKET", self.directory.path().join("notify")).envs(more.iter().copied());
        command.envs(self.fdstore.iter().map(|most| ("FDSTORE", most)));
        launch(&mut command, &passed, program, log)
    }

    /// Does not say any more that it has seen to what it was told.
    pub(crate) fn hold_barriers(&self) {
        self.state.lock().unwrap().barriers = Some(Vec::new());
    }

    /// All that it was told so far.
    pub(crate) fn told(&self) -> Vec<String> {
        self.state.lock().unwrap().told.clone()
    }

    /// Waits until it has been told something that begins so, once more than at last count.
    pub(crate) fn until_told(&self, begin: &str, times: usize) {
        let count = || self.told().iter().filter(|told| told.starts_with(begin)).count();
        until(&format!("{begin} for time {times}"), || (count() >= times).then_some(()));
    }

    /// The names of what it keeps, sorted.
    pub(crate) fn kept(&self) -> Vec<String> {
        let mut names: Vec<String> = self.state.lock().unwrap().store.iter().map(|(name, _)| name.clone()).collect();
        names.sort_unstable();
        names
    }
}

impl Drop for ServiceManager {
    fn drop(&mut self) {
        self.is_over.store(true, Relaxed);
        let ended = self.listening.take().map(JoinHandle::join);
        assert!(thread::panicking() || ended.is_none_or(|ended| ended.is_ok()), "it did not understand something");
    }
}

impl State {
    fn hear(&mut self, message: &str, descriptors: Vec<OwnedFd>) {
        self.told.push(message.to_owned());
        if message == "BARRIER=1"
            && let Some(barriers) = &mut self.barriers
        {
            return barriers.extend(descriptors);
        }
        let says = |line: &str| message.lines().any(|said| said == line);
        let name = message.lines().find_map(|line| line.strip_prefix("FDNAME="));
        if let Some(name) = name {
            // As systemd has it (fdname_is_valid).
            assert!(
                name.len() < 256 && name.bytes().all(|octet| (b' '..127).contains(&octet) && octet != b':'),
                "{name}"
            );
        }
        if says("FDSTOREREMOVE=1") {
            self.store.retain(|(have, _)| Some(have.as_str()) != name);
        }
        if says("FDSTORE=1") {
            for descriptor in descriptors {
                let is_known = self.store.iter().any(|(_, have)| object(have) == object(&descriptor));
                if !is_known && self.store.len() < self.most {
                    self.store.push((name.unwrap_or("stored").to_owned(), descriptor));
                }
            }
        }
    }
}

fn object(descriptor: &OwnedFd) -> (u64, u64) {
    let found = File::from(descriptor.try_clone().unwrap()).metadata().unwrap();
    (found.st_dev(), found.st_ino())
}

/// Starts a program with these descriptors, by `python3` with an environment of its own.
pub(crate) fn launch(python: &mut Command, passed: &[(&str, BorrowedFd<'_>)], program: &[&str], log: &Path) -> Process {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let names: Vec<&str> = passed.iter().map(|(name, _)| *name).collect();
    let descriptors: Vec<BorrowedFd<'_>> = passed.iter().map(|(_, descriptor)| *descriptor).collect();
    // A message has at least one octet.
    send(ours.as_fd(), format!("={}", names.join(":")).as_bytes(), &descriptors).unwrap();
    python.args(["-I", "-S", "-c", LAUNCHER]).args(program);
    Process::reading(python, Stdio::from(OwnedFd::from(theirs)), log)
}
