//! Streams texts from an iterator: `cargo run --release --example stream -- path/to/all-MiniLM-L6-v2`.
//!
//! The program below is that of the documentation's page about Rust, word for word (a test compares the two).
#![expect(clippy::print_stdout, reason = "an example shows its result")]

use rushlight::{EncodeOptions, Error, Model, Truncation};

fn main() -> rushlight::Result<()> {
    let name = std::env::args().nth(1).unwrap_or_else(|| "all-MiniLM-L6-v2".to_owned());
    let model = Model::load(&name)?;
    let options = EncodeOptions::default().with_truncation(Truncation::Error);

    // Any iterator of texts will do: a file's lines, a channel, a database's cursor.
    let texts = (0..250).map(|i| format!("This is text number {i}."));
    for embeddings in model.encode_iter(texts, 100, &options)? {
        let embeddings = embeddings?;
        println!("{} embeddings of {} numbers each", embeddings.len(), embeddings.dim());
    }

    match model.encode(&["lamp ".repeat(1000)], &options) {
        Err(Error::InvalidInput { index, problem }) => println!("text {index} {problem}"),
        other => println!("{} embeddings", other?.len()),
    }
    Ok(())
}
