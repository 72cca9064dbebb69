//! Rotary position embedding (Su et al., 2021): rotates pairs of a head's columns by an angle proportional to the position.

use pulp::{Simd, WithSimd};

use super::rows::{Rows, RowsMut};
use super::{Isa, multiply_add};

struct Rotate<'a> {
    x: RowsMut<'a>,
    positions: &'a [u32],
    cos: Rows<'a>,
    sin: Rows<'a>,
}

impl WithSimd for Rotate<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { mut x, positions, cos, sin } = self;
        let half = cos.width();
        for (i, position) in positions.iter().enumerate() {
            let (cos, last_cos) = S::as_simd_f32s(cos.row(*position as usize));
            let (sin, last_sin) = S::as_simd_f32s(sin.row(*position as usize));
            let (left, right) = x.row(i)[..2 * half].split_at_mut(half);
            let (left, last_left) = S::as_mut_simd_f32s(left);
            let (right, last_right) = S::as_mut_simd_f32s(right);
            for (((x, y), cos), sin) in left.iter_mut().zip(right).zip(cos).zip(sin) {
                (*x, *y) = rotate_pair(simd, [*x, *y], *cos, *sin);
            }
            if !last_left.is_empty() {
                let pair = [simd.partial_load_f32s(last_left), simd.partial_load_f32s(last_right)];
                let (cos, sin) = (simd.partial_load_f32s(last_cos), simd.partial_load_f32s(last_sin));
                let (x, y) = rotate_pair(simd, pair, cos, sin);
                simd.partial_store_f32s(last_left, x);
                simd.partial_store_f32s(last_right, y);
            }
        }
    }
}

#[inline(always)]
fn rotate_pair<S: Simd>(simd: S, [x, y]: [S::f32s; 2], cos: S::f32s, sin: S::f32s) -> (S::f32s, S::f32s) {
    let (x_sin, y_sin) = (simd.mul_f32s(x, sin), simd.mul_f32s(y, sin));
    (multiply_add(simd, x, cos, simd.neg_f32s(y_sin)), multiply_add(simd, y, cos, x_sin))
}

/// Rotates columns `i` and `i + half` of every row by the angle of its position. `cos` and `sin`, both `(positions, half)`,
/// hold its cosine and sine in column `i`. Columns from `2 * half` on stay unchanged.
pub(crate) fn rotate(isa: Isa, x: RowsMut<'_>, positions: &[u32], cos: Rows<'_>, sin: Rows<'_>) {
    assert!(x.count() == positions.len() && 2 * cos.width() <= x.width() && cos.width() == sin.width());
    isa.run(Rotate { x, positions, cos, sin });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{largest_difference, noise};

    #[test]
    fn pairs_rotate_by_their_angles_and_other_columns_stay() {
        for isa in Isa::available() {
            for (half, width) in (1..=67).flat_map(|half| [2 * half, 2 * half + 3].map(|width| (half, width))) {
                let angles = noise(9 * half, 1);
                let cos: Vec<f32> = angles.iter().map(|angle| (3.0 * angle).cos()).collect();
                let sin: Vec<f32> = angles.iter().map(|angle| (3.0 * angle).sin()).collect();
                let positions = [0, 8, 3, 3];
                let mut x = noise(positions.len() * width, 2);
                let mut truth: Vec<f64> = x.iter().map(|x| f64::from(*x)).collect();
                for (row, position) in truth.chunks_mut(width).zip(positions) {
                    for i in 0..half {
                        let at = position as usize * half + i;
                        let (cos, sin) = (f64::from(cos[at]), f64::from(sin[at]));
                        (row[i], row[i + half]) =
                            (row[i] * cos - row[i + half] * sin, row[i + half] * cos + row[i] * sin);
                    }
                }
                let rows = RowsMut::packed(&mut x, width);
                rotate(isa, rows, &positions, Rows::packed(&cos, half), Rows::packed(&sin, half));
                let error = largest_difference(&x, &truth);
                assert!(error < 2e-7, "{} {half} of {width}: {error}", isa.name());
            }
        }
    }
}
