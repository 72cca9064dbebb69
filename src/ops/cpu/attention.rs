//! Attention: norms and rotations of queries and keys, then the kernel, whose heads are split among the threads.

use std::ops::Range;

use super::{Activations, Cpu, Norm};
use crate::batch::Batch;
use crate::error::Result;
use crate::kernels;
use crate::kernels::attention::{Heads, PositionScores, Span, attention};
use crate::kernels::rotary::rotate;
use crate::kernels::rows::RowsMut;
use crate::ops::{Attention, QueryKeyNorms, Relative, TokenSelection};
use crate::threads::intra_op::split_evenly;

/// Vectors of a head.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Queries,
    Keys,
    Values,
}

impl Cpu {
    pub(super) fn attend(
        &self,
        mut qkv: Activations,
        batch: &Batch,
        shape: &Attention<Self>,
        queries: TokenSelection,
    ) -> Result<Activations> {
        self.prepare(&mut qkv, batch, shape)?;
        let selected = match queries.pooling() {
            Some(mode) => Some(self.pooled(&qkv, batch, &[mode], &vec![0; batch.len()])?),
            None => None,
        };
        let asking = selected.as_ref().unwrap_or(&qkv);
        let [hidden, keys, values] = shape.widths();
        let mut out = self.alloc(asking.rows, hidden)?;
        let qkv = [
            asking.as_rows().columns(0..hidden),
            qkv.as_rows().columns(hidden..hidden + keys),
            qkv.as_rows().columns(hidden + keys..hidden + keys + values),
        ];
        let texts = batch.texts().zip(batch.keys()).enumerate();
        let spans: Vec<_> = texts.map(|(i, (text, keys))| span(i, text, keys, queries)).collect();
        let positions = match &shape.relative {
            Relative::None | Relative::Rotary(_) => PositionScores::None,
            Relative::Bias(bias) => PositionScores::Bias(bias),
            Relative::Slopes(slopes) => PositionScores::Slopes(slopes),
            Relative::Disentangled(positions) => PositionScores::Disentangled(positions),
        };
        let heads = Heads {
            width: shape.head_width,
            sharing: shape.heads / shape.key_value_heads,
            scale: shape.scale,
            window: shape.window,
            softcap: shape.softcap,
            positions,
        };
        let mut rest = out.as_rows_mut();
        let mut tasks = Vec::new();
        for chosen in split_evenly(shape.heads, self.threads.size()) {
            let (mine, others) = rest.split_columns(chosen.len() * shape.head_width);
            tasks.push((chosen, mine));
            rest = others;
        }
        self.try_for_each(tasks, |(chosen, out), scratch| {
            attention(self.isa, qkv, &spans, heads, chosen, &mut scratch.attention, out)
        })?;
        Ok(out)
    }

    /// Normalizes queries, keys and values, rotates queries and keys by their positions, and scales queries, in place.
    fn prepare(&self, qkv: &mut Activations, batch: &Batch, shape: &Attention<Self>) -> Result<()> {
        let rotations = match &shape.relative {
            Relative::Rotary(rotary) => Some(rotary.rotations(batch.longest())?),
            _ => None,
        };
        let norms = match &shape.query_key_norms {
            Some(QueryKeyNorms::EachHead(norms)) => Some(norms),
            Some(QueryKeyNorms::AllHeads(norms)) => {
                self.normalize_all_heads(qkv, shape, norms);
                None
            }
            None => None,
        };
        let unchanged = rotations.is_none() && norms.is_none();
        if unchanged && shape.value_norm.is_none() && shape.query_scale.is_none() {
            return Ok(());
        }
        let positions = batch.positions();
        let mut rest = qkv.as_rows_mut();
        let mut tasks = Vec::new();
        let values = if shape.value_norm.is_some() { shape.key_value_heads } else { 0 };
        let parts = [(Part::Queries, shape.heads), (Part::Keys, shape.key_value_heads), (Part::Values, values)];
        for part in parts.into_iter().flat_map(|(part, heads)| std::iter::repeat_n(part, heads)) {
            let (mine, others) = rest.split_columns(shape.head_width);
            tasks.push((part, mine));
            rest = others;
        }
        let scales: Option<Vec<_>> = shape.query_scale.map(|scale| {
            let texts = batch.texts().zip(batch.keys());
            texts.flat_map(|(text, keys)| (0..text.len()).map(move |position| scale.of(position, keys.len()))).collect()
        });
        self.for_each(tasks, |(part, mut rows), _| {
            let norm = match part {
                Part::Queries => norms.map(|[queries, _]| queries),
                Part::Keys => norms.map(|[_, keys]| keys),
                Part::Values => shape.value_norm.as_ref(),
            };
            if let Some(norm) = norm {
                kernels::norm::norm(self.isa, rows.reborrow(), norm.parameters());
            }
            if let Some(rotations) = rotations.as_ref().filter(|_| part != Part::Values) {
                rotate(self.isa, rows.reborrow(), &positions, rotations.cos(), rotations.sin());
            }
            if let Some(scales) = scales.as_ref().filter(|_| part == Part::Queries) {
                scale(&mut rows, scales);
            }
        });
        Ok(())
    }

    /// Normalizes the vectors that the heads' queries form together, and those of their keys.
    fn normalize_all_heads(&self, qkv: &mut Activations, shape: &Attention<Self>, [first, second]: &[Norm; 2]) {
        let [queries, keys, _] = shape.widths();
        let (queries, rest) = qkv.as_rows_mut().split_columns(queries);
        let (keys, _) = rest.split_columns(keys);
        self.for_each(vec![(queries, first), (keys, second)], |(rows, norm), _| {
            kernels::norm::norm(self.isa, rows, norm.parameters());
        });
    }
}

/// Multiplies each row by its factor.
fn scale(rows: &mut RowsMut<'_>, factors: &[f32]) {
    for (i, factor) in factors.iter().enumerate() {
        rows.row(i).iter_mut().for_each(|x| *x *= factor);
    }
}

/// Returns the rows of the `i`-th text in the queries and in the keys.
fn span(i: usize, text: Range<usize>, keys: Range<usize>, queries: TokenSelection) -> Span {
    match queries {
        TokenSelection::All => Span { queries: text, keys, position: 0 },
        TokenSelection::First => Span { queries: i..i + 1, keys, position: 0 },
        TokenSelection::Last => Span { queries: i..i + 1, keys, position: text.len() - 1 },
    }
}
