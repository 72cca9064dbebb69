//! Reader of `torch.save` files: zips (torch 1.6 and later), and the older format of consecutive pickles.
//!
//! In both formats a pickle describes the tensors as views of storages. The storages are elsewhere in the file, raw and
//! little endian.

use std::collections::{BTreeMap, HashMap};
use std::io::Cursor;
use std::path::Path;

use safetensors::Dtype;
use zip::{CompressionMethod, ZipArchive};

use super::pickle::{Global, Node, Pickle, Result, Stream, Value};
use crate::alloc;
use crate::error::Error;
use crate::observer::ask_while_loading;

/// Numbers of a tensor: little endian, row-major, without gaps.
#[derive(Debug, PartialEq)]
pub(crate) struct TorchTensor {
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<usize>,
    pub(crate) data: Vec<u8>,
}

/// Maximum ratio of all tensors to the file. It exceeds 1 because views may share a storage.
const MAX_GROWTH: usize = 16;

/// Maximum number of dimensions: more than any model's tensor has.
const MAX_DIMENSIONS: usize = 16;

/// Maximum nesting of a tensor in parameters and classes with attributes.
const MAX_WRAPPERS: usize = 4;

/// First pickle of the older format: 0x1950a86a20f9469cfc6c.
const MAGIC: Value<'_> = Value::Long(&[0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19]);

/// Reads the tensors of a state dict, the file's top-level dict, and skips its other values.
///
/// It runs no code of the file.
pub(crate) fn read(path: &Path) -> crate::error::Result<BTreeMap<String, TorchTensor>> {
    let file = super::Contents::open(path)?;
    let wrong = |problem| Error::weights(path, problem);
    let views = parse(&file).map_err(wrong)?;
    let tensors = views.into_iter().map(|(name, view)| {
        ask_while_loading()?;
        Ok((name, view.into_tensor().map_err(wrong)?))
    });
    tensors.collect()
}

/// Returns the size of an element in bits, the shape and the bytes of each tensor in a file's content.
///
/// # Errors
/// The problem with the file.
#[cfg(feature = "fuzz")]
pub fn torch_tensors(file: &[u8]) -> Result<Vec<(usize, Vec<usize>, Vec<u8>)>> {
    let tensors = parse(file)?.into_values().map(|view| {
        let TorchTensor { dtype, shape, data } = view.into_tensor()?;
        Ok((dtype.bitsize(), shape, data))
    });
    tensors.collect()
}

fn parse(file: &[u8]) -> Result<Views<'_>> {
    if file.starts_with(b"PK\x03\x04") {
        parse_zip(file)
    } else if file.starts_with(&[0x80]) {
        parse_pickles(file)
    } else {
        let problem = || format!("not a file of torch.save: neither a zip nor a pickle; {}", super::ENDED_EARLY);
        Err(super::other_format(file).map_or_else(problem, str::to_owned))
    }
}

/// Reads a zip: under one folder, `data.pkl`, `data/<key>` for each storage, and `byteorder` if torch is 2.1 or later.
fn parse_zip(file: &[u8]) -> Result<Views<'_>> {
    let mut archive =
        ZipArchive::new(Cursor::new(file)).map_err(|error| format!("zip: {error}; {}", super::ENDED_EARLY))?;
    let mut roots = archive.file_names().filter_map(|name| Some(name.ok()?.strip_suffix("/data.pkl")?.to_owned()));
    let (Some(root), None) = (roots.next(), roots.next()) else {
        return Err("zip: no data.pkl, or several".to_owned());
    };
    drop(roots);
    let order = format!("{root}/byteorder");
    if archive.index_for_name(&order).is_some() {
        match entry(file, &mut archive, &order)? {
            b"little" => {}
            _ => return Err(format!("zip: {order} is not `little`, the only one supported")),
        }
    }
    let pickle = Stream::new(entry(file, &mut archive, &format!("{root}/data.pkl"))?).read()?;
    let mut storages = Storages::new();
    for (key, StorageId { size, .. }) in storage_ids(&pickle)? {
        let bytes = entry(file, &mut archive, &format!("{root}/data/{key}"))?;
        if bytes.len() != size {
            return Err(format!("storage {key:?} has {} bytes, but its tensors say {size}", bytes.len()));
        }
        storages.insert(key, bytes);
    }
    views(&pickle, &storages, file.len())
}

/// Returns the bytes of a zip's entry in place. torch neither compresses entries nor verifies their checksums.
fn entry<'a>(file: &'a [u8], archive: &mut ZipArchive<Cursor<&'a [u8]>>, name: &str) -> Result<&'a [u8]> {
    let entry = archive.by_name(name).map_err(|error| format!("zip: {name:?}: {error}"))?;
    if entry.compression() != CompressionMethod::Stored || entry.compressed_size() != entry.size() {
        return Err(format!("zip: {name:?} is compressed, which torch.save never does"));
    }
    let range = entry.data_start().and_then(|start| {
        let start = usize::try_from(start).ok()?;
        Some(start..start.checked_add(usize::try_from(entry.size()).ok()?)?)
    });
    range.and_then(|range| file.get(range)).ok_or_else(|| format!("zip: {name:?} goes beyond the end of the file"))
}

