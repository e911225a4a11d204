//! t-SNE's descent (van der Maaten and Hinton 2008, as openTSNE has it): neighbours pull by their probabilities, all points
//! push by those that the map itself gives them.

use super::PART;
use super::grid::Grid;
use super::sparse::Sparse;
use super::tree::{self, Tree};
use rayon::prelude::*;
use std::sync::Arc;
use std::time::Instant;

/// Points up to which all pairs are counted; beyond, a grid in 2-d, a tree in 3-d and where points stay.
const ALL_PAIRS: usize = 1_500;
const LEAST_GAIN: f32 = 0.01; // this and those below are openTSNE's
const GAIN_UP: f32 = 0.2;
const GAIN_DOWN: f32 = 0.8;
const MOMENTUM: f32 = 0.8;
const LONGEST_STEP: f32 = 5.0;

pub struct Options {
    /// Iterations with exaggeration, and in all.
    pub exaggerated: u32,
    pub iterations: u32,
    pub exaggeration: f32,
}

/// Points on their way.
pub struct Descent<const D: usize> {
    options: Options,
    graph: Arc<Sparse>,
    points: Vec<[f32; D]>,
    next: Vec<[f32; D]>,
    updates: Vec<[f32; D]>,
    gains: Vec<[f32; D]>,
    forces: Vec<[f32; D]>,
    grid: Option<Grid>,
    iteration: u32,
    entropy: f64,
}

impl<const D: usize> Descent<D> {
    pub fn new(graph: Arc<Sparse>, points: &[f32], options: Options) -> Descent<D> {
        let points = points.as_chunks().0.to_vec();
        let zeros = vec![[0.0; D]; points.len()];
        Descent {
            options,
            entropy: graph.weights.iter().map(|&p| f64::from(p) * f64::from(p).ln()).sum(),
            graph,
            next: zeros.clone(),
            gains: vec![[1.0; D]; points.len()],
            forces: zeros.clone(),
            updates: zeros,
            points,
            grid: None,
            iteration: 0,
        }
    }

    pub fn iteration(&self) -> u32 {
        self.iteration
    }

    pub fn points(&self) -> &[f32] {
        self.points.as_flattened()
    }

    /// Go on until the deadline or the last iteration, at least by one.
    pub fn run(&mut self, deadline: Instant) {
        while self.iteration < self.options.iterations {
            self.step();
            self.iteration += 1;
            if Instant::now() >= deadline {
                break;
            }
        }
    }

    /// The divergence of the map's probabilities from the neighbours'.
    pub fn divergence(&mut self) -> f64 {
        let total = self.repel();
        let rows = 0..self.points.len();
        let logs: Vec<f64> = rows
            .into_par_iter()
            .with_min_len(PART)
            .map(|row| {
                let (columns, weights) = self.graph.row(row);
                let log = |(&column, &weight): (&u32, &f32)| {
                    let other = &self.points[column as usize];
                    let square: f64 = (0..D).map(|i| f64::from(self.points[row][i] - other[i]).powi(2)).sum();
                    f64::from(weight) * (1.0 + square).ln()
                };
                columns.iter().zip(weights).map(log).sum()
            })
            .collect();
        self.entropy
            + logs.iter().sum::<f64>()
            + total.ln() * self.graph.weights.iter().map(|&p| f64::from(p)).sum::<f64>()
    }

    /// Fill in the forces between all points; the sum over all pairs of 1 / (1 + d^2).
    fn repel(&mut self) -> f64 {
        if self.points.len() <= ALL_PAIRS {
            tree::all_pairs(&self.points, &mut self.forces)
        } else if D == 2 {
            let (points, forces) = (self.points.as_flattened().as_chunks().0, self.forces.as_flattened_mut());
            self.grid = Some(Grid::fit(self.grid.take(), points));
            self.grid.as_mut().expect("made above").repulsion(points, forces.as_chunks_mut().0)
        } else {
            let forces = self.forces.as_flattened_mut().as_chunks_mut().0;
            tree::barnes_hut(self.points.as_flattened().as_chunks().0, forces)
        }
        .max(f64::MIN_POSITIVE)
    }

