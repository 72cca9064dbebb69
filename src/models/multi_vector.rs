//! [`MultiVectorModel`]: a vector for each token, compared late (Khattab and Zaharia, 2020).

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::reranker::{Ranked, ranked};
use super::sentence::find;
use crate::config::{Expansion, Kind, Strategy, object, with_implied};
use crate::device::Device;
use crate::engine::consistent::load_consistent;
use crate::engine::loaded::opened;
use crate::engine::{Engine, Request, Role, TokenRows};
use crate::error::{Error, Result};
use crate::inputs::Reader;
use crate::observer::NoObserver;
use crate::options::{CallOptions, LoadOptions, MultiVectorOptions};
use crate::save::{self, KindSettings};
use crate::source;
use crate::tokenize::{Input, PadTo, Tokenizer};
use crate::vectors::embeddings::Truncated;
use crate::vectors::maxsim::{MultiVectorSimilarity, maxsim, maxsim_pairwise};
use crate::vectors::similarity::Matrix;

/// Late-interaction model, such as ColBERT.
///
/// It is cheap to clone, and a clone shares the weights; settings are each clone's own. All methods that compute take
/// `&self` and may be called from many threads at once.
///
/// # Examples
/// ```
/// use rushlight::MultiVectorModel;
///
/// # let name = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/multi_vector/multivector-native-bert/model");
/// // let name = "colbert-ir/colbertv2.0";
/// let model = MultiVectorModel::load(name)?;
/// let queries = model.encode_query(&["a query"], &Default::default())?;
/// let documents = model.encode_document(&["one document", "another"], &Default::default())?;
/// assert_eq!(model.similarity(&queries, &documents)?.columns(), 2);
/// # Ok::<(), rushlight::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct MultiVectorModel {
    engine: Engine,
    queries: Side,
    documents: Side,
    similarity: MultiVectorSimilarity,
}

/// How texts are read of one side of a comparison.
#[derive(Clone, Debug)]
struct Side {
    max_length: Option<usize>,
    pad_to: Option<PadTo>,
    /// Tokens that get no vector.
    skipped: Arc<HashSet<u32>>,
}

/// Loading.
impl MultiVectorModel {
    /// Loads a model by its folder, or by its name from the Hugging Face cache.
    ///
    /// # Errors
    /// [`Error::ModelNotFound`] with every place looked at; or what is wrong with the folder.
    pub fn load(name: &str) -> Result<Self> {
        Self::load_with(name, &LoadOptions::default())
    }

    /// [`MultiVectorModel::load`], with options.
    ///
    /// # Errors
    /// As [`MultiVectorModel::load`], and [`Error::InvalidArgument`] for an option that doesn't fit the model.
    pub fn load_with(name: &str, options: &LoadOptions) -> Result<Self> {
        Self::from_dir_with(find(name, source::SENTENCE_TRANSFORMERS, options)?, options)
    }

    /// Loads a model from its folder: in the layout of Stanford's ColBERT, of PyLate, or of sentence-transformers.
    ///
    /// # Errors
    /// What is wrong with the folder: a file that is absent or malformed, a tensor that is absent or of another shape, an
    /// architecture or module that isn't supported.
    pub fn from_dir(folder: impl Into<PathBuf>) -> Result<Self> {
        Self::from_dir_with(folder, &LoadOptions::default())
    }

    /// [`MultiVectorModel::from_dir`], with options: `max_seq_length` is how many tokens of a document are kept.
    ///
    /// # Errors
    /// As [`MultiVectorModel::from_dir`], and [`Error::InvalidArgument`] for an option that doesn't fit the model.
    pub fn from_dir_with(folder: impl Into<PathBuf>, options: &LoadOptions) -> Result<Self> {
        if options.truncate_dim.is_some() || options.similarity.is_some() {
            let argument = if options.similarity.is_some() { "similarity" } else { "truncate_dim" };
            return Err(Error::argument(argument, "is for models that give one vector a text"));
        }
        load_consistent(folder, |folder| Self::opened(folder, options))
    }

