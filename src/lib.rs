//! Sentence embeddings without PyTorch: the numbers of [sentence-transformers], fast on a CPU.
//!
//! rushlight loads models of the Hugging Face hub and embeds, searches and reranks texts in pure Rust, on [candle]. A text
//! gets the same bits in every batch and with every number of threads.
//!
//! # Install
//!
//! ```toml
//! [dependencies]
//! rushlight = { git = "https://github.com/rushlight-ml/rushlight" }
//!
//! # Without it, debug builds are slow.
//! [profile.dev.package."*"]
//! opt-level = 3
//! ```
//!
//! A build with downloads (the feature `hub`) needs a C compiler, for the TLS library's `ring`.
//!
//! | feature | default | effect |
//! |---|---|---|
//! | `hub` | yes | downloads models; without it the program contains no network code |
//! | `images` | yes | decodes files of images; without it images are pixels |
//! | `portable` | yes | candle's operations, which other devices need; programs for a CPU alone are smaller without it |
//! | `serde` | no | `Serialize` and `Deserialize` for results |
//! | `ndarray` | no | conversions from and to arrays of ndarray |
//! | `server` | no | the HTTP server `server`, and the program `rushlight` |
//! | `otlp` | no | traces of the server's requests for OpenTelemetry |
//! | `cuda` | no | NVIDIA GPUs; the build needs CUDA's nvcc |
//! | `metal` | no | Apple GPUs |
//! | `accelerate` | no | Apple's Accelerate matrix products, for candle's operations on the CPU |
//!
//! # Embed
//!
//! [`Model::load`] takes a model's folder or its name on the hub. Options are structs with defaults and `with_*` methods.
//!
//! ```
//! use rushlight::{EncodeOptions, Model};
//!
//! # let name = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tiny/bert-mean-normalize/model");
//! // let name = "all-MiniLM-L6-v2";
//! let model = Model::load(name)?;
//! let options = EncodeOptions::default().with_normalize_embeddings(true);
//! let embeddings = model.encode(&["A small lamp.", "A little lantern.", "Stock prices fell."], &options)?;
//! let scores = model.similarity(&embeddings, &embeddings)?;
//! assert_eq!((scores.rows(), scores.columns()), (3, 3));
//! # Ok::<(), rushlight::Error>(())
//! ```
//!
//! # Search
//!
//! [`vectors`] compares, searches, groups and quantizes embeddings. Its functions take [`&Embeddings`](Embeddings),
//! [`&Matrix`](Matrix), a [`MatrixView`] of your own memory, or a slice with one row.
//!
//! ```
//! use rushlight::{Model, SearchOptions, vectors};
//!
//! # let name = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tiny/bert-mean-normalize/model");
//! let model = Model::load(name)?;
//! let corpus = model.encode_document(&["Bread needs yeast.", "The train leaves at nine."], &Default::default())?;
//! let queries = model.encode_query(&["Bread needs yeast."], &Default::default())?;
//! let hits = vectors::semantic_search(&queries, &corpus, &SearchOptions::default().with_top_k(1))?;
//! assert_eq!(hits[0][0].corpus_id, 0);
//! # Ok::<(), rushlight::Error>(())
//! ```
//!
//! [`quantize`] makes a corpus 4 or 32 times smaller, and [`vectors::rescore`] wins most of the accuracy back:
//!
//! ```
//! use rushlight::{Model, Precision, SearchOptions, quantize, vectors};
//!
//! # let model = Model::load(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tiny/bert-mean-normalize/model"))?;
//! # let corpus = model.encode(&["Bread needs yeast.", "The train leaves at nine."], &Default::default())?;
//! # let query = model.encode(&["Bread needs yeast."], &Default::default())?;
//! let small = quantize(&corpus, Precision::Ubinary, &Default::default())?;
//! let hits = vectors::semantic_search(&query, small.binary_view(corpus.dim())?, &SearchOptions::default())?;
//! let hits = vectors::rescore(&query, &hits, &corpus, &SearchOptions::default())?;
//! assert_eq!(hits[0][0].corpus_id, 0);
//! # Ok::<(), rushlight::Error>(())
//! ```
//!
//! # Rerank, sparse embeddings, late interaction
//!
//! [`Reranker`] scores pairs of texts, [`SparseModel`] gives a weight for each token of the vocabulary (SPLADE), and
//! [`MultiVectorModel`] gives a vector for each token (ColBERT). All of them load as [`Model`] does.
//!
//! ```
//! use rushlight::{MultiVectorModel, Reranker, SparseModel};
//!
//! let documents = ["Bread needs yeast.", "The train leaves at nine."];
//!
//! # let name = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/rerank/rerank-bert/model");
//! let reranker = Reranker::load(name)?;
//! let ranked = reranker.rank("When does the train leave?", &documents, &Default::default())?;
//! assert!(ranked[0].score >= ranked[1].score);
//!
//! # let name = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/sparse/splade-bert-max/model");
//! let splade = SparseModel::load(name)?;
//! let sparse = splade.encode_document(&documents, &Default::default())?;
//! assert_eq!(sparse.dim(), splade.embedding_dimension());
//!
//! # let name = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/multi_vector/multivector-native-bert/model");
//! let colbert = MultiVectorModel::load(name)?;
//! let ranked = colbert.rank("When does the train leave?", &documents, &Default::default())?;
//! assert_eq!(ranked.len(), 2);
//! # Ok::<(), rushlight::Error>(())
//! ```
//!
//! # Stream, watch and stop
//!
//! [`Model::encode_iter`] embeds any iterator of texts in constant memory. An [`Observer`] is told of progress and may stop a
//! call: an `AtomicBool`, a closure, a pair of both, or your own type.
//!
//! ```
//! use std::sync::Arc;
//! use std::sync::atomic::{AtomicBool, Ordering};
//!
//! use rushlight::{EncodeOptions, Error, Model};
//!
//! # let model = Model::load(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tiny/bert-mean-normalize/model"))?;
//! let lines = (0..1000).map(|i| format!("line {i}"));
//! for embeddings in model.encode_iter(lines, 256, &Default::default())? {
//!     assert_eq!(embeddings?.dim(), model.embedding_dimension());
//! }
//!
//! let stop = Arc::new(AtomicBool::new(false));
//! let watch = (Arc::clone(&stop), |done: usize, total: usize| eprintln!("{done} of {total}"));
//! let options = EncodeOptions::default().with_observer(&watch);
//! assert!(model.encode(&["a text"], &options).is_ok());
//!
//! stop.store(true, Ordering::Relaxed);
//! assert!(matches!(model.encode(&["a text"], &options), Err(Error::Interrupted)));
//! # Ok::<(), rushlight::Error>(())
//! ```
//!
//! # Threads and devices
//!
//! Models are `Send`, `Sync` and cheap to clone; clones share the weights. Methods take `&self` and use all cores, up to the
//! limit of [`process::set_num_threads`]. In asynchronous code, call them with `tokio::task::spawn_blocking`. A [`DevicePool`]
//! spreads a call over several devices.
//!
//! [sentence-transformers]: https://sbert.net
//! [candle]: https://github.com/huggingface/candle

