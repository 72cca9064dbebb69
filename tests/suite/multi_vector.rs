//! Tests of late-interaction models: the numbers of sentence-transformers' MultiVectorEncoder, and the behaviour of
//! `MultiVectorModel`.

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::{copy, folders, json, largest_difference, named, native, npy, tiny, ways};
use rushlight::{
    CallOptions, Error, LoadOptions, Matrix, Model, MultiVectorModel, MultiVectorOptions, MultiVectorSimilarity,
    Observer, PredictOptions, Reranker, SparseModel, SparseOptions, Truncation, process,
};
use serde_json::{Value, json};

const CASES: [&str; 4] =
    ["multivector-native-bert", "multivector-pylate-attend", "multivector-pylate-bert", "multivector-stanford-bert"];

fn case(name: &str) -> PathBuf {
    crate::common::data().join("multi_vector").join(name)
}

fn load(folder: &Path, way: &LoadOptions) -> MultiVectorModel {
    MultiVectorModel::from_dir_with(folder.join("model"), way).unwrap_or_else(|error| panic!("{error}"))
}

fn model(name: &str) -> MultiVectorModel {
    load(&case(name), &native())
}

fn plain() -> MultiVectorOptions<'static> {
    MultiVectorOptions::default()
}

fn encode(model: &MultiVectorModel, kind: &str, texts: &[impl AsRef<str>]) -> Vec<Matrix> {
    match kind {
        "query" => model.encode_query(texts, &plain()).unwrap(),
        _ => model.encode_document(texts, &plain()).unwrap(),
    }
}

#[test]
fn vectors_and_scores_are_the_references() {
    for folder in folders("multi_vector") {
        let texts: Vec<String> = json(&folder.join("texts.json"));
        let name = folder.file_name().unwrap().to_string_lossy();
        for way in ways() {
            let (model, by) = (load(&folder, &way), named(&way));
            for kind in ["query", "document"] {
                let lengths: Vec<usize> = json(&folder.join(format!("{kind}_lengths.json")));
                let expected = npy(&folder.join(format!("{kind}_values64.npy")));
                let got = encode(&model, kind, &texts);
                assert_eq!(got.iter().map(Matrix::rows).collect::<Vec<_>>(), lengths, "{name} {kind}");
                let got: Vec<f32> = got.into_iter().flat_map(Matrix::into_vec).collect();
                let error = largest_difference(&got, &expected);
                println!("{name:28} {kind:8} {by} {error:8.1e}");
                assert!(error <= 1e-5, "{name} {kind} by {by}: {error:e}");
            }
            let (queries, documents) = (encode(&model, "query", &texts[..12]), encode(&model, "document", &texts));
            let scores = model.similarity(&queries, &documents).unwrap();
            let expected = npy(&folder.join("maxsim.npy"));
            assert!(largest_difference(scores.as_slice(), &expected) <= 1e-5 * 32.0, "{name}");
            let pairs = model.similarity_pairwise(&queries, &documents[..12]).unwrap();
            assert!((0..12).all(|i| pairs[i] == scores.row(i)[i]), "{name}");
        }
    }
}

#[test]
fn the_same_text_gives_the_same_bits() {
    let before = process::num_threads().unwrap();
    for folder in folders("multi_vector") {
        let texts: Vec<String> = json(&folder.join("texts.json"));
        let model = load(&folder, &native());
        for kind in ["query", "document"] {
            let all = encode(&model, kind, &texts);
            for threads in [1, 2, 4] {
                process::set_num_threads(threads).unwrap();
                assert!(encode(&model, kind, &texts) == all, "{kind} with {threads} threads");
                let reversed: Vec<_> = texts.iter().rev().collect();
                assert!(encode(&model, kind, &reversed).iter().rev().eq(&all), "{kind} reversed");
            }
            process::set_num_threads(before).unwrap();
            for (text, vectors) in texts.iter().zip(&all) {
                assert!(encode(&model, kind, &[text])[0] == *vectors, "{kind} {text:?} alone");
            }
        }
    }
}

#[test]
fn documents_are_ranked_by_their_scores() {
    let mut model = model("multivector-pylate-bert");
    let documents = ["a document", "one more", "a document", "last"];
    let ranked = model.rank("a query", &documents, &plain()).unwrap();
    let scores = |model: &MultiVectorModel| {
        model.similarity(&encode(model, "query", &["a query"]), &encode(model, "document", &documents)).unwrap()
    };
    let sums = scores(&model);
    assert!(ranked.windows(2).all(|pair| pair[0].score >= pair[1].score));
    assert!(ranked.iter().all(|document| sums.row(0)[document.index] == document.score));
    let place = |index| ranked.iter().position(|document| document.index == index).unwrap();
    assert_eq!(place(0) + 1, place(2), "equal scores keep their order");
    model.set_similarity_fn(MultiVectorSimilarity::MeanMaxSim);
    assert_eq!(scores(&model).row(0)[0], sums.row(0)[0] / 32.0);
}

