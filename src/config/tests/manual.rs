//! zerohop.toml(5), written from the same table as the checks and docs/configuration.md.

use clap_mangen::roff::{Inline, Roff, bold, italic, roman};
use regex::Regex;

use super::committed::assert_committed;
use super::reference::{default, introduction, kind, range};
use crate::config::keys::{Key, Section};

const PAGE: &str = "packaging/man/zerohop.toml.5";

const DESCRIPTION: &[&str] = &[
    "zerohop(1) reads one file: that of `--config`, else of `$ZEROHOP_CONFIG`, else `/etc/zerohop/zerohop.toml` if it exists, else a default that is part of the program. `zerohop check` shows every fault of a file at once, with its place and what to write instead.",
    "A duration is a whole number of seconds, or a string: `\"400ms\"`, `\"5s\"`, `\"2m\"`, `\"1h\"`, `\"1d\"`. A size is a number of octets, or a string: `\"64MiB\"`, `\"1GiB\"`. Paths are relative to the directory of the file. What changes in the file, and in those that it names, is taken up by itself.",
];

const EXAMPLE: &str = include_str!("../default.toml");

#[test]
fn the_manual_says_what_the_table_says() {
    assert_committed(PAGE, &page());
}

#[test]
fn marks_become_faces_and_links_become_words() {
    let page = Roff::new().text(text("see `a` of [b](c.md), `d`")).render();
    assert_eq!(page.lines().last(), Some(r"see \fBa\fR of b, \fBd\fR"), "{page}");
}

fn page() -> String {
    let mut page = Roff::new();
    page.control("TH", ["zerohop.toml", "5", "", "zerohop", "File Formats"]);
    page.control("SH", ["NAME"]).text([roman("zerohop.toml - the configuration of zerohop")]);
    page.control("SH", ["DESCRIPTION"]);
    for paragraph in DESCRIPTION {
        page.control("PP", []).text(text(paragraph));
    }
    for section in Section::ALL {
        page.control("SH", [section.header().as_str()]).text(text(introduction(*section)));
        for key in section.keys() {
            entry(&mut page, key);
        }
    }
    page.control("SH", ["EXAMPLE"]).control("nf", []);
    for line in EXAMPLE.lines() {
        page.text([roman(line)]);
    }
    page.control("fi", []).control("SH", ["SEE ALSO"]).text([roman("zerohop(1), zerohop-check(1)")]);
    page.render()
}

fn entry(page: &mut Roff, key: &Key) {
    page.control("TP", []).text([bold(key.name), roman(" = "), italic(kind(key).replace('`', ""))]);
    page.text(text(key.reason));
    page.text(text(&format!("Default: {}.", default(key))));
    let range = range(key);
    if !range.is_empty() {
        page.text(text(&format!("Range: {range}.")));
    }
}

/// Words with marks, as they stand in docs/configuration.md.
fn text(marked: &str) -> Vec<Inline> {
    let link = Regex::new(r"\[([^\]`]+)\]\([^)]+\)").unwrap();
    let words = link.replace_all(marked, "$1");
    let faces = words.split('`').enumerate();
    faces.map(|(at, part)| if at % 2 == 1 { bold(part) } else { roman(part) }).collect()
}
