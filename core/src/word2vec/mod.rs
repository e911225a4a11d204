//! word2vec (Mikolov et al. 2013b) as small matrix products: skip-gram and CBOW with negative sampling.
//!
//! Plain word2vec takes one pair of words at a time: a dot product with the true word and with each of five fresh noise
//! words, six updates, all of them memory traffic. Here a block of neighbouring positions shares its noise words, each
//! weighted so that the expected gradient stays that of `negatives` fresh ones a pair. The scores of a block are then one
//! matrix product, X N^T, and its updates two more, G N and G^T X, with tiles held in registers; only the true pairs remain
//! single dot products. This file holds what both methods share: the model, the text cut into chunks and blocks, the noise.
//!
//! Threads take chunks of the text in turn and update the rows without locks (Hogwild). Only the rows that every thread
//! would write all the time are not fought for: of the most frequent words each thread has rows of its own, which are merged
//! between chunks.

// The loops of a kernel walk several arrays with one index, and pass pointers and strides.
#![allow(clippy::needless_range_loop, clippy::too_many_arguments)]

mod cbow;
mod products;
mod skipgram;

use crate::matrix::Matrix;
use crate::random::{Quantiles, Rng};
use crate::simd::{LANES, Level, Portable, Simd, prefetch_for_writing};
use cbow::Cbow;
use skipgram::SkipGram;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

/// Marks the end of a sentence among the ids.
pub const SENTENCE_END: u32 = u32::MAX;
/// Ids a thread takes at a time: long enough that taking is free, short enough that threads end together.
pub const CHUNK: usize = 16_384;
/// Mikolov et al. 2013b, section 2.2: noise words are drawn in proportion to count ** 3/4.
const NOISE_POWER: f64 = 0.75;
/// From this share of the training on, blocks have more noise words: where the rate is low, the variance of their gradients is
/// what still keeps a row from where it belongs.
const LATE: f64 = 0.8;
/// The loss is measured on one block in so many; that is enough to see it fall, or diverge.
const LOSS_EVERY: usize = 256;
/// Of so many of the most frequent words each thread has rows of its own.
const HOT: usize = 256;
/// What one occurrence of a word wears off of the way to where its rows are drawn, at a rate of 1 (see `merge`). Chosen so
/// that quality is kept (bench/LOG.md).
const WEAR: f32 = 6.0;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Method {
    /// A word predicts each word of its company.
    SkipGram,
    /// The mean of the company predicts the word.
    Cbow,
}

impl Method {
    /// The rate falls linearly to this share of the first one. word2vec.c goes down to 1e-4; this learns better, and a tenth is
    /// about where gensim ends with two workers (bench/LOG.md).
    fn last_rate(self) -> f64 {
        match self {
            Method::SkipGram => 0.05,
            Method::Cbow => 0.1,
        }
    }
}

#[derive(Clone)]
pub struct Options {
    pub method: Method,
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
    /// Floating-point operations: of all products and sums of rows, without gradients' own.
    pub flops: u64,
    /// Sum of the loss over `loss_pairs` predictions.
    pub loss: f64,
    pub loss_pairs: u64,
}

impl Done {
    fn add(&mut self, other: &Done) {
        self.words += other.words;
        self.flops += other.flops;
        self.loss += other.loss;
        self.loss_pairs += other.loss_pairs;
    }
}

/// How a method trains on a block of positions.
trait Block {
    /// Positions in a block.
    const BLOCK: usize;
    /// Noise words that a block shares, at most.
    const SHARED: usize;
    /// And until the training is LATE.
    const EARLY: usize;
    /// A block ends before a word comes once more than this: its gradients, all taken at the block's start, add up, and where
    /// a text repeats itself ("00 00 00", a vocabulary of a few words) they would overshoot, each time further.
    const REPEATS: u8;
    /// And the most frequent word may be met so often in a block on average: of a vocabulary of a few words the noise is the
    /// same few.
    const MEETINGS: f64;

    /// The row of a word that a position is of.
    fn word_row(model: &Model, s: &mut Scratch, word: u32) -> *mut f32;
    /// The row of a word as company.
    fn company_row(model: &Model, s: &mut Scratch, word: u32) -> *mut f32;

