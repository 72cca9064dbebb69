//! Conversions of JSON values that follow Python's truthiness: `if value`, `value or default`.
//!
//! sentence-transformers reads its own files like this. transformers checks the types of most fields in `config.json`; those
//! fields don't use these functions.

use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// Returns the truthiness of a value in Python: true for 1, `"false"` and `[0]`; false for 0, `""`, `[]` and null.
pub(crate) fn is_truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}

/// Returns an integer that is written as an integer or as a float, such as 512.0.
pub(crate) fn as_integer(value: &Value) -> Option<u64> {
    /// Up to here a float represents every integer exactly.
    const LAST: f64 = (1_u64 << 53) as f64;
    let is_integer = |number: &f64| number.fract() == 0.0 && (0.0..=LAST).contains(number);
    value.as_u64().or_else(|| value.as_f64().filter(is_integer).map(|number| number as u64))
}

/// Deserializes `bool(value)`.
pub(crate) fn truthy<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Value::deserialize(deserializer).map(|value| is_truthy(&value))
}

/// Deserializes an integer that may be null or written as a float.
pub(crate) fn optional_integer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<usize>, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Null => Ok(None),
        value => match as_integer(&value).and_then(|number| usize::try_from(number).ok()) {
            Some(number) => Ok(Some(number)),
            None => Err(Error::custom(format!("must be an integer of at least 0, got {value}"))),
        },
    }
}

/// Deserializes a token's id; null and negative numbers mean none.
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
        #[serde(deserialize_with = "truthy")]
        truth: bool,
        #[serde(deserialize_with = "optional_integer")]
        whole: Option<usize>,
        #[serde(deserialize_with = "token_id")]
        token_id: Option<u32>,
    }

    fn read(value: Value) -> Result<Read, serde_json::Error> {
        serde_json::from_value(value)
    }

    #[test]
    fn truthiness_is_that_of_python() {
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
