//! The target that the variable `RUSHLIGHT_FUZZ` names, under libFuzzer.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use rushlight_fuzz::{TARGETS, Target};

static TARGET: LazyLock<&Target> = LazyLock::new(|| {
    // Coverage of one thread repeats; the tests of the executor have many.
    rushlight::process::set_num_threads(1).expect("a limit of one thread");
    let name = std::env::var("RUSHLIGHT_FUZZ").unwrap_or_default();
    let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
    let found = TARGETS.iter().find(|target| target.name == name);
    found.unwrap_or_else(|| panic!("RUSHLIGHT_FUZZ must be one of {}, got {name:?}", names.join(", ")))
});

fuzz_target!(|data: &[u8]| (TARGET.check)(data));
