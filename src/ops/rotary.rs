//! The angles of rotary positions (Su et al., 2021).

use std::sync::{Arc, PoisonError, RwLock};

use crate::kernels::rows::Rows;

/// By how much queries and keys are turned: at each position, an angle for each pair of a head's columns.
pub(crate) struct Rotary {
    /// Radians a position.
    frequencies: Vec<f32>,
    /// Factor of what is turned.
    factor: f32,
    /// Of the positions that were needed so far.
    turns: RwLock<Arc<Turns>>,
}

/// Cosines and sines of the angles, `(positions, pairs)`.
#[derive(Default)]
pub(crate) struct Turns {
    cos: Vec<f32>,
    sin: Vec<f32>,
    pairs: usize,
}

impl Rotary {
    pub(crate) fn new(frequencies: Vec<f32>, factor: f32) -> Self {
        Self { frequencies, factor, turns: RwLock::default() }
    }

    /// The turns of at least the first `positions`.
    pub(crate) fn turns(&self, positions: usize) -> Arc<Turns> {
        let known = Arc::clone(&self.turns.read().unwrap_or_else(PoisonError::into_inner));
        if known.positions() >= positions {
            return known;
        }
        // Twice as many, so that longer and longer texts don't compute them again and again.
        let turns = Arc::new(self.compute((2 * known.positions()).max(positions)));
        *self.turns.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&turns);
        turns
    }

    fn compute(&self, positions: usize) -> Turns {
        let mut turns = Turns { pairs: self.frequencies.len(), ..Turns::default() };
        for (position, frequency) in (0..positions).flat_map(|p| self.frequencies.iter().map(move |f| (p, f))) {
            // The angle in float32, as the reference has it; its cosine and sine as exactly as can be.
            let (sin, cos) = f64::from(position as f32 * frequency).sin_cos();
            turns.cos.push((cos * f64::from(self.factor)) as f32);
            turns.sin.push((sin * f64::from(self.factor)) as f32);
        }
        turns
    }
}

impl Turns {
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
    fn a_position_turns_the_same_whenever_it_is_asked_for() {
        let rotary = Rotary::new(vec![1.0, 0.5], 2.0);
        let few = rotary.turns(3);
        let many = rotary.turns(4);
        assert_eq!((few.positions(), many.positions()), (3, 6));
        assert!(Arc::ptr_eq(&rotary.turns(6), &many));
        assert!(few.cos().iter().eq(many.cos().iter().take(3)));
        assert!((many.sin().row(2)[1] - 2.0 * 1f32.sin()).abs() < 1e-6);
        assert_eq!((many.cos().row(0), many.sin().row(0)), (&[2.0, 2.0][..], &[0.0, 0.0][..]));
    }
}
