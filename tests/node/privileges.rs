//! What the daemon may do once it serves, as the kernel says and as it is felt from inside.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, Permissions};
use std::net::UdpSocket;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;
use std::{fs, io, thread};

use hickory_proto::rr::RecordType::A;
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use nix::sys::stat::Mode;
use nix::unistd::{Uid, chown, getpid, getppid, mkdir, truncate};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
use zerohop::config;
use zerohop::metrics::Registry;
use zerohop::node::privileges;

use super::client::{Ask, ask};
use super::harness::{Zerohop, http, zerohop};
use super::namespace::{NODE, OTHER, alone};
use super::process::{Process, find, free_address, say_skipped};
use super::wait::until;

const OWN: &str = "[[zone]]\nname = \"own.example\"\nrecords = [\"a A 10.0.0.1\"]\n";
/// The bits of `CAP_NET_BIND_SERVICE` and `CAP_NET_ADMIN`.
const BIND: u64 = 1 << 10;
const ADMIN: u64 = 1 << 12;
const PARTS: [&str; 3] = ["capabilities", "landlock", "seccomp"];
const NOBODY: u32 = 65534;

/// What the kernel says of each thread.
struct Status {
    thread: String,
    lines: BTreeMap<String, String>,
}

impl Status {
    fn capabilities(&self, set: &str) -> u64 {
        u64::from_str_radix(&self.lines[set], 16).unwrap()
    }

    fn is_confined(&self) -> bool {
        self.lines["NoNewPrivs"] == "1" && self.lines["Seccomp"] == "2"
    }
}

fn threads(pid: u32) -> Vec<Status> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let status = |task: io::Result<fs::DirEntry>| {
        let text = fs::read_to_string(task.unwrap().path().join("status")).unwrap();
        let pairs = text.lines().filter_map(|line| line.split_once(':'));
        let lines: BTreeMap<_, _> = pairs.map(|(key, value)| (key.to_owned(), value.trim().to_owned())).collect();
        Status { thread: lines["Name"].clone(), lines }
    };
    tasks.map(status).collect()
}

/// Whether each part is had.
fn sandbox(zerohop: &Zerohop) -> [u64; 3] {
    let metrics = zerohop.metrics();
    PARTS.map(|part| metrics.sum("zerohop_sandbox", &[("part", part)]))
}

#[test]
fn each_thread_of_root_has_what_repair_and_reload_need_and_nothing_else() {
    alone(|_| {
        for (sections, expected) in [("[interface]\nname = 'lo'\n", BIND | ADMIN), ("", BIND)] {
            let zerohop = Zerohop::at(NODE.parse().unwrap(), &format!("{OWN}{sections}"));
            let threads = threads(zerohop.process.pid());
            let names: Vec<&str> = threads.iter().map(|status| status.thread.as_str()).collect();
            for name in ["zerohop", "cache", "worker-0", "worker-1"] {
                assert!(names.contains(&name), "{names:?}");
            }
            for status in &threads {
                let sets = ["CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb"].map(|set| status.capabilities(set));
                assert_eq!(sets, [expected, expected, expected, 0, 0], "{}: {sets:x?}", status.thread);
                assert!(status.is_confined(), "{}", status.thread);
            }
            assert_eq!(sandbox(&zerohop), [1, 1, 1]);
        }
    });
}

/// Where a process is told that it is the one to be confined.
const DIRECTORY: &str = "ZEROHOP_TEST_CONFINED";

