//! Micro-batches: equal texts are computed once, the rest in groups of similar lengths.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::ops::Range;

use crate::alloc;
use crate::error::Result;
use crate::images::Prepared;
use crate::tokenize::{Input, Tokens};

/// Bounds of micro-batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TokenBudget {
    /// Maximum tokens per micro-batch, unless a single text has more.
    pub(crate) max: usize,
    /// Minimum tokens per micro-batch; smaller ones aren't worth splitting.
    min: usize,
    /// Maximum texts per micro-batch.
    pub(crate) texts: usize,
    /// True if threads compute micro-batches concurrently; false if one thread computes all in sequence.
    pub(crate) concurrent: bool,
}

impl TokenBudget {
    /// Budget for a CPU: large enough for efficient products, small enough that activations stay in a core's cache and
    /// threads finish at about the same time.
    pub(crate) const FOR_CACHE: Self = Self { max: 512, min: 64, texts: usize::MAX, concurrent: true };
    /// Budget for a GPU: large enough to hide kernel launches, small enough that activations fit in memory.
    #[cfg(feature = "portable")]
    pub(crate) const FOR_GPU: Self = Self { max: 16_384, min: 16_384, texts: usize::MAX, concurrent: false };

    /// Bounds the texts of a micro-batch, too.
    pub(crate) fn with_texts(self, texts: NonZeroUsize) -> Self {
        Self { texts: texts.get(), ..self }
    }
}

/// Micro-batch: the packed tokens of several texts.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) input_ids: Vec<u32>,
    /// Token type ids; 0 if the tokenizer has none.
    pub(crate) token_type_ids: Vec<u32>,
    /// Index of each text's first token, and the number of tokens at the end.
    offsets: Vec<usize>,
    /// Number of each text's last tokens that the attention mask excludes.
    unattended: Vec<usize>,
    /// Number of each text's first tokens that belong to the prompt and that pooling excludes.
    pub(crate) excluded: Vec<usize>,
    /// Position of each text's first token.
    first_positions: Vec<usize>,
    /// Image that each text stands for, if it is one.
    pub(crate) images: Vec<Option<Prepared>>,
}

impl Batch {
    pub(crate) fn new<'a>(texts: impl IntoIterator<Item = &'a Tokens>) -> Self {
        let mut batch = Self { offsets: vec![0], ..Self::default() };
        for tokens in texts {
            batch.input_ids.extend(&tokens.ids);
            match &tokens.type_ids {
                Some(types) => batch.token_type_ids.extend(types),
                None => batch.token_type_ids.resize(batch.input_ids.len(), 0),
            }
            batch.offsets.push(batch.input_ids.len());
            batch.unattended.push(tokens.unattended);
            batch.excluded.push(tokens.excluded);
            batch.first_positions.push(tokens.first_position);
            batch.images.push(tokens.image.clone());
        }
        batch
    }

    /// Returns a batch of some of the texts.
    pub(crate) fn some(&self, texts: &[usize]) -> Self {
        let mut batch = Self { offsets: vec![0], ..Self::default() };
        for text in texts {
            let tokens = self.offsets[*text]..self.offsets[text + 1];
            batch.input_ids.extend(&self.input_ids[tokens.clone()]);
            batch.token_type_ids.extend(&self.token_type_ids[tokens]);
            batch.offsets.push(batch.input_ids.len());
            batch.unattended.push(self.unattended[*text]);
            batch.excluded.push(self.excluded[*text]);
            batch.first_positions.push(self.first_positions[*text]);
            batch.images.push(self.images[*text].clone());
        }
        batch
    }

    /// Number of texts.
    pub(crate) fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Returns the index of each text's first token, and the number of tokens at the end.
    pub(crate) fn offsets(&self) -> &[usize] {
        &self.offsets
    }

    /// Number of tokens of the longest text.
    pub(crate) fn longest(&self) -> usize {
        self.texts().map(|text| text.len()).max().unwrap_or(0)
    }

    /// Returns the rows of each text.
    pub(crate) fn texts(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        self.offsets.windows(2).map(|pair| pair[0]..pair[1])
    }

    /// Returns the rows of each text that attention sees: all but padding.
    pub(crate) fn keys(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        self.texts().zip(&self.unattended).map(|(text, unattended)| text.start..text.end - unattended)
    }

    /// Groups adjacent texts of similar lengths: the shortest has at least seven eighths of the longest's tokens.
    #[cfg(any(feature = "portable", test))]
    pub(crate) fn alike(&self) -> Vec<Range<usize>> {
        let mut groups: Vec<Range<usize>> = Vec::new();
        let (mut shortest, mut longest) = (0, 0);
        for (i, text) in self.texts().enumerate() {
            (shortest, longest) = (text.len().min(shortest), text.len().max(longest));
            match groups.last_mut().filter(|_| 8 * shortest >= 7 * longest) {
                Some(group) => group.end = i + 1,
                None => {
                    groups.push(i..i + 1);
                    (shortest, longest) = (text.len(), text.len());
                }
            }
        }
        groups
    }

    /// Returns each token's position in its text, from 0 unless padding precedes it.
    pub(crate) fn positions(&self) -> Vec<u32> {
        let positions = |(text, first): (Range<usize>, &usize)| *first as u32..(first + text.len()) as u32;
        self.texts().zip(&self.first_positions).flat_map(positions).collect()
    }
}

