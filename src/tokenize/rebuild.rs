//! The tokenizers that the classes set up: what each keeps of tokenizer.json, and what it has of its own.

use serde::de::DeserializeOwned;
use serde_json::Value;
use tokenizers::decoders::byte_fallback::ByteFallback;
use tokenizers::decoders::fuse::Fuse;
use tokenizers::decoders::sequence::Sequence as DecoderSequence;
use tokenizers::decoders::wordpiece::WordPiece as WordPieceDecoder;
use tokenizers::models::bpe::{BPE, Merges, Vocab};
use tokenizers::models::unigram::Unigram;
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::replace::{Replace, ReplacePattern};
use tokenizers::normalizers::{
    BertNormalizer, Lowercase, NFC, NFKD, Sequence as NormalizerSequence, Strip, StripAccents,
};
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::metaspace::{Metaspace, PrependScheme};
use tokenizers::pre_tokenizers::punctuation::Punctuation;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::pre_tokenizers::whitespace::WhitespaceSplit;
use tokenizers::{
    DecoderWrapper, ModelWrapper, NormalizerWrapper, PostProcessorWrapper, PreTokenizerWrapper, SplitDelimiterBehavior,
};

use super::files::{Settings, TokenizerFile, kind};
use super::guard::caught;
use super::special::SpecialTokens;
use super::steps::{Decoder, Normalizer, PreTokenizer, Steps};
use crate::error::{Error, Result};

/// The word boundary of SentencePiece.
const BOUNDARY: char = '▁';
/// What CLIP's tokens have at the end of a word.
pub(super) const WORD_END: &str = "</w>";

/// What a tokenizer is built from.
pub(super) struct Source<'a> {
    pub(super) file: TokenizerFile,
    pub(super) config: &'a Settings,
    pub(super) special: &'a SpecialTokens,
}

/// tokenizer.json as it is, but for its padding and truncation.
pub(super) fn as_filed(mut source: Source<'_>) -> Result<Steps> {
    // It leaves merges out at random, for training; but the same text must give the same tokens.
    if let Some(dropout) = source.file.model.get("dropout").filter(|value| !value.is_null() && **value != 0.0) {
        let what = format!("{}: model.dropout", source.file.path.display());
        return Err(Error::unsupported(what, dropout.to_string(), "null"));
    }
    let model = Value::Object(std::mem::take(&mut source.file.model));
    let model: ModelWrapper = source.part("model", || Ok(serde_json::from_value(model)?))?;
    let mut tokenizer = Steps::new(model);
    let normalizer = source.file.normalizer.take().map(|step| source.part("normalizer", || Normalizer::new(step)));
    let words = source.file.pre_tokenizer.take().map(|step| source.part("pre_tokenizer", || PreTokenizer::new(step)));
    let decoder = source.file.decoder.take().map(|step| source.part("decoder", || Decoder::new(step)));
    let normalizer = normalizer.transpose()?;
    tokenizer.with_pre_tokenizer(words.transpose()?).with_decoder(decoder.transpose()?);
    tokenizer.with_post_processor(source.file.post_processor.take());
    let added = source.file.added_tokens.iter().map(|(_, token)| token.added());
    source.part("added_tokens", || {
        tokenizer.with_normalizer(normalizer)?;
        tokenizer.add_tokens(added)
    })?;
    Ok(tokenizer)
}

/// BERT's and MPNet's.
pub(super) fn word_piece(mut source: Source<'_>) -> Result<Steps> {
    let lowercase = source.config.flag("do_lower_case", true)?;
    let chinese = source.config.flag("tokenize_chinese_chars", true)?;
    let accents = source.config.flag_or_null("strip_accents")?;
    let Some(unk) = source.special.get("unk_token").map(str::to_owned) else {
        return Err(source.no_unk());
    };
    let vocab = source.vocab()?;
    let model = source.part("model", || WordPiece::builder().vocab(vocab).unk_token(unk).build())?;
    let normalizer = BertNormalizer::new(true, chinese, accents, lowercase);
    let decoder = WordPieceDecoder::new("##".to_owned(), true);
    assemble(model, Some(normalizer.into()), BertPreTokenizer, decoder, None)
}

