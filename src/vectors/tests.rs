use proptest::prelude::*;

use super::*;
use crate::kernels::testing::noise;

mod quantized;

const KINDS: [Similarity; 4] = [Similarity::Cosine, Similarity::Dot, Similarity::Euclidean, Similarity::Manhattan];

/// Rows of a few whole numbers: many ties.
fn rows(most: usize) -> impl Strategy<Value = Matrix> {
    (0..=most).prop_flat_map(|n| {
        let numbers = prop::collection::vec((-2i8..3).prop_map(f32::from), n * 3);
        numbers.prop_map(move |numbers| Matrix::new(n, 3, numbers).unwrap())
    })
}

/// All ids by their scores in a row of a matrix.
fn order(scores: &[f32]) -> Vec<usize> {
    let mut ids: Vec<_> = (0..scores.len()).collect();
    ids.sort_by(|a, b| scores[*b].partial_cmp(&scores[*a]).unwrap());
    ids
}

proptest! {
    #[test]
    fn search_is_a_sort_cut_short(queries in rows(5), corpus in rows(700), top_k in 1usize..20) {
        for kind in KINDS {
            let scores = similarity(kind, queries.view(), corpus.view()).unwrap();
            let found = semantic_search(queries.view(), corpus.view().into(), top_k, kind).unwrap();
            prop_assert_eq!(found.len(), queries.rows());
            for (i, hits) in found.iter().enumerate() {
                let truth: Vec<_> = order(scores.row(i)).into_iter().take(top_k).collect();
                prop_assert_eq!(hits.iter().map(|hit| hit.corpus_id).collect::<Vec<_>>(), truth);
                for hit in hits {
                    prop_assert_eq!(hit.score, scores.row(i)[hit.corpus_id]);
                }
            }
        }
    }

    #[test]
    fn mining_finds_the_best_pairs_once(rows in rows(40), max_pairs in 1usize..60) {
        for kind in KINDS {
            let scores = similarity(kind, rows.view(), rows.view()).unwrap();
            let mut truth: Vec<_> = (0..rows.rows()).flat_map(|j| (0..j).map(move |i| (i, j))).collect();
            truth.sort_by(|a, b| {
                scores.row(b.0)[b.1].partial_cmp(&scores.row(a.0)[a.1]).unwrap().then(a.cmp(b))
            });
            truth.truncate(max_pairs);
            let pairs = paraphrase_mining_embeddings(rows.view(), max_pairs, 40, kind).unwrap();
            prop_assert_eq!(pairs.iter().map(|pair| (pair.i, pair.j)).collect::<Vec<_>>(), truth);
        }
    }

    #[test]
    fn communities_are_those_of_the_plain_rules(
        rows in rows(30), threshold in prop::sample::select(vec![-1.0f32, 0.5, 0.75, 0.99]), least in 1usize..6,
    ) {
        let scores = similarity(Similarity::Cosine, rows.view(), rows.view()).unwrap();
        let close = |i: usize| -> Vec<usize> {
            order(scores.row(i)).into_iter().filter(|j| scores.row(i)[*j] >= threshold).collect()
        };
        let mut candidates: Vec<_> = (0..rows.rows()).map(|i| (i, close(i))).filter(|(_, c)| c.len() >= least).collect();
        candidates.sort_by_key(|(_, members)| std::cmp::Reverse(members.len()));
        let (mut taken, mut truth) = (Vec::new(), Vec::new());
        for (centre, members) in candidates {
            let free: Vec<_> = members.into_iter().filter(|member| !taken.contains(member)).collect();
            if !taken.contains(&centre) && free.len() >= least {
                let community: Vec<_> = [centre].into_iter().chain(free.into_iter().filter(|i| *i != centre)).collect();
                taken.extend(&community);
                truth.push(community);
            }
        }
        truth.sort_by_key(|community| std::cmp::Reverse(community.len()));
        prop_assert_eq!(community_detection(rows.view(), threshold, least).unwrap(), &truth[..]);
        let run = Run::watched_by(&NoObserver).unwrap();
        prop_assert_eq!(communities(rows.view(), threshold, least, 7, run).unwrap(), truth);
    }

    #[test]
    fn normalized_rows_are_those_over_their_norms(n in 0usize..5, width in 0usize..70, size in 1e-20f32..1e20) {
        let rows: Vec<f32> = noise(n * width, 7).into_iter().map(|x| x * size).collect();
        let unit = normalize_embeddings(MatrixView::new(n, width, &rows).unwrap()).unwrap();
        prop_assert_eq!((unit.rows(), unit.columns()), (n, width));
        for (row, unit) in rows.chunks(width.max(1)).zip(unit.as_slice().chunks(width.max(1))) {
            let norm = row.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt().max(1e-12);
            for (x, got) in row.iter().zip(unit) {
                prop_assert!((f64::from(*got) - f64::from(*x) / norm).abs() <= 6e-8 * f64::from(got.abs()));
            }
        }
    }

    #[test]
    fn truncated_rows_begin_as_they_did(rows in rows(6), columns in 1usize..6) {
        let cut = truncate_embeddings(rows.view(), columns).unwrap();
        prop_assert_eq!((cut.rows(), cut.columns()), (rows.rows(), columns.min(3)));
        for i in 0..rows.rows() {
            prop_assert_eq!(cut.row(i), &rows.row(i)[..cut.columns()]);
        }
    }
}

