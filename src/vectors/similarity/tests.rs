use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;

use super::*;
use crate::kernels::testing::noise;
use crate::kernels::unit;
use crate::observer::NoObserver;

fn run(isa: Isa, threads: usize) -> Run<'static> {
    Run { isa, threads, observer: &NoObserver }
}

fn best() -> Isa {
    Isa::available().pop().unwrap()
}

fn scores(kind: Similarity, width: usize, a: &[f32], b: &[f32]) -> Vec<f32> {
    let a = MatrixView::new(a.len() / width, width, a).unwrap();
    let b = MatrixView::new(b.len() / width, width, b).unwrap();
    similarity(kind, a, b, run(best(), 1)).unwrap().into_vec()
}

/// The score in float64, and how far float32 may be from it.
fn truth(kind: Similarity, a: &[f32], b: &[f32]) -> (f64, f64) {
    let terms = |f: fn(f64, f64) -> f64| a.iter().zip(b).map(move |(a, b)| f(f64::from(*a), f64::from(*b)));
    let norm = |row: &[f32]| row.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt().max(1e-12);
    let size = terms(|a, b| (a * b).abs()).sum::<f64>();
    let product = terms(|a, b| a * b).sum::<f64>();
    match kind {
        Similarity::Cosine => {
            let norms = norm(a) * norm(b);
            (product / norms, size / norms * 1e-6)
        }
        Similarity::Dot => (product, size * 1e-6),
        Similarity::Euclidean => {
            let distance = terms(|a, b| (a - b).powi(2)).sum::<f64>().sqrt();
            (-distance, distance * 2e-6)
        }
        Similarity::Manhattan => {
            let distance = terms(|a, b| (a - b).abs()).sum::<f64>();
            (-distance, distance * 4e-6)
        }
    }
}

fn check(kind: Similarity, isa: Isa, threads: usize, a: MatrixView<'_>, b: MatrixView<'_>) {
    let matrix = similarity(kind, a, b, run(isa, threads)).unwrap();
    assert_eq!((matrix.rows(), matrix.columns()), (a.rows(), b.rows()));
    for i in 0..a.rows() {
        for (j, got) in matrix.row(i).iter().enumerate() {
            let (truth, limit) = truth(kind, a.row(i), b.row(j));
            let error = (f64::from(*got) - truth).abs();
            assert!(error <= limit + 1e-44, "{kind} {} {i} {j}: {got}, not {truth}", isa.name());
        }
    }
}

proptest! {
    #[test]
    fn agrees_with_float64(
        (n, m, width) in (0usize..9, 0usize..9, prop_oneof![0usize..40, 40usize..=1_024]),
        seed: u64, threads in 1usize..4, scale in prop::sample::select(vec![1e-6f32, 1.0, 1e6]),
    ) {
        let data: Vec<f32> = noise((n + m) * width, seed).iter().map(|x| x * scale).collect();
        let (a, b) = data.split_at(n * width);
        let (a, b) = (MatrixView::new(n, width, a).unwrap(), MatrixView::new(m, width, b).unwrap());
        for (kind, isa) in Similarity::ALL.into_iter().flat_map(|k| Isa::available().into_iter().map(move |i| (k, i))) {
            check(kind, isa, threads, a, b);
        }
    }

    #[test]
    fn any_bits_at_all_are_taken(bits in prop::collection::vec(any::<u32>(), 30), width in 1usize..=10) {
        let rows: Vec<f32> = bits.into_iter().map(f32::from_bits).collect();
        let rows = MatrixView::new(30 / width, width, &rows[..30 / width * width]).unwrap();
        for kind in Similarity::ALL {
            similarity(kind, rows, rows, run(best(), 2)).unwrap();
        }
    }
}

#[test]
fn the_cosine_of_normalized_rows_is_right_to_1e_6() {
    for isa in Isa::available() {
        for width in [1, 2, 3, 8, 33, 384, 768, 1_000, 1_024] {
            let mut rows = noise(40 * width, width as u64);
            let mut scales = [0.0; 40];
            unit::inverse_norms(isa, &rows, width, &mut scales);
            rows.chunks_mut(width).zip(scales).for_each(|(row, norm)| unit::scale(row, norm));
            let rows = MatrixView::new(40, width, &rows).unwrap();
            let matrix = similarity(Similarity::Cosine, rows, rows, run(isa, 1)).unwrap();
            for (i, got) in matrix.as_slice().iter().enumerate() {
                let (truth, _) = truth(Similarity::Cosine, rows.row(i / 40), rows.row(i % 40));
                assert!((f64::from(*got) - truth).abs() < 1e-6, "{} {width}: {got}, not {truth}", isa.name());
            }
        }
    }
}