    fn opened(folder: PathBuf, options: &LoadOptions) -> Result<Self> {
        let (folder, listed) = opened(folder)?;
        let entries = listed.map(|listed| with_implied(&folder, listed)).transpose()?;
        let (mut engine, settings) = Engine::of_modules(Kind::MultiVector, folder, entries, options)?;
        let late = &engine.loaded.late_interaction;
        let default = engine.loaded.default_max_seq_length();
        let within = |length: usize| engine.loaded.max_tokens().map_or(length, |max| length.min(max));
        let skipped = |skips: bool| {
            let ids = late.skiplist.iter().filter(|_| skips).filter_map(|word| engine.tokenizer().id(word));
            Arc::new(ids.collect())
        };
        let query_length = late.query_length.map(within).or(default);
        let pad_to = late.expansion.as_ref().map(|expansion| padding(&engine, expansion)).transpose()?;
        let queries = Side {
            max_length: match &late.expansion {
                Some(expansion) if expansion.strategy == Strategy::Fixed => Some(expansion.length),
                Some(expansion) => query_length.map(|length| length.max(expansion.length)),
                None => query_length,
            },
            pad_to,
            skipped: skipped(late.skips_in_queries),
        };
        let document_length = options.max_seq_length.or(late.document_length.map(within)).or(default);
        let documents = Side { max_length: document_length, pad_to: None, skipped: skipped(late.skips_in_documents) };
        let prefixes = late.prefixes.clone().into_iter().flatten();
        for (name, prefix) in ["query", "document"].into_iter().zip(prefixes) {
            let prompt = engine.prompts.by_name.entry(name.to_owned()).or_default();
            if !options.prompts.contains_key(name) {
                *prompt = [&prefix, prompt.strip_prefix(&*prefix).unwrap_or(prompt)].concat();
            }
        }
        // PyLate's "MaxSim" and older names mean the default.
        let name = settings.similarity_fn_name.as_deref();
        let similarity = name.and_then(|name| name.parse().ok()).unwrap_or_default();
        Ok(Self { engine, queries, documents, similarity })
    }

    fn side(&self, role: Role) -> &Side {
        match role {
            Role::Query => &self.queries,
            Role::Document => &self.documents,
        }
    }
}

/// The padding of queries: the token that is named, else the mask token, else the one that ends texts.
fn padding(engine: &Engine, expansion: &Expansion) -> Result<PadTo> {
    let file = &engine.loaded.late_interaction.file;
    let error = |problem: String| Err(Error::config(file, "query_expansion", problem));
    let tokenizer = engine.tokenizer();
    let id = expansion.token.as_ref().map_or_else(|| tokenizer.expansion_token_id(), |token| tokenizer.id(token));
    let Some(id) = id.filter(|id| (*id as usize) < engine.loaded.network.limits().vocab_size) else {
        let wanted = expansion.token.as_ref().map_or("a mask token".to_owned(), |token| format!("the token {token:?}"));
        return error(format!("the model has no {wanted} to fill queries up with"));
    };
    if let Some(max) = engine.loaded.max_tokens().filter(|max| expansion.length > *max) {
        return error(format!("its length must be at most {max}, got {}", expansion.length));
    }
    if tokenizer.pad_left() {
        let what = format!("{}: query_expansion, with a tokenizer that pads", file.display());
        return Err(Error::unsupported(what, "left", "right"));
    }
    Ok(PadTo { token_id: id, length: expansion.length, attend: expansion.attend })
}

/// Embedding.
impl MultiVectorModel {
    /// Embeds queries: `(tokens, embedding_dimension)` each, and as many tokens for each where the model fills them up. The
    /// prompt is "query" where the options name none.
    ///
    /// On a processor the same text gives the same bits, whatever the other texts, their order and the number of threads.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for an unknown prompt, [`Error::InvalidInput`] for a text that can't be embedded,
    /// [`Error::Interrupted`] where the observer stops it.
    pub fn encode_query<T: AsRef<str>>(&self, inputs: &[T], options: &MultiVectorOptions<'_>) -> Result<Vec<Matrix>> {
        Ok(self.encode_inputs(&Input::texts(inputs), Role::Query, options)?.0)
    }

    /// Embeds documents: `(tokens, embedding_dimension)` each, without the tokens that the model skips. The prompt is the
    /// first of "document", "passage" and "corpus" that isn't empty, where the options name none.
    ///
    /// # Errors
    /// As [`MultiVectorModel::encode_query`].
    pub fn encode_document<T: AsRef<str>>(
        &self,
        inputs: &[T],
        options: &MultiVectorOptions<'_>,
    ) -> Result<Vec<Matrix>> {
        Ok(self.encode_inputs(&Input::texts(inputs), Role::Document, options)?.0)
    }

