//! Adapters of peft: LoRA (Hu et al., 2022), DoRA (Liu et al., 2024), and whole parameters that replace the base's. They are
//! merged in float32 when a tensor is read.
//!
//! `fan_in_fan_out` has no effect: peft ignores it for linear layers, and supported families have no others.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::lora::{LowRank, check_memory, merged};
use super::{Array, Weights};
use crate::config::PeftConfig;
use crate::error::{Error, Result};

/// Names of an adapter's weights, in the order in which peft looks for them.
pub(crate) const FILES: [&str; 2] = ["adapter_model.safetensors", "adapter_model.bin"];

/// Prefix of all tensors.
const WRAPPER: &str = "base_model.model.";
/// Modules outside the backbone, which a base model may lack and another kind of model doesn't read.
const HEADS: [&str; 6] = ["classifier", "cls", "lm_head", "pooler", "qa_outputs", "score"];

/// Adapter of a model's weights.
pub(crate) struct PeftAdapter {
    config: PeftConfig,
    weights: Weights,
    modules: ByPath<LoraTensors>,
    /// Names of the tensors of whole parameters, by the parameter's name.
    whole: ByPath<String>,
    /// Tensors that were merged.
    used: Mutex<BTreeSet<String>>,
}

/// Names of the tensors of one module.
#[derive(Clone, Default)]
struct LoraTensors {
    embedding: bool,
    a: Option<String>,
    b: Option<String>,
    bias: Option<String>,
    magnitude: Option<String>,
}

/// Part of a module that a tensor is.
enum Part {
    A { embedding: bool },
    B { embedding: bool },
    Bias,
    Magnitude,
    Whole,
}

/// Values by paths in the adapted model. The base model's paths may have a segment more or less in front, such as `bert`,
/// where one of them has a head.
struct ByPath<T> {
    exact: HashMap<String, T>,
    /// Paths by their rest after the first segment.
    tails: HashMap<String, String>,
}

impl<T> ByPath<T> {
    fn new(exact: HashMap<String, T>) -> Self {
        let tail = |path: &String| Some((path.split_once('.')?.1.to_owned(), path.clone()));
        let tails = exact.keys().filter_map(tail).collect();
        Self { exact, tails }
    }

    /// Finds the value of a path of the base model, with its path here.
    fn find(&self, path: &str) -> Option<(&String, &T)> {
        let shorter = || path.split_once('.').and_then(|(_, rest)| self.exact.get_key_value(rest));
        let longer = || self.exact.get_key_value(self.tails.get(path)?);
        self.exact.get_key_value(path).or_else(shorter).or_else(longer)
    }
}

/// Parses the name of an adapter's tensor into the path of its module, or the name of its parameter, and its part. Returns
/// `None` for another kind of tensor.
fn parse(name: &str) -> Option<(String, Part)> {
    let name = name.strip_prefix(WRAPPER)?;
    let kept: Vec<_> =
        name.split('.').filter(|part| !["base_layer", "modules_to_save", "default"].contains(part)).collect();
    let Some(at) = kept.iter().position(|part| part.starts_with("lora_")) else {
        return Some((kept.join("."), Part::Whole));
    };
    let part = match kept[at..] {
        ["lora_A", "weight"] => Part::A { embedding: false },
        ["lora_B", "weight"] => Part::B { embedding: false },
        ["lora_embedding_A"] => Part::A { embedding: true },
        ["lora_embedding_B"] => Part::B { embedding: true },
        ["lora_B", "bias"] => Part::Bias,
        ["lora_magnitude_vector"] | ["lora_magnitude_vector", "weight"] => Part::Magnitude,
        _ => return None,
    };
    Some((kept[..at].join("."), part))
}

