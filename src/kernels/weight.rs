//! The weight of a linear layer in the form that its product reads.
//!
//! A precision is a [`WeightForm`], a variant of [`PackedWeight`] and an arm in each of its methods. Nothing outside this file
//! knows the form.

use std::ops::Range;

use super::Isa;
use super::matmul::{self, Epilogue};
use super::panels::Panels;
use super::rows::{Rows, RowsMut};
use crate::device::Dtype;
use crate::error::Result;

/// Form of the weights of a model, chosen once by its dtype.
#[derive(Clone, Copy, Debug)]
pub(crate) enum WeightForm {
    F32,
}

impl WeightForm {
    /// Returns the form that computes in `dtype`, or none where the CPU has no product for it.
    pub(crate) fn of(dtype: Dtype) -> Option<Self> {
        match dtype {
            Dtype::Float32 => Some(Self::F32),
            Dtype::Float16 | Dtype::BFloat16 => None,
        }
    }
}

/// Weights of one linear layer, or of several that share their input.
pub(crate) enum PackedWeight {
    /// Panels of float32.
    F32(Panels),
}

/// Scratch memory of a product, one for each thread.
#[derive(Default)]
pub(crate) struct ProductScratch {
    f32: matmul::MatmulScratch,
}

impl PackedWeight {
    /// Packs weights `(outputs, inputs)`, whose outputs stand side by side in the product.
    ///
    /// # Errors
    /// [`Error::Memory`](crate::Error::Memory).
    pub(crate) fn pack(isa: Isa, form: WeightForm, weights: &[Rows<'_>]) -> Result<Self> {
        match form {
            WeightForm::F32 => Panels::transposed(isa, weights).map(Self::F32),
        }
    }

    /// Number of outputs.
    pub(crate) fn outputs(&self) -> usize {
        match self {
            Self::F32(panels) => panels.columns(),
        }
    }

    /// Number of panels: the units in which threads share the outputs.
    pub(crate) fn panels(&self) -> usize {
        match self {
            Self::F32(panels) => panels.count(),
        }
    }

    /// Returns the outputs that some panels hold.
    pub(crate) fn outputs_of(&self, panels: Range<usize>) -> Range<usize> {
        match self {
            Self::F32(weight) => weight.columns_of(panels),
        }
    }

    /// Computes `epilogue(x · weightᵀ)` for the outputs of some panels.
    pub(crate) fn product(
        &self,
        isa: Isa,
        x: Rows<'_>,
        panels: Range<usize>,
        epilogue: Epilogue<'_>,
        scratch: &mut ProductScratch,
        out: RowsMut<'_>,
    ) {
        match self {
            Self::F32(weight) => matmul::matmul(isa, x, weight, panels, epilogue, &mut scratch.f32, out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{largest_difference, noise};

    /// The product of every form, with threads' shares of the outputs put together, against float64.
    #[test]
    fn every_form_multiplies_weights_side_by_side() {
        let (rows, inputs, outputs) = (7, 40, [50, 83]);
        let (x, bias) = (noise(rows * inputs, 1), noise(outputs[0] + outputs[1], 2));
        let weights = outputs.map(|outputs| noise(outputs * inputs, outputs as u64));
        let all: Vec<f32> = weights.concat();
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
        let truth: Vec<f64> = x
            .chunks(inputs)
            .flat_map(|x| all.chunks(inputs).zip(&bias).map(move |(w, bias)| dot(x, w) + f64::from(*bias)))
            .collect();
        for isa in Isa::available() {
            let form = WeightForm::of(Dtype::Float32).unwrap();
            let views = weights.each_ref().map(|weight| Rows::packed(weight, inputs));
            let weight = PackedWeight::pack(isa, form, &views).unwrap();
            assert_eq!(weight.outputs(), bias.len());
            let mut out = vec![f32::NAN; rows * bias.len()];
            let mut rest = RowsMut::packed(&mut out, bias.len());
            for panel in 0..weight.panels() {
                let (mine, others) = rest.split_columns(weight.outputs_of(panel..panel + 1).len());
                let epilogue = Epilogue { bias: &bias, ..Epilogue::default() };
                let scratch = &mut ProductScratch::default();
                weight.product(isa, Rows::packed(&x, inputs), panel..panel + 1, epilogue, scratch, mine);
                rest = others;
            }
            let error = largest_difference(&out, &truth);
            assert!(error < 3e-6, "{} {form:?}: {error}", isa.name());
        }
    }
}
