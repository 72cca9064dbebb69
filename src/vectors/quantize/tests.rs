use proptest::prelude::*;

use super::*;
use crate::kernels::testing::noise;

// Computed with numpy's float32 by the rules of sentence-transformers 6.2.
const ROWS: [[f32; 10]; 3] = [
    [-1.0, 0.0, 0.5, 2.0, 1e-3, -0.0, 3.0, 1.0, -2.0, 0.1],
    [1.0, 0.0, 0.25, -2.0, 2e-3, 5.0, 3.5, 1.0, 2.0, 0.2],
    [0.1, 0.0, 1.0, 0.7, -1e-3, 2.5, -3.0, 1.0, 0.3, -0.7],
];
const CODES: [[u8; 10]; 3] = [
    [0, 0, 85, 254, 170, 0, 235, 0, 0, 226],
    [254, 0, 0, 0, 255, 254, 255, 0, 254, 255],
    [140, 0, 255, 172, 0, 127, 0, 0, 146, 0],
];

fn quantized_of(
    rows: &[f32],
    dim: usize,
    precision: Precision,
    ranges: Option<(&[f32], &[f32])>,
    calibration: Option<&[f32]>,
) -> Result<Quantized> {
    let rows = MatrixView::new(rows.len().checked_div(dim).unwrap_or(0), dim, rows)?;
    quantize(rows, precision, &QuantizeOptions { ranges, calibration, observer: None })
}

fn values(precision: Precision) -> QuantizedValues {
    let quantized = quantized_of(ROWS.as_flattened(), 10, precision, None, None).unwrap();
    assert_eq!((quantized.rows, quantized.columns), (3, precision.columns(10)));
    quantized.values
}

#[test]
fn agrees_with_numpy() {
    let levels = CODES.as_flattened();
    assert_eq!(values(Precision::Uint8), QuantizedValues::Uint8(levels.to_vec()));
    let signed = levels.iter().map(|level| (i32::from(*level) - 128) as i8).collect();
    assert_eq!(values(Precision::Int8), QuantizedValues::Int8(signed));
    assert_eq!(values(Precision::Binary), QuantizedValues::Int8(vec![-69, -64, 47, 64, 53, 0]));
    assert_eq!(values(Precision::Ubinary), QuantizedValues::Uint8(vec![59, 64, 175, 192, 181, 128]));
    assert_eq!(values(Precision::Float32), QuantizedValues::Float32(ROWS.as_flattened().to_vec()));
}

#[test]
fn ranges_win_over_calibration_and_calibration_over_the_rows_themselves() {
    let first = &ROWS[0];
    let rest = ROWS[1..].as_flattened();
    let quantized = |ranges, calibration| quantized_of(first, 10, Precision::Int8, ranges, calibration).unwrap().values;
    let by_rest = vec![-128, -128, -43, 127, 42, -128, 107, -128, -128, 98];
    assert_eq!(quantized(None, Some(rest)), QuantizedValues::Int8(by_rest));
    let by_ranges = vec![-128, -128, -1, 127, -128, -128, 127, 126, -128, -103];
    let ranges = Some((&[0.0; 10][..], &[1.0; 10][..]));
    assert_eq!(quantized(ranges, Some(rest)), QuantizedValues::Int8(by_ranges.clone()));
    assert_eq!(quantized(ranges, None), QuantizedValues::Int8(by_ranges));
    assert_eq!(quantized(None, None), QuantizedValues::Int8(vec![-128; 10]));
}

#[test]
fn no_rows_and_no_dimensions() {
    for precision in Precision::ALL {
        for dim in [0, 1, 8, 9] {
            let quantized = quantized_of(&[], dim, precision, None, None).unwrap();
            assert_eq!((quantized.rows, quantized.columns), (0, precision.columns(dim)));
        }
    }
}

