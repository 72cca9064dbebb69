//! Difference between the tokens that a class of transformers makes and those of tokenizer.json itself.
//!
//! Most files have the steps that their class builds anyway. So loading compares what both make of a few texts before their
//! vocabulary comes in, and builds a second tokenizer only where that differs.

use std::fmt;

use serde_json::{Map, Value};
use tokenizers::models::bpe::BPE;
use tokenizers::{
    ModelWrapper, NormalizedString, NormalizerWrapper, OffsetReferential, OffsetType, PostProcessorWrapper,
    PreTokenizedString, PreTokenizerWrapper,
};

use super::class::Class;
use super::files::TokenizerFile;
use super::layout::Layouts;
use super::steps::{Normalizer, PreTokenizer, Steps};
use super::{Input, Tokenizer};
use crate::catch_panic::catch_panic;

/// Texts whose tokens are compared: case, accents, spaces, signs, and letters of several scripts.
const PROBES: [&str; 7] = [
    "word",
    " The Quick Brown-Fox: don't stop, 1234.5!",
    "  two  spaces\tand\nlines ",
    "naïve CAFÉ, Ångström e\u{301} ﬁ Ａ™ ①",
    "日本語の文章です。北京是中国的首都",
    "İstanbul Straße Ελληνικά Привет हिन्दी",
    "emoji 😀👩\u{200d}👧 zero\u{200b}width\u{a0}space",
];

/// A text whose tokens differ between a tokenizer's class and its `tokenizer.json`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TokenizerDifference {
    /// Class whose tokens are used.
    pub class: &'static str,
    /// Text with different tokens.
    pub text: &'static str,
    /// Ids of the text by the class.
    pub ids: Vec<u32>,
    /// Ids of the text by `tokenizer.json` itself.
    pub filed_ids: Vec<u32>,
}

impl fmt::Display for TokenizerDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { class, text, ids, filed_ids } = self;
        write!(
            f,
            "the tokenizer follows its class, {class}, as transformers does, and tokenizer.json itself gives other ids: for \
             {text:?}, {filed_ids:?} instead of {ids:?}. To take the file as it is, set tokenizer_as_filed"
        )
    }
}

impl TokenizerDifference {
    /// Finds a text with different tokens.
    pub(super) fn find(class: &Class, tokenizer: &Tokenizer, as_filed: &Tokenizer) -> Option<Self> {
        let ids = |tokenizer: &Tokenizer, text| Some(tokenizer.encode(Input::Text(text), "", usize::MAX).ok()?.ids);
        PROBES.into_iter().find_map(|text| {
            let (ids, filed_ids) = (ids(tokenizer, text)?, ids(as_filed, text)?);
            (ids != filed_ids).then(|| Self { class: class.name(), text, ids, filed_ids })
        })
    }
}

/// Steps of a tokenizer.json that its class replaces.
pub(super) struct FiledSteps {
    normalizer: Option<NormalizerWrapper>,
    pre_tokenizer: Option<PreTokenizerWrapper>,
    post_processor: Option<PostProcessorWrapper>,
    /// Settings of the model, without its vocabulary.
    model: Map<String, Value>,
}

impl FiledSteps {
    /// Returns the steps of a file that has some, if the class replaces them.
    pub(super) fn of(class: &Class, file: &TokenizerFile) -> Option<Self> {
        let is_vocabulary = |key: &str| key == "vocab" || key == "merges";
        let model = || file.model.iter().filter(|(key, _)| !is_vocabulary(key));
        (class.rebuilds() && !file.is_vocabulary()).then(|| Self {
            normalizer: file.normalizer.clone(),
            pre_tokenizer: file.pre_tokenizer.clone(),
            post_processor: file.post_processor.clone(),
            model: model().map(|(key, value)| (key.clone(), value.clone())).collect(),
        })
    }

    /// Returns true if some texts may have other tokens than the class's.
    pub(super) fn may_differ(&self, tokenizer: &Tokenizer) -> bool {
        let mut own = Steps::new(ModelWrapper::BPE(BPE::default()));
        own.with_post_processor(self.post_processor.clone());
        Layouts::of(&own).ok().as_ref() != Some(&tokenizer.layouts)
            || self.has_another_model(tokenizer.inner.get_model())
            || self.has_other_words(&tokenizer.inner)
    }

    fn has_another_model(&self, model: &ModelWrapper) -> bool {
        let text = |key: &str| self.model.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
        let is_on = |key: &str| self.model.get(key) == Some(&Value::Bool(true));
        let filled = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        match model {
            ModelWrapper::BPE(bpe) => {
                text("unk_token") != bpe.unk_token.as_deref()
                    || text("continuing_subword_prefix") != filled(&bpe.continuing_subword_prefix).as_deref()
                    || text("end_of_word_suffix") != filled(&bpe.end_of_word_suffix).as_deref()
                    || is_on("fuse_unk") != bpe.fuse_unk
                    || is_on("byte_fallback") != bpe.byte_fallback
                    || is_on("ignore_merges") != bpe.ignore_merges
            }
            ModelWrapper::WordPiece(pieces) => {
                let longest = self.model.get("max_input_chars_per_word").and_then(Value::as_u64);
                text("unk_token") != Some(&pieces.unk_token)
                    || text("continuing_subword_prefix") != Some(&pieces.continuing_subword_prefix)
                    || longest.is_some_and(|longest| longest != pieces.max_input_chars_per_word as u64)
            }
            ModelWrapper::Unigram(_) => is_on("byte_fallback"),
            ModelWrapper::WordLevel(_) => true,
        }
    }

    /// Returns true if the words of a text that go to the model are others than the class's.
    fn has_other_words(&self, class: &Steps) -> bool {
        let filed = || -> tokenizers::Result<_> {
            Ok((
                self.normalizer.clone().map(Normalizer::new).transpose()?,
                self.pre_tokenizer.clone().map(PreTokenizer::new).transpose()?,
            ))
        };
        let Ok((normalizer, pre_tokenizer)) = catch_panic(filed) else { return true };
        PROBES.into_iter().any(|text| {
            let filed = words(text, normalizer.as_ref(), pre_tokenizer.as_ref());
            filed.is_none() || filed != words(text, class.get_normalizer(), class.get_pre_tokenizer())
        })
    }
}

/// Returns the words of a text that go to a tokenizer's model.
fn words(text: &str, normalizer: Option<&Normalizer>, pre_tokenizer: Option<&PreTokenizer>) -> Option<Vec<String>> {
    let split = || -> tokenizers::Result<_> {
        let mut text = NormalizedString::from(text);
        if let Some(step) = normalizer {
            tokenizers::Normalizer::normalize(step, &mut text)?;
        }
        let mut words = PreTokenizedString::from(text);
        if let Some(step) = pre_tokenizer {
            tokenizers::PreTokenizer::pre_tokenize(step, &mut words)?;
        }
        let words = words.get_splits(OffsetReferential::Normalized, OffsetType::Byte);
        Ok(words.into_iter().map(|(word, ..)| word.to_owned()).collect())
    };
    catch_panic(split).ok()
}
