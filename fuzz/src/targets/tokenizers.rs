//! Edited files of tokenizers: `tokenizer.json` with parts of others, and `tokenizer_config.json`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use arbitrary::{Arbitrary, Unstructured};
use serde_json::Value;

use super::super::edits::{Edit, edit, edited};
use super::super::folder::{cases, file, files, on_case};
use super::super::oracle::check_folder;
use super::super::texts::Texts;

const CASES: [&str; 10] = [
    "static/model2vec-int8-plain",
    "tiny/static-embedding",
    "tiny/bert-mean-normalize",
    "tiny/roberta-mean-normalize",
    "tiny/xlm-roberta-cls-normalize",
    "tiny/t5-mean-dense-normalize",
    "tiny/gemma3-causal",
    "tiny/qwen2-lasttoken-normalize",
    "tiny/bert-unigram",
    "tiny/bert-typed-tokenizer",
];
const PARTS: [&str; 7] =
    ["normalizer", "pre_tokenizer", "post_processor", "model", "added_tokens", "truncation", "padding"];

#[derive(Arbitrary, Debug)]
struct Change {
    case: u8,
    /// Parts of other files.
    parts: Vec<(u8, u8)>,
    /// Edits within a part.
    edits: Vec<(u8, Edit)>,
    config: Vec<Edit>,
    texts: Texts,
}

pub fn check(data: &[u8]) {
    let Ok(change) = Change::arbitrary_take_rest(Unstructured::new(data)) else { return };
    on_case(CASES[usize::from(change.case) % CASES.len()], |folder| {
        let mut tokenizer: Value = serde_json::from_slice(&folder.files["tokenizer.json"]).unwrap();
        for (part, other) in change.parts.iter().take(2) {
            let part = PARTS[usize::from(*part) % PARTS.len()];
            tokenizer[part] = others()[usize::from(*other) % others().len()][part].clone();
        }
        for (part, change) in change.edits.iter().take(6) {
            edit(&mut tokenizer[PARTS[usize::from(*part) % PARTS.len()]], std::slice::from_ref(change));
        }
        let mut files = BTreeMap::from([("tokenizer.json".to_owned(), Some(tokenizer.to_string().into_bytes()))]);
        if !change.config.is_empty() {
            let name = "tokenizer_config.json";
            let before = folder.files.get(name).map_or(&b"{}"[..], Vec::as_slice);
            files.insert(name.to_owned(), Some(edited(before, &change.config)));
        }
        folder.with(&files, |path| check_folder(path, &change.texts.as_strs()));
    });
}

/// Returns the tokenizers whose parts are mixed.
fn others() -> &'static [Value] {
    static OTHERS: LazyLock<Vec<Value>> = LazyLock::new(|| {
        let of_cases = CASES.iter().map(|case| files(case).remove("tokenizer.json").unwrap());
        let parsed = |bytes: Vec<u8>| serde_json::from_slice(&bytes).ok();
        cases("tokenizers/base").iter().map(|path| file(path)).chain(of_cases).filter_map(parsed).collect()
    });
    &OTHERS
}