#[test]
fn what_serving_does_not_take_is_refused() {
    if let Some(directory) = std::env::var_os(DIRECTORY) {
        return be_confined(Path::new(&directory));
    }
    let directory = tempfile::tempdir().unwrap();
    for inside in ["run", "outside"] {
        fs::create_dir(directory.path().join(inside)).unwrap();
    }
    fs::write(directory.path().join("outside/there"), "as it was").unwrap();
    let mut again = Command::new(std::env::current_exe().unwrap());
    again.args(["--exact", "privileges::what_serving_does_not_take_is_refused", "--nocapture"]);
    let output = again.env(DIRECTORY, directory.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let felt: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("| ")).collect();
    insta::assert_snapshot!(felt.join("\n"), @r#"
    run a program: EPERM
    run one in a thread: EPERM
    read what was never read: done
    read of itself: done
    write a file there is: EACCES
    shorten it: EACCES
    remove it: EACCES
    change its mode: EPERM
    the same when it is open: EPERM
    give it away: EPERM
    make a file: EACCES
    make a directory: EACCES
    make a link: EACCES
    make a control socket elsewhere: EACCES
    make a control socket: done
    remove it again: done
    write a new cache: done
    put it in the old one's place: done
    and once more: done
    move it out: EACCES
    make a link beside it: EACCES
    a socket of Inet: done
    a socket of Inet6: done
    a socket of Unix: done
    a socket of Netlink: done
    a socket of Vsock: EPERM
    a socket of Packet: EPERM
    a socket of Alg: EPERM
    a socket of Bluetooth: EPERM
    a namespace: EPERM
    a mount: EPERM
    another root: EPERM
    a signal to another process: EPERM
    a signal to itself: EPERM
    a port below 1024: done
    a thread: done
    it knows whether it may write lib/other: true
    it knows whether it may write run/other: true
    it knows whether it may write outside/other: false
    zerohop_sandbox{part="capabilities"} 1
    zerohop_sandbox{part="landlock"} 1
    zerohop_sandbox{part="seccomp"} 1
    "#);
    assert_eq!(fs::read_to_string(directory.path().join("outside/there")).unwrap(), "as it was");
}

/// Gives everything up and says what comes of trying.
fn be_confined(top: &Path) {
    let text = format!(
        "[server]\nlisten = ['127.0.0.1:1053']\n[admin]\ncontrol = '{0}/run/control.sock'\n\
         [cache]\npersist = '{0}/lib/cache'\n{OWN}",
        top.display()
    );
    let config = config::parse(Path::new("zerohop.toml"), &text).unwrap().config;
    let registry = Registry::new(1);
    let confined = privileges::give_up(&config, &registry.control);
    let at = |path: &str| top.join(path);
    let say = |what: &str, came: Result<(), Errno>| {
        println!("| {what}: {}", came.map_or_else(|errno| format!("{errno:?}"), |()| "done".to_owned()));
    };
    let io = |done: io::Result<()>| done.map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(0)));
    let program = || Command::new("/bin/true").status().map(drop);
    say("run a program", io(program()));
    say("run one in a thread", io(thread::spawn(program).join().unwrap()));
    say("read what was never read", io(fs::read(at("outside/there")).map(drop)));
    say("read of itself", io(fs::read("/proc/self/status").map(drop)));
    say("write a file there is", io(OpenOptions::new().append(true).open(at("outside/there")).map(drop)));
    say("shorten it", truncate(&at("outside/there"), 0));
    say("remove it", io(fs::remove_file(at("outside/there"))));
    say("change its mode", io(fs::set_permissions(at("outside/there"), Permissions::from_mode(0o666))));
    let opened = File::open(at("outside/there")).unwrap();
    say("the same when it is open", io(opened.set_permissions(Permissions::from_mode(0o666))));
    say("give it away", chown(&at("outside/there"), Some(Uid::from_raw(NOBODY)), None));
    say("make a file", io(File::create(at("outside/new")).map(drop)));
    say("make a directory", mkdir(&at("outside/directory"), Mode::S_IRWXU));
    say("make a link", io(symlink("there", at("outside/link"))));
    say("make a control socket elsewhere", io(UnixListener::bind(at("outside/socket")).map(drop)));
    say("make a control socket", io(UnixListener::bind(at("run/control.sock")).map(drop)));
    say("remove it again", io(fs::remove_file(at("run/control.sock"))));
    say("write a new cache", io(fs::write(at("lib/cache.new"), "new")));
    say("put it in the old one's place", io(fs::rename(at("lib/cache.new"), at("lib/cache"))));
    say(
        "and once more",
        io(fs::write(at("lib/cache.new"), "").and_then(|()| fs::rename(at("lib/cache.new"), at("lib/cache")))),
    );
    say("move it out", io(fs::rename(at("lib/cache"), at("outside/cache"))));
    say("make a link beside it", io(symlink("/etc/shadow", at("lib/link"))));
    for family in [AddressFamily::Inet, AddressFamily::Inet6, AddressFamily::Unix, AddressFamily::Netlink] {
        let opened = socket(family, SockType::Datagram, SockFlag::empty(), None);
        say(&format!("a socket of {family:?}"), opened.map(drop));
    }
    for family in [AddressFamily::Vsock, AddressFamily::Packet, AddressFamily::Alg, AddressFamily::Bluetooth] {
        let opened = socket(family, SockType::SeqPacket, SockFlag::empty(), None);
        say(&format!("a socket of {family:?}"), opened.map(drop));
    }
    say("a namespace", unshare(CloneFlags::CLONE_NEWUSER));
    say("a mount", mount(Some("/"), &at("run"), None::<&str>, MsFlags::MS_BIND, None::<&str>));
    say("another root", nix::unistd::chroot(top));
    say("a signal to another process", kill(getppid(), None));
    say("a signal to itself", kill(getpid(), None));
    say("a port below 1024", io(UdpSocket::bind("127.0.0.53:53").map(drop)));
    say("a thread", io(thread::Builder::new().spawn(|| {}).map(|thread| thread.join().unwrap())));
    for path in ["lib/other", "run/other", "outside/other"] {
        println!("| it knows whether it may write {path}: {}", confined.may_write(&at(path)));
    }
    let metrics = registry.render();
    let mut parts: Vec<&str> = metrics.lines().filter(|line| line.starts_with("zerohop_sandbox{")).collect();
    parts.sort_unstable();
    parts.iter().for_each(|part| println!("| {part}"));
}

