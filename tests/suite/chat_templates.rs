//! Tests of chat templates and of rerankers whose modules make scores: bad files, and the behaviour of the models.

use std::fs;
use std::path::Path;

use crate::common::{copy, json, tiny};
use rushlight::{EncodeOptions, Error, Input, Model, PredictOptions, Reranker};
use serde_json::{Value, json};
use tempfile::TempDir;

const TEMPLATE: &str = "chat_template.jinja";
const PAIRS: [(&str, &str); 2] = [("a query", "a document"), ("another", "one more")];

fn copied(case: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    copy(&crate::common::data().join(case).join("model"), folder.path());
    folder
}

fn change(folder: &TempDir, file: &str, change: impl FnOnce(&mut Value)) {
    let path = folder.path().join(file);
    let mut value: Value = json(&path);
    change(&mut value);
    fs::write(path, value.to_string()).unwrap();
}

fn write(folder: &TempDir, file: &str, text: &str) {
    fs::write(folder.path().join(file), text).unwrap();
}

fn scores(folder: &Path) -> Vec<f32> {
    Reranker::from_dir(folder).unwrap().predict(&PAIRS, &PredictOptions::default()).unwrap().into_vec()
}

fn refused(folder: &TempDir) -> Error {
    Reranker::from_dir(folder.path()).unwrap_err()
}

/// Checks that loading fails by a file and a key, with these words.
fn check_config(folder: &TempDir, file: &str, key: &str, words: &[&str]) {
    let error = refused(folder);
    let text = error.to_string();
    assert!(text.contains(&format!("{file}: {key}")), "{text}");
    assert!(words.iter().all(|word| text.contains(word)), "{text}");
}

const CAUSAL: &str = "rerank/rerank-qwen3-causal";

#[test]
fn bad_templates_are_refused_by_file() {
    let cases: [(&str, &[&str]); 5] = [
        ("{{ messages[0].content }}\n{% if %}", &["line 2"]),
        ("{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}{% endif %}{% endfor %}", &["query"]),
        ("{{ messages[0].content }}", &["depend on the document"]),
        ("{{ raise_exception('only users') }}", &["only users", "pair"]),
        ("{% include 'other' %}", &["line 1"]),
    ];
    for (template, words) in cases {
        let folder = copied(CAUSAL);
        write(&folder, TEMPLATE, template);
        check_config(&folder, TEMPLATE, "(whole file)", words);
        fs::remove_file(folder.path().join(TEMPLATE)).unwrap();
        change(&folder, "tokenizer_config.json", |config| config["chat_template"] = json!(template));
        check_config(&folder, "tokenizer_config.json", "chat_template", words);
    }
    let folder = copied(CAUSAL);
    fs::write(folder.path().join(TEMPLATE), b"\xff").unwrap();
    check_config(&folder, TEMPLATE, "(whole file)", &["UTF-8"]);
    fs::remove_file(folder.path().join(TEMPLATE)).unwrap();
    let error = refused(&folder);
    assert!(matches!(&error, Error::FileNotFound { path, .. } if path.ends_with(TEMPLATE)), "{error}");
    for (template, words) in [(json!(3), "a list"), (json!([{ "name": "other", "template": "x" }]), "default")] {
        change(&folder, "tokenizer_config.json", |config| config["chat_template"] = template);
        check_config(&folder, "tokenizer_config.json", "chat_template", &[words]);
    }
}

#[test]
fn a_template_has_two_places() {
    let folder = copied(CAUSAL);
    let expected = scores(folder.path());
    let template = fs::read_to_string(folder.path().join(TEMPLATE)).unwrap();
    change(&folder, "tokenizer_config.json", |config| config["chat_template"] = json!("{{ messages }}"));
    assert_eq!(scores(folder.path()), expected, "the file wins");
    fs::remove_file(folder.path().join(TEMPLATE)).unwrap();
    let named = json!([{ "name": "tool_use", "template": "" }, { "name": "default", "template": template }]);
    change(&folder, "tokenizer_config.json", |config| config["chat_template"] = named);
    assert_eq!(scores(folder.path()), expected);
}

