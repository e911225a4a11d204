"""Training a model to add: all pairs at once, AdamW, with measures of what it learns as it goes. JAX and optax.

The loss is computed as ln(1 + the sum of exp of the others' logits less the right one's), which in float32 keeps the digits of
losses far below its rounding; the paper goes to float64 for that. The rest is the paper's: appendix A.1.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from firth._check import ArgumentError, MissingExtraError, TrainingError, check_int, check_number
from firth.cost import operation
from firth.grokking.analysis import FULL_LOSS, Losses, key_frequencies, losses, open_model
from firth.grokking.model import Model, fast, pairs, start
from firth.steps import interrupts_held

BETAS = (0.9, 0.98)  # the paper's
MEASURED = 100  # times in a training at most, and every so many steps at most
SETTLED = 2  # measures in a row that meet the whole table end a training
SCANNED = 20  # steps between two looks at Ctrl-C
PHASES = ("memorising", "forming the circuit", "cleaning up")
KNOWN = 0.99  # accuracy on the pairs trained on, at which they are memorised

State = tuple[Any, Any]  # a model, and the moments of Adam


@dataclass(frozen=True, slots=True)
class Grok:
    """What is trained, and how.

    Attributes
    ----------
    p
        The modulus, an odd prime.
    steps
        Of training, at most.
    rate
        Of learning. The paper's is 1e-3; three times that gets to the same circuit in a few thousand steps.
    warm_up
        Steps over which the rate rises. The paper's are 10; which frequencies become keys is settled early, and at three times
        the rate more seeds find a clean circuit when it rises slowly.
    decay
        Of weights. The paper's is 1; twice that gets there in half the steps.
    share
        Of the pairs to train on, by default 0.3 (113 / p)^(2/3): the paper's for 113; fewer numbers need a larger one.
    seed
        Of the first weights, and of which pairs are trained on.
    all_steps
        Take all steps. By default training ends when every measure of the paper's table has been met `SETTLED` times in a row.
    """

    p: int = 113
    steps: int = 5000
    rate: float = 3e-3
    warm_up: int = 300
    decay: float = 2.0
    share: float | None = None
    seed: int = 0
    all_steps: bool = False

    def __post_init__(self) -> None:
        p = check_int("p", self.p, 7, 499)
        if not _is_prime(p):
            near = [n for n in range(p - 12, p + 13) if n > 6 and _is_prime(n)]
            raise ArgumentError(f"p must be a prime; got {p}; near ones are {', '.join(map(str, near))}")
        check_int("steps", self.steps, 1)
        check_int("seed", self.seed, 0)
        check_int("warm_up", self.warm_up, 1)
        check_number("decay", self.decay, 0, 100)
        check_number("rate", self.rate, 0, 1, above=True)
        if self.share is not None:
            check_number("share", self.share, 0, 1, above=True)
        if not 1 <= self.train_pairs < p * p:
            raise ArgumentError(
                f"share must leave some of {p * p} pairs to train on and some to test; got {self.share}"
            )

    @property
    def train_pairs(self) -> int:
        """How many pairs are trained on."""
        share = min(0.8, 0.3 * (113 / self.p) ** (2 / 3)) if self.share is None else self.share
        return int(share * self.p**2)


PAPER = {"rate": 1e-3, "warm_up": 10, "decay": 1.0, "steps": 40_000}  # of Grok, the settings of the paper


class GrokStep(NamedTuple):
    """How far training is, and what was measured last.

    Attributes
    ----------
    step, steps
        Done, and to do.
    phase
        One of `PHASES`.
    losses
        By the key frequencies of the moment.
    frequencies
        Those.
    steps_per_s, flops_per_s, elapsed_s, left_s
    """

    step: int
    steps: int
    phase: str
    losses: Losses
    frequencies: list[int]
    steps_per_s: float
    flops_per_s: float
    elapsed_s: float
    left_s: float


class Trained(NamedTuple):
    """A model, and how it became so.

    Attributes
    ----------
    model
        float32.
    train
        Rows of `pairs` that were trained on.
    checkpoints
        Step -> the model then, the first and the last among them.
    elapsed_s
        Of training, compiling and measuring included.
    interrupted, settled
        Whether Ctrl-C ended it, or that every measure had been met for a while.
    """

    model: Model
    train: np.ndarray
    checkpoints: dict[int, Model]
    elapsed_s: float
    interrupted: bool
    settled: bool


def train_steps(options: Grok) -> Generator[GrokStep, None, Trained]:
    """Train step by step; a KeyboardInterrupt (raised in it, or thrown into it) ends it with what was reached.

    Raises
    ------
    TrainingError
        If the loss is no longer finite.
    """
    began = time.perf_counter()
    tokens = pairs(options.p)
    train = np.sort(np.random.default_rng((options.seed, 1)).permutation(len(tokens))[: options.train_pairs])
    state, many = stepper(options, tokens[train])
    logits_of = logits_function(options.p)

    def measure(model: Model) -> tuple[Losses, list[int]]:
        keys = key_frequencies(model)
        measured = losses(logits_of(model), train, keys)
        if not math.isfinite(measured.train_loss):
            raise TrainingError(f"training diverged by step {done}; use a lower rate than {options.rate:g}")
        return measured, keys

    flops, every = step_flops(options), max(MEASURED, options.steps // MEASURED)
    done, training_s, interrupted = 0, 0.0, False
    checkpoints = {0: _as_numpy(state[0])}
    measured, keys = measure(checkpoints[0])
    worst, held = measured.test_loss, 0
    try:
        while True:
            elapsed, speed = time.perf_counter() - began, done / training_s if done else 0.0
            left = (options.steps - done) * elapsed / done if done else 0.0
            phase = phase_of(measured, worst)
            yield GrokStep(done, options.steps, phase, measured, keys, speed, speed * flops, elapsed, left)
            if done == options.steps or (held == SETTLED and not options.all_steps):
                break
            before = time.perf_counter()
            n = min(SCANNED, every - done % every, options.steps - done)
            state, done = many(state, n), done + n
            training_s += time.perf_counter() - before
            if done % every == 0 or done == options.steps:
                checkpoints[done] = _as_numpy(state[0])
                measured, keys = measure(checkpoints[done])
                worst = max(worst, measured.test_loss)
                held = held + 1 if _all_met(measured, checkpoints[done], train) else 0
    except KeyboardInterrupt:
        interrupted = True
        checkpoints[done] = _as_numpy(state[0])
    return Trained(checkpoints[done], train, checkpoints, time.perf_counter() - began, interrupted, held >= SETTLED)


@interrupts_held()
def stepper(options: Grok, tokens: np.ndarray) -> tuple[State, Callable[[State, int], State]]:
    """The state to begin with, a model and its moments, and what takes n steps on from a state: all tokens (b, 3) at once."""
    try:
        import jax
        import jax.numpy as jnp
        import optax
    except ImportError as error:
        raise MissingExtraError(f"grokking needs {error.name}: pip install 'firth[transformer]'") from error

    seen, right = jnp.asarray(tokens), jnp.arange(options.p + 1) == tokens[:, :2].sum(axis=1, keepdims=True) % options.p
    # The rate is 0 at first, as the paper's is.
    rate = optax.linear_schedule(0.0, options.rate, options.warm_up)
    optimizer = optax.adamw(rate, *BETAS, weight_decay=options.decay)

    def loss(model: Model) -> Any:
        return small_loss(fast(model, seen)[0], right).mean()

    def one(state: State, _: None) -> tuple[State, None]:
        model, moments = state
        change, moments = optimizer.update(jax.grad(loss)(model), moments, model)
        return (optax.apply_updates(model, change), moments), None

    model = {name: jnp.asarray(weights) for name, weights in start(options.p, options.seed).items()}
    scan = jax.jit(lambda state, n: jax.lax.scan(one, state, length=n)[0], static_argnums=1)
    return (model, optimizer.init(model)), interrupts_held()(lambda state, n: jax.block_until_ready(scan(state, n)))


def logits_function(p: int) -> Callable[[Model], np.ndarray]:
    """What gives a model's logits of all pairs, (p p, p) float64."""
    import jax

    tokens = jax.numpy.asarray(pairs(p))
    compiled = jax.jit(lambda model: fast(model, tokens)[0][:, :p])
    return interrupts_held()(lambda model: np.asarray(compiled(model), dtype=np.float64))