    /// Train on the positions `at..at + BLOCK` of the chunk.
    ///
    /// # Safety
    /// The processor must have the instruction set of S.
    unsafe fn train<S: Simd>(
        model: &Model,
        at: usize,
        alpha: f32,
        measure: bool,
        s: &mut Scratch,
        rng: &mut Rng,
        done: &mut Done,
    );
}

/// A model in training.
pub struct Model {
    options: Options,
    vectors: Matrix,
    context: Matrix,
    /// A word is kept where 32 random bits are at most this (subsampling of frequent words, section 2.3).
    keep: Vec<u32>,
    noise: Quantiles,
    /// How often each of the HOT most frequent words is met in a chunk; none if one thread trains.
    hot: Vec<f32>,
    /// Positions that take their gradients together at most; fewer than a block has where the vocabulary is small.
    together: usize,
    level: Level,
}

impl Model {
    /// `counts`: how often each word of the vocabulary occurs.
    pub fn new(counts: &[u64], options: Options, level: Level) -> std::io::Result<Model> {
        let mut vectors = Matrix::zeros(counts.len(), options.dim)?;
        let context = Matrix::zeros(counts.len(), options.dim)?;
        for row in 0..counts.len() {
            let mut rng = Rng::new(options.seed ^ 0x5EED, row as u64);
            for x in &mut vectors.write(row)[..options.dim] {
                *x = (2.0 * rng.unit() - 1.0) / options.dim as f32; // gensim 4; word2vec.c has half of it
            }
        }
        let total = counts.iter().sum::<u64>() as f64;
        let keep: Vec<u32> = counts
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
        let met = |(&count, &keep): (&u64, &u32)| {
            (count as f64 / total * f64::from(keep) / f64::from(u32::MAX) * CHUNK as f64) as f32
        };
        let hot = if options.threads > 1 { HOT } else { 0 };
        let hot = counts.iter().zip(&keep).take(hot).map(met).collect();
        let kept = counts.iter().zip(&keep).map(|(&count, &keep)| count as f64 * f64::from(keep));
        let (most, all) = kept.fold((0.0, 0.0), |(most, all), kept| (f64::max(most, kept), all + kept));
        let (block, meetings) = match options.method {
            Method::SkipGram => (SkipGram::BLOCK, SkipGram::MEETINGS),
            Method::Cbow => (Cbow::BLOCK, Cbow::MEETINGS),
        };
        let together = ((meetings * all / most) as usize).clamp(1, block);
        Ok(Model { options, vectors, context, keep, noise: Quantiles::new(&weights), hot, together, level })
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
        let threads = (self.options.threads as u64).min(to - from);
        let work = || {
            let mut scratch = Scratch::new(model);
            let mut done = Done::default();
            loop {
                let chunk = next.fetch_add(1, Ordering::Relaxed);
                merge(model, &mut scratch, rate(model, ids.len(), chunk.min(to), 0.0), threads);
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
                        #[cfg(target_arch = "aarch64")]
                        Level::Neon => chunk_neon(model, ids, chunk, &mut scratch, &mut done),
                        _ => train_chunk::<Portable>(model, ids, chunk, &mut scratch, &mut done),
                    }
                }
            }
        };
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
    kept: Vec<u32>,         // the chunk's words after thinning
    start: Vec<u32>,        // for each, where its sentence starts in `kept`
    end: Vec<u32>,          // and ends
    x: Vec<*mut f32>,       // BLOCK rows of the block's words
    shared: usize,          // noise words a block now
    count: usize,           // positions in the block
    noise: Vec<u32>,        // SHARED noise words
    n: Vec<*mut f32>,       // and their rows
    near: Vec<*mut f32>,    // rows, as company, of the words from a window before the block to one behind it
    o: Vec<*mut f32>,       // those of the pairs, position after position
    first: Vec<usize>,      // where each position's company starts in `o`; BLOCK + 1
    spans: Vec<[usize; 2]>, // CBOW: for each place in `near` from where to where its window goes
    ahead: Ahead,           // what the next block will need
    sums: Aligned,          // dot products of the pairs, unreduced: 16 floats each
    gains: Aligned,         // then their gradients
    g: Aligned,             // (BLOCK, SHARED) scores with the noise words, then gradients
    h: Aligned,             // (BLOCK, stride) CBOW: means of the company
    dx: Aligned,            // (BLOCK, stride) what the noise adds to the block's rows
    dn: Aligned,            // (SHARED, stride) and the block to the noise words' rows
    zero: Aligned,          // stands in for the rows that a short block lacks
    vectors: Own,           // this thread's rows of the most frequent words
    context: Own,
}

