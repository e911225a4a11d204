//! Vector files as text and as word2vec's binary: rows of `label number number ...`, parsed and printed in parallel.
//!
//! Callers hand over blocks of a file, so that memory stays small, gzip streams work and Ctrl-C is heard between blocks.

use rayon::prelude::*;
use std::ops::Range;

/// A malformed row: which one in its block (from 0), and what was expected and found.
#[derive(Debug, PartialEq)]
pub struct Fault {
    pub row: usize,
    pub message: String,
}

/// Where a label lies in its block.
pub type Span = Range<usize>;

const PIECE: usize = 1 << 18; // bytes a task parses: small enough to balance, large enough to forget the overhead
const SHOWN: usize = 40; // bytes of a wrong token that an error shows

fn is_gap(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

fn trim_end(line: &[u8]) -> &[u8] {
    let end = line.iter().rposition(|&b| !is_gap(b) && b != b'\r').map_or(0, |at| at + 1);
    &line[..end]
}

fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN)]);
    let dots = if bytes.len() > SHOWN { "..." } else { "" };
    format!("'{}{dots}'", text.escape_debug())
}

fn number(token: &[u8]) -> Option<f32> {
    std::str::from_utf8(token).ok()?.parse().ok()
}

/// How many of the line's last fields are numbers; the first field is always left to be the label.
pub fn trailing_numbers(line: &[u8]) -> usize {
    let fields: Vec<&[u8]> = trim_end(line).split(|&b| is_gap(b)).filter(|f| !f.is_empty()).collect();
    fields.iter().skip(1).rev().take_while(|f| number(f).is_some()).count()
}

/// Bytes up to the end of the last whole line that is not blank, and how many lines those are.
///
/// Blank lines at the end are left over: they are harmless at the end of the file and an error before it. With `last`,
/// the block ends the file: its end also ends a line.
pub fn whole_lines(block: &[u8], last: bool) -> (usize, usize) {
    let text = if last { block.len() } else { block.iter().rposition(|&b| b == b'\n').map_or(0, |at| at + 1) };
    let end = block[..text].iter().rposition(|b| !b.is_ascii_whitespace()).map_or(0, |at| at + 1);
    if end == 0 {
        return (0, 0);
    }
    let used = block[end..text].iter().position(|&b| b == b'\n').map_or(text, |at| end + at + 1);
    let breaks = block[..used].par_chunks(PIECE).map(|p| p.iter().filter(|&&b| b == b'\n').count()).sum::<usize>();
    (used, breaks + usize::from(block[used - 1] != b'\n'))
}

/// Parse whole lines of `label number{width}` into `out`, one row a line, and return where the labels lie.
///
/// The numbers are the last `width` fields, so a label may hold spaces (as some of GloVe's do), unless its own last word
/// is a number: then the line has a number too many. `strict` demands UTF-8 labels.
pub fn parse_text(block: &[u8], width: usize, strict: bool, out: &mut [f32]) -> Result<Vec<Span>, Fault> {
    let mut pieces = Vec::new();
    let (mut start, mut row, mut rest) = (0, 0, out);
    while start < block.len() {
        let soon = (start + PIECE).min(block.len());
        let end = block[soon..].iter().position(|&b| b == b'\n').map_or(block.len(), |at| soon + at + 1);
        let piece = &block[start..end];
        let rows = piece.iter().filter(|&&b| b == b'\n').count() + usize::from(piece[piece.len() - 1] != b'\n');
        let (head, tail) = rest.split_at_mut(rows * width);
        pieces.push((start, row, piece, head));
        (start, row, rest) = (end, row + rows, tail);
    }
    let parsed: Vec<Result<Vec<Span>, Fault>> = pieces
        .into_par_iter()
        .map(|(start, first, piece, out)| {
            let mut spans = Vec::with_capacity(out.len() / width);
            let mut at = start;
            for ((row, line), to) in piece.split_inclusive(|&b| b == b'\n').enumerate().zip(out.chunks_exact_mut(width))
            {
                let label = parse_line(line.strip_suffix(b"\n").unwrap_or(line), strict, to)
                    .map_err(|message| Fault { row: first + row, message })?;
                spans.push(at..at + label);
                at += line.len();
            }
            Ok(spans)
        })
        .collect();
    let mut spans = Vec::with_capacity(row);
    for piece in parsed {
        spans.extend(piece?); // the first fault of the block, whichever task met one first
    }
    Ok(spans)
}

