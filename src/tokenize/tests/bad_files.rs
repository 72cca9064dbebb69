//! Bad files: each error names the file and the key.

use serde_json::{Value, json};

use super::{CONFIG, base, folder, load_bert, load_folder, load_texts};
use crate::error::{Error, Result};
use crate::tokenize::Tokenizer;

/// The file's name and the key that an error names.
fn file_and_key(result: Result<Tokenizer>) -> (String, String) {
    match result.err() {
        Some(Error::InvalidConfig { file, key, .. }) => (file.file_name().unwrap().to_string_lossy().into_owned(), key),
        Some(other) => panic!("another error: {other:?}"),
        None => panic!("no error"),
    }
}

#[test]
fn a_folder_without_tokenizer_json_says_so() {
    for (model_type, files, instead) in [
        ("bert", vec![], "vocab.txt would do"),
        ("roberta", vec![("vocab.json", "{}".to_owned())], "vocab.json with merges.txt would do"),
        ("xlm-roberta", vec![("vocab.txt", "<s>".to_owned())], "no other file"),
    ] {
        let folder = folder(files);
        let error = load_folder(folder.path(), model_type, false).err().unwrap();
        assert!(matches!(&error, Error::FileNotFound { path, .. } if path.ends_with("tokenizer.json")), "{error}");
        assert!(error.to_string().contains(instead), "{error}");
    }
}

#[test]
fn classes_that_are_missing_are_refused_by_name() {
    for class in ["BertJapaneseTokenizer", "DebertaTokenizer", "DebertaTokenizerFast"] {
        let config = json!({ "tokenizer_class": class }).to_string();
        let folder = folder([("tokenizer.json", "{}".to_owned()), (CONFIG, config)]);
        let error = load_folder(folder.path(), "bert", false).err().unwrap();
        assert!(matches!(&error, Error::Unsupported { got, .. } if got.ends_with("Tokenizer")), "{error}");
    }
}

#[test]
fn files_that_are_no_json_objects_are_refused() {
    let deep = "[".repeat(100_000);
    for bad in ["", "{", "nonsense", "\u{feff}{}", "{\"a\": NaN}", &deep] {
        let good = json!({"tokenizer_class": "BertTokenizer"}).to_string();
        assert_eq!(file_and_key(load_texts(bad, &good)).0, "tokenizer.json", "{bad:.20}");
        let (file, key) = file_and_key(load_texts("{}", bad));
        assert!(file == CONFIG && key.starts_with("line "), "{bad:.20}: {file} {key}");
    }
    for bad in ["[]", "null", "3", "\"text\""] {
        assert_eq!(file_and_key(load_texts("{}", bad)), (CONFIG.to_owned(), "(whole file)".to_owned()));
        assert_eq!(file_and_key(load_texts(bad, "{}")), ("tokenizer.json".to_owned(), "(whole file)".to_owned()));
    }
}

#[test]
fn bad_settings_are_refused_by_key() {
    let tokenizer = Value::Object(base("bert"));
    let bad = [
        ("tokenizer_class", json!(3)),
        ("do_lower_case", json!("yes")),
        ("do_lower_case", json!(null)),
        ("strip_accents", json!(1)),
        ("tokenize_chinese_chars", json!([])),
        ("split_special_tokens", json!("no")),
        ("model_max_length", json!(-1)),
        ("model_max_length", json!(0)),
        ("model_max_length", json!(12.5)),
        ("model_max_length", json!("512")),
        ("max_len", json!(0)),
        ("padding_side", json!("middle")),
        ("truncation_side", json!(null)),
        ("model_input_names", json!("input_ids")),
        ("cls_token", json!(null)),
        ("sep_token", json!(["[SEP]"])),
        ("unk_token", json!(null)),
        ("added_tokens_decoder", json!([])),
        ("extra_special_tokens", json!(7)),
        ("init_inputs", json!(["vocab.txt"])),
        ("fast_tokenizer_files", json!(["tokenizer.4.0.0.json"])),
    ];
    for (key, value) in bad {
        let mut config = json!({"tokenizer_class": "BertTokenizer"});
        config[key] = value.clone();
        assert_eq!(file_and_key(load_bert(&tokenizer, &config)), (CONFIG.to_owned(), key.to_owned()), "{value}");
    }
    for (class, key, value) in [
        ("DebertaV2Tokenizer", "unk_id", json!(-1)),
        ("T5Tokenizer", "extra_ids", json!(1.5)),
        ("T5Tokenizer", "eos_token", json!(null)),
        ("Qwen2Tokenizer", "add_prefix_space", json!(0)),
    ] {
        let base = if class.starts_with("Qwen2") { "roberta" } else { "unigram" };
        let mut config = json!({"tokenizer_class": class, "cls_token": "<s>", "sep_token": "</s>"});
        config[key] = value.clone();
        let result = load_bert(&Value::Object(self::base(base)), &config);
        assert_eq!(file_and_key(result), (CONFIG.to_owned(), key.to_owned()), "{class}: {value}");
    }
    let gemma =
        load_bert(&Value::Object(base("gemma")), &json!({"tokenizer_class": "GemmaTokenizer", "unk_token": null}));
    assert_eq!(file_and_key(gemma), (CONFIG.to_owned(), "unk_token".to_owned()));
    let nested = [
        ("mask_token", json!({"content": 1}), "mask_token.content"),
        ("mask_token", json!({"content": "x", "lstrip": 1}), "mask_token.lstrip"),
        ("added_tokens_decoder", json!({"x": {"content": "x"}}), "added_tokens_decoder.x"),
        ("added_tokens_decoder", json!({"-1": {"content": "x"}}), "added_tokens_decoder.-1"),
        ("added_tokens_decoder", json!({"1": "x"}), "added_tokens_decoder.1"),
        ("additional_special_tokens", json!([1]), "additional_special_tokens[0]"),
    ];
    for (key, value, expected) in nested {
        let mut config = json!({"tokenizer_class": "BertTokenizer"});
        config[key] = value.clone();
        assert_eq!(file_and_key(load_bert(&tokenizer, &config)), (CONFIG.to_owned(), expected.to_owned()), "{value}");
    }
}

