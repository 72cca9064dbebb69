//! Products of int8: weights of 8 bits with a scale for each output, rows of 8 bits with a scale for each row, sums in i32.
//!
//! A column of the input with large numbers would take the codes of all others. So its numbers are divided by a factor and
//! its weights multiplied by it, which leaves the product unchanged (Xiao et al., 2023, SmoothQuant, with α = 1/2). What
//! rounding the weights adds to an output for the mean input is subtracted (Nagel et al., 2019). Measured with
//! all-mpnet-base-v2, this takes a tenth off the loss; subtracting the means before quantizing adds a fifth.

mod codes;
mod dot;
mod tiles;

use std::ops::Range;

pub(crate) use codes::{CodesMut, QuantizedRows};
use dot::{DotInstructions, Plain};
use tiles::Strip;

use super::Isa;
use super::activation::ApplyForInt8;
use super::matmul::Epilogue;
use super::numbers::{MappedNumbers, Numbers};
use super::panels::PanelLayout;
use super::rows::{Rows, RowsMut};
use crate::error::Result;

/// Number of inputs that one instruction multiplies and adds in a lane.
const GROUP: usize = 4;
/// 1.5 · 2²³. A small number added to it is rounded to a whole one, ties to even, which stands in the lowest bits.
const ROUND: f32 = 12_582_912.0;
/// Greatest number of columns of a panel.
const MAX_WIDTH: usize = 48;

/// Means and sizes of the columns of a layer's input.
pub(crate) struct InputStatistics {
    means: Vec<f32>,
    /// Mean of order 8, `(Σ x⁸ / n)^⅛`. Measured with all-mpnet-base-v2: orders from 4 to 12 lose alike; order 2 and the
    /// largest number, which one token may have, lose a quarter more.
    sizes: Vec<f32>,
}

impl InputStatistics {
    /// Statistics of rows.
    pub(crate) fn of(x: Rows<'_>) -> Self {
        let (mut sums, mut powers) = (vec![0.0; x.width()], vec![0.0; x.width()]);
        for row in x.iter() {
            for ((sum, power), x) in sums.iter_mut().zip(&mut powers).zip(row) {
                let x = f64::from(*x);
                let square = x * x;
                *sum += x;
                *power += (square * square) * (square * square);
            }
        }
        let count = x.count().max(1) as f64;
        // One text that overflows must not spoil the layer for all others.
        let mean = |sum: f64| if sum.is_finite() { (sum / count) as f32 } else { 0.0 };
        Self {
            means: sums.into_iter().map(mean).collect(),
            sizes: powers.into_iter().map(|power| (power / count).powf(0.125) as f32).collect(),
        }
    }
}

/// Quantized weights of a linear layer, in panels of columns: for each group of inputs four weights of each column.
pub(crate) struct Int8Weight {
    /// Four weights in each number.
    codes: Numbers,
    /// Factors of the columns of the input.
    factors: Vec<f32>,
    /// Scale and sum of the weights of each output, and what rounding them took from it for the mean input; completed by
    /// zeros to whole vectors.
    steps: Vec<f32>,
    totals: Vec<i32>,
    offsets: Vec<f32>,
    outputs: usize,
    dot: DotInstructions,
}

impl DotInstructions {
    fn of(isa: Isa) -> Self {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2(_) => dot::Avx2::try_new().map(Self::Avx2),
            #[cfg(target_arch = "x86_64")]
            Isa::AvxVnni(_) => dot::AvxVnni::try_new().map(Self::AvxVnni),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512(_) | Isa::Amx(_) => {
                (dot::Avx512Vnni::try_new().map(Self::Avx512Vnni)).or_else(|| dot::Avx2::try_new().map(Self::Avx2))
            }
            #[cfg(target_arch = "aarch64")]
            Isa::Neon(_) => dot::Sdot::try_new().map(Self::Sdot),
            _ => None,
        }
        .unwrap_or(Self::Plain(Plain))
    }

    /// Returns the number that the greatest code of a weight stands for.
    ///
    /// AVX2 adds products in pairs, in i16: of two neighbours, codes of one sign must add up to at most 128, because
    /// 255 · 128 < 2¹⁵.
    fn greatest(self, weights: impl Iterator<Item = f32> + Clone) -> f32 {
        let largest = weights.clone().fold(0.0, |largest, weight| greater(largest, weight.abs()));
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => {
                let others = weights.clone().skip(1).chain([0.0]);
                let pairs = weights
                    .zip(others)
                    .step_by(2)
                    .map(|(a, b)| f32::max(a.max(0.0) + b.max(0.0), -(a.min(0.0) + b.min(0.0))));
                pairs.fold(largest, greater)
            }
            _ => largest,
        }
    }
}

