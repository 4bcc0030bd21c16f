//! The questions for a ClusterIP are taken while zerohop lives, and go where they went when it does
//! not, however it ends.

use std::fs::read_to_string;
use std::net::{SocketAddr, UdpSocket};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use hickory_proto::rr::RecordType::A;
use nix::sys::signal::Signal;

use super::client::Ask;
use super::firewall::Nft;
use super::harness::{Zerohop, without_net_admin};
use super::namespace::{Ip, NODE, alone};
use super::pod::{GATEWAY, Pod};
use super::process::{find, say_skipped};
use super::recorder::Recorder;
use super::wait::{PATIENCE, until, until_within};

const CLUSTER_IP: &str = "10.96.0.10:53";
const OWN: &str = "[[zone]]\nname = \"own.example\"\nrecords = [\"a A 10.0.0.1\"]\n";
const INTERCEPT: &str = "[interface]\nintercept = ['10.96.0.10']\n";
const SOON: Duration = Duration::from_secs(1);

/// Who answers for the ClusterIP without us, and where packets for it are sent to reach it.
struct KubeDns {
    _server: Recorder,
}

impl KubeDns {
    /// Has the kernel translate the ClusterIP as kube-proxy would.
    fn behind(nft: &Nft) -> Self {
        let address: SocketAddr = format!("{GATEWAY}:5300").parse().unwrap();
        let server = Recorder::at(address, |asked| asked.answer_a([192, 0, 2, 1], 0));
        nft.run("add table ip kube-proxy");
        for hook in ["prerouting", "output"] {
            nft.run(&format!("add chain ip kube-proxy {hook} {{ type nat hook {hook} priority -100; }}"));
            for protocol in ["udp", "tcp"] {
                nft.run(&format!(
                    "add rule ip kube-proxy {hook} ip daddr 10.96.0.10 {protocol} dport 53 dnat to {address}"
                ));
            }
        }
        Self { _server: server }
    }
}

fn start() -> Zerohop {
    Zerohop::at(NODE.parse().unwrap(), &format!("{OWN}{INTERCEPT}"))
}

/// Asked by a program on the node itself.
fn from_the_node(server: &str) -> Vec<String> {
    let server: SocketAddr = server.parse().unwrap();
    let any = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    Ask::new("a.own.example.", A).over(&socket, server).data(A)
}

fn active(zerohop: &Zerohop) -> u64 {
    zerohop.metrics().sum("zerohop_interception_active", &[])
}

fn has(ip: &Ip, address: &str) -> bool {
    ip.says("-oneline address show").contains(&format!(" {address} "))
}

/// The tables of ours that there are.
fn tables(nft: &Nft) -> Vec<String> {
    nft.says("list tables").lines().filter(|line| line.contains("zerohop-")).map(str::to_owned).collect()
}

/// What connection tracking of this network knows that has to do with the ClusterIP; `None`, and said,
/// where the kernel does not show it.
fn tracked() -> Option<usize> {
    // That of the thread: the process's own is in another network.
    let Ok(all) = read_to_string("/proc/thread-self/net/nf_conntrack") else {
        say_skipped("/proc/net/nf_conntrack (CONFIG_NF_CONNTRACK_PROCFS), and goes on without");
        return None;
    };
    Some(all.lines().filter(|line| line.contains("=10.96.0.10 ")).count())
}

#[test]
fn questions_for_the_cluster_ip_are_taken_and_go_back_when_it_is_killed() {
    let Some(nft) = Nft::found() else { return };
    alone(|ip| {
        let pod = Pod::beside(ip);
        let kube_dns = KubeDns::behind(&nft);
        let from_pod = || [false, true].map(|over_tcp| pod.asks(CLUSTER_IP, "a.own.example.", over_tcp));
        let (theirs, ours) = (vec!["192.0.2.1".to_owned()], vec!["10.0.0.1".to_owned()]);
        assert_eq!(from_pod(), [theirs.clone(), theirs.clone()]);
        assert_ne!(tracked(), Some(0), "what is translated is tracked");
        for _ in 0..2 {
            let zerohop = start();
            assert_eq!((active(&zerohop), tables(&nft).len()), (1, 1));
            let before = tracked();
            assert_eq!(from_pod(), [ours.clone(), ours.clone()]);
            assert_eq!(from_the_node(CLUSTER_IP), ours);
            assert!(tracked() <= before, "none of this is tracked");
            assert_eq!(pod.asks(NODE, "a.own.example.", false), ours);
            drop(zerohop);
            until("the end of the table", || tables(&nft).is_empty().then_some(()));
            assert_eq!(from_pod(), [theirs.clone(), theirs.clone()]);
            assert_eq!(from_the_node(CLUSTER_IP), theirs);
        }
        let mut zerohop = start();
        zerohop.process.stops();
        assert_eq!((tables(&nft).len(), from_pod()), (0, [theirs.clone(), theirs]));
        assert!(!has(ip, "10.96.0.10/32") && has(ip, "169.254.20.10/32"), "only its own address stays");
        drop(kube_dns);
    });
}

