//! Place of a model's packed weights in a folder: its file, and the lock of the process that writes it.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::checksum::Checksum;
use super::file::{PackedFile, PackedWriter};
use super::trust;
use crate::error::{Error, Result};
use crate::observer::ask_while_loading;
use crate::threads::executor::PATIENCE;

/// Name of the option, for messages.
pub(super) const ARGUMENT: &str = "packed_folder";

/// Time to wait for another process that packs the same weights. Then this one packs them, too.
const MAX_WAIT: Duration = Duration::from_secs(300);

/// Place of a model's packed weights.
pub(crate) struct Slot {
    folder: PathBuf,
    /// Beginning of the names of the model's files.
    prefix: String,
    /// Name of the file of its present state.
    name: String,
    /// Description of the model and of its state.
    key: String,
}

/// Right to write the file of a slot, while other processes wait.
pub(crate) struct Lock(Option<File>);

impl Slot {
    /// Returns the place of a model, which `model` describes, in a state that `state` describes. Makes the folder, readable by
    /// its owner alone, if it is absent.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if the path is no folder, or other users may write it; [`Error::Io`] if it can't be made.
    pub(crate) fn new(folder: &Path, model: &str, state: &str) -> Result<Self> {
        let refused = |problem: String| Err(Error::argument(ARGUMENT, problem));
        if folder.as_os_str().is_empty() || folder.as_os_str().as_encoded_bytes().contains(&0) {
            return refused(format!("must be a folder, got {folder:?}"));
        }
        let failed = |error| Error::io(folder, error);
        let above = folder.ancestors().find(|above| above.exists());
        if let Some(file) = above.filter(|above| !above.is_dir()) {
            return refused(format!("must be a folder, but {file:?} is a file"));
        }
        make(folder).map_err(failed)?;
        trust::check(folder, &folder.metadata().map_err(failed)?)?;
        let hash = |text: &str| format!("{:016x}", Checksum::of(text.as_bytes()));
        let prefix = hash(model);
        let name = format!("{prefix}-{}.packed", hash(state));
        Ok(Self { folder: folder.to_path_buf(), prefix, name, key: format!("{model}\n{state}") })
    }

    /// Path of the file.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.join(&self.name)
    }

    /// Maps the file. `None` if it is absent, or must be written anew.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if other users may write it; [`Error::Io`]; [`Error::Memory`].
    pub(crate) fn open(&self) -> Result<Option<PackedFile>> {
        let path = self.path();
        let file = match File::open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            file => file.map_err(|error| Error::io(&path, error))?,
        };
        trust::check(&path, &file.metadata().map_err(|error| Error::io(&path, error))?)?;
        match PackedFile::map(&file, &path, &self.key) {
            Err(error @ Error::InvalidWeights { .. }) => {
                log::warn!("{error}; the weights are packed again");
                Ok(None)
            }
            mapped => mapped.map(Some),
        }
    }

    /// Waits for the right to write the file. Another process that has it may have written the file meanwhile.
    ///
    /// # Errors
    /// [`Error::Io`] if the folder can't be written; [`Error::Interrupted`].
    pub(crate) fn lock(&self) -> Result<Lock> {
        let path = self.folder.join(format!("{}.lock", self.prefix));
        let failed = |error| Error::io(&path, error);
        let file = private().create(true).truncate(false).open(&path).map_err(failed)?;
        let begin = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Lock(Some(file))),
                Err(TryLockError::WouldBlock) if begin.elapsed() < MAX_WAIT => {}
                Err(TryLockError::WouldBlock) => {
                    log::warn!("{}: still held after {} s; packing beside it", path.display(), MAX_WAIT.as_secs());
                    return Ok(Lock(None));
                }
                Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Interrupted => {}
                Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => {
                    log::warn!("{}: the file system has no locks; processes may pack at once", path.display());
                    return Ok(Lock(None));
                }
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
            ask_while_loading()?;
            // A blocking lock would not notice the observer.
            std::thread::sleep(PATIENCE);
        }
    }

    /// Writes the file with the layers that `fill` gives, maps it, and removes the files of other states.
    ///
    /// # Errors
    /// The error of `fill`; [`Error::Io`] if the file can't be written, as on a full disk. Nothing is left of it then.
    pub(crate) fn write(&self, lock: &Lock, fill: impl FnOnce(&mut PackedWriter) -> Result<()>) -> Result<PackedFile> {
        let failed = |error| Error::io(self.path(), error);
        if lock.0.is_some() {
            // Whoever wrote these was killed.
            self.remove(|name| name.ends_with(STAGED));
        }
        let (staged, file) = self.stage().map_err(failed)?;
        let written = PackedWriter::new(file).map_err(failed).and_then(|mut writer| {
            fill(&mut writer)?;
            writer.finish(self.key.clone()).map_err(failed)
        });
        let published = written.and_then(|()| match std::fs::rename(&staged, self.path()) {
            // Windows doesn't replace a file that is mapped; what another process wrote is as good.
            Err(error) => self.open()?.map_or(Err(failed(error)), |_| Ok(())),
            Ok(()) => Ok(()),
        });
        // It has no other name left, unless something failed.
        let _ = std::fs::remove_file(&staged);
        published?;
        self.remove(|name| name.ends_with(PACKED) && name != self.name);
        self.open()?
            .ok_or_else(|| Error::weights(self.path(), "was replaced while it was written; load the model again"))
    }

    /// Makes a file beside the place that no other process writes.
    fn stage(&self) -> io::Result<(PathBuf, File)> {
        for number in 0.. {
            let path = self.folder.join(format!("{}-{}-{number}{STAGED}", self.prefix, std::process::id()));
            match private().create_new(true).open(&path) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                file => return file.map(|file| (path, file)),
            }
        }
        Err(ErrorKind::AlreadyExists.into())
    }

    /// Removes files of the model by their names. Those that can't be removed, as mapped ones on Windows, stay.
    fn remove(&self, which: impl Fn(&str) -> bool) {
        for entry in self.folder.read_dir().into_iter().flatten().flatten() {
            let name = entry.file_name();
            if name.to_str().is_some_and(|name| name.starts_with(&format!("{}-", self.prefix)) && which(name)) {
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // A forked child may hold the lock too.
        if let Some(file) = &self.0 {
            let _ = file.unlock();
        }
    }
}

const PACKED: &str = ".packed";
const STAGED: &str = ".writing";

/// Makes a folder that only its owner reads and writes.
fn make(folder: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(folder)
}

/// Returns options that open a file which only its owner reads and writes.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}
