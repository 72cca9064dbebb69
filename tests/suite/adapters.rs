//! Tests of adapters of peft: refusals, bad files, several adapters of a model, and saving.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::common::{copy, json, largest_difference, named, native, npy, tiny, ways};
use candle_core::{Device, Tensor, safetensors};
use rushlight::{EncodeOptions, Error, LoadOptions, Model, Reranker};
use serde_json::{Value, json};
use tempfile::TempDir;

const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";
const LORA: &str = "peft-bert-lora";

fn copied(case: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    copy(&tiny(case).model, folder.path());
    folder
}

fn set(folder: &TempDir, key: &str, value: Value) {
    let path = folder.path().join(CONFIG);
    let mut config: Value = json(&path);
    config[key] = value;
    fs::write(path, config.to_string()).unwrap();
}

fn change_tensors(folder: &TempDir, change: impl FnOnce(&mut HashMap<String, Tensor>)) {
    let path = folder.path().join(WEIGHTS);
    let mut tensors = safetensors::load(&path, &Device::Cpu).unwrap();
    change(&mut tensors);
    fs::remove_file(&path).unwrap();
    safetensors::save(&tensors, path).unwrap();
}

fn refused(folder: &TempDir) -> Error {
    Model::from_dir(folder.path()).unwrap_err()
}

fn encode(model: &Model, texts: &[String], task: Option<&str>) -> Vec<f32> {
    model.encode(texts, &EncodeOptions::default().with_task(task)).unwrap().into_vec()
}

#[test]
fn adapters_that_cannot_be_merged_are_refused_before_anything_else() {
    let cases = [
        ("peft_type", json!("IA3")),
        ("peft_type", json!(null)),
        ("layer_replication", json!([[0, 1], [0, 2]])),
        ("trainable_token_indices", json!([1, 2])),
        ("target_parameters", json!(["experts.weight"])),
        ("alora_invocation_tokens", json!([3])),
        ("use_qalora", json!(true)),
        ("init_lora_weights", json!("pissa")),
    ];
    for (key, value) in cases {
        let folder = copied(LORA);
        set(&folder, key, value);
        fs::remove_dir_all(folder.path().join("base")).unwrap();
        fs::remove_file(folder.path().join(WEIGHTS)).unwrap();
        fs::remove_file(folder.path().join("tokenizer.json")).unwrap();
        for error in [refused(&folder), Reranker::from_dir(folder.path()).unwrap_err()] {
            let text = error.to_string();
            assert!(
                matches!(error, Error::Unsupported { .. }) && text.contains("adapter") && text.contains(key),
                "{text}"
            );
        }
    }
}

#[test]
fn bad_settings_are_refused_by_key() {
    let cases = [
        ("r", json!(0)),
        ("lora_alpha", json!("x")),
        ("rank_pattern", json!({ "que(ry": 2 })),
        ("rank_pattern", json!({ "query": 0 })),
        ("alpha_pattern", json!({ "query": "x" })),
        ("base_model_name_or_path", json!(null)),
    ];
    for (key, value) in cases {
        let folder = copied(LORA);
        set(&folder, key, value.clone());
        let error = refused(&folder);
        assert!(
            matches!(&error, Error::InvalidConfig { file, key: at, .. } if file.ends_with(CONFIG) && at.starts_with(key)),
            "{value}: {error}"
        );
    }
    let folder = copied(LORA);
    set(&folder, "base_model_name_or_path", json!("no/such"));
    let options = LoadOptions::default().with_local_files_only(true);
    let error = Model::from_dir_with(folder.path(), &options).unwrap_err().to_string();
    assert!(error.contains("no/such") && error.contains("base_model_name_or_path"), "{error}");
    let folder = copied(LORA);
    fs::copy(folder.path().join(CONFIG), folder.path().join("base").join(CONFIG)).unwrap();
    assert!(refused(&folder).to_string().contains("no adapter itself"));
}

/// The name of the first layer's tensor of queries.
fn query(part: &str) -> String {
    format!("base_model.model.encoder.layer.0.attention.self.query.{part}")
}

#[test]
fn bad_tensors_are_refused_by_name() {
    let folder = copied(LORA);
    set(&folder, "rank_pattern", json!({ "layer.0.attention.self.query": 3 }));
    let error = refused(&folder);
    assert!(matches!(&error, Error::WeightShape { name, .. } if *name == query("lora_A.weight")), "{error}");

    let folder = copied(LORA);
    change_tensors(&folder, |tensors| drop(tensors.remove(&query("lora_B.weight"))));
    let error = refused(&folder);
    assert!(matches!(&error, Error::MissingWeight { name, .. } if *name == query("lora_B.weight")), "{error}");

    for name in [
        "embeddings.word_embeddings.weight".to_owned(),
        query("lora_C.weight"),
        "base_model.model.encoder.layer.9.output.dense.lora_A.weight".to_owned(),
    ] {
        let folder = copied(LORA);
        change_tensors(&folder, |tensors| {
            drop(tensors.insert(name.clone(), Tensor::zeros((4, 32), candle_core::DType::F32, &Device::Cpu).unwrap()))
        });
        let error = refused(&folder).to_string();
        assert!(error.contains("adapter") && error.contains(&name), "{error}");
    }
    let folder = copied(LORA);
    fs::remove_file(folder.path().join(WEIGHTS)).unwrap();
    let error = refused(&folder);
    assert!(matches!(&error, Error::FileNotFound { path, .. } if path.ends_with(WEIGHTS)), "{error}");
}

