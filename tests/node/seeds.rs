//! What zerohop was begun for: the jobs of dnsmasq and CoreDNS on a node, and forwarding by zone.

use std::net::SocketAddr;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType::{A, AAAA, CNAME, MX, NAPTR, SRV, TXT};

use super::client::{Ask, ask};
use super::harness::Zerohop;
use super::peers;
use super::recorder::Recorder;
use super::wait::until;

/// The names that a node cannot live without, and somewhere to forward all others.
fn node_names(upstream: SocketAddr) -> String {
    format!(
        r#"
        [[zone]]
        name = "cluster.example.com"
        forward = ["{upstream}"]
        records = ["api A 10.0.0.10", "api-int A 10.0.0.10", "*.apps A 10.0.0.20"]
        [[zone]]
        name = "."
        forward = ["{upstream}"]
        "#
    )
}

/// Names of that set-up, and their address.
const NODE_NAMES: [(&str, &str); 5] = [
    ("api.cluster.example.com.", "10.0.0.10"),
    ("api-int.cluster.example.com.", "10.0.0.10"),
    ("console.apps.cluster.example.com.", "10.0.0.20"),
    ("a.b.c.apps.cluster.example.com.", "10.0.0.20"),
    ("API.Cluster.Example.COM.", "10.0.0.10"),
];

#[test]
fn the_names_of_the_node_are_answered_with_every_upstream_dead() {
    let dead = Recorder::black_hole();
    let zerohop = Zerohop::start(&node_names(dead.address));
    for _hot in [false, true] {
        for (name, address) in NODE_NAMES {
            for reply in [Ask::new(name, A).udp(zerohop.address), Ask::new(name, A).tcp(zerohop.address)] {
                assert_eq!((reply.data(A), reply.authoritative()), (vec![address.to_owned()], true), "{name}");
            }
            let other = ask(zerohop.address, name, AAAA);
            assert_eq!((other.rcode(), other.answers().len()), (ResponseCode::NoError, 0), "{name}");
            assert_eq!(other.message.authorities.len(), 1, "NODATA says how long it holds");
        }
    }
    assert_eq!(dead.questions(), Vec::<String>::new());
    // The recorder does hear what is forwarded.
    assert!(Ask::new("elsewhere.example.org.", A).try_udp(zerohop.address).is_none());
    until("the one packet that is due", || (dead.packets() > 0).then_some(()));
}

#[test]
fn dnsmasq_with_the_same_names_says_the_same() {
    let Some(dnsmasq) = peers::dnsmasq(
        "host-record=api.cluster.example.com,10.0.0.10\nhost-record=api-int.cluster.example.com,10.0.0.10\n\
         address=/apps.cluster.example.com/10.0.0.20\n",
    ) else {
        return;
    };
    let dead = Recorder::black_hole();
    let zerohop = Zerohop::start(&node_names(dead.address));
    for (name, address) in NODE_NAMES {
        let (theirs, ours) = (ask(dnsmasq.address, name, A), ask(zerohop.address, name, A));
        assert_eq!(theirs.data(A), [address], "{name}");
        assert_eq!((theirs.rcode(), theirs.data(A)), (ours.rcode(), ours.data(A)), "{name}");
    }
}

#[test]
fn a_static_pod_answers_from_a_record_and_a_pattern_and_counts_per_zone() {
    let zerohop = Zerohop::start(
        r#"
        [[zone]]
        name = "hosts.example.com"
        records = ["registry A 10.0.0.30"]
        [[zone]]
        name = "nodes.example.com"
        [[zone.match]]
        pattern = '^ip-(?<a>\d+)-(?<b>\d+)-(?<c>\d+)-(?<d>\d+)\.nodes\.example\.com$'
        answer = ["A ${a}.${b}.${c}.${d}"]
        "#,
    );
    for number in 0..7 {
        let reply = ask(zerohop.address, "registry.hosts.example.com.", A);
        assert_eq!((reply.data(A), reply.authoritative()), (vec!["10.0.0.30".to_owned()], true));
        let reply = ask(zerohop.address, &format!("ip-10-1-2-{number}.nodes.example.com."), A);
        assert_eq!((reply.data(A), reply.authoritative()), (vec![format!("10.1.2.{number}")], true));
    }
    let reply = ask(zerohop.address, "ip-10-1-2-300.nodes.example.com.", A);
    assert_eq!(reply.rcode(), ResponseCode::NXDomain, "300 is no octet");
    let metrics = zerohop.metrics();
    for (zone, source, rcode, count) in [
        ("hosts.example.com.", "local", "NOERROR", 7),
        ("nodes.example.com.", "pattern", "NOERROR", 7),
        ("nodes.example.com.", "local", "NXDOMAIN", 1),
    ] {
        let labels = [("zone", zone), ("source", source), ("rcode", rcode)];
        assert_eq!(metrics.sum("zerohop_responses_total", &labels), count, "{labels:?}");
    }
    assert_eq!(metrics.sum("zerohop_requests_total", &[("zone", "hosts.example.com."), ("type", "A")]), 7);
    assert_eq!(metrics.sum("zerohop_requests_total", &[("zone", "nodes.example.com."), ("type", "A")]), 8);
}

