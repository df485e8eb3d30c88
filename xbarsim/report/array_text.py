"""What stands beside arrays, and what is known of their cells, in the report of a case."""

from collections.abc import Sequence

from xbarsim.base.units import engineering
from xbarsim.report.steps import MatrixSummary


def convolution_lines(layers: Sequence[MatrixSummary]) -> list[str]:
    """Rows of inputs and tiles of every convolution."""
    found = [
        f"{layer.name} {layer.rows_per_image:,} on {layer.programming.tiles:,}"
        for layer in layers
        if layer.rows_per_image is not None
    ]
    if not found:
        return []
    return ["images rows of inputs an image, on so many tiles: " + ", ".join(found)]


def defect_lines(layers: Sequence[MatrixSummary]) -> list[str]:
    """What the map of stuck cells took."""
    maps = [layer.defect_map for layer in layers if layer.defect_map is not None]
    if not maps:
        return []
    cells = sum(each.cells for each in maps)
    pulses = sum(each.pulses for each in maps)
    line = (
        f"map    stuck cells are known of {cells:,} cells, by {pulses:,} pulses and as many reads"
    )
    joules = [each.energy for each in maps if each.energy is not None]
    if joules:
        line += f", {engineering(sum(joules), 'J')}"
    return [line]


def self_correction_lines(layers: Sequence[MatrixSummary]) -> list[str]:
    """Raised rows and dummy columns, and what they add to a row of inputs of every matrix."""
    found = [layer.self_correction for layer in layers if layer.self_correction is not None]
    if not found:
        return []
    lines = []
    drivers = sum(each.raised_drivers for each in found)
    if drivers:
        lines.append(f"rows   {drivers:,} word-line drivers are raised, by an amplifier each")
    cells = sum(each.dummy_cells for each in found)
    if cells:
        conversions = sum(each.conversions for each in found)
        multiplications = sum(each.multiplications for each in found)
        joules = engineering(sum(each.joules for each in found), "J")
        lines.append(
            f"dummy  columns of {cells:,} cells; a row of inputs of every matrix takes {conversions:,} "
            f"more conversions, {joules}, and {multiplications:,} multiplications of codes"
        )
    return lines
