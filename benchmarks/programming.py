"""What a programmed model costs beside the bare transfer matrices of its tiles, in one run.

    python benchmarks/programming.py [--model bert-base] [--layers 12] [--threads 2]
                                     [--set wires.precision='"single"' ...]

The model is synthetic: matrices of the dimensions that are named, weights from Student's t with 5
degrees of freedom, inputs of very different magnitudes.  Every layer is mapped, programmed, solved
and calibrated as a study does it, from float32 weights to arrays that multiply.  Before and after
each layer the bare float32 transfer matrices of a share of its tiles are solved on the same
threads.  The ratio of seconds of the processor, all threads together, is what others on the machine
disturb least; that of the clock stands beside it.  Both are medians over the layers.  Stages are
seconds of the processor.  What is compiled is compiled before.  Peak memory is that of the process
beyond what it had before the weights were made.
"""

import argparse
import functools
import os
import re
import statistics
import threading
import time
import tomllib
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

for variable in ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np  # noqa: E402  (threads are set first)

from xbarsim.arrays.in_situ import programmed, tiles  # noqa: E402
from xbarsim.base.array_types import Singles  # noqa: E402
from xbarsim.base.workers import cores, worker_threads  # noqa: E402
from xbarsim.config.study import Study, merge, validate  # noqa: E402
from xbarsim.devices.presets import load_device  # noqa: E402
from xbarsim.hardware import build  # noqa: E402
from xbarsim.hardware.build import Design, Hardware, HeldOut, build_chip  # noqa: E402
from xbarsim.kernels.circuit.transfer import transfer_matrix  # noqa: E402
from xbarsim.models.graph import INPUT, Graph, Kind, Link, Role, Step  # noqa: E402

SAMPLES = 2048  # sample inputs of every matrix, as in a study
BARE_SHARE = 4  # of the tiles of a layer one in so many is solved bare
MEBI = 2**20


@dataclass(frozen=True)
class Dimensions:
    """Of an encoder."""

    hidden: int
    intermediate: int
    layers: int


MODELS = {
    "minilm": Dimensions(384, 1536, 6),
    "bert-base": Dimensions(768, 3072, 12),
    "bert-large": Dimensions(1024, 4096, 24),
}
COMPILES = Dimensions(256, 256, 1)


# ---------------------------------------------------------------- a synthetic model


def matrices_of(dimensions: Dimensions, layer: int) -> tuple[Step, ...]:
    """The matrices of a layer."""
    hidden = dimensions.hidden
    wide = dimensions.intermediate
    sizes = {
        Role.QUERY: (hidden, hidden),
        Role.KEY: (hidden, hidden),
        Role.VALUE: (hidden, hidden),
        Role.ATTENTION_OUTPUT: (hidden, hidden),
        Role.INTERMEDIATE: (hidden, wide),
        Role.OUTPUT: (wide, hidden),
    }
    return tuple(
        Step(
            name=f"layer.{layer}.{role}",
            kind=Kind.MATRIX,
            role=role,
            layer=layer,
            inputs=inputs,
            outputs=outputs,
            copies=1,
            second=0,
            after=(Link(INPUT),),
        )
        for role, (inputs, outputs) in sizes.items()
    )


class SyntheticLayer:
    """The random matrices of a layer."""

    def __init__(self, dimensions: Dimensions, layer: int) -> None:
        self.graph = Graph(matrices_of(dimensions, layer), 128)
        self.weights = {step.name: random_weight(step) for step in self.graph.steps}

    def matrix(self, name: str) -> tuple[Singles, Singles]:
        """(weight (out, in), bias (out,))."""
        weight = self.weights[name]
        return weight, np.zeros(len(weight), np.float32)

    @property
    def bytes_of_weights(self) -> int:
        return sum(weight.nbytes for weight in self.weights.values())


