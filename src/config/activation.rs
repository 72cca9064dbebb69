//! The activation functions and their many names.

use std::path::Path;

use crate::error::{Error, Result};

/// An activation function, applied element by element.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Activation {
    /// x
    #[default]
    Identity,
    /// x Φ(x), exact
    Gelu,
    /// GELU's approximation by tanh
    GeluTanh,
    /// max(x, 0)
    Relu,
    /// x / (1 + e^-x)
    Silu,
    /// tanh x
    Tanh,
    /// 1 / (1 + e^-x)
    Sigmoid,
}

impl Activation {
    #[cfg(test)]
    pub(crate) const ALL: [Self; 7] =
        [Self::Identity, Self::Gelu, Self::GeluTanh, Self::Relu, Self::Silu, Self::Tanh, Self::Sigmoid];

    /// By the name that transformers' configs use, such as `gelu_new`.
    pub(crate) fn from_transformers(name: &str, file: &Path, key: &str) -> Result<Self> {
        Ok(match name {
            "gelu" | "gelu_python" => Self::Gelu,
            "gelu_new" | "gelu_pytorch_tanh" | "gelu_python_tanh" | "gelu_fast" | "gelu_accurate" => Self::GeluTanh,
            "relu" => Self::Relu,
            "silu" | "swish" => Self::Silu,
            "tanh" => Self::Tanh,
            "sigmoid" => Self::Sigmoid,
            "linear" => Self::Identity,
            _ => {
                let what = format!("{}: {key}", file.display());
                return Err(Error::unsupported(
                    what,
                    name,
                    "gelu, gelu_new, gelu_pytorch_tanh, gelu_fast, relu, silu, swish, tanh, sigmoid, linear",
                ));
            }
        })
    }

    /// By the dotted name of torch's class, such as `torch.nn.modules.activation.Tanh`.
    pub(crate) fn from_torch(name: &str, file: &Path, key: &str) -> Result<Self> {
        let class = name.strip_prefix("torch.nn.").map(|rest| rest.rsplit('.').next().unwrap_or(rest));
        Ok(match class {
            Some("Identity") => Self::Identity,
            Some("GELU") => Self::Gelu,
            Some("ReLU") => Self::Relu,
            Some("SiLU") => Self::Silu,
            Some("Tanh") => Self::Tanh,
            Some("Sigmoid") => Self::Sigmoid,
            _ => {
                let what = format!("{}: {key}", file.display());
                return Err(Error::unsupported(what, name, "torch.nn's Identity, GELU, ReLU, SiLU, Tanh, Sigmoid"));
            }
        })
    }
}
