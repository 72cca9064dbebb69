//! The JSON files that say how a folder tokenizes, read so that an error names file and key.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use tokenizers::{DecoderWrapper, NormalizerWrapper, PostProcessorWrapper, PreTokenizerWrapper};
use tokenizers::{PaddingParams, TruncationParams};

use super::guard::caught;
use super::special::{Numbered, Special};
use crate::config::{is_true, read_if_there};
use crate::error::{Error, Result};

/// A file that holds one JSON object.
pub(super) struct Settings {
    path: PathBuf,
    map: Map<String, Value>,
}

impl Settings {
    /// Reads `path`, or gives an empty object where there is no such file.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let bytes = read_if_there(path)?.unwrap_or_else(|| b"{}".to_vec());
        let value = serde_json::from_slice(&bytes).map_err(|error| {
            let place = format!("line {} column {}", error.line(), error.column());
            Error::config(path, place, format!("not JSON: {error}"))
        })?;
        match value {
            Value::Object(map) => Ok(Self { path: path.to_owned(), map }),
            other => Err(Error::config(path, "the whole file", format!("must be an object, not {}", kind(&other)))),
        }
    }

    /// Settings that say nothing.
    pub(super) fn none(path: &Path) -> Self {
        Self { path: path.to_owned(), map: Map::new() }
    }

    /// The value of `key`; absent and null differ.
    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        self.map.get(key)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.map.iter()
    }

    pub(super) fn error(&self, key: impl Into<String>, problem: impl Into<String>) -> Error {
        Error::config(&self.path, key, problem)
    }

    /// An error that says what `key` must be and what it is.
    pub(super) fn mismatch(&self, key: impl Into<String>, wanted: &str, got: &Value) -> Error {
        self.error(key, format!("must be {wanted}, not {}", kind(got)))
    }

    /// Whether Python's `if` takes the value for true, `default` where the key is absent.
    pub(super) fn truth(&self, key: &str, default: bool) -> bool {
        self.get(key).map_or(default, is_true)
    }

    /// A boolean that nothing else stands for, `default` where the key is absent.
    pub(super) fn flag(&self, key: &str, default: bool) -> Result<bool> {
        match self.get(key) {
            None => Ok(default),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(other) => Err(self.mismatch(key, "true or false", other)),
        }
    }

    /// A boolean that may be null.
    pub(super) fn flag_or_null(&self, key: &str) -> Result<Option<bool>> {
        match self.get(key) {
            Some(Value::Null) => Ok(None),
            given => given.map(|_| self.flag(key, false)).transpose(),
        }
    }

    /// A whole number, `default` where the key is absent.
    pub(super) fn count(&self, key: &str, default: u32) -> Result<u32> {
        let number = |value: &Value| value.as_u64().and_then(|number| u32::try_from(number).ok());
        let wrong = || self.error(key, "must be a whole number that is not negative");
        self.get(key).map_or(Ok(default), |value| number(value).ok_or_else(wrong))
    }

    /// A text; absent and null are `None`.
    pub(super) fn text(&self, key: &str) -> Result<Option<&str>> {
        match self.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(self.mismatch(key, "a text", other)),
        }
    }

    /// Whether the side that `key` names is the left one; absent is `None`.
    pub(super) fn left(&self, key: &str) -> Result<Option<bool>> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::String(side)) if side == "left" => Ok(Some(true)),
            Some(Value::String(side)) if side == "right" => Ok(Some(false)),
            Some(other) => Err(self.error(key, format!("must be \"left\" or \"right\", not {other}"))),
        }
    }

    fn take(&mut self, key: &str) -> Option<Value> {
        self.map.remove(key).filter(|value| !value.is_null())
    }

    /// One of the tokenizers crate's own parts.
    fn part<T: DeserializeOwned>(&mut self, key: &str) -> Result<Option<T>> {
        let Some(value) = self.take(key) else { return Ok(None) };
        let part = caught(|| Ok(serde_json::from_value(value)?));
        part.map(Some).map_err(|problem| self.error(key, problem))
    }
}

/// The parts of a tokenizer.json.
pub(super) struct TokenizerFile {
    pub(super) path: PathBuf,
    pub(super) added_tokens: Numbered,
    pub(super) normalizer: Option<NormalizerWrapper>,
    pub(super) pre_tokenizer: Option<PreTokenizerWrapper>,
    pub(super) post_processor: Option<PostProcessorWrapper>,
    pub(super) decoder: Option<DecoderWrapper>,
    pub(super) padding: Option<PaddingParams>,
    pub(super) truncation: Option<TruncationParams>,
    /// Still JSON: a class takes no more of it than its vocabulary.
    pub(super) model: Map<String, Value>,
}

impl TokenizerFile {
    /// Reads a folder's tokenizer.json; where it has none, the older files that hold a vocabulary alone.
    pub(super) fn read_any(folder: &Path, alone: Alone) -> Result<Self> {
        let path = folder.join("tokenizer.json");
        if path.exists() {
            return Self::read(&path);
        }
        match alone.read(folder)? {
            Some((path, model)) => Ok(Self::of_vocabulary(path, model)),
            None => {
                let needed = format!("it holds the vocabulary and how texts are split; {}", alone.instead());
                Err(Error::FileNotFound { path, needed })
            }
        }
    }

    /// A vocabulary, for a class that needs no more.
    fn of_vocabulary(path: PathBuf, model: Map<String, Value>) -> Self {
        Self {
            path,
            added_tokens: Numbered::new(),
            normalizer: None,
            pre_tokenizer: None,
            post_processor: None,
            decoder: None,
            padding: None,
            truncation: None,
            model,
        }
    }