#[test]
fn punctuation_has_no_vectors_in_documents() {
    let model = model("multivector-native-bert");
    let rows = |kind: &str, text: &str| encode(&model, kind, &[text])[0].rows();
    assert_eq!(rows("document", "a!"), rows("document", "a"));
    assert_eq!(rows("query", "a!"), 32);
    assert_eq!(rows("query", &"word ".repeat(100)), 32);
    assert_eq!(rows("document", &"a ".repeat(200)), 90);
}

#[test]
fn lengths_and_prompts_are_settings() {
    let mut model = model("multivector-pylate-bert");
    assert_eq!((model.query_length(), model.document_length()), (Some(32), Some(90)));
    model.set_document_length(10).unwrap();
    assert_eq!(encode(&model, "document", &["a ".repeat(50)])[0].rows(), 10);
    for wrong in [0, 141] {
        let error = model.set_document_length(wrong).unwrap_err();
        assert!(matches!(error, Error::InvalidArgument { argument: "document_length", .. }), "{error}");
    }
    assert_eq!(model.prompts()["query"], "[Q] ");
    let bare = plain().with_prompt("");
    let by_hand = model.encode_query(&["[Q] this"], &bare).unwrap();
    assert_eq!(encode(&model, "query", &["this"]), by_hand);
    let options = LoadOptions::default().with_prompt("query", "ask: ").with_max_seq_length(20);
    let other = MultiVectorModel::from_dir_with(case("multivector-pylate-bert").join("model"), &options).unwrap();
    assert_eq!((&*other.prompts()["query"], other.document_length()), ("ask: ", Some(20)));
}

/// Returns a changed copy of a case's model.
fn changed(name: &str, file: &str, change: impl FnOnce(&mut Value)) -> tempfile::TempDir {
    crate::common::changed(&case(name).join("model"), file, change)
}

#[test]
fn queries_may_have_a_least_length_or_none() {
    let rows = |folder: tempfile::TempDir, text: &str| {
        let model = MultiVectorModel::from_dir(folder.path()).unwrap();
        encode(&model, "query", &[text])[0].rows()
    };
    let native = |expansion: Value| {
        changed("multivector-native-bert", "sentence_bert_config.json", |c| c["query_expansion"] = expansion)
    };
    let long = "a ".repeat(60);
    let least = || native(json!({ "strategy": "min", "length": 16 }));
    assert_eq!(rows(least(), "a"), 16);
    assert_eq!(rows(least(), &long), 63);
    assert_eq!(rows(native(Value::Null), "a"), 4);
    assert_eq!(rows(native(json!({ "strategy": "fixed", "length": 8, "token": "[SEP]" })), "a"), 8);
    let pylate =
        |change: fn(&mut Value)| changed("multivector-pylate-bert", "config_sentence_transformers.json", change);
    assert_eq!(rows(pylate(|config| config["do_query_expansion"] = json!(false)), "a"), 4);
    assert_eq!(rows(pylate(|config| config["do_query_expansion"] = json!(false)), &long), 32);
    assert_eq!(rows(pylate(|config| config["query_length"] = Value::Null), "a"), 32);
}

/// PyLate's folders from before sentence-transformers 5 have only PyLate's own keys to recognize them by.
#[test]
fn a_folder_of_pylates_needs_no_model_type() {
    let texts = ["what is a lamp?", "A lamp, is a light! yes.", "x"];
    let embed = |folder: &Path| {
        let model = MultiVectorModel::from_dir(folder).unwrap();
        ["query", "document"].map(|kind| encode(&model, kind, &texts))
    };
    for name in ["multivector-pylate-bert", "multivector-pylate-attend"] {
        let expected = embed(&case(name).join("model"));
        assert!(expected[0].iter().all(|query| query.rows() == 32));
        for absent in [&["skiplist_words"][..], &["do_query_expansion"], &["query_length"], &["prompts", "__version__"]]
        {
            let folder = changed(name, "config_sentence_transformers.json", |config| {
                config.as_object_mut().unwrap().retain(|key, _| key != "model_type" && !absent.contains(&&**key));
                config["similarity_fn_name"] = json!("cosine");
            });
            assert!(embed(folder.path()) == expected, "{name} without {absent:?}");
        }
        // The saved folder has the current layout.
        let folder = changed(name, "config_sentence_transformers.json", |config| {
            config.as_object_mut().unwrap().remove("model_type");
        });
        let saved = tempfile::tempdir().unwrap();
        MultiVectorModel::from_dir(folder.path()).unwrap().save(saved.path()).unwrap();
        assert!(embed(saved.path()) == expected, "{name} saved");
    }
}

