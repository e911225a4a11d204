//! Reading text in one pass: every token gets a provisional number at once, and its row of the vocabulary at the end,
//! when the counts are known (vocabulary.rs).

use super::intern::Interner;
use super::lists::Kind;
use super::store::{SENTENCE_END, Store};
use super::tokens::{NotUtf8, Rules, Sink, last_cut, tokenise};
use memmap2::Mmap;
use rayon::prelude::*;
use std::fs::File;
use std::io;
use std::sync::Mutex;
use xxhash_rust::xxh3::Xxh3;

#[derive(Clone, Copy)]
pub struct Settings {
    pub rules: Rules,
    pub threads: usize,
    /// Text is cut into blocks of about so many bytes, the unit of parallel work.
    pub block: usize,
    /// Ids of more bytes than this go to a temporary file.
    pub spill: usize,
}

/// What reading a source may meet.
#[derive(Debug)]
pub enum Error {
    NotUtf8(NotUtf8),
    Io(io::Error),
    /// Two items of different kinds have this label.
    SameLabel(String, Kind, Kind),
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Error {
        Error::Io(error)
    }
}

/// Reads sources one after the other: text, or the items of lists (lists.rs).
pub struct Reader {
    pub(super) settings: Settings,
    pub(super) pool: rayon::ThreadPool,
    /// One for each thread; a block is numbered by the one that its thread holds.
    pub(super) interners: Vec<Mutex<Interner>>,
    pub(super) store: Store,
    pub(super) tokens: u64,
    pub(super) digest: Xxh3,
    /// Whether tokens are those of lists.rs, with the marks of their kinds.
    pub(super) marked: bool,
    // The source being read:
    file: Option<(Mmap, usize)>,
    offset: u64,
    mid_line: bool,
    carry: Vec<u8>,
}

