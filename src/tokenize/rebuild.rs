//! Steps of each tokenizer class: those that it keeps of tokenizer.json, and those of its own.

use serde::de::DeserializeOwned;
use serde_json::Value;
use tokenizers::decoders::bpe::BPEDecoder;
use tokenizers::decoders::byte_fallback::ByteFallback;
use tokenizers::decoders::fuse::Fuse;
use tokenizers::decoders::sequence::Sequence as DecoderSequence;
use tokenizers::decoders::strip::Strip as StripDecoder;
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

use super::files::{JsonObject, TokenizerFile};
use super::sentence_piece::SentencePieceModel;
use super::special::SpecialTokens;
use super::steps::{Decoder, Normalizer, PreTokenizer, Steps};
use crate::catch_panic::catch_panic;
use crate::config::type_name;
use crate::error::{Error, Result};

/// The word boundary of SentencePiece.
const BOUNDARY: char = '▁';
/// Suffix of CLIP's and HerBERT's tokens that end a word.
pub(super) const WORD_END: &str = "</w>";

/// Files that a tokenizer is built from.
pub(super) struct Source<'a> {
    pub(super) file: TokenizerFile,
    pub(super) config: &'a JsonObject,
    pub(super) special: &'a SpecialTokens,
}

/// Builds tokenizer.json as it is, without its padding and truncation.
pub(super) fn as_filed(mut source: Source<'_>) -> Result<Steps> {
    // Dropout skips merges at random, for training; the same text must always give the same tokens.
    if let Some(dropout) = source.file.model.get("dropout").filter(|value| !value.is_null() && **value != 0.0) {
        let what = format!("{}: model.dropout", source.file.path.display());
        return Err(Error::unsupported(what, dropout.to_string(), "null"));
    }
    let model = Value::Object(std::mem::take(&mut source.file.model));
    let model: ModelWrapper = source.build("model", || Ok(serde_json::from_value(model)?))?;
    let mut tokenizer = Steps::new(model);
    let normalizer = source.file.normalizer.take().map(|step| source.build("normalizer", || Normalizer::new(step)));
    let words = source.file.pre_tokenizer.take().map(|step| source.build("pre_tokenizer", || PreTokenizer::new(step)));
    let decoder = source.file.decoder.take().map(|step| source.build("decoder", || Decoder::new(step)));
    let normalizer = normalizer.transpose()?;
    tokenizer.with_pre_tokenizer(words.transpose()?).with_decoder(decoder.transpose()?);
    tokenizer.with_post_processor(source.file.post_processor.take());
    let added = source.file.added_tokens.iter().map(|(_, token)| token.added());
    source.build("added_tokens", || {
        tokenizer.with_normalizer(normalizer)?;
        tokenizer.add_tokens(added)
    })?;
    Ok(tokenizer)
}

/// Builds BERT's and MPNet's tokenizer.
pub(super) fn word_piece(mut source: Source<'_>) -> Result<Steps> {
    let lowercase = source.config.flag("do_lower_case", true)?;
    let chinese = source.config.flag("tokenize_chinese_chars", true)?;
    let accents = source.config.flag_or_null("strip_accents")?;
    let Some(unk) = source.special.get("unk_token").map(str::to_owned) else {
        return Err(source.no_unk());
    };
    let vocab = source.vocab()?;
    let model = source.build("model", || WordPiece::builder().vocab(vocab).unk_token(unk).build())?;
    let normalizer = BertNormalizer::new(true, chinese, accents, lowercase);
    let decoder = WordPieceDecoder::new("##".to_owned(), true);
    assemble(model, Some(normalizer.into()), BertPreTokenizer, decoder, None)
}

/// Builds RoBERTa's and GPT-2's tokenizer.
pub(super) fn byte_level_bpe(source: Source<'_>) -> Result<Steps> {
    byte_level(source, None)
}

/// Builds GPT-NeoX's tokenizer.
pub(super) fn gpt_neox(source: Source<'_>) -> Result<Steps> {
    byte_level(source, Some(NFC.into()))
}

