"""firth.cli: the command, run as a user runs it, in a process of its own."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse

import firth
from firth.text import read_corpus

FIRTH = str(Path(sys.executable).parent / "firth")
ENVIRONMENT = {**os.environ, "COLUMNS": "100"}


def run(*arguments, code=0, stdin=None, cwd=None, **environment):
    """Run firth; returns stdout and stderr. An exit code other than the expected fails, and so does a traceback."""
    done = subprocess.run(
        [FIRTH, *map(str, arguments)],
        input=stdin,
        capture_output=True,
        text=True,
        env=ENVIRONMENT | environment,
        cwd=cwd,
        timeout=120,
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout, done.stderr


@pytest.fixture(scope="module")
def family(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("family") / "family.space"
    labels = ["man", "woman", "king", "queen", "new york"]
    vectors = [[1, 0, 0], [1, 1, 0], [1, 0, 1], [1, 1, 1], [0, 0, 1]]
    firth.Space(labels, vectors, columns={"count": np.array([50, 40, 30, 20, 10])}, recipe={"method": "hand"}).save(
        path
    )
    return path


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("corpus") / "corpus.txt"
    rng = np.random.default_rng(0)
    places = ["paris", "rome", "tokyo", "madrid", "athens", "oslo"]
    lines = (" ".join(rng.choice([*places, "the", "in", "of", "is"], 12)) for _ in range(4000))
    path.write_text("\n".join(lines))
    return path


# Each command does its work


def test_learn_then_ask_info_and_map(corpus, tmp_path):
    space = tmp_path / "words.space"
    out, err = run("learn", corpus, "-o", space, "--dim", 16, "--epochs", 1, "--threads", 1)
    assert out == ""
    assert re.search(r"words\.space: 10 words x 16, from 48,000 tokens in \d+\.\d s", err)
    assert re.search(r"next: \S*firth ask \S+words.space", err)
    opened = firth.Space.open(space)
    assert opened.recipe["options"]["dim"] == 16
    assert opened.labels.tolist() == read_corpus(corpus).labels

    out, _ = run("ask", space, "paris - rome + oslo", "-k", 3)
    assert out.splitlines()[0].split() == ["paris", "-", "rome", "+", "oslo", "cosine", "count"]
    assert len(out.splitlines()) == 4

    out, _ = run("info", space)
    assert "10 labels x 16 dimensions" in out
    assert "method        word2vec" in out
    told = json.loads(run("info", space, "--json")[0])
    assert told["labels"] == 10
    assert told["recipe"]["corpus"]["tokens"] == 48_000

    out, err = run("map", space, "-o", tmp_path / "m.html", "-o", tmp_path / "m.csv", "--method", "pca")
    assert "variance explained" in err
    assert (tmp_path / "m.html").read_text().startswith("<!doctype html>")
    assert len((tmp_path / "m.csv").read_text().splitlines()) == 11
    _, err = run("map", space, "-o", tmp_path / "c.html", "--compare", "pca", "--compare", "umap n_epochs=9")
    assert ("PCA of 10 labels" in err, "UMAP of 10 labels" in err) == (True, True)
    saved = tmp_path / "m.space"
    run("map", space, "-o", saved, "--animate", tmp_path / "m.gif")
    assert (tmp_path / "m.gif").read_bytes().startswith(b"GIF89a")
    run("map", space, "-o", tmp_path / "n.csv", "--init", saved)


def test_ask_tells_what_lies_on_the_way(family):
    out, _ = run("ask", family, "man", "queen", "--path", "--steps", 3)
    assert [line.split()[1] for line in out.splitlines()[1:]] == ["man", "woman", "queen"]
    told = json.loads(run("ask", family, "man", "queen", "--path", "--json")[0])
    assert (told["expression"], len(told["hits"])) == ("man ... queen", 7)
    assert "give two; got 1" in run("ask", family, "man", "--path", code=1)[1]
    assert "--steps goes with --path" in run("ask", family, "man", "--steps", 3, code=1)[1]


def test_info_tells_the_width_of_a_column(tmp_path):
    path = tmp_path / "a.space"
    columns = {"context": np.ones((2, 3)), "count": np.array([5, 4])}
    firth.Space(["a", "b"], np.eye(2), columns=columns).save(path)
    assert "column        context (3 x float32)\ncolumn        count (int64)" in run("info", path)[0]
    assert json.loads(run("info", path, "--json")[0])["columns"] == {"context": "3 x float32", "count": "int64"}


def test_learn_by_every_method_and_go_on(corpus, tmp_path):
    first, more = tmp_path / "first.space", tmp_path / "more.space"
    few = ["--dim", 8, "--epochs", 1, "--threads", 1, "--quiet"]
    run("learn", corpus, "-o", first, "--method", "glove", "--x-max", 10, "--rate", 0.1, *few)
    assert firth.Space.open(first).recipe["options"]["x_max"] == 10
    run(
        "learn",
        corpus,
        "-o",
        first,
        "--method",
        "cbow",
        "--tokens",
        "whitespace",
        "--phrases",
        1,
        "--keep-context",
        *few,
    )
    run("learn", corpus, "-o", more, "--continue", first, "--epochs", 1, "--threads", 1, "-q")
    recipe = firth.Space.open(more).recipe
    assert recipe["method"] == "cbow"
    assert {"dim": 8, "tokens": "whitespace", "phrases": 1}.items() <= recipe["options"].items()
    assert [earlier["method"] for earlier in recipe["continued"]] == ["cbow"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--method", "glove", "--alpha", 0.1], "--alpha is not an option of --method glove; leave it out"),
        (["--method", "glove", "--keep-context"], "--keep-context is not an option of --method glove"),
        (["--x-max", 10], "--x-max is not an option of --method word2vec"),
    ],
)
def test_learn_refuses_options_of_other_methods(corpus, tmp_path, given, message):
    _, err = run("learn", corpus, "-o", tmp_path / "w.space", *given, code=1)
    assert message in err


def test_learn_takes_every_option(corpus, tmp_path):
    (tmp_path / "more.jsonl").write_text('{"body": "rome oslo rome oslo rome"}\n' * 9)
    space = tmp_path / "w.space"
    options = "--dim 8 --window 2 --negatives 3 --sample 0 --min-count 2 --max-vocab 2 --epochs 2 --alpha 0.05 --seed 7"
    more = "--threads 1 --tokens whitespace --sentences paragraph --errors replace --column body --quiet"
    more += " --phrases 1 --phrase-threshold 9"
    _, err = run("learn", tmp_path / "more.jsonl", "-o", space, *options.split(), *more.split())
    assert err == ""
    recipe = firth.Space.open(space).recipe
    assert recipe["options"] == {
        "dim": 8, "window": 2, "negatives": 3, "sample": 0.0, "epochs": 2, "alpha": 0.05, "seed": 7, "threads": 1,
        "min_count": 2, "max_vocab": 2, "tokens": "whitespace", "sentences": "paragraph", "errors": "replace",
        "column": "body", "phrases": 1, "phrase_threshold": 9.0,
    }  # fmt: skip


def test_learn_reads_standard_input(corpus, tmp_path):
    run("learn", "-", "-o", tmp_path / "a.space", "--dim", 4, "--epochs", 1, stdin=corpus.read_text())
    assert len(firth.Space.open(tmp_path / "a.space")) == 10


def test_ask_prints_a_table(family):
    out, err = run("ask", family, "king - man + woman", "-k", 2)
    assert err == ""
    lines = out.splitlines()
    assert lines[0].split() == ["king", "-", "man", "+", "woman", "cosine", "count"]
    assert lines[1].split()[:2] == ["1", "queen"]
    assert lines[1].split()[3] == "20"
    assert "\x1b" not in out  # no colours into a pipe


def test_ask_prints_json(family):
    out, _ = run("ask", family, "king - man + woman", "king", "-k", 1, "--json", "--metric", "euclidean")
    first, second = map(json.loads, out.splitlines())
    assert first["expression"] == "king - man + woman"
    assert first["metric"] == "euclidean"
    assert first["hits"] == [{"label": "queen", "score": 0.0, "row": 3}]
    assert second["hits"][0] == {"label": "man", "score": -1.0, "row": 0}  # queen is as near: the lower row wins


@pytest.fixture(scope="module")
def gaps(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("gaps") / "gaps.space"
    labels, vectors = ["the", "king", "of", "england", "new york"], np.eye(5)
    columns = {"context": np.eye(5)[[1, 2, 3, 0, 4]], "count": np.array([50, 40, 30, 20, 10])}
    firth.Space(labels, vectors, columns=columns, recipe={"options": {"window": 2}}).save(path)
    return path


def test_predict_fills_a_gap_from_the_words_around_it(gaps):
    out, err = run("predict", gaps, "the ___ of england", "king __", "-k", 1)
    assert err == ""
    assert [line.split() for line in out.splitlines()] == [
        ["the", "___", "of", "england", "score", "count"],
        ["1", "king", "0.3333", "40"],  # alone beside the context; its output vector is that of `of`
        [],
        ["king", "__", "score", "count"],
        ["1", "the", "1.0000", "50"],
    ]


def test_predict_prints_json_and_knows_the_window(gaps):
    told = json.loads(run("predict", gaps, "england 'new york' of ___", "--json", "-k", 2)[0])
    assert told["text"] == "england 'new york' of ___"
    assert told["context"] == ["new york", "of"]
    assert told["hits"][0] == {"label": "king", "score": 0.5, "row": 1}
    told = json.loads(run("predict", gaps, "england of _ the", "--json", "--window", 1, "--include-context")[0])
    assert told["context"] == ["of", "the"]
    assert len(told["hits"]) == 5


def test_predict_says_what_is_missing(gaps, family):
    for text, found in (("the king", "none"), ("_ king _", "2")):
        assert (
            f"mark one gap with ___, as in 'the ___ of england'; '{text}' has {found}"
            in run("predict", gaps, text, code=1)[1]
        )
    assert "'England' is not in the space: did you mean 'england'?" in run("predict", gaps, "_ England", code=1)[1]
    assert "--keep-context" in run("predict", family, "the _", code=1)[1]
    assert "--window must be at least 1" in run("predict", gaps, "_ king", "--window", 0, code=1)[1]


def test_ask_can_answer_with_the_words_of_the_question(family):
    assert "1 king" in run("ask", family, "king", "-k", 1, "--include-question")[0]


def test_ask_keeps_to_a_filter(family):
    out, _ = run("ask", family, "king", "--where", "count > 30")
    assert [line.split()[1] for line in out.splitlines()[1:]] == ["man", "woman"]
    assert "there is no column 'size'" in run("ask", family, "king", "--where", "size > 30", code=1)[1]


def test_ask_reads_questions_from_a_pipe(family):
    out, _ = run("ask", family, "-k", 1, "--json", stdin="king\n\n'new york' + man\n")
    assert [json.loads(line)["expression"] for line in out.splitlines()] == ["king", "'new york' + man"]


@pytest.mark.filterwarnings(
    "ignore:os.fork"
)  # JAX, which other tests import, warns of it; the child becomes firth at once
def test_ask_talks_with_a_person(family):
    """At a terminal an error does not end the conversation."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ["TERM"] = "dumb"
        os.execv(FIRTH, [FIRTH, "ask", str(family), "-k", "1"])
    said = b""
    for typed in (b"kng\n", b"king\n", b"\x04"):
        while not said.endswith(b"> "):
            said += os.read(terminal, 4096)
        os.write(terminal, typed)
        said += b"|"
    with contextlib.suppress(OSError):  # how Linux says that the other end is closed
        while piece := os.read(terminal, 4096):
            said += piece
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert "did you mean 'king'?" in said.decode()
    assert re.search(r"1 +queen", said.decode())


