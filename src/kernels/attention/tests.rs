use super::*;
use crate::kernels::testing::{largest_difference, noise};

/// Returns attention in float64, `(tokens, heads * width)`.
fn truth(qkv: [&[f32]; 3], texts: &[Range<usize>], count: usize, heads: Heads<'_>, extra: &Extra<'_>) -> Vec<f64> {
    let width = heads.width;
    let strides = [count * width, count / heads.sharing * width, count / heads.sharing * width];
    let at = |part: usize, token: usize, column: usize| f64::from(qkv[part][token * strides[part] + column]);
    let mut out = vec![0.0; qkv[0].len()];
    for text in texts {
        for (head, query) in (0..count).flat_map(|h| text.clone().map(move |q| (h, q))) {
            let shared = head / heads.sharing * width;
            let seen = heads.window.seen(query - text.start, text.len());
            let keys = text.start + seen.start..text.start + seen.end;
            let score = |key: usize| {
                let vector =
                    |part: usize, token: usize, first: usize| (0..width).map(move |i| at(part, token, first + i));
                let dot: f64 = vector(0, query, head * width).zip(vector(1, key, shared)).map(|(q, k)| q * k).sum();
                let (bias, position) = extra.of(head, query - text.start, key - text.start, width);
                let by_position: f64 = position.map_or(0.0, |[keys, queries]| {
                    let c2p = vector(0, query, head * width).zip(keys).map(|(q, k)| q * f64::from(*k)).sum::<f64>();
                    c2p + vector(1, key, shared).zip(queries).map(|(k, q)| k * f64::from(*q)).sum::<f64>()
                });
                let score = (dot + by_position) * f64::from(heads.scale);
                let capped = heads.softcap.map(f64::from).map_or(score, |limit| limit * (score / limit).tanh());
                (capped + f64::from(bias)).exp()
            };
            let weights: Vec<f64> = keys.clone().map(score).collect();
            let sum: f64 = weights.iter().sum();
            for i in 0..width {
                let values = keys.clone().map(|key| at(2, key, shared + i));
                let weighted: f64 = values.zip(&weights).map(|(value, weight)| value * weight).sum();
                out[query * strides[0] + head * width + i] = weighted / sum;
            }
        }
    }
    out
}

