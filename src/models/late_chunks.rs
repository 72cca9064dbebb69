//! Late chunking (Günther et al., 2024): the model reads a long text before it is split into chunks, so that each chunk's
//! embedding knows its context.

use std::ops::Range;

use super::sentence::{Model, check_truncate_dim};
use crate::config::Role;
use crate::engine::Encodings;
use crate::error::{Error, Result};
use crate::kernels::norm::normalize;
use crate::kernels::rows::RowsMut;
use crate::options::{ChunkOptions, EncodeOptions};
use crate::tokenize::Input;
use crate::vectors::embeddings::{Embeddings, TokenEncoding, Truncated};

/// Share of a window that it has in common with the next one.
const OVERLAP: usize = 4;

/// Bytes of text per forward pass, so that the token embeddings of only some texts are in memory.
const GROUP: usize = 1 << 18;

/// Part of a text that the model reads at once.
struct Window {
    /// Index of the text.
    text: usize,
    bytes: Range<usize>,
    /// Bytes whose tokens have their embeddings from this window: to the middle of its overlap with the next one.
    own: Range<usize>,
}

/// Late chunking.
impl Model {
    /// Embeds chunks of long texts from one forward pass over each text: the mean of the embeddings of a chunk's tokens,
    /// and the modules after pooling. Returns embeddings per text, with a row for each of the chunks of [`Model::chunk`].
    ///
    /// A text that is longer than the model reads is computed in windows, each of which has a quarter in common with the
    /// next; a token's embedding is that of the window in whose middle it is. The prompt precedes each window, and belongs
    /// to no chunk.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for a model whose pooling has several modes; the errors of [`Model::chunk`] and
    /// [`Model::encode`].
    ///
    /// # Examples
    /// ```
    /// use rushlight::{ChunkOptions, Model};
    ///
    /// # let model = Model::load(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tiny/bert-mean-normalize/model"))?;
    /// let text = "A long text. ".repeat(40);
    /// let options = ChunkOptions::default().with_max_tokens(32);
    /// let embeddings = model.encode_late_chunks(&[&text], &options, &Default::default())?;
    /// assert_eq!(embeddings[0].len(), model.chunk(&text, &options)?.len());
    /// # Ok::<(), rushlight::Error>(())
    /// ```
    pub fn encode_late_chunks<T: AsRef<str>>(
        &self,
        texts: &[T],
        chunks: &ChunkOptions<'_>,
        options: &EncodeOptions<'_>,
    ) -> Result<Vec<Embeddings>> {
        let columns = self.columns(check_truncate_dim(options.truncate_dim)?.or(self.truncate_dim));
        let prompt = self.engine.prompt(&options.request())?;
        let options = EncodeOptions { prompt: Some(prompt), ..*options };
        let chunks = ChunkOptions { prompt, ..*chunks };
        let mut rows = Vec::with_capacity(texts.len());
        for texts in groups(texts) {
            self.embed_group(&texts, &chunks, &options, columns, &mut rows)?;
        }
        Ok(rows)
    }

    fn embed_group(
        &self,
        texts: &[&str],
        chunks: &ChunkOptions<'_>,
        options: &EncodeOptions<'_>,
        columns: usize,
        rows: &mut Vec<Embeddings>,
    ) -> Result<()> {
        let windows = self.windows(texts, chunks, options.role)?;
        let inputs: Vec<_> =
            windows.iter().map(|window| Input::Text(&texts[window.text][window.bytes.clone()])).collect();
        let encodings = |inputs| Encodings::new(inputs, columns, false);
        let tokens = self.engine.run(&inputs, &options.request(), encodings)?.encodings();
        let of_text = |text: usize| {
            // Windows have the order of their texts.
            let at = |text| windows.partition_point(|window| window.text < text);
            let range = at(text)..at(text + 1);
            windows[range.clone()].iter().zip(&tokens[range])
        };
        let reader = self.reader(options.role);
        for (i, text) in texts.iter().enumerate() {
            let mut sums = Sums::new(reader.chunk(text, chunks)?, self.hidden_size());
            for (window, encoding) in of_text(i) {
                let spans = self.token_bytes(text, window, options)?;
                sums.add(window, encoding, reader.tokenizer().tokens_before_text(), &spans);
            }
            // A text of white space has special tokens only.
            let whole: Vec<_> = of_text(i).map(|(_, encoding)| encoding).collect();
            rows.push(self.finished(sums.means(&whole), options, columns)?);
        }
        Ok(())
    }

