//! One thread's work: some queries against a range of keys, block by block, so that a block's codes stay in the second-level
//! cache while all the queries pass over them.

use super::best::Best;
use super::bound::{Query, Share, bound, lowered};
use super::codes::{Codes, PANEL, TILE};
use super::exact::{Exact, Hit};
use super::graph::{STRIP, Strips, tell};
use super::tile::{Ahead, BLOCK_KEYS, Block, Group, PANELS, Scans, largest_of_groups, reaching};
use super::{Found, Goal, Metric, Own, Statistics};
#[cfg(target_arch = "x86_64")]
use crate::simd::{Avx2, Avx512};
use crate::simd::{Int8, LANES, Level, Portable, prefetch};
use std::ops::Range;

/// Codes of a block in bytes, at most: with those of the queries they leave half of a second-level cache of 1 MiB free.
const BLOCK_BYTES: usize = 1 << 18;
/// Queries that pass over a tile together: with three panels 24 sums, which leaves 8 of AVX-512's registers.
pub const GROUP: usize = 8;

/// Keys for each answer wanted from which thresholds to start with are taken. More cost more than the candidates that better
/// thresholds save; a lone query's scan is slower, its candidates are not.
const SAMPLE: usize = 300;
const SAMPLE_ALONE: usize = 100;
/// Candidates that wait to be scored, so that their numbers come from memory meanwhile; and how many cache lines are asked for.
const WAITING: usize = 32;
const LINES: usize = 64;

/// Some queries, the keys they are compared with, and what is wanted.
pub struct Task<'a> {
    pub codes: Option<&'a Codes>,
    pub vectors: &'a [f32],
    pub d: usize,
    /// (q, d)
    pub queries: &'a [f64],
    pub metric: Metric,
    pub goal: Goal,
    pub allowed: Option<&'a [bool]>,
    pub own: Own,
    /// Begins with a multiple of TILE.
    pub keys: Range<usize>,
    /// Of these are the keys that thresholds to start with come from; begins with a multiple of TILE.
    pub sampled: Range<usize>,
    pub level: Level,
    /// Where the queries are keys too, before these keys: to be told what the queries score as neighbours of them.
    pub strips: Option<Strips<'a>>,
}

