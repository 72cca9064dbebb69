//! Options of calls that embed, score or split texts.

use super::options;
use crate::config::{Role, ScoreActivation};
use crate::engine::Request;
use crate::observer::Observer;
use crate::vectors::hybrid::EmbeddingKind;

/// Treatment of texts that are longer than the model takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Truncation {
    /// Embed their beginnings; [`Embeddings::truncated`](crate::Embeddings::truncated) counts them.
    #[default]
    Ignore,
    /// Fail with [`Error::InvalidInput`](crate::Error::InvalidInput) at the first.
    Error,
}

/// Side of a text that truncation removes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TruncationSide {
    /// Removes the beginning.
    Left,
    /// Removes the end.
    Right,
}

options! {
    /// Options of a call that embeds.
    ///
    /// # Examples
    /// ```
    /// use rushlight::{EncodeOptions, Truncation};
    ///
    /// let options = EncodeOptions::default()
    ///     .with_prompt_name("query")
    ///     .with_normalize_embeddings(true)
    ///     .with_truncation(Truncation::Error);
    /// assert_eq!(options.prompt_name, Some("query"));
    /// ```
    #[derive(Clone, Copy, Debug, Default)]
    EncodeOptions<'a> {
        /// Name of one of the model's prompts. `prompt` wins over it.
        prompt_name: Option<&'a str> => with_prompt_name(&'a str),
        /// Text to put before every input, as it is; `Some("")` suppresses the default prompt.
        prompt: Option<&'a str> => with_prompt(&'a str),
        /// Role of the texts. It selects the prompt if none is given or named, and the route of models that have two.
        role: Option<Role> => with_role(impl Into<Option<Role>>),
        /// Task, for models with an adapter for each. `None` is that of the role, else the folder's default.
        task: Option<&'a str> => with_task(impl Into<Option<&'a str>>),
        /// Divide each embedding by its L2 norm, after truncation.
        normalize_embeddings: bool => with_normalize_embeddings(bool),
        /// Columns to keep, instead of the model's own `truncate_dim`: at least 1. A number above the model's width
        /// keeps all.
        truncate_dim: Option<usize> => with_truncate_dim(impl Into<Option<usize>>),
        /// Treatment of texts that are too long.
        truncation: Truncation => with_truncation(Truncation),
        /// Side that truncation removes, instead of the tokenizer's own.
        truncation_side: Option<TruncationSide> => with_truncation_side(impl Into<Option<TruncationSide>>),
        /// Observer, which gets the progress and may stop the call.
        observer: Option<&'a dyn Observer> => with_observer(&'a dyn Observer),
    }
}

impl<'a> EncodeOptions<'a> {
    pub(crate) fn request(&self) -> Request<'a> {
        let Self { prompt_name, prompt, role, task, truncation, truncation_side, observer, .. } = *self;
        Request { prompt_name, prompt, role, task, truncation, truncation_side, observer }
    }
}

options! {
    /// Options of [`Model::encode_all`](crate::Model::encode_all).
    #[derive(Clone, Copy, Debug, Default)]
    HybridOptions<'a> {
        /// Kinds of embeddings; `None` means all that the model has heads for.
        kinds: Option<&'a [EmbeddingKind]> => with_kinds(impl Into<Option<&'a [EmbeddingKind]>>),
        /// Name of one of the model's prompts. `prompt` wins over it.
        prompt_name: Option<&'a str> => with_prompt_name(&'a str),
        /// Text to put before every input, as it is; `Some("")` suppresses the default prompt.
        prompt: Option<&'a str> => with_prompt(&'a str),
        /// Role of the texts. It selects the prompt if none is given or named, and the route of models that have two.
        role: Option<Role> => with_role(impl Into<Option<Role>>),
        /// Task, for models with an adapter for each. `None` is that of the role, else the folder's default.
        task: Option<&'a str> => with_task(impl Into<Option<&'a str>>),
        /// Divide each dense embedding by its L2 norm, after truncation. Token vectors have a norm of 1.
        normalize_embeddings: bool => with_normalize_embeddings(bool),
        /// Columns to keep of dense embeddings and token vectors, instead of the model's own `truncate_dim`.
        truncate_dim: Option<usize> => with_truncate_dim(impl Into<Option<usize>>),
        /// Number of the largest weights to keep of each sparse embedding; `None` keeps all.
        max_active_dims: Option<usize> => with_max_active_dims(impl Into<Option<usize>>),
        /// Treatment of texts that are too long.
        truncation: Truncation => with_truncation(Truncation),
        /// Side that truncation removes, instead of the tokenizer's own.
        truncation_side: Option<TruncationSide> => with_truncation_side(impl Into<Option<TruncationSide>>),
        /// Observer, which gets the progress and may stop the call.
        observer: Option<&'a dyn Observer> => with_observer(&'a dyn Observer),
    }
}

