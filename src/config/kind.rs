//! Kinds of models, and their names in the folders' files.

use serde_json::{Map, Value, json};

use super::object;

/// Kind of a model by its result. Each kind has a class of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One vector a text: [`Model`](crate::Model).
    Sentence,
    /// Scores of a pair of texts: [`Reranker`](crate::Reranker).
    Reranker,
    /// A weight for each token of the vocabulary: [`SparseModel`](crate::SparseModel).
    Sparse,
    /// A vector for each token: [`MultiVectorModel`](crate::MultiVectorModel).
    MultiVector,
}

/// Task of a transformer in `sentence_bert_config.json`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Task {
    pub(super) name: &'static str,
    /// Name of the output in the transformer's own code.
    pub(super) method_output: &'static str,
    /// Name of the output for the modules that follow.
    pub(super) module_output: &'static str,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Sentence, Self::Reranker, Self::Sparse, Self::MultiVector];

    /// Finds a kind by the `model_type` of `config_sentence_transformers.json`; PyLate's is `ColBERT`.
    pub(super) fn named(model_type: &str) -> Option<Self> {
        if model_type == "ColBERT" {
            return Some(Self::MultiVector);
        }
        Self::ALL.into_iter().find(|kind| kind.model_type() == model_type)
    }

    /// Returns the `model_type` of `config_sentence_transformers.json`.
    pub(crate) fn model_type(self) -> &'static str {
        match self {
            Self::Sentence => "SentenceTransformer",
            Self::Reranker => "CrossEncoder",
            Self::Sparse => "SparseEncoder",
            Self::MultiVector => "MultiVectorEncoder",
        }
    }

    /// Returns rushlight's class that loads the kind.
    pub(crate) fn class(self) -> &'static str {
        match self {
            Self::Sentence => "Model",
            Self::Reranker => "Reranker",
            Self::Sparse => "SparseModel",
            Self::MultiVector => "MultiVectorModel",
        }
    }

    /// Returns the class of transformers that loads the transformer.
    pub(crate) fn auto_class(self) -> &'static str {
        match self {
            Self::Sentence | Self::MultiVector => "AutoModel",
            Self::Reranker => "AutoModelForSequenceClassification",
            Self::Sparse => "AutoModelForMaskedLM",
        }
    }

    /// Returns the keys of the task in `sentence_bert_config.json`: none for kinds that older versions load, since those refuse
    /// these keys.
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
