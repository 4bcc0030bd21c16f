//! README.md does what it says: each of its configurations loads, each of its commands runs.
//!
//! A `console` block holds commands behind `$ ` and below each what it shows. They run in order, in
//! a directory of their own, against the real binary on ports that are free. What a command is, is
//! told by how it begins:
//!
//! | it begins with | what is done |
//! |---|---|
//! | `cargo run --release` | the binary is started as the quick start, on other ports |
//! | `dig`, `curl` | runs against that process |
//! | `kill -HUP` | that process is sent the signal, and has to say that it has reloaded |
//! | `cat FILE` | what is shown below is written to FILE |
//! | `zerohop check` | runs with the binary |
//! | `install` | runs, into the test's own directory |
//! | `ip` | runs in a network namespace of its own, together with those before it |
//! | `cargo build`, `systemctl`, `./ci/` | is not run; the files it means must be there |
//!
//! Everything else fails the test. What is shown must be printed, line for line, in that order;
//! more may be printed, and white space may differ.

use std::io::{BufRead, BufReader};
use std::net::{TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use crate::{shipped, source, tools};

const PATIENCE: Duration = Duration::from_secs(10);

/// The quick start on free ports. Ends with the test.
struct Daemon {
    process: Child,
    dns: u16,
    admin: u16,
    log: Receiver<String>,
}

impl Daemon {
    fn start(directory: &Path) -> Self {
        let (dns, admin) = (free_port(), free_port());
        let config = source::read("src/config/default.toml")
            .replace("127.0.0.1:1053", &format!("127.0.0.1:{dns}"))
            .replace("127.0.0.1:9153", &format!("127.0.0.1:{admin}"));
        let file = directory.join("quick-start.toml");
        std::fs::write(&file, config).unwrap();
        let mut process = Command::new(env!("CARGO_BIN_EXE_zerohop"))
            .args(["run", "--config"])
            .arg(&file)
            // Its control socket is not to be that of another instance on this machine.
            .env("RUNTIME_DIRECTORY", directory)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let (sender, log) = channel();
        std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let daemon = Self { process, dns, admin, log };
        daemon.wait_for("serving");
        daemon
    }

    /// Waits until a line of the log has these words.
    fn wait_for(&self, words: &str) {
        while !self.log.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("it never said {words:?}")).contains(words) {}
    }

    /// The command, as it has to be for these ports.
    fn ports(&self, command: &str) -> String {
        command
            .replace("-p 1053", &format!("-p {}", self.dns))
            .replace("127.0.0.1:9153", &format!("127.0.0.1:{}", self.admin))
            // The admin listener opens a moment after DNS does.
            .replace("curl -s ", "curl -s --retry 20 --retry-connrefused --retry-max-time 10 ")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn free_port() -> u16 {
    loop {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = tcp.local_addr().unwrap();
        if UdpSocket::bind(address).is_ok() {
            return address.port();
        }
    }
}

/// Where the commands run, and what they have left behind.
struct Terminal {
    directory: tempfile::TempDir,
    daemon: Option<Daemon>,
    /// The `ip` commands so far.
    network: String,
}

impl Terminal {
    fn run(&mut self, command: &str, shown: &[&str]) {
        let root = self.directory.path().to_owned();
        let word = command.split(' ').next().unwrap();
        let printed = match word {
            "cargo" if command == "cargo run --release" => {
                self.daemon = Some(Daemon::start(&root));
                return;
            }
            "dig" | "curl" => {
                if !tools::have(&[word]) {
                    return;
                }
                let daemon = self.daemon.as_ref().expect("`cargo run --release` stands above");
                shell(&root, &daemon.ports(command))
            }
            "kill" if command.starts_with("kill -HUP ") => {
                let daemon = self.daemon.as_ref().expect("`cargo run --release` stands above");
                let printed = shell(&root, &format!("kill -HUP {}", daemon.process.id()));
                daemon.wait_for("configuration reloaded");
                printed
            }
            "cat" => {
                let file = command.strip_prefix("cat ").unwrap();
                std::fs::write(root.join(file), shown.join("\n") + "\n").unwrap();
                return;
            }
            "zerohop" if command.starts_with("zerohop check") => {
                let binary = env!("CARGO_BIN_EXE_zerohop");
                let command =
                    command.replacen("zerohop", binary, 1).replace(" /etc/", &format!(" {}/etc/", root.display()));
                shell(&root, &format!("{command} 2>&1 || test $? = 78")).replace(&root.display().to_string(), "")
            }
            "zerohop" if command.starts_with("zerohop explain") => {
                shell(source::top(), &format!("{} 2>&1", command.replacen("zerohop", env!("CARGO_BIN_EXE_zerohop"), 1)))
            }
            "install" => {
                let (sources, target) = command.rsplit_once(' ').unwrap();
                let sources = sources.replace("target/release/zerohop", env!("CARGO_BIN_EXE_zerohop"));
                shell(source::top(), &format!("{sources} {}{target}", root.display()))
            }
            "ip" => {
                self.network += &format!("{command}\n");
                in_a_namespace(&root, &self.network)
            }
            "systemctl" => {
                let unit = command.rsplit(' ').next().unwrap();
                exists(&Path::new("systemd").join(unit).with_extension("service"));
                return;
            }
            "cargo" if command == "cargo build --release" => return exists(Path::new("Cargo.toml")),
            _ if word.starts_with("./ci/") => return exists(Path::new(word)),
            _ => panic!("README.md: `{command}`: say in tests/house/readme.rs how this is run"),
        };
        let mut lines = printed.lines();
        for line in shown {
            assert!(
                lines.any(|have| have.split_whitespace().eq(line.split_whitespace())),
                "README.md: `{command}` does not print\n{line}\nbut\n{printed}"
            );
        }
    }
}

fn exists(path: &Path) {
    assert!(source::top().join(path).exists(), "README.md means {}, which is not there", path.display());
}

fn shell(directory: &Path, command: &str) -> String {
    let output = Command::new("sh").args(["-ec", command]).current_dir(directory).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "README.md: `{command}` fails:\n{}", text(&output.stdout) + &text(&output.stderr));
    text(&output.stdout)
}

fn in_a_namespace(directory: &Path, commands: &str) -> String {
    let probe = ["--net", "ip", "link", "add", "probe", "type", "dummy"];
    let may = || Command::new("unshare").args(probe).output().unwrap().status.success();
    if !tools::have(&["ip", "unshare"]) {
        return String::new();
    }
    if !may() {
        tools::skipped("`ip` in README.md: no leave to make a namespace, or a kernel without dummy devices");
        return String::new();
    }
    shell(directory, &format!("unshare --net sh -ec '{commands}'"))
}

#[test]
fn every_configuration_loads() {
    let blocks = source::blocks(&source::read("README.md"), "toml");
    assert!(!blocks.is_empty());
    for block in blocks {
        shipped::parse("README.md", &block);
    }
}

#[test]
fn every_command_runs_and_prints_what_is_shown() {
    let directory = tempfile::tempdir().unwrap();
    let mut terminal = Terminal { directory, daemon: None, network: String::new() };
    for block in source::blocks(&source::read("README.md"), "console") {
        for step in format!("\n{block}").split("\n$ ").skip(1) {
            let mut lines = step.trim_end().lines();
            let command = lines.next().unwrap();
            terminal.run(command, &lines.collect::<Vec<_>>());
        }
    }
    assert!(terminal.daemon.is_some(), "README.md starts zerohop");
}

#[test]
fn the_files_that_documents_link_to_exist() {
    let link = regex::Regex::new(r"\]\(([^)#:]+)\)").unwrap();
    for page in [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "SECURITY.md",
        "benches/README.md",
        "docs/clients.md",
        "docs/kubernetes.md",
        "docs/packages.md",
        "docs/static-pod.md",
    ] {
        for captures in link.captures_iter(&source::read(page)) {
            let path = Path::new(page).parent().unwrap().join(&captures[1]);
            assert!(source::top().join(&path).exists(), "{page} links to {}", path.display());
        }
    }
}

#[test]
fn the_tests_that_documents_name_exist() {
    let named = regex::Regex::new(r"`(\w+)::(\w+)`").unwrap();
    let sources: Vec<_> = ["src", "tests"].into_iter().flat_map(source::rust).collect();
    let page = source::read("docs/clients.md");
    let mut tests = named.captures_iter(&page).peekable();
    assert!(tests.peek().is_some(), "docs/clients.md names tests");
    for captures in tests {
        let (room, test) = (&captures[1], format!("#[test]\nfn {}()", &captures[2]));
        // In src/ tests are indented, or in a file of their own below their room's.
        let here = |path: &Path| path.with_extension("").iter().any(|part| part == room);
        let has = |text: &str| text.replace("\n    fn ", "\nfn ").contains(&test);
        let found = sources.iter().any(|(path, text)| here(path) && has(text));
        assert!(found, "docs/clients.md names {}, which is not there", &captures[0]);
    }
}
