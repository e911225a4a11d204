"""The company a language model keeps: what models by counts alone make of the same text."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Baselines(NamedTuple):
    """Perplexities of models that only count, on the tokens held out.

    Attributes
    ----------
    unigram
        How often a token comes, one added to each count.
    bigram
        How often it comes after the one before, by interpolated Kneser-Ney.
    tokens
        How many were held out and scored.
    """

    unigram: float
    bigram: float
    tokens: int


def baselines(seen: np.ndarray, held_out: np.ndarray, v: int) -> Baselines:
    """Count a text, and score the one held out: every token of it but the first, which none precedes.

    Examples
    --------
    >>> text = np.array([0, 1, 2, 3] * 500)
    >>> found = baselines(text, text[:401], 4)
    >>> round(found.unigram, 2), round(found.bigram, 2)
    (4.0, 1.0)
    """
    right = held_out[1:]
    counts = np.bincount(seen, minlength=v)
    unigram = (counts[right] + 1) / (len(seen) + v)
    return Baselines(_perplexity(unigram), _perplexity(kneser_ney(seen, held_out, v)), len(right))


def kneser_ney(seen: np.ndarray, asked: np.ndarray, v: int) -> np.ndarray:
    """P(token | the one before) of each token of a text but its first: (n,) -> (n - 1,).

    Of each pair's count a discount is taken off, and what that leaves is shared among all tokens by how many different ones
    they follow, one added so that none is impossible.

    Notes
    -----
    R. Kneser and H. Ney: Improved backing-off for m-gram language modeling. 1995; S. Chen and J. Goodman: An empirical study
    of smoothing techniques for language modeling, 1999: interpolation, and the discount n1 / (n1 + 2 n2).
    """
    pairs, counts = np.unique(seen[:-1].astype(np.int64) * v + seen[1:], return_counts=True)
    first, second = np.divmod(pairs, v)
    once, twice = int((counts == 1).sum()), int((counts == 2).sum())
    discount = once / (once + 2 * twice) if once else 0.5
    follows = np.bincount(second, minlength=v)  # how many different tokens a token follows
    general = (follows + 1) / (len(pairs) + v)
    whole = np.bincount(first, weights=counts, minlength=v)  # how often something comes after a token
    kinds = np.bincount(first, minlength=v)  # and how many different ones do
    before, after = asked[:-1].astype(np.int64), asked[1:].astype(np.int64)
    place = np.minimum(np.searchsorted(pairs, before * v + after), len(pairs) - 1)
    met = np.where(pairs[place] == before * v + after, counts[place], 0)
    known = np.maximum(whole[before], 1)
    share = np.where(whole[before] > 0, discount * kinds[before] / known, 1.0)
    return np.maximum(met - discount, 0) / known + share * general[after]


def _perplexity(shares: np.ndarray) -> float:
    return float(np.exp(-np.log(shares).mean()))
