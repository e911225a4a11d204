//! UMAP's layout (McInnes, Healy and Melville 2018, section 3.2): edges of the graph pull points together, samples of all
//! points push them apart.

use super::PART;
use super::sparse::Sparse;
use crate::random::Rng;
use rayon::prelude::*;
use std::sync::Arc;
use std::time::Instant;

const FURTHEST_STEP: f32 = 4.0; // umap-learn's clip, of a gradient's coordinate
const WAVES: usize = 16; // of rows in an epoch; with one alone, the cross entropy of 70,000 words is 6% worse
const NEAR: f64 = 1e-3; // umap-learn's, so that points that coincide are not pushed infinitely

/// A smooth function of a positive number as straight pieces, 32 an octave.
///
/// The forces fall no faster than x^-2, so that their second derivative is at most 6 f / x^2, and a piece that is x / 32 long is
/// within 6 / (8 * 32^2) of f: 7.3e-4, far below what the sampling varies by.
struct Curve(Vec<[f32; 2]>);

impl Curve {
    const PIECES_LOG2: u32 = 5;
    const LOWEST: f32 = 1.0 / (1 << 24) as f32; // numbers below it count as it
    const OCTAVES: usize = 44;
    const HIGHEST: f32 = 1_048_575.0; // below 2^44 times the lowest; and numbers above it as it

    fn new(f: impl Fn(f64) -> f64) -> Curve {
        let pieces = 1usize << Self::PIECES_LOG2;
        let knot = |i: usize| {
            f64::from(Self::LOWEST) * 2f64.powi((i / pieces) as i32) * (1.0 + (i % pieces) as f64 / pieces as f64)
        };
        let piece = |i| {
            let (x, y) = (knot(i), knot(i + 1));
            let slope = (f(y) - f(x)) / (y - x);
            [(f(x) - slope * x) as f32, slope as f32]
        };
        Curve((0..Self::OCTAVES * pieces).map(piece).collect())
    }

    #[inline(always)]
    fn at(&self, x: f32) -> f32 {
        let x = x.clamp(Self::LOWEST, Self::HIGHEST);
        let i = ((x.to_bits() - Self::LOWEST.to_bits()) >> (f32::MANTISSA_DIGITS - 1 - Self::PIECES_LOG2)) as usize;
        let [base, slope] = self.0[i.min(self.0.len() - 1)];
        base + slope * x
    }
}

/// How a layout is made.
#[derive(Clone, Copy)]
pub struct Options {
    pub a: f64,
    pub b: f64,
    pub rate: f32,
    pub epochs: u32,
    pub negatives: usize,
    pub seed: u64,
}

/// Points on their way.
pub struct Layout {
    options: Options,
    graph: Arc<Sparse>,
    /// In what share of the epochs an edge pulls, in 2^-32.
    shares: Vec<u32>,
    points: Vec<f32>,
    next: Vec<f32>,
    /// Where the graph's columns are, if they stay there; else they are the points.
    fixed: Option<Vec<f32>>,
    dims: usize,
    epoch: u32,
    pull: Curve,
    push: Curve,
}

impl Layout {
    /// Points at the beginning of an epoch.
    pub fn new(
        graph: Arc<Sparse>,
        points: Vec<f32>,
        fixed: Option<Vec<f32>>,
        dims: usize,
        epoch: u32,
        options: Options,
    ) -> Layout {
        let most = graph.weights.iter().copied().fold(f32::MIN_POSITIVE, f32::max);
        let share = |&w: &f32| (f64::from(w / most) * f64::from(u32::MAX)) as u32;
        let (a, b) = (options.a, options.b);
        Layout {
            shares: graph.weights.iter().map(share).collect(),
            next: points.clone(),
            pull: Curve::new(|x| 2.0 * a * b * x.powf(b - 1.0) / (1.0 + a * x.powf(b))),
            push: Curve::new(|x| 2.0 * b / ((NEAR + x) * (1.0 + a * x.powf(b)))),
            options,
            graph,
            points,
            fixed,
            dims,
            epoch,
        }
    }

    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    pub fn points(&self) -> &[f32] {
        &self.points
    }

    /// Go on until the deadline or the last epoch's end, at least by one epoch.
    pub fn run(&mut self, deadline: Instant) {
        while self.epoch < self.options.epochs {
            match self.dims {
                2 => self.run_epoch::<2>(),
                _ => self.run_epoch::<3>(),
            }
            self.epoch += 1;
            if Instant::now() >= deadline {
                break;
            }
        }
    }

    /// The cross entropy of the graph's weights and those of the map, a point; the mean of so many rows that about `pairs`
    /// pairs are looked at.
    pub fn cross_entropy(&self, pairs: usize) -> f64 {
        match self.dims {
            2 => self.entropy_of::<2>(pairs),
            _ => self.entropy_of::<3>(pairs),
        }
    }

