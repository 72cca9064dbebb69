//! Which texts are computed together: identical ones once, and the rest in micro-batches of similar lengths.

use std::collections::HashMap;
use std::ops::Range;

use crate::alloc;
use crate::error::Result;
use crate::tokenize::{Input, Tokens};

/// How large micro-batches are, in tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TokenBudget {
    /// What one holds at most, unless a single text has more.
    pub(crate) max: usize,
    /// Below it, one isn't made smaller to give another thread work.
    min: usize,
    /// Whether threads compute one each at the same time; else one thread computes all, one after the other.
    pub(crate) concurrent: bool,
}

impl TokenBudget {
    /// Enough to keep a product busy, few enough that activations stay in a core's cache and that the last ones are soon
    /// done.
    pub(crate) const FOR_CACHE: Self = Self { max: 512, min: 64, concurrent: true };
    /// Enough that a GPU computes longer than it takes to be told what; few enough that activations have room.
    pub(crate) const FOR_GPU: Self = Self { max: 16_384, min: 16_384, concurrent: false };
}

/// A micro-batch: the tokens of several texts, packed one after the other.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) input_ids: Vec<u32>,
    /// 0 where the tokenizer has none.
    pub(crate) token_type_ids: Vec<u32>,
    /// Where each text begins, and at the end the number of tokens.
    offsets: Vec<usize>,
    /// How many of each text's last tokens are not attended to.
    unattended: Vec<usize>,
    /// Number of each text's first tokens that pooling leaves out, since they are the prompt's.
    pub(crate) excluded: Vec<usize>,
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
        }
        batch
    }

    /// How many texts.
    pub(crate) fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Number of each text's first token, and at the end the number of tokens.
    pub(crate) fn offsets(&self) -> &[usize] {
        &self.offsets
    }

    /// Tokens of the longest text.
    pub(crate) fn longest(&self) -> usize {
        self.texts().map(|text| text.len()).max().unwrap_or(0)
    }

    /// The rows of each text.
    pub(crate) fn texts(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        self.offsets.windows(2).map(|pair| pair[0]..pair[1])
    }

    /// The rows of each text that are attended to: all but what fills it up.
    pub(crate) fn keys(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        self.texts().zip(&self.unattended).map(|(text, unattended)| text.start..text.end - unattended)
    }

    /// Neighbouring texts of similar lengths: the shortest has at least seven eighths of the longest's tokens.
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

    /// Each token's place in its text, from 0.
    pub(crate) fn positions(&self) -> Vec<u32> {
        self.texts().flat_map(|text| 0..text.len() as u32).collect()
    }
}

/// Inputs, each once.
pub(crate) struct Distinct<'a> {
    pub(crate) inputs: Vec<Input<'a>>,
    /// For each of the caller's inputs, which of `inputs` it is.
    pub(crate) which: Vec<usize>,
}

impl<'a> Distinct<'a> {
    pub(crate) fn of(all: &[Input<'a>]) -> Result<Self> {
        const WHAT: &str = "telling the texts apart";
        let (mut places, mut inputs) = (HashMap::new(), Vec::new());
        let mut which = alloc::with_capacity(all.len(), WHAT)?;
        for input in all {
            let lacking = |_| alloc::out_of_memory::<(Input<'_>, usize)>(all.len(), WHAT);
            places.try_reserve(1).map_err(lacking)?;
            inputs.try_reserve(1).map_err(lacking)?;
            which.push(*places.entry(*input).or_insert_with(|| {
                inputs.push(*input);
                inputs.len() - 1
            }));
        }
        Ok(Self { inputs, which })
    }

    /// How often each distinct input is among the caller's.
    pub(crate) fn counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.inputs.len()];
        self.which.iter().for_each(|i| counts[*i] += 1);
        counts
    }

    /// The first of the caller's inputs that is the `i`-th here.
    pub(crate) fn place(&self, i: usize) -> usize {
        first_place(&self.which, i)
    }
}

/// The first of the caller's inputs that is the `i`-th distinct one.
pub(crate) fn first_place(which: &[usize], i: usize) -> usize {
    which.iter().position(|which| *which == i).unwrap_or(i)
}

/// Micro-batches of that size for `threads` threads, as places in `texts`: the longest texts first.
///
/// They are as even as the texts allow, and as many for each thread: else all wait for the one that has one more to do.
pub(crate) fn plan(texts: &[Tokens], threads: usize, budget: TokenBudget) -> Vec<Vec<usize>> {
    let length = |i: usize| texts[i].ids.len();
    let mut order: Vec<usize> = (0..texts.len()).collect();
    order.sort_by_key(|i| std::cmp::Reverse(length(*i)));
    let total: usize = (0..texts.len()).map(length).sum();
    let count = total.div_ceil(budget.max).next_multiple_of(threads.max(1)).min(total / budget.min).max(1);

    let mut batches: Vec<Vec<usize>> = Vec::new();
    let (mut done, mut room) = (0, 0);
    for i in order {
        // A text that lies more in the next even share than in this one begins a micro-batch.
        let full = (done + length(i) / 2) * count > batches.len() * total;
        match batches.last_mut().filter(|_| length(i) <= room && !full) {
            Some(batch) => {
                batch.push(i);
                room -= length(i);
            }
            None => {
                batches.push(vec![i]);
                room = budget.max.saturating_sub(length(i));
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
        Tokens { ids: vec![7; length], type_ids: None, full_length: length, unattended: 0, excluded: 0 }
    }

    proptest! {
        #[test]
        fn a_plan_holds_every_text_once_within_the_budget(
            lengths in prop::collection::vec(1usize..700, 0..80), threads in 1usize..9,
            budget in prop::sample::select(vec![TokenBudget::FOR_CACHE, TokenBudget::FOR_GPU]),
        ) {
            let texts: Vec<_> = lengths.iter().map(|n| tokens(*n)).collect();
            let batches = plan(&texts, threads, budget);
            let mut seen: Vec<usize> = batches.concat();
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..texts.len()).collect::<Vec<_>>());
            for batch in &batches {
                let total: usize = batch.iter().map(|i| lengths[*i]).sum();
                prop_assert!(total <= budget.max || batch.len() == 1);
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
                prop_assert_eq!(Some(distinct.place(i)), inputs.iter().position(|other| other == input));
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
    fn what_fills_a_text_up_is_no_key() {
        let filled = |unattended| Tokens { unattended, ..tokens(4) };
        let batch = Batch::new(&[tokens(4), filled(1), filled(1), filled(3)]);
        assert_eq!(batch.keys().collect::<Vec<_>>(), [0..4, 4..7, 8..11, 12..13]);
    }
}
