"""firth.text: from files, folders, streams and token lists to a Corpus. The tokeniser's own tests are in core/src/text."""

from __future__ import annotations

import gzip
import io
import json
import lzma
import os
import re
import subprocess
import sys
import threading
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from firth._check import ArgumentError, CorpusError
from firth.steps import drain
from firth.text import (
    DROPPED,
    SENTENCE_END,
    Corpus,
    PhraseStep,
    Reading,
    ReadStep,
    read_corpus,
    read_corpus_steps,
    renumbered,
)

TEXT = "The cat sat.\nThe dog sat down,\nthe cat ran\n\nA dog ran: the end\n"
WORDS = [["the", "cat", "sat"], ["the", "dog", "sat", "down"], ["the", "cat", "ran"], ["a", "dog", "ran", "the", "end"]]


def plain(lists, min_count=1, max_vocab=None, vocabulary=()):
    """The specification: labels, counts and ids of token lists."""
    counts = Counter(token for tokens in lists for token in tokens)
    order = sorted(counts, key=lambda token: (-counts[token], token.encode()))
    new = [token for token in order if counts[token] >= min_count and token not in vocabulary]
    labels = [*vocabulary, *new][: max(max_vocab or len(counts) + len(vocabulary), len(vocabulary))]
    rows = {label: row for row, label in enumerate(labels)}
    ids = []
    for tokens in lists:
        kept = [rows[token] for token in tokens if token in rows]
        ids += [*kept, SENTENCE_END] if kept else []
    return labels, [counts[label] for label in labels], ids


def joined(lists, min_count, threshold):
    """The specification of a pass that joins phrases."""
    words = Counter(token for tokens in lists for token in tokens)
    pairs = Counter(pair for tokens in lists for pair in pairwise(tokens))
    total = float(words.total())

    def is_phrase(a, b):
        return (pairs[a, b] - min_count) * total > threshold * words[a] * words[b]

    after = []
    for tokens in lists:
        after.append([])
        left = iter(zip(tokens, [*tokens[1:], None], strict=False))
        for a, b in left:
            phrase = b is not None and is_phrase(a, b)
            after[-1].append(f"{a} {b}" if phrase else a)
            if phrase:
                next(left)
    return after


def parts(corpus: Corpus):
    return corpus.labels, corpus.counts.tolist(), np.asarray(corpus.ids).tolist()


def same(a: Corpus, b: Corpus):
    assert parts(a) == parts(b)
    assert (a.tokens, a.kept_tokens, a.sentences) == (b.tokens, b.kept_tokens, b.sentences)


# What is found


def test_text_becomes_rows(tmp_path):
    (path := tmp_path / "a.txt").write_text(TEXT)
    corpus = read_corpus(path, min_count=1)
    assert parts(corpus) == plain(WORDS)
    assert (corpus.tokens, corpus.kept_tokens, corpus.sentences) == (15, 15, 4)
    assert corpus.ids.dtype == np.uint32
    assert corpus.counts.dtype == np.int64
    assert corpus.sources == [str(path)]
    assert re.fullmatch("[0-9a-f]{32}", corpus.digest)


@pytest.mark.parametrize(("min_count", "max_vocab"), [(1, None), (2, None), (1, 3), (2, 2)])
def test_rare_words_are_left_out(tmp_path, min_count, max_vocab):
    (path := tmp_path / "a.txt").write_text(TEXT)
    options = dict(min_count=min_count, max_vocab=max_vocab)
    corpus = read_corpus(path, **options)
    assert parts(corpus) == plain(WORDS, **options)
    assert corpus.tokens == 15
    assert corpus.kept_tokens == corpus.counts.sum()
    same(corpus, read_corpus(WORDS, **options))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don't STOP o'clock ’tis l’été", ["don't", "stop", "o'clock", "tis", "l’été"]),
        ("naïve Ünïted ΣΊΣΥΦΟΣ", ["naïve", "ünïted", "σίσυφος"]),
        ("3.14 1,000 v2.0 a_b __ 'quoted'", ["3.14", "1,000", "v2.0", "a_b", "quoted"]),
        ("e-mail x=y (a) [b] <c>", ["e", "mail", "x", "y", "a", "b", "c"]),
        ("привет мир", ["привет", "мир"]),
        ("日本 カタカナ", ["日", "本", "カタカナ"]),
    ],
)
def test_words_are_unicode_words_lower_cased(tmp_path, text, words):
    (path := tmp_path / "a.txt").write_text(text)
    corpus = read_corpus(path, min_count=1)
    assert [corpus.labels[row] for row in corpus.ids[:-1]] == words


