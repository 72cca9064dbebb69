//! A tokenizer's files: tokenizer.json with its settings, and the older vocabulary files.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use tokenizers::{DecoderWrapper, NormalizerWrapper, PostProcessorWrapper, PreTokenizerWrapper};
use tokenizers::{PaddingParams, TruncationParams};

use super::sentence_piece::SentencePieceModel;
use super::special::{Special, TokensById};
use crate::catch_panic::catch_panic;
use crate::config::{JsonFile, WHOLE_FILE, is_truthy, read_if_there, type_name};
use crate::error::{Error, Result};

/// A file that holds one JSON object, read key by key.
pub(super) struct JsonObject {
    path: PathBuf,
    map: Map<String, Value>,
}

impl JsonObject {
    /// Reads `path`; an absent file counts as an empty object.
    pub(super) fn read(path: &Path) -> Result<Self> {
        match JsonFile::read_if_there(path.to_owned())? {
            None => Ok(Self::empty(path)),
            Some(JsonFile { path, value: Value::Object(map) }) => Ok(Self { path, map }),
            Some(file) => Err(file.mismatch(WHOLE_FILE, "a JSON object", &file.value)),
        }
    }

    /// Makes an empty object, for messages that name `path`.
    pub(super) fn empty(path: &Path) -> Self {
        Self { path: path.to_owned(), map: Map::new() }
    }

    /// Returns the value of `key`; absent and null differ.
    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        self.map.get(key)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.map.iter()
    }

    pub(super) fn error(&self, key: impl Into<String>, problem: impl Into<String>) -> Error {
        Error::config(&self.path, key, problem)
    }

    /// Makes an error about a value of the wrong type.
    pub(super) fn mismatch(&self, key: impl Into<String>, expected: &str, got: &Value) -> Error {
        self.error(key, format!("must be {expected}, got {}", type_name(got)))
    }

    /// Returns the value's truthiness in Python, `default` if the key is absent.
    pub(super) fn truthy(&self, key: &str, default: bool) -> bool {
        self.get(key).map_or(default, is_truthy)
    }

    /// Returns a strict boolean, `default` if the key is absent.
    pub(super) fn flag(&self, key: &str, default: bool) -> Result<bool> {
        match self.get(key) {
            None => Ok(default),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(other) => Err(self.mismatch(key, "true or false", other)),
        }
    }

    /// Returns a strict boolean that may be null.
    pub(super) fn flag_or_null(&self, key: &str) -> Result<Option<bool>> {
        match self.get(key) {
            Some(Value::Null) => Ok(None),
            given => given.map(|_| self.flag(key, false)).transpose(),
        }
    }

    /// Returns an integer of at least 0, `default` if the key is absent.
    pub(super) fn count(&self, key: &str, default: u32) -> Result<u32> {
        let number = |value: &Value| value.as_u64().and_then(|number| u32::try_from(number).ok());
        let wrong = |value| self.error(key, format!("must be an integer of at least 0, got {value}"));
        self.get(key).map_or(Ok(default), |value| number(value).ok_or_else(|| wrong(value)))
    }

    /// Returns a string; absent and null are `None`.
    pub(super) fn text(&self, key: &str) -> Result<Option<&str>> {
        match self.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(self.mismatch(key, "a string", other)),
        }
    }

    /// Returns true for `"left"`, false for `"right"`, `None` if the key is absent.
    pub(super) fn left(&self, key: &str) -> Result<Option<bool>> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::String(side)) if side == "left" => Ok(Some(true)),
            Some(Value::String(side)) if side == "right" => Ok(Some(false)),
            Some(other) => Err(self.error(key, format!("must be \"left\" or \"right\", got {other}"))),
        }
    }

    fn take(&mut self, key: &str) -> Option<Value> {
        self.map.remove(key).filter(|value| !value.is_null())
    }

    /// Parses a step of the tokenizers crate.
    fn take_step<T: DeserializeOwned>(&mut self, key: &str) -> Result<Option<T>> {
        let Some(value) = self.take(key) else { return Ok(None) };
        let step = catch_panic(|| Ok(serde_json::from_value(value)?));
        step.map(Some).map_err(|problem| self.error(key, problem))
    }
}

/// Content of a tokenizer.json.
pub(super) struct TokenizerFile {
    pub(super) path: PathBuf,
    pub(super) added_tokens: TokensById,
    pub(super) normalizer: Option<NormalizerWrapper>,
    pub(super) pre_tokenizer: Option<PreTokenizerWrapper>,
    pub(super) post_processor: Option<PostProcessorWrapper>,
    pub(super) decoder: Option<DecoderWrapper>,
    pub(super) padding: Option<PaddingParams>,
    pub(super) truncation: Option<TruncationParams>,
    /// Unparsed, since specific classes read only the vocabulary.
    pub(super) model: Map<String, Value>,
    /// Vocabulary of a class that reads no tokenizer.json.
    pub(super) sentence_piece: Option<SentencePieceModel>,
}

