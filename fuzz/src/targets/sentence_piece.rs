//! SentencePiece models, and texts that their rules normalize.

use arbitrary::{Arbitrary, Unstructured};
use rushlight::fuzz::normalize_by_sentence_piece;

use super::super::oracle::kind;
use super::super::texts::Text;

const MAX_BYTES: usize = 1 << 16;

#[derive(Arbitrary, Debug)]
enum File {
    /// The file as it is.
    Raw(Vec<u8>),
    Model { pieces: Vec<Piece>, settings: Vec<(u8, u8, u8)>, rules: Option<Rules>, rest: Vec<u8> },
}

#[derive(Arbitrary, Debug)]
struct Piece {
    text: Text,
    score: f32,
    kind: Option<u8>,
}

#[derive(Arbitrary, Debug)]
struct Rules {
    /// Replaces the size of the trie.
    size: Option<u32>,
    /// Units: a letter, the distance of its children, whether it ends a rule, and other bits.
    trie: Vec<(u8, u8, bool, u32)>,
    replacements: Vec<Text>,
    raw: Vec<u8>,
}

fn number(mut number: u64, bytes: &mut Vec<u8>) {
    while number > 127 {
        bytes.push(number as u8 | 128);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Adds a field of bytes.
fn field(key: u64, content: &[u8], bytes: &mut Vec<u8>) {
    number(key << 3 | 2, bytes);
    number(content.len() as u64, bytes);
    bytes.extend_from_slice(content);
}

impl Rules {
    fn bytes(&self) -> Vec<u8> {
        let unit = |(letter, distance, ends, bits): &(u8, u8, bool, u32)| {
            u32::from(*letter) | u32::from(*ends) << 8 | u32::from(*distance) << 10 | bits & 0xFFF0_0000
        };
        let trie: Vec<_> = self.trie.iter().flat_map(|of| unit(of).to_le_bytes()).collect();
        let size = self.size.unwrap_or(trie.len() as u32).to_le_bytes();
        let replacements: Vec<_> = self.replacements.iter().flat_map(|text| [text.0.as_bytes(), b"\0"].concat()).collect();
        [&size[..], &trie, &replacements, &self.raw].concat()
    }
}

impl File {
    fn bytes(self) -> Vec<u8> {
        let (pieces, settings, rules, rest) = match self {
            Self::Raw(bytes) => return bytes,
            Self::Model { pieces, settings, rules, rest } => (pieces, settings, rules, rest),
        };
        let mut bytes = Vec::new();
        for Piece { text, score, kind } in pieces {
            let mut piece = Vec::new();
            field(1, text.0.as_bytes(), &mut piece);
            piece.push(2 << 3 | 5);
            piece.extend(score.to_le_bytes());
            if let Some(kind) = kind {
                number(3 << 3, &mut piece);
                number((kind % 8).into(), &mut piece);
            }
            field(1, &piece, &mut bytes);
        }
        for (message, key, value) in settings.iter().take(4) {
            let mut setting = Vec::new();
            number(u64::from(key % 40) << 3, &mut setting);
            number((*value).into(), &mut setting);
            field((2 + message % 2).into(), &setting, &mut bytes);
        }
        if let Some(rules) = rules {
            let mut normalizer = Vec::new();
            field(2, &rules.bytes(), &mut normalizer);
            field(3, &normalizer, &mut bytes);
        }
        [bytes, rest].concat()
    }
}

pub fn check(data: &[u8]) {
    let Ok((file, text)) = <(File, Text)>::arbitrary_take_rest(Unstructured::new(data)) else { return };
    match normalize_by_sentence_piece(&file.bytes(), &text.0, MAX_BYTES) {
        Ok(Ok(text)) => assert!(text.len() <= MAX_BYTES && !text.contains(' ') && !text.ends_with('▁'), "{text:?}"),
        Ok(Err(bytes)) => assert!(bytes > MAX_BYTES, "{bytes}"),
        Err(error) => drop(kind(&error)),
    }
}
