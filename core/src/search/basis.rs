//! Leading directions of the keys: vectors that mostly lie in a few of them have short codes, of their coordinates there.

#[cfg(target_arch = "aarch64")]
use crate::simd::Neon;
#[cfg(target_arch = "x86_64")]
use crate::simd::{Avx2, Avx512};
use crate::simd::{Level, Portable, Wide};

/// Directions that are multiplied together, and vectors: their sums take 12 of the 16 registers of AVX2, 24 of the 32 of NEON.
const COLUMNS: usize = 8;
const ROWS: usize = 6;
/// Directions with more are not orthonormal.
const MOST_SLACK: f64 = 1e-4;

/// Of a head, so that sums of 32 bits hold its products.
pub const MOST_SHIFT: i32 = 4;

/// The first m of some directions. What vectors have in these is compared first, and that alone may rule a pair out; their codes
/// count 2^shift times as much as the others, which are shorter.
#[derive(Clone, Copy, Default)]
pub struct Head {
    pub m: usize,
    pub shift: i32,
}

impl Head {
    /// What a code of its coordinates counts.
    pub fn scale(self) -> f64 {
        2f64.powi(self.shift)
    }
}

/// m orthonormal directions, up to rounding, in d dimensions.
pub struct Basis {
    d: usize,
    pub m: usize,
    /// A multiple of four of them, perhaps none.
    pub head: Head,
    /// `[m / 8][d][8]`, with zeros behind the last direction.
    packed: Vec<f64>,
    /// How far products of coordinates and of what is left over may be, for all roundings, from the product of two vectors, in
    /// parts of the product of their lengths: docs/explanation/exactness.md.
    pub slack: f64,
}

impl Basis {
    /// Directions (m, d), m <= d; None if they are not orthonormal.
    pub fn new(directions: &[f64], d: usize, head: Head) -> Option<Basis> {
        let m = directions.len() / d;
        let mut packed = vec![0.0; m.div_ceil(COLUMNS) * COLUMNS * d];
        for (j, direction) in directions.chunks_exact(d).enumerate() {
            for (i, &x) in direction.iter().enumerate() {
                packed[(j / COLUMNS * d + i) * COLUMNS + j % COLUMNS] = x;
            }
        }
        let mut skew = 0.0; // the square of the Frobenius norm of their products less the identity
        for (j, a) in directions.chunks_exact(d).enumerate() {
            for (i, b) in directions.chunks_exact(d).enumerate().take(j + 1) {
                let product: f64 = a.iter().zip(b).map(|(a, b)| a * b).sum();
                skew += if i == j { (product - 1.0) * (product - 1.0) } else { 2.0 * product * product };
            }
        }
        let slack = 8.0 * (skew.sqrt() + d as f64 * (m as f64).sqrt() * 0.5f64.powi(50));
        (slack < MOST_SLACK).then_some(Basis { d, m, head, packed, slack })
    }

    /// The coordinates (n, m) of vectors (n, d).
    pub fn coordinates(&self, vectors: &[f64], out: &mut [f64], level: Level) {
        match level {
            // SAFETY: the level is one that the processor has.
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => unsafe { coordinates_avx512(self, vectors, out) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => unsafe { coordinates_avx2(self, vectors, out) },
            // SAFETY: as above.
            #[cfg(target_arch = "aarch64")]
            Level::Neon => unsafe { coordinates_neon(self, vectors, out) },
            // SAFETY: it runs everywhere.
            _ => unsafe { coordinates::<Portable>(self, vectors, out) },
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512dq,avx2,fma")]
fn coordinates_avx512(basis: &Basis, vectors: &[f64], out: &mut [f64]) {
    // SAFETY: the attribute above says what the processor has.
    unsafe { coordinates::<Avx512>(basis, vectors, out) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn coordinates_avx2(basis: &Basis, vectors: &[f64], out: &mut [f64]) {
    // SAFETY: the attribute above says what the processor has.
    unsafe { coordinates::<Avx2>(basis, vectors, out) }
}

#[cfg(target_arch = "aarch64")]
#[target_feature(enable = "neon")]
fn coordinates_neon(basis: &Basis, vectors: &[f64], out: &mut [f64]) {
    // SAFETY: the attribute above says what the processor has.
    unsafe { coordinates::<Neon>(basis, vectors, out) }
}

/// # Safety
/// The processor has the instruction set.
#[inline(always)]
unsafe fn coordinates<S: Wide>(basis: &Basis, vectors: &[f64], out: &mut [f64]) {
    let (d, m, n) = (basis.d, basis.m, vectors.len() / basis.d);
    for (block, directions) in basis.packed.chunks_exact(d * COLUMNS).enumerate() {
        let columns = block * COLUMNS..m.min((block + 1) * COLUMNS);
        for first in (0..n).step_by(ROWS) {
            let mut rows = [vectors.as_ptr(); ROWS];
            for (r, row) in rows.iter_mut().enumerate() {
                *row = vectors[(first + r).min(n - 1) * d..][..d].as_ptr();
            }
            // SAFETY: rows have d numbers, directions COLUMNS for each of them; the caller vouches for the instruction set.
            let sums = unsafe {
                let mut sums = [S::splat(0.0); ROWS];
                for i in 0..d {
                    let p = S::load(directions.as_ptr().add(i * COLUMNS));
                    for r in 0..ROWS {
                        sums[r] = S::fma(S::splat(*rows[r].add(i)), p, sums[r]);
                    }
                }
                let mut out = [[0.0; COLUMNS]; ROWS];
                for (out, sum) in out.iter_mut().zip(sums) {
                    S::store(out.as_mut_ptr(), sum);
                }
                out
            };
            for (r, sums) in sums.iter().enumerate().take(n - first) {
                out[(first + r) * m..][columns.clone()].copy_from_slice(&sums[..columns.len()]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coordinates_are_products() {
        for (n, d, m) in [(1, 1, 1), (7, 20, 17), (14, 33, 16)] {
            // Rows of zeros but for a sign each, in some order: orthonormal.
            let at = |j: usize| (j * 7 + 3) % d;
            let directions: Vec<f64> =
                (0..m * d).map(|i| if at(i / d) == i % d { 1.0 - 2.0 * (i % 2) as f64 } else { 0.0 }).collect();
            let vectors: Vec<f64> = (0..n * d).map(|i| ((i * 104_729 % 97) as f64 - 48.0) / 32.0).collect();
            let basis = Basis::new(&directions, d, Head::default()).unwrap();
            for level in Level::ALL.into_iter().filter(|level| level.available()) {
                let mut out = vec![f64::NAN; n * m];
                basis.coordinates(&vectors, &mut out, level);
                for (i, x) in vectors.chunks(d).enumerate() {
                    for (j, p) in directions.chunks(d).enumerate() {
                        let product: f64 = x.iter().zip(p).map(|(x, p)| x * p).sum(); // one number, exact
                        assert_eq!(out[i * m + j], product);
                    }
                }
            }
        }
    }

    #[test]
    fn slack_tells_of_directions_that_are_not_orthonormal() {
        assert!(Basis::new(&[1.0, 0.0, 0.0, 1.0], 2, Head::default()).unwrap().slack < 1e-12);
        assert!(Basis::new(&[1.0, 0.0, 1e-6, 1.0], 2, Head::default()).unwrap().slack > 8e-6);
        assert!(Basis::new(&[1.0, 0.0, 0.1, 1.0], 2, Head::default()).is_none());
    }
}
