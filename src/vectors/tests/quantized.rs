//! Searching in fewer bits.

use proptest::prelude::*;

use super::{KINDS, order, said};
use crate::kernels::testing::noise;
use crate::vectors::{Hit, rescore, semantic_search};
use crate::{Bits, Levels, Matrix, Precision, Quantized, QuantizedValues, Similarity, quantize};

fn matrix(rows: usize, dim: usize, seed: u64) -> Matrix {
    Matrix::new(rows, dim, noise(rows * dim, seed)).unwrap()
}

fn quantized(rows: &Matrix, precision: Precision, ranges: Option<(&[f32], &[f32])>) -> Quantized {
    quantize(rows.as_slice(), rows.columns(), precision, ranges, None).unwrap()
}

/// What the bits of rows stand for.
fn signs(rows: &Matrix) -> Matrix {
    let signs = rows.as_slice().iter().map(|x| if *x > 0.0 { 1.0 } else { -1.0 }).collect();
    Matrix::new(rows.rows(), rows.columns(), signs).unwrap()
}

fn ids(hits: &[Hit]) -> Vec<usize> {
    hits.iter().map(|hit| hit.corpus_id).collect()
}

/// What plain sorting finds.
fn truth(kind: Similarity, queries: &Matrix, corpus: &Matrix, top_k: usize) -> Vec<Vec<Hit>> {
    let scores = crate::vectors::similarity(kind, queries.view(), corpus.view()).unwrap();
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
    fn levels_are_searched_as_the_numbers_that_they_stand_for((n, m, dim) in shape(), top_k in 1usize..9, seed: u64) {
        let (queries, corpus) = (matrix(n, dim, seed), matrix(m, dim, seed ^ 1));
        let (min, max) = (vec![-0.9; dim], (0..dim).map(|i| -0.9 + (i % 3) as f32).collect::<Vec<_>>());
        let number = |(place, level): (usize, u8)| {
            let step = (max[place % dim] - min[place % dim]) / 255.0;
            min[place % dim] + f32::from(level) * if step == 0.0 { 1.0 } else { step }
        };
        for precision in [Precision::Uint8, Precision::Int8] {
            let quantized = quantized(&corpus, precision, Some((&min, &max)));
            let levels: Vec<u8> = match &quantized.values {
                QuantizedValues::Uint8(levels) => levels.clone(),
                QuantizedValues::Int8(levels) => levels.iter().map(|x| (i16::from(*x) + 128) as u8).collect(),
                QuantizedValues::Float32(_) => unreachable!(),
            };
            let plain = Matrix::new(m, dim, levels.into_iter().enumerate().map(number).collect()).unwrap();
            let levels = Levels::new(&quantized, (&min, &max)).unwrap();
            for kind in KINDS {
                let truth = truth(kind, &queries, &plain, top_k);
                let found = semantic_search(queries.view(), levels.into(), top_k, kind).unwrap();
                prop_assert_eq!(&found, &truth);
                prop_assert_eq!(&rescore(queries.view(), &found, levels.into(), top_k, kind).unwrap(), &truth);
            }
        }
    }

    #[test]
    fn bits_are_searched_as_rows_of_ones_with_either_sign((n, m, dim) in shape(), top_k in 1usize..9, seed: u64) {
        let (queries, corpus) = (matrix(n, dim, seed), matrix(m, dim, seed ^ 1));
        for precision in [Precision::Ubinary, Precision::Binary] {
            let quantized = quantized(&corpus, precision, None);
            let bits = Bits::new(&quantized, dim).unwrap();
            for kind in KINDS {
                let found = semantic_search(queries.view(), bits.into(), top_k, kind).unwrap();
                agree(&found, &truth(kind, &signs(&queries), &signs(&corpus), top_k));
                // All of them again, by the queries themselves.
                let all = semantic_search(queries.view(), bits.into(), usize::MAX, kind).unwrap();
                let again = rescore(queries.view(), &all, bits.into(), top_k, kind).unwrap();
                prop_assert_eq!(again, truth(kind, &queries, &signs(&corpus), top_k));
                let again = rescore(queries.view(), &all, corpus.view().into(), top_k, kind).unwrap();
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
    let bits = Bits::new(&quantized, 17).unwrap();
    let found = semantic_search(queries.view(), bits.into(), 50, Similarity::Dot).unwrap();
    assert_eq!(found, truth(Similarity::Dot, &signs(&queries), &signs(&corpus), 50));
}

#[test]
fn no_dimensions_and_nothing_found() {
    let none = Matrix::new(2, 0, vec![]).unwrap();
    let quantized = Quantized { rows: 3, columns: 0, values: QuantizedValues::Uint8(vec![]) };
    let (bits, levels) = (Bits::new(&quantized, 0).unwrap(), Levels::new(&quantized, (&[], &[])).unwrap());
    for kind in KINDS {
        for found in
            [semantic_search(none.view(), bits.into(), 2, kind), semantic_search(none.view(), levels.into(), 2, kind)]
        {
            let found = found.unwrap();
            assert_eq!(found, vec![[0, 1].map(|corpus_id| Hit { corpus_id, score: 0.0 }).to_vec(); 2], "{kind}");
            assert_eq!(rescore(none.view(), &found, bits.into(), 2, kind).unwrap(), found);
        }
    }
    let rows = matrix(2, 3, 1);
    assert_eq!(
        rescore(rows.view(), &[vec![], vec![]], rows.view().into(), 5, Similarity::Dot).unwrap(),
        [vec![], vec![]]
    );
}

#[test]
fn what_makes_no_sense_is_refused() {
    let rows = matrix(2, 9, 1);
    let float = quantized(&rows, Precision::Float32, None);
    let bytes = quantized(&rows, Precision::Ubinary, None);
    let (two, nine) = ([0.0; 2], [0.0; 9]);
    said(Bits::new(&float, 9).unwrap_err(), "quantized: must be of int8 or uint8, got float32");
    said(Bits::new(&bytes, 17).unwrap_err(), "quantized: must have 3 bytes in a row, got 2 rows of 2 in 4 bytes");
    said(Levels::new(&bytes, (&two, &nine)).unwrap_err(), "ranges: must be as many for min as for max, got 2 and 9");
    said(Levels::new(&bytes, (&nine, &nine)).unwrap_err(), "quantized: must have 9 bytes in a row, got 2 rows of 2");
    let short = Quantized { rows: 3, ..bytes.clone() };
    said(Bits::new(&short, 9).unwrap_err(), "quantized: must have 2 bytes in a row, got 3 rows of 2 in 4 bytes");

    let (bits, dot) = (Bits::new(&bytes, 9).unwrap(), Similarity::Dot);
    let levels = Levels::new(&bytes, (&two, &two)).unwrap();
    let narrow = matrix(2, 8, 1);
    said(semantic_search(narrow.view(), bits.into(), 1, dot).unwrap_err(), "corpus: must be as wide as a, 8, got 9");
    said(semantic_search(narrow.view(), levels.into(), 1, dot).unwrap_err(), "corpus: must be as wide as a, 8, got 2");
    said(semantic_search(rows.view(), bits.into(), 0, dot).unwrap_err(), "top_k");
    let found = semantic_search(rows.view(), bits.into(), 1, dot).unwrap();
    said(rescore(rows.view(), &found, bits.into(), 0, dot).unwrap_err(), "top_k");
    said(
        rescore(rows.view(), &found[..1], bits.into(), 1, dot).unwrap_err(),
        "hits: must be of as many queries as there are, 2",
    );
    said(
        rescore(rows.view(), &found, narrow.view().into(), 1, dot).unwrap_err(),
        "corpus: must be as wide as a, 9, got 8",
    );
    let missing = vec![vec![Hit { corpus_id: 2, score: 0.0 }]; 2];
    said(rescore(rows.view(), &missing, bits.into(), 1, dot).unwrap_err(), "hits: there is no row 2 in a corpus of 2");
}
