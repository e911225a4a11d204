//! Repulsion in two dimensions by interpolation on a grid (FIt-SNE: Linderman, Rachh, Hoskins, Steinerberger and Kluger 2019).
//!
//! Points are spread onto the three nodes that a box has each way, the grid is convolved with the forces between nodes, and
//! points take what the nodes around them have. FIt-SNE convolves four charges a point with one kernel, and subtracts large
//! numbers from each other; here one charge is convolved with both coordinates of the force, which is half the work and can
//! be done in float32. The sum of all 1 / (1 + distance^2) comes from the spectrum alone (Parseval).

use rayon::prelude::*;
use realfft::num_complex::Complex;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};
use rustfft::{Fft, FftPlanner};
use std::sync::Arc;

type C = Complex<f32>;

const NODES: usize = 3; // of a box, each way: FIt-SNE's
const WIDEST: f32 = 1.0; // a box: FIt-SNE's
const FEWEST: usize = 50; // boxes each way: FIt-SNE's
const MARGIN: f32 = 1.15; // the grid over the points: it serves until they leave it,
const LOOSE: f32 = 0.7; // or fill less than this share of it

/// A grid over a square, and what convolves it.
pub struct Grid {
    low: [f32; 2],
    width: f32,  // of a box
    side: usize, // nodes each way
    forward: Arc<dyn RealToComplex<f32>>,
    backward: Arc<dyn ComplexToReal<f32>>,
    columns: Arc<dyn Fft<f32>>,
    columns_back: Arc<dyn Fft<f32>>,
    /// Spectra, column by column: of 1 / (1 + d^2), and the imaginary ones of the two coordinates of d / (1 + d^2)^2.
    kernels: Vec<[f32; 3]>,
    order: Vec<u32>, // points by their rows of boxes
    starts: Vec<usize>,
    nodes: Vec<f32>,
    lines: Vec<C>,
    spectrum: Vec<[C; 2]>,
    forces: Vec<[f32; 2]>,
}

/// A number of boxes, at least so many, for which the transforms are quick.
fn smooth(mut boxes: usize) -> usize {
    let rest = |mut n: usize| {
        for factor in [2, 3, 5] {
            while n.is_multiple_of(factor) {
                n /= factor;
            }
        }
        n
    };
    while rest(boxes) > 1 {
        boxes += 1;
    }
    boxes
}

fn bounds(points: &[[f32; 2]]) -> ([f32; 2], [f32; 2]) {
    let start = ([f32::INFINITY; 2], [f32::NEG_INFINITY; 2]);
    points.iter().fold(start, |(low, high), p| {
        (std::array::from_fn(|i| low[i].min(p[i])), std::array::from_fn(|i| high[i].max(p[i])))
    })
}

impl Grid {
    /// One for these points: the old one if it still fits.
    pub fn fit(old: Option<Grid>, points: &[[f32; 2]]) -> Grid {
        let (low, high) = bounds(points);
        let extent = (high[0] - low[0]).max(high[1] - low[1]).max(1e-6);
        if let Some(grid) = old {
            let length = grid.width * (grid.side / NODES) as f32;
            let inside = (0..2).all(|i| low[i] >= grid.low[i] && high[i] < grid.low[i] + length);
            if inside && extent > LOOSE * length {
                return grid;
            }
        }
        let length = extent * MARGIN;
        let boxes = smooth(((length / WIDEST).ceil() as usize).max(FEWEST));
        let middle = |i: usize| (low[i] + high[i]) / 2.0;
        Grid::new([middle(0) - length / 2.0, middle(1) - length / 2.0], length / boxes as f32, boxes)
    }

    fn new(low: [f32; 2], width: f32, boxes: usize) -> Grid {
        let (side, whole) = (boxes * NODES, 2 * boxes * NODES);
        let (mut real, mut complex) = (RealFftPlanner::new(), FftPlanner::new());
        let mut grid = Grid {
            low,
            width,
            side,
            forward: real.plan_fft_forward(whole),
            backward: real.plan_fft_inverse(whole),
            columns: complex.plan_fft_forward(whole),
            columns_back: complex.plan_fft_inverse(whole),
            kernels: Vec::new(),
            order: Vec::new(),
            starts: Vec::new(),
            nodes: vec![0.0; side * side],
            lines: vec![C::default(); side * (side + 1)],
            spectrum: vec![[C::default(); 2]; side * (side + 1)],
            forces: vec![[0.0; 2]; side * side],
        };
        let apart = |i: usize| {
            let steps = if i < side { i as f32 } else { i as f32 - whole as f32 };
            steps * width / NODES as f32
        };
        let scale = 1.0 / (whole * whole) as f32;
        let value = |which: usize, row: usize, column: usize| {
            let (x, y) = (apart(column), apart(row));
            let near = 1.0 / (1.0 + x * x + y * y);
            scale
                * match which {
                    0 => near,
                    _ if row == side || column == side => 0.0, // between -side and side: never used, and neither odd
                    1 => x * near * near,
                    _ => y * near * near,
                }
        };
        let mut kernels = vec![[0.0; 3]; (side + 1) * whole];
        for which in 0..3 {
            let mut rows = vec![C::default(); whole * (side + 1)];
            rows.par_chunks_mut(side + 1).enumerate().for_each(|(row, out)| {
                let mut line: Vec<f32> = (0..whole).map(|column| value(which, row, column)).collect();
                grid.forward.process(&mut line, out).expect("the lengths are those of the plan");
            });
            kernels.par_chunks_mut(whole).enumerate().for_each(|(column, out)| {
                let mut line: Vec<C> = (0..whole).map(|row| rows[row * (side + 1) + column]).collect();
                grid.columns.process(&mut line);
                out.iter_mut().zip(line).for_each(|(out, z)| out[which] = if which == 0 { z.re } else { z.im });
            });
        }
        grid.kernels = kernels;
        grid
    }

