"""Training a language model: AdamW over batches of a text, in JAX and optax; checkpoints from which it goes on exactly.

A step takes `batch` windows of the text, t tokens and the one that comes next at each, and the slope of the mean of
-ln(probability of the next token). The last part of the text is held out, and shows what the model makes of text it never saw.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Generator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from firth._check import (
    ArgumentError,
    CorpusError,
    FileFormatError,
    MissingExtraError,
    TrainingError,
    check_choice,
    check_int,
    check_number,
)
from firth.atomic import atomic_write
from firth.cost import parts, total
from firth.language.company import Baselines, baselines
from firth.language.model import Architecture, Model, forward, start
from firth.roofline import PUBLISHED, measure_steps, measured
from firth.steps import Progress, interrupts_held

BETAS = (0.9, 0.95)  # Brown et al. 2020, appendix B, as are warm-up, decay, clipping and the last rate
LAST_RATE = 0.1  # of the first
WARM_UP = 0.05  # of all steps; the rate rises linearly
CLIP = 1.0  # the length of the slope at most
MOST_HELD_OUT = 100_000  # tokens
PEEKED = 8_192  # of them are looked at while training goes on
PEEKS = 20  # times
SCAN_FLOPS = 2e10  # between two looks at Ctrl-C, and two drawings of progress: less than half a second on two cores
LOGITS_BYTES = 32 << 20  # of logits that are held at once
CHECKPOINT_S = 60.0  # between two checkpoints
MEASURED_FLOPS = 1e13  # training longer than that measures the peak where nobody has yet

Precision = Literal["float32", "bfloat16"]
Device = Literal["cpu", "gpu"]


@dataclass(frozen=True, slots=True)
class Training:
    """How a language model is trained.

    Attributes
    ----------
    epochs
        Passes over the text.
    steps
        Instead of `epochs`: so many.
    batch
        Windows a step.
    accumulate
        Each step's windows are taken in so many parts, one after the other: for less memory, with the same result.
    rate
        Of learning, at its highest; it rises over the first twentieth of the steps and falls to a tenth by a cosine.
    decay
        Of weights, matrices alone (Loshchilov and Hutter 2019).
    held_out
        Share of the text, its end, that is not trained on; 100,000 tokens at most.
    precision
        "float32"; or "bfloat16": products of matrices in it, weights, norms and losses in float32. Slower on most processors,
        faster on GPUs.
    device
        "cpu" or "gpu"; by default what JAX prefers. All devices of the kind share each batch.
    seed
        Of the first weights, and of the order of the windows.
    """

    epochs: int = 1
    steps: int | None = None
    batch: int = 16
    accumulate: int = 1
    rate: float = 3e-3
    decay: float = 0.1
    held_out: float = 0.02
    precision: Precision = "float32"
    device: Device | None = None
    seed: int = 1

    def __post_init__(self) -> None:
        check_int("epochs", self.epochs, 1, 1_000_000)
        if self.steps is not None:
            check_int("steps", self.steps, 1)
        check_int("batch", self.batch, 1, 1 << 20)
        check_int("accumulate", self.accumulate, 1, self.batch, meaning="windows of a batch")
        if self.batch % self.accumulate:
            raise ArgumentError(f"accumulate must divide batch; got {self.accumulate} and {self.batch}")
        check_number("rate", self.rate, 0, 1, above=True)
        check_number("decay", self.decay, 0, 10)
        check_number("held_out", self.held_out, 0, 0.5, above=True)
        check_choice("precision", self.precision, ("float32", "bfloat16"))
        if self.device is not None:
            check_choice("device", self.device, ("cpu", "gpu"))
        check_int("seed", self.seed, 0)


class TrainStep(NamedTuple):
    """How far training is, and what was measured last.

    Attributes
    ----------
    step, steps
        Done, and to do.
    loss
        The mean of the last steps, in nats a token.
    perplexity
        Of a part of the text that is held out: exp of the mean loss.
    tokens_per_s, flops_per_s, elapsed_s, left_s
    share_of_peak
        FLOP/s over those of the machine's peak; None where that was not measured.
    """

    step: int
    steps: int
    loss: float
    perplexity: float
    tokens_per_s: float
    flops_per_s: float
    share_of_peak: float | None
    elapsed_s: float
    left_s: float


class Trained(NamedTuple):
    """A model, and how it became so.

    Attributes
    ----------
    model
        float32.
    step, steps
        Done, and asked for.
    curve
        Step, loss and perplexity at each look.
    perplexity
        Of all of the text that is held out.
    others
        What simpler models make of it.
    tokens_per_s, flops_per_s, share_of_peak
        Of the training alone.
    """

    model: Model
    step: int
    steps: int
    curve: list[tuple[int, float, float]]
    perplexity: float
    others: Baselines
    tokens_per_s: float
    flops_per_s: float
    share_of_peak: float | None


def split(tokens: np.ndarray, architecture: Architecture, options: Training) -> tuple[np.ndarray, np.ndarray]:
    """Cut the end off a text: tokens to train on, and tokens held out, a window at least."""
    t, n = architecture.context, len(tokens)
    apart = max(min(int(options.held_out * n), MOST_HELD_OUT), t + 1)
    if n - apart < t + 1:
        raise CorpusError(
            f"the text has {n:,} tokens: too few for a context of {t}, which needs {2 * (t + 1)}, half of them held out;"
            " choose a shorter context or read more text"
        )
    return tokens[: n - apart], tokens[n - apart :]


def windows(seen: np.ndarray, t: int, numbers: np.ndarray, seed: int) -> np.ndarray:
    """Windows of t + 1 tokens by number, (...) -> (..., t + 1) int32; whichever are asked for, they are those of the seed.

    In each pass over the text they begin at another place of the first t, and come in another order.
    """
    count = (len(seen) - 1 - (t - 1)) // t or 1
    starts = np.empty(numbers.shape, np.int64)
    for epoch in np.unique(numbers // count):
        random = np.random.default_rng((seed, 2, int(epoch)))
        first = random.integers(min(t, len(seen) - count * t))
        own = numbers // count == epoch
        starts[own] = first + t * random.permutation(count)[numbers[own] % count]
    return seen[starts[..., None] + np.arange(t + 1)].astype(np.int32)


def steps_of(seen: int, architecture: Architecture, options: Training) -> int:
    """How many steps make the epochs over so many tokens, or those asked for."""
    return options.steps or max(1, options.epochs * (seen - 1) // (architecture.context * options.batch))


def step_flops(architecture: Architecture, v: int, batch: int) -> int:
    """Operations of one step: what `firth.cost` counts of a window, once forward and twice backward."""
    return 3 * batch * total(parts(architecture.cost(v))).flops


def devices_of(options: Training) -> list[Any]:
    """The devices to train on; an error if there are none of the kind, or they cannot share a batch."""
    jax = _jax()
    try:
        devices = jax.local_devices(backend=options.device)
    except RuntimeError:
        kinds = ", ".join(sorted({device.platform for device in jax.devices()}))
        raise ArgumentError(
            f"device must be one that JAX finds here: {kinds}; got {options.device!r}: a GPU needs its driver and"
            " pip install 'jax[cuda12]'"
        ) from None
    if options.batch // options.accumulate % len(devices):
        raise ArgumentError(
            f"{len(devices)} devices share each batch / accumulate, which must be a multiple of them; got"
            f" {options.batch} / {options.accumulate}"
        )
    return devices


def rate_at(step: Any, steps: int, rate: float) -> Any:
    """The rate of a step from 0: it rises linearly, and falls by a cosine."""
    import jax.numpy as jnp

    rising = max(1, round(WARM_UP * steps))
    turn = jnp.clip((step - rising) / max(1, steps - rising), 0, 1)
    falling = LAST_RATE + (1 - LAST_RATE) * (1 + jnp.cos(jnp.pi * turn)) / 2
    return rate * jnp.minimum((step + 1) / rising, falling)


def optimizer_of(steps: int, options: Training) -> Any:
    """AdamW, its slope clipped, its decay of matrices alone."""
    import jax
    import optax

    matrices = partial(jax.tree.map, lambda weights: weights.ndim > 1)
    rate = partial(rate_at, steps=steps, rate=options.rate)
    adam = optax.adamw(rate, *BETAS, weight_decay=options.decay, mask=matrices)
    return optax.chain(optax.clip_by_global_norm(CLIP), adam)


def loss_of(architecture: Architecture, precision: Precision = "float32") -> Callable[[Model, Any], Any]:
    """The loss, as a function of the model and of windows (b, t + 1): the mean of -ln(probability of the next token)."""
    import jax

    def loss(model: Model, window: Any) -> Any:
        if precision != "float32":
            model = jax.tree.map(lambda weights: weights.astype(precision), model)
        hidden = forward(model, window[:, :-1], architecture)  # (b, t, d)
        return cross_entropy(hidden, model["embedding"], window[:, 1:])

    return loss


def cross_entropy(hidden: Any, table: Any, targets: Any) -> Any:
    """The mean of -ln softmax(hidden tableᵀ) at the targets, without ever holding all logits, which are the largest array by far.

    They are made chunk after chunk, and used while they are in the cache: for the loss and, where it is wanted, for the slope
    too, so that they are made once only.

    Parameters
    ----------
    hidden : (b, t, d)
    table : (v, d)
    targets : (b, t)
    """
    import jax
    import jax.numpy as jnp

    b, t, d = hidden.shape
    wide = jnp.promote_types(hidden.dtype, jnp.float32)
    most = max(1, LOGITS_BYTES // (4 * b * len(table)))
    chunk = max(places for places in range(1, t + 1) if t % places == 0 and places <= most)

    def chunks(array: Any) -> Any:
        return jnp.moveaxis(array.reshape(b, t // chunk, chunk, *array.shape[2:]), 1, 0)  # (t / c, b, c, ...)

    def scored(own: Any, right: Any, table: Any) -> tuple[Any, Any, Any]:
        """Exp of the logits (b, c, v), their sums (b, c, 1), and the sum of the losses."""
        scores = jnp.matmul(own, table.T, preferred_element_type=wide)  # (b, c, d) x (d, v)
        largest = scores.max(axis=-1, keepdims=True)
        powers = jnp.exp(scores - largest)
        sums = powers.sum(axis=-1, keepdims=True)
        at = jnp.take_along_axis(scores, right[..., None], axis=-1)
        return powers.astype(own.dtype), sums, (jnp.log(sums) + largest - at).sum()

    @jax.custom_vjp
    def mean_loss(hidden: Any, table: Any, targets: Any) -> Any:
        def add(sum_: Any, one: Any) -> tuple[Any, None]:
            own, right = one
            return sum_ + scored(own, right, table)[2], None

        return jax.lax.scan(add, jnp.zeros((), wide), (chunks(hidden), chunks(targets)))[0] / (b * t)

    def with_slope(hidden: Any, table: Any, targets: Any) -> Any:
        def add(sums: Any, one: Any) -> tuple[Any, Any]:
            own, right = one
            powers, whole, loss = scored(own, right, table)
            of_own = (powers @ table / whole).astype(own.dtype) - table[right]  # (b, c, v) x (v, d)
            weighed = (own / whole).astype(own.dtype)
            of_table = jnp.einsum("bcv,bcd->vd", powers, weighed, preferred_element_type=wide)
            of_table = of_table.at[right].add(-own.astype(wide))
            return (sums[0] + loss, sums[1] + of_table), of_own

        sums = (jnp.zeros((), wide), jnp.zeros(table.shape, wide))
        (loss, of_table), of_hidden = jax.lax.scan(add, sums, (chunks(hidden), chunks(targets)))
        of_hidden = jnp.moveaxis(of_hidden, 0, 1).reshape(b, t, d)
        return loss / (b * t), (of_hidden, of_table.astype(table.dtype))

    def backward(kept: Any, slope: Any) -> Any:
        of_hidden, of_table = kept
        return (
            of_hidden * (slope / (b * t)).astype(of_hidden.dtype),
            of_table * (slope / (b * t)).astype(of_table.dtype),
            None,
        )

    mean_loss.defvjp(with_slope, backward)
    return mean_loss(hidden, table, targets)


def train_steps(
    tokens: np.ndarray,
    v: int,
    architecture: Architecture,
    options: Training,
    *,
    checkpoint: Path | None = None,
    keep_on_interrupt: bool = False,
) -> Generator[TrainStep | Progress, None, Trained]:
    """Train step by step. Ctrl-C writes the checkpoint, and ends it: with `keep_on_interrupt` with what was reached.

    Parameters
    ----------
    tokens : (n,)
        Of the text, in 0..v - 1.
    checkpoint
        A file that is written every minute and when training is interrupted, and removed when it is done. If it is there
        and of the same training, that goes on from it, as if it had never stopped.

    Raises
    ------
    ArgumentError
        If the device is not there, or the checkpoint is of another training.
    CorpusError
        If the text is shorter than two contexts.
    TrainingError
        If the loss is no longer finite.
    """
    jax = _jax()
    import jax.numpy as jnp
    import optax

    from firth import _core

    devices = devices_of(options)
    seen, held_out = split(tokens, architecture, options)
    t, b, a = architecture.context, options.batch, options.accumulate
    steps = steps_of(len(seen), architecture, options)
    optimizer, loss = optimizer_of(steps, options), loss_of(architecture, options.precision)

    mesh = jax.sharding.Mesh(np.array(devices), ("data",))
    everywhere = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    shared = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(None, None, "data"))  # (n, a, b / a, t + 1)

    def one(state: Any, batch: Any) -> tuple[Any, Any]:
        model, moments = state

        def add(sums: Any, part: Any) -> tuple[Any, None]:
            return jax.tree.map(jnp.add, sums, jax.value_and_grad(loss)(model, part)), None

        zero = jax.tree.map(jnp.zeros_like, (jnp.zeros(()), model))
        value, slope = jax.tree.map(lambda sum_: sum_ / a, jax.lax.scan(add, zero, batch)[0])
        change, moments = optimizer.update(slope, moments, model)
        return (optax.apply_updates(model, change), moments), value

    hold = interrupts_held()  # while JAX compiles; what it computes is waited for outside
    many = hold(jax.jit(lambda state, batches: jax.lax.scan(one, state, batches)))
    scored = hold(jax.jit(loss))

    def perplexity(model: Model, tokens_: np.ndarray) -> float:
        """Of all windows that fit, b at once; the last ones fewer."""
        count = (len(tokens_) - 1) // t
        places = t * np.arange(count)[:, None] + np.arange(t + 1)
        losses = [
            float(scored(model, jax.device_put(tokens_[own].astype(np.int32), everywhere))) * len(own)
            for own in np.split(places, range(b, count, b))
        ]
        return math.exp(min(sum(losses) / count, 700))

    held_out = held_out[: (len(held_out) - 1) // t * t + 1]
    peeked = held_out[: max(1, min(len(held_out) - 1, PEEKED) // t) * t + 1]
    flops = step_flops(architecture, v, b)
    peak = yield from _peak_steps(devices[0], options.precision, flops * steps)
    yield Progress("counting pairs", 0, 1)
    counted = baselines(seen, held_out, v)
    identity = {**asdict(architecture), **asdict(options), "steps": steps, "tokens": len(tokens), "v": v}
    identity["text"] = _core.digest([np.ascontiguousarray(tokens).view(np.uint8)])
    identity.pop("device")  # which it may change

    model = jax.tree.map(jnp.asarray, start(architecture, v, options.seed))
    state, done, curve, losses = (model, hold(jax.jit(optimizer.init))(model)), 0, [], []
    if checkpoint is not None and checkpoint.exists():
        state, done, curve, losses = read_checkpoint(checkpoint, state, identity)
    state = jax.device_put(state, everywhere)
    began_at, began, training_s, written = done, time.perf_counter(), 0.0, time.perf_counter()
    values: Any = None
    scan = int(max(1, min(64, SCAN_FLOPS // flops)))
    every = scan * -(-steps // (PEEKS * scan))  # steps between two looks at the perplexity
    if not curve:
        begin = perplexity(state[0], peeked)
        curve.append((0, math.log(begin), begin))
    try:
        while True:
            if losses and (done % every == 0 or done == steps):
                curve, losses = [*curve, (done, float(np.mean(losses)), perplexity(state[0], peeked))], []
            elapsed = time.perf_counter() - began
            speed = (done - began_at) / training_s if training_s else 0.0
            left = (steps - done) * elapsed / (done - began_at) if done > began_at else 0.0
            loss_now, rates = float(np.mean(losses)) if losses else curve[-1][1], (speed * b * t, speed * flops)
            yield TrainStep(done, steps, loss_now, curve[-1][2], *rates, peak and rates[1] / peak, elapsed, left)
            if done == steps:
                break
            before = time.perf_counter()
            n = min(scan, steps - done)
            numbers = np.arange(done * b, (done + n) * b).reshape(n, a, b // a)
            batches = jax.device_put(windows(seen, t, numbers, options.seed), shared)
            after, values = many(state, batches)
            while not values.is_ready():  # so that Ctrl-C is heard at once
                time.sleep(0.005)
            so_far = losses + np.asarray(values).tolist()
            state, done, losses = after, done + n, so_far  # at once, whenever Ctrl-C comes
            training_s += time.perf_counter() - before
            if not math.isfinite(losses[-1]):
                raise TrainingError(
                    f"training diverged by step {done} of {steps}; use a lower rate than {options.rate:g}"
                )
            if checkpoint is not None and time.perf_counter() - written > CHECKPOINT_S:
                write_checkpoint(checkpoint, state, done, curve, losses, identity)
                written = time.perf_counter()
    except KeyboardInterrupt:
        if checkpoint is not None:
            write_checkpoint(checkpoint, state, done, curve, losses, identity)
        jax.block_until_ready(values)  # a process that ends while JAX computes may crash
        if not keep_on_interrupt:
            raise
    model = jax.tree.map(np.asarray, state[0])
    reached = perplexity(state[0], held_out)
    if checkpoint is not None and done == steps:
        checkpoint.unlink(missing_ok=True)
    speed = (done - began_at) / training_s if training_s else 0.0
    return Trained(
        model, done, steps, curve, reached, counted, speed * b * t, speed * flops, peak and speed * flops / peak
    )


# Checkpoints


def write_checkpoint(
    path: Path,
    state: Any,
    done: int,
    curve: list[tuple[int, float, float]],
    losses: list[float],
    identity: dict[str, Any],
) -> None:
    """Write all that training needs to go on, whole or not at all."""
    import jax
    from safetensors.numpy import save_file

    leaves = {f"{number}": np.asarray(leaf) for number, leaf in enumerate(jax.tree.leaves(state))}
    told = {"step": done, "curve": curve, "losses": losses, "training": identity}
    with atomic_write(path) as temporary:
        save_file(leaves, str(temporary), {name: json.dumps(value) for name, value in told.items()})


def read_checkpoint(
    path: Path, state: Any, identity: dict[str, Any]
) -> tuple[Any, int, list[tuple[int, float, float]], list[float]]:
    """The state of a checkpoint, in the form of a state to begin with; an error if it is of another training."""
    import jax
    from safetensors import SafetensorError, safe_open

    remedy = f"remove it to begin anew: {path}"
    try:
        with safe_open(str(path), framework="numpy") as file:
            told = {name: json.loads(value) for name, value in (file.metadata() or {}).items()}
            leaves = [file.get_tensor(str(number)) for number in range(len(file.keys()))]
    except (SafetensorError, ValueError) as error:
        raise FileFormatError(f"{path}: not a readable checkpoint ({str(error).splitlines()[0]}); {remedy}") from None
    if not {"step", "curve", "losses", "training"} <= told.keys():
        raise FileFormatError(f"{path}: not a checkpoint of firth; {remedy}")
    for name, value in identity.items():
        if (was := told["training"].get(name)) != value:
            what = "another text" if name == "text" else f"a training with {name} = {was}, where now it is {value}"
            raise ArgumentError(f"the checkpoint is of {what}; choose as then, or {remedy}")
    state = jax.tree.unflatten(jax.tree.structure(state), leaves)
    return state, told["step"], [tuple(look) for look in told["curve"]], told["losses"]


def _peak_steps(device: Any, precision: Precision, flops: float) -> Generator[Progress, None, float | None]:
    """The peak of a device in operations a second; of a processor measured, if that was done or the training is long."""
    if device.platform != "cpu":
        known = [roofline for name, roofline in PUBLISHED.items() if name in device.device_kind]
        return known[0].flops_per_s if known and known[0].precision == precision else None
    roofline = measured()
    if roofline is None and flops > MEASURED_FLOPS:
        roofline = yield from measure_steps()
    return roofline and roofline.flops_per_s


def _jax() -> Any:
    try:
        import jax
        import optax  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(f"a transformer needs {error.name}: pip install 'firth[transformer]'") from error
    return jax
