//! What a reload makes of the device: what comes, comes at once; what goes, when the questions that have
//! come in there are answered.

use std::net::IpAddr;

use super::Keeper;
use super::fault::Fault;
use super::keeper::Kept;
use crate::config::Interface;
use crate::metrics::Control;

impl Keeper {
    /// Keeps what this configuration says. What it says no more is left until [`Self::let_go`], but for
    /// questions that are for others, which are not taken any more.
    ///
    /// # Errors
    /// [`Fault`] when the device cannot be so. Then nothing has changed.
    pub fn follow(&mut self, said: Option<&Interface>, control: &Control) -> Result<(), Fault> {
        if self.said.as_ref() == said {
            return Ok(());
        }
        match said {
            None => self.retire(control),
            Some(said) => {
                // What comes back goes on from where it is.
                if let Some(kept) = self.kept.as_mut().or(self.retired.as_mut()) {
                    kept.follow(said)?;
                    self.kept = self.kept.take().or_else(|| self.retired.take());
                } else {
                    self.kept = Some(Kept::start(said)?);
                }
                control.interface_right.set(1.0);
                self.settle(control);
            }
        }
        self.said = said.cloned();
        Ok(())
    }

    /// Takes away those addresses that are to go, but for these.
    pub fn let_go(&mut self, needed: &[IpAddr]) {
        for kept in self.kept.iter_mut().chain(&mut self.retired) {
            let gone: Vec<IpAddr> = kept.leaving.extract_if(.., |ip| !needed.contains(ip)).collect();
            if !gone.is_empty() {
                tracing::info!(device = kept.device.name(), addresses = ?gone, "addresses are let go");
                kept.device.let_go(&gone);
            }
        }
        if let Some(mut retired) = self.retired.take_if(|kept| kept.leaving.is_empty()) {
            retired.leave();
        }
    }

    fn retire(&mut self, control: &Control) {
        let Some(mut kept) = self.kept.take() else { return };
        kept.interception.end();
        kept.leaving.extend(kept.interception.ips());
        if kept.remove_on_exit {
            kept.leaving.extend(self.said.iter().flat_map(|said| &said.addresses));
        }
        kept.device.spare(&kept.leaving);
        control.interface_right.set(1.0);
        control.interception_active.set(0.0);
        self.retired = Some(kept);
    }
}

impl Kept {
    fn follow(&mut self, said: &Interface) -> Result<(), Fault> {
        if said.name != self.name {
            // The addresses would have to be on both devices at once.
            tracing::warn!(key = "interface.name", "changed, and takes effect at the next start only");
        }
        let done = self.device.widen(&said.addresses)?;
        if !done.is_empty() {
            tracing::info!(device = self.device.name(), changes = done.join(", "), "interface is changed");
        }
        let stays = |ip: &IpAddr| said.addresses.contains(ip) || said.intercept.contains(ip);
        let before = self.addresses.iter().chain(self.interception.ips());
        let leaving: Vec<IpAddr> = before.chain(&self.leaving).filter(|ip| !stays(ip)).copied().collect();
        self.device.spare(&leaving);
        self.device.expect(&said.intercept);
        self.interception.follow(&said.intercept, &said.addresses, &mut self.device);
        self.remove_on_exit = said.remove_on_exit;
        self.addresses.clone_from(&said.addresses);
        self.leaving = leaving;
        Ok(())
    }
}
