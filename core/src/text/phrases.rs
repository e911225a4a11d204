//! Phrases: pairs of adjacent words that occur together far more often than their own counts explain become one word.
//!
//! Mikolov et al. 2013b, section 4: `(count(ab) - min_count) / (count(a) count(b)) * tokens > threshold`, joined from left to
//! right. Pairs are counted exactly: their keys are scattered to partitions by hash, and each partition is counted in a
//! table that fits into a core's cache. Most adjacent pairs never get there, because no count that their words allow could
//! be enough.

use super::store::SENTENCE_END;
use rayon::prelude::*;
use rustc_hash::FxHashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A step looks at so many ids, shared by threads in pieces.
const STRETCH: usize = 1 << 22;
const PIECE: usize = 1 << 16;
const PARTITIONS: usize = 256;
/// Keys held at once, eight bytes each; longer texts are gone through several times, each time for a share of the pairs.
const KEYS: usize = 1 << 27;

/// What makes a pair a phrase.
#[derive(Clone, Copy)]
pub struct Score {
    pub min_count: u64,
    pub threshold: f64,
    pub tokens: u64,
}

impl Score {
    #[inline(always)]
    fn is_phrase(&self, pair: u64, left: u64, right: u64) -> bool {
        pair > self.min_count
            && (pair - self.min_count) as f64 * self.tokens as f64 > self.threshold * left as f64 * right as f64
    }

    /// Whether the pair could be a phrase, if these words were never apart.
    #[inline(always)]
    fn could_be_phrase(&self, left: u64, right: u64) -> bool {
        self.is_phrase(left.min(right), left, right)
    }
}

/// One pass over a text: first counting, then joining. `step` until it is done.
pub struct Pass {
    score: Score,
    rounds: u64,
    round: u64,
    at: usize,
    counts: Vec<u64>,                // of words that could be part of a phrase, else 0
    keys: Vec<Mutex<Vec<Vec<u64>>>>, // of each thread, in partitions
    found: Vec<u64>,
    joining: Option<Joining>,
    pub done: u64,
    pub total: u64,
}

struct Joining {
    rows: FxHashMap<u64, u32>, // of pairs in `found`
    roles: Vec<u8>,            // of words: FIRST, SECOND
    numbers: Vec<u32>,         // of the phrases, as words
    joins: Vec<AtomicU64>,
    to: usize,
}

const FIRST: u8 = 1;
const SECOND: u8 = 2;

/// What a pass did: for each phrase its two words, the number it has now, and how often it was joined.
pub struct Joined {
    pub phrases: Vec<(u32, u32, u32, u64)>,
    /// How many ids remain, at the front.
    pub length: usize,
}

impl Pass {
    pub fn new(length: usize, counts: impl Iterator<Item = u64>, score: Score, threads: usize) -> Pass {
        let counts = counts.map(|count| if score.could_be_phrase(count, count) { count } else { 0 }).collect();
        let rounds = length.div_ceil(KEYS).max(1) as u64;
        let stretches = length.div_ceil(STRETCH) as u64;
        Pass {
            score,
            rounds,
            round: 0,
            at: 0,
            counts,
            keys: (0..threads).map(|_| Mutex::new(vec![Vec::new(); PARTITIONS])).collect(),
            found: Vec::new(),
            joining: None,
            done: 0,
            total: stretches * (rounds + 1),
        }
    }

    /// Go on for a while; what was done, when all is. `number` gives phrases their numbers.
    pub fn step(
        &mut self,
        ids: &mut [u32],
        pool: &rayon::ThreadPool,
        number: impl FnMut(u32, u32) -> u32,
    ) -> Option<Joined> {
        self.done += 1;
        if let Some(joining) = &mut self.joining {
            self.at = joining.stretch(ids, self.at, pool);
            return (self.at == ids.len()).then(|| self.joined());
        }
        let to = (self.at + STRETCH).min(ids.len());
        pool.install(|| self.scatter(ids, self.at, to));
        self.at = to;
        if to == ids.len() {
            pool.install(|| self.count());
            (self.at, self.round) = (0, self.round + 1);
            if self.round == self.rounds {
                self.keys.clear();
                self.found.par_sort_unstable();
                self.joining = Some(Joining::new(&self.found, self.counts.len(), number));
            }
        }
        None
    }

