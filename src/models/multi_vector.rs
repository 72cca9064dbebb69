//! [`MultiVectorModel`]: late interaction, with a vector for each token (Khattab and Zaharia, 2020).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::loading::{LoadFolder, loading};
use super::reranker::{Ranked, ranked};
use super::shared_settings;
use crate::config::{Expansion, Kind, Role, Strategy, object, with_implied};
use crate::engine::conversion::Opened;
use crate::engine::folders::transformer_folder;
use crate::engine::{Engine, KeptTokens, Request, TokenRows};
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
/// Clones are cheap and share the weights; each has its own settings. Methods that compute take `&self`, so that many
/// threads can call them at once.
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
    pub(crate) engine: Engine,
    queries: Side,
    documents: Side,
    similarity: MultiVectorSimilarity,
    /// Columns to keep of a token vector, as the folder says.
    truncate_dim: Option<usize>,
}

/// Settings of one side of a comparison: queries or documents.
#[derive(Clone, Debug)]
struct Side {
    max_length: Option<usize>,
    pad_to: Option<PadTo>,
    kept: Arc<KeptTokens>,
}

shared_settings!(MultiVectorModel);

loading!(
    MultiVectorModel from "sentence-transformers",
    /// `max_seq_length` limits the tokens per document.
    load_with,
    /// It has the layout of Stanford's ColBERT, PyLate or sentence-transformers.
    from_dir
);

impl LoadFolder for MultiVectorModel {
    const ORGANIZATION: &str = source::SENTENCE_TRANSFORMERS;

    fn load_folder(folder: PathBuf, options: &LoadOptions) -> Result<Self> {
        if options.truncate_dim.is_some() || options.similarity.is_some() {
            let argument = if options.similarity.is_some() { "similarity" } else { "truncate_dim" };
            return Err(Error::argument(argument, "applies to models with one vector per text"));
        }
        let mut opened = Opened::read(Kind::MultiVector, folder, options)?;
        let transformer = transformer_folder(opened.entries.as_deref(), &opened.folder);
        if Kind::MultiVector.of_folder(transformer) == Kind::MultiVector {
            opened.entries = opened.entries.map(|listed| with_implied(&opened.folder, listed)).transpose()?;
        }
        let (mut engine, settings) = Engine::of_modules(Kind::MultiVector, opened, options)?;
        let late = &engine.loaded.late_interaction;
        let default = engine.loaded.default_max_seq_length();
        let within = |length: usize| engine.loaded.max_tokens().map_or(length, |max| length.min(max));
        let own_layout = engine.loaded.folder_kind == Kind::MultiVector;
        let kept = |skips: bool, only: Option<&Vec<u32>>| {
            let ids = late.skiplist.iter().filter(|_| skips).filter_map(|word| engine.tokenizer().id(word));
            let only = only.map(|ids| ids.iter().copied().collect());
            Arc::new(KeptTokens { skipped: ids.collect(), only, skips_first: !own_layout })
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
            kept: kept(late.skips_in_queries, None),
        };
        let document_length = options.max_seq_length.or(late.document_length.map(within)).or(default);
        let kept = kept(late.skips_in_documents, late.kept_in_documents.as_ref());
        let documents = Side { max_length: document_length, pad_to: None, kept };
        let prefixes = late.prefixes.clone().into_iter().flatten();
        for (name, prefix) in ["query", "document"].into_iter().zip(prefixes) {
            let prompt = engine.prompts.by_name.entry(name.to_owned()).or_default();
            if !options.prompts.contains_key(name) {
                *prompt = [&prefix, prompt.strip_prefix(&*prefix).unwrap_or(prompt)].concat();
            }
        }
        let similarity = if own_layout {
            // PyLate's "MaxSim" and older names mean the default.
            let name = settings.similarity_fn_name.as_deref();
            name.and_then(|name| name.parse().ok()).unwrap_or_default()
        } else {
            MultiVectorSimilarity::MeanMaxSim
        };
        Ok(Self { engine, queries, documents, similarity, truncate_dim: settings.truncate_dim.filter(|_| !own_layout) })
    }
}

impl MultiVectorModel {
    fn side(&self, role: Role) -> &Side {
        match role {
            Role::Query => &self.queries,
            Role::Document => &self.documents,
        }
    }
}

