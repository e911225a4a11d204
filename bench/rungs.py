"""The ladder from word2vec's loops to firth's kernel: what each step of core/examples/rungs.rs is worth.

.venv/bin/python bench/rungs.py TEXT [--words N] [--times 3]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from common import run_child, spread, write_result

MANIFEST = Path(__file__).resolve().parents[1] / "core" / "Cargo.toml"
DIGITS = {"words_per_s": 0, "gflop_per_s": 2, "peak_gflop_per_s": 1, "share_of_peak": 4, "loss": 4}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", type=Path)
    parser.add_argument("--words", type=int, help="train on the first so many; all if not given")
    parser.add_argument("--times", type=int, default=3)
    given = parser.parse_args()
    cargo = ["cargo", "build", "--release", "--quiet", "--example", "rungs", "--manifest-path", str(MANIFEST)]
    subprocess.run(cargo, check=True)
    program = Path(os.environ.get("CARGO_TARGET_DIR", MANIFEST.parent / "target")) / "release" / "examples" / "rungs"
    command = [str(program), str(given.text), *([str(given.words)] if given.words else [])]
    runs: list[list[dict[str, Any]]] = []
    for _ in range(given.times):
        runs.append([json.loads(line) for line in run_child(command).stdout.splitlines()])
        print([rung["words_per_s"] for rung in runs[-1]], file=sys.stderr, flush=True)
    ladder = []
    for rungs in zip(*runs, strict=True):
        told = {key: spread([rung[key] for rung in rungs], digits) for key, digits in DIGITS.items()}
        if rungs[0]["times_the_rung_before"] is not None:
            told["times_the_rung_before"] = spread([rung["times_the_rung_before"] for rung in rungs], 2)
        ladder.append({key: rungs[0][key] for key in ("rung", "threads")} | told)
    write_result(
        "rungs",
        {
            "what": "one epoch of skip-gram, dim 100, window 5, negatives 5, sample 1e-3, min count 5, ids in memory",
            "text": given.text.name,
            "words": given.words or "all",
            "flops": "2 dim for each dot product and 4 dim for its two updates",
            "loss": "of a pair and five noise words on the first words of the text, after training",
            "ladder": ladder,
        },
        ["firth"],
    )


if __name__ == "__main__":
    main()
