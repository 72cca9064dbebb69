//! The weight of a linear layer in the form that its product reads.
//!
//! A precision is a [`WeightForm`], a variant of [`PackedWeight`] and an arm in each of its methods. Nothing outside this file
//! knows the form.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::Isa;
use super::bf16::Bf16Panels;
use super::buffer::Buffer;
use super::int8::{InputStatistics, Int8Weight, QuantizedRows};
use super::matmul::{self, Epilogue};
use super::numbers::MappedNumbers;
use super::panels::{PanelShape, Panels};
use super::rows::{Rows, RowsMut};
use crate::device::Dtype;
use crate::error::Result;

/// Form of the weights of a model, chosen once by its dtype.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum WeightForm {
    F32,
    BFloat16,
    Int8,
}

impl WeightForm {
    /// Returns the form that computes in `dtype`, or none where the CPU has no product for it.
    pub(crate) fn of(dtype: Dtype) -> Option<Self> {
        match dtype {
            Dtype::Float32 => Some(Self::F32),
            Dtype::BFloat16 => Some(Self::BFloat16),
            Dtype::Int8 => Some(Self::Int8),
            Dtype::Float16 => None,
        }
    }
}

/// Weights of one linear layer, or of several that share their input.
pub(crate) enum PackedWeight {
    /// Panels of float32.
    F32(Panels),
    /// Panels of bfloat16.
    BFloat16(Bf16Panels),
    /// Quantized weights.
    Int8(Int8Weight),
}

/// Rows that a weight multiplies, in the form that it needs.
#[derive(Clone, Copy)]
pub(crate) enum ProductInput<'a> {
    F32(Rows<'a>),
    Int8(&'a QuantizedRows),
}

/// Scratch memory of a product, one for each thread.
#[derive(Default)]
pub(crate) struct ProductScratch {
    f32: matmul::MatmulScratch,
    bf16: Buffer,
}

impl PackedWeight {
    /// Packs weights `(outputs, inputs)`, whose outputs stand side by side in the product. `seen` describes
    /// inputs, if any were seen: int8 distributes its steps by them.
    ///
    /// # Errors
    /// [`Error::Memory`](crate::Error::Memory).
    pub(crate) fn pack(
        isa: Isa,
        form: WeightForm,
        weights: &[Rows<'_>],
        seen: Option<&InputStatistics>,
    ) -> Result<Self> {
        match form {
            WeightForm::F32 => Panels::transposed(isa, weights).map(Self::F32),
            WeightForm::BFloat16 => Bf16Panels::transposed(isa, weights).map(Self::BFloat16),
            WeightForm::Int8 => Int8Weight::quantize(isa, weights, seen).map(Self::Int8),
        }
    }

    /// Form of the weight.
    pub(crate) fn form(&self) -> WeightForm {
        match self {
            Self::F32(_) => WeightForm::F32,
            Self::BFloat16(_) => WeightForm::BFloat16,
            Self::Int8(_) => WeightForm::Int8,
        }
    }

    /// Returns the arrays of numbers that a weight consists of, for [`PackedWeight::mapped`].
    pub(crate) fn parts(&self) -> Vec<&[f32]> {
        match self {
            Self::F32(panels) => vec![panels.numbers()],
            Self::BFloat16(panels) => vec![panels.pairs()],
            Self::Int8(weight) => weight.parts().to_vec(),
        }
    }

    /// Returns the weight of `[inputs, outputs]` whose [`PackedWeight::parts`] are in a file. `None` if there are other
    /// numbers of them.
    pub(crate) fn mapped(isa: Isa, form: WeightForm, size: [usize; 2], parts: &[MappedNumbers]) -> Option<Self> {
        let shape = PanelShape::new(isa, size[0], size[1]);
        match (form, parts) {
            (WeightForm::F32, [numbers]) => Panels::mapped(shape, numbers.clone()).map(Self::F32),
            (WeightForm::BFloat16, [pairs]) => Bf16Panels::mapped(shape, pairs.clone()).map(Self::BFloat16),
            (WeightForm::Int8, parts) => Int8Weight::mapped(isa, size, parts).map(Self::Int8),
            _ => None,
        }
    }

    /// Number of panels: the units in which threads share the outputs.
    pub(crate) fn panels(&self) -> usize {
        match self {
            Self::F32(panels) => panels.count(),
            Self::BFloat16(panels) => panels.count(),
            Self::Int8(weight) => weight.panels(),
        }
    }

    /// Returns the outputs that some panels hold.
    pub(crate) fn outputs_of(&self, panels: Range<usize>) -> Range<usize> {
        match self {
            Self::F32(weight) => weight.columns_of(panels),
            Self::BFloat16(weight) => weight.columns_of(panels),
            Self::Int8(weight) => weight.columns_of(panels),
        }
    }

    /// Computes `epilogue(x · weightᵀ)` for the outputs of some panels.
    ///
    /// # Panics
    /// Panics for an input in the form of another weight.
    pub(crate) fn product(
        &self,
        isa: Isa,
        x: ProductInput<'_>,
        panels: Range<usize>,
        epilogue: Epilogue<'_>,
        scratch: &mut ProductScratch,
        out: RowsMut<'_>,
    ) {
        match (self, x) {
            (Self::F32(weight), ProductInput::F32(x)) => {
                matmul::matmul(isa, x, weight, panels, epilogue, &mut scratch.f32, out);
            }
            (Self::BFloat16(weight), ProductInput::F32(x)) => {
                weight.product(isa, x, panels, epilogue, &mut scratch.bf16, out);
            }
            (Self::Int8(weight), ProductInput::Int8(x)) => weight.product(isa, x, panels, epilogue, out),
            (Self::F32(_) | Self::BFloat16(_), ProductInput::Int8(_)) | (Self::Int8(_), ProductInput::F32(_)) => {
                unreachable!("an input in the form of another weight")
            }
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
        let forms = [(WeightForm::F32, 3e-6), (WeightForm::BFloat16, 2e-2), (WeightForm::Int8, 1e-1)];
        for (isa, (form, tolerance)) in Isa::available().into_iter().flat_map(|isa| forms.map(|form| (isa, form))) {
            let views = weights.each_ref().map(|weight| Rows::packed(weight, inputs));
            let weight = PackedWeight::pack(isa, form, &views, None).unwrap();
            let mut codes = QuantizedRows::default();
            let input = match &weight {
                PackedWeight::Int8(weight) => {
                    codes.resize(rows, inputs);
                    let parts = codes.parts(3).zip([0..3, 3..6, 6..7]);
                    parts.for_each(|(part, rows)| {
                        weight.quantize_inputs(isa, Rows::packed(&x, inputs).range(rows), part)
                    });
                    ProductInput::Int8(&codes)
                }
                _ => ProductInput::F32(Rows::packed(&x, inputs)),
            };
            assert_eq!(weight.outputs_of(0..weight.panels()), 0..bias.len());
            let mut out = vec![f32::NAN; rows * bias.len()];
            let mut rest = RowsMut::packed(&mut out, bias.len());
            for panel in 0..weight.panels() {
                let (mine, others) = rest.split_columns(weight.outputs_of(panel..panel + 1).len());
                let epilogue = Epilogue { bias: &bias, ..Epilogue::default() };
                let scratch = &mut ProductScratch::default();
                weight.product(isa, input, panel..panel + 1, epilogue, scratch, mine);
                rest = others;
            }
            let error = largest_difference(&out, &truth);
            assert!(error < tolerance, "{} {form:?}: {error}", isa.name());
        }
    }
}
