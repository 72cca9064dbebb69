//! Tasks of transformers: the class of transformers that loads one, and the name of its output.

use serde_json::{Map, Value, json};

use super::{JsonFile, Kind, ModuleEntry, ModuleKind, object};

/// Task of a transformer in `sentence_bert_config.json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TransformerTask {
    FeatureExtraction,
    /// Embeddings of whole texts and images, by models with a tower for each.
    Features,
    SequenceClassification,
    FillMask,
    TextGeneration,
}

impl TransformerTask {
    /// Returns the task of a kind's transformer before the other modules. Without a list of modules, a causal language
    /// model reranks by its logits.
    pub(crate) fn of(kind: Kind, modules: Option<&[ModuleEntry]>, config: &JsonFile) -> Self {
        match (kind, modules) {
            (Kind::Sentence | Kind::MultiVector, _) => Self::FeatureExtraction,
            // A SparseAutoEncoder codes a sentence embedding.
            (Kind::Sparse, Some(modules))
                if modules.iter().any(|entry| entry.kind == ModuleKind::SparseAutoEncoder) =>
            {
                Self::FeatureExtraction
            }
            (Kind::Sparse, _) => Self::FillMask,
            (Kind::Reranker, None) if config.is_causal_lm() => Self::TextGeneration,
            (Kind::Reranker, Some([_, second, ..])) if second.kind == ModuleKind::LogitScore => Self::TextGeneration,
            (Kind::Reranker, Some([_, _, ..])) => Self::FeatureExtraction,
            (Kind::Reranker, _) => Self::SequenceClassification,
        }
    }

    /// Returns the name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::FeatureExtraction | Self::Features => "feature-extraction",
            Self::SequenceClassification => "sequence-classification",
            Self::FillMask => "fill-mask",
            Self::TextGeneration => "text-generation",
        }
    }

    /// Returns the name of the output in the transformer's own code.
    pub(crate) fn method_output(self) -> &'static str {
        match self {
            Self::FeatureExtraction => "last_hidden_state",
            Self::Features => "pooler_output",
            Self::SequenceClassification | Self::FillMask | Self::TextGeneration => "logits",
        }
    }

    /// Returns the name of the output for the modules that follow.
    pub(crate) fn module_output(self) -> &'static str {
        match self {
            Self::FeatureExtraction | Self::FillMask => "token_embeddings",
            Self::Features => "sentence_embedding",
            Self::SequenceClassification => "scores",
            Self::TextGeneration => "causal_logits",
        }
    }

    /// Returns the class of transformers that loads the transformer.
    pub(crate) fn auto_class(self) -> &'static str {
        match self {
            Self::FeatureExtraction | Self::Features => "AutoModel",
            Self::SequenceClassification => "AutoModelForSequenceClassification",
            Self::FillMask => "AutoModelForMaskedLM",
            Self::TextGeneration => "AutoModelForCausalLM",
        }
    }

    /// Returns the entries of `sentence_bert_config.json` that describe the task. `message` is the entry of models that
    /// take chat messages.
    pub(crate) fn settings(self, message: Option<&str>) -> Map<String, Value> {
        let by =
            |method: &str| object([("method", method.into()), ("method_output_name", self.method_output().into())]);
        let entry = || by("forward");
        let mut modalities = match self {
            Self::Features => {
                object([("text", by("get_text_features").into()), ("image", by("get_image_features").into())])
            }
            _ => object([("text", entry().into())]),
        };
        if let Some(format) = message {
            let mut message = entry();
            message.insert("format".to_owned(), format.into());
            modalities.insert("message".to_owned(), message.into());
        }
        object([
            ("transformer_task", self.name().into()),
            ("modality_config", json!(modalities)),
            ("module_output_name", self.module_output().into()),
        ])
    }
}
