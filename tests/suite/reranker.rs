//! Tests of rerankers: the numbers of sentence-transformers' CrossEncoder, and the behaviour of `Reranker`.

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::{folders, json, largest_difference, named, native, npy, tiny, ways};
use rushlight::{
    CallOptions, Error, Input, LoadOptions, Model, Observer, PredictOptions, Reranker, ScoreActivation, Truncation,
    process,
};
use serde_json::{Value, json};

type Pairs = Vec<(String, String)>;

fn load(folder: &Path, way: &LoadOptions) -> Reranker {
    Reranker::from_dir_with(folder.join("model"), way).unwrap_or_else(|error| panic!("{}", error))
}

fn rerank(case: &str) -> PathBuf {
    crate::common::data().join("rerank").join(case)
}

fn plain() -> PredictOptions<'static> {
    PredictOptions::default()
}

fn predict(model: &Reranker, pairs: &[(String, String)]) -> Vec<f32> {
    model.predict(pairs, &plain()).unwrap().into_vec()
}

/// Tolerance of numbers that are not normalized.
fn tolerance(expected: &[f64]) -> f64 {
    2e-5 * expected.iter().fold(0.0, |largest, x| x.abs().max(largest))
}

#[test]
fn scores_are_the_references() {
    for folder in folders("rerank") {
        let (pairs, meta): (Pairs, Value) = (json(&folder.join("texts.json")), json(&folder.join("meta.json")));
        let expected = npy(&folder.join("expected64.npy"));
        // The reference's logits exist in float32 only.
        let logits = npy(&folder.join("expected_logits.npy"));
        for way in ways() {
            let (model, by) = (load(&folder, &way), named(&way));
            assert_eq!(model.num_labels() as u64, meta["num_labels"].as_u64().unwrap());
            assert_eq!(model.max_length().map(|n| n as u64), meta["max_length"].as_u64());
            let error = largest_difference(&predict(&model, &pairs), &expected);
            let name = folder.file_name().unwrap().to_string_lossy();
            println!("{name:26} {by} {error:8.1e}");
            assert!(error <= tolerance(&expected), "{name} by {by}: {error:e}");
            let identity = plain().with_activation(ScoreActivation::Identity);
            let got = model.predict(&pairs, &identity).unwrap();
            assert!(largest_difference(got.as_slice(), &logits) <= 2.0 * tolerance(&logits), "{name}");
        }
    }
}

/// Gemma 2's bound of the logits.
#[test]
fn logits_stay_below_their_cap() {
    const CAP: f32 = 0.25;
    const CASE: &str = "rerank-gemma-causal-true-only";
    let case = rerank(CASE);
    let pairs: Pairs = json(&case.join("texts.json"));
    let folder = changed(CASE, "config.json", |config| config["final_logit_softcapping"] = json!(CAP));
    let capped = Reranker::from_dir(folder.path()).unwrap();
    let logits = |model: &Reranker| {
        model.predict(&pairs, &plain().with_activation(ScoreActivation::Identity)).unwrap().into_vec()
    };
    for (capped, logit) in logits(&capped).into_iter().zip(logits(&load(&case, &native()))) {
        assert!((capped - (logit / CAP).tanh() * CAP).abs() <= 1e-6, "{capped} of {logit}");
    }
}

#[test]
fn the_same_pair_gives_the_same_bits() {
    let before = process::num_threads().unwrap();
    for folder in folders("rerank") {
        let pairs: Pairs = json(&folder.join("texts.json"));
        let model = load(&folder, &native());
        let labels = model.num_labels();
        let all = predict(&model, &pairs);
        for threads in [1, 2, 4] {
            process::set_num_threads(threads).unwrap();
            assert!(predict(&model, &pairs) == all, "{} with {threads} threads", folder.display());
            let reversed: Pairs = pairs.iter().rev().cloned().collect();
            assert!(predict(&model, &reversed).chunks(labels).rev().eq(all.chunks(labels)));
        }
        process::set_num_threads(before).unwrap();
        for (pair, scores) in pairs.iter().zip(all.chunks(labels)) {
            assert!(predict(&model, std::slice::from_ref(pair)) == scores, "{pair:?} alone");
        }
    }
}

