"""Tables of a probe station: CSV, TSV and the like, plain or gzipped, with the columns and units that a fit wants.

Columns are found by the words and units of the header, or given: `{"voltage": "V1"}`, `{"current": "I1:uA"}`, a number
for the column of a file without a header.  What was chosen is written down in `Table.echo`.  A file that cannot be read
is refused with the number of the line.
"""
import dataclasses
import gzip
import re
import zlib
from pathlib import Path

import numpy as np

from xbarsim.errors import ConfigError

PREFIXES = {"f": 1e-15, "p": 1e-12, "n": 1e-9, "u": 1e-6, "\u00b5": 1e-6, "\u03bc": 1e-6, "m": 1e-3, "": 1.0,
            "k": 1e3, "M": 1e6, "G": 1e9}
SYMBOLS = {"V": "V", "A": "A", "S": "S", "s": "s", "ohm": "ohm", "Ohm": "ohm", "\u03a9": "ohm", "\u2126": "ohm",
           "Hz": "Hz"}
WORDS = {"volt": ("V", 1.0), "volts": ("V", 1.0), "amp": ("A", 1.0), "amps": ("A", 1.0), "ampere": ("A", 1.0),
         "amperes": ("A", 1.0), "siemens": ("S", 1.0), "ohms": ("ohm", 1.0), "sec": ("s", 1.0), "second": ("s", 1.0),
         "seconds": ("s", 1.0), "min": ("s", 60.0), "minutes": ("s", 60.0), "h": ("s", 3600.0), "hours": ("s", 3600.0)}
OVERFLOW = 9.9e36           # instruments write 9.9e37 where a measurement failed


@dataclasses.dataclass(frozen=True)
class Wanted:
    """A column that a fit asks for.

    name : in the fit's signature;  unit : V, A, S, s, Hz, "1" (a plain number) or "text"
    words : words of headers that mean it, best first;  optional : the fit works without it
    free : the unit may be missing: the numbers are then in arbitrary units (1)
    """

    name: str
    unit: str
    words: tuple
    optional: bool = False
    free: bool = False


@dataclasses.dataclass(frozen=True)
class Table:
    """Columns of one file in SI units, by the name of their `Wanted`; `lines` are the line numbers of the rows."""

    path: str
    columns: dict
    units: dict
    lines: np.ndarray
    echo: str

    def __getitem__(self, name):
        return self.columns[name]

    def __contains__(self, name):
        return name in self.columns

    def __len__(self):
        return len(self.lines)

    def require(self, rows, purpose):
        """ConfigError unless there are so many rows."""
        if len(self) < rows:
            where = f" (line {self.lines[0]})" if len(self) == 1 else ""
            raise ConfigError(f"{self.path}: {len(self)} row{'s' * (len(self) != 1)} of data{where}; {purpose} needs at "
                              f"least {rows}")


def unit_scale(text, unit):
    """(factor, inverted) that brings numbers in unit `text` to SI unit `unit`, or None where it is of another quantity.

    A resistance is accepted for a conductance: inverted.
    """
    text = text.strip()
    if unit == "1":
        return {"": (1.0, False), "1": (1.0, False), "%": (0.01, False)}.get(text)
    if text.lower() in WORDS and text not in PREFIXES:
        symbol, scale = WORDS[text.lower()]
    else:
        match = re.fullmatch(f"([{''.join(PREFIXES)}]?)({'|'.join(SYMBOLS)})", text)
        if match is None:
            return None
        symbol, scale = SYMBOLS[match[2]], PREFIXES[match[1]]
    if symbol == unit:
        return scale, False
    return (scale, True) if (symbol, unit) == ("ohm", "S") else None


def _is_unit(text):
    return any(unit_scale(text, unit) is not None for unit in ("V", "A", "S", "s", "Hz"))


def split_header(header):
    """("i", "uA") of "i_uA", "i (uA)", "i [uA]", "i/uA" or "i uA"; the unit is "" where there is none."""
    match = re.fullmatch(r"(.*?)\s*[(\[]([^)\]]*)[)\]]\s*", header)
    if match:
        return match[1].strip(), match[2].strip()
    match = re.fullmatch(r"(.+?)\s*[_/\s]\s*([^_/\s]+)", header.strip())
    if match and _is_unit(match[2]):
        return match[1].strip(), match[2]
    return header.strip(), ""


def read_tables(paths, wanted, given=None, where=None):
    """`read_table` of every path."""
    return [read_table(path, wanted, given, where) for path in paths]


