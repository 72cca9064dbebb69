//! Searches documents by meaning: `cargo run --release --example search -- path/to/all-MiniLM-L6-v2`.
//!
//! The program below is that of the documentation's page about Rust, word for word (a test compares the two).
#![expect(clippy::print_stdout, reason = "an example shows its result")]

use rushlight::{EncodeOptions, Model, SearchOptions, Similarity, vectors};

fn main() -> rushlight::Result<()> {
    let name = std::env::args().nth(1).unwrap_or_else(|| "all-MiniLM-L6-v2".to_owned());
    let model = Model::load(&name)?;
    let documents = [
        "Bread rises because yeast makes gas in the dough.",
        "The router restarts when the button on its back is held.",
        "Tomato plants need six hours of sun a day.",
        "The night train to Vienna leaves at half past nine.",
    ];
    let options = EncodeOptions::default().with_normalize_embeddings(true);
    let corpus = model.encode_document(&documents, &options)?;
    let queries = model.encode_query(&["Why does a loaf get bigger?", "When does the train leave?"], &options)?;

    // The dot product of normalized embeddings is their cosine.
    let search = SearchOptions::default().with_top_k(1).with_similarity(Similarity::Dot);
    for hits in vectors::semantic_search(&queries, &corpus, &search)? {
        for hit in hits {
            println!("{:.2} {}", hit.score, documents[hit.corpus_id]);
        }
    }
    Ok(())
}
