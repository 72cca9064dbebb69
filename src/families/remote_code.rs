//! Remote code: classes that `auto_map` in `config.json` names, in files that come with the model.
//!
//! rushlight never runs it. transformers prefers its own class for a `model_type`, too, unless it is told to trust the
//! code. But some code bears the name of a family and computes something else: JinaBERT's `model_type` is bert.

use serde_json::Value;

use super::{FAMILIES, Family};
use crate::config::{JsonFile, Kind};
use crate::error::{Error, Result};

/// Published code that computes the same as the family of its `model_type`.
#[derive(Clone, Copy)]
pub(crate) enum RemoteCode {
    None,
    /// These classes, whatever file they are in.
    Classes(&'static [&'static str]),
    /// All of it: the family has its name from that code.
    Any,
}

impl RemoteCode {
    fn has(self, class: &str) -> bool {
        match self {
            Self::None => false,
            Self::Classes(classes) => classes.contains(&class),
            Self::Any => true,
        }
    }
}

impl Family {
    /// Refuses remote code that may compute something else than the family. Only code for this kind of model counts.
    pub(crate) fn check_remote_code(&self, config: &JsonFile, kind: Kind) -> Result<()> {
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
            // A name looks like `organization/repository--file.Class`.
            let class = name.rsplit('.').next().unwrap_or_default();
            if !self.remote_code.has(class) {
                let what = format!("{}: for model_type {:?}, {key}", config.path.display(), self.model_type);
                return Err(Error::unsupported(what, name, supported()));
            }
        }
        Ok(())
    }
}

fn supported() -> String {
    let known = FAMILIES.iter().filter_map(|family| match family.remote_code {
        RemoteCode::None => None,
        RemoteCode::Classes(classes) => Some(format!("{} ({})", family.model_type, classes.join(", "))),
        RemoteCode::Any => Some(family.model_type.to_owned()),
    });
    let known: Vec<_> = known.collect();
    format!("classes of transformers itself, without auto_map, and the published code of {}", known.join(", "))
}
