//! Why the device cannot be as it should be, and what to do about it.

use std::fmt;
use std::io;
use std::net::IpAddr;

/// See the module's head.
#[derive(Debug)]
pub enum Fault {
    /// The name belongs to a device of another kind.
    Foreign { name: String, kind: Option<String> },
    /// A dummy that somebody else uses.
    Inhabited { name: String, ip: IpAddr, length: u8 },
    /// One of our addresses is on another device.
    Elsewhere { ip: IpAddr, length: u8, device: String, name: String },
    /// The kernel wants a capability for what has to be done; these commands would do it.
    NotAllowed { name: String, commands: Vec<String> },
    /// The kernel would not do it.
    Refused { what: String, error: io::Error },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign { name, kind } => {
                let kind =
                    kind.as_ref().map_or_else(|| "is no dummy".to_owned(), |kind| format!("is a {kind}, no dummy"));
                write!(f, "the device {name} is there already, and {kind}; write another `name` into [interface], ")?;
                write!(f, "or rename the device: `ip link set {name} name other`")
            }
            Self::Inhabited { name, ip, length } => {
                write!(f, "the device {name} is somebody else's: it has {ip}/{length}, which is not in [interface]; ")?;
                write!(f, "write another `name`, or take the address away: `ip address del {ip}/{length} dev {name}`")
            }
            Self::Elsewhere { ip, length, device, name } => {
                write!(
                    f,
                    "{ip} is on the device {device} already, and may only be on {name}; write another address, "
                )?;
                write!(f, "or take it away there: `ip address del {ip}/{length} dev {device}`")
            }
            Self::NotAllowed { name, commands } => {
                write!(f, "the device {name} is not as it should be, and to change that needs CAP_NET_ADMIN; give ")?;
                write!(f, "zerohop the capability, or set the device up beforehand: `{}`", commands.join(" && "))
            }
            Self::Refused { what, error } => write!(f, "the kernel would not {what}: {error}"),
        }
    }
}

impl std::error::Error for Fault {}

/// The command that gives the device an address.
pub(super) fn add_command(ip: IpAddr, name: &str) -> String {
    let (length, how) = if ip.is_ipv6() { (128, " nodad") } else { (32, "") };
    format!("ip address add {ip}/{length} dev {name}{how}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_says_what_to_do() {
        let (v4, v6): (IpAddr, IpAddr) = ("169.254.20.10".parse().unwrap(), "fd00::a".parse().unwrap());
        let name = || "zerohop0".to_owned();
        let faults = [
            Fault::Foreign { name: name(), kind: Some("veth".to_owned()) },
            Fault::Foreign { name: name(), kind: None },
            Fault::Inhabited { name: name(), ip: "10.1.2.3".parse().unwrap(), length: 24 },
            Fault::Elsewhere { ip: v4, length: 24, device: "eth0".to_owned(), name: name() },
            Fault::NotAllowed {
                name: name(),
                commands: vec![
                    "ip link add zerohop0 type dummy".to_owned(),
                    add_command(v4, "zerohop0"),
                    add_command(v6, "zerohop0"),
                    "ip link set zerohop0 up".to_owned(),
                ],
            },
            Fault::Refused {
                what: format!("give zerohop0 the address {v6}"),
                error: io::Error::from_raw_os_error(libc::EACCES),
            },
        ];
        let shown: Vec<String> = faults.iter().map(ToString::to_string).collect();
        insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!("device-faults", shown.join("\n"));
        });
    }
}