def test_search_answers_a_file_of_queries(family, tmp_path):
    np.save(tmp_path / "q.npy", [[1, 0, 1], [0, 0, 2]])
    out, err = run("search", family, "--queries", "q.npy", "-o", "found.csv", "-k", 2, cwd=tmp_path)
    assert out == ""
    assert re.search(r"found.csv: 4 answers to 2 queries of 5 labels in \d+\.\d s", err)
    lines = (tmp_path / "found.csv").read_text().splitlines()
    assert lines[0] == '"query","rank","label","row","score"'
    assert [line.split(",")[:4] for line in lines[1:]] == [
        ["0", "1", '"king"', "2"],
        ["0", "2", '"queen"', "3"],
        ["1", "1", '"new york"', "4"],
        ["1", "2", '"king"', "2"],
    ]


def test_search_takes_every_option(family, tmp_path):
    (tmp_path / "words.txt").write_text("king\nnew york\n")
    given = ["search", family, "--labels", "words.txt", "-o", "found.csv", "--quiet"]
    for more, found in (
        (["-k", 1, "--where", "count < 30"], "king queen;new york new york"),
        (["--score", 0.8], "king king;king queen;new york new york"),
        (["--radius", 1], "king man;king king;king queen;king new york;new york king;new york new york"),
        (["--radius", 1, "--where", "label not in ('man', 'king')"], "king queen;king new york;new york new york"),
        (["-k", 1, "--metric", "dot"], "king king;new york king"),
    ):
        assert run(*given, *more, cwd=tmp_path) == ("", "")
        rows = [line.split(",") for line in (tmp_path / "found.csv").read_text().replace('"', "").splitlines()[1:]]
        assert sorted(f"{query} {label}" for query, _, label, *_ in rows) == sorted(found.split(";"))


