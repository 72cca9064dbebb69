//! Tests of saving models of all kinds: a saved folder keeps the model and its current settings.

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::{copy, data, folders, json, tiny, tiny_cases};
use rushlight::{
    EncodeOptions, Error, Matrix, Model, MultiVectorModel, MultiVectorOptions, MultiVectorSimilarity, PredictOptions,
    Reranker, ScoreActivation, Similarity, SparseModel, SparseOptions,
};
use serde_json::{Value, json};
use tempfile::TempDir;

fn plain() -> EncodeOptions<'static> {
    EncodeOptions::default()
}

fn model(name: &str) -> Model {
    Model::from_dir(tiny(name).model).unwrap()
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn texts(case: &Path) -> Vec<String> {
    json(&case.join("texts.json"))
}

#[test]
fn a_saved_model_is_the_same_model() {
    for case in tiny_cases() {
        let mut model = Model::from_dir(&case.model).unwrap();
        model.prompts_mut().insert("new".to_owned(), "new: ".to_owned());
        model.set_default_prompt_name(Some("new".to_owned())).unwrap();
        model.set_similarity_fn(Similarity::Manhattan);
        model.set_truncate_dim(Some(9)).unwrap();
        // Some models read fewer tokens.
        let limit = case.meta["max_seq_length"].as_u64().map_or(33, |length| length.min(33) as usize);
        model.set_max_seq_length(limit).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let check = || {
            let again = Model::from_dir(folder.path()).unwrap_or_else(|error| panic!("{}: {error}", case.name));
            assert_eq!(again.prompts(), model.prompts());
            assert_eq!(again.default_prompt_name(), Some("new"));
            assert_eq!(again.similarity_fn(), Similarity::Manhattan);
            assert_eq!(again.truncate_dim(), Some(9));
            // Without a transformer the tokenizer truncates, and its limit is not a setting.
            let length = case.meta["max_seq_length"].as_u64().map(|_| limit);
            assert_eq!(again.max_seq_length(), length);
            let encode = |model: &Model| model.encode(&case.texts, &plain()).unwrap();
            assert!(encode(&again) == encode(&model), "{}", case.name);
            again
        };
        model.save(folder.path()).unwrap();
        // Saves onto the folder that the model was loaded from.
        check().save(folder.path()).unwrap();
        check();
        let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(left.iter().all(|name| !name.to_string_lossy().starts_with('.')), "{left:?}");
    }
}

#[test]
fn a_save_replaces_the_other_model() {
    let folder = tempfile::tempdir().unwrap();
    // Each save changes the format of the weights, and adds or removes tokenizer files.
    for name in
        ["bert-mean-normalize", "legacy-bert-cls-dense-normalize", "mpnet-cls-dot", "legacy-distilbert-dense-tanh"]
    {
        std::fs::write(folder.path().join("added_tokens.json"), r#"{"[NEW]": 9000}"#).unwrap();
        let saved = model(name);
        saved.save(folder.path()).unwrap();
        let again = Model::from_dir(folder.path()).unwrap();
        let encode = |model: &Model| model.encode(&tiny(name).texts, &plain()).unwrap();
        assert!(encode(&again) == encode(&saved), "{name}");
        assert!(!folder.path().join("added_tokens.json").exists());
    }
}

#[test]
fn reordered_modules_are_saved_in_place() {
    let folder = tempfile::tempdir().unwrap();
    model("bert-cls-dense-normalize").save(folder.path()).unwrap();
    let dense = |name: &str| folder.path().join(name);
    // Two Dense modules whose folder names are swapped.
    model("bert-cls-dense-normalize").save(dense("other")).unwrap();
    std::fs::rename(dense("2_Dense"), dense("3_Dense")).unwrap();
    copy_dense_doubled(&dense("other/2_Dense"), &dense("2_Dense"));
    let modules = ["", "1_Pooling", "3_Dense", "2_Dense"].iter().enumerate().map(|(i, path)| {
        let class = ["Transformer", "Pooling", "Dense", "Dense"][i];
        serde_json::json!({ "path": path, "type": format!("sentence_transformers.models.{class}") })
    });
    std::fs::write(dense("modules.json"), serde_json::Value::from_iter(modules).to_string()).unwrap();
    let before = Model::from_dir(folder.path()).unwrap();
    let want = before.encode(&["text"], &plain()).unwrap();
    before.save(folder.path()).unwrap();
    assert!(Model::from_dir(folder.path()).unwrap().encode(&["text"], &plain()).unwrap() == want);
    // Each is now in the folder that the other was loaded from.
    assert!(matches!(before.save(folder.path()), Err(Error::InvalidConfig { .. })));
}

/// Copies a Dense module and doubles its weights.
fn copy_dense_doubled(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    std::fs::copy(from.join("config.json"), to.join("config.json")).unwrap();
    let tensors = candle_core::safetensors::load(from.join("model.safetensors"), &candle_core::Device::Cpu).unwrap();
    let doubled: std::collections::HashMap<_, _> =
        tensors.into_iter().map(|(name, tensor)| (name, (tensor * 2.0).unwrap())).collect();
    candle_core::safetensors::save(&doubled, to.join("model.safetensors")).unwrap();
}

#[test]
fn many_threads_save_to_one_folder() {
    let (folder, model) = (tempfile::tempdir().unwrap(), model("bert-mean-normalize"));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..10).for_each(|_| model.save(folder.path()).unwrap()));
        }
    });
    Model::from_dir(folder.path()).unwrap();
}

