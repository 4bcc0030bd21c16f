//! A stop in the middle of a reload, two hundred times: it ends as any stop does, and nothing stays.

use std::net::{TcpListener, UdpSocket};
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::harness::{Zerohop, zerohop};
use super::process::free_address;
use super::wait::now;

const STOPS: usize = 200;
const AT_ONCE: usize = 4;
/// How long a stop may take that has nothing to answer.
const LONGEST: Duration = Duration::from_secs(5);
/// Records that take a reload some time, whatever the build.
const MANY: usize = if cfg!(debug_assertions) { 2000 } else { 20_000 };

/// When the signal comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    /// So many milliseconds after the file was written: what happens there is noticed after 100.
    After(u32),
    /// With a SIGHUP in front of it.
    Together,
    /// While `zerohop reload` asks.
    Asked,
    /// So many milliseconds after it has begun to read.
    Reading(u32),
}

fn moment(number: usize) -> Moment {
    let step = u32::try_from(number / 4).unwrap();
    match number % 4 {
        0 => Moment::After(step * 5),
        1 => Moment::Together,
        2 => Moment::Asked,
        _ => Moment::Reading(step % 10),
    }
}

fn records(count: usize, address: &str) -> String {
    let records: Vec<String> = (0..count).map(|name| format!("\"n{name} A {address}\"")).collect();
    format!("[[zone]]\nname = \"own.example\"\nrecords = [{}]\n", records.join(", "))
}

/// Starts one, has it reload, and stops it. Returns whether it was reading just then.
fn stop_at(moment: Moment) -> bool {
    let is_large = matches!(moment, Moment::Reading(_));
    let count = if is_large { MANY } else { 1 };
    let mut instance = Zerohop::start(&records(1, "10.0.0.1"));
    let second = free_address();
    let (first, admin) = (instance.address, instance.admin);
    let text = instance.config_listening(&[first, second], &records(count, "10.0.0.2"));
    std::fs::write(instance.config(), text).unwrap();
    let mut asking = None;
    match moment {
        Moment::After(time) => thread::park_timeout(Duration::from_millis(time.into())),
        Moment::Together => instance.process.signal(Signal::SIGHUP),
        Moment::Asked => {
            let mut command = zerohop();
            command.arg("reload").arg("--config").arg(instance.config());
            asking = Some(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        }
        Moment::Reading(time) => {
            instance.process.until_says("files have changed");
            thread::park_timeout(Duration::from_millis(time.into()));
        }
    }
    let log = instance.process.output();
    let is_reading = log.contains("files have changed") && !log.contains("configuration reloaded");
    let told = now();
    instance.process.signal(Signal::SIGTERM);
    assert_eq!(instance.process.exit_code(), Some(0), "{moment:?}: {}", instance.process.output());
    assert!(told.elapsed() < LONGEST, "{moment:?}: {:?}", told.elapsed());
    // Whoever asked is told something, or that nobody is there any more.
    asking.map(|mut asking| asking.wait().unwrap());
    let log = instance.process.output();
    assert!(
        log.ends_with('\n') && log.lines().last().unwrap().contains("\"message\":\"stopped\""),
        "{moment:?}: {log}"
    );
    assert!(!log.contains("panicked") && !log.contains("ERROR"), "{moment:?}: {log}");
    for address in [first, second, admin] {
        TcpListener::bind(address).unwrap();
        UdpSocket::bind(address).unwrap();
    }
    let directory = instance.config().parent().unwrap().to_owned();
    let mut left: Vec<_> = directory.read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["control.sock.lock", "log", "zerohop.toml"], "{moment:?}");
    is_reading
}

#[test]
fn two_hundred_stops_at_every_moment_of_a_reload_leave_nothing_behind() {
    let (next, reading) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(number) = Some(next.fetch_add(1, Relaxed)).filter(|&number| number < STOPS) {
                    reading.fetch_add(usize::from(stop_at(moment(number))), Relaxed);
                }
            });
        }
    });
    let reading = reading.into_inner();
    println!("{reading} of {STOPS} stops came while it was reading");
    assert!(reading >= 10, "{reading}");
}