impl TokenizerFile {
    /// Reads a folder's tokenizer.json, else the older files that hold only a vocabulary.
    pub(super) fn read_any(folder: &Path, vocabulary_files: VocabularyFiles) -> Result<Self> {
        if let VocabularyFiles::SentencePiece = vocabulary_files {
            let path = folder.join("spiece.model");
            return match SentencePieceModel::read(&path)? {
                Some(model) => Ok(Self { sentence_piece: Some(model), ..Self::of_vocabulary(path, Map::new()) }),
                None => Err(Error::FileNotFound { path, needed: vocabulary_files.alternatives().to_owned() }),
            };
        }
        let path = folder.join("tokenizer.json");
        if path.exists() {
            return Self::read(&path);
        }
        match vocabulary_files.read(folder)? {
            Some((path, model)) => Ok(Self::of_vocabulary(path, model)),
            None => {
                let needed = format!(
                    "it holds the vocabulary and the steps that split texts; {}",
                    vocabulary_files.alternatives()
                );
                Err(Error::FileNotFound { path, needed })
            }
        }
    }

    /// Returns true for the older files that hold only a vocabulary.
    pub(super) fn is_vocabulary(&self) -> bool {
        !self.path.ends_with("tokenizer.json")
    }

    /// Returns true if a step has bytes for letters.
    pub(super) fn has_byte_level(&self) -> bool {
        let steps = serde_json::to_string(&(&self.pre_tokenizer, &self.decoder, &self.post_processor));
        steps.is_ok_and(|steps| steps.contains("\"ByteLevel\""))
    }

    /// Makes a file that holds only a vocabulary.
    fn of_vocabulary(path: PathBuf, model: Map<String, Value>) -> Self {
        Self {
            path,
            added_tokens: TokensById::new(),
            normalizer: None,
            pre_tokenizer: None,
            post_processor: None,
            decoder: None,
            padding: None,
            truncation: None,
            model,
            sentence_piece: None,
        }
    }

    /// Reads `path`, which must exist.
    fn read(path: &Path) -> Result<Self> {
        let mut file = JsonObject::read(path)?;
        if let Some(version) = file.text("version")?.filter(|version| *version != "1.0") {
            return Err(file.error("version", format!("must be \"1.0\", got {version:?}")));
        }
        file.get("normalizer").map_or(Ok(()), |normalizer| check_charsmaps(&file, normalizer))?;
        file.get("post_processor").map_or(Ok(()), |processor| check_lists(&file, processor))?;
        let model = match file.take("model") {
            Some(Value::Object(model)) => model,
            Some(other) => return Err(file.mismatch("model", "an object", &other)),
            None => return Err(file.error("model", "is missing: it holds the vocabulary")),
        };
        Ok(Self {
            path: path.to_owned(),
            added_tokens: Special::list_with_ids(&file, "added_tokens")?,
            normalizer: file.take_step("normalizer")?,
            pre_tokenizer: file.take_step("pre_tokenizer")?,
            post_processor: file.take_step("post_processor")?,
            decoder: file.take_step("decoder")?,
            padding: file.take_step("padding")?,
            truncation: file.take_step("truncation")?,
            model,
            sentence_piece: None,
        })
    }
}

/// Older files that can replace tokenizer.json for a class.
#[derive(Clone, Copy, Debug)]
pub(super) enum VocabularyFiles {
    None,
    /// vocab.txt: one token a line.
    Vocabulary,
    /// vocab.json: tokens with their ids; merges.txt: two tokens a line.
    VocabularyAndMerges,
    /// spiece.model, which is read even beside a tokenizer.json, as by transformers.
    SentencePiece,
}

impl VocabularyFiles {
    /// Returns the vocabulary's path, and the content as tokenizer.json's `model`; `None` if the files are absent.
    fn read(self, folder: &Path) -> Result<Option<(PathBuf, Map<String, Value>)>> {
        let text = |name: &str| -> Result<Option<String>> {
            let path = folder.join(name);
            let Some(bytes) = read_if_there(&path)? else { return Ok(None) };
            let text = String::from_utf8(bytes).map_err(|_| Error::config(&path, WHOLE_FILE, "must be UTF-8 text"))?;
            Ok(Some(text))
        };
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        let entry = |key: &str, value: Value| (key.to_owned(), value);
        match self {
            Self::None | Self::SentencePiece => Ok(None),
            Self::Vocabulary => Ok(text("vocab.txt")?.map(|text| {
                let model = Map::from_iter([entry("vocab", lines(&text).into())]);
                (folder.join("vocab.txt"), model)
            })),
            Self::VocabularyAndMerges => {
                let path = folder.join("vocab.json");
                let (true, Some(merges)) = (path.exists(), text("merges.txt")?) else { return Ok(None) };
                let merges = lines(&merges);
                let merges = merges.into_iter().filter(|line| !line.is_empty() && !line.starts_with("#version"));
                let vocab = Value::Object(JsonObject::read(&path)?.map);
                let model = [entry("vocab", vocab), entry("merges", merges.collect::<Vec<_>>().into())];
                Ok(Some((path, model.into_iter().collect())))
            }
        }
    }

