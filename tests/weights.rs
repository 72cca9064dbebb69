//! Weights as checkpoints have them: in other dtypes, behind a head's prefix, under old names.
#![allow(clippy::unwrap_used, clippy::allow_attributes)]

mod common;

use std::fs;

use common::{copy, tiny};
use half::{bf16, f16};
use rushlight::{EncodeOptions, Model};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

const TEXTS: [&str; 2] = ["some text", "and another one, which is longer"];

/// A tensor as it is to be saved: its name, its dtype, and its numbers in that dtype.
type Changed = (String, Dtype, Vec<u8>);

/// The embeddings of a small model whose tensors are changed.
fn embeddings(case: &str, change: impl Fn(&str, Vec<f32>) -> Changed) -> Vec<f32> {
    let folder = tempfile::tempdir().unwrap();
    copy(&tiny(case).model, folder.path());
    let path = folder.path().join("model.safetensors");
    let bytes = fs::read(&path).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap().tensors();
    let changed: Vec<_> = tensors.iter().map(|(name, view)| (change(name, numbers(view)), view.shape())).collect();
    let views = changed.iter().map(|((name, dtype, data), shape)| {
        let view = TensorView::new(*dtype, shape.to_vec(), data).unwrap();
        (name.as_str(), view)
    });
    fs::write(&path, safetensors::serialize(views, None).unwrap()).unwrap();
    let model = Model::from_dir(folder.path()).unwrap();
    model.encode(&TEXTS, &EncodeOptions::default()).unwrap().into_vec()
}

fn numbers(view: &TensorView<'_>) -> Vec<f32> {
    view.data().chunks_exact(4).map(|x| f32::from_le_bytes(x.try_into().unwrap())).collect()
}

fn bytes<const N: usize>(numbers: Vec<f32>, one: impl Fn(f32) -> [u8; N]) -> Vec<u8> {
    numbers.into_iter().flat_map(one).collect()
}

fn float32(name: &str, numbers: Vec<f32>) -> Changed {
    (name.to_owned(), Dtype::F32, bytes(numbers, f32::to_le_bytes))
}

#[test]
fn other_dtypes_are_computed_in_float32() {
    let rounded = |round: fn(f32) -> f32| {
        embeddings("bert-mean-normalize", |name, numbers| float32(name, numbers.into_iter().map(round).collect()))
    };
    let half = embeddings("bert-mean-normalize", |name, numbers| {
        (name.to_owned(), Dtype::F16, bytes(numbers, |x| f16::from_f32(x).to_le_bytes()))
    });
    assert!(half == rounded(|x| f16::from_f32(x).to_f32()));
    let brain = embeddings("bert-mean-normalize", |name, numbers| {
        (name.to_owned(), Dtype::BF16, bytes(numbers, |x| bf16::from_f32(x).to_le_bytes()))
    });
    assert!(brain == rounded(|x| bf16::from_f32(x).to_f32()));
    let double = embeddings("bert-mean-normalize", |name, numbers| {
        (name.to_owned(), Dtype::F64, bytes(numbers, |x| f64::from(x).to_le_bytes()))
    });
    assert!(double == rounded(|x| x));
    assert!(half != double && brain != double && half != brain);
}

#[test]
fn a_checkpoint_with_a_head_has_a_prefix() {
    for (case, prefix) in [
        ("bert-mean-normalize", "bert"),
        ("camembert-mean", "roberta"),
        ("distilbert-mean-normalize", "distilbert"),
        ("mpnet-mean-normalize", "mpnet"),
        ("roberta-mean-normalize", "roberta"),
        ("xlm-roberta-mean", "roberta"),
    ] {
        let behind = embeddings(case, |name, numbers| float32(&format!("{prefix}.{name}"), numbers));
        assert!(behind == embeddings(case, float32), "{case}");
    }
}

#[test]
fn old_checkpoints_call_the_weights_of_norms_otherwise() {
    let old = embeddings("bert-mean-normalize", |name, numbers| {
        let old = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta");
        float32(&old, numbers)
    });
    assert!(old == embeddings("bert-mean-normalize", float32));
}
