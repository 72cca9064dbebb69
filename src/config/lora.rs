//! Adapters of low rank (Hu et al., 2022), one for each task: in one set of weights, or in folders of their own.

use std::path::PathBuf;

use super::{JsonFile, TransformerSettings};
use crate::error::{Error, Result};

const TASKS: &str = "lora_adaptations";

/// Adapters that a config lists; none in most models.
#[derive(Clone, Debug, Default)]
pub(crate) struct Adapters {
    /// Task of each adapter, in their order in the weights.
    pub(crate) tasks: Vec<String>,
    /// Task of calls that name none; `None` leaves the weights as they are.
    default_task: Option<usize>,
    /// Folders of peft's adapters, one for each task; else the adapters are in the model's weights.
    folders: Option<Vec<PathBuf>>,
    rank: usize,
    /// Factor of an adapter's product.
    scale: f32,
}

/// Adapter to merge into a model's weights.
#[derive(Clone, Debug)]
pub(crate) enum AdapterSource {
    /// One of those in the weights.
    Stacked(Adapter),
    /// The adapter of peft in a folder.
    Folder(PathBuf),
}

/// One of the adapters in a set of weights, or one of the routes by task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TaskIndex(usize);

impl TaskIndex {
    pub(super) fn new(index: usize) -> Self {
        Self(index)
    }

    pub(super) fn index(self) -> usize {
        self.0
    }
}

/// An adapter, as its tensors need it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Adapter {
    pub(crate) index: usize,
    /// Number of adapters in a tensor.
    pub(crate) count: usize,
    pub(crate) rank: usize,
    pub(crate) scale: f32,
}

impl AdapterSource {
    /// Returns true if the adapter isn't part of the model's weights.
    pub(crate) fn is_folder(&self) -> bool {
        matches!(self, Self::Folder(_))
    }
}

impl Adapters {
    /// Reads `config.json` of a transformer, and its default task in the settings.
    pub(crate) fn read(file: &JsonFile, settings: &TransformerSettings) -> Result<Self> {
        let tasks: Vec<String> = file.get(TASKS, None)?.unwrap_or_default();
        let rank = file.size("lora_rank", 4)?;
        let alpha: f64 = file.get("lora_alpha", 1.0)?;
        let mut adapters = Self { tasks, default_task: None, folders: None, rank, scale: (alpha / rank as f64) as f32 };
        if let Some(task) = settings.default_task() {
            let index = adapters.tasks.iter().position(|known| known == task);
            let problem = || file.error(TASKS, format!("must list model_args.default_task, {task:?}"));
            adapters.default_task = Some(index.ok_or_else(problem)?);
        }
        Ok(adapters)
    }

    /// Adds adapters of peft by name. The first is the default if it is the folder's own.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for a model that has adapters in its weights.
    pub(crate) fn with_folders(self, named: Vec<(String, PathBuf)>, has_own: bool) -> Result<Self> {
        if named.is_empty() {
            return Ok(self);
        }
        if !self.tasks.is_empty() {
            let problem = format!("must be empty for a model that has its own: {}", self.tasks.join(", "));
            return Err(Error::argument("adapters", problem));
        }
        let (tasks, folders) = named.into_iter().unzip();
        Ok(Self { tasks, folders: Some(folders), default_task: has_own.then_some(0), ..self })
    }

    /// Returns the adapter of a task, or of the default one.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for an unknown task.
    pub(crate) fn choose(&self, task: Option<&str>) -> Result<Option<TaskIndex>> {
        let Some(task) = task else { return Ok(self.default_task.map(TaskIndex)) };
        let known: Vec<_> = self.tasks.iter().map(|known| format!("{known:?}")).collect();
        let there =
            if known.is_empty() { "the model has none".to_owned() } else { format!("there are {}", known.join(", ")) };
        let index = self.tasks.iter().position(|known| known == task);
        Ok(Some(TaskIndex(index.ok_or_else(|| Error::argument("task", format!("no task {task:?}; {there}")))?)))
    }

    /// Returns the adapter of a task.
    pub(crate) fn adapter(&self, TaskIndex(index): TaskIndex) -> AdapterSource {
        match &self.folders {
            Some(folders) => AdapterSource::Folder(folders[index].clone()),
            None => {
                let (count, rank, scale) = (self.tasks.len(), self.rank, self.scale);
                AdapterSource::Stacked(Adapter { index, count, rank, scale })
            }
        }
    }
}
