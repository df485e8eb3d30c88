"""The state of a training that is gone on with: arrays and numbers of one .npz file."""

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xbarsim.base.array_files import read_npz
from xbarsim.base.array_types import AnyArray
from xbarsim.base.errors import ConfigError
from xbarsim.base.files import replacing

NUMBERS = "numbers"


@dataclass(frozen=True)
class State:
    """arrays : by name;  numbers : what JSON holds"""

    arrays: dict[str, AnyArray]
    numbers: dict[str, Any]


def save_state(path: Path, fingerprint: str, state: State) -> None:
    """Write a state beside its place and rename it.

    Raises
    ------
    OutputError : it cannot be written
    """
    text = json.dumps({"fingerprint": fingerprint, "state": state.numbers})
    content = {NUMBERS: np.frombuffer(text.encode(), np.uint8), **state.arrays}
    with replacing(path, "wb") as file:
        np.savez(file, allow_pickle=False, **content)


def load_state(path: Path, fingerprint: str) -> State:
    """A state of the same study.

    Raises
    ------
    ConfigError : damaged, or of another study
    """
    try:
        arrays = read_npz(path)
        stated = json.loads(arrays.pop(NUMBERS).tobytes())
        of_study = stated["fingerprint"]
    except (ConfigError, OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ConfigError(
            f"{path} cannot be read ({error}); remove it to begin training anew"
        ) from None
    if of_study != fingerprint:
        raise ConfigError(
            f"{path} is of another study, model or task; give another --out, or the study as it was"
        )
    return State(arrays, stated["state"])


def rng_state(rng: np.random.Generator) -> dict[str, Any]:
    """What JSON holds of a generator."""
    return dict(rng.bit_generator.state)


def restore_rng(rng: np.random.Generator, state: dict[str, Any]) -> None:
    """Put a generator where another one was."""
    rng.bit_generator.state = state
