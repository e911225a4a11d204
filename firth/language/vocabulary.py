"""Text to tokens and back: firth's own words with one for all that are unknown, or byte-level BPE, which knows everything."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np

from firth._check import ArgumentError, CorpusError, FileFormatError, MissingExtraError
from firth.steps import Progress
from firth.text import SENTENCE_END, PhraseStep, Reading, ReadStep, read_corpus_steps, read_pieces, split_tokens

UNKNOWN, END = "<unk>", "<end>"  # of words: all others, and the end of a sentence
BPE_BATCH = 64  # pieces of text that are encoded at once


class Text(NamedTuple):
    """A text in the tokens of its vocabulary.

    Attributes
    ----------
    tokens
        (n,), rows of the vocabulary.
    counts
        How often each comes: (v,) int64.
    about
        What was read: sources, digest, how many tokens.
    """

    tokens: np.ndarray
    counts: np.ndarray
    about: dict[str, Any]


class Words:
    """Words as firth reads them, most frequent first, then `<unk>` and `<end>`, which stands after each sentence."""

    kind = "words"

    def __init__(self, labels: Sequence[str], tokens: Literal["words", "whitespace"] = "words") -> None:
        self.labels = list(labels)
        self.splitting: Literal["words", "whitespace"] = tokens

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def index(self) -> dict[str, int]:
        """Rows by label."""
        return {label: row for row, label in enumerate(self.labels)}

    def encode(self, text: str) -> list[int]:
        """Rows of a text's tokens."""
        return [self.index.get(word, self.index[UNKNOWN]) for word in split_tokens(text, self.splitting)]

    def unknown(self, text: str) -> list[str]:
        """The words of a text that are read as `<unk>`, each once."""
        return list(dict.fromkeys(word for word in split_tokens(text, self.splitting) if word not in self.index))

    def decode(self, rows: Iterable[int]) -> str:
        """The text of rows; a sentence a line."""
        words = " ".join(self.labels[row] if self.labels[row] != END else "\n" for row in rows)
        return "\n".join(line.strip(" ") for line in words.split("\n"))

    def as_text(self) -> str:
        """What `vocabulary_from` reads."""
        return json.dumps({"kind": self.kind, "tokens": self.splitting, "labels": self.labels}, ensure_ascii=False)


class Bpe:
    """Byte-level byte-pair encoding, by the library `tokenizers`: pieces of words, and bytes for what is rare.

    R. Sennrich, B. Haddow and A. Birch: Neural machine translation of rare words with subword units. 2016; A. Radford et al.:
    Language models are unsupervised multitask learners. 2019, section 2.2.
    """

    kind = "bpe"

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer

    def __len__(self) -> int:
        return self.tokenizer.get_vocab_size()

    @cached_property
    def labels(self) -> list[str]:
        """A token that begins a word by its letters, one that goes on with a word with ## before them, others as they are."""
        shown: dict[str, None] = {}  # which has an order, as a set has not
        for row in range(len(self)):
            token = self.tokenizer.id_to_token(row)
            text = self.tokenizer.decoder.decode([token])
            label = text[1:] if text.startswith(" ") else f"##{text}"
            plain = "\ufffd" not in text and text.strip() and not any(letter.isspace() for letter in label)
            label = label if plain and label not in shown else token
            shown[label if label not in shown else f"<{row}>"] = None
        return list(shown)

    def encode(self, text: str) -> list[int]:
        """Rows of a text's tokens."""
        return self.tokenizer.encode(text).ids

    def unknown(self, text: str) -> list[str]:
        """Nothing is: what is rare is spelt by its bytes."""
        return []

    def decode(self, rows: Iterable[int]) -> str:
        """The text of rows."""
        return self.tokenizer.decode(list(rows))

    def as_text(self) -> str:
        """What `vocabulary_from` reads."""
        return json.dumps({"kind": self.kind, "tokenizer": self.tokenizer.to_str()}, ensure_ascii=False)


Vocabulary = Words | Bpe


