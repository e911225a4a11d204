"""The report: a model trained and opened, its figures beside the paper's, and the circles on which the numbers lie."""

from __future__ import annotations

import json
from collections.abc import Generator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from firth._check import ArgumentError
from firth.atomic import atomic_write
from firth.grokking.analysis import Losses, Opened, Row, basis, losses, open_model
from firth.grokking.training import Grok, GrokStep, Trained, logits_function, train_steps
from firth.space import Space
from firth.steps import Progress, drain

SUFFIXES = (".html", ".png", ".svg", ".json", ".space", ".safetensors")


@dataclass(frozen=True, eq=False)
class Grokked:
    """A model that was trained to add, and what was found in it.

    Attributes
    ----------
    options
        Of the training.
    trained
        The model, its checkpoints, the pairs trained on.
    opened
        What is found in the model.
    curve
        Step -> losses of the model then, by the key frequencies of the last.
    """

    options: Grok
    trained: Trained
    opened: Opened
    curve: dict[int, Losses]

    def __repr__(self) -> str:
        found = self.opened
        return (
            f"<Grokked: (a + b) mod {self.options.p} at frequencies {', '.join(map(str, found.frequencies))};"
            f" accuracy {found.losses.test_accuracy:.1%}>"
        )

    @property
    def steps(self) -> int:
        """That were trained for."""
        return max(self.trained.checkpoints)

    @property
    def table(self) -> list[Row]:
        """The paper's measures, its figures beside ours: of `opened`."""
        return self.opened.table

    @property
    def strongest(self) -> int:
        """The key frequency with the largest share of the embedding."""
        keys = self.opened.frequencies
        if not keys:
            raise ArgumentError("there is no key frequency: train for more steps")
        return max(keys, key=lambda key: self.opened.embedding_spectrum[key - 1])

    def circle(self, frequency: int | None = None) -> Space:
        """The embeddings seen in the plane of one frequency, where the numbers lie on a circle, as a space of p labels.

        A number n is called k n mod p there, its place along the circle of frequency k. Adding stays adding under such names, and
        neighbours along the circle have neighbouring names: 5 lies between 4 and 6, and between 4 and 6 lies 5.

        Parameters
        ----------
        frequency
            k, by default the strongest.

        Returns
        -------
        Space
            Vectors (p, 2); columns `number`, n, and `embedding`, its whole row of W_E.
        """
        p, k = self.options.p, self.strongest if frequency is None else frequency
        numbers = np.array([place * pow(k, -1, p) % p for place in range(p)])
        whole = self.trained.model["W_E"][numbers]
        recipe = {"method": "grok", "options": asdict(self.options), "frequency": k}
        return Space(
            map(str, range(p)),
            plane(self.trained.model["W_E"], k)[numbers],
            columns={"number": numbers, "embedding": whole},
            recipe=recipe,
        )

    def embeddings(self) -> Space:
        """The rows of W_E as a space: labels 0..p - 1, vectors (p, d)."""
        recipe = {"method": "grok", "options": asdict(self.options)}
        return Space(map(str, range(self.options.p)), self.trained.model["W_E"][:-1], recipe=recipe)

    def as_dict(self) -> dict[str, Any]:
        """All figures, ready for JSON."""
        found = self.opened
        return {
            "options": {**asdict(self.options), "train_pairs": self.options.train_pairs},
            "elapsed_s": round(self.trained.elapsed_s, 2),
            "interrupted": self.trained.interrupted,
            "settled": self.trained.settled,
            "steps": self.steps,
            "frequencies": found.frequencies,
            "amplitudes": found.amplitudes,
            "table": [row._asdict() for row in self.table],
            "embedding_spectrum": found.embedding_spectrum.tolist(),
            "map_spectrum": found.map_spectrum.tolist(),
            "neuron_frequencies": found.neuron_frequencies.tolist(),
            "neuron_shares": found.neuron_shares.tolist(),
            "by_difference": found.by_difference.tolist(),
            "curve": [{"step": step, **at._asdict()} for step, at in self.curve.items()],
        }

    def save(self, path: str | Path) -> None:
        """Write it, whole or not at all, as what the suffix says.

        .html, one page that works offline; .png, .svg, a picture; .json, all figures; .space, `circle()`; .safetensors, the
        model under the paper's names.
        """
        path = Path(path)
        suffix = path.suffix.lower()
        if suffix not in SUFFIXES:
            raise ArgumentError(f"what was grokked is saved as {', '.join(SUFFIXES)}; got {path.name}")
        if suffix == ".space":
            self.circle().save(path)
            return
        with atomic_write(path) as temporary:
            if suffix == ".json":
                temporary.write_text(json.dumps(self.as_dict()), encoding="utf-8")
            elif suffix == ".safetensors":
                from safetensors.numpy import save_file

                save_file(self.trained.model, str(temporary), {"options": json.dumps(asdict(self.options))})
            elif suffix == ".html":
                from firth.grokking.page import write

                write(self, temporary)
            else:
                from firth.grokking.draw import draw

                draw(self, temporary, suffix[1:])


