//! `zerohop check`: every fault of a configuration in one go.

use std::io::{self, Write};
use std::path::PathBuf;

use crate::config::{self, Config, Source};

/// The exit code of a configuration with errors: EX_CONFIG of sysexits.h.
pub const CONFIG_FAULT: u8 = 78;

/// Checks the file that `zerohop run` would use. Faults and warnings go to `err`, a summary to
/// `out`. Returns the exit code: 0 with warnings at most, 78 with errors, 1 if the result could
/// not be written.
pub fn check(config: Option<PathBuf>, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    tell(&Source::find(config), out, err).unwrap_or(1)
}

fn tell(source: &Source, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<u8> {
    let loaded = match config::load(source) {
        Ok(loaded) => loaded,
        Err(faults) => {
            write!(err, "{faults}")?;
            return Ok(CONFIG_FAULT);
        }
    };
    if !loaded.warnings.is_empty() {
        write!(err, "{}", loaded.warnings)?;
    }
    writeln!(out, "{source}: no faults; {}", summary(&loaded.config))?;
    Ok(0)
}

fn summary(config: &Config) -> String {
    let counted = |count: usize, one: &str, more: &str| format!("{count} {}", if count == 1 { one } else { more });
    let records = config.configured_zones().map(|zone| zone.records.len()).sum();
    let patterns = config.configured_zones().map(|zone| zone.patterns.len()).sum();
    [
        counted(config.addresses().len(), "listen address", "listen addresses"),
        counted(config.configured_zones().count(), "zone", "zones"),
        counted(records, "record", "records"),
        counted(patterns, "pattern", "patterns"),
        counted(config.upstreams.len(), "upstream", "upstreams"),
    ]
    .join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(text: &str) -> (u8, String, String) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("zerohop.toml");
        std::fs::write(&path, text).unwrap();
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = check(Some(path), &mut out, &mut err);
        let shown = |bytes| String::from_utf8(bytes).unwrap().replace(directory.path().to_str().unwrap(), "");
        (code, shown(out), shown(err))
    }

    #[test]
    fn a_good_file_is_summed_up() {
        let (code, out, err) =
            checked("[server]\nlisten = ['127.0.0.1']\n[[zone]]\nname = '.'\nforward = ['10.0.0.1']\n");
        assert_eq!((code, err.as_str()), (0, ""));
        assert_eq!(out, "/zerohop.toml: no faults; 1 listen address, 1 zone, 0 records, 0 patterns, 1 upstream\n");
    }

    #[test]
    fn warnings_are_shown_and_pass() {
        let (code, out, err) = checked("[server]\nlisten = ['127.0.0.1']\n");
        assert_eq!(code, 0);
        assert!(out.contains("no faults; 1 listen address, 0 zones"), "{out}");
        assert!(err.starts_with("/zerohop.toml:1:1: warning: zone: there is no zone"), "{err}");
        assert!(err.ends_with("\n1 warning\n"), "{err}");
    }

    #[test]
    fn every_fault_is_shown_and_none_passes() {
        let (code, out, err) = checked("[server]\nlisten = ['x']\nworkers = 0\n");
        assert_eq!((code, out.as_str()), (CONFIG_FAULT, ""));
        assert!(err.ends_with("\n2 faults, 1 warning\n"), "{err}");
    }

    #[test]
    fn what_cannot_be_written_is_a_failure() {
        let mut full: &mut [u8] = &mut [];
        assert_eq!(check(Some("/nonexistent".into()), &mut Vec::new(), &mut full), 1);
    }
}
