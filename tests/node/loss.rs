//! A real server behind a network that loses packets.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType::A;

use super::client::Ask;
use super::firewall::Firewall;
use super::harness::Zerohop;
use super::namespace::inside;
use super::peers::unbound;
use super::wait::now;

/// What a stub waits.
const CLIENT: Duration = Duration::from_secs(5);
/// Clients that ask one after the other.
const CLIENTS: usize = 32;

/// 30,000 questions in the long run.
#[test]
fn one_upstream_that_loses_every_fifth_packet_answers_nearly_everything() {
    let each = if std::env::var_os("ZEROHOP_LONG").is_some() { 940 } else { 50 };
    inside(&["127.0.0.1"], || {
        let Some(server) = unbound(&[("example", "* A 192.0.2.1\n")]) else { return };
        let zone = format!("[[zone]]\nname = \".\"\nforward = [\"{}\"]", server.address);
        let zerohop = Zerohop::start(&zone);
        let Some(firewall) = Firewall::new() else { return };
        firewall.lose_every_fifth(server.address);
        let (unanswered, longest) = (AtomicUsize::new(0), AtomicU64::new(0));
        thread::scope(|scope| {
            for client in 0..CLIENTS {
                let (unanswered, longest, address) = (&unanswered, &longest, zerohop.address);
                scope.spawn(move || {
                    for number in 0..each {
                        let asked = now();
                        let reply = Ask::new(&format!("n{client}-{number}.example."), A).udp_within(CLIENT, address);
                        let good = reply.is_some_and(|reply| reply.rcode() == ResponseCode::NoError);
                        unanswered.fetch_add(usize::from(!good), Relaxed);
                        longest.fetch_max(u64::try_from(asked.elapsed().as_millis()).unwrap(), Relaxed);
                    }
                });
            }
        });
        let (asked, unanswered) = (CLIENTS * each, unanswered.into_inner());
        let sent = zerohop.metrics().sum("zerohop_upstream_queries_total", &[]);
        println!("{unanswered} of {asked} unanswered, {sent} sent upstream, the longest took {longest:?} ms");
        // Three in 30,000: of so few as in the short run, none.
        assert!(unanswered * 10_000 <= asked, "{unanswered} of {asked}");
        assert!(sent > (asked + asked / 8) as u64, "packets were lost: {sent} for {asked}");
    });
}
