//! Keys of a strip among themselves: products of all in float32, which leave of each key but a few more than its k best to
//! score. Where like stands by like most are near, so that codes rule out too few of them, and one by one.

use super::Metric;
use super::bound::{ROUNDOFF, lowered};
use super::scan::nth_largest;
use crate::product::own;
use crate::simd::Level;

/// Keys shorter than this part of the unit, which no key is longer than, have lost digits of their products.
const SHORTEST: f32 = 1.0 / (1 << 20) as f32;
/// Numbers are taken in as many parts as neighbours are wanted, times this.
const PARTS: usize = 4;

/// Tell of each of the `keys` which others may be among its k best, by their places in the strip; `norms` are their lengths in
/// parts of the `unit`. Returns whether it can: not where some are far shorter than others.
pub fn nearest(
    keys: &[&[f32]],
    norms: &[f32],
    unit: f64,
    metric: Metric,
    k: usize,
    level: Level,
    mut tell: impl FnMut(usize, &[usize]),
) -> bool {
    let (n, d) = (keys.len(), keys[0].len());
    if norms.iter().any(|&norm| norm < SHORTEST) {
        return false;
    }
    let inverse = unit.recip(); // of a power of two: it rounds nothing
    let mut rows = Vec::with_capacity(n * d);
    keys.iter().for_each(|key| rows.extend(key.iter().map(|&x| (f64::from(x) * inverse) as f32)));
    let mut products = vec![0f32; n * n];
    own(&rows, d, &mut products, 1, level);
    // A product times the first, less the second, is in the order of scores.
    let (factors, less): (Vec<f32>, Vec<f32>) = norms
        .iter()
        .map(|&norm| match metric {
            Metric::Dot | Metric::Scaled => (1.0, 0.0),
            Metric::Cosine => (1.0 / norm, 0.0),
            Metric::Euclidean => (1.0, 0.5 * norm * norm),
        })
        .unzip();
    let longest = f64::from(norms.iter().fold(0f32, |longest, &norm| longest.max(norm)));
    let (mut values, mut some, mut near) = (Vec::new(), Vec::new(), Vec::new());
    for key in 0..n {
        values.clear();
        values.extend(products[key..].iter().step_by(n).take(key));
        values.extend_from_slice(&products[key * n..][key..n]);
        for ((value, factor), less) in values.iter_mut().zip(&factors).zip(&less) {
            *value = *value * factor - less;
        }
        values[key] = f32::NEG_INFINITY;
        // Roundings of d products and their sums, and as many again for the few of norms and scores; below 2^-126 they are coarse.
        let norm = f64::from(norms[key]);
        let size = match metric {
            Metric::Dot | Metric::Scaled => norm * longest,
            Metric::Cosine => norm,
            Metric::Euclidean => (norm + longest) * longest,
        };
        let error = size * (d as f64 + 16.0) * 2.0 * ROUNDOFF + d as f64 * 0.5f64.powi(100);
        let least = lowered(f64::from(kth_largest(&values, k, &mut some)) - 2.0 * error);
        near.clear();
        reaching(&values, least, |other, _| {
            if other != key {
                near.push(other);
            }
        });
        tell(key, &near);
    }
    true
}

/// The k-th largest of some numbers; the least there is, if there are fewer.
fn kth_largest(values: &[f32], k: usize, some: &mut Vec<f32>) -> f32 {
    if k > values.len() {
        return f32::NEG_INFINITY;
    }
    // The k-th of some parts' largest is no larger, and most numbers are below it.
    let part = values.len() / (PARTS * k);
    let least = if part > 1 {
        some.clear();
        some.extend(
            values.chunks(part).map(|part| part.iter().fold(f32::NEG_INFINITY, |a, &b| if b > a { b } else { a })),
        );
        nth_largest(some, k)
    } else {
        f32::NEG_INFINITY
    };
    some.clear();
    reaching(values, least, |_, value| some.push(value));
    nth_largest(some, k)
}