/// Returns a folder with the base model of a case and the case's modules, but not its adapter.
fn without_adapter(case: &str) -> TempDir {
    let folder = copied(case);
    for file in [CONFIG, WEIGHTS] {
        fs::remove_file(folder.path().join(file)).unwrap();
    }
    for file in ["config.json", "model.safetensors"] {
        fs::copy(folder.path().join("base").join(file), folder.path().join(file)).unwrap();
    }
    folder
}

#[test]
fn a_call_selects_an_adapter_by_name() {
    let (lora, dora) = (tiny(LORA), tiny("peft-bert-dora-modules-to-save"));
    let base = without_adapter(LORA);
    let plain = npy(&lora.folder.join("expected_without_adapter.npy"));
    let folder = |path: &Path| path.to_str().unwrap().to_owned();
    for way in ways() {
        let options = way.clone().with_adapter("one", folder(&lora.model));
        let model = Model::from_dir_with(base.path(), &options).unwrap();
        assert_eq!(model.tasks(), ["one"]);
        let error = largest_difference(&encode(&model, &lora.texts, None), &plain);
        assert!(error < 1e-5, "by {}: {error:e}", named(&way));
        let error = lora.largest_difference(&encode(&model, &lora.texts, Some("one")));
        assert!(error < 1e-5, "by {}: {error:e}", named(&way));

        // The folder's own adapter is the default, and has a name, too.
        let options = way.clone().with_adapter("other", folder(&lora.model));
        let model = Model::from_dir_with(&dora.model, &options).unwrap();
        assert_eq!(model.tasks(), ["default", "other"]);
        let own = encode(&model, &dora.texts, None);
        assert!(dora.largest_difference(&own) < 1e-5);
        assert!(dora.largest_difference(&encode(&model, &dora.texts, Some("default"))) < 1e-5);
        assert_ne!(encode(&model, &dora.texts, Some("other")), own);
        let error = model.encode(&["x"], &EncodeOptions::default().with_task("third")).unwrap_err().to_string();
        assert!(error.contains("third") && error.contains("other"), "{error}");
    }
}

#[test]
fn names_of_adapters_are_checked() {
    let case = tiny(LORA);
    let path = case.model.to_str().unwrap();
    let with =
        |name: &str, path: &str| Model::from_dir_with(&case.model, &native().with_adapter(name, path)).unwrap_err();
    assert!(matches!(with("default", path), Error::InvalidArgument { argument: "adapters", .. }));
    let plain = tiny("bert-mean-normalize").model;
    let error = with("x", plain.to_str().unwrap());
    assert!(matches!(&error, Error::FileNotFound { path, .. } if path.ends_with(CONFIG)), "{error}");
    let options = native().with_adapter("x", path);
    let reranker = crate::common::data().join("rerank/rerank-bert/model");
    let error = Reranker::from_dir_with(reranker, &options).unwrap_err();
    assert!(matches!(error, Error::InvalidArgument { argument: "adapters", .. }), "{error}");
    let error = Model::from_dir_with(tiny("jina-v3-lora").model, &options).unwrap_err();
    assert!(matches!(error, Error::InvalidArgument { argument: "adapters", .. }), "{error}");
}

#[test]
fn a_saved_model_has_the_adapter_merged() {
    for name in [LORA, "peft-bert-dora-modules-to-save", "peft-qwen3-all-linear", "peft-bert-embedded-base"] {
        let (case, saved) = (tiny(name), tempfile::tempdir().unwrap());
        let path: PathBuf = saved.path().join("model");
        let model = Model::from_dir(&case.model).unwrap();
        model.save(&path).unwrap();
        assert!(!path.join(CONFIG).exists() && !path.join(WEIGHTS).exists());
        let again = Model::from_dir(&path).unwrap();
        assert_eq!(again.tasks(), [""; 0]);
        assert_eq!(encode(&again, &case.texts, None), encode(&model, &case.texts, None), "{name}");
    }
}

#[test]
fn a_bias_of_the_product_is_added_to_the_bases() {
    let case = tiny(LORA);
    let folder = copied(LORA);
    let bias = Tensor::arange(0f32, 32.0, &Device::Cpu).unwrap();
    change_tensors(&folder, |tensors| drop(tensors.insert(query("lora_B.bias"), bias.clone())));
    let with = encode(&Model::from_dir(folder.path()).unwrap(), &case.texts, None);
    // The same sum in the base: alpha / r is 2.
    let folder = copied(LORA);
    let path = folder.path().join("base/model.safetensors");
    let mut tensors = safetensors::load(&path, &Device::Cpu).unwrap();
    let own = tensors.get_mut("encoder.layer.0.attention.self.query.bias").unwrap();
    *own = (&*own + (bias * 2.0).unwrap()).unwrap();
    fs::remove_file(&path).unwrap();
    safetensors::save(&tensors, path).unwrap();
    assert_eq!(encode(&Model::from_dir(folder.path()).unwrap(), &case.texts, None), with);
    assert!(case.largest_difference(&with) > 1e-3);
}

/// Folders of peft alone have no tokenizer and no modules.
#[test]
fn a_folder_with_only_an_adapter_has_the_bases_tokenizer() {
    let case = tiny(LORA);
    let folder = tempfile::tempdir().unwrap();
    for file in [CONFIG, WEIGHTS] {
        fs::copy(case.model.join(file), folder.path().join(file)).unwrap();
    }
    copy(&case.model.join("base"), &folder.path().join("base"));
    let model = Model::from_dir(folder.path()).unwrap();
    let normalized = EncodeOptions::default().with_normalize_embeddings(true);
    let got = model.encode(&case.texts, &normalized).unwrap().into_vec();
    assert!(got.iter().all(|x| x.is_finite()) && got.len() == case.expected.len());
}