#[test]
fn not_a_number_is_found_last() {
    let corpus = Matrix::new(4, 1, vec![f32::NAN, f32::NEG_INFINITY, f32::NAN, 2.0]).unwrap();
    let query = Matrix::new(1, 1, vec![1.0]).unwrap();
    for (top_k, truth) in [(4, &[3, 1, 0, 2][..]), (3, &[3, 1, 0])] {
        let hits = semantic_search(query.view(), corpus.view().into(), top_k, Similarity::Dot).unwrap();
        assert_eq!(hits[0].iter().map(|hit| hit.corpus_id).collect::<Vec<_>>(), truth);
    }
}

#[test]
fn both_zeros_are_one_score_and_no_width_is_zero() {
    let corpus = Matrix::new(3, 1, vec![-0.0, 0.0, -0.0]).unwrap();
    let one = Matrix::new(1, 1, vec![1.0]).unwrap();
    let ids = |queries: &Matrix, corpus: &Matrix| -> Vec<usize> {
        let hits = semantic_search(queries.view(), corpus.view().into(), 9, Similarity::Dot).unwrap();
        hits[0].iter().map(|hit| hit.corpus_id).collect()
    };
    assert_eq!(ids(&one, &corpus), [0, 1, 2]);
    assert_eq!(ids(&Matrix::new(1, 0, vec![]).unwrap(), &Matrix::new(2, 0, vec![]).unwrap()), [0, 1]);
}

/// Many more than one piece of work, on threads.
#[test]
fn many_rows_are_normalized_each_for_itself() {
    let rows = Matrix::new(9_000, 100, noise(900_000, 3)).unwrap();
    let unit = normalize_embeddings(rows.view()).unwrap();
    for i in [0, 2_620, 2_621, 2_622, 8_999] {
        assert_eq!(unit.row(i), normalize_embeddings(rows.view().some_rows(i, 1)).unwrap().as_slice(), "{i}");
    }
}

#[test]
fn a_model_mines_its_sentences() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tiny/bert-mean-normalize/model");
    let model = Model::from_dir(folder).unwrap();
    let sentences = ["the cat sat", "a dog ran", "the cat sat"];
    let pairs = paraphrase_mining(&model, &sentences, 5, 5, Similarity::Cosine).unwrap();
    let embeddings = model.encode(&sentences, &EncodeOptions::default()).unwrap();
    assert_eq!(pairs, paraphrase_mining_embeddings((&embeddings).into(), 5, 5, Similarity::Cosine).unwrap());
    assert_eq!((pairs.len(), pairs[0].i, pairs[0].j), (3, 0, 2));
}

#[test]
fn progress_is_told_of_batches_and_the_caller_can_stop() {
    struct Watcher(std::sync::Mutex<Vec<(usize, usize)>>);
    impl crate::Observer for Watcher {
        fn progress(&self, done: usize, total: usize) {
            self.0.lock().unwrap().push((done, total));
        }
        fn interrupted(&self) -> bool {
            self.0.lock().unwrap().len() == 3
        }
    }
    let watcher = Watcher(Vec::new().into());
    let rows = Matrix::new(10, 2, noise(20, 1)).unwrap();
    let run = || Run::watched_by(&watcher).unwrap();
    assert!(matches!(communities(rows.view(), 0.5, 1, 2, run()), Err(Error::Interrupted)));
    assert_eq!(*watcher.0.lock().unwrap(), [(2, 10), (4, 10), (6, 10)]);
    assert!(matches!(normalize(rows.view(), run()), Err(Error::Interrupted)));
    watcher.0.lock().unwrap().clear();
    assert!(communities(rows.view(), 2.0, 1, 5, run()).unwrap().is_empty());
    assert_eq!(*watcher.0.lock().unwrap(), [(5, 10), (10, 10)]);
}

fn said(error: Error, beginning: &str) {
    assert!(error.to_string().starts_with(beginning), "{error}");
}

#[test]
fn what_makes_no_sense_is_refused() {
    let (one, two) = (Matrix::new(1, 1, vec![1.0]).unwrap(), Matrix::new(1, 2, vec![1.0; 2]).unwrap());
    let dot = Similarity::Dot;
    said(semantic_search(one.view(), two.view().into(), 1, dot).unwrap_err(), "corpus: must be as wide");
    said(semantic_search(one.view(), one.view().into(), 0, dot).unwrap_err(), "top_k");
    said(paraphrase_mining_embeddings(one.view(), 0, 1, dot).unwrap_err(), "max_pairs");
    said(paraphrase_mining_embeddings(one.view(), 1, 0, dot).unwrap_err(), "top_k");
    said(community_detection(one.view(), f32::NAN, 1).unwrap_err(), "threshold");
    said(community_detection(one.view(), 0.5, 0).unwrap_err(), "min_community_size");
    let run = Run::watched_by(&NoObserver).unwrap();
    said(communities(one.view(), 0.5, 1, 0, run).unwrap_err(), "batch_size");
    said(truncate_embeddings(one.view(), 0).unwrap_err(), "truncate_dim");
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tiny/bert-mean-normalize/model");
    let mine = |max_pairs, top_k| paraphrase_mining(&Model::from_dir(folder).unwrap(), &["a"], max_pairs, top_k, dot);
    said(mine(0, 1).unwrap_err(), "max_pairs");
    said(mine(1, 0).unwrap_err(), "top_k");
}
