#![doc = include_str!("../README.md")]

mod alloc;
mod batch;
mod config;
mod device;
mod engine;
mod error;
mod families;
mod heads;
mod inputs;
mod kernels;
mod layers;
mod models;
mod modules;
mod network;
mod observer;
mod ops;
mod options;
pub mod process;
mod save;
mod source;
mod threads;
mod tokenize;
pub mod vectors;
mod weights;

pub use config::PoolingMode;
pub use device::{Device, Dtype};
pub use engine::{Prompts, Role};
pub use error::{Error, Result};
pub use inputs::Reader;
pub use models::{
    DevicePool, Elementwise, EncodeIter, Model, MultiVectorModel, Ranked, Reranker, ScoreActivation, SparseModel,
    ranked,
};
pub use observer::Observer;
#[doc(hidden)] // Tests and benches compare both.
pub use options::Kernels;
pub use options::{
    BackboneOptions, CallOptions, ChunkOptions, CommunityOptions, EncodeOptions, HubToken, LoadOptions, MiningOptions,
    MultiVectorOptions, PredictOptions, QuantizeOptions, SearchOptions, SparseOptions, Truncation,
};

pub use tokenize::{Input, Tokenizer, Tokens};
pub use vectors::embeddings::{Embeddings, TokenEncoding, Truncated};
pub use vectors::maxsim::MultiVectorSimilarity;
pub use vectors::quantize::{BinaryView, Int8View, Precision, Quantized, QuantizedBytes, QuantizedValues, quantize};
pub use vectors::similarity::{Matrix, MatrixView, RowIter, Similarity};
pub use vectors::sparse::SparseEmbeddings;

#[cfg(feature = "bench")]
#[doc(hidden)]
pub use kernels::bench;

#[cfg(feature = "python")]
mod python;
