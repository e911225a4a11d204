//! Skip-gram with negative sampling (Mikolov et al. 2013b) as small matrix products.
//!
//! Plain word2vec takes one pair of words at a time: a dot product with the context word and with each of five fresh
//! noise words, six updates, all of them memory traffic. Here `BLOCK` neighbouring positions share `SHARED` noise words,
//! each weighted so that the expected gradient stays that of `negatives` fresh ones a pair: weight = pairs of the
//! position * negatives / SHARED. The scores of a block are then one matrix product, X N^T, and its updates two more,
//! G N and G^T X, with tiles held in registers; only the true pairs remain single dot products.
//!
//! All gradients of a block are taken at its start (a mini-batch of about 100 pairs), except that the pairs of a position
//! see what those before it changed. Threads take chunks of the text in turn and update the rows without locks (Hogwild).
//! Only the rows that every thread would write all the time are not fought for: of the most frequent words as context each
//! thread has rows of its own, and the threads' means are taken between chunks.

// The loops of a kernel walk several arrays with one index, and pass pointers and strides.
#![allow(clippy::needless_range_loop, clippy::too_many_arguments)]

use crate::matrix::Matrix;
use crate::random::{Quantiles, Rng};
use crate::simd::{LANES, Level, Portable, Simd};
use std::sync::atomic::{AtomicU64, Ordering};

/// Marks the end of a sentence among the ids.
pub const SENTENCE_END: u32 = u32::MAX;
/// Noise words that a block shares; chosen with BLOCK for quality first (bench/LOG.md).
const SHARED: usize = 16;
/// Positions in a block.
const BLOCK: usize = 16;
/// Ids a thread takes at a time: long enough that taking is free, short enough that threads end together.
pub const CHUNK: usize = 16_384;
/// Mikolov et al. 2013b, section 2.2: noise words are drawn in proportion to count ** 3/4.
const NOISE_POWER: f64 = 0.75;
/// word2vec.c: the rate falls linearly, but not below this share of the first one.
const LOWEST_ALPHA: f32 = 1e-4;
/// The loss is measured on one block in so many; that is enough to see it fall, or diverge.
const LOSS_EVERY: usize = 256;
/// Of so many of the most frequent words each thread has its own rows as context. Within a chunk these rows see updates
/// enough to follow the text by themselves, so that a mean between chunks loses nothing; rarer words would.
const HOT: usize = 64;
/// Vectors of LANES floats that a group of columns holds in registers.
const GROUP: usize = 8;

#[derive(Clone)]
pub struct Options {
    pub dim: usize,
    pub window: usize,
    pub negatives: usize,
    pub sample: f64,
    pub alpha: f32,
    pub epochs: usize,
    pub seed: u64,
    pub threads: usize,
}

/// What a stretch of training did.
#[derive(Clone, Copy, Default, Debug)]
pub struct Done {
    /// Words seen, before frequent ones were thinned out.
    pub words: u64,
    /// Pairs of a word and a context word.
    pub pairs: u64,
    /// Floating-point operations: 6 d for each pair and for each (position, shared noise word).
    pub flops: u64,
    /// Sum of the loss over `loss_pairs` pairs.
    pub loss: f64,
    pub loss_pairs: u64,
}

impl Done {
    fn add(&mut self, other: &Done) {
        self.words += other.words;
        self.pairs += other.pairs;
        self.flops += other.flops;
        self.loss += other.loss;
        self.loss_pairs += other.loss_pairs;
    }
}

/// A model in training.
pub struct SkipGram {
    options: Options,
    vectors: Matrix,
    context: Matrix,
    /// A word is kept where 32 random bits are at most this (subsampling of frequent words, section 2.3).
    keep: Vec<u32>,
    noise: Quantiles,
    hot: usize,
    level: Level,
}

impl SkipGram {
    /// `counts`: how often each word of the vocabulary occurs.
    pub fn new(counts: &[u64], options: Options, level: Level) -> std::io::Result<SkipGram> {
        let mut vectors = Matrix::zeros(counts.len(), options.dim)?;
        let context = Matrix::zeros(counts.len(), options.dim)?;
        for row in 0..counts.len() {
            let mut rng = Rng::new(options.seed ^ 0x5EED, row as u64);
            for x in &mut vectors.write(row)[..options.dim] {
                *x = (2.0 * rng.unit() - 1.0) / options.dim as f32; // gensim 4; word2vec.c has half of it
            }
        }
        let total = counts.iter().sum::<u64>() as f64;
        let keep = counts
            .iter()
            .map(|&count| {
                let share = count as f64 / total;
                // word2vec.c keeps a word with this probability, a smoother form of the paper's sqrt(sample / share)
                let p =
                    if options.sample > 0.0 { (options.sample / share).sqrt() + options.sample / share } else { 1.0 };
                (p.min(1.0) * f64::from(u32::MAX)) as u32
            })
            .collect();
        let weights: Vec<f64> = counts.iter().map(|&count| (count as f64).powf(NOISE_POWER)).collect();
        let hot = if options.threads > 1 { HOT.min(counts.len()) } else { 0 };
        Ok(SkipGram { options, vectors, context, keep, noise: Quantiles::new(&weights), hot, level })
    }

