//! [`Reranker`]: cross-encoder, a sequence classifier that scores pairs of texts.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::loading::{LoadFolder, loading};
use super::shared_settings;
use crate::config::{JsonFile, Kind, ScoreActivation, object};
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
/// Clones are cheap and share the weights; each has its own settings. Methods that compute take `&self`, so that many
/// threads can call them at once.
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
    pub(crate) engine: Engine,
    activation: ScoreActivation,
}

/// Ranked document.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Ranked {
    /// Index of the document in the input.
    pub index: usize,
    /// Score of the document with the query.
    pub score: f32,
}

shared_settings!(Reranker);

loading!(
    Reranker from "cross-encoder",
    /// `max_seq_length` limits the tokens per pair; `activation` turns logits into scores.
    load_with,
    from_dir
);

impl LoadFolder for Reranker {
    const ORGANIZATION: &str = source::CROSS_ENCODERS;

    fn load_folder(folder: PathBuf, options: &LoadOptions) -> Result<Self> {
        if options.truncate_dim.is_some() || options.similarity.is_some() {
            let argument = if options.similarity.is_some() { "similarity" } else { "truncate_dim" };
            return Err(Error::argument(argument, "applies to embeddings; a reranker returns scores"));
        }
        let (engine, _) = Engine::load(Kind::Reranker, folder, options)?;
        let mut reranker = Self { engine, activation: ScoreActivation::Identity };
        // If the caller chooses an activation, an unsupported one in the folder does no harm.
        reranker.activation = options.activation.map_or_else(|| reranker.default_activation(), Ok)?;
        Ok(reranker)
    }
}

impl Reranker {
    /// Returns the activation that the folder names. The default is a sigmoid for one logit, and identity for several.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for an activation that rushlight lacks.
    pub fn default_activation(&self) -> Result<ScoreActivation> {
        let config = self.engine.loaded.config()?;
        // sentence-transformers ignores its own settings file in a folder without modules.json.
        let settings = match self.engine.loaded.folders.entries.is_some() {
            true => JsonFile::read_if_there(self.folder().join("config_sentence_transformers.json"))?,
            false => None,
        };
        let candidates = [
            (settings.as_ref(), "activation_fn"),
            // Keys of older versions of sentence-transformers.
            (Some(&config), "sentence_transformers.activation_fn"),
            (Some(&config), "sbert_ce_default_activation_function"),
        ];
        for (file, key) in candidates.into_iter().filter_map(|(file, key)| Some((file?, key))) {
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
    /// Scores pairs of texts: a float32 matrix `(pairs, num_labels)`.
    ///
    /// On a CPU a pair's result has the same bits for any other pairs, order and number of threads.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for an unknown prompt, [`Error::InvalidInput`] for a pair that can't be scored,
    /// [`Error::Interrupted`] if the observer stops it.
    pub fn predict<A: AsRef<str>, B: AsRef<str>>(
        &self,
        pairs: &[(A, B)],
        options: &PredictOptions<'_>,
    ) -> Result<Matrix> {
        let inputs: Vec<_> = pairs.iter().map(|(a, b)| Input::Pair(a.as_ref(), b.as_ref())).collect();
        Ok(self.predict_inputs(&inputs, options)?.0)
    }

    /// Scores inputs, `(inputs, num_labels)`, and counts the truncated ones. Inputs may be single texts, for
    /// classifiers that take them.
    ///
    /// # Errors
    /// The errors of [`Reranker::predict`].
    pub fn predict_inputs(&self, inputs: &[Input<'_>], options: &PredictOptions<'_>) -> Result<(Matrix, Truncated)> {
        let PredictOptions { prompt_name, prompt, activation, apply_softmax, truncation, truncation_side, observer } =
            *options;
        let request = Request { prompt_name, prompt, role: None, task: None, truncation, truncation_side, observer };
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

    /// Ranks documents by their scores with the query, the best first. Ties keep the order of the documents.
    ///
    /// # Errors
    /// The errors of [`Reranker::predict`]; [`Error::InvalidArgument`] if the model has more than one label.
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

    /// Number of scores per pair.
    pub fn num_labels(&self) -> usize {
        self.engine.width()
    }

    /// Names of the scores, by `id2label` in `config.json`; `LABEL_0` and so on where it has none.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] if the file has changed and can't be read.
    pub fn labels(&self) -> Result<Vec<String>> {
        let config = JsonFile::read(self.engine.loaded.folders.transformer().join("config.json"), "it has the labels")?;
        let name = |id: usize| {
            let label = config.value.pointer(&format!("/id2label/{id}")).and_then(Value::as_str);
            label.map_or_else(|| format!("LABEL_{id}"), str::to_owned)
        };
        Ok((0..self.num_labels()).map(name).collect())
    }

    /// Activation of calls that choose none.
    pub fn activation(&self) -> ScoreActivation {
        self.activation
    }

    /// Sets the activation of calls that choose none.
    pub fn set_activation(&mut self, activation: ScoreActivation) {
        self.activation = activation;
    }

    /// Maximum number of tokens per pair, special tokens included; `None` means no limit. The longer text is cut first.
    pub fn max_length(&self) -> Option<usize> {
        self.engine.max_seq_length
    }

    /// Sets the maximum number of tokens per pair. Special tokens always stay.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for 0, or for more tokens than the model has positions.
    pub fn set_max_length(&mut self, tokens: usize) -> Result<()> {
        self.engine.set_max_seq_length(tokens).map_err(|error| error.of_argument("max_length"))
    }

    /// Tokenizer of the model.
    pub fn tokenizer(&self) -> &Tokenizer {
        self.engine.tokenizer()
    }

    /// Returns a reader of pairs, which tokenizes and counts tokens.
    pub fn reader(&self) -> Reader {
        self.engine.reader(None)
    }
}

/// Saving.
impl Reranker {
    /// Saves the model with its current settings. rushlight and sentence-transformers load the folder.
    /// For a model of published code (`auto_map`), sentence-transformers needs that code, and rushlight does not.
    ///
    /// # Errors
    /// The errors of [`Model::save`](crate::Model::save), which also describes how the folder changes.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        self.save_with(path, &CallOptions::default())
    }

    /// Saves like [`Reranker::save`], with an observer that may stop the wait for another save to the same folder.
    ///
    /// # Errors
    /// The errors of [`Reranker::save`], and [`Error::Interrupted`] if the observer stops it.
    pub fn save_with(&self, path: impl AsRef<Path>, options: &CallOptions<'_>) -> Result<()> {
        let activation = Value::from(self.activation.to_torch());
        let own = KindSettings {
            settings: object([("activation_fn", activation.clone())]),
            // Keys that older versions of sentence-transformers read.
            config: object([
                ("sentence_transformers", json!({ "activation_fn": activation })),
                ("sbert_ce_default_activation_function", activation),
            ]),
            ..KindSettings::default()
        };
        save::save(&self.engine, &own, path.as_ref(), options.observer.unwrap_or(&NoObserver))
    }
}

/// Ranks scores, the highest first. Ties keep their order, and NaN comes last. `top_k` limits the result; `None`
/// returns all.
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
