//! Pooling of one text's token embeddings into one row (sentence-transformers' `Pooling`).

use super::nan::larger;
use super::rows::Rows;
use crate::config::PoolingMode;

/// Pools `tokens`, `(length, width)`, into `out`, without the first `skip` rows: the prompt's.
///
/// With no rows left, `cls` is the first token, `max` is -infinity, and all other modes are 0.
pub(crate) fn pool(mode: PoolingMode, tokens: Rows<'_>, skip: usize, out: &mut [f32]) {
    let length = tokens.count();
    let skip = skip.min(length);
    let kept = tokens.range(skip..length);
    let count = kept.count() as f32;
    match mode {
        PoolingMode::Cls => out.copy_from_slice(tokens.row(if skip == length { 0 } else { skip })),
        PoolingMode::LastToken if skip == length => out.fill(0.0),
        PoolingMode::LastToken => out.copy_from_slice(tokens.row(length - 1)),
        PoolingMode::Max => {
            out.fill(f32::NEG_INFINITY);
            kept.iter().for_each(|row| out.iter_mut().zip(row).for_each(|(out, x)| *out = larger(*out, *x)));
        }
        PoolingMode::Mean => weighted_sum(out, kept, |_| 1.0, 1.0 / count.max(1e-9)),
        PoolingMode::MeanSqrtLen => weighted_sum(out, kept, |_| 1.0, 1.0 / count.max(1e-9).sqrt()),
        PoolingMode::WeightedMean => {
            // The weights are the positions 1, 2, … in the whole text, prompt included.
            let weight = |i: usize| (skip + i + 1) as f32;
            let sum: f32 = (0..kept.count()).map(weight).sum();
            weighted_sum(out, kept, weight, 1.0 / sum.max(1e-9));
        }
    }
}

fn weighted_sum(out: &mut [f32], rows: Rows<'_>, weight: impl Fn(usize) -> f32, scale: f32) {
    out.fill(0.0);
    for (i, row) in rows.iter().enumerate() {
        let weight = weight(i);
        out.iter_mut().zip(row).for_each(|(out, x)| *out += weight * x);
    }
    out.iter_mut().for_each(|out| *out *= scale);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::kernels::testing::noise;

    const MODES: [PoolingMode; 6] = [
        PoolingMode::Cls,
        PoolingMode::Max,
        PoolingMode::Mean,
        PoolingMode::MeanSqrtLen,
        PoolingMode::WeightedMean,
        PoolingMode::LastToken,
    ];

    /// Pools one column in float64, as sentence-transformers does with a mask whose first `skip` positions are 0.
    fn truth(mode: PoolingMode, column: &[f64], skip: usize) -> f64 {
        let mask = |i: usize| if i < skip { 0.0 } else { 1.0 };
        let sum =
            |weight: &dyn Fn(usize) -> f64| -> f64 { column.iter().enumerate().map(|(i, x)| weight(i) * x).sum() };
        let total = |weight: &dyn Fn(usize) -> f64| (0..column.len()).map(weight).sum::<f64>().max(1e-9);
        match mode {
            PoolingMode::Cls => column[if skip < column.len() { skip } else { 0 }],
            PoolingMode::LastToken => column[column.len() - 1] * mask(column.len() - 1),
            PoolingMode::Max => column.iter().skip(skip).copied().fold(f64::NEG_INFINITY, f64::max),
            PoolingMode::Mean => sum(&mask) / total(&mask),
            PoolingMode::MeanSqrtLen => sum(&mask) / total(&mask).sqrt(),
            PoolingMode::WeightedMean => {
                let weight = |i: usize| mask(i) * (i + 1) as f64;
                sum(&weight) / total(&weight)
            }
        }
    }

    #[test]
    fn nan_stays_nan_before_other_numbers() {
        for place in 0..3 {
            let mut tokens = [1.0, 2.0, 3.0];
            tokens[place] = f32::NAN;
            for mode in [PoolingMode::Max, PoolingMode::Mean, PoolingMode::MeanSqrtLen, PoolingMode::WeightedMean] {
                let mut out = [0.0];
                pool(mode, Rows::packed(&tokens, 1), 0, &mut out);
                assert!(out[0].is_nan(), "{mode:?} {place}");
            }
        }
    }

    proptest! {
        #[test]
        fn every_mode_agrees_with_the_reference(
            length in 1usize..70, width in 1usize..20, skip in 0usize..80, seed: u64,
        ) {
            let tokens = noise(length * width, seed);
            for mode in MODES {
                let mut out = vec![f32::NAN; width];
                pool(mode, Rows::packed(&tokens, width), skip, &mut out);
                for (i, got) in out.iter().enumerate() {
                    let column: Vec<f64> = tokens.iter().skip(i).step_by(width).map(|x| f64::from(*x)).collect();
                    let want = truth(mode, &column, skip);
                    prop_assert!(f64::from(*got) == want || (f64::from(*got) - want).abs() < 5e-6, "{mode:?}: {got}, not {want}");
                }
            }
        }
    }
}
