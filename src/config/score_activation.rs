//! Activation that turns a pair's logits into scores.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use super::activation::{Activation, torch_class};
use crate::error::{Error, Result};

/// Activation that turns a pair's logits into scores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ScoreActivation {
    /// `"identity"`: returns the logits unchanged.
    #[default]
    Identity,
    /// `"sigmoid"`: 1 / (1 + e^-x) of each logit.
    Sigmoid,
    /// `"softmax"`: e^x over the sum of e^x of all logits of the pair.
    Softmax,
    /// Another elementwise function, by name, as in `"tanh".parse()`.
    Elementwise(Elementwise),
}

/// Elementwise activation of `torch.nn`, with its default parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elementwise(Activation);

/// The only supported class of torch that isn't elementwise.
const SOFTMAX: &str = "Softmax";

impl ScoreActivation {
    /// Returns the names of all activations: torch's class names in lower case.
    pub fn names() -> impl Iterator<Item = String> {
        Activation::classes().chain([SOFTMAX]).map(str::to_lowercase)
    }

    /// Returns the name.
    pub fn name(self) -> String {
        self.class().to_lowercase()
    }

    /// Returns the name of torch's class.
    fn class(self) -> &'static str {
        match self {
            Self::Softmax => SOFTMAX,
            Self::Identity => Activation::Identity.class(),
            Self::Sigmoid => Activation::Sigmoid.class(),
            Self::Elementwise(Elementwise(activation)) => activation.class(),
        }
    }

    /// Returns the activation of a class of torch.
    fn of_class(class: &str) -> Option<Self> {
        if class == SOFTMAX {
            return Some(Self::Softmax);
        }
        Activation::of_class(class).map(|activation| match activation {
            Activation::Identity => Self::Identity,
            Activation::Sigmoid => Self::Sigmoid,
            other => Self::Elementwise(Elementwise(other)),
        })
    }

    /// Parses the dotted name of a class of torch, such as `torch.nn.modules.activation.Sigmoid`.
    pub(crate) fn from_torch(name: &str, file: &Path, key: &str) -> Result<Self> {
        torch_class(name).and_then(Self::of_class).ok_or_else(|| {
            let known: Vec<_> = Activation::classes().chain([SOFTMAX]).collect();
            Error::unsupported(format!("{}: {key}", file.display()), name, format!("torch.nn's {}", known.join(", ")))
        })
    }

    /// Returns the dotted name of torch's class.
    pub(crate) fn to_torch(self) -> String {
        let module = if self == Self::Identity { "linear" } else { "activation" };
        format!("torch.nn.modules.{module}.{}", self.class())
    }

    /// Turns the logits of one pair into scores, in place.
    pub fn apply(self, logits: &mut [f32]) {
        let each = |logits: &mut [f32], activation: Activation| {
            logits.iter_mut().for_each(|x| *x = activation.of(f64::from(*x)) as f32);
        };
        match self {
            Self::Identity => {}
            Self::Sigmoid => each(logits, Activation::Sigmoid),
            Self::Elementwise(Elementwise(activation)) => each(logits, activation),
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
        f.pad(&self.name())
    }
}

impl FromStr for ScoreActivation {
    type Err = Error;

    /// # Errors
    /// [`Error::InvalidArgument`] for an unknown name; it lists the known names.
    fn from_str(name: &str) -> Result<Self> {
        let class = Activation::classes().chain([SOFTMAX]).find(|class| class.to_lowercase() == name);
        class.and_then(Self::of_class).ok_or_else(|| {
            let known: Vec<_> = Self::names().collect();
            Error::argument("activation", format!("must be one of {}, got {name:?}", known.join(", ")))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(activation: ScoreActivation, x: &[f32]) -> Vec<f32> {
        let mut x = x.to_vec();
        activation.apply(&mut x);
        x
    }

    #[test]
    fn activations_are_what_they_say_at_any_size() {
        assert_eq!(apply(ScoreActivation::Identity, &[1.5, -2.0]), [1.5, -2.0]);
        assert_eq!(apply(ScoreActivation::Sigmoid, &[0.0, 200.0, -200.0]), [0.5, 1.0, 0.0]);
        assert_eq!(apply(ScoreActivation::Softmax, &[3.0, 3.0, -500.0]), [0.5, 0.5, 0.0]);
        assert_eq!(apply(ScoreActivation::Softmax, &[1e30]), [1.0]);
        let e = std::f32::consts::E;
        let [a, b] = apply(ScoreActivation::Softmax, &[0.0, 1.0])[..] else { panic!("two") };
        assert!((a - 1.0 / (1.0 + e)).abs() < 1e-7 && (b - e / (1.0 + e)).abs() < 1e-7);
        let softplus: ScoreActivation = "softplus".parse().unwrap();
        assert_eq!(apply(softplus, &[0.0, 200.0, -200.0]), [2f32.ln(), 200.0, 0.0]);
    }

    #[test]
    fn every_activation_has_a_name_and_a_class_of_torchs() {
        let file = Path::new("config.json");
        let all: Vec<ScoreActivation> = ScoreActivation::names().map(|name| name.parse().unwrap()).collect();
        assert_eq!(all.len(), 22);
        for (activation, name) in all.iter().zip(ScoreActivation::names()) {
            assert_eq!((activation.name(), activation.to_string()), (name.clone(), name));
            let torch = activation.to_torch();
            assert_eq!(ScoreActivation::from_torch(&torch, file, "key").unwrap(), *activation, "{torch}");
        }
        assert_eq!("identity".parse::<ScoreActivation>().unwrap(), ScoreActivation::Identity);
        assert!("Tanh".parse::<ScoreActivation>().is_err() && "glu".parse::<ScoreActivation>().is_err());
    }
}
