//! Training: AdaGrad on the weighted squared error of the logarithms.
//!
//! loss = sum over pairs of f(x) (w . c + b + b' - ln x)^2 / 2, f(x) = min(1, (x / x_max)^alpha), with every meeting seen from
//! both sides: the word's vector w against the neighbour's context vector c, and the other way round.
//!
//! A pair needs 14 d operations and, the plain way, 4 rows of d floats from memory and back: vectors and squared gradients
//! of both words. So pairs are taken in cells, some rows by one block of columns: the columns stay in the second-level cache, a row
//! is read once for its run of pairs, and what a row needs lies in one place, [vector, bias, 1 | squared gradients]. (The
//! neighbour's has 1 and bias the other way round, so that the dot product adds both biases.)
//!
//! Cells come in a fresh random order each epoch. Threads take them in this order, except that a cell waits for the unfinished
//! ones before it with which it shares rows or columns; therefore any number of threads gives the same bytes.

// The loops of a kernel walk several arrays with one index, and pass pointers and strides.
#![allow(clippy::needless_range_loop, clippy::too_many_arguments)]

use super::nonzeros::{Nonzeros, Run};
use crate::matrix::Matrix;
use crate::random::Rng;
use crate::simd::{LANES, Level, Portable, Simd};
use std::sync::{Condvar, Mutex};
use std::time::Instant;

/// Stanford's code: an element of a gradient is cut to this, before the rate.
const CLIP: f32 = 100.0;
/// Below this |f diff|, elements are not looked at for it: they would have to exceed CLIP / UNCLIPPED.
const UNCLIPPED: f32 = 10.0;
/// Pairs whose weights are computed at a time.
const PIECE: usize = 256;
/// How many runs ahead a row is asked for.
const ROWS_AHEAD: usize = 4;
/// Stands for a row of more vectors than registers can hold with their squared gradients.
const WIDE: usize = 0;
/// Cells that are looked at for one that need not wait.
const LOOK_AHEAD: usize = 64;

#[derive(Clone)]
pub struct Options {
    pub dim: usize,
    pub x_max: f32,
    pub alpha: f32,
    pub rate: f32,
    pub epochs: usize,
    pub seed: u64,
    pub threads: usize,
}

/// What a stretch of training did.
#[derive(Clone, Copy, Default, Debug)]
pub struct Done {
    /// Pairs of a word and a neighbour, each way.
    pub pairs: u64,
    /// Sum of the loss over them.
    pub loss: f64,
    /// What vectors of zeros would lose on them.
    pub zero_loss: f64,
}

impl Done {
    fn add(&mut self, other: &Done) {
        self.pairs += other.pairs;
        self.loss += other.loss;
        self.zero_loss += other.zero_loss;
    }
}

/// A cell seen from one side.
#[derive(Clone, Copy)]
struct Job {
    strip: u32,
    cell: u32,
    /// Rows are contexts and columns words, instead of the other way round.
    mirrored: bool,
    /// Blocks of word and context vectors that it changes.
    words: u32,
    contexts: u32,
}

/// A model in training.
pub struct GloVe {
    options: Options,
    nonzeros: Nonzeros,
    level: Level,
    /// Rows of twice `stride` floats: [vector .. bias, 1 | their squared gradients].
    words: Matrix,
    /// [vector .. 1, bias | their squared gradients].
    contexts: Matrix,
    stride: usize,
    epoch: usize,
    queue: Mutex<Queue>,
    freed: Condvar,
}

/// The jobs of an epoch.
struct Queue {
    jobs: Vec<Job>,
    started: Vec<bool>,
    finished: Vec<bool>,
    /// All before it are finished.
    head: usize,
    /// For each block of words, then of contexts: the look that found it in use.
    in_use: Vec<u64>,
    look: u64,
}

enum Taken {
    Job(usize),
    Wait,
    Nothing,
}

