//! Tests of models with an adapter for each task: the reference's numbers, the choice of a task, and saving.

use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use crate::common::{Case, copy, json, largest_difference, named, native, npy, tiny, ways};
use rushlight::{EncodeOptions, Error, Model, Role};
use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensors, serialize};
use serde_json::{Value, json};

const TASKS: [&str; 5] = ["retrieval.query", "retrieval.passage", "separation", "classification", "text-matching"];

fn case() -> Case {
    tiny("jina-v3-lora")
}

fn load(folder: &Path) -> Model {
    Model::from_dir_with(folder, &native()).unwrap()
}

fn encode(model: &Model, texts: &[String], options: &EncodeOptions<'_>) -> Vec<f32> {
    model.encode(texts, options).unwrap().into_vec()
}

fn in_task(task: &str) -> EncodeOptions<'_> {
    EncodeOptions::default().with_task(task)
}

/// Changes a JSON file of a folder.
fn edit(path: &Path, change: impl FnOnce(&mut Value)) {
    let mut value: Value = json(path);
    change(&mut value);
    fs::write(path, value.to_string()).unwrap();
}

/// Copies the model, with a default task.
fn with_default_task(task: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    copy(&case().model, folder.path());
    edit(&folder.path().join("sentence_bert_config.json"), |settings| {
        settings["model_args"] = json!({ "default_task": task, "trust_remote_code": true });
    });
    folder
}

#[test]
fn every_task_gives_the_references_numbers() {
    let case = case();
    for way in ways() {
        let model = Model::from_dir_with(&case.model, &way).unwrap();
        assert_eq!(model.tasks(), TASKS);
        let check = |file: &str, options: &EncodeOptions<'_>| {
            let expected = npy(&case.folder.join(format!("expected64_task_{file}.npy")));
            let error = largest_difference(&encode(&model, &case.texts, options), &expected);
            assert!(error <= 1e-5, "{file} by {}: {error:e}", named(&way));
        };
        for task in TASKS {
            check(task, &in_task(task).with_prompt_name(task));
        }
        check("retrieval.query_without_prompt", &in_task("retrieval.query"));
        // A task leaves the model as it was.
        let error = case.largest_difference(&encode(&model, &case.texts, &EncodeOptions::default()));
        assert!(error <= 1e-5, "without a task by {}: {error:e}", named(&way));
    }
}

#[test]
fn a_text_has_the_same_bits_in_a_task_whatever_else_is_computed() {
    let case = case();
    let model = load(&case.model);
    let alone: Vec<_> = TASKS.map(|task| encode(&load(&case.model), &case.texts, &in_task(task))).into();
    std::thread::scope(|scope| {
        for (task, alone) in TASKS.iter().zip(&alone) {
            let (model, texts) = (&model, &case.texts);
            scope.spawn(move || {
                assert!(encode(model, texts, &in_task(task)) == *alone, "{task} beside others");
                let width = model.embedding_dimension();
                for (text, row) in texts.iter().zip(alone.chunks(width)) {
                    assert!(model.encode_one(text, &in_task(task)).unwrap() == row, "{task}: {text:?} alone");
                }
            });
        }
    });
}

/// Rounds the weights in a file to bfloat16, as published ones are.
fn in_bfloat16(file: &Path) {
    let bytes = fs::read(file).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap().tensors().into_iter();
    let halves = tensors.map(|(name, view)| {
        let halves: Vec<u8> = view.data().chunks_exact(4).flat_map(|x| [x[2], x[3]]).collect();
        (name, view.shape().to_vec(), halves)
    });
    let halves: Vec<_> = halves.collect();
    let views =
        halves.iter().map(|(name, shape, data)| (name, TensorView::new(Dtype::BF16, shape.clone(), data).unwrap()));
    fs::write(file, serialize(views, None).unwrap()).unwrap();
}

/// With a memory map, rows of the word table are converted and adapted when they are looked up.
#[test]
fn adapters_of_weights_in_16_bits_have_the_same_bits_without_a_memory_map() {
    let (case, folder) = (case(), tempfile::tempdir().unwrap());
    copy(&case.model, folder.path());
    in_bfloat16(&folder.path().join("model.safetensors"));
    for way in ways() {
        let [mapped, read] =
            [true, false].map(|mmap| Model::from_dir_with(folder.path(), &way.clone().with_mmap(mmap)).unwrap());
        for task in [None, Some(TASKS[0]), Some(TASKS[3])] {
            let options = EncodeOptions::default().with_task(task);
            let embeddings = encode(&mapped, &case.texts, &options);
            assert!(embeddings == encode(&read, &case.texts, &options), "{task:?} by {}", named(&way));
            let exact = encode(&Model::from_dir_with(&case.model, &way).unwrap(), &case.texts, &options);
            let error = embeddings.iter().zip(&exact).map(|(got, want)| (got - want).abs()).fold(0.0, f32::max);
            assert!(error > 1e-5 && error < 0.05, "{task:?} by {}: {error:e}", named(&way));
        }
    }
}