impl<'a> HybridOptions<'a> {
    pub(crate) fn request(&self) -> Request<'a> {
        let Self { prompt_name, prompt, role, task, truncation, truncation_side, observer, .. } = *self;
        Request { prompt_name, prompt, role, task, truncation, truncation_side, observer }
    }
}

options! {
    /// Options of a call of a [`Reranker`](crate::Reranker).
    #[derive(Clone, Copy, Debug, Default)]
    PredictOptions<'a> {
        /// Name of one of the model's prompts. `prompt` wins over it.
        prompt_name: Option<&'a str> => with_prompt_name(&'a str),
        /// Text to put before the first text of every pair, as it is; `Some("")` suppresses the default prompt.
        prompt: Option<&'a str> => with_prompt(&'a str),
        /// Activation to apply to the logits, instead of the model's own.
        activation: Option<ScoreActivation> => with_activation(impl Into<Option<ScoreActivation>>),
        /// Apply a softmax to the scores of a pair, after the activation. It has no effect on a single label.
        apply_softmax: bool => with_apply_softmax(bool),
        /// Treatment of pairs that are too long.
        truncation: Truncation => with_truncation(Truncation),
        /// Side that truncation removes, instead of the tokenizer's own.
        truncation_side: Option<TruncationSide> => with_truncation_side(impl Into<Option<TruncationSide>>),
        /// Observer, which gets the progress and may stop the call.
        observer: Option<&'a dyn Observer> => with_observer(&'a dyn Observer),
    }
}

options! {
    /// Options of a call of a [`SparseModel`](crate::SparseModel).
    #[derive(Clone, Copy, Debug, Default)]
    SparseOptions<'a> {
        /// Name of one of the model's prompts. `prompt` wins over it.
        prompt_name: Option<&'a str> => with_prompt_name(&'a str),
        /// Text to put before every input, as it is; `Some("")` suppresses the default prompt.
        prompt: Option<&'a str> => with_prompt(&'a str),
        /// Role of the texts. It selects the prompt if none is given or named, and the route of models that have two.
        role: Option<Role> => with_role(impl Into<Option<Role>>),
        /// Number of the largest weights to keep of each embedding, instead of the model's own; at least 1.
        max_active_dims: Option<usize> => with_max_active_dims(impl Into<Option<usize>>),
        /// Treatment of texts that are too long.
        truncation: Truncation => with_truncation(Truncation),
        /// Side that truncation removes, instead of the tokenizer's own.
        truncation_side: Option<TruncationSide> => with_truncation_side(impl Into<Option<TruncationSide>>),
        /// Observer, which gets the progress and may stop the call.
        observer: Option<&'a dyn Observer> => with_observer(&'a dyn Observer),
    }
}

options! {
    /// Options of a call of a [`MultiVectorModel`](crate::MultiVectorModel).
    #[derive(Clone, Copy, Debug, Default)]
    MultiVectorOptions<'a> {
        /// Name of one of the model's prompts. `prompt` wins over it.
        prompt_name: Option<&'a str> => with_prompt_name(&'a str),
        /// Text to prepend to every input, verbatim, instead of the model's marker of queries or documents.
        prompt: Option<&'a str> => with_prompt(&'a str),
        /// Treatment of texts that are too long.
        truncation: Truncation => with_truncation(Truncation),
        /// Side that truncation removes, instead of the tokenizer's own.
        truncation_side: Option<TruncationSide> => with_truncation_side(impl Into<Option<TruncationSide>>),
        /// Observer, which gets the progress and may stop the call.
        observer: Option<&'a dyn Observer> => with_observer(&'a dyn Observer),
    }
}

options! {
    /// Options of [`Model::chunk`](crate::Model::chunk).
    #[derive(Clone, Copy, Debug, Default)]
    ChunkOptions<'a> {
        /// Largest number of tokens of a chunk, special tokens included; `None` is the model's limit.
        max_tokens: Option<usize> => with_max_tokens(impl Into<Option<usize>>),
        /// Number of tokens that a chunk shares with the one before; fewer where that keeps a word whole.
        overlap: usize => with_overlap(usize),
        /// Text that a later call prepends to each chunk. Its tokens count against `max_tokens`.
        prompt: &'a str => with_prompt(&'a str),
        /// Observer, which may stop the call.
        observer: Option<&'a dyn Observer> => with_observer(&'a dyn Observer),
    }
}
