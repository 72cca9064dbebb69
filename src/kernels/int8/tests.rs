use super::*;
use crate::config::Activation;
use crate::kernels::testing::noise;

/// Quantized rows of the layer's input.
fn quantized(isa: Isa, weight: &Int8Weight, x: Rows<'_>) -> QuantizedRows {
    let mut codes = QuantizedRows::default();
    codes.resize(x.count(), x.width());
    for part in codes.parts(x.count()) {
        weight.quantize_inputs(isa, x, part);
    }
    codes
}

fn product(isa: Isa, weight: &Int8Weight, x: Rows<'_>, epilogue: Epilogue<'_>) -> Vec<f32> {
    let codes = quantized(isa, weight, x);
    let mut out = vec![f32::NAN; x.count() * weight.outputs()];
    weight.product(isa, &codes, 0..weight.panels(), epilogue, RowsMut::packed(&mut out, weight.outputs()));
    out
}

/// The definition, number by number: codes of rows and weights, their exact sums, and the scales.
struct Oracle {
    dot: DotInstructions,
    factors: Vec<f32>,
    means: Vec<f32>,
}

impl Oracle {
    fn row(&self, x: &[f32]) -> (Vec<i32>, f32) {
        let scaled: Vec<f32> = x.iter().zip(&self.factors).map(|(x, factor)| x * factor).collect();
        let least = scaled.iter().copied().fold(0.0, f32::min);
        let range = scaled.iter().copied().fold(0.0, f32::max) - least;
        let inverse = if range == 0.0 { 0.0 } else { 254.0 / range };
        let zero = (-least * inverse).round_ties_even();
        let code = |x: &f32| (f64::from(x * inverse) + f64::from(zero)).round_ties_even() as i32 - zero as i32;
        (scaled.iter().map(code).collect(), range / 254.0)
    }

    fn weight(&self, weights: &[f32]) -> (Vec<i32>, f32) {
        let scaled: Vec<f32> = weights.iter().zip(&self.factors).map(|(x, factor)| x * (1.0 / factor)).collect();
        let mut greatest = scaled.iter().fold(0.0f32, |largest, x| largest.max(x.abs()));
        if format!("{:?}", self.dot).starts_with("Avx2") {
            for pair in scaled.chunks(2) {
                for sign in [1.0, -1.0] {
                    greatest = greatest.max(pair.iter().map(|x| (sign * x).max(0.0)).sum());
                }
            }
        }
        let inverse = if greatest == 0.0 { 0.0 } else { 127.0 / greatest };
        (scaled.iter().map(|x| (x * inverse).round_ties_even() as i32).collect(), greatest / 127.0)
    }

    fn product(&self, x: &[f32], weights: &[f32], bias: &[f32], residual: &[f32]) -> Vec<f32> {
        let depth = self.factors.len();
        let mut out = Vec::new();
        for x in x.chunks(depth) {
            let (codes, step) = self.row(x);
            for (weights, bias) in weights.chunks(depth).zip(bias) {
                let (rounded, scale) = self.weight(weights);
                let lost = |k: usize| (weights[k] - rounded[k] as f32 * scale * self.factors[k]) * self.means[k];
                let offset: f32 = (0..depth).map(lost).sum();
                let exact: i32 = codes.iter().zip(&rounded).map(|(x, w)| x * w).sum();
                out.push(exact as f32 * (step * scale) + offset + bias + residual[out.len()]);
            }
        }
        out
    }
}

/// Powers of two as factors, so that factors and their reciprocals are exact.
fn statistics(weights: &[f32], depth: usize) -> InputStatistics {
    let largest = |k: usize| weights.iter().skip(k).step_by(depth).fold(0.0f32, |largest, x| largest.max(x.abs()));
    let sizes = (0..depth).map(|k| largest(k) * [1.0, 16.0, 0.25][k % 3]).collect();
    InputStatistics { means: noise(depth, 9), sizes }
}

#[test]
fn products_are_those_of_the_oracle_bit_for_bit() {
    for isa in Isa::available() {
        for (rows, depth) in (1..=17).flat_map(|rows| [1, 3, 32, 70].map(|depth| (rows, depth))) {
            for outputs in [1, 5, 16, 24, 31, 48, 50, 130] {
                let (x, weights) = (noise(rows * depth, 1), noise(outputs * depth, 2));
                let (bias, residual) = (noise(outputs, 3), noise(rows * outputs, 4));
                let seen = statistics(&weights, depth);
                let view = [Rows::packed(&weights, depth)];
                let weight = Int8Weight::quantize(isa, &view, Some(&seen)).unwrap();
                let epilogue = Epilogue {
                    bias: &bias,
                    residual: Some(Rows::packed(&residual, outputs)),
                    activation: Activation::Identity,
                };
                let got = product(isa, &weight, Rows::packed(&x, depth), epilogue);
                let oracle = Oracle { dot: weight.dot, factors: weight.factors.clone(), means: seen.means };
                let expected = oracle.product(&x, &weights, &bias, &residual);
                assert!(got == expected, "{} {rows}x{depth}x{outputs}", isa.name());
            }
        }
    }
}