impl PeftAdapter {
    /// Opens the adapter in a folder, if there is one.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for an adapter that can't be merged; [`Error::FileNotFound`] without weights.
    pub(crate) fn open(folder: &Path) -> Result<Option<Self>> {
        let Some(config) = PeftConfig::read_if_there(folder)? else { return Ok(None) };
        let Some(name) = FILES.into_iter().find(|name| folder.join(name).exists()) else {
            let needed = format!("{} needs the adapter's weights; {} would do too", PeftConfig::FILE, FILES[1]);
            return Err(Error::FileNotFound { path: folder.join(FILES[0]), needed });
        };
        let weights = Weights::open_file(folder.join(name))?;
        let (mut modules, mut whole) = (HashMap::<String, LoraTensors>::new(), HashMap::new());
        for name in weights.others(&[]) {
            let Some((path, part)) = parse(name) else {
                let what = format!("{}: an adapter's tensor", weights.file().display());
                let supported = format!("those of LoRA and DoRA, and whole parameters, under {WRAPPER}");
                return Err(Error::unsupported(what, name, supported));
            };
            let name = name.to_owned();
            if let Part::Whole = part {
                whole.insert(path, name);
                continue;
            }
            let module = modules.entry(path).or_default();
            let (place, embedding) = match part {
                Part::A { embedding } => (&mut module.a, embedding),
                Part::B { embedding } => (&mut module.b, embedding),
                Part::Bias => (&mut module.bias, false),
                Part::Magnitude | Part::Whole => (&mut module.magnitude, false),
            };
            *place = Some(name);
            module.embedding |= embedding;
        }
        let (modules, whole) = (ByPath::new(modules), ByPath::new(whole));
        Ok(Some(Self { config, weights, modules, whole, used: Mutex::default() }))
    }

    /// Settings of the adapter.
    pub(crate) fn config(&self) -> &PeftConfig {
        &self.config
    }

    /// Returns a parameter by its name in the base model: the adapter's own, or the base's with what the adapter adds.
    pub(super) fn adapted(&self, name: &str, shape: &[usize], base: impl FnOnce() -> Result<Array>) -> Result<Array> {
        if let Some((_, tensor)) = self.whole.find(name) {
            return self.tensor(tensor, shape);
        }
        let Some((path, kind)) = name.rsplit_once('.') else { return base() };
        match (self.modules.find(path), kind) {
            (Some((path, module)), "weight") => self.merge(path, module, &base()?),
            (Some((path, LoraTensors { bias: Some(bias), .. })), "bias") => {
                let (_, scale) = self.config.scaling(path)?;
                let (base, bias) = (base()?, self.tensor(bias, shape)?);
                let sum = base.as_slice().iter().zip(bias.as_slice()).map(|(base, bias)| base + scale * bias);
                Ok(Array::new(shape.to_vec(), sum.collect()))
            }
            _ => base(),
        }
    }

    /// Adds a module's product to the base's weight, and scales its rows in DoRA.
    fn merge(&self, path: &str, module: &LoraTensors, base: &Array) -> Result<Array> {
        let (rank, scale) = self.config.scaling(path)?;
        let &[rows, columns] = &base.shape[..] else {
            let what = format!("{}: an adapter of", self.config.path().display());
            return Err(Error::unsupported(what, path, "adapters of linear layers and embedding tables"));
        };
        let required = |name: &Option<String>, part: &str| {
            let missing = || Error::MissingWeight {
                file: self.weights.file().to_path_buf(),
                name: format!("{WRAPPER}{path}.{part}"),
            };
            name.clone().ok_or_else(missing)
        };
        let [left, right] = match module.embedding {
            true => {
                let a = self.tensor(&required(&module.a, "lora_embedding_A")?, &[rank, rows])?;
                let b = self.tensor(&required(&module.b, "lora_embedding_B")?, &[columns, rank])?;
                [a.transposed(), b.transposed()]
            }
            false => {
                let a = self.tensor(&required(&module.a, "lora_A.weight")?, &[rank, columns])?;
                let b = self.tensor(&required(&module.b, "lora_B.weight")?, &[rows, rank])?;
                [b, a]
            }
        };
        check_memory(path, base)?;
        let sum = merged(base, &LowRank { left, right, scale });
        base.forget_pages();
        match &module.magnitude {
            Some(magnitude) => Ok(with_norms(&sum, &self.tensor(magnitude, &[rows])?)),
            None => Ok(sum),
        }
    }

    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Array> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned());
        self.weights.array(name, shape)
    }

    /// Checks that the adapter has no tensor without a place in the model. Tensors of parameters that this kind of model
    /// doesn't read have one.
    pub(super) fn check_used<'a>(&self, base: impl Iterator<Item = &'a str>) -> Result<()> {
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let mut rest: BTreeMap<&str, String> = BTreeMap::new();
        for name in self.weights.others(&[]).filter(|name| !used.contains(*name)) {
            let Some((path, part)) = parse(name) else { continue };
            let whole = matches!(part, Part::Whole);
            let module = path.rsplit_once('.').filter(|_| whole).map_or(&*path, |(module, _)| module);
            if !module.split('.').any(|segment| HEADS.contains(&segment)) {
                rest.insert(name, module.to_owned());
            }
        }
        if rest.is_empty() {
            return Ok(());
        }
        let known: HashMap<_, _> = base.filter_map(|name| Some((name.rsplit_once('.')?.0.to_owned(), ()))).collect();
        let known = ByPath::new(known);
        match rest.into_iter().find(|(_, module)| known.find(module).is_none()) {
            Some((name, _)) => {
                let what = format!("{}: an adapter's tensor", self.weights.file().display());
                Err(Error::unsupported(what, name, "those of the base model's modules"))
            }
            None => Ok(()),
        }
    }

    /// Returns true if the adapter changes a parameter of the base model.
    pub(super) fn changes(&self, name: &str) -> bool {
        let module = |path: &str| self.modules.find(path).is_some();
        self.whole.find(name).is_some() || name.rsplit_once('.').is_some_and(|(path, _)| module(path))
    }

    /// Returns the names and shapes of whole parameters that a base model with these parameters lacks.
    pub(super) fn added(&self, base: &[String]) -> Vec<(&str, &[usize])> {
        let replaced: BTreeSet<_> =
            base.iter().filter_map(|name| self.whole.find(name)).map(|(name, _)| name).collect();
        let added = self.whole.exact.iter().filter(|(name, _)| !replaced.contains(name));
        added.map(|(name, tensor)| (name.as_str(), self.weights.entries[tensor].shape.as_slice())).collect()
    }

    /// Returns the paths of the adapter's files in a folder.
    pub(crate) fn files(folder: &Path) -> impl Iterator<Item = PathBuf> {
        [PeftConfig::FILE].into_iter().chain(FILES).map(|name| folder.join(name))
    }
}