/// Tell of all numbers that reach the least, and where they are.
fn reaching(values: &[f32], least: f32, mut tell: impl FnMut(usize, f32)) {
    for (part, first) in values.chunks(16).zip((0..).step_by(16)) {
        if part.iter().fold(false, |any, &value| any | (value >= least)) {
            for (&value, at) in part.iter().zip(first..).filter(|(value, _)| **value >= least) {
                tell(at, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::exact::{Exact, Hit};
    use super::*;
    use crate::random::Rng;

    /// Of each key its k best in float64 are among those told of; returns how many are told of, in all.
    fn told(rows: &[f32], d: usize, k: usize, metric: Metric, level: Level) -> usize {
        let keys: Vec<&[f32]> = rows.chunks_exact(d).collect();
        let norms: Vec<f64> =
            keys.iter().map(|x| x.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt()).collect();
        let unit = 2f64.powi(norms.iter().copied().fold(0.0, f64::max).log2().ceil() as i32);
        let norms: Vec<f32> = norms.iter().map(|norm| (norm / unit) as f32).collect();
        let (mut seen, mut count) = (0, 0);
        let told = nearest(&keys, &norms, unit, metric, k, level, |key, near| {
            assert_eq!(key, seen);
            (seen, count) = (seen + 1, count + near.len());
            let query: Vec<f64> = keys[key].iter().map(|&x| f64::from(x)).collect();
            let exact = Exact::new(metric, &query, Level::Portable);
            let others = (0..keys.len()).filter(|&other| other != key);
            let mut hits: Vec<Hit> = others.map(|other| Hit::new(exact.score(keys[other]), other as u64)).collect();
            hits.sort();
            assert!(!near.contains(&key));
            for hit in &hits[..k.min(hits.len())] {
                assert!(near.contains(&(hit.row as usize)), "{metric:?} {} {key}: not {hit:?}", level.name());
            }
        });
        assert!(told && seen == keys.len());
        count
    }

    #[test]
    fn the_best_are_told_of_and_few_others() {
        let mut random = Rng::new(7, 0);
        for (n, d, k) in [(1, 3, 1), (2, 3, 1), (5, 1, 7), (40, 6, 39), (300, 30, 15), (500, 200, 3)] {
            let rows: Vec<f32> = (0..n * d).map(|_| random.unit() - 0.5).collect();
            // So like each other that products in float32 are not in the order of scores.
            let noise = [1e-6, 1e-5, 1e-4, 1e-3];
            let tie = |i: usize| 1.0 + (i % d % 7) as f32 + noise[i / d % 4] * random.unit();
            let near_ties: Vec<f32> = (0..n * d).map(tie).collect();
            for (metric, level) in Metric::ALL.into_iter().flat_map(|metric| Level::ALL.map(|level| (metric, level))) {
                if level.available() {
                    let count = told(&rows, d, k, metric, level);
                    assert!(count <= n * (k + 2), "{metric:?}: {count} of {n} and {k}");
                    told(&near_ties, d, k, metric, level);
                    told(&near_ties.iter().map(|x| x * 1e-44).collect::<Vec<_>>(), d, k, metric, level);
                    told(&rows.iter().map(|x| x * 1e38).collect::<Vec<_>>(), d, k, metric, level);
                }
            }
        }
    }

    #[test]
    fn keys_that_are_far_shorter_than_others_are_left_to_codes() {
        let rows = [1.0, 0.0, 1e-9, 0.0];
        let keys: Vec<&[f32]> = rows.chunks_exact(2).collect();
        assert!(!nearest(&keys, &[1.0, 1e-9], 1.0, Metric::Dot, 1, Level::Portable, |_, _| unreachable!()));
    }

    #[test]
    fn the_kth_largest_is_that_of_sorting() {
        let mut random = Rng::new(8, 0);
        for (n, k) in [(1, 1), (3, 4), (100, 1), (100, 100), (1000, 7)] {
            let values: Vec<f32> = (0..n).map(|_| (random.unit() * 50.0).floor()).collect();
            let mut sorted = values.clone();
            sorted.sort_by(|a, b| b.total_cmp(a));
            let wanted = sorted.get(k - 1).copied().unwrap_or(f32::NEG_INFINITY);
            assert_eq!(kth_largest(&values, k, &mut Vec::new()), wanted);
        }
    }
}
