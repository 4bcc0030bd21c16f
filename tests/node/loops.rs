//! Forwarding loops: found while they are there, led round, and forgotten when they are opened.

use std::net::{SocketAddr, UdpSocket};
use std::thread;
use std::time::Duration;

use hickory_proto::rr::RecordType::A;
use nix::sys::signal::Signal;

use super::client::Ask;
use super::harness::Zerohop;
use super::peers;
use super::process::free_address;
use super::recorder::Recorder;
use super::wait::until_within;

/// Within this a loop is found, which takes a second and three, or found to be open, up to five and three.
const PATIENCE: Duration = Duration::from_secs(30);

fn is_looping(zerohop: &Zerohop, server: SocketAddr) -> bool {
    zerohop.metrics().sum("zerohop_upstream_loop", &[("server", &server.to_string())]) == 1
}

/// Asks for new names until the metric says that this server leads back, or does not any more.
fn ask_until(zerohop: &Zerohop, server: SocketAddr, looping: bool, names: &mut impl Iterator<Item = String>) {
    let what = format!("a loop through {server}: {looping}");
    until_within(PATIENCE, &what, || {
        Ask::new(&names.next()?, A).try_udp(zerohop.address);
        (is_looping(zerohop, server) == looping).then_some(())
    });
}

fn names() -> impl Iterator<Item = String> {
    (0..).map(|number| format!("n{number}.example."))
}

/// A server that answers every question with 192.0.2.1, those that tell of loops, too. Its thread ends
/// with the test process.
fn outside() -> SocketAddr {
    let socket = until_within(PATIENCE, "a free port", || UdpSocket::bind(free_address()).ok());
    let address = socket.local_addr().unwrap();
    thread::spawn(move || {
        let mut buffer = [0; 1500];
        loop {
            let (length, from) = socket.recv_from(&mut buffer).unwrap();
            let question = 12 + buffer[12..length].iter().position(|&octet| octet == 0).unwrap() + 5;
            let mut reply = buffer[..question].to_vec();
            reply[2] |= 0x80;
            reply[6..12].copy_from_slice(&[0, 1, 0, 0, 0, 0]);
            reply.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 44, 0, 4, 192, 0, 2, 1]);
            // Whoever asked may be gone.
            let _ = socket.send_to(&reply, from);
        }
    });
    address
}

fn two_servers(first: SocketAddr, second: SocketAddr) -> String {
    format!(
        "[[upstream]]\nname = \"two\"\nservers = [\"{first}\", \"{second}\"]\npolicy = \"sequential\"\n\
         [[zone]]\nname = \".\"\nforward = [\"two\"]\n"
    )
}

#[test]
fn a_loop_through_dnsmasq_is_led_round_and_forgotten_when_it_is_opened() {
    let directory = tempfile::tempdir().unwrap();
    let servers = directory.path().join("servers");
    std::fs::write(&servers, "").unwrap();
    let lines = format!("cache-size=0\nservers-file={}\n", servers.display());
    let Some(dnsmasq) = peers::dnsmasq(&lines) else { return };
    let has = |server: SocketAddr| {
        std::fs::write(&servers, format!("server={}#{}\n", server.ip(), server.port())).unwrap();
        dnsmasq.signal(Signal::SIGHUP);
    };
    let (behind, second) = (Recorder::answering([192, 0, 2, 9]), Recorder::answering([192, 0, 2, 1]));
    let zerohop = Zerohop::at(free_address(), &two_servers(dnsmasq.address, second.address));
    let mut names = names();
    has(zerohop.address);
    ask_until(&zerohop, dnsmasq.address, true, &mut names);
    let line = zerohop.log_line(&["a forwarding loop", &dnsmasq.address.to_string()]);
    assert!(line.contains("Have it forward elsewhere") && line.contains("two"), "{line}");
    // From now on nobody asks it, and nobody waits for it.
    let asked = || zerohop.metrics().sum("zerohop_upstream_queries_total", &[("server", &dnsmasq.address.to_string())]);
    let before = asked();
    for name in names.by_ref().take(20) {
        assert_eq!(Ask::new(&name, A).udp(zerohop.address).data(A), ["192.0.2.1"]);
    }
    assert_eq!(asked(), before);
    assert!(zerohop.metrics().sum("zerohop_loop_checks_returned_total", &[]) > 0);
    // What came back was no client's question, and none of those that others were asked.
    assert!(second.questions().iter().all(|question| !question.contains("TXT")), "{:?}", second.questions());
    assert_eq!(zerohop.metrics().sum("zerohop_requests_total", &[("type", "TXT")]), 0);

    has(behind.address);
    ask_until(&zerohop, dnsmasq.address, false, &mut names);
    zerohop.log_line(&["the forwarding loop has ended", &dnsmasq.address.to_string()]);
    assert_eq!(Ask::new(&names.next().unwrap(), A).udp(zerohop.address).data(A), ["192.0.2.9"]);
}

#[test]
fn names_that_a_resolver_keeps_to_itself_hide_no_loop_through_it() {
    let address = free_address();
    let Some(unbound) = peers::unbound_forwarding(address) else { return };
    let second = Recorder::answering([192, 0, 2, 1]);
    let zerohop = Zerohop::at(address, &two_servers(unbound.address, second.address));
    ask_until(&zerohop, unbound.address, true, &mut names());
}

#[test]
fn two_instances_that_forward_to_each_other_find_a_way_out() {
    let outside = outside();
    let [a, b] = [free_address(), free_address()];
    let b_to_a = Zerohop::at(b, &format!("[[zone]]\nname = \".\"\nforward = [\"{a}\"]\n"));
    let a_to_b = Zerohop::at(a, &two_servers(b, outside));
    let mut names = names();
    ask_until(&a_to_b, b, true, &mut names);
    for name in names.by_ref().take(20) {
        assert_eq!(Ask::new(&name, A).udp(a).data(A), ["192.0.2.1"]);
    }
    // The other has nobody else to ask, and has learnt that the first does not need it.
    let returned = || b_to_a.metrics().sum("zerohop_loop_checks_returned_total", &[]);
    until_within(PATIENCE, "an answer through both", || {
        let reply = Ask::new(&names.next()?, A).try_udp(b)?;
        (reply.data(A) == ["192.0.2.1"] && !is_looping(&b_to_a, a)).then_some(())
    });
    assert!(is_looping(&a_to_b, b) && returned() > 0);
}
