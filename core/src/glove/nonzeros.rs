//! Pairs of words that met, in the order of training: in memory, or beyond a limit in a file that is mapped.

use super::Blocks;
use crate::simd::LANES;
use memmap2::Mmap;
use std::fs::File;
use std::io::{self, Seek, Write};
use std::ops::Range;

/// Pairs of a row that are trained one after the other, about. With all that it has with a block of columns (hundreds, where
/// both are frequent) a row runs after this block, and what is learned depends on the order (bench/LOG.md).
const RUN: usize = 8;

/// Pairs of one row that follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Run {
    /// The row, within its block.
    pub row: u16,
    pub length: u16,
}

/// Pairs of a few rows of a block with one block of columns, for one visit: about [`RUN`] of each row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    /// The block of the columns.
    pub columns: u32,
    pub runs: Range<usize>,
    pub pairs: Range<usize>,
}

/// The pairs of a few rows of one block, cell by cell: `logs` and `columns` hold one number a pair, and `logs` LANES more,
/// so that it can be read a vector at a time.
#[derive(Default)]
pub struct Strip {
    pub block: usize,
    pub cells: Vec<Cell>,
    runs: Store<Run>,
    columns: Store<u16>,
    logs: Store<f32>,
}

impl Strip {
    /// Lay out rows. `ends`: for each of them, where its pairs end in `columns` (ascending, no greater than the row) and
    /// `logs`; `first` is the first row.
    ///
    /// Where rows have more than RUN pairs with a block of columns, these are dealt out to several cells.
    pub fn new(blocks: &Blocks, first: usize, ends: &[usize], columns: &[u32], logs: &[f32]) -> Strip {
        let block = blocks.of(first);
        let before = blocks.rows(block).start;
        // Each row's pairs are cut where a block ends.
        let mut cuts = vec![Vec::new(); block + 1];
        let mut at = 0;
        for (row, &end) in (first - before..).zip(ends) {
            while at < end {
                let cut = blocks.of(columns[at] as usize);
                let limit = blocks.rows(cut).end as u32;
                let length = columns[at..end].partition_point(|&column| column < limit);
                cuts[cut].push((row, at..at + length));
                at += length;
            }
        }
        let (mut runs, mut places, mut kept) = (Vec::new(), Vec::new(), Vec::with_capacity(at + LANES));
        let mut cells = Vec::new();
        for (number, cuts) in cuts.iter().enumerate().filter(|(_, cuts)| !cuts.is_empty()) {
            let start = blocks.rows(number).start as u32;
            let pairs: usize = cuts.iter().map(|(_, pairs)| pairs.len()).sum();
            let visits = pairs.div_ceil(RUN * cuts.len());
            for visit in 0..visits {
                let (run, pair) = (runs.len(), places.len());
                for (row, pairs) in cuts {
                    let dealt = places.len();
                    for at in pairs.clone().skip((visit + row) % visits).step_by(visits) {
                        places.push((columns[at] - start) as u16);
                        kept.push(logs[at]);
                    }
                    if places.len() > dealt {
                        runs.push(Run { row: *row as u16, length: (places.len() - dealt) as u16 });
                    }
                }
                if places.len() > pair {
                    cells.push(Cell { columns: number as u32, runs: run..runs.len(), pairs: pair..places.len() });
                }
            }
        }
        kept.resize(at + LANES, 0.0);
        Strip { block, cells, runs: Store::Memory(runs), columns: Store::Memory(places), logs: Store::Memory(kept) }
    }

    fn bytes(&self) -> usize {
        self.runs.bytes() + self.columns.bytes() + self.logs.bytes()
    }
}

/// Plain numbers in memory, or at an offset of the file.
enum Store<T> {
    Memory(Vec<T>),
    File { offset: usize, length: usize },
}

impl<T> Default for Store<T> {
    fn default() -> Self {
        Store::Memory(Vec::new())
    }
}

