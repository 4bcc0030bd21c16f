//! The device that has our addresses: what is missing is made, what is ours is adopted, and nothing
//! of anybody else's is touched.
//!
//! A dummy is ours when it has our mark, or nothing but addresses of ours on it. A kernel without
//! dummies has the addresses on its loopback device instead, where only what we add is ours.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use super::fault::{Fault, add_command};
use super::route::{Address, Link, News, Route};

/// The alias of the devices that we make: `ip link` shows it.
const MARK: &str = "zerohop";
const LOOPBACK: &str = "lo";

/// How often it is looked whether an address is ready, and how long it takes at most between.
const LOOKS: u32 = 100;
const BETWEEN_LOOKS: Duration = Duration::from_millis(1);

/// See the module's head.
#[derive(Debug)]
pub(super) struct Device {
    route: Route,
    /// As it is configured.
    name: String,
    /// What it has to have.
    wanted: Vec<IpAddr>,
    /// What it may have, since it did before.
    tolerated: Vec<IpAddr>,
    /// Where the addresses are, since it was last looked at.
    home: Option<Link>,
    /// What this process has added, on whatever device.
    added: Vec<IpAddr>,
    /// Whether nobody else serves at what an earlier configuration has left.
    is_ours_alone: bool,
}

impl Device {
    /// `tolerated` are addresses that it may have from before, and will have once they are claimed.
    pub(super) fn new(name: &str, wanted: Vec<IpAddr>, tolerated: Vec<IpAddr>) -> Result<Self, Fault> {
        let route = Route::open().map_err(|error| refused("open a netlink socket", error))?;
        Ok(Self {
            route,
            name: name.to_owned(),
            wanted,
            tolerated,
            home: None,
            added: Vec::new(),
            is_ours_alone: false,
        })
    }

    /// The device's name; that of the loopback device where the kernel has no dummies.
    pub(super) fn name(&self) -> &str {
        self.home.as_ref().map_or(&self.name, |home| &home.name)
    }

    /// Makes it what it has to be. Returns what was done for that, in words; nothing if it was.
    pub(super) fn set_right(&mut self) -> Result<Vec<String>, Fault> {
        let (mut home, addresses) = (self.find()?, self.addresses()?);
        if let Some(fault) = self.elsewhere(&self.wanted.clone(), home.as_ref(), &addresses)? {
            return Err(fault);
        }
        let mut done = Vec::new();
        if home.is_none() {
            home = Some(self.make(&mut done)?);
        }
        let Some(home) = home else { return Ok(done) };
        let (ours, strangers): (Vec<_>, Vec<_>) = addresses
            .into_iter()
            .filter(|address| address.device == home.index && !address.is_of_every_device)
            .filter(|address| !self.tolerated.contains(&address.ip))
            .partition(|address| self.wanted.contains(&address.ip));
        if !home.is_loopback {
            self.send_away(&home, &strangers, &mut done)?;
        }
        for &ip in &self.wanted.clone() {
            if ours.iter().all(|address| address.ip != ip) {
                let result = self.route.add_address(home.index, ip);
                self.allowed(result, Some(&home), || format!("give {} the address {ip}", home.name))?;
                if !self.added.contains(&ip) {
                    self.added.push(ip);
                }
                done.push(format!("{ip} added"));
            }
        }
        if !home.is_up {
            let result = self.route.set_up(home.index);
            self.allowed(result, Some(&home), || format!("set {} up", home.name))?;
            done.push("set up".to_owned());
        }
        self.home = Some(home);
        Ok(done)
    }

    /// The fault that one of these addresses is on another device than ours, if one is.
    pub(super) fn held_elsewhere(&mut self, ips: &[IpAddr]) -> Result<Option<Fault>, Fault> {
        let (home, addresses) = (self.find()?, self.addresses()?);
        self.elsewhere(ips, home.as_ref(), &addresses)
    }

    /// An address that the kernel does not deliver to us although the device has it. For IPv6 it gets ready
    /// a moment after it was added, and says nothing then.
    pub(super) fn undelivered(&mut self, ips: &[IpAddr]) -> Result<Option<IpAddr>, Fault> {
        let mut far = self.first_far(ips)?;
        for _ in 0..LOOKS {
            if far.is_none() {
                break;
            }
            std::thread::park_timeout(BETWEEN_LOOKS);
            far = self.first_far(ips)?;
        }
        Ok(far)
    }