/// Parse one line into `to`; returns the length of the label, which begins the line.
fn parse_line(line: &[u8], strict: bool, to: &mut [f32]) -> Result<usize, String> {
    let line = trim_end(line);
    match line.first() {
        None => return Err(format!("a label and {} numbers expected, found an empty line", to.len())),
        Some(&byte) if is_gap(byte) => return Err("a label expected, found a space at the start of the line".into()),
        _ => {}
    }
    let mut at = line.iter().position(|&b| is_gap(b)).unwrap_or(line.len());
    let mut label = at;
    if !fill(&line[at..], to) {
        // Off the common path: a label with spaces, or a malformed line.
        at = last_fields(line, to.len()).ok_or_else(|| too_few(line, to.len()))?;
        label = trim_end(&line[..at]).len();
        let word = line[..label].rsplit(|&b| is_gap(b)).next().unwrap_or_default();
        if let Some(wrong) = first_wrong(&line[at..]) {
            return Err(format!("a finite number expected, found {}", shown(wrong)));
        }
        if word.len() < label && number(word).is_some() {
            return Err(format!("{} numbers expected, found {}", to.len(), trailing_numbers(line)));
        }
        fill(&line[at..], to);
    }
    if strict && let Err(error) = std::str::from_utf8(&line[..label]) {
        return Err(not_utf8(&line[..label], error));
    }
    Ok(label)
}

fn too_few(line: &[u8], width: usize) -> String {
    match line.split(|&b| is_gap(b)).filter(|f| !f.is_empty()).skip(1).find(|f| number(f).is_none()) {
        // A word among too few numbers is most likely a label with a space in it.
        Some(word) => format!("{width} numbers expected, found {} (after {})", trailing_numbers(line), shown(word)),
        None => format!("{width} numbers expected, found {}", trailing_numbers(line)),
    }
}

fn not_utf8(label: &[u8], error: std::str::Utf8Error) -> String {
    let byte = label[error.valid_up_to()];
    format!(
        "a label in UTF-8 expected, found {} (byte 0x{byte:02x}); errors='replace' reads it all the same",
        shown(label)
    )
}

/// Where the last `width` fields of a line begin, if a label is left before them.
fn last_fields(line: &[u8], width: usize) -> Option<usize> {
    let mut at = line.len();
    for _ in 0..width {
        let end = line[..at].iter().rposition(|&b| !is_gap(b))? + 1;
        at = line[..end].iter().rposition(|&b| is_gap(b))? + 1;
    }
    Some(at)
}

fn first_wrong(fields: &[u8]) -> Option<&[u8]> {
    fields.split(|&b| is_gap(b)).filter(|f| !f.is_empty()).find(|f| !number(f).is_some_and(f32::is_finite))
}

/// Parse exactly as many finite numbers as `to` holds; false if the text has others, fewer or more.
fn fill(mut text: &[u8], to: &mut [f32]) -> bool {
    for slot in to {
        let start = text.iter().position(|&b| !is_gap(b)).unwrap_or(text.len());
        text = &text[start..];
        let end = text.iter().position(|&b| is_gap(b)).unwrap_or(text.len());
        match number(&text[..end]) {
            Some(value) if value.is_finite() => *slot = value,
            _ => return false,
        }
        text = &text[end..];
    }
    text.iter().all(|&b| is_gap(b))
}

/// Copy rows of word2vec's binary form, `label` space `width` little-endian float32, until the block or `out` ends.
///
/// Returns the bytes used and where the labels lie. A line break before a label (word2vec.c writes one) is skipped.
pub fn parse_binary(block: &[u8], width: usize, strict: bool, out: &mut [f32]) -> Result<(usize, Vec<Span>), Fault> {
    let (mut at, mut spans) = (0, Vec::new());
    for (row, to) in out.chunks_exact_mut(width).enumerate() {
        let start = at + block[at..].iter().take_while(|&&b| b == b'\n').count();
        let Some(length) = block[start..].iter().position(|&b| b == b' ') else { break };
        let values = start + length + 1;
        let Some(bytes) = block.get(values..values + 4 * width) else { break };
        let label = &block[start..start + length];
        let fault = |message| Err(Fault { row, message });
        if label.is_empty() {
            return fault("a label expected, found none before the numbers".into());
        }
        if strict && let Err(error) = std::str::from_utf8(label) {
            return fault(not_utf8(label, error));
        }
        for (slot, bytes) in to.iter_mut().zip(bytes.as_chunks::<4>().0) {
            *slot = f32::from_le_bytes(*bytes);
        }
        if let Some(wrong) = to.iter().find(|value| !value.is_finite()) {
            return fault(format!("finite numbers expected, found {wrong} (label {})", shown(label)));
        }
        spans.push(start..start + length);
        at = values + 4 * width;
    }
    Ok((at, spans))
}