    /// Splits texts into windows that the model reads at once.
    fn windows(&self, texts: &[&str], chunks: &ChunkOptions<'_>, role: Option<Role>) -> Result<Vec<Window>> {
        let reader = self.reader(role);
        let limit = self.max_seq_length_of(role).unwrap_or(usize::MAX);
        let taken = reader.tokenizer().count(Input::Text(chunks.prompt))?;
        let overlap = limit.saturating_sub(taken) / OVERLAP;
        let whole =
            ChunkOptions { max_tokens: None, overlap: if limit == usize::MAX { 0 } else { overlap }, ..*chunks };
        let mut windows = Vec::new();
        for (text, content) in texts.iter().enumerate() {
            let parts = reader.chunk(content, &whole)?;
            let middles: Vec<_> = parts.windows(2).map(|pair| usize::midpoint(pair[1].start, pair[0].end)).collect();
            let starts = std::iter::once(0).chain(middles.iter().copied());
            let ends = middles.iter().copied().chain([content.len()]);
            let owned = parts.into_iter().zip(starts.zip(ends));
            windows.extend(owned.map(|(bytes, (start, end))| Window { text, bytes, own: start..end }));
        }
        Ok(windows)
    }

    /// Returns the bytes in the text of each of a window's tokens between the special ones; `None` for the prompt's.
    fn token_bytes(
        &self,
        text: &str,
        window: &Window,
        options: &EncodeOptions<'_>,
    ) -> Result<Vec<Option<Range<usize>>>> {
        let prompt = options.prompt.unwrap_or_default();
        let joined = [prompt, &text[window.bytes.clone()]].concat();
        let reader = self.reader(options.role);
        let spans = reader.tokenizer().offsets(Input::Text(&joined))?;
        let in_text = |span: Range<usize>| {
            let start = span.start.checked_sub(prompt.len())? + window.bytes.start;
            Some(start..span.end.saturating_sub(prompt.len()) + window.bytes.start)
        };
        Ok(spans.into_iter().map(in_text).collect())
    }

    /// Applies the modules after pooling to means, and truncates them.
    fn finished(&self, means: Vec<f32>, options: &EncodeOptions<'_>, columns: usize) -> Result<Embeddings> {
        let engine = self.engine.serving(&options.request())?;
        let network = &engine.loaded.network;
        let Some(rows) = network.after_pooling(means)? else {
            let problem = "needs a transformer whose pooling gives one vector of its width";
            return Err(Error::argument("late", problem));
        };
        let width = network.width();
        let count = rows.len() / width;
        let mut data: Vec<f32> = rows.chunks_exact(width).flat_map(|row| &row[..columns]).copied().collect();
        if options.normalize_embeddings {
            normalize(RowsMut::packed(&mut data, columns));
        }
        Ok(Embeddings::new(data, count, columns, Truncated::default()))
    }
}

/// Splits texts into groups that are computed at once.
fn groups<T: AsRef<str>>(texts: &[T]) -> Vec<Vec<&str>> {
    let mut groups: Vec<Vec<&str>> = Vec::new();
    let mut bytes = GROUP;
    for text in texts.iter().map(AsRef::as_ref) {
        match groups.last_mut().filter(|_| bytes + text.len() <= GROUP) {
            Some(group) => group.push(text),
            None => {
                bytes = 0;
                groups.push(vec![text]);
            }
        }
        bytes += text.len();
    }
    groups
}

/// Sums of the token embeddings of each chunk of a text.
struct Sums {
    chunks: Vec<Range<usize>>,
    hidden_size: usize,
    /// `(chunks, hidden_size)`
    sums: Vec<f64>,
    counts: Vec<usize>,
}

impl Sums {
    fn new(chunks: Vec<Range<usize>>, hidden_size: usize) -> Self {
        Self { sums: vec![0.0; chunks.len() * hidden_size], counts: vec![0; chunks.len()], chunks, hidden_size }
    }

    /// Adds the tokens of a window, which has `before` special tokens before its text. A token counts in every chunk that it touches.
    fn add(&mut self, window: &Window, encoding: &TokenEncoding, before: usize, spans: &[Option<Range<usize>>]) {
        for (i, span) in spans.iter().enumerate() {
            let Some(span) = span.as_ref().filter(|span| window.own.contains(&span.start)) else { continue };
            let row = (before + i) * self.hidden_size;
            let Some(token) = encoding.token_embeddings.get(row..row + self.hidden_size) else { break };
            for (chunk, bytes) in self.chunks.iter().enumerate() {
                if span.start < bytes.end && span.end > bytes.start {
                    self.counts[chunk] += 1;
                    let sum = &mut self.sums[chunk * self.hidden_size..][..self.hidden_size];
                    sum.iter_mut().zip(token).for_each(|(sum, x)| *sum += f64::from(*x));
                }
            }
        }
    }

    /// Returns the means. A chunk without tokens has the mean of all tokens of the text.
    fn means(mut self, whole: &[&TokenEncoding]) -> Vec<f32> {
        for (count, sum) in self.counts.iter_mut().zip(self.sums.chunks_exact_mut(self.hidden_size)) {
            if *count == 0 {
                for token in whole.iter().flat_map(|encoding| encoding.token_embeddings.chunks_exact(self.hidden_size))
                {
                    *count += 1;
                    sum.iter_mut().zip(token).for_each(|(sum, x)| *sum += f64::from(*x));
                }
            }
            sum.iter_mut().for_each(|sum| *sum /= (*count).max(1) as f64);
        }
        self.sums.into_iter().map(|x| x as f32).collect()
    }
}