/// One would move the levels of all rows.
#[test]
fn rows_that_are_not_finite_are_named() {
    let rows = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut some = rows;
        some[3] = bad;
        for precision in [Precision::Int8, Precision::Uint8, Precision::Binary, Precision::Ubinary] {
            let refused = |rows: &[f32], ranges, calibration| {
                quantized_of(rows, 2, precision, ranges, calibration).unwrap_err().to_string()
            };
            assert_eq!(refused(&some, None, None), "embeddings: must be finite, row 1 is not");
            assert_eq!(refused(&some, Some((&[0.0; 2], &[1.0; 2])), None), "embeddings: must be finite, row 1 is not");
            if matches!(precision, Precision::Int8 | Precision::Uint8) {
                let calibration = refused(&rows, None, Some(&some));
                assert_eq!(calibration, "calibration: must be finite, row 1 is not");
                let range = refused(&rows, Some((&[0.0; 2], &[1.0, bad])), None);
                assert_eq!(range, "ranges: must be finite, max has NaN or infinity");
            }
        }
        let copied = quantized_of(&some, 2, Precision::Float32, None, None).unwrap().values;
        assert!(matches!(copied, QuantizedValues::Float32(copied) if copied[3].to_bits() == bad.to_bits()));
    }
}

#[test]
fn bad_shapes_are_refused() {
    let refused = |result: Result<Quantized>, word: &str| {
        let message = result.unwrap_err().to_string();
        assert!(message.contains(word), "{message}");
    };
    let (one, two) = (&[0.0][..], &[0.0; 2][..]);
    refused(quantized_of(&[1.0; 6], 2, Precision::Int8, Some((one, two)), None), "2 numbers for min");
    refused(quantized_of(&[1.0; 6], 2, Precision::Int8, Some((two, one)), None), "2 numbers for max");
    refused(
        quantized_of(&[1.0; 6], 2, Precision::Uint8, None, Some(one)),
        "calibration: must be rows of 2 numbers, got 1",
    );
    refused(quantized_of(&[1.0; 6], 2, Precision::Uint8, None, Some(&[])), "at least one row");
}

#[test]
fn names_survive_a_round_trip() {
    for precision in Precision::ALL {
        assert_eq!(precision.to_string().parse::<Precision>().unwrap(), precision);
    }
    let message = "Int8".parse::<Precision>().unwrap_err().to_string();
    assert_eq!(message, "precision: must be one of float32, int8, uint8, binary, ubinary, got \"Int8\"");
    assert_eq!(Precision::default(), Precision::Float32);
}

/// Reference implementation of the same rules, one number at a time.
fn plain(row: &[f32], sample: &[f32], precision: Precision) -> Vec<i32> {
    let dim = row.len();
    if matches!(precision, Precision::Binary | Precision::Ubinary) {
        let offset = if precision == Precision::Binary { 128 } else { 0 };
        let bit = |i: usize| if row.get(i).is_some_and(|x| *x > 0.0) { '1' } else { '0' };
        let byte = |first: usize| (first..first + 8).map(bit).collect::<String>();
        return (0..dim).step_by(8).map(|i| i32::from_str_radix(&byte(i), 2).unwrap() - offset).collect();
    }
    let level = |i: usize| {
        let column = || sample.iter().skip(i).step_by(dim).copied();
        let (min, max) = (column().reduce(f32::min).unwrap(), column().reduce(f32::max).unwrap());
        let step = if (max - min) / 255.0 == 0.0 { 1.0 } else { (max - min) / 255.0 };
        let level = match ((row[i] - min) / step).floor() {
            above if above > 255.0 => 255,
            level if level > 0.0 => level as i32,
            _ => 0,
        };
        level - if precision == Precision::Int8 { 128 } else { 0 }
    };
    (0..dim).map(level).collect()
}

fn number() -> impl Strategy<Value = f32> {
    prop_oneof![4 => -2.0f32..2.0, 1 => Just(0.0f32), 1 => Just(-0.0f32), 1 => -1e-40f32..1e-40, 1 => -1e38f32..1e38]
}

