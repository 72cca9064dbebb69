//! Inputs of requests, and the options that several routes share.

use serde::Deserialize;
use utoipa::ToSchema;

use crate::options::{EncodeOptions, MultiVectorOptions, SparseOptions, Truncation, TruncationSide};
use crate::server::app::App;
use crate::server::compute::Watch;
use crate::server::failure::{Failure, FailureKind};
use crate::tokenize::Input;
use crate::{PredictOptions, Role};

/// A text or the ids of its tokens.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(untagged, expecting = "must be a string, or a list of token ids")]
pub(in crate::server) enum OneInput {
    /// A text.
    Text(String),
    /// Token ids of the model's tokenizer, special ones included.
    Ids(Vec<u32>),
}

/// One input or several.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(untagged, expecting = "must be a string, a list of strings, a list of token ids, or a list of such lists")]
pub(in crate::server) enum Inputs {
    /// A text.
    Text(String),
    /// Texts, or token ids of each text.
    Many(Vec<OneInput>),
    /// Token ids of one text.
    Ids(Vec<u32>),
}

impl OneInput {
    pub(in crate::server) fn as_input(&self) -> Input<'_> {
        match self {
            Self::Text(text) => Input::Text(text),
            Self::Ids(ids) => Input::Ids(ids),
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Self::Text(text) => text.is_empty(),
            Self::Ids(ids) => ids.is_empty(),
        }
    }
}

impl Inputs {
    /// Returns the inputs within the limit of the server, none of them empty. `field` is their name in the body.
    pub(super) fn checked(self, app: &App, field: &'static str) -> Result<Vec<OneInput>, Failure> {
        let inputs = match self {
            Self::Text(text) => vec![OneInput::Text(text)],
            Self::Many(inputs) => inputs,
            Self::Ids(ids) => vec![OneInput::Ids(ids)],
        };
        check_count(app, field, inputs.len())?;
        if inputs.iter().any(OneInput::is_empty) {
            return Err(Failure::empty(field));
        }
        Ok(inputs)
    }
}

/// Checks the number of inputs of a request.
pub(super) fn check_count(app: &App, field: &'static str, count: usize) -> Result<(), Failure> {
    let max = app.options.max_client_batch_size;
    match count {
        0 => Err(Failure::empty(field)),
        count if count > max => {
            let problem = format!("batch size {count} > maximum allowed batch size {max}");
            Err(Failure::new(FailureKind::TooLarge, problem))
        }
        _ => Ok(()),
    }
}

/// Side of a text that truncation removes.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::server) enum Direction {
    /// Removes the beginning.
    #[serde(alias = "Left")]
    Left,
    /// Removes the end.
    #[serde(alias = "Right")]
    Right,
}

/// Role of the texts.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::server) enum InputType {
    /// Queries of a search.
    #[serde(alias = "search_query")]
    Query,
    /// Documents to find.
    #[serde(alias = "search_document", alias = "passage")]
    Document,
}

impl From<InputType> for Role {
    fn from(input_type: InputType) -> Self {
        match input_type {
            InputType::Query => Self::Query,
            InputType::Document => Self::Document,
        }
    }
}

/// Options of reading texts, which the options of all kinds of models have.
#[derive(Clone, Debug, Default)]
pub(super) struct Reading {
    pub(super) prompt: Option<String>,
    pub(super) prompt_name: Option<String>,
    pub(super) role: Option<Role>,
    pub(super) truncation: Truncation,
    pub(super) side: Option<TruncationSide>,
}

impl Reading {
    /// Takes the options of a request. Texts are truncated by default if the server says so.
    pub(super) fn new(app: &App, truncate: Option<bool>, direction: Option<Direction>) -> Self {
        let truncates = truncate.unwrap_or(app.options.auto_truncate);
        let side = direction.map(|direction| match direction {
            Direction::Left => TruncationSide::Left,
            Direction::Right => TruncationSide::Right,
        });
        let truncation = if truncates { Truncation::Ignore } else { Truncation::Error };
        Self { truncation, side, ..Self::default() }
    }

    pub(super) fn named(self, prompt_name: Option<String>) -> Self {
        Self { prompt_name, ..self }
    }

    /// Refuses a prompt before token ids, which have theirs already.
    pub(super) fn check(&self, inputs: &[OneInput]) -> Result<(), Failure> {
        let is_prompted = self.prompt.is_some() || self.prompt_name.is_some();
        if is_prompted && inputs.iter().any(|input| matches!(input, OneInput::Ids(_))) {
            return Err(Failure::invalid(
                "prompt_name",
                "can't be given with token ids, which are computed as they are",
            ));
        }
        Ok(())
    }

    pub(super) fn encode<'a>(&'a self, watch: &'a Watch) -> EncodeOptions<'a> {
        EncodeOptions {
            prompt: self.prompt.as_deref(),
            prompt_name: self.prompt_name.as_deref(),
            role: self.role,
            truncation: self.truncation,
            truncation_side: self.side,
            observer: Some(watch),
            ..EncodeOptions::default()
        }
    }

    pub(super) fn sparse<'a>(&'a self, watch: &'a Watch) -> SparseOptions<'a> {
        SparseOptions {
            prompt: self.prompt.as_deref(),
            prompt_name: self.prompt_name.as_deref(),
            role: self.role,
            truncation: self.truncation,
            truncation_side: self.side,
            observer: Some(watch),
            ..SparseOptions::default()
        }
    }

    pub(super) fn multi_vector<'a>(&'a self, watch: &'a Watch) -> MultiVectorOptions<'a> {
        MultiVectorOptions {
            prompt: self.prompt.as_deref(),
            prompt_name: self.prompt_name.as_deref(),
            truncation: self.truncation,
            truncation_side: self.side,
            observer: Some(watch),
        }
    }

    pub(super) fn predict<'a>(&'a self, watch: &'a Watch) -> PredictOptions<'a> {
        PredictOptions {
            truncation: self.truncation,
            truncation_side: self.side,
            observer: Some(watch),
            ..PredictOptions::default()
        }
    }
}
