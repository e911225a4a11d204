"""From a loop of plain Python to the limit of the hardware: one matrix product, each rung measured, and the roof over them.

Every rung multiplies the same kind of matrices, (n, n) by (n, n), 2 n³ operations; slow ones a smaller n. The picture shows the
rungs under the roofline, each at the operations a byte that it reaches by its way of reading: that is what tiling changes.
"""

from __future__ import annotations

import contextlib
import importlib.util
import operator
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from firth import _core
from firth._check import ArgumentError, MissingExtraError, available_threads, check_int
from firth.chart_colours import BLUE, GREY, INK, ORANGE
from firth.cost import operation
from firth.roofline import Roofline, measure_steps
from firth.steps import Progress, interrupts_held

TIME_S = 0.4  # that a rung is repeated for; the best run counts
TILE = 64  # three tiles of float32 are 48 KiB: about a first-level cache
SLOW = 64  # rows of what plain Python multiplies


class Rung(NamedTuple):
    """One way to multiply matrices, measured.

    Attributes
    ----------
    name, why
        What it is, and why it is faster than the one below.
    size
        n.
    flops_per_s
        Operations a second: of float32, or what the name says.
    share
        Of the measured peak of all threads: int8 of that of int8, all others of float32's, bfloat16 too, which so may exceed
        1: its own peak is not measured. 0 on another device.
    speedup
        Over the rung below.
    intensity
        Operations a byte, as it reads.
    """

    name: str
    why: str
    size: int
    flops_per_s: float
    share: float
    speedup: float
    intensity: float


@dataclass(frozen=True, slots=True)
class Ladder:
    """What was measured.

    Attributes
    ----------
    rungs
        From the slowest kind to the fastest.
    roofline
        Of this machine.
    left_out
        Rungs that this machine has not, and why.
    """

    rungs: list[Rung]
    roofline: Roofline
    left_out: dict[str, str]

    def as_dict(self) -> dict[str, Any]:
        """All of it as JSON has it."""
        rungs = [rung._asdict() for rung in self.rungs]
        return {"roofline": asdict(self.roofline), "rungs": rungs, "left_out": self.left_out}

    def save(self, path: str | Path) -> None:
        """Draw it: .png or .svg. Needs `firth[maps]`."""
        draw(self, path)


def ladder_steps(size: int = 2048, *, threads: int | None = None) -> Generator[Progress, None, Ladder]:
    """Measure the roof and every rung, in half a minute.

    Parameters
    ----------
    size
        n of the fast rungs.
    threads
        Of the core's kernels and the roof; by default all cores. BLAS and JAX take all there are.

    Raises
    ------
    ArgumentError
        If size is not in 64..8192.
    """
    n = check_int("size", size, 64, 8192)
    threads = available_threads() if threads is None else check_int("threads", threads, 1)
    roof = yield from measure_steps(threads)
    rungs: list[Rung] = []
    ways, left_out = _ways(n, threads)
    for done, (name, why, m, intensity, prepare) in enumerate(ways):
        yield Progress("climbing", done, len(ways))
        with prepare() as run:
            rate = 2 * m**3 / _best_s(run)
        peak = roof.int8_ops_per_s if name.startswith("int8") else roof.flops_per_s
        below = rungs[-1].flops_per_s if rungs else rate
        share = 0.0 if name.startswith("GPU") else rate / peak
        rungs.append(Rung(name, why, m, rate, share, rate / below, intensity))
    yield Progress("climbing", len(ways), len(ways))
    return Ladder(rungs, roof, left_out)


Way = tuple[str, str, int, float, Callable[[], Any]]


