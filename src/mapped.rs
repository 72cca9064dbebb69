//! A file's memory map, with the file's state by which changes are noticed.

use std::fs::File;
use std::io;
use std::ops::{Deref, Range};
use std::path::{Path, PathBuf};

use memmap2::Mmap;

use crate::alloc;
use crate::error::{Error, Result};
use crate::stamp::Stamp;

/// A mapped file, which is only read. Processes that map the same file share its pages.
pub(crate) struct Mapped {
    map: Mmap,
    path: PathBuf,
    stamp: Stamp,
}

impl Deref for Mapped {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.map
    }
}

impl Mapped {
    /// Maps an open file. `path` is its name for messages, and for [`Mapped::is_changed`].
    ///
    /// # Errors
    /// [`Error::Memory`] without address space for it; [`Error::Io`].
    #[expect(unsafe_code, reason = "a memory map")]
    pub(crate) fn of(file: &File, path: &Path) -> Result<Self> {
        let metadata = file.metadata().map_err(|error| Error::io(path, error))?;
        // SAFETY: the map is only read. Reads would fault or change if another process truncated or rewrote the file. Like
        // every loader of mapped weights, this one relies on model files being replaced, not overwritten. Our own saves
        // write a new file and rename it. Calls check the file before and after they read it, which finds most mistakes.
        let map = unsafe { Mmap::map(file) }.map_err(|error| match error.kind() {
            io::ErrorKind::OutOfMemory => {
                alloc::out_of_memory::<u8>(metadata.len() as usize, &path.display().to_string())
            }
            _ => Error::io(path, error),
        })?;
        Ok(Self { map, path: path.to_path_buf(), stamp: Stamp::from(&metadata) })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns true if the file was overwritten or truncated since it was mapped. Another file that took its name leaves
    /// the map as it is.
    pub(crate) fn is_changed(&self) -> bool {
        Stamp::of(&self.path).is_some_and(|now| self.stamp.is_changed(&now))
    }

    /// Releases the memory of the pages in this range. Another access reads them from the file again.
    pub(crate) fn forget_pages(&self, range: &Range<usize>) {
        #[cfg(unix)]
        {
            #[expect(unsafe_code, reason = "advice on a memory map")]
            // SAFETY: the map is of a file and read only, so dropped pages come back unchanged.
            let advice = unsafe {
                self.map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, range.start, range.len())
            };
            // The system may ignore the advice, which only costs memory.
            let _ = advice;
        }
        #[cfg(not(unix))]
        let _ = range;
    }
}