#[test]
fn a_reload_reads_what_it_never_saw_and_writes_where_it_may() {
    let lib = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let persist = |file: &Path| format!("{OWN}[cache]\npersist = '{}'\n", file.display());
    let mut zerohop = Zerohop::start(&persist(&lib.path().join("cache")));
    let hosts = elsewhere.path().join("never").join("seen");
    fs::create_dir(hosts.parent().unwrap()).unwrap();
    fs::write(&hosts, "10.0.0.2 b.own.example\n").unwrap();
    let with_hosts = format!("{}hosts = ['{}']\n", OWN, hosts.display());
    zerohop.reload(&format!("[cache]\npersist = '{}'\n{with_hosts}", elsewhere.path().join("cache").display()));
    assert_eq!(ask(zerohop.address, "b.own.example.", A).data(A), ["10.0.0.2"]);
    zerohop.log_line(&["WARN", "changed, and takes effect at the next start only", "cache.persist"]);
    zerohop.reload(&format!("[cache]\npersist = '{}'\n{with_hosts}", lib.path().join("other").display()));
    zerohop.process.stops();
    let output = zerohop.process.output();
    assert!(lib.path().join("other").exists() && !lib.path().join("cache").exists(), "{output}");
    assert!(!elsewhere.path().join("cache").exists());
    assert_eq!(output.matches("\"cache.persist\"").count(), 1, "{output}");
    // A start may.
    zerohop.write_config(&persist(&elsewhere.path().join("cache")));
    zerohop.start_again();
    zerohop.process.stops();
    assert!(elsewhere.path().join("cache").exists(), "{}", zerohop.process.output());
}

