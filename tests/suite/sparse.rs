//! Tests of sparse models: the numbers of sentence-transformers' SparseEncoder, and the behaviour of `SparseModel`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::common::{copy, folders, is_native, json, largest_difference, named, native, npy, tiny, ways};
use rushlight::{
    CallOptions, Device, Dtype, Error, LoadOptions, Observer, Similarity, SparseEmbeddings, SparseModel, SparseOptions,
    Truncation, process,
};
use serde_json::{Value, json};

fn load(folder: &Path, way: &LoadOptions) -> SparseModel {
    SparseModel::from_dir_with(folder.join("model"), way).unwrap_or_else(|error| panic!("{error}"))
}

fn sparse(case: &str) -> PathBuf {
    crate::common::data().join("sparse").join(case)
}

fn model(case: &str) -> SparseModel {
    load(&sparse(case), &native())
}

fn plain() -> SparseOptions<'static> {
    SparseOptions::default()
}

fn dense(embeddings: &SparseEmbeddings) -> Vec<f32> {
    embeddings.to_dense().unwrap().into_vec()
}

#[test]
fn weights_are_the_references() {
    for folder in folders("sparse") {
        let texts: Vec<String> = json(&folder.join("texts.json"));
        let meta: Value = json(&folder.join("meta.json"));
        let expected = npy(&folder.join("expected64.npy"));
        let tolerance = 2e-5 * expected.iter().fold(0.0, |largest, x| x.abs().max(largest));
        for way in ways() {
            let (model, by) = (load(&folder, &way), named(&way));
            assert_eq!(model.embedding_dimension() as u64, meta["dim"].as_u64().unwrap());
            assert_eq!(model.max_seq_length().map(|n| n as u64), meta["max_seq_length"].as_u64());
            let error = largest_difference(&dense(&model.encode_document(&texts, &plain()).unwrap()), &expected);
            let name = folder.file_name().unwrap().to_string_lossy();
            println!("{name:28} {by} {error:8.1e} of {tolerance:8.1e}");
            assert!(error <= tolerance, "{name} by {by}: {error:e}");
            if folder.join("expected64_max3.npy").exists() {
                let three = model.encode_document(&texts, &plain().with_max_active_dims(3)).unwrap();
                let error = largest_difference(&dense(&three), &npy(&folder.join("expected64_max3.npy")));
                assert!(error <= tolerance, "{name} by {by} with 3 weights: {error:e}");
            }
            if folder.join("expected_query.npy").exists() {
                let expected = npy(&folder.join("expected_query.npy"));
                let queries = model.encode_query(&texts, &plain()).unwrap();
                assert_eq!(largest_difference(&dense(&queries), &expected), 0.0, "{name}: queries");
            }
        }
    }
}

#[test]
fn the_same_text_gives_the_same_bits() {
    let before = process::num_threads().unwrap();
    for folder in folders("sparse") {
        let texts: Vec<String> = json(&folder.join("texts.json"));
        let model = load(&folder, &native());
        let all = model.encode_document(&texts, &plain()).unwrap();
        for threads in [1, 2, 4] {
            process::set_num_threads(threads).unwrap();
            assert!(model.encode_document(&texts, &plain()).unwrap() == all, "with {threads} threads");
            let reversed: Vec<_> = texts.iter().rev().collect();
            let backwards = model.encode_document(&reversed, &plain()).unwrap();
            assert!((0..texts.len()).all(|i| backwards.row(texts.len() - 1 - i) == all.row(i)));
        }
        process::set_num_threads(before).unwrap();
        for (text, row) in texts.iter().zip(all.rows()) {
            assert!(model.encode_document(&[text], &plain()).unwrap().row(0) == row, "{text:?} alone");
        }
    }
}

#[test]
fn max_active_dims_keeps_the_largest_weights() {
    let mut model = model("splade-bert-max");
    let all = model.encode(&["some text", "more of it"], &plain()).unwrap();
    let few = model.encode(&["some text", "more of it"], &plain().with_max_active_dims(5)).unwrap();
    for (few, all) in few.rows().zip(all.rows()) {
        assert_eq!(few.0.len(), 5);
        let least = few.1.iter().copied().fold(f32::INFINITY, f32::min);
        assert_eq!(all.1.iter().filter(|weight| **weight >= least).count(), 5);
        assert!(few.0.iter().zip(few.1).all(|(i, x)| all.1[all.0.binary_search(i).unwrap()] == *x));
    }
    model.set_max_active_dims(Some(5)).unwrap();
    assert_eq!(model.encode(&["some text", "more of it"], &plain()).unwrap(), few);
    assert!(matches!(model.set_max_active_dims(Some(0)), Err(Error::InvalidArgument { .. })));
    let wrong = plain().with_max_active_dims(0);
    assert!(matches!(model.encode(&["a"], &wrong), Err(Error::InvalidArgument { .. })));
}

