"""How often intervals hold the truth: in full (200 repetitions, marked long) and in small."""

import pytest

FULL, SMALL = 200, 40
LOWEST, HIGHEST = 0.85, 0.96  # 2 branches of one conductance are a little wide
LOWEST_OF_SMALL = 0.75  # below it 3 in 1,000 where the interval holds 90 %

repetitions = pytest.mark.parametrize(
    "repetitions", [SMALL, pytest.param(FULL, marks=pytest.mark.long)]
)


def assert_intervals_hold(fit, truth, repetitions, rng):
    """Every parameter of `fit(rng)` is identified and holds its truth as often as it says.

    fit : numpy Generator -> FitResult;  truth : {name: value};  rng : seed -> numpy Generator
    """
    hits = dict.fromkeys(truth, 0)
    for seed in range(repetitions):
        result = fit(rng(seed))
        for name, value in truth.items():
            parameter = getattr(result, name)
            assert parameter.identified, f"seed {seed}: {name}: {parameter.reason}"
            hits[name] += parameter.low <= value <= parameter.high
    shares = {name: count / repetitions for name, count in hits.items()}
    if repetitions == FULL:
        assert all(LOWEST <= share <= HIGHEST for share in shares.values()), shares
    else:
        assert all(share >= LOWEST_OF_SMALL for share in shares.values()), shares
