//! Benchmark of the CPU's peak: rates of float32 fused multiply-adds and of reading memory.
//!
//! `cargo run --release -p rushlight-peak` prints both. With `--serve` it answers each line of the standard input with one
//! measurement as a line of JSON: `flops SECONDS`, or `bandwidth SECONDS MIB` for reading that many MiB repeatedly.
//! `--threads N` sets the number of threads. `RUSHLIGHT_CPU` names the instruction set, as in rushlight itself.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it is a program that prints")]

#[path = "../common/mod.rs"]
mod common;

use std::io::{BufRead, stdin};
use std::process::ExitCode;
use std::time::Duration;

use common::isa::Isa;
use common::limits;
use serde_json::json;

/// Size in MiB, more than nearly all CPUs' caches.
const LARGE: usize = 1_024;

fn main() -> ExitCode {
    match run(std::env::args().skip(1)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("peak: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn run(mut arguments: impl Iterator<Item = String>) -> Result<(), String> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut limits = Limits { isa: Isa::chosen()?, threads, buffer: Vec::new() };
    let mut serve = false;
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--serve" => serve = true,
            "--threads" => limits.threads = positive(arguments.next().as_deref())?,
            _ => return Err(format!("unknown argument {argument:?}")),
        }
    }
    if serve {
        for line in stdin().lock().lines() {
            println!("{}", limits.answer(&line.map_err(|error| error.to_string())?)?);
        }
        return Ok(());
    }
    let second = Duration::from_secs(1);
    println!("{} thread(s), {}", limits.threads, limits.isa.name());
    println!("{:7.1} Gflop/s", limits::gflops(limits.isa, limits.threads, second));
    println!("{:7.1} GB/s, reading {LARGE} MiB", limits.bandwidth(second, LARGE));
    Ok(())
}

fn positive(word: Option<&str>) -> Result<usize, String> {
    let number = word.and_then(|word| word.parse().ok()).filter(|n| *n > 0);
    number.ok_or_else(|| format!("expected a number from 1 up, got {word:?}"))
}

/// Measurement of limits, with the memory that it reads.
struct Limits {
    isa: Isa,
    threads: usize,
    buffer: Vec<f32>,
}

impl Limits {
    fn answer(&mut self, line: &str) -> Result<serde_json::Value, String> {
        let mut words = line.split_whitespace();
        let kind = words.next();
        let seconds = words.next().and_then(|word| word.parse().ok());
        let time = seconds.and_then(|s| Duration::try_from_secs_f64(s).ok()).ok_or("expected a number of seconds")?;
        let (isa, threads) = (self.isa, self.threads);
        match kind {
            Some("flops") => {
                let gflops = limits::gflops(isa, threads, time);
                Ok(json!({"isa": isa.name(), "threads": threads, "gflops": gflops}))
            }
            Some("bandwidth") => {
                let mib = positive(words.next())?;
                let rate = self.bandwidth(time, mib);
                Ok(json!({"isa": isa.name(), "threads": threads, "mib": mib, "gigabytes_per_second": rate}))
            }
            _ => Err(format!("unknown measurement {line:?}")),
        }
    }

    fn bandwidth(&mut self, time: Duration, mib: usize) -> f64 {
        let numbers = mib << 18;
        if self.buffer.len() < numbers {
            // Written, so that the system allocates pages instead of mapping its zero page.
            self.buffer = vec![1.0; numbers];
        }
        limits::gigabytes_per_second(self.isa, self.threads, time, &self.buffer[..numbers])
    }
}