    fn first_far(&mut self, ips: &[IpAddr]) -> Result<Option<IpAddr>, Fault> {
        for &ip in ips {
            let is_local = self.route.is_local(ip).map_err(|error| refused(&format!("say where {ip} is"), error))?;
            if !is_local {
                return Ok(Some(ip));
            }
        }
        Ok(None)
    }

    /// Whether the news may mean that it is not as it was.
    pub(super) fn is_concerned(&self, news: &News) -> bool {
        let home = self.home.as_ref().map(|home| home.index);
        match news {
            News::Link(link) => Some(link.index) == home || link.name == self.name,
            News::Address(address) => {
                Some(address.device) == home
                    || self.wanted.contains(&address.ip)
                    || self.tolerated.contains(&address.ip)
            }
        }
    }

    /// From now on what an earlier configuration has left is removed.
    pub(super) fn tidy(&mut self) {
        self.is_ours_alone = true;
    }

    /// From now on it may have these.
    pub(super) fn expect(&mut self, ips: &[IpAddr]) {
        let new = |ip: &&IpAddr| !self.wanted.contains(ip) && !self.tolerated.contains(ip);
        let new: Vec<IpAddr> = ips.iter().filter(new).copied().collect();
        self.tolerated.extend(new);
    }

    /// From now on it has to have these as well, and they are ours wherever they come from: nobody else
    /// puts the address of a service there but another run of ours.
    pub(super) fn claim(&mut self, ips: &[IpAddr]) {
        self.tolerated.retain(|ip| !ips.contains(ip));
        self.wanted.retain(|ip| !ips.contains(ip));
        self.wanted.extend(ips);
        self.added.retain(|ip| !ips.contains(ip));
        self.added.extend(ips);
    }

    /// Takes away these addresses, where they are ours.
    pub(super) fn give_up(&mut self, ips: &[IpAddr]) {
        self.spare(ips);
        self.take_away(ips);
    }

    /// Has these as well from now on.
    pub(super) fn widen(&mut self, ips: &[IpAddr]) -> Result<Vec<String>, Fault> {
        let before = (self.wanted.clone(), self.tolerated.clone());
        self.tolerated.retain(|ip| !ips.contains(ip));
        self.wanted.extend(ips.iter().filter(|ip| !before.0.contains(ip)));
        self.set_right().inspect_err(|_| {
            (self.wanted, self.tolerated) = before;
            let new = |ip: &mut IpAddr| ips.contains(ip) && !self.wanted.contains(ip);
            let added = self.added.extract_if(.., new).collect();
            self.remove_addresses(added);
        })
    }

    /// May be without these from now on.
    pub(super) fn spare(&mut self, ips: &[IpAddr]) {
        self.wanted.retain(|ip| !ips.contains(ip));
        self.tolerated.retain(|ip| !ips.contains(ip));
        self.tolerated.extend(ips);
    }

    /// Takes away what it may be without, where that is ours. What is not stays, and nobody minds.
    pub(super) fn let_go(&mut self, ips: &[IpAddr]) {
        let taken = self.take_away(ips);
        self.tolerated.retain(|ip| !taken.contains(ip));
    }

    fn take_away(&mut self, ips: &[IpAddr]) -> Vec<IpAddr> {
        let is_ours = self.home.as_ref().is_some_and(|home| home.alias.as_deref() == Some(MARK));
        let added: Vec<IpAddr> = self.added.extract_if(.., |ip| ips.contains(ip)).collect();
        let taken = if is_ours { ips.to_vec() } else { added };
        self.remove_addresses(taken.clone());
        taken
    }

    /// Takes away all that is ours: the device if it has our mark, else the addresses that we added.
    pub(super) fn remove(&mut self) {
        let added = std::mem::take(&mut self.added);
        match self.home.take() {
            Some(home) if home.alias.as_deref() == Some(MARK) => {
                if let Err(error) = self.route.remove(home.index) {
                    tracing::warn!(device = home.name, %error, "the device could not be removed");
                }
            }
            home => {
                self.home = home;
                self.remove_addresses(added);
            }
        }
    }

    fn remove_addresses(&mut self, ips: Vec<IpAddr>) {
        let Some(home) = &self.home else { return };
        for ip in ips {
            if let Err(error) = self.route.remove_address(home.index, ip) {
                tracing::warn!(device = home.name, address = %ip, %error, "the address could not be removed");
            }
        }
    }

