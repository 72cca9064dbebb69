//! Packed weights in files that processes of one machine map, and so share through the page cache.
//!
//! - **Key.** A file belongs to one state of a model's files (path, size, time of modification, inode), one version of
//!   rushlight, one instruction set, dtype and set of options that change weights. The index has all of this, and a
//!   fingerprint of each layer's weights, so that a file of anything else is never taken.
//! - **Growth.** The name of a file tells a model with its options from others, and its states from each other. A new state
//!   removes the file of the old one, so that each model has one.
//! - **Writing.** One process packs while others wait for its lock, with an end. It writes beside the place, flushes, and
//!   renames. So a process that is killed leaves no file that others take, and each process maps a whole one.
//! - **Reading.** Lengths, and checksums of everything, are checked when a file is mapped: a file that is cut or damaged is
//!   written anew. Calls notice a file that is overwritten later, like those of a model.
//! - **Trust.** The folder and the file must belong to this user or to root, and nobody else may write them.

mod checksum;
mod file;
mod slot;
mod trust;

// Numbers begin at multiples of a cache line.
use crate::kernels::prefetch::LINE;

pub(crate) use checksum::Checksum;
pub(crate) use file::{PackedFile, PackedWriter};
pub(crate) use slot::{Lock, Slot};

/// Version of the format and of what is in it. Raise it when layouts, quantization or calibration change.
pub(crate) const FORMAT: u32 = 1;

#[cfg(test)]
mod tests;
