"""Lists of devices that work or are stuck: a row per device, or counts of many of one size.

A column says it: `status` (works, stuck on, open, ...), or one named for what it answers (`works`,
`stuck`: yes, no, 1, 0). With a column of how many were `tested`, `works` or `stuck` holds counts.
A column `size` may tell kinds of devices apart.
"""

import dataclasses
import enum
from pathlib import Path

import numpy as np
from scipy import stats

from xbarsim.base.errors import ConfigError, OutOfRangeError
from xbarsim.calibrate.result import Curve, FitResult, Parameter
from xbarsim.calibrate.statistics import proportion
from xbarsim.calibrate.tables import Wanted, read_tables

COLUMNS = (
    Wanted("tested", "1", ("tested", "total", "devices", "count"), optional=True),
    Wanted(
        "status",
        "text",
        ("status", "state", "result", "condition", "verdict"),
        optional=True,
        blank=True,
    ),
    Wanted(
        "works",
        "text",
        ("works", "working", "ok", "good", "functional", "pass", "passed", "alive"),
        optional=True,
        blank=True,
    ),
    Wanted(
        "stuck",
        "text",
        ("stuck", "failed", "fail", "faulty", "dead", "bad", "broken"),
        optional=True,
        blank=True,
    ),
    Wanted(
        "size", "text", ("size", "dimension", "diameter", "width", "area", "kind"), optional=True
    ),
)
UNEVEN = 1e-3  # of the test that all sizes have one rate


class Status(enum.Enum):
    """What became of a device."""

    WORKS = "works"
    ON = "stuck on"
    OFF = "stuck off"
    STUCK = "stuck"
    UNTESTED = "not tested"


WORDS = {
    Status.WORKS: (
        "works",
        "working",
        "work",
        "ok",
        "good",
        "pass",
        "passed",
        "functional",
        "alive",
        "healthy",
        "switches",
    ),
    Status.ON: (
        "stuck on",
        "on",
        "short",
        "shorted",
        "closed",
        "stuck at 1",
        "sa1",
        "lrs",
        "stuck lrs",
        "stuck in lrs",
    ),
    Status.OFF: (
        "stuck off",
        "off",
        "open",
        "stuck at 0",
        "sa0",
        "hrs",
        "stuck hrs",
        "stuck in hrs",
    ),
    Status.STUCK: ("stuck", "fail", "failed", "faulty", "dead", "bad", "broken", "defective"),
    Status.UNTESTED: (
        "",
        "nan",
        "na",
        "n/a",
        "none",
        "missing",
        "not tested",
        "untested",
        "skipped",
    ),
}
YES = ("1", "yes", "y", "true", "t")
NO = ("0", "no", "n", "false", "f")


@dataclasses.dataclass(frozen=True)
class Devices:
    """So many devices of one size with one status."""

    status: Status
    count: int
    size: str


def is_list(path, columns):
    """Whether a file is a list of devices: its column is asked for, or its first line is words."""
    if columns:
        return any(wanted.name in columns for wanted in COLUMNS)
    path = Path(path)
    if not path.is_file() or path.suffix not in (".csv", ".tsv", ".txt", ".gz"):
        return False
    if path.suffix != ".csv":
        return True
    first = next((line for line in path.read_bytes().splitlines() if line.strip()), b"")
    cells = (
        first.decode("utf-8-sig", errors="replace").replace(";", ",").replace("\t", ",").split(",")
    )
    return not any(_is_number(cell) for cell in cells)


def _is_number(text):
    try:
        float(text)
    except ValueError:
        return False
    return True


def read_yield(paths, columns, where):
    """(list of Devices, what was read) of files.

    Raises
    ------
    ConfigError : no column says whether a device works, a word that is not known, more devices
        stuck than tested
    """
    tables = read_tables(paths, COLUMNS, columns, where, words=True)
    devices = [entry for table in tables for entry in _devices(table)]
    return devices, tuple(table.echo for table in tables)


def fit_yield(devices, inputs=()):
    """Rates of stuck devices of a list of Devices.

    A list that does not say whether a device is stuck on or off has a `stuck_rate`, and no table of
    a device file.

    Returns
    -------
    FitResult : stuck_rate, on_rate, off_rate; of several sizes also stuck_rate of each

    Raises
    ------
    OutOfRangeError : no device was tested
    """
    tested = [entry for entry in devices if entry.status is not Status.UNTESTED]
    total = _count(tested)
    if total == 0:
        raise OutOfRangeError(
            "no device of the list was tested; allowed: at least one that works or is stuck"
        )
    parameters = [proportion("stuck_rate", _stuck(tested), total), *_ways(tested, total)]
    sizes = sorted({entry.size for entry in tested})
    of_size = {size: [entry for entry in tested if entry.size == size] for size in sizes}
    notes = [f"{total:,} devices, {total - _stuck(tested):,} of which work", *_missing(devices)]
    goodness = {}
    if len(sizes) > 1:
        parameters += [
            proportion(f"stuck_rate of {size}", _stuck(of_size[size]), _count(of_size[size]))
            for size in sizes
        ]
        goodness["one_rate_for_all_sizes_p"] = _evenness(list(of_size.values()))
        if goodness["one_rate_for_all_sizes_p"] < UNEVEN:
            notes.append(
                "the sizes do not have one rate: keep one of them with --where before the rates "
                "are used"
            )
    table = {
        p.name: p.value for p in parameters if p.identified and p.name in ("on_rate", "off_rate")
    }
    return FitResult(
        "faults",
        "list of devices",
        tuple(parameters),
        total,
        goodness,
        np.inf,
        notes=tuple(notes),
        inputs=inputs,
        curves=_curves(of_size),
        device={"stuck": table} if table else {},
    )