/// The typed class's family, a key of tokenizer.json, what replaces it, and the key that the error must name for the
/// generic class and for the typed one (`None`: that class does not look at it).
type Bad = (&'static str, &'static str, Value, Option<&'static str>, Option<&'static str>);

#[rustfmt::skip]
fn bad_tokenizers() -> Vec<Bad> {
    let charsmap = |text: &str| json!({"type": "Precompiled", "precompiled_charsmap": text});
    let template = json!({"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "[X]", "type_id": 0}}], "pair": [], "special_tokens": {}});
    let bytes = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false});
    let unigram = |vocab: Value, unk_id: u64| json!({"type": "Unigram", "vocab": vocab, "unk_id": unk_id});
    let bpe = |vocab: Value, merges: Value| json!({"type": "BPE", "vocab": vocab, "merges": merges});
    let in_model = Some("model");
    let post = Some("post_processor");
    vec![
        ("bert", "version", json!("9"), Some("version"), Some("version")),
        ("bert", "version", json!(1), Some("version"), Some("version")),
        ("bert", "model", json!(null), in_model, in_model),
        ("bert", "model", json!([]), in_model, in_model),
        ("bert", "model", json!({"type": "Nonsense"}), in_model, Some("model.vocab")),
        ("bert", "model", json!({"type": "WordPiece"}), in_model, Some("model.vocab")),
        ("bert", "model", json!({"type": "WordPiece", "vocab": {"a": -1}}), in_model, Some("model.vocab")),
        ("bert", "model", json!({"type": "WordPiece", "vocab": {"a": "b"}}), in_model, Some("model.vocab")),
        ("bert", "model", json!({"type": "WordPiece", "vocab": {"a": 5_000_000_000_u64}}), in_model, Some("model.vocab")),
        ("bert", "model", json!({"type": "WordPiece", "vocab": [1, 2]}), in_model, Some("model.vocab")),
        ("bert", "normalizer", json!(3), Some("normalizer"), Some("normalizer")),
        ("bert", "normalizer", json!({"type": "Nonsense"}), Some("normalizer"), Some("normalizer")),
        ("bert", "normalizer", json!({"type": "Replace", "pattern": {"Regex": "(["}, "content": ""}), Some("normalizer"), Some("normalizer")),
        ("bert", "normalizer", charsmap(""), Some("normalizer.precompiled_charsmap"), Some("normalizer.precompiled_charsmap")),
        ("bert", "normalizer", charsmap("/////w=="), Some("normalizer.precompiled_charsmap"), Some("normalizer.precompiled_charsmap")),
        ("bert", "normalizer", charsmap("AAAAAP//"), Some("normalizer"), Some("normalizer")),
        ("bert", "normalizer", charsmap("AAAAAA!!"), Some("normalizer.precompiled_charsmap"), Some("normalizer.precompiled_charsmap")),
        // 4 0 0 0, a trie, 300 times "a".
        ("bert", "normalizer", charsmap(&format!("BAAAAAECAwRh{}", "YWFh".repeat(100))), Some("normalizer.precompiled_charsmap"), Some("normalizer.precompiled_charsmap")),
        ("bert", "pre_tokenizer", json!({"type": "Sequence", "pretokenizers": vec![bytes; 5]}), Some("pre_tokenizer"), None),
        ("bert", "post_processor", json!({"type": "Sequence", "processors": vec![0; 257]}), post, post),
        ("bert", "pre_tokenizer", json!({"type": "Split", "pattern": {"Regex": "(["}, "behavior": "Isolated", "invert": false}), Some("pre_tokenizer"), Some("pre_tokenizer")),
        ("bert", "decoder", json!([]), Some("decoder"), Some("decoder")),
        ("bert", "padding", json!({"strategy": "Nonsense"}), Some("padding"), Some("padding")),
        ("bert", "truncation", json!(5), Some("truncation"), Some("truncation")),
        ("bert", "post_processor", json!({"type": "Nonsense"}), Some("post_processor"), Some("post_processor")),
        ("bert", "post_processor", template, post, None),
        ("bert", "added_tokens", json!({}), Some("added_tokens"), Some("added_tokens")),
        ("bert", "added_tokens", json!([1]), Some("added_tokens[0]"), Some("added_tokens[0]")),
        ("bert", "added_tokens", json!([{"content": "x"}]), Some("added_tokens[0].id"), Some("added_tokens[0].id")),
        ("bert", "added_tokens", json!([{"id": 1}]), Some("added_tokens[0].content"), Some("added_tokens[0].content")),
        ("bert", "model", unigram(json!([]), 0), in_model, Some("model.vocab")),
        ("bert", "model", unigram(json!([["a", 0.0]]), 1), in_model, None),
        ("bert", "model", unigram(json!([["a"]]), 0), in_model, None),
        ("xlm-roberta", "model", unigram(json!([]), 0), in_model, Some("model.vocab")),
        ("xlm-roberta", "model", unigram(json!([["a", 0.0]]), 0), None, Some("model.vocab")),
        ("xlm-roberta", "model", unigram(json!([["a", "b"]]), 0), in_model, Some("model.vocab")),
        ("xlm-roberta", "model", json!({"type": "WordPiece", "vocab": {"a": 1}}), in_model, Some("model.vocab")),
        ("roberta", "model", bpe(json!({"a": 0, "b": 1}), json!(["a b"])), in_model, Some("model.merges")),
        ("roberta", "model", bpe(json!({"a": 0, "b": 1}), json!([["a", "c"]])), in_model, Some("model.merges")),
        ("roberta", "model", bpe(json!({"a": 0, "b": 1}), json!(["ab"])), in_model, Some("model.merges[0]")),
        ("roberta", "model", bpe(json!({"a": 0, "b": 1}), json!([["a", "b", "c"]])), in_model, Some("model.merges[0]")),
        ("roberta", "model", bpe(json!({"a": 0, "b": 1}), json!([7])), in_model, Some("model.merges[0]")),
        ("roberta", "model", bpe(json!({"a": 0, "b": 1}), json!(7)), in_model, Some("model.merges")),
        ("roberta", "model", bpe(json!({}), json!([])), None, Some("model.vocab")),
    ]
}

