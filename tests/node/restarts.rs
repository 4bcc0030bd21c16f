//! A pair with `--join`, each below a supervisor that always starts it again: restarts, reloads, upgrades and
//! deaths, and what clients see of them. A fifth of it, or so, unless `ZEROHOP_LONG` is in the environment.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use hickory_proto::rr::RecordType::A;
use nix::sys::signal::Signal;
use tempfile::TempDir;

use super::client::{Ask, ask};
use super::harness::zerohop;
use super::phase::{EACH, Phase, Place, Upstream, questions, until_restored};
use super::process::{Process, free_address};
use super::wait::{now, until};

/// How soon a supervisor sees that its child has ended.
const LOOK: Duration = Duration::from_millis(5);
const SERVING: &str = "\"message\":\"serving\"";
const STANDING_BY: &str = "\"message\":\"standing by\"";

/// Starts what has ended, whatever the reason, at once and for ever.
struct Supervisor {
    child: Arc<Mutex<Child>>,
    is_over: Arc<AtomicBool>,
    supervising: Option<JoinHandle<()>>,
}

struct Child {
    binary: PathBuf,
    config: PathBuf,
    logs: PathBuf,
    process: Process,
    starts: usize,
    /// How often one of them began to serve, without the one that runs.
    served: usize,
}

impl Child {
    fn start(binary: &Path, config: &Path, logs: &Path, starts: usize) -> Process {
        let mut command = Command::new(binary);
        command.env_clear().args(["run", "--join", "--config"]).arg(config);
        Process::start(&mut command, &logs.with_extension(format!("{starts}")))
    }

    fn supervise(&mut self) {
        if self.process.ended().is_some() {
            self.served += self.says(SERVING);
            self.starts += 1;
            self.process = Self::start(&self.binary, &self.config, &self.logs, self.starts);
        }
    }

    /// How often its log has these words.
    fn says(&self, words: &str) -> usize {
        self.process.output().matches(words).count()
    }
}

impl Supervisor {
    fn start(binary: &Path, config: &Path, logs: &Path) -> Self {
        let process = Child::start(binary, config, logs, 1);
        let (binary, config, logs) = (binary.to_owned(), config.to_owned(), logs.to_owned());
        let child = Arc::new(Mutex::new(Child { binary, config, logs, process, starts: 1, served: 0 }));
        let is_over: Arc<AtomicBool> = Arc::default();
        let (shared, over) = (Arc::clone(&child), Arc::clone(&is_over));
        let supervising = thread::spawn(move || {
            while !over.load(Relaxed) {
                shared.lock().unwrap().supervise();
                thread::park_timeout(LOOK);
            }
        });
        Self { child, is_over, supervising: Some(supervising) }
    }

    fn has_said(&self, words: &str) -> bool {
        self.child.lock().unwrap().says(words) > 0
    }

    fn starts(&self) -> usize {
        self.child.lock().unwrap().starts
    }

    /// Ends its child, and waits until there is another.
    fn ends(&self, signal: Signal) {
        let starts = self.starts();
        self.child.lock().unwrap().process.signal(signal);
        until("a supervisor to start it again", || (self.starts() > starts).then_some(()));
    }

    /// How often one of its children began to serve.
    fn served(&self) -> usize {
        let child = self.child.lock().unwrap();
        child.served + child.says(SERVING)
    }

    fn executable(&self) -> PathBuf {
        std::fs::read_link(format!("/proc/{}/exe", self.child.lock().unwrap().process.pid())).unwrap()
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.is_over.store(true, Relaxed);
        let _ = self.supervising.take().map(JoinHandle::join);
    }
}

struct Pair {
    address: SocketAddr,
    admin: SocketAddr,
    directory: TempDir,
    sections: String,
    supervisors: Vec<Supervisor>,
}

impl Pair {
    fn start(upstream: &Upstream) -> Self {
        let (address, admin, directory) = (free_address(), free_address(), tempfile::tempdir().unwrap());
        let sections = format!(
            "[server]\nlisten = [\"{address}\"]\nworkers = 2\n[admin]\nlisten = \"{admin}\"\ncontrol = \"control.sock\"\n\
             [[zone]]\nname = \".\"\nforward = [\"{}\"]\n",
            upstream.address
        );
        let mut pair = Self { address, admin, directory, sections, supervisors: Vec::new() };
        pair.write(0);
        for name in ["left", "right"] {
            let logs = pair.directory.path().join(name);
            let supervisor = Supervisor::start(env!("CARGO_BIN_EXE_zerohop").as_ref(), &pair.config(), &logs);
            until("somebody who serves or stands by", || {
                (supervisor.has_said(SERVING) || supervisor.has_said(STANDING_BY)).then_some(())
            });
            pair.supervisors.push(supervisor);
        }
        pair
    }

    fn config(&self) -> PathBuf {
        self.directory.path().join("zerohop.toml")
    }

    fn write(&self, number: u16) {
        let zone = format!("[[zone]]\nname = \"own.example\"\nrecords = [\"version A 10.0.0.{number}\"]\n");
        std::fs::write(self.config(), format!("{}{zone}", self.sections)).unwrap();
    }

