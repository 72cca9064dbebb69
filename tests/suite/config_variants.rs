//! Tests of folders with one changed value: each gives the result of sentence-transformers, or an error that names the
//! key.
//!
//! `data/config_variants.json` has the outcomes of sentence-transformers 6.2 with transformers 5.24, by model, file and
//! key: a list of `[outcome, value]`, or `[outcome]` for a removed key.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::common::{copy, data, json};
use rushlight::{
    EncodeOptions, Error, Matrix, Model, MultiVectorModel, MultiVectorOptions, PredictOptions, Reranker, SparseModel,
    SparseOptions,
};
use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Outcome of the reference for a changed folder, compared with the unchanged one.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    /// The reference gives the same numbers.
    Same,
    /// The reference gives other numbers.
    Other,
    /// The reference raises an error.
    Error,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Change {
    Set(Outcome, Value),
    TakeAway((Outcome,)),
}

/// Changes by model, file and key.
type Table = BTreeMap<String, BTreeMap<String, BTreeMap<String, Vec<Change>>>>;

/// Deliberate deviations from the reference: model, file, key, values (`-` is an absent key), and reason.
const EXCEPTIONS: [(&str, &str, &str, &str, &str); 8] = [
    ("hub-config-modernbert", "config.json", "global_rope_theta", "0", NOT_FINITE),
    ("hub-config-modernbert", "config.json", "local_rope_theta", "0", NOT_FINITE),
    ("rerank-electra", "tokenizer_config.json", "cls_token", "null", FIXED_IDS),
    ("rerank-electra", "tokenizer_config.json", "sep_token", "null", FIXED_IDS),
    ("rerank-electra", "tokenizer_config.json", "unk_token", "null", NO_UNKNOWN_WORDS),
    ("camembert-mean", "tokenizer_config.json", "model_max_length", "null -", BEYOND_POSITIONS),
    ("rerank-roberta", "tokenizer_config.json", "model_max_length", "null -", BEYOND_POSITIONS),
    ("xlm-roberta-mean", "tokenizer_config.json", "model_max_length", "null", BEYOND_POSITIONS),
];
const NOT_FINITE: &str = "all numbers are NaN in the reference, which counts as no difference";
const FIXED_IDS: &str = "transformers puts ids 2 and 3 around every text, whatever tokens they are in the vocabulary";
const NO_UNKNOWN_WORDS: &str = "in transformers every text with an unknown word fails; the texts have none";
const BEYOND_POSITIONS: &str = "the reference fails at tokens without a position; texts are cut before them";

/// Tolerance of equal numbers. A halved eps changes them by 2e-6; other numbers differ by at least 6e-6.
const TOLERANCE: f32 = 3e-6;

/// Returns the texts. The last has more tokens than the limit of typical models, and ends with white space.
fn texts() -> [String; 4] {
    ["The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium.", &"embedding ".repeat(20)]
        .map(str::to_owned)
}

/// Returns a folder's numbers: embeddings, scores of pairs, or embeddings as queries and as documents.
fn numbers(kind: &str, folder: &Path) -> Result<Vec<f32>, Error> {
    let texts = texts();
    Ok(match kind {
        "rerank" => {
            let pairs = [(&texts[0], &texts[1]), (&texts[2], &texts[3])];
            Reranker::from_dir(folder)?.predict(&pairs, &PredictOptions::default())?.into_vec()
        }
        "sparse" => {
            let (model, options) = (SparseModel::from_dir(folder)?, SparseOptions::default());
            let embeddings = [model.encode_query(&texts, &options)?, model.encode_document(&texts, &options)?];
            embeddings.iter().flat_map(|embeddings| embeddings.to_dense().unwrap().into_vec()).collect()
        }
        "multi_vector" => {
            let (model, options) = (MultiVectorModel::from_dir(folder)?, MultiVectorOptions::default());
            let embeddings = [model.encode_query(&texts, &options)?, model.encode_document(&texts, &options)?];
            embeddings.into_iter().flatten().flat_map(Matrix::into_vec).collect()
        }
        _ => Model::from_dir(folder)?.encode(&texts, &EncodeOptions::default())?.into_vec(),
    })
}

fn alike(a: &[f32], b: &[f32]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= TOLERANCE)
}

