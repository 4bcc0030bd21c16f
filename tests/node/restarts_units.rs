//! The pair of units that is shipped, below a systemd that has booted: how a node gets there, and what clients
//! see of restarts, upgrades and deaths.

use std::cell::Cell;
use std::time::Duration;

use hickory_proto::rr::RecordType::A;

use super::booted::{Booted, booted, is_refused, node};
use super::phase::{EACH, Place, Upstream, questions};
use super::restarts_systemd::{INTERFACE, OWN, config, question};
use super::wait::until;

const PAIR: [&str; 2] = ["zerohop@a.service", "zerohop@b.service"];
const ALONE: &str = "zerohop.service";
const BEFORE: &str = "nameserver 192.0.2.53\n";

fn serves(booted: &Booted, unit: &str) -> bool {
    booted.shows(unit, "StatusText").starts_with("serving")
}

fn stands_by(booted: &Booted, unit: &str) -> bool {
    booted.shows(unit, "StatusText").starts_with("standing by")
}

/// Waits until one serves and the other stands by, and returns them in this order.
fn roles(booted: &Booted) -> [&'static str; 2] {
    let [left, right] = PAIR;
    until("one that serves and one that stands by", || {
        let is_so = |[one, other]: &[&str; 2]| serves(booted, one) && stands_by(booted, other);
        [[left, right], [right, left]].into_iter().find(is_so)
    })
}

#[test]
#[ignore = "boots a Debian: ci/test --all"]
fn a_pair_of_units_has_no_moment_without_a_reader() {
    booted(|booted| {
        let upstream = Upstream::start();
        booted.configure(&config(&upstream, &format!("{INTERFACE}{OWN}")));
        booted.says(&format!("systemctl start {ALONE}"));
        let (many, few) = (20, 5);
        upstream.warm(node(), questions(many, EACH));
        let place = Place { name: "systemd, a pair of units", server: node(), upstream: &upstream };

        // As docs/systemd.md tells to get there.
        let phase = place.phase((1, "way there"), 2 * EACH, |_, _| {
            for command in [format!("start {}", PAIR[0]), format!("stop {ALONE}"), format!("start {}", PAIR[1])] {
                booted.says(&format!("systemctl {command}"));
            }
        });
        phase.lost_nothing().was_quick().kept_its_cache();
        assert_eq!(roles(&booted), PAIR);
        let forget_starts = || booted.says(&format!("systemctl reset-failed {}", PAIR.join(" ")));

        forget_starts();
        let phase = place.phase((many, "restarts"), EACH, |_, _| {
            let [serves, _] = roles(&booted);
            booted.says(&format!("systemctl restart {serves}"));
        });
        phase.lost_nothing().was_quick().kept_its_cache();

        forget_starts();
        let phase = place.phase((few, "upgrades"), 2 * EACH, |_, _| {
            booted.install_binary();
            // In whatever order: one is left that serves.
            for unit in PAIR {
                booted.says(&format!("systemctl restart {unit}"));
            }
        });
        phase.lost_nothing().was_quick().kept_its_cache();

        forget_starts();
        let phase = place.phase((few, "`kill -9`"), 2 * EACH, |going, _| {
            let [one, other] = roles(&booted);
            let process = booted.shows(one, "MainPID");
            going.dies(|| booted.kills(one, "KILL"));
            until("the other one to serve", || serves(&booted, other).then_some(()));
            until("systemd to start it again", || booted.is_started_again(one, &process).then_some(()));
        });
        phase.lost_what_was_under_way();
        assert!(phase.longest() < Duration::from_millis(500), "nobody waited for systemd: {:?}", phase.longest());
    });
}

#[test]
#[ignore = "boots a Debian: ci/test --all"]
fn the_resolv_conf_stays_while_one_of_the_pair_serves_and_comes_back_when_none_does() {
    booted(|booted| {
        let upstream = Upstream::start();
        booted.configure(&config(&upstream, &format!("{INTERFACE}{OWN}")));
        booted.write("/etc/resolv.conf", BEFORE);
        booted.says(&format!("systemctl start {}", PAIR.join(" ")));
        let [first, second] = roles(&booted);
        booted.says("zerohop resolv-conf install --force");
        let installed = booted.read("/etc/resolv.conf");
        assert_ne!(installed, BEFORE);

        let restored =
            || booted.shows("zerohop-restore.service", "ExecMainExitTimestampMonotonic").parse::<u64>().unwrap();
        let last = Cell::new(restored());
        let fails = |unit: &str| {
            assert!(!booted.runs(&format!("systemctl restart {unit}")).status.success());
            until("the unit to fail", || (booted.shows(unit, "ActiveState") == "failed").then_some(()));
            until("what is done then", || {
                let is_done = booted.shows("zerohop-restore.service", "ActiveState") == "inactive";
                (is_done && restored() != last.get()).then(|| last.set(restored()))
            });
        };
        // A fault that is there at the start.
        booted.configure("[server]\nlisten = 1\n");
        fails(first);
        assert_eq!(question().udp(node()).data(A), ["10.0.0.0"], "by the other one");
        assert_eq!(booted.read("/etc/resolv.conf"), installed, "{}", booted.journal());
        fails(second);
        assert!(is_refused(&question()));
        assert_eq!(booted.read("/etc/resolv.conf"), BEFORE, "{}", booted.journal());
    });
}
