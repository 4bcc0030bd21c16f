//! Stub clients: programs that resolve the names they are given, and how they come about.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::super::process::{Process, find};
use super::super::wait::until_within;

/// What a client may take for all its names, some of which are never answered.
const DEADLINE: Duration = Duration::from_secs(60);

/// A client, ready to run.
pub(super) struct Program {
    words: Vec<OsString>,
    environment: Vec<(&'static str, &'static str)>,
}

/// Makes a client in a directory; `None`, and said, when a program for that is missing.
pub(super) type Making = fn(&Path) -> Option<Program>;

impl Program {
    fn new<W: Into<OsString>>(words: impl IntoIterator<Item = W>) -> Self {
        Self { words: words.into_iter().map(Into::into).collect(), environment: Vec::new() }
    }

    fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.environment.push((name, value));
        self
    }

    /// Resolves names one after the other, and returns what it says, a line for each address.
    pub(super) fn resolve(&self, names: &[String]) -> Vec<String> {
        let directory = tempfile::tempdir().unwrap();
        let mut command = command(Path::new(&self.words[0]));
        command.args(&self.words[1..]).args(names).envs(self.environment.iter().copied());
        let mut process = Process::start(&mut command, &directory.path().join("output"));
        let status = until_within(DEADLINE, "a client to resolve its names", || process.ended());
        let output = process.output();
        assert!(status.success(), "{:?} {names:?}: {output}", self.words);
        let mut lines: Vec<String> = output.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    }
}

pub(super) fn glibc(directory: &Path) -> Option<Program> {
    compiled_c(directory, &find("gcc", "gcc libc6-dev")?, &[])
}

pub(super) fn python(_: &Path) -> Option<Program> {
    Some(Program::new([find("python3", "python3")?, source("resolve.py")]))
}

/// Static, as it is in images.
pub(super) fn musl(directory: &Path) -> Option<Program> {
    compiled_c(directory, &find("musl-gcc", "musl-tools")?, &["-static"])
}

fn compiled_c(directory: &Path, compiler: &Path, options: &[&str]) -> Option<Program> {
    let program = directory.join("resolve");
    succeeds(command(compiler).args(options).arg("-o").arg(&program).arg(source("resolve.c")));
    Some(Program::new([program]))
}

/// Go's own resolver.
pub(super) fn go(directory: &Path) -> Option<Program> {
    Some(compiled_go(directory, "0")?.with("GODEBUG", "netdns=go"))
}

/// Go through the C library.
pub(super) fn cgo(directory: &Path) -> Option<Program> {
    find("gcc", "gcc libc6-dev")?;
    Some(compiled_go(directory, "1")?.with("GODEBUG", "netdns=cgo"))
}

fn compiled_go(directory: &Path, cgo: &str) -> Option<Program> {
    let (go, program) = (find("go", "golang-go")?, directory.join("resolve"));
    // What Go compiles once it keeps here.
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("go");
    let mut build = command(&go);
    build.envs([("CGO_ENABLED", cgo), ("GO111MODULE", "off")]).env("GOCACHE", &kept).env("GOPATH", &kept);
    succeeds(build.arg("build").arg("-o").arg(&program).arg(source("resolve.go")));
    Some(Program::new([program]))
}

/// c-ares, as Node has it: two questions of their own.
pub(super) fn c_ares(_: &Path) -> Option<Program> {
    node("resolve")
}

/// c-ares and its question for everything.
pub(super) fn c_ares_any() -> Option<Program> {
    node("any")
}

/// The C library, as Node has it.
pub(super) fn node_lookup(_: &Path) -> Option<Program> {
    node("lookup")
}

fn node(way: &str) -> Option<Program> {
    Some(Program::new([find("node", "nodejs")?, source("resolve.js"), way.into()]))
}

pub(super) fn java(directory: &Path) -> Option<Program> {
    let compiler = find("javac", "default-jdk-headless")?;
    succeeds(command(&compiler).arg("-d").arg(directory).arg(source("Resolve.java")));
    let java = find("java", "default-jre-headless")?;
    Some(Program::new([java.into_os_string(), "-cp".into(), directory.into(), "Resolve".into()]))
}

fn source(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/node/stubs").join(file)
}

/// Without the environment, in which whoever runs the tests may have settings for these programs.
fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
}

fn succeeds(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
