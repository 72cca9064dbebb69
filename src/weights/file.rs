//! Files of weights in memory: mapped, or read as a whole.

use std::cell::RefCell;
use std::fs::File;
use std::ops::{Deref, Range};
use std::path::Path;
use std::sync::{Arc, Weak};

use scoped_tls_hkt::scoped_thread_local;

use crate::alloc;
use crate::config::plain_file_size;
use crate::error::{Error, Result};
use crate::mapped::Mapped;

/// Contents of a file.
pub(super) enum Contents {
    Mapped(Mapped),
    Read(Vec<u8>),
}

impl Deref for Contents {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(mapped) => mapped,
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

    fn map(path: &Path) -> Result<Self> {
        plain_file_size(path)?;
        let file = File::open(path).map_err(|error| Error::io(path, error))?;
        Mapped::of(&file, path).map(Self::Mapped)
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
        if let Self::Mapped(mapped) = self {
            mapped.forget_pages(range);
        }
    }

    /// Checks that a mapped file is as it was.
    fn check(&self) -> Result<()> {
        match self {
            Self::Mapped(mapped) if mapped.is_changed() => {
                let problem = "was overwritten or truncated while a model used it; replace files by renaming, or load with \
                               mmap=False; load the model again";
                Err(Error::weights(mapped.path(), problem))
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
        self.0.iter().filter_map(Weak::upgrade).try_for_each(|file| file.check())
    }
}
