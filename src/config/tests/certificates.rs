//! Certificates made for a test.

use std::path::Path;

use rcgen::{CertificateParams, KeyPair, date_time_ymd};

/// Writes `ca.pem`, `node.pem` with `node.key`, and `other.key`, which belongs to neither;
/// `old.pem` with `old.key` expired long ago.
pub(super) fn write(directory: &Path) {
    let file = |name: &str, text: String| std::fs::write(directory.join(name), text).unwrap();
    for name in ["ca", "node"] {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new([format!("{name}.example")]).unwrap().self_signed(&key).unwrap();
        file(&format!("{name}.pem"), certificate.pem());
        file(&format!("{name}.key"), key.serialize_pem());
    }
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(["old.example".to_owned()]).unwrap();
    params.not_after = date_time_ymd(2020, 2, 29);
    file("old.pem", params.self_signed(&key).unwrap().pem());
    file("old.key", key.serialize_pem());
    file("other.key", KeyPair::generate().unwrap().serialize_pem());
    file("broken.pem", "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n".to_owned());
    file("nonsense.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned());
}
