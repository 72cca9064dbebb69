//! Checks of every model and every input.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use rushlight::server::AnyModel;
use rushlight::{
    Device, EncodeOptions, Error, ErrorKind, Input, Kernels, LoadOptions, MultiVectorOptions, PredictOptions, Result,
    Role, SparseOptions,
};

use super::folder::on_case;

/// Largest difference of the two implementations, of the row's largest number. Edited configs can be ill-conditioned;
/// random ones of usual form agree to 1e-5 in the tests of families.
const TOLERANCE: f32 = 1e-3;

/// Texts that most targets embed.
pub const TEXTS: [&str; 3] = ["", "of the rest", "The rest, of the 000 A000 rest! e\u{301} 日本 [MASK] <mask>"];

pub fn load(folder: &Path, kernels: Kernels) -> Result<AnyModel> {
    AnyModel::from_dir_with(folder, &LoadOptions::default().with_device(Device::Cpu).with_kernels(kernels))
}

/// Returns both implementations of a case's model, loaded once.
pub fn both(case: &str) -> Arc<[AnyModel; 2]> {
    static MODELS: LazyLock<Mutex<HashMap<String, Arc<[AnyModel; 2]>>>> = LazyLock::new(Mutex::default);
    let load = |kernels| on_case(case, |folder| folder.with(&Default::default(), |path| load(path, kernels).unwrap()));
    let mut models = MODELS.lock().unwrap_or_else(PoisonError::into_inner);
    let both = || Arc::new([load(Kernels::Native), load(Kernels::Portable)]);
    Arc::clone(models.entry(case.to_owned()).or_insert_with(both))
}

/// Returns texts as the inputs of a model: a reranker scores them with a query.
pub fn inputs<'a>(model: &AnyModel, texts: &[&'a str]) -> Vec<Input<'a>> {
    let paired = matches!(model, AnyModel::Reranker(_));
    texts.iter().map(|text| if paired { Input::Pair("the rest", text) } else { Input::Text(text) }).collect()
}

/// Returns a row per input: an embedding, scores, sparse weights or token vectors.
fn rows(model: &AnyModel, inputs: &[Input<'_>]) -> Result<Vec<Vec<f32>>> {
    let of = |slice: &[f32], width: usize| slice.chunks(width.max(1)).map(<[f32]>::to_vec).collect();
    match model {
        AnyModel::Sentence(model) => {
            let embeddings = model.encode_inputs(inputs, &EncodeOptions::default())?;
            Ok(of(embeddings.as_slice(), embeddings.dim()))
        }
        AnyModel::Reranker(model) => {
            let scores = model.predict_inputs(inputs, &PredictOptions::default())?.0;
            Ok(of(scores.as_slice(), scores.columns()))
        }
        AnyModel::Sparse(model) => {
            let dense = model.encode_inputs(inputs, &SparseOptions::default())?.to_dense()?;
            Ok(of(dense.as_slice(), dense.columns()))
        }
        AnyModel::MultiVector(model) => {
            let vectors = model.encode_inputs(inputs, Role::Document, &MultiVectorOptions::default())?.0;
            Ok(vectors.into_iter().map(|matrix| matrix.as_slice().to_vec()).collect())
        }
        other => panic!("no rows of {other:?}"),
    }
}

/// Checks a folder: it is refused with a typed error by both implementations, or its rows pass [`check_rows`].
pub fn check_folder(folder: &Path, texts: &[&str]) {
    match (load(folder, Kernels::Native), load(folder, Kernels::Portable)) {
        (Ok(native), Ok(portable)) => check_rows(&native, &portable, &inputs(&native, texts)),
        (Err(native), Err(portable)) => assert_eq!(kind(&native), kind(&portable), "{native} | {portable}"),
        (native, portable) => panic!("only one loads: {:?} | {:?}", native.err(), portable.err()),
    }
}

/// Checks inputs: both implementations refuse them, or give finite rows that agree, and the same bits alone.
pub fn check_rows(native: &AnyModel, portable: &AnyModel, inputs: &[Input<'_>]) {
    let together = match (rows(native, inputs), rows(portable, inputs)) {
        (Ok(native), Ok(portable)) => {
            close(&native, &portable);
            native
        }
        (Err(error), Err(other)) => {
            assert_eq!(kind(&error), kind(&other), "{error} | {other}");
            return check_refusal(native, inputs, &error);
        }
        (native, portable) => panic!("only one embeds: {:?} | {:?}", native.err(), portable.err()),
    };
    assert_eq!(together.len(), inputs.len());
    for (input, row) in inputs.iter().zip(&together) {
        assert!(row.iter().all(|x| x.is_finite()), "{input:?}: {row:?}");
        let alone = rows(native, &[*input]).unwrap_or_else(|error| panic!("{input:?} alone: {error}"));
        assert!(same(&alone[0], row), "{input:?}: {:?} alone, {row:?} in a batch", alone[0]);
    }
}

fn same(a: &[f32], b: &[f32]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits())
}

/// The input that an error names is refused alone, too.
fn check_refusal(model: &AnyModel, inputs: &[Input<'_>], error: &Error) {
    let (Error::InvalidInput { index, .. } | Error::NotFinite { index }) = error else { return };
    let alone = rows(model, &[inputs[*index]]).err().unwrap_or_else(|| panic!("refused only in a batch: {error}"));
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
