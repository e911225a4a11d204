//! Counting how often words meet, within a window, each meeting weighted by 1 / distance.
//!
//! No pair is ever sorted. The text is turned into an index, the places of each word; then the word's row of counts is
//! gathered by looking at the windows about its places, in an array of one counter a word. A pair belongs to the rarer of
//! its two words, so that these arrays are hit where they are hot, at frequent words, and half of the events are skipped. Only
//! pairs of two of the most frequent words, whose places would be half of the index, are counted straight from the text
//! in a triangle of counters.
//!
//! Weights are whole numbers (`ONE` / distance), and sums of whole numbers do not depend on their order: the result is the
//! same for any number of threads and any memory limit.
//!
//! The index of a long text is made for one part of it after the other; what each part gives, sorted by row and column, goes
//! to a file without a name, and the parts' rows are added at the end.

use super::Blocks;
use super::nonzeros::{Appended, Gatherer, Nonzeros, Strip, view};
use memmap2::Mmap;
use std::io;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Instant;

use crate::word2vec::SENTENCE_END;

/// A meeting at distance 1. All distances to 16 divide it; 6e9 such meetings fit a counter.
const ONE: u64 = 720_720 << 12;
/// Pairs of two of so many most frequent words are counted in a triangle (263 KB a thread, within a second-level cache).
const HOT: usize = 256;
/// Ids of the text that a thread takes at a time.
const PIECE: usize = 1 << 16;
/// Places that a thread takes at a time, unless a word has more: a few hundredths of a second.
const TASK: u64 = 1 << 19;
/// How many places ahead a window is asked for.
const AHEAD: usize = 12;

/// What the work on a part of the text consists of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// Count each word's places, and the pairs of hot words.
    Scan,
    /// Write down each word's places.
    Place,
    /// Gather the rows.
    Gather,
    /// Add up the rows of the parts.
    Merge,
    Done,
}

pub struct Counter {
    window: usize,
    blocks: Blocks,
    hot: usize,
    /// Of a meeting at each distance.
    weights: Vec<u64>,
    /// Rows that a thread gathers at a time: part of a block each.
    tasks: Vec<Range<usize>>,
    parts: Vec<Range<usize>>,
    part: usize,
    stage: Stage,
    /// Pieces or tasks of the stage that are done.
    done: usize,
    /// Where each cold word's places end in `places`; while they are written, where the next one goes.
    ends: Vec<AtomicU32>,
    places: Vec<AtomicU32>,
    /// Pairs of hot words, once the last part is scanned.
    triangle: Vec<u64>,
    own: Vec<Own>,
    kept: Mutex<Gatherer>,
    /// What parts gave, if there are several: the file, mapped once it is whole, and what it holds of each part and task.
    spilled: Mutex<Option<Appended>>,
    map: Option<Mmap>,
    entries: Mutex<Vec<Vec<Entry>>>,
}

/// A thread's own memory.
struct Own {
    triangle: Vec<u64>,
    /// A counter a word, zero between rows; then one for each distance, for events that belong to another row.
    counters: Vec<u64>,
    /// The words whose counters are not zero, then their numbers as bits, and the words of `bits` that are not zero as bits.
    touched: Vec<u32>,
    count: usize,
    bits: Vec<u64>,
    summary: Vec<u64>,
    rows: Rows,
}

/// Rows as they are gathered.
#[derive(Default)]
struct Rows {
    ends: Vec<usize>,
    columns: Vec<u32>,
    sums: Vec<u64>,
    logs: Vec<f32>,
}

/// Where the file has what a part of the text gave for a task.
#[derive(Clone, Copy, Default)]
struct Entry {
    pairs: usize,
    ends: usize,
    columns: usize,
    sums: usize,
}

impl Counter {
    /// `counts`: how often each word occurs, most frequent first; `ids`: how long the text is; `memory`: bytes to keep to,
    /// apart from the text and a few counters a word and thread.
    pub fn new(counts: &[u64], ids: usize, window: usize, threads: usize, memory: usize) -> io::Result<Counter> {
        let (blocks, words) = (Blocks::new(counts.len()), counts.len());
        let hot = HOT.min(words);
        let length = (memory / 2 / size_of::<u32>()).clamp(1, u32::MAX as usize);
        let parts: Vec<Range<usize>> = (0..ids).step_by(length).map(|at| at..(at + length).min(ids)).collect();
        let tasks = tasks(&blocks, counts, hot);
        let own = (0..threads).map(|_| Own::new(words, hot, window)).collect();
        Ok(Counter {
            weights: (0..=window as u64).map(|distance| (ONE + distance / 2) / distance.max(1)).collect(),
            spilled: Mutex::new(None),
            map: None,
            entries: Mutex::new(vec![vec![Entry::default(); tasks.len()]; parts.len()]),
            stage: if parts.is_empty() { Stage::Done } else { Stage::Scan },
            ends: (hot..words).map(|_| AtomicU32::new(0)).collect(),
            places: Vec::new(),
            kept: Mutex::new(Gatherer::new(memory / 2)),
            part: 0,
            done: 0,
            triangle: Vec::new(),
            window,
            blocks,
            hot,
            tasks,
            parts,
            own,
        })
    }