    /// Embeds texts and pairs of texts in a role, and counts those that are too long.
    ///
    /// # Errors
    /// As [`MultiVectorModel::encode_query`].
    pub fn encode_inputs(
        &self,
        inputs: &[Input<'_>],
        role: Role,
        options: &MultiVectorOptions<'_>,
    ) -> Result<(Vec<Matrix>, Truncated)> {
        let MultiVectorOptions { prompt_name, prompt, truncation, observer } = *options;
        let request = Request { prompt_name, prompt, role: Some(role), truncation, observer };
        let rows = |inputs| TokenRows::new(inputs, self.embedding_dimension(), &self.side(role).skipped);
        let collected = self.engine.run_with(self.reader(role), inputs, &request, rows)?;
        let truncated = collected.truncated;
        Ok((collected.matrices()?, truncated))
    }

    /// The score of every query with every document, `(queries, documents)`, by the model's own function.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] where the widths differ.
    pub fn similarity(&self, queries: &[Matrix], documents: &[Matrix]) -> Result<Matrix> {
        maxsim(self.similarity, queries, documents, &CallOptions::default())
    }

    /// The score of each query with the document at its place.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] where the widths differ, or there are more of the ones than of the others.
    pub fn similarity_pairwise(&self, queries: &[Matrix], documents: &[Matrix]) -> Result<Vec<f32>> {
        maxsim_pairwise(self.similarity, queries, documents, &CallOptions::default())
    }

    /// The documents by their scores with the query, the best first; of equal ones the first given first.
    ///
    /// # Errors
    /// As [`MultiVectorModel::encode_query`]. The options' prompts are not used: both sides have their own.
    pub fn rank<T: AsRef<str>>(
        &self,
        query: &str,
        documents: &[T],
        options: &MultiVectorOptions<'_>,
    ) -> Result<Vec<Ranked>> {
        let options = MultiVectorOptions { prompt_name: None, prompt: None, ..*options };
        let query = self.encode_query(&[query], &options)?;
        let documents = self.encode_document(documents, &options)?;
        let scores = maxsim(self.similarity, &query, &documents, &CallOptions { observer: options.observer })?;
        Ok(ranked(scores.as_slice(), None))
    }
}

/// Saving.
impl MultiVectorModel {
    /// Saves the model as a folder that this crate and sentence-transformers load, from its version 6 on, with its present
    /// settings.
    ///
    /// # Errors
    /// As [`Model::save`], which says how the folder changes.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        self.save_with(path, &CallOptions::default())
    }

    /// [`MultiVectorModel::save`], with an observer that may stop the wait for another save to the same folder.
    ///
    /// # Errors
    /// As [`MultiVectorModel::save`], and [`Error::Interrupted`] where the observer stops it.
    pub fn save_with(&self, path: impl AsRef<Path>, options: &CallOptions<'_>) -> Result<()> {
        let late = &self.engine.loaded.late_interaction;
        let query_length = match late.expansion {
            // It has a length of its own.
            Some(Expansion { strategy: Strategy::Fixed, .. }) => late.query_length,
            _ => self.queries.max_length,
        };
        let mut transformer = late.transformer_settings(query_length, self.documents.max_length);
        transformer.insert("max_seq_length".to_owned(), self.engine.loaded.default_max_seq_length().into());
        let settings = object([("similarity_fn_name", self.similarity.name().into())]);
        let own = KindSettings { settings, transformer, ..KindSettings::default() };
        save::save(&self.engine, &own, path.as_ref(), options.observer.unwrap_or(&NoObserver))
    }
}

/// Settings.
impl MultiVectorModel {
    /// Columns of a token's vector.
    pub fn embedding_dimension(&self) -> usize {
        self.engine.width()
    }

    /// Tokens that are kept of a query, special tokens included; `None` is no limit.
    pub fn query_length(&self) -> Option<usize> {
        self.queries.max_length
    }

    /// Tokens that are kept of a document, special tokens included; `None` is no limit.
    pub fn document_length(&self) -> Option<usize> {
        self.documents.max_length
    }

    /// Sets how many tokens are kept of a document. Special tokens are kept in any case.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for 0, or for more than the model has positions for.
    pub fn set_document_length(&mut self, tokens: usize) -> Result<()> {
        self.engine.set_max_seq_length(tokens).map_err(|error| error.of_argument("document_length"))?;
        self.documents.max_length = Some(tokens);
        Ok(())
    }

    /// What [`MultiVectorModel::similarity`] computes.
    pub fn similarity_fn(&self) -> MultiVectorSimilarity {
        self.similarity
    }

    /// Sets what [`MultiVectorModel::similarity`] computes.
    pub fn set_similarity_fn(&mut self, similarity: MultiVectorSimilarity) {
        self.similarity = similarity;
    }

    /// The prompts by name; "query" and "document" are always among them.
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

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        self.engine.tokenizer()
    }

    /// Reads texts as the model does in a role, to tokenize and to count.
    pub fn reader(&self, role: Role) -> Reader {
        let side = self.side(role);
        self.engine.padding_reader(side.max_length, side.pad_to)
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
