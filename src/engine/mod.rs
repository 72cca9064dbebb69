//! Engine: a loaded model of any kind on a device. All calls take the same path from inputs to rows.
//!
//! The engine tokenizes distinct inputs into sequences, sorts them by length and cuts them into micro-batches. The
//! process's workers compute these. A head makes rows of each micro-batch, and a collector sorts them by input.

mod adapter_folders;
mod calibration;
mod collect;
pub(crate) mod compute;
pub(crate) mod conversion;
pub(crate) mod folders;
mod hybrid;
mod load;
pub(crate) mod loaded;
mod packing;
mod prompts;
pub(crate) mod routes;
mod run;
mod sharing;
pub(crate) mod source_files;
mod stream;
mod tokens;
mod twins;
mod words;

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

pub(crate) use collect::{DenseRows, Encodings, SparseRows};
pub(crate) use hybrid::HybridRows;
pub use prompts::Prompts;
pub(crate) use run::Request;
pub use stream::Lookahead;
pub(crate) use tokens::{KeptTokens, TokenRows};

use compute::Compute;
use loaded::{Loaded, Variant};
use routes::OtherRoute;
use words::Words;

use crate::config::Role;
use crate::device::{Device, Dtype};
use crate::error::Result;
use crate::inputs::Reader;
use crate::observer::{NoObserver, Observer};
use crate::options::LoadOptions;
use crate::tokenize::{PadTo, Tokenizer};

/// Loaded model on a device, with the settings that all kinds share. Clones share the weights.
#[derive(Clone)]
pub(crate) struct Engine {
    pub(crate) loaded: Arc<Loaded>,
    pub(crate) prompts: Prompts,
    pub(crate) max_seq_length: Option<usize>,
    /// Includes the prompt's tokens in pooling or excludes them; `None` is the folder's choice.
    pub(crate) include_prompt: Option<bool>,
    /// Route of the one role that doesn't take the default route.
    pub(crate) other: Option<OtherRoute>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("folder", &self.folder())
            .field("device", &self.device())
            .field("max_seq_length", &self.max_seq_length)
            .field("width", &self.width())
            .finish_non_exhaustive()
    }
}

impl Engine {
    pub(crate) fn new(loaded: Loaded, prompts: Prompts, options: &LoadOptions) -> Result<Self> {
        let max_seq_length = loaded.default_max_seq_length();
        let mut engine = Self { loaded: Arc::new(loaded), prompts, max_seq_length, include_prompt: None, other: None };
        if let Some(tokens) = options.max_seq_length {
            engine.set_max_seq_length(tokens)?;
        }
        Ok(engine)
    }

    /// Folder that the model was loaded from.
    pub(crate) fn folder(&self) -> &Path {
        &self.loaded.folders.folder
    }

    pub(crate) fn device(&self) -> Device {
        self.loaded.variant.compute.device
    }

    pub(crate) fn dtype(&self) -> Dtype {
        self.loaded.variant.compute.dtype
    }

    pub(crate) fn tokenizer(&self) -> &Tokenizer {
        &self.loaded.tokenizer
    }

