"""firth.grokking: three forms of one transformer, its training, and what is found in it."""

from __future__ import annotations

import json
import math
import re
import signal
import subprocess
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load_file

import firth
from firth import _check
from firth.grokking import analysis, report, training
from firth.grokking.model import FORMS, pairs, plain, start
from firth.grokking.training import PAPER, PHASES, Grok, small_loss, step_flops, train_steps
from firth.ops import softmax
from firth.steps import drain
from tests.test_cli import ENVIRONMENT, FIRTH, run

jax = pytest.importorskip("jax")
P = 13

# The model


def test_the_three_forms_are_the_same_function():
    model, tokens = start(113, seed=1), pairs(113)[::7]
    expected, fired = plain(model, tokens)
    assert expected.shape == (len(tokens), 114)
    for form in FORMS.values():
        for convert in (lambda x: x, jax.numpy.asarray):  # numpy and JAX
            logits, hidden = form({name: convert(weights) for name, weights in model.items()}, convert(tokens))
            # float32 sums of up to 512 products of size 1: some 1e-6
            np.testing.assert_allclose(logits, expected, atol=1e-5)
            np.testing.assert_allclose(hidden, fired, atol=1e-5)


def test_the_forms_have_the_slope_of_central_differences():
    tokens = pairs(P)[::3]
    right = np.arange(P + 1) == (tokens[:, :2].sum(axis=1) % P)[:, None]
    random = np.random.default_rng(0)
    model = {name: weights.astype(np.float64) for name, weights in start(P, d=16, neurons=24).items()}
    change = {name: random.standard_normal(weights.shape) for name, weights in model.items()}
    step = 1e-6  # the error of the difference is step^2, and eps / step = 2e-10; few neurons cross 0 within it
    with jax.enable_x64(True):
        for form in FORMS.values():

            def loss(model, form=form):
                return small_loss(form(model, jax.numpy.asarray(tokens))[0], right).mean()

            at = {name: jax.numpy.asarray(weights) for name, weights in model.items()}
            value, slopes = jax.jit(loss), jax.jit(jax.grad(loss))(at)
            for name in model:
                up, down = (value(at | {name: at[name] + sign * step * change[name]}) for sign in (1, -1))
                assert float((slopes[name] * change[name]).sum()) == pytest.approx(
                    float(up - down) / (2 * step), rel=1e-5, abs=1e-8
                )


def test_losses_far_below_rounding_keep_their_digits_in_float32():
    logits = np.zeros((3, 5), np.float32)
    logits[:, 2] = [1.0, 20.0, 40.0]
    right = np.arange(5) == np.full((3, 1), 2)
    expected = np.log1p(4 * np.exp(-logits[:, 2].astype(np.float64)))  # 4e-18 for the last
    # exp(-x) is as far off as x is rounded: by up to 40 eps / 2
    np.testing.assert_allclose(small_loss(logits, right), expected, rtol=20 * np.finfo(np.float32).eps)
    np.testing.assert_allclose(analysis.cross_entropy(logits.astype(np.float64), np.full(3, 2)), expected, rtol=1e-12)
    random = 9 * np.random.default_rng(0).standard_normal((50, 5))
    plainly = -np.log(softmax(random)[:, 2])  # loses the digits of shares near 1
    np.testing.assert_allclose(analysis.cross_entropy(random, np.full(50, 2)), plainly, rtol=1e-12, atol=1e-15)


# What is found


def sum_of_cosines(frequencies, amplitudes, p=P):
    """Logits (p p, p), as the paper says they are."""
    tokens = pairs(p)
    angle = 2 * np.pi * (tokens[:, :1] + tokens[:, 1:2] - np.arange(p)) / p
    return sum(size * np.cos(k * angle) for k, size in zip(frequencies, amplitudes, strict=True))


