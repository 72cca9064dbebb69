//! Fetching memory into the caches ahead of its use, where the processor has an instruction for it that Rust offers.
//!
//! What is fetched may lie beyond the end of what is given.

/// Bytes of a cache line.
pub(crate) const LINE: usize = 64;

/// Fetches the `i`-th of `items` into the first-level cache.
#[inline(always)]
pub(crate) fn prefetch<T>(items: &[T], i: usize) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
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

/// Fetches the cache line that is `bytes` behind the end of `items` into the second-level cache.
#[inline(always)]
pub(crate) fn prefetch_behind<T>(items: &[T], bytes: usize) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        let end = items.as_ptr_range().end.cast::<i8>();
        #[expect(unsafe_code, reason = "an intrinsic")]
        // SAFETY: as above.
        unsafe {
            _mm_prefetch::<_MM_HINT_T1>(end.wrapping_add(bytes));
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (items, bytes);
}
