//! Tests of models whose folders name custom code: they load in the forms in which they are published, and saved copies load
//! again.

use std::fs;
use std::path::Path;

use crate::common::{copy, data, json, tiny, tiny_cases, ways};
use rushlight::{EncodeOptions, Error, Input, Model, PredictOptions, Reranker, ScoreActivation, SparseModel};
use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensors, serialize};
use serde_json::{Value, json};
use tempfile::TempDir;

fn copied(model: &Path) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    copy(model, folder.path());
    folder
}

fn edit(path: &Path, change: impl FnOnce(&mut Value)) {
    let mut value: Value = json(path);
    change(&mut value);
    fs::write(path, value.to_string()).unwrap();
}

fn encode(folder: &Path, texts: &[impl AsRef<str>]) -> Vec<f32> {
    Model::from_dir(folder).unwrap().encode(texts, &EncodeOptions::default()).unwrap().into_vec()
}

#[test]
fn saved_copies_load_with_the_same_bits() {
    let named = |model: &Path| json::<Value>(&model.join("config.json"))["auto_map"].is_object();
    let with_code =
        tiny_cases().into_iter().filter(|case| case.model.join("config.json").exists() && named(&case.model));
    let mut count = 0;
    for case in with_code {
        let folder = tempfile::tempdir().unwrap();
        let code = case.model.join("st_quantize.py");
        Model::from_dir(&case.model).unwrap().save(folder.path()).unwrap();
        assert!(encode(folder.path(), &case.texts) == encode(&case.model, &case.texts), "{}", case.name);
        assert_eq!(code.exists(), folder.path().join("st_quantize.py").exists());
        count += 1;
    }
    assert!(count >= 14, "{count}");
    let (folder, pairs) = (tempfile::tempdir().unwrap(), [("one", "another one")]);
    let reranker = Reranker::from_dir(data().join("rerank/gte-new-reranker/model")).unwrap();
    reranker.save(folder.path()).unwrap();
    let scores = |model: &Reranker| model.predict(&pairs, &PredictOptions::default()).unwrap();
    assert!(scores(&Reranker::from_dir(folder.path()).unwrap()) == scores(&reranker));
    let (folder, texts) = (tempfile::tempdir().unwrap(), ["one", "another one"]);
    let sparse = SparseModel::from_dir(data().join("sparse/splade-gte-new/model")).unwrap();
    sparse.save(folder.path()).unwrap();
    let weights = |model: &SparseModel| model.encode(&texts, &Default::default()).unwrap();
    assert!(weights(&SparseModel::from_dir(folder.path()).unwrap()) == weights(&sparse));
}

/// Perplexity's folder has no settings of its last module, whose code lies beside the config.
#[test]
fn a_quantizer_loads_as_published() {
    let case = tiny("qwen3-both-ways-pplx");
    let right = encode(&case.model, &case.texts);
    assert!(right.iter().all(|x| x.fract() == 0.0 && x.abs() <= 127.0));
    let folder = copied(&case.model);
    edit(&folder.path().join("modules.json"), |modules| {
        modules[2]["path"] = json!("");
        modules[2]["kwargs"] = json!(["quantization"]);
    });
    fs::remove_file(folder.path().join("config_sentence_transformers.json")).unwrap();
    fs::write(folder.path().join("st_quantize.py"), "raise SystemExit").unwrap();
    assert!(encode(folder.path(), &case.texts) == right);
    let saved = tempfile::tempdir().unwrap();
    Model::from_dir(folder.path()).unwrap().save(saved.path()).unwrap();
    assert!(encode(saved.path(), &case.texts) == right && saved.path().join("st_quantize.py").exists());
    edit(&folder.path().join("modules.json"), |modules| modules[2]["type"] = json!("st_other.FlexibleQuantizer"));
    let error = Model::from_dir(folder.path()).unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }) && error.to_string().contains("st_other"), "{error}");
}

