"""Lists of devices that work or are stuck: a row per device, or counts of many of one size.

A column says it: `status` (works, stuck on, open, ...), or one named for what it answers (`works`,
`stuck`: yes, no, 1, 0). With a column of how many were `tested`, `works` or `stuck` holds counts.
A column `size` may tell kinds of devices apart.
"""

import dataclasses
import enum
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy import stats

from xbarsim.base.errors import ConfigError, OutOfRangeError
from xbarsim.base.given_files import is_file, read_bytes
from xbarsim.calibrate.result import Axis, Curve, FitResult, Line, Parameter
from xbarsim.calibrate.statistics import proportion
from xbarsim.calibrate.tables import FilePath, Table, Wanted, read_tables

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


@dataclasses.dataclass(frozen=True)
class _Cell:
    """What a cell says of a device or of many: where it stands, and in which column."""

    path: str
    line: int
    column: str
    text: str


def is_list(path: FilePath, columns: Mapping[str, str]) -> bool:
    """Whether a file is a list of devices: its column is asked for, or its first line is words."""
    if columns:
        return any(wanted.name in columns for wanted in COLUMNS)
    path = Path(path)
    if not is_file(path) or path.suffix not in (".csv", ".tsv", ".txt", ".gz"):
        return False
    if path.suffix != ".csv":
        return True
    first = next((line for line in read_bytes(path, ConfigError).splitlines() if line.strip()), b"")
    text = first.decode("utf-8-sig", errors="replace")
    cells = re.split("[,;\t]", text)
    return not any(_is_number(cell) for cell in cells)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


# --- rates