/// Scales each row of a matrix to a norm.
fn with_norms(matrix: &Array, norms: &Array) -> Array {
    let columns = matrix.shape[1].max(1);
    let rows = matrix.as_slice().chunks_exact(columns).zip(norms.as_slice());
    let scaled = rows.flat_map(|(row, norm)| {
        let length = row.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>().sqrt();
        let factor = (f64::from(*norm) / length) as f32;
        row.iter().map(move |x| x * factor)
    });
    Array::new(matrix.shape.clone(), scaled.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensors_belong_to_modules_by_their_names() {
        let parsed = |name: &str| parse(name).map(|(path, _)| path);
        for name in [
            "base_model.model.bert.x.lora_A.weight",
            "base_model.model.bert.x.lora_B.default.weight",
            "base_model.model.bert.x.lora_embedding_A",
            "base_model.model.bert.x.lora_magnitude_vector.default.weight",
        ] {
            assert_eq!(parsed(name).as_deref(), Some("bert.x"), "{name}");
        }
        let whole = ["base_model.model.x.base_layer.bias", "base_model.model.x.modules_to_save.default.bias"];
        assert!(whole.into_iter().all(|name| parsed(name).as_deref() == Some("x.bias")));
        for name in ["x.lora_A.weight", "base_model.model.x.lora_C.weight", "base_model.model.x.lora_A.other.weight"] {
            assert_eq!(parsed(name), None, "{name}");
        }
    }

    #[test]
    fn one_of_both_models_may_have_a_prefix() {
        let paths = ByPath::new([("bert.layer.0".to_owned(), 1), ("score".to_owned(), 2)].into());
        let find = |path: &str| paths.find(path).map(|(_, value)| *value);
        assert_eq!([find("bert.layer.0"), find("layer.0"), find("model.bert.layer.0")], [Some(1); 3]);
        assert_eq!([find("score"), find("model.score"), find("0"), find("other")], [Some(2), Some(2), None, None]);
    }

    #[test]
    fn rows_get_their_norms() {
        let matrix = Array::new(vec![2, 2], vec![3.0, 4.0, 0.0, 2.0]);
        let scaled = with_norms(&matrix, &Array::new(vec![2], vec![10.0, 1.0]));
        assert_eq!(scaled.as_slice(), [6.0, 8.0, 0.0, 1.0]);
    }
}
