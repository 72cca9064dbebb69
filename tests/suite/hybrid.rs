//! Tests of bge-m3's heads: the numbers of FlagEmbedding, from one forward pass and from models of one kind each.

use std::fs;
use std::path::Path;

use crate::common::{Case, copy, folders, is_native, json, largest_difference, named, native, npy, ways};
use rushlight::{
    EmbeddingKind, EncodeOptions, Error, HybridEmbeddings, HybridOptions, HybridWeights, Input, LoadOptions, Matrix,
    Model, MultiVectorModel, MultiVectorSimilarity, Role, SparseEmbeddings, SparseModel, process, vectors,
};
use serde_json::Value;

fn cases() -> Vec<Case> {
    folders("hybrid").iter().map(|folder| Case::read(folder, folder.join("model"))).collect()
}

fn case() -> Case {
    cases().into_iter().find(|case| case.name == "bgem3-heads").unwrap()
}

fn load(folder: &Path, way: &LoadOptions) -> Model {
    Model::from_dir_with(folder, way).unwrap_or_else(|error| panic!("{error}"))
}

fn plain() -> HybridOptions<'static> {
    HybridOptions::default()
}

fn encode_all(model: &Model, texts: &[impl AsRef<str>]) -> HybridEmbeddings {
    model.encode_all(texts, &plain()).unwrap()
}

/// Checks ids and weights.
fn check_sparse(case: &Case, sparse: &SparseEmbeddings) -> f64 {
    let expected: Vec<Vec<(i32, f64)>> = json(&case.folder.join("expected_sparse.json"));
    let mut largest: f64 = 0.0;
    for (i, row) in expected.iter().enumerate() {
        let (ids, weights) = sparse.row(i);
        assert!(ids.iter().eq(row.iter().map(|(id, _)| id)), "{}: ids of text {i}", case.name);
        let expected: Vec<_> = row.iter().map(|(_, weight)| *weight).collect();
        largest = largest.max(largest_difference(weights, &expected));
    }
    largest
}

/// Checks the numbers of vectors and the vectors of the texts that the case has them of.
fn check_multi_vector(case: &Case, vectors: &[Matrix]) -> f64 {
    let lengths: Vec<usize> = serde_json::from_value(case.meta["lengths"].clone()).unwrap();
    assert!(vectors.iter().map(Matrix::rows).take(lengths.len()).eq(lengths.iter().copied()), "{}", case.name);
    let numbers: Vec<_> = vectors[..lengths.len()].iter().flat_map(Matrix::as_slice).copied().collect();
    largest_difference(&numbers, &npy(&case.folder.join("expected64_colbert.npy")))
}

#[test]
fn all_heads_give_the_references_numbers() {
    for case in cases() {
        for way in ways() {
            let model = load(&case.model, &way);
            assert_eq!(model.embedding_kinds(), EmbeddingKind::ALL);
            let all = encode_all(&model, &case.texts);
            let (sparse, vectors) = (all.sparse.unwrap(), all.multi_vector.unwrap());
            let errors = [
                case.largest_difference(all.dense.unwrap().as_slice()),
                check_sparse(&case, &sparse),
                check_multi_vector(&case, &vectors),
            ];
            println!("{:24} {} {errors:?}", case.name, named(&way));
            assert!(errors.into_iter().all(|error| error < 1e-5), "{} by {}: {errors:?}", case.name, named(&way));
        }
    }
}

#[test]
fn models_of_one_kind_give_the_same_rows() {
    for case in cases() {
        for way in ways().iter().filter(|way| is_native(way)) {
            let all = encode_all(&load(&case.model, way), &case.texts);
            let sparse = SparseModel::from_dir_with(&case.model, way).unwrap();
            assert_eq!(sparse.encode(&case.texts, &Default::default()).unwrap(), all.sparse.unwrap());
            let colbert = MultiVectorModel::from_dir_with(&case.model, way).unwrap();
            assert_eq!(colbert.similarity_fn(), MultiVectorSimilarity::MeanMaxSim);
            let vectors = all.multi_vector.unwrap();
            assert_eq!(colbert.encode_document(&case.texts, &Default::default()).unwrap(), vectors);
            assert_eq!(colbert.encode_query(&case.texts, &Default::default()).unwrap(), vectors);
        }
    }
}

#[test]
fn dense_rows_have_the_bits_of_encode() {
    for case in cases() {
        let model = load(&case.model, &native());
        let alone = model.encode(&case.texts, &EncodeOptions::default()).unwrap();
        assert_eq!(encode_all(&model, &case.texts).dense.unwrap(), alone);
    }
}

