//! Static models in the layouts of model2vec and sentence-transformers: edited configs and tensors of any shape.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use arbitrary::{Arbitrary, Unstructured};
use serde_json::{Map, Value, json};

use super::super::edits::{Edit, edited};
use super::super::folder::{cases, on_case};
use super::super::oracle::{TEXTS, check_folder};

#[derive(Arbitrary, Debug)]
struct Tensor {
    name: u8,
    dtype: u8,
    shape: Vec<u8>,
    /// Byte that the numbers repeat, with its index added.
    seed: u8,
}

#[derive(Arbitrary, Debug)]
struct Change {
    case: u8,
    file: u8,
    edits: Vec<Edit>,
    tensors: Option<Vec<Tensor>>,
}

const NAMES: [&str; 5] = ["embeddings", "mapping", "weights", "embedding.weight", "other"];
const DTYPES: [(&str, usize); 8] =
    [("F32", 4), ("F16", 2), ("I8", 1), ("I64", 8), ("I32", 4), ("F64", 8), ("BF16", 2), ("U32", 4)];

pub fn check(data: &[u8]) {
    static CASES: LazyLock<Vec<String>> = LazyLock::new(|| cases("static"));
    let Ok(change) = Change::arbitrary_take_rest(Unstructured::new(data)) else { return };
    on_case(&CASES[usize::from(change.case) % CASES.len()], |folder| {
        let names: Vec<_> = folder.files.keys().filter(|name| name.ends_with(".json")).collect();
        let name = names[usize::from(change.file) % names.len()];
        let mut files = BTreeMap::from([(name.clone(), Some(edited(&folder.files[name], &change.edits)))]);
        if let Some(tensors) = &change.tensors {
            files.insert("model.safetensors".to_owned(), Some(file(tensors)));
        }
        folder.with(&files, |path| check_folder(path, &TEXTS));
    });
}

/// Returns a valid file of these tensors.
fn file(tensors: &[Tensor]) -> Vec<u8> {
    let (mut header, mut numbers) = (Map::new(), Vec::new());
    for tensor in tensors.iter().take(4) {
        let name = NAMES[usize::from(tensor.name) % NAMES.len()];
        if header.contains_key(name) {
            continue;
        }
        let (dtype, width) = DTYPES[usize::from(tensor.dtype) % DTYPES.len()];
        let shape: Vec<_> = tensor.shape.iter().take(3).map(|length| usize::from(*length)).collect();
        let size = shape.iter().product::<usize>() * width;
        if size > 1 << 20 {
            continue;
        }
        let start = numbers.len();
        numbers.extend((0..size).map(|i| tensor.seed.wrapping_add((i / 7) as u8)));
        header.insert(
            name.to_owned(),
            json!({ "dtype": dtype, "shape": shape, "data_offsets": [start, numbers.len()] }),
        );
    }
    let header = Value::Object(header).to_string().into_bytes();
    [&(header.len() as u64).to_le_bytes(), &header[..], &numbers].concat()
}
