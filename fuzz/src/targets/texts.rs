//! Texts for a tokenizer of each class: rows, tokens and chunks.

use arbitrary::{Arbitrary, Unstructured};
use rushlight::server::AnyModel;
use rushlight::{CallOptions, ChunkOptions, Error, Input, Model, Reader};

use super::super::oracle::{both, check_rows, inputs, kind};
use super::super::texts::{Text, Texts};

/// A case of each tokenizer class and of each kind of model.
const CASES: [&str; 18] = [
    "tiny/bert-mean-normalize",
    "tiny/bert-cased-max",
    "tiny/roberta-mean-normalize",
    "tiny/mpnet-mean-normalize",
    "tiny/xlm-roberta-cls-normalize",
    "tiny/camembert-mean",
    "tiny/t5-mean-dense-normalize",
    "tiny/deberta-v2-mean",
    "tiny/gemma3-causal",
    "tiny/bert-tokenizer-llama",
    "tiny/bert-tokenizer-gpt2",
    "tiny/qwen2-lasttoken-normalize",
    "tiny/modernbert-mean",
    "tiny/albert-mean",
    "static/model2vec-int8-plain",
    "rerank/rerank-bert",
    "sparse/splade-bert-max",
    "multi_vector/multivector-native-bert",
];

#[derive(Arbitrary, Debug)]
struct Call {
    case: u8,
    texts: Texts,
    chunks: Option<(u8, u8, Option<Text>)>,
}

pub fn check(data: &[u8]) {
    let Ok(call) = Call::arbitrary_take_rest(Unstructured::new(data)) else { return };
    let models = both(CASES[usize::from(call.case) % CASES.len()]);
    let [native, portable] = &*models;
    let texts = call.texts.as_strs();
    check_rows(native, portable, &inputs(native, &texts));
    if let AnyModel::Sentence(model) = native {
        check_tokens(&model.reader(None), &texts);
        if let Some((max_tokens, overlap, prompt)) = &call.chunks {
            let prompt = prompt.as_ref().map_or("", |prompt| &prompt.0);
            let options = ChunkOptions::default()
                .with_max_tokens(usize::from(*max_tokens % 40))
                .with_overlap(usize::from(*overlap % 20))
                .with_prompt(prompt);
            texts.iter().for_each(|text| check_chunks(model, text, &options));
        }
    }
}

/// A text has the same tokens alone and in a batch, and their number is that which is counted, up to the limit.
fn check_tokens(reader: &Reader, texts: &[&str]) {
    let inputs: Vec<_> = texts.iter().map(|text| Input::Text(text)).collect();
    let options = CallOptions::default();
    let (tokens, counts) = match (reader.tokenize(&inputs, &options), reader.count_tokens(&inputs, &options)) {
        (Ok(tokens), Ok(counts)) => (tokens, counts),
        (Err(error), Err(other)) => return assert_eq!(kind(&error), kind(&other)),
        // A text without tokens can be counted, but not read.
        (Err(Error::InvalidInput { index, .. }), Ok(counts)) => return assert_eq!(counts[index], 0),
        (tokens, counts) => panic!("only one reads: {:?} | {:?}", tokens.err(), counts.err()),
    };
    for ((input, tokens), count) in inputs.iter().zip(&tokens).zip(counts) {
        let alone = reader.tokenize(&[*input], &options).unwrap();
        assert_eq!(alone[0].ids, tokens.ids, "{input:?}");
        assert!(tokens.ids.len() <= count, "{input:?}: {count} counted");
        assert!(reader.tokenizer().decode(&tokens.ids, false).is_ok(), "{input:?}");
    }
}

/// Chunks ascend, hold all that isn't white space, and fit, unless a chunk can't be split.
fn check_chunks(model: &Model, text: &str, options: &ChunkOptions<'_>) {
    let chunks = match model.chunk(text, options) {
        Ok(chunks) => chunks,
        Err(error) => {
            kind(&error);
            return;
        }
    };
    for chunk in &chunks {
        assert!(text.get(chunk.clone()).is_some(), "{text:?}: {chunks:?}");
    }
    for pair in chunks.windows(2) {
        assert!(pair[0].start < pair[1].start && pair[0].end < pair[1].end, "{text:?}: {chunks:?} by {options:?}");
        let between = text.get(pair[0].end..pair[1].start).unwrap_or_default();
        assert!(between.chars().all(char::is_whitespace), "{text:?}: {chunks:?} by {options:?}");
    }
    let (Some(first), Some(last)) = (chunks.first(), chunks.last()) else { panic!("{text:?}: no chunks") };
    let outside = [&text[..first.start], &text[last.end..]].concat();
    assert!(outside.trim().is_empty(), "{text:?}: {chunks:?} by {options:?}");
}