/// Returns the padding of queries: the configured token, else the mask token, else the end-of-text token.
fn padding(engine: &Engine, expansion: &Expansion) -> Result<PadTo> {
    let file = &engine.loaded.late_interaction.file;
    let error = |problem: String| Err(Error::config(file, "query_expansion", problem));
    let tokenizer = engine.tokenizer();
    let id = expansion.token.as_ref().map_or_else(|| tokenizer.expansion_token_id(), |token| tokenizer.id(token));
    let Some(id) = id.filter(|id| (*id as usize) < engine.loaded.network.limits().vocab_size) else {
        let missing =
            expansion.token.as_ref().map_or("a mask token".to_owned(), |token| format!("the token {token:?}"));
        return error(format!("the model lacks {missing} to expand queries with"));
    };
    if let Some(max) = engine.loaded.max_tokens().filter(|max| expansion.length > *max) {
        return error(format!("its length must be at most {max}, got {}", expansion.length));
    }
    if tokenizer.pad_left() {
        let what = format!("{}: query_expansion, with a tokenizer that pads", file.display());
        return Err(Error::unsupported(what, "left", "right"));
    }
    Ok(PadTo { token_id: id, length: expansion.length, attend: expansion.attend, left: false })
}

/// Embedding.
impl MultiVectorModel {
    /// Embeds queries: one float32 matrix `(tokens, embedding_dimension)` per query. Query expansion pads short
    /// queries. The default prompt is "query".
    ///
    /// On a CPU a text's result has the same bits for any other texts, order and number of threads.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for an unknown prompt, [`Error::InvalidInput`] for a text that can't be embedded,
    /// [`Error::Interrupted`] if the observer stops it.
    pub fn encode_query<T: AsRef<str>>(&self, inputs: &[T], options: &MultiVectorOptions<'_>) -> Result<Vec<Matrix>> {
        Ok(self.encode_inputs(&Input::texts(inputs), Role::Query, options)?.0)
    }

    /// Embeds documents: one float32 matrix `(tokens, embedding_dimension)` per document, without skipped tokens. The
    /// default prompt is the first of "document", "passage" and "corpus" that isn't empty.
    ///
    /// # Errors
    /// The errors of [`MultiVectorModel::encode_query`].
    pub fn encode_document<T: AsRef<str>>(
        &self,
        inputs: &[T],
        options: &MultiVectorOptions<'_>,
    ) -> Result<Vec<Matrix>> {
        Ok(self.encode_inputs(&Input::texts(inputs), Role::Document, options)?.0)
    }

