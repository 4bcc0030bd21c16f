//! `zerohop resolv-conf`: the node is pointed at the daemon, and back.

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::check::CONFIG_FAULT;
use crate::admin::control::{self, Request};
use crate::config::{self, Control, Source, USUAL_FILE, VARIABLE};
use crate::node::resolv_conf::{Fault, Plan, RESOLV_CONF, Root, Status, ask, install, restore, status};

/// The only port that resolv.conf can mean.
const DNS_PORT: u16 = 53;
const FAILURE: u8 = 1;
/// The exit code of a command line that cannot be understood, as clap has it.
const USAGE: u8 = 2;

#[derive(Clone, Debug, Args)]
pub(super) struct ResolvConf {
    /// Where the files of the node are: an image, or its mount in a container
    #[arg(long, global = true, value_name = "DIR", default_value = "/")]
    root: PathBuf,
    #[command(subcommand)]
    call: Call,
}

#[derive(Clone, Debug, Subcommand)]
enum Call {
    /// Have the node ask the daemon, and keep what was there
    Install {
        /// Where the daemon answers, on port 53 [default: the first listen address on that port]
        #[arg(long)]
        address: Option<IpAddr>,
        /// Even if nobody answers there, or no other nameserver is known
        #[arg(long)]
        force: bool,
    },
    /// Bring back what was there; needs no configuration and no daemon
    Restore {
        /// Unless an instance of the daemon is alive, as `zerohop health` has it
        #[arg(long)]
        unless_served: bool,
    },
    /// Tell who is asked, and who writes /etc/resolv.conf
    Status {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

/// Returns the exit code: 0 when all is as it was asked for, 1 when it is not, 2 for an address that
/// can be none, 78 when the configuration was needed and has errors.
pub(super) fn resolv_conf(config: Option<PathBuf>, said: ResolvConf, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    let root = Root::new(said.root);
    let done = match said.call {
        Call::Install { address, force } => point(config, &root, address, force, out, err),
        Call::Restore { unless_served } => bring_back(config, &root, unless_served, out, err),
        Call::Status { json } => status(&root).map_or_else(|fault| fail(&fault, err), |found| show(&found, json, out)),
    };
    done.unwrap_or(FAILURE)
}

fn point(
    config: Option<PathBuf>,
    root: &Root,
    address: Option<IpAddr>,
    force: bool,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<u8> {
    if let Some(address) = address.filter(|address| address.is_unspecified() || address.is_multicast()) {
        writeln!(err, "zerohop: --address {address}: nobody can be asked there; write an address of the daemon")?;
        return Ok(USAGE);
    }
    let source = source(config, root);
    let listen = match config::load(&source) {
        Ok(loaded) => loaded.config.addresses(),
        // What the daemon answers elsewhere is only left out of what is kept.
        Err(_) if address.is_some() => Vec::new(),
        Err(faults) => {
            write!(err, "{faults}")?;
            return Ok(CONFIG_FAULT);
        }
    };
    let first = || listen.iter().find(|address| address.port() == DNS_PORT).map(|address| specified(address.ip()));
    let Some(address) = address.or_else(first) else {
        writeln!(
            err,
            "zerohop: {source}: no listen address is on port {DNS_PORT}, which is the only one that {RESOLV_CONF} can \
             mean; write one into `server.listen`, or name one with --address"
        )?;
        return Ok(FAILURE);
    };
    let server = SocketAddr::new(address, DNS_PORT);
    if let Err(silence) = ask(server) {
        let but = if force { "warning: " } else { "" };
        let then = if force { "installed all the same" } else { "start zerohop first, or give --force" };
        writeln!(err, "zerohop: {but}{server} does not answer: {silence}; {then}")?;
        if !force {
            return Ok(FAILURE);
        }
    }
    let own: Vec<SocketAddr> = listen.into_iter().chain([server]).collect();
    carry_out(install(root, address, &own, force), root, out, err)
}

fn bring_back(
    config: Option<PathBuf>,
    root: &Root,
    unless_served: bool,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<u8> {
    let control = unless_served.then(|| Control::of(&source(config, root)).path()).flatten();
    let is_alive = |path: &PathBuf| control::ask(path, &Request::Health).is_ok_and(|reply| reply.done);
    if let Some(path) = control.filter(is_alive) {
        writeln!(out, "{}: whoever serves with it is alive; all is left as it is", path.display())?;
        return Ok(0);
    }
    carry_out(restore(root), root, out, err)
}

/// The configuration of the node whose files these are.
fn source(config: Option<PathBuf>, root: &Root) -> Source {
    Source::choose(config, std::env::var_os(VARIABLE), &root.at(USUAL_FILE))
}

/// Where to ask whoever listens everywhere.
fn specified(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(address) if address.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(address) if address.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        address => address,
    }
}

/// Says how it is only once it is so.
fn carry_out(plan: Result<Plan, Fault>, root: &Root, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<u8> {
    let plan = match plan.and_then(|plan| plan.carry_out(root).map(|()| plan)) {
        Ok(plan) => plan,
        Err(fault) => return fail(&fault, err),
    };
    plan.warnings.iter().try_for_each(|warning| writeln!(err, "zerohop: warning: {warning}"))?;
    plan.done.iter().try_for_each(|line| writeln!(out, "{line}"))?;
    Ok(if plan.is_whole { 0 } else { FAILURE })
}

fn fail(fault: &Fault, err: &mut dyn Write) -> io::Result<u8> {
    writeln!(err, "zerohop: {fault}")?;
    Ok(FAILURE)
}

fn show(status: &Status, json: bool, out: &mut dyn Write) -> io::Result<u8> {
    if json {
        serde_json::to_writer_pretty(&mut *out, status)?;
        writeln!(out)?;
        return Ok(0);
    }
    let none = |words: &[String]| if words.is_empty() { "nobody".to_owned() } else { words.join(", ") };
    let state = match (status.active, status.whole) {
        (true, true) => "installed",
        (true, false) => "installed in part; run `zerohop resolv-conf install` or `restore`",
        (false, true) => "not installed",
        (false, false) => "not installed, and something is left of an install; run `install` or `restore`",
    };
    writeln!(out, "state:     {state}")?;
    writeln!(out, "asked:     {}", none(&status.nameservers))?;
    writeln!(out, "manager:   {}", status.manager)?;
    if let Some(file) = status.manager_file {
        writeln!(out, "told by:   {file}")?;
    }
    if let Some(file) = status.upstream_file {
        writeln!(out, "upstreams: {file} ({})", none(&status.upstreams))?;
    }
    if let Some(file) = status.saved_file {
        let what = status.saved_link.as_ref().map_or_else(|| "a file".to_owned(), |to| format!("a link to {to}"));
        writeln!(out, "saved:     {file} ({what})")?;
    }
    if let Some(file) = &status.kubelet {
        writeln!(out, "kubelet:   {file}")?;
    }
    status.warnings.iter().try_for_each(|warning| writeln!(out, "warning:   {warning}"))?;
    Ok(0)
}
