//! Embeds three sentences: `cargo run --release --example embed -- path/to/all-MiniLM-L6-v2`.
//!
//! The program below is the README's example, word for word (a test compares the two).
#![expect(clippy::print_stdout, reason = "an example shows its result")]

use rushlight::{EncodeOptions, Model};

fn main() -> rushlight::Result<()> {
    // A model's folder, or its name: in the Hugging Face cache, or downloaded into it.
    let name = std::env::args().nth(1).unwrap_or_else(|| "all-MiniLM-L6-v2".to_owned());
    let model = Model::load(&name)?;
    let sentences = [
        "A small lamp lights the room.",
        "The room is lit by a little lantern.",
        "Stock prices fell sharply on Monday.",
    ];
    let embeddings = model.encode(&sentences, &EncodeOptions::default())?;
    println!("{} embeddings of {} numbers each", embeddings.len(), embeddings.dim());

    let similarities = model.similarity(&embeddings, &embeddings)?;
    for row in 0..similarities.rows() {
        println!("{:5.2?}", similarities.row(row));
    }
    Ok(())
}
