//! Steps of a tokenizer.json that change a text. They are those of the tokenizers crate, with two guards: none fails
//! silently, and none turns a kilobyte into gigabytes.

use tokenizers::normalizers::Lowercase;
use tokenizers::normalizers::replace::{Replace as ReplaceWrapper, ReplacePattern};
use tokenizers::pattern::{Invert, Pattern};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::split::SplitPattern;
use tokenizers::{
    DecoderWrapper, ModelWrapper, NormalizedString, NormalizerWrapper, Offsets, PostProcessorWrapper,
    PreTokenizedString, PreTokenizerWrapper, Result, SplitDelimiterBehavior, TokenizerImpl,
};

use super::charsmap::{self, Charsmap};
use super::regex::Regex;
use crate::catch_panic::abort;

/// A tokenizer of these steps.
pub(super) type Steps = TokenizerImpl<ModelWrapper, Normalizer, PreTokenizer, PostProcessorWrapper, Decoder>;

/// Upper bound of the growth of a text by normalization. Unicode's longest decomposition grows a text eleven times.
const MAX_GROWTH: usize = 64;
/// Bytes that normalization may add beyond that.
const MAX_ADDED: usize = 4096;
/// Upper bound of the steps of a pre-tokenizer that lengthen a text; each may double it.
const MAX_LENGTHENING: usize = 4;

/// Returns the maximum length of a text of `bytes` bytes after normalization.
fn max_length(bytes: usize) -> usize {
    bytes.saturating_mul(MAX_GROWTH).saturating_add(MAX_ADDED)
}

fn check_growth(bytes: usize, max: usize) -> Result<()> {
    if bytes <= max {
        return Ok(());
    }
    Err(format!("the tokenizer makes more than {max} bytes of it; the limit is {MAX_GROWTH} times its own length and {MAX_ADDED} more")
        .into())
}

/// Replaces the matches of a pattern.
#[derive(Clone)]
struct Replace {
    pattern: Regex,
    content: String,
}

impl Replace {
    fn new(replace: &ReplaceWrapper) -> Result<Self> {
        // The crate exposes its pattern only by serialization.
        let pattern = serde_json::from_value(serde_json::to_value(replace)?["pattern"].take())?;
        let pattern = match pattern {
            ReplacePattern::String(text) => Regex::literal(&text)?,
            ReplacePattern::Regex(pattern) => Regex::new(&pattern)?,
        };
        Ok(Self { pattern, content: replace.content.clone() })
    }

    fn in_token(&self, token: &str, max: usize) -> Result<String> {
        let found = BoundedReplace { by: self, max }.find_matches(token)?;
        Ok(found
            .into_iter()
            .map(|((start, end), is_match)| if is_match { &*self.content } else { &token[start..end] })
            .collect())
    }
}

/// A pattern that fails if the text would exceed `max` bytes after replacement.
struct BoundedReplace<'a> {
    by: &'a Replace,
    max: usize,
}

impl Pattern for BoundedReplace<'_> {
    fn find_matches(&self, text: &str) -> Result<Vec<(Offsets, bool)>> {
        let found = (&self.by.pattern).find_matches(text)?;
        let bytes =
            found.iter().map(|((start, end), is_match)| if *is_match { self.by.content.len() } else { end - start });
        check_growth(bytes.sum(), self.max)?;
        Ok(found)
    }
}

/// The first step: normalizes a text.
#[derive(Clone)]
pub(super) struct Normalizer(Vec<NormalizerStep>);

#[derive(Clone)]
enum NormalizerStep {
    Replace(Replace),
    Prepend(String),
    /// Lowercases as Python does.
    LowercaseText,
    SentencePiece(Charsmap),
    Other(NormalizerWrapper),
}

impl Normalizer {
    pub(super) fn new(normalizer: NormalizerWrapper) -> Result<Self> {
        let mut steps = Vec::new();
        Self::add(normalizer, &mut steps)?;
        Ok(Self(steps))
    }

    fn add(normalizer: NormalizerWrapper, steps: &mut Vec<NormalizerStep>) -> Result<()> {
        match normalizer {
            NormalizerWrapper::Sequence(inner) => return inner.into_iter().try_for_each(|step| Self::add(step, steps)),
            NormalizerWrapper::Replace(replace) => steps.push(NormalizerStep::Replace(Replace::new(&replace)?)),
            NormalizerWrapper::Prepend(prepend) => steps.push(NormalizerStep::Prepend(prepend.prepend)),
            other => steps.push(NormalizerStep::Other(other)),
        }
        Ok(())
    }

    /// Appends SentencePiece's own normalization.
    pub(super) fn then_by(mut self, charsmap: Charsmap) -> Self {
        self.0.push(NormalizerStep::SentencePiece(charsmap));
        self
    }

    /// Puts Python's lowercasing first.
    pub(super) fn lowercasing_text(mut self) -> Self {
        self.0.insert(0, NormalizerStep::LowercaseText);
        self
    }

    /// Puts a lowercasing step first, unless there is one.
    pub(super) fn lowercasing(mut self) -> Self {
        let lowercases = |step: &_| matches!(step, NormalizerStep::Other(NormalizerWrapper::Lowercase(_)));
        if !self.0.iter().any(lowercases) {
            self.0.insert(0, NormalizerStep::Other(Lowercase.into()));
        }
        self
    }
}

impl NormalizerStep {
    fn normalize(&self, text: &mut NormalizedString, max: usize) -> Result<()> {
        match self {
            Self::Replace(replace) => return text.replace(BoundedReplace { by: replace, max }, &replace.content),
            Self::Prepend(_) if text.is_empty() => {}
            Self::Prepend(prefix) => {
                check_growth(text.len() + prefix.len(), max)?;
                text.prepend(prefix);
            }
            Self::LowercaseText => charsmap::lowercase(text),
            Self::SentencePiece(charsmap) => {
                charsmap.normalize(text, max).or_else(|bytes| check_growth(bytes, max))?;
            }
            Self::Other(step) => tokenizers::Normalizer::normalize(step, text)?,
        }
        check_growth(text.len(), max)
    }
}

