//! UMAP's layout (McInnes, Healy and Melville 2018, section 3.2): edges of the graph pull points together, samples of all
//! points push them apart.

use super::sparse::Sparse;
use crate::random::Rng;
#[cfg(target_arch = "aarch64")]
use crate::simd::Neon;
#[cfg(target_arch = "x86_64")]
use crate::simd::{Avx2, Avx512};
use crate::simd::{LANES, Level, Portable, Simd};
use rayon::prelude::*;
use std::cmp::Reverse;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

const FURTHEST_STEP: f32 = 4.0; // umap-learn's clip, of a gradient's coordinate
const WAVES: usize = 16; // of rows in an epoch; with one alone, the cross entropy of 70,000 words is 6% worse
const NEAR: f32 = 1e-3; // umap-learn's, so that points that coincide are not pushed infinitely
/// Pushes that go with a pull at first, in shares of `Options::negatives`; as many more in the end: few while the whole takes
/// shape, many when its parts do.
const FEWEST: f64 = 0.7;
const LOWEST: f32 = 1.0 / (1 << 24) as f32; // squared distances below it count as it
const HIGHEST: f32 = (1 << 24) as f32; // and those above it as it
const LEAST_PART: usize = 4 * LANES; // rows that a thread takes at a time: enough to put those side by side that are alike
const MOST_PART: usize = 16 * LANES;

/// How a layout is made.
#[derive(Clone, Copy)]
pub struct Options {
    pub a: f32,
    pub b: f32,
    pub rate: f32,
    pub epochs: u32,
    pub negatives: usize,
    pub seed: u64,
    pub level: Level,
}

impl Options {
    /// How many pushes go with a pull in an epoch.
    fn pushes(&self, epoch: u32) -> usize {
        // Of all epochs before one, in whole numbers: so their mean is as given.
        let before = |epoch: u32| {
            let done = f64::from(epoch) / f64::from(self.epochs);
            let mean = self.negatives as f64 * (FEWEST + (1.0 - FEWEST) * done);
            (f64::from(epoch) * mean).round() as usize
        };
        before(epoch + 1) - before(epoch)
    }
}

