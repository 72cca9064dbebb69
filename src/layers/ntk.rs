//! "NTK-aware" scaling of rotary positions as GTE's published code has it: the same frequencies for texts of any length.

use std::sync::Arc;

use serde::Deserialize;

use super::rope::Rope;
use crate::error::Result;
use crate::ops::Rotary;

/// Keys of `rope_scaling` in the config of that code.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NtkScaling {
    #[serde(rename = "type")]
    _type: NtkType,
    factor: f64,
    /// Exponent that spreads the scaling over the frequencies, in place of a larger base.
    mixed_b: Option<f64>,
}

/// The only type that the code knows.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum NtkType {
    Ntk,
}

impl NtkScaling {
    /// Returns the angles of scaled positions.
    pub(crate) fn rotary(&self, rope: &Rope<'_>) -> Result<Arc<Rotary>> {
        if !(self.factor.is_finite() && self.factor >= 1.0) {
            return Err(rope.error("factor", format!("must be a number from 1 up, got {}", self.factor)));
        }
        let base = if self.mixed_b.is_some() { 1.0 } else { self.factor };
        let frequencies = rope.frequencies(rope.theta * base)?;
        let pairs = frequencies.len();
        let scaled = frequencies.into_iter().enumerate().map(|(i, frequency)| frequency / self.divisor(i, pairs));
        let scaled: Vec<_> = scaled.collect();
        rope.finite(if self.mixed_b.is_some() { "mixed_b" } else { "factor" }, &scaled)?;
        Ok(Arc::new(Rotary::new(scaled, 1.0)))
    }

    /// Returns the divisor of the `i`-th frequency.
    fn divisor(&self, i: usize, pairs: usize) -> f32 {
        let divisor = match self.mixed_b {
            Some(b) => (self.factor.ln() / (pairs as f64).powf(b) * ((i + 1) as f64).powf(b)).exp(),
            None => self.factor.powf(1.0 / pairs as f64),
        };
        divisor as f32
    }
}
