"""firth.demo: the text it gathers, the text it downloads, and what it makes of them."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import io
import threading
import zipfile

import numpy as np
import pytest

import firth.demo
from firth._check import FirthError
from firth.demo import answerable, demo_steps, gather_steps, text8_steps
from firth.space import Space
from firth.steps import drain

SOURCE = '''#!/usr/bin/env python
# a comment

"""The module's docstring, of several words."""

import os

NAME = """not a docstring, though long enough"""

def f(x):  # a comment
    r"""The function's docstring, \\d and all."""
    return """returned, so no docstring either"""

class A:

    """short"""
    def g(self): pass

    async def h(self) -> dict[str, int]:
        \'\'\'The method's docstring, in single quotes.\'\'\'
'''


def test_docstrings_are_gathered(tmp_path, monkeypatch):
    for name, text in [("a.py", SOURCE), ("again.py", SOURCE), ("b.py", "x = 1\n")]:
        (tmp_path / name).write_text(text)
    (tmp_path / "latin.py").write_bytes(b'"""Not UTF-8, so left out: caf\xe9."""\n')
    files = [tmp_path / name for name in ("a.py", "again.py", "b.py", "latin.py", "gone.py")]
    monkeypatch.setattr(firth.demo, "_python_files", lambda: iter(files))
    drain(gather_steps(tmp_path / "out.txt"))
    assert (tmp_path / "out.txt").read_text().split("\n\n")[:-1] == [
        "The module's docstring, of several words.",
        "The function's docstring, \\d and all.",
        "The method's docstring, in single quotes.",
    ]


def test_source_files_are_found_once_and_tests_left_out():
    files = list(firth.demo._python_files())
    assert len(files) == len(set(files)) > 500
    assert any(file.match("numpy/__init__.py") for file in files)
    assert any(file.name == "argparse.py" for file in files)
    assert not any("tests" in file.parts for file in files)


def test_only_questions_that_the_space_can_answer_are_asked():
    space = Space(["max", "min", "red"], np.eye(3))
    assert answerable(space, ("max - min + red", "max - min + blue", "red")) == ["max - min + red", "red"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of numba, as firth.maps leaves them
def test_the_demo_answers_and_draws(tmp_path, monkeypatch):
    files = [file for file in firth.demo._python_files() if "numpy" in file.parts][:300]
    monkeypatch.setattr(firth.demo, "_python_files", lambda: iter(files))
    monkeypatch.setattr(firth.demo, "MAPPED", 200)
    steps, stages = demo_steps(tmp_path / "demo", threads=1), []
    while True:
        try:
            step = next(steps)
        except StopIteration as end:
            result = end.value
            break
        stages.append(getattr(step, "stage", type(step).__name__))
    assert list(dict.fromkeys(stages))[:3] == ["gathering", "ReadStep", "LearnStep"]
    assert result.asked
    assert all(len(hits.labels) == firth.demo.ANSWERS for _, hits in result.asked)
    for path in (result.space_path, result.html_path, result.png_path):
        assert path.stat().st_size > 1000
        assert path.parent == tmp_path / "demo"


# text8


@contextlib.contextmanager
def serving(content: bytes, *, ranges: bool = True, cut: int | None = None):
    """A server of one file; with `cut` it hangs up after so many bytes, the first time."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.headers.get("Range"))
            start = int(asked[-1].removeprefix("bytes=").rstrip("-")) if asked[-1] and ranges else 0
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            stop = cut if cut and len(asked) == 1 else len(content)
            self.wfile.write(content[start:stop])

        def log_message(self, *_):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/text8.zip", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def archive(monkeypatch) -> bytes:
    """A stand-in for text8.zip, whose size and checksum the module then expects."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        file.writestr("text8", " ".join(str(i) for i in range(100_000)))
    content = packed.getvalue()
    monkeypatch.setattr(firth.demo, "TEXT8_BYTES", len(content))
    monkeypatch.setattr(firth.demo, "TEXT8_SHA256", hashlib.sha256(content).hexdigest())
    return content


def test_text8_is_downloaded_once(archive, tmp_path):
    with serving(archive) as (url, asked):
        first = drain(text8_steps(url, tmp_path))
        assert first.read_text().startswith("0 1 2")
        assert drain(text8_steps(url, tmp_path)) == first
    assert asked == [None]
    assert drain(text8_steps("http://127.0.0.1:9/", tmp_path)) == first  # no network needed any more


@pytest.mark.parametrize("ranges", [True, False])
def test_a_download_that_was_cut_short_goes_on(archive, tmp_path, ranges):
    with serving(archive, ranges=ranges, cut=1000) as (url, asked):
        with pytest.raises(FirthError, match=r"could not be downloaded|ended early.*try again, it goes on there"):
            drain(text8_steps(url, tmp_path))
        assert not (tmp_path / "text8").exists()
        assert (tmp_path / "text8.zip.part").stat().st_size == 1000
        assert drain(text8_steps(url, tmp_path)).read_text().startswith("0 1 2")
    assert asked == [None, "bytes=1000-"]


def test_a_download_of_something_else_is_refused(archive, tmp_path):
    with serving(archive[::-1]) as (url, _), pytest.raises(FirthError, match="is not text8 .* it was deleted"):
        drain(text8_steps(url, tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_without_a_network_it_says_what_to_do(tmp_path):
    with pytest.raises(
        FirthError, match=r"could not be downloaded \(.*\). With a network, try again: .* `firth demo` needs no"
    ):
        drain(text8_steps("http://127.0.0.1:9/text8.zip", tmp_path))


def test_a_damaged_archive_is_named(tmp_path):
    (tmp_path / "text8.zip").write_bytes(b"no zip")
    with pytest.raises(FirthError, match=r"text8\.zip is damaged .* delete it and try again"):
        drain(text8_steps("http://127.0.0.1:9/", tmp_path))