impl Queue {
    /// The first job that shares no block with an unfinished one before it.
    fn take(&mut self) -> Taken {
        self.look += 1;
        let blocks = self.in_use.len() / 2;
        let mut left = false;
        for number in (self.head..self.jobs.len()).filter(|&number| !self.finished[number]).take(LOOK_AHEAD) {
            let job = self.jobs[number];
            let (words, contexts) = (job.words as usize, blocks + job.contexts as usize);
            let free = self.in_use[words] != self.look && self.in_use[contexts] != self.look;
            if free && !self.started[number] {
                self.started[number] = true;
                return Taken::Job(number);
            }
            left |= !self.started[number];
            (self.in_use[words], self.in_use[contexts]) = (self.look, self.look);
        }
        if left { Taken::Wait } else { Taken::Nothing }
    }

    fn finish(&mut self, number: usize) {
        self.finished[number] = true;
        while self.finished.get(self.head) == Some(&true) {
            self.head += 1;
        }
    }
}

impl GloVe {
    pub fn new(nonzeros: Nonzeros, options: Options, level: Level) -> std::io::Result<GloVe> {
        let (rows, dim) = (nonzeros.blocks.words(), options.dim);
        let stride = (dim + 2).next_multiple_of(LANES);
        let mut jobs = Vec::new();
        for (s, strip) in nonzeros.strips.iter().enumerate() {
            for (c, cell) in strip.cells.iter().enumerate() {
                let (strip_block, cell_block) = (strip.block as u32, cell.columns);
                let (strip, cell) = (s as u32, c as u32);
                jobs.push(Job { strip, cell, mirrored: false, words: strip_block, contexts: cell_block });
                jobs.push(Job { strip, cell, mirrored: true, words: cell_block, contexts: strip_block });
            }
        }
        let matrix = |side: u64, bias: usize, one: usize| {
            let mut matrix = Matrix::zeros(rows, 2 * stride)?;
            for row in 0..rows {
                let mut rng = Rng::new(options.seed ^ side, row as u64);
                let (values, squares) = matrix.write(row).split_at_mut(stride);
                for x in values[..dim].iter_mut().chain([&mut 0.0]) {
                    *x = (rng.unit() - 0.5) / dim as f32;
                }
                values[bias] = (rng.unit() - 0.5) / dim as f32;
                values[one] = 1.0;
                squares.fill(1.0);
            }
            Ok::<_, std::io::Error>(matrix)
        };
        let words = matrix(0x5EED, stride - 2, stride - 1)?;
        let contexts = matrix(0xC0DE, stride - 1, stride - 2)?;
        let queue = Queue {
            started: Vec::new(),
            finished: Vec::new(),
            head: 0,
            in_use: vec![0; 2 * nonzeros.blocks.count()],
            look: 0,
            jobs,
        };
        let mut model = GloVe {
            options,
            nonzeros,
            level,
            words,
            contexts,
            stride,
            epoch: 0,
            queue: Mutex::new(queue),
            freed: Condvar::new(),
        };
        model.begin_epoch();
        Ok(model)
    }

    /// Pairs of an epoch, each way; those of a word with itself once.
    pub fn pairs(&self) -> u64 {
        let mirrored = |job: &&Job| job.mirrored && job.words == job.contexts;
        let queue = self.queue.lock().expect("no thread panicked");
        let twice = 2 * self.nonzeros.pairs() as u64;
        let selves: usize = queue
            .jobs
            .iter()
            .filter(mirrored)
            .map(|job| selves(self.nonzeros.cell(job.strip as usize, job.cell as usize)))
            .sum();
        twice - selves as u64
    }

    /// Epochs that are done.
    pub fn epoch(&self) -> usize {
        self.epoch
    }

    /// Copy the sum of a word's two vectors.
    pub fn copy_row(&self, row: usize, out: &mut [f32]) {
        let both = self.words.read(row).iter().zip(self.contexts.read(row));
        out.iter_mut().zip(both).for_each(|(out, (word, context))| *out = word + context);
    }

