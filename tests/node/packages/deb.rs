//! The Debian package: installed, used, upgraded, removed and purged.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use hickory_proto::rr::RecordType::A;

use super::super::client::ask;
use super::super::namespace::{Ip, NODE, alone};
use super::super::process::Process;
use super::super::wait::until;
use super::debian::{Debian, made};
use super::{built, done};

const BEFORE: &str = "# by hand\nnameserver 192.0.2.53\n";
const CONFIG: &str = "/etc/zerohop/zerohop.toml";
const WANTED: &str = "/etc/systemd/system/multi-user.target.wants/zerohop.service";

fn package() -> Option<PathBuf> {
    // `cargo deb` is a program of its own.
    built("deb", &[("cargo-deb", "cargo, then: cargo install cargo-deb"), ("dpkg-deb", "dpkg")], "zerohop_*.deb")
}

/// The same package with a higher version.
fn newer(package: &Path, directory: &Path) -> PathBuf {
    let (tree, newer) = (directory.join("tree"), directory.join("newer.deb"));
    done(Command::new("dpkg-deb").arg("--raw-extract").arg(package).arg(&tree));
    let control = tree.join("DEBIAN/control");
    let text = fs::read_to_string(&control).unwrap();
    let version = format!("Version: {}-1", env!("CARGO_PKG_VERSION"));
    assert!(text.contains(&version), "{text}");
    fs::write(&control, text.replace(&version, "Version: 99.0-1")).unwrap();
    done(Command::new("dpkg-deb").args(["--root-owner-group", "-Znone", "--build"]).arg(tree).arg(&newer));
    newer
}

/// A Debian, in a network of its own, with the package and the newer one in /tmp, and nothing installed.
fn in_debian(test: impl FnOnce(&Ip, &Debian) + Send) {
    let (Some(package), Some(made)) = (package(), made()) else { return };
    let directory = tempfile::tempdir().unwrap();
    let newer = newer(&package, directory.path());
    alone(|ip| {
        let debian = Debian::like(&made);
        fs::copy(package, debian.path("/tmp/zerohop.deb")).unwrap();
        fs::copy(newer, debian.path("/tmp/newer.deb")).unwrap();
        test(ip, &debian);
    });
}

fn serving(debian: &Debian) -> Process {
    debian.write("/run/systemd/resolve/resolv.conf", "nameserver 192.0.2.53\n");
    let process = debian.starts("/usr/bin/zerohop run --config /etc/zerohop/zerohop.toml");
    process.until_says("\"message\":\"serving\"");
    process
}

#[test]
#[ignore = "makes a Debian: ci/test --all"]
fn it_is_installed_serves_is_upgraded_and_leaves_nothing() {
    in_debian(|ip, debian| {
        debian.write("/etc/resolv.conf", BEFORE);
        let before = debian.files();

        debian.says("dpkg --install /tmp/zerohop.deb");
        assert_eq!(debian.says(&format!("zerohop check --config {CONFIG}")).matches("no faults").count(), 1);
        // What it would say is about somebody else's network.
        assert_eq!(String::from_utf8_lossy(&debian.runs("systemctl is-enabled zerohop").stdout).trim(), "disabled");
        let units = debian.says("find /usr/lib/systemd/system -name zerohop*");
        assert!(units.contains("zerohop.service"), "{units}");
        for page in ["man1/zerohop.1.gz", "man5/zerohop.toml.5.gz"] {
            assert!(debian.path("/usr/share/man").join(page).exists(), "{page}");
        }
        assert!(debian.read("/usr/share/bash-completion/completions/zerohop").contains("resolv-conf"));

        let mut process = serving(debian);
        let answers = || ask(NODE.parse().unwrap(), "api.cluster.example.com.", A).data(A);
        assert_eq!(answers(), ["10.0.0.10"]);
        debian.says("zerohop resolv-conf install");
        assert!(debian.read("/etc/resolv.conf").contains("nameserver 169.254.20.10"));
        debian.says("systemctl enable zerohop");

        // What the operator has written stays, and nobody is asked about it.
        let edited = debian.read(CONFIG).replace("api     A 10.0.0.10", "api     A 10.0.0.11");
        debian.write(CONFIG, &edited);
        debian.says("dpkg --install /tmp/newer.deb");
        assert_eq!(debian.says("dpkg-query --show zerohop").trim(), "zerohop\t99.0-1");
        assert_eq!(debian.read(CONFIG), edited);
        assert!(debian.path(WANTED).is_symlink());
        until("the edited record", || (answers() == ["10.0.0.11"]).then_some(()));
        assert!(debian.read("/etc/resolv.conf").contains("nameserver 169.254.20.10"));

        // Without systemd in there nobody stops it for us.
        process.stops();
        // Some kernels have no such devices; the address is on `lo` then, where it stays.
        assert_eq!(ip.can("link show zerohop0"), ip.can("link add probe type dummy"));
        debian.write("/var/lib/zerohop/cache", "what is kept");
        debian.says("dpkg --remove zerohop");
        assert_eq!(debian.read("/etc/resolv.conf"), BEFORE);
        assert!(!debian.path("/usr/bin/zerohop").exists() && !debian.path(WANTED).is_symlink());
        assert!(!ip.can("link show zerohop0"));
        assert_eq!(debian.read(CONFIG), edited);

        debian.says("dpkg --purge zerohop");
        fs::remove_dir_all(debian.path("/run/systemd")).unwrap();
        let left: Vec<String> =
            debian.files().difference(&before).filter(|path| !is_of_the_run(path)).cloned().collect();
        assert_eq!(left, Vec::<String>::new());
    });
}