def _devices(table):
    """Devices of a table."""
    answers = [name for name in ("status", "works", "stuck") if name in table]
    if len(answers) != 1:
        have = " and ".join(answers) if answers else "no column"
        raise ConfigError(
            f"{table.path}: {have} says whether a device works; name one as --column "
            "status=HEADER, --column works=HEADER or --column stuck=HEADER"
        )
    answer = answers[0]
    sizes = table["size"] if "size" in table else [""] * len(table)
    rows = zip(table[answer].tolist(), sizes, table.lines, strict=True)
    if "tested" not in table or answer == "status":
        counts = table["tested"] if "tested" in table else np.ones(len(table))
        return [
            Devices(_status(table.path, line, answer, text), _whole(table.path, line, count), size)
            for (text, size, line), count in zip(rows, counts, strict=True)
        ]
    devices = []
    for (text, size, line), tested in zip(rows, table["tested"], strict=True):
        devices += _counted(table.path, line, text, _whole(table.path, line, tested), size, answer)
    return devices


def _counted(path, line, text, tested, size, answer):
    """Devices of a row of counts: those that work and those that are stuck."""
    try:
        counted = _whole(path, line, float(text))
    except ValueError:
        raise ConfigError(
            f"{path}, line {line}: {text!r} is not a number of devices; with a column of how many "
            f"were tested, {answer!r} is one"
        ) from None
    if counted > tested:
        raise ConfigError(
            f"{path}, line {line}: {counted} of {tested} tested devices; allowed: at most as many "
            "as tested"
        )
    this, other = Status.WORKS, Status.STUCK
    if answer == "stuck":
        this, other = other, this
    return [Devices(this, counted, size), Devices(other, tested - counted, size)]


def _whole(path, line, number):
    if number < 0 or number != int(number):
        raise ConfigError(
            f"{path}, line {line}: {number:g} devices; allowed: a whole number, 0 or more"
        )
    return int(number)


def _status(path, line, answer, text):
    """Status that a cell of a column states."""
    words = " ".join(text.lower().replace("-", " ").replace("_", " ").split())
    for status, known in WORDS.items():
        if words in known:
            return status
    if answer != "status" and words in YES + NO:
        return Status.WORKS if (words in YES) == (answer == "works") else Status.STUCK
    known = ", ".join(f"{status.value!r}" for status in Status)
    raise ConfigError(
        f"{path}, line {line}: {text!r} in the column of {answer} is none of {known}, or a word "
        "for one of these; numbers need a column named for what they answer: --column works=HEADER "
        "or stuck=HEADER"
    )


def _count(devices):
    return sum(entry.count for entry in devices)


def _stuck(devices):
    return _count([entry for entry in devices if entry.status is not Status.WORKS])


def _ways(devices, total):
    """Parameters on_rate and off_rate."""
    untold = _count([entry for entry in devices if entry.status is Status.STUCK])
    if untold:
        reason = (
            f"the list does not say of {untold:,} stuck devices whether they are stuck on or off"
        )
        return [Parameter.unknown(name, "1", reason) for name in ("on_rate", "off_rate")]
    ways = {"on_rate": Status.ON, "off_rate": Status.OFF}
    return [
        proportion(name, _count([entry for entry in devices if entry.status is way]), total)
        for name, way in ways.items()
    ]


def _missing(devices):
    untested = _count([entry for entry in devices if entry.status is Status.UNTESTED])
    return [f"{untested:,} devices were not tested and do not count"] if untested else []


def _evenness(groups):
    """p of the chi-squared test that all groups of Devices have one rate."""
    counts = np.array([[_stuck(group), _count(group) - _stuck(group)] for group in groups])
    if not counts.sum(axis=0).all():
        return 1.0
    return float(stats.chi2_contingency(counts, correction=False).pvalue)


def _curves(of_size):
    shares = np.array([_stuck(group) / _count(group) for group in of_size.values()])
    return {
        "stuck share by size": Curve(
            ("size, in the order of the table", ""),
            ("share of stuck devices", ""),
            {"sizes": (np.arange(1.0, shares.size + 1), shares)},
            {},
        )
    }
