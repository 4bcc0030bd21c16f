//! systemd-resolved: resolv.conf is a link to one of its files.

use std::net::IpAddr;
use std::path::Path;

use super::entry::Entry;
use super::manager::{Leave, Manager, leads_below_run, target};
use super::root::Root;
use super::text::{MARK, asks_resolved};

/// Where it keeps the servers of the links and of its configuration.
pub(super) const SERVERS: &str = "/run/systemd/resolve/resolv.conf";

/// What a distribution has in place of a link below /run.
const STATIC: &str = "/usr/lib/systemd/resolv.conf";

pub(super) static MANAGER: Manager = Manager {
    name: "systemd-resolved",
    wrote,
    servers: Some(SERVERS),
    names_us: true,
    leave: Some(Leave {
        path: "/etc/systemd/resolved.conf.d/zerohop.conf",
        mode: 0o644,
        content,
        reload: Some((
            "systemctl restart systemd-resolved",
            "what reads resolv.conf needs no restart; what asks systemd-resolved itself, over D-Bus or nss-resolve, \
             goes where it went before",
        )),
    }),
};

fn wrote(root: &Root, resolv_conf: &Entry) -> bool {
    leads_below_run(resolv_conf, "systemd/resolve")
        || target(resolv_conf).is_some_and(|target| target == Path::new(STATIC))
        || asks_resolved(resolv_conf.content()) && root.exists(SERVERS)
}

/// The empty `DNS=` takes away what other files of its configuration name: those would be asked as
/// well. `~.` sends every name to us, and not to the servers of a link.
///
/// Without the stub its own file for resolv.conf names real servers: after a restore they answer,
/// before the service has been restarted.
fn content(address: IpAddr) -> String {
    format!("{MARK}.\n[Resolve]\nDNS=\nDNS={address}\nDomains=~.\nDNSStubListener=no\n")
}
