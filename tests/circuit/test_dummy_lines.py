"""Correction by raised rows and a dummy column, against the dense circuit and closed forms."""

import numpy as np
import pytest
from reference import dense_solve

from xbarsim.base.errors import OutOfRangeError, ShapeError
from xbarsim.circuit.dummy_lines import CorrectedCrossbar, Parasitics

RNG = np.random.default_rng(0)
CELLS = np.where(RNG.random((12, 5)) < 0.5, 50e-6, 0.5e-6)
VOLTS = 0.1 * RNG.random((3, 12))


def test_currents_are_those_of_the_dense_circuit():
    found = CorrectedCrossbar(CELLS, Parasitics(300.0, 5.0, 40.0), np.full(12, 0.05))
    cells = np.column_stack([CELLS, np.full(12, CELLS.mean())])
    word = np.full(cells.shape, 5.0)
    bit = np.full(cells.shape, 5.0)
    word[:, 0] += 300.0
    bit[-1] += 40.0
    for volts, currents in zip(VOLTS, found.currents(VOLTS).raw, strict=True):
        expected = dense_solve(cells, word, bit, volts)[2][:-1]
        np.testing.assert_allclose(currents, expected, rtol=1e-9, atol=0)


def test_equal_cells_without_wires_are_corrected_exactly():
    """Every driver then loses the same share, every neuron too: one gain is all that is needed."""
    cells = np.full((8, 4), 20e-6)
    found = CorrectedCrossbar(cells, Parasitics(1e3, 0.0, 0.0), np.full(8, 0.1), dummy=20e-6)
    assert found.row_gain == pytest.approx(np.full(8, 1 / (1 - (1 - 1 / (1 + 5 * 0.02)))))
    volts = 0.1 * RNG.random((2, 8))
    ideal = volts @ cells
    corrected = found.currents(volts)
    assert (corrected.raw < 0.95 * ideal).all()
    np.testing.assert_allclose(corrected.rows, ideal, rtol=1e-9, atol=0)
    neuron = CorrectedCrossbar(cells, Parasitics(0.0, 0.0, 500.0), np.full(8, 0.1), dummy=20e-6)
    np.testing.assert_allclose(neuron.row_gain, 1.0, rtol=1e-12, atol=0)
    np.testing.assert_allclose(neuron.currents(volts).both, ideal, rtol=1e-9, atol=0)


def test_mean_source_voltages_are_restored_and_outputs_come_nearer():
    typical = VOLTS.mean(axis=0)
    found = CorrectedCrossbar(CELLS, Parasitics(800.0, 5.0, 40.0), typical)
    before = np.abs(found.source_voltage(typical[None])[0] / typical - 1).mean()
    after = np.abs(found.source_voltage(typical[None] * found.row_gain)[0] / typical - 1).mean()
    assert after < 0.1 * before
    currents = found.currents(VOLTS)
    errors = [np.abs(one / (VOLTS @ CELLS) - 1).mean() for one in (currents.raw, currents.both)]
    assert errors[1] < 0.3 * errors[0]
    cost = found.cost
    assert (cost.cells, cost.amplifiers, cost.conversions, cost.multiplications) == (12, 12, 1, 5)


def test_wrong_arguments_are_refused():
    with pytest.raises(ShapeError, match="typical inputs"):
        CorrectedCrossbar(CELLS, Parasitics(1.0, 1.0, 1.0), np.zeros(3))
    with pytest.raises(OutOfRangeError, match="dummy column"):
        CorrectedCrossbar(CELLS, Parasitics(1.0, 1.0, 1.0), np.zeros(12), dummy=0.0)
