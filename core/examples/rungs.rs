//! The ladder from word2vec's loops to firth's kernel, measured: what each step is worth on this machine.
//!
//!     cargo run --release --example rungs -- TEXT [WORDS]
//!
//! trains one epoch of skip-gram (dim 100) over the first WORDS words of a text, or all, in five ways, and prints a line of
//! JSON for each. The first four are plain and short, one thread each; the last is `Model::run`, with one thread and with
//! all. `loss` is measured after training, in the same way for all.

use firth_core::matrix::Matrix;
use firth_core::peak::peak_flops;
use firth_core::random::{Quantiles, Rng};
use firth_core::simd::{LANES, Level, Portable, Simd};
use firth_core::text::reader::{Reader, Settings};
use firth_core::text::store::Ids;
use firth_core::text::tokens::{Rules, Sentences, Tokens};
use firth_core::word2vec::{self, Method, Options, SENTENCE_END};
use std::time::{Duration, Instant};

const DIM: usize = 100;
const STRIDE: usize = DIM.next_multiple_of(LANES);
const WINDOW: usize = 5;
const NEGATIVES: usize = 5;
const SAMPLE: f64 = 1e-3;
const ALPHA: f32 = 0.025;
const MIN_COUNT: u64 = 5;
/// Positions in a block and the noise words they share, as in the kernel.
const BLOCK: usize = 16;
const SHARED: usize = 16;
/// Words that the loss is measured on.
const MEASURED: usize = 100_000;

struct Model {
    vectors: Matrix,
    context: Matrix,
    keep: Vec<f32>,
    noise: Quantiles,
}

/// Trains on one sentence; returns how many dot products there were, each with its two updates.
type Rung = fn(&Model, &[u32], f32, &mut Rng, Level) -> u64;

impl Model {
    fn new(counts: &[u64]) -> std::io::Result<Model> {
        let total = counts.iter().sum::<u64>() as f64;
        let mut vectors = Matrix::zeros(counts.len(), DIM)?;
        for row in 0..counts.len() {
            let mut rng = Rng::new(1, row as u64);
            vectors.write(row)[..DIM].fill_with(|| (2.0 * rng.unit() - 1.0) / DIM as f32);
        }
        let kept = |&count: &u64| (SAMPLE * total / count as f64).sqrt() + SAMPLE * total / count as f64;
        let weights: Vec<f64> = counts.iter().map(|&count| (count as f64).powf(0.75)).collect();
        Ok(Model {
            vectors,
            context: Matrix::zeros(counts.len(), DIM)?,
            keep: counts.iter().map(|count| kept(count) as f32).collect(),
            noise: Quantiles::new(&weights),
        })
    }

    fn draw(&self, rng: &mut Rng) -> usize {
        self.noise.at((rng.bits() >> 32) as u32) as usize
    }
}

/// Where the context of position i begins and ends, itself included.
fn window(i: usize, length: usize, rng: &mut Rng) -> std::ops::Range<usize> {
    let reach = 1 + rng.below(WINDOW as u32) as usize;
    i.saturating_sub(reach)..(i + reach + 1).min(length)
}

/// A row, while this thread alone trains.
#[allow(clippy::mut_from_ref)]
fn row(matrix: &Matrix, word: usize) -> &mut [f32] {
    // SAFETY: one thread, and no function here holds the same row twice.
    unsafe { std::slice::from_raw_parts_mut(matrix.row(word), STRIDE) }
}

fn gain(score: f32, label: f32, alpha: f32) -> f32 {
    alpha * (label - 1.0 / (1.0 + (-score).exp()))
}

/// 1. word2vec.c's order: for each pair six dot products, one after the other, each followed by its updates.
fn one_dot_at_a_time(model: &Model, words: &[u32], alpha: f32, rng: &mut Rng, _: Level) -> u64 {
    let mut dots = 0;
    for i in 0..words.len() {
        let x = row(&model.vectors, words[i] as usize);
        for j in window(i, words.len(), rng).filter(|&j| j != i) {
            let mut dx = [0f32; DIM];
            for n in 0..=NEGATIVES {
                let (other, label) = if n == 0 { (words[j] as usize, 1.0) } else { (model.draw(rng), 0.0) };
                let c = row(&model.context, other);
                let mut score = 0.0;
                for k in 0..DIM {
                    score += x[k] * c[k];
                }
                let g = gain(score, label, alpha);
                for k in 0..DIM {
                    dx[k] += g * c[k];
                }
                for k in 0..DIM {
                    c[k] += g * x[k];
                }
                dots += 1;
            }
            for k in 0..DIM {
                x[k] += dx[k];
            }
        }
    }
    dots
}

