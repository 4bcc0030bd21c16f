//! The device and what is intercepted follow a reload.

use std::net::{SocketAddr, UdpSocket};

use hickory_proto::rr::RecordType::A;
use nix::sys::signal::Signal;

use super::client::{Ask, receive};
use super::harness::Zerohop;
use super::namespace::{Ip, NODE, OTHER, alone};
use super::recorder::Recorder;
use super::wait::{PATIENCE, until};

const OWN: &str = "[[zone]]\nname = \"own.example\"\nrecords = [\"a A 10.0.0.1\"]\n";

fn has(ip: &Ip, address: &str) -> bool {
    ip.says("-oneline address show").contains(&format!(" {address} "))
}

fn asks(server: &str) -> Vec<String> {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    Ask::new("a.own.example.", A).over(&socket, server.parse().unwrap()).data(A)
}

/// With this behind the zone, and more addresses to listen at.
fn text(zerohop: &Zerohop, more: &str, sections: &str) -> String {
    zerohop.config_text(&format!("{OWN}{sections}")).replacen(&format!("\"{NODE}\"]"), &format!("\"{NODE}\"{more}]"), 1)
}

/// A line of the log without its time, and with the name that this kernel has the device under.
fn said(line: &str) -> String {
    let (_, line) = line.split_once("\"level\":").unwrap();
    line.replace("\"lo\"", "\"zerohop0\"")
}

#[test]
fn addresses_of_the_device_come_at_once_and_go_when_all_is_answered() {
    alone(|ip| {
        let (upstream, held) = Recorder::held();
        let forward = upstream.root_zone();
        let zerohop = Zerohop::at(NODE.parse().unwrap(), &format!("{OWN}{forward}[interface]\n"));
        let both = text(&zerohop, &format!(", \"{OTHER}\""), &format!("{forward}[interface]\n"));
        zerohop.reload_text(&both);
        assert!(has(ip, "169.254.20.10/32") && has(ip, "169.254.20.11/32"));
        let changed = said(&zerohop.log_line(&["interface is changed"]));
        assert_eq!((asks(NODE), asks(OTHER)), (vec!["10.0.0.1".to_owned()], vec!["10.0.0.1".to_owned()]));
        let client = UdpSocket::bind("0.0.0.0:0").unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        let question = Ask::new("held.example.", A);
        client.send_to(&question.octets(), OTHER.parse::<SocketAddr>().unwrap()).unwrap();
        let asked = held.recv().unwrap();
        zerohop.reload_text(&text(&zerohop, "", &format!("{forward}[interface]\n")));
        assert!(has(ip, "169.254.20.11/32"), "a reply has to leave from it");
        asked.answer_a([192, 0, 2, 1], 300);
        assert_eq!(question.check(receive(&client)).data(A), ["192.0.2.1"]);
        until("the address to go", || (!has(ip, "169.254.20.11/32")).then_some(()));
        assert!(has(ip, "169.254.20.10/32"));
        let let_go = said(&zerohop.log_line(&["addresses are let go"]));
        insta::assert_snapshot!(format!("{changed}\n{let_go}"), @r#"
        "INFO","message":"interface is changed","device":"zerohop0","changes":"169.254.20.11 added"}
        "INFO","message":"addresses are let go","device":"zerohop0","addresses":"[169.254.20.11]"}
        "#);
        assert_eq!(zerohop.reloads(), (2, 0));
        assert_eq!(zerohop.metrics().sum("zerohop_interface_repairs_total", &[]), 0, "nobody had changed it");
    });
}

