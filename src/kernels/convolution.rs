//! Short causal convolution of each column, between two gates (LFM2; Liquid AI, 2025).

use super::rows::{Rows, RowsMut};

/// Parameters of a convolution.
#[derive(Clone, Copy)]
pub(crate) struct Convolution<'a> {
    /// Weights of the columns, `(taps, width)`: the last row's are those of the token itself.
    pub(crate) taps: Rows<'a>,
    pub(crate) bias: Option<&'a [f32]>,
}

/// Computes `c * (bias + Σ tap * (b * x))` of one text, whose first tokens see fewer ones before them. `bcx` is
/// `(tokens, 3 * width)`: `b`, `c` and `x` side by side.
pub(crate) fn convolve(bcx: Rows<'_>, convolution: Convolution<'_>, mut out: RowsMut<'_>) {
    let Convolution { taps, bias } = convolution;
    let width = taps.width();
    let [b, c, x] = [0, 1, 2].map(|part| bcx.columns(part * width..(part + 1) * width));
    for token in 0..bcx.count() {
        let row = out.row(token);
        match bias {
            Some(bias) => row.copy_from_slice(bias),
            None => row.fill(0.0),
        }
        let seen = taps.count().min(token + 1);
        for (from, tap) in (token + 1 - seen..=token).zip(taps.count() - seen..taps.count()) {
            let products = b.row(from).iter().zip(x.row(from)).zip(taps.row(tap));
            row.iter_mut().zip(products).for_each(|(sum, ((b, x), tap))| *sum += tap * (b * x));
        }
        row.iter_mut().zip(c.row(token)).for_each(|(sum, c)| *sum *= c);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{largest_difference, noise};

    #[test]
    fn a_convolution_agrees_with_float64() {
        for (tokens, width, count) in [(1, 3, 3), (2, 5, 3), (9, 16, 3), (7, 4, 1), (5, 33, 8)] {
            let (bcx, taps, bias) = (noise(tokens * 3 * width, 1), noise(count * width, 2), noise(width, 3));
            for bias in [None, Some(&bias[..])] {
                let mut out = vec![f32::NAN; tokens * width];
                let convolution = Convolution { taps: Rows::packed(&taps, width), bias };
                convolve(Rows::packed(&bcx, 3 * width), convolution, RowsMut::packed(&mut out, width));
                let at = |part: usize, token: usize, column: usize| {
                    f64::from(bcx[token * 3 * width + part * width + column])
                };
                let truth: Vec<f64> = (0..tokens * width)
                    .map(|i| {
                        let (token, column) = (i / width, i % width);
                        let terms = (0..count.min(token + 1)).map(|back| {
                            let tap = f64::from(taps[(count - 1 - back) * width + column]);
                            tap * at(0, token - back, column) * at(2, token - back, column)
                        });
                        let bias = bias.map_or(0.0, |bias| f64::from(bias[column]));
                        at(1, token, column) * (bias + terms.sum::<f64>())
                    })
                    .collect();
                assert!(largest_difference(&out, &truth) < 1e-6, "{tokens} {width} {count}");
            }
        }
    }
}
