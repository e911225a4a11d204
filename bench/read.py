"""Reading: text, lists, arrays, Arrow and Parquet into numbers, and joining phrases; beside gensim and word2phrase.

    .venv/bin/python bench/read.py [TEXT] [--rounds 5] [--word2phrase PROGRAM] [--before COMMAND]

Each way runs in a process of its own, started by COMMAND (such as `nice -n -5`) if there is one. How to get the text and
gensim: bench/README.md; word2phrase is compiled from word2vec's sources with `gcc -O3 -march=native -lm -pthread`.
"""

from __future__ import annotations

import argparse
import json
import lzma
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from common import peak_mib, run_child, spread, write_result

from firth.text import PhraseStep, Reading, read_corpus_steps

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
READING = Reading(tokens="whitespace")


def lists(text: str) -> list[list[str]]:
    return [line.split() for line in Path(text).read_text().splitlines()]


def numbers(text: str) -> list[np.ndarray]:
    rows: dict[str, int] = {}
    return [np.array([rows.setdefault(word, len(rows)) for word in line]) for line in lists(text)]


def matrix(text: str) -> np.ndarray:
    return np.array([line for line in numbers(text) if len(line) == 1000])


def parquet(column: Any, folder: str) -> str:
    path = f"{folder}/a.parquet"
    pq.write_table(pa.table({"items": column}), path)
    return path


def firth(source: Any, threads: int, reading: Reading = READING) -> dict[str, float]:
    """Time until all is read, until phrases are joined, and until the vocabulary is settled and all is rows of it."""
    began = time.perf_counter()
    steps = read_corpus_steps(source, reading, threads=threads)
    read_s = 0.0
    while True:
        try:
            if not isinstance(next(steps), PhraseStep):
                read_s = time.perf_counter() - began
        except StopIteration as end:
            return {"s": time.perf_counter() - began, "read_s": read_s, "tokens": end.value.tokens}


def build_vocab(**source: Any) -> dict[str, float]:
    from gensim.models import Word2Vec

    began = time.perf_counter()
    Word2Vec(min_count=5).build_vocab(**source)
    return {"s": time.perf_counter() - began}


def gensim_phrases(text: str) -> dict[str, float]:
    """Gensim's Phrases: found, and the text joined with the frozen ones."""
    from gensim.models.phrases import Phrases
    from gensim.models.word2vec import LineSentence

    began = time.perf_counter()
    phrases = Phrases(LineSentence(text), min_count=5, threshold=100.0).freeze()
    joined = sum(len(line) for line in phrases[LineSentence(text)])
    return {"s": time.perf_counter() - began, "tokens": joined}


def dictionary(source: list[list[str]]) -> dict[str, float]:
    """What Python itself needs to number the items, by a dictionary."""
    began = time.perf_counter()
    rows: dict[str, int] = {}
    ids: list[int] = []
    for line in source:
        ids.extend([rows.setdefault(word, len(rows)) for word in line])
    return {"s": time.perf_counter() - began, "tokens": len(ids)}


def ways(
    text: str, folder: str, threads: int
) -> dict[str, tuple[Callable[[], Any], Callable[[Any], dict[str, float]]]]:
    """For each way: what makes its source, before the clock starts, and the work itself."""

    def read(source: Any) -> dict[str, float]:
        return firth(source, threads)

    def column(path: str) -> dict[str, float]:
        return firth(path, threads, Reading(column="items"))

    return {
        "text": (lambda: text, read),
        "lists of strings": (lambda: lists(text), read),
        "lists of integers": (lambda: [line.tolist() for line in numbers(text)], read),
        "integer arrays": (lambda: numbers(text), read),
        "integer matrix": (lambda: matrix(text), read),
        "Arrow strings": (lambda: pa.array(lists(text)), read),
        "Arrow dictionary": (lambda: coded(pa.array(lists(text))), read),
        "Arrow integers": (lambda: pa.array(numbers(text)), read),
        "Parquet strings": (lambda: parquet(pa.array(lists(text)), folder), column),
        "Parquet integers": (lambda: parquet(pa.array(numbers(text)), folder), column),
        "text, one pass of phrases": (lambda: text, lambda it: firth(it, threads, Reading("whitespace", phrases=1))),
        "text, two passes of phrases": (lambda: text, lambda it: firth(it, threads, Reading("whitespace", phrases=2))),
        "Python dictionary, lists": (lambda: lists(text), dictionary),
        "gensim build_vocab, file": (lambda: text, lambda it: build_vocab(corpus_file=it)),
        "gensim build_vocab, lists": (lambda: lists(text), lambda it: build_vocab(corpus_iterable=it)),
        "gensim Phrases, file": (lambda: text, gensim_phrases),
    }


