//! Inputs, and how they become sequences of tokens.

mod chunks;
mod text;

pub use text::Reader;
pub(crate) use text::{Read, TEXTS_A_PIECE, first_error, is_small};
