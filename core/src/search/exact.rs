//! Scores in float64, summed in one fixed order: that of numpy's pairwise summation (numpy/_core/src/umath/loops_utils.h.src),
//! so that a score is, to the bit, what `(q * x).sum()` gives in numpy, whatever else is scored and by which instructions.

use super::Metric;
use crate::simd::Level;
use std::cmp::Ordering;

/// A key that was found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hit {
    pub score: f64,
    pub row: u64,
}

impl Hit {
    /// Best first: the larger score, then the lower row; NaN (from numbers that overflow float64) comes last.
    pub fn order(a: &Hit, b: &Hit) -> Ordering {
        let scores = b.score.partial_cmp(&a.score);
        scores.unwrap_or_else(|| a.score.is_nan().cmp(&b.score.is_nan())).then(a.row.cmp(&b.row))
    }
}

/// Numbers summed by eight accumulators before sums are added in pairs.
const LEAF: usize = 128;

/// Scores of one query.
pub struct Exact<'a> {
    metric: Metric,
    query: &'a [f64],
    norm: f64,
    level: Level,
}

impl<'a> Exact<'a> {
    pub fn new(metric: Metric, query: &'a [f64], level: Level) -> Exact<'a> {
        let norm = pairwise(query.len(), &mut |range| leaf(&query[range.clone()], &query[range], |q, _| q * q)).sqrt();
        Exact { metric, query, norm, level }
    }

    /// The score of a key, as float64 arithmetic has it.
    #[inline]
    pub fn score(&self, key: &[f32]) -> f64 {
        match self.level {
            // SAFETY: `level` is one that the processor has.
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => unsafe { score_avx512(self, key) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => unsafe { score_avx2(self, key) },
            _ => score(self, key),
        }
    }
}

// No `fma` here: a product that is not rounded would give other sums.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512dq,avx2")]
fn score_avx512(exact: &Exact, key: &[f32]) -> f64 {
    score(exact, key)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn score_avx2(exact: &Exact, key: &[f32]) -> f64 {
    score(exact, key)
}

#[inline(always)]
fn score(exact: &Exact, key: &[f32]) -> f64 {
    let query = exact.query;
    match exact.metric {
        Metric::Euclidean => -sum(query, key, |q, x| (q - x) * (q - x)).sqrt(),
        Metric::Dot => sum(query, key, |q, x| q * x),
        Metric::Scaled => sum(query, key, |q, x| q * x) / (query.len() as f64).sqrt(),
        Metric::Cosine => {
            let size = exact.norm * sum(query, key, |_, x| x * x).sqrt();
            if size > 0.0 { sum(query, key, |q, x| q * x) / size } else { 0.0 }
        }
    }
}

#[inline(always)]
fn sum(query: &[f64], key: &[f32], term: impl Fn(f64, f64) -> f64) -> f64 {
    if query.len() <= LEAF {
        return leaf(query, key, term);
    }
    pairwise(query.len(), &mut |range| leaf(&query[range.clone()], &key[range], &term))
}

/// Split in two halves, the first a multiple of eight long, until each is a leaf.
fn pairwise(n: usize, leaf: &mut impl FnMut(std::ops::Range<usize>) -> f64) -> f64 {
    fn split(from: usize, n: usize, leaf: &mut impl FnMut(std::ops::Range<usize>) -> f64) -> f64 {
        if n <= LEAF {
            return leaf(from..from + n);
        }
        let half = n / 2 - n / 2 % 8;
        split(from, half, leaf) + split(from + half, n - half, leaf)
    }
    split(0, n, leaf)
}

#[inline(always)]
fn leaf<X: Copy + Into<f64>>(query: &[f64], key: &[X], term: impl Fn(f64, f64) -> f64) -> f64 {
    let (q_eights, q_rest) = query.as_chunks::<8>();
    let (x_eights, x_rest) = key.as_chunks::<8>();
    let mut total = 0.0;
    let mut eights = q_eights.iter().zip(x_eights);
    if let Some((q, x)) = eights.next() {
        let mut sums = [0f64; 8];
        for i in 0..8 {
            sums[i] = term(q[i], x[i].into()); // not array::from_fn, which is compiled without the instruction set
        }
        for (q, x) in eights {
            for i in 0..8 {
                sums[i] += term(q[i], x[i].into());
            }
        }
        total = ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
    }
    for (&q, &x) in q_rest.iter().zip(x_rest) {
        total += term(q, x.into());
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_version_gives_the_same_bits() {
        for d in [1, 7, 8, 100, 128, 129, 384, 1000] {
            let query: Vec<f64> = (0..d).map(|i| ((i * 7919 % 1009) as f64 - 500.0) / 7.0).collect();
            let key: Vec<f32> = (0..d).map(|i| ((i * 104_729 % 997) as f32 - 499.0) * 1e-3).collect();
            for metric in Metric::ALL {
                let plain = Exact::new(metric, &query, Level::Portable).score(&key);
                for level in Level::ALL.into_iter().filter(|level| level.available()) {
                    assert_eq!(Exact::new(metric, &query, level).score(&key).to_bits(), plain.to_bits());
                }
            }
        }
    }

    #[test]
    fn sums_are_pairwise() {
        // 256 numbers: two leaves, whose sums are exact; one after the other, small ones would be lost beside 2^53.
        let query = vec![1.0; 256];
        let mut key = vec![1.0f32; 256];
        key[0] = (1u64 << 53) as f32;
        let score = Exact::new(Metric::Dot, &query, Level::Portable).score(&key);
        assert!(score > (1u64 << 53) as f64 + 128.0);
    }

    #[test]
    fn nan_comes_last_and_ties_go_to_the_lowest_row() {
        let hit = |score, row| Hit { score, row };
        let mut hits = [hit(f64::NAN, 0), hit(-1.0, 4), hit(2.0, 3), hit(f64::NEG_INFINITY, 5), hit(2.0, 1)];
        hits.sort_by(Hit::order);
        assert_eq!(hits.iter().map(|hit| hit.row).collect::<Vec<_>>(), [1, 3, 4, 5, 0]);
    }
}
