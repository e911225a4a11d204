"""word2vec: skip-gram and CBOW with negative sampling, trained in the core as small matrix products."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from firth._check import ArgumentError, ShapeError, TrainingError, available_threads, check_int, check_number
from firth.space import Space
from firth.steps import drain
from firth.text import Corpus, PhraseStep, Reading, ReadStep, read_corpus_steps, renumbered

STEP_S = 0.15  # a step of training takes about so long: Ctrl-C waits for it, and the progress bar moves with it
DIM = 100  # where neither an option nor a space to go on from says otherwise
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


class Cbow(SkipGram):
    """Options of CBOW, those of `SkipGram`: the mean of a word's company predicts the word.

    Faster than skip-gram, and the better for frequent words; the worse for rare ones. Some raise alpha to 0.05 (word2vec.c).
    """

    __slots__ = ()


class LearnStep(NamedTuple):
    """Where training stands.

    Attributes
    ----------
    done_words, total_words
        Words seen and to be seen, over all epochs.
    epoch
        The running one, from 1.
    loss
        Mean loss of a prediction over the last step: that of the true pair and of its noise words.
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
    dim: int | None = None,
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
    keep_context: bool | None = None,
    start: Space | None = None,
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
    dim
        Width of the vectors: 100, or that of `start`.
    window, negatives, sample, epochs, alpha, seed, threads
        As in `SkipGram`.
    min_count, max_vocab, tokens, sentences, errors, column, phrases, phrase_threshold
        As in `Reading`.
    keep_context
        Keep the output vectors, by which words are predicted from others, in a column `context` (n, dim): for
        `Space.predict`, and to go on from. By default only with `start`.
    start
        Go on from this space, learned with keep_context=True: its words keep their vectors to begin with and its counts are
        added to; words of the text that are new to it and occur min_count times come to it. Only the new text is learned
        from, with its own epochs and alpha; vectors of words that are not in it stay as they are.

    Returns
    -------
    Space
        One row a word, most frequent first, with a column `count`. Other columns of `start` are kept unless new words, which
        have no value in them, came: the recipe then names them under "dropped_columns". It keeps the recipes of what was
        gone on from under "continued", oldest first.

    Raises
    ------
    CorpusError
        If the source cannot be read, or no two words occur often enough.
    ArgumentError
        If an option is out of range, or `start` has no columns `count` and `context`, is of another width than dim or was
        learned by another method.
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
    options = SkipGram(_width(start) if dim is None else dim, window, negatives, sample, epochs, alpha, seed, threads)
    reading = Reading(tokens, sentences, errors, min_count, max_vocab, column, phrases, phrase_threshold)
    return drain(word2vec_steps(source, options, reading, keep_context=keep_context, start=start))


def cbow(
    source: Source,
    *,
    dim: int | None = None,
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
    keep_context: bool | None = None,
    start: Space | None = None,
) -> Space:
    """Learn as `word2vec` does, whose options and errors these are, by CBOW: the mean of the company predicts the word.

    About 2 dim (pairs + 3 (1 + 4) positions) floating-point operations an epoch.

    Examples
    --------
    >>> import firth
    >>> baskets = [["tea", "milk", "sugar"], ["tea", "milk"], ["nails", "hammer"], ["hammer", "nails", "saw"]] * 50
    >>> firth.cbow(baskets, dim=8, epochs=2, threads=1).recipe["method"]
    'cbow'
    """
    options = Cbow(_width(start) if dim is None else dim, window, negatives, sample, epochs, alpha, seed, threads)
    reading = Reading(tokens, sentences, errors, min_count, max_vocab, column, phrases, phrase_threshold)
    return drain(word2vec_steps(source, options, reading, keep_context=keep_context, start=start))


def word2vec_steps(
    source: Source,
    options: SkipGram | None = None,
    reading: Reading | None = None,
    *,
    keep_context: bool | None = None,
    start: Space | None = None,
    keep_on_interrupt: bool = False,
) -> Generator[ReadStep | PhraseStep | LearnStep, None, Space]:
    """Learn as `word2vec` or, given `Cbow` options, `cbow` does, step by step.

    Yields a ReadStep, a PhraseStep or a LearnStep every fraction of a second.
    With `keep_on_interrupt`, a KeyboardInterrupt during training (raised in it, or thrown into the generator) ends it
    and returns what was learned so far, its recipe saying so.
    """
    options, reading = options or SkipGram(_width(start)), reading or Reading()
    threads = options.threads or available_threads()
    if start is None:
        old, corpus = None, (yield from read_corpus_steps(source, reading, threads=threads))
    else:
        _check_start(start, options)
        corpus = yield from read_corpus_steps(source, reading, vocabulary=list(start), threads=threads)
        old, corpus = _joined(start, corpus, threads)
    keep_context = start is not None if keep_context is None else keep_context
    vectors, context, interrupted_at = yield from _train(
        corpus, options, threads, old=old, keep_context=keep_context, keep_on_interrupt=keep_on_interrupt
    )
    recipe = recipe_of(_method(options), options, reading, corpus, threads, interrupted_at)
    columns = {"count": corpus.counts} | ({"context": context} if context is not None else {})
    if old is not None:
        others, history = _carried(old, len(corpus.labels))
        columns, recipe = columns | others, recipe | history
    return Space(corpus.labels, vectors, columns=columns, recipe=recipe)


