"""Targets that the window holds, against bounded least squares over all conductances of a tile."""

import numpy as np
from compensation_cases import WINDOW, programmed
from reference import dense_transfer
from scipy.optimize import least_squares

ERRING = (
    WINDOW + 'programming = { sigma = [{ polynomial_us = [6.0] }], scale_us = 1, source = "t" }\n'
)
WORD_LINES = 12
BIT_LINES = 4
OHM = 400.0


def test_clipped_targets_are_near_the_optimum_of_the_window(tmp_path):
    """Programming asks for a scale at which some cells end at the window: the others cannot make
    up for much of it.
    """
    weight = np.random.default_rng(3).uniform(-1, 1, (BIT_LINES, WORD_LINES))
    matrix = programmed(
        tmp_path,
        weight,
        ERRING,
        mapping={
            "word_lines": WORD_LINES,
            "bit_lines": BIT_LINES,
            "scale": "matrix",
            "compensation_solves": 12,
        },
        wires={
            "word_line_resistance_ohm": OHM,
            "bit_line_resistance_ohm": OHM,
            "source_resistance_ohm": 0.0,
            "sense_resistance_ohm": 0.0,
        },
        effects={"programming": True},
    )
    target = matrix.encoded.target[0] * 1e6
    assert (target > 39.999).sum() >= 2
    wanted = weight / (matrix.encoded.value[0, 0] * 1e-6)[:, None]  # uS
    segment = np.full((WORD_LINES, BIT_LINES), OHM)

    def missing(conductance):
        positive, negative = conductance.reshape(target.shape) * 1e-6
        arrives = dense_transfer(positive, segment, segment)
        arrives -= dense_transfer(negative, segment, segment)
        return (arrives * 1e6 - wanted).ravel()

    start = np.clip(target.ravel(), 1.0001, 39.9999)
    optimum = least_squares(missing, start, bounds=(1.0, 40.0), max_nfev=30)
    found = np.linalg.norm(missing(target.ravel()))
    assert found < 1.15 * np.linalg.norm(optimum.fun)
    assert found > 1e-3 * np.linalg.norm(wanted)
