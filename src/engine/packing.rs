//! Packed weights of a model, in a folder that processes share.

use std::sync::Arc;

use super::folders::ModelFolders;
use super::loaded::Variant;
use super::source_files::SourceFiles;
use crate::config::Kind;
use crate::error::{Error, Result};
use crate::network::Network;
use crate::ops::{MappedWeights, Noted, Packing};
use crate::packed::{FORMAT, Lock, Slot};
use crate::process;

/// Packed weights of a model that is being loaded.
pub(super) enum PackedWeights {
    /// Weights of this process alone: the caller names no folder, or the device has memory of its own.
    Private,
    /// In a file.
    Found(Slot, Arc<MappedWeights>),
    /// To be written into a file by this process.
    Missing(Slot, Lock, Arc<Noted>),
}

/// Network of a model, with the file that has its packed weights, if any.
type Loaded = (Box<dyn Network>, Option<Arc<MappedWeights>>);

impl PackedWeights {
    /// Finds the packed weights of a transformer, or waits for the right to write them.
    ///
    /// # Errors
    /// The errors of [`Slot`].
    pub(super) fn find(kind: Kind, folders: &ModelFolders, variant: Variant, files: &SourceFiles) -> Result<Self> {
        let Some(folder) = folders.packed_folder.as_ref().filter(|_| variant.compute.packs()) else {
            return Ok(Self::Private);
        };
        let ModelFolders { folder: own, entries, choices, adapter_folders, .. } = folders;
        let layout = process::isa()?.layout();
        // All that makes weights, or the inputs by which they are quantized.
        let model =
            format!("{kind:?} {own:?} {entries:?} {:?} {adapter_folders:?} {variant:?} {layout}", choices.layers);
        let state = format!("rushlight {}, format {FORMAT}, {}", env!("CARGO_PKG_VERSION"), files.describe());
        let slot = Slot::new(folder, &model, &state)?;
        if let Some(file) = slot.open()? {
            return Ok(Self::Found(slot, Arc::new(MappedWeights::new(file))));
        }
        Self::missing(slot)
    }

    fn missing(slot: Slot) -> Result<Self> {
        let lock = slot.lock()?;
        Ok(match slot.open()? {
            Some(file) => Self::Found(slot, Arc::new(MappedWeights::new(file))),
            None => Self::Missing(slot, lock, Arc::default()),
        })
    }

    /// Returns the way in which the network's layers get their weights.
    pub(super) fn packing(&self) -> Packing {
        match self {
            Self::Private => Packing::Private,
            Self::Found(_, mapped) => Packing::Mapped(Arc::clone(mapped)),
            Self::Missing(_, _, noted) => Packing::Noted(Arc::clone(noted)),
        }
    }

    /// Completes a network that was loaded with [`PackedWeights::packing`]. `calibrate` lets layers see inputs that pack their
    /// weights. Weights that are not in a file are written into one, and the network is loaded again with them.
    ///
    /// # Errors
    /// The errors of [`Slot::write`], of `calibrate` and of `load`; that of `files` if they have changed.
    pub(super) fn complete(
        self,
        network: Box<dyn Network>,
        files: &SourceFiles,
        calibrate: impl Fn(&dyn Network) -> Result<()>,
        load: impl Fn(Packing) -> Result<Box<dyn Network>>,
    ) -> Result<Loaded> {
        match self {
            Self::Private => {
                calibrate(&*network)?;
                Ok((network, None))
            }
            Self::Found(_, mapped) if mapped.fits() => Ok((network, Some(mapped))),
            Self::Found(slot, _) => {
                log::warn!("{}: was packed from other weights; the weights are packed again", slot.path().display());
                drop(network);
                let (lock, noted) = (slot.lock()?, Arc::default());
                let network = load(Packing::Noted(Arc::clone(&noted)))?;
                Self::Missing(slot, lock, noted).complete(network, files, calibrate, load)
            }
            Self::Missing(slot, lock, noted) => {
                calibrate(&*network)?;
                // The file is of the state that was read before the weights were.
                files.check()?;
                let path = slot.path();
                let file = slot.write(&lock, |writer| noted.write(writer, &path))?;
                drop((network, noted, lock));
                let mapped = Arc::new(MappedWeights::new(file));
                let network = load(Packing::Mapped(Arc::clone(&mapped)))?;
                if !mapped.fits() {
                    files.check()?;
                    let problem = "must hold the weights that were just packed, but holds others; load the model again";
                    return Err(Error::weights(path, problem));
                }
                Ok((network, Some(mapped)))
            }
        }
    }
}