/// 2. The same, sixteen floats at a time.
#[inline(always)]
unsafe fn one_vector_dot_at_a_time<S: Simd>(model: &Model, words: &[u32], alpha: f32, rng: &mut Rng) -> u64 {
    let mut dots = 0;
    for i in 0..words.len() {
        let x = model.vectors.row(words[i] as usize);
        for j in window(i, words.len(), rng).filter(|&j| j != i) {
            let mut dx = [0f32; STRIDE];
            for n in 0..=NEGATIVES {
                let (other, label) = if n == 0 { (words[j] as usize, 1.0) } else { (model.draw(rng), 0.0) };
                let c = model.context.row(other);
                unsafe {
                    let g = gain(sum::<S>(partial_dot::<S>(x, c)), label, alpha);
                    add_scaled::<S>(dx.as_mut_ptr(), g, c);
                    add_scaled::<S>(c, g, x);
                }
                dots += 1;
            }
            unsafe { add_scaled::<S>(x, 1.0, dx.as_ptr()) };
        }
    }
    dots
}

/// 3. Batched: the position's vector with all its context words and fresh noise words, gathered first.
#[inline(always)]
unsafe fn batched<S: Simd>(model: &Model, words: &[u32], alpha: f32, rng: &mut Rng) -> u64 {
    const MOST: usize = (2 * WINDOW * (1 + NEGATIVES)).next_multiple_of(LANES);
    let (mut rows, mut labels, mut gains) = ([std::ptr::null_mut(); MOST], [0f32; MOST], [0f32; MOST]);
    let mut dots = 0;
    for i in 0..words.len() {
        let x = model.vectors.row(words[i] as usize);
        let mut count = 0;
        for j in window(i, words.len(), rng).filter(|&j| j != i) {
            for n in 0..=NEGATIVES {
                let other = if n == 0 { words[j] as usize } else { model.draw(rng) };
                (rows[count], labels[count]) = (model.context.row(other), if n == 0 { 1.0 } else { 0.0 });
                count += 1;
            }
        }
        unsafe {
            for first in (0..count).step_by(LANES) {
                let mut partial = [S::zero(); LANES];
                for p in first..count.min(first + LANES) {
                    partial[p - first] = partial_dot::<S>(x, rows[p]);
                }
                let misses = S::sub(S::load(labels.as_ptr().add(first)), S::sigmoid(S::sums(partial)));
                S::store(gains.as_mut_ptr().add(first), S::mul(S::splat(alpha), misses));
            }
            let mut dx = [0f32; STRIDE];
            for p in 0..count {
                add_scaled::<S>(dx.as_mut_ptr(), gains[p], rows[p]);
                add_scaled::<S>(rows[p], gains[p], x);
            }
            add_scaled::<S>(x, 1.0, dx.as_ptr());
        }
        dots += count as u64;
    }
    dots
}

/// 4. A block of positions shares its noise words: three products of small matrices, one row at a time.
#[inline(always)]
unsafe fn shared_noise<S: Simd>(model: &Model, words: &[u32], alpha: f32, rng: &mut Rng) -> u64 {
    const MOST: usize = 2 * WINDOW;
    let mut dots = 0;
    for block in (0..words.len()).step_by(BLOCK) {
        let block = block..words.len().min(block + BLOCK);
        let noise: [*mut f32; SHARED] = std::array::from_fn(|_| model.context.row(model.draw(rng)));
        let (mut dx, mut dn) = ([[0f32; STRIDE]; BLOCK], [[0f32; STRIDE]; SHARED]);
        for (b, i) in block.clone().enumerate() {
            let x = model.vectors.row(words[i] as usize);
            let (mut pairs, mut rows) = (0, [std::ptr::null_mut(); LANES]);
            for j in window(i, words.len(), rng).filter(|&j| j != i) {
                rows[pairs] = model.context.row(words[j] as usize);
                pairs += 1;
            }
            debug_assert!(pairs <= MOST && MOST <= LANES);
            let weight = (pairs * NEGATIVES) as f32 / SHARED as f32;
            unsafe {
                let mut partial = [S::zero(); LANES];
                let mut gains = [0f32; LANES];
                for j in 0..SHARED {
                    partial[j] = partial_dot::<S>(x, noise[j]);
                }
                S::store(gains.as_mut_ptr(), S::mul(S::splat(-alpha * weight), S::sigmoid(S::sums(partial))));
                for j in 0..SHARED {
                    add_scaled::<S>(dx[b].as_mut_ptr(), gains[j], noise[j]);
                    add_scaled::<S>(dn[j].as_mut_ptr(), gains[j], x);
                }
                partial = [S::zero(); LANES];
                for p in 0..pairs {
                    partial[p] = partial_dot::<S>(x, rows[p]);
                }
                let misses = S::sub(S::splat(1.0), S::sigmoid(S::sums(partial)));
                S::store(gains.as_mut_ptr(), S::mul(S::splat(alpha), misses));
                for p in 0..pairs {
                    add_scaled::<S>(dx[b].as_mut_ptr(), gains[p], rows[p]);
                    add_scaled::<S>(rows[p], gains[p], x);
                }
            }
            dots += (pairs + SHARED) as u64;
        }
        unsafe {
            for (b, i) in block.enumerate() {
                add_scaled::<S>(model.vectors.row(words[i] as usize), 1.0, dx[b].as_ptr());
            }
            for j in 0..SHARED {
                add_scaled::<S>(noise[j], 1.0, dn[j].as_ptr());
            }
        }
    }
    dots
}

