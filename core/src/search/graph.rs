//! Keys against themselves: the neighbours of every key. A pair is multiplied once and tells both of its keys; strips of keys
//! first find the neighbours among themselves, then meet all later strips.

use super::best::Best;
use super::bound::{key_floor, lowered};
use super::codes::{Codes, TILE};
use super::exact::{Exact, Hit};
use super::scan::Task;
use super::strip::nearest;
use super::{Found, Goal, Keys, Metric, Own, Queries, Request, Statistics, Totals, Vector, in_parallel, search};
use crate::simd::Level;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};

/// Keys that are queries together, and locked together as keys: a multiple of TILE with many divisors.
pub const STRIP: usize = 12 * TILE;

/// What was found so far, of each key. Thresholds are in key units.
pub struct Strips<'a> {
    strips: &'a [Mutex<Vec<Best>>],
    /// The place of the first query.
    pub first: usize,
}

impl Strips<'_> {
    pub fn lock(&self, place: usize) -> MutexGuard<'_, Vec<Best>> {
        self.strips[place / STRIP].lock().expect("no thread panics while it holds this")
    }

    /// What was found of the queries.
    pub fn of_queries(&self) -> Vec<Best> {
        self.lock(self.first).clone()
    }

    /// What neighbours of some keys of one strip must reach.
    pub fn least_of(&self, places: Range<usize>, out: &mut [f32]) {
        let bests = &self.lock(places.start)[places.start % STRIP..][..places.len()];
        for (out, best) in out.iter_mut().zip(bests) {
            *out = lowered(best.asks());
        }
    }
}

/// The k nearest neighbours of every key, while they are looked for. Keys are told from each other by their places among the codes.
pub struct Graph {
    metric: Metric,
    k: usize,
    n: usize,
    codes: Option<Arc<Codes>>,
    strips: Vec<Mutex<Vec<Best>>>,
    /// Strips done among themselves, and with all later ones.
    done: [usize; 2],
}

impl Graph {
    /// k is less than the number of keys n, of which these are the codes, if there are any.
    pub fn new(metric: Metric, k: usize, n: usize, codes: Option<Arc<Codes>>) -> Graph {
        let bests = |_| Best::new(Goal::Best(k), |score| score);
        let strips = (0..n).step_by(STRIP).map(|first| (first..n.min(first + STRIP)).map(bests).collect());
        Graph { metric, k, n, codes, strips: strips.map(Mutex::new).collect(), done: [0; 2] }
    }

