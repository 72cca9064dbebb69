//! Descriptions of a family's heads: which layers they have, and what checkpoints call them. `heads/` loads and runs them.

use crate::config::Activation;

/// Classifier of texts.
pub(crate) struct ClassificationHead {
    pub(crate) summary: Summary,
    pub(crate) transform: Option<TransformLayer>,
    pub(crate) output: &'static str,
    pub(crate) output_bias: bool,
    /// Divisor of the logits.
    pub(crate) temperature: f32,
}

impl ClassificationHead {
    /// A dense layer on the first token's embedding, then the output layer.
    pub(super) fn first(dense: &'static str, activation: Activation, output: &'static str) -> Self {
        let transform = Some(TransformLayer::new(dense, activation));
        Self { summary: Summary::First, transform, output, output_bias: true, temperature: 1.0 }
    }

    /// An output layer without a bias on the last token's embedding.
    pub(super) fn last(output: &'static str) -> Self {
        Self { summary: Summary::Last, transform: None, output, output_bias: false, temperature: 1.0 }
    }
}

/// Vector that stands for a text.
#[derive(Clone, Copy)]
pub(crate) enum Summary {
    /// Embedding of the first token.
    First,
    /// Mean of all tokens' embeddings.
    Mean,
    /// Embedding of the last token that isn't padding, which may stand literally in a text.
    Last,
}

/// Predictor of masked tokens.
pub(crate) struct MaskedLmHead {
    pub(crate) transform: TransformLayer,
    /// Columns of the transform's output and of the embedding table.
    pub(crate) width: usize,
    /// The embedding table. It is the output layer's weight where the two are tied.
    pub(crate) words: &'static str,
    pub(crate) output: &'static str,
    pub(crate) bias: OutputBias,
}

/// Bias of an output layer.
pub(crate) enum OutputBias {
    Absent,
    /// Named after the layer.
    OfLayer,
    /// A parameter of its own, which checkpoints may also have under the layer's name.
    Own(&'static str),
}

/// A dense layer with its activation, and the norm that some families have after it.
pub(crate) struct TransformLayer {
    pub(crate) dense: &'static str,
    pub(crate) dense_bias: bool,
    pub(crate) activation: Activation,
    pub(crate) norm: Option<NormLayer>,
}

/// A layer norm.
pub(crate) struct NormLayer {
    pub(crate) name: &'static str,
    pub(crate) bias: bool,
    pub(crate) eps: f32,
}

impl TransformLayer {
    /// A dense layer with a bias.
    pub(super) fn new(dense: &'static str, activation: Activation) -> Self {
        Self { dense, dense_bias: true, activation, norm: None }
    }

    /// Adds a norm with a bias.
    pub(super) fn with_norm(self, name: &'static str, eps: f32) -> Self {
        Self { norm: Some(NormLayer { name, bias: true, eps }), ..self }
    }
}