fn byte_level(mut source: Source<'_>, normalizer: Option<NormalizerWrapper>) -> Result<Steps> {
    let prefix_space = source.config.flag("add_prefix_space", false)?;
    let (vocab, merges) = (source.vocab()?, source.merges()?);
    let builder = || BPE::builder().vocab_and_merges(vocab, merges);
    // transformers sets an empty prefix, which makes the same tokens as none.
    let model = source.build("model.merges", || builder().build())?;
    let post_processor = source.file.post_processor.take();
    assemble(model, normalizer, ByteLevel::new(prefix_space, true, true), ByteLevel::default(), post_processor)
}

/// Builds HerBERT's tokenizer: cased words, with a suffix at the end of a word.
pub(super) fn herbert(mut source: Source<'_>) -> Result<Steps> {
    let (vocab, merges) = (source.vocab()?, source.merges()?);
    let Some(unk) = source.special.get("unk_token").map(str::to_owned) else { return Err(source.no_unk()) };
    let builder = BPE::builder().vocab_and_merges(vocab, merges).unk_token(unk);
    let model = source.build("model.merges", || builder.end_of_word_suffix(WORD_END.to_owned()).build())?;
    let normalizer = BertNormalizer::new(true, true, Some(false), false);
    assemble(model, Some(normalizer.into()), BertPreTokenizer, BPEDecoder::new(WORD_END.to_owned()), None)
}

/// Builds CLIP's tokenizer: bytes of lowercased words, with a suffix at the end of a word.
pub(super) fn clip(mut source: Source<'_>) -> Result<Steps> {
    const WORDS: &str = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";
    let (vocab, merges) = (source.vocab()?, source.merges()?);
    let Some(unk) = source.special.get("unk_token").map(str::to_owned) else { return Err(source.no_unk()) };
    let builder = BPE::builder().vocab_and_merges(vocab, merges).unk_token(unk);
    let model = source.build("model.merges", || builder.end_of_word_suffix(WORD_END.to_owned()).build())?;
    let spaces = build_step(|| Replace::new(ReplacePattern::Regex(r"\s+".to_owned()), " "))?;
    let normalizer = NormalizerSequence::new(vec![NFC.into(), spaces.into(), Lowercase.into()]);
    let words =
        build_step(|| Split::new(SplitPattern::Regex(WORDS.to_owned()), SplitDelimiterBehavior::Removed, true))?;
    let pre_tokenizer = Sequence::new(vec![words.into(), ByteLevel::new(false, true, true).into()]);
    assemble(model, Some(normalizer.into()), pre_tokenizer, ByteLevel::default(), None)
}

/// Builds Qwen's tokenizer: bytes of words that its own pattern splits.
pub(super) fn qwen2(mut source: Source<'_>) -> Result<Steps> {
    /// Endings of English words; letters after an optional sign; single digits; signs; line ends; white space.
    const WORDS: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
    let prefix_space = source.config.flag_or_null("add_prefix_space")?.unwrap_or(false);
    let (vocab, merges) = (source.vocab()?, source.merges()?);
    let model = source.build("model.merges", || BPE::builder().vocab_and_merges(vocab, merges).build())?;
    let words =
        build_step(|| Split::new(SplitPattern::Regex(WORDS.to_owned()), SplitDelimiterBehavior::Isolated, false))?;
    let pre_tokenizer = Sequence::new(vec![words.into(), ByteLevel::new(prefix_space, true, false).into()]);
    let post_processor = source.file.post_processor.take();
    assemble(model, Some(NFC.into()), pre_tokenizer, ByteLevel::default(), post_processor)
}

/// Builds Gemma's tokenizer: pieces with the word boundary as a letter, and bytes as a fallback.
pub(super) fn gemma(mut source: Source<'_>) -> Result<Steps> {
    let (vocab, merges) = (source.vocab()?, source.merges()?);
    let builder = BPE::builder().vocab_and_merges(vocab, merges).fuse_unk(true).byte_fallback(true);
    let builder = match source.special.get("unk_token") {
        Some(unk) => builder.unk_token(unk.to_owned()),
        None => return Err(source.no_unk()),
    };
    let model = source.build("model.merges", || builder.build())?;
    let boundary = build_step(|| Replace::new(" ", BOUNDARY))?;
    let words = build_step(|| Split::new(" ", SplitDelimiterBehavior::MergedWithPrevious, false))?;
    let spaces = build_step(|| Replace::new(BOUNDARY.to_string(), " "))?;
    let decoder = DecoderSequence::new(vec![spaces.into(), ByteFallback::new().into(), Fuse::new().into()]);
    let post_processor = source.file.post_processor.take();
    assemble(model, Some(boundary.into()), words, decoder, post_processor)
}

