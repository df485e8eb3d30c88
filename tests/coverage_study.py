"""How often intervals of fits hold the truth, and whether cells drawn from a fitted device file are
those of the data."""

import numpy as np
from scipy import stats

from xbarsim import calibrate
from xbarsim.devices.presets import load_device

FEW = 8  # repetitions of the small version: a smoke test
MANY = 200
FIRST = 1000  # seed


def shares(make, repetitions):
    """{name: (share of identified intervals that hold the truth, share identified)} of make(rng) ->
    (fit, truth)."""
    inside, identified = {}, {}
    for seed in range(repetitions):
        fit, truth = make(np.random.default_rng(FIRST + seed))
        for name, value in truth.items():
            parameter = getattr(fit, name)
            inside.setdefault(name, []).append(
                parameter.identified and parameter.low <= value <= parameter.high
            )
            identified.setdefault(name, []).append(parameter.identified)
    return {
        name: (np.sum(inside[name]) / max(np.sum(identified[name]), 1), np.mean(identified[name]))
        for name in inside
    }


def assert_covers(make, repetitions=MANY, low=0.85, high=0.95):
    """Coverage of 85 to 95 % in many repetitions; of few, three hits at least (a smoke test)."""
    found = shares(make, repetitions)
    if repetitions == FEW:
        low, high = 3 / FEW, 1.0
    assert all(low <= covered <= high and named > 0.8 for covered, named in found.values()), found


def of_model(result, start):
    """The result or that of its alternatives whose model's name starts so."""
    return next(fit for fit in (result, *result.alternatives) if fit.model.startswith(start))


def drawn(fit, target, path, base="ideal", seed=5):
    """Conductances that the device file written by a fit makes of targets (n,)."""
    device = load_device(calibrate.write_device(fit, path, base, ["measured.csv"]))
    return device.program(np.asarray(target)[None, :], seed).conductance[0]


def assert_agree(measured, simulated, level=1e-3):
    """Two-sample Kolmogorov-Smirnov."""
    test = stats.ks_2samp(measured, simulated)
    assert test.pvalue > level, test