    /// Begin with these vectors of some words, (rows, dim) each, instead of random ones and zeros.
    pub fn load(&mut self, rows: &[u32], vectors: &[f32], context: &[f32]) {
        let dim = self.options.dim;
        for (matrix, from) in [(&mut self.vectors, vectors), (&mut self.context, context)] {
            for (&row, from) in rows.iter().zip(from.chunks_exact(dim)) {
                matrix.write(row as usize)[..dim].copy_from_slice(from);
            }
        }
    }

    /// Chunks in an epoch over `ids` of that length.
    pub fn chunks(ids: usize) -> u64 {
        ids.div_ceil(CHUNK) as u64
    }

    pub fn vectors(&self) -> &Matrix {
        &self.vectors
    }

    pub fn context(&self) -> &Matrix {
        &self.context
    }

    /// Train on chunks `from..to`, counted over all epochs. The same chunks in the same order give the same numbers
    /// with one thread; with more, updates race and the last digits differ.
    pub fn run(&mut self, ids: &[u32], from: u64, to: u64) -> Done {
        let model = &*self;
        let next = AtomicU64::new(from);
        let work = || {
            let mut scratch = Scratch::new(model);
            let mut done = Done::default();
            loop {
                let chunk = next.fetch_add(1, Ordering::Relaxed);
                share_hot(model, &mut scratch);
                if chunk >= to {
                    return done;
                }
                // SAFETY: `level` is one that the processor has.
                unsafe {
                    match model.level {
                        #[cfg(target_arch = "x86_64")]
                        Level::Avx512 => chunk_avx512(model, ids, chunk, &mut scratch, &mut done),
                        #[cfg(target_arch = "x86_64")]
                        Level::Avx2 => chunk_avx2(model, ids, chunk, &mut scratch, &mut done),
                        _ => train_chunk::<Portable>(model, ids, chunk, &mut scratch, &mut done),
                    }
                }
            }
        };
        let threads = (self.options.threads as u64).min(to - from);
        let mut all = Done::default();
        if threads == 1 {
            all.add(&work());
        } else {
            std::thread::scope(|scope| {
                let handles: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
                for handle in handles {
                    all.add(&handle.join().expect("a training thread panicked"));
                }
            });
        }
        all
    }
}

/// A thread's own memory, reused from block to block.
struct Scratch {
    kept: Vec<u32>,       // the chunk's words after thinning
    start: Vec<u32>,      // for each, where its sentence starts in `kept`
    end: Vec<u32>,        // and ends
    x: [*mut f32; BLOCK], // rows of the block's words
    noise: [u32; SHARED],
    n: [*mut f32; SHARED],     // rows of the noise words
    near: Vec<*mut f32>,       // rows, as context, of the words from a window before the block to one behind it
    o: Vec<*mut f32>,          // those of the pairs, position after position
    first: [usize; BLOCK + 1], // where each position's contexts start in `o`
    sums: Aligned,             // dot products of the pairs, unreduced: 16 floats each
    gains: Aligned,            // then their gradients
    g: Aligned,                // (BLOCK, SHARED) scores with the noise words, then gradients
    dx: Aligned,               // (BLOCK, stride) what the noise adds to the block's rows
    dn: Aligned,               // (SHARED, stride) and the block to the noise words' rows
    zero: Aligned,             // stands in for the rows that a short block lacks
    hot: Aligned,              // (HOT, stride) this thread's rows of the most frequent words, as context
    hot_before: Aligned,       // what they were when last shared
}

/// Floats that begin at a cache line.
struct Aligned(Vec<Line>);

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; 16]);

impl Aligned {
    fn zeros(floats: usize) -> Aligned {
        Aligned(vec![Line([0.0; 16]); floats.div_ceil(16)])
    }
}