def test_white_space_tokens_are_kept_as_they_are(tmp_path):
    (path := tmp_path / "a.txt").write_text("New_York U.S.A. -> #tag\tcafé\r\nNew_York x-y\n")
    corpus = read_corpus(path, min_count=1, tokens="whitespace")
    assert parts(corpus) == plain([["New_York", "U.S.A.", "->", "#tag", "café"], ["New_York", "x-y"]])


def test_a_paragraph_can_be_a_sentence(tmp_path):
    (path := tmp_path / "a.txt").write_text("a b\nc d\n\n \ne f\n\ng\n")
    corpus = read_corpus(path, min_count=1, sentences="paragraph")
    assert parts(corpus) == plain([["a", "b", "c", "d"], ["e", "f"], ["g"]])


def test_a_file_ends_a_sentence_and_a_byte_order_mark_is_no_word(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfa b")
    (tmp_path / "b.txt").write_bytes(b"a c")
    paths = [tmp_path / "a.txt", tmp_path / "b.txt"]
    assert parts(read_corpus(paths, min_count=1)) == plain([["a", "b"], ["a", "c"]])


@given(
    lists=st.lists(st.lists(st.text("abcé日", min_size=1, max_size=3), max_size=6), min_size=1, max_size=30),
    min_count=st.integers(1, 3),
    threads=st.integers(1, 3),
    block=st.integers(1, 60),
    spill=st.sampled_from([0, 100, 1 << 30]),
)
def test_text_is_its_token_lists_however_it_is_cut(tmp_path, lists, min_count, threads, block, spill):
    if len(plain(lists, min_count)[0]) < 2:
        return
    (path := tmp_path / "a.txt").write_text("\n".join(" ".join(tokens) for tokens in lists))
    reading = Reading(min_count=min_count, tokens="whitespace")
    steps = read_corpus_steps(path, reading, threads=threads, spill_bytes=spill, _block_bytes=block)
    corpus = None
    while corpus is None:
        try:
            assert isinstance(next(steps), ReadStep)
        except StopIteration as end:
            corpus = end.value
    assert parts(corpus) == plain(lists, min_count)
    same(corpus, read_corpus(lists, min_count=min_count))


@given(
    lists=st.lists(st.lists(st.text("abcé", min_size=1, max_size=2), max_size=6), min_size=2, max_size=20),
    vocabulary=st.lists(st.text("abx", min_size=1, max_size=2), unique=True, max_size=5),
    min_count=st.integers(1, 3),
    max_vocab=st.none() | st.integers(2, 8),
)
def test_known_words_come_first(tmp_path, lists, vocabulary, min_count, max_vocab):
    (path := tmp_path / "a.txt").write_text("\n".join(" ".join(tokens) for tokens in lists))
    labels, counts, ids = plain(lists, min_count, max_vocab, vocabulary)
    reading = Reading("whitespace", min_count=min_count, max_vocab=max_vocab)
    for source in (path, lists):
        if len(labels) < 2 or not ids:
            with pytest.raises(CorpusError):
                drain(read_corpus_steps(source, reading, vocabulary=vocabulary))
        else:
            assert parts(drain(read_corpus_steps(source, reading, vocabulary=vocabulary))) == (labels, counts, ids)


@given(
    lists=st.lists(st.lists(st.sampled_from("aabcdé"), max_size=9), min_size=1, max_size=30),
    passes=st.integers(1, 3),
    threshold=st.sampled_from([0.1, 0.5, 1.0, 2.0]),
    min_count=st.integers(1, 3),
    spill=st.sampled_from([0, 1 << 30]),
    threads=st.integers(1, 3),
)
def test_phrases_are_joined_as_in_the_plain_version(tmp_path, lists, passes, threshold, min_count, spill, threads):
    (path := tmp_path / "a.txt").write_text("\n".join(" ".join(tokens) for tokens in lists))
    options = dict(min_count=min_count, phrases=passes, phrase_threshold=threshold, threads=threads, spill_bytes=spill)
    for number in reversed(range(passes)):
        lists = joined(lists, min_count, threshold * 2**number)
    expected = plain(lists, min_count)
    for source in (path, [line.split() for line in path.read_text().split("\n")]):
        if len(expected[0]) < 2:
            with pytest.raises(CorpusError):
                read_corpus(source, **options)
        else:
            corpus = read_corpus(source, **options)
            assert parts(corpus) == expected
            assert corpus.tokens == sum(map(len, lists))


def test_a_dropped_word_keeps_its_neighbours_apart():
    lists = [["new", "york"]] * 6 + [["new", "old", "york"]] + [[f"w{i}", "x"] for i in range(50)]
    corpus = read_corpus(lists, min_count=2, phrases=1, phrase_threshold=3)
    assert corpus.labels == ["x", "new york"]
    corpus = read_corpus([*lists, *[["new", None, "york"]] * 3], min_count=2, phrases=1, phrase_threshold=3)
    assert corpus.labels == ["x", "new york", "new", "york"]


def test_phrases_come_in_steps():
    steps = list(read_corpus_steps([["a", "b"], ["a", "b"]], Reading(min_count=1, phrases=2)))
    stages = dict.fromkeys(step.stage for step in steps if isinstance(step, PhraseStep))
    assert list(stages) == ["finding phrases, pass 1 of 2", "finding phrases, pass 2 of 2"]


@given(
    ids=st.lists(st.sampled_from([0, 1, 2, 3, SENTENCE_END]), max_size=40),
    table=st.lists(st.integers(0, 9) | st.just(DROPPED), min_size=4, max_size=4),
    spill=st.sampled_from([0, 20, 1 << 30]),
)
def test_renumbering_drops_words_and_empty_sentences(ids, table, spill):
    ids = np.array([*ids, SENTENCE_END], np.uint32)
    sentences = np.split(ids, np.flatnonzero(ids == SENTENCE_END))
    kept = [[table[i] for i in sentence if i != SENTENCE_END and table[i] != DROPPED] for sentence in sentences]
    found, count = renumbered(ids, np.array(table, np.uint32), threads=2, spill_bytes=spill)
    assert found.tolist() == [i for sentence in kept if sentence for i in [*sentence, SENTENCE_END]]
    assert count == sum(map(bool, kept))


def test_spilled_ids_are_a_file_that_no_one_sees(tmp_path):
    (path := tmp_path / "a.txt").write_text(TEXT * 50)
    spilled, held = read_corpus(path, spill_bytes=100), read_corpus(path)
    assert isinstance(spilled.ids, np.memmap)
    same(spilled, held)


# Where it comes from


def packed(path: Path, text: str) -> Path:
    data = text.encode()
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(data))
    elif path.suffix == ".xz":
        path.write_bytes(lzma.compress(data))
    elif path.suffix == ".zst":
        with pa.CompressedOutputStream(str(path), "zstd") as file:
            file.write(data)
    else:
        path.write_bytes(data)
    return path


