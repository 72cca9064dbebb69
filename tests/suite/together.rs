//! Tests of small concurrent calls, which share forward passes and keep their bits.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::common::{data, tiny};
use rushlight::{
    EncodeOptions, Error, Input, Model, MultiVectorModel, MultiVectorOptions, Observer, PredictOptions, Reranker,
    SparseModel, SparseOptions,
};

const TEXTS: [&str; 5] =
    ["a", "A lamp lights the room.", "It is small, and the whole of the town.", "", "lamp lamp lamp"];

/// Calls `work` from many more threads than may compute, again and again.
fn crowd(work: impl Fn(usize) + Sync) {
    std::thread::scope(|scope| {
        for caller in 0..12 {
            let work = &work;
            scope.spawn(move || (0..40).for_each(|round| work(caller + round)));
        }
    });
}

#[test]
fn texts_of_different_prompts_share_a_forward_pass() {
    let mut model = Model::from_dir(tiny("bert-prompt-excluded").model).unwrap();
    model.set_pooling_include_prompt(false);
    let prompted = |prompt| EncodeOptions::default().with_prompt(prompt);
    let options = [EncodeOptions::default(), prompted("query: "), prompted("a much longer prompt, of many words: ")];
    let encode = |i: usize| model.encode(&[TEXTS[i % 5]], &options[i % 3]).unwrap().into_vec();
    let tokens = |i: usize| model.encode_tokens(&[Input::Text(TEXTS[i % 5])], &options[i % 3]).unwrap().remove(0);
    let expected: Vec<_> = (0..15).map(|i| (encode(i), tokens(i))).collect();
    crowd(|i| {
        let (embedding, encoding) = &expected[i % 15];
        if i % 4 == 0 {
            let tokens = tokens(i);
            assert_eq!(tokens.token_embeddings, encoding.token_embeddings);
            assert_eq!(tokens.sentence_embedding, encoding.sentence_embedding);
        } else {
            assert_eq!(encode(i), *embedding);
        }
    });
}

#[test]
fn models_of_all_kinds_share_forward_passes() {
    let reranker = Reranker::from_dir(data().join("rerank/rerank-bert/model")).unwrap();
    let sparse = SparseModel::from_dir(data().join("sparse/splade-bert-max/model")).unwrap();
    let multi = MultiVectorModel::from_dir(data().join("multi_vector/multivector-native-bert/model")).unwrap();
    let score = |i: usize| {
        let pair = Input::Pair(TEXTS[i % 5], TEXTS[(i + 1) % 5]);
        reranker.predict_inputs(&[pair], &PredictOptions::default()).unwrap().0.as_slice().to_vec()
    };
    let weights = |i: usize| sparse.encode(&[TEXTS[i % 5]], &SparseOptions::default()).unwrap().into_parts();
    let vectors = |i: usize| {
        let texts = [TEXTS[i % 5]];
        multi.encode_document(&texts, &MultiVectorOptions::default()).unwrap().remove(0).as_slice().to_vec()
    };
    let expected: Vec<_> = (0..5).map(|i| (score(i), weights(i), vectors(i))).collect();
    crowd(|i| match i % 3 {
        0 => assert_eq!(score(i), expected[i % 5].0),
        1 => assert_eq!(weights(i), expected[i % 5].1),
        _ => assert_eq!(vectors(i), expected[i % 5].2),
    });
}

#[test]
fn a_stopped_call_stops_no_other() {
    struct Stopping(AtomicUsize);
    impl Observer for Stopping {
        fn interrupted(&self) -> bool {
            self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_err()
        }
    }
    let model = Model::from_dir(tiny("bert-mean-normalize").model).unwrap();
    let expected: Vec<_> =
        TEXTS.map(|text| model.encode(&[text], &EncodeOptions::default()).unwrap().into_vec()).into();
    let stopped = AtomicBool::new(false);
    crowd(|i| {
        let observer = Stopping(AtomicUsize::new(i % 7));
        let observer: Option<&dyn Observer> = if i % 2 == 0 { None } else { Some(&observer) };
        let mut options = EncodeOptions::default();
        options.observer = observer;
        match model.encode(&[TEXTS[i % 5]], &options) {
            Ok(embeddings) => assert_eq!(embeddings.into_vec(), expected[i % 5]),
            Err(Error::Interrupted) if observer.is_some() => stopped.store(true, Ordering::Relaxed),
            Err(error) => panic!("{error}"),
        }
    });
    assert!(stopped.load(Ordering::Relaxed));
}
