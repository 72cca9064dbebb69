//! Tests against transformers' results for small folders (tests/data/tokenizers, written by make.py).

mod bad_files;
mod siglip;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use super::class::{self, DefaultClass};
use super::{Input, Tokenizer, TokenizerSettings};
use crate::config::{JsonFile, TransformerTask};
use crate::error::Result;
use crate::families::Family;

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tokenizers");

#[derive(Deserialize)]
struct Texts {
    texts: Vec<String>,
    pairs: Vec<(usize, usize)>,
}

#[derive(Deserialize)]
struct Case {
    model_type: String,
    base: String,
    replaced: Map<String, Value>,
    files: BTreeMap<String, Value>,
    do_lower_case: bool,
    expected: Expected,
}

#[derive(Deserialize)]
struct Expected {
    token_type_ids: bool,
    pad_id: Option<u32>,
    pad_left: bool,
    vocab_size: usize,
    max_id: u32,
    model_max_length: Option<usize>,
    ids: Vec<Vec<u32>>,
    cut: BTreeMap<usize, [Vec<u32>; 2]>,
    pairs: Vec<Vec<u32>>,
    pair_types: Option<Vec<String>>,
    cut_pairs: BTreeMap<usize, Vec<Vec<u32>>>,
    prompted: BTreeMap<String, Vec<u32>>,
    prompt_lengths: BTreeMap<String, [usize; 2]>,
    decodable: Vec<u32>,
    decoded: [String; 2],
}

fn read<T: for<'de> Deserialize<'de>>(path: impl AsRef<Path>) -> T {
    let path = path.as_ref();
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Returns a file of tests/data, where equal files are stored once.
fn stored(path: &str) -> PathBuf {
    let data = Path::new(DATA).join("..");
    let shared: BTreeMap<String, String> = read(data.join("shared.json"));
    data.join(shared.get(path).map_or(path, String::as_str))
}

fn base(name: &str) -> Map<String, Value> {
    read(Path::new(DATA).join("base").join(name).with_extension("json"))
}

/// A folder with the given files.
fn folder<'a>(files: impl IntoIterator<Item = (&'a str, String)>) -> TempDir {
    let folder = TempDir::new().unwrap();
    for (name, content) in files {
        fs::write(folder.path().join(name), content).unwrap();
    }
    folder
}

/// Loads a folder's tokenizer as one of this `model_type`.
fn load_folder(folder: &Path, model_type: &str, do_lower_case: bool) -> Result<Tokenizer> {
    let class = match model_type {
        // No family yet: transformers overrules the class of its folders.
        "qwen2" => DefaultClass::Always(&class::QWEN2),
        _ => {
            let config = JsonFile { path: "config.json".into(), value: json!({ "model_type": model_type }) };
            Family::of(&config, TransformerTask::FeatureExtraction).unwrap().tokenizer
        }
    };
    Tokenizer::load(folder, class, TokenizerSettings { do_lower_case, ..TokenizerSettings::default() })
}

fn load(case: &Case) -> Tokenizer {
    let mut tokenizer = base(&case.base);
    tokenizer.extend(case.replaced.clone());
    let tokenizer = ("tokenizer.json", Value::Object(tokenizer).to_string());
    let folder = folder(case.files.iter().map(|(name, file)| (name.as_str(), file.to_string())).chain([tokenizer]));
    load_folder(folder.path(), &case.model_type, case.do_lower_case).unwrap()
}

