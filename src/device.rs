//! Devices and number types of models.

use std::fmt;
use std::str::FromStr;

#[cfg(feature = "portable")]
use candle_core::DType;

use crate::error::{Error, Result};

/// Device that a model computes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Device {
    /// CPU.
    Cpu,
    /// NVIDIA GPU by its number, from 0; with the feature `cuda`.
    Cuda(usize),
    /// GPU of an Apple computer; with the feature `metal`.
    Metal,
}

impl Device {
    /// Returns the devices that this build and this machine have: GPUs first, the CPU last.
    pub fn available() -> Vec<Self> {
        let cuda = (0..cuda_devices()).map(Self::Cuda);
        let metal = Some(Self::Metal).filter(|metal| metal.open().is_ok());
        cuda.chain(metal).chain([Self::Cpu]).collect()
    }

    /// Returns the first available device.
    pub fn best() -> Self {
        Self::available().first().copied().unwrap_or(Self::Cpu)
    }

    /// Opens candle's device.
    ///
    /// # Errors
    /// [`Error::Device`] if this build or this machine lacks it.
    pub(crate) fn open(self) -> Result<candle_core::Device> {
        let lacking = |problem: String| Error::Device { device: self.to_string(), problem };
        let feature = match self {
            Self::Cpu => return Ok(candle_core::Device::Cpu),
            Self::Cuda(_) if cfg!(feature = "cuda") => None,
            Self::Metal if cfg!(feature = "metal") => None,
            Self::Cuda(_) => Some("cuda"),
            Self::Metal => Some("metal"),
        };
        if let Some(feature) = feature {
            return Err(lacking(format!("not in this build: it was made without the feature {feature}")));
        }
        let opened = match self {
            Self::Cuda(index) => candle_core::Device::new_cuda(index),
            // candle panics on a computer without one.
            _ => std::panic::catch_unwind(|| candle_core::Device::new_metal(0))
                .unwrap_or_else(|_| Err(candle_core::Error::msg("no GPU"))),
        };
        opened.map_err(|error| lacking(format!("not on this machine: {}", first_line(&error))))
    }
}

/// Returns candle's message without its backtrace.
pub(crate) fn first_line(error: &candle_core::Error) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

#[cfg(feature = "cuda")]
fn cuda_devices() -> usize {
    use candle_core::cuda_backend::cudarc::driver::CudaContext;
    CudaContext::device_count().ok().and_then(|count| usize::try_from(count).ok()).unwrap_or(0)
}

#[cfg(not(feature = "cuda"))]
fn cuda_devices() -> usize {
    0
}

impl fmt::Display for Device {
    /// Writes the name that [`Device::from_str`] takes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
            Self::Metal => f.write_str("mps"),
        }
    }
}

impl FromStr for Device {
    type Err = Error;

    /// Takes torch's names: `cpu`, `cuda` (the first), `cuda:1`, `mps`; and `metal`, which is `mps`. Loading a model finds
    /// out if the device exists.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for another name.
    fn from_str(name: &str) -> Result<Self> {
        let numbered = || name.strip_prefix("cuda:").and_then(|index| index.parse().ok()).map(Self::Cuda);
        let known = match name {
            "cpu" => Some(Self::Cpu),
            "cuda" => Some(Self::Cuda(0)),
            "mps" | "metal" => Some(Self::Metal),
            _ => numbered(),
        };
        let problem = || format!("must be one of cpu, cuda, cuda:N, mps, metal, got {name:?}");
        known.ok_or_else(|| Error::argument("device", problem()))
    }
}

/// Type of the numbers that a model computes in. Weights of other types are converted; results are float32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Dtype {
    /// float32, on every device.
    #[default]
    Float32,
    /// float16, on GPUs: 11 bits of precision, about three digits. Numbers beyond 65,504 overflow.
    Float16,
    /// bfloat16: 8 bits of precision, about two digits, with the range of float32. A CPU keeps weights in it and adds up in
    /// float32.
    BFloat16,
    /// int8, on a CPU: the inputs and weights of linear layers have 8 bits, all else is float32. Loading quantizes the
    /// weights.
    Int8,
}

impl Dtype {
    const ALL: [Self; 4] = [Self::Float32, Self::Float16, Self::BFloat16, Self::Int8];

    /// Returns candle's type, or none where candle's ops can't compute in it.
    #[cfg(feature = "portable")]
    pub(crate) fn candle(self) -> Option<DType> {
        match self {
            Self::Float32 => Some(DType::F32),
            Self::Float16 => Some(DType::F16),
            Self::BFloat16 => Some(DType::BF16),
            Self::Int8 => None,
        }
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Float32 => "float32",
            Self::Float16 => "float16",
            Self::BFloat16 => "bfloat16",
            Self::Int8 => "int8",
        })
    }
}

impl FromStr for Dtype {
    type Err = Error;

    /// Takes torch's names: `float32`, `float16`, `bfloat16`, `int8`.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for another name.
    fn from_str(name: &str) -> Result<Self> {
        let known = Self::ALL.into_iter().find(|dtype| dtype.to_string() == name);
        let problem = || format!("must be one of float32, float16, bfloat16, int8, got {name:?}");
        known.ok_or_else(|| Error::argument("dtype", problem()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_written() {
        for (name, device) in [("cpu", Device::Cpu), ("cuda:0", Device::Cuda(0)), ("cuda:12", Device::Cuda(12))] {
            assert_eq!(name.parse::<Device>().unwrap(), device);
            assert_eq!(device.to_string(), name);
        }
        assert_eq!("cuda".parse::<Device>().unwrap(), Device::Cuda(0));
        assert_eq!("metal".parse::<Device>().unwrap(), Device::Metal);
        assert_eq!(Device::Metal.to_string().parse::<Device>().unwrap(), Device::Metal);
        for name in ["", "gpu", "cuda:", "cuda:x", "cuda:-1", "CPU"] {
            assert!(matches!(name.parse::<Device>(), Err(Error::InvalidArgument { .. })), "{name}");
        }
        for dtype in Dtype::ALL {
            assert_eq!(dtype.to_string().parse::<Dtype>().unwrap(), dtype);
        }
        assert!(matches!("half".parse::<Dtype>(), Err(Error::InvalidArgument { .. })));
    }

    #[test]
    fn the_processor_is_always_there_and_comes_last() {
        assert_eq!(Device::available().last(), Some(&Device::Cpu));
        assert_eq!(Device::available().first(), Some(&Device::best()));
    }

    /// Device 99 is missing on every machine, and in a build without GPUs all GPUs are.
    #[test]
    fn what_lacks_is_said() {
        let Err(Error::Device { device, problem }) = Device::Cuda(99).open() else { panic!("there are 100 GPUs") };
        assert_eq!(device, "cuda:99");
        let expected = if cfg!(feature = "cuda") { "not on this machine" } else { "not in this build" };
        assert!(problem.starts_with(expected), "{problem}");
        if !cfg!(feature = "metal") {
            assert!(Device::Metal.open().unwrap_err().to_string().contains("without the feature metal"));
        }
    }
}
