//! A stream: chunks of inputs, of which the next is tokenized while the present one is computed.

use super::Engine;
use super::collect::{Collect, Collected};
use super::run::{Call, Request, Sequence};
use crate::batch::{Distinct, first_place};
use crate::error::Result;
use crate::inputs::Read;
use crate::tokenize::Input;

/// The chunk that a stream has tokenized and computes next; see [`Model::encode_ahead`](crate::Model::encode_ahead).
#[derive(Debug, Default)]
pub struct Lookahead {
    /// The distinct inputs. A problem with one is told when its turn comes, after the chunks before it.
    read: Vec<Read>,
    /// For each input of the chunk, its index among the distinct ones.
    which: Vec<usize>,
    /// Number of inputs before the chunk.
    first: usize,
}

impl Engine {
    /// Computes the chunk that is ahead, and tokenizes the next, which is ahead then. The first step gives no rows, and the
    /// last, with nothing next, those of the last chunk. After an error nothing is ahead.
    pub(crate) fn step<C: Collect>(
        &self,
        ahead: &mut Lookahead,
        next: &[Input<'_>],
        request: &Request<'_>,
        collector: impl FnOnce(usize) -> Result<C>,
    ) -> Result<Collected<C>> {
        let engine = self.route(request.role);
        let call = Call::new(&engine, engine.reader(None), request)?;
        let Lookahead { read, which, first } = std::mem::take(ahead);
        let place = |i| first + first_place(&which, i);
        let window = call.window(read, 0, &place)?;
        let distinct = Distinct::of(next)?;
        let rows = collector(window.sequences.len())?;
        let store = |sequences: &[Sequence<'_>], output| rows.store(sequences, output);
        let read = call.step(&window, &distinct.inputs, C::REQUEST, &|| {}, &store);
        let read = read.map_err(|error| error.placed(place))?;
        let truncated = call.truncated(which.iter().map(|i| window.sequences[*i].full_length));
        *ahead = Lookahead { read, which: distinct.which, first: first + which.len() };
        Ok(Collected { rows, which, truncated })
    }
}
