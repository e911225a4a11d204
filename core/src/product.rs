//! Matrix products of narrow numbers: codes of eight bits to sums of 32, bfloat16 to sums of float32. The top rungs of the
//! ladder.
//!
//! b is packed once, as panels of sixteen columns, `[panel][step][16 columns][4 bytes]`; rows of a lie in groups of Q, and a
//! step of each is four bytes that the kernel spreads over a register. P panels times Q rows of sums stay in registers
//! (K. Goto and R. van de Geijn: Anatomy of high-performance matrix multiplication, 2008). A matrix unit takes sixteen steps of
//! sixteen rows and columns at once: two panels times 32 rows.

use crate::matrix::mapped;
use crate::search::share;
#[cfg(target_arch = "aarch64")]
use crate::simd::Neon;
#[cfg(target_arch = "x86_64")]
use crate::simd::{Avx2, Avx2Words, Avx512, Avx512Half};
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
use crate::simd::{CodeTiles, HalfTiles, Unit, has_matrix_bfloat16};
use crate::simd::{
    Floats, LANES, Level, MATRIX_ROWS, Narrow, Numbers, Portable, PortableHalf, matrix_product, prefetch_far,
    prefetch_for_writing,
};
#[cfg(any(test, all(target_arch = "x86_64", target_os = "linux")))]
use crate::simd::{TileSums, Tiles};
use std::ops::Range;

/// Steps at a time, and rows, which stay in the second-level cache, 240 or 384 KiB. A lone panel of so many steps, 20 KiB, stays in a
/// first-level cache; four, or two of a matrix unit's, beside the rows. Fewer, and sums come and go too often.
const fn steps_and_rows(panels: usize) -> (usize, usize) {
    if panels == 1 { (320, 192) } else { (512, 192) }
}

/// Steps that a matrix unit takes at once: as many as rows.
const TILE: usize = MATRIX_ROWS;

/// Blocks of rows for each thread, at least, lest one wait long for another.
const BLOCKS: usize = 8;

/// The shape of a product (n, d) x (d, m).
#[derive(Clone, Copy)]
pub struct Shape {
    pub n: usize,
    pub d: usize,
    pub m: usize,
}

/// out (n, m) = a (n, d) x b (d, m), exact: d is at most 2^16, so that no sum overflows.
pub fn int8(a: &[i8], b: &[i8], shape: Shape, out: &mut [i32], threads: usize, level: Level) {
    assert!(shape.d <= 1 << 16, "sums of 32 bits have no room for more");
    let level = level.for_codes();
    let plain = |code: i8| u32::from(code as u8);
    // Codes of b are kept with 128 added, since most instructions multiply unsigned by signed numbers: what that adds is taken off.
    let flipped = |code: i8| u32::from(code as u8 ^ 128);
    let start = |row: &[i8]| -128 * row.iter().map(|&code| i32::from(code)).sum::<i32>();
    match level {
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        Level::Avx512 if matrix_product(level).is_some() => {
            product::<CodeTiles, _, 1, 2, 32>(a, Some(b), plain, plain, shape, out, threads, |_| 0, tiles_amx);
        }
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => {
            product::<Avx512, _, 1, 4, 6>(a, Some(b), plain, flipped, shape, out, threads, start, int8_avx512);
        }
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => {
            let word = |code: i8| u32::from(i16::from(code) as u16);
            product::<Avx2Words, _, 2, 1, 6>(a, Some(b), word, word, shape, out, threads, |_| 0, words_avx2);
        }
        #[cfg(target_arch = "aarch64")]
        Level::Neon => {
            // It takes the 128 off itself.
            product::<Neon, _, 1, 1, 6>(a, Some(b), plain, flipped, shape, out, threads, |_| 0, int8_neon);
        }
        _ => {
            let kernel = block::<Portable, 1, 1>;
            product::<Portable, _, 1, 1, 1>(a, Some(b), plain, flipped, shape, out, threads, start, kernel);
        }
    }
}

