//! Tests of bfloat16 and int8 on the CPU: bounds of their error for every family and kind, and the promises that hold in
//! every precision.

use std::path::Path;

use crate::common::{Case, check_bits, folders, json, native, portable, real, tiny, tiny_cases};
use rushlight::{
    Dtype, EncodeOptions, Error, LoadOptions, Model, MultiVectorModel, MultiVectorOptions, PredictOptions, Reranker,
    SparseModel, SparseOptions,
};

fn lower(dtype: Dtype) -> LoadOptions {
    native().with_dtype(dtype)
}

fn encode(case: &Case, options: &LoadOptions) -> Vec<f32> {
    let model = Model::from_dir_with(&case.model, options).unwrap_or_else(|error| panic!("{}: {error}", case.name));
    assert_eq!(model.dtype(), options.dtype);
    model.encode(&case.texts, &EncodeOptions::default()).unwrap().into_vec()
}

/// Returns the mean and the least cosine of rows with those in float64.
pub(crate) fn cosines(got: &[f32], expected: &[f64], width: usize) -> (f64, f64) {
    assert_eq!(got.len(), expected.len());
    let got: Vec<f64> = got.iter().map(|x| f64::from(*x)).collect();
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let cosine = |(a, b): (&[f64], &[f64])| match (dot(a, a) * dot(b, b)).sqrt() {
        // A text without known words is zeros in a static model.
        0.0 if a == b => 1.0,
        norms => dot(a, b) / norms,
    };
    let all: Vec<f64> = got.chunks(width).zip(expected.chunks(width)).map(cosine).collect();
    (all.iter().sum::<f64>() / all.len() as f64, all.iter().copied().fold(1.0, f64::min))
}

/// Small random models suffer more than trained ones: their embeddings differ little from text to text.
#[test]
fn every_family_is_within_its_bound() {
    for (dtype, mean, worst) in [(Dtype::BFloat16, 0.9999, 0.9995), (Dtype::Int8, 0.998, 0.98)] {
        for case in tiny_cases() {
            let width = case.expected.len() / case.texts.len();
            let got = encode(&case, &lower(dtype));
            let (mean_cosine, least) = cosines(&got, &case.expected, width);
            println!("{dtype:9} {:34} mean {mean_cosine:.6} worst {least:.6}", case.name);
            assert!(mean_cosine >= mean && least >= worst, "{} in {dtype}: {mean_cosine} {least}", case.name);
            let has_layers = case.meta["model_type"] != "static";
            assert!(!has_layers || case.largest_difference(&got) > 1e-6, "{}: {dtype} was not used", case.name);
        }
    }
}

#[test]
fn real_models_keep_nearly_all_of_their_quality() {
    for mut case in ["all-MiniLM-L6-v2", "all-mpnet-base-v2"].into_iter().filter_map(real) {
        let width = case.expected.len() / case.texts.len();
        // One text repeats a word 700 times. Its tokens are nearly equal, so their errors add up instead of cancelling out.
        let repeated = case.texts.iter().position(|text| text.starts_with("word word word")).unwrap();
        case.texts.remove(repeated);
        case.expected.drain(repeated * width..(repeated + 1) * width);
        for (dtype, mean, worst) in [(Dtype::BFloat16, 0.9999, 0.999), (Dtype::Int8, 0.998, 0.99)] {
            let (mean_cosine, least) = cosines(&encode(&case, &lower(dtype)), &case.expected, width);
            println!("{dtype:9} {:34} mean {mean_cosine:.6} worst {least:.6}", case.name);
            assert!(mean_cosine >= mean && least >= worst, "{} in {dtype}: {mean_cosine} {least}", case.name);
        }
    }
}

#[test]
fn the_same_text_gives_the_same_bits_in_every_precision() {
    for dtype in [Dtype::BFloat16, Dtype::Int8] {
        for case in tiny_cases() {
            check_bits(&case, &lower(dtype), &case.texts);
        }
        if let Some(case) = real("all-MiniLM-L6-v2") {
            check_bits(&case, &lower(dtype), &case.texts[..30]);
        }
    }
}

/// Loading quantizes by texts of its own, so that two loads give the same bits, whatever was embedded first.
#[test]
fn a_model_gives_the_same_bits_when_it_is_loaded_again() {
    let case = tiny("bert-mean-normalize");
    let load = || Model::from_dir_with(&case.model, &lower(Dtype::Int8)).unwrap();
    let embed = |model: &Model, text: &str| model.encode(&[text], &EncodeOptions::default()).unwrap().into_vec();
    let (first, second) = (load(), load());
    embed(&first, "Something else entirely.");
    assert_eq!(embed(&first, "The weather."), embed(&second, "The weather."));
}

