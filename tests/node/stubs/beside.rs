//! zerohop beside another nameserver, and questions that clients seldom ask.

use super::super::harness::Zerohop;
use super::super::namespace::{NODE, OTHER, inside};
use super::super::recorder::Recorder;
use super::super::wait::until;
use super::programs;

/// musl asks all nameservers at once and believes the first that knows or denies; glibc goes on at
/// REFUSED. A denial of what is not our business would end both.
#[test]
fn a_name_of_no_zone_is_left_to_the_other_nameserver() {
    for compile in [programs::glibc, programs::musl] {
        let directory = tempfile::tempdir().unwrap();
        let Some(program) = compile(directory.path()) else { continue };
        inside(&["169.254.20.10", "169.254.20.11"], || {
            let zerohop =
                Zerohop::at(NODE.parse().unwrap(), "[[zone]]\nname = 'own.example'\nrecords = ['a A 10.0.0.1']");
            let _other = Recorder::at(OTHER.parse().unwrap(), |asked| asked.answer_a([192, 0, 2, 1], 300));
            assert_eq!(program.resolve(&["elsewhere.example.".to_owned()]), ["elsewhere.example. 192.0.2.1"]);
            // musl does not wait for the slower one.
            until("A and AAAA to be refused", || {
                (zerohop.metrics().sum("zerohop_rejected_total", &[("reason", "no_zone")]) == 2).then_some(())
            });
        });
    }
}

/// It has no reader for HINFO, in which that answer comes (RFC 8482): it finds nothing, and no fault.
#[test]
fn c_ares_takes_the_short_answer_to_any() {
    let Some(program) = programs::c_ares_any() else { return };
    inside(&["169.254.20.10"], || {
        let _zerohop = Zerohop::at(NODE.parse().unwrap(), "[[zone]]\nname = 'own.example'\nrecords = ['a A 10.0.0.1']");
        assert_eq!(program.resolve(&["a.own.example.".to_owned()]), ["a.own.example. 0 records"]);
    });
}
