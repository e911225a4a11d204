"""word2vec: skip-gram with negative sampling, trained in the core as small matrix products."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from firth._check import ArgumentError, TrainingError, check_int, check_number
from firth.space import Space
from firth.steps import drain
from firth.text import Corpus, PhraseStep, Reading, ReadStep, available_threads, read_corpus_steps

STEP_S = 0.15  # a step of training takes about so long: Ctrl-C waits for it, and the progress bar moves with it
DIVERGED = 10.0  # a loss so many times that of vectors of zeros means that training diverged

Source = str | Path | Iterable[Any]


@dataclass(frozen=True, slots=True)
class SkipGram:
    """Options of skip-gram, with the names and defaults of the field (Mikolov et al. 2013b; word2vec.c).

    Attributes
    ----------
    dim
        Width of the vectors.
    window
        Words on each side, sampled 1..window for each position.
    negatives
        Noise words a pair.
    sample
        Words more frequent than this share are thinned out; 0 keeps all.
    epochs
        Passes over the text.
    alpha
        Learning rate at the start; falls linearly to nothing.
    seed
        With `threads=1`, the same seed gives the same bytes.
    threads
        How many threads train; by default one for each core this process may use.
    """

    dim: int = 100
    window: int = 5
    negatives: int = 5
    sample: float = 1e-3
    epochs: int = 5
    alpha: float = 0.025
    seed: int = 1
    threads: int | None = None

    def __post_init__(self) -> None:
        check_int("dim", self.dim, 1, 65_536)
        check_int("window", self.window, 1, 1_000)
        check_int("negatives", self.negatives, 1, 1_000)
        check_number("sample", self.sample, 0.0, 1.0)
        check_int("epochs", self.epochs, 1, 1_000_000)
        check_number("alpha", self.alpha, 0.0, 10.0, above=True)
        check_int("seed", self.seed, 0, 2**64 - 1)
        if self.threads is not None:
            check_int("threads", self.threads, 1, 4_096)


class LearnStep(NamedTuple):
    """Where training stands.

    Attributes
    ----------
    done_words, total_words
        Words seen and to be seen, over all epochs.
    epoch
        The running one, from 1.
    loss
        Mean loss of a pair over the last step: that of the pair and of its noise words.
    words_per_s, flops_per_s
        Rates over the last step.
    elapsed_s, left_s
        Time since training began, and the estimate of what is left.
    """

    done_words: int
    total_words: int
    epoch: int
    epochs: int
    loss: float
    words_per_s: float
    flops_per_s: float
    elapsed_s: float
    left_s: float


def word2vec(
    source: Source,
    *,
    dim: int = 100,
    window: int = 5,
    negatives: int = 5,
    sample: float = 1e-3,
    epochs: int = 5,
    alpha: float = 0.025,
    seed: int = 1,
    threads: int | None = None,
    min_count: int = 5,
    max_vocab: int | None = None,
    tokens: Literal["words", "whitespace"] = "words",
    sentences: Literal["line", "paragraph"] = "line",
    errors: Literal["strict", "replace"] = "strict",
    column: str | None = None,
    phrases: int = 0,
    phrase_threshold: float = 100.0,
) -> Space:
    """Learn a vector for each word of a text, or for each item of sequences.

    Skip-gram with negative sampling: words that keep the same company get similar vectors. About
    6 dim (pairs + 16 positions) floating-point operations an epoch, as matrix products; see docs/explanation/word2vec.md.
    The same seed gives the same bytes with `threads=1`; with more, threads update the vectors without waiting for each
    other, and results differ from run to run by about as much as between seeds.

    Parameters
    ----------
    source
        A file, folder or glob, several of them; or sequences of items: any iterable of lists of hashable items, an
        integer array with a sequence a row, or an Arrow, polars or pandas column of lists.
    dim, window, negatives, sample, epochs, alpha, seed, threads
        As in `SkipGram`.
    min_count, max_vocab, tokens, sentences, errors, column, phrases, phrase_threshold
        As in `Reading`.

    Returns
    -------
    Space
        One row a word, most frequent first, with a column `count`.

    Raises
    ------
    CorpusError
        If the source cannot be read, or no two words occur often enough.
    ArgumentError
        If an option is out of range.
    TrainingError
        If training diverges; a lower alpha helps.

    Notes
    -----
    T. Mikolov, I. Sutskever, K. Chen, G. Corrado and J. Dean: Distributed representations of words and phrases and their
    compositionality. NIPS 2013.

    Examples
    --------
    >>> import firth
    >>> baskets = [["tea", "milk", "sugar"], ["tea", "milk"], ["nails", "hammer"], ["hammer", "nails", "saw"]] * 50
    >>> space = firth.word2vec(baskets, dim=8, epochs=2, threads=1)
    >>> len(space), space.vectors.shape
    (6, (6, 8))
    """
    options = SkipGram(dim, window, negatives, sample, epochs, alpha, seed, threads)
    reading = Reading(tokens, sentences, errors, min_count, max_vocab, column, phrases, phrase_threshold)
    return drain(word2vec_steps(source, options, reading))


def word2vec_steps(
    source: Source,
    options: SkipGram | None = None,
    reading: Reading | None = None,
    *,
    keep_on_interrupt: bool = False,
) -> Generator[ReadStep | PhraseStep | LearnStep, None, Space]:
    """Learn as `word2vec` does, step by step: yields a ReadStep, a PhraseStep or a LearnStep every fraction of a second.

    With `keep_on_interrupt`, a KeyboardInterrupt during training (raised in it, or thrown into the generator) ends it
    and returns what was learned so far, its recipe saying so.
    """
    options, reading = options or SkipGram(), reading or Reading()
    threads = options.threads or available_threads()
    corpus = yield from read_corpus_steps(source, reading, threads=threads)
    vectors, interrupted_at = yield from _train(corpus, options, threads, keep_on_interrupt)
    recipe: dict[str, Any] = {
        "method": "word2vec",
        "options": {**asdict(options), "threads": threads, **asdict(reading)},
        "corpus": {"sources": corpus.sources, "digest": corpus.digest}
        | {"tokens": corpus.tokens, "kept_tokens": corpus.kept_tokens, "sentences": corpus.sentences},
    }
    if interrupted_at is not None:
        recipe["interrupted_at"] = round(interrupted_at, 4)
    return Space(corpus.labels, vectors, columns={"count": corpus.counts}, recipe=recipe)


def _train(
    corpus: Corpus, options: SkipGram, threads: int, keep_on_interrupt: bool
) -> Generator[LearnStep, None, tuple[np.ndarray, float | None]]:
    """Train in the core; returns the vectors and, if interrupted, the share of the work done."""
    from firth import _core

    try:
        model = _core.SkipGram(
            np.ascontiguousarray(corpus.counts, dtype=np.uint64),
            options.dim,
            options.window,
            options.negatives,
            options.sample,
            options.alpha,
            options.epochs,
            options.seed,
            threads,
        )
        vectors = np.empty((len(corpus.labels), options.dim), dtype=np.float32)
    except (OSError, MemoryError) as error:
        need = 3 * len(corpus.labels) * options.dim * 4 / 2**30
        raise ArgumentError(
            f"{len(corpus.labels)} words of dim {options.dim} need about {need:.1f} GiB, which could not be had ({error});"
            " raise min_count, or set max_vocab or a smaller dim"
        ) from error

    chunks_an_epoch = model.chunks(len(corpus.ids))
    total_chunks, total_words = chunks_an_epoch * options.epochs, corpus.kept_tokens * options.epochs
    start_loss = (1 + options.negatives) * math.log(2)
    done_chunks = done_words = 0
    chunks = threads
    began = time.perf_counter()
    interrupted_at = None
    try:
        while done_chunks < total_chunks:
            before = time.perf_counter()
            to = min(done_chunks + chunks, total_chunks)
            words, _pairs, flops, loss_sum, loss_pairs = model.run(corpus.ids, done_chunks, to)
            now = time.perf_counter()
            took = max(now - before, 1e-9)
            done_chunks, done_words = to, done_words + words
            epoch = min((done_chunks - 1) // chunks_an_epoch + 1, options.epochs)
            loss = loss_sum / loss_pairs if loss_pairs else 0.0  # no pairs: sentences of one word
            if not loss <= DIVERGED * start_loss:  # not: so that NaN counts
                raise TrainingError(
                    f"training diverged in epoch {epoch} of {options.epochs} (loss {loss:.3g} a pair, {start_loss:.3g} at the"
                    f" start); use a lower alpha than {options.alpha:g}"
                )
            left = (now - began) * (total_chunks - done_chunks) / done_chunks
            yield LearnStep(
                done_words, total_words, epoch, options.epochs, loss, words / took, flops / took, now - began, left
            )
            # Whole rounds of chunks, so that the threads end together.
            rounds = max(1, round(chunks / threads * min(STEP_S / took, 4)))
            chunks = rounds * threads
    except KeyboardInterrupt:
        if not keep_on_interrupt:
            raise
        interrupted_at = done_chunks / total_chunks
    model.copy_to(vectors, False)
    if not np.isfinite(vectors).all():
        raise TrainingError(f"training diverged (infinite numbers); use a lower alpha than {options.alpha:g}")
    return vectors, interrupted_at
