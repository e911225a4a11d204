"""firth against gensim: the same text, the same settings, two threads, in turn; time, memory and quality.

    .venv/bin/python bench/learn.py [TEXT] [--judge FOLDER] [--rounds 3] [--dim 100]

How to get the text, the evaluation sets and gensim: bench/README.md.
"""

from __future__ import annotations

import argparse
import json
import lzma
import shutil
import sys
import tempfile
import time
from pathlib import Path

from common import peak_mib, run_child, spread, write_result

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
EPOCHS = 5


def firth_child(text: str, out: str, dim: int, seed: int, threads: int) -> float:
    """Learn, save, and tell how long the training loop took."""
    from firth.learn.word2vec import LearnStep, SkipGram, word2vec_steps
    from firth.text import Reading

    options = SkipGram(dim=dim, epochs=EPOCHS, seed=seed, threads=threads)
    steps = word2vec_steps(text, options, Reading(tokens="whitespace"))
    loop_s = 0.0
    while True:
        try:
            step = next(steps)
        except StopIteration as end:
            end.value.save(out)
            return loop_s
        if isinstance(step, LearnStep):
            loop_s = step.elapsed_s


def gensim_child(text: str, out: str, dim: int, seed: int, threads: int) -> float:
    """The same with gensim, by its fastest way (corpus_file)."""
    from gensim.models import Word2Vec

    # All but `workers`, `corpus_file` and `sg` are gensim's defaults, and firth's.
    model = Word2Vec(
        vector_size=dim, window=5, min_count=5, sample=1e-3, alpha=0.025, sg=1, negative=5, seed=seed, workers=threads
    )
    model.build_vocab(corpus_file=text)
    began = time.perf_counter()
    model.train(
        corpus_file=text, total_examples=model.corpus_count, total_words=model.corpus_total_words, epochs=EPOCHS
    )
    loop_s = time.perf_counter() - began
    model.wv.save(out)
    return loop_s


def quality(name: str, out: str, judge: Path) -> dict[str, float]:
    """Analogies in per cent (3CosAdd, among the 30,000 most frequent) and Spearman x 100, by firth's judge."""
    import firth

    if name == "firth":
        space = firth.Space.open(out)
    else:
        from gensim.models import KeyedVectors

        vectors = KeyedVectors.load(out)
        space = firth.Space(vectors.index_to_key, vectors.vectors)
    analogies = firth.judge(space, judge / "questions-words.txt", restrict=30_000)
    similarity = firth.judge(space, judge / "wordsim353.tsv")
    answers = space.ask("king - man + woman", k=100).labels.tolist()
    return {
        "analogies": 100 * analogies.total.cos_add,
        "wordsim353": 100 * similarity.spearman,
        "rank_of_queen": answers.index("queen") + 1 if "queen" in answers else 101,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", nargs="?", type=Path, default=DATA / "wiki17m.txt.xz")
    parser.add_argument("--judge", type=Path, default=DATA / "judge")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dim", type=int, default=100)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)  # name, output, seed: one run, in a process
    given = parser.parse_args()
    if given.child:
        name, out, seed = given.child
        learn = firth_child if name == "firth" else gensim_child
        loop_s = learn(str(given.text), out, given.dim, int(seed), given.threads)
        print(json.dumps({"loop_s": loop_s, "peak_mib": peak_mib()}))
        return

    runs: dict[str, dict[str, list[float]]] = {"firth": {}, "gensim": {}}
    with tempfile.TemporaryDirectory() as folder:
        text = given.text
        if text.suffix == ".xz":  # gensim's corpus_file wants plain text
            text = Path(folder) / text.stem
            with lzma.open(given.text) as packed, open(text, "wb") as plain:
                shutil.copyfileobj(packed, plain)
        for seed in range(1, given.rounds + 1):
            for name, kept in runs.items():
                out = str(Path(folder) / f"{name}.space")
                settings = ["--dim", str(given.dim), "--threads", str(given.threads), "--child", name, out, str(seed)]
                child = run_child([sys.executable, __file__, str(text), *settings])
                measured = {"end_to_end_s": child.wall_s} | json.loads(child.stdout)
                for key, value in (measured | quality(name, out, given.judge)).items():
                    kept.setdefault(key, []).append(value)
                print(name, seed, {key: round(values[-1], 2) for key, values in kept.items()}, file=sys.stderr)
        size = text.stat().st_size

    ours, theirs = runs["firth"], runs["gensim"]
    ratios = {
        key: spread([a / b for a, b in zip(theirs[f"{key}_s"], ours[f"{key}_s"], strict=True)], 2)
        for key in ("end_to_end", "loop")
    }
    differences = {
        key: round(sum(ours[key]) / given.rounds - sum(theirs[key]) / given.rounds, 2)
        for key in ("analogies", "wordsim353")
    }
    write_result(
        "learn" if given.dim == 100 else f"learn-{given.dim}",
        {
            "what": "skip-gram, window 5, negatives 5, sample 1e-3, min count 5, alpha 0.025, 5 epochs",
            "text": {"name": given.text.name, "bytes": size},
            "dim": given.dim,
            "threads": given.threads,
            "gensim_over_firth": ratios,
            "firth_minus_gensim_points": differences,
        }
        | {name: {key: spread(values, 2) for key, values in kept.items()} for name, kept in runs.items()},
        ["firth", "gensim", "numpy"],
    )


if __name__ == "__main__":
    main()