SUFFIXES = ["", ".gz", ".xz", ".zst"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_compressed_text_is_read(tmp_path, suffix):
    text = TEXT * 100_000 if suffix == ".gz" else TEXT  # one of more than a few pieces
    corpus = read_corpus(packed(tmp_path / f"a.txt{suffix}", text), min_count=1)
    assert corpus.labels == plain(WORDS)[0]
    assert corpus.tokens == 15 * len(text) // len(TEXT)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_json_lines_are_read(tmp_path, suffix):
    rows = [{"id": i, "text": " ".join(tokens)} for i, tokens in enumerate(WORDS)]
    rows[1]["text"] = rows[1]["text"].replace("dog", "dog\nsat")  # a row's own lines are sentences
    rows += [{"id": 5, "text": None}, {"id": 6, "text": "café the"}]
    path = packed(tmp_path / f"a.jsonl{suffix}", "\n\n".join(map(json.dumps, rows)))
    corpus = read_corpus(path, column="text", min_count=1)
    lists = [WORDS[0], ["the", "dog"], ["sat", "sat", "down"], *WORDS[2:], ["café", "the"]]
    assert parts(corpus) == plain(lists)


def test_parquet_is_read(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": [*map(" ".join, WORDS), None], "other": [1, 2, 3, 4, 5]}), path)
    assert parts(read_corpus(path, column="text", min_count=1)) == plain(WORDS)


def test_list_columns_are_token_lists(tmp_path):
    pq.write_table(pa.table({"basket": [["New York", "x"], None, ["x", "y"]]}), tmp_path / "a.parquet")
    (tmp_path / "b.jsonl").write_text('{"basket": ["New York", "y"]}\n')
    paths = [tmp_path / "a.parquet", tmp_path / "b.jsonl"]
    corpus = read_corpus(paths, column="basket", min_count=1)
    assert parts(corpus) == plain([["New York", "x"], ["x", "y"], ["New York", "y"]])
    assert corpus.sources == [str(path) for path in paths]


def test_a_folder_is_its_text_files(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / ".git").mkdir()
    packed(tmp_path / "b.txt", "b b")
    packed(tmp_path / "sub" / "a.md.gz", "a a")
    for name in ("empty.txt", "image.png", ".hidden.txt", ".git/c.txt"):
        (tmp_path / name).write_text("" if name == "empty.txt" else "c c")
    corpus = read_corpus(tmp_path, min_count=1)
    assert corpus.sources == [str(tmp_path / "b.txt"), str(tmp_path / "sub" / "a.md.gz")]
    assert parts(corpus) == plain([["b", "b"], ["a", "a"]])


def test_a_glob_is_what_it_matches(tmp_path):
    for name in ("a.log", "b.log", "c.txt"):
        (tmp_path / name).write_text(f"{name[0]} x")
    assert parts(read_corpus(str(tmp_path / "*.log"), min_count=1)) == plain([["a", "x"], ["b", "x"]])


def from_stdin(data: bytes, **options) -> str:
    code = f"from firth.text import read_corpus; c = read_corpus('-', min_count=1, **{options!r}); print(c.labels, c.tokens)"
    done = subprocess.run([sys.executable, "-c", code], input=data, capture_output=True, check=True)
    return done.stdout.decode().strip()


def test_standard_input_is_read():
    assert from_stdin(TEXT.encode()) == f"{plain(WORDS)[0]} 15"


def test_standard_input_may_be_json_lines():
    assert from_stdin(b'{"text": "a b"}\n{"text": "a"}\n', column="text") == "['a', 'b'] 3"


def test_a_named_pipe_is_read(tmp_path):
    os.mkfifo(pipe := tmp_path / "pipe")
    writer = threading.Thread(target=lambda: pipe.write_text(TEXT))
    writer.start()
    assert parts(read_corpus(pipe, min_count=1)) == plain(WORDS)
    writer.join()


def test_any_iterable_of_any_hashable_items_is_read():
    walks = ((i % 3, i % 2) for i in range(60))
    corpus = read_corpus(walks, min_count=1)
    assert corpus.labels == ["0", "1", "2"]
    assert corpus.counts.tolist() == [50, 50, 20]
    assert parts(read_corpus(np.array([[1, 2], [2, 3]]), min_count=1)) == plain([["1", "2"], ["2", "3"]])


def test_the_digest_is_that_of_the_content(tmp_path):
    a, b, c = tmp_path / "a.txt", tmp_path / "b.txt.gz", tmp_path / "c.txt"
    packed(a, TEXT), packed(b, TEXT), packed(c, TEXT + "x")
    first, second, third = (read_corpus(path, min_count=1).digest for path in (a, b, c))
    assert first == second
    assert first != third


def test_steps_tell_where_reading_stands(tmp_path):
    (path := tmp_path / "a.txt").write_text(TEXT * 400_000)  # more than a slice
    steps = list(read_corpus_steps(path))
    done = [step.done_bytes for step in steps]
    assert len(steps) > 1
    assert done == sorted(done)
    assert done[-1] == steps[0].total_bytes == path.stat().st_size
    assert steps[-1].tokens == 15 * 400_000


# What goes wrong


@pytest.mark.parametrize(
    ("name", "data", "options", "message"),
    [
        ("a.txt", b"", {}, r"a\.txt: the file is empty"),
        ("a.txt", b" \n ... \n", {}, "no words; text with letters or digits is expected"),
        ("a.txt", b"a a a", {"min_count": 1}, "only one distinct word in 3 tokens; at least two"),
        (
            "a.txt",
            b"a b c a",
            {},
            r"3 distinct words in 4 tokens, but none of them occur at least min_count = 5 times \(the most frequent one 2"
            r" times\); lower min_count \(--min-count\) or read more text",
        ),
        ("a.txt", b"a b a", {"min_count": 2}, "but 1 of them occurs at least min_count = 2 times"),
        (
            "a.txt",
            b"good caf\xe9",
            {},
            r'a\.txt, byte 8: not UTF-8 \(0xe9\); use errors="replace" \(--errors replace\)',
        ),
        ("a.txt.gz", gzip.compress(b"good caf\xe9", mtime=0), {}, r"gz, byte 8: not UTF-8 \(0xe9\)"),
        ("a.txt.gz", b"not gzip", {}, r"a\.txt\.gz: damaged or not readable \(Not a gzipped file"),
        ("a.txt.gz", gzip.compress(b"a b c" * 99, mtime=0)[:-9], {}, "damaged or cut short"),
        ("a.txt.xz", b"not xz", {}, "damaged or cut short"),
        ("a.txt.xz", lzma.compress(b"a b c" * 99)[:-20], {}, "damaged or cut short"),
        ("a.txt.zst", b"not zstd", {}, "damaged or not readable"),
        ("a.txt.gz", gzip.compress(b"", mtime=0), {}, "nothing to read: it is empty"),
        ("a.txt", b"a b", {"column": "text"}, r"column='text' is for JSON lines .* leave it out for text"),
        ("a.jsonl", b'{"text": "a"}', {}, r"say which field holds the text: column= \(--column\); it has text"),
        ("a.jsonl", b'{"x": "a", "y": 1}', {"column": "t"}, "line 1: no field 't'; its fields are x, y"),
        ("a.jsonl", b'{"t": "a"}\n{"t":', {"column": "t"}, "line 2: not JSON"),
        ("a.jsonl", b"[1]", {"column": "t"}, "line 1: a JSON object is expected"),
        ("a.jsonl", b'{"t": "a"}\n{"t": 3}', {"column": "t"}, "line 2: 't' must be text; found 3"),
        ("a.jsonl", b'{"t": ["a"]}\n{"t": "b"}', {"column": "t"}, "line 2: a list is expected as before; found 'b'"),
        ("a.jsonl", b'{"t": "\\ud800"}', {"column": "t"}, "not UTF-8"),
        ("a.parquet", b"PAR1 not", {"column": "t"}, "damaged or not what its name says"),
    ],
)
def test_errors_name_the_place_and_the_remedy(tmp_path, name, data, options, message):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(CorpusError, match=message):
        read_corpus(tmp_path / name, **options)


def test_parquet_tells_its_columns(tmp_path):
    pq.write_table(pa.table({"title": ["a"], "body": ["b"]}), tmp_path / "a.parquet")
    with pytest.raises(CorpusError, match="no column 'text'; its columns are title, body"):
        read_corpus(tmp_path / "a.parquet", column="text")
    with pytest.raises(CorpusError, match=r"column= \(--column\); it has title, body"):
        read_corpus(tmp_path / "a.parquet")


def test_sources_that_are_not_there(tmp_path):
    for source, message in [
        (tmp_path / "none.txt", r"none\.txt: no such file or folder$"),
        ("the cat sat", "no such file or folder; for token lists, give lists of words"),
        (str(tmp_path / "*.txt"), "no file matches"),
        (tmp_path, "nothing to read in this folder; files ending in .txt"),
    ]:
        with pytest.raises(CorpusError, match=message):
            read_corpus(source)
    (tmp_path / "a.txt").touch()
    with pytest.raises(CorpusError, match="its text files are empty"):
        read_corpus(tmp_path)


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        (3, {}, "source must be a path, several paths or an iterable of token lists; got 3"),
        (b"x", {}, "source must be a path"),
        ([["a"], "b c"], {}, "sequence 1 of the source is a string; a list of tokens is expected"),
        ([["a"], 3], {}, "sequence 1 of the source is int"),
        ([["a", ["b"]]], {}, "sequence 0 of the source: items must be hashable"),
        ([[1, "1"]], {}, "two different items have the same label '1': 1 and '1'"),
        ([["a", "b"]], {"min_count": 0}, "min_count must be at least 1"),
        ([["a", "b"]], {"max_vocab": 1}, "max_vocab must be at least 2"),
        ([["a", "b"]], {"threads": -1}, "threads must be in 1..4096"),
        ([["a", "b"]], {"tokens": "bytes"}, "tokens must be one of words, whitespace"),
        ([["a", "b"]], {"sentences": "page"}, "sentences must be one of line, paragraph"),
        ([["a", "b"]], {"phrases": -1}, "phrases must be in 0..20"),
        ([["a", "b"]], {"phrase_threshold": 0}, "phrase_threshold must be above 0"),
        ([["a", "b"]], {"errors": "ignore"}, "errors must be one of strict, replace"),
    ],
)
def test_arguments_are_checked(source, options, message):
    with pytest.raises(ArgumentError, match=message):
        read_corpus(source, **options)


