//! Paraphrase mining of texts.

use super::sentence::Model;
use crate::error::Result;
use crate::options::{EncodeOptions, MiningOptions};
use crate::vectors::{SimilarPair, mining, paraphrase_mining_embeddings};

impl Model {
    /// Embeds sentences and finds the most similar pairs by [`paraphrase_mining_embeddings`]. The observer gets the
    /// progress of embedding.
    ///
    /// # Errors
    /// The errors of [`Model::encode`]; [`Error::InvalidArgument`](crate::Error::InvalidArgument) if `max_pairs` or
    /// `top_k` is 0.
    ///
    /// # Examples
    /// ```
    /// use rushlight::{MiningOptions, Model};
    ///
    /// # let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tiny/bert-mean-normalize/model");
    /// let model = Model::from_dir(folder)?;
    /// let sentences = ["The cat sits outside.", "A man plays guitar.", "The cat sits outside."];
    /// let pairs = model.paraphrase_mining(&sentences, &MiningOptions::default())?;
    /// assert_eq!((pairs[0].i, pairs[0].j), (0, 2));
    /// # Ok::<(), rushlight::Error>(())
    /// ```
    pub fn paraphrase_mining<T: AsRef<str>>(
        &self,
        sentences: &[T],
        options: &MiningOptions<'_>,
    ) -> Result<Vec<SimilarPair>> {
        mining::check(options.max_pairs, options.top_k)?;
        let encode = EncodeOptions { observer: options.observer, ..EncodeOptions::default() };
        paraphrase_mining_embeddings(&self.encode(sentences, &encode)?, options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tiny/bert-mean-normalize/model");

    #[test]
    fn a_model_mines_its_sentences() {
        let model = Model::from_dir(FOLDER).unwrap();
        let sentences = ["the cat sat", "a dog ran", "the cat sat"];
        let options = MiningOptions::default().with_max_pairs(5).with_top_k(5);
        let pairs = model.paraphrase_mining(&sentences, &options).unwrap();
        let embeddings = model.encode(&sentences, &EncodeOptions::default()).unwrap();
        assert_eq!(pairs, paraphrase_mining_embeddings(&embeddings, &options).unwrap());
        assert_eq!((pairs.len(), pairs[0].i, pairs[0].j), (3, 0, 2));
    }

    /// The arguments are checked before any text is embedded.
    #[test]
    fn counts_of_zero_are_refused_before_embedding() {
        let model = Model::from_dir(FOLDER).unwrap();
        let stop = std::sync::atomic::AtomicBool::new(true);
        let options = MiningOptions::default().with_observer(&stop);
        for (options, argument) in [(options.with_max_pairs(0), "max_pairs"), (options.with_top_k(0), "top_k")] {
            let error = model.paraphrase_mining(&["a"], &options).unwrap_err();
            assert!(error.to_string().starts_with(argument), "{error}");
        }
        assert!(matches!(model.paraphrase_mining(&["a"], &options), Err(Error::Interrupted)));
    }
}
