//! What a service manager starts, and how it does.

use std::net::SocketAddr;
use std::path::PathBuf;

use tempfile::TempDir;

use super::super::load::OWN;
use super::super::process::{Process, free_address};
use super::super::recorder::Recorder;
use super::super::service_manager::ServiceManager;

/// Our zone, and all else asked of this upstream.
pub(super) fn forwarding(upstream: &Recorder) -> String {
    format!("{OWN}{}", upstream.root_zone())
}

/// A service: its configuration, and its logs.
pub(super) struct Service {
    pub(super) address: SocketAddr,
    pub(super) admin: SocketAddr,
    pub(super) directory: TempDir,
    pub(super) config: String,
    /// Starts so far.
    starts: usize,
}

impl Service {
    pub(super) fn new(sections: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = directory.path().join("zerohop.toml").to_str().unwrap().to_owned();
        let service = Self { address: free_address(), admin: free_address(), directory, config, starts: 0 };
        service.write(&service.address.to_string(), sections);
        service
    }

    pub(super) fn write(&self, listen: &str, sections: &str) {
        let text = format!(
            "[server]\nlisten = [\"{listen}\"]\nworkers = 2\n[admin]\nlisten = \"{}\"\ncontrol = \"control.sock\"\n{sections}",
            self.admin
        );
        std::fs::write(&self.config, text).unwrap();
    }

    /// The command line of it.
    pub(super) fn program(&self) -> [&str; 4] {
        [env!("CARGO_BIN_EXE_zerohop"), "run", "--config", &self.config]
    }

    pub(super) fn log(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Starts it as its service manager would, and waits until it serves.
    fn start(&mut self, manager: &ServiceManager, environment: &[(&str, &str)]) -> Process {
        self.starts += 1;
        let process = manager.launch(environment, &self.program(), &self.log(&format!("log-{}", self.starts)));
        process.until_says("\"message\":\"serving\"");
        process
    }
}

/// A service below its manager.
pub(super) struct Managed {
    pub(super) process: Process,
    pub(super) service: Service,
    pub(super) manager: ServiceManager,
}

impl Managed {
    /// A service with these sections, ready. `None`, and said, when there is no service manager.
    pub(super) fn ready(sections: &str) -> Option<Self> {
        Some(Self::below(ServiceManager::start()?, Service::new(sections), &[]))
    }

    /// Starts it with more in its environment, and waits until it has said that it is ready, for the first time.
    pub(super) fn below(manager: ServiceManager, mut service: Service, environment: &[(&str, &str)]) -> Self {
        let process = service.start(&manager, environment);
        manager.until_told("READY=1", 1);
        Self { process, service, manager }
    }

    /// Puts another process in place of one that has ended, and waits until it serves.
    pub(super) fn start_again(&mut self) {
        assert!(self.process.ended().is_some());
        self.process = self.service.start(&self.manager, &[]);
    }
}