    /// Waits until one serves and the other stands by, and returns them in this order.
    fn roles(&self) -> [&Supervisor; 2] {
        until("one that serves and one that stands by", || {
            let [left, right] = [0, 1].map(|side: usize| &self.supervisors[side]);
            let is_standby = |one: &Supervisor| one.has_said(STANDING_BY) && !one.has_said(SERVING);
            match (left.has_said(SERVING), right.has_said(SERVING)) {
                (true, false) if is_standby(right) => Some([left, right]),
                (false, true) if is_standby(left) => Some([right, left]),
                _ => None,
            }
        })
    }

    /// Ends the one that serves, and waits until the other does.
    fn end(&self, signal: Signal) {
        let [serves, standby] = self.roles();
        serves.ends(signal);
        until("the standby to serve", || standby.has_said(SERVING).then_some(()));
    }

    fn upgrade(&self, number: u16) {
        let binary = self.directory.path().join(format!("zerohop-{number}"));
        std::fs::copy(env!("CARGO_BIN_EXE_zerohop"), &binary).unwrap();
        for supervisor in &self.supervisors {
            supervisor.child.lock().unwrap().binary.clone_from(&binary);
        }
        let [_, standby] = self.roles();
        standby.ends(Signal::SIGTERM);
        self.end(Signal::SIGTERM);
        assert!(self.roles().iter().all(|one| one.executable() == binary));
        if number > 1 {
            std::fs::remove_file(self.directory.path().join(format!("zerohop-{}", number - 1))).unwrap();
        }
    }

    fn served(&self) -> usize {
        self.supervisors.iter().map(Supervisor::served).sum()
    }

    fn starts(&self) -> usize {
        self.supervisors.iter().map(Supervisor::starts).sum()
    }
}

/// How often things happen.
struct Amount {
    many: u16,
    few: u16,
}

fn amount() -> Amount {
    if std::env::var_os("ZEROHOP_LONG").is_some() { Amount { many: 20, few: 5 } } else { Amount { many: 4, few: 2 } }
}

#[test]
fn restarts_of_a_pair_lose_nothing_and_nobody_is_thrown_out() {
    let upstream = Upstream::start();
    let pair = Pair::start(&upstream);
    let place = Place { name: "a pair", server: pair.address, upstream: &upstream };
    let Amount { many, few } = amount();
    upstream.warm(pair.address, questions(many, EACH).max(questions(few, 2 * EACH)));
    pair.roles();
    assert_eq!((pair.served(), pair.starts()), (1, 2));
    let is_long = many == 20;
    let lost_nothing = |phase: &Phase| {
        phase.lost_nothing();
        // A machine that does other tests as well may be slow.
        if is_long {
            phase.was_quick();
        }
    };

    let phase = place.phase((many, "restarts"), EACH, |_, _| pair.end(Signal::SIGTERM));
    lost_nothing(&phase);
    phase.kept_its_cache();
    until_restored(pair.admin);
    assert_eq!(upstream.warm(pair.address, questions(many, EACH)), 0, "the hit rate is what it was");
    pair.roles();
    let (mut served, mut starts) = (1 + usize::from(many), 2 + usize::from(many));
    assert_eq!((pair.served(), pair.starts()), (served, starts), "nobody ended who was not told to");

    let phase = place.phase((many, "reloads"), EACH, |_, turn| {
        pair.write(turn);
        let output = zerohop().arg("reload").arg("--config").arg(pair.config()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        assert_eq!(ask(pair.address, "version.own.example.", A).data(A), [format!("10.0.0.{turn}")]);
    });
    lost_nothing(&phase);
    assert_eq!(phase.cold, 0);
    assert_eq!((pair.served(), pair.starts()), (served, starts), "a reload ends nobody");

    // An upgrade is two restarts.
    let phase = place.phase((few, "upgrades"), 2 * EACH, |_, turn| pair.upgrade(turn));
    lost_nothing(&phase);
    phase.kept_its_cache();
    pair.roles();
    served += usize::from(few);
    starts += 2 * usize::from(few);
    assert_eq!((pair.served(), pair.starts()), (served, starts), "nobody ended who was not told to");

    let phase = place.phase((few, "`kill -9`"), 2 * EACH, |going, _| {
        let [serves, standby] = pair.roles();
        going.dies(|| serves.ends(Signal::SIGKILL));
        until("the standby to serve", || standby.has_said(SERVING).then_some(()));
    });
    phase.lost_what_was_under_way();
    pair.roles();
    let few = usize::from(few);
    assert_eq!((pair.served(), pair.starts()), (served + few, starts + few), "nobody ended who was not told to");
}

#[test]
fn alone_it_answers_within_a_second_of_its_start() {
    let upstream = Upstream::start();
    let mut pair = Pair::start(&upstream);
    pair.roles();
    let standby = pair.supervisors.pop().unwrap();
    standby.is_over.store(true, Relaxed);
    drop(standby);
    let alone = &pair.supervisors[0];
    for _ in 0..5 {
        alone.ends(Signal::SIGKILL);
        let started = now();
        let question = Ask::new("version.own.example.", A);
        let reply = until("an answer", || question.udp_within(Duration::from_millis(20), pair.address));
        assert_eq!(reply.data(A), ["10.0.0.0"]);
        assert!(now() - started < Duration::from_secs(1), "{:?}", now() - started);
    }
}