/// Sixteen sums whose sum is the dot product.
#[inline(always)]
unsafe fn partial_dot<S: Simd>(a: *const f32, b: *const f32) -> S::F {
    unsafe {
        let mut sum = S::zero();
        for k in (0..STRIDE).step_by(LANES) {
            sum = S::fma(S::load(a.add(k)), S::load(b.add(k)), sum);
        }
        sum
    }
}

#[inline(always)]
unsafe fn sum<S: Simd>(v: S::F) -> f32 {
    let mut out = [0f32; LANES];
    unsafe { S::store(out.as_mut_ptr(), v) };
    let mut half = LANES / 2;
    while half > 0 {
        for i in 0..half {
            out[i] += out[i + half];
        }
        half /= 2;
    }
    out[0]
}

#[inline(always)]
unsafe fn add_scaled<S: Simd>(to: *mut f32, factor: f32, from: *const f32) {
    unsafe {
        for k in (0..STRIDE).step_by(LANES) {
            S::store(to.add(k), S::fma(S::splat(factor), S::load(from.add(k)), S::load(to.add(k))));
        }
    }
}

/// `$name` is `$kernel` with the instruction set of a level.
macro_rules! for_each_level {
    ($name:ident, $kernel:ident) => {
        fn $name(model: &Model, words: &[u32], alpha: f32, rng: &mut Rng, level: Level) -> u64 {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512dq,avx2,fma,bmi2")]
            fn avx512(model: &Model, words: &[u32], alpha: f32, rng: &mut Rng) -> u64 {
                unsafe { $kernel::<firth_core::simd::Avx512>(model, words, alpha, rng) }
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,bmi2")]
            fn avx2(model: &Model, words: &[u32], alpha: f32, rng: &mut Rng) -> u64 {
                unsafe { $kernel::<firth_core::simd::Avx2>(model, words, alpha, rng) }
            }
            #[cfg(target_arch = "aarch64")]
            #[target_feature(enable = "neon")]
            fn neon(model: &Model, words: &[u32], alpha: f32, rng: &mut Rng) -> u64 {
                unsafe { $kernel::<firth_core::simd::Neon>(model, words, alpha, rng) }
            }
            // SAFETY: `level` is one that the processor has.
            unsafe {
                match level {
                    #[cfg(target_arch = "x86_64")]
                    Level::Avx512 => avx512(model, words, alpha, rng),
                    #[cfg(target_arch = "x86_64")]
                    Level::Avx2 => avx2(model, words, alpha, rng),
                    #[cfg(target_arch = "aarch64")]
                    Level::Neon => neon(model, words, alpha, rng),
                    _ => $kernel::<Portable>(model, words, alpha, rng),
                }
            }
        }
    };
}
for_each_level!(vector_dots, one_vector_dot_at_a_time);
for_each_level!(batches, batched);
for_each_level!(blocks, shared_noise);

/// One epoch with one thread; returns the floating-point operations.
fn train(model: &Model, ids: &[u32], rung: Rung, level: Level) -> u64 {
    let (mut rng, mut dots, mut seen, mut kept) = (Rng::new(1, 0), 0, 0, Vec::new());
    for sentence in ids.split(|&id| id == SENTENCE_END) {
        kept.clear();
        kept.extend(sentence.iter().filter(|&&id| rng.unit() < model.keep[id as usize]));
        let alpha = ALPHA * (1.0 - seen as f32 / ids.len() as f32).max(1e-4);
        dots += rung(model, &kept, alpha, &mut rng, level);
        seen += sentence.len() + 1;
    }
    6 * DIM as u64 * dots
}

/// Mean loss of a pair and its noise words over the first words of the text.
fn loss(vectors: &Matrix, context: &Matrix, model: &Model, ids: &[u32]) -> f64 {
    let (mut rng, mut sum, mut pairs) = (Rng::new(2, 0), 0.0, 0u64);
    let softplus = |x: &[f32], c: &[f32], sign: f32| -> f64 {
        let score: f32 = x.iter().zip(c).map(|(a, b)| a * b).sum();
        f64::from((1.0 + (-sign * score).exp()).ln())
    };
    for sentence in ids[..ids.len().min(MEASURED)].split(|&id| id == SENTENCE_END) {
        let kept: Vec<u32> = sentence.iter().copied().filter(|&id| rng.unit() < model.keep[id as usize]).collect();
        for i in 0..kept.len() {
            let x = vectors.read(kept[i] as usize);
            for j in window(i, kept.len(), &mut rng).filter(|&j| j != i) {
                sum += softplus(x, context.read(kept[j] as usize), 1.0);
                for _ in 0..NEGATIVES {
                    sum += softplus(x, context.read(model.draw(&mut rng)), -1.0);
                }
                pairs += 1;
            }
        }
    }
    sum / pairs as f64
}

fn read(path: &str, threads: usize) -> Result<(Vec<u32>, Vec<u64>), String> {
    let rules = Rules { tokens: Tokens::Whitespace, sentences: Sentences::Line, replace: false };
    let mut reader = Reader::new(Settings { rules, threads, block: 1 << 20, spill: usize::MAX })?;
    let said = |error| format!("{path}: {error:?}");
    reader.open(std::path::Path::new(path)).map_err(said)?;
    while reader.read(16 << 20).map_err(said)?.is_some() {}
    reader.end_source().map_err(said)?;
    let corpus = reader.settle().and_then(|read| read.finish(MIN_COUNT, usize::MAX, &[] as &[&str])).map_err(said)?;
    match corpus.ids {
        Ids::Memory(ids) => Ok((ids, corpus.counts)),
        Ids::File { .. } => Err(format!("{path}: too large for memory")),
    }
}

fn main() -> Result<(), String> {
    let mut arguments = std::env::args().skip(1);
    let text = arguments.next().ok_or("usage: rungs TEXT [WORDS]")?;
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    let (mut ids, counts) = read(&text, threads)?;
    if let Some(words) = arguments.next() {
        ids.truncate(words.parse().map_err(|_| "WORDS must be a number")?);
    }
    let words = ids.iter().filter(|&&id| id != SENTENCE_END).count();
    let level = Level::chosen()?;
    let model = || Model::new(&counts).map_err(|error| error.to_string());
    let mut last_words_per_s = None;
    let mut tell = |name: &str, threads: usize, took_s: f64, flops: u64, loss: f64| {
        let words_per_s = words as f64 / took_s;
        let peak = peak_flops(level, threads, Duration::from_millis(200));
        let share = flops as f64 / took_s / peak;
        let speedup =
            last_words_per_s.replace(words_per_s).map_or("null".into(), |last| format!("{:.3}", words_per_s / last));
        println!(
            "{{\"rung\": \"{name}\", \"threads\": {threads}, \"words_per_s\": {words_per_s:.0}, \"gflop_per_s\": {:.2}, \
             \"peak_gflop_per_s\": {:.1}, \"share_of_peak\": {share:.4}, \"times_the_rung_before\": {speedup}, \"loss\": {loss:.4}}}",
            flops as f64 / took_s / 1e9,
            peak / 1e9,
        );
    };

    let rungs: [(&str, Rung); 4] = [
        ("one dot product at a time", one_dot_at_a_time),
        ("with vector instructions", vector_dots),
        ("batched by position", batches),
        ("noise words shared by a block", blocks),
    ];
    for (name, rung) in rungs {
        let model = model()?;
        let began = Instant::now();
        let flops = train(&model, &ids, rung, level);
        let took_s = began.elapsed().as_secs_f64();
        tell(name, 1, took_s, flops, loss(&model.vectors, &model.context, &model, &ids));
    }
    for threads in if threads > 1 { vec![1, threads] } else { vec![1] } {
        let options = Options {
            method: Method::SkipGram,
            dim: DIM,
            window: WINDOW,
            negatives: NEGATIVES,
            sample: SAMPLE,
            alpha: ALPHA,
            epochs: 1,
            seed: 1,
            threads,
        };
        let mut trained = word2vec::Model::new(&counts, options, level).map_err(|error| error.to_string())?;
        let began = Instant::now();
        let done = trained.run(&ids, 0, word2vec::Model::chunks(ids.len()));
        let took_s = began.elapsed().as_secs_f64();
        let name = if threads == 1 { "the kernel: tiles in registers" } else { "all threads" };
        tell(name, threads, took_s, done.flops, loss(trained.vectors(), trained.context(), &model()?, &ids));
    }
    Ok(())
}