    /// Put the keys of pairs in from..to into partitions.
    fn scatter(&self, ids: &[u32], from: usize, to: usize) {
        let count = |id: u32| self.counts.get(id as usize).copied().unwrap_or(0); // 0 for the end of a sentence, too
        (from..to).into_par_iter().step_by(PIECE).for_each(|start| {
            let thread = rayon::current_thread_index().unwrap_or(0);
            let mut keys = self.keys[thread].lock().expect("no thread panicked while it held the lock");
            let (mut left, mut left_count) = (SENTENCE_END, 0);
            for &right in &ids[start..(start + PIECE).min(to).saturating_add(1).min(ids.len())] {
                let right_count = count(right);
                if left_count > 0 && right_count > 0 && self.score.could_be_phrase(left_count, right_count) {
                    let key = pair(left, right);
                    let hash = hash(key);
                    if self.rounds == 1 || ((hash & 0xFFFF_FFFF) * self.rounds) >> 32 == self.round {
                        keys[(hash >> 56) as usize].push(key);
                    }
                }
                (left, left_count) = (right, right_count);
            }
        });
    }

    /// Count the keys in each partition, keep those of phrases, and forget the others.
    fn count(&mut self) {
        let parts: Vec<Vec<Vec<u64>>> = self
            .keys
            .iter_mut()
            .map(|keys| {
                std::mem::replace(keys.get_mut().expect("no thread panicked with the lock"), vec![vec![]; PARTITIONS])
            })
            .collect();
        let found = (0..PARTITIONS).into_par_iter().map_init(Vec::new, |table: &mut Vec<(u64, u64)>, partition| {
            let keys = || parts.iter().flat_map(|part| &part[partition]);
            let size = (2 * parts.iter().map(|part| part[partition].len()).sum::<usize>()).next_power_of_two();
            table.clear();
            table.resize(size, (0, 0));
            for &key in keys() {
                let mut at = hash(key) as usize & (size - 1);
                while table[at].1 > 0 && table[at].0 != key {
                    at = (at + 1) & (size - 1);
                }
                table[at] = (key, table[at].1 + 1);
            }
            let is_phrase = |&&(key, count): &&(u64, u64)| {
                let (left, right) = words(key);
                count > 0 && self.score.is_phrase(count, self.counts[left as usize], self.counts[right as usize])
            };
            table.iter().filter(is_phrase).map(|&(key, _)| key).collect::<Vec<_>>()
        });
        let found: Vec<Vec<u64>> = found.collect();
        self.found.extend(found.into_iter().flatten());
    }

    fn joined(&mut self) -> Joined {
        let joining = self.joining.take().expect("joining");
        let phrases = self.found.iter().enumerate().map(|(row, &key)| {
            let (left, right) = words(key);
            (left, right, joining.numbers[row], joining.joins[row].load(Relaxed))
        });
        Joined { phrases: phrases.collect(), length: joining.to }
    }
}

impl Joining {
    fn new(found: &[u64], words_before: usize, mut number: impl FnMut(u32, u32) -> u32) -> Joining {
        let mut roles = vec![0; words_before];
        for &key in found {
            let (left, right) = words(key);
            roles[left as usize] |= FIRST;
            roles[right as usize] |= SECOND;
        }
        Joining {
            rows: found.iter().enumerate().map(|(row, &key)| (key, row as u32)).collect(),
            roles,
            numbers: found.iter().map(|&key| words(key)).map(|(left, right)| number(left, right)).collect(),
            joins: found.iter().map(|_| AtomicU64::new(0)).collect(),
            to: 0,
        }
    }

    #[inline(always)]
    fn row(&self, left: u32, right: u32) -> Option<usize> {
        let role = |id: u32| self.roles.get(id as usize).copied().unwrap_or(0);
        if role(left) & FIRST == 0 || role(right) & SECOND == 0 {
            return None;
        }
        self.rows.get(&pair(left, right)).map(|&row| row as usize)
    }

    /// The first place from `at` on where no phrase crosses: what is joined before it does not depend on what is behind.
    fn cut(&self, ids: &[u32], at: usize) -> usize {
        (at..ids.len()).find(|&at| self.row(ids[at - 1], ids[at]).is_none()).unwrap_or(ids.len())
    }

    /// Join phrases in the next stretch from `from`, in place; returns where it ends.
    fn stretch(&mut self, ids: &mut [u32], from: usize, pool: &rayon::ThreadPool) -> usize {
        let mut cuts = vec![from];
        let mut last = from;
        while last < ids.len() && last - from < STRETCH {
            last = self.cut(ids, (last + PIECE).min(ids.len()));
            cuts.push(last);
        }
        let (mut rest, mut pieces) = (&mut ids[from..last], Vec::with_capacity(cuts.len()));
        for ends in cuts.windows(2) {
            let (piece, tail) = rest.split_at_mut(ends[1] - ends[0]);
            pieces.push(piece);
            rest = tail;
        }
        let lengths: Vec<usize> = pool.install(|| pieces.into_par_iter().map(|piece| self.join(piece)).collect());
        for (start, length) in cuts.into_iter().zip(lengths) {
            ids.copy_within(start..start + length, self.to);
            self.to += length;
        }
        last
    }