/// out (n, m) = a (n, d) x b (d, m) of bfloat16, summed in float32.
pub fn bfloat16(a: &[u16], b: &[u16], shape: Shape, out: &mut [f32], threads: usize, level: Level) {
    let (half, zero) = (|bits: u16| u32::from(bits), |_: &[u16]| 0.0);
    match level {
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        Level::Avx512 if has_matrix_bfloat16(level) => {
            product::<HalfTiles, _, 2, 2, 32>(a, Some(b), half, half, shape, out, threads, zero, tiles_amx);
        }
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 if Level::has_bfloat16() => {
            product::<Avx512Half, _, 2, 4, 6>(a, Some(b), half, half, shape, out, threads, zero, half_avx512);
        }
        Level::Portable => {
            let kernel = block::<PortableHalf, 1, 1>;
            product::<PortableHalf, _, 2, 1, 1>(a, Some(b), half, half, shape, out, threads, zero, kernel);
        }
        _ => floats(a, Some(b), |bits| u32::from(bits) << 16, shape, out, threads, level),
    }
}

/// By which instructions codes are multiplied, and numbers of bfloat16: "amx", "avx512_bf16" or, widened, those of float32.
pub fn instructions(level: Level) -> (&'static str, &'static str) {
    let codes = if matrix_product(level).is_some() { "amx" } else { level.for_codes().name() };
    let halves = match level {
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        Level::Avx512 if has_matrix_bfloat16(level) => "amx",
        Level::Avx512 if Level::has_bfloat16() => "avx512_bf16",
        _ => level.name(),
    };
    (codes, halves)
}

/// Products of rows x (n, d) of float32 with themselves and all later ones: out (n, n), of which what is left of a row's own may be
/// anything.
pub fn own(x: &[f32], d: usize, out: &mut [f32], threads: usize, level: Level) {
    let n = x.len() / d;
    floats(x, None, f32::to_bits, Shape { n, d, m: n }, out, threads, level);
}

/// The product of numbers that `bits` makes float32.
fn floats<T: Copy + Sync>(
    a: &[T],
    b: Option<&[T]>,
    bits: impl Fn(T) -> u32 + Copy + Sync,
    shape: Shape,
    out: &mut [f32],
    threads: usize,
    level: Level,
) {
    let zero = |_: &[T]| 0.0;
    match level {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => {
            product::<Floats<Avx512>, _, 4, 4, 6>(a, b, bits, bits, shape, out, threads, zero, floats_avx512);
        }
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => {
            product::<Floats<Avx2>, _, 4, 1, 6>(a, b, bits, bits, shape, out, threads, zero, floats_avx2);
        }
        #[cfg(target_arch = "aarch64")]
        Level::Neon => {
            product::<Floats<Neon>, _, 4, 1, 6>(a, b, bits, bits, shape, out, threads, zero, floats_neon);
        }
        _ => {
            let kernel = block::<Floats<Portable>, 1, 1>;
            product::<Floats<Portable>, _, 4, 1, 1>(a, b, bits, bits, shape, out, threads, zero, kernel);
        }
    }
}

/// One block: rows of a, packed, times all panels of one stretch of steps, added to `out`.
struct Block<'a, S: Numbers> {
    /// `[group of Q rows][step][row]`, in tiles `[group of Q rows][sixteen steps][row][step]`
    rows: &'a [S::Packed],
    /// `[panel][step][16 columns][4 bytes]`
    panels: &'a [u8],
    steps: usize,
    /// The first panel that is wanted.
    from: usize,
    n: usize,
    m: usize,
    /// What the sums of each row begin with, if these are the first steps; else they are added to what is there.
    starts: &'a [S::Out],
}

type Kernel<S> = unsafe fn(&Block<S>, &mut [<S as Numbers>::Out]);

