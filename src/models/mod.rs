//! The public models. Each has an engine and a head, and only what is its own.

mod assembly;
mod chunking;
mod encode;
mod multi_vector;
mod pool;
mod reranker;
pub(crate) mod sentence;
mod sparse;
pub(crate) mod streaming;

pub use assembly::Assembly;
pub use chunking::ChunkOptions;
pub use multi_vector::{MultiVectorModel, MultiVectorOptions};
pub use pool::Pool;
pub use reranker::{Elementwise, PredictOptions, Ranked, Reranker, ScoreActivation};
pub use sentence::Model;
pub use sparse::{SparseModel, SparseOptions};
pub use streaming::EncodeIter;