    fn entropy_of<const D: usize>(&self, pairs: usize) -> f64 {
        let points = self.points.as_chunks::<D>().0;
        let others = self.fixed.as_ref().map_or(points, |fixed| fixed.as_chunks().0);
        let rows = (pairs / others.len()).clamp(1, points.len());
        let odds = |a: &[f32; D], b: &[f32; D]| {
            self.options.a as f32 * (squared(a, b) + NEAR as f32).powf(self.options.b as f32)
        };
        let sums: Vec<f64> = (0..rows)
            .into_par_iter()
            .map(|i| {
                let row = i * points.len() / rows;
                // Of a pair with the odds x against it: -ln(x / (1 + x)) if it is no edge.
                let apart = |x: f32| f64::from((1.0 / x).ln_1p());
                let all: f64 = others.iter().map(|other| apart(odds(&points[row], other))).sum();
                let own = if self.fixed.is_some() { 0.0 } else { apart(odds(&points[row], &points[row])) };
                let (columns, weights) = self.graph.row(row);
                let edges = columns.iter().zip(weights).map(|(&column, &w)| {
                    let (x, w) = (odds(&points[row], &others[column as usize]), f64::from(w));
                    let entropy = |w: f64| if w > 0.0 { w * w.ln() } else { 0.0 };
                    entropy(w) + entropy(1.0 - w) + w * (f64::from(x.ln_1p()) - apart(x))
                });
                all - own + edges.sum::<f64>()
            })
            .collect();
        sums.iter().sum::<f64>() / rows as f64
    }

    /// Move all points, some rows at a time: each sees where those before it have moved, and not those beside it.
    fn run_epoch<const D: usize>(&mut self) {
        let mut points = std::mem::take(&mut self.points);
        let mut next = std::mem::take(&mut self.next);
        let n = points.len() / D;
        let wave = n.div_ceil(WAVES).max(1);
        for start in (0..n).step_by(wave) {
            let rows = start..(start + wave).min(n);
            let (own, moved) = (points.as_chunks::<D>().0, &mut next[..rows.len() * D]);
            moved.as_chunks_mut::<D>().0.par_chunks_mut(PART).enumerate().for_each(|(part, out)| {
                for (row, out) in (rows.start + part * PART..).zip(out) {
                    *out = match &self.fixed {
                        None => self.moved::<D, true>(row, own[row], own),
                        Some(fixed) => self.moved::<D, false>(row, own[row], fixed.as_chunks::<D>().0),
                    };
                }
            });
            points[rows.start * D..rows.end * D].copy_from_slice(moved);
        }
        (self.points, self.next) = (points, next);
    }

    /// Where a point moves in this epoch.
    #[inline(always)]
    fn moved<const D: usize, const MUTUAL: bool>(&self, row: usize, mut at: [f32; D], others: &[[f32; D]]) -> [f32; D] {
        let options = &self.options;
        let rate = options.rate * (1.0 - self.epoch as f32 / options.epochs as f32);
        let mut rng = Rng::new(options.seed ^ (u64::from(self.epoch) << 32), row as u64);
        for edge in self.graph.starts[row]..self.graph.starts[row + 1] {
            let share = self.shares[edge];
            if self.epoch.wrapping_mul(share) >= share {
                continue;
            }
            // Where both ends move, each edge stands in the graph twice, and moves both each time: their second move starts
            // where the first took them. Once twice as far instead, and near points leap over each other and drift apart.
            let mut other = others[self.graph.columns[edge] as usize];
            for _ in 0..if MUTUAL { 2 } else { 1 } {
                let by = self.pull.at(squared(&at, &other));
                for i in 0..D {
                    let step = rate * (by * (at[i] - other[i])).clamp(-FURTHEST_STEP, FURTHEST_STEP);
                    at[i] -= step;
                    if MUTUAL {
                        other[i] += step;
                    }
                }
            }
            let (here, mut bits) = (at, 0); // pushes do not wait for each other
            for negative in 0..options.negatives {
                bits = if negative % 2 == 0 { rng.bits() } else { bits >> 32 };
                let other = &others[((u64::from(bits as u32) * others.len() as u64) >> 32) as usize];
                let by = self.push.at(squared(&here, other));
                (0..D).for_each(|i| at[i] += rate * (by * (here[i] - other[i])).clamp(-FURTHEST_STEP, FURTHEST_STEP));
            }
        }
        at
    }
}

#[inline(always)]
fn squared<const D: usize>(a: &[f32; D], b: &[f32; D]) -> f32 {
    (0..D).map(|i| (a[i] - b[i]) * (a[i] - b[i])).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_near_the_curve() {
        let (a, b) = (1.577, 0.895);
        let pull = |x: f64| 2.0 * a * b * x.powf(b - 1.0) / (1.0 + a * x.powf(b));
        let push = |x: f64| 2.0 * b / ((NEAR + x) * (1.0 + a * x.powf(b)));
        for f in [&pull as &dyn Fn(f64) -> f64, &push] {
            let curve = Curve::new(f);
            for i in -2400..2000 {
                let x = 2f32.powf(i as f32 / 100.0 + 0.003);
                let error = f64::from(curve.at(x)) / f(f64::from(x)) - 1.0;
                assert!(error.abs() < 8e-4, "{x}: {error}"); // as said above, and float32
            }
            assert_eq!(curve.at(0.0), curve.at(Curve::LOWEST));
            assert_eq!(curve.at(1e30), curve.at(Curve::HIGHEST));
        }
    }
}