/// Returns indices, the largest number's first.
fn order(numbers: &[f32]) -> Vec<usize> {
    let mut order: Vec<_> = (0..numbers.len()).collect();
    order.sort_by(|a, b| numbers[*b].total_cmp(&numbers[*a]));
    order
}

/// Pairs whose scores differ clearly keep their order.
#[test]
fn rerankers_keep_their_order() {
    for folder in folders("rerank") {
        let pairs: Vec<(String, String)> = json(&folder.join("texts.json"));
        let predict = |options: &LoadOptions| {
            let model = Reranker::from_dir_with(folder.join("model"), options).unwrap();
            let scores = model.predict(&pairs, &PredictOptions::default()).unwrap();
            scores.into_vec().chunks(model.num_labels()).map(|labels| labels[0]).collect::<Vec<_>>()
        };
        let exact = predict(&native());
        let range = exact.iter().copied().fold(f32::MIN, f32::max) - exact.iter().copied().fold(f32::MAX, f32::min);
        for (dtype, margin) in [(Dtype::BFloat16, 0.05), (Dtype::Int8, 0.25)] {
            let scores = predict(&lower(dtype));
            for (i, j) in order(&exact).windows(2).map(|pair| (pair[0], pair[1])) {
                let clear = exact[i] - exact[j] > margin * range;
                assert!(!clear || scores[i] > scores[j], "{} in {dtype}: {i} {j}", folder.display());
            }
        }
    }
}

/// Most of the ten heaviest tokens of a text stay among the ten heaviest.
#[test]
fn sparse_models_keep_their_heaviest_tokens() {
    for folder in folders("sparse") {
        let texts: Vec<String> = json(&folder.join("texts.json"));
        let encode = |options: &LoadOptions| {
            let model = SparseModel::from_dir_with(folder.join("model"), options).unwrap();
            let width = model.embedding_dimension();
            let rows = model.encode_document(&texts, &SparseOptions::default()).unwrap().to_dense().unwrap().into_vec();
            rows.chunks(width).map(|row| order(row)[..10.min(width)].to_vec()).collect::<Vec<_>>()
        };
        let exact = encode(&native());
        for (dtype, bound) in [(Dtype::BFloat16, 0.97), (Dtype::Int8, 0.8)] {
            let kept: usize = encode(&lower(dtype))
                .iter()
                .zip(&exact)
                .map(|(a, b)| a.iter().filter(|token| b.contains(token)).count())
                .sum();
            let share = kept as f64 / exact.iter().map(Vec::len).sum::<usize>() as f64;
            println!("{dtype:9} {:40} {share:.3}", folder.file_name().unwrap().to_string_lossy());
            assert!(share >= bound, "{} in {dtype}: {share}", folder.display());
        }
    }
}

#[test]
fn late_interaction_keeps_its_vectors() {
    for folder in folders("multi_vector") {
        let texts: Vec<String> = json(&folder.join("texts.json"));
        let encode = |options: &LoadOptions| {
            let model = MultiVectorModel::from_dir_with(folder.join("model"), options).unwrap();
            let rows = model.encode_document(&texts, &MultiVectorOptions::default()).unwrap();
            (rows.iter().flat_map(|rows| rows.as_slice().to_vec()).collect::<Vec<f32>>(), model.embedding_dimension())
        };
        let (exact, width) = encode(&native());
        let exact: Vec<f64> = exact.into_iter().map(f64::from).collect();
        for (dtype, mean, worst) in [(Dtype::BFloat16, 0.9999, 0.999), (Dtype::Int8, 0.997, 0.95)] {
            let (mean_cosine, least) = cosines(&encode(&lower(dtype)).0, &exact, width);
            println!("{dtype:9} {:40} {mean_cosine:.5} {least:.5}", folder.display());
            assert!(mean_cosine >= mean && least >= worst, "{} in {dtype}: {mean_cosine} {least}", folder.display());
        }
    }
}

#[test]
fn a_dtype_that_a_device_lacks_is_refused_by_name() {
    let folder = tiny("bert-mean-normalize").model;
    let refused = |options: LoadOptions| match Model::from_dir_with(Path::new(&folder), &options) {
        Err(Error::Device { problem, .. }) => problem,
        other => panic!("{other:?}"),
    };
    let problem = refused(lower(Dtype::Float16));
    assert!(problem.contains("float32, bfloat16 or int8, got float16"), "{problem}");
    let problem = refused(portable().with_dtype(Dtype::Int8));
    assert!(problem.contains("float32, float16 or bfloat16, got int8"), "{problem}");
}