#[test]
fn the_cosine_of_a_row_with_itself_is_1() {
    for (isa, width) in Isa::available().into_iter().flat_map(|isa| [1, 5, 33, 384, 1_023].map(|width| (isa, width))) {
        for size in [1e-6, 1.0, 1e6] {
            let rows: Vec<f32> = noise(5 * width, 9).iter().map(|x| x * size).collect();
            let rows = MatrixView::new(5, width, &rows).unwrap();
            assert_eq!(
                pairwise(Similarity::Cosine, rows, rows, run(isa, 1)).unwrap(),
                [1.0; 5],
                "{} {width}",
                isa.name()
            );
        }
    }
}

/// Enough rows for several tiles on both sides, and enough work for several threads.
fn many() -> (Matrix, Matrix) {
    let width = 11;
    let matrix = |rows, seed| Matrix::new(rows, width, noise(rows * width, seed)).unwrap();
    (matrix(1_030, 1), matrix(1_100, 2))
}

#[test]
fn a_score_has_the_same_bits_alone_pairwise_and_on_any_number_of_threads() {
    let (a, b) = many();
    let part = MatrixView::new(a.rows(), a.columns(), &b.as_slice()[..a.as_slice().len()]).unwrap();
    for (kind, isa) in Similarity::ALL.into_iter().flat_map(|k| Isa::available().into_iter().map(move |i| (k, i))) {
        let bits = |data: &[f32]| data.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        let all = similarity(kind, a.view(), b.view(), run(isa, 1)).unwrap();
        for threads in [0, 2, 5] {
            let again = similarity(kind, a.view(), b.view(), run(isa, threads)).unwrap();
            assert_eq!(bits(all.as_slice()), bits(again.as_slice()), "{kind} {}", isa.name());
        }
        let diagonal: Vec<f32> = (0..a.rows()).map(|i| all.row(i)[i]).collect();
        let pairs = pairwise(kind, a.view(), part, run(isa, 3)).unwrap();
        assert_eq!(bits(&diagonal), bits(&pairs), "{kind} {}", isa.name());
        for (i, j) in [(0, 0), (511, 512), (512, 511), (1_029, 1_099), (700, 5)] {
            let row = |matrix: &Matrix, i| Matrix::new(1, 11, matrix.row(i).to_vec()).unwrap();
            let alone = similarity(kind, row(&a, i).view(), row(&b, j).view(), run(isa, 1)).unwrap();
            assert_eq!(alone.row(0)[0].to_bits(), all.row(i)[j].to_bits(), "{kind} {i} {j}");
        }
    }
}

#[test]
fn a_few_rows_have_the_scores_that_they_have_among_many() {
    // Comparisons with a small number of rows use pieces of 81 rows.
    let (a, b) = (Matrix::new(40, 100, noise(4_000, 1)).unwrap(), Matrix::new(1_100, 100, noise(110_000, 2)).unwrap());
    for kind in Similarity::ALL {
        let all = similarity(kind, a.view(), b.view(), run(best(), 2)).unwrap();
        for count in [1, 16, 17] {
            let few = a.view().some_rows(3, count);
            let scores = similarity(kind, few, b.view(), run(best(), 2)).unwrap();
            assert_eq!(scores.as_slice(), &all.as_slice()[3 * 1_100..][..count * 1_100], "{kind} {count}");
            let visited = std::sync::Mutex::new(vec![f32::NAN; count * 1_100]);
            visit(kind, few, &b.view(), run(best(), 2), |part| {
                for (i, row) in part.scores.chunks_exact(part.columns).enumerate() {
                    let first = (part.row + i) * 1_100 + part.column;
                    visited.lock().unwrap()[first..][..part.columns].copy_from_slice(row);
                }
            })
            .unwrap();
            assert_eq!(visited.into_inner().unwrap(), scores.as_slice(), "{kind} {count}");
        }
    }
}

#[test]
fn many_rows_agree_with_float64_too() {
    let (a, b) = many();
    for kind in Similarity::ALL {
        check(kind, best(), 2, a.view(), b.view());
    }
}

#[test]
fn zero_rows_have_the_cosine_0() {
    assert_eq!(scores(Similarity::Cosine, 2, &[0.0, 0.0, 3.0, 4.0], &[0.0, 0.0, -6.0, -8.0]), [0.0, 0.0, 0.0, -1.0]);
}

#[test]
fn rows_of_extreme_numbers_have_their_cosine() {
    let large = scores(Similarity::Cosine, 2, &[3e30, 4e30, 3e38, -3e38], &[3e30, 4e30, 3e-11, 4e-11]);
    for (got, truth) in large.iter().zip([1.0, 1.0, -0.141_421_36, -0.141_421_36]) {
        assert!((got - truth).abs() < 1e-6, "{large:?}");
    }
    // A norm under 1e-12 counts as 1e-12: 5e-30 / 1e-12 = 5e-18.
    let small = scores(Similarity::Cosine, 2, &[3e-30, 4e-30], &[3.0, 4.0, 3e-30, 4e-30]);
    assert!((small[0] / 5e-18 - 1.0).abs() < 1e-6 && (small[1] / 2.5e-35 - 1.0).abs() < 1e-6, "{small:?}");
}