impl Task<'_> {
    /// Compare all with all, looking whether to `stop` between two blocks. Returns what each query found, and what its
    /// neighbours must reach in key units.
    pub fn run(&self, stop: &dyn Fn() -> bool, statistics: &mut Statistics) -> Option<(Found, Vec<f64>)> {
        match (self.metric == Metric::Euclidean, self.strips.is_some()) {
            (false, false) => self.run_by_level::<false, false>(stop, statistics),
            (false, true) => self.run_by_level::<false, true>(stop, statistics),
            (true, false) => self.run_by_level::<true, false>(stop, statistics),
            (true, true) => self.run_by_level::<true, true>(stop, statistics),
        }
    }

    fn run_by_level<const EUCLIDEAN: bool, const PAIRS: bool>(
        &self,
        stop: &dyn Fn() -> bool,
        statistics: &mut Statistics,
    ) -> Option<(Found, Vec<f64>)> {
        let alone = self.queries.len() == self.d && !PAIRS;
        match self.level.for_codes() {
            // SAFETY: the level is one that the processor has.
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 if alone => unsafe { run_avx512::<1, 1, EUCLIDEAN, false>(self, stop, statistics) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => unsafe { run_avx512::<PANELS, GROUP, EUCLIDEAN, PAIRS>(self, stop, statistics) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 if alone => unsafe { run_avx2::<1, 1, EUCLIDEAN, false>(self, stop, statistics) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => unsafe { run_avx2::<2, GROUP, EUCLIDEAN, PAIRS>(self, stop, statistics) },
            // SAFETY: it runs everywhere.
            _ if alone => unsafe { run::<Portable, 1, 1, 1, EUCLIDEAN, false>(self, stop, statistics) },
            // SAFETY: as above.
            _ => unsafe { run::<Portable, 1, 1, GROUP, EUCLIDEAN, PAIRS>(self, stop, statistics) },
        }
    }

    /// Keys of a block, a multiple of TILE.
    fn block(&self) -> usize {
        let most =
            self.codes.map_or(BLOCK_KEYS, |codes| BLOCK_BYTES / (4 * codes.steps)).clamp(TILE, BLOCK_KEYS) / TILE;
        // A block lies in one strip.
        let whole = |tiles: &usize| self.strips.is_none() || (STRIP / TILE).is_multiple_of(*tiles);
        (1..=most).rev().find(whole).expect("1 is whole") * TILE
    }

    /// Keys that thresholds to start with come from.
    fn sample(&self, k: usize, group: usize) -> Range<usize> {
        let most = k * if group == 1 { SAMPLE_ALONE } else { SAMPLE };
        self.sampled.start..self.sampled.end.min(self.sampled.start + most.next_multiple_of(TILE))
    }

    /// How many keys must reach a threshold to start with: a query's own row may be one of them.
    fn wanted(&self) -> Option<usize> {
        match self.goal {
            Goal::Best(k) => Some(if self.own == Own::No { k } else { k + 1 }),
            Goal::AtLeast(_) => None,
        }
    }

    fn vector(&self, row: usize) -> &[f32] {
        &self.vectors[row * self.d..][..self.d]
    }

    fn allows(&self, row: usize, query: usize) -> bool {
        self.allowed.is_none_or(|allowed| allowed[row])
            && match self.own {
                Own::No => true,
                Own::Others(first) => row != first + query,
                Own::Later(first) => row > first + query,
            }
    }
}

// A lone query takes one panel at a time: memory streams one run of bytes twice as fast as three side by side.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,avx512vnni,avx2,fma,bmi2")]
fn run_avx512<const P: usize, const G: usize, const EUCLIDEAN: bool, const PAIRS: bool>(
    task: &Task,
    stop: &dyn Fn() -> bool,
    statistics: &mut Statistics,
) -> Option<(Found, Vec<f64>)> {
    // SAFETY: the attribute above says what the processor has.
    unsafe { run::<Avx512, P, G, G, EUCLIDEAN, PAIRS>(task, stop, statistics) }
}

// A panel and a query take four registers of AVX2: two queries eight, with four for the keys, of sixteen.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,bmi2")]
fn run_avx2<const Q: usize, const G: usize, const EUCLIDEAN: bool, const PAIRS: bool>(
    task: &Task,
    stop: &dyn Fn() -> bool,
    statistics: &mut Statistics,
) -> Option<(Found, Vec<f64>)> {
    // SAFETY: the attribute above says what the processor has.
    unsafe { run::<Avx2, 1, Q, G, EUCLIDEAN, PAIRS>(task, stop, statistics) }
}

/// P panels by Q queries are summed up in registers; G queries, a multiple of Q, pass over a tile together.
///
/// # Safety
/// The processor has the instruction set.
#[inline(always)]
unsafe fn run<S: Int8, const P: usize, const Q: usize, const G: usize, const EUCLIDEAN: bool, const PAIRS: bool>(
    task: &Task,
    stop: &dyn Fn() -> bool,
    statistics: &mut Statistics,
) -> Option<(Found, Vec<f64>)> {
    let (mut scan, plain) = Scan::<S, G>::new(task);
    let mut out = Scans::new();
    if let (Some(codes), Some(k)) = (task.codes, task.wanted())
        && !PAIRS
        && !scan.places.is_empty()
        && 2 * k < task.sample(k, G).len()
    {
        // SAFETY: the caller's.
        unsafe { scan.start::<P, Q, EUCLIDEAN>(task, codes, k, statistics) };
    }
    for keys in pieces(task.keys.clone(), task.block()) {
        if stop() {
            return None;
        }
        if let Some(codes) = task.codes.filter(|_| !scan.groups.is_empty()) {
            // SAFETY: the caller's.
            unsafe { scan.by_codes::<P, Q, EUCLIDEAN, PAIRS>(task, codes, keys.clone(), &mut out, statistics) };
        }
        scan.by_numbers::<PAIRS>(task, &plain, keys, statistics);
    }
    if let Some(codes) = task.codes {
        scan.score::<EUCLIDEAN, PAIRS>(task, codes, statistics);
    }
    let mut least = vec![f64::NEG_INFINITY; scan.bests.len()];
    for (place, &i) in scan.places.iter().enumerate() {
        least[i] = scan.groups[place / G].query(place % G).in_key_units(scan.bests[i].threshold);
    }
    Some((scan.bests.into_iter().map(Best::finish).collect(), least))
}

fn pieces(keys: Range<usize>, step: usize) -> impl Iterator<Item = Range<usize>> {
    keys.clone().step_by(step).map(move |from| from..(from + step).min(keys.end))
}

/// The queries under way.
struct Scan<'a, S: Int8, const G: usize> {
    exact: Vec<Exact<'a>>,
    bests: Vec<Best>,
    groups: Vec<Group<S, G>>,
    /// Which query is in each place of the groups.
    places: Vec<usize>,
    waiting: Vec<Waiting>,
    block: Block,
}

/// A key that may be an answer, or the query one of its neighbours.
struct Waiting {
    /// The query's.
    place: usize,
    row: usize,
    /// In scan units; its score is no larger.
    most: f64,
    sides: u8,
}

/// Which of the two may be an answer.
const KEY: u8 = 1;
const QUERY: u8 = 2;

impl<'a, S: Int8, const G: usize> Scan<'a, S, G> {
    /// Queries in groups; and those that cannot be scanned by codes.
    fn new(task: &Task<'a>) -> (Scan<'a, S, G>, Vec<usize>) {
        let mut scan = Scan {
            exact: Vec::new(),
            bests: Vec::new(),
            groups: Vec::new(),
            places: Vec::new(),
            waiting: Vec::with_capacity(WAITING),
            block: Block::new(task.metric),
        };
        let (mut plain, mut signed) = (Vec::new(), Vec::new());
        let least = task.strips.as_ref().map(Strips::least_of_queries);
        for (i, query) in task.queries.chunks_exact(task.d).enumerate() {
            scan.exact.push(Exact::new(task.metric, query, task.level));
            let Some(coded) = task.codes.and_then(|codes| Query::new(query, task.metric, codes, &mut signed)) else {
                scan.bests.push(Best::new(task.goal, |score| score));
                plain.push(i);
                continue;
            };
            let mut best = Best::new(task.goal, |score| coded.floor(score));
            if let Some(least) = &least {
                best.threshold = coded.in_scan_units(least[i]);
            }
            let place = scan.places.len() % G;
            if place == 0 {
                scan.groups.push(Group::new(task.d.div_ceil(4)));
            }
            let group = scan.groups.last_mut().expect("one was pushed");
            group.set(place, coded, &signed, best.threshold);
            scan.places.push(i);
            scan.bests.push(best);
        }
        (scan, plain)
    }

    /// Turn to a block of keys, for all queries that have codes; returns its panels, whole tiles.
    #[inline(always)]
    fn turn_to(&mut self, task: &Task, codes: &Codes, keys: Range<usize>, statistics: &mut Statistics) -> *const u8 {
        statistics.scanned += (keys.len() * self.places.len()) as u64;
        self.block.fill(codes, task.allowed, keys.clone());
        codes.panels(keys.start / PANEL..keys.end.next_multiple_of(TILE) / PANEL).as_ptr()
    }

    /// Thresholds to start with, from a sample of the keys: at least k of them score what the k-th of the largest scores of
    /// some groups of them allows.
    ///
    /// # Safety
    /// The processor has the instruction set.
    #[inline(always)]
    unsafe fn start<const P: usize, const Q: usize, const EUCLIDEAN: bool>(
        &mut self,
        task: &Task,
        codes: &Codes,
        k: usize,
        statistics: &mut Statistics,
    ) {
        let groups = (2 * k).div_ceil(TILE);
        let mut largest = vec![[[f32::NEG_INFINITY; TILE]; G]; groups * self.groups.len()];
        let mut share = Share::default();
        for keys in pieces(task.sample(k, G), task.block()) {
            let panels = self.turn_to(task, codes, keys, statistics);
            for (group, largest) in self.groups.iter().zip(largest.chunks_mut(groups)) {
                // SAFETY: the caller vouches for the instruction set; the panels are whole tiles.
                let of_block = unsafe {
                    largest_of_groups::<S, P, Q, G, EUCLIDEAN>(&self.block, panels, codes.steps, group, largest)
                };
                share = share.max(of_block);
            }
        }
        for (place, &i) in self.places.iter().enumerate() {
            let (g, j) = (place / G, place % G);
            let largest = largest[g * groups..][..groups].iter();
            let mut largest: Vec<f32> = largest.flat_map(|largest| largest[j]).collect();
            let (_, kth, _) = largest.select_nth_unstable_by(k - 1, |a, b| b.total_cmp(a));
            self.bests[i].threshold = f64::from(*kth) - f64::from(bound(self.groups[g].query(j).factors, share));
            self.groups[g].raise(j, self.bests[i].threshold);
        }
    }

    /// Compare the queries that have codes with a block of keys.
    ///
    /// # Safety
    /// The processor has the instruction set.
    #[inline(always)]
    unsafe fn by_codes<const P: usize, const Q: usize, const EUCLIDEAN: bool, const PAIRS: bool>(
        &mut self,
        task: &Task,
        codes: &Codes,
        keys: Range<usize>,
        out: &mut Scans<G>,
        statistics: &mut Statistics,
    ) {
        let panels = self.turn_to(task, codes, keys.clone(), statistics);
        if let Some(strips) = &task.strips
            && PAIRS
        {
            strips.least_of(keys.clone(), &mut self.block.least);
        }
        let next = codes.panels(keys.end / PANEL..task.keys.end.min(keys.end + keys.len()).div_ceil(PANEL));
        let mut ahead = Ahead::new(next, keys.len().div_ceil(TILE) * self.groups.len());
        for g in 0..self.groups.len() {
            let mut from = 0;
            // SAFETY: the caller vouches for the instruction set; the panels are whole tiles.
            while let Some(tile) = unsafe {
                let (block, group) = (&self.block, &self.groups[g]);
                reaching::<S, P, Q, G, EUCLIDEAN, PAIRS>(block, panels, codes.steps, from, group, &mut ahead, out)
            } {
                self.see::<EUCLIDEAN, PAIRS>(task, codes, g, keys.start, tile, out, statistics);
                from = tile + 1;
            }
        }
        if PAIRS {
            self.score::<EUCLIDEAN, PAIRS>(task, codes, statistics); // while the block is that of their rows
        }
    }

    /// Look at the scans of a tile that reached what was asked.
    #[allow(clippy::too_many_arguments)]
    #[inline(never)] // it should not weigh on the registers of the kernel
    fn see<const EUCLIDEAN: bool, const PAIRS: bool>(
        &mut self,
        task: &Task,
        codes: &Codes,
        g: usize,
        first: usize,
        tile: usize,
        out: &mut Scans<G>,
        statistics: &mut Statistics,
    ) {
        for j in 0..G {
            let reached = std::mem::take(&mut out.reached[j]);
            let reached_keys = if PAIRS { std::mem::take(&mut out.reached_keys[j]) } else { 0 };
            let mut left = reached | reached_keys;
            while left != 0 {
                let l = left.trailing_zeros() as usize;
                left &= left - 1;
                let (at, place) = (tile * TILE + l, g * G + j);
                let (row, i) = (first + at, self.places[place]);
                if !task.allows(row, i) {
                    continue;
                }
                let query = self.groups[g].query(j); // nothing reaches the threshold of a free place
                let bound = bound(query.factors, self.block.share(codes, row));
                let most = f64::from(out.scores[j][l]) + f64::from(bound);
                let sides = self.sides::<EUCLIDEAN, PAIRS>(query, i, at, codes.norms[row], most);
                if sides == 0 {
                    continue;
                }
                statistics.candidates += 1;
                for line in task.vector(row).chunks(LANES).take(LINES) {
                    prefetch(line.as_ptr());
                }
                self.waiting.push(Waiting { place, row, most, sides });
                if self.waiting.len() == WAITING {
                    self.score::<EUCLIDEAN, PAIRS>(task, codes, statistics);
                }
            }
        }
    }

    /// Which sides of a pair its score, no larger than `most`, may matter to.
    #[inline(always)]
    fn sides<const EUCLIDEAN: bool, const PAIRS: bool>(
        &self,
        query: &Query,
        i: usize,
        at: usize,
        norm: f32,
        most: f64,
    ) -> u8 {
        let mut sides = if most >= self.bests[i].threshold { KEY } else { 0 };
        if PAIRS {
            let square = if EUCLIDEAN { f64::from(query.half) * f64::from(norm * norm) } else { 0.0 };
            let least = f64::from(self.block.least[at]) * query.per_key_unit;
            sides |= if most + square - query.own >= least { QUERY } else { 0 };
        }
        sides
    }

    /// Score the candidates that wait, but those that are ruled out meanwhile, or by a product in float32, as most are.
    fn score<const EUCLIDEAN: bool, const PAIRS: bool>(
        &mut self,
        task: &Task,
        codes: &Codes,
        statistics: &mut Statistics,
    ) {
        let Some(Waiting { row, .. }) = self.waiting.first() else { return };
        let mut keys = task.strips.as_ref().filter(|_| PAIRS).map(|strips| strips.lock(*row));
        let mut waiting = std::mem::take(&mut self.waiting);
        for Waiting { place, row, most, sides } in waiting.drain(..) {
            let (i, key, norm) = (self.places[place], task.vector(row), codes.norms[row]);
            let coded = self.groups[place / G].query(place % G);
            let most = coded.most(self.exact[i].rough_dot(key), norm, task.d).min(most);
            let at = row.wrapping_sub(self.block.first);
            let sides = sides & self.sides::<EUCLIDEAN, PAIRS>(coded, i, at, norm, most);
            if sides == 0 {
                continue;
            }
            statistics.rescored += 1;
            let score = self.exact[i].score(key);
            let best = &mut self.bests[i];
            best.take(Hit::new(score, row as u64), |score| coded.floor(score));
            self.groups[place / G].raise(place % G, best.threshold);
            if let (Some(bests), Some(strips)) = (&mut keys, &task.strips)
                && sides & QUERY != 0
            {
                let best = &mut bests[row % STRIP];
                tell(best, Hit::new(score, (strips.first + i) as u64), task.codes, task.metric, task.d, row);
                self.block.least[at] = lowered(best.threshold);
            }
        }
        self.waiting = waiting;
    }

    /// Score all keys of a block for the queries that cannot be scanned by codes.
    fn by_numbers<const PAIRS: bool>(
        &mut self,
        task: &Task,
        plain: &[usize],
        keys: Range<usize>,
        statistics: &mut Statistics,
    ) {
        let mut strip =
            task.strips.as_ref().filter(|_| PAIRS && !plain.is_empty()).map(|strips| strips.lock(keys.start));
        for (&i, row) in plain.iter().flat_map(|i| keys.clone().map(move |row| (i, row))) {
            if !task.allows(row, i) {
                continue;
            }
            statistics.rescored += 1;
            let score = self.exact[i].score(task.vector(row));
            self.bests[i].take(Hit::new(score, row as u64), |score| score);
            if let (Some(bests), Some(strips)) = (&mut strip, &task.strips) {
                let hit = Hit::new(score, (strips.first + i) as u64);
                tell(&mut bests[row % STRIP], hit, task.codes, task.metric, task.d, row);
            }
        }
    }
}
