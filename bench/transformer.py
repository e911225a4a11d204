"""The language model: what it learns of Wikipedia in some minutes, beside counting words and pairs, and beside word2vec.

    .venv/bin/python bench/transformer.py --folder FOLDER [--words 5000000] [--steps N]

FOLDER holds data/wiki17m.txt and judge/, as bench/README.md has it; what is trained is kept in FOLDER/work, and a training
that was interrupted goes on. Wall time is what a busy machine makes of it; CPU time, of all threads, tells more.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from itertools import islice
from pathlib import Path
from typing import Any

os.environ.setdefault("JAX_PLATFORMS", "cpu")

from common import write_result

import firth
from firth import _core
from firth._check import available_threads
from firth.language.model import Architecture
from firth.language.training import Training, TrainStep
from firth.language.transformer import WORD_VOCAB, LanguageModel, transformer_steps
from firth.text import Reading

ASKED = ("king", "river", "seven", "played", "german", "music", "she", "university", "north", "war")
PROMPTS = ("the king", "the river", "she was born in", "in the year")


def trained(text: Path, folder: Path, options: Training) -> dict[str, Any]:
    """Train, or take what was trained before with the same options."""
    path, told = folder / "wiki.safetensors", folder / "wiki.json"
    if told.exists() and path.exists():
        return json.loads(told.read_text())
    began, cpu, busy = time.perf_counter(), time.process_time(), [os.getloadavg()[0]]
    steps = transformer_steps(
        text, Architecture(), options, Reading(max_vocab=WORD_VOCAB), checkpoint=folder / "wiki.checkpoint",
        keep_on_interrupt=True,
    )  # fmt: skip
    while True:
        try:
            step = next(steps)
        except StopIteration as end:
            model = end.value
            break
        if isinstance(step, TrainStep):
            busy.append(os.getloadavg()[0])
            print(step, flush=True)
    model.save(path)
    print(model, flush=True)
    result = {
        "wall_s": round(time.perf_counter() - began, 1),
        "cpu_s": round(time.process_time() - cpu, 1),
        "load": round(sum(busy) / len(busy), 1),
    }
    told.write_text(json.dumps(result))
    return result


def peak_gflops_per_cpu_s() -> float:
    """What a core can do in a second that it has for itself, which a busy machine does not change much."""
    best = 0.0
    for _ in range(10):
        cpu, wall = time.process_time(), time.perf_counter()
        flops = _core.peak_flops(1) * (time.perf_counter() - wall)
        best = max(best, flops / (time.process_time() - cpu) / 1e9)
    return best


def judged(space: firth.Space, judge: Path) -> dict[str, Any]:
    analogies, pairs = space.judge(judge / "questions-words.txt"), space.judge(judge / "wordsim353.tsv")
    return {
        "analogies_percent": round(100 * (analogies.total.cos_add or 0), 2),
        "analogies_covered": analogies.total.covered,
        "wordsim353": round(100 * (pairs.spearman or 0), 2),
        "wordsim353_covered": pairs.covered,
    }


def neighbours(space: firth.Space) -> dict[str, list[str]]:
    return {word: space.ask(word, k=6).labels.tolist() for word in ASKED if word in space}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--words", type=int, default=5_000_000, help="of the text, from its beginning")
    parser.add_argument("--steps", type=int, help="of training, by default those of one pass")
    given = parser.parse_args()
    work = given.folder / "work"
    work.mkdir(exist_ok=True)
    text = work / f"wiki-{given.words}.txt"
    if not text.exists():
        with open(given.folder / "data" / "wiki17m.txt", encoding="utf-8") as whole:
            text.write_text("".join(islice(whole, given.words // 1000)), encoding="utf-8")
    took = trained(text, work, Training(steps=given.steps))
    model = LanguageModel.open(work / "wiki.safetensors")
    own, recipe, v = model.space(), model.recipe, len(model.vocabulary)
    other = firth.word2vec(text, dim=own.vectors.shape[1], max_vocab=WORD_VOCAB)
    options = recipe["options"]
    seen = recipe["steps"] * options["batch"] * options["context"]
    done, peak = recipe["flops_per_s"] * seen / recipe["tokens_per_s"] / took["cpu_s"] / 1e9, peak_gflops_per_cpu_s()
    result = {
        "what": "a transformer with firth's defaults; perplexity on text held out, beside models of counts on the same tokens",
        "threads": available_threads(),
        "parameters": model.architecture.cost(v).parameters,
        "options": options,
        "steps": recipe["steps"],
        "tokens_seen": seen,
        "tokens_in_text": recipe["corpus"]["tokens"],
        "unknown_percent": round(100 * recipe["corpus"]["unknown"] / recipe["corpus"]["tokens"], 2),
        **took,
        "tokens_per_s": round(recipe["tokens_per_s"]),
        "gflops_per_s": round(recipe["flops_per_s"] / 1e9, 1),
        "gflops_per_cpu_s": round(done, 1),
        "peak_gflops_per_cpu_s": round(peak, 1),
        "share_of_peak": round(done / peak, 3),
        "perplexity": {
            "transformer": round(recipe["perplexity"], 1),
            "bigram, interpolated Kneser-Ney": round(recipe["bigram_perplexity"], 1),
            "unigram": round(recipe["unigram_perplexity"], 1),
            "tokens": recipe["held_out_tokens"],
        },
        "curve": {
            "what": "step, mean loss since the one before, perplexity of 8,192 tokens held out",
            "at": [[step, round(loss, 3), round(perplexity, 1)] for step, loss, perplexity in recipe["curve"]],
        },
        "judged": {
            "transformer": judged(own, given.folder / "judge"),
            "word2vec, 5 epochs": judged(other, given.folder / "judge"),
        },
        "neighbours": neighbours(own),
        "neighbours of word2vec": neighbours(other),
        "written": {prompt: model.sample(prompt, length=30, top_p=0.9) for prompt in PROMPTS},
    }
    write_result("transformer", result, ["firth", "jax", "numpy", "optax"])


if __name__ == "__main__":
    main()