    /// Names the files that can replace tokenizer.json, for messages.
    fn alternatives(self) -> &'static str {
        match self {
            Self::None => "this class reads no other file; save the tokenizer with transformers' fast class",
            Self::Vocabulary => "a vocab.txt would do too",
            Self::SentencePiece => "it holds the vocabulary; this class reads no other file",
            Self::VocabularyAndMerges => "vocab.json with merges.txt would do too",
        }
    }
}

/// Refuses a post-processor with an overlong list: the lists of chained templates multiply.
fn check_lists(file: &JsonObject, value: &Value) -> Result<()> {
    /// Published lists have up to ten items.
    const MAX_ITEMS: usize = 256;
    match value {
        Value::Array(list) if list.len() > MAX_ITEMS => {
            Err(file
                .error("post_processor", format!("must have at most {MAX_ITEMS} items in a list, got {}", list.len())))
        }
        Value::Array(list) => list.iter().try_for_each(|item| check_lists(file, item)),
        Value::Object(map) => map.values().try_for_each(|item| check_lists(file, item)),
        _ => Ok(()),
    }
}

/// Refuses a SentencePiece charsmap with an overlong replacement, or with a header that announces more bytes than follow:
/// its reader would allocate them first.
fn check_charsmaps(file: &JsonObject, normalizer: &Value) -> Result<()> {
    let inner = normalizer.get("normalizers").and_then(Value::as_array);
    for step in inner.into_iter().flatten() {
        check_charsmaps(file, step)?;
    }
    /// Upper bound of bytes that replace one character. Unicode's longest have 33.
    const MAX_REPLACEMENT: usize = 256;
    let Some(Value::String(base64)) = normalizer.get("precompiled_charsmap") else { return Ok(()) };
    let wrong = |problem: &str| Err(file.error("normalizer.precompiled_charsmap", problem));
    let Some(replacements) = replacements(base64) else {
        return wrong(
            "must be a SentencePiece charsmap in base64; the announced size of its trie doesn't match the data",
        );
    };
    if replacements.split(|byte| *byte == 0).any(|replacement| replacement.len() > MAX_REPLACEMENT) {
        return wrong(&format!("must have no replacement of more than {MAX_REPLACEMENT} bytes"));
    }
    Ok(())
}

/// Returns the bytes after the trie of a SentencePiece charsmap: replacements, each ended by a 0.
fn replacements(base64: &str) -> Option<Vec<u8>> {
    let bytes = decoded(base64)?;
    let (size, rest) = bytes.split_first_chunk()?;
    rest.get(u32::from_le_bytes(*size) as usize..).map(<[u8]>::to_vec)
}

/// Decodes base64.
fn decoded(base64: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let mut bytes = Vec::with_capacity(base64.len() / 4 * 3);
    for digits in base64.trim_end_matches('=').as_bytes().chunks(4) {
        let bits = digits.iter().try_fold(0_u32, |bits, &byte| Some(bits << 6 | u32::from(digit(byte)?)))?;
        // Four digits hold three bytes; fewer digits hold fewer whole bytes.
        let three = (bits << (6 * (4 - digits.len()))).to_be_bytes();
        bytes.extend(&three[1..][..digits.len() * 6 / 8]);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::{decoded, replacements};

    #[test]
    fn base64_is_decoded() {
        for (base64, bytes) in
            [("", &b""[..]), ("YQ==", b"a"), ("YWI=", b"ab"), ("YWJj", b"abc"), ("+/+/", b"\xfb\xff\xbf")]
        {
            assert_eq!(decoded(base64).as_deref(), Some(bytes), "{base64}");
        }
        assert_eq!(decoded("!!!!"), None);
    }

    #[test]
    fn a_charsmap_is_a_size_a_trie_and_replacements() {
        // 4 0 0 0, the trie 1 2 3 4, "ab".
        assert_eq!(replacements("BAAAAAECAwRhYg==").as_deref(), Some(&b"ab"[..]));
        for too_short in ["", "BAAA", "BAAAAAEC", "/////wEC"] {
            assert_eq!(replacements(too_short), None, "{too_short}");
        }
    }
}
