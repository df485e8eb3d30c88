"""How often intervals of fits hold the truth, and whether cells drawn from a fitted device file are
those of the data."""

import numpy as np
from scipy import stats

from xbarsim import calibrate
from xbarsim.devices.presets import load_device

POOLED = 0.875  # share of the intervals of several quantities and forms that hold the truth
MANY = 200
FIRST = 1000  # seed


def outcomes(make, repetitions):
    """{name: [whether the interval holds the truth, None where not identified]} of make(rng) ->
    (fit, truth)."""
    found = {}
    for seed in range(repetitions):
        fit, truth = make(np.random.default_rng(FIRST + seed))
        for name, value in truth.items():
            parameter = getattr(fit, name, None)  # a fit leaves out what its law has not
            holds = None
            if parameter is not None and parameter.identified:
                holds = bool(parameter.low <= value <= parameter.high)
            found.setdefault(name, []).append(holds)
    return found


def assert_covers(make, repetitions=MANY, low=0.85, high=0.95):
    """Coverage of 85 to 95 % for every quantity, which 80 % of the repetitions identify."""
    shares = {}
    for name, holds in outcomes(make, repetitions).items():
        identified = [held for held in holds if held is not None]
        shares[name] = (np.mean(identified), len(identified) / repetitions)
    assert all(low <= held <= high and known > 0.8 for held, known in shares.values()), shares


def assert_pooled(makes, repetitions, least):
    """Of few repetitions of several forms: POOLED of all intervals, `least` or more, hold the
    truth.

    Of 280 independent intervals, right ones (90 %) fall short with a probability of 0.07, those
    10 % too narrow (86.1 %) with 0.72, those 20 % too narrow (81.2 %) with 0.997; of 200 with 0.10,
    0.67 and 0.99.  Intervals of one fit depend on each other, so the first is a little higher and
    the others a little lower.
    """
    held, per_name = [], {}
    for form, make in makes.items():
        for name, holds in outcomes(make, repetitions).items():
            identified = [one for one in holds if one is not None]
            held += identified
            per_name[form, name] = f"{sum(identified)}/{len(identified)}"
    assert len(held) >= least, per_name
    assert np.mean(held) >= POOLED, (np.mean(held), len(held), per_name)


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
