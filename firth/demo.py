"""The demo: from text that every machine has, the docstrings of its Python packages, to answers and a map.

`text8` is the alternative with kings and queens: a download, kept in the user's cache.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
import sysconfig
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from firth._check import FirthError
from firth.atomic import atomic_write
from firth.learn.word2vec import LearnStep, SkipGram, word2vec_steps
from firth.maps import Map, map_space_steps
from firth.space import Hits, Space
from firth.steps import Progress
from firth.text import PhraseStep, Reading, ReadStep

MAPPED = 3_000  # words on the map
ANSWERS = 5
SKIPPED = {"test", "tests", "testing", "lib2to3", "idlelib", "turtledemo"}  # folders with little prose
# A string in triple quotes at the head of a file or behind the colon of a def or class.
_DOCSTRING = re.compile(
    r'(?:\A(?:[ \t]*#[^\n]*\n|[ \t]*\n)*|:[ \t]*(?:#[^\n]*)?\n)[ \t]*[rRuU]?("""|\'\'\')(.*?)\1', re.DOTALL
)
SHORTEST = 20  # characters of a docstring worth reading

DOCSTRING_QUESTIONS = (
    "maximum - max + min",
    "left - right + top",
    "rows - row + column",
    "arrays - array + matrix",
    "lower - low + high",
    "first - last + end",
    "red",
    "monday",
    "eigenvalues",
)
TEXT8_QUESTIONS = (
    "king - man + woman",
    "paris - france + italy",
    "bigger - big + small",
    "walking - walk + swim",
    "guitar",
    "monday",
)

TEXT8_URL = "http://mattmahoney.net/dc/text8.zip"
TEXT8_BYTES = 31_344_016
TEXT8_SHA256 = "a6640522afe85d1963ad56c05b0ede0a0c000dddc9671758a6cc09b7a38e5232"  # of the zip
PIECE = 1 << 18  # bytes of a download between two steps


class Asked(NamedTuple):
    """A question and what the space answered."""

    expression: str
    hits: Hits


class DemoResult(NamedTuple):
    """What the demo made, and where it lies."""

    space: Space
    asked: list[Asked]
    map: Map
    space_path: Path
    html_path: Path
    png_path: Path
    elapsed_s: float


def demo_steps(
    folder: str | Path = "firth-demo", *, text8: bool = False, threads: int | None = None, seed: int = 1
) -> Generator[ReadStep | PhraseStep | LearnStep | Progress, None, DemoResult]:
    """Gather or download a text, learn from it, ask, and draw; step by step.

    Parameters
    ----------
    folder
        Where the text, the space and the map are left; made if it is missing.
    text8
        Download text8 (31 MB) instead of reading docstrings.

    Raises
    ------
    FirthError
        If text8 cannot be downloaded; the message says what to do.
    """
    began = time.perf_counter()
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if text8:
        name, questions = "text8", TEXT8_QUESTIONS
        text = yield from text8_steps()
        options = SkipGram(threads=threads, seed=seed)
        steps = word2vec_steps(text, options, Reading(tokens="whitespace"))
    else:
        name, questions = "docstrings", DOCSTRING_QUESTIONS
        text = folder / "docstrings.txt"
        yield from gather_steps(text)
        # A small text is read more often.
        options = SkipGram(epochs=15, threads=threads, seed=seed)
        steps = word2vec_steps(text, options, Reading(sentences="paragraph"))
    space = yield from steps
    space_path = folder / f"{name}.space"
    space.save(space_path)
    asked = [Asked(question, space.ask(question, k=ANSWERS)) for question in answerable(space, questions)]
    drawn = yield from map_space_steps(space, top=min(MAPPED, len(space)))
    html, png = folder / f"{name}.html", folder / f"{name}.png"
    for path in (html, png):
        yield Progress("drawing", 0, 0)
        drawn.save(path)
    return DemoResult(space, asked, drawn, space_path, html, png, time.perf_counter() - began)


def answerable(space: Space, questions: tuple[str, ...]) -> list[str]:
    """Those questions whose words the space has: packages differ from machine to machine."""
    from firth.expression import parse

    return [question for question in questions if all(label in space for label in parse(question).weights)]


