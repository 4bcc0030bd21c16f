//! A cache that outlives its process: in a file, and from one instance to the next.

use std::fs::Permissions;
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use hickory_proto::rr::RecordType::A;
use nix::mount::{MsFlags, mount};
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::{Uid, chown, geteuid, mkfifo};
use tempfile::TempDir;

use super::client::ask;
use super::harness::Zerohop;
use super::namespace::alone;
use super::recorder::Recorder;
use super::wait::until;

/// Names that are asked for.
const NAMES: usize = 500;
const TTL: u32 = 300;

/// An instance over an upstream that counts, with a file for its cache.
struct Kept {
    instance: Zerohop,
    upstream: Recorder,
    file: PathBuf,
    _directory: TempDir,
}

impl Kept {
    fn start() -> Self {
        Self::below(tempfile::tempdir().unwrap())
    }

    fn below(directory: TempDir) -> Self {
        let upstream = Recorder::answering([192, 0, 2, 1]);
        // Its directory is to be made.
        let file = directory.path().join("lib").join("cache");
        let instance = Zerohop::start(&sections(&upstream, Some(&file)));
        Self { instance, upstream, file, _directory: directory }
    }

    /// Asks for all names, and returns their TTLs.
    fn ask_all(&self) -> Vec<u32> {
        let ask = |number: usize| ask(self.instance.address, &format!("n{number}.example."), A);
        let replies = (0..NAMES).map(ask).inspect(|reply| assert_eq!(reply.data(A), ["192.0.2.1"]));
        replies.map(|reply| reply.ttl()).collect()
    }

    /// Asks for all names until time has passed, as can be seen in their TTLs, which are returned.
    fn fill(&self) -> Vec<u32> {
        self.ask_all();
        assert_eq!(self.upstream.packets(), NAMES);
        let later = || ask(self.instance.address, "n0.example.", A).ttl() <= TTL - 2;
        until("a TTL to count down", || later().then_some(()));
        self.ask_all()
    }

    fn stop(&mut self) {
        self.instance.process.stops();
    }

    /// Waits until so many answers have come from a snapshot.
    fn until_restored(&self, entries: usize) {
        let restored = || self.instance.metrics().sum("zerohop_cache_restored_total", &[]);
        until("the cache to be loaded", || (restored() >= entries as u64).then_some(()));
        assert_eq!(restored(), entries as u64);
    }

    /// All is answered as before, by nobody but this instance, and has grown older.
    fn is_warm(&self, before: &[u32]) {
        let asked = self.upstream.packets();
        let after = self.ask_all();
        assert_eq!(self.upstream.packets(), asked, "somebody was asked");
        assert!(before.iter().zip(&after).all(|(before, after)| after <= before), "{before:?}\n{after:?}");
        assert!(after.iter().all(|ttl| *ttl > TTL - 60), "{after:?}");
    }

    /// Starts another in place of the one that serves, once that has ended by a signal.
    fn succeed(&mut self, signal: Signal, log: &str) {
        let heir = self.instance.standby(log);
        self.instance.succeed(heir, signal);
        self.instance.process.until_says("\"message\":\"serving\"");
    }
}

fn sections(upstream: &Recorder, file: Option<&Path>) -> String {
    let persist = file.map_or(String::new(), |file| format!("[cache]\npersist = \"{}\"\n", file.display()));
    format!("{persist}{}", upstream.root_zone())
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().mode() & 0o7777
}

#[test]
fn after_a_restart_nobody_is_asked_again() {
    let mut kept = Kept::start();
    kept.instance.log_line(&["no cache has been kept yet: it begins empty"]);
    let before = kept.fill();
    kept.stop();
    assert_eq!((mode(&kept.file), mode(kept.file.parent().unwrap())), (0o600, 0o700));
    assert_eq!(std::fs::read_dir(kept.file.parent().unwrap()).unwrap().count(), 1, "nothing else is left there");
    kept.instance.start_again();
    kept.until_restored(NAMES);
    kept.is_warm(&before);
    kept.instance.log_line(&["the cache begins with what was kept in", &format!("\"entries\":{NAMES}")]);
    // Of what came from the file nothing is lost at the next stop, and of a zone that asks others now
    // nothing is found.
    kept.stop();
    let elsewhere = Recorder::answering([192, 0, 2, 2]);
    kept.instance.write_config(&sections(&elsewhere, Some(&kept.file)));
    kept.instance.start_again();
    kept.until_restored(NAMES);
    assert_eq!(ask(kept.instance.address, "n0.example.", A).data(A), ["192.0.2.2"]);
}

