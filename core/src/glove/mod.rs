//! GloVe (Pennington, Socher and Manning 2014): how often words meet, counted; then vectors whose dot products, plus a bias
//! for each word, come near the logarithms of these counts.
//!
//! [`counts`] counts, [`nonzeros`] keeps what was counted in the order of training, [`train`] trains.

pub mod counts;
pub mod nonzeros;
pub mod train;

use std::ops::Range;

/// Words of a block at least: so many rows with their squared gradients fill half of a second-level cache at width 100.
const BLOCK: usize = 512;
/// A block further down the vocabulary holds this share of the words before it: few of its pairs fall on the same row, so
/// that a cache cannot help, and fewer blocks mean fewer visits.
const GROWTH: usize = 8;
/// Rows are numbered within their block in 16 bits, and the length of a run as well.
const LARGEST: usize = 1 << 15;

/// The vocabulary, most frequent first, cut into blocks of neighbouring words.
pub struct Blocks {
    starts: Vec<usize>, // of each block, then the size of the vocabulary
    of: Vec<u16>,
}

impl Blocks {
    pub fn new(words: usize) -> Blocks {
        let mut blocks = Blocks { starts: vec![0], of: Vec::with_capacity(words) };
        let mut start = 0;
        while start < words {
            let end = (start + (start / GROWTH).clamp(BLOCK, LARGEST)).min(words);
            blocks.of.resize(end, (blocks.starts.len() - 1) as u16);
            blocks.starts.push(end);
            start = end;
        }
        blocks
    }

    pub fn count(&self) -> usize {
        self.starts.len() - 1
    }

    pub fn words(&self) -> usize {
        self.of.len()
    }

    pub fn rows(&self, block: usize) -> Range<usize> {
        self.starts[block]..self.starts[block + 1]
    }

    /// The block of a word.
    #[inline(always)]
    pub fn of(&self, word: usize) -> usize {
        self.of[word] as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_cover_the_vocabulary_once() {
        for words in [0, 1, 511, 512, 513, 100_000, 3_000_000] {
            let blocks = Blocks::new(words);
            let mut next = 0;
            for block in 0..blocks.count() {
                let rows = blocks.rows(block);
                assert_eq!(rows.start, next);
                assert!(!rows.is_empty() && rows.len() <= LARGEST);
                assert!([rows.start, rows.end - 1].into_iter().all(|word| blocks.of(word) == block));
                next = rows.end;
            }
            assert_eq!((next, blocks.words()), (words, words));
        }
    }
}