def fit_yield(devices: Sequence[Devices], inputs: Sequence[str] = ()) -> FitResult:
    """Rates of stuck devices of a list.

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
    ways = _ways(tested, total)
    of_size = _by_size(tested)
    parameters = [proportion("stuck_rate", _stuck(tested), total), *ways]
    notes = [f"{total:,} devices, {total - _stuck(tested):,} of which work", *_missing(devices)]
    goodness = {}
    if len(of_size) > 1:
        for size, mine in of_size.items():
            parameters.append(proportion(f"stuck_rate of {size}", _stuck(mine), _count(mine)))
        evenness = _evenness(of_size.values())
        goodness["one_rate_for_all_sizes_p"] = evenness
        if evenness < UNEVEN:
            notes.append(
                "the sizes do not have one rate: keep one of them with --where before the rates "
                "are used"
            )
    table = {p.name: p.value for p in ways if p.identified}
    return FitResult(
        kind="faults",
        model="list of devices",
        parameters=tuple(parameters),
        points=total,
        goodness=goodness,
        aic=np.inf,
        notes=tuple(notes),
        inputs=tuple(inputs),
        curves=_curves(of_size),
        device={"stuck": table} if table else {},
    )


def _by_size(devices: Sequence[Devices]) -> dict[str, list[Devices]]:
    """Devices of every size, in the order of sizes."""
    found: dict[str, list[Devices]] = {}
    for entry in devices:
        found.setdefault(entry.size, []).append(entry)
    return dict(sorted(found.items()))


def _count(devices: Sequence[Devices]) -> int:
    return sum(entry.count for entry in devices)


def _count_of(devices: Sequence[Devices], status: Status) -> int:
    return sum(entry.count for entry in devices if entry.status is status)


def _stuck(devices: Sequence[Devices]) -> int:
    return _count(devices) - _count_of(devices, Status.WORKS)


def _ways(devices: Sequence[Devices], total: int) -> list[Parameter]:
    """Parameters on_rate and off_rate."""
    untold = _count_of(devices, Status.STUCK)
    if untold:
        reason = (
            f"the list does not say of {untold:,} stuck devices whether they are stuck on or off"
        )
        return [Parameter.unknown(name, "1", reason) for name in ("on_rate", "off_rate")]
    return [
        proportion("on_rate", _count_of(devices, Status.ON), total),
        proportion("off_rate", _count_of(devices, Status.OFF), total),
    ]


def _missing(devices: Sequence[Devices]) -> list[str]:
    untested = _count_of(devices, Status.UNTESTED)
    if not untested:
        return []
    return [f"{untested:,} devices were not tested and do not count"]


def _evenness(groups: Iterable[Sequence[Devices]]) -> float:
    """p of the chi-squared test that all groups have one rate."""
    counts = np.array([[_stuck(group), _count_of(group, Status.WORKS)] for group in groups])
    if not counts.sum(axis=0).all():
        return 1.0
    return float(stats.chi2_contingency(counts, correction=False).pvalue)


def _curves(of_size: Mapping[str, Sequence[Devices]]) -> dict[str, Curve]:
    shares = np.array([_stuck(group) / _count(group) for group in of_size.values()])
    number = np.arange(1.0, shares.size + 1)
    return {
        "stuck share by size": Curve(
            x=Axis("size, in the order of the table", ""),
            y=Axis("share of stuck devices", ""),
            data={"sizes": Line(number, shares)},
            fit={},
        )
    }


# --- files


def yield_from_files(
    paths: Sequence[FilePath], columns: Mapping[str, str], where: Mapping[str, str]
) -> FitResult:
    """`fit_yield` of files.

    Raises
    ------
    ConfigError : no column says whether a device works, a word that is not known, more devices
        stuck than tested
    """
    tables = read_tables(paths, COLUMNS, columns, where, words=True)
    devices: list[Devices] = []
    for table in tables:
        devices += _devices(table)
    return fit_yield(devices, [table.echo for table in tables])


def _devices(table: Table) -> list[Devices]:
    """Devices of a table."""
    column = _answering_column(table)
    sizes = table["size"].tolist() if "size" in table else [""] * len(table)
    tested = table["tested"].tolist() if "tested" in table else [1.0] * len(table)
    counts_stuck = "tested" in table and column != "status"
    devices = []
    rows = zip(table.lines.tolist(), table[column].tolist(), tested, sizes, strict=True)
    for line, text, number, size in rows:
        cell = _Cell(table.path, line, column, text)
        if counts_stuck:
            devices += _counted(cell, _whole(cell, number), size)
        else:
            devices.append(Devices(_status(cell), _whole(cell, number), size))
    return devices


def _answering_column(table: Table) -> str:
    """The column that says whether a device works."""
    answers = [name for name in ("status", "works", "stuck") if name in table]
    if len(answers) != 1:
        have = " and ".join(answers) if answers else "no column"
        raise ConfigError(
            f"{table.path}: {have} says whether a device works; name one as --column "
            "status=HEADER, --column works=HEADER or --column stuck=HEADER"
        )
    return answers[0]


def _counted(cell: _Cell, tested: int, size: str) -> list[Devices]:
    """Devices of a row of counts: those that work and those that are stuck."""
    try:
        counted = _whole(cell, float(cell.text))
    except ValueError:
        raise ConfigError(
            f"{cell.path}, line {cell.line}: {cell.text!r} is not a number of devices; with a "
            f"column of how many were tested, {cell.column!r} is one"
        ) from None
    if counted > tested:
        raise ConfigError(
            f"{cell.path}, line {cell.line}: {counted} of {tested} tested devices; allowed: at "
            "most as many as tested"
        )
    this = Status.WORKS
    other = Status.STUCK
    if cell.column == "stuck":
        this, other = other, this
    return [Devices(this, counted, size), Devices(other, tested - counted, size)]


def _whole(cell: _Cell, number: float) -> int:
    if number < 0 or number != int(number):
        raise ConfigError(
            f"{cell.path}, line {cell.line}: {number:g} devices; allowed: a whole number, 0 or more"
        )
    return int(number)


def _status(cell: _Cell) -> Status:
    """Status that a cell states."""
    words = " ".join(cell.text.lower().replace("-", " ").replace("_", " ").split())
    for status, known in WORDS.items():
        if words in known:
            return status
    if cell.column != "status" and words in YES + NO:
        works = (words in YES) == (cell.column == "works")
        return Status.WORKS if works else Status.STUCK
    names = ", ".join(repr(status.value) for status in Status)
    raise ConfigError(
        f"{cell.path}, line {cell.line}: {cell.text!r} in the column of {cell.column} is none of "
        f"{names}, or a word for one of these; numbers need a column named for what they answer: "
        "--column works=HEADER or stuck=HEADER"
    )