    /// Join phrases in place; returns how much remains, at the front.
    fn join(&self, ids: &mut [u32]) -> usize {
        let (mut from, mut to) = (0, 0);
        while from < ids.len() {
            let row = if from + 1 < ids.len() { self.row(ids[from], ids[from + 1]) } else { None };
            ids[to] = match row {
                Some(row) => {
                    self.joins[row].fetch_add(1, Relaxed);
                    self.numbers[row]
                }
                None => ids[from],
            };
            from += 1 + usize::from(row.is_some());
            to += 1;
        }
        to
    }
}

#[inline(always)]
fn pair(left: u32, right: u32) -> u64 {
    u64::from(left) << 32 | u64::from(right)
}

fn words(key: u64) -> (u32, u32) {
    ((key >> 32) as u32, key as u32)
}

/// Folded multiplication, as for words.
#[inline(always)]
fn hash(key: u64) -> u64 {
    let product = u128::from(key ^ 0x2D35_8DCC_AA6C_78A5) * 0x8BB8_4B93_962E_ACC9;
    (product >> 64) as u64 ^ product as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Rng;
    use std::collections::{BTreeMap, BTreeSet};

    /// The specification: joined ids, a phrase numbered by its place among them.
    fn plain(ids: &[u32], words: u32, score: Score) -> Vec<u32> {
        let (mut counts, mut pairs) = (vec![0; words as usize], BTreeMap::new());
        let real = |id: u32| id != SENTENCE_END;
        ids.iter().filter(|&&id| real(id)).for_each(|&id| counts[id as usize] += 1);
        for two in ids.windows(2).filter(|two| real(two[0]) && real(two[1])) {
            *pairs.entry((two[0], two[1])).or_insert(0) += 1;
        }
        let enough = |(&(a, b), &n): (&(u32, u32), &u64)| {
            score.is_phrase(n, counts[a as usize], counts[b as usize]).then_some((a, b))
        };
        let phrases: BTreeSet<(u32, u32)> = pairs.iter().filter_map(enough).collect();
        let (mut joined, mut at) = (Vec::new(), 0);
        while at < ids.len() {
            let two = (at + 1 < ids.len()).then(|| (ids[at], ids[at + 1]));
            match two.and_then(|two| phrases.iter().position(|&phrase| phrase == two)) {
                Some(row) => joined.push(words + row as u32),
                None => joined.push(ids[at]),
            }
            at += if *joined.last().unwrap() >= words && real(*joined.last().unwrap()) { 2 } else { 1 };
        }
        joined
    }

    #[test]
    fn it_does_what_the_plain_version_does() {
        let mut rng = Rng::new(11, 0);
        for (length, words, threshold, threads, rounds) in [
            (0, 2, 1.0, 1, 1),
            (50, 3, 0.9, 1, 1),
            (3_000, 40, 1.2, 2, 3),
            (300_000, 200, 1.05, 2, 2),
            (90_000, 2, 0.1, 3, 1),
        ] {
            let mut ids: Vec<u32> = (0..length)
                .map(|_| rng.below(words + 1).min(rng.below(words + 1)))
                .map(|id| if id == words { SENTENCE_END } else { id })
                .chain([SENTENCE_END])
                .collect();
            let mut counts = vec![0; words as usize];
            ids.iter().filter(|&&id| id != SENTENCE_END).for_each(|&id| counts[id as usize] += 1);
            let score = Score { min_count: 3, threshold, tokens: counts.iter().sum() };
            let expected = plain(&ids, words, score);
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let mut pass = Pass::new(ids.len(), counts.into_iter(), score, threads);
            pass.rounds = rounds;
            let mut next = words;
            let joined = loop {
                let number = |_, _| {
                    next += 1;
                    next - 1
                };
                if let Some(joined) = pass.step(&mut ids, &pool, number) {
                    break joined;
                }
            };
            assert_eq!(ids[..joined.length], expected);
            let joins: u64 = joined.phrases.iter().map(|phrase| phrase.3).sum();
            assert_eq!(joins as usize, ids.len() - joined.length);
        }
    }
}
