//! Wildcards against a model that follows the words of RFC 4592.

use std::collections::BTreeSet;

use proptest::prelude::*;

use crate::dns::Name;
use crate::zone::tests::{ask, name, table, zone};

fn label() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["a", "b", "*"])
}

fn names(count: impl Into<prop::collection::SizeRange>) -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(
        prop::collection::vec(label(), 1..5).prop_map(|labels| format!("{}.z.", labels.join("."))),
        count,
    )
}

/// Whose data answers `qname`: the owner, or a denial.
fn model(owners: &BTreeSet<Name>, qname: &Name) -> String {
    let mut existing: BTreeSet<Name> = BTreeSet::from([name("z.")]);
    for owner in owners {
        let above = std::iter::successors(Some(owner.clone()), Name::parent);
        existing.extend(above.filter(|above| above.is_within(&name("z."))));
    }
    let answer = |source: &Name| if owners.contains(source) { source.to_string() } else { "NODATA".to_owned() };
    if existing.contains(qname) {
        return answer(qname);
    }
    let encloser = std::iter::successors(qname.parent(), Name::parent).find(|above| existing.contains(above)).unwrap();
    let source = Name::from_text("*", &encloser).unwrap();
    if existing.contains(&source) { answer(&source) } else { "NXDOMAIN".to_owned() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]
    #[test]
    fn wildcards_are_those_of_the_closest_encloser(owners in names(0..6), qnames in names(1..8)) {
        let records: Vec<String> = owners.iter().map(|owner| format!("{owner} TXT {owner}")).collect();
        let table = table(&[zone("z.", &records.iter().map(String::as_str).collect::<Vec<_>>())]);
        let owners = owners.iter().map(|owner| name(owner)).collect();
        for qname in qnames {
            let expected = match model(&owners, &name(&qname)).as_str() {
                "NODATA" => "NOERROR aa [z. 5 SOA]".to_owned(),
                "NXDOMAIN" => "NXDOMAIN aa [z. 5 SOA]".to_owned(),
                owner => format!("NOERROR aa {qname} 30 TXT {owner};"),
            };
            prop_assert_eq!(ask(&table, &qname, "TXT"), expected, "{}", qname);
        }
    }
}
