//! Where ids are kept while a text is read: in memory, or past a limit in a temporary file; and how they become rows.

use memmap2::MmapMut;
use rayon::prelude::*;
use std::fs::File;
use std::io::{self, Write};

/// Marks the end of a sentence among the ids.
pub const SENTENCE_END: u32 = u32::MAX;
/// A word that is left out, in a table from one numbering to another.
pub const DROPPED: u32 = u32::MAX - 1;
/// Threads share ids in pieces of so many.
const PIECE: usize = 1 << 16;

/// Rows of the vocabulary: in memory, or the first `length` numbers of an unlinked temporary file.
#[derive(Debug)]
pub enum Ids {
    Memory(Vec<u32>),
    File { file: File, length: usize },
}

impl Ids {
    /// Put more at the end; past `spill` bytes, all go to a file.
    fn append(&mut self, more: &[u32], spill: usize) -> io::Result<()> {
        if let Ids::Memory(ids) = self {
            if (ids.len() + more.len()) * 4 <= spill {
                ids.extend_from_slice(more);
                return Ok(());
            }
            let mut file = temporary()?;
            file.write_all(as_bytes(ids))?;
            *self = Ids::File { file, length: ids.len() };
        }
        let Ids::File { file, length } = self else { unreachable!("made one above") };
        file.write_all(as_bytes(more))?;
        *length += more.len();
        Ok(())
    }
}

/// Provisional numbers, block after block, each with the number of the table that says what they mean.
pub struct Store {
    blocks: Vec<Block>,
    kept: Kept,
    bytes: usize,
    spill: usize,
}

#[derive(Clone, Copy)]
struct Block {
    table: usize,
    length: usize,
}

enum Kept {
    Memory(Vec<Vec<u32>>),
    File(File),
}

impl Store {
    /// Numbers of more bytes than `spill` go to a temporary file.
    pub fn new(spill: usize) -> Store {
        Store { blocks: Vec::new(), kept: Kept::Memory(Vec::new()), bytes: 0, spill }
    }

    pub fn push(&mut self, numbers: Vec<u32>, table: usize) -> io::Result<()> {
        self.blocks.push(Block { table, length: numbers.len() });
        self.bytes += numbers.len() * 4;
        match &mut self.kept {
            Kept::Memory(parts) => {
                parts.push(numbers);
                if self.bytes > self.spill {
                    let mut file = temporary()?;
                    parts.iter().try_for_each(|part| file.write_all(as_bytes(part)))?;
                    self.kept = Kept::File(file);
                }
                Ok(())
            }
            Kept::File(file) => file.write_all(as_bytes(&numbers)),
        }
    }

    /// All numbers through their blocks' tables, and how many sentences they make.
    pub fn rewrite(self, pool: &rayon::ThreadPool, tables: &[Vec<u32>]) -> io::Result<(Ids, u64)> {
        let mut joined = Joined::default();
        match self.kept {
            Kept::Memory(mut parts) => {
                pool.install(|| {
                    parts.par_iter_mut().zip(&self.blocks).for_each(|(part, block)| {
                        let length = remap(part, &tables[block.table]);
                        part.truncate(length);
                    });
                });
                let mut ids = Vec::with_capacity(parts.iter().map(Vec::len).sum());
                for part in parts {
                    ids.extend_from_slice(joined.add(&part)); // the part is freed
                }
                Ok((Ids::Memory(ids), joined.sentences))
            }
            Kept::File(file) => {
                let pieces: Vec<_> = self.blocks.iter().map(|block| (block.length, &*tables[block.table])).collect();
                Whole::new(Ids::File { file, length: self.bytes / 4 })?.compact(&pieces, pool)
            }
        }
    }
}

/// Ids one after the other, to be changed in place.
pub enum Whole {
    Memory(Vec<u32>),
    File { file: File, map: MmapMut, length: usize },
}

impl Whole {
    pub fn new(ids: Ids) -> io::Result<Whole> {
        match ids {
            Ids::Memory(ids) => Ok(Whole::Memory(ids)),
            Ids::File { length: 0, .. } => Ok(Whole::Memory(Vec::new())),
            Ids::File { file, length } => {
                // SAFETY: the file has no name, so no one else can change it.
                let map = unsafe { MmapMut::map_mut(&file)? };
                Ok(Whole::File { file, map, length })
            }
        }
    }

    pub fn ids(&mut self) -> &mut [u32] {
        match self {
            Whole::Memory(ids) => ids,
            Whole::File { map, length, .. } => {
                // SAFETY: a map begins at a page, it is that long, and every bit pattern is a u32.
                unsafe { std::slice::from_raw_parts_mut(map.as_mut_ptr().cast::<u32>(), *length) }
            }
        }
    }

    pub fn truncate(&mut self, to: usize) {
        match self {
            Whole::Memory(ids) => ids.truncate(to),
            Whole::File { length, .. } => *length = to,
        }
    }

    /// All ids through a table, and how many sentences they make.
    pub fn rewrite(mut self, pool: &rayon::ThreadPool, table: &[u32]) -> io::Result<(Ids, u64)> {
        let pieces: Vec<_> = self.ids().chunks(PIECE).map(|piece| (piece.len(), table)).collect();
        self.compact(&pieces, pool)
    }