# Docstrings


def gather_steps(path: Path) -> Generator[Progress, None, None]:
    """Write the docstrings of the Python packages on this machine to a file, paragraphs apart by blank lines."""
    files = list(_python_files())
    seen: set[str] = set()
    with atomic_write(path) as temporary, open(temporary, "w", encoding="utf-8") as out:
        for number, file in enumerate(files):
            if number % 100 == 0:
                yield Progress("gathering", number, len(files))
            try:
                source = file.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError):
                continue
            for match in _DOCSTRING.finditer(source):
                text = match[2].strip()
                if len(text) >= SHORTEST and text not in seen:
                    seen.add(text)
                    out.write(text + "\n\n")
    yield Progress("gathering", len(files), len(files))


def _python_files() -> Iterator[Path]:
    """Source files of the standard library and of installed packages, tests left out; none twice."""
    paths = sysconfig.get_paths()
    roots = dict.fromkeys(
        Path(root).resolve() for root in [paths["stdlib"], paths["purelib"], paths["platlib"], *sys.path[1:]]
    )
    seen: set[Path] = set()
    for root in roots:
        if not root.is_dir():
            continue
        for folder, folders, names in os.walk(root):
            here = Path(folder)
            folders[:] = sorted(set(folders) - SKIPPED - {"__pycache__", "site-packages", "node_modules"})
            folders[:] = [name for name in folders if not name.startswith(".") and here / name not in roots]
            for name in sorted(names):
                if name.endswith(".py") and not name.startswith("test_") and here / name not in seen:
                    seen.add(here / name)
                    yield here / name


# text8


def text8_steps(url: str = TEXT8_URL, cache: Path | None = None) -> Generator[Progress, None, Path]:
    """The path of text8, downloaded if it is not in the cache; a download that was cut short goes on where it stopped.

    Raises
    ------
    FirthError
        If it cannot be downloaded, or is not the file it should be.
    """
    cache = cache or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "firth"
    text, archive = cache / "text8", cache / "text8.zip"
    if text.is_file():
        return text
    cache.mkdir(parents=True, exist_ok=True)
    if not archive.is_file():
        part = cache / "text8.zip.part"
        yield from _download(url, part, archive)
        if hashlib.sha256(part.read_bytes()).hexdigest() != TEXT8_SHA256:
            part.unlink()
            raise FirthError(f"what came from {url} is not text8 (its checksum differs); it was deleted, try again")
        part.replace(archive)
    yield Progress("unpacking", 0, 0)
    try:
        with zipfile.ZipFile(archive) as unzipped, atomic_write(text) as temporary:
            temporary.write_bytes(unzipped.read("text8"))
    except (zipfile.BadZipFile, KeyError) as error:
        raise FirthError(f"{archive} is damaged ({error}); delete it and try again") from None
    return text


def _download(url: str, part: Path, archive: Path) -> Generator[Progress, None, None]:
    have = part.stat().st_size if part.exists() else 0
    if have >= TEXT8_BYTES:
        return
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            if answer.status != 206:  # the server sends all of it
                have = 0
            with open(part, "ab" if have else "wb") as file:
                while piece := answer.read(PIECE):
                    file.write(piece)
                    have += len(piece)
                    yield Progress("downloading", have, TEXT8_BYTES)
    except (OSError, urllib.error.URLError) as error:
        reason = getattr(error, "reason", error)
        raise FirthError(
            f"text8 could not be downloaded ({reason}). With a network, try again: it goes on where it stopped. Or put"
            f" {url} at {archive} by other means. Without: `firth demo` needs no download"
        ) from None
    if have < TEXT8_BYTES:
        raise FirthError(
            f"the download of text8 ended early ({have:,} of {TEXT8_BYTES:,} bytes); try again, it goes on there"
        )


def summary(asked: Any) -> list[tuple[str, list[tuple[str, float]]]]:
    """Questions with their answers and scores, as plain lists."""
    return [(question, list(zip(hits.labels.tolist(), hits.scores.tolist(), strict=True))) for question, hits in asked]