def read_table(path, wanted, given=None, where=None):
    """The wanted columns of a file.

    Parameters
    ----------
    wanted : sequence of Wanted
    given : {name of a Wanted: header, number of a column, or either with ":unit"}, over what would be guessed
    where : {header or number of a column: value, or "low..high"}: rows to keep, in the numbers or words of the file

    Raises
    ------
    ConfigError : no file, binary, empty, a column missing or ambiguous, no unit, mixed units, not a number
    """
    path, given, where = Path(path), dict(given or {}), dict(where or {})
    header, rows, lines = _rows(path)
    names = [w.name for w in wanted]
    for name in given:
        if name not in names:
            raise ConfigError(f"column {name!r} is not one of this kind of calibration: {', '.join(names)}")
    keep = np.ones(len(rows), bool)
    for key, condition in where.items():
        keep &= _condition(path, [row[_position(path, header, key, len(rows[0]))] for row in rows], key, condition)
    if not keep.any():
        raise ConfigError(f"{path}: no row fulfils {', '.join(f'{k}={v}' for k, v in where.items())}")
    rows, lines = [row for row, kept in zip(rows, keep, strict=True) if kept], lines[keep]
    columns, units, echo = {}, {}, []
    chosen = _choose(path, header, wanted, given, len(rows[0]))
    for w in wanted:
        if w.name not in chosen:
            continue
        index, unit, how = chosen[w.name]
        cells = [row[index].strip() for row in rows]
        label = repr(header[index]) if header else f"column {index + 1}"
        if w.unit == "text":
            columns[w.name], units[w.name] = np.array(cells), ""
            echo.append(f"{w.name} from {label} ({how})")
            continue
        values, unit = _numbers(path, cells, lines, label, w, unit)
        factor, inverted = (1.0, False) if unit is None else unit_scale(unit, w.unit)
        if inverted and (values == 0).any():
            raise ConfigError(f"{path}, line {lines[np.argmax(values == 0)]}: a resistance of 0 {unit} in {label} has no "
                              "conductance; remove the row")
        columns[w.name] = factor * values if not inverted else 1 / (factor * values)
        units[w.name] = "1" if unit is None else w.unit
        shown = "arbitrary units" if unit is None else unit or "plain numbers"
        echo.append(f"{w.name} from {label} in {shown} ({how})")
    selected = f", where {', '.join(f'{k} = {v}' for k, v in where.items())}" if where else ""
    return Table(str(path), columns, units, lines, f"{path.name}: {', '.join(echo)}; {len(rows):,} rows{selected}")


def _rows(path):
    """(header or None, rows of cells, their line numbers)."""
    try:
        raw = path.read_bytes()
        if raw[:2] == b"\x1f\x8b":
            raw = gzip.decompress(raw)
    except (OSError, EOFError, zlib.error) as error:
        raise ConfigError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if b"\0" in raw:
        number = raw[:raw.index(b"\0")].count(b"\n") + 1
        raise ConfigError(f"{path}, line {number}: binary data; export the measurement as CSV or TSV")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")                                # many instruments write µ so
        bad = re.search(r"[\x00-\x08\x0e-\x1f\x7f-\x9f]", text)
        if bad:
            number = text[:bad.start()].count("\n") + 1
            raise ConfigError(f"{path}, line {number}: binary data; export the measurement as CSV or TSV") from None
    numbered = [(number, line) for number, line in enumerate(text.splitlines(), 1)
                if line.strip() and not line.lstrip().startswith("#")]
    if not numbered:
        raise ConfigError(f"{path}, line 1: the file is empty" + (" but for comments" if text.strip() else ""))
    delimiter = next((d for d in "\t;," if d in numbered[0][1]), None)
    cells = [(number, [cell.strip().strip('"') for cell in line.split(delimiter)]) for number, line in numbered]
    header = None
    if not any(_parse(cell) is not None for cell in cells[0][1]):
        header, cells = cells[0][1], cells[1:]
        if not cells:
            raise ConfigError(f"{path}, line {numbered[0][0]}: a header and no data")
        doubled = {name for name in header if name and header.count(name) > 1}
        if doubled:
            raise ConfigError(f"{path}, line {numbered[0][0]}: column {sorted(doubled)[0]!r} appears more "
                              "than once; rename one")
    width = len(header or cells[0][1])
    for number, row in cells:
        if len(row) != width:
            raise ConfigError(f"{path}, line {number}: {len(row)} cells where the lines before have {width}"
                              + ("; decimal commas? write decimal points" if delimiter == "," and len(row) > width else ""))
    return header, [row for _, row in cells], np.array([number for number, _ in cells])


def _parse(cell):
    """(number, unit text) of "1e-6" or "1.5 uA"; None where it is no number."""
    match = re.fullmatch(r"([+-]?(?:\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?|nan|inf))\s*(\S*)", cell.strip(), re.I)
    if match is None or (match[2] and not _is_unit(match[2]) and match[2] != "%"):
        return None
    return float(match[1]), match[2]


