//! What is made of a pair's logits.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use crate::error::{Error, Result};

/// What is made of a pair's logits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ScoreActivation {
    /// `"identity"`: the logits themselves.
    #[default]
    Identity,
    /// `"sigmoid"`: 1 / (1 + e^-x), each by itself.
    Sigmoid,
    /// `"softmax"`: e^x over the sum of them, all of a pair together.
    Softmax,
}

impl ScoreActivation {
    const ALL: [Self; 3] = [Self::Identity, Self::Sigmoid, Self::Softmax];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Sigmoid => "sigmoid",
            Self::Softmax => "softmax",
        }
    }

    /// By the dotted name of torch's class, such as `torch.nn.modules.activation.Sigmoid`.
    pub(super) fn from_torch(name: &str, file: &Path, key: &str) -> Result<Self> {
        let class = name.strip_prefix("torch.nn.").and_then(|rest| rest.rsplit('.').next());
        match class {
            Some("Identity") => Ok(Self::Identity),
            Some("Sigmoid") => Ok(Self::Sigmoid),
            Some("Softmax") => Ok(Self::Softmax),
            _ => {
                let what = format!("{}: {key}", file.display());
                Err(Error::unsupported(what, name, "torch.nn's Identity, Sigmoid, Softmax"))
            }
        }
    }

    /// The dotted name of torch's class.
    pub(super) fn to_torch(self) -> &'static str {
        match self {
            Self::Identity => "torch.nn.modules.linear.Identity",
            Self::Sigmoid => "torch.nn.modules.activation.Sigmoid",
            Self::Softmax => "torch.nn.modules.activation.Softmax",
        }
    }

    /// Makes scores of the logits of one pair.
    pub(super) fn apply(self, logits: &mut [f32]) {
        match self {
            Self::Identity => {}
            Self::Sigmoid => logits.iter_mut().for_each(|x| *x = (1.0 / (1.0 + (-f64::from(*x)).exp())) as f32),
            Self::Softmax => {
                let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let power = |x: f32| f64::from(x - largest).exp();
                let sum: f64 = logits.iter().map(|x| power(*x)).sum();
                logits.iter_mut().for_each(|x| *x = (power(*x) / sum) as f32);
            }
        }
    }
}

impl fmt::Display for ScoreActivation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for ScoreActivation {
    type Err = Error;

    /// # Errors
    /// [`Error::InvalidArgument`] for an unknown name, with the known ones.
    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|activation| activation.name() == name).ok_or_else(|| {
            let known = Self::ALL.map(Self::name).join(", ");
            Error::argument("activation_fn", format!("must be one of {known}, got {name:?}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn activations_are_what_they_say_at_any_size() {
        let apply = |activation: ScoreActivation, x: &[f32]| {
            let mut x = x.to_vec();
            activation.apply(&mut x);
            x
        };
        assert_eq!(apply(ScoreActivation::Identity, &[1.5, -2.0]), [1.5, -2.0]);
        assert_eq!(apply(ScoreActivation::Sigmoid, &[0.0, 200.0, -200.0]), [0.5, 1.0, 0.0]);
        assert_eq!(apply(ScoreActivation::Softmax, &[3.0, 3.0, -500.0]), [0.5, 0.5, 0.0]);
        assert_eq!(apply(ScoreActivation::Softmax, &[1e30]), [1.0]);
        let e = std::f32::consts::E;
        let [a, b] = apply(ScoreActivation::Softmax, &[0.0, 1.0])[..] else { panic!("two") };
        assert!((a - 1.0 / (1.0 + e)).abs() < 1e-7 && (b - e / (1.0 + e)).abs() < 1e-7);
    }
}