#[test]
fn settings_of_the_template_are_read_or_refused() {
    let with = |arguments: Value| {
        let folder = copied(CAUSAL);
        change(&folder, "sentence_bert_config.json", |settings| {
            settings["processing_kwargs"] = json!({ "chat_template": arguments, "text": {} });
        });
        folder
    };
    let file = "sentence_bert_config.json";
    let variables = with(json!({ "padding": true, "enable_thinking": false }));
    assert_eq!(scores(variables.path()), scores(copied(CAUSAL).path()));
    check_config(&with(json!({ "max_length": 9 })), file, "processing_kwargs.chat_template.max_length", &["9"]);
    check_config(&with(json!([1])), file, "processing_kwargs.chat_template", &["an object"]);
    let folder = copied(CAUSAL);
    change(&folder, file, |settings| settings["processing_kwargs"] = json!({ "text": { "padding": "max_length" } }));
    check_config(&folder, file, "processing_kwargs", &["max_length"]);
    let folder = copied(CAUSAL);
    change(&folder, file, |settings| settings["modality_config"]["message"]["format"] = json!("odd"));
    check_config(&folder, file, "modality_config.message.format", &["odd", "structured"]);
}

type Edit = fn(&mut Value);

#[test]
fn bad_tokens_of_logits_are_refused() {
    let file = "1_LogitScore/config.json";
    let cases: [(Edit, &str, &str); 5] = [
        (|config| drop(config.as_object_mut().unwrap().remove("true_token_id")), "true_token_id", "missing"),
        (|config| config["true_token_id"] = json!(-1), "true_token_id", "-1"),
        (|config| config["false_token_id"] = json!(100_000), "true_token_id, false_token_id", "100000"),
        (|config| config["module_input_name"] = json!("scores"), "module_input_name", "causal_logits"),
        (|config| config["extra"] = json!(1), "extra", "true_token_id"),
    ];
    for (edit, key, word) in cases {
        let folder = copied(CAUSAL);
        change(&folder, file, edit);
        check_config(&folder, file, key, &[word]);
    }
    let folder = copied("rerank/rerank-qwen3-causal-no-modules");
    change(&folder, "tokenizer.json", |tokenizer| {
        tokenizer["model"]["merges"] = json!([]);
        let vocabulary = tokenizer["model"]["vocab"].as_object_mut().unwrap();
        let id = vocabulary.remove("yes").unwrap();
        vocabulary.insert("not yes".to_owned(), id);
    });
    check_config(&folder, "tokenizer.json", "model.vocab", &["yes"]);
}

#[test]
fn the_last_of_a_rerankers_modules_makes_scores() {
    let folder = copied("rerank/rerank-qwen3-lasttoken-dense");
    change(&folder, "2_Dense/config.json", |config| config["module_output_name"] = json!("sentence_embedding"));
    check_config(&folder, "2_Dense/config.json", "module_output_name", &["scores"]);
    change(&folder, "modules.json", |modules| drop(modules.as_array_mut().unwrap().pop()));
    check_config(&folder, "modules.json", "(whole file)", &["Dense", "scores"]);
}

#[test]
fn saved_rerankers_have_the_same_scores() {
    let cases = ["causal", "llama-causal-structured", "causal-no-modules", "lasttoken-dense"].map(|case| match case {
        "llama-causal-structured" => format!("rerank/rerank-{case}"),
        case => format!("rerank/rerank-qwen3-{case}"),
    });
    for case in cases.iter().filter(|case| crate::common::data().join(case).exists()) {
        let folder = copied(case);
        let saved = tempfile::tempdir().unwrap();
        Reranker::from_dir(folder.path()).unwrap().save(saved.path().join("model")).unwrap();
        assert_eq!(scores(&saved.path().join("model")), scores(folder.path()), "{case}");
    }
}

const SENTENCES: &str = "tiny/qwen3-chat-template-lasttoken";

fn ids(model: &Model, input: Input<'_>) -> Vec<u32> {
    model.tokenize(&[input]).unwrap().remove(0).ids
}

