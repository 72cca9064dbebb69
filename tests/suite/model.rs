//! Tests of `Model` beside the numbers: prompts, truncation, settings, saving, observers.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::common::tiny;
use proptest::prelude::*;
use rushlight::{
    CallOptions, Device, DevicePool, EncodeOptions, Error, Input, LoadOptions, Model, Observer, Similarity, Truncation,
};

fn model(case: &str) -> Model {
    Model::from_dir(tiny(case).model).unwrap()
}

fn plain() -> EncodeOptions<'static> {
    EncodeOptions::default()
}

#[test]
fn a_prompt_is_put_before_the_text() {
    let model = model("bert-cls-normalize-prompts");
    let prompts = model.prompts().clone();
    let by_name = |name: &str| model.encode(&["text"], &plain().with_prompt_name(name)).unwrap();
    let put_before = |prompt: &str| model.encode(&[format!("{prompt}text")], &plain().with_prompt("")).unwrap();
    for (name, prompt) in &prompts {
        assert_eq!(by_name(name), put_before(prompt), "{name}");
    }
    let default = model.default_prompt_name().expect("this model has one");
    assert_eq!(model.encode(&["text"], &plain()).unwrap(), by_name(default));
    assert_ne!(model.encode(&["text"], &plain()).unwrap(), put_before(""));
    let both = plain().with_prompt("x ").with_prompt_name("no such");
    assert_eq!(model.encode(&["text"], &both).unwrap(), put_before("x "));
    let error = model.encode(&["text"], &plain().with_prompt_name("no such")).unwrap_err();
    assert!(matches!(error, Error::InvalidArgument { argument: "prompt_name", .. }), "{error}");
    assert!(error.to_string().contains("query"), "{error}");
}

#[test]
fn queries_and_documents_have_their_own_prompts() {
    let prompts = |pairs: &[(&str, &str)]| -> BTreeMap<_, _> {
        pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
    };
    let load = |pairs: &[(&str, &str)], default: Option<&str>| {
        let default_prompt_name = default.map(str::to_owned);
        let mut options = LoadOptions::default().with_prompts(prompts(pairs));
        options.default_prompt_name = default_prompt_name;
        Model::from_dir_with(tiny("bert-mean-normalize").model, &options).unwrap()
    };
    let model = load(&[("query", "q: "), ("passage", "p: "), ("corpus", "c: "), ("other", "o: ")], Some("other"));
    let with = |prompt: &'static str| model.encode(&["text"], &plain().with_prompt(prompt)).unwrap();
    assert_eq!(model.encode_query(&["text"], &plain()).unwrap(), with("q: "));
    // "document" always exists and is empty here, so the first prompt that isn't empty is used.
    assert_eq!(model.encode_document(&["text"], &plain()).unwrap(), with("p: "));
    assert_eq!(model.encode(&["text"], &plain()).unwrap(), with("o: "));
    let other = plain().with_prompt_name("other");
    assert_eq!(model.encode_query(&["text"], &other).unwrap(), with("o: "));
    // Neither role uses the default prompt.
    let bare = load(&[("other", "o: ")], Some("other"));
    assert_eq!(bare.encode_query(&["text"], &plain()).unwrap(), with(""));
    assert_eq!(bare.encode_document(&["text"], &plain()).unwrap(), with(""));
}