/// Builds Llama's tokenizer: pieces with a word boundary before the text, and bytes as a fallback.
pub(super) fn llama(mut source: Source<'_>) -> Result<Steps> {
    let prefix_space = source.config.flag_or_null("add_prefix_space")?.unwrap_or(true);
    let scheme = match (prefix_space, source.config.truthy("legacy", false)) {
        (false, _) => PrependScheme::Never,
        (true, true) => PrependScheme::Always,
        (true, false) => PrependScheme::First,
    };
    let (vocab, merges) = (source.vocab()?, source.merges()?);
    let builder = BPE::builder().vocab_and_merges(vocab, merges).fuse_unk(true).byte_fallback(true);
    let model = source.build("model.merges", || builder.build())?;
    let spaces = build_step(|| Replace::new(BOUNDARY.to_string(), " "))?;
    let mut decoders = vec![spaces.into(), ByteFallback::new().into(), Fuse::new().into()];
    if prefix_space {
        decoders.push(StripDecoder::new(' ', 1, 0).into());
    }
    let post_processor = source.file.post_processor.take();
    let words = Metaspace::new(BOUNDARY, scheme, false);
    assemble(model, None, words, DecoderSequence::new(decoders), post_processor)
}

/// Builds XLM-RoBERTa's tokenizer: the unknown token has id 3.
pub(super) fn xlm_roberta(mut source: Source<'_>) -> Result<Steps> {
    let pieces = source.pieces()?;
    let scheme = source.prefix(PrependScheme::Never);
    let normalizer = source.charsmap();
    source.sentence_piece(pieces, 3, normalizer, scheme)
}

/// Builds CamemBERT's tokenizer: the unknown token is found by name.
pub(super) fn camembert(mut source: Source<'_>) -> Result<Steps> {
    let pieces = source.pieces()?;
    let unk = source.special.get("unk_token");
    let unk_id = pieces.iter().position(|(piece, _)| Some(piece.as_str()) == unk).unwrap_or(0);
    let scheme = source.prefix(PrependScheme::Never);
    let normalizer = source.charsmap();
    source.sentence_piece(pieces, unk_id, normalizer, scheme)
}

/// Builds T5's tokenizer: the unknown token has id 2.
pub(super) fn t5(mut source: Source<'_>) -> Result<Steps> {
    let pieces = source.pieces()?;
    let normalizer = source.charsmap();
    source.sentence_piece(pieces, 2, normalizer, PrependScheme::Always)
}

/// Builds SigLIP's tokenizer: lowercased words without ASCII's punctuation, in the likeliest pieces of SentencePiece itself.
pub(super) fn siglip(mut source: Source<'_>) -> Result<Steps> {
    /// White space of Python, and the word boundary, which is a space in a text.
    const SPACES: &str = r"[\s\x1c-\x1f▁]+";
    const PUNCTUATION: &str = r"[!-/:-@\[-`{-~]+";
    let Some(SentencePieceModel { pieces, controls, unk_id, charsmap }) = source.file.sentence_piece.take() else {
        return Err(source.error("pieces", "must be there"));
    };
    let lowercases = source.config.truthy("do_lower_case", true);
    let model = source.build("pieces", || Unigram::from(pieces, Some(unk_id), false))?;
    let replace = |pattern: &str, by| build_step(|| Replace::new(ReplacePattern::Regex(pattern.to_owned()), by));
    let clean = vec![replace(PUNCTUATION, "")?.into(), replace(SPACES, " ")?.into(), Strip::new(true, true).into()];
    let clean = build_step(|| Normalizer::new(NormalizerSequence::new(clean).into()))?;
    let clean = if lowercases { clean.lowercasing_text() } else { clean };
    // Full-width letters could spell a control piece, which SentencePiece finds in no text.
    let spelled: Vec<_> = controls.iter().filter_map(|control| spelled(control)).collect();
    let pattern = SplitPattern::Regex(spelled.join("|"));
    let split = || Split::new(pattern, SplitDelimiterBehavior::MergedWithPrevious, false);
    let apart = if spelled.is_empty() { Vec::new() } else { vec![build_step(split)?.into()] };
    let boundary = Metaspace::new(BOUNDARY, PrependScheme::Always, false);
    let mut tokenizer = assemble(model, None, Sequence::new(apart), boundary, None)?;
    build_step(|| tokenizer.with_normalizer(Some(clean.then_by(charsmap))).map(drop))?;
    Ok(tokenizer)
}