    /// Reads `path`, which must be there.
    fn read(path: &Path) -> Result<Self> {
        let mut file = Settings::read(path)?;
        if let Some(version) = file.text("version")?.filter(|version| *version != "1.0") {
            return Err(file.error("version", format!("must be \"1.0\", not {version:?}")));
        }
        file.get("normalizer").map_or(Ok(()), |normalizer| check_charsmaps(&file, normalizer))?;
        file.get("post_processor").map_or(Ok(()), |processor| check_lists(&file, processor))?;
        let model = match file.take("model") {
            Some(Value::Object(model)) => model,
            Some(other) => return Err(file.mismatch("model", "an object", &other)),
            None => return Err(file.error("model", "must be there: it holds the vocabulary")),
        };
        Ok(Self {
            path: path.to_owned(),
            added_tokens: Special::list_with_ids(&file, "added_tokens")?,
            normalizer: file.part("normalizer")?,
            pre_tokenizer: file.part("pre_tokenizer")?,
            post_processor: file.part("post_processor")?,
            decoder: file.part("decoder")?,
            padding: file.part("padding")?,
            truncation: file.part("truncation")?,
            model,
        })
    }
}

/// The files that a class can do with where there is no tokenizer.json.
#[derive(Clone, Copy, Debug)]
pub(super) enum Alone {
    None,
    /// vocab.txt, a token a line.
    Vocabulary,
    /// vocab.json, tokens with their ids, and merges.txt, two tokens a line.
    VocabularyAndMerges,
}

impl Alone {
    /// Their file, and what they hold in the form that tokenizer.json has it in; `None` where they are absent.
    fn read(self, folder: &Path) -> Result<Option<(PathBuf, Map<String, Value>)>> {
        let text = |name: &str| -> Result<Option<String>> {
            let path = folder.join(name);
            let Some(bytes) = read_if_there(&path)? else { return Ok(None) };
            let text = String::from_utf8(bytes).map_err(|_| Error::config(&path, "(whole file)", "must be UTF-8"))?;
            Ok(Some(text))
        };
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        let entry = |key: &str, value: Value| (key.to_owned(), value);
        match self {
            Self::None => Ok(None),
            Self::Vocabulary => Ok(text("vocab.txt")?.map(|text| {
                let model = Map::from_iter([entry("vocab", lines(&text).into())]);
                (folder.join("vocab.txt"), model)
            })),
            Self::VocabularyAndMerges => {
                let path = folder.join("vocab.json");
                let (true, Some(merges)) = (path.exists(), text("merges.txt")?) else { return Ok(None) };
                let merges = lines(&merges);
                let merges = merges.into_iter().filter(|line| !line.is_empty() && !line.starts_with("#version"));
                let vocab = Value::Object(Settings::read(&path)?.map);
                let model = [entry("vocab", vocab), entry("merges", merges.collect::<Vec<_>>().into())];
                Ok(Some((path, model.into_iter().collect())))
            }
        }
    }

    /// What would do in tokenizer.json's place, for messages.
    fn instead(self) -> &'static str {
        match self {
            Self::None => "this class's tokenizer is read from no other file: save it by transformers' fast class",
            Self::Vocabulary => "a vocab.txt would do too",
            Self::VocabularyAndMerges => "vocab.json with merges.txt would do too",
        }
    }
}

/// Refuses a post-processor with a list that is longer than any known: templates behind each other multiply their lists.
fn check_lists(file: &Settings, value: &Value) -> Result<()> {
    /// Published ones have up to ten.
    const MOST: usize = 256;
    match value {
        Value::Array(list) if list.len() > MOST => {
            Err(file.error("post_processor", format!("must have no lists of more than {MOST}, got {}", list.len())))
        }
        Value::Array(list) => list.iter().try_for_each(|item| check_lists(file, item)),
        Value::Object(map) => map.values().try_for_each(|item| check_lists(file, item)),
        _ => Ok(()),
    }
}

/// Refuses a SentencePiece charsmap whose header promises more than follows, for which its reader would reserve room
/// first, and one with a replacement that is longer than any known.
fn check_charsmaps(file: &Settings, normalizer: &Value) -> Result<()> {
    let inner = normalizer.get("normalizers").and_then(Value::as_array);
    for part in inner.into_iter().flatten() {
        check_charsmaps(file, part)?;
    }
    /// Bytes that one character may become. The longest of Unicode's are 33.
    const MOST: usize = 256;
    let Some(Value::String(base64)) = normalizer.get("precompiled_charsmap") else { return Ok(()) };
    let wrong = |problem: &str| Err(file.error("normalizer.precompiled_charsmap", problem));
    let Some(replacements) = replacements(base64) else {
        return wrong("must be the base64 of a SentencePiece charsmap: its trie's size and the trie are no match");
    };
    if replacements.split(|byte| *byte == 0).any(|replacement| replacement.len() > MOST) {
        return wrong(&format!("must have no replacement of more than {MOST} bytes"));
    }
    Ok(())
}

/// What follows the trie in a SentencePiece charsmap: replacements, a 0 after each.
fn replacements(base64: &str) -> Option<Vec<u8>> {
    let bytes = decoded(base64)?;
    let (size, rest) = bytes.split_first_chunk()?;
    rest.get(u32::from_le_bytes(*size) as usize..).map(<[u8]>::to_vec)
}

/// What `base64` holds.
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
        // Three bytes; of fewer digits, as many as they hold whole.
        let three = (bits << (6 * (4 - digits.len()))).to_be_bytes();
        bytes.extend(&three[1..][..digits.len() * 6 / 8]);
    }
    Some(bytes)
}

/// What a JSON value is, for messages.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
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
