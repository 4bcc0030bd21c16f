//! What one packet costs on the line, from its octets to those of the reply: no sockets.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a bench may take what it sets up")]

mod setup;

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use zerohop::dns::Query;
use zerohop::handler::Handled;

use setup::{FRONTS, Line, QUESTIONS, packet};

fn parse(c: &mut Criterion) {
    let packet = packet("www.cluster.example.com.");
    c.bench_function("parse a question", |b| b.iter(|| Query::parse(black_box(&packet)).is_ok()));
}

/// The same question again and again: with a front it is a hit there, without one the zone or the
/// store behind is asked every time.
fn answers(c: &mut Criterion) {
    for (front, bytes) in FRONTS {
        let mut line = Line::new(bytes);
        for (what, name) in QUESTIONS {
            let packet = packet(name);
            c.bench_function(&format!("{what}, {front}"), |b| {
                b.iter(|| matches!(line.handle(&packet), Handled::Replied(_)) || panic!("no reply"));
            });
        }
    }
}

criterion_group!(line_benches, parse, answers);
criterion_main!(line_benches);
