"""The programs that bench/learn.py compares: what they learn, how each is started, and how what it saved is judged.

As a child, `programs.py child PROGRAM TASK SEED TEXT OUT` is one of the two Python ones, and `programs.py judge ...` the judge.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

THREADS = 2
GENERAL = "window 5, negatives 5, sample 1e-3, min count 5, alpha 0.025, words apart by spaces"
GLOVE = "window 15, x_max 100, min count 5, words apart by spaces"
NOTES = {
    "loop": "firth, gensim: the training call alone. The C programs: from their first to their last line of progress, by the "
    "clock of the benchmark. fastText writes one every 0.1 s, so up to 0.1 s is missing",
    "end to end": "from the start of the process to its end: text file to saved vectors (GloVe: the four programs in turn)",
    "saved as": "firth .space; gensim its own format; word2vec.c and pWord2Vec binary; fastText its model and text; GloVe text",
    "word2vec.c": "no seed option: the five are repeats, which differ by how the two threads race. One line is mended "
    "(bench/peers.sh): its last thread skipped every epoch but the first",
    "pword2vec": "no seed option: repeats. Built with g++ and Intel's MKL, not Intel's compiler (bench/peers.sh)",
    "fasttext": "no subwords (-minn 0 -maxn 0, which makes the bucket 0). It thins out frequent words by word2vec's formula, but "
    "draws noise words by count ** 0.5, not 0.75, and the end of a line is a word",
    "glove.c -Ofast": "as glove.c, its training program compiled so that sums may be reordered, which its makefile names as an "
    "option to use with caution",
    "auc": "area under the curve x 100: the cosine of words within 5 of each other in held-out text against words as frequent",
    "agreement": "mean overlap in per cent of the 10 nearest neighbours of 2,000 words among the 20,000 most frequent with those "
    "of the reference's runs of other seeds (the reference: gensim; of GloVe, Stanford's)",
}

Method = Literal["skipgram", "cbow", "glove"]
SOURCES = {
    "word2vec.c": "word2vec",
    "fasttext": "fastText",
    "pword2vec": "pWord2Vec",
    "glove.c": "GloVe",
    "glove.c -Ofast": "GloVe",
}


class Task(NamedTuple):
    """What is learned from what."""

    corpus: str
    method: Method
    dim: int
    epochs: int
    programs: tuple[str, ...]  # the first is firth, the second the reference for quality

    @property
    def name(self) -> str:
        """In results and on the command line."""
        return f"{self.corpus}-{self.method}-{self.dim}x{self.epochs}"


TASKS = {
    task.name: task
    for task in (
        # word2vec.c and fastText take minutes an epoch: all programs are compared at one, the fastest at the usual five.
        Task("wiki17m", "skipgram", 100, 1, ("firth", "gensim", "word2vec.c", "fasttext", "pword2vec")),
        Task("wiki17m", "skipgram", 100, 5, ("firth", "gensim", "pword2vec")),
        Task("wiki17m", "skipgram", 300, 1, ("firth", "gensim", "pword2vec")),
        Task("wiki17m", "cbow", 100, 5, ("firth", "gensim")),
        Task("wiki17m", "glove", 100, 10, ("firth", "glove.c", "glove.c -Ofast")),
        Task("techdocs", "skipgram", 100, 3, ("firth", "gensim")),
        Task("techdocs", "cbow", 100, 3, ("firth", "gensim")),
        Task("techdocs", "glove", 100, 5, ("firth", "glove.c")),
    )
}


class Command(NamedTuple):
    """A process to run; `progress` is what its lines of progress have in them."""

    arguments: list[str | Path]
    progress: bytes | None = None
    stdin: Path | None = None
    stdout: Path | None = None


def commands(program: str, task: Task, seed: int, folder: Path, out: Path) -> list[Command]:
    """What learns and saves, in sequence. The two Python programs are this file again, as a child."""
    text, peers = folder / "data" / f"{task.corpus}.txt", folder / "peers"
    if program in ("firth", "gensim"):
        return [Command([sys.executable, __file__, "child", program, task.name, str(seed), text, out])]
    dim, epochs, threads = str(task.dim), str(task.epochs), str(THREADS)
    if program in ("glove.c", "glove.c -Ofast"):
        build, glove = peers / "GloVe" / "build", "glove" if program == "glove.c" else "glove-ofast"
        vocabulary, pairs, shuffled = (out.with_suffix(end) for end in (".vocabulary", ".pairs", ".shuffled"))
        vectors = ["-vector-size", dim, "-iter", epochs, "-x-max", "100", "-threads", threads, "-seed", str(seed)]
        counting = ["-window-size", "15", "-memory", "4.0", "-overflow-file", out.with_suffix(".overflow")]
        shuffling = ["-memory", "4.0", "-temp-file", out.with_suffix(".temporary")]
        files = ["-input-file", shuffled, "-vocab-file", vocabulary, "-save-file", out.with_suffix("")]
        return [
            Command([build / "vocab_count", "-min-count", "5"], stdin=text, stdout=vocabulary),
            Command([build / "cooccur", "-vocab-file", vocabulary, *counting], stdin=text, stdout=pairs),
            Command([build / "shuffle", "-seed", str(seed), *shuffling], stdin=pairs, stdout=shuffled),
            # "alpha" is said once, right before training
            Command([build / glove, *vectors, *files, "-model", "2", "-binary", "0"], progress=b"alpha: |iter: "),
        ]
    if program == "fasttext":
        options = ["-dim", dim, "-epoch", epochs, "-thread", threads, "-seed", str(seed), "-lr", "0.025", "-ws", "5"]
        options += ["-minCount", "5", "-loss", "ns", "-neg", "5", "-t", "1e-3", "-minn", "0", "-maxn", "0"]
        files = ["-input", text, "-output", out.with_suffix("")]
        return [Command([peers / "fastText" / "fasttext", task.method, *files, *options], progress=b"Progress: ")]
    assert max(len(str(text)), len(str(out))) < 100, "word2vec.c and pWord2Vec have room for 99 letters of a file name"
    options = ["-train", text, "-output", out, "-binary", "1", "-size", dim, "-iter", epochs, "-threads", threads]
    options += ["-window", "5", "-negative", "5", "-sample", "1e-3", "-min-count", "5", "-alpha", "0.025"]
    if program == "word2vec.c":
        options += ["-cbow", "1" if task.method == "cbow" else "0", "-hs", "0"]
        return [Command([peers / "word2vec" / "word2vec", *options], progress=b"Alpha: ")]
    return [Command([peers / "pWord2Vec" / "pWord2Vec", *options], progress=b"Alpha: ")]


SUFFIXES = {
    "firth": ".space",
    "gensim": ".gensim",
    "fasttext": ".vec",
    "glove.c": ".txt",
    "glove.c -Ofast": ".txt",
}  # the others: .bin


def firth_steps(task: Task, text: str, seed: int) -> Iterator[Any]:
    from firth.learn import word2vec
    from firth.text import Reading

    reading = Reading(tokens="whitespace")
    if task.method == "glove":
        from firth.learn import glove

        options = glove.GloVe(dim=task.dim, window=15, x_max=100, epochs=task.epochs, seed=seed, threads=THREADS)
        return glove.glove_steps(text, options, reading)
    options = word2vec.SkipGram if task.method == "skipgram" else word2vec.Cbow
    return word2vec.word2vec_steps(text, options(dim=task.dim, epochs=task.epochs, seed=seed, threads=THREADS), reading)


def firth_child(task: Task, seed: int, text: str, out: str) -> dict[str, float]:
    """Learn, save, and tell how long the training loop took and what it computed."""
    steps = firth_steps(task, text, seed)
    loop_s = flops = 0.0
    while True:
        try:
            step = next(steps)
        except StopIteration as end:
            end.value.save(out)
            return {"loop_s": loop_s, "flops": flops}
        if hasattr(step, "flops_per_s"):
            flops += step.flops_per_s * (step.elapsed_s - loop_s)
            loop_s = step.elapsed_s


def gensim_child(task: Task, seed: int, text: str, out: str) -> dict[str, float]:
    """The same with gensim, by its fastest way (corpus_file)."""
    from gensim.models import Word2Vec

    model = Word2Vec(
        vector_size=task.dim, window=5, min_count=5, sample=1e-3, alpha=0.025, negative=5, seed=seed, workers=THREADS,
        sg=int(task.method == "skipgram"), cbow_mean=1,
    )  # fmt: skip
    model.build_vocab(corpus_file=text)
    began = time.perf_counter()
    model.train(
        corpus_file=text, total_examples=model.corpus_count, total_words=model.corpus_total_words, epochs=task.epochs
    )
    loop_s = time.perf_counter() - began
    model.wv.save(out)
    return {"loop_s": loop_s}


def judge_child(program: str, task: Task, folder: Path, out: Path, neighbours: Path) -> dict[str, float]:
    """Quality of saved vectors: by word sets, or by held-out text where there is some; keeps neighbours for `report`."""
    import company
    import numpy as np

    import firth
    from firth.text import read_corpus

    if program == "gensim":
        from gensim.models import KeyedVectors

        vectors = KeyedVectors.load(str(out))
        space = firth.Space(vectors.index_to_key, vectors.vectors)
    else:
        space = firth.Space.open(out)
    corpus = read_corpus(folder / "data" / f"{task.corpus}.txt", tokens="whitespace", min_count=5)
    row_of = {label: row for row, label in enumerate(space.labels)}
    vectors = np.asarray(space.vectors)[[row_of[label] for label in corpus.labels]]
    np.save(neighbours, company.nearest(vectors))
    held_out = folder / "data" / f"{task.corpus}-held-out.txt"
    if held_out.exists():
        return {"auc": company.auc(vectors, company.held_out_company(corpus, held_out))}
    judge = folder / "judge"
    analogies = firth.judge(space, judge / "questions-words.txt", restrict=30_000)
    similarity = firth.judge(space, judge / "wordsim353.tsv")
    return {"analogies": 100 * analogies.total.cos_add, "wordsim353": 100 * similarity.spearman}


if __name__ == "__main__":
    if sys.argv[1] == "child":
        name, task, seed, *paths = sys.argv[2:]
        told = {"firth": firth_child, "gensim": gensim_child}[name](TASKS[task], int(seed), *paths)
    else:
        name, task, *paths = sys.argv[2:]
        told = judge_child(name, TASKS[task], *map(Path, paths))
    print(json.dumps(told))