    /// How much of the work is done, 0 to 1.
    pub fn progress(&self) -> f64 {
        let merge = if self.parts.len() > 1 { 2.0 } else { 0.0 };
        let share = self.done as f64 / self.stage_length().max(1) as f64;
        let (before, weight) = match self.stage {
            Stage::Scan => (0.0, 1.0),
            Stage::Place => (1.0, 1.0),
            Stage::Gather => (2.0, 3.0),
            Stage::Merge => (5.0, merge),
            Stage::Done => return 1.0,
        };
        let total = 5.0 * self.parts.len() as f64 + merge;
        (5.0 * self.part as f64 + before + weight * share) / total
    }

    /// Work on it until the deadline, with every thread on at least one piece; the result does not depend on when that is.
    pub fn run(&mut self, ids: &[u32], deadline: Instant) -> io::Result<()> {
        while self.stage != Stage::Done {
            let last = self.stage_length();
            if self.done < last {
                self.work(ids, last, deadline)?;
            }
            if self.done == last {
                self.next_stage()?;
            }
            if Instant::now() >= deadline {
                break;
            }
        }
        Ok(())
    }

    /// What was counted; to be called when all the work is done.
    pub fn finish(self) -> io::Result<Nonzeros> {
        assert!(self.stage == Stage::Done, "still counting");
        self.kept.into_inner().expect("no thread panicked").finish(self.blocks)
    }

    /// Pieces or tasks that the stage consists of.
    fn stage_length(&self) -> usize {
        match self.stage {
            Stage::Scan | Stage::Place => self.parts[self.part].len().div_ceil(PIECE),
            Stage::Gather | Stage::Merge => self.tasks.len(),
            Stage::Done => 0,
        }
    }