/// Returns a small model's kind and folder.
fn model(name: &str) -> (&'static str, PathBuf) {
    let kinds = ["tiny", "rerank", "sparse", "multi_vector"];
    let found = kinds.into_iter().map(|kind| (kind, data().join(kind).join(name).join("model")));
    found.into_iter().find(|(_, folder)| folder.exists()).unwrap_or_else(|| panic!("no model {name}"))
}

/// Copy of a small model, to change.
struct Changed {
    kind: &'static str,
    folder: TempDir,
}

impl Changed {
    fn of(name: &str) -> Self {
        let (kind, from) = model(name);
        let folder = tempfile::tempdir().unwrap();
        copy(&from, folder.path());
        Self { kind, folder }
    }

    fn file(&self, file: &str, change: impl FnOnce(&mut Value)) {
        let path = self.folder.path().join(file);
        let mut value = if path.exists() { json(&path) } else { json!({}) };
        change(&mut value);
        fs::write(path, value.to_string()).unwrap();
    }

    fn set(self, file: &str, key: &str, value: Value) -> Self {
        self.file(file, |config| config[key] = value);
        self
    }

    fn without(self, file: &str, key: &str) -> Self {
        self.file(file, |config| drop(config.as_object_mut().unwrap().remove(key)));
        self
    }

    fn try_numbers(&self) -> Result<Vec<f32>, Error> {
        numbers(self.kind, self.folder.path())
    }

    fn numbers(&self) -> Vec<f32> {
        self.try_numbers().unwrap()
    }

    /// Checks that the folder doesn't load, and that the message contains all these words.
    #[track_caller]
    fn fails(&self, words: &[&str]) {
        let message = self.try_numbers().expect_err("it must not load").to_string();
        assert!(words.iter().all(|word| message.contains(word)), "{words:?}: {message}");
    }
}

/// Returns the problem with a change's result, if any.
fn verdict(wanted: Outcome, unchanged: &[f32], got: &Result<Vec<f32>, Error>, folder: &Path) -> Option<String> {
    match (wanted, got) {
        (Outcome::Same, Err(error)) => Some(format!("must load: {error}")),
        (Outcome::Same, Ok(got)) => (!alike(got, unchanged)).then(|| "gives other numbers".to_owned()),
        (Outcome::Other, Ok(got)) => alike(got, unchanged).then(|| "must give other numbers".to_owned()),
        (Outcome::Error, Ok(got)) => (!alike(got, unchanged)).then(|| "must fail, gives other numbers".to_owned()),
        (Outcome::Other | Outcome::Error, Err(error)) => {
            let named = error.to_string().contains(&*folder.to_string_lossy());
            (!named).then(|| format!("must name a file of the folder: {error}"))
        }
    }
}