def test_bytes_that_are_not_utf8_can_be_replaced(tmp_path):
    (path := tmp_path / "a.txt").write_bytes(b"good caf\xe9 x\n" * 3)
    corpus = read_corpus(path, errors="replace", min_count=1)
    assert corpus.labels == ["caf", "good", "x"]  # U+FFFD is no letter
    corpus = read_corpus(path, errors="replace", min_count=1, tokens="whitespace")
    assert corpus.labels == ["caf\ufffd", "good", "x"]


@given(st.binary(max_size=300), st.sampled_from(["words", "whitespace"]), st.integers(1, 40))
@example(b"\xf0\x9f\x98", "words", 2)
@example(b"a\xcc\x81 'b' \xe2\x80\x99", "words", 3)
def test_any_bytes_give_a_corpus_or_an_error(tmp_path, data, tokens, block):
    (path := tmp_path / "a.txt").write_bytes(data)
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        with pytest.raises(CorpusError, match="not UTF-8") as raised:
            read_corpus(path, min_count=1, tokens=tokens)
        # The place is that of the first bad sequence; a sequence of several bytes may be named at any of its bytes.
        at = int(re.search(r"byte ([\d,]+):", str(raised.value))[1].replace(",", ""))
        assert error.start == at
        read = dict(errors="replace")
        text = data.decode(errors="replace")
    else:
        read = {}
    try:
        steps = read_corpus_steps(path, Reading(min_count=1, tokens=tokens, **read), threads=2, _block_bytes=block)
        while True:
            next(steps)
    except CorpusError as error:
        assert any(words in str(error) for words in ("empty", "no words", "only one distinct"))
        return
    except StopIteration as end:
        corpus = end.value
    assert corpus.counts.sum() == corpus.kept_tokens == corpus.tokens == (corpus.ids != SENTENCE_END).sum()
    if tokens == "whitespace":
        text = text.removeprefix("\ufeff")
        lists = [[token for token in re.split(r"[ \t\n\v\f\r]+", line) if token] for line in text.split("\n")]
        assert parts(corpus) == plain([tokens for tokens in lists if tokens])


