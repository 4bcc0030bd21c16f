//! Files as the kubelet mounts a ConfigMap or a Secret: links into a directory that is swapped whole.

use std::fs::{create_dir, read_link, remove_dir_all, rename, write};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Puts these contents in the place of all that were there, in one step.
pub(crate) fn swap(directory: &Path, contents: &[(&str, String)]) {
    static LAST: AtomicU32 = AtomicU32::new(0);
    let generation = format!("..2026_{}", LAST.fetch_add(1, Relaxed));
    create_dir(directory.join(&generation)).unwrap();
    for (name, content) in contents {
        write(directory.join(&generation).join(name), content).unwrap();
    }
    let data = directory.join("..data");
    let before = read_link(&data).ok();
    symlink(&generation, directory.join("..data_tmp")).unwrap();
    rename(directory.join("..data_tmp"), &data).unwrap();
    for (name, _) in contents {
        let link = directory.join(name);
        if !link.is_symlink() {
            // What the harness has written is a file.
            symlink(format!("..data/{name}"), directory.join("new")).unwrap();
            rename(directory.join("new"), link).unwrap();
        }
    }
    if let Some(before) = before {
        remove_dir_all(directory.join(before)).unwrap();
    }
}
