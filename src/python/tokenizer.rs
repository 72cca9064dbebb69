//! A model's tokenizer, on Python's texts.

use pyo3::prelude::*;
use pyo3::types::PyList;

use super::inputs::{inputs, texts};
use super::observer::compute;

/// The tokenizer of a model of any kind, which cuts texts as the model does.
#[pyclass(frozen, module = "rushlight._core")]
pub(super) struct Tokenizer {
    model: crate::Model,
}

impl Tokenizer {
    pub(super) fn of(model: crate::Model) -> Self {
        Self { model }
    }
}

/// Token ids, token type ids where the tokenizer has them, and how many of the last tokens are not attended to.
type Row = (Vec<u32>, Option<Vec<u32>>, usize);

#[pymethods]
impl Tokenizer {
    /// The tokens of each text or pair, truncated.
    fn tokenize(&self, py: Python<'_>, texts_or_pairs: &Bound<'_, PyList>) -> PyResult<Vec<Row>> {
        let texts = texts("texts", 0, texts_or_pairs)?;
        let tokens = compute(py, None, |observer| self.model.tokenize_watched(&inputs(&texts), observer))?;
        Ok(tokens.into_iter().map(|tokens| (tokens.ids, tokens.type_ids, tokens.unattended)).collect())
    }

    /// How many tokens each text or pair has, before truncation.
    fn count(&self, py: Python<'_>, texts_or_pairs: &Bound<'_, PyList>) -> PyResult<Vec<usize>> {
        let texts = texts("inputs", 0, texts_or_pairs)?;
        compute(py, None, |observer| self.model.count_tokens_watched(&inputs(&texts), observer))
    }

    /// The text of token ids.
    fn decode(&self, py: Python<'_>, ids: Vec<u32>, skip_special_tokens: bool) -> PyResult<String> {
        compute(py, None, |_| self.model.tokenizer().decode(&ids, skip_special_tokens))
    }

    /// Tokens of the vocabulary, without added ones.
    #[getter]
    fn vocab_size(&self) -> usize {
        self.model.tokenizer().vocab_size()
    }

    #[getter]
    fn pad_id(&self) -> Option<u32> {
        self.model.tokenizer().pad_id()
    }

    /// Whether padding goes before the tokens.
    #[getter]
    fn pad_left(&self) -> bool {
        self.model.tokenizer().pad_left()
    }

    #[getter]
    fn has_token_type_ids(&self) -> bool {
        self.model.tokenizer().has_token_type_ids()
    }
}