/// The transformer's own settings override PyLate's keys, which work in folders of the current layout, too.
#[test]
fn pylates_keys_fill_up_what_the_transformer_leaves_open() {
    let rows = |name: &str, own: Value, whole: Value| {
        let folder = changed(name, "sentence_bert_config.json", |config| {
            config.as_object_mut().unwrap().extend(own.as_object().unwrap().clone());
        });
        let path = folder.path().join("config_sentence_transformers.json");
        let mut config: Value = json(&path);
        config.as_object_mut().unwrap().extend(whole.as_object().unwrap().clone());
        fs::write(path, config.to_string()).unwrap();
        encode(&MultiVectorModel::from_dir(folder.path()).unwrap(), "query", &["a"])[0].rows()
    };
    let pylate = "multivector-pylate-bert";
    assert_eq!(rows(pylate, json!({ "query_expansion": null }), json!({})), 4);
    assert_eq!(rows(pylate, json!({ "query_expansion": { "strategy": "min", "length": 9 } }), json!({})), 9);
    assert_eq!(rows(pylate, json!({}), json!({ "query_expansion": { "strategy": "min", "length": 9 } })), 9);
    assert_eq!(rows("multivector-native-bert", json!({ "query_expansion": null }), json!({ "query_length": 7 })), 4);
}

/// A folder without a kind and without PyLate's keys applies its projection to each token, and normalizes the result.
#[test]
fn a_projection_without_a_kind_is_of_tokens() {
    let folder = changed("multivector-pylate-bert", "config_sentence_transformers.json", |config| *config = json!({}));
    let model = MultiVectorModel::from_dir(folder.path()).unwrap();
    for kind in ["query", "document"] {
        let vectors = &encode(&model, kind, &["a lamp."])[0];
        assert_eq!(vectors.rows(), model.tokenizer().encode_plain("a lamp.").unwrap().len() + 2, "{kind}");
        for row in 0..vectors.rows() {
            let norm: f32 = vectors.row(row).iter().map(|x| x * x).sum();
            assert!((norm - 1.0).abs() < 1e-5, "{kind}: {norm}");
        }
    }
    let native = case("multivector-native-bert").join("model");
    let nameless = changed("multivector-native-bert", "config_sentence_transformers.json", |config| {
        config.as_object_mut().unwrap().remove("model_type");
    });
    let [got, expected] = [nameless.path(), &native].map(|folder| {
        let vectors = encode(&MultiVectorModel::from_dir(folder).unwrap(), "document", &["A lamp, is a light!"]);
        vectors.into_iter().flat_map(Matrix::into_vec).collect::<Vec<_>>()
    });
    assert_eq!(got.len(), expected.len());
    assert!(got.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-6));
}

#[test]
fn folders_of_other_kinds_are_refused_without_a_model_type() {
    let nameless = |folder: &Path| {
        let config = folder.join("config_sentence_transformers.json");
        let mut settings: Value = json(&config);
        settings.as_object_mut().unwrap().remove("model_type");
        fs::write(config, settings.to_string()).unwrap();
    };
    let copied = |from: &Path| {
        let folder = tempfile::tempdir().unwrap();
        copy(from, folder.path());
        nameless(folder.path());
        folder
    };
    let sentences = ["bert-mean-normalize", "bert-cls-dense-normalize"].map(|name| copied(&tiny(name).model));
    let others = ["sparse/splade-bert-max", "rerank/rerank-bert"];
    let others = others.map(|name| copied(&crate::common::data().join(name).join("model")));
    let [splade, reranker] = &others;
    for folder in sentences.iter().chain(&others) {
        let error = MultiVectorModel::from_dir(folder.path()).unwrap_err();
        assert!(matches!(error, Error::Unsupported { .. }), "{error}");
        assert!(error.to_string().contains("Transformer and Dense without Pooling"), "{error}");
    }
    let pylate = copied(&case("multivector-pylate-bert").join("model"));
    let refused = [
        Model::from_dir(pylate.path()).map(drop),
        SparseModel::from_dir(pylate.path()).map(drop),
        Reranker::from_dir(pylate.path()).map(drop),
        Model::from_dir(splade.path()).map(drop),
        Reranker::from_dir(splade.path()).map(drop),
        Model::from_dir(reranker.path()).map(drop),
        SparseModel::from_dir(reranker.path()).map(drop),
        SparseModel::from_dir(sentences[0].path()).map(drop),
        Reranker::from_dir(sentences[0].path()).map(drop),
    ];
    for (i, refused) in refused.into_iter().enumerate() {
        let error = refused.unwrap_err();
        assert!(matches!(error, Error::InvalidConfig { .. } | Error::Unsupported { .. }), "{i}: {error}");
    }
    // Their own class loads them, and gives the same numbers.
    let given =
        |folder: &Path| Reranker::from_dir(folder).unwrap().predict(&[("a", "b")], &PredictOptions::default()).unwrap();
    assert_eq!(given(reranker.path()), given(&crate::common::data().join("rerank/rerank-bert/model")));
    let given =
        |folder: &Path| SparseModel::from_dir(folder).unwrap().encode(&["a lamp"], &SparseOptions::default()).unwrap();
    assert_eq!(given(splade.path()), given(&crate::common::data().join("sparse/splade-bert-max/model")));
}