#[cfg(target_endian = "big")]
compile_error!("rushlight needs a little-endian processor: weights are used as files store them, little endian");
#[cfg(not(target_pointer_width = "64"))]
compile_error!("rushlight needs a 64-bit processor: sizes of tensors and of mapped files are computed in 64 bits");

mod alloc;
mod batch;
mod catch_panic;
mod config;
mod device;
mod engine;
mod error;
mod families;
mod heads;
mod images;
mod inputs;
mod kernels;
mod layers;
mod mapped;
mod models;
mod modules;
mod network;
mod observer;
mod ops;
mod options;
mod packed;
pub mod process;
mod save;
#[cfg(feature = "server")]
pub mod server;
pub mod source;
mod stamp;
mod threads;
mod tokenize;
pub mod vectors;
mod weights;

pub use config::{Elementwise, PoolingMode, Role, ScoreActivation, Similarity};
pub use device::{Device, Dtype};
pub use engine::{Lookahead, Prompts};
pub use error::{Error, ErrorKind, Result};
pub use images::{Image, Pixels};
pub use inputs::Reader;
pub use models::{
    DevicePool, EncodeIter, INSTRUCTORS, Model, MultiVectorModel, Ranked, Reranker, SparseModel, TextItem, ranked,
};
pub use observer::{Observer, Step};
#[doc(hidden)] // Tests and benches compare both.
pub use options::Kernels;
pub use options::{
    BackboneOptions, CallOptions, ChunkOptions, CommunityOptions, EncodeOptions, HubToken, HybridOptions, LoadOptions,
    MiningOptions, MultiVectorOptions, PredictOptions, QuantizeOptions, SearchOptions, SparseOptions, StaticRule,
    Truncation, TruncationSide,
};
pub use tokenize::{Input, Tokenizer, TokenizerDifference, Tokens};
pub use vectors::embeddings::{Embeddings, TokenEncoding, Truncated};
pub use vectors::hybrid::{EmbeddingKind, HybridEmbeddings, HybridView, HybridWeights};
pub use vectors::maxsim::MultiVectorSimilarity;
pub use vectors::quantize::{BinaryView, Int8View, Precision, Quantized, QuantizedBytes, QuantizedValues, quantize};
pub use vectors::similarity::{Matrix, MatrixView, RowIter};
pub use vectors::sparse::SparseEmbeddings;

#[cfg(feature = "bench")]
#[doc(hidden)]
pub use kernels::bench;

/// Readers of files as functions of bytes. Through a folder each call would load a model.
#[cfg(feature = "fuzz")]
#[doc(hidden)]
pub mod fuzz {
    pub use crate::inputs::render_chat_template;
    pub use crate::tokenize::normalize_by_sentence_piece;
    pub use crate::weights::torch_tensors;
}

/// Compiles the README's examples.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
