//! zerohop end to end: the real binary on loopback, beside real servers and real clients of Debian.
//!
//! A test that needs a program which is not installed says `SKIPPED` on standard error and passes;
//! with `CI=true` in the environment it fails instead. Nobody waits for luck: whatever takes time
//! is polled for, with a deadline. Ports are whatever is free.
//!
//! | room | holds |
//! |---|---|
//! | [`wait`] | the clock, and waiting with a deadline |
//! | [`process`] | programs: found, started, killed |
//! | [`harness`] | zerohop: started, scraped, signalled, its log |
//! | [`peers`] | name servers of Debian with generated configurations |
//! | [`python`] | Python with a package of PyPI |
//! | [`doh_server`] | an upstream over HTTPS that ends its connections early |
//! | [`doq_server`] | an upstream over QUIC, by aioquic from PyPI |
//! | [`polardns_server`] | PolarDNS, which lies as it is told, from PyPI |
//! | [`recorder`] | an upstream that notes every packet and answers by script |
//! | [`config_map`] | files as the kubelet mounts them |
//! | [`certificates`] | authorities and certificates, made for a test |
//! | [`tls_server`] | an upstream over TLS that notes who called and how |
//! | [`tls_client`] | a client over TLS that tells how it was served |
//! | [`client`] | a tiny DNS client |
//! | [`load`] | questions at an even rate |
//! | [`phase`] | what clients over UDP and TCP see while something happens |
//! | [`namespace`] | a network of its own for a test |
//! | [`pod`] | a client in a network beside the node's |
//! | [`booted`] | a systemd that has booted, and zerohop installed below it |
//! | [`firewall`] | what happens to packets on their way |
//! | [`oracle`] | what a packet deserves, told from its octets |
//! | [`packages`] | what goes onto nodes: image, packages, manifests |
//! | [`stubs`] | the stub clients of real programs, in a network of their own |
//! | [`systemd`] | zerohop below a service manager: what is told, left and kept, who is started |
//! | the rest | tests, a file for each subject |
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod booted;
mod bounds;
mod certificates;
mod client;
mod clients;
mod clusters;
mod config_map;
mod control;
mod doh;
mod doh_server;
mod doq;
mod doq_server;
mod dot;
mod edns;
mod every_type;
mod firewall;
mod flood;
mod forgery;
mod harness;
mod hosts;
mod intercept;
mod interface;
mod join;
mod lifecycle;
mod load;
mod loops;
mod loss;
mod memory;
mod metrics;
mod namespace;
mod oracle;
mod outages;
mod packages;
mod peers;
mod phase;
mod pod;
mod polardns;
mod polardns_server;
mod privileges;
mod privileges_calls;
mod process;
mod python;
mod recorder;
mod reload;
mod reload_interface;
mod reload_listen;
mod reload_standby;
mod reload_stop;
mod reload_storm;
mod renewal;
mod resolv_conf;
mod restarts;
mod restarts_systemd;
mod restarts_units;
mod rfc8906;
mod search_path;
mod secrecy;
mod seeds;
mod seeds_kubernetes;
mod service_manager;
mod snapshots;
mod streams;
mod stubs;
mod systemd;
mod tcp;
mod tls_client;
mod tls_server;
mod truth;
mod truth_once;

mod wait;
mod watching;
mod wire;
