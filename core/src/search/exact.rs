//! Scores in float64, summed in one fixed order: that of numpy's pairwise summation (numpy/_core/src/umath/loops_utils.h.src),
//! so that a score is, to the bit, what `(q * x).sum()` gives in numpy, whatever else is scored and by which instructions.

use super::Metric;
#[cfg(target_arch = "x86_64")]
use crate::simd::{Avx2, Avx512};
use crate::simd::{Level, Portable, Wide};
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

/// What is summed: products of a query and a key; squares of their differences; products, and squares of the key beside
/// them; squares of the query alone.
const PRODUCTS: u8 = 0;
const DISTANCES: u8 = 1;
const BOTH: u8 = 2;
const OWN: u8 = 3;

/// Sums over a query and a key as long as it, at most LEAF numbers; the second is of squares of the key.
type Leaf = unsafe fn(&[f64], *const f32) -> [f64; 2];

/// Scores of one query.
pub struct Exact<'a> {
    metric: Metric,
    query: &'a [f64],
    norm: f64,
    leaf: Leaf,
}

impl<'a> Exact<'a> {
    pub fn new(metric: Metric, query: &'a [f64], level: Level) -> Exact<'a> {
        let leaf = match metric {
            Metric::Dot | Metric::Scaled => leaf_of::<PRODUCTS>(level),
            Metric::Euclidean => leaf_of::<DISTANCES>(level),
            Metric::Cosine => leaf_of::<BOTH>(level),
        };
        // SAFETY: `level` is one that the processor has; no key is read for these sums.
        let [squares, _] = unsafe { pairwise(query, std::ptr::null(), leaf_of::<OWN>(level)) };
        Exact { metric, query, norm: squares.sqrt(), leaf }
    }

    /// The score of a key, as float64 arithmetic has it.
    #[inline]
    pub fn score(&self, key: &[f32]) -> f64 {
        assert_eq!(key.len(), self.query.len());
        // SAFETY: the key is as long as the query, and the leaf is of a level that the processor has.
        let [sum, squares] = unsafe { pairwise(self.query, key.as_ptr(), self.leaf) };
        match self.metric {
            Metric::Dot => sum,
            Metric::Scaled => sum / (key.len() as f64).sqrt(),
            Metric::Euclidean => -sum.sqrt(),
            Metric::Cosine => {
                let size = self.norm * squares.sqrt();
                if size > 0.0 { sum / size } else { 0.0 }
            }
        }
    }
}

/// Split in two halves, the first a multiple of eight long, until each is a leaf.
#[inline]
unsafe fn pairwise(query: &[f64], key: *const f32, leaf: Leaf) -> [f64; 2] {
    unsafe {
        if query.len() <= LEAF {
            return leaf(query, key);
        }
        let half = query.len() / 2 - query.len() / 2 % 8;
        let (first, second) = query.split_at(half);
        let (a, b) = (pairwise(first, key, leaf), pairwise(second, key.wrapping_add(half), leaf));
        [a[0] + b[0], a[1] + b[1]]
    }
}

fn leaf_of<const SUM: u8>(level: Level) -> Leaf {
    match level {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => leaf_avx512::<SUM>,
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => leaf_avx2::<SUM>,
        _ => leaf::<Portable, SUM>,
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512dq,avx2")]
unsafe fn leaf_avx512<const SUM: u8>(query: &[f64], key: *const f32) -> [f64; 2] {
    // SAFETY: the caller's.
    unsafe { leaf::<Avx512, SUM>(query, key) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
unsafe fn leaf_avx2<const SUM: u8>(query: &[f64], key: *const f32) -> [f64; 2] {
    // SAFETY: the caller's.
    unsafe { leaf::<Avx2, SUM>(query, key) }
}

/// # Safety
/// The processor has the instruction set; the key is as long as the query, or `SUM` is OWN.
#[inline(always)]
unsafe fn leaf<S: Wide, const SUM: u8>(query: &[f64], key: *const f32) -> [f64; 2] {
    unsafe {
        let (whole, q) = (query.len() / 8 * 8, query.as_ptr());
        let [mut sum, mut squares] = [0.0; 2];
        if whole > 0 {
            let (mut a, mut b) = terms::<S, SUM>(q, key);
            for i in (8..whole).step_by(8) {
                let (more_a, more_b) = terms::<S, SUM>(q.add(i), key.wrapping_add(i));
                a = S::add(a, more_a);
                b = if SUM == BOTH { S::add(b, more_b) } else { b };
            }
            sum = in_pairs::<S>(a);
            squares = if SUM == BOTH { in_pairs::<S>(b) } else { 0.0 };
        }
        for i in whole..query.len() {
            let (q, x) = (*q.add(i), if SUM == OWN { 0.0 } else { f64::from(*key.add(i)) });
            sum += match SUM {
                DISTANCES => (q - x) * (q - x),
                OWN => q * q,
                _ => q * x,
            };
            squares += x * x;
        }
        [sum, squares]
    }
}

/// Eight terms of each sum. Products are rounded, not fused with the sums: numpy's are not.
#[inline(always)]
unsafe fn terms<S: Wide, const SUM: u8>(query: *const f64, key: *const f32) -> (S::D, S::D) {
    unsafe {
        let q = S::load(query);
        let x = if SUM == OWN { q } else { S::widen(key) };
        let difference = S::sub(q, x);
        let a = if SUM == DISTANCES { S::mul(difference, difference) } else { S::mul(q, x) };
        (a, if SUM == BOTH { S::mul(x, x) } else { a })
    }
}

#[inline(always)]
unsafe fn in_pairs<S: Wide>(v: S::D) -> f64 {
    let mut n = [0f64; 8];
    // SAFETY: the caller's.
    unsafe { S::store(n.as_mut_ptr(), v) };
    ((n[0] + n[1]) + (n[2] + n[3])) + ((n[4] + n[5]) + (n[6] + n[7]))
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
