//! Benchmark of instructions: a fixed call, whose instructions `benches/python/bench.py instructions` counts with
//! valgrind. Unlike times, they are the same in every run.
//!
//! `instructions MODEL_FOLDER` embeds a query and several texts with all-MiniLM-L6-v2, twice. Only the second run is
//! counted.
#![expect(clippy::print_stderr, reason = "it is a program that prints")]

use std::error::Error;
use std::hint::black_box;
use std::process::ExitCode;

use rushlight::{EncodeOptions, Model, process};

/// Cosines of the first text with the next two, from sentence-transformers.
const COSINES: [f32; 2] = [0.665_955, 0.104_584];

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("instructions: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let Some(folder) = std::env::args().skip(1).find(|argument| argument != "--bench") else {
        return Err("needs the folder of all-MiniLM-L6-v2".into());
    };
    process::set_num_threads(1)?;
    let model = Model::from_dir(folder)?;
    let mut texts = vec!["The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium."];
    let long = "A river that nobody had named ran past the mill, and whoever lived there counted years by its floods. ";
    let (long, longer) = (long.repeat(2), long.repeat(5));
    texts.extend([long.as_str(), longer.as_str()]);
    let before = model.encode(&texts, &EncodeOptions::default())?;
    let cosines = model.similarity(&before, &before)?;
    for (got, right) in cosines.row(0)[1..].iter().zip(COSINES) {
        if (got - right).abs() > 1e-5 {
            return Err(format!("wrong embeddings: expected a cosine of {right}, got {got}").into());
        }
    }
    counted(&model, &texts)?;
    Ok(())
}

#[inline(never)]
fn counted(model: &Model, texts: &[&str]) -> rushlight::Result<()> {
    black_box(model.encode(black_box(texts), &EncodeOptions::default())?);
    Ok(())
}
