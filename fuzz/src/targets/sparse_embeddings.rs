//! Arrays of sparse embeddings as callers give them: refused, or with the scores of their dense numbers.

use arbitrary::{Arbitrary, Unstructured};
use rushlight::vectors::{sparse_similarity, sparse_similarity_pairwise};
use rushlight::{CallOptions, Similarity, SparseEmbeddings};

use super::super::oracle::kind;

#[derive(Arbitrary, Debug)]
struct Call {
    dim: Width,
    /// Another width of `b`.
    other: Option<Width>,
    a: Arrays,
    b: Arrays,
}

#[derive(Arbitrary, Debug)]
struct Arrays {
    indptr: Starts,
    indices: Vec<Number>,
    values: Vec<Value>,
}

#[derive(Arbitrary, Debug)]
enum Width {
    Small(u8),
    Any(u64),
}

#[derive(Arbitrary, Debug)]
enum Starts {
    /// Lengths of rows, and the indices cut to their sum.
    Lengths(Vec<u8>),
    Any(Vec<i64>),
}

#[derive(Arbitrary, Debug)]
enum Number {
    /// More than the index before it.
    Step(u8),
    Any(i32),
}

#[derive(Arbitrary, Debug)]
enum Value {
    Small(i8),
    Any(f32),
}

impl Width {
    fn dim(&self) -> usize {
        match *self {
            Self::Small(dim) => dim.into(),
            Self::Any(dim) => dim as usize,
        }
    }
}

impl Arrays {
    fn embeddings(&self, dim: usize) -> rushlight::Result<SparseEmbeddings> {
        let mut last = -1_i32;
        let mut indices: Vec<_> = self.indices.iter().map(|number| {
            last = match number {
                Number::Step(step) => last.saturating_add(1 + i32::from(step % 8)),
                Number::Any(any) => *any,
            };
            last
        }).collect();
        let indptr = match &self.indptr {
            Starts::Any(starts) => starts.clone(),
            Starts::Lengths(lengths) => {
                let mut starts = vec![0_i64];
                lengths.iter().for_each(|length| starts.push(starts[starts.len() - 1] + i64::from(length % 16)));
                indices.resize(starts[starts.len() - 1] as usize, 0);
                starts
            }
        };
        let values = self.values.iter().map(|value| match value {
            Value::Small(small) => f32::from(*small) / 16.0,
            Value::Any(any) => *any,
        });
        let mut values: Vec<_> = values.collect();
        if matches!(self.indptr, Starts::Lengths(_)) {
            values.resize(indices.len(), 0.5);
            sort_rows(&indptr, &mut indices);
        }
        SparseEmbeddings::new(indptr, indices, values, dim)
    }
}

/// Makes columns rise within a row. Equal ones stay, and are refused.
fn sort_rows(indptr: &[i64], indices: &mut [i32]) {
    for pair in indptr.windows(2) {
        indices[pair[0] as usize..pair[1] as usize].sort_unstable();
    }
}

pub fn check(data: &[u8]) {
    /// Numbers of dense rows that are compared.
    const DENSE: usize = 1 << 20;
    let Ok(call) = Call::arbitrary_take_rest(Unstructured::new(data)) else { return };
    let other = call.other.as_ref().unwrap_or(&call.dim);
    let (a, b) = match (call.a.embeddings(call.dim.dim()), call.b.embeddings(other.dim())) {
        (Ok(a), Ok(b)) => (a, b),
        (a, b) => {
            for error in [a.err(), b.err()].iter().flatten() {
                kind(error);
            }
            return;
        }
    };
    for similarity in [Similarity::Cosine, Similarity::Dot, Similarity::Euclidean, Similarity::Manhattan] {
        let scores = match sparse_similarity(similarity, &a, &b, &CallOptions::default()) {
            Ok(scores) => scores,
            Err(error) => {
                kind(&error);
                assert_ne!(a.dim(), b.dim(), "{error}");
                continue;
            }
        };
        assert_eq!((scores.rows(), scores.columns()), (a.len(), b.len()));
        if a.len().max(b.len()).saturating_mul(a.dim()) <= DENSE {
            check_scores(similarity, &a, &b, scores.as_slice());
        }
        match sparse_similarity_pairwise(similarity, &a, &b, &CallOptions::default()) {
            Ok(pairs) => {
                let diagonal = (0..a.len()).map(|i| scores.row(i)[i]);
                let same = |(x, y): (&f32, f32)| x.to_bits() == y.to_bits() || (x.is_nan() && y.is_nan());
                assert!(pairs.len() == a.len() && pairs.iter().zip(diagonal).all(same), "{similarity:?}: {a:?}, {b:?}");
            }
            Err(_) => assert_ne!(a.len(), b.len()),
        }
    }
}

/// Compares scores with those of dense rows in float64, where these are finite.
fn check_scores(similarity: Similarity, a: &SparseEmbeddings, b: &SparseEmbeddings, scores: &[f32]) {
    let (Ok(left), Ok(right)) = (a.to_dense(), b.to_dense()) else { panic!("no dense numbers of {a:?} and {b:?}") };
    for (i, row) in left.as_slice().chunks(a.dim().max(1)).enumerate() {
        for (j, other) in right.as_slice().chunks(b.dim().max(1)).enumerate() {
            let (want, got) = (score(similarity, row, other), f64::from(scores[i * b.len() + j]));
            let close = (want - got).abs() <= 1e-5 * want.abs().max(1.0);
            assert!(close || !(want as f32).is_finite(), "{similarity:?}: {got} for {want} of {a:?}, {b:?}");
        }
    }
}

fn score(similarity: Similarity, a: &[f32], b: &[f32]) -> f64 {
    let pairs = || a.iter().zip(b).map(|(a, b)| (f64::from(*a), f64::from(*b)));
    let dot = || pairs().map(|(a, b)| a * b).sum::<f64>();
    let norm = |row: &[f32]| row.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
    match similarity {
        Similarity::Cosine => dot() / (norm(a).max(1e-12) * norm(b).max(1e-12)),
        Similarity::Dot => dot(),
        Similarity::Euclidean => -pairs().map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt(),
        Similarity::Manhattan => -pairs().map(|(a, b)| (a - b).abs()).sum::<f64>(),
        other => panic!("no scores of {other:?}"),
    }
}
