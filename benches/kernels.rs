//! Benchmark of kernels: the share of the CPU's peak that each reaches, on models' shapes and one thread.
//!
//! `cargo bench --features bench --bench kernels` prints a table. `-- product` runs only kernels with that word in
//! their names. `RUSHLIGHT_CPU` names the instruction set, as in rushlight itself. The peak is the rate of float32
//! multiply-adds; products with AMX exceed it. Each kernel's numbers are first checked against those of plain code.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it is a program that prints")]

#[expect(dead_code, reason = "reading memory is for the peak's bench alone")]
mod common;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use common::isa::Isa;
use common::limits;
use rushlight::bench::{Case, cases};
use rushlight::process;

/// Duration of a sample of a kernel or of the peak.
const SAMPLE: Duration = Duration::from_micros(500);
const SAMPLES: usize = 101;

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("kernels: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[String]) -> Result<(), String> {
    let isa = Isa::chosen()?;
    let name = process::instruction_set().map_err(|error| error.to_string())?;
    println!("by {name}; median of {SAMPLES} samples of {SAMPLE:?}, alternating with the peak\n");
    println!("| kernel | of the peak | or: multiply-adds in a number's time | peak, Gflop/s |");
    println!("|---|---|---|---|");
    for (mut case, mut plain) in cases(name).into_iter().zip(cases("scalar")) {
        if !words.iter().all(|word| case.name.contains(word.as_str())) {
            continue;
        }
        let mut out = vec![f32::NAN; case.numbers];
        check(&mut case, &mut plain, &mut out)?;
        let (share, cost, peak) = measure(isa, &mut case, &mut out);
        let reached = match share {
            Some(share) => format!("{:.1} % |", 100.0 * share),
            None => format!("| {cost:.0}"),
        };
        println!("| {} | {reached} | {peak:.0} |", case.name);
    }
    Ok(())
}

/// Checks a kernel's numbers against those of plain code.
fn check(case: &mut Case, plain: &mut Case, out: &mut [f32]) -> Result<(), String> {
    let mut right = vec![f32::NAN; case.numbers];
    case.run(out);
    plain.run(&mut right);
    let far = |(x, y): (&f32, &f32)| (x - y).abs() > case.tolerance * y.abs().max(1.0) || x.is_nan();
    match out.iter().zip(&right).filter(|pair| far(*pair)).count() {
        0 => Ok(()),
        wrong => Err(format!("{}: {wrong} of {} numbers are wrong", case.name, case.numbers)),
    }
}

/// Returns the share of the peak if the kernel's operations can be counted, the number of multiply-adds that the peak
/// does in the time of one number, and the peak.
fn measure(isa: Isa, case: &mut Case, out: &mut [f32]) -> (Option<f64>, f64, f64) {
    let (mut seconds, mut peaks) = (Vec::new(), Vec::new());
    for _ in 0..SAMPLES {
        peaks.push(limits::gflops(isa, 1, SAMPLE) * 1e9);
        let (begin, mut runs) = (Instant::now(), 0.0);
        while begin.elapsed() < SAMPLE {
            case.run(out);
            runs += 1.0;
        }
        seconds.push(begin.elapsed().as_secs_f64() / runs);
    }
    let (seconds, peak) = (median(seconds), median(peaks));
    (case.flops.map(|flops| flops / seconds / peak), peak / 2.0 * seconds / case.numbers as f64, peak / 1e9)
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}
