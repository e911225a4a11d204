//! Keys as codes of eight bits: a quarter of the bytes, and dot products by the instructions that machine learning brought.
//!
//! A vector x becomes whole numbers c = round(x / a) with a = max |x| / 127. What that leaves out, the residual x - a c, is
//! measured, not estimated: `bound.rs` rests on its length alone, so that nothing depends on how well c was chosen.
//!
//! With a basis x is the vector's coordinates in it, fewer numbers, and the length of what lies outside the basis is measured too.
//! The codes of its head count more.

use super::basis::{Basis, Head, PARTS};
use super::{Vector, share};
use crate::matrix::mapped;
use crate::simd::{Level, MatrixProduct, matrix_product};
use memmap2::MmapMut;
use std::ops::Range;
use std::sync::Mutex;

/// Keys that lie side by side: `[step][16 keys][4 codes]`, a step being four dimensions.
pub const PANEL: usize = 16;
/// Keys that a kernel takes at once, three panels; what is known of keys is padded to it.
pub const TILE: usize = 3 * PANEL;
/// A zero among keys: codes are c + 128, for the instructions multiply unsigned by signed numbers.
const ZERO: u8 = 128;
/// The largest code.
const LARGEST: f64 = 127.0;
/// Above it the sums of 32 bits might overflow: d 127^2 < 2^31 holds to twice that.
pub const MOST_DIMENSIONS: usize = 1 << 16;
/// Bytes after the last panel: matrix units read sixteen steps at once.
const READ_PAST: usize = 16 * 4 * PANEL;
/// Panels that a thread takes at once.
const SHARE: usize = 192;
/// Coordinates are kept where they are at most one in so many numbers.
const FEW: usize = 4;
/// Added to a number under 2^51 it leaves no bits for a fraction (ties to even), and the whole number in the lowest bits.
const MAGIC: f64 = 6_755_399_441_055_744.0; // 1.5 * 2^52

/// The codes of n keys, and two numbers each.
pub struct Codes {
    pub n: usize,
    /// Steps of four dimensions.
    pub steps: usize,
    panels: MmapMut,
    pub basis: Option<Basis>,
    /// a / |x|: what a code is worth; 0 for a vector of zeros.
    pub ratios: Vec<f32>,
    /// |x| / unit, at most 1.
    pub norms: Vec<f32>,
    /// The part of |x| that lies outside each part of the basis, rounded up; nothing of a part that it has not.
    pub rests: [Vec<f32>; PARTS],
    /// The coordinates of x / |x|, (n, m): of codes in an order of their own, which many pairs are compared by, if there are few.
    fine: Vec<f32>,
    /// Which vectors these are the codes of, and where each vector's are; both empty where they stand as the vectors do.
    order: Vec<u32>,
    places: Vec<u32>,
    /// Of each tile, the largest of its errors (|x - a c| / |x|, rounded up), norms, and norms times errors.
    pub largest: Vec<[f32; 3]>,
    /// A power of two that no key is longer than.
    pub unit: f64,
    /// What multiplies many queries at once, if the processor has such a unit.
    pub matrix: Option<MatrixProduct>,
}

/// What a thread fills at once: panels, and the numbers of their keys.
struct Part<'a> {
    first: usize,
    panels: &'a mut [u8],
    ratios: &'a mut [f32],
    errors: &'a mut [f32],
    norms: &'a mut [f32],
    rests: [&'a mut [f32]; PARTS],
    fine: &'a mut [f32],
}

/// What codes are made of.
#[derive(Clone, Copy)]
struct Source<'a> {
    vectors: &'a [f32],
    d: usize,
    unit: f64,
    basis: Option<&'a Basis>,
    order: &'a [u32],
    level: Level,
}

impl<'a> Source<'a> {
    fn vector(&self, place: usize) -> &'a [f32] {
        &self.vectors[row(self.order, place) * self.d..][..self.d]
    }
}

/// Which vector stands in a place.
fn row(order: &[u32], place: usize) -> usize {
    order.get(place).map_or(place, |&row| row as usize)
}