#[test]
fn the_same_text_gives_the_same_bits() {
    let before = process::num_threads().unwrap();
    for case in cases() {
        let model = load(&case.model, &native());
        let all = encode_all(&model, &case.texts);
        for threads in [1, 2, 4] {
            process::set_num_threads(threads).unwrap();
            assert!(encode_all(&model, &case.texts) == all, "{}: with {threads} threads", case.name);
        }
        process::set_num_threads(before).unwrap();
        for (i, text) in case.texts.iter().enumerate() {
            let alone = encode_all(&model, &[text, text]);
            for row in [0, 1] {
                let same = alone.dense.as_ref().unwrap()[row] == all.dense.as_ref().unwrap()[i]
                    && alone.sparse.as_ref().unwrap().row(row) == all.sparse.as_ref().unwrap().row(i)
                    && alone.multi_vector.as_ref().unwrap()[row] == all.multi_vector.as_ref().unwrap()[i];
                assert!(same, "{}: {text:?} alone", case.name);
            }
        }
    }
}

#[test]
fn hybrid_scores_are_the_references() {
    for case in cases() {
        let scores: Value = json(&case.folder.join("expected_scores.json"));
        let pairs: Vec<(usize, usize)> = serde_json::from_value(scores["pairs"].clone()).unwrap();
        let expected = |name: &str| -> Vec<f64> { serde_json::from_value(scores["scores64"][name].clone()).unwrap() };
        let model = load(&case.model, &native());
        let side = |texts: Vec<usize>| encode_all(&model, &texts.iter().map(|i| &case.texts[*i]).collect::<Vec<_>>());
        let a = side(pairs.iter().map(|pair| pair.0).collect());
        let b = side(pairs.iter().map(|pair| pair.1).collect());
        let weights = |dense, sparse, multi_vector| HybridWeights { dense, sparse, multi_vector };
        let named = [
            ("dense", weights(1.0, 0.0, 0.0)),
            ("sparse", weights(0.0, 2.0, 0.0)),
            ("colbert", weights(0.0, 0.0, 1.0)),
            ("sparse+dense", weights(1.0, 1.0, 0.0)),
            ("colbert+sparse+dense", weights(1.0, 1.0, 1.0)),
        ];
        for (name, weights) in named {
            let options = Default::default();
            let scores = vectors::hybrid_similarity_pairwise(&a, &b, Some(weights), &options).unwrap();
            let expected = expected(name);
            let tolerance = 1e-5 * expected.iter().fold(1.0, |largest: f64, x| x.abs().max(largest));
            let error = largest_difference(&scores, &expected);
            assert!(error < tolerance, "{}: {name} {error:e}", case.name);
            let matrix = model.hybrid_similarity(&a, &b, Some(weights)).unwrap();
            assert!((0..pairs.len()).all(|i| matrix.row(i)[i].to_bits() == scores[i].to_bits()), "{name}");
        }
        let equal = model.hybrid_similarity(&a, &b, None).unwrap();
        assert_eq!(equal, model.hybrid_similarity(&a, &b, Some(weights(2.0, 2.0, 2.0))).unwrap());
        for wrong in [weights(-1.0, 1.0, 1.0), weights(f32::NAN, 1.0, 1.0), weights(0.0, 0.0, 0.0)] {
            let error = model.hybrid_similarity(&a, &b, Some(wrong)).unwrap_err();
            assert!(matches!(error, Error::InvalidArgument { argument: "weights", .. }), "{error}");
        }
    }
}

#[test]
fn weights_tell_apart_what_they_weigh() {
    let case = case();
    let model = load(&case.model, &native());
    let all = encode_all(&model, &case.texts[..3]);
    let weights = |dense, sparse| Some(HybridWeights { dense, sparse, multi_vector: 0.0 });
    let score = |weights| f64::from(model.hybrid_similarity(&all, &all, weights).unwrap().row(1)[1]);
    let (dense, sparse) = (score(weights(1.0, 0.0)), score(weights(0.0, 1.0)));
    assert!((score(weights(3.0, 1.0)) - (3.0 * dense + sparse) / 4.0).abs() < 1e-5);
}

#[test]
fn only_the_kinds_asked_for_are_computed() {
    let case = case();
    let model = load(&case.model, &native());
    let sparse = model.encode_all(&case.texts, &plain().with_kinds(&[EmbeddingKind::Sparse][..])).unwrap();
    assert_eq!((sparse.dense.is_none(), sparse.multi_vector.is_none()), (true, true));
    assert_eq!(sparse.sparse, encode_all(&model, &case.texts).sparse);
    let none = model.encode_all(&case.texts, &plain().with_kinds(&[][..])).unwrap_err();
    assert!(none.to_string().contains("at least one kind"), "{none}");
}

#[test]
fn truncation_comes_before_the_norm() {
    let case = case();
    let model = load(&case.model, &native());
    let all = model.encode_all(&case.texts, &plain().with_truncate_dim(7)).unwrap();
    let normalized = EncodeOptions::default().with_truncate_dim(7).with_normalize_embeddings(true);
    assert_eq!(all.dense.unwrap(), model.encode(&case.texts, &normalized).unwrap());
    let rows = all.multi_vector.unwrap();
    assert!(rows.iter().all(|rows| rows.columns() == 7));
    for row in rows.iter().flat_map(|text| (0..text.rows()).map(|i| text.row(i))) {
        assert!((row.iter().map(|x| x * x).sum::<f32>() - 1.0).abs() < 1e-5);
    }
}

