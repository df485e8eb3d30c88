"""A case gets as many chips as its interval needs, and what that does to the interval."""

import numpy as np
import pytest
from tiny import make_tiny_place, tiny_study

from xbarsim.base.errors import ConfigError
from xbarsim.config.study import validate
from xbarsim.report.summary import summarise
from xbarsim.studies.enough_chips import is_narrow
from xbarsim.studies.run import run_study
from xbarsim.studies.trace_reader import read_trace


def test_the_width_is_that_of_students_interval():
    values = [1.0, 2.0, 3.0, 4.0, 5.0]
    half = 2.776445 * np.std(values, ddof=1) / 5**0.5  # the table's t of 4 degrees of freedom
    assert is_narrow(values, half * 1.001) and not is_narrow(values, half * 0.999)
    assert not is_narrow([1.0] * 4, 1.0) and is_narrow([1.0] * 5, 1e-9)


def coverage(draw, half_width, repetitions, largest=100):
    """(share of intervals that hold the mean 0, mean number of chips)"""
    held = []
    counts = []
    for _ in range(repetitions):
        values = list(draw(5))
        while not is_narrow(values, half_width) and len(values) < largest:
            values.append(float(draw(1)[0]))
        low, high = np.mean(values) - half_width, np.mean(values) + half_width
        held.append(low <= 0 <= high)
        counts.append(len(values))
    return float(np.mean(held)), float(np.mean(counts))


@pytest.mark.parametrize(("half_width", "chips"), [(0.5, 16.4), (0.8, 8.3)])
def test_an_interval_after_stopping_holds_nearly_as_often_as_it_says(half_width, chips):
    rng = np.random.default_rng(5)
    held, count = coverage(rng.standard_normal, half_width, 600)
    assert 0.91 < held < 0.99
    assert count == pytest.approx(chips, rel=0.1)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return make_tiny_place(tmp_path_factory.mktemp("place"))


def test_a_case_ends_when_its_interval_is_narrow_enough(place, tmp_path):
    noisy = {"mapping": {"word_lines": 16, "bit_lines": 16}, "adc": {"bits": 3}}
    whole = run_study(tiny_study(place, run={"chips": 9}, **noisy), tmp_path / "a", threads=1)
    case = summarise(read_trace(whole)).cases[0]
    values = case.chips.values
    needed = next(n for n in range(5, 10) if n == 9 or is_narrow(values[:n], 0.05))
    run = {"chips": 9, "chips_half_width": 0.05}
    study = tiny_study(place, run=run, **noisy)
    short = read_trace(run_study(study, tmp_path / "b", threads=1))
    assert short.run.complete and len(short.cases["chip"].chips) == needed
    found = summarise(short).cases[0].chips.values
    assert list(found) == list(values[:needed])
    again = run_study(study, tmp_path / "b", threads=1, resume=True)
    assert again == short.path
    wide = tiny_study(place, run={"chips": 9, "chips_half_width": 1.0}, **noisy)
    assert len(read_trace(run_study(wide, tmp_path / "c", threads=1)).cases["chip"].chips) == 5


def test_a_width_without_chips_to_choose_from_is_refused():
    with pytest.raises(ConfigError, match="run.chips = 5; allowed: 6 chips or more"):
        validate({"run": {"chips": 5, "chips_half_width": 0.01}}, "study")