/// Saves twice, the second time onto the folder that the model was loaded from.
fn saved_twice<M>(model: &M, save: impl Fn(&M, &Path), load: impl Fn(&Path) -> M, check: impl Fn(&M)) {
    let folder = folder();
    save(model, folder.path());
    let again = load(folder.path());
    check(&again);
    save(&again, folder.path());
    check(&load(folder.path()));
}

#[test]
fn a_saved_reranker_is_the_same() {
    for case in folders("rerank") {
        let mut model = Reranker::from_dir(case.join("model")).unwrap();
        model.prompts_mut().insert("new".to_owned(), "new: ".to_owned());
        model.set_default_prompt_name(Some("new".to_owned())).unwrap();
        model.set_activation(ScoreActivation::Softmax);
        model.set_max_length(33).unwrap();
        let pairs: Vec<(String, String)> = json(&case.join("texts.json"));
        let predict = |model: &Reranker| model.predict(&pairs, &PredictOptions::default()).unwrap();
        let expected = predict(&model);
        saved_twice(
            &model,
            |model, folder| model.save(folder).unwrap(),
            |folder| Reranker::from_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", case.display())),
            |again| {
                assert_eq!((again.prompts(), again.default_prompt_name()), (model.prompts(), Some("new")));
                assert_eq!((again.activation(), again.max_length()), (ScoreActivation::Softmax, Some(33)));
                assert!(predict(again) == expected, "{}", case.display());
            },
        );
    }
}

/// Versions 3 to 5 of sentence-transformers read only transformers' files.
#[test]
fn a_saved_reranker_has_the_activation_keys_of_old_versions() {
    let mut model = Reranker::from_dir(data().join("rerank/rerank-bert/model")).unwrap();
    model.set_activation(ScoreActivation::Identity);
    model.set_max_length(20).unwrap();
    let folder = folder();
    model.save(folder.path()).unwrap();
    for file in ["modules.json", "config_sentence_transformers.json", "sentence_bert_config.json"] {
        fs::remove_file(folder.path().join(file)).unwrap();
    }
    let old = Reranker::from_dir(folder.path()).unwrap();
    assert_eq!((old.activation(), old.max_length()), (ScoreActivation::Identity, Some(20)));
    let config: Value = json(&folder.path().join("config.json"));
    assert_eq!(config["sbert_ce_default_activation_function"], config["sentence_transformers"]["activation_fn"]);
}

#[test]
fn a_saved_sparse_model_is_the_same() {
    for case in folders("sparse") {
        let mut model = SparseModel::from_dir(case.join("model")).unwrap();
        model.prompts_mut().insert("query".to_owned(), "ask: ".to_owned());
        model.set_default_prompt_name(Some("query".to_owned())).unwrap();
        model.set_similarity_fn(Similarity::Cosine);
        model.set_max_active_dims(Some(7)).unwrap();
        model.set_max_seq_length(12).unwrap();
        let texts = texts(&case);
        let encode = |model: &SparseModel| {
            let options = SparseOptions::default();
            [
                model.encode(&texts, &options).unwrap(),
                model.encode_query(&texts, &options).unwrap(),
                model.encode_document(&texts, &options).unwrap(),
            ]
        };
        let expected = encode(&model);
        saved_twice(
            &model,
            |model, folder| model.save(folder).unwrap(),
            |folder| SparseModel::from_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", case.display())),
            |again| {
                assert_eq!((again.prompts(), again.default_prompt_name()), (model.prompts(), Some("query")));
                assert_eq!((again.similarity_fn(), again.max_active_dims()), (Similarity::Cosine, Some(7)));
                assert_eq!(again.max_seq_length(), Some(12));
                assert!(encode(again) == expected, "{}", case.display());
            },
        );
    }
}

