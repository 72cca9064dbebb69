//! Inputs of token ids, the side of truncation, and the steps that an observer is told of.

use std::sync::Mutex;

use rushlight::{
    CallOptions, ChunkOptions, EncodeOptions, Error, Input, Model, Observer, PredictOptions, Reranker, Step,
    TruncationSide,
};

fn model(name: &str) -> Model {
    Model::from_dir(crate::common::data().join("tiny").join(name).join("model")).unwrap()
}

#[test]
fn token_ids_give_the_bits_of_their_text() {
    let model = model("bert-mean-normalize");
    let texts = [Input::Text("the cat sat"), Input::Text("a dog ran over the hill")];
    let tokens = model.tokenize(&texts).unwrap();
    let ids: Vec<_> = tokens.iter().map(|tokens| Input::Ids(&tokens.ids)).collect();
    let options = EncodeOptions::default();
    let expected = model.encode_inputs(&texts, &options).unwrap();
    assert_eq!(model.encode_inputs(&ids, &options).unwrap().as_slice(), expected.as_slice());
    assert_eq!(model.count_tokens(&ids).unwrap(), model.count_tokens(&texts).unwrap());
    let unknown = model.encode_inputs(&[Input::Ids(&[1, u32::MAX])], &options).unwrap_err();
    assert!(matches!(unknown, Error::InvalidInput { index: 0, .. }), "{unknown}");
}

/// Ids have their prompt already, so pooling leaves out none of them.
#[test]
fn token_ids_take_no_prompt() {
    let model = model("bert-prompt-excluded");
    let name = model.prompts().iter().find(|(_, prompt)| !prompt.is_empty()).unwrap().0.clone();
    let ids = model.tokenize(&[Input::Text("the cat sat")]).unwrap().remove(0).ids;
    let input = [Input::Ids(&ids)];
    let plain = model.encode_inputs(&input, &EncodeOptions::default().with_prompt("")).unwrap();
    let prompted = model.encode_inputs(&input, &EncodeOptions::default().with_prompt_name(&name)).unwrap();
    assert_eq!(prompted.as_slice(), plain.as_slice());
}

#[test]
fn truncation_removes_the_given_side() {
    let mut model = model("bert-mean-normalize");
    model.set_max_seq_length(5).unwrap();
    let encode = |text: &str, side: Option<TruncationSide>| {
        let options = EncodeOptions::default().with_truncation_side(side);
        model.encode(&[text], &options).unwrap().into_vec()
    };
    let long = "the cat sat over the hill";
    let ids = model.tokenizer().encode_plain(long).unwrap();
    assert!(ids.len() > 3);
    let kept = |ids: &[u32]| {
        let bare = model.reader(None).tokenize(&[Input::Text("")], &CallOptions::default()).unwrap().remove(0).ids;
        [&bare[..1], ids, &bare[1..]].concat()
    };
    let of_ids = |ids: &[u32]| model.encode_inputs(&[Input::Ids(ids)], &EncodeOptions::default()).unwrap().into_vec();
    assert_eq!(encode(long, Some(TruncationSide::Left)), of_ids(&kept(&ids[ids.len() - 3..])));
    assert_eq!(encode(long, Some(TruncationSide::Right)), of_ids(&kept(&ids[..3])));
    assert_eq!(encode(long, None), encode(long, Some(TruncationSide::Right)));
    assert_ne!(encode(long, None), encode(long, Some(TruncationSide::Left)));
}

#[derive(Default)]
struct Steps(Mutex<Vec<Step>>);

impl Observer for Steps {
    fn step(&self, step: Step) {
        self.0.lock().unwrap().push(step);
    }
}

#[test]
fn an_observer_is_told_of_the_steps() {
    let model = model("bert-mean-normalize");
    for texts in [vec!["the cat sat"; 1], (0..500).map(|i| if i % 2 == 0 { "a dog" } else { "a cat" }).collect()] {
        let steps = Steps::default();
        model.encode(&texts, &EncodeOptions::default().with_observer(&steps)).unwrap();
        let steps = steps.0.into_inner().unwrap();
        assert!(matches!(steps[..2], [Step::Tokenized, Step::Began(_)]), "{steps:?}");
        let inputs: Vec<_> = texts.iter().map(|text| Input::Text(text)).collect();
        let tokens = model.count_tokens(&inputs).unwrap().iter().sum();
        assert_eq!(steps.last(), Some(&Step::Finished { tokens }), "equal texts count each");
        let computed: usize =
            steps.iter().map(|step| if let Step::Computed { texts, .. } = step { *texts } else { 0 }).sum();
        assert_eq!(computed, texts.len().min(2));
    }
}

#[test]
fn labels_have_the_names_of_the_config() {
    let folder = crate::common::data().join("rerank/rerank-bert-3-labels/model");
    let reranker = Reranker::from_dir(folder).unwrap();
    assert_eq!(reranker.labels().unwrap(), ["LABEL_0", "LABEL_1", "LABEL_2"]);
    let scores = reranker.predict(&[("a", "b")], &PredictOptions::default()).unwrap();
    assert_eq!(scores.columns(), 3);
}

/// Tokens of white space alone belong to no chunk, and begin none.
#[test]
fn chunks_after_several_blanks_have_starts_of_their_own() {
    let model = model("roberta-mean-normalize");
    for text in ["000  A000", "  A000", "000   A000  ", " \n 000 \t\t A000 000   rest"] {
        for (max_tokens, overlap) in [(3, 0), (4, 0), (4, 1), (5, 2)] {
            let options = ChunkOptions::default().with_max_tokens(max_tokens).with_overlap(overlap);
            let chunks = model.chunk(text, &options).unwrap();
            assert!(chunks.is_sorted_by(|a, b| a.start < b.start && a.end < b.end), "{text:?}: {chunks:?}");
            assert!(
                chunks.iter().all(|chunk| text[chunk.clone()].trim() == &text[chunk.clone()]),
                "{text:?}: {chunks:?}"
            );
        }
    }
}
