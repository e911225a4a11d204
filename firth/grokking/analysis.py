"""What a trained model computes: cosines of the sum, at a few frequencies; read from its weights, logits and neurons.

Of Nanda et al. 2023, sections 4 and 5. All in float64 with numpy. A function on the p numbers is written in the orthonormal basis
of the constant and cos, sin(2 pi k x / p), k = 1..(p - 1) / 2. Logits come as (p p, p), a row a sum, a slowest.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np

from firth.grokking.model import Model, fast, neuron_map, pairs

KEY_SHARE = 0.02  # of the squared norm of W_L, from which on a frequency is a key: it leaves out what rounding leaves
FULL_LOSS = 1e-6  # over all pairs, below which a model has grokked: four times the paper's
ONE_FREQUENCY = 0.85  # of a neuron's variance, from which on it counts as a neuron of one frequency: section 4.2


class Losses(NamedTuple):
    """How well a model adds, and how: mean cross-entropies, and shares of right sums.

    Attributes
    ----------
    train_loss, test_loss, full_loss
        Over the pairs trained on, the others, all.
    restricted_loss
        Over all pairs, with nothing left of the logits but their mean and the key frequencies of a + b.
    excluded_loss
        Over the pairs trained on, without the key frequencies of a + b: what is known by heart.
    cosine_loss
        Over all pairs, with the fitted sum of cosines in place of the logits; the paper calls it trigonometric.
    train_accuracy, test_accuracy
        0..1.
    """

    train_loss: float
    test_loss: float
    full_loss: float
    restricted_loss: float
    excluded_loss: float
    cosine_loss: float
    train_accuracy: float
    test_accuracy: float


class Row(NamedTuple):
    """A measure: what the paper has, what we have, what is wanted, and whether that is met."""

    measure: str
    paper: str
    ours: float
    wanted: str
    met: bool


class Opened(NamedTuple):
    """What is found in a model.

    Attributes
    ----------
    frequencies
        The keys, each in 1..(p - 1) / 2.
    embedding_spectrum, map_spectrum : ((p - 1) / 2,)
        Squared norms of W_E and of W_L = W_out W_U at each frequency.
    map_residual
        Of the squared norm of W_L, the share that is neither its mean nor at a key frequency.
    neuron_frequencies, neuron_shares : (m,)
        The frequency that explains most of each neuron's variance, and how much, 0..1.
    amplitudes
        Of the cosines fitted to the logits, one a key frequency.
    cosine_fit
        R2 of that fit.
    by_difference : (p,)
        The mean logit by c - a - b, its mean over c removed.
    squared_weights
        The sum of the squares of all weights.
    losses
    """

    frequencies: list[int]
    embedding_spectrum: np.ndarray
    map_spectrum: np.ndarray
    map_residual: float
    neuron_frequencies: np.ndarray
    neuron_shares: np.ndarray
    amplitudes: list[float]
    cosine_fit: float
    by_difference: np.ndarray
    squared_weights: float
    losses: Losses

    @property
    def embedding_share(self) -> float:
        """Of W_E's variance at key frequencies."""
        return _share(self.embedding_spectrum, self.frequencies)

    @property
    def map_share(self) -> float:
        """Of W_L's variance at key frequencies."""
        return _share(self.map_spectrum, self.frequencies)

    @property
    def single_share(self) -> float:
        """Of the neurons, those that one frequency explains."""
        return float((self.neuron_shares > ONE_FREQUENCY).mean())

    @property
    def table(self) -> list[Row]:
        """The paper's measures, its figures for p = 113 (sections 4 and 5, appendix C) beside ours."""
        loss, p = self.losses, len(self.by_difference)
        full, keys, uniform = loss.full_loss, len(self.frequencies), math.log(p)
        least = (
            ("right sums of pairs never seen", "1", loss.test_accuracy, 1.0),
            ("W_E's variance at key frequencies", "", self.embedding_share, 0.88),
            ("W_L's variance at key frequencies", "", self.map_share, 0.99),
            (f"neurons over {ONE_FREQUENCY:.0%} of one frequency", "0.846", self.single_share, 0.7),
            ("logits as a sum of cosines, R2", "0.95", self.cosine_fit, 0.95),
        )
        most = (
            ("W_L outside of key frequencies", "< 0.0055", self.map_residual, 0.01, "0.01"),
            ("full loss", "2.41e-07", full, FULL_LOSS, "1e-06"),
            ("cosine loss", "4.7e-08", loss.cosine_loss, full, "full loss"),
            ("restricted loss", "5.54e-08", loss.restricted_loss, full, "full loss"),
            ("sum of squared weights", "942 to 955", self.squared_weights, 1100, "1100"),
        )
        return [
            Row("key frequencies", "5; other seeds 3, 4", keys, "3 to 6", 3 <= keys <= 6),
            *(Row(name, paper, ours, f">= {bound:g}", ours >= bound) for name, paper, ours, bound in least),
            *(Row(name, paper, ours, f"< {told}", ours < bound) for name, paper, ours, bound, told in most),
            Row("excluded loss", "5.27", loss.excluded_loss, f"> ln {p}", loss.excluded_loss > uniform),
        ]