impl Reader {
    pub fn new(settings: Settings) -> Result<Reader, String> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(settings.threads).build().map_err(|e| e.to_string())?;
        Ok(Reader {
            settings,
            pool,
            interners: (0..settings.threads).map(|_| Mutex::default()).collect(),
            store: Store::new(settings.spill),
            tokens: 0,
            digest: Xxh3::new(),
            marked: false,
            file: None,
            offset: 0,
            mid_line: false,
            carry: Vec::new(),
        })
    }

    /// Begin to read a file by memory map; returns its size.
    pub fn open(&mut self, path: &std::path::Path) -> Result<u64, Error> {
        let file = File::open(path)?;
        let size = file.metadata()?.len();
        if size > 0 {
            // SAFETY: as with every memory map, the file must not be cut short by others while it is read.
            let map = unsafe { Mmap::map(&file)? };
            #[cfg(unix)]
            let _ = map.advise(memmap2::Advice::Sequential); // a wish
            let bom = if map.starts_with(BOM) { BOM.len() } else { 0 };
            self.file = Some((map, bom));
        }
        Ok(size)
    }

    /// Read up to about `bytes` more of the open file. Returns where reading stands; None when it is done.
    pub fn read(&mut self, bytes: usize) -> Result<Option<u64>, Error> {
        let Some((map, at)) = self.file.take() else { return Ok(None) };
        let rest = &map[at..];
        let end = if rest.len() <= bytes {
            rest.len()
        } else {
            // A line of any length is fine, but white space there must be: look further until there is.
            let mut look = bytes;
            loop {
                match last_cut(&rest[..look.min(rest.len())]) {
                    Some(cut) => break cut,
                    None if look >= rest.len() => break rest.len(),
                    None => look *= 2,
                }
            }
        };
        self.offset = at as u64;
        self.process(&rest[..end])?;
        let at = at + end;
        if at == map.len() {
            self.end_source()?;
            return Ok(None);
        }
        self.file = Some((map, at));
        Ok(Some(at as u64))
    }

    /// Take the next piece of a stream.
    pub fn feed(&mut self, piece: &[u8]) -> Result<(), Error> {
        let mut text = std::mem::take(&mut self.carry);
        text.extend_from_slice(piece);
        if self.offset == 0 && text.starts_with(BOM) {
            text.drain(..BOM.len());
            self.offset = BOM.len() as u64;
        }
        let cut = last_cut(&text).unwrap_or(0);
        self.process(&text[..cut])?;
        self.offset += cut as u64;
        text.drain(..cut);
        self.carry = text;
        Ok(())
    }

    /// The source is at its end; so is its last sentence.
    pub fn end_source(&mut self) -> Result<(), Error> {
        let rest = std::mem::take(&mut self.carry);
        self.process(&rest)?;
        self.store.push(vec![SENTENCE_END], 0)?;
        (self.offset, self.mid_line, self.file) = (0, false, None);
        Ok(())
    }

    /// Tokens so far.
    pub fn tokens(&self) -> u64 {
        self.tokens
    }

    /// Tokenise and number a stretch that begins and ends where a cut is safe.
    fn process(&mut self, text: &[u8]) -> Result<(), Error> {
        self.digest.update(text);
        let (rules, block) = (self.settings.rules, self.settings.block);
        let mut pieces: Vec<(usize, usize, bool)> = Vec::new(); // start, end, mid_line
        let mut start = 0;
        while start < text.len() {
            let limit = (start + block).min(text.len());
            let end = if limit == text.len() {
                limit
            } else {
                last_cut(&text[start..limit]).map_or_else(|| next_cut(text, limit), |cut| start + cut)
            };
            let mid_line = if start == 0 { self.mid_line } else { text[start - 1] != b'\n' };
            pieces.push((start, end, mid_line));
            start = end;
        }
        let interners = &self.interners;
        let numbered: Vec<Result<_, NotUtf8>> = self.pool.install(|| {
            pieces
                .par_iter()
                .map(|&(start, end, mid_line)| {
                    let thread = rayon::current_thread_index().unwrap_or(0);
                    // Never contended: a thread locks its own.
                    let mut interner = interners[thread].lock().expect("no thread panicked while it held the lock");
                    let ids = Vec::with_capacity((end - start) / 5 + 8);
                    let mut numbering = Numbering { interner: &mut interner, ids, ends: 0 };
                    tokenise(&text[start..end], rules, mid_line, &mut numbering)
                        .map_err(|error| NotUtf8 { offset: error.offset + start as u64, ..error })?;
                    Ok((thread, numbering.ids, numbering.ends))
                })
                .collect()
        });
        for result in numbered {
            let (interner, ids, ends) =
                result.map_err(|e| Error::NotUtf8(NotUtf8 { offset: e.offset + self.offset, ..e }))?;
            self.tokens += (ids.len() - ends) as u64;
            self.store.push(ids, interner)?;
        }
        if let Some(&last) = text.last() {
            self.mid_line = last != b'\n';
        }
        Ok(())
    }
}

const BOM: &[u8] = b"\xEF\xBB\xBF";

/// The first safe cut at or after `from`, behind a run of something that is not white space.
fn next_cut(text: &[u8], from: usize) -> usize {
    let space = |at: usize| matches!(text[at], b' ' | 9..=13);
    (from.max(1)..text.len()).find(|&at| space(at) && !space(at - 1)).map_or(text.len(), |at| at + 1)
}

/// Turns tokens into provisional numbers.
struct Numbering<'a> {
    interner: &'a mut Interner,
    ids: Vec<u32>,
    ends: usize, // of sentences, among the ids
}

