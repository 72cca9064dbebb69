//! Fetching memory into the first-level cache ahead of its use.

/// Fetches the `i`-th of `items`, which may lie beyond the end, where the processor has an instruction for it that Rust
/// offers.
#[inline(always)]
pub(crate) fn prefetch<T>(items: &[T], i: usize) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        const LINE: usize = 64;
        let item = items.as_ptr().wrapping_add(i).cast::<i8>();
        for line in 0..size_of::<T>().div_ceil(LINE) {
            #[expect(unsafe_code, reason = "an intrinsic")]
            // SAFETY: a prefetch reads nothing that a program could notice, and an address that isn't there is ignored.
            unsafe {
                _mm_prefetch::<_MM_HINT_T0>(item.wrapping_add(line * LINE));
            }
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (items, i);
}