/// The tokenizer alone limits the texts of static sparse models.
#[test]
fn saved_weights_of_tokens_keep_their_limit() {
    let router = data().join("sparse/splade-router-static-query/model");
    let alone = folder();
    copy(&router.join("query_0_SparseStaticEmbedding"), &alone.path().join("0"));
    let class = "sentence_transformers.sparse_encoder.models.SparseStaticEmbedding";
    let modules = json!([{ "idx": 0, "name": "0", "path": "0", "type": class }]);
    fs::write(alone.path().join("modules.json"), modules.to_string()).unwrap();
    let mut model = SparseModel::from_dir(alone.path()).unwrap();
    model.set_max_seq_length(3).unwrap();
    let encode = |model: &SparseModel| model.encode(&["one two three four"], &SparseOptions::default()).unwrap();
    let expected = encode(&model);
    saved_twice(
        &model,
        |model, folder| model.save(folder).unwrap(),
        |folder| SparseModel::from_dir(folder).unwrap(),
        |again| {
            assert_eq!(again.max_seq_length(), Some(3));
            assert!(encode(again) == expected);
        },
    );
}

/// A folder with only transformers' files, as on the hub.
#[test]
fn a_saved_masked_language_model_lists_its_modules() {
    let alone = folder();
    let case = data().join("sparse/splade-bert-max");
    for name in ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"] {
        fs::copy(case.join("model").join(name), alone.path().join(name)).unwrap();
    }
    let model = SparseModel::from_dir(alone.path()).unwrap();
    let folder = folder();
    model.save(folder.path()).unwrap();
    let modules: Vec<Value> = json(&folder.path().join("modules.json"));
    let classes: Vec<_> = modules.iter().map(|module| module["type"].as_str().unwrap()).collect();
    let room = "sentence_transformers.sparse_encoder.models";
    assert_eq!(classes, [format!("{room}.MLMTransformer"), format!("{room}.SpladePooling")]);
    let encode = |model: &SparseModel| model.encode(&texts(&case), &SparseOptions::default()).unwrap();
    assert!(encode(&SparseModel::from_dir(folder.path()).unwrap()) == encode(&model));
}

/// Returns the embeddings of queries and documents.
fn both(model: &MultiVectorModel, texts: &[String]) -> [Vec<Matrix>; 2] {
    let options = MultiVectorOptions::default();
    [model.encode_query(texts, &options).unwrap(), model.encode_document(texts, &options).unwrap()]
}

#[test]
fn a_saved_late_interaction_model_is_the_same() {
    for case in folders("multi_vector") {
        let mut model = MultiVectorModel::from_dir(case.join("model")).unwrap();
        model.set_similarity_fn(MultiVectorSimilarity::MeanMaxSim);
        model.set_document_length(12).unwrap();
        model.prompts_mut().insert("passage".to_owned(), "of it: ".to_owned());
        model.set_default_prompt_name(Some("passage".to_owned())).unwrap();
        let texts = texts(&case);
        let expected = both(&model, &texts);
        saved_twice(
            &model,
            |model, folder| model.save(folder).unwrap(),
            |folder| MultiVectorModel::from_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", case.display())),
            |again| {
                assert_eq!((again.prompts(), again.default_prompt_name()), (model.prompts(), Some("passage")));
                assert_eq!(again.similarity_fn(), MultiVectorSimilarity::MeanMaxSim);
                assert_eq!((again.query_length(), again.document_length()), (model.query_length(), Some(12)));
                assert!(both(again, &texts) == expected, "{}", case.display());
            },
        );
    }
}

/// Returns a ColBERT folder with changed settings.
fn stanford(change: impl FnOnce(&Path)) -> TempDir {
    let folder = folder();
    copy(&data().join("multi_vector/multivector-stanford-bert/model"), folder.path());
    change(folder.path());
    folder
}

fn edit(path: PathBuf, change: impl FnOnce(&mut Value)) {
    let mut value: Value = json(&path);
    change(&mut value);
    fs::write(path, value.to_string()).unwrap();
}

