//! The image, as the pair of static pods that is shipped with it.

use std::fs;
use std::path::Path;

use hickory_proto::rr::RecordType::A;

use super::super::client::{Ask, ask};
use super::super::harness::http;
use super::super::load::Load;
use super::super::namespace::{NODE, alone};
use super::super::wait::until;
use super::podman::Podman;
use super::{built, top};

const LARGEST: u64 = 15 << 20;
const PAIR: [&str; 2] = ["zerohop-a", "zerohop-b"];
/// CAP_NET_BIND_SERVICE and CAP_NET_ADMIN, as /proc shows them.
const CAPABILITIES: &str = "0000000000001400";

/// A node's files, with the configuration that is shipped, and the manifest of one of the pair. Only
/// the directories of the node are others than the manifest says.
fn manifest(node: &Path, name: &str) -> String {
    let text = fs::read_to_string(top().join(format!("static-pod/{name}.yaml"))).unwrap();
    for directory in ["etc/zerohop", "run/zerohop", "run/systemd/resolve"] {
        let there = format!("path: /{directory},");
        assert!(text.contains(&there), "{name}: {there}");
        fs::create_dir_all(node.join(directory)).unwrap();
    }
    fs::copy(top().join("packaging/zerohop.toml"), node.join("etc/zerohop/zerohop.toml")).unwrap();
    fs::write(node.join("run/systemd/resolve/resolv.conf"), "nameserver 192.0.2.53\n").unwrap();
    let path = node.join(format!("{name}.yaml"));
    fs::write(&path, text.replace("hostPath: { path: /", &format!("hostPath: {{ path: {}/", node.display()))).unwrap();
    path.display().to_string()
}

fn probed(path: &str) -> Option<()> {
    http("127.0.0.1:9153".parse().unwrap(), path).filter(|(status, _)| *status == 200).map(|_| ())
}

#[test]
#[ignore = "builds an image and starts containers: ci/test --all"]
fn the_pair_of_static_pods_serves_and_is_replaced_without_losing_a_question() {
    let Some(archive) = built("image", &[("buildah", "buildah")], "zerohop-image*.tar") else { return };
    let node = tempfile::tempdir().unwrap();
    alone(|_| {
        let Some(podman) = Podman::with_image(&archive) else { return };
        let image = format!("zerohop:{}", env!("CARGO_PKG_VERSION"));
        let size: u64 = podman.says(&["image", "inspect", "--format", "{{.Size}}", &image]).trim().parse().unwrap();
        assert!(size <= LARGEST, "{size} octets");

        let says = |name: &str, words: &str| {
            let log = format!("{name}-zerohop");
            until(&format!("{words:?} of {name}"), || podman.log(&log).contains(words).then_some(()));
        };
        let play = |name: &str| podman.says(&["kube", "play", &manifest(node.path(), name)]);
        let [first, second] = PAIR;
        play(first);
        says(first, "\"message\":\"serving\"");
        play(second);
        says(second, "standing by");
        ["/ready", "/health"].iter().for_each(|path| until(path, || probed(path)));

        let server = NODE.parse().unwrap();
        assert_eq!(ask(server, "api.cluster.example.com.", A).data(A), ["10.0.0.10"]);
        assert_eq!(Ask::new("ip-10-0-0-5.nodes.cluster.example.com.", A).tcp(server).data(A), ["10.0.0.5"]);
        is_confined(&podman, first);

        // As the kubelet does it: the new manifest in place of the old, first one, then the other.
        for (leaves, stays) in [(first, second), (second, first)] {
            let load = Load::new(2000, 250);
            let seen = std::thread::scope(|scope| {
                let clients = scope.spawn(|| load.run(server, "apps.cluster.example.com."));
                load.until_sent(100);
                podman.says(&["pod", "rm", "--force", "--time", "10", leaves]);
                says(stays, "\"message\":\"serving\"");
                assert!(load.is_going_on(), "{leaves} took longer to leave than the load");
                play(leaves);
                says(leaves, "standing by");
                clients.join().unwrap()
            });
            assert_eq!((seen.took.len(), seen.failed), (2000, Vec::new()));
        }
        ["/ready", "/health"].iter().for_each(|path| until(path, || probed(path)));
    });
}

/// What the manifest asks for is so.
fn is_confined(podman: &Podman, name: &str) {
    let pid = podman.says(&["inspect", "--format", "{{.State.Pid}}", &format!("{name}-zerohop")]).trim().to_owned();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    for set in ["CapEff", "CapBnd"] {
        assert!(status.contains(&format!("{set}:\t{CAPABILITIES}\n")), "{status}");
    }
    assert!(status.contains("NoNewPrivs:\t1\n") && status.contains("Seccomp:\t2\n"), "{status}");
    let mounts = fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap();
    let options = |at: &str| {
        let mut lines = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        lines.find(|fields| fields[4] == at).unwrap_or_else(|| panic!("{at} in {mounts}"))[5].to_owned()
    };
    for (at, how) in [("/", "ro"), ("/etc/zerohop", "ro"), ("/run/systemd/resolve", "ro"), ("/run/zerohop", "rw")] {
        assert_eq!(options(at).split(',').next(), Some(how), "{at}");
    }
}