    /// Let the threads take pieces or tasks of the stage.
    fn work(&mut self, ids: &[u32], last: usize, deadline: Instant) -> io::Result<()> {
        let mut own = std::mem::take(&mut self.own);
        let (shared, next) = (&*self, AtomicUsize::new(self.done));
        let work = |own: &mut Own| {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= last {
                    return Ok(());
                }
                match shared.stage {
                    Stage::Scan => shared.scan(ids, shared.piece(number), own),
                    Stage::Place => shared.place(ids, shared.piece(number)),
                    Stage::Gather => shared.gather(ids, number, own)?,
                    Stage::Merge => shared.merge(number, own)?,
                    Stage::Done => unreachable!("nothing is left to take"),
                }
                if Instant::now() >= deadline {
                    return Ok(());
                }
            }
        };
        let result = std::thread::scope(|scope| {
            let (first, others) = own.split_first_mut().expect("at least one thread");
            let handles: Vec<_> = others.iter_mut().map(|own| scope.spawn(|| work(own))).collect();
            let result = work(first);
            handles
                .into_iter()
                .map(|handle| handle.join().expect("a counting thread panicked"))
                .fold(result, io::Result::and)
        });
        self.done = next.into_inner().min(last);
        self.own = own;
        result
    }

    fn next_stage(&mut self) -> io::Result<()> {
        self.done = 0;
        let last = self.part + 1 == self.parts.len();
        self.stage = match self.stage {
            Stage::Scan => {
                let mut end = 0;
                for place in &mut self.ends {
                    end += std::mem::replace(place.get_mut(), end); // from here: where its next place goes
                }
                self.places.resize_with(end as usize, Default::default);
                if last {
                    self.triangle = vec![0; self.hot * (self.hot + 1) / 2];
                    for own in &self.own {
                        self.triangle.iter_mut().zip(&own.triangle).for_each(|(sum, own)| *sum += own);
                    }
                }
                Stage::Place
            }
            Stage::Place => Stage::Gather,
            Stage::Gather if !last => {
                self.part += 1;
                self.ends.iter_mut().for_each(|end| *end.get_mut() = 0);
                Stage::Scan
            }
            Stage::Gather if self.part > 0 => {
                let spilled = self.spilled.get_mut().expect("no thread panicked");
                self.map = spilled.take().as_ref().map(Appended::map).transpose()?;
                self.places = Vec::new();
                Stage::Merge
            }
            _ => Stage::Done,
        };
        Ok(())
    }

    fn piece(&self, number: usize) -> Range<usize> {
        let part = &self.parts[self.part];
        let start = part.start + number * PIECE;
        start..(start + PIECE).min(part.end)
    }

    /// Count the places of cold words, and pairs of hot words, the later of which is in the piece.
    fn scan(&self, ids: &[u32], piece: Range<usize>, own: &mut Own) {
        let mut recent: Vec<(usize, u32)> = Vec::with_capacity(piece.len() + self.window);
        let first = piece.start.saturating_sub(self.window);
        for (place, &id) in (first..).zip(&ids[first..piece.end]) {
            if id == SENTENCE_END {
                recent.clear();
            } else if id as usize >= self.hot {
                if place >= piece.start {
                    self.ends[id as usize - self.hot].fetch_add(1, Ordering::Relaxed);
                }
            } else {
                if place >= piece.start {
                    for &(before, other) in recent.iter().rev() {
                        if place - before > self.window {
                            break;
                        }
                        own.triangle[corner(id.max(other)) + id.min(other) as usize] += self.weights[place - before];
                    }
                }
                recent.push((place, id));
            }
        }
    }

    /// Write down the places of cold words, in whatever order the threads meet them.
    fn place(&self, ids: &[u32], piece: Range<usize>) {
        let start = self.parts[self.part].start;
        for place in piece {
            let id = ids[place];
            if id as usize >= self.hot && id != SENTENCE_END {
                let at = self.ends[id as usize - self.hot].fetch_add(1, Ordering::Relaxed);
                self.places[at as usize].store((place - start) as u32, Ordering::Relaxed);
            }
        }
    }

    /// Gather the rows of a task.
    fn gather(&self, ids: &[u32], task: usize, own: &mut Own) -> io::Result<()> {
        let whole = self.parts.len() == 1;
        own.rows.clear();
        for row in self.tasks[task].clone() {
            if row >= self.hot {
                self.gather_row(ids, row, own);
                own.emit(row);
            } else if whole {
                self.emit_hot(row, own);
            } else {
                own.rows.end_row();
            }
        }
        if whole { self.keep(task, own) } else { self.spill(task, own) }
    }

    /// Add up what the windows about the places of a word hold of words as frequent or more.
    fn gather_row(&self, ids: &[u32], row: usize, own: &mut Own) {
        let cold = row - self.hot;
        let first = if cold == 0 { 0 } else { self.ends[cold - 1].load(Ordering::Relaxed) };
        let places = &self.places[first as usize..self.ends[cold].load(Ordering::Relaxed) as usize];
        let (start, window, words) = (self.parts[self.part].start, self.window, self.blocks.words());
        let at = |place: &AtomicU32| start + place.load(Ordering::Relaxed) as usize;
        for (number, place) in places.iter().enumerate() {
            if let Some(next) = places.get(number + AHEAD) {
                prefetch(ids, at(next).saturating_sub(window), 2 * window + 1);
            }
            let place = at(place);
            let before = ids[place - window.min(place)..place].iter().rev();
            let after = ids[place + 1..ids.len().min(place + 1 + window)].iter();
            // Whose event it is cannot be predicted, so that all are added, those of other rows where nobody looks.
            for (distance, &id) in before.enumerate() {
                if id == SENTENCE_END {
                    break;
                }
                let slot = if id as usize <= row { id as usize } else { words + distance };
                own.add(slot, self.weights[distance + 1]);
            }
            for (distance, &id) in after.enumerate() {
                if id == SENTENCE_END {
                    break;
                }
                let slot = if (id as usize) < row { id as usize } else { words + distance };
                own.add(slot, self.weights[distance + 1]);
            }
        }
    }

    fn emit_hot(&self, row: usize, own: &mut Own) {
        let sums = &self.triangle[corner(row as u32)..][..=row];
        for (column, &sum) in sums.iter().enumerate().filter(|&(_, &sum)| sum > 0) {
            own.rows.push(column, sum);
        }
        own.rows.end_row();
    }

    /// Add the parts' rows of a task.
    fn merge(&self, task: usize, own: &mut Own) -> io::Result<()> {
        let map = self.map.as_ref().expect("mapped before this stage");
        let entries: Vec<Entry> =
            self.entries.lock().expect("no thread panicked").iter().map(|part| part[task]).collect();
        own.rows.clear();
        for (number, row) in self.tasks[task].clone().enumerate() {
            if row < self.hot {
                self.emit_hot(row, own);
                continue;
            }
            for entry in &entries {
                let ends: &[u64] = view(map, entry.ends, self.tasks[task].len());
                let start = if number == 0 { 0 } else { ends[number - 1] };
                let pairs = start as usize..ends[number] as usize;
                let columns: &[u32] = view(map, entry.columns, entry.pairs);
                let sums: &[u64] = view(map, entry.sums, entry.pairs);
                for (&column, &sum) in columns[pairs.clone()].iter().zip(&sums[pairs]) {
                    own.add(column as usize, sum);
                }
            }
            own.emit(row);
        }
        self.keep(task, own)
    }

    /// Lay out a task's rows and keep them.
    fn keep(&self, task: usize, own: &mut Own) -> io::Result<()> {
        let (rows, first) = (&mut own.rows, self.tasks[task].start);
        let mut start = 0;
        for (row, &end) in rows.ends.iter().enumerate() {
            for i in start..end {
                let twice = rows.columns[i] as usize == first + row; // a word that meets itself is on both sides
                let sum = rows.sums[i] << u32::from(twice);
                rows.logs.push((sum as f32 / ONE as f32).ln());
            }
            start = end;
        }
        let strip = Strip::new(&self.blocks, first, &rows.ends, &rows.columns, &rows.logs);
        self.kept.lock().expect("no thread panicked").push(first, strip)
    }

    /// Put a task's rows aside, to be merged.
    fn spill(&self, task: usize, own: &mut Own) -> io::Result<()> {
        let ends: Vec<u64> = own.rows.ends.iter().map(|&end| end as u64).collect();
        let entry = {
            let mut spilled = self.spilled.lock().expect("no thread panicked");
            let file = match &mut *spilled {
                Some(file) => file,
                none => none.insert(Appended::new()?),
            };
            Entry {
                pairs: own.rows.columns.len(),
                ends: file.append(&ends)?,
                columns: file.append(&own.rows.columns)?,
                sums: file.append(&own.rows.sums)?,
            }
        };
        self.entries.lock().expect("no thread panicked")[self.part][task] = entry;
        Ok(())
    }
}

