//! zerohop as its users run it: a process with a configuration file.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use nix::sys::signal::Signal;
use tempfile::TempDir;

use super::process::{ATTEMPTS, Process, free_address};
use super::wait::{PATIENCE, until};

/// The program without the environment of whoever runs the tests, which might name a configuration.
pub(crate) fn zerohop() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_zerohop"));
    command.env_clear();
    command
}

/// zerohop as root without the capability to change the network.
pub(crate) fn without_net_admin(setpriv: &Path) -> Command {
    let mut command = Command::new(setpriv);
    command.env_clear().args(["--bounding-set=-net_admin", "--inh-caps=-net_admin", env!("CARGO_BIN_EXE_zerohop")]);
    command
}

/// A running instance.
pub(crate) struct Zerohop {
    /// Where it answers, over UDP and TCP.
    pub(crate) address: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) process: Process,
    /// What `[server]` says beside `listen`.
    server: String,
    directory: TempDir,
}

impl Zerohop {
    /// Starts with these sections behind `[server]` and `[admin]`, and waits until it is ready.
    pub(crate) fn start(sections: &str) -> Self {
        Self::with_server("workers = 2", sections)
    }

    /// As [`Self::start`], with these keys in `[server]`.
    pub(crate) fn with_server(server: &str, sections: &str) -> Self {
        (0..ATTEMPTS)
            .find_map(|_| Self::try_at(free_address(), server, sections))
            .unwrap_or_else(|| panic!("no free port in {ATTEMPTS} attempts"))
    }

    /// As [`Self::start`], at an address that nobody else can have.
    pub(crate) fn at(address: SocketAddr, sections: &str) -> Self {
        Self::try_at(address, "workers = 2", sections).unwrap_or_else(|| panic!("{address} is taken"))
    }

    /// As [`Self::at`], by a command that runs zerohop with the arguments put behind its own.
    pub(crate) fn by(command: Command, address: SocketAddr, sections: &str) -> Self {
        Self::try_by(command, address, "workers = 2", sections).unwrap_or_else(|| panic!("{address} is taken"))
    }

    /// Another process with this configuration, and a log of its own.
    pub(crate) fn beside(&self, arguments: &[&str], log: &str) -> Process {
        let mut command = zerohop();
        Process::start(command.args(arguments).arg("--config").arg(self.config()), &self.directory.path().join(log))
    }

    /// Starts a standby, and waits until it has everything.
    pub(crate) fn standby(&self, log: &str) -> Process {
        let standby = self.beside(&["run", "--join"], log);
        standby.until_says("\"message\":\"standing by\"");
        standby
    }

    /// Ends the process with this signal, and has the standby in its place. Returns the one that has ended.
    pub(crate) fn succeed(&mut self, standby: Process, signal: Signal) -> Process {
        self.process.signal(signal);
        let mut old = std::mem::replace(&mut self.process, standby);
        let ended = old.exit();
        if signal == Signal::SIGTERM {
            assert_eq!(ended.code(), Some(0), "{}", old.output());
        }
        old
    }

    /// What a verb of the command line does with this configuration.
    pub(crate) fn runs(&self, verb: &str) -> Output {
        zerohop().arg(verb).arg("--config").arg(self.config()).output().unwrap()
    }

    /// Puts another process in place of one that has ended, and waits until it is ready.
    pub(crate) fn start_again(&mut self) {
        assert!(self.process.ended().is_some());
        self.process = self.beside(&[], "log-again");
        assert!(self.is_ready());
    }

    fn try_at(address: SocketAddr, server: &str, sections: &str) -> Option<Self> {
        Self::try_by(zerohop(), address, server, sections)
    }

    fn try_by(mut command: Command, address: SocketAddr, server: &str, sections: &str) -> Option<Self> {
        let admin = free_address();
        let directory = tempfile::tempdir().unwrap();
        let config = directory.path().join("zerohop.toml");
        std::fs::write(&config, text(&[address], admin, server, sections)).unwrap();
        let log = directory.path().join("log");
        let process = Process::start(command.arg("--config").arg(&config), &log);
        let mut started = Self { address, admin, process, server: server.to_owned(), directory };
        started.is_ready().then_some(started)
    }

    /// Waits for readiness. `false` when somebody else was faster with the port.
    fn is_ready(&mut self) -> bool {
        until("readiness", || {
            if self.process.ended().is_some() {
                let output = self.process.output();
                assert!(output.contains("Address already in use"), "zerohop did not start: {output}");
                return Some(false);
            }
            http(self.admin, "/ready").filter(|(status, _)| *status == 200).map(|_| true)
        })
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.directory.path().join("zerohop.toml")
    }

