//! The limit of threads, lowered while a call computes. Alone in its file: the limit is the process's.

#![allow(clippy::unwrap_used, clippy::panic, clippy::allow_attributes)]

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::tiny;
use rushlight::{EncodeOptions, Model, Observer, process};

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
    let model = Model::from_dir(tiny("bert-mean-normalize").model).unwrap();
    let text = "A lamp lights the room. ".repeat(9);
    for at in (1..6).cycle().take(20) {
        process::set_num_threads(2).unwrap();
        let observer = Lowers { at, asked: AtomicUsize::new(0), start: Instant::now() };
        model.encode(&[&text], &EncodeOptions::default().with_observer(&observer)).unwrap();
        assert!(observer.asked.load(Ordering::Relaxed) > 1);
    }
}
