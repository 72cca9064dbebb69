//! The limit of threads, changed while a call computes. Alone in its file: the limit is the process's.

#![allow(clippy::unwrap_used, clippy::panic, clippy::allow_attributes)]

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::tiny;
use rushlight::{EncodeOptions, Model, Observer, process};

/// Lowers the limit when it is asked within the forward pass, and gives helpers time to wait for the next job.
struct Lowers(AtomicUsize);

impl Observer for Lowers {
    fn interrupted(&self) -> bool {
        let asked = self.0.fetch_add(1, Ordering::Relaxed);
        if asked > 0 {
            process::set_num_threads(1 + asked % 2).unwrap();
            std::thread::sleep(Duration::from_millis(30));
        }
        false
    }
}

#[test]
fn a_call_ends_when_the_limit_is_lowered_while_it_computes() {
    let model = Model::from_dir(tiny("bert-mean-normalize").model).unwrap();
    let text = "A lamp lights the room. ".repeat(9);
    for _ in 0..20 {
        process::set_num_threads(2).unwrap();
        let observer = Lowers(AtomicUsize::new(0));
        model.encode(&[&text], &EncodeOptions::default().with_observer(&observer)).unwrap();
        assert!(observer.0.load(Ordering::Relaxed) > 1);
    }
}
