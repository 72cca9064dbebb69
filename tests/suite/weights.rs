//! Tests of weights in checkpoints: other dtypes, prefixes of heads, old names.

use std::fs;
use std::path::Path;

use crate::common::{copy, tiny};
use half::{bf16, f16};
use rushlight::{EncodeOptions, Model};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::json;

const TEXTS: [&str; 2] = ["some text", "and another one, which is longer"];

/// Tensor to save: its name, its dtype, and its numbers in that dtype.
type Changed = (String, Dtype, Vec<u8>);

/// Returns the embeddings of a small model with changed tensors.
fn embeddings(case: &str, change: impl Fn(&str, Vec<f32>) -> Changed) -> Vec<f32> {
    embeddings_of(case, |name, view| vec![(change(name, numbers(view)), view.shape().to_vec())])
}

/// Returns the embeddings of a small model with other tensors, computed from the names and shapes of its own.
fn embeddings_of(case: &str, change: impl Fn(&str, &TensorView<'_>) -> Vec<(Changed, Vec<usize>)>) -> Vec<f32> {
    let folder = tempfile::tempdir().unwrap();
    copy(&tiny(case).model, folder.path());
    let path = folder.path().join("model.safetensors");
    let bytes = fs::read(&path).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap().tensors();
    let changed: Vec<_> = tensors.iter().flat_map(|(name, view)| change(name, view)).collect();
    let views = changed.iter().map(|((name, dtype, data), shape)| {
        let view = TensorView::new(*dtype, shape.clone(), data).unwrap();
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

/// transformers loads all tensors of all shards, regardless of the index, and prefers safetensors to torch's format.
#[test]
fn torchs_files_may_be_shards() {
    let embed =
        |folder: &Path| Model::from_dir(folder).unwrap().encode(&TEXTS, &EncodeOptions::default()).unwrap().into_vec();
    let legacy = tiny("legacy-bert-mean-normalize").model;
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    copy(&legacy, folder.path());
    let right = embed(folder.path());
    let [first, second] = [1, 2].map(|i| format!("pytorch_model-{i:05}-of-00002.bin"));
    fs::rename(place("pytorch_model.bin"), place(&first)).unwrap();
    fs::copy(crate::common::data().join("torch/views.bin"), place(&second)).unwrap();
    let index = |words: &str| {
        let map = json!({ "embeddings.word_embeddings.weight": words, "of another": second, "and another": first });
        let index = json!({ "metadata": { "total_size": 1 }, "weight_map": map });
        fs::write(place("pytorch_model.bin.index.json"), index.to_string()).unwrap();
    };
    for words in [&first, &second] {
        index(words);
        assert!(embed(folder.path()) == right);
    }
    let saved = tempfile::tempdir().unwrap();
    Model::from_dir(folder.path()).unwrap().save(saved.path()).unwrap();
    assert!(embed(saved.path()) == right);
    let names = fs::read_dir(saved.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let weights: Vec<_> = names.filter(|name| name.ends_with(".bin") || name.contains("safetensors")).collect();
    assert_eq!(weights, ["model.safetensors"]);
    Model::from_dir(folder.path()).unwrap().save(folder.path()).unwrap();
    assert!(embed(folder.path()) == right && !place("pytorch_model.bin.index.json").exists());

    // In transformers' order of preference: each format hides those after it.
    fs::remove_file(place("model.safetensors")).unwrap();
    index(&first);
    let other = tempfile::tempdir().unwrap();
    let file = fs::read(saved.path().join("model.safetensors")).unwrap();
    let zeros = vec![0; file.len()];
    let tensors = SafeTensors::deserialize(&file).unwrap().tensors();
    let blank = tensors.into_iter().map(|(name, view)| {
        let blank = TensorView::new(view.dtype(), view.shape().to_vec(), &zeros[..view.data().len()]).unwrap();
        (name, blank)
    });
    fs::write(other.path().join("whole"), safetensors::serialize(blank, None).unwrap()).unwrap();
    fs::copy(place(&first), place("pytorch_model.bin")).unwrap();
    fs::write(place("pytorch_model.bin.index.json"), "never read").unwrap();
    assert!(embed(folder.path()) == right, "one file before shards");
    fs::copy(other.path().join("whole"), place("part.safetensors")).unwrap();
    let map = json!({ "weight_map": { "embeddings.word_embeddings.weight": "part.safetensors" } });
    fs::write(place("model.safetensors.index.json"), map.to_string()).unwrap();
    assert!(embed(folder.path()) != right, "shards of safetensors before torch's file");
    fs::copy(saved.path().join("model.safetensors"), place("model.safetensors")).unwrap();
    assert!(embed(folder.path()) == right, "one file of safetensors before all");
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
fn old_names_of_norm_weights_are_read() {
    let old = embeddings("bert-mean-normalize", |name, numbers| {
        let old = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta");
        float32(&old, numbers)
    });
    assert!(old == embeddings("bert-mean-normalize", float32));
}

/// With `save_original_format=False`, checkpoints have the names of transformers' classes, and split linear layers.
#[test]
fn families_older_than_their_classes_load_by_both_spellings() {
    type Renames = &'static [(&'static str, &'static str)];
    type Parts = &'static [(&'static str, &'static [&'static str])];
    const PROJECTIONS: &[&str] = &["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"];
    const NORMS: Renames = &[
        ("encoder.layers", "layers"),
        ("emb_ln", "embeddings.LayerNorm"),
        ("norm1", "post_attention_layernorm"),
        ("norm2", "post_mlp_layernorm"),
    ];
    let nomic: Renames =
        &[("attn.out_proj", "self_attn.o_proj"), ("fc11", "up_proj"), ("fc12", "gate_proj"), ("fc2", "down_proj")];
    let gte: Renames = &[
        ("encoder.layer", "layers"),
        ("attention.o_proj", "self_attn.o_proj"),
        ("attn_ln", "post_attention_layernorm"),
        ("mlp_ln", "post_mlp_layernorm"),
    ];
    let jina: Renames = &[("mixer.out_proj", "self_attn.o_proj")];
    let attention: Parts = &[("attn.Wqkv", PROJECTIONS)];
    let both: Parts = &[("attention.qkv_proj", PROJECTIONS), ("mlp.up_gate_proj", &["mlp.up_proj", "mlp.gate_proj"])];
    let cases: [(&str, &str, [Renames; 2], Parts); 5] = [
        ("nomic-bert-mean-normalize", "", [NORMS, nomic], attention),
        ("nomic-bert-narrow-heads", "nomic_bert.", [NORMS, nomic], attention),
        ("gte-cls-normalize", "", [gte, &[]], both),
        ("gte-yarn-no-types", "gte.", [gte, &[]], both),
        ("jina-v3-mean-normalize", "roberta.", [NORMS, jina], &[("mixer.Wqkv", PROJECTIONS)]),
    ];
    for (case, prefix, renames, parts) in cases {
        let renamed = |name: &str| {
            let name = renames.concat().iter().fold(name.to_owned(), |name, (old, new)| name.replace(old, new));
            format!("{prefix}{name}")
        };
        let own = embeddings_of(case, |name, view| {
            let (old, new) = parts.iter().find(|(old, _)| name.contains(old)).copied().unwrap_or(("", &[""]));
            let numbers = numbers(view);
            let shape = [&[view.shape()[0] / new.len()], &view.shape()[1..]].concat();
            let part = |(name, numbers): (String, &[f32])| (float32(&name, numbers.to_vec()), shape.clone());
            let names = new.iter().map(|new| renamed(&name.replacen(old, new, 1)));
            names.zip(numbers.chunks(numbers.len() / new.len())).map(part).collect()
        });
        assert!(own == embeddings(case, float32), "{case}");
    }
}
