//! Routes by task: a Router after other modules, or its older form Asym, has modules for each task of `encode`.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::router::{FILE, RawRouter};
use super::{JsonFile, ModuleEntry, Role, TaskIndex};
use crate::error::{Error, Result};

/// Key of texts, which sentence-transformers looks up for calls without a task.
const TEXT: &str = "text";

/// Routes of a model by task.
#[derive(Clone, Debug)]
pub(crate) struct TaskRoutes {
    /// Tasks, in the order of the file.
    pub(crate) tasks: Vec<String>,
    /// Route of calls without a task and a role.
    default: Option<usize>,
    router: RouterModules,
    /// Position of the Router among the modules.
    position: usize,
}

/// A Router with the modules of its routes.
#[derive(Clone, Debug)]
pub(crate) struct RouterModules {
    file: JsonFile,
    routes: Vec<Vec<(String, ModuleEntry)>>,
}

impl RouterModules {
    fn read(entry: &ModuleEntry) -> Result<(Self, RawRouter)> {
        let path = entry.folder.join(FILE);
        // Its older form has the name of all modules' files.
        let path = if path.exists() { path } else { entry.folder.join("config.json") };
        let file = JsonFile::read(path, "a Router module needs it")?;
        let raw: RawRouter = file.parse()?;
        raw.check_mappings(&file)?;
        let tasks = raw.keys(&file);
        let routes = tasks.iter().map(|task| raw.named_modules(task, &entry.folder, &file)).collect::<Result<_>>()?;
        Ok((Self { file, routes }, raw))
    }

    /// Returns the name of its file.
    pub(crate) fn file_name(&self) -> &Path {
        Path::new(self.file.path.file_name().unwrap_or_default())
    }

    /// Returns the content of its file.
    pub(crate) fn json(&self) -> &Value {
        &self.file.value
    }

    /// Returns the modules of all routes with the names of their folders.
    pub(crate) fn modules(&self) -> impl Iterator<Item = (&str, &ModuleEntry)> {
        self.routes.iter().flatten().map(|(name, entry)| (name.as_str(), entry))
    }
}

impl TaskRoutes {
    /// Reads the Router that follows other modules, if there is one.
    pub(crate) fn read(entries: Option<&[ModuleEntry]>) -> Result<Option<Self>> {
        let after = entries.unwrap_or_default().iter().enumerate().skip(1);
        let mut routers = after.filter(|(_, entry)| entry.kind.is_router());
        let Some((position, entry)) = routers.next() else { return Ok(None) };
        let (router, raw) = RouterModules::read(entry)?;
        if let Some((_, other)) = routers.next() {
            let what = format!("{}: second module", other.folder.display());
            return Err(Error::unsupported(what, other.kind.name(), "one Router"));
        }
        let tasks = raw.keys(&router.file);
        if tasks.is_empty() {
            return Err(router.file.error("structure", "must list at least one route, got none"));
        }
        let position_of = |task: &str| tasks.iter().position(|known| known == task);
        let default = match raw.default_route() {
            Some(task) => Some(position_of(task).ok_or_else(|| {
                let problem = format!("must be one of {}, got {task:?}", tasks.join(", "));
                router.file.error("parameters.default_route", problem)
            })?),
            None => position_of(TEXT).or_else(|| raw.allows_empty_key().then_some(0)),
        };
        Ok(Some(Self { tasks, default, router, position }))
    }

    /// Returns the Router of an entry.
    pub(crate) fn router(entry: &ModuleEntry) -> Result<RouterModules> {
        RouterModules::read(entry).map(|(router, _)| router)
    }

    /// Returns the route to load first.
    pub(crate) fn first(&self) -> TaskIndex {
        TaskIndex::new(self.default.unwrap_or(0))
    }

    /// Returns the route of a call: that of its task, else of its role, else the default one.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for a task without a route, and without a task if there is no default.
    pub(crate) fn choose(&self, role: Option<Role>, task: Option<&str>) -> Result<TaskIndex> {
        let there: Vec<_> = self.tasks.iter().map(|task| format!("{task:?}")).collect();
        let there = there.join(" and ");
        match task.or(role.map(Role::name)) {
            Some(task) => match self.tasks.iter().position(|known| known == task) {
                Some(index) => Ok(TaskIndex::new(index)),
                None => Err(Error::argument("task", format!("no route for {task:?}; there are {there}"))),
            },
            None => match self.default {
                Some(index) => Ok(TaskIndex::new(index)),
                None => {
                    let problem = format!("must name a route: this model has no default one; there are {there}");
                    Err(Error::argument("task", problem))
                }
            },
        }
    }

    /// Returns the modules of a task: the listed ones, with those of its route in place of the Router.
    pub(crate) fn entries(&self, listed: &[ModuleEntry], task: TaskIndex) -> Vec<ModuleEntry> {
        let route = self.router.routes[task.index()].iter().map(|(_, entry)| entry.clone());
        let (before, after) = (&listed[..self.position], &listed[self.position + 1..]);
        before.iter().cloned().chain(route).chain(after.iter().cloned()).collect()
    }

    /// Returns the folders of the modules of all routes.
    pub(crate) fn folders(&self) -> impl Iterator<Item = PathBuf> {
        self.router.modules().map(|(_, entry)| entry.folder.clone())
    }

    /// Returns the Router's file.
    pub(crate) fn file(&self) -> &JsonFile {
        &self.router.file
    }
}
