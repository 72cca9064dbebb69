//! Texts out of pieces that tokenizers treat in their own ways.

use arbitrary::{Arbitrary, Result, Unstructured};

const PIECES: [&str; 48] = [
    "the",
    "of",
    " ",
    "  ",
    "\n",
    "\r\n",
    "\t",
    "rest",
    "000",
    "A000",
    "7",
    ".",
    ",",
    "!?",
    "'s",
    "don't",
    "-",
    "_",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "[PAD]",
    "[UNK]",
    "<s>",
    "</s>",
    "<mask>",
    "<pad>",
    "<unk>",
    "<|endoftext|>",
    "▁",
    "##a",
    "\u{301}",
    "é",
    "e\u{301}",
    "ﬁ",
    "Ａ",
    "ß",
    "İ",
    "한국",
    "日本",
    "ก็",
    "👩‍👩‍👧",
    "🇦🇶",
    "\u{200b}",
    "\u{a0}",
    "\u{0}",
    "ا",
    "\u{fffd}",
];

/// A text.
#[derive(Clone, Debug)]
pub struct Text(pub String);

impl<'a> Arbitrary<'a> for Text {
    fn arbitrary(bytes: &mut Unstructured<'a>) -> Result<Self> {
        let mut text = String::new();
        for _ in 0..bytes.int_in_range(0..=24)? {
            match bytes.int_in_range(0..=9)? {
                0 => text.push(bytes.arbitrary()?),
                1 => text.push(char::from(bytes.int_in_range(32..=126)?)),
                2 => {
                    let piece = *bytes.choose(&PIECES)?;
                    (0..bytes.int_in_range(2..=60)?).for_each(|_: usize| text.push_str(piece));
                }
                _ => text.push_str(bytes.choose(&PIECES)?),
            }
        }
        Ok(Self(text))
    }
}

/// One to five texts.
#[derive(Clone, Debug)]
pub struct Texts(pub Vec<Text>);

impl<'a> Arbitrary<'a> for Texts {
    fn arbitrary(bytes: &mut Unstructured<'a>) -> Result<Self> {
        let count = bytes.int_in_range(1..=5)?;
        (0..count).map(|_| bytes.arbitrary()).collect::<Result<_>>().map(Self)
    }
}

impl Texts {
    pub fn as_strs(&self) -> Vec<&str> {
        self.0.iter().map(|text| text.0.as_str()).collect()
    }
}