def plane(embedding: np.ndarray, frequency: int) -> np.ndarray:
    """Coordinates of the numbers in the plane of one frequency: (p + 1, d) -> (p, 2).

    The plane is spanned by what cos and sin of the frequency pick out of W_E, as an orthonormal pair: neither stretched nor
    smoothed, so that a circle is one only if the model has made it.
    """
    numbers = embedding[:-1].astype(np.float64)
    picked = basis(len(numbers))[2 * frequency - 1 : 2 * frequency + 1] @ numbers  # (2, d)
    left, _, right = np.linalg.svd(picked, full_matrices=False)
    return (numbers - numbers.mean(axis=0)) @ (left @ right).T  # (p, d) x (d, 2) -> (p, 2)


def grok_steps(options: Grok | None = None) -> Generator[GrokStep | Progress, None, Grokked]:
    """Train and open a model, step by step; Ctrl-C while it trains opens what was reached."""
    options = options or Grok()
    trained = yield from train_steps(options)
    yield Progress("opening", 0, len(trained.checkpoints) + 1)
    opened = open_model(trained.model, trained.train)
    curve, logits = {}, logits_function(options.p)
    for number, (step, model) in enumerate(trained.checkpoints.items(), 1):
        yield Progress("opening", number, len(trained.checkpoints) + 1)
        curve[step] = losses(logits(model), trained.train, opened.frequencies)
    return Grokked(options, trained, opened, curve)


def grok(
    p: int = 113,
    *,
    steps: int = 5000,
    rate: float = 3e-3,
    warm_up: int = 300,
    decay: float = 2.0,
    share: float | None = None,
    seed: int = 0,
    all_steps: bool = False,
) -> Grokked:
    """Train a transformer of one layer to add modulo p until it has grokked, and find out how it adds.

    It learns its examples by heart first, and much later a circuit of a few frequencies that is right for all pairs. About 3
    GFLOP a step for p = 113. Training ends when every measure of the paper has held for a while, or after `steps`.

    Parameters
    ----------
    p
        The modulus, a prime in 7..499.
    steps, rate, warm_up, decay, share, seed, all_steps
        See `firth.grokking.training.Grok`; the paper's rate is 1e-3, its warm-up 10 steps, its decay 1.

    Returns
    -------
    Grokked
        With `table`, `opened`, `curve`, `circle()`, `save("grok.html")`.

    Raises
    ------
    ArgumentError
        If p is no prime, or an option out of range.
    MissingExtraError
        Without firth[transformer].

    Notes
    -----
    N. Nanda et al.: Progress measures for grokking via mechanistic interpretability. 2023.
    """
    return drain(grok_steps(Grok(p, steps, rate, warm_up, decay, share, seed, all_steps)))