#[test]
fn an_embedding_is_decoded_to_its_strongest_tokens() {
    let model = model("splade-router-static-query");
    let query = model.encode_query(&["the weather", ""], &plain()).unwrap();
    let tokens = model.decode(&query, 0, None);
    assert_eq!(tokens.len(), query.row(0).0.len());
    assert!(tokens.windows(2).all(|pair| pair[0].1 >= pair[1].1));
    assert!(tokens.iter().any(|(token, _)| token == "the"), "{tokens:?}");
    assert_eq!(model.decode(&query, 0, Some(1)), tokens[..1]);
    assert_eq!(model.decode(&query, 1, None), []);
}

#[test]
fn queries_and_documents_take_their_routes() {
    let model = model("splade-router-static-query");
    let texts = ["a text", "another one"];
    let documents = model.encode_document(&texts, &plain()).unwrap();
    let queries = model.encode_query(&texts, &plain()).unwrap();
    assert_ne!(documents, queries);
    assert_eq!(model.encode(&texts, &plain()).unwrap(), documents, "the default route");
    let scores = model.similarity(&queries, &documents).unwrap();
    let dot = |(i, x): (&[i32], &[f32]), y: &[f32]| i.iter().zip(x).map(|(i, x)| x * y[*i as usize]).sum::<f32>();
    let rows = documents.to_dense().unwrap();
    assert!((scores.row(0)[1] - dot(queries.row(0), rows.row(1))).abs() < 1e-5);
    assert_eq!(model.similarity_fn(), Similarity::Dot);
}

/// Returns a changed copy of a case's model.
fn changed(case: &str, file: &str, change: impl FnOnce(&mut Value)) -> tempfile::TempDir {
    crate::common::changed(&sparse(case).join("model"), file, change)
}

#[test]
fn weights_may_be_logarithms_of_logarithms() {
    let twice = changed("splade-bert-max", "1_SpladePooling/config.json", |config| {
        config["activation_function"] = json!("log1p_relu");
    });
    let twice = SparseModel::from_dir(twice.path()).unwrap().encode(&["a text"], &plain()).unwrap();
    let once = model("splade-bert-max").encode(&["a text"], &plain()).unwrap();
    assert!(twice.row(0).1.iter().zip(once.row(0).1).all(|(twice, once)| *twice == once.ln_1p()));
}

#[test]
fn a_plain_folder_of_transformers_is_pooled_by_the_largest_weight() {
    let folder = changed("splade-bert-max", "config.json", |_| {});
    for file in ["modules.json", "config_sentence_transformers.json", "sentence_bert_config.json"] {
        fs::remove_file(folder.path().join(file)).unwrap();
    }
    let plain_one = SparseModel::from_dir(folder.path()).unwrap();
    assert_eq!(
        plain_one.encode(&["text"], &plain()).unwrap(),
        model("splade-bert-max").encode(&["text"], &plain()).unwrap()
    );
}

#[test]
fn prompts_similarities_and_limits_are_the_folders() {
    let folder = changed("splade-bert-max", "config_sentence_transformers.json", |settings| {
        settings["prompts"] = json!({ "query": "ask: ", "document": "" });
        settings["similarity_fn_name"] = json!("cosine");
        settings["max_active_dims"] = json!(3);
    });
    let mut model = SparseModel::from_dir(folder.path()).unwrap();
    assert_eq!((model.similarity_fn(), model.max_active_dims()), (Similarity::Cosine, Some(3)));
    let by_hand = model.encode(&["ask: this"], &plain()).unwrap();
    assert_eq!(model.encode_query(&["this"], &plain()).unwrap(), by_hand);
    assert_ne!(model.encode_document(&["this"], &plain()).unwrap(), by_hand);
    let same = model.similarity(&by_hand, &by_hand).unwrap();
    assert!((same.row(0)[0] - 1.0).abs() < 1e-6);
    model.set_max_seq_length(10).unwrap();
    assert_eq!(model.encode(&["word ".repeat(50)], &plain()).unwrap().truncated().count, 1);
}

