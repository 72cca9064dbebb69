//! How a model is loaded, and how a call embeds.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use crate::device::{Device, Dtype};
use crate::models::ScoreActivation;
use crate::observer::Observer;
use crate::vectors::similarity::Similarity;

/// Which implementation of the transformer's operations computes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kernels {
    /// The device's own: on a CPU, kernels of this crate.
    #[default]
    Native,
    /// candle's tensors: slower on a CPU, and there to compare with. On it the same text gives the same numbers to 1e-5,
    /// not the same bits, in another batch.
    Portable,
}

/// The access token that the hub is shown, for repositories that are private or gated. It goes to the hub's own host and to
/// no other.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum Token {
    /// By `HF_TOKEN`, else the file that `HF_TOKEN_PATH` names or that `hf auth login` writes, where there is one; unless
    /// `HF_HUB_DISABLE_IMPLICIT_TOKEN` is set.
    #[default]
    FromEnvironment,
    /// The same, and an error where there is none.
    Required,
    /// None.
    None,
    /// This one.
    Given(String),
}

impl fmt::Debug for Token {
    /// Without the token itself.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FromEnvironment => "FromEnvironment",
            Self::Required => "Required",
            Self::None => "None",
            Self::Given(_) => "Given(..)",
        })
    }
}

/// How a model is loaded. What is `None` is as the model's folder says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadOptions {
    /// Where to compute; `None` is the best of [`Device::available`].
    pub device: Option<Device>,
    /// The numbers to compute in.
    pub dtype: Dtype,
    /// What computes there.
    pub kernels: Kernels,
    /// Prompts by name, added to the folder's and winning over them.
    pub prompts: BTreeMap<String, String>,
    /// The prompt used where a call names none.
    pub default_prompt_name: Option<String>,
    /// What [`Model::similarity`](crate::Model::similarity) computes.
    pub similarity: Option<Similarity>,
    /// Columns to keep of every embedding, at least 1.
    pub truncate_dim: Option<usize>,
    /// What a [`Reranker`](crate::Reranker) makes of the logits.
    pub activation: Option<ScoreActivation>,
    /// Tokens to keep of every text, special tokens included: 1 to the model's real limit.
    pub max_seq_length: Option<usize>,
    /// The Hugging Face cache in which a name is looked for, in place of the one that the environment names.
    pub cache_folder: Option<PathBuf>,
    /// Branch, tag or commit of a model in the cache or on the hub; `main` where `None`.
    pub revision: Option<String>,
    /// Whether the network must not be used, as the variable `HF_HUB_OFFLINE` says for all calls.
    pub local_files_only: bool,
    /// The access token that the hub is shown.
    pub token: Token,
}

/// What to do with texts that are longer than the model takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Truncation {
    /// Embed their beginnings; [`Embeddings::truncated`](crate::Embeddings::truncated) tells how many there were.
    #[default]
    Ignore,
    /// Fail with [`Error::InvalidInput`](crate::Error::InvalidInput) at the first.
    Error,
}

#[cfg(feature = "python")]
impl Truncation {
    pub(crate) fn failing(fails: bool) -> Self {
        if fails { Self::Error } else { Self::Ignore }
    }
}

/// How a call embeds.
#[derive(Clone, Copy, Default)]
pub struct EncodeOptions<'a> {
    /// Name of a prompt of the model's; ignored where `prompt` is given.
    pub prompt_name: Option<&'a str>,
    /// Put before every text, as it is; `Some("")` suppresses the default prompt.
    pub prompt: Option<&'a str>,
    /// Divide each embedding by its L2 norm, after truncating it.
    pub normalize_embeddings: bool,
    /// Columns to keep, in place of the model's own `truncate_dim`; at least 1, and more than there are is all.
    pub truncate_dim: Option<usize>,
    /// What to do with texts that are too long.
    pub truncation: Truncation,
    /// Told of progress, and may stop the call.
    pub observer: Option<&'a dyn Observer>,
}

impl fmt::Debug for EncodeOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EncodeOptions")
            .field("prompt_name", &self.prompt_name)
            .field("prompt", &self.prompt)
            .field("normalize_embeddings", &self.normalize_embeddings)
            .field("truncate_dim", &self.truncate_dim)
            .field("truncation", &self.truncation)
            .field("observer", &self.observer.is_some())
            .finish()
    }
}
