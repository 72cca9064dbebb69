//! Memory for as many things as a file or a caller says: an error where it lacks, not an abort.

use crate::error::{Error, Result};

/// An empty `Vec` with room for `count`; `what` says of what, for the message.
pub(crate) fn with_capacity<T>(count: usize, what: &str) -> Result<Vec<T>> {
    let mut vec = Vec::new();
    vec.try_reserve_exact(count).map_err(|_| out_of_memory::<T>(count, what))?;
    Ok(vec)
}

/// `count` times `value`.
pub(crate) fn filled<T: Clone>(value: T, count: usize, what: &str) -> Result<Vec<T>> {
    let mut vec = with_capacity(count, what)?;
    vec.resize(count, value);
    Ok(vec)
}

/// All of an iterator, which knows how many they are.
pub(crate) fn collected<T>(items: impl ExactSizeIterator<Item = T>, what: &str) -> Result<Vec<T>> {
    let mut vec = with_capacity(items.len(), what)?;
    vec.extend(items);
    Ok(vec)
}

/// A copy.
pub(crate) fn copied<T: Copy>(items: &[T], what: &str) -> Result<Vec<T>> {
    collected(items.iter().copied(), what)
}

/// `count` zeros, which the system gives without that they are touched.
pub(crate) fn zeros(count: usize, what: &str) -> Result<Vec<f32>> {
    check::<f32>(count, what)?;
    Ok(vec![0.0; count])
}

/// Tries whether there is memory for `count` things, where what takes it aborts without.
pub(crate) fn check<T>(count: usize, what: &str) -> Result<()> {
    // Kept from the compiler, which may leave out an allocation that nobody uses.
    with_capacity::<T>(count, what).map(|trial| drop(std::hint::black_box(trial)))
}

/// The error for `count` things that there is no memory for.
pub(crate) fn out_of_memory<T>(count: usize, what: &str) -> Error {
    Error::Memory { what: what.to_owned(), bytes: count.saturating_mul(size_of::<T>()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_that_no_memory_has_are_errors() {
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
    fn what_fits_is_what_was_asked_for() {
        assert_eq!(filled(7, 3, "").unwrap(), [7, 7, 7]);
        assert_eq!(copied(&[1, 2], "").unwrap(), [1, 2]);
        assert_eq!(zeros(2, "").unwrap(), [0.0, 0.0]);
    }
}