/// A thread's own rows of a matrix.
struct Own {
    rows: Aligned,   // (hot, stride)
    before: Aligned, // what they were when last merged
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
    fn new(model: &Model) -> Scratch {
        let (block, shared) = match model.options.method {
            Method::SkipGram => (SkipGram::BLOCK, SkipGram::SHARED),
            Method::Cbow => (Cbow::BLOCK, Cbow::SHARED),
        };
        let (stride, most) = (model.vectors.stride, block * 2 * model.options.window);
        let null = std::ptr::null_mut();
        Scratch {
            kept: Vec::with_capacity(CHUNK),
            start: Vec::with_capacity(CHUNK),
            end: Vec::with_capacity(CHUNK),
            x: vec![null; block],
            shared,
            count: 0,
            noise: vec![0; shared],
            n: vec![null; shared],
            near: vec![null; block + 2 * model.options.window + COPY],
            o: vec![null; most + COPY],
            first: vec![0; block + 1],
            spans: vec![[0; 2]; block + 2 * model.options.window],
            ahead: Ahead { rows: Vec::with_capacity(2 * block + shared), asked: 0, stride },
            sums: Aligned::zeros(most.next_multiple_of(LANES) * LANES),
            gains: Aligned::zeros(most.next_multiple_of(LANES)),
            g: Aligned::zeros(block * shared),
            h: Aligned::zeros(block * stride),
            dx: Aligned::zeros(block * stride),
            dn: Aligned::zeros(shared * stride),
            zero: Aligned::zeros(stride),
            vectors: Own::new(model),
            context: Own::new(model),
        }
    }
}

impl Own {
    fn new(model: &Model) -> Own {
        let floats = model.hot.len() * model.vectors.stride;
        Own { rows: Aligned::zeros(floats), before: Aligned::zeros(floats) }
    }

