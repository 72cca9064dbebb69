//! Role of a text in search.

use std::str::FromStr;

use crate::error::{Error, Result};

/// Role of a text in search. It selects the prompt, and in some models the route through their modules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Query of a search. Its prompt is "query".
    Query,
    /// Document to find. Its prompt is the first of "document", "passage" and "corpus" that isn't empty.
    Document,
}

impl FromStr for Role {
    type Err = Error;

    /// # Errors
    /// [`Error::InvalidArgument`] for a name that is neither "query" nor "document".
    fn from_str(name: &str) -> Result<Self> {
        match name {
            "query" => Ok(Self::Query),
            "document" => Ok(Self::Document),
            other => Err(Error::argument("role", format!("must be query or document, got {other:?}"))),
        }
    }
}

impl Role {
    /// Returns its name, which is also its task in models with routes by task.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Document => "document",
        }
    }

    /// Returns the task of this role's texts, in models with adapters.
    pub(crate) fn task(self) -> &'static str {
        match self {
            Self::Query => "retrieval.query",
            Self::Document => "retrieval.passage",
        }
    }

    /// Returns the names of this role's prompts. The first prompt that isn't empty is used.
    pub fn prompt_names(self) -> &'static [&'static str] {
        match self {
            Self::Query => &["query"],
            Self::Document => &["document", "passage", "corpus"],
        }
    }
}
