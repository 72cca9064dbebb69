//! Attention heads: their number and width.

use std::sync::Arc;

use crate::config::JsonFile;
use crate::error::Result;
use crate::ops::{Attention, Ops, Relative, Rotary};

/// Number of heads, and columns of each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AttentionHeads {
    pub(crate) count: usize,
    pub(crate) width: usize,
}

impl AttentionHeads {
    /// Splits the hidden size into the number of heads in `key`.
    pub(crate) fn of(file: &JsonFile, key: &str, default: usize, hidden_size: usize) -> Result<Self> {
        let count = file.get(key, default)?;
        if count == 0 || !hidden_size.is_multiple_of(count) {
            return Err(file.error(key, format!("must divide the hidden size, {hidden_size}, got {count}")));
        }
        Ok(Self { count, width: hidden_size / count })
    }

    /// Reads the number of heads, and their width where `head_dim` has one; else they split the hidden size.
    pub(crate) fn with_head_dim(
        file: &JsonFile,
        default_count: usize,
        default_width: Option<usize>,
        hidden_size: usize,
    ) -> Result<Self> {
        let key = "num_attention_heads";
        match file.get("head_dim", default_width)? {
            Some(width) => Ok(Self { count: file.size(key, default_count)?, width }),
            None => Self::of(file, key, default_count, hidden_size),
        }
    }

    /// Makes full attention without positions.
    pub(crate) fn attention<O: Ops>(self) -> Attention<O> {
        Attention::full(self.count, self.width)
    }

    /// Makes full attention with rotary positions.
    pub(crate) fn rotary_attention<O: Ops>(self, rotary: &Arc<Rotary>) -> Attention<O> {
        Attention { relative: Relative::Rotary(Arc::clone(rotary)), ..self.attention() }
    }
}
