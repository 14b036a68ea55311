//! What a process used, as the kernel counts it.

use std::time::Duration;

use crate::{Fault, fault};

/// Ticks a second in /proc/PID/stat; fixed for programs on Linux (USER_HZ).
const TICKS_PER_SECOND: u64 = 100;

/// User and system time of all threads, those that have ended included.
pub fn cpu(pid: u32) -> Result<Duration, Fault> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in brackets may hold anything; the fields behind it are counted from 3.
    let (_, fields) = stat.rsplit_once(") ").ok_or_else(|| fault("an unknown form of /proc/<pid>/stat"))?;
    let field = |number: usize| fields.split(' ').nth(number - 3).and_then(|text| text.parse::<u64>().ok());
    let ticks = field(14).zip(field(15)).map(|(user, system)| user + system);
    let ticks = ticks.ok_or_else(|| fault("no times in /proc/<pid>/stat"))?;
    Ok(Duration::from_millis(ticks * 1_000 / TICKS_PER_SECOND))
}

/// The same of a server that starts processes for its work: itself, those it has waited for, and its living children.
pub fn cpu_of_family(pid: u32) -> Result<Duration, Fault> {
    let (mut ticks, mut children) = (None, 0);
    for entry in std::fs::read_dir("/proc")? {
        let Ok(number) = entry?.file_name().to_string_lossy().parse::<u32>() else { continue };
        // Who has ended meanwhile was waited for, and is counted by its parent.
        let Ok(stat) = std::fs::read_to_string(format!("/proc/{number}/stat")) else { continue };
        let Some((_, fields)) = stat.rsplit_once(") ") else { continue };
        let fields: Vec<u64> = fields.split(' ').map(|field| field.parse().unwrap_or(0)).collect();
        let field = |number: usize| fields.get(number - 3).copied().unwrap_or(0);
        if number == pid {
            // Nothing yet is an answer too: a server that has just started may not have used a tick.
            ticks = Some(field(14) + field(15) + field(16) + field(17));
        } else if field(4) == u64::from(pid) {
            children += field(14) + field(15);
        }
    }
    let ticks = ticks.ok_or_else(|| fault("no such process"))? + children;
    Ok(Duration::from_millis(ticks * 1_000 / TICKS_PER_SECOND))
}

/// Memory in KiB by its name in /proc/PID/status: `VmRSS` now, `VmHWM` at its highest.
pub fn memory_kib(pid: u32, name: &str) -> Result<u64, Fault> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let number = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
    number.ok_or_else(|| fault(format!("no {name} in /proc/<pid>/status")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_its_own() {
        let own = std::process::id();
        assert!(memory_kib(own, "VmHWM").unwrap() >= memory_kib(own, "VmRSS").unwrap() / 2);
        let before = cpu(own).unwrap();
        let mut sum = 0_u64;
        while cpu(own).unwrap() < before + Duration::from_millis(30) {
            sum = (0..100_000).fold(sum, |sum, next| sum ^ std::hint::black_box(next));
        }
        assert!(memory_kib(own, "VmNothing").is_err());
    }

    #[test]
    fn who_has_used_nothing_yet_is_a_process() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let used = cpu_of_family(child.id()).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(used < Duration::from_secs(1), "{used:?}");
        assert!(cpu_of_family(child.id()).is_err(), "it is gone");
    }
}
