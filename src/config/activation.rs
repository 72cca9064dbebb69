//! Activation functions, by the names that transformers and torch give them.

use std::path::Path;

use crate::error::{Error, Result};

/// An activation function, applied element by element, with the default parameters of torch's class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Activation {
    #[default]
    Identity,
    /// Exact
    Gelu,
    /// GELU's approximation by tanh
    GeluTanh,
    /// GELU's approximation by the sigmoid: `x σ(1.702 x)`
    QuickGelu,
    Relu,
    Silu,
    Tanh,
    Sigmoid,
    // Rare functions, computed by the scalar definition.
    Relu6,
    LeakyRelu,
    Elu,
    Selu,
    Celu,
    Mish,
    Hardtanh,
    Hardsigmoid,
    Hardswish,
    Softplus,
    Softsign,
    LogSigmoid,
    Tanhshrink,
    Softshrink,
    Hardshrink,
}

/// Names of torch's classes.
const CLASSES: [(&str, Activation); 21] = [
    ("Sigmoid", Activation::Sigmoid),
    ("Identity", Activation::Identity),
    ("ELU", Activation::Elu),
    ("Hardshrink", Activation::Hardshrink),
    ("Hardsigmoid", Activation::Hardsigmoid),
    ("Hardtanh", Activation::Hardtanh),
    ("Hardswish", Activation::Hardswish),
    ("LeakyReLU", Activation::LeakyRelu),
    ("LogSigmoid", Activation::LogSigmoid),
    ("ReLU", Activation::Relu),
    ("ReLU6", Activation::Relu6),
    ("SELU", Activation::Selu),
    ("CELU", Activation::Celu),
    ("GELU", Activation::Gelu),
    ("SiLU", Activation::Silu),
    ("Mish", Activation::Mish),
    ("Softplus", Activation::Softplus),
    ("Softshrink", Activation::Softshrink),
    ("Softsign", Activation::Softsign),
    ("Tanh", Activation::Tanh),
    ("Tanhshrink", Activation::Tanhshrink),
];

impl Activation {
    #[cfg(test)]
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        CLASSES.into_iter().map(|(_, activation)| activation).chain([Self::GeluTanh, Self::QuickGelu])
    }

    /// Parses a name of transformers' configs, such as `gelu_new`.
    pub(crate) fn from_transformers(name: &str, file: &Path, key: &str) -> Result<Self> {
        Ok(match name {
            "gelu" | "gelu_python" => Self::Gelu,
            "gelu_new" | "gelu_pytorch_tanh" | "gelu_python_tanh" | "gelu_fast" | "gelu_accurate" => Self::GeluTanh,
            "quick_gelu" => Self::QuickGelu,
            "hardswish" => Self::Hardswish,
            "leaky_relu" => Self::LeakyRelu,
            "mish" => Self::Mish,
            "relu" => Self::Relu,
            "relu6" => Self::Relu6,
            "silu" | "swish" => Self::Silu,
            "tanh" => Self::Tanh,
            "sigmoid" => Self::Sigmoid,
            "linear" => Self::Identity,
            _ => {
                let what = format!("{}: {key}", file.display());
                return Err(Error::unsupported(
                    what,
                    name,
                    "gelu, gelu_new, gelu_pytorch_tanh, gelu_fast, quick_gelu, relu, relu6, leaky_relu, silu, swish, hardswish, mish, \
                     tanh, sigmoid, linear",
                ));
            }
        })
    }

    /// Parses the dotted name of a torch class, such as `torch.nn.modules.activation.Tanh`.
    pub(crate) fn from_torch(name: &str, file: &Path, key: &str) -> Result<Self> {
        torch_class(name).and_then(Self::of_class).ok_or_else(|| {
            let known: Vec<_> = Self::classes().collect();
            Error::unsupported(format!("{}: {key}", file.display()), name, format!("torch.nn's {}", known.join(", ")))
        })
    }

    /// Iterates over the names of torch's classes.
    pub(crate) fn classes() -> impl Iterator<Item = &'static str> {
        CLASSES.into_iter().map(|(class, _)| class)
    }

    /// Finds the function of a torch class by its name.
    pub(crate) fn of_class(class: &str) -> Option<Self> {
        CLASSES.into_iter().find(|(known, _)| *known == class).map(|(_, activation)| activation)
    }

    /// Returns the name of torch's class; empty for GELU's approximations, which have no class with default parameters.
    pub(crate) fn class(self) -> &'static str {
        CLASSES.into_iter().find(|(_, activation)| *activation == self).map_or("", |(class, _)| class)
    }

    /// Computes the function of one number by its definition.
    pub(crate) fn of(self, x: f64) -> f64 {
        const SELU_SCALE: f64 = 1.050_700_987_355_480_5;
        const SELU_ALPHA: f64 = 1.673_263_242_354_377_2;
        // Comparisons are written so that NaN passes through.
        let below_0 = |slope: &dyn Fn(f64) -> f64| if x > 0.0 { x } else { slope(x) };
        match self {
            Self::Identity => x,
            Self::Gelu => 0.5 * x * candle_core::cpu::erf::erfc_f64(-x / std::f64::consts::SQRT_2),
            Self::GeluTanh => {
                x / (1.0 + (-2.0 * (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3))).exp())
            }
            Self::QuickGelu => x / (1.0 + (-1.702 * x).exp()),
            Self::Relu => x.clamp(0.0, f64::INFINITY),
            Self::Silu => x / (1.0 + (-x).exp()),
            Self::Tanh => x.tanh(),
            Self::Sigmoid => 1.0 / (1.0 + (-x).exp()),
            Self::Relu6 => x.clamp(0.0, 6.0),
            Self::LeakyRelu => below_0(&|x| 0.01 * x),
            Self::Elu | Self::Celu => below_0(&f64::exp_m1),
            Self::Selu => SELU_SCALE * below_0(&|x| SELU_ALPHA * x.exp_m1()),
            Self::Mish => x * x.exp().ln_1p().tanh(),
            Self::Hardtanh => x.clamp(-1.0, 1.0),
            Self::Hardsigmoid => (x + 3.0).clamp(0.0, 6.0) / 6.0,
            Self::Hardswish => x * (x + 3.0).clamp(0.0, 6.0) / 6.0,
            Self::Softplus => {
                if x > 20.0 {
                    x
                } else {
                    x.exp().ln_1p()
                }
            }
            Self::Softsign => x / (1.0 + x.abs()),
            Self::LogSigmoid => x.min(0.0) - (-x.abs()).exp().ln_1p(),
            Self::Tanhshrink => x - x.tanh(),
            Self::Softshrink => {
                if x.abs() > 0.5 {
                    x - 0.5_f64.copysign(x)
                } else {
                    x * 0.0
                }
            }
            Self::Hardshrink => {
                if x.abs() <= 0.5 {
                    0.0
                } else {
                    x
                }
            }
        }
    }
}

