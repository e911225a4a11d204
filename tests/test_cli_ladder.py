"""firth.cli_ladder: firth cost and firth ladder, run as a user runs them."""

from __future__ import annotations

import json

import pytest

from tests.test_cli import run


@pytest.fixture
def cache(tmp_path):
    """Somewhere for the measured roofline that is not the user's."""
    return {"XDG_CACHE_HOME": str(tmp_path / "cache")}


def test_cost_of_gpt_3(cache):
    out, err = run("cost", "gpt-3", **cache)
    assert err == ""
    assert "174,604,259,328; published: 175 G" in out
    assert "3.14e+23 FLOPs on 300 G tokens" in out
    assert "NVIDIA H100" in out
    assert "not measured yet: firth ladder" in out
    told = json.loads(run("cost", "gpt-3", "--json", **cache)[0])
    assert told["training_flops"]["6ND"] == pytest.approx(3.14e23, rel=0.01)
    assert sum(part["parameters"] for part in told["parts"]) == told["parameters"]


def test_cost_of_an_operation(cache):
    out, _ = run("cost", "matmul", "4096x4096x4096", **cache)
    assert "137,438,953,472" in out
    told = json.loads(run("cost", "layer", "8×4×2", "--bytes", 2, "--json", **cache)[0])
    assert (told["macs"], told["parameters"]) == (64, 10)
    assert told["time_s"]["NVIDIA H100"] > 0


def test_cost_of_a_transformer_of_ones_own(cache):
    options = ("--layers", 12, "--width", 768, "--context", 1024)
    assert json.loads(run("cost", *options, "--json", **cache)[0])["parameters"] == 124_439_808
    out, _ = run("cost", *options, "--style", "llama", "--tokens", 1e9, **cache)
    assert "on 1 G tokens" in out


def test_cost_alone_lists_what_there_is(cache):
    out, _ = run("cost", **cache)
    assert "llama-3-405b" in out
    assert "attention" in out
    assert "gpt-2" in json.loads(run("cost", "--json", **cache)[0])["models"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gtp-2"], "there is no model 'gtp-2': did you mean gpt-2"),
        (["dott", "3"], "there is no operation 'dott': did you mean dot"),
        (["matmul"], "matmul takes nxdxm"),
        (["matmul", "axb"], "sizes are whole numbers with x between them"),
        (["gpt-2", "--layers", "3"], "give a name or the sizes of a transformer of your own; got gpt-2 and --layers"),
        (["dot", "3", "--tokens", "3"], "dot is an operation"),
        (["--width", "3"], "needs --layers and --width"),
        (["--layers", "3", "--width", "0"], "width must be at least 1; got 0"),
    ],
)
def test_wrong_words_are_told_in_words(arguments, message, cache):
    _, err = run("cost", *arguments, code=1, **cache)
    assert message in err


@pytest.mark.slow
def test_ladder_measures_the_roof_and_cost_uses_it(cache, tmp_path):
    out, err = run("ladder", "--size", 256, "-o", tmp_path / "l.svg", **cache)
    assert "plain Python, three loops" in out
    assert "l.svg: " in err
    assert (tmp_path / "l.svg").stat().st_size > 10_000
    costs, _ = run("cost", "gpt-2", **cache)
    assert "not measured yet" not in costs


def test_ladder_refuses_pictures_it_cannot_draw(cache, tmp_path):
    _, err = run("ladder", "-o", tmp_path / "l.gif", code=1, **cache)
    assert "drawn as .png or .svg" in err
