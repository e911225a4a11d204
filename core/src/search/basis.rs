//! Leading directions of the keys: vectors that mostly lie in a few of them have short codes, of their coordinates there.

use super::Vector;
use super::bound::ROUNDOFF;
use super::codes::MOST_DIMENSIONS;
#[cfg(target_arch = "aarch64")]
use crate::simd::Neon;
#[cfg(target_arch = "x86_64")]
use crate::simd::{Avx2, Avx512};
use crate::simd::{LANES, Level, Portable, Simd};

/// Vectors that are multiplied with sixteen directions together: their sums take 12 of the 16 registers of AVX2, 24 of the 32 of NEON.
const ROWS: usize = 6;
/// Products summed in float32 before their sum is added in float64.
const SUMMED: usize = 64;
/// Directions with more are not orthonormal.
const MOST_SKEW: f64 = 1e-5;

/// Of a head, so that sums of 32 bits hold its products.
const MOST_SHIFT: i32 = 4;

/// Parts of a basis by which vectors are compared, one after the other: the first of the head, the head, all directions.
pub const PARTS: usize = 3;
pub const FIRST: usize = 0;
pub const HEAD: usize = 1;
pub const ALL: usize = 2;

/// The first m of some directions. What vectors have in these is compared first, and that alone may rule a pair out.
#[derive(Clone, Copy, Default)]
pub struct Head {
    pub m: usize,
    /// Of them so many are compared before the others, perhaps none.
    pub first: usize,
    /// Codes of the first count 2^shifts[FIRST] times as much as those outside the head, the others' 2^shifts[HEAD], no more: they
    /// are shorter.
    pub shifts: [i32; PARTS - 1],
}

impl Head {
    /// How many directions each part has.
    pub fn parts(self, all: usize) -> [usize; PARTS] {
        [self.first, self.m, all]
    }

    /// The part that is compared before all others.
    pub fn begin(self) -> usize {
        self.parts(1).iter().position(|&m| m > 0).expect("1 is not 0")
    }

    /// Of a part less the one before: what numbers are there, and what a code of them counts.
    pub fn pieces<T>(self, numbers: &[T]) -> [(&[T], f64); PARTS] {
        let (head, others) = numbers.split_at(self.m);
        let (first, head) = head.split_at(self.first);
        let [of_first, of_head] = self.shifts.map(|shift| 2f64.powi(shift));
        [(first, of_first), (head, of_head), (others, 1.0)]
    }

    /// By how many bits sums over the part before are shifted, to add those over what a part has beside it.
    pub fn shift(self, part: usize) -> i32 {
        let [first, head] = self.shifts;
        2 * [0, first - head, head][part]
    }

    /// What sums over a part count among those over all.
    pub fn scale(self, part: usize) -> f64 {
        self.shifts.get(part).map_or(1.0, |&shift| 2f64.powi(2 * shift))
    }

    /// Whether sums of 32 bits hold its products, and kernels can take it, of m directions.
    pub fn fits(self, m: usize) -> bool {
        let [first, head] = self.shifts;
        (0..=MOST_SHIFT).contains(&head)
            && (head..=MOST_SHIFT).contains(&first)
            && self.m << (2 * first) <= MOST_DIMENSIONS
            && (self.first..=m).contains(&self.m)
            && self.m.is_multiple_of(4)
            && self.first.is_multiple_of(8)
    }
}

/// m orthonormal directions, up to rounding, in d dimensions.
pub struct Basis {
    d: usize,
    pub m: usize,
    /// Perhaps with none of them.
    pub head: Head,
    /// `[m / 16][d][16]`, with zeros behind the last direction.
    packed: Vec<f32>,
    /// How far products of coordinates and of what is left over may be, for all roundings, from the product of two vectors, in
    /// parts of the product of their lengths: docs/explanation/exactness.md.
    pub slack: f64,
}

impl Basis {
    /// Directions (m, d), m <= d; None if they are not orthonormal.
    pub fn new(directions: &[f64], d: usize, head: Head) -> Option<Basis> {
        let m = directions.len() / d;
        let mut packed = vec![0.0; m.div_ceil(LANES) * LANES * d];
        for (j, direction) in directions.chunks_exact(d).enumerate() {
            for (i, &x) in direction.iter().enumerate() {
                packed[(j / LANES * d + i) * LANES + j % LANES] = x as f32;
            }
        }
        let mut skew = 0.0; // the square of the Frobenius norm of their products less the identity
        for (j, a) in directions.chunks_exact(d).enumerate() {
            for (i, b) in directions.chunks_exact(d).enumerate().take(j + 1) {
                let product: f64 = a.iter().zip(b).map(|(a, b)| a * b).sum();
                skew += if i == j { (product - 1.0) * (product - 1.0) } else { 2.0 * product * product };
            }
        }
        // Of each coordinate: numbers of both rounded to float32, sums of fused products, a little for what float64 rounds, and itself
        // where it is kept in float32.
        let error = (SUMMED + 5) as f64 * ROUNDOFF * (m as f64).sqrt();
        let skew = skew.sqrt();
        (skew < MOST_SKEW).then_some(Basis { d, m, head, packed, slack: 8.0 * skew + 4.0 * error })
    }

