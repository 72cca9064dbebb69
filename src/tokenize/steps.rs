//! The steps of a tokenizer.json that change a text: those of the tokenizers crate, but that none gives up in silence
//! and none makes gigabytes of a kilobyte.

use tokenizers::normalizers::Lowercase;
use tokenizers::normalizers::replace::{Replace as ReplaceWrapper, ReplacePattern};
use tokenizers::pattern::{Invert, Pattern};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::split::SplitPattern;
use tokenizers::{
    DecoderWrapper, ModelWrapper, NormalizedString, NormalizerWrapper, Offsets, PostProcessorWrapper,
    PreTokenizedString, PreTokenizerWrapper, Result, SplitDelimiterBehavior, TokenizerImpl,
};

use super::guard::give_up;
use super::regex::Regex;

/// A tokenizer of these steps.
pub(super) type Steps = TokenizerImpl<ModelWrapper, Normalizer, PreTokenizer, PostProcessorWrapper, Decoder>;

/// How many times as long as a text its normalized form may be: Unicode's longest decomposition is eleven times as long.
const GROWTH: usize = 64;
/// Bytes that a normalized text may have beyond that.
const ADDED: usize = 4096;
/// How many steps of a pre-tokenizer may lengthen a text; each may double it.
const LENGTHENING: usize = 4;

/// The most bytes that may become of so many.
fn most(bytes: usize) -> usize {
    bytes.saturating_mul(GROWTH).saturating_add(ADDED)
}

fn check_growth(bytes: usize, most: usize) -> Result<()> {
    if bytes <= most {
        return Ok(());
    }
    Err(format!("the tokenizer makes more than {most} bytes of it: at most {GROWTH} times its own and {ADDED} more")
        .into())
}

/// Replaces what a pattern matches.
#[derive(Clone)]
struct Replace {
    pattern: Regex,
    content: String,
}

impl Replace {
    fn new(replace: &ReplaceWrapper) -> Result<Self> {
        // The crate shows its pattern in no other way.
        let pattern = serde_json::from_value(serde_json::to_value(replace)?["pattern"].take())?;
        let pattern = match pattern {
            ReplacePattern::String(text) => Regex::literal(&text)?,
            ReplacePattern::Regex(pattern) => Regex::new(&pattern)?,
        };
        Ok(Self { pattern, content: replace.content.clone() })
    }

    fn in_token(&self, token: &str, most: usize) -> Result<String> {
        let found = Replaced { by: self, most }.find_matches(token)?;
        Ok(found
            .into_iter()
            .map(|((start, end), is_match)| if is_match { &*self.content } else { &token[start..end] })
            .collect())
    }
}

/// A pattern whose matches may be replaced: the result has no more than `most` bytes.
struct Replaced<'a> {
    by: &'a Replace,
    most: usize,
}

impl Pattern for Replaced<'_> {
    fn find_matches(&self, text: &str) -> Result<Vec<(Offsets, bool)>> {
        let found = (&self.by.pattern).find_matches(text)?;
        let bytes =
            found.iter().map(|((start, end), is_match)| if *is_match { self.by.content.len() } else { end - start });
        check_growth(bytes.sum(), self.most)?;
        Ok(found)
    }
}

/// What is done to a text before all else.
#[derive(Clone)]
pub(super) struct Normalizer(Vec<NormalizerStep>);

#[derive(Clone)]
enum NormalizerStep {
    Replace(Replace),
    Prepend(String),
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

    /// The same, which lowercases before all else unless it has a step that does just that.
    pub(super) fn lowercasing(mut self) -> Self {
        let lowercases = |step: &_| matches!(step, NormalizerStep::Other(NormalizerWrapper::Lowercase(_)));
        if !self.0.iter().any(lowercases) {
            self.0.insert(0, NormalizerStep::Other(Lowercase.into()));
        }
        self
    }
}

impl NormalizerStep {
    fn normalize(&self, text: &mut NormalizedString, most: usize) -> Result<()> {
        match self {
            Self::Replace(replace) => return text.replace(Replaced { by: replace, most }, &replace.content),
            Self::Prepend(_) if text.is_empty() => {}
            Self::Prepend(prefix) => {
                check_growth(text.len() + prefix.len(), most)?;
                text.prepend(prefix);
            }
            Self::Other(step) => tokenizers::Normalizer::normalize(step, text)?,
        }
        check_growth(text.len(), most)
    }
}

impl tokenizers::Normalizer for Normalizer {
    /// An error unwinds: the tokenizers crate would take the text as it is by then.
    fn normalize(&self, text: &mut NormalizedString) -> Result<()> {
        let most = most(text.len_original());
        let normalized = self.0.iter().try_for_each(|step| step.normalize(text, most));
        normalized.map_err(|error| give_up(error.to_string()))
    }
}

/// What parts a text into words.
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
        if lengthening > LENGTHENING {
            return Err(
                format!("must have at most {LENGTHENING} ByteLevel and Metaspace steps, not {lengthening}").into()
            );
        }
        Ok(Self(steps))
    }

    fn add(pre_tokenizer: PreTokenizerWrapper, steps: &mut Vec<PreTokenizerStep>) -> Result<()> {
        /// GPT-2's words: endings of English ones; letters, digits or signs, with a space before them; white space.
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
    /// Whether it can make a text longer.
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
                text.split(|_, part| part.split(Invert(pattern), *behavior))
            }
            Self::Split { pattern, behavior, invert: false } => text.split(|_, part| part.split(pattern, *behavior)),
            Self::Bytes { words, add_prefix_space } => {
                text.split(|_, mut part| {
                    if *add_prefix_space && !part.get().starts_with(' ') {
                        part.prepend(" ");
                    }
                    match words {
                        Some(words) => part.split(words, SplitDelimiterBehavior::Isolated),
                        None => Ok(vec![part]),
                    }
                })?;
                ByteLevel::new(false, true, false).pre_tokenize(text)
            }
            Self::Other(step) => step.pre_tokenize(text),
        }
    }
}

/// What makes a text of tokens.
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
        let most = most(bytes(&tokens));
        for step in &self.0 {
            tokens = match step {
                DecoderStep::Replace(replace) => {
                    tokens.iter().map(|token| replace.in_token(token, most)).collect::<Result<_>>()?
                }
                DecoderStep::Other(step) => step.decode_chain(tokens)?,
            };
            check_growth(bytes(&tokens), most)?;
        }
        Ok(tokens)
    }
}
