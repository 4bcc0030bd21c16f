//! The device with our addresses: made, adopted, repaired, refused, and left.

use std::net::UdpSocket;
use std::process::Command;
use std::time::Duration;

use hickory_proto::rr::RecordType::A;

use super::client::Ask;
use super::harness::{Zerohop, without_net_admin, zerohop};
use super::namespace::{Ip, NODE, alone};
use super::pod::Pod;
use super::process::{find, say_skipped};
use super::wait::until_within;

const OWN: &str = "[[zone]]\nname = \"own.example\"\nrecords = [\"a A 10.0.0.1\"]\n";
const REPAIR: Duration = Duration::from_secs(1);

/// The device that the addresses are expected on; the loopback one where the kernel has no dummies.
fn device(ip: &Ip) -> &'static str {
    if can_make_dummies(ip) {
        return "zerohop0";
    }
    say_skipped("the kernel's dummy driver, and goes on with the loopback device instead");
    "lo"
}

/// Whether this kernel has dummies, for what cannot be tested otherwise.
fn has_dummies(ip: &Ip) -> bool {
    let has = can_make_dummies(ip);
    if !has {
        say_skipped("the kernel's dummy driver");
    }
    has
}

fn can_make_dummies(ip: &Ip) -> bool {
    ip.can("link add try0 type dummy") && ip.can("link delete try0")
}

fn has(ip: &Ip, device: &str, address: &str) -> bool {
    ip.says(&format!("-oneline address show dev {device}")).contains(&format!(" {address} "))
}

fn start(interface: &str) -> Zerohop {
    Zerohop::at(NODE.parse().unwrap(), &format!("{OWN}[interface]\n{interface}"))
}

/// Why it does not start.
fn refusal(interface: &str) -> String {
    refusal_by(zerohop(), interface)
}

fn refusal_by(mut zerohop: Command, interface: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("zerohop.toml");
    let text = format!(
        "[server]\nlisten = ['{NODE}']\n[admin]\nlisten = 'off'\ncontrol = 'off'\n{OWN}[interface]\n{interface}"
    );
    std::fs::write(&file, text).unwrap();
    let output = zerohop.arg("--config").arg(file).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stderr).unwrap();
    said.lines().last().unwrap().to_owned()
}

#[test]
fn a_pod_asks_the_link_local_address_and_what_is_deleted_comes_back() {
    alone(|ip| {
        let device = device(ip);
        let zerohop = start("addresses = ['169.254.20.10/32', '169.254.20.12/32', 'fd00::a/128']");
        zerohop.log_line(&["interface is set up", device]);
        if device == "lo" {
            zerohop.log_line(&["this kernel has no dummy devices: lo has the addresses"]);
        }
        let pod = Pod::beside(ip);
        let from_pod = || [false, true].map(|over_tcp| pod.asks(NODE, "a.own.example.", over_tcp));
        assert_eq!(from_pod(), [["10.0.0.1"], ["10.0.0.1"]]);
        for (number, address) in ["169.254.20.10/32", "169.254.20.12/32", "fd00::a/128"].into_iter().enumerate() {
            assert!(has(ip, device, address), "{address} on {device}");
            ip.run(&format!("address del {address} dev {device}"));
            until_within(REPAIR, "the address", || has(ip, device, address).then_some(()));
            let repairs = || zerohop.metrics().sum("zerohop_interface_repairs_total", &[]);
            until_within(REPAIR, "the count", || (repairs() == number as u64 + 1).then_some(()));
        }
        assert_eq!(from_pod(), [["10.0.0.1"], ["10.0.0.1"]]);
        assert_eq!(zerohop.metrics().sum("zerohop_interface_right", &[]), 1);
        let output = zerohop.process.output();
        assert_eq!(output.matches("interface repaired").count(), 3, "a line for each: {output}");
    });
}

