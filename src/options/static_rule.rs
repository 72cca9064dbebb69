//! Rule by which static models read texts.

use std::str::FromStr;

use crate::error::{Error, Result};

/// Rule by which a static embedding model reads texts. The two differ for texts with unknown characters and for long texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StaticRule {
    /// The rule of sentence-transformers: unknown tokens count, and texts are not cut.
    SentenceTransformers,
    /// The rule of model2vec: unknown tokens are left out, and texts are cut to `max_length` of the folder's `config.json`,
    /// first in characters by the median length of a token, then in tokens.
    Model2Vec,
}

impl StaticRule {
    const ALL: [Self; 2] = [Self::SentenceTransformers, Self::Model2Vec];

    /// Returns its name: "sentence-transformers" or "model2vec".
    pub fn name(self) -> &'static str {
        match self {
            Self::SentenceTransformers => "sentence-transformers",
            Self::Model2Vec => "model2vec",
        }
    }
}

impl FromStr for StaticRule {
    type Err = Error;

    /// # Errors
    /// [`Error::InvalidArgument`] for an unknown name, with the known ones.
    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|rule| rule.name() == name).ok_or_else(|| {
            let known = Self::ALL.map(Self::name).join(", ");
            Error::argument("static_rule", format!("must be one of {known}, got {name:?}"))
        })
    }
}
