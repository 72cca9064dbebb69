//! Weights of a module: named tensors from safetensors or torch's `.bin`, in one file or in shards.

mod array;
mod file;
mod lora;
mod missing;
mod peft;
mod pickle;
mod save;
mod table;
mod torch_file;

use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;

pub(crate) use array::Array;
pub(crate) use file::MappedFiles;
pub(crate) use peft::{FILES as ADAPTER_FILES, PeftAdapter};
pub(crate) use table::Table;
#[cfg(feature = "fuzz")]
pub use torch_file::torch_tensors;

use array::Data;
use file::Contents;
use table::Original;

use crate::alloc;
use crate::config::{Adapter, AdapterSource, JsonFile, inside, stand_in};
use crate::error::{Error, Result};

/// Location of a tensor's bytes.
#[derive(Clone)]
struct Entry {
    dtype: Dtype,
    shape: Vec<usize>,
    data: Bytes,
    file: Arc<Path>,
}

#[derive(Clone)]
enum Bytes {
    InFile(Arc<Contents>, Range<usize>),
    Owned(Arc<[u8]>),
}

impl Bytes {
    fn as_slice(&self) -> &[u8] {
        match self {
            Self::InFile(file, range) => &file[range.clone()],
            Self::Owned(bytes) => bytes,
        }
    }
}

/// Named tensors of a module's folder. Clones share the bytes.
#[derive(Clone)]
pub(crate) struct Weights {
    file: Arc<Path>,
    entries: HashMap<String, Entry>,
    prefix: String,
    adapter: Option<AdapterTensors>,
}

/// Adapter to merge into tensors.
#[derive(Clone)]
enum AdapterTensors {
    /// One of several, stacked in the weights themselves.
    Stacked(Adapter),
    /// One of peft, from files of its own.
    Peft(Arc<PeftAdapter>),
}