impl<T: Plain> Store<T> {
    fn bytes(&self) -> usize {
        match self {
            Store::Memory(items) => size_of_val(&items[..]),
            Store::File { .. } => 0,
        }
    }

    fn slice<'a>(&'a self, map: Option<&'a Mmap>) -> &'a [T] {
        match self {
            Store::Memory(items) => items,
            &Store::File { offset, length } => view(map.expect("mapped before anything is read"), offset, length),
        }
    }

    fn move_to(&mut self, file: &mut Appended) -> io::Result<()> {
        if let Store::Memory(items) = self {
            *self = Store::File { offset: file.append(items)?, length: items.len() };
        }
        Ok(())
    }
}

/// A temporary file without a name that grows at its end.
pub struct Appended {
    file: File,
    length: usize,
}

impl Appended {
    pub fn new() -> io::Result<Appended> {
        Ok(Appended { file: tempfile::tempfile()?, length: 0 })
    }

    /// Append plain numbers, aligned to 8 bytes; returns where.
    pub fn append<T: Plain>(&mut self, items: &[T]) -> io::Result<usize> {
        let offset = self.length.next_multiple_of(8);
        self.file.seek(io::SeekFrom::Start(offset as u64))?;
        // SAFETY: plain values have no bytes that are not set.
        self.file.write_all(unsafe { std::slice::from_raw_parts(items.as_ptr().cast(), size_of_val(items)) })?;
        self.length = offset + size_of_val(items);
        Ok(offset)
    }

    pub fn map(&self) -> io::Result<Mmap> {
        // SAFETY: the file has no name, so that nothing else writes it or cuts it short.
        unsafe { Mmap::map(&self.file) }
    }
}

/// Numbers that `Appended::append` wrote.
pub fn view<T: Plain>(map: &Mmap, offset: usize, length: usize) -> &[T] {
    assert!(offset.is_multiple_of(align_of::<T>()) && offset + length * size_of::<T>() <= map.len());
    // SAFETY: in bounds and aligned, every bit pattern is a T, and the file has no name, so that nothing else changes it.
    unsafe { std::slice::from_raw_parts(map.as_ptr().add(offset).cast(), length) }
}

/// Numbers, or structs of numbers without padding.
///
/// # Safety
/// Any bytes must be a value, and all bytes of a value must be set.
pub unsafe trait Plain: Copy {}
unsafe impl Plain for u16 {}
unsafe impl Plain for u32 {}
unsafe impl Plain for u64 {}
unsafe impl Plain for f32 {}
unsafe impl Plain for Run {}

/// Gathers strips, the first of them in memory and those beyond a limit in a file.
pub struct Gatherer {
    strips: Vec<(usize, Strip)>,
    room: usize,
    file: Option<Appended>,
}

impl Gatherer {
    /// Keep about so many bytes in memory.
    pub fn new(room: usize) -> Gatherer {
        Gatherer { strips: Vec::new(), room, file: None }
    }

    /// Add the strip that begins with row `first`; they may come in any order.
    pub fn push(&mut self, first: usize, mut strip: Strip) -> io::Result<()> {
        if let Some(room) = self.room.checked_sub(strip.bytes()) {
            self.room = room;
        } else {
            let file = match &mut self.file {
                Some(file) => file,
                none => none.insert(Appended::new()?),
            };
            strip.runs.move_to(file)?;
            strip.columns.move_to(file)?;
            strip.logs.move_to(file)?;
        }
        self.strips.push((first, strip));
        Ok(())
    }

    pub fn finish(mut self, blocks: Blocks) -> io::Result<Nonzeros> {
        self.strips.sort_by_key(|&(first, _)| first);
        let strips: Vec<Strip> = self.strips.into_iter().map(|(_, strip)| strip).collect();
        let map = self.file.as_ref().map(Appended::map).transpose()?;
        Ok(Nonzeros { blocks, strips, map })
    }
}