fn check(name: &str, case: &Case, Texts { texts, pairs }: &Texts) {
    let (tokenizer, expected) = (load(case), &case.expected);
    assert_eq!(tokenizer.has_token_type_ids(), expected.token_type_ids, "{name}");
    assert_eq!(tokenizer.pad_id(), expected.pad_id, "{name}");
    assert_eq!(tokenizer.pad_left(), expected.pad_left, "{name}");
    assert_eq!(tokenizer.vocab_size(), expected.vocab_size, "{name}");
    assert_eq!(tokenizer.max_id(), expected.max_id, "{name}");
    assert_eq!(tokenizer.model_max_length(), expected.model_max_length, "{name}");

    let ids = |input: Input<'_>, prompt: &str, length: usize| tokenizer.encode(input, prompt, length).unwrap().ids;
    for (text, expected) in texts.iter().zip(&expected.ids) {
        let tokens = tokenizer.encode(Input::Text(text), "", usize::MAX).unwrap();
        assert_eq!(&tokens.ids, expected, "{name}: {text:?}");
        assert_eq!(tokens.full_length, expected.len(), "{name}: {text:?}");
        assert_eq!(tokens.type_ids.map(|ids| ids.len()), tokenizer.has_token_type_ids().then_some(expected.len()));
        assert_eq!(tokenizer.count(Input::Text(text)).unwrap(), expected.len(), "{name}: {text:?}");
    }
    for (&length, expected) in &expected.cut {
        for (text, expected) in [&texts[21], &texts[0]].into_iter().zip(expected) {
            assert_eq!(&ids(Input::Text(text), "", length), expected, "{name}: {text:?} cut to {length}");
        }
    }
    for (index, &(first, second)) in pairs.iter().enumerate() {
        let input = Input::Pair(&texts[first], &texts[second]);
        let tokens = tokenizer.encode(input, "", usize::MAX).unwrap();
        let types = tokens.type_ids.map(|ids| ids.iter().map(u32::to_string).collect::<String>());
        assert_eq!(tokens.ids, expected.pairs[index], "{name}: {input:?}");
        assert_eq!(types.as_ref(), expected.pair_types.as_ref().map(|types| &types[index]), "{name}: {input:?}");
        assert_eq!(tokenizer.count(input).unwrap(), tokens.full_length, "{name}: {input:?}");
        for (&length, expected) in &expected.cut_pairs {
            match tokenizer.encode(input, "", length) {
                Ok(tokens) => {
                    assert_eq!(tokens.ids, expected[index], "{name}: {input:?} cut to {length}");
                    assert_eq!(tokens.full_length, tokenizer.count(input).unwrap());
                }
                Err(error) => panic!("{name}: {input:?} cut to {length}: {error}"),
            }
        }
    }
    for (prompt, expected) in &expected.prompted {
        assert_eq!(&ids(Input::Text(&texts[0]), prompt, usize::MAX), expected, "{name}: {prompt:?}");
    }
    for (prompt, expected) in &expected.prompt_lengths {
        let lengths = [4, 100].map(|length| tokenizer.prompt_length(prompt, length).unwrap());
        assert_eq!(&lengths, expected, "{name}: {prompt:?}");
    }
    let decoded = [false, true].map(|skip| tokenizer.decode(&expected.decodable, skip).unwrap());
    assert_eq!(decoded, expected.decoded, "{name}");
}

#[test]
fn all_cases_are_as_in_transformers() {
    let texts = read(Path::new(DATA).join("texts.json"));
    let mut cases: Vec<PathBuf> =
        fs::read_dir(Path::new(DATA).join("cases")).unwrap().map(|e| e.unwrap().path()).collect();
    cases.sort();
    assert!(cases.len() > 50, "{} cases", cases.len());
    for case in cases {
        check(&case.file_stem().unwrap().to_string_lossy(), &read(&case), &texts);
    }
}

const CONFIG: &str = "tokenizer_config.json";

/// Loads a BERT folder with these two files.
fn load_bert(tokenizer: &Value, config: &Value) -> Result<Tokenizer> {
    load_texts(&tokenizer.to_string(), &config.to_string())
}

fn load_texts(tokenizer: &str, config: &str) -> Result<Tokenizer> {
    let folder = folder([("tokenizer.json", tokenizer.to_owned()), (CONFIG, config.to_owned())]);
    load_folder(folder.path(), "bert", false)
}

