//! Errors of this crate, each with the facts that its message needs.

use std::path::PathBuf;

/// Result with rushlight's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// Errors of this crate.
///
/// A message names the problem, its location and the expected value. In Python each variant becomes a class of
/// `rushlight.exceptions`.
///
/// # Examples
/// ```
/// use rushlight::{Error, Model};
///
/// match Model::from_dir("no/such/folder") {
///     Err(Error::ModelNotFound { name, .. }) => println!("there is no {name}"),
///     Err(error) => println!("{error}"),
///     Ok(model) => println!("{} columns", model.embedding_dimension()),
/// }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No model has this name or folder.
    #[error("no model {name:?}; looked in:{}", list(looked))]
    ModelNotFound {
        /// Name or path that was requested.
        name: String,
        /// Locations that were searched, with what was found there.
        looked: Vec<String>,
    },

    /// The model's folder lacks a file.
    #[error("{}: no such file; {needed}", path.display())]
    FileNotFound {
        /// Path of the file.
        path: PathBuf,
        /// Purpose of the file, and alternatives.
        needed: String,
    },

    /// A file of the model's folder is malformed.
    #[error("{}: {key}: {problem}", file.display())]
    InvalidConfig {
        /// Path of the file.
        file: PathBuf,
        /// Key, or position such as `line 3 column 7`.
        key: String,
        /// Problem, with the values that are allowed.
        problem: String,
    },

    /// A file of weights is malformed.
    #[error("{}: {problem}", file.display())]
    InvalidWeights {
        /// Path of the file.
        file: PathBuf,
        /// Problem with the file.
        problem: String,
    },

    /// A file of weights lacks a tensor.
    #[error("{}: no tensor {name:?}", file.display())]
    MissingWeight {
        /// Path of the file.
        file: PathBuf,
        /// Name of the tensor.
        name: String,
    },

    /// A tensor's shape differs from the config.
    #[error("{}: tensor {name:?} has shape {got:?}, but the config makes it {expected:?}", file.display())]
    WeightShape {
        /// Path of the file.
        file: PathBuf,
        /// Name of the tensor.
        name: String,
        /// Shape by the config.
        expected: Vec<usize>,
        /// Shape in the file.
        got: Vec<usize>,
    },

    /// The model uses a feature that rushlight lacks.
    #[error("{what} {got:?} is not supported; supported: {supported}")]
    Unsupported {
        /// Kind of the feature, with the file that names it.
        what: String,
        /// Value in the model.
        got: String,
        /// Supported values.
        supported: String,
    },

    /// An argument or an option of a call is out of range or unknown.
    #[error("{argument}: {problem}")]
    InvalidArgument {
        /// Name of the argument or option.
        argument: &'static str,
        /// Problem, with the values that are allowed.
        problem: String,
    },

    /// A text or pair can't be embedded.
    #[error("inputs[{index}]: {problem}")]
    InvalidInput {
        /// Index of the input.
        index: usize,
        /// Problem with the input.
        problem: String,
    },

    /// The tokenizer failed on a text.
    #[error("tokenizer: {0}")]
    Tokenizer(String),

    /// This build or this machine lacks a device.
    #[error("device {device:?}: {problem}")]
    Device {
        /// Device that was requested.
        device: String,
        /// Problem, with the devices there are.
        problem: String,
    },

    /// A download failed, or the file can't be stored.
    #[error("{url}: {problem}")]
    Download {
        /// Requested URL, without secrets.
        url: String,
        /// HTTP status, if the hub answered.
        status: Option<u16>,
        /// Problem, with a remedy.
        problem: String,
    },

    /// The operating system refused a file operation.
    #[error("{}: {cause}", path.display())]
    Io {
        /// File or folder.
        path: PathBuf,
        /// Error of the operating system. The message includes it, so it isn't the [`source`](std::error::Error::source).
        cause: std::io::Error,
    },

    /// A tensor operation failed.
    #[error("candle: {0}")]
    Tensor(String),

    /// The process forked during the call, and the call's threads stayed in the parent.
    #[error("the process forked while this call computed, and its threads stayed in the parent: call again")]
    Forked,

    /// The result for an input contains NaN or infinity.
    #[error("inputs[{index}]: the result is not finite; are the model's weights, and small enough for its dtype?")]
    NotFinite {
        /// Index of the input.
        index: usize,
    },

    /// An allocation failed.
    #[error("no memory for {what}: {bytes} bytes")]
    Memory {
        /// Purpose of the memory.
        what: String,
        /// Number of bytes.
        bytes: usize,
    },

    /// The observer stopped the call.
    #[error("interrupted")]
    Interrupted,
}