#[test]
fn documents_are_ranked_by_their_scores() {
    let model = Reranker::from_dir(rerank("rerank-bert").join("model")).unwrap();
    let documents = ["a document", "one more", "a document", "", "last"];
    let ranked = model.rank("a query", &documents, &plain()).unwrap();
    let pairs: Vec<_> = documents.iter().map(|document| ("a query", *document)).collect();
    let scores = model.predict(&pairs, &plain()).unwrap();
    assert!(ranked.windows(2).all(|pair| pair[0].score >= pair[1].score));
    assert!(ranked.iter().all(|document| scores.row(document.index) == [document.score]));
    let place = |index| ranked.iter().position(|document| document.index == index).unwrap();
    assert_eq!(place(0) + 1, place(2), "equal scores keep their order");
    assert_eq!(model.rank("a query", &[""; 0], &plain()).unwrap(), []);

    let model = Reranker::from_dir(rerank("rerank-bert-3-labels").join("model")).unwrap();
    let error = model.rank("a query", &documents, &plain()).unwrap_err();
    assert!(matches!(error, Error::InvalidArgument { argument: "num_labels", .. }), "{error}");
}

#[test]
fn softmax_is_over_the_labels_of_a_pair() {
    let three = Reranker::from_dir(rerank("rerank-bert-3-labels").join("model")).unwrap();
    let pairs = [("one", "two"), ("three", "four")];
    let softmax = three.predict(&pairs, &plain().with_apply_softmax(true)).unwrap();
    let named = plain().with_activation(ScoreActivation::Softmax);
    assert_eq!(softmax, three.predict(&pairs, &named).unwrap());
    assert!(softmax.as_slice().chunks(3).all(|row| (row.iter().sum::<f32>() - 1.0).abs() < 1e-6));
    let one = Reranker::from_dir(rerank("rerank-bert").join("model")).unwrap();
    let ignored = one.predict(&pairs, &plain().with_apply_softmax(true)).unwrap();
    assert_eq!(ignored, one.predict(&pairs, &plain()).unwrap());
}

#[test]
fn long_pairs_are_refused_with_truncation_error() {
    let mut model = Reranker::from_dir(rerank("rerank-bert").join("model")).unwrap();
    model.set_max_length(8).unwrap();
    let strict = plain().with_truncation(Truncation::Error);
    let (short, long) = (("a", "b"), ("a", "one two three four five six seven"));
    assert_eq!(model.predict(&[short], &strict).unwrap(), model.predict(&[short], &plain()).unwrap());
    let error = model.predict(&[short, long], &strict).unwrap_err();
    assert!(matches!(error, Error::InvalidInput { index: 1, .. }), "{error}");
    model.predict(&[short, long], &plain()).unwrap();
}

/// Returns a changed copy of a case's model.
fn changed(case: &str, file: &str, change: impl FnOnce(&mut Value)) -> tempfile::TempDir {
    crate::common::changed(&rerank(case).join("model"), file, change)
}

/// A folder with only transformers' files, as on the hub; its config.json names the activation.
#[test]
fn a_plain_folder_of_transformers_is_a_reranker() {
    let activation = |change: fn(&mut Value)| {
        let folder = changed("rerank-bert", "config.json", change);
        for file in ["modules.json", "config_sentence_transformers.json", "sentence_bert_config.json"] {
            fs::remove_file(folder.path().join(file)).unwrap();
        }
        Reranker::from_dir(folder.path()).map(|model| (model.activation(), model.max_length()))
    };
    let right = |change, expected| assert_eq!(activation(change).unwrap(), (expected, Some(96)));
    right(|_| {}, ScoreActivation::Sigmoid);
    right(
        |config| config["sbert_ce_default_activation_function"] = json!("torch.nn.modules.linear.Identity"),
        ScoreActivation::Identity,
    );
    right(
        |config| {
            config["sbert_ce_default_activation_function"] = json!("torch.nn.modules.activation.Softmax");
            config["sentence_transformers"] = json!({ "activation_fn": "torch.nn.modules.linear.Identity" });
        },
        ScoreActivation::Identity,
    );
    let wrong = |change| activation(change).unwrap_err().to_string();
    let error = wrong(|config| config["sbert_ce_default_activation_function"] = json!("my.Own"));
    assert!(error.contains("my.Own") && error.contains("Sigmoid"), "{error}");
    let error = wrong(|config| config["sbert_ce_default_activation_function"] = json!(3));
    assert!(error.contains("sbert_ce_default_activation_function"), "{error}");
}

#[test]
fn the_files_of_sentence_transformers_come_before_those_of_transformers() {
    let folder = changed("rerank-bert", "config.json", |config| {
        config["sentence_transformers"] = json!({ "activation_fn": "torch.nn.modules.linear.Identity" });
    });
    assert_eq!(Reranker::from_dir(folder.path()).unwrap().activation(), ScoreActivation::Sigmoid);
}

/// Returns a folder that names `activation` under one of the three keys.
fn saying(place: &str, activation: &Value) -> tempfile::TempDir {
    match place {
        "config_sentence_transformers.json" => {
            changed("rerank-bert", place, |settings| settings["activation_fn"] = activation.clone())
        }
        key => {
            let folder = changed("rerank-bert", "config.json", |config| match key {
                "sentence_transformers" => config[key] = json!({ "activation_fn": activation }),
                _ => config[key] = activation.clone(),
            });
            fs::remove_file(folder.path().join("config_sentence_transformers.json")).unwrap();
            folder
        }
    }
}

