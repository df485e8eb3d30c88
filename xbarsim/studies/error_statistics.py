"""The record of errors per example; reports read it without a kernel."""

from dataclasses import dataclass, field
from typing import Any

from xbarsim.base.array_types import Floats


def _statistic(unit: str, may_be_infinite: bool = False) -> Any:
    return field(metadata={"unit": unit, "may_be_infinite": may_be_infinite})


@dataclass(frozen=True, kw_only=True)
class ErrorStatistics:
    """Errors of every example (n,).

    Without any error the relative one is 0 and the SNR infinite, also where the reference is 0; an
    error over a reference of 0 is infinite.  The cosine with a vector of 0 is 0, and 1 where both
    are 0.
    """

    relative_rms: Floats = _statistic("1", may_be_infinite=True)
    snr_db: Floats = _statistic("dB", may_be_infinite=True)
    cosine: Floats = _statistic("1")
    maximum: Floats = _statistic("unit of the output")
    signal_rms: Floats = _statistic("unit of the output")
    error_rms: Floats = _statistic("unit of the output")