def _ways(n: int, threads: int) -> tuple[list[Way], dict[str, str]]:
    """Rungs that this machine has: name, why, size, intensity, and a context whose value runs the product once."""
    small, middle = SLOW, min(n, 512)
    dot, row = operation("dot", n).intensity, operation("matmul", 1, middle, middle).intensity
    whole = operation("matmul", n, n, n).intensity
    tile = operation("matmul", TILE, TILE, TILE).intensity
    tiled = max(TILE, middle // TILE * TILE)
    ways: list[Way] = [
        ("plain Python, three loops", "every step interpreted, every number an object", small, dot, _loops(small)),
        ("one dot product at a time", "the inner loop leaves the interpreter's bytecode", small, dot, _dots(small)),
        ("numpy, a dot at a time", "numbers side by side; SIMD", middle, dot, _one_thread(_numpy_dots(middle))),
        ("row by row", "a call a row, not a number", middle, row, _one_thread(_rows(middle))),
        ("blocked", "tiles that stay in the cache are read once", tiled, tile, _one_thread(_tiles(tiled))),
        ("BLAS, one thread", "tiles in cache and registers, packed", n, whole, _one_thread(_whole(n))),
        ("BLAS, all threads", "every core", n, whole, _whole(n)),
    ]
    left_out = {}
    if importlib.util.find_spec("jax") is None:
        left_out["JAX"] = "not installed: pip install 'firth[transformer]'"
    else:
        ways.append(("JAX", "compiled by XLA; compiled before the clock starts", n, whole, _jax(n, "cpu")))
    codes, halves = _core.product_instructions()
    unit = "a matrix unit takes 16 rows and columns at once (AMX)"
    native = {"amx": unit, "avx512_bf16": "two products a lane"}.get(halves, "widened to float32 as they are packed")
    why = f"half the bytes a number; {native}"
    ways.append(("bfloat16, firth's core", why, n, 1.5 * whole, _half(n, threads)))
    why = f"a quarter of the bytes; {unit if codes == 'amx' else f'four products a lane ({codes})'}"
    ways.append(("int8, firth's core", why, n, 2 * whole, _int8(n, threads)))
    if _gpu() is None:
        left_out["GPU"] = "none that JAX finds"
    else:
        why = "thousands of lanes, memory of its own; factors of 11 bits where it has TF32"
        ways.append(("GPU, JAX", why, max(n, 4096), 2 * whole, _jax(max(n, 4096), "gpu")))
    return ways, left_out


def _best_s(run: Callable[[], Any]) -> float:
    """The shortest of the runs within TIME_S; the first, which may compile or warm up, does not count."""
    run()
    best, began = float("inf"), time.perf_counter()
    while best == float("inf") or time.perf_counter() - began < TIME_S:
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
    return best


# The ways


def _numbers(n: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.random((n, n), np.float32), rng.random((n, n), np.float32)


def _loops(n: int) -> Callable[[], Any]:
    def multiply(a: list, b: list) -> list:
        out = [[0.0] * n for _ in range(n)]
        for i in range(n):
            for j in range(n):
                total = 0.0
                for k in range(n):
                    total += a[i][k] * b[k][j]
                out[i][j] = total
        return out

    return _ready(lambda: [array.tolist() for array in _numbers(n)], multiply)


def _dots(n: int) -> Callable[[], Any]:
    def multiply(rows: list, columns: list) -> list:
        return [[sum(map(operator.mul, row, column)) for column in columns] for row in rows]

    def prepare() -> list:
        a, b = _numbers(n)
        return [a.tolist(), b.T.tolist()]

    return _ready(prepare, multiply)


def _numpy_dots(n: int) -> Callable[[], Any]:
    def multiply(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        out = np.empty((n, n), np.float32)
        for i, row in enumerate(rows):
            for j, column in enumerate(columns):
                out[i, j] = np.dot(row, column)
        return out

    def prepare() -> list:
        a, b = _numbers(n)
        return [a, np.ascontiguousarray(b.T)]

    return _ready(prepare, multiply)


def _rows(n: int) -> Callable[[], Any]:
    def multiply(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        out = np.empty((n, n), np.float32)
        for row, to in zip(a, out, strict=True):
            np.dot(row, b, out=to)
        return out

    return _ready(lambda: _numbers(n), multiply)


def _tiles(n: int) -> Callable[[], Any]:
    def multiply(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        out = np.zeros((n, n), np.float32)
        steps = [slice(at, at + TILE) for at in range(0, n, TILE)]
        for i in steps:
            for j in steps:
                for k in steps:
                    out[i, j] += a[i, k] @ b[k, j]
        return out

    return _ready(lambda: _numbers(n), multiply)


def _whole(n: int) -> Callable[[], Any]:
    return _ready(lambda: (*_numbers(n), np.empty((n, n), np.float32)), lambda a, b, out: np.matmul(a, b, out=out))


def _half(n: int, threads: int) -> Callable[[], Any]:
    def prepare() -> list:
        bits = [(array.view(np.uint32) >> 16).astype(np.uint16) for array in _numbers(n)]
        return [*bits, np.empty((n, n), np.float32)]

    return _ready(prepare, lambda a, b, out: _core.bfloat16_product(a, b, out, threads))


def _int8(n: int, threads: int) -> Callable[[], Any]:
    def prepare() -> list:
        codes = [(array * 255 - 128).astype(np.int8) for array in _numbers(n)]
        return [*codes, np.empty((n, n), np.int32)]

    return _ready(prepare, lambda a, b, out: _core.int8_product(a, b, out, threads))


def _jax(n: int, platform: str) -> Callable[[], Any]:
    def prepare() -> list:
        import jax

        device = jax.devices(platform)[0]
        a, b = (jax.device_put(array, device) for array in _numbers(n))
        with interrupts_held():
            return [jax.jit(jax.numpy.matmul).lower(a, b).compile(), a, b]

    return _ready(prepare, lambda multiply, a, b: multiply(a, b).block_until_ready())


def _gpu() -> Any:
    if importlib.util.find_spec("jax") is None:
        return None
    import jax

    with contextlib.suppress(RuntimeError):
        return jax.devices("gpu")[0]
    return None


def _ready(prepare: Callable[[], Any], multiply: Callable[..., Any]) -> Callable[[], Any]:
    """A context that makes the matrices and gives a function that multiplies them."""

    @contextlib.contextmanager
    def context() -> Iterator[Callable[[], Any]]:
        arguments = prepare()
        yield lambda: multiply(*arguments)

    return context


def _one_thread(of: Callable[[], Any]) -> Callable[[], Any]:
    """The same with BLAS on one thread."""

    @contextlib.contextmanager
    def context() -> Iterator[Callable[[], Any]]:
        with threadpool_limits(1), of() as run:
            yield run

    return context


# The picture


def own_operations() -> dict[str, float]:
    """Operations a byte of what firth itself does."""
    return {
        "firth ask: one query": operation("similarity", 1, 100_000, 100).intensity,
        "softmax": operation("softmax", 1024, 1024).intensity,
        "word2vec, a window": operation("matmul", 5, 100, 6).intensity,  # its words with a centre and five noise words
        "layer, 16 inputs": operation("layer", 16, 768, 3072).intensity,
        "attention, 1024 tokens": operation("attention", 12, 1024, 1024, 64).intensity,
        "firth search: 1000 queries": operation("similarity", 1000, 100_000, 100).intensity,
    }


def draw(ladder: Ladder, path: str | Path) -> None:
    """Draw rungs and roofline side by side as .png or .svg."""
    path = Path(path)
    if path.suffix.lower() not in (".png", ".svg"):
        raise ArgumentError(f"a ladder is drawn as .png or .svg; got {path.name}")
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("pictures need matplotlib: pip install 'firth[maps]'") from error

    figure = Figure(figsize=(15, 7.2), layout="constrained", facecolor="white")
    left, right = figure.subplots(1, 2, width_ratios=[1, 1.25])
    _draw_rungs(left, ladder)
    _draw_roof(right, ladder)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(colors=INK)
    figure.suptitle(
        f"One matrix product, {len(ladder.rungs)} ways  ·  {ladder.roofline.name}, {ladder.roofline.threads} threads",
        fontsize=15, color=INK, x=0.01, ha="left",
    )  # fmt: skip
    figure.savefig(path, dpi=150)


def _draw_rungs(axes: Any, ladder: Ladder) -> None:
    rates = [rung.flops_per_s / 1e9 for rung in ladder.rungs]
    colours = [ORANGE if "firth" in rung.name else BLUE for rung in ladder.rungs]
    axes.barh(range(len(rates)), rates, color=colours, height=0.5)
    axes.set_xscale("log")
    axes.set_xlim(min(rates) / 3, max(rates) * 100)
    axes.set_yticks(range(len(rates)), [rung.name for rung in ladder.rungs])
    axes.set_ylim(-0.6, len(rates) - 0.2)
    axes.set_xlabel("thousand million operations a second (log)")
    for place, rung in enumerate(ladder.rungs):
        rate = f"{rates[place]:,.0f}" if rates[place] >= 100 else f"{rates[place]:.3g}"
        rate += f"   x {rung.speedup:,.3g}" if place else ""
        axes.text(rates[place] * 1.2, place, rate, va="center", fontsize=10, color=INK, fontweight="bold")
        axes.text(min(rates) / 2.8, place + 0.37, rung.why, va="center", fontsize=8, color="#52606d", style="italic")


def _draw_roof(axes: Any, ladder: Ladder) -> None:
    roof, low, high = ladder.roofline, 0.1, 3000.0
    tops = {"int8": roof.int8_ops_per_s, "float32": roof.flops_per_s}  # what they share is drawn as float32's
    for name, peak in tops.items():
        colour = ORANGE if name == "int8" else INK
        xs = np.array([low, peak / roof.bytes_per_s, high])
        axes.plot(xs, np.minimum(xs * roof.bytes_per_s, peak) / 1e9, color=colour, lw=2.2)
        axes.text(high, peak / 1e9 * 1.1, f"peak of {name}: {peak / 1e9:,.0f}", ha="right", color=colour, fontsize=10)
    above = 1.4 * roof.bytes_per_s / 1e9  # a line beside memory's roof
    axes.text(
        low * 1.1, low * 1.1 * above, f"memory: {roof.bytes_per_s / 1e9:.0f} GB/s", fontsize=10, color=INK,
        rotation=np.degrees(np.arctan(above)), rotation_mode="anchor", transform_rotates_text=True,
    )  # fmt: skip
    rungs = [rung for rung in ladder.rungs if not rung.name.startswith("GPU")]
    for number, rung in enumerate(rungs, 1):
        colour = ORANGE if "firth" in rung.name else BLUE
        at = rung.intensity * 1.25 ** sum(
            rung.intensity == below.intensity for below in rungs[5 : number - 1]
        )  # side by side
        axes.plot(at, rung.flops_per_s / 1e9, "o", color=colour, ms=13, mec="white", zorder=4)
        axes.text(
            at, rung.flops_per_s / 1e9, str(number), color="white", ha="center", va="center", fontsize=8,
            fontweight="bold", zorder=5,
        )  # fmt: skip
    floor = min(rung.flops_per_s for rung in rungs) / 1e9
    for name, intensity in own_operations().items():
        top = min(intensity * roof.bytes_per_s, roof.flops_per_s) / 1e9
        axes.plot([intensity, intensity], [floor / 4, top], color=GREY, lw=0.8, ls=":", zorder=1)
        axes.plot(intensity, top, "D", color=GREY, ms=5, zorder=3)
        axes.text(intensity * 0.93, floor / 3, name, rotation=90, ha="right", va="bottom", fontsize=8, color="#52606d")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(low, high)
    axes.set_ylim(floor / 4, max(tops.values()) / 1e9 * 2.5)
    axes.set_xlabel("operations a byte, as it reads (log); a rung above memory's roof has its matrix in the cache")
    axes.set_title(
        "The roof: circles are the rungs, counted from below; diamonds firth's own work", fontsize=10, loc="left"
    )