/// RoBERTa's.
pub(super) fn byte_level_bpe(mut source: Source<'_>) -> Result<Steps> {
    let prefix_space = source.config.flag("add_prefix_space", false)?;
    let (vocab, merges) = (source.vocab()?, source.merges()?);
    let builder = || BPE::builder().vocab_and_merges(vocab, merges);
    // No prefix and an empty one make the same tokens; transformers sets the empty one.
    let model = source.part("model.merges", || builder().build())?;
    assemble(model, None, ByteLevel::new(prefix_space, true, true), ByteLevel::default(), None)
}

/// CLIP's: bytes of lowercased words, with a mark where a word ends.
pub(super) fn clip(mut source: Source<'_>) -> Result<Steps> {
    const WORDS: &str = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";
    let (vocab, merges) = (source.vocab()?, source.merges()?);
    let Some(unk) = source.special.get("unk_token").map(str::to_owned) else { return Err(source.no_unk()) };
    let builder = BPE::builder().vocab_and_merges(vocab, merges).unk_token(unk);
    let model = source.part("model.merges", || builder.end_of_word_suffix(WORD_END.to_owned()).build())?;
    let spaces = part(|| Replace::new(ReplacePattern::Regex(r"\s+".to_owned()), " "))?;
    let normalizer = NormalizerSequence::new(vec![NFC.into(), spaces.into(), Lowercase.into()]);
    let words = part(|| Split::new(SplitPattern::Regex(WORDS.to_owned()), SplitDelimiterBehavior::Removed, true))?;
    let pre_tokenizer = Sequence::new(vec![words.into(), ByteLevel::new(false, true, true).into()]);
    assemble(model, Some(normalizer.into()), pre_tokenizer, ByteLevel::default(), None)
}

/// Qwen's: bytes, in words that a pattern of its own parts.
pub(super) fn qwen2(mut source: Source<'_>) -> Result<Steps> {
    /// Endings of English words; letters with a sign before them; single digits; signs; line ends; white space.
    const WORDS: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
    let prefix_space = source.config.flag_or_null("add_prefix_space")?.unwrap_or(false);
    let (vocab, merges) = (source.vocab()?, source.merges()?);
    let model = source.part("model.merges", || BPE::builder().vocab_and_merges(vocab, merges).build())?;
    let words = part(|| Split::new(SplitPattern::Regex(WORDS.to_owned()), SplitDelimiterBehavior::Isolated, false))?;
    let pre_tokenizer = Sequence::new(vec![words.into(), ByteLevel::new(prefix_space, true, false).into()]);
    let post_processor = source.file.post_processor.take();
    assemble(model, Some(NFC.into()), pre_tokenizer, ByteLevel::default(), post_processor)
}

/// Gemma's: pieces with the word boundary as a letter, bytes where there is no piece.
pub(super) fn gemma(mut source: Source<'_>) -> Result<Steps> {
    let (vocab, merges) = (source.vocab()?, source.merges()?);
    let builder = BPE::builder().vocab_and_merges(vocab, merges).fuse_unk(true).byte_fallback(true);
    let builder = match source.special.get("unk_token") {
        Some(unk) => builder.unk_token(unk.to_owned()),
        None => return Err(source.no_unk()),
    };
    let model = source.part("model.merges", || builder.build())?;
    let boundary = part(|| Replace::new(" ", BOUNDARY))?;
    let words = part(|| Split::new(" ", SplitDelimiterBehavior::MergedWithPrevious, false))?;
    let spaces = part(|| Replace::new(BOUNDARY.to_string(), " "))?;
    let decoder = DecoderSequence::new(vec![spaces.into(), ByteFallback::new().into(), Fuse::new().into()]);
    let post_processor = source.file.post_processor.take();
    assemble(model, Some(boundary.into()), words, decoder, post_processor)
}

/// XLM-RoBERTa's: the unknown token is the fourth one.
pub(super) fn xlm_roberta(mut source: Source<'_>) -> Result<Steps> {
    let pieces = source.pieces()?;
    let scheme = source.prefix(PrependScheme::Never);
    let normalizer = source.charsmap();
    source.words_of_pieces(pieces, 3, normalizer, scheme)
}

/// CamemBERT's: the unknown token is where its name is.
pub(super) fn camembert(mut source: Source<'_>) -> Result<Steps> {
    let pieces = source.pieces()?;
    let unk = source.special.get("unk_token");
    let unk_id = pieces.iter().position(|(piece, _)| Some(piece.as_str()) == unk).unwrap_or(0);
    let scheme = source.prefix(PrependScheme::Never);
    let normalizer = source.charsmap();
    source.words_of_pieces(pieces, unk_id, normalizer, scheme)
}