impl std::ops::Deref for Aligned {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        // SAFETY: lines are sixteen floats each and nothing else.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast(), self.0.len() * 16) }
    }
}

impl std::ops::DerefMut for Aligned {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as above.
        unsafe { std::slice::from_raw_parts_mut(self.0.as_mut_ptr().cast(), self.0.len() * 16) }
    }
}

impl Scratch {
    fn new(model: &SkipGram) -> Scratch {
        let (stride, most) = (model.vectors.stride, BLOCK * 2 * model.options.window);
        Scratch {
            kept: Vec::with_capacity(CHUNK),
            start: Vec::with_capacity(CHUNK),
            end: Vec::with_capacity(CHUNK),
            x: [std::ptr::null_mut(); BLOCK],
            noise: [0; SHARED],
            n: [std::ptr::null_mut(); SHARED],
            near: vec![std::ptr::null_mut(); BLOCK + 2 * model.options.window],
            o: vec![std::ptr::null_mut(); most + 1],
            first: [0; BLOCK + 1],
            sums: Aligned::zeros(most.next_multiple_of(LANES) * LANES),
            gains: Aligned::zeros(most.next_multiple_of(LANES)),
            g: Aligned::zeros(BLOCK * SHARED),
            dx: Aligned::zeros(BLOCK * stride),
            dn: Aligned::zeros(SHARED * stride),
            zero: Aligned::zeros(stride),
            hot: Aligned::zeros(model.hot * stride),
            hot_before: Aligned::zeros(model.hot * stride),
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512dq,avx2,fma,bmi2")]
fn chunk_avx512(model: &SkipGram, ids: &[u32], chunk: u64, scratch: &mut Scratch, done: &mut Done) {
    // SAFETY: the attribute above says what the processor has.
    unsafe { train_chunk::<crate::simd::Avx512>(model, ids, chunk, scratch, done) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,bmi2")]
fn chunk_avx2(model: &SkipGram, ids: &[u32], chunk: u64, scratch: &mut Scratch, done: &mut Done) {
    // SAFETY: the attribute above says what the processor has.
    unsafe { train_chunk::<crate::simd::Avx2>(model, ids, chunk, scratch, done) }
}

/// Train on one chunk; a window never crosses its ends.
#[inline(always)]
unsafe fn train_chunk<S: Simd>(model: &SkipGram, ids: &[u32], chunk: u64, s: &mut Scratch, done: &mut Done) {
    let options = &model.options;
    let chunks = SkipGram::chunks(ids.len());
    let (epoch, place) = (chunk / chunks, (chunk % chunks) as usize * CHUNK);
    let ids = &ids[place..ids.len().min(place + CHUNK)];
    let mut rng = Rng::new(options.seed, chunk);
    done.words += thin(model, ids, s, &mut rng);

    let whole = (options.epochs as u64 * chunks) as f64;
    let progress = |position: usize| {
        ((epoch * chunks + chunk % chunks) as f64 + position as f64 / s.kept.len().max(1) as f64) / whole
    };
    let rates: Vec<f32> = (0..s.kept.len())
        .step_by(BLOCK)
        .map(|at| options.alpha * ((1.0 - progress(at)) as f32).max(LOWEST_ALPHA))
        .collect();
    for j in 0..SHARED {
        s.noise[j] = draw_noise(model, j, &mut rng);
    }
    for (i, &alpha) in rates.iter().enumerate() {
        unsafe { train_block::<S>(model, i * BLOCK, alpha, i % LOSS_EVERY == 0, s, &mut rng, done) };
    }
}

/// Drop frequent words at random, and note where the sentences lie. Returns how many words there were.
#[inline(always)]
fn thin(model: &SkipGram, ids: &[u32], s: &mut Scratch, rng: &mut Rng) -> u64 {
    s.kept.clear();
    s.start.clear();
    s.end.clear();
    let (mut words, mut start) = (0, 0);
    for &id in ids {
        if id == SENTENCE_END {
            s.end.resize(s.kept.len(), s.kept.len() as u32);
            start = s.kept.len() as u32;
        } else {
            words += 1;
            if (rng.bits() >> 32) as u32 <= model.keep[id as usize] {
                s.kept.push(id);
                s.start.push(start);
            }
        }
    }
    s.end.resize(s.kept.len(), s.kept.len() as u32);
    words
}

/// Train on the positions `at..at + BLOCK` of the chunk.
#[inline(always)]
unsafe fn train_block<S: Simd>(
    model: &SkipGram,
    at: usize,
    alpha: f32,
    measure: bool,
    s: &mut Scratch,
    rng: &mut Rng,
    done: &mut Done,
) {
    unsafe {
        let (stride, window) = (model.vectors.stride, model.options.window as u32);
        let count = BLOCK.min(s.kept.len() - at);

        // Rows of the block: words, contexts, noise. Without branches: how far a window reaches cannot be predicted.
        let (window, hot) = (window as usize, s.hot.as_mut_ptr());
        for (place, near) in s.near.iter_mut().enumerate() {
            let c = (at + place).wrapping_sub(window);
            *near = s.kept.get(c).map_or(std::ptr::null_mut(), |&word| context_row(model, hot, word));
        }
        let mut pairs = 0;
        for b in 0..BLOCK {
            s.first[b] = pairs;
            s.x[b] = s.zero.as_mut_ptr();
            if b < count {
                let i = at + b;
                let reach = 1 + rng.below(window as u32) as usize; // word2vec.c: each distance up to the window, nearer ones oftener
                s.x[b] = model.vectors.row(s.kept[i] as usize);
                let before = reach.min(i - *s.start.get_unchecked(i) as usize);
                let after = reach.min(*s.end.get_unchecked(i) as usize - 1 - i);
                let near = s.near.as_ptr().add(b + window);
                let o = s.o.as_mut_ptr();
                for distance in 1..=window {
                    *o.add(pairs) = *near.sub(distance);
                    pairs += usize::from(distance <= before);
                    *o.add(pairs) = *near.add(distance);
                    pairs += usize::from(distance <= after);
                }
            }
        }
        s.first[BLOCK] = pairs;
        for j in 0..SHARED {
            s.n[j] = context_row(model, hot, s.noise[j]);
            s.noise[j] = draw_noise(model, j, rng); // for the next block, so that its rows can be fetched now
            prefetch(model.context.row(s.noise[j] as usize), stride);
        }
        for i in at + BLOCK..(at + 2 * BLOCK).min(s.kept.len()) {
            prefetch(model.vectors.row(s.kept[i] as usize), stride);
            if let Some(&c) = s.kept.get(i + window) {
                prefetch(model.context.row(c as usize), stride);
            }
        }

        // Scores.
        pair_dots::<S>(s, count, stride);
        noise_dots::<S>(s, stride);
        if measure {
            measure_loss(model, s, count, done);
        }

        // Gradients of the loss with respect to the scores, times -alpha.
        let (rate, one) = (S::splat(alpha), S::splat(1.0));
        for p in (0..pairs).step_by(LANES) {
            let score = S::load(s.gains.as_ptr().add(p));
            S::store(s.gains.as_mut_ptr().add(p), S::mul(rate, S::sub(one, S::sigmoid(score))));
        }
        for b in 0..BLOCK {
            let weight = S::splat(-alpha * noise_weight(model, s.first[b + 1] - s.first[b]));
            for j in (0..SHARED).step_by(LANES) {
                let g = s.g.as_mut_ptr().add(b * SHARED + j);
                S::store(g, S::mul(weight, S::sigmoid(S::load(g))));
            }
        }

        // Updates: dx = G N, dn = G^T X, then the pairs, then all of it into the rows.
        products::<S>(&mut s.dx, BLOCK, &s.n, s.g.as_ptr(), SHARED, 1, stride);
        products::<S>(&mut s.dn, SHARED, &s.x, s.g.as_ptr(), 1, SHARED, stride);
        for b in 0..count {
            pair_updates::<S>(s, b, stride);
        }
        for j in 0..SHARED {
            add_row::<S>(s.n[j], s.dn.as_ptr().add(j * stride), stride);
        }
        done.pairs += pairs as u64;
        done.flops += 6 * (model.options.dim * (pairs + count * SHARED)) as u64;
    }
}

/// The row of a word as context: the thread's own, if it has one.
#[inline(always)]
fn context_row(model: &SkipGram, hot: *mut f32, word: u32) -> *mut f32 {
    let word = word as usize;
    let (own, shared) = (hot.wrapping_add(word * model.context.stride), model.context.row(word));
    if word < model.hot { own } else { shared }
}

/// Add the mean of what the threads' own rows learned to the shared ones, and go on from there.
fn share_hot(model: &SkipGram, s: &mut Scratch) {
    let share = 1.0 / model.options.threads as f32;
    for word in 0..model.hot {
        let (shared, first) = (model.context.row(word), word * model.context.stride);
        for k in 0..model.context.stride {
            let (own, before) = (&mut s.hot[first + k], &mut s.hot_before[first + k]);
            // SAFETY: within the row; races as everywhere (see Matrix).
            unsafe {
                *shared.add(k) += share * (*own - *before);
                *own = *shared.add(k);
            }
            *before = *own;
        }
    }
}

/// The j-th of a block's noise words. Each is drawn from a stratum of its own, an equal share of the distribution from the
/// most frequent word to the rarest, so that every block has its due of both: the same mean, less variance.
#[inline(always)]
fn draw_noise(model: &SkipGram, j: usize, rng: &mut Rng) -> u32 {
    let number = ((j as u64) << 32 | rng.bits() >> 32) / SHARED as u64;
    model.noise.at(number as u32)
}

/// How much one shared noise word counts for a position with so many pairs.
#[inline(always)]
fn noise_weight(model: &SkipGram, pairs: usize) -> f32 {
    (pairs * model.options.negatives) as f32 / SHARED as f32
}

/// Ask for a row to be brought near.
#[inline(always)]
fn prefetch(row: *const f32, stride: usize) {
    #[cfg(target_arch = "x86_64")]
    for i in (0..stride).step_by(16) {
        // SAFETY: a hint; it reads nothing that the program can see.
        unsafe { std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T1 }>(row.wrapping_add(i).cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (row, stride);
}

/// Call `$f::<S, C>($at, ...)` for groups of C vectors of columns, as even as they come.
macro_rules! by_groups {
    ($stride:expr, $f:ident::<$s:ty>($($arg:expr),*)) => {
        let (vectors, mut at) = ($stride / LANES, 0);
        let groups = vectors.div_ceil(GROUP);
        for group in 0..groups {
            let size = (vectors * (group + 1)) / groups - (vectors * group) / groups;
            match size {
                1 => $f::<$s, 1>(at, $($arg),*),
                2 => $f::<$s, 2>(at, $($arg),*),
                3 => $f::<$s, 3>(at, $($arg),*),
                4 => $f::<$s, 4>(at, $($arg),*),
                5 => $f::<$s, 5>(at, $($arg),*),
                6 => $f::<$s, 6>(at, $($arg),*),
                7 => $f::<$s, 7>(at, $($arg),*),
                _ => $f::<$s, 8>(at, $($arg),*),
            }
            at += size * LANES;
        }
    };
}

/// gains[p] = x_b . o_p for every pair p of every position b.
#[inline(always)]
unsafe fn pair_dots<S: Simd>(s: &mut Scratch, count: usize, stride: usize) {
    unsafe {
        for b in 0..count {
            by_groups!(stride, pair_dots_group::<S>(s, b));
        }
        for p in (0..s.first[BLOCK]).step_by(LANES) {
            let mut sums = [S::zero(); LANES];
            for (i, sum) in sums.iter_mut().enumerate() {
                *sum = S::load(s.sums.as_ptr().add((p + i) * LANES));
            }
            S::store(s.gains.as_mut_ptr().add(p), S::sums(sums));
        }
    }
}

/// Sixteen partial sums of each pair of position b, over the columns of the group added to those before it.
#[inline(always)]
unsafe fn pair_dots_group<S: Simd, const C: usize>(at: usize, s: &mut Scratch, b: usize) {
    unsafe {
        let mut x = [S::zero(); C];
        for k in 0..C {
            x[k] = S::load(s.x[b].add(at + k * LANES));
        }
        for p in s.first[b]..s.first[b + 1] {
            let o = s.o.get_unchecked(p).add(at);
            let sum = s.sums.as_mut_ptr().add(p * LANES);
            let mut a = S::mul(x[0], S::load(o));
            for k in 1..C {
                a = S::fma(x[k], S::load(o.add(k * LANES)), a);
            }
            S::store(sum, if at == 0 { a } else { S::add(a, S::load(sum)) });
        }
    }
}

/// g = X N^T, two positions by eight noise words at a time.
#[inline(always)]
unsafe fn noise_dots<S: Simd>(s: &mut Scratch, stride: usize) {
    unsafe {
        let mut out = [0f32; LANES];
        for b in (0..BLOCK).step_by(2) {
            for j in (0..SHARED).step_by(8) {
                let (x0, x1) = (s.x[b], s.x[b + 1]);
                let n: [*mut f32; 8] = std::array::from_fn(|i| s.n[j + i]);
                let mut a = [S::zero(); LANES];
                for k in (0..stride).step_by(LANES) {
                    let (u, v) = (S::load(x0.add(k)), S::load(x1.add(k)));
                    for i in 0..8 {
                        let w = S::load(n[i].add(k));
                        a[i] = S::fma(u, w, a[i]);
                        a[i + 8] = S::fma(v, w, a[i + 8]);
                    }
                }
                S::store(out.as_mut_ptr(), S::sums(a));
                s.g[b * SHARED + j..][..8].copy_from_slice(&out[..8]);
                s.g[(b + 1) * SHARED + j..][..8].copy_from_slice(&out[8..]);
            }
        }
    }
}

/// out (m, stride) = g (m, rows) times the rows; g is read at `r * step_out + i * step_in`. m is a multiple of four.
#[inline(always)]
unsafe fn products<S: Simd>(
    out: &mut [f32],
    m: usize,
    rows: &[*mut f32],
    g: *const f32,
    step_out: usize,
    step_in: usize,
    stride: usize,
) {
    unsafe {
        let out = out.as_mut_ptr();
        let mut at = 0;
        while at < stride {
            let left = (stride - at) / LANES;
            for r in (0..m).step_by(4) {
                let (o, g) = (out.add(r * stride + at), g.add(r * step_out));
                match left {
                    1 => tile::<S, 1>(o, rows, at, g, step_out, step_in, stride),
                    2 => tile::<S, 2>(o, rows, at, g, step_out, step_in, stride),
                    3 => tile::<S, 3>(o, rows, at, g, step_out, step_in, stride),
                    _ => tile::<S, 4>(o, rows, at, g, step_out, step_in, stride),
                }
            }
            at += 4 * LANES;
        }
    }
}

/// Four rows by C vectors of `products`, held in registers.
#[inline(always)]
unsafe fn tile<S: Simd, const C: usize>(
    out: *mut f32,
    rows: &[*mut f32],
    at: usize,
    g: *const f32,
    step_out: usize,
    step_in: usize,
    stride: usize,
) {
    unsafe {
        let mut a = [[S::zero(); C]; 4];
        for (i, row) in rows.iter().enumerate() {
            let mut v = [S::zero(); C];
            for k in 0..C {
                v[k] = S::load(row.add(at + k * LANES));
            }
            for r in 0..4 {
                let gain = S::splat(*g.add(r * step_out + i * step_in));
                for k in 0..C {
                    a[r][k] = S::fma(gain, v[k], a[r][k]);
                }
            }
        }
        for r in 0..4 {
            for k in 0..C {
                S::store(out.add(r * stride + k * LANES), a[r][k]);
            }
        }
    }
}

/// For each pair p of position b: dx_b += gain * o_p and o_p += gain * x_b; then x_b += dx_b.
#[inline(always)]
unsafe fn pair_updates<S: Simd>(s: &mut Scratch, b: usize, stride: usize) {
    unsafe {
        by_groups!(stride, pair_updates_group::<S>(s, b, stride));
    }
}

#[inline(always)]
unsafe fn pair_updates_group<S: Simd, const C: usize>(at: usize, s: &mut Scratch, b: usize, stride: usize) {
    unsafe {
        let d = s.dx.as_ptr().add(b * stride + at);
        let (mut x, mut dx) = ([S::zero(); C], [S::zero(); C]);
        for k in 0..C {
            x[k] = S::load(s.x[b].add(at + k * LANES));
            dx[k] = S::load(d.add(k * LANES));
        }
        for p in s.first[b]..s.first[b + 1] {
            let o = s.o.get_unchecked(p).add(at);
            let gain = S::splat(*s.gains.get_unchecked(p));
            for k in 0..C {
                let old = S::load(o.add(k * LANES));
                dx[k] = S::fma(gain, old, dx[k]);
                S::store(o.add(k * LANES), S::fma(gain, x[k], old));
            }
        }
        for k in 0..C {
            S::store(s.x[b].add(at + k * LANES), S::add(x[k], dx[k]));
        }
    }
}

#[inline(always)]
unsafe fn add_row<S: Simd>(row: *mut f32, delta: *const f32, stride: usize) {
    unsafe {
        for k in (0..stride).step_by(LANES) {
            S::store(row.add(k), S::add(S::load(row.add(k)), S::load(delta.add(k))));
        }
    }
}

/// Add the block's loss: -log sigmoid(score) a pair, -log sigmoid(-score) times its weight a noise word.
#[cold]
fn measure_loss(model: &SkipGram, s: &Scratch, count: usize, done: &mut Done) {
    let softplus = |x: f32| f64::from(x.max(0.0) + (-x.abs()).exp().ln_1p()); // log(1 + exp(x)), safe at both ends
    for b in 0..count {
        let pairs = s.first[b]..s.first[b + 1];
        let weight = f64::from(noise_weight(model, pairs.len()));
        let noise: f64 = s.g[b * SHARED..][..SHARED].iter().map(|&score| softplus(score)).sum();
        done.loss_pairs += pairs.len() as u64;
        done.loss += s.gains[pairs].iter().map(|&score| softplus(-score)).sum::<f64>() + weight * noise;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(dim: usize) -> Options {
        Options { dim, window: 3, negatives: 5, sample: 1e-2, alpha: 0.05, epochs: 2, seed: 11, threads: 1 }
    }

    /// Sentences of a small language: uneven lengths, among them empty ones and single words.
    fn text(words: u32, sentences: usize) -> (Vec<u32>, Vec<u64>) {
        let (mut rng, mut ids, mut counts) = (Rng::new(3, 0), Vec::new(), vec![1u64; words as usize]);
        for sentence in 0..sentences {
            for _ in 0..sentence % 23 {
                let id = rng.below(words).min(rng.below(words));
                counts[id as usize] += 1;
                ids.push(id);
            }
            ids.push(SENTENCE_END);
        }
        (ids, counts)
    }

    /// The specification of `SkipGram::run`: the same draws, then plain loops in f64, one number at a time.
    fn plain(counts: &[u64], ids: &[u32], o: &Options) -> (Vec<Vec<f64>>, Vec<Vec<f64>>) {
        let model = SkipGram::new(counts, o.clone(), Level::Portable).unwrap();
        let rows = |m: &Matrix| -> Vec<Vec<f64>> {
            (0..m.rows).map(|r| m.read(r)[..o.dim].iter().map(|&x| f64::from(x)).collect()).collect()
        };
        let (mut x, mut c) = (rows(&model.vectors), rows(&model.context));
        let sigmoid = |s: f64| 1.0 / (1.0 + (-s).exp());
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let (chunks, mut scratch) = (SkipGram::chunks(ids.len()), Scratch::new(&model));
        for chunk in 0..chunks * o.epochs as u64 {
            let mut rng = Rng::new(o.seed, chunk);
            let place = (chunk % chunks) as usize * CHUNK;
            thin(&model, &ids[place..ids.len().min(place + CHUNK)], &mut scratch, &mut rng);
            let s = &scratch;
            let mut noise: Vec<usize> = (0..SHARED).map(|j| draw_noise(&model, j, &mut rng) as usize).collect();
            for at in (0..s.kept.len()).step_by(BLOCK) {
                let progress = (chunk as f64 + at as f64 / s.kept.len() as f64) / (chunks * o.epochs as u64) as f64;
                let alpha = f64::from(o.alpha) * (1.0 - progress).max(1e-4);
                let block = at..(at + BLOCK).min(s.kept.len());
                let contexts: Vec<Vec<usize>> = block
                    .clone()
                    .map(|i| {
                        let reach = 1 + rng.below(o.window as u32) as usize;
                        let sentence = s.start[i] as usize..s.end[i] as usize;
                        sentence.filter(|&j| j != i && j.abs_diff(i) <= reach).map(|j| s.kept[j] as usize).collect()
                    })
                    .collect();
                let next: Vec<usize> = (0..SHARED).map(|j| draw_noise(&model, j, &mut rng) as usize).collect();
                let (x0, c0, mut c1) = (x.clone(), c.clone(), c.clone()); // c1: with what the block's pairs have added
                for (b, i) in block.enumerate() {
                    let word = s.kept[i] as usize;
                    let now = x[word].clone(); // x0, unless the word stood in the block before
                    let weight = (contexts[b].len() * o.negatives) as f64 / SHARED as f64;
                    for &n in &noise {
                        let g = -alpha * weight * sigmoid(dot(&x0[word], &c0[n]));
                        for k in 0..o.dim {
                            x[word][k] += g * c0[n][k];
                            c[n][k] += g * x0[word][k];
                        }
                    }
                    for &j in &contexts[b] {
                        let g = alpha * (1.0 - sigmoid(dot(&x0[word], &c0[j])));
                        for k in 0..o.dim {
                            x[word][k] += g * c1[j][k];
                            c1[j][k] += g * now[k];
                            c[j][k] += g * now[k];
                        }
                    }
                }
                noise = next;
            }
        }
        (x, c)
    }

    fn largest_difference(plain: &[Vec<f64>], matrix: &Matrix) -> f64 {
        let rows = plain.iter().enumerate();
        rows.flat_map(|(r, row)| row.iter().zip(matrix.read(r)).map(|(a, &b)| (a - f64::from(b)).abs()))
            .fold(0.0, f64::max)
    }

    #[test]
    fn every_version_does_what_the_plain_loops_do() {
        for dim in [1, 16, 37, 100, 150] {
            let (ids, counts) = text(400, 150);
            let (x, c) = plain(&counts, &ids, &options(dim));
            for level in Level::ALL.into_iter().filter(|level| level.available()) {
                let mut model = SkipGram::new(&counts, options(dim), level).unwrap();
                let done = model.run(&ids, 0, 2 * SkipGram::chunks(ids.len()));
                assert_eq!(done.words as usize, 2 * ids.iter().filter(|&&id| id != SENTENCE_END).count());
                // f32 against f64: some 100 updates a row, each rounded at 6e-8 of numbers below 4
                let worst = largest_difference(&x, &model.vectors).max(largest_difference(&c, &model.context));
                assert!(worst < 5e-5, "{} at dim {dim}: {worst}", level.name());
            }
        }
    }

    #[test]
    fn versions_differ_by_rounding_alone() {
        let (ids, counts) = text(400, 2000);
        let train = |level| {
            let mut model = SkipGram::new(&counts, options(100), level).unwrap();
            model.run(&ids, 0, 2 * SkipGram::chunks(ids.len()));
            (0..400).map(|r| model.vectors.read(r).iter().map(|&x| f64::from(x)).collect()).collect::<Vec<Vec<f64>>>()
        };
        let portable = train(Level::Portable);
        for level in Level::ALL.into_iter().filter(|level| level.available()) {
            let mut model = SkipGram::new(&counts, options(100), level).unwrap();
            model.run(&ids, 0, 2 * SkipGram::chunks(ids.len()));
            // 2,000 updates a row, each rounded at 6e-8 of numbers below 2, with signs at random
            assert!(largest_difference(&portable, &model.vectors) < 1e-4, "{}", level.name());
        }
    }

    #[test]
    fn one_thread_and_a_seed_give_the_same_bytes_however_the_work_is_cut() {
        let (ids, counts) = text(300, 4000);
        let last = 2 * SkipGram::chunks(ids.len());
        let level = Level::chosen().unwrap();
        let mut whole = SkipGram::new(&counts, options(50), level).unwrap();
        whole.run(&ids, 0, last);
        let mut pieces = SkipGram::new(&counts, options(50), level).unwrap();
        for chunk in 0..last {
            pieces.run(&ids, chunk, chunk + 1);
        }
        for row in 0..300 {
            assert_eq!(whole.vectors.read(row), pieces.vectors.read(row));
        }
    }

    #[test]
    fn threads_share_the_mean_of_their_own_rows() {
        let (_, counts) = text(300, 100);
        let model = SkipGram::new(&counts, Options { threads: 2, ..options(20) }, Level::Portable).unwrap();
        let (mut first, mut second) = (Scratch::new(&model), Scratch::new(&model));
        for s in [&mut first, &mut second] {
            share_hot(&model, s);
        }
        first.hot[3] += 1.0;
        second.hot[3] += 2.0;
        for s in [&mut first, &mut second] {
            share_hot(&model, s);
        }
        share_hot(&model, &mut first);
        assert_eq!((model.context.read(0)[3], first.hot[3], second.hot[3]), (1.5, 1.5, 1.5));
        assert!(std::ptr::eq(context_row(&model, first.hot.as_mut_ptr(), 0), first.hot.as_ptr()));
        assert!(std::ptr::eq(context_row(&model, first.hot.as_mut_ptr(), HOT as u32), model.context.row(HOT)));
    }

    #[test]
    fn padding_stays_zero_and_threads_share_the_work() {
        let (ids, counts) = text(300, 8000);
        let last = SkipGram::chunks(ids.len());
        let mut model =
            SkipGram::new(&counts, Options { threads: 3, ..options(37) }, Level::chosen().unwrap()).unwrap();
        let done = model.run(&ids, 0, last);
        assert_eq!(done.words as usize, ids.iter().filter(|&&id| id != SENTENCE_END).count());
        assert!(done.loss.is_finite() && done.loss_pairs > 0);
        assert!(model.context.read(0).iter().any(|&x| x != 0.0)); // what the threads' own rows learned is kept
        for row in 0..300 {
            assert!(model.vectors.read(row)[37..].iter().all(|&x| x == 0.0));
        }
    }
}
