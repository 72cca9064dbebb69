//! Inputs: reading of texts and pairs into sequences of tokens.

mod chat;
mod chunks;
mod image;
mod text;

pub(crate) use chat::ChatTemplate;
#[cfg(feature = "fuzz")]
pub use chat::render_chat_template;
pub use text::Reader;
pub(crate) use text::{Read, TEXTS_A_PIECE, first_error, is_small, pieces};
