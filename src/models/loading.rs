//! Loading by name or folder, once for all kinds of models.

use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::observer::{Observer, while_loading};
use crate::options::LoadOptions;
use crate::save::load_consistent;
use crate::source;

/// Kind of model that loads from a folder.
pub(super) trait LoadFolder: Sized {
    /// Organization on the hub that names without a `/` belong to.
    const ORGANIZATION: &str;

    /// Loads the model of a folder, an absolute path.
    fn load_folder(folder: PathBuf, options: &LoadOptions) -> Result<Self>;

    /// Applies settings that the folder of a known model lacks.
    fn apply_known_settings(&mut self, name: &str) {
        let _ = name;
    }
}

/// Loads a model by its folder, or by its name from the Hugging Face cache or the hub.
pub(super) fn load_named<M: LoadFolder>(name: &str, options: &LoadOptions) -> Result<M> {
    let mut model: M = from_dir(find(name, M::ORGANIZATION, options)?, options)?;
    model.apply_known_settings(name);
    Ok(model)
}

/// Loads a model from its folder.
pub(super) fn from_dir<M: LoadFolder>(folder: impl Into<PathBuf>, options: &LoadOptions) -> Result<M> {
    consistent(folder, options, |folder| M::load_folder(folder, options))
}

/// Loads from a folder in one consistent state, with the options' observer.
pub(super) fn consistent<T>(
    folder: impl Into<PathBuf>,
    options: &LoadOptions,
    load: impl Fn(PathBuf) -> Result<T>,
) -> Result<T> {
    while_loading(options.observer.as_ref().map(|observer| observer as &dyn Observer), || load_consistent(folder, load))
}

/// Returns the folder of a name. A name without a `/` belongs to `organization`.
pub(super) fn find(name: &str, organization: &str, options: &LoadOptions) -> Result<PathBuf> {
    source::find(Path::new(name), organization, options, Vec::new())
}

/// Defines the public functions that load a kind of model. The documentation before `load_with` describes the kind's
/// options, the one before `from_dir` its folders.
macro_rules! loading {
    (
        $model:ident from $organization:literal,
        $(#[doc = $options:literal])* load_with,
        $(#[doc = $folders:literal])* from_dir
    ) => {
        /// Loading.
        impl $model {
            /// Loads a model by its folder, or by its name from the Hugging Face cache. A model that isn't in the cache is
            /// downloaded into it from the hub (feature `hub`).
            ///
            /// A complete download is used without a connection. If another program left a snapshot, rushlight asks the
            /// hub once for its list of files and downloads the missing ones.
            #[doc = concat!("A name without a `/` belongs to the organization `", $organization, "`.")]
            ///
            /// # Errors
            /// [`Error::ModelNotFound`](crate::Error::ModelNotFound), with every location that was searched;
            /// [`Error::Download`](crate::Error::Download) if a download fails; the errors of [`Self::from_dir`].
            pub fn load(name: &str) -> crate::Result<Self> {
                Self::load_with(name, &crate::LoadOptions::default())
            }

            /// Loads a model like [`Self::load`], with options.
            $(#[doc = $options])*
            ///
            /// # Errors
            /// The errors of [`Self::load`]; [`Error::InvalidArgument`](crate::Error::InvalidArgument) for an option that
            /// doesn't fit the model; [`Error::Interrupted`](crate::Error::Interrupted) if the observer stops it.
            pub fn load_with(name: &str, options: &crate::LoadOptions) -> crate::Result<Self> {
                crate::models::loading::load_named(name, options)
            }

            /// Loads a model from its folder.
            $(#[doc = $folders])*
            ///
            /// # Errors
            /// [`Error::ModelNotFound`](crate::Error::ModelNotFound) if there is no such folder.
            /// [`Error::FileNotFound`](crate::Error::FileNotFound) or
            /// [`Error::InvalidConfig`](crate::Error::InvalidConfig) for a file that is missing or malformed.
            /// [`Error::InvalidWeights`](crate::Error::InvalidWeights),
            /// [`Error::MissingWeight`](crate::Error::MissingWeight) or
            /// [`Error::WeightShape`](crate::Error::WeightShape) for bad weights.
            /// [`Error::Unsupported`](crate::Error::Unsupported) for an unknown architecture, module or activation.
            pub fn from_dir(folder: impl Into<std::path::PathBuf>) -> crate::Result<Self> {
                Self::from_dir_with(folder, &crate::LoadOptions::default())
            }

            /// Loads a model like [`Self::from_dir`], with the options of [`Self::load_with`].
            ///
            /// # Errors
            /// The errors of [`Self::from_dir`] and of [`Self::load_with`].
            pub fn from_dir_with(
                folder: impl Into<std::path::PathBuf>,
                options: &crate::LoadOptions,
            ) -> crate::Result<Self> {
                crate::models::loading::from_dir(folder, options)
            }
        }
    };
}
pub(super) use loading;