/// What the daemon makes in /run, which a restart of the node empties.
fn is_of_the_run(path: &str) -> bool {
    path.starts_with("/run/")
}

#[test]
#[ignore = "makes a Debian: ci/test --all"]
fn at_a_purge_the_kubelet_keeps_the_file_that_it_names() {
    in_debian(|_, debian| {
        debian.says("dpkg --install /tmp/zerohop.deb");
        debian.write("/etc/zerohop/resolv.conf.upstream", "nameserver 192.0.2.53\n");
        debian.write("/var/lib/kubelet/config.yaml", "resolvConf: /etc/zerohop/resolv.conf.upstream\n");
        let said = debian.says("dpkg --purge zerohop");
        let line = said.lines().find(|line| line.starts_with("zerohop: ")).unwrap_or_default();
        insta::assert_snapshot!(line, @"zerohop: /etc/zerohop/resolv.conf.upstream stays: /var/lib/kubelet/config.yaml names it");
        assert!(debian.path("/etc/zerohop/resolv.conf.upstream").exists());
    });
}

/// A systemctl that writes down what it is told, and whether the node asks zerohop at that time.
const SYSTEMCTL: &str = "#!/bin/sh\nif grep -q 169.254.20.10 /etc/resolv.conf; then asks=zerohop; else asks=others; fi\n\
                         echo \"$* [asks $asks]\" >>/tmp/told\n";

#[test]
#[ignore = "makes a Debian: ci/test --all"]
fn systemd_is_told_to_restart_at_an_upgrade_and_to_stop_at_a_removal_once_others_are_asked() {
    in_debian(|_, debian| {
        debian.write("/etc/resolv.conf", BEFORE);
        fs::create_dir_all(debian.path("/run/systemd/system")).unwrap();
        // In place of what is there, with its mode.
        debian.write("/usr/bin/systemctl", SYSTEMCTL);
        let told = |command: &str| {
            debian.write("/tmp/told", "");
            debian.says(command);
            format!("{command}\n{}", debian.read("/tmp/told"))
        };
        let installed = told("dpkg --install /tmp/zerohop.deb");
        debian.says("zerohop resolv-conf install --force");
        let rest = ["dpkg --install /tmp/newer.deb", "dpkg --remove zerohop", "dpkg --purge zerohop"].map(told);
        insta::assert_snapshot!(format!("{installed}{}", rest.concat()), @r"
        dpkg --install /tmp/zerohop.deb
        daemon-reload [asks others]
        dpkg --install /tmp/newer.deb
        daemon-reload [asks zerohop]
        try-restart zerohop.service [asks zerohop]
        try-restart zerohop@a.service [asks zerohop]
        try-restart zerohop@b.service [asks zerohop]
        dpkg --remove zerohop
        try-restart systemd-resolved.service [asks others]
        try-reload-or-restart NetworkManager.service [asks others]
        stop zerohop.socket [asks others]
        --quiet --no-reload disable zerohop.socket [asks others]
        stop zerohop.service [asks others]
        --quiet --no-reload disable zerohop.service [asks others]
        stop zerohop@a.service [asks others]
        --quiet --no-reload disable zerohop@a.service [asks others]
        stop zerohop@b.service [asks others]
        --quiet --no-reload disable zerohop@b.service [asks others]
        reset-failed zerohop* [asks others]
        daemon-reload [asks others]
        dpkg --purge zerohop
        daemon-reload [asks others]
        ");
    });
}
