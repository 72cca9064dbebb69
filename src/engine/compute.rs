//! Device, dtype and ops of a model.

#[cfg(feature = "portable")]
use crate::device::first_line;
use crate::device::{Device, Dtype};
use crate::error::{Error, Result};
use crate::kernels::weight::WeightForm;
#[cfg(feature = "portable")]
use crate::ops::Portable;
use crate::ops::{Cpu, Packing};
use crate::options::{Kernels, LoadOptions};
use crate::process;

/// Device, dtype and kernels that a model computes with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Compute {
    pub(crate) device: Device,
    pub(crate) dtype: Dtype,
    kernels: Kernels,
}

/// Ops of a device.
pub(crate) enum ComputeOps {
    Cpu(Cpu),
    #[cfg(feature = "portable")]
    Portable(Portable),
}

impl Compute {
    /// Returns the choice of a caller's options. The default device is the best one.
    pub(crate) fn of(options: &LoadOptions) -> Self {
        let device = options.device.unwrap_or_else(|| {
            let best = Device::best();
            log::info!("device: {best}");
            best
        });
        Self { device, dtype: options.dtype, kernels: options.kernels }
    }

    /// Returns the same choice on another device.
    pub(crate) fn on(self, device: Device) -> Self {
        Self { device, ..self }
    }

    /// Returns true if layers pack their weights, for this crate's kernels.
    pub(crate) fn packs(self) -> bool {
        self.device == Device::Cpu && self.kernels == Kernels::Native
    }

    /// # Errors
    /// [`Error::Device`] if this build or machine lacks the device, or the device doesn't support the dtype.
    pub(crate) fn ops(self, packing: Packing) -> Result<ComputeOps> {
        if self.packs() {
            let Some(form) = WeightForm::of(self.dtype) else {
                return Err(self.unable(format!("computes in dtype float32, bfloat16 or int8, got {}", self.dtype)));
            };
            return Ok(ComputeOps::Cpu(Cpu::new(process::isa()?, form, packing)));
        }
        self.by_candle()
    }

    #[cfg(feature = "portable")]
    fn by_candle(self) -> Result<ComputeOps> {
        let Some(dtype) = self.dtype.candle() else {
            return Err(self.unable(format!("computes in dtype float32, float16 or bfloat16, got {}", self.dtype)));
        };
        let ops = Portable::new(self.device.open()?, dtype);
        let ops =
            ops.map_err(|error| self.unable(format!("can't compute in dtype {}: {}", self.dtype, first_line(&error))))?;
        Ok(ComputeOps::Portable(ops))
    }

    /// Fails: the features of other devices bring candle's operations.
    #[cfg(not(feature = "portable"))]
    fn by_candle(self) -> Result<ComputeOps> {
        let problem = |_| self.unable("needs the feature portable".to_owned());
        Err(self.device.open().map_or_else(|error| error, problem))
    }

    fn unable(self, problem: String) -> Error {
        Error::Device { device: self.device.to_string(), problem }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Engine;
    use crate::models::Model;
    use crate::observer::NoObserver;
    use crate::options::EncodeOptions;

    /// candle's ops on the CPU stand for another device.
    #[test]
    fn a_twin_has_the_same_settings_and_numbers_and_is_loaded_once() {
        let on_cpu = LoadOptions { device: Some(Device::Cpu), ..LoadOptions::default() };
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tiny/bert-mean-normalize/model");
        let mut model = Model::from_dir_with(folder, &on_cpu).unwrap();
        model.set_max_seq_length(9).unwrap();
        let compute = Compute { kernels: Kernels::Portable, ..Compute::of(&on_cpu) };
        let twin = Model { engine: model.engine.at(compute, &NoObserver).unwrap(), ..model.clone() };
        assert_eq!(twin.engine.loaded.variant.compute, compute);
        assert_eq!(twin.max_seq_length(), Some(9));
        let texts = ["A lamp lights the room, and the street, and the whole of the town.", "It is small."];
        for embed in [Model::encode_query::<&str>, Model::encode_document::<&str>] {
            let [own, other] =
                [&model, &twin].map(|model| embed(model, &texts, &EncodeOptions::default()).unwrap().into_vec());
            assert!(own.iter().zip(&other).all(|(x, y)| (x - y).abs() < 1e-5));
        }
        let (own, other) = (&model.engine, &twin.engine);
        let same = |a: &Engine, b: &Engine| std::ptr::eq(&*a.loaded, &*b.loaded);
        assert!(same(&own.at(compute, &NoObserver).unwrap(), other));
        assert!(same(&other.at(compute, &NoObserver).unwrap(), other));
        assert!(same(&other.at(own.loaded.variant.compute, &NoObserver).unwrap(), own));
        assert!(same(&own.on(Device::Cpu, &NoObserver).unwrap(), own));
    }
}
