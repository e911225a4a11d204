//! Token lists: their items become tokens of bytes, which the reader numbers like words.
//!
//! Strings are their UTF-8 bytes. Whatever is no string begins with a byte that UTF-8 never has, so that 1 and "1" are two
//! tokens; that their labels are one is found when the vocabulary is settled.

use super::intern::Interner;
use super::reader::{Error, Reader};
use super::store::SENTENCE_END;
use rayon::prelude::*;
use std::borrow::Cow;
use std::ops::Range;

/// What an item was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Text,
    Integer,
    Other,
    /// Nothing: it is left out, but what stands on its two sides is not adjacent.
    Missing,
}

const INTEGER: u8 = 0xFF; // and eight bytes
/// Small integers differ in few bits; multiplied by the first they differ in many, and by the second are themselves again.
const SCATTER: u64 = 0x9E37_79B9_7F4A_7C15;
const GATHER: u64 = 0xF1DE_83E1_9937_733D;
const LARGE: u8 = 0xFE; // and the digits of an integer of more than 64 bits
const OTHER: u8 = 0xFD; // and the label
pub const MISSING: [u8; 1] = [0xFC];
/// Threads share items in pieces of so many.
const PIECE: usize = 1 << 15;

/// The token of an integer.
#[inline(always)]
pub fn integer(value: i64) -> [u8; 9] {
    let mut token = [INTEGER; 9];
    token[1..].copy_from_slice(&(value as u64).wrapping_mul(SCATTER).to_le_bytes());
    token
}

/// The token of an item with this label.
pub fn token(kind: Kind, label: &[u8]) -> Vec<u8> {
    match kind {
        Kind::Text => label.to_vec(),
        Kind::Integer => match std::str::from_utf8(label).ok().and_then(|digits| digits.parse().ok()) {
            Some(value) => integer(value).to_vec(),
            None => [&[LARGE], label].concat(),
        },
        Kind::Other => [&[OTHER], label].concat(),
        Kind::Missing => MISSING.to_vec(),
    }
}

/// What a token stands for, and its label.
pub fn label(token: &[u8]) -> (Kind, Cow<'_, [u8]>) {
    match token {
        [INTEGER, rest @ ..] => {
            let value = u64::from_le_bytes(rest.try_into().expect("eight bytes follow")).wrapping_mul(GATHER);
            (Kind::Integer, Cow::Owned((value as i64).to_string().into_bytes()))
        }
        [LARGE, rest @ ..] => (Kind::Integer, Cow::Borrowed(rest)),
        [OTHER, rest @ ..] => (Kind::Other, Cow::Borrowed(rest)),
        token if *token == MISSING => (Kind::Missing, Cow::Borrowed(token)),
        _ => (Kind::Text, Cow::Borrowed(token)),
    }
}

/// Where the lists end among the items, and which items there are: all, if `valid` is empty.
#[derive(Clone, Copy)]
pub struct Rows<'a> {
    pub ends: &'a [i64],
    pub valid: &'a [bool],
}

impl Rows<'_> {
    /// How many items of a piece are missing.
    fn missing(&self, piece: &Range<usize>) -> u64 {
        piece.clone().filter(|&at| !self.has(at)).count() as u64
    }

    fn has(&self, at: usize) -> bool {
        self.valid.is_empty() || self.valid[at]
    }
}

/// Tokens one after the other, before threads number them.
#[derive(Default)]
pub struct Collected {
    pub bytes: Vec<u8>,
    pub starts: Vec<i64>, // of each token in `bytes`
    pub ends: Vec<i64>,   // of each list among the tokens
}

impl Collected {
    #[inline(always)]
    pub fn push(&mut self, token: &[u8]) {
        self.starts.push(self.bytes.len() as i64);
        self.bytes.extend_from_slice(token);
    }

    pub fn end_list(&mut self) {
        self.ends.push(self.starts.len() as i64);
    }
}

impl Reader {
    /// Number the tokens collected, and forget them.
    pub fn take(&mut self, collected: &mut Collected) -> Result<(), Error> {
        let Collected { bytes, starts, ends } = collected;
        starts.push(bytes.len() as i64);
        self.strings(bytes, starts, Rows { ends, valid: &[] })?;
        bytes.clear();
        starts.clear();
        ends.clear();
        Ok(())
    }

    /// Strings as Arrow has them: the n-th is `bytes[starts[n]..starts[n + 1]]`.
    pub fn strings(&mut self, bytes: &[u8], starts: &[i64], rows: Rows<'_>) -> Result<(), Error> {
        let token = |at: usize| &bytes[starts[at] as usize..starts[at + 1] as usize];
        self.lists(starts.len() - 1, rows, |interner, at| interner.number(token(at), false))
    }

    pub fn integers(&mut self, values: &[i64], rows: Rows<'_>) -> Result<(), Error> {
        self.lists(values.len(), rows, |interner, at| interner.number(&integer(values[at]), false))
    }