#[test]
fn every_change_has_the_references_outcome() {
    let table: Table = json(&data().join("config_variants.json"));
    let (mut wrong, mut excepted) = (Vec::new(), 0);
    for (name, files) in &table {
        let changed = Changed::of(name);
        let unchanged = changed.numbers();
        for (file, keys) in files {
            let path = changed.folder.path().join(file);
            let filed = fs::read(&path).unwrap();
            for (key, change) in keys.iter().flat_map(|(key, changes)| changes.iter().map(move |change| (key, change)))
            {
                let mut config: Value = serde_json::from_slice(&filed).unwrap();
                let (wanted, value) = match change {
                    Change::Set(wanted, value) => {
                        config[key] = value.clone();
                        (*wanted, value.to_string())
                    }
                    Change::TakeAway((wanted,)) => {
                        config.as_object_mut().unwrap().remove(key);
                        (*wanted, "-".to_owned())
                    }
                };
                fs::write(&path, config.to_string()).unwrap();
                let wrongly = verdict(wanted, &unchanged, &changed.try_numbers(), changed.folder.path());
                let is_exception = EXCEPTIONS.iter().any(|(model, of, which, values, _)| {
                    (model, of, which) == (&&**name, &&**file, &&**key) && values.split(' ').any(|one| one == value)
                });
                match wrongly {
                    Some(_) if is_exception => excepted += 1,
                    None if is_exception => wrong.push(format!("{name}/{file}: {key} {value} is no exception")),
                    Some(wrongly) => wrong.push(format!("{name}/{file}: {key} {value} {wrongly}")),
                    None => {}
                }
            }
            fs::write(&path, filed).unwrap();
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    let listed: usize = EXCEPTIONS.iter().map(|(.., values, _)| values.split(' ').count()).sum();
    assert_eq!(excepted, listed, "an exception is of no row");
}

#[test]
fn pooling_reads_flags_as_python_does() {
    const LEGACY: &str = "legacy-bert-mean-normalize";
    const POOLING: &str = "1_Pooling/config.json";
    let flag = |value: Value| Changed::of(LEGACY).set(POOLING, "pooling_mode_max_tokens", value).numbers();
    let [on, off] = [true, false].map(|value| flag(value.into()));
    assert_ne!(on.len(), off.len());
    for (value, right) in [(json!("false"), &on), (json!(1), &on), (json!(null), &off), (json!(0), &off)] {
        assert!(flag(value.clone()) == *right, "{value}");
    }
    let prompt = |value: Value| Changed::of("bert-prompt-excluded").set(POOLING, "include_prompt", value).numbers();
    let [included, excluded] = [true, false].map(|value| prompt(value.into()));
    assert!(!alike(&included, &excluded));
    for (value, right) in [(json!("false"), &included), (json!(null), &excluded), (json!(0), &excluded)] {
        assert!(prompt(value.clone()) == *right, "{value}");
    }
    // The flags have no effect beside the newer key.
    let both = Changed::of(LEGACY).set(POOLING, "pooling_mode", json!("mean")).set(
        POOLING,
        "pooling_mode_cls_token",
        json!(true),
    );
    assert!(both.numbers() == off);
    Changed::of(LEGACY).set(POOLING, "pooling_mode", json!(null)).fails(&[POOLING, "pooling_mode", "null"]);
}

#[test]
fn both_names_of_a_width_may_be_present() {
    for (name, file) in [
        ("bert-mean-normalize", "1_Pooling/config.json"),
        ("bert-weighted-layers", "1_WeightedLayerPooling/config.json"),
        ("bert-weighted-layers", "2_Pooling/config.json"),
        ("splade-bert-max", "1_SpladePooling/config.json"),
    ] {
        let right = Changed::of(name).numbers();
        let named = |newer: Value, older: Value| {
            Changed::of(name).set(file, "embedding_dimension", newer).set(file, "word_embedding_dimension", older)
        };
        for (newer, older) in [(json!(32), json!(32)), (json!(32), json!(null)), (json!("32"), json!(7.5))] {
            assert!(named(newer.clone(), older.clone()).numbers() == right, "{name} {file}: {newer} {older}");
        }
        let neither = named(json!(32), json!(32)).without(file, "embedding_dimension");
        let neither = neither.without(file, "word_embedding_dimension");
        match file {
            "1_SpladePooling/config.json" => assert!(neither.numbers() == right),
            _ => neither.fails(&[file, "embedding_dimension", "missing"]),
        }
    }
}

#[test]
fn keys_that_the_reference_refuses_are_refused() {
    for (name, file) in [
        ("bert-mean-normalize", "1_Pooling/config.json"),
        ("bert-layernorm", "2_LayerNorm/config.json"),
        ("bert-weighted-layers", "1_WeightedLayerPooling/config.json"),
        ("splade-bert-max", "1_SpladePooling/config.json"),
        ("splade-router-static-query", "query_0_SparseStaticEmbedding/config.json"),
        ("multivector-native-bert", "2_MultiVectorMask/config.json"),
    ] {
        Changed::of(name).set(file, "unheard", json!(1)).fails(&[file, "unheard"]);
    }
}

#[test]
fn do_lower_case_is_read_as_python_does() {
    let lower = |value: Value| Changed::of("bert-cased-max").set("sentence_bert_config.json", "do_lower_case", value);
    let [on, off] = [true, false].map(|value| lower(value.into()).numbers());
    assert!(!alike(&on, &off));
    for (value, right) in [(json!("false"), &on), (json!(1), &on), (json!(null), &off), (json!(0), &off)] {
        assert!(lower(value.clone()).numbers() == *right, "{value}");
    }
}

#[test]
fn the_tokenizers_length_is_the_last_resort() {
    const TOKENIZER: &str = "tokenizer_config.json";
    const SENTENCES: &str = "sentence_bert_config.json";
    const NAME: &str = "bert-mean-normalize";
    let said = |length: Value| Changed::of(NAME).set(SENTENCES, "max_seq_length", length);
    let right = said(json!(20)).numbers();
    assert!(!alike(&right, &said(json!(30)).numbers()));
    assert!(said(json!(20.0)).numbers() == right);
    for length in [json!(-1), json!("many"), json!(64.5), json!(1e9), json!([])] {
        assert!(said(json!(20)).set(TOKENIZER, "model_max_length", length.clone()).numbers() == right, "{length}");
    }
    let only = |length: Value| Changed::of(NAME).set(TOKENIZER, "model_max_length", length);
    assert!(only(json!(20)).numbers() == right);
    assert!(only(json!(20.0)).numbers() == right);
    // The limit equals the number of positions.
    assert!(only(json!(1e9)).numbers() == only(json!(null)).numbers());
    for length in [json!(-1), json!("20"), json!(20.5), json!(0)] {
        only(length).fails(&[TOKENIZER, "model_max_length"]);
    }
    for length in [json!(-1), json!("20"), json!(20.5), json!(0)] {
        said(length).fails(&[SENTENCES, "max_seq_length"]);
    }
}

#[test]
fn settings_of_decoding_refuse_no_model() {
    let right = Changed::of("bert-mean-normalize").numbers();
    for value in [json!(null), json!(1), json!("no")] {
        let decoded = Changed::of("bert-mean-normalize").set(
            "tokenizer_config.json",
            "clean_up_tokenization_spaces",
            value.clone(),
        );
        assert!(decoded.numbers() == right, "{value}");
    }
}

#[test]
fn an_unused_padding_id_may_be_invalid() {
    let padded = |name: &str, value: Value| Changed::of(name).set("config.json", "pad_token_id", value);
    for name in ["bert-mean-normalize", "distilbert-dense-tanh", "mpnet-mean-normalize", "rerank-qwen3"] {
        assert!(padded(name, json!(-1)).numbers() == Changed::of(name).numbers(), "{name}");
    }
    for value in [json!(-1), json!(null), json!(1.0)] {
        padded("roberta-mean-normalize", value).fails(&["config.json", "pad_token_id"]);
    }
    let absent = Changed::of("roberta-mean-normalize").without("config.json", "pad_token_id");
    assert!(absent.numbers() == Changed::of("roberta-mean-normalize").numbers());
}

#[test]
fn a_period_of_layers_is_needed_only_where_they_are_not_listed() {
    for (name, key) in
        [("modernbert-mean", "global_attn_every_n_layers"), ("gemma3-mean-dense2-normalize", "sliding_window_pattern")]
    {
        let right = Changed::of(name).numbers();
        let by = |value: Value| Changed::of(name).set("config.json", key, value);
        assert!(by(json!(null)).numbers() == right && by(json!(0)).numbers() == right, "{name}");
        let unlisted = |value: Value| by(value).without("config.json", "layer_types");
        assert!(unlisted(json!(3.0)).numbers() == unlisted(json!(3)).numbers(), "{name}");
        for value in [json!(null), json!(0), json!("3"), json!(1.5)] {
            unlisted(value).fails(&["config.json", key]);
        }
    }
}

#[test]
fn heads_have_the_defaults_of_their_family() {
    let absent = Changed::of("splade-albert").without("config.json", "hidden_act");
    assert!(absent.numbers() == Changed::of("splade-albert").numbers());
}

#[test]
fn integers_are_no_eps() {
    for (name, key) in [
        ("bert-mean-normalize", "layer_norm_eps"),
        ("modernbert-mean", "norm_eps"),
        ("qwen3-lasttoken-normalize", "rms_norm_eps"),
        ("t5-mean-dense-normalize", "layer_norm_epsilon"),
    ] {
        Changed::of(name).set("config.json", key, json!(0)).fails(&["config.json", key, "float"]);
    }
}

const NATIVE: &str = "multivector-native-bert";
const NORMALIZE: &str = "3_Normalize/config.json";

#[test]
fn a_normalize_of_sentences_leaves_tokens_as_they_are() {
    let listed = Changed::of(NATIVE);
    listed.file("modules.json", |modules| drop(modules.as_array_mut().unwrap().remove(3)));
    let right = listed.numbers();
    assert!(!alike(&right, &Changed::of(NATIVE).numbers()));
    let unnamed = Changed::of(NATIVE).without(NORMALIZE, "module_input_name");
    let named = Changed::of(NATIVE).set(NORMALIZE, "module_input_name", json!("sentence_embedding"));
    let absent = Changed::of(NATIVE);
    fs::remove_file(absent.folder.path().join(NORMALIZE)).unwrap();
    for idle in [unnamed, named, absent] {
        assert!(idle.numbers() == right);
        // The saved folder must not normalize, either.
        let saved = tempfile::tempdir().unwrap();
        let saved = saved.path().join("saved");
        MultiVectorModel::from_dir(idle.folder.path()).unwrap().save(&saved).unwrap();
        assert!(numbers("multi_vector", &saved).unwrap() == right);
    }
    Changed::of(NATIVE).set(NORMALIZE, "module_input_name", json!("")).fails(&[NORMALIZE, "module_input_name"]);
}

#[test]
fn a_layer_norm_of_sentences_is_refused_for_tokens() {
    let changed = Changed::of(NATIVE);
    changed.file("modules.json", |modules| modules[3]["type"] = json!("sentence_transformers.models.LayerNorm"));
    fs::write(changed.folder.path().join(NORMALIZE), json!({ "dimension": 16 }).to_string()).unwrap();
    changed.fails(&[NORMALIZE, "module_input_name", "sentence_embedding", "token_embeddings"]);
}

#[test]
fn pylates_switches_are_read_as_the_reference_does() {
    const PYLATE: &str = "multivector-pylate-bert";
    const SETTINGS: &str = "config_sentence_transformers.json";
    let set = |key: &str, value: Value| Changed::of(PYLATE).set(SETTINGS, key, value).numbers();
    let right = Changed::of(PYLATE).numbers();
    for value in [json!(null), json!(0), json!(true), json!("no")] {
        assert!(set("do_query_expansion", value.clone()) == right, "{value}");
    }
    assert!(!alike(&set("do_query_expansion", json!(false)), &right));
    let attending = set("attend_to_expansion_tokens", json!(true));
    assert!(!alike(&attending, &right));
    assert!(set("attend_to_expansion_tokens", json!("false")) == attending);
    assert!(set("attend_to_expansion_tokens", json!(0)) == right);
    // Stanford's name of the key, used if PyLate's is absent.
    let older = Changed::of(PYLATE).without(SETTINGS, "attend_to_expansion_tokens");
    assert!(older.set(SETTINGS, "attend_to_mask_tokens", json!(true)).numbers() == attending);
}

#[test]
fn stanfords_defaults_hold_for_what_is_false() {
    const STANFORD: &str = "multivector-stanford-bert";
    const METADATA: &str = "artifact.metadata";
    let right = Changed::of(STANFORD).without(METADATA, "query_maxlen").without(METADATA, "query_token_id");
    let right = right.without(METADATA, "doc_token_id").without(METADATA, "attend_to_mask_tokens").numbers();
    let null =
        Changed::of(STANFORD).set(METADATA, "query_maxlen", json!(null)).set(METADATA, "query_token_id", json!(null));
    let null = null.set(METADATA, "doc_token_id", json!("")).set(METADATA, "attend_to_mask_tokens", json!(0));
    assert!(null.numbers() == right);
    let kept = Changed::of(STANFORD).set(METADATA, "mask_punctuation", json!(false)).numbers();
    assert!(Changed::of(STANFORD).set(METADATA, "mask_punctuation", json!(null)).numbers() == kept);
}

#[test]
fn a_dense_layer_has_the_bias_that_python_gives_it() {
    const GEMMA: &str = "gemma3-mean-dense2-normalize";
    const DENSE: &str = "2_Dense/config.json";
    let right = Changed::of(GEMMA).numbers();
    for value in [json!(null), json!(0), json!("")] {
        assert!(Changed::of(GEMMA).set(DENSE, "bias", value.clone()).numbers() == right, "{value}");
    }
    Changed::of(GEMMA).set(DENSE, "bias", json!("false")).fails(&["linear.bias"]);
    Changed::of(GEMMA).set(DENSE, "activation_function", json!(null)).fails(&[DENSE, "activation_function", "null"]);
}
