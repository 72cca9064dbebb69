//! [`SparseModel`]: sparse embeddings, with a weight for each token of the vocabulary.

use std::path::{Path, PathBuf};

use super::loading::{LoadFolder, loading};
use super::sentence::configured_similarity;
use super::shared_settings;
use crate::config::{Kind, Role, Similarity, object};
use crate::engine::{Engine, Request, SparseRows};
use crate::error::{Error, Result};
use crate::inputs::Reader;
use crate::observer::NoObserver;
use crate::options::{CallOptions, LoadOptions, SparseOptions};
use crate::save::{self, KindSettings};
use crate::source;
use crate::tokenize::Input;
use crate::vectors::falling;
use crate::vectors::similarity::Matrix;
use crate::vectors::sparse::{SparseEmbeddings, sparse_similarity};

/// Sparse embedding model, such as SPLADE.
///
/// Clones are cheap and share the weights; each has its own settings. Methods that compute take `&self`, so that many
/// threads can call them at once.
///
/// # Examples
/// ```
/// use rushlight::SparseModel;
///
/// # let name = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/sparse/splade-bert-max/model");
/// // let name = "splade-cocondenser-ensembledistil";
/// let model = SparseModel::load(name)?;
/// let embeddings = model.encode(&["one text"], &Default::default())?;
/// for (token, weight) in model.decode(&embeddings, 0, Some(3)) {
///     println!("{token} {weight:.2}");
/// }
/// # Ok::<(), rushlight::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct SparseModel {
    pub(crate) engine: Engine,
    similarity: Similarity,
    max_active_dims: Option<usize>,
}

shared_settings!(SparseModel);

loading!(
    SparseModel from "sparse-encoder",
    /// `max_seq_length` limits the texts that a transformer reads.
    load_with,
    from_dir
);

impl LoadFolder for SparseModel {
    const ORGANIZATION: &str = source::SPARSE_ENCODERS;

    fn load_folder(folder: PathBuf, options: &LoadOptions) -> Result<Self> {
        if options.truncate_dim.is_some() {
            let problem = "applies to dense embeddings; max_active_dims limits the weights of sparse ones";
            return Err(Error::argument("truncate_dim", problem));
        }
        let (engine, settings) = Engine::load(Kind::Sparse, folder, options)?;
        let configured = match engine.loaded.folder_kind {
            Kind::Sparse => configured_similarity(&engine, &settings)?,
            // It is that of the folder's dense embeddings.
            _ => None,
        };
        let similarity = options.similarity.or(configured).unwrap_or(Similarity::Dot);
        Ok(Self { engine, similarity, max_active_dims: settings.max_active_dims })
    }
}

/// Embedding.
impl SparseModel {
    /// Embeds texts without a role: one sparse row per text, [`SparseModel::embedding_dimension`] columns.
    ///
    /// On a CPU a text's result has the same bits for any other texts, order and number of threads.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for an option that is unknown or out of range, [`Error::InvalidInput`] for a text
    /// that can't be embedded, [`Error::Interrupted`] if the observer stops it.
    pub fn encode<T: AsRef<str>>(&self, inputs: &[T], options: &SparseOptions<'_>) -> Result<SparseEmbeddings> {
        self.encode_inputs(&Input::texts(inputs), options)
    }

    /// Embeds queries. The default prompt is "query".
    ///
    /// # Errors
    /// The errors of [`SparseModel::encode`].
    pub fn encode_query<T: AsRef<str>>(&self, inputs: &[T], options: &SparseOptions<'_>) -> Result<SparseEmbeddings> {
        self.encode(inputs, &SparseOptions { role: Some(Role::Query), ..*options })
    }

    /// Embeds documents. The default prompt is the first of "document", "passage" and "corpus" that isn't empty.
    ///
    /// # Errors
    /// The errors of [`SparseModel::encode`].
    pub fn encode_document<T: AsRef<str>>(
        &self,
        inputs: &[T],
        options: &SparseOptions<'_>,
    ) -> Result<SparseEmbeddings> {
        self.encode(inputs, &SparseOptions { role: Some(Role::Document), ..*options })
    }