#[test]
fn a_file_that_root_alone_could_override_is_a_fault_at_a_start_as_at_a_reload() {
    let directory = tempfile::tempdir().unwrap();
    let hosts = directory.path().join("hosts");
    fs::write(&hosts, "10.0.0.2 b.own.example\n").unwrap();
    fs::set_permissions(&hosts, Permissions::from_mode(0o600)).unwrap();
    if chown(&hosts, Some(Uid::from_raw(NOBODY)), None).is_err() {
        return say_skipped("leave to give files away (root)");
    }
    let sections = format!("{OWN}hosts = ['{}']\n", hosts.display());
    let zerohop = Zerohop::start(OWN);
    zerohop.reload(&sections);
    assert_eq!(zerohop.reloads(), (0, 1));
    zerohop.log_line(&["ERROR", "hosts", "Permission denied"]);
    let fresh = directory.path().join("zerohop.toml");
    fs::write(&fresh, format!("[server]\nlisten = ['{}']\n{sections}", free_address())).unwrap();
    for verb in ["run", "check"] {
        let output = self::zerohop().arg(verb).arg("--config").arg(&fresh).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(78), "{said}");
        assert!(said.contains("Permission denied"), "{said}");
    }
    fs::set_permissions(&hosts, Permissions::from_mode(0o644)).unwrap();
    zerohop.process.signal(Signal::SIGHUP);
    until("the reload", || (zerohop.reloads().0 == 1).then_some(()));
    assert_eq!(ask(zerohop.address, "b.own.example.", A).data(A), ["10.0.0.2"]);
    // The configuration itself, with a word on what to do.
    chown(&fresh, Some(Uid::from_raw(NOBODY)), None).unwrap();
    fs::set_permissions(&fresh, Permissions::from_mode(0o600)).unwrap();
    let output = self::zerohop().arg("--config").arg(&fresh).output().unwrap();
    insta::assert_snapshot!(
        String::from_utf8_lossy(&output.stderr).replace(directory.path().to_str().unwrap(), "/etc/zerohop"),
        @r"
    /etc/zerohop/zerohop.toml: error: the file cannot be read: Permission denied (os error 13); let the user that runs zerohop read it, which for root, too, the file's own permissions say
    1 fault
    "
    );
}

#[test]
fn an_ordinary_user_serves_and_hears_nothing_of_it() {
    let (Some(setpriv), Some(unshare)) = (find("setpriv", "util-linux"), find("unshare", "util-linux")) else { return };
    let nobody = |more: &[&str]| {
        let mut command = Command::new(&setpriv);
        command.env_clear().args(["--reuid=65534", "--regid=65534", "--clear-groups"]).args(more);
        command
    };
    let binary = env!("CARGO_BIN_EXE_zerohop");
    let mut tried = nobody(&[binary, "--version"]);
    if !tried.output().unwrap().status.success() {
        return say_skipped("leave to run zerohop as another user");
    }
    let ambient = ["--inh-caps=+net_bind_service", "--ambient-caps=+net_bind_service", binary];
    let mapped = [unshare.to_str().unwrap(), "--map-root-user", binary];
    for (command, port, expected) in [(&[binary][..], 1053, 0), (&ambient, 53, BIND), (&mapped, 1053, BIND)] {
        alone(|_| {
            let directory = tempfile::tempdir().unwrap();
            chown(directory.path(), Some(Uid::from_raw(NOBODY)), None).unwrap();
            let file = directory.path().join("zerohop.toml");
            let text = format!(
                "[server]\nlisten = ['127.0.0.1:{port}']\n[admin]\nlisten = '127.0.0.1:9153'\ncontrol = 'control.sock'\n\
                 [cache]\npersist = '{}'\n{OWN}[[zone]]\nname = '.'\nforward = ['192.0.2.1']\n",
                directory.path().join("lib/cache").display()
            );
            fs::write(&file, text).unwrap();
            let admin = "127.0.0.1:9153".parse().unwrap();
            let mut process = Process::start(nobody(command).arg("--config").arg(&file), &directory.path().join("log"));
            until("readiness", || {
                assert!(process.ended().is_none(), "{}", process.output());
                http(admin, "/ready").filter(|(status, _)| *status == 200)
            });
            let server = format!("127.0.0.1:{port}").parse().unwrap();
            assert_eq!(Ask::new("a.own.example.", A).udp(server).data(A), ["10.0.0.1"]);
            for status in threads(process.pid()) {
                assert_eq!(status.capabilities("CapEff"), expected, "{command:?} {}", status.thread);
                assert_eq!(status.capabilities("CapPrm") | status.capabilities("CapAmb"), expected);
                assert!(status.is_confined(), "{}", status.thread);
            }
            let (_, metrics) = http(admin, "/metrics").unwrap();
            for part in PARTS {
                assert!(metrics.contains(&format!("zerohop_sandbox{{part=\"{part}\"}} 1\n")), "{metrics}");
            }
            process.stops();
            assert!(directory.path().join("lib/cache").exists(), "{}", process.output());
            let log = process.output();
            assert!(!log.contains("WARN") && !log.contains("ERROR"), "{log}");
        });
    }
}

