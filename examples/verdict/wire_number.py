"""One number for the wires of a tile: kappa² = r g N², and what a model loses at it.

    python examples/verdict/wire_number.py DIR [DIR ...] [--picture map.png]

DIR are directories of `xbarsim sweep` of the studies ir-drop-encoder and ir-drop-decoder.  Along a line of N equal
cells of conductance g, with r ohm to a segment, the voltage obeys v'' = kappa² v over the length of the line, so that
kappa alone says how much of it arrives; cells of a model are not equal, and g is the mean of all cells of a matrix on
tiles.  A matrix that does not fill its tiles counts with the lines it uses.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

import xbarsim

GAINS = ("no gain", "one gain", "gain of every line")


@dataclass(frozen=True)
class Point:
    """A case of a sweep.

    kappa_squared, arriving : of the mean matrix, weighted by its cells
    loss : of the metric, or of nats of a token, paired with float32; with its 95 % interval
    """

    tile: int
    gain: str
    resistance: float
    kappa_squared: float
    arriving: float
    metric: float
    loss: float
    low: float
    high: float


def mean_conductance(counts, edges):
    """Mean, S, of a histogram of conductances: below the first edge, between them, above the last."""
    middles = np.concatenate([edges[:1], (edges[1:] + edges[:-1]) / 2, edges[-1:]])
    return float(np.vdot(counts, middles) / counts.sum())


def matrix_numbers(matrix, tile, resistance):
    """kappa² and the mean share of the current that arrives, of one matrix, and its cells."""
    counts = matrix["conductance_counts"][:]
    conductance = mean_conductance(counts, matrix["conductance_edges"][:])
    lines = min(tile, int(matrix.attrs["inputs"]))
    width = min(tile, int(matrix.attrs["outputs"]))
    kappa_squared = resistance * conductance * (lines**2 + width**2) / 2
    return kappa_squared, float(matrix["attenuation_mean"][:].mean()), int(matrix.attrs["cells"])


def wires_of(trace, case, tile, resistance):
    """Means of kappa² and of the arriving share over the matrices of a case, weighted by cells."""
    with h5py.File(trace) as file:
        layers = file[f"cases/{case}/0/layers"].values()
        matrices = [layer for layer in layers if "conductance_counts" in layer]
        numbers = [matrix_numbers(matrix, tile, resistance) for matrix in matrices]
    kappa_squared, arriving, cells = np.transpose(numbers)
    return float(np.average(kappa_squared, weights=cells)), float(
        np.average(arriving, weights=cells)
    )


def points_of(directory):
    """Every case of every finished point of a sweep."""
    points = []
    for row in xbarsim.open_study(directory).rows:
        size, _, gain = row.case.partition(": ")
        resistance = row.values["wires.word_line_resistance_ohm"]
        kappa_squared, arriving = wires_of(row.trace, row.case, int(size), resistance)
        points.append(
            Point(
                tile=int(size),
                gain=gain,
                resistance=resistance,
                kappa_squared=kappa_squared,
                arriving=arriving,
                metric=row.metric.value,
                loss=row.change.value,
                low=row.change.low,
                high=row.change.high,
            )
        )
    return sorted(points, key=lambda point: (point.gain, point.kappa_squared))


def print_table(directory, points):
    """One line for a circuit, with the losses under all three corrections."""
    print(f"{directory}\ntile   ohm  kappa²  arrives", *(f"{gain:>28}" for gain in GAINS))
    circuits = {}
    for point in points:
        place = (point.kappa_squared, point.tile, point.resistance, point.arriving)
        circuits.setdefault(place, {})[point.gain] = point
    for (kappa_squared, tile, resistance, arriving), found in sorted(circuits.items()):
        losses = [
            f"{point.loss:+.4f} ({point.low:+.4f} .. {point.high:+.4f})".rjust(28)
            for point in (found[gain] for gain in GAINS)
        ]
        print(f"{tile:4d} {resistance:5.2f} {kappa_squared:7.3f} {arriving:8.3f}", *losses)


def draw(directories, path):
    """Losses against kappa², one panel for a sweep, one colour for a correction, a mark for a tile."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, len(directories), figsize=(5.2 * len(directories), 4.2))
    colours = dict(zip(GAINS, ("#d55e00", "#e69f00", "#0072b2"), strict=True))
    marks = {64: "v", 128: "o", 256: "s", 512: "D"}
    for panel, directory in zip(np.atleast_1d(panels), directories, strict=True):
        points = points_of(directory)
        lowest = min(point.low for point in points)
        highest = max(point.high for point in points)
        for point in points:
            panel.errorbar(
                point.kappa_squared,
                point.loss,
                yerr=[[point.loss - point.low], [point.high - point.loss]],
                color=colours[point.gain],
                marker=marks[point.tile],
                linestyle="none",
                markersize=5,
            )
        panel.axhline(0, color="0.5", linewidth=0.8)
        panel.set_xscale("log")
        panel.set_yscale("symlog", linthresh=0.01)
        panel.set_ylim(1.5 * lowest, 1.5 * highest)
        panel.set_xlabel("κ² = r g N²")
        panel.set_title(Path(directory).name)
    first = np.atleast_1d(panels)[0]
    first.set_ylabel("change from float32 (paired, 95 %)")
    handles = [
        pyplot.Line2D([], [], color=colour, marker="o", linestyle="none", label=gain)
        for gain, colour in colours.items()
    ] + [
        pyplot.Line2D([], [], color="0.3", marker=mark, linestyle="none", label=f"{tile} x {tile}")
        for tile, mark in marks.items()
    ]
    figure.legend(handles=handles, loc="lower center", ncol=len(handles), fontsize=8)
    figure.tight_layout(rect=(0, 0.07, 1, 1))
    figure.savefig(path, dpi=110)


def main(words):
    """Tables of the directories, and their picture if one is asked for."""
    picture = None
    if "--picture" in words:
        at = words.index("--picture")
        picture = words[at + 1]
        words = words[:at] + words[at + 2 :]
    for directory in words:
        print_table(directory, points_of(directory))
    if picture is not None:
        draw(words, picture)


if __name__ == "__main__":
    main(sys.argv[1:])