def _numbers(path, cells, lines, label, wanted, unit):
    """(values, unit) of a column; the unit is None for arbitrary units.  `unit` is what the header or the user said."""
    found = {unit: lines[0]}                                        # unit -> first line with it
    try:
        values = np.array(cells, dtype=float)
    except ValueError:
        values, found = np.empty(len(cells)), {}
        for k, cell in enumerate(cells):
            parsed = _parse(cell)
            if parsed is None:
                what = f"{cell[:40]!r} is not a number" if cell else "an empty cell"
                raise ConfigError(f"{path}, line {lines[k]}: {what} in {label} (wanted: {wanted.name}); correct or remove "
                                  "the row") from None
            values[k] = parsed[0]
            found.setdefault(parsed[1] or unit, lines[k])
    bad = np.flatnonzero(~np.isfinite(values) | (abs(values) > OVERFLOW))
    if bad.size:
        more = f" and {bad.size - 1} more rows" if bad.size > 1 else ""
        raise ConfigError(f"{path}, line {lines[bad[0]]}{more}: {cells[bad[0]]!r} in {label} is not a measurement (wanted: "
                          f"{wanted.name}); remove the row{'s' if more else ''}")
    first = unit or next(iter(found))
    for other, line in found.items():
        if other != first:
            raise ConfigError(f"{path}, line {line}: mixed units in {label}: {other or 'none'!r} where "
                              f"{'the header' if unit else 'a line before'} says {first or 'none'!r}; write one unit")
    unit = first
    if not unit and wanted.free:
        return values, None
    if unit_scale(unit, wanted.unit) is None:
        problem = f"unit {unit!r} of {label} is not one of" if unit else f"{label} has no unit of"
        raise ConfigError(f"{path}, line {lines[0]}: {problem} {wanted.name} ({wanted.unit}); say it in the header, such as "
                          f"'{wanted.name} ({wanted.unit})', or as --column {wanted.name}=NAME:{wanted.unit}")
    return values, unit


def _position(path, header, key, width):
    """Index of a column by its header, or its number counted from 1."""
    if header and key in header:
        return header.index(key)
    if key.isdigit() and 1 <= int(key) <= width:
        return int(key) - 1
    names = ", ".join(map(repr, header)) if header else f"numbers 1 to {width} (the file has no header)"
    raise ConfigError(f"{path}: no column {key!r}; columns are {names}")


def _condition(path, cells, key, condition):
    """Which cells equal a value, or lie in "low..high"."""
    low, dots, high = str(condition).partition("..")
    if not dots:
        number = _parse(low)
        return np.array([cell.strip() == low or number is not None and _parse(cell) == number for cell in cells])
    try:
        low, high = float(low or "-inf"), float(high or "inf")
        values = np.array(cells, dtype=float)
    except ValueError:
        raise ConfigError(f"{path}: the rows where {key} = {condition} are asked for, but one of these is not a "
                          "number") from None
    return (values >= low) & (values <= high)


def _choose(path, header, wanted, given, width):
    """{name: (index, unit text, "given" or "guessed")} of the columns."""
    chosen, taken = {}, set()
    for w in wanted:
        if w.name in given:
            key, _, unit = str(given[w.name]).rpartition(":") if ":" in str(given[w.name]) else (str(given[w.name]), "", "")
            if header and str(given[w.name]) in header:               # a header with a colon in it
                key, unit = str(given[w.name]), ""
            index = _position(path, header, key, width)
            if unit and w.unit != "text" and unit_scale(unit, w.unit) is None and not (w.free and unit == "1"):
                raise ConfigError(f"unit {unit!r} given for column {w.name!r} is not one of {w.unit}")
            unit = "" if unit == "1" else unit
            chosen[w.name] = (index, unit or (split_header(header[index])[1] if header and ":" not in str(given[w.name])
                                              else ""), "given")
            taken.add(index)
    for w in wanted:
        if w.name in chosen:
            continue
        index = _guess(path, header, w, taken) if header else None
        if index is not None:
            chosen[w.name] = (index, split_header(header[index])[1], "guessed")
            taken.add(index)
        elif not w.optional:
            have = (f"the header (line 1) has {', '.join(map(repr, header))}" if header
                    else f"the file has {width} columns and no header")
            raise ConfigError(f"{path}: no column for {w.name} ({w.unit}): {have}; name it as --column {w.name}="
                              f"{'HEADER' if header else 'NUMBER:UNIT'}")
    return chosen


def _guess(path, header, wanted, taken):
    """Index of the column whose header means `wanted`, None if there is none.

    A word of the header counts, the whole name more than one of its parts; then a unit that nothing else has.
    """
    ranked = []
    for index, text in enumerate(header):
        name, unit = split_header(text)
        if index in taken or unit and wanted.unit not in ("text", "1") and unit_scale(unit, wanted.unit) is None:
            continue
        name, parts = name.lower(), set(re.split(r"[^a-z0-9]+", name.lower()))
        for rank, word in enumerate(wanted.words):
            if name == word or word in parts:
                ranked.append((name != word, rank, index))
                break
    if ranked:
        best = min(ranked)[:2]
        same = [index for *key, index in ranked if tuple(key) == best]
        if len(same) > 1:
            raise ConfigError(f"{path}: {' and '.join(repr(header[i]) for i in same)} could both be {wanted.name}; choose "
                              f"with --column {wanted.name}=HEADER")
        return same[0]
    if wanted.optional or wanted.unit in ("text", "1"):
        return None
    fitting = [index for index, text in enumerate(header) if index not in taken and split_header(text)[1]
               and unit_scale(split_header(text)[1], wanted.unit) is not None]
    return fitting[0] if len(fitting) == 1 else None