    /// Go on for about so many pairs, or until `stop` says so. Returns the share of all pairs that is done.
    pub fn step(
        &mut self,
        vectors: &[f32],
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
                in_parallel(threads, from..to, stop, |strip, stop| {
                    self.meet(vectors, stage, strip, level, totals, stop)
                })?;
                self.done[stage] = to;
                break;
            }
        }
        let pairs =
            |stage: usize, strips: Range<usize>| strips.map(|strip| self.pairs(stage, strip)).sum::<usize>() as f64;
        let done: f64 = (0..2).map(|stage| pairs(stage, 0..self.done[stage])).sum();
        let share = done / (0..2).map(|stage| pairs(stage, 0..self.strips.len())).sum::<f64>();
        if share >= 1.0 {
            self.ask_again(vectors, threads, level, totals, stop)?;
        }
        Some(share)
    }

    /// Search anew for the neighbours of keys for which more was asked than the worst of them scores.
    fn ask_again(
        &mut self,
        vectors: &[f32],
        threads: usize,
        level: Level,
        totals: &Totals,
        stop: &dyn Fn() -> bool,
    ) -> Option<()> {
        let (codes, d) = (self.codes.as_deref(), vectors.len() / self.n);
        let mut bests: Vec<&mut Best> =
            self.strips.iter_mut().flat_map(|strip| strip.get_mut().expect("no thread panicked")).collect();
        let is_wrong = |&place: &usize| !bests[place].is_right(floor(codes, self.metric, d, place));
        let places: Vec<usize> = (0..self.n).filter(is_wrong).collect();
        let rows = rows_of(codes, places.iter().copied());
        let queries: Vec<f32> = rows.iter().flat_map(|row| &vectors[row * d..][..d]).copied().collect();
        let request = Request {
            queries: Queries::F32(&queries),
            metric: self.metric,
            goal: Goal::Best(self.k),
            allowed: None,
            own: Own::Rows(&rows),
            threads,
            level,
        };
        for (place, found) in places.into_iter().zip(search(&Keys { vectors, d, codes }, &request, totals, stop)?) {
            bests[place].forget();
            found.into_iter().for_each(|hit| bests[place].take(hit, |_| f64::NEG_INFINITY));
        }
        Some(())
    }

    fn places(&self, strip: usize) -> Range<usize> {
        strip * STRIP..self.n.min((strip + 1) * STRIP)
    }

    fn pairs(&self, stage: usize, strip: usize) -> usize {
        self.places(strip).len() * self.keys(stage, strip).len()
    }

    /// Places of the keys that a strip meets.
    fn keys(&self, stage: usize, strip: usize) -> Range<usize> {
        let places = self.places(strip);
        if stage == 0 { places } else { places.end..self.n }
    }

    /// Compare a strip with itself, or with all later ones.
    fn meet(
        &self,
        vectors: &[f32],
        stage: usize,
        strip: usize,
        level: Level,
        totals: &Totals,
        stop: &dyn Fn() -> bool,
    ) {
        let (places, codes, d) = (self.places(strip), self.codes.as_deref(), vectors.len() / self.n);
        if stage == 0 && self.among_themselves(vectors, strip, level, totals) {
            return;
        }
        let rows = rows_of(codes, places.clone());
        let queries: Vec<Vector> = rows.iter().map(|row| Vector::F32(&vectors[row * d..][..d])).collect();
        let task = Task {
            codes,
            vectors,
            d,
            queries: &queries,
            metric: self.metric,
            goal: Goal::Best(self.k),
            allowed: None,
            own: if stage == 0 { Own::Rows(&rows) } else { Own::No },
            keys: self.keys(stage, strip),
            // Keys that stand by likeness find most of their neighbours in their strip, and know then what others must reach.
            among: if stage == 0 && codes.is_some_and(Codes::is_ordered) { places.clone() } else { 0..self.n },
            level,
            strips: (stage > 0).then_some(Strips { strips: &self.strips, first: places.start }),
        };
        let mut statistics = Statistics::default();
        if let Some((found, least)) = task.run(stop, &mut statistics) {
            let mut bests = self.strips[strip].lock().expect("no thread panics while it holds this");
            for (((place, best), hits), [least, guess]) in places.zip(bests.iter_mut()).zip(found).zip(least) {
                best.threshold = best.threshold.max(least);
                best.guess(guess);
                // They went on from what was found before.
                let is_new = |hit: &Hit| {
                    task.keys.contains(&codes.map_or(hit.row as usize, |codes| codes.place(hit.row as usize)))
                };
                hits.into_iter().filter(is_new).for_each(|hit| tell(best, hit, codes, self.metric, d, place));
            }
        }
        totals.add(statistics);
    }

    /// Compare a strip of codes in an order of their own with itself by products in float32, if that can be.
    fn among_themselves(&self, vectors: &[f32], strip: usize, level: Level, totals: &Totals) -> bool {
        let Some(codes) = self.codes.as_deref().filter(|codes| codes.is_ordered()) else { return false };
        let (places, d) = (self.places(strip), vectors.len() / self.n);
        let keys: Vec<&[f32]> = places.clone().map(|place| &vectors[codes.row(place) * d..][..d]).collect();
        let mut bests = self.strips[strip].lock().expect("no thread panics while it holds this");
        let mut rescored = 0;
        let done = nearest(&keys, &codes.norms[places.clone()], codes.unit, self.metric, self.k, level, |key, near| {
            if near.is_empty() {
                return;
            }
            let exact = Exact::new(self.metric, Vector::F32(keys[key]), level);
            rescored += near.len() as u64;
            for &(other, is_mutual) in near {
                let score = exact.score(keys[other]);
                let mut told = |of: usize, neighbor: usize| {
                    let hit = Hit::new(score, codes.row(places.start + neighbor) as u64);
                    tell(&mut bests[of], hit, Some(codes), self.metric, d, places.start + of);
                };
                told(key, other);
                if is_mutual {
                    told(other, key);
                }
            }
        });
        let pairs = if done { (places.len() * places.len()) as u64 } else { 0 };
        totals.add(Statistics { scanned: pairs, candidates: rescored, rescored });
        done
    }

    /// Of each row its neighbours, best first; all steps are done.
    pub fn finish(self) -> Found {
        let strips = self.strips.into_iter().map(|strip| strip.into_inner().expect("no thread panicked"));
        let mut found: Found = vec![Vec::new(); self.n];
        for (best, row) in strips.flatten().zip(rows_of(self.codes.as_deref(), 0..self.n)) {
            found[row] = best.finish();
        }
        found
    }
}

/// The rows that stand in some places.
fn rows_of(codes: Option<&Codes>, places: impl Iterator<Item = usize>) -> Vec<usize> {
    places.map(|place| Codes::row_of(codes, place)).collect()
}

/// Tell a key, that in a place, what was found for it.
#[inline]
pub fn tell(best: &mut Best, hit: Hit, codes: Option<&Codes>, metric: Metric, d: usize, place: usize) {
    best.take(hit, floor(codes, metric, d, place));
}

/// What turns the scores of neighbours of a key, that in a place, into its key units.
fn floor(codes: Option<&Codes>, metric: Metric, d: usize, place: usize) -> impl Fn(f64) -> f64 {
    move |score| codes.map_or(f64::NEG_INFINITY, |codes| key_floor(score, metric, d, codes, place))
}
