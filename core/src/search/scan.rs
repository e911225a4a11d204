//! One thread's work: some queries against a range of keys, block by block, so that a block's codes stay in the second-level
//! cache while all the queries pass over them.

use super::best::{Best, Rows};
use super::bound::{Query, Share, bound};
use super::codes::{Codes, PANEL, TILE};
use super::exact::Exact;
use super::tile::{BLOCK_KEYS, Block, Group, PANELS, Scans, largest_of_groups, reaching};
use super::{Found, Goal, Metric, Own, Statistics};
#[cfg(target_arch = "x86_64")]
use crate::simd::{Avx2, Avx512};
use crate::simd::{Int8, Level, Portable};
use std::ops::Range;

/// Codes of a block in bytes, at most: with those of the queries they leave half of a second-level cache of 1 MiB free.
const BLOCK_BYTES: usize = 1 << 18;
/// Queries that pass over a tile together: with three panels 24 sums, which leaves 8 of AVX-512's registers.
pub const GROUP: usize = 8;

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
    /// Begins with a multiple of TILE; no more than u32 counts.
    pub keys: Range<usize>,
    pub level: Level,
}

impl Task<'_> {
    /// Compare all with all, looking whether to `stop` between two blocks.
    pub fn run(&self, stop: &dyn Fn() -> bool, statistics: &mut Statistics) -> Option<Found> {
        if self.metric == Metric::Euclidean {
            self.run_by_level::<true>(stop, statistics)
        } else {
            self.run_by_level::<false>(stop, statistics)
        }
    }

    fn run_by_level<const EUCLIDEAN: bool>(
        &self,
        stop: &dyn Fn() -> bool,
        statistics: &mut Statistics,
    ) -> Option<Found> {
        let alone = self.queries.len() == self.d;
        match self.level.for_codes() {
            // SAFETY: the level is one that the processor has.
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 if alone => unsafe { run_avx512::<1, 1, EUCLIDEAN>(self, stop, statistics) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => unsafe { run_avx512::<PANELS, GROUP, EUCLIDEAN>(self, stop, statistics) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 if alone => unsafe { run_avx2::<1, 1, EUCLIDEAN>(self, stop, statistics) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => unsafe { run_avx2::<2, GROUP, EUCLIDEAN>(self, stop, statistics) },
            // SAFETY: it runs everywhere.
            _ if alone => unsafe { run::<Portable, 1, 1, 1, EUCLIDEAN>(self, stop, statistics) },
            // SAFETY: as above.
            _ => unsafe { run::<Portable, 1, 1, GROUP, EUCLIDEAN>(self, stop, statistics) },
        }
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
fn run_avx512<const P: usize, const G: usize, const EUCLIDEAN: bool>(
    task: &Task,
    stop: &dyn Fn() -> bool,
    statistics: &mut Statistics,
) -> Option<Found> {
    // SAFETY: the attribute above says what the processor has.
    unsafe { run::<Avx512, P, G, G, EUCLIDEAN>(task, stop, statistics) }
}

// A panel and a query take four registers of AVX2: two queries eight, with four for the keys, of sixteen.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,bmi2")]
fn run_avx2<const Q: usize, const G: usize, const EUCLIDEAN: bool>(
    task: &Task,
    stop: &dyn Fn() -> bool,
    statistics: &mut Statistics,
) -> Option<Found> {
    // SAFETY: the attribute above says what the processor has.
    unsafe { run::<Avx2, 1, Q, G, EUCLIDEAN>(task, stop, statistics) }
}

/// P panels by Q queries are summed up in registers; G queries, a multiple of Q, pass over a tile together.
///
/// # Safety
/// The processor has the instruction set.
#[inline(always)]
unsafe fn run<S: Int8, const P: usize, const Q: usize, const G: usize, const EUCLIDEAN: bool>(
    task: &Task,
    stop: &dyn Fn() -> bool,
    statistics: &mut Statistics,
) -> Option<Found> {
    let (mut scan, plain) = Scan::<S, G>::new(task);
    let (mut block, mut out) = (Block::new(task.metric), Scans::new());
    let step = task.codes.map_or(BLOCK_KEYS, |codes| BLOCK_BYTES / (4 * codes.steps) / TILE * TILE);
    for keys in pieces(task.keys.clone(), step.clamp(TILE, BLOCK_KEYS)) {
        if stop() {
            return None;
        }
        for &i in &plain {
            statistics.rescored += keys.len() as u64;
            for row in keys.clone().filter(|&row| task.allows(row, i)) {
                scan.bests[i].score(&scan.rows[i], (row - task.keys.start) as u32);
            }
        }
        let Some(codes) = task.codes.filter(|_| !scan.groups.is_empty()) else { continue };
        statistics.scanned += (keys.len() * scan.places.len()) as u64;
        block.fill(codes, task.allowed, keys.clone());
        let panels = codes.panel(keys.start / PANEL).as_ptr();
        for g in 0..scan.groups.len() {
            if keys.start == task.keys.start && scan.wants_start(task, keys.len()) {
                // SAFETY: the caller vouches for the instruction set; the panels are whole tiles.
                let (largest, share) =
                    unsafe { largest_of_groups::<S, P, Q, G, EUCLIDEAN>(&block, panels, codes.steps, &scan.groups[g]) };
                scan.start(task, g, &largest, share);
            }
            let mut from = 0;
            // SAFETY: the caller vouches for the instruction set; the panels are whole tiles.
            while let Some(tile) = unsafe {
                reaching::<S, P, Q, G, EUCLIDEAN>(&block, panels, codes.steps, from, &scan.groups[g], &mut out)
            } {
                scan.see(task, codes, g, &block, keys.start + tile * TILE, &mut out, statistics);
                from = tile + 1;
            }
        }
    }
    Some(scan.finish(statistics))
}

fn pieces(keys: Range<usize>, step: usize) -> impl Iterator<Item = Range<usize>> {
    keys.clone().step_by(step).map(move |from| from..(from + step).min(keys.end))
}

/// The queries under way.
struct Scan<'a, S: Int8, const G: usize> {
    rows: Vec<Rows<'a>>,
    bests: Vec<Best>,
    groups: Vec<Group<S, G>>,
    /// Which query is in each place of the groups.
    places: Vec<usize>,
}

impl<'a, S: Int8, const G: usize> Scan<'a, S, G> {
    /// Queries in groups; and those that cannot be scanned by codes.
    fn new(task: &Task<'a>) -> (Scan<'a, S, G>, Vec<usize>) {
        let mut scan = Scan { rows: Vec::new(), bests: Vec::new(), groups: Vec::new(), places: Vec::new() };
        let (mut plain, mut signed) = (Vec::new(), Vec::new());
        for (i, query) in task.queries.chunks_exact(task.d).enumerate() {
            let exact = Exact::new(task.metric, query, task.level);
            scan.rows.push(Rows { exact, vectors: task.vectors, d: task.d, first: task.keys.start });
            let Some(coded) = task.codes.and_then(|codes| Query::new(query, task.metric, codes, &mut signed)) else {
                scan.bests.push(Best::new(task.goal, |score| score));
                plain.push(i);
                continue;
            };
            let best = Best::new(task.goal, |score| coded.floor(score));
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

    /// Whether a threshold to start with can be had from the first block: the k-th largest of some groups' largest scores.
    fn wants_start(&self, task: &Task, keys: usize) -> bool {
        matches!(task.goal, Goal::Best(k) if 4 * k < TILE && keys > 4 * TILE)
    }

    /// At least k keys of a block score what the k-th of its groups' largest scores allows.
    fn start(&mut self, task: &Task, g: usize, largest: &[[f32; TILE]; G], share: Share) {
        let Goal::Best(k) = task.goal else { return };
        // A query's own row may be one of them.
        let k = if task.own == Own::No { k } else { k + 1 };
        let group = &mut self.groups[g];
        for (j, largest) in largest.iter().enumerate() {
            let Some(query) = &group.queries[j] else { continue };
            let mut largest = *largest;
            largest.select_nth_unstable_by(k - 1, |a, b| b.total_cmp(a));
            let best = &mut self.bests[self.places[g * G + j]];
            best.threshold = f64::from(largest[k - 1]) - f64::from(bound(query.factors, share));
            group.raise(j, best.threshold);
        }
    }

    /// Look at the scans of a tile that reached what was asked.
    #[allow(clippy::too_many_arguments)]
    #[inline(never)] // it should not weigh on the registers of the kernel
    fn see(
        &mut self,
        task: &Task,
        codes: &Codes,
        g: usize,
        block: &Block,
        first: usize,
        out: &mut Scans<G>,
        statistics: &mut Statistics,
    ) {
        let group = &mut self.groups[g];
        for (j, (scores, reached)) in out.scores.iter().zip(&mut out.reached).enumerate() {
            let mut left = std::mem::take(reached);
            let any = left != 0;
            while left != 0 {
                let l = left.trailing_zeros() as usize;
                left &= left - 1;
                let (row, i) = (first + l, self.places[g * G + j]);
                if !task.allows(row, i) {
                    continue;
                }
                statistics.candidates += 1;
                let query = group.queries[j].as_ref().expect("nothing reaches the threshold of a free place");
                let bound = bound(query.factors, block.share(codes, row));
                if self.bests[i].see((row - task.keys.start) as u32, scores[l], bound) {
                    self.bests[i].make_room(&self.rows[i], |score| query.floor(score), statistics);
                }
            }
            if any {
                group.raise(j, self.bests[self.places[g * G + j]].threshold);
            }
        }
    }

    fn finish(self, statistics: &mut Statistics) -> Found {
        self.bests.into_iter().zip(&self.rows).map(|(best, rows)| best.finish(rows, statistics)).collect()
    }
}