/// Reads the older format: pickles of a magic number, a version, a dict about the system, the state dict and the list of
/// storage keys; then for each key the number of elements and the elements.
fn parse_pickles(file: &[u8]) -> Result<Views<'_>> {
    let mut stream = Stream::new(file);
    if stream.read()?.root != MAGIC {
        return Err("a pickle, but not of torch.save".to_owned());
    }
    if stream.read()?.root != Value::Int(1001) {
        return Err("the older format of torch.save in another version than 1001".to_owned());
    }
    let system = stream.read()?;
    if !system.dict(system.root).unwrap_or_default().contains(&(Value::Text("little_endian"), Value::Bool(true))) {
        return Err("not from a little-endian machine, the only kind supported".to_owned());
    }
    let pickle = stream.read()?;
    let keys = stream.read()?;
    let keys = keys.list(keys.root).ok_or("the storages' keys are not a list")?;
    let mut rest = file.get(stream.position()..).unwrap_or_default();
    let ids = storage_ids(&pickle)?;
    let mut storages = Storages::new();
    for key in keys {
        let Value::Text(key) = key else { return Err("a storage's key that is not text".to_owned()) };
        let id = ids.get(key).ok_or_else(|| format!("storage {key:?}, which no tensor uses"))?;
        let ended = |place: &str| format!("ends {place} storage {key:?}; {}", super::ENDED_EARLY);
        let (count, after) = rest.split_first_chunk().ok_or_else(|| ended("before"))?;
        if u64::from_le_bytes(*count) != id.count {
            return Err(format!("storage {key:?} has not the {} elements that its tensors say", id.count));
        }
        let (bytes, after) = after.split_at_checked(id.size).ok_or_else(|| ended("within"))?;
        storages.insert(key, bytes);
        rest = after;
    }
    views(&pickle, &storages, file.len())
}

/// Bytes of each storage in the file, by key.
type Storages<'p, 'a> = HashMap<&'p str, &'a [u8]>;

/// Tensors by name.
type Views<'a> = BTreeMap<String, View<'a>>;

/// Description of a storage in a pickle.
#[derive(Clone, Copy, PartialEq)]
struct StorageId<'a> {
    key: &'a str,
    dtype: Dtype,
    count: u64,
    /// Size in bytes.
    size: usize,
}

impl<'a> StorageId<'a> {
    /// Reads ("storage", class, key, location, count). Before torch 0.4, a sixth member described views of storages.
    fn new(pickle: &Pickle<'a>, id: Value<'a>) -> Option<Self> {
        let ([kind, class, key, _, count] | [kind, class, key, _, count, Value::None]) = pickle.tuple(id)? else {
            return None;
        };
        let (Value::Text("storage"), Value::Global(Global::Storage(dtype))) = (*kind, *class) else { return None };
        let (Value::Text(key), Value::Int(count)) = (*key, *count) else { return None };
        let size = usize::try_from(count).ok()?.checked_mul(width(dtype))?;
        Some(Self { key, dtype, count: u64::try_from(count).ok()?, size })
    }
}

/// Returns the size of an element in bytes.
fn width(dtype: Dtype) -> usize {
    dtype.bitsize() / 8
}

/// Returns every storage that a pickle refers to, by key.
fn storage_ids<'a>(pickle: &Pickle<'a>) -> Result<BTreeMap<&'a str, StorageId<'a>>> {
    let mut ids = BTreeMap::new();
    for node in &pickle.nodes {
        let Node::Persistent(id) = node else { continue };
        let id = StorageId::new(pickle, *id).ok_or("a reference to something that is no storage")?;
        if *ids.entry(id.key).or_insert(id) != id {
            return Err(format!("storage {:?} has several dtypes or sizes", id.key));
        }
    }
    Ok(ids)
}

/// Returns the tensors of the top-level dict as views of their storages.
fn views<'a>(pickle: &Pickle<'_>, storages: &Storages<'_, 'a>, limit: usize) -> Result<Views<'a>> {
    let items = pickle.dict(pickle.root).ok_or("not a state dict: its top is no dict")?;
    let mut views = BTreeMap::new();
    let mut total = 0_usize;
    for (name, value) in items {
        let Some(arguments) = tensor_arguments(pickle, *value)? else { continue };
        let Value::Text(name) = name else { return Err("a tensor whose name is not text".to_owned()) };
        let view = View::new(pickle, arguments, storages).map_err(|problem| format!("tensor {name:?}: {problem}"))?;
        total = total.saturating_add(view.size);
        views.insert((*name).to_owned(), view);
    }
    if views.is_empty() && !items.is_empty() {
        return Err("no tensors in its top-level dict, which should be the state dict itself".to_owned());
    }
    if total > limit.saturating_mul(MAX_GROWTH) {
        return Err(format!("its tensors are {total} bytes, more than {MAX_GROWTH} times the file"));
    }
    Ok(views)
}