#[test]
fn embeddings_are_truncated_and_then_normalized() {
    let mut model = model("bert-mean-normalize");
    let whole = model.encode(&["one", "two"], &plain()).unwrap();
    let cut = model.encode(&["one", "two"], &plain().with_truncate_dim(5)).unwrap();
    assert_eq!((cut.len(), cut.dim()), (2, 5));
    assert!(cut.rows().zip(whole.rows()).all(|(cut, whole)| cut == &whole[..5]));
    let unit = plain().with_truncate_dim(5).with_normalize_embeddings(true);
    for row in model.encode(&["one", "two"], &unit).unwrap().rows() {
        assert!((row.iter().map(|x| x * x).sum::<f32>() - 1.0).abs() < 1e-6);
    }
    model.set_truncate_dim(Some(7)).unwrap();
    assert_eq!(model.embedding_dimension(), 7);
    assert_eq!(model.encode(&["one"], &plain()).unwrap().dim(), 7);
    // A call's own truncate_dim wins, and may exceed the model's width.
    let more = plain().with_truncate_dim(1000);
    assert_eq!(model.encode(&["one", "two"], &more).unwrap(), whole);
    let none = plain().with_truncate_dim(0);
    assert!(matches!(model.encode(&["one"], &none), Err(Error::InvalidArgument { .. })));
    assert!(model.set_truncate_dim(Some(0)).is_err());
}

#[test]
fn no_texts_give_no_embeddings() {
    let model = model("bert-mean-normalize");
    let nothing = model.encode::<&str>(&[], &plain()).unwrap();
    assert_eq!((nothing.len(), nothing.dim(), nothing.is_empty()), (0, 32, true));
    assert!(model.encode_tokens(&[], &plain()).unwrap().is_empty());
    let empty = model.similarity(&nothing, &model.encode(&["a"], &plain()).unwrap()).unwrap();
    assert_eq!((empty.rows(), empty.columns()), (0, 1));
}

#[test]
fn long_texts_are_counted_or_refused() {
    let mut model = model("bert-mean-normalize");
    let long = "word ".repeat(100);
    let texts = ["short", &long, "another", &long];
    let truncated = model.encode(&texts, &plain()).unwrap().truncated();
    assert_eq!((truncated.count, truncated.longest), (2, model.count_tokens(&[Input::Text(&long)]).unwrap()[0]));
    let refuse = plain().with_truncation(Truncation::Error);
    assert!(matches!(model.encode(&texts, &refuse), Err(Error::InvalidInput { index: 1, .. })));
    assert_eq!(model.encode(&["short"], &refuse).unwrap().truncated().count, 0);

    model.set_max_seq_length(5).unwrap();
    let ids = &model.tokenize(&[Input::Text(&long)]).unwrap()[0];
    assert_eq!(ids.ids.len(), 5);
    assert!(model.set_max_seq_length(0).is_err() && model.set_max_seq_length(141).is_err());
    // Special tokens always stay.
    model.set_max_seq_length(1).unwrap();
    assert_eq!(model.tokenize(&[Input::Text(&long)]).unwrap()[0].ids.len(), 2);
    model.set_max_seq_length(140).unwrap();
    model.encode(&[long], &plain()).unwrap();
}

/// More texts than a window: the next window is tokenized while one is computed.
#[test]
fn many_texts_are_embedded_as_few_are() {
    let model = model("bert-mean-normalize");
    let count = 1_500 * rushlight::process::num_threads().unwrap();
    let texts: Vec<_> = (0..count).map(|i| format!("text {i} {}", "word ".repeat(i % 7))).collect();
    let all = model.encode(&texts, &plain()).unwrap();
    for i in (0..count).step_by(97).chain([count - 1]) {
        assert_eq!(all.row(i), model.encode(&texts[i..=i], &plain()).unwrap().as_slice(), "{i}");
    }
    let encodings = model.encode_tokens(&texts.iter().map(|text| Input::Text(text)).collect::<Vec<_>>(), &plain());
    let encodings = encodings.unwrap();
    assert!(encodings.iter().map(|encoding| encoding.sentence_embedding.as_slice()).eq(all.rows()));

    // An error has the text's index in the whole input, and truncated texts are counted over all windows.
    let mut late = texts.clone();
    late[count - 2] = "long ".repeat(1_000);
    late[3] = late[count - 2].clone();
    let truncated = model.encode(&late, &plain()).unwrap().truncated();
    assert_eq!((truncated.count, truncated.longest > 1_000), (2, true));
    late[3] = String::new();
    let strict = plain().with_truncation(Truncation::Error);
    match model.encode(&late, &strict).unwrap_err() {
        Error::InvalidInput { index, .. } => assert_eq!(index, count - 2),
        other => panic!("{other}"),
    }
}