#[test]
fn the_distance_of_close_rows_keeps_its_digits() {
    let (a, b) = ([1_000.0, 1_000.0, 1_000.0], [1_000.0, 1_000.000_1, 1_000.0]);
    let difference = f64::from(b[1]) - 1_000.0;
    for kind in [Similarity::Euclidean, Similarity::Manhattan] {
        let got = scores(kind, 3, &a, &[a, b].concat());
        assert_eq!(got[0].to_bits(), 0, "0, not -0");
        assert!((f64::from(got[1]) / -difference - 1.0).abs() < 1e-6, "{got:?}");
    }
}

#[test]
fn nan_affects_only_its_row() {
    for kind in Similarity::ALL {
        let got = scores(kind, 1, &[1.0, f32::NAN, 2.0], &[3.0, 4.0]);
        let nan: Vec<bool> = got.iter().map(|x| x.is_nan()).collect();
        assert_eq!(nan, [false, false, true, true, false, false], "{kind}");
    }
}

#[test]
fn empty_inputs_have_no_scores() {
    for (n, m, width) in [(0, 0, 0), (0, 3, 4), (3, 0, 4), (0, 0, 4), (2, 3, 0)] {
        let (a, b) = (vec![1.0; n * width], vec![1.0; m * width]);
        let (a, b) = (MatrixView::new(n, width, &a).unwrap(), MatrixView::new(m, width, &b).unwrap());
        for kind in Similarity::ALL {
            let matrix = similarity(kind, a, b, run(best(), 2)).unwrap();
            assert_eq!(matrix, Matrix::new(n, m, vec![0.0; n * m]).unwrap());
            assert_eq!(pairwise(kind, a, a, run(best(), 2)).unwrap().len(), n);
        }
    }
}

#[test]
fn shapes_that_do_not_fit_are_refused() {
    let refused = |error: Error, word: &str| assert!(error.to_string().contains(word), "{error}");
    let data = [1.0; 12];
    let view = |rows, columns| MatrixView::new(rows, columns, &data[..rows * columns]).unwrap();
    let (kind, run) = (Similarity::Cosine, run(best(), 1));
    refused(similarity(kind, view(3, 4), view(2, 3), run).unwrap_err(), "b: must be as wide as a, 4, got 3");
    refused(pairwise(kind, view(3, 4), view(2, 3), run).unwrap_err(), "b: must be as wide as a, 4, got 3");
    refused(pairwise(kind, view(3, 4), view(2, 4), run).unwrap_err(), "as many rows as a, 3, got 2");
    refused(Matrix::new(3, 4, vec![0.0; 11]).unwrap_err(), "must have 3 x 4 numbers, got 11");
    refused(MatrixView::new(usize::MAX, 2, &data).unwrap_err(), "x 2 numbers, got 12");
    // No width takes no memory, but its scores would.
    for rows in [1 << 31, usize::MAX] {
        let empty = MatrixView::new(rows, 0, &[]).unwrap();
        refused(similarity(kind, empty, empty, run).unwrap_err(), "no memory");
    }
}

#[test]
fn the_caller_can_stop_it_and_is_asked_on_its_own_thread() {
    let (a, b) = many();
    struct Impatient {
        here: std::thread::ThreadId,
        asked: AtomicUsize,
    }
    impl Observer for Impatient {
        fn interrupted(&self) -> bool {
            assert_eq!(std::thread::current().id(), self.here);
            self.asked.fetch_add(1, Ordering::Relaxed) >= 1
        }
    }
    for threads in [1, 3] {
        let observer = Impatient { here: std::thread::current().id(), asked: AtomicUsize::new(0) };
        let run = Run { isa: best(), threads, observer: &observer };
        let result = similarity(Similarity::Dot, a.view(), b.view(), run);
        // The other threads may have done it all before the caller is asked a second time.
        let asked = observer.asked.swap(0, Ordering::Relaxed);
        assert!(asked == 2 || (asked < 2 && threads > 1), "asked {asked} times");
        assert_eq!(matches!(result, Err(Error::Interrupted)), asked == 2, "{result:?}");
        observer.asked.store(1, Ordering::Relaxed);
        let result = pairwise(Similarity::Dot, a.view(), a.view(), run);
        assert!(matches!(result, Err(Error::Interrupted)), "{result:?}");
    }
}

#[test]
fn names_survive_a_round_trip() {
    for kind in Similarity::ALL {
        assert_eq!(kind.to_string().parse::<Similarity>().unwrap(), kind);
    }
    let message = "Cosine".parse::<Similarity>().unwrap_err().to_string();
    let right = "similarity: must be one of cosine, dot, euclidean, manhattan, got \"Cosine\"";
    assert_eq!(message, right);
    assert_eq!(Similarity::default(), Similarity::Cosine);
}

#[test]
#[should_panic(expected = "row 2 of a matrix of 2 rows")]
fn a_row_that_is_not_there_panics_as_with_slices() {
    Matrix::new(2, 0, Vec::new()).unwrap().row(2);
}