/// T5's: the unknown token is the third one.
pub(super) fn t5(mut source: Source<'_>) -> Result<Steps> {
    let pieces = source.pieces()?;
    let normalizer = source.charsmap();
    source.words_of_pieces(pieces, 2, normalizer, PrependScheme::Always)
}

/// ALBERT's: the unknown token is the second one; quotes, accents and case before the charsmap.
pub(super) fn albert(mut source: Source<'_>) -> Result<Steps> {
    let pieces = source.pieces()?;
    let scheme = source.prefix(PrependScheme::Never);
    let mut steps: Vec<NormalizerWrapper> = Vec::new();
    for quotes in ["``", "''"] {
        steps.push(part(|| Replace::new(quotes, "\""))?.into());
    }
    if !source.config.truth("keep_accents", false) {
        steps.extend([NFKD.into(), StripAccents.into()]);
    }
    if source.config.truth("do_lower_case", true) {
        steps.push(Lowercase.into());
    }
    steps.extend(source.charsmap());
    source.words_of_pieces(pieces, 1, Some(NormalizerSequence::new(steps).into()), scheme)
}

/// DeBERTa's: white space is made single and stays; the charsmap goes. The unknown token is where it is with a score
/// of 0.
pub(super) fn deberta_v2(mut source: Source<'_>) -> Result<Steps> {
    let pieces = source.pieces()?;
    let unk = source.special.get("unk_token");
    let named = pieces.iter().position(|(piece, score)| Some(piece.as_str()) == unk && *score == 0.0);
    let unk_id = named.map_or_else(|| source.config.count("unk_id", 1).map(|id| id as usize), Ok)?;
    let metaspace = Metaspace::new(BOUNDARY, source.prefix(PrependScheme::First), true);
    let mut steps: Vec<NormalizerWrapper> = Vec::new();
    if source.config.truth("do_lower_case", false) {
        steps.push(Lowercase.into());
    }
    let spaces = ReplacePattern::Regex(r"\s{2,}|[\n\r\t]".to_owned());
    steps.extend([part(|| Replace::new(spaces, " "))?.into(), NFC.into(), Strip::new(false, true).into()]);
    let mut parts: Vec<PreTokenizerWrapper> = Vec::new();
    if source.config.truth("split_by_punct", false) {
        parts.push(Punctuation::new(SplitDelimiterBehavior::Isolated).into());
    }
    parts.push(metaspace.clone().into());
    let model = source.part("model.vocab", || Unigram::from(pieces, Some(unk_id), false))?;
    assemble(model, Some(NormalizerSequence::new(steps).into()), Sequence::new(parts), metaspace, None)
}

fn assemble(
    model: impl Into<ModelWrapper>,
    normalizer: Option<NormalizerWrapper>,
    pre_tokenizer: impl Into<PreTokenizerWrapper>,
    decoder: impl Into<DecoderWrapper>,
    post_processor: Option<PostProcessorWrapper>,
) -> Result<Steps> {
    let mut tokenizer = Steps::new(model.into());
    let normalizer = normalizer.map(|step| part(|| Normalizer::new(step))).transpose()?;
    part(|| tokenizer.with_normalizer(normalizer).map(drop))?;
    tokenizer.with_pre_tokenizer(Some(part(|| PreTokenizer::new(pre_tokenizer.into()))?));
    tokenizer.with_decoder(Some(part(|| Decoder::new(decoder.into()))?));
    tokenizer.with_post_processor(post_processor);
    Ok(tokenizer)
}

/// A part that no file has a say in.
fn part<T>(build: impl FnOnce() -> tokenizers::Result<T>) -> Result<T> {
    caught(build).map_err(Error::Tokenizer)
}