    /// A fresh order of the jobs.
    fn begin_epoch(&mut self) {
        let mut rng = Rng::new(self.options.seed, self.epoch as u64);
        let queue = self.queue.get_mut().expect("no thread panicked");
        let count = queue.jobs.len();
        for i in (1..count).rev() {
            queue.jobs.swap(i, rng.below(i as u32 + 1) as usize);
        }
        queue.started = vec![false; count];
        queue.finished = vec![false; count];
        queue.head = 0;
    }

    /// Train until the deadline or the last epoch's end, with every thread on at least one cell. When that is does not
    /// change the result, nor does the number of threads.
    pub fn run(&mut self, deadline: Instant) -> Done {
        let mut all = Done::default();
        while self.epoch < self.options.epochs {
            let done = self.run_epoch(deadline);
            all.add(&done);
            let queue = self.queue.get_mut().expect("no thread panicked");
            if queue.head == queue.jobs.len() {
                self.epoch += 1;
                self.begin_epoch();
            }
            if Instant::now() >= deadline {
                break;
            }
        }
        all
    }

    /// Train until the deadline or the epoch's end.
    fn run_epoch(&self, deadline: Instant) -> Done {
        let work = || {
            let mut done = Done::default();
            let mut queue = self.queue.lock().expect("no thread panicked");
            loop {
                let number = match queue.take() {
                    Taken::Job(number) => number,
                    Taken::Wait => {
                        queue = self.freed.wait(queue).expect("no thread panicked");
                        continue;
                    }
                    Taken::Nothing => return done,
                };
                let job = queue.jobs[number];
                drop(queue);
                // SAFETY: `level` is one that the processor has.
                unsafe {
                    match self.level {
                        #[cfg(target_arch = "x86_64")]
                        Level::Avx512 => job_avx512(self, job, &mut done),
                        #[cfg(target_arch = "x86_64")]
                        Level::Avx2 => job_avx2(self, job, &mut done),
                        #[cfg(target_arch = "aarch64")]
                        Level::Neon => job_neon(self, job, &mut done),
                        _ => train_job::<Portable>(self, job, &mut done),
                    }
                }
                queue = self.queue.lock().expect("no thread panicked");
                queue.finish(number);
                self.freed.notify_all();
                if Instant::now() >= deadline {
                    return done;
                }
            }
        };
        if self.options.threads == 1 {
            return work();
        }
        std::thread::scope(|scope| {
            let handles: Vec<_> = (0..self.options.threads).map(|_| scope.spawn(work)).collect();
            let mut all = Done::default();
            for handle in handles {
                all.add(&handle.join().expect("a training thread panicked"));
            }
            all
        })
    }
}