/// The files of old folders give the tokens that tokenizer.json gives to the same class.
#[test]
fn a_vocabulary_alone_is_enough_for_some_classes() {
    let texts = ["", "The weather is lovely today.", "Ünïcödé 😀 [SEP] </s> <mask>", "  two  spaces\tand\nlines "];
    for (case, class) in [
        ("bert", "BertTokenizer"),
        ("mpnet", "MPNetTokenizer"),
        ("distilbert", "DistilBertTokenizer"),
        ("roberta", "RobertaTokenizer"),
        ("roberta", "Qwen2Tokenizer"),
        ("roberta", "CLIPTokenizer"),
    ] {
        let mut whole: Map<String, Value> = read(stored(&format!("tiny/{case}-mean-normalize/model/tokenizer.json")));
        whole.remove("post_processor");
        whole.remove("added_tokens");
        let vocab = whole["model"]["vocab"].as_object().unwrap();
        let mut config = json!({ "tokenizer_class": class });
        if case == "roberta" {
            config["unk_token"] = "<unk>".into();
            config["eos_token"] = "</s>".into();
            config["bos_token"] = "<s>".into();
        }
        let config = (CONFIG, config.to_string());
        let alone = if case == "roberta" {
            let merge = |merge: &Value| match merge {
                Value::String(merge) => merge.clone(),
                pair => format!("{} {}", pair[0].as_str().unwrap(), pair[1].as_str().unwrap()),
            };
            let merges: Vec<_> = whole["model"]["merges"].as_array().unwrap().iter().map(merge).collect();
            let merges = format!("#version: 0.2\n{}\n", merges.join("\n"));
            folder([config.clone(), ("vocab.json", Value::Object(vocab.clone()).to_string()), ("merges.txt", merges)])
        } else {
            let mut tokens: Vec<_> = vocab.keys().cloned().collect();
            tokens.sort_by_key(|token| vocab[token].as_u64());
            folder([config.clone(), ("vocab.txt", tokens.join("\n") + "\n")])
        };
        let filed = folder([config, ("tokenizer.json", Value::Object(whole.clone()).to_string())]);
        let [alone, filed] = [&alone, &filed].map(|folder| load_folder(folder.path(), case, false).unwrap());
        for text in texts {
            let ids = |tokenizer: &Tokenizer| tokenizer.encode(Input::Text(text), "", usize::MAX).unwrap();
            assert_eq!(ids(&alone), ids(&filed), "{class}: {text:?}");
        }
    }
}

#[test]
fn limits_are_read() {
    let limit = |config: Value| load_bert(&Value::Object(base("bert")), &config).unwrap().model_max_length();
    assert_eq!(limit(json!({"model_max_length": 512})), Some(512));
    assert_eq!(limit(json!({"max_len": 128})), Some(128));
    assert_eq!(limit(json!({"max_len": 128, "model_max_length": null})), None);
    assert_eq!(limit(json!({"model_max_length": 1e30})), None);
    assert_eq!(limit(json!({})), None);
}

/// The patterns of GPT-2 and of Qwen2: more blanks than the regex engine takes are a word but for the last one.
#[test]
fn words_after_many_blanks_have_their_tokens() {
    let blanks = 1_200_000;
    for class in ["RobertaTokenizer", "Qwen2Tokenizer", "TokenizersBackend"] {
        let tokenizer = load_bert(&Value::Object(base("roberta")), &json!({"tokenizer_class": class})).unwrap();
        let ids = |text: &str| tokenizer.encode_plain(text).unwrap();
        let text = " ".repeat(blanks) + "the cat";
        assert_eq!(ids(&text), [ids(&" ".repeat(blanks - 1)), ids(" the cat")].concat(), "{class}");
    }
}

/// Loads a folder of BERT's architecture with these files, with the steps of tokenizer.json or those of its class.
fn load_as_filed(tokenizer: &Value, config: &Value, as_filed: bool) -> Result<Tokenizer> {
    let folder = folder([("tokenizer.json", tokenizer.to_string()), (CONFIG, config.to_string())]);
    let settings = TokenizerSettings { as_filed, ..TokenizerSettings::default() };
    Tokenizer::load(folder.path(), DefaultClass::Undeclared(&class::BERT), settings)
}

#[test]
fn a_class_that_gives_other_ids_than_the_file_is_told() {
    let (cased, config) = (Value::Object(base("bert")), json!({ "tokenizer_class": "BertTokenizer" }));
    let [by_class, filed] = [false, true].map(|as_filed| load_as_filed(&cased, &config, as_filed).unwrap());
    let difference = by_class.difference().unwrap();
    assert_eq!((difference.class, filed.difference()), ("BertTokenizer", None));
    let ids = |tokenizer: &Tokenizer, text| tokenizer.encode(Input::Text(text), "", usize::MAX).unwrap().ids;
    assert_eq!(ids(&by_class, difference.text), difference.ids);
    assert_eq!(ids(&filed, difference.text), difference.filed_ids);
    assert_ne!(difference.ids, difference.filed_ids);
    let message = difference.to_string();
    assert!(message.contains("BertTokenizer") && message.contains("tokenizer_as_filed"), "{message}");
}

