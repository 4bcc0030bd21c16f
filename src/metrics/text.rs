//! Labels in the Prometheus text exposition format.

use std::fmt::Write;

/// The labels of one series, in the order they are written.
pub(super) struct Labels<'a> {
    pairs: &'a [(&'static str, &'a str)],
}

impl<'a> Labels<'a> {
    pub(super) fn new(pairs: &'a [(&'static str, &'a str)]) -> Self {
        Self { pairs }
    }

    /// The labels and one more, in braces.
    pub(super) fn with(&self, name: &'static str, value: &str) -> String {
        let mut text = String::from("{");
        for (name, value) in self.pairs.iter().copied().chain([(name, value)]) {
            push_pair(&mut text, name, value);
        }
        text.push('}');
        text
    }

    /// The labels in braces; nothing when there are none.
    pub(super) fn with_none(&self) -> String {
        if self.pairs.is_empty() {
            return String::new();
        }
        let mut text = String::from("{");
        for (name, value) in self.pairs {
            push_pair(&mut text, name, value);
        }
        text.push('}');
        text
    }
}

fn push_pair(text: &mut String, name: &str, value: &str) {
    let comma = if text.len() > 1 { "," } else { "" };
    let escaped = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    // Writing to a String cannot fail.
    let _ = write!(text, "{comma}{name}=\"{escaped}\"");
}

/// Writes the two comment lines that open a family.
pub(super) fn open_family(out: &mut String, name: &str, kind: &str, help: &str) -> std::fmt::Result {
    writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_values_are_escaped() {
        let labels = Labels::new(&[("a", "x\"y\\z\n")]);
        assert_eq!(labels.with_none(), r#"{a="x\"y\\z\n"}"#);
        assert_eq!(Labels::new(&[]).with("b", "1"), r#"{b="1"}"#);
        assert_eq!(Labels::new(&[]).with_none(), "");
    }
}
