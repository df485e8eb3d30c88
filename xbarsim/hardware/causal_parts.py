"""Products of causal attention on hardware: a token sees the keys and values of itself and of those
before it.

Keys and values of a head that several query heads share are brought onto the hardware once; the
query heads drive them in turn.  A sequence may come at once (prefill) or token by token (decode):
the new keys and values are written first, then the new queries are applied.  A conversion is made
only of keys that a token sees, and only word lines of values that it sees are driven: what is
masked is neither done nor counted.  Cells of later keys that are written already, in a prefill,
hang on the driven word lines all the same: with wires they lower the currents, and they draw power.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from xbarsim.arrays.events import Events
from xbarsim.base.array_types import AnyArray, Booleans, Floats, Integers, Singles
from xbarsim.hardware.steps import ProductCosts, Tokens
from xbarsim.models.graph import Role, Step


@dataclass(frozen=True)
class Query:
    """New tokens of one sequence for one head of keys or values.

    inputs : (query heads, s, k);  values : (n, width), keys or values of all tokens so far
    heads : (query heads,), their numbers;  positions : (s,), the last is n - 1
    sequence, head : name the random numbers of the cells
    """

    inputs: Singles
    values: Singles
    heads: Integers
    positions: Integers
    sequence: int
    head: int

    def names(self, first: int) -> Integers:
        """(query heads * r, 2) (head, position) of the tokens from number `first` on."""
        grid = np.meshgrid(self.heads, self.positions[first:], indexing="ij")
        return np.stack([name.ravel() for name in grid]).T

    @property
    def past(self) -> int:
        """Tokens before the new ones."""
        return int(self.positions[0])


@dataclass(frozen=True)
class Block:
    """Some consecutive positions, and the new tokens that see at least one of them.

    number : of the block;  size : positions of a whole block;  written : of them that there are
    first : number of the first new token that sees one;  seen (r,) : positions that each sees
    """

    number: int
    size: int
    written: int
    first: int
    seen: Integers

    @classmethod
    def all_of(cls, query: Query, size: int) -> Iterator[Block]:
        """The blocks of a sequence."""
        total = len(query.values)
        for number in range(-(-total // size)):
            start = number * size
            first = max(start - query.past, 0)
            seen = np.minimum(query.positions[first:] + 1 - start, size)
            yield cls(number, size, min(size, total - start), first, seen)

    @property
    def positions(self) -> slice:
        start = self.number * self.size
        return slice(start, start + self.written)

    @property
    def wanted(self) -> Booleans:
        """(r, size): which positions each token sees."""
        found: Booleans = np.arange(self.size) < self.seen[:, None]
        return found

    def inputs_of(self, query: Query, *, holds_keys: bool) -> Singles:
        """(query heads, r, inputs) of this block: queries, or scores that are 0 where masked."""
        given = query.inputs[:, self.first :]
        if holds_keys:
            return given
        found = np.zeros((*given.shape[:2], self.size), np.float32)
        found[..., : self.written] = given[..., self.positions]
        return np.where(self.wanted, found, np.float32(0))


class Results:
    """Results of all heads of a batch in their places, and what they cost of every token."""

    def __init__(self, step: Step, a: Singles, b: Singles, tokens: Tokens) -> None:
        self.step = step
        self.a = a
        self.b = b
        self.tokens = tokens
        self.output = np.zeros((*a.shape[:3], b.shape[-1]), np.float32)
        names = [each.name for each in dataclasses.fields(ProductCosts)]
        self.costs = {name: np.zeros(tokens.mask.shape) for name in names}

    def queries(self) -> Iterator[tuple[Query, ResultPlace]]:
        """Every head of keys or values of every sequence, and the place of its results."""
        group = self.step.copies // self.step.second_copies
        for row, length in enumerate(self.tokens.lengths):
            positions = self.tokens.past + np.arange(length)
            total = self.tokens.past + int(length)
            for head in range(self.step.second_copies):
                heads = slice(head * group, (head + 1) * group)
                operand = self.b[row, head * group]
                inputs = self.a[row, heads, :length]
                if self.step.role is Role.ATTENTION_SCORES:
                    values = operand[:, :total].T
                else:
                    values = operand[:total]
                    inputs = inputs[..., :total]
                query = Query(
                    inputs=inputs,
                    values=values,
                    heads=np.arange(heads.start, heads.stop),
                    positions=positions,
                    sequence=self.tokens.first_sentence + row,
                    head=head,
                )
                yield query, ResultPlace(self, row, heads, int(length))

    def of_tokens(self) -> ProductCosts:
        costs = {name: values[self.tokens.mask] for name, values in self.costs.items()}
        return ProductCosts(**costs)


@dataclass(frozen=True)
class ResultPlace:
    """Where the results of one head of keys or values go."""

    result: Results
    row: int
    heads: slice
    length: int

    def put(self, output: Singles) -> None:
        """output (query heads, s, n)."""
        self.result.output[self.row, self.heads, : self.length, : output.shape[-1]] = output

    def add_cost(self, name: str, values: AnyArray | float, first: int = 0) -> None:
        """values : of the tokens from number `first` on, or of each of them"""
        self.result.costs[name][self.row, first : self.length] += values

    def add_events(self, events: Events, share: Shares, first: int) -> None:
        """Events of one row of a whole block, for all query heads."""
        heads = self.heads.stop - self.heads.start
        self.add_cost("tile_reads", events.tile_reads * heads, first)
        self.add_cost("adc_conversions", events.adc_conversions * heads * share.outputs, first)
        self.add_cost("dac_drives", events.dac_drives * heads * share.inputs, first)
        self.add_cost("shift_adds", events.shift_adds * heads * share.outputs, first)


@dataclass(frozen=True)
class Shares:
    """Shares of the inputs and outputs of a block that are used, of every token or of all."""

    inputs: Floats | float
    outputs: Floats | float