#[test]
fn long_texts_keep_the_end_of_the_template() {
    let mut model = Model::from_dir(tiny("qwen3-chat-template-lasttoken").model).unwrap();
    let short = ids(&model, "a".into());
    let long = "one two three four ".repeat(60);
    assert!(model.count_tokens(&[long.as_str().into()]).unwrap()[0] > 128);
    let cut = ids(&model, long.as_str().into());
    assert_eq!((cut.len(), &cut[126..]), (128, &short[short.len() - 2..]));
    model.set_max_seq_length(1).unwrap();
    assert_eq!(ids(&model, long.as_str().into()), short[short.len() - 1..]);

    let folder = copied(SENTENCES);
    change(&folder, "sentence_bert_config.json", |settings| {
        settings["processing_kwargs"] = json!({ "chat_template": { "restore_suffix": false } });
    });
    let plain = ids(&Model::from_dir(folder.path()).unwrap(), long.as_str().into());
    assert_eq!(plain[..126], cut[..126]);
    assert_ne!(plain[126..], cut[126..]);
}

#[test]
fn an_input_that_the_template_refuses_is_named() {
    let folder = copied(SENTENCES);
    let template =
        "{% if 'no' in messages[-1].content %}{{ raise_exception('never no') }}{% endif %}{{ messages[-1].content }}";
    write(&folder, TEMPLATE, template);
    let model = Model::from_dir(folder.path()).unwrap();
    let error = model.encode(&["yes", "oh no"], &EncodeOptions::default()).unwrap_err();
    assert!(matches!(&error, Error::InvalidInput { index: 1, problem } if problem.contains("never no")), "{error}");
    let error = model.encode_inputs(&[("a", "b").into()], &EncodeOptions::default()).unwrap_err();
    assert!(matches!(&error, Error::InvalidInput { index: 0, problem } if problem.contains("pair")), "{error}");
    write(&folder, TEMPLATE, "{{ task }}{{ messages[-1].content }}");
    let error = Model::from_dir(folder.path()).unwrap_err();
    assert!(error.to_string().contains("`task`"), "{error}");
}

#[test]
fn chunks_fit_with_the_template_and_the_prompt() {
    let model = Model::from_dir(tiny("qwen3-chat-template-lasttoken").model).unwrap();
    let text = "One two three, four five six. ".repeat(20);
    let options = rushlight::ChunkOptions::default().with_max_tokens(40).with_prompt("Represent this");
    let chunks = model.chunk(&text, &options).unwrap();
    assert!(chunks.len() > 3);
    let strict = EncodeOptions::default().with_prompt("Represent this").with_truncation(rushlight::Truncation::Error);
    let mut short = model;
    short.set_max_seq_length(40).unwrap();
    let texts: Vec<_> = chunks.into_iter().map(|chunk| &text[chunk]).collect();
    short.encode(&texts, &strict).unwrap();
}

/// The engine recurses for each operator, and for each level of a value.
#[test]
fn templates_of_any_depth_end_without_an_overflow() {
    let deep = |part: &str| format!("{{{{ messages[0].content }}}}{{{{ {}1 }}}}", part.repeat(65_000 / part.len()));
    let nested = "{% set ns = namespace(x=1) %}{% for i in range(100000) %}{% set ns.x = [ns.x] %}{% endfor %}";
    let value = format!("{nested}{nested}{{{{ messages[0].content }}}}{{{{ ns.x | tojson | length }}}}");
    let parts = ["-", "not ", "1 + ", "1 ~ ", "1 if 1 else ", "x.a.a.a.a|trim|trim or ", "[", "("];
    for template in parts.map(deep).into_iter().chain([value]) {
        let folder = copied("tiny/qwen3-chat-template-lasttoken");
        write(&folder, TEMPLATE, &template);
        let encode = |model: Model| model.encode(&["a text"], &EncodeOptions::default()).map(|_| ());
        let result = Model::from_dir(folder.path()).and_then(encode);
        let typed = matches!(result, Ok(()) | Err(Error::InvalidConfig { .. } | Error::InvalidInput { .. }));
        assert!(typed, "{result:?} for {}", &template[..60]);
    }
    let folder = copied("tiny/qwen3-chat-template-lasttoken");
    write(&folder, TEMPLATE, &"a".repeat(65_537));
    let error = Model::from_dir(folder.path()).unwrap_err();
    assert!(error.to_string().contains("at most 65536 bytes, got 65537"), "{error}");
}
