"""GloVe: vectors whose dot products come near the logarithms of how often words meet; counted and trained in the core."""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from firth._check import ArgumentError, CorpusError, TrainingError, available_threads, check_int, check_number
from firth.learn.word2vec import DIVERGED, STEP_S, LearnStep, Source, recipe_of
from firth.space import Space
from firth.steps import drain
from firth.text import Corpus, PhraseStep, Reading, ReadStep, read_corpus_steps

MEMORY_BYTES = 4 << 30  # Stanford's cooccur has the same default
TINY_LOSS = 1e-6  # is none, even where vectors of zeros lose less: where every count is 1
FLOPS = 14  # a pair and column: 2 for the dot product, and for each side 6 for the gradient, its square and the step


@dataclass(frozen=True, slots=True)
class GloVe:
    """Options of GloVe, with the defaults of the paper and of Stanford's code (Pennington et al. 2014).

    Attributes
    ----------
    dim
        Width of the vectors.
    window
        Words on each side; a word at distance k counts 1 / k.
    x_max
        Pairs that meet this often, and more, have full weight.
    alpha
        Rarer ones weigh (x / x_max) ** alpha.
    rate
        Learning rate of AdaGrad (`eta` in Stanford's code).
    epochs
        Passes over the pairs (`iter`).
    seed
        The same seed gives the same bytes, with any number of threads.
    threads
        How many threads count and train; by default one for each core this process may use.
    memory_bytes
        Counting keeps to about so much; beyond it, temporary files are used. The vectors come on top.
    """

    dim: int = 100
    window: int = 15
    x_max: float = 100.0
    alpha: float = 0.75
    rate: float = 0.05
    epochs: int = 15
    seed: int = 1
    threads: int | None = None
    memory_bytes: int = MEMORY_BYTES

    def __post_init__(self) -> None:
        check_int("dim", self.dim, 1, 65_536)
        check_int("window", self.window, 1, 1_000)
        check_number("x_max", self.x_max, 0.0, 1e30, above=True)
        check_number("alpha", self.alpha, 0.0, 10.0)
        check_number("rate", self.rate, 0.0, 10.0, above=True)
        check_int("epochs", self.epochs, 1, 1_000_000)
        check_int("seed", self.seed, 0, 2**64 - 1)
        if self.threads is not None:
            check_int("threads", self.threads, 1, 4_096)
        check_int("memory_bytes", self.memory_bytes, 1 << 20)


class CountStep(NamedTuple):
    """Where counting stands: the share of the work that is done, and the time since it began and until it ends."""

    done: float
    elapsed_s: float
    left_s: float


def glove(
    source: Source,
    *,
    dim: int = 100,
    window: int = 15,
    x_max: float = 100.0,
    alpha: float = 0.75,
    rate: float = 0.05,
    epochs: int = 15,
    seed: int = 1,
    threads: int | None = None,
    memory_bytes: int = MEMORY_BYTES,
    min_count: int = 5,
    max_vocab: int | None = None,
    tokens: Literal["words", "whitespace"] = "words",
    sentences: Literal["line", "paragraph"] = "line",
    errors: Literal["strict", "replace"] = "strict",
    column: str | None = None,
    phrases: int = 0,
    phrase_threshold: float = 100.0,
) -> Space:
    """Learn a vector for each word of a text, or for each item of sequences, from how often words meet.

    GloVe: the dot product of a word's vector with another's context vector, plus a bias for each, comes near the logarithm
    of how often the two meet within a window. A word's vector in the result is the sum of the two it has. About 14 dim
    floating-point operations for each pair of words that meet, each way, and epoch; see docs/explanation/glove.md. The same
    seed gives the same bytes, with any number of threads.

    Parameters
    ----------
    source
        As in `word2vec`.
    dim, window, x_max, alpha, rate, epochs, seed, threads, memory_bytes
        As in `GloVe`.
    min_count, max_vocab, tokens, sentences, errors, column, phrases, phrase_threshold
        As in `Reading`.

    Returns
    -------
    Space
        One row a word, most frequent first, with a column `count`.

    Raises
    ------
    CorpusError
        If the source cannot be read, no two words occur often enough, or none meet.
    ArgumentError
        If an option is out of range.
    TrainingError
        If training diverges; a lower rate helps.

    Notes
    -----
    J. Pennington, R. Socher and C. D. Manning: GloVe: Global vectors for word representation. EMNLP 2014.

    Examples
    --------
    >>> import firth
    >>> baskets = [["tea", "milk", "sugar"], ["tea", "milk"], ["nails", "hammer"], ["hammer", "nails", "saw"]] * 50
    >>> space = firth.glove(baskets, dim=8, epochs=2)
    >>> len(space), space.vectors.shape
    (6, (6, 8))
    """
    options = GloVe(dim, window, x_max, alpha, rate, epochs, seed, threads, memory_bytes)
    reading = Reading(tokens, sentences, errors, min_count, max_vocab, column, phrases, phrase_threshold)
    return drain(glove_steps(source, options, reading))