#[test]
fn where_the_kernel_grants_nothing_that_is_said_and_dns_goes_on() {
    // What a container's filter may refuse. It is this thread's, and so its children's.
    let refusing = || {
        let calls = [libc::SYS_landlock_create_ruleset, libc::SYS_capset, libc::SYS_seccomp];
        let rules = calls.into_iter().map(|call| (call, Vec::new())).collect();
        let refusal = SeccompAction::Errno(libc::EPERM.unsigned_abs());
        let filter =
            SeccompFilter::new(rules, SeccompAction::Allow, refusal, std::env::consts::ARCH.try_into().unwrap());
        let program: BpfProgram = filter.unwrap().try_into().unwrap();
        seccompiler::apply_filter(&program).unwrap();
        let zerohop = Zerohop::start(OWN);
        assert_eq!(ask(zerohop.address, "a.own.example.", A).data(A), ["10.0.0.1"]);
        assert_eq!(sandbox(&zerohop), [0, 0, 0]);
        for missing in ["capabilities are kept", "file permissions alone", "system calls are let through"] {
            zerohop.log_line(&["WARN", missing]);
        }
        // Nothing is in the way of another file, either.
        let lib = tempfile::tempdir().unwrap();
        zerohop.reload(&format!("{OWN}[cache]\npersist = '{}'\n", lib.path().join("cache").display()));
        assert!(!zerohop.process.output().contains("cache.persist"), "{}", zerohop.process.output());
    };
    thread::Builder::new().name("filtered".to_owned()).spawn(refusing).unwrap().join().unwrap();
}

#[test]
fn a_device_that_comes_with_a_reload_takes_a_start_and_a_port_does_not() {
    alone(|ip| {
        ip.run("address add 169.254.20.10/32 dev lo");
        let mut zerohop = Zerohop::at(NODE.parse().unwrap(), OWN);
        let more = zerohop.config_text(OWN).replacen(&format!("\"{NODE}\""), &format!("\"{NODE}\", \"{OTHER}\""), 1);
        zerohop.reload_text(&format!("{more}[interface]\nname = 'lo'\n"));
        assert_eq!(zerohop.reloads(), (0, 1));
        zerohop.log_line(&[
            "ERROR",
            "the device lo is not as it should be, and to change that needs CAP_NET_ADMIN",
            "; or start zerohop anew: by a start without [interface] the capability is given up",
        ]);
        // Port 53 at another address.
        ip.run("address add 169.254.20.11/32 dev lo");
        zerohop.reload_text(&more);
        assert_eq!(zerohop.reloads(), (1, 1));
        assert_eq!(Ask::new("a.own.example.", A).udp(OTHER.parse().unwrap()).data(A), ["10.0.0.1"]);
        assert_eq!(Ask::new("a.own.example.", A).tcp(OTHER.parse().unwrap()).data(A), ["10.0.0.1"]);
        ip.run("address del 169.254.20.11/32 dev lo");
        zerohop.process.stops();
        fs::write(zerohop.config(), format!("{more}[interface]\nname = 'lo'\n")).unwrap();
        zerohop.start_again();
        assert!(ip.says("-oneline address show dev lo").contains(" 169.254.20.11/32 "));
    });
}