def test_neighbors_writes_the_graph(family, tmp_path):
    _, err = run("neighbors", family, "-o", "g.csv", "-k", 2, cwd=tmp_path)
    assert "g.csv: 2 neighbours of 5 labels by cosine" in err
    assert len((tmp_path / "g.csv").read_text().splitlines()) == 1 + 5 * 2
    assert run("neighbors", family, "-o", "g.npz", "-k", 2, "--metric", "euclidean", "-q", cwd=tmp_path) == ("", "")
    expected = firth.Space.open(family).neighbors(2, metric="euclidean").csr()
    assert (scipy.sparse.load_npz(tmp_path / "g.npz") != expected).nnz == 0


def test_duplicates_prints_groups_or_writes_pairs(family, tmp_path):
    out, err = run("duplicates", family, "--score", 0.8)
    assert out == "woman  king  queen\n"
    assert "2 pairs with a score of 0.8 or more (cosine), 1 group of 3 of 5 labels" in err
    assert run("duplicates", family, "-q") == ("", "")
    told = run("duplicates", family, "--radius", 1, "--json", "-q")[0]
    assert json.loads(told) == {"labels": ["man", "woman", "king", "queen", "new york"], "rows": [0, 1, 2, 3, 4]}
    out, err = run("duplicates", family, "--score", 0.8, "-o", "pairs.csv", cwd=tmp_path)
    assert out == ""
    lines = (tmp_path / "pairs.csv").read_text().splitlines()
    assert lines[0] == '"group","label","other","row","other_row","score"'
    assert lines[1].startswith('0,"woman","queen",1,3,0.816')
    assert len(lines) == 3


