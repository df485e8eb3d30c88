"""A config.json read key by key."""

from pathlib import Path
from typing import Any

from xbarsim.base.arguments import shown
from xbarsim.base.errors import CheckpointError
from xbarsim.models.operations import ACTIVATIONS

LARGEST_SIZE = 100_000_000  # of any dimension
MOST_LAYERS = 10_000


class Reader:
    """The content of a config.json, each key checked when it is read."""

    def __init__(self, path: Path, raw: dict[str, Any]) -> None:
        self.path = path
        self.raw = raw

    def whole(self, key: str, default: int | None = None, *, most: int = LARGEST_SIZE) -> int:
        """A positive integer."""
        value = self.raw.get(key)
        if value is None:
            value = default
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
            raise CheckpointError(
                f"{self.path}: {key} is {shown(value)}, a positive integer is needed, at most "
                f"{most:,}"
            )
        return value

    def positive(self, key: str, default: float) -> float:
        """A positive number."""
        value = self.raw.get(key, default)
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not is_number or not 0 < value < float("inf"):
            raise CheckpointError(
                f"{self.path}: {key} is {shown(value)}, a positive number is needed"
            )
        return float(value)

    def activation(self, key: str, default: str) -> str:
        value = self.raw.get(key, default)
        if not isinstance(value, str) or value not in ACTIVATIONS:
            raise CheckpointError(
                f"{self.path}: {key} is {shown(value)}, supported are {', '.join(sorted(ACTIVATIONS))}"
            )
        return str(value)

    def only(self, key: str, *allowed: object) -> None:
        """Refuse a setting that is not built; the first is what an absent key means."""
        value = self.raw.get(key, allowed[0])
        if value not in allowed:
            raise CheckpointError(
                f"{self.path}: {key} is {shown(value)}, only {' or '.join(map(repr, allowed))} is supported"
            )

    def ends(self) -> tuple[int, ...]:
        """Tokens that end a text."""
        value = self.raw.get("eos_token_id")
        if value is None:
            return ()
        ends = value if isinstance(value, list) else [value]
        for end in ends:
            if not isinstance(end, int) or isinstance(end, bool) or not 0 <= end <= LARGEST_SIZE:
                raise CheckpointError(
                    f"{self.path}: eos_token_id is {shown(value)}; allowed: a token id, or a list"
                )
        return tuple(ends)

    def heads(self, hidden: int, heads: int) -> int:
        """Width of a head."""
        stated = self.raw.get("head_dim")
        if stated is None and hidden % heads:
            raise CheckpointError(f"{self.path}: width {hidden} is not a multiple of {heads} heads")
        return self.whole("head_dim", hidden // heads)
