#![doc = include_str!("../README.md")]

mod alloc;
mod backbones;
mod batch;
mod config;
mod device;
mod embeddings;
mod error;
mod executor;
mod heads;
mod kernels;
mod model;
mod modules;
mod multi_vector;
mod network;
mod ops;
mod options;
pub mod process;
mod quantize;
mod reranker;
mod schedule;
mod shard;
mod similarity;
mod source;
mod sparse;
mod team;
mod tokenize;
pub mod util;
mod weights;

pub use config::PoolingMode;
pub use device::{Device, Dtype};
pub use embeddings::{Embeddings, Encoding, Truncated};
pub use error::{Error, Result};
pub use model::{Assembly, ChunkOptions, EncodeIter, Model};
pub use multi_vector::{MultiVectorModel, MultiVectorOptions, MultiVectorSimilarity};
pub use options::{EncodeOptions, Kernels, LoadOptions, Token, Truncation};
pub use quantize::{Bits, Levels, Precision, Quantized, QuantizedValues, quantize};
pub use reranker::{Elementwise, PredictOptions, Ranked, Reranker, ScoreActivation};
pub use schedule::Observer;
pub use shard::Pool;
pub use similarity::{Matrix, MatrixView, Similarity};
pub use sparse::{SparseEmbeddings, SparseModel, SparseOptions};
pub use tokenize::{Input, Tokenizer, Tokens};

#[cfg(feature = "bench")]
#[doc(hidden)]
pub use kernels::bench;

#[cfg(feature = "python")]
mod python;
