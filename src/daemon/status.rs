//! One line on how we are, for whoever runs `systemctl status` at night.

use std::fmt::Write;

use crate::handler::Tables;

/// What the line is made of, beside what can be seen in the tables.
#[derive(Clone, Debug, Default)]
pub(super) struct Status {
    /// As the configuration names them.
    pub(super) zones: usize,
    /// Whether the last reload was good, if there was one.
    pub(super) reload: Option<bool>,
    /// Workers that do not go round their loop.
    pub(super) stuck: Vec<usize>,
}

impl Status {
    pub(super) fn line(&self, tables: &Tables) -> String {
        let mut servers: Vec<(String, bool)> =
            tables.servers().map(|server| (server.to_string(), server.health.is_silent())).collect();
        servers.sort_unstable();
        servers.dedup();
        self.said(&servers)
    }

    /// What is wrong stands in front. Servers by how they are called, and whether they are silent.
    fn said(&self, servers: &[(String, bool)]) -> String {
        let mut line = String::new();
        let silent: Vec<&str> = servers.iter().filter(|(_, is_silent)| *is_silent).map(|(name, _)| &**name).collect();
        // Writing to a String cannot fail.
        if !self.stuck.is_empty() {
            let _ = write!(line, "workers that are stuck: {:?}; ", self.stuck);
        }
        if !silent.is_empty() {
            let _ = write!(line, "silent: {}; ", silent.join(" "));
        }
        if self.reload == Some(false) {
            line.push_str("the last reload failed, what was before goes on, and the log says why; ");
        }
        let plural = |count: usize| if count == 1 { "" } else { "s" };
        let (zones, all) = (self.zones, servers.len());
        let _ = write!(line, "serving {zones} zone{}, {all} upstream server{}", plural(zones), plural(all));
        if self.reload == Some(true) {
            line.push_str(", reloaded");
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_stands_in_front() {
        let server = |name: &str, is_silent| (name.to_owned(), is_silent);
        let two = [server("10.0.0.53:53", true), server("tls://10.3.0.53:853#dns.example", false)];
        let mut status = Status { zones: 5, ..Status::default() };
        insta::assert_snapshot!(status.said(&two[1..]), @"serving 5 zones, 1 upstream server");
        insta::assert_snapshot!(status.said(&two), @"silent: 10.0.0.53:53; serving 5 zones, 2 upstream servers");
        status.reload = Some(true);
        insta::assert_snapshot!(status.said(&[]), @"serving 5 zones, 0 upstream servers, reloaded");
        status = Status { zones: 1, reload: Some(false), stuck: vec![1] };
        insta::assert_snapshot!(status.said(&two), @"workers that are stuck: [1]; silent: 10.0.0.53:53; the last reload failed, what was before goes on, and the log says why; serving 1 zone, 2 upstream servers");
    }
}
