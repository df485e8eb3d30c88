"""A config.json read key by key."""

from pathlib import Path
from typing import Any

from xbarsim.base.errors import CheckpointError
from xbarsim.models.operations import ACTIVATIONS


class Reader:
    """The content of a config.json, each key checked when it is read."""

    def __init__(self, path: Path, raw: dict[str, Any]) -> None:
        self.path = path
        self.raw = raw

    def whole(self, key: str, default: int | None = None) -> int:
        """A positive integer."""
        value = self.raw.get(key)
        if value is None:
            value = default
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise CheckpointError(f"{self.path}: {key} is {value!r}, a positive integer is needed")
        return value

    def positive(self, key: str, default: float) -> float:
        """A positive number."""
        value = self.raw.get(key, default)
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not is_number or not 0 < value < float("inf"):
            raise CheckpointError(f"{self.path}: {key} is {value!r}, a positive number is needed")
        return float(value)

    def activation(self, key: str, default: str) -> str:
        value = self.raw.get(key, default)
        if value not in ACTIVATIONS:
            raise CheckpointError(
                f"{self.path}: {key} is {value!r}, supported are {', '.join(sorted(ACTIVATIONS))}"
            )
        return str(value)

    def only(self, key: str, *allowed: object) -> None:
        """Refuse a setting that is not built; the first is what an absent key means."""
        value = self.raw.get(key, allowed[0])
        if value not in allowed:
            raise CheckpointError(
                f"{self.path}: {key} is {value!r}, only {' or '.join(map(repr, allowed))} is supported"
            )

    def ends(self) -> tuple[int, ...]:
        """Tokens that end a text."""
        value = self.raw.get("eos_token_id")
        if value is None:
            return ()
        return tuple(value) if isinstance(value, list) else (value,)

    def heads(self, hidden: int, heads: int) -> int:
        """Width of a head."""
        stated = self.raw.get("head_dim")
        if stated is None and hidden % heads:
            raise CheckpointError(f"{self.path}: width {hidden} is not a multiple of {heads} heads")
        return self.whole("head_dim", hidden // heads)
