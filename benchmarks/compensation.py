"""What compensation of wires reaches and costs, beside one digital gain per output alone and beside
the plain iteration that multiplies every target by what is missing of it, at .7 of the window.
Further beside a gain with inputs in the order of their weights, and with cells of ten times the
resistance.

    python benchmarks/compensation.py [--sides 128 256 512] [--measured]

With --measured: errors of cells that are written with the programming error of rram-wan2022, read
back and written again in 1 ... 5 rounds, without wires.

One tile pair of weights from Student's t with 5 degrees of freedom, clipped at the 99 % quantile of
their magnitude, in cells of 1 to 40 uS; no other effect than wires.  Errors are relative rms of the
weights that arrive, after the best gain per output.  Seconds of the processor are those of a pair of tiles beyond
the solve that a pair without compensation takes too, which stands beside them.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any

for variable in ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np  # noqa: E402  (threads are set first)

from xbarsim.arrays.in_situ.programmed import ProgrammedMatrix, program_matrix  # noqa: E402
from xbarsim.arrays.settings import InSituSettings  # noqa: E402
from xbarsim.base.array_types import Floats  # noqa: E402
from xbarsim.config.study import validate  # noqa: E402
from xbarsim.devices.presets import load_device  # noqa: E402
from xbarsim.kernels.circuit.transfer import transfer_matrix  # noqa: E402

LOW = 1e-6
HIGH = 40e-6
DEVICE = """
description = "1 to 40 uS"
read = { voltage_v = 0.2, source = "benchmark" }
conductance = { minimum_us = 1.0, maximum_us = 40.0, valid_range_us = [1.0, 40.0], source = "benchmark" }
"""
CASES = [(128, 1.0), (128, 5.0), (128, 10.0), (256, 2.12), (256, 5.0), (512, 2.12)]
PLAIN_SCALE = 0.7  # of the window, of the plain iteration


def student(side: int) -> Floats:
    """Weights (inputs, outputs)."""
    weight = np.random.default_rng(0).standard_t(5, (side, side))
    largest = np.quantile(np.abs(weight), 0.99)
    return np.clip(weight, -largest, largest) / largest


def error(found: Floats, weight: Floats) -> float:
    """Relative rms error after the best gain per output, (inputs, outputs)."""
    gain = (found * weight).sum(axis=0) / (found**2).sum(axis=0)
    return float(np.sqrt(((gain * found - weight) ** 2).sum() / (weight**2).sum()))


def error_after_one_gain(found: Floats, weight: Floats) -> float:
    """Relative rms error after the best gain for all outputs, (inputs, outputs)."""
    gain = (found * weight).sum() / (found**2).sum()
    return float(np.sqrt(((gain * found - weight) ** 2).sum() / (weight**2).sum()))


def pair_on_tiles(
    weight: Floats, ohm: float, compensation: str, solves: int
) -> tuple[ProgrammedMatrix, float]:
    """A pair of tiles, and the processor seconds that it took."""
    side = len(weight)
    study = validate(
        {
            "mapping": {
                "word_lines": side,
                "bit_lines": side,
                "clip": "maximum",
                "compensation": compensation,
                "compensation_solves": solves,
            },
            "wires": {"word_line_resistance_ohm": ohm, "bit_line_resistance_ohm": ohm},
            "effects": {"programming": False, "read_noise": False, "converters": False},
        },
        "benchmark",
    )
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "window.toml"
        path.write_text(DEVICE)
        device = load_device(str(path)).in_study(study)
    started = time.process_time()
    matrix = program_matrix(
        name="pair",
        index=0,
        weight=weight.T,
        moment=np.ones(side),
        settings=InSituSettings.of(study),
        device=device,
        seed=0,
    )
    return matrix, time.process_time() - started


def plain_errors(weight: Floats, ohm: float, solves: int) -> list[float]:
    """Errors after 0 ... solves of each target multiplied by what is missing of it."""
    wires = np.full(weight.shape, ohm)
    span = PLAIN_SCALE * (HIGH - LOW)
    wanted = [LOW + span * np.maximum(sign * weight, 0) for sign in (1, -1)]
    tiles = wanted
    errors = []
    for _ in range(solves + 1):
        arrives = [transfer_matrix(tile, wires, wires)[0].T for tile in tiles]
        difference = arrives[0] - arrives[1]
        errors.append(error(difference, weight))
        reached = (difference * weight).sum(axis=0) / ((weight**2).sum(axis=0) * span)
        tiles = [
            np.clip(tile * reached * aim / found, LOW, HIGH)
            for tile, aim, found in zip(tiles, wanted, arrives, strict=True)
        ]
    return errors


def ordered_error(weight: Floats, ohm: float) -> float:
    """With a gain alone, of inputs in the order of their weights: the largest next to the sense
    amplifiers.
    """
    order = np.argsort((weight**2).sum(axis=1))
    return gain_error(weight[order], ohm)


def gain_error(weight: Floats, ohm: float) -> float:
    """With a gain alone."""
    matrix, _ = pair_on_tiles(weight, ohm, "none", 1)
    return error(matrix.achieved_weight.T, weight)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sides", type=int, nargs="+", default=[128, 256, 512])
    parser.add_argument("--measured", action="store_true")
    arguments = parser.parse_args()
    if arguments.measured:
        print_measured()
        return
    sides = arguments.sides
    pair_on_tiles(student(128), 1.0, "wires", 1)  # compiles
    heads = ("tile, wire", "1 gain", "gain", "ordered", "10 x R", "plain 2 / 4", "wires 2 / 4")
    widths = (16, 9, 9, 9, 9, 19, 19)
    titles = [head.ljust(width) for head, width in zip(heads, widths, strict=True)]
    print("".join(titles) + "seconds 2 / 4, one solve")
    for side, ohm in CASES:
        if side in sides:
            print_row(side, ohm)


def print_row(side: int, ohm: float) -> None:
    """A row of the table.  Cells of ten times the resistance are as wires of a tenth."""
    weight = student(side)
    bare, seconds = pair_on_tiles(weight, ohm, "none", 1)
    plain = plain_errors(weight, ohm, 4)
    two, after_two = pair_on_tiles(weight, ohm, "wires", 2)
    four, after_four = pair_on_tiles(weight, ohm, "wires", 4)
    errors = [
        error_after_one_gain(bare.achieved_weight.T, weight),
        error(bare.achieved_weight.T, weight),
        ordered_error(weight, ohm),
        gain_error(weight, ohm / 10),
    ]
    print(
        f"{side:4d}, {ohm:5.2f} ohm "
        + "".join(f" {value:.1e} " for value in errors)
        + f" {plain[2]:.1e} / {plain[4]:.1e} "
        f" {error(two.achieved_weight.T, weight):.1e} / "
        f"{error(four.achieved_weight.T, weight):.1e} "
        f" {after_two - seconds:.3f} / {after_four - seconds:.3f}, {seconds:.3f}",
        flush=True,
    )


ENCODINGS = {
    "pairs": {},
    "slices of 2 bits": {"encoding": "slices"},
    "unsigned slices": {"encoding": "slices", "sign": "offset"},
}


def written(weight: Floats, mapping: dict[str, Any], time_s: float) -> ProgrammedMatrix:
    """A matrix in cells that err as those of rram-wan2022, read at a time, without wires."""
    study = validate(
        {
            "device": {"name": "rram-wan2022", "time_s": time_s},
            "mapping": mapping,
            "effects": {"wires": False, "read_noise": False, "converters": False},
        },
        "benchmark",
    )
    return program_matrix(
        name="pair",
        index=0,
        weight=weight.T,
        moment=np.ones(len(weight)),
        settings=InSituSettings.of(study),
        device=load_device(study.device.name).in_study(study),
        seed=0,
    )


def print_measured() -> None:
    """Errors, and cells written again per cell, by rounds."""
    weight = student(128)
    for name, mapping in ENCODINGS.items():
        for time_s in (1.0, 86400.0):
            once = written(weight, mapping, time_s)
            line = f"{name:18s} {time_s:7.0f} s  {error(once.achieved_weight.T, weight):.4f}"
            for rounds in (1, 2, 3, 5):
                measured = {"compensation": "measured", "compensation_rounds": rounds}
                found = written(weight, mapping | measured, time_s)
                again = found.counts.rewritten / found.encoded.target.size
                line += f"  {error(found.achieved_weight.T, weight):.4f} ({again:.2f})"
            print(line, flush=True)


if __name__ == "__main__":
    main()
