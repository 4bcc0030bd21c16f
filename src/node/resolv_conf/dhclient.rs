//! dhclient: its script writes resolv.conf with every lease, unless a hook does something else.

use std::net::IpAddr;

use super::entry::Entry;
use super::manager::{Leave, Manager};
use super::root::Root;
use super::text::MARK;
use super::{KEPT, SAVED};

/// Where it is installed.
const PROGRAMS: [&str; 2] = ["/sbin/dhclient", "/usr/sbin/dhclient"];

pub(super) static MANAGER: Manager = Manager {
    name: "dhclient",
    wrote,
    servers: None,
    names_us: false,
    leave: Some(Leave {
        path: "/etc/dhcp/dhclient-enter-hooks.d/zerohop",
        mode: 0o755,
        content,
        // Its script reads the hooks each time.
        reload: None,
    }),
};

fn wrote(root: &Root, resolv_conf: &Entry) -> bool {
    matches!(resolv_conf, Entry::File { .. }) && PROGRAMS.iter().any(|program| root.exists(program))
}

/// The servers of a lease go where the daemon finds them; resolv.conf stays. Once what was there has
/// been brought back, the hook does nothing, wherever the restoring was stopped.
fn content(address: IpAddr) -> String {
    format!(
        r#"#!/bin/sh
{MARK}: the nameservers of a lease become zerohop's.
if [ -e {SAVED} ]; then
    make_resolv_conf() {{
        zerohop_servers=
        for zerohop_server in $new_domain_name_servers $new_dhcp6_name_servers; do
            case $zerohop_server in
                {address}) continue ;;
                *%*) ;;
                [Ff][Ee]80:*) zerohop_server=$zerohop_server%$interface ;;
            esac
            zerohop_servers="${{zerohop_servers}}nameserver $zerohop_server
"
        done
        [ -n "$zerohop_servers" ] || return 0
        {{
            [ ! -e {KEPT} ] || sed '/^nameserver/d' {KEPT}
            printf '%s' "$zerohop_servers"
        }} >{KEPT}.lease
        chmod 644 {KEPT}.lease
        mv -f {KEPT}.lease {KEPT}
    }}
fi
"#
    )
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::Command;

    use super::*;

    #[test]
    fn a_lease_changes_what_is_kept_while_it_is_active() {
        let directory = tempfile::tempdir().unwrap();
        let inside = directory.path().to_str().unwrap();
        fs::create_dir_all(format!("{inside}/etc/zerohop")).unwrap();
        let (kept, saved) = (format!("{inside}{KEPT}"), format!("{inside}{SAVED}"));
        let hook = content("169.254.20.10".parse().unwrap()).replace("/etc/", &format!("{inside}/etc/"));
        let lease = |servers: &str, servers_v6: &str| {
            let script = format!("make_resolv_conf() {{ echo theirs; }}\n{hook}\nmake_resolv_conf");
            let output = Command::new("sh")
                .args(["-eu", "-c", &script])
                .env("new_domain_name_servers", servers)
                .env("new_dhcp6_name_servers", servers_v6)
                .env("interface", "eth0")
                .output()
                .unwrap();
            assert!(output.status.success(), "{output:?}");
            String::from_utf8(output.stdout).unwrap()
        };
        fs::write(&kept, "# kept\nnameserver 10.0.0.1\nsearch a.example\n").unwrap();
        assert_eq!(lease("10.0.0.2", ""), "theirs\n");
        fs::write(saved, "").unwrap();
        assert_eq!(lease("10.0.0.2 169.254.20.10", "fe80::1 fd00::1"), "");
        let servers = "nameserver 10.0.0.2\nnameserver fe80::1%eth0\nnameserver fd00::1\n";
        let expected = format!("# kept\nsearch a.example\n{servers}");
        assert_eq!(fs::read_to_string(&kept).unwrap(), expected);
        lease("", "");
        assert_eq!(fs::read_to_string(&kept).unwrap(), expected, "a lease without servers takes none away");
        fs::remove_file(&kept).unwrap();
        lease("10.0.0.2", "");
        lease("10.0.0.3", "");
        assert_eq!(fs::read_to_string(&kept).unwrap(), "nameserver 10.0.0.3\n");
    }
}
