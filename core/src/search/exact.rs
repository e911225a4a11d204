//! Scores in float64, summed in one fixed order: that of numpy's pairwise summation (numpy/_core/src/umath/loops_utils.h.src),
//! so that a score is, to the bit, what `(q * x).sum()` gives in numpy, whatever else is scored and by which instructions.

use super::{Metric, Vector};
#[cfg(target_arch = "aarch64")]
use crate::simd::Neon;
#[cfg(target_arch = "x86_64")]
use crate::simd::{Avx2, Avx512};
use crate::simd::{LANES, Level, Portable, Simd, Wide};
use std::borrow::Cow;
use std::cmp::Ordering;

/// A key that was found. The best comes first: the larger score, then the lower row; NaN (from numbers that overflow float64)
/// comes last.
#[derive(Clone, Copy, Debug)]
pub struct Hit {
    score: f64,
    pub row: u64,
}

impl Hit {
    #[inline]
    pub fn new(score: f64, row: u64) -> Hit {
        // In the order of `total_cmp` zeros are equal then, and NaN is the least.
        Hit { score: if score.is_nan() { f64::NAN.copysign(-1.0) } else { score + 0.0 }, row }
    }

    pub fn score(&self) -> f64 {
        self.score
    }
}

impl Ord for Hit {
    #[inline]
    fn cmp(&self, other: &Hit) -> Ordering {
        in_order(other.score).cmp(&in_order(self.score)).then(self.row.cmp(&other.row))
    }
}

impl PartialOrd for Hit {
    #[inline]
    fn partial_cmp(&self, other: &Hit) -> Option<Ordering> {
        Some(self.cmp(other))
    }

    /// Sorting asks this: without a branch.
    #[inline]
    fn lt(&self, other: &Hit) -> bool {
        let [a, b] = [self, other].map(|hit| in_order(hit.score));
        (a > b) | (a == b) & (self.row < other.row)
    }
}

/// An integer in the order of `total_cmp`.
#[inline]
fn in_order(score: f64) -> i64 {
    let bits = score.to_bits() as i64;
    bits ^ (bits >> 63) & i64::MAX
}