/// The tokenizer code of gte-Qwen2 ends texts by a switch, not by the tokenizer's file.
#[test]
fn texts_end_as_the_tokenizer_code_of_gte_qwen2_ends_them() {
    let case = tiny("qwen2-both-ways-gte");
    let inputs: Vec<_> = case.texts.iter().map(|text| Input::Text(text)).collect();
    let folder = copied(&case.model);
    let config = folder.path().join("tokenizer_config.json");
    edit(&folder.path().join("tokenizer.json"), |file| {
        let [byte_level, _] = file["post_processor"]["processors"].as_array().unwrap().as_slice() else { panic!() };
        file["post_processor"] = byte_level.clone();
    });
    let ids = || -> Result<Vec<_>, Error> {
        let tokens = Model::from_dir(folder.path())?.tokenize(&inputs)?;
        Ok(tokens.into_iter().map(|tokens| tokens.ids).collect())
    };
    let (right, file) = (case.token_ids(), "tokenization_qwen.Qwen2Tokenizer");
    let unended = || Model::from_dir(folder.path()).unwrap().tokenize(&inputs[..1]).unwrap().remove(0).ids;
    assert_eq!(unended(), right[0][..right[0].len() - 1]);
    for code in [json!([file, format!("{file}Fast")]), json!([null, format!("a/b--{file}Fast")]), json!(file)] {
        edit(&config, |config| {
            config["auto_map"] = json!({ "AutoTokenizer": code });
            config["add_eos_token"] = json!(true);
        });
        assert!(ids().unwrap() == right, "{code}");
        edit(&config, |config| config["add_eos_token"] = json!(false));
        assert_eq!(unended(), right[0][..right[0].len() - 1]);
    }
    edit(&config, |config| config["add_eos_token"] = json!("yes"));
    let error = ids().unwrap_err();
    assert!(matches!(error, Error::InvalidConfig { .. }) && error.to_string().contains("add_eos_token"), "{error}");
}

#[test]
fn permission_to_run_code_changes_nothing() {
    let case = tiny("gte-stella-400m");
    let folder = copied(&case.model);
    let settings = folder.path().join("sentence_bert_config.json");
    for key in ["model_args", "tokenizer_args", "config_args"] {
        edit(&settings, |settings| settings[key] = json!({ "trust_remote_code": true }));
    }
    assert!(encode(folder.path(), &case.texts) == encode(&case.model, &case.texts));
    edit(&settings, |settings| settings["model_args"]["torch_dtype"] = json!("float16"));
    let error = Model::from_dir(folder.path()).unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }) && error.to_string().contains("model_args"), "{error}");
}

/// A reranker of NVIDIA's code: a linear layer on the mean of the token embeddings, divided by the temperature.
#[test]
fn a_bidirectional_llama_scores_the_mean_embedding() {
    let case = tiny("llama-bidirec");
    let folder = copied(&case.model);
    fs::remove_file(folder.path().join("modules.json")).unwrap();
    let score: Vec<f32> = (0..32).map(|i| (i as f32 - 11.0) / 40.0).collect();
    add_tensor(&folder.path().join("model.safetensors"), "score.weight", &[1, 32], &score);
    let config = folder.path().join("config.json");
    edit(&config, |config| {
        config["architectures"] = json!(["LlamaBidirectionalForSequenceClassification"]);
        config["auto_map"]["AutoModelForSequenceClassification"] =
            json!("llama_bidirectional_model.LlamaBidirectionalForSequenceClassification");
        config["id2label"] = json!({ "0": "LABEL_0" });
        config["temperature"] = json!(0.2);
    });
    let pairs = [("one text", "another text"), ("a", "b c d e")];
    let inputs = pairs.map(|(a, b)| Input::Pair(a, b));
    for way in ways() {
        let embeddings = Model::from_dir_with(folder.path(), &way).unwrap();
        let embeddings = embeddings.encode_inputs(&inputs, &EncodeOptions::default()).unwrap();
        let options = PredictOptions::default().with_activation(ScoreActivation::Identity);
        let scores = Reranker::from_dir_with(folder.path(), &way).unwrap().predict(&pairs, &options).unwrap();
        for (row, got) in embeddings.rows().zip(scores.as_slice()) {
            let logit: f64 = row.iter().zip(&score).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum();
            assert!((f64::from(*got) - logit / 0.2).abs() < 1e-4, "{got} {}", logit / 0.2);
        }
    }
    for (key, value) in [("temperature", json!(0)), ("temperature", json!("x")), ("pooling", json!("cls"))] {
        let before = json::<Value>(&config)[key].clone();
        edit(&config, |config| config[key] = value.clone());
        let error = Reranker::from_dir(folder.path()).unwrap_err();
        assert!(error.to_string().contains(key), "{error}");
        edit(&config, |config| config[key] = if before.is_null() { json!("avg") } else { before });
    }
}

fn add_tensor(file: &Path, name: &str, shape: &[usize], numbers: &[f32]) {
    let bytes = fs::read(file).unwrap();
    let more: Vec<u8> = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let mut views = tensors.tensors();
    views.push((name.to_owned(), TensorView::new(Dtype::F32, shape.to_vec(), &more).unwrap()));
    fs::write(file, serialize(views, None).unwrap()).unwrap();
}
