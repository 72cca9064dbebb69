//! Tests of models whose folders name custom code: they load in the forms in which they are published, and saved copies load
//! again.

use std::fs;
use std::path::Path;

use crate::common::{changed, copy, data, json, tiny, tiny_cases, ways};
use rushlight::{
    CallOptions, EncodeOptions, Error, Input, LoadOptions, Model, MultiVectorModel, MultiVectorOptions, PredictOptions,
    Reranker, ScoreActivation, SparseModel, SparseOptions,
};
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

/// Each key with the published code's default, and a value that changes the result or is refused. The spec has the defaults.
#[test]
fn absent_keys_have_the_defaults_of_the_published_code() {
    let keys = [
        ("gte-new-base-en", "rope_theta", json!(10_000), json!(160_000)),
        ("gte-new-plain-rope-longer", "rope_theta", json!(10_000), json!(160_000)),
        ("gte-new-logn-clip", "max_position_embeddings", json!(2048), json!(32)),
        ("gte-new-logn-clip", "logn_attention_clip1", json!(false), json!(true)),
        ("gte-new-logn-clip", "logn_attention_scale", json!(false), json!(true)),
        ("gte-new-base-en", "pack_qkv", json!(true), json!(false)),
        ("gte-new-base-en", "position_embedding_type", json!("rope"), json!("absolute")),
        ("gte-new-base-en", "layer_norm_type", json!("layer_norm"), json!("rms_norm")),
        ("gte-new-base-en", "layer_norm_eps", json!(1e-12), json!(1e-2)),
        ("gte-new-base-en", "hidden_act", json!("gelu"), json!("relu")),
        ("gte-new-multilingual", "type_vocab_size", json!(1), json!(0)),
        ("jina-v2-base-en", "layer_norm_eps", json!(1e-12), json!(1e-2)),
        ("jina-v2-base-en", "type_vocab_size", json!(2), json!(1)),
        ("nomic-v2-moe", "moe_top_k", json!(2), json!(1)),
        ("nomic-v2-moe", "rotary_emb_base", json!(10_000), json!(1000)),
        ("jina-v3-lora", "rotary_emb_base", json!(10_000), json!(20_000)),
        ("jina-v3-lora", "layer_norm_eps", json!(1e-5), json!(1e-2)),
        ("jina-v3-lora", "lora_rank", json!(4), json!(3)),
        ("jina-v3-lora", "lora_alpha", json!(1), json!(2)),
    ];
    for (name, key, default, other) in keys {
        let case = tiny(name);
        let encode = |value: Option<&Value>| -> Result<Vec<f32>, Error> {
            let folder = copied(&case.model);
            edit(&folder.path().join("config.json"), |config| match value {
                Some(value) => config[key] = value.clone(),
                None => drop(config.as_object_mut().unwrap().remove(key)),
            });
            let model = Model::from_dir(folder.path())?;
            let options = EncodeOptions::default().with_task(model.tasks().first().map(String::as_str));
            Ok(model.encode(&case.texts, &options)?.into_vec())
        };
        let by_default = encode(Some(&default)).unwrap();
        assert!(encode(None).unwrap() == by_default, "{name}: {key} is not {default} by default");
        assert!(encode(Some(&other)).ok().is_none_or(|got| got != by_default), "{name}: {key} has no effect");
    }
}

