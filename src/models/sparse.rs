//! [`SparseModel`]: embeddings that say how much of each token of the vocabulary is in a text.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::sentence::{configured_similarity, find};
use crate::config::{Kind, object};
use crate::device::Device;
use crate::engine::consistent::load_consistent;
use crate::engine::{Collected, Engine, Request, Role, SparseRows};
use crate::error::{Error, Result};
use crate::inputs::Reader;
use crate::observer::NoObserver;
use crate::options::{CallOptions, LoadOptions, SparseOptions};
use crate::save::{self, KindSettings};
use crate::source;
use crate::tokenize::Input;
use crate::vectors::falling;
use crate::vectors::similarity::{Matrix, Similarity};
use crate::vectors::sparse::{SparseEmbeddings, sparse_similarity};

/// Sparse embedding model, such as SPLADE.
///
/// It is cheap to clone, and a clone shares the weights; settings are each clone's own. All methods that compute take
/// `&self` and may be called from many threads at once.
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
    engine: Engine,
    similarity: Similarity,
    max_active_dims: Option<usize>,
}

/// Loading.
impl SparseModel {
    /// Loads a model by its folder, or by its name from the Hugging Face cache.
    ///
    /// A name without a `/` is one of `sparse-encoder`.
    ///
    /// # Errors
    /// [`Error::ModelNotFound`] with every place looked at; or what is wrong with the folder.
    pub fn load(name: &str) -> Result<Self> {
        Self::load_with(name, &LoadOptions::default())
    }

    /// [`SparseModel::load`], with options.
    ///
    /// # Errors
    /// As [`SparseModel::load`], and [`Error::InvalidArgument`] for an option that doesn't fit the model.
    pub fn load_with(name: &str, options: &LoadOptions) -> Result<Self> {
        Self::from_dir_with(find(name, source::SPARSE_ENCODERS, options)?, options)
    }

    /// Loads a model from its folder.
    ///
    /// # Errors
    /// What is wrong with the folder: a file that is absent or malformed, a tensor that is absent or of another shape, an
    /// architecture or module that isn't supported.
    pub fn from_dir(folder: impl Into<PathBuf>) -> Result<Self> {
        Self::from_dir_with(folder, &LoadOptions::default())
    }

    /// [`SparseModel::from_dir`], with options. `max_seq_length` is for texts that a transformer reads.
    ///
    /// # Errors
    /// As [`SparseModel::from_dir`], and [`Error::InvalidArgument`] for an option that doesn't fit the model.
    pub fn from_dir_with(folder: impl Into<PathBuf>, options: &LoadOptions) -> Result<Self> {
        if options.truncate_dim.is_some() {
            let problem = "is for dense embeddings: of sparse ones max_active_dims limits the weights";
            return Err(Error::argument("truncate_dim", problem));
        }
        load_consistent(folder, |folder| {
            let (engine, settings) = Engine::load(Kind::Sparse, folder, options)?;
            let configured = configured_similarity(&engine, &settings)?;
            let similarity = options.similarity.or(configured).unwrap_or(Similarity::Dot);
            Ok(Self { engine, similarity, max_active_dims: settings.max_active_dims })
        })
    }
}

/// Embedding.
impl SparseModel {
    /// Embeds texts that are neither said to be queries nor documents.
    ///
    /// On a processor the same text gives the same bits, whatever the other texts, their order and the number of threads.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for an option that is out of range or unknown, [`Error::InvalidInput`] for a text that
    /// can't be embedded, [`Error::Interrupted`] where the observer stops it.
    pub fn encode<T: AsRef<str>>(&self, inputs: &[T], options: &SparseOptions<'_>) -> Result<SparseEmbeddings> {
        self.encode_inputs(&Input::texts(inputs), options)
    }

    /// Embeds queries: the prompt is "query" where the options name none.
    ///
    /// # Errors
    /// As [`SparseModel::encode`].
    pub fn encode_query<T: AsRef<str>>(&self, inputs: &[T], options: &SparseOptions<'_>) -> Result<SparseEmbeddings> {
        self.encode(inputs, &SparseOptions { role: Some(Role::Query), ..*options })
    }

