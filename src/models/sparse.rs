//! [`SparseModel`]: embeddings that say how much of each token of the vocabulary is in a text.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::sentence::{Model, find};
use crate::alloc;
use crate::batch::Distinct;
use crate::config::{Kind, Settings, object};
use crate::device::Device;
use crate::engine::loaded::opened;
use crate::engine::routes::{OtherRoute, Routed};
use crate::engine::run::Call;
use crate::engine::whole::whole;
use crate::error::{Error, Result};
use crate::heads::SparseRow;
use crate::network::Wanted;
use crate::observer::NoObserver;
use crate::options::{EncodeOptions, LoadOptions, SparseOptions};
use crate::save::{KindSettings, SaveTarget};
use crate::source;
use crate::tokenize::{Input, Tokenizer};
use crate::vectors::falling;
use crate::vectors::similarity::{Matrix, Run, Similarity};
use crate::vectors::sparse::{SparseEmbeddings, similarity};

/// A sparse embedding model, such as SPLADE.
///
/// It is cheap to clone, and a clone shares the weights; settings are each clone's own. All methods that compute take
/// `&self` and may be called from many threads at once.
#[derive(Clone, Debug)]
pub struct SparseModel {
    documents: Model,
    /// Where queries go another way than documents.
    queries: Option<Model>,
    query_by_default: bool,
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
        whole(folder, |folder| Self::opened(folder, options))
    }

    fn opened(folder: PathBuf, options: &LoadOptions) -> Result<Self> {
        let (folder, entries) = opened(folder)?;
        let Routed { default, other } = Routed::of(entries)?;
        let Some(OtherRoute { entries, of_queries, folder: router }) = other else {
            let (documents, settings) = Model::of_modules(Kind::Sparse, folder, default, options)?;
            return Ok(Self::new(documents, None, false, &settings, options));
        };
        // Queries, which mostly need no transformer, have a limit of their own.
        let routes = LoadOptions { max_seq_length: None, ..options.clone() };
        let (default, settings) = Model::of_modules(Kind::Sparse, folder.clone(), default, &routes)?;
        let (other, _) = Model::of_modules(Kind::Sparse, folder, Some(entries), &routes)?;
        let widths = [&other, &default].map(Model::embedding_dimension);
        if widths[0] != widths[1] {
            let problem = format!("both routes must give embeddings of one width, give {widths:?}");
            return Err(Error::config(router.join("router_config.json"), "structure", problem));
        }
        let (queries, mut documents) = if of_queries { (other, default) } else { (default, other) };
        options.max_seq_length.map_or(Ok(()), |tokens| documents.set_max_seq_length(tokens))?;
        Ok(Self::new(documents, Some(queries), !of_queries, &settings, options))
    }

    fn new(
        documents: Model,
        queries: Option<Model>,
        query_by_default: bool,
        settings: &Settings,
        options: &LoadOptions,
    ) -> Self {
        let configured = settings.similarity_fn_name.is_some().then(|| documents.similarity_fn());
        let similarity = options.similarity.or(configured).unwrap_or(Similarity::Dot);
        Self { documents, queries, query_by_default, similarity, max_active_dims: settings.max_active_dims }
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
        self.encode_inputs(&Input::texts(inputs), self.query_by_default(), &[], options)
    }

    /// Embeds queries: the prompt is "query" where the options name none.
    ///
    /// # Errors
    /// As [`SparseModel::encode`].
    pub fn encode_query<T: AsRef<str>>(&self, inputs: &[T], options: &SparseOptions<'_>) -> Result<SparseEmbeddings> {
        self.encode_inputs(&Input::texts(inputs), true, &["query"], options)
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
        self.encode_inputs(&Input::texts(inputs), false, &["document", "passage", "corpus"], options)
    }

    /// Embeds texts by the way of queries or documents, with the first of the prompts that isn't empty.
    pub(crate) fn encode_inputs(
        &self,
        inputs: &[Input<'_>],
        as_queries: bool,
        prompts: &[&str],
        options: &SparseOptions<'_>,
    ) -> Result<SparseEmbeddings> {
        let model = self.queries.as_ref().filter(|_| as_queries).unwrap_or(&self.documents);
        let most = check_active_dims(options.max_active_dims)?.or(self.max_active_dims);
        let SparseOptions { prompt_name, prompt, truncation, observer, .. } = *options;
        let options = EncodeOptions { prompt_name, prompt, truncation, observer, ..EncodeOptions::default() };
        let options = if prompts.is_empty() { options } else { self.documents.with_role(&options, prompts) };
        // Both ways have the same prompts.
        let options = EncodeOptions { prompt: Some(self.documents.prompt(&options)?), ..options };

        let few = Distinct::of(inputs)?;
        let call = Call::new(model, &options)?;
        let rows = Mutex::new(alloc::filled(SparseRow::new(), few.inputs.len(), "the embeddings")?);
        let lengths =
            call.forward(&few.inputs, &|i| few.place(i), Wanted::SentenceEmbeddings, |texts, _, output| {
                let kept = output.sparse.into_iter().map(|row| strongest(row, most)).collect::<Vec<_>>();
                let mut rows = rows.lock().unwrap_or_else(PoisonError::into_inner);
                texts.iter().zip(kept).for_each(|((i, _), row)| rows[*i] = row);
                Ok(())
            })?;
        let rows = rows.into_inner().unwrap_or_else(PoisonError::into_inner);
        let rows = few.which.iter().map(|i| &*rows[*i]);
        let truncated = call.truncated(few.which.iter().map(|i| lengths[*i]));
        SparseEmbeddings::of_rows(rows, self.embedding_dimension(), truncated)
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
        self.tokenizer().token(id).unwrap_or_default()
    }

    /// The similarity of every row of `a` with every row of `b`, `(a.len(), b.len())`, by the model's own function.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] where the widths differ.
    pub fn similarity(&self, a: &SparseEmbeddings, b: &SparseEmbeddings) -> Result<Matrix> {
        similarity(self.similarity, a, b, Run::watched_by(&NoObserver)?)
    }
}

