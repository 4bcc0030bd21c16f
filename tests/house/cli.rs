//! The command line as its users see it: words, streams and exit codes.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use crate::tools;

/// Runs zerohop in a directory, with nothing about it in the environment.
fn zerohop(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_zerohop"))
        .args(arguments)
        .current_dir(directory)
        .env_remove("ZEROHOP_CONFIG")
        .env("COLUMNS", "100")
        .output()
        .unwrap()
}

/// Exit code, standard output and standard error, as one text.
fn shown(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let code = output.status.code().unwrap();
    format!("exit {code}\n--- out\n{}--- err\n{}", text(&output.stdout), text(&output.stderr))
}

#[test]
fn help() {
    insta::assert_snapshot!(shown(&zerohop(Path::new("."), &["--help"])), @r#"
    exit 0
    --- out
    DNS that never leaves the node: a node-local caching DNS forwarder

    Usage: zerohop [OPTIONS] [COMMAND]

    Commands:
      run          Serve DNS (the default)
      check        Find every fault of the configuration, and say what to write instead
      explain      Tell how a question would be answered, and why
      resolv-conf  Point the node at the daemon and back
      health       Ask the running daemon whether it is alive
      reload       Have the running daemon read its configuration again
      completions  Write what a shell needs to complete command lines of zerohop

    Options:
          --config <FILE>  The configuration file [default: $ZEROHOP_CONFIG, else /etc/zerohop/zerohop.toml if it exists, else a built-in quick start]
      -h, --help           Print help
      -V, --version        Print version
    --- err
    "#);
}

#[test]
fn version() {
    let expected = format!("exit 0\n--- out\nzerohop {}\n--- err\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(shown(&zerohop(Path::new("."), &["--version"])), expected);
}

#[test]
fn a_word_that_is_no_verb_is_a_usage_error() {
    insta::assert_snapshot!(shown(&zerohop(Path::new("."), &["chekc"])), @r#"
    exit 2
    --- out
    --- err
    error: unrecognized subcommand 'chekc'

      tip: a similar subcommand exists: 'check'

    Usage: zerohop [OPTIONS] [COMMAND]

    For more information, try '--help'.
    "#);
}

#[test]
fn check_tells_every_fault_of_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let text = "[server]\nlisten = [\"127.0.0.1:53\"]\nworker = 2\n\n[[zone]]\nname = \"example.com\"\n\
                records = [\"api A 10.0.0.300\"]\n\n[[zone]]\nname = \".\"\nforward = [\"clod\"]\n";
    fs::write(directory.path().join("broken.toml"), text).unwrap();
    insta::assert_snapshot!(shown(&zerohop(directory.path(), &["check", "--config", "broken.toml"])), @r#"
    exit 78
    --- out
    --- err
    broken.toml:3:1: error: server.worker: [server] has no key `worker`; did you mean `workers`?
        worker = 2
        ^
    broken.toml:7:19: error: zone.records: "10.0.0.300" is no IPv4 address; write `A address`
        records = ["api A 10.0.0.300"]
                          ^
    broken.toml:11:12: error: zone.forward: there is no upstream "clod"; add an [[upstream]] of that name, or write a server's address
        forward = ["clod"]
                   ^
    3 faults
    "#);
}

#[test]
fn check_sums_up_a_good_file() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("good.toml"), include_str!("../../packaging/zerohop.toml")).unwrap();
    insta::assert_snapshot!(shown(&zerohop(directory.path(), &["check", "--config", "good.toml"])), @r#"
    exit 0
    --- out
    good.toml: no faults; 1 listen address, 5 zones, 3 records, 1 pattern, 2 upstreams
    --- err
    "#);
}

#[test]
fn run_does_not_start_with_a_fault_or_without_its_file() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("broken.toml"), "[server]\n").unwrap();
    for file in ["broken.toml", "missing.toml"] {
        let output = zerohop(directory.path(), &["run", "--config", file]);
        assert_eq!(output.status.code(), Some(78), "{}", shown(&output));
        assert!(!output.stderr.is_empty() && output.stdout.is_empty());
    }
}

#[test]
fn an_address_that_is_taken_is_a_failure_that_says_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let text = format!("[server]\nlisten = [\"{address}\"]\n[admin]\nlisten = \"off\"\ncontrol = \"off\"\n");
    fs::write(directory.path().join("zerohop.toml"), text).unwrap();
    let output = zerohop(directory.path(), &["run", "--config", "zerohop.toml"]);
    let said = shown(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("zerohop: cannot listen on {address} (UDP)")), "{said}");
}