    /// Writes other sections into the file. Returns whether that changes it.
    pub(crate) fn write_config(&self, sections: &str) -> bool {
        self.write_text(&self.config_text(sections))
    }

    fn write_text(&self, text: &str) -> bool {
        let is_new = std::fs::read_to_string(self.config()).unwrap() != text;
        std::fs::write(self.config(), text).unwrap();
        is_new
    }

    /// Has it read these sections, and waits until it has swapped them in or turned them down. What
    /// is new it notices by itself; otherwise it is told to.
    pub(crate) fn reload(&self, sections: &str) {
        self.reload_text(&self.config_text(sections));
    }

    /// As [`Self::reload`], with the whole text of the file.
    pub(crate) fn reload_text(&self, text: &str) {
        let reloads = |metrics: &Metrics| metrics.sum("zerohop_reloads_total", &[]);
        let before = reloads(&self.metrics());
        if !self.write_text(text) {
            self.process.signal(Signal::SIGHUP);
        }
        until("the reload", || (reloads(&self.metrics()) > before).then_some(()));
    }

    /// How many reloads were good, and how many were not.
    pub(crate) fn reloads(&self) -> (u64, u64) {
        let metrics = self.metrics();
        let count = |result| metrics.sum("zerohop_reloads_total", &[("result", result)]);
        (count("success"), count("failure"))
    }

    /// The text of the configuration with these sections.
    pub(crate) fn config_text(&self, sections: &str) -> String {
        self.config_listening(&[self.address], sections)
    }

    /// As [`Self::config_text`], with these addresses to listen at.
    pub(crate) fn config_listening(&self, addresses: &[SocketAddr], sections: &str) -> String {
        text(addresses, self.admin, &self.server, sections)
    }

    /// A scrape.
    pub(crate) fn metrics(&self) -> Metrics {
        let (status, text) = http(self.admin, "/metrics").expect("the admin listener answers");
        assert_eq!(status, 200);
        Metrics::parse(text)
    }

    /// The first line of the log that holds all of these.
    pub(crate) fn log_line(&self, parts: &[&str]) -> String {
        let holds = |line: &&str| parts.iter().all(|part| line.contains(part));
        until(&format!("a log line with {parts:?}"), || self.process.output().lines().find(holds).map(str::to_owned))
    }
}

fn text(addresses: &[SocketAddr], admin: SocketAddr, server: &str, sections: &str) -> String {
    let addresses: Vec<String> = addresses.iter().map(|address| format!("\"{address}\"")).collect();
    let admin = format!("listen = \"{admin}\"\ncontrol = \"control.sock\"");
    format!("[server]\nlisten = [{}]\n{server}\n[admin]\n{admin}\n{sections}", addresses.join(", "))
}

/// What a log says, line by line.
pub(crate) fn messages(process: &Process) -> String {
    let log = process.output();
    let messages = log.lines().filter_map(|line| line.split_once("\"message\":\"")?.1.split('"').next());
    messages.collect::<Vec<_>>().join("\n")
}

/// Status and body of a GET; `None` when nobody answers.
pub(crate) fn http(address: SocketAddr, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: zerohop\r\nConnection: close\r\n\r\n").ok()?;
    let mut response = String::new();
    stream.read_to_string(&mut response).ok()?;
    let (head, body) = response.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}

/// One scrape.
pub(crate) struct Metrics {
    pub(crate) text: String,
    /// Name and labels as they are written, and the value.
    series: BTreeMap<String, f64>,
}

impl Metrics {
    fn parse(text: String) -> Self {
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let pairs = lines.map(|line| line.rsplit_once(' ').expect("a series and its value"));
        let series = pairs.map(|(series, value)| (series.to_owned(), value.parse().unwrap())).collect();
        Self { text, series }
    }

    /// Names and labels of all series.
    pub(crate) fn names(&self) -> Vec<&str> {
        self.series.keys().map(String::as_str).collect()
    }

    /// The sum of a family over all series that have these labels; there must be at least one.
    pub(crate) fn sum(&self, family: &str, labels: &[(&str, &str)]) -> u64 {
        let wanted: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
        let is_wanted = |series: &str| {
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            let labels: Vec<&str> = labels.trim_end_matches('}').split(',').collect();
            name == family && wanted.iter().all(|label| labels.contains(&label.as_str()))
        };
        let found: Vec<f64> = self.series.iter().filter(|(name, _)| is_wanted(name)).map(|(_, value)| *value).collect();
        assert!(!found.is_empty(), "no series {family} {labels:?} in:\n{}", self.text);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counters are whole and small")]
        let sum = found.iter().sum::<f64>() as u64;
        sum
    }
}