/// Describes the layout of an instruction set's weights.
pub(super) fn layout(isa: Isa) -> String {
    let dot = DotInstructions::of(isa);
    let (lanes, vectors) = dot.panel();
    format!("{dot:?}, panels of {vectors} vectors of {lanes} numbers")
}

/// Greatest code of a weight.
const LIMIT: f32 = 127.0;

/// Returns the greater number, NaN if one is.
fn greater(a: f32, b: f32) -> f32 {
    if b > a || b.is_nan() { b } else { a }
}

impl Int8Weight {
    /// Quantizes weights `(outputs, inputs)`, whose outputs stand side by side. `seen` describes
    /// inputs, if any were seen.
    ///
    /// # Errors
    /// [`Error::Memory`](crate::Error::Memory).
    pub(crate) fn quantize(isa: Isa, weights: &[Rows<'_>], seen: Option<&InputStatistics>) -> Result<Self> {
        let dot = DotInstructions::of(isa);
        let inputs = weights.first().map_or(0, |weights| weights.width());
        let outputs = weights.iter().map(|weights| weights.count()).sum();
        let smoothing = match seen {
            Some(seen) => smoothing(weights, &seen.sizes),
            None => vec![1.0; inputs],
        };
        let zeros = vec![0.0; inputs];
        let means = seen.map_or(&zeros, |seen| &seen.means);
        let mut weight = Self {
            codes: Numbers::default(),
            factors: smoothing.iter().map(|factor| 1.0 / factor).collect(),
            steps: Vec::new(),
            totals: Vec::new(),
            offsets: Vec::new(),
            outputs,
            dot,
        };
        let layout = weight.layout();
        let len = layout.columns() * weight.groups();
        weight.codes.own().try_resize(len, "a weight matrix")?;
        weight.steps.resize(layout.columns(), 0.0);
        weight.totals.resize(layout.columns(), 0);
        weight.offsets.resize(layout.columns(), 0.0);
        let mut codes = vec![0; weight.groups() * GROUP];
        let mut rows = weights.iter().flat_map(|weights| weights.iter());
        for panel in 0..layout.panels() {
            let columns = layout.columns_of(panel..panel + 1, outputs);
            let first = columns.start;
            for (column, row) in columns.zip(&mut rows) {
                weight.steps[column] = quantize_row(row, &smoothing, dot, &mut codes);
                weight.offsets[column] = lost(row, &weight.factors, weight.steps[column], &codes, means);
                weight.totals[column] = codes.iter().map(|code| i32::from(*code)).sum();
                weight.put(panel, column - first, &codes);
            }
        }
        Ok(weight)
    }

    /// Returns a weight whose parts, like [`Int8Weight::parts`], are in a file; `None` if they have other sizes. The codes
    /// stay there, and the rest, which is small, is copied.
    pub(super) fn mapped(isa: Isa, [inputs, outputs]: [usize; 2], parts: &[MappedNumbers]) -> Option<Self> {
        let [codes, factors, steps, totals, offsets] = parts else { return None };
        let weight = Self {
            codes: codes.clone().into(),
            factors: factors.to_vec(),
            steps: steps.to_vec(),
            totals: bytemuck::cast_slice(totals).to_vec(),
            offsets: offsets.to_vec(),
            outputs,
            dot: DotInstructions::of(isa),
        };
        let columns = weight.layout().columns();
        let lens = [weight.codes.len(), weight.factors.len(), steps.len(), totals.len(), offsets.len()];
        (lens == [columns * weight.groups(), inputs, columns, columns, columns]).then_some(weight)
    }

    /// Codes, factors, steps, totals and offsets.
    pub(super) fn parts(&self) -> [&[f32]; 5] {
        [&self.codes, &self.factors, &self.steps, bytemuck::cast_slice(&self.totals), &self.offsets]
    }

    /// Stores the codes of a panel's column.
    fn put(&mut self, panel: usize, column: usize, codes: &[i8]) {
        let (columns, groups) = (self.layout().whole_columns(panel), self.groups());
        let numbers: &mut [u32] = bytemuck::cast_slice_mut(self.codes.own());
        let panel = &mut numbers[columns.start * groups..columns.end * groups];
        for (group, codes) in panel.chunks_exact_mut(columns.len()).zip(codes.as_chunks::<GROUP>().0) {
            group[column] = u32::from_le_bytes(codes.map(i8::cast_unsigned));
        }
    }

    fn layout(&self) -> PanelLayout {
        let (lanes, max_vectors) = self.dot.panel();
        PanelLayout { vectors: self.outputs.div_ceil(lanes), max_vectors, lanes }
    }

    fn groups(&self) -> usize {
        self.factors.len().div_ceil(GROUP)
    }

    /// Returns a panel's codes.
    fn panel(&self, panel: usize) -> &[u32] {
        let (columns, groups) = (self.layout().whole_columns(panel), self.groups());
        &bytemuck::cast_slice(&self.codes)[columns.start * groups..columns.end * groups]
    }

    /// Returns scales, sums and offsets of the outputs from a column on.
    fn scales(&self, column: usize) -> (&[f32], &[i32], &[f32]) {
        (&self.steps[column..], &self.totals[column..], &self.offsets[column..])
    }

    /// Number of outputs.
    #[cfg(test)]
    pub(crate) fn outputs(&self) -> usize {
        self.outputs
    }

    /// Number of panels.
    pub(crate) fn panels(&self) -> usize {
        self.layout().panels()
    }

    /// Returns the outputs that some panels hold.
    pub(crate) fn columns_of(&self, panels: Range<usize>) -> Range<usize> {
        self.layout().columns_of(panels, self.outputs)
    }

    /// Quantizes inputs of this layer.
    pub(crate) fn quantize_inputs(&self, isa: Isa, x: Rows<'_>, codes: CodesMut<'_>) {
        codes.quantize(isa, x, &self.factors);
    }

    /// Computes `epilogue(x · weightᵀ)` for the outputs of some panels.
    pub(crate) fn product(
        &self,
        isa: Isa,
        x: &QuantizedRows,
        panels: Range<usize>,
        epilogue: Epilogue<'_>,
        mut out: RowsMut<'_>,
    ) {
        let all = self.columns_of(panels.clone());
        assert!(out.width() == all.len() && out.count() == x.count());
        for panel in panels {
            let columns = self.columns_of(panel..panel + 1);
            let epilogue = epilogue.columns(columns.clone());
            let mut out = out.columns(columns.start - all.start..columns.end - all.start);
            self.dot.run(Strip { x, weight: self, panel, epilogue, out: out.reborrow() });
            isa.run(ApplyForInt8(epilogue.activation, out));
        }
    }
}

/// Returns the factors of a layer's weights by column of the input: √(size of inputs / largest weight).
fn smoothing(weights: &[Rows<'_>], sizes: &[f32]) -> Vec<f32> {
    let mut largest = vec![0.0f32; sizes.len()];
    for row in weights.iter().flat_map(|weights| weights.iter()) {
        largest.iter_mut().zip(row).for_each(|(largest, weight)| *largest = largest.max(weight.abs()));
    }
    let factor = |(input, weight): (&f32, f32)| (input / weight).sqrt();
    let usable = |factor: f32| if factor.is_normal() && (1.0 / factor).is_normal() { factor } else { 1.0 };
    sizes.iter().zip(largest).map(factor).map(usable).collect()
}

/// Quantizes the weights of one output. Returns their scale, NaN if a weight is not finite.
fn quantize_row(weights: &[f32], smoothing: &[f32], dot: DotInstructions, codes: &mut [i8]) -> f32 {
    let scaled = weights.iter().zip(smoothing).map(|(weight, factor)| weight * factor);
    let greatest = dot.greatest(scaled.clone());
    let inverse = if greatest == 0.0 { 0.0 } else { LIMIT / greatest };
    codes.iter_mut().zip(scaled).for_each(|(code, weight)| *code = (weight * inverse + ROUND).to_bits() as i8);
    greatest / LIMIT
}

/// Returns the product of the mean input with what rounding took from an output's weights.
fn lost(weights: &[f32], factors: &[f32], step: f32, codes: &[i8], means: &[f32]) -> f32 {
    let rounded = codes.iter().zip(factors).map(|(code, factor)| f32::from(*code) * step * factor);
    weights.iter().zip(rounded).zip(means).map(|((weight, rounded), mean)| (weight - rounded) * mean).sum()
}

#[cfg(test)]
mod tests;