impl Weights {
    /// Opens the weights in a folder: the first of the files [`Weights::NAMES`] that exists, with its shards.
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        let (file, shards) = found(folder)?;
        let mut entries = HashMap::new();
        for name in &shards {
            let path = folder.join(name);
            match is_safetensors(name) {
                true => read_safetensors(&path, &mut entries)?,
                false => read_torch(&path, &mut entries)?,
            }
        }
        Ok(Self { file: folder.join(file).into(), entries, prefix: String::new(), adapter: None })
    }

    /// Opens a single file of weights.
    fn open_file(path: PathBuf) -> Result<Self> {
        let mut entries = HashMap::new();
        match path.extension().is_some_and(|extension| extension == "safetensors") {
            true => read_safetensors(&path, &mut entries)?,
            false => read_torch(&path, &mut entries)?,
        }
        Ok(Self { file: path.into(), entries, prefix: String::new(), adapter: None })
    }

    /// Merges an adapter into every tensor that has one.
    pub(crate) fn adapted(self, adapter: AdapterSource) -> Result<Self> {
        let adapter = match adapter {
            AdapterSource::Stacked(adapter) => Some(AdapterTensors::Stacked(adapter)),
            AdapterSource::Folder(folder) => PeftAdapter::open(&folder)?.map(Arc::new).map(AdapterTensors::Peft),
        };
        Ok(Self { adapter, ..self })
    }

    /// Checks that every tensor of the adapter has a place in the model, after all of the model is loaded.
    pub(crate) fn check_adapter(&self) -> Result<()> {
        match &self.adapter {
            Some(AdapterTensors::Peft(adapter)) => adapter.check_used(self.others(&[])),
            _ => Ok(()),
        }
    }

    /// Opens one file of `torch.save`.
    pub(crate) fn of_torch_file(path: &Path) -> Result<Self> {
        let mut entries = HashMap::new();
        read_torch(path, &mut entries)?;
        Ok(Self { file: path.into(), entries, prefix: String::new(), adapter: None })
    }

    /// Name of a safetensors file without shards.
    pub(crate) const SAFETENSORS: &str = "model.safetensors";
    /// Names that [`Weights::open`] looks for, in transformers' order. Shards have names of their own.
    pub(crate) const NAMES: [&str; 4] =
        [Self::SAFETENSORS, "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json"];

    /// Returns the names of the files in a folder that [`Weights::open`] reads.
    pub(crate) fn files(folder: &Path) -> Result<Vec<String>> {
        let (file, shards) = found(folder)?;
        let index = Some(file.to_owned()).filter(|_| file.ends_with(INDEX));
        Ok(index.into_iter().chain(shards).collect())
    }

    /// Returns true when all of those files are safetensors or their index.
    pub(crate) fn are_safetensors(files: &[String]) -> bool {
        files.iter().all(|name| is_safetensors(name) || name.ends_with(INDEX))
    }

    /// Drops `prefix` from names where it precedes `anchor`, as in checkpoints of a backbone with a head.
    pub(crate) fn behind(mut self, prefix: &str, anchor: &str) -> Self {
        if !self.entries.contains_key(anchor) && self.entries.contains_key(&format!("{prefix}.{anchor}")) {
            self.prefix = format!("{prefix}.");
        }
        self
    }

    /// Returns the file of the weights, for messages.
    pub(crate) fn file(&self) -> &Path {
        &self.file
    }

    /// Returns the names of tensors that are not among `known`.
    pub(crate) fn others<'a>(&'a self, known: &'a [&str]) -> impl Iterator<Item = &'a str> {
        self.entries.keys().map(String::as_str).filter(|name| !known.contains(name))
    }

    /// Returns true when there is a tensor of that name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.entries.contains_key(&format!("{}{name}", self.prefix))
    }

    /// Returns the tensor of that name, which must have one dimension, of any length.
    pub(crate) fn vector(&self, name: &str) -> Result<Array> {
        let length = self.entries.get(name).and_then(|entry| entry.shape.first()).copied().unwrap_or_default();
        self.array(name, &[length])
    }

    /// Returns the tensor of that name, with any number of rows.
    pub(crate) fn matrix(&self, name: &str, columns: usize) -> Result<Array> {
        let rows = self.entries.get(name).and_then(|entry| entry.shape.first()).copied().unwrap_or_default();
        self.array(name, &[rows, columns])
    }

    /// Refuses tensors that are not among `known`.
    pub(crate) fn only(&self, known: &[&str]) -> Result<()> {
        match self.others(known).next() {
            Some(extra) => {
                Err(Error::weights(self.file(), format!("tensor {extra:?} is none of {}", known.join(", "))))
            }
            None => Ok(()),
        }
    }

    /// Returns the tensor of that name, which must have two dimensions and at least one column.
    pub(crate) fn any_matrix(&self, name: &str) -> Result<Array> {
        let columns = self.entries.get(name).and_then(|entry| entry.shape.get(1)).copied().unwrap_or_default();
        self.matrix(name, columns.max(1))
    }

    /// Returns true for a tensor of int8.
    pub(crate) fn is_int8(&self, name: &str) -> bool {
        self.entries.get(name).is_some_and(|entry| entry.dtype == Dtype::I8)
    }

    /// Returns [`Weights::any_matrix`], or the plain values of an int8 tensor, like model2vec.
    pub(crate) fn any_matrix_or_int8(&self, name: &str) -> Result<Array> {
        match self.entries.get(name).filter(|_| self.is_int8(name)) {
            Some(Entry { shape, data, .. }) if shape.len() == 2 && shape[1] > 0 => {
                let numbers = each(name, data.as_slice(), |[x]| f32::from(x.cast_signed()))?;
                Ok(Array { shape: shape.clone(), data: Data::Owned(numbers) })
            }
            _ => self.any_matrix(name),
        }
    }

    /// Returns a tensor of any number of indices below `count`.
    pub(crate) fn indices(&self, name: &str, count: usize) -> Result<Vec<u32>> {
        let Some(entry) = self.entries.get(name) else {
            return Err(Error::MissingWeight { file: self.file.to_path_buf(), name: name.to_owned() });
        };
        let bytes = entry.data.as_slice();
        // For the numbers, and for the indices.
        alloc::check::<(i64, u32)>(bytes.len() / size_of::<u32>(), name)?;
        let numbers: Vec<i64> = match entry.dtype {
            Dtype::I64 => bytes.as_chunks().0.iter().map(|x| i64::from_le_bytes(*x)).collect(),
            Dtype::I32 => bytes.as_chunks().0.iter().map(|x| i64::from(i32::from_le_bytes(*x))).collect(),
            Dtype::U32 => bytes.as_chunks().0.iter().map(|x| i64::from(u32::from_le_bytes(*x))).collect(),
            other => {
                let what = format!("{}: dtype of tensor {name:?}", self.file.display());
                return Err(Error::unsupported(what, format!("{other:?}"), "I64, I32, U32"));
            }
        };
        let index = |number: i64| u32::try_from(number).ok().filter(|index| (*index as usize) < count);
        let indices: Option<Vec<u32>> = numbers.into_iter().map(index).collect();
        indices.ok_or_else(|| {
            Error::weights(&*entry.file, format!("tensor {name:?} must hold numbers from 0 up to {}", count.max(1) - 1))
        })
    }

    /// Returns the tensor of that name and shape, as float32.
    ///
    /// Old checkpoints name a norm's weight and bias gamma and beta.
    pub(crate) fn array(&self, name: &str, shape: &[usize]) -> Result<Array> {
        let full = format!("{}{name}", self.prefix);
        if let Some(array) = self.parametrized(&full, shape)? {
            return Ok(array);
        }
        match &self.adapter {
            Some(AdapterTensors::Peft(adapter)) => adapter.adapted(&full, shape, || self.stored(&full, shape)),
            _ => self.stored(&full, shape),
        }
    }

    /// Returns a tensor of the files by its whole name.
    fn stored(&self, full: &str, shape: &[usize]) -> Result<Array> {
        Ok(Array { shape: shape.to_vec(), data: self.entry(full, shape)?.float32(full)? })
    }

    /// Returns the location of a tensor of that whole name and shape.
    fn entry(&self, full: &str, shape: &[usize]) -> Result<&Entry> {
        let old = full.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta");
        let Some(entry) = self.entries.get(full).or_else(|| self.entries.get(&old)) else {
            return Err(Error::MissingWeight { file: self.file.to_path_buf(), name: full.to_owned() });
        };
        if entry.shape != shape {
            return Err(Error::WeightShape {
                file: entry.file.to_path_buf(),
                name: full.to_owned(),
                expected: shape.to_vec(),
                got: entry.shape.clone(),
            });
        }
        Ok(entry)
    }
}