#[test]
fn long_texts_are_refused_with_truncation_error() {
    let mut model = model("multivector-native-bert");
    model.set_document_length(10).unwrap();
    let strict = plain().with_truncation(Truncation::Error);
    let texts = ["a", &"word ".repeat(20)];
    let error = model.encode_document(&texts, &strict).unwrap_err();
    assert!(matches!(error, Error::InvalidInput { index: 1, .. }), "{error}");
    // Query expansion fills queries up to their own length.
    assert_eq!(model.encode_query(&texts, &strict).unwrap(), model.encode_query(&texts, &plain()).unwrap());
    let error = model.encode_query(&["word ".repeat(40)], &strict).unwrap_err();
    assert!(matches!(error, Error::InvalidInput { index: 0, .. }), "{error}");
}

#[test]
fn an_observer_stops_it() {
    struct Stop;
    impl Observer for Stop {
        fn interrupted(&self) -> bool {
            true
        }
    }
    let options = plain().with_observer(&Stop);
    let model = model(CASES[0]);
    assert!(matches!(model.encode_query(&["a"], &options), Err(Error::Interrupted)));
    assert_eq!(model.encode_query(&[""; 0], &plain()).unwrap(), []);
    let rows = model.encode_query(&["a"], &plain()).unwrap();
    let options = CallOptions::default().with_observer(&Stop);
    assert!(matches!(model.similarity_with(&rows, &rows, &options), Err(Error::Interrupted)));
    assert!(matches!(model.similarity_pairwise_with(&rows, &rows, &options), Err(Error::Interrupted)));
}

#[test]
fn folders_that_are_wrong_are_refused_by_name() {
    let message = |folder: &Path| MultiVectorModel::from_dir(folder).unwrap_err().to_string();
    let holds = |folder: tempfile::TempDir, words: &[&str]| {
        let message = message(folder.path());
        assert!(words.iter().all(|word| message.contains(word)), "{message}");
    };
    let error = message(&tiny("bert-mean-normalize").model);
    assert!(error.contains("SentenceTransformer") && error.contains("for Model"), "{error}");
    let [native, _, pylate, stanford] = CASES;
    let expansion = |value: Value| changed(native, "sentence_bert_config.json", |c| c["query_expansion"] = value);
    holds(expansion(json!({ "strategy": "most", "length": 3 })), &["query_expansion.strategy", "most"]);
    holds(expansion(json!({ "strategy": "min", "length": 0 })), &["query length", "0"]);
    holds(expansion(json!({ "strategy": "min", "length": 141 })), &["query_expansion", "140"]);
    holds(expansion(json!({ "strategy": "min", "length": 3, "token": "[no]" })), &["query_expansion", "[no]"]);
    holds(
        changed(native, "2_MultiVectorMask/config.json", |config| config["keep_only_token_ids"] = json!([-3])),
        &["keep_only_token_ids"],
    );
    holds(
        changed(native, "1_Dense/config.json", |config| config["module_input_name"] = json!("sentence_embedding")),
        &["module_input_name", "token_embeddings"],
    );
    holds(
        changed(pylate, "config_sentence_transformers.json", |config| config["document_length"] = json!(0)),
        &["document length"],
    );
    holds(changed(stanford, "config.json", |config| config["architectures"] = json!(["BertModel"])), &["HF_ColBERT"]);
    holds(changed(stanford, "artifact.metadata", |config| config["query_maxlen"] = json!("x")), &["query_maxlen"]);
}
