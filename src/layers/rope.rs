//! Rotary position embeddings (Su et al., 2021): reads a config and computes the angles.

use std::sync::Arc;

use serde::Deserialize;

use crate::config::JsonFile;
use crate::error::Result;
use crate::ops::Rotary;

/// Maximum number of columns per head, to refuse a wrong config before tensors are read. Known models have less than a
/// hundredth of it.
const MAX_COLUMNS: usize = 1 << 16;

/// Keys of `rope_parameters`, formerly `rope_scaling`. Other keys aren't supported.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RopeParameters {
    rope_theta: Option<f64>,
    rope_type: Option<RopeType>,
    /// Older name of `rope_type`; some files have both.
    r#type: Option<RopeType>,
    factor: Option<f64>,
    original_max_position_embeddings: Option<f64>,
    low_freq_factor: Option<f64>,
    high_freq_factor: Option<f64>,
    attention_factor: Option<f64>,
    beta_fast: Option<f64>,
    beta_slow: Option<f64>,
    mscale: Option<f64>,
    mscale_all_dim: Option<f64>,
    truncate: Option<bool>,
}

/// Parameters for each type of layer.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RopeByLayerType {
    pub(crate) full_attention: Option<RopeParameters>,
    pub(crate) sliding_attention: Option<RopeParameters>,
}

/// Rule that changes frequencies for texts longer than those of the training.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RopeType {
    #[default]
    Default,
    Linear,
    Dynamic,
    Llama3,
    Yarn,
}

/// Rotary positions as a family's config describes them.
pub(crate) struct Rope<'a> {
    pub(crate) file: &'a JsonFile,
    /// Key of `parameters`.
    pub(crate) key: &'a str,
    pub(crate) parameters: Option<RopeParameters>,
    /// Base of the frequencies, unless the parameters have one.
    pub(crate) theta: f64,
    /// Columns of a head.
    pub(crate) width: usize,
    pub(crate) max_position_embeddings: usize,
}

impl<'a> Rope<'a> {
    /// Makes positions without parameters, with the base 10000.
    pub(crate) fn new(file: &'a JsonFile, width: usize, max_position_embeddings: usize) -> Self {
        Self { file, key: "rope_parameters", parameters: None, theta: 10_000.0, width, max_position_embeddings }
    }

    /// Reads the common keys: `rope_scaling`, or else `rope_parameters`, and `rope_theta`.
    pub(crate) fn read(
        file: &'a JsonFile,
        default_theta: f64,
        width: usize,
        max_position_embeddings: usize,
    ) -> Result<Self> {
        let (older, newer) = ("rope_scaling", "rope_parameters");
        let (scaling, parameters): (Option<RopeParameters>, _) = (file.get(older, None)?, file.get(newer, None)?);
        let key = if scaling.is_some() { older } else { newer };
        let theta = file.get("rope_theta", default_theta)?;
        let parameters = scaling.or(parameters);
        Ok(Self { key, parameters, theta, ..Self::new(file, width, max_position_embeddings) })
    }

    /// Returns the angles.
    pub(crate) fn rotary(&self) -> Result<Arc<Rotary>> {
        match self.rotary_within_limit()? {
            (rotary, None) => Ok(rotary),
            (_, Some(_)) => Err(self.error("rope_type", "must not be dynamic for this architecture".to_owned())),
        }
    }

