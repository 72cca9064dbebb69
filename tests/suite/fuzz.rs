//! The fuzz targets on their seeds and on a few made inputs. `make fuzz` runs them for long, under libFuzzer.

use std::fs;
use std::panic::catch_unwind;
use std::path::Path;

#[path = "../../fuzz/src/lib.rs"]
mod fuzzing;

use fuzzing::{TARGETS, Target};

/// Number of made inputs for each target.
const MADE: u64 = 30;

/// Returns bytes that look random, but are always the same.
fn made(seed: u64) -> Vec<u8> {
    let mut state = (seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    let length = 8 + usize::from(next());
    (0..length).map(|_| next()).collect()
}

/// Returns a target's seeds by their names: small inputs that once failed, or that reach far.
fn seeds(target: &Target) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target.name);
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.map(|path| (path.display().to_string(), fs::read(&path).unwrap())).collect()
}

/// Inputs of every target. `RUSHLIGHT_FUZZ` selects one, and `RUSHLIGHT_FUZZ_INPUTS` a range of made inputs, as in `100..200`.
#[test]
fn targets_keep_their_promises() {
    let only = std::env::var("RUSHLIGHT_FUZZ").ok();
    let range = std::env::var("RUSHLIGHT_FUZZ_INPUTS").ok();
    let range = range.map_or(0..MADE, |range| {
        let (start, end) = range.split_once("..").unwrap();
        start.parse().unwrap()..end.parse().unwrap()
    });
    let mut broken = Vec::new();
    for target in TARGETS.iter().filter(|target| only.as_ref().is_none_or(|only| only == target.name)) {
        let made = range.clone().map(|seed| (format!("made {seed}"), made(seed)));
        for (name, input) in seeds(target).into_iter().chain(made) {
            if catch_unwind(|| (target.check)(&input)).is_err() {
                broken.push(format!("{}: {name}", target.name));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}
