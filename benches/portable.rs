//! Worker of `benches/python` that embeds with candle's tensors, for comparison with rushlight's kernels.
//!
//! `portable MODEL_FOLDER` reads commands as lines of JSON and answers each with one, as `benches/python/worker.py` does.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it is a program that prints")]

use std::error::Error;
use std::io::{BufRead, stdin};
use std::process::ExitCode;
use std::time::Instant;

use rushlight::{EncodeOptions, Kernels, LoadOptions, Model};
use serde::Deserialize;
use serde_json::{Value, json};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("portable: {error}");
            ExitCode::FAILURE
        }
    }
}

#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "lowercase")]
enum Command {
    /// Embeds and returns the time.
    Encode { texts: Vec<String> },
    /// Embeds and returns the embeddings.
    Embed { texts: Vec<String> },
}

fn run() -> Result<(), Box<dyn Error>> {
    let Some(folder) = std::env::args().skip(1).find(|argument| argument != "--bench") else {
        return Err("needs a model's folder".into());
    };
    let options = LoadOptions::default().with_kernels(Kernels::Portable);
    let model = Model::from_dir_with(folder, &options)?;
    println!("{}", json!({"versions": {"rushlight": env!("CARGO_PKG_VERSION")}}));
    for line in stdin().lock().lines() {
        println!("{}", answer(&model, &serde_json::from_str(&line?)?)?);
    }
    Ok(())
}

fn answer(model: &Model, command: &Command) -> rushlight::Result<Value> {
    match command {
        Command::Encode { texts } => {
            let begin = Instant::now();
            model.encode(texts, &EncodeOptions::default())?;
            Ok(json!({"seconds": begin.elapsed().as_secs_f64()}))
        }
        Command::Embed { texts } => {
            let embeddings = model.encode(texts, &EncodeOptions::default())?;
            let rows: Vec<_> = (0..embeddings.len()).map(|i| embeddings.row(i)).collect();
            Ok(json!({"embeddings": rows}))
        }
    }
}