/// Returns the class in a dotted name of torch.
pub(crate) fn torch_class(name: &str) -> Option<&str> {
    name.strip_prefix("torch.nn.").and_then(|rest| rest.rsplit('.').next())
}

#[cfg(test)]
mod tests {
    use std::f64::consts::LN_2;

    use super::*;

    /// Computed with Python's math module from the formulas in torch's documentation.
    const X: [f64; 10] = [-7.25, -2.5, -0.75, -0.25, 0.0, 0.375, 0.875, 2.0, 6.5, 30.0];
    #[rustfmt::skip]
    const VALUES: [(&str, [f64; 10]); 21] = [
        ("Sigmoid", [0.000_709_670_399_101, 0.075_858_180_021_2, 0.320_821_300_825, 0.437_823_499_114, 0.5, 0.592_666_599_954, 0.705_785_027_837, 0.880_797_077_978, 0.998_498_817_743, 1.0]),
        ("Identity", [-7.25, -2.5, -0.75, -0.25, 0.0, 0.375, 0.875, 2.0, 6.5, 30.0]),
        ("ELU", [-0.999_289_825_611, -0.917_915_001_376, -0.527_633_447_259, -0.221_199_216_929, 0.0, 0.375, 0.875, 2.0, 6.5, 30.0]),
        ("Hardshrink", [-7.25, -2.5, -0.75, 0.0, 0.0, 0.0, 0.875, 2.0, 6.5, 30.0]),
        ("Hardsigmoid", [0.0, 0.083_333_333_333_3, 0.375, 0.458_333_333_333, 0.5, 0.562_5, 0.645_833_333_333, 0.833_333_333_333, 1.0, 1.0]),
        ("Hardtanh", [-1.0, -1.0, -0.75, -0.25, 0.0, 0.375, 0.875, 1.0, 1.0, 1.0]),
        ("Hardswish", [0.0, -0.208_333_333_333, -0.281_25, -0.114_583_333_333, 0.0, 0.210_937_5, 0.565_104_166_667, 1.666_666_666_67, 6.5, 30.0]),
        ("LeakyReLU", [-0.072_5, -0.025, -0.007_5, -0.002_5, 0.0, 0.375, 0.875, 2.0, 6.5, 30.0]),
        ("LogSigmoid", [-7.250_709_922_33, -2.578_889_734_29, -1.136_871_006_11, -0.825_939_419_879, -LN_2, -0.523_123_264_14, -0.348_444_581_005, -0.126_928_011_043, -0.001_502_310_159_75, -9.35762296884e-14]),
        ("ReLU", [0.0, 0.0, 0.0, 0.0, 0.0, 0.375, 0.875, 2.0, 6.5, 30.0]),
        ("ReLU6", [0.0, 0.0, 0.0, 0.0, 0.0, 0.375, 0.875, 2.0, 6.0, 6.0]),
        ("SELU", [-1.756_850_783_72, -1.613_785_758_87, -0.927_632_015_835, -0.388_890_197_478, 0.0, 0.394_012_870_258, 0.919_363_363_936, 2.101_401_974_71, 6.829_556_417_81, 31.521_029_620_7]),
        ("CELU", [-0.999_289_825_611, -0.917_915_001_376, -0.527_633_447_259, -0.221_199_216_929, 0.0, 0.375, 0.875, 2.0, 6.5, 30.0]),
        ("GELU", [-1.51079716504e-12, -0.015_524_163_314_4, -0.169_970_514_283, -0.100_323_418_579, 0.0, 0.242_313_662_502, 0.708_061_416_254, 1.954_499_736_1, 6.499_999_999_74, 30.0]),
        ("SiLU", [-0.005_145_110_393_48, -0.189_645_450_053, -0.240_615_975_618, -0.109_455_874_779, 0.0, 0.222_249_974_983, 0.617_561_899_357, 1.761_594_155_96, 6.490_242_315_33, 30.0]),
        ("Mish", [-0.005_146_936_059_29, -0.196_816_203_907, -0.276_494_714_505, -0.129_926_963_679, 0.0, 0.268_268_559_714, 0.735_583_910_984, 1.943_958_959_53, 6.499_970_703_94, 30.0]),
        ("Softplus", [0.000_709_922_334_339, 0.078_889_734_292_5, 0.386_871_006_115, 0.575_939_419_879, LN_2, 0.898_123_264_14, 1.223_444_581_01, 2.126_928_011_04, 6.501_502_310_16, 30.0]),
        ("Softshrink", [-6.75, -2.0, -0.25, 0.0, 0.0, 0.0, 0.375, 1.5, 6.0, 29.5]),
        ("Softsign", [-0.878_787_878_788, -0.714_285_714_286, -0.428_571_428_571, -0.2, 0.0, 0.272_727_272_727, 0.466_666_666_667, 0.666_666_666_667, 0.866_666_666_667, 0.967_741_935_484]),
        ("Tanh", [-0.999_998_991_305, -0.986_614_298_151, -0.635_148_952_387, -0.244_918_662_404, 0.0, 0.358_357_398_351, 0.703_905_603_937, 0.964_027_580_076, 0.999_995_479_351, 1.0]),
        ("Tanhshrink", [-6.250_001_008_69, -1.513_385_701_85, -0.114_851_047_613, -0.005_081_337_596_29, 0.0, 0.016_642_601_649_2, 0.171_094_396_063, 1.035_972_419_92, 5.500_004_520_65, 29.0]),
    ];

