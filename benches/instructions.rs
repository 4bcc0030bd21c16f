//! How many instructions one packet costs on the line, row by row, against a budget.
//!
//!   cargo bench --bench instructions              measures, and fails where a row grew
//!   cargo bench --bench instructions -- --renew   writes what it measured as the new budget
//!
//! Valgrind counts (Debian package valgrind). Unlike times, counts do not move with what else the
//! machine does; they do with the compiler and the C library, so that a budget holds for those it
//! names only.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a bench may take what it sets up")]

mod setup;

use std::collections::BTreeMap;
use std::env;
use std::hint::black_box;
use std::io::{Write, stdout};
use std::process::{Command, ExitCode};

use zerohop::dns::Query;
use zerohop::handler::Handled;

use setup::{FRONTS, Line, QUESTIONS, packet};

const BUDGET: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions.txt");
/// What goes before the budget in its file.
const HEAD: &str = "\
# Instructions for one question on the line. Written by `cargo bench --bench instructions -- --renew`.
# A row that grows by more than 2 % fails ci/test --all, if `measured with` is what the machine has.
";
/// Questions that a count is the mean of: a multiple of the 64 hits after which the front tells the
/// cache behind it.
const QUESTIONS_COUNTED: u64 = 1024;
/// How often a row is counted, of which the lowest stands: random keys fall into tables now better,
/// now worse.
const TIMES: usize = 2;
/// By how much a row may pass its budget, in percent.
const TOLERANCE: u64 = 2;
/// The function that counting is turned on for. Its symbol has a hash behind its name.
const COUNTED: &str = "*count_this*";

/// Counts, and what they depend on beside our code.
struct Budget {
    measured_with: String,
    instructions: BTreeMap<String, u64>,
}

impl Budget {
    fn read(text: &str) -> Self {
        let lines = text.lines().filter_map(|line| line.split_once(" = "));
        let (mut measured_with, mut instructions) = (String::new(), BTreeMap::new());
        for (name, value) in lines {
            match name {
                MEASURED_WITH => value.clone_into(&mut measured_with),
                _ => drop(instructions.insert(name.to_owned(), value.parse().unwrap())),
            }
        }
        Self { measured_with, instructions }
    }

    fn text(&self) -> String {
        let Self { measured_with, instructions } = self;
        let lines: String = instructions.iter().map(|(name, count)| format!("{name} = {count}\n")).collect();
        format!("{HEAD}{MEASURED_WITH} = {measured_with}\n\n{lines}")
    }
}

/// One thing that is counted: what it is called, the room of the front, and the question.
struct Row {
    name: String,
    front: usize,
    question: &'static str,
}

fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for (front_name, front) in FRONTS {
        for (what, question) in QUESTIONS {
            rows.push(Row { name: format!("{what}, {front_name}"), front, question });
        }
    }
    rows.push(Row { name: MISS.to_owned(), front: 1 << 20, question: "unknown.example.org." });
    rows.push(Row { name: PARSE.to_owned(), front: 0, question: "www.cluster.example.com." });
    rows
}

const RENEW: &str = "`cargo bench --bench instructions -- --renew`";
const MEASURED_WITH: &str = "measured with";
const MISS: &str = "miss, until it is deferred";
const PARSE: &str = "parse a question";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    if let Some(at) = arguments.iter().position(|argument| argument == "--row") {
        return run(&rows()[arguments[at + 1].parse::<usize>().unwrap()]);
    }
    if has("--test") {
        for row in rows() {
            run(&row);
        }
        return ExitCode::SUCCESS;
    }
    let Some(valgrind) = version("valgrind", "--version") else {
        // ci/test gathers such lines and shows them at its end.
        eprintln!("SKIPPED instructions for a question: needs valgrind");
        return if env::var("CI").as_deref() == Ok("true") { ExitCode::FAILURE } else { ExitCode::SUCCESS };
    };
    let versions = [version("rustc", "--version"), version("getconf", "GNU_LIBC_VERSION"), Some(valgrind)];
    let versions: Vec<String> = versions.into_iter().flatten().collect();
    let measured_with = format!("{}, {}", versions.join(", "), env::consts::ARCH);
    let rows = rows().into_iter().enumerate();
    let lowest = |row| (0..TIMES).map(|_| count(row)).min().unwrap_or(0);
    let instructions = rows.map(|(row, Row { name, .. })| (name, lowest(row))).collect();
    let measured = Budget { measured_with, instructions };
    if has("--renew") {
        std::fs::write(BUDGET, measured.text()).unwrap();
    }
    compare(&measured, &Budget::read(&std::fs::read_to_string(BUDGET).unwrap()))
}

