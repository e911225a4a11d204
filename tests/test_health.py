"""firth.health: figures recomputed plainly, by the definitions they name; and what repair takes off."""

from __future__ import annotations

import json

import numpy as np
import pytest
import scipy.stats

import firth
from firth._check import ArgumentError
from firth.health import HUBS, PAIRS
from tests.test_cli import run

RTOL = 1e-4  # sums of 400 x 20 products in float32


@pytest.fixture(scope="module")
def space() -> firth.Space:
    """Skewed, off centre, with two copies, a dead dimension and frequent labels that are long."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(400, 20)) * np.linspace(3, 0.5, 20) + 1.0
    vectors *= np.linspace(2, 1, 400)[:, None] * rng.uniform(0.9, 1.1, (400, 1))
    vectors[:, 7] = 0.25
    vectors[21] = vectors[20]
    labels = [f"w{row}" for row in range(400)]
    return firth.Space(labels, vectors, columns={"count": np.arange(400, 0, -1), "context": vectors})


def health_plain(vectors, k=10):
    """The definitions, by the whole matrix of cosines and scipy."""
    vectors = vectors.astype(float)
    n = len(vectors)
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = units @ units.T
    np.fill_diagonal(cosines, -np.inf)
    nearest = np.argsort(-cosines, axis=1, kind="stable")[:, :k]
    occurrences = np.bincount(nearest.ravel(), minlength=n)
    spectrum = np.linalg.eigvalsh(np.cov(vectors.T))
    norms = np.linalg.norm(vectors, axis=1)
    return {
        "anisotropy": cosines[np.triu_indices(n, 1)].mean(),
        "effective dimension": spectrum.sum() ** 2 / (spectrum**2).sum(),
        "first_component": spectrum[-1] / spectrum.sum(),
        "mean_length": np.linalg.norm(vectors.mean(axis=0)) / norms.mean(),
        "hubness": scipy.stats.skew(occurrences),
        "nobodys": (occurrences == 0).mean(),
        "hub_share": occurrences[occurrences >= 2 * k].sum() / n / k,  # as scikit-hubness has them
        "near": (cosines.max(axis=1) >= 0.95).sum(),
        "occurrences": occurrences,
        "spread": norms.std() / norms.mean(),
        "frequency": scipy.stats.spearmanr(norms, np.arange(n, 0, -1)).statistic,
        "deviation": cosines[np.triu_indices(n, 1)].std(),
    }


def test_figures_agree_with_their_definitions(space):
    found, plain = space.health(), health_plain(space.vectors)
    assert (found.n, found.d, found.rows) == (400, 20, 400)
    for name in ("anisotropy", "effective dimension", "hubness"):
        assert found[name].value == pytest.approx(plain[name], rel=RTOL), name
    for name in ("mean_length", "first_component"):
        assert found["anisotropy"].figures[name] == pytest.approx(plain[name], rel=RTOL)
    for name in ("nobodys", "hub_share"):
        assert found["hubness"].figures[name] == pytest.approx(plain[name])
    assert found["norms"].value == pytest.approx(plain["spread"], rel=RTOL)
    assert found["norm and frequency"].value == pytest.approx(plain["frequency"])
    assert found["near-duplicates"].figures["near"] == plain["near"]
    # The deviation of a sample of PAIRS is off by less than 5 standard errors, 1 / sqrt(2 PAIRS) each.
    assert found["cosines"].figures["deviation"] == pytest.approx(plain["deviation"], rel=5 / np.sqrt(2 * PAIRS))
    assert found["dead dimensions"].figures["dead"] == 1
    assert [count for _, count in found.hubs] == sorted(plain["occurrences"], reverse=True)[:HUBS]
    assert found.hubs[0][0] == f"w{plain['occurrences'].argmax()}"


def test_random_vectors_are_well():
    rng = np.random.default_rng(0)
    found = firth.Space([str(row) for row in range(2000)], rng.normal(size=(2000, 16))).health()
    assert [one.name for one in found.findings if one.verdict != "good"] == []
    assert not any(one.remedy for one in found.findings)
    assert found["effective dimension"].value == pytest.approx(16, rel=0.02)  # the eigenvalues scatter by sqrt(d / n)


def test_of_a_large_space_a_sample_is_looked_at(space):
    found = space.health(rows=100, seed=1)
    assert (found.n, found.rows) == (400, 100)
    assert found == space.health(rows=100, seed=1)
    assert found != space.health(rows=100, seed=2)


def test_small_and_odd_spaces():
    zeros = firth.Space("abc", np.zeros((3, 2))).health()
    assert zeros["norms"].figures["zeros"] == 3
    assert zeros["effective dimension"].value == 0
    assert zeros["dead dimensions"].verdict == "poor"
    with pytest.raises(ArgumentError, match="at least 3 rows; got 2"):
        firth.Space("ab", np.eye(2)).health()
    with pytest.raises(ArgumentError, match="there is no finding 'wealth'; there are norms, cosines"):
        zeros["wealth"]


@pytest.mark.parametrize("components", [0, 1, 3])
def test_repair_agrees_with_the_plain_twin(space, components):
    vectors = space.vectors.astype(float)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    off = vectors / lengths - (vectors / lengths).mean(axis=0)
    top = np.linalg.svd(off, full_matrices=False)[2][:components]
    expected = lengths * (off - off @ top.T @ top)
    repaired = space.repair(centre=1, components=components)
    np.testing.assert_allclose(repaired.vectors, expected, atol=1e-5)  # float32 of numbers below 20
    assert repaired.labels.tolist() == space.labels.tolist()
    assert list(repaired.columns) == ["count"]
    assert repaired.recipe["repaired"] == [{"centre": 1.0, "components": components, "normalise": False}]
    assert len(repaired.repair(normalise=True).recipe["repaired"]) == 2


def test_repair_improves_what_it_is_for(space):
    before, after = space.health(), space.repair(centre=1, components=1, normalise=True).health()
    assert abs(after["anisotropy"].value) < 0.1 * before["anisotropy"].value
    assert after["norms"].value == pytest.approx(0, abs=1e-6)
    lengths = space.repair(centre=0, normalise=True)
    np.testing.assert_allclose(lengths.vectors * space.norms[:, None], space.vectors, atol=1e-5)


def test_repair_takes_a_quarter_of_the_mean_where_anisotropy_is_not_poor(space):
    before, repaired = space.health()["anisotropy"], space.repair()
    assert before.verdict == "fair"
    assert repaired.recipe["repaired"][-1]["centre"] == 0.25
    np.testing.assert_array_equal(repaired.vectors, space.repair(centre=0.25).vectors)
    assert repaired.health()["anisotropy"].value < 0.7 * before.value  # 9/16 where lengths stay as they were
    poor = firth.Space(space.labels, space.vectors + 5)
    assert poor.health()["anisotropy"].verdict == "poor"
    assert poor.repair().recipe["repaired"][-1]["centre"] == 1


def test_repair_refuses(space):
    with pytest.raises(ArgumentError, match="centre must be at least 0 and at most 1; got 2"):
        space.repair(centre=2)
    with pytest.raises(ArgumentError, match=r"components must be in 0\.\.19 \(d - 1\); got 20"):
        space.repair(components=20)
    with pytest.raises(ArgumentError, match="nothing to do"):
        space.repair(centre=0, components=0)


def test_the_commands(space, tmp_path):
    path, out = tmp_path / "a.space", tmp_path / "b.space"
    space.save(path)
    told, _ = run("health", path, "--rows", 300)
    assert "300 rows drawn at random, of 400 labels x 20 dimensions" in told
    assert "→ `firth repair`" in told
    assert json.loads(run("health", path, "--json")[0]) == space.health().as_dict()
    told, err = run("repair", path, "-o", out, "--centre", 1, "--components", 1)
    assert "centre 1.0, components 1, normalise False" in err
    assert "before" in told
    both = json.loads(run("repair", path, "-o", out, "--json", "--quiet")[0])
    assert both["after"] == firth.Space.open(out).health().as_dict()
    assert "cannot write" in run("repair", path, "-o", tmp_path / "b.npy", code=1)[1]
    assert "No such file" in run("health", tmp_path / "none.space", code=1)[1]
