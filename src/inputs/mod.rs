//! Inputs: reading of texts and pairs into sequences of tokens.

mod chunks;
mod text;

pub use text::Reader;
pub(crate) use text::{Read, TEXTS_A_PIECE, first_error, is_small};
