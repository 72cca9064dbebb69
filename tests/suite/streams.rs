//! Tests of `Model::encode_iter`: order, the bits of `encode`, bounded lookahead, errors with their index.

use std::cell::Cell;

use crate::common::tiny;
use proptest::prelude::*;
use rushlight::{EncodeOptions, Error, Model, Observer, Truncation};

fn model() -> Model {
    Model::from_dir(tiny("bert-mean-normalize").model).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20))]
    #[test]
    fn chunks_are_the_rows_of_one_call(texts in prop::collection::vec("[a-c ]{0,9}", 0..40), chunk_size in 1usize..50) {
        let (model, options) = (model(), EncodeOptions::default().with_truncate_dim(7));
        let expected = model.encode(&texts, &options).unwrap();
        let chunks: Vec<_> =
            model.encode_iter(&texts, chunk_size, &options).unwrap().collect::<Result<_, _>>().unwrap();
        let sizes: Vec<_> = chunks.iter().map(|chunk| chunk.len()).collect();
        prop_assert_eq!(sizes, texts.chunks(chunk_size).map(<[_]>::len).collect::<Vec<_>>());
        let rows: Vec<_> = chunks.iter().flat_map(|chunk| chunk.as_slice()).copied().collect();
        prop_assert_eq!(rows, expected.into_vec());
    }
}

#[test]
fn two_chunks_are_taken_of_an_endless_iterator() {
    let (model, taken) = (model(), Cell::new(0));
    let texts = (0..).map(|i| {
        taken.set(i + 1);
        format!("text {i}")
    });
    let mut stream = model.encode_iter(texts, 5, &EncodeOptions::default()).unwrap();
    for chunk in 1..4 {
        assert_eq!(stream.next().unwrap().unwrap().len(), 5);
        assert_eq!(taken.get(), 5 * (chunk + 1));
    }
}

#[test]
fn an_invalid_text_is_named_by_its_index_after_earlier_chunks() {
    let model = model();
    let long = "word ".repeat(1000);
    let texts = ["a", "b", "c", "a", "a", &long, "b"];
    let options = EncodeOptions::default().with_truncation(Truncation::Error);
    let mut stream = model.encode_iter(texts, 3, &options).unwrap();
    assert_eq!(stream.next().unwrap().unwrap(), model.encode(&texts[..3], &options).unwrap());
    let error = stream.next().unwrap().unwrap_err();
    assert!(matches!(error, Error::InvalidInput { index: 5, .. }), "{error}");
    assert!(stream.next().is_none());
    assert!(stream.next().is_none());

    let cut = model.encode_iter(texts, 3, &EncodeOptions::default()).unwrap();
    let counts: Vec<_> = cut.map(|chunk| chunk.unwrap().truncated().count).collect();
    assert_eq!(counts, [0, 1, 0]);
}

#[test]
fn options_are_checked_before_texts() {
    let model = model();
    let texts = || std::iter::from_fn(|| -> Option<&str> { panic!("no text is asked for") });
    let options = EncodeOptions::default();
    assert!(matches!(
        model.encode_iter(texts(), 0, &options),
        Err(Error::InvalidArgument { argument: "chunk_size", .. })
    ));
    let wrong = [options.with_prompt_name("no such"), options.with_truncate_dim(0)];
    for options in wrong {
        assert!(matches!(model.encode_iter(texts(), 1, &options), Err(Error::InvalidArgument { .. })));
    }
}

#[test]
fn an_observer_stops_a_stream() {
    struct Stop;
    impl Observer for Stop {
        fn interrupted(&self) -> bool {
            true
        }
    }
    let model = model();
    let options = EncodeOptions::default().with_observer(&Stop);
    let mut stream = model.encode_iter(["a"], 1, &options).unwrap();
    assert!(matches!(stream.next(), Some(Err(Error::Interrupted))));
    assert!(stream.next().is_none());
}

#[test]
fn an_unreadable_line_ends_the_stream_after_the_texts_before_it() {
    let model = model();
    let lines = || {
        let broken = std::io::Error::other("the disk is gone");
        [Ok("one".to_owned()), Ok("two".to_owned()), Ok("three".to_owned()), Err(broken), Ok("five".to_owned())]
    };
    let expected = model.encode(&["one", "two", "three"], &EncodeOptions::default()).unwrap().into_vec();
    for chunk_size in 1..5 {
        let mut stream = model.encode_iter(lines(), chunk_size, &EncodeOptions::default()).unwrap();
        let mut embeddings = Vec::new();
        let error = loop {
            match stream.next().unwrap() {
                Ok(chunk) => embeddings.extend(chunk.into_vec()),
                Err(error) => break error,
            }
        };
        assert_eq!(embeddings, expected);
        assert_eq!(error.to_string(), "inputs[3]: can't be read: the disk is gone");
        assert!(stream.next().is_none());
    }
}

#[test]
fn a_stream_keeps_its_model() {
    let stream = {
        let model = model();
        model.encode_iter(["one", "two"].map(str::to_owned), 1, &EncodeOptions::default()).unwrap()
    };
    assert_eq!(stream.map(|chunk| chunk.unwrap().len()).sum::<usize>(), 2);
}