const EXPLAINED: &str = "[server]\nlisten = [\"127.0.0.1\"]\n[[upstream]]\nname = \"cloud\"\n\
    servers = [\"10.0.0.2\", \"tcp://10.0.0.3\"]\n[[zone]]\nname = \"cluster.example\"\n\
    records = [\"api A 10.0.0.10\", \"*.apps A 10.0.0.20\", \"www CNAME web.corp.example.\", \"loop CNAME loop\", \
    \"old DNAME cluster.example.\", \"sub NS ns.sub\"]\n[[zone.match]]\npattern = '^ip-(\\d+)\\.cluster\\.example$'\n\
    answer = [\"A 10.0.0.$1\"]\n[[zone]]\nname = \"corp.example\"\nforward = [\"10.96.0.10\", \"cloud\"]\n\
    next-on = [\"NXDOMAIN\", \"TIMEOUT\"]\nnegative-max-ttl = 5\n[[zone]]\nname = \"else.example\"\n\
    forward = [\"resolv-conf:/nonexistent/resolv.conf\"]\n[[zone]]\nname = \"cluster.local\"\n\
    forward = [\"10.96.0.10\"]\nmax-labels = 4\nnxdomain-cut = true\nexcept = [\"public.cluster.local\"]\n";

#[test]
fn explain_tells_who_answers_and_why() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("zerohop.toml"), EXPLAINED).unwrap();
    let questions: [&[&str]; 15] = [
        &["api.cluster.example"],
        &["API.cluster.example.", "mx"],
        &["x.y.apps.cluster.example"],
        &["apps.cluster.example"],
        &["none.cluster.example"],
        &["ip-7.cluster.example"],
        &["x.old.cluster.example"],
        &["x.sub.cluster.example"],
        &["www.cluster.example", "AAAA"],
        &["www.else.example"],
        &["web.default.svc.cluster.local"],
        &["www.example.com.default.svc.cluster.local"],
        &["www.public.cluster.local"],
        &["a.localhost"],
        &["www.example"],
    ];
    let explained = questions.map(|question| {
        let arguments = [&["explain", "--config", "zerohop.toml"], question].concat();
        format!("$ zerohop explain {}\n{}", question.join(" "), shown(&zerohop(directory.path(), &arguments)))
    });
    insta::assert_snapshot!(explained.join("\n"));
    let json = zerohop(directory.path(), &["explain", "--config", "zerohop.toml", "--json", "www.cluster.example"]);
    insta::assert_snapshot!("explain_json", shown(&json));
    let value: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(value["forward"]["groups"][1]["servers"][1], "tcp://10.0.0.3:53");
}

#[test]
fn explain_names_hosts_as_they_are_configured() {
    let directory = tempfile::tempdir().unwrap();
    let config = "[server]\nlisten = ['127.0.0.1']\n[[upstream]]\nname = 'a'\nservers = ['10.0.0.1', 'dns.b.example']\nbootstrap = ['10.0.0.2']\n[[zone]]\nname = '.'\nforward = ['a']\n";
    fs::write(directory.path().join("zerohop.toml"), config).unwrap();
    let said = shown(&zerohop(directory.path(), &["explain", "--config", "zerohop.toml", "www.example"]));
    assert!(said.contains("  a: 10.0.0.1:53, dns.b.example:53\n"), "{said}");
}

#[test]
fn explain_says_what_it_cannot_understand() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("zerohop.toml"), EXPLAINED).unwrap();
    let wrong: [&[&str]; 4] = [&["a..b"], &["a", "ADDRESS"], &["a", "AXFR"], &["loop.cluster.example", "TXT"]];
    let said = wrong.map(|question| {
        shown(&zerohop(directory.path(), &[&["explain", "--config", "zerohop.toml"], question].concat()))
    });
    insta::assert_snapshot!(said.join("\n"));
    fs::write(directory.path().join("zerohop.toml"), "[sever]\n").unwrap();
    let output = zerohop(directory.path(), &["explain", "--config", "zerohop.toml", "a"]);
    assert_eq!(output.status.code(), Some(78));
}