impl PartialEq for Hit {
    #[inline]
    fn eq(&self, other: &Hit) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Hit {}

/// Numbers summed by eight accumulators before sums are added in pairs.
const LEAF: usize = 128;

/// What is summed: products of a query and a key; squares of their differences; products, and squares of the key beside
/// them; squares of the query alone.
const PRODUCTS: u8 = 0;
const DISTANCES: u8 = 1;
const BOTH: u8 = 2;
const OWN: u8 = 3;

/// Sums over a query and a key as long as it; the second is of squares of the key.
type Sums<T> = unsafe fn(&[T], *const f32) -> [f64; 2];

/// Numbers of a query.
trait Number: Copy + Into<f64> {
    /// # Safety
    /// As for [`Wide`].
    unsafe fn wide<S: Wide>(p: *const Self) -> S::D;
}

impl Number for f32 {
    #[inline(always)]
    unsafe fn wide<S: Wide>(p: *const f32) -> S::D {
        unsafe { S::widen(p) }
    }
}

impl Number for f64 {
    #[inline(always)]
    unsafe fn wide<S: Wide>(p: *const f64) -> S::D {
        unsafe { S::load(p) }
    }
}

/// A query, and what sums it up with a key.
enum Summed<'a> {
    F32(&'a [f32], Sums<f32>),
    F64(&'a [f64], Sums<f64>),
}

/// The dot product in float32 of a query and a key as long as it.
type Dot = unsafe fn(&[f32], *const f32) -> f32;

/// Scores of one query.
pub struct Exact<'a> {
    metric: Metric,
    query: Summed<'a>,
    /// The sum of the query's squares, and its root.
    pub squares: f64,
    norm: f64,
    narrow: Cow<'a, [f32]>,
    dot: Dot,
}

impl<'a> Exact<'a> {
    pub fn new(metric: Metric, query: Vector<'a>, level: Level) -> Exact<'a> {
        let none = std::ptr::null();
        // SAFETY: `level` is one that the processor has; no key is read for these sums.
        let (query, narrow, [squares, _]) = match query {
            Vector::F32(q) => unsafe {
                (Summed::F32(q, sums_for(metric, level)), q.into(), sums_of::<f32, OWN>(level)(q, none))
            },
            Vector::F64(q) => unsafe {
                let narrow = q.iter().map(|&q| q as f32).collect();
                (Summed::F64(q, sums_for(metric, level)), narrow, sums_of::<f64, OWN>(level)(q, none))
            },
        };
        Exact { metric, query, squares, norm: squares.sqrt(), narrow, dot: dot_of(level) }
    }

    /// About the dot product with a key, sooner than the score: in float32.
    #[inline]
    pub fn rough_dot(&self, key: &[f32]) -> f32 {
        self.dot(&self.narrow, key)
    }

    /// That of two vectors of float32.
    #[inline]
    pub fn dot(&self, a: &[f32], b: &[f32]) -> f32 {
        assert_eq!(a.len(), b.len());
        // SAFETY: as in `score`.
        unsafe { (self.dot)(a, b.as_ptr()) }
    }

    /// The score of a key, as float64 arithmetic has it.
    #[inline]
    pub fn score(&self, key: &[f32]) -> f64 {
        assert_eq!(key.len(), self.narrow.len());
        // SAFETY: the key is as long as the query, and the sums are of a level that the processor has.
        let [sum, squares] = unsafe {
            match self.query {
                Summed::F32(query, sums) => sums(query, key.as_ptr()),
                Summed::F64(query, sums) => sums(query, key.as_ptr()),
            }
        };
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

fn sums_for<T: Number>(metric: Metric, level: Level) -> Sums<T> {
    match metric {
        Metric::Dot | Metric::Scaled => sums_of::<T, PRODUCTS>(level),
        Metric::Euclidean => sums_of::<T, DISTANCES>(level),
        Metric::Cosine => sums_of::<T, BOTH>(level),
    }
}

fn sums_of<T: Number, const SUM: u8>(level: Level) -> Sums<T> {
    match level {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => sums_avx512::<T, SUM>,
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => sums_avx2::<T, SUM>,
        #[cfg(target_arch = "aarch64")]
        Level::Neon => sums_neon::<T, SUM>,
        _ => sums_portable::<T, SUM>,
    }
}

/// Split in two halves, the first a multiple of eight long, until each is a leaf. A function for each instruction set, so that
/// the leaves are part of it and the processor works on several at once.
macro_rules! pairwise {
    ($name:ident, $set:ty $(, #[$attribute:meta])*) => {
        /// # Safety
        /// The processor has the instruction set; the key is as long as the query, or `SUM` is OWN.
        $(#[$attribute])*
        unsafe fn $name<T: Number, const SUM: u8>(query: &[T], key: *const f32) -> [f64; 2] {
            unsafe {
                if query.len() <= LEAF {
                    return leaf::<$set, T, SUM>(query, key);
                }
                let half = query.len() / 2 - query.len() / 2 % 8;
                let (first, second) = query.split_at(half);
                let (a, b) = ($name::<T, SUM>(first, key), $name::<T, SUM>(second, key.wrapping_add(half)));
                [a[0] + b[0], a[1] + b[1]]
            }
        }
    };
}

pairwise!(sums_portable, Portable);
#[cfg(target_arch = "x86_64")]
pairwise!(sums_avx2, Avx2, #[target_feature(enable = "avx2")]);
#[cfg(target_arch = "x86_64")]
pairwise!(sums_avx512, Avx512, #[target_feature(enable = "avx512f,avx512dq,avx2")]);
#[cfg(target_arch = "aarch64")]
pairwise!(sums_neon, Neon, #[target_feature(enable = "neon")]);

/// # Safety
/// The processor has the instruction set; the key is as long as the query, or `SUM` is OWN.
#[inline(always)]
unsafe fn leaf<S: Wide, T: Number, const SUM: u8>(query: &[T], key: *const f32) -> [f64; 2] {
    unsafe {
        let (whole, q) = (query.len() / 8 * 8, query.as_ptr());
        let [mut sum, mut squares] = [0.0; 2];
        if whole > 0 {
            let (mut a, mut b) = terms::<S, T, SUM>(q, key);
            for i in (8..whole).step_by(8) {
                let (more_a, more_b) = terms::<S, T, SUM>(q.add(i), key.wrapping_add(i));
                a = S::add(a, more_a);
                b = if SUM == BOTH { S::add(b, more_b) } else { b };
            }
            sum = in_pairs::<S>(a);
            squares = if SUM == BOTH { in_pairs::<S>(b) } else { 0.0 };
        }
        for i in whole..query.len() {
            let (q, x): (f64, f64) = ((*q.add(i)).into(), if SUM == OWN { 0.0 } else { f64::from(*key.add(i)) });
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
unsafe fn terms<S: Wide, T: Number, const SUM: u8>(query: *const T, key: *const f32) -> (S::D, S::D) {
    unsafe {
        let q = T::wide::<S>(query);
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

fn dot_of(level: Level) -> Dot {
    match level {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => dot_avx512,
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => dot_avx2,
        #[cfg(target_arch = "aarch64")]
        Level::Neon => dot_neon,
        _ => dot::<Portable>,
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512dq,avx2,fma")]
unsafe fn dot_avx512(query: &[f32], key: *const f32) -> f32 {
    // SAFETY: the caller's.
    unsafe { dot::<Avx512>(query, key) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn dot_avx2(query: &[f32], key: *const f32) -> f32 {
    // SAFETY: the caller's.
    unsafe { dot::<Avx2>(query, key) }
}

#[cfg(target_arch = "aarch64")]
#[target_feature(enable = "neon")]
unsafe fn dot_neon(query: &[f32], key: *const f32) -> f32 {
    // SAFETY: the caller's.
    unsafe { dot::<Neon>(query, key) }
}

/// # Safety
/// The processor has the instruction set; the key is as long as the query.
#[inline(always)]
unsafe fn dot<S: Simd>(query: &[f32], key: *const f32) -> f32 {
    unsafe {
        let (mut sums, q) = ([S::zero(); 4], query.as_ptr());
        let mut at = 0;
        while at + 4 * LANES <= query.len() {
            for sum in &mut sums {
                *sum = S::fma(S::load(q.add(at)), S::load(key.add(at)), *sum);
                at += LANES;
            }
        }
        while at + LANES <= query.len() {
            sums[0] = S::fma(S::load(q.add(at)), S::load(key.add(at)), sums[0]);
            at += LANES;
        }
        let mut sum = S::sum(S::add(S::add(sums[0], sums[1]), S::add(sums[2], sums[3])));
        for (i, q) in query.iter().enumerate().skip(at) {
            sum += q * *key.add(i);
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_version_gives_the_same_bits() {
        for d in [1, 7, 8, 100, 128, 129, 384, 1000] {
            let query: Vec<f64> = (0..d).map(|i| ((i * 7919 % 1009) as f64 - 500.0) / 7.0).collect();
            let narrow: Vec<f32> = query.iter().map(|&q| q as f32).collect();
            let widened: Vec<f64> = narrow.iter().map(|&q| q.into()).collect();
            let key: Vec<f32> = (0..d).map(|i| ((i * 104_729 % 997) as f32 - 499.0) * 1e-3).collect();
            for metric in Metric::ALL {
                let score = |query, level| Exact::new(metric, query, level).score(&key).to_bits();
                for level in Level::ALL.into_iter().filter(|level| level.available()) {
                    assert_eq!(score(Vector::F64(&query), level), score(Vector::F64(&query), Level::Portable));
                    assert_eq!(score(Vector::F32(&narrow), level), score(Vector::F64(&widened), Level::Portable));
                }
            }
        }
    }

    #[test]
    fn sums_are_pairwise() {
        // 256 numbers: two leaves, whose sums are exact; one after the other, small ones would be lost beside 2^53.
        let query = vec![1f32; 256];
        let mut key = vec![1.0f32; 256];
        key[0] = (1u64 << 53) as f32;
        let score = Exact::new(Metric::Dot, Vector::F32(&query), Level::Portable).score(&key);
        assert!(score > (1u64 << 53) as f64 + 128.0);
    }

    #[test]
    fn nan_comes_last_and_ties_go_to_the_lowest_row() {
        let hit = Hit::new;
        let mut hits = [hit(f64::NAN, 0), hit(-1.0, 4), hit(2.0, 3), hit(f64::NEG_INFINITY, 5), hit(2.0, 1)];
        hits.sort();
        assert_eq!(hits.iter().map(|hit| hit.row).collect::<Vec<_>>(), [1, 3, 4, 5, 0]);
    }
}
