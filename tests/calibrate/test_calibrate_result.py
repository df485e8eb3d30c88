"""How a fit is printed, and which model is chosen where two describe the data equally well."""

import dataclasses

import pytest

from xbarsim.calibrate import pulses, write_verify
from xbarsim.calibrate.result import FitResult, Parameter
from xbarsim.calibrate.statistics import by_aic


def fit(model, aic, *parameters):
    return FitResult("iv", model, tuple(parameters), points=9, goodness={}, aic=aic)


@pytest.mark.parametrize("names", [(), ("g",), ("v0", "conductance"), ("parameter",)])
def test_columns_of_a_fit_stand_apart(names):
    """However short the names: "parametervalue" was one word."""
    parameters = [Parameter.known(name, "S", 1e-6, 0.9e-6, 1.1e-6) for name in names]
    lines = fit("ohmic", 0.0, *parameters).render().splitlines()
    heading = next(line for line in lines if line.startswith("parameter"))
    assert heading.split() == ["parameter", "value", "90", "%", "interval"]
    for name in names:
        (row,) = (line for line in lines if line.split()[:2] == [name, "1"])
        assert row.index("1 µS") == heading.index("value")
        assert row.index("0.9 ..") == heading.index("90 %")


def test_a_long_value_does_not_touch_its_interval():
    long = Parameter.known("k", "A/V^1.5/some unit", 1.2345e-19, 1e-19, 2e-19)
    assert str(long).split()[-3:] == ["1e-19", "..", "2e-19"]


def test_of_a_tie_the_simpler_model_is_chosen_and_shown_first():
    simple, complicated = fit("simple", -100.0 + 5e-8), fit("complicated", -100.0)
    assert by_aic([(complicated, 4), (simple, 2)]) == [simple, complicated]
    better = fit("complicated", -100.1)
    assert by_aic([(better, 4), (simple, 2)]) == [better, simple]
    chosen = dataclasses.replace(simple, alternatives=(complicated,))
    assert chosen.better() is None


@pytest.mark.parametrize("module", [pulses, write_verify])
def test_laws_of_steps_are_ranked_by_that_rule(module):
    """Not by the bare AIC, of which the last bit decides a tie."""
    assert module.by_aic is by_aic