    fn step(&mut self) {
        let total = self.repel() as f32;
        let options = &self.options;
        let exaggeration = if self.iteration < options.exaggerated { options.exaggeration } else { 1.0 };
        let rate = self.points.len() as f32 / exaggeration; // Belkina et al. 2019
        let moved = self.next.par_chunks_mut(PART).zip(self.updates.par_chunks_mut(PART));
        let moved = moved.zip(self.gains.par_chunks_mut(PART)).zip(self.forces.par_chunks(PART)).enumerate();
        let (graph, points) = (&self.graph, &self.points);
        let sums: Vec<[f64; D]> = moved
            .map(|(part, (((next, updates), gains), forces))| {
                let mut sum = [0.0; D];
                for (at, next) in next.iter_mut().enumerate() {
                    let row = part * PART + at;
                    let pull = pull(graph.row(row), &points[row], points);
                    let (update, gain) = (&mut updates[at], &mut gains[at]);
                    let gradient = std::array::from_fn(|i| exaggeration * pull[i] - forces[at][i] / total);
                    advance(update, gain, gradient, rate);
                    let length = update.iter().map(|x| x * x).sum::<f32>().sqrt();
                    if length > LONGEST_STEP {
                        update.iter_mut().for_each(|x| *x *= LONGEST_STEP / length);
                    }
                    *next = std::array::from_fn(|i| points[row][i] + update[i]);
                    (0..D).for_each(|i| sum[i] += f64::from(next[i]));
                }
                sum
            })
            .collect();
        let n = points.len() as f64;
        let mean: [f32; D] = std::array::from_fn(|i| (sums.iter().map(|sum| sum[i]).sum::<f64>() / n) as f32);
        self.next.par_iter_mut().with_min_len(PART).for_each(|p| (0..D).for_each(|i| p[i] -= mean[i]));
        std::mem::swap(&mut self.points, &mut self.next);
    }
}

/// Put points beside others that stay, each by itself: it descends from where it is, pulled by its neighbours' probabilities,
/// k each, and pushed by all, many of them by a tree. openTSNE's rates, in fewer iterations, since points start among their neighbours.
pub fn place<const D: usize>(others: &[[f32; D]], rows: &[u32], weights: &[f32], points: &mut [[f32; D]]) {
    const ITERATIONS: usize = 50;
    const RATE: f32 = 0.1;
    const EXAGGERATION: f32 = 1.5;
    const LONGEST: f32 = 0.25; // of a gradient
    let k = rows.len() / points.len().max(1);
    let solid = |p: &[f32; D]| std::array::from_fn(|i| p.get(i).copied().unwrap_or(0.0));
    let tree = (others.len() > ALL_PAIRS).then(|| Tree::new(&others.iter().map(solid).collect::<Vec<_>>()));
    points.par_iter_mut().enumerate().for_each(|(row, point)| {
        let (mut update, mut gains) = ([0f32; D], [1f32; D]);
        for _ in 0..ITERATIONS {
            let pull = pull((&rows[row * k..][..k], &weights[row * k..][..k]), point, others);
            let (push, total) = match &tree {
                None => tree::repulsion(point, others),
                Some(tree) => {
                    let (push, total) = tree.repulsion(&solid(point));
                    (std::array::from_fn(|i| push[i]), total)
                }
            };
            let mut gradient: [f32; D] = std::array::from_fn(|i| EXAGGERATION * pull[i] - push[i] / total);
            let length = gradient.iter().map(|x| x * x).sum::<f32>().sqrt();
            if length > LONGEST {
                gradient.iter_mut().for_each(|x| *x *= LONGEST / length);
            }
            advance(&mut update, &mut gains, gradient, RATE);
            (0..D).for_each(|i| point[i] += update[i]);
        }
    });
}

/// The next update, by momentum and the gains of coordinates that keep their direction (Jacobs 1988).
#[inline(always)]
fn advance<const D: usize>(update: &mut [f32; D], gains: &mut [f32; D], gradient: [f32; D], rate: f32) {
    for i in 0..D {
        let flipped = sign(update[i]) != sign(gradient[i]);
        gains[i] = if flipped { gains[i] + GAIN_UP } else { gains[i] * GAIN_DOWN + LEAST_GAIN };
        update[i] = MOMENTUM * update[i] - rate * gains[i] * gradient[i];
    }
}

fn sign(x: f32) -> i32 {
    i32::from(x > 0.0) - i32::from(x < 0.0)
}

/// The sum over neighbours of p (own - theirs) / (1 + d^2).
#[inline(always)]
fn pull<const D: usize>((columns, weights): (&[u32], &[f32]), own: &[f32; D], points: &[[f32; D]]) -> [f32; D] {
    const LANES: usize = 8;
    let mut sums = [[0f32; LANES]; D];
    let ((eights, columns), (weighed, weights)) = (columns.as_chunks::<LANES>(), weights.as_chunks::<LANES>());
    for (columns, weights) in eights.iter().zip(weighed) {
        let mut apart = [[0f32; LANES]; D];
        for lane in 0..LANES {
            let other = &points[columns[lane] as usize];
            (0..D).for_each(|i| apart[i][lane] = own[i] - other[i]);
        }
        for lane in 0..LANES {
            let square = apart.iter().map(|x| x[lane] * x[lane]).sum::<f32>();
            let by = weights[lane] / (1.0 + square);
            (0..D).for_each(|i| sums[i][lane] += by * apart[i][lane]);
        }
    }
    for (&column, &weight) in columns.iter().zip(weights) {
        let apart: [f32; D] = std::array::from_fn(|i| own[i] - points[column as usize][i]);
        let by = weight / (1.0 + apart.iter().map(|x| x * x).sum::<f32>());
        (0..D).for_each(|i| sums[i][0] += by * apart[i]);
    }
    sums.map(|lanes| lanes.iter().sum())
}
