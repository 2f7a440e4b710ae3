//! What this process takes of the host.

use rustix::time::{ClockId, clock_gettime};

use crate::model::Cost;

/// Reads the CPU time and the peak memory of this process.
pub fn own_cost() -> Cost {
    let cpu = clock_gettime(ClockId::ProcessCPUTime);
    let nanoseconds = |seconds: i64, rest: i64| {
        let seconds = u64::try_from(seconds).ok()?.checked_mul(1_000_000_000)?;
        seconds.checked_add(u64::try_from(rest).ok()?)
    };
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    Cost {
        cpu_ns: nanoseconds(cpu.tv_sec, cpu.tv_nsec).unwrap_or_default(),
        memory_bytes: most_memory(&status),
    }
}

/// `VmHWM` of proc_pid_status(5), in bytes.
fn most_memory(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_is_read_or_left() {
        let status = "Name:\ttracer\nVmHWM:\t   12345 kB\nVmRSS:\t 1 kB\n";
        assert_eq!(most_memory(status), Some(12_345 * 1024));
        for bad in [
            "",
            "VmHWM:\n",
            "VmHWM:\t12 MB\n",
            "VmHWM:\t99999999999999999999 kB\n",
        ] {
            assert_eq!(most_memory(bad), None);
        }
        let cost = own_cost();
        assert!(cost.cpu_ns > 0 && cost.memory_bytes > Some(0));
    }
}