#[test]
fn the_rules_are_these_and_nobody_else_can_change_them() {
    let Some(nft) = Nft::found() else { return };
    alone(|_| {
        let sections = format!("{OWN}[interface]\nintercept = ['10.96.0.10', 'fd00:10:96::a']\n");
        let zerohop = Zerohop::at(NODE.parse().unwrap(), &sections);
        assert_eq!(from_the_node("[fd00:10:96::a]:53"), ["10.0.0.1"]);
        let listed = nft.says("list ruleset");
        let name = tables(&nft)[0].rsplit(' ').next().unwrap().to_owned();
        let rules: Vec<&str> = listed.lines().map(str::trim).filter(|line| line.ends_with("notrack")).collect();
        let plain = |rule: &str| rule.split(" counter").next().unwrap().to_owned();
        let rules: Vec<String> = rules.into_iter().map(plain).collect();
        for (end, ip) in [("ip", "169.254.20.10"), ("ip", "10.96.0.10"), ("ip6", "fd00:10:96::a")] {
            for protocol in ["udp", "tcp"] {
                let of = |side: &str, port: &str| format!("{end} {side} {ip} {protocol} {port} 53");
                for (rule, count) in [(of("daddr", "dport"), 2), (of("saddr", "sport"), 1)] {
                    assert_eq!(rules.iter().filter(|have| **have == rule).count(), count, "{rule}\n{listed}");
                }
            }
        }
        assert_eq!(rules.len(), 18, "{listed}");
        for words in
            ["flags owner", "hook prerouting priority raw; policy accept;", "hook output priority raw; policy accept;"]
        {
            assert!(listed.contains(words), "{words}\n{listed}");
        }
        assert!(!nft.can(&format!("delete table inet {name}")), "it has an owner");
        nft.can("flush ruleset");
        assert_eq!(tables(&nft).len(), 1);
        drop(zerohop);
    });
}

#[test]
fn a_firewall_that_drops_is_a_refusal_until_it_lets_dns_through() {
    let Some(nft) = Nft::found() else { return };
    alone(|ip| {
        let pod = Pod::beside(ip);
        nft.run("add table ip filter");
        nft.run("add chain ip filter INPUT { type filter hook input priority 0; policy drop; }");
        nft.run("add rule ip filter INPUT iif lo accept");
        let zerohop = start();
        let line = zerohop.log_line(&["nothing is intercepted, until this has changed: the firewall drops"]);
        assert_eq!((active(&zerohop), tables(&nft).len()), (0, 0));
        assert!(!has(ip, "10.96.0.10/32"), "nor is its address taken");
        assert_eq!(from_the_node(NODE), ["10.0.0.1"], "what is our own goes on");
        let command = line.split('`').find(|part| part.starts_with("nft insert rule")).unwrap();
        assert!(Command::new("sh").args(["-c", command]).status().unwrap().success(), "{command}");
        drop(zerohop);
        let zerohop = start();
        assert_eq!(active(&zerohop), 1);
        assert_eq!([false, true].map(|over_tcp| pod.asks(CLUSTER_IP, "a.own.example.", over_tcp)), [["10.0.0.1"]; 2]);
    });
}

#[test]
fn the_policy_of_iptables_is_seen_as_well() {
    let (Some(_), Some(iptables)) = (Nft::found(), find("iptables-nft", "iptables")) else { return };
    alone(|_| {
        let run = |arguments: &str| {
            let status = Command::new(&iptables).args(arguments.split(' ')).status();
            assert!(status.unwrap().success(), "iptables {arguments}");
        };
        run("-A INPUT -i lo -j ACCEPT");
        run("-P INPUT DROP");
        let zerohop = start();
        zerohop.log_line(&["the policy of the chain", "ip filter INPUT", "is drop"]);
        assert_eq!(active(&zerohop), 0);
        drop(zerohop);
        run("-I INPUT -d 10.96.0.10 -p udp --dport 53 -m comment --comment zerohop -j ACCEPT");
        assert_eq!(active(&start()), 1);
    });
}

