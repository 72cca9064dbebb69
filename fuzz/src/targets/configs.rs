//! Folders of all kinds of models, whose JSON files are edited.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use arbitrary::{Arbitrary, Unstructured};

use super::super::edits::{Edit, edited};
use super::super::folder::{cases, on_case};
use super::super::oracle::{TEXTS, check_folder};

#[derive(Arbitrary, Debug)]
pub struct Change {
    file: u8,
    edits: Vec<Edit>,
}

pub fn check(data: &[u8]) {
    static CASES: LazyLock<Vec<String>> =
        LazyLock::new(|| ["tiny", "rerank", "sparse", "hybrid", "routes"].into_iter().flat_map(cases).collect());
    check_case(&CASES, data);
}

/// Checks one of the cases with edits.
pub fn check_case(cases: &[String], data: &[u8]) {
    let Ok((case, changes)) = <(u8, Vec<Change>)>::arbitrary_take_rest(Unstructured::new(data)) else { return };
    on_case(&cases[usize::from(case) % cases.len()], |folder| {
        let names: Vec<_> = folder.files.keys().filter(|name| name.ends_with(".json")).collect();
        let names: Vec<_> = names.into_iter().filter(|name| !name.ends_with("tokenizer.json")).collect();
        let mut files = BTreeMap::new();
        for Change { file, edits } in changes.iter().take(3) {
            let Some(name) = names.get(usize::from(*file) % names.len().max(1)) else { continue };
            files.insert((*name).clone(), Some(edited(&folder.files[*name], edits)));
        }
        folder.with(&files, |path| check_folder(path, &TEXTS));
    });
}
