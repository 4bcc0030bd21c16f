//! The process itself, in the names that Prometheus clients use everywhere.

use std::fmt::Write;

use super::text::open_family;

/// Appends CPU time, memory, descriptors and start time as /proc has them; what cannot be read is
/// left out.
pub(super) fn write(out: &mut String) -> std::fmt::Result {
    let Some(stat) = Stat::read() else { return Ok(()) };
    let families = [
        ("process_cpu_seconds_total", "counter", "User and system CPU time.", stat.cpu_seconds),
        ("process_resident_memory_bytes", "gauge", "Resident memory.", stat.resident_bytes),
        ("process_start_time_seconds", "gauge", "Start time since the Unix epoch.", stat.start_seconds),
        ("process_open_fds", "gauge", "Open file descriptors.", stat.open_descriptors),
    ];
    for (name, kind, help, value) in families {
        open_family(out, name, kind, help)?;
        writeln!(out, "{name} {value}")?;
    }
    Ok(())
}

struct Stat {
    cpu_seconds: f64,
    resident_bytes: f64,
    start_seconds: f64,
    open_descriptors: f64,
}

impl Stat {
    /// proc_pid_stat(5): fields are counted behind the command name, which may hold anything.
    fn read() -> Option<Self> {
        let text = std::fs::read_to_string("/proc/self/stat").ok()?;
        let fields: Vec<&str> = text.rsplit_once(") ")?.1.split(' ').collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
        let boot = std::fs::read_to_string("/proc/stat").ok()?;
        let boot_seconds: f64 = boot.lines().find_map(|line| line.strip_prefix("btime "))?.parse().ok()?;
        // USER_HZ is 100 on every Linux that Rust's standard library runs on.
        Some(Self {
            cpu_seconds: (field(14)? + field(15)?) / 100.0,
            resident_bytes: field(24)? * page_size(),
            start_seconds: boot_seconds + field(22)? / 100.0,
            open_descriptors: f64::from(u32::try_from(std::fs::read_dir("/proc/self/fd").ok()?.count()).ok()?),
        })
    }
}

fn page_size() -> f64 {
    nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE)
        .ok()
        .flatten()
        .and_then(|size| u32::try_from(size).ok())
        .map_or(4096.0, f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_and_descriptors() {
        let stat = Stat::read().unwrap();
        assert!(stat.resident_bytes > 100_000.0 && stat.open_descriptors >= 3.0 && stat.start_seconds > 1.6e9);
    }
}
