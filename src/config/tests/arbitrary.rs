//! No text brings the reader down, and every fault points into it.

use std::path::Path;

use proptest::prelude::*;

use crate::config::parse;

const GOOD: &str = include_str!("full.toml");

fn check(text: &str) {
    let lines = text.split('\n').count();
    let faults = parse(Path::new("a.toml"), text).map_or_else(|faults| faults, |loaded| loaded.warnings);
    for fault in faults.iter() {
        let place = fault.place.as_ref().unwrap();
        assert!((1..=lines).contains(&place.line) && place.column >= 1, "{fault}");
    }
    let _shown = faults.to_string();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn arbitrary_text_is_read(text in "\\PC{0,200}") {
        check(&text);
    }

    #[test]
    fn text_of_the_right_letters_is_read(text in "[\\[\\]a-z.=\"'#{}$0-9, \n\\\\-]{0,300}") {
        check(&text);
    }

    #[test]
    fn a_mutated_file_is_read(at in 0..GOOD.len(), length in 0_usize..40, put in "[\\[\\]a-z=\"'\n.$0-9\u{e9}{}()*-]{0,8}") {
        let end = (at + length).min(GOOD.len());
        let (Some(before), Some(after)) = (GOOD.get(..at), GOOD.get(end..)) else { return Ok(()) };
        check(&format!("{before}{put}{after}"));
    }

    #[test]
    fn swapped_lines_are_read(one in 0_usize..90, other in 0_usize..90) {
        let mut lines: Vec<&str> = GOOD.lines().collect();
        let (one, other) = (one % lines.len(), other % lines.len());
        lines.swap(one, other);
        check(&lines.join("\r\n"));
    }
}
