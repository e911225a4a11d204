//! One thread's work: some queries against a range of keys, block by block, so that a block's codes stay in the second-level
//! cache while all the queries pass over them.

use super::basis::ALL;
use super::best::Best;
use super::bound::{Query, Share, bound, lowered};
use super::codes::{Codes, TILE};
use super::exact::{Exact, Hit};
use super::graph::{STRIP, Strips, tell};
#[cfg(target_arch = "x86_64")]
use super::tile::PANELS;
use super::tile::{Ahead, BLOCK_TILES, Block, Group, LIKELY_ERROR, Order, Scans, largest_of_tiles, reaching};
use super::{Found, Goal, Metric, Own, Statistics, Vector};
#[cfg(any(test, target_arch = "x86_64"))]
use crate::simd::MATRIX_ROWS;
#[cfg(target_arch = "aarch64")]
use crate::simd::Neon;
#[cfg(target_arch = "x86_64")]
use crate::simd::{Avx2, Avx512};
use crate::simd::{Int8, LANES, Level, Portable, Unit, prefetch};
use std::ops::Range;

/// Codes of a block in bytes, at most: with those of the queries they leave half of a second-level cache of 1 MiB free.
const BLOCK_BYTES: usize = 1 << 18;
/// Of a block that a matrix unit multiplies: it reads as fast as the first-level cache gives, which holds so much beside the rest.
const MATRIX_BLOCK_BYTES: usize = 20 << 10;
/// Queries that pass over a tile together: with three panels 24 sums, which leaves 8 of AVX-512's registers.
pub const GROUP: usize = 8;

/// Tiles from which thresholds to start with are taken, for each answer wanted: more where the answers are sought by several tasks,
/// whose guesses do not improve. More would cost more than the candidates that better thresholds save.
const SAMPLE: f64 = 0.25;
const SAMPLE_OF_SEVERAL: f64 = 12.0;
/// No more than one of so many.
const MOST_SAMPLED: usize = 4;
/// But so few are all looked at: their candidates would cost more.
const ALL_SAMPLED: usize = 24;
/// How likely a guess may be too high. Then the query is asked again; a lower guess has more candidates.
const TOO_HIGH: f64 = 1e-3;
/// Candidates of a query that wait to be scored, for each answer wanted and at least: most wait for the end, when it is best known
/// which of them matter. And at most; of pairs, and where any number of answers is wanted.
const WAITING: usize = 4;
const LEAST_WAITING: usize = 64;
const MOST_WAITING: usize = 4096;
const WAITING_PAIRS: usize = 32;
/// Cache lines that are asked for before they are scored.
const LINES: usize = 64;

/// Keys of a task at most.
pub const MOST_KEYS: usize = u32::MAX as usize / TILE * TILE;

/// Some queries, the keys they are compared with, and what is wanted.
pub struct Task<'a> {
    pub codes: Option<&'a Codes>,
    pub vectors: &'a [f32],
    pub d: usize,
    pub queries: &'a [Vector<'a>],
    pub metric: Metric,
    pub goal: Goal,
    pub allowed: Option<&'a [bool]>,
    pub own: Own<'a>,
    /// Places of the keys among the codes; begins with a multiple of TILE.
    pub keys: Range<usize>,
    /// Keys among which the answers are sought, here or in other tasks; begins with a multiple of TILE.
    pub among: Range<usize>,
    pub level: Level,
    /// Where the queries are keys too, before these keys: to be told what the queries score as neighbours of them.
    pub strips: Option<Strips<'a>>,
}

/// What each query found, and what its neighbours must reach in key units, and are guessed to.
type Run = (Found, Vec<[f64; 2]>);

