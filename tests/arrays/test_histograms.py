"""Histograms of programmed conductances and of codes, against counts in plain loops."""

import numpy as np
import pytest
from array_cases import IDEAL, WIRES, build, names, study

from xbarsim.arrays.in_situ.code_counts import CodeBins, CodeCounter
from xbarsim.arrays.in_situ.matrix import CURRENT_COLUMNS
from xbarsim.arrays.in_situ.programmed import plan_matrix, solve_matrix
from xbarsim.arrays.settings import InSituSettings
from xbarsim.devices.presets import load_device
from xbarsim.kernels.arrays.converters import convert_accumulate
from xbarsim.kernels.arrays.histograms import count_in_bins


def counted_by_hand(values, edges):
    counts = np.zeros(len(edges) + 1, int)
    for value in np.ravel(values):
        place = sum(value >= edge for edge in edges)
        if value == edges[-1]:
            place -= 1
        counts[place] += 1
    return counts


def test_every_edge_belongs_to_one_bin():
    edges = np.linspace(1e-6, 40e-6, 65)
    beside = [np.nextafter(edges, 0), edges, np.nextafter(edges, 1)]
    values = np.concatenate([*beside, [0.0, 1.0], np.random.default_rng(1).uniform(0, 5e-5, 500)])
    counts = np.zeros(66, np.int64)
    count_in_bins(values, edges, counts)
    assert counts.tolist() == counted_by_hand(values, edges).tolist()
    assert counts[0] >= 2 and counts[-1] >= 2


@pytest.mark.parametrize("placement", ["twin", "neighbour"])
@pytest.mark.parametrize("unused", ["low", "open"])
def test_conductances_are_those_of_the_cells_that_hold_the_matrix(placement, unused):
    mapping = {"word_lines": 16, "bit_lines": 12, "placement": placement, "unused": unused}
    chosen = study(mapping=mapping, effects=IDEAL | {"programming": True})
    device = load_device("rram-wan2022").in_study(chosen)
    weight = np.random.default_rng(3).normal(size=(21, 37))
    settings = InSituSettings.of(chosen)
    plan = plan_matrix("m", 0, weight, np.ones(37), settings, device, seed=4)
    cells = [plan.program(block) for block in range(plan.layout.row_blocks)]
    used = []
    for block, of_block in enumerate(cells):
        rows = plan.layout.rows(block)
        planes = of_block.conductance.transpose(0, 2, 1)
        used.append(plan.layout.from_tiles(planes, rows.stop - rows.start).ravel())
    programmed = solve_matrix(plan, cells)
    edges = np.linspace(device.conductance_min, device.conductance_max, 65)
    np.testing.assert_array_equal(programmed.conductance_edges, edges)
    expected = counted_by_hand(np.concatenate(used), edges)
    assert programmed.conductance_counts.tolist() == expected.tolist()
    assert expected.sum() == 2 * 21 * 37 and expected[[0, -1]].sum() > 0


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("bits", [1, 3, 8, 11])
def test_codes_are_those_of_rounding_in_plain_loops(signed, bits):
    lowest, highest = (1 - 2 ** (bits - 1), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    if highest == 0:
        lowest, highest = -1, 1
    bins = CodeBins(lowest, highest)
    rng = np.random.default_rng(bits)
    counter = CodeCounter(bins)
    codes = []
    beyond = [0, 0]
    saturated = 0
    for k in (7, 4, 1):
        current = rng.normal(0.3 * highest, highest, (5, 3, k)).astype(np.float32)
        for value in current.ravel().tolist():
            code = round(value)
            if code < lowest:
                beyond[0] += 1
            elif code > highest:
                beyond[1] += 1
            else:
                codes.append(code)
        ones = np.ones(k, np.float32)
        output = np.zeros((5, k), np.float32)
        limits = np.float32(lowest), np.float32(highest)
        saturated += convert_accumulate(
            current, 0, ones, ones, np.ones(3, np.float32), *limits, output
        ).sum()
        counter.add(current)
    found = counter.counts()
    expected = np.zeros(bins.bins, int)
    for code in codes:
        expected[(code - lowest) // bins.codes_per_bin] += 1
    assert found.codes.tolist() == expected.tolist()
    assert found.beyond.tolist() == beyond and sum(beyond) == saturated > 0
    assert bins.bins <= 256 and (bins.codes_per_bin == 1 or bins.codes > 256)


def test_padding_is_not_counted_and_any_split_of_the_rows_counts_the_same():
    """More columns than are converted at once, more rows than fill a block, and noise."""
    chosen = study(
        mapping={"word_lines": 32, "bit_lines": 64},
        effects=IDEAL | {"converters": True, "wires": True, "read_noise": True},
        wires=WIRES,
        device={"name": "rram-wan2022"},
        adc={"bits": 5, "range": "quantile", "quantile": 0.9},
    )
    _, x, array = build(chosen, inputs=50, outputs=CURRENT_COLUMNS + 9, samples=300)
    rows = names(len(x))
    whole = array.multiply(x, rows, 1)
    events = array.events_per_row
    total = whole.code_counts.codes.sum() + whole.code_counts.beyond.sum()
    assert total == len(x) * events.adc_conversions
    assert whole.code_counts.beyond.sum() == whole.adc_saturations.sum() > 0
    codes = np.zeros_like(whole.code_counts.codes)
    beyond = np.zeros(2, int)
    for part in (slice(0, 1), slice(1, 44), slice(44, len(x))):
        found = array.multiply(x[part], rows[part], 1).code_counts
        codes += found.codes
        beyond += found.beyond
    assert codes.tolist() == whole.code_counts.codes.tolist()
    assert beyond.tolist() == whole.code_counts.beyond.tolist()


def test_ideal_converters_have_no_codes():
    _, x, array = build(study(effects=IDEAL))
    assert array.code_bins is None and array.multiply(x, names(len(x)), 1).code_counts is None
