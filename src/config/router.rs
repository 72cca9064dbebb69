//! `router_config.json`: other modules for queries than for documents.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{JsonFile, ModuleEntry, ModuleKind, inside};
use crate::error::{Error, Result};

pub(super) const FILE: &str = "router_config.json";
const QUERY: &str = "query";
const DOCUMENT: &str = "document";

/// One value for each route of a Router.
#[derive(Clone, Debug)]
pub(crate) struct Routes<T> {
    pub(crate) query: T,
    pub(crate) document: T,
    /// Route of inputs without a role: the queries' route if true, else the documents'.
    pub(crate) query_by_default: bool,
}

impl<T> Routes<T> {
    /// Returns the value for inputs without a role, and the value for the other ones.
    pub(crate) fn default_and_other(self) -> (T, T) {
        if self.query_by_default { (self.query, self.document) } else { (self.document, self.query) }
    }
}

/// Modules of a model, by route if its first module is a Router.
pub(crate) enum RouterEntries {
    /// Modules of all inputs; `None` if the folder lists none.
    Single(Option<Vec<ModuleEntry>>),
    /// Modules by route, and the Router's file.
    ByRoute(Routes<Vec<ModuleEntry>>, PathBuf),
}

impl RouterEntries {
    /// Resolves a Router that is listed first; modules after it follow on both routes.
    pub(crate) fn resolve(entries: Option<Vec<ModuleEntry>>) -> Result<Self> {
        let Some([router, rest @ ..]) = entries.as_deref() else { return Ok(Self::Single(entries)) };
        if router.kind != ModuleKind::Router {
            return Ok(Self::Single(entries));
        }
        let mut routes = Routes::read(&router.folder)?;
        for route in [&mut routes.query, &mut routes.document] {
            route.extend_from_slice(rest);
        }
        Ok(Self::ByRoute(routes, router.folder.join(FILE)))
    }
}

impl Routes<Vec<ModuleEntry>> {
    /// Reads `router_config.json` in the Router's folder.
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        let file = JsonFile::read(folder.join(FILE), "a Router module needs it")?;
        let raw: RawRouter = file.parse()?;
        if raw.structure.keys().ne([DOCUMENT, QUERY]) {
            let got: Vec<_> = raw.structure.keys().map(String::as_str).collect();
            return Err(file.unsupported("structure", got.join(", "), "the two routes document and query"));
        }
        raw.check_mappings(&file)?;
        let query_by_default = raw.query_by_default(&file)?;
        let modules = |route| {
            let named = raw.named_modules(route, folder, &file)?;
            Ok::<_, Error>(named.into_iter().map(|(_, entry)| entry).collect())
        };
        Ok(Self { query: modules(QUERY)?, document: modules(DOCUMENT)?, query_by_default })
    }
}

#[derive(Deserialize)]
pub(super) struct RawRouter {
    types: BTreeMap<String, String>,
    structure: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    parameters: RawParameters,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawParameters {
    default_route: Option<String>,
    allow_empty_key: Option<bool>,
    route_mappings: Option<BTreeMap<String, Value>>,
}

impl RawRouter {
    /// Returns whether inputs without a role take the queries' route: that of `default_route`, else the first one listed.
    fn query_by_default(&self, file: &JsonFile) -> Result<bool> {
        let first_listed = file.value["structure"].as_object().and_then(|structure| structure.keys().next());
        match self.parameters.default_route.as_ref().or(first_listed).map(String::as_str) {
            Some(QUERY) => Ok(true),
            None | Some(DOCUMENT) => Ok(false),
            Some(other) => Err(file.error(
                "parameters.default_route",
                format!("must be one of the routes, document and query, got {other:?}"),
            )),
        }
    }

    /// Refuses mappings from tasks to routes.
    pub(super) fn check_mappings(&self, file: &JsonFile) -> Result<()> {
        match self.parameters.route_mappings.as_ref().filter(|mappings| !mappings.is_empty()) {
            Some(mappings) => {
                let got: Vec<_> = mappings.keys().map(String::as_str).collect();
                Err(file.unsupported("parameters.route_mappings", got.join(", "), "none"))
            }
            None => Ok(()),
        }
    }

    /// Returns the keys of the routes, in the order of the file.
    pub(super) fn keys(&self, file: &JsonFile) -> Vec<String> {
        file.value["structure"].as_object().into_iter().flat_map(|structure| structure.keys().cloned()).collect()
    }

    pub(super) fn default_route(&self) -> Option<&str> {
        self.parameters.default_route.as_deref()
    }

    /// Returns true if inputs without a task take the first route.
    pub(super) fn allows_empty_key(&self) -> bool {
        self.parameters.allow_empty_key.unwrap_or(true)
    }

    /// Returns the modules of a route with the names of their folders, in their order.
    pub(super) fn named_modules(
        &self,
        route: &str,
        folder: &Path,
        file: &JsonFile,
    ) -> Result<Vec<(String, ModuleEntry)>> {
        let key = format!("structure.{route}");
        let module = |name: &String| {
            let folder = inside(folder, name, &file.path, &key)?;
            let class_key = format!("types.{name}");
            match self.types.get(name) {
                Some(class) => {
                    let entry = ModuleEntry::listed(class, folder, file, &class_key)?;
                    Ok(entry.map(|entry| (name.clone(), entry)))
                }
                None => Err(file.error(class_key, format!("is missing: {key} lists the module"))),
            }
        };
        let names = self.structure.get(route).into_iter().flatten();
        let modules: Vec<_> = names.filter_map(|name| module(name).transpose()).collect::<Result<_>>()?;
        if modules.is_empty() {
            return Err(file.error(key, "must list at least one module, got none"));
        }
        Ok(modules)
    }
}

/// Returns the content of `router_config.json`: the names of each route's modules, and the class of each name.
pub(crate) fn router_json(names: &Routes<Vec<String>>, classes: Map<String, Value>) -> Value {
    json!({
        "types": classes,
        "structure": { QUERY: names.query, DOCUMENT: names.document },
        "parameters": {
            "default_route": if names.query_by_default { QUERY } else { DOCUMENT },
            "allow_empty_key": true,
        },
    })
}