impl tokenizers::Normalizer for Normalizer {
    /// Unwinds on an error, since the tokenizers crate ignores errors here and would go on with a half-normalized text.
    fn normalize(&self, text: &mut NormalizedString) -> Result<()> {
        let max = max_length(text.len_original());
        let normalized = self.0.iter().try_for_each(|step| step.normalize(text, max));
        normalized.map_err(|error| abort(error.to_string()))
    }
}

/// The second step: splits a text into words.
pub(super) struct PreTokenizer(Vec<PreTokenizerStep>);

enum PreTokenizerStep {
    Split { pattern: Regex, behavior: SplitDelimiterBehavior, invert: bool },
    Bytes { words: Option<Regex>, add_prefix_space: bool },
    Other(PreTokenizerWrapper),
}

impl PreTokenizer {
    pub(super) fn new(pre_tokenizer: PreTokenizerWrapper) -> Result<Self> {
        let mut steps = Vec::new();
        Self::add(pre_tokenizer, &mut steps)?;
        let lengthening = steps.iter().filter(|step| step.lengthens()).count();
        if lengthening > MAX_LENGTHENING {
            return Err(format!(
                "must have at most {MAX_LENGTHENING} ByteLevel and Metaspace steps, got {lengthening}"
            )
            .into());
        }
        Ok(Self(steps))
    }

    fn add(pre_tokenizer: PreTokenizerWrapper, steps: &mut Vec<PreTokenizerStep>) -> Result<()> {
        /// GPT-2's words: English endings; letters, digits or signs after an optional space; white space.
        const WORDS: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
        steps.push(match pre_tokenizer {
            PreTokenizerWrapper::Sequence(inner) => {
                return inner.into_iter().try_for_each(|step| Self::add(step, steps));
            }
            PreTokenizerWrapper::Split(split) => {
                let pattern = match &split.pattern {
                    SplitPattern::String(text) => Regex::literal(text)?,
                    SplitPattern::Regex(pattern) => Regex::new(pattern)?,
                };
                PreTokenizerStep::Split { pattern, behavior: split.behavior, invert: split.invert }
            }
            PreTokenizerWrapper::ByteLevel(bytes) => PreTokenizerStep::Bytes {
                words: bytes.use_regex.then(|| Regex::new(WORDS)).transpose()?,
                add_prefix_space: bytes.add_prefix_space,
            },
            other => PreTokenizerStep::Other(other),
        });
        Ok(())
    }
}

impl PreTokenizerStep {
    /// Returns true if the step can lengthen a text.
    fn lengthens(&self) -> bool {
        matches!(self, Self::Bytes { .. } | Self::Other(PreTokenizerWrapper::Metaspace(_)))
    }
}

impl tokenizers::PreTokenizer for PreTokenizer {
    fn pre_tokenize(&self, text: &mut PreTokenizedString) -> Result<()> {
        self.0.iter().try_for_each(|step| step.pre_tokenize(text))
    }
}

impl tokenizers::PreTokenizer for PreTokenizerStep {
    fn pre_tokenize(&self, text: &mut PreTokenizedString) -> Result<()> {
        match self {
            Self::Split { pattern, behavior, invert: true } => {
                text.split(|_, word| word.split(Invert(pattern), *behavior))
            }
            Self::Split { pattern, behavior, invert: false } => text.split(|_, word| word.split(pattern, *behavior)),
            Self::Bytes { words, add_prefix_space } => {
                text.split(|_, mut word| {
                    if *add_prefix_space && !word.get().starts_with(' ') {
                        word.prepend(" ");
                    }
                    match words {
                        Some(words) => word.split(words, SplitDelimiterBehavior::Isolated),
                        None => Ok(vec![word]),
                    }
                })?;
                ByteLevel::new(false, true, false).pre_tokenize(text)
            }
            Self::Other(step) => step.pre_tokenize(text),
        }
    }
}

/// The last step: joins tokens to a text.
pub(super) struct Decoder(Vec<DecoderStep>);

enum DecoderStep {
    Replace(Replace),
    Other(DecoderWrapper),
}

impl Decoder {
    pub(super) fn new(decoder: DecoderWrapper) -> Result<Self> {
        let mut steps = Vec::new();
        Self::add(decoder, &mut steps)?;
        Ok(Self(steps))
    }

    fn add(decoder: DecoderWrapper, steps: &mut Vec<DecoderStep>) -> Result<()> {
        match decoder {
            DecoderWrapper::Sequence(inner) => {
                return inner.get_decoders().iter().try_for_each(|step| Self::add(step.clone(), steps));
            }
            DecoderWrapper::Replace(replace) => steps.push(DecoderStep::Replace(Replace::new(&replace)?)),
            other => steps.push(DecoderStep::Other(other)),
        }
        Ok(())
    }
}

impl tokenizers::Decoder for Decoder {
    fn decode_chain(&self, mut tokens: Vec<String>) -> Result<Vec<String>> {
        let bytes = |tokens: &[String]| tokens.iter().map(String::len).sum();
        let max = max_length(bytes(&tokens));
        for step in &self.0 {
            tokens = match step {
                DecoderStep::Replace(replace) => {
                    tokens.iter().map(|token| replace.in_token(token, max)).collect::<Result<_>>()?
                }
                DecoderStep::Other(step) => step.decode_chain(tokens)?,
            };
            check_growth(bytes(&tokens), max)?;
        }
        Ok(tokens)
    }
}
