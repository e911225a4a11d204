//! Settling the vocabulary, when everything is read: from the numbers that threads gave to words to rows, by frequency.

use super::intern::Interner;
use super::lists::{Kind, label};
use super::phrases::{Pass, Score};
use super::reader::{Error, Reader};
use super::store::{DROPPED, Ids, Store, Whole};
use rayon::prelude::*;

/// A text read to its end, before rare words are left out.
pub struct Numbered {
    pool: rayon::ThreadPool,
    words: Interner,
    held: Held,
    tokens: u64,
    digest: u128,
    pass: Option<Pass>,
}

enum Held {
    /// Numbers as threads gave them, with tables to those of `words`.
    Blocks(Store, Vec<Vec<u32>>),
    Whole(Whole),
    Nothing,
}

/// What reading found.
pub struct Corpus {
    pub labels: Vec<String>,
    pub counts: Vec<u64>,
    pub ids: Ids,
    pub tokens: u64,
    pub kept_tokens: u64,
    pub sentences: u64,
    pub distinct: usize,
    pub highest: u64,
    pub digest: u128,
}

impl Reader {
    /// All is read: one vocabulary from those of the threads. Two items of different kinds with one label are an error.
    pub fn settle(self) -> Result<Numbered, Error> {
        let Reader { pool, interners, store, tokens, digest, marked, .. } = self;
        let mut interners = interners.into_iter().map(|lock| lock.into_inner().expect("unlocked"));
        let (words, tables, missing) = if marked {
            merge_items(interners.collect())?
        } else {
            let mut words = interners.next().expect("at least one thread");
            let mut tables: Vec<Vec<u32>> = vec![(0..words.size() as u32).collect()];
            let table = |one: Interner| (0..one.size()).map(|id| words.add(one.token(id), one.count(id))).collect();
            tables.extend(interners.map(table));
            (words, tables, 0)
        };
        let (held, tokens) = (Held::Blocks(store, tables), tokens - missing);
        Ok(Numbered { pool, words, held, tokens, digest: digest.digest128(), pass: None })
    }
}

/// The labels of items, tables from tokens to labels, and how many items were missing.
fn merge_items(interners: Vec<Interner>) -> Result<(Interner, Vec<Vec<u32>>, u64), Error> {
    let (mut words, mut kinds, mut missing) = (Interner::default(), Vec::new(), 0);
    let mut tables = Vec::with_capacity(interners.len());
    for one in interners {
        let mut table = Vec::with_capacity(one.size());
        for id in 0..one.size() {
            let (kind, label) = label(one.token(id));
            let nothing = kind == Kind::Missing;
            missing += if nothing { one.count(id) } else { 0 };
            let word = words.add(&label, if nothing { 0 } else { one.count(id) });
            if word as usize == kinds.len() {
                kinds.push(kind);
            } else if kinds[word as usize] != kind {
                let label = String::from_utf8_lossy(&label).into_owned();
                return Err(Error::SameLabel(label, kinds[word as usize], kind));
            }
            table.push(word);
        }
        tables.push(table);
    }
    Ok((words, tables, missing))
}

impl Numbered {
    /// Begin a pass that joins phrases; `step` goes on with it.
    pub fn begin_phrases(&mut self, min_count: u64, threshold: f64) -> Result<(), Error> {
        let mut whole = match std::mem::replace(&mut self.held, Held::Nothing) {
            Held::Blocks(store, tables) => Whole::new(store.rewrite(&self.pool, &tables)?.0)?,
            Held::Whole(whole) => whole,
            Held::Nothing => unreachable!("held again by begin_phrases"),
        };
        let score = Score { min_count, threshold, tokens: self.tokens };
        let counts = (0..self.words.size()).map(|id| self.words.count(id));
        self.pass = Some(Pass::new(whole.ids().len(), counts, score, self.pool.current_num_threads()));
        self.held = Held::Whole(whole);
        Ok(())
    }

    /// Go on with the pass: steps done and to be done; None at its end.
    pub fn step_phrases(&mut self) -> Option<(u64, u64)> {
        let (Some(pass), Held::Whole(whole)) = (&mut self.pass, &mut self.held) else { return None };
        let words = &mut self.words;
        let mut number = |left: u32, right: u32| {
            let phrase = [words.token(left as usize), b" ", words.token(right as usize)].concat();
            words.add(&phrase, 0)
        };
        let Some(joined) = pass.step(whole.ids(), &self.pool, &mut number) else {
            return Some((pass.done, pass.total.max(pass.done + 1)));
        };
        for (left, right, phrase, joins) in joined.phrases {
            words.more(left, joins.wrapping_neg());
            words.more(right, joins.wrapping_neg());
            words.more(phrase, joins);
            self.tokens -= joins;
        }
        whole.truncate(joined.length);
        self.pass = None;
        None
    }

    /// Turn numbers into rows of the vocabulary. First come the words of `vocabulary`, in its order, however rare; then the
    /// others, the most frequent first, equals in order of their bytes, unless rarer than `min_count`, until there are
    /// `max_vocab`. The rest is dropped, and sentences that are then empty with it.
    pub fn finish(self, min_count: u64, max_vocab: usize, vocabulary: &[impl AsRef<str>]) -> Result<Corpus, Error> {
        let Numbered { pool, words: mut all, held, tokens, digest, .. } = self;
        let distinct = (0..all.size()).filter(|&id| all.count(id) > 0).count();
        let highest = (0..all.size()).map(|id| all.count(id)).max().unwrap_or(0);
        let mut words: Vec<u32> = vocabulary.iter().map(|word| all.add(word.as_ref().as_bytes(), 0)).collect();
        let mut rows = vec![DROPPED; all.size()];
        for (row, &id) in words.iter().enumerate() {
            rows[id as usize] = row as u32;
        }
        let new = |&id: &u32| all.count(id as usize) >= min_count.max(1) && rows[id as usize] == DROPPED;
        let mut others: Vec<u32> = (0..all.size() as u32).filter(new).collect();
        let key = |id: u32| (std::cmp::Reverse(all.count(id as usize)), all.token(id as usize));
        pool.install(|| others.par_sort_unstable_by(|&a, &b| key(a).cmp(&key(b))));
        others.truncate(max_vocab.saturating_sub(words.len()));
        for (row, &id) in (words.len()..).zip(&others) {
            rows[id as usize] = row as u32;
        }
        words.append(&mut others);

        let (ids, sentences) = match held {
            Held::Blocks(store, mut tables) => {
                for id in tables.iter_mut().flatten() {
                    *id = rows[*id as usize];
                }
                store.rewrite(&pool, &tables)?
            }
            Held::Whole(whole) => whole.rewrite(&pool, &rows)?,
            Held::Nothing => unreachable!("held again by begin_phrases"),
        };
        Ok(Corpus {
            kept_tokens: words.iter().map(|&id| all.count(id as usize)).sum(),
            labels: words.iter().map(|&id| String::from_utf8_lossy(all.token(id as usize)).into_owned()).collect(),
            counts: words.iter().map(|&id| all.count(id as usize)).collect(),
            ids,
            tokens,
            sentences,
            distinct,
            highest,
            digest,
        })
    }
}