/// Points on their way.
pub struct Layout {
    options: Options,
    graph: Arc<Sparse>,
    /// Rows in the order they move, wave by wave; in a wave those with the most pulls first.
    order: Vec<u32>,
    /// Where the edges of each row in this order begin, their columns, and in what share of the epochs they pull, in 2^-32.
    starts: Vec<usize>,
    edges: Vec<(u32, u32)>,
    points: Vec<f32>,
    next: Vec<f32>,
    /// Where the graph's columns are, if they stay there; else they are the points.
    fixed: Option<Vec<f32>>,
    dims: usize,
    epoch: u32,
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
        let mut order: Vec<u32> = (0..(points.len() / dims) as u32).collect();
        let pulls: Vec<f32> = order.iter().map(|&row| graph.row(row as usize).1.iter().sum()).collect();
        for wave in order.chunks_mut(wave(points.len() / dims)) {
            wave.sort_by(|&a, &b| pulls[b as usize].total_cmp(&pulls[a as usize]));
        }
        let (mut starts, mut edges) = (vec![0], Vec::with_capacity(graph.columns.len()));
        for &row in &order {
            let (columns, weights) = graph.row(row as usize);
            let share = |w: f32| (f64::from(w / most) * f64::from(u32::MAX)) as u32;
            edges.extend(columns.iter().zip(weights).map(|(&column, &w)| (column, share(w))));
            starts.push(edges.len());
        }
        Layout { next: points.clone(), order, starts, edges, options, graph, points, fixed, dims, epoch }
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
        let odds = |a: &[f32; D], b: &[f32; D]| self.options.a * (squared(a, b) + NEAR).powf(self.options.b);
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
        let (at, next_at) = (points.as_chunks_mut::<D>().0, next.as_chunks_mut::<D>().0);
        let wave = wave(at.len());
        let part = (wave / (8 * rayon::current_num_threads())).next_multiple_of(LANES).clamp(LEAST_PART, MOST_PART);
        for (first, rows) in (0..).step_by(wave).zip(self.order.chunks(wave)) {
            let moved = &mut next_at[..rows.len()];
            // One after the other, each to the thread that is free: those that take longest come first.
            moved.chunks_mut(part).enumerate().par_bridge().for_each(|(i, moved)| {
                let places = first + i * part..first + i * part + moved.len();
                match &self.fixed {
                    None => self.run_rows::<D, true>(places, at, at, moved),
                    Some(fixed) => self.run_rows::<D, false>(places, at, fixed.as_chunks().0, moved),
                }
            });
            rows.iter().zip(moved).for_each(|(&row, &mut moved)| at[row as usize] = moved);
        }
        (self.points, self.next) = (points, next);
    }

    /// Columns of the edges of some rows that pull in this epoch, row after row.
    fn pulls(&self, places: Range<usize>) -> (Vec<u32>, Vec<Run>) {
        let edges = self.starts[places.start]..self.starts[places.end];
        let mut pulls: Vec<u32> = Vec::with_capacity(edges.len() + 1); // one is written in vain
        let (out, mut end) = (pulls.spare_capacity_mut(), 0);
        let mut runs = Vec::with_capacity(places.len());
        for place in places.clone() {
            let start = end;
            for &(column, share) in &self.edges[self.starts[place]..self.starts[place + 1]] {
                // SAFETY: no more are written than there are edges.
                unsafe { out.get_unchecked_mut(end).write(column) };
                end += usize::from(self.epoch.wrapping_mul(share) < share);
            }
            runs.push(Run { place: place - places.start, start: start as u32, len: (end - start) as u32 });
        }
        // SAFETY: so many were written.
        unsafe { pulls.set_len(end) };
        (pulls, runs)
    }

    /// Say where rows move in this epoch, from where they are, among others.
    fn run_rows<const D: usize, const MUTUAL: bool>(
        &self,
        places: Range<usize>,
        at: &[[f32; D]],
        others: &[[f32; D]],
        moved: &mut [[f32; D]],
    ) {
        // SAFETY: the level is one that the processor has.
        unsafe {
            match self.options.level {
                #[cfg(target_arch = "x86_64")]
                Level::Avx512 => run_avx512::<D, MUTUAL>(self, places, at, others, moved),
                #[cfg(target_arch = "x86_64")]
                Level::Avx2 => run_avx2::<D, MUTUAL>(self, places, at, others, moved),
                #[cfg(target_arch = "aarch64")]
                Level::Neon => run_neon::<D, MUTUAL>(self, places, at, others, moved),
                _ => run::<Portable, D, MUTUAL>(self, places, at, others, moved),
            }
        }
    }
}

