//! The pages for man(1) that are shipped, written from the command line itself.

use std::fs;

use clap::CommandFactory;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use super::Arguments;
use crate::config::tests::committed::assert_committed;

const PAGES: &str = "packaging/man";

const EXIT_CODES: &[(&str, &str)] = &[
    ("0", "It is done, or all is well."),
    ("1", "It could not be done, or is not as it should be; what to do is said."),
    ("2", "The command line cannot be understood."),
    ("78", "The configuration has faults; all of them are said."),
];

const FILES: &[(&str, &str)] = &[
    ("/etc/zerohop/zerohop.toml", "The configuration, see zerohop.toml(5)."),
    ("/run/zerohop/control.sock", "The control socket, unless the configuration names another."),
    ("/etc/zerohop/resolv.conf.upstream", "The nameservers that were asked before `zerohop resolv-conf install`."),
    ("/etc/zerohop/resolv.conf.saved", "What `zerohop resolv-conf restore` brings back."),
];

/// # Panics
/// When a page is nobody's.
#[test]
fn the_pages_say_what_the_command_line_says() {
    let pages = pages();
    for (name, page) in &pages {
        assert_committed(&format!("{PAGES}/{name}"), page);
    }
    for entry in fs::read_dir(PAGES).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let is_known = name.ends_with(".5") || pages.iter().any(|(page, _)| *page == name);
        assert!(is_known, "{PAGES}/{name} is the page of no command: remove it");
    }
}

/// Names of files, and what stands in them.
fn pages() -> Vec<(String, String)> {
    let mut all = Arguments::command();
    all.build();
    let mut pages = vec![("zerohop.1".to_owned(), page(&all, true))];
    let mut open: Vec<_> = all.get_subcommands().collect();
    while let Some(command) = open.pop() {
        pages.push((format!("{}.1", command.get_display_name().unwrap()), page(command, false)));
        open.extend(command.get_subcommands());
    }
    pages.sort();
    pages
}

fn page(command: &clap::Command, is_first: bool) -> String {
    let title = command.get_display_name().unwrap_or(command.get_name()).to_owned();
    let mut page = Vec::new();
    // The date would make a page differ each day; the version is in the package.
    let man = Man::new(command.clone()).title(title).date("").source("zerohop").manual("zerohop");
    man.render(&mut page).unwrap();
    let mut more = Roff::new();
    if is_first {
        entries(&mut more, "EXIT STATUS", EXIT_CODES);
        entries(&mut more, "FILES", FILES);
    }
    let others = if is_first { "zerohop.toml(5), resolv.conf(5)" } else { "zerohop(1), zerohop.toml(5)" };
    more.control("SH", ["SEE ALSO"]).text([roman(others)]);
    more.to_writer(&mut page).unwrap();
    String::from_utf8(page).unwrap()
}

fn entries(page: &mut Roff, title: &str, entries: &[(&str, &str)]) {
    page.control("SH", [title]);
    for (term, meaning) in entries {
        page.control("TP", []).text([bold(*term)]).text([roman(*meaning)]);
    }
}