/// No file declares ColBERT's markers as special tokens; a saved folder does, in every file that needs it.
#[test]
fn markers_of_queries_and_documents_stay_tokens() {
    /// Moves the markers from the added tokens into the vocabulary.
    fn only_in_the_vocabulary(folder: &Path) {
        edit(folder.join("tokenizer.json"), |file| {
            let added = file["added_tokens"].as_array_mut().unwrap();
            let markers: Vec<_> = added.iter().filter(|token| token["id"].as_u64() >= Some(420)).cloned().collect();
            added.retain(|token| token["id"].as_u64() < Some(420));
            for marker in markers {
                file["model"]["vocab"][marker["content"].as_str().unwrap()] = marker["id"].clone();
            }
        });
        edit(folder.join("tokenizer_config.json"), |config| {
            config.as_object_mut().unwrap().remove("extra_special_tokens");
        });
    }
    let with_decoder = |folder: &Path| {
        only_in_the_vocabulary(folder);
        let file: Value = json(&folder.join("tokenizer.json"));
        let decoder = file["added_tokens"].as_array().unwrap().iter();
        let decoder = decoder.map(|token| (token["id"].to_string(), token.clone())).collect();
        edit(folder.join("tokenizer_config.json"), |config| config["added_tokens_decoder"] = Value::Object(decoder));
    };
    let with_a_vocabulary_alone = |folder: &Path| {
        only_in_the_vocabulary(folder);
        let file: Value = json(&folder.join("tokenizer.json"));
        let mut words: Vec<_> = file["model"]["vocab"].as_object().unwrap().iter().collect();
        words.sort_by_key(|(_, id)| id.as_u64());
        let words: Vec<_> = words.into_iter().map(|(word, _)| word.as_str()).collect();
        fs::write(folder.join("vocab.txt"), words.join("\n")).unwrap();
        fs::remove_file(folder.join("tokenizer.json")).unwrap();
        edit(folder.join("tokenizer_config.json"), |config| config["tokenizer_class"] = json!("BertTokenizer"));
    };
    // A mapping names the tokens; the older key has a list without names.
    let with_names = |folder: &Path| {
        with_a_vocabulary_alone(folder);
        edit(folder.join("tokenizer_config.json"), |config| {
            config["extra_special_tokens"] = json!({ "last_token": "[SEP]" });
            config["additional_special_tokens"] = Value::Null;
        });
    };
    let texts = texts(&data().join("multi_vector/multivector-stanford-bert"));
    let vocabulary = stanford(only_in_the_vocabulary);
    for folder in [vocabulary, stanford(with_decoder), stanford(with_a_vocabulary_alone), stanford(with_names)] {
        let model = MultiVectorModel::from_dir(folder.path()).unwrap();
        // [CLS], the marker, two words, [SEP]: the marker stays one token.
        let expected = both(&model, &texts);
        assert_eq!(model.encode_document(&["a a"], &MultiVectorOptions::default()).unwrap()[0].rows(), 5);
        saved_twice(
            &model,
            |model, folder| model.save(folder).unwrap(),
            |folder| MultiVectorModel::from_dir(folder).unwrap(),
            |again| assert!(both(again, &texts) == expected),
        );
    }
}

#[test]
fn the_saved_projection_is_a_module() {
    let folder = folder();
    let stanford = data().join("multi_vector/multivector-stanford-bert/model");
    MultiVectorModel::from_dir(&stanford).unwrap().save(folder.path()).unwrap();
    let tensors = |path: &str| {
        let file = candle_core::safetensors::load(folder.path().join(path), &candle_core::Device::Cpu).unwrap();
        file.into_keys().collect::<Vec<_>>()
    };
    assert_eq!(tensors("1_Dense/model.safetensors"), ["linear.weight"]);
    assert!(!tensors("model.safetensors").contains(&"linear.weight".to_owned()));
    assert!(json::<Value>(&folder.path().join("config.json")).get("architectures").is_none());
}

