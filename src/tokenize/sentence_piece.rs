//! SentencePiece models: the protocol buffer in spiece.model, as far as a unigram tokenizer reads it.

use std::path::Path;

use super::charsmap::Charsmap;
use crate::config::{WHOLE_FILE, read_if_there};
use crate::error::{Error, Result};

/// Pieces of a unigram model, and the rules that normalize a text.
pub(super) struct SentencePieceModel {
    /// Pieces with their scores; the index of a piece is its id.
    pub(super) pieces: Vec<(String, f64)>,
    /// Pieces that no text contains, such as the end token.
    pub(super) controls: Vec<String>,
    pub(super) unk_id: usize,
    pub(super) charsmap: Charsmap,
}

/// Kinds of pieces, by their numbers in the file.
const NORMAL: u64 = 1;
const UNKNOWN: u64 = 2;
const CONTROL: u64 = 3;
/// Kind of a model whose pieces have likelihoods.
const UNIGRAM: u64 = 1;

impl SentencePieceModel {
    /// Reads `path`; `None` if it is absent.
    pub(super) fn read(path: &Path) -> Result<Option<Self>> {
        read_if_there(path)?.map(|bytes| Self::parse(&bytes, path)).transpose()
    }

    /// Reads the bytes of the file `path`.
    pub(super) fn parse(bytes: &[u8], path: &Path) -> Result<Self> {
        let fields = Message(bytes).fields().ok_or_else(|| damaged(path))?;
        let mut model = Self { pieces: Vec::new(), controls: Vec::new(), unk_id: 0, charsmap: Charsmap::default() };
        let mut unknown = Vec::new();
        for (number, value) in fields {
            let inner = || value.message().and_then(Message::fields).ok_or_else(|| damaged(path));
            match number {
                1 => match Piece::of(&inner()?).ok_or_else(|| damaged(path))? {
                    Piece { text, score, kind: NORMAL } => model.pieces.push((text, score)),
                    Piece { text, score, kind: kind @ (UNKNOWN | CONTROL) } => {
                        unknown.extend((kind == UNKNOWN).then_some(model.pieces.len()));
                        model.controls.push(text.clone());
                        model.pieces.push((text, score));
                    }
                    Piece { text, kind, .. } => {
                        let what = format!("{}: the kind of the piece {text:?}", path.display());
                        return Err(Error::unsupported(what, kind.to_string(), "1, 2, 3: normal, unknown, control"));
                    }
                },
                2 => check_trainer(path, &inner()?)?,
                3 => model.charsmap = normalizer(path, &inner()?)?,
                _ => {}
            }
        }
        match unknown[..] {
            [unk_id] => Ok(Self { unk_id, ..model }),
            _ => {
                let problem = format!("must have one piece for unknown letters, got {}", unknown.len());
                Err(Error::config(path, "pieces", problem))
            }
        }
    }
}

/// Normalizes a text by the rules of a model.
///
/// # Errors
/// The model's, or the number of bytes of a result that exceeds `max`.
#[cfg(feature = "fuzz")]
pub fn normalize_by_sentence_piece(model: &[u8], text: &str, max: usize) -> Result<std::result::Result<String, usize>> {
    let model = SentencePieceModel::parse(model, Path::new("spiece.model"))?;
    let mut text = tokenizers::NormalizedString::from(text);
    Ok(model.charsmap.normalize(&mut text, max).map(|()| text.get().to_owned()))
}

struct Piece {
    text: String,
    score: f64,
    kind: u64,
}

impl Piece {
    fn of(fields: &[(u64, Field<'_>)]) -> Option<Self> {
        let mut piece = Self { text: String::new(), score: 0.0, kind: NORMAL };
        for (number, value) in fields {
            match (number, value) {
                (1, Field::Bytes(text)) => piece.text = String::from_utf8(text.to_vec()).ok()?,
                (2, Field::Float(score)) => piece.score = f64::from(*score),
                (3, Field::Number(kind)) => piece.kind = *kind,
                _ => {}
            }
        }
        Some(piece)
    }
}

/// Refuses models that split texts in another way.
fn check_trainer(path: &Path, fields: &[(u64, Field<'_>)]) -> Result<()> {
    check(path, fields, &[(3, "model_type", UNIGRAM), (24, "treat_whitespace_as_suffix", 0), (35, "byte_fallback", 0)])
}

/// Reads the rules that normalize a text.
fn normalizer(path: &Path, fields: &[(u64, Field<'_>)]) -> Result<Charsmap> {
    check(path, fields, &[(4, "remove_extra_whitespaces", 1), (5, "escape_whitespaces", 1)])?;
    let Some(bytes) = fields.iter().find_map(|(number, value)| value.bytes().filter(|_| *number == 2)) else {
        return Ok(Charsmap::default());
    };
    Charsmap::new(bytes).map_err(|problem| Error::config(path, "normalizer_spec.precompiled_charsmap", problem))
}

/// Checks settings, whose defaults are the supported values.
fn check(path: &Path, fields: &[(u64, Field<'_>)], supported: &[(u64, &str, u64)]) -> Result<()> {
    for (number, value) in fields {
        let wrong = |(at, _, one): &&(u64, &str, u64)| at == number && !matches!(value, Field::Number(x) if x == one);
        if let Some((_, name, one)) = supported.iter().find(wrong) {
            let got = if let Field::Number(number) = value { number.to_string() } else { "no number".to_owned() };
            return Err(Error::unsupported(format!("{}: {name}", path.display()), got, one.to_string()));
        }
    }
    Ok(())
}

fn damaged(path: &Path) -> Error {
    Error::config(path, WHOLE_FILE, "must be a SentencePiece model, a protocol buffer")
}

/// Message of a protocol buffer.
#[derive(Clone, Copy)]
struct Message<'a>(&'a [u8]);

/// Value of a field.
enum Field<'a> {
    Number(u64),
    Float(f32),
    Bytes(&'a [u8]),
}

impl<'a> Field<'a> {
    fn bytes(&self) -> Option<&'a [u8]> {
        if let Self::Bytes(bytes) = self { Some(bytes) } else { None }
    }

    fn message(&self) -> Option<Message<'a>> {
        self.bytes().map(Message)
    }
}

impl<'a> Message<'a> {
    /// Returns the fields with their numbers; `None` if the bytes are no message.
    fn fields(mut self) -> Option<Vec<(u64, Field<'a>)>> {
        let mut fields = Vec::new();
        while !self.0.is_empty() {
            let key = self.number()?;
            let value = match key & 7 {
                0 => Field::Number(self.number()?),
                // No setting that is read here has 64 bits.
                1 => Field::Bytes(self.take(8)?),
                2 => {
                    let length = usize::try_from(self.number()?).ok()?;
                    Field::Bytes(self.take(length)?)
                }
                5 => Field::Float(f32::from_le_bytes(self.take(4)?.try_into().ok()?)),
                _ => return None,
            };
            fields.push((key >> 3, value));
        }
        Some(fields)
    }

    /// Takes a number of up to ten bytes, seven bits each.
    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            number |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }
}