    /// Embeds documents: the prompt is the first of "document", "passage" and "corpus" that isn't empty, where the options
    /// name none.
    ///
    /// # Errors
    /// As [`SparseModel::encode`].
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
    /// As [`SparseModel::encode`].
    pub fn encode_inputs(&self, inputs: &[Input<'_>], options: &SparseOptions<'_>) -> Result<SparseEmbeddings> {
        let max = check_active_dims(options.max_active_dims)?.or(self.max_active_dims);
        let SparseOptions { prompt_name, prompt, role, truncation, observer, .. } = *options;
        let request = Request { prompt_name, prompt, role, truncation, observer };
        let Collected { rows, which, truncated } =
            self.engine.run(inputs, &request, |inputs| SparseRows::new(inputs, max))?;
        let rows = rows.into_rows();
        SparseEmbeddings::of_rows(which.iter().map(|i| &*rows[*i]), self.embedding_dimension(), truncated)
    }

    /// The tokens of an embedding with their weights, the largest first; of equal ones the smaller id first.
    ///
    /// # Panics
    /// Where `row >= embeddings.len()`, as slices do.
    pub fn decode(&self, embeddings: &SparseEmbeddings, row: usize, top_k: Option<usize>) -> Vec<(String, f32)> {
        let (indices, values) = embeddings.row(row);
        let mut tokens: Vec<_> = indices.iter().copied().zip(values.iter().copied()).collect();
        // Stable: indices rise.
        tokens.sort_by(|a, b| falling(a.1, b.1));
        tokens.truncate(top_k.unwrap_or(usize::MAX));
        tokens.into_iter().map(|(id, weight)| (self.token(id as u32), weight)).collect()
    }

    /// The token of an id; nothing where the tokenizer has none.
    fn token(&self, id: u32) -> String {
        self.reader(Some(Role::Document)).tokenizer().token(id).unwrap_or_default()
    }

    /// The similarity of every row of `a` with every row of `b`, `(a.len(), b.len())`, by the model's own function.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] where the widths differ.
    pub fn similarity(&self, a: &SparseEmbeddings, b: &SparseEmbeddings) -> Result<Matrix> {
        sparse_similarity(self.similarity, a, b, &CallOptions::default())
    }
}

/// Settings.
impl SparseModel {
    /// Columns of an embedding: tokens of the vocabulary.
    pub fn embedding_dimension(&self) -> usize {
        self.engine.width()
    }

    /// How many weights are kept of an embedding, where they are limited.
    pub fn max_active_dims(&self) -> Option<usize> {
        self.max_active_dims
    }

    /// Sets how many weights are kept of an embedding.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for 0.
    pub fn set_max_active_dims(&mut self, dims: Option<usize>) -> Result<()> {
        self.max_active_dims = check_active_dims(dims)?;
        Ok(())
    }

    /// What [`SparseModel::similarity`] computes.
    pub fn similarity_fn(&self) -> Similarity {
        self.similarity
    }

    /// Sets what [`SparseModel::similarity`] computes.
    pub fn set_similarity_fn(&mut self, similarity: Similarity) {
        self.similarity = similarity;
    }

    /// Tokens that are kept of a document, special tokens included; `None` where there is no limit.
    pub fn max_seq_length(&self) -> Option<usize> {
        self.engine.route(Some(Role::Document)).max_seq_length
    }

    /// Sets how many tokens are kept of a document, and of a query where it goes the same way.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for 0, or for more than the model has positions for.
    pub fn set_max_seq_length(&mut self, tokens: usize) -> Result<()> {
        self.engine.set_max_seq_length_of(Role::Document, tokens)
    }

    /// The prompts by name.
    pub fn prompts(&self) -> &BTreeMap<String, String> {
        &self.engine.prompts.by_name
    }

    /// The prompts, to change them.
    pub fn prompts_mut(&mut self) -> &mut BTreeMap<String, String> {
        &mut self.engine.prompts.by_name
    }

    /// Name of the prompt that is used where a call names none.
    pub fn default_prompt_name(&self) -> Option<&str> {
        self.engine.prompts.default_name.as_deref()
    }

    /// Sets the prompt that is used where a call names none.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] where there is no prompt of that name.
    pub fn set_default_prompt_name(&mut self, name: Option<String>) -> Result<()> {
        self.engine.prompts.set_default(name)
    }

    /// Reads texts as the model does in a role, to tokenize and to count.
    pub fn reader(&self, role: Option<Role>) -> Reader {
        self.engine.reader(role)
    }

    /// The folder that it was loaded from.
    pub fn folder(&self) -> &Path {
        self.engine.folder()
    }

    /// Where it computes.
    pub fn device(&self) -> Device {
        self.engine.device()
    }
}

/// Saving.
impl SparseModel {
    /// Saves the model as a folder that this crate and sentence-transformers load, from its version 5 on, with its present
    /// settings.
    ///
    /// # Errors
    /// As [`Model::save`], which says how the folder changes.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        self.save_with(path, &CallOptions::default())
    }

    /// [`SparseModel::save`], with an observer that may stop the wait for another save to the same folder.
    ///
    /// # Errors
    /// As [`SparseModel::save`], and [`Error::Interrupted`] where the observer stops it.
    pub fn save_with(&self, path: impl AsRef<Path>, options: &CallOptions<'_>) -> Result<()> {
        let settings = object([
            ("similarity_fn_name", self.similarity.to_string().into()),
            ("max_active_dims", self.max_active_dims.into()),
        ]);
        save::save(
            &self.engine,
            &KindSettings { settings, ..KindSettings::default() },
            path.as_ref(),
            options.observer.unwrap_or(&NoObserver),
        )
    }
}

fn check_active_dims(dims: Option<usize>) -> Result<Option<usize>> {
    if dims == Some(0) {
        return Err(Error::argument("max_active_dims", "must be at least 1, got 0"));
    }
    Ok(dims)
}