impl Entry {
    /// Returns the numbers of a table. Those of 16 bits stay in a mapped file, too.
    fn rows(&self, name: &str) -> Result<Original> {
        let decode = match self.dtype {
            Dtype::F16 => Some(f16 as fn([u8; 2]) -> f32),
            Dtype::BF16 => Some(bf16 as fn([u8; 2]) -> f32),
            _ => None,
        };
        match (decode, &self.data) {
            (Some(decode), Bytes::InFile(file, range)) if file.is_mapped() => {
                Ok(Original::Half(Arc::clone(file), range.clone(), decode))
            }
            _ => Ok(Original::Float32(Array { shape: self.shape.clone(), data: self.float32(name)? })),
        }
    }

    fn float32(&self, name: &str) -> Result<Data> {
        let bytes = self.data.as_slice();
        let aligned = bytemuck::try_cast_slice::<u8, f32>(bytes).is_ok();
        if let (Dtype::F32, true, Bytes::InFile(file, range)) = (self.dtype, aligned, &self.data)
            && file.is_mapped()
        {
            return Ok(Data::Mapped(Arc::clone(file), range.clone()));
        }
        let numbers: Arc<[f32]> = match self.dtype {
            Dtype::F32 => each(name, bytes, f32::from_le_bytes)?,
            Dtype::F64 => each(name, bytes, |x| f64::from_le_bytes(x) as f32)?,
            Dtype::F16 => each(name, bytes, f16)?,
            Dtype::BF16 => each(name, bytes, bf16)?,
            other => {
                let what = format!("{}: dtype of tensor {name:?}", self.file.display());
                return Err(Error::unsupported(what, format!("{other:?}"), "F32, F16, BF16, F64"));
            }
        };
        Ok(Data::Owned(numbers))
    }
}

fn f16(x: [u8; 2]) -> f32 {
    half::f16::from_le_bytes(x).to_f32()
}

