use super::*;

#[test]
fn what_cannot_be_had_is_said_with_what_to_do() {
    let denied = || std::io::Error::from_raw_os_error(libc::EPERM);
    let said = [
        Missing::Capabilities("capset failure: Operation not permitted (os error 1)".into()),
        Missing::Landlock(landlock::Lack::Unknown),
        Missing::Landlock(landlock::Lack::Disabled),
        Missing::Seccomp(seccompiler::Error::Seccomp(denied())),
    ];
    insta::assert_snapshot!(said.map(|missing| missing.to_string()).join("\n"), @r"
    capabilities are kept that nothing here needs: the kernel does not let them go (caps error: capset failure: Operation not permitted (os error 1)); allow capset and prctl where system calls are filtered
    file permissions alone say what may be written and executed: this kernel has no Landlock (Linux 5.13), or the seccomp profile of a container hides it: there, allow landlock_create_ruleset, landlock_add_rule and landlock_restrict_self
    file permissions alone say what may be written and executed: this kernel was started without Landlock: add `landlock` to `lsm=` of its command line
    system calls are let through that nothing here needs: the kernel takes no filter (Error calling `seccomp`: Operation not permitted (os error 1)); allow seccomp where system calls are filtered
    ");
}

#[test]
fn what_may_be_written_is_below_the_directories_that_were_there() {
    let top = tempfile::tempdir().unwrap();
    let at = |path: &str| top.path().join(path);
    std::fs::create_dir_all(at("lib/zerohop")).unwrap();
    std::os::unix::fs::symlink(at("lib"), at("link")).unwrap();
    let confined = Confined { writable: Some(vec![at("lib/zerohop").canonicalize().unwrap()]), gave_up_network: false };
    for path in ["lib/zerohop/cache", "lib/zerohop/new/cache", "link/zerohop/cache", "lib/../lib/zerohop/cache"] {
        assert!(confined.may_write(&at(path)), "{path}");
    }
    for path in ["lib/cache", "lib/zerohop2/cache", "lib/zerohop/../cache", "new/cache", "lib/zerohop"] {
        assert!(!confined.may_write(&at(path)), "{path}");
    }
    assert!(Confined { writable: None, gave_up_network: false }.may_write(&at("lib/cache")));
}

#[test]
fn the_directories_are_those_of_the_control_socket_and_of_the_cache() {
    let directories = |text: &str| {
        let text = format!("[server]\nlisten = ['127.0.0.1:1053']\n{text}");
        let config = crate::config::parse(Path::new("zerohop.toml"), &text).unwrap().config;
        writable(&config).iter().map(|directory| directory.display().to_string()).collect::<Vec<_>>()
    };
    let both = "[admin]\ncontrol = '/run/zerohop/control.sock'\n[cache]\npersist = '/var/lib/zerohop/cache'\n";
    assert_eq!(directories(both), ["/run/zerohop", "/var/lib/zerohop"]);
    assert_eq!(directories(&both.replace("/var/lib", "/run")), ["/run/zerohop"]);
    assert_eq!(directories("[admin]\ncontrol = 'control.sock'\n"), ["./"]);
    assert!(directories("[admin]\ncontrol = 'off'\n").is_empty());
}