    /// Items by number, and the tokens they stand for.
    pub fn numbers<T: AsRef<[u8]>>(&mut self, numbers: &[u32], tokens: &[T], rows: Rows<'_>) -> Result<(), Error> {
        self.end_before(rows)?;
        // One interner knows them all, so that a number becomes another without a look at its token.
        let interner = self.interners[0].get_mut().expect("no thread panicked while it held the lock");
        let table: Vec<u32> = tokens.iter().map(|token| interner.add(token.as_ref(), 0)).collect();
        let missing = interner.add(&MISSING, rows.missing(&(0..numbers.len())));
        let piece = numbers.len().div_ceil(self.settings.threads).max(PIECE);
        let counted: Vec<(Vec<u32>, Vec<u32>)> = self.pool.install(|| {
            let number = |start: usize| {
                let mut counts = vec![0u32; table.len()];
                let piece = start..(start + piece).min(numbers.len());
                let ids = rows_of(piece, rows, missing, |at| {
                    counts[numbers[at] as usize] += 1;
                    table[numbers[at] as usize]
                });
                (ids, counts)
            };
            (0..numbers.len()).into_par_iter().step_by(piece).map(number).collect()
        });
        for (ids, counts) in counted {
            let interner = self.interners[0].get_mut().expect("no thread panicked while it held the lock");
            for (&id, count) in table.iter().zip(counts) {
                interner.more(id, u64::from(count));
            }
            self.push_list(ids, 0)?;
        }
        Ok(())
    }

    /// Number `n` items, the one at a place by `number`.
    fn lists(
        &mut self,
        n: usize,
        rows: Rows<'_>,
        number: impl Fn(&mut Interner, usize) -> u32 + Sync,
    ) -> Result<(), Error> {
        self.end_before(rows)?;
        let interners = &self.interners;
        let numbered: Vec<(Vec<u32>, usize)> = self.pool.install(|| {
            let number = |start: usize| {
                let thread = rayon::current_thread_index().unwrap_or(0);
                let mut interner = interners[thread].lock().expect("no thread panicked while it held the lock");
                let piece = start..(start + PIECE).min(n);
                let missing = if rows.valid.is_empty() { 0 } else { interner.add(&MISSING, rows.missing(&piece)) };
                (rows_of(piece, rows, missing, |at| number(&mut interner, at)), thread)
            };
            (0..n).into_par_iter().step_by(PIECE).map(number).collect()
        });
        numbered.into_iter().try_for_each(|(ids, thread)| self.push_list(ids, thread))
    }

    /// A list that began among earlier items may end before the first of these.
    fn end_before(&mut self, rows: Rows<'_>) -> Result<(), Error> {
        if rows.ends.first() == Some(&0) { self.push_list(vec![SENTENCE_END], 0) } else { Ok(()) }
    }

    fn push_list(&mut self, ids: Vec<u32>, table: usize) -> Result<(), Error> {
        self.marked = true;
        self.tokens += ids.iter().filter(|&&id| id != SENTENCE_END).count() as u64;
        Ok(self.store.push(ids, table)?)
    }
}

/// Ids of the items of a piece, with the ends of the lists among them.
#[inline(always)]
fn rows_of(piece: Range<usize>, rows: Rows<'_>, missing: u32, mut number: impl FnMut(usize) -> u32) -> Vec<u32> {
    let first = rows.ends.partition_point(|&end| end as usize <= piece.start);
    let (mut ids, mut at) = (Vec::with_capacity(piece.len() + piece.len() / 8 + 1), piece.start);
    for &end in &rows.ends[first..] {
        let stop = (end as usize).min(piece.end);
        ids.extend((at..stop).map(|at| if rows.has(at) { number(at) } else { missing }));
        at = at.max(stop);
        if end as usize > piece.end {
            return ids;
        }
        if ids.last() != Some(&SENTENCE_END) {
            ids.push(SENTENCE_END);
        }
    }
    ids.extend((at..piece.end).map(|at| if rows.has(at) { number(at) } else { missing })); // a list that goes on
    ids
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_tell_what_they_were() {
        for (kind, text) in [
            (Kind::Text, ""),
            (Kind::Text, "12"),
            (Kind::Integer, "-12"),
            (Kind::Integer, "123456789012345678901234567890"),
            (Kind::Other, "(1, 2)"),
        ] {
            let token = token(kind, text.as_bytes());
            assert_eq!(label(&token), (kind, Cow::Borrowed(text.as_bytes())));
        }
        assert_eq!(token(Kind::Integer, b"7"), integer(7));
        assert_eq!(label(&MISSING).0, Kind::Missing);
    }

    #[test]
    fn a_cut_anywhere_gives_the_same_rows() {
        let (ends, n) = ([0, 2, 2, 5, 9, 9], 11);
        for valid in [vec![], (0..n).map(|at| at % 3 > 0).collect()] {
            let rows = Rows { ends: &ends, valid: &valid };
            let mut plain = Vec::new();
            for at in 0..n {
                if ends.contains(&(at as i64)) && at > 0 {
                    plain.push(SENTENCE_END);
                }
                plain.push(if rows.has(at) { at as u32 } else { 99 });
            }
            for cut in 1..n {
                let mut found = Vec::new();
                for piece in [0..cut, cut..n] {
                    found.extend(rows_of(piece, rows, 99, |at| at as u32));
                }
                assert_eq!(found, plain, "{cut}");
            }
        }
    }
}