fn problem() -> impl Strategy<Value = (usize, Vec<f32>, Option<Vec<f32>>)> {
    (1usize..20, 1usize..6, 0usize..5).prop_flat_map(|(dim, rows, sample)| {
        let numbers = |rows| prop::collection::vec(number(), rows * dim);
        let sample = numbers(sample).prop_map(|sample| (!sample.is_empty()).then_some(sample));
        (Just(dim), numbers(rows), sample)
    })
}

proptest! {
    #[test]
    fn agrees_with_the_plain_rules((dim, rows, sample) in problem()) {
        for precision in &Precision::ALL[1..] {
            let numbers: Vec<i32> = match quantized_of(&rows, dim, *precision, None, sample.as_deref()).unwrap().values {
                QuantizedValues::Int8(values) => values.into_iter().map(i32::from).collect(),
                QuantizedValues::Uint8(values) => values.into_iter().map(i32::from).collect(),
                QuantizedValues::Float32(_) => unreachable!(),
            };
            let sample = sample.as_deref().unwrap_or(&rows);
            let truth: Vec<i32> = rows.chunks(dim).flat_map(|row| plain(row, sample, *precision)).collect();
            prop_assert_eq!(&numbers, &truth, "{}", precision);
        }
    }

    #[test]
    fn any_bits_at_all_are_rows_or_refused(bits in prop::collection::vec(any::<u32>(), 12), dim in 1usize..=12) {
        let rows: Vec<f32> = bits.into_iter().map(f32::from_bits).collect();
        let rows = &rows[..12 / dim * dim];
        let finite = rows.iter().all(|x| x.is_finite());
        for precision in Precision::ALL {
            let quantized = quantized_of(rows, dim, precision, None, None);
            prop_assert_eq!(quantized.is_ok(), finite || precision == Precision::Float32);
            prop_assert!(quantized.is_err() || quantized.unwrap().rows == 12 / dim);
        }
    }
}

/// Several pieces of work for each of several threads.
#[test]
fn many_rows_are_quantized_independently_and_the_caller_can_stop() {
    let dim = 100;
    let rows = noise(60_000 * dim, 1);
    let (mut min, mut max) = (vec![f32::INFINITY; dim], vec![f32::NEG_INFINITY; dim]);
    for (i, x) in rows.iter().enumerate() {
        (min[i % dim], max[i % dim]) = (min[i % dim].min(*x), max[i % dim].max(*x));
    }
    for precision in &Precision::ALL[1..] {
        let columns = precision.columns(dim);
        let all = quantized_of(&rows, dim, *precision, None, None).unwrap();
        for i in [0, 2_620, 2_621, 2_622, 59_999] {
            let one = quantized_of(&rows[i * dim..][..dim], dim, *precision, Some((&min, &max)), None).unwrap();
            let bytes = |quantized: &Quantized, i: usize| -> Vec<i16> {
                match &quantized.values {
                    QuantizedValues::Int8(values) => {
                        values[i * columns..][..columns].iter().copied().map(i16::from).collect()
                    }
                    QuantizedValues::Uint8(values) => {
                        values[i * columns..][..columns].iter().copied().map(i16::from).collect()
                    }
                    QuantizedValues::Float32(_) => unreachable!(),
                }
            };
            assert_eq!(bytes(&all, i), bytes(&one, 0), "{precision} {i}");
        }
        struct Stop;
        impl crate::Observer for Stop {
            fn interrupted(&self) -> bool {
                true
            }
        }
        let stopped = quantize(
            MatrixView::new(rows.len() / dim, dim, &rows).unwrap(),
            *precision,
            &QuantizeOptions::default().with_observer(&Stop),
        );
        assert!(matches!(stopped, Err(Error::Interrupted)), "{precision}");
    }
}
