//! One zone that two clusters know parts of, and everything else: answers outlive each server.

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType::{A, AAAA};
use nix::sys::signal::Signal;

use super::client::{Ask, ask};
use super::harness::Zerohop;
use super::peers::{self, Peer};
use super::wait::until;

const ONE: &str = "one.default.svc A 10.1.0.1\nboth.default.svc A 10.1.0.2\n*.spread.default.svc A 10.1.0.3\n\
     half.default.svc A 10.1.0.4\n";
const TWO: &str = "two.default.svc A 10.2.0.1\nboth.default.svc A 10.2.0.2\n*.spread.default.svc A 10.2.0.3\n\
     half.default.svc AAAA fd00::2\n*.far.default.svc A 10.2.0.5\n";

fn zerohop_before(one: &Peer, two: &Peer, public: &Peer) -> Zerohop {
    Zerohop::start(&format!(
        r#"
        [[upstream]]
        name = "kube-dns"
        servers = ["{}"]
        [[upstream]]
        name = "cluster-b"
        servers = ["{}"]
        [[zone]]
        name = "cluster.local"
        forward = ["kube-dns", "cluster-b"]
        next-on = ["NXDOMAIN", "NODATA", "SERVFAIL", "REFUSED", "TIMEOUT"]
        [[zone]]
        name = "."
        forward = ["{}"]
        "#,
        one.address, two.address, public.address,
    ))
}

/// Stops a server, so that it is silent while its port stays open, for as long as `test` takes.
fn without(peer: &Peer, test: impl FnOnce()) {
    let hears = || Ask::new("cluster.local.", A).try_udp(peer.address).is_some();
    peer.signal(Signal::SIGSTOP);
    until("silence", || (!hears()).then_some(()));
    test();
    peer.signal(Signal::SIGCONT);
    until("a reply", || hears().then_some(()));
}

#[test]
fn answers_survive_the_stop_of_each_server_in_turn() {
    let Some(one) = peers::powerdns(&[("cluster.local", ONE)]) else { return };
    let Some(two) = peers::powerdns(&[("cluster.local", TWO)]) else { return };
    let Some(public) = peers::unbound(&[("example.com", "www A 198.51.100.1\n*.new A 198.51.100.2\n")]) else { return };
    let zerohop = zerohop_before(&one, &two, &public);
    let address = |name: &str| {
        let reply = ask(zerohop.address, name, A);
        (reply.rcode(), reply.data(A).first().cloned().unwrap_or_default())
    };
    let is = |name: &str, data: &str| assert_eq!(address(name), (ResponseCode::NoError, data.to_owned()), "{name}");
    let fails = |name: &str, rcode| assert_eq!(address(name), (rcode, String::new()), "{name}");
    let known = [
        ("one.default.svc.cluster.local.", "10.1.0.1"),
        ("two.default.svc.cluster.local.", "10.2.0.1"),
        ("both.default.svc.cluster.local.", "10.1.0.2"),
        ("www.example.com.", "198.51.100.1"),
    ];
    let all_known = || known.iter().for_each(|(name, data)| is(name, data));
    all_known();
    let half = ask(zerohop.address, "half.default.svc.cluster.local.", AAAA);
    assert_eq!(half.data(AAAA), ["fd00::2"], "the first has the name and not the type");
    fails("neither.default.svc.cluster.local.", ResponseCode::NXDomain);

    without(&one, || {
        all_known();
        is("a.spread.default.svc.cluster.local.", "10.2.0.3");
        is("a.far.default.svc.cluster.local.", "10.2.0.5");
        is("a.new.example.com.", "198.51.100.2");
        // The silent one might know it.
        fails("neither-a.default.svc.cluster.local.", ResponseCode::ServFail);
    });
    without(&two, || {
        all_known();
        is("b.spread.default.svc.cluster.local.", "10.1.0.3");
        is("b.new.example.com.", "198.51.100.2");
        fails("neither-b.default.svc.cluster.local.", ResponseCode::ServFail);
    });
    without(&public, || {
        all_known();
        is("c.spread.default.svc.cluster.local.", "10.1.0.3");
        is("c.far.default.svc.cluster.local.", "10.2.0.5");
        fails("neither-c.default.svc.cluster.local.", ResponseCode::NXDomain);
    });
    is("d.spread.default.svc.cluster.local.", "10.1.0.3");
    is("d.far.default.svc.cluster.local.", "10.2.0.5");
    is("d.new.example.com.", "198.51.100.2");
    fails("neither-d.default.svc.cluster.local.", ResponseCode::NXDomain);
}