/// Pairs of a word with itself, in a cell whose rows and columns are the same block: the last of their runs.
fn selves((runs, columns, _): (&[Run], &[u16], &[f32])) -> usize {
    let mut end = 0;
    let own = runs.iter().filter(|run| {
        end += run.length as usize;
        columns[end - 1] == run.row
    });
    own.count()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512dq,avx2,fma,bmi2")]
fn job_avx512(model: &GloVe, job: Job, done: &mut Done) {
    // SAFETY: the attribute above says what the processor has.
    unsafe { train_job::<crate::simd::Avx512>(model, job, done) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,bmi2")]
fn job_avx2(model: &GloVe, job: Job, done: &mut Done) {
    // SAFETY: the attribute above says what the processor has.
    unsafe { train_job::<crate::simd::Avx2>(model, job, done) }
}

#[cfg(target_arch = "aarch64")]
#[target_feature(enable = "neon")]
fn job_neon(model: &GloVe, job: Job, done: &mut Done) {
    // SAFETY: the attribute above says what the processor has.
    unsafe { train_job::<crate::simd::Neon>(model, job, done) }
}

/// What the kernel knows of a job.
struct Kernel {
    stride: usize,
    rate: f32,
    /// Rates of the last LANES columns, where the biases are (Stanford's code gives them rate 1) and the ones (0).
    row_rates: [f32; LANES],
    column_rates: [f32; LANES],
    loss: f32,
}

/// Train on one cell.
#[inline(always)]
unsafe fn train_job<S: Simd>(model: &GloVe, job: Job, done: &mut Done) {
    // SAFETY: the caller's.
    unsafe {
        match model.stride / LANES {
            1 => train_cell::<S, 1>(model, job, done),
            2 => train_cell::<S, 2>(model, job, done),
            3 => train_cell::<S, 3>(model, job, done),
            4 => train_cell::<S, 4>(model, job, done),
            5 => train_cell::<S, 5>(model, job, done),
            6 => train_cell::<S, 6>(model, job, done),
            7 => train_cell::<S, 7>(model, job, done),
            8 => train_cell::<S, 8>(model, job, done),
            9 => train_cell::<S, 9>(model, job, done),
            _ => train_cell::<S, WIDE>(model, job, done),
        }
    }
}

/// Train on one cell; rows are C vectors of LANES floats, or any number where C is WIDE.
#[inline(always)]
unsafe fn train_cell<S: Simd, const C: usize>(model: &GloVe, job: Job, done: &mut Done) {
    let options = &model.options;
    let strip = &model.nonzeros.strips[job.strip as usize];
    let (runs, columns, logs) = model.nonzeros.cell(job.strip as usize, job.cell as usize);
    let column_block = strip.cells[job.cell as usize].columns as usize;
    let row_start = model.nonzeros.blocks.rows(strip.block).start;
    let column_start = model.nonzeros.blocks.rows(column_block).start;
    let (rows, others) = if job.mirrored { (&model.contexts, &model.words) } else { (&model.words, &model.contexts) };
    let (mut row_rates, mut column_rates) = ([options.rate; LANES], [options.rate; LANES]);
    row_rates[LANES - 2..].copy_from_slice(if job.mirrored { &[0.0, 1.0] } else { &[1.0, 0.0] });
    column_rates[LANES - 2..].copy_from_slice(if job.mirrored { &[1.0, 0.0] } else { &[0.0, 1.0] });
    let mut kernel = Kernel { stride: model.stride, rate: options.rate, row_rates, column_rates, loss: 0.0 };
    let (power, log_max) = (options.alpha * std::f32::consts::LOG2_E, options.x_max.ln());
    let skip_selves = job.mirrored && strip.block == column_block;
    let mut weights = [0f32; PIECE];
    let mut at = 0;
    // SAFETY: rows and columns are those of the blocks, and no other thread has them; LANES floats follow the last logarithm.
    unsafe {
        let mut zero_loss = S::zero();
        for (number, run) in runs.iter().enumerate() {
            if let Some(ahead) = runs.get(number + ROWS_AHEAD) {
                prefetch(rows.row(row_start + ahead.row as usize), 2 * model.stride);
            }
            let row = rows.row(row_start + run.row as usize);
            let next = at + run.length as usize;
            let end = next - usize::from(skip_selves && columns[next - 1] == run.row);
            done.pairs += (end - at) as u64;
            while at < end {
                let count = (end - at).min(PIECE);
                weigh::<S>(&logs[at..], count, power, log_max, &mut weights, &mut zero_loss);
                let column = |i: usize| others.row(column_start + *columns.get_unchecked(at + i) as usize);
                if C == WIDE {
                    for i in 0..count {
                        train_wide::<S>(&mut kernel, row, column(i), logs[at + i], weights[i]);
                    }
                } else {
                    train_row::<S, C>(&mut kernel, row, column, &logs[at..at + count], &weights);
                }
                at += count;
            }
            at = next;
        }
        done.loss += f64::from(kernel.loss);
        done.zero_loss += f64::from(S::sum(zero_loss));
    }
}

/// Weights of pairs, f(x) = 2^(power (ln x - ln x_max)), at most 1, from their logarithms; and the loss of vectors of zeros.
#[inline(always)]
unsafe fn weigh<S: Simd>(
    logs: &[f32],
    count: usize,
    power: f32,
    log_max: f32,
    weights: &mut [f32; PIECE],
    zero_loss: &mut S::F,
) {
    for i in (0..count).step_by(LANES) {
        // SAFETY: in bounds, the caller says.
        unsafe {
            let log = S::load(logs.as_ptr().add(i));
            let above = S::sub(log, S::splat(log_max));
            let weight = S::exp2(S::clamp(S::mul(S::splat(power), above), f32::MIN, 0.0));
            S::store(weights.as_mut_ptr().add(i), weight);
            *zero_loss = S::fma(S::mul(S::splat(0.5), weight), S::mul(log, log), *zero_loss);
        }
    }
}

/// Train a row on columns, one after the other. What the row has stays in registers meanwhile.
#[inline(always)]
unsafe fn train_row<S: Simd, const C: usize>(
    kernel: &mut Kernel,
    row: *mut f32,
    column: impl Fn(usize) -> *mut f32,
    logs: &[f32],
    weights: &[f32; PIECE],
) {
    unsafe {
        let stride = C * LANES;
        let (mut x, mut g) = ([S::zero(); C], [S::zero(); C]);
        for k in 0..C {
            x[k] = S::load(row.add(k * LANES));
            g[k] = S::load(row.add(stride + k * LANES));
        }
        for (i, &log) in logs.iter().enumerate() {
            let column = column(i);
            let mut sums = [S::zero(); 4]; // as many chains, so that they do not wait for each other
            for k in 0..C {
                sums[k % 4] = S::fma(x[k], S::load(column.add(k * LANES)), sums[k % 4]);
            }
            let dot = S::sum(S::add(S::add(sums[0], sums[1]), S::add(sums[2], sums[3])));
            let pull = kernel.pull(dot - log, weights[i]);
            if pull.abs() <= UNCLIPPED {
                update::<S, C, false>(kernel, &mut x, &mut g, column, stride, pull, true);
            } else {
                update::<S, C, true>(kernel, &mut x, &mut g, column, stride, pull, true);
            }
        }
        for k in 0..C {
            S::store(row.add(k * LANES), x[k]);
            S::store(row.add(stride + k * LANES), g[k]);
        }
    }
}

/// Train a row on a column, both too wide for registers.
#[inline(always)]
unsafe fn train_wide<S: Simd>(kernel: &mut Kernel, row: *mut f32, column: *mut f32, log: f32, weight: f32) {
    unsafe {
        let stride = kernel.stride;
        let mut sums = [S::zero(); 2];
        for k in (0..stride - LANES).step_by(2 * LANES) {
            sums[0] = S::fma(S::load(row.add(k)), S::load(column.add(k)), sums[0]);
            sums[1] = S::fma(S::load(row.add(k + LANES)), S::load(column.add(k + LANES)), sums[1]);
        }
        if stride / LANES % 2 == 1 {
            let k = stride - LANES;
            sums[0] = S::fma(S::load(row.add(k)), S::load(column.add(k)), sums[0]);
        }
        let pull = kernel.pull(S::sum(S::add(sums[0], sums[1])) - log, weight);
        for k in (0..stride).step_by(LANES) {
            let (mut x, mut g) = ([S::load(row.add(k))], [S::load(row.add(stride + k))]);
            let last = k + LANES == stride;
            if pull.abs() <= UNCLIPPED {
                update::<S, 1, false>(kernel, &mut x, &mut g, column.add(k), stride, pull, last);
            } else {
                update::<S, 1, true>(kernel, &mut x, &mut g, column.add(k), stride, pull, last);
            }
            S::store(row.add(k), x[0]);
            S::store(row.add(stride + k), g[0]);
        }
    }
}

impl Kernel {
    /// -f(x) diff; and add the pair's loss.
    #[inline(always)]
    fn pull(&mut self, diff: f32, weight: f32) -> f32 {
        let pull = -weight * diff;
        self.loss -= 0.5 * pull * diff;
        pull
    }
}

/// AdaGrad on C vectors of a row, x with squared gradients g, and of a column: each side moves by rate * gradient /
/// sqrt(1 + sum of their squares so far). `last`: the last of the vectors has the biases.
#[inline(always)]
unsafe fn update<S: Simd, const C: usize, const CLIPPED: bool>(
    kernel: &Kernel,
    x: &mut [S::F; C],
    g: &mut [S::F; C],
    column: *mut f32,
    stride: usize,
    pull: f32,
    last: bool,
) {
    unsafe {
        let step = S::splat(pull * kernel.rate);
        let (rate, pull) = (S::splat(kernel.rate), S::splat(pull));
        for k in 0..C {
            let y = S::load(column.add(k * LANES));
            let h = S::load(column.add(stride + k * LANES));
            let (mut dx, mut dy);
            if CLIPPED || (last && k == C - 1) {
                (dx, dy) = (S::mul(pull, y), S::mul(pull, x[k]));
                if CLIPPED {
                    (dx, dy) = (S::clamp(dx, -CLIP, CLIP), S::clamp(dy, -CLIP, CLIP));
                }
                let rates = if last && k == C - 1 {
                    (S::load(kernel.row_rates.as_ptr()), S::load(kernel.column_rates.as_ptr()))
                } else {
                    (rate, rate)
                };
                (dx, dy) = (S::mul(dx, rates.0), S::mul(dy, rates.1));
            } else {
                (dx, dy) = (S::mul(step, y), S::mul(step, x[k]));
            }
            x[k] = S::fma(dx, S::rsqrt(g[k]), x[k]);
            g[k] = S::fma(dx, dx, g[k]);
            S::store(column.add(k * LANES), S::fma(dy, S::rsqrt(h), y));
            S::store(column.add(stride + k * LANES), S::fma(dy, dy, h));
        }
    }
}

/// Ask for a row to be brought near.
#[inline(always)]
fn prefetch(row: *const f32, length: usize) {
    for i in (0..length).step_by(16) {
        crate::simd::prefetch(row.wrapping_add(i));
    }
}

#[cfg(test)]
mod tests {
    use super::super::counts::Counter;
    use super::*;
    use crate::word2vec::SENTENCE_END;
    use std::collections::HashSet;
    use std::time::Duration;

    fn options(dim: usize) -> Options {
        Options { dim, x_max: 10.0, alpha: 0.75, rate: 0.05, epochs: 2, seed: 11, threads: 1 }
    }

    /// What meets in sentences of a small language.
    fn nonzeros(words: u32, sentences: usize) -> Nonzeros {
        let (mut rng, mut ids, mut counts) = (Rng::new(3, 0), Vec::new(), vec![1u64; words as usize]);
        for sentence in 0..sentences {
            for _ in 0..sentence % 23 {
                let id = rng.below(words).min(rng.below(words));
                counts[id as usize] += 1;
                ids.push(id);
            }
            ids.push(SENTENCE_END);
        }
        let mut counter = Counter::new(&counts, ids.len(), 10, 1, 1 << 30).unwrap();
        counter.run(&ids, Instant::now() + Duration::from_secs(60)).unwrap();
        counter.finish().unwrap()
    }

    fn model(nonzeros: Nonzeros, options: Options, level: Level) -> GloVe {
        GloVe::new(nonzeros, options, level).unwrap()
    }

    fn train(mut model: GloVe) -> (GloVe, Done) {
        let done = model.run(Instant::now() + Duration::from_secs(60));
        (model, done)
    }

    /// A word's vector or context vector in f64: values, bias, and the squared gradients of both.
    #[derive(Clone)]
    struct Row {
        values: Vec<f64>,
        bias: f64,
        squares: Vec<f64>,
        bias_square: f64,
    }

    fn rows(matrix: &Matrix, dim: usize, bias: usize) -> Vec<Row> {
        let row = |r| Row {
            values: matrix.read(r)[..dim].iter().map(|&x| f64::from(x)).collect(),
            bias: f64::from(matrix.read(r)[bias]),
            squares: vec![1.0; dim],
            bias_square: 1.0,
        };
        (0..matrix.rows).map(row).collect()
    }

    /// Move a row, as Stanford's code does, by the other row as it was.
    fn update(row: &mut Row, other: &[f64], fdiff: f64, rate: f64) {
        for k in 0..row.values.len() {
            let gradient = (fdiff * other[k]).clamp(-100.0, 100.0) * rate;
            row.values[k] -= gradient / row.squares[k].sqrt();
            row.squares[k] += gradient * gradient;
        }
        row.bias -= fdiff / row.bias_square.sqrt();
        row.bias_square += fdiff * fdiff;
    }

    /// The specification of one epoch: the same order of pairs, then plain loops in f64. Returns the loss.
    fn plain(model: &GloVe, words: &mut [Row], contexts: &mut [Row]) -> f64 {
        let (o, mut loss) = (&model.options, 0.0);
        for job in &model.queue.lock().unwrap().jobs {
            let strip = &model.nonzeros.strips[job.strip as usize];
            let column_block = strip.cells[job.cell as usize].columns as usize;
            let (first_row, first_column) =
                (model.nonzeros.blocks.rows(strip.block).start, model.nonzeros.blocks.rows(column_block).start);
            let (runs, columns, logs) = model.nonzeros.cell(job.strip as usize, job.cell as usize);
            let pairs = runs.iter().flat_map(|run| std::iter::repeat_n(run.row as usize, run.length as usize));
            for (row, (&column, &log)) in pairs.zip(columns.iter().zip(logs)) {
                let (row, column, log) = (first_row + row, first_column + column as usize, f64::from(log));
                if job.mirrored && row == column {
                    continue;
                }
                let (word, context) = if job.mirrored { (column, row) } else { (row, column) };
                let (w, c) = (&mut words[word], &mut contexts[context]);
                let dot: f64 = w.values.iter().zip(&c.values).map(|(a, b)| a * b).sum();
                let diff = dot + w.bias + c.bias - log;
                let fdiff = diff * (log.exp() / f64::from(o.x_max)).powf(f64::from(o.alpha)).min(1.0);
                loss += 0.5 * fdiff * diff;
                let before = w.values.clone();
                update(w, &c.values, fdiff, f64::from(o.rate));
                update(c, &before, fdiff, f64::from(o.rate));
            }
        }
        loss
    }

    #[test]
    fn every_version_does_what_the_plain_loops_do() {
        // x_max 10 and rate 0.05 as always; then so wild that gradients are clipped
        for (dim, rate) in [(1, 0.05), (14, 0.05), (15, 0.05), (37, 0.05), (100, 0.05), (150, 0.05), (20, 4.0)] {
            for level in Level::ALL.into_iter().filter(|level| level.available()) {
                let o = Options { epochs: 1, rate, ..options(dim) };
                let model = model(nonzeros(600, 100), o, level);
                let (mut w, mut c) =
                    (rows(&model.words, dim, model.stride - 2), rows(&model.contexts, dim, model.stride - 1));
                let start = w.clone();
                let loss = plain(&model, &mut w, &mut c);
                let (model, done) = train(model);
                let far = (0..600).flat_map(|r| (0..dim).map(move |k| (r, k)));
                let moved = far.clone().map(|(r, k)| (w[r].values[k] - start[r].values[k]).abs()).fold(0.0, f64::max);
                let off =
                    far.map(|(r, k)| (w[r].values[k] - f64::from(model.words.read(r)[k])).abs()).fold(0.0, f64::max);
                // Steps of up to a row's whole way, each off by the error of rsqrt: 2^-11, and 0 in the portable version.
                let tolerance = if level == Level::Portable { 1e-4 } else { 2e-3 };
                assert!(
                    off <= tolerance * moved.max(0.1),
                    "{} at dim {dim}, rate {rate}: {off} of {moved}",
                    level.name()
                );
                assert!((done.loss / loss - 1.0).abs() < tolerance, "{} and {loss}", done.loss);
            }
        }
    }

    #[test]
    fn a_seed_gives_the_same_bytes_however_the_work_is_cut_and_shared() {
        let bits = |model: &GloVe| -> Vec<Vec<u32>> {
            let both = [&model.words, &model.contexts];
            both.iter().flat_map(|m| (0..m.rows).map(|r| m.read(r).iter().map(|x| x.to_bits()).collect())).collect()
        };
        let level = Level::chosen().unwrap();
        let start = |threads| model(nonzeros(2500, 1500), Options { threads, ..options(20) }, level);
        let (whole, done) = train(start(1));
        assert_eq!(done.pairs, 2 * whole.pairs());
        for threads in 1..=3 {
            let mut pieces = start(threads);
            while pieces.epoch() < 2 {
                pieces.run(Instant::now());
            }
            assert!(bits(&whole) == bits(&pieces), "{threads} threads");
        }
    }

    #[test]
    fn jobs_that_share_rows_never_run_together_and_each_runs_once_in_a_fresh_order() {
        let mut model = model(nonzeros(2500, 300), options(4), Level::Portable);
        let mut orders = Vec::new();
        for _ in 0..2 {
            let queue = model.queue.get_mut().unwrap();
            let (mut running, mut rng, mut finished): (Vec<usize>, _, Vec<usize>) =
                (Vec::new(), Rng::new(1, 1), Vec::new());
            loop {
                match queue.take() {
                    Taken::Job(number) if running.len() < 4 => {
                        for &other in &running {
                            let (a, b) = (queue.jobs[number], queue.jobs[other]);
                            assert!(a.words != b.words && a.contexts != b.contexts);
                        }
                        for (before, job) in queue.jobs[..number].iter().enumerate() {
                            let shares =
                                job.words == queue.jobs[number].words || job.contexts == queue.jobs[number].contexts;
                            assert!(!shares || finished.contains(&before));
                        }
                        running.push(number);
                        continue;
                    }
                    Taken::Job(number) => queue.started[number] = false,
                    Taken::Nothing if running.is_empty() => break,
                    _ => {}
                }
                let number = running.swap_remove(rng.below(running.len() as u32) as usize);
                queue.finish(number);
                finished.push(number);
            }
            assert_eq!(finished.iter().collect::<HashSet<_>>().len(), queue.jobs.len());
            orders.push(queue.jobs.iter().map(|job| (job.strip, job.cell, job.mirrored)).collect::<Vec<_>>());
            model.epoch += 1;
            model.begin_epoch();
        }
        assert_ne!(orders[0], orders[1]);
        assert_eq!(orders[0].iter().collect::<HashSet<_>>(), orders[1].iter().collect());
    }

    #[test]
    fn padding_stays_zero_and_ones_stay_one() {
        let (model, _) = train(model(nonzeros(300, 300), options(37), Level::chosen().unwrap()));
        for (matrix, one) in [(&model.words, model.stride - 1), (&model.contexts, model.stride - 2)] {
            for row in 0..300 {
                let values = matrix.read(row);
                assert!(values[37..model.stride - 2].iter().all(|&x| x == 0.0));
                assert_eq!(values[one], 1.0);
            }
        }
    }
}
