//! Checks for finite numbers, and comparisons that keep NaN: `max` of Rust's floats drops it.

/// Returns true when all numbers are finite. It has no branch, so that the compiler vectorizes it.
pub(crate) fn all_finite<'a>(numbers: impl IntoIterator<Item = &'a f32>) -> bool {
    numbers.into_iter().fold(true, |all, number| all & number.is_finite())
}

/// Returns the larger number, or NaN where one is NaN.
pub(crate) fn larger(a: f32, b: f32) -> f32 {
    if a > b || a.is_nan() { a } else { b }
}

/// Returns `x`, or `min` where it is smaller; NaN stays NaN.
pub(crate) fn at_least(x: f64, min: f64) -> f64 {
    if x < min { min } else { x }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nan_survives_and_numbers_compare() {
        assert!(all_finite(&[1.0, f32::MAX]) && !all_finite(&[f32::NEG_INFINITY, 1.0]) && !all_finite(&[f32::NAN]));
        assert!(larger(f32::NAN, 1.0).is_nan() && larger(1.0, f32::NAN).is_nan() && at_least(f64::NAN, 1.0).is_nan());
        assert_eq!([larger(1.0, 2.0), larger(2.0, 1.0), larger(f32::NEG_INFINITY, -1.0)], [2.0, 2.0, -1.0]);
        assert_eq!([at_least(1.0, 2.0), at_least(3.0, 2.0)], [2.0, 3.0]);
    }
}
