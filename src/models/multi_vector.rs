//! [`MultiVectorModel`]: a vector for each token, compared late (Khattab and Zaharia, 2020).

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::reranker::{Ranked, ranked};
use super::sentence::{Model, find};
use crate::alloc;
use crate::batch::Distinct;
use crate::config::{Expansion, Kind, Strategy, object, with_implied};
use crate::device::Device;
use crate::engine::loaded::opened;
use crate::engine::run::Call;
use crate::engine::whole::whole;
use crate::error::{Error, Result};
use crate::network::Wanted;
use crate::observer::NoObserver;
use crate::options::{EncodeOptions, LoadOptions, MultiVectorOptions};
use crate::save::{KindSettings, SaveTarget};
use crate::source;
use crate::tokenize::{Fill, Input, Tokenizer};
use crate::vectors::embeddings::Truncated;
use crate::vectors::maxsim::{MultiVectorSimilarity, pairwise, similarity};
use crate::vectors::similarity::{Matrix, Run};

/// A late-interaction model, such as ColBERT.
///
/// It is cheap to clone, and a clone shares the weights; settings are each clone's own. All methods that compute take
/// `&self` and may be called from many threads at once.
#[derive(Clone, Debug)]
pub struct MultiVectorModel {
    model: Model,
    queries: Side,
    documents: Side,
    similarity: MultiVectorSimilarity,
}

/// How texts are read of one side of a comparison.
#[derive(Clone, Debug)]
struct Side {
    max_length: Option<usize>,
    fill: Option<Fill>,
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
        whole(folder, |folder| Self::opened(folder, options))
    }

    fn opened(folder: PathBuf, options: &LoadOptions) -> Result<Self> {
        let (folder, listed) = opened(folder)?;
        let entries = listed.map(|listed| with_implied(&folder, listed)).transpose()?;
        let (mut model, settings) = Model::of_modules(Kind::MultiVector, folder, entries, options)?;
        let late = model.late_interaction();
        let default = model.default_max_seq_length();
        let within = |length: usize| model.max_tokens().map_or(length, |most| length.min(most));
        let skipped = |skips: bool| {
            let ids = late.skiplist.iter().filter(|_| skips).filter_map(|word| model.tokenizer().id(word));
            Arc::new(ids.collect())
        };
        let query_length = late.query_length.map(within).or(default);
        let fill = late.expansion.as_ref().map(|expansion| fill(&model, expansion.token.as_deref())).transpose()?;
        let queries = Side {
            max_length: match &late.expansion {
                Some(expansion) if expansion.strategy == Strategy::Fixed => Some(expansion.length),
                Some(expansion) => query_length.map(|length| length.max(expansion.length)),
                None => query_length,
            },
            fill,
            skipped: skipped(late.skips_in_queries),
        };
        let document_length = options.max_seq_length.or(late.document_length.map(within)).or(default);
        let documents = Side { max_length: document_length, fill: None, skipped: skipped(late.skips_in_documents) };
        let prefixes = late.prefixes.clone().into_iter().flatten();
        for (name, prefix) in ["query", "document"].into_iter().zip(prefixes) {
            let prompt = model.prompts_mut().entry(name.to_owned()).or_default();
            if !options.prompts.contains_key(name) {
                *prompt = [&prefix, prompt.strip_prefix(&*prefix).unwrap_or(prompt)].concat();
            }
        }
        // PyLate's "MaxSim" and older names mean the default.
        let name = settings.similarity_fn_name.as_deref();
        let similarity = name.and_then(|name| name.parse().ok()).unwrap_or_default();
        Ok(Self { model, queries, documents, similarity })
    }
}

