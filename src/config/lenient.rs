//! Values of JSON as Python takes them where it checks no types: `if value`, `value or default`.
//!
//! sentence-transformers reads its own files like this. transformers checks most of `config.json`, and refuses a value of
//! another type; the fields it checks don't use these functions.

use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// Returns whether Python's `if` takes a value for true: 1, `"false"` and `[0]`, but not 0, `""`, `[]` or null.
pub(crate) fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}

/// Returns a whole number that is written as an integer or as a float, such as 512.0.
pub(crate) fn as_whole(value: &Value) -> Option<u64> {
    /// Up to here every whole number is a float.
    const LAST: f64 = (1_u64 << 53) as f64;
    let whole = |number: &f64| number.fract() == 0.0 && (0.0..=LAST).contains(number);
    value.as_u64().or_else(|| value.as_f64().filter(whole).map(|number| number as u64))
}

/// Reads `bool(value)`.
pub(crate) fn truth<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Value::deserialize(deserializer).map(|value| is_true(&value))
}

/// Reads a whole number, which may be null or written as a float.
pub(crate) fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<usize>, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Null => Ok(None),
        value => match as_whole(&value).and_then(|number| usize::try_from(number).ok()) {
            Some(number) => Ok(Some(number)),
            None => Err(Error::custom(format!("must be a whole number that is not negative, got {value}"))),
        },
    }
}

/// Reads a token's id; null and negative numbers are no token's.
pub(crate) fn token_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    match Option::<i64>::deserialize(deserializer)? {
        None | Some(..0) => Ok(None),
        Some(id) => u32::try_from(id).map(Some).map_err(|_| Error::custom(format!("must be a token's id, got {id}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[derive(Debug, Default, Deserialize)]
    #[serde(default)]
    struct Read {
        #[serde(deserialize_with = "truth")]
        truth: bool,
        #[serde(deserialize_with = "whole")]
        whole: Option<usize>,
        #[serde(deserialize_with = "token_id")]
        token_id: Option<u32>,
    }

    fn read(value: Value) -> Result<Read, serde_json::Error> {
        serde_json::from_value(value)
    }

    #[test]
    fn truth_is_pythons() {
        for value in [json!(null), json!(false), json!(0), json!(0.0), json!(-0.0), json!(""), json!([]), json!({})] {
            assert!(!read(json!({ "truth": value })).unwrap().truth, "{value}");
        }
        for value in [json!(true), json!(-1), json!(0.1), json!("false"), json!(" "), json!([0]), json!({"a": null})] {
            assert!(read(json!({ "truth": value })).unwrap().truth, "{value}");
        }
    }

    #[test]
    fn whole_numbers_may_be_floats() {
        for (value, right) in [(json!(512), 512), (json!(512.0), 512), (json!(1e9), 1_000_000_000), (json!(0), 0)] {
            assert_eq!(read(json!({ "whole": value })).unwrap().whole, Some(right), "{value}");
        }
        assert_eq!(read(json!({ "whole": null })).unwrap().whole, None);
        for value in [json!(-1), json!(0.5), json!(1e30), json!("512"), json!(true), json!([1])] {
            read(json!({ "whole": value })).unwrap_err();
        }
    }

    #[test]
    fn negative_ids_are_no_tokens() {
        for (value, right) in [(json!(0), Some(0)), (json!(7), Some(7)), (json!(-1), None), (json!(null), None)] {
            assert_eq!(read(json!({ "token_id": value })).unwrap().token_id, right, "{value}");
        }
        for value in [json!(1.0), json!("1"), json!(1_u64 << 32), json!(true)] {
            read(json!({ "token_id": value })).unwrap_err();
        }
    }
}
