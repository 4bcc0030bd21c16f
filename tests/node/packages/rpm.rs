//! The rpm: what is in it, and that its scripts do what those of the Debian package do.

use std::path::Path;
use std::process::Command;

use super::super::namespace::alone;
use super::debian::{Debian, made};
use super::{built, done};

/// rpm, upon the files of this root. Its scripts run in there.
fn rpm(root: &Path, arguments: &[&str], package: &Path) -> String {
    // Debian's packages are no packages to it; ours needs a shell for its scripts, and nothing else.
    done(Command::new("rpm").arg("--root").arg(root).args(arguments).arg("--nodeps").arg(package))
}

#[test]
#[ignore = "makes a Debian: ci/test --all"]
fn it_is_installed_verified_and_erased() {
    let programs = [("cargo-generate-rpm", "cargo, then: cargo install cargo-generate-rpm"), ("rpm", "rpm")];
    let Some(package) = built("rpm", &programs, "zerohop-*.rpm") else { return };
    let Some(made) = made() else { return };
    let query = |what: &str| done(Command::new("rpm").args(["--query", "--package", what]).arg(&package));
    let needs = query("--requires");
    let outside = needs.lines().filter(|need| !need.starts_with("rpmlib(") && !need.starts_with("config("));
    assert!(outside.clone().all(|need| need == "/bin/sh"), "{needs}");
    assert_eq!(query("--configfiles"), "/etc/zerohop/zerohop.toml\n");
    done(Command::new("rpm").arg("--checksig").arg(&package));

    alone(|_| {
        let debian = Debian::like(&made);
        let root = debian.path("/");
        debian.write("/etc/resolv.conf", "nameserver 192.0.2.53\n");
        rpm(&root, &["--install"], &package);
        let said = rpm(&root, &["--verify"], "zerohop".as_ref());
        assert_eq!(said, "");
        debian.says("zerohop check --config /etc/zerohop/zerohop.toml");
        debian.says("systemctl enable zerohop");
        debian.says("zerohop resolv-conf install --force");
        debian.write("/etc/zerohop/zerohop.toml", "# by hand\n");
        rpm(&root, &["--erase"], "zerohop".as_ref());
        assert_eq!(debian.read("/etc/resolv.conf"), "nameserver 192.0.2.53\n");
        assert!(!debian.path("/usr/bin/zerohop").exists());
        assert!(!debian.path("/etc/systemd/system/multi-user.target.wants/zerohop.service").is_symlink());
        assert_eq!(debian.read("/etc/zerohop/zerohop.toml.rpmsave"), "# by hand\n");
    });
}