const PLACES: [&str; 3] =
    ["config_sentence_transformers.json", "sentence_transformers", "sbert_ce_default_activation_function"];

#[test]
fn the_callers_activation_counts_and_the_folders_is_not_read() {
    let pairs = [("a lamp", "a light"), ("x", "y z")];
    let logits = |model: &Reranker| {
        let identity = plain().with_activation(ScoreActivation::Identity);
        model.predict(&pairs, &identity).unwrap()
    };
    let right = Reranker::from_dir(rerank("rerank-bert").join("model")).unwrap();
    for place in PLACES {
        for wrong in [json!("my.Own"), json!("torch.nn.modules.activation.GLU"), json!(3), json!(["torch.nn.Tanh"])] {
            let folder = saying(place, &wrong);
            let error = Reranker::from_dir(folder.path()).unwrap_err();
            assert!(matches!(error, Error::Unsupported { .. } | Error::InvalidConfig { .. }), "{place}: {error:?}");
            for activation in [ScoreActivation::Identity, "tanh".parse().unwrap()] {
                let options = LoadOptions::default().with_activation(activation);
                let model = Reranker::from_dir_with(folder.path(), &options).unwrap();
                assert_eq!(model.activation(), activation);
                assert!(model.default_activation().is_err());
                assert_eq!(logits(&model), logits(&right));
                let saved = tempfile::tempdir().unwrap();
                model.save(saved.path()).unwrap();
                assert_eq!(Reranker::from_dir(saved.path()).unwrap().activation(), activation);
            }
        }
    }
    let options = LoadOptions::default().with_activation(ScoreActivation::Identity);
    let error = Model::from_dir_with(tiny("bert-mean-normalize").model, &options).unwrap_err();
    assert!(matches!(error, Error::InvalidArgument { argument: "activation", .. }), "{error}");
}

#[test]
fn the_folder_may_name_any_activation_of_torchs_that_takes_each_number() {
    let pairs = [("a lamp", "a light"), ("x", "y z"), ("", "one more text")];
    let scores = |model: &Reranker| model.predict(&pairs, &plain()).unwrap().into_vec();
    let identity = LoadOptions::default().with_activation(ScoreActivation::Identity);
    let logits = scores(&Reranker::from_dir_with(rerank("rerank-bert").join("model"), &identity).unwrap());
    type Formula = fn(f64) -> f64;
    let formulas: [(&str, Formula); 6] = [
        ("Tanh", f64::tanh),
        ("LogSigmoid", |x| (1.0 / (1.0 + (-x).exp())).ln()),
        ("LeakyReLU", |x| x.max(0.0) + 0.01 * x.min(0.0)),
        ("Hardsigmoid", |x| (x / 6.0 + 0.5).clamp(0.0, 1.0)),
        ("Softplus", |x| (1.0 + x.exp()).ln()),
        ("SiLU", |x| x / (1.0 + (-x).exp())),
    ];
    for (place, (class, formula)) in PLACES.into_iter().flat_map(|place| formulas.map(|formula| (place, formula))) {
        let folder = saying(place, &json!(format!("torch.nn.modules.activation.{class}")));
        let model = Reranker::from_dir(folder.path()).unwrap();
        assert_eq!(model.activation().name(), class.to_lowercase());
        let wanted: Vec<f64> = logits.iter().map(|x| formula(f64::from(*x))).collect();
        assert!(largest_difference(&scores(&model), &wanted) < 1e-7, "{place}: {class}");
    }
}

#[test]
fn prompts_go_before_the_first_text() {
    let folder = changed("rerank-bert", "config_sentence_transformers.json", |settings| {
        settings["prompts"] = json!({ "ask": "Which one? " });
        settings["default_prompt_name"] = json!("ask");
    });
    let model = Reranker::from_dir(folder.path()).unwrap();
    assert_eq!(model.prompts().len(), 1);
    let bare = plain().with_prompt("");
    let by_hand = model.predict(&[("Which one? this", "that")], &bare).unwrap();
    assert_eq!(model.predict(&[("this", "that")], &plain()).unwrap(), by_hand);
    assert_ne!(model.predict(&[("this", "that")], &bare).unwrap(), by_hand);
    let unknown = plain().with_prompt_name("query");
    assert!(matches!(model.predict(&[("a", "b")], &unknown), Err(Error::InvalidArgument { .. })));
}

