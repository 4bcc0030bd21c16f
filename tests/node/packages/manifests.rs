//! The manifests, by the schemas of Kubernetes.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::super::process::{find, say_skipped};
use super::super::python::python_with;
use super::{done, said, top};

/// The oldest and the newest that the package knows.
const VERSIONS: [&str; 2] = ["1.25", "1.37"];
/// Reads documents from the file, and says what is wrong with each.
const CHECK: &str = "
import sys, yaml, kubernetes_validate
for document in yaml.safe_load_all(open(sys.argv[1], encoding='utf-8')):
    for version in sys.argv[2:]:
        kubernetes_validate.validate(document, version, strict=True)
    print(document['kind'], document['metadata']['name'])
";

#[test]
#[ignore = "takes a package of PyPI: ci/test --all"]
fn they_are_what_kubernetes_takes() {
    let Some(python) = python_with("kubernetes_validate", "kubernetes-validate==1.37.0") else { return };
    let check = |file: &PathBuf| Command::new(&python).args(["-c", CHECK]).arg(file).args(VERSIONS).output().unwrap();
    let mut kinds = Vec::new();
    for directory in ["static-pod", "packaging/kustomize/base"] {
        for entry in fs::read_dir(top().join(directory)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "yaml") && !path.ends_with("kustomization.yaml") {
                let output = check(&path);
                assert!(output.status.success(), "{}: {}", path.display(), said(&output));
                kinds.push(said(&output));
            }
        }
    }
    kinds.sort();
    let expected =
        ["DaemonSet zerohop", "Pod zerohop-a", "Pod zerohop-b", "Service kube-dns-upstream", "Service zerohop"];
    assert_eq!(kinds.concat().lines().collect::<Vec<_>>(), expected);
    // It is able to find something.
    let directory = tempfile::tempdir().unwrap();
    let wrong = directory.path().join("wrong.yaml");
    let text = fs::read_to_string(top().join("static-pod/zerohop-a.yaml")).unwrap();
    fs::write(&wrong, text.replace("failureThreshold: 30", "failureTreshold: 30")).unwrap();
    assert!(!check(&wrong).status.success());
}

#[test]
#[ignore = "takes a package of PyPI: ci/test --all"]
fn kustomize_makes_of_them_what_kubernetes_takes() {
    let Some(python) = python_with("kubernetes_validate", "kubernetes-validate==1.37.0") else { return };
    if Command::new("kubectl").arg("version").output().is_err() {
        return say_skipped("kubectl, which not every distribution has");
    }
    let kubectl = find("kubectl", "kubectl").unwrap();
    for (overlay, intercepts) in [("base", false), ("intercept", true)] {
        let made = done(Command::new(&kubectl).arg("kustomize").arg(top().join("packaging/kustomize").join(overlay)));
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("made.yaml");
        fs::write(&file, &made).unwrap();
        let kinds = done(Command::new(&python).args(["-c", CHECK]).arg(&file).args(VERSIONS));
        assert_eq!(kinds, "ConfigMap zerohop\nService kube-dns-upstream\nService zerohop\nDaemonSet zerohop\n");
        assert_eq!(made.matches("namespace: kube-system").count(), 4, "{made}");
        assert_eq!(made.contains("    intercept = [\"10.96.0.10\"]"), intercepts, "{made}");
    }
}
