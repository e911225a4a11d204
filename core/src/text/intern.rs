//! Numbers for words: an open-addressed table that keeps words of up to sixteen bytes in its own cells.

use std::hash::Hasher;

/// Gives each distinct token the next number, and counts it.
pub struct Interner {
    cells: Vec<Cell>, // a power of two; at most half full
    counts: Vec<u64>,
    spans: Vec<(usize, u32)>, // of each token, in `bytes`
    bytes: Vec<u8>,
    lower: Vec<u8>, // for long tokens
}

#[derive(Clone, Copy)]
struct Cell {
    /// The token, zeros behind it, if it has at most sixteen bytes; else its hash twice.
    key: [u64; 2],
    length: u32,
    id: u32,
}

const FREE: u32 = u32::MAX;

impl Default for Interner {
    fn default() -> Interner {
        let cells = vec![Cell { key: [0, 0], length: 0, id: FREE }; 1 << 12];
        Interner { cells, counts: Vec::new(), spans: Vec::new(), bytes: Vec::new(), lower: Vec::new() }
    }
}

impl Interner {
    /// How many distinct tokens it has seen.
    pub fn size(&self) -> usize {
        self.counts.len()
    }

    pub fn token(&self, id: usize) -> &[u8] {
        let (start, length) = self.spans[id];
        &self.bytes[start..start + length as usize]
    }

    pub fn count(&self, id: usize) -> u64 {
        self.counts[id]
    }

    /// The number of a token, ASCII letters lower-cased if `lower`; counts it once more.
    #[inline(always)]
    pub fn number(&mut self, token: &[u8], lower: bool) -> u32 {
        if token.len() > 16 {
            return self.long(token, lower);
        }
        let mut key = sixteen(token);
        if lower {
            key = [lowered(key[0]), lowered(key[1])];
        }
        let mut at = self.home(key);
        loop {
            let cell = self.cells[at];
            if cell.key == key && cell.length == token.len() as u32 && cell.id != FREE {
                self.counts[cell.id as usize] += 1;
                return cell.id;
            }
            if cell.id == FREE {
                let mut bytes = [0; 16];
                bytes[..8].copy_from_slice(&key[0].to_le_bytes());
                bytes[8..].copy_from_slice(&key[1].to_le_bytes());
                return self.insert(at, key, &bytes[..token.len()]);
            }
            at = (at + 1) & (self.cells.len() - 1);
        }
    }

    /// The number of a token that was seen `count` times elsewhere, perhaps never.
    pub fn add(&mut self, token: &[u8], count: u64) -> u32 {
        let id = self.number(token, false);
        self.more(id, count.wrapping_sub(1)); // `number` counted it once
        id
    }

    /// Count a token so many times more; or fewer, as wrapping addition has it.
    pub fn more(&mut self, id: u32, count: u64) {
        self.counts[id as usize] = self.counts[id as usize].wrapping_add(count);
    }

    #[cold]
    fn long(&mut self, token: &[u8], lower: bool) -> u32 {
        let mut scratch = std::mem::take(&mut self.lower);
        scratch.clear();
        scratch.extend_from_slice(token);
        if lower {
            scratch.make_ascii_lowercase();
        }
        let mut hasher = rustc_hash::FxHasher::default();
        hasher.write(&scratch);
        let key = [hasher.finish(); 2];
        let mut at = self.home(key);
        let id = loop {
            let cell = self.cells[at];
            if cell.id == FREE {
                break self.insert(at, key, &scratch);
            }
            let same = cell.key == key && cell.length as usize == scratch.len();
            if same && self.token(cell.id as usize) == scratch {
                self.counts[cell.id as usize] += 1;
                break cell.id;
            }
            at = (at + 1) & (self.cells.len() - 1);
        };
        self.lower = scratch;
        id
    }