def open_model(model: Model, train: np.ndarray) -> Opened:
    """Find out how a model adds.

    Parameters
    ----------
    model
        Of `firth.grokking.model`, trained.
    train
        Rows of `pairs` that it was trained on.
    """
    model = {name: np.asarray(weights, dtype=np.float64) for name, weights in model.items()}
    p = len(model["W_E"]) - 1
    logits, hidden = fast(model, pairs(p))
    logits = logits[:, :p]
    keys, to_logits = key_frequencies(model), neuron_map(model)[:, :-1]  # (m, p)
    kept = waves(to_logits.T, keys)  # (p, m)
    frequencies, shares = _by_neuron(hidden)

    amplitudes = fit_cosines(by_sum(logits), keys)
    fitted = cosines(amplitudes, keys, p)  # by c - a - b
    centred = logits - logits.mean(axis=1, keepdims=True)
    difference = (np.arange(p) - _sums(p)[:, None]) % p  # (p p, p)
    missed = centred - fitted[difference]
    return Opened(
        keys,
        spectrum(model["W_E"][:p]),
        spectrum(to_logits.T),
        float(((to_logits.T - to_logits.T.mean(axis=0) - kept) ** 2).sum() / (to_logits**2).sum()),
        frequencies,
        shares,
        amplitudes.tolist(),
        1 - float((missed**2).sum() / (centred**2).sum()),
        np.bincount(difference.ravel(), centred.ravel(), p) / p**2,
        float(sum((weights**2).sum() for weights in model.values())),
        losses(logits, train, keys),
    )


# Frequencies


