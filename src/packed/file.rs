//! Format of a file of packed weights.
//!
//! The first line says where the index is, and has checksums of it and of the numbers, which lie between. The index is JSON:
//! what the weights were packed from, and for each layer the place of its numbers, in whole lines.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::LINE;
use super::checksum::Checksum;
use crate::error::{Error, Result};
use crate::kernels::Isa;
use crate::kernels::numbers::MappedNumbers;
use crate::kernels::weight::{PackedWeight, WeightForm};
use crate::mapped::Mapped;
use crate::threads::place::Place;

const MAGIC: [u8; 8] = *b"rushpack";

/// First line of a file.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
struct Head {
    magic: [u8; 8],
    /// Position of the index, behind the numbers.
    index: u64,
    index_len: u64,
    index_checksum: u64,
    numbers_checksum: u64,
    zeros: [u64; 3],
}

const _: () = assert!(size_of::<Head>() == LINE);

#[derive(Serialize, Deserialize)]
struct Index {
    /// Description of what the weights were packed from.
    key: String,
    layers: Vec<Layer>,
}

/// Weights of a linear layer.
#[derive(Serialize, Deserialize)]
struct Layer {
    place: Place,
    /// Fingerprint of the weights that were packed.
    source: u64,
    form: WeightForm,
    /// Numbers of inputs and of outputs.
    size: [usize; 2],
    /// Positions of the bytes of its parts.
    parts: Vec<Range<usize>>,
}

/// A mapped file of packed weights.
pub(crate) struct PackedFile {
    map: Arc<Mapped>,
    layers: HashMap<Place, Layer>,
}

impl PackedFile {
    /// Maps an open file. The error says what is wrong with it.
    ///
    /// # Errors
    /// [`Error::InvalidWeights`] for a file that is not whole, or whose weights were packed from something else than `key`
    /// describes; [`Error::Io`].
    pub(super) fn map(file: &File, path: &Path, key: &str) -> Result<Self> {
        let wrong = |problem: &str| Error::weights(path, problem);
        if file.metadata().map_err(|error| Error::io(path, error))?.len() < LINE as u64 {
            return Err(wrong("ends in its first line"));
        }
        let map = Mapped::of(file, path)?;
        let head: Head = bytemuck::pod_read_unaligned(&map[..LINE]);
        if head.magic != MAGIC {
            return Err(wrong("is no file of packed weights, or was never completed"));
        }
        let (numbers, index) = split(&map, &head).ok_or_else(|| wrong("is not whole"))?;
        if Checksum::of(index) != head.index_checksum || Checksum::of(numbers) != head.numbers_checksum {
            return Err(wrong("is damaged: its checksums differ"));
        }
        let index: Index = serde_json::from_slice(index).map_err(|error| wrong(&error.to_string()))?;
        if index.key != key {
            return Err(wrong("was packed from another model"));
        }
        let layers = index.layers.into_iter().map(|layer| (layer.place.clone(), layer)).collect();
        Ok(Self { map: Arc::new(map), layers })
    }

    /// Number of layers.
    pub(crate) fn len(&self) -> usize {
        self.layers.len()
    }

    /// Returns the weights of a layer; `None` if they were packed from others than those of this fingerprint and size.
    pub(crate) fn weight(
        &self,
        place: &[usize],
        isa: Isa,
        form: WeightForm,
        source: u64,
        size: [usize; 2],
    ) -> Option<PackedWeight> {
        let layer = self.layers.get(place)?;
        let same = (layer.form, layer.source, layer.size) == (form, source, size);
        let part = |bytes: &Range<usize>| MappedNumbers::new(Arc::clone(&self.map), bytes.clone());
        let parts = layer.parts.iter().map(part).collect::<Option<Vec<_>>>()?;
        same.then(|| PackedWeight::mapped(isa, form, size, &parts))?
    }

    /// The map, by which changes of the file are noticed.
    pub(crate) fn mapped(&self) -> &Arc<Mapped> {
        &self.map
    }
}

/// Returns the bytes of the numbers and of the index; `None` if they don't make up the file.
fn split<'a>(file: &'a [u8], head: &Head) -> Option<(&'a [u8], &'a [u8])> {
    let index = usize::try_from(head.index).ok()?;
    let whole =
        index >= LINE && index.is_multiple_of(LINE) && head.index.checked_add(head.index_len)? == file.len() as u64;
    whole.then(|| (&file[LINE..index], &file[index..]))
}

/// Writer of a file of packed weights.
pub(crate) struct PackedWriter {
    file: BufWriter<File>,
    written: usize,
    checksum: Checksum,
    layers: Vec<Layer>,
}

impl PackedWriter {
    /// Begins an empty file. Its first line stays zero until [`PackedWriter::finish`].
    pub(super) fn new(file: File) -> io::Result<Self> {
        let mut file = BufWriter::new(file);
        file.write_all(&[0; LINE])?;
        Ok(Self { file, written: LINE, checksum: Checksum::default(), layers: Vec::new() })
    }

    /// Appends the weights of a layer.
    pub(crate) fn push(
        &mut self,
        place: Place,
        weight: &PackedWeight,
        source: u64,
        size: [usize; 2],
    ) -> io::Result<()> {
        let mut parts = Vec::new();
        for part in weight.parts() {
            let bytes = bytemuck::cast_slice(part);
            parts.push(self.written..self.written + bytes.len());
            self.checksum.add(bytes);
            self.file.write_all(bytes)?;
            let zeros = bytes.len().next_multiple_of(LINE) - bytes.len();
            self.file.write_all(&[0; LINE][..zeros])?;
            self.written += bytes.len() + zeros;
        }
        self.layers.push(Layer { place, source, form: weight.form(), size, parts });
        Ok(())
    }

    /// Writes the index and the first line, and flushes the file to the disk. Pages that the system drops from memory later
    /// must come back as they were.
    pub(super) fn finish(mut self, key: String) -> io::Result<()> {
        let index = serde_json::to_vec(&Index { key, layers: self.layers })?;
        self.file.write_all(&index)?;
        let head = Head {
            magic: MAGIC,
            index: self.written as u64,
            index_len: index.len() as u64,
            index_checksum: Checksum::of(&index),
            numbers_checksum: self.checksum.value(),
            zeros: [0; 3],
        };
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(bytemuck::bytes_of(&head))?;
        self.file.into_inner()?.sync_all()
    }
}