/// Numbers of N bytes, which `of_a` and `of_b` make of what is given, P panels and Q rows in registers; sums of a row begin with its
/// `start`. Without b rows of a are multiplied with themselves and later ones. Blocks of rows are shared out among threads, and so
/// is all that is not the kernel: at its rate a pass of one thread over `out` is a tenth of all.
#[allow(clippy::too_many_arguments)]
fn product<S: Numbers, T: Copy + Sync, const N: usize, const P: usize, const Q: usize>(
    a: &[T],
    b: Option<&[T]>,
    of_a: impl Fn(T) -> u32 + Copy + Sync,
    of_b: impl Fn(T) -> u32 + Copy + Sync,
    Shape { n, d, m }: Shape,
    out: &mut [S::Out],
    threads: usize,
    start: impl Fn(&[T]) -> S::Out + Copy + Sync,
    kernel: Kernel<S>,
) {
    if n == 0 || m == 0 || d == 0 {
        return out.fill(start(&[]));
    }
    let (stretch, most_rows) = const { steps_and_rows(P) };
    let each = 4 / N; // numbers a step
    let steps = d.div_ceil(each).next_multiple_of(if S::IN_TILES { TILE } else { 1 });
    let panels = m.div_ceil(P * LANES) * P;
    // What is no number of b may be anything: there a is zero, or no column of `out`.
    let mut packed = mapped(steps * panels * 64).expect("there is memory");
    let stretches = packed.chunks_mut(stretch * panels * 64).zip((0..).step_by(stretch * each));
    let pieces = stretches.flat_map(|(to, first)| {
        let steps = to.len() / (panels * 64);
        (0..)
            .step_by(TOGETHER)
            .zip(to.chunks_mut(TOGETHER * steps * 64))
            .map(move |(panel, to)| (first, steps, panel, to))
    });
    share(threads, pieces, |(first, steps, panel, to)| match b {
        Some(b) => pack_columns::<T, N>(b, of_b, m, first, steps, panel, to),
        None => pack_own(a, of_b, d, first, steps, panel, to),
    });
    let packed = &packed[..];
    let rows = n.div_ceil(BLOCKS * threads).next_multiple_of(Q).min(most_rows);
    let blocks = (0..).step_by(rows).zip(a.chunks(rows * d)).zip(out.chunks_mut(rows * m));
    share(threads, blocks, |((row, a), out)| {
        let from = if b.is_none() { row / LANES / P * P } else { 0 };
        let (starts, mut packed_rows): (Vec<_>, _) = (a.chunks(d).map(start).collect(), Vec::new());
        for (first, panels) in (0..).step_by(stretch).zip(packed.chunks(stretch * panels * 64)) {
            let steps = stretch.min(steps - first);
            pack_rows::<S, T, N, Q>(a, of_a, d, first * each, steps, &mut packed_rows);
            let starts = if first == 0 { &starts[..] } else { &[] };
            let block = Block { rows: &packed_rows, panels, steps, from, n: out.len() / m, m, starts };
            // SAFETY: the caller chose a kernel that the processor can run; the layout is that of the packing.
            unsafe { kernel(&block, out) };
        }
    });
}

/// Panels that are packed together, so that rows, which may be a page apart, are read in long runs.
const TOGETHER: usize = 32;

/// Rows of b from the `first` on for so many steps, as panels from one on.
fn pack_columns<T: Copy, const N: usize>(
    b: &[T],
    of: impl Fn(T) -> u32 + Copy,
    m: usize,
    first: usize,
    steps: usize,
    panel: usize,
    to: &mut [u8],
) {
    for (step, rows) in b[first * m..].chunks(4 / N * m).take(steps).enumerate() {
        for (panel, to) in (panel..m.div_ceil(LANES)).zip(to.chunks_mut(steps * 64)) {
            let columns = panel * LANES..m.min((panel + 1) * LANES);
            pack_step::<T, N>(rows, of, m, columns, &mut to[step * 64..][..64]);
        }
    }
}

/// Rows of a as columns, numbers from the `first` on for so many steps of one number each, as panels from one on.
fn pack_own<T: Copy>(
    a: &[T],
    of: impl Fn(T) -> u32,
    width: usize,
    first: usize,
    steps: usize,
    panel: usize,
    to: &mut [u8],
) {
    for (rows, to) in a[panel * LANES * width..].chunks(LANES * width).zip(to.chunks_mut(steps * 64)) {
        for (step, to) in to.as_chunks_mut::<64>().0.iter_mut().enumerate() {
            for (number, to) in rows[first + step..].iter().step_by(width).zip(to.as_chunks_mut::<4>().0) {
                *to = of(*number).to_le_bytes();
            }
        }
    }
}