impl Own {
    fn new(words: usize, hot: usize, window: usize) -> Own {
        let mut counters = vec![0; words];
        counters.resize(words + window, 1); // never zero, so that nobody looks at them
        Own {
            triangle: vec![0; hot * (hot + 1) / 2],
            counters,
            touched: vec![0; words + 1],
            count: 0,
            bits: vec![0; words.div_ceil(64)],
            summary: vec![0; words.div_ceil(64 * 64)],
            rows: Rows::default(),
        }
    }

    #[inline(always)]
    fn add(&mut self, slot: usize, weight: u64) {
        let counter = &mut self.counters[slot];
        self.touched[self.count] = slot as u32;
        self.count += usize::from(*counter == 0);
        *counter += weight;
    }

    /// Move the counters that are not zero to the rows, in order of their words.
    fn emit(&mut self, row: usize) {
        for &word in &self.touched[..self.count] {
            self.bits[word as usize / 64] |= 1 << (word % 64);
            self.summary[word as usize / 4096] |= 1 << (word / 64 % 64);
        }
        self.count = 0;
        for (at, summary) in self.summary[..=row / 4096].iter_mut().enumerate() {
            for at in ones(std::mem::take(summary)).map(|bit| at * 64 + bit) {
                for word in ones(std::mem::take(&mut self.bits[at])).map(|bit| at * 64 + bit) {
                    self.rows.push(word, std::mem::take(&mut self.counters[word]));
                }
            }
        }
        self.rows.end_row();
        let words = self.touched.len() - 1;
        self.counters[words..].fill(1);
    }
}

impl Rows {
    fn clear(&mut self) {
        self.ends.clear();
        self.columns.clear();
        self.sums.clear();
        self.logs.clear();
    }

    #[inline(always)]
    fn push(&mut self, column: usize, sum: u64) {
        self.columns.push(column as u32);
        self.sums.push(sum);
    }

    fn end_row(&mut self) {
        self.ends.push(self.columns.len());
    }
}

/// Where the row of a hot word begins in the triangle.
#[inline(always)]
fn corner(row: u32) -> usize {
    let row = row as usize;
    row * (row + 1) / 2
}

/// Numbers of the bits that are one.
#[inline(always)]
fn ones(mut bits: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        (bits != 0).then(|| {
            let lowest = bits.trailing_zeros() as usize;
            bits &= bits - 1;
            lowest
        })
    })
}

