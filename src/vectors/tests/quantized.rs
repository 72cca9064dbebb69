//! Searching in fewer bits.

use proptest::prelude::*;

use super::{KINDS, order, said};
use super::{rescored, searched};
use crate::kernels::testing::noise;
use crate::vectors::Hit;
use crate::{CallOptions, Matrix, Precision, QuantizeOptions, Quantized, QuantizedValues, Similarity, quantize};

fn matrix(rows: usize, dim: usize, seed: u64) -> Matrix {
    Matrix::new(rows, dim, noise(rows * dim, seed)).unwrap()
}

fn quantized(rows: &Matrix, precision: Precision, ranges: Option<(&[f32], &[f32])>) -> Quantized {
    quantize(rows, precision, &QuantizeOptions { ranges, ..QuantizeOptions::default() }).unwrap()
}

/// Returns the numbers that the bits of rows stand for.
fn signs(rows: &Matrix) -> Matrix {
    let signs = rows.as_slice().iter().map(|x| if *x > 0.0 { 1.0 } else { -1.0 }).collect();
    Matrix::new(rows.rows(), rows.columns(), signs).unwrap()
}

fn ids(hits: &[Hit]) -> Vec<usize> {
    hits.iter().map(|hit| hit.corpus_id).collect()
}

/// Finds hits by plain sorting, for comparison.
fn truth(kind: Similarity, queries: &Matrix, corpus: &Matrix, top_k: usize) -> Vec<Vec<Hit>> {
    let scores = crate::vectors::similarity(kind, queries, corpus, &CallOptions::default()).unwrap();
    let hit = |i: usize, corpus_id: usize| Hit { corpus_id, score: scores.row(i)[corpus_id] };
    (0..queries.rows()).map(|i| order(scores.row(i)).into_iter().take(top_k).map(|id| hit(i, id)).collect()).collect()
}

/// The same ids, and the same scores as far as float32 goes.
fn agree(found: &[Vec<Hit>], truth: &[Vec<Hit>]) {
    assert_eq!(found.len(), truth.len());
    for (found, truth) in found.iter().zip(truth) {
        assert_eq!(ids(found), ids(truth));
        for (found, truth) in found.iter().zip(truth) {
            assert!((found.score - truth.score).abs() <= 1e-6 * truth.score.abs().max(1.0), "{found:?} {truth:?}");
        }
    }
}

fn shape() -> impl Strategy<Value = (usize, usize, usize)> {
    (0usize..4, prop_oneof![0usize..60, Just(6_000usize)], prop_oneof![1usize..30, 60usize..70])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn int8_codes_are_searched_as_the_numbers_they_encode((n, m, dim) in shape(), top_k in 1usize..9, seed: u64) {
        let (queries, corpus) = (matrix(n, dim, seed), matrix(m, dim, seed ^ 1));
        let (min, max) = (vec![-0.9; dim], (0..dim).map(|i| -0.9 + (i % 3) as f32).collect::<Vec<_>>());
        let number = |(i, level): (usize, u8)| {
            let step = (max[i % dim] - min[i % dim]) / 255.0;
            min[i % dim] + f32::from(level) * if step == 0.0 { 1.0 } else { step }
        };
        for precision in [Precision::Uint8, Precision::Int8] {
            let quantized = quantized(&corpus, precision, Some((&min, &max)));
            let levels: Vec<u8> = match &quantized.values {
                QuantizedValues::Uint8(levels) => levels.clone(),
                QuantizedValues::Int8(levels) => levels.iter().map(|x| (i16::from(*x) + 128) as u8).collect(),
                QuantizedValues::Float32(_) => unreachable!(),
            };
            let plain = Matrix::new(m, dim, levels.into_iter().enumerate().map(number).collect()).unwrap();
            let levels = quantized.int8_view((&min, &max)).unwrap();
            for kind in KINDS {
                let truth = truth(kind, &queries, &plain, top_k);
                let found = searched(queries.view(), levels, top_k, kind).unwrap();
                prop_assert_eq!(&found, &truth);
                prop_assert_eq!(&rescored(queries.view(), &found, levels, top_k, kind).unwrap(), &truth);
            }
        }
    }

    #[test]
    fn bits_are_searched_as_rows_of_plus_and_minus_one((n, m, dim) in shape(), top_k in 1usize..9, seed: u64) {
        let (queries, corpus) = (matrix(n, dim, seed), matrix(m, dim, seed ^ 1));
        for precision in [Precision::Ubinary, Precision::Binary] {
            let quantized = quantized(&corpus, precision, None);
            let bits = quantized.binary_view(dim).unwrap();
            for kind in KINDS {
                let found = searched(queries.view(), bits, top_k, kind).unwrap();
                agree(&found, &truth(kind, &signs(&queries), &signs(&corpus), top_k));
                // All of them again, by the queries themselves.
                let all = searched(queries.view(), bits, usize::MAX, kind).unwrap();
                let again = rescored(queries.view(), &all, bits, top_k, kind).unwrap();
                prop_assert_eq!(again, truth(kind, &queries, &signs(&corpus), top_k));
                let again = rescored(queries.view(), &all, corpus.view(), top_k, kind).unwrap();
                prop_assert_eq!(again, truth(kind, &queries, &corpus, top_k));
            }
        }
    }
}