#[test]
fn clones_have_settings_of_their_own() {
    let first = model("bert-mean-normalize");
    let mut second = first.clone();
    second.set_max_seq_length(3).unwrap();
    second.set_similarity_fn(Similarity::Dot);
    second.prompts_mut().insert("query".to_owned(), "q".to_owned());
    assert_eq!((first.max_seq_length(), first.similarity_fn()), (Some(64), Similarity::Cosine));
    assert_eq!(first.prompts()["query"], "");
}

#[test]
fn pairs_are_read_as_one() {
    let model = model("bert-typed-tokenizer");
    let pair = model.encode_inputs(&[Input::Pair("one", "two"), Input::Text("one")], &plain()).unwrap();
    assert_ne!(pair.row(0), pair.row(1));
    let encoding = &model.encode_tokens(&[Input::Pair("one", "two")], &plain()).unwrap()[0];
    let types = encoding.token_type_ids.as_ref().expect("BertTokenizer has them");
    assert!(types.starts_with(&[0]) && types.ends_with(&[1]), "{types:?}");
    assert_eq!(encoding.sentence_embedding, pair.row(0));
}

#[test]
fn token_embeddings_pool_to_the_sentence_embedding() {
    let case = tiny("xlm-roberta-mean");
    let model = Model::from_dir(&case.model).unwrap();
    let inputs: Vec<_> = case.texts.iter().map(|text| Input::Text(text)).collect();
    let embeddings = model.encode(&case.texts, &plain()).unwrap();
    for (encoding, row) in model.encode_tokens(&inputs, &plain()).unwrap().iter().zip(embeddings.rows()) {
        assert_eq!(encoding.sentence_embedding, row);
        let tokens = encoding.input_ids.len();
        assert_eq!(encoding.token_embeddings.len(), tokens * model.hidden_size());
        for (i, mean) in row.iter().enumerate() {
            let column = encoding.token_embeddings.iter().skip(i).step_by(model.hidden_size());
            let truth = column.map(|x| f64::from(*x)).sum::<f64>() / tokens as f64;
            assert!((f64::from(*mean) - truth).abs() < 1e-6);
        }
    }
}

#[test]
fn a_folder_of_transformers_alone_is_mean_pooled() {
    let folder = tempfile::tempdir().unwrap();
    let case = tiny("xlm-roberta-mean");
    for name in ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"] {
        std::fs::copy(case.model.join(name), folder.path().join(name)).unwrap();
    }
    // Without modules.json these files are never read.
    let settings = r#"{"prompts": {"query": "q: "}, "default_prompt_name": "query", "truncate_dim": 3}"#;
    std::fs::write(folder.path().join("config_sentence_transformers.json"), settings).unwrap();
    let model = Model::from_dir(folder.path()).unwrap();
    assert!(case.largest_difference(model.encode(&case.texts, &plain()).unwrap().as_slice()) <= case.tolerance());
    assert_eq!(model.max_seq_length(), Some(128));
}

#[test]
fn an_observer_sees_progress_and_can_stop_it() {
    #[derive(Default)]
    struct Watch {
        calls: AtomicUsize,
        last: AtomicUsize,
        stop_after: Option<usize>,
    }
    impl Observer for Watch {
        fn progress(&self, done: usize, total: usize) {
            self.calls.fetch_add(1, Ordering::Relaxed);
            assert!(self.last.swap(done, Ordering::Relaxed) <= done && done <= total);
        }
        fn interrupted(&self) -> bool {
            self.stop_after.is_some_and(|limit| self.calls.load(Ordering::Relaxed) >= limit)
        }
    }
    let model = model("bert-mean-normalize");
    let texts: Vec<_> = (0..500).map(|i| format!("text number {i}")).collect();
    let watch = Watch::default();
    model.encode(&texts, &plain().with_observer(&watch)).unwrap();
    assert!(watch.calls.load(Ordering::Relaxed) > 1);
    assert_eq!(watch.last.load(Ordering::Relaxed), 500);

    let watch = Watch { stop_after: Some(1), ..Watch::default() };
    let stopped = model.encode(&texts, &plain().with_observer(&watch));
    assert!(matches!(stopped, Err(Error::Interrupted)));

    let rows = model.encode(&["text"], &plain()).unwrap();
    let watch = Watch { stop_after: Some(0), ..Watch::default() };
    let options = CallOptions::default().with_observer(&watch);
    assert!(matches!(model.similarity_with(&rows, &rows, &options), Err(Error::Interrupted)));
    assert!(matches!(model.similarity_pairwise_with(&rows, &rows, &options), Err(Error::Interrupted)));
}

