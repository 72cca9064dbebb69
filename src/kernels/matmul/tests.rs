use pulp::{Simd, WithSimd};

use super::*;
use crate::kernels::testing::{largest_difference, noise};

/// Returns `epilogue(a · wᵀ)` for a weight `(columns, depth)`.
fn product(isa: Isa, a: Rows<'_>, w: &[f32], epilogue: Epilogue<'_>) -> Vec<f32> {
    let panels = Panels::transposed(isa, &[Rows::packed(w, a.width())]).unwrap();
    let mut out = vec![f32::NAN; a.count() * panels.columns()];
    let rows = RowsMut::packed(&mut out, panels.columns());
    matmul(isa, a, &panels, 0..panels.count(), epilogue, &mut MatmulScratch::default(), rows);
    out
}

/// Returns `relu(a · wᵀ + bias + residual)` in float64.
fn truth(a: &[f32], w: &[f32], depth: usize, bias: &[f32], residual: &[f32]) -> Vec<f64> {
    let dot = |a: &[f32], w: &[f32]| a.iter().zip(w).map(|(a, w)| f64::from(*a) * f64::from(*w)).sum::<f64>();
    let mut out = Vec::new();
    for a in a.chunks(depth) {
        for (w, bias) in w.chunks(depth).zip(bias) {
            let residual = f64::from(residual[out.len()]);
            out.push((dot(a, w) + f64::from(*bias) + residual).max(0.0));
        }
    }
    out
}

#[test]
fn products_of_all_small_shapes_agree_with_float64() {
    for isa in Isa::available() {
        for (rows, depth) in (1..=17).flat_map(|r| [1, 3, 32].map(|d| (r, d))) {
            for columns in [1, 5, 16, 24, 31, 47, 48, 50, 130] {
                let (a, w) = (noise(rows * depth, 1), noise(columns * depth, 2));
                let (bias, residual) = (noise(columns, 3), noise(rows * columns, 4));
                let rest = Some(Rows::packed(&residual, columns));
                let epilogue = Epilogue { bias: &bias, activation: Activation::Relu, residual: rest };
                let out = product(isa, Rows::packed(&a, depth), &w, epilogue);
                let error = largest_difference(&out, &truth(&a, &w, depth, &bias, &residual));
                assert!(error < 3e-6, "{} {rows}x{depth}x{columns}: {error}", isa.name());
            }
        }
    }
}

#[test]
fn a_row_has_the_same_bits_in_any_tile_and_a_column_in_any_share() {
    for isa in Isa::available() {
        let (rows, depth, columns) = (23, 130, 170);
        let (a, w) = (noise(rows * depth, 5), noise(columns * depth, 6));
        let a = Rows::packed(&a, depth);
        let all = product(isa, a, &w, Epilogue::default());
        for first in 0..rows {
            for count in 1..=rows - first {
                let part = product(isa, a.range(first..first + count), &w, Epilogue::default());
                assert!(part == all[first * columns..(first + count) * columns], "{} {first}+{count}", isa.name());
            }
        }
        let panels = Panels::transposed(isa, &[Rows::packed(&w, depth)]).unwrap();
        for at in 0..=panels.count() {
            let mut out = vec![0.0; rows * columns];
            let whole = RowsMut::packed(&mut out, columns);
            let (left, right) = whole.split_columns(panels.columns_of(0..at).len());
            matmul(isa, a, &panels, at..panels.count(), Epilogue::default(), &mut MatmulScratch::default(), right);
            matmul(isa, a, &panels, 0..at, Epilogue::default(), &mut MatmulScratch::default(), left);
            assert!(out == all, "{} split at panel {at}", isa.name());
        }
    }
}

/// Sizes beyond one block of rows, of columns and of the inner dimension.
#[test]
fn large_products_agree_with_float64_and_have_the_same_bits_in_any_rows() {
    let (rows, depth, columns) = (290, 807, 75);
    let (a, w) = (noise(rows * depth, 7), noise(columns * depth, 8));
    let (bias, residual) = (noise(columns, 3), noise(rows * columns, 4));
    let truth = truth(&a, &w, depth, &bias, &residual);
    for isa in Isa::available() {
        let some = |rows: Range<usize>| {
            let residual = Some(Rows::packed(&residual, columns).range(rows.clone()));
            let epilogue = Epilogue { bias: &bias, activation: Activation::Relu, residual };
            product(isa, Rows::packed(&a, depth).range(rows), &w, epilogue)
        };
        let all = some(0..rows);
        let error = largest_difference(&all, &truth);
        // Sums of 807 terms in sequence; AMX adds up shorter sums.
        let bound = if isa.name() == "amx" { 1e-5 } else { 4e-5 };
        assert!(error < bound, "{}: {error}", isa.name());
        for part in [0..1, 3..17, 5..70, 0..65, 100..229, 17..290] {
            let same = some(part.clone()) == all[part.start * columns..part.end * columns];
            assert!(same, "{} {part:?}", isa.name());
        }
    }
}

#[test]
fn products_can_be_added_to_the_output() {
    for isa in Isa::available() {
        let (rows, depth, columns) = (11, 20, 37);
        let (a, b) = (noise(rows * depth, 1), noise(depth * columns, 2));
        let (a, b) = (Rows::packed(&a, depth), Rows::packed(&b, columns));
        struct Steps<'a>(Rows<'a>, &'a [Panels], &'a mut [f32]);
        impl WithSimd for Steps<'_> {
            type Output = ();
            #[inline(always)]
            fn with_simd<S: Simd>(self, simd: S) {
                let mut done = 0;
                for (step, b) in self.1.iter().enumerate() {
                    let a = self.0.columns(done..done + b.depth());
                    let start = if step == 0 { Accumulate::Zero } else { Accumulate::Output };
                    let out = RowsMut::packed(self.2, b.columns());
                    multiply(simd, a, b, 0..b.count(), start, out);
                    done += b.depth();
                }
            }
        }
        let run = |cuts: &[usize]| {
            let mut parts = Vec::new();
            for cut in cuts.windows(2) {
                let mut part = Panels::empty(isa);
                part.pack(b.range(cut[0]..cut[1]));
                parts.push(part);
            }
            let mut out = vec![f32::NAN; rows * columns];
            isa.run(Steps(a, &parts, &mut out));
            out
        };
        let whole: Vec<f64> = run(&[0, 20]).into_iter().map(f64::from).collect();
        assert!(largest_difference(&run(&[0, 7, 8, 20]), &whole) < 1e-6, "{}", isa.name());
    }
}

#[test]
fn nan_and_infinity_stay_in_their_row() {
    for isa in Isa::available() {
        let mut a = noise(10 * 16, 1);
        a[3 * 16 + 2] = f32::NAN;
        a[5 * 16] = f32::INFINITY;
        let out = product(isa, Rows::packed(&a, 16), &[1.0; 16 * 48], Epilogue::default());
        for (i, row) in out.chunks(48).enumerate() {
            let right = |x: &f32| match i {
                3 => x.is_nan(),
                // AMX may turn it into NaN.
                5 => !x.is_finite(),
                _ => x.is_finite(),
            };
            assert!(row.iter().all(right), "{} row {i}", isa.name());
        }
    }
}
