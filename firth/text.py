"""Text to numbers: files, folders, streams and token lists become a Corpus.

The core maps plain files into memory and cuts them into tokens in parallel, in one pass; compressed files, standard
input and the text columns of JSON lines and Parquet are streamed through the same code.
"""

from __future__ import annotations

import contextlib
import glob
import io
import json
import math
import os
import sys
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple

import numpy as np

from firth._check import ArgumentError, CorpusError, available_threads, check_choice, check_int, check_number
from firth.items import Items, is_arrow, is_list
from firth.steps import drain

SENTENCE_END = 0xFFFF_FFFF  # marks the end of a sentence among the ids
DROPPED = 0xFFFF_FFFE  # a word that `renumbered` leaves out
SPILL_BYTES = 2 << 30  # ids of more bytes than this (half a billion tokens) go to a temporary file
SLICE_BYTES = 16 << 20  # a step reads about so much; Ctrl-C waits for it
BLOCK_BYTES = 1 << 20  # and threads share it in pieces of this
LINES = 256  # in a piece of text
PARQUET_ROWS, PARQUET_ITEMS = 1 << 16, 1 << 20  # of Parquet, no more than so many are decoded at once
COMPRESSED = (".gz", ".xz", ".zst")
PLAIN = (".txt", ".text", ".md", ".rst")
RECORDS = (".jsonl", ".ndjson", ".parquet")


@dataclass(frozen=True, slots=True)
class Reading:
    """How a text becomes tokens and sentences, and which words are kept.

    Attributes
    ----------
    tokens
        "words": Unicode words (UAX 29), lower-cased, apostrophes inside them kept. "whitespace": as the text has them.
    sentences
        What ends a sentence: a "line", or a "paragraph" (a blank line). Windows of words do not cross it.
    errors
        What to do about bytes that are not UTF-8: "strict" raises, "replace" puts U+FFFD.
    min_count, max_vocab
        Words that occur less often, or are not among the most frequent, are left out.
    column
        The field of JSON lines, or the column of Parquet, that holds the text or the token lists.
    phrases
        In so many passes, join adjacent words that are a phrase ("new york" is one label then, and after a second pass
        perhaps "new york city"). Words are a phrase if (count(ab) - min_count) / (count(a) count(b)) * tokens is more than
        the threshold (Mikolov et al. 2013b, section 4). Counts are those of the text after joining.
    phrase_threshold
        That of the last pass; in each pass before, it is twice that of the next.
    """

    tokens: Literal["words", "whitespace"] = "words"
    sentences: Literal["line", "paragraph"] = "line"
    errors: Literal["strict", "replace"] = "strict"
    min_count: int = 5
    max_vocab: int | None = None
    column: str | None = None
    phrases: int = 0
    phrase_threshold: float = 100.0

    def __post_init__(self) -> None:
        check_choice("tokens", self.tokens, ("words", "whitespace"))
        check_choice("sentences", self.sentences, ("line", "paragraph"))
        check_choice("errors", self.errors, ("strict", "replace"))
        check_int("min_count", self.min_count, 1)
        if self.max_vocab is not None:
            check_int("max_vocab", self.max_vocab, 2)
        check_int("phrases", self.phrases, 0, 20)
        check_number("phrase_threshold", self.phrase_threshold, 0.0, math.inf, above=True)


class Corpus(NamedTuple):
    """A text as rows of its vocabulary.

    Attributes
    ----------
    labels
        The v words, most frequent first; equally frequent ones in order of their UTF-8 bytes.
    counts
        How often each occurs: (v,) int64.
    ids
        The text as rows of the vocabulary, `SENTENCE_END` after each sentence: (m,) uint32. Rare words are left out.
    tokens, kept_tokens
        How many tokens there were (a phrase is one), and how many are left without the rare ones.
    sentences
        How many sentences have words left.
    digest
        Of the text that was read, or of labels and ids if it was lists (xxh3, 128 bits, in hexadecimal).
    sources
        Names of what was read.
    """

    labels: list[str]
    counts: np.ndarray
    ids: np.ndarray
    tokens: int
    kept_tokens: int
    sentences: int
    digest: str
    sources: list[str]


class ReadStep(NamedTuple):
    """Where reading stands: bytes of what is on disk, None where the total is not known; `source` is being read."""

    source: str
    done_bytes: int
    total_bytes: int | None
    tokens: int
    elapsed_s: float


