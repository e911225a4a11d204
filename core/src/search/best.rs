//! What a search knows of one query so far: the best keys that were scored, and what the others must reach.

use super::Goal;
use super::exact::Hit;

/// A part of the answers wanted, one of so many, is taken beyond them before the worst leave: so each costs the same few comparisons
/// however many are wanted, and what others must reach is known a little later.
const MORE: usize = 4;
/// So few are kept in order instead, and what others must reach is known at once.
const FEW: usize = 64;

/// The answers to one query among the keys seen so far. No key leaves that could still be one.
#[derive(Clone)]
pub struct Best {
    goal: Goal,
    /// In scan units: keys that score less are no answers. As many as are wanted were seen that score this or more.
    pub threshold: f64,
    /// A threshold that is likely to be one, but not yet known to be.
    guess: f64,
    /// The best keys that were scored, and a few more at the end: those who are too many leave together.
    found: Vec<Hit>,
}

impl Best {
    /// `floor` turns a score into scan units, rounded down.
    pub fn new(goal: Goal, floor: impl Fn(f64) -> f64) -> Best {
        let threshold = match goal {
            Goal::Best(_) => f64::NEG_INFINITY,
            Goal::AtLeast(score) => floor(score),
        };
        Best { goal, threshold, guess: f64::NEG_INFINITY, found: Vec::new() }
    }

    /// The same, with what keys must reach in other units.
    pub fn in_units(self, of: impl Fn(f64) -> f64) -> Best {
        Best { threshold: of(self.threshold), guess: of(self.guess), ..self }
    }

    /// What a key must reach to be looked at.
    pub fn asks(&self) -> f64 {
        self.threshold.max(self.guess)
    }

    /// Guess that the answers score this or more.
    pub fn guess(&mut self, threshold: f64) {
        self.guess = self.guess.max(threshold);
    }

    /// The best that were scored so far.
    pub fn found(&self) -> &[Hit] {
        &self.found
    }

    /// What was guessed.
    pub fn guessed(&self) -> f64 {
        self.guess
    }

    /// Whether no answer can have been passed over because of the guess; what the last of the best scores is known then.
    pub fn is_right(&mut self, floor: impl Fn(f64) -> f64) -> bool {
        self.settle(floor);
        self.threshold >= self.guess
    }

    /// Forget the guess and what was found.
    pub fn forget(&mut self) {
        self.guess = f64::NEG_INFINITY;
        self.found.clear();
    }

    /// Take notice of a key that was scored.
    #[inline]
    pub fn take(&mut self, hit: Hit, floor: impl Fn(f64) -> f64) {
        match self.goal {
            Goal::AtLeast(least) if hit.score() >= least => self.found.push(hit),
            Goal::AtLeast(_) => {}
            Goal::Best(k) if k <= FEW => {
                let at = self.found.partition_point(|better| *better < hit);
                if at < k {
                    self.found.truncate(k - 1);
                    self.found.insert(at, hit);
                    self.settle(floor);
                }
            }
            Goal::Best(k) => {
                // The last of the k best, as it was known last, is in its place.
                if self.found.len() >= k && hit > self.found[k - 1] {
                    return;
                }
                self.found.push(hit);
                if self.found.len() == k || self.found.len() >= k + (k / MORE).max(1) {
                    self.settle(floor);
                }
            }
        }
    }

    /// Let those go that are too many, and know what the last of the best scores.
    fn settle(&mut self, floor: impl Fn(f64) -> f64) {
        let Goal::Best(k) = self.goal else { return };
        if self.found.len() >= k {
            if k > FEW {
                self.found.select_nth_unstable(k - 1);
            }
            let worst = self.found[k - 1];
            self.threshold = self.threshold.max(floor(worst.score())); // as it was, if that is NaN
            self.found.truncate(k);
        }
    }

    /// The answers, best first.
    pub fn finish(mut self) -> Vec<Hit> {
        self.settle(|_| f64::NEG_INFINITY);
        self.found.sort_unstable();
        self.found
    }
}