    /// Embeds texts and pairs of texts in a role, and counts the truncated inputs.
    ///
    /// # Errors
    /// The errors of [`MultiVectorModel::encode_query`].
    pub fn encode_inputs(
        &self,
        inputs: &[Input<'_>],
        role: Role,
        options: &MultiVectorOptions<'_>,
    ) -> Result<(Vec<Matrix>, Truncated)> {
        let MultiVectorOptions { prompt_name, prompt, truncation, truncation_side, observer } = *options;
        let request =
            Request { prompt_name, prompt, role: Some(role), task: None, truncation, truncation_side, observer };
        let columns = self.embedding_dimension();
        let cut = self.is_of_sentence_model() && columns < self.engine.width();
        let rows = |inputs| Ok(TokenRows::new(inputs, columns, &self.side(role).kept)?.normalized(cut));
        let collected = self.engine.run_with(self.reader(role), inputs, &request, rows)?;
        let truncated = collected.truncated;
        Ok((collected.matrices()?, truncated))
    }

    /// Returns the score of every query with every document, `(queries, documents)`, by the model's function.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if the widths differ.
    pub fn similarity(&self, queries: &[Matrix], documents: &[Matrix]) -> Result<Matrix> {
        self.similarity_with(queries, documents, &CallOptions::default())
    }

    /// Scores like [`MultiVectorModel::similarity`], with an observer that may stop it.
    ///
    /// # Errors
    /// The errors of [`MultiVectorModel::similarity`], and [`Error::Interrupted`] if the observer stops it.
    pub fn similarity_with(
        &self,
        queries: &[Matrix],
        documents: &[Matrix],
        options: &CallOptions<'_>,
    ) -> Result<Matrix> {
        maxsim(self.similarity, queries, documents, options)
    }

    /// Returns the score of each query with the document at the same index.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if the widths or the numbers of queries and documents differ.
    pub fn similarity_pairwise(&self, queries: &[Matrix], documents: &[Matrix]) -> Result<Vec<f32>> {
        self.similarity_pairwise_with(queries, documents, &CallOptions::default())
    }

    /// Scores like [`MultiVectorModel::similarity_pairwise`], with an observer that may stop it.
    ///
    /// # Errors
    /// The errors of [`MultiVectorModel::similarity_pairwise`], and [`Error::Interrupted`] if the observer stops it.
    pub fn similarity_pairwise_with(
        &self,
        queries: &[Matrix],
        documents: &[Matrix],
        options: &CallOptions<'_>,
    ) -> Result<Vec<f32>> {
        maxsim_pairwise(self.similarity, queries, documents, options)
    }

    /// Ranks documents by their scores with the query, the best first. Ties keep the order of the documents. Both sides
    /// use their default prompts; the prompts in `options` have no effect.
    ///
    /// # Errors
    /// The errors of [`MultiVectorModel::encode_query`].
    pub fn rank<T: AsRef<str>>(
        &self,
        query: &str,
        documents: &[T],
        options: &MultiVectorOptions<'_>,
    ) -> Result<Vec<Ranked>> {
        let options = MultiVectorOptions { prompt_name: None, prompt: None, ..*options };
        let query = self.encode_query(&[query], &options)?;
        let documents = self.encode_document(documents, &options)?;
        let scores = self.similarity_with(&query, &documents, &CallOptions { observer: options.observer })?;
        Ok(ranked(scores.as_slice(), None))
    }
}

/// Saving.
impl MultiVectorModel {
    /// Saves the model with its current settings. rushlight and sentence-transformers 6 or newer load the folder.
    ///
    /// # Errors
    /// The errors of [`Model::save`](crate::Model::save), which also describes how the folder changes.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        self.save_with(path, &CallOptions::default())
    }

    /// Saves like [`MultiVectorModel::save`], with an observer that may stop the wait for another save to the same
    /// folder.
    ///
    /// # Errors
    /// The errors of [`MultiVectorModel::save`], and [`Error::Interrupted`] if the observer stops it.
    pub fn save_with(&self, path: impl AsRef<Path>, options: &CallOptions<'_>) -> Result<()> {
        let late = &self.engine.loaded.late_interaction;
        let query_length = match late.expansion {
            // Fixed expansion has its own length, so the configured one stays.
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
    /// Returns true if the folder is one of sentence embeddings, with a head for this kind in a file of its own, as in
    /// bge-m3.
    pub fn is_of_sentence_model(&self) -> bool {
        self.engine.loaded.folder_kind == Kind::Sentence
    }

    /// Number of columns of a token vector.
    pub fn embedding_dimension(&self) -> usize {
        let width = self.engine.width();
        self.truncate_dim.map_or(width, |columns| columns.min(width))
    }

    /// Maximum number of tokens per query, special tokens included; `None` means no limit.
    pub fn query_length(&self) -> Option<usize> {
        self.queries.max_length
    }

    /// Maximum number of tokens per document, special tokens included; `None` means no limit.
    pub fn document_length(&self) -> Option<usize> {
        self.documents.max_length
    }

    /// Sets the maximum number of tokens per document. Special tokens always stay.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for 0, or for more tokens than the model has positions.
    pub fn set_document_length(&mut self, tokens: usize) -> Result<()> {
        self.engine.set_max_seq_length(tokens).map_err(|error| error.of_argument("document_length"))?;
        self.documents.max_length = Some(tokens);
        Ok(())
    }

    /// Function that [`MultiVectorModel::similarity`] computes.
    pub fn similarity_fn(&self) -> MultiVectorSimilarity {
        self.similarity
    }

    /// Sets the function that [`MultiVectorModel::similarity`] computes.
    pub fn set_similarity_fn(&mut self, similarity: MultiVectorSimilarity) {
        self.similarity = similarity;
    }

    /// Tokenizer of the model.
    pub fn tokenizer(&self) -> &Tokenizer {
        self.engine.tokenizer()
    }

    /// Returns a reader of texts in a role, which tokenizes and counts tokens.
    pub fn reader(&self, role: Role) -> Reader {
        let side = self.side(role);
        self.engine.padding_reader(side.max_length, side.pad_to)
    }
}