class PhraseStep(NamedTuple):
    """Where finding phrases stands."""

    stage: str
    done: int
    total: int


def read_corpus(
    source: Any,
    *,
    tokens: Literal["words", "whitespace"] = "words",
    sentences: Literal["line", "paragraph"] = "line",
    errors: Literal["strict", "replace"] = "strict",
    min_count: int = 5,
    max_vocab: int | None = None,
    column: str | None = None,
    phrases: int = 0,
    phrase_threshold: float = 100.0,
    threads: int | None = None,
    spill_bytes: int = SPILL_BYTES,
) -> Corpus:
    """Read a corpus and number its words, in one pass.

    Parameters
    ----------
    source
        A path: a file (plain text, .jsonl, .parquet; also .gz, .xz, .zst), a folder (its text files), a glob, or `-` for
        standard input; a list of paths; or token lists: any iterable of lists of hashable items, whose labels are their
        `str`; an integer array with a list a row; an Arrow, polars or pandas column of lists. What is missing in them (None,
        null) is left out.
    tokens, sentences, errors, min_count, max_vocab, column, phrases, phrase_threshold
        As in `Reading`.
    threads
        By default one for each core. The result does not depend on it.
    spill_bytes
        Ids of more bytes than this are kept in a temporary file.

    Raises
    ------
    CorpusError
        If a source is missing, empty or not readable, or if fewer than two words are left.

    Examples
    --------
    >>> corpus = read_corpus([["tea", "milk"], ["tea", "milk", "sugar"]], min_count=2)
    >>> corpus.labels, corpus.counts.tolist()
    (['milk', 'tea'], [2, 2])
    >>> corpus.ids.tolist() == [1, 0, SENTENCE_END, 1, 0, SENTENCE_END]
    True
    """
    reading = Reading(tokens, sentences, errors, min_count, max_vocab, column, phrases, phrase_threshold)
    return drain(read_corpus_steps(source, reading, threads=threads, spill_bytes=spill_bytes))


def read_corpus_steps(
    source: Any,
    reading: Reading | None = None,
    *,
    vocabulary: Sequence[str] | None = None,
    threads: int | None = None,
    spill_bytes: int = SPILL_BYTES,
    _block_bytes: int = BLOCK_BYTES,
) -> Generator[ReadStep | PhraseStep, None, Corpus]:
    """Read as `read_corpus` does, step by step.

    The labels of a `vocabulary` come first and in its order, whatever their counts in this text, 0 included; new words
    that occur `min_count` times follow, as long as there are fewer than `max_vocab`.
    """
    reading = reading or Reading()
    known = list(vocabulary or [])
    if len(set(known)) < len(known):
        raise ArgumentError("vocabulary must not have a label twice")
    column = reading.column
    threads = check_int("threads", threads or available_threads(), 1, 4_096)

    from firth import _core

    paths = _paths(source)
    words, paragraphs, replace = (
        reading.tokens == "words",
        reading.sentences == "paragraph",
        reading.errors == "replace",
    )
    reader = _core.TextReader(words, paragraphs, replace, threads, _block_bytes, spill_bytes)
    items = None
    if paths is None:
        items = yield from _read_lists(reader, source, f"{type(source).__name__} of token lists")
    elif column is not None and _list_column(paths, column):
        items = yield from _read_list_columns(reader, paths, column)
    else:
        yield from _read_files(reader, paths, column)
    try:
        numbered = reader.settle()
    except LookupError as error:
        label, *kinds = error.args
        raise items.clash(label, kinds) if items else error from None
    yield from _join_phrases(numbered, reading)
    result = numbered.finish(reading.min_count, len_limit(reading.max_vocab), known)
    distinct, highest = result.pop("distinct"), result.pop("highest")
    result["ids"] = _ids(result["ids"])
    result["counts"] = result["counts"].astype(np.int64)
    if items:
        labels = "\0".join(result["labels"]).encode()
        result["digest"] = _core.digest([result["ids"].view(np.uint8), labels])
    found = Corpus(**result, sources=paths or [f"{type(source).__name__} of token lists"])
    _check_vocabulary(found, distinct, highest, reading.min_count)
    return found


