"""Measurements: `xbarsim calibrate KIND FILE`."""

import gzip
import io
import zipfile

from bad_input.attack import Attack, of_kinds, of_text

PROGRAMMING = ["calibrate", "programming", "FILE"]


def bomb():
    """A gzip file that unpacks to 300 MB."""
    packed = io.BytesIO()
    with gzip.open(packed, "wb", compresslevel=9) as file:
        for _ in range(300):
            file.write(bytes(1_000_000))
    return packed.getvalue()


def workbook():
    """A workbook that unpacks to 100 MB."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(10):
            archive.writestr(f"xl/worksheets/sheet{number}.xml", bytes(10_000_000))
    return packed.getvalue()


TEXTS = {
    "empty": ("", "empty|no data"),
    "binary": (bytes(range(256)) * 4, "w.csv"),
    "words": ("a b c\nd e f\n", "w.csv"),
    "a header alone": ("target (uS),achieved (uS)\n", "w.csv"),
    "one row": ("target (uS),achieved (uS)\n1,1.1\n", "needs at least"),
    "NaN": ("target (uS),achieved (uS)\n" + "1,nan\n" * 9, "nan"),
    "infinity": ("target (uS),achieved (uS)\n" + "1,inf\n" * 9, "inf"),
    "no unit": ("target,achieved\n" + "1,1.1\n" * 9, "unit"),
    "a unit that is none": (
        "target (furlong),achieved (furlong)\n" + "1,1.1\n" * 9,
        "furlong|unit",
    ),
    "another column": ("voltage (V),current (A)\n" + "1,1.1\n" * 9, "target|achieved"),
    "a cell of text": ("target (uS),achieved (uS)\n" + "1,1.1\n" * 5 + "1,x\n", "line 7"),
    "negative conductances": ("target (uS),achieved (uS)\n" + "-1,-1.1\n" * 9, "-1|allowed"),
    "numbers of 5000 digits": (
        "target (uS),achieved (uS)\n" + f"{'9' * 5000},1.1\n" * 9,
        "is not a measurement",
    ),
    "gzip that is cut": (gzip.compress(b"1,2\n" * 99)[:20], "cannot be read"),
    "gzip that is damaged": (b"\x1f\x8b\x08\x00" + b"x" * 40, "cannot be read"),
    "a gzip bomb": (bomb(), "cannot be read: it unpacks to more than"),
}
BOOKS = {
    "an old workbook": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(99), "old Excel file"),
    "no workbook": (b"PK\x03\x04" + bytes(99), "no readable workbook"),
    "a workbook that is a bomb": (workbook(), "unpacks to 100,000,000 bytes; allowed: at most"),
}
ATTACKS = [
    *of_text("w.csv", PROGRAMMING, TEXTS),
    *of_text("w.xlsx", PROGRAMMING, BOOKS),
    *of_kinds("w.csv", PROGRAMMING),
    Attack("another kind", lambda place: ["calibrate", "magic", "x.csv"], "magic"),
    Attack("no file", lambda place: ["calibrate", "programming", "no.csv"], "no.csv"),
    Attack("an escape sequence", lambda place: ["calibrate", "iv", "\x1b[2J.csv"], "x1b"),
]