/// Returns the pattern of a piece's first letter before its others; `None` for a single letter.
fn spelled(piece: &str) -> Option<String> {
    let code = |letter: char| format!(r"\x{{{:x}}}", u32::from(letter));
    let mut letters = piece.chars();
    let (first, others) = (code(letters.next()?), letters.map(code).collect::<String>());
    (!others.is_empty()).then(|| format!("{first}(?={others})"))
}

/// Builds ALBERT's tokenizer: the unknown token has id 1; quotes, accents and case are normalized before the charsmap.
pub(super) fn albert(mut source: Source<'_>) -> Result<Steps> {
    let pieces = source.pieces()?;
    let scheme = source.prefix(PrependScheme::Never);
    let mut steps: Vec<NormalizerWrapper> = Vec::new();
    for quotes in ["``", "''"] {
        steps.push(build_step(|| Replace::new(quotes, "\""))?.into());
    }
    if !source.config.truthy("keep_accents", false) {
        steps.extend([NFKD.into(), StripAccents.into()]);
    }
    if source.config.truthy("do_lower_case", true) {
        steps.push(Lowercase.into());
    }
    steps.extend(source.charsmap());
    source.sentence_piece(pieces, 1, Some(NormalizerSequence::new(steps).into()), scheme)
}

/// Builds DeBERTa's tokenizer: runs of white space become one space, and the charsmap is dropped. The unknown token is the
/// one of its name with a score of 0.
pub(super) fn deberta_v2(mut source: Source<'_>) -> Result<Steps> {
    let pieces = source.pieces()?;
    let unk = source.special.get("unk_token");
    let named = pieces.iter().position(|(piece, score)| Some(piece.as_str()) == unk && *score == 0.0);
    let unk_id = named.map_or_else(|| source.config.count("unk_id", 1).map(|id| id as usize), Ok)?;
    let metaspace = Metaspace::new(BOUNDARY, source.prefix(PrependScheme::First), true);
    let mut steps: Vec<NormalizerWrapper> = Vec::new();
    if source.config.truthy("do_lower_case", false) {
        steps.push(Lowercase.into());
    }
    let spaces = ReplacePattern::Regex(r"\s{2,}|[\n\r\t]".to_owned());
    steps.extend([build_step(|| Replace::new(spaces, " "))?.into(), NFC.into(), Strip::new(false, true).into()]);
    let mut pre_tokenizers: Vec<PreTokenizerWrapper> = Vec::new();
    if source.config.truthy("split_by_punct", false) {
        pre_tokenizers.push(Punctuation::new(SplitDelimiterBehavior::Isolated).into());
    }
    pre_tokenizers.push(metaspace.clone().into());
    let model = source.build("model.vocab", || Unigram::from(pieces, Some(unk_id), false))?;
    assemble(model, Some(NormalizerSequence::new(steps).into()), Sequence::new(pre_tokenizers), metaspace, None)
}

fn assemble(
    model: impl Into<ModelWrapper>,
    normalizer: Option<NormalizerWrapper>,
    pre_tokenizer: impl Into<PreTokenizerWrapper>,
    decoder: impl Into<DecoderWrapper>,
    post_processor: Option<PostProcessorWrapper>,
) -> Result<Steps> {
    let mut tokenizer = Steps::new(model.into());
    let normalizer = normalizer.map(|step| build_step(|| Normalizer::new(step))).transpose()?;
    build_step(|| tokenizer.with_normalizer(normalizer).map(drop))?;
    tokenizer.with_pre_tokenizer(Some(build_step(|| PreTokenizer::new(pre_tokenizer.into()))?));
    tokenizer.with_decoder(Some(build_step(|| Decoder::new(decoder.into()))?));
    tokenizer.with_post_processor(post_processor);
    Ok(tokenizer)
}

