//! Keys of a `config.json`, each read with its default and its check.
//!
//! A family reads a key where it uses it, so that name, type, default and check stand on one line.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Activation, JsonFile};
use crate::error::Result;

impl JsonFile {
    /// Returns the value of a key, or `default` where the key is absent.
    pub(crate) fn get<T: DeserializeOwned>(&self, key: &str, default: T) -> Result<T> {
        Ok(self.find(key)?.unwrap_or(default))
    }

    /// Returns the value of a required key.
    pub(crate) fn required<T: DeserializeOwned>(&self, key: &str) -> Result<T> {
        self.find(key)?.ok_or_else(|| self.error(key, "is missing"))
    }

    /// Returns the value of a key in the form that `read` takes, or `default` where the key is absent.
    pub(crate) fn get_with<'a, T>(
        &'a self,
        key: &str,
        default: T,
        read: impl FnOnce(&'a Value) -> serde_json::Result<T>,
    ) -> Result<T> {
        match self.value.get(key) {
            Some(value) => read(value).map_err(|error| self.error(key, error.to_string())),
            None => Ok(default),
        }
    }

    /// Returns a text, or `default` where the key is absent.
    pub(crate) fn text(&self, key: &str, default: &str) -> Result<String> {
        self.get(key, default.to_owned())
    }

    /// Returns a size, which must be at least 1.
    pub(crate) fn size(&self, key: &str, default: usize) -> Result<usize> {
        self.positive(key, self.get(key, default)?)
    }

    /// Returns the eps of a norm. As in transformers, an integer is an error: 0 would be a mistake.
    pub(crate) fn eps(&self, key: &str, default: f64) -> Result<f32> {
        let eps = self.get(key, default)? as f32;
        let is_integer = self.value.get(key).is_some_and(|filed| filed.is_i64() || filed.is_u64());
        if eps.is_finite() && eps >= 0.0 && !is_integer {
            return Ok(eps);
        }
        Err(self.error(key, format!("must be a float from 0.0 up, got {}", self.value[key])))
    }

    /// Returns an activation function by the name that transformers has for it.
    pub(crate) fn activation(&self, key: &str, default: &str) -> Result<Activation> {
        Activation::from_transformers(&self.text(key, default)?, &self.path, key)
    }

    /// Refuses a switch that is on; absent switches are off.
    pub(crate) fn refuse(&self, key: &str) -> Result<()> {
        match self.get(key, false)? {
            true => Err(self.unsupported(key, "true", "false")),
            false => Ok(()),
        }
    }

    fn find<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>> {
        let Some(value) = self.value.get(key) else { return Ok(None) };
        serde_path_to_error::deserialize(value).map(Some).map_err(|error| {
            let key = match error.path().to_string().as_str() {
                "." => key.to_owned(),
                item if item.starts_with('[') => format!("{key}{item}"),
                inner => format!("{key}.{inner}"),
            };
            self.error(key, error.into_inner().to_string())
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::config::token_id;

    fn file(value: Value) -> JsonFile {
        JsonFile { path: "config.json".into(), value }
    }

    fn message<T: std::fmt::Debug>(result: Result<T>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn absent_keys_have_defaults() {
        let file = file(json!({ "size": 3, "null": null }));
        assert_eq!((file.size("size", 7).unwrap(), file.size("absent", 7).unwrap()), (3, 7));
        assert_eq!(file.get("null", Some(7)).unwrap(), None);
        assert_eq!(file.get_with("absent", Some(1), token_id).unwrap(), Some(1));
        assert_eq!(message(file.required::<usize>("absent")), "config.json: absent: is missing");
    }

    #[test]
    fn errors_name_the_key_down_to_the_item() {
        let file = file(json!({ "size": 0, "list": [1, "x"], "map": { "a": "x" }, "on": true, "id": 1.5 }));
        assert_eq!(message(file.size("size", 1)), "config.json: size: must be at least 1, got 0");
        assert!(message(file.get("list", Vec::<u32>::new())).starts_with("config.json: list[1]: "));
        assert!(message(file.get("map", BTreeMap::<String, u32>::new())).starts_with("config.json: map.a: "));
        assert!(message(file.get_with("id", None, token_id)).starts_with("config.json: id: "));
        assert!(message(file.activation("size", "gelu")).ends_with("expected a string"));
        assert!(message(file.refuse("on")).contains("config.json: on"));
        file.refuse("absent").unwrap();
    }
}
