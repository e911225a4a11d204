//! Keys of a strip among themselves: products of all in float32, which leave of each key but a few more than its k best to
//! score. Where like stands by like most are near, so that codes rule out too few of them, and one by one.

use super::Metric;
use super::bound::{ROUNDOFF, lowered};
use super::scan::nth_largest;
use crate::product::own;
use crate::simd::{LANES, Level};

/// Keys shorter than this part of the unit, which no key is longer than, have lost digits of their products.
const SHORTEST: f32 = 1.0 / (1 << 20) as f32;
/// Numbers are taken in as many parts as neighbours are wanted, times this.
const PARTS: usize = 4;
/// Rows and columns that are mirrored together.
const MIRRORED: usize = 16;

/// Tell of each of the `keys` which others may be among its k best, by their places in the strip, and whether it may be among
/// theirs: each such pair once. `norms` are their lengths in parts of the `unit`. Returns whether it can: not where some are far
/// shorter than others.
pub fn nearest(
    keys: &[&[f32]],
    norms: &[f32],
    unit: f64,
    metric: Metric,
    k: usize,
    level: Level,
    mut tell: impl FnMut(usize, &[(usize, bool)]),
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
    let leasts = match level {
        // SAFETY: the level is one that the processor has.
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 | Level::Avx2 => unsafe { ordered_avx2(&mut products, norms, d, metric, k) },
        _ => ordered(&mut products, norms, d, metric, k),
    };
    let mut near = Vec::new();
    for (key, (values, &least)) in products.chunks_exact(n).zip(&leasts).enumerate() {
        near.clear();
        reaching(values, least, |other, _| {
            let is_mutual = products[other * n + key] >= leasts[other];
            if other != key && !(is_mutual && other < key) {
                near.push((other, is_mutual));
            }
        });
        tell(key, &near);
    }
    true
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn ordered_avx2(products: &mut [f32], norms: &[f32], d: usize, metric: Metric, k: usize) -> Vec<f32> {
    ordered(products, norms, d, metric, k)
}

/// Make of products (n, n), given above the diagonal, numbers that are of each row in the order of its scores. Returns what those of its
/// k best reach.
#[inline(always)]
fn ordered(products: &mut [f32], norms: &[f32], d: usize, metric: Metric, k: usize) -> Vec<f32> {
    let n = norms.len();
    mirror(products, n);
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
    let mut some = Vec::new();
    let mut leasts = Vec::with_capacity(n);
    for (key, values) in products.chunks_exact_mut(n).enumerate() {
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
        leasts.push(lowered(f64::from(kth_largest(values, k, &mut some)) - 2.0 * error));
    }
    leasts
}

/// Numbers (n, n) of which those above the diagonal are given, also below it.
#[inline(always)]
fn mirror(numbers: &mut [f32], n: usize) {
    for first in (0..n).step_by(MIRRORED) {
        for start in (first..n).step_by(MIRRORED) {
            for column in start..n.min(start + MIRRORED) {
                for row in first..column.min(first + MIRRORED) {
                    numbers[column * n + row] = numbers[row * n + column];
                }
            }
        }
    }
}

/// The k-th largest of some numbers; the least there is, if there are fewer.
#[inline(always)]
fn kth_largest(values: &[f32], k: usize, some: &mut Vec<f32>) -> f32 {
    if k > values.len() {
        return f32::NEG_INFINITY;
    }
    // The k-th of some parts' largest is no larger, and most numbers are below it. Parts are lanes of stretches.
    let stretch = values.len() / (PARTS * k).div_ceil(LANES) / LANES * LANES;
    let least = if stretch > LANES {
        some.clear();
        for stretch in values.chunks(stretch) {
            let mut largest = [f32::NEG_INFINITY; LANES];
            for lanes in stretch.as_chunks::<LANES>().0 {
                for i in 0..LANES {
                    largest[i] = if lanes[i] > largest[i] { lanes[i] } else { largest[i] };
                }
            }
            some.extend(largest);
        }
        nth_largest(some, k)
    } else {
        f32::NEG_INFINITY
    };
    some.clear();
    reaching(values, least, |_, value| some.push(value));
    nth_largest(some, k)
}

/// Tell of all numbers that reach the least, and where they are.
#[inline(always)]
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
    use super::super::Vector;
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
        let mut near_of = vec![Vec::new(); keys.len()];
        let mut seen = 0;
        let told = nearest(&keys, &norms, unit, metric, k, level, |key, near| {
            assert_eq!(key, seen);
            seen += 1;
            for &(other, is_mutual) in near {
                near_of[key].push(other);
                if is_mutual {
                    near_of[other].push(key);
                }
            }
        });
        assert!(told && seen == keys.len());
        for (key, near) in near_of.iter().enumerate() {
            let exact = Exact::new(metric, Vector::F32(keys[key]), Level::Portable);
            let others = (0..keys.len()).filter(|&other| other != key);
            let mut hits: Vec<Hit> = others.map(|other| Hit::new(exact.score(keys[other]), other as u64)).collect();
            hits.sort();
            let mut once = near.clone();
            once.sort_unstable();
            once.dedup();
            assert!(!near.contains(&key) && once.len() == near.len());
            for hit in &hits[..k.min(hits.len())] {
                assert!(near.contains(&(hit.row as usize)), "{metric:?} {} {key}: not {hit:?}", level.name());
            }
        }
        near_of.iter().map(Vec::len).sum()
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