/// Rows in a wave, of so many.
fn wave(n: usize) -> usize {
    n.div_ceil(WAVES).max(1)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512dq,avx2,fma,bmi2")]
fn run_avx512<const D: usize, const MUTUAL: bool>(
    layout: &Layout,
    places: Range<usize>,
    at: &[[f32; D]],
    others: &[[f32; D]],
    moved: &mut [[f32; D]],
) {
    // SAFETY: the attribute above says what the processor has.
    unsafe { run::<Avx512, D, MUTUAL>(layout, places, at, others, moved) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,bmi2")]
fn run_avx2<const D: usize, const MUTUAL: bool>(
    layout: &Layout,
    places: Range<usize>,
    at: &[[f32; D]],
    others: &[[f32; D]],
    moved: &mut [[f32; D]],
) {
    // SAFETY: as above.
    unsafe { run::<Avx2, D, MUTUAL>(layout, places, at, others, moved) }
}

#[cfg(target_arch = "aarch64")]
#[target_feature(enable = "neon")]
fn run_neon<const D: usize, const MUTUAL: bool>(
    layout: &Layout,
    places: Range<usize>,
    at: &[[f32; D]],
    others: &[[f32; D]],
    moved: &mut [[f32; D]],
) {
    // SAFETY: as above.
    unsafe { run::<Neon, D, MUTUAL>(layout, places, at, others, moved) }
}

/// Each lane moves a row, by one pull and its pushes at a time. What it meets next is fetched meanwhile: the random reads and the
/// long chain of arithmetic do not wait for each other. Lanes whose rows have no pull left, or no row, go on for nothing.
///
/// # Safety
/// The processor has the instruction set.
#[inline(always)]
unsafe fn run<S: Simd, const D: usize, const MUTUAL: bool>(
    layout: &Layout,
    places: Range<usize>,
    points: &[[f32; D]],
    others: &[[f32; D]],
    moved: &mut [[f32; D]],
) {
    let Options { rate, epochs, seed, .. } = layout.options;
    let pushes = layout.options.pushes(layout.epoch);
    let rate = rate * (1.0 - layout.epoch as f32 / epochs as f32);
    let (mut pulls, mut runs) = layout.pulls(places.clone());
    pulls.push(0); // lanes without a pull have one to read
    runs.sort_unstable_by_key(|run| Reverse(run.len)); // rows side by side have about as many
    let mut met = vec![[[0.0; D]; LANES]; 1 + pushes]; // by the pull, then by the pushes
    for runs in runs.chunks(LANES) {
        let (mut lanes, mut rates) = ([[0.0; D]; LANES], [0.0; LANES]);
        let (mut starts, mut states) = ([0; LANES], [0; LANES]);
        for (lane, run) in runs.iter().enumerate() {
            let row = layout.order[places.start + run.place];
            (lanes[lane], rates[lane], starts[lane]) = (points[row as usize], rate, run.start);
            states[lane] = Rng::new(seed ^ (u64::from(layout.epoch) << 32), u64::from(row)).bits() as u32 | 1;
        }
        let pulled = |pull: u32| {
            let mut at = [0; LANES];
            for lane in 0..LANES {
                // SAFETY: it is the last if not before it, and there is one.
                at[lane] = unsafe { *pulls.get_unchecked(((starts[lane] + pull) as usize).min(pulls.len() - 1)) };
            }
            at
        };
        // SAFETY: the caller vouches for the instruction set; arrays have as many numbers as a vector; columns are of others.
        unsafe {
            fetch(others, pulled(0), &mut met[0]);
            met[1..].iter_mut().for_each(|met| fetch(others, below(&mut states, others.len()), met));
            let mut at = load::<S, D>(&lanes);
            for pull in 0..runs[0].len {
                runs.iter()
                    .zip(&mut rates)
                    .rev()
                    .take_while(|(run, _)| run.len <= pull)
                    .for_each(|(_, rate)| *rate = 0.0);
                let rate = S::load(rates.as_ptr());
                let mut other = load::<S, D>(&met[0]);
                fetch(others, pulled(pull + 1), &mut met[0]);
                // Where both ends move, each edge stands in the graph twice, and moves both each time: their second move starts
                // where the first took them. Once twice as far instead, and near points leap over each other and drift apart.
                for _ in 0..if MUTUAL { 2 } else { 1 } {
                    let (apart, square) = apart::<S, D>(&at, &other);
                    let by = pull_by::<S>(&layout.options, square);
                    for axis in 0..D {
                        let step = S::mul(rate, clipped::<S>(by, apart[axis]));
                        at[axis] = S::sub(at[axis], step);
                        other[axis] = S::add(other[axis], step);
                    }
                }
                let here = at; // pushes do not wait for each other
                for met in &mut met[1..] {
                    let (apart, square) = apart::<S, D>(&here, &load::<S, D>(met));
                    fetch(others, below(&mut states, others.len()), met);
                    let by = push_by::<S>(&layout.options, square);
                    for axis in 0..D {
                        at[axis] = S::fma(rate, clipped::<S>(by, apart[axis]), at[axis]);
                    }
                }
            }
            store::<S, D>(at, &mut lanes);
        }
        runs.iter().zip(lanes).for_each(|(run, point)| moved[run.place] = point);
    }
}

/// A row's pulls in an epoch: where they begin, and how many they are. And which of some rows it is.
struct Run {
    place: usize,
    start: u32,
    len: u32,
}

/// Read a point for each lane.
///
/// # Safety
/// There are such points.
#[inline(always)]
unsafe fn fetch<const D: usize>(points: &[[f32; D]], at: [u32; LANES], out: &mut [[f32; D]; LANES]) {
    for lane in 0..LANES {
        out[lane] = unsafe { *points.get_unchecked(at[lane] as usize) };
    }
}

/// A random number below n for each lane: xorshift (Marsaglia 2003).
#[inline(always)]
fn below(states: &mut [u32; LANES], n: usize) -> [u32; LANES] {
    let mut out = [0; LANES];
    for lane in 0..LANES {
        let mut x = states[lane];
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        states[lane] = x;
        out[lane] = ((u64::from(x) * n as u64) >> 32) as u32;
    }
    out
}

/// Points as a vector for each axis, and back.
#[inline(always)]
unsafe fn load<S: Simd, const D: usize>(points: &[[f32; D]; LANES]) -> [S::F; D] {
    let mut vectors = [unsafe { S::zero() }; D];
    for axis in 0..D {
        let mut lanes = [0.0; LANES];
        for lane in 0..LANES {
            lanes[lane] = points[lane][axis];
        }
        vectors[axis] = unsafe { S::load(lanes.as_ptr()) };
    }
    vectors
}

#[inline(always)]
unsafe fn store<S: Simd, const D: usize>(vectors: [S::F; D], points: &mut [[f32; D]; LANES]) {
    for axis in 0..D {
        let mut lanes = [0.0; LANES];
        unsafe { S::store(lanes.as_mut_ptr(), vectors[axis]) };
        for lane in 0..LANES {
            points[lane][axis] = lanes[lane];
        }
    }
}

/// Coordinates less others, and the sum of their squares.
#[inline(always)]
unsafe fn apart<S: Simd, const D: usize>(a: &[S::F; D], b: &[S::F; D]) -> ([S::F; D], S::F) {
    unsafe {
        let (mut apart, mut square) = ([S::zero(); D], S::zero());
        for axis in 0..D {
            apart[axis] = S::sub(a[axis], b[axis]);
            square = S::fma(apart[axis], apart[axis], square);
        }
        (apart, square)
    }
}

/// What points at squared distances x are pulled by, in distances: 2 a b x^(b - 1) / (1 + a x^b).
#[inline(always)]
unsafe fn pull_by<S: Simd>(options: &Options, square: S::F) -> S::F {
    let (a, b) = (options.a, options.b);
    unsafe {
        let x = S::clamp(square, LOWEST, HIGHEST);
        let power = S::exp2(S::mul(S::splat(b), S::log2(x)));
        S::div(S::mul(S::splat(2.0 * a * b), power), S::mul(x, S::fma(S::splat(a), power, S::splat(1.0))))
    }
}

/// And pushed by: 2 b / ((NEAR + x) (1 + a x^b)).
#[inline(always)]
unsafe fn push_by<S: Simd>(options: &Options, square: S::F) -> S::F {
    let (a, b) = (options.a, options.b);
    unsafe {
        let x = S::clamp(square, LOWEST, HIGHEST);
        let power = S::exp2(S::mul(S::splat(b), S::log2(x)));
        S::div(S::splat(2.0 * b), S::mul(S::add(x, S::splat(NEAR)), S::fma(S::splat(a), power, S::splat(1.0))))
    }
}

#[inline(always)]
unsafe fn clipped<S: Simd>(by: S::F, apart: S::F) -> S::F {
    unsafe { S::clamp(S::mul(by, apart), -FURTHEST_STEP, FURTHEST_STEP) }
}

#[inline(always)]
fn squared<const D: usize>(a: &[f32; D], b: &[f32; D]) -> f32 {
    (0..D).map(|i| (a[i] - b[i]) * (a[i] - b[i])).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forces<S: Simd>(options: &Options, squares: &[f32; LANES]) -> [[f32; LANES]; 2] {
        let mut out = [[0.0; LANES]; 2];
        unsafe {
            let square = S::load(squares.as_ptr());
            S::store(out[0].as_mut_ptr(), pull_by::<S>(options, square));
            S::store(out[1].as_mut_ptr(), push_by::<S>(options, square));
        }
        out
    }

    fn options(level: Level) -> Options {
        Options { a: 1.577, b: 0.895, rate: 0.1, epochs: 10, negatives: 5, seed: 7, level }
    }

    #[test]
    fn forces_are_those_of_plain_arithmetic() {
        for level in Level::ALL.into_iter().filter(|level| level.available()) {
            let options = options(level);
            let (a, b) = (f64::from(options.a), f64::from(options.b));
            for i in -120..120 {
                let squares = std::array::from_fn(|lane| 2f32.powf((i * 16 + lane as i32) as f32 / 80.0));
                let [pulls, pushes] = match level {
                    #[cfg(target_arch = "x86_64")]
                    Level::Avx512 => forces::<Avx512>(&options, &squares),
                    #[cfg(target_arch = "x86_64")]
                    Level::Avx2 => forces::<Avx2>(&options, &squares),
                    #[cfg(target_arch = "aarch64")]
                    Level::Neon => forces::<Neon>(&options, &squares),
                    _ => forces::<Portable>(&options, &squares),
                };
                for (lane, x) in squares.into_iter().map(f64::from).enumerate() {
                    let pull = 2.0 * a * b * x.powf(b - 1.0) / (1.0 + a * x.powf(b));
                    let push = 2.0 * b / ((f64::from(NEAR) + x) * (1.0 + a * x.powf(b)));
                    for (found, plain) in [(pulls[lane], pull), (pushes[lane], push)] {
                        // A logarithm within 1e-6 + 24 * 2^-23, by ln 2; a power within 1e-6, and some roundings.
                        assert!((f64::from(found) / plain - 1.0).abs() < 1e-5, "{x}: {found}, not {plain}");
                    }
                }
            }
        }
    }

    /// What an epoch means: rows of a wave one by one, in plain arithmetic.
    fn plain<const D: usize>(layout: &Layout, options: &Options) -> Vec<f32> {
        let (a, b) = (f64::from(options.a), f64::from(options.b));
        let mut points: Vec<[f64; D]> =
            layout.points.as_chunks::<D>().0.iter().map(|point| point.map(f64::from)).collect();
        let n = points.len();
        for wave in layout.order.chunks(wave(n)) {
            let before = points.clone();
            let fixed = layout.fixed.as_ref().map(|fixed| fixed.as_chunks::<D>().0.iter());
            let others: Vec<[f64; D]> =
                fixed.map_or(before.clone(), |fixed| fixed.map(|point| point.map(f64::from)).collect());
            let rate = f64::from(options.rate) * (1.0 - f64::from(layout.epoch) / f64::from(options.epochs));
            let most = f64::from(layout.graph.weights.iter().copied().fold(0.0, f32::max));
            let pushes = if layout.epoch == 0 { 4 } else { 6 }; // in the first of ten epochs and the last
            for &row in wave {
                let mut at = before[row as usize];
                let stream = Rng::new(options.seed ^ (u64::from(layout.epoch) << 32), u64::from(row)).bits();
                let mut states = [stream as u32 | 1; LANES];
                let (columns, weights) = layout.graph.row(row as usize);
                for (&column, &weight) in columns.iter().zip(weights) {
                    let share = (f64::from(weight) / most * f64::from(u32::MAX)) as u32;
                    if layout.epoch.wrapping_mul(share) >= share {
                        continue;
                    }
                    let mut other = others[column as usize];
                    for _ in 0..if layout.fixed.is_none() { 2 } else { 1 } {
                        let x: f64 = (0..D).map(|i| (at[i] - other[i]).powi(2)).sum();
                        let by = 2.0 * a * b * x.powf(b - 1.0) / (1.0 + a * x.powf(b));
                        for i in 0..D {
                            let step = rate * (by * (at[i] - other[i])).clamp(-4.0, 4.0);
                            (at[i], other[i]) = (at[i] - step, other[i] + step);
                        }
                    }
                    let here = at;
                    for _ in 0..pushes {
                        let other = others[below(&mut states, others.len())[0] as usize];
                        let x: f64 = (0..D).map(|i| (here[i] - other[i]).powi(2)).sum();
                        let by = 2.0 * b / ((1e-3 + x) * (1.0 + a * x.powf(b)));
                        (0..D).for_each(|i| at[i] += rate * (by * (here[i] - other[i])).clamp(-4.0, 4.0));
                    }
                }
                points[row as usize] = at;
            }
        }
        points.as_flattened().iter().map(|&x| x as f32).collect()
    }

    fn check<const D: usize>(fixed: bool, epoch: u32) {
        let (n, k) = (1_500, 6);
        let mut rng = Rng::new(3, 0);
        // No row is its own neighbour.
        let columns: Vec<u32> = (0..n * k).map(|i| ((i / k + 1) as u32 + rng.below(n as u32 - 1)) % n as u32).collect();
        let weights: Vec<f32> = (0..n * k).map(|_| rng.unit() + 0.01).collect();
        let graph = Arc::new(Sparse { starts: (0..=n).map(|row| row * k).collect(), columns, weights });
        let points: Vec<f32> = (0..n * D).map(|_| 10.0 * rng.unit()).collect();
        let fixed = fixed.then(|| points.iter().rev().copied().collect::<Vec<f32>>());
        for level in Level::ALL.into_iter().filter(|level| level.available()) {
            let options = options(level);
            let mut layout = Layout::new(graph.clone(), points.clone(), fixed.clone(), D, epoch, options);
            let plain = plain::<D>(&layout, &options);
            layout.run(Instant::now());
            assert_eq!(layout.epoch(), epoch + 1);
            for (i, (&found, &plain)) in layout.points().iter().zip(&plain).enumerate() {
                // Forces within 1e-5, of some tens of steps of at most 0.4, and near points pass errors on.
                assert!((found - plain).abs() < 1e-3, "{} {D} {i}: {found}, not {plain}", level.name());
            }
        }
    }

    #[test]
    fn pushes_are_few_and_then_many() {
        let pushes = |epochs: u32, negatives| {
            let options = Options { epochs, negatives, ..options(Level::Portable) };
            (0..epochs).map(|epoch| options.pushes(epoch)).collect::<Vec<usize>>()
        };
        assert_eq!(pushes(10, 5), [4, 4, 4, 4, 5, 5, 6, 6, 6, 6]);
        assert_eq!([0, 100, 199].map(|epoch| pushes(200, 10)[epoch]), [7, 10, 13]);
        for (epochs, negatives) in [(1, 5), (7, 0), (200, 5), (500, 3)] {
            assert_eq!(pushes(epochs, negatives).iter().sum::<usize>(), epochs as usize * negatives);
        }
    }

    #[test]
    fn an_epoch_is_that_of_plain_arithmetic() {
        for epoch in [0, 9] {
            check::<2>(false, epoch);
            check::<3>(false, epoch);
            check::<2>(true, epoch);
            check::<3>(true, epoch);
        }
    }
}