    /// Returns the tokens that sparse rows have weights of; `None` means all of the vocabulary.
    pub(crate) fn words(&self) -> Option<Words<'_>> {
        Words::of(self.tokenizer(), self.loaded.network.weighed())
    }

    /// Number of columns of a row.
    pub(crate) fn width(&self) -> usize {
        self.loaded.network.width()
    }

    /// Number of columns of a token embedding.
    pub(crate) fn hidden_size(&self) -> usize {
        self.loaded.network.limits().hidden_size
    }

    /// Returns the same model on another device. It is loaded there once, and stays as long as this one or a clone
    /// lives.
    pub(crate) fn on(&self, device: Device, observer: &dyn Observer) -> Result<Self> {
        self.at(self.loaded.variant.compute.on(device), observer)
    }

    pub(crate) fn at(&self, compute: Compute, observer: &dyn Observer) -> Result<Self> {
        let other = self.other.as_ref().map(|other| other.at(compute, observer)).transpose()?;
        let variant = Variant { compute, ..self.loaded.variant };
        Ok(Self { loaded: self.loaded.twin(variant, observer)?, other, ..self.clone() })
    }

    /// Returns the engine of a role's route: this one, unless the role takes the other route.
    pub(crate) fn route(&self, role: Option<Role>) -> Cow<'_, Self> {
        match self.other.as_ref().filter(|other| Some(other.role) == role) {
            Some(other) => Cow::Owned(Self {
                loaded: Arc::clone(&other.loaded),
                max_seq_length: other.max_seq_length,
                other: None,
                ..self.clone()
            }),
            None => Cow::Borrowed(self),
        }
    }

    /// Returns the engine that computes a call: on the route of its role, with the adapter of its task.
    pub(crate) fn serving(&self, request: &Request<'_>) -> Result<Cow<'_, Self>> {
        let engine = self.route(request.role);
        let loaded = &engine.loaded;
        let task = match &loaded.task_routes {
            Some(routes) => Some(routes.choose(request.role, request.task)?),
            None => loaded.adapters.choose(engine.task(request.role, request.task))?,
        };
        if task == loaded.variant.task {
            return Ok(engine);
        }
        let observer = request.observer.unwrap_or(&NoObserver);
        let loaded = loaded.twin(Variant { task, ..loaded.variant }, observer)?;
        Ok(Cow::Owned(Self { loaded, ..engine.into_owned() }))
    }

    /// Tasks that calls can name: those of adapters, or of routes.
    pub(crate) fn tasks(&self) -> &[String] {
        self.loaded.task_routes.as_ref().map_or(&self.loaded.adapters.tasks, |routes| &routes.tasks)
    }

    /// Returns the task of a call to a model with adapters: the given one, else that of its role, if the model has it.
    pub(crate) fn task<'a>(&self, role: Option<Role>, task: Option<&'a str>) -> Option<&'a str> {
        let has = |task: &&str| self.loaded.adapters.tasks.iter().any(|known| known == task);
        task.or_else(|| role.map(Role::task).filter(has))
    }

    /// Returns the prompt of a call. In a role the task's prompt comes before the role's.
    pub(crate) fn prompt<'a>(&'a self, request: &Request<'a>) -> Result<&'a str> {
        let of_task = request.role.and_then(|_| self.task(request.role, request.task));
        let of_task = of_task.filter(|task| self.prompts.by_name.contains_key(*task));
        self.prompts.choose(request.prompt, request.prompt_name.or(of_task), request.role)
    }

    /// # Errors
    /// [`Error::InvalidArgument`] for 0, or for more tokens than the model has positions.
    pub(crate) fn set_max_seq_length(&mut self, tokens: usize) -> Result<()> {
        self.loaded.check_max_seq_length(tokens)?;
        self.max_seq_length = Some(tokens);
        Ok(())
    }

    /// Sets the limit on the route of a role, like [`Engine::set_max_seq_length`].
    pub(crate) fn set_max_seq_length_of(&mut self, role: Role, tokens: usize) -> Result<()> {
        match self.other.as_mut().filter(|other| other.role == role) {
            Some(other) => {
                other.loaded.check_max_seq_length(tokens)?;
                other.max_seq_length = Some(tokens);
                Ok(())
            }
            None => self.set_max_seq_length(tokens),
        }
    }

    /// Returns true if pooling includes the prompt's tokens.
    pub(crate) fn pooling_includes_prompt(&self) -> bool {
        self.include_prompt.unwrap_or(!self.loaded.network.excludes_prompt())
    }

    /// Returns a reader of inputs without a prompt, on the route of a role.
    pub(crate) fn reader(&self, role: Option<Role>) -> Reader {
        let engine = self.route(role);
        Reader::new(Arc::clone(&engine.loaded), engine.max_seq_length)
    }

    /// Returns a reader with another limit of tokens, which pads texts to a length.
    pub(crate) fn padding_reader(&self, max_seq_length: Option<usize>, pad_to: Option<PadTo>) -> Reader {
        Reader::new(Arc::clone(&self.loaded), max_seq_length).padding(pad_to)
    }
}