/// Shows every row beside its budget, and fails if one is over it that can be.
fn compare(measured: &Budget, budget: &Budget) -> ExitCode {
    let mut out = stdout();
    let (mut grown, mut shrunk) = (Vec::new(), Vec::new());
    writeln!(out, "{:<28} {:>8} {:>8}", "instructions for a question", "now", "budget").unwrap();
    for (name, &now) in &measured.instructions {
        let planned = budget.instructions.get(name).copied().unwrap_or(0);
        writeln!(out, "{name:<28} {now:>8} {planned:>8}").unwrap();
        if now * 100 > planned * (100 + TOLERANCE) {
            grown.push(format!("{name:?} from {planned} to {now}"));
        } else if now * (100 + TOLERANCE) < planned * 100 {
            shrunk.push(format!("{name:?} from {planned} to {now}"));
        }
    }
    if measured.measured_with != budget.measured_with {
        let Budget { measured_with, .. } = budget;
        writeln!(out, "not judged: the budget is of {measured_with}; here: {}", measured.measured_with).unwrap();
        return ExitCode::SUCCESS;
    }
    if !shrunk.is_empty() {
        writeln!(out, "cheaper by more than {TOLERANCE} %: {}; to hold that, {RENEW}", shrunk.join(", ")).unwrap();
    }
    if grown.is_empty() {
        return ExitCode::SUCCESS;
    }
    writeln!(out, "grown by more than {TOLERANCE} %: {}; if it is worth that, {RENEW}", grown.join(", ")).unwrap();
    ExitCode::FAILURE
}

/// The first line that a program says of its version, if it is installed.
fn version(program: &str, argument: &str) -> Option<String> {
    let output = Command::new(program).arg(argument).output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).lines().next()?.to_owned())
}

/// Has valgrind run one row in a process of its own, and returns the instructions of one question.
fn count(row: usize) -> u64 {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", &format!("--toggle-collect={COUNTED}")])
        .arg(env::current_exe().unwrap())
        .args(["--row", &row.to_string()])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let collected = said.lines().find_map(|line| line.split_once("Collected :")?.1.trim().parse::<u64>().ok());
    match collected.filter(|&instructions| instructions > 0 && output.status.success()) {
        Some(instructions) => instructions / QUESTIONS_COUNTED,
        None => panic!("row {row} was not counted: {said}"),
    }
}

/// Asks the question of one row again and again.
fn run(row: &Row) -> ExitCode {
    let packet = packet(row.question);
    if row.name == PARSE {
        count_this(|| assert!(Query::parse(black_box(&packet)).is_ok()));
        return ExitCode::SUCCESS;
    }
    let mut line = Line::new(row.front);
    let deferred = row.name == MISS;
    // The first time finds what nobody has looked at yet.
    assert_eq!(matches!(line.handle(&packet), Handled::Deferred(_)), deferred);
    count_this(|| assert!(matches!(line.handle(&packet), Handled::Replied(_)) != deferred));
    ExitCode::SUCCESS
}

#[inline(never)]
fn count_this(mut ask: impl FnMut()) {
    for _ in 0..QUESTIONS_COUNTED {
        ask();
    }
}