#[test]
fn long_texts_are_refused_with_truncation_error() {
    let mut model = model("splade-bert-max");
    model.set_max_seq_length(6).unwrap();
    let strict = plain().with_truncation(Truncation::Error);
    let texts = ["a", "one two three four five six seven"];
    assert_eq!(
        dense(&model.encode(&texts[..1], &strict).unwrap()),
        dense(&model.encode(&texts[..1], &plain()).unwrap())
    );
    for error in [model.encode(&texts, &strict).unwrap_err(), model.encode_query(&texts, &strict).unwrap_err()] {
        assert!(matches!(error, Error::InvalidInput { index: 1, .. }), "{error}");
    }
    assert_eq!(model.encode(&texts, &plain()).unwrap().truncated().count, 1);
}

#[test]
fn an_observer_stops_it() {
    struct Stop;
    impl Observer for Stop {
        fn interrupted(&self) -> bool {
            true
        }
    }
    for case in ["splade-bert-max", "splade-router-static-query"] {
        let options = plain().with_observer(&Stop);
        assert!(matches!(model(case).encode_query(&["a"], &options), Err(Error::Interrupted)));
        assert_eq!(model(case).encode(&[""; 0], &plain()).unwrap().len(), 0);
    }
    let model = model("splade-bert-max");
    let rows = model.encode(&["a"], &plain()).unwrap();
    let options = CallOptions::default().with_observer(&Stop);
    assert!(matches!(model.similarity_with(&rows, &rows, &options), Err(Error::Interrupted)));
}

#[test]
fn static_sparse_models_check_the_device() {
    let folder = tempfile::tempdir().unwrap();
    let module = sparse("splade-router-static-query").join("model/query_0_SparseStaticEmbedding");
    let modules = json!([{"idx": 0, "name": "0", "path": "0", "type":
        "sentence_transformers.sparse_encoder.models.SparseStaticEmbedding"}]);
    copy(&module, &folder.path().join("0"));
    fs::write(folder.path().join("modules.json"), modules.to_string()).unwrap();
    SparseModel::from_dir_with(folder.path(), &native()).unwrap();
    for options in [native().with_device(Device::Cuda(99)), native().with_dtype(Dtype::Float16)] {
        let error = SparseModel::from_dir_with(folder.path(), &options).unwrap_err();
        assert!(matches!(error, Error::Device { .. }), "{error}");
    }
}

/// The observer is also asked before each block of the vocabulary's product, after the layers.
#[test]
fn an_observer_is_asked_before_each_step() {
    struct StopAfter(AtomicUsize);
    impl Observer for StopAfter {
        fn interrupted(&self) -> bool {
            self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_err()
        }
    }
    let model = model("splade-bert-max");
    let config: Value = json(&sparse("splade-bert-max").join("model/config.json"));
    let layers = config["num_hidden_layers"].as_u64().unwrap() as usize;
    let stopped = |asked| {
        let observer = StopAfter(AtomicUsize::new(asked));
        let result = model.encode(&["a text"], &plain().with_observer(&observer));
        matches!(result, Err(Error::Interrupted))
    };
    let places = (0..100).take_while(|asked| stopped(*asked)).count();
    // Asked before tokenizing, before computing, in each layer, and in the only block.
    assert!((layers + 3..100).contains(&places), "{places} places, {layers} layers");
}

