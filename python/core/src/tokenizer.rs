//! Binding of a model's tokenizer to Python's texts.

use std::collections::HashMap;

use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use rushlight::{CallOptions, Tokens};

use crate::inputs::{Texts, inputs, texts};
use crate::observer::compute;

/// Tokenizer of a model of any kind, which truncates texts as the model does.
#[pyclass(frozen, module = "rushlight._core")]
pub(crate) struct Tokenizer {
    reader: rushlight::Reader,
}

impl Tokenizer {
    pub(crate) fn of(reader: rushlight::Reader) -> Self {
        Self { reader }
    }
}

/// Token ids, token type ids if the tokenizer has them, and the number of last tokens that the attention mask excludes.
type Row = (Vec<u32>, Option<Vec<u32>>, usize);

fn row(tokens: Tokens) -> Row {
    let unattended = tokens.unattended();
    (tokens.ids, tokens.type_ids, unattended)
}

#[pymethods]
impl Tokenizer {
    /// Tokenizes each text or pair after a prompt, and truncates it.
    #[pyo3(signature = (texts_or_pairs, prompt=""))]
    fn tokenize(&self, py: Python<'_>, texts_or_pairs: Texts<'_>, prompt: &str) -> PyResult<Vec<Row>> {
        let texts = texts("texts", 0, &texts_or_pairs)?;
        let reader = self.reader.clone().with_prompt(prompt);
        let tokens = compute(py, None, |observer| {
            reader.tokenize(&inputs(&texts)?, &CallOptions::default().with_observer(observer))
        })?;
        Ok(tokens.into_iter().map(row).collect())
    }

    /// Tokenizes each text or pair and truncates it to `max_length` tokens, or not at all.
    fn encode(&self, py: Python<'_>, texts_or_pairs: Texts<'_>, max_length: Option<usize>) -> PyResult<Vec<Row>> {
        let texts = texts("texts", 0, &texts_or_pairs)?;
        let reader = self.reader.clone().with_max_length(max_length);
        let tokens = compute(py, None, |observer| {
            reader.tokenize(&inputs(&texts)?, &CallOptions::default().with_observer(observer))
        })?;
        Ok(tokens.into_iter().map(row).collect())
    }

    /// Tokenizes a text without special tokens and without truncation.
    fn encode_plain(&self, py: Python<'_>, text: PyBackedStr) -> PyResult<Vec<u32>> {
        compute(py, None, |_| self.reader.tokenizer().encode_plain(&text))
    }

    /// Returns the token of an id, if there is one.
    fn id_to_token(&self, token_id: u32) -> Option<String> {
        self.reader.tokenizer().token(token_id)
    }

    /// Returns the id of a token, if there is one.
    fn token_to_id(&self, token: &str) -> Option<u32> {
        self.reader.tokenizer().id(token)
    }

    /// Returns the special tokens by purpose, such as `cls_token`.
    fn special_tokens(&self) -> Vec<(&'static str, String)> {
        self.reader.tokenizer().named_special_tokens().to_vec()
    }

    /// Returns all tokens with their ids, including added ones.
    fn vocab(&self) -> HashMap<String, u32> {
        self.reader.tokenizer().vocab()
    }

    /// Counts the tokens of each text or pair before truncation.
    fn count(&self, py: Python<'_>, texts_or_pairs: Texts<'_>) -> PyResult<Vec<usize>> {
        let texts = texts("inputs", 0, &texts_or_pairs)?;
        compute(py, None, |observer| {
            self.reader.count_tokens(&inputs(&texts)?, &CallOptions::default().with_observer(observer))
        })
    }

    /// Returns the text of token ids.
    fn decode(&self, py: Python<'_>, ids: Vec<u32>, skip_special_tokens: bool) -> PyResult<String> {
        compute(py, None, |_| self.reader.tokenizer().decode(&ids, skip_special_tokens))
    }

    /// Describes the difference from the tokens of tokenizer.json itself, if there is one.
    #[getter]
    fn difference(&self) -> Option<String> {
        self.reader.tokenizer().difference().map(ToString::to_string)
    }

    /// Size of the vocabulary, without added tokens.
    #[getter]
    fn vocab_size(&self) -> usize {
        self.reader.tokenizer().vocab_size()
    }

    #[getter]
    fn pad_id(&self) -> Option<u32> {
        self.reader.tokenizer().pad_id()
    }

    /// Returns true if padding goes before the tokens.
    #[getter]
    fn pad_left(&self) -> bool {
        self.reader.tokenizer().pad_left()
    }

    #[getter]
    fn has_token_type_ids(&self) -> bool {
        self.reader.tokenizer().has_token_type_ids()
    }
}
