//! What nothing that computes in float32 can exceed: the rate of fused multiply-adds, and that of reading memory.

use std::hint::black_box;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use pulp::{Simd, WithSimd};

use super::isa::Isa;

/// Floating-point operations per second, in units of 10⁹, of `threads` threads that do nothing but fused multiply-adds
/// on registers for about `time`. One of them counts as two operations.
pub(crate) fn gflops(isa: Isa, threads: usize, time: Duration) -> f64 {
    // 10 to 100 microseconds a turn: reading the clock costs nothing beside it.
    const TURNS: u64 = 10_000;
    let flops = rate(&vec![(); threads], time, |()| isa.run(FusedMultiplyAdds { turns: TURNS }));
    flops / 1e9
}

/// Bytes per second, in units of 10⁹, at which `threads` threads read `buffer` again and again, each its own part, for
/// about `time` and once at least.
pub(crate) fn gigabytes_per_second(isa: Isa, threads: usize, time: Duration, buffer: &[f32]) -> f64 {
    let parts: Vec<_> = buffer.chunks(buffer.len().div_ceil(threads).max(1)).collect();
    let bytes = rate(&parts, time, |part| {
        isa.run(Read { numbers: part });
        size_of_val(*part) as f64
    });
    bytes / 1e9
}

/// What all threads together get done in a second, where each call of `work` tells how much it did.
///
/// Each thread is given one of `parts` and works on it again and again. A thread's rate is its own work in its own time,
/// so that one that ends a little later than the others costs nothing.
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
    turns: u64,
}

impl WithSimd for FusedMultiplyAdds {
    /// How many operations.
    type Output = f64;
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f64 {
        // As many independent sums as hide the latency of two units, and leave room for the two factors.
        if S::REGISTER_COUNT >= 32 {
            multiply_add::<S, 24>(simd, self.turns)
        } else {
            multiply_add::<S, 12>(simd, self.turns)
        }
    }
}

#[inline(always)]
fn multiply_add<S: Simd, const SUMS: usize>(simd: S, turns: u64) -> f64 {
    // The sums go towards 1, so that they meet no denormal or infinite number. The compiler must not know them equal.
    let (factor, addend) = (simd.splat_f32s(black_box(0.75)), simd.splat_f32s(black_box(0.25)));
    let mut sums = [addend; SUMS];
    for sum in &mut sums {
        *sum = simd.splat_f32s(black_box(0.5));
    }
    for _ in 0..turns {
        for sum in &mut sums {
            *sum = simd.mul_add_e_f32s(*sum, factor, addend);
        }
    }
    black_box(sums.map(|sum| simd.reduce_sum_f32s(sum)));
    (2 * SUMS * S::F32_LANES) as f64 * turns as f64
}

struct Read<'a> {
    numbers: &'a [f32],
}

impl WithSimd for Read<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // Four places at once: the processor fetches ahead for each, and more lines are on their way.
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
