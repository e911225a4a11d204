"""A language model that was trained: it tells probabilities, writes, and shows what is inside; its embedding is a Space."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from firth._check import ArgumentError, FileFormatError, check_int, check_number
from firth.atomic import atomic_write
from firth.language.inside import Inside, Layer
from firth.language.model import (
    Architecture,
    Model,
    forward,
    from_named,
    logits,
    named,
    patterns,
    rms_norm,
    start,
    streams,
)
from firth.language.training import Training, TrainStep, devices_of, train_steps
from firth.language.vocabulary import UNKNOWN, Vocabulary, Words, read_bpe, read_words, vocabulary_from
from firth.ops import softmax
from firth.space import Space
from firth.steps import Progress, drain
from firth.text import PhraseStep, Reading, ReadStep

BPE_VOCAB = 8192  # tokens of byte-level BPE, where nobody says
WORD_VOCAB = 10_000  # most words that are told apart: the output costs 6 d operations a token for each
# For a first look, in minutes.
QUICK = {"dim": 64, "layers": 2, "heads": 2, "context": 32, "max_vocab": 4_000, "rate": 5e-3}


@dataclass(frozen=True, eq=False)
class LanguageModel:
    """A transformer, its vocabulary, and how it was trained. numpy alone is needed to use it.

    Attributes
    ----------
    model
        Its matrices, float32: `firth.language.model`.
    architecture
        What it is made of.
    vocabulary
        Text to tokens and back: `labels`, `encode`, `decode`.
    counts
        How often each token came in the text: (v,).
    recipe
        How it was made, with what was reached: perplexities, the curve.
    """

    model: Model
    architecture: Architecture
    vocabulary: Vocabulary
    counts: np.ndarray
    recipe: dict[str, Any]

    def __repr__(self) -> str:
        own = self.architecture
        return (
            f"<LanguageModel: {own.cost(len(self.vocabulary)).parameters:,} parameters, {len(self.vocabulary):,} tokens,"
            f" {own.layers} layers x {own.heads} heads, dim {own.dim}, context {own.context};"
            f" perplexity {self.recipe['perplexity']:.1f}>"
        )

    def space(self) -> Space:
        """The embedding of the tokens as a space; of words without `<unk>` and `<end>`. With a column `count`."""
        n = len(self.vocabulary) - (2 if isinstance(self.vocabulary, Words) else 0)
        columns = {"count": self.counts[:n]}
        recipe = {name: value for name, value in self.recipe.items() if name != "curve"}
        return Space(self.vocabulary.labels[:n], self.model["embedding"][:n], columns=columns, recipe=recipe)

    # What it predicts

    def encode(self, text: str) -> np.ndarray:
        """Rows of a text's tokens, (t,).

        Raises
        ------
        ArgumentError
            If there are none, or more than the context holds.
        """
        rows = np.array(self.vocabulary.encode(text), np.int64)
        if not 1 <= len(rows) <= self.architecture.context:
            raise ArgumentError(
                f"the text must have 1..{self.architecture.context} tokens, the context of the model; {text[:40]!r} has"
                f" {len(rows)}"
            )
        return rows

    def next(self, text: str, k: int = 10) -> list[tuple[str, float]]:
        """The k tokens that most probably come next, with their probabilities; never `<unk>`."""
        check_int("k", k, 1, len(self.vocabulary))
        return self._best(self._scores(self.encode(text)), k)

    def sample(
        self,
        prompt: str = "",
        *,
        length: int = 50,
        temperature: float = 0.8,
        top_k: int | None = None,
        top_p: float = 0.95,
        seed: int = 0,
    ) -> str:
        """Write on from a prompt.

        Parameters
        ----------
        prompt
            May be empty: the model begins as after the end of a sentence.
        length
            Tokens to write.
        temperature
            Below 1 the probable becomes more so; 0 takes the most probable token each time.
        top_k
            Draw among so many most probable tokens alone; by default among all.
        top_p
            Draw among the most probable tokens that together have this share (Holtzman et al. 2020).
        seed
            The same one writes the same text.
        """
        drawing = {"length": length, "temperature": temperature, "top_k": top_k, "top_p": top_p, "seed": seed}
        return prompt + "".join(self.sample_steps(prompt, **drawing))

    def sample_steps(
        self, prompt: str = "", *, length: int = 50, temperature: float = 0.8, top_k: int | None = None, top_p: float = 0.95,
        seed: int = 0,
    ) -> Iterator[str]:  # fmt: skip
        """Write as `sample` does, and yield what each token adds to the prompt."""
        check_int("length", length, 1)
        check_number("temperature", temperature, 0, 100)
        v = len(self.vocabulary)
        top_k = v if top_k is None else check_int("top_k", top_k, 1, v, meaning="the vocabulary")
        check_number("top_p", top_p, 0, 1, above=True)
        random = np.random.default_rng(seed)
        rows = list(self.vocabulary.encode(prompt)) if prompt else []
        written: list[int] = []
        before = self.vocabulary.decode(rows)
        for _ in range(length):
            seen = (rows + written)[-self.architecture.context :] or [self._begin()]
            scores = self._without_unknown(self._scores(np.array(seen)))
            written.append(_drawn(scores, temperature, top_k, top_p, random))
            text = self.vocabulary.decode(rows + written)
            if "\ufffd" in text[len(before) :]:  # a letter whose bytes are not all written yet
                continue
            yield text[len(before) :]
            before = text

    def perplexity(self, text: str) -> float:
        """Exp of the mean -ln(probability) of each token of a text but the first, in windows as long as the context."""
        rows = np.array(self.vocabulary.encode(text), np.int64)
        if len(rows) < 2:
            raise ArgumentError(f"the text must have two tokens or more; {text[:40]!r} has {len(rows)}")
        losses = []
        for begin in range(0, len(rows) - 1, self.architecture.context):
            window = rows[begin : begin + self.architecture.context + 1]
            scores = logits(self.model, window[None, :-1], self.architecture)[0].astype(np.float64)  # (t, v)
            shares = softmax(scores)[np.arange(len(scores)), window[1:]]
            losses.extend(-np.log(np.maximum(shares, 1e-300)))
        return float(np.exp(np.mean(losses)))

    # What is inside

    def inside(self, text: str, k: int = 5) -> Inside:
        """What the model makes of a text: each head's pattern of attention, and after each layer the tokens that come next.

        The stream after each layer is read as if it were the last: normed, and compared with every token (the logit lens:
        nostalgebraist 2020).
        """
        check_int("k", k, 1, len(self.vocabulary))
        rows = self.encode(text)
        layers = []
        for x, queries, keys in streams(self.model, rows[None], self.architecture):
            scores = rms_norm(x[0], self.model["norm"]) @ self.model["embedding"].T  # (t, d) x (d, v)
            pattern = None if queries is None else patterns(queries, keys, self.architecture.heads)[0]  # (h, t, t)
            layers.append(Layer(pattern, [self._best(at, k) for at in scores]))
        return Inside(text, [self.vocabulary.labels[row] for row in rows], layers)

    def _scores(self, rows: np.ndarray) -> np.ndarray:
        """Logits of what comes after the last of rows (t,): (v,)."""
        return self.model["embedding"] @ forward(self.model, rows[None], self.architecture)[0, -1]  # (v, d) x (d,)

    def _best(self, scores: np.ndarray, k: int) -> list[tuple[str, float]]:
        shares = softmax(scores)
        order = np.argsort(-self._without_unknown(scores), kind="stable")[:k]
        return [(self.vocabulary.labels[row], float(shares[row])) for row in order]

    def _without_unknown(self, scores: np.ndarray) -> np.ndarray:
        """Logits (v,) by which `<unk>`, that nobody wants to read, is never written."""
        scores = scores.astype(np.float64)
        if isinstance(self.vocabulary, Words):
            scores[self.vocabulary.index[UNKNOWN]] = -np.inf
        return scores

    def _begin(self) -> int:
        """What stands before a text that has no prompt: the end of a sentence, or of bytes the end of a line."""
        return len(self.vocabulary) - 1 if isinstance(self.vocabulary, Words) else self.vocabulary.encode("\n")[0]

    # Its file

    def save(self, path: str | Path) -> None:
        """Write the model as one .safetensors file, whole or not at all, with architecture, vocabulary and recipe in it."""
        from safetensors.numpy import save_file

        path = Path(path)
        if path.suffix.lower() != ".safetensors":
            raise ArgumentError(f"a model is saved as .safetensors; got {path.name}; its space() as .space")
        told = {
            "architecture": json.dumps(asdict(self.architecture)),
            "vocabulary": self.vocabulary.as_text(),
            "recipe": json.dumps(self.recipe, ensure_ascii=False),
        }
        with atomic_write(path) as temporary:
            save_file(dict(named(self.model)) | {"counts": self.counts}, str(temporary), told)

    @classmethod
    def open(cls, path: str | Path) -> LanguageModel:
        """Read a model; of a .space file the one that lies beside it.

        Raises
        ------
        FileFormatError
            If the file is foreign, cut short, or its matrices are not those of its architecture.
        """
        from safetensors import SafetensorError, safe_open

        path = Path(path)
        if path.suffix == ".space":
            path = path.with_suffix(".safetensors")
            if not path.exists():
                raise FileFormatError(f"{path}: no such file; a transformer's space has its model beside it")
        try:
            with safe_open(str(path), framework="numpy") as file:
                told = file.metadata() or {}
                weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except SafetensorError as error:
            raise FileFormatError(f"{path}: not a readable safetensors file ({str(error).splitlines()[0]})") from None
        if not {"architecture", "vocabulary", "recipe"} <= told.keys() or "counts" not in weights:
            raise FileFormatError(f"{path}: not a language model of firth's; learn one with --method transformer")
        try:
            architecture = Architecture(**json.loads(told["architecture"]))
            vocabulary, recipe = vocabulary_from(told["vocabulary"]), json.loads(told["recipe"])
        except (ValueError, TypeError) as error:
            raise FileFormatError(f"{path}: {error}") from None
        counts, shapes = weights.pop("counts"), _shapes(architecture, len(vocabulary))
        if {name: array.shape for name, array in weights.items()} != shapes or counts.shape != (len(vocabulary),):
            raise FileFormatError(f"{path}: its matrices are not those of {architecture} and {len(vocabulary)} tokens")
        return cls(from_named(weights), architecture, vocabulary, counts, recipe)


def _shapes(architecture: Architecture, v: int) -> dict[str, tuple[int, ...]]:
    one = start(replace(architecture, layers=1), 1)
    shapes = {name: array.shape for name, array in named(one) if not name.startswith("blocks.")}
    shapes["embedding"] = (v, architecture.dim)
    own = {name: array.shape for name, array in one["blocks"][0].items()}
    return shapes | {f"blocks.{n}.{name}": shape for n in range(architecture.layers) for name, shape in own.items()}


def _drawn(scores: np.ndarray, temperature: float, top_k: int, top_p: float, random: np.random.Generator) -> int:
    """A row drawn by its logit (v,)."""
    if temperature == 0 or top_k == 1:
        return int(np.argmax(scores))
    order = np.argsort(-scores, kind="stable")[:top_k]
    shares = softmax(scores[order] / temperature)
    # Those before which less than top_p lies: always one.
    shares = shares[np.concatenate([[True], np.cumsum(shares)[:-1] < top_p])]
    return int(order[random.choice(len(shares), p=shares / shares.sum())])


# Learning


def transformer_steps(
    source: Any,
    architecture: Architecture | None = None,
    options: Training | None = None,
    reading: Reading | None = None,
    *,
    bpe: bool = False,
    threads: int | None = None,
    checkpoint: str | Path | None = None,
    keep_on_interrupt: bool = False,
) -> Generator[ReadStep | PhraseStep | Progress | TrainStep, None, LanguageModel]:
    """Learn as `transformer` does, step by step.

    With `bpe`, the text is read as byte-level BPE of `max_vocab` tokens, not as words. See `train_steps` for `checkpoint` and
    `keep_on_interrupt`.
    """
    architecture, options = architecture or Architecture(), options or Training()
    reading = reading or Reading(max_vocab=WORD_VOCAB)
    if reading.phrases:
        raise ArgumentError("phrases must be 0 for a transformer, which sees the words before a word; leave it out")
    devices_of(options)  # what cannot work says so before the text is read
    if bpe:
        v = reading.max_vocab or BPE_VOCAB
        vocabulary, text = yield from read_bpe(source, v, column=reading.column, errors=reading.errors)
    else:
        vocabulary, text = yield from read_words(source, reading, threads)
    trained = yield from train_steps(
        text.tokens, len(vocabulary), architecture, options,
        checkpoint=None if checkpoint is None else Path(checkpoint), keep_on_interrupt=keep_on_interrupt,
    )  # fmt: skip
    read_as = {**asdict(reading), "tokens": "bpe" if bpe else reading.tokens}
    recipe = {
        "method": "transformer",
        "options": {**asdict(architecture), **asdict(options), **read_as},
        "corpus": text.about,
        "steps": trained.step,
        "perplexity": trained.perplexity,
        "unigram_perplexity": trained.others.unigram,
        "bigram_perplexity": trained.others.bigram,
        "held_out_tokens": trained.others.tokens,
        "curve": trained.curve,
        "tokens_per_s": trained.tokens_per_s,
        "flops_per_s": trained.flops_per_s,
        "share_of_peak": trained.share_of_peak,
    }
    if trained.step < trained.steps:
        recipe["interrupted_at"] = round(trained.step / trained.steps, 4)
    return LanguageModel(trained.model, architecture, vocabulary, text.counts, recipe)


def transformer(
    source: Any,
    *,
    dim: int = 96,
    layers: int = 4,
    heads: int = 4,
    context: int = 64,
    hidden: int | None = None,
    positions: Literal["rope", "learned"] = "rope",
    epochs: int = 1,
    steps: int | None = None,
    batch: int = 16,
    accumulate: int = 1,
    rate: float = 3e-3,
    decay: float = 0.1,
    held_out: float = 0.02,
    precision: Literal["float32", "bfloat16"] = "float32",
    device: Literal["cpu", "gpu"] | None = None,
    seed: int = 1,
    threads: int | None = None,
    min_count: int = 5,
    max_vocab: int | None = None,
    tokens: Literal["words", "whitespace", "bpe"] = "words",
    sentences: Literal["line", "paragraph"] = "line",
    errors: Literal["strict", "replace"] = "strict",
    column: str | None = None,
    checkpoint: str | Path | None = None,
) -> LanguageModel:
    """Learn a language model from a text: a transformer that predicts the next token from those before it.

    About 6 (parameters) operations a token, attention apart; most of them, with a small model, in telling apart the words.

    Parameters
    ----------
    source
        As for `firth.word2vec`: a file, folder or glob, several of them; or lists of tokens.
    dim, layers, heads, context, hidden, positions
        As in `Architecture`.
    epochs, steps, batch, accumulate, rate, decay, held_out, precision, device, seed
        As in `Training`.
    threads
        That read the text; JAX trains with all cores.
    min_count, sentences, errors, column
        As in `Reading`. Rarer words are one token, `<unk>`.
    max_vocab
        Words, by default 10,000; or tokens of BPE, by default 8,192.
    tokens
        As in `Reading`; or "bpe": byte-level BPE, learned from the text.
    checkpoint
        A file from which the same training goes on exactly where it was interrupted.

    Returns
    -------
    LanguageModel
        `space()` is its embedding; `sample`, `next`, `inside`; `save("words.safetensors")`.

    Raises
    ------
    ArgumentError, CorpusError
        If an option or the text cannot be used; before training begins.
    TrainingError
        If training diverges; a lower rate helps.
    MissingExtraError
        Without firth[transformer].

    Notes
    -----
    A. Vaswani et al.: Attention is all you need. 2017; A. Radford et al.: Language models are unsupervised multitask learners.
    2019.
    """
    architecture = Architecture(dim, layers, heads, context, hidden, positions)
    options = Training(epochs, steps, batch, accumulate, rate, decay, held_out, precision, device, seed)
    bpe = tokens == "bpe"
    most = max_vocab or (BPE_VOCAB if bpe else WORD_VOCAB)
    reading = Reading("words" if tokens == "bpe" else tokens, sentences, errors, min_count, most, column)
    return drain(
        transformer_steps(source, architecture, options, reading, bpe=bpe, threads=threads, checkpoint=checkpoint)
    )
