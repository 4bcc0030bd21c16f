//! The device that has our addresses.

use std::net::{IpAddr, SocketAddr};

use super::add_address;
use crate::config::address::{self, DNS_PORT};
use crate::config::fault::{Message, Report};
use crate::config::file;
use crate::config::keys;
use crate::config::text::At;
use crate::config::{Interface, Server};

/// Octets that the kernel allows in a name (`IFNAMSIZ` less its final zero).
const LONGEST_NAME: usize = 15;

/// Understands `[interface]`.
pub(super) fn read(said: &file::Interface, server: &Server, report: &mut Report<'_>) -> Interface {
    let mut addresses = Vec::new();
    for at in said.addresses.iter().flatten() {
        add_address(address::of_device(&at.value), at, &mut addresses, &keys::INTERFACE_ADDRESSES, report);
        warn_of_silence(at, server, report);
    }
    if said.addresses.is_none() {
        for ip in server.addresses().iter().map(SocketAddr::ip).filter(|ip| is_for_a_device(*ip)) {
            if !addresses.contains(&ip) {
                addresses.push(ip);
            }
        }
    }
    let intercept = intercept(said, &addresses, server, report);
    if addresses.is_empty() && intercept.is_empty() && !report.incomplete() {
        let problem = "there is no address for the device: `server.listen` has none that is link-local or unique local";
        let remedy = r#"listen at one, as "169.254.20.10:53", or remove [interface]"#;
        report.error(said.span.start, &keys::INTERFACE_ADDRESSES.path(), Message::new(problem, remedy));
    }
    let name = said.name.as_ref().map_or("", |at| &at.value);
    if let Some(at) = said.name.as_ref().filter(|at| !is_name(&at.value)) {
        let problem = format!("{:?} is no name that a device can have", at.value);
        let remedy = r#"write at most 15 letters, digits, dashes or dots, as "zerohop0""#;
        report.error(at.span.start, &keys::INTERFACE_NAME.path(), Message::new(problem, remedy));
    }
    Interface { name: name.to_owned(), addresses, intercept, remove_on_exit: said.remove_on_exit }
}

fn intercept(said: &file::Interface, own: &[IpAddr], server: &Server, report: &mut Report<'_>) -> Vec<IpAddr> {
    let path = keys::INTERCEPT.path();
    let mut intercept = Vec::new();
    for at in &said.intercept {
        let read = address::ip(&at.value).and_then(|_| address::of_device(&at.value));
        if let Ok(ip) = &read {
            let listed = [
                (&keys::INTERFACE_ADDRESSES, own.contains(ip)),
                (&keys::LISTEN, server.addresses().contains(&SocketAddr::new(*ip, DNS_PORT))),
            ];
            for (owner, _) in listed.into_iter().filter(|(_, has)| *has) {
                let problem = format!("{ip} is already taken by `{}`", owner.path());
                report.error(at.span.start, &path, Message::new(problem, "remove one of the two"));
            }
        }
        add_address(read, at, &mut intercept, &keys::INTERCEPT, report);
    }
    intercept
}

/// An address that the node has only to be asked there is ours to give. Not the link-local ones of
/// IPv6: each belongs to the link that its scope says.
fn is_for_a_device(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unique_local(),
    }
}

fn warn_of_silence(at: &At<String>, server: &Server, report: &mut Report<'_>) {
    let Ok(ip) = address::of_device(&at.value) else { return };
    let answers =
        |listen: &SocketAddr| listen.ip() == ip || listen.ip().is_unspecified() && listen.is_ipv4() == ip.is_ipv4();
    if !server.addresses().iter().any(answers) {
        let problem = format!("nobody listens at {ip}");
        let message = Message::new(problem, "add it to `server.listen`, or remove it");
        report.warning(at.span.start, &keys::INTERFACE_ADDRESSES.path(), message);
    }
}

fn is_name(name: &str) -> bool {
    let letters = name.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-_.".contains(&octet));
    letters && (1..=LONGEST_NAME).contains(&name.len()) && name != "." && name != ".."
}
