//! Angles of rotary position embedding (Su et al., 2021).

use std::sync::{Arc, PoisonError, RwLock};

use crate::alloc;
use crate::error::Result;
use crate::kernels::rows::Rows;

/// Rotation of queries and keys: at each position, an angle for each pair of a head's columns.
pub(crate) struct Rotary {
    /// Radians per position, for each pair.
    frequencies: Vec<f32>,
    /// Factor of the rotated vectors.
    factor: f32,
    /// Cache of the positions needed so far.
    rotations: RwLock<Arc<Rotations>>,
}

/// Cosines and sines of the angles, `(positions, pairs)`.
#[derive(Default)]
pub(crate) struct Rotations {
    cos: Vec<f32>,
    sin: Vec<f32>,
    pairs: usize,
}

impl Rotary {
    pub(crate) fn new(frequencies: Vec<f32>, factor: f32) -> Self {
        Self { frequencies, factor, rotations: RwLock::default() }
    }

    /// Returns the rotations of at least the first `positions`.
    ///
    /// # Errors
    /// [`Error::Memory`](crate::Error::Memory).
    pub(crate) fn rotations(&self, positions: usize) -> Result<Arc<Rotations>> {
        let known = Arc::clone(&self.rotations.read().unwrap_or_else(PoisonError::into_inner));
        if known.positions() >= positions {
            return Ok(known);
        }
        // Doubles the cache, so that a series of longer and longer texts fills it a few times only.
        let rotations = Arc::new(self.compute((2 * known.positions()).max(positions))?);
        *self.rotations.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&rotations);
        Ok(rotations)
    }

    fn compute(&self, positions: usize) -> Result<Rotations> {
        let pairs = self.frequencies.len();
        let empty = || alloc::with_capacity(positions.saturating_mul(pairs), "rotary positions");
        let mut rotations = Rotations { cos: empty()?, sin: empty()?, pairs };
        for (position, frequency) in (0..positions).flat_map(|p| self.frequencies.iter().map(move |f| (p, f))) {
            // The reference computes the angle in float32; its cosine and sine are exact here.
            let (sin, cos) = f64::from(position as f32 * frequency).sin_cos();
            rotations.cos.push((cos * f64::from(self.factor)) as f32);
            rotations.sin.push((sin * f64::from(self.factor)) as f32);
        }
        Ok(rotations)
    }
}

impl Rotations {
    fn positions(&self) -> usize {
        self.cos.len().checked_div(self.pairs).unwrap_or(0)
    }

    /// `(positions, pairs)`
    pub(crate) fn cos(&self) -> Rows<'_> {
        Rows::packed(&self.cos, self.pairs)
    }

    /// `(positions, pairs)`
    pub(crate) fn sin(&self) -> Rows<'_> {
        Rows::packed(&self.sin, self.pairs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_has_the_same_rotation_in_any_cache() {
        let rotary = Rotary::new(vec![1.0, 0.5], 2.0);
        let short = rotary.rotations(3).unwrap();
        let long = rotary.rotations(4).unwrap();
        assert_eq!((short.positions(), long.positions()), (3, 6));
        assert!(Arc::ptr_eq(&rotary.rotations(6).unwrap(), &long));
        assert!(short.cos().iter().eq(long.cos().iter().take(3)));
        assert!((long.sin().row(2)[1] - 2.0 * 1f32.sin()).abs() < 1e-6);
        assert_eq!((long.cos().row(0), long.sin().row(0)), (&[2.0, 2.0][..], &[0.0, 0.0][..]));
    }
}