@functools.cache
def basis(p: int) -> np.ndarray:
    """The constant, and cos and sin of each frequency in turn, as orthonormal rows: (p, p).

    >>> bool(np.allclose(basis(7) @ basis(7).T, np.eye(7)))
    True
    """
    angles = 2 * np.pi * np.outer(np.arange(1, (p + 1) // 2), np.arange(p)) / p
    rows = np.stack([np.cos(angles), np.sin(angles)], axis=1).reshape(p - 1, p)
    return np.concatenate([np.full((1, p), p**-0.5), rows * (2 / p) ** 0.5])


def spectrum(columns: np.ndarray) -> np.ndarray:
    """The squared norm at each frequency of functions on the numbers, the columns of a (p, m): ((p - 1) / 2,)."""
    return ((basis(len(columns)) @ columns) ** 2).sum(axis=1)[1:].reshape(-1, 2).sum(axis=1)


def waves(columns: np.ndarray, keys: list[int]) -> np.ndarray:
    """What of the columns of a (p, m) is at the key frequencies: their projection, (p, m)."""
    rows = basis(len(columns))[[row for key in keys for row in (2 * key - 1, 2 * key)]]
    return rows.T @ (rows @ columns)


def key_frequencies(model: Model) -> list[int]:
    """The frequencies at which the map from neurons to logits is not negligible."""
    power = spectrum(neuron_map({name: np.asarray(model[name], dtype=np.float64) for name in ("W_out", "W_U")}).T[:-1])
    return (np.flatnonzero(power > KEY_SHARE * power.sum()) + 1).tolist()


def _share(power: np.ndarray, keys: list[int]) -> float:
    return float(power[np.array(keys, dtype=int) - 1].sum() / power.sum())


def _by_neuron(hidden: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each neuron (p p, m) the frequency that explains most of it: terms of degree two in cos, sin of wa and of wb."""
    p = round(len(hidden) ** 0.5)
    power = np.tensordot(basis(p), hidden.reshape(p, p, -1), (1, 0))  # over a
    power = np.tensordot(basis(p), power, (1, 1)) ** 2  # over b -> (p, p, m)
    power[0, 0] = 0  # the mean
    own = [[0, 2 * k - 1, 2 * k] for k in range(1, (p + 1) // 2)]
    explained = np.stack([power[np.ix_(rows, rows)].sum(axis=(0, 1)) for rows in own])  # ((p - 1) / 2, m)
    total = power.sum(axis=(0, 1))
    shares = np.divide(explained.max(axis=0), total, out=np.zeros_like(total), where=total > 1e-8)  # some never fire
    return explained.argmax(axis=0) + 1, shares


# Logits


def _sums(p: int) -> np.ndarray:
    """(a + b) mod p of each row of `pairs`."""
    return pairs(p)[:, :2].sum(axis=1) % p


def by_sum(logits: np.ndarray) -> np.ndarray:
    """The mean logits of all pairs with the same sum: (p p, p) -> (p, p)."""
    p = logits.shape[1]
    return logits[np.argsort(_sums(p), kind="stable")].reshape(p, p, p).mean(axis=1)


def fit_cosines(means: np.ndarray, keys: list[int]) -> np.ndarray:
    """Amplitudes of cos(w_k (a + b - c)) that fit mean logits (p, p) best: these are orthogonal, each with norm p^2 / 2."""
    p = len(means)
    angle = 2 * np.pi * (np.arange(p)[:, None] - np.arange(p)) / p
    return np.array([2 / p**2 * (means * np.cos(key * angle)).sum() for key in keys])


def cosines(amplitudes: np.ndarray | list[float], keys: list[int], p: int) -> np.ndarray:
    """The sum of the cosines for each difference 0..p - 1: (p,)."""
    return np.asarray(amplitudes) @ np.cos(2 * np.pi * np.outer(keys, np.arange(p)) / p) if keys else np.zeros(p)


def losses(logits: np.ndarray, train: np.ndarray, keys: list[int]) -> Losses:
    """All losses of logits (p p, p), given the rows trained on and the key frequencies."""
    p = logits.shape[1]
    sums = _sums(p)
    test = np.ones(p * p, bool)
    test[train] = False
    each, right = cross_entropy(logits, sums), logits.argmax(axis=1) == sums
    means = by_sum(logits)
    only = waves(means, keys)  # (p, p): pairs with the same sum have the same
    fitted = cosines(fit_cosines(means, keys), keys, p)
    return Losses(
        float(each[train].mean()),
        float(each[test].mean()),
        float(each.mean()),
        float(cross_entropy(only + means.mean(axis=0), np.arange(p)).mean()),
        float(cross_entropy(logits[train] - only[sums[train]], sums[train]).mean()),
        float(cross_entropy(fitted[None], np.zeros(1, int))[0]),
        float(right[train].mean()),
        float(right[test].mean()),
    )


def cross_entropy(logits: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """-ln of the share that softmax gives the right answer, (b, p) -> (b,); small ones keep their digits."""
    others = logits - np.take_along_axis(logits, rows[:, None], axis=1)
    np.put_along_axis(others, rows[:, None], -np.inf, axis=1)
    largest = np.maximum(others.max(axis=1), 0)
    rest = np.exp(others - largest[:, None]).sum(axis=1)
    return largest + np.log1p(rest + np.expm1(-largest))
