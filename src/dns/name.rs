//! Domain names in wire form (RFC 1035, section 3.1) and their text form (section 5.1).

use std::fmt;

/// The longest name in wire form, the final zero octet counted (RFC 1035, section 2.3.4).
pub const MAX_NAME: usize = 255;
/// The longest label (RFC 1035, section 2.3.4).
pub const MAX_LABEL: usize = 63;

/// A domain name in wire form, uncompressed and in lower case: what tables are keyed by.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Box<[u8]>);

/// Why a text is no domain name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameError {
    /// Nothing where a name must stand.
    Empty,
    /// Two dots in a row, or one in front.
    EmptyLabel,
    /// A label of more than 63 octets.
    LabelTooLong,
    /// More than 255 octets in wire form.
    TooLong,
    /// A backslash with neither one character nor three digits up to 255 behind it.
    BadEscape,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "the name is empty",
            Self::EmptyLabel => "the name has an empty label (two dots in a row, or one in front)",
            Self::LabelTooLong => "a label of the name is longer than 63 octets",
            Self::TooLong => "the name is longer than 255 octets",
            Self::BadEscape => "a backslash in the name must be followed by a character or by three digits up to 255",
        })
    }
}

impl std::error::Error for NameError {}

impl Name {
    /// The root, `.`.
    pub fn root() -> Self {
        Self(Box::new([0]))
    }

    /// Reads presentation format. A text without a final dot stands below `origin`; `@` is
    /// `origin` itself. Upper case becomes lower case.
    pub fn from_text(text: &str, origin: &Self) -> Result<Self, NameError> {
        match text {
            "" => return Err(NameError::Empty),
            "@" => return Ok(origin.clone()),
            "." => return Ok(Self::root()),
            _ => {}
        }
        let mut wire = Vec::with_capacity(text.len() + 1 + origin.0.len());
        wire.push(0);
        let mut length_at = 0;
        let mut bytes = text.bytes();
        while let Some(byte) = bytes.next() {
            let octet = match byte {
                b'.' => {
                    if wire.len() == length_at + 1 {
                        return Err(NameError::EmptyLabel);
                    }
                    length_at = wire.len();
                    wire.push(0);
                    continue;
                }
                b'\\' => unescape(&mut bytes)?,
                other => other,
            };
            wire.push(octet.to_ascii_lowercase());
            let length = wire.len() - length_at - 1;
            wire[length_at] =
                u8::try_from(length).ok().filter(|&l| usize::from(l) <= MAX_LABEL).ok_or(NameError::LabelTooLong)?;
        }
        let absolute = wire.len() == length_at + 1;
        if !absolute {
            wire.extend_from_slice(origin.wire());
        }
        if wire.len() > MAX_NAME { Err(NameError::TooLong) } else { Ok(Self(wire.into())) }
    }

    /// The name that `wire` spells, in lower case; `None` unless it is one whole uncompressed name.
    pub fn from_wire(wire: &[u8]) -> Option<Self> {
        (wire_length(wire)? == wire.len()).then(|| Self(wire.to_ascii_lowercase().into()))
    }

    /// The wire form, final zero octet included.
    pub fn wire(&self) -> &[u8] {
        &self.0
    }

    /// Whether this is `zone` or a name below it.
    pub fn is_within(&self, zone: &Self) -> bool {
        suffixes(&self.0).any(|suffix| suffix == zone.wire())
    }

    /// The name without its first label; `None` for the root.
    pub fn parent(&self) -> Option<Self> {
        suffixes(&self.0).nth(1).map(|wire| Self(wire.into()))
    }

    /// Whether the first label is a lone asterisk (RFC 4592, section 2.1.1).
    pub fn is_wildcard(&self) -> bool {
        self.0.starts_with(b"\x01*")
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_text(&self.0, f)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_text(&self.0, f)
    }
}

impl std::borrow::Borrow<[u8]> for Name {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

fn unescape(bytes: &mut std::str::Bytes<'_>) -> Result<u8, NameError> {
    let first = bytes.next().ok_or(NameError::BadEscape)?;
    if !first.is_ascii_digit() {
        return Ok(first);
    }
    let mut value = u32::from(first - b'0');
    for _ in 0..2 {
        let digit = bytes.next().filter(u8::is_ascii_digit).ok_or(NameError::BadEscape)?;
        value = value * 10 + u32::from(digit - b'0');
    }
    u8::try_from(value).map_err(|_| NameError::BadEscape)
}

/// The length of the uncompressed name at the start of `bytes`, its final zero octet counted;
/// `None` if it is cut short, longer than 255 octets, or has a compression pointer.
pub fn wire_length(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let length = usize::from(*bytes.get(at)?);
        at += 1;
        if length == 0 {
            return Some(at);
        }
        at += length;
        if length > MAX_LABEL || at >= MAX_NAME {
            return None;
        }
    }
}

