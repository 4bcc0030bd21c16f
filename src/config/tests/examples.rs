//! Whole files: that of the design, and every one that is shipped.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use super::certificates;
use crate::config::keys::KEYS;
use crate::config::{
    Control, Loaded, LogLevel, OtherTypes, Piece, Policy, Prefix, Reaction, Transport, UpstreamServer, parse,
};
use crate::dns::{Rcode, RecordType};

const FULL: &str = include_str!("full.toml");

fn full() -> Loaded {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(
        directory.path().join("hosts"),
        "10.0.0.5 db.cluster.example.com other.example\n::1 db.cluster.example.com.\n",
    )
    .unwrap();
    certificates::write(directory.path());
    std::fs::write(directory.path().join("cluster.zone"), "$INCLUDE more.zone\nfile 60 TXT \"x\"\n").unwrap();
    std::fs::write(directory.path().join("more.zone"), "more A 10.0.0.7\nmore A 10.0.0.7\n").unwrap();
    parse(&directory.path().join("zerohop.toml"), FULL).unwrap()
}

#[test]
fn the_whole_example_says_every_key_and_has_no_fault() {
    let Loaded { config, warnings } = full();
    assert!(warnings.is_empty(), "{warnings}");
    for key in KEYS {
        assert!(FULL.lines().any(|line| line.starts_with(&format!("{} =", key.name))), "{}", key.path());
    }
    let listen: Vec<String> = config.server.listen.iter().map(ToString::to_string).collect();
    assert_eq!(listen, ["169.254.20.10:53", "[fd00::a]:53"]);
    let interface = config.interface.as_ref().unwrap();
    assert_eq!((interface.name.as_str(), interface.remove_on_exit), ("zerohop0", true));
    assert_eq!(interface.addresses.iter().map(ToString::to_string).collect::<Vec<_>>(), ["169.254.20.10", "fd00::a"]);
    assert_eq!(config.intercept_listen(), ["10.96.0.10:53".parse().unwrap()]);
    assert_eq!(config.server.workers, 2);
    assert_eq!(config.server.allow, [Prefix { address: "10.0.0.0".parse().unwrap(), length: 8 }]);
    assert_eq!((config.server.tcp_read, config.server.drain), (Duration::from_millis(400), Duration::from_secs(3)));
    assert_eq!(config.server.lameduck, Duration::from_secs(1));
    assert_eq!(config.admin.listen, Some("127.0.0.1:9153".parse().unwrap()));
    assert_eq!(config.admin.metrics_listen, ["10.1.2.3:9153".parse().unwrap()]);
    assert_eq!(config.admin.control, Control::At("/run/zerohop/control.sock".into()));
    assert_eq!((config.cache.max_bytes, config.log.level), (64 << 20, LogLevel::Debug));
    assert_eq!(config.cache.persist.as_deref(), Some(Path::new("/var/lib/zerohop/cache")));
}

#[test]
fn the_device_has_the_addresses_of_listen_that_no_other_device_would_have() {
    let interface = |server: &str, said: &str| {
        let text = format!(
            "[server]\nlisten = [{server}]\n[interface]\n{said}\n[[zone]]\nname = '.'\nforward = ['192.0.2.1']"
        );
        parse(Path::new("a.toml"), &text).unwrap().config
    };
    let config =
        interface("'127.0.0.1', '169.254.20.10', '169.254.20.10:5353', '10.0.0.1', '[fd00::a]:53', '[fe80::1]:53'", "");
    let device = config.interface.unwrap();
    assert_eq!(device.addresses, ["169.254.20.10".parse::<IpAddr>().unwrap(), "fd00::a".parse().unwrap()]);
    assert_eq!((device.name.as_str(), device.remove_on_exit, device.intercept.len()), ("zerohop0", false, 0));
    let config = interface("'0.0.0.0', '[::]:54'", "intercept = ['10.96.0.10', 'fd01::a']");
    assert_eq!(config.intercept_listen(), ["[fd01::a]:53".parse().unwrap()], "0.0.0.0 takes in the other");
}

#[test]
fn upstreams_are_the_named_ones_and_then_the_bare_ones() {
    let config = full().config;
    let names: Vec<&str> = config.upstreams.iter().map(|upstream| upstream.name.as_str()).collect();
    assert_eq!(names, ["kube-dns", "cluster-b", "cloud", "192.168.1.1", "tcp://192.168.1.1"]);
    assert_eq!(config.upstreams[0].policy, Policy::RoundRobin);
    assert_eq!(config.upstreams[1].trust_ad, Some(true));
    assert_eq!(
        config.upstreams[1].servers[1],
        UpstreamServer::Address { transport: Transport::Udp, address: "10.3.0.53:5353".parse().unwrap() }
    );
    assert_eq!(config.upstreams[1].in_flight, 1000);
    assert_eq!(config.upstreams[4].in_flight, config.upstreams[0].in_flight, "a bare one has the default");
    assert!(config.upstreams[1].tls.is_some() && config.upstreams[0].tls.is_none());
    let forwards = |name: &str| {
        let zone = config.zones.iter().find(|zone| zone.name.to_string() == name).unwrap();
        zone.forward.as_ref().map(|forward| forward.groups.clone())
    };
    assert_eq!(forwards("cluster.example.com."), None);
    assert_eq!(forwards("in-addr.arpa."), Some(vec![0]));
    assert_eq!(forwards("svc.global."), Some(vec![0, 1]));
    assert_eq!(forwards("lan."), Some(vec![3, 4]));
    assert_eq!(forwards("home."), Some(vec![3]), "the same server under another spelling");
}

