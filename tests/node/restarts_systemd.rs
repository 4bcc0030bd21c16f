//! The unit that is shipped, below a systemd that has booted: restarts, reloads, upgrades and deaths, and what
//! clients see of them; hangs, faults and the socket unit.

use std::time::Duration;

use hickory_proto::rr::RecordType::A;

use super::booted::{Booted, UNITS, booted, is_refused, node};
use super::client::{Ask, ask};
use super::harness::http;
use super::phase::{EACH, Place, Upstream, questions, until_restored};
use super::wait::{now, until, until_within};

/// Within a second of its start, and that comes 100 ms behind a death.
const SOON: Duration = Duration::from_millis(1100);
pub(super) const OWN: &str = "[[zone]]\nname = \"own.example\"\nrecords = [\"version A 10.0.0.0\"]\n";
pub(super) const INTERFACE: &str = "[interface]\n";

pub(super) fn question() -> Ask {
    Ask::new("version.own.example.", A)
}

/// Configuration with these sections more.
pub(super) fn config(upstream: &Upstream, more: &str) -> String {
    format!(
        "[server]\nlisten = [\"{}\"]\nworkers = 2\n[admin]\nlisten = \"127.0.0.1:9153\"\n{more}\n\
         [[zone]]\nname = \".\"\nforward = [\"{}\"]\n",
        node(),
        upstream.address
    )
}

fn start(booted: &Booted, text: &str) {
    booted.configure(text);
    booted.says("systemctl start zerohop.service");
    assert_eq!(question().udp(node()).data(A), ["10.0.0.0"]);
}

/// The unit lets it give up the rest by itself.
fn is_confined() {
    let (_, metrics) = http("127.0.0.1:9153".parse().unwrap(), "/metrics").unwrap();
    for part in ["capabilities", "landlock", "seccomp"] {
        assert!(metrics.contains(&format!("zerohop_sandbox{{part=\"{part}\"}} 1\n")), "{part}: {metrics}");
    }
}

/// Forgets how often it was started, which all phases together would be too often.
fn forget_starts(booted: &Booted) {
    booted.says("systemctl reset-failed zerohop.service");
}

#[test]
#[ignore = "boots a Debian: ci/test --all"]
fn the_unit_loses_nothing_at_restarts_reloads_and_upgrades() {
    booted(|booted| {
        let upstream = Upstream::start();
        let config = config(&upstream, &format!("{INTERFACE}{OWN}"));
        start(&booted, &config);
        is_confined();
        let (many, few) = (20, 5);
        upstream.warm(node(), questions(many, EACH));
        let place = Place { name: "systemd, one unit", server: node(), upstream: &upstream };

        forget_starts(&booted);
        let phase = place.phase((many, "restarts"), EACH, |_, _| {
            booted.says("systemctl restart zerohop.service");
        });
        phase.lost_nothing().kept_its_cache();
        // No process runs while systemd starts the next, so that questions wait for it.
        assert!(phase.longest() < SOON, "{:?}", phase.longest());

        let process = booted.show("MainPID");
        let phase = place.phase((many, "reloads"), EACH, |_, turn| {
            booted.configure(&config.replace("10.0.0.0", &format!("10.0.0.{turn}")));
            booted.says("systemctl reload zerohop.service");
            assert_eq!(ask(node(), "version.own.example.", A).data(A), [format!("10.0.0.{turn}")]);
        });
        phase.lost_nothing().was_quick();
        assert_eq!((booted.show("MainPID"), phase.cold), (process, 0));

        forget_starts(&booted);
        let phase = place.phase((few, "upgrades"), 2 * EACH, |_, _| {
            booted.install_binary();
            booted.says("systemctl restart zerohop.service");
        });
        phase.lost_nothing().kept_its_cache();
        assert!(phase.longest() < SOON, "{:?}", phase.longest());

        forget_starts(&booted);
        let phase = place.phase((few, "`kill -9`"), 2 * EACH, |going, _| {
            let process = booted.show("MainPID");
            going.dies(|| booted.kill("KILL"));
            booted.until_started_again(&process);
        });
        phase.lost_what_was_under_way();
        // The queue is kept, so the slowest answer tells how long nobody was there.
        assert!(phase.longest() < SOON, "{:?}", phase.longest());
        assert_eq!(booted.show("NRestarts"), few.to_string());

        booted.says("systemctl stop zerohop.service");
        assert!(is_refused(&question()), "nobody keeps a socket that nobody reads");
    });
}

