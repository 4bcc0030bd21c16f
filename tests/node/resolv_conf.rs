//! A node that is pointed at zerohop, with the binary and the C library, and back.

use std::fs;
use std::path::Path;
use std::process::Command;

use nix::mount::{MsFlags, mount};

use super::harness::{Zerohop, zerohop};
use super::namespace::{NODE, OTHER, alone};
use super::process::find;
use super::recorder::Recorder;
use super::wait::until;

const BEFORE: &str = "# by hand\nnameserver 169.254.20.11\nsearch own.example\noptions timeout:1 attempts:1\n";
const SECTIONS: &str = "[[zone]]\nname = 'own.example'\nrecords = ['a A 10.0.0.1']\n\
                        [[zone]]\nname = '.'\nforward = ['resolv-conf:/etc/resolv.conf']\n";

/// Has everybody in this mount namespace find these files in /etc, and no others.
fn etc(directory: &Path) {
    fs::write(directory.join("resolv.conf"), BEFORE).unwrap();
    fs::write(directory.join("nsswitch.conf"), "hosts: dns\n").unwrap();
    mount(Some(directory), "/etc", None::<&str>, MsFlags::MS_BIND, None::<&str>).unwrap();
    assert_eq!(fs::read_to_string("/etc/resolv.conf").unwrap(), BEFORE, "nobody else's");
}

fn resolv_conf(words: &[&str]) -> (Option<i32>, String) {
    let output = zerohop().arg("resolv-conf").args(words).output().unwrap();
    (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

#[test]
fn the_c_library_asks_us_while_it_is_installed_and_we_ask_whom_it_asked() {
    let Some(getent) = find("getent", "libc-bin") else { return };
    let directory = tempfile::tempdir().unwrap();
    alone(|ip| {
        etc(directory.path());
        ip.run("address add 169.254.20.10/32 dev lo");
        ip.run("address add 169.254.20.11/32 dev lo");
        let knows = |name: &str| {
            let output = Command::new(&getent).args(["ahostsv4", name]).output().unwrap();
            String::from_utf8(output.stdout).unwrap().split_whitespace().next().map(str::to_owned)
        };
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
        drop(zerohop);

        assert_eq!(knows("a"), None);
        let (code, said) = resolv_conf(&["restore"]);
        assert_eq!(code, Some(0), "{said}");
        assert_eq!(fs::read_to_string("/etc/resolv.conf").unwrap(), BEFORE);
        assert_eq!(knows("three.example").as_deref(), Some("192.0.2.1"), "it is asked by the C library");
        drop(upstream);
    });
}