    /// Returns the angles, and the length of the longest text that has them, if there is one: with `dynamic`, the
    /// frequencies of longer texts would depend on the longest text of a batch.
    pub(crate) fn rotary_within_limit(&self) -> Result<(Arc<Rotary>, Option<usize>)> {
        let parameters = self.parameters.clone().unwrap_or_default();
        let theta = parameters.rope_theta.unwrap_or(self.theta);
        let frequencies = self.frequencies(theta)?;
        let rope_type = parameters.rope_type.or(parameters.r#type).unwrap_or_default();
        let (frequencies, factor) = match rope_type {
            RopeType::Default => (frequencies, 1.0),
            RopeType::Dynamic => {
                self.required("factor", parameters.factor)?;
                (frequencies, 1.0)
            }
            RopeType::Linear => {
                let factor = self.required("factor", parameters.factor)? as f32;
                (frequencies.into_iter().map(|frequency| frequency / factor).collect(), 1.0)
            }
            RopeType::Llama3 => (self.llama3(&parameters, frequencies.into_iter())?, 1.0),
            RopeType::Yarn => (self.yarn(&parameters, theta)?, self.yarn_factor(&parameters)?),
        };
        self.finite("factor", &frequencies)?;
        let limit = (rope_type == RopeType::Dynamic).then_some(self.max_position_embeddings);
        Ok((Arc::new(Rotary::new(frequencies, factor)), limit))
    }

    /// Refuses rules that change the frequencies.
    pub(crate) fn unscaled(self) -> Result<Self> {
        let rule = self.parameters.as_ref().and_then(|parameters| parameters.rope_type.or(parameters.r#type));
        match rule.filter(|rule| *rule != RopeType::Default) {
            Some(_) => Err(self.error("rope_type", "must be default for this architecture".to_owned())),
            None => Ok(self),
        }
    }

    /// Returns the frequencies of this base.
    pub(super) fn frequencies(&self, theta: f64) -> Result<Vec<f32>> {
        if !self.width.is_multiple_of(2) || self.width > MAX_COLUMNS {
            let problem =
                format!("needs heads of an even number of columns, at most {MAX_COLUMNS}, got {}", self.width);
            return Err(self.file.error(self.key, problem));
        }
        self.positive("rope_theta", theta)?;
        let frequencies: Vec<_> = self.powers(theta).map(|power| 1.0 / power).collect();
        self.finite("rope_theta", &frequencies)?;
        Ok(frequencies)
    }

    /// Returns the inverse frequencies, computed in float32 and in the reference's steps.
    fn powers(&self, theta: f64) -> impl Iterator<Item = f32> {
        let width = self.width;
        (0..width / 2).map(move |i| theta.powf(f64::from((2 * i) as f32 / width as f32)) as f32)
    }

    /// Refuses a key whose value makes a frequency NaN or infinite.
    pub(super) fn finite(&self, key: &str, frequencies: &[f32]) -> Result<()> {
        match frequencies.iter().all(|frequency| frequency.is_finite()) {
            true => Ok(()),
            false => Err(self.error(key, "makes a rotation frequency NaN or infinite".to_owned())),
        }
    }

    /// Stretches long waves, keeps short ones, and stretches those between in part (Llama 3.1).
    fn llama3(&self, parameters: &RopeParameters, frequencies: impl Iterator<Item = f32>) -> Result<Vec<f32>> {
        let factor = self.required("factor", parameters.factor)?;
        let low = self.required("low_freq_factor", parameters.low_freq_factor)?;
        let high = self.required("high_freq_factor", parameters.high_freq_factor)?;
        let length = self.original_length(parameters)?;
        if high <= low {
            return Err(self.error("high_freq_factor", format!("must be more than low_freq_factor, {low}, got {high}")));
        }
        let stretched = |frequency: f32| {
            let wave = 2.0 * std::f64::consts::PI / f64::from(frequency);
            let frequency = f64::from(frequency);
            let smooth = ((length / wave - low) / (high - low)).clamp(0.0, 1.0);
            ((1.0 - smooth) * frequency / factor + smooth * frequency) as f32
        };
        Ok(frequencies.map(stretched).collect())
    }

    /// Stretches waves by their number of periods in a text (Peng et al., 2024).
    fn yarn(&self, parameters: &RopeParameters, theta: f64) -> Result<Vec<f32>> {
        let factor = self.required("factor", parameters.factor)?;
        let length = self.original_length(parameters)?;
        let width = self.width as f64;
        let pair = |turns: f64| width * (length / (turns * 2.0 * std::f64::consts::PI)).ln() / (2.0 * theta.ln());
        let (mut low, mut high) =
            (pair(parameters.beta_fast.unwrap_or(32.0)), pair(parameters.beta_slow.unwrap_or(1.0)));
        if parameters.truncate.unwrap_or(true) {
            (low, high) = (low.floor(), high.ceil());
        }
        let (low, mut high) = (low.max(0.0), high.min(width - 1.0));
        if low == high {
            high += 0.001;
        }
        let stretched = |(i, power): (usize, f32)| {
            let share = (((i as f64 - low) / (high - low)) as f32).clamp(0.0, 1.0);
            share / (factor as f32 * power) + (1.0 - share) / power
        };
        Ok(self.powers(theta).enumerate().map(stretched).collect())
    }

    /// Returns YaRN's factor of cosines and sines.
    fn yarn_factor(&self, parameters: &RopeParameters) -> Result<f32> {
        let factor = self.required("factor", parameters.factor)?;
        let grown = |by: f64| if factor <= 1.0 { 1.0 } else { 0.1 * by * factor.ln() + 1.0 };
        let scales = [parameters.mscale, parameters.mscale_all_dim].map(|scale| scale.filter(|scale| *scale != 0.0));
        let (key, factor) = match (parameters.attention_factor, scales) {
            (Some(factor), _) => ("attention_factor", self.positive("attention_factor", factor)?),
            (None, [Some(scale), Some(all)]) => ("mscale", grown(scale) / grown(all)),
            _ => ("factor", grown(1.0)),
        };
        // Squared, because queries and keys are both multiplied by it.
        match (factor * factor) as f32 {
            square if square.is_finite() => Ok(factor as f32),
            _ => Err(self.error(key, format!("makes attention scale by {factor}, which is too large"))),
        }
    }

    fn original_length(&self, parameters: &RopeParameters) -> Result<f64> {
        let length = parameters.original_max_position_embeddings;
        self.positive("original_max_position_embeddings", length.unwrap_or(self.max_position_embeddings as f64))
    }

    fn required(&self, key: &str, value: Option<f64>) -> Result<f64> {
        self.positive(key, value.ok_or_else(|| self.error(key, "is missing; this rope_type needs it".to_owned()))?)
    }

    fn positive(&self, key: &str, value: f64) -> Result<f64> {
        if value.is_finite() && value > 0.0 {
            return Ok(value);
        }
        Err(self.error(key, format!("must be a number above 0, got {value}")))
    }

    pub(super) fn error(&self, key: &str, problem: String) -> crate::error::Error {
        self.file.error(format!("{}.{key}", self.key), problem)
    }
}