    /// Pieces of so many ids through their tables.
    fn compact(mut self, pieces: &[(usize, &[u32])], pool: &rayon::ThreadPool) -> io::Result<(Ids, u64)> {
        let ids = self.ids();
        let (mut rest, mut parts) = (&mut *ids, Vec::with_capacity(pieces.len()));
        for &(length, table) in pieces {
            let (part, tail) = rest.split_at_mut(length);
            parts.push((part, table));
            rest = tail;
        }
        let lengths: Vec<usize> =
            pool.install(|| parts.into_par_iter().map(|(part, table)| remap(part, table)).collect());
        let (mut joined, mut from) = (Joined::default(), 0);
        for ((block, _), length) in pieces.iter().zip(lengths) {
            let to = joined.length;
            let part = joined.add(&ids[from..from + length]).len();
            ids.copy_within(from + length - part..from + length, to);
            from += block;
        }
        self.truncate(joined.length);
        let ids = match self {
            Whole::Memory(ids) => Ids::Memory(ids),
            Whole::File { file, map, length } => {
                map.flush()?;
                file.set_len(length as u64 * 4)?;
                Ids::File { file, length }
            }
        };
        Ok((ids, joined.sentences))
    }
}

/// Copies ids through a table, stretch by stretch; where it drops words, needless sentence ends go with them.
pub struct Renumber<'a> {
    table: &'a [u32],
    spill: usize,
    ids: Ids,
    joined: Joined,
}

impl<'a> Renumber<'a> {
    /// `table` has the new number of each old one, or `DROPPED`. More bytes than `spill` go to a temporary file.
    pub fn new(table: &'a [u32], spill: usize) -> Renumber<'a> {
        Renumber { table, spill, ids: Ids::Memory(Vec::new()), joined: Joined::default() }
    }

    pub fn add(&mut self, ids: &[u32], pool: &rayon::ThreadPool) -> io::Result<()> {
        let parts: Vec<Vec<u32>> = pool.install(|| {
            let renumbered = |piece: &[u32]| {
                let mut part = piece.to_vec();
                let length = remap(&mut part, self.table);
                part.truncate(length);
                part
            };
            ids.par_chunks(PIECE).map(renumbered).collect()
        });
        parts.iter().try_for_each(|part| self.ids.append(self.joined.add(part), self.spill))
    }

    /// The ids and how many sentences they make.
    pub fn finish(self) -> (Ids, u64) {
        (self.ids, self.joined.sentences)
    }
}

/// New numbers for a block's old ones, in place; what the table drops and then needless sentence ends are left out.
/// Returns how much remains, at the front.
fn remap(numbers: &mut [u32], table: &[u32]) -> usize {
    let (mut to, mut last) = (0, 0);
    for at in 0..numbers.len() {
        let id = numbers[at];
        let row = if id == SENTENCE_END { id } else { table[id as usize] };
        if row != DROPPED && !(row == SENTENCE_END && last == SENTENCE_END) {
            numbers[to] = row;
            last = row;
            to += 1;
        }
    }
    to
}

/// Joins what remains of blocks: no sentence is empty.
#[derive(Default)]
struct Joined {
    length: usize,
    sentences: u64,
    open: bool, // the last sentence has words, and no end yet
}

impl Joined {
    /// Take the next block; returns the part of it that belongs to the whole.
    fn add<'a>(&mut self, block: &'a [u32]) -> &'a [u32] {
        let needless = !self.open && block.first() == Some(&SENTENCE_END);
        let part = &block[usize::from(needless)..];
        self.length += part.len();
        self.sentences += part.iter().filter(|&&id| id == SENTENCE_END).count() as u64;
        if let Some(&last) = part.last() {
            self.open = last != SENTENCE_END;
        }
        part
    }
}

/// A file without a name: gone with the process, however that ends.
fn temporary() -> io::Result<File> {
    tempfile::tempfile()
}

fn as_bytes(ids: &[u32]) -> &[u8] {
    // SAFETY: every u32 is four bytes.
    unsafe { std::slice::from_raw_parts(ids.as_ptr().cast(), ids.len() * 4) }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::random::Rng;

    /// Ids as a test wants them.
    pub fn in_memory(ids: Ids) -> Vec<u32> {
        match ids {
            Ids::Memory(ids) => ids,
            Ids::File { length: 0, .. } => Vec::new(),
            Ids::File { file, length } => {
                // SAFETY: a test's own unnamed file.
                let map = unsafe { memmap2::Mmap::map(&file).unwrap() };
                map[..length * 4].chunks(4).map(|b| u32::from_le_bytes(b.try_into().unwrap())).collect()
            }
        }
    }

    #[test]
    fn renumbering_is_a_filter_and_leaves_no_empty_sentence() {
        let mut rng = Rng::new(3, 0);
        let table: Vec<u32> = vec![4, DROPPED, 0, DROPPED, 7];
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        for (length, stretch, spill) in [(0, 1, 0), (50, 7, usize::MAX), (300_000, 170_000, 1000), (200, 1, 100)] {
            let mut ids: Vec<u32> = (0..length)
                .map(|_| rng.below(7))
                .map(|id| if id >= 5 { SENTENCE_END } else { id })
                .chain([SENTENCE_END])
                .collect();
            let mut plain = Vec::new();
            for sentence in ids.split(|&id| id == SENTENCE_END) {
                let kept: Vec<u32> =
                    sentence.iter().map(|&id| table[id as usize]).filter(|&row| row != DROPPED).collect();
                if !kept.is_empty() {
                    plain.extend(kept);
                    plain.push(SENTENCE_END);
                }
            }
            let sentences = plain.iter().filter(|&&id| id == SENTENCE_END).count() as u64;
            let mut renumber = Renumber::new(&table, spill);
            ids.chunks_mut(stretch).for_each(|stretch| renumber.add(stretch, &pool).unwrap());
            let (found, count) = renumber.finish();
            assert_eq!((in_memory(found), count), (plain, sentences));
        }
    }
}
