//! Fallible allocation: returns [`Error::Memory`] where `Vec` would abort the process.
//!
//! Use it for memory whose size a file or a caller chooses. `what` names the contents in the message.

use crate::error::{Error, Result};

/// Returns an empty `Vec` with capacity for `count` items.
pub(crate) fn with_capacity<T>(count: usize, what: &str) -> Result<Vec<T>> {
    let mut vec = Vec::new();
    reserve(&mut vec, count, what)?;
    Ok(vec)
}

/// Reserves capacity for `count` items in total.
pub(crate) fn reserve<T>(vec: &mut Vec<T>, count: usize, what: &str) -> Result<()> {
    let more = count.saturating_sub(vec.len());
    vec.try_reserve_exact(more).map_err(|_| out_of_memory::<T>(count, what))
}

/// Returns `count` copies of `value`.
pub(crate) fn filled<T: Clone>(value: T, count: usize, what: &str) -> Result<Vec<T>> {
    let mut vec = with_capacity(count, what)?;
    vec.resize(count, value);
    Ok(vec)
}

/// Collects an iterator that knows its length.
pub(crate) fn collected<T>(items: impl ExactSizeIterator<Item = T>, what: &str) -> Result<Vec<T>> {
    let mut vec = with_capacity(items.len(), what)?;
    vec.extend(items);
    Ok(vec)
}

/// Copies a slice.
pub(crate) fn copied<T: Copy>(items: &[T], what: &str) -> Result<Vec<T>> {
    collected(items.iter().copied(), what)
}

/// Copies a text.
pub(crate) fn owned(text: &str, what: &str) -> Result<String> {
    let mut copy = String::new();
    copy.try_reserve_exact(text.len()).map_err(|_| out_of_memory::<u8>(text.len(), what))?;
    copy.push_str(text);
    Ok(copy)
}

/// Returns `count` zeros, in pages that the system zeroes when they are first touched.
pub(crate) fn zeros(count: usize, what: &str) -> Result<Vec<f32>> {
    check::<f32>(count, what)?;
    Ok(vec![0.0; count])
}

/// Tries an allocation of `count` items before calling code that aborts without the memory.
pub(crate) fn check<T>(count: usize, what: &str) -> Result<()> {
    // `black_box` keeps the compiler from removing an allocation that nobody uses.
    with_capacity::<T>(count, what).map(|trial| drop(std::hint::black_box(trial)))
}

/// Returns memory that was allocated for a while to the system. glibc keeps up to 64 MB of it otherwise, and more in the
/// arenas of other threads.
pub(crate) fn return_free_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[expect(unsafe_code, reason = "a function of C")]
    // SAFETY: the function takes no pointer, and locks the arenas whose free pages it returns.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Returns the error for `count` items without memory.
pub(crate) fn out_of_memory<T>(count: usize, what: &str) -> Error {
    Error::Memory { what: what.to_owned(), bytes: count.saturating_mul(size_of::<T>()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_beyond_memory_are_errors() {
        for count in [usize::MAX, isize::MAX as usize, 1 << 46] {
            for error in [
                with_capacity::<u64>(count, "numbers").unwrap_err(),
                filled(1_u64, count, "numbers").unwrap_err(),
                check::<u64>(count, "numbers").unwrap_err(),
            ] {
                let bytes = count.saturating_mul(8);
                assert_eq!(error.to_string(), format!("no memory for numbers: {bytes} bytes"));
            }
            assert!(matches!(zeros(count, "zeros").unwrap_err(), Error::Memory { .. }));
        }
    }

    #[test]
    fn sizes_within_memory_are_allocated() {
        assert_eq!(filled(7, 3, "").unwrap(), [7, 7, 7]);
        assert_eq!(copied(&[1, 2], "").unwrap(), [1, 2]);
        assert_eq!(zeros(2, "").unwrap(), [0.0, 0.0]);
    }
}
