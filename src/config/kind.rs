//! The kinds of models, as their folders name them.

use serde_json::{Map, Value, json};

use super::object;

/// What a folder's model gives of a text. Each kind is loaded by a class of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One vector: [`Model`](crate::Model).
    Sentence,
    /// Scores of a pair: [`Reranker`](crate::Reranker).
    Reranker,
    /// A weight for each token of the vocabulary: [`SparseModel`](crate::SparseModel).
    Sparse,
    /// A vector for each token: [`MultiVectorModel`](crate::MultiVectorModel).
    MultiVector,
}

/// What a transformer does, as `sentence_bert_config.json` says it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Task {
    pub(super) name: &'static str,
    /// What the transformer's own code calls its output.
    pub(super) method_output: &'static str,
    /// What the modules after it call that.
    pub(super) module_output: &'static str,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Sentence, Self::Reranker, Self::Sparse, Self::MultiVector];

    /// By the `model_type` of `config_sentence_transformers.json`; PyLate has one of its own.
    pub(super) fn named(model_type: &str) -> Option<Self> {
        if model_type == "ColBERT" {
            return Some(Self::MultiVector);
        }
        Self::ALL.into_iter().find(|kind| kind.model_type() == model_type)
    }

    /// Its `model_type` in `config_sentence_transformers.json`.
    pub(crate) fn model_type(self) -> &'static str {
        match self {
            Self::Sentence => "SentenceTransformer",
            Self::Reranker => "CrossEncoder",
            Self::Sparse => "SparseEncoder",
            Self::MultiVector => "MultiVectorEncoder",
        }
    }

    /// The class that loads it.
    pub(crate) fn class(self) -> &'static str {
        match self {
            Self::Sentence => "Model",
            Self::Reranker => "Reranker",
            Self::Sparse => "SparseModel",
            Self::MultiVector => "MultiVectorModel",
        }
    }

    /// The class of transformers that its transformer is loaded by.
    pub(super) fn auto_class(self) -> &'static str {
        match self {
            Self::Sentence | Self::MultiVector => "AutoModel",
            Self::Reranker => "AutoModelForSequenceClassification",
            Self::Sparse => "AutoModelForMaskedLM",
        }
    }

    /// What its task adds to `sentence_bert_config.json`: nothing for the kinds that versions know which refuse these keys.
    pub(crate) fn task_settings(self) -> Map<String, Value> {
        let Task { name, method_output, module_output } = match self {
            Self::Sentence | Self::Sparse => return Map::new(),
            Self::Reranker | Self::MultiVector => self.task(),
        };
        let text = json!({ "method": "forward", "method_output_name": method_output });
        object([
            ("transformer_task", name.into()),
            ("modality_config", json!({ "text": text })),
            ("module_output_name", module_output.into()),
        ])
    }

    pub(super) fn task(self) -> Task {
        let task = |name, method_output, module_output| Task { name, method_output, module_output };
        match self {
            Self::Sentence | Self::MultiVector => task("feature-extraction", "last_hidden_state", "token_embeddings"),
            Self::Reranker => task("sequence-classification", "logits", "scores"),
            Self::Sparse => task("fill-mask", "logits", "token_embeddings"),
        }
    }
}