/// The name and each of its ancestors, longest first, the root last. `wire` must be a name that
/// [`wire_length`] accepts; of anything else the walk ends early.
pub fn suffixes(wire: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(wire);
    std::iter::from_fn(move || {
        let here = rest?;
        let length = usize::from(*here.first()?);
        rest = if length == 0 { None } else { here.get(1 + length..) };
        Some(here)
    })
}

/// How many labels the name has; the root has none.
pub fn label_count(wire: &[u8]) -> usize {
    suffixes(wire).count().saturating_sub(1)
}

/// Writes the text form with its final dot; octets that are no plain characters are escaped
/// (RFC 4343, section 2.1).
pub fn write_text(wire: &[u8], out: &mut impl fmt::Write) -> fmt::Result {
    if wire == [0] {
        return out.write_char('.');
    }
    for suffix in suffixes(wire) {
        let length = usize::from(suffix[0]);
        for &octet in suffix.get(1..=length).unwrap_or_default() {
            match octet {
                b'.' | b'\\' | b'"' | b';' | b'(' | b')' | b'@' | b'$' => write!(out, "\\{}", char::from(octet))?,
                b'!'..=b'~' => out.write_char(char::from(octet))?,
                _ => write!(out, "\\{octet:03}")?,
            }
        }
        if length > 0 {
            out.write_char('.')?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::from_text(text, &Name::root()).expect("a name")
    }

    #[test]
    fn text_is_read_below_the_origin_and_in_lower_case() {
        let origin = name("Example.COM.");
        assert_eq!(Name::from_text("API", &origin).unwrap().to_string(), "api.example.com.");
        assert_eq!(Name::from_text("api.", &origin).unwrap().to_string(), "api.");
        assert_eq!(Name::from_text("@", &origin).unwrap(), origin);
        assert_eq!(Name::from_text(r"a\.b\032c", &origin).unwrap().to_string(), r"a\.b\032c.example.com.");
        assert_eq!(name("a.").wire(), b"\x01a\x00");
    }

    #[test]
    fn bad_text_is_told_apart() {
        let read = |text: &str| Name::from_text(text, &Name::root());
        assert_eq!(read(""), Err(NameError::Empty));
        assert_eq!(read("a..b"), Err(NameError::EmptyLabel));
        assert_eq!(read(".a"), Err(NameError::EmptyLabel));
        assert_eq!(read(&"x".repeat(64)), Err(NameError::LabelTooLong));
        assert_eq!(read(&"x".repeat(300)), Err(NameError::LabelTooLong));
        assert!(read(&"x".repeat(63)).is_ok());
        assert_eq!(read(&"abc.".repeat(64)), Err(NameError::TooLong));
        assert_eq!(read(&format!("{}ab.", "abc.".repeat(62))).unwrap().wire().len(), 252);
        for escape in ["\\", "\\25", "\\256", "\\1x2"] {
            assert_eq!(read(escape), Err(NameError::BadEscape), "{escape}");
        }
    }

    #[test]
    fn suffixes_run_from_the_name_to_the_root() {
        let texts: Vec<String> =
            suffixes(name("a.b.c.").wire()).map(|s| Name::from_wire(s).unwrap().to_string()).collect();
        assert_eq!(texts, ["a.b.c.", "b.c.", "c.", "."]);
        assert_eq!(label_count(name("a.b.c.").wire()), 3);
        assert_eq!(label_count(&[0]), 0);
    }

    #[test]
    fn within_stands_on_label_boundaries() {
        assert!(name("a.example.com.").is_within(&name("example.com.")));
        assert!(name("example.com.").is_within(&name("example.com.")));
        assert!(!name("badexample.com.").is_within(&name("example.com.")));
        assert!(name("x.").is_within(&Name::root()));
    }

    #[test]
    fn wire_names_end_and_fit() {
        assert_eq!(wire_length(b"\x01a\x00rest"), Some(3));
        assert_eq!(wire_length(b"\x01a"), None);
        assert_eq!(wire_length(b"\xc0\x0c"), None);
        let mut longest = b"\x3f".to_vec();
        longest.extend([b'x'; 63]);
        let mut wire = longest.repeat(3);
        wire.push(61);
        wire.extend([b'x'; 61]);
        wire.push(0);
        assert_eq!((wire.len(), wire_length(&wire)), (255, Some(255)));
        wire[192] = 62;
        wire.insert(193, b'x');
        assert_eq!((wire.len(), wire_length(&wire)), (256, None));
    }
}