    #[inline(always)]
    fn home(&self, key: [u64; 2]) -> usize {
        // Folded multiplication, as in wyhash: the bits of both halves reach the low ones.
        let product = u128::from(key[0] ^ 0x2D35_8DCC_AA6C_78A5) * u128::from(key[1] ^ 0x8BB8_4B93_962E_ACC9);
        ((product >> 64) as u64 ^ product as u64) as usize & (self.cells.len() - 1)
    }

    #[cold]
    fn insert(&mut self, at: usize, key: [u64; 2], token: &[u8]) -> u32 {
        let id =
            u32::try_from(self.counts.len()).ok().filter(|&id| id < FREE).expect("fewer than 2^32 - 1 distinct words");
        self.cells[at] = Cell { key, length: token.len() as u32, id };
        self.counts.push(1);
        self.spans.push((self.bytes.len(), token.len() as u32));
        self.bytes.extend_from_slice(token);
        if self.counts.len() * 2 > self.cells.len() {
            self.grow();
        }
        id
    }

    fn grow(&mut self) {
        let free = Cell { key: [0, 0], length: 0, id: FREE };
        let old = std::mem::take(&mut self.cells);
        self.cells = vec![free; old.len() * 2];
        for cell in old.into_iter().filter(|cell| cell.id != FREE) {
            let mut at = self.home(cell.key);
            while self.cells[at].id != FREE {
                at = (at + 1) & (self.cells.len() - 1);
            }
            self.cells[at] = cell;
        }
    }
}

/// Up to sixteen bytes as two numbers, zeros behind them.
#[inline(always)]
fn sixteen(token: &[u8]) -> [u64; 2] {
    let n = token.len();
    let eight = |at: usize| u64::from_le_bytes(token[at..at + 8].try_into().unwrap());
    let four = |at: usize| u64::from(u32::from_le_bytes(token[at..at + 4].try_into().unwrap()));
    match n {
        // Two reads that may overlap; the overlap is shifted out of the second.
        16 => [eight(0), eight(8)],
        9..16 => [eight(0), eight(n - 8) >> (8 * (16 - n))],
        8 => [eight(0), 0],
        4..8 => [four(0) | four(n - 4) >> (8 * (8 - n)) << 32, 0],
        _ => [token.iter().rev().fold(0, |number, &b| number << 8 | u64::from(b)), 0],
    }
}

/// Eight bytes with A-Z made a-z.
#[inline(always)]
fn lowered(x: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let seven = x & (0x7F * ONES);
    let from_a = seven + (0x80 - u64::from(b'A')) * ONES; // bit 7 set where the byte is at least A
    let past_z = seven + (0x7F - u64::from(b'Z')) * ONES; // and where it is beyond Z
    let upper = (from_a ^ past_z) & !x & (0x80 * ONES);
    x | upper >> 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Rng;
    use std::collections::HashMap;

    #[test]
    fn it_is_a_hash_map() {
        let (mut interner, mut plain, mut rng) =
            (Interner::default(), HashMap::<Vec<u8>, (u32, u64)>::new(), Rng::new(1, 2));
        for _ in 0..200_000 {
            let longest = if rng.below(10) == 0 { 40 } else { 18 };
            let length = 1 + rng.below(longest);
            let letters = 2 + rng.below(3);
            let token: Vec<u8> = (0..length).map(|_| b"aZ\0b-"[rng.below(letters) as usize]).collect();
            let lower = rng.below(2) == 0;
            let kept = if lower { token.to_ascii_lowercase() } else { token.clone() };
            let next = plain.len() as u32;
            let entry = plain.entry(kept).or_insert((next, 0));
            entry.1 += 1;
            assert_eq!(interner.number(&token, lower), entry.0);
        }
        assert_eq!(interner.size(), plain.len());
        for (token, (id, count)) in plain {
            assert_eq!(interner.token(id as usize), token);
            assert_eq!(interner.count(id as usize), count);
        }
    }

    #[test]
    fn lowering_touches_capitals_alone() {
        for b in 0..=255u8 {
            assert_eq!(lowered(u64::from_le_bytes([b; 8])), u64::from_le_bytes([b.to_ascii_lowercase(); 8]));
        }
    }
}
