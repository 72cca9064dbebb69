//! What can go wrong, each case with the facts that its message needs.

use std::path::PathBuf;

/// A result with rushlight's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// Everything that can go wrong in this crate.
///
/// A message says what is wrong, where, and what would be right. In Python each variant becomes one of the
/// classes of `rushlight.exceptions`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A model's name, or its folder, is nowhere.
    #[error("no model {name:?}; looked in:{}", list(looked))]
    ModelNotFound {
        /// The name or path that was asked for.
        name: String,
        /// Every place that was looked at, and what was found there.
        looked: Vec<String>,
    },

    /// A file that the model's folder must have is absent.
    #[error("{}: no such file; {needed}", path.display())]
    FileNotFound {
        /// The file.
        path: PathBuf,
        /// What it is for, and what would do in its place.
        needed: String,
    },

    /// A file of the model's folder is there and wrong.
    #[error("{}: {key}: {problem}", file.display())]
    InvalidConfig {
        /// The file.
        file: PathBuf,
        /// The key, or a place such as `line 3 column 7`.
        key: String,
        /// What is wrong and what it must be.
        problem: String,
    },

    /// A file of weights can't be read.
    #[error("{}: {problem}", file.display())]
    InvalidWeights {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        problem: String,
    },

    /// A tensor that the model needs is not in its file.
    #[error("{}: no tensor {name:?}", file.display())]
    MissingWeight {
        /// The file.
        file: PathBuf,
        /// The tensor's name.
        name: String,
    },

    /// A tensor has another shape than the config says.
    #[error("{}: tensor {name:?} has shape {got:?}, but the config makes it {expected:?}", file.display())]
    WeightShape {
        /// The file.
        file: PathBuf,
        /// The tensor's name.
        name: String,
        /// The shape by the config.
        expected: Vec<usize>,
        /// The shape in the file.
        got: Vec<usize>,
    },

    /// The model uses something that rushlight does not have.
    #[error("{what} {got:?} is not supported; supported: {supported}")]
    Unsupported {
        /// What kind of thing, with the file that names it.
        what: String,
        /// What the model has.
        got: String,
        /// What there is.
        supported: String,
    },

    /// An argument of a call is out of range or unknown.
    #[error("{argument}: {problem}")]
    InvalidArgument {
        /// The argument's name.
        argument: &'static str,
        /// What is wrong and what would be right.
        problem: String,
    },

    /// A text can't be embedded.
    #[error("inputs[{index}]: {problem}")]
    InvalidInput {
        /// Its place among the inputs.
        index: usize,
        /// What is wrong with it.
        problem: String,
    },

    /// The tokenizer failed on a text.
    #[error("tokenizer: {0}")]
    Tokenizer(String),

    /// A device that this build or this machine lacks.
    #[error("device {device:?}: {problem}")]
    Device {
        /// The device that was asked for.
        device: String,
        /// What is lacking, the build or the machine, and what there is.
        problem: String,
    },

    /// The hub doesn't give a file, or it can't be kept.
    #[error("{url}: {problem}")]
    Download {
        /// What was asked for, without anything secret.
        url: String,
        /// The hub's answer, where there was one.
        status: Option<u16>,
        /// What is wrong and what to do.
        problem: String,
    },

    /// The operating system refused a file operation.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The operating system's error.
        source: std::io::Error,
    },

    /// A tensor operation of candle failed.
    #[error("candle: {0}")]
    Tensor(#[from] candle_core::Error),

    /// A call goes on in the child of a fork that its observer made, without the threads that helped it.
    #[error("the process forked while this call computed, and its threads stayed in the parent: call again")]
    Forked,

    /// The model's result for a text has a number that is NaN or infinite.
    #[error("inputs[{index}]: the result is not finite; are the model's weights, and small enough for its dtype?")]
    NotFinite {
        /// Its place among the inputs.
        index: usize,
    },

    /// There is no memory for as much as a file or a caller asks for.
    #[error("no memory for {what}: {bytes} bytes")]
    Memory {
        /// Purpose of the memory.
        what: String,
        /// Number of bytes.
        bytes: usize,
    },

    /// The caller asked to stop.
    #[error("interrupted")]
    Interrupted,
}

impl Error {
    /// The same of an argument that the caller knows by another name.
    pub(crate) fn of_argument(self, argument: &'static str) -> Self {
        match self {
            Self::InvalidArgument { problem, .. } => Self::argument(argument, problem),
            other => other,
        }
    }

    /// The same, where `place` tells which of the caller's inputs the one is that it names.
    pub(crate) fn placed(self, place: impl FnOnce(usize) -> usize) -> Self {
        match self {
            Self::InvalidInput { index, problem } => Self::InvalidInput { index: place(index), problem },
            Self::NotFinite { index } => Self::NotFinite { index: place(index) },
            other => other,
        }
    }

    pub(crate) fn io(path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Self::Io { path: path.into(), source }
    }

    pub(crate) fn config(file: impl Into<PathBuf>, key: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::InvalidConfig { file: file.into(), key: key.into(), problem: problem.into() }
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

fn list(places: &[String]) -> String {
    places.iter().map(|place| format!("\n  - {place}")).collect()
}
