//! A Debian whose systemd is booted in a container, in the network of the test, with zerohop installed there.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use nix::mount::{MsFlags, mount};
use nix::sys::signal::Signal;
use tempfile::TempDir;

use super::client::Ask;
use super::namespace::{NODE, alone};
use super::packages::made;
use super::process::{Process, find, say_skipped};
use super::wait::{until, until_within};

/// All that are shipped.
pub(crate) const UNITS: [&str; 4] =
    ["zerohop.service", "zerohop@.service", "zerohop-restore.service", "zerohop.socket"];
/// How long a boot may take, and what systemd waits for.
const BOOT: Duration = Duration::from_secs(60);

pub(crate) struct Booted {
    container: Process,
    nsenter: PathBuf,
    /// The pid of its systemd.
    init: String,
    root: TempDir,
}

/// Boots one, installs zerohop with this configuration behind `[server]`, and hands it to the test. Nothing is
/// started yet.
pub(crate) fn booted(test: impl FnOnce(Booted) + Send) {
    let (Some(nspawn), Some(nsenter)) = (find("systemd-nspawn", "systemd-container"), find("nsenter", "util-linux"))
    else {
        return;
    };
    let Some(made) = made() else { return };
    // They share a control group.
    static BOOTING: Mutex<()> = Mutex::new(());
    let _one = BOOTING.lock().unwrap_or_else(PoisonError::into_inner);
    alone(|_| {
        // It keeps things there that it can only take away again from a file system in memory.
        mount(Some("tmpfs"), "/run", Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
        let root = tempfile::tempdir().unwrap();
        let copied = Command::new("cp").arg("--archive").arg(made.join(".")).arg(root.path()).status().unwrap();
        assert!(copied.success());
        if let Some(booted) = Booted::boot(&nspawn, nsenter, root) {
            booted.install();
            test(booted);
        }
    });
}

impl Booted {
    fn boot(nspawn: &Path, nsenter: PathBuf, root: TempDir) -> Option<Self> {
        static LAST: AtomicUsize = AtomicUsize::new(0);
        let name = format!("zerohop-{}-{}", std::process::id(), LAST.fetch_add(1, Relaxed));
        let mut command = Command::new(nspawn);
        command.args(["--quiet", "--register=no", "--keep-unit", "--resolv-conf=off", "--console=pipe", "--boot"]);
        // Which a container with a network of its own would have.
        command.arg("--capability=CAP_NET_ADMIN");
        // A node has Landlock, which the container's own filter would hide.
        command.arg("--system-call-filter=landlock_create_ruleset landlock_add_rule landlock_restrict_self");
        command.arg("--network-namespace-path=/proc/self/ns/net").arg("--machine").arg(name);
        command.arg("--directory").arg(root.path());
        let log = root.path().join("console");
        let mut container = Process::start(&mut command, &log);
        let children = format!("/proc/{0}/task/{0}/children", container.pid());
        let is_up = until_within(BOOT, "systemd to boot", || {
            if container.ended().is_some() {
                return Some(None);
            }
            let init = fs::read_to_string(&children).ok()?.split_whitespace().next()?.to_owned();
            let asked = enter(&nsenter, &init).args(["systemctl", "is-system-running"]).output().unwrap();
            matches!(text(&asked).trim(), "running" | "degraded").then_some(Some(init))
        });
        let Some(init) = is_up else {
            say_skipped(&format!("leave to boot systemd in a container: {}", container.output()));
            return None;
        };
        Some(Self { container, nsenter, init, root })
    }

    fn install(&self) {
        self.install_binary();
        let units = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd");
        for unit in UNITS {
            self.write(&format!("/etc/systemd/system/{unit}"), &fs::read_to_string(units.join(unit)).unwrap());
        }
        self.says("systemctl daemon-reload");
    }

    /// Puts a new file in place of the program that may be running.
    pub(crate) fn install_binary(&self) {
        let (beside, place) = (self.path("/usr/bin/zerohop.new"), self.path("/usr/bin/zerohop"));
        fs::copy(env!("CARGO_BIN_EXE_zerohop"), &beside).unwrap();
        fs::set_permissions(&beside, PermissionsExt::from_mode(0o755)).unwrap();
        fs::rename(beside, place).unwrap();
    }

    pub(crate) fn configure(&self, text: &str) {
        self.write("/etc/zerohop/zerohop.toml", text);
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path.trim_start_matches('/'))
    }

    pub(crate) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(crate) fn runs(&self, command: &str) -> Output {
        enter(&self.nsenter, &self.init).args(command.split(' ')).output().unwrap()
    }

    /// Runs a command in there that must not fail, and returns what it says.
    pub(crate) fn says(&self, command: &str) -> String {
        let output = self.runs(command);
        assert!(output.status.success(), "{command}: {}\n{}", text(&output), self.journal());
        text(&output)
    }

    /// What systemd knows of the service by this name.
    pub(crate) fn show(&self, property: &str) -> String {
        self.shows("zerohop.service", property)
    }

    /// What systemd knows of a unit by this name.
    pub(crate) fn shows(&self, unit: &str, property: &str) -> String {
        self.says(&format!("systemctl show --property={property} --value {unit}")).trim().to_owned()
    }

    pub(crate) fn journal(&self) -> String {
        text(&self.runs("journalctl --no-pager --output=cat --unit=zerohop* --unit=zerohop-restore"))
    }

    /// Ends the process of the service with a signal. systemd does not know of it before.
    pub(crate) fn kill(&self, signal: &str) {
        self.kills("zerohop.service", signal);
    }

    /// Ends the process of a unit with a signal.
    pub(crate) fn kills(&self, unit: &str, signal: &str) {
        self.says(&format!("systemctl kill --kill-who=main --signal={signal} {unit}"));
    }

    /// Waits until systemd has a process of the service that is not this one and has said that it is ready.
    pub(crate) fn until_started_again(&self, main_pid: &str) {
        until("systemd to start it again", || self.is_started_again("zerohop.service", main_pid).then_some(()));
    }

    pub(crate) fn is_started_again(&self, unit: &str, main_pid: &str) -> bool {
        // In one breath: between two looks it may die, and then there is no process.
        let seen = self.says(&format!("systemctl show --property=ActiveState --property=MainPID {unit}"));
        seen.contains("ActiveState=active") && !seen.lines().any(|line| line == format!("MainPID={main_pid}"))
    }
}

impl Drop for Booted {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.journal());
        }
        // It ends all that is in there, and its control groups.
        self.container.signal(Signal::SIGTERM);
        let deadline = super::wait::now() + BOOT;
        while self.container.ended().is_none() && super::wait::now() < deadline {
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }
}

/// zerohop's address on the node.
pub(crate) fn node() -> SocketAddr {
    NODE.parse().unwrap()
}

/// Whether nobody has the address: then a client hears so at once, and waits for nothing.
pub(crate) fn is_refused(question: &Ask) -> bool {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    socket.connect(node()).unwrap();
    socket.send(&question.octets()).unwrap();
    socket.recv(&mut [0; 512]).is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused)
}

fn enter(nsenter: &Path, init: &str) -> Command {
    let mut command = Command::new(nsenter);
    command.args(["--target", init, "--all"]).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    command
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}