/// Distinct inputs of a call.
pub(crate) struct Distinct<'a> {
    pub(crate) inputs: Vec<Input<'a>>,
    /// Index in `inputs` of each of the caller's inputs.
    pub(crate) which: Vec<usize>,
}

impl<'a> Distinct<'a> {
    pub(crate) fn of(all: &[Input<'a>]) -> Result<Self> {
        const WHAT: &str = "the distinct texts";
        let (mut indices, mut inputs) = (HashMap::new(), Vec::new());
        let mut which = alloc::with_capacity(all.len(), WHAT)?;
        for input in all {
            let lacking = |_| alloc::out_of_memory::<(Input<'_>, usize)>(all.len(), WHAT);
            indices.try_reserve(1).map_err(lacking)?;
            inputs.try_reserve(1).map_err(lacking)?;
            which.push(*indices.entry(*input).or_insert_with(|| {
                inputs.push(*input);
                inputs.len() - 1
            }));
        }
        Ok(Self { inputs, which })
    }

    /// Counts the caller's inputs that equal each distinct one.
    pub(crate) fn counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.inputs.len()];
        self.which.iter().for_each(|i| counts[*i] += 1);
        counts
    }

    /// Returns the index of the caller's first input that equals the `i`-th distinct one.
    pub(crate) fn first_index(&self, i: usize) -> usize {
        first_index(&self.which, i)
    }
}

/// Returns the index of the caller's first input that equals the `i`-th distinct one.
pub(crate) fn first_index(which: &[usize], i: usize) -> usize {
    which.iter().position(|which| *which == i).unwrap_or(i)
}

