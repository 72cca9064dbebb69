//! Tests of late chunking, beside means of the token embeddings of whole texts.

use crate::common::{native, tiny, ways};
use rushlight::{CallOptions, ChunkOptions, EncodeOptions, Error, Input, LoadOptions, Model};

fn load(name: &str, way: &LoadOptions) -> Model {
    Model::from_dir_with(tiny(name).model, way).unwrap()
}

fn chunks(max_tokens: usize) -> ChunkOptions<'static> {
    ChunkOptions::default().with_max_tokens(max_tokens)
}

fn plain() -> EncodeOptions<'static> {
    EncodeOptions::default()
}

/// Returns the mean of these tokens of a whole text, normalized.
fn mean(model: &Model, text: &str, tokens: std::ops::Range<usize>) -> Vec<f32> {
    let encoding = model.encode_tokens(&[Input::Text(text)], &plain()).unwrap().remove(0);
    let width = model.hidden_size();
    let mut sum = vec![0.0; width];
    for token in tokens {
        let token = &encoding.token_embeddings[token * width..][..width];
        sum.iter_mut().zip(token).for_each(|(sum, x)| *sum += x);
    }
    let norm = sum.iter().map(|x| x * x).sum::<f32>().sqrt();
    sum.iter().map(|x| x / norm).collect()
}

fn difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max)
}

const TEXT: &str = "the weather is lovely today and he drove to the stadium to see it";

#[test]
fn a_chunk_is_the_mean_of_its_tokens_in_the_whole_text() {
    for way in ways() {
        let model = load("bert-mean-normalize", &way);
        let spans = model.chunk(TEXT, &chunks(20)).unwrap();
        assert!(spans.len() > 1);
        let rows = model.encode_late_chunks(&[TEXT], &chunks(20), &plain()).unwrap().remove(0);
        assert_eq!(rows.len(), spans.len());
        // The tokens before a chunk's end are those of the text up to it, because chunks end at words.
        let count = |end: usize| {
            model.reader(None).count_tokens(&[Input::Text(&TEXT[..end])], &CallOptions::default()).unwrap()[0] - 1
        };
        let mut first = 1;
        for (row, span) in rows.rows().zip(&spans) {
            let end = count(span.end);
            assert!(difference(row, &mean(&model, TEXT, first..end)) < 1e-5, "{span:?}");
            first = end;
        }
        let alone = model.encode(&[&TEXT[spans[1].clone()]], &plain()).unwrap();
        assert!(difference(rows.row(1), alone.row(0)) > 1e-3, "the context counts");
    }
}

#[test]
fn texts_have_the_same_rows_alone() {
    let model = load("bert-mean-normalize", &native());
    let texts = [TEXT, "one text", "", " \n ", TEXT];
    let together = model.encode_late_chunks(&texts, &chunks(20), &plain()).unwrap();
    for (text, rows) in texts.iter().zip(&together) {
        assert_eq!(model.encode_late_chunks(&[text], &chunks(20), &plain()).unwrap()[0], *rows, "{text:?}");
        assert_eq!(rows.len(), model.chunk(text, &chunks(20)).unwrap().len());
    }
    assert!(model.encode_late_chunks(&[""; 0], &chunks(20), &plain()).unwrap().is_empty());
    let empty = model.encode(&[""], &plain()).unwrap();
    assert!(difference(together[2].row(0), empty.row(0)) < 1e-6, "no tokens but the special ones");
}

#[test]
fn texts_beyond_the_models_length_are_read_in_windows() {
    let mut model = load("bert-mean-normalize", &native());
    let text = TEXT.repeat(3);
    let whole = model.encode_late_chunks(&[&text[..]], &chunks(16), &plain()).unwrap().remove(0);
    let spans = model.chunk(&text, &chunks(16)).unwrap();
    model.set_max_seq_length(40).unwrap();
    let windows = model.encode_late_chunks(&[&text[..]], &chunks(16), &plain()).unwrap().remove(0);
    assert_eq!(windows.len(), spans.len());
    assert_ne!(windows, whole);
    assert!(windows.as_slice().iter().all(|x| x.is_finite()));
    // The first chunks have their whole window before its overlap with the next one.
    let first = model.chunk(&text, &ChunkOptions::default().with_overlap(9)).unwrap()[0].clone();
    let alone = model.encode_late_chunks(&[&text[first]], &chunks(16), &plain()).unwrap().remove(0);
    assert!(difference(windows.row(0), alone.row(0)) < 1e-6);
}

#[test]
fn prompts_truncation_and_norms_are_those_of_encode() {
    let way = native().with_prompt("query", "see: ");
    let model = load("bert-mean-normalize", &way);
    let named = model.encode_late_chunks(&[TEXT], &chunks(20), &plain().with_prompt_name("query")).unwrap().remove(0);
    let spans = model.chunk(TEXT, &chunks(20).with_prompt("see: ")).unwrap();
    assert_eq!(named.len(), spans.len());
    let given = model.encode_late_chunks(&[TEXT], &chunks(20), &plain().with_prompt("see: ")).unwrap().remove(0);
    assert_eq!(named, given);
    assert_ne!(named, model.encode_late_chunks(&[TEXT], &chunks(20), &plain()).unwrap()[0]);
    let options = plain().with_truncate_dim(5).with_normalize_embeddings(true);
    let few = model.encode_late_chunks(&[TEXT], &chunks(20), &options).unwrap().remove(0);
    assert_eq!(few.dim(), 5);
    assert!((few.row(0).iter().map(|x| x * x).sum::<f32>() - 1.0).abs() < 1e-5);
}

#[test]
fn models_without_a_mean_of_tokens_are_refused() {
    let several = Model::from_backbone_dir(
        tiny("bert-mean-normalize").model,
        &rushlight::BackboneOptions::default()
            .with_pooling(vec![rushlight::PoolingMode::Cls, rushlight::PoolingMode::Mean]),
        &native(),
    );
    for model in [several.unwrap(), load("static-embedding", &native())] {
        let error = model.encode_late_chunks(&[TEXT], &chunks(20), &plain()).unwrap_err();
        assert!(matches!(error, Error::InvalidArgument { argument: "late", .. }), "{error}");
    }
}
