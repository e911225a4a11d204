//! What a search knows of one query so far: bounds of scores, keys that may be answers, and those that were scored.

use super::exact::{Exact, Hit};
use super::{Goal, Statistics};
use crate::simd::prefetch;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Candidates that wait to be scored, beside four times k.
const WAITING: usize = 256;
/// Rows of candidates asked for ahead of their scoring.
const AHEAD: usize = 8;

/// Ordered by `total_cmp`; no NaN comes here.
#[derive(Clone, Copy, PartialEq)]
struct Bound(f64);

impl Eq for Bound {}

impl PartialOrd for Bound {
    fn partial_cmp(&self, other: &Bound) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Bound {
    fn cmp(&self, other: &Bound) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

/// The answers to one query among the keys seen so far. No key leaves that could still be one.
pub struct Best {
    goal: Goal,
    /// In scan units: keys that score less are no answers. k keys were seen that score this or more.
    pub threshold: f64,
    /// The k largest lower bounds of the keys seen.
    lowers: BinaryHeap<Reverse<Bound>>,
    /// Keys that were not scored yet: no score is above the bound (in scan units), and their rows.
    candidates: Vec<(f32, u32)>,
    /// The best of those that were scored.
    found: Vec<Hit>,
    /// The k-th of them, once there was one.
    kth: Option<Hit>,
}

impl Best {
    /// `floor` turns a score into scan units, rounded down.
    pub fn new(goal: Goal, floor: impl Fn(f64) -> f64) -> Best {
        let threshold = match goal {
            Goal::Best(_) => f64::NEG_INFINITY,
            Goal::AtLeast(score) => floor(score),
        };
        Best { goal, threshold, lowers: BinaryHeap::new(), candidates: Vec::new(), found: Vec::new(), kth: None }
    }

    /// Take notice of a key whose score is within `bound` of `scan`; true if there are so many that some must be scored.
    pub fn see(&mut self, row: u32, scan: f32, bound: f32) -> bool {
        let (scan, bound) = (f64::from(scan), f64::from(bound));
        if scan + bound < self.threshold {
            return false;
        }
        self.candidates.push((((scan + bound) as f32).next_up(), row));
        let Goal::Best(k) = self.goal else { return self.candidates.len() >= 4 * WAITING };
        let lower = Reverse(Bound(scan - bound));
        if self.lowers.len() < k {
            self.lowers.push(lower);
        } else if let Some(mut least) = self.lowers.peek_mut()
            && lower < *least
        {
            *least = lower; // reversed: the new bound is above the least one
        }
        if self.lowers.len() == k {
            self.raise();
        }
        self.candidates.len() >= 4 * k + WAITING
    }

    fn raise(&mut self) {
        if let Some(Reverse(Bound(least))) = self.lowers.peek() {
            self.threshold = self.threshold.max(*least);
        }
    }

    /// Make room: leave out candidates that the threshold has overtaken; if they are few, score all.
    pub fn make_room(&mut self, rows: &Rows, floor: impl Fn(f64) -> f64, statistics: &mut Statistics) {
        let before = self.candidates.len();
        self.sift();
        if self.candidates.len() > before / 2 {
            statistics.collapses += 1;
            self.score_candidates(rows, statistics);
            let Goal::Best(k) = self.goal else { return };
            // The k best scores are k lower bounds, none below those it had of the same keys.
            self.lowers.clear();
            self.lowers.extend(self.found.iter().map(|hit| Reverse(Bound(floor(hit.score)))));
            if self.lowers.len() == k {
                self.raise();
            }
        }
    }

    fn sift(&mut self) {
        let threshold = self.threshold;
        self.candidates.retain(|&(upper, _)| f64::from(upper) >= threshold);
    }

    fn score_candidates(&mut self, rows: &Rows, statistics: &mut Statistics) {
        statistics.rescored += self.candidates.len() as u64;
        for (i, &(_, row)) in self.candidates.iter().enumerate() {
            if let Some(&(_, later)) = self.candidates.get(i + AHEAD) {
                rows.prefetch(later);
            }
            let hit = rows.hit(row);
            match self.goal {
                Goal::AtLeast(least) if hit.score < least || hit.score.is_nan() => {}
                _ => self.found.push(hit),
            }
        }
        self.candidates.clear();
        self.trim();
    }

    /// Score a key that nothing is known of.
    pub fn score(&mut self, rows: &Rows, row: u32) {
        let hit = rows.hit(row);
        match self.goal {
            Goal::AtLeast(least) if hit.score >= least => self.found.push(hit),
            Goal::AtLeast(_) => {}
            Goal::Best(k) => {
                if self.kth.is_none_or(|kth| Hit::order(&hit, &kth).is_lt()) {
                    self.found.push(hit);
                }
                if self.found.len() >= 2 * k + WAITING {
                    self.trim();
                }
            }
        }
    }

    /// Keep the k best of those that were scored, the k-th last.
    fn trim(&mut self) {
        if let Goal::Best(k) = self.goal
            && self.found.len() >= k
        {
            self.found.select_nth_unstable_by(k - 1, Hit::order);
            self.found.truncate(k);
            self.kth = Some(self.found[k - 1]);
        }
    }

    /// The answers, best first.
    pub fn finish(mut self, rows: &Rows, statistics: &mut Statistics) -> Vec<Hit> {
        self.sift();
        self.score_candidates(rows, statistics);
        self.found.sort_unstable_by(Hit::order);
        self.found
    }
}

/// Keys by their rows, counted from the first, and the query that scores them.
pub struct Rows<'a> {
    pub exact: Exact<'a>,
    pub vectors: &'a [f32],
    pub d: usize,
    pub first: usize,
}

impl Rows<'_> {
    fn row(&self, row: u32) -> &[f32] {
        let at = (self.first + row as usize) * self.d;
        &self.vectors[at..at + self.d]
    }

    fn hit(&self, row: u32) -> Hit {
        Hit { score: self.exact.score(self.row(row)), row: (self.first + row as usize) as u64 }
    }

    fn prefetch(&self, row: u32) {
        let row = self.row(row);
        for at in (0..row.len()).step_by(16).take(32) {
            prefetch(&raw const row[at]);
        }
    }
}
