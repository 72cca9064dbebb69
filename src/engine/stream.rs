//! Streaming of chunks: the next chunk is tokenized while the current one is computed.

use super::Engine;
use super::collect::{Collect, Collected};
use super::run::{Call, Request, Sequence};
use crate::batch::{Distinct, first_index};
use crate::error::Result;
use crate::inputs::Read;
use crate::tokenize::Input;

/// Chunk that a stream has tokenized and computes next; see [`Model::encode_ahead`](crate::Model::encode_ahead).
#[derive(Debug, Default)]
pub struct Lookahead {
    /// Distinct inputs. A problem with one becomes an error when its chunk is computed.
    read: Vec<Read>,
    /// Index of each of the chunk's inputs among the distinct ones.
    which: Vec<usize>,
    /// Number of inputs before the chunk.
    first: usize,
}

impl Engine {
    /// Computes the chunk in `ahead`, tokenizes `next` and stores it in `ahead`. The first step returns no rows. A step
    /// with an empty `next` returns those of the last chunk. After an error `ahead` is empty.
    pub(crate) fn step<C: Collect>(
        &self,
        ahead: &mut Lookahead,
        next: &[Input<'_>],
        request: &Request<'_>,
        collector: impl FnOnce(usize) -> Result<C>,
    ) -> Result<Collected<C>> {
        let engine = self.serving(request)?;
        let call = Call::new(&engine, engine.reader(None), request)?;
        let Lookahead { read, which, first } = std::mem::take(ahead);
        let index = |i| first + first_index(&which, i);
        let window = call.window(read, 0, &index)?;
        let distinct = Distinct::of(next)?;
        let rows = collector(window.sequences.len())?;
        let store = |sequences: &[Sequence<'_>], output: &mut _| rows.store(sequences, output);
        let read = call.step(&window, &distinct.inputs, rows.request(), &|| {}, &store);
        let read = read.map_err(|error| error.map_input_index(index))?;
        let truncated = call.truncated(which.iter().map(|i| window.sequences[*i].full_length));
        *ahead = Lookahead { read, which: distinct.which, first: first + which.len() };
        Ok(Collected { rows, which, truncated })
    }
}