#[test]
fn prompts_and_roles_are_those_of_encode() {
    let case = case();
    let way = native().with_prompt("query", "the ");
    let model = load(&case.model, &way);
    let in_role = |role| model.encode_all(&["weather"], &plain().with_role(role)).unwrap();
    let queries = in_role(Role::Query);
    assert_eq!(queries, encode_all(&model, &["the weather"]));
    assert_eq!(in_role(Role::Document), encode_all(&model, &["weather"]));
    let named = model.encode_all(&["weather"], &plain().with_prompt_name("query")).unwrap();
    assert_eq!(named, queries);
    let pair = model.encode_all_inputs(&[Input::Pair("the weather", "is fine")], &plain()).unwrap();
    assert_ne!(pair.dense, queries.dense);
    assert_eq!(encode_all(&model, &[""; 0]).sparse.unwrap().len(), 0);
}

#[test]
fn a_folder_with_one_head_gives_one_kind() {
    let case = case();
    let folder = tempfile::tempdir().unwrap();
    copy(&case.model, folder.path());
    fs::remove_file(folder.path().join("colbert_linear.pt")).unwrap();
    let model = load(folder.path(), &native());
    let all = encode_all(&model, &case.texts);
    assert!(all.multi_vector.is_none());
    assert_eq!(all.sparse, encode_all(&load(&case.model, &native()), &case.texts).sparse);
    let asked = plain().with_kinds(&[EmbeddingKind::Dense, EmbeddingKind::MultiVector][..]);
    let error = model.encode_all(&case.texts, &asked).unwrap_err();
    assert_eq!(error.to_string(), "kinds: this model has no head for multi_vector; it has dense, sparse");
    let wrong = Some(HybridWeights { dense: 1.0, sparse: 1.0, multi_vector: 1.0 });
    let error = model.hybrid_similarity(&all, &all, wrong).unwrap_err();
    assert!(error.to_string().contains("multi_vector must be 0, got 1"), "{error}");
    assert!(model.hybrid_similarity(&all, &all, None).is_ok());
    assert!(matches!(MultiVectorModel::from_dir(folder.path()), Err(Error::Unsupported { .. })));
    fs::remove_file(folder.path().join("sparse_linear.pt")).unwrap();
    assert!(matches!(SparseModel::from_dir(folder.path()), Err(Error::Unsupported { .. })));
    assert_eq!(load(folder.path(), &native()).embedding_kinds(), [EmbeddingKind::Dense]);
}

/// File, words of the message, and a change of the folder.
type Spoil = (&'static str, &'static str, &'static dyn Fn(&Path));

#[test]
fn malformed_heads_are_errors_that_name_the_file() {
    let case = case();
    // Each file has the other's shape, or is no file of torch.
    let broken: [Spoil; 4] = [
        ("sparse_linear.pt", "weight", &|folder| {
            fs::copy(folder.join("colbert_linear.pt"), folder.join("sparse_linear.pt")).unwrap();
        }),
        ("sparse_linear.pt", "torch.save", &|folder| fs::write(folder.join("sparse_linear.pt"), "text").unwrap()),
        ("colbert_linear.pt", "empty", &|folder| fs::write(folder.join("colbert_linear.pt"), "").unwrap()),
        ("colbert_linear.pt", "zip", &|folder| {
            let bytes = fs::read(folder.join("colbert_linear.pt")).unwrap();
            fs::write(folder.join("colbert_linear.pt"), &bytes[..bytes.len() / 2]).unwrap();
        }),
    ];
    for (file, problem, spoil) in broken {
        let folder = tempfile::tempdir().unwrap();
        copy(&case.model, folder.path());
        spoil(folder.path());
        let error = Model::from_dir(folder.path()).unwrap_err();
        let is_typed = matches!(error, Error::InvalidWeights { .. } | Error::WeightShape { .. });
        let message = error.to_string();
        assert!(is_typed && message.contains(file) && message.contains(problem), "{message}");
    }
}

/// Name of a folder, and what saves a model there.
type Save<'a> = (&'a str, &'a dyn Fn(&Path));

#[test]
fn a_saved_folder_has_the_heads() {
    let case = case();
    let model = load(&case.model, &native());
    let all = encode_all(&model, &case.texts);
    let folder = tempfile::tempdir().unwrap();
    let saves: [Save<'_>; 3] = [
        ("model", &|to| model.save(to).unwrap()),
        ("sparse", &|to| SparseModel::from_dir(&case.model).unwrap().save(to).unwrap()),
        ("multi_vector", &|to| MultiVectorModel::from_dir(&case.model).unwrap().save(to).unwrap()),
    ];
    for (name, save) in saves {
        let to = folder.path().join(name);
        save(&to);
        let again = load(&to, &native());
        assert_eq!(again.similarity_fn(), model.similarity_fn(), "{name}");
        assert_eq!(encode_all(&again, &case.texts), all, "{name}");
        assert!(SparseModel::from_dir(&to).is_ok() && MultiVectorModel::from_dir(&to).is_ok(), "{name}");
    }
}
