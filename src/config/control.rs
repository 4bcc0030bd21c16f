//! Where the control socket is.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::{Source, keys};

/// As the configuration says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Control {
    /// Where the system has such sockets of this user.
    Usual,
    At(PathBuf),
    Off,
}

impl Control {
    pub(super) fn said(text: Option<&str>, directory: &Path) -> Self {
        match text {
            None => Self::Usual,
            Some("off") => Self::Off,
            Some(path) => Self::At(directory.join(path)),
        }
    }

    /// What a configuration says of it, whatever else is wrong there: a daemon that goes on with an
    /// earlier one is still to be reached.
    pub fn of(source: &Source) -> Self {
        let Source::File(file) = source else { return Self::Usual };
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let (read, _) = toml::de::DeTable::parse_recoverable(&text);
        let admin = read.get_ref().get(keys::CONTROL.section.path()).and_then(|admin| admin.get_ref().as_table());
        let said = admin.and_then(|admin| admin.get(keys::CONTROL.name)).and_then(|said| said.get_ref().as_str());
        Self::said(said, file.parent().unwrap_or(Path::new("")))
    }

    /// Its path; `None` where there is to be none.
    pub fn path(&self) -> Option<PathBuf> {
        match self {
            Self::Usual => {
                let directory = |variable| std::env::var_os(variable).filter(|value| !value.is_empty());
                let is_root = nix::unistd::geteuid().is_root();
                usual(directory("RUNTIME_DIRECTORY"), is_root, directory("XDG_RUNTIME_DIR"))
            }
            Self::At(path) => Some(path.clone()),
            Self::Off => None,
        }
    }
}

/// systemd names the directory that it made for the service first.
fn usual(service: Option<OsString>, is_root: bool, user: Option<OsString>) -> Option<PathBuf> {
    let first = service.and_then(|all| Some(PathBuf::from(all.to_str()?.split(':').next()?)));
    let service =
        first.or_else(|| is_root.then(|| "/run/zerohop".into())).map(|directory| directory.join("control.sock"));
    service.or_else(|| user.map(|directory| Path::new(&directory).join("zerohop.sock")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_place_is_one_that_the_user_may_write_to() {
        let place = |service: Option<&str>, is_root, user: Option<&str>| {
            usual(service.map(Into::into), is_root, user.map(Into::into))
        };
        assert_eq!(place(Some("/run/a:/run/b"), false, None), Some("/run/a/control.sock".into()));
        assert_eq!(place(None, true, Some("/run/user/0")), Some("/run/zerohop/control.sock".into()));
        assert_eq!(place(None, false, Some("/run/user/7")), Some("/run/user/7/zerohop.sock".into()));
        assert_eq!(place(None, false, None), None);
    }

    #[test]
    fn it_is_found_in_a_configuration_with_faults() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("zerohop.toml");
        let said = |text: &str| {
            std::fs::write(&file, text).unwrap();
            Control::of(&Source::File(file.clone()))
        };
        assert_eq!(
            said("[admin]\ncontrol = \"a.sock\"\n[server]\nlisten = 7"),
            Control::At(directory.path().join("a.sock"))
        );
        assert_eq!(said("[admin]\ncontrol = \"off\""), Control::Off);
        assert_eq!(said("[admin]\ncontrol = 7"), Control::Usual);
        assert_eq!(said("not TOML"), Control::Usual);
        assert_eq!(Control::of(&Source::Default), Control::Usual);
    }
}