#[test]
fn bad_tokenizers_are_refused_by_key() {
    for (model_type, key, value, generic, typed) in bad_tokenizers() {
        let mut tokenizer = Value::Object(base("bert"));
        tokenizer[key] = value.clone();
        let class = match model_type {
            "bert" => "BertTokenizer",
            "roberta" => "RobertaTokenizer",
            _ => "XLMRobertaTokenizer",
        };
        for (class, expected) in [("TokenizersBackend", generic), (class, typed)] {
            let result = load_bert(&tokenizer, &json!({"tokenizer_class": class}));
            match expected {
                Some(expected) => assert_eq!(file_and_key(result).1, expected, "{class}: {value}"),
                None => drop(result.map_err(|error| panic!("{class}: {value}: {error}"))),
            }
        }
    }
}

#[test]
fn failures_on_a_text_are_errors() {
    let mut tokenizer = base("bert");
    tokenizer["model"]["vocab"].as_object_mut().unwrap().remove("[UNK]");
    tokenizer.insert("added_tokens".to_owned(), json!([]));
    let loaded = load_bert(&Value::Object(tokenizer), &json!({"tokenizer_class": "TokenizersBackend"})).unwrap();
    assert!(loaded.encode_plain("the").is_ok());
    assert!(matches!(loaded.encode_plain("\u{10ffff}x日"), Err(Error::Tokenizer(_))));

    // A charsmap whose trie points nowhere.
    let mut tokenizer = Value::Object(base("unigram"));
    tokenizer["normalizer"] = json!({"type": "Precompiled", "precompiled_charsmap": "BAAAAAH///8="});
    let loaded = load_bert(&tokenizer, &json!({"tokenizer_class": "TokenizersBackend"})).unwrap();
    assert!(matches!(loaded.encode_plain("a"), Err(Error::Tokenizer(_))));
}

#[test]
fn a_decoder_that_doubles_without_end_is_an_error() {
    let mut tokenizer = Value::Object(base("bert"));
    let twice = json!({"type": "Replace", "pattern": {"String": "a"}, "content": "aa"});
    tokenizer["decoder"] = json!({"type": "Sequence", "decoders": vec![twice; 40]});
    let tokenizer = load_bert(&tokenizer, &json!({"tokenizer_class": "TokenizersBackend"})).unwrap();
    let ids = tokenizer.encode_plain("a").unwrap();
    let error = tokenizer.decode(&ids, false).unwrap_err().to_string();
    assert!(error.contains("makes more than"), "{error}");
}

#[test]
fn extra_ids_are_limited() {
    let load = |count: u64| {
        let config = json!({"tokenizer_class": "T5Tokenizer", "extra_ids": count}).to_string();
        let files = [("tokenizer.json", Value::Object(base("unigram")).to_string()), (CONFIG, config)];
        load_folder(folder(files).path(), "t5", false)
    };
    assert!(load(1000).is_ok());
    assert_eq!(file_and_key(load(10_000_000)), (CONFIG.to_owned(), "extra_ids".to_owned()));
}
