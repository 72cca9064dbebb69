//! Tests of folders that are opened as another kind of model than they were saved as.

use std::fs;
use std::path::{Path, PathBuf};

use rushlight::{
    EncodeOptions, Error, LoadOptions, Matrix, Model, MultiVectorModel, MultiVectorOptions, PredictOptions, Reranker,
    SparseModel,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::{copy, data, json, native, tiny};

const TEXTS: [&str; 3] = ["what is a lamp?", "A lamp, is a light! yes.", ""];

fn converting() -> LoadOptions {
    native().with_convert(true)
}

fn folder(name: &str) -> PathBuf {
    data().join(name).join("model")
}

/// Copies a model's folder without these files.
fn without(from: &Path, files: &[&str]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    copy(from, folder.path());
    files.iter().for_each(|file| fs::remove_file(folder.path().join(file)).unwrap());
    folder
}

/// Copies a model's folder, and writes another list of modules and another `model_type`.
fn retyped(from: &Path, model_type: Value, modules: &[(&str, &str)]) -> TempDir {
    let folder = without(from, &[]);
    let entry = |(path, class): &(&str, &str)| json!({ "idx": 0, "name": path, "path": path, "type": class });
    let listed: Vec<_> = modules.iter().map(entry).collect();
    fs::write(folder.path().join("modules.json"), json!(listed).to_string()).unwrap();
    let path = folder.path().join("config_sentence_transformers.json");
    let mut settings: Value = if path.exists() { json(&path) } else { json!({}) };
    settings["model_type"] = model_type;
    fs::write(path, settings.to_string()).unwrap();
    folder
}

fn pooled(model: &Model) -> Vec<f32> {
    model.encode(&TEXTS, &EncodeOptions::default()).unwrap().into_vec()
}

fn tokens(model: &MultiVectorModel) -> Vec<f32> {
    let options = MultiVectorOptions::default();
    let queries = model.encode_query(&TEXTS, &options).unwrap();
    let documents = model.encode_document(&TEXTS, &options).unwrap();
    queries.into_iter().chain(documents).flat_map(Matrix::into_vec).collect()
}

/// The transformer of a folder of another kind is pooled as one without a list of modules: its prompts and its length
/// don't count either.
#[test]
fn other_kinds_become_sentence_models_by_their_transformers() {
    for (name, from) in [
        ("rerank/rerank-bert", "CrossEncoder"),
        ("rerank/rerank-qwen3-causal", "CrossEncoder"),
        ("rerank/rerank-modernbert-five-modules", "CrossEncoder"),
        ("sparse/splade-bert-max", "SparseEncoder"),
        ("sparse/csr-bert", "SparseEncoder"),
        ("multi_vector/multivector-native-bert", "MultiVectorEncoder"),
        ("multi_vector/multivector-pylate-bert", "ColBERT"),
    ] {
        let model = Model::from_dir_with(folder(name), &converting()).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(model.converted_from(), Some(from), "{name}");
        let plain = without(&folder(name), &["modules.json", "config_sentence_transformers.json"]);
        let plain = Model::from_dir_with(plain.path(), &native()).unwrap();
        assert_eq!(plain.converted_from(), None);
        assert_eq!(pooled(&model), pooled(&plain), "{name}");
        assert_eq!((model.prompts(), model.max_seq_length()), (plain.prompts(), plain.max_seq_length()), "{name}");
        // A saved folder is one of the new kind.
        let saved = tempfile::tempdir().unwrap();
        model.save(saved.path()).unwrap();
        assert_eq!(pooled(&Model::from_dir_with(saved.path(), &native()).unwrap()), pooled(&plain), "{name} saved");
        let error = Model::from_dir(folder(name)).unwrap_err();
        assert!(
            matches!(error, Error::Unsupported { .. }) && error.to_string().contains("this folder is for"),
            "{error}"
        );
    }
}

/// Dense modules project each token, whatever input their files name. Pooling and Normalize do nothing.
#[test]
fn sentence_models_with_dense_modules_become_multi_vector_models() {
    for name in ["bert-cls-dense-normalize", "bert-dense-tanh", "gemma3-mean-dense2-normalize"] {
        let source = tiny(name).model;
        let model = MultiVectorModel::from_dir_with(&source, &converting()).unwrap();
        assert_eq!(model.converted_from(), Some("SentenceTransformer"), "{name}");
        let model_of_sentences = Model::from_dir_with(&source, &native()).unwrap();
        assert_eq!(model.prompts(), model_of_sentences.prompts(), "{name}");
        let listed: Vec<Value> = serde_json::from_value(json(&source.join("modules.json"))).unwrap();
        let modules: Vec<_> =
            listed.iter().map(|entry| (entry["path"].as_str().unwrap(), entry["type"].as_str().unwrap())).collect();
        let kept: Vec<_> = modules
            .clone()
            .into_iter()
            .filter(|(_, class)| class.ends_with("Transformer") || class.ends_with("Dense"))
            .collect();
        let plain = retyped(&source, Value::Null, &kept);
        for (path, _) in kept.iter().filter(|(_, class)| class.ends_with("Dense")) {
            let file = plain.path().join(path).join("config.json");
            let mut config: Value = json(&file);
            config.as_object_mut().unwrap().retain(|key, _| !key.starts_with("module_"));
            fs::write(file, config.to_string()).unwrap();
        }
        let expected = tokens(&MultiVectorModel::from_dir_with(plain.path(), &native()).unwrap());
        assert_eq!(tokens(&model), expected, "{name}");
        let untyped = retyped(&source, Value::Null, &modules);
        assert_eq!(
            tokens(&MultiVectorModel::from_dir_with(untyped.path(), &converting()).unwrap()),
            expected,
            "{name}"
        );
        assert!(MultiVectorModel::from_dir(untyped.path()).is_err());
        let saved = tempfile::tempdir().unwrap();
        model.save(saved.path()).unwrap();
        assert_eq!(tokens(&MultiVectorModel::from_dir(saved.path()).unwrap()), expected, "{name} saved");
    }
}

/// A causal language model reranks by its logits; other heads need weights that the folder has.
#[test]
fn folders_with_the_weights_become_other_kinds() {
    let options = PredictOptions::default();
    let scores = |model: &Reranker| model.predict(&[("a", "b"), ("c", "a lamp")], &options).unwrap();
    let causal = folder("rerank/rerank-qwen3-causal");
    let transformer = ("", "sentence_transformers.models.Transformer");
    let model_of_sentences = retyped(
        &causal,
        json!("SentenceTransformer"),
        &[transformer, ("1_Pooling", "sentence_transformers.models.Pooling")],
    );
    let model = Reranker::from_dir_with(model_of_sentences.path(), &converting()).unwrap();
    let plain = without(&causal, &["modules.json", "config_sentence_transformers.json"]);
    assert_eq!(scores(&model), scores(&Reranker::from_dir_with(plain.path(), &native()).unwrap()));

    let splade = folder("sparse/splade-bert-max");
    let model = retyped(&splade, json!("MultiVectorEncoder"), &[transformer]);
    let model = SparseModel::from_dir_with(model.path(), &converting()).unwrap();
    assert_eq!(model.converted_from(), Some("MultiVectorEncoder"));
    let plain = without(&splade, &["modules.json", "config_sentence_transformers.json"]);
    let plain = SparseModel::from_dir_with(plain.path(), &native()).unwrap();
    let [converted, expected] = [model, plain].map(|model| model.encode(&TEXTS, &Default::default()).unwrap());
    assert_eq!(converted, expected);
}

#[test]
fn a_conversion_that_needs_random_weights_is_refused() {
    let bert = tiny("bert-mean-normalize").model;
    let masked = retyped(&bert, json!("MultiVectorEncoder"), &[("", "sentence_transformers.models.Transformer")]);
    let mut config: Value = json(&masked.path().join("config.json"));
    config["architectures"] = json!(["BertForMaskedLM"]);
    fs::write(masked.path().join("config.json"), config.to_string()).unwrap();
    let refused = [
        Reranker::from_dir_with(&bert, &converting()).map(drop),
        SparseModel::from_dir_with(&bert, &converting()).map(drop),
        MultiVectorModel::from_dir_with(&bert, &converting()).map(drop),
        SparseModel::from_dir_with(masked.path(), &converting()).map(drop),
        SparseModel::from_dir_with(folder("rerank/rerank-bert"), &converting()).map(drop),
        MultiVectorModel::from_dir_with(folder("rerank/rerank-bert"), &converting()).map(drop),
        Reranker::from_dir_with(folder("sparse/splade-bert-max"), &converting()).map(drop),
        MultiVectorModel::from_dir_with(folder("sparse/splade-bert-max"), &converting()).map(drop),
        Reranker::from_dir_with(folder("multi_vector/multivector-native-bert"), &converting()).map(drop),
        SparseModel::from_dir_with(folder("multi_vector/multivector-native-bert"), &converting()).map(drop),
    ];
    for (i, refused) in refused.into_iter().enumerate() {
        let error = refused.unwrap_err();
        assert!(matches!(error, Error::Unsupported { .. }), "{i}: {error}");
    }
    // A Router's folder has no transformer of its own.
    let router = folder("sparse/splade-router-static-query");
    assert!(matches!(Model::from_dir_with(router, &converting()).unwrap_err(), Error::FileNotFound { .. }));
}

/// A folder of the same kind is loaded as without the option.
#[test]
fn nothing_is_converted_where_the_kind_is_right() {
    let source = tiny("bert-cls-normalize-prompts").model;
    let [model, plain] = [converting(), native()].map(|options| Model::from_dir_with(&source, &options).unwrap());
    assert_eq!(model.converted_from(), None);
    assert_eq!((pooled(&model), model.prompts()), (pooled(&plain), plain.prompts()));
}
