"""Files that xbarsim keeps: a damaged one is said and computed again, never used.

What is kept is no input of a user: the message is that of a warning.
"""

import io
import pickle
import warnings
import zipfile
from types import SimpleNamespace

import numpy as np
from bad_input.attack import Attack

from xbarsim.base.errors import DamageWarning
from xbarsim.base.stamped_files import is_whole, stamp
from xbarsim.studies.heads import _Probe
from xbarsim.studies.unfinished import read_journal

WEIGHT = np.ones((2, 4), np.float32)
BIAS = np.zeros(2, np.float32)
PROBE = SimpleNamespace(
    task=SimpleNamespace(classes=("a", "b")),
    model=SimpleNamespace(config=SimpleNamespace(hidden=4)),
)


class Refused(DamageWarning):
    """What is raised in the place of a warning."""


def probe(write):
    """The warning about a kept probe that `write` makes of its path."""

    def do(place):
        path = place / "probe.npz"
        write(path)
        return refused(lambda: _Probe._kept(PROBE, path))

    return do


def refused(read):
    from xbarsim.base.errors import ConfigError

    with warnings.catch_warnings():
        warnings.simplefilter("error", DamageWarning)
        try:
            found = read()
        except DamageWarning as warning:
            raise ConfigError(str(warning)) from None
    return found


def arrays(**kept):
    return probe(lambda path: np.savez(path, **kept))


def raw(content):
    return probe(lambda path: path.write_bytes(content))


def changed(place):
    content = io.BytesIO()
    np.savez(content, weight=WEIGHT, bias=BIAS)
    data = bytearray(content.getvalue())
    data[len(data) // 3] ^= 0xFF
    (place / "probe.npz").write_bytes(data)
    return refused(lambda: _Probe._kept(PROBE, place / "probe.npz"))


def bomb(path):
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,)}"
    stated = header.ljust(118) + b"\n"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("weight", "bias"):
            magic = b"\x93NUMPY\x01\0" + len(stated).to_bytes(2, "little")
            archive.writestr(f"{name}.npy", magic + stated)


def journal(text):
    """A journal of an unfinished run: a damaged one is none."""

    def do(place):
        (place / "run.json").write_bytes(text)
        assert read_journal(place) is None
        from xbarsim.base.errors import ConfigError

        raise ConfigError("no journal")

    return do


def stamped(place):
    """A kept array is used only if all of its bytes are as they were stamped."""
    from xbarsim.base.errors import ConfigError

    path = place / "a.h5"
    path.write_bytes(bytes(2048))
    stamp(path)
    assert is_whole(path)
    for at in (0, 7, 80, 600, 2047):
        data = bytearray(path.read_bytes())
        data[at] ^= 1
        (place / "b.h5").write_bytes(data)
        assert not is_whole(place / "b.h5")
    raise ConfigError("not whole")


AGAIN = "is damaged .*: the probe is fitted again"
ROWS = {
    "a probe of another shape": (arrays(weight=np.ones((3, 4), "f4"), bias=BIAS), AGAIN),
    "a probe of another width": (arrays(weight=np.ones((2, 5), "f4"), bias=BIAS), AGAIN),
    "a bias of another shape": (arrays(weight=WEIGHT, bias=np.zeros(3, "f4")), AGAIN),
    "a probe of NaN": (arrays(weight=WEIGHT * np.nan, bias=BIAS), "no finite numbers"),
    "a bias of infinity": (arrays(weight=WEIGHT, bias=BIAS + np.inf), "no finite numbers"),
    "a probe of integers": (arrays(weight=WEIGHT.astype(int), bias=BIAS), "no finite numbers"),
    "a probe of text": (arrays(weight=WEIGHT.astype(str), bias=BIAS), "no finite numbers"),
    "a probe of objects": (arrays(weight=WEIGHT.astype(object), bias=BIAS), AGAIN),
    "a probe without a bias": (arrays(weight=WEIGHT), AGAIN),
    "an empty probe": (raw(b""), AGAIN),
    "a probe that is a pickle": (raw(pickle.dumps(WEIGHT)), AGAIN),
    "a probe of noise": (raw(bytes(range(256))), AGAIN),
    "a probe that is one array": (
        probe(lambda path: np.save(path.open("wb"), WEIGHT)),
        AGAIN,
    ),
    "a probe of terabytes": (probe(bomb), AGAIN),
    "a probe with a bit turned": (changed, AGAIN),
    "a journal of lists": (journal(b"[]"), "no journal"),
    "a journal of lists in lists": (journal(b"[" * 9000), "no journal"),
    "a journal of noise": (journal(bytes(range(256))), "no journal"),
    "kept arrays with a bit turned": (stamped, "not whole"),
}
ATTACKS = [Attack(name, do, message) for name, (do, message) in ROWS.items()]
