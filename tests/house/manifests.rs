//! The manifests fit each other, the configurations that they come with, and how kubelet and scheduler
//! take them.

use std::net::SocketAddr;

use serde_json::{Value, json};
use zerohop::config::{Config, USUAL_FILE};

use crate::shipped::{BINARY, parse};
use crate::{source, yaml};

const PAIR: [&str; 2] = ["static-pod/zerohop-a.yaml", "static-pod/zerohop-b.yaml"];
const BASE: &str = "packaging/kustomize/base";
const INTERCEPT: &str = "packaging/kustomize/intercept";

fn config(path: &str) -> Config {
    parse(path, &source::read(path)).config
}

/// What is said of each pod, with the configuration that it is given.
fn pods() -> Vec<(String, Value, Config)> {
    let daemon_set = yaml::read(&format!("{BASE}/daemonset.yaml"));
    let surging = daemon_set["spec"]["template"]["spec"].clone();
    let of_the_set = [BASE, INTERCEPT].map(|from| (from.to_owned(), surging.clone(), format!("{from}/zerohop.toml")));
    let of_the_pair =
        PAIR.map(|path| (path.to_owned(), yaml::read(path)["spec"].clone(), "packaging/zerohop.toml".to_owned()));
    let all = of_the_pair.into_iter().chain(of_the_set);
    all.map(|(name, spec, file)| (name, spec, config(&file))).collect()
}

#[test]
fn the_pair_differs_in_its_names_and_in_when_a_hanging_one_is_ended() {
    let [mut first, mut second] = PAIR.map(yaml::read);
    let mut take = |pointer: &str| {
        [&mut first, &mut second].map(|pod| pod.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer}")).take())
    };
    assert_eq!(take("/metadata/name"), [json!("zerohop-a"), json!("zerohop-b")]);
    // What makes both fail their probe must not end both: the second is asked twice as often first.
    assert_eq!(take("/spec/containers/0/livenessProbe/failureThreshold"), [json!(3), json!(6)]);
    assert_eq!(first, second);
}

#[test]
fn a_pod_joins_whoever_serves_on_the_node() {
    for (name, spec, config) in pods() {
        let container = &spec["containers"][0];
        assert_eq!(container["command"], json!([BINARY]), "{name}");
        assert_eq!(container["args"], json!(["run", "--join", "--config", USUAL_FILE]), "{name}");
        assert_eq!(container["image"], format!("zerohop:{}", env!("CARGO_PKG_VERSION")), "{name}");
        // Where the control socket is for root, on the node: both of a pair find it there.
        let volume = |path: &str| {
            let mounts = container["volumeMounts"].as_array().unwrap();
            let mount =
                mounts.iter().find(|mount| mount["mountPath"] == path).unwrap_or_else(|| panic!("{name}: {path}"));
            let volumes = spec["volumes"].as_array().unwrap();
            volumes.iter().find(|volume| volume["name"] == mount["name"]).unwrap().clone()
        };
        assert_eq!(volume("/run/zerohop")["hostPath"], json!({"path": "/run/zerohop", "type": "DirectoryOrCreate"}));
        volume("/etc/zerohop");
        assert_eq!(spec["hostNetwork"], true, "{name}");
        // Declared ones are reserved on the node: by the scheduler, and by the kubelet for static pods.
        assert_eq!(container["ports"], Value::Null, "{name}: a second pod would be turned away");
        assert!(spec["terminationGracePeriodSeconds"].as_u64().unwrap() > config.server.drain.as_secs(), "{name}");
    }
}

#[test]
fn a_pod_may_do_what_its_configuration_needs_and_no_more() {
    for (name, spec, config) in pods() {
        let context = &spec["containers"][0]["securityContext"];
        assert!(config.interface.is_some(), "{name}: without it NET_ADMIN may go");
        assert_eq!(context["capabilities"], json!({"drop": ["ALL"], "add": ["NET_BIND_SERVICE", "NET_ADMIN"]}));
        assert_eq!(context["readOnlyRootFilesystem"], true, "{name}");
        assert_eq!(context["allowPrivilegeEscalation"], false, "{name}");
    }
    let daemon_set = yaml::read(&format!("{BASE}/daemonset.yaml"));
    assert_eq!(daemon_set["spec"]["template"]["spec"]["automountServiceAccountToken"], false);
}

#[test]
fn the_probes_ask_where_the_configuration_says() {
    for (name, spec, config) in pods() {
        let admin = config.admin.listen.unwrap();
        for (probe, path) in [("startupProbe", "/ready"), ("readinessProbe", "/ready"), ("livenessProbe", "/health")] {
            let asked = &spec["containers"][0][probe]["httpGet"];
            let expected = json!({"host": admin.ip().to_string(), "port": admin.port(), "path": path});
            assert_eq!(*asked, expected, "{name}: {probe}");
        }
    }
}

#[test]
fn the_daemon_set_starts_the_next_before_it_ends_the_last() {
    let spec = &yaml::read(&format!("{BASE}/daemonset.yaml"))["spec"];
    assert_eq!(spec["updateStrategy"]["rollingUpdate"], json!({"maxSurge": 1, "maxUnavailable": 0}));
    // The new pod is ready by the answers of the old one.
    assert!(spec["minReadySeconds"].as_u64().unwrap() >= 10);
    assert_eq!(spec["selector"]["matchLabels"], spec["template"]["metadata"]["labels"]);
}

#[test]
fn the_services_are_those_that_the_configurations_mean() {
    let upstream = yaml::read(&format!("{BASE}/kube-dns-upstream.yaml"));
    let address = upstream["spec"]["clusterIP"].as_str().unwrap().to_owned();
    let scraped = yaml::read(&format!("{BASE}/metrics.yaml"));
    let port = scraped["spec"]["ports"][0]["targetPort"].as_u64().unwrap();
    assert_eq!(scraped["metadata"]["annotations"]["prometheus.io/port"], port.to_string());
    let monitor = yaml::read("packaging/kustomize/service-monitor.yaml");
    assert_eq!(monitor["spec"]["endpoints"][0]["port"], scraped["spec"]["ports"][0]["name"]);
    for from in [BASE, INTERCEPT] {
        let text = source::read(&format!("{from}/zerohop.toml"));
        assert!(text.contains(&format!("servers = [\"{address}\"]")), "{from}: kube-dns-upstream is {address}");
        let config = config(&format!("{from}/zerohop.toml"));
        let listen: SocketAddr = format!("0.0.0.0:{port}").parse().unwrap();
        assert_eq!(config.admin.metrics_listen, [listen], "{from}");
        let intercepted = config.interface.unwrap().intercept;
        assert_eq!(!intercepted.is_empty(), from == INTERCEPT);
        assert!(intercepted.iter().all(|ip| ip.to_string() != address), "{from}: it would ask itself");
    }
}

#[test]
fn every_file_of_a_kustomization_is_there() {
    for from in [BASE, INTERCEPT] {
        let kustomization = yaml::read(&format!("{from}/kustomization.yaml"));
        let generated = kustomization["configMapGenerator"].as_array().unwrap();
        assert_eq!(generated[0]["name"], "zerohop", "{from}: what the pod mounts");
        let files = generated.iter().flat_map(|map| map["files"].as_array().unwrap());
        for file in kustomization["resources"].as_array().unwrap().iter().chain(files) {
            let path = source::top().join(from).join(file.as_str().unwrap());
            assert!(path.exists(), "{from}: {file}");
        }
    }
}
