//! Tests of models without a transformer, beside their numbers.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use crate::common::{folders, json, native, npy, tiny, ways};
use rushlight::{EncodeOptions, Error, Input, Model, StaticRule, Truncation};
use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};
use tempfile::TempDir;

fn plain() -> EncodeOptions<'static> {
    EncodeOptions::default()
}

fn changed(case: &str, file: &str, change: impl FnOnce(&mut Value)) -> TempDir {
    crate::common::changed(&tiny(case).model, file, change)
}

/// Returns a model2vec folder with other tensors: `(name, dtype, shape, bytes)`.
fn with_tensors(tensors: &[(&str, Dtype, &[usize], Vec<u8>)]) -> TempDir {
    let folder = changed("static-model2vec", "config.json", |_| {});
    let views: HashMap<_, _> = tensors
        .iter()
        .map(|(name, dtype, shape, bytes)| (*name, TensorView::new(*dtype, shape.to_vec(), bytes).unwrap()))
        .collect();
    fs::write(folder.path().join("model.safetensors"), safetensors::serialize(views, None).unwrap()).unwrap();
    folder
}

fn floats(count: usize) -> Vec<u8> {
    (0..count).flat_map(|i| (i as f32).to_le_bytes()).collect()
}

#[test]
fn no_tokens_are_zeros_and_no_special_tokens_are_added() {
    let model = Model::from_dir(tiny("static-embedding").model).unwrap();
    assert_eq!(model.max_seq_length(), None);
    let embeddings = model.encode(&["", "a"], &plain()).unwrap();
    assert!(embeddings.row(0).iter().all(|x| *x == 0.0));
    assert_eq!(model.count_tokens(&["".into(), "a".into()]).unwrap(), [0, 1]);
    let encodings = model.encode_tokens(&[Input::Text("a")], &plain()).unwrap();
    assert_eq!(encodings[0].token_embeddings, embeddings.row(1), "the mean of one is that one");
    let model = Model::from_dir(tiny("static-model2vec").model).unwrap();
    assert!(model.encode(&[""], &plain()).unwrap().as_slice().iter().all(|x| *x == 0.0), "not normalized to NaN");
}