/// All pairs of words that met, each once, with the logarithm of how often (weighted by distance): those of a word with
/// more frequent ones, and with itself.
pub struct Nonzeros {
    pub blocks: Blocks,
    /// In order of their rows.
    pub strips: Vec<Strip>,
    map: Option<Mmap>,
}

impl Nonzeros {
    pub fn pairs(&self) -> usize {
        self.strips.iter().flat_map(|strip| &strip.cells).map(|cell| cell.pairs.len()).sum()
    }

    /// Runs, columns and logarithms of a cell; LANES more numbers follow the logarithms.
    pub fn cell(&self, strip: usize, cell: usize) -> (&[Run], &[u16], &[f32]) {
        let (strip, map) = (&self.strips[strip], self.map.as_ref());
        let Cell { runs, pairs, .. } = strip.cells[cell].clone();
        let logs = pairs.start..pairs.end + LANES;
        (&strip.runs.slice(map)[runs], &strip.columns.slice(map)[pairs], &strip.logs.slice(map)[logs])
    }

    /// Every pair: row, column no greater than it, logarithm.
    pub fn iter(&self) -> impl Iterator<Item = (usize, usize, f32)> + '_ {
        self.strips.iter().enumerate().flat_map(move |(s, strip)| {
            strip.cells.iter().enumerate().flat_map(move |(c, cell)| {
                let (row, column) =
                    (self.blocks.rows(strip.block).start, self.blocks.rows(cell.columns as usize).start);
                let (runs, columns, logs) = self.cell(s, c);
                let rows = runs.iter().flat_map(|run| std::iter::repeat_n(run.row as usize, run.length as usize));
                rows.zip(columns.iter().zip(logs)).map(move |(r, (&c, &log))| (row + r, column + c as usize, log))
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_laid_out_comes_back_from_memory_and_file() {
        let words = 2000;
        // Row r meets every third word, beginning with r % 3.
        let pairs = |row: usize| (0..=row as u32).filter(move |column| *column as usize % 3 == row % 3);
        let mut layouts = Vec::new();
        for room in [usize::MAX, 100_000, 0] {
            let blocks = Blocks::new(words);
            let mut gatherer = Gatherer::new(room);
            let starts: Vec<usize> =
                (0..blocks.count()).flat_map(|b| blocks.rows(b).step_by(200)).chain([words]).collect();
            for rows in starts.windows(2).rev() {
                let (mut ends, mut columns) = (Vec::new(), Vec::new());
                for row in rows[0]..rows[1].min(blocks.rows(blocks.of(rows[0])).end) {
                    columns.extend(pairs(row));
                    ends.push(columns.len());
                }
                let logs: Vec<f32> = columns.iter().map(|&column| column as f32).collect();
                gatherer.push(rows[0], Strip::new(&blocks, rows[0], &ends, &columns, &logs)).unwrap();
            }
            let nonzeros = gatherer.finish(blocks).unwrap();
            assert_eq!(nonzeros.map.is_some(), room < usize::MAX);
            // Rows alike in length are dealt out evenly; in a block by itself, a triangle, they reach twice the mean.
            let cells = |strip: usize| (0..nonzeros.strips[strip].cells.len()).map(move |cell| (strip, cell));
            let longest = (0..nonzeros.strips.len())
                .flat_map(cells)
                .flat_map(|(strip, cell)| nonzeros.cell(strip, cell).0)
                .map(|run| run.length as usize)
                .max();
            assert!(longest.unwrap() <= 2 * RUN);
            let mut found: Vec<(usize, usize, f32)> = nonzeros.iter().collect();
            assert_eq!(found.len(), nonzeros.pairs());
            found.sort_by_key(|&(row, column, _)| (row, column));
            layouts.push(found);
        }
        let plain: Vec<(usize, usize, f32)> =
            (0..words).flat_map(|row| pairs(row).map(move |column| (row, column as usize, column as f32))).collect();
        assert!(layouts.iter().all(|layout| *layout == plain));
    }
}
