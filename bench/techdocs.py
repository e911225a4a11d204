"""Make the second corpus, technical documentation, from checkouts of repositories of Markdown.

    python bench/techdocs.py REPOSITORY... -o FOLDER

writes FOLDER/techdocs.txt and FOLDER/techdocs-held-out.txt: the last 2% of the lines, which no program learns from.
Which repositories the published result used: bench/README.md. Files are read from the last commit, so a clone without a
work tree will do.
"""

from __future__ import annotations

import argparse
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

HELD_OUT = 0.02
SHORTEST = 4  # words; shorter lines are headings of tables and the like
FRONT_MATTER = re.compile(r"\A---.*?\n---", re.DOTALL)
NOT_PROSE = re.compile(r"https?://\S+|\]\([^)]*\)|<[^>]*>")
WORD = re.compile(r"[a-z0-9_]+")


def documents(repository: Path) -> Iterator[str]:
    """The Markdown files of the last commit, by path."""
    git = ["git", "-C", str(repository)]
    listing = subprocess.run([*git, "ls-tree", "-r", "-z", "HEAD"], capture_output=True, text=True, check=True).stdout
    entries = (entry.split("\t", 1) for entry in listing.split("\0") if entry.endswith(".md"))
    blobs = sorted((path, about.split()[2]) for about, path in entries)
    with subprocess.Popen([*git, "cat-file", "--batch"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as batch:
        assert batch.stdin is not None
        assert batch.stdout is not None
        for _path, blob in blobs:
            batch.stdin.write(f"{blob}\n".encode())
            batch.stdin.flush()
            header = batch.stdout.readline().split()
            if header[1] == b"missing":  # a partial clone
                continue
            yield batch.stdout.read(int(header[2]) + 1)[:-1].decode("utf-8", "replace")
        batch.stdin.close()


def sentences(document: str) -> Iterator[str]:
    """Its lines of prose and code as lower-case words, without front matter, links and tags."""
    for line in NOT_PROSE.sub(" ", FRONT_MATTER.sub("", document)).split("\n"):
        words = WORD.findall(line.lower())
        if len(words) >= SHORTEST:
            yield " ".join(words)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("repositories", nargs="+", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    given = parser.parse_args()
    # A line said before, a notice or a step of a recipe, says nothing more the second time: a dict keeps the first.
    lines = list(
        dict.fromkeys(
            line
            for repository in given.repositories
            for document in documents(repository)
            for line in sentences(document)
        )
    )
    cut = len(lines) - round(HELD_OUT * len(lines))
    given.output.mkdir(parents=True, exist_ok=True)
    for name, part in (("techdocs.txt", lines[:cut]), ("techdocs-held-out.txt", lines[cut:])):
        (given.output / name).write_text("".join(f"{line}\n" for line in part))
        print(f"{name}: {len(part)} lines, {sum(line.count(' ') + 1 for line in part)} words")


if __name__ == "__main__":
    main()
