//! `auto_map` in `config.json`: classes of code that a model brings with it.
//!
//! That code is never run. transformers, too, takes its own class wherever it has one for the `model_type`, unless it is told
//! to trust the code; but some code calls itself by the name of a family and computes something else, as JinaBERT's, which
//! calls itself bert.

use serde_json::Value;

use super::{JsonFile, Kind};
use crate::error::{Error, Result};

/// Published code that computes what the family of its `model_type` does.
struct Code {
    model_type: &'static str,
    /// Its classes, wherever they are filed; `None` are all: the family has its name from that code.
    classes: Option<&'static [&'static str]>,
}

/// The code that needn't be run.
const KNOWN: [Code; 3] = [
    Code { model_type: "eurobert", classes: None },
    // Snowflake's, in snowflake-arctic-embed-m-v2.0.
    Code { model_type: "gte", classes: Some(&["GteConfig", "GteModel"]) },
    Code { model_type: "nomic_bert", classes: None },
];

impl Code {
    fn has(&self, class: &str) -> bool {
        self.classes.is_none_or(|classes| classes.contains(&class))
    }
}

/// Refuses code of a model's own that may compute something else than the family of its `model_type`; what is named for
/// other uses than this kind's is not looked at.
pub(crate) fn check(config: &JsonFile, model_type: &str, kind: Kind) -> Result<()> {
    let classes = match config.value.get("auto_map") {
        None | Some(Value::Null) => return Ok(()),
        Some(Value::Object(classes)) => classes,
        Some(other) => return Err(config.error("auto_map", format!("must be an object, got {other}"))),
    };
    for auto_class in ["AutoConfig", kind.auto_class()] {
        let key = format!("auto_map.{auto_class}");
        let name = match classes.get(auto_class) {
            None | Some(Value::Null) => continue,
            Some(Value::String(name)) => name,
            Some(other) => return Err(config.error(key, format!("must be the name of a class, got {other}"))),
        };
        // As in `organization/repository--file.Class`.
        let class = name.rsplit('.').next().unwrap_or_default();
        if !KNOWN.iter().any(|code| code.model_type == model_type && code.has(class)) {
            let what = format!("{}: for model_type {model_type:?}, {key}", config.path.display());
            return Err(Error::unsupported(what, name, supported()));
        }
    }
    Ok(())
}

fn supported() -> String {
    let known = KNOWN.iter().map(|code| match code.classes {
        Some(classes) => format!("{} ({})", code.model_type, classes.join(", ")),
        None => code.model_type.to_owned(),
    });
    let known: Vec<_> = known.collect();
    format!("classes of transformers itself, without auto_map, and the published code of {}", known.join(", "))
}