def _join_phrases(numbered: Any, reading: Reading) -> Generator[PhraseStep, None, None]:
    """Join the phrases of a text that the core holds, pass by pass; each one's threshold is half that of the one before."""
    for number in range(1, reading.phrases + 1):
        numbered.begin_phrases(reading.min_count, reading.phrase_threshold * 2.0 ** (reading.phrases - number))
        stage = "finding phrases" if reading.phrases == 1 else f"finding phrases, pass {number} of {reading.phrases}"
        while (done := numbered.step_phrases()) is not None:
            yield PhraseStep(stage, *done)


def split_tokens(text: str, tokens: Literal["words", "whitespace"] = "words") -> list[str]:
    """Cut a text into tokens as `read_corpus` does, all of them, in order.

    Examples
    --------
    >>> split_tokens("The king's men.")
    ['the', "king's", 'men']
    """
    from firth import _core

    check_choice("tokens", tokens, ("words", "whitespace"))
    reader = _core.TextReader(tokens == "words", False, True, 1, BLOCK_BYTES, SPILL_BYTES)
    reader.feed(text.encode(errors="replace"))
    reader.end_source()
    found = reader.settle().finish(1, len_limit(None), [])
    ids = _ids(found["ids"])
    return [found["labels"][row] for row in ids[ids != SENTENCE_END].tolist()]


def read_pieces(
    source: Any, *, column: str | None = None, errors: Literal["strict", "replace"] = "strict"
) -> tuple[list[str], list[str]]:
    """Read a text as it is, in pieces of whole lines, and the names of what was read.

    Parameters
    ----------
    source
        Paths, as in `read_corpus`; no token lists.
    column, errors
        As in `Reading`.

    Raises
    ------
    CorpusError
        If a source is missing, empty or not readable.
    """
    paths = _paths(source)
    if paths is None:
        raise ArgumentError(f"source must be a path, or several paths, of text; got {type(source).__name__}")
    pieces = []
    for path in paths:
        with _naming(path), contextlib.ExitStack() as stack:
            raw = sys.stdin.buffer if path == "-" else stack.enter_context(open(path, "rb"))
            has_records = _has_records(path, column)
            if column is not None and not has_records:
                raise CorpusError(f"{path}: column={column!r} is for JSON lines and Parquet; leave it out for text")
            parts, rest = _records(path, raw, column) if has_records else _pieces(_decompressed(path, raw)), b""
            before = len(pieces)
            for part in parts:
                lines = (rest + part).split(b"\n")
                rest = lines.pop()
                some = (lines[n : n + LINES] for n in range(0, len(lines), LINES))
                pieces.extend((b"\n".join([*own, b""])).decode(errors=errors) for own in some)
            if rest:
                pieces.append(rest.decode(errors=errors))
            if len(pieces) == before:
                raise CorpusError(f"{_name(path)}: nothing to read: it is empty")
    return pieces, paths


def renumbered(
    ids: np.ndarray, table: np.ndarray, *, threads: int | None = None, spill_bytes: int = SPILL_BYTES
) -> tuple[np.ndarray, int]:
    """Give the ids of a corpus the numbers that `table` has for them, and count the sentences that have words left.

    Parameters
    ----------
    ids : (m,) uint32
        With `SENTENCE_END` after each sentence. They are not changed.
    table : (v,) uint32
        The new number of each old one, or `DROPPED`.

    Examples
    --------
    >>> ids = np.array([0, 1, SENTENCE_END, 1, SENTENCE_END], np.uint32)
    >>> found, sentences = renumbered(ids, np.array([7, DROPPED], np.uint32))
    >>> found.tolist() == [7, SENTENCE_END], sentences
    (True, 1)
    """
    from firth import _core

    ids, table = np.ascontiguousarray(ids, np.uint32), np.ascontiguousarray(table, np.uint32)
    found, sentences = _core.renumber(ids, table, threads or available_threads(), spill_bytes)
    return _ids(found), sentences


def _ids(ids: np.ndarray | tuple[int, int]) -> np.ndarray:
    """Ids that are an array, or the descriptor of a file without a name and how many of them it holds."""
    if not isinstance(ids, tuple):
        return ids
    with os.fdopen(ids[0], "rb") as file:
        return np.memmap(file, np.uint32, "r", shape=(ids[1],)) if ids[1] else np.empty(0, np.uint32)


def len_limit(max_vocab: int | None) -> int:
    """The largest vocabulary that ids can number, or `max_vocab`."""
    return SENTENCE_END - 1 if max_vocab is None else max_vocab