#[test]
fn a_zone_owns_what_entries_and_files_say() {
    let config = full().config;
    let zone = &config.zones[0];
    let owned: Vec<String> =
        zone.records.iter().map(|record| format!("{} {} {}", record.owner, record.ttl, record.rtype)).collect();
    assert_eq!(
        owned,
        [
            "api.cluster.example.com. 30 A",
            "api-int.cluster.example.com. 30 A",
            "*.apps.cluster.example.com. 30 A",
            "_sip._udp.cluster.example.com. 30 NAPTR",
            "more.cluster.example.com. 30 A",
            "file.cluster.example.com. 60 TXT",
            "db.cluster.example.com. 30 A",
            "db.cluster.example.com. 30 AAAA",
        ]
    );
    assert!(zone.ptr);
    let Reaction::Answer(templates) = &zone.patterns[0].reaction else { panic!("an answer") };
    assert_eq!((templates[0].rtype, templates[0].pieces.len()), (RecordType::A, 7));
    assert_eq!(templates[0].pieces[0], Piece::Group(1));
    assert!(matches!(zone.patterns[1].reaction, Reaction::Rcode(Rcode::NXDOMAIN)));
    assert_eq!((zone.patterns[0].ttl, zone.patterns[1].ttl), (30, 5));
    let forward = config.zones[1].forward.as_ref().unwrap();
    assert_eq!((forward.ttl.min, forward.ttl.max, forward.ttl.negative_max), (1, 3600, 5));
    assert_eq!(forward.in_flight, 500);
    assert_eq!(forward.stale.max_age, Duration::from_secs(86_400));
    let stale = config.zones[4].forward.as_ref().unwrap().stale;
    assert_eq!((stale.max_age, stale.after, stale.ttl), (Duration::from_secs(3600), Duration::from_millis(400), 10));
    assert_eq!(config.zones[1].other_types, OtherTypes::Forward);
    assert!(forward.next_on.servfail && forward.next_on.timeout && !forward.next_on.nxdomain);
}

#[test]
fn what_is_not_said_is_the_default() {
    let config = parse(Path::new("a.toml"), "[server]\nlisten = ['::1']\n[admin]\nlisten = 'off'\n").unwrap().config;
    assert!((1..=4).contains(&config.server.workers));
    assert_eq!(config.server.allow.len(), 9);
    assert_eq!((config.server.tcp_connections, config.server.tcp_idle), (1024, Duration::from_secs(10)));
    assert_eq!((config.admin.listen, config.cache.max_bytes, config.cache.negative_share), (None, 64 << 20, 20));
}

#[test]
fn a_syntax_fault_hides_no_other_fault_and_invents_none() {
    let text = "[server]\nlisten = ['::1'\n[[zone]]\nname = 'a'\nforward = ['up']\nttl = 'x'\n";
    let faults = parse(Path::new("a.toml"), text).unwrap_err();
    let lines: Vec<usize> = faults.iter().filter_map(|fault| Some(fault.place.as_ref()?.line)).collect();
    assert!(lines.contains(&6) || lines.len() == 1, "{faults}");
    assert!(!faults.to_string().contains("no upstream"), "{faults}");
}

/// The files that are shipped, and the TOML in the documentation.
#[test]
fn what_is_shipped_loads_without_warnings() {
    let mut texts = vec![("default".to_owned(), include_str!("../default.toml").to_owned())];
    for directory in ["packaging", "docs", "."] {
        let Ok(entries) = std::fs::read_dir(directory) else { continue };
        for path in entries.map(|entry| entry.unwrap().path()) {
            let name = path.display().to_string();
            let read = || std::fs::read_to_string(&path).unwrap();
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("toml") if directory == "packaging" => texts.push((name, read())),
                Some("md") => texts.extend(fenced(&read()).map(|text| (name.clone(), text))),
                _ => {}
            }
        }
    }
    for (name, text) in texts {
        let loaded = parse(Path::new("/etc/zerohop/zerohop.toml"), &text);
        let faults = loaded.map_or_else(|faults| faults, |loaded| loaded.warnings);
        assert!(faults.is_empty(), "{name}:\n{faults}");
    }
}

/// The blocks of a page that are whole configurations: they have a `[server]`.
fn fenced(page: &str) -> impl Iterator<Item = String> {
    let blocks = page.split("```toml\n").skip(1).filter_map(|rest| rest.split_once("```"));
    let whole = blocks.map(|(block, _)| block).filter(|block| block.contains("[server]"));
    whole.map(str::to_owned).collect::<Vec<_>>().into_iter()
}