def test_duplicates_cuts_long_groups_and_stops_at_too_many(tmp_path):
    firth.Space([f"w{i}" for i in range(50)], np.ones((50, 2))).save(tmp_path / "a.space")
    out, _ = run("duplicates", tmp_path / "a.space")
    assert out.startswith("w0  w1  w2 ")
    assert out.endswith("w19  ... and 30 more\n")
    _, err = run("duplicates", tmp_path / "a.space", "--most", 9, code=1)
    assert "more than 9 pairs, among the first 50 of 50 rows: raise the score" in err


def test_judge(family, tmp_path):
    (analogies := tmp_path / "a.txt").write_text(": family\nman king woman queen\nman king woman prince\n")
    (pairs := tmp_path / "s.tsv").write_text("man\twoman\t8\nking\tman\t5\nking\tqueen\t9\n")
    out, _ = run("judge", family, analogies, pairs)
    assert re.search(r"family +100\.0 +100\.0 +1 of 2", out)
    assert "3 of 3 pairs covered" in out
    lines = run("judge", family, analogies, pairs, "--json")[0].splitlines()
    assert json.loads(lines[0])["total"]["covered"] == 1
    assert json.loads(lines[1])["covered"] == 3


def test_convert_there_and_back(family, tmp_path):
    words = firth.Space.open(family).take([0, 1, 2, 3])
    words.save(tmp_path / "a.space")
    _, err = run("convert", tmp_path / "a.space", tmp_path / "a.txt")
    assert "4 labels x 3" in err
    assert "not kept" in err  # the counts
    run("convert", tmp_path / "a.txt", tmp_path / "b.parquet", "--quiet")
    run("convert", tmp_path / "b.parquet", tmp_path / "c.dat", "--to", "word2vec-binary")
    run("convert", tmp_path / "c.dat", tmp_path / "d.space", "--from", "word2vec-binary")
    np.testing.assert_array_equal(words.vectors, firth.Space.open(tmp_path / "d.space").vectors)
    out, _ = run("ask", tmp_path / "b.parquet", "king - man + woman", "-k", 1)
    assert "queen" in out


