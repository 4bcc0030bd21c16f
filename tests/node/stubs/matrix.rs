//! What every client gets of every kind of answer is what docs/clients.md says.

use std::collections::BTreeSet;
use std::thread;

use super::super::harness::Zerohop;
use super::super::namespace::{NODE, inside};
use super::programs::{self, Making, Program};
use super::upstream;

const PAGE: &str = include_str!("../../../docs/clients.md");

/// A column of the table, and the programs that it speaks of. Every program has names of its own,
/// so that nobody finds in the cache what another has asked for.
const CLIENTS: [(&str, &str, Making); 8] = [
    ("glibc", "glibc", programs::glibc),
    ("glibc", "python", programs::python),
    ("musl", "musl", programs::musl),
    ("Go", "go", programs::go),
    ("Go with cgo", "cgo", programs::cgo),
    ("c-ares", "cares", programs::c_ares),
    ("Node lookup", "lookup", programs::node_lookup),
    ("Java", "java", programs::java),
];

/// Names that nobody waits for twice.
const SLOW: [&str; 2] = ["dropped-1-0", "unasked-1-1"];

/// One cell of the table.
struct Cell {
    name: String,
    /// How many addresses there are of either family.
    has: (usize, usize),
    /// What the table says.
    says: String,
}

/// The cells below the head of one column, with the names as this client asks for them.
fn cells(column: &str, client: &str) -> Vec<Cell> {
    let rows: Vec<Vec<&str>> = PAGE
        .lines()
        .skip_while(|line| !line.starts_with("| answer | name |"))
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    let place = rows[0].iter().position(|head| *head == column).unwrap_or_else(|| panic!("no column {column}"));
    let cell = |row: &Vec<&str>| {
        let name = row[1].trim_matches('`');
        let (name, has) = match name.strip_suffix(".own.example") {
            Some(own) => (name.to_owned(), own_addresses(own)),
            None => {
                let (_, a, aaaa) = upstream::parts(name);
                (format!("{client}.{name}.stub.example"), (a, aaaa))
            }
        };
        // With a final dot, so that no search list has a say.
        Cell { name: format!("{name}."), has, says: row[place].to_owned() }
    };
    rows[2..].iter().map(cell).collect()
}

fn own_addresses(label: &str) -> (usize, usize) {
    match label {
        "both" => (1, 1),
        "many" => (60, 60),
        "alias" => (2, 2),
        _ => (1, 0),
    }
}

/// A zone of our own, and one that goes to the upstream.
pub(super) fn zones(upstream: &str) -> String {
    let (a, aaaa) = upstream::addresses(60, 60);
    let many = a.iter().map(|a| format!("'many A {a}'")).chain(aaaa.iter().map(|aaaa| format!("'many AAAA {aaaa}'")));
    format!(
        "[[zone]]\nname = 'own.example'\nrecords = ['one A 10.1.0.1', '*.wild A 10.1.0.1', 'both A 10.1.0.1', \
         'both AAAA fd00::1', 'alias CNAME all.chain-2-2.stub.example.', {}]\n\
         [[zone.match]]\npattern = '^host-(\\d+)\\.own\\.example$'\nanswer = ['A 10.1.0.$1']\n\
         [[zone]]\nname = 'stub.example'\nforward = ['{upstream}']",
        many.collect::<Vec<_>>().join(", ")
    )
}

/// Resolves the names of these cells, and says where it is neither as they say nor better.
fn differences(program: &Program, cells: &[&Cell]) -> Vec<String> {
    let names: Vec<String> = cells.iter().map(|cell| cell.name.clone()).collect();
    let lines = program.resolve(&names);
    let said = |cell: &Cell| {
        let answers: Vec<&str> =
            lines.iter().filter_map(|line| line.strip_prefix(&cell.name)?.strip_prefix(' ')).collect();
        let summary = summary(&answers, cell.has);
        let all = format!("{} + {}", cell.has.0, cell.has.1);
        (summary != cell.says && summary != all).then(|| format!("{}: {summary}, and not {}", cell.name, cell.says))
    };
    cells.iter().filter_map(|cell| said(cell)).collect()
}

/// What the table would say of these answers.
fn summary(answers: &[&str], has: (usize, usize)) -> String {
    let (a, aaaa) = upstream::addresses(has.0, has.1);
    // Whatever comes twice, or is no address of the name, shows as a word.
    let mut left: BTreeSet<String> = a.into_iter().chain(aaaa).collect();
    let (mut families, mut words) = ((0, 0), Vec::new());
    for answer in answers.iter().map(|answer| unabbreviated(answer)) {
        match left.take(&answer) {
            Some(address) if address.contains(':') => families.1 += 1,
            Some(_) => families.0 += 1,
            None => words.push(answer),
        }
    }
    match (families, words.join(" + ")) {
        ((a, aaaa), words) if words.is_empty() => format!("{a} + {aaaa}"),
        ((0, 0), words) => words,
        ((a, 0), words) => format!("{a} + {words}"),
        ((0, aaaa), words) => format!("{words} + {aaaa}"),
        ((a, aaaa), words) => format!("{a} + {aaaa} + {words}"),
    }
}

/// Java spells IPv6 addresses out, zeros and all.
fn unabbreviated(text: &str) -> String {
    text.parse::<std::net::IpAddr>().map_or_else(|_| text.to_owned(), |address| address.to_string())
}

#[test]
fn every_client_gets_of_every_answer_what_the_document_says() {
    inside(&["169.254.20.10"], || {
        let upstream = upstream::start();
        let zerohop = Zerohop::at(NODE.parse().unwrap(), &zones(&upstream.address.to_string()));
        let said: Vec<String> = thread::scope(|scope| {
            let clients = CLIENTS.map(|(column, client, program)| {
                // Under the test's name, in which a missing program is reported.
                let builder = thread::Builder::new().name(thread::current().name().unwrap_or(client).to_owned());
                let run = move || {
                    let directory = tempfile::tempdir().unwrap();
                    let Some(program) = program(directory.path()) else { return Vec::new() };
                    let cells = cells(column, client);
                    let (slow, quick): (Vec<&Cell>, Vec<&Cell>) =
                        cells.iter().partition(|cell| SLOW.iter().any(|name| cell.name.contains(name)));
                    let cold = differences(&program, &quick);
                    let hot = differences(&program, &quick);
                    let all = [cold, hot, differences(&program, &slow)].concat();
                    all.iter().map(|difference| format!("{client}: {difference}")).collect()
                };
                builder.spawn_scoped(scope, run).unwrap()
            });
            clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
        });
        assert!(said.is_empty(), "docs/clients.md is not true:\n{}", said.join("\n"));
        assert_eq!(zerohop.metrics().sum("zerohop_panics_total", &[]), 0);
    });
}
