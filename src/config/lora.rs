//! Adapters of low rank (Hu et al., 2022) in one set of weights, one for each task.

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
    rank: usize,
    /// Factor of an adapter's product.
    scale: f32,
}

/// One of the adapters in a set of weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TaskIndex(usize);

/// An adapter, as its tensors need it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Adapter {
    pub(crate) index: usize,
    /// Number of adapters in a tensor.
    pub(crate) count: usize,
    pub(crate) rank: usize,
    pub(crate) scale: f32,
}

impl Adapters {
    /// Reads `config.json` of a transformer, and its default task in the settings.
    pub(crate) fn read(file: &JsonFile, settings: &TransformerSettings) -> Result<Self> {
        let tasks: Vec<String> = file.get(TASKS, None)?.unwrap_or_default();
        let rank = file.size("lora_rank", 4)?;
        let alpha: f64 = file.get("lora_alpha", 1.0)?;
        let mut adapters = Self { tasks, default_task: None, rank, scale: (alpha / rank as f64) as f32 };
        if let Some(task) = settings.default_task() {
            let index = adapters.tasks.iter().position(|known| known == task);
            let problem = || file.error(TASKS, format!("must list model_args.default_task, {task:?}"));
            adapters.default_task = Some(index.ok_or_else(problem)?);
        }
        Ok(adapters)
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

    /// Returns the adapter with its place in the weights.
    pub(crate) fn adapter(&self, TaskIndex(index): TaskIndex) -> Adapter {
        Adapter { index, count: self.tasks.len(), rank: self.rank, scale: self.scale }
    }
}
