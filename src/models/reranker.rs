//! [`Reranker`]: scores of pairs of texts, by a transformer that reads both as one and classifies.

mod activation;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub use activation::{Elementwise, ScoreActivation};
use serde_json::{Value, json};

use super::sentence::find;
use crate::config::{JsonFile, Kind, object};
use crate::device::Device;
use crate::engine::consistent::load_consistent;
use crate::engine::{DenseRows, Engine, Request};
use crate::error::{Error, Result};
use crate::inputs::Reader;
use crate::observer::NoObserver;
use crate::options::{CallOptions, LoadOptions, PredictOptions};
use crate::save::{self, KindSettings};
use crate::source;
use crate::tokenize::{Input, Tokenizer};
use crate::vectors::embeddings::Truncated;
use crate::vectors::falling;
use crate::vectors::similarity::Matrix;

/// Cross-encoder, which scores pairs of texts.
///
/// It is cheap to clone, and a clone shares the weights; settings are each clone's own. All methods that compute take
/// `&self` and may be called from many threads at once.
///
/// # Examples
/// ```
/// use rushlight::Reranker;
///
/// # let name = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/rerank/rerank-bert/model");
/// // let name = "ms-marco-MiniLM-L6-v2";
/// let reranker = Reranker::load(name)?;
/// let documents = ["Bread needs yeast.", "The train leaves at nine."];
/// for ranked in reranker.rank("When does the train leave?", &documents, &Default::default())? {
///     println!("{:.2} {}", ranked.score, documents[ranked.index]);
/// }
/// # Ok::<(), rushlight::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Reranker {
    engine: Engine,
    activation: ScoreActivation,
}

/// A document among those that were ranked.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Ranked {
    /// Its place among the documents that were given.
    pub index: usize,
    /// Its score with the query.
    pub score: f32,
}

/// Loading.
impl Reranker {
    /// Loads a reranker by its folder, or by its name from the Hugging Face cache.
    ///
    /// A name without a `/` is one of `cross-encoder`, as in `ms-marco-MiniLM-L6-v2`.
    ///
    /// # Errors
    /// [`Error::ModelNotFound`] with every place looked at; or what is wrong with the folder.
    pub fn load(name: &str) -> Result<Self> {
        Self::load_with(name, &LoadOptions::default())
    }

    /// [`Reranker::load`], with options: `max_seq_length` is how many tokens of a pair are kept, and `activation` what is made
    /// of the logits.
    ///
    /// # Errors
    /// As [`Reranker::load`], and [`Error::InvalidArgument`] for an option that doesn't fit the model.
    pub fn load_with(name: &str, options: &LoadOptions) -> Result<Self> {
        Self::from_dir_with(find(name, source::CROSS_ENCODERS, options)?, options)
    }

    /// Loads a reranker from its folder.
    ///
    /// # Errors
    /// What is wrong with the folder: a file that is absent or malformed, a tensor that is absent or of another shape, an
    /// architecture, module or activation that isn't supported.
    pub fn from_dir(folder: impl Into<PathBuf>) -> Result<Self> {
        Self::from_dir_with(folder, &LoadOptions::default())
    }

    /// [`Reranker::from_dir`], with options.
    ///
    /// # Errors
    /// As [`Reranker::from_dir`], and [`Error::InvalidArgument`] for an option that doesn't fit the model.
    pub fn from_dir_with(folder: impl Into<PathBuf>, options: &LoadOptions) -> Result<Self> {
        if options.truncate_dim.is_some() || options.similarity.is_some() {
            let argument = if options.similarity.is_some() { "similarity" } else { "truncate_dim" };
            return Err(Error::argument(argument, "is for embeddings: a reranker gives scores"));
        }
        load_consistent(folder, |folder| {
            let (engine, _) = Engine::load(Kind::Reranker, folder, options)?;
            let mut reranker = Self { engine, activation: ScoreActivation::Identity };
            // Where the caller gives one, the folder's may be any.
            reranker.activation = options.activation.map_or_else(|| reranker.default_activation(), Ok)?;
            Ok(reranker)
        })
    }

    /// What the folder says is made of the logits; where it says nothing, a sigmoid of one, and several as they are.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for an activation that rushlight doesn't have.
    pub fn default_activation(&self) -> Result<ScoreActivation> {
        let config =
            JsonFile::read(self.engine.loaded.transformer().join("config.json"), "it describes the transformer")?;
        // A folder of transformers alone has no say in how its model is used.
        let settings = match self.engine.loaded.entries.is_some() {
            true => JsonFile::read_if_there(self.folder().join("config_sentence_transformers.json"))?,
            false => None,
        };
        let places = [
            (settings.as_ref(), "activation_fn"),
            // As older versions say it.
            (Some(&config), "sentence_transformers.activation_fn"),
            (Some(&config), "sbert_ce_default_activation_function"),
        ];
        for (file, key) in places.into_iter().filter_map(|(file, key)| Some((file?, key))) {
            match file.value.pointer(&format!("/{}", key.replace('.', "/"))) {
                None | Some(Value::Null) => {}
                Some(Value::String(name)) => return ScoreActivation::from_torch(name, &file.path, key),
                Some(other) => {
                    return Err(file.error(key, format!("must be the name of a class of torch, got {other}")));
                }
            }
        }
        Ok(if self.num_labels() == 1 { ScoreActivation::Sigmoid } else { ScoreActivation::Identity })
    }
}