#[test]
fn a_row_has_the_same_bits_in_any_tile_and_a_column_in_any_share() {
    let (rows, depth, outputs) = (23, 130, 170);
    let (x, weights) = (noise(rows * depth, 5), noise(outputs * depth, 6));
    let x = Rows::packed(&x, depth);
    for isa in Isa::available() {
        let weight = Int8Weight::quantize(isa, &[Rows::packed(&weights, depth)], None).unwrap();
        let all = product(isa, &weight, x, Epilogue::default());
        for (first, count) in (0..rows).flat_map(|first| (1..=rows - first).map(move |count| (first, count))) {
            let part = product(isa, &weight, x.range(first..first + count), Epilogue::default());
            assert!(part == all[first * outputs..(first + count) * outputs], "{} {first}+{count}", isa.name());
        }
        let codes = quantized(isa, &weight, x);
        for at in 0..=weight.panels() {
            let mut out = vec![0.0; rows * outputs];
            let (left, right) = RowsMut::packed(&mut out, outputs).split_columns(weight.columns_of(0..at).len());
            weight.product(isa, &codes, at..weight.panels(), Epilogue::default(), right);
            weight.product(isa, &codes, 0..at, Epilogue::default(), left);
            assert!(out == all, "{} split at panel {at}", isa.name());
        }
    }
}

/// The greatest codes of both signs in every place: the sums of pairs in i16 must hold them.
#[test]
fn the_greatest_codes_do_not_saturate() {
    for isa in Isa::available() {
        for sign in [1.0, -1.0] {
            let (x, weights) = (vec![1.0; 4096], vec![sign; 4096 * 3]);
            let weight = Int8Weight::quantize(isa, &[Rows::packed(&weights, 4096)], None).unwrap();
            for out in product(isa, &weight, Rows::packed(&x, 4096), Epilogue::default()) {
                assert!((out - sign * 4096.0).abs() < 0.01 * 4096.0, "{}: {out}", isa.name());
            }
        }
    }
}

#[test]
fn an_input_that_is_not_finite_spoils_its_row_and_no_other() {
    for isa in Isa::available() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for column in [0, 16, 33] {
                let mut x = noise(10 * 34, 1);
                x[3 * 34 + column] = bad;
                let weight = Int8Weight::quantize(isa, &[Rows::packed(&[1.0; 34 * 50], 34)], None).unwrap();
                let out = product(isa, &weight, Rows::packed(&x, 34), Epilogue::default());
                for (i, row) in out.chunks(50).enumerate() {
                    assert!(row.iter().all(|x| x.is_finite() == (i != 3)), "{} {bad} {column} row {i}", isa.name());
                }
            }
        }
        let mut weights = [1.0; 34 * 50];
        weights[34 * 7] = f32::NAN;
        let weight = Int8Weight::quantize(isa, &[Rows::packed(&weights, 34)], None).unwrap();
        let out = product(isa, &weight, Rows::packed(&noise(34, 1), 34), Epilogue::default());
        assert!(out.iter().enumerate().all(|(i, x)| x.is_finite() == (i != 7)), "{}", isa.name());
    }
}

#[test]
fn rows_of_zeros_and_of_one_number_are_exact() {
    for isa in Isa::available() {
        let weights = [0.5, -0.25, 0.0, 0.0];
        let weight = Int8Weight::quantize(isa, &[Rows::packed(&weights, 2)], None).unwrap();
        let out = product(isa, &weight, Rows::packed(&[0.0, 0.0, 3.0, 0.0, 0.0, -3.0], 2), Epilogue::default());
        let expected = [0.0, 0.0, 1.5, 0.0, 0.75, 0.0];
        assert!(out.iter().zip(expected).all(|(x, y)| (x - y).abs() < 0.02), "{} {out:?}", isa.name());
        assert_eq!([out[0], out[1], out[3], out[5]], [0.0; 4]);
    }
}

#[test]
fn statistics_lessen_the_error_of_uneven_inputs() {
    let (rows, depth, outputs) = (20, 64, 40);
    let mut x = noise(rows * depth, 1);
    x.iter_mut().skip(5).step_by(depth).for_each(|x| *x *= 100.0);
    let weights = noise(outputs * depth, 2);
    let seen = InputStatistics::of(Rows::packed(&x, depth));
    let truth: Vec<f64> = x
        .chunks(depth)
        .flat_map(|x| weights.chunks(depth).map(move |w| x.iter().zip(w).map(|(x, w)| f64::from(x * w)).sum()))
        .collect();
    for isa in Isa::available() {
        let error = |seen| {
            let weight = Int8Weight::quantize(isa, &[Rows::packed(&weights, depth)], seen).unwrap();
            let out = product(isa, &weight, Rows::packed(&x, depth), Epilogue::default());
            out.iter().zip(&truth).map(|(x, y)| (f64::from(*x) - y).powi(2)).sum::<f64>().sqrt()
        };
        assert!(2.0 * error(Some(&seen)) < error(None), "{}", isa.name());
    }
}