    /// The device of our name, or the loopback device once that has been taken instead.
    fn find(&mut self) -> Result<Option<Link>, Fault> {
        let look = |error| refused("say what devices there are", error);
        if let Some(link) = self.route.named(&self.name).map_err(look)? {
            let is_dummy = link.kind.as_deref() == Some("dummy");
            if !is_dummy && !link.is_loopback {
                return Err(Fault::Foreign { name: link.name, kind: link.kind });
            }
            return Ok(Some(link));
        }
        let Some(lo) = self.route.named(LOOPBACK).map_err(look)? else { return Ok(None) };
        let is_home = self.home.as_ref().is_some_and(|home| home.is_loopback);
        let addresses = self.addresses()?;
        let on_lo = |ip: &IpAddr| addresses.iter().any(|address| (address.device, address.ip) == (lo.index, *ip));
        let has_all = !self.wanted.is_empty() && self.wanted.iter().all(on_lo);
        Ok((is_home || has_all).then_some(lo))
    }

    fn addresses(&mut self) -> Result<Vec<Address>, Fault> {
        self.route.addresses().map_err(|error| refused("say what addresses there are", error))
    }

    fn elsewhere(&mut self, ips: &[IpAddr], home: Option<&Link>, all: &[Address]) -> Result<Option<Fault>, Fault> {
        let home = home.map(|home| home.index);
        let Some(found) = all.iter().find(|at| ips.contains(&at.ip) && Some(at.device) != home) else {
            return Ok(None);
        };
        let device = self.route.numbered(found.device).map_err(|error| refused("name a device", error))?;
        let device = device.map_or_else(|| found.device.to_string(), |link| link.name);
        Ok(Some(Fault::Elsewhere { ip: found.ip, length: found.length, device, name: self.name().to_owned() }))
    }

    /// Makes the dummy; the loopback device it is where the kernel has none.
    fn make(&mut self, done: &mut Vec<String>) -> Result<Link, Fault> {
        let made = self.route.add_dummy(&self.name);
        if made.as_ref().is_err_and(|error| error.raw_os_error() == Some(libc::EOPNOTSUPP)) {
            done.push(format!("this kernel has no dummy devices: {LOOPBACK} has the addresses"));
            return self.link(LOOPBACK);
        }
        let what = || format!("make the device {}", self.name);
        let made = self.allowed(made, None, what);
        made?;
        done.push("made".to_owned());
        let link = self.link(&self.name.clone())?;
        // Without the mark it is ours as well, as long as nothing else is on it.
        let _ = self.route.mark(link.index, MARK);
        self.link(&self.name.clone())
    }

    fn link(&mut self, name: &str) -> Result<Link, Fault> {
        let found = self.route.named(name).map_err(|error| refused("say what devices there are", error))?;
        found.ok_or_else(|| refused(&format!("find the device {name}"), io::Error::from_raw_os_error(libc::ENODEV)))
    }

    /// Removes what an earlier configuration has left on a device with our mark.
    fn send_away(&mut self, home: &Link, strangers: &[Address], done: &mut Vec<String>) -> Result<(), Fault> {
        for stranger in strangers {
            let (ip, length) = (stranger.ip, stranger.length);
            let is_single = length == if ip.is_ipv4() { 32 } else { 128 };
            if home.alias.as_deref() != Some(MARK) || !is_single {
                return Err(Fault::Inhabited { name: home.name.clone(), ip, length });
            }
            if !self.is_ours_alone {
                continue;
            }
            let result = self.route.remove_address(home.index, ip);
            self.allowed(result, Some(home), || format!("take {ip} from {}", home.name))?;
            done.push(format!("{ip} removed, which is not configured any more"));
        }
        Ok(())
    }

    /// Explains what the kernel did not do.
    fn allowed(&self, result: io::Result<()>, home: Option<&Link>, what: impl Fn() -> String) -> Result<(), Fault> {
        let Err(error) = result else { return Ok(()) };
        if error.raw_os_error() != Some(libc::EPERM) {
            return Err(refused(&what(), error));
        }
        let name = home.map_or(&self.name, |home| &home.name);
        let make = home.is_none().then(|| format!("ip link add {name} type dummy"));
        let add = self.wanted.iter().map(|ip| add_command(*ip, name));
        let up = format!("ip link set {name} up");
        Err(Fault::NotAllowed { name: name.clone(), commands: make.into_iter().chain(add).chain([up]).collect() })
    }
}

fn refused(what: &str, error: io::Error) -> Fault {
    Fault::Refused { what: what.to_owned(), error }
}
