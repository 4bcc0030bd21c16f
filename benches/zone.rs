//! What it costs to find the zone of a name and what we own there, and that ten thousand of
//! anything cost no more than one.
#![expect(clippy::unwrap_used, reason = "a bench may take what it sets up")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use zerohop::config::{Expression, OtherTypes, Pattern, Piece, Reaction, Template, Zone};
use zerohop::dns::zone_text::parse_record;
use zerohop::dns::{Name, Rcode, RecordType};
use zerohop::zone::ZoneTable;

fn name(text: &str) -> Name {
    Name::from_text(text, &Name::root()).unwrap()
}

fn zone(apex: &str, records: usize, patterns: usize) -> Zone {
    let apex = name(apex);
    let record = |n: usize| parse_record(&format!("host{n} A 10.{}.{}.{}", n >> 16, n >> 8 & 255, n & 255), &apex, 30);
    let pattern = |n: usize| {
        let text = format!(r"^ip-(\d+)-(\d+)\.rack{n}\.");
        let text = text + &regex::escape(apex.to_string().trim_end_matches('.')) + "$";
        let pieces = vec![Piece::Text("10.0.".into()), Piece::Group(1), Piece::Text(".".into()), Piece::Group(2)];
        Pattern {
            regex: Expression::new(&text, &Expression::parse(&text).unwrap()).unwrap(),
            reaction: Reaction::Answer(vec![Template { rtype: RecordType::A, pieces }]),
            ttl: 30,
        }
    };
    Zone {
        records: (0..records).map(|n| record(n).unwrap()).collect(),
        patterns: (0..patterns).map(pattern).collect(),
        name: apex,
        forward: None,
        ttl: 30,
        ptr: false,
        other_types: OtherTypes::Nodata,
        absent: Rcode::NXDOMAIN,
        special: false,
    }
}

fn own(c: &mut Criterion, id: &str, zones: &[Zone], qname: &str) {
    let table = ZoneTable::build(zones).unwrap();
    let qname = name(qname);
    c.bench_function(id, |b| {
        b.iter(|| {
            let zone = table.find(black_box(qname.wire()), RecordType::A)?;
            Some(table.zone(zone).own(qname.wire(), RecordType::A))
        });
    });
}

fn benches(c: &mut Criterion) {
    for count in [1, 10_000] {
        let mut zones: Vec<Zone> = (0..count).map(|n| zone(&format!("z{n}.example.com."), 1, 0)).collect();
        zones.push(zone(".", 0, 0));
        own(c, &format!("record, {count} zones"), &zones, "host0.z0.example.com.");
        own(c, &format!("no zone but the root, {count} zones"), &zones, "a.b.c.d.example.net.");
    }
    for count in [1, 100_000] {
        own(c, &format!("record, {count} records"), &[zone("example.com.", count, 0)], "host0.example.com.");
    }
    for count in [1, 1_000] {
        let zones = [zone("example.com.", 1, count)];
        own(c, &format!("pattern matches, {count} patterns"), &zones, "ip-1-2.rack0.example.com.");
        own(c, &format!("pattern does not match, {count} patterns"), &zones, "ip-1-x.rack0.example.com.");
        own(c, &format!("no pattern for the suffix, {count} patterns"), &zones, "www.example.com.");
    }
}

criterion_group!(zone_benches, benches);
criterion_main!(zone_benches);
