//! The machine, as a part of every record.

use std::ffi::CStr;
use std::fs;
use std::path::Path;

use brkpoint_reports::record::Machine;

/// Reads what can be read; whatever cannot is `None`.
pub fn describe() -> Machine {
    let cpuinfo = read("/proc/cpuinfo").unwrap_or_default();
    let meminfo = read("/proc/meminfo").unwrap_or_default();
    Machine {
        cpu: field(&cpuinfo, "model name", ':').map(str::to_owned),
        cpus: std::thread::available_parallelism().ok().map(|n| n.get() as u32),
        memory_bytes: field(&meminfo, "MemTotal", ':').and_then(kibibytes),
        kernel: kernel(),
        libc: Some(format!("glibc {}", glibc_version())),
        os: read("/etc/os-release")
            .as_deref()
            .and_then(|text| field(text, "PRETTY_NAME", '='))
            .map(|name| name.trim_matches('"').to_owned()),
        thp: read("/sys/kernel/mm/transparent_hugepage/enabled").as_deref().and_then(bracketed),
        governor: read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
            .map(|text| text.trim().to_owned()),
        aslr: read("/proc/sys/kernel/randomize_va_space").map(|text| text.trim().to_owned()),
        cgroup_memory_bytes: cgroup("memory.max").and_then(|text| text.trim().parse().ok()),
        cgroup_cpus: cgroup("cpu.max").as_deref().and_then(quota),
        load: read("/proc/loadavg")
            .and_then(|text| text.split_whitespace().next().and_then(|load| load.parse().ok())),
        hypervisor: hypervisor(&cpuinfo),
    }
}

/// Version of the C library this process runs with.
pub fn glibc_version() -> String {
    // SAFETY: gnu_get_libc_version takes nothing and returns a static C string (glibc manual).
    unsafe { CStr::from_ptr(libc::gnu_get_libc_version()) }.to_string_lossy().into_owned()
}

fn read(path: impl AsRef<Path>) -> Option<String> {
    fs::read_to_string(path).ok()
}

/// The value of the first `name <separator> value` line.
fn field<'a>(text: &'a str, name: &str, separator: char) -> Option<&'a str> {
    text.lines()
        .filter_map(|line| line.split_once(separator))
        .find(|(key, _)| key.trim() == name)
        .map(|(_, value)| value.trim())
}

fn kibibytes(text: &str) -> Option<u64> {
    text.strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// The chosen one of `always [madvise] never`.
fn bracketed(text: &str) -> Option<String> {
    let (_, rest) = text.split_once('[')?;
    rest.split_once(']').map(|(chosen, _)| chosen.to_owned())
}

/// `cpu.max` holds `quota period` in microseconds, or `max period`.
fn quota(text: &str) -> Option<f64> {
    let mut parts = text.split_whitespace();
    let quota: f64 = parts.next()?.parse().ok()?;
    let period: f64 = parts.next()?.parse().ok()?;
    (period > 0.0).then(|| quota / period)
}

/// A file of this process's cgroup (version 2).
fn cgroup(file: &str) -> Option<String> {
    let own = read("/proc/self/cgroup")?;
    let path = own.lines().find_map(|line| line.strip_prefix("0::"))?;
    read(Path::new("/sys/fs/cgroup").join(path.trim_start_matches('/')).join(file))
}

fn kernel() -> Option<String> {
    let part = |name: &str| read(format!("/proc/sys/kernel/{name}")).map(|s| s.trim().to_owned());
    Some(format!("{} {} {}", part("ostype")?, part("osrelease")?, std::env::consts::ARCH))
}

fn hypervisor(cpuinfo: &str) -> Option<String> {
    field(cpuinfo, "flags", ':')?.split_whitespace().find(|flag| *flag == "hypervisor")?;
    let product = read("/sys/class/dmi/id/product_name").map(|name| name.trim().to_owned());
    Some(product.filter(|name| !name.is_empty()).unwrap_or_else(|| "yes".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        let text = "model\t: 2\nmodel name\t: Some CPU @ 3: GHz\n";
        assert_eq!(field(text, "model name", ':'), Some("Some CPU @ 3: GHz"));
        assert_eq!(field(text, "name", ':'), None);
    }

    #[test]
    fn the_chosen_word_stands_in_brackets() {
        assert_eq!(bracketed("always [madvise] never\n").as_deref(), Some("madvise"));
        assert_eq!(bracketed("always"), None);
    }

    #[test]
    fn an_unlimited_quota_is_no_quota() {
        assert_eq!(quota("max 100000\n"), None);
        assert_eq!(quota("150000 100000\n"), Some(1.5));
        assert_eq!(quota("1 0"), None);
    }

    #[test]
    fn this_machine_has_a_kernel_memory_and_a_libc() {
        let machine = describe();
        assert!(machine.kernel.is_some_and(|kernel| kernel.starts_with("Linux ")));
        assert!(machine.memory_bytes.is_some_and(|bytes| bytes > 1 << 20));
        assert!(machine.libc.is_some_and(|libc| libc.starts_with("glibc 2.")));
    }
}
