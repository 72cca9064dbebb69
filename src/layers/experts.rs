//! Mixture of experts (Shazeer et al., 2017): a router chooses the feed-forward blocks that compute a token.

use crate::config::Activation;
use crate::error::Result;
use crate::ops::{FeedForward, Lookup, Ops, Residual};

/// Feed-forward blocks, of which each token takes a few. Their outputs are weighted by the router's probabilities.
pub(crate) struct Experts<O: Ops> {
    /// Linear layer to a logit for each block.
    pub(crate) router: O::Linear,
    pub(crate) blocks: Vec<FeedForward<O>>,
    /// Number of blocks that compute a token.
    pub(crate) per_token: usize,
    /// Bias of the sum: a table with one entry.
    pub(crate) bias: O::Table,
}

impl<O: Ops> Experts<O> {
    /// Computes `bias + Σ probability · block(x)`. Each token's sum has the order of the blocks, so that it doesn't
    /// depend on the rest of the micro-batch.
    pub(crate) fn forward(&self, ops: &O, x: &O::Tensor) -> Result<O::Tensor> {
        let logits = ops.to_vec(&ops.linear(x, &self.router, Activation::Identity)?)?;
        let tokens = logits.len() / self.blocks.len();
        let mut sum = ops.embed(&[Lookup { table: &self.bias, entries: &vec![0; tokens] }], None)?;
        for (block, share) in self.blocks.iter().zip(shares(&logits, self.blocks.len(), self.per_token)) {
            if !share.rows.is_empty() {
                let rows = ops.select_rows(x, &share.rows)?;
                let computed = ops.feed_forward(&rows, block, &rows, &Residual::None)?;
                sum = ops.add_rows(sum, &share.rows, &computed, &share.factors)?;
            }
        }
        Ok(sum)
    }
}

/// Tokens that a block computes, and the factors of its output for them.
#[derive(Clone, Debug, Default, PartialEq)]
struct Share {
    rows: Vec<u32>,
    factors: Vec<f32>,
}

/// Returns the tokens of each block. A token takes the `per_token` blocks with the largest logits, ties the first; its
/// factors are the probabilities among all blocks, and don't sum up to 1.
fn shares(logits: &[f32], blocks: usize, per_token: usize) -> Vec<Share> {
    let mut shares = vec![Share::default(); blocks];
    for (token, logits) in logits.chunks_exact(blocks).enumerate() {
        let mut order: Vec<usize> = (0..blocks).collect();
        order.sort_by(|a, b| logits[*b].total_cmp(&logits[*a]));
        let largest = logits[order[0]];
        let power = |i: usize| (logits[i] - largest).exp();
        let sum: f32 = (0..blocks).map(power).sum();
        for block in &order[..per_token] {
            shares[*block].rows.push(token as u32);
            shares[*block].factors.push(power(*block) / sum);
        }
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_take_the_blocks_with_the_largest_probabilities() {
        let shares = shares(&[0.0, 2.0, 1.0, 1.0, 5.0, 5.0, 5.0, 5.0], 4, 2);
        let rows: Vec<_> = shares.iter().map(|share| &share.rows[..]).collect();
        assert_eq!(rows, [&[1][..], &[0, 1], &[0], &[]]);
        let sum = 1.0 + 2f32.exp() + 2.0 * 1f32.exp();
        assert!((shares[1].factors[0] - 2f32.exp() / sum).abs() < 1e-6);
        assert!((shares[2].factors[0] - 1f32.exp() / sum).abs() < 1e-6);
        assert_eq!(shares[0].factors, [0.25]);
    }

    #[test]
    fn nan_stays_nan() {
        let shares = shares(&[f32::NAN, 1.0], 2, 1);
        assert!(shares.iter().flat_map(|share| &share.factors).all(|factor| factor.is_nan()));
        assert_eq!(shares.iter().map(|share| share.rows.len()).sum::<usize>(), 1);
    }
}