#[test]
fn records_of_powerdns_come_back_whole() {
    let Some(powerdns) = peers::powerdns(&[(
        "voip.example",
        "pbx A 10.5.0.1\npbx A 10.5.0.2\npbx AAAA fd00::5\nwww CNAME alias\nalias CNAME pbx\n\
         @ MX 10 pbx\n@ MX 20 mail.elsewhere.invalid.\n_sip._udp SRV 10 60 5060 pbx\n_sip._udp SRV 20 0 5060 backup\n\
         backup A 10.5.0.9\n@ NAPTR 10 100 \"S\" \"SIP+D2U\" \"\" _sip._udp\n\
         e164 NAPTR 100 10 \"u\" \"E2U+sip\" \"!^.*$!sip:info@voip.example!\" .\n\
         txt TXT \"one\" \"two words\"\n",
    )]) else {
        return;
    };
    let zerohop = Zerohop::start(&format!("[[zone]]\nname = \"voip.example\"\nforward = [\"{}\"]", powerdns.address));
    for (name, rtype, count) in [
        ("pbx.voip.example.", A, 2),
        ("pbx.voip.example.", AAAA, 1),
        ("www.voip.example.", A, 4),
        ("www.voip.example.", CNAME, 1),
        ("voip.example.", MX, 2),
        ("_sip._udp.voip.example.", SRV, 2),
        ("voip.example.", NAPTR, 1),
        ("e164.voip.example.", NAPTR, 1),
        ("txt.voip.example.", TXT, 1),
        ("nowhere.voip.example.", A, 0),
    ] {
        let theirs = ask(powerdns.address, name, rtype);
        assert_eq!(theirs.message.answers.len(), count, "{name} {rtype}");
        let question = Ask::new(name, rtype);
        for ours in [question.udp(zerohop.address), question.udp(zerohop.address), question.tcp(zerohop.address)] {
            assert_eq!((ours.rcode(), ours.answers()), (theirs.rcode(), theirs.answers()), "{name} {rtype}");
            assert_eq!((ours.authoritative(), ours.truncated()), (false, false), "{name} {rtype}");
        }
    }
}

#[test]
fn one_zone_goes_to_the_central_server_and_the_rest_elsewhere() {
    let Some(central) = peers::nsd(&[("openmcp.cluster", "api A 10.1.0.1\n*.svc A 10.1.0.2\n")]) else { return };
    let Some(public) = peers::dnsmasq("address=/#/198.51.100.1\n") else { return };
    let zerohop = Zerohop::start(&format!(
        r#"
        [[zone]]
        name = "openmcp.cluster"
        forward = ["{}"]
        [[zone]]
        name = "."
        forward = ["{}"]
        "#,
        central.address, public.address,
    ));
    for (name, address) in [
        ("api.openmcp.cluster.", "10.1.0.1"),
        ("web.svc.openmcp.cluster.", "10.1.0.2"),
        ("example.com.", "198.51.100.1"),
        ("notopenmcp.cluster.", "198.51.100.1"),
        ("cluster.", "198.51.100.1"),
    ] {
        assert_eq!(ask(zerohop.address, name, A).data(A), [address], "{name}");
    }
    assert_eq!(ask(zerohop.address, "nowhere.openmcp.cluster.", A).rcode(), ResponseCode::NXDomain);
    let metrics = zerohop.metrics();
    let sent = |server: SocketAddr| metrics.sum("zerohop_upstream_queries_total", &[("server", &server.to_string())]);
    assert_eq!((sent(central.address), sent(public.address)), (3, 3));
}

#[test]
fn what_the_private_server_does_not_know_comes_from_the_public_one() {
    let Some(private) = peers::nsd(&[("corp.example", "db A 10.9.0.1\nboth A 10.9.0.2\n")]) else { return };
    let zone = ("corp.example", "www A 198.51.100.7\nboth TXT \"public\"\nboth A 198.51.100.8\n");
    let Some(public) = peers::unbound(&[zone]) else { return };
    let zerohop = Zerohop::start(&format!(
        r#"
        [[upstream]]
        name = "private"
        servers = ["{}"]
        [[upstream]]
        name = "public"
        servers = ["{}"]
        [[zone]]
        name = "corp.example"
        forward = ["private", "public"]
        next-on = ["NXDOMAIN", "NODATA", "SERVFAIL", "REFUSED", "TIMEOUT"]
        "#,
        private.address, public.address,
    ));
    for _hot in [false, true] {
        assert_eq!(ask(zerohop.address, "db.corp.example.", A).data(A), ["10.9.0.1"], "only the private one knows it");
        assert_eq!(ask(zerohop.address, "both.corp.example.", A).data(A), ["10.9.0.2"], "the private one goes first");
        assert_eq!(ask(zerohop.address, "www.corp.example.", A).data(A), ["198.51.100.7"], "NXDOMAIN moves on");
        assert_eq!(ask(zerohop.address, "both.corp.example.", TXT).data(TXT), ["public"], "NODATA moves on");
        let nobody = ask(zerohop.address, "nobody.corp.example.", A);
        assert_eq!(nobody.rcode(), ResponseCode::NXDomain, "both have said so");
    }
    drop(private);
    assert_eq!(ask(zerohop.address, "also.corp.example.", A).rcode(), ResponseCode::ServFail, "one of two is silent");
    let metrics = zerohop.metrics();
    let sent = |upstream| metrics.sum("zerohop_upstream_queries_total", &[("upstream", upstream)]);
    assert_eq!(sent("public"), 4, "the private one was enough for two of five, and the cache for the second round");
}