    #[test]
    fn activations_are_what_torchs_documentation_says() {
        assert!(VALUES.map(|(class, _)| class).into_iter().eq(Activation::classes()));
        for (class, values) in VALUES {
            let activation = Activation::of_class(class).unwrap();
            assert_eq!(activation.class(), class);
            for (x, value) in X.into_iter().zip(values) {
                let got = activation.of(x);
                assert!((got - value).abs() < 1e-10, "{class}({x}) is {got}, must be {value}");
            }
        }
    }

    #[test]
    fn activations_keep_nan() {
        for activation in Activation::all() {
            assert!(activation.of(f64::NAN).is_nan(), "{activation:?}");
        }
    }

    #[test]
    fn names_are_those_of_torchs_classes() {
        let file = Path::new("config.json");
        for name in ["torch.nn.modules.activation.LeakyReLU", "torch.nn.LeakyReLU"] {
            assert_eq!(Activation::from_torch(name, file, "key").unwrap(), Activation::LeakyRelu);
        }
        for name in ["torch.nn.modules.activation.leakyrelu", "torch.nn.modules.activation.GLU", "my.ReLU", "ReLU", ""]
        {
            let error = Activation::from_torch(name, file, "key").unwrap_err().to_string();
            assert!(error.contains("config.json: key") && error.contains("LeakyReLU"), "{error}");
        }
    }
}