/// Builds a step that doesn't depend on any file.
fn build_step<T>(build: impl FnOnce() -> tokenizers::Result<T>) -> Result<T> {
    catch_panic(build).map_err(Error::Tokenizer)
}

impl Source<'_> {
    /// Builds a SentencePiece tokenizer: words after a boundary, split into the likeliest pieces.
    fn sentence_piece(
        mut self,
        pieces: Vec<(String, f64)>,
        unk_id: usize,
        normalizer: Option<NormalizerWrapper>,
        scheme: PrependScheme,
    ) -> Result<Steps> {
        let model = self.build("model.vocab", || Unigram::from(pieces, Some(unk_id), false))?;
        let metaspace = Metaspace::new(BOUNDARY, scheme, true);
        let pre_tokenizer = Sequence::new(vec![WhitespaceSplit.into(), metaspace.clone().into()]);
        let post_processor = self.file.post_processor.take();
        assemble(model, normalizer, pre_tokenizer, metaspace, post_processor)
    }

    /// Returns the position of the word boundary: before each word with `add_prefix_space`, else `otherwise`.
    fn prefix(&self, otherwise: PrependScheme) -> PrependScheme {
        if self.config.truthy("add_prefix_space", true) { PrependScheme::Always } else { otherwise }
    }

    /// Takes the first SentencePiece charsmap of the normalizer.
    fn charsmap(&mut self) -> Option<NormalizerWrapper> {
        let is_charsmap = |step: &NormalizerWrapper| matches!(step, NormalizerWrapper::Precompiled(_));
        match self.file.normalizer.take()? {
            NormalizerWrapper::Sequence(steps) => steps.into_iter().find(is_charsmap),
            single => Some(single).filter(is_charsmap),
        }
    }

    fn no_unk(&self) -> Error {
        self.config.error("unk_token", "must name a token: unknown words become it")
    }

    fn error(&self, key: &str, problem: impl Into<String>) -> Error {
        Error::config(&self.file.path, key, problem)
    }

    fn build<T>(&self, key: &str, build: impl FnOnce() -> tokenizers::Result<T>) -> Result<T> {
        catch_panic(build).map_err(|problem| self.error(key, problem))
    }

    fn take<T: DeserializeOwned>(&mut self, key: &str) -> Result<T> {
        let value = self.file.model.remove(key).unwrap_or_default();
        serde_json::from_value(value).map_err(|error| self.error(&format!("model.{key}"), error.to_string()))
    }

    /// Takes tokens with their ids; in a list, with scores or without, the index is the id.
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
                vocab.ok_or_else(|| self.error("model.vocab", "must hold only tokens if it is a list"))
            }
            other => {
                Err(self.error("model.vocab", format!("must hold tokens with their ids, got {}", described(&other))))
            }
        }
    }

    /// Takes pieces with their scores; the index of a piece is its id.
    fn pieces(&mut self) -> Result<Vec<(String, f64)>> {
        match self.file.model.remove("vocab").unwrap_or_default() {
            list @ Value::Array(_) => serde_json::from_value(list)
                .map_err(|error| self.error("model.vocab", format!("must be a list of [piece, score]: {error}"))),
            other => {
                Err(self.error("model.vocab", format!("must be a list of [piece, score], got {}", described(&other))))
            }
        }
    }

    /// Takes merges in either spelling: `"a b"` or `["a", "b"]`. None means a vocabulary of bytes.
    fn merges(&mut self) -> Result<Merges> {
        let merges: Option<Vec<Value>> = self.take("merges")?;
        let merge = |(index, merge): (usize, Value)| {
            let pair = match merge {
                Value::String(text) => text.split_once(' ').map(|(a, b)| (a.to_owned(), b.to_owned())),
                pair => serde_json::from_value(pair).ok(),
            };
            pair.ok_or_else(|| {
                self.error(&format!("model.merges[{index}]"), "must be two tokens, as \"a b\" or [\"a\", \"b\"]")
            })
        };
        merges.unwrap_or_default().into_iter().enumerate().map(merge).collect()
    }
}

fn described(value: &Value) -> &'static str {
    match value {
        Value::Object(map) if map.is_empty() => "an empty object",
        Value::Array(list) if list.is_empty() => "an empty list",
        other => type_name(other),
    }
}
