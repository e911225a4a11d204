"""Print docs/cli.md: what each command says of itself. `make docs` writes it; tests/test_docs.py compares."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

HEAD = """# The command

Made by `make docs` from `firth --help`. Results go to standard output, progress and messages to standard error. The exit
code is 0, or 1 for an error, 2 for wrong usage, 130 after Ctrl-C.
"""


def help_of(*command: str) -> str:
    """What `firth COMMAND --help` prints, 100 columns wide."""
    firth = Path(sys.executable).parent / "firth"
    environment = {**os.environ, "COLUMNS": "100", "NO_COLOR": "1"}
    done = subprocess.run([firth, *command, "--help"], capture_output=True, text=True, check=True, env=environment)
    return "\n".join(line.rstrip() for line in done.stdout.strip("\n").splitlines())


def page() -> str:
    """The whole page."""
    root = help_of()
    commands = re.findall(r"^  (\w+)  ", root.partition("Commands:")[2], re.MULTILINE)
    parts = [HEAD, f"```text\n{root}\n```\n"]
    parts += [f"## firth {command}\n\n```text\n{help_of(command)}\n```\n" for command in commands]
    return "\n".join(parts)


if __name__ == "__main__":
    print(page(), end="")
