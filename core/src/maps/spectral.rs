//! Where to start: the smoothest functions on a graph, eigenvectors of its normalised Laplacian.

use super::PART;
use super::sparse::Sparse;
use crate::simd::{Level, prefetch};
use rayon::prelude::*;

/// Edges ahead whose other end is asked for: rows lie in memory as they come.
const AHEAD: usize = 32;
/// Vectors at a time: those that are wanted, and more, which hasten convergence.
pub const WIDTH: usize = 8;

/// A number of each vector: in one cache line.
#[derive(Clone, Copy, Default)]
#[repr(align(32))]
struct Row([f32; WIDTH]);

/// D^(-1/2) A D^(-1/2) of a graph, whose eigenvalues lie in -1..1.
pub struct Walk<'a> {
    graph: &'a Sparse,
    scale: Vec<f32>, // 1 / sqrt(degree)
    level: Level,
}

impl Walk<'_> {
    /// Of a graph whose rows are not empty.
    pub fn new(graph: &Sparse, level: Level) -> Walk<'_> {
        let degree = |row| graph.row(row).1.iter().map(|&w| f64::from(w)).sum::<f64>();
        let scale = (0..graph.len()).map(|row| degree(row).sqrt().recip() as f32).collect();
        Walk { graph, scale, level }
    }

    /// sqrt(degree), the eigenvector of 1.
    pub fn first(&self) -> Vec<f32> {
        self.scale.iter().map(|scale| scale.recip()).collect()
    }

    /// out = by * (D^(-1) A x - shift * x) - out
    fn product(&self, x: &[Row], out: &mut [Row], by: f32, shift: f32) {
        out.par_chunks_mut(PART).enumerate().for_each(|(part, out)| match self.level {
            // SAFETY: the level is one that the processor has.
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 | Level::Avx2 => unsafe { rows_avx2(self, x, part * PART, out, by, shift) },
            _ => rows(self, x, part * PART, out, by, shift),
        });
    }

    /// Rows of D^(-1/2) x, which stand for those of x in products, so that no sum asks for others' degrees.
    fn scaled(&self, x: &[f32]) -> Vec<Row> {
        let rows = x.as_chunks::<WIDTH>().0.iter().zip(&self.scale);
        rows.map(|(row, &scale)| Row(row.map(|x| x * scale))).collect()
    }

    /// And back.
    fn unscaled(&self, x: &[Row]) -> Vec<f32> {
        x.iter().zip(&self.scale).flat_map(|(row, &scale)| row.0.map(|x| x * scale.recip())).collect()
    }

    /// S x
    pub fn times(&self, x: &[f32]) -> Vec<f32> {
        let mut out = vec![Row::default(); self.graph.len()];
        self.product(&self.scaled(x), &mut out, 1.0, 0.0);
        self.unscaled(&out)
    }

    /// Apply the Chebyshev polynomial that is within -1..1 for eigenvalues in -1..cut, and grows fast above it.
    pub fn filter(&self, x: &[f32], degree: usize, cut: f32) -> Vec<f32> {
        let (half, middle) = ((cut + 1.0) / 2.0, (cut - 1.0) / 2.0);
        let (mut x, mut next) = (self.scaled(x), vec![Row::default(); self.graph.len()]);
        self.product(&x, &mut next, 1.0 / half, middle);
        for _ in 1..degree {
            self.product(&next, &mut x, 2.0 / half, middle);
            std::mem::swap(&mut x, &mut next);
        }
        self.unscaled(&next)
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn rows_avx2(walk: &Walk, x: &[Row], first: usize, out: &mut [Row], by: f32, shift: f32) {
    rows(walk, x, first, out, by, shift);
}

/// Some rows of a product.
#[inline(always)]
fn rows(walk: &Walk, x: &[Row], first: usize, out: &mut [Row], by: f32, shift: f32) {
    let Sparse { starts, columns, weights } = walk.graph;
    let add = |mut sum: [f32; WIDTH], at: usize| {
        if let Some(&later) = columns.get(at + AHEAD) {
            prefetch(&raw const x[later as usize]);
        }
        let (other, weight) = (&x[columns[at] as usize].0, weights[at]);
        for i in 0..WIDTH {
            sum[i] += weight * other[i];
        }
        sum
    };
    for (row, out) in (first..).zip(out) {
        // Two sums, of which one does not wait for the other.
        let (mut one, mut two) = ([0f32; WIDTH], [0f32; WIDTH]);
        let (mut at, end) = (starts[row], starts[row + 1]);
        while at + 1 < end {
            (one, two) = (add(one, at), add(two, at + 1));
            at += 2;
        }
        if at < end {
            one = add(one, at);
        }
        let (own, scale) = (&x[row].0, walk.scale[row] * walk.scale[row]);
        for i in 0..WIDTH {
            out.0[i] = by * (scale * (one[i] + two[i]) - shift * own[i]) - out.0[i];
        }
    }
}
