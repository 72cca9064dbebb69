//! Options of loading a model.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use super::{StaticRule, options};
use crate::config::{PoolingMode, ScoreActivation, Similarity};
use crate::device::{Device, Dtype};
use crate::observer::Observer;

/// Implementation of the transformer's operations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[doc(hidden)] // The crate's tests and benches compare both.
pub enum Kernels {
    /// The device's own: on a CPU, kernels of this crate.
    #[default]
    Native,
    /// candle's tensors. On a CPU they are slower and give the same numbers to 1e-5, not the same bits in every batch.
    #[cfg(feature = "portable")]
    Portable,
}

/// Access token for private and gated repositories. It is sent to the hub's own host only.
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum HubToken {
    /// The environment's token, if any: `HF_TOKEN`, else the file that `HF_TOKEN_PATH` names or `hf auth login` writes.
    /// `HF_HUB_DISABLE_IMPLICIT_TOKEN` turns it off.
    #[default]
    FromEnvironment,
    /// The environment's token; an error without one.
    Required,
    /// No token.
    None,
    /// This token.
    Given(String),
}

impl fmt::Debug for HubToken {
    /// Writes the variant without the token itself.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FromEnvironment => "FromEnvironment",
            Self::Required => "Required",
            Self::None => "None",
            Self::Given(_) => "Given(..)",
        })
    }
}

impl From<String> for HubToken {
    fn from(token: String) -> Self {
        Self::Given(token)
    }
}

impl From<&str> for HubToken {
    fn from(token: &str) -> Self {
        Self::Given(token.to_owned())
    }
}

options! {
    /// Options of loading a model. A field that is `None` means the model folder's own setting.
    ///
    /// # Examples
    /// ```
    /// use rushlight::{Device, LoadOptions};
    ///
    /// let options = LoadOptions::default().with_device(Device::Cpu).with_max_seq_length(128).with_revision("main");
    /// assert_eq!(options.max_seq_length, Some(128));
    /// ```
    #[derive(Clone, Debug)]
    LoadOptions {
        /// Device that computes; `None` is the first of [`Device::available`].
        device: Option<Device> => with_device(impl Into<Option<Device>>),
        /// Type of the numbers to compute in.
        dtype: Dtype => with_dtype(Dtype),
        /// Implementation of the operations.
        #[doc(hidden)]
        kernels: Kernels,
        /// Prompts by name, added to the folder's. They win over prompts of the same name.
        prompts: BTreeMap<String, String> => with_prompts(impl Into<BTreeMap<String, String>>),
        /// Name of the prompt for calls that name none.
        default_prompt_name: Option<String>,
        /// Function that [`Model::similarity`](crate::Model::similarity) computes.
        similarity: Option<Similarity> => with_similarity(impl Into<Option<Similarity>>),
        /// Columns to keep of every embedding, at least 1.
        truncate_dim: Option<usize> => with_truncate_dim(impl Into<Option<usize>>),
        /// Activation that a [`Reranker`](crate::Reranker) applies to the logits.
        activation: Option<ScoreActivation> => with_activation(impl Into<Option<ScoreActivation>>),
        /// Tokens to keep of every text, special tokens included: from 1 to the model's limit.
        max_seq_length: Option<usize> => with_max_seq_length(impl Into<Option<usize>>),
        /// Adapters of peft by name: folders, or names in the cache or on the hub. A call selects one as its
        /// [`task`](crate::EncodeOptions::task).
        adapters: BTreeMap<String, String> => with_adapters(impl Into<BTreeMap<String, String>>),
        /// Takes the tokenizer's steps from `tokenizer.json` as they are. As in transformers, most tokenizer classes read only
        /// the vocabulary from it, and build their own steps from it and `tokenizer_config.json`.
        tokenizer_as_filed: bool => with_tokenizer_as_filed(bool),
        /// Maps safetensors into memory, the default. Without it, loading reads them as a whole, and the files may change
        /// while the model is used.
        mmap: bool => with_mmap(bool),
        /// Folder of packed weights, which processes on a machine share. The first process that loads a model on a CPU writes its
        /// packed weights into a file there; all map the file, so that they have one copy in memory, and load more
        /// quickly. `None` packs the weights in memory of the process. The folder is made if absent. It must be this user's
        /// or root's, and writable by its owner alone. Each model with its options has one file, which a changed model
        /// replaces; the folder may be deleted at any time.
        packed_folder: Option<PathBuf>,
        /// Maximum number of texts that one forward pass computes. `None` lets their tokens decide, which is fastest.
        max_batch_texts: Option<NonZeroUsize> => with_max_batch_texts(impl Into<Option<NonZeroUsize>>),
        /// Loads a folder that was saved as another kind of model, as sentence-transformers converts it: the transformer with
        /// the kind's default modules, or the Dense modules of a sentence embedding model on each token. Without it, and
        /// where the conversion would need random weights, such a folder is an error.
        convert: bool => with_convert(bool),
        /// Rule by which a static model reads texts. `None` is that of sentence-transformers where it loads the folder,
        /// else model2vec's own: for int8 rows without `weights`.
        static_rule: Option<StaticRule> => with_static_rule(impl Into<Option<StaticRule>>),
        /// Hugging Face cache to use instead of the environment's.
        cache_folder: Option<PathBuf>,
        /// Branch, tag or commit of a model in the cache or on the hub; `None` is `main`.
        revision: Option<String>,
        /// Forbids network access, as the variable `HF_HUB_OFFLINE` does for all calls.
        local_files_only: bool => with_local_files_only(bool),
        /// Access token for the hub.
        token: HubToken => with_token(impl Into<HubToken>),
        /// Observer, which gets a download's progress in bytes and may stop the download and the reading of weights.
        observer: Option<Arc<dyn Observer + Send>>,
    }
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self {
            device: None,
            dtype: Dtype::default(),
            kernels: Kernels::default(),
            prompts: BTreeMap::new(),
            default_prompt_name: None,
            similarity: None,
            truncate_dim: None,
            activation: None,
            max_seq_length: None,
            adapters: BTreeMap::new(),
            tokenizer_as_filed: false,
            mmap: true,
            packed_folder: None,
            max_batch_texts: None,
            convert: false,
            static_rule: None,
            cache_folder: None,
            revision: None,
            local_files_only: false,
            token: HubToken::default(),
            observer: None,
        }
    }
}