def test_version_and_help():
    assert run("--version")[0] == f"firth {firth.__version__}\n"
    for arguments in (["--help"], ["-h"], []):
        out = run(*arguments, code=0 if arguments else 2)
        assert "Commands:" in "".join(out)
    commands = re.findall(r"^  (\w+)  ", "".join(run("--help")[0].partition("Commands:")[2]), re.MULTILINE)
    assert commands == [
        "learn",
        "ask",
        "predict",
        "search",
        "neighbors",
        "duplicates",
        "judge",
        "convert",
        "map",
        "info",
        "demo",
        "cost",
        "ladder",
        "grok",
        "health",
        "repair",
        "sample",
        "attend",
        "encode",
        "explain",
    ]
    for command in commands:
        assert "Example: firth" in run(command, "--help")[0]


def test_it_runs_as_a_module(family):
    done = subprocess.run([sys.executable, "-m", "firth", "info", str(family)], capture_output=True, text=True)
    assert "5 labels" in done.stdout


# Errors: one message, the place and the remedy; exit code 1, or 2 for wrong usage


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["ask", "FAMILY", "kng"], 1, "'kng' is not in the space: did you mean 'king'?"),
        (["ask", "FAMILY", "king - - ("], 1, "king - - ("),
        (["ask", "FAMILY", "king", "-k", "0"], 1, "k must be at least 1; got 0"),
        (["ask", "none.space", "king"], 1, "none.space: No such file or directory"),
        (["ask", ".", "king"], 1, "Is a directory"),
        (["ask", "CORPUS", "king"], 1, "corpus.txt"),
        (["ask", "FAMILY", "king", "--metric", "angle"], 2, "angle"),
        (["ask"], 2, "Missing argument 'SPACE'"),
        (["learn", "none.txt", "-o", "a.space"], 1, "none.txt: no such file or folder"),
        (["learn", "CORPUS", "-o", "a.txt"], 1, "cannot write a.txt: learn writes .space files; `firth convert` makes"),
        (["learn", "CORPUS", "-o", "no/a.space"], 1, "cannot write no/a.space: there is no folder no; make it first"),
        (["learn", "CORPUS"], 2, "Missing option '--out'"),
        (["learn", "CORPUS", "-o", "a.space", "--min-count", "99999"], 1, "lower min_count (--min-count)"),
        (["learn", "CORPUS", "-o", "a.space", "--dim", "0"], 1, "dim must be in 1..65536; got 0"),
        (["learn", "CORPUS", "-o", "a.space", "--alpha", "9"], 1, "use a lower alpha"),
        (["learn", "-", "-o", "a.space"], 1, "standard input: nothing to read"),
        (["map", "FAMILY", "-o", "a.gif"], 1, "a map can be saved as .html, .png, .svg, .csv, .space"),
        (["map", "FAMILY", "-o", "a.html", "--animate", "a.png"], 1, "an animation can be saved as .gif or .html"),
        (["map", "FAMILY", "-o", "a.html", "--animate", "a.html"], 1, "must be different files"),
        (["map", "FAMILY", "-o", "a.png", "--compare", "pca"], 1, "maps that are compared are saved as .html"),
        (["map", "FAMILY", "-o", "a.html", "--compare", "umap k=3"], 1, "a setting must be one of n_neighbors"),
        (["map", "FAMILY", "-o", "a.png", "--dims", "4"], 1, "dims must be in 2..3; got 4"),
        (
            ["map", "FAMILY", "-o", "a.png", "--colour", "size"],
            1,
            "colour must be one of the columns, count; got 'size'",
        ),
        (["map", "FAMILY", "-o", "a.png", "--only", "none.txt"], 1, "none.txt: No such file"),
        (["search", "FAMILY", "-o", "a.csv"], 1, "give the queries by either --queries or --labels"),
        (["search", "FAMILY", "--queries", "a.npy"], 2, "Missing option '--out'"),
        (["search", "FAMILY", "--queries", "FAMILY", "--labels", "CORPUS", "-o", "a.csv"], 1, "either --queries or"),
        (["search", "FAMILY", "--queries", "FAMILY", "-o", "a.txt"], 1, "a table is written as .parquet, .arrow, .csv"),
        (["search", "FAMILY", "--queries", "FAMILY", "-o", "no/a.csv"], 1, "there is no folder no; make it first"),
        (["search", "FAMILY", "--queries", "none.npy", "-o", "a.csv"], 1, "none.npy: No such file"),
        (["search", "FAMILY", "--queries", "CORPUS", "-o", "a.csv"], 1, "corpus.txt"),
        (["search", "FAMILY", "--labels", "CORPUS", "-o", "a.csv"], 1, "is not in the space"),
        (["search", "FAMILY", "--queries", "FAMILY", "-o", "a.csv", "-k", "6"], 1, "k must be in 1..5"),
        (
            ["search", "FAMILY", "--queries", "FAMILY", "-o", "a.csv", "-k", "2", "--score", "1"],
            1,
            "-k does not go with",
        ),
        (["search", "FAMILY", "--queries", "FAMILY", "-o", "a.csv", "--score", "1", "--radius", "1"], 1, "got both"),
        (["search", "FAMILY", "--queries", "FAMILY", "-o", "a.csv", "--where", "cuont > 1"], 1, "are label, count"),
        (["neighbors", "FAMILY", "-o", "a.txt"], 1, "a graph is written as .parquet, .arrow, .csv, .npz"),
        (["neighbors", "FAMILY", "-o", "a.npz", "-k", "5"], 1, "k must be in 1..4 (the number of other rows); got 5"),
        (["neighbors", "CORPUS", "-o", "a.npz"], 1, "corpus.txt"),
        (["duplicates", "FAMILY", "-o", "a.npz"], 1, "a table is written as"),
        (["duplicates", "FAMILY", "--metric", "dot"], 1, "give either score or radius; got neither"),
        (["duplicates", "FAMILY", "--radius", "1", "--metric", "dot"], 1, "radius needs metric='euclidean'"),
        (["judge", "FAMILY", "none.txt"], 1, "none.txt"),
        (["judge", "FAMILY", "FAMILY"], 1, "family.space"),
        (["convert", "FAMILY", "a.xyz"], 1, "a.xyz"),
        (["convert", "CORPUS", "a.space"], 1, "corpus.txt"),
        (["convert", "FAMILY", "no/a.parquet"], 1, "there is no folder"),
        (["info", "CORPUS"], 1, "corpus.txt"),
        (["lern"], 2, "No such command 'lern'"),
    ],
)
def test_errors(arguments, code, message, family, corpus, tmp_path):
    given = [{"FAMILY": str(family), "CORPUS": str(corpus)}.get(argument, argument) for argument in arguments]
    out, err = run(*given, code=code, stdin="", cwd=tmp_path)
    assert message in err
    assert out == ""
    assert os.listdir(tmp_path) == []  # nothing half-written