@given(st.data())
def test_damaged_files_give_an_error_or_the_text(tmp_path, data):
    """Truncate and change compressed files, JSON lines and Parquet: an error, or words; never a crash."""
    suffix = data.draw(st.sampled_from([".txt.gz", ".txt.xz", ".txt.zst", ".jsonl", ".parquet"]))
    path = tmp_path / f"a{suffix}"
    if suffix == ".parquet":
        buffer = io.BytesIO()
        pq.write_table(pa.table({"text": [TEXT] * 5}), buffer)
        path.write_bytes(buffer.getvalue())
    else:
        packed(path, TEXT * 5 if suffix != ".jsonl" else (json.dumps({"text": TEXT}) + "\n") * 5)
    whole = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(0, 3))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole)))])
    column = "text" if suffix in (".jsonl", ".parquet") else None
    try:
        corpus = read_corpus(path, column=column, min_count=1)
    except CorpusError as error:
        assert str(path) in str(error)
    else:
        assert corpus.tokens > 0


def test_control_c_stops_reading(tmp_path):
    (path := tmp_path / "a.txt").write_text(TEXT * 400_000)
    steps = read_corpus_steps(path)
    next(steps)
    with pytest.raises(KeyboardInterrupt):
        steps.throw(KeyboardInterrupt())
