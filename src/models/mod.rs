//! The public models. Each has an engine and a head, and only what is its own.

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