#[test]
fn folders_that_are_wrong_are_refused_by_name() {
    let message = |folder: &Path| SparseModel::from_dir(folder).unwrap_err().to_string();
    let holds = |folder: tempfile::TempDir, words: &[&str]| {
        let message = message(folder.path());
        assert!(words.iter().all(|word| message.contains(word)), "{message}");
    };
    let error = message(&tiny("bert-mean-normalize").model);
    assert!(error.contains("SentenceTransformer") && error.contains("for Model"), "{error}");
    let case = "splade-bert-max";
    holds(changed(case, "config.json", |config| config["architectures"] = json!(["BertModel"])), &["BertModel"]);
    holds(
        changed(case, "1_SpladePooling/config.json", |config| config["pooling_strategy"] = json!("mean")),
        &["pooling_strategy", "mean", "max, sum"],
    );
    holds(
        changed(case, "1_SpladePooling/config.json", |config| config["activation_function"] = json!("gelu")),
        &["activation_function", "gelu"],
    );
    holds(changed(case, "modules.json", |modules| drop(modules.as_array_mut().unwrap().pop())), &["modules.json"]);
    holds(changed(case, "config.json", |config| config["vocab_size"] = json!(421)), &["word_embeddings"]);
    let router = "splade-router-static-query";
    let route = |change: fn(&mut Value)| changed(router, "router_config.json", change);
    holds(route(|config| config["structure"]["other"] = json!([])), &["structure", "other"]);
    holds(route(|config| config["parameters"]["default_route"] = json!("else")), &["default_route", "else"]);
    holds(route(|config| config["types"] = json!({})), &["types.query_0_SparseStaticEmbedding"]);
    holds(route(|config| config["parameters"]["route_mappings"] = json!({ "a": "b" })), &["route_mappings"]);
    holds(route(|config| config["structure"]["query"] = json!(["../x"])), &["structure.query", "../x"]);
    holds(
        changed(router, "query_0_SparseStaticEmbedding/config.json", |config| config["path"] = json!("idf.json")),
        &["path", "idf.json"],
    );
}

/// The sparse weights of gte-multilingual-base, by the text of each token.
#[test]
fn weights_of_words_are_those_of_the_published_code() {
    let case = tiny("gte-new-multilingual");
    let expected: Vec<BTreeMap<String, f64>> = json(&case.folder.join("expected_sparse.json"));
    let largest = expected.iter().flat_map(BTreeMap::values).fold(0.0, |largest: f64, x| x.max(largest));
    for way in ways() {
        let model = load(&case.folder, &way);
        assert_eq!(model.embedding_dimension(), 426);
        let embeddings = model.encode(&case.texts, &plain()).unwrap();
        let reader = model.reader(None);
        for ((indices, values), expected) in embeddings.rows().zip(&expected) {
            let word = |id: &i32| reader.tokenizer().decode(&[u32::try_from(*id).unwrap()], false).unwrap();
            let words: BTreeMap<_, _> = indices.iter().map(word).zip(values.iter().copied()).collect();
            assert!(words.len() == indices.len() && words.keys().eq(expected.keys()), "{words:?} {expected:?}");
            let close = |(x, y): (&f32, &f64)| (f64::from(*x) - y).abs() <= 2e-5 * largest;
            assert!(words.values().zip(expected.values()).all(close), "{words:?} {expected:?}");
        }
        // candle's ops promise no equal bits.
        for (i, text) in case.texts.iter().enumerate().filter(|_| is_native(&way)) {
            assert!(model.encode(&[text], &plain()).unwrap().row(0) == embeddings.row(i), "{text:?} alone");
        }
        let few = plain().with_max_active_dims(1);
        assert!(model.encode(&case.texts, &few).unwrap().rows().all(|(indices, _)| indices.len() <= 1));
    }
}

#[test]
fn a_saved_model_of_word_weights_loads_again() {
    let case = tiny("gte-new-multilingual");
    let (model, folder) = (load(&case.folder, &native()), tempfile::tempdir().unwrap());
    model.save(folder.path()).unwrap();
    let saved = SparseModel::from_dir(folder.path()).unwrap();
    let weights = |model: &SparseModel| model.encode(&case.texts, &plain()).unwrap();
    assert!(weights(&saved) == weights(&model));
}

#[test]
fn weights_of_words_need_one_label() {
    let folder = tempfile::tempdir().unwrap();
    copy(&tiny("gte-new-multilingual").model, folder.path());
    let file = folder.path().join("config.json");
    let mut config: Value = json(&file);
    config["id2label"] = json!({ "0": "A", "1": "B" });
    fs::write(&file, config.to_string()).unwrap();
    let error = SparseModel::from_dir(folder.path()).unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }) && error.to_string().contains("id2label"), "{error}");
}