#[test]
fn ipvs_is_refused_and_what_comes_later_ends_it() {
    let Some(nft) = Nft::found() else { return };
    alone(|ip| {
        ip.run("link add kube-ipvs0 type veth peer name peer");
        ip.run("address add 10.96.0.10/32 dev kube-ipvs0");
        let zerohop = start();
        zerohop.log_line(&["10.96.0.10 is on kube-ipvs0: kube-proxy in IPVS mode"]);
        assert_eq!((active(&zerohop), tables(&nft).len()), (0, 0));
        assert_eq!(from_the_node(NODE), ["10.0.0.1"]);
        ip.run("address del 10.96.0.10/32 dev kube-ipvs0");
        until_within(SOON, "interception", || (active(&zerohop) == 1).then_some(()));
        assert_eq!(from_the_node(CLUSTER_IP), ["10.0.0.1"]);
        ip.run("address add 10.96.0.10/32 dev kube-ipvs0");
        until_within(SOON, "its end", || (active(&zerohop) == 0).then_some(()));
        assert!(tables(&nft).is_empty() && zerohop.metrics().sum("zerohop_interface_right", &[]) == 1);
    });
}

#[test]
fn an_intercepted_address_that_is_deleted_comes_back() {
    let Some(_) = Nft::found() else { return };
    alone(|ip| {
        let zerohop = start();
        let device = if has(ip, "10.96.0.10/32") && ip.can("link show dev zerohop0") { "zerohop0" } else { "lo" };
        ip.run(&format!("address del 10.96.0.10/32 dev {device}"));
        until_within(SOON, "the address", || has(ip, "10.96.0.10/32").then_some(()));
        assert_eq!((active(&zerohop), from_the_node(CLUSTER_IP)), (1, vec!["10.0.0.1".to_owned()]));
    });
}

#[test]
fn what_cannot_be_looked_into_is_warned_of() {
    let (Some(_), Some(iptables)) = (Nft::found(), find("iptables-legacy", "iptables")) else { return };
    alone(|_| {
        // To look is to have the table made.
        if !Command::new(&iptables).arg("--list").output().unwrap().status.success() {
            return say_skipped("a kernel with the tables of iptables-legacy");
        }
        let zerohop = start();
        zerohop.log_line(&["iptables-legacy has a filter table on this node", "169.254.20.10 10.96.0.10"]);
        assert_eq!(active(&zerohop), 1);
    });
}

#[test]
fn without_the_capability_nothing_is_intercepted_and_our_own_address_goes_on() {
    let Some(setpriv) = find("setpriv", "util-linux") else { return };
    alone(|ip| {
        let device = if ip.can("link add zerohop0 type dummy") { "zerohop0" } else { "lo" };
        ip.run(&format!("address add 169.254.20.10/32 dev {device}"));
        ip.run(&format!("link set {device} up"));
        let sections = format!("{OWN}{INTERCEPT}");
        let zerohop = Zerohop::by(without_net_admin(&setpriv), NODE.parse().unwrap(), &sections);
        zerohop.log_line(&["nothing is intercepted", "rules of nftables need CAP_NET_ADMIN"]);
        assert_eq!((active(&zerohop), from_the_node(NODE)), (0, vec!["10.0.0.1".to_owned()]));
    });
}

#[test]
fn two_instances_have_a_table_each_and_it_goes_with_its_own() {
    let Some(nft) = Nft::found() else { return };
    alone(|_| {
        let first = start();
        let of_first = tables(&nft);
        let sections = format!("{OWN}[interface]\nname = 'other0'\nintercept = ['10.96.0.11']\n");
        let second = Zerohop::at("169.254.20.11:53".parse().unwrap(), &sections);
        assert_eq!(tables(&nft).len(), 2);
        drop(second);
        until("the end of one table", || (tables(&nft) == of_first).then_some(()));
        assert_eq!(from_the_node(CLUSTER_IP), ["10.0.0.1"]);
        drop(first);
        until("the end of the other", || tables(&nft).is_empty().then_some(()));
    });
}

#[test]
fn what_is_intercepted_stays_so_when_a_standby_takes_over() {
    let Some(nft) = Nft::found() else { return };
    alone(|ip| {
        let pod = Pod::beside(ip);
        let kube_dns = KubeDns::behind(&nft);
        let mut zerohop = start();
        let asks = || pod.asks(CLUSTER_IP, "a.own.example.", false);
        let (heir, is_over) = (zerohop.standby("log-1"), AtomicBool::new(false));
        thread::scope(|scope| {
            let asking = scope.spawn(|| {
                while !is_over.load(Relaxed) {
                    assert_eq!(asks(), ["10.0.0.1"]);
                }
            });
            zerohop.succeed(heir, Signal::SIGTERM);
            is_over.store(true, Relaxed);
            asking.join().unwrap();
        });
        assert!(has(ip, "10.96.0.10/32"));
        assert_eq!((active(&zerohop), tables(&nft).len()), (1, 1));
        let heir = zerohop.standby("log-2");
        zerohop.succeed(heir, Signal::SIGKILL);
        until("interception by the heir", || (asks() == ["10.0.0.1"]).then_some(()));
        assert!(has(ip, "10.96.0.10/32"));
        assert_eq!((active(&zerohop), tables(&nft).len()), (1, 1));
        drop(kube_dns);
    });
}
