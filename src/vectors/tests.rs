use proptest::prelude::*;

use super::*;
use crate::kernels::testing::noise;

mod quantized;

const KINDS: [Similarity; 4] = [Similarity::Cosine, Similarity::Dot, Similarity::Euclidean, Similarity::Manhattan];

fn options<'a>(top_k: usize, similarity: Similarity) -> SearchOptions<'a> {
    SearchOptions::default().with_top_k(top_k).with_similarity(similarity)
}

fn searched<'q, 'c>(
    queries: impl Into<MatrixView<'q>>,
    corpus: impl Into<Corpus<'c>>,
    top_k: usize,
    kind: Similarity,
) -> Result<Vec<Vec<Hit>>> {
    semantic_search(queries, corpus, &options(top_k, kind))
}

fn rescored<'q, 'c>(
    queries: impl Into<MatrixView<'q>>,
    hits: &[Vec<Hit>],
    corpus: impl Into<Corpus<'c>>,
    top_k: usize,
    kind: Similarity,
) -> Result<Vec<Vec<Hit>>> {
    rescore(queries, hits, corpus, &options(top_k, kind))
}

fn mined(rows: &Matrix, max_pairs: usize, top_k: usize, similarity: Similarity) -> Result<Vec<SimilarPair>> {
    let options = MiningOptions { max_pairs, top_k, similarity, observer: None };
    paraphrase_mining_embeddings(rows, &options)
}

fn communities(rows: &Matrix, threshold: f32, least: usize, batch_size: usize) -> Result<Vec<Vec<usize>>> {
    let options = CommunityOptions { threshold, min_community_size: least, batch_size, observer: None };
    community_detection(rows, &options)
}

