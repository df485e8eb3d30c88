"""How many simulated chips of a case are enough: until the interval of its metric over chips is as narrow as
the study asks.

Looking after every chip makes the interval a little too narrow: one that states 95 % holds in 93 to 95 % of
studies, see `docs/sweeps.md`.
"""

from collections.abc import Sequence
from pathlib import Path

from xbarsim.config.study import FEWEST_CHIPS
from xbarsim.studies.scores import scorer_of
from xbarsim.studies.trace_reader import read_trace
from xbarsim.tasks.metrics import student_interval


def is_narrow(values: Sequence[float], half_width: float) -> bool:
    """Whether the 95 % interval of the mean of these values reaches at most so far to each side."""
    if len(values) < FEWEST_CHIPS:
        return False
    low, high = student_interval(values)
    return low is not None and high is not None and high - low <= 2 * half_width


def values_of_chips(trace: Path, case: str, chips: int) -> list[float]:
    """The metric of the first chips of a case, as a trace, or its parts, has it."""
    found = read_trace(trace)
    scorer = scorer_of(found)
    return [scorer.metric(chip).value for chip in found.cases[case].chips[:chips]]
