//! Servers over TLS whose certificates, authorities and addresses change while they are asked.

use std::fs::{copy, read_to_string, write};
use std::path::Path;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType::A;

use super::certificates::{Authority, Certified};
use super::client::ask;
use super::doh_server::{DohServer, Ending};
use super::dot::sections;
use super::harness::Zerohop;
use super::load::{Load, run_while};
use super::peers::unbound_tls;
use super::recorder::Recorder;
use super::tls_server::TlsServer;
use super::wait::{PATIENCE, until, until_within};

const NAME: &str = "dns.b.example";

/// Writes these authorities, and waits until they are taken up.
fn trust(zerohop: &Zerohop, ca: &Path, authorities: &[&Authority]) {
    let (before, _) = zerohop.reloads();
    let texts: Vec<String> = authorities.iter().map(|authority| read_to_string(authority.file()).unwrap()).collect();
    write(ca, texts.concat()).unwrap();
    until("other authorities", || (zerohop.reloads().0 > before).then_some(()));
}

#[test]
fn other_certificates_of_another_authority_lose_no_question() {
    let (old, new) = (Authority::new(), Authority::new());
    let zones = [("example", "* A 192.0.2.1\n")];
    let shown = ["one", "two"].map(|label| old.certify_as(label, &[NAME]));
    let start = |Certified { certificate, key }: &Certified| unbound_tls(&zones, certificate, key);
    let (Some(one), Some(two)) = (start(&shown[0]), start(&shown[1])) else { return };
    let directory = tempfile::tempdir().unwrap();
    let ca = directory.path().join("ca.pem");
    copy(old.file(), &ca).unwrap();
    let mut servers = [one, two];
    let spelled = servers.each_ref().map(|(_, address)| format!("tls://{address}#{NAME}"));
    let zerohop = Zerohop::start(&sections(&spelled, &ca, ""));
    let load = Load::new(1200, 200);
    let [seen] = run_while(zerohop.address, [(&load, "example.")], || {
        load.until_sent(200);
        trust(&zerohop, &ca, &[&old, &new]);
        for (place, (server, _)) in servers.iter_mut().enumerate() {
            load.until_sent(400 + 200 * u16::try_from(place).unwrap());
            let renewed = new.certify(&[NAME]);
            copy(&renewed.certificate, &shown[place].certificate).unwrap();
            copy(&renewed.key, &shown[place].key).unwrap();
            server.restart();
        }
        load.until_sent(800);
        trust(&zerohop, &ca, &[&new]);
    });
    println!("{} failed: p99 {:?}, max {:?}", seen.failed.len(), seen.percentile(99), seen.max());
    assert!(seen.failed.is_empty(), "{:#?}", seen.failed);
    // It was the new certificates that they have shown since.
    trust(&zerohop, &ca, &[&old]);
    assert_eq!(ask(zerohop.address, "later.example.", A).rcode(), ResponseCode::ServFail);
    for server in &spelled {
        zerohop.log_line(&["signed by nobody that is trusted", server]);
    }
}

#[test]
fn many_reloads_leave_no_connection_and_no_descriptor_behind() {
    let authorities = [Authority::new(), Authority::new()];
    let tls = authorities.each_ref().map(|authority| TlsServer::start(&authority.certify(&[NAME]), None, usize::MAX));
    let https = authorities
        .each_ref()
        .map(|authority| DohServer::start(&authority.certify(&[NAME]), usize::MAX, Ending::Goodbye));
    let plain = Recorder::answering([192, 0, 2, 1]);
    let upstreams = |turn: usize| {
        let servers = [
            format!("tls://{}#{NAME}", tls[turn].address),
            format!("https://{}#{NAME}", https[turn].address),
            format!("tcp://{}", plain.address),
        ];
        sections(&servers, &authorities[turn].file(), "policy = \"round-robin\"")
    };
    let zerohop = Zerohop::start(&upstreams(0));
    let count = |family: &str| zerohop.metrics().sum(family, &[]);
    let ask_all = |round: usize| {
        for number in 0..12 {
            assert_eq!(ask(zerohop.address, &format!("n{round}-{number}.example."), A).data(A), ["192.0.2.1"]);
        }
    };
    ask_all(0);
    let descriptors = count("process_open_fds");
    for round in 1..=20 {
        zerohop.reload(&upstreams(round % 2));
        ask_all(round);
    }
    // One to each server and worker. Half of what an idle connection would have: it is not that which
    // ends them.
    let soon = PATIENCE / 2;
    until_within(soon, "no connection of before", || (count("zerohop_upstream_connections") <= 6).then_some(()));
    // As many more as one round has: the first may not have opened all of its own.
    let most = descriptors + 12;
    until_within(soon, "no descriptor of before", || (count("process_open_fds") <= most).then_some(()));
}
