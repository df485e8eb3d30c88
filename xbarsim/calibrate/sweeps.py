"""Recordings of voltage and current cut into branches: signs, compliance, sets and resets.

A recording is what one sweep, or several in a row, left in the order of measurement.  A branch is a
part of it in which the magnitude of the voltage rises, or falls.
"""

import dataclasses
from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

import numpy as np

from xbarsim.base.array_types import Floats
from xbarsim.base.errors import OutOfRangeError

LEAST = 8  # points of a branch
LEAST_FLAT = 3  # points of a compliance
FLAT = 0.995  # of the largest current, from which on points may be at the compliance
SAME_VOLTAGE = 0.05  # of the largest voltage, within which points tell no compliance
SWITCHED = 1.3  # ratio of return and rise above which a sweep set the cell
MOST = 0.9  # share of the points that tells which way a current flows


class Kind(StrEnum):
    """What a sweep does to the cell; a read leaves it as it is."""

    SET = "set"
    RESET = "reset"
    READ = "read"


@dataclasses.dataclass(frozen=True)
class Branch:
    """Part of a sweep in which the magnitude of the voltage rises, or falls (`returns`).

    voltage, current : (n,) V and A;  compliance : A, None where none was met
    """

    voltage: Floats
    current: Floats
    returns: bool
    kind: Kind = Kind.READ
    compliance: float | None = None

    @property
    def positive(self) -> bool:
        """Whether its voltages are above 0 V."""
        return bool(self.voltage.mean() > 0)

    @property
    def name(self) -> str:
        return f"{self.kind} {'return' if self.returns else 'rise'}"


class Signed(NamedTuple):
    """Current (n,) A with the sign of the voltage, and what was changed, None where nothing was."""

    current: Floats
    remark: str | None


class Part(NamedTuple):
    """Points `start` to `end` (not included) of a recording; `returns` : the voltage falls."""

    start: int
    end: int
    returns: bool


class Held(NamedTuple):
    """Branches in which the cell holds one state, and what they are."""

    branches: Sequence[Branch]
    name: str


def with_sign(voltage: Floats, current: Floats) -> Signed:
    """The current with the sign of the voltage.

    Instruments store the magnitude of a current, or measure it at the electrode that it leaves.
    Either would be a conductance below 0 S.

    Raises
    ------
    OutOfRangeError : below 0 A at either polarity
    """
    below = _flow(voltage, current, side=-1)
    above = _flow(voltage, current, side=1)
    if above < 0 < below:
        raise OutOfRangeError(
            "the current is below 0 A at either polarity of the voltage, so that its sign is lost; "
            "give the current with the sign of the voltage"
        )
    if above < 0:
        remark = "the current flowed against the voltage (the other electrode's): turned"
        return Signed(-current, remark)
    if below < 0 and not (voltage > 0).any():
        remark = "the current had no sign, or the other electrode's: taken from the voltage"
        return Signed(-current, remark)
    if below < 0:
        remark = "the current at negative voltages was a magnitude: its sign is the voltage's"
        return Signed(np.where(voltage < 0, -abs(current), current), remark)
    return Signed(current, None)


def _flow(voltage: Floats, current: Floats, side: int) -> int:
    """1 where the current flows with the voltage of one side (1 or -1), -1 against it, 0 where that
    is open.

    An instrument's offset may exceed the current; against the voltage it also falls as that rises.
    """
    mine = voltage * side > 0
    if not mine.any():
        return 0
    strong = mine & (abs(voltage) >= abs(voltage[mine]).max() / 2)
    product = voltage[strong] * current[strong]
    v = voltage[mine]
    i = current[mine]
    falls = ((v - v.mean()) * (i - i.mean())).sum() < 0
    if (product > 0).mean() >= MOST:
        return 1
    if falls and (product < 0).mean() >= MOST:
        return -1
    return 0