/// Plans micro-batches within the budget for `threads` threads, as indices into `texts`, the longest texts first.
///
/// Their sizes are as even as the texts allow, and each thread gets the same number, so that all finish together.
pub(crate) fn plan(texts: &[Tokens], threads: usize, budget: TokenBudget) -> Vec<Vec<usize>> {
    let length = |i: usize| texts[i].ids.len();
    let mut order: Vec<usize> = (0..texts.len()).collect();
    order.sort_by_key(|i| std::cmp::Reverse(length(*i)));
    let total: usize = (0..texts.len()).map(length).sum();
    let count = total.div_ceil(budget.max).next_multiple_of(threads.max(1)).min(total / budget.min).max(1);

    let mut batches: Vec<Vec<usize>> = Vec::new();
    let (mut done, mut remaining) = (0, 0);
    for i in order {
        // A text that belongs more to the next even share than to this one starts a micro-batch.
        let full = (done + length(i) / 2) * count > batches.len() * total;
        match batches.last_mut().filter(|batch| length(i) <= remaining && batch.len() < budget.texts && !full) {
            Some(batch) => {
                batch.push(i);
                remaining -= length(i);
            }
            None => {
                batches.push(vec![i]);
                remaining = budget.max.saturating_sub(length(i));
            }
        }
        done += length(i);
    }
    batches
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tokens(length: usize) -> Tokens {
        Tokens::new(vec![7; length], None, length)
    }

    proptest! {
        #[test]
        fn a_plan_holds_every_text_once_within_the_budget(
            lengths in prop::collection::vec(1usize..700, 0..80), threads in 1usize..9,
            budget in prop::sample::select(vec![TokenBudget::FOR_CACHE, TokenBudget::FOR_GPU]),
            most in prop::sample::select(vec![1, 3, usize::MAX]),
        ) {
            let budget = TokenBudget { texts: most, ..budget };
            let texts: Vec<_> = lengths.iter().map(|n| tokens(*n)).collect();
            let batches = plan(&texts, threads, budget);
            let mut seen: Vec<usize> = batches.concat();
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..texts.len()).collect::<Vec<_>>());
            for batch in &batches {
                let total: usize = batch.iter().map(|i| lengths[*i]).sum();
                prop_assert!(total <= budget.max || batch.len() == 1);
                prop_assert!(batch.len() <= most);
                prop_assert!(batch.windows(2).all(|pair| lengths[pair[0]] >= lengths[pair[1]]));
            }
        }

        #[test]
        fn threads_have_about_as_much_to_do(
            lengths in prop::collection::vec(1usize..100, 1..200), threads in 1usize..5,
        ) {
            let texts: Vec<_> = lengths.iter().map(|n| tokens(*n)).collect();
            let batches = plan(&texts, threads, TokenBudget::FOR_CACHE);
            let total: usize = lengths.iter().sum();
            if total < 2 * TokenBudget::FOR_CACHE.min {
                prop_assert_eq!(batches.len(), 1);
            }
            let sums: Vec<usize> = batches.iter().map(|batch| batch.iter().map(|i| lengths[*i]).sum()).collect();
            let even = total.div_ceil(batches.len());
            prop_assert!(sums.iter().all(|sum| *sum <= even + 200), "{:?}", sums);
        }

        #[test]
        fn distinct_inputs_stand_for_all(texts in prop::collection::vec("[ab]{0,2}", 0..40)) {
            let inputs: Vec<_> = texts.iter().map(|text| Input::Text(text)).collect();
            let distinct = Distinct::of(&inputs).unwrap();
            let few = &distinct.inputs;
            prop_assert_eq!(distinct.which.iter().map(|i| few[*i]).collect::<Vec<_>>(), inputs.clone());
            prop_assert!((1..few.len()).all(|i| !few[..i].contains(&few[i])));
            for (i, input) in few.iter().enumerate() {
                prop_assert_eq!(Some(distinct.first_index(i)), inputs.iter().position(|other| other == input));
            }
        }

        #[test]
        fn texts_alike_are_neighbours_of_similar_lengths(lengths in prop::collection::vec(1usize..40, 0..30)) {
            let texts: Vec<_> = lengths.iter().map(|n| tokens(*n)).collect();
            let mut end = 0;
            for group in Batch::new(&texts).alike() {
                prop_assert_eq!(group.start, end);
                end = group.end;
                let of_group = || lengths[group.clone()].iter();
                prop_assert!(8 * of_group().min().unwrap() >= 7 * of_group().max().unwrap());
            }
            prop_assert_eq!(end, lengths.len());
        }
    }

    #[test]
    fn padding_is_excluded_from_keys() {
        let filled = |unattended| Tokens { unattended, ..tokens(4) };
        let batch = Batch::new(&[tokens(4), filled(1), filled(1), filled(3)]);
        assert_eq!(batch.keys().collect::<Vec<_>>(), [0..4, 4..7, 8..11, 12..13]);
    }
}
