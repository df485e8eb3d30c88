"""Traces at even intervals from reads whose steps of time are not all alike."""

import dataclasses
import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from xbarsim.base.array_types import Booleans, Floats, Integers
from xbarsim.base.errors import OutOfRangeError, ShapeError
from xbarsim.base.units import engineering

SHORTEST = 32  # samples of a trace with a time axis
EVEN = 0.1  # share of the interval by which a step may differ
MOST_UNEVEN = 0.05  # share of steps that may differ by more
LONGEST_GAP = 10  # intervals that are filled; at a longer gap the trace is cut


@dataclasses.dataclass(frozen=True)
class EvenTraces:
    """Traces of samples `interval` seconds apart; notes say what was filled, cut or left out."""

    traces: list[Floats]
    interval: float
    notes: list[str]


class Pieces(NamedTuple):
    """What a trace was cut into, and how many reads were put between others."""

    traces: list[Floats]
    filled: int


def even_traces(times: Floats | Sequence[Floats], traces: Sequence[Floats]) -> EvenTraces:
    """EvenTraces of reads.

    A step that is not the usual one counts as the nearest whole number of intervals: the reads that
    are missing are put on the line between their neighbours, and at a gap of more than LONGEST_GAP
    intervals the trace becomes two.

    Parameters
    ----------
    times : one (n,) s for all traces, or one for each;  traces : sequence of (n,)

    Raises
    ------
    ShapeError : times and traces of different lengths
    OutOfRangeError : times that do not rise, more than 5 % uneven steps, a trace that is too short
    """
    steps = [np.diff(axis) for axis in _times_of(times, traces)]
    interval = float(np.median(np.concatenate(steps)))
    uneven = sum(int(_uneven(step, interval).sum()) for step in steps)
    total = _length(steps)
    for step in steps:
        _check_steps(step, interval, uneven / total)
    if not uneven:
        for trace in traces:
            _check_length(trace)
        return EvenTraces(list(traces), interval, [])
    pieces: list[Floats] = []
    filled = 0
    for step, trace in zip(steps, traces, strict=True):
        found = _pieces(trace, np.maximum(np.round(step / interval), 1).astype(int))
        pieces += found.traces
        filled += found.filled
    cut = len(pieces) - len(traces)
    long_enough = [piece for piece in pieces if len(piece) >= SHORTEST]
    if not long_enough:
        _check_length(max(pieces, key=len))
    lost = _length(pieces) - _length(long_enough)
    note = (
        f"{uneven:,} of {total:,} steps are not {engineering(interval, 's')}: {filled:,} missing "
        f"reads put between their neighbours, {cut:,} cuts at longer gaps"
    )
    if lost:
        note += f", {lost:,} reads in pieces of fewer than {SHORTEST} left out"
    return EvenTraces(long_enough, interval, [note])


def _length(vectors: Sequence[Floats]) -> int:
    """Of all together."""
    return sum(len(vector) for vector in vectors)


def _times_of(times: Floats | Sequence[Floats], traces: Sequence[Floats]) -> list[Floats]:
    """One time axis for each trace."""
    if np.ndim(times[0]) == 0:
        axes = [np.asarray(times, dtype=np.float64)]
    else:
        axes = [np.asarray(axis, dtype=np.float64) for axis in times]
    if len(axes) == 1:
        axes = axes * len(traces)
    shapes = [axis.shape for axis in axes]
    wanted = [trace.shape for trace in traces]
    if shapes != wanted:
        raise ShapeError(
            f"time has shapes {shapes}, the traces {wanted}; allowed: the same, or one time for all"
        )
    return axes


def _uneven(step: Floats, interval: float) -> Booleans:
    """(n - 1,) steps that are not the usual one."""
    return ~(abs(step - interval) <= EVEN * abs(interval))


def _check_steps(step: Floats, interval: float, share: float) -> None:
    """OutOfRangeError at the first step that cannot be used."""
    wrong = ~(step > 0)
    if share > MOST_UNEVEN:
        wrong |= _uneven(step, interval)
    if wrong.any():
        k = int(np.argmax(wrong))
        raise OutOfRangeError(
            f"time steps by {step[k]:g} s from sample {k} to {k + 1} where most steps are "
            f"{interval:g} s; allowed: rising times, at most {MOST_UNEVEN:.0%} of the steps off by "
            f"more than {EVEN:.0%} (here {share:.1%}); cut the trace there, or resample it"
        )


def _check_length(trace: Floats) -> None:
    if len(trace) < SHORTEST:
        raise OutOfRangeError(
            f"a trace has {len(trace)} samples; allowed: {SHORTEST} or more for a spectrum; or "
            "leave out the time to fit white noise alone"
        )


def _pieces(trace: Floats, intervals: Integers) -> Pieces:
    """The trace cut at long gaps, shorter ones filled; intervals : (n - 1,) from each read to the
    next."""
    ends = np.flatnonzero(intervals > LONGEST_GAP) + 1
    pieces = []
    filled = 0
    for start, end in itertools.pairwise([0, *ends, len(trace)]):
        piece = _filled(trace[start:end], intervals[start : end - 1])
        filled += len(piece) - (end - start)
        pieces.append(piece)
    return Pieces(pieces, filled)


def _filled(trace: Floats, intervals: Integers) -> Floats:
    """The trace with a sample at every interval; intervals : (n - 1,) from each read to the
    next."""
    at = np.concatenate(([0], np.cumsum(intervals)))
    return np.interp(np.arange(at[-1] + 1), at, trace)