/// Terms of scores beside the product of query and key.
enum Extra<'a> {
    None,
    Bias(&'a DistanceBias),
    Slopes(&'a [f32]),
    /// Keys and queries of positions, `(positions, heads * width)`.
    Positions([&'a [f32]; 2], &'a PositionColumns),
}

impl<'a> Extra<'a> {
    /// Returns the bias, and the vectors of the distance.
    fn of(&self, head: usize, query: usize, key: usize, width: usize) -> (f32, Option<[&'a [f32]; 2]>) {
        let within = |longest: usize| {
            let farthest = longest as isize - 1;
            ((key as isize - query as isize).clamp(-farthest, farthest) + farthest) as usize
        };
        match self {
            Self::None => (0.0, None),
            Self::Slopes(slopes) => (-slopes[head] * key.abs_diff(query) as f32, None),
            Self::Bias(bias) => (bias.table[(head + 1) * (2 * bias.longest - 1) - 1 - within(bias.longest)], None),
            Self::Positions(vectors, columns) => {
                let row = columns.columns[within(columns.longest)] as usize;
                let positions = *columns.columns.iter().max().unwrap() as usize + 1;
                let of_head = |all: &'a [f32]| {
                    let stride = all.len() / positions;
                    &all[row * stride + head * width..][..width]
                };
                (0.0, Some(vectors.map(of_head)))
            }
        }
    }
}

fn attend(isa: Isa, qkv: [&[f32]; 3], spans: &[Span], count: usize, heads: Heads<'_>) -> Vec<f32> {
    let hidden = count * heads.width;
    let mut out = vec![f32::NAN; qkv[0].len()];
    let shared = hidden / heads.sharing;
    let qkv = [(qkv[0], hidden), (qkv[1], shared), (qkv[2], shared)].map(|(part, width)| Rows::packed(part, width));
    let mut scratch = AttentionScratch::new(isa);
    // Two shares of the heads, as for two threads.
    let (left, right) = RowsMut::packed(&mut out, hidden).split_columns(count / 2 * heads.width);
    attention(isa, qkv, spans, heads, 0..count / 2, &mut scratch, left).unwrap();
    attention(isa, qkv, spans, heads, count / 2..count, &mut scratch, right).unwrap();
    out
}

fn whole(text: &Range<usize>) -> Span {
    Span { queries: text.clone(), keys: text.clone(), position: 0 }
}

/// Attention with a head of keys for each head of queries and no window.
fn plain<'a>(width: usize, scale: f32) -> Heads<'a> {
    Heads { width, sharing: 1, scale, window: Window::ALL, softcap: None, positions: PositionScores::None }
}

fn texts(lengths: &[usize]) -> Vec<Range<usize>> {
    lengths.iter().scan(0, |end, n| (*end += n, Some(*end - n..*end)).1).collect()
}

/// Returns queries, keys and values of so many tokens, with `count` heads of queries and `count / sharing` of the others.
fn noisy(tokens: usize, count: usize, sharing: usize, width: usize) -> [Vec<f32>; 3] {
    let shared = tokens * count / sharing * width;
    let queries = noise(tokens * count * width, 3).iter().map(|x| x * 4.0).collect();
    [queries, noise(shared, 4), noise(shared, 5)]
}

#[track_caller]
fn check(isa: Isa, lengths: &[usize], count: usize, heads: Heads<'_>, extra: &Extra<'_>) {
    let texts = texts(lengths);
    let spans: Vec<_> = texts.iter().map(whole).collect();
    let qkv = noisy(lengths.iter().sum(), count, heads.sharing, heads.width);
    let qkv = [&qkv[0][..], &qkv[1], &qkv[2]];
    let out = attend(isa, qkv, &spans, count, heads);
    let error = largest_difference(&out, &truth(qkv, &texts, count, heads, extra));
    assert!(error < 2e-6, "{} {count}x{} {:?}: {error}", isa.name(), heads.width, heads.window);
    // A single query has the same bits at every position.
    let hidden = count * heads.width;
    for text in &texts {
        for position in [0, text.len() / 2, text.len() - 1] {
            let row = (text.start + position) * hidden..(text.start + position + 1) * hidden;
            let span = Span { queries: 0..1, keys: text.clone(), position };
            let alone = attend(isa, [&qkv[0][row.clone()], qkv[1], qkv[2]], &[span], count, heads);
            assert!(alone == out[row], "{} {:?} at {position} of {}", isa.name(), heads.window, text.len());
        }
    }
}

#[test]
fn attention_agrees_with_float64_whatever_the_lengths_and_biases() {
    for isa in Isa::available() {
        for (count, width, lengths) in [
            (1, 8, vec![1, 2, 7, 16, 65, 130]),
            (4, 8, vec![1, 2, 7, 16, 65, 130]),
            (3, 20, vec![3, 33, 48]),
            (2, 33, vec![31, 70]),
            (2, 16, vec![512, 513, 1200]), // several blocks of keys
        ] {
            let heads = plain(width, 1.0 / (width as f32).sqrt());
            check(isa, &lengths, count, heads, &Extra::None);
            // A table that covers all distances, and one that covers near ones.
            for longest in [1200, 20] {
                let bias = DistanceBias::new(&noise(count * (2 * longest - 1), 4), longest);
                let heads = Heads { positions: PositionScores::Bias(&bias), ..heads };
                check(isa, &lengths, count, heads, &Extra::Bias(&bias));
            }
            let slopes: Vec<_> = noise(count, 6).iter().map(|x| x.abs() / 4.0).collect();
            let heads = Heads { positions: PositionScores::Slopes(&slopes), ..heads };
            check(isa, &lengths, count, heads, &Extra::Slopes(&slopes));
        }
    }
}

#[test]
fn capped_scores_agree_with_float64_below_and_at_the_limit() {
    for isa in Isa::available() {
        // Scores reach about 40 times the scale.
        for (scale, limit) in [(0.3, 50.0), (0.3, 5.0), (1.0, 0.5), (0.01, 50.0)] {
            for window in [Window::ALL, Window::CAUSAL, Window { before: 20, after: 3 }] {
                let heads = Heads { sharing: 2, softcap: Some(limit), window, ..plain(12, scale) };
                check(isa, &[1, 17, 130], 4, heads, &Extra::None);
                let bias = DistanceBias { table: noise(4 * 39, 4), longest: 20 };
                let heads = Heads { positions: PositionScores::Bias(&bias), ..heads };
                check(isa, &[33], 4, heads, &Extra::Bias(&bias));
            }
        }
    }
}

#[test]
fn queries_attend_to_what_they_see_and_heads_may_share_their_keys() {
    let windows = [
        Window::CAUSAL,
        Window { before: 0, after: 0 },
        Window { before: 8, after: 8 },
        Window { before: 20, after: 0 },
        Window { before: 64, after: 64 },
        Window { before: 3, after: usize::MAX },
    ];
    for isa in Isa::available() {
        for (count, sharing) in [(2, 1), (4, 2), (3, 3), (6, 2)] {
            for window in windows.into_iter().chain([Window::ALL]) {
                let heads = Heads { sharing, window, ..plain(12, 0.3) };
                check(isa, &[1, 5, 31, 65, 200], count, heads, &Extra::None);
            }
        }
        let bias = DistanceBias::new(&noise(2 * 39, 4), 20);
        for window in windows {
            let heads = Heads { window, positions: PositionScores::Bias(&bias), ..plain(8, 0.4) };
            check(isa, &[33, 170], 2, heads, &Extra::Bias(&bias));
        }
    }
}

#[test]
fn disentangled_attention_agrees_with_float64() {
    for isa in Isa::available() {
        for (count, width, positions, lengths) in [(2, 8, 16, vec![1, 3, 40]), (3, 12, 100, vec![7, 130, 600])] {
            // The farthest key before the query has the greatest position, the farthest after it the least.
            let columns: Vec<u32> = (0..positions as u32).rev().chain([0]).collect();
            let columns = PositionColumns { longest: columns.len().div_ceil(2), columns };
            let (keys, queries) = (noise(positions * count * width, 8), noise(positions * count * width, 9));
            let [own_keys, own_queries] = [&keys, &queries].map(|rows| Rows::packed(rows, count * width));
            let zeros = vec![0.0; keys.len()];
            for (with_keys, with_queries) in [(true, true), (true, false), (false, true)] {
                let chosen = [with_keys.then_some(own_keys), with_queries.then_some(own_queries)];
                let table = Disentangled::new(isa, chosen[0], chosen[1], width, columns.clone().into()).unwrap();
                let heads = Heads { positions: PositionScores::Disentangled(&table), ..plain(width, 0.2) };
                let vectors =
                    [if with_keys { &keys[..] } else { &zeros }, if with_queries { &queries } else { &zeros }];
                check(isa, &lengths, count, heads, &Extra::Positions(vectors, &columns));
            }
        }
    }
}

#[test]
fn a_text_has_the_same_bits_whatever_its_neighbours_and_with_fewer_queries() {
    for isa in Isa::available() {
        let heads = plain(16, 0.25);
        let parts = [3, 4, 5].map(|seed| noise(100 * 32, seed));
        let run = |rows: Range<usize>, spans: &[Span]| {
            let qkv = [0, 1, 2].map(|i| &parts[i][rows.start * 32..rows.end * 32]);
            attend(isa, qkv, spans, 2, heads)
        };
        let together = run(0..100, &[0..30, 30..37, 37..100].map(|text| whole(&text)));
        let alone = run(30..37, &[whole(&(0..7))]);
        assert!(together[30 * 32..37 * 32] == alone);
        let first = run(30..37, &[Span { queries: 0..1, keys: 0..7, position: 0 }]);
        assert!(first[..32] == alone[..32]);
    }
}

#[test]
fn scores_that_lie_far_apart_choose_one_key() {
    for isa in Isa::available() {
        let (keys, values) = (vec![-1e15, 1e15, 0.0], vec![1.0, 2.0, 3.0]);
        let heads = plain(1, 1.0);
        let out = attend(isa, [&[1e15, -1e15, 0.0], &keys, &values], &[whole(&(0..3))], 1, heads);
        assert_eq!(out, [2.0, 1.0, 2.0], "{}", isa.name());
    }
}

/// Padding tokens of queries are queries but no keys, and part of a text may ask: queries and keys differ in number.
#[test]
fn queries_may_be_more_or_fewer_than_keys() {
    let (count, width) = (4, 24);
    let heads = plain(width, 0.2);
    let hidden = count * width;
    for isa in Isa::available() {
        for (queries, keys) in [(32, 1), (32, 9), (70, 33), (5, 64), (1, 40), (17, 16)] {
            let [asks, ..] = noisy(queries, count, 1, width);
            let [_, asked, values] = noisy(keys, count, 1, width);
            let span = Span { queries: 0..queries, keys: 0..keys, position: 0 };
            let out = attend(isa, [&asks, &asked, &values], &[span], count, heads);
            for (row, got) in asks.chunks(hidden).zip(out.chunks(hidden)) {
                // The same as the first of as many queries as there are keys.
                let mut alone = vec![0.0; keys * hidden];
                alone[..hidden].copy_from_slice(row);
                let truth = truth([&alone, &asked, &values], &texts(&[keys]), count, heads, &Extra::None);
                let error = largest_difference(got, &truth[..hidden]);
                assert!(error < 2e-6, "{} {queries} of {keys}: {error}", isa.name());
            }
        }
    }
}