/// transformers before 5 lacks the tokenizer class that 5 writes, and its list of tokens.
#[test]
fn tokenizers_are_named_as_before() {
    let config = |case: &str, change: &dyn Fn(&mut Value)| {
        let (from, to) = (folder(), folder());
        copy(&tiny(case).model, from.path());
        edit(from.path().join("tokenizer_config.json"), change);
        Model::from_dir(from.path()).unwrap().save(to.path()).unwrap();
        json::<Value>(&to.path().join("tokenizer_config.json"))
    };
    let case = "bert-mean-normalize";
    let general = config(case, &|config| config["extra_special_tokens"] = json!(["[PAD]"]));
    assert_eq!(general["tokenizer_class"], "PreTrainedTokenizerFast");
    assert_eq!(general["model_input_names"], json!(["input_ids", "attention_mask"]));
    assert_eq!((&general["additional_special_tokens"], general.get("extra_special_tokens")), (&json!(["[PAD]"]), None));
    let named = json!(["input_ids", "token_type_ids", "attention_mask"]);
    let typed = config(case, &|config| config["model_input_names"] = named.clone());
    assert_eq!(typed["model_input_names"], named);
    // A folder with its own class stays unchanged.
    let own = config("bert-typed-tokenizer", &|_| {});
    assert_eq!(own, json::<Value>(&tiny("bert-typed-tokenizer").model.join("tokenizer_config.json")));
}

/// A save equals the loaded model or fails, because it copies files from the folder that the model was loaded from.
#[test]
fn a_changed_source_folder_is_not_saved() {
    let embed = |model: &Model| model.encode(&["text"], &plain());
    let refused = |change: &dyn Fn(&Path)| {
        let (from, to) = (folder(), folder());
        copy(&tiny("bert-mean-normalize").model, from.path());
        let model = Model::from_dir(from.path()).unwrap();
        change(from.path());
        let target = to.path().join("saved");
        let error = model.save(&target).unwrap_err();
        assert!(
            matches!(&error, Error::InvalidConfig { problem, .. } if problem.contains("load the model again")),
            "{error}"
        );
        assert!(!target.exists());
        embed(&model)
    };
    refused(&|from| model("mpnet-cls-dot").save(from).unwrap()).unwrap();
    refused(&|from| fs::remove_file(from.join("tokenizer.json")).unwrap()).unwrap();
    refused(&|from| fs::write(from.join("added_tokens.json"), "{}").unwrap()).unwrap();
    // The model reads these weights while it computes.
    let overwritten = refused(&|from| {
        let path = from.join("model.safetensors");
        let mut bytes = fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(path, bytes).unwrap();
    });
    assert!(matches!(overwritten, Err(Error::InvalidWeights { .. })), "{overwritten:?}");
    refused(&|from| fs::remove_dir_all(from).unwrap()).unwrap();
    refused(&|from| edit(from.join("1_Pooling/config.json"), |pooling| pooling["include_prompt"] = json!(false)))
        .unwrap();
    refused(&|from| fs::write(from.join("model.safetensors.index.json"), "{}").unwrap()).unwrap();

    // The projection is no longer among the transformer's weights.
    let stanford = stanford(|_| {});
    let model = MultiVectorModel::from_dir(stanford.path()).unwrap();
    model.save(stanford.path()).unwrap();
    let error = model.save(stanford.path()).unwrap_err();
    assert!(matches!(error, Error::InvalidConfig { .. }), "{error}");
    MultiVectorModel::from_dir(stanford.path()).unwrap();
}

#[test]
fn a_model_is_saved_onto_itself_again_and_again() {
    let own = folder();
    copy(&tiny("bert-cls-dense-normalize").model, own.path());
    let mut model = Model::from_dir(own.path()).unwrap();
    let weights = fs::metadata(own.path().join("model.safetensors")).unwrap().modified().unwrap();
    for length in [20, 10] {
        model.set_max_seq_length(length).unwrap();
        model.save(own.path()).unwrap();
        assert_eq!(Model::from_dir(own.path()).unwrap().max_seq_length(), Some(length));
    }
    assert_eq!(fs::metadata(own.path().join("model.safetensors")).unwrap().modified().unwrap(), weights);

    for case in ["legacy-bert-mean-normalize", "modernbert-mean"] {
        let own = folder();
        copy(&tiny(case).model, own.path());
        let mut model = Model::from_dir(own.path()).unwrap();
        for length in [20, 10, 5] {
            model.set_max_seq_length(length).unwrap();
            model.save(own.path()).unwrap();
            assert_eq!(Model::from_dir(own.path()).unwrap().max_seq_length(), Some(length), "{case}");
        }
    }

    let own = folder();
    copy(&data().join("rerank/rerank-bert/model"), own.path());
    let mut model = Reranker::from_dir(own.path()).unwrap();
    for activation in [ScoreActivation::Identity, ScoreActivation::Softmax] {
        model.set_activation(activation);
        model.save(own.path()).unwrap();
        assert_eq!(Reranker::from_dir(own.path()).unwrap().activation(), activation);
    }
}

