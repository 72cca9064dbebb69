//! Attention: norms and turns of queries and keys, then the kernel, its heads parted among the team.

use std::ops::Range;

use super::{Activations, Cpu};
use crate::batch::Batch;
use crate::error::Result;
use crate::kernels;
use crate::kernels::attention::{self, Heads, Span, attention};
use crate::kernels::rotary::rotate;
use crate::ops::{Attention, Relative, TokenSelection};
use crate::threads::team::part;

impl Cpu {
    pub(super) fn attend(
        &self,
        mut qkv: Activations,
        batch: &Batch,
        shape: &Attention<Self>,
        queries: TokenSelection,
    ) -> Result<Activations> {
        self.place(&mut qkv, batch, shape);
        let chosen = queries.pooling().map(|mode| self.pooled(&qkv, batch, &[mode], &vec![0; batch.len()]));
        let asking = chosen.as_ref().unwrap_or(&qkv);
        let [hidden, keys, values] = shape.widths();
        let mut out = self.room(asking.rows, hidden);
        let parts = [
            asking.as_rows().columns(0..hidden),
            qkv.as_rows().columns(hidden..hidden + keys),
            qkv.as_rows().columns(hidden + keys..hidden + keys + values),
        ];
        let texts = batch.texts().zip(batch.keys()).enumerate();
        let spans: Vec<_> = texts.map(|(i, (text, keys))| span(i, text, keys, queries)).collect();
        let relative = match &shape.relative {
            Relative::None | Relative::Rotary(_) => attention::Relative::None,
            Relative::Bias(bias) => attention::Relative::Bias(bias),
            Relative::Disentangled(positions) => attention::Relative::Disentangled(positions),
        };
        let heads = Heads {
            width: shape.head_width,
            sharing: shape.heads / shape.key_value_heads,
            scale: shape.scale,
            reach: shape.reach,
            relative,
        };
        let mut rest = out.as_rows_mut();
        let mut tasks = Vec::new();
        for chosen in part(shape.heads, self.team.size()) {
            let (mine, others) = rest.split_columns(chosen.len() * shape.head_width);
            tasks.push((chosen, mine));
            rest = others;
        }
        self.for_each(tasks, |(chosen, out), scratch| {
            attention(self.isa, parts, &spans, heads, chosen, &mut scratch.attention, out);
        });
        Ok(out)
    }

    /// Normalizes queries and keys and turns them by their positions, in place.
    fn place(&self, qkv: &mut Activations, batch: &Batch, shape: &Attention<Self>) {
        let turns = match &shape.relative {
            Relative::Rotary(rotary) => Some(rotary.turns(batch.longest())),
            _ => None,
        };
        if turns.is_none() && shape.query_key_norms.is_none() {
            return;
        }
        let positions = batch.positions();
        let mut rest = qkv.as_rows_mut();
        let mut tasks = Vec::new();
        for head in 0..shape.heads + shape.key_value_heads {
            let (mine, others) = rest.split_columns(shape.head_width);
            tasks.push((usize::from(head >= shape.heads), mine));
            rest = others;
        }
        self.for_each(tasks, |(which, mut rows), _| {
            if let Some(norms) = &shape.query_key_norms {
                kernels::norm::norm(self.isa, rows.reborrow(), norms[which].parameters());
            }
            if let Some(turns) = &turns {
                rotate(self.isa, rows, &positions, turns.cos(), turns.sin());
            }
        });
    }
}

/// The rows of the `i`-th text in the queries, and in the keys.
fn span(i: usize, text: Range<usize>, keys: Range<usize>, queries: TokenSelection) -> Span {
    match queries {
        TokenSelection::All => Span { queries: text, keys, place: 0 },
        TokenSelection::First => Span { queries: i..i + 1, keys, place: 0 },
        TokenSelection::Last => Span { queries: i..i + 1, keys, place: text.len() - 1 },
    }
}
