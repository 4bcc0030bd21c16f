//! Files that change are read again by themselves, whatever way they change, and nothing else is.

use std::fs::{File, create_dir_all, remove_dir_all, rename, write};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType::A;

use super::certificates::Authority;
use super::client::{Ask, ask};
use super::config_map;
use super::harness::{Zerohop, http};
use super::process::{Process, find, free_address, skip};
use super::tls_server::TlsServer;
use super::wait::until;

/// A zone with one record.
fn own(address: &str) -> String {
    format!("[[zone]]\nname = \"own.example\"\nrecords = [\"a A {address}\"]\n")
}

/// Waits until the record is this.
fn becomes(zerohop: &Zerohop, address: &str) {
    until(&format!("{address} to be true"), || {
        (ask(zerohop.address, "a.own.example.", A).data(A) == [address]).then_some(())
    });
}

#[test]
fn the_configuration_is_swapped_like_a_config_map() {
    let zerohop = Zerohop::start(&own("10.0.0.0"));
    let directory = zerohop.config().parent().unwrap().to_owned();
    for number in 1..=5 {
        let address = format!("10.0.0.{number}");
        config_map::swap(&directory, &[("zerohop.toml", zerohop.config_text(&own(&address)))]);
        becomes(&zerohop, &address);
    }
    until("all five to be counted", || (zerohop.reloads() == (5, 0)).then_some(()));
}

#[test]
fn an_editor_writes_another_file_or_the_same_one_bit_by_bit() {
    let zerohop = Zerohop::start(&own("10.0.0.1"));
    let new = zerohop.config().with_extension("new");
    write(&new, zerohop.config_text(&own("10.0.0.2"))).unwrap();
    rename(&new, zerohop.config()).unwrap();
    becomes(&zerohop, "10.0.0.2");
    let text = zerohop.config_text(&own("10.0.0.3"));
    let (first, second) = text.split_at(text.len() - 10);
    let mut file = File::create(zerohop.config()).unwrap();
    file.write_all(first.as_bytes()).unwrap();
    file.write_all(second.as_bytes()).unwrap();
    drop(file);
    becomes(&zerohop, "10.0.0.3");
    until("both to be counted", || (zerohop.reloads() == (2, 0)).then_some(()));
    // Who closes it half-written has it read half-written, which changes nothing.
    write(zerohop.config(), first).unwrap();
    until("half a file to be turned down", || (zerohop.reloads() == (2, 1)).then_some(()));
    assert_eq!(zerohop.metrics().sum("zerohop_config_current", &[]), 0);
    becomes(&zerohop, "10.0.0.3");
    let mut file = File::options().append(true).open(zerohop.config()).unwrap();
    file.write_all(second.as_bytes()).unwrap();
    drop(file);
    until("the whole of it", || (zerohop.reloads() == (3, 1)).then_some(()));
    assert_eq!(zerohop.metrics().sum("zerohop_config_current", &[]), 1);
}

#[test]
fn files_that_the_configuration_names_are_read_again_and_only_when_they_differ() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let hosts = |address: &str| write(at("hosts"), format!("{address} a.own.example\n")).unwrap();
    hosts("10.0.0.1");
    write(at("zone"), "$INCLUDE included\n").unwrap();
    write(at("included"), "b A 10.0.1.1\n").unwrap();
    let zone = format!("[[zone]]\nname = \"own.example\"\nhosts = [{:?}]\nzone-file = {:?}\n", at("hosts"), at("zone"));
    let zerohop = Zerohop::start(&zone);
    let noise = || {
        let text = std::fs::read(at("hosts")).unwrap();
        write(at("hosts"), text).unwrap();
        std::fs::set_permissions(at("zone"), std::fs::Permissions::from_mode(0o600)).unwrap();
        write(at("beside"), "what nobody reads").unwrap();
    };
    for number in 2..6 {
        hosts(&format!("10.0.0.{number}"));
        becomes(&zerohop, &format!("10.0.0.{number}"));
        noise();
    }
    write(at("included"), "b A 10.0.1.2\n").unwrap();
    until("the included file", || (ask(zerohop.address, "b.own.example.", A).data(A) == ["10.0.1.2"]).then_some(()));
    noise();
    std::fs::remove_file(at("hosts")).unwrap();
    until("a file that is gone to be a fault", || (zerohop.reloads() == (5, 1)).then_some(()));
    becomes(&zerohop, "10.0.0.5");
    hosts("10.0.0.6");
    becomes(&zerohop, "10.0.0.6");
    until("nothing else to be counted", || (zerohop.reloads() == (6, 1)).then_some(()));
}

/// The servers that are asked.
fn servers(zerohop: &Zerohop) -> Vec<String> {
    let metrics = zerohop.metrics();
    let up = metrics.names().into_iter().filter(|name| name.starts_with("zerohop_upstream_up{"));
    up.map(|name| name.split("server=\"").nth(1).unwrap().split('"').next().unwrap().to_owned()).collect()
}

fn asks(zerohop: &Zerohop, server: &str) {
    until(&format!("{server} to be asked"), || (servers(zerohop) == [server]).then_some(()));
}

fn resolv_conf(path: &Path) -> String {
    format!("[[zone]]\nname = \".\"\nforward = [\"resolv-conf:{}\"]\n", path.display())
}