#[test]
fn lengths_are_settings_within_the_models_limit() {
    let mut model = Reranker::from_dir(rerank("rerank-bert").join("model")).unwrap();
    let (long, longer) = ("word ".repeat(60), "word ".repeat(200));
    let whole = predict(&model, &[(long.clone(), longer.clone())]);
    model.set_max_length(50).unwrap();
    assert_ne!(predict(&model, &[(long, longer)]), whole);
    for wrong in [0, 141] {
        let error = model.set_max_length(wrong).unwrap_err();
        assert!(matches!(error, Error::InvalidArgument { argument: "max_length", .. }), "{error}");
    }
    let options = LoadOptions::default().with_truncate_dim(1);
    let error = Reranker::from_dir_with(rerank("rerank-bert").join("model"), &options).unwrap_err();
    assert!(matches!(error, Error::InvalidArgument { argument: "truncate_dim", .. }), "{error}");
}

#[test]
fn an_observer_stops_it_and_a_single_text_is_taken() {
    struct Stop;
    impl Observer for Stop {
        fn interrupted(&self) -> bool {
            true
        }
    }
    let model = Reranker::from_dir(rerank("rerank-bert").join("model")).unwrap();
    let options = plain().with_observer(&Stop);
    assert!(matches!(model.predict(&[("a", "b")], &options), Err(Error::Interrupted)));
    let (scores, _) = model.predict_inputs(&[Input::Text("one text"), Input::Pair("a", "b")], &plain()).unwrap();
    assert_eq!((scores.rows(), scores.columns()), (2, 1));
    assert_eq!(model.predict::<&str, &str>(&[], &plain()).unwrap().rows(), 0);
}

#[test]
fn folders_of_another_kind_are_refused_by_name() {
    let message = |folder: &Path| Reranker::from_dir(folder).unwrap_err().to_string();
    let error = message(&tiny("bert-mean-normalize").model);
    assert!(error.contains("SentenceTransformer") && error.contains("for Model"), "{error}");
    let error = Model::from_dir(rerank("rerank-bert").join("model")).unwrap_err().to_string();
    assert!(error.contains("CrossEncoder") && error.contains("for Reranker"), "{error}");

    let folder = changed("rerank-bert", "config.json", |config| config["architectures"] = json!(["BertForMaskedLM"]));
    assert!(message(folder.path()).contains("BertForMaskedLM"));
    let folder = changed("rerank-bert", "config.json", |config| config["id2label"] = json!({ "0": "a", "1": "b" }));
    assert!(message(folder.path()).contains("classifier."));
    let folder = changed("rerank-bert", "config.json", |config| config["id2label"] = json!({}));
    assert!(message(folder.path()).contains("id2label"));
    let folder = changed("rerank-bert", "config_sentence_transformers.json", |settings| {
        settings["activation_fn"] = json!("torch.nn.modules.activation.GLU");
    });
    assert!(message(folder.path()).contains("GLU"));
    let folder = changed("rerank-bert", "modules.json", |modules| {
        let logits = json!({ "idx": 1, "name": "1", "path": "1_LogitScore",
            "type": "sentence_transformers.cross_encoder.modules.logit_score.LogitScore" });
        modules.as_array_mut().unwrap().push(logits);
    });
    assert!(message(folder.path()).contains("text-generation"));
}

#[test]
fn prompts_of_a_call_win_over_the_folders() {
    for folder in folders("rerank") {
        let meta: Value = json(&folder.join("meta.json"));
        let Some(prompt) = meta["extra_prompt"].as_str() else { continue };
        let (pairs, expected): (Pairs, _) =
            (json(&folder.join("texts.json")), npy(&folder.join("expected_prompt.npy")));
        for way in ways() {
            let scores = load(&folder, &way).predict(&pairs, &plain().with_prompt(prompt)).unwrap();
            let error = largest_difference(scores.as_slice(), &expected);
            assert!(error <= 2.0 * tolerance(&expected), "{} by {}: {error:e}", folder.display(), named(&way));
        }
    }
}

#[test]
fn token_ids_of_pairs_are_the_references() {
    for folder in folders("rerank").into_iter().filter(|folder| folder.join("token_ids.json").exists()) {
        let (pairs, ids): (Pairs, Vec<Vec<u32>>) =
            (json(&folder.join("texts.json")), json(&folder.join("token_ids.json")));
        let model = load(&folder, &native());
        // The reference's ids have the default prompt, and a reader adds none.
        if model.default_prompt_name().is_some() {
            continue;
        }
        let inputs: Vec<_> = pairs.iter().map(|(query, document)| Input::Pair(query, document)).collect();
        let got = model.reader().tokenize(&inputs, &CallOptions::default()).unwrap();
        for ((got, want), pair) in got.iter().zip(&ids).zip(&pairs) {
            assert_eq!(got.ids, *want, "{}: {pair:?}", folder.display());
        }
    }
}