#[test]
fn many_threads_share_a_model() {
    let case = tiny("mpnet-mean-normalize");
    let model = Model::from_dir(&case.model).unwrap();
    let all = model.encode(&case.texts, &plain()).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| assert!(model.encode(&case.texts, &plain()).unwrap() == all));
        }
    });
}

#[test]
fn missing_devices_are_errors_without_fallback_to_the_cpu() {
    let folder = tiny("bert-mean-normalize").model;
    let model = Model::from_dir(&folder).unwrap();
    assert_eq!(model.device(), Device::best());
    for device in [Device::Cuda(99), Device::Metal] {
        if Device::available().contains(&device) {
            continue;
        }
        let options = LoadOptions::default().with_device(device);
        let error = Model::from_dir_with(&folder, &options).unwrap_err();
        assert!(matches!(&error, Error::Device { device: named, .. } if *named == device.to_string()), "{error}");
        assert!(matches!(model.on(device), Err(Error::Device { .. })));
        assert!(matches!(DevicePool::new(&model, &[Device::Cpu, device]), Err(Error::Device { .. })));
    }
}

#[test]
fn options_say_what_they_are() {
    let model = model("bert-mean-normalize");
    assert!(format!("{model:?}").contains("embedding_dimension: 32"));
    assert!(format!("{:?}", plain()).contains("truncate_dim: None"));
    let _: BTreeMap<String, String> = LoadOptions::default().prompts;
}

#[test]
fn a_short_call_is_served_while_a_long_one_runs() {
    let model = model("mpnet-mean-normalize");
    let texts: Vec<_> = (0..200_000).map(|i| format!("{i} {}", "word ".repeat(100))).collect();
    let long_is_done = std::sync::atomic::AtomicBool::new(false);
    struct Stop<'a>(&'a std::sync::atomic::AtomicBool);
    impl Observer for Stop<'_> {
        fn interrupted(&self) -> bool {
            self.0.load(Ordering::Relaxed)
        }
    }
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let observer = Stop(&stop);
            let result = model.encode(&texts, &plain().with_observer(&observer));
            assert!(matches!(result, Err(Error::Interrupted)));
            long_is_done.store(true, Ordering::Relaxed);
        });
        for _ in 0..20 {
            std::thread::sleep(std::time::Duration::from_millis(10));
            model.encode(&["short"], &plain()).unwrap();
        }
        assert!(!long_is_done.load(Ordering::Relaxed), "the short calls waited for the long one");
        stop.store(true, Ordering::Relaxed);
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// A text's embedding among any others equals the one that it has alone.
    #[test]
    fn any_batch_gives_the_bits_of_its_texts_alone(
        texts in prop::collection::vec("\\PC{0,40}|[a-z ]{0,300}", 1..12), case in 0usize..3,
    ) {
        let model = model(["bert-multi-pooling", "roberta-mean-normalize", "mpnet-cls-dot"][case]);
        let together = model.encode(&texts, &plain()).unwrap();
        for (text, row) in texts.iter().zip(together.rows()) {
            let alone = model.encode(&[text], &plain()).unwrap();
            prop_assert_eq!(alone.as_slice(), row);
        }
    }
}
