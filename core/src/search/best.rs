//! What a search knows of one query so far: the best keys that were scored, and what the others must reach.

use super::Goal;
use super::exact::Hit;
use std::collections::BinaryHeap;

/// The answers to one query among the keys seen so far. No key leaves that could still be one.
pub struct Best {
    goal: Goal,
    /// In scan units: keys that score less are no answers. As many as are wanted were seen that score this or more.
    pub threshold: f64,
    /// The worst on top.
    found: BinaryHeap<Hit>,
}

impl Best {
    /// `floor` turns a score into scan units, rounded down.
    pub fn new(goal: Goal, floor: impl Fn(f64) -> f64) -> Best {
        let threshold = match goal {
            Goal::Best(_) => f64::NEG_INFINITY,
            Goal::AtLeast(score) => floor(score),
        };
        Best { goal, threshold, found: BinaryHeap::new() }
    }

    /// Take notice of a key that was scored.
    #[inline]
    pub fn take(&mut self, hit: Hit, floor: impl Fn(f64) -> f64) {
        match self.goal {
            Goal::AtLeast(least) if hit.score() >= least => self.found.push(hit),
            Goal::AtLeast(_) => {}
            Goal::Best(k) => {
                if self.found.len() < k {
                    self.found.push(hit);
                } else if let Some(mut worst) = self.found.peek_mut()
                    && hit < *worst
                {
                    *worst = hit;
                } else {
                    return;
                }
                if let Some(worst) = self.found.peek().filter(|_| self.found.len() == k) {
                    self.threshold = self.threshold.max(floor(worst.score())); // as it was, if that is NaN
                }
            }
        }
    }

    /// The answers, best first.
    pub fn finish(self) -> Vec<Hit> {
        self.found.into_sorted_vec()
    }
}
