//! Files of weights in memory: mapped, or read as a whole.

use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::ops::{Deref, Range};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use memmap2::Mmap;
use scoped_tls_hkt::scoped_thread_local;

use crate::alloc;
use crate::config::plain_file_size;
use crate::error::{Error, Result};
use crate::stamp::Stamp;

/// Contents of a file.
pub(super) enum Contents {
    Mapped(Mapped),
    Read(Vec<u8>),
}

/// A file's memory map, with the file's state when it was mapped.
pub(super) struct Mapped {
    map: Mmap,
    path: PathBuf,
    stamp: Stamp,
}

impl Deref for Contents {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(mapped) => &mapped.map,
            Self::Read(bytes) => bytes,
        }
    }
}

impl Contents {
    /// Opens a file: maps it, unless the load on this thread is without maps.
    pub(super) fn open(path: &Path) -> Result<Arc<Self>> {
        match OF_LOAD.is_set() {
            true => OF_LOAD.with(|load| {
                let contents = Arc::new(if load.mmap { Self::map(path)? } else { Self::read(path)? });
                load.opened.borrow_mut().push(Arc::downgrade(&contents));
                Ok(contents)
            }),
            false => Self::map(path).map(Arc::new),
        }
    }

    #[expect(unsafe_code, reason = "a memory map")]
    fn map(path: &Path) -> Result<Self> {
        let size = plain_file_size(path)?;
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::OutOfMemory => alloc::out_of_memory::<u8>(size as usize, &path.display().to_string()),
            _ => Error::io(path, error),
        };
        let file = File::open(path).map_err(failed)?;
        let stamp = Stamp::from(&file.metadata().map_err(failed)?);
        // SAFETY: the map is only read. Reads would fault or change if another process truncated or rewrote the file. Like
        // every loader of mapped weights, this one relies on model files being replaced, not overwritten. Our own saves
        // write a new file and rename it. Calls check the file before and after they read it, which finds most mistakes.
        let map = unsafe { Mmap::map(&file) }.map_err(failed)?;
        Ok(Self::Mapped(Mapped { map, path: path.to_path_buf(), stamp }))
    }

    fn read(path: &Path) -> Result<Self> {
        let size = usize::try_from(plain_file_size(path)?).unwrap_or(usize::MAX);
        alloc::check::<u8>(size, &path.display().to_string())?;
        std::fs::read(path).map(Self::Read).map_err(|error| Error::io(path, error))
    }

    /// Returns true if the file stays on disk, and is read when it is needed.
    pub(super) fn is_mapped(&self) -> bool {
        matches!(self, Self::Mapped(_))
    }

    /// Releases the memory of a mapped file's pages in this range. Another access reads them from the file again.
    pub(super) fn forget_pages(&self, range: &Range<usize>) {
        #[cfg(unix)]
        if let Self::Mapped(Mapped { map, .. }) = self {
            #[expect(unsafe_code, reason = "advice on a memory map")]
            // SAFETY: the map is of a file and read only, so dropped pages come back unchanged.
            let advice =
                unsafe { map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, range.start, range.len()) };
            // The system may ignore the advice, which only costs memory.
            let _ = advice;
        }
    }
}

impl Mapped {
    /// Checks that the mapped file is as it was. Another file that took its name leaves the map as it is.
    fn check(&self) -> Result<()> {
        match Stamp::of(&self.path) {
            Some(now) if self.stamp.is_changed(&now) => {
                let problem = "was overwritten or truncated while a model used it; replace files by renaming, or load with \
                               mmap=False; load the model again";
                Err(Error::weights(&self.path, problem.to_owned()))
            }
            _ => Ok(()),
        }
    }
}

/// Way in which a load opens files of weights, and the files that it has opened.
struct Load {
    mmap: bool,
    opened: RefCell<Vec<Weak<Contents>>>,
}

scoped_thread_local! {
    /// Load on this thread. Families and modules open their weights without knowing of it.
    static OF_LOAD: Load
}

/// Files that a loaded model maps.
#[derive(Default)]
pub(crate) struct MappedFiles(Vec<Weak<Contents>>);

impl MappedFiles {
    /// Runs `load`, whose weights are mapped or read as `mmap` says. Returns the files that its result keeps mapped.
    pub(crate) fn of_load<T>(mmap: bool, load: impl FnOnce() -> Result<T>) -> Result<(T, Self)> {
        let of_load = Load { mmap, opened: RefCell::default() };
        let loaded = OF_LOAD.set(&of_load, load)?;
        let mut opened = of_load.opened.into_inner();
        opened.retain(|file| file.upgrade().is_some_and(|file| file.is_mapped()));
        Ok((loaded, Self(opened)))
    }

    /// Releases the memory of all pages, which loading has read and calls may not need.
    pub(crate) fn forget_pages(&self) {
        self.0.iter().filter_map(Weak::upgrade).for_each(|file| file.forget_pages(&(0..file.len())));
    }

    /// Checks that no mapped file was overwritten or truncated, which would change results or end the process.
    ///
    /// # Errors
    /// [`Error::InvalidWeights`] for a file whose size or time of modification differs.
    pub(crate) fn check(&self) -> Result<()> {
        self.0.iter().try_for_each(|file| match file.upgrade().as_deref() {
            Some(Contents::Mapped(mapped)) => mapped.check(),
            _ => Ok(()),
        })
    }
}