/// Some columns of the rows of a step, of which there may be fewer than it takes: a word for each, in it a number for each row.
#[inline(always)]
fn pack_step<T: Copy, const N: usize>(
    rows: &[T],
    of: impl Fn(T) -> u32,
    width: usize,
    columns: Range<usize>,
    to: &mut [u8],
) {
    let mut packed = [0u32; LANES];
    if columns.len() == LANES && rows.len() * N == 4 * width {
        // Loops of known lengths, for compilers to make vectors of.
        for i in 0..4 / N {
            for (word, &number) in packed.iter_mut().zip(&rows[i * width + columns.start..][..LANES]) {
                *word |= of(number) << (8 * N * i);
            }
        }
    } else {
        for (i, row) in rows.chunks_exact(width).enumerate() {
            for (word, &number) in packed.iter_mut().zip(&row[columns.clone()]) {
                *word |= of(number) << (8 * N * i);
            }
        }
    }
    to.as_chunks_mut::<4>().0.iter_mut().zip(packed).for_each(|(to, word)| *to = word.to_le_bytes());
}

/// Rows of a, `width` numbers each, from the `first` on for so many steps, past a row's end zeros. What is no row may be anything.
fn pack_rows<S: Numbers, T: Copy, const N: usize, const Q: usize>(
    a: &[T],
    of: impl Fn(T) -> u32,
    width: usize,
    first: usize,
    steps: usize,
    packed: &mut Vec<S::Packed>,
) {
    let (n, each, len) = (a.len() / width, 4 / N, (width - first).min(4 / N * steps));
    packed.resize(n.next_multiple_of(Q) * steps, S::pack([0; 4]));
    let word = |numbers: &[T]| {
        S::pack(numbers.iter().rfold(0, |word, &number| word << (8 * N % 32) | of(number)).to_le_bytes())
    };
    let whole = len / each;
    for (group, to) in packed.chunks_exact_mut(Q * steps).enumerate() {
        let rows: [&[T]; Q] = std::array::from_fn(|q| &a[(group * Q + q).min(n - 1) * width + first..][..len]);
        if S::IN_TILES {
            for (tile, to) in to.chunks_exact_mut(Q * TILE).enumerate() {
                for (row, to) in rows.iter().zip(to.chunks_exact_mut(TILE)) {
                    let numbers = &row[(tile * TILE * each).min(len)..((tile + 1) * TILE * each).min(len)];
                    to.fill(S::pack([0; 4]));
                    to.iter_mut().zip(numbers.chunks(each)).for_each(|(to, numbers)| *to = word(numbers));
                }
            }
        } else {
            for (step, to) in to.as_chunks_mut::<Q>().0.iter_mut().enumerate() {
                for (to, row) in to.iter_mut().zip(rows) {
                    *to = if step < whole { word(&row[each * step..][..each]) } else { word(&row[each * step..]) };
                }
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,avx512vnni,avx2,fma,bmi2")]
unsafe fn int8_avx512(of: &Block<Avx512>, out: &mut [i32]) {
    unsafe { block::<Avx512, 4, 6>(of, out) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,bmi2")]
unsafe fn words_avx2(of: &Block<Avx2Words>, out: &mut [i32]) {
    unsafe { block::<Avx2Words, 1, 6>(of, out) }
}

#[cfg(target_arch = "aarch64")]
#[target_feature(enable = "neon,dotprod")]
unsafe fn int8_neon(of: &Block<Neon>, out: &mut [i32]) {
    unsafe { block::<Neon, 1, 6>(of, out) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,avx512bf16,avx2,fma,bmi2")]
unsafe fn half_avx512(of: &Block<Avx512Half>, out: &mut [f32]) {
    unsafe { block::<Avx512Half, 4, 6>(of, out) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512dq,avx2,fma,bmi2")]
unsafe fn floats_avx512(of: &Block<Floats<Avx512>>, out: &mut [f32]) {
    unsafe { block::<Floats<Avx512>, 4, 6>(of, out) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,bmi2")]
unsafe fn floats_avx2(of: &Block<Floats<Avx2>>, out: &mut [f32]) {
    unsafe { block::<Floats<Avx2>, 1, 6>(of, out) }
}

#[cfg(target_arch = "aarch64")]
#[target_feature(enable = "neon")]
unsafe fn floats_neon(of: &Block<Floats<Neon>>, out: &mut [f32]) {
    unsafe { block::<Floats<Neon>, 1, 6>(of, out) }
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
#[target_feature(enable = "avx512f,avx512dq,avx2,fma,bmi2")]
unsafe fn tiles_amx<S: Tiles>(of: &Block<S>, out: &mut [S::Out]) {
    let _unit = Unit::new(matrix_product(Level::Avx512));
    // SAFETY: the unit is set up; the caller's.
    unsafe { block_of_tiles(of, out) }
}

/// The same by a matrix unit.
#[cfg(any(test, all(target_arch = "x86_64", target_os = "linux")))]
#[inline(always)]
unsafe fn block_of_tiles<S: Tiles>(of: &Block<S>, out: &mut [S::Out]) {
    let Block { rows, panels, steps, from, n, m, starts } = *of;
    let mut sums = TileSums([[[[S::Out::default(); LANES]; MATRIX_ROWS]; 2]; 2]);
    for panel in (from..m.div_ceil(LANES)).step_by(2) {
        for group in (0..n).step_by(2 * MATRIX_ROWS) {
            // SAFETY: the layout is that of `product`.
            unsafe {
                let at = [0, 1].map(|p| panels.as_ptr().add((panel + p) * steps * 64));
                S::multiply(rows.as_ptr().add(group * steps).cast(), at, steps / TILE, &mut sums);
            }
            for (i, out) in out[group * m..].chunks_exact_mut(m).take(2 * MATRIX_ROWS).enumerate() {
                for (p, out) in out[panel * LANES..].chunks_mut(LANES).take(2).enumerate() {
                    let sums = &sums.0[i / MATRIX_ROWS][p][i % MATRIX_ROWS];
                    if let Some(&start) = starts.get(group + i) {
                        out.fill(start);
                    }
                    out.iter_mut().zip(sums).for_each(|(out, &sum)| *out = S::add(*out, sum));
                }
            }
        }
    }
}

#[inline(always)]
unsafe fn block<S: Narrow, const P: usize, const Q: usize>(of: &Block<S>, out: &mut [S::Out]) {
    let Block { rows, panels, steps, from, n, m, starts } = *of;
    let stride = steps * 64;
    let part = (P * steps).div_ceil(n.div_ceil(Q)) * 64; // of the panels that come next, at each group of rows
    for panel in (from..m.div_ceil(LANES)).step_by(P) {
        for group in (0..n).step_by(Q) {
            // SAFETY: the layout is that of `product`.
            unsafe {
                let (first, row) = (panels.as_ptr().add(panel * stride), rows.as_ptr().add(group * steps));
                // What the sums will be added to, meanwhile.
                for (i, p) in (0..Q).flat_map(|i| (0..P).map(move |p| (i, p))) {
                    prefetch_for_writing(out.as_ptr().wrapping_add((group + i) * m + (panel + p) * LANES));
                }
                for at in (0..part).step_by(64) {
                    prefetch_far(first.wrapping_add(P * stride + group / Q * part + at));
                }
                let sums = multiply::<S, P, Q>(first, row, steps);
                let whole = group + Q <= n && (panel + P) * LANES <= m;
                for (i, p) in (0..Q).flat_map(|i| (0..P).map(move |p| (i, p))) {
                    let (row, first) = (group + i, (panel + p) * LANES);
                    if whole {
                        // Apart from the rest, so that sums go from registers to `out`.
                        add::<S>(&mut *out.as_mut_ptr().add(row * m + first).cast(), starts.get(row), sums[i][p]);
                    } else if row < n && first < m {
                        let to = &mut out[row * m + first..row * m + m.min(first + LANES)];
                        let mut some = [S::Out::default(); LANES];
                        some[..to.len()].copy_from_slice(to);
                        add::<S>(&mut some, starts.get(row), sums[i][p]);
                        to.copy_from_slice(&some[..to.len()]);
                    }
                }
            }
        }
    }
}

/// Add sums to what they start with, or to what is there.
#[inline(always)]
unsafe fn add<S: Narrow>(out: &mut [S::Out; LANES], start: Option<&S::Out>, sums: S::Sums) {
    if let Some(&start) = start {
        *out = [start; LANES];
    }
    // SAFETY: the caller's.
    unsafe { S::add_to(out, sums) }
}

/// Sums of P panels and Q rows over so many steps. By value: by reference one was stored at each step.
#[inline(always)]
unsafe fn multiply<S: Narrow, const P: usize, const Q: usize>(
    panels: *const u8,
    rows: *const S::Packed,
    steps: usize,
) -> [[S::Sums; P]; Q] {
    // SAFETY: the caller's.
    unsafe {
        let mut sums = [[S::zero(); P]; Q];
        let (mut at, mut row) = (panels, rows);
        for _ in 0..steps {
            let mut keys = [S::keys(at); P];
            for (p, keys) in keys.iter_mut().enumerate().skip(1) {
                *keys = S::keys(at.add(p * steps * 64));
            }
            for (q, sums) in sums.iter_mut().enumerate() {
                let query = S::query(row.add(q));
                for (sum, &keys) in sums.iter_mut().zip(&keys) {
                    *sum = S::dot(*sum, keys, query);
                }
            }
            (at, row) = (at.add(64), row.add(Q));
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Rng;
    use crate::simd::PlainTiles;

    const SHAPES: [(usize, usize, usize); 6] =
        [(1, 1, 1), (7, 5, 17), (6, 4, 64), (13, 600, 70), (200, 1030, 65), (395, 33, 130)];

    #[test]
    fn products_of_codes_are_exact_on_every_version() {
        for (n, d, m) in SHAPES {
            let mut random = Rng::new(3, 0);
            let mut codes = |size: usize| -> Vec<i8> {
                (0..size).map(|i| if i % 7 == 0 { -128 } else { random.bits() as i8 }).collect()
            };
            let (a, b) = (codes(n * d), codes(d * m));
            let mut plain = vec![0; n * m];
            for i in 0..n {
                for k in 0..d {
                    for j in 0..m {
                        plain[i * m + j] += i32::from(a[i * d + k]) * i32::from(b[k * m + j]);
                    }
                }
            }
            for level in Level::ALL.into_iter().filter(|level| level.available()) {
                for threads in [1, 3] {
                    let mut out = vec![77; n * m];
                    int8(&a, &b, Shape { n, d, m }, &mut out, threads, level);
                    assert_eq!(out, plain, "{} {n} {d} {m} {threads}", level.name());
                }
            }
            let (mut out, word) = (vec![77; n * m], |code: i8| u32::from(code as u8));
            let kernel = block_of_tiles::<PlainTiles>;
            product::<PlainTiles, _, 1, 2, 32>(&a, Some(&b), word, word, Shape { n, d, m }, &mut out, 2, |_| 0, kernel);
            assert_eq!(out, plain, "tiles {n} {d} {m}");
        }
    }

    #[test]
    fn products_of_bfloat16_are_those_of_float64_on_every_version() {
        for (n, d, m) in SHAPES {
            let mut random = Rng::new(4, 0);
            let mut halves = |size: usize| -> Vec<u16> {
                (0..size)
                    .map(|_| ((random.bits() % 2000) as f32 / 1000.0 - 1.0).to_bits().wrapping_shr(16) as u16)
                    .collect()
            };
            let (a, b) = (halves(n * d), halves(d * m));
            let wide = |half: u16| f64::from(f32::from_bits(u32::from(half) << 16));
            for level in Level::ALL.into_iter().filter(|level| level.available()) {
                let mut out = vec![7.0; n * m];
                bfloat16(&a, &b, Shape { n, d, m }, &mut out, 2, level);
                for i in 0..n {
                    for j in 0..m {
                        let plain: f64 = (0..d).map(|k| wide(a[i * d + k]) * wide(b[k * m + j])).sum();
                        // d sums of products below 1, in float32
                        let error = (f64::from(out[i * m + j]) - plain).abs();
                        assert!(error <= f64::from(f32::EPSILON) * (d * d) as f64, "{}: {error}", level.name());
                    }
                }
            }
        }
    }

    #[test]
    fn products_of_rows_with_later_ones_are_those_of_float64_on_every_version() {
        for (n, d) in [(1, 1), (17, 5), (64, 4), (200, 600), (395, 33)] {
            let mut random = Rng::new(5, 0);
            let rows: Vec<f32> = (0..n * d).map(|_| random.unit() - 0.5).collect();
            for level in Level::ALL.into_iter().filter(|level| level.available()) {
                let mut out = vec![f32::NAN; n * n];
                own(&rows, d, &mut out, 2, level);
                for (i, a) in rows.chunks(d).enumerate() {
                    for (j, b) in rows.chunks(d).enumerate().skip(i) {
                        let plain: f64 = a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
                        let error = (f64::from(out[i * n + j]) - plain).abs();
                        assert!(error <= f64::from(f32::EPSILON) * d as f64, "{} {i} {j}: {error}", level.name());
                    }
                }
            }
        }
    }
}
