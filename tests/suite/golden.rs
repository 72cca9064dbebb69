//! Tests against the numbers and token ids of sentence-transformers, for every small model and both real ones.

use crate::common::{Case, check_bits, is_native, named, native, portable, real, tiny, tiny_cases, ways};
use rushlight::{Dtype, EncodeOptions, Input, Kernels, LoadOptions, Model, TokenEncoding};

fn load(case: &Case, way: &LoadOptions) -> Model {
    Model::from_dir_with(&case.model, way).unwrap_or_else(|error| panic!("{}: {error}", case.name))
}

fn encode(model: &Model, texts: &[impl AsRef<str>]) -> Vec<f32> {
    model.encode(texts, &EncodeOptions::default()).unwrap().into_vec()
}

/// Checks ids and embeddings, and returns the largest difference.
fn check(case: &Case, way: &LoadOptions) -> f64 {
    let model = load(case, way);
    let inputs: Vec<_> = case.texts.iter().map(|text| Input::Text(text)).collect();
    let ids: Vec<_> = model.tokenize(&inputs).unwrap().into_iter().map(|tokens| tokens.ids).collect();
    for ((got, want), text) in ids.iter().zip(case.token_ids()).zip(&case.texts) {
        assert_eq!(*got, want, "{}: ids of {text:?}", case.name);
    }
    assert_eq!(model.max_seq_length(), case.meta["max_seq_length"].as_u64().map(|n| n as usize), "{}", case.name);
    let error = case.largest_difference(&encode(&model, &case.texts));
    assert!(error <= case.tolerance(), "{} by {}: {error:e} > {:e}", case.name, named(way), case.tolerance());
    error
}

/// Checks the embeddings with the prompts that the case has numbers for.
fn check_prompts(case: &Case, way: &LoadOptions) {
    let model = load(case, way);
    for name in model.prompts().keys() {
        let file = case.folder.join(format!("expected64_prompt_{name}.npy"));
        if file.exists() {
            let options = EncodeOptions::default().with_prompt_name(name);
            let got = model.encode(&case.texts, &options).unwrap().into_vec();
            let error = crate::common::largest_difference(&got, &crate::common::npy(&file));
            assert!(error <= case.tolerance(), "{} by {} with {name}: {error:e}", case.name, named(way));
        }
    }
}

/// Prints the error of a case beside the reference's own in float32.
fn report(case: &Case, error: f64) {
    let own = case.meta["float32_vs_float64_max_abs"].as_f64().unwrap();
    let family = case.meta["model_type"].as_str().unwrap();
    println!("{family:12} {:34} {error:8.1e}  {:4.1} x the reference's own", case.name, error / own);
}

#[test]
fn small_models() {
    for way in ways() {
        println!("on {}", named(&way));
        for case in tiny_cases() {
            report(&case, check(&case, &way));
            check_prompts(&case, &way);
        }
    }
}

/// candle's ops on the CPU stand for those on GPUs, which compute in half precision.
#[test]
fn small_models_in_half_precision() {
    // The relative steps of float16 and bfloat16 are 5e-4 and 4e-3.
    for (dtype, most) in [(Dtype::Float16, 0.05), (Dtype::BFloat16, 0.3)] {
        let half = portable().with_dtype(dtype);
        let mut largest_error: f64 = 0.0;
        for case in tiny_cases() {
            let embeddings = encode(&load(&case, &half), &case.texts);
            let largest = case.expected.iter().fold(0.0, |largest: f64, x| x.abs().max(largest));
            let error = case.largest_difference(&embeddings) / largest;
            assert!(error > 1e-6 && error < most, "{} in {dtype}: {error:e} of the largest", case.name);
            largest_error = largest_error.max(error);
        }
        println!("{dtype}: {largest_error:.1e} of the largest number");
    }
}

#[test]
fn real_models() {
    for case in ["all-MiniLM-L6-v2", "all-mpnet-base-v2"].into_iter().filter_map(real) {
        // candle's ops take minutes for the larger model on a CPU.
        for way in ways().iter().filter(|way| way.kernels == Kernels::Native || case.name == "all-MiniLM-L6-v2") {
            println!("on {}", named(way));
            report(&case, check(&case, way));
        }
    }
}

