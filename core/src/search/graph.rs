//! Keys against themselves: the neighbours of every key. A pair is multiplied once and tells both of its keys; strips of keys
//! first find the neighbours among themselves, then meet all later strips.

use super::best::Best;
use super::bound::{key_floor, lowered};
use super::codes::{Codes, TILE};
use super::exact::Hit;
use super::scan::Task;
use super::{Found, Goal, Keys, Metric, Own, Queries, Request, Statistics, Totals, in_parallel, search};
use crate::simd::Level;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard};

/// Keys that are queries together, and locked together as keys: a multiple of TILE with many divisors.
pub const STRIP: usize = 24 * TILE;

/// What was found so far, of each key. Thresholds are in key units.
pub struct Strips<'a> {
    strips: &'a [Mutex<Vec<Best>>],
    /// The row of the first query.
    pub first: usize,
}

impl Strips<'_> {
    pub fn lock(&self, row: usize) -> MutexGuard<'_, Vec<Best>> {
        self.strips[row / STRIP].lock().expect("no thread panics while it holds this")
    }

    /// What neighbours of the queries must reach, and what it is guessed to be.
    pub fn least_of_queries(&self) -> Vec<[f64; 2]> {
        self.lock(self.first).iter().map(|best| [best.threshold, best.guessed()]).collect()
    }

    /// And those of some keys of one strip.
    pub fn least_of(&self, rows: Range<usize>, out: &mut [f32]) {
        let bests = &self.lock(rows.start)[rows.start % STRIP..][..rows.len()];
        for (out, best) in out.iter_mut().zip(bests) {
            *out = lowered(best.asks());
        }
    }
}

/// The k nearest neighbours of every key, while they are looked for.
pub struct Graph {
    metric: Metric,
    k: usize,
    n: usize,
    strips: Vec<Mutex<Vec<Best>>>,
    /// Strips done among themselves, and with all later ones.
    done: [usize; 2],
}

impl Graph {
    /// k is less than the number of keys n.
    pub fn new(metric: Metric, k: usize, n: usize) -> Graph {
        let bests = |_| Best::new(Goal::Best(k), |score| score);
        let strips = (0..n).step_by(STRIP).map(|first| (first..n.min(first + STRIP)).map(bests).collect());
        Graph { metric, k, n, strips: strips.map(Mutex::new).collect(), done: [0; 2] }
    }

    /// Go on for about so many pairs, or until `stop` says so. Returns the share of all pairs that is done.
    pub fn step(
        &mut self,
        keys: &Keys,
        pairs: usize,
        threads: usize,
        level: Level,
        totals: &Totals,
        stop: &dyn Fn() -> bool,
    ) -> Option<f64> {
        for stage in 0..2 {
            let from = self.done[stage];
            let mut left = pairs;
            let to = (from..self.strips.len()).find(|&strip| {
                let work = self.pairs(stage, strip);
                left = left.saturating_sub(work);
                left == 0 && strip >= from + threads
            });
            let to = to.unwrap_or(self.strips.len());
            if from < to {
                in_parallel(threads, from..to, stop, |strip, stop| self.meet(keys, stage, strip, level, totals, stop))?;
                self.done[stage] = to;
                break;
            }
        }
        let pairs =
            |stage: usize, strips: Range<usize>| strips.map(|strip| self.pairs(stage, strip)).sum::<usize>() as f64;
        let done: f64 = (0..2).map(|stage| pairs(stage, 0..self.done[stage])).sum();
        let share = done / (0..2).map(|stage| pairs(stage, 0..self.strips.len())).sum::<f64>();
        if share >= 1.0 {
            self.ask_again(keys, threads, level, totals, stop)?;
        }
        Some(share)
    }

    /// Search anew for the neighbours of keys for which more was asked than the worst of them scores.
    fn ask_again(
        &mut self,
        keys: &Keys,
        threads: usize,
        level: Level,
        totals: &Totals,
        stop: &dyn Fn() -> bool,
    ) -> Option<()> {
        let mut bests: Vec<&mut Best> =
            self.strips.iter_mut().flat_map(|strip| strip.get_mut().expect("no thread panicked")).collect();
        let rows: Vec<usize> = (0..self.n).filter(|&row| !bests[row].is_right()).collect();
        let vectors: Vec<f32> = rows.iter().flat_map(|row| &keys.vectors[row * keys.d..][..keys.d]).copied().collect();
        let request = Request {
            queries: Queries::F32(&vectors),
            metric: self.metric,
            goal: Goal::Best(self.k),
            allowed: None,
            own: Own::Rows(&rows),
            threads,
            level,
        };
        for (&row, found) in rows.iter().zip(search(keys, &request, totals, stop)?) {
            bests[row].forget();
            found.into_iter().for_each(|hit| bests[row].take(hit, |_| f64::NEG_INFINITY));
        }
        Some(())
    }

    fn rows(&self, strip: usize) -> Range<usize> {
        strip * STRIP..self.n.min((strip + 1) * STRIP)
    }

    fn pairs(&self, stage: usize, strip: usize) -> usize {
        let rows = self.rows(strip);
        rows.len() * if stage == 0 { rows.len() } else { self.n - rows.end }
    }

    /// Compare a strip with itself, or with all later ones.
    fn meet(&self, keys: &Keys, stage: usize, strip: usize, level: Level, totals: &Totals, stop: &dyn Fn() -> bool) {
        let rows = self.rows(strip);
        let queries = Queries::F32(keys.vectors).take(rows.start * keys.d..rows.end * keys.d);
        let task = Task {
            codes: keys.codes,
            vectors: keys.vectors,
            d: keys.d,
            queries: &queries,
            metric: self.metric,
            goal: Goal::Best(self.k),
            allowed: None,
            own: if stage == 0 { Own::Others(rows.start) } else { Own::No },
            keys: if stage == 0 { rows.clone() } else { rows.end..self.n },
            among: 0..self.n,
            level,
            strips: (stage == 1).then_some(Strips { strips: &self.strips, first: rows.start }),
        };
        let mut statistics = Statistics::default();
        if let Some((found, least)) = task.run(stop, &mut statistics) {
            let mut bests = self.strips[strip].lock().expect("no thread panics while it holds this");
            for (((row, best), hits), [least, guess]) in rows.zip(bests.iter_mut()).zip(found).zip(least) {
                best.threshold = best.threshold.max(least);
                best.guess(guess);
                hits.into_iter().for_each(|hit| tell(best, hit, keys.codes, self.metric, keys.d, row));
            }
        }
        totals.add(statistics);
    }

    /// Of each key its neighbours, best first; all steps are done.
    pub fn finish(self) -> Found {
        let strips = self.strips.into_iter().map(|strip| strip.into_inner().expect("no thread panicked"));
        strips.flatten().map(Best::finish).collect()
    }
}

/// Tell a key, that of a row, what was found for it.
#[inline]
pub fn tell(best: &mut Best, hit: Hit, codes: Option<&Codes>, metric: Metric, d: usize, row: usize) {
    best.take(hit, |score| codes.map_or(f64::NEG_INFINITY, |codes| key_floor(score, metric, d, codes, row)));
}
