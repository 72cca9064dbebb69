//! Prefetching of memory into the caches, on processors with an instruction for it that Rust offers.
//!
//! The addresses may lie beyond the end of the slices.

use super::rows::Rows;

/// Size of a cache line in bytes.
pub(crate) const LINE: usize = 64;

/// Prefetches the `i`-th of `items` into the first-level cache.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(crate) fn prefetch<T>(items: &[T], i: usize) {
    let item = items.as_ptr().wrapping_add(i).cast::<u8>();
    for line in 0..size_of::<T>().div_ceil(LINE) {
        fetch::<1>(item.wrapping_add(line * LINE));
    }
}

/// Prefetches the cache line `bytes` after the end of `items` into the second-level cache.
#[inline(always)]
pub(crate) fn prefetch_behind<T>(items: &[T], bytes: usize) {
    fetch::<2>(items.as_ptr_range().end.cast::<u8>().wrapping_add(bytes));
}

/// Prefetches rows into the first-level cache.
#[inline(always)]
pub(crate) fn prefetch_rows(rows: Rows<'_>) {
    for row in rows.iter() {
        for line in row.chunks(LINE / size_of::<f32>()) {
            fetch::<1>(line.as_ptr().cast());
        }
    }
}

/// Memory that is read soon.
#[derive(Clone, Copy)]
pub(crate) struct Upcoming {
    start: *const u8,
    bytes: usize,
}

impl Upcoming {
    /// Returns the memory behind a panel, where the next one of the same size begins.
    #[inline(always)]
    pub(crate) fn behind<T>(panel: &[T]) -> Self {
        Self { start: panel.as_ptr_range().end.cast(), bytes: size_of_val(panel) }
    }
}

/// Prefetches memory into the second-level cache, spread evenly over the steps of a loop: all at once would stall on memory.
#[derive(Clone, Copy)]
pub(crate) struct Spread {
    line: *const u8,
    stride: usize,
}

impl Spread {
    /// Spreads memory over `steps`, at most a cache line a step.
    #[inline(always)]
    pub(crate) fn over(Upcoming { start, bytes }: Upcoming, steps: usize) -> Self {
        Self { line: start, stride: bytes.div_ceil(steps.max(1)).min(2 * LINE) }
    }

    /// Returns the prefetch after so many steps.
    #[inline(always)]
    pub(crate) fn after(self, steps: usize) -> Self {
        Self { line: self.line.wrapping_add(steps * self.stride), ..self }
    }

    /// Prefetches the memory of one step.
    #[inline(always)]
    pub(crate) fn prefetch(&mut self) {
        fetch::<2>(self.line);
        self.line = self.line.wrapping_add(self.stride);
    }

    /// Returns the address for the next step and the distance between steps, for assembly.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    pub(crate) fn parts(self) -> (*const u8, usize) {
        (self.line, self.stride)
    }
}

/// Prefetches a cache line into the cache of level 1 or 2.
#[inline(always)]
fn fetch<const LEVEL: u8>(line: *const u8) {
    #[cfg(target_arch = "x86_64")]
    #[expect(unsafe_code, reason = "an intrinsic")]
    // SAFETY: a prefetch has no effect that a program can observe, and the processor ignores invalid addresses.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _MM_HINT_T1, _mm_prefetch};
        match LEVEL {
            1 => _mm_prefetch::<_MM_HINT_T0>(line.cast()),
            _ => _mm_prefetch::<_MM_HINT_T1>(line.cast()),
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = line;
}