#[test]
fn a_device_that_is_deleted_comes_back() {
    alone(|ip| {
        if !has_dummies(ip) {
            return;
        }
        let zerohop = start("addresses = ['169.254.20.10', 'fd00::a']");
        let is_right = || {
            let has_both = has(ip, "zerohop0", "169.254.20.10/32") && has(ip, "zerohop0", "fd00::a/128");
            (has_both && ip.says("link show up dev zerohop0").contains("UP")).then_some(())
        };
        ip.run("link delete zerohop0");
        until_within(REPAIR, "the device", is_right);
        // The kernel takes the addresses of IPv6 away with that.
        ip.run("link set zerohop0 down");
        until_within(REPAIR, "the device up", is_right);
        assert_eq!(zerohop.metrics().sum("zerohop_interface_right", &[]), 1);
    });
}

#[test]
fn a_dummy_with_nothing_else_on_it_is_adopted_and_kept() {
    alone(|ip| {
        if !has_dummies(ip) {
            return;
        }
        ip.run("link add zerohop0 type dummy");
        ip.run("address add 169.254.20.10/32 dev zerohop0");
        drop(start("remove-on-exit = true"));
        let mut zerohop = start("addresses = ['169.254.20.10', '169.254.20.11']\nremove-on-exit = true");
        assert!(has(ip, "zerohop0", "169.254.20.11/32"));
        zerohop.process.stops();
        let stays = (has(ip, "zerohop0", "169.254.20.10/32"), has(ip, "zerohop0", "169.254.20.11/32"));
        assert_eq!(stays, (true, false), "only what it added goes");
        ip.run("address add 10.1.1.1/24 dev zerohop0");
        let said = refusal("");
        assert!(said.contains("has 10.1.1.1/24, which is not in [interface]"), "{said}");
    });
}

#[test]
fn what_an_earlier_configuration_left_on_our_own_device_goes() {
    alone(|ip| {
        if !has_dummies(ip) {
            return;
        }
        let mut first = start("addresses = ['169.254.20.10', '169.254.20.11']");
        first.process.stops();
        assert!(has(ip, "zerohop0", "169.254.20.11/32"), "kept");
        let taken = UdpSocket::bind(NODE).unwrap();
        assert!(refusal("").contains("Address already in use"));
        assert!(has(ip, "zerohop0", "169.254.20.11/32"), "another instance may serve there");
        drop(taken);
        let mut second = start("remove-on-exit = true");
        assert!(has(ip, "zerohop0", "169.254.20.10/32") && !has(ip, "zerohop0", "169.254.20.11/32"));
        second.process.stops();
        assert!(!ip.can("link show dev zerohop0"), "our own goes whole");
    });
}

#[test]
fn the_loopback_device_may_be_the_one() {
    alone(|ip| {
        let zerohop = start("name = 'lo'");
        assert!(has(ip, "lo", "169.254.20.10/32") && !ip.can("link show dev zerohop0"));
        ip.run("address del 169.254.20.10/32 dev lo");
        until_within(REPAIR, "the address", || has(ip, "lo", "169.254.20.10/32").then_some(()));
        assert_eq!(zerohop.metrics().sum("zerohop_interface_right", &[]), 1);
    });
}

#[test]
fn a_device_of_another_kind_is_refused() {
    alone(|ip| {
        ip.run("link add zerohop0 type veth peer name other");
        let said = refusal("");
        assert!(said.contains("the device zerohop0 is there already, and is a veth, no dummy"), "{said}");
        assert!(!has(ip, "zerohop0", "169.254.20.10/32") && !has(ip, "lo", "169.254.20.10/32"));
    });
}

#[test]
fn an_address_on_another_device_is_a_fault_that_names_it() {
    alone(|ip| {
        ip.run("link add node0 type veth peer name node1");
        ip.run("address add 169.254.20.10/24 dev node0");
        let said = refusal("");
        assert!(said.contains("169.254.20.10 is on the device node0 already"), "{said}");
    });
}