#[test]
fn a_role_takes_its_task_and_the_prompt_of_the_task() {
    let case = case();
    let model = load(&case.model);
    let by_task = |task: &str| encode(&model, &case.texts, &in_task(task).with_prompt_name(task));
    let in_role = |options: &EncodeOptions<'_>| encode(&model, &case.texts, &options.with_role(Role::Query));
    assert!(in_role(&EncodeOptions::default()) == by_task("retrieval.query"));
    assert!(in_role(&in_task("separation")) == by_task("separation"));
    let documents = model.encode_document(&case.texts, &EncodeOptions::default()).unwrap();
    assert!(documents.into_vec() == by_task("retrieval.passage"));
    assert_eq!(model.task_of(Role::Document), Some("retrieval.passage"));
    assert_eq!(load(&tiny("bert-mean-normalize").model).task_of(Role::Document), None);
}

#[test]
fn unknown_tasks_are_refused_with_the_known_ones() {
    let error = load(&case().model).encode(&["x"], &in_task("retrieval")).unwrap_err();
    assert!(matches!(error, Error::InvalidArgument { argument: "task", .. }), "{error:?}");
    assert!(TASKS.iter().all(|task| error.to_string().contains(task)), "{error}");
    let error = load(&tiny("bert-mean-normalize").model).encode(&["x"], &in_task("retrieval")).unwrap_err();
    assert!(error.to_string().ends_with("no task \"retrieval\"; the model has none"), "{error}");
}

/// The published code strips texts, of white space by Python's rule: the separators of ASCII are part of it.
#[test]
fn white_space_around_a_text_is_stripped() {
    let (model, plain) = (load(&case().model), load(&tiny("gte-new-multilingual").model));
    let ids = |model: &Model, text: &str| model.tokenize(&[text.into()]).unwrap().remove(0).ids;
    let (text, spaced) = ("a lamp", "\u{1f} \u{a0}a lamp\n\u{1c}");
    assert_eq!(ids(&model, spaced), ids(&model, text));
    assert_ne!(ids(&plain, spaced), ids(&plain, text));
    // The prompt is part of the text.
    let options = in_task("separation").with_prompt("\u{1f} the ");
    let stripped = in_task("separation").with_prompt("the ");
    assert!(model.encode_one("a lamp \u{1f}", &options).unwrap() == model.encode_one(text, &stripped).unwrap());
}

#[test]
fn the_folder_may_have_a_default_task() {
    let (case, folder) = (case(), with_default_task("separation"));
    let model = load(folder.path());
    let separation = encode(&load(&case.model), &case.texts, &in_task("separation"));
    assert!(encode(&model, &case.texts, &EncodeOptions::default()) == separation);
    assert!(encode(&model, &case.texts, &in_task("separation")) == separation);
    assert!(encode(&model, &case.texts, &in_task("text-matching")) != separation);
    let error = Model::from_dir(with_default_task("none").path()).unwrap_err();
    assert!(matches!(error, Error::InvalidConfig { .. }) && error.to_string().contains("default_task"), "{error:?}");
}

#[test]
fn a_saved_model_has_the_same_tasks() {
    let folder = with_default_task("classification");
    let (model, saved) = (load(folder.path()), tempfile::tempdir().unwrap());
    model.save(saved.path()).unwrap();
    let again = load(saved.path());
    let texts = case().texts;
    for options in [EncodeOptions::default(), in_task("retrieval.query"), in_task("separation")] {
        assert!(encode(&again, &texts, &options) == encode(&model, &texts, &options), "{:?}", options.task);
    }
    let modules: Value = json(&saved.path().join("modules.json"));
    assert_eq!(modules[0]["type"], "custom_st.Transformer");
    assert_eq!(modules[0]["kwargs"], json!(["task"]));
}

#[test]
fn bad_adapters_are_refused() {
    let error = |change: &dyn Fn(&mut Value), task: Option<&'static str>| {
        let folder = tempfile::tempdir().unwrap();
        copy(&case().model, folder.path());
        edit(&folder.path().join("config.json"), |config| change(config));
        let options = EncodeOptions::default().with_task(task);
        Model::from_dir(folder.path()).and_then(|model| model.encode(&["x"], &options)).unwrap_err()
    };
    let without_tasks = error(&|config| config["lora_adaptations"] = Value::Null, None);
    assert!(without_tasks.to_string().contains("config.json: lora_adaptations"), "{without_tasks}");
    for (key, value) in [
        ("lora_rank", json!(0)),
        ("lora_rank", json!("4")),
        ("lora_alpha", json!("1")),
        ("lora_adaptations", json!([1])),
    ] {
        let refused = error(&|config| config[key] = value.clone(), None);
        assert!(matches!(refused, Error::InvalidConfig { .. }) && refused.to_string().contains(key), "{refused:?}");
    }
    let wrong_rank = error(&|config| config["lora_rank"] = json!(3), Some("separation"));
    assert!(matches!(wrong_rank, Error::WeightShape { .. }), "{wrong_rank:?}");
    for (key, value) in [("position_embedding_type", "relative"), ("hidden_act", "quick")] {
        let refused = error(&|config| config[key] = json!(value), None);
        assert!(matches!(refused, Error::Unsupported { .. }) && refused.to_string().contains(key), "{refused:?}");
    }
}

#[test]
fn an_observer_stops_the_first_use_of_a_task() {
    let (case, stop) = (case(), AtomicBool::new(true));
    let model = load(&case.model);
    let stopped = model.encode(&case.texts, &in_task("separation").with_observer(&stop));
    assert!(matches!(stopped, Err(Error::Interrupted)));
    assert_eq!(
        encode(&model, &case.texts, &in_task("separation")).len(),
        case.texts.len() * model.embedding_dimension()
    );
}