def branches(voltage: Floats, current: Floats) -> list[Branch]:
    """Branches of a recording, points at the current compliance left out.

    A compliance is a run of three or more points within 0.5 % of the largest current over different
    voltages.  Two branches of one polarity, rise and return, tell a set (the return conducts 1.3
    times more) from a reset.
    """
    found = []
    for start, end, returns in _monotonic(voltage):
        branch = _branch(voltage[start:end], current[start:end], returns)
        if len(branch.voltage) >= LEAST:
            found.append(branch)
    for k in range(len(found) - 1):
        rise = found[k]
        back = found[k + 1]
        if not rise.returns and back.returns and rise.positive == back.positive:
            kind = _kind(rise, back)
            found[k] = dataclasses.replace(rise, kind=kind)
            found[k + 1] = dataclasses.replace(back, kind=kind)
    return found


def _monotonic(voltage: Floats) -> list[Part]:
    """Parts of one polarity in which the magnitude only rises or falls.

    A turning voltage that is measured again belongs to the return.
    """
    parts = []
    start = 0
    side = 0  # sign of the voltages of this part, 0 until it is known
    way = 0  # whether the magnitude rises (1) or falls (-1), 0 until it is known
    magnitude = abs(voltage)
    for k in range(1, len(voltage)):
        here = int(np.sign(voltage[k]))
        step = int(np.sign(magnitude[k] - magnitude[k - 1]))
        if side == 0:
            side = int(np.sign(voltage[k - 1]))
        crosses = here * side < 0
        turns = step * way < 0
        if crosses or turns:
            part = _part(voltage, start, k, way)
            parts.append(part)
            start = part.end
            side = 0
            way = 0
        if step != 0:
            way = step
    return [*parts, _part(voltage, start, len(voltage), way)]


def _part(voltage: Floats, start: int, end: int, way: int) -> Part:
    """way : 1 for a rise, whose turning voltage perhaps stands at the end more than once."""
    if way > 0:
        while end > start + 1 and voltage[end - 1] == voltage[end - 2]:
            end -= 1
    return Part(start, end, way < 0)


def _branch(voltage: Floats, current: Floats, returns: bool) -> Branch:
    """Branch without the points at the compliance."""
    top = abs(current).max()
    flat = abs(current) >= FLAT * top
    spread = np.ptp(abs(voltage[flat])) > SAME_VOLTAGE * abs(voltage).max()
    if flat.sum() >= LEAST_FLAT and spread and top > 0:
        return Branch(voltage[~flat], current[~flat], returns, compliance=top)
    return Branch(voltage, current, returns)


def _kind(rise: Branch, back: Branch) -> Kind:
    half = abs(back.voltage).max() / 2
    ratio = _slope(back, half) / _slope(rise, half)
    if ratio > SWITCHED:
        return Kind.SET
    if ratio < 1 / SWITCHED:
        return Kind.RESET
    return Kind.READ


def _slope(branch: Branch, limit: float) -> float:
    """Slope in S of the points up to a voltage, without the instrument's offset where they tell
    it."""
    low = abs(branch.voltage) <= limit
    v = branch.voltage[low]
    i = branch.current[low]
    if len(v) >= 3 and np.ptp(v) > 0:
        centred = v - v.mean()
        slope = float((centred * i).sum() / (centred * centred).sum())
        if slope > 0:
            return slope
    square = max(float((v * v).sum()), 1e-300)
    return max(float((v * i).sum() / square), 1e-300)


def summary(found: Sequence[Branch]) -> str:
    """How many branches of which kind, and the compliances that were met."""
    names = [branch.name for branch in found]
    counted = ", ".join(f"{names.count(name)} {name}" for name in dict.fromkeys(names))
    compliances = [branch.compliance for branch in found if branch.compliance is not None]
    limits = sorted({f"{compliance * 1e6:.4g}" for compliance in compliances}, key=float)
    met = "no compliance met"
    if limits:
        met = f"compliance at {', '.join(limits)} µA"
    plural = "es" if len(found) > 1 else ""
    return f"{len(found)} branch{plural}: {counted}; {met}"


def held(found: Sequence[Branch]) -> Held:
    """The returns of resets, else of sets, else all."""
    for kind in (Kind.RESET, Kind.SET):
        returns = [branch for branch in found if branch.kind == kind and branch.returns]
        if returns:
            return Held(returns, f"the return of the {kind}{_count(returns)}")
    return Held(found, f"every branch{_count(found)}")


def _count(found: Sequence[Branch]) -> str:
    """ " (3)" of three branches, nothing of one."""
    if len(found) > 1:
        return f" ({len(found)})"
    return ""
