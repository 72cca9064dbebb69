//! Sequence classification: logits from one vector per text. Families describe their layers.

use super::transform::Transform;
use super::{Files, Head, HeadRequest, Output, Selected, num_labels};
use crate::batch::Batch;
use crate::config::{Activation, PoolingMode, token_id};
use crate::error::{Error, Result};
use crate::families::heads::{Summary, TransformLayer};
use crate::layers::Parameters;
use crate::ops::{DeviceBatch, Ops, TokenSelection};
use crate::weights::Weights;

struct Classifier<O: Ops> {
    summary: Summary,
    transform: Option<Transform<O>>,
    output: O::Linear,
    labels: usize,
    temperature: f32,
    /// Padding token, which a text may contain literally.
    pad: Option<u32>,
}

pub(super) fn load<O: Ops>(files: &Files<'_>, weights: &Weights, width: usize, ops: &O) -> Result<Box<dyn Head<O>>> {
    if files.entries.is_some_and(|entries| entries.len() != 1) {
        let problem = "must list one module, a Transformer with a classification head; a model of more modules loads as another kind";
        return Err(Error::config(files.folder.join("modules.json"), "(whole file)", problem));
    }
    let file = files.config;
    let head = files.family.classification_head(file)?;
    let labels = num_labels(file)?;
    let ops = &ops.in_full_precision();
    let parameters = Parameters::new(weights, ops);
    let transform = |layer: &TransformLayer| Transform::load(&parameters, layer, width, width);
    Ok(Box::new(Classifier {
        summary: head.summary,
        transform: head.transform.as_ref().map(transform).transpose()?,
        output: parameters.stacked_linear(&[(head.output, labels)], width, head.output_bias)?,
        labels,
        temperature: head.temperature,
        pad: file.get_with("pad_token_id", None, token_id)?,
    }))
}

impl<O: Ops> Head<O> for Classifier<O> {
    fn gives(&self) -> HeadRequest {
        HeadRequest::POOLED
    }

    fn selection(&self, _: &Batch) -> TokenSelection {
        match self.summary {
            Summary::First => TokenSelection::First,
            Summary::Mean | Summary::Last => TokenSelection::All,
        }
    }

    fn forward(
        &self,
        ops: &O,
        tokens: &Selected<'_, O>,
        batch: &DeviceBatch<'_, O>,
        output: &mut Output,
    ) -> Result<()> {
        let mode = match (self.summary, tokens.selection) {
            (Summary::First, TokenSelection::All) => Some(PoolingMode::Cls),
            (Summary::Mean, _) => Some(PoolingMode::Mean),
            (Summary::First | Summary::Last, _) => None,
        };
        let pooled = mode.map(|mode| ops.pool(tokens.embeddings, batch, &[mode])).transpose()?;
        let x = pooled.as_ref().unwrap_or(tokens.embeddings);
        let transformed = self.transform.as_ref().map(|transform| transform.forward(ops, x)).transpose()?;
        let x = transformed.as_ref().unwrap_or(x);
        let mut logits = ops.to_vec(&ops.linear(x, &self.output, Activation::Identity)?)?;
        logits.iter_mut().for_each(|logit| *logit /= self.temperature);
        output.pooled = match self.summary {
            Summary::First | Summary::Mean => logits,
            // The logits of all tokens are cheap, because each token has only a few.
            Summary::Last => {
                let rows =
                    batch.texts().map(|text| last_but_padding(&batch.input_ids[text.clone()], self.pad) + text.start);
                rows.flat_map(|row| &logits[row * self.labels..][..self.labels]).copied().collect()
            }
        };
        Ok(())
    }

    fn width(&self) -> usize {
        self.labels
    }
}

/// Returns the index of the last id that is not `pad`; 0 if all are.
fn last_but_padding(ids: &[u32], pad: Option<u32>) -> usize {
    ids.iter().rposition(|id| Some(*id) != pad).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::last_but_padding;

    #[test]
    fn the_last_token_is_no_padding() {
        assert_eq!(last_but_padding(&[5, 6, 7], Some(0)), 2);
        assert_eq!(last_but_padding(&[5, 0, 6, 0, 0], Some(0)), 2);
        assert_eq!(last_but_padding(&[5, 0], None), 1);
        assert_eq!(last_but_padding(&[0, 0], Some(0)), 0);
    }
}