#[test]
#[ignore = "boots a Debian: ci/test --all"]
fn what_was_in_the_cache_is_in_it_behind_a_restart_and_behind_a_stop() {
    booted(|booted| {
        let upstream = Upstream::start();
        let count = 1000;
        start(&booted, &config(&upstream, &format!("{INTERFACE}{OWN}[cache]\npersist = \"/var/lib/zerohop/cache\"\n")));
        assert_eq!(upstream.warm(node(), count), usize::from(count), "all of them, for the first time");
        assert_eq!(upstream.warm(node(), count), 0, "and none again");
        for commands in [&["restart"][..], &["stop", "start"]] {
            // The store of systemd is for restarts; a stop empties it, and the file remains.
            for command in commands {
                booted.says(&format!("systemctl {command} zerohop.service"));
            }
            until_restored("127.0.0.1:9153".parse().unwrap());
            assert_eq!(upstream.warm(node(), count), 0, "behind {commands:?}");
        }
    });
}

#[test]
#[ignore = "boots a Debian: ci/test --all"]
fn a_hang_is_ended_and_what_restarts_do_not_mend_brings_the_resolv_conf_back() {
    booted(|booted| {
        let upstream = Upstream::start();
        let config = config(&upstream, &format!("{INTERFACE}{OWN}"));
        let before = "nameserver 192.0.2.53\n";
        booted.write("/etc/resolv.conf", before);
        start(&booted, &config);
        booted.says("zerohop resolv-conf install --force");
        assert_ne!(booted.read("/etc/resolv.conf"), before);

        let process = booted.show("MainPID");
        let stopped = now();
        booted.kill("STOP");
        // WatchdogSec and a half, and as long as the end may take.
        until_within(Duration::from_secs(30), "the watchdog", || (booted.show("MainPID") != process).then_some(()));
        booted.until_started_again(&process);
        assert!(booted.journal().contains("Watchdog timeout"), "{}", booted.journal());
        assert!(now() - stopped > Duration::from_secs(4), "it was the watchdog");
        assert_eq!(question().udp(node()).data(A), ["10.0.0.0"]);

        // A fault that is there at the start.
        let is_restored = || {
            until("the unit to fail", || (booted.show("ActiveState") == "failed").then_some(()));
            until("the resolv.conf from before", || (booted.read("/etc/resolv.conf") == before).then_some(()));
            assert!(is_refused(&question()), "systemd has let go of the sockets");
        };
        booted.configure("[server]\nlisten = 1\n");
        assert!(!booted.runs("systemctl restart zerohop.service").status.success());
        is_restored();
        assert_eq!(booted.show("ExecMainStatus"), "78");

        // And one that kills again and again.
        forget_starts(&booted);
        start(&booted, &config);
        booted.says("zerohop resolv-conf install --force");
        let deaths = (1..=20).take_while(|death| {
            let process = booted.show("MainPID");
            booted.kill("KILL");
            until(&format!("what systemd does after death {death}"), || {
                let is_up = booted.is_started_again("zerohop.service", &process);
                (is_up || booted.show("ActiveState") == "failed").then_some(is_up)
            })
        });
        assert_eq!(deaths.count(), 19, "StartLimitBurst=20 counts the first start as well");
        is_restored();
        assert!(booted.journal().contains("Start request repeated too quickly"), "{}", booted.journal());
    });
}

#[test]
#[ignore = "boots a Debian: ci/test --all"]
fn with_the_socket_unit_it_has_no_capability_and_loses_nothing() {
    booted(|booted| {
        let upstream = Upstream::start();
        let drop_in = "[Service]\nAmbientCapabilities=\nCapabilityBoundingSet=\n";
        booted.write("/etc/systemd/system/zerohop.service.d/capabilities.conf", drop_in);
        booted.says("systemctl daemon-reload");
        booted.configure(&config(&upstream, OWN));
        booted.says("ip address add 169.254.20.10/32 dev lo");
        booted.says("systemctl start zerohop.socket");
        booted.says("systemctl start zerohop.service");
        for reply in [question().udp(node()), question().tcp(node())] {
            assert_eq!(reply.data(A), ["10.0.0.0"]);
        }
        let status = booted.says(&format!("cat /proc/{}/status", booted.show("MainPID")));
        assert!(status.contains("CapEff:\t0000000000000000") && !status.contains("Uid:\t0\t"), "{status}");

        let few = 5;
        upstream.warm(node(), questions(few, EACH));
        let place = Place { name: "systemd, socket unit", server: node(), upstream: &upstream };
        let phase = place.phase((few, "restarts"), EACH, |_, _| {
            booted.says("systemctl restart zerohop.service");
        });
        phase.lost_nothing().kept_its_cache();
        assert!(phase.longest() < SOON, "{:?}", phase.longest());
    });
}

#[test]
#[ignore = "boots a Debian: ci/test --all"]
fn systemd_finds_no_fault_with_the_units() {
    booted(|booted| {
        let paths = UNITS.map(|unit| format!("/etc/systemd/system/{unit}")).join(" ");
        assert_eq!(booted.says(&format!("systemd-analyze verify --man=no {paths}")), "");
        for service in ["zerohop.service", "zerohop@a.service"] {
            let rating = booted.says(&format!("systemd-analyze security --no-pager --threshold=20 {service}"));
            assert!(rating.contains(&format!("Overall exposure level for {service}")), "{rating}");
        }
    });
}