    /// The coordinates (n, m) of n vectors.
    pub fn coordinates<'a>(&self, vectors: impl Iterator<Item = Vector<'a>>, out: &mut [f64], level: Level) {
        let (mut lengths, mut narrow) = (Vec::new(), Vec::new());
        for vector in vectors {
            let length = vector.squares().sqrt();
            let inverse = if length > 0.0 { 1.0 / length } else { 0.0 };
            // Of length 1: no number is too large for float32, nor are all too small.
            vector.extend(&mut narrow, |x| (x * inverse) as f32);
            lengths.push(length);
        }
        match level {
            // SAFETY: the level is one that the processor has.
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => unsafe { coordinates_avx512(self, &narrow, out) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => unsafe { coordinates_avx2(self, &narrow, out) },
            // SAFETY: as above.
            #[cfg(target_arch = "aarch64")]
            Level::Neon => unsafe { coordinates_neon(self, &narrow, out) },
            // SAFETY: it runs everywhere.
            _ => unsafe { coordinates::<Portable>(self, &narrow, out) },
        }
        for (coordinates, length) in out.chunks_exact_mut(self.m).zip(lengths) {
            coordinates.iter_mut().for_each(|y| *y *= length);
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512dq,avx2,fma")]
fn coordinates_avx512(basis: &Basis, vectors: &[f32], out: &mut [f64]) {
    // SAFETY: the attribute above says what the processor has.
    unsafe { coordinates::<Avx512>(basis, vectors, out) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn coordinates_avx2(basis: &Basis, vectors: &[f32], out: &mut [f64]) {
    // SAFETY: the attribute above says what the processor has.
    unsafe { coordinates::<Avx2>(basis, vectors, out) }
}

#[cfg(target_arch = "aarch64")]
#[target_feature(enable = "neon")]
fn coordinates_neon(basis: &Basis, vectors: &[f32], out: &mut [f64]) {
    // SAFETY: the attribute above says what the processor has.
    unsafe { coordinates::<Neon>(basis, vectors, out) }
}

/// # Safety
/// The processor has the instruction set.
#[inline(always)]
unsafe fn coordinates<S: Simd>(basis: &Basis, vectors: &[f32], out: &mut [f64]) {
    let (d, m, n) = (basis.d, basis.m, vectors.len() / basis.d);
    for (block, directions) in basis.packed.chunks_exact(d * LANES).enumerate() {
        let columns = block * LANES..m.min((block + 1) * LANES);
        for first in (0..n).step_by(ROWS) {
            let mut rows = [vectors.as_ptr(); ROWS];
            for (r, row) in rows.iter_mut().enumerate() {
                *row = vectors[(first + r).min(n - 1) * d..][..d].as_ptr();
            }
            let mut wide = [[0f64; LANES]; ROWS];
            for from in (0..d).step_by(SUMMED) {
                // SAFETY: rows have d numbers, directions LANES for each of them; the caller vouches for the instruction set.
                unsafe {
                    let mut sums = [S::zero(); ROWS];
                    for i in from..d.min(from + SUMMED) {
                        let p = S::load(directions.as_ptr().add(i * LANES));
                        for r in 0..ROWS {
                            sums[r] = S::fma(S::splat(*rows[r].add(i)), p, sums[r]);
                        }
                    }
                    for (wide, sum) in wide.iter_mut().zip(sums) {
                        let mut narrow = [0f32; LANES];
                        S::store(narrow.as_mut_ptr(), sum);
                        for (wide, narrow) in wide.iter_mut().zip(narrow) {
                            *wide += f64::from(narrow);
                        }
                    }
                }
            }
            for (r, sums) in wide.iter().enumerate().take(n - first) {
                out[(first + r) * m..][columns.clone()].copy_from_slice(&sums[..columns.len()]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coordinates_are_products_within_the_slack() {
        for (n, d, m) in [(1, 1, 1), (7, 20, 17), (14, 33, 16), (13, 300, 40)] {
            // Reflections at a vector are orthonormal.
            let normal: Vec<f64> = (0..d).map(|i| 1.0 + (i * 7919 % 13) as f64).collect();
            let squares: f64 = normal.iter().map(|x| x * x).sum();
            let entry = |i: usize, j: usize| f64::from(i == j) - 2.0 * normal[i] * normal[j] / squares;
            let directions: Vec<f64> = (0..m * d).map(|i| entry(i / d, i % d)).collect();
            let basis = Basis::new(&directions, d, Head::default()).unwrap();
            for scale in [1.0, 1e-43f32, 1e38] {
                let vectors: Vec<f32> = (0..n * d).map(|i| (i * 104_729 % 97) as f32 / 48.0 * scale - scale).collect();
                for level in Level::ALL.into_iter().filter(|level| level.available()) {
                    let mut out = vec![f64::NAN; n * m];
                    basis.coordinates(vectors.chunks(d).map(Vector::F32), &mut out, level);
                    for (x, y) in vectors.chunks(d).zip(out.chunks(m)) {
                        let product = |p: &[f64]| x.iter().zip(p).map(|(&x, p)| f64::from(x) * p).sum::<f64>();
                        let errors = directions.chunks(d).zip(y).map(|(p, y)| (product(p) - y).powi(2));
                        let error = errors.sum::<f64>().sqrt();
                        assert!(
                            error <= basis.slack / 4.0 * Vector::F32(x).squares().sqrt(),
                            "{} {error}",
                            level.name()
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn slack_tells_of_directions_that_are_not_orthonormal() {
        let of = |directions| Basis::new(directions, 2, Head::default());
        let least = of(&[1.0, 0.0, 0.0, 1.0]).unwrap().slack;
        assert!(least < 1e-4);
        assert!(of(&[1.0, 0.0, 1e-6, 1.0]).unwrap().slack > least + 8e-6);
        assert!(of(&[1.0, 0.0, 0.1, 1.0]).is_none());
    }
}