#[test]
fn the_tokenizers_own_truncation_is_kept() {
    let cut = json!({ "direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0 });
    let folder = changed("static-embedding", "tokenizer.json", |tokenizer| tokenizer["truncation"] = cut);
    let model = Model::from_dir(folder.path()).unwrap();
    assert_eq!(model.max_seq_length(), None);
    let embeddings = model.encode(&["a a a b b b", "a a a"], &plain()).unwrap();
    assert_eq!(embeddings.row(0), embeddings.row(1));
    assert_eq!(embeddings.truncated().count, 1);
    let options = plain().with_truncation(Truncation::Error);
    assert!(matches!(model.encode(&["a a a b"], &options), Err(Error::InvalidInput { index: 0, .. })));
    // model2vec's folders have their own limit of tokens.
    let folder = changed("static-model2vec", "config.json", |config| config["max_length"] = json!(3));
    let model = Model::from_dir(folder.path()).unwrap();
    assert_eq!(model.tokenize(&["a a a a".into()]).unwrap()[0].ids.len(), 3);
}

#[test]
fn model2vecs_config_says_whether_it_is_normalized() {
    let norm = |config: Value| {
        let folder = changed("static-model2vec", "config.json", |file| file["normalize"] = config);
        let model = Model::from_dir(folder.path())?;
        let embedding = model.encode(&["some text"], &plain())?;
        Ok::<_, Error>(embedding.as_slice().iter().map(|x| x * x).sum::<f32>().sqrt())
    };
    assert!((norm(json!(true)).unwrap() - 1.0).abs() < 1e-6);
    assert!((norm(json!(false)).unwrap() - 1.0).abs() > 1e-3);
    assert!(norm(json!(3)).unwrap_err().to_string().contains("normalize"));
}

#[test]
fn tensors_that_do_not_fit_are_refused() {
    let fails = |folder: TempDir, words: &[&str]| {
        let message = Model::from_dir(folder.path()).unwrap_err().to_string();
        assert!(words.iter().all(|word| message.contains(word)), "{message}");
    };
    let rows = ("embeddings", Dtype::F32, &[2, 4][..], floats(8));
    let mapping = |last: i64| (0..419).map(|_| 0).chain([last]).flat_map(i64::to_le_bytes).collect::<Vec<_>>();
    let map = |last| ("mapping", Dtype::I64, &[420][..], mapping(last));
    Model::from_dir(with_tensors(&[rows.clone(), map(1)]).path()).unwrap();
    fails(with_tensors(&[rows.clone(), map(2)]), &["mapping", "0 up to 1"]);
    fails(with_tensors(&[rows.clone(), map(-1)]), &["mapping"]);
    fails(with_tensors(&[rows.clone(), ("mapping", Dtype::F32, &[420], floats(420))]), &["mapping", "I64"]);
    fails(with_tensors(&[rows.clone(), map(1), ("weights", Dtype::F32, &[3], floats(3))]), &["weights", "[420]"]);
    fails(with_tensors(&[("other", Dtype::F32, &[2], floats(2))]), &["embeddings"]);
    fails(with_tensors(&[("embeddings", Dtype::F32, &[8], floats(8))]), &["embeddings"]);
    // Tokens beyond the table are an error with the text's index.
    let few = Model::from_dir(with_tensors(&[rows]).path()).unwrap();
    let error = few.encode(&["", "some text"], &plain()).unwrap_err();
    assert!(matches!(error, Error::InvalidInput { index: 1, .. }), "{error}");
}

/// model2vec's own layout: unscaled numbers, rows that tokens share, and a weight per token.
#[test]
fn rows_of_small_dtypes_are_computed_in_float32() {
    const WIDTH: usize = 4;
    let numbers: [i8; 3 * WIDTH] = [127, -127, 3, 0, -128, 64, 1, -1, 5, 6, 7, -8];
    let mapping: Vec<u8> = (0..420_i64).flat_map(|id| (id % 3).to_le_bytes()).collect();
    let weights: Vec<u8> = (0..420).flat_map(|id| (f64::from(id) / 7.0).to_le_bytes()).collect();
    let embed = |dtype: Dtype, rows: Vec<u8>, folded: bool| {
        let mut tensors = vec![("embeddings", dtype, &[3, WIDTH][..], rows)];
        if folded {
            tensors.push(("mapping", Dtype::I64, &[420], mapping.clone()));
            tensors.push(("weights", Dtype::F64, &[420], weights.clone()));
        }
        let folder = with_tensors(&tensors);
        Model::from_dir(folder.path()).map(|model| model.encode(&["some text here", "a", ""], &plain()))
    };
    let wide = |number: fn(f32) -> Vec<u8>| numbers.iter().flat_map(|x| number(f32::from(*x))).collect::<Vec<_>>();
    let right = embed(Dtype::F32, wide(|x| x.to_le_bytes().to_vec()), true).unwrap().unwrap();
    assert!(right.row(0).iter().any(|x| *x != 0.0) && right.row(2).iter().all(|x| *x == 0.0));
    for (dtype, rows) in [
        (Dtype::I8, numbers.iter().map(|x| x.cast_unsigned()).collect()),
        (Dtype::F16, wide(|x| half::f16::from_f32(x).to_le_bytes().to_vec())),
        (Dtype::BF16, wide(|x| half::bf16::from_f32(x).to_le_bytes().to_vec())),
        (Dtype::F64, wide(|x| f64::from(x).to_le_bytes().to_vec())),
    ] {
        assert_eq!(embed(dtype, rows, true).unwrap().unwrap(), right, "{dtype:?}");
    }
    // Without a mapping token ids are row numbers, and the table lacks nearly all of them here.
    assert!(embed(Dtype::I8, vec![0; 3 * WIDTH], false).unwrap().is_err());
    let error = embed(Dtype::U8, vec![0; 3 * WIDTH], true).unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }), "{error}");
    for shape in [&[12][..], &[3, 4, 1]] {
        let folder = with_tensors(&[("embeddings", Dtype::I8, shape, vec![0; 12])]);
        assert!(matches!(
            Model::from_dir(folder.path()).unwrap_err(),
            Error::WeightShape { .. } | Error::Unsupported { .. }
        ));
    }
}

