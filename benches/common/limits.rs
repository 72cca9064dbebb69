//! Upper limits of any float32 computation: the rates of fused multiply-adds and of reading memory.

use std::hint::black_box;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use pulp::{Simd, WithSimd};

use super::isa::Isa;

/// Measures Gflop/s of `threads` threads that only do fused multiply-adds on registers, for about `time`. Each counts
/// as two operations.
pub(crate) fn gflops(isa: Isa, threads: usize, time: Duration) -> f64 {
    // A call takes 10 to 100 microseconds, so the cost of reading the clock is negligible.
    const ITERATIONS: u64 = 10_000;
    let flops = rate(&vec![(); threads], time, |()| isa.run(FusedMultiplyAdds { iterations: ITERATIONS }));
    flops / 1e9
}

/// Measures GB/s of `threads` threads that read their parts of `buffer` repeatedly, for about `time` and at least once.
pub(crate) fn gigabytes_per_second(isa: Isa, threads: usize, time: Duration, buffer: &[f32]) -> f64 {
    let parts: Vec<_> = buffer.chunks(buffer.len().div_ceil(threads).max(1)).collect();
    let bytes = rate(&parts, time, |part| {
        isa.run(Read { numbers: part });
        size_of_val(*part) as f64
    });
    bytes / 1e9
}

/// Returns the total work of all threads per second. Each call of `work` returns its amount of work.
///
/// Each thread works on one of `parts` repeatedly. A thread's rate is its own work over its own time, so threads that
/// end later don't distort the sum.
fn rate<T: Sync>(parts: &[T], time: Duration, work: impl Fn(&T) -> f64 + Sync) -> f64 {
    let start = Barrier::new(parts.len());
    let measure = |part: &T| {
        work(part);
        start.wait();
        let (begin, mut done) = (Instant::now(), 0.0);
        while done == 0.0 || begin.elapsed() < time {
            done += work(part);
        }
        done / begin.elapsed().as_secs_f64()
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = parts.iter().map(|part| scope.spawn(|| measure(part))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or(f64::NAN)).sum()
    })
}

struct FusedMultiplyAdds {
    iterations: u64,
}

impl WithSimd for FusedMultiplyAdds {
    /// Number of operations.
    type Output = f64;
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f64 {
        // Enough independent sums to hide the latency of two units. Two registers stay free for the factors.
        if S::REGISTER_COUNT >= 32 {
            multiply_add::<S, 24>(simd, self.iterations)
        } else {
            multiply_add::<S, 12>(simd, self.iterations)
        }
    }
}

#[inline(always)]
fn multiply_add<S: Simd, const SUMS: usize>(simd: S, iterations: u64) -> f64 {
    // The sums converge to 1, so they are never denormal or infinite. `black_box` hides from the compiler that they are
    // equal.
    let (factor, addend) = (simd.splat_f32s(black_box(0.75)), simd.splat_f32s(black_box(0.25)));
    let mut sums = [addend; SUMS];
    for sum in &mut sums {
        *sum = simd.splat_f32s(black_box(0.5));
    }
    for _ in 0..iterations {
        for sum in &mut sums {
            // SSE4.2 lacks the instruction: pulp calls a function of libm for each number.
            *sum = if cfg!(target_arch = "x86_64") && S::F32_LANES == 4 {
                simd.add_f32s(simd.mul_f32s(*sum, factor), addend)
            } else {
                simd.mul_add_e_f32s(*sum, factor, addend)
            };
        }
    }
    black_box(sums.map(|sum| simd.reduce_sum_f32s(sum)));
    (2 * SUMS * S::F32_LANES) as f64 * iterations as f64
}

struct Read<'a> {
    numbers: &'a [f32],
}

impl WithSimd for Read<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // Four streams at once: the CPU prefetches each, so more cache lines are in flight.
        let quarter = self.numbers.len() / 4 / S::F32_LANES * S::F32_LANES;
        let part = |i: usize| S::as_simd_f32s(&self.numbers[i * quarter..][..quarter]).0.as_chunks::<4>().0;
        let (a, b, c, d) = (part(0), part(1), part(2), part(3));
        let mut sums = [simd.splat_f32s(0.0); 16];
        for (((a, b), c), d) in a.iter().zip(b).zip(c).zip(d) {
            for (sum, x) in sums.iter_mut().zip(a.iter().chain(b).chain(c).chain(d)) {
                *sum = simd.add_f32s(*sum, *x);
            }
        }
        black_box(sums.map(|sum| simd.reduce_sum_f32s(sum)));
    }
}
