"""What a newcomer waits for: `import firth` beside `import numpy`, and a cold process of `firth ask`.

    .venv/bin/python bench/start.py [SPACE]

Without SPACE, random vectors, 100,000 x 100, are asked.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
from common import run_child, spread, write_result

import firth

ROUNDS = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("space", nargs="?", type=Path)
    parser.add_argument("--question", default="king - man + woman")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path, question = given.space, given.question
        if path is None:
            path, question = Path(folder) / "random.space", "w1 - w2 + w3"
            vectors = np.random.default_rng(0).standard_normal((100_000, 100), dtype=np.float32)
            firth.Space([f"w{i}" for i in range(len(vectors))], vectors).save(path)
        shape = list(firth.Space.open(path).vectors.shape)
        ask = [str(Path(sys.executable).parent / "firth"), "ask", str(path), question]
        commands = {
            "python": [sys.executable, "-c", "pass"],
            "import firth": [sys.executable, "-c", "import firth"],
            "import numpy": [sys.executable, "-c", "import numpy"],
            "firth ask": ask,
        }
        taken: dict[str, list[float]] = {name: [] for name in commands}
        answer = ""
        for _ in range(ROUNDS):
            for name, command in commands.items():
                child = run_child(command)
                taken[name].append(1000 * child.wall_s)
                answer = child.stdout
    write_result(
        "start",
        {
            "what": f"milliseconds of a whole process, {ROUNDS} rounds in turn",
            "space": shape,
            "milliseconds": {name: spread(values, 1) for name, values in taken.items()},
            "answer": answer.splitlines(),
        },
        ["firth", "numpy", "pyarrow"],
    )


if __name__ == "__main__":
    main()