#[test]
fn a_file_that_is_not_as_we_left_it_is_not_read_and_replaced_by_the_next() {
    type Spoil = fn(&Path);
    let cases: [(&str, Spoil); 8] = [
        ("it is damaged", |file| {
            let octets = std::fs::read(file).unwrap();
            std::fs::write(file, &octets[..octets.len() / 2]).unwrap();
        }),
        ("it is damaged", |file| {
            let mut octets = std::fs::read(file).unwrap();
            let middle = octets.len() / 2;
            octets[middle] ^= 1;
            std::fs::write(file, &octets).unwrap();
        }),
        ("it is no snapshot", |file| std::fs::write(file, "").unwrap()),
        ("its mode is 0644", |file| std::fs::set_permissions(file, Permissions::from_mode(0o644)).unwrap()),
        ("it belongs to user 1,", |file| chown(file, Some(Uid::from_raw(1)), None).unwrap()),
        ("it is a symbolic link", |file| {
            let beside = file.with_extension("moved");
            std::fs::rename(file, &beside).unwrap();
            symlink(&beside, file).unwrap();
        }),
        ("it is no regular file", |file| {
            std::fs::remove_file(file).unwrap();
            mkfifo(file, Mode::from_bits_retain(0o600)).unwrap();
        }),
        ("it is no regular file", |file| {
            std::fs::remove_file(file).unwrap();
            std::fs::create_dir(file).unwrap();
        }),
    ];
    let mut kept = Kept::start();
    ask(kept.instance.address, "n0.example.", A);
    kept.stop();
    for (why, spoil) in cases {
        if why.contains("belongs") && !geteuid().is_root() {
            continue;
        }
        spoil(&kept.file);
        let asked = kept.upstream.packets();
        kept.instance.start_again();
        kept.instance.log_line(&["ERROR", "the cache begins without what was kept in", why]);
        assert_eq!(ask(kept.instance.address, "n0.example.", A).data(A), ["192.0.2.1"]);
        assert_eq!(kept.upstream.packets(), asked + 1, "{why}");
        let metrics = kept.instance.metrics();
        let counts = ["zerohop_cache_snapshots_refused_total", "zerohop_cache_restored_total"];
        assert_eq!(counts.map(|name| metrics.sum(name, &[])), [1, 0], "{why}");
        kept.stop();
        let replaced = std::fs::symlink_metadata(&kept.file).unwrap();
        if replaced.is_dir() {
            kept.instance.log_line(&["ERROR", "cannot be written to", "Is a directory"]);
        } else {
            assert!(replaced.is_file() && mode(&kept.file) == 0o600, "{why}");
        }
    }
}

#[test]
fn the_next_instance_begins_with_the_cache_of_the_one_that_leaves() {
    let mut kept = Kept::start();
    kept.instance.reload(&sections(&kept.upstream, None));
    let before = kept.fill();
    for log in ["log-1", "log-2"] {
        kept.succeed(Signal::SIGTERM, log);
        kept.until_restored(NAMES);
        kept.is_warm(&before);
        kept.instance.log_line(&["the cache begins with that of the instance before"]);
    }
    assert!(!kept.file.exists(), "it was not to be kept");
    kept.succeed(Signal::SIGKILL, "log-3");
    kept.until_restored(0);
    let asked = kept.upstream.packets();
    kept.ask_all();
    assert_eq!(kept.upstream.packets(), asked + NAMES);
}

#[test]
fn after_a_death_the_next_instance_begins_with_the_file() {
    let mut kept = Kept::start();
    kept.instance.reload(&sections(&kept.upstream, None));
    let before = kept.fill();
    // From a reload on it is kept.
    kept.instance.reload(&sections(&kept.upstream, Some(&kept.file)));
    kept.stop();
    kept.instance.start_again();
    kept.until_restored(NAMES);
    kept.succeed(Signal::SIGKILL, "log-1");
    kept.until_restored(NAMES);
    kept.is_warm(&before);
}

/// What a standby does that was built before the cache went along.
#[test]
fn a_standby_that_knows_of_no_cache_is_told_the_same_as_ever() {
    let mut kept = Kept::start();
    kept.fill();
    let mut stream = UnixStream::connect(kept.instance.config().with_file_name("control.sock")).unwrap();
    stream.write_all(b"{\"verb\":\"join\",\"pid\":7}\n").unwrap();
    kept.instance.log_line(&["a standby has joined"]);
    kept.instance.process.signal(Signal::SIGTERM);
    let mut come = String::new();
    while !come.contains("serve") {
        let mut room = [0; 4096];
        let length = stream.read(&mut room).unwrap();
        assert!(length > 0, "{come}");
        come.push_str(std::str::from_utf8(&room[..length]).unwrap());
    }
    let last = come.lines().last().unwrap();
    assert_eq!(last, r#"{"news":"serve"}"#);
    stream.write_all(b"{\"verb\":\"serving\"}\n").unwrap();
    assert_eq!(kept.instance.process.exit_code(), Some(0));
    kept.instance.log_line(&["the standby serves"]);
    assert!(!kept.file.exists(), "it is for the heir to write it");
}

#[test]
fn a_disk_that_is_full_keeps_what_was_there_and_the_rest_goes_on() {
    alone(|_| {
        let directory = tempfile::tempdir().unwrap();
        let tmpfs = Some("tmpfs");
        mount(tmpfs, directory.path(), tmpfs, MsFlags::empty(), Some("size=32k")).unwrap();
        let mut kept = Kept::below(directory);
        ask(kept.instance.address, "n0.example.", A);
        kept.stop();
        let small = std::fs::read(&kept.file).unwrap();
        kept.instance.start_again();
        kept.ask_all();
        kept.stop();
        kept.instance.log_line(&["ERROR", "the cache cannot be written to", "No space left on device"]);
        assert_eq!(std::fs::read(&kept.file).unwrap(), small);
        assert_eq!(std::fs::read_dir(kept.file.parent().unwrap()).unwrap().count(), 1, "half a file is left");
    });
}
