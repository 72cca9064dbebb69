//! Files of safetensors: edited headers, wrong lengths, missing bytes.

use std::collections::BTreeMap;

use arbitrary::{Arbitrary, Unstructured};

use super::super::edits::{Edit, edited};
use super::super::folder::on_case;
use super::super::oracle::{TEXTS, check_folder};

const CASES: [&str; 3] = ["static/model2vec-vocabulary", "static/model2vec-int8-plain", "tiny/static-model2vec"];

#[derive(Arbitrary, Debug)]
enum Change {
    /// The file as it is.
    Raw(Vec<u8>),
    Header {
        edits: Vec<Edit>,
        /// Replaces the header's length.
        length: Option<u64>,
        /// Added to the header's length.
        more: i8,
        /// Bytes that the end lacks.
        cut: u16,
        /// Bytes after the end.
        rest: Vec<u8>,
    },
}

pub fn check(data: &[u8]) {
    let Ok((case, change)) = <(u8, Change)>::arbitrary_take_rest(Unstructured::new(data)) else { return };
    on_case(CASES[usize::from(case) % CASES.len()], |folder| {
        let bytes = changed(&folder.files["model.safetensors"], change);
        let files = BTreeMap::from([("model.safetensors".to_owned(), Some(bytes))]);
        folder.with(&files, |path| check_folder(path, &TEXTS));
    });
}

fn changed(file: &[u8], change: Change) -> Vec<u8> {
    let (edits, length, more, cut, rest) = match change {
        Change::Raw(bytes) => return bytes,
        Change::Header { edits, length, more, cut, rest } => (edits, length, more, cut, rest),
    };
    let (count, body) = file.split_first_chunk().unwrap();
    let (header, numbers) = body.split_at(u64::from_le_bytes(*count) as usize);
    let header = edited(header, &edits);
    let length = length.unwrap_or((header.len() as u64).saturating_add_signed(more.into()));
    let mut bytes = [&length.to_le_bytes(), &header[..], numbers].concat();
    bytes.truncate(bytes.len().saturating_sub(cut.into()));
    [bytes, rest].concat()
}
