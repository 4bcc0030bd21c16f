//! What makes replies hard to forge: ports of their own, and names in random case, which real
//! servers send back as they came.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use hickory_proto::rr::RecordType::A;

use super::client::{Ask, ask};
use super::harness::Zerohop;
use super::peers;
use super::recorder::Recorder;

const HARD_TO_FORGE: &str = "source-port = \"per-query\"\ncase-randomization = true\n";

#[test]
fn each_question_leaves_from_a_port_of_its_own_and_in_another_case() {
    let seen: Arc<Mutex<Vec<(u16, String)>>> = Arc::default();
    let heard = Arc::clone(&seen);
    let upstream = Recorder::scripted(move |asked| {
        heard.lock().unwrap().push((asked.port(), asked.query.queries[0].name().to_string()));
        asked.answer_a([192, 0, 2, 1], 300);
    });
    let zerohop = Zerohop::start(&format!(
        "[[upstream]]\nname = \"far\"\nservers = [\"{}\"]\n{HARD_TO_FORGE}[[zone]]\nname = \".\"\nforward = [\"far\"]",
        upstream.address
    ));
    for number in 0..40 {
        let name = format!("a-name-with-many-letters-{number}.eXample.");
        let reply = ask(zerohop.address, &name, A);
        assert_eq!(reply.data(A), ["192.0.2.1"]);
        assert!(reply.question().windows(7).any(|octets| octets == b"eXample"), "the client has its own spelling back");
    }
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 40);
    let ports: HashSet<u16> = seen.iter().map(|(port, _)| *port).collect();
    assert!(ports.len() > 30, "{} ports", ports.len());
    assert!(seen.iter().all(|(_, name)| *name != name.to_lowercase() && *name != name.to_uppercase()), "{seen:?}");
}

#[test]
fn real_servers_send_the_name_back_as_it_came_and_nothing_goes_over_tcp() {
    let zone = ("example", "www A 192.0.2.1\nalias CNAME www\n*.wild A 192.0.2.2\n");
    let of_dnsmasq =
        "host-record=www.example,192.0.2.1\ncname=alias.example,www.example\naddress=/wild.example/192.0.2.2\n";
    let servers = [peers::nsd(&[zone]), peers::unbound(&[zone]), peers::powerdns(&[zone]), peers::dnsmasq(of_dnsmasq)];
    for server in servers.into_iter().flatten() {
        let zerohop = Zerohop::start(&format!(
            "[[upstream]]\nname = \"far\"\nservers = [\"{}\"]\n{HARD_TO_FORGE}[[zone]]\nname = \".\"\nforward = [\"far\"]",
            server.address
        ));
        for number in 0..10 {
            let name = format!("some-letters-{number}.wild.example.");
            assert_eq!(ask(zerohop.address, &name, A).data(A), ["192.0.2.2"], "{name}");
        }
        let reply = Ask::new("alias.example.", A).udp(zerohop.address);
        assert_eq!(reply.data(A), ["192.0.2.1"]);
        assert!(
            reply.answers()[0].ends_with("CNAME www.example."),
            "names in data are as the zone spells them: {:?}",
            reply.answers()
        );
        let over_tcp = zerohop.metrics().sum("zerohop_upstream_queries_total", &[("protocol", "tcp")]);
        assert_eq!(over_tcp, 0, "it kept the case");
    }
}
