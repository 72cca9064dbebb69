//! Edits of JSON: places and values that loaders care for.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use arbitrary::Arbitrary;
use serde_json::{Map, Value};

use super::folder::{cases, files};

/// An edit of a document.
#[derive(Arbitrary, Clone, Debug)]
pub struct Edit {
    /// Index of a member at each level; the place is where the indices end.
    place: Vec<u8>,
    change: Change,
}

#[derive(Arbitrary, Clone, Debug)]
enum Change {
    Remove,
    /// A new member of an object, or an item of an array.
    Insert(u16, Small),
    Replace(Small),
    /// A copy of the value at another place.
    Copy(Vec<u8>),
    /// Swaps two members of a place.
    Swap(u8, u8),
    /// The value in a list, or in an object.
    Wrap(Option<u16>),
}

/// A value that is likely to matter.
#[derive(Arbitrary, Clone, Debug)]
enum Small {
    Null,
    Bool(bool),
    Number(u8),
    Integer(i8),
    Any(f64),
    /// A word that the test data use.
    Word(u16),
    Text(String),
    List,
    Object,
}

const NUMBERS: [f64; 24] = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    2.0,
    3.0,
    4.0,
    8.0,
    16.0,
    31.0,
    64.0,
    100.0,
    512.0,
    65536.0,
    2147483648.0,
    4294967296.0,
    9007199254740993.0,
    1.8446744073709552e19,
    1e300,
    1e-300,
    0.5,
    1e-5,
    -1e-12,
    1e38,
];

impl Small {
    fn value(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => (*value).into(),
            Self::Number(index) => {
                let number = NUMBERS[usize::from(*index) % NUMBERS.len()];
                // Most keys hold integers, which `1.0` is none of.
                let integer = number as i64;
                if number.fract() == 0.0 && number.abs() < 9e18 && *index < 128 {
                    integer.into()
                } else {
                    number.into()
                }
            }
            Self::Integer(number) => (*number).into(),
            Self::Any(number) => (*number).into(),
            Self::Word(index) => word(*index).into(),
            Self::Text(text) => text.as_str().into(),
            Self::List => Value::Array(Vec::new()),
            Self::Object => Value::Object(Map::new()),
        }
    }
}

/// Returns one of the keys and strings that the folders of `tests/data` use.
fn word(index: u16) -> &'static str {
    static WORDS: LazyLock<Vec<String>> = LazyLock::new(|| {
        let mut words = BTreeSet::new();
        for case in ["tiny", "rerank", "sparse", "multi_vector", "static"].into_iter().flat_map(cases) {
            let of_json = |(name, content): (String, Vec<u8>)| {
                let config = name.ends_with(".json") && content.len() < 10_000;
                config.then(|| serde_json::from_slice(&content).ok()).flatten()
            };
            files(&case).into_iter().filter_map(of_json).for_each(|value: Value| collect(&value, &mut words));
        }
        words.into_iter().collect()
    });
    &WORDS[usize::from(index) % WORDS.len()]
}

fn collect(value: &Value, words: &mut BTreeSet<String>) {
    match value {
        Value::String(text) if text.len() < 60 => drop(words.insert(text.clone())),
        Value::Array(items) => items.iter().for_each(|item| collect(item, words)),
        Value::Object(members) => members.iter().for_each(|(key, value)| {
            words.insert(key.clone());
            collect(value, words);
        }),
        _ => {}
    }
}

/// Returns the value at a place.
fn at<'a>(mut value: &'a mut Value, place: &[u8]) -> &'a mut Value {
    for index in place {
        let length = length(value);
        if length == 0 {
            break;
        }
        value = match value {
            Value::Array(items) => &mut items[usize::from(*index) % length],
            Value::Object(members) => members.values_mut().nth(usize::from(*index) % length).unwrap(),
            other => other,
        };
    }
    value
}

fn length(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.len(),
        Value::Object(members) => members.len(),
        _ => 0,
    }
}

/// Applies edits to a document.
pub fn edit(document: &mut Value, edits: &[Edit]) {
    for edit in edits.iter().take(8) {
        apply(document, edit);
    }
}

/// Applies edits to a file of JSON. Other files stay as they are.
pub fn edited(content: &[u8], edits: &[Edit]) -> Vec<u8> {
    let Ok(mut document) = serde_json::from_slice(content) else { return content.to_vec() };
    edit(&mut document, edits);
    document.to_string().into_bytes()
}

fn apply(document: &mut Value, edit: &Edit) {
    let place = &edit.place[..edit.place.len().min(8)];
    match &edit.change {
        Change::Remove => {
            let (last, above) = place.split_last().map_or((0, place), |(last, above)| (*last, above));
            let parent = at(document, above);
            let index = usize::from(last) % length(parent).max(1);
            match parent {
                Value::Array(items) if !items.is_empty() => drop(items.remove(index)),
                Value::Object(members) => {
                    if let Some(key) = members.keys().nth(index).cloned() {
                        members.shift_remove(&key);
                    }
                }
                _ => {}
            }
        }
        Change::Insert(key, value) => match at(document, place) {
            Value::Array(items) => items.push(value.value()),
            Value::Object(members) => drop(members.insert(word(*key).to_owned(), value.value())),
            other => *other = value.value(),
        },
        Change::Replace(value) => *at(document, place) = value.value(),
        Change::Copy(from) => {
            let value = at(document, &from[..from.len().min(8)]).clone();
            // Copies of copies would grow without end.
            if value.to_string().len() < 20_000 {
                *at(document, place) = value;
            }
        }
        Change::Swap(first, second) => {
            let parent = at(document, place);
            let length = length(parent).max(1);
            let (first, second) = (usize::from(*first) % length, usize::from(*second) % length);
            match parent {
                Value::Array(items) if !items.is_empty() => items.swap(first, second),
                Value::Object(members) if !members.is_empty() => {
                    let values: Vec<_> = members.values().cloned().collect();
                    members.values_mut().nth(first).unwrap().clone_from(&values[second]);
                    members.values_mut().nth(second).unwrap().clone_from(&values[first]);
                }
                _ => {}
            }
        }
        Change::Wrap(key) => {
            let value = at(document, place);
            let inner = value.take();
            *value = match key {
                Some(key) => Value::Object(Map::from_iter([(word(*key).to_owned(), inner)])),
                None => Value::Array(vec![inner]),
            };
        }
    }
}
