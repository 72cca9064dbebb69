//! Checks of every model and every input.

use std::path::Path;

use rushlight::server::AnyModel;
use rushlight::{
    Device, EncodeOptions, Error, ErrorKind, Input, Kernels, LoadOptions, MultiVectorOptions, PredictOptions, Result,
    SparseOptions,
};

/// Largest difference of the two implementations, of the row's largest number. Edited configs can be ill-conditioned;
/// random ones of usual form agree to 1e-5 in the tests of families.
const TOLERANCE: f32 = 1e-3;

/// Texts that most targets embed.
pub const TEXTS: [&str; 3] = ["", "of the rest", "The rest, of the 000 A000 rest! e\u{301} 日本 [MASK] <mask>"];

pub fn load(folder: &Path, kernels: Kernels) -> Result<AnyModel> {
    AnyModel::from_dir_with(folder, &LoadOptions::default().with_device(Device::Cpu).with_kernels(kernels))
}

/// Returns a row per text: an embedding, scores, sparse weights or token vectors.
pub fn rows(model: &AnyModel, texts: &[&str]) -> Result<Vec<Vec<f32>>> {
    let inputs: Vec<_> = texts.iter().map(|text| Input::Text(text)).collect();
    let of = |slice: &[f32], width: usize| slice.chunks(width.max(1)).map(<[f32]>::to_vec).collect();
    match model {
        AnyModel::Sentence(model) => {
            let embeddings = model.encode_inputs(&inputs, &EncodeOptions::default())?;
            Ok(of(embeddings.as_slice(), embeddings.dim()))
        }
        AnyModel::Reranker(model) => {
            let pairs: Vec<_> = texts.iter().map(|text| Input::Pair("the rest", text)).collect();
            let scores = model.predict_inputs(&pairs, &PredictOptions::default())?.0;
            Ok(of(scores.as_slice(), scores.columns()))
        }
        AnyModel::Sparse(model) => {
            let dense = model.encode_inputs(&inputs, &SparseOptions::default())?.to_dense()?;
            Ok(of(dense.as_slice(), dense.columns()))
        }
        AnyModel::MultiVector(model) => {
            let vectors = model.encode_document(texts, &MultiVectorOptions::default())?;
            Ok(vectors.into_iter().map(|matrix| matrix.as_slice().to_vec()).collect())
        }
        other => panic!("no rows of {other:?}"),
    }
}

/// Checks a folder: it is refused with a typed error by both implementations, or its rows pass [`check_rows`].
pub fn check_folder(folder: &Path, texts: &[&str]) {
    match (load(folder, Kernels::Native), load(folder, Kernels::Portable)) {
        (Ok(native), Ok(portable)) => check_rows(&native, &portable, texts),
        (Err(native), Err(portable)) => assert_eq!(kind(&native), kind(&portable), "{native} | {portable}"),
        (native, portable) => panic!("only one loads: {:?} | {:?}", native.err(), portable.err()),
    }
}

/// Checks texts: both implementations refuse them, or give finite rows that agree, and the same bits alone.
pub fn check_rows(native: &AnyModel, portable: &AnyModel, texts: &[&str]) {
    let together = match (rows(native, texts), rows(portable, texts)) {
        (Ok(native), Ok(portable)) => {
            close(&native, &portable);
            native
        }
        (Err(error), Err(other)) => {
            assert_eq!(kind(&error), kind(&other), "{error} | {other}");
            return check_refusal(native, texts, &error);
        }
        (native, portable) => panic!("only one embeds: {:?} | {:?}", native.err(), portable.err()),
    };
    assert_eq!(together.len(), texts.len());
    for (text, row) in texts.iter().zip(&together) {
        assert!(row.iter().all(|x| x.is_finite()), "{text:?}: {row:?}");
        let alone = rows(native, &[text]).unwrap_or_else(|error| panic!("{text:?} alone: {error}"));
        assert!(same(&alone[0], row), "{text:?}: {:?} alone, {row:?} in a batch", alone[0]);
    }
}

fn same(a: &[f32], b: &[f32]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits())
}

/// The input that an error names is refused alone, too.
fn check_refusal(model: &AnyModel, texts: &[&str], error: &Error) {
    let (Error::InvalidInput { index, .. } | Error::NotFinite { index }) = error else { return };
    let alone = rows(model, &[texts[*index]]).err().unwrap_or_else(|| panic!("refused only in a batch: {error}"));
    assert_eq!(kind(&alone), kind(error), "{alone} | {error}");
}

/// Returns an error's kind, after a look at its message.
pub fn kind(error: &Error) -> ErrorKind {
    let message = error.to_string();
    assert!(!message.contains("panicked") && message.len() < 100_000, "{message}");
    error.kind()
}

fn close(native: &[Vec<f32>], portable: &[Vec<f32>]) {
    for (native, portable) in native.iter().zip(portable) {
        assert_eq!(native.len(), portable.len());
        let largest = native.iter().fold(1.0, |largest: f32, x| largest.max(x.abs()));
        for (x, y) in native.iter().zip(portable) {
            assert!((x - y).abs() <= TOLERANCE * largest, "{x} and {y} in {native:?} and {portable:?}");
        }
    }
}