def vocabulary_from(text: str) -> Vocabulary:
    """The vocabulary that `as_text` wrote."""
    try:
        told = json.loads(text)
        if told["kind"] == Bpe.kind:
            return Bpe(_tokenizers().Tokenizer.from_str(told["tokenizer"]))
        return Words(told["labels"], told["tokens"])
    except (ValueError, KeyError, TypeError) as error:
        raise FileFormatError(f"the vocabulary cannot be read ({error})") from None


def read_words(
    source: Any, reading: Reading, threads: int | None = None
) -> Generator[ReadStep | PhraseStep | Progress, None, tuple[Words, Text]]:
    """Read a text as words; those that are rarer than `min_count`, or beyond `max_vocab`, are one token, `<unk>`."""
    corpus = yield from read_corpus_steps(source, replace(reading, min_count=1, max_vocab=None), threads=threads)
    special = [corpus.labels.index(name) for name in (UNKNOWN, END) if name in corpus.labels]
    kept = int(np.count_nonzero(corpus.counts >= reading.min_count))
    kept = min(kept, reading.max_vocab or kept)
    rows = [row for row in range(kept) if row not in special]
    if len(rows) < 2:
        raise CorpusError(
            f"{', '.join(corpus.sources[:3])}: {len(rows)} distinct words occur {reading.min_count} times or more; at least two"
            " are needed; lower min_count (--min-count) or read more text"
        )
    words = [corpus.labels[row] for row in rows]
    labels = [*words, UNKNOWN, END]
    table = np.full(len(corpus.labels), len(rows), np.uint32)
    table[rows] = np.arange(len(rows))
    ends = corpus.ids == SENTENCE_END
    tokens = table[np.where(ends, 0, corpus.ids)]
    tokens[ends] = len(rows) + 1
    counts = np.bincount(tokens, minlength=len(labels))
    about = {"sources": corpus.sources, "digest": corpus.digest, "tokens": corpus.tokens, "sentences": corpus.sentences}
    # Items of lists need not be words as text is cut into.
    own = reading.tokens if split_tokens("\n".join(words), reading.tokens) == words else "whitespace"
    return Words(labels, own), Text(tokens, counts, about | {"unknown": int(counts[-2])})


def read_bpe(
    source: Any, v: int, *, column: str | None = None, errors: Literal["strict", "replace"] = "strict"
) -> Generator[Progress, None, tuple[Bpe, Text]]:
    """Learn v tokens of byte-level BPE from a text, and read it as those; from token lists there is nothing to learn."""
    tokenizers = _tokenizers()
    from firth import _core

    if v < 257:
        raise ArgumentError(f"max_vocab must be at least 257 for tokens='bpe', which begins with 256 bytes; got {v}")
    yield Progress("reading", 0, 0)
    pieces, sources = read_pieces(source, column=column, errors=errors)
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    bytes_ = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    trainer = tokenizers.trainers.BpeTrainer(vocab_size=v, initial_alphabet=bytes_, show_progress=False)
    yield Progress("learning tokens", 0, 0)
    tokenizer.train_from_iterator(pieces, trainer)
    rows = []
    for number in range(0, len(pieces), BPE_BATCH):
        yield Progress("reading", number, len(pieces))
        rows.extend(
            np.array(found.ids, np.uint32) for found in tokenizer.encode_batch(pieces[number : number + BPE_BATCH])
        )
    tokens = np.concatenate(rows)
    counts = np.bincount(tokens, minlength=tokenizer.get_vocab_size())
    about = {"sources": sources, "digest": _core.digest([tokens.view(np.uint8)]), "tokens": len(tokens)}
    return Bpe(tokenizer), Text(tokens, counts, about)


def _tokenizers() -> Any:
    try:
        import tokenizers
        import tokenizers.decoders
        import tokenizers.models
        import tokenizers.pre_tokenizers
        import tokenizers.trainers
    except ImportError:
        raise MissingExtraError("byte-level BPE needs tokenizers: pip install 'firth[transformer]'") from None
    return tokenizers
