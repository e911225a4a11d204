//! Cutting text into words: bytes in, tokens out.
//!
//! Words follow Unicode's default word boundaries (UAX 29). ASCII, the bulk of most text, goes through a table; from the
//! first word that other characters could touch up to the next space, the unicode-segmentation crate decides.

use std::borrow::Cow;
use unicode_segmentation::UnicodeSegmentation;

/// What a token is, and what happens to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tokens {
    /// Unicode words, lower-cased.
    Words,
    /// Whatever stands between white space, as it is.
    Whitespace,
}

/// Where a sentence ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sentences {
    Line,
    /// At a blank line.
    Paragraph,
}

#[derive(Clone, Copy, Debug)]
pub struct Rules {
    pub tokens: Tokens,
    pub sentences: Sentences,
    /// Replace bytes that are not UTF-8 by U+FFFD; otherwise they are an error.
    pub replace: bool,
}

/// Receives what `tokenise` finds.
pub trait Sink {
    /// An ASCII token: to be lower-cased here if `lower`.
    fn ascii(&mut self, token: &[u8], lower: bool);
    /// Any other token, as it is to be kept.
    fn other(&mut self, token: &str);
    fn sentence_end(&mut self);
}

/// Bytes that are not UTF-8.
#[derive(Debug, PartialEq, Eq)]
pub struct NotUtf8 {
    pub offset: u64,
    pub byte: u8,
}

const LETTER: u8 = 1;
const DIGIT: u8 = 2;
const JOINER: u8 = 4; // the underscore: ExtendNumLet
const MID_LETTER: u8 = 8; // joins two letters
const MID_NUMBER: u8 = 16; // joins two digits
const SPACE: u8 = 32;
const OTHER: u8 = 64; // not ASCII
const WORD: u8 = LETTER | DIGIT | JOINER;

const CLASS: [u8; 256] = {
    let mut class = [0u8; 256];
    let mut b = 0;
    while b < 256 {
        class[b] = match b as u8 {
            b'A'..=b'Z' | b'a'..=b'z' => LETTER,
            b'0'..=b'9' => DIGIT,
            b'_' => JOINER,
            b':' => MID_LETTER,
            b'.' | b'\'' => MID_LETTER | MID_NUMBER,
            b',' | b';' => MID_NUMBER,
            b' ' | 9..=13 => SPACE,
            128.. => OTHER,
            _ => 0,
        };
        b += 1;
    }
    class
};

/// Cut `text` into tokens and sentences. It must begin and end where a cut is safe: at its source's ends or after white
/// space. `mid_line`: whether something other than white space stands before it on its first line.
pub fn tokenise(text: &[u8], rules: Rules, mid_line: bool, sink: &mut impl Sink) -> Result<(), NotUtf8> {
    let mut blank = !mid_line; // the line so far, for paragraphs
    let mut at = 0;
    while at < text.len() {
        let class = CLASS[text[at] as usize];
        if class == SPACE {
            if text[at] == b'\n' {
                if rules.sentences == Sentences::Line || blank {
                    sink.sentence_end();
                }
                blank = true;
            }
            at += 1;
            continue;
        }
        blank = false;
        at = match rules.tokens {
            Tokens::Whitespace => run(text, at, rules, sink)?,
            Tokens::Words if class & WORD != 0 => word(text, at, rules, sink)?,
            Tokens::Words if class == OTHER => stretch(text, at, rules, sink)?,
            Tokens::Words => at + 1,
        };
    }
    Ok(())
}

/// One word that begins at `start` with an ASCII letter, digit or underscore. Returns where to go on.
#[inline(always)]
fn word(text: &[u8], start: usize, rules: Rules, sink: &mut impl Sink) -> Result<usize, NotUtf8> {
    let class = |at: usize| text.get(at).map_or(SPACE, |&b| CLASS[b as usize]);
    let mut at = start + 1;
    let mut plain = class(start) & (LETTER | DIGIT); // nothing but underscores is no word
    loop {
        let here = class(at);
        if here & WORD != 0 {
            plain |= here;
            at += 1;
        } else if here & (MID_LETTER | MID_NUMBER) != 0 {
            let (before, after) = (class(at - 1), class(at + 1));
            let joined = (here & MID_LETTER != 0 && before & after & LETTER != 0)
                || (here & MID_NUMBER != 0 && before & after & DIGIT != 0);
            if joined {
                at += 2;
            } else if after == OTHER {
                return stretch(text, start, rules, sink);
            } else {
                break;
            }
        } else if here == OTHER {
            return stretch(text, start, rules, sink);
        } else {
            break;
        }
    }
    if plain & (LETTER | DIGIT) != 0 {
        sink.ascii(&text[start..at], true);
    }
    Ok(at)
}

/// From `start` to the next white space, by the crate.
#[cold]
fn stretch(text: &[u8], start: usize, rules: Rules, sink: &mut impl Sink) -> Result<usize, NotUtf8> {
    let end = next_space(text, start);
    for word in decode(&text[start..end], start, rules)?.unicode_words() {
        sink.other(&word.to_lowercase());
    }
    Ok(end)
}

/// One token of white-space mode.
#[inline(always)]
fn run(text: &[u8], start: usize, rules: Rules, sink: &mut impl Sink) -> Result<usize, NotUtf8> {
    let end = next_space(text, start);
    let token = &text[start..end];
    if token.is_ascii() {
        sink.ascii(token, false);
    } else {
        for token in decode(token, start, rules)?.split_whitespace() {
            sink.other(token);
        }
    }
    Ok(end)
}

