"""Trains of pulses against a loop in Python, pulse by pulse, with the law written out."""

import numpy as np

from xbarsim.kernels.training.cell_pulses import DOWN, UP, pulse_cells

LOW, HIGH, MIDDLE = 1e-6, 101e-6, 51e-6
LAW = {"step": 2e-6, "nonlinearity": 1.5, "falling": 1 / 150e-6, "sigma": 0.3}
BEYOND = {"gain": 0.4, "ohm": 8e3, "volts": 1.2, "slope": 0.3}


def step_of(g, way):
    """Siemens of a pulse at g, without heat, divider and noise."""
    moved = g - LOW if way == UP else HIGH - g
    step = LAW["step"] * np.exp(-LAW["nonlinearity"] * moved / (HIGH - LOW))
    return step * (1 - LAW["falling"] * moved)


def test_pulses_are_those_of_a_loop():
    rng = np.random.default_rng(0)
    for way, sign in ((UP, 1), (DOWN, -1)):
        g = rng.uniform(LOW, HIGH, 12)
        g[0] = HIGH if way == UP else LOW  # where nothing is left to move
        heat = rng.random(12)
        pulses = np.arange(12)
        responds = rng.random(12) > 0.2
        cells = np.array([0, 2, 3, 7, 11])
        counts = np.array([3, 1, 4, 2, 9])
        normals = rng.standard_normal(counts.sum())
        expected = g.copy()
        warm = heat.copy()
        drawn = 0.0
        left = iter(normals)
        for number in range(9):
            for cell, count in zip(cells, counts, strict=True):
                if number >= count:
                    continue
                now = expected[cell]
                ohm = BEYOND["ohm"]
                source = BEYOND["volts"] * (1 + MIDDLE * ohm)
                volts = source / (1 + now * ohm)
                step = step_of(now, way) * np.exp(BEYOND["gain"] * warm[cell])
                step *= np.exp((volts - BEYOND["volts"]) / BEYOND["slope"])
                step *= 1 + LAW["sigma"] * next(left)
                drawn += source * now * volts / BEYOND["volts"] ** 2
                if responds[cell]:
                    expected[cell] = np.clip(now + sign * step, LOW, HIGH)
                warm[cell] += 1
        before = pulses.copy()
        found = pulse_cells(
            g,
            heat=heat,
            pulses=pulses,
            responds=responds,
            cells=cells,
            counts=counts,
            normals=normals,
            way=way,
            low=LOW,
            high=HIGH,
            **LAW,
            **BEYOND,
        )
        np.testing.assert_allclose(g, expected, rtol=1e-12, atol=0)
        np.testing.assert_allclose(heat, warm, rtol=1e-12, atol=0)
        np.testing.assert_allclose(found, drawn, rtol=1e-12, atol=0)
        np.testing.assert_array_equal((pulses - before)[cells], counts)
        assert (pulses - before).sum() == counts.sum()