#[test]
fn the_section_comes_and_goes() {
    alone(|ip| {
        ip.run("address add 169.254.20.10/32 dev lo");
        // Without the section what it takes would be given up: tests/node/privileges.rs.
        let section = "[interface]\nname = \"lo\"\nremove-on-exit = true\n";
        let mut zerohop = Zerohop::at(NODE.parse().unwrap(), &format!("{OWN}{section}"));
        let more = format!(", \"{OTHER}\"");
        zerohop.reload_text(&text(&zerohop, "", ""));
        zerohop.reload_text(&text(&zerohop, &more, section));
        assert!(has(ip, "169.254.20.11/32"));
        assert_eq!(asks(OTHER), ["10.0.0.1"]);
        zerohop.reload_text(&text(&zerohop, "", ""));
        until("the address to go", || (!has(ip, "169.254.20.11/32")).then_some(()));
        assert!(has(ip, "169.254.20.10/32"), "it was there before");
        assert_eq!(asks(NODE), ["10.0.0.1"]);
        // Gone and back before anybody can have noticed.
        for _ in 0..3 {
            zerohop.reload_text(&text(&zerohop, &more, "[interface]\nname = \"lo\"\n"));
            zerohop.reload_text(&text(&zerohop, "", ""));
        }
        assert!(has(ip, "169.254.20.11/32"), "it stays unless remove-on-exit says so");
        zerohop.process.stops();
    });
}

#[test]
fn a_device_that_cannot_be_so_keeps_everything_as_it_was() {
    alone(|ip| {
        ip.run("link add node0 type veth peer name node1");
        ip.run("address add 169.254.20.11/24 dev node0");
        let zerohop = Zerohop::at(NODE.parse().unwrap(), &format!("{OWN}[interface]\n"));
        let changed = text(&zerohop, ", \"169.254.20.12:53\", \"169.254.20.11:53\"", "[interface]\n")
            .replace("10.0.0.1", "10.0.0.2");
        zerohop.reload_text(&changed);
        assert_eq!(zerohop.reloads(), (0, 1));
        zerohop.log_line(&["ERROR", "169.254.20.11 is on the device node0 already"]);
        assert_eq!(asks(NODE), ["10.0.0.1"]);
        assert!(has(ip, "169.254.20.10/32") && !has(ip, "169.254.20.12/32"));
        assert!(UdpSocket::bind(OTHER).is_ok(), "it was let go again");
        assert_eq!(zerohop.metrics().sum("zerohop_interface_right", &[]), 1);
        ip.run("address del 169.254.20.11/24 dev node0");
        zerohop.process.signal(Signal::SIGHUP);
        until("the reload", || (zerohop.reloads() == (1, 1)).then_some(()));
        assert_eq!((asks(NODE), asks("169.254.20.12:53")), (vec!["10.0.0.2".to_owned()], vec!["10.0.0.2".to_owned()]));
    });
}

#[test]
fn what_is_intercepted_follows_without_a_gap() {
    const FIRST: &str = "10.96.0.10:53";
    const SECOND: &str = "10.96.0.11:53";
    alone(|ip| {
        let zerohop = Zerohop::at(NODE.parse().unwrap(), &format!("{OWN}[interface]\n"));
        let active = || zerohop.metrics().sum("zerohop_interception_active", &[]);
        let intercept =
            |ips: &str| zerohop.reload_text(&text(&zerohop, "", &format!("[interface]\nintercept = [{ips}]\n")));
        assert_eq!(active(), 0);
        intercept("'10.96.0.10'");
        assert_eq!((asks(FIRST), active()), (vec!["10.0.0.1".to_owned()], 1), "{}", zerohop.process.output());
        intercept("'10.96.0.10', '10.96.0.11'");
        assert_eq!((asks(FIRST), asks(SECOND), active()), (asks(NODE), asks(NODE), 1));
        intercept("'10.96.0.11'");
        until("the address to go", || (!has(ip, "10.96.0.10/32")).then_some(()));
        assert_eq!((asks(SECOND), active()), (asks(NODE), 1));
        zerohop.reload_text(&text(&zerohop, "", "[interface]\n"));
        until("the address to go", || (!has(ip, "10.96.0.11/32")).then_some(()));
        assert_eq!((asks(NODE), active()), (vec!["10.0.0.1".to_owned()], 0));
    });
}