impl Source<'_> {
    /// SentencePiece's: words with a boundary before them, parted into the likeliest pieces.
    fn words_of_pieces(
        mut self,
        pieces: Vec<(String, f64)>,
        unk_id: usize,
        normalizer: Option<NormalizerWrapper>,
        scheme: PrependScheme,
    ) -> Result<Steps> {
        let model = self.part("model.vocab", || Unigram::from(pieces, Some(unk_id), false))?;
        let metaspace = Metaspace::new(BOUNDARY, scheme, true);
        let pre_tokenizer = Sequence::new(vec![WhitespaceSplit.into(), metaspace.clone().into()]);
        let post_processor = self.file.post_processor.take();
        assemble(model, normalizer, pre_tokenizer, metaspace, post_processor)
    }

    /// Where the word boundary goes: before each word, or as `otherwise` says.
    fn prefix(&self, otherwise: PrependScheme) -> PrependScheme {
        if self.config.truth("add_prefix_space", true) { PrependScheme::Always } else { otherwise }
    }

    /// The first SentencePiece charsmap of the normalizer.
    fn charsmap(&mut self) -> Option<NormalizerWrapper> {
        let is_charsmap = |part: &NormalizerWrapper| matches!(part, NormalizerWrapper::Precompiled(_));
        match self.file.normalizer.take()? {
            NormalizerWrapper::Sequence(parts) => parts.into_iter().find(is_charsmap),
            single => Some(single).filter(is_charsmap),
        }
    }

    fn no_unk(&self) -> Error {
        self.config.error("unk_token", "must be a token: words outside the vocabulary become it")
    }

    fn error(&self, key: &str, problem: impl Into<String>) -> Error {
        Error::config(&self.file.path, key, problem)
    }

    fn part<T>(&self, key: &str, build: impl FnOnce() -> tokenizers::Result<T>) -> Result<T> {
        caught(build).map_err(|problem| self.error(key, problem))
    }

    fn take<T: DeserializeOwned>(&mut self, key: &str) -> Result<T> {
        let value = self.file.model.remove(key).unwrap_or_default();
        serde_json::from_value(value).map_err(|error| self.error(&format!("model.{key}"), error.to_string()))
    }

    /// Tokens with their ids; a list of tokens, with scores or without, numbers them.
    fn vocab(&mut self) -> Result<Vocab> {
        let vocab: Value = self.take("vocab")?;
        let token = |entry| match entry {
            Value::String(token) => Some(token),
            Value::Array(entry) => entry.into_iter().next()?.as_str().map(str::to_owned),
            _ => None,
        };
        match vocab {
            Value::Object(map) if !map.is_empty() => {
                let vocab = serde_json::from_value(Value::Object(map));
                vocab.map_err(|error| self.error("model.vocab", format!("must give each token its id: {error}")))
            }
            Value::Array(list) if !list.is_empty() => {
                let numbered = list.into_iter().zip(0..).map(|(entry, id)| Some((token(entry)?, id)));
                let vocab = numbered.collect::<Option<Vocab>>();
                vocab.ok_or_else(|| self.error("model.vocab", "as a list must hold tokens"))
            }
            other => {
                Err(self.error("model.vocab", format!("must hold tokens with their ids, not {}", described(&other))))
            }
        }
    }

    /// Pieces with their scores; a piece's place is its id.
    fn pieces(&mut self) -> Result<Vec<(String, f64)>> {
        match self.file.model.remove("vocab").unwrap_or_default() {
            list @ Value::Array(_) => serde_json::from_value(list)
                .map_err(|error| self.error("model.vocab", format!("must be a list of [piece, score]: {error}"))),
            other => {
                Err(self.error("model.vocab", format!("must be a list of [piece, score], not {}", described(&other))))
            }
        }
    }

    /// Merges in either spelling: `"a b"` or `["a", "b"]`. None is a vocabulary of bytes.
    fn merges(&mut self) -> Result<Merges> {
        let merges: Option<Vec<Value>> = self.take("merges")?;
        let merge = |(index, merge): (usize, Value)| {
            let pair = match merge {
                Value::String(text) => text.split_once(' ').map(|(a, b)| (a.to_owned(), b.to_owned())),
                pair => serde_json::from_value(pair).ok(),
            };
            pair.ok_or_else(|| self.error(&format!("model.merges[{index}]"), "must be two tokens"))
        };
        merges.unwrap_or_default().into_iter().enumerate().map(merge).collect()
    }
}

fn described(value: &Value) -> &'static str {
    match value {
        Value::Object(map) if map.is_empty() => "an empty object",
        Value::Array(list) if list.is_empty() => "an empty list",
        other => kind(other),
    }
}