/// Whether it is known at once that nobody is there: a server of this machine for all addresses would be.
fn nobody_answers() -> bool {
    let refused = ["127.53.53.53:53", "127.53.53.54:53"].into_iter().all(|address| {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(address).and_then(|()| socket.send(b"")).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        socket.recv(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
    });
    if !refused {
        tools::skipped("port 53 of 127.53.53.53, which somebody has");
    }
    refused
}

/// A node whose resolv.conf is systemd-resolved's, and whose kubelet reads that.
fn node() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let put = |path: &str, text: &str| {
        let path = directory.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    put("run/systemd/resolve/stub-resolv.conf", "nameserver 127.0.0.53\noptions edns0\nsearch node.example\n");
    put("run/systemd/resolve/resolv.conf", "nameserver 192.0.2.1\nsearch node.example\n");
    put("var/lib/kubelet/config.yaml", "resolvConf: /run/systemd/resolve/resolv.conf\n");
    put("etc/zerohop/zerohop.toml", "[server]\nlisten = [\"127.53.53.53\"]\n");
    std::os::unix::fs::symlink("../run/systemd/resolve/stub-resolv.conf", directory.path().join("etc/resolv.conf"))
        .unwrap();
    directory
}

#[test]
fn resolv_conf_says_what_it_does() {
    if !nobody_answers() {
        return;
    }
    let node = node();
    let said = [
        &["status"][..],
        &["install"],
        &["install", "--force"],
        &["status"],
        &["status", "--json"],
        &["restore"],
        &["restore"],
        &["status", "--json"],
    ]
    .map(|words| {
        let arguments = [&["resolv-conf", "--root", "."], words].concat();
        format!("$ zerohop {}\n{}", arguments.join(" "), shown(&zerohop(node.path(), &arguments)))
    });
    insta::assert_snapshot!("resolv_conf_says_what_it_does", said.join("\n"));
}

#[test]
fn resolv_conf_says_what_cannot_be() {
    if !nobody_answers() {
        return;
    }
    let node = node();
    fs::write(node.path().join("other.toml"), "[server]\nlisten = [\"127.0.0.1:1053\"]\n").unwrap();
    fs::write(node.path().join("broken.toml"), "[server]\n").unwrap();
    let said = [
        &["resolv-conf", "--help"][..],
        &["resolv-conf", "install", "--help"],
        &["resolv-conf"],
        &["resolv-conf", "install", "--root", ".", "--address", "0.0.0.0"],
        &["resolv-conf", "install", "--root", ".", "--address", "127.53.53.54"],
        &["resolv-conf", "install", "--root", ".", "--config", "other.toml"],
        &["resolv-conf", "install", "--root", ".", "--config", "broken.toml"],
        &["resolv-conf", "install", "--root", "nowhere", "--address", "127.53.53.53", "--force"],
        &["resolv-conf", "restore", "--root", "nowhere"],
    ]
    .map(|words| format!("$ zerohop {}\n{}", words.join(" "), shown(&zerohop(node.path(), words))));
    insta::assert_snapshot!("resolv_conf_says_what_cannot_be", said.join("\n"));
}

#[test]
fn help_of_run() {
    insta::assert_snapshot!(shown(&zerohop(Path::new("."), &["run", "--help"])), @r"
    exit 0
    --- out
    Serve DNS (the default)

    Usage: zerohop run [OPTIONS]

    Options:
          --config <FILE>  The configuration file [default: $ZEROHOP_CONFIG, else /etc/zerohop/zerohop.toml if it exists, else a built-in quick start]
          --join           Stand by while another instance serves with the same control socket, and serve on with its sockets when it leaves or dies; serve at once if there is none
      -h, --help           Print help
    --- err
    ");
}

#[test]
fn completions_know_every_verb_in_every_shell() {
    let verbs = ["run", "check", "explain", "resolv-conf", "health", "reload", "completions"];
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let output = zerohop(Path::new("."), &["completions", shell]);
        let said = shown(&output);
        assert!(output.status.success() && verbs.iter().all(|verb| said.contains(verb)), "{shell}: {said}");
    }
    insta::assert_snapshot!(shown(&zerohop(Path::new("."), &["completions", "tcsh"])), @r"
    exit 2
    --- out
    --- err
    error: invalid value 'tcsh' for '<SHELL>'
      [possible values: bash, elvish, fish, powershell, zsh]

      tip: a similar value exists: 'zsh'

    For more information, try '--help'.
    ");
}

#[test]
fn bash_completes_what_has_been_begun() {
    if !tools::have(&["bash"]) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("zerohop"), zerohop(Path::new("."), &["completions", "bash"]).stdout).unwrap();
    let completed = |words: &str| {
        // As readline calls it: the words, which one the cursor is in, and the last two.
        let script = format!(
            "source ./zerohop; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
             _zerohop zerohop \"${{COMP_WORDS[-1]}}\" \"${{COMP_WORDS[-2]}}\"; echo \"${{COMPREPLY[@]}}\""
        );
        let output = Command::new("bash").args(["-c", &script]).current_dir(directory.path()).output().unwrap();
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    };
    assert_eq!(completed("zerohop res"), "resolv-conf\n");
    assert_eq!(completed("zerohop resolv-conf re"), "restore\n");
    assert_eq!(completed("zerohop run --j"), "--join\n");
}