/// Cut the blocks into tasks of about `TASK` places; hot words have none.
fn tasks(blocks: &Blocks, counts: &[u64], hot: usize) -> Vec<Range<usize>> {
    let mut tasks = Vec::new();
    for block in 0..blocks.count() {
        let rows = blocks.rows(block);
        let (mut start, mut places) = (rows.start, 0);
        for (row, &count) in rows.clone().zip(&counts[rows.clone()]) {
            places += if row < hot { 0 } else { count };
            if places >= TASK || row + 1 == rows.end || row + 1 == hot {
                tasks.push(start..row + 1);
                (start, places) = (row + 1, 0);
            }
        }
    }
    tasks
}

/// Ask for a stretch of the text to be brought near.
#[inline(always)]
fn prefetch(ids: &[u32], start: usize, length: usize) {
    for i in (0..length + 15).step_by(16) {
        crate::simd::prefetch(ids.as_ptr().wrapping_add(start + i));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Rng;
    use std::collections::HashMap;
    use std::time::Duration;

    /// Sentences of uneven lengths, among them empty ones and single words; frequent words first.
    fn text(words: u32, sentences: usize) -> (Vec<u32>, Vec<u64>) {
        let (mut rng, mut ids, mut counts) = (Rng::new(5, 0), Vec::new(), vec![0u64; words as usize]);
        for sentence in 0..sentences {
            for _ in 0..sentence % 37 {
                let id = rng.below(words).min(rng.below(words)).min(rng.below(words));
                counts[id as usize] += 1;
                ids.push(id);
            }
            ids.push(SENTENCE_END);
        }
        (ids, counts)
    }

    /// The specification: every ordered pair of places in a sentence within the window, as Stanford's code has it.
    fn plain(ids: &[u32], window: usize) -> HashMap<(usize, usize), f64> {
        let mut sums = HashMap::new();
        for sentence in ids.split(|&id| id == SENTENCE_END) {
            for (i, &a) in sentence.iter().enumerate() {
                for (j, &b) in sentence.iter().enumerate().filter(|&(j, _)| j != i && j.abs_diff(i) <= window) {
                    *sums.entry((a as usize, b as usize)).or_default() += 1.0 / i.abs_diff(j) as f64;
                }
            }
        }
        sums
    }

    fn count(ids: &[u32], counts: &[u64], window: usize, threads: usize, memory: usize, step: Duration) -> Nonzeros {
        let mut counter = Counter::new(counts, ids.len(), window, threads, memory).unwrap();
        let mut before = 0.0;
        while counter.progress() < 1.0 {
            counter.run(ids, Instant::now() + step).unwrap();
            assert!(counter.progress() >= before, "progress goes backwards");
            before = counter.progress();
        }
        counter.finish().unwrap()
    }

    #[test]
    fn counts_are_those_of_a_plain_loop() {
        for (words, window) in [(20, 1), (300, 4), (1500, 15), (1500, 100)] {
            let (ids, counts) = text(words, 800);
            let sums = plain(&ids, window);
            let nonzeros = count(&ids, &counts, window, 2, 1 << 30, Duration::from_secs(9));
            let mut seen = 0;
            for (row, column, log) in nonzeros.iter() {
                let sum = sums[&(row, column)];
                assert!((f64::from(log) - sum.ln()).abs() < 1e-5, "{row} {column}: {log}, not ln {sum}");
                assert!(column <= row);
                seen += if row == column { 1 } else { 2 };
            }
            assert_eq!(seen, sums.len());
        }
    }

    #[test]
    fn threads_memory_and_steps_do_not_change_a_bit() {
        let (ids, counts) = text(1500, 3000);
        let bits = |threads, memory, step| -> Vec<(usize, usize, u32)> {
            let nonzeros = count(&ids, &counts, 15, threads, memory, Duration::from_millis(step));
            nonzeros.iter().map(|(row, column, log)| (row, column, log.to_bits())).collect()
        };
        let first = bits(1, 1 << 30, 9000);
        assert!(first.len() > 100_000);
        for (threads, memory) in [(1, 100_000), (2, 1 << 30), (2, 50_000), (3, 9_000_000), (3, 200_000)] {
            assert!(bits(threads, memory, 0) == first, "{threads} threads, {memory} bytes");
        }
    }

    #[test]
    fn texts_without_pairs_give_none() {
        for ids in [vec![], vec![SENTENCE_END; 5], vec![0, SENTENCE_END, 1, SENTENCE_END]] {
            assert_eq!(count(&ids, &[1, 1], 5, 2, 1 << 20, Duration::ZERO).pairs(), 0);
        }
    }
}