def test_cosines_are_found_in_logits_and_make_up_their_losses():
    keys, amplitudes, train = [2, 5], [4.0, 3.0], np.arange(0, P * P, 3)
    logits = sum_of_cosines(keys, amplitudes)
    np.testing.assert_allclose(analysis.fit_cosines(analysis.by_sum(logits), keys), amplitudes)
    found = analysis.losses(logits, train, keys)
    assert found.full_loss == pytest.approx(found.restricted_loss) == pytest.approx(found.cosine_loss)
    assert found.excluded_loss == pytest.approx(math.log(P))
    assert found.train_accuracy == found.test_accuracy == 1
    # What is known by heart is no wave of a + b: the restricted loss does not see it, the excluded loss nothing else.
    heart = np.where(np.arange(P) == (pairs(P)[:, :2].sum(axis=1) % P)[:, None], 30.0, 0.0)
    heart[np.setdiff1d(np.arange(P * P), train)] = 0
    known = analysis.losses(heart, train, [1])
    assert known.train_loss < 1e-9 < 1 < known.test_loss
    assert known.excluded_loss < 1e-3
    assert known.restricted_loss > 1


def test_a_spectrum_is_the_squared_norm_of_each_frequency():
    x = np.arange(P)
    columns = np.stack([3 * np.cos(2 * np.pi * 2 * x / P), 2 * np.sin(2 * np.pi * 5 * x / P) + 7], axis=1)
    expected = np.zeros(P // 2)
    expected[[1, 4]] = 9 * P / 2, 4 * P / 2
    np.testing.assert_allclose(analysis.spectrum(columns), expected, atol=1e-12)
    np.testing.assert_allclose(analysis.waves(columns, [2, 5]), columns - [0, 7], atol=1e-12)
    np.testing.assert_allclose(analysis.waves(columns, []), 0 * columns)


def test_neurons_are_told_by_their_frequency():
    a, b = 2 * np.pi * pairs(P)[:, :2].T / P
    hidden = np.stack(
        [np.cos(3 * a) * np.cos(3 * b) + np.sin(3 * b) + 2, np.cos(4 * (a + b)) + np.cos(a), 0 * a], axis=1
    )
    frequencies, shares = analysis._by_neuron(hidden)
    assert frequencies[:2].tolist() == [3, 4]
    np.testing.assert_allclose(shares, [1, 0.5, 0], atol=1e-12)


# Training


@pytest.fixture(scope="module")
def grokked():
    """Of 31 numbers, a second or two on a quiet machine; and the steps."""
    steps, said = report.grok_steps(Grok(p=31, steps=800)), []
    while True:
        try:
            said.append(next(steps))
        except StopIteration as end:
            return end.value, [step for step in said if hasattr(step, "phase")]


def test_31_numbers_are_grokked(grokked):
    found, said = grokked
    assert [step.phase for step in said] == sorted((step.phase for step in said), key=PHASES.index)
    assert {step.phase for step in said} == set(PHASES)
    assert said[0].losses.train_loss == pytest.approx(math.log(31), abs=0.3)  # knows nothing yet
    assert list(found.curve) == list(range(0, 801, 100))
    loss = found.opened.losses
    # Measured for seeds 0 and 1: accuracy 1, 4 keys, W_L .98 and .996, R2 of 0.87 to 0.92: far from chance, nearly 0 for both.
    assert loss.train_accuracy == 1
    assert loss.test_accuracy > 0.9
    assert 2 <= len(found.opened.frequencies) <= 8
    assert found.opened.map_share > 0.9
    assert found.opened.cosine_fit > 0.6
    assert loss.restricted_loss < loss.full_loss
    assert loss.excluded_loss > math.log(31)
    # Logits of some 20, of sums of products that cancel, in float32: some eps times their size, twice.
    expected, _ = plain(found.trained.model, pairs(31))
    for form in FORMS.values():
        np.testing.assert_allclose(form(found.trained.model, pairs(31))[0], expected, atol=1e-5 * abs(expected).max())
    # The curve, by numpy and the last keys, ends where the opened model is: float32 here, float64 there.
    assert found.curve[800].test_loss == pytest.approx(loss.test_loss, rel=1e-3)


@pytest.mark.slow
def test_59_numbers_are_grokked_into_circles():
    found = report.grok(59, steps=2000)
    rows = {row.measure: row.ours for row in found.table}
    # Measured for seed 0, 46% of the pairs: 1; 4; .973; .983; .80; .954; 5.7; 660.
    assert rows["right sums of pairs never seen"] > 0.98
    assert 2 <= rows["key frequencies"] <= 8
    assert rows["W_E's variance at key frequencies"] > 0.8
    assert rows["W_L's variance at key frequencies"] > 0.95
    assert rows["neurons over 85% of one frequency"] > 0.4
    assert rows["logits as a sum of cosines, R2"] > 0.8
    assert rows["excluded loss"] > math.log(59)
    assert rows["sum of squared weights"] < 1100
    for key in found.opened.frequencies:
        radii = np.linalg.norm(found.circle(key).vectors, axis=1)
        assert radii.std() < 0.3 * radii.mean()


# The report


def test_a_circle_has_every_number_at_its_place(grokked):
    found, _ = grokked
    key = found.strongest
    circle = found.circle()
    numbers = circle.columns["number"]
    np.testing.assert_array_equal(key * numbers % 31, np.arange(31))
    np.testing.assert_array_equal(circle.columns["embedding"], found.trained.model["W_E"][numbers])
    # Adding stays adding under the new names.
    called = {int(number): place for place, number in enumerate(numbers)}
    assert all(called[(a + b) % 31] == (called[a] + called[b]) % 31 for a in range(31) for b in range(31))
    # Between two neighbours but one lies the one between; noise may let a few of 31 change places.
    right = sum(circle.ask(f'"{n - 1}" + "{n + 1}"', 1).labels[0] == str(n) for n in range(1, 30))
    assert right >= 20
    assert found.embeddings().vectors.shape == (31, 128)


def test_a_plane_neither_stretches_nor_smooths():
    random = np.random.default_rng(0)
    x = 2 * np.pi * 3 * np.arange(P) / P
    turned, _ = np.linalg.qr(random.standard_normal((8, 8)))
    ellipse = np.stack([3 * np.cos(x), 2 * np.sin(x)], axis=1)
    embedding = np.concatenate([ellipse, np.zeros((P, 6))], axis=1) @ turned + 5
    seen = report.plane(np.concatenate([embedding, np.ones((1, 8))]), 3)
    np.testing.assert_allclose(seen, ellipse, atol=1e-12)


def test_everything_is_saved(grokked, tmp_path):
    found, _ = grokked
    for suffix in report.SUFFIXES:
        found.save(tmp_path / f"grok{suffix}")
    assert firth.Space.open(tmp_path / "grok.space").recipe["frequency"] == found.strongest
    assert json.loads((tmp_path / "grok.json").read_text())["curve"][-1]["step"] == 800
    weights = load_file(tmp_path / "grok.safetensors")
    np.testing.assert_array_equal(weights["W_E"], found.trained.model["W_E"])
    page = (tmp_path / "grok.html").read_text()
    assert '"data:image/svg+xml;base64,"' in page
    assert not re.search(r'(src|href)="?https?:', page)  # works offline
    with pytest.raises(_check.ArgumentError, match=r"saved as \.html, .* got grok\.pdf"):
        found.save(tmp_path / "grok.pdf")
    with pytest.raises(_check.ArgumentError, match="train for more steps"):
        replace(found, opened=found.opened._replace(frequencies=[])).circle()


def test_training_ends_when_every_measure_has_held(monkeypatch):
    met = iter([False, True, False, *[True] * 20])
    monkeypatch.setattr(training, "_all_met", lambda *_: next(met))
    reached = drain(train_steps(Grok(p=7, steps=2000)))
    assert reached.settled
    assert max(reached.checkpoints) == 500  # three, and then two in a row, a hundred steps each
    assert max(drain(train_steps(Grok(p=7, steps=1000, all_steps=True))).checkpoints) == 1000


def test_the_whole_table_must_be_met(monkeypatch):
    model = start(7)
    measured = analysis.Losses(*[1e-9] * 8)
    rows = [analysis.Row("one", "", 1.0, "", True), analysis.Row("two", "", 1.0, "", True)]
    for met in (True, False):
        rows[1] = rows[1]._replace(met=met)
        monkeypatch.setattr(analysis.Opened, "table", property(lambda _: rows))
        assert training._all_met(measured, model, np.arange(20)) == met
    assert not training._all_met(measured._replace(full_loss=1e-3), model, np.arange(20))


def test_an_interrupt_keeps_what_was_reached():
    steps = train_steps(Grok(p=7, steps=1000))
    while next(steps).step < 120:
        pass
    with pytest.raises(StopIteration) as end:
        steps.throw(KeyboardInterrupt())
    reached = end.value.value
    assert reached.interrupted
    assert list(reached.checkpoints) == [0, 100, 120]
    assert all(np.isfinite(weights).all() for weights in reached.model.values())


def test_an_interrupt_waits_until_jax_has_compiled(monkeypatch):
    compiled = []

    def forward(model, tokens):
        signal.raise_signal(signal.SIGINT)  # raises in the next line, if nobody holds it
        compiled.append(1)
        return whole(model, tokens)

    steps = train_steps(Grok(p=7, steps=1000))
    assert next(steps).step == 0
    whole = training.fast
    monkeypatch.setattr(training, "fast", forward)
    with pytest.raises(StopIteration) as end:
        next(steps)
    assert compiled
    assert end.value.value.interrupted


def test_the_settings_are_the_paper_s():
    assert Grok().train_pairs == int(0.3 * 113**2)
    assert PAPER["decay"] == 1
    # A pair goes from its mixed values to neurons and logits, and from neurons to logits: once forward and twice backward.
    assert step_flops(Grok()) == 6 * 3830 * (128 * 512 + 128 * 114 + 512 * 114)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"p": 100}, "p must be a prime; got 100; near ones are 89, 97, 101, 103, 107, 109"),
        ({"p": 5}, r"p must be in 7\.\.499; got 5"),
        ({"share": 1.0}, "share must leave some of 12769 pairs to train on and some to test; got 1.0"),
        ({"steps": 0}, "steps must be at least 1; got 0"),
        ({"rate": 0}, "rate must be above 0"),
    ],
)
def test_wrong_options_are_told_in_words(options, message):
    with pytest.raises(_check.ArgumentError, match=message):
        Grok(**options)


