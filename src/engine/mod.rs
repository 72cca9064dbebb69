//! The engine: a loaded model of any kind on a device, and the one path from inputs to rows.
//!
//! Inputs are read into sequences, equal ones once. Sequences are sorted by length and cut into micro-batches, which the
//! process's workers compute. A head makes rows of each micro-batch, and a collector puts them where the caller wants them.

mod collect;
pub(crate) mod compute;
pub(crate) mod consistent;
pub(crate) mod loaded;
mod prompts;
pub(crate) mod routes;
mod run;
mod sharing;
pub(crate) mod source_files;
mod stream;

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

pub(crate) use collect::{Collected, DenseRows, Encodings, SparseRows, TokenRows};
pub use prompts::{Prompts, Role};
pub(crate) use run::Request;
pub use stream::Lookahead;

use compute::Compute;
use loaded::Loaded;
use routes::OtherRoute;

use crate::device::{Device, Dtype};
use crate::error::Result;
use crate::inputs::Reader;
use crate::options::LoadOptions;
use crate::tokenize::{PadTo, Tokenizer};

/// A loaded model on a device, with the settings that all kinds have. Clones share the weights.
#[derive(Clone)]
pub(crate) struct Engine {
    pub(crate) loaded: Arc<Loaded>,
    pub(crate) prompts: Prompts,
    pub(crate) max_seq_length: Option<usize>,
    /// Overrides the folder's choice to pool the prompt's tokens, too.
    pub(crate) include_prompt: Option<bool>,
    /// The role that goes another route than other inputs.
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

    /// The folder that the model was loaded from.
    pub(crate) fn folder(&self) -> &Path {
        &self.loaded.folder
    }

    pub(crate) fn device(&self) -> Device {
        self.loaded.compute.device
    }

    pub(crate) fn dtype(&self) -> Dtype {
        self.loaded.compute.dtype
    }

    pub(crate) fn tokenizer(&self) -> &Tokenizer {
        &self.loaded.tokenizer
    }

    /// Columns of a row.
    pub(crate) fn width(&self) -> usize {
        self.loaded.network.width()
    }

    /// Columns of a token embedding.
    pub(crate) fn hidden_size(&self) -> usize {
        self.loaded.network.limits().hidden_size
    }

    /// The same model on another device: loaded there once, and kept as long as this one or a clone of it lives.
    pub(crate) fn on(&self, device: Device) -> Result<Self> {
        self.at(self.loaded.compute.on(device))
    }

    pub(crate) fn at(&self, compute: Compute) -> Result<Self> {
        let other = self.other.as_ref().map(|other| other.at(compute)).transpose()?;
        Ok(Self { loaded: self.loaded.twin(compute)?, other, ..self.clone() })
    }

    /// The engine of a role's route: this one, unless that role goes another route.
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

    /// # Errors
    /// [`Error::InvalidArgument`] for 0, or for more than the model has positions for.
    pub(crate) fn set_max_seq_length(&mut self, tokens: usize) -> Result<()> {
        self.loaded.check_max_seq_length(tokens)?;
        self.max_seq_length = Some(tokens);
        Ok(())
    }

    /// [`Engine::set_max_seq_length`] for the route of a role.
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

    /// Returns true where pooling takes the prompt's tokens, too.
    pub(crate) fn pooling_includes_prompt(&self) -> bool {
        self.include_prompt.unwrap_or(!self.loaded.network.excludes_prompt())
    }

    /// Reads inputs without a prompt, as the route of a role does.
    pub(crate) fn reader(&self, role: Option<Role>) -> Reader {
        let engine = self.route(role);
        Reader::new(Arc::clone(&engine.loaded), engine.max_seq_length)
    }

    /// [`Engine::reader`] with another limit, which pads texts to a length.
    pub(crate) fn padding_reader(&self, max_seq_length: Option<usize>, pad_to: Option<PadTo>) -> Reader {
        Reader::new(Arc::clone(&self.loaded), max_seq_length).padding(pad_to)
    }
}
