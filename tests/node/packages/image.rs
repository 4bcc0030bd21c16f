//! The image, as the pair of static pods that is shipped with it.

use std::fs;
use std::path::Path;
use std::process::Command;

use hickory_proto::rr::RecordType::A;
use nix::mount::{MsFlags, mount};
use zerohop::config::USUAL_FILE;

use super::super::client::{Ask, ask};
use super::super::harness::http;
use super::super::load::Load;
use super::super::namespace::{NODE, alone};
use super::super::process::{Process, find};
use super::super::wait::until;
use super::podman::Podman;
use super::{built, done, top};

const LARGEST: u64 = 15 << 20;
const PAIR: [&str; 2] = ["zerohop-a", "zerohop-b"];
/// CAP_NET_BIND_SERVICE and CAP_NET_ADMIN, as /proc shows them.
const CAPABILITIES: &str = "0000000000001400";

/// The directories that the pods have from the node.
const FROM_THE_NODE: [&str; 3] = ["etc/zerohop", "run/zerohop", "run/systemd/resolve"];

/// A node's files, with the configuration that is shipped.
fn furnish(node: &Path) {
    for directory in FROM_THE_NODE {
        fs::create_dir_all(node.join(directory)).unwrap();
    }
    fs::copy(top().join("packaging/zerohop.toml"), node.join("etc/zerohop/zerohop.toml")).unwrap();
    fs::write(node.join("run/systemd/resolve/resolv.conf"), "nameserver 192.0.2.53\n").unwrap();
}

/// The manifest of one of the pair. Only the directories of the node are others than it says.
fn manifest(node: &Path, name: &str) -> String {
    let text = fs::read_to_string(top().join(format!("static-pod/{name}.yaml"))).unwrap();
    for directory in FROM_THE_NODE {
        let there = format!("path: /{directory},");
        assert!(text.contains(&there), "{name}: {there}");
    }
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
    furnish(node.path());
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

/// Also where no container can be started. tests/house/manifests.rs holds that the manifests say the
/// same arguments, mounts and capabilities.
#[test]
#[ignore = "builds an image: ci/test --all"]
fn its_files_are_enough_on_a_root_that_is_read_only() {
    let Some(archive) = built("image", &[("buildah", "buildah")], "zerohop-image*.tar") else { return };
    let (Some(setpriv), Some(chroot)) = (find("setpriv", "util-linux"), find("chroot", "coreutils")) else { return };
    let directory = tempfile::tempdir().unwrap();
    let (node, root, unpacked) =
        (directory.path().join("node"), directory.path().join("root"), directory.path().join("unpacked"));
    [&node, &root, &unpacked].into_iter().for_each(|made| fs::create_dir(made).unwrap());
    furnish(&node);
    let unpack = |archive: &Path, to: &Path| done(Command::new("tar").arg("-xf").arg(archive).arg("-C").arg(to));
    unpack(&archive, &unpacked);
    let manifest: serde_json::Value =
        serde_json::from_slice(&fs::read(unpacked.join("manifest.json")).unwrap()).unwrap();
    let layers: Vec<&str> =
        manifest[0]["Layers"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    assert_eq!(layers.len(), 1);
    unpack(&unpacked.join(layers[0]), &root);
    let files = done(Command::new("find").arg(&root).args(["-type", "f", "-printf", "/%P\n"]));
    assert_eq!(files, "/usr/bin/zerohop\n");

    alone(|_| {
        let bind = |from: &Path, to: &Path, flags: MsFlags| {
            mount(Some(from), to, None::<&str>, MsFlags::MS_BIND, None::<&str>).unwrap();
            let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | flags;
            mount(None::<&str>, to, None::<&str>, flags, None::<&str>).unwrap();
        };
        // As runtimes do, before they make the root read-only.
        FROM_THE_NODE.iter().for_each(|directory| fs::create_dir_all(root.join(directory)).unwrap());
        fs::create_dir(root.join("dev")).unwrap();
        bind(&root, &root, MsFlags::MS_RDONLY);
        // Every runtime gives it. Random numbers come from there: `rand` looks for the system call by way
        // of the dynamic linker, which a static binary has not.
        bind("/dev".as_ref(), &root.join("dev"), MsFlags::MS_RDONLY);
        for directory in FROM_THE_NODE {
            let flags = if directory == "run/zerohop" { MsFlags::empty() } else { MsFlags::MS_RDONLY };
            bind(&node.join(directory), &root.join(directory), flags);
        }
        assert!(fs::write(root.join("a"), "").is_err());
        let start = |log: &str| {
            let mut command = Command::new(&setpriv);
            // One more than the manifest gives, for the way into the root.
            command
                .env_clear()
                .args(["--bounding-set=-all,+net_bind_service,+net_admin,+sys_chroot", "--no-new-privs"]);
            command.arg(&chroot).arg(&root).args(["/usr/bin/zerohop", "run", "--join", "--config", USUAL_FILE]);
            Process::start(&mut command, &directory.path().join(log))
        };
        let mut first = start("first");
        first.until_says("\"message\":\"serving\"");
        let second = start("second");
        second.until_says("standing by");
        ["/ready", "/health"].iter().for_each(|path| until(path, || probed(path)));
        first.stops();
        second.until_says("\"message\":\"serving\"");
        assert_eq!(ask(NODE.parse().unwrap(), "api.cluster.example.com.", A).data(A), ["10.0.0.10"]);
        ["/ready", "/health"].iter().for_each(|path| until(path, || probed(path)));
    });
}