impl Sink for Numbering<'_> {
    #[inline(always)]
    fn ascii(&mut self, token: &[u8], lower: bool) {
        self.ids.push(self.interner.number(token, lower));
    }
    fn other(&mut self, token: &str) {
        self.ids.push(self.interner.number(token.as_bytes(), false));
    }
    #[inline(always)]
    fn sentence_end(&mut self) {
        if self.ids.last() != Some(&SENTENCE_END) {
            self.ids.push(SENTENCE_END);
            self.ends += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::store::tests::in_memory;
    use super::super::tokens::{Sentences, Tokens};
    use super::*;
    use crate::random::Rng;
    use std::collections::HashMap;

    fn settings(tokens: Tokens, sentences: Sentences) -> Settings {
        let rules = Rules { tokens, sentences, replace: false };
        Settings { rules, threads: 1, block: 1 << 20, spill: usize::MAX }
    }

    type Plain = (Vec<String>, Vec<u64>, Vec<u32>, u64);

    fn read(text: &[u8], settings: Settings, piece: usize, min_count: u64) -> Plain {
        let mut reader = Reader::new(settings).unwrap();
        for piece in text.chunks(piece) {
            reader.feed(piece).unwrap();
        }
        reader.end_source().unwrap();
        let corpus = reader.settle().unwrap().finish(min_count, usize::MAX, &[""; 0]).unwrap();
        (corpus.labels, corpus.counts, in_memory(corpus.ids), corpus.sentences)
    }

    fn random_text(words: u32) -> Vec<u8> {
        let (mut rng, mut text) = (Rng::new(9, 1), String::new());
        for _ in 0..words {
            let word = rng.below(20).min(rng.below(20));
            text += ["the", "Café", "x", "don't"][rng.below(4) as usize];
            text += &word.to_string();
            text += ["\n", " ", "  ", "\r\n", " \n\n", " ", "\t", " "][rng.below(8) as usize];
        }
        text.into_bytes()
    }

    /// The specification, in a few lines.
    fn plain(text: &str, min_count: u64) -> Plain {
        let lines: Vec<Vec<String>> =
            text.split('\n').map(|line| line.split_whitespace().map(str::to_lowercase).collect()).collect();
        let mut counts = HashMap::<&String, u64>::new();
        lines.iter().flatten().for_each(|word| *counts.entry(word).or_default() += 1);
        let mut words: Vec<_> = counts.into_iter().filter(|&(_, count)| count >= min_count).collect();
        words.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        let row = |word: &String| words.iter().position(|(w, _)| *w == word).map(|row| row as u32);
        let mut ids = Vec::new();
        for line in &lines {
            let kept: Vec<u32> = line.iter().filter_map(row).collect();
            if !kept.is_empty() {
                ids.extend(kept);
                ids.push(SENTENCE_END);
            }
        }
        let ends = ids.iter().filter(|&&id| id == SENTENCE_END).count() as u64;
        (words.iter().map(|(w, _)| w.to_string()).collect(), words.iter().map(|w| w.1).collect(), ids, ends)
    }

    #[test]
    fn it_does_what_the_plain_version_does() {
        let text = random_text(3000);
        for min_count in [1, 40, 1_000_000] {
            let read = read(&text, settings(Tokens::Words, Sentences::Line), text.len(), min_count);
            assert_eq!(read, plain(std::str::from_utf8(&text).unwrap(), min_count));
        }
    }

    #[test]
    fn threads_blocks_pieces_and_spilling_change_nothing() {
        let text = random_text(2000);
        for sentences in [Sentences::Line, Sentences::Paragraph] {
            for tokens in [Tokens::Words, Tokens::Whitespace] {
                let whole = read(&text, settings(tokens, sentences), text.len(), 3);
                for (threads, block, piece, spill) in [(1, 1, 7, 0), (3, 64, 1000, usize::MAX), (2, 17, 1, 4000)] {
                    let cut = Settings { threads, block, spill, ..settings(tokens, sentences) };
                    assert_eq!(read(&text, cut, piece, 3), whole, "{threads} {block} {piece} {spill}");
                }
            }
        }
    }

    #[test]
    fn an_offset_counts_from_the_start_of_the_source() {
        let mut text = random_text(500);
        let at = text.len();
        text.extend_from_slice(b"caf\xff x");
        for piece in [3, 100, 100_000] {
            let mut reader = Reader::new(Settings { block: 50, ..settings(Tokens::Words, Sentences::Line) }).unwrap();
            let mut result = text.chunks(piece).try_for_each(|piece| reader.feed(piece));
            if result.is_ok() {
                result = reader.end_source();
            }
            assert!(matches!(result, Err(Error::NotUtf8(NotUtf8 { offset, byte: 0xff })) if offset == at as u64 + 3));
        }
    }
}
