//! The files below systemd/ that are for managers of resolv.conf: what `install` writes, for images of
//! nodes that are to have it from the start.

use std::fs;
use std::path::Path;

use super::manager::MANAGERS;

/// The address that is shipped, in packaging/zerohop.toml.
const ADDRESS: &str = "169.254.20.10";

#[test]
fn what_is_shipped_for_managers_is_what_install_writes() {
    let mut shipped = Vec::new();
    for leave in MANAGERS.iter().filter_map(|manager| manager.leave.as_ref()) {
        let path = leave.path.trim_start_matches("/etc/").trim_start_matches("systemd/");
        let Ok(text) = fs::read_to_string(Path::new("systemd").join(path)) else { continue };
        assert_eq!(text, (leave.content)(ADDRESS.parse().unwrap()), "systemd/{path}");
        shipped.push(path);
    }
    assert_eq!(shipped, ["resolved.conf.d/zerohop.conf", "NetworkManager/conf.d/zerohop.conf"]);
    let config = include_str!("../../../packaging/zerohop.toml");
    assert!(config.contains(&format!("listen = [\"{ADDRESS}:53\"]")));
}
