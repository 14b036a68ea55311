//! Feeds every parser of outside bytes with mutated input: `make fuzz`, or `loa-fuzz [TARGET] [--seconds N] [--seed N]`.
//!
//! It runs on a stable compiler and needs no tool. It has no view into branches; what an input did is told by the target
//! as a number, and an input that did something new is kept and mutated further. An input that breaks a target is written
//! to a file, and `loa-fuzz TARGET --input FILE` runs it again.
//!
//! Must stay true: the same seed and seconds try the same inputs in the same order (as far as they come); a panic, a
//! broken promise of the target and an input that takes too long are all faults, and end with exit code 1.

mod mutate;
mod targets;

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use loa_ports::clock::{Clock as _, SystemClock};
use loa_testkit::dice::Dice;

use mutate::mutate;
use targets::{TARGETS, Target};

/// Seconds of one target when nothing is said.
const SECONDS: u64 = 20;
/// One input may take so long.
const INPUT_LIMIT: Duration = Duration::from_secs(5);
/// Inputs kept for further mutation.
const KEPT_MAX: usize = 4_000;
/// Bytes of one input, at most.
const INPUT_BYTES_MAX: usize = 64 * 1024;

/// What was asked for.
struct Asked {
    target: Option<String>,
    seconds: u64,
    seed: u64,
    input: Option<PathBuf>,
}

fn main() -> ExitCode {
    match read(std::env::args().skip(1)).and_then(|asked| run(&asked)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            say(&format!("FAULT {fault}"));
            ExitCode::FAILURE
        }
    }
}

fn read(mut arguments: impl Iterator<Item = String>) -> Result<Asked, String> {
    let mut asked = Asked { target: None, seconds: SECONDS, seed: 1, input: None };
    while let Some(argument) = arguments.next() {
        let mut number = |name: &str| {
            let value = arguments.next().and_then(|text| text.parse().ok());
            value.ok_or_else(|| format!("{name} takes a number"))
        };
        match argument.as_str() {
            "--seconds" => asked.seconds = number("--seconds")?,
            "--seed" => asked.seed = number("--seed")?,
            "--input" => asked.input = arguments.next().map(PathBuf::from),
            name => asked.target = Some(name.to_owned()),
        }
    }
    Ok(asked)
}

fn run(asked: &Asked) -> Result<(), String> {
    let wanted = |target: &&Target| asked.target.as_deref().is_none_or(|name| name == target.name);
    let chosen: Vec<_> = TARGETS.iter().filter(wanted).collect();
    if chosen.is_empty() {
        let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
        return Err(format!("no such target; there are {}", names.join(", ")));
    }
    if let Some(path) = &asked.input {
        let input = std::fs::read(path).map_err(|error| format!("`{}`: {error}", path.display()))?;
        return chosen.iter().try_for_each(|target| one(target, &input).map(drop));
    }
    let faults: Vec<_> = chosen.iter().filter_map(|target| fuzz(target, asked).err()).collect();
    if faults.is_empty() { Ok(()) } else { Err(faults.join("\n")) }
}

/// Mutates for the time asked for.
fn fuzz(target: &Target, asked: &Asked) -> Result<(), String> {
    let clock = SystemClock::new();
    let mut dice = Dice::new(asked.seed, hash(target.name.as_bytes()));
    let mut kept = (target.seeds)();
    let mut seen = HashSet::new();
    for input in &kept {
        seen.insert(one(target, input).map_err(|fault| report(target, input, &fault))?);
    }
    let (seeds, mut tried) = (kept.len(), 0_u64);
    while clock.monotonic() < Duration::from_secs(asked.seconds) {
        let mut input = kept[dice.index(kept.len())].clone();
        let other = &kept[dice.index(kept.len())];
        mutate(&mut input, other, &mut dice);
        input.truncate(INPUT_BYTES_MAX);
        let before = clock.monotonic();
        let did = one(target, &input).map_err(|fault| report(target, &input, &fault))?;
        if clock.monotonic() - before > INPUT_LIMIT {
            return Err(report(target, &input, &format!("took longer than {INPUT_LIMIT:?}")));
        }
        tried += 1;
        if seen.insert(did) && kept.len() < KEPT_MAX {
            kept.push(input);
        }
    }
    let kinds = seen.len();
    say(&format!("{:<16} {tried:>10} inputs, {kinds:>6} kinds of outcome, {seeds} seeds, no fault", target.name));
    Ok(())
}

/// One input: what it did, or the fault.
fn one(target: &Target, input: &[u8]) -> Result<u64, String> {
    catch_unwind(AssertUnwindSafe(|| (target.run)(input))).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
    })
}

fn report(target: &Target, input: &[u8], fault: &str) -> String {
    let folder = Path::new("target/fuzz");
    let path = folder.join(format!("{}-{:016x}.bin", target.name, hash(input)));
    let written = std::fs::create_dir_all(folder).and_then(|()| std::fs::write(&path, input));
    let place = written.map_or_else(|error| format!("(not written: {error})"), |()| path.display().to_string());
    format!("{}: {fault}; again with: loa-fuzz {} --input {place}", target.name, target.name)
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

#[allow(clippy::print_stdout, reason = "figures for people are this program's output")]
fn say(line: &str) {
    println!("{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaks(input: &[u8]) -> u64 {
        assert!(!input.contains(&b'!'), "an exclamation mark");
        u64::try_from(input.len()).unwrap()
    }

    #[test]
    fn a_fault_is_found_and_told() {
        let target = Target { name: "breaks", seeds: || vec![b"abc".to_vec()], run: breaks };
        assert_eq!(one(&target, b"abc"), Ok(3));
        assert!(one(&target, b"a!c").unwrap_err().contains("an exclamation mark"));
        let asked = Asked { target: None, seconds: 20, seed: 1, input: None };
        let fault = fuzz(&target, &asked).unwrap_err();
        assert!(fault.starts_with("breaks: an exclamation mark"), "{fault}");
        let path = fault.rsplit(' ').next().unwrap();
        assert!(std::fs::read(path).unwrap().contains(&b'!'));
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn every_target_takes_its_seeds() {
        for target in TARGETS {
            let seeds = (target.seeds)();
            assert!(!seeds.is_empty(), "{} has no seed", target.name);
            let outcomes: HashSet<_> = seeds.iter().map(|seed| one(target, seed).unwrap()).collect();
            assert!(outcomes.len() > 1, "{} tells nothing apart", target.name);
        }
    }
}
