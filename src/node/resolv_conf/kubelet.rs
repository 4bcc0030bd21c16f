//! The file that the kubelet hands to pods that use the node's DNS, CoreDNS among them.

use std::path::PathBuf;

use super::manager::Manager;
use super::root::Root;
use super::{KEPT, RESOLV_CONF};

const CONFIG: &str = "/var/lib/kubelet/config.yaml";

/// What the kubelet reads on this node, if there is one.
pub(super) fn resolv_conf(root: &Root) -> Option<String> {
    let text = root.read(CONFIG).ok()?;
    let text = String::from_utf8_lossy(&text);
    let value = text.lines().find_map(|line| line.strip_prefix("resolvConf:"));
    let said = value.map(|value| value.split(" #").next().unwrap_or_default().trim().trim_matches(['"', '\'']));
    Some(said.unwrap_or(RESOLV_CONF).to_owned())
}

/// What to say if the file is one that names us once `manager` leaves DNS to us.
pub(super) fn warning(root: &Root, manager: &Manager) -> Option<String> {
    let read = resolv_conf(root)?;
    let leads_to = |path: &str| [PathBuf::from(path), root.follow(path)];
    let changed = || [RESOLV_CONF].into_iter().chain(manager.servers.filter(|_| manager.names_us)).flat_map(leads_to);
    let names_us = leads_to(&read).iter().any(|path| changed().any(|changed| changed == *path));
    names_us.then(|| {
        format!(
            "the kubelet reads {read} ({CONFIG}), so that CoreDNS would ask zerohop, and zerohop in turn CoreDNS: \
             write `resolvConf: {KEPT}` there, restart the kubelet, and start the pods of CoreDNS anew"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_read_as_it_is_written() {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::new(directory.path().to_owned());
        assert_eq!(resolv_conf(&root), None);
        std::fs::create_dir_all(root.at("/var/lib/kubelet")).unwrap();
        for (text, expected) in [
            ("kind: KubeletConfiguration\n", RESOLV_CONF),
            ("resolvConf: /run/a # theirs\nother: 1\n", "/run/a"),
            ("a: 1\nresolvConf: \"/run/b\"\n", "/run/b"),
            ("resolvConf: ''", ""),
            ("nested:\n  resolvConf: /run/c\n", RESOLV_CONF),
        ] {
            std::fs::write(root.at(CONFIG), text).unwrap();
            assert_eq!(resolv_conf(&root).as_deref(), Some(expected), "{text}");
        }
    }
}