#[test]
fn while_it_runs_a_fault_is_said_once_counted_and_over_when_it_is_mended() {
    alone(|ip| {
        let device = device(ip);
        ip.run("link add node0 type veth peer name node1");
        let zerohop = start("");
        let right = |expected| {
            let right = || zerohop.metrics().sum("zerohop_interface_right", &[]);
            until_within(REPAIR, "the gauge", || (right() == expected).then_some(()));
        };
        ip.run("address add 169.254.20.10/32 dev node0");
        right(0);
        ip.run("link set node0 up");
        ip.run(&format!("address add 192.0.2.1/32 dev {device}"));
        zerohop.log_line(&["interface cannot be repaired: 169.254.20.10 is on the device node0 already"]);
        ip.run(&format!("address del 192.0.2.1/32 dev {device}"));
        ip.run("address del 169.254.20.10/32 dev node0");
        right(1);
        zerohop.log_line(&["interface is as it should be again"]);
        assert_eq!(zerohop.process.output().matches("cannot be repaired: 169.254.20.10").count(), 1);
    });
}

#[test]
fn what_was_added_is_kept_unless_it_is_to_go_and_nothing_else_goes() {
    alone(|ip| {
        let device = device(ip);
        if device == "lo" {
            ip.run("address add 169.254.20.11/32 dev lo");
        }
        for (remove, stays) in [("remove-on-exit = false", true), ("", true)] {
            let mut zerohop = start(remove);
            zerohop.process.stops();
            assert_eq!(has(ip, device, "169.254.20.10/32"), stays, "{remove}");
        }
        ip.run(&format!("address del 169.254.20.10/32 dev {device}"));
        let mut zerohop = start("remove-on-exit = true");
        zerohop.process.stops();
        assert!(!ip.says("address show").contains("169.254.20.10"));
        assert_eq!(device == "lo", has(ip, "lo", "169.254.20.11/32"));
    });
}

#[test]
fn without_the_capability_it_says_what_to_do_and_works_when_that_is_done() {
    let Some(setpriv) = find("setpriv", "util-linux") else { return };
    alone(|ip| {
        let said = refusal_by(without_net_admin(&setpriv), "");
        let commands = "ip link add zerohop0 type dummy && ip address add 169.254.20.10/32 dev zerohop0 && ip link set \
                        zerohop0 up";
        assert!(
            said.contains(&format!(
                "needs CAP_NET_ADMIN; give zerohop the capability, or set the device up beforehand: `{commands}`"
            )),
            "{said}"
        );
        if can_make_dummies(ip) {
            commands.split(" && ").for_each(|command| ip.run(command.strip_prefix("ip ").unwrap()));
        } else {
            ip.run("address add 169.254.20.10/32 dev lo");
        }
        let zerohop = Zerohop::by(without_net_admin(&setpriv), NODE.parse().unwrap(), &format!("{OWN}[interface]\n"));
        assert_eq!(Ask::new("a.own.example.", A).udp(zerohop.address).data(A), ["10.0.0.1"]);
        assert_eq!(zerohop.metrics().sum("zerohop_interface_right", &[]), 1);
    });
}

#[test]
fn no_other_program_is_run() {
    let Some(strace) = find("strace", "strace") else { return };
    alone(|_| {
        let trace = tempfile::NamedTempFile::new().unwrap();
        let mut command = Command::new(&strace);
        command.env_clear().args(["--follow-forks", "--trace=execve,execveat", "--output"]).arg(trace.path());
        command.arg(env!("CARGO_BIN_EXE_zerohop"));
        let sections = format!("{OWN}[interface]\nintercept = ['10.96.0.10']\n");
        let zerohop = Zerohop::by(command, NODE.parse().unwrap(), &sections);
        assert_eq!(zerohop.metrics().sum("zerohop_interception_active", &[]), 1);
        let calls = std::fs::read_to_string(trace.path()).unwrap();
        assert_eq!(calls.matches("execve").count(), 1, "its own start: {calls}");
    });
}