def coded(column: Any) -> Any:
    return pa.ListArray.from_arrays(column.offsets, column.values.dictionary_encode())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", nargs="?", type=Path, default=DATA / "wiki17m.txt.xz")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--word2phrase")
    parser.add_argument("--before", default="")
    parser.add_argument("--only", nargs="*", help="these ways alone, printed and not written")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        with tempfile.TemporaryDirectory() as folder:
            make, work = ways(str(given.text), folder, given.threads)[given.child]
            source = make()
            print(json.dumps([work(source) for _ in range(given.rounds)] + [{"peak_mib": peak_mib()}]))
        return

    found: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        text = given.text
        if text.suffix == ".xz":
            text = Path(folder) / text.stem
            with lzma.open(given.text) as packed, open(text, "wb") as plain:
                shutil.copyfileobj(packed, plain)
        size = text.stat().st_size
        before = shlex.split(given.before)
        for name in given.only or ways(str(text), folder, given.threads):
            rounds = 1 if "gensim" in name else given.rounds
            settings = ["--rounds", str(rounds), "--threads", str(given.threads), "--child", name]
            *runs, memory = json.loads(run_child([*before, sys.executable, __file__, str(text), *settings]).stdout)
            found[name] = {"s": spread([run["s"] for run in runs])}
            if "read_s" in runs[0]:
                found[name]["read_s"] = spread([run["read_s"] for run in runs])
            if "tokens" in runs[0]:
                found[name]["tokens"] = runs[0]["tokens"]
            found[name]["peak_mib"] = round(memory["peak_mib"])
            print(name, found[name], file=sys.stderr)
        if given.only:
            return
        if given.word2phrase:
            out = f"{folder}/phrases.txt"
            settings = ["-train", str(text), "-output", out, "-min-count", "5", "-threshold", "100", "-debug", "0"]
            began = time.perf_counter()
            subprocess.run([*before, given.word2phrase, *settings], check=True, stdout=subprocess.DEVNULL)
            found["word2phrase, file"] = {"s": spread([time.perf_counter() - began])}

    tokens = found["text"]["tokens"]
    for name, one in found.items():
        rate = (one.get("tokens", tokens) if "phrases" not in name.lower() else tokens) / one["s"]["median"]
        one["million_tokens_per_s"] = round(rate / 1e6, 2)

    def over(peer: str, ours: str) -> float | None:
        return round(found[peer]["s"]["median"] / found[ours]["s"]["median"], 1) if peer in found else None

    write_result(
        "read",
        {
            "what": "from the source to labels, counts and ids, min count 5, seconds; lists are made before the clock starts",
            "text": {"name": given.text.name, "bytes": size, "tokens": tokens},
            "threads": given.threads,
            "text_gb_per_s": {
                "reading, cutting and numbering": round(size / found["text"]["read_s"]["median"] / 1e9, 3),
                "with the vocabulary settled": round(size / found["text"]["s"]["median"] / 1e9, 3),
            },
            "a_pass_of_phrases_s": round(
                found["text, one pass of phrases"]["s"]["median"] - found["text"]["s"]["median"], 3
            ),
            "peer_over_firth": {
                "gensim build_vocab, file": over("gensim build_vocab, file", "text"),
                "gensim build_vocab, lists": over("gensim build_vocab, lists", "lists of strings"),
                "Python dictionary, lists": over("Python dictionary, lists", "lists of strings"),
                "gensim Phrases, file": over("gensim Phrases, file", "text, one pass of phrases"),
                "word2phrase, file": over("word2phrase, file", "text, one pass of phrases"),
            },
            "ways": found,
        },
        ["firth", "gensim", "numpy", "pyarrow"],
    )


if __name__ == "__main__":
    main()
