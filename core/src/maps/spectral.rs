//! Where to start: the smoothest functions on a graph, eigenvectors of its normalised Laplacian.

use super::PART;
use super::sparse::Sparse;
use crate::simd::prefetch;
use rayon::prelude::*;

/// Edges ahead whose other end is asked for: rows lie in memory as they come.
const AHEAD: usize = 32;
/// Vectors at a time: those that are wanted, and more, which hasten convergence.
pub const WIDTH: usize = 8;
type Row = [f32; WIDTH];

/// D^(-1/2) A D^(-1/2) of a graph, whose eigenvalues lie in -1..1.
pub struct Walk<'a> {
    graph: &'a Sparse,
    scale: Vec<f32>, // 1 / sqrt(degree)
}

impl Walk<'_> {
    /// Of a graph whose rows are not empty.
    pub fn new(graph: &Sparse) -> Walk<'_> {
        let degree = |row| graph.row(row).1.iter().map(|&w| f64::from(w)).sum::<f64>();
        let scale = (0..graph.len()).map(|row| degree(row).sqrt().recip() as f32).collect();
        Walk { graph, scale }
    }

    /// sqrt(degree), the eigenvector of 1.
    pub fn first(&self) -> Vec<f32> {
        self.scale.iter().map(|scale| scale.recip()).collect()
    }

    /// out = by * (D^(-1) A x - shift * x) - out
    fn product(&self, x: &[Row], out: &mut [Row], by: f32, shift: f32) {
        let Sparse { starts, columns, weights } = self.graph;
        out.par_chunks_mut(PART).enumerate().for_each(|(part, out)| {
            for (row, out) in (part * PART..).zip(out) {
                let mut sum = [0f32; WIDTH];
                for at in starts[row]..starts[row + 1] {
                    if let Some(&later) = columns.get(at + AHEAD) {
                        prefetch(&raw const x[later as usize]);
                    }
                    let (other, weight) = (&x[columns[at] as usize], weights[at]);
                    (0..WIDTH).for_each(|i| sum[i] += weight * other[i]);
                }
                let (own, scale) = (&x[row], self.scale[row] * self.scale[row]);
                (0..WIDTH).for_each(|i| out[i] = by * (scale * sum[i] - shift * own[i]) - out[i]);
            }
        });
    }

    /// Rows of x times numbers made of 1 / sqrt(degree): in products D^(-1/2) x stands for x, so that no sum asks for others' degrees.
    fn scaled(&self, x: &mut [f32], by: fn(f32) -> f32) {
        let rows = x.as_chunks_mut::<WIDTH>().0.iter_mut().zip(&self.scale);
        rows.for_each(|(row, &scale)| row.iter_mut().for_each(|x| *x *= by(scale)));
    }

    /// S x
    pub fn times(&self, mut x: Vec<f32>) -> Vec<f32> {
        let mut out = vec![0.0; x.len()];
        self.scaled(&mut x, |scale| scale);
        self.product(x.as_chunks().0, out.as_chunks_mut().0, 1.0, 0.0);
        self.scaled(&mut out, f32::recip);
        out
    }

    /// Apply the Chebyshev polynomial that is within -1..1 for eigenvalues in -1..cut, and grows fast above it.
    pub fn filter(&self, x: &mut Vec<f32>, degree: usize, cut: f32) {
        let (half, middle) = ((cut + 1.0) / 2.0, (cut - 1.0) / 2.0);
        let mut next = vec![0.0; x.len()];
        self.scaled(x, |scale| scale);
        self.product(x.as_chunks().0, next.as_chunks_mut().0, 1.0 / half, middle);
        for _ in 1..degree {
            self.product(next.as_chunks().0, x.as_chunks_mut().0, 2.0 / half, middle);
            std::mem::swap(x, &mut next);
        }
        *x = next;
        self.scaled(x, f32::recip);
    }
}