/// Settings.
impl SparseModel {
    /// Columns of an embedding: tokens of the vocabulary.
    pub fn embedding_dimension(&self) -> usize {
        self.documents.embedding_dimension()
    }

    /// Whether texts that are neither said to be queries nor documents go the queries' way.
    pub(crate) fn query_by_default(&self) -> bool {
        self.query_by_default
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
        self.documents.max_seq_length()
    }

    /// Sets how many tokens are kept of a document, and of a query where it goes the same way.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for 0, or for more than the model has positions for.
    pub fn set_max_seq_length(&mut self, tokens: usize) -> Result<()> {
        self.documents.set_max_seq_length(tokens)
    }

    /// The prompts by name.
    pub fn prompts(&self) -> &BTreeMap<String, String> {
        self.documents.prompts()
    }

    /// The prompts, to change them.
    pub fn prompts_mut(&mut self) -> &mut BTreeMap<String, String> {
        self.documents.prompts_mut()
    }

    /// Name of the prompt that is used where a call names none.
    pub fn default_prompt_name(&self) -> Option<&str> {
        self.documents.default_prompt_name()
    }

    /// Sets the prompt that is used where a call names none.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] where there is no prompt of that name.
    pub fn set_default_prompt_name(&mut self, name: Option<String>) -> Result<()> {
        self.documents.set_default_prompt_name(name)
    }

    /// The tokenizer, of documents where they are two.
    pub fn tokenizer(&self) -> &Tokenizer {
        self.documents.tokenizer()
    }

    /// What reads queries, documents, or texts that are said to be neither.
    #[cfg(feature = "python")]
    pub(crate) fn reader(&self, as_queries: Option<bool>) -> Model {
        let as_queries = as_queries.unwrap_or(self.query_by_default);
        self.queries.as_ref().filter(|_| as_queries).unwrap_or(&self.documents).clone()
    }

    /// The folder that it was loaded from.
    pub fn folder(&self) -> &Path {
        self.documents.folder()
    }

    /// Where it computes.
    pub fn device(&self) -> Device {
        self.documents.device()
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
        let settings = object([
            ("similarity_fn_name", self.similarity.to_string().into()),
            ("max_active_dims", self.max_active_dims.into()),
        ]);
        let own = KindSettings { settings, ..KindSettings::default() };
        let saved = match &self.queries {
            None => SaveTarget::Model(&self.documents),
            Some(queries) => {
                SaveTarget::Router { queries, documents: &self.documents, query_by_default: self.query_by_default }
            }
        };
        saved.write(&own, path.as_ref())
    }
}

fn check_active_dims(dims: Option<usize>) -> Result<Option<usize>> {
    if dims == Some(0) {
        return Err(Error::argument("max_active_dims", "must be at least 1, got 0"));
    }
    Ok(dims)
}

/// The `most` largest numbers of a row, in its order; of equal ones those of smaller columns.
fn strongest(mut row: SparseRow, most: Option<usize>) -> SparseRow {
    if let Some(most) = most.filter(|most| *most < row.len()) {
        row.select_nth_unstable_by(most - 1, |a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        row.truncate(most);
        row.sort_unstable_by_key(|(column, _)| *column);
    }
    row
}

#[cfg(test)]
mod tests {
    use super::strongest;

    #[test]
    fn the_strongest_stay_in_their_order() {
        let row = vec![(1, 0.5), (3, 2.0), (4, 0.5), (7, 1.0), (9, 0.5)];
        assert_eq!(strongest(row.clone(), Some(2)), [(3, 2.0), (7, 1.0)]);
        assert_eq!(strongest(row.clone(), Some(4)), [(1, 0.5), (3, 2.0), (4, 0.5), (7, 1.0)]);
        assert_eq!(strongest(row.clone(), Some(9)), row);
        assert_eq!(strongest(row.clone(), None), row);
    }
}
