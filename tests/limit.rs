//! The limit of threads, lowered while a call computes, and calls that wait at the limit. Alone in their file: the limit is
//! the process's.

#![allow(clippy::unwrap_used, clippy::panic, clippy::allow_attributes)]

mod common;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use common::{changed, tiny};
use rushlight::{EncodeOptions, Model, Observer, Step, process};

/// Lock of the limit.
static LIMIT: Mutex<()> = Mutex::new(());

/// Lowers the limit to one thread when it is asked for the `at`-th time, and gives the helper time to park. It never raises
/// the limit, which would free the caller from its wait. Stops a call that hangs.
struct Lowers {
    at: usize,
    asked: AtomicUsize,
    start: Instant,
}

impl Observer for Lowers {
    fn interrupted(&self) -> bool {
        if self.asked.fetch_add(1, Ordering::Relaxed) == self.at {
            process::set_num_threads(1).unwrap();
            std::thread::sleep(Duration::from_millis(30));
        }
        self.start.elapsed() > Duration::from_secs(20)
    }
}

#[test]
fn a_call_ends_when_the_limit_is_lowered_while_it_computes() {
    let _limit = LIMIT.lock().unwrap_or_else(PoisonError::into_inner);
    let model = Model::from_dir(tiny("bert-mean-normalize").model).unwrap();
    let text = "A lamp lights the room. ".repeat(9);
    for at in (1..6).cycle().take(20) {
        process::set_num_threads(2).unwrap();
        let observer = Lowers { at, asked: AtomicUsize::new(0), start: Instant::now() };
        model.encode(&[&text], &EncodeOptions::default().with_observer(&observer)).unwrap();
        assert!(observer.asked.load(Ordering::Relaxed) > 1);
    }
}

/// Tells that a call computes, and counts its micro-batches.
#[derive(Default)]
struct Counts {
    computes: AtomicBool,
    micro_batches: AtomicUsize,
}

impl Observer for Counts {
    fn step(&self, step: Step) {
        match step {
            Step::Tokenized => self.computes.store(true, Ordering::Relaxed),
            Step::Computed { .. } => _ = self.micro_batches.fetch_add(1, Ordering::Relaxed),
            _ => {}
        }
    }
}

#[test]
fn a_query_waits_for_a_layer_of_a_long_call_and_not_for_a_micro_batch() {
    let _limit = LIMIT.lock().unwrap_or_else(PoisonError::into_inner);
    process::set_num_threads(1).unwrap();
    // ALBERT's layers share their weights, so there may be many.
    let folder = changed(&tiny("albert-mean").model, "config.json", |config| config["num_hidden_layers"] = 24.into());
    let model = Model::from_dir(folder.path()).unwrap();
    let alone = model.encode(&["lamp"], &EncodeOptions::default()).unwrap().into_vec();
    let corpus: Vec<_> = (0..300).map(|i| format!("{i} lamps light the room of the small town")).collect();
    let (counts, done) = (Counts::default(), AtomicBool::new(false));
    let queries = std::thread::scope(|scope| {
        scope.spawn(|| {
            model.encode(&corpus, &EncodeOptions::default().with_observer(&counts)).unwrap();
            done.store(true, Ordering::Relaxed);
        });
        while !counts.computes.load(Ordering::Relaxed) {
            std::thread::yield_now();
        }
        let mut queries = 0;
        while !done.load(Ordering::Relaxed) {
            assert_eq!(model.encode(&["lamp"], &EncodeOptions::default()).unwrap().into_vec(), alone);
            queries += 1;
        }
        queries
    });
    let micro_batches = counts.micro_batches.load(Ordering::Relaxed);
    assert!(micro_batches > 4 && queries > 3 * micro_batches, "{queries} queries beside {micro_batches} micro-batches");
}