#[test]
fn the_same_text_gives_the_same_bits() {
    for case in tiny_cases() {
        check_bits(&case, &native(), &case.texts);
    }
    for (name, count) in [("all-MiniLM-L6-v2", 60), ("all-mpnet-base-v2", 12)] {
        if let Some(case) = real(name) {
            check_bits(&case, &native(), &case.texts[..count]);
        }
    }
}

/// cls pooling computes the whole last layer only if token embeddings are requested.
#[test]
fn a_sentence_has_the_same_bits_with_its_tokens() {
    for case in tiny_cases() {
        for way in ways() {
            let model = load(&case, &way);
            let inputs: Vec<_> = case.texts.iter().map(|text| Input::Text(text)).collect();
            let encodings = model.encode_tokens(&inputs, &EncodeOptions::default()).unwrap();
            let rows: Vec<_> = encodings.into_iter().flat_map(|encoding| encoding.sentence_embedding).collect();
            let alone = encode(&model, &case.texts);
            if is_native(&way) {
                assert!(rows == alone, "{}", case.name);
            }
            assert!(rows.iter().zip(&alone).all(|(x, y)| (x - y).abs() < 1e-5), "{} by {}", case.name, named(&way));
        }
    }
}

#[test]
fn golden_values_of_the_real_models() {
    let texts = ["The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium."];
    type Golden = (&'static str, [f32; 3], [f32; 4], &'static [u32], usize);
    let golden: [Golden; 2] = [
        (
            "all-MiniLM-L6-v2",
            [0.665_955, 0.104_584, 0.141_145],
            [0.019_195_75, 0.120_085_4, 0.159_598_29, 0.067_065_91],
            &[101, 1996, 4633, 2003, 8403, 2651, 1012, 102],
            256,
        ),
        (
            "all-mpnet-base-v2",
            [0.681_655, 0.049_197, 0.042_089],
            [-0.054_059_32, -0.017_184_97, -0.035_537_41, 0.050_099_89],
            &[0, 2000, 4637, 2007, 8407, 2655, 1016, 2],
            384,
        ),
    ];
    for (name, cosines, first, ids, max_seq_length) in golden {
        let Some(case) = real(name) else { continue };
        let model = load(&case, &native());
        let embeddings = model.encode(&texts, &EncodeOptions::default()).unwrap();
        let scores = model.similarity(&embeddings, &embeddings).unwrap();
        for (got, want) in [scores.row(0)[1], scores.row(0)[2], scores.row(1)[2]].iter().zip(cosines) {
            assert!((got - want).abs() < 1e-6, "{name}: cosine {got}, not {want}");
        }
        for (got, want) in embeddings.row(0).iter().zip(first) {
            assert!((got - want).abs() < 1e-6, "{name}: {got}, not {want}");
        }
        assert_eq!(model.tokenize(&[texts[0].into()]).unwrap()[0].ids, ids);
        assert_eq!(model.max_seq_length(), Some(max_seq_length));
    }
}

#[test]
fn excluded_prompts_do_not_count() {
    let case = tiny("bert-prompt-excluded");
    let mut model = load(&case, &native());
    let prompts = model.prompts();
    assert!(prompts.values().any(|prompt| !prompt.is_empty()), "{prompts:?}");
    // If the prompt fills the limit, only the special token at the end is pooled.
    let long = "word ".repeat(200);
    let options = EncodeOptions::default().with_prompt(&long);
    let encode = |model: &Model| model.encode_tokens(&["text".into()], &options).unwrap().remove(0);
    let TokenEncoding { token_embeddings, sentence_embedding, .. } = encode(&model);
    let last = &token_embeddings[token_embeddings.len() - model.hidden_size()..];
    let norm = last.iter().map(|x| x * x).sum::<f32>().sqrt();
    let difference = |a: &[f32]| a.iter().zip(last).map(|(x, last)| (x - last / norm).abs()).fold(0.0, f32::max);
    assert!(difference(&sentence_embedding) < 1e-6, "{}", difference(&sentence_embedding));
    model.set_pooling_include_prompt(true);
    let with_prompt = encode(&model).sentence_embedding;
    assert!(difference(&with_prompt) > 1e-2, "{}", difference(&with_prompt));
}