impl LoadOptions {
    /// Sets `kernels`.
    #[doc(hidden)]
    #[must_use]
    pub fn with_kernels(mut self, kernels: Kernels) -> Self {
        self.kernels = kernels;
        self
    }

    /// Sets [`Self::observer`].
    #[must_use]
    pub fn with_observer(mut self, observer: impl Observer + Send + 'static) -> Self {
        self.observer = Some(Arc::new(observer));
        self
    }

    /// Adds a prompt to [`Self::prompts`].
    #[must_use]
    pub fn with_prompt(mut self, name: impl Into<String>, prompt: impl Into<String>) -> Self {
        self.prompts.insert(name.into(), prompt.into());
        self
    }

    /// Adds an adapter to [`Self::adapters`].
    #[must_use]
    pub fn with_adapter(mut self, name: impl Into<String>, folder_or_name: impl Into<String>) -> Self {
        self.adapters.insert(name.into(), folder_or_name.into());
        self
    }

    /// Sets [`Self::default_prompt_name`].
    #[must_use]
    pub fn with_default_prompt_name(mut self, name: impl Into<String>) -> Self {
        self.default_prompt_name = Some(name.into());
        self
    }

    /// Sets [`Self::cache_folder`].
    #[must_use]
    pub fn with_cache_folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.cache_folder = Some(folder.into());
        self
    }

    /// Sets [`Self::packed_folder`].
    #[must_use]
    pub fn with_packed_folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.packed_folder = Some(folder.into());
        self
    }

    /// Sets [`Self::revision`].
    #[must_use]
    pub fn with_revision(mut self, revision: impl Into<String>) -> Self {
        self.revision = Some(revision.into());
        self
    }
}

options! {
    /// Modules that [`Model::from_backbone`](crate::Model::from_backbone) puts behind a transformer.
    #[derive(Clone, Debug, PartialEq, Eq)]
    BackboneOptions {
        /// Pooling modes, which make one vector of the token embeddings. Vectors of several modes are concatenated.
        pooling: Vec<PoolingMode> => with_pooling(impl Into<Vec<PoolingMode>>),
        /// Folders of Dense modules in sentence-transformers' layout: `config.json` with the weights beside it.
        dense: Vec<PathBuf> => with_dense(impl Into<Vec<PathBuf>>),
        /// Divide each embedding by its L2 norm.
        normalize: bool => with_normalize(bool),
        /// Number of layers to keep, from the first; `None` is all.
        num_hidden_layers: Option<usize> => with_num_hidden_layers(impl Into<Option<usize>>),
    }
}

impl Default for BackboneOptions {
    /// Returns mean pooling over all layers, without further modules.
    fn default() -> Self {
        Self { pooling: vec![PoolingMode::Mean], dense: Vec::new(), normalize: false, num_hidden_layers: None }
    }
}
