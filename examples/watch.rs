//! Embeds texts, reports progress, and stops after a minute: `cargo run --release --example watch -- path/to/model`.
//!
//! The program below is that of the documentation's page about Rust, word for word (a test compares the two).
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "an example shows its result")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rushlight::{EncodeOptions, Error, Model};

fn main() -> rushlight::Result<()> {
    let name = std::env::args().nth(1).unwrap_or_else(|| "all-MiniLM-L6-v2".to_owned());
    let model = Model::load(&name)?;
    let texts: Vec<_> = (0..1000).map(|i| format!("This is text number {i}.")).collect();

    let stop = Arc::new(AtomicBool::new(false));
    let watch = (Arc::clone(&stop), |done: usize, total: usize| eprintln!("{done} of {total}"));
    // Another thread stops the call.
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(60));
        stop.store(true, Ordering::Relaxed);
    });
    let options = EncodeOptions::default().with_normalize_embeddings(true).with_observer(&watch);
    match model.encode(&texts, &options) {
        Err(Error::Interrupted) => println!("stopped after a minute"),
        embeddings => println!("{} embeddings", embeddings?.len()),
    }
    Ok(())
}