    /// Embeds texts and pairs of texts.
    ///
    /// # Errors
    /// The errors of [`SparseModel::encode`].
    pub fn encode_inputs(&self, inputs: &[Input<'_>], options: &SparseOptions<'_>) -> Result<SparseEmbeddings> {
        let max = check_active_dims(options.max_active_dims)?.or(self.max_active_dims());
        let SparseOptions { prompt_name, prompt, role, truncation, truncation_side, observer, .. } = *options;
        let request = Request { prompt_name, prompt, role, task: None, truncation, truncation_side, observer };
        let engine = self.engine.route(role);
        let rows = self.engine.run(inputs, &request, |inputs| SparseRows::new(inputs, max, engine.words()))?;
        rows.sparse_embeddings(self.embedding_dimension())
    }

    /// Returns the tokens of an embedding with their weights, the largest first; equal weights by token id. `top_k`
    /// limits their number; `None` returns all.
    ///
    /// # Panics
    /// Panics if `row >= embeddings.len()`, as slices do.
    pub fn decode(&self, embeddings: &SparseEmbeddings, row: usize, top_k: Option<usize>) -> Vec<(String, f32)> {
        let (indices, values) = embeddings.row(row);
        let mut tokens: Vec<_> = indices.iter().copied().zip(values.iter().copied()).collect();
        // The sort is stable and indices ascend, so ties stay in the order of ids.
        tokens.sort_by(|a, b| falling(a.1, b.1));
        tokens.truncate(top_k.unwrap_or(usize::MAX));
        tokens.into_iter().map(|(id, weight)| (self.token(id as u32), weight)).collect()
    }

    /// Returns the token of an id; empty if the tokenizer has none.
    fn token(&self, id: u32) -> String {
        self.reader(Some(Role::Document)).tokenizer().token(id).unwrap_or_default()
    }

    /// Returns the similarity of every row of `a` with every row of `b`, `(a.len(), b.len())`, by the model's function.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if the widths differ.
    pub fn similarity(&self, a: &SparseEmbeddings, b: &SparseEmbeddings) -> Result<Matrix> {
        self.similarity_with(a, b, &CallOptions::default())
    }

    /// Compares like [`SparseModel::similarity`], with an observer that may stop it.
    ///
    /// # Errors
    /// The errors of [`SparseModel::similarity`], and [`Error::Interrupted`] if the observer stops it.
    pub fn similarity_with(
        &self,
        a: &SparseEmbeddings,
        b: &SparseEmbeddings,
        options: &CallOptions<'_>,
    ) -> Result<Matrix> {
        sparse_similarity(self.similarity, a, b, options)
    }
}

/// Settings.
impl SparseModel {
    /// Number of columns of an embedding, which is the size of the vocabulary.
    pub fn embedding_dimension(&self) -> usize {
        self.engine.width()
    }

    /// Maximum number of nonzero weights per embedding: as set, else that of a SparseAutoEncoder; `None` means no limit.
    pub fn max_active_dims(&self) -> Option<usize> {
        self.max_active_dims.or(self.engine.loaded.network.active_dims())
    }

    /// Sets the maximum number of nonzero weights per embedding. The largest stay.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for 0.
    pub fn set_max_active_dims(&mut self, dims: Option<usize>) -> Result<()> {
        self.max_active_dims = check_active_dims(dims)?;
        Ok(())
    }

    /// Function that [`SparseModel::similarity`] computes.
    pub fn similarity_fn(&self) -> Similarity {
        self.similarity
    }

    /// Sets the function that [`SparseModel::similarity`] computes.
    pub fn set_similarity_fn(&mut self, similarity: Similarity) {
        self.similarity = similarity;
    }

    /// Maximum number of tokens per document, special tokens included; `None` means no limit.
    pub fn max_seq_length(&self) -> Option<usize> {
        self.engine.route(Some(Role::Document)).max_seq_length
    }

    /// Sets the maximum number of tokens per document, and per query if both take the same route.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for 0, or for more tokens than the model has positions.
    pub fn set_max_seq_length(&mut self, tokens: usize) -> Result<()> {
        self.engine.set_max_seq_length_of(Role::Document, tokens)
    }

    /// Returns a reader of texts in a role, which tokenizes and counts tokens.
    pub fn reader(&self, role: Option<Role>) -> Reader {
        self.engine.reader(role)
    }
}

/// Saving.
impl SparseModel {
    /// Saves the model with its current settings. rushlight and sentence-transformers 5 or newer load the folder.
    ///
    /// # Errors
    /// The errors of [`Model::save`](crate::Model::save), which also describes how the folder changes.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        self.save_with(path, &CallOptions::default())
    }

    /// Saves like [`SparseModel::save`], with an observer that may stop the wait for another save to the same folder.
    ///
    /// # Errors
    /// The errors of [`SparseModel::save`], and [`Error::Interrupted`] if the observer stops it.
    pub fn save_with(&self, path: impl AsRef<Path>, options: &CallOptions<'_>) -> Result<()> {
        let settings = object([
            ("similarity_fn_name", self.similarity.to_string().into()),
            ("max_active_dims", self.max_active_dims().into()),
        ]);
        save::save(
            &self.engine,
            &KindSettings { settings, ..KindSettings::default() },
            path.as_ref(),
            options.observer.unwrap_or(&NoObserver),
        )
    }
}

pub(super) fn check_active_dims(dims: Option<usize>) -> Result<Option<usize>> {
    if dims == Some(0) {
        return Err(Error::argument("max_active_dims", "must be at least 1, got 0"));
    }
    Ok(dims)
}