def _check_vocabulary(corpus: Corpus, distinct: int, highest: int, min_count: int) -> None:
    where = ", ".join(corpus.sources[:3]) + (" ..." if len(corpus.sources) > 3 else "")
    if distinct == 0:
        raise CorpusError(f"{where}: no words; text with letters or digits is expected")
    if len(corpus.labels) >= 2 and corpus.kept_tokens:
        return
    if distinct == 1 and len(corpus.labels) < 2:
        raise CorpusError(f"{where}: only one distinct word in {corpus.tokens:,} tokens; at least two are needed")
    kept = min(len(corpus.labels), corpus.kept_tokens)
    raise CorpusError(
        f"{where}: {distinct:,} distinct words in {corpus.tokens:,} tokens, but {kept or 'none'} of them"
        f" occur{'s' if kept else ''} at least min_count = {min_count} times (the most frequent one {highest:,} times);"
        " lower min_count (--min-count) or read more text"
    )


# Sources


def _paths(source: Any) -> list[str] | None:
    """Names of the files that `source` stands for; None if it is an iterable of token lists."""
    if isinstance(source, (str, Path)):
        source = [source]
    if not isinstance(source, (list, tuple)) or not source or not all(isinstance(item, (str, Path)) for item in source):
        if (isinstance(source, Iterable) and not isinstance(source, (bytes, bytearray))) or is_arrow(source):
            return None
        raise ArgumentError(f"source must be a path, several paths or an iterable of token lists; got {source!r}")
    paths: list[str] = []
    for item in map(str, source):
        paths.extend(_expand(item))
    return paths


def _expand(item: str) -> list[str]:
    if item == "-" or os.path.isfile(item):
        return [item]
    if os.path.isdir(item):
        found = [str(path) for path in sorted(Path(item).rglob("*")) if _is_text(path, Path(item))]
        if found and not (found := [path for path in found if os.path.getsize(path)]):
            raise CorpusError(f"{item}: nothing to read in this folder: its text files are empty")
        if not found:
            kinds = ", ".join((*PLAIN, ".jsonl", ".parquet"))
            raise CorpusError(
                f"{item}: nothing to read in this folder; files ending in {kinds} (also {', '.join(COMPRESSED)}) are"
                " expected; name other files one by one"
            )
        return found
    if glob.has_magic(item):
        found = sorted(path for path in glob.glob(item, recursive=True) if os.path.isfile(path))
        if found:
            return found
        raise CorpusError(f"{item}: no file matches")
    if os.path.exists(item):  # a pipe or a device
        return [item]
    hint = "; for token lists, give lists of words, such as [['the', 'cat'], ['a', 'dog']]" if " " in item else ""
    raise CorpusError(f"{item}: no such file or folder{hint}")