def test_a_loss_that_is_not_finite_is_told(monkeypatch):
    monkeypatch.setattr(training, "losses", lambda *_: analysis.Losses(*[math.nan] * 8))
    with pytest.raises(_check.TrainingError, match="training diverged by step 0; use a lower rate than 0.003"):
        next(train_steps(Grok(p=7)))


# The command


def test_the_command_tells_and_saves(tmp_path):
    out, err = run("grok", "--p", 7, "--steps", 200, "-o", tmp_path / "g.json")
    assert "(a + b) mod 7" in out
    assert "sum of squared weights" in out
    assert "forming the circuit ..." in err or "cleaning up ..." in err
    told = json.loads((tmp_path / "g.json").read_text())
    assert told["steps"] == 200
    assert len(told["table"]) == 12


def test_ctrl_c_opens_what_was_reached():
    command = [FIRTH, "grok", "--p", "7", "--steps", "100000"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT
    ) as process:
        assert process.stderr.readline() == "memorising ...\n"  # it trains
        process.stderr.readline()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "of 100,000 steps; this is what was reached" in err
    assert "sum of squared weights" in out


def test_the_command_refuses_before_any_work(tmp_path):
    assert "p must be a prime; got 9" in run("grok", "--p", 9, code=1)[1]
    assert "saved as .html, .png" in run("grok", "-o", tmp_path / "g.gif", code=1)[1]
