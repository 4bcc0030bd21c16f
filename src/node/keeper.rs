//! Keeps the device as it should be for as long as the daemon runs.

use std::future::pending;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use tokio::io::unix::AsyncFd;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::device::Device;
use super::fault::Fault;
use super::intercept::Interception;
use super::netlink::Socket;
use super::route;
use crate::config::Interface;
use crate::metrics::Control;

/// How often it is looked at, in case news were lost.
const PERIOD: Duration = Duration::from_secs(30);
/// How often at most, should somebody else keep changing it.
const PACE: Duration = Duration::from_millis(100);

/// See the module's head. Without `[interface]` it keeps nothing.
pub struct Keeper {
    pub(super) kept: Option<Kept>,
    /// What the configuration says, kept or not.
    pub(super) said: Option<Interface>,
    /// What it said no more at a reload, while questions that came in there are answered.
    pub(super) retired: Option<Kept>,
}

pub(super) struct Kept {
    /// As the device is configured since the start.
    pub(super) name: String,
    /// Those of its own that it has to have.
    pub(super) addresses: Vec<IpAddr>,
    /// Addresses that the device has until they are let go.
    pub(super) leaving: Vec<IpAddr>,
    pub(super) device: Device,
    pub(super) interception: Interception,
    pub(super) remove_on_exit: bool,
    news: AsyncFd<Socket>,
    period: Interval,
    pace: Interval,
    /// Something has happened that nobody has looked at.
    disturbed: bool,
    /// It is time to look at what stands against interception, too.
    thorough: bool,
    /// What was wrong when it was last looked at.
    wrong: Option<String>,
}

impl Keeper {
    /// Makes the device what it has to be.
    ///
    /// # Errors
    /// [`Fault`] when it cannot be.
    pub fn start(said: Option<&Interface>, control: &Control) -> Result<Self, Fault> {
        control.interface_right.set(1.0);
        let kept = said.map(Kept::start).transpose()?;
        Ok(Self { kept, said: said.cloned(), retired: None })
    }

    /// Keeps nothing, whatever is configured.
    pub fn none(said: Option<&Interface>, control: &Control) -> Self {
        control.interface_right.set(0.0);
        Self { kept: None, said: said.cloned(), retired: None }
    }

    /// For when the sockets are ours, and so no other instance serves here: what an earlier one has left
    /// goes, and the questions for the addresses of `intercept` are taken, if they may.
    pub fn settle(&mut self, control: &Control) {
        let Some(kept) = &mut self.kept else { return };
        kept.device.tidy();
        match kept.device.set_right() {
            Ok(done) if done.is_empty() => {}
            Ok(done) => {
                tracing::info!(device = kept.device.name(), changes = done.join(", "), "interface is tidied up");
            }
            Err(fault) => tracing::error!(device = kept.device.name(), "interface cannot be tidied up: {fault}"),
        }
        kept.interception.tend(&mut kept.device);
        control.interception_active.set(f64::from(u8::from(kept.interception.is_active())));
    }

    /// Returns when it is to be looked at. May be dropped and called again.
    pub async fn disturbed(&mut self) {
        let Some(kept) = &mut self.kept else { return pending().await };
        if !kept.disturbed {
            tokio::select! {
                () = concerned(&kept.news, &kept.device) => {}
                _ = kept.period.tick() => kept.thorough = true,
            }
            kept.disturbed = true;
        }
        kept.pace.tick().await;
        kept.disturbed = false;
    }

    /// Looks at it, and puts back what is not as it should be.
    pub fn mend(&mut self, control: &Control) {
        let Some(kept) = &mut self.kept else { return };
        let mut right = kept.device.set_right();
        if std::mem::take(&mut kept.thorough) || right.is_err() || kept.interception.is_refused() {
            kept.interception.tend(&mut kept.device);
            control.interception_active.set(f64::from(u8::from(kept.interception.is_active())));
            right = right.or_else(|_| kept.device.set_right());
        }
        match right {
            Ok(done) => {
                if !done.is_empty() {
                    control.interface_repairs.increment(1);
                    let done = done.join(", ");
                    tracing::warn!(device = kept.device.name(), done, "interface repaired: somebody had changed it");
                } else if kept.wrong.is_some() {
                    tracing::info!(device = kept.device.name(), "interface is as it should be again");
                }
                kept.wrong = None;
            }
            Err(fault) => {
                let fault = fault.to_string();
                if kept.wrong.as_ref() != Some(&fault) {
                    tracing::error!(device = kept.device.name(), "interface cannot be repaired: {fault}");
                }
                kept.wrong = Some(fault);
            }
        }
        control.interface_right.set(if kept.wrong.is_some() { 0.0 } else { 1.0 });
    }

    /// Takes no more questions that are for others.
    pub fn stop_intercepting(&mut self) {
        if let Some(kept) = &mut self.kept {
            kept.interception.end();
        }
    }

    /// Leaves the node as it is to be without us.
    pub fn leave(&mut self) {
        for kept in self.kept.iter_mut().chain(&mut self.retired) {
            kept.leave();
        }
    }
}

impl Kept {
    pub(super) fn start(said: &Interface) -> Result<Self, Fault> {
        // Before the first look, so that nothing happens unseen behind it.
        #[expect(
            deprecated,
            reason = "its heir wants a promise that nobody else closes the descriptor; it is ours alone"
        )]
        let news = route::listen().and_then(AsyncFd::new);
        let news = news.map_err(|error| Fault::Refused { what: "open a netlink socket".to_owned(), error })?;
        let mut device = Device::new(&said.name, said.addresses.clone(), said.intercept.clone())?;
        let done = device.set_right()?;
        tracing::info!(device = device.name(), addresses = ?said.addresses, changes = done.join(", "), "interface is set up");
        let (mut period, mut pace) = (interval(PERIOD), interval(PACE));
        period.set_missed_tick_behavior(MissedTickBehavior::Delay);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let remove_on_exit = said.remove_on_exit;
        Ok(Self {
            name: said.name.clone(),
            addresses: said.addresses.clone(),
            leaving: Vec::new(),
            device,
            interception: Interception::of(said.intercept.clone(), &said.addresses),
            remove_on_exit,
            news,
            period,
            pace,
            disturbed: false,
            thorough: false,
            wrong: None,
        })
    }

    pub(super) fn leave(&mut self) {
        self.interception.leave(&mut self.device);
        self.device.let_go(&std::mem::take(&mut self.leaving));
        if self.remove_on_exit {
            self.device.remove();
        }
    }
}

/// Returns at news that concern the device, or when some were lost.
async fn concerned(news: &AsyncFd<Socket>, device: &Device) {
    loop {
        let Ok(mut ready) = news.readable().await else { return pending().await };
        match ready.try_io(|socket| socket.get_ref().receive()) {
            Ok(Ok(replies)) => {
                if replies.iter().filter_map(route::news).any(|news| device.is_concerned(&news)) {
                    return;
                }
            }
            Ok(Err(error)) if error.kind() == io::ErrorKind::WouldBlock => {}
            // The kernel had more to say than fits: anything may have happened.
            Ok(Err(_)) => return,
            Err(_) => {}
        }
    }
}
