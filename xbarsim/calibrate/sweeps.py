"""Recordings of voltage and current cut into branches: signs, compliance, sets and resets.

A recording is what one sweep, or several in a row, left in the order of measurement.  A branch is a
part of it in which the magnitude of the voltage rises, or falls.
"""

import dataclasses

import numpy as np

from xbarsim.base.errors import OutOfRangeError

LEAST = 8  # points of a branch
SWITCHED = 1.3  # ratio of return and rise above which a sweep set the cell
MOST = 0.9  # share of the points that tells which way a current flows


@dataclasses.dataclass(frozen=True)
class Branch:
    """Part of a sweep in which the magnitude of the voltage rises, or falls (`returns`).

    kind : "set", "reset" or "read" (the cell stays as it is);  compliance : A, None where none was
    met
    """

    voltage: np.ndarray
    current: np.ndarray
    returns: bool
    kind: str = "read"
    compliance: float | None = None

    @property
    def positive(self):
        """Whether its voltages are above 0 V."""
        return self.voltage.mean() > 0


def with_sign(voltage, current):
    """(current with the sign of the voltage, remark or None).

    Instruments store the magnitude of a current, or measure it at the electrode that it leaves.
    Either would be a conductance below 0 S.

    Raises
    ------
    OutOfRangeError : below 0 A at either polarity
    """
    below, above = _flow(voltage, current, -1), _flow(voltage, current, 1)
    if above < 0 < below:
        raise OutOfRangeError(
            "the current is below 0 A at either polarity of the voltage, so that its sign is lost; "
            "give the current with the sign of the voltage"
        )
    if above < 0:
        return -current, "the current flowed against the voltage (the other electrode's): turned"
    if below < 0 and not (voltage > 0).any():
        return -current, "the current had no sign, or the other electrode's: taken from the voltage"
    if below < 0:
        signed = np.where(voltage < 0, -abs(current), current)
        return signed, "the current at negative voltages was a magnitude: its sign is the voltage's"
    return current, None


def _flow(voltage, current, side):
    """1 where the current flows with the voltage of one side (1 or -1), -1 against it, 0 where that
    is open.

    An instrument's offset may exceed the current; against the voltage it also falls as that rises.
    """
    mine = voltage * side > 0
    if not mine.any():
        return 0
    strong = mine & (abs(voltage) >= abs(voltage[mine]).max() / 2)
    product = voltage[strong] * current[strong]
    v, i = voltage[mine], current[mine]
    falls = ((v - v.mean()) * (i - i.mean())).sum() < 0
    if (product > 0).mean() >= MOST:
        return 1
    return -1 if falls and (product < 0).mean() >= MOST else 0


def branches(voltage, current):
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
        rise, back = found[k], found[k + 1]
        if not rise.returns and back.returns and rise.positive == back.positive:
            kind = _kind(rise, back)
            found[k] = dataclasses.replace(rise, kind=kind)
            found[k + 1] = dataclasses.replace(back, kind=kind)
    return found


def _monotonic(voltage):
    """(start, end, returns) of the parts of one polarity in which the magnitude only rises or
    falls.

    A turning voltage that is measured again belongs to the return.
    """
    parts, start, side, way = [], 0, 0, 0
    magnitude = abs(voltage)
    for k in range(1, len(voltage)):
        here, step = np.sign(voltage[k]), np.sign(magnitude[k] - magnitude[k - 1])
        side = side or np.sign(voltage[k - 1])
        crosses = here and side and here != side
        turns = step and way and step != way
        if crosses or turns:
            end = _before_turning(voltage, start, k) if way > 0 else k
            parts.append((start, end, way < 0))
            start, side, way = end, 0, 0
        way = step or way
    end = _before_turning(voltage, start, len(voltage)) if way > 0 else len(voltage)
    return [*parts, (start, end, way < 0)]


def _before_turning(voltage, start, end):
    while end > start + 1 and voltage[end - 1] == voltage[end - 2]:
        end -= 1
    return end


def _branch(voltage, current, returns):
    top = abs(current).max()
    flat = abs(current) >= 0.995 * top
    spread = np.ptp(abs(voltage[flat])) > 0.05 * abs(voltage).max()
    if flat.sum() >= 3 and spread and top > 0:
        return Branch(voltage[~flat], current[~flat], returns, compliance=top)
    return Branch(voltage, current, returns)


def _kind(rise, back):
    half = abs(back.voltage).max() / 2
    ratio = _slope(back, half) / _slope(rise, half)
    if ratio > SWITCHED:
        return "set"
    return "reset" if ratio < 1 / SWITCHED else "read"


def _slope(branch, limit):
    """Slope in S of the points up to a voltage, without the instrument's offset where they tell
    it."""
    low = abs(branch.voltage) <= limit
    v, i = branch.voltage[low], branch.current[low]
    if len(v) >= 3 and np.ptp(v) > 0:
        centred = v - v.mean()
        slope = (centred * i).sum() / (centred * centred).sum()
        if slope > 0:
            return slope
    return max((v * i).sum() / max((v * v).sum(), 1e-300), 1e-300)


def summary(found):
    """How many branches of which kind, and the compliances that were met."""
    names = [f"{b.kind} {'return' if b.returns else 'rise'}" for b in found]
    counted = ", ".join(f"{names.count(name)} {name}" for name in dict.fromkeys(names))
    limits = sorted(
        {f"{b.compliance * 1e6:.4g}" for b in found if b.compliance is not None}, key=float
    )
    met = f"compliance at {', '.join(limits)} µA" if limits else "no compliance met"
    return f"{len(found)} branch{'es' * (len(found) > 1)}: {counted}; {met}"


def held(found):
    """(branches in which the cell holds one state, what they are): the returns of resets, else of
    sets, else all."""
    for kind in ("reset", "set"):
        returns = [b for b in found if b.kind == kind and b.returns]
        if returns:
            count = f" ({len(returns)})" if len(returns) > 1 else ""
            return returns, f"the return of the {kind}{count}"
    count = f" ({len(found)})" if len(found) > 1 else ""
    return found, f"every branch{count}"
