//! What the command line asks of the daemon that runs, and that there is one for a control socket.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::process::{Command, Output};

use hickory_proto::rr::RecordType::A;
use nix::sys::signal::Signal;

use super::client::{Ask, ask};
use super::harness::{Zerohop, zerohop};
use super::process::{find, say_skipped};

const OWN: &str = "[[zone]]\nname = \"own.example\"\nrecords = [\"a A 10.0.0.1\"]";

/// Exit code and what was said, without what differs from run to run.
fn said(instance: &Zerohop, output: &Output) -> String {
    let text = |octets: &[u8]| String::from_utf8(octets.to_vec()).unwrap();
    let directory = instance.config().parent().unwrap().display().to_string();
    let all = format!("exit {}\n{}{}", output.status.code().unwrap(), text(&output.stdout), text(&output.stderr));
    let all: String = all.split_inclusive('\n').filter(|line| !line.contains("\"timestamp\":")).collect();
    all.replace(&directory, "/run").replace(&instance.process.pid().to_string(), "PID")
}

fn verb(instance: &Zerohop, verb: &str) -> String {
    said(instance, &instance.runs(verb))
}

#[test]
fn it_tells_its_health_and_reloads_when_told_to() {
    let mut instance = Zerohop::start(OWN);
    insta::assert_snapshot!(verb(&instance, "health"), @r"
    exit 0
    ok
    ");
    insta::assert_snapshot!(verb(&instance, "reload"), @r"
    exit 0
    configuration reloaded
    ");
    instance.write_config(&OWN.replace("10.0.0.1", "10.0.0.2"));
    insta::assert_snapshot!(verb(&instance, "reload"), @r"
    exit 0
    configuration reloaded
    ");
    assert_eq!(ask(instance.address, "a.own.example.", A).data(A), ["10.0.0.2"]);
    instance.write_config(&OWN.replace("10.0.0.1", "10.0.0.256"));
    insta::assert_snapshot!(verb(&instance, "reload"), @r#"
    exit 1
    zerohop: configuration not reloaded: the previous one goes on
    /run/zerohop.toml:7:1: warning: zone: there is no zone ".": names outside the configured zones are answered REFUSED; add [[zone]] with name = "." and `forward`, if the node is to resolve other names
        [[zone]]
        ^
    /run/zerohop.toml:9:17: error: zone.records: "10.0.0.256" is no IPv4 address; write `A address`
        records = ["a A 10.0.0.256"]
                        ^
    1 fault, 1 warning
    "#);
    insta::assert_snapshot!(verb(&instance, "health"), @r"
    exit 0
    ok
    ");
    instance.process.stops();
    insta::assert_snapshot!(verb(&instance, "health"), @r"
    exit 1
    zerohop: /run/control.sock does not answer: No such file or directory (os error 2); no zerohop serves with it: start it, or name its configuration with --config
    ");
}

#[test]
fn a_worker_that_is_stuck_or_a_daemon_that_is_gone_is_no_health() {
    let mut instance = Zerohop::start(OWN);
    instance.process.signal(Signal::SIGKILL);
    instance.process.exit();
    insta::assert_snapshot!(verb(&instance, "health"), @r"
    exit 1
    zerohop: /run/control.sock does not answer: Connection refused (os error 111); no zerohop serves with it: start it, or name its configuration with --config
    ");
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("zerohop.toml");
    std::fs::write(&config, "[admin]\ncontrol = \"off\"\n").unwrap();
    let output = zerohop().arg("health").arg("--config").arg(config).output().unwrap();
    insta::assert_snapshot!(said(&instance, &output), @r#"
    exit 1
    zerohop: there is no control socket: write `control = "/path"` below [admin], and restart
    "#);
}

#[test]
fn a_start_beside_a_live_instance_names_its_pid() {
    let mut instance = Zerohop::start(OWN);
    let output = zerohop().arg("--config").arg(instance.config()).output().unwrap();
    insta::assert_snapshot!(said(&instance, &output), @r"
    exit 1
    zerohop: another instance (pid PID) serves with /run/control.sock; stop it, stand by for it with `zerohop run --join`, or write another `control` below [admin]
    ");
    assert_eq!(Ask::new("a.own.example.", A).udp(instance.address).data(A), ["10.0.0.1"]);
    assert!(instance.process.ended().is_none());
}

#[test]
fn the_socket_of_a_dead_instance_is_replaced() {
    let mut instance = Zerohop::start(OWN);
    let socket = instance.config().with_file_name("control.sock");
    instance.process.signal(Signal::SIGKILL);
    instance.process.exit();
    assert!(socket.exists() && UnixStream::connect(&socket).is_err(), "it had no time to remove it");
    instance.start_again();
    insta::assert_snapshot!(verb(&instance, "health"), @r"
    exit 0
    ok
    ");
}

#[test]
fn where_no_control_socket_can_be_dns_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("file"), "no directory").unwrap();
    let control = directory.path().join("file").join("control.sock").display().to_string();
    let mut instance = Zerohop::start(OWN);
    instance.process.signal(Signal::SIGTERM);
    instance.process.exit();
    let text = std::fs::read_to_string(instance.config()).unwrap();
    std::fs::write(instance.config(), text.replace("control.sock", &control)).unwrap();
    instance.start_again();
    assert_eq!(Ask::new("a.own.example.", A).udp(instance.address).data(A), ["10.0.0.1"]);
    instance.log_line(&["no control socket", &control, "cannot be made"]);
}

#[test]
fn another_user_sees_who_serves_and_may_ask_nothing() {
    let Some(setpriv) = find("setpriv", "util-linux") else { return };
    let nobody = |arguments: &[&str]| {
        let mut command = Command::new(&setpriv);
        command.env_clear().args(["--reuid=65534", "--regid=65534", "--clear-groups", env!("CARGO_BIN_EXE_zerohop")]);
        command.args(arguments).output().unwrap()
    };
    if !nobody(&["--version"]).status.success() {
        return say_skipped("leave to run zerohop as another user");
    }
    let instance = Zerohop::start(OWN);
    let (config, directory) = (instance.config(), instance.config().parent().unwrap().to_owned());
    std::fs::set_permissions(&directory, Permissions::from_mode(0o755)).unwrap();
    let config = config.display().to_string();
    insta::assert_snapshot!(said(&instance, &nobody(&["run", "--config", &config])), @r"
    exit 1
    zerohop: another instance (pid PID) serves with /run/control.sock; stop it, stand by for it with `zerohop run --join`, or write another `control` below [admin]
    ");
    insta::assert_snapshot!(said(&instance, &nobody(&["health", "--config", &config])), @r"
    exit 1
    zerohop: /run/control.sock does not answer: Permission denied (os error 13); only root and the user that serves may: run this as one of them
    ");
    let socket = directory.join("control.sock");
    std::fs::set_permissions(&socket, Permissions::from_mode(0o666)).unwrap();
    insta::assert_snapshot!(said(&instance, &nobody(&["reload", "--config", &config])), @r"
    exit 1
    zerohop: /run/control.sock does not answer: the daemon hung up; only root and the user that serves may ask, and it may be stopping
    ");
    assert_eq!(instance.reloads(), (0, 0));
}
