//! `router_config.json`: other modules for queries than for documents.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::{JsonFile, ModuleEntry, inside};
use crate::error::{Error, Result};

/// The modules of both kinds of texts.
#[derive(Debug)]
pub(crate) struct Routes {
    pub(crate) query: Vec<ModuleEntry>,
    pub(crate) document: Vec<ModuleEntry>,
    /// Which of the two a text takes that is said to be neither.
    pub(crate) query_by_default: bool,
}

impl Routes {
    /// Reads `router_config.json` in the Router's folder.
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        #[derive(Deserialize)]
        struct Raw {
            types: BTreeMap<String, String>,
            structure: BTreeMap<String, Vec<String>>,
            #[serde(default)]
            parameters: Parameters,
        }
        #[derive(Default, Deserialize)]
        struct Parameters {
            #[serde(default)]
            default_route: Option<String>,
            #[serde(default)]
            route_mappings: Option<BTreeMap<String, Value>>,
        }
        let file = JsonFile::read(folder.join("router_config.json"), "a Router module needs it")?;
        let raw: Raw = file.parse()?;
        if raw.structure.keys().ne(["document", "query"]) {
            let what = format!("{}: structure", file.path.display());
            let got: Vec<_> = raw.structure.keys().map(String::as_str).collect();
            return Err(Error::unsupported(what, got.join(", "), "the two routes document and query"));
        }
        if let Some(mappings) = raw.parameters.route_mappings.filter(|mappings| !mappings.is_empty()) {
            let what = format!("{}: parameters.route_mappings", file.path.display());
            let got: Vec<_> = mappings.into_keys().collect();
            return Err(Error::unsupported(what, got.join(", "), "none"));
        }
        // The first that is listed, where nothing is said.
        let listed = file.value["structure"].as_object().and_then(|structure| structure.keys().next());
        let query_by_default = match raw.parameters.default_route.as_ref().or(listed).map(String::as_str) {
            Some("query") => true,
            None | Some("document") => false,
            Some(other) => {
                let problem = format!("must be one of the routes, document and query, got {other:?}");
                return Err(file.error("parameters.default_route", problem));
            }
        };
        let module = |route: &str, name: &String| {
            let folder = inside(folder, name, &file.path, &format!("structure.{route}"))?;
            let class = raw.types.get(name).ok_or_else(|| {
                file.error(format!("types.{name}"), format!("is missing: structure.{route} lists the module"))
            })?;
            ModuleEntry::listed(class, folder, &file, &format!("types.{name}"))
        };
        let route = |route: &str| -> Result<Vec<ModuleEntry>> {
            let names = raw.structure.get(route).into_iter().flatten();
            let modules: Vec<_> = names.filter_map(|name| module(route, name).transpose()).collect::<Result<_>>()?;
            if modules.is_empty() {
                return Err(file.error(format!("structure.{route}"), "must list a module, lists none"));
            }
            Ok(modules)
        };
        Ok(Self { query: route("query")?, document: route("document")?, query_by_default })
    }
}
