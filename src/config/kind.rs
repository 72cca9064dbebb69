//! Kinds of models, and their names in the folders' files.

use std::path::Path;

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

/// File of the layer that weighs tokens, in bge-m3.
pub(crate) const SPARSE_LINEAR: &str = "sparse_linear.pt";
/// File of the layer that projects tokens, in bge-m3.
pub(crate) const COLBERT_LINEAR: &str = "colbert_linear.pt";

impl Kind {
    const ALL: [Self; 4] = [Self::Sentence, Self::Reranker, Self::Sparse, Self::MultiVector];

    /// Finds a kind by the `model_type` of `config_sentence_transformers.json`; PyLate's is `ColBERT`.
    pub(crate) fn named(model_type: &str) -> Option<Self> {
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

    /// Returns the kind that the files of a folder describe. It is another one if the kind's head has a file of its own
    /// beside the transformer: such a folder is one of sentence embeddings.
    pub(crate) fn of_folder(self, transformer: &Path) -> Self {
        let head = match self {
            Self::Sentence | Self::Reranker => return self,
            Self::Sparse => SPARSE_LINEAR,
            Self::MultiVector => COLBERT_LINEAR,
        };
        if transformer.join(head).exists() { Self::Sentence } else { self }
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
}
