//! Lookups against a model that follows the words of RFC 4592 and RFC 1034, section 4.3.2.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use crate::dns::Name;
use crate::zone::tests::{ask, name, table, zone};

/// A zone as its file says it: the types at each owner. The data of every record tells its owner.
type Owners = BTreeMap<Name, BTreeSet<&'static str>>;

fn label() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["a", "b", "*"])
}

fn a_name() -> impl Strategy<Value = String> {
    let labels = prop::collection::vec(label(), 0..5);
    labels.prop_map(|labels| labels.into_iter().map(|label| format!("{label}.")).chain(["z.".to_owned()]).collect())
}

fn owners() -> impl Strategy<Value = Owners> {
    let rtype = prop::sample::select(vec!["TXT", "TXT", "PTR", "NS", "DS", "CNAME"]);
    prop::collection::vec((a_name(), rtype), 0..8).prop_map(|records| {
        let mut owners = Owners::new();
        for (owner, rtype) in records {
            owners.entry(name(&owner)).or_default().insert(rtype);
        }
        for (owner, types) in &mut owners {
            // A CNAME stands alone (RFC 1034, section 3.6.2), and never at an apex, where a SOA is.
            if types.contains("CNAME") && *owner != name("z.") {
                types.retain(|rtype| *rtype == "CNAME");
            } else {
                types.remove("CNAME");
            }
        }
        owners.retain(|_, types| !types.is_empty());
        owners
    })
}

/// The data, as hickory prints it.
fn data(owner: &Name, rtype: &str) -> String {
    match rtype {
        // 1 8 2 00
        "DS" => "AAEIAgA=".to_owned(),
        "CNAME" => "elsewhere.".to_owned(),
        _ => owner.to_string(),
    }
}

/// The names from the apex down to `qname`.
fn way_down(qname: &Name) -> Vec<Name> {
    let mut above: Vec<Name> = std::iter::successors(Some(qname.clone()), Name::parent).collect();
    above.reverse();
    above.split_off(1)
}

/// What a client is told about `qname`.
fn model(owners: &Owners, qname: &Name, rtype: &str) -> String {
    let has = |owner: &Name, rtype: &str| owners.get(owner).is_some_and(|types| types.contains(rtype));
    let is_cut = |owner: &Name| *owner != name("z.") && has(owner, "NS");
    let is_seen = |owner: &Name| way_down(owner).iter().all(|above| above == owner || !is_cut(above));
    let existing: BTreeSet<Name> =
        owners.keys().filter(|owner| is_seen(owner)).flat_map(way_down).chain([name("z.")]).collect();

    if let Some(cut) = way_down(qname).iter().find(|above| is_cut(above)) {
        // A cut belongs to the zone below, all but its DS records (RFC 4035, section 3.1.4.1).
        return if cut == qname && rtype == "DS" { at(owners, cut, qname, rtype) } else { "REFUSED".to_owned() };
    }
    if existing.contains(qname) {
        return at(owners, qname, qname, rtype);
    }
    // RFC 4592, section 3.3.1: the closest encloser, and the asterisk right below it.
    let encloser = way_down(qname).into_iter().rfind(|above| existing.contains(above)).unwrap();
    let source = Name::from_text("*", &encloser).unwrap();
    match existing.contains(&source) {
        false => "NXDOMAIN aa [z. 5 SOA]".to_owned(),
        // RFC 4592, section 4.2, leaves it open; we delegate to nobody.
        true if is_cut(&source) => "REFUSED".to_owned(),
        true => at(owners, &source, qname, rtype),
    }
}

/// The records of `source`, for somebody who asked for `qname`.
fn at(owners: &Owners, source: &Name, qname: &Name, rtype: &str) -> String {
    let types = owners.get(source).cloned().unwrap_or_default();
    if types.contains(rtype) {
        format!("NOERROR aa {qname} 30 {rtype} {};", data(source, rtype))
    } else if types.contains("CNAME") {
        format!("NOERROR aa {qname} 30 CNAME elsewhere.; -> elsewhere.")
    } else {
        "NOERROR aa [z. 5 SOA]".to_owned()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn every_name_is_found_as_the_words_say(
        owners in owners(),
        questions in prop::collection::vec((a_name(), prop::sample::select(vec!["TXT", "PTR", "NS", "DS", "CNAME"])), 1..10),
    ) {
        let lines = |(owner, types): (&Name, &BTreeSet<&'static str>)| {
            types.iter().map(|rtype| format!("{owner} {rtype} {}", data(owner, rtype).replace("AAEIAgA=", "1 8 2 00"))).collect::<Vec<_>>()
        };
        let records: Vec<String> = owners.iter().flat_map(lines).collect();
        let table = table(&[zone("z.", &records.iter().map(String::as_str).collect::<Vec<_>>())]);
        for (qname, rtype) in questions {
            let expected = model(&owners, &name(&qname), rtype);
            prop_assert_eq!(ask(&table, &qname, rtype), expected, "{} {} of {:?}", qname, rtype, records);
        }
    }
}