def _is_text(path: Path, folder: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
    return not hidden and path.is_file() and _kind(str(path)) in (*PLAIN, *RECORDS)


def _kind(path: str) -> str:
    """The suffix that tells what a file holds, without that of its compression."""
    base, suffix = os.path.splitext(path.lower())
    return os.path.splitext(base)[1] if suffix in COMPRESSED else suffix


def _has_records(path: str, column: str | None) -> bool:
    """Whether a file holds rows with a text column; standard input does if a column is asked for."""
    return _kind(path) in RECORDS or (path == "-" and column is not None)


def _read_files(reader: Any, paths: list[str], column: str | None) -> Generator[ReadStep, None, None]:
    """Feed every file to the reader."""
    began = time.perf_counter()
    sizes = [os.path.getsize(path) if os.path.isfile(path) else None for path in paths]
    total = sum(size or 0 for size in sizes) if None not in sizes else None
    before = 0
    for path, size in zip(paths, sizes, strict=True):
        with _naming(path):
            if size == 0:
                raise CorpusError(f"{path}: the file is empty")
            records = _has_records(path, column)
            plain = size is not None and not path.lower().endswith(COMPRESSED) and not records
            if column is not None and not records:
                raise CorpusError(
                    f"{path}: column={column!r} is for JSON lines (.jsonl, .ndjson) and Parquet (.parquet); leave it out for text"
                )
            at: int | None
            for at in _map(reader, path) if plain else _stream(reader, path, column):
                yield ReadStep(path, before + at, total, reader.tokens(), time.perf_counter() - began)
        before += size or 0
    yield ReadStep(paths[-1], before, total, reader.tokens(), time.perf_counter() - began)


def _map(reader: Any, path: str) -> Iterator[int]:
    reader.open(path)
    while (at := reader.read(SLICE_BYTES)) is not None:
        yield at


def _stream(reader: Any, path: str, column: str | None) -> Iterator[int]:
    with contextlib.ExitStack() as stack:
        raw = sys.stdin.buffer if path == "-" else stack.enter_context(open(path, "rb"))
        pieces = _records(path, raw, column) if _has_records(path, column) else _pieces(_decompressed(path, raw))
        read = 0
        for piece in pieces:
            reader.feed(piece)
            read += len(piece)
            yield raw.tell() if raw.seekable() else read
        reader.end_source()
        if read == 0:
            raise CorpusError(f"{_name(path)}: nothing to read: it is empty")


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    while piece := file.read(SLICE_BYTES // 4):
        yield piece


def _decompressed(path: str, raw: IO[bytes]) -> IO[bytes]:
    suffix = os.path.splitext(path.lower())[1]
    if suffix == ".gz":
        import gzip

        return gzip.open(raw)  # type: ignore[return-value]
    if suffix == ".xz":
        import lzma

        return lzma.open(raw)
    if suffix == ".zst":
        import pyarrow

        own = open(os.dup(raw.fileno()), "rb", buffering=0)  # noqa: SIM115 - the stream closes it, and would close `raw`
        return io.BufferedReader(pyarrow.CompressedInputStream(own, "zstd"))
    return raw


def _records(path: str, raw: IO[bytes], column: str | None) -> Iterator[bytes]:
    """The text of each row, rows apart by a blank line, in pieces."""
    if column is None:
        raise CorpusError(f"{path}: say which field holds the text: column= (--column); it has {_fields(path, raw)}")
    batch, size = [], 0
    for number, value in _values(path, raw, column):
        if not isinstance(value, str):
            raise CorpusError(f"{_place(path, number)}: {column!r} must be text; found {value!r:.60}")
        batch.append(value)
        size += len(value)
        if size > SLICE_BYTES // 4:
            yield "\n\n".join([*batch, ""]).encode()
            batch, size = [], 0
    yield "\n\n".join([*batch, ""]).encode()


def _place(path: str, number: int) -> str:
    return f"{_name(path)}, {'row' if _kind(path) == '.parquet' else 'line'} {number}"


def _name(path: str) -> str:
    return "standard input" if path == "-" else path


def _values(path: str, raw: IO[bytes], column: str) -> Iterator[tuple[int, Any]]:
    """Number and value of each row that has one, from JSON lines or Parquet."""
    if _kind(path) == ".parquet":
        number = 0
        for chunk in _chunks(_parquet(path, raw, column), column):
            for value in chunk.to_pylist():
                number += 1
                if value is not None:
                    yield number, value
        return
    for number, line in enumerate(_decompressed(path, raw), 1):
        if line.strip():
            record = _json(path, number, line)
            if column not in record:
                raise CorpusError(f"{_place(path, number)}: no field {column!r}; its fields are {', '.join(record)}")
            if record[column] is not None:
                yield number, record[column]


def _parquet(path: str, raw: IO[bytes], column: str) -> Any:
    """A Parquet file that has the column."""
    import pyarrow.parquet

    table = pyarrow.parquet.ParquetFile(raw)
    if column not in table.schema_arrow.names:
        raise CorpusError(f"{path}: no column {column!r}; its columns are {', '.join(table.schema_arrow.names)}")
    return table


def _json(path: str, number: int, line: bytes) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except ValueError as error:
        raise CorpusError(f"{_place(path, number)}: not JSON ({error}); one object a line is expected") from None
    if not isinstance(record, dict):
        raise CorpusError(f"{_place(path, number)}: a JSON object is expected; found {str(record)[:60]!r}")
    return record


def _fields(path: str, raw: IO[bytes]) -> str:
    if _kind(path) == ".parquet":
        import pyarrow.parquet

        return ", ".join(pyarrow.parquet.ParquetFile(raw).schema_arrow.names)
    first = next((line for line in _decompressed(path, raw) if line.strip()), b"{}")
    return ", ".join(_json(path, 1, first)) or "none"


@contextlib.contextmanager
def _naming(path: str) -> Iterator[None]:
    """Turn what goes wrong while a file is read into an error that names it."""
    import zlib
    from lzma import LZMAError

    name = _name(path)
    try:
        yield
    except CorpusError:
        raise
    except UnicodeError as error:
        if len(error.args) != 2:  # not from the core
            raise CorpusError(f"{name}: not UTF-8 ({error})") from None
        offset, byte = error.args
        raise CorpusError(
            f'{name}, byte {offset:,}: not UTF-8 (0x{byte:02x}); use errors="replace" (--errors replace), or convert the file'
        ) from None
    except (EOFError, LZMAError, zlib.error) as error:
        raise CorpusError(f"{name}: damaged or cut short ({error})") from None
    except OSError as error:
        if isinstance(error, (PermissionError, FileNotFoundError, IsADirectoryError)):
            raise CorpusError(f"{name}: {error.strerror or error}") from None
        raise CorpusError(f"{name}: damaged or not readable ({error})") from None
    except ValueError as error:  # what pyarrow raises for a foreign or damaged file
        raise CorpusError(f"{name}: damaged or not what its name says ({error})") from None


# Token lists


def _list_column(paths: list[str], column: str) -> bool:
    """Whether the column holds token lists rather than text, which the first file tells."""
    path = paths[0]
    with _naming(path):
        if _kind(path) not in RECORDS:
            return False
        with open(path, "rb") as raw:
            if _kind(path) == ".parquet":
                return is_list(_parquet(path, raw, column).schema_arrow.field(column).type)
            return isinstance(next(_values(path, raw, column), (0, None))[1], list)


def _read_list_columns(reader: Any, paths: list[str], column: str) -> Generator[ReadStep, None, Items]:
    """Feed the lists of a column, over all files, to the reader."""
    began = time.perf_counter()
    items = Items(reader)
    sizes = [os.path.getsize(path) for path in paths]
    before = 0
    for path, size in zip(paths, sizes, strict=True):
        with _naming(path), open(path, "rb") as raw:
            share = 0.0
            if _kind(path) == ".parquet":
                table = _parquet(path, raw, column)
                kind = table.schema_arrow.field(column).type
                if not is_list(kind):
                    raise CorpusError(f"{path}: lists are expected as before; {column!r} holds {kind}")
                rows = 0
                for chunk in _chunks(table, column):
                    for _ in items.column([chunk]):
                        yield ReadStep(
                            path, before + int(share * size), sum(sizes), reader.tokens(), time.perf_counter() - began
                        )
                    rows += len(chunk)
                    share = rows / table.metadata.num_rows
            else:
                for _ in items.feed(_json_lists(path, raw, column)):
                    at = before + raw.tell()
                    yield ReadStep(path, at, sum(sizes), reader.tokens(), time.perf_counter() - began)
        before += size
    yield ReadStep(paths[-1], before, before, reader.tokens(), time.perf_counter() - began)
    return items


def _chunks(table: Any, column: str) -> Iterator[Any]:
    """A Parquet column in pieces of some items, or of many rows; the next one is decoded while one is used."""
    from concurrent.futures import ThreadPoolExecutor

    groups = [table.metadata.row_group(n) for n in range(table.num_row_groups)]
    paths = [table.schema.column(n).path for n in range(len(table.schema))]
    leaf = next(n for n, path in enumerate(paths) if path == column or path.startswith(f"{column}."))
    items = sum(group.column(leaf).num_values for group in groups)
    rows = max(1, min(PARQUET_ROWS, PARQUET_ITEMS * table.metadata.num_rows // max(items, 1)))
    batches = table.iter_batches(batch_size=rows, columns=[column])
    with ThreadPoolExecutor(1) as other:
        coming = other.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = other.submit(next, batches, None)
            yield batch.column(0)


def _json_lists(path: str, raw: IO[bytes], column: str) -> Iterator[list[Any]]:
    for number, value in _values(path, raw, column):
        if not isinstance(value, list):
            raise CorpusError(f"{_place(path, number)}: a list is expected as before; found {value!r:.60}")
        yield value


def _read_lists(reader: Any, lists: Iterable[Any], name: str) -> Generator[ReadStep, None, Items]:
    """Feed the items of token lists to the reader."""
    began = time.perf_counter()
    items = Items(reader)
    for _ in items.feed(lists):
        yield ReadStep(name, 0, None, reader.tokens(), time.perf_counter() - began)
    return items
