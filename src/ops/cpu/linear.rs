//! Linear layers: weights in the form of the model's dtype, and their products on all threads.

use std::sync::{Arc, Mutex, OnceLock};

use super::Cpu;
use super::packing::Packing;
use crate::error::Result;
use crate::kernels::Isa;
use crate::kernels::int8::{InputStatistics, Int8Weight, QuantizedRows};
use crate::kernels::matmul::Epilogue;
use crate::kernels::rows::{Rows, RowsMut};
use crate::kernels::weight::{PackedWeight, ProductInput, WeightForm};
use crate::threads::executor::lock;
use crate::threads::intra_op::split_evenly;
use crate::weights::Array;

/// Number of values from which on quantizing them pays for waking threads.
const LARGE: usize = 1 << 15;

/// Weight and bias of a linear layer.
pub(crate) struct Linear {
    weight: Arc<Weight>,
    outputs: usize,
    bias: Option<Array>,
}

/// Weight of a linear layer.
pub(super) struct Weight {
    /// The packed weight. An int8 weight is packed when the layer is first used: it may have to see an input before.
    packed: OnceLock<PackedWeight>,
    /// Weights `(outputs, inputs)` until they are packed.
    given: Mutex<Vec<Array>>,
}

impl Linear {
    pub(super) fn new(
        isa: Isa,
        form: WeightForm,
        packing: &Packing,
        weights: &[Array],
        bias: Option<&Array>,
    ) -> Result<Self> {
        let outputs = weights.iter().map(|weight| weight.shape[0]).sum();
        let weight = match packing.mapped(isa, form, weights) {
            Some(packed) => Weight { packed: packed.into(), given: Mutex::default() },
            None => Weight { packed: OnceLock::new(), given: Mutex::new(weights.to_vec()) },
        };
        let weight = Arc::new(weight);
        packing.note(isa, form, weights, &weight);
        if form != WeightForm::Int8 {
            weight.packed(isa, form, None)?;
        }
        Ok(Self { weight, outputs, bias: bias.cloned() })
    }

    /// Number of outputs.
    pub(super) fn outputs(&self) -> usize {
        self.outputs
    }
}

impl Weight {
    /// Packs the weight, unless it is packed already, and returns it.
    pub(super) fn packed(&self, isa: Isa, form: WeightForm, input: Option<Rows<'_>>) -> Result<&PackedWeight> {
        if let Some(packed) = self.packed.get() {
            return Ok(packed);
        }
        let mut given = lock(&self.given);
        if let Some(packed) = self.packed.get() {
            return Ok(packed);
        }
        let rows: Vec<_> = given.iter().map(|weight| Rows::packed(weight.as_slice(), weight.shape[1])).collect();
        let seen = input.map(InputStatistics::of);
        let packed = PackedWeight::pack(isa, form, &rows, seen.as_ref())?;
        given.iter().for_each(Array::forget_pages);
        given.clear();
        Ok(self.packed.get_or_init(|| packed))
    }
}

impl Cpu {
    /// Computes `x · weightᵀ` with the layer's bias and the rest of the epilogue.
    pub(super) fn product(&self, x: Rows<'_>, layer: &Linear, epilogue: Epilogue<'_>, out: RowsMut<'_>) -> Result<()> {
        let weight = layer.weight.packed(self.isa, self.form, Some(x).filter(|_| self.calibrating))?;
        // One product at a time uses a worker, so nobody waits here.
        let mut codes = lock(&self.codes);
        let input = match weight {
            PackedWeight::F32(_) | PackedWeight::BFloat16(_) => ProductInput::F32(x),
            PackedWeight::Int8(weight) => {
                self.quantize(x, weight, &mut codes);
                ProductInput::Int8(&codes)
            }
        };
        let bias = layer.bias.as_ref().map_or(&[][..], Array::as_slice);
        let mut rest = out;
        let mut tasks = Vec::new();
        for panels in split_evenly(weight.panels(), self.threads.size()) {
            let (mine, others) = rest.split_columns(weight.outputs_of(panels.clone()).len());
            tasks.push((panels, mine));
            rest = others;
        }
        self.for_each(tasks, |(panels, out), scratch| {
            weight.product(self.isa, input, panels, Epilogue { bias, ..epilogue }, &mut scratch.product, out);
        });
        Ok(())
    }

    /// Quantizes the input of a layer, large ones on all threads.
    fn quantize(&self, x: Rows<'_>, weight: &Int8Weight, codes: &mut QuantizedRows) {
        codes.resize(x.count(), x.width());
        let threads = if x.count() * x.width() < LARGE { 1 } else { self.threads.size() };
        let parts = codes.parts(x.count().div_ceil(threads).max(1));
        let tasks = parts.scan(0, |first, part| {
            let rows = *first..*first + part.count();
            *first = rows.end;
            Some((x.range(rows), part))
        });
        self.for_each(tasks.collect(), |(x, part), _| weight.quantize_inputs(self.isa, x, part));
    }
}