/// What fills queries up: the token that is named, or the mask token, or for want of that the one that ends texts.
fn fill(model: &Model, token: Option<&str>) -> Result<Fill> {
    let late = model.late_interaction();
    let error = |problem: String| Err(Error::config(&late.file, "query_expansion", problem));
    let Some(expansion) = &late.expansion else { return error("is missing".to_owned()) };
    let id = match token {
        Some(token) => model.tokenizer().id(token),
        None => model.tokenizer().filler_id(),
    };
    let Some(id) = id.filter(|id| (*id as usize) < model.vocab_size()) else {
        let wanted = token.map_or("a mask token".to_owned(), |token| format!("the token {token:?}"));
        return error(format!("the model has no {wanted} to fill queries up with"));
    };
    if let Some(most) = model.max_tokens().filter(|most| expansion.length > *most) {
        return error(format!("its length must be at most {most}, got {}", expansion.length));
    }
    if model.tokenizer().pad_left() {
        return Err(Error::unsupported(
            format!("{}: query_expansion, with a tokenizer that pads", late.file.display()),
            "left",
            "right",
        ));
    }
    Ok(Fill { id, length: expansion.length, attend: expansion.attend })
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
        Ok(self.encode_inputs(&Input::texts(inputs), true, options)?.0)
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
        Ok(self.encode_inputs(&Input::texts(inputs), false, options)?.0)
    }

    /// Embeds texts as queries or as documents, and counts those that are too long.
    pub(crate) fn encode_inputs(
        &self,
        inputs: &[Input<'_>],
        as_queries: bool,
        options: &MultiVectorOptions<'_>,
    ) -> Result<(Vec<Matrix>, Truncated)> {
        let (side, prompts) = match as_queries {
            true => (&self.queries, &["query"][..]),
            false => (&self.documents, &["document", "passage", "corpus"][..]),
        };
        let MultiVectorOptions { prompt_name, prompt, truncation, observer } = *options;
        let options = EncodeOptions { prompt_name, prompt, truncation, observer, ..EncodeOptions::default() };
        let model = self.model.reading(side.max_length, side.fill);
        let options = model.with_role(&options, prompts);

        let few = Distinct::of(inputs)?;
        let call = Call::new(&model, &options)?;
        let width = self.embedding_dimension();
        let vectors: Mutex<Vec<Vec<f32>>> = Mutex::new(alloc::filled(Vec::new(), few.inputs.len(), "the embeddings")?);
        let lengths =
            call.forward(&few.inputs, &|i| few.place(i), Wanted::TokenEmbeddingsToo, |texts, batch, output| {
                for ((i, _), text) in texts.iter().zip(batch.texts()) {
                    let mut rows = alloc::with_capacity(text.len() * width, "the embeddings")?;
                    for token in text.filter(|token| !side.skipped.contains(&batch.input_ids[*token])) {
                        rows.extend_from_slice(&output.token_embeddings[token * width..(token + 1) * width]);
                    }
                    vectors.lock().unwrap_or_else(PoisonError::into_inner)[*i] = rows;
                }
                Ok(())
            })?;
        let vectors = vectors.into_inner().unwrap_or_else(PoisonError::into_inner);
        let matrix = |i: &usize| {
            let vectors = alloc::copied(&vectors[*i], "the embeddings")?;
            Matrix::new(vectors.len() / width, width, vectors)
        };
        let matrices = few.which.iter().map(matrix).collect::<Result<_>>()?;
        Ok((matrices, call.truncated(few.which.iter().map(|i| lengths[*i]))))
    }

    /// The score of every query with every document, `(queries, documents)`, by the model's own function.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] where the widths differ.
    pub fn similarity(&self, queries: &[Matrix], documents: &[Matrix]) -> Result<Matrix> {
        let (queries, documents) = (views(queries), views(documents));
        similarity(self.similarity, &queries, &documents, Run::watched_by(&NoObserver)?)
    }

    /// The score of each query with the document at its place.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] where the widths differ, or there are more of the ones than of the others.
    pub fn similarity_pairwise(&self, queries: &[Matrix], documents: &[Matrix]) -> Result<Vec<f32>> {
        pairwise(self.similarity, &views(queries), &views(documents), Run::watched_by(&NoObserver)?)
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
        Ok(ranked(self.similarity(&query, &documents)?.as_slice()))
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
        let late = self.model.late_interaction();
        let query_length = match late.expansion {
            // It has a length of its own.
            Some(Expansion { strategy: Strategy::Fixed, .. }) => late.query_length,
            _ => self.queries.max_length,
        };
        let mut transformer = late.transformer_settings(query_length, self.documents.max_length);
        transformer.insert("max_seq_length".to_owned(), self.model.default_max_seq_length().into());
        let settings = object([("similarity_fn_name", self.similarity.name().into())]);
        let own = KindSettings { settings, transformer, ..KindSettings::default() };
        SaveTarget::Model(&self.model).write(&own, path.as_ref())
    }
}

fn views(matrices: &[Matrix]) -> Vec<crate::vectors::similarity::MatrixView<'_>> {
    matrices.iter().map(Matrix::view).collect()
}

/// Settings.
impl MultiVectorModel {
    /// Columns of a token's vector.
    pub fn embedding_dimension(&self) -> usize {
        self.model.embedding_dimension()
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
        // The model checks it.
        self.model.set_max_seq_length(tokens).map_err(|error| error.of_argument("document_length"))?;
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
        self.model.prompts()
    }

    /// The prompts, to change them.
    pub fn prompts_mut(&mut self) -> &mut BTreeMap<String, String> {
        self.model.prompts_mut()
    }

    /// Name of the prompt that is used where a call names none.
    pub fn default_prompt_name(&self) -> Option<&str> {
        self.model.default_prompt_name()
    }

    /// Sets the prompt that is used where a call names none.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] where there is no prompt of that name.
    pub fn set_default_prompt_name(&mut self, name: Option<String>) -> Result<()> {
        self.model.set_default_prompt_name(name)
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        self.model.tokenizer()
    }

    /// What reads queries, or documents.
    #[cfg(feature = "python")]
    pub(crate) fn reader(&self, as_queries: Option<bool>) -> Model {
        let side = if as_queries == Some(true) { &self.queries } else { &self.documents };
        self.model.reading(side.max_length, side.fill)
    }

    /// The folder that it was loaded from.
    pub fn folder(&self) -> &Path {
        self.model.folder()
    }

    /// Where it computes.
    pub fn device(&self) -> Device {
        self.model.device()
    }
}
