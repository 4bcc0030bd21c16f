//! From a file, or from none, to a configuration.

use std::ffi::OsString;
use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::fault::{Message, Report};
use super::text::Text;
use super::{Config, Faults, Files, file, validate};

/// The environment variable that names the file.
pub const VARIABLE: &str = "ZEROHOP_CONFIG";

/// The file that is used when none is named and it exists.
pub const USUAL_FILE: &str = "/etc/zerohop/zerohop.toml";

/// What serves when there is no file: the quick start.
const DEFAULT: &str = include_str!("default.toml");

/// How messages name what has no file.
const DEFAULT_LABEL: &str = "(embedded default)";

/// Where the configuration comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    File(PathBuf),
    /// The quick start that is part of the program.
    Default,
}

impl Source {
    /// The file of the command line, else of the environment, else the usual one if it exists,
    /// else the embedded default.
    pub fn find(flag: Option<PathBuf>) -> Self {
        Self::choose(flag, std::env::var_os(VARIABLE), Path::new(USUAL_FILE))
    }

    /// As [`Self::find`], told what the environment says. An empty variable says nothing. A file
    /// that is named is chosen whether it exists or not; `usual` only if it does.
    pub fn choose(flag: Option<PathBuf>, variable: Option<OsString>, usual: &Path) -> Self {
        let variable = variable.filter(|value| !value.is_empty()).map(PathBuf::from);
        // What is there and cannot be looked at is a fault to report, not a file that is absent.
        let usual = || usual.try_exists().unwrap_or(true).then(|| usual.to_path_buf());
        flag.or(variable).or_else(usual).map_or(Self::Default, Self::File)
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Default => f.write_str(DEFAULT_LABEL),
        }
    }
}

/// A configuration without errors.
#[derive(Debug)]
pub struct Loaded {
    pub config: Config,
    /// What is legal and hardly meant; and which files were read.
    pub warnings: Faults,
}

/// Reads the configuration and the files it names.
///
/// # Errors
/// Every fault there is, warnings included, if one of them is an error.
pub fn load(source: &Source) -> Result<Loaded, Faults> {
    match source {
        Source::Default => parse(Path::new(DEFAULT_LABEL), DEFAULT),
        Source::File(path) => {
            let mut files = Files::default();
            let text = read(path, &mut files)?;
            understand(path, text, files)
        }
    }
}

/// Understands `text` as the file `label`; paths in it are relative to the label's directory.
///
/// # Errors
/// As [`load`].
pub fn parse(label: &Path, text: &str) -> Result<Loaded, Faults> {
    understand(label, text.to_owned(), Files::default())
}

fn understand(label: &Path, text: String, files: Files) -> Result<Loaded, Faults> {
    let text = Text::new(label, text);
    let mut report = Report::new(&text, files);
    let said = file::read(&mut report);
    let config = validate::validate(&said, label.parent().unwrap_or(Path::new("")), &mut report);
    let faults = report.finish();
    if faults.errors() == 0 { Ok(Loaded { config, warnings: faults }) } else { Err(faults) }
}

fn read(path: &Path, files: &mut Files) -> Result<String, Faults> {
    let octets = files.read(path).map_err(|error| {
        let remedy = match error.kind() {
            ErrorKind::PermissionDenied => {
                "let the user that runs zerohop read it, which for root, too, the file's own permissions say".to_owned()
            }
            _ => format!("create it, or name another with --config or ${VARIABLE}"),
        };
        Faults::of_file(path, Message::new(format!("the file cannot be read: {error}"), remedy), files.clone())
    })?;
    String::from_utf8(octets).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let text = Text::new(path, String::from_utf8_lossy(&error.as_bytes()[..valid]).into_owned());
        let mut report = Report::new(&text, files.clone());
        report.syntax(valid, Message::new("an octet here is not UTF-8", "save the file as UTF-8"));
        report.finish()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_file_goes_first_whether_it_exists_or_not() {
        let directory = tempfile::tempdir().unwrap();
        let usual = directory.path().join("zerohop.toml");
        let file = |path: &str| Source::File(path.into());
        assert_eq!(Source::choose(Some("/a".into()), Some("/b".into()), &usual), file("/a"));
        assert_eq!(Source::choose(None, Some("/b".into()), &usual), file("/b"));
        assert_eq!(Source::choose(None, Some("".into()), &usual), Source::Default);
        assert_eq!(Source::choose(None, None, &usual), Source::Default);
        std::fs::write(&usual, "").unwrap();
        assert_eq!(Source::choose(None, None, &usual), Source::File(usual.clone()));
    }

    #[test]
    fn a_missing_file_is_a_fault_and_never_the_default() {
        let faults = load(&Source::File("/nonexistent/zerohop.toml".into())).unwrap_err();
        assert_eq!(
            faults.to_string(),
            "/nonexistent/zerohop.toml: error: the file cannot be read: No such file or directory (os error 2); \
             create it, or name another with --config or $ZEROHOP_CONFIG\n1 fault\n"
        );
    }

    #[test]
    fn a_file_that_is_not_text_is_a_fault_with_its_place() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.toml");
        std::fs::write(&path, b"[server]\nlisten = [\"\xff\"]").unwrap();
        let faults = load(&Source::File(path)).unwrap_err();
        let place = faults.iter().next().unwrap().place.clone().unwrap();
        assert_eq!((place.line, place.column), (2, 12));
    }

    #[test]
    fn the_default_is_the_quick_start() {
        let Loaded { config, warnings } = load(&Source::Default).unwrap();
        assert!(warnings.is_empty(), "{warnings}");
        assert_eq!(config.server.listen, ["127.0.0.1:1053".parse().unwrap()]);
        assert_eq!(config.admin.listen, Some("127.0.0.1:9153".parse().unwrap()));
        let zones: Vec<String> = config.configured_zones().map(|zone| zone.name.to_string()).collect();
        assert_eq!(zones, ["zerohop.test.", "."]);
    }
}