def random_weight(step: Step) -> Singles:
    """(outputs, inputs), Student's t with 5 degrees of freedom."""
    rng = np.random.default_rng([step.layer or 0, *step.role.encode()])
    shape = (step.outputs, step.inputs)
    weight = rng.standard_normal(shape, np.float32)
    weight *= np.float32(0.04) / np.sqrt(rng.standard_gamma(2.5, shape, np.float32) / 2.5)
    return weight


@functools.cache
def sample_inputs(width: int) -> Singles:
    """(samples, width), each input on a scale of its own."""
    rng = np.random.default_rng(width)
    scale = np.exp(rng.standard_normal(width)).astype(np.float32)
    return rng.standard_normal((SAMPLES, width), np.float32) * scale


# ---------------------------------------------------------------- time and memory


class Stages:
    """Seconds of the processor in functions, without those of watched functions within them."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self.inner = threading.local()

    def watch(self, module: Any, function: str, stage: str) -> None:
        """Count a function, by its name in a module."""
        setattr(module, function, self._counted(getattr(module, function), stage))

    def _counted(self, function: Callable[..., Any], stage: str) -> Callable[..., Any]:
        @functools.wraps(function)
        def counted(*arguments: Any, **named: Any) -> Any:
            outer = getattr(self.inner, "seconds", 0.0)
            self.inner.seconds = 0.0
            start = time.thread_time()
            result = function(*arguments, **named)
            taken = time.thread_time() - start
            self.seconds[stage] += taken - self.inner.seconds
            self.inner.seconds = outer + taken
            return result

        return counted

    def watch_all(self) -> None:
        """Count the stages of programming."""
        self.watch(programmed, "choose_clip", "choice of the clip")
        self.watch(programmed, "encode", "encoding")
        self.watch(programmed, "program_cells", "write")
        self.watch(programmed, "solve_row_block", "noise, attenuation, layout")
        self.watch(tiles, "transfer_matrix", "transfer matrices")
        self.watch(build, "with_ranges", "ranges and gains")
        self.watch(build._Builder, "in_situ", "rest")


@dataclass(frozen=True)
class Taken:
    """Seconds by the clock and of the processor."""

    clock: float
    processor: float

    @classmethod
    def of(cls, function: Callable[[], Any]) -> tuple[Self, Any]:
        """Of a call, and its result."""
        clock = time.perf_counter()
        processor = time.process_time()
        result = function()
        return cls(time.perf_counter() - clock, time.process_time() - processor), result

    def per(self, tiles: int) -> "Taken":
        return Taken(self.clock / tiles, self.processor / tiles)


def peak_memory() -> int:
    """Bytes of this process at most (Linux)."""
    found = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    return 1024 * int(found[1]) if found else 0


# ---------------------------------------------------------------- the benchmark


def program(layer: SyntheticLayer, study: Study, pool: Executor) -> Hardware:
    """A layer on a chip."""
    inputs = {step.name: sample_inputs(step.inputs) for step in layer.graph.steps}
    held_out = HeldOut(inputs, ranges={}, input_ranges={})
    design = Design.of(layer, study, load_device(study.device.name), held_out)  # type: ignore[arg-type]
    return build_chip(design, study.seed, pool)


def bare(count: int, side: int, pool: Executor) -> None:
    """So many float32 transfer matrices."""
    g = np.random.default_rng(0).uniform(1e-6, 4e-5, (side, side)).astype(np.float32)
    r = np.full(g.shape, 2.8)

    def solve(_: int) -> None:
        transfer_matrix(g, r, r)

    list(pool.map(solve, range(count)))


@dataclass
class Measured:
    """Of every layer, seconds a tile."""

    tiles: int = 0
    chip: list[Taken] = field(default_factory=list)
    bare: list[Taken] = field(default_factory=list)

    def add_layer(self, layer: SyntheticLayer, study: Study, side: int, pool: Executor) -> Hardware:
        """Program a layer between two shares of its bare tiles."""
        count = 2 * sum(step.weights for step in layer.graph.steps) // side**2
        share = max(count // (2 * BARE_SHARE), 1)
        before, _ = Taken.of(lambda: bare(share, side, pool))
        taken, hardware = Taken.of(lambda: program(layer, study, pool))
        after, _ = Taken.of(lambda: bare(share, side, pool))
        both = Taken(before.clock + after.clock, before.processor + after.processor)
        self.bare.append(both.per(2 * share))
        self.chip.append(taken.per(count))
        self.tiles += count
        return hardware

    def report(self) -> None:
        """Print medians and ratios."""
        of_clock = [one.clock / bare.clock for one, bare in zip(self.chip, self.bare, strict=True)]
        of_processor = [
            one.processor / bare.processor for one, bare in zip(self.chip, self.bare, strict=True)
        ]
        print(f"{'ms a tile':<28}{'clock':>10}{'processor':>12}")
        for name, taken in (("programmed", self.chip), ("bare float32 transfer", self.bare)):
            clock = 1e3 * statistics.median(one.clock for one in taken)
            processor = 1e3 * statistics.median(one.processor for one in taken)
            print(f"{name:<28}{clock:>10.2f}{processor:>12.2f}")
        middle = statistics.median(of_processor)
        print(f"{'ratio':<28}{statistics.median(of_clock):>10.2f}{middle:>12.2f}")
        whole = statistics.median(one.clock for one in self.chip) * self.tiles
        print(f"{self.tiles} tiles in {whole:.1f} s (median of the layers), {load()}")


def load() -> str:
    return f"load of the machine {os.getloadavg()[0]:.1f}"


def study_of(settings: list[str]) -> Study:
    """The default study with `table.key=value` laid over it; attention stays digital."""
    content: dict[str, Any] = {"products": {"attention": "digital"}}
    for setting in settings:
        content = merge(content, tomllib.loads(setting))
    return validate(content, "--set")


def main() -> None:
    """Print times, ratios, stages and memory."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=MODELS, default="bert-base")
    parser.add_argument("--layers", type=int, help="of them, all if absent")
    parser.add_argument("--threads", type=int, default=cores())
    parser.add_argument("--set", nargs="*", default=[], help="table.key=value of the study")
    options = parser.parse_args()
    study = study_of(options.set)
    side = study.mapping.word_lines
    dimensions = MODELS[options.model]
    layers = options.layers or dimensions.layers
    stages = Stages()
    stages.watch_all()
    measured = Measured()
    print(f"synthetic weights, dimensions of {options.model}, {layers} layers, ", end="")
    print(f"{options.threads} threads, {load()}")
    with worker_threads(options.threads) as pool:
        first, _ = Taken.of(lambda: program(SyntheticLayer(COMPILES, 0), study, pool))
        bare(options.threads, side, pool)
        print(f"first use, compilation included: {first.clock:.1f} s")
        stages.seconds.clear()
        before = peak_memory()
        model = [SyntheticLayer(dimensions, layer) for layer in range(layers)]
        chip = [measured.add_layer(layer, study, side, pool) for layer in model]
    peak = peak_memory() - before
    measured.report()
    total = sum(stages.seconds.values())
    for stage, seconds in stages.seconds.most_common():
        milliseconds = 1e3 * seconds / measured.tiles
        print(f"  {stage:<28}{milliseconds:>8.3f} ms a tile{100 * seconds / total:>7.1f} %")
    weights = sum(layer.bytes_of_weights for layer in model)
    transfers = 4 * side**2 * measured.tiles
    allowed = weights + transfers + 2**30
    print(
        f"peak memory of {len(chip)} layers {peak / MEBI:.0f} MiB; weights {weights / MEBI:.0f}, "
        f"one float32 transfer matrix per tile {transfers / MEBI:.0f}, and 1 GiB: "
        f"{allowed / MEBI:.0f} MiB"
    )


if __name__ == "__main__":
    main()
