//! Remote code: classes that `auto_map` in `config.json` names, in files that come with the model.
//!
//! rushlight never runs it. It knows published code by name, and computes the same as that code: a `model_type` alone may
//! be that of another architecture, as JinaBERT's is bert.

use serde_json::Value;

use super::{FAMILIES, Family};
use crate::config::{JsonFile, TransformerTask};
use crate::error::{Error, Result};

/// Published code of a family, by the names of its classes. Each name may begin with its file, as in `modeling.NewModel`, and
/// with its repository, as in `Alibaba-NLP/new-impl--modeling.NewModel`, where the class alone isn't unique.
#[derive(Clone, Copy)]
pub(crate) enum RemoteCode {
    /// No code: the family is transformers' own class.
    None,
    /// Code that computes the same as the family of its `model_type` without code.
    Same(&'static [&'static str]),
    /// Code that computes something else than the family of its `model_type` without code.
    Other(&'static [&'static str]),
}

impl RemoteCode {
    pub(super) fn classes(self) -> &'static [&'static str] {
        match self {
            Self::None => &[],
            Self::Same(classes) | Self::Other(classes) => classes,
        }
    }

    /// Returns the class that tells the family from others of the same `model_type`, if one does.
    pub(super) fn distinction(self) -> Option<&'static str> {
        match self {
            Self::None | Self::Same(_) => None,
            Self::Other(classes) => classes.iter().copied().find(|class| !class.ends_with("Config")),
        }
    }

    /// Returns true if the classes of a config, if any, are of this code.
    pub(super) fn is(self, named: &NamedCode<'_>) -> bool {
        let complete = named.model.is_some() || !matches!(self, Self::Other(_));
        complete && named.classes().all(|class| self.has(class))
    }

    fn has(self, class: &Class<'_>) -> bool {
        self.classes().iter().any(|name| class.is(name))
    }
}

/// Classes that transformers loads for a task, where `auto_map` names them.
pub(super) struct NamedCode<'a> {
    config: Option<Class<'a>>,
    model: Option<Class<'a>>,
}

/// A class as `auto_map` names it: `repository--file.Class`, without the repository for a file in the folder.
struct Class<'a> {
    key: String,
    name: &'a str,
}

impl Class<'_> {
    /// Compares with a name that may lack the file and the repository.
    fn is(&self, name: &str) -> bool {
        let rest = self.name.strip_suffix(name);
        rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.') || rest.ends_with("--"))
    }
}

impl<'a> NamedCode<'a> {
    /// Reads `auto_map`.
    pub(super) fn read(file: &'a JsonFile, task: TransformerTask) -> Result<Self> {
        let map = match file.value.get("auto_map") {
            None | Some(Value::Null) => None,
            Some(Value::Object(map)) => Some(map),
            Some(other) => return Err(file.error("auto_map", format!("must be an object, got {other}"))),
        };
        let class = |auto_class| {
            let key = key(auto_class);
            match map.and_then(|map| map.get(auto_class)) {
                None | Some(Value::Null) => Ok(None),
                Some(Value::String(name)) => Ok(Some(Class { key, name })),
                Some(other) => Err(file.error(key, format!("must be the name of a class, got {other}"))),
            }
        };
        Ok(Self { config: class("AutoConfig")?, model: class(task.auto_class())? })
    }

    fn classes(&self) -> impl Iterator<Item = &Class<'a>> {
        self.config.iter().chain(&self.model)
    }

    /// Makes the error for code that no family of this `model_type` has.
    pub(super) fn unknown(&self, file: &JsonFile, model_type: &str, task: TransformerTask) -> Error {
        let is_known = |class: &&Class<'_>| {
            FAMILIES.iter().any(|family| family.model_type == model_type && family.remote_code.has(class))
        };
        match self.classes().find(|class| !is_known(class)).or(self.model.as_ref()) {
            Some(class) => {
                let what = format!("{}: for model_type {model_type:?}, {}", file.path.display(), class.key);
                Error::unsupported(what, class.name, supported())
            }
            None => file.error(key(task.auto_class()), "is missing: it names the code of this architecture"),
        }
    }
}

fn key(auto_class: &str) -> String {
    format!("auto_map.{auto_class}")
}

fn supported() -> String {
    let with_code = FAMILIES.iter().filter(|family| !family.remote_code.classes().is_empty());
    let known = |family: &Family| format!("{} ({})", family.model_type, family.remote_code.classes().join(", "));
    let known: Vec<_> = with_code.map(known).collect();
    format!("classes of transformers itself, without auto_map, and the published code of {}", known.join(", "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn is(code: RemoteCode, auto_map: Value) -> bool {
        let file = JsonFile { path: "config.json".into(), value: json!({ "auto_map": auto_map }) };
        code.is(&NamedCode::read(&file, TransformerTask::FeatureExtraction).unwrap())
    }

    #[test]
    fn a_class_counts_with_its_file_and_repository_where_they_are_given() {
        let names = ["a/b--modeling.Model", "c/d--modeling.Model", "modeling.Model", "Model", "modeling.OtherModel"];
        let matches = |code| names.map(|name| is(code, json!({ "AutoModel": name })));
        assert_eq!(matches(RemoteCode::Same(&["Model"])), [true, true, true, true, false]);
        assert_eq!(matches(RemoteCode::Same(&["modeling.Model"])), [true, true, true, false, false]);
        assert_eq!(matches(RemoteCode::Same(&["a/b--modeling.Model"])), [true, false, false, false, false]);
        assert_eq!(matches(RemoteCode::None), [false; 5]);
    }

    #[test]
    fn code_that_computes_something_else_needs_its_name() {
        let maps =
            [json!(null), json!({}), json!({ "AutoModelForMaskedLM": "x.Y" }), json!({ "AutoConfig": "x.Config" })];
        let matches = |code| maps.clone().map(|map| is(code, map));
        assert_eq!(matches(RemoteCode::None), [true, true, true, false]);
        assert_eq!(matches(RemoteCode::Same(&["Config", "Model"])), [true; 4]);
        assert_eq!(matches(RemoteCode::Other(&["Config", "Model"])), [false; 4]);
        let both = |model| json!({ "AutoConfig": "x.Config", "AutoModel": model });
        assert!(is(RemoteCode::Other(&["Config", "Model"]), both("x.Model")));
        assert!(!is(RemoteCode::Other(&["Config", "Model"]), both("x.Unknown")));
    }
}