def test_a_reader_that_has_enough_is_no_error(family):
    ask = subprocess.Popen(
        [FIRTH, "ask", str(family)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert ask.stdout is not None
    ask.stdout.close()  # as head does
    _, err = ask.communicate(b"king\n" * 5000, timeout=60) if ask.stdin else (None, b"")
    assert err == b""


# Interrupted and killed


def started(corpus, out, *options):
    """`firth learn` that would take minutes, once it trains."""
    process = subprocess.Popen(
        [FIRTH, "learn", str(corpus), "-o", str(out), "--epochs", "100000", "--dim", "64", *options],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("learning"):
            break
    time.sleep(0.3)
    return process


@pytest.mark.slow
@pytest.mark.parametrize("keep", [False, True])
def test_control_c(corpus, tmp_path, keep):
    out = tmp_path / "a.space"
    process = started(corpus, out, *(["--keep-on-interrupt"] if keep else []))
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert "Traceback" not in err
    if keep:
        assert process.returncode == 0
        assert re.search(r"interrupted after \d+% of the training", err)
        assert 0 < firth.Space.open(out).recipe["interrupted_at"] < 1
    else:
        assert process.returncode == 130
        assert "interrupted; nothing is left half-written" in err
        assert os.listdir(tmp_path) == []


@pytest.mark.slow
def test_a_killed_learn_leaves_the_old_file(corpus, family, tmp_path):
    out = tmp_path / "a.space"
    out.write_bytes(family.read_bytes())
    process = started(corpus, out)
    process.kill()
    process.communicate(timeout=30)
    assert out.read_bytes() == family.read_bytes()
    assert os.listdir(tmp_path) == ["a.space"]


@pytest.mark.slow
@pytest.mark.parametrize("command", ["search", "neighbors"])
def test_control_c_leaves_an_older_table_as_it_was(tmp_path, command):
    space, out = tmp_path / "a.space", tmp_path / "out.parquet"
    firth.Space(map(str, range(40_000)), np.ones((40_000, 64))).save(space)  # all tie: minutes of scoring
    out.write_text("old")
    given = ["--queries", str(space)] if command == "search" else []
    process = subprocess.Popen(
        [FIRTH, command, str(space), "-o", str(out), *given], stderr=subprocess.PIPE, text=True, env=ENVIRONMENT
    )
    assert process.stderr is not None
    if command == "neighbors":
        assert process.stderr.readline().startswith("neighbours")
    while command == "search" and len(os.listdir(tmp_path)) == 2:  # the table is begun before the first query
        assert process.poll() is None
        time.sleep(0.01)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "interrupted; nothing is left half-written" in err
    assert "Traceback" not in err
    assert out.read_text() == "old"
    assert sorted(os.listdir(tmp_path)) == ["a.space", "out.parquet"]


def test_learn_reads_compressed_text_and_folders(corpus, tmp_path):
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt.gz").write_bytes(gzip.compress(corpus.read_bytes()))
    (tmp_path / "texts" / "b.md").write_text("paris and rome")
    run("learn", tmp_path / "texts", "-o", tmp_path / "a.space", "--dim", 4, "--epochs", 1, "-q")
    assert firth.Space.open(tmp_path / "a.space").recipe["corpus"]["tokens"] == 48_003


def test_an_interrupt_that_python_could_raise_to_nobody_is_heard_at_the_next_step():
    from firth.cli import _run

    class Closing:
        def __del__(self) -> None:
            raise KeyboardInterrupt

    def steps():
        try:
            while True:
                Closing()  # whose end raises, as a callback of the garbage collector may
                yield 1
        except KeyboardInterrupt:
            return "kept"

    before = sys.unraisablehook
    assert _run(steps(), quiet=True) == "kept"
    assert sys.unraisablehook is before