impl Codes {
    /// Codes of finite `vectors`, (n, d), or of their coordinates; in the `order` of these rows, each once, or as they are if it is
    /// empty.
    pub fn new(
        vectors: &[f32],
        d: usize,
        basis: Option<Basis>,
        order: Vec<u32>,
        threads: usize,
        level: Level,
    ) -> std::io::Result<Codes> {
        let (n, steps) = (vectors.len() / d, basis.as_ref().map_or(d, |basis| basis.m).div_ceil(4));
        let largest = largest(vectors, threads);
        // |x| <= sqrt(d) max |x|; powers of two, so that dividing by it rounds nothing.
        let exponent = |x: f64| x.log2().ceil() as i32 + 1; // one more than needed, whatever log2 rounds
        let unit = if largest > 0.0 { 2f64.powi(exponent(largest.into()) + exponent((d as f64).sqrt())) } else { 1.0 };
        let (padded, panel) = (n.next_multiple_of(TILE), steps * 4 * PANEL);
        let mut panels = mapped(padded / PANEL * panel + READ_PAST)?;
        let [mut ratios, mut errors, mut norms] = [(); 3].map(|()| vec![0f32; padded]);
        let head = basis.as_ref().map_or(Head::default(), |basis| basis.head);
        let m = basis.as_ref().map_or(0, |basis| basis.m);
        let mut rests = head.parts(m).map(|m| vec![0f32; if m > 0 { padded } else { 0 }]);
        let mut fine = vec![0f32; if order.is_empty() || FEW * m > d { 0 } else { padded * m }];
        let keys = SHARE * PANEL;
        let mut numbers = [&mut ratios, &mut errors, &mut norms].map(|numbers| numbers.chunks_mut(keys));
        let mut outside = rests.each_mut().map(|rests| rests.chunks_mut(keys));
        let mut kept = fine.chunks_mut((keys * m).max(1));
        let panels_of_parts = panels[..padded / PANEL * panel].chunks_mut(SHARE * panel);
        let parts = panels_of_parts.enumerate().map(|(i, panels)| {
            let [ratios, errors, norms] = numbers.each_mut().map(|numbers| numbers.next().expect("of all keys"));
            let rests = outside.each_mut().map(|rests| rests.next().unwrap_or_default());
            Part { first: i * keys, panels, ratios, errors, norms, rests, fine: kept.next().unwrap_or_default() }
        });
        let source = Source { vectors, d, unit, basis: basis.as_ref(), order: &order, level };
        share(threads.min(n.div_ceil(keys)), parts, |part| match level.for_codes() {
            // SAFETY: `level` is one that the processor has.
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => unsafe { fill_avx512(part, source) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => unsafe { fill_avx2(part, source) },
            _ => fill(part, source), // with NEON too, which every aarch64 has
        });
        let tiles = errors.chunks_exact(TILE).zip(norms.chunks_exact(TILE));
        let largest = tiles.map(|(errors, norms)| {
            errors.iter().zip(norms).fold([0f32; 3], |most, (&error, &norm)| {
                [most[0].max(error), most[1].max(norm), most[2].max(norm * error)]
            })
        });
        let largest = largest.collect();
        let mut places = vec![0; order.len()];
        order.iter().zip(0..).for_each(|(&row, place)| places[row as usize] = place);
        let matrix = matrix_product(level);
        Ok(Codes { n, steps, panels, basis, ratios, norms, rests, fine, order, places, largest, unit, matrix })
    }

    /// Which vector stands in a place.
    #[inline]
    pub fn row(&self, place: usize) -> usize {
        row(&self.order, place)
    }

    /// The same, of codes that there may be: without any, vectors stand as they are.
    #[inline]
    pub fn row_of(codes: Option<&Codes>, place: usize) -> usize {
        codes.map_or(place, |codes| codes.row(place))
    }

    /// Where a vector stands.
    #[inline]
    pub fn place(&self, row: usize) -> usize {
        self.places.get(row).map_or(row, |&place| place as usize)
    }

    /// Whether they stand in an order of their own.
    pub fn is_ordered(&self) -> bool {
        !self.order.is_empty()
    }

    /// The head of the basis, with nothing in it if there is none.
    pub fn head(&self) -> Head {
        self.basis.as_ref().map_or(Head::default(), |basis| basis.head)
    }

    /// The coordinates of the vector in a place, at length 1, if they are kept.
    #[inline]
    pub fn fine(&self, place: usize) -> Option<&[f32]> {
        let m = self.basis.as_ref()?.m;
        self.fine.get(place * m..(place + 1) * m)
    }

    /// Bytes from one panel to the next.
    pub fn stride(&self) -> usize {
        self.steps * 4 * PANEL
    }

    /// Some panels.
    pub fn panels(&self, range: Range<usize>) -> &[u8] {
        &self.panels[range.start * self.stride()..range.end * self.stride()]
    }

    /// Bytes that they take.
    pub fn bytes(&self) -> usize {
        let rests: usize = self.rests.iter().map(Vec::len).sum();
        let numbers = 2 * self.norms.len() + rests + self.fine.len() + 2 * self.order.len();
        self.panels.len() + 4 * numbers + 12 * self.largest.len()
    }
}

/// Whether all numbers are finite.
pub fn all_finite(vectors: &[f32], threads: usize) -> bool {
    largest(vectors, threads).is_finite()
}

/// The largest |number|, not finite if one is not.
fn largest(vectors: &[f32], threads: usize) -> f32 {
    const PIECE: usize = 1 << 20;
    let found = Mutex::new(0u32);
    share(threads.min(vectors.len().div_ceil(PIECE)), vectors.chunks(PIECE), |piece| {
        // Without their sign, floats are in the order of their bits, and what is not finite is above all others.
        let largest = piece.iter().fold(0, |largest, x| largest.max(x.to_bits() & (u32::MAX >> 1)));
        let mut found = found.lock().expect("no thread panics while it holds this");
        *found = largest.max(*found);
    });
    f32::from_bits(found.into_inner().expect("as above"))
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,avx2,fma")]
fn fill_avx512(part: Part, source: Source) {
    fill(part, source);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn fill_avx2(part: Part, source: Source) {
    fill(part, source);
}

#[inline(always)]
fn fill(mut part: Part, source: Source) {
    let Source { vectors, d, unit, basis, level, .. } = source;
    let (n, m) = (vectors.len() / d, basis.map_or(d, |basis| basis.m));
    let width = 4 * m.div_ceil(4);
    let mut codes = vec![ZERO; width * PANEL]; // of a panel, key after key
    let mut coordinates = vec![0.0; m * PANEL];
    for (i, panel) in part.panels.chunks_exact_mut(width * PANEL).enumerate() {
        let first = part.first + i * PANEL;
        if let Some(basis) = basis {
            let some = (first..n.min(first + PANEL)).map(|at| Vector::F32(source.vector(at)));
            basis.coordinates(some, &mut coordinates, level);
        }
        for (j, codes) in codes.chunks_exact_mut(width).enumerate() {
            let at = i * PANEL + j;
            if first + j >= n {
                codes.fill(ZERO);
                continue;
            }
            let x = source.vector(first + j);
            let squares = sum_of_squares(x, |x| x);
            let (norm, codes) = (squares.sqrt(), &mut codes[..m]);
            let (a, residual) = if let Some(basis) = basis {
                let y = &coordinates[j * m..][..m];
                if norm > 0.0 {
                    let outside = |y: &[f64]| {
                        let outside = (1.0 - sum_of_squares(y, |y| y) / squares).max(0.0) + basis.slack;
                        (outside.sqrt() as f32).next_up()
                    };
                    for (rests, of_part) in part.rests.iter_mut().zip(basis.head.parts(m)) {
                        if let Some(rest) = rests.get_mut(at) {
                            *rest = outside(&y[..of_part]);
                        }
                    }
                    for (fine, y) in part.fine.iter_mut().skip(at * m).zip(y) {
                        *fine = (y / norm) as f32;
                    }
                }
                encode(y, basis.head, codes)
            } else {
                encode(x, Head::default(), codes)
            };
            if norm > 0.0 {
                part.ratios[at] = (f64::from(a) / norm) as f32;
                part.errors[at] = ((residual / norm) as f32).next_up();
                part.norms[at] = (norm / unit) as f32;
            }
        }
        // Four codes of each of the sixteen keys in turn.
        let (words, _) = codes.as_chunks::<4>();
        for (step, out) in panel.as_chunks_mut::<{ 4 * PANEL }>().0.iter_mut().enumerate() {
            for (j, out) in out.as_chunks_mut::<4>().0.iter_mut().enumerate() {
                *out = words[j * (width / 4) + step];
            }
        }
    }
}

/// Write the codes c of x; returns a, what a code is worth, and |x - a c|, where c of the head count more (relative error under d
/// 2^-53: a c is exact, and so is what is squared but for one rounding).
#[inline(always)]
fn encode<T: Copy + Into<f64>>(x: &[T], head: Head, codes: &mut [u8]) -> (f32, f64) {
    // Without their sign, floats are in the order of their bits.
    let bits = |x: &[T]| x.iter().fold(0, |largest, &x| largest.max(x.into().to_bits() & (u64::MAX >> 1)));
    let pieces = head.pieces(x);
    let largest = pieces.iter().fold(0.0, |largest: f64, (x, scale)| largest.max(f64::from_bits(bits(x)) / scale));
    let mut narrow = (largest / LARGEST) as f32;
    if LARGEST * f64::from(narrow) < largest {
        narrow = narrow.next_up(); // so that no code is beyond 127, even where `a` has few digits left
    }
    let (mut squares, mut codes) = (0.0, codes);
    for (x, scale) in pieces {
        let a = f64::from(narrow) * scale;
        let inverse = if a > 0.0 { 1.0 / a } else { 0.0 };
        let (here, others) = codes.split_at_mut(x.len());
        codes = others;
        for (code, &x) in here.iter_mut().zip(x) {
            *code = ((x.into() * inverse + MAGIC).to_bits() as u8).wrapping_add(ZERO);
        }
        squares += sum_of_squares(x, |x| x - a * whole(x * inverse));
    }
    (narrow, squares.sqrt())
}

/// The nearest whole number, ties to even, of one under 2^51.
#[inline(always)]
pub fn whole(x: f64) -> f64 {
    (x + MAGIC) - MAGIC
}

#[inline(always)]
pub fn sum_of_squares<T: Copy + Into<f64>>(x: &[T], part: impl Fn(f64) -> f64) -> f64 {
    let (chunks, rest) = x.as_chunks::<16>();
    let mut sums = [0f64; 16];
    for chunk in chunks {
        for i in 0..16 {
            let number = part(chunk[i].into());
            sums[i] += number * number;
        }
    }
    for (i, &x) in rest.iter().enumerate() {
        let number = part(x.into());
        sums[i] += number * number;
    }
    sums.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(vectors: &[f32], d: usize) {
        for level in Level::ALL.into_iter().filter(|level| level.available()) {
            let codes = Codes::new(vectors, d, None, Vec::new(), 2, level).unwrap();
            for (row, x) in vectors.chunks_exact(d).enumerate() {
                let norm = x.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
                let a = f64::from(codes.ratios[row]) * norm;
                let panel = codes.panels(row / PANEL..row / PANEL + 1);
                let mut residual = 0.0;
                for i in 0..4 * codes.steps {
                    let code = f64::from(panel[i / 4 * 64 + row % PANEL * 4 + i % 4]) - 128.0;
                    assert!(code.abs() <= LARGEST);
                    residual += (x.get(i).copied().map_or(0.0, f64::from) - a * code).powi(2);
                }
                // The ratio is rounded to float32: 2^-24 of each number.
                let slack = norm * 0.5f64.powi(23);
                assert!(residual.sqrt() <= f64::from(codes.largest[row / TILE][0]) * norm + slack, "row {row}");
                assert!(norm <= codes.unit);
                assert!(
                    (f64::from(codes.norms[row]) * codes.unit - norm).abs()
                        <= norm * 0.5f64.powi(23) + codes.unit * 1e-45
                );
            }
        }
    }

    #[test]
    fn residuals_are_no_longer_than_told() {
        let numbers = |n: usize| (0..n).map(|i| ((i * 7919 % 10_007) as f32 - 5_000.0) * 1e-3);
        check(&numbers(10_000).collect::<Vec<_>>(), 100);
        check(&numbers(333 * 7).collect::<Vec<_>>(), 7);
        check(&numbers(100).map(|x| x * 1e37).collect::<Vec<_>>(), 4);
        check(&numbers(500).map(|x| x * 1e-44).collect::<Vec<_>>(), 5); // few digits are left of them
        check(&numbers(500).enumerate().map(|(i, x)| x * 0.1f32.powi(i as i32 % 40)).collect::<Vec<_>>(), 5);
        check(&(1..400).map(f32::from_bits).collect::<Vec<_>>(), 1);
        check(&[0.0; 30], 3);
        check(&[f32::MAX; 64], 64);
    }

    #[test]
    fn what_is_not_finite_is_seen() {
        assert!(all_finite(&[f32::MAX, -0.0, f32::MIN], 1));
        for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert!(!all_finite(&[1.0, wrong], 2));
        }
    }
}