fn bf16(x: [u8; 2]) -> f32 {
    half::bf16::from_le_bytes(x).to_f32()
}

/// Converts the numbers of a tensor, whose size a file chooses.
fn each<const N: usize>(name: &str, bytes: &[u8], number: impl Fn([u8; N]) -> f32) -> Result<Arc<[f32]>> {
    alloc::check::<f32>(bytes.len() / N, name)?;
    Ok(bytes.as_chunks::<N>().0.iter().map(|chunk| number(*chunk)).collect())
}

/// Remedy for incomplete files.
const ENDED_EARLY: &str = "a download or a copy that ended early leaves such a file: fetch it again";

/// Describes a file by its first bytes, when its format is not the one that its name says.
fn other_format(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [] => Some("empty: fetch it again"),
        [b'P', b'K', 3, 4, ..] | [0x80, 2, ..] => Some("a file of torch.save, which must be called pytorch_model.bin"),
        [0x89, b'H', b'D', b'F', ..] => Some("weights of TensorFlow, which aren't read: safetensors and torch's are"),
        [b'G', b'G', b'U', b'F', ..] => Some("weights of llama.cpp, which aren't read: safetensors and torch's are"),
        [_, _, _, _, _, _, _, _, b'{', b'"', ..] => Some("a safetensors file, which must be called model.safetensors"),
        _ => stand_in(bytes),
    }
}

fn read_safetensors(path: &Path, entries: &mut HashMap<String, Entry>) -> Result<()> {
    let contents = Contents::open(path)?;
    let file: Arc<Path> = path.into();
    let tensors = SafeTensors::deserialize(&contents).map_err(|error| {
        let problem = || format!("not a whole safetensors file: {error}; {ENDED_EARLY}");
        let other = other_format(&contents).filter(|_| contents.get(8) != Some(&b'{'));
        Error::weights(path, other.map_or_else(problem, str::to_owned))
    })?;
    for (name, view) in tensors.tensors() {
        let start = view.data().as_ptr() as usize - contents.as_ptr() as usize;
        let data = Bytes::InFile(Arc::clone(&contents), start..start + view.data().len());
        let entry = Entry { dtype: view.dtype(), shape: view.shape().to_vec(), data, file: Arc::clone(&file) };
        entries.insert(name, entry);
    }
    Ok(())
}

/// Suffix of files that list the shards of weights.
const INDEX: &str = ".index.json";

/// Returns true for safetensors, which transformers recognizes by name.
fn is_safetensors(name: &str) -> bool {
    name.ends_with(".safetensors")
}

/// Returns the name of the file by which a folder's weights are found, and the names of the files that hold them.
fn found(folder: &Path) -> Result<(&'static str, Vec<String>)> {
    let Some(name) = Weights::NAMES.into_iter().find(|name| folder.join(name).exists()) else {
        return Err(missing::error(folder));
    };
    let shards = match name.ends_with(INDEX) {
        true => shards(folder, &JsonFile::read(folder.join(name), "it lists the shards")?)?,
        false => vec![name.to_owned()],
    };
    Ok((name, shards))
}

/// Returns the names of the shards that an index lists, each once. All of them exist.
fn shards(folder: &Path, index: &JsonFile) -> Result<Vec<String>> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: HashMap<String, String>,
    }
    let mut shards: Vec<String> = index.parse::<Index>()?.weight_map.into_values().collect();
    shards.sort_unstable();
    shards.dedup();
    for shard in &shards {
        let path = inside(folder, shard, &index.path, "weight_map")?;
        if !path.exists() {
            let needed = format!("{} names it as a shard", index.path.display());
            return Err(Error::FileNotFound { path, needed });
        }
    }
    Ok(shards)
}

fn read_torch(path: &Path, entries: &mut HashMap<String, Entry>) -> Result<()> {
    let file: Arc<Path> = path.into();
    for (name, tensor) in torch_file::read(path)? {
        // For the copy that is shared.
        alloc::check::<u8>(tensor.data.len(), &name)?;
        let data = Bytes::Owned(tensor.data.into());
        entries.insert(name, Entry { dtype: tensor.dtype, shape: tensor.shape, data, file: Arc::clone(&file) });
    }
    Ok(())
}
