//! Similarity functions, by their names in `config_sentence_transformers.json`.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};

/// Function that compares two embeddings. More similar embeddings have a higher score.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "lowercase"))]
#[non_exhaustive]
pub enum Similarity {
    /// `"cosine"`: the dot product of both rows over their L2 norms.
    ///
    /// A norm under 1e-12 counts as that, so a row of zeros has the score 0 with all finite rows. Rows of very large or
    /// very small numbers don't overflow, nor vanish: their norms are taken in float64. The score of a row with itself is
    /// 1, unless it is of such numbers; rounding may leave others a little above.
    #[default]
    Cosine,
    /// `"dot"`: the dot product, in float32, as far as that reaches.
    Dot,
    /// `"euclidean"`: the negative Euclidean distance.
    ///
    /// It is taken from the differences, so equal rows have exactly 0 and close ones keep their digits. Squares are
    /// float32: the distance of rows that differ by more than 1.8e19 is infinite, by less than 1e-23 is 0.
    Euclidean,
    /// `"manhattan"`: the negative sum of the absolute differences.
    Manhattan,
}

impl Similarity {
    pub(crate) const ALL: [Self; 4] = [Self::Cosine, Self::Dot, Self::Euclidean, Self::Manhattan];

    /// Returns its name in `config_sentence_transformers.json`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cosine => "cosine",
            Self::Dot => "dot",
            Self::Euclidean => "euclidean",
            Self::Manhattan => "manhattan",
        }
    }
}

impl fmt::Display for Similarity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Similarity {
    type Err = Error;

    /// # Errors
    /// [`Error::InvalidArgument`] for an unknown name, with the known ones.
    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|similarity| similarity.name() == name).ok_or_else(|| {
            let known = Self::ALL.map(Self::name).join(", ");
            Error::argument("similarity", format!("must be one of {known}, got {name:?}"))
        })
    }
}