#[test]
fn an_auto_encoder_keeps_k_weights_and_is_saved() {
    let folder = sparse("csr-bert-normalize");
    let texts: Vec<String> = json(&folder.join("texts.json"));
    let mut model = load(&folder, &native());
    let all = model.encode(&texts, &plain()).unwrap();
    assert_eq!(model.max_active_dims(), Some(5));
    assert!(all.rows().all(|(columns, _)| columns.len() <= 5));
    let wide = model.encode(&texts, &plain().with_max_active_dims(100)).unwrap();
    assert!(wide.rows().any(|(columns, _)| columns.len() > 5), "a call can keep more");
    model.set_max_active_dims(Some(2)).unwrap();
    let to = tempfile::tempdir().unwrap();
    model.save(to.path()).unwrap();
    let saved = SparseModel::from_dir(to.path()).unwrap();
    assert_eq!(saved.max_active_dims(), Some(2));
    assert_eq!(saved.encode(&texts, &plain().with_max_active_dims(5)).unwrap(), all);
}

/// Returns the message of loading a case with a changed JSON file.
fn refused(case: &str, file: &str, change: impl FnOnce(&mut Value)) -> String {
    SparseModel::from_dir(changed(case, file, change).path()).unwrap_err().to_string()
}

#[test]
fn an_auto_encoder_without_settings_keeps_its_own_number_of_weights() {
    let absent = |file: &mut Value| drop(file.as_object_mut().unwrap().remove("max_active_dims"));
    let folder = changed("csr-bert-normalize", "config_sentence_transformers.json", absent);
    let model = SparseModel::from_dir(folder.path()).unwrap();
    assert_eq!(model.max_active_dims(), Some(5));
}

#[test]
fn the_weight_of_a_token_that_the_vocabulary_lacks_is_the_unknown_tokens() {
    let idf = "query_0_SparseStaticEmbedding/idf.json";
    let folder = changed("sparse-static-idf-json", idf, |file| file["no such token"] = json!(7.5));
    let model = SparseModel::from_dir(folder.path()).unwrap();
    let query = model.encode_query(&["\u{2603}"], &plain()).unwrap();
    assert!(model.decode(&query, 0, None).contains(&("[UNK]".to_owned(), 7.5)), "{query:?}");
}

#[test]
fn malformed_auto_encoders_are_errors_by_file_and_key() {
    let config = "2_SparseAutoEncoder/config.json";
    for (key, value) in [("input_dim", json!(7)), ("k", json!(0)), ("hidden_dim", json!("x")), ("normalize", json!(3))]
    {
        let message = refused("csr-bert", config, |file| file[key] = value);
        assert!(message.contains(config) && message.contains(key), "{message}");
    }
    let message = refused("csr-bert", config, |file| file["hidden_dim"] = json!(64));
    assert!(message.contains("decoder.linear.weight") && message.contains("2_SparseAutoEncoder"), "{message}");
    let message = refused("csr-bert", config, |file| file["other"] = json!(1));
    assert!(message.contains("other"), "{message}");
}

#[test]
fn weights_by_token_are_saved_as_a_tensor() {
    let folder = sparse("sparse-static-idf-json");
    let texts: Vec<String> = json(&folder.join("texts.json"));
    let model = load(&folder, &native());
    let to = tempfile::tempdir().unwrap();
    model.save(to.path()).unwrap();
    let again = SparseModel::from_dir(to.path()).unwrap();
    assert_eq!(again.encode_query(&texts, &plain()).unwrap(), model.encode_query(&texts, &plain()).unwrap());
    let config: Value = json(&to.path().join("query_0_SparseStaticEmbedding/config.json"));
    assert_eq!((&config["path"], &config["frozen"]), (&Value::Null, &json!(true)));
    assert!(to.path().join("query_0_SparseStaticEmbedding/model.safetensors").exists());
}

#[test]
fn malformed_weights_by_token_are_errors_by_file_and_key() {
    let case = "sparse-static-idf-json";
    let [config, idf] = ["config", "idf"].map(|name| format!("query_0_SparseStaticEmbedding/{name}.json"));
    for value in [json!("high"), json!(null), json!(1e300), json!([1])] {
        let message = refused(case, &idf, |file| file["the"] = value);
        assert!(message.contains(&idf) && message.contains("the: must be a finite number"), "{message}");
    }
    assert!(refused(case, &idf, |file| *file = json!([])).contains("must be a JSON object of weights by token"));
    let message = refused(case, &config, |file| file["path"] = json!("elsewhere/none.json"));
    assert!(message.contains("none.json") && message.contains("path names it"), "{message}");
    assert!(refused(case, &config, |file| file["path"] = json!(3)).contains("path: must be the name of a JSON file"));
}