#[test]
fn of_equal_distances_the_lower_id_comes_first_on_many_threads() {
    // 100 queries, 20,000 rows of 17 bits: several pieces of work each way, and ties everywhere.
    let (queries, corpus) = (matrix(100, 17, 1), matrix(20_000, 17, 2));
    let quantized = quantized(&corpus, Precision::Binary, None);
    let bits = quantized.binary_view(17).unwrap();
    let found = searched(queries.view(), bits, 50, Similarity::Dot).unwrap();
    assert_eq!(found, truth(Similarity::Dot, &signs(&queries), &signs(&corpus), 50));
}

#[test]
fn no_dimensions_and_nothing_found() {
    let none = Matrix::new(2, 0, vec![]).unwrap();
    let quantized = Quantized { rows: 3, columns: 0, values: QuantizedValues::Uint8(vec![]) };
    let (bits, levels) = (quantized.binary_view(0).unwrap(), quantized.int8_view((&[], &[])).unwrap());
    for kind in KINDS {
        for found in [searched(none.view(), bits, 2, kind), searched(none.view(), levels, 2, kind)] {
            let found = found.unwrap();
            assert_eq!(found, vec![[0, 1].map(|corpus_id| Hit { corpus_id, score: 0.0 }).to_vec(); 2], "{kind}");
            assert_eq!(rescored(none.view(), &found, bits, 2, kind).unwrap(), found);
        }
    }
    let rows = matrix(2, 3, 1);
    assert_eq!(rescored(rows.view(), &[vec![], vec![]], rows.view(), 5, Similarity::Dot).unwrap(), [vec![], vec![]]);
}

#[test]
fn invalid_arguments_are_refused() {
    let rows = matrix(2, 9, 1);
    let float = quantized(&rows, Precision::Float32, None);
    let bytes = quantized(&rows, Precision::Ubinary, None);
    let (two, nine) = ([0.0; 2], [0.0; 9]);
    said(float.binary_view(9).unwrap_err(), "values: must be int8 or uint8, got float32");
    said(bytes.binary_view(17).unwrap_err(), "bytes: must be 2 rows of 3 bytes, got 4 bytes");
    said(bytes.int8_view((&two, &nine)).unwrap_err(), "ranges: must be as many for min as for max, got 2 and 9");
    said(bytes.int8_view((&nine, &nine)).unwrap_err(), "bytes: must be 2 rows of 9 bytes, got 4 bytes");
    let short = Quantized { rows: 3, ..bytes.clone() };
    said(short.binary_view(9).unwrap_err(), "bytes: must be 3 rows of 2 bytes, got 4 bytes");

    let (bits, dot) = (bytes.binary_view(9).unwrap(), Similarity::Dot);
    let levels = bytes.int8_view((&two, &two)).unwrap();
    let narrow = matrix(2, 8, 1);
    said(searched(narrow.view(), bits, 1, dot).unwrap_err(), "corpus: must be as wide as queries, 8, got 9");
    said(searched(narrow.view(), levels, 1, dot).unwrap_err(), "corpus: must be as wide as queries, 8, got 2");
    said(searched(rows.view(), bits, 0, dot).unwrap_err(), "top_k");
    let found = searched(rows.view(), bits, 1, dot).unwrap();
    said(rescored(rows.view(), &found, bits, 0, dot).unwrap_err(), "top_k");
    said(rescored(rows.view(), &found[..1], bits, 1, dot).unwrap_err(), "hits: must have a list for each query, 2");
    said(
        rescored(rows.view(), &found, narrow.view(), 1, dot).unwrap_err(),
        "corpus: must be as wide as queries, 9, got 8",
    );
    let missing = vec![vec![Hit { corpus_id: 2, score: 0.0 }]; 2];
    said(
        rescored(rows.view(), &missing, bits, 1, dot).unwrap_err(),
        "hits: must be rows of the corpus, from 0 up to 2, got 2",
    );
}