#[inline(always)]
fn next_space(text: &[u8], start: usize) -> usize {
    text[start..].iter().position(|&b| CLASS[b as usize] == SPACE).map_or(text.len(), |length| start + length)
}

fn decode(bytes: &[u8], offset: usize, rules: Rules) -> Result<Cow<'_, str>, NotUtf8> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(Cow::Borrowed(text)),
        Err(_) if rules.replace => Ok(String::from_utf8_lossy(bytes)),
        Err(error) => {
            let at = error.valid_up_to();
            Err(NotUtf8 { offset: (offset + at) as u64, byte: bytes[at] })
        }
    }
}

/// The last place at or before `text.len()` where `text` may be cut in two without changing what `tokenise` finds: after
/// a newline, else after white space that follows something else. None if there is none.
pub fn last_cut(text: &[u8]) -> Option<usize> {
    let newline = text.iter().rposition(|&b| b == b'\n').map(|at| at + 1);
    newline.or_else(|| {
        (1..text.len())
            .rev()
            .find(|&at| CLASS[text[at] as usize] == SPACE && CLASS[text[at - 1] as usize] != SPACE)
            .map(|at| at + 1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Rng;

    #[derive(Default, Debug, PartialEq)]
    struct Found(Vec<Option<String>>);

    impl Sink for Found {
        fn ascii(&mut self, token: &[u8], lower: bool) {
            let token = std::str::from_utf8(token).unwrap();
            self.0.push(Some(if lower { token.to_ascii_lowercase() } else { token.to_string() }));
        }
        fn other(&mut self, token: &str) {
            self.0.push(Some(token.to_string()));
        }
        fn sentence_end(&mut self) {
            self.0.push(None);
        }
    }

    fn found(text: &[u8], tokens: Tokens, sentences: Sentences) -> Vec<Option<String>> {
        let mut found = Found::default();
        tokenise(text, Rules { tokens, sentences, replace: false }, false, &mut found).unwrap();
        found.0
    }

    fn words(text: &str) -> Vec<String> {
        found(text.as_bytes(), Tokens::Words, Sentences::Line).into_iter().flatten().collect()
    }

    #[test]
    fn words_are_those_of_uax_29() {
        assert_eq!(
            words("The king's 3.14, don't e.g. __init__ _ a_b"),
            ["the", "king's", "3.14", "don't", "e.g", "__init__", "a_b"]
        );
        assert_eq!(words("Ünïcode-WÖRTER don’t ÆON"), ["ünïcode", "wörter", "don’t", "æon"]);
    }

    #[test]
    fn the_table_agrees_with_the_crate_on_random_text() {
        let alphabets = ["aB1_.:,;'\" -", "aB1_.:,;'\" -é́ß漢\u{200d}א’\u{a0}٣", "a1.'é ", "x\u{301} \"א:"];
        let mut rng = Rng::new(5, 0);
        for round in 0..40_000 {
            let letters: Vec<char> = alphabets[round % alphabets.len()].chars().collect();
            let length = rng.below(14);
            let text: String = (0..length).map(|_| letters[rng.below(letters.len() as u32) as usize]).collect();
            let plain: Vec<String> = text.unicode_words().map(str::to_lowercase).collect();
            assert_eq!(words(&text), plain, "{text:?}");
        }
    }

    #[test]
    fn sentences_end_at_lines_or_at_blank_lines() {
        let ends = |text: &str, sentences| {
            let found = found(text.as_bytes(), Tokens::Whitespace, sentences);
            found.into_iter().map(|token| token.unwrap_or("|".into())).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(ends("a b\r\nc\n\nd", Sentences::Line), "a b | c | | d");
        assert_eq!(ends("a b\r\nc\n \t\nd\n", Sentences::Paragraph), "a b c | d");
        assert_eq!(ends("Été\u{3000}x", Sentences::Line), "Été x");
    }

    #[test]
    fn a_cut_changes_nothing() {
        let text = "one two\nthree  four.five\n\n\nsix é’s seven\r\n".as_bytes();
        for sentences in [Sentences::Line, Sentences::Paragraph] {
            for tokens in [Tokens::Words, Tokens::Whitespace] {
                let whole = found(text, tokens, sentences);
                for end in 1..text.len() {
                    let Some(cut) = last_cut(&text[..end]) else { continue };
                    let rules = Rules { tokens, sentences, replace: false };
                    let mut parts = Found::default();
                    tokenise(&text[..cut], rules, false, &mut parts).unwrap();
                    tokenise(&text[cut..], rules, text[cut - 1] != b'\n', &mut parts).unwrap();
                    assert_eq!(parts.0, whole, "cut at {cut}");
                }
            }
        }
    }

    #[test]
    fn bytes_that_are_not_utf8_are_named_or_replaced() {
        let rules = Rules { tokens: Tokens::Words, sentences: Sentences::Line, replace: false };
        let text = b"good caf\xe9 bad";
        let error = tokenise(text, rules, false, &mut Found::default());
        assert_eq!(error, Err(NotUtf8 { offset: 8, byte: 0xe9 }));
        let mut sink = Found::default();
        tokenise(text, Rules { replace: true, ..rules }, false, &mut sink).unwrap();
        assert_eq!(sink.0.into_iter().flatten().collect::<Vec<_>>(), ["good", "caf", "bad"]);
    }
}