def _all_met(measured: Losses, model: Model, train: np.ndarray) -> bool:
    """Whether a model meets the paper's table; opened only where it can."""
    return measured.full_loss < FULL_LOSS and all(row.met for row in open_model(model, train).table)


def _as_numpy(model: Model) -> Model:
    return {name: np.array(weights) for name, weights in model.items()}


def small_loss(logits: Any, right: Any) -> Any:
    """-ln of the share that softmax gives the right answer: ln(1 + sum of exp(others - right)), (b, v) twice -> (b,)."""
    import jax
    import jax.numpy as jnp

    rest = jax.nn.logsumexp(jnp.where(right, -jnp.inf, logits), axis=-1)
    return jax.nn.softplus(rest - jnp.where(right, logits, 0).sum(axis=-1))


def phase_of(measured: Losses, worst: float) -> str:
    """Which of the three phases it is: the test loss falls to half of its worst only once the circuit wins."""
    if measured.train_accuracy < KNOWN:
        return PHASES[0]
    return PHASES[1] if measured.test_loss > worst / 2 else PHASES[2]


def step_flops(options: Grok) -> int:
    """Operations of one step: the products of all pairs, once forward and twice backward; what is looked up is not counted."""
    b, d, m, v = options.train_pairs, 128, 512, options.p + 1
    shapes = ((b, d, m), (b, d, v), (b, m, v))
    return 3 * sum(operation("matmul", *shape).flops for shape in shapes)


def _is_prime(n: int) -> bool:
    return n > 1 and all(n % k for k in range(2, math.isqrt(n) + 1))