/// Rows of small whole numbers, with many ties.
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
            let scores = similarity(kind, &queries, &corpus, &CallOptions::default()).unwrap();
            let found = searched(queries.view(), corpus.view(), top_k, kind).unwrap();
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
            let scores = similarity(kind, &rows, &rows, &CallOptions::default()).unwrap();
            let mut truth: Vec<_> = (0..rows.rows()).flat_map(|j| (0..j).map(move |i| (i, j))).collect();
            truth.sort_by(|a, b| {
                scores.row(b.0)[b.1].partial_cmp(&scores.row(a.0)[a.1]).unwrap().then(a.cmp(b))
            });
            truth.truncate(max_pairs);
            let pairs = mined(&rows, max_pairs, 40, kind).unwrap();
            prop_assert_eq!(pairs.iter().map(|pair| (pair.i, pair.j)).collect::<Vec<_>>(), truth);
        }
    }

    #[test]
    fn communities_are_those_of_the_plain_rules(
        rows in rows(30), threshold in prop::sample::select(vec![-1.0f32, 0.5, 0.75, 0.99]), least in 1usize..6,
    ) {
        let scores = similarity(Similarity::Cosine, &rows, &rows, &CallOptions::default()).unwrap();
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
        prop_assert_eq!(communities(&rows, threshold, least, 1024).unwrap(), &truth[..]);
        prop_assert_eq!(communities(&rows, threshold, least, 7).unwrap(), truth);
    }

    #[test]
    fn normalized_rows_are_those_over_their_norms(n in 0usize..5, width in 0usize..70, size in 1e-20f32..1e20) {
        let rows: Vec<f32> = noise(n * width, 7).into_iter().map(|x| x * size).collect();
        let unit = normalize_embeddings(MatrixView::new(n, width, &rows).unwrap(), &CallOptions::default()).unwrap();
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
fn nan_comes_last() {
    let corpus = Matrix::new(4, 1, vec![f32::NAN, f32::NEG_INFINITY, f32::NAN, 2.0]).unwrap();
    let query = Matrix::new(1, 1, vec![1.0]).unwrap();
    for (top_k, truth) in [(4, &[3, 1, 0, 2][..]), (3, &[3, 1, 0])] {
        let hits = searched(query.view(), corpus.view(), top_k, Similarity::Dot).unwrap();
        assert_eq!(hits[0].iter().map(|hit| hit.corpus_id).collect::<Vec<_>>(), truth);
    }
}

#[test]
fn negative_zero_equals_zero_and_no_columns_score_zero() {
    let corpus = Matrix::new(3, 1, vec![-0.0, 0.0, -0.0]).unwrap();
    let one = Matrix::new(1, 1, vec![1.0]).unwrap();
    let ids = |queries: &Matrix, corpus: &Matrix| -> Vec<usize> {
        let hits = searched(queries.view(), corpus.view(), 9, Similarity::Dot).unwrap();
        hits[0].iter().map(|hit| hit.corpus_id).collect()
    };
    assert_eq!(ids(&one, &corpus), [0, 1, 2]);
    assert_eq!(ids(&Matrix::new(1, 0, vec![]).unwrap(), &Matrix::new(2, 0, vec![]).unwrap()), [0, 1]);
}

/// Many more than one piece of work, on threads.
#[test]
fn many_rows_are_normalized_independently() {
    let rows = Matrix::new(9_000, 100, noise(900_000, 3)).unwrap();
    let unit = normalize_embeddings(rows.view(), &CallOptions::default()).unwrap();
    for i in [0, 2_620, 2_621, 2_622, 8_999] {
        assert_eq!(
            unit.row(i),
            normalize_embeddings(rows.view().some_rows(i, 1), &CallOptions::default()).unwrap().as_slice(),
            "{i}"
        );
    }
}

#[test]
fn progress_is_reported_by_batch_and_the_caller_can_stop() {
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
    let watched = CommunityOptions::default().with_observer(&watcher);
    let few = watched.with_threshold(0.5).with_min_community_size(1).with_batch_size(2);
    assert!(matches!(community_detection(&rows, &few), Err(Error::Interrupted)));
    assert_eq!(*watcher.0.lock().unwrap(), [(2, 10), (4, 10), (6, 10)]);
    let call = CallOptions::default().with_observer(&watcher);
    assert!(matches!(normalize_embeddings(&rows, &call), Err(Error::Interrupted)));
    assert!(matches!(similarity(Similarity::Dot, &rows, &rows, &call), Err(Error::Interrupted)));
    assert!(matches!(pairwise_similarity(Similarity::Dot, &rows, &rows, &call), Err(Error::Interrupted)));
    let search = SearchOptions::default().with_observer(&watcher);
    assert!(matches!(semantic_search(&rows, &rows, &search), Err(Error::Interrupted)));
    assert!(matches!(rescore(&rows, &vec![Vec::new(); 10], &rows, &search), Err(Error::Interrupted)));
    let mining = MiningOptions::default().with_observer(&watcher);
    assert!(matches!(paraphrase_mining_embeddings(&rows, &mining), Err(Error::Interrupted)));
    let quantizing = crate::QuantizeOptions::default().with_observer(&watcher);
    assert!(matches!(quantize(&rows, crate::Precision::Int8, &quantizing), Err(Error::Interrupted)));
    let kind = crate::MultiVectorSimilarity::MaxSim;
    assert!(matches!(maxsim(kind, &[rows.view()], &[rows.view()], &call), Err(Error::Interrupted)));
    assert!(matches!(maxsim_pairwise(kind, &[rows.view()], &[rows.view()], &call), Err(Error::Interrupted)));
    let sparse = crate::SparseEmbeddings::new(vec![0, 1], vec![0], vec![1.0], 2).unwrap();
    assert!(matches!(sparse_similarity(Similarity::Dot, &sparse, &sparse, &call), Err(Error::Interrupted)));
    watcher.0.lock().unwrap().clear();
    let none = watched.with_threshold(2.0).with_min_community_size(1).with_batch_size(5);
    assert!(community_detection(&rows, &none).unwrap().is_empty());
    assert_eq!(*watcher.0.lock().unwrap(), [(5, 10), (10, 10)]);
}

fn said(error: Error, beginning: &str) {
    assert!(error.to_string().starts_with(beginning), "{error}");
}

#[test]
fn invalid_arguments_are_refused() {
    let (one, two) = (Matrix::new(1, 1, vec![1.0]).unwrap(), Matrix::new(1, 2, vec![1.0; 2]).unwrap());
    let dot = Similarity::Dot;
    said(searched(&one, &two, 1, dot).unwrap_err(), "corpus: must be as wide as queries, 1, got 2");
    said(searched(one.view(), one.view(), 0, dot).unwrap_err(), "top_k");
    said(mined(&one, 0, 1, dot).unwrap_err(), "max_pairs");
    said(mined(&one, 1, 0, dot).unwrap_err(), "top_k");
    said(communities(&one, f32::NAN, 1, 1).unwrap_err(), "threshold");
    said(communities(&one, 0.5, 0, 1).unwrap_err(), "min_community_size");
    said(communities(&one, 0.5, 1, 0).unwrap_err(), "batch_size");
    said(truncate_embeddings(one.view(), 0).unwrap_err(), "truncate_dim");
}

#[test]
fn slices_arrays_and_matrices_are_accepted() {
    let vectors = vec![vec![1.0, 2.0], vec![3.0, 4.0]];
    let matrix = Matrix::from_rows(&vectors).unwrap();
    assert_eq!(matrix, Matrix::new(2, 2, vec![1.0, 2.0, 3.0, 4.0]).unwrap());
    assert_eq!(Matrix::from_rows::<[f32; 2]>([]).unwrap(), Matrix::new(0, 0, vec![]).unwrap());
    said(Matrix::from_rows([&[1.0][..], &[2.0, 3.0]]).unwrap_err(), "rows: must be of one length, 1, got 2 at index 1");
    said(Matrix::new(2, 2, vec![1.0]).unwrap_err(), "data: must have 2 x 2 numbers, got 1");
    let of_row = |row: MatrixView<'_>| similarity(Similarity::Dot, row, &matrix, &CallOptions::default()).unwrap();
    for row in [(&vectors[0]).into(), vectors[0][..].into(), (&[1.0, 2.0]).into(), matrix.view().some_rows(0, 1)] {
        assert_eq!(of_row(row).as_slice(), [5.0, 11.0]);
    }
}

#[test]
fn rows_are_iterated_and_indexed() {
    let matrix = Matrix::from_rows([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]).unwrap();
    assert_eq!((&matrix).into_iter().map(|row| row[0]).collect::<Vec<_>>(), [1.0, 3.0, 5.0]);
    assert_eq!((&matrix).into_iter().rev().map(|row| row[1]).collect::<Vec<_>>(), [6.0, 4.0, 2.0]);
    assert_eq!((&matrix).into_iter().len(), 3);
    assert_eq!((&matrix[1], matrix.as_ref().len()), (&[3.0, 4.0][..], 6));
    // Rows without numbers are rows, too.
    assert_eq!(MatrixView::new(3, 0, &[]).unwrap().into_iter().count(), 3);
}

#[test]
fn results_beyond_memory_are_errors() {
    let rows = Matrix::new(1 << 40, 0, Vec::new()).unwrap();
    let few = Matrix::new(2, 0, Vec::new()).unwrap();
    for error in [
        searched(&rows, &rows, usize::MAX, Similarity::Dot).unwrap_err(),
        searched(&rows, &few, 1, Similarity::Dot).unwrap_err(),
        mined(&rows, usize::MAX, usize::MAX, Similarity::Dot).unwrap_err(),
    ] {
        assert!(matches!(error, crate::Error::Memory { .. }), "{error}");
    }
}