/// Kind of an [`Error`], for callers that map errors to their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// A model or one of its files is missing.
    NotFound,
    /// A file of the model is malformed.
    ModelFormat,
    /// The model uses a feature that rushlight lacks.
    Unsupported,
    /// An argument or option is out of range or unknown.
    Argument,
    /// An input can't be embedded.
    Input,
    /// This build or this machine lacks a device.
    Device,
    /// A download failed.
    Download,
    /// An allocation failed.
    Memory,
    /// The computation failed, or was stopped.
    Computation,
}

impl Error {
    /// Returns the kind of the error.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::ModelNotFound { .. } | Self::FileNotFound { .. } => ErrorKind::NotFound,
            Self::InvalidConfig { .. }
            | Self::InvalidWeights { .. }
            | Self::MissingWeight { .. }
            | Self::WeightShape { .. } => ErrorKind::ModelFormat,
            Self::Unsupported { .. } => ErrorKind::Unsupported,
            Self::InvalidArgument { .. } => ErrorKind::Argument,
            Self::InvalidInput { .. } => ErrorKind::Input,
            Self::Device { .. } => ErrorKind::Device,
            Self::Download { .. } => ErrorKind::Download,
            Self::Memory { .. } => ErrorKind::Memory,
            Self::Tokenizer(_)
            | Self::NotFinite { .. }
            | Self::Io { .. }
            | Self::Tensor(_)
            | Self::Forked
            | Self::Interrupted => ErrorKind::Computation,
        }
    }
}

#[doc(hidden)] // Of no use to callers, who would depend on candle's version.
impl From<candle_core::Error> for Error {
    fn from(error: candle_core::Error) -> Self {
        Self::Tensor(error.to_string())
    }
}

impl Error {
    /// Renames the argument that the error is about.
    pub(crate) fn of_argument(self, argument: &'static str) -> Self {
        match self {
            Self::InvalidArgument { problem, .. } => Self::argument(argument, problem),
            other => other,
        }
    }

    /// Replaces the index of an input. `map` turns it into the caller's index.
    pub(crate) fn map_input_index(self, map: impl FnOnce(usize) -> usize) -> Self {
        match self {
            Self::InvalidInput { index, problem } => Self::InvalidInput { index: map(index), problem },
            Self::NotFinite { index } => Self::NotFinite { index: map(index) },
            other => other,
        }
    }

    pub(crate) fn io(path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Self::Io { path: path.into(), cause: source }
    }

    pub(crate) fn config(file: impl Into<PathBuf>, key: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::InvalidConfig { file: file.into(), key: key.into(), problem: problem.into() }
    }

    /// Puts the key of the object that a config lies in before the key of the error.
    pub(crate) fn under(self, object: &str) -> Self {
        match self {
            Self::InvalidConfig { file, key, problem } => Self::config(file, format!("{object}.{key}"), problem),
            other => other,
        }
    }

    pub(crate) fn weights(file: impl Into<PathBuf>, problem: impl Into<String>) -> Self {
        Self::InvalidWeights { file: file.into(), problem: problem.into() }
    }

    pub(crate) fn argument(argument: &'static str, problem: impl Into<String>) -> Self {
        Self::InvalidArgument { argument, problem: problem.into() }
    }

    pub(crate) fn unsupported(what: impl Into<String>, got: impl Into<String>, supported: impl Into<String>) -> Self {
        Self::Unsupported { what: what.into(), got: got.into(), supported: supported.into() }
    }
}

fn list(locations: &[String]) -> String {
    locations.iter().map(|location| format!("\n  - {location}")).collect()
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    /// Programs that print an error with its sources would print it twice.
    #[test]
    fn no_message_repeats_its_source() {
        let io = Error::io("a/file", std::io::Error::other("disk full"));
        assert_eq!(io.to_string(), "a/file: disk full");
        assert!(io.source().is_none());
        let tensor = Error::from(candle_core::Error::msg("shapes differ"));
        assert!(tensor.to_string().starts_with("candle: shapes differ") && tensor.source().is_none(), "{tensor}");
    }
}
