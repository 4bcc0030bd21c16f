//! A node that is pointed at zerohop, with the binary and the C library, and back.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use nix::mount::{MsFlags, mount};

use zerohop::node::resolv_conf::{Root, install, restore};

use super::harness::{Zerohop, zerohop};
use super::namespace::{NODE, OTHER, alone};
use super::process::find;
use super::recorder::Recorder;
use super::wait::until;

pub(crate) const BEFORE: &str =
    "# by hand\nnameserver 169.254.20.11\nsearch own.example\noptions timeout:1 attempts:1\n";
pub(crate) const SECTIONS: &str = "[[zone]]\nname = 'own.example'\nrecords = ['a A 10.0.0.1']\n\
                        [[zone]]\nname = '.'\nforward = ['resolv-conf:/etc/resolv.conf']\n";

/// Has everybody in this mount namespace find this resolv.conf in /etc, and what it needs in /run.
pub(crate) fn node(directory: &Path, resolv_conf: impl FnOnce(&Path)) {
    for (name, there) in [("etc", "/etc"), ("run", "/run")] {
        let directory = directory.join(name);
        fs::create_dir_all(directory.join("systemd/resolve")).unwrap();
        fs::write(directory.join("nsswitch.conf"), "hosts: dns\n").unwrap();
        mount(Some(&directory), there, None::<&str>, MsFlags::MS_BIND, None::<&str>).unwrap();
    }
    assert!(!Path::new("/etc/resolv.conf").exists(), "it would be somebody else's");
    resolv_conf(Path::new("/etc/resolv.conf"));
}

/// The address that the C library finds for a name.
pub(crate) fn known(getent: &Path, name: &str) -> Option<String> {
    let output = Command::new(getent).args(["ahostsv4", name]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().split_whitespace().next().map(str::to_owned)
}

/// Exit code and words of the command.
pub(crate) fn resolv_conf(words: &[&str]) -> (Option<i32>, String) {
    let output = zerohop().arg("resolv-conf").args(words).output().unwrap();
    (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

#[test]
fn the_c_library_asks_us_while_it_is_installed_and_we_ask_whom_it_asked() {
    let Some(getent) = find("getent", "libc-bin") else { return };
    let directory = tempfile::tempdir().unwrap();
    alone(|ip| {
        node(directory.path(), |path| fs::write(path, BEFORE).unwrap());
        ip.run("address add 169.254.20.10/32 dev lo");
        ip.run("address add 169.254.20.11/32 dev lo");
        let knows = |name| known(&getent, name);
        let upstream = Recorder::at(OTHER.parse().unwrap(), |asked| asked.answer_a([192, 0, 2, 1], 0));
        let (code, said) = resolv_conf(&["install", "--address", "169.254.20.10"]);
        assert_eq!(code, Some(1));
        assert!(said.contains("169.254.20.10:53 does not answer"), "{said}");
        assert_eq!(fs::read_to_string("/etc/resolv.conf").unwrap(), BEFORE);

        let zerohop = Zerohop::at(NODE.parse().unwrap(), SECTIONS);
        let config = zerohop.config();
        let (code, said) = resolv_conf(&["install", "--config", config.to_str().unwrap()]);
        assert_eq!(code, Some(0), "{said}");
        assert_eq!(knows("a").as_deref(), Some("10.0.0.1"), "by the search path that was there");
        until("the kept nameservers to be taken up", || (zerohop.reloads() != (0, 0)).then_some(()));
        assert_eq!(knows("one.example").as_deref(), Some("192.0.2.1"));
        drop(zerohop);
        let zerohop = Zerohop::at(NODE.parse().unwrap(), SECTIONS);
        assert_eq!(knows("two.example").as_deref(), Some("192.0.2.1"), "after a start, too");
        let config = zerohop.config();
        let (installed, control) = (fs::read("/etc/resolv.conf").unwrap(), config.with_file_name("control.sock"));
        let unless_served = || resolv_conf(&["restore", "--unless-served", "--config", config.to_str().unwrap()]);
        let (code, said) = unless_served();
        insta::assert_snapshot!(
            said.replace(control.to_str().unwrap(), "[control socket]"),
            @"[control socket]: whoever serves with it is alive; all is left as it is"
        );
        assert_eq!((code, fs::read("/etc/resolv.conf").unwrap()), (Some(0), installed));
        drop(zerohop);

        assert_eq!(knows("a"), None);
        let (code, said) = unless_served();
        assert_eq!(code, Some(0), "{said}");
        assert_eq!(fs::read_to_string("/etc/resolv.conf").unwrap(), BEFORE);
        assert_eq!(knows("three.example").as_deref(), Some("192.0.2.1"), "it is asked by the C library");
        drop(upstream);
    });
}

/// Of whatever kind the node is: the C library finds a name behind each step, on the way there and back.
#[test]
fn stopped_after_whatever_step_the_c_library_finds_names() {
    let Some(getent) = find("getent", "libc-bin") else { return };
    let by_hand = |path: &Path| fs::write(path, BEFORE).unwrap();
    let resolved = |path: &Path| {
        fs::write("/run/systemd/resolve/stub-resolv.conf", "nameserver 127.0.0.53\n").unwrap();
        fs::write("/run/systemd/resolve/resolv.conf", BEFORE).unwrap();
        symlink("../run/systemd/resolve/stub-resolv.conf", path).unwrap();
    };
    let kinds: [&(dyn Fn(&Path) + Sync); 2] = [&by_hand, &resolved];
    for kind in kinds {
        let directory = tempfile::tempdir().unwrap();
        alone(|ip| {
            node(directory.path(), kind);
            ip.run("address add 169.254.20.10/32 dev lo");
            ip.run("address add 169.254.20.11/32 dev lo");
            let servers = [OTHER, "127.0.0.53:53"]
                .map(|address| Recorder::at(address.parse().unwrap(), |asked| asked.answer_a([192, 0, 2, 1], 0)));
            let _zerohop = Zerohop::at(NODE.parse().unwrap(), SECTIONS);
            let (root, server) = (Root::new("/".into()), NODE.parse().unwrap());
            let there = || install(&root, "169.254.20.10".parse().unwrap(), &[server], false).unwrap();
            let finds = |step: &str| {
                assert_eq!(known(&getent, "elsewhere.example").as_deref(), Some("192.0.2.1"), "{step}");
            };
            let before = (fs::read_link("/etc/resolv.conf").ok(), fs::read("/etc/resolv.conf").unwrap());
            for steps in 0..=there().length() {
                there().begin(&root, steps).unwrap();
                finds(&format!("{steps} steps there"));
                restore(&root).unwrap().begin(&root, steps).unwrap();
                finds(&format!("{steps} steps there, and as many back"));
                restore(&root).unwrap().carry_out(&root).unwrap();
                finds(&format!("back from step {steps}"));
                let now = (fs::read_link("/etc/resolv.conf").ok(), fs::read("/etc/resolv.conf").unwrap());
                assert_eq!(now, before, "step {steps}");
            }
            drop(servers);
        });
    }
}