#[test]
fn two_keys_make_decoders_look_both_ways() {
    for name in ["qwen2-causal", "qwen3-lasttoken-normalize"] {
        let case = tiny(name);
        let encode = |key: &str, value: bool| {
            let folder = changed(&case.model, "config.json", |config| config[key] = json!(value));
            encode(folder.path(), &case.texts)
        };
        let both_ways = encode("is_causal", false);
        assert!(encode("use_bidirectional_attention", true) == both_ways, "{name}");
        assert!(encode("use_bidirectional_attention", false) != both_ways, "{name}");
    }
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

/// Adds a tensor to a file of weights, whose own tensors get new names, or go.
fn rewrite(file: &Path, renamed: impl Fn(&str) -> Option<String>, (name, shape, numbers): (&str, &[usize], &[f32])) {
    let bytes = fs::read(file).unwrap();
    let more: Vec<u8> = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let views = tensors.tensors().into_iter().filter_map(|(name, view)| Some((renamed(&name)?, view)));
    let mut views: Vec<_> = views.collect();
    views.push((name.to_owned(), TensorView::new(Dtype::F32, shape.to_vec(), &more).unwrap()));
    fs::write(file, serialize(views, None).unwrap()).unwrap();
}

fn add_tensor(file: &Path, name: &str, shape: &[usize], numbers: &[f32]) {
    rewrite(file, |name| Some(name.to_owned()), (name, shape, numbers));
}

const MARKERS: [&str; 2] = ["[QueryMarker]", "[DocumentMarker]"];
const PROJECTED: usize = 8;

/// Copies jina-v3-lora with markers in its vocabulary, which jina-colbert-v2 has, too.
fn with_markers() -> TempDir {
    let folder = copied(&tiny("jina-v3-lora").model);
    edit(&folder.path().join("tokenizer.json"), |file| {
        for (id, marker) in [416, 417].into_iter().zip(MARKERS) {
            file["model"]["vocab"][id][0] = json!(marker);
            let mut added = file["added_tokens"][0].clone();
            added["id"] = json!(id);
            added["content"] = json!(marker);
            file["added_tokens"].as_array_mut().unwrap().push(added);
        }
    });
    folder
}

/// Makes a folder like jina-colbert-v2's: Jina v3's architecture without adapters, in the layout of Stanford's ColBERT.
fn jina_colbert(projection: &[f32], attends: bool) -> TempDir {
    let folder = with_markers();
    for file in ["modules.json", "config_sentence_transformers.json", "sentence_bert_config.json"] {
        fs::remove_file(folder.path().join(file)).unwrap();
    }
    edit(&folder.path().join("config.json"), |config| {
        config["architectures"] = json!(["HF_ColBERT"]);
        config["auto_map"]["AutoModel"] =
            json!("jinaai/xlm-roberta-flash-implementation--modeling_xlm_roberta.XLMRobertaModel");
        config.as_object_mut().unwrap().retain(|key, _| !key.contains("lora") && key != "task_instructions");
    });
    let plain = |name: &str| match name.split_once(".parametrizations.weight.") {
        Some((owner, "original")) => Some(format!("{owner}.weight")),
        Some(_) => None,
        None => Some(name.to_owned()),
    };
    let width = projection.len() / PROJECTED;
    rewrite(&folder.path().join("model.safetensors"), plain, ("linear.weight", &[PROJECTED, width], projection));
    let settings = json!({
        "query_token_id": MARKERS[0],
        "doc_token_id": MARKERS[1],
        "query_maxlen": 32,
        "doc_maxlen": 60,
        "attend_to_mask_tokens": attends,
        "mask_punctuation": false,
        "dim": PROJECTED,
    });
    fs::write(folder.path().join("artifact.metadata"), settings.to_string()).unwrap();
    folder
}

/// The backbone's token embeddings are the reference's, in its own case; the projection is computed here in float64.
#[test]
fn jinas_colbert_projects_and_normalizes_the_tokens_of_its_backbone() {
    let projection: Vec<f32> = (0..PROJECTED * 32).map(|i| (i * 29 % 63) as f32 / 40.0 - 0.7).collect();
    let [attending, apart] = [true, false].map(|attends| jina_colbert(&projection, attends));
    let (backbone, texts) = (with_markers(), ["a lamp lights", "the room of the small town", "x"]);
    for way in ways() {
        let load = |folder: &TempDir, way: &LoadOptions| MultiVectorModel::from_dir_with(folder.path(), way).unwrap();
        let (attending, apart) = (load(&attending, &way), load(&apart, &way));
        let backbone = Model::from_dir_with(backbone.path(), &way).unwrap();
        let options = MultiVectorOptions::default();
        let queries = apart.encode_query(&texts, &options).unwrap();
        let documents = apart.encode_document(&texts, &options).unwrap();
        for (marker, rows) in MARKERS.into_iter().zip([&queries, &documents]) {
            for (text, rows) in texts.iter().zip(rows) {
                let marked = format!("{marker} {text}");
                let tokens =
                    backbone.encode_tokens(&[Input::Text(&marked)], &EncodeOptions::default()).unwrap().remove(0);
                assert_eq!(Some(tokens.input_ids[1]), backbone.tokenizer().id(marker));
                for (i, token) in tokens.token_embeddings.chunks(32).enumerate() {
                    let product = |row: &[f32]| -> f64 {
                        row.iter().zip(token).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
                    };
                    let right: Vec<f64> = projection.chunks(32).map(product).collect();
                    let norm = right.iter().map(|x| x * x).sum::<f64>().sqrt();
                    for (got, want) in rows.row(i).iter().zip(&right) {
                        assert!((f64::from(*got) - want / norm).abs() < 1e-5, "{marked:?}, token {i}: {got}");
                    }
                }
                let all = if marker == MARKERS[0] { 32 } else { tokens.input_ids.len() };
                assert_eq!(rows.rows(), all, "{marked:?}");
            }
        }
        // Published queries attend to their expansion.
        assert!(attending.encode_query(&texts, &options).unwrap()[0].row(1) != queries[0].row(1));
        assert!(attending.encode_document(&texts, &options).unwrap() == documents);
    }
}

/// A bias makes all weights positive, those of special tokens included.
#[test]
fn special_tokens_have_no_weights_of_words() {
    let folder = copied(&tiny("gte-new-multilingual").model);
    let others = |name: &str| (name != "classifier.bias").then(|| name.to_owned());
    rewrite(&folder.path().join("model.safetensors"), others, ("classifier.bias", &[1], &[100.0]));
    let model = SparseModel::from_dir(folder.path()).unwrap();
    let (text, special) = ("a lamp \u{2603} <pad>", [0, 1, 2, 3]);
    let ids = model.reader(None).tokenize(&[text.into()], &CallOptions::default()).unwrap().remove(0).ids;
    assert!(special.iter().all(|id| ids.contains(id)), "{ids:?}");
    let row = model.encode(&[text], &SparseOptions::default()).unwrap();
    let (indices, _) = row.row(0);
    assert!(!indices.is_empty() && indices.iter().all(|id| !special.contains(&(*id as u32))), "{indices:?}");
}

/// Snowflake's code has heads, but no published model with one.
#[test]
fn heads_of_snowflakes_code_are_refused_by_name() {
    let folder = copied(&tiny("gte-snowflake-m-v2").model);
    let config = folder.path().join("config.json");
    let refused = || {
        let reranker = Reranker::from_dir(folder.path()).map(drop).unwrap_err();
        [reranker, SparseModel::from_dir(folder.path()).map(drop).unwrap_err()]
    };
    let heads = [
        ("AutoModelForSequenceClassification", "GteForSequenceClassification"),
        ("AutoModelForMaskedLM", "GteForMaskedLM"),
    ];
    fs::remove_file(folder.path().join("modules.json")).unwrap();
    for (error, (auto_class, class)) in refused().into_iter().zip(heads) {
        assert!(matches!(error, Error::Unsupported { .. }) && error.to_string().contains(class), "{error}");
        edit(&config, |config| drop(config["auto_map"].as_object_mut().unwrap().remove(auto_class)));
    }
    for (error, (auto_class, _)) in refused().into_iter().zip(heads) {
        assert!(matches!(error, Error::InvalidConfig { .. }) && error.to_string().contains(auto_class), "{error}");
    }
}
