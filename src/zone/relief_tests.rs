//! Names that a forwarded zone keeps from its upstreams: those that are too deep, and `except`.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::tests::{ask, bare, forwarded, name, table, zone};
use super::*;

const NXDOMAIN: &str = "NXDOMAIN aa [cluster.local. 5 SOA]";

fn at_most(labels: usize, records: &[&str]) -> config::Zone {
    let mut zone = forwarded("cluster.local.", records);
    zone.forward.as_mut().unwrap().max_labels = Some(labels);
    zone
}

fn except(apex: &str, names: &[&str]) -> config::Zone {
    let mut zone = forwarded(apex, &[]);
    zone.forward.as_mut().unwrap().except = names.iter().map(|text| name(text)).collect();
    zone
}

#[test]
fn what_kubernetes_makes_is_forwarded_and_what_is_deeper_does_not_exist() {
    let table = table(&[at_most(4, &[])]);
    for known in [
        "cluster.local.",
        "web.default.svc.cluster.local.",
        "web-0.web.default.svc.cluster.local.",
        "10-0-0-1.web.default.svc.cluster.local.",
        "10-0-0-1.default.pod.cluster.local.",
        "_http._tcp.web.default.svc.cluster.local.",
        "_http._tcp.web-0.web.default.svc.cluster.local.",
        "_a._b._c._d._e.cluster.local.",
    ] {
        assert_eq!(ask(&table, known, "SRV"), "elsewhere", "{known}");
    }
    for walked in [
        "www.example.com.default.svc.cluster.local.",
        "a.www.example.com.svc.cluster.local.",
        "_http._tcp.www.example.com.default.svc.cluster.local.",
        "a._b.web.default.svc.cluster.local.",
    ] {
        for rtype in ["A", "AAAA", "SRV"] {
            assert_eq!(ask(&table, walked, rtype), NXDOMAIN, "{walked}");
        }
    }
}

#[test]
fn what_is_owned_is_answered_however_deep() {
    let mut deep = at_most(1, &["a.b.c A 10.0.0.1", "*.w.x A 10.0.0.2", "y.z.sub A 10.0.0.3", "z.sub NS ns"]);
    deep.patterns = vec![bare("^p[.]", Rcode::REFUSED)];
    let table = table(&[deep, zone("q.r.s.cluster.local.", &[])]);
    assert_eq!(ask(&table, "a.b.c.cluster.local.", "A"), "NOERROR aa a.b.c.cluster.local. 30 A 10.0.0.1;");
    assert_eq!(ask(&table, "1.2.w.x.cluster.local.", "A"), "NOERROR aa 1.2.w.x.cluster.local. 30 A 10.0.0.2;");
    assert_eq!(ask(&table, "p.b.c.cluster.local.", "A"), "REFUSED");
    assert_eq!(ask(&table, "q.b.c.cluster.local.", "A"), NXDOMAIN);
    // They exist: something of ours is below, a zone of others begins, or its parent is asked.
    assert_eq!(ask(&table, "b.c.cluster.local.", "A"), "elsewhere");
    assert_eq!(ask(&table, "z.sub.cluster.local.", "A"), "elsewhere");
    assert_eq!(ask(&table, "q.r.s.cluster.local.", "DS"), "elsewhere");
}

#[test]
fn an_excepted_name_belongs_to_the_next_enclosing_zone() {
    let zones = [
        forwarded(".", &[]),
        except("a.", &["y.a.", "u.a."]),
        except("b.a.", &["x.b.a.", "x.y.b.a."]),
        forwarded("deep.y.a.", &[]),
        except("u.a.", &["v.u.a."]),
    ];
    let table = table(&zones);
    let find = |text: &str, rtype| table.find(name(text).wire(), rtype);
    for (text, zone) in [
        ("a.", 1),
        ("z.a.", 1),
        ("y.a.", 0),
        ("q.y.a.", 0),
        ("ay.a.", 1),
        ("q.deep.y.a.", 3),
        ("x.b.a.", 1),
        ("y.b.a.", 2),
        ("x.y.b.a.", 1),
        ("u.a.", 4),
        // The zone above excepts it, too.
        ("v.u.a.", 0),
    ] {
        assert_eq!(find(text, RecordType::A), Some(zone), "{text}");
    }
    assert_eq!(find("deep.y.a.", RecordType::DS), Some(0));
    assert_eq!(find("y.a.", RecordType::DS), Some(0));
    let alone = tests::table(&[except("a.", &["y.a."])]);
    assert_eq!(ask(&alone, "q.y.a.", "A"), "no zone");
    assert_eq!(ask(&alone, "q.a.", "A"), "elsewhere");
}

/// Zones and what each of them excepts, in names of few letters, so that they meet.
fn zones() -> impl Strategy<Value = BTreeMap<String, BTreeSet<String>>> {
    let excepted = prop::collection::btree_set("([ab][.]){1,2}", 0..3);
    prop::collection::btree_map("[.]|([ab][.]){1,3}", excepted, 0..6)
}

proptest! {
    #[test]
    fn a_name_belongs_to_the_nearest_zone_that_does_not_except_it(zones in zones(), asked in "([ab][.]){1,6}") {
        let below = |apex: &str, label: &String| format!("{label}{}", apex.trim_start_matches('.'));
        let zones: Vec<(String, Vec<String>)> = zones
            .into_iter()
            .map(|(apex, labels)| (apex.clone(), labels.iter().map(|label| below(&apex, label)).collect()))
            .collect();
        let built: Vec<config::Zone> = zones
            .iter()
            .map(|(apex, names)| except(apex, &names.iter().map(String::as_str).collect::<Vec<_>>()))
            .collect();
        let asked = name(&asked);
        let keeps = |zone: &&config::Zone| {
            let names = &zone.forward.as_ref().unwrap().except;
            asked.is_within(&zone.name) && names.iter().all(|except| !asked.is_within(except))
        };
        let nearest = built.iter().filter(keeps).max_by_key(|zone| zone.name.wire().len());
        let table = table(&built);
        let found = table.find(asked.wire(), RecordType::A).map(|zone| table.zone(zone).name());
        prop_assert_eq!(found, nearest.map(|zone| &zone.name));
    }
}
