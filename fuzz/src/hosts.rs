//! A hosts file.

use zerohop::dns::hosts_text::parse;
use zerohop::dns::name::wire_length;

use crate::lies_within;

/// Every entry has names and a line of the file; every fault points into it.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (hosts, faults) = parse(text);
    for host in hosts {
        assert!(host.line >= 1 && host.line <= text.lines().count());
        assert_eq!(host.address, host.address.to_canonical());
        assert!(!host.names.is_empty());
        for name in host.names {
            assert_eq!(wire_length(name.wire()), Some(name.wire().len()));
        }
    }
    for fault in faults {
        assert!(lies_within(text, fault.line, fault.column), "{fault:?}");
        assert!(!fault.problem.is_empty() && !fault.remedy.is_empty());
    }
}
