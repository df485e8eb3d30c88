"""Files that a user gives, looked at before they are read: a pipe or a device never ends, a directory
has no bytes, and what is far larger than a file of its kind can be would fill the memory.
"""

import json
import stat
import unicodedata
import zlib
from pathlib import Path, PurePath

from xbarsim.base.errors import XbarsimError

SETTINGS_BYTES = 2_000_000  # TOML: studies, devices, chips
JSON_BYTES = 10_000_000  # config.json and what lies beside it
INDEX_BYTES = 200_000_000  # indexes of sweeps and conductances, tokenizers
TEXT_BYTES = 2_000_000_000  # tasks, texts, tables, arrays as text
UNPACKED_BYTES = 50_000_000  # that any compressed file may hold, and
UNPACKED_TIMES = 20  # so many times its own size beyond
DEEPEST = 32  # tables or lists in one another

OTHER_KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def is_file(path: str | Path) -> bool:
    """Whether a regular file lies there; False of a text that no file can be called."""
    try:
        return Path(path).is_file()
    except (OSError, ValueError):
        return False


def exists(path: str | Path) -> bool:
    """Whether anything lies there; False of a text that no file can be called."""
    try:
        return Path(path).exists()
    except (OSError, ValueError):
        return False


def lies_below(name: str) -> bool:
    """Whether a path that a file states stays in the directory of that file."""
    place = PurePath(name)
    return not place.is_absolute() and ".." not in place.parts and "\0" not in name


def check_file(path: Path, error: type[XbarsimError], largest: int | None = None) -> int:
    """Bytes of a regular file.

    Parameters
    ----------
    error : what is raised
    largest : bytes; any number if None

    Raises
    ------
    FileNotFoundError, OSError : there is none, or it cannot be looked at
    `error` : no regular file, or larger than is allowed
    """
    try:
        state = path.stat()
    except ValueError:
        raise error(f"{str(path)!r} is no name of a file; allowed: one without NUL") from None
    if not stat.S_ISREG(state.st_mode):
        kind = OTHER_KINDS.get(stat.S_IFMT(state.st_mode), "something else")
        raise error(
            f"{path} cannot be read: it is {kind}; allowed: a file (copy what it gives into one)"
        )
    if largest is not None and state.st_size > largest:
        raise error(
            f"{path} cannot be read: it has {state.st_size:,} bytes; allowed: at most {largest:,}"
        )
    return state.st_size


def read_bytes(path: Path, error: type[XbarsimError], largest: int = TEXT_BYTES) -> bytes:
    """The content of a regular file; raises as `check_file`."""
    check_file(path, error, largest)
    return path.read_bytes()


def read_json(path: Path, error: type[XbarsimError], largest: int = JSON_BYTES) -> object:
    """The content of a JSON file.

    Raises
    ------
    OSError, ValueError : not there, not readable; no JSON
    `error` : as `check_file`
    """
    return parse_json(read_bytes(path, error, largest).decode("utf-8"))


def parse_json(text: str | bytes) -> object:
    """The value of a JSON text; ValueError of what is none, or nested too deep."""
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError("nested too deep") from None
    check_depth(value)
    return value


def check_depth(value: object, deepest: int = DEEPEST) -> None:
    """Refuse tables and lists that lie too deep in one another.

    Raises
    ------
    ValueError
    """
    layer = [value]
    for _ in range(deepest + 1):
        inner: list[object] = []
        for part in layer:
            if isinstance(part, dict):
                inner += part.values()
            elif isinstance(part, list):
                inner += part
        layer = [part for part in inner if isinstance(part, (dict, list))]
        if not layer:
            return
    raise ValueError(f"nested more than {deepest} deep")


def most_unpacked(packed: int) -> int:
    """Bytes that a file of `packed` bytes may hold once it is unpacked."""
    return UNPACKED_BYTES + UNPACKED_TIMES * packed


def unpacked(raw: bytes) -> bytes:
    """What a gzip file holds.

    Raises
    ------
    zlib.error, EOFError : damaged, cut;  ValueError : too much
    """
    most = most_unpacked(len(raw))
    parts: list[bytes] = []
    rest = raw
    left = most
    while rest:
        member = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
        part = member.decompress(rest, left + 1)
        left -= len(part)
        if left < 0:
            raise ValueError(f"it unpacks to more than {most:,} bytes")
        if not member.eof:
            raise EOFError("it is cut off")
        parts.append(part)
        rest = member.unused_data.lstrip(b"\0")
    return b"".join(parts)


def printable(text: str) -> str:
    """A text as it may be printed: control characters and half surrogates are written as escapes, lines
    stay lines."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_shown(character) for character in text)


def _shown(character: str) -> str:
    if character.isprintable() or character in "\n\t " or character == "\N{NO-BREAK SPACE}":
        return character
    if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp"):
        return character.encode("unicode_escape", "surrogatepass").decode("ascii")
    return character