#[test]
fn stale_files_of_another_model_are_not_read() {
    let folder = folder();
    let native = data().join("multi_vector/multivector-native-bert/model");
    MultiVectorModel::from_dir(native).unwrap().save(folder.path()).unwrap();
    for name in ["adapter_config.json", "processor_config.json"] {
        fs::write(folder.path().join(name), "{}").unwrap();
    }
    let saved = model("bert-cls-dense-normalize");
    saved.save(folder.path()).unwrap();
    let again = Model::from_dir(folder.path()).unwrap();
    assert_eq!(again.encode(&["text"], &plain()).unwrap(), saved.encode(&["text"], &plain()).unwrap());
    assert_eq!(json::<Value>(&folder.path().join("3_Normalize/config.json")), json!({}));
    assert!(
        !folder.path().join("adapter_config.json").exists() && !folder.path().join("processor_config.json").exists()
    );
}

/// Rewritten files keep their values to the last digit, and their order.
#[test]
fn numbers_are_not_changed() {
    let (from, to) = (folder(), folder());
    copy(&data().join("rerank/rerank-bert/model"), from.path());
    let digits = "-14.898619485211565";
    edit(from.path().join("config.json"), |config| config["some_number"] = json!(-14.898619485211565_f64));
    let text = fs::read_to_string(from.path().join("config.json")).unwrap();
    assert!(text.contains(digits), "{text}");
    Reranker::from_dir(from.path()).unwrap().save(to.path()).unwrap();
    let saved = fs::read_to_string(to.path().join("config.json")).unwrap();
    assert!(saved.contains(digits), "{saved}");
    let keys = |path: &Path| json::<Value>(&path.join("config.json")).as_object().unwrap().keys().cloned().collect();
    let (old, new): (Vec<_>, Vec<_>) = (keys(from.path()), keys(to.path()));
    assert_eq!(old[..], new[..old.len()]);
}

#[test]
fn weights_in_torchs_format_become_safetensors() {
    let folder = folder();
    let model = model("legacy-bert-mean-normalize");
    assert!(model.folder().join("pytorch_model.bin").exists());
    model.save(folder.path()).unwrap();
    assert!(folder.path().join("model.safetensors").exists() && !folder.path().join("pytorch_model.bin").exists());
    let again = Model::from_dir(folder.path()).unwrap();
    assert_eq!(again.encode(&["text"], &plain()).unwrap(), model.encode(&["text"], &plain()).unwrap());
}

/// transformers before 5 has its own keys for rotary embeddings, and ignores the newer ones silently.
#[test]
fn angles_are_named_as_before() {
    let config = |case: &str| {
        let folder = folder();
        model(case).save(folder.path()).unwrap();
        json::<Value>(&folder.path().join("config.json"))
    };
    let qwen = config("qwen3-lasttoken-normalize");
    assert_eq!(qwen["rope_theta"], qwen["rope_parameters"]["rope_theta"]);
    assert!(qwen["rope_theta"].is_number() && qwen.get("rope_scaling").is_none());
    for (case, full, sliding) in [
        ("modernbert-mean", "global_rope_theta", "local_rope_theta"),
        ("gemma3-mean-dense2-normalize", "rope_theta", "rope_local_base_freq"),
    ] {
        let config = config(case);
        let parameters = &config["rope_parameters"];
        assert_eq!(config[full], parameters["full_attention"]["rope_theta"], "{case}");
        assert_eq!(config[sliding], parameters["sliding_attention"]["rope_theta"], "{case}");
    }
}

/// rushlight runs no remote code, but the saved config still names it.
#[test]
fn code_that_comes_with_a_model_stays_with_it() {
    let (from, to) = (folder(), folder());
    copy(&tiny("eurobert-mean").model, from.path());
    fs::write(from.path().join("modeling_eurobert.py"), "class EuroBertModel: ...\n").unwrap();
    Model::from_dir(from.path()).unwrap().save(to.path()).unwrap();
    assert_eq!(fs::read_to_string(to.path().join("modeling_eurobert.py")).unwrap(), "class EuroBertModel: ...\n");
}

/// A relative path stays valid if the working directory changes.
#[test]
fn folders_of_equal_names_are_distinguished() {
    let here = std::env::current_dir().unwrap();
    let relative = Path::new("tests/data/tiny/bert-mean-normalize/model");
    assert_eq!(Model::from_dir(relative).unwrap().folder(), here.join(relative));
}
