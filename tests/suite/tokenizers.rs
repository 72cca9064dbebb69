//! Tests of tokenizers in whole models: their classes, files taken as they are, and texts without tokens.

use std::path::Path;

use crate::common::tiny;
use rushlight::{EncodeOptions, Error, LoadOptions, Model};
use serde_json::{Value, json};

fn encode(model: &Model, texts: &[&str]) -> rushlight::Result<Vec<f32>> {
    Ok(model.encode(texts, &EncodeOptions::default())?.into_vec())
}

/// Copies a case's model and changes keys of one of its JSON files.
fn changed(case: &str, file: &str, changes: &Value) -> tempfile::TempDir {
    crate::common::changed(&tiny(case).model, file, |config| {
        config.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    })
}

fn load(folder: &Path, as_filed: bool) -> Model {
    Model::from_dir_with(folder, &LoadOptions::default().with_tokenizer_as_filed(as_filed)).unwrap()
}

#[test]
fn a_file_is_taken_as_it_is_if_asked() {
    let lowercasing = json!({ "tokenizer_class": "BertTokenizer", "do_lower_case": true });
    let folder = changed("bert-cased-max", "tokenizer_config.json", &lowercasing);
    let (by_class, as_filed) = (load(folder.path(), false), load(folder.path(), true));
    let difference = by_class.tokenizer().difference().unwrap();
    assert_eq!((difference.class, as_filed.tokenizer().difference()), ("BertTokenizer", None));
    let cased = load(&tiny("bert-cased-max").model, false);
    assert_eq!(cased.tokenizer().difference(), None);
    let texts = ["The Weather", "UPPER CASE"];
    assert_eq!(encode(&as_filed, &texts).unwrap(), encode(&cased, &texts).unwrap());
    assert_ne!(encode(&by_class, &texts).unwrap(), encode(&cased, &texts).unwrap());
}

#[test]
fn a_text_without_tokens_is_named() {
    for case in ["bert-tokenizer-gpt2", "bert-tokenizer-gptneox"] {
        let model = load(&tiny(case).model, false);
        match encode(&model, &["a text", "", "another"]) {
            Err(Error::InvalidInput { index: 1, problem }) => assert!(problem.contains("no tokens"), "{problem}"),
            other => panic!("{case}: {other:?}"),
        }
    }
}

#[test]
fn texts_of_a_model_with_other_modalities_are_embedded() {
    let way = json!({ "method": "forward", "method_output_name": "last_hidden_state" });
    let ways = json!({ "modality_config": { "text": way, "image": way, "audio": way } });
    let folder = changed("embeddinggemma2-composite-text-only", "sentence_bert_config.json", &ways);
    let case = tiny("embeddinggemma2-composite-text-only");
    let embeddings = encode(&load(folder.path(), false), &[&case.texts[0]]).unwrap();
    let first = embeddings.iter().zip(&case.expected);
    assert!(first.clone().count() > 8 && first.into_iter().all(|(x, y)| (f64::from(*x) - y).abs() < 1e-5));
}