def recipe_of(
    method: str, options: Any, reading: Reading, corpus: Corpus, threads: int, interrupted_at: float | None
) -> dict[str, Any]:
    """How a space was learned; `interrupted_at`: the share of the training after which it was."""
    recipe: dict[str, Any] = {
        "method": method,
        "options": {**asdict(options), "threads": threads, **asdict(reading)},
        "corpus": {"sources": corpus.sources, "digest": corpus.digest}
        | {"tokens": corpus.tokens, "kept_tokens": corpus.kept_tokens, "sentences": corpus.sentences},
    }
    return recipe if interrupted_at is None else recipe | {"interrupted_at": round(interrupted_at, 4)}


# Going on


class _Old(NamedTuple):
    """A space to go on from, and where its rows stand among the new ones: (n,) uint32."""

    space: Space
    rows: np.ndarray


def _width(start: Space | None) -> int:
    return DIM if start is None else start.vectors.shape[1]


def _method(options: SkipGram) -> str:
    return "cbow" if isinstance(options, Cbow) else "word2vec"


def _check_start(start: Space, options: SkipGram) -> None:
    for name in ("context", "count"):
        if name not in start.columns:
            raise ArgumentError(
                f"start must have a column {name!r} to go on from; it has {', '.join(start.columns) or 'none'}; learn it"
                " with keep_context=True (--keep-context)"
            )
    d, context, count = start.vectors.shape[1], start.columns["context"], start.columns["count"]
    if options.dim != d:
        raise ShapeError(f"dim must be that of the space to go on from, {d}; got {options.dim}")
    if (method := start.recipe.get("method", _method(options))) != _method(options):
        raise ArgumentError(
            f"start was learned by {method}, whose vectors mean something else to {_method(options)}; go on by {method}"
        )
    if context.shape != start.vectors.shape:
        raise ShapeError(f"start must have a context as its vectors, {start.vectors.shape}; got {context.shape}")
    if count.ndim > 1 or count.dtype.kind not in "iu" or (count < 0).any():
        raise ArgumentError(
            f"start must have counts, whole numbers from 0; got an array {count.shape} of {count.dtype}"
        )


def _joined(start: Space, corpus: Corpus, threads: int) -> tuple[_Old, Corpus]:
    """A corpus read with the words of a space first, its words in order of the counts of both."""
    counts = corpus.counts.copy()
    counts[: len(start)] += start.columns["count"].astype(np.int64)
    order = np.argsort(-counts, kind="stable")
    rows = np.empty(len(order), np.uint32)
    rows[order] = np.arange(len(order), dtype=np.uint32)
    labels = [corpus.labels[row] for row in order.tolist()]
    ids, _ = renumbered(corpus.ids, rows, threads=threads)
    return _Old(start, rows[: len(start)]), corpus._replace(labels=labels, counts=counts[order], ids=ids)


def _carried(old: _Old, n: int) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Other columns of the old space, if every one of the n rows has a value in them; and what the recipe says of it."""
    earlier = dict(old.space.recipe)
    history: dict[str, Any] = {"continued": [*earlier.pop("continued", []), earlier]}
    others = {name: column for name, column in old.space.columns.items() if name not in ("count", "context")}
    if n > len(old.space) and others:
        return {}, history | {"dropped_columns": list(others)}
    order = np.argsort(old.rows)
    return {name: column[order] for name, column in others.items()}, history


# Training


def _train(
    corpus: Corpus,
    options: SkipGram,
    threads: int,
    *,
    old: _Old | None,
    keep_context: bool,
    keep_on_interrupt: bool,
) -> Generator[LearnStep, None, tuple[np.ndarray, np.ndarray | None, float | None]]:
    """Train in the core; returns the vectors, the context if wanted and, if interrupted, the share of the work done."""
    from firth import _core

    try:
        model = _core.Word2Vec(
            np.ascontiguousarray(corpus.counts, dtype=np.uint64),
            isinstance(options, Cbow),
            options.dim,
            options.window,
            options.negatives,
            options.sample,
            options.alpha,
            options.epochs,
            options.seed,
            threads,
        )
        if old is not None:
            model.load(old.rows, old.space.vectors, old.space.columns["context"])
        vectors = np.empty((len(corpus.labels), options.dim), dtype=np.float32)
        context = np.empty_like(vectors) if keep_context else None
    except (OSError, MemoryError) as error:
        need = (4 if keep_context else 3) * len(corpus.labels) * options.dim * 4 / 2**30
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
            words, flops, loss_sum, loss_pairs = model.run(corpus.ids, done_chunks, to)
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
    if context is not None:
        model.copy_to(context, True)
    if not all(np.isfinite(matrix).all() for matrix in (vectors, context) if matrix is not None):
        raise TrainingError(f"training diverged (infinite numbers); use a lower alpha than {options.alpha:g}")
    return vectors, context, interrupted_at
