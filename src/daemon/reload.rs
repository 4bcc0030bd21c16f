//! Reloads: everything is read, built and opened first. Only when nothing can fail any more does the
//! new take the place of the old.

use std::sync::Arc;

use super::Daemon;
use super::build::{self, Parts};
use super::doors::Doors;
use super::hosts::Hosts;
use super::nameservers::Nameservers;
use super::start::{StartError, together};
use crate::admin::control::Reply;
use crate::config::{Config, load};
use crate::listener::Inherited;

impl Daemon {
    /// Reads everything again and carries it out, or leaves all as it is when there is any fault.
    /// Only a resolv.conf that is of no use holds nothing else up: its last servers stay.
    pub(super) fn reload(&mut self, hosts: &mut Hosts, doors: &mut Doors) -> Reply {
        let mut loaded = match load(&self.source) {
            Ok(loaded) => loaded,
            Err(faults) => {
                for fault in faults.iter() {
                    tracing::error!("{}", fault.headline());
                }
                self.files = faults.files().clone();
                return self.keep_previous(faults.errors(), &faults.to_string());
            }
        };
        for warning in loaded.warnings.iter() {
            tracing::warn!("{}", warning.headline());
        }
        let config = &loaded.config;
        let listen = config.addresses();
        let mut nameservers = Nameservers::read(config, &listen);
        nameservers.locate(hosts.addresses(), &listen);
        self.files = together(loaded.warnings.files(), &nameservers);
        for problem in &nameservers.problems {
            tracing::error!("{problem}");
        }
        if !nameservers.keep_last_good(&self.nameservers) {
            return self.keep_previous(nameservers.problems.len(), &nameservers.problems.join("\n"));
        }
        let generation = match self.carry_out(config, &nameservers, doors) {
            Ok(generation) => generation,
            Err(fault) => {
                tracing::error!("{fault}");
                return self.keep_previous(1, &fault);
            }
        };
        let persist = config.cache.persist.clone();
        let is_as_at_the_start = persist == self.config.cache.persist;
        let may_follow = is_as_at_the_start || persist.as_deref().is_none_or(|file| self.confined.may_write(file));
        let elsewhere = (!may_follow).then_some("cache.persist");
        for key in build::needs_restart(&self.config, config).into_iter().chain(elsewhere) {
            tracing::warn!(key, "changed, and takes effect at the next start only");
        }
        let control = &self.registry.control;
        let zones = config.configured_zones().count();
        if nameservers.problems.is_empty() {
            control.reloads_good.increment(1);
            control.config_current.set(1.0);
            tracing::info!(generation, zones, "configuration reloaded");
        } else {
            control.reloads_bad.increment(1);
            control.config_current.set(0.0);
            let files = nameservers.problems.len();
            tracing::error!(generation, zones, files, "configuration reloaded, but for files whose last servers stay");
        }
        hosts.follow(config);
        self.nameservers = nameservers;
        if may_follow {
            self.snapshots.follow(persist);
        }
        loaded.config.forget_owned();
        self.reloaded = Some(loaded.config);
        Reply { done: true, text: "configuration reloaded".to_owned() }
    }

    /// Swaps in what a configuration makes of everything, or says what stands against that. Returns the
    /// generation.
    fn carry_out(&mut self, config: &Config, nameservers: &Nameservers, doors: &mut Doors) -> Result<u64, String> {
        let previous = self.tables.load_full();
        let parts = Parts { config, nameservers, registry: &self.registry, previous: Some(&previous) };
        let tables = build::tables(parts).map_err(|unfit| unfit.to_string())?;
        let open = Inherited::default().beside(self.departures.addresses().to_vec());
        let listening = self.listening.prepare(config, open, false, &self.admin.succession);
        let (change, _) = listening.map_err(|error: StartError| error.to_string())?;
        let opened = doors.prepare(config).map_err(|error| error.to_string())?;
        let control = &self.registry.control;
        // The last that may fail. Packets that come by its rules wait in sockets that are open already.
        self.keeper.follow(config.interface.as_ref(), control).map_err(|fault| self.confined.explain(&fault))?;
        self.level.follow(&config.log);
        let generation = tables.generation;
        // Before anybody asks at a new address.
        self.tables.store(Arc::new(tables));
        self.admin.roll_call.ask();
        let departing = self.listening.carry_out(change, config);
        doors.carry_out(opened, config);
        self.admin.listen.borrow_mut().clone_from(&config.server.listen);
        self.admin.connections.limit(config.server.tcp_connections);
        control.certificate_expires(config.server.tls.as_ref().and_then(|tls| tls.expires));
        departing.into_iter().for_each(|departing| self.departures.add(departing));
        self.keeper.let_go(&self.departures.ips());
        Ok(generation)
    }

    /// Swaps in tables whose servers are where their hosts are by now.
    pub(super) fn readdress(&mut self, hosts: &Hosts) {
        let config = self.reloaded.as_ref().unwrap_or(&self.config);
        self.nameservers.locate(hosts.addresses(), &config.addresses());
        let tables = self.tables.load();
        let (nameservers, registry) = (&self.nameservers, &*self.registry);
        let parts = Parts { config, nameservers, registry, previous: Some(&tables) };
        self.tables.store(Arc::new(build::around(Arc::clone(&tables.zones), parts)));
        self.admin.roll_call.ask();
        // What failed while they were elsewhere may be asked again.
        self.admin.shared.failures.clear();
    }

    fn keep_previous(&self, faults: usize, said: &str) -> Reply {
        tracing::error!(faults, "configuration not reloaded: the previous one goes on");
        self.registry.control.reloads_bad.increment(1);
        self.registry.control.config_current.set(0.0);
        Reply {
            done: false,
            text: format!("configuration not reloaded: the previous one goes on\n{}", said.trim_end()),
        }
    }
}