/// Print rows as `label number ...` lines, each number in the fewest digits that read back to the same float32.
pub fn format_text<L: AsRef<str> + Sync>(labels: &[L], vectors: &[f32], width: usize) -> Vec<u8> {
    let rows = (PIECE / (12 * width)).max(1);
    let pieces: Vec<Vec<u8>> = labels
        .par_chunks(rows)
        .zip(vectors.par_chunks(rows * width))
        .map(|(labels, vectors)| {
            let mut text = Vec::with_capacity(vectors.len() * 13);
            let mut digits = ryu::Buffer::new();
            for (label, vector) in labels.iter().zip(vectors.chunks_exact(width)) {
                text.extend_from_slice(label.as_ref().as_bytes());
                for &value in vector {
                    text.push(b' ');
                    text.extend_from_slice(digits.format(value).as_bytes());
                }
                text.push(b'\n');
            }
            text
        })
        .collect();
    pieces.concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, width: usize) -> Result<(Vec<String>, Vec<f32>), Fault> {
        let (used, rows) = whole_lines(text.as_bytes(), true);
        let mut out = vec![0.0; rows * width];
        let block = &text.as_bytes()[..used];
        let spans = parse_text(block, width, true, &mut out)?;
        Ok((spans.into_iter().map(|s| String::from_utf8(block[s].to_vec()).unwrap()).collect(), out))
    }

    fn message(text: &str, width: usize) -> (usize, String) {
        let fault = parse(text, width).unwrap_err();
        (fault.row, fault.message)
    }

    #[test]
    fn labels_may_hold_spaces_and_lines_may_end_in_them() {
        let (labels, values) = parse("a 1 2 \n. . . 3 4\r\nb\t5  6", 2).unwrap();
        assert_eq!(labels, ["a", ". . .", "b"]);
        assert_eq!(values, [1., 2., 3., 4., 5., 6.]);
    }

    #[test]
    fn faults_name_the_row_and_what_was_found() {
        assert_eq!(message("a 1 2\nb 1\n", 2), (1, "2 numbers expected, found 1".into()));
        assert_eq!(message("a 1 2 3\n", 2), (0, "2 numbers expected, found 3".into()));
        assert_eq!(message("a 1 x2\n", 2), (0, "a finite number expected, found 'x2'".into()));
        assert_eq!(message("a 1 nan\n", 2), (0, "a finite number expected, found 'nan'".into()));
        assert_eq!(message("a 1 1e39\n", 2), (0, "a finite number expected, found '1e39'".into()));
        assert_eq!(message(" 1 2\n", 2).1, "a label expected, found a space at the start of the line");
        assert_eq!(message("a 1 2\n\nb 1 2\n", 2).0, 1);
    }

    #[test]
    fn the_first_of_several_faults_is_told() {
        let text = "a 1\n".repeat(3 * PIECE / 4) + "b x\n" + &"a 1\n".repeat(PIECE) + "c y\n";
        assert_eq!(message(&text, 1), (3 * PIECE / 4, "a finite number expected, found 'x'".into()));
    }

    #[test]
    fn blank_lines_are_left_over_at_the_end() {
        assert_eq!(whole_lines(b"a 1\nb 2\n\n \n", false), (8, 2));
        assert_eq!(whole_lines(b"a 1\nb 2", false), (4, 1));
        assert_eq!(whole_lines(b"a 1\nb 2", true), (7, 2));
        assert_eq!(whole_lines(b"\n\n", true), (0, 0));
    }

    #[test]
    fn printed_numbers_read_back_to_the_same_bits() {
        let values: Vec<f32> = (0..200_000u32)
            .map(|i| f32::from_bits(i.wrapping_mul(2_654_435_761)))
            .map(|v| if v.is_finite() { v } else { -0.0 })
            .collect();
        let labels: Vec<String> = (0..values.len() / 50).map(|i| format!("w{i}")).collect();
        let text = String::from_utf8(format_text(&labels, &values, 50)).unwrap();
        let (back, numbers) = parse(&text, 50).unwrap();
        assert_eq!(back, labels);
        assert!(numbers.iter().zip(&values).all(|(a, b)| a.to_bits() == b.to_bits()));
    }

    #[test]
    fn binary_rows_stop_where_the_block_does() {
        let mut block = Vec::new();
        for (label, value) in [("a", 1.0f32), ("b", 2.0)] {
            block.extend_from_slice(format!("{label} ").as_bytes());
            block.extend_from_slice(&value.to_le_bytes());
            block.push(b'\n');
        }
        let mut out = [0.0; 3];
        assert_eq!(parse_binary(&block, 1, true, &mut out), Ok((13, vec![0..1, 7..8])));
        assert_eq!(parse_binary(&block[..10], 1, true, &mut out).unwrap().0, 6);
        assert_eq!(out[..2], [1.0, 2.0]);
    }
}