    /// Which box a coordinate is in, and the weights of its nodes there (Lagrange's polynomials).
    #[inline(always)]
    fn weights(&self, x: f32, axis: usize) -> (usize, [f32; NODES]) {
        let at = (x - self.low[axis]) / self.width;
        let own = (at as usize).min(self.side / NODES - 1);
        let t = (at - own as f32) * NODES as f32 - 0.5; // the nodes are at 0, 1, 2
        (own, [0.5 * (t - 1.0) * (t - 2.0), t * (2.0 - t), 0.5 * t * (t - 1.0)])
    }

    /// Sort points by their rows of boxes.
    fn sort(&mut self, points: &[[f32; 2]]) {
        let mut order = std::mem::take(&mut self.order);
        order.resize(points.len(), 0);
        let row = |p: &[f32; 2]| self.weights(p[1], 1).0;
        let mut ends = vec![0; self.side / NODES + 1];
        points.iter().for_each(|p| ends[row(p) + 1] += 1);
        (1..ends.len()).for_each(|i| ends[i] += ends[i - 1]);
        let starts = ends.clone();
        for (i, p) in points.iter().enumerate() {
            let end = &mut ends[row(p)];
            order[*end] = i as u32;
            *end += 1;
        }
        (self.order, self.starts) = (order, starts);
    }

    /// For each point the sum over all others of (its position - theirs) / (1 + d^2)^2; the sum over all pairs of 1 / (1 + d^2).
    pub fn repulsion(&mut self, points: &[[f32; 2]], out: &mut [[f32; 2]]) -> f64 {
        self.sort(points);
        let (side, whole, length) = (self.side, 2 * self.side, self.side + 1);
        let mut nodes = std::mem::take(&mut self.nodes);
        nodes.par_chunks_mut(NODES * side).enumerate().for_each(|(row, nodes)| {
            nodes.fill(0.0);
            for &i in &self.order[self.starts[row]..self.starts[row + 1]] {
                let p = points[i as usize];
                let ((column, across), (_, down)) = (self.weights(p[0], 0), self.weights(p[1], 1));
                for (r, down) in down.into_iter().enumerate() {
                    let nodes = &mut nodes[r * side + NODES * column..][..NODES];
                    nodes.iter_mut().zip(across).for_each(|(node, across)| *node += down * across);
                }
            }
        });
        let mut lines = std::mem::take(&mut self.lines);
        lines.par_chunks_mut(length).zip(nodes.par_chunks(side)).for_each_init(
            || (vec![0.0; whole], self.forward.make_scratch_vec()),
            |(line, scratch), (out, nodes)| {
                line[..side].copy_from_slice(nodes);
                line[side..].fill(0.0);
                self.forward.process_with_scratch(line, out, scratch).expect("the lengths are those of the plan");
            },
        );
        let mut spectrum = std::mem::take(&mut self.spectrum);
        let zs: Vec<f64> = spectrum
            .par_chunks_mut(side)
            .enumerate()
            .map_init(
                || {
                    (
                        vec![C::default(); whole],
                        vec![C::default(); whole],
                        vec![C::default(); self.columns.get_inplace_scratch_len()],
                    )
                },
                |(x, y, scratch), (column, out)| {
                    (0..side).for_each(|row| x[row] = lines[row * length + column]);
                    x[side..].fill(C::default());
                    self.columns.process_with_scratch(x, scratch);
                    let mut z = 0.0;
                    let kernels = &self.kernels[column * whole..][..whole];
                    for ((x, y), kernel) in x.iter_mut().zip(y.iter_mut()).zip(kernels) {
                        z += f64::from(x.norm_sqr() * kernel[0]);
                        *y = C::new(-x.im * kernel[2], x.re * kernel[2]);
                        *x = C::new(-x.im * kernel[1], x.re * kernel[1]);
                    }
                    self.columns_back.process_with_scratch(x, scratch);
                    self.columns_back.process_with_scratch(y, scratch);
                    out.iter_mut().zip(x.iter().zip(y.iter())).for_each(|(out, (&x, &y))| *out = [x, y]);
                    if column == 0 || column == side { z } else { 2.0 * z }
                },
            )
            .collect();
        let mut forces = std::mem::take(&mut self.forces);
        forces.par_chunks_mut(side).enumerate().for_each_init(
            || (vec![C::default(); length], vec![0.0; whole], self.backward.make_scratch_vec()),
            |(line, found, scratch), (row, out)| {
                for axis in 0..2 {
                    (0..length).for_each(|column| line[column] = spectrum[column * side + row][axis]);
                    (line[0].im, line[side].im) = (0.0, 0.0); // rounding; the transform insists
                    self.backward
                        .process_with_scratch(line, found, scratch)
                        .expect("the lengths are those of the plan");
                    out.iter_mut().zip(found.iter()).for_each(|(out, &x)| out[axis] = x);
                }
            },
        );
        out.par_iter_mut().zip(points).with_min_len(super::PART).for_each(|(out, p)| {
            let ((column, across), (row, down)) = (self.weights(p[0], 0), self.weights(p[1], 1));
            *out = [0.0; 2];
            for (r, down) in down.into_iter().enumerate() {
                let nodes = &forces[(NODES * row + r) * side + NODES * column..][..NODES];
                for (node, across) in nodes.iter().zip(across) {
                    out[0] += down * across * node[0];
                    out[1] += down * across * node[1];
                }
            }
        });
        (self.nodes, self.lines, self.spectrum, self.forces) = (nodes, lines, spectrum, forces);
        // The spectra are scaled once for both transforms; a pair of a point with itself counts 1.
        zs.iter().sum::<f64>() - points.len() as f64
    }
}
