//! The zones of a cluster, forwarded to a server that plays kube-dns.

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType::{self, A, AAAA, PTR, SRV};

use super::client::{Ask, ask};
use super::harness::Zerohop;
use super::peers::{self, Peer, Zone};

/// Pods behind the headless service.
const PODS: usize = 300;
const HEADLESS: &str = "many.default.svc.cluster.local.";
/// Octets of a header, of an address record whose owner is a pointer, and of an OPT record.
const HEADER: usize = 12;
const ADDRESS_RECORD: usize = 16;
const OPT: usize = 11;

fn pod(number: usize) -> String {
    format!("10.244.{}.{}", number / 250, number % 250)
}

/// Names of a small cluster, as the DNS specification of Kubernetes has them.
fn with_cluster(test: impl Fn(&[Zone<'_>])) {
    let pods: String = (0..PODS).map(|number| format!("many.default.svc A {}\n", pod(number))).collect();
    let cluster = format!(
        "kubernetes.default.svc A 10.96.0.1\nweb.default.svc A 10.96.0.7\nweb.default.svc AAAA fd00::7\n\
         _https._tcp.kubernetes.default.svc SRV 0 100 443 kubernetes.default.svc\n\
         _http._tcp.web.default.svc SRV 0 50 80 web-0.web.default.svc\n\
         _http._tcp.web.default.svc SRV 0 50 80 web-1.web.default.svc\n\
         web-0.web.default.svc A 10.244.9.1\nweb-1.web.default.svc A 10.244.9.2\n{pods}"
    );
    let reverse_v4 = "1.0.96.10 PTR kubernetes.default.svc.cluster.local.\n";
    let reverse_v6 =
        "7.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f PTR web.default.svc.cluster.local.\n";
    test(&[("cluster.local", &cluster), ("in-addr.arpa", reverse_v4), ("ip6.arpa", reverse_v6)]);
}

fn zerohop_before(kube_dns: &Peer) -> Zerohop {
    Zerohop::start(&format!(
        r#"
        [[upstream]]
        name = "kube-dns"
        servers = ["{}"]
        [[zone]]
        names = ["cluster.local", "in-addr.arpa", "ip6.arpa"]
        forward = ["kube-dns"]
        negative-max-ttl = "5s"
        "#,
        kube_dns.address
    ))
}

fn the_cluster_resolves(kube_dns: &Peer) {
    let zerohop = zerohop_before(kube_dns);
    let known: [(&str, RecordType, &[&str]); 6] = [
        ("kubernetes.default.svc.cluster.local.", A, &["10.96.0.1"]),
        ("web.default.svc.cluster.local.", AAAA, &["fd00::7"]),
        (
            "_https._tcp.kubernetes.default.svc.cluster.local.",
            SRV,
            &["0 100 443 kubernetes.default.svc.cluster.local."],
        ),
        (
            "_http._tcp.web.default.svc.cluster.local.",
            SRV,
            &["0 50 80 web-0.web.default.svc.cluster.local.", "0 50 80 web-1.web.default.svc.cluster.local."],
        ),
        ("1.0.96.10.in-addr.arpa.", PTR, &["kubernetes.default.svc.cluster.local."]),
        (
            "7.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa.",
            PTR,
            &["web.default.svc.cluster.local."],
        ),
    ];
    for (name, rtype, data) in known {
        let question = Ask::new(name, rtype);
        for reply in
            [question.tcp(zerohop.address), question.udp(zerohop.address), question.edns(1232).udp(zerohop.address)]
        {
            assert_eq!((reply.rcode(), reply.truncated()), (ResponseCode::NoError, false), "{name} {rtype}");
            assert_eq!(reply.data(rtype), data, "{name} {rtype}");
        }
    }
    // What a pod asks for on its way through the search list.
    let unknown = ask(zerohop.address, "example.com.default.svc.cluster.local.", A);
    assert_eq!((unknown.rcode(), unknown.ttl()), (ResponseCode::NXDomain, 5));
    let nodata = ask(zerohop.address, "kubernetes.default.svc.cluster.local.", AAAA);
    assert_eq!((nodata.rcode(), nodata.answers().len(), nodata.ttl()), (ResponseCode::NoError, 0, 5));
    let outside = ask(zerohop.address, "example.com.", A);
    assert_eq!(outside.rcode(), ResponseCode::Refused, "no zone covers it");
}

/// Cold and hot: whole over TCP, as many records as fit over UDP, and never none.
fn a_large_service_comes_whole_or_marked(kube_dns: &Peer) {
    let mut all: Vec<String> = (0..PODS).map(pod).collect();
    all.sort();
    let zerohop = zerohop_before(kube_dns);
    let question = Ask::new(HEADLESS, A);
    let asked = question.octets().len() - HEADER;
    for _hot in [false, true] {
        for (limit, opt, reply) in [
            (512, 0, question.udp(zerohop.address)),
            (1232, OPT, question.clone().edns(1232).udp(zerohop.address)),
            (1232, OPT, question.clone().edns(4096).udp(zerohop.address)),
            (800, OPT, question.clone().edns(800).udp(zerohop.address)),
        ] {
            let fit = (limit - HEADER - asked - opt) / ADDRESS_RECORD;
            let data = reply.data(A);
            assert_eq!((data.len(), reply.truncated()), (fit, true), "{limit}");
            assert!(reply.octets.len() <= limit, "{} of {limit}", reply.octets.len());
            assert!(data.iter().all(|address| all.contains(address)));
        }
        let whole = question.tcp(zerohop.address);
        assert_eq!((whole.data(A), whole.truncated()), (all.clone(), false));
    }
}

#[test]
fn nsd_plays_kube_dns() {
    with_cluster(|zones| {
        let Some(kube_dns) = peers::nsd(zones) else { return };
        the_cluster_resolves(&kube_dns);
        a_large_service_comes_whole_or_marked(&kube_dns);
    });
}

#[test]
fn unbound_plays_kube_dns() {
    with_cluster(|zones| {
        let Some(kube_dns) = peers::unbound(zones) else { return };
        the_cluster_resolves(&kube_dns);
        a_large_service_comes_whole_or_marked(&kube_dns);
    });
}
