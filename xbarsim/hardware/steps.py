"""What hardware is to a step of a model, and what it says of itself to a trace."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from xbarsim.arrays.events import Events
from xbarsim.arrays.in_situ.code_counts import CodeBins
from xbarsim.arrays.in_situ.matrix import Product
from xbarsim.base.array_types import AnyArray, Booleans, Integers, Singles
from xbarsim.config.study import Study
from xbarsim.hardware.attributes import MatrixAttributes, ProductAttributes
from xbarsim.models.graph import Kind, Role, Step

Attribute = int | float | str


# ---------------------------------------------------------------- descriptions


@dataclass(frozen=True)
class Description:
    """A step of a model on hardware; fields have the names of attributes in a trace.

    layer : None outside the layers
    """

    kind: Kind
    role: Role
    layer: int | None

    @classmethod
    def of(cls, step: Step) -> Description:
        return Description(step.kind, step.role, step.layer)

    def attributes(self) -> dict[str, Attribute]:
        """{name: value} for a trace, beside kind, role and layer; without what is None."""
        stated = dict(vars(self))
        for of_every_step in dataclasses.fields(Description):
            del stated[of_every_step.name]
        return {name: value for name, value in stated.items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class ProductDescription(ProductAttributes, Description):
    """A product of two activations."""


@dataclass(frozen=True, kw_only=True)
class MatrixDescription(MatrixAttributes, Description):
    """A weight matrix."""

    def counted_once(self, step: Step) -> MatrixDescription:
        """The description of a step; of one that shares its tiles, without what was programmed."""
        if step.shares is None:
            return self
        return dataclasses.replace(
            self,
            tiles=0,
            cells=0,
            stuck_on=0,
            stuck_off=0,
            clipped_weights=0,
            bounded_cells=0,
            rounded_cells=0,
            unverified_cells=0,
            write_pulses=0,
            write_energy=None,
            held_cells=None,
            rewritten_cells=None,
            reference_tile_reads=None,
            reference_adc_conversions=None,
            reference_dac_drives=None,
            reference_array_energy=None,
            mapped_cells=None,
            map_pulses=None,
            map_energy=None,
            dummy_cells=None,
            raised_drivers=None,
            shares=step.shares,
        )


@dataclass(frozen=True)
class ConverterBits:
    """Bits of a conversion and of an input, 0 where they are ideal."""

    adc: int
    dac: int

    @classmethod
    def in_situ(cls, settings: Study) -> ConverterBits:
        """Of tiles, by the tables `adc`, `dac` and `effects` of a study or of `InSituSettings`."""
        adc = _bits(settings.adc.bits) if settings.effects.with_adc else 0
        dac = _bits(settings.dac.bits) if settings.effects.with_dac else 0
        return cls(adc=adc, dac=dac)

    @classmethod
    def counting(cls, settings: Study) -> ConverterBits:
        """Of computation crossbars, whose word lines are driven by single bits."""
        if not settings.effects.with_adc:
            return cls(adc=0, dac=1)
        return cls(adc=settings.computation.adc_bits, dac=1)


def input_scaling(settings: Study) -> str | None:
    """What the full scale of inputs follows, None where it is static."""
    if settings.dac.scaling == "static":
        return None
    return settings.dac.scaling


def _bits(stated: int | str) -> int:
    return 0 if isinstance(stated, str) else stated


# ---------------------------------------------------------------- what takes the place of a step


class MatrixOnHardware(Protocol):
    """A weight matrix, wherever it lies."""

    @property
    def events_per_row(self) -> Events:
        """What one row of inputs asks of the hardware."""

    def multiply(self, x: Singles, rows: Integers, seed: int) -> Product:
        """Product of inputs x (b, in) with the matrix; rows (b, 2) and seed name the noise."""

    def description(self) -> MatrixDescription: ...

    def tile_data(self) -> dict[str, AnyArray]:
        """{data set of a trace: values}: what is known of its tiles once they are programmed."""

    @property
    def code_bins(self) -> CodeBins | None:
        """Bins of the histogram of its codes, None where none are counted."""


@dataclass(frozen=True)
class Tokens:
    """The tokens of a batch of sentences.

    mask : (b, s), real ones
    first_sentence : number of the batch's first sentence: it names random numbers and cells
    past : tokens of every sentence that stand before these
    written : where cells that are written for a sentence are kept for its next tokens, if anywhere:
        what is not kept is written again, by the same random numbers
    """

    mask: Booleans
    first_sentence: int
    past: int = 0
    written: dict[tuple[str, int, int], Any] | None = None

    @classmethod
    def of(
        cls,
        rows: Integers,
        shape: tuple[int, int],
        first_sentence: int,
        written: dict[tuple[str, int, int], Any] | None = None,
    ) -> Tokens:
        """rows (t, 2) : see `models.operations`;  shape : (b, s)"""
        past = int(rows[0, 1])
        mask = np.zeros(shape, bool)
        mask[rows[:, 0], rows[:, 1] - past] = True
        return cls(mask, first_sentence, past, written)

    @property
    def lengths(self) -> Integers:
        """(b,) real tokens of each sentence."""
        found: Integers = self.mask.sum(axis=1)
        return found


@dataclass(frozen=True)
class ProductSample:
    """A causal product of a held-out sequence of n tokens.

    inputs : (query heads, r, k) of some of its tokens, at positions (r,)
    values : (heads of keys or values, n, width)
    """

    inputs: Singles
    values: Singles
    positions: Integers

    @property
    def width(self) -> int:
        width: int = self.values.shape[2]
        return width


@dataclass(frozen=True)
class CachePerToken:
    """What keys and values of one token take: cells that are written, bytes of a memory."""

    cells: int = 0
    bytes: int = 0

    def __add__(self, other: CachePerToken) -> CachePerToken:
        return CachePerToken(self.cells + other.cells, self.bytes + other.bytes)


class ProductOnHardware(Protocol):
    """A product of two activations, head by head."""

    def multiply(self, a: Singles, b: Singles, tokens: Tokens) -> tuple[Singles, ProductCosts]:
        """a (b, heads, s, k) @ b (b, heads, k, n) of the real tokens -> (b, heads, s, n), 0 at
        padding, and what it cost.
        """

    def description(self) -> ProductDescription: ...

    def cache_per_token(self) -> CachePerToken:
        """What its second operand takes between tokens: nothing where sentences come at once."""


class FunctionOnHardware(Protocol):
    """A softmax, norm or activation in integers."""

    def __call__(self, *operands: Any) -> tuple[Singles, Integers]:
        """Result like the first operand x, and saturations x.shape[:-1]; the operands are those of
        the step's kind, see `models.operations`.
        """


@dataclass(frozen=True)
class ProductCosts:
    """What a product of two activations cost, of every real token (t,) in all heads.

    cells_set : cells written, or switches set, for the second operand, shared over the tokens
    array_energy, write_energy : joule; the latter 0 where the device states none
    """

    tile_reads: AnyArray
    adc_conversions: AnyArray
    dac_drives: AnyArray
    shift_adds: AnyArray
    comparisons: AnyArray
    multiplications: AnyArray
    dac_saturations: AnyArray
    adc_saturations: AnyArray
    array_energy: AnyArray
    cells_set: AnyArray
    write_energy: AnyArray

    def by_name(self) -> dict[str, AnyArray]:
        """{data set of a trace: values}."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
