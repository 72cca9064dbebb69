//! Public models. Each wraps an engine with the head and the settings of its kind.

mod assembly;
mod encode;
mod mining;
mod multi_vector;
mod pool;
mod reranker;
pub(crate) mod sentence;
mod sparse;
pub(crate) mod streaming;

pub use multi_vector::MultiVectorModel;
pub use pool::DevicePool;
pub use reranker::{Elementwise, Ranked, Reranker, ScoreActivation, ranked};
pub use sentence::{INSTRUCTORS, Model};
pub use sparse::SparseModel;
pub use streaming::{EncodeIter, TextItem};