    /// The row of a word: this thread's own, if it has one.
    #[inline(always)]
    fn row(&mut self, model: &Model, shared: &Matrix, word: u32) -> *mut f32 {
        let word = word as usize;
        let (own, shared) = (self.rows.as_mut_ptr().wrapping_add(word * shared.stride), shared.row(word));
        if word < model.hot.len() { own } else { shared }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512dq,avx2,fma,bmi2")]
fn chunk_avx512(model: &Model, ids: &[u32], chunk: u64, scratch: &mut Scratch, done: &mut Done) {
    // SAFETY: the attribute above says what the processor has.
    unsafe { train_chunk::<crate::simd::Avx512>(model, ids, chunk, scratch, done) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,bmi2")]
fn chunk_avx2(model: &Model, ids: &[u32], chunk: u64, scratch: &mut Scratch, done: &mut Done) {
    // SAFETY: the attribute above says what the processor has.
    unsafe { train_chunk::<crate::simd::Avx2>(model, ids, chunk, scratch, done) }
}

#[cfg(target_arch = "aarch64")]
#[target_feature(enable = "neon")]
fn chunk_neon(model: &Model, ids: &[u32], chunk: u64, scratch: &mut Scratch, done: &mut Done) {
    // SAFETY: the attribute above says what the processor has.
    unsafe { train_chunk::<crate::simd::Neon>(model, ids, chunk, scratch, done) }
}

#[inline(always)]
unsafe fn train_chunk<S: Simd>(model: &Model, ids: &[u32], chunk: u64, s: &mut Scratch, done: &mut Done) {
    unsafe {
        match model.options.method {
            Method::SkipGram => train_blocks::<S, SkipGram>(model, ids, chunk, s, done),
            Method::Cbow => train_blocks::<S, Cbow>(model, ids, chunk, s, done),
        }
    }
}

/// Train on one chunk; a window never crosses its ends.
#[inline(always)]
unsafe fn train_blocks<S: Simd, B: Block>(model: &Model, text: &[u32], chunk: u64, s: &mut Scratch, done: &mut Done) {
    let place = (chunk % Model::chunks(text.len())) as usize * CHUNK;
    let mut rng = Rng::new(model.options.seed, chunk);
    done.words += thin(model, &text[place..text.len().min(place + CHUNK)], s, &mut rng);

    s.shared = if progress(model, text.len(), chunk, 0.0) < LATE { B::EARLY } else { B::SHARED };
    for j in 0..s.shared {
        s.noise[j] = draw_noise(model, j, s.shared, &mut rng);
    }
    let (mut at, mut block) = (0, 0);
    while at < s.kept.len() {
        s.count = block_length(&s.kept[at..], model.together, B::REPEATS);
        let alpha = rate(model, text.len(), chunk, at as f64 / s.kept.len() as f64);
        unsafe { B::train::<S>(model, at, alpha, block % LOSS_EVERY == 0, s, &mut rng, done) };
        at += s.count;
        block += 1;
    }
}

/// Positions in a block that begins with these words. Words that agree in their last bits count as one.
#[inline(always)]
fn block_length(words: &[u32], most: usize, repeats: u8) -> usize {
    let mut met = [0u8; 512];
    let more = |word: &u32| {
        let met = &mut met[*word as usize % 512];
        *met += 1;
        *met > repeats
    };
    let most = words.len().min(most);
    words[..most].iter().position(more).unwrap_or(most)
}

/// How much of the training is done where this share of a chunk is.
fn progress(model: &Model, ids: usize, chunk: u64, share: f64) -> f64 {
    (chunk as f64 + share) / (Model::chunks(ids) * model.options.epochs as u64) as f64
}

/// The learning rate there.
fn rate(model: &Model, ids: usize, chunk: u64, share: f64) -> f32 {
    let fall = (1.0 - model.options.method.last_rate()) * progress(model, ids, chunk, share);
    model.options.alpha * (1.0 - fall) as f32
}

/// Drop frequent words at random, and note where the sentences lie. Returns how many words there were.
#[inline(always)]
fn thin(model: &Model, ids: &[u32], s: &mut Scratch, rng: &mut Rng) -> u64 {
    // Without branches: whether a word stays cannot be predicted. Each is written, and overwritten if it does not stay.
    s.kept.resize(ids.len() + 1, 0);
    s.start.resize(ids.len() + 1, 0);
    s.end.clear();
    let (mut words, mut start, mut kept) = (0, 0, 0);
    for &id in ids {
        if id == SENTENCE_END {
            s.end.resize(kept, kept as u32);
            start = kept as u32;
        } else {
            words += 1;
            s.kept[kept] = id;
            s.start[kept] = start;
            kept += usize::from((rng.bits() >> 32) as u32 <= model.keep[id as usize]);
        }
    }
    s.end.resize(kept, kept as u32);
    s.kept.truncate(kept);
    words
}

/// Find the rows, as company, of the block's words and of a window on both sides. Returns their places: that of position b
/// is b + window.
#[inline(always)]
fn find_near<B: Block>(model: &Model, at: usize, s: &mut Scratch) -> Range<usize> {
    let window = model.options.window;
    let places = window.saturating_sub(at)..(s.count + 2 * window).min(s.kept.len() + window - at);
    for place in places.clone() {
        s.near[place] = B::company_row(model, s, s.kept[at + place - window]);
    }
    places
}

/// word2vec.c: each distance up to the window, nearer ones oftener.
#[inline(always)]
fn draw_reach(model: &Model, rng: &mut Rng) -> usize {
    1 + rng.below(model.options.window as u32) as usize
}

/// Find the rows of the block's pairs: each position's word with the words of its window, of a reach drawn at random.
/// Returns how many there are.
#[inline(always)]
fn find_company<B: Block>(model: &Model, at: usize, s: &mut Scratch, rng: &mut Rng) -> usize {
    let (window, count) = (model.options.window, s.count);
    find_near::<B>(model, at, s);
    let mut pairs = 0;
    for b in 0..count {
        s.first[b] = pairs;
        let (i, reach) = (at + b, draw_reach(model, rng));
        let before = reach.min(i - s.start[i] as usize);
        let after = reach.min(s.end[i] as usize - 1 - i);
        // SAFETY: `near` has a window on both sides of the block, `o` room for two windows a position, and both COPY more.
        unsafe {
            let here = s.near.as_ptr().add(b + window);
            copy_rows(here.sub(before), s.o.as_mut_ptr().add(pairs), window);
            copy_rows(here.add(1), s.o.as_mut_ptr().add(pairs + before), window);
        }
        pairs += before + after;
    }
    s.first[count..].fill(pairs);
    pairs
}

/// Rows that are copied at once.
const COPY: usize = 8;

/// Copy at least `count` pointers. More than are wanted, since how far a window reaches cannot be predicted, but `count` is
/// always the same.
#[inline(always)]
unsafe fn copy_rows(from: *const *mut f32, to: *mut *mut f32, count: usize) {
    for at in (0..count).step_by(COPY) {
        unsafe {
            to.add(at)
                .cast::<[*mut f32; COPY]>()
                .write_unaligned(from.add(at).cast::<[*mut f32; COPY]>().read_unaligned())
        };
    }
}

/// The rows of the block's words and of its noise words; the next block's noise words are drawn, and the rows that it will
/// need first noted.
#[inline(always)]
fn find_rows<B: Block>(model: &Model, at: usize, s: &mut Scratch, rng: &mut Rng) {
    let count = s.count;
    for b in 0..B::BLOCK {
        s.x[b] = if b < count { B::word_row(model, s, s.kept[at + b]) } else { s.zero.as_mut_ptr() };
    }
    let next = (at + count)..(at + 2 * count).min(s.kept.len());
    s.ahead.rows.clear();
    s.ahead.asked = 0;
    for j in 0..s.shared {
        s.n[j] = s.context.row(model, &model.context, s.noise[j]);
        s.noise[j] = draw_noise(model, j, s.shared, rng);
        s.ahead.rows.push(s.context.row(model, &model.context, s.noise[j]));
    }
    for i in next {
        let row = B::word_row(model, s, s.kept[i]);
        s.ahead.rows.push(row);
        if let Some(&word) = s.kept.get(i + model.options.window) {
            let row = B::company_row(model, s, word);
            s.ahead.rows.push(row);
        }
    }
}

/// The rows that the next block will need first, asked for between other work: a processor waits for few lines at a time.
struct Ahead {
    rows: Vec<*mut f32>,
    asked: usize,
    stride: usize,
}

impl Ahead {
    /// Ask for the next row.
    #[inline(always)]
    fn ask(&mut self) {
        if let Some(row) = self.rows.get(self.asked) {
            (0..self.stride).step_by(LANES).for_each(|k| prefetch_for_writing(row.wrapping_add(k)));
            self.asked += 1;
        }
    }

    /// Ask for what has not been asked for.
    #[inline(always)]
    fn ask_all(&mut self) {
        while self.asked < self.rows.len() {
            self.ask();
        }
    }
}

/// Merge this thread's own rows with the shared ones, and go on from there.
///
/// Threads have moved a row from the same place. Were it met rarely, their moves would add up, as those of one thread after
/// the other. Met often, each thread alone moves it all the way to where the text draws it, and the mean is right. In
/// between, with n meetings that each wear off a share w of the way, a thread goes 1 - exp(-n w) of it, and p threads one
/// after the other 1 - exp(-p n w): the ratio of the two, over p, is what the sum of the moves is taken times.
fn merge(model: &Model, s: &mut Scratch, rate: f32, threads: u64) {
    let threads = threads as f32;
    for (matrix, own) in [(&model.vectors, &mut s.vectors), (&model.context, &mut s.context)] {
        for (word, met) in model.hot.iter().enumerate() {
            let wear = (met * rate * WEAR).max(1e-6);
            let share = (-threads * wear).exp_m1() / (threads * (-wear).exp_m1());
            let (shared, first) = (matrix.row(word), word * matrix.stride);
            for k in 0..matrix.stride {
                let (own, before) = (&mut own.rows[first + k], &mut own.before[first + k]);
                // SAFETY: within the row; races as everywhere (see Matrix).
                unsafe {
                    *shared.add(k) += share * (*own - *before);
                    *own = *shared.add(k);
                }
                *before = *own;
            }
        }
    }
}

/// The j-th of a block's noise words. Each is drawn from a stratum of its own, an equal share of the distribution from the
/// most frequent word to the rarest, so that every block has its due of both: the same mean, less variance.
#[inline(always)]
fn draw_noise(model: &Model, j: usize, shared: usize, rng: &mut Rng) -> u32 {
    let number = ((j as u64) << 32 | rng.bits() >> 32) / shared as u64;
    model.noise.at(number as u32)
}

/// Turn the scores of true pairs into gradients of the loss with respect to them, times -alpha.
#[inline(always)]
unsafe fn true_gains<S: Simd>(gains: &mut [f32], count: usize, alpha: f32) {
    unsafe {
        let (rate, one) = (S::splat(alpha), S::splat(1.0));
        for p in (0..count).step_by(LANES) {
            let at = gains.as_mut_ptr().add(p);
            S::store(at, S::mul(rate, S::sub(one, S::sigmoid(S::load(at)))));
        }
    }
}

/// The same for a position's scores with the noise words, each counting `weight` times.
#[inline(always)]
unsafe fn noise_gains<S: Simd>(g: &mut [f32], alpha: f32, weight: f32) {
    unsafe {
        let rate = S::splat(-alpha * weight);
        for j in (0..g.len()).step_by(LANES) {
            let at = g.as_mut_ptr().add(j);
            S::store(at, S::mul(rate, S::sigmoid(S::load(at))));
        }
    }
}

/// The loss of scores: -log sigmoid(score) of true ones, -log sigmoid(-score) times their weight of noise.
#[cold]
fn loss(true_scores: &[f32], noise_scores: &[f32], weight: f32) -> f64 {
    let softplus = |x: f32| f64::from(x.max(0.0) + (-x.abs()).exp().ln_1p()); // log(1 + exp(x)), safe at both ends
    true_scores.iter().map(|&score| softplus(-score)).sum::<f64>()
        + f64::from(weight) * noise_scores.iter().map(|&score| softplus(score)).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(method: Method, dim: usize) -> Options {
        Options { method, dim, window: 3, negatives: 5, sample: 1e-2, alpha: 0.05, epochs: 2, seed: 11, threads: 1 }
    }

    const METHODS: [Method; 2] = [Method::SkipGram, Method::Cbow];

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

    /// The specification of `Model::run`: the same draws, then plain loops in f64, one number at a time.
    fn plain(counts: &[u64], ids: &[u32], o: &Options) -> (Vec<Vec<f64>>, Vec<Vec<f64>>) {
        let model = Model::new(counts, o.clone(), Level::Portable).unwrap();
        let rows = |m: &Matrix| -> Vec<Vec<f64>> {
            (0..m.rows).map(|r| m.read(r)[..o.dim].iter().map(|&x| f64::from(x)).collect()).collect()
        };
        let (mut x, mut c) = (rows(&model.vectors), rows(&model.context));
        let (block, repeats) = (model.together, if o.method == Method::Cbow { 12 } else { 4 });
        let sigmoid = |s: f64| 1.0 / (1.0 + (-s).exp());
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let add = |to: &mut [f64], gain: f64, from: &[f64]| to.iter_mut().zip(from).for_each(|(t, f)| *t += gain * f);
        let (chunks, mut scratch) = (Model::chunks(ids.len()), Scratch::new(&model));
        for chunk in 0..chunks * o.epochs as u64 {
            let late = chunk as f64 >= 0.8 * (chunks * o.epochs as u64) as f64;
            let shared = if o.method == Method::Cbow { 64 } else { [16, 32][usize::from(late)] };
            let mut rng = Rng::new(o.seed, chunk);
            let place = (chunk % chunks) as usize * CHUNK;
            thin(&model, &ids[place..ids.len().min(place + CHUNK)], &mut scratch, &mut rng);
            let s = &scratch;
            let mut noise: Vec<usize> = (0..shared).map(|j| draw_noise(&model, j, shared, &mut rng) as usize).collect();
            let mut at = 0;
            while at < s.kept.len() {
                let progress = (chunk as f64 + at as f64 / s.kept.len() as f64) / (chunks * o.epochs as u64) as f64;
                let last = if o.method == Method::Cbow { 0.1 } else { 0.05 };
                let alpha = f64::from(o.alpha) * (1.0 - (1.0 - last) * progress);
                let again =
                    |&i: &usize| s.kept[at..i].iter().filter(|&&word| word % 512 == s.kept[i] % 512).count() == repeats;
                let most = (at + block).min(s.kept.len());
                let positions = at..(at..most).find(again).unwrap_or(most);
                let of_block = if o.method == Method::Cbow { draw_reach(&model, &mut rng) } else { 0 };
                let company: Vec<Vec<usize>> = positions
                    .clone()
                    .map(|i| {
                        let reach = if of_block > 0 { of_block } else { draw_reach(&model, &mut rng) };
                        let sentence = s.start[i] as usize..s.end[i] as usize;
                        sentence.filter(|&j| j != i && j.abs_diff(i) <= reach).map(|j| s.kept[j] as usize).collect()
                    })
                    .collect();
                let next: Vec<usize> = (0..shared).map(|j| draw_noise(&model, j, shared, &mut rng) as usize).collect();
                let (x0, c0, mut c1) = (x.clone(), c.clone(), c.clone()); // c1: with what the block's pairs have added
                for (i, company) in positions.clone().zip(&company) {
                    let word = s.kept[i] as usize;
                    match o.method {
                        Method::SkipGram => {
                            let now = x[word].clone(); // x0, unless the word stood in the block before
                            let weight = (company.len() * o.negatives) as f64 / shared as f64;
                            for &n in &noise {
                                let g = -alpha * weight * sigmoid(dot(&x0[word], &c0[n]));
                                add(&mut x[word], g, &c0[n]);
                                add(&mut c[n], g, &x0[word]);
                            }
                            for &j in company {
                                let g = alpha * (1.0 - sigmoid(dot(&x0[word], &c0[j])));
                                add(&mut x[word], g, &c1[j]);
                                add(&mut c1[j], g, &now);
                                add(&mut c[j], g, &now);
                            }
                        }
                        Method::Cbow if company.is_empty() => {}
                        Method::Cbow => {
                            let (mut h, mut dh) = (vec![0.0; o.dim], vec![0.0; o.dim]);
                            company.iter().for_each(|&j| add(&mut h, 1.0 / company.len() as f64, &x0[j]));
                            let group = (i - at) % 16; // of sixteen, each with every sixteenth noise word
                            for &n in noise.iter().skip(group).step_by(16) {
                                let weight = o.negatives as f64 / 4.0;
                                let g = -alpha * weight * sigmoid(dot(&h, &c0[n]));
                                add(&mut dh, g, &c0[n]);
                                add(&mut c[n], g, &h);
                            }
                            let g = alpha * (1.0 - sigmoid(dot(&h, &c0[word])));
                            add(&mut dh, g, &c1[word]);
                            add(&mut c1[word], g, &h);
                            add(&mut c[word], g, &h);
                            company.iter().for_each(|&j| add(&mut x[j], 1.0, &dh));
                        }
                    }
                }
                (at, noise) = (positions.end, next);
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
        for (method, dim) in METHODS.into_iter().flat_map(|method| [1, 16, 37, 100, 150].map(|dim| (method, dim))) {
            let (ids, counts) = text(400, 150);
            let (x, c) = plain(&counts, &ids, &options(method, dim));
            for level in Level::ALL.into_iter().filter(|level| level.available()) {
                let mut model = Model::new(&counts, options(method, dim), level).unwrap();
                let done = model.run(&ids, 0, 2 * Model::chunks(ids.len()));
                assert_eq!(done.words as usize, 2 * ids.iter().filter(|&&id| id != SENTENCE_END).count());
                // f32 against f64: some 100 updates a row, each rounded at 6e-8 of numbers below 4
                let worst = largest_difference(&x, &model.vectors).max(largest_difference(&c, &model.context));
                assert!(worst < 5e-5, "{method:?} {} at dim {dim}: {worst}", level.name());
            }
        }
    }

    #[test]
    fn a_text_that_repeats_itself_does_not_run_away() {
        let (mut ids, mut counts) = text(400, 500);
        for word in 300..320 {
            let at = (word - 300) * ids.len() / 20;
            ids.splice(at..at, std::iter::repeat_n(word as u32, 200));
            counts[word] += 200;
        }
        for method in METHODS {
            let mut model = Model::new(&counts, options(method, 20), Level::chosen().unwrap()).unwrap();
            model.run(&ids, 0, 2 * Model::chunks(ids.len()));
            let longest = |matrix: &Matrix| {
                (0..400).map(|r| matrix.read(r).iter().map(|x| x * x).sum::<f32>().sqrt()).fold(0.0, f32::max)
            };
            let (longest, context) = (longest(&model.vectors), longest(&model.context));
            assert!(longest < 8.0 && context < 8.0, "{method:?}: {longest} {context}");
        }
    }

    #[test]
    fn versions_differ_by_rounding_alone() {
        let (ids, counts) = text(400, 2000);
        for method in METHODS {
            let train = |level| {
                let mut model = Model::new(&counts, options(method, 100), level).unwrap();
                model.run(&ids, 0, 2 * Model::chunks(ids.len()));
                model
            };
            let portable = train(Level::Portable);
            let portable: Vec<Vec<f64>> =
                (0..400).map(|r| portable.vectors.read(r).iter().map(|&x| f64::from(x)).collect()).collect();
            for level in Level::ALL.into_iter().filter(|level| level.available()) {
                // 2,000 updates a row, each rounded at 6e-8 of numbers below 2, with signs at random
                let difference = largest_difference(&portable, &train(level).vectors);
                assert!(difference < 1e-4, "{method:?} {}: {difference}", level.name());
            }
        }
    }

    #[test]
    fn one_thread_and_a_seed_give_the_same_bytes_however_the_work_is_cut() {
        let (ids, counts) = text(300, 4000);
        let last = 2 * Model::chunks(ids.len());
        let level = Level::chosen().unwrap();
        for method in METHODS {
            let mut whole = Model::new(&counts, options(method, 50), level).unwrap();
            whole.run(&ids, 0, last);
            let mut pieces = Model::new(&counts, options(method, 50), level).unwrap();
            for chunk in 0..last {
                pieces.run(&ids, chunk, chunk + 1);
            }
            for row in 0..300 {
                assert_eq!(whole.vectors.read(row), pieces.vectors.read(row));
            }
        }
    }

    #[test]
    fn threads_merge_their_own_rows() {
        let (_, mut counts) = text(HOT as u32 + 100, 100);
        (counts[0], counts[1]) = (1_000_000, 1);
        let two = Options { threads: 2, sample: 0.0, ..options(Method::SkipGram, 20) };
        let model = Model::new(&counts, two, Level::Portable).unwrap();
        let (mut first, mut second) = (Scratch::new(&model), Scratch::new(&model));
        let merge_all = |first: &mut Scratch, second: &mut Scratch| {
            merge(&model, first, 0.025, 2);
            merge(&model, second, 0.025, 2);
            merge(&model, first, 0.025, 2);
        };
        merge_all(&mut first, &mut second);
        let stride = model.context.stride;
        for word in [0, 1] {
            first.context.rows[word * stride + 3] += 1.0;
            second.context.rows[word * stride + 3] += 2.0;
        }
        merge_all(&mut first, &mut second);
        // The mean of the moves of a word met all the time, the sum of those of one that is hardly met.
        for (word, moved) in [(0, 1.5), (1, 3.0)] {
            let is = model.context.read(word)[3];
            assert!((is - moved).abs() < 5e-3, "{is}, not {moved}");
            assert_eq!((first.context.rows[word * stride + 3], second.context.rows[word * stride + 3]), (is, is));
        }
        let own = first.context.rows.as_mut_ptr();
        assert!(std::ptr::eq(first.context.row(&model, &model.context, 0), own));
        assert!(std::ptr::eq(first.context.row(&model, &model.context, HOT as u32), model.context.row(HOT)));
    }

    #[test]
    fn padding_stays_zero_and_threads_share_the_work() {
        let (ids, counts) = text(300, 8000);
        let last = Model::chunks(ids.len());
        for method in METHODS {
            let three = Options { threads: 3, ..options(method, 37) };
            let mut model = Model::new(&counts, three, Level::chosen().unwrap()).unwrap();
            let done = model.run(&ids, 0, last);
            assert_eq!(done.words as usize, ids.iter().filter(|&&id| id != SENTENCE_END).count());
            assert!(done.loss.is_finite() && done.loss_pairs > 0);
            assert!(model.context.read(0).iter().any(|&x| x != 0.0)); // what the threads' own rows learned is kept
            for row in 0..300 {
                assert!(model.vectors.read(row)[37..].iter().all(|&x| x == 0.0));
            }
        }
    }
}
