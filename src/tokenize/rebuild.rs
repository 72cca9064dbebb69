//! The tokenizers that the classes set up: what each keeps of tokenizer.json, and what it has of its own.

use serde::de::DeserializeOwned;
use serde_json::Value;
use tokenizers::decoders::wordpiece::WordPiece as WordPieceDecoder;
use tokenizers::models::bpe::{BPE, Merges, Vocab};
use tokenizers::models::unigram::Unigram;
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::metaspace::{Metaspace, PrependScheme};
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::whitespace::WhitespaceSplit;
use tokenizers::{DecoderWrapper, ModelWrapper, NormalizerWrapper, PreTokenizerWrapper, Tokenizer};

use super::files::{Settings, TokenizerFile, kind};
use super::guard::caught;
use super::special::SpecialTokens;
use crate::error::{Error, Result};

/// The word boundary of SentencePiece.
const BOUNDARY: char = '▁';

/// What a tokenizer is built from.
pub(super) struct Source<'a> {
    pub(super) file: TokenizerFile,
    pub(super) config: &'a Settings,
    pub(super) special: &'a SpecialTokens,
}

/// tokenizer.json as it is, but for its padding and truncation.
pub(super) fn as_filed(mut source: Source<'_>) -> Result<Tokenizer> {
    // It leaves merges out at random, for training; but the same text must give the same tokens.
    if let Some(dropout) = source.file.model.get("dropout").filter(|value| !value.is_null() && **value != 0.0) {
        let what = format!("{}: model.dropout", source.file.path.display());
        return Err(Error::unsupported(what, dropout.to_string(), "null"));
    }
    let model = Value::Object(std::mem::take(&mut source.file.model));
    let model: ModelWrapper = source.part("model", || Ok(serde_json::from_value(model)?))?;
    let file = source.file;
    let mut tokenizer = Tokenizer::new(model);
    tokenizer.with_pre_tokenizer(file.pre_tokenizer);
    tokenizer.with_post_processor(file.post_processor);
    tokenizer.with_decoder(file.decoder);
    let added = file.added_tokens.iter().map(|(_, token)| token.added());
    let filled = caught(|| {
        tokenizer.with_normalizer(file.normalizer)?;
        tokenizer.add_tokens(added)
    });
    filled.map_err(|problem| Error::config(file.path, "added_tokens", problem))?;
    Ok(tokenizer)
}

/// BERT's and MPNet's.
pub(super) fn word_piece(mut source: Source<'_>) -> Result<Tokenizer> {
    let lowercase = source.config.flag("do_lower_case", true)?;
    let chinese = source.config.flag("tokenize_chinese_chars", true)?;
    let accents = source.config.flag_or_null("strip_accents")?;
    let Some(unk) = source.special.get("unk_token").map(str::to_owned) else {
        return Err(source.config.error("unk_token", "must be a token: words outside the vocabulary become it"));
    };
    let vocab = source.vocab()?;
    let model = source.part("model", || WordPiece::builder().vocab(vocab).unk_token(unk).build())?;
    let normalizer = BertNormalizer::new(true, chinese, accents, lowercase);
    let decoder = WordPieceDecoder::new("##".to_owned(), true);
    assemble(model, Some(normalizer.into()), BertPreTokenizer, decoder)
}

/// RoBERTa's.
pub(super) fn byte_level_bpe(mut source: Source<'_>) -> Result<Tokenizer> {
    let prefix_space = source.config.flag("add_prefix_space", false)?;
    let (vocab, merges) = (source.vocab()?, source.merges()?);
    let builder = || BPE::builder().vocab_and_merges(vocab, merges);
    // No prefix and an empty one make the same tokens; transformers sets the empty one.
    let model = source.part("model.merges", || builder().build())?;
    assemble(model, None, ByteLevel::new(prefix_space, true, true), ByteLevel::default())
}

/// XLM-RoBERTa's: the unknown token is the fourth one.
pub(super) fn xlm_roberta(mut source: Source<'_>) -> Result<Tokenizer> {
    let pieces = source.pieces()?;
    unigram(source, pieces, 3)
}

/// CamemBERT's: the unknown token is where its name is.
pub(super) fn camembert(mut source: Source<'_>) -> Result<Tokenizer> {
    let pieces = source.pieces()?;
    let unk = source.special.get("unk_token");
    let unk_id = pieces.iter().position(|(piece, _)| Some(piece.as_str()) == unk).unwrap_or(0);
    unigram(source, pieces, unk_id)
}

/// SentencePiece's: of the normalizer only the charsmap stays.
fn unigram(source: Source<'_>, pieces: Vec<(String, f64)>, unk_id: usize) -> Result<Tokenizer> {
    let prefix_space = match source.config.get("add_prefix_space") {
        Some(Value::Null) => false,
        _ => source.config.flag("add_prefix_space", true)?,
    };
    let scheme = if prefix_space { PrependScheme::Always } else { PrependScheme::Never };
    let model = source.part("model.vocab", || Unigram::from(pieces, Some(unk_id), false))?;
    let metaspace = Metaspace::new(BOUNDARY, scheme, true);
    let pre_tokenizer = Sequence::new(vec![WhitespaceSplit.into(), metaspace.clone().into()]);
    assemble(model, source.file.normalizer.and_then(charsmap), pre_tokenizer, metaspace)
}

/// The first SentencePiece charsmap of a normalizer.
fn charsmap(normalizer: NormalizerWrapper) -> Option<NormalizerWrapper> {
    let is_charsmap = |part: &NormalizerWrapper| matches!(part, NormalizerWrapper::Precompiled(_));
    match normalizer {
        NormalizerWrapper::Sequence(parts) => parts.into_iter().find(is_charsmap),
        single => Some(single).filter(is_charsmap),
    }
}

fn assemble(
    model: impl Into<ModelWrapper>,
    normalizer: Option<NormalizerWrapper>,
    pre_tokenizer: impl Into<PreTokenizerWrapper>,
    decoder: impl Into<DecoderWrapper>,
) -> Result<Tokenizer> {
    let mut tokenizer = Tokenizer::new(model);
    caught(|| tokenizer.with_normalizer(normalizer).map(drop)).map_err(Error::Tokenizer)?;
    tokenizer.with_pre_tokenizer(Some(pre_tokenizer)).with_decoder(Some(decoder));
    Ok(tokenizer)
}

impl Source<'_> {
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