/// Scoring.
impl Reranker {
    /// The scores of pairs of texts, `(pairs, num_labels)`.
    ///
    /// On a processor the same pair gives the same bits, whatever the other pairs, their order and the number of threads.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for an unknown prompt, [`Error::InvalidInput`] for a pair that can't be scored,
    /// [`Error::Interrupted`] where the observer stops it.
    pub fn predict<A: AsRef<str>, B: AsRef<str>>(
        &self,
        pairs: &[(A, B)],
        options: &PredictOptions<'_>,
    ) -> Result<Matrix> {
        let inputs: Vec<_> = pairs.iter().map(|(a, b)| Input::Pair(a.as_ref(), b.as_ref())).collect();
        Ok(self.predict_inputs(&inputs, options)?.0)
    }

    /// Scores inputs, `(inputs, num_labels)`, and counts those that are too long. Inputs may be single texts too, as some
    /// classifiers take them.
    ///
    /// # Errors
    /// As [`Reranker::predict`].
    pub fn predict_inputs(&self, inputs: &[Input<'_>], options: &PredictOptions<'_>) -> Result<(Matrix, Truncated)> {
        let PredictOptions { prompt_name, prompt, activation, apply_softmax, truncation, observer } = *options;
        let request = Request { prompt_name, prompt, role: None, truncation, observer };
        let rows = |inputs| DenseRows::new(inputs, self.engine.width());
        let logits = self.engine.run(inputs, &request, rows)?.embeddings(self.engine.width(), false)?;
        let truncated = logits.truncated();
        let mut scores = logits.into_vec();
        let labels = self.num_labels();
        for scores in scores.chunks_exact_mut(labels) {
            activation.unwrap_or(self.activation).apply(scores);
            if apply_softmax && labels > 1 {
                ScoreActivation::Softmax.apply(scores);
            }
        }
        Ok((Matrix::new(inputs.len(), labels, scores)?, truncated))
    }

    /// The documents by their scores with the query, the best first; of equal ones the first given first.
    ///
    /// # Errors
    /// As [`Reranker::predict`]; [`Error::InvalidArgument`] where the model gives more than one score.
    pub fn rank<T: AsRef<str>>(
        &self,
        query: &str,
        documents: &[T],
        options: &PredictOptions<'_>,
    ) -> Result<Vec<Ranked>> {
        let labels = self.num_labels();
        if labels != 1 {
            let problem = format!("rank needs a model with one label, this one has {labels}; predict gives all scores");
            return Err(Error::argument("num_labels", problem));
        }
        let pairs: Vec<_> = documents.iter().map(|document| (query, document.as_ref())).collect();
        Ok(ranked(self.predict(&pairs, options)?.as_slice(), None))
    }

    /// How many scores a pair gets.
    pub fn num_labels(&self) -> usize {
        self.engine.width()
    }

    /// What is made of the logits where a call doesn't say.
    pub fn activation(&self) -> ScoreActivation {
        self.activation
    }

    /// Sets what is made of the logits where a call doesn't say.
    pub fn set_activation(&mut self, activation: ScoreActivation) {
        self.activation = activation;
    }

    /// Tokens that are kept of a pair, special tokens included: the longer text is cut first. `None` is no limit.
    pub fn max_length(&self) -> Option<usize> {
        self.engine.max_seq_length
    }

    /// Sets how many tokens are kept of a pair. Special tokens are kept in any case.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for 0, or for more than the model has positions for.
    pub fn set_max_length(&mut self, tokens: usize) -> Result<()> {
        self.engine.set_max_seq_length(tokens).map_err(|error| error.of_argument("max_length"))
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

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        self.engine.tokenizer()
    }

    /// Reads pairs as the model does, to tokenize and to count.
    pub fn reader(&self) -> Reader {
        self.engine.reader(None)
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
impl Reranker {
    /// Saves the model as a folder that this crate and sentence-transformers load, with its present settings.
    ///
    /// # Errors
    /// As [`Model::save`](crate::Model::save), which says how the folder changes.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        self.save_with(path, &CallOptions::default())
    }

    /// [`Reranker::save`], with an observer that may stop the wait for another save to the same folder.
    ///
    /// # Errors
    /// As [`Reranker::save`], and [`Error::Interrupted`] where the observer stops it.
    pub fn save_with(&self, path: impl AsRef<Path>, options: &CallOptions<'_>) -> Result<()> {
        let activation = Value::from(self.activation.to_torch());
        let own = KindSettings {
            settings: object([("activation_fn", activation.clone())]),
            // Where older versions look, and the oldest.
            config: object([
                ("sentence_transformers", json!({ "activation_fn": activation })),
                ("sbert_ce_default_activation_function", activation),
            ]),
            ..KindSettings::default()
        };
        save::save(&self.engine, &own, path.as_ref(), options.observer.unwrap_or(&NoObserver))
    }
}

/// Ranks scores: the `top_k` highest first, or all; of equal ones the first given first, and NaN last.
pub fn ranked(scores: &[f32], top_k: Option<usize>) -> Vec<Ranked> {
    let mut ranked: Vec<_> = scores.iter().enumerate().map(|(index, score)| Ranked { index, score: *score }).collect();
    ranked.sort_by(|a, b| falling(a.score, b.score));
    ranked.truncate(top_k.unwrap_or(usize::MAX));
    ranked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_comes_first_and_equals_keep_their_order() {
        let order: Vec<_> = ranked(&[0.5, 2.0, f32::NAN, 0.5, 0.0, -0.0, 0.0, f32::NEG_INFINITY], None)
            .iter()
            .map(|r| r.index)
            .collect();
        assert_eq!(order, [1, 0, 3, 4, 5, 6, 7, 2]);
    }
}