/// Returns the arguments of the call that makes a tensor, or none for another value.
fn tensor_arguments<'p, 'a>(pickle: &'p Pickle<'a>, value: Value<'a>) -> Result<Option<&'p [Value<'a>]>> {
    let Some(&Node::Call(mut function, mut arguments)) = pickle.node(value) else { return Ok(None) };
    for _ in 0..=MAX_WRAPPERS {
        let members = pickle.tuple(arguments).ok_or("a call whose arguments are no tuple")?;
        (function, arguments) = match (function, members) {
            (Global::RebuildTensor, members) => return Ok(Some(members)),
            (Global::RebuildParameter, [tensor, ..]) => match pickle.node(*tensor) {
                Some(Node::Call(function, arguments)) => (*function, *arguments),
                _ => return Err("a parameter that is no tensor".to_owned()),
            },
            (Global::RebuildFromType, [Value::Global(function), _, arguments, _]) => (*function, *arguments),
            _ => return Err(format!("a call of {function:?} that makes no tensor")),
        };
    }
    Err(format!("a tensor in more than {MAX_WRAPPERS} wrappers"))
}

/// View of a storage that is a tensor, within the storage's bounds.
#[derive(Debug)]
struct View<'a> {
    dtype: Dtype,
    storage: &'a [u8],
    shape: Vec<usize>,
    /// Strides in elements, like `offset`.
    strides: Vec<usize>,
    offset: usize,
    /// Size of the contiguous tensor in bytes.
    size: usize,
}

impl<'a> View<'a> {
    fn new<'p>(pickle: &Pickle<'p>, arguments: &[Value<'p>], storages: &Storages<'_, 'a>) -> Result<Self> {
        let [storage, Value::Int(offset), shape, strides, ..] = arguments else {
            return Err("not made of a storage, an offset, a shape and strides".to_owned());
        };
        let Some(Node::Persistent(id)) = pickle.node(*storage) else { return Err("without a storage".to_owned()) };
        let StorageId { key, dtype, .. } = StorageId::new(pickle, *id).ok_or("without a storage")?;
        let storage = *storages.get(key).ok_or_else(|| format!("its storage {key:?} is not in the file"))?;
        let offset = usize::try_from(*offset).map_err(|_| format!("offset {offset}"))?;
        let (shape, strides) = (lengths(pickle, *shape)?, lengths(pickle, *strides)?);
        let size = size_within(storage.len(), width(dtype), &shape, &strides, offset).ok_or_else(|| {
            let length = storage.len();
            format!("{dtype} of shape {shape:?}, strides {strides:?}, offset {offset} in a storage of {length} bytes")
        })?;
        Ok(Self { dtype, storage, shape, strides, offset, size })
    }

    fn into_tensor(self) -> Result<TorchTensor> {
        let mut data = alloc::with_capacity(self.size, "a tensor").map_err(|error| error.to_string())?;
        if self.size > 0 {
            let dimensions: Vec<_> = self.shape.iter().copied().zip(self.strides).collect();
            gather(self.storage, width(self.dtype), self.offset, &dimensions, &mut data);
        }
        Ok(TorchTensor { dtype: self.dtype, shape: self.shape, data })
    }
}

/// Reads a shape or strides.
fn lengths<'p>(pickle: &Pickle<'p>, value: Value<'p>) -> Result<Vec<usize>> {
    let items = pickle.tuple(value).ok_or("a shape or strides that are no tuple")?;
    if items.len() > MAX_DIMENSIONS {
        return Err(format!("{} dimensions; at most {MAX_DIMENSIONS} are supported", items.len()));
    }
    let length = |item: &Value<'_>| match item {
        Value::Int(length) => usize::try_from(*length).ok(),
        _ => None,
    };
    items.iter().map(|item| length(item).ok_or_else(|| format!("{item:?} in its shape or strides"))).collect()
}

/// Returns the contiguous size of a tensor in bytes, if it lies within a storage of `storage` bytes. `width` is an element's size.
fn size_within(storage: usize, width: usize, shape: &[usize], strides: &[usize], offset: usize) -> Option<usize> {
    if shape.len() != strides.len() {
        return None;
    }
    if shape.contains(&0) {
        return Some(0);
    }
    let mut size = width;
    let mut last = offset;
    for (length, stride) in shape.iter().zip(strides) {
        size = size.checked_mul(*length)?;
        last = last.checked_add((length - 1).checked_mul(*stride)?)?;
    }
    let end = last.checked_add(1)?.checked_mul(width)?;
    (end <= storage).then_some(size)
}

/// Appends a view's elements in row-major order; `dimensions` are (length, stride), none of length zero.
fn gather(storage: &[u8], width: usize, offset: usize, dimensions: &[(usize, usize)], data: &mut Vec<u8>) {
    let mut count = 1;
    let is_dense = dimensions.iter().rev().all(|(length, stride)| {
        let row = count;
        count *= length;
        *length == 1 || *stride == row
    });
    match dimensions.split_first() {
        Some(((length, stride), rest)) if !is_dense => {
            (0..*length).for_each(|index| gather(storage, width, offset + index * stride, rest, data));
        }
        // `size_within` ensured that the view is inside.
        _ => data.extend(storage.get(offset * width..(offset + count) * width).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests;