def glove_steps(
    source: Source,
    options: GloVe | None = None,
    reading: Reading | None = None,
    *,
    keep_on_interrupt: bool = False,
) -> Generator[ReadStep | PhraseStep | CountStep | LearnStep, None, Space]:
    """Learn as `glove` does, step by step: yields a ReadStep, PhraseStep, CountStep or LearnStep every fraction of a second.

    The words of a LearnStep are passed over as often as its pairs are: in an epoch, as many as the text has. With
    `keep_on_interrupt`, a KeyboardInterrupt during training (raised in it, or thrown into the generator) ends it and
    returns what was learned so far, its recipe saying so.
    """
    options, reading = options or GloVe(), reading or Reading()
    threads = options.threads or available_threads()
    corpus = yield from read_corpus_steps(source, reading, threads=threads)
    counts = yield from _count(corpus, options, threads)
    vectors, interrupted_at = yield from _train(corpus, counts, options, threads, keep_on_interrupt)
    recipe = recipe_of("glove", options, reading, corpus, threads, interrupted_at)
    return Space(corpus.labels, vectors, columns={"count": corpus.counts}, recipe=recipe)


def _count(corpus: Corpus, options: GloVe, threads: int) -> Generator[CountStep, None, Any]:
    """Count in the core; returns its counts."""
    from firth import _core

    occurrences = np.ascontiguousarray(corpus.counts, dtype=np.uint64)
    began = time.perf_counter()
    try:
        counts = _core.Cooccurrences(occurrences, len(corpus.ids), options.window, threads, options.memory_bytes)
        done = 0.0
        while done < 1.0:
            done = counts.run(corpus.ids, STEP_S)
            elapsed = time.perf_counter() - began
            yield CountStep(done, elapsed, elapsed * (1 - done) / max(done, 1e-9))
    except OSError as error:
        raise ArgumentError(
            f"counting needs room for temporary files, which could not be had ({error}); set TMPDIR to a folder with room,"
            " or raise memory_bytes or min_count"
        ) from error
    return counts


def _train(
    corpus: Corpus, counts: Any, options: GloVe, threads: int, keep_on_interrupt: bool
) -> Generator[LearnStep, None, tuple[np.ndarray, float | None]]:
    """Train in the core; returns the vectors and, if interrupted, the share of the work done."""
    from firth import _core

    try:
        model = _core.GloVe(
            counts,
            options.dim,
            options.x_max,
            options.alpha,
            options.rate,
            options.epochs,
            options.seed,
            threads,
        )
        vectors = np.empty((len(corpus.labels), options.dim), dtype=np.float32)
    except (OSError, MemoryError) as error:
        need = 5 * len(corpus.labels) * options.dim * 4 / 2**30
        raise ArgumentError(
            f"{len(corpus.labels)} words of dim {options.dim} need about {need:.1f} GiB, which could not be had ({error});"
            " raise min_count, or set max_vocab or a smaller dim"
        ) from error

    pairs_an_epoch = model.pairs()
    if pairs_an_epoch == 0:
        raise CorpusError("no two words meet: every sentence has a single word left; lower min_count or join sentences")
    total_pairs, total_words = pairs_an_epoch * options.epochs, corpus.kept_tokens * options.epochs
    done_pairs = epochs_done = 0
    began = time.perf_counter()
    interrupted_at = None
    try:
        while epochs_done < options.epochs:
            before = time.perf_counter()
            pairs, loss_sum, zero_sum, epochs_done = model.run(STEP_S)
            now = time.perf_counter()
            took = max(now - before, 1e-9)
            done_pairs += pairs
            epoch = min((done_pairs - 1) // pairs_an_epoch + 1, options.epochs)
            loss, zero_loss = loss_sum / pairs, zero_sum / pairs
            if not loss <= DIVERGED * zero_loss + TINY_LOSS:  # not: so that NaN counts
                raise TrainingError(
                    f"training diverged in epoch {epoch} of {options.epochs} (loss {loss:.3g} a pair, {zero_loss:.3g} with"
                    f" vectors of zeros); use a lower rate than {options.rate:g}"
                )
            words = total_words * pairs / total_pairs
            left = (now - began) * (total_pairs - done_pairs) / done_pairs
            yield LearnStep(
                round(total_words * done_pairs / total_pairs),
                total_words,
                epoch,
                options.epochs,
                loss,
                words / took,
                FLOPS * options.dim * pairs / took,
                now - began,
                left,
            )
    except KeyboardInterrupt:
        if not keep_on_interrupt:
            raise
        interrupted_at = done_pairs / total_pairs
    model.copy_to(vectors)
    if not np.isfinite(vectors).all():
        raise TrainingError(f"training diverged (infinite numbers); use a lower rate than {options.rate:g}")
    return vectors, interrupted_at
