//! model2vec's reading of texts: without unknown tokens, and cut by characters before it is cut by tokens.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::Tokenizer;
use crate::config::JsonFile;
use crate::error::Result;

/// model2vec's rule for the tokens of a text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Model2VecRule {
    /// Maximum number of characters of a text.
    max_characters: Option<usize>,
    max_tokens: Option<usize>,
    unknown: Option<u32>,
}

impl Model2VecRule {
    /// Returns the beginning of a text that is tokenized.
    pub(super) fn cut(self, text: &str) -> &str {
        let end = self.max_characters.and_then(|max| text.char_indices().nth(max));
        end.map_or(text, |(end, _)| &text[..end])
    }

    /// Removes unknown tokens.
    pub(super) fn keep_known(self, ids: &mut Vec<u32>) {
        ids.retain(|id| Some(*id) != self.unknown);
    }

    /// Maximum number of known tokens of a text.
    pub(super) fn max_tokens(self) -> Option<usize> {
        self.max_tokens
    }
}

impl Tokenizer {
    /// Reads texts by model2vec's rule. `max_length` is that of its `config.json` in `folder`, which has the tokenizer.
    pub(crate) fn by_model2vec(self, folder: &Path, max_length: Option<usize>) -> Result<Self> {
        let median = median_length(self.inner.get_vocab(true).into_keys().map(|token| token.chars().count()).collect());
        let rule = Model2VecRule {
            max_characters: max_length.map(|tokens| tokens.saturating_mul(median)),
            max_tokens: max_length,
            unknown: self.unknown_id(folder)?,
        };
        Ok(Self { model2vec: Some(rule), ..self })
    }

    /// Returns the id of the model's unknown token, which the tokenizers crate doesn't tell for every model.
    fn unknown_id(&self, folder: &Path) -> Result<Option<u32>> {
        #[derive(Deserialize)]
        struct Model {
            #[serde(default)]
            unk_token: Option<Value>,
            #[serde(default)]
            unk_id: Option<u32>,
        }
        #[derive(Deserialize)]
        struct File {
            model: Model,
        }
        let file = JsonFile::read(folder.join("tokenizer.json"), "it holds the vocabulary")?;
        let model = file.parse::<File>()?.model;
        let by_token = model.unk_token.as_ref().and_then(Value::as_str).and_then(|token| self.id(token));
        Ok(by_token.or(model.unk_id))
    }
}

/// Returns the median of lengths, rounded down.
fn median_length(mut lengths: Vec<usize>) -> usize {
    lengths.sort_unstable();
    match lengths.len() {
        0 => 0,
        count if count % 2 == 1 => lengths[count / 2],
        count => usize::midpoint(lengths[count / 2 - 1], lengths[count / 2]),
    }
}

#[cfg(test)]
mod tests {
    use super::median_length;

    #[test]
    fn the_median_is_rounded_down() {
        assert_eq!(median_length(vec![]), 0);
        assert_eq!(median_length(vec![7, 1, 3]), 3);
        assert_eq!(median_length(vec![2, 1, 9, 4]), 3);
        assert_eq!(median_length(vec![2, 1, 9, 5]), 3);
    }
}