#[test]
fn only_other_ids_are_a_difference() {
    let boundary = json!({ "type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true });
    let words = json!({ "type": "Sequence", "pretokenizers": [{ "type": "WhitespaceSplit" }, boundary] });
    let words = json!({ "pre_tokenizer": words, "normalizer": null });
    let same = [
        ("bert", json!({ "tokenizer_class": "BertTokenizer", "do_lower_case": false }), json!({})),
        ("uncased", json!({ "tokenizer_class": "BertTokenizer" }), json!({})),
        ("roberta", json!({ "tokenizer_class": "RobertaTokenizer" }), json!({})),
        (
            "roberta",
            json!({ "tokenizer_class": "TokenizersBackend" }),
            json!({ "normalizer": { "type": "Lowercase" } }),
        ),
        ("unigram", json!({ "tokenizer_class": "XLMRobertaTokenizer" }), words),
        ("gemma", json!({ "tokenizer_class": "GemmaTokenizer" }), json!({})),
        // Other steps that split all texts in the same way.
        ("gemma", json!({ "tokenizer_class": "GemmaTokenizer" }), json!({ "pre_tokenizer": null })),
    ];
    let other = [
        ("roberta", json!({ "tokenizer_class": "RobertaTokenizer" }), json!({ "normalizer": { "type": "Lowercase" } })),
        ("roberta", json!({ "tokenizer_class": "RobertaTokenizer" }), json!({ "post_processor": null })),
        ("unigram", json!({ "tokenizer_class": "XLMRobertaTokenizer" }), json!({})),
        ("gemma", json!({ "tokenizer_class": "LlamaTokenizer" }), json!({})),
    ];
    for (expected, cases) in [(false, &same[..]), (true, &other[..])] {
        for (name, config, replaced) in cases {
            let mut file = base(name);
            file.extend(replaced.as_object().unwrap().clone());
            let tokenizer = load_as_filed(&Value::Object(file), config, false).unwrap();
            assert_eq!(
                tokenizer.difference().is_some(),
                expected,
                "{name} {config} {replaced}: {:?}",
                tokenizer.difference()
            );
        }
    }
}

#[test]
fn an_unsupported_class_loads_as_filed() {
    let (file, config) = (Value::Object(base("roberta")), json!({ "tokenizer_class": "WhisperTokenizer" }));
    assert!(load_as_filed(&file, &config, false).is_err_and(|error| error.to_string().contains("WhisperTokenizer")));
    assert_eq!(load_as_filed(&file, &config, true).unwrap().difference(), None);
}

#[test]
fn special_tokens_are_kept_whatever_the_limit() {
    let tokenizer = load_bert(&Value::Object(base("bert")), &json!({"tokenizer_class": "BertTokenizer"})).unwrap();
    for limit in 0..=2 {
        assert_eq!(tokenizer.encode(Input::Text("a"), "", limit).unwrap().ids.len(), 2);
    }
    for limit in 0..=3 {
        let tokens = tokenizer.encode(Input::Pair("a", "b"), "", limit).unwrap();
        assert_eq!((tokens.ids.len(), tokens.full_length), (3, 5));
    }
    assert_eq!(tokenizer.prompt_length("a", 0).unwrap(), 1);
}

#[test]
fn long_texts_take_no_longer_than_their_length() {
    let class =
        |class: &str, name: &str| load_bert(&Value::Object(base(name)), &json!({"tokenizer_class": class})).unwrap();
    let tokenizers = [
        class("BertTokenizer", "bert"),
        class("RobertaTokenizer", "roberta"),
        class("XLMRobertaTokenizer", "unigram"),
        class("DebertaV2Tokenizer", "unigram"),
        class("Qwen2Tokenizer", "roberta"),
        class("GemmaTokenizer", "gemma"),
    ];
    for text in ["a", " ", "the cat ", "日", "[MASK]", "é", "\n"].map(|part| part.repeat(300_000 / part.len())) {
        for tokenizer in &tokenizers {
            let start = std::time::Instant::now();
            let tokens = tokenizer.encode(Input::Text(&text), "", 64).unwrap();
            assert!(tokens.ids.len() <= 64 && tokens.full_length >= 2);
            assert!(start.elapsed().as_secs() < 30, "{:.10}", text);
        }
    }
}

#[test]
fn threads_share_a_tokenizer() {
    let tokenizer = load_bert(&Value::Object(base("bert")), &json!({"tokenizer_class": "BertTokenizer"})).unwrap();
    let expected = tokenizer.encode_plain("The weather is lovely today.").unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_eq!(tokenizer.encode_plain("The weather is lovely today.").unwrap(), expected));
        }
    });
}