#[test]
fn modules_follow_or_are_refused_by_name() {
    let listed = |types: &[&str]| {
        changed("static-embedding", "modules.json", |modules| {
            let more = types.iter().map(|class| {
                json!({ "idx": 1, "name": "1", "path": "1_Module", "type": format!("sentence_transformers.models.{class}") })
            });
            modules.as_array_mut().unwrap().extend(more);
        })
    };
    let normalized = Model::from_dir(listed(&["Normalize"]).path()).unwrap();
    let norm = |path: &Model| path.encode(&["a text"], &plain()).unwrap().as_slice().iter().map(|x| x * x).sum::<f32>();
    assert!((norm(&normalized) - 1.0).abs() < 1e-6);
    let message = |folder: &Path| Model::from_dir(folder).unwrap_err().to_string();
    assert!(message(listed(&["Pooling"]).path()).contains("Pooling"));
    assert!(message(listed(&["Router"]).path()).contains("Router"));
}

/// Returns the largest difference of rows that the reference has numbers for, relative to the largest number.
fn relative_difference(got: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(got.len(), expected.len());
    let pairs = || got.iter().zip(expected).filter(|(_, want)| want.is_finite());
    let largest = pairs().fold(0.0, |largest: f64, (_, want)| want.abs().max(largest));
    pairs().fold(0.0, |most: f64, (got, want)| (f64::from(*got) - want).abs().max(most)) / largest
}

/// Folders of model2vec give sentence-transformers' numbers where it loads them, else model2vec's own; an option chooses.
#[test]
fn a_rule_reads_texts_as_one_library_does() {
    for folder in folders("static") {
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        let texts: Vec<String> = json(&folder.join("texts.json"));
        let loads = folder.join("expected_st.npy").exists();
        // Both libraries return float16 for a folder of float16.
        let tolerance = if name.ends_with("float16") { 2e-3 } else { 1e-5 };
        for way in ways() {
            let check = |rule: Option<StaticRule>, file: &str| {
                let model = Model::from_dir_with(folder.join("model"), &way.clone().with_static_rule(rule)).unwrap();
                let got = model.encode(&texts, &plain()).unwrap().into_vec();
                let error = relative_difference(&got, &npy(&folder.join(file)));
                assert!(error < tolerance, "{name} by {rule:?}: {error:e}");
            };
            check(Some(StaticRule::Model2Vec), "expected64.npy");
            if loads {
                check(Some(StaticRule::SentenceTransformers), "expected_st.npy");
            }
            check(None, if loads { "expected_st.npy" } else { "expected64.npy" });
        }
    }
}

#[test]
fn model2vecs_rule_cuts_characters_and_drops_unknown_tokens() {
    let folder = crate::common::data().join("static/model2vec-int8-plain/model");
    let model = Model::from_dir_with(&folder, &native()).unwrap();
    let long = "the weather is lovely today and tomorrow";
    let options = plain();
    let [whole, cut] = [long, &long[..20]].map(|text| model.encode(&[text], &options).unwrap());
    assert_eq!(whole.as_slice(), cut.as_slice());
    assert_eq!(whole.truncated().count, 1);
    assert_eq!(
        model.encode(&["the ꙮ", "the"], &plain()).unwrap().row(0),
        model.encode(&["the"], &plain()).unwrap().row(0)
    );
    let other = Model::from_dir_with(&folder, &native().with_static_rule(StaticRule::SentenceTransformers)).unwrap();
    assert_ne!(other.encode(&["the ꙮ"], &plain()).unwrap(), other.encode(&["the"], &plain()).unwrap());
    let to = tempfile::tempdir().unwrap();
    model.save(to.path()).unwrap();
    let saved = Model::from_dir(to.path()).unwrap();
    assert_eq!(saved.encode(&[long, "a ꙮ"], &plain()).unwrap(), model.encode(&[long, "a ꙮ"], &plain()).unwrap());
    assert!("other".parse::<StaticRule>().unwrap_err().to_string().contains("sentence-transformers, model2vec"));
}
