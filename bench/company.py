"""Two measures of word vectors that need no word sets: held-out company and agreement of neighbours.

Held-out company: does the cosine tell the words that stand together in text that was not learned from, from words that are
as frequent? Agreement: do two runs give a word the same nearest neighbours?
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

import firth
from firth.text import SENTENCE_END, Corpus, read_corpus

WINDOW = 5
PAIRS = 200_000
THIN = 1e-4  # words more frequent than this share are thinned out, by the square root, so that pairs are not mostly "of the"
FREQUENT = 20_000  # the words among which neighbours are found
ASKED = 2_000  # of them, evenly spread, are asked for theirs
NEIGHBOURS = 10


class Company(NamedTuple):
    """Rows of the vocabulary: words, one neighbour each in the held-out text, and one word as frequent as that."""

    words: np.ndarray
    neighbours: np.ndarray
    strangers: np.ndarray


def held_out_company(corpus: Corpus, held_out: Path) -> Company:
    """Draw pairs of words within the window of each other; strangers are the neighbours permuted among equally frequent ones.

    So the frequencies of neighbours and strangers are the same, and a score of frequency alone gets 50.
    """
    random = np.random.default_rng(0)
    text = read_corpus(held_out, tokens="whitespace", min_count=1)
    row_of = {label: row for row, label in enumerate(corpus.labels)}
    known = np.array([row_of.get(label, -1) for label in text.labels])
    ends = text.ids == SENTENCE_END
    rows = np.where(ends, -1, known[np.where(ends, 0, text.ids)])
    sentence = np.cumsum(ends)
    share = corpus.counts / corpus.counts.sum()
    kept = (rows >= 0) & (random.random(len(rows)) < np.sqrt(THIN / share[rows]))
    pairs = []
    for apart in range(1, WINDOW + 1):
        left, right = rows[:-apart], rows[apart:]
        together = kept[:-apart] & kept[apart:] & (sentence[:-apart] == sentence[apart:]) & (left != right)
        pairs.append(np.stack([left[together], right[together]]))
    both = np.concatenate([*pairs, *(pair[::-1] for pair in pairs)], axis=1)
    words, neighbours = both[:, random.permutation(both.shape[1])[:PAIRS]]
    strangers = neighbours.copy()
    half_octave = np.floor(2 * np.log2(corpus.counts[neighbours]))
    for bucket in np.unique(half_octave):
        where = np.flatnonzero(half_octave == bucket)
        strangers[where] = neighbours[random.permutation(where)]
    apart_from_word = strangers != words
    return Company(words[apart_from_word], neighbours[apart_from_word], strangers[apart_from_word])


def auc(vectors: np.ndarray, company: Company) -> float:
    """Chance, in per cent, that a pair from the held-out text has a larger cosine than one with a stranger; ties half."""
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-30)
    true, false = (
        np.einsum("nd,nd->n", unit[company.words], unit[others]) for others in (company.neighbours, company.strangers)
    )
    false.sort()
    below = np.searchsorted(false, true, "left").mean() + np.searchsorted(false, true, "right").mean()
    return 100 * below / 2 / len(false)


def nearest(vectors: np.ndarray) -> np.ndarray:
    """The rows of the ten nearest neighbours of 2,000 words among the 20,000 most frequent: (2000, 10)."""
    frequent = vectors[:FREQUENT]
    asked = np.arange(0, len(frequent), max(1, len(frequent) // ASKED))[:ASKED]
    rows = firth.top_k(frequent[asked], frequent, NEIGHBOURS + 1, metric="cosine").rows
    self_last = np.argsort(rows == asked[:, None], axis=1, kind="stable")  # a word is its own nearest, or nearly
    return np.take_along_axis(rows, self_last, axis=1)[:, :NEIGHBOURS]


def agreement(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Mean share, in per cent, of neighbours that two runs have in common."""
    return 100 * float((ours[:, :, None] == theirs[:, None, :]).any(axis=2).mean())
