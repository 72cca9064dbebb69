//! Packed weights of a model's linear layers: of their own, or in a file that processes share.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::linear::Weight;
use crate::error::{Error, Result};
use crate::kernels::Isa;
use crate::kernels::weight::{PackedWeight, WeightForm};
use crate::packed::{Checksum, PackedFile, PackedWriter};
use crate::threads::executor::lock;
use crate::threads::place::{self, Place};
use crate::weights::Array;

/// Way in which the linear layers of a model get their packed weights.
#[derive(Clone, Default)]
pub(crate) enum Packing {
    /// Each packs its own.
    #[default]
    Private,
    /// Each packs its own, and is noted for a file.
    Noted(Arc<Noted>),
    /// A file has them, by the places of the layers.
    Mapped(Arc<MappedWeights>),
}

/// Layers that were loaded, in any order.
#[derive(Default)]
pub(crate) struct Noted(Mutex<Vec<NotedLayer>>);

struct NotedLayer {
    place: Place,
    weight: Arc<Weight>,
    isa: Isa,
    form: WeightForm,
    source: u64,
    size: [usize; 2],
}

/// File whose weights layers take.
pub(crate) struct MappedWeights {
    file: PackedFile,
    taken: AtomicUsize,
    differs: AtomicBool,
}

impl Packing {
    /// Returns the packed weight of this thread's next layer, if a file has it.
    pub(super) fn mapped(&self, isa: Isa, form: WeightForm, weights: &[Array]) -> Option<PackedWeight> {
        let Self::Mapped(mapped) = self else { return None };
        mapped.taken.fetch_add(1, Ordering::Relaxed);
        let weight = mapped.file.weight(&place::next(), isa, form, fingerprint(weights), size(weights));
        if weight.is_none() {
            mapped.differs.store(true, Ordering::Relaxed);
        }
        weight
    }

    /// Notes this thread's next layer, which packs its own weight.
    pub(super) fn note(&self, isa: Isa, form: WeightForm, weights: &[Array], weight: &Arc<Weight>) {
        if let Self::Noted(noted) = self {
            let (source, size) = (fingerprint(weights), size(weights));
            let layer = NotedLayer { place: place::next(), weight: Arc::clone(weight), isa, form, source, size };
            lock(&noted.0).push(layer);
        }
    }
}

impl Noted {
    /// Writes the weights of all layers, packing those that are not packed yet.
    ///
    /// # Errors
    /// [`Error::Memory`]; [`Error::Io`] with the path `named`.
    pub(crate) fn write(&self, writer: &mut PackedWriter, named: &std::path::Path) -> Result<()> {
        let mut layers = lock(&self.0);
        layers.sort_by(|a, b| a.place.cmp(&b.place));
        for NotedLayer { place, weight, isa, form, source, size } in &*layers {
            let packed = weight.packed(*isa, *form, None)?;
            writer.push(place.clone(), packed, *source, *size).map_err(|error| Error::io(named, error))?;
        }
        Ok(())
    }
}

impl MappedWeights {
    pub(crate) fn new(file: PackedFile) -> Self {
        Self { file, taken: AtomicUsize::default(), differs: AtomicBool::default() }
    }

    /// Returns true if the layers that were loaded took all weights of the file, and each was packed from its own.
    pub(crate) fn fits(&self) -> bool {
        self.taken.load(Ordering::Relaxed) == self.file.len() && !self.differs.load(Ordering::Relaxed)
    }

    pub(crate) fn file(&self) -> &PackedFile {
        &self.file
    }
}

/// Returns the numbers of inputs and of outputs.
fn size(weights: &[Array]) -> [usize; 2] {
    let inputs = weights.first().map_or(0, |weight| weight.shape[1]);
    [inputs, weights.iter().map(|weight| weight.shape[0]).sum()]
}

/// Number of samples of a matrix, and numbers of a sample. Few, because reading all of them would take as long as packing.
const SAMPLES: usize = 8;
const SAMPLE: usize = 16;

/// Returns a checksum of samples of weights. It tells layers and models from each other; the state of the files tells whether
/// a model has changed.
fn fingerprint(weights: &[Array]) -> u64 {
    let mut checksum = Checksum::default();
    for weight in weights {
        checksum.add(bytemuck::cast_slice(&weight.shape));
        let numbers = weight.as_slice();
        let last = numbers.len().saturating_sub(SAMPLE);
        for sample in 0..SAMPLES {
            let first = last * sample / (SAMPLES - 1);
            checksum.add(bytemuck::cast_slice(&numbers[first..numbers.len().min(first + SAMPLE)]));
        }
    }
    checksum.value()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_tell_matrices_apart() {
        let numbers: Vec<f32> = (0..600).map(|i| i as f32).collect();
        let matrix = |rows: usize, change: Option<usize>| {
            let mut numbers = numbers.clone();
            change.iter().for_each(|i| numbers[*i] += 1.0);
            Array::new(vec![rows, 600 / rows], numbers)
        };
        let one = fingerprint(&[matrix(20, None)]);
        assert_eq!(fingerprint(&[matrix(20, None)]), one);
        for other in [matrix(30, None), matrix(20, Some(0)), matrix(20, Some(599))] {
            assert_ne!(fingerprint(&[other]), one);
        }
        let [small, none] = [1, 0].map(|rows| fingerprint(&[Array::zeros(&[rows, 5])]));
        assert_ne!(small, none);
    }
}