#[test]
fn resolv_conf_leads_elsewhere_and_its_directory_is_made_again() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let put = |name: &str, server: &str| {
        create_dir_all(at(name).parent().unwrap()).unwrap();
        write(at(name), format!("nameserver {server}\n")).unwrap();
    };
    put("run/resolve/stub", "127.0.3.1");
    put("else/conf", "127.0.3.2");
    create_dir_all(at("etc")).unwrap();
    symlink("../run/resolve/stub", at("etc/resolv.conf")).unwrap();
    let zerohop = Zerohop::start(&resolv_conf(&at("etc/resolv.conf")));
    asks(&zerohop, "127.0.3.1:53");
    put("run/resolve/stub", "127.0.3.3");
    asks(&zerohop, "127.0.3.3:53");
    symlink("../else/conf", at("etc/new")).unwrap();
    rename(at("etc/new"), at("etc/resolv.conf")).unwrap();
    asks(&zerohop, "127.0.3.2:53");
    put("else/conf", "127.0.3.4");
    asks(&zerohop, "127.0.3.4:53");
    remove_dir_all(at("else")).unwrap();
    until("its end", || (zerohop.reloads() == (3, 1)).then_some(()));
    asks(&zerohop, "127.0.3.4:53");
    put("else/conf", "127.0.3.5");
    asks(&zerohop, "127.0.3.5:53");
    // Faster than it can be noticed.
    remove_dir_all(at("else")).unwrap();
    put("else/conf", "127.0.3.6");
    asks(&zerohop, "127.0.3.6:53");
}

#[test]
fn an_emptied_resolv_conf_takes_no_upstream_away_and_holds_nothing_else_up() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("resolv.conf");
    write(&file, "nameserver 127.0.3.1\n").unwrap();
    let zerohop = Zerohop::start(&(own("10.0.0.1") + &resolv_conf(&file)));
    let is_current = || zerohop.metrics().sum("zerohop_config_current", &[]) == 1;
    write(&file, "").unwrap();
    until("the emptied file", || (zerohop.reloads() == (0, 1)).then_some(()));
    zerohop.log_line(&["ERROR", "resolv.conf: no upstream servers: the file names none"]);
    assert!(!is_current());
    asks(&zerohop, "127.0.3.1:53");
    zerohop.write_config(&(own("10.0.0.2") + &resolv_conf(&file)));
    becomes(&zerohop, "10.0.0.2");
    assert!(!is_current());
    asks(&zerohop, "127.0.3.1:53");
    std::fs::remove_file(&file).unwrap();
    zerohop.log_line(&["ERROR", "resolv.conf: no upstream servers: the file cannot be read"]);
    asks(&zerohop, "127.0.3.1:53");
    // Of another file there is nothing that could be kept.
    let absent = directory.path().join("absent");
    zerohop.write_config(&(own("10.0.0.3") + &resolv_conf(&absent)));
    zerohop.log_line(&["ERROR", "absent: no upstream servers"]);
    zerohop.log_line(&["ERROR", "not reloaded"]);
    becomes(&zerohop, "10.0.0.2");
    write(&absent, "nameserver 127.0.3.2\n").unwrap();
    asks(&zerohop, "127.0.3.2:53");
    becomes(&zerohop, "10.0.0.3");
    until("all to be well", || is_current().then_some(()));
    assert_eq!(zerohop.reloads().0, 1);
}

#[test]
fn whom_an_upstream_is_believed_by_is_read_again() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let server = TlsServer::start(&authority.certify(&["dns.b.example"]), None, usize::MAX);
    let zerohop = Zerohop::start(&format!(
        "[[upstream]]\nname = \"b\"\nservers = [\"tls://{}#dns.b.example\"]\nca = {:?}\n[[zone]]\nname = \".\"\nforward = [\"b\"]",
        server.address,
        stranger.file()
    ));
    assert_eq!(ask(zerohop.address, "a.example.", A).rcode(), ResponseCode::ServFail);
    std::fs::copy(authority.file(), stranger.file()).unwrap();
    until("the new authority to be believed", || (zerohop.reloads() == (1, 0)).then_some(()));
    assert_eq!(ask(zerohop.address, "b.example.", A).data(A), ["192.0.2.1"]);
}

#[test]
fn where_nothing_can_be_watched_files_are_looked_at() {
    let Some(unshare) = find("unshare", "util-linux") else { return };
    let directory = tempfile::tempdir().unwrap();
    let (address, admin) = (free_address(), free_address());
    let config = directory.path().join("zerohop.toml");
    let put = |record: &str| {
        let server = format!("[server]\nlisten = [\"{address}\"]\n[admin]\nlisten = \"{admin}\"\ncontrol = \"off\"\n");
        write(&config, server + &own(record)).unwrap();
    };
    put("10.0.0.1");
    let script = "echo 0 > /proc/sys/user/max_inotify_instances && exec \"$0\" --config \"$1\"";
    let mut command = Command::new(unshare);
    command.args(["--user", "--map-root-user", "sh", "-c", script, env!("CARGO_BIN_EXE_zerohop")]).arg(&config);
    let mut process = Process::start(&mut command, &directory.path().join("log"));
    let is_ready = until("readiness", || {
        let ended = process.ended().is_some();
        (ended || http(admin, "/ready").is_some_and(|(status, _)| status == 200)).then_some(!ended)
    });
    if !is_ready && process.output().contains("unshare failed") {
        return skip("leave to make user namespaces");
    }
    assert!(is_ready && process.output().contains("files cannot be watched"), "{}", process.output());
    put("10.0.0.2");
    until("the next look", || (Ask::new("a.own.example.", A).udp(address).data(A) == ["10.0.0.2"]).then_some(()));
}
