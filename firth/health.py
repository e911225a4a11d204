"""What high dimensions and learning do to the dot products of a space, measured; and what can be repaired.

Each figure is a published definition, named where it is computed. The verdicts are rules of thumb of ours: LIMITS.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from firth._check import ArgumentError, check_int, check_number
from firth.ranks import spearman
from firth.search import neighbors_steps
from firth.steps import Progress, drain

if TYPE_CHECKING:
    from firth.space import Space

Verdict = Literal["good", "fair", "poor"]

ROWS = 50_000  # are looked at, of more a sample: the neighbour graph costs n^2 d
PAIRS = 200_000  # drawn for the distribution of cosines: its quantiles within 0.4% of their rank
HUBNESS_K = 10  # Radovanović et al. 2010 look at N_10
HUB_SIZE = 2  # a hub is a neighbour of so many times k rows or more: Feldbauer et al. 2020 (scikit-hubness)
HUBS = 10  # told by name
NEAR = 0.95  # cosine from which two rows are near-duplicates; that of `firth duplicates`
DEAD = 1e-6  # of the mean variance: a dimension that varies less tells nothing
QUANTILES = {"least": 0.0, "q05": 0.05, "median": 0.5, "q95": 0.95, "largest": 1.0}
BLOCK_ROWS = 1 << 16
GENTLE = 0.25  # of the mean, that repair takes off where the anisotropy is not poor

# Up to the first number a figure is good, up to the second fair, beyond it poor.
LIMITS = {
    "norms": (0.5, 1.0),  # standard deviation / mean
    "cosines": (2.0, 4.0),  # standard deviation / that of random vectors
    "anisotropy": (0.1, 0.3),  # mean cosine
    "effective dimension": (-0.5, -0.1),  # minus its share of d
    "hubness": (1.5, 5.0),  # skewness
    "near-duplicates": (0.01, 0.1),  # share of the rows
    "norm and frequency": (0.3, 0.6),  # rank correlation, of either sign
    "dead dimensions": (0.0, 0.1),  # share of d
}


class Finding(NamedTuple):
    """One property of a space.

    Attributes
    ----------
    name, verdict
        What is measured, and whether it is good, fair or poor.
    value
        The figure that decides.
    told
        The figures in words.
    why, remedy
        Why it matters, and what to do about it; no remedy where it is good.
    figures
        All figures by name.
    """

    name: str
    verdict: Verdict
    value: float
    told: str
    why: str
    remedy: str
    figures: dict[str, float]


class Health(NamedTuple):
    """All findings, and the worst hubs: labels and of how many rows each is among the nearest.

    Attributes
    ----------
    n, d
        Of the space.
    rows
        How many were looked at: all, or a random sample.
    """

    n: int
    d: int
    rows: int
    findings: list[Finding]
    hubs: list[tuple[str, int]]

    def __getitem__(self, name: Any) -> Any:
        """Return a finding by its name; by a number as of any tuple."""
        if not isinstance(name, str):
            return tuple.__getitem__(self, name)
        for finding in self.findings:
            if finding.name == name:
                return finding
        raise ArgumentError(f"there is no finding {name!r}; there are {', '.join(one.name for one in self.findings)}")

    def as_dict(self) -> dict[str, Any]:
        """All of it as JSON has it."""
        told = self._asdict()
        hubs = [{"label": label, "neighbor_of": count} for label, count in self.hubs]
        return told | {"findings": [finding._asdict() for finding in self.findings], "hubs": hubs}


def health(space: Space, *, rows: int = ROWS, seed: int = 0) -> Health:
    """Measure what may be wrong with the dot products of a space.

    norms
        Their distribution; its spread is the standard deviation over the mean.
    cosines
        Of random pairs, beside those of random vectors: mean 0, standard deviation 1 / sqrt(d).
    anisotropy
        The mean cosine of two different rows (Ethayarajh 2019); the length of the mean over the mean length, and the share of
        the variance along the first principal component (Mu and Viswanath 2018).
    effective dimension
        (sum of e)^2 / (sum of e^2), e the eigenvalues of the covariance: the participation ratio.
    hubness
        The skewness of N_10, in how many rows' 10 nearest each row is, by cosine, exact (Radovanović et al. 2010); rows that
        are nobody's neighbour, and the share of all neighbours that are hubs, N_10 >= 20 (Feldbauer et al. 2020).
    near-duplicates
        Rows with another at a cosine of 0.95 or more, exact.
    norm and frequency
        Spearman's rank correlation; where the space has counts.
    dead dimensions
        Those with less than a millionth of the mean variance.

    r^2 d operations for r rows that are looked at.

    Parameters
    ----------
    space
        Of three rows or more.
    rows
        Of a larger space so many are drawn at random, and all figures are of them: a sample has fewer near-duplicates, and other
        neighbours, than the whole.
    seed
        Of what is drawn.

    Raises
    ------
    ArgumentError
        If there are fewer than three rows.

    Notes
    -----
    - K. Ethayarajh: How contextual are contextualized word representations? EMNLP 2019, section 3.3.
    - J. Mu and P. Viswanath: All-but-the-top: simple and effective postprocessing for word representations. ICLR 2018.
    - M. Radovanović, A. Nanopoulos and M. Ivanović: Hubs in space. JMLR 11, 2010.
    - R. Feldbauer, T. Rattei and A. Flexer: scikit-hubness: hubness reduction and approximate neighbor search. JOSS 2020.

    Examples
    --------
    >>> from firth.space import Space
    >>> space = Space("abcd", [[1, 0], [0, 1], [-1, 0], [0, -1]])
    >>> health(space)["anisotropy"].value, health(space)["effective dimension"].value
    (-0.333..., 2.0)
    """
    return drain(health_steps(space, rows=rows, seed=seed))


def health_steps(space: Space, *, rows: int = ROWS, seed: int = 0) -> Generator[Progress, None, Health]:
    """Measure as `health` does, step by step."""
    n, d = space.vectors.shape
    if n < 3:
        raise ArgumentError(f"health needs a space of at least 3 rows; got {n}")
    rng = np.random.default_rng(seed)
    rows = min(check_int("rows", rows, 3), n)
    drawn = np.arange(n) if rows == n else np.sort(rng.choice(n, rows, replace=False))
    vectors = space.vectors[drawn]

    yield Progress("lengths, cosines", 0, 0)
    norms = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    units = np.divide(vectors, norms[:, None], out=np.zeros_like(vectors), where=norms[:, None] > 0)
    findings = [_norms(norms), _cosines(units, rng)]
    yield Progress("covariance", 0, 0)
    mean = vectors.mean(axis=0, dtype=np.float64)
    off = vectors - mean.astype(np.float32)
    spectrum = np.maximum(np.linalg.eigvalsh(off.T @ off / np.float32(rows)).astype(np.float64), 0)
    findings += [_anisotropy(units, norms, mean, spectrum), _effective(spectrum)]

    k = min(HUBNESS_K, rows - 1)
    steps = neighbors_steps(vectors, k, metric="cosine")
    while True:
        try:
            yield Progress("neighbours", next(steps), rows)
        except StopIteration as end:
            graph = end.value
            break
    occurrences = np.bincount(graph.rows.ravel(), minlength=rows)
    findings += [_hubness(occurrences, k), _near(graph.scores[:, 0])]
    count = space.columns.get("count")
    if count is not None and count.ndim == 1 and count.dtype.kind in "iuf":
        correlation = spearman(norms, count[drawn].astype(np.float64))
        if correlation is not None:
            findings.append(_frequency(correlation))
    findings.append(_dead(off.var(axis=0, dtype=np.float64)))
    worst = np.argsort(-occurrences, kind="stable")[:HUBS]
    return Health(n, d, rows, findings, [(str(space.labels[drawn[i]]), int(occurrences[i])) for i in worst])


# The findings


def _finding(name: str, value: float, told: str, why: str, remedy: str, **figures: float) -> Finding:
    good, fair = LIMITS[name]
    verdict = "good" if value <= good else "fair" if value <= fair else "poor"
    shown = abs(value) if name == "effective dimension" else value
    return Finding(name, verdict, shown, told, why, "" if verdict == "good" else remedy, figures)


def _quantiles(values: np.ndarray) -> dict[str, float]:
    return dict(zip(QUANTILES, np.quantile(values, list(QUANTILES.values())).tolist(), strict=True))


def _norms(norms: np.ndarray) -> Finding:
    figures = _quantiles(norms)
    mean, zeros = float(norms.mean()), int(np.count_nonzero(norms == 0))
    spread = float(norms.std()) / mean if mean else 0.0
    told = f"{figures['median']:.3g} in the middle, 90% within {figures['q05']:.3g} to {figures['q95']:.3g}"
    told += f"; {zeros:,} are zero" if zeros else ""
    why = "By dot product long rows win whatever they point at; by cosine lengths do not count."
    remedy = "compare by cosine, or `firth repair --normalise`"
    return _finding("norms", spread, told, why, remedy, spread=spread, mean=mean, zeros=zeros, **figures)


def _cosines(units: np.ndarray, rng: np.random.Generator) -> Finding:
    n, d = units.shape
    first = rng.integers(0, n, PAIRS)
    second = (first + rng.integers(1, n, PAIRS)) % n  # never the same row
    cosines = np.empty(PAIRS)
    for start in range(0, PAIRS, BLOCK_ROWS):
        part = slice(start, start + BLOCK_ROWS)
        cosines[part] = np.einsum("ij,ij->i", units[first[part]], units[second[part]])
    figures, deviation, random = _quantiles(cosines), float(cosines.std()), d**-0.5
    told = f"of random pairs {cosines.mean():.3f} ± {deviation:.3f}; random vectors have 0 ± {random:.3f}"
    why = "The wider random pairs scatter, the less a high cosine says: rows are spread over fewer directions than there are."
    remedy = "judge a cosine by its rank, not its size; `firth repair` removes what all rows share"
    value = deviation / random
    return _finding("cosines", value, told, why, remedy, deviation=deviation, random_deviation=random, **figures)


def _anisotropy(units: np.ndarray, norms: np.ndarray, mean: np.ndarray, spectrum: np.ndarray) -> Finding:
    total = units.sum(axis=0, dtype=np.float64)
    alike = _mean_cosine(total, norms)
    offset = float(np.sqrt(mean @ mean) / norms.mean()) if norms.any() else 0.0
    first = float(spectrum[-1] / spectrum.sum()) if spectrum.any() else 0.0
    told = f"mean cosine {alike:.3f}; the mean has {offset:.0%} of a row's length"
    told += f", the first component {first:.0%} of the variance"
    why = "What all rows have in common is in every dot product and tells none apart: cosines bunch and hubs arise."
    figures = {"mean_cosine": alike, "mean_length": offset, "first_component": first}
    return _finding("anisotropy", alike, told, why, "`firth repair`: centre, remove top components", **figures)


def _mean_cosine(total: np.ndarray, norms: np.ndarray) -> float:
    """Of all pairs of different rows at once, by the sum of all rows at length 1."""
    n = len(norms)
    return float((total @ total - np.count_nonzero(norms)) / (n * (n - 1)))


def _effective(spectrum: np.ndarray) -> Finding:
    d, squares = len(spectrum), float((spectrum**2).sum())
    effective = float(spectrum.sum() ** 2) / squares if squares else 0.0
    told = f"{effective:.1f} of {d}"
    why = "So many equally strong directions would vary as much: the others cost time and memory and tell little."
    remedy = "learn with fewer dimensions; `firth repair` where a few directions rule"
    found = _finding("effective dimension", -effective / d, told, why, remedy, effective=effective, share=effective / d)
    return found._replace(value=effective)


def _hubness(occurrences: np.ndarray, k: int) -> Finding:
    n = len(occurrences)
    off = occurrences - occurrences.mean()
    variance = float((off**2).mean())
    skewness = float((off**3).mean()) / variance**1.5 if variance else 0.0
    nobody = float((occurrences == 0).mean())
    share = float(occurrences[occurrences >= HUB_SIZE * k].sum() / (n * k))
    told = f"skewness {skewness:.2f}; {nobody:.0%} are nobody's neighbour, hubs are {share:.0%} of all neighbours"
    why = f"A few rows are among the {k} nearest of very many others, and answer questions that they have little to do with."
    figures = {"k": k, "skewness": skewness, "nobodys": nobody, "hub_share": share, "most": int(occurrences.max())}
    return _finding(
        "hubness", skewness, told, why, "`firth repair`; leave the worst hubs out of the answers", **figures
    )


def _near(best: np.ndarray) -> Finding:
    share, near = float((best >= NEAR).mean()), int(np.count_nonzero(best >= NEAR))
    told = f"{near:,} rows ({share:.1%}) have another at a cosine of {NEAR} or more"
    why = (
        "Copies take each other's places among the nearest, and leak from what is learned from into what is tested on."
    )
    return _finding(
        "near-duplicates", share, told, why, "`firth duplicates` lists them in groups", share=share, near=near
    )


def _frequency(correlation: float) -> Finding:
    told = f"rank correlation {correlation:+.2f}"
    why = "Where lengths tell how often a label came, a dot product does too."
    remedy = "compare by cosine, or `firth repair --normalise`"
    found = _finding("norm and frequency", abs(correlation), told, why, remedy, spearman=correlation)
    return found._replace(value=correlation)


def _dead(variances: np.ndarray) -> Finding:
    dead = int(np.count_nonzero(variances <= DEAD * variances.mean()))
    told = f"{dead} of {len(variances)} do not vary"
    why = "A number that is the same in every row tells none apart."
    return _finding(
        "dead dimensions",
        dead / len(variances),
        told,
        why,
        "they do no harm: learn with fewer, to save room",
        dead=dead,
    )


# Repair


def repair(space: Space, *, centre: float | None = None, components: int = 0, normalise: bool = False) -> Space:
    """Take off what the directions of all rows have in common: their mean, and top principal components.

    "All-but-the-top" of the rows at length 1: u' = u - c m, less what of it lies along the top components, with m the mean of all
    u; then every row gets its length as a factor again. 2 n d^2 operations.

    Parameters
    ----------
    space
        Its labels, columns and recipe are kept, and what was done is written into the recipe; output vectors (`context`) are not
        kept, for they fit the old vectors only.
    centre
        c, how much of the mean to take off, 0..1. By default all of it where the anisotropy is poor, elsewhere a quarter, which
        takes off nearly half of the anisotropy, (1 - c)^2, and leaves analogies within a point: docs/how-to/health.md.
    components
        How many to remove. Mu and Viswanath 2018 propose d / 100; the mean does most of it, and analogies may suffer: judge.
    normalise
        Leave the factor out, and bring every row to length 1; zeros stay.

    Raises
    ------
    ArgumentError
        If centre is not in 0..1 or components not in 0..d-1, or there is nothing to do.

    Notes
    -----
    J. Mu and P. Viswanath: All-but-the-top. ICLR 2018. Theirs is of the rows as they are; at length 1 short, rare rows do not
    lose their own direction to a mean that long ones made, and analogies of word2vec hold better: docs/how-to/health.md.

    Examples
    --------
    >>> from firth.space import Space
    >>> space = Space("abc", [[0.8, 0.6], [0.8, -0.6], [1.6, 1.2]])
    >>> repair(space, centre=1).vectors[:, 1].round(2)
    array([ 0.4, -0.8,  0.8], dtype=float32)
    """
    return drain(repair_steps(space, centre=centre, components=components, normalise=normalise))


def repair_steps(
    space: Space, *, centre: float | None = None, components: int = 0, normalise: bool = False
) -> Generator[Progress, None, Space]:
    """Repair as `repair` does, step by step."""
    from firth.space import CONTEXT, Space

    n, d = space.vectors.shape
    check_int("components", components, 0, d - 1, meaning="d - 1")
    if centre is not None:
        centre = check_number("centre", centre, 0, 1)
    if not (centre is None or centre or components or normalise):
        raise ArgumentError("nothing to do: centre, remove components or normalise")
    lengths = np.where(space.norms > 0, space.norms, 1.0)[:, None]
    parts = [slice(start, min(start + BLOCK_ROWS, n)) for start in range(0, n, BLOCK_ROWS)]
    total, squares = np.zeros(d), np.zeros((d, d))
    for part in parts:
        units = space.vectors[part] / lengths[part]
        total += units.sum(axis=0)
        squares += units.T @ units if components else 0.0  # (d, b) x (b, d) -> (d, d)
        yield Progress("mean", part.stop, n)
    mean = total / n
    if centre is None:
        centre = 1.0 if _mean_cosine(total, space.norms) > LIMITS["anisotropy"][1] else GENTLE
    top = np.linalg.eigh(squares / n - np.outer(mean, mean))[1][:, d - components :]
    repaired = np.empty((n, d), np.float32)
    for part in parts:
        units = space.vectors[part] / lengths[part] - centre * mean
        units -= (units @ top) @ top.T
        if normalise:
            norms = np.linalg.norm(units, axis=1, keepdims=True)
            repaired[part] = np.divide(units, norms, out=units, where=norms > 0)
        else:
            repaired[part] = units * lengths[part]
        yield Progress("repairing", part.stop, n)
    columns = {name: column for name, column in space.columns.items() if name != CONTEXT}
    done = {"centre": centre, "components": components, "normalise": normalise}
    recipe = {**space.recipe, "repaired": [*space.recipe.get("repaired", []), done]}
    return Space(space.labels, repaired, columns=columns, recipe=recipe)
