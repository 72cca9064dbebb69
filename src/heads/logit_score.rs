//! Score of a pair by a causal language model: the logit of one token after the text, such as "yes", less that of another.

use std::path::Path;

use super::{Files, Head, HeadRequest, Output, Selected};
use crate::batch::Batch;
use crate::config::{Activation, JsonFile, LogitScoreConfig, PoolingMode};
use crate::error::{Error, Result};
use crate::layers::Limits;
use crate::ops::{DeviceBatch, Ops, TokenSelection};
use crate::tokenize::Tokenizer;
use crate::weights::{Array, Weights};

/// Names of the output layer and of the embedding table, which is the output layer's weight in tied models.
const OUTPUT: &str = "lm_head.weight";
const WORDS: &str = "embed_tokens.weight";

struct LogitScore<O: Ops> {
    /// Rows of the output layer: of the true token, and of the false one if there is one.
    output: O::Linear,
    logits: usize,
    /// Bound of the logits, which approach it smoothly.
    soft_cap: Option<f32>,
}

pub(super) fn load<O: Ops>(files: &Files<'_>, weights: &Weights, limits: Limits, ops: &O) -> Result<Box<dyn Head<O>>> {
    let tokens = match (files.entries, files.answers) {
        (Some([_, module]), _) => LogitScoreConfig::read(&module.folder)?,
        (None, Some(answers)) => answers,
        _ => {
            let problem = "must list a Transformer and a LogitScore module, and no other";
            return Err(Error::config(files.folder.join("modules.json"), "(whole file)", problem));
        }
    };
    let ids: Vec<_> = std::iter::once(tokens.true_token).chain(tokens.false_token).collect();
    if let Some(id) = ids.iter().find(|id| **id as usize >= limits.vocab_size) {
        let file = files.entries.map_or(files.folder, |entries| &entries[1].folder).join("config.json");
        let problem = format!("must be below the model's vocabulary of {}, got {id}", limits.vocab_size);
        return Err(Error::config(file, "true_token_id, false_token_id", problem));
    }
    let words = output_layer(files.config, weights, limits)?;
    let rows: Vec<_> = ids.iter().map(|id| words.rows(*id as usize..*id as usize + 1)).collect();
    let output = ops.in_full_precision().linear_layer(&[Array::stack(&rows)], None)?;
    let soft_cap = files.config.get("final_logit_softcapping", None)?;
    Ok(Box::new(LogitScore { output, logits: ids.len(), soft_cap }))
}

/// Returns the tokens that score pairs by default.
pub(crate) fn yes_and_no(tokenizer: &Tokenizer, folder: &Path) -> Result<LogitScoreConfig> {
    let id = |token: &str| {
        let problem = || format!("must have the token {token:?}: without a LogitScore module, its logit scores pairs");
        tokenizer.id(token).ok_or_else(|| Error::config(folder.join("tokenizer.json"), "model.vocab", problem()))
    };
    Ok(LogitScoreConfig { true_token: id("yes")?, false_token: Some(id("no")?) })
}

/// Returns the output layer's weight, `(vocab_size, hidden_size)`. Without the key in the config, the weights tell whether it
/// is the embedding table.
fn output_layer(config: &JsonFile, weights: &Weights, limits: Limits) -> Result<Array> {
    let shape = [limits.vocab_size, limits.hidden_size];
    if config.get("tie_word_embeddings", !weights.has(OUTPUT))? {
        return weights.clone().behind("model", WORDS).array(WORDS, &shape);
    }
    weights.array(OUTPUT, &shape)
}

impl<O: Ops> Head<O> for LogitScore<O> {
    fn gives(&self) -> HeadRequest {
        HeadRequest::POOLED
    }

    fn selection(&self, _: &Batch) -> TokenSelection {
        TokenSelection::Last
    }

    fn forward(
        &self,
        ops: &O,
        tokens: &Selected<'_, O>,
        batch: &DeviceBatch<'_, O>,
        output: &mut Output,
    ) -> Result<()> {
        let last = match tokens.selection {
            TokenSelection::All => Some(ops.pool(tokens.embeddings, batch, &[PoolingMode::LastToken])?),
            TokenSelection::First | TokenSelection::Last => None,
        };
        let x = last.as_ref().unwrap_or(tokens.embeddings);
        let logits = ops.to_vec(&ops.linear(x, &self.output, Activation::Identity)?)?;
        let capped = |logit: f32| self.soft_cap.map_or(logit, |cap| (logit / cap).tanh() * cap);
        let score = |logits: &[f32]| capped(logits[0]) - logits.get(1).map_or(0.0, |logit| capped(*logit));
        output.pooled = logits.chunks_exact(self.logits).map(score).collect();
        Ok(())
    }

    fn width(&self) -> usize {
        1
    }
}
