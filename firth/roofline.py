"""How fast a machine can be: operations a second, bytes a second, and of both the roof over any computation.

A computation of F operations over B bytes takes no less than max(F / peak, B / bandwidth) seconds: below the intensity F / B
= peak / bandwidth memory is the roof, above it the processor (S. Williams, A. Waterman and D. Patterson: Roofline, 2009).

What is measured of this machine is kept in the user's cache folder, by processor and threads; the best of all measurements
counts, for a busy machine shows less than it can.
"""

from __future__ import annotations

import functools
import json
import math
import os
import platform
import re
from collections.abc import Generator
from dataclasses import asdict, dataclass
from pathlib import Path

from firth._check import available_threads
from firth.atomic import atomic_write
from firth.steps import Progress

STREAM_BYTES = 1 << 28  # that a thread reads: with those of all threads more than most last-level caches hold
MOST_STREAMED = 1 << 32  # by all threads
ROUNDS = 5  # of each measurement; the best counts, for others only disturb


@dataclass(frozen=True, slots=True)
class Roofline:
    """What a machine reaches at most.

    Attributes
    ----------
    name
        Of the processor or accelerator.
    flops_per_s
        Products and sums of the precision that is named.
    bytes_per_s
        From memory.
    precision
        "float32", "bfloat16".
    source
        Where the figures are from; "measured" for this machine.
    int8_ops_per_s
        The same of codes of eight bits; 0 where nobody tells.
    threads
        That were measured; 0 for published figures.
    """

    name: str
    flops_per_s: float
    bytes_per_s: float
    precision: str
    source: str
    int8_ops_per_s: float = 0.0
    threads: int = 0

    @property
    def ridge(self) -> float:
        """Operations a byte from which on the processor is the roof, and no longer memory."""
        return self.flops_per_s / self.bytes_per_s

    def time_s(self, flops: float, traffic_bytes: float = 0.0) -> float:
        """Tell how long so many operations over so many bytes take at least.

        >>> PUBLISHED["H100"].time_s(989.4e12, 3.35e12 / 2)
        1.0
        """
        return max(flops / self.flops_per_s, traffic_bytes / self.bytes_per_s)


_NVIDIA = "NVIDIA data sheet, SXM, dense"
_APPLE = "Apple, GPU, {}"
PUBLISHED = {
    "H100": Roofline("NVIDIA H100", 989.4e12, 3.35e12, "bfloat16", _NVIDIA, 1978.9e12),
    "H200": Roofline("NVIDIA H200", 989.4e12, 4.8e12, "bfloat16", _NVIDIA, 1978.9e12),
    "A100": Roofline("NVIDIA A100 80 GB", 312e12, 2.039e12, "bfloat16", _NVIDIA, 624e12),
    "TPU v5e": Roofline("Google TPU v5e", 197e12, 819e9, "bfloat16", "Google Cloud TPU documentation", 393e12),
    "M1 Max": Roofline("Apple M1 Max", 10.4e12, 400e9, "float32", _APPLE.format("18 October 2021")),
    "M2": Roofline("Apple M2", 3.6e12, 100e9, "float32", _APPLE.format("6 June 2022")),
}


@functools.cache
def processor() -> str:
    """Name of this machine's processor."""
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1].strip() if found else platform.processor() or platform.machine()


def cache_path(threads: int) -> Path:
    """Where the measurement of so many threads is kept, and of instructions that FIRTH_SIMD forces."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "firth"
    name = f"{processor()} {threads} {os.environ.get('FIRTH_SIMD', '')}"
    return folder / f"roofline-{re.sub(r'[^a-z0-9]+', '-', name.lower()).strip('-')}.json"


def measured(threads: int | None = None) -> Roofline | None:
    """The roofline of this machine as it was measured last; None if it never was, or the file cannot be read."""
    try:
        fields = json.loads(cache_path(threads or available_threads()).read_text(encoding="utf-8"))
        roofline = Roofline(**fields)
        numbers = (roofline.flops_per_s, roofline.bytes_per_s, roofline.int8_ops_per_s)
        return roofline if all(math.isfinite(number) and number > 0 for number in numbers) else None
    except (OSError, ValueError, TypeError):
        return None


def measure_steps(threads: int | None = None) -> Generator[Progress, None, Roofline]:
    """Measure this machine, about ten seconds, and keep the best so far in the cache where it can be written."""
    from firth import _core

    threads = threads or available_threads()
    kept, total = measured(threads), 3 * ROUNDS
    best = {name: getattr(kept, name, 0.0) for name in ("flops_per_s", "int8_ops_per_s", "bytes_per_s")}
    for done in range(ROUNDS):
        yield Progress("measuring the roof", 3 * done, total)
        best["flops_per_s"] = max(best["flops_per_s"], _core.peak_flops(threads))
        yield Progress("measuring the roof", 3 * done + 1, total)
        best["int8_ops_per_s"] = max(best["int8_ops_per_s"], _core.peak_int8_ops(threads))
    for done in range(ROUNDS):
        yield Progress("measuring the roof", 2 * ROUNDS + done, total)
        each = min(STREAM_BYTES, MOST_STREAMED // threads)
        best["bytes_per_s"] = max(best["bytes_per_s"], _core.read_rate(each, threads))
    roofline = Roofline(processor(), precision="float32", source="measured", threads=threads, **best)
    path = cache_path(threads)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as temporary:
            temporary.write_text(json.dumps(asdict(roofline)), encoding="utf-8")
    except OSError:
        pass  # a cache: whoever cannot keep it measures again
    return roofline