impl Task<'_> {
    /// Compare all with all, looking whether to `stop` between two blocks.
    pub fn run(&self, stop: &dyn Fn() -> bool, statistics: &mut Statistics) -> Option<Run> {
        assert!(self.keys.len() <= MOST_KEYS);
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
    ) -> Option<Run> {
        let alone = self.queries.len() == 1 && !PAIRS;
        match self.level.for_codes() {
            // SAFETY: the level is one that the processor has.
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 if alone => unsafe { run_avx512::<1, 1, 1, EUCLIDEAN, false>(self, stop, statistics) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 if self.by_matrix() => unsafe {
                run_avx512::<PANELS, GROUP, MATRIX_ROWS, EUCLIDEAN, PAIRS>(self, stop, statistics)
            },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => unsafe { run_avx512::<PANELS, GROUP, GROUP, EUCLIDEAN, PAIRS>(self, stop, statistics) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 if alone => unsafe { run_avx2::<1, 1, EUCLIDEAN, false>(self, stop, statistics) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => unsafe { run_avx2::<4, GROUP, EUCLIDEAN, PAIRS>(self, stop, statistics) },
            // SAFETY: it runs everywhere, with the plain product of tests.
            #[cfg(test)]
            _ if self.by_matrix() => unsafe {
                run::<Portable, 1, 1, MATRIX_ROWS, EUCLIDEAN, PAIRS>(self, stop, statistics)
            },
            // SAFETY: as above.
            #[cfg(target_arch = "aarch64")]
            Level::Neon if alone => unsafe { run_neon::<1, 1, EUCLIDEAN, false>(self, stop, statistics) },
            // SAFETY: as above.
            #[cfg(target_arch = "aarch64")]
            Level::Neon => unsafe { run_neon::<4, GROUP, EUCLIDEAN, PAIRS>(self, stop, statistics) },
            // SAFETY: it runs everywhere.
            _ if alone => unsafe { run::<Portable, 1, 1, 1, EUCLIDEAN, false>(self, stop, statistics) },
            // SAFETY: as above.
            _ => unsafe { run::<Portable, 1, 1, GROUP, EUCLIDEAN, PAIRS>(self, stop, statistics) },
        }
    }

    /// Whether a matrix unit multiplies: not the few queries that a group without one takes.
    fn by_matrix(&self) -> bool {
        self.codes.is_some_and(|codes| codes.matrix.is_some()) && self.queries.len() > GROUP
    }

    /// Tiles of a block.
    fn block(&self) -> usize {
        let bytes = if self.by_matrix() { MATRIX_BLOCK_BYTES } else { BLOCK_BYTES };
        let tile = |codes: &Codes| bytes / (4 * codes.steps * TILE);
        let most = self.codes.map_or(BLOCK_TILES, tile).clamp(1, BLOCK_TILES);
        // A block lies in one strip.
        let whole = |tiles: &usize| self.strips.is_none() || (STRIP / TILE).is_multiple_of(*tiles);
        (1..=most).rev().find(whole).expect("1 is whole")
    }

    /// How many keys must reach a threshold to start with: a query's own row may be one of them.
    fn wanted(&self) -> Option<usize> {
        match self.goal {
            Goal::Best(k) => Some(if self.own == Own::No { k } else { k + 1 }),
            Goal::AtLeast(_) => None,
        }
    }

    /// The coordinates of the queries in the codes' basis, if they have one and keep none of them.
    fn coordinates(&self) -> Vec<f64> {
        let Some(basis) = self.codes.and_then(|codes| codes.basis.as_ref()) else { return Vec::new() };
        if self.fine_of_query(0).is_some() {
            return Vec::new();
        }
        let mut out = vec![0.0; self.queries.len() * basis.m];
        basis.coordinates(self.queries.iter().copied(), &mut out, self.level);
        out
    }

    /// A query's bound, and its codes, from the sum of its squares and these coordinates of all; None if it cannot be scanned by codes.
    fn coded<S: Int8>(&self, i: usize, squares: f64, coordinates: &[f64], codes: &mut Vec<i8>) -> Option<Query> {
        let (query, m, mut own) = (self.queries[i], coordinates.len() / self.queries.len(), Vec::new());
        let coordinates = if let Some(fine) = self.fine_of_query(i) {
            let norm = squares.sqrt();
            own.extend(fine.iter().map(|&y| f64::from(y) * norm));
            &own
        } else if m > 0 {
            &coordinates[i * m..][..m]
        } else {
            query.extend(&mut own, |x| x);
            &own
        };
        Query::new::<S>(self.d, squares, coordinates, self.metric, self.codes?, codes)
    }

    /// The coordinates of a query that is a key, at length 1, if they are kept.
    fn fine_of_query(&self, i: usize) -> Option<&[f32]> {
        self.fine(self.strips.as_ref()?.first + i)
    }

    /// The coordinates of the key in a place, at length 1, if they are kept.
    fn fine(&self, place: usize) -> Option<&[f32]> {
        self.codes?.fine(place)
    }

    /// Which row a key is, by its place among the codes.
    fn row(&self, place: usize) -> usize {
        Codes::row_of(self.codes, place)
    }

    fn vector(&self, place: usize) -> &[f32] {
        &self.vectors[self.row(place) * self.d..][..self.d]
    }

    fn allows(&self, place: usize, query: usize) -> bool {
        self.allowed.is_none_or(|allowed| allowed[self.row(place)])
            && match self.own {
                Own::No => true,
                Own::Others(first) => self.row(place) != first + query,
                Own::Rows(rows) => self.row(place) != rows[query],
                Own::Later(first) => self.row(place) > first + query,
            }
    }
}

// A lone query takes one panel at a time: memory streams one run of bytes twice as fast as three side by side.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,avx512vnni,avx2,fma,bmi2")]
fn run_avx512<const P: usize, const Q: usize, const G: usize, const EUCLIDEAN: bool, const PAIRS: bool>(
    task: &Task,
    stop: &dyn Fn() -> bool,
    statistics: &mut Statistics,
) -> Option<Run> {
    // SAFETY: the attribute above says what the processor has.
    unsafe { run::<Avx512, P, Q, G, EUCLIDEAN, PAIRS>(task, stop, statistics) }
}

// A panel and a query take two registers of AVX2: four queries eight, with two for the keys and some for their products, of sixteen.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,bmi2")]
fn run_avx2<const Q: usize, const G: usize, const EUCLIDEAN: bool, const PAIRS: bool>(
    task: &Task,
    stop: &dyn Fn() -> bool,
    statistics: &mut Statistics,
) -> Option<Run> {
    // SAFETY: the attribute above says what the processor has.
    unsafe { run::<Avx2, 1, Q, G, EUCLIDEAN, PAIRS>(task, stop, statistics) }
}

// A panel takes four registers of NEON: four queries sixteen, with four for the keys and one for a query, of 32.
#[cfg(target_arch = "aarch64")]
#[target_feature(enable = "neon,dotprod")]
fn run_neon<const Q: usize, const G: usize, const EUCLIDEAN: bool, const PAIRS: bool>(
    task: &Task,
    stop: &dyn Fn() -> bool,
    statistics: &mut Statistics,
) -> Option<Run> {
    // SAFETY: the attribute above says what the processor has.
    unsafe { run::<Neon, 1, Q, G, EUCLIDEAN, PAIRS>(task, stop, statistics) }
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
) -> Option<Run> {
    let (mut scan, mut plain) = Scan::<S, G>::new(task);
    // A lone query streams the codes from memory; where pairs are looked for a block has to lie in one strip.
    let order = Order::new(task.keys.clone(), G > 1 && !PAIRS);
    let alone = task.among == task.keys; // else the guesses are judged when all tasks are done
    for guessing in [true, false] {
        if let (Some(codes), Some(k)) = (task.codes, task.wanted())
            && !PAIRS
        {
            // SAFETY: the caller's.
            unsafe { scan.start::<P, Q, EUCLIDEAN>(task, codes, k, guessing, statistics) };
        }
        let mut seen = 1;
        for visits in pieces(0..order.tiles, task.block()) {
            if stop() {
                return None;
            }
            scan.by_numbers::<PAIRS>(task, &plain, &order, visits.clone(), statistics);
            let Some(codes) = task.codes.filter(|_| !scan.groups.is_empty()) else { continue };
            // SAFETY: the caller's.
            unsafe { scan.by_codes::<P, Q, EUCLIDEAN, PAIRS>(task, codes, &order, visits.clone(), statistics) };
            if guessing && alone && order.is_spread() && visits.end >= 2 * seen {
                seen = visits.end;
                scan.guess(task, codes, seen as f64 / order.tiles as f64);
            }
        }
        if let Some(codes) = task.codes {
            for list in 0..scan.waiting.len() {
                scan.score::<EUCLIDEAN, PAIRS>(task, codes, list, statistics);
            }
        }
        let mut wrong = Vec::new();
        for (place, &i) in scan.places.iter().enumerate() {
            let query = scan.groups[place / G].query(place % G);
            if !scan.bests[i].is_right(|score| query.floor(score)) {
                wrong.push(i);
            }
        }
        if !alone || wrong.is_empty() {
            break;
        }
        scan.ask_again(task, wrong);
        plain.clear();
    }
    let mut least = vec![[f64::NEG_INFINITY; 2]; scan.bests.len()];
    for (place, &i) in scan.places.iter().enumerate() {
        let (query, best) = (scan.groups[place / G].query(place % G), &scan.bests[i]);
        least[i] = [query.in_key_units(best.threshold), query.guess_in_key_units(best.guessed())];
    }
    Some((scan.bests.into_iter().map(Best::finish).collect(), least))
}

fn pieces(keys: Range<usize>, step: usize) -> impl Iterator<Item = Range<usize>> {
    keys.clone().step_by(step).map(move |from| from..(from + step).min(keys.end))
}

/// How many of the k best are unlikely to be among a share of the keys drawn at random: by Chernoff's bound, so many or more are
/// with a probability of no more than TOO_HIGH. None if it is no fewer than k.
fn likely(k: usize, share: f64) -> Option<usize> {
    let k_by = |x: f64, y: f64| if x > 0.0 { x * (x / y).ln() } else { 0.0 };
    (1..k).find(|&r| {
        let part = r as f64 / k as f64;
        part > share && (k as f64) * (k_by(part, share) + k_by(1.0 - part, 1.0 - share)) >= -TOO_HIGH.ln()
    })
}

/// How many candidates of a query wait.
fn most_waiting(goal: Goal) -> usize {
    match goal {
        Goal::Best(k) => k.saturating_mul(WAITING).clamp(LEAST_WAITING, MOST_WAITING),
        Goal::AtLeast(_) => LEAST_WAITING,
    }
}

pub fn nth_largest(numbers: &mut [f32], n: usize) -> f32 {
    *numbers.select_nth_unstable_by(n - 1, |a, b| b.total_cmp(a)).1
}

/// The queries under way.
struct Scan<'a, S: Int8, const G: usize> {
    exact: Vec<Exact<'a>>,
    bests: Vec<Best>,
    groups: Vec<Group<S, G>>,
    /// Which query is in each place of the groups.
    places: Vec<usize>,
    /// Candidates: of each place; of pairs, all in one list.
    waiting: Vec<Vec<Waiting>>,
    block: Block,
    out: Scans,
}

/// A key that may be an answer, or the query one of its neighbours.
struct Waiting {
    /// The query's place.
    place: u32,
    /// And the key's, from the first key of the task on.
    key: u32,
    /// In scan units: its score is no larger, and hardly smaller than the second.
    most: f32,
    likely: f32,
}

/// Which of the two may be an answer.
const KEY: u8 = 1;
const QUERY: u8 = 2;

impl<'a, S: Int8, const G: usize> Scan<'a, S, G> {
    /// Queries in groups; and those that cannot be scanned by codes.
    fn new(task: &Task<'a>) -> (Scan<'a, S, G>, Vec<usize>) {
        let mut scan = Scan {
            exact: task.queries.iter().map(|&query| Exact::new(task.metric, query, task.level)).collect(),
            bests: Vec::new(),
            groups: Vec::new(),
            places: Vec::new(),
            waiting: if task.strips.is_some() { vec![Vec::with_capacity(WAITING_PAIRS)] } else { Vec::new() },
            block: Block::new(task.metric),
            out: Scans::new(),
        };
        let (mut plain, mut signed, coordinates) = (Vec::new(), Vec::new(), task.coordinates());
        let mut known = task.strips.as_ref().map_or_else(Vec::new, Strips::of_queries).into_iter();
        for i in 0..scan.exact.len() {
            let known = known.next();
            let Some(coded) = task.coded::<S>(i, scan.exact[i].squares, &coordinates, &mut signed) else {
                scan.bests.push(Best::new(task.goal, |score| score));
                plain.push(i);
                continue;
            };
            scan.bests.push(match known {
                Some(known) => known.in_units(|least| coded.in_scan_units(least)),
                None => Best::new(task.goal, |score| coded.floor(score)),
            });
            scan.place(task, i, coded, &signed);
        }
        (scan, plain)
    }

    /// Give a query the next place.
    fn place(&mut self, task: &Task, i: usize, coded: Query, codes: &[i8]) {
        let place = self.places.len() % G;
        if place == 0 {
            self.groups.push(Group::new(task.codes.expect("a query has codes where the keys have")));
        }
        let group = self.groups.last_mut().expect("one was pushed");
        group.set(place, coded, codes, self.bests[i].asks());
        self.places.push(i);
        if task.strips.is_none() && self.waiting.len() < self.places.len() {
            self.waiting.push(Vec::with_capacity(most_waiting(task.goal)));
        }
    }

    /// Of all queries only these are asked again.
    fn ask_again(&mut self, task: &Task, queries: Vec<usize>) {
        self.groups.clear();
        self.places.clear();
        let (mut signed, coordinates) = (Vec::new(), task.coordinates());
        for i in queries {
            self.bests[i].forget();
            let coded = task.coded::<S>(i, self.exact[i].squares, &coordinates, &mut signed);
            let coded = coded.expect("it had codes before");
            self.place(task, i, coded, &signed);
        }
    }

    /// The matrix unit, set up if the groups are multiplied by one. For a block at most: between blocks the caller may have
    /// other things to do.
    fn unit(&self) -> Option<Unit> {
        self.groups.first().map(Group::unit)
    }

    /// Turn to some keys, for all queries that have codes.
    #[inline(always)]
    fn turn_to(
        &mut self,
        task: &Task,
        codes: &Codes,
        order: &Order,
        visits: Range<usize>,
        statistics: &mut Statistics,
    ) {
        statistics.scanned += (visits.len() * TILE * self.places.len()) as u64;
        self.block.fill(codes, task.allowed, order, visits);
    }

    /// Thresholds to start with, from a sample of tiles: what the k-th best scores is guessed by how many of the k best are likely
    /// to be in the sample, in tiles of their own. Without a guess, at least k keys score what the k-th of the largest
    /// scores of some groups of them allows.
    ///
    /// # Safety
    /// The processor has the instruction set.
    #[inline(always)]
    unsafe fn start<const P: usize, const Q: usize, const EUCLIDEAN: bool>(
        &mut self,
        task: &Task,
        codes: &Codes,
        k: usize,
        guessing: bool,
        statistics: &mut Statistics,
    ) {
        let (order, block) = (Order::new(task.among.clone(), true), task.block());
        let sample = if task.among == task.keys { SAMPLE } else { SAMPLE_OF_SEVERAL };
        let most = if order.tiles <= ALL_SAMPLED { order.tiles } else { order.tiles / MOST_SAMPLED };
        let tiles = ALL_SAMPLED.max((sample * k as f64) as usize).min(most);
        if self.places.is_empty() || tiles == 0 {
            return;
        }
        let mut largest = vec![[[f32::NEG_INFINITY; LANES]; G]; tiles * self.groups.len()];
        let (mut share, _unit) = (Share::default(), self.unit());
        for visits in pieces(0..tiles, block) {
            self.turn_to(task, codes, &order, visits.clone(), statistics);
            for (group, largest) in self.groups.iter().zip(largest.chunks_mut(tiles)) {
                // SAFETY: the caller vouches for the instruction set.
                let of_block = unsafe {
                    let largest = &mut largest[visits.clone()];
                    largest_of_tiles::<S, P, Q, G, EUCLIDEAN>(&self.block, codes, group, &mut self.out, largest)
                };
                share = share.max(of_block);
            }
        }
        let mut numbers = Vec::new();
        let likely = likely(k, tiles as f64 / order.tiles as f64).filter(|_| guessing);
        for (place, &i) in self.places.iter().enumerate() {
            let (g, j) = (place / G, place % G);
            let largest = largest[g * tiles..][..tiles].iter().map(|largest| &largest[j]);
            let (best, query) = (&mut self.bests[i], self.groups[g].query(j));
            let error = f64::from(bound(query.factors, share));
            numbers.clear();
            if let Some(likely) = likely.filter(|r| 2 * r <= tiles) {
                numbers.extend(largest.map(|lanes| lanes.iter().copied().fold(f32::NEG_INFINITY, f32::max)));
                best.guess(f64::from(nth_largest(&mut numbers, likely)) - f64::from(LIKELY_ERROR) * error);
            } else if 2 * k <= tiles * LANES {
                numbers.extend(largest.flatten());
                let outside = f64::from(query.rests[ALL]) * f64::from(share.rest);
                best.threshold = best.threshold.max(f64::from(nth_largest(&mut numbers, k)) - error - outside);
            }
            self.groups[g].raise(j, best.asks());
        }
    }

    /// Guess what the best will score, after a share of the keys, from all over them. Candidates that score less are let go.
    fn guess(&mut self, task: &Task, codes: &Codes, share: f64) {
        let Goal::Best(k) = task.goal else { return };
        let Some(r) = likely(k, share) else { return };
        let (mut of_tiles, mut scores) = (Vec::new(), Vec::new());
        for (place, &i) in self.places.iter().enumerate() {
            let (group, best, waiting) = (&mut self.groups[place / G], &mut self.bests[i], &mut self.waiting[place]);
            let query = group.query(place % G);
            of_tiles.clear();
            of_tiles.extend(waiting.iter().map(|waits| (waits.key as usize / TILE, waits.likely)));
            if !best.found().is_empty() {
                let scored = best.found().iter();
                let tile_of = |row| (codes.place(row) - task.keys.start) / TILE;
                of_tiles.extend(scored.map(|hit| (tile_of(hit.row as usize), lowered(query.floor(hit.score())))));
                of_tiles.sort_unstable_by_key(|(tile, _)| *tile);
            }
            // The best of each tile, whose candidates came one after the other.
            of_tiles.dedup_by(|(tile, score), (kept, best)| {
                let is_same = tile == kept;
                if is_same {
                    *best = f32::max(*best, *score);
                }
                is_same
            });
            scores.clear();
            scores.extend(of_tiles.iter().map(|(_, score)| *score));
            if r <= scores.len() {
                best.guess(f64::from(nth_largest(&mut scores, r)));
                group.raise(place % G, best.asks());
                waiting.retain(|waits| f64::from(waits.most) >= best.asks());
            }
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
        order: &Order,
        visits: Range<usize>,
        statistics: &mut Statistics,
    ) {
        self.turn_to(task, codes, order, visits.clone(), statistics);
        if let Some(strips) = &task.strips
            && PAIRS
        {
            strips.least_of(order.rows(visits.start).start..order.rows(visits.end - 1).end, &mut self.block.least);
        }
        let tiles = visits.len() * self.groups.len();
        let mut ahead = Ahead::new(codes, order, visits.end..visits.end + visits.len(), tiles);
        let _unit = self.unit();
        let (mut from, before) = (0, statistics.candidates);
        // SAFETY: the caller vouches for the instruction set; all is of these codes.
        while let Some(next) = unsafe {
            let (block, groups, out) = (&self.block, &self.groups, &mut self.out);
            if codes.basis.is_some() {
                reaching::<S, P, Q, G, EUCLIDEAN, PAIRS, true>(block, codes, from, groups, &mut ahead, out)
            } else {
                reaching::<S, P, Q, G, EUCLIDEAN, PAIRS, false>(block, codes, from, groups, &mut ahead, out)
            }
        } {
            self.see::<EUCLIDEAN, PAIRS>(task, codes, statistics);
            from = next;
        }
        self.see::<EUCLIDEAN, PAIRS>(task, codes, statistics);
        let together = visits.len() * TILE * self.places.len() / (P * LANES * Q);
        self.out.dense = (statistics.candidates - before) as usize > together / 2;
        if PAIRS {
            self.score::<EUCLIDEAN, PAIRS>(task, codes, 0, statistics); // while the block is that of their rows
        }
    }

    /// Look at the scans that reached what was asked.
    fn see<const EUCLIDEAN: bool, const PAIRS: bool>(
        &mut self,
        task: &Task,
        codes: &Codes,
        statistics: &mut Statistics,
    ) {
        let most_waiting = if PAIRS { WAITING_PAIRS } else { most_waiting(task.goal) };
        let mut reached = std::mem::take(&mut self.out.reached);
        for reached in reached.drain(..) {
            let (at, place) = (reached.at(), reached.place());
            let key = self.block.first(at / TILE) + at % TILE;
            let i = self.places[place]; // nothing reaches the threshold of a free place
            if !task.allows(key, i) {
                continue;
            }
            let most = reached.most();
            if PAIRS {
                let query = self.groups[place / G].query(place % G);
                if self.sides::<EUCLIDEAN, PAIRS>(query, i, at, codes.norms[key], f64::from(most)) == 0 {
                    continue;
                }
            }
            statistics.candidates += 1;
            if PAIRS && let Some(fine) = codes.fine(key) {
                fine.chunks(LANES).for_each(|line| prefetch(line.as_ptr())); // until they are scored
            }
            let list = if PAIRS { 0 } else { place };
            self.waiting[list].push(Waiting {
                place: place as u32,
                key: (key - task.keys.start) as u32,
                most,
                likely: reached.likely(),
            });
            if self.waiting[list].len() == most_waiting {
                self.score::<EUCLIDEAN, PAIRS>(task, codes, list, statistics);
            }
        }
        self.out.reached = reached;
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
        let mut sides = if most >= self.bests[i].asks() { KEY } else { 0 };
        if PAIRS {
            let square = if EUCLIDEAN { f64::from(query.half) * f64::from(norm * norm) } else { 0.0 };
            let least = f64::from(self.block.least[at]) * query.per_key_unit;
            sides |= if most + square - query.own >= least { QUERY } else { 0 };
        }
        sides
    }

    /// Rule pairs out by the products of their coordinates, if these are kept.
    #[inline(always)]
    fn look_closer<const EUCLIDEAN: bool, const PAIRS: bool>(
        &self,
        task: &Task,
        codes: &Codes,
        waiting: &mut Vec<Waiting>,
    ) {
        let (Some(strips), Some(basis)) = (&task.strips, &codes.basis) else { return };
        waiting.retain_mut(|waits| {
            let (place, key) = (waits.place as usize, task.keys.start + waits.key as usize);
            let (i, at, norm) = (self.places[place], key - self.block.first(0), codes.norms[key]);
            let (Some(a), Some(b)) = (codes.fine(strips.first + i), codes.fine(key)) else { return true };
            let query = self.groups[place / G].query(place % G);
            let dot = self.exact[i].dot(a, b);
            let most = query.most_along(dot, norm, basis.m, basis.slack, self.block.rest(at));
            waits.most = waits.most.min((most as f32).next_up());
            self.sides::<EUCLIDEAN, PAIRS>(query, i, at, norm, f64::from(waits.most)) != 0
        });
    }

    /// Score the candidates that wait in a list, but those that are ruled out meanwhile, or by a product in float32: the best of
    /// one query first, so that the others are.
    fn score<const EUCLIDEAN: bool, const PAIRS: bool>(
        &mut self,
        task: &Task,
        codes: &Codes,
        list: usize,
        statistics: &mut Statistics,
    ) {
        let Some(first) = self.waiting[list].first() else { return };
        let key_of = |waits: &Waiting| task.keys.start + waits.key as usize;
        let mut keys = task.strips.as_ref().filter(|_| PAIRS).map(|strips| strips.lock(key_of(first)));
        let mut waiting = std::mem::take(&mut self.waiting[list]);
        if PAIRS {
            self.look_closer::<EUCLIDEAN, PAIRS>(task, codes, &mut waiting);
        }
        if let Goal::Best(k) = task.goal
            && !PAIRS
            && k < waiting.len()
        {
            waiting.select_nth_unstable_by(k - 1, |a, b| b.most.total_cmp(&a.most));
        }
        // Their numbers come from memory meanwhile.
        let ask = |waits| {
            let key = key_of(waits);
            prefetch(&raw const codes.norms[key]);
            for line in task.vector(key).chunks(LANES).take(LINES) {
                prefetch(line.as_ptr());
            }
        };
        let ahead = (LINES * LANES).div_ceil(task.d);
        waiting.iter().take(ahead).for_each(ask);
        for (at, waits) in waiting.iter().enumerate() {
            let (place, key, most) = (waits.place as usize, key_of(waits), f64::from(waits.most));
            let i = self.places[place];
            if let Some(later) = waiting.get(at + ahead)
                && (PAIRS || f64::from(later.most) >= self.bests[i].asks())
            {
                ask(later);
            }
            let (vector, norm) = (task.vector(key), codes.norms[key]);
            let coded = self.groups[place / G].query(place % G);
            let in_block = key.wrapping_sub(self.block.first(0)); // of pairs, whose block is one run of places
            let sides_of = |most| self.sides::<EUCLIDEAN, PAIRS>(coded, i, in_block, norm, most);
            // What the others must reach is not known before the first are scored.
            let is_known = PAIRS || self.bests[i].threshold > f64::NEG_INFINITY;
            let mut sides = sides_of(most);
            if sides != 0 && is_known {
                sides &= sides_of(coded.most(self.exact[i].rough_dot(vector), norm, task.d));
            }
            if sides == 0 {
                continue;
            }
            statistics.rescored += 1;
            let score = self.exact[i].score(vector);
            let best = &mut self.bests[i];
            best.take(Hit::new(score, task.row(key) as u64), |score| coded.floor(score));
            self.groups[place / G].raise(place % G, best.asks());
            if let (Some(bests), Some(strips)) = (&mut keys, &task.strips)
                && sides & QUERY != 0
            {
                let (best, hit) = (&mut bests[key % STRIP], Hit::new(score, task.row(strips.first + i) as u64));
                tell(best, hit, task.codes, task.metric, task.d, key);
                self.block.least[in_block] = lowered(best.asks());
            }
        }
        waiting.clear();
        self.waiting[list] = waiting;
    }

    /// Score all keys of a block for the queries that cannot be scanned by codes.
    fn by_numbers<const PAIRS: bool>(
        &mut self,
        task: &Task,
        plain: &[usize],
        order: &Order,
        visits: Range<usize>,
        statistics: &mut Statistics,
    ) {
        let first = order.rows(visits.start).start;
        let mut strip = task.strips.as_ref().filter(|_| PAIRS && !plain.is_empty()).map(|strips| strips.lock(first));
        let keys = || visits.clone().flat_map(|visit| order.rows(visit));
        for (&i, key) in plain.iter().flat_map(|i| keys().map(move |key| (i, key))) {
            if !task.allows(key, i) {
                continue;
            }
            statistics.rescored += 1;
            let score = self.exact[i].score(task.vector(key));
            self.bests[i].take(Hit::new(score, task.row(key) as u64), |score| score);
            if let (Some(bests), Some(strips)) = (&mut strip, &task.strips) {
                let hit = Hit::new(score, task.row(strips.first + i) as u64);
                tell(&mut bests[key % STRIP], hit, task.codes, task.metric, task.d, key);
            }
        }
    }
}
