//! The files of `tests/malformed`: a packet with one defect, and what is to become of it.
//!
//! At the top stand lines of `key: value`; `expect` there must be. Then come octets in hexadecimal,
//! `61*64` for one octet many times, `"text"` for its octets, and comments from `;` to the end of
//! the line.

use std::fs;
use std::path::Path;

/// One file.
pub(crate) struct Malformed {
    /// The file's name without directory and ending.
    pub(crate) name: String,
    pub(crate) expect: String,
    /// For replies: the question, `name type`.
    pub(crate) asked: String,
    /// For replies: the records that the client gets, by section.
    pub(crate) records: [Vec<String>; 3],
    pub(crate) octets: Vec<u8>,
}

/// Every file of a directory below `tests/malformed`, by name.
pub(crate) fn read_all(directory: &str) -> Vec<Malformed> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/malformed").join(directory);
    let mut files: Vec<Malformed> = fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let kebab = |name: &str| name.bytes().all(|octet| matches!(octet, b'a'..=b'z' | b'0'..=b'9' | b'-'));
            let name = path.file_stem().unwrap().to_str().unwrap();
            assert!(kebab(name) && path.extension().is_some_and(|ending| ending == "hex"), "{}", path.display());
            let text = fs::read_to_string(&path).unwrap();
            parse(name, &text).unwrap_or_else(|fault| panic!("{}: {fault}", path.display()))
        })
        .collect();
    files.sort_by(|one, other| one.name.cmp(&other.name));
    files
}

fn parse(name: &str, text: &str) -> Result<Malformed, String> {
    let mut expect = None;
    let mut asked = "www.example.com. A".to_owned();
    let mut records: [Vec<String>; 3] = Default::default();
    let mut octets = Vec::new();
    let mut explained = false;
    for line in text.lines() {
        match line.split_once(": ").filter(|_| !line.starts_with([';', '"'])) {
            Some(("expect", value)) => expect = Some(value.to_owned()),
            Some(("asked", value)) => value.clone_into(&mut asked),
            Some(("answer", value)) => records[0].push(value.to_owned()),
            Some(("authority", value)) => records[1].push(value.to_owned()),
            Some(("additional", value)) => records[2].push(value.to_owned()),
            Some((key, _)) => return Err(format!("`{key}` is no key")),
            None => {
                explained |= line.starts_with("; ");
                parse_octets(line, &mut octets)?;
            }
        }
    }
    if !explained {
        return Err("no comment says what is wrong with it".to_owned());
    }
    let expect = expect.ok_or("no `expect` line")?;
    Ok(Malformed { name: name.to_owned(), expect, asked, records, octets })
}

fn parse_octets(line: &str, octets: &mut Vec<u8>) -> Result<(), String> {
    let mut rest = line.trim_start();
    while !rest.is_empty() && !rest.starts_with(';') {
        if let Some(quoted) = rest.strip_prefix('"') {
            let (text, behind) = quoted.split_once('"').ok_or("a quote without its end")?;
            octets.extend_from_slice(text.as_bytes());
            rest = behind.trim_start();
            continue;
        }
        let (word, behind) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        let (octet, times) = word.split_once('*').unwrap_or((word, "1"));
        let is_octet = octet.len() == 2 && octet.bytes().all(|digit| digit.is_ascii_hexdigit());
        let octet = u8::from_str_radix(octet, 16).ok().filter(|_| is_octet).ok_or(format!("`{word}` is no octet"))?;
        let times: usize = times.parse().map_err(|_| format!("`{word}` is no run of octets"))?;
        octets.extend(std::iter::repeat_n(octet, times));
        rest = behind.trim_start();
    }
    Ok(())
}

#[test]
fn a_file_says_what_is_wrong_and_what_comes_of_it() {
    let good = parse("good", "expect: FORMERR\n; why\n03 \"api\" 00*2 ; and more\nff").unwrap();
    assert_eq!((good.expect.as_str(), good.octets.as_slice()), ("FORMERR", &b"\x03api\0\0\xff"[..]));
    let faults = [
        ("; why\n00", "no `expect` line"),
        ("expect: FORMERR\n00", "no comment says what is wrong with it"),
        ("expects: FORMERR\n; why\n00", "`expects` is no key"),
        ("expect: FORMERR\n; why\n0", "`0` is no octet"),
        ("expect: FORMERR\n; why\n+1", "`+1` is no octet"),
        ("expect: FORMERR\n; why\n00*x", "`00*x` is no run of octets"),
        ("expect: FORMERR\n; why\n\"ab", "a quote without its end"),
    ];
    for (text, fault) in faults {
        assert_eq!(parse("bad", text).err().as_deref(), Some(fault), "{text}");
    }
}
