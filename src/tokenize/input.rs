//! Inputs of a tokenizer.

use crate::images::Image;

/// One input: a text, a pair of texts, token ids, or an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Input<'a> {
    /// A text.
    Text(&'a str),
    /// Two texts that the model sees as one sequence, with its separator in between.
    Pair(&'a str, &'a str),
    /// Token ids of the model's tokenizer, special ones included. They are computed without a prompt.
    Ids(&'a [u32]),
    /// An image, for models that embed texts and images in one space. It is computed without a prompt.
    Image(Image<'a>),
}

impl<'a> Input<'a> {
    pub(crate) fn texts<T: AsRef<str>>(texts: &'a [T]) -> Vec<Self> {
        texts.iter().map(|text| Self::Text(text.as_ref())).collect()
    }

    /// Number of bytes.
    pub(crate) fn bytes(self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Pair(first, second) => first.len() + second.len(),
            Self::Ids(ids) => size_of_val(ids),
            Self::Image(image) => image.bytes(),
        }
    }
}

impl<'a> From<&'a str> for Input<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<Image<'a>> for Input<'a> {
    fn from(image: Image<'a>) -> Self {
        Self::Image(image)
    }
}

impl<'a> From<&'a [u32]> for Input<'a> {
    fn from(ids: &'a [u32]) -> Self {
        Self::Ids(ids)
    }
}

impl<'a> From<(&'a str, &'a str)> for Input<'a> {
    fn from((first, second): (&'a str, &'a str)) -> Self {
        Self::Pair(first, second)
    }
}
